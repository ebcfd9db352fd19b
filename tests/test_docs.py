"""What the documentation site is made of: docstrings laid out, notebooks and formulas as pages, every module on a page.

The whole site is built by `make docs`, where a warning is an error.
"""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

import stereo3d

ROOT = Path(__file__).resolve().parents[1]
# kernels, and what the page of options tells
INTERNAL = {
    "cli",
    "compiling",
    "digits",
    "neighbours",
    "patchfit",
    "posefit",
    "raycast",
    "rays",
    "warmup",
    "__init__",
    "__main__",
}


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def hooks():
    return load("hooks")


def test_every_module_and_page_has_its_place():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "api").glob("*.md")}
    for name in pages:
        assert f"api/{name}" in nav
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{path.stem}.md" in nav
    shown = set(re.findall(r"^::: stereo3d\.([\w.]+)$", "\n".join(pages.values()), re.M))
    there = {path.stem for path in (ROOT / "stereo3d").glob("*.py")} - INTERNAL
    assert there <= shown, there - shown
    assert set(stereo3d._HOME.values()) <= shown


def test_a_docstring_becomes_a_list_and_paragraphs():
    pytest.importorskip("griffe")
    text = """F of x2^T F x1 = 0 from N >= 8 matches.

    x1, x2: (N,2) px.  weights: (N,) of the
    equations.  Returns (3,3) of unit norm.  Raises ValueError for N < 8.
    Source: Longuet-Higgins 1981.""".replace("\n    ", "\n")
    assert load("docstrings").laid_out(text, {"x1", "x2", "weights"}).split("\n\n") == [
        "F of x2^T F x1 = 0 from N >= 8 matches.",
        "- `x1`, `x2` : (N,2) px.\n- `weights` : (N,) of the equations.",
        "**Returns** (3,3) of unit norm.",
        "**Raises** ValueError for N < 8.",
        "**Source:** Longuet-Higgins 1981.",
    ]


def test_what_is_no_parameter_stays_prose_and_code_stays_code():
    pytest.importorskip("griffe")
    laid_out = load("docstrings").laid_out
    assert laid_out("Verdict: good.\nOne line,\ntwo lines.", {"x"}) == "Verdict: good. One line, two lines."
    code = "    pair = render(1)\n    show(pair)"
    assert laid_out(f"Before.\n\n{code}\n\nAfter.", set()).split("\n\n") == ["Before.", code, "After."]


@pytest.mark.parametrize("name", sorted(stereo3d._HOME))
def test_every_public_function_tells_shapes_or_what_it_takes(name):
    """Of each parameter that is an array, its shape stands in the docstring."""
    import inspect

    thing = getattr(stereo3d, name)
    if not inspect.isfunction(thing):
        return
    doc = inspect.getdoc(thing)
    assert doc and len(doc) > 60
    for parameter in inspect.signature(thing, eval_str=False).parameters.values():
        kind = str(parameter.annotation)
        if "ndarray" in kind and "dict" not in kind:
            assert re.search(rf"\b{parameter.name}\b[^.]*(\(|as for)", doc), f"{name}: {parameter.name} has no shape"


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
    from stereo3d.cli import cli

    page = hooks.options_page()
    for option in cli.commands["reconstruct"].params:
        for name in option.opts:
            assert not name.startswith("-") or f"`{name}`" in page
    assert "`matcher.p1` | int 1 to 1000, default 24" in page and "`stereo3d calibrate" in page
