"""Pages that mkdocs generates: the README as first page, the executed notebooks, the options, the library's API.

The tests execute the notebooks through `execute` too and store the results in out/notebooks. The site reuses a stored
result if neither the notebook nor the package has changed since.
"""

import ast
import base64
import hashlib
import html
import os
import re
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
STORE = ROOT / "out" / "notebooks"
PACKAGE = ROOT / "stereo3d"
EM = 14.5  # px of a formula set at 16 px per em of the surrounding text, whose letters are larger

# ------------------------------------------------------------------------------------------------------- notebooks


def execute(path: Path, *more: str):
    """Run a notebook in its own folder, as a reader would; `more` holds the source of cells to append."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in more]
    names = ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR")
    with tempfile.TemporaryDirectory() as folder:  # leave nothing in the user's home
        before = {name: os.environ.get(name) for name in names}
        os.environ.update({name: os.path.join(folder, name) for name in names})
        try:
            resources = {"metadata": {"path": str(NOTEBOOKS)}}
            NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    return notebook


def key_of(path: Path) -> str:
    """Hash of what the outcome of a notebook depends on: its own bytes and the package's source."""
    digest = hashlib.sha256(path.read_bytes())
    for source in sorted(PACKAGE.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def store(path: Path, notebook) -> None:
    """Store an executed notebook for the site."""
    import nbformat

    notebook.metadata["outcome_of"] = key_of(path)
    STORE.mkdir(parents=True, exist_ok=True)
    temporary = STORE / f".{path.name}.{os.getpid()}"
    nbformat.write(notebook, temporary)
    temporary.replace(STORE / path.name)


def executed(path: Path):
    """Return the executed notebook: the stored one if it is up to date, else run it now and store it."""
    import nbformat

    if (STORE / path.name).is_file():
        notebook = nbformat.read(STORE / path.name, as_version=4)
        if notebook.metadata.get("outcome_of") == key_of(path):
            return notebook
    notebook = execute(path)
    store(path, notebook)
    return notebook


def page_of(notebook, name: str) -> tuple[str, dict[str, bytes]]:
    """Convert a notebook to Markdown; return it with its pictures, {path relative to the page's folder: PNG}."""
    parts, pictures = [], {}
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            parts.append(cell.source.replace(".ipynb)", ".md)"))
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for k, output in enumerate(cell.outputs):
            data = output.get("data", {})
            if output.output_type == "stream" and output.name == "stdout":
                parts.append(f'<div class="printed" markdown>\n\n```text\n{output.text.rstrip()}\n```\n\n</div>')
            elif "image/png" in data:
                picture = f"{name}/{number:02d}_{k}.png"
                pictures[picture] = base64.b64decode(data["image/png"])
                parts.append(f'<div class="picture" markdown>\n\n![]({picture})\n\n</div>')
    return "\n\n".join(parts) + "\n", pictures


# -------------------------------------------------------------------------------------------------------- formulas

CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.S | re.M)
WITH_FORMULAS = ("notebooks/", "mathematics", "glossary")
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$(?! )([^$]+?)(?<! )\$", re.S)


def drawn(tex: str, display: bool) -> str:
    """Draw LaTeX as inline SVG in the colour and size of the text; screen readers get the source."""
    import ziamath

    ziamath.config.svg2 = False
    formula = ziamath.Latex(" ".join(tex.split()), size=16, inline=not display, color="currentColor")
    (width, height), drop = formula.getsize(), formula.getyofst()
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", formula.svg(), count=1)
    style = f"width:{width / EM:.3f}em;height:{height / EM:.3f}em;vertical-align:{drop / EM:.3f}em"
    svg = svg.replace("<svg ", f'<svg style="{style}" ', 1)
    words = html.escape(" ".join(tex.split()), quote=True)
    return f'<span class="math" role="img" aria-label="{words}">{svg}</span>'


def without_formulas(markdown: str) -> tuple[str, dict[str, str]]:
    """Replace each formula of a Markdown text by a placeholder word; return the text and {placeholder: drawing}."""
    found = {}

    def replace(match):
        word = f"formula{len(found):03d}x"
        display = match[1] is not None
        found[word] = drawn(match[1] or match[2], display)
        if display:
            found[f"<p>{word}</p>"] = f'<div class="formula">{found.pop(word)}</div>'
            return f"\n\n{word}\n\n"
        return word

    parts = CODE.split(markdown)
    parts[::2] = [FORMULA.sub(replace, part) for part in parts[::2]]
    return "".join(parts), found


# ------------------------------------------------------------------------------------------------------ the pages

ROOT_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "THIRD_PARTY.md")  # pages that lie beside the README


