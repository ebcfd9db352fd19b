"""What a type checker sees of the package, in its strict mode: whole types, and the mistakes of a script."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import stereo3d

pytest.importorskip("basedpyright")

GOOD = """
import io
from pathlib import Path

import numpy as np
import stereo3d

result = stereo3d.reconstruct("left.jpg", Path("right.jpg"), matcher="sgm", max_size=1200)
verdict: str = result.verdict
for finding in result.findings:
    print(finding.code, finding.message.upper(), finding.numbers["x"])
left = stereo3d.read_photo(open("left.jpg", "rb"))
right = stereo3d.Photo.from_bgr(np.zeros((64, 64, 3), np.uint8))
focal: float | None = left.exif.get("focal_35mm")
result = stereo3d.reconstruct(io.BytesIO(b""), right.pixels, config=stereo3d.Config(seed=1), calib=["a.yml", Path("b")])
points = result.points[np.isfinite(result.points[..., 2])] * 2
area: float = result.mesh.to_trimesh().area
files: list[Path] = result.save("model.obj", texture="png", axes="z-up")
parts = [part.texture.shape for part in result.mesh.textured_parts()]
try:
    stereo3d.reconstruct(["a.jpg", b"", left])
except stereo3d.StereoError as error:
    print(error.code, error.advice, error.numbers["limit"])
print(result.to_open3d_points(), points, area, files, parts, focal, verdict)
"""
BAD = {  # line: what the checker says of it
    'stereo3d.reconstruct("a.jpg", "b.jpg", matchr="sgm")': 'No parameter named "matchr"',
    'stereo3d.reconstruct("a.jpg", "b.jpg", max_size="big")': '"max_size" of type "int"',
    'stereo3d.reconstruct("a.jpg", "b.jpg", rotate="left")': '"rotate" of type',
    'stereo3d.reconstruct("a.jpg", 3)': '"right" of type',
    "stereo3d.Config(sed=1)": 'No parameter named "sed"',
    "stereo3d.read_photo(3.5)": '"path" of type',
    'result.save("model.obj", textre="png")': 'No parameter named "textre"',
    'result.save("model.obj", quality="high")': '"quality" of type "int"',
    'result.save_points("points.ply", axs="camera")': 'No parameter named "axs"',
    'stereo3d.Config(rectified="no")': '"rectified" of type "bool"',
    "print(result.vertdict)": 'attribute "vertdict"',
    "print(result.mesh.vertces)": 'attribute "vertces"',
    "number: int = result.verdict": 'Type "str" is not assignable to declared type "int"',
    "print(stereo3d.no_such_name)": '"no_such_name" is not a known attribute',
    'result.left.exif["focal_355mm"]': '"focal_355mm" is not a defined key',
}


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, list[tuple[int, str]]]:
    """{file: (line from 0, message) of each error} of three scripts, checked together."""
    folder = tmp_path_factory.mktemp("types")
    names = "\n".join(f"print(stereo3d.{name})" for name in stereo3d._HOME)
    scripts = {
        "good.py": GOOD,
        "names.py": f"import stereo3d\n{names}\n",
        "bad.py": 'import stereo3d\nresult = stereo3d.reconstruct("a.jpg", "b.jpg")\n' + "\n".join(BAD) + "\n",
    }
    for name, text in scripts.items():
        (folder / name).write_text(text, encoding="utf-8")
    strict = {"typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (folder / "pyrightconfig.json").write_text(json.dumps(strict), encoding="utf-8")
    path = os.pathsep.join([str(Path(stereo3d.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, *scripts],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    answer = json.loads(run.stdout)
    errors: dict[str, list[tuple[int, str]]] = {name: [] for name in scripts}
    for entry in answer["generalDiagnostics"]:
        if entry["severity"] == "error":
            errors[Path(entry["file"]).name].append((entry["range"]["start"]["line"], entry["message"]))
    return errors


@pytest.mark.parametrize("script", ["good.py", "names.py"])
def test_every_public_name_has_a_whole_type(found, script):
    assert found[script] == []


@pytest.mark.parametrize("line", BAD)
def test_a_mistake_is_found_before_the_program_runs(found, line):
    messages = [message for number, message in found["bad.py"] if number == 2 + list(BAD).index(line)]
    assert any(re.search(re.escape(BAD[line]), message) for message in messages), found["bad.py"]
