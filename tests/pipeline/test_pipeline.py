"""The whole run from Python: photos to mesh, against the scenes' truth and against real photographs with truth.

What a bound is made of: a depth is known as well as its disparity, so depth errors are counted in pixels of disparity,
dz/z = dd/d with d the scene's median disparity f b / z. A surface counts as right within one such pixel. No pair can
show what only one photo sees: with v the share of photo 1 that photo 2 sees as well, a mesh that is right wherever both
see has precision 1 and completeness v, F = 2 v / (1 + v); five percent less is allowed.
"""

import hashlib
import inspect
import os
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
import trimesh
from scipy.stats import spearmanr

from stereo3d import diagnosis, pipeline, synthetic
from stereo3d.cameras import camera_for, read_rig
from stereo3d.cameras.fit import turn_camera
from stereo3d.diagnosis import coverage, diagnose, run_findings
from stereo3d.diagnosis.verdict import REASONS
from stereo3d.disparity import MATCHERS, compute_disparities, matching_bytes
from stereo3d.disparity.fusion import fuse
from stereo3d.errors import EXIT_PAIR, StereoError
from stereo3d.evaluation.mesh import mesh_scores
from stereo3d.evaluation.pose import pose_errors, read_truth_camera
from stereo3d.features import DETECTORS, match_features
from stereo3d.geometry import hom, project, scale_K, undistort
from stereo3d.io import read_map
from stereo3d.mesh import build_mesh
from stereo3d.mesh.meshers import MESHERS
from stereo3d.pipeline import Config, prepare, reconstruct, scale, surface
from stereo3d.pipeline import clock as clock_module
from stereo3d.pipeline.cameras import cameras_of, exchange_cameras
from stereo3d.pipeline.pose import estimate_pose
from stereo3d.pipeline.run import STAGES
from stereo3d.records import Camera, Finding, Matches, Photo, Rig
from stereo3d.synthetic import write
from stereo3d.triangulation import point_map, triangulate
from stereo3d.triangulation.points import MAX_RELATIVE_SIGMA

SIZE = (320, 240)
# Median depth error in px of disparity. Interpolation between whole disparities is good to a tenth of a pixel;
# SGBM knows sixteenths only, and is drawn to whole ones.
MEDIAN_PX = {"planes_fast": 0.12, "planes": 0.12, "planes_full": 0.12, "sgm": 0.15, "block": 0.2, "sgbm": 0.3}


@pytest.fixture(scope="module")
def still_life(render_once):
    return render_once("still_life", size=SIZE, noise=1.0, supersample=2)


@pytest.fixture(scope="module")
def small(render_once):
    """Slanted planes by hand."""
    return render_once("handheld", size=SIZE, supersample=2)


@pytest.fixture(scope="module")
def progress():
    """The stages that the run of `small_result` named, in their order."""
    return []


@pytest.fixture(scope="module")
def small_result(small, progress):
    def named(stage, work, method):
        progress.append(stage)

    return reconstruct(small.left, small.right, cameras(small), QUICK, progress=named)


# What is no test of matchers takes the quickest that meets the bounds.
QUICK = Config(mesher="grid", matcher="sgm")


def cameras(pair, exchanged=False) -> Rig:
    return Rig(pair.rig.cam2, pair.rig.cam1) if exchanged else Rig(pair.rig.cam1, pair.rig.cam2)


def check_against_truth(result, pair, *, median_px, camera=1, align="similarity", unit=1.0):
    """The bounds of this file's head. camera: whose photo was named first; unit: metres in the result's unit."""
    depth, cam, visible = (
        (pair.depth1, pair.rig.cam1, pair.visible1) if camera == 1 else (pair.depth2, pair.rig.cam2, pair.visible2)
    )
    d = float(np.median(cam.focal * np.linalg.norm(pair.rig.t) / depth))
    scores = mesh_scores(result.mesh, depth / unit, cam, threshold=1 / d, align=align, samples=20_000)
    v = visible.mean()
    assert not scores["mirrored"]
    name = "metric_depth_median_percent" if align == "none" else "depth_median_percent"
    assert scores[name] / 100 * d < median_px, scores
    assert scores["f_score"] > 0.95 * 2 * v / (1 + v), scores
    assert result.coverage > 0.85 * v, "what both photos see becomes surface"
    if align == "similarity":
        # the mesh stands in the camera's own frame: nothing but the scale is left to align. One pixel of the photo
        # is 57 / f degrees.
        assert scores["rotation_deg"] < 57.3 / cam.focal * 5, scores
        assert scores["scale"] == pytest.approx(np.linalg.norm(pair.rig.t) / unit / result_baseline(result), rel=0.02)
    return scores


def result_baseline(result):
    return np.linalg.norm(result.view.t)


# ----------------------------------------------------------------------------------------------- methods


METHODS = (
    [{"matcher": name} for name in MATCHERS]
    + [{"mesher": name} for name in MESHERS if name != Config().mesher]
    + [{"detector": name} for name in DETECTORS if name != Config().detector]
)
FEWER = {"asift": {"detector.features": 4000, "detector.tilts": 1}}  # views and features: a quarter of the time


@pytest.mark.parametrize("method", METHODS, ids=lambda m: "-".join(*m.items()))
def test_every_method_reaches_the_truth(still_life, method):
    config = Config(**method, options=FEWER.get(method.get("detector"), {}))
    result = reconstruct(still_life.left, still_life.right, cameras(still_life), config)
    check_against_truth(result, still_life, median_px=MEDIAN_PX[result.config.matcher])
    pose = pose_errors(result.view.R, result.view.t, still_life.rig.R, still_life.rig.t)
    # t's direction is known to about a pixel over the disparity, R to a pixel over the focal length
    assert pose["rotation_deg"] < 0.3 and pose["direction_deg"] < 1.0, pose
    assert result.verdict in ("good", "fair")


def test_all_defaults_without_any_camera(still_life):
    """EXIF-free photos: the focal is a guess or an estimate, and a finding names which."""
    result = reconstruct(still_life.left, still_life.right)
    scores = mesh_scores(result.mesh, still_life.depth1, still_life.rig.cam1, threshold=0.02, samples=20_000)
    assert scores["f_score"] > 0.9, scores
    [finding] = [f for f in result.findings if f.code in ("focal", "focal_unknown")]
    source = result.view.rig.cam1.source
    assert source in ("prior", "estimated") and finding.severity == ("warning" if source == "prior" else "info")


# ----------------------------------------------------------------------------------------------- cameras


