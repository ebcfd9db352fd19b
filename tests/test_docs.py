"""The documentation site: every module on a page, notebooks and formulas as pages, docstrings that the site can parse.

`make docs` builds the whole site; there a warning is an error.
"""

import importlib.util
import inspect
import re
from pathlib import Path

import nbformat
import pytest

import stereo3d
from stereo3d.diagnosis.verdict import MEANINGS
from stereo3d.synthetic.scenes import SCENES

ROOT = Path(__file__).resolve().parents[1]
ROOT_PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "THIRD_PARTY.md")
PROSE = [*(ROOT / name for name in ROOT_PAGES), *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_module_is_on_one_page_of_the_library(hooks):
    shown = [module for modules in hooks.api_modules().values() for module in modules]
    assert len(shown) == len(set(shown))
    for path in (ROOT / "stereo3d").rglob("*.py"):
        parts = path.relative_to(ROOT / "stereo3d").with_suffix("").parts
        if parts[0] not in {"cli", "__init__", "__main__"} and hooks.has_public_definition(path):
            assert ".".join(("stereo3d", *parts)).removesuffix(".__init__") in shown
    pages = hooks.api_modules()
    for module in stereo3d._HOME.values():
        assert module.split(".")[0] in pages


def test_a_folder_that_only_imports_shows_its_docstring_alone(hooks, tmp_path, monkeypatch):
    for name, source in {
        "mesh/__init__.py": '"""Meshes."""\nfrom .build import f',
        "mesh/a_kernels.py": "def k(): ...",
        "mesh/build.py": 'def f():\n    """Make a mesh."""',
        "mesh/_hidden.py": "def _g(): ...",
        "mesh/meshers/__init__.py": '"""Two meshers."""',
        "mesh/meshers/grid.py": "class A: ...",
        "__init__.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source, encoding="utf-8")
    monkeypatch.setattr(hooks, "PACKAGE", tmp_path)
    modules = ["stereo3d.mesh", "stereo3d.mesh.build", "stereo3d.mesh.a_kernels"]
    modules += ["stereo3d.mesh.meshers", "stereo3d.mesh.meshers.grid"]
    assert hooks.api_modules() == {"mesh": modules}
    page = hooks.api_page("mesh", modules)
    assert page.startswith("# Mesh\n") and page.count("members: false") == 2
    assert "Public names: [`f`][stereo3d.mesh.build.f].\n\n::: stereo3d.mesh.build\n" in page
    assert "::: stereo3d.mesh.a_kernels\n\n::: stereo3d.mesh.meshers\n    options:" in page


def test_every_decision_and_notebook_is_in_the_navigation(hooks):
    config = type(
        "Config",
        (),
        {
            "markdown_extensions": [],
            "nav": [{"Decisions": "decisions/index.md"}, {"Notebooks": ""}, {"Home": "index.md"}],
        },
    )()
    decisions, notebooks, home = hooks.on_config(config).nav
    pages = [next(iter(entry.values())) for entry in decisions["Decisions"]]
    assert pages[0] == "decisions/index.md" and home == {"Home": "index.md"}
    assert sorted(pages) == sorted(f"decisions/{path.name}" for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert len(notebooks["Notebooks"]) == 1 + len(list((ROOT / "notebooks").glob("*.ipynb")))


def test_the_index_of_decisions_links_every_page():
    folder = ROOT / "docs" / "decisions"
    linked = re.findall(r"\]\(([\w-]+\.md)\)", (folder / "index.md").read_text(encoding="utf-8"))
    assert sorted(linked) == sorted(path.name for path in folder.glob("*.md") if path.stem != "index")


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_path_in_the_prose_exists(path):
    for name in re.findall(
        r"`(?:python )?((?:stereo3d|benchmarks|docs|tests|notebooks|data)/[^`\s]*)", path.read_text()
    ):
        assert (ROOT / name).exists() or list(ROOT.glob(name)), name


def test_where_does_it_belong_names_folders_and_files_of_the_package():
    text = (ROOT / "docs" / "where.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| W")]
    assert len(rows) >= 10
    for question, folders, files, advice in rows:
        named = re.findall(r"`([\w/]+/)`", folders)
        places = [ROOT / "stereo3d", *(ROOT / "stereo3d" / folder for folder in named)]
        assert all(place.is_dir() for place in places), question
        assert all(folder in files for folder in named), f"{question}: the file to open first is in another folder"
        for name in re.findall(r"`([\w/]+\.py)`", files + advice):
            assert any((place / name).is_file() for place in places), f"{question}: {name}"
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "stereo3d").rglob("*.py"))
    for name in re.findall(r"`([A-Z]{4,})`", text):
        assert re.search(rf"(?m)^{name}\b.*=", source), name


