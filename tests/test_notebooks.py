"""The notebooks run without an error, and their results are right; they are stored without outputs.

Each notebook checks its own results against the truth, by assertions with numbers. The executed notebooks are stored in
out/notebooks for the documentation site.
"""

import importlib.util
import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

from stereo3d.evaluation.pose import pose_errors, read_truth_camera, relative_pose
from stereo3d.geometry import hom, project, sampson
from stereo3d.io import read_map

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "data" / "demo"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LECTURES = {  # lectures of MIT 6.801, Fall 2020, that each notebook follows
    "01": {2, 16, 18, 19, 20, 21},
    "02": {17, 20, 21},
    "03": {17, 18, 19, 20, 21},
    "04": {11, 16, 21},
    "05": {3, 6, 21},
    "06": {5, 14, 21, 22},
}
HAND_OVER = """
import json
print(json.dumps({
    "R": view.R.tolist(), "t": view.t.tolist(), "F": F.tolist(), "matches": len(matches),
    "inliers": int(view.inliers.sum()), "pixels": pair.map1[known][::200].tolist(),
    "points": points[known][::200].tolist(), "f_scores": [s["f_score"] for s in scores.values()],
    "K": view.rig.cam1.K.tolist(), "dist": view.rig.cam1.dist.tolist(),
    "one_line": [len(result.mesh.vertices), len(meshes["grid"].vertices)],
}))
"""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stored_valid_small_and_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert notebook.metadata.kernelspec.name == "python3"
    assert path.stat().st_size < 100_000


def true_view():
    """Both cameras, R, t and the true depth of the demo pair."""
    camera1, *pose1 = read_truth_camera(DEMO / "cameras.json", "left")
    camera2, *pose2 = read_truth_camera(DEMO / "cameras.json", "right")
    depth = read_map(DEMO / "depth_left.npz", unknown=[0])
    return camera1, camera2, *relative_pose(*pose1, *pose2), depth


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outputs(notebook) -> list:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_names_lectures_and_sources_and_checks_itself(path):
    """It names its lectures and sources and checks its results by at least five assertions."""
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    assert "6.801" in text and "## Sources" in text and "$$" in text
    named = set()
    for first, last in re.findall(r"\b(\d+)(?: to (\d+))?", " ".join(re.findall(r"lectures? [^.:;]*", text))):
        named |= set(range(int(first), int(last or first) + 1))
    assert LECTURES[path.name[:2]] <= named
    assert len(re.findall(r"^\s*assert ", code, re.M)) >= 5


@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.name)
def test_a_notebook_runs_and_its_checks_hold(path, hooks):
    notebook = hooks.execute(path)
    hooks.store(path, notebook)
    found = outputs(notebook)
    assert sum("image/png" in output.get("data", {}) for output in found) >= 5
    assert str(ROOT) not in "".join(output.get("text", "") for output in found)
    assert hooks.executed(path).cells == notebook.cells, "the site does not reuse the notebook executed here"


def test_from_two_photos_to_a_mesh(hooks):
    """Compare pose, F, points and meshes of the first notebook with the truth stored with the photos."""
    path = NOTEBOOKS[0]
    notebook = hooks.execute(path, HAND_OVER)
    found = json.loads(notebook.cells.pop().outputs[-1].text)
    hooks.store(path, notebook)
    made = outputs(notebook)
    assert sum("image/png" in output.get("data", {}) for output in made) >= 10
    assert str(ROOT) not in "".join(output.get("text", "") for output in made)

    camera1, camera2, R, t, depth = true_view()
    errors = pose_errors(np.array(found["R"]), np.array(found["t"]), R, t)
    assert errors["rotation_deg"] < 0.1 and errors["direction_deg"] < 0.5
    assert found["inliers"] > 0.9 * found["matches"] > 900

    # F by the eight-point algorithm: exact pairs of pixels satisfy it
    factor = depth.shape[1] / camera1.size[0]
    y, x = np.mgrid[5 : depth.shape[0] : 23, 5 : depth.shape[1] : 23].reshape(2, -1)
    x1 = (np.stack([x, y], -1) + 0.5) / factor - 0.5
    X = hom((x1 - camera1.K[:2, 2]) / np.diag(camera1.K)[:2]) * depth[y, x][:, None]
    x2 = project(X, camera2.K, R, t)
    distance = np.abs(sampson(np.array(found["F"]), x1, x2))
    assert np.quantile(distance, 0.9) < 1.0

    # points: each on the ray of its own photo pixel, at the true depth after scaling by the true baseline. The camera
    # is the estimated one: EXIF's focal length is a prior that moves with the pose, here by less than 2 %.
    pixels, points, K = np.array(found["pixels"]), np.array(found["points"]), np.array(found["K"])
    assert np.abs(K[:2, :2] / K[0, 0] - np.eye(2)).max() < 0.01 and abs(K[0, 0] / camera1.K[0, 0] - 1) < 0.02
    assert np.abs(project(points, K, dist=np.array(found["dist"])) - pixels).max() < 0.2
    column, row = np.rint((pixels + 0.5) * factor - 0.5).astype(int).T
    z_true = depth[row.clip(0, depth.shape[0] - 1), column.clip(0, depth.shape[1] - 1)]
    off = np.abs(points[:, 2] * np.linalg.norm(t) / z_true - 1)
    assert np.median(off) < 0.003 and np.mean(off < 0.01) > 0.85

    assert min(found["f_scores"]) > 0.9
    assert found["one_line"][0] == found["one_line"][1]