def test_photos_named_the_other_way_round(still_life):
    """The first photo named is camera 1: its frame is the world, its pixels are the texture."""
    result = reconstruct(still_life.right, still_life.left, cameras(still_life, exchanged=True))
    check_against_truth(result, still_life, median_px=MEDIAN_PX["planes"], camera=2)
    assert np.array_equal(result.mesh.texture, still_life.right.pixels)
    assert result.pair.swapped and "swapped" in [f.code for f in result.findings]
    assert result.d_range[0] < 0


@pytest.mark.parametrize(
    "pose", ["rectified", "vertical", "handheld_vertical", "handheld_swapped", "converging", "turned"]
)
def test_every_way_to_stand(pose):
    pair = synthetic.render("handheld", pose=pose, size=SIZE, noise=1.0, supersample=2)
    result = reconstruct(pair.left, pair.right, cameras(pair), QUICK)
    check_against_truth(result, pair, median_px=0.1)
    assert result.pair.swapped == (pose == "handheld_swapped")
    assert np.array_equal(result.mesh.texture, pair.left.pixels)
    # nothing is flipped: the rectified picture is the photo turned by less than 45 degrees, but for vertical baselines
    shown = result.pair.map1[np.isfinite(result.pair.map1).all(-1)]
    assert len(shown) > 0.8 * np.prod(SIZE)


def test_a_distorted_rig_gives_metres(tmp_path):
    """Lens distortion, two cameras that differ, and the pose given: depth is right without any alignment."""
    K = np.array([[267.0, 0, 157], [0, 270, 122], [0, 0, 1]])
    K2 = np.array([[280.0, 0, 163], [0, 280, 119], [0, 0, 1]])
    dist = np.array([-0.25, 0.08, 0.001, -0.0015, 0.0])
    second = Camera(K2, SIZE, np.array([-0.2, 0.05, 0.0, 0.001, 0.0]))
    pair = synthetic.render("handheld", size=SIZE, K=K, dist=dist, camera2=second, supersample=2)
    write.write_pair(tmp_path, pair)
    config = replace(QUICK, calib=tmp_path / "rig.json")
    result = reconstruct(tmp_path / "left.png", tmp_path / "right.png", config=config)
    assert result.unit == "m"
    check_against_truth(result, pair, median_px=0.15, align="none")


def test_millimetres_scale_with_the_file(small, tmp_path):
    in_mm = replace(small, rig=replace(small.rig, t=1000 * small.rig.t, unit="mm"))
    write.write_pair(tmp_path, in_mm)
    result = reconstruct(small.left, small.right, config=replace(QUICK, calib=tmp_path / "rig.json"))
    assert result.unit == "mm"
    check_against_truth(result, small, median_px=0.2, align="none", unit=0.001)


@pytest.mark.parametrize("shift", [0, 23])
def test_a_rectified_pair_with_its_calibration(tmp_path, shift):
    """Middlebury's form in millimetres; doffs, the difference of the principal columns, enters the depth."""
    K = np.array([[350.0, 0, 159.5], [0, 350, 119.5], [0, 0, 1]])
    second = Camera(K + np.array([[0, 0, shift], [0, 0, 0], [0, 0, 0]]), (320, 240))
    pair = synthetic.render("slanted", size=SIZE, K=K, camera2=second, supersample=2)
    write.write_pair(tmp_path, pair)
    config = replace(QUICK, calib=tmp_path / "calib.txt", rectified=True)
    result = reconstruct(tmp_path / "left.png", tmp_path / "right.png", config=config)
    assert result.unit == "mm" and result.pair.kind == "identity"
    check_against_truth(result, pair, median_px=0.1, align="none", unit=0.001)
    known = np.isfinite(result.disparity)
    assert np.median(np.abs(result.disparity - pair.disparity_left)[known]) < 0.1


def test_a_calibration_without_pose(small, tmp_path):
    """R and T are optional: cameras from the file, pose from the photos, no unit unless a baseline is given."""
    write.write_pair(tmp_path, replace(small, rig=replace(small.rig, unit=None)))
    import json

    facts = json.loads((tmp_path / "rig.json").read_text())
    del facts["R"], facts["T"]
    (tmp_path / "cameras_only.json").write_text(json.dumps(facts))
    config = replace(QUICK, calib=tmp_path / "cameras_only.json")
    result = reconstruct(small.left, small.right, config=config)
    assert result.unit == "baseline" and result_baseline(result) == pytest.approx(1)
    assert result.view.rig.cam1.source == "calibration"
    check_against_truth(result, small, median_px=0.2)
    b = float(np.linalg.norm(small.rig.t))
    metric = reconstruct(small.left, small.right, config=replace(config, baseline=b, unit="m"))
    assert metric.unit == "m"
    check_against_truth(metric, small, median_px=0.4, align="none")
    with pytest.raises(StereoError, match="needs a baseline") as caught:
        reconstruct(small.left, small.right, config=replace(config, unit="m"))
    assert caught.value.code == "bad_option"


def test_a_baseline_scales_and_does_nothing_else(small, small_result):
    far = reconstruct(small.left, small.right, cameras(small), replace(QUICK, baseline=2.5, unit="ft"))
    assert far.unit == "ft" and result_baseline(far) == pytest.approx(2.5)
    both = np.isfinite(small_result.points) & np.isfinite(far.points)
    assert np.array_equal(np.isfinite(small_result.points), np.isfinite(far.points))
    np.testing.assert_allclose(far.points[both], 2.5 * small_result.points[both], rtol=1e-9)
    assert np.array_equal(far.disparity, small_result.disparity, equal_nan=True)


def test_the_units_of_a_calibration_stand(small, tmp_path):
    write.write_pair(tmp_path, small)
    for wrong in ({"unit": "mm"}, {"baseline": 2.0}):
        with pytest.raises(StereoError) as caught:
            reconstruct(small.left, small.right, config=Config(calib=tmp_path / "rig.json", **wrong))
        assert caught.value.code == "bad_option"


def test_a_calibration_in_the_other_order(small, tmp_path):
    """Cameras that differ in focal length and size, named the wrong way round: detected, reported, put right."""
    cam2 = Camera(scale_K(small.rig.cam2.K, 0.75) * [[1.1, 1, 1], [1, 1.1, 1], [1, 1, 1]], (240, 180))
    pair = synthetic.render("handheld", size=SIZE, camera2=cam2, supersample=2)
    write.write_pair(tmp_path, pair)
    result = reconstruct(pair.right, pair.left, config=replace(QUICK, calib=tmp_path / "rig.json"))
    assert "calibration_exchanged" in [f.code for f in result.findings]
    check_against_truth(result, pair, median_px=0.3, camera=2, align="none")


