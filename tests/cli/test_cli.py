"""The command: photos to files read back by other libraries, and what happens when it is asked for what cannot be."""

import importlib
import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import trimesh
from PIL import Image

from stereo3d import errors, pipeline
from stereo3d.cameras import read_rig
from stereo3d.cli import entry_point, parameters
from stereo3d.disparity import MATCHERS, compute_disparity
from stereo3d.disparity.choice import NETWORKS
from stereo3d.errors import StereoError
from stereo3d.evaluation.disparity import disparity_scores
from stereo3d.evaluation.mesh import mesh_scores
from stereo3d.features import DETECTORS
from stereo3d.features.networks import NETWORK_DETECTORS
from stereo3d.geometry import project
from stereo3d.geometry.triangles import face_components
from stereo3d.io import read_map, read_mesh
from stereo3d.mesh.meshers import MESHERS
from stereo3d.options import QUALITIES
from stereo3d.output import stage_files
from stereo3d.pipeline import Config
from stereo3d.pipeline import run as run_module
from stereo3d.synthetic import scenes, write

SIZE = (320, 240)
QUICK = "--matcher", "sgm", "--mesher", "grid"  # for what is no test of methods


@pytest.fixture(scope="module")
def scene(render_once):
    return render_once("handheld", size=SIZE, supersample=2)


@pytest.fixture(scope="module")
def folder(scene, tmp_path_factory):
    """A pair on disk with its truth; no test writes into it."""
    folder = tmp_path_factory.mktemp("pair")
    write.write_pair(folder, scene)
    return folder


@pytest.fixture(scope="module")
def result(scene):
    return pipeline.reconstruct(scene.left, scene.right, scene.rig, Config(matcher="sgm", mesher="grid"))


COMPILING = re.compile(r"(?m)^compiling .*\n")  # said where kernels are not kept yet: a matter of what ran before


@pytest.fixture
def run(capsys):
    """The command in this process: code, out, err."""

    def run(*args):
        capsys.readouterr()
        code = entry_point.main([os.fspath(a) if isinstance(a, Path) else str(a) for a in args])
        captured = capsys.readouterr()
        return SimpleNamespace(code=code, out=captured.out, err=COMPILING.sub("", captured.err))

    return run


@pytest.fixture
def quick(monkeypatch, result):
    """The run's outcome is there already: only what the command does with it is at stake."""
    monkeypatch.setattr("stereo3d.pipeline.run.reconstruct", lambda *args, **kwargs: result)


@pytest.fixture
def no_work(monkeypatch):
    """A photo that is read fails the test."""

    def read(path, **_):
        pytest.fail(f"{path} was read before the command line was checked")

    monkeypatch.setattr("stereo3d.pipeline.sources.read_photo", read)
    monkeypatch.setattr("stereo3d.images.read.read_photo", read)


def tree(*folders) -> dict:
    """Every path with its mode and its bytes, or where a link leads."""
    found = {}
    for folder in folders:
        for path in [folder, *sorted(folder.rglob("*"))]:
            mode = path.lstat().st_mode
            plain, link = stat.S_ISREG(mode), stat.S_ISLNK(mode)
            found[path] = mode, path.read_bytes() if plain else os.readlink(path) if link else None
    return found


STAGE_LINE = re.compile(rf"(?m)^(?:{'|'.join((*run_module.STAGES, 'write'))}) +(?:about )?[\d.]+ (?:s|min).*\n")


def without_stages(err: str) -> str:
    """What was said beside the stages as they went."""
    return STAGE_LINE.sub("", COMPILING.sub("", err))


def one_message(answer, code, *words):
    """What the user sees of a failure: one line, what and what to do, and the documented exit code."""
    assert answer.code == code, (answer.code, answer.err)
    assert answer.out == ""
    err = without_stages(answer.err)
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith("\n"), answer.err
    assert "Traceback" not in answer.err and "this is a bug" not in answer.err
    for word in words:
        assert re.search(word, err, re.I), (word, err)
    assert re.search(r"[.?] [A-Za-z`].*[.?]$", err.strip()), f"what to do? {err}"


# ----------------------------------------------------------------------------------------------- the whole run


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """The command as a user types it, in a process of its own, with everything that it writes."""
    out = tmp_path_factory.mktemp("whole")
    args = [
        "left.png",
        "right.png",
        "-o",
        out / "model.obj",
        "--json",
        out / "facts.json",
        "--save-stages",
        out / "stages",
        "--preview",
        out / "view.png",
        "--calib",
        "rig.json",
    ]
    before = tree(folder)
    done = subprocess.run(
        [sys.executable, "-m", "stereo3d.cli", *map(str, args)], cwd=folder, capture_output=True, text=True
    )
    assert tree(folder) == before
    said = COMPILING.sub("", done.stderr)
    return SimpleNamespace(out=out, code=done.returncode, stdout=done.stdout, stderr=said)


def test_the_summary_states_the_results_and_their_reliability(whole):
    assert whole.code == 0 and without_stages(whole.stderr) == ""
    assert [line.split()[0] for line in whole.stderr.splitlines()] == [*run_module.STAGES, "write"]
    assert re.match(r"good: .*\. No measurement contradicts this shape\.\n", whole.stdout), "the verdict leads"
    assert "focal length" in whole.stdout
    for row in (
        r"coverage +\d+ % of the first photo",
        r"depth +relative uncertainty [\d.]+ % \(median\): [\d.]+ m at the middle distance of [\d.]+",
        "unit +metric, in m",
        r"mesh +\d+ vertices, \d+ faces",
        r"time +[\d.]+ (s|min .*) with writing \(.*GB of memory",
        r"wrote +.*model\.obj \([\d.]+ MB",
    ):
        assert re.search(rf"(?m)^  {row}", whole.stdout), row
    listed = whole.stdout.split("  wrote ")[1].splitlines()
    assert [re.search(r"(\S+) \(", line)[1].rpartition("whole0/")[2] for line in listed[:-1]] == [
        "model.obj",
        "model.mtl",
        "model_texture.jpg",
        "view.png",
        "facts.json",
        "stages/",
    ]
    assert listed[-1] == f"next: look at it: stereo3d view {whole.out}/model.obj"
    assert len(whole.stdout.splitlines()) < 20


def test_exactly_the_files_promised_are_there(whole):
    stages = {f"stages/{name}" for name in stage_files.STAGE_FILES}
    named = {"model.obj", "model.mtl", "model_texture.jpg", "facts.json", "view.png"}
    assert {str(p.relative_to(whole.out)) for p in whole.out.rglob("*") if p.is_file()} == named | stages


def test_the_obj_read_by_trimesh_is_the_scene(whole, scene):
    import trimesh

    mesh = trimesh.load(whole.out / "model.obj", process=False)
    assert mesh.visual.material.image.size == SIZE, "the texture is the first photo at its full size"
    pixels = np.asarray(mesh.visual.material.image.convert("RGB")).astype(int)
    assert np.abs(pixels - scene.left.pixels).mean() < 3
    # metric and in the camera's frame, y up in the file: each vertex is on the ray of its own texture pixel
    X = mesh.vertices * [1, -1, -1]
    x = X @ scene.rig.cam1.K.T
    uv = mesh.visual.uv * [1, -1] + [0, 1]
    x = x[:, :2] / x[:, 2:]
    inside = np.all((x > -0.5) & (x < np.array(SIZE) - 0.5), 1)  # beyond, the border of the texture is repeated
    assert inside.mean() > 0.95 and np.abs(x - (uv * SIZE - 0.5))[inside].max() < 0.05
    # and triangles face the camera
    centres, normals = X[mesh.faces].mean(1), mesh.face_normals * [1, -1, -1]
    assert (np.sum(centres * normals, 1) < 0).mean() > 0.99

    d = float(np.median(scene.rig.cam1.focal * np.linalg.norm(scene.rig.t) / scene.depth1))
    scores = mesh_scores(
        read_mesh(whole.out / "model.obj"), scene.depth1, scene.rig.cam1, threshold=1 / d, align="none", samples=50_000
    )
    v = scene.visible1.mean()  # see test_pipeline.py
    assert scores["f_score"] > 0.95 * 2 * v / (1 + v) and scores["metric_depth_median_percent"] * d < 15, scores


