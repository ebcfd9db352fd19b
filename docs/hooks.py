"""What mkdocs is told beyond mkdocs.yml: the README as first page, the notebooks executed, the options out of the code.

The tests execute the notebooks through `execute` as well and leave them in out/notebooks; those that still fit the code
are taken from there.
"""

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
EM = 14.5  # px of a formula laid out at 16 px to one em of the text, whose letters are larger

# ------------------------------------------------------------------------------------------------------- notebooks


def execute(path: Path, *more: str):
    """The notebook, run in its own folder as a reader would; `more`: cells to run after its last."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in more]
    names = ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR")
    with tempfile.TemporaryDirectory() as folder:  # nothing is left in anybody's home
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
    """What the outcome of a notebook depends on: itself and the package."""
    digest = hashlib.sha256(path.read_bytes())
    for source in sorted((ROOT / "stereo3d").rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def store(path: Path, notebook) -> None:
    """Keep the executed notebook for the site."""
    import nbformat

    notebook.metadata["outcome_of"] = key_of(path)
    STORE.mkdir(parents=True, exist_ok=True)
    beside = STORE / f".{path.name}.{os.getpid()}"
    nbformat.write(notebook, beside)
    beside.replace(STORE / path.name)


def executed(path: Path):
    """The executed notebook: the stored one where it is of this very notebook and package."""
    import nbformat

    if (STORE / path.name).is_file():
        notebook = nbformat.read(STORE / path.name, as_version=4)
        if notebook.metadata.get("outcome_of") == key_of(path):
            return notebook
    notebook = execute(path)
    store(path, notebook)
    return notebook


def page_of(notebook, name: str) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, and its pictures by their path beside the page."""
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
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$(?! )([^$]+?)(?<! )\$", re.S)


def drawn(tex: str, display: bool) -> str:
    """LaTeX as inline SVG in the colour and size of the text, its source as the text that is read aloud."""
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
    """Markdown with a word in the place of each formula, and what each of these words stands for."""
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


def readme() -> str:
    """The README as the first page: what it says of the notebooks leads to them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.sub(r"`(notebooks/(\w+))\.ipynb`", r"[\2](\1.md)", text)


def list_of_notebooks() -> str:
    import nbformat

    words = (
        "Short text, an equation, a cell that shows it, a picture, a check against the truth. They lie in `notebooks/` "
        "and are executed with their pictures whenever the tests are run."
    )
    lines = ["# Notebooks", "", words, ""]
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        title, _, rest = cells[0].source.partition("\n")
        lead = " ".join(rest.strip().split("\n\n")[0].split())
        lines += [f"## [{path.stem[:2]} {title.lstrip('# ')}]({path.stem}.md)", "", lead, ""]
    return "\n".join(lines)


def options_page() -> str:
    """The command line's own tables, and the options of every method that -O takes, read from the signatures."""
    import click

    from stereo3d.cli import cli
    from stereo3d.disparity import MATCHERS
    from stereo3d.features import DETECTORS
    from stereo3d.mesh import MESHERS
    from stereo3d.pipeline import stage_options

    lines = ["# Options", "", "Everything here is read from the code.", ""]
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
    stages = [("detector", n, stage_options(detector=n)["detector"]) for n in DETECTORS]
    stages += [(s, "", stage_options()[s]) for s in ("pose", "rectify", "range")]
    stages += [("matcher", n, stage_options(matcher=n)["matcher"]) for n in MATCHERS]
    stages += [("mesher", n, stage_options(mesher=n)["mesher"]) for n in MESHERS]
    for stage, method, options in stages:
        lines += [f"### {stage} {method}".rstrip(), "", "| option | value |", "|---|---|"]
        lines += [f"| `{stage}.{name}` | {option.describe()} |" for name, option in options.items()]
        lines.append("")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------ called by mkdocs

_formulas: dict[str, dict[str, str]] = {}


def on_files(files, config):
    from mkdocs.structure.files import File

    def add(uri: str, content):
        files.append(File.generated(config, uri, content=content))

    add("index.md", readme())
    for picture in set(re.findall(r"\]\((data/[^)]+)\)", readme())):
        add(picture, (ROOT / picture).read_bytes())
    add("options.md", options_page())
    add("notebooks/index.md", list_of_notebooks())
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        page, pictures = page_of(executed(path), path.stem)
        add(f"notebooks/{path.stem}.md", page)
        for name, content in pictures.items():
            add(f"notebooks/{name}", content)
    return files


def on_page_markdown(markdown, page, config, files):
    if not page.file.src_uri.startswith("notebooks/"):
        return markdown
    markdown, _formulas[page.file.src_uri] = without_formulas(markdown)
    return markdown


def on_page_content(content, page, config, files):
    for word, formula in _formulas.get(page.file.src_uri, {}).items():
        content = content.replace(word, formula)
    return content