@pytest.mark.parametrize("more, exchanged", [(10, False), (80, False), (120, True)])
def test_the_order_given_wins_unless_far_more_matches_agree_with_the_other(more, exchanged):
    """200 matches fit both orders of the cameras, `more` only the exchanged one; fewer than 100 change nothing."""
    rng = np.random.default_rng(0)
    cam1, cam2 = (Camera(np.array([[700.0, 0, cx], [0, 700, 240], [0, 0, 1]]), (520, 480)) for cx in (200, 320))
    rig = Rig(cam1, cam2, np.eye(3), np.array([-1.0, 0, 0]))
    # In front as given where d > -120 px, exchanged where d < 120 px.
    d = np.concatenate([rng.uniform(-80, -20, 200), rng.uniform(-200, -140, more)])
    x1 = rng.uniform((200, 20), (300, 460), (len(d), 2))
    pose = estimate_pose(Matches(x1, x1 - np.column_stack([d, 0 * d]), np.ones(len(d))), rig, Config())
    assert pose.exchanged == exchanged
    assert pose.inlier_count == (200 + more if exchanged else 200)


WINDOWS = [(-92, "left"), (-45, "right"), (0, "right"), (45, "left"), (92, "left"), (92, "right")]


@pytest.mark.parametrize("crop, first", WINDOWS)
def test_a_calibrated_stereo_window_keeps_the_order_given(render_once, crop, first):
    """Principal points that differ: matches agree with both orders of the cameras, with depth reversed in one.

    Depth is compared where both cropped photos see the surface; the rest is continued, not measured.
    """
    pair = render_once("still_life", size=(480, 360), supersample=1)
    photos, cameras_ = (pair.left, pair.right), pair.rig
    depth, visible = pair.depth1, pair.visible1
    if first == "right":
        photos, cameras_ = photos[::-1], exchange_cameras(cameras_)
        depth, visible = pair.depth2, pair.visible2
    cut = slice(max(crop, 0), min(crop, 0) or None), slice(max(-crop, 0), min(-crop, 0) or None)
    cropped = [Photo(p.pixels[:, c].copy()) for p, c in zip(photos, cut, strict=True)]
    shifted = []
    for camera, photo, c in zip((cameras_.cam1, cameras_.cam2), cropped, cut, strict=True):
        K = camera.K.copy()
        K[0, 2] -= c.start
        shifted.append(Camera(K, photo.size, camera.dist, "calibration"))
    result = reconstruct(*cropped, Rig(*shifted, cameras_.R, cameras_.t), Config(mesher="grid"))
    assert "calibration_exchanged" not in [f.code for f in result.findings]
    seen = np.isfinite(result.points[..., 2])
    column, row = result.pair.map1[seen].T.round().astype(int)
    truth, z = depth[:, cut[0]][row, column], result.points[seen][:, 2]
    X = hom((np.column_stack([column, row]) - shifted[0].K[:2, 2]) / shifted[0].K[[0, 1], [0, 1]]) * truth[:, None]
    x2 = project(X, shifted[1].K, cameras_.R, cameras_.t)[:, 0]
    both = visible[:, cut[0]][row, column] & (x2 >= 0) & (x2 <= cropped[1].size[0] - 1)
    assert both.sum() > 0.5 * seen.size and spearmanr(z[both], truth[both]).statistic > 0.99


def test_photos_of_different_size(still_life):
    import cv2

    size = (240, 180)
    smaller = cv2.resize(still_life.right.pixels, dsize=size, interpolation=cv2.INTER_AREA)
    cam2 = Camera(scale_K(still_life.rig.cam2.K, 0.75), size)
    result = reconstruct(still_life.left, Photo(smaller), Rig(still_life.rig.cam1, cam2), QUICK)
    check_against_truth(result, still_life, median_px=0.3)
    assert "different_size" in [f.code for f in result.findings]


def test_photos_turned_by_exif_are_as_good_as_upright(small, small_result, tmp_path):
    """The stored pixels turned one way and EXIF turning them back: the very same points. Lossless, so to the bit."""
    from PIL import Image

    for name, photo, orientation, back in (
        ("left", small.left, 6, Image.Transpose.ROTATE_90),
        ("right", small.right, 3, Image.Transpose.ROTATE_180),
    ):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(photo.pixels).transpose(back).save(tmp_path / f"{name}.png", exif=exif)
    result = reconstruct(tmp_path / "left.png", tmp_path / "right.png", cameras(small), QUICK)
    assert np.array_equal(result.left.pixels, small.left.pixels)
    assert np.array_equal(result.points, small_result.points, equal_nan=True)


def test_the_focal_length_given_in_three_ways(small):
    """The cameras are the same in all three, so one of them is run."""
    cam = small.rig.cam1
    values = {
        "focal": cam.focal,
        "focal_35mm": cam.focal * np.hypot(36, 24) / np.hypot(*cam.size),
        "fov": np.degrees(2 * np.arctan(cam.size[0] / 2 / cam.focal)),
    }
    configs = [replace(QUICK, **{given: float(value)}) for given, value in values.items()]
    result = reconstruct(small.left, small.right, config=configs[-1])
    for rig in (result.view.rig, *(cameras_of(small.left, small.right, None, config) for config in configs)):
        for camera in (rig.cam1, rig.cam2):
            assert camera.focal == pytest.approx(cam.focal) and camera.source == "given"
        assert rig.cam1.K == pytest.approx(camera_for(small.left, focal=cam.focal).K)
    check_against_truth(result, small, median_px=0.2)


def test_the_focal_length_of_exif_is_used(small, tmp_path):
    write.write_pair(tmp_path, small, suffix=".jpg")
    result = reconstruct(tmp_path / "left.jpg", tmp_path / "right.jpg", config=QUICK)
    assert result.view.rig.cam1.source == "exif"
    assert result.view.rig.cam1.focal == pytest.approx(small.rig.cam1.focal, rel=0.02)  # whole mm of 35 mm film
    scores = mesh_scores(result.mesh, small.depth1, small.rig.cam1, threshold=0.03, samples=20_000)
    assert scores["f_score"] > 0.85


# ----------------------------------------------------------------------------------------------- what the result says


