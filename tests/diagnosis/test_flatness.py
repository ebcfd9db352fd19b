"""A facade with some relief is no flat scene where it determines the motion; one plane is, where it does not."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from stereo3d import geometry as g
from stereo3d.diagnosis import diagnose
from stereo3d.diagnosis.flatness import MotionUncertainty
from stereo3d.diagnosis.statistics import homography_residual, magnification, turn_residual, zoom_residual
from stereo3d.evaluation.pose import pose_errors
from stereo3d.records import Camera, Matches, Rig
from stereo3d.two_view import estimate_two_view

SIZE = (1600, 1200)
FOCAL = 1300.0
SHARE = 0.72  # of the matches on the wall, above which a scene counts as nearly a plane
K = np.array([[FOCAL, 0, (SIZE[0] - 1) / 2], [0, FOCAL, (SIZE[1] - 1) / 2], [0, 0, 1]])


def porch(seed, *, on_wall, relief, base=0.2, slant=15.0, n=400, noise=0.3):
    """Matches of a wall one unit away, the rest of them on a porch before it and a door behind it.

    on_wall: share of the matches.  relief: largest depth of the porch before the wall.  base: length of the step.
    """
    rng = np.random.default_rng(seed)
    normal = g.rotation_from_vector(np.radians([0.4 * slant, slant, 0])) @ [0, 0, -1.0]
    centre = base * np.array([1, rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2)])
    R = g.rotation_from_vector(np.radians(rng.normal(0, 1.5, 3)))
    R = R @ g.rotation_from_vector([0, -0.6 * centre[0], 0])
    t = -R @ centre
    x1 = rng.uniform([0, 0], np.array(SIZE) - 1, (4 * n, 2))
    d = np.concatenate([(x1 - K[:2, 2]) / FOCAL, np.ones((len(x1), 1))], 1)
    depth = normal[2] / (d @ normal)
    off = rng.random(len(x1)) >= on_wall
    depth = np.where(off, depth * (1 - relief * rng.uniform(-0.4, 1, len(x1))), depth)
    x2 = g.project(d * depth[:, None], K, R, t)
    seen = np.flatnonzero(((x2 >= 0) & (x2 <= np.array(SIZE) - 1)).all(1))[:n]
    x1, x2 = (x[seen] + rng.normal(0, noise, (len(seen), 2)) for x in (x1, x2))
    camera = Camera(K, SIZE, source="given", source_detail="synthetic")
    return Matches(x1, x2, np.ones(len(seen), np.float32)), Rig(camera, camera, R, t / np.linalg.norm(t))


def unposed(rig, source="given", factor=1.0):
    cams = (
        replace(c, K=c.K * [[factor, 1, 1], [1, factor, 1], [1, 1, 1]], source=source) for c in (rig.cam1, rig.cam2)
    )
    return Rig(*cams)


def flat_finding(matches, view, rig):
    return next((f for f in diagnose(matches, view, rig) if f.code == "flat_scene"), None)


PORCHES = [(0.75, 0.05), (0.8, 0.1), (0.85, 0.06), (0.9, 0.15), (0.95, 0.2)]


@pytest.mark.parametrize(("on_wall", "relief"), PORCHES)
@pytest.mark.parametrize(("source", "error"), [("given", "pose_deg"), ("exif", "direction_deg")])
def test_a_porch_whose_motion_is_known_is_no_flat_scene(on_wall, relief, source, error):
    """One homography explains most of it, and yet the motion is right to half a degree: nothing to warn of.

    With the focal length of EXIF the direction is; the rotation shares in the error of lens and principal point.
    """
    matches, true = porch(round(1000 * on_wall), on_wall=on_wall, relief=relief)
    rig = unposed(true, source, 1.0 if source == "given" else 1.015)
    view = estimate_two_view(matches, rig)
    _, share = homography_residual(matches.x1[view.inliers], matches.x2[view.inliers])
    assert share > SHARE
    assert pose_errors(view.R, view.t, true.R, true.t)[error] < 0.5
    finding = flat_finding(matches, view, rig)
    assert finding is None or finding.severity == "info"


def test_one_plane_whose_motion_is_known_is_a_note():
    matches, true = porch(1, on_wall=1.0, relief=0.0)
    rig = unposed(true)
    view = estimate_two_view(matches, rig)
    assert max(pose_errors(view.R, view.t, true.R, true.t).values()) < 0.5
    finding = flat_finding(matches, view, rig)
    assert finding.severity == "info" and finding.numbers["direction_sigma_deg"] < 0.5


@pytest.mark.parametrize("seed", range(4))
def test_a_wall_from_a_small_step_is_a_warning_or_an_error(seed):
    """Three hundredths of the distance, few matches and a pixel of noise: the motion is degrees off, and said to be."""
    matches, true = porch(seed, on_wall=0.97, relief=0.03, base=0.03, n=60, noise=1.0)
    rig = unposed(true)
    view = estimate_two_view(matches, rig)
    finding = flat_finding(matches, view, rig)
    assert finding is not None and finding.severity in ("warning", "error")


def test_one_plane_with_a_guessed_focal_stays_an_error():
    for factor in (0.8, 1.2):
        matches, true = porch(2, on_wall=1.0, relief=0.0)
        rig = unposed(true, "prior", factor)
        finding = flat_finding(matches, estimate_two_view(matches, rig), rig)
        assert finding is not None and finding.severity == "error"


def test_the_uncertainty_of_the_motion_includes_that_of_the_focal():
    matches, true = porch(3, on_wall=0.8, relief=0.1)
    rig = unposed(true)
    view = estimate_two_view(matches, rig)
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    known = MotionUncertainty(x1, x2, replace(view, focal_sigma=None))
    assert known.total_sigma_deg == known.sigma_deg < 0.5
    totals = [MotionUncertainty(x1, x2, replace(view, focal_sigma=s)).total_sigma_deg for s in (0.02, 0.1, 0.3)]
    assert known.sigma_deg < totals[0] < totals[1] < totals[2]


def zoomed(factor, turn=(0.5, -3.0, 1.0), noise=0.2):
    """Matches of a camera that turns and zooms on the spot, the longer lens second."""
    rng = np.random.default_rng(5)
    K2 = K * [[factor, 1, 1], [1, factor, 1], [1, 1, 1]]
    H = K2 @ g.rotation_from_vector(np.radians(turn)) @ np.linalg.inv(K)
    x1 = rng.uniform([0, 0], np.array(SIZE) - 1, (2000, 2))
    x2 = g.transform(H, x1)
    seen = np.flatnonzero(((x2 >= 0) & (x2 <= np.array(SIZE) - 1)).all(1))[:300]
    x1, x2 = x1[seen] + rng.normal(0, noise, (len(seen), 2)), x2[seen] + factor * rng.normal(0, noise, (len(seen), 2))
    return Matches(x1, x2, np.ones(len(seen), np.float32))


@pytest.mark.parametrize("factor", [1.3, 2.2])
def test_a_zoom_from_one_place_is_called_a_zoom(factor):
    camera = Camera(K, SIZE, source="prior", source_detail="guess")
    rig = Rig(camera, camera)
    for matches, who, backwards in ((zoomed(factor), "second", False), (zoomed(factor), "first", True)):
        if backwards:
            matches = Matches(matches.x2, matches.x1, matches.score)
        findings = {f.code: f for f in diagnose(matches, estimate_two_view(matches, rig), rig)}
        zoom = findings["zoom"]
        assert zoom.severity == "error" and f"the {who} photo has {factor:.2f} times" in zoom.message
        assert not {"flat_scene", "pure_rotation"} & set(findings)


def test_the_factors_of_a_zoom_are_found():
    x = zoomed(1.6, noise=0.0)
    camera = Camera(K * [[0.8, 1, 1], [1, 0.8, 1], [1, 1, 1]], SIZE, source="prior")
    residual, factor, zoom = zoom_residual(x.x1, x.x2, Rig(camera, camera))
    assert residual < 0.3 and zoom == pytest.approx(1.6, rel=0.01) and factor == pytest.approx(1.25, rel=0.05)
    assert turn_residual(x.x1, x.x2, Rig(camera, camera))[0] > 20, "no turn alone explains it"
    assert magnification(x.x1, x.x2) == pytest.approx(1.6, rel=0.05)


def wall_like_a_turn(bend):
    """Matches of a wall, all but explained by a turn by 8 degrees at 1.6 times the focal length, and the motion.

    The homography of that turn is also one of a plane n.X = 1 and a step of .14 of its distance; n + (bend, 0, 0) is
    the wall.
    """
    scale = np.diag([1.6, 1.6, 1])
    H = scale @ g.rotation_from_vector(np.radians([1, -8, 0])) @ np.linalg.inv(scale)
    _, turns, steps, normals = cv2.decomposeHomographyMat(H, np.eye(3))
    rng = np.random.default_rng(5)
    x1 = rng.uniform([0, 0], np.array(SIZE) - 1, (900, 2))
    d = np.concatenate([(x1 - K[:2, 2]) / FOCAL, np.ones((len(x1), 1))], 1)
    for R, t, n in zip(turns, steps, normals, strict=True):
        depth = 1 / (d @ (n.ravel() + [bend, 0, 0]))
        x2 = g.project(d * depth[:, None], K, R, t.ravel())
        seen = (depth > 0) & ((x2 >= 0) & (x2 <= np.array(SIZE) - 1)).all(1)
        if n[2] > 0.5 and seen.sum() > 300:
            x1, x2 = (x[seen] + rng.normal(0, 0.2, (seen.sum(), 2)) for x in (x1, x2))
            return Matches(x1, x2, np.ones(len(x1), np.float32)), R, t.ravel()
    raise AssertionError("no such plane")


@pytest.mark.parametrize(
    ("bend", "source", "turn"),
    [(0.01, "given", False), (0.01, "calibration", False), (0.01, "exif", True), (0.0, "given", True)],
)
def test_a_wall_is_no_turn_where_the_measured_focal_length_is_right(bend, source, turn):
    """What a homography and a turn explain alike remains a turn: the focal length may have been measured wrongly."""
    matches, R, t = wall_like_a_turn(bend)
    rig = Rig(*2 * [Camera(K, SIZE, source=source, source_detail="synthetic")])
    left, factor = turn_residual(matches.x1, matches.x2, rig)
    parallax = homography_residual(matches.x1, matches.x2, 1.0)[0]
    assert left < 1.5 and factor == pytest.approx(1.6, rel=0.1) and (left > 1.3 * parallax) == (bend > 0)
    view = estimate_two_view(matches, rig)
    assert ("pure_rotation" in {f.code for f in diagnose(matches, view, rig)}) == turn
    if not turn:
        assert pose_errors(view.R, view.t, R, t)["pose_deg"] < 1.0