def test_the_gallery_has_its_pictures_and_verdicts():
    """Written by docs/gallery.py: every scene of it is on the page, with a picture, commands and a verdict."""
    script = (ROOT / "docs" / "gallery.py").read_text(encoding="utf-8")
    page, shoot = ((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("gallery", "how-to-shoot"))
    named = re.findall(r"\]\((gallery/[\w-]+\.webp)\)", page + shoot)
    kept = {f"gallery/{path.name}" for path in (ROOT / "docs" / "gallery").iterdir()}
    assert set(named) == kept and len(named) == len(kept) >= 10
    assert sum((ROOT / "docs" / name).stat().st_size for name in kept) < 300_000
    scenes = re.findall(r'(?m)^    "(\w+)": \("[^"]+", "\w+"\)', script)
    assert re.findall(r"(?m)^stereo3d synth (\w+) -o pair", page) == scenes and set(scenes) <= set(SCENES)
    verdicts = re.findall(r"\*\*(\w+(?: \w+)?)\*\*", page + shoot.split("## Good and bad pairs")[1])
    assert len(verdicts) == len(kept) and {"good", "no model"} <= set(verdicts) <= {*MEANINGS, "no model"}


def test_the_glossary_is_in_alphabetical_order():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = [term.lower() for term in re.findall(r"(?m)^\*\*(.+?)\*\*", text)]
    assert len(terms) >= 50 and terms == sorted(terms) and len(terms) == len(set(terms))


def test_indices_in_docstrings_are_not_emphasis(hooks):
    markdown = pytest.importorskip("markdown")
    html = markdown.markdown("|F x1|_{1,2} + |F^T x2|_{1,2} of *both*", extensions=[hooks.underscores_are_letters()])
    assert html == "<p>|F x1|_{1,2} + |F^T x2|_{1,2} of <em>both</em></p>"


@pytest.mark.parametrize("name", sorted(stereo3d._HOME))
def test_a_numpydoc_docstring_names_parameters_that_exist(name):
    griffe = pytest.importorskip("griffe")
    thing = getattr(stereo3d, name)
    if not callable(thing):
        return
    known = {parameter.lstrip("*") for parameter in inspect.signature(thing).parameters}
    if inspect.isclass(thing):
        known |= set(dir(thing)) | set(getattr(thing, "__dataclass_fields__", ()))
    for section in griffe.Docstring(inspect.getdoc(thing) or "").parse("numpy", warnings=False):
        if section.kind.value in ("parameters", "attributes"):
            for parameter in section.value:
                for one in parameter.name.split(", "):
                    assert one.lstrip("*") in known, f"{name}: {one}"


@pytest.mark.parametrize("name", sorted(stereo3d._HOME))
def test_every_public_function_states_the_shapes_of_its_arrays(name):
    """The docstring states the shape of each parameter that is an array."""
    thing = getattr(stereo3d, name)
    if not inspect.isfunction(thing):
        return
    doc = inspect.getdoc(thing)
    assert doc and len(doc) > 60
    for section in ("Parameters", "Returns"):
        assert f"{section}\n{'-' * len(section)}\n" in doc, f"{name}: no section {section}"
    for parameter in inspect.signature(thing, eval_str=False).parameters.values():
        kind = str(parameter.annotation)
        if "ndarray" in kind and "dict" not in kind:
            assert re.search(rf"\b{parameter.name}\b[^.]*(\(|as for)", doc, re.I), (
                f"{name}: no shape of {parameter.name}"
            )


def test_a_notebook_becomes_a_page(hooks):
    v4 = nbformat.v4
    picture = v4.new_output("display_data", {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"})
    code = v4.new_code_cell(
        "print(1)",
        outputs=[
            v4.new_output("stream", name="stdout", text="1\n"),
            picture,
            v4.new_output("stream", name="stderr", text="noise"),
        ],
    )
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# A\n\n[b](02_b.ipynb)"), code])
    page, pictures = hooks.page_of(notebook, "01_a")
    assert "[b](02_b.md)" in page and "```python\nprint(1)\n```" in page and "```text\n1\n```" in page
    assert list(pictures) == ["01_a/01_1.png"] and pictures["01_a/01_1.png"].startswith(b"\x89PNG")
    assert "![](01_a/01_1.png)" in page and "noise" not in page


def test_formulas_are_drawn_and_code_is_left_alone(hooks):
    pytest.importorskip("ziamath")
    source = "With $x^2$:\n\n$$ \\frac{a}{b} $$\n\n`$HOME` and\n\n```\ncost $5 $6\n```\n"
    text, found = hooks.without_formulas(source)
    assert "`$HOME`" in text and "cost $5 $6" in text and "x^2" not in text and len(found) == 2
    inline, display = found["formula000x"], found["<p>formula001x</p>"]
    for drawing, tex in ((inline, "x^2"), (display, r"\frac{a}{b}")):
        assert f'aria-label="{tex}"' in drawing and "<svg" in drawing and "currentColor" in drawing
    assert display.startswith('<div class="formula">')


def test_every_formula_of_the_notebooks_can_be_drawn(hooks):
    pytest.importorskip("ziamath")
    count = 0
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                text, found = hooks.without_formulas(cell.source)
                assert "$" not in re.sub(r"`[^`]*`", "", text), cell.source
                count += len(found)
    assert count > 150


def test_the_page_of_options_names_every_option(hooks):
    from stereo3d.cli.parameters import cli

    page = hooks.options_page()
    for option in cli.commands["reconstruct"].params:
        for name in option.opts:
            assert not name.startswith("-") or f"`{name}`" in page
    assert "`matcher.p1` | int 1 to 1000, default 24" in page and "`stereo3d calibrate" in page