def test_the_result_holds_every_stage(small, small_result):
    r = small_result
    assert [s["name"] for s in r.stages] == list(STAGES)
    assert all(s["seconds"] >= 0 and s["peak_mb"] > 0 for s in r.stages)
    assert len(r.view.inliers) == len(r.matches)
    shape = r.pair.left.shape[:2]
    assert r.disparity.shape == r.confidence.shape == r.points.shape[:2] == r.sigma.shape == shape
    known = np.isfinite(r.points[..., 2])
    assert not known[~np.isfinite(r.disparity)].any()
    # the points lie where the photo pixel looks: their projection is the pixel of the map
    x = project(r.points[known], r.view.rig.cam1.K)
    assert np.abs(x - r.pair.map1[known]).max() < 0.05
    # and the other photo sees them where the disparity says
    ys, xs = np.nonzero(known)
    x2 = project(r.points[known], r.view.rig.cam2.K, r.view.R, r.view.t)
    near = np.rint(xs - r.disparity[known]).astype(int).clip(0, shape[1] - 1)
    assert np.nanmedian(np.linalg.norm(x2 - r.pair.map2[ys, near], axis=1)) < 0.6
    assert 0 < r.coverage <= small.visible1.mean() + 0.05
    total = surface.add_pose_sigma(r.points[known], r.sigma[known], r.matches, r.view, r.rig)
    assert r.relative_sigma == pytest.approx(np.median(total / np.linalg.norm(r.points[known], axis=1)), rel=0.01)
    assert not r.rig.posed and (total > r.sigma[known]).mean() > 0.99
    assert str(len(r.matches.x1[r.view.inliers])) in r.summary


def test_stages_called_one_by_one_give_the_same(small, small_result):
    r = small_result
    rig = cameras(small)
    matches = match_features(small.left, small.right, max_size=1600)
    assert np.array_equal(matches.x1, r.matches.x1)
    codes = [f.code for f in diagnose(matches, r.view, rig)]
    assert [f.code for f in r.findings][: len(codes)] == codes
    fused, _ = fuse(*compute_disparities(r.pair, r.d_range, method=QUICK.matcher))
    assert np.array_equal(fused.disparity, r.disparity, equal_nan=True)
    points, _ = point_map(fused, r.pair, r.view)
    assert np.array_equal(points, r.points, equal_nan=True)


def test_the_reported_focal_length_is_the_one_that_is_used(small):
    """Guided matching refines it after the pair was diagnosed; it is reported once."""
    prepared = prepare(small.left, small.right, config=QUICK)
    view = prepared.view
    [finding] = [f for f in prepared.findings if f.code in ("focal", "focal_unknown")]
    assert finding.code == "focal" and view.rig.cam1.source == "estimated"
    assert finding.numbers["focal1_px"] == view.rig.cam1.focal and f"{view.rig.cam1.focal:.0f} px" in finding.message
    assert finding.numbers["focal_sigma"] == view.focal_sigma


def test_a_known_distance_makes_it_metric(small, small_result):
    """Two pixels of the first photo and how far apart what they show truly is: the baseline comes out right."""
    pixels = np.array([[80, 130], [240, 110]])
    depth = small.depth1[pixels[:, 1], pixels[:, 0]]
    ends = hom(undistort(pixels.astype(float), small.rig.cam1.K, small.rig.cam1.dist)) * depth[:, None]
    true = float(np.linalg.norm(ends[0] - ends[1]))
    words = (*(f"{x},{y}" for x, y in pixels), str(true))
    config = replace(QUICK, known_distance=words, unit="m")
    assert config.known_distance == ((80.0, 130.0), (240.0, 110.0), true)
    r = reconstruct(small.left, small.right, cameras(small), config)
    baseline = np.linalg.norm(small.rig.t)
    assert np.linalg.norm(r.view.t) == pytest.approx(baseline, rel=0.02)
    assert r.unit == "m" and "metric, in m" in r.summary
    assert np.linalg.norm(r.view.rig.t) == np.linalg.norm(r.view.t)
    factor = np.linalg.norm(r.view.t)
    for name in ("points", "sigma"):
        assert np.allclose(getattr(r, name), factor * getattr(small_result, name), rtol=1e-5, equal_nan=True)
    finding = next(f for f in r.findings if f.code == "known_distance").numbers
    assert finding["baseline"] == pytest.approx(factor) and 0 < finding["relative_error"] < 0.2
    assert "unit = baseline" in small_result.summary


def test_the_model_stands_upright_where_gravity_is_known(small_result, tmp_path):
    """The camera looked down by 20 degrees: heights in the file are those above the ground, not along the picture."""
    down = np.array([0, np.cos(np.radians(20)), np.sin(np.radians(20))])
    upright = replace(small_result, gravity=down)
    for name, result, up in (("plain", small_result, [0, -1, 0]), ("upright", upright, -down)):
        path, *_ = result.save(tmp_path / f"{name}.ply")
        heights = np.asarray(trimesh.load(path, process=False).vertices)[:, 1]
        assert np.allclose(heights, result.mesh.vertices @ up, atol=1e-5)
        cloud = result.save_points(tmp_path / f"{name}_points.ply")
        heights = np.asarray(trimesh.load(cloud).vertices)[:, 1]
        assert np.allclose(heights, result.points[np.isfinite(result.points[..., 2])] @ up, atol=1e-5)


@pytest.mark.parametrize(
    "sizes, exif, lopsided",
    [
        (((320, 240), (320, 240)), ({}, {}), None),
        (((320, 240), (160, 120)), ({}, {}), None),  # resized, or held upright: the same proportions
        (((320, 240), (240, 320)), ({"size_exif": (320, 240)}, {"size_exif": (320, 240)}), None),
        (((320, 240), (220, 240)), ({}, {}), True),
        (((320, 240), (320, 213)), ({"model": "A"}, {"model": "B"}), None),  # two cameras
        (((320, 240), (320, 213)), ({"model": "A"}, {"model": "A"}), True),
        (((320, 213), (320, 240)), ({"size_exif": (640, 480)}, {"size_exif": (640, 480)}), True),
        (((220, 240), (220, 240)), ({"size_exif": (320, 240)}, {"size_exif": (320, 240)}), False),
        (((220, 240), (220, 240)), ({"size_exif": (320, 240)}, {}), True),
    ],
)
def test_a_cropped_photo_is_noticed(sizes, exif, lopsided):
    photos = [Photo(np.zeros((h, w, 3), np.uint8), entries) for (w, h), entries in zip(sizes, exif, strict=True)]
    rig = Rig(*(camera_for(photo) for photo in photos))
    found = run_findings.cropped_findings(*photos, rig)
    assert [(f.code, f.severity, f.numbers["one"]) for f in found] == (
        [] if lopsided is None else [("cropped", "warning", lopsided)]
    )
    given = Rig(*(camera_for(photo, focal=300) for photo in photos))
    assert not run_findings.cropped_findings(*photos, given), "whoever states the focal length may know"


