"""README and the pages of the guide agree with the code: options, exit codes, commands, recipes."""

import re
import signal
from pathlib import Path

import click
import numpy as np
import pytest

import stereo3d
from stereo3d import errors
from stereo3d.cli import checks as cli_module
from stereo3d.cli.parameters import Method, cli
from stereo3d.diagnosis.verdict import WORDS
from stereo3d.disparity import MATCHERS, compute_disparity, methods
from stereo3d.features import DETECTORS
from stereo3d.io import WRITERS
from stereo3d.mesh.meshers import MESHERS
from stereo3d.records import RectifiedPair

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAX_LINES = 200  # of the README: what is longer is a page in docs/


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


COMMAND_LINE, HOW_IT_WORKS = page("command-line"), page("how-it-works")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


def options_table() -> list[tuple[dict[str, str], str, str]]:
    """Return the rows of the table: {option: its metavar}, meaning, default."""
    section = COMMAND_LINE.split("## Options")[1].split("\n\n")[1]
    rows = []
    for line in section.strip().splitlines()[2:]:
        names, meaning, default = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:4])
        given = [word.partition(" ") for word in re.findall(r"`([^`]+)`", names)]
        rows.append(({name: value for name, _, value in given}, meaning, default))
    return rows


def test_the_table_of_options_is_that_of_the_command():
    """The options, their metavars, choices and defaults are those of the code."""
    options = {n: p for p in cli.commands["reconstruct"].params for n in (*p.opts, *p.secondary_opts) if n[0] == "-"}
    rows = options_table()
    named = [name for names, _, _ in rows for name in names]
    assert sorted(named) == sorted(options), set(named) ^ set(options)
    for names, meaning, default in rows:
        for name, value in names.items():
            option = options[name]
            assert bool(value) == (not option.is_flag), f"{name} {value}"
            if option.metavar:
                assert value == option.metavar, f"{name} {value}"
            if isinstance(option.type, Method):
                listed = re.findall(r"`(\w+)`", meaning)
                assert sorted(listed) == sorted(option.type.names()), name
            if isinstance(option.type, click.Choice):
                assert {f"`{choice}`" for choice in option.type.choices} <= set(re.findall("`[^`]+`", meaning)), name
            if option.show_default and option.default is not None:
                assert str(option.default) in default, f"{name}: {option.default}"


def test_every_command_is_named():
    for name in cli.commands:
        assert name == "reconstruct" or (f"`stereo3d {name}" in README and f"stereo3d {name}" in COMMAND_LINE), name


def test_every_notebook_is_named():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"`notebooks/{path.name}`" in HOW_IT_WORKS


def test_every_exit_code_is_named():
    for code in {*errors.CODES.values(), cli_module.EXIT_BUG, cli_module.EXIT_INTERRUPTED, 128 + signal.SIGTERM}:
        assert re.search(rf"^\| {code} \|", COMMAND_LINE, flags=re.M), code


def test_every_folder_and_single_module_is_in_the_picture():
    picture = README.split("## Architecture")[1].split("## Licence")[0]
    package = ROOT / "stereo3d"
    there = [*package.glob("*.py"), *(path.parent for path in package.glob("*/__init__.py"))]
    for path in there:
        if not path.stem.startswith("__"):
            assert re.search(rf"\b{path.stem}\b", picture), path.stem
    tables = {"MATCHERS": MATCHERS, "MESHERS": MESHERS, "DETECTORS": DETECTORS, "WRITERS": WRITERS}
    for label, table in tables.items():
        words = re.search(rf"\b{label} +([^\n]*)", picture)[1].split()
        assert sorted(words[: len(table)]) == sorted(table), label