def test_the_json_is_complete(whole, scene):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    facts = json.loads((whole.out / "facts.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert {f["code"] for f in facts["findings"]} >= {"focal"}
    assert all({"code", "severity", "message", "numbers", "advice"} == set(f) for f in facts["findings"])
    assert facts["verdict"] == "good" and 0.5 < facts["coverage"] <= 1 and 0 < facts["precision"] < 0.1
    assert np.allclose(facts["cameras"]["left"]["K"], scene.rig.cam1.K)
    assert np.allclose(facts["t"], scene.rig.t) and facts["unit"] == "m"
    assert facts["inliers"] <= facts["matches"] and facts["mesh"]["faces"] > 1000
    assert [s["name"] for s in facts["stages"]] == list(run_module.STAGES)
    assert all(s["seconds"] >= 0 and s["peak_mb"] > 10 for s in facts["stages"])
    assert facts["seconds"] >= sum(s["seconds"] for s in facts["stages"])
    assert {"python", "stereo3d", "numpy", "opencv-python", "numba"} <= set(facts["versions"])
    assert set(facts["options"]) == {f.name for f in fields(Config)}
    assert facts["photos"] == ["left.png", "right.png"] and len(facts["exif"]) == 2
    named = {Path(f).name for f in facts["files"]}
    assert {"model.obj", "model.mtl", "model_texture.jpg", "view.png", "points.ply"} <= named


def test_the_stages_are_read_back_by_others(whole, scene, run):
    import cv2
    import trimesh
    from PIL import Image

    stages = whole.out / "stages"
    disparity = cv2.imread(str(stages / "disparity.pfm"), cv2.IMREAD_UNCHANGED)
    confidence = cv2.imread(str(stages / "confidence.pfm"), cv2.IMREAD_UNCHANGED)
    maps = np.load(stages / "rectified_maps.npz")
    height, width = disparity.shape
    assert confidence.shape == disparity.shape and maps["map1"].shape == maps["map2"].shape == (height, width, 2)
    for name in ("rectified_left", "rectified_right", "disparity", "confidence"):
        with Image.open(stages / f"{name}.png") as picture:
            assert picture.size == (width, height) and picture.mode == "RGB"
    known = np.isfinite(disparity)
    assert np.all((confidence[known] >= 0) & (confidence[known] <= 1)) and np.all(confidence[~known] == 0)
    # colours where something is known, black where not
    colour = np.asarray(Image.open(stages / "disparity.png"))
    assert np.array_equal(colour.any(-1), known)

    matches = np.load(stages / "matches.npz")
    assert matches["x1"].shape == matches["x2"].shape == (len(matches["score"]), 2)
    facts = json.loads((stages / "cameras.json").read_text())
    assert facts["inliers"] == matches["inliers"].sum() and facts["matches"] == len(matches["score"])
    x1, x2 = (np.c_[matches[k][matches["inliers"]], np.ones(facts["inliers"])] for k in ("x1", "x2"))
    F = np.array(facts["F"])
    lines = x1 @ F.T
    distance = np.abs(np.sum(lines * x2, 1)) / np.linalg.norm(lines[:, :2], axis=1)
    assert np.linalg.matrix_rank(F, tol=1e-8) == 2 and np.quantile(distance, 0.9) < 3

    cloud = trimesh.load(stages / "points.ply")
    depth = -cloud.vertices[:, 2]
    x = (cloud.vertices * [1, -1, -1]) @ scene.rig.cam1.K.T
    x = np.rint(x[:, :2] / x[:, 2:]).astype(int).clip(0, np.array(SIZE) - 1)
    assert np.median(np.abs(depth / scene.depth1[x[:, 1], x[:, 0]] - 1)) < 0.01
    colours = np.asarray(cloud.colors)[:, :3].astype(int)
    assert np.median(np.abs(colours - scene.left.pixels[x[:, 1], x[:, 0]])) < 12

    rig = read_rig(stages / "cameras.json", (SIZE, SIZE))
    assert np.allclose(rig.R, scene.rig.R) and np.allclose(rig.t, scene.rig.t) and rig.unit == "m"
    with Image.open(stages / "matches.png") as picture:
        assert picture.size[0] == 1600


def test_every_match_is_drawn(result):
    """Photos drawn at twice their size: a match at x lies at 2 x + 1/2, green where it agrees and red where not."""
    wrong = ~result.view.inliers
    wrong[:5] = True
    result = replace(result, view=replace(result.view, inliers=~wrong))
    sheet = stage_files.draw_matches(result, width=2 * SIZE[0]).astype(int)
    assert sheet.shape == (2 * SIZE[1], 4 * SIZE[0], 3)
    for side, x in enumerate((result.matches.x1, result.matches.x2)):
        at = np.rint(2 * x + 0.5).astype(int) + [2 * side * SIZE[0], 0]
        red, green = sheet[at[:, 1], at[:, 0], 0], sheet[at[:, 1], at[:, 0], 1]
        assert np.all((red > 200)[wrong]) and np.mean((green > 200)[~wrong]) > 0.95, "some lie under a red dot"


def test_the_preview_is_a_picture(whole):
    from PIL import Image

    with Image.open(whole.out / "view.png") as picture:
        assert min(picture.size) > 100 and len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 100


def test_the_cameras_found_are_measured_and_used_again(whole, folder, run, tmp_path):
    """cameras.json of one run: `eval pose` against truth, and --calib of the next run."""
    estimated = run(
        folder / "left.png",
        folder / "right.png",
        "-o",
        tmp_path / "a.glb",
        "--focal",
        read_rig(folder / "rig.json").cam1.focal,
        *QUICK,
        "--save-stages",
        tmp_path / "s",
        "-q",
    )
    assert (estimated.code, estimated.out, estimated.err) == (0, "", "")
    scores = json.loads(run("eval", "pose", tmp_path / "s/cameras.json", folder / "cameras.json", "--json").out)
    assert scores["rotation_deg"] < 0.3 and scores["direction_deg"] < 1.5 and abs(scores["focal_percent"]) < 1e-6
    words = run("eval", "pose", whole.out / "stages/cameras.json", folder / "cameras.json")
    assert words.code == 0 and re.search(r"rotation_deg: \S+", words.out)
    again = run(
        folder / "left.png",
        folder / "right.png",
        "-o",
        tmp_path / "b.ply",
        *QUICK,
        "--calib",
        tmp_path / "s/cameras.json",
    )
    assert again.code == 0 and "from the calibration" in again.out
    assert "the distance between the cameras" in again.out, "the first run had no scale, so this one has none"
    import trimesh

    a, b = trimesh.load(tmp_path / "a.glb", force="mesh"), trimesh.load(tmp_path / "b.ply")
    assert len(b.faces) == pytest.approx(len(a.faces), rel=0.02)
    assert b.extents == pytest.approx(a.extents, rel=0.05)


def test_eval_mesh_measures_the_obj(whole, folder, run):
    args = "eval", "mesh", whole.out / "model.obj", "--depth", folder / "depth_left.npy", "--cameras"
    scores = json.loads(run(*args, folder / "cameras.json", "--threshold", 0.04, "--align", "none", "--json").out)
    assert scores["f_score"] > 0.85 and scores["threshold"] == 0.04 and scores["align"] == "none"
    one_message(run(*args, folder / "cameras.json", "--view", "third"), 2, "third", "left, right")
    one_message(run(*args, folder / "calib.txt"), 3, "no such file")


# ----------------------------------------------------------------------------------------------- what is said


def test_quiet_is_silent_and_verbose_explains(folder, run, tmp_path):
    args = folder / "left.png", folder / "right.png", "-o", tmp_path / "m.glb", *QUICK, "--calib"
    said = run(*args, folder / "rig.json", "-q", "--no-progress")
    assert (said.code, said.out, said.err) == (0, "", "")
    said = run(*args, folder / "rig.json", "-v")
    for stage in run_module.STAGES:
        assert re.search(rf"^{stage}: \d+\.\d+ s$", said.err, re.M)
    assert "wrote" in said.out
    for choice in (
        r"first photo: 320 x 240 px, focal length \d+ px \(rig JSON",
        r"sift: \d+ and \d+ features",
        "pose from the calibration: .* matches agree",
        r"rectified: planar, \d+ x \d+ px; disparities",
        "grid: .* faces",
    ):
        assert re.search(choice, said.err), choice


def test_progress_shows_each_stage_and_the_time_expected_from_earlier_runs(monkeypatch, folder, run, tmp_path, result):
    monkeypatch.setenv("STEREO3D_CACHE", str(tmp_path / "cache"))

    def reconstruct(*args, progress, **kwargs):
        for stage in run_module.STAGES:
            progress(stage, 1000, "")
        progress("done", 0, "")
        return result

    monkeypatch.setattr("stereo3d.pipeline.run.reconstruct", reconstruct)
    args = folder / "left.png", folder / "right.png", "-o", tmp_path / "m.glb"
    stages = [*run_module.STAGES, "write"]
    for line, stage in zip(run(*args).err.splitlines(), stages, strict=True):
        assert re.fullmatch(rf"{stage} +\d+\.\d s", line)
    assert run(*args, "--no-progress").err == run(*args, "-q").err == ""
    speeds = json.loads((tmp_path / "cache" / "speeds.json").read_text())
    assert set(speeds) == {*run_module.STAGES, "write .glb"} and all(len(v) == 3 for v in speeds.values())
    # what took long in the past is announced
    slow = [[1000, 100], [1000, 20], [1000, 125]]
    (tmp_path / "cache" / "speeds.json").write_text(json.dumps({**speeds, "mesh": slow}))
    assert "mesh       about 100 s ...\nmesh       0.0 s\n" in run(*args).err
    for spoiled in ("no json", '{"mesh": "fast"}', '{"mesh": [null]}', '{"mesh": [0.1]}', '{"mesh": [[0, 1]]}', "[1]"):
        (tmp_path / "cache" / "speeds.json").write_text(spoiled)
        assert run(*args).code == 0
    (tmp_path / "cache" / "speeds.json").unlink()
    (tmp_path / "cache").rmdir()
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert run(*args).code == 0


def on_a_terminal(command, environment, tmp_path) -> str:
    """What a command writes to a terminal of 80 x 24."""
    import pty
    import termios

    watcher, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    process = subprocess.Popen(
        [*COMMAND, *map(str, command)], stdout=terminal, stderr=terminal, stdin=terminal, env=environment, cwd=tmp_path
    )
    os.close(terminal)
    said = b""
    while True:
        try:
            some = os.read(watcher, 65536)
        except OSError:  # Linux' way to say that the other end is closed
            break
        if not some:
            break
        said += some
    os.close(watcher)
    assert process.wait() == 0, said
    return said.decode()


def test_on_a_terminal_the_lines_move_and_the_summary_fits(folder, tmp_path):
    photos = folder / "left.png", folder / "right.png"
    command = [*photos, "-o", "m.ply", *QUICK, "--calib", folder / "rig.json"]
    plain = {k: v for k, v in os.environ.items() if k not in ("CI", "NO_COLOR")} | {"TERM": "xterm"}
    said = on_a_terminal(command, plain, tmp_path)
    assert "\x1b[2K" in said and "\u2713" in said, "lines are drawn over"
    last = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", said).replace("\r", "").split("\u2713 write")[-1].splitlines()
    assert len(last) < 20 and max(map(len, last)) <= 80 and last[1].startswith("good: ")
    for quieter in ({"NO_COLOR": "1"}, {"CI": "true"}):
        said = on_a_terminal(command, plain | quieter, tmp_path)
        assert "\x1b[2K" not in said and "\u2713" not in said
        assert [w for w in re.findall(r"(?m)^(\w+) +[\d.]+ s\r$", said)] == [*run_module.STAGES, "write"]
        assert "NO_COLOR" not in quieter or "\x1b[" not in said.removesuffix("\x1b[0m")  # numba's farewell


def test_a_warning_is_printed_with_its_advice(monkeypatch, folder, run, tmp_path, result):
    from stereo3d.records import Finding

    odd = Finding("odd", "warning", "the light is odd (3 lux).", {}, "Wait for the sun.")
    monkeypatch.setattr(
        "stereo3d.pipeline.run.reconstruct", lambda *a, **k: replace(result, findings=[*result.findings, odd])
    )
    said = run(folder / "left.png", folder / "right.png", "-o", tmp_path / "m.ply")
    assert "warning: the light is odd (3 lux). Wait for the sun." in said.out


def test_force_shows_what_comes_out(run, wrong, tmp_path):
    pair = wrong / "plane" / "left.png", wrong / "plane" / "right.png"
    answer = run(*pair, "-o", tmp_path / "m.ply", *QUICK, "--json", tmp_path / "m.json", "--force")
    assert answer.code == 0 and without_stages(answer.err) == "" and (tmp_path / "m.ply").stat().st_size > 10_000
    assert answer.out.startswith("none: Do not believe this shape: both photos show a single plane")
    assert re.search("^error: the scene is one plane", answer.out, flags=re.M)
    facts = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    assert [f["code"] for f in facts["findings"] if f["severity"] == "error"] == ["flat_scene"]
    assert facts["verdict"] == "none" and facts["options"]["force"] is True


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["-h"],
        *([name, "--help"] for name in parameters.cli.commands),
        ["eval", "disparity", "-h"],
        ["eval", "mesh", "-h"],
        ["eval", "pose", "-h"],
    ],
    ids=" ".join,
)
def test_every_help(run, words):
    said = run(*words)
    assert said.code == 0 and said.err == "" and "Usage: stereo3d" in said.out
    assert max(map(len, said.out.splitlines())) <= 110
    if words[0] in ("-h", "--help", "reconstruct"):
        assert "Examples:" in said.out and "Exit codes:" in said.out
        for code in set(errors.CODES.values()):
            assert re.search(rf"\b{code}\s", said.out.split("Exit codes:")[1])