def test_one_photo_cropped_aside_is_no_good_pair(small):
    """Its lens looked 50 px beside its middle: what comes out is far off, whatever the matches say."""
    exif = {"focal_35mm": small.rig.cam1.focal / np.hypot(*small.left.size) * 43.27, "model": "A"}
    right = Photo(np.ascontiguousarray(small.right.pixels[:, 100:]), exif)
    result = reconstruct(Photo(small.left.pixels, exif), right, config=QUICK)
    assert result.verdict == "poor" and "cropped" in result.summary


def test_a_known_distance_must_lie_on_the_surface(small, small_result):
    gone = np.isnan(small_result.points[..., 2]) & np.isfinite(small_result.pair.map1[..., 0])
    deep = distance_transform(gone)
    j, i = np.unravel_index(np.argmax(deep), gone.shape)
    x, y = small_result.pair.map1[j, i]
    point_map = small_result.points, small_result.sigma, small_result.pair, small_result.view
    with pytest.raises(StereoError, match="no surface was found at pixel") as caught:
        scale.known_scale(*point_map, known_distance=((x, y), (160, 120), 1.0), unit="m")
    assert caught.value.code == "bad_option"
    with pytest.raises(StereoError, match="too near"):
        scale.known_scale(*point_map, known_distance=((160, 120), (160.5, 120), 1.0), unit="m")


def distance_transform(mask):
    import cv2

    return cv2.distanceTransform(src=mask.astype(np.uint8), distanceType=cv2.DIST_L2, maskSize=5)


def test_coverage_is_the_share_of_area():
    """A map of the whole photo, half of whose columns are known, covers half; stretched columns change nothing."""
    height, width = 450, 600

    def covered(columns, known_until):
        x, y = np.meshgrid(columns, np.arange(height))
        pair = synthetic_pair_of_map(np.stack([x, y], -1))
        return coverage(pair, np.stack([x, y], -1)[..., 0] < known_until, (width, height))

    assert covered(np.arange(width), 300) == pytest.approx(0.5)
    assert covered(np.linspace(0, width - 1, 2100), 300) == pytest.approx(0.5, abs=0.01)
    uneven = np.r_[np.linspace(0, 300, 1800), np.linspace(300.5, width - 1, 450)]
    assert covered(uneven, 300) == pytest.approx(0.5, abs=0.01)
    assert covered(np.arange(width), 0) == 0 and covered(np.arange(width), 999) == pytest.approx(1)


def synthetic_pair_of_map(map1):
    from stereo3d.records import RectifiedPair

    picture = np.zeros((*map1.shape[:2], 3), np.uint8)
    return RectifiedPair(picture, picture, map1.astype(np.float32), map1.astype(np.float32))


def finding(code, severity="warning", **numbers):
    return Finding(code, severity, f"{code} is so", numbers, "Do this.")


@pytest.mark.parametrize(
    "findings, level, words",
    [
        ([], "good", "You can rely on it. "),
        ([finding("focal", "info")], "good", "You can rely on it. "),
        ([finding("blur"), finding("small_baseline")], "fair", "Usable, with care: the photos are blurred. "),
        (
            [finding("focal_unknown", stretch=1.25, motion_deg=1.0)],
            "fair",
            "Usable, with care: the focal length is a "
            "guess, so depth may be stretched or squeezed by a factor of about 1.2. ",
        ),
        ([finding("focal", stretch=1.2)], "fair", "Usable, with care: the focal length is uncertain, so depth may "),
        ([finding("focal_unknown", stretch=1.5, motion_deg=1.0)], "poor", "Do not rely on its shape: the focal "),
        ([finding("focal_ambiguous", stretch=2.0)], "poor", "Do not rely on its shape: two focal lengths explain "),
        ([finding("focal_unknown", stretch=1.5, motion_deg=9.0)], "poor", "Do not rely on its shape: the focal "),
        ([finding("cropped", one=0.0)], "fair", "Usable, with care: a photo was cropped"),
        ([finding("cropped", one=1.0)], "poor", "Do not rely on its shape: a photo was cropped"),
        ([finding("unstable_pose")], "poor", "Do not rely on its shape: the camera motion is uncertain. "),
        ([finding("blur"), finding("pure_rotation", "error")], "none", "Do not believe this shape: the camera only"),
        ([finding("focal_unknown", stretch=1.5, motion_deg=0.0), finding("flat_scene")], "poor", "Do not rely on its "),
        ([finding("small_baseline"), finding("flat_scene")], "fair", "Usable, with care: both photos show a single "),
        ([finding("unheard_of")], "fair", "Usable, with care: unheard_of is so. "),
    ],
)
def test_the_verdict_names_its_main_reason(findings, level, words):
    verdict, summary = diagnosis.judge(findings, 0.5, 0.001, 99, None)
    assert verdict == level and summary.startswith(words), summary


@pytest.mark.parametrize(
    "findings, covered, level",
    [
        ([finding("low_coverage")], 0.25, "good"),
        ([finding("low_coverage")], 0.19, "fair"),
        ([finding("low_coverage")], 0.09, "poor"),
        ([finding("repeated", share=0.4, kept=0.1)], 0.5, "good"),
        ([finding("repeated", share=0.0, kept=0.3)], 0.5, "fair"),
        ([finding("low_coverage"), finding("small_baseline")], 0.25, "fair"),
    ],
)
def test_what_is_left_out_is_missing_not_wrong(findings, covered, level):
    verdict, summary = diagnosis.judge(findings, covered, 0.001, 99, None)
    assert verdict == level, summary
    assert level != "good" or f"Mind also: {findings[0].code}" in summary


def test_progress_names_the_stages_in_order(small_result, progress):
    assert progress == [*STAGES, "done"]


def test_a_library_call_leaves_the_memory_counters_of_its_process_alone(small, monkeypatch):
    """Neither is the high-water mark of the process reset, nor freed memory returned to the system."""
    import ctypes

    real = ctypes.CDLL

    def only_named(name, *args, **kwargs):
        assert name is not None, "the C library of the process was called"
        return real(name, *args, **kwargs)

    monkeypatch.setattr(ctypes, "CDLL", only_named)
    held = np.ones(100_000_000)
    del held
    high = clock_module.peak_memory()
    result = reconstruct(small.left, small.right, cameras(small), replace(QUICK, matcher="block"))
    assert clock_module.peak_memory() >= high
    assert [s["name"] for s in result.stages] == list(STAGES) and all(s["peak_mb"] > 10 for s in result.stages)