def readme() -> str:
    """Return the README with its names of notebooks and of pages in docs/ turned into links within the site."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")
    return re.sub(r"`(notebooks/(\w+))\.ipynb`", r"[\2](\1.md)", text)


def list_of_notebooks() -> str:
    import nbformat

    introduction = (
        "Each section has a short text, an equation, a cell that computes it, a picture and a check against the truth. "
        "The notebooks are in `notebooks/`; the tests execute all of them."
    )
    lines = ["# Notebooks", "", introduction, ""]
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        title, _, rest = cells[0].source.partition("\n")
        lead = " ".join(rest.strip().split("\n\n")[0].split())
        lines += [f"## [{path.stem[:2]} {title.lstrip('# ')}]({path.stem}.md)", "", lead, ""]
    return "\n".join(lines)


def options_page() -> str:
    """List the options of every command, and those of every method that -O sets, as read from the signatures."""
    import click

    from stereo3d.cli.parameters import cli
    from stereo3d.disparity import MATCHERS
    from stereo3d.disparity.choice import NETWORKS
    from stereo3d.features import DETECTORS
    from stereo3d.features.networks import NETWORK_DETECTORS
    from stereo3d.mesh.meshers import MESHERS
    from stereo3d.pipeline import stage_options

    lines = ["# Options", "", "This page is generated from the code.", ""]
    for name, command in cli.commands.items():
        members = command.commands.items() if isinstance(command, click.Group) else [("", command)]
        for member, one in members:
            words = " ".join(filter(None, ("stereo3d", "" if name == "reconstruct" else name, member)))
            places = " ".join(p.make_metavar(click.Context(one)) for p in one.params if isinstance(p, click.Argument))
            lines += [f"## `{words} {places}`".replace(" `", "`"), "", (one.help or "").split("\n\n")[0], ""]
            rows = [p for p in one.params if isinstance(p, click.Option)]
            if rows:
                lines += ["| option | meaning | default |", "|---|---|---|"]
            for option in rows:
                names = ", ".join(f"`{o}`" for o in (*option.opts, *option.secondary_opts))
                default = option.default if isinstance(option.default, (int, float, str)) else None
                shown = f"`{default}`" if default is not None and not option.is_flag else ""
                lines.append(f"| {names} | {(option.help or '').replace('|', '/')} | {shown} |")
            lines.append("")
    lines += ["## Options of the stages, `-O stage.name=value`", ""]
    stages = [("detector", n, stage_options(detector=n)["detector"]) for n in (*DETECTORS, *NETWORK_DETECTORS)]
    stages += [(s, "", stage_options()[s]) for s in ("pose", "rectify", "range")]
    stages += [("matcher", n, stage_options(matcher=n)["matcher"]) for n in (*MATCHERS, *NETWORKS)]
    stages += [("mesher", n, stage_options(mesher=n)["mesher"]) for n in MESHERS]
    for stage, method, options in stages:
        lines += [f"### {stage} {method}".rstrip(), "", "| option | value |", "|---|---|"]
        lines += [f"| `{stage}.{name}` | {option.describe()} |" for name, option in options.items()]
        lines.append("")
    return "\n".join(lines)


# Order and titles of the pages of the library: the order of a run, then what serves all stages. What is not listed here
# follows in alphabetical order under its own name.
TITLES = {
    "pipeline": "The whole run",
    "records": "Records and conventions",
    "images": "Photos",
    "cameras": "Cameras and calibration",
    "features": "Features and matches",
    "two_view": "Two-view geometry",
    "diagnosis": "Diagnosis",
    "rectification": "Rectification",
    "disparity": "Disparity",
    "triangulation": "Triangulation",
    "mesh": "Mesh",
    "io": "Files",
    "output": "Report and outputs",
    "geometry": "Geometry",
    "synthetic": "Scenes with exact truth",
    "evaluation": "Evaluation",
    "options": "Options",
    "errors": "Errors",
    "resources": "Processors, memory, libraries",
    "install": "Installation",
    "app": "The page of stereo3d app",
    "batches": "Many pairs",
}
NOT_IN_API = {"cli", "__main__"}  # the page of options describes the command line


def has_public_definition(path: Path) -> bool:
    """Whether a file defines a function or class whose name has no leading underscore."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    kinds = (ast.FunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) and not node.name.startswith("_") for node in body)


def api_modules() -> dict[str, list[str]]:
    """{page: dotted names of the modules on it}: one page for each folder and each single file of the package.

    A folder comes first, then its modules that define something public, those of its subfolders included; kernels are
    last.
    """
    pages: dict[str, list[str]] = {}

    def order(path: Path):
        return path.parent, path.stem != "__init__", path.stem.endswith("kernels"), path.stem

    for path in sorted(PACKAGE.rglob("*.py"), key=order):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] in {*NOT_IN_API, "__init__"}:
            continue
        if parts[-1] == "__init__":
            parts = parts[:-1]
        elif not has_public_definition(path):
            continue
        pages.setdefault(parts[0], []).append(".".join(("stereo3d", *parts)))
    first = [name for name in TITLES if name in pages]
    return {name: pages[name] for name in (*first, *sorted(set(pages) - set(first)))}