def test_help_is_short_and_grouped(run):
    assert len(run("--help").out.splitlines()) <= 46
    said = run("reconstruct", "--help").out
    assert (
        len(said.splitlines()) <= 107 and "--matcher [block|sgbm|sgm|planes_fast|planes|planes_full|onnx:FILE]" in said
    )
    shown = [p for p in parameters.cli.commands["reconstruct"].params if p.opts[0].startswith("-")]
    grouped = [name for names in parameters.GROUPS.values() for name in names]
    assert sorted(p.name for p in shown) == sorted(grouped), "every option in one group"
    for option in shown:
        assert f"{option.opts[-1]} " in said
    for title in parameters.GROUPS:
        assert re.search(rf"(?m)^{title}:$", said)


@pytest.mark.parametrize(
    "words, expected",
    [
        (["stereo3d", "me"], "plain,methods"),
        (["stereo3d", "pho"], "file,pho"),
        (["stereo3d", "a.jpg", "b.j"], "file,b.j"),
        (["stereo3d", "a.jpg", "b.jpg", "--save-s"], "plain,--save-stages"),
        (["stereo3d", "a.jpg", "b.jpg", "--matcher", "bl"], "plain,block"),
        (["stereo3d", "a.jpg", "b.jpg", "-O", "pose.thr"], "plain,pose.threshold="),
        (["stereo3d", "a.jpg", "b.jpg", "-O", "rectify.kind=p"], "plain,rectify.kind=polar"),
        (["stereo3d", "a.jpg", "b.jpg", "--matcher", "block", "-O", "matcher.rad"], "plain,matcher.radius="),
        (["stereo3d", "view", "--no-"], "plain,--no-open"),
    ],
    ids=lambda v: v[-1] if isinstance(v, list) else "",
)
def test_the_shell_completes(monkeypatch, words, expected):
    from click.shell_completion import BashComplete

    complete = BashComplete(parameters.cli, {}, "stereo3d", "_STEREO3D_COMPLETE")
    items = [complete.format_completion(item) for item in complete.get_completions(words[1:-1], words[-1])]
    assert expected in items


def test_version_and_nothing(run):
    from importlib import metadata

    assert metadata.version("stereo3d") in run("--version").out
    said = run()
    assert said.code == 2 and "Usage: stereo3d LEFT [RIGHT]" in said.err


def test_doctor_reports_faults_by_its_exit_code(run, monkeypatch):
    """What is found of this installation: tests/install/test_doctor.py."""
    from stereo3d.records import Finding

    sound, broken = Finding("x", "info", "Python 3.", {}, ""), Finding("y", "error", "it is broken.", {}, "Mend it.")
    for found, code in (([sound], 0), ([sound, broken], 7)):
        monkeypatch.setattr("stereo3d.install.doctor.check", lambda found=found: found)
        said = run("doctor")
        assert said.code == code and "Python 3." in said.out
        assert ("\nERROR   it is broken. Mend it.\n" in said.out) == (code == 7)


# ----------------------------------------------------------------------------------------------- options


def test_the_parameters_are_the_fields_of_config():
    """Defaults live once: what the command takes and what Config takes are the same, by name and by default."""
    own = {
        "photos",
        "pairs",
        "output",
        "options",
        "quality",
        "axes",
        "texture",
        "jpeg_quality",
        "mark_filled",
        "lit",
        "meshopt",
        "centre",
        "up",
        "crop",
        "solid",
        "points",
        "depth",
        "normals",
        "confidence",
        "cameras",
        "save_stages",
        "json_file",
        "preview",
        "turntable",
        "report",
        "verbose",
        "quiet",
        "progress",
    }
    given = parameters.cli.commands["reconstruct"].make_context("", ["a.jpg", "b.jpg", "-o", "c.obj"]).params
    assert own <= set(given)
    settings = {f.name: f.default for f in fields(Config) if f.name != "options"}
    taken = {name: value for name, value in given.items() if name not in own}
    assert taken.pop("calib") == () and Config(calib=()).calib is settings.pop("calib")  # it may be given twice
    assert taken == settings


def test_the_matcher_of_disparity_is_that_of_config():
    [matcher] = [p for p in parameters.cli.commands["disparity"].params if p.name == "matcher"]
    assert matcher.default == Config().matcher


CHOICES = [("matcher", n) for n in MATCHERS] + [("mesher", n) for n in MESHERS] + [("detector", n) for n in DETECTORS]


@pytest.fixture
def asked(monkeypatch, folder, run, tmp_path):
    """What Config a command line makes; None where it is refused."""
    made = []

    def reconstruct(left, right, *, config, progress, meter, reserve):
        made.append(config)
        raise StereoError("few_matches", "3 matches.", "Stop here.")

    monkeypatch.setattr("stereo3d.pipeline.run.reconstruct", reconstruct)

    def ask(*args):
        made.clear()
        answer = run(folder / "left.png", folder / "right.png", "-o", tmp_path / "m.obj", *args)
        assert answer.code == (5 if made else 2), answer.err
        return made[0] if made else answer

    return ask


def test_quality_chooses_the_matcher_and_the_size(asked):
    for quality, chosen in QUALITIES.items():
        config = asked("--quality", quality)
        assert {name: getattr(config, name) for name in chosen} == chosen
    assert asked("--quality", "fast", "--max-size", "1200").max_size == 1200
    assert "Give one of them" in asked("--quality", "best", "--matcher", "sgm").err
    assert "fast, normal, best" in asked("--quality", "good").err


@pytest.mark.parametrize("stage, name", CHOICES)
def test_every_method_can_be_chosen(asked, run, stage, name):
    assert getattr(asked(f"--{stage}", name), stage) == name
    assert re.search(rf"^{stage} {name}: \w", run("methods").out, re.M)


def test_every_option_listed_is_taken(asked, run):
    """As listed, with its own default as the value, and the method that the list puts it under."""
    under, taken, networks = [], set(), {*NETWORKS, *NETWORK_DETECTORS}
    for line in run("methods").out.splitlines():
        if head := re.match(r"(detector|matcher|mesher) (\w+): ", line):
            under = [f"--{head[1]}", head[2]]
        elif line.startswith("stages"):
            under = []
        elif option := re.match(r" +-O (\S+)=VALUE .*, default (\S+)$", line):
            stage, _, of_stage = option[1].partition(".")
            named = ["-O", f"{stage}.model=net.onnx"] if {*under} & networks else []
            value = "net.onnx" if of_stage == "model" else option[2]
            config = asked(*under, *named, "-O", f"{option[1]}={value}")
            known = {option[1], f"{stage}.model"} if named else {option[1]}
            assert isinstance(config, Config) and {*config.options} == known, line
            if not {*under} & networks:
                taken.add((*under[1:], option[1]))
        else:
            assert line.startswith("scenes"), line
    there = {(*([method] if own else []), f"{stage}.{option.name}") for stage, method, option, own in all_options()}
    assert taken == there


def all_options():
    """(stage, method, Option, whether it is the method's own)."""
    from stereo3d.options import options_of

    tables = {"detector": DETECTORS, "matcher": MATCHERS, "mesher": MESHERS}
    for stage in pipeline.stage_options():
        for method in tables.get(stage, {"": None}):
            known = pipeline.stage_options(**({stage: method} if method else {}))[stage]
            mine = options_of(tables[stage][method]) if method else {}
            for option in known.values():
                yield stage, method, option, option.name in mine


@pytest.mark.parametrize(
    "stage, method, option", [o[:3] for o in all_options()], ids=[f"{s}-{m}-{o.name}" for s, m, o, _ in all_options()]
)
def test_values_that_make_no_sense_are_refused_before_any_work(asked, no_work, stage, method, option):
    chosen = [f"--{stage}", method] if method else []
    wrong = ["", "a lot"] if option.kind is not str else ["", "nothing"] if option.choices else [""]  # or a file's name
    if option.kind in (int, float) and not option.choices:
        assert option.bounds is not None, "a number without bounds is a value without sense waiting to be given"
        wrong += ["nan", "inf", "-inf", "1e400"]
        wrong += [
            repr(option.kind(bound + sign * (1 + abs(bound))))
            for bound, sign in ((option.bounds.low, -1), (option.bounds.high, 1))
            if np.isfinite(bound)
        ]
    if option.kind is int:
        wrong.append("2.5")
    for value in wrong:
        answer = asked(*chosen, "-O", f"{stage}.{option.name}={value}")
        one_message(answer, 2, re.escape(option.name), "It is|There are")