@pytest.mark.parametrize("meter", [clock_module.SampledPeak, pipeline.ProcessPeak])
def test_the_peak_of_a_stage_counts_what_was_freed_again(meter):
    """800 MB, allocated and freed within the stage; the mark of the process rises, as it was reset before."""
    clock_module.reset_peak_memory()
    clock = clock_module.Clock(meter=meter())
    before = clock_module.resident_memory()
    with clock("hungry"):
        held = np.ones(100_000_000)
        del held
    assert 760 < clock.stages[0]["peak_mb"] - before / 2**20 < 1200


def test_the_peak_of_a_stage_is_seen_below_that_of_the_process():
    """800 MB held to the end of the stage, in a process that once held twice as much."""
    held = np.ones(200_000_000)
    del held
    clock, before = clock_module.Clock(), clock_module.resident_memory()
    with clock("hungry"):
        held = np.ones(100_000_000)
    assert 760 < clock.stages[0]["peak_mb"] - before / 2**20 < 1200
    assert len(held)


def test_a_stage_that_fails_is_not_kept():
    clock = clock_module.Clock()
    with pytest.raises(KeyError), clock("broken"):
        raise KeyError
    assert clock.stages == []


def test_the_seed_alone_decides(small):
    config = Config(mesher="grid", seed=7, max_size=200)
    a, b = (reconstruct(small.left, small.right, cameras(small), config) for _ in range(2))
    assert np.array_equal(a.points, b.points, equal_nan=True) and np.array_equal(a.mesh.vertices, b.mesh.vertices)


def hashes(left, right) -> str:
    r = reconstruct(left, right, config=Config(mesher="grid"))
    arrays = r.matches.x1, r.view.R, r.view.t, r.disparity, r.points
    return "".join(hashlib.sha256(np.ascontiguousarray(a).tobytes()).hexdigest() + "\n" for a in arrays)


HASHES = f"""
import sys, hashlib, numpy as np
from stereo3d.pipeline import Config, reconstruct
{inspect.getsource(hashes)}
print(hashes(*sys.argv[1:]), end="")
"""


def test_threads_and_processes_change_nothing(small, tmp_path):
    """Equal photos and an equal Config give an equal point map, bit for bit: on one core, with 1, 2 or any threads."""
    write.write_pair(tmp_path, small)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS")

    def run(threads, one_core=False):
        environment = {**os.environ, **dict.fromkeys(names, str(threads))}
        pin = {}
        if one_core:
            pin = {"preexec_fn": lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})}
        command = [sys.executable, "-c", HASHES, str(tmp_path / "left.png"), str(tmp_path / "right.png")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, **pin).stdout

    free = hashes(tmp_path / "left.png", tmp_path / "right.png")
    assert len(free.split()) == 5
    if os.cpu_count() != 2:  # else this process has two already
        assert run(threads=2) == free
    assert run(threads=1, one_core=hasattr(os, "sched_setaffinity")) == free


# ----------------------------------------------------------------------------------------------- refusals


def refused(code, left, right, rig=None, **config):
    with pytest.raises(StereoError) as caught:
        reconstruct(left, right, rig, Config(**config))
    assert caught.value.code == code, caught.value
    assert caught.value.advice.endswith((".", "?")), "what to do is a sentence"
    assert any(c.isdigit() for c in caught.value.message) or code == "same_photo", "measured how"
    return caught.value


@pytest.mark.parametrize("known", [True, False])
def test_a_turn_gives_no_depth(rotation_pair, known):
    error = refused("pure_rotation", rotation_pair.left, rotation_pair.right, cameras(rotation_pair) if known else None)
    assert "--force" in error.advice


def test_one_plane_with_a_guessed_focal(plane_pair):
    refused("flat_scene", plane_pair.left, plane_pair.right)


def test_forced_past_an_error(rotation_pair, plane_pair):
    """What comes out is shown, the error stays, and the sentence says not to believe it."""
    forced = replace(QUICK, force=True)
    # a rotation computed with a wrong focal length looks like depth, so that there is something to show
    wrong = Rig(*(replace(c, K=c.K * [[1.4, 1, 1], [1, 1.4, 1], [1, 1, 1]]) for c in (rotation_pair.rig.cam1,) * 2))
    for pair, rig, code in ((rotation_pair, wrong, "pure_rotation"), (plane_pair, None, "flat_scene")):
        result = reconstruct(pair.left, pair.right, rig, forced)
        assert [f.code for f in result.findings if f.severity == "error"] == [code]
        assert result.verdict == "none" and result.summary.startswith(f"Do not believe this shape: {REASONS[code]}")
        assert len(result.mesh.faces) > 100
    with pytest.raises(StereoError) as caught:  # where nothing at all can be made it ends as ever
        reconstruct(plane_pair.left, Photo(plane_pair.left.pixels.copy()), config=forced)
    assert caught.value.exit_code == EXIT_PAIR


def test_forcing_changes_nothing_of_a_good_pair(small, small_result):
    result = reconstruct(small.left, small.right, cameras(small), replace(QUICK, force=True))
    assert result.verdict == small_result.verdict and result.summary == small_result.summary
    assert np.array_equal(result.points, small_result.points, equal_nan=True)


def test_forward_motion_is_reconstructed_and_reported(forward_pair):
    """Away from the epipole depth is right; the finding says where it is not."""
    result = reconstruct(forward_pair.left, forward_pair.right, cameras(forward_pair), QUICK)
    [finding] = [f for f in result.findings if f.code == "forward_motion"]
    n = finding.numbers
    cam = forward_pair.rig.cam1
    centre2 = -forward_pair.rig.R.T @ forward_pair.rig.t
    epipole = project(centre2, cam.K)
    assert np.hypot(*(epipole - [n["epipole_x"], n["epipole_y"]])) < 10
    assert 0 < n["blind_share"] < 0.5 and finding.severity in ("info", "warning")
    points, _ = triangulate(result.disparity, result.pair, result.view)  # those too that are too vague to be surface
    known = np.isfinite(points[..., 2])
    x = result.pair.map1[known]
    true = forward_pair.depth1[tuple(np.rint(x[:, ::-1]).astype(int).clip(0, [cam.size[1] - 1, cam.size[0] - 1]).T)]
    z = points[known][:, 2] * np.linalg.norm(forward_pair.rig.t)
    error = np.abs(z / true - 1)
    far = np.hypot(*(x - epipole).T) > n["blind_px"]
    kept = np.isfinite(result.points[..., 2])[known]
    assert kept[far].mean() > 0.85 and kept[~far].mean() < 0.6  # of a forward motion, points are known to 2 %
    assert np.quantile(error[kept], 0.99) < MAX_RELATIVE_SIGMA and np.median(error[~kept]) > 5 * np.median(error[kept])
    assert np.median(error[far]) < 0.01
    assert np.median(error[~far]) > 2 * np.median(error[far]), "a warning of what is no worse would mean nothing"


