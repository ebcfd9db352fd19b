"""What the README says is so: its options, its exit codes, its code."""

import re
from pathlib import Path

import numpy as np
import pytest

import stereo3d
from stereo3d import errors
from stereo3d.cli import cli
from stereo3d.disparity import compute_disparity, methods
from stereo3d.records import RectifiedPair

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


def test_every_option_of_the_run_is_named():
    for parameter in cli.commands["reconstruct"].params:
        for name in parameter.opts:
            if name.startswith("-"):
                assert re.search(rf"`[^`\n]*{re.escape(name)}\b", README), name
    for name in cli.commands:
        assert f"stereo3d {name}" in README or name == "reconstruct", name


def test_every_exit_code_is_named():
    for code in set(errors.CODES.values()):
        assert re.search(rf"^\| {code} \|", README, flags=re.M), code


def test_every_module_is_in_the_picture():
    picture = README.split("## Architecture")[1].split("**A matcher")[0]
    for path in (ROOT / "stereo3d").glob("*.py"):
        if not path.stem.startswith("__"):
            assert re.search(rf"\b{path.stem}\b", picture), path.stem


def test_the_matcher_in_ten_lines_matches(monkeypatch, slanted_pair):
    source = next(b for b in blocks("python") if "def nearest" in b)
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
    # the stages by themselves, on smaller photos than the demo's
    from PIL import Image

    for side in ("left", "right"):
        with Image.open(ROOT / "data" / "demo" / f"{side}.jpg") as photo:
            photo.resize((560, 420), Image.Resampling.LANCZOS).save(tmp_path / f"{side}.jpg", exif=photo.info["exif"])
    monkeypatch.chdir(tmp_path)
    exec(compile(source, "README.md", "exec"), {})
    mesh = (tmp_path / "model.obj").read_text(encoding="utf-8")
    assert mesh.count("\nf ") > 10_000 and (tmp_path / "model.mtl").exists()


def test_every_name_at_the_top_exists():
    for name in stereo3d.__all__:
        assert getattr(stereo3d, name) is not None
    assert callable(stereo3d.rectify) and callable(stereo3d.triangulate) and callable(stereo3d.diagnose)
    with pytest.raises(AttributeError):
        _ = stereo3d.no_such_name