def api_page(name: str, modules: list[str]) -> str:
    """Return the Markdown of one page of the library: a heading, and a mkdocstrings block for each module."""
    lines = [f"# {TITLES.get(name, name)}", ""]
    for module in modules:
        lines += [f"::: {module}", ""]
        init = PACKAGE.joinpath(*module.split(".")[1:], "__init__.py")
        if init.is_file() and not has_public_definition(init):  # only its docstring: the names are documented below
            lines[-1:] = ["    options:", "      members: false", ""]
            lines += public_names(init, module)
    return "\n".join(lines)


def public_names(init: Path, module: str) -> list[str]:
    """Return a Markdown paragraph of links to what a folder offers by its `__init__`: its functions and classes."""
    links = []
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            home = f"{module}.{node.module}"
            body = ast.parse(source_of(home).read_text(encoding="utf-8")).body
            documented = {
                n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(n)
            }
            links += [f"[`{name.name}`][{home}.{name.name}]" for name in node.names if name.name in documented]
    return ["Public names: " + ", ".join(sorted(links)) + ".", ""] if links else []


def source_of(module: str) -> Path:
    """Return the file of a module or folder of the package, by its dotted name."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def api_index() -> str:
    """Return docs/api/index.md with the list of pages appended."""
    lines = [(ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8"), "## Pages", ""]
    for name, modules in api_modules().items():
        path = PACKAGE / name / "__init__.py" if (PACKAGE / name).is_dir() else PACKAGE / f"{name}.py"
        summary = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        lines.append(f"- [{TITLES.get(name, name)}]({name}.md) (`{modules[0]}`): {summary}")
    return "\n".join(lines) + "\n"


def titles_in(folder: Path) -> dict[str, str]:
    """{file name: first heading} of the Markdown pages in a folder, its index first."""
    paths = sorted(folder.glob("*.md"), key=lambda path: (path.stem != "index", path.stem))
    return {path.name: path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for path in paths}


# ------------------------------------------------------------------------------------------------ called by mkdocs

_formulas: dict[str, dict[str, str]] = {}


def underscores_are_letters():
    """Return a Markdown extension without emphasis by underscores: docstrings write indices as |x|_2."""
    from markdown.extensions import Extension
    from markdown.inlinepatterns import SimpleTextInlineProcessor

    class Underscores(Extension):
        def extendMarkdown(self, md):
            md.inlinePatterns.register(SimpleTextInlineProcessor(r"(_+)"), "underscores", 65)  # before emphasis: 60

    return Underscores()


def on_config(config):
    """Fill the parts of the navigation that list generated pages or whole folders."""
    config.markdown_extensions.append(underscores_are_letters())
    pages = {
        "Library": ["api/index.md", *({TITLES.get(name, name): f"api/{name}.md"} for name in api_modules())],
        "Decisions": [{title: f"decisions/{name}"} for name, title in titles_in(ROOT / "docs" / "decisions").items()],
        "Notebooks": ["notebooks/index.md", *(f"notebooks/{p.stem}.md" for p in sorted(NOTEBOOKS.glob("*.ipynb")))],
    }
    config.nav = [{name: pages.get(name, there) for name, there in entry.items()} for entry in config.nav]
    return config


def on_files(files, config):
    from mkdocs.structure.files import File

    def add(uri: str, content):
        files.append(File.generated(config, uri, content=content))

    add("index.md", readme())
    for picture in set(re.findall(r"\]\((data/[^)]+)\)", readme())):
        add(picture, (ROOT / picture).read_bytes())
    for name in ROOT_PAGES:
        add(
            name,
            (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](").replace("](README.md", "](index.md"),
        )
    add("options.md", options_page())
    files.remove(files.get_file_from_path("api/index.md"))
    add("api/index.md", api_index())
    for name, modules in api_modules().items():
        add(f"api/{name}.md", api_page(name, modules))
    add("notebooks/index.md", list_of_notebooks())
    notebooks = sorted(NOTEBOOKS.glob("*.ipynb"))
    for number, path in enumerate(notebooks, 1):
        print(f"docs: notebook {number} of {len(notebooks)}: {path.name}", flush=True)
        page, pictures = page_of(executed(path), path.stem)
        add(f"notebooks/{path.stem}.md", page)
        for name, content in pictures.items():
            add(f"notebooks/{name}", content)
    print("docs: rendering the pages", flush=True)
    return files


def on_page_markdown(markdown, page, config, files):
    for name in ROOT_PAGES:
        markdown = markdown.replace(f"](../{name}", f"]({name}")
    if not page.file.src_uri.startswith(WITH_FORMULAS):
        return markdown
    markdown, _formulas[page.file.src_uri] = without_formulas(markdown)
    return markdown


def on_page_content(content, page, config, files):
    for word, formula in _formulas.get(page.file.src_uri, {}).items():
        content = content.replace(word, formula)
    return content