def test_unrelated_photos(still_life, small, rotation_pair):
    error = refused("few_matches", still_life.left, small.left)
    assert error.numbers["matches"] < 15


def test_the_same_photo_twice(still_life):
    import cv2

    photo = still_life.left
    refused("same_photo", photo, Photo(photo.pixels.copy()))
    saved = cv2.imencode(".jpg", photo.pixels, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    again = Photo(cv2.imdecode(saved, cv2.IMREAD_COLOR))
    with pytest.raises(StereoError) as caught:
        reconstruct(photo, again)
    assert caught.value.code in ("same_photo", "pure_rotation")
    smaller = Photo(cv2.resize(photo.pixels, dsize=(240, 180), interpolation=cv2.INTER_AREA))
    refused("same_photo", photo, smaller)
    refused("same_photo", photo, Photo(np.ascontiguousarray(np.rot90(photo.pixels))))


def test_blank_photos():
    blank = [Photo(np.full((240, 320, 3), level, np.uint8)) for level in (90, 120)]
    assert refused("blank", *blank).numbers["features"] == 0


def test_noise_matches_nothing():
    rng = np.random.default_rng(0)
    refused("few_matches", *(Photo(rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)) for _ in range(2)))


def test_a_pose_that_is_not_the_pairs(small):
    """A calibration whose pose few matches fit, while another pose fits most: named, not reconstructed."""
    wrong = replace(small.rig, t=np.array([0.02, 0.1, 0.3]))
    error = refused("calibration_mismatch", small.left, small.right, wrong)
    assert error.numbers["free"] > 2 * error.numbers["inliers"]


def test_a_pair_that_is_not_rectified(small, tmp_path):
    error = refused("no_overlap", small.left, small.right, rectified=True)
    assert "--rectified" in error.advice
    write.write_pair(tmp_path, small)
    refused("calibration_mismatch", small.left, small.right, calib=tmp_path / "rig.json", rectified=True)
    refused("size_mismatch", small.left, Photo(small.right.pixels[:-8]), rectified=True)


def test_too_little_memory(small, monkeypatch):
    monkeypatch.setattr("stereo3d.resources.available_memory", lambda: 1000)
    error = refused("memory", small.left, small.right, cameras(small))
    assert error.numbers["needed"] > error.numbers["available"] == 1000


def test_a_matcher_is_refused_more_than_it_may_take(still_life):
    prepared = prepare(still_life.left, still_life.right, cameras(still_life), Config(matcher="sgm", mesher="grid"))
    needed = matching_bytes(prepared.pair, prepared.d_range, "sgm")
    with pytest.raises(StereoError) as caught:
        compute_disparities(prepared.pair, prepared.d_range, method="sgm", max_memory=needed / 2)
    assert caught.value.code == "memory"


def test_a_matcher_that_knows_nothing(small):
    refused("no_disparity", small.left, small.right, cameras(small), options={"matcher.speckle": 10**8})


def test_noisy_photos_that_determine_the_focal_are_no_good_pair(still_life):
    rng = np.random.default_rng(1)
    noisy = [
        Photo(np.clip(np.rint(p.pixels + rng.normal(0, 6, p.pixels.shape)), 0, 255).astype(np.uint8))
        for p in (still_life.left, still_life.right)
    ]
    prepared = prepare(*noisy)
    noise = {f.code: f for f in prepared.findings}["noise"]
    assert prepared.view.rig.cam1.source == "estimated" and noise.severity == "warning" and "focal" in noise.message
    assert "noise" in REASONS


def test_a_mesh_that_needs_more_triangles_than_were_asked_for_says_so(small):
    result = reconstruct(small.left, small.right, cameras(small), replace(QUICK, faces=1, matcher="block"))
    finding, count = {f.code: f for f in result.findings}["more_faces"], len(result.mesh.faces)
    assert count > 1 and finding.numbers == {"faces": count, "asked": 1} and f"{count} triangles" in finding.message
    enough = build_mesh(result.points, sigma=result.sigma, between=result.between, faces=count)
    assert len(enough.faces) <= count, "what it says is needed is enough"


def test_the_grid_takes_over_where_open3d_is_missing(small, monkeypatch):
    def missing(*args, **kwargs):
        raise StereoError("library_missing", "Open3D cannot be loaded: 1 library.", "Install it.")

    monkeypatch.setitem(MESHERS, "poisson", missing)
    result = reconstruct(small.left, small.right, cameras(small), replace(QUICK, mesher="poisson"))
    assert "mesher_fallback" in [f.code for f in result.findings] and len(result.mesh.faces) > 1000


# ----------------------------------------------------------------------------------------------- Config


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"matcher": "magic"}, "There are: block"),
        ({"mesher": "magic"}, "There are: poisson"),
        ({"detector": "magic"}, "There are: sift"),
        ({"options": {"matcher.nope": 1}}, "There are: "),
        ({"options": {"nope.p1": 1}}, "stages: detector, pose"),
        ({"options": {"p1": 1}}, "stage.name=value"),
        ({"matcher": "sgm", "options": {"matcher.p1": 0}}, "1 to 1000"),
        ({"matcher": "sgm", "options": {"matcher.p1": "x"}}, "int 1 to 1000"),
        ({"matcher": "sgm", "options": {"matcher.window": "3x3"}}, "5x7, 7x9"),
        ({"matcher": "block", "options": {"matcher.p1": 5}}, "There are: cost"),
        ({"max_size": 63}, "64 to 32000"),
        ({"max_size": 10**9}, "64 to 32000"),
        ({"seed": -1}, "0 to 4294967295"),
        ({"seed": 1.5}, "a whole number"),
        ({"max_size": "1600"}, "a whole number"),
        ({"focal": "500"}, "1 to"),
        ({"baseline": -1.0}, "above 0"),
        ({"baseline": float("nan")}, "above 0"),
        ({"fov": 180.0}, "175"),
        ({"focal": 0.0}, "1 to"),
        ({"focal_35mm": float("inf")}, "10000"),
        ({"unit": "m"}, "--baseline"),
        ({"focal": 500.0, "fov": 60.0}, "one of them"),
        ({"focal": 500.0, "calib": "rig.json"}, "one of them"),
        ({"known_distance": ("1,2", "3", "4")}, "known-distance"),
        ({"known_distance": ("1,2", "1,2", "4")}, "known-distance"),
        ({"known_distance": ("1,2", "3,4", "nan")}, "known-distance"),
        ({"known_distance": ("1,2", "3,4", "5"), "baseline": 1.0}, "each give the scale"),
        ({"faces": -1}, "faces"),
    ],
)
def test_what_makes_no_sense_is_refused_when_the_config_is_made(settings, words):
    with pytest.raises(StereoError) as caught:
        Config(**settings)
    assert caught.value.code in ("bad_option", "unknown_method") and words in str(caught.value)