def test_the_matcher_in_ten_lines_matches(monkeypatch, slanted_pair):
    source = next(b for b in blocks("python", HOW_IT_WORKS) if "def nearest" in b)
    names = {**vars(methods)}
    exec(source, names)
    assert len(source.split("MATCHERS =")[0].strip().splitlines()) <= 10
    monkeypatch.setitem(methods.MATCHERS, "nearest", names["nearest"])
    left, right, truth = slanted_pair.left.pixels, slanted_pair.right.pixels, slanted_pair.disparity_left
    h, w = truth.shape
    grid = np.stack(np.meshgrid(np.arange(w), np.arange(h)), -1).astype(np.float32)
    d_range = float(np.floor(truth.min())) - 2, float(np.ceil(truth.max())) + 2
    d, _ = compute_disparity(RectifiedPair(left, right, grid, grid), d_range, method="nearest", radius=3)
    kept = np.isfinite(d)
    assert kept.mean() > 0.6
    assert np.mean(np.abs(d - truth)[kept] <= 1) > 0.9


def test_the_recipe_in_python_runs(tmp_path, monkeypatch):
    source = next(b for b in blocks("python") if "import stereo3d\n" in b)
    # on smaller photos than the demo's
    from PIL import Image

    for side in ("left", "right"):
        with Image.open(ROOT / "data" / "demo" / f"{side}.jpg") as photo:
            photo.resize((560, 420), Image.Resampling.LANCZOS).save(tmp_path / f"{side}.jpg", exif=photo.info["exif"])
    monkeypatch.chdir(tmp_path)
    exec(compile(source, "README.md", "exec"), {})
    mesh = (tmp_path / "model.obj").read_text(encoding="utf-8")
    assert mesh.count("\nf ") > 10_000 and (tmp_path / "model.mtl").exists()


def test_the_readme_is_short_and_leads_to_every_page_of_the_guide():
    assert len(README.splitlines()) <= MAX_LINES
    commands = [line.split()[:2] for block in blocks("", README) for line in block.splitlines()]
    assert [c for c in commands if c[:1] == ["make"]] == [["make", "demo"], ["make", "test"]]
    for name in (
        "how-to-shoot",
        "recipes",
        "which-option",
        "faq",
        "limits",
        "benchmarks",
        "how-it-works",
        "command-line",
    ):
        assert f"](docs/{name}.md)" in README, name


def test_the_verdicts_are_those_of_the_code():
    rows = dict(re.findall(r"(?m)^\| (good|fair|poor|none) \| (.*?)[:.] ?", README))
    assert rows == {verdict: words for verdict, words in WORDS.items()}


OTHERS_OPTIONS = ("install", "benchmarks")  # pages with options of pip, docker and the benchmarks
PAGES = sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md") if p.stem not in OTHERS_OPTIONS)


@pytest.mark.parametrize("name", ["README.md", *PAGES])
def test_every_option_named_in_the_guide_is_one(name):
    """An option that is in no command is a remedy that leads nowhere."""
    text = (ROOT / name).read_text(encoding="utf-8")
    known = {"--help", "--version"}
    todo = [cli]
    while todo:
        command = todo.pop()
        known |= {opt for p in command.params for opt in (*p.opts, *p.secondary_opts)}
        todo += getattr(command, "commands", {}).values()
    for code in re.findall(r"`([^`\n]+)`", text):
        given = code if code.startswith("stereo3d ") else f"stereo3d {code}" if code.startswith("-") else ""
        for option in re.findall(r"(?<= )--[a-z][a-z0-9-]*", given):
            assert option in known, f"{name}: {code}"
    for line in "\n".join(blocks("", text)).splitlines():
        if line.startswith("stereo3d "):
            for option in re.findall(r"(?<= )--[a-z][a-z0-9-]*", line.partition("#")[0]):
                assert option in known, f"{name}: {line}"


def test_the_questions_are_many_and_name_findings_that_exist():
    text = page("faq")
    assert len(re.findall(r"(?m)^\*\*.+?[?.]\"?\*\*", text)) >= 25
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "stereo3d").rglob("*.py"))
    for code in re.findall(r"findings? `(\w+)`", text + page("how-to-shoot")):
        assert f'"{code}"' in source, code


def test_every_name_at_the_top_exists():
    for name in stereo3d.__all__:
        assert getattr(stereo3d, name) is not None
    assert callable(stereo3d.rectify) and callable(stereo3d.triangulate) and callable(stereo3d.diagnose)
    with pytest.raises(AttributeError):
        _ = stereo3d.no_such_name