@pytest.mark.parametrize(
    "args, words",
    [
        (["--matcher", "magic"], "magic.*There are: block, sgbm, sgm"),
        (["--mesher", "magic"], "There are: poisson, grid"),
        (["--detector", "SIFT"], "There are: sift, orb"),
        (["--matcher", "sgm", "-O", "matcher.magic=1"], "window.*tolerance"),
        (["-O", "magic.p1=1"], "stages: detector, pose, rectify, range, matcher, mesher"),
        (["-O", "p1=1"], "stage.name=value"),
        (["-O", "matcher.p1"], "has no value"),
        (["-O", "=3"], "has no value"),
        (["-O", "matcher.threads=2"], "no option 'threads'"),
        (["--max-size", "1000000000"], "64 to 32000"),
        (["--max-size", "-5"], "64 to 32000"),
        (["--max-size", "1e3"], "integer"),
        (["--seed", "-1"], "0 to 4294967295"),
        (["--seed", "99999999999999999999"], "0 to 4294967295"),
        (["--baseline", "-1", "--unit", "m"], "above 0"),
        (["--baseline", "nan"], "above 0"),
        (["--baseline", "inf"], "above 0"),
        (["--unit", "m"], "Give --baseline"),
        (["--focal", "0"], "1 to"),
        (["--focal", "nan"], "1 to"),
        (["--fov", "180"], "0.1 to 175"),
        (["--focal-35mm", "-28"], "1 to"),
        (["--focal", "500", "--fov", "50"], "Give one of them"),
        (["--focal", "500", "--calib", "rig.json"], "Give one of them"),
        (["--focal-35mm", "28", "--calib", "rig.json"], "Give one of them"),
        (["--verbos"], "no such option"),
        (["--preview", "view.gif"], r"Use \.png"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_refused_before_any_work(run, no_work, folder, tmp_path, args, words):
    before = tree(folder, tmp_path)
    one_message(run(folder / "left.png", folder / "right.png", "-o", tmp_path / "new/m.obj", *args), 2, words)
    assert tree(folder, tmp_path) == before


@pytest.mark.parametrize(
    "args, words",
    [
        (["doctr"], "no command and no photo 'doctr'.*Did you mean `stereo3d doctor`\\?"),
        (["veiw", "my model.obj"], "Did you mean `stereo3d view 'my model.obj'`\\?"),
        (["x"], "no command and no photo 'x'.*Commands: .*view"),
        (["a.jpg", "b.jpg", "--known-distance", "1,2"], "For example: --known-distance 120,340 980,355 2.5"),
        (["view"], "Missing argument.*For example: stereo3d view model.glb"),
        (["eval", "meshes"], "meshes"),
        (["synth"], "scene|output"),
    ],
)
def test_commands_that_are_none(run, args, words):
    one_message(run(*args), 2, words)


def test_help_is_a_command_too(run):
    assert run("help").out == run("--help").out and run("help", "view").out == run("view", "--help").out


# ----------------------------------------------------------------------------------------------- bad inputs


@pytest.fixture(scope="module")
def wrong(folder, render_once, rotation_pair, plane_pair, tmp_path_factory):
    """Files that are not what they should be."""
    from PIL import Image

    wrong = tmp_path_factory.mktemp("wrong")
    (wrong / "empty.jpg").write_bytes(b"")
    photo = Image.open(folder / "left.png")
    photo.save(wrong / "again.jpg", quality=40)
    photo.save(wrong / "whole.jpg", quality=95)
    data = (wrong / "whole.jpg").read_bytes()
    (wrong / "truncated.jpg").write_bytes(data[: len(data) // 2])
    (wrong / "text.png").write_text("I am no picture")
    Image.new("RGB", (20, 20), "red").save(wrong / "tiny.png")
    Image.new("RGB", (20, 240), "red").save(wrong / "narrow.png")
    for name, colour in (("blank", (90, 90, 90)), ("blank2", (120, 110, 90))):
        Image.new("RGB", SIZE, colour).save(wrong / f"{name}.png")
    for name, pair in (("rotation", rotation_pair), ("plane", plane_pair)):
        write.write_pair(wrong / name, pair)
    other = render_once("still_life", size=SIZE, supersample=1).left
    Image.fromarray(other.pixels).save(wrong / "other.png")
    return wrong


BAD_PHOTOS = [
    ("missing.png", None, 3, "no such file"),
    ("lefd.png", "lft", 3, "Did you mean .*left.png"),
    ("empty.jpg", None, 3, "empty.*0 bytes"),
    ("truncated.jpg", None, 3, r"truncated JPEG file of \d+ bytes"),
    ("text.png", None, 3, "not a picture.*15 bytes"),
    (".", None, 3, "folder"),
    ("tiny.png", None, 3, "20 x 20 px; at least 32"),
    ("narrow.png", None, 3, "20 x 240 px"),
    ("left.png", "left.png", 5, "same pixels"),
    ("left.png", "again.jpg", 5, "same picture|no parallax"),
    ("blank.png", "blank2.png", 5, "0 features, 20 needed"),
    ("other.png", None, 5, r"\d+ matches between the photos, 15 needed"),
    ("rotation/left.png", "rotation/right.png", 5, "no parallax.*Step sideways"),
    ("plane/left.png", "plane/right.png", 5, "one plane.*several depths.*--focal-35mm.*--force"),
]


@pytest.mark.parametrize("first, second, code, words", BAD_PHOTOS, ids=lambda v: v if isinstance(v, str) else "")
def test_bad_photos(run, folder, wrong, tmp_path, first, second, code, words):
    def find(name, default):
        if name in (None, "lft"):
            return folder / default
        return folder / name if name in ("left.png", "lefd.png", "right.png") else wrong / name

    pair = find(first, "left.png"), find(second, "right.png")
    before = tree(folder, wrong, tmp_path)
    out = tmp_path / "new" / "m.obj"
    answer = run(*pair, "-o", out, "--save-stages", tmp_path / "stages", "--preview", tmp_path / "p.png")
    one_message(answer, code, words)
    assert tree(folder, wrong, tmp_path) == before, "nothing is left behind, no input is touched"
    if code == 3:  # whichever way round
        one_message(run(*pair[::-1], "-o", out), code, words)


@pytest.fixture(scope="module")
def calibrations(folder, tmp_path_factory):
    """name -> a rig.json with something changed."""
    made = tmp_path_factory.mktemp("calibrations")
    facts = json.loads((folder / "rig.json").read_text())

    def change(name, **changes):
        both = {f"{k}{n}": v for k, v in changes.items() if k in ("intrinsic", "res") for n in "12"}
        new = {**facts, **{k: v for k, v in changes.items() if k not in ("intrinsic", "res")}, **both}
        (made / name).write_text(json.dumps({k: v for k, v in new.items() if v is not None}))

    change("size.json", res=[1000, 240])
    change("nan.json", intrinsic=[[float("nan"), 0, 160], [0, 300, 120], [0, 0, 1]])
    change("singular.json", intrinsic=[[300, 0, 160], [0, 0, 0], [0, 0, 1]])
    change("negative.json", intrinsic=[[-300, 0, 160], [0, 300, 120], [0, 0, 1]])
    change("skewed.json", R=[[1, 0, 0], [0, 2, 0], [0, 0, 1]])
    change("mirrored.json", R=[[-1, 0, 0], [0, 1, 0], [0, 0, 1]])
    change("nobaseline.json", T=[[0], [0], [0]])
    change("half.json", T=None)
    change("words.json", intrinsic="none")
    change("far.json", intrinsic=[[90000, 0, 160], [0, 90000, 120], [0, 0, 1]])
    change("moved.json", T=[[0.0], [0.1], [0.3]])
    (made / "empty.json").write_text("")
    (made / "garbage.json").write_text('{"a": [1, 2')
    (made / "text.txt").write_text("lorem ipsum\n" * 4)
    (made / "binary.yml").write_bytes(bytes(range(256)))
    return made


@pytest.mark.parametrize(
    "name, words",
    [
        ("size.json", "1000 x 240 px.*320 x 240"),
        ("nan.json", "not finite"),
        ("singular.json", "singular"),
        ("negative.json", "fx = -300"),
        ("skewed.json", "no rotation"),
        ("mirrored.json", "mirrors"),
        ("nobaseline.json", "zero baseline"),
        ("half.json", "no T"),
        ("words.json", "camera"),
        ("far.json", r"\d+ of \d+ matches fit"),
        ("moved.json", r"\d+ of \d+ matches fit the given pose"),
        ("empty.json", "empty"),
        ("garbage.json", "not readable JSON"),
        ("text.txt", "no known form"),
        ("binary.yml", "not text|no known form"),
        (".", "folder"),
    ],
)
def test_bad_calibrations(run, folder, calibrations, tmp_path, name, words):
    before = tree(folder, calibrations, tmp_path)
    args = folder / "left.png", folder / "right.png", "-o", tmp_path / "m.obj", "--calib", calibrations / name
    one_message(run(*args), 4, words)
    assert tree(folder, calibrations, tmp_path) == before


@pytest.mark.parametrize(
    "args, code, words",
    [
        (["--calib", "nothere.json"], 3, "no such file"),
        (["--calib", "rig.json", "--calib", "nothere.json"], 3, "nothere.json: no such file"),
        (["--calib", "left.png"], 4, "not text"),
        (["--calib", "rig.json", "--rectified"], 4, "not rectified.*degrees"),
        (["--calib", "rig.json", "--baseline", "2"], 2, "own baseline"),
        (["--calib", "rig.json", "--unit", "mm"], 2, "is in m, not in mm"),
        (["--rectified"], 5, "equal rows.*the pair is not rectified"),
        (["--focal", "2"], 2, "field of view of 179 degrees"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_what_contradicts_the_photos(run, folder, tmp_path, monkeypatch, args, code, words):
    monkeypatch.chdir(folder)
    before = tree(folder, tmp_path)
    one_message(run("left.png", "right.png", "-o", tmp_path / "m.obj", *args), code, words)
    assert tree(folder, tmp_path) == before


def test_too_little_memory(run, folder, tmp_path, monkeypatch):
    args = folder / "left.png", folder / "right.png", "-o", tmp_path / "m.obj"
    monkeypatch.setattr("stereo3d.resources.available_memory", lambda: 2**20)
    one_message(run(*args), 7, r"GiB.*0\.00098 GiB are free.*--max-size")

    def exhausted(*args, **kwargs):
        raise MemoryError("Unable to allocate 80 GiB")

    monkeypatch.undo()
    monkeypatch.setattr("stereo3d.pipeline.dense.rectify", exhausted)
    one_message(run(*args, "--json", tmp_path / "f.json"), 7, "80 GiB.*--max-size")
    assert json.loads((tmp_path / "f.json").read_text())["error"]["code"] == "memory"
    assert [p.name for p in tmp_path.iterdir()] == ["f.json"]


# ----------------------------------------------------------------------------------------------- bad outputs


@pytest.fixture
def here(folder, tmp_path, monkeypatch):
    """A copy of the pair as the working folder, with things in the way."""
    for name in ("left.png", "right.png", "rig.json"):
        shutil.copy(folder / name, tmp_path)
    shutil.copy(tmp_path / "left.png", tmp_path / "photo_texture.jpg")
    (tmp_path / "stages").mkdir()
    shutil.copy(tmp_path / "left.png", tmp_path / "stages" / "matches.png")
    (tmp_path / "folder.obj").mkdir()
    (tmp_path / "locked.obj").write_text("mine")
    (tmp_path / "locked.obj").chmod(0o444)
    (tmp_path / "busy.mtl").mkdir()
    (tmp_path / "link.obj").symlink_to("left.png")
    os.mkfifo(tmp_path / "pipe.ply")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "args, code, words",
    [
        (["-o", "folder.obj"], 6, "it is a folder"),
        (["-o", "/proc/x/out.obj"], 6, "cannot write /proc/x/out.obj"),
        (["-o", "left.png/out.obj"], 6, "Not a directory"),
        (["-o", "locked.obj"], 6, "read-only"),
        (["-o", "busy.obj"], 6, "busy.mtl.*folder"),
        (["-o", "pipe.ply"], 6, "not a file"),
        (["-o", "n" * 300 + ".obj"], 6, "too long"),
        (["-o", "out.xyz"], 2, r"not among \.obj, \.ply, \.glb.*--points"),
        (["-o", "out.nix"], 2, r"Use \.obj, \.ply, \.glb"),
        (["-o", "out"], 2, r"Use \.obj, \.ply, \.glb"),
        (["-o", "left.png"], 2, "over the input left.png"),
        (["-o", "link.obj"], 2, "over the input left.png"),
        (["-o", "m.obj", "--save-stages", "left.png"], 6, "Not a directory"),
        (["-o", "m.obj", "--json", "left.png"], 2, "over the input left.png"),
        (["-o", "m.obj", "--calib", "rig.json", "--json", "rig.json"], 2, "over the input rig.json"),
        (["-o", "m.obj", "--json", "m.obj"], 2, "over the mesh"),
        (["-o", "m.obj", "--json", "./m.mtl"], 2, "over the material"),
        (["-o", "m.obj", "--json", "s/cameras.json", "--save-stages", "s"], 2, "over --save-stages"),
        (["-o", "m.obj", "--preview", "right.png"], 2, "over the input right.png"),
        (["-o", "m.obj", "--preview", "s/disparity.png", "--save-stages", "s"], 2, "over --preview"),
        (["-o", "m.obj", "--report", "right.png"], 2, "over the input right.png"),
        (["-o", "m.obj", "--report", "m.pdf"], 2, r"Use \.html"),
        (["-o", "m.obj", "--report", "/proc/x/r.html"], 6, "cannot write /proc/x/r.html"),
        (["-o", "m.obj", "--json", "/dev/null"], 6, "device"),
        (["-o", "m.obj", "--json", "stages"], 6, "folder"),
        (["-o", "m.obj", "--cameras", "c.txt"], 2, r"Use a folder .COLMAP., \.json"),
        (["-o", "m.obj", "--cameras", "left.png/c"], 6, "Not a directory"),
        (["-o", "m.obj", "--calib", "rig.json", "--cameras", "rig.json"], 2, "over the input rig.json"),
        (["-o", "m.obj", "--depth", "d.jpg"], 2, r"Use \.png, \.tif, \.tiff, \.exr, \.npy"),
        (["-o", "m.obj", "--turntable", "t.avi"], 2, r"Use \.gif, \.webp, \.mp4"),
        (["-o", "m.obj", "--normals", "d.jpg"], 2, r"Use \.png, \.npy"),
        (["-o", "m.obj", "--confidence", "right.png"], 2, "over the input right.png"),
        (["-o", "m.obj", "--points", "p.e57"], 2, r"Use \.ply, \.xyz, \.pcd, \.las, \.laz"),
        (["-o", "m.obj", "--meshopt"], 2, "only a .glb is compressed"),
        (["-o", "m.obj", "--points", "p.las", "--axes", "camera"], 2, "LAS has z up"),
    ],
    ids=lambda v: " ".join(v)[:40] if isinstance(v, list) else "",
)
def test_outputs_that_cannot_be(run, no_work, here, args, code, words):
    before = tree(here)
    one_message(run("left.png", "right.png", *args), code, words)
    assert tree(here) == before
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize(
    "first, args",
    [
        ("photo_texture.jpg", ["-o", "photo.obj"]),
        ("stages/matches.png", ["-o", "m.obj", "--save-stages", "stages"]),
    ],
)
def test_what_belongs_to_an_output_spares_the_inputs_too(run, no_work, here, first, args):
    before = tree(here)
    one_message(run(first, "right.png", *args), 2, f"over the input {first}")
    assert tree(here) == before


def test_a_companion_is_refused_only_where_it_is_written(run, quick, here):
    """photo_texture.jpg belongs to photo.obj, but photo.ply has no texture beside it."""
    answer = run("photo_texture.jpg", "right.png", "-o", "photo.ply")
    assert answer.code == 0, answer.err


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device"), MemoryError])
@pytest.mark.parametrize("where", ["draw_matches", "write_points", "write_json"])
def test_what_fails_while_writing_leaves_nothing(run, quick, folder, tmp_path, monkeypatch, where, error):
    """The mesh, the preview and the first stages are on disk by then, under their temporary names."""

    def fail(*args, **kwargs):
        raise error

    (tmp_path / "old.obj").write_text("an older mesh")
    home = {"draw_matches": "output.stage_files", "write_points": "io.points", "write_json": "output.stage_files"}[
        where
    ]
    monkeypatch.setattr(f"stereo3d.{home}.{where}", fail)
    drawing = importlib.import_module("stereo3d.mesh.preview")  # the folder has a function of this name
    monkeypatch.setattr(drawing, "preview", lambda *args: np.zeros((8, 8, 3), np.uint8))
    before = tree(tmp_path)
    args = "-o", tmp_path / "old.obj", "--save-stages", tmp_path / "new/stages", "--preview", tmp_path / "p.png"
    answer = run(folder / "left.png", folder / "right.png", *args)
    assert answer.code == (130 if error is KeyboardInterrupt else 7 if error is MemoryError else answer.code)
    assert answer.code in (130, 6, 7) and without_stages(answer.err).count("\n") <= 2 and "Traceback" not in answer.err
    assert tree(tmp_path) == before


def test_a_full_disk_leaves_nothing(run, quick, folder, tmp_path):
    """A real limit of the system on the size of files: the write fails halfway through."""
    before = tree(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        answer = run(folder / "left.png", folder / "right.png", "-o", tmp_path / "deep/er/m.obj")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    one_message(answer, 6, "cannot write .*m.*: File too large")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "stage",
    [
        "match_features",
        "estimate_two_view",
        "rectify",
        "compute_disparities",
        "fuse",
        "point_map",
        "build_mesh",
        "texture_mesh",
    ],
)
def test_interrupted_in_any_stage(run, folder, tmp_path, monkeypatch, result, stage):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    homes = {
        "match_features": "pipeline.pose",
        "estimate_two_view": "pipeline.pose",
        "rectify": "pipeline.dense",
        "compute_disparities": "pipeline.dense",
        "fuse": "disparity.fusion",
        "point_map": "pipeline.run",
        "build_mesh": "pipeline.surface",
        "texture_mesh": "pipeline.surface",
    }
    for name, value in (("match_features", result.matches), ("rectify", result.pair), ("build_mesh", result.mesh)):
        monkeypatch.setattr(f"stereo3d.{homes[name]}.{name}", lambda *a, value=value, **k: value)
    monkeypatch.setattr(f"stereo3d.{homes[stage]}.{stage}", interrupted)
    answer = run(
        folder / "left.png",
        folder / "right.png",
        "-o",
        tmp_path / "m.obj",
        "--json",
        tmp_path / "f.json",
        "--calib",
        folder / "rig.json",
    )
    assert answer.code == 130 and "interrupted" in answer.err and answer.out == "" and "Traceback" not in answer.err
    assert list(tmp_path.iterdir()) == []


def test_the_json_is_written_on_failure_too(run, folder, wrong, tmp_path):
    target = tmp_path / "f.json"
    for args, code in (
        ((wrong / "empty.jpg", folder / "right.png", "-o", tmp_path / "m.obj"), "photo_unreadable"),
        ((folder / "left.png", folder / "left.png", "-o", tmp_path / "m.obj"), "same_photo"),
        ((folder / "left.png", folder / "right.png", "-o", tmp_path / "m.obj", "--max-size", 3), "bad_option"),
        ((folder / "left.png", folder / "right.png", "-o", "/proc/x/m.obj"), "unwritable"),
        ((folder / "left.png", folder / "right.png", "-o", tmp_path / "m.txt"), "unknown_format"),
    ):
        answer = run(*args, "--json", target)
        one_message(answer, errors.CODES[code])
        error = json.loads(target.read_text())["error"]
        assert error["code"] == code and error["exit_code"] == answer.code
        assert answer.err.strip() == f"error: {error['message']} {error['advice']}"
        target.unlink()
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(12, "Cannot allocate memory"), RuntimeError("can't start new thread")]
)
def test_exhausted_memory_however_it_is_reported(run, folder, tmp_path, monkeypatch, error):
    def exhausted(*args, **kwargs):
        raise error

    monkeypatch.setattr("stereo3d.pipeline.dense.rectified_pair", exhausted)
    args = "disparity", folder / "left.png", folder / "right.png", "-o", tmp_path / "d.pfm"
    one_message(run(*args), 7, "out of memory.*--max-size")


def test_a_bug_is_owned_up_to(run, folder, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("by\nnothing")

    monkeypatch.setattr("stereo3d.pipeline.run.reconstruct", broken)
    args = folder / "left.png", folder / "right.png", "-o", tmp_path / "m.obj"
    answer = run(*args, "--json", tmp_path / "f.json")
    assert answer.code == 70 and answer.err.count("\n") == 1 and "Run again with -v" in answer.err
    assert json.loads((tmp_path / "f.json").read_text())["error"]["code"] == "bug"
    answer = run(*args, "-v")
    assert answer.code == 70 and "Traceback" in answer.err and "in broken" in answer.err


# ----------------------------------------------------------------------------------------------- pages


def test_every_model_of_a_run_has_the_axes_that_were_asked_for(run, quick, folder, tmp_path):
    args = "-o", tmp_path / "m.ply", "--points", tmp_path / "p.ply", "--save-stages", tmp_path / "s", "--axes", "z-up"
    assert run(folder / "left.png", folder / "right.png", *args, "-q").code == 0
    for name in ("m.ply", "p.ply", "s/points.ply"):
        assert b"x right, y forward, z up" in (tmp_path / name).read_bytes()[:400], name


def test_a_model_is_cropped_centred_turned_and_lit(run, quick, folder, tmp_path, result):
    photos = folder / "left.png", folder / "right.png"
    args = "--crop", "20,30,150,200", "--up", "0,0,-1", "--centre", "--lit", "--points", tmp_path / "p.ply", "-q"
    answer = run(*photos, "-o", tmp_path / "m.obj", *args)
    assert answer.code == 0, answer.err
    mesh, points = read_mesh(tmp_path / "m.obj"), trimesh.load(tmp_path / "p.ply").vertices
    x = project(mesh.vertices, result.view.rig.cam1.K, dist=result.view.rig.cam1.dist)
    assert (x.min(0) > [10, 20]).all() and (x.max(0) < [160, 210]).all() and np.ptp(x, axis=0).min() > 100
    box = trimesh.load(tmp_path / "m.obj", process=False, force="mesh").bounds
    outside = ((points < box[0] * 1.05) | (points > box[1] * 1.05)).any(1)
    assert np.allclose(box[0], -box[1], rtol=1e-6) and outside.mean() < 1e-3  # the mesh is smoother than its points
    # what was towards the camera is up: the height in the file is minus the depth
    depth = mesh.vertices[:, 2]
    assert np.ptp(depth) == pytest.approx(np.ptp(box[:, 1]), rel=1e-6)
    assert "illum 1" in (tmp_path / "m.mtl").read_text()


def test_depth_normals_and_confidence_are_on_the_pixels_of_the_upright_photo(run, scene, folder, tmp_path):
    """Photos stored on their side, as phones do: the maps are those of the photo as it is seen, and true."""
    for name, photo in (("l.png", scene.left), ("r.png", scene.right)):
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned clockwise by 90 degrees
        Image.fromarray(np.rot90(photo.pixels)).save(tmp_path / name, exif=exif)
    out = {name: tmp_path / name for name in ("d.png", "n.npy", "c.png")}
    args = "--depth", out["d.png"], "--normals", out["n.npy"], "--confidence", out["c.png"], "--json", tmp_path / "j"
    photos = tmp_path / "l.png", tmp_path / "r.png"
    answer = run(*photos, "--calib", folder / "rig.json", *QUICK, "-o", tmp_path / "m.obj", "-q", *args)
    assert answer.code == 0, answer.err
    facts = json.loads((tmp_path / "j").read_text())
    assert {str(path) for path in out.values()} <= set(facts["files"])
    maps, truth = facts["photo_maps"], scene.depth1
    assert (
        maps["size"] == list(SIZE)
        and maps["orientation"] == 6
        and maps["depth"]["what"] == "depth along the camera's axis"
    )
    counts = cv2.imread(str(out["d.png"]), cv2.IMREAD_UNCHANGED)
    assert counts.shape == truth.shape and counts.dtype == np.uint16
    seen, depth = counts > 0, counts * maps["depth"]["scale"]
    assert seen.mean() > 0.7
    error = np.abs(depth / truth - 1)[seen]
    assert np.median(error) < 0.01 and np.mean(error < 0.05) > 0.9
    mirrored = np.abs(depth[:, ::-1] / truth - 1)[seen[:, ::-1]], np.abs(depth[::-1] / truth - 1)[seen[::-1]]
    assert min(map(np.median, mirrored)) > 3 * np.median(error)
    with Image.open(out["d.png"]) as file:
        assert f"value * {maps['depth']['scale']:.9g} = {maps['depth']['unit']}" in file.text["Description"]
    normals, confidence = np.load(out["n.npy"]), cv2.imread(str(out["c.png"]), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(np.isfinite(normals).all(-1), seen) and confidence.shape == truth.shape
    true = normals_of(truth, scene.rig.cam1)
    both = seen & np.isfinite(true).all(-1)
    cosine = np.einsum("ni,ni->n", normals[both], true[both])
    assert np.median(np.degrees(np.arccos(np.clip(cosine, -1, 1)))) < 6
    wrong = seen & (np.abs(depth / truth - 1) > 0.05)
    assert confidence[seen & ~wrong].mean() > confidence[wrong].mean() and confidence[seen].mean() > 128


def normals_of(depth, camera):
    """Normals (H, W, 3) towards the camera, of the points two pixels apart; NaN at jumps of depth."""
    x = np.stack(np.meshgrid(*(np.arange(n) for n in SIZE)), -1)
    ray = camera.rays_from_pixels(x)
    X = ray / ray[..., 2:] * depth[..., None]
    n = np.full(X.shape, np.nan)
    across, down = X[1:-1, 2:] - X[1:-1, :-2], X[2:, 1:-1] - X[:-2, 1:-1]
    n[1:-1, 1:-1] = np.cross(down, across)
    n /= np.linalg.norm(n, axis=-1, keepdims=True)
    jump = np.maximum(np.linalg.norm(across, axis=-1), np.linalg.norm(down, axis=-1)) > 0.05 * depth[1:-1, 1:-1]
    n[1:-1, 1:-1][jump] = np.nan
    return n


def test_cameras_for_other_programs(run, quick, folder, tmp_path, result, scene):
    """A folder for COLMAP, whose points lie on their pixels and on the scene; transforms.json; OpenCV's rig."""
    photos = folder / "left.png", folder / "right.png"
    for name in ("colmap", "transforms.json", "rig.yml"):
        args = "-o", tmp_path / "m.stl", "--cameras", tmp_path / name, "--json", tmp_path / "j", "-q"
        answer = run(*photos, *args)
        assert answer.code == 0, answer.err
        rig = read_rig(tmp_path / name)
        assert np.allclose(rig.cam1.K, result.view.rig.cam1.K) and np.allclose(rig.R, result.view.R)
        files = {
            Path(path).relative_to(tmp_path).as_posix() for path in json.loads((tmp_path / "j").read_text())["files"]
        }
        folder_files = {f"colmap/{n}.txt" for n in ("cameras", "images", "points3D")}
        folder_files |= {"colmap/images/left.jpg", "colmap/images/right.jpg"}
        assert files == {"m.stl", "j"} | (folder_files if name == "colmap" else {name})
        assert all((tmp_path / path).is_file() for path in files)
    frame = json.loads((tmp_path / "transforms.json").read_text())["frames"][0]
    assert Path(os.path.normpath(tmp_path / frame["file_path"])) == result.left.path or result.left.path is None
    points = np.loadtxt(tmp_path / "colmap" / "points3D.txt", usecols=range(8))
    assert len(points) > 0.9 * result.view.inliers.sum() and np.median(points[:, 7]) < 0.5
    camera = result.view.rig.cam1
    x = np.rint(project(points[:, 1:4], camera.K, dist=camera.dist)).astype(int)
    depth = scene.depth1[np.clip(x[:, 1], 0, SIZE[1] - 1), np.clip(x[:, 0], 0, SIZE[0] - 1)]
    assert np.median(np.abs(points[:, 3] / depth - 1)) < 0.02


def test_cameras_of_photos_that_are_stored_turned_carry_a_warning(run, monkeypatch, folder, tmp_path, result):
    turned = replace(result, left=replace(result.left, exif={"orientation": 6}))
    monkeypatch.setattr("stereo3d.pipeline.run.reconstruct", lambda *args, **kwargs: turned)
    args = folder / "left.png", folder / "right.png", "-o", tmp_path / "m.stl", "--cameras"
    assert "--cameras FOLDER writes them upright" in run(*args, tmp_path / "t.json").err
    assert "upright" not in run(*args, tmp_path / "colmap").err


def test_a_solid_for_printing(run, quick, folder, tmp_path, result):
    args = "--solid", "0.1", "--crop", "main", "--centre", "-q"
    answer = run(folder / "left.png", folder / "right.png", "-o", tmp_path / "m.stl", *args)
    assert answer.code == 0, answer.err
    shell, mesh = trimesh.load(tmp_path / "m.stl"), result.cropped("main").mesh
    assert shell.is_watertight and shell.is_winding_consistent and shell.volume > 0
    scale = {"m": 1000, None: 1}.get(result.view.rig.unit)  # in mm where the length of the unit is known
    size = np.ptp(mesh.vertices, axis=0) * scale
    assert (shell.extents >= size * 0.99).all() and (shell.extents <= size + 0.25 * scale).all()
    header = (tmp_path / "m.stl").read_bytes()[:80]
    assert (b"unit: mm" if scale == 1000 else b"unit: baseline") in header


def test_the_largest_part_alone(run, quick, folder, tmp_path):
    photos = folder / "left.png", folder / "right.png"
    assert run(*photos, "-o", tmp_path / "m.obj", "--crop", "main", "-q").code == 0
    main = read_mesh(tmp_path / "m.obj")
    assert len(np.unique(face_components(main.faces, len(main.vertices)))) == 1


@pytest.mark.parametrize(
    "args, words",
    [
        (["--crop", "5,5,1,1"], "crop cannot be.*main"),
        (["--crop", "all"], "crop cannot be.*main"),
        (["--solid", "0"], "positive thickness"),
        (["--solid", "2"], "m.obj is no .stl"),
        (["--up", "north"], "up cannot be.*photo"),
        (["--up", "0,0,0"], "up cannot be.*photo"),
    ],
)
def test_a_wrong_crop_or_direction_is_refused_before_any_work(run, no_work, folder, tmp_path, args, words):
    one_message(run(folder / "left.png", folder / "right.png", "-o", tmp_path / "m.obj", *args), 2, words)
    assert not any(tmp_path.iterdir())


def test_a_crop_without_surface_leaves_nothing(run, quick, folder, tmp_path):
    args = "-o", tmp_path / "m.obj", "--crop", "5000,5000,6000,6000"
    answer = run(folder / "left.png", folder / "right.png", *args)
    assert answer.code != 0 and "The mesh lies in" in answer.err and not any(tmp_path.iterdir())


def test_a_glb_of_unknown_size_is_said(run, monkeypatch, folder, tmp_path, result):
    rig = replace(result.view.rig, unit=None)
    unknown = replace(result, view=replace(result.view, rig=rig))
    monkeypatch.setattr("stereo3d.pipeline.run.reconstruct", lambda *args, **kwargs: unknown)
    said = run(folder / "left.png", folder / "right.png", "-o", tmp_path / "m.glb")
    assert "the distance between the cameras, which viewers of .glb take as 1 m; to get metres, measure it" in said.out


def test_the_report_names_its_files_and_the_command(run, quick, folder, tmp_path):
    answer = run(folder / "left.png", folder / "right.png", "-o", tmp_path / "m.obj", "--report", tmp_path / "r.html")
    assert answer.code == 0 and "r.html" in answer.out
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    for words in (
        '<li><a href="./m.obj">m.obj</a></li>',
        ">m.mtl</a>",
        f"stereo3d {folder / 'left.png'} {folder / 'right.png'} -o",
    ):
        assert words in page
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.mtl", "m.obj", "m_texture.jpg", "r.html"]


def test_a_turntable_is_one_of_the_files_of_a_run(run, quick, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("stereo3d.mesh.turntable.FRAMES", 3)
    args = "-o", tmp_path / "m.stl", "--turntable", tmp_path / "t.webp", "--json", tmp_path / "j.json"
    answer = run(folder / "left.png", folder / "right.png", *args)
    assert answer.code == 0 and "t.webp" in answer.out
    assert json.loads((tmp_path / "j.json").read_text())["files"][1] == str(tmp_path / "t.webp")
    with Image.open(tmp_path / "t.webp") as film:
        assert film.n_frames == 3 and film.size == (480, 360)


def test_without_an_output_a_glb_lies_beside_the_first_photo(run, quick, here):
    """A second run keeps the first one's file, and says so."""
    import trimesh

    for name in ("left.glb", "left-2.glb"):
        said = run("left.png", "right.png")
        assert said.code == 0 and f"next: look at it: stereo3d view {name}\n" in said.out, said
        assert ("left.glb was there already and stays" in said.out) == (name == "left-2.glb")
        assert len(trimesh.load(here / name, force="mesh").faces) > 1000
    assert run("left.png", "right.png", "-o", "stages/").code == 0 and (here / "stages" / "left.glb").is_file()
    said = run("left.png", "right.png", "third.ply")
    assert said.code == 0 and (here / "third.ply").is_file(), "a third word that names a mesh is the output"


def test_view_writes_a_page_and_opens_it(run, result, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    result.save(tmp_path / "my model.obj")
    answer = run("view", tmp_path / "my model.obj")
    assert answer.code == 0, answer.err
    page = tmp_path / "my model-view.html"
    assert re.search(r"wrote .*my model-view\.html \(\d\.\d MB\)", answer.out) and opened == [page.as_uri()]
    assert run("view", tmp_path / "my model.obj", "-o", tmp_path / "p.html", "--no-open").code == 0
    assert (tmp_path / "p.html").read_bytes() == page.read_bytes() and len(opened) == 1
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    assert "open the page by hand" in run("view", tmp_path / "my model.obj").out
    for args, code, words in (
        ((tmp_path / "none.obj",), 3, "no such file"),
        ((tmp_path / "p.html",), 2, "no reader"),
        ((tmp_path / "my model.obj", "-o", tmp_path / "my model.obj"), 2, "over the input"),
        ((tmp_path / "my model.obj", "-o", tmp_path / "p.txt"), 2, r"Use \.html"),
    ):
        one_message(run("view", *args, "--no-open"), code, words)


# ----------------------------------------------------------------------------------------------- as a process


COMMAND = [sys.executable, "-m", "stereo3d.cli"]


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_it_cleanly(folder, tmp_path, number, code):
    args = [folder / "left.png", folder / "right.png", "-o", tmp_path / "m.obj", "--progress"]
    process = subprocess.Popen(
        [*COMMAND, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # a shell's background job has SIGINT ignored
    )
    for line in process.stderr:
        if line.startswith("features"):
            process.send_signal(number)
            break
    out, err = process.communicate(timeout=120)
    assert process.returncode == code and "Traceback" not in err and out == ""
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_does_not_wait_for_what_goes_on(folder, tmp_path):
    """A kernel that cannot be stopped, as a thread that would write a file in the end: it never gets there."""
    script = f"""if True:
        import signal, sys, time
        from concurrent.futures import ThreadPoolExecutor
        from pathlib import Path
        from stereo3d import cli
        from stereo3d.pipeline import run

        def kernel():
            print("now", flush=True)
            time.sleep(8)
            Path({str(tmp_path / "late")!r}).write_text("it was waited for")

        def reconstruct(*args, **kwargs):
            with ThreadPoolExecutor() as pool:
                return pool.submit(kernel).result()

        signal.signal(signal.SIGINT, signal.default_int_handler)
        run.reconstruct = reconstruct
        sys.argv = ["stereo3d", {str(folder / "left.png")!r}, {str(folder / "right.png")!r}, "-o", "m.obj"]
        cli.main()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_no_text(folder, tmp_path):
    """A path holds any bytes but 0 and /; blanks, accents, CJK and bytes that are no UTF-8 among them."""
    odd = os.fsencode(tmp_path) + b"/\xe5\x86\x99\xe7\x9c\x9f d'\xe9t\xe9 #1"
    os.mkdir(odd)
    for name in ("left.png", "right.png"):
        shutil.copy(folder / name, odd + b"/" + os.fsencode(name))
    args = [b"left.png", b"right.png", b"-o", odd + b"/m\xff .obj", b"--json", odd + b"/f.json"]
    args += map(os.fsencode, QUICK)
    done = subprocess.run([*COMMAND, *args], cwd=odd, capture_output=True)
    assert done.returncode == 0 and without_stages(done.stderr.decode()) == "", done.stderr
    json.loads((Path(os.fsdecode(odd)) / "f.json").read_text(encoding="utf-8"))
    mesh = read_mesh(Path(os.fsdecode(odd + b"/m\xff .obj")))
    assert len(mesh.faces) > 1000 and len(os.listdir(odd)) == 6


def test_no_traceback_when_nobody_listens(tmp_path):
    """Standard output closed by its reader, full, or not there at all."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, "methods"], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.stderr == b"" and done.returncode != 0
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, "methods"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 6 and done.stderr.count("\n") == 1 and "standard output" in done.stderr


# ----------------------------------------------------------------------------------------------- disparity


@pytest.fixture(scope="module")
def rectified(slanted_pair, swapped_pair, tmp_path_factory):
    made = tmp_path_factory.mktemp("rectified")
    for name, pair in (("slanted", slanted_pair), ("swapped", swapped_pair)):
        write.write_pair(made / name, pair)
    return made


def pair_of(rectified, name):
    return rectified / name / "left.png", rectified / name / "right.png"


@pytest.mark.parametrize("matcher", MATCHERS)
@pytest.mark.parametrize("name", ["slanted", "swapped"])
def test_disparity_finds_the_range_and_its_sign(run, rectified, tmp_path, name, matcher):
    out = tmp_path / "d.pfm"
    answer = run("disparity", *pair_of(rectified, name), "-o", out, "--matcher", matcher)
    assert answer.code == 0 and answer.err == "" and "searched" in answer.out
    truth, found = read_map(rectified / name / "disp_left.pfm"), read_map(out)
    known = np.isfinite(found)
    scores = disparity_scores(found, truth, np.ones_like(known))
    # an eighth of the scene is hidden or outside; of what is kept few may be off by a pixel, along the jumps of depth
    assert known.mean() > 0.75 and scores["kept"]["bad_1"] < (4 if matcher == "block" else 2), scores
    assert np.sign(np.nanmedian(found)) == (1 if name == "slanted" else -1)


def test_disparity_in_every_format_dense_and_sparse(run, rectified, tmp_path):
    import cv2

    pair = *pair_of(rectified, "slanted"), "--matcher", "sgm"
    for name in ("d.pfm", "d.npy", "d.png"):
        extra = ["--colour", tmp_path / "c.png"] if name == "d.pfm" else []
        assert run("disparity", *pair, "-o", tmp_path / name, "--range", 0, 48, *extra).code == 0
    pfm, npy, png = (read_map(tmp_path / n) for n in ("d.pfm", "d.npy", "d.png"))
    assert np.array_equal(pfm, npy, equal_nan=True) and np.isnan(npy).any()
    assert np.array_equal(np.isnan(png), np.isnan(npy)) and np.nanmax(np.abs(png - npy)) <= 1 / 512
    assert cv2.imread(str(tmp_path / "d.png"), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    assert cv2.imread(str(tmp_path / "c.png")).shape == (*npy.shape, 3)
    assert run("disparity", *pair, "-o", tmp_path / "dense.npy", "--range", 0, 48, "--dense", "-q").out == ""
    dense = np.load(tmp_path / "dense.npy")
    assert np.isfinite(dense).all() and np.array_equal(dense[~np.isnan(npy)], npy[~np.isnan(npy)])


@pytest.mark.parametrize("name", ["slanted", "swapped"])
def test_the_map_of_the_command_is_that_of_a_run(run, rectified, tmp_path, name):
    """Both by one path: steep surfaces and the fusion of both views included. Dense: the same, and the gaps filled."""
    pair = pair_of(rectified, name)
    result = pipeline.reconstruct(*pair, config=Config(matcher="sgm", mesher="grid", rectified=True))
    found = ["--matcher", "sgm", "--range", *result.d_range]
    assert run("disparity", *pair, "-o", tmp_path / "d.npy", *found).code == 0
    assert np.array_equal(np.load(tmp_path / "d.npy"), result.disparity, equal_nan=True)
    assert run("disparity", *pair, "-o", tmp_path / "dense.npy", "--dense", *found).code == 0
    dense, known = np.load(tmp_path / "dense.npy"), np.isfinite(result.disparity)
    assert np.array_equal(dense[known], result.disparity[known]) and np.isfinite(dense).all() and not known.all()
    truth = read_map(rectified / name / "disp_left.pfm")
    own, _ = compute_disparity(result.pair, result.d_range, method="sgm", dense=True)
    assert np.mean(np.abs(dense - truth) > 1) <= np.mean(np.abs(own - truth) > 1) + 2e-4  # the fusion makes none worse


def test_a_negative_range(run, rectified, tmp_path):
    pair = pair_of(rectified, "swapped")
    assert run("disparity", *pair, "-o", tmp_path / "d.npy", "--range", -48, -1).code == 0
    found, truth = np.load(tmp_path / "d.npy"), read_map(rectified / "swapped" / "disp_left.pfm")
    assert np.nanmax(found) <= -1 and np.nanmedian(np.abs(found - truth)) < 0.2
    one_message(run("disparity", *pair, "-o", tmp_path / "d.png", "--range", -48, -1), 2, "16-bit PNG.*Write .pfm")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.npy"]


@pytest.mark.parametrize(
    "args, words",
    [
        (["--range", "5", "5"], "lower one first"),
        (["--range", "9", "2"], "lower one first"),
        (["--range", "nan", "2"], "finite"),
        (["--range", "0", "inf"], "finite"),
        (["--range", "a", "b"], "'a'"),
        (["--range", "5"], "range"),
        (["--matcher", "magic"], "There are: block"),
        (["--matcher", "sgm", "-O", "p1=0"], "1 to 1000"),
        (["--matcher", "sgm", "-O", "magic=0"], "There are: window"),
        (["-o", "left.obj"], r"Use \.pfm"),
        (["--colour", "c.jpg"], r"Use \.png"),
        (["--colour", "d.pfm"], "over the map|Use .png"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_disparity_refuses_before_any_work(run, no_work, rectified, tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    one_message(run("disparity", *pair_of(rectified, "slanted"), "-o", "d.pfm", *args), 2, words)
    assert list(tmp_path.iterdir()) == []


def test_disparity_of_what_is_no_rectified_pair(run, rectified, folder, wrong, tmp_path):
    out = "-o", tmp_path / "d.pfm"
    left, right = pair_of(rectified, "slanted")
    one_message(run("disparity", folder / "left.png", folder / "right.png", *out), 5, "the pair is not rectified")
    one_message(run("disparity", left, wrong / "rotation" / "left.png", *out), 3, "320 x 240.*480 x 360")
    one_message(run("disparity", left, left, *out), 5, "same pixels")
    one_message(run("disparity", wrong / "blank.png", wrong / "blank2.png", *out), 5, "0 features")
    one_message(run("disparity", wrong / "blank.png", wrong / "blank2.png", *out, "--range", 0, 20), 5, "no pixel")
    one_message(run("disparity", left, right, *out, "--range", 0, 9999), 2, "320 px wide")
    one_message(run("disparity", left, right, "-o", left), 2, "over the input|suffix|Use")
    one_message(run("disparity", left, right, "-o", "/proc/x/d.pfm"), 6, "cannot write")
    assert list(tmp_path.iterdir()) == []


def test_eval_disparity(run, rectified, tmp_path):
    """Against numbers made by hand: 100 pixels, 10 unknown, 20 off by 1.5 px, 10 by 3."""
    truth = np.full((10, 10), 20, np.float32)
    found = truth.copy()
    found[0], found[1:3], found[3] = np.nan, 21.5, 17
    np.save(tmp_path / "t.npy", truth)
    np.save(tmp_path / "f.npy", found)
    np.save(tmp_path / "right.npy", np.full((10, 10), 20, np.float32))
    scores = json.loads(run("eval", "disparity", tmp_path / "f.npy", tmp_path / "t.npy", "--json").out)["all"]
    assert scores["coverage"] == 90 and scores["bad_1_kept"] == pytest.approx(100 * 30 / 90)
    assert run("eval", "disparity", tmp_path / "f.npy", tmp_path / "t.npy").out.count("coverage: 90") >= 1
    args = "eval", "disparity", tmp_path / "f.npy", tmp_path / "t.npy"
    assert run(*args, "--truth-right", tmp_path / "right.npy", "--unknown", "inf", "--scale", 1).code == 0
    disparity = rectified / "slanted" / "disp_left.pfm"
    for wrong_args, code, words in (
        ((tmp_path / "none.pfm", disparity), 3, "no such file"),
        ((rectified / "slanted" / "left.png", disparity), 3, "colour picture"),
        ((tmp_path / "f.npy", disparity), 3, "10 x 10.*320 x 240"),
        ((tmp_path / "f.npy", tmp_path), 3, "pair.json"),
        ((tmp_path / "f.npy", tmp_path / "t.npy", "--truth-right", disparity), 3, "one size"),
        ((tmp_path / "f.npy", tmp_path / "t.npy", "--nonocc", rectified / "slanted/visible_left.png"), 3, "one size"),
        ((tmp_path / "f.npy", tmp_path / "t.npy", "--scale", "0"), 2, "scale"),
        ((tmp_path / "f.npy", tmp_path / "t.npy", "--scale", "nan"), 2, "scale"),
        ((tmp_path / "f.npy", tmp_path / "t.npy", "--unknown", "x"), 2, "unknown"),
    ):
        one_message(run("eval", "disparity", *wrong_args), code, words)


def test_eval_pose_and_mesh_refuse(run, folder, whole):
    truth = folder / "cameras.json"
    one_message(run("eval", "pose", truth, truth, "--views", "left", "left"), 4, "same position")
    one_message(run("eval", "pose", truth, truth, "--views", "a", "b"), 2, "left, right")
    one_message(run("eval", "pose", folder / "left.png", truth), 3, "JSON")
    args = "--depth", folder / "depth_left.npy", "--cameras", truth
    for threshold in ("-1", "0", "nan"):
        one_message(run("eval", "mesh", whole.out / "model.obj", *args, "--threshold", threshold), 2, "threshold")
    one_message(run("eval", "mesh", whole.out / "model.mtl", *args), 2, "no reader")
    one_message(run("eval", "mesh", whole.out / "stages/points.ply", *args), 5, "no face")
    one_message(run("eval", "mesh", whole.out / "model.obj", *args, "--align", "magic"), 2, "similarity")


def test_eval_pose_of_the_truth_is_zero(run, folder):
    scores = json.loads(run("eval", "pose", folder / "cameras.json", folder / "cameras.json", "--json").out)
    assert max(abs(v) for v in scores.values()) < 1e-6


# ----------------------------------------------------------------------------------------------- synth


@pytest.mark.parametrize("scene", scenes.SCENES)
def test_synth_writes_every_scene(run, tmp_path, scene):
    answer = run("synth", scene, "-o", tmp_path / "s", "--size", 64, 48)
    assert answer.code == 0 and answer.err == ""
    named = sorted(Path(line) for line in answer.out.split("\n") if line)
    assert named == sorted((tmp_path / "s").iterdir())
    facts = json.loads((tmp_path / "s/cameras.json").read_text())["cameras"]
    depth = np.load(tmp_path / "s/depth_left.npy")
    assert depth.shape == (48, 64) and (depth > 0).all() and facts["left"]["size"] == [64, 48]
    if scene != "rotation":
        rig = read_rig(tmp_path / "s/rig.json", ((64, 48), (64, 48)))
        assert np.allclose(rig.t, facts["right"]["t"]) and rig.unit == "m"
    if (tmp_path / "s/disp_left.pfm").exists():  # z = f b / d
        d, K = read_map(tmp_path / "s/disp_left.pfm"), np.array(facts["left"]["K"])
        assert np.allclose(K[0, 0] * -facts["right"]["t"][0] / d, depth, rtol=1e-4)


def test_synth_takes_its_options(run, tmp_path):
    from PIL import Image

    args = "--size", 64, 48, "--pose", "turned", "--noise", 3, "--vignetting", 0.3, "--gain", 0.5, "--seed", 4
    for name in "ab":
        assert run("synth", "plane", "-o", tmp_path / name, *args).code == 0
    assert tree(tmp_path / "a") != {} and [v for k, v in tree(tmp_path / "a").items() if k != tmp_path / "a"] == [
        v for k, v in tree(tmp_path / "b").items() if k != tmp_path / "b"
    ]
    left, right = (Image.open(tmp_path / "a" / f"{n}.png") for n in ("left", "right"))
    assert left.size == (64, 48) and right.size == (48, 64)
    assert np.asarray(right).mean() < 0.8 * np.asarray(left).mean()


@pytest.mark.parametrize(
    "args, code, words",
    [
        (["magic"], 2, "There are: slanted, sphere"),
        (["plane", "--pose", "magic"], 2, "There are: rectified"),
        (["plane", "--size", "1", "1"], 2, "32 to 8000"),
        (["plane", "--size", "64", "99999"], 2, "32 to 8000"),
        (["plane", "--noise", "nan"], 2, "0 to 100"),
        (["plane", "--vignetting", "2"], 2, "0 to 0.95"),
        (["plane", "--gain", "-1"], 2, "0.05 to 20"),
        (["plane", "--seed", "-1"], 2, "0 to 4294967295"),
        (["plane", "-o", "/proc/x"], 6, "cannot write"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_synth_refuses(run, tmp_path, monkeypatch, args, code, words):
    monkeypatch.setattr(
        "stereo3d.synthetic.renderer.render", lambda *a, **k: pytest.fail("rendered before the options were checked")
    )
    one_message(run("synth", *(["-o", tmp_path / "s"] if "-o" not in args else []), *args), code, words)
    assert list(tmp_path.iterdir()) == []