def test_options_become_numbers():
    config = Config(matcher="sgm", options={"matcher.p1": "30", "pose.threshold": "2", "matcher.window": "5x7"})
    assert config.of("matcher") == {"p1": 30, "window": "5x7"} and config.of("pose") == {"threshold": 2.0}
    assert config.of("mesher") == {}


def test_every_default_of_an_option_is_a_value_it_allows():
    for matcher in MATCHERS:
        for mesher in MESHERS:
            for detector in DETECTORS:
                stages = pipeline.stage_options(detector, matcher, mesher)
                given = {f"{s}.{o.name}": o.default for s, known in stages.items() for o in known.values()}
                made = Config(detector, matcher, mesher, given)
                assert dict(made.options) == given


def test_a_config_cannot_be_changed():
    config = Config()
    for field in fields(Config):
        with pytest.raises(AttributeError):
            setattr(config, field.name, None)


# ----------------------------------------------------------------------------------------------- real photographs


@pytest.fixture(scope="module")
def fountain(shared_data, halved):
    folder = shared_data / "photos" / "fountain"
    truth = {name: read_truth_camera(folder / "cameras.json", name)[0] for name in ("0004", "0005")}
    depth = {name: halved(read_map(folder / "depth" / f"{name}.npz", unknown=[0])) for name in truth}
    return folder / "images", truth, depth


@pytest.mark.real_data
def test_fountain_with_known_cameras(fountain):
    """Half the resolution that the project's target is set for: F at 1 % of depth 0.85 against 0.80, error 0.2 %."""
    images, cams, depth = fountain
    rig = Rig(cams["0004"], cams["0005"])
    result = reconstruct(images / "0004.jpg", images / "0005.jpg", rig, Config(max_size=800))
    scores = mesh_scores(result.mesh, depth["0004"], cams["0004"], samples=20_000)
    assert scores["f_score"] > 0.8 and scores["depth_median_percent"] < 0.2, scores
    assert result.verdict == "good"


@pytest.mark.real_data
def test_fountain_turned_and_swapped(fountain, tmp_path):
    """Both photos turned by 90 degrees, saved again, the one from the right named first."""
    from PIL import Image

    images, cams, depth = fountain
    for name in cams:
        with Image.open(images / f"{name}.jpg") as photo:
            photo.transpose(Image.Transpose.ROTATE_90).save(tmp_path / f"{name}.jpg", quality=92)
    config = Config(max_size=800, mesher="grid", focal=cams["0005"].focal)
    result = reconstruct(tmp_path / "0005.jpg", tmp_path / "0004.jpg", config=config)
    turned = turn_camera(cams["0005"], 8)
    scores = mesh_scores(result.mesh, np.rot90(depth["0005"]), turned, samples=20_000)
    assert not scores["mirrored"] and scores["f_score"] > 0.75 and scores["depth_median_percent"] < 0.5, scores


@pytest.mark.real_data
@pytest.mark.parametrize(
    "names, calib, least",
    [
        (("sceaux/100_7101.JPG", "sceaux/100_7102.JPG"), None, 0.25),
        (("kermit/kermit000.jpg", "kermit/kermit001.jpg"), None, 0.2),
        (("lawn/lawn_L.png", "lawn/lawn_R.png"), None, 0.35),
        (("lawn/lawn_L.png", "lawn/lawn_R.png"), "lawn/rig.json", 0.4),
    ],
)
def test_photographs_become_a_mesh(shared_data, names, calib, least):
    folder = shared_data / "photos"
    config = Config(max_size=800, mesher="grid", calib=calib and folder / calib, unit="mm" if calib else None)
    result = reconstruct(*(folder / name for name in names), config=config)
    assert result.coverage > least and len(result.mesh.faces) > 20_000
    assert result.unit == ("mm" if calib else "baseline")
    if calib:  # the file does not name its unit; the distance of the cameras is the file's
        t = read_rig(folder / calib).t
        assert result_baseline(result) == pytest.approx(np.linalg.norm(t))


@pytest.mark.real_data
def test_forward_motion_is_named(shared_data):
    folder = shared_data / "photos" / "berlin"
    result = reconstruct(folder / "01.jpg", folder / "02.jpg", config=replace(QUICK, max_size=800))
    assert "forward_motion" in [f.code for f in result.findings] and result.verdict in ("good", "fair")
    assert result.coverage > 0.25


@pytest.mark.real_data
def test_a_guessed_focal_says_what_it_does_to_depth(shared_data):
    """lawn without its rig: the guess is 33 % wrong, the views are parallel, the motion comes out degrees off."""
    folder = shared_data / "photos" / "lawn"
    result = reconstruct(folder / "lawn_L.png", folder / "lawn_R.png", config=replace(QUICK, max_size=800))
    [finding] = [f for f in result.findings if f.code in ("focal", "focal_unknown", "focal_ambiguous")]
    true = read_rig(folder / "rig.json").cam1.focal
    ratio = result.view.rig.cam1.focal / true
    assert finding.numbers["stretch_low"] < ratio < finding.numbers["stretch_high"]
    assert result.verdict == "poor" and "stretched or squeezed by a factor of about" in result.summary
    sideways = read_rig(folder / "rig.json").t
    off = np.degrees(np.arccos(result.view.t @ sideways / np.linalg.norm(sideways)))
    assert off < 3 * max(finding.numbers["motion_deg"], 1)


@pytest.mark.real_data
def test_motorcycle_in_millimetres(shared_data):
    """Depth from Middlebury's own disparity, z = f b / (d + doffs); 1 px is worth 0.7 % to 3 % of depth here."""
    folder = shared_data / "disparity" / "Motorcycle"
    config = Config(max_size=800, mesher="grid", calib=folder / "calib.txt", rectified=True)
    result = reconstruct(folder / "left.png", folder / "right.png", config=config)
    rig = read_rig(folder / "calib.txt", (result.left.size, result.right.size))
    d = read_map(folder / "disp_left.npz")
    depth = rig.cam1.focal * -rig.t[0] / (d + rig.cam2.K[0, 2] - rig.cam1.K[0, 2])
    scores = mesh_scores(result.mesh, np.nan_to_num(depth), rig.cam1, align="none", samples=20_000)
    assert result.unit == "mm"
    assert scores["metric_depth_median_percent"] < 0.5 and scores["metric_depth_within"] > 0.8, scores
