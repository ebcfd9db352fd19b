"""The page "From Python": its blocks run in their order, and give what the page says."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

import stereo3d

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "from-python.md"
BLOCK = re.compile(r"(<!-- pool.py -->\n)?```python\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def blocks() -> list[tuple[bool, str]]:
    """(whether it is a file of its own, code) of each block."""
    return [(bool(mark), code) for mark, code in BLOCK.findall(PAGE.read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The demo pair small, with its EXIF and its calibration."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("left.jpg", "right.jpg"):
        with Image.open(ROOT / "data" / "demo" / name) as picture:
            picture.resize((320, 240)).save(folder / name, quality=95, exif=picture.getexif())
    (folder / "rig.json").write_bytes((ROOT / "data" / "demo" / "rig.json").read_bytes())
    return folder


def test_every_block_of_the_page_runs_in_its_order(blocks, folder, monkeypatch):
    monkeypatch.chdir(folder)
    names: dict = {"__name__": "page"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for number, (alone, code) in enumerate(blocks):
            if not alone:
                exec(compile(code, f"block {number} of {PAGE.name}", "exec"), names)  # noqa: S102
    text = printed.getvalue()
    assert "Config(matcher='sgm'" in text and "photo_unreadable" in text
    assert "the first photo: a photo's pixels are 240 x 320 x 3 float64" in text
    assert names["result"].unit == "m" and names["result"].verdict in ("good", "fair")
    assert len(names["shape"].faces) == len(names["surface"].triangles) == len(names["result"].mesh.faces)
    assert len(names["points"]) and np.shape(names["disparity"]) == names["pair"].left.shape[:2]
    assert names["html"].startswith("<div>") and len(trimesh.load("stages.ply").faces) == len(names["mesh"].faces)
    for name in ("model.glb", "model.obj", "model.html", "points.ply", "stages.ply"):
        assert (folder / name).stat().st_size > 1000


def test_a_pool_returns_the_results_of_good_pairs_and_the_errors_of_bad_ones(blocks, folder, tmp_path):
    """Ten pairs, two of them bad: eight meshes and two errors, in the order of the pairs."""
    for k in range(10):
        for name in ("left", "right"):
            data = (folder / f"{name}.jpg").read_bytes()
            if k == 3 and name == "right":
                data = data[:3000]
            if k == 7 and name == "right":
                noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
                Image.fromarray(noise).save(file := io.BytesIO(), "JPEG")
                data = file.getvalue()
            (tmp_path / f"{name}{k}.jpg").write_bytes(data)
    (tmp_path / "rig.json").write_bytes((folder / "rig.json").read_bytes())
    [code] = [code for alone, code in blocks if alone]
    (tmp_path / "pool.py").write_text(code.replace("max_size=1000", "max_size=240"), encoding="utf-8")
    path = os.pathsep.join([str(Path(stereo3d.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "pool.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [f"left{k}.jpg" for k in range(10)]
    assert all(line.split()[1] in ("good", "fair", "poor") for k, line in enumerate(lines) if k not in (3, 7))
    assert lines[3].split()[1] == "photo_unreadable" and "right3.jpg: a damaged or truncated JPEG" in lines[3]
    assert lines[7].split()[1] in stereo3d.errors.CODES
    assert sorted(p.name for p in tmp_path.glob("*.glb")) == [f"left{k}.glb" for k in range(10) if k not in (3, 7)]
