"""Principal points that differ between two photos: what the matches leave open, and what they measure."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from stereo3d.cameras import camera_for
from stereo3d.diagnosis.window import behind_findings
from stereo3d.evaluation.pose import pose_errors
from stereo3d.geometry import hom, project, rotation_from_vector, undistort
from stereo3d.pipeline import Config
from stereo3d.pipeline.pose import MatchedPose, estimate_pose
from stereo3d.pipeline.window import settle_window
from stereo3d.records import Camera, Matches, Photo, Rig
from stereo3d.two_view import estimate_two_view, window
from stereo3d.two_view.estimate import sparse_points

SIZE, F = (640, 480), 600.0


def shot(shift, turn=(0, 0, 0), n=400, noise=0.1, seed=0, direction=(1, 0, 0)):
    """Matches of points 4 to 7 baselines away, principal points that differ by `shift` px; the true rig."""
    rng = np.random.default_rng(seed)
    shift = np.asarray(shift, dtype=float)
    cams = []
    for half in (-shift / 2, shift / 2):
        cx, cy = (np.array(SIZE) - 1) / 2 + half
        cams.append(Camera(np.array([[F, 0, cx], [0, F, cy], [0, 0, 1]]), SIZE))
    R = rotation_from_vector(np.radians(turn))
    t = -R @ np.array(direction) / np.linalg.norm(direction)
    x1 = rng.uniform(0, np.array(SIZE) - 1, (8 * n, 2))
    X = hom(undistort(x1, cams[0].K)) * rng.uniform(4, 7, (len(x1), 1))
    x2 = project(X, cams[1].K, R, t)
    seen = ((x2 >= 0) & (x2 <= np.array(SIZE) - 1)).all(1)
    x1, x2 = x1[seen][:n], x2[seen][:n]
    assert len(x1) == n
    return Matches(x1 + rng.normal(0, noise, x1.shape), x2 + rng.normal(0, noise, x2.shape)), Rig(*cams, R, t)


def centred(source="given"):
    K = np.array([[F, 0, (SIZE[0] - 1) / 2], [0, F, (SIZE[1] - 1) / 2], [0, 0, 1]])
    return Rig(Camera(K, SIZE, source=source), Camera(K, SIZE, source=source))


@pytest.mark.parametrize("side", [1, -1])
def test_between_parallel_cameras_the_matches_bound_the_shift_only(side):
    """Disparities f / z - shift are all of the wrong sign: both orders fit, the true one from shift = max(f / z) on."""
    matches, rig = shot((160 * side, 0), direction=(side, 0, 0))
    view = estimate_two_view(matches, centred())
    profile = window.window_profile(matches, view, centred(), threshold=1.5)
    wrong = profile.order(view)
    assert wrong == (1 if side > 0 else 0), "equal principal points: the far becomes the near"
    assert profile.front_unshifted(wrong) > 0.98
    d = (matches.x1 - matches.x2)[:, 0]
    feasible = profile.shifts[profile.feasible(1 - wrong)] * side
    assert abs(feasible.min() - np.max(-d * side)) < 0.03 * SIZE[0] and feasible.max() > 180
    mean, sigma = profile.shift(1 - wrong)
    assert abs(mean - 160 * side) < 2 * sigma
    spread = np.ptp(profile.cost - 0.5 * (profile.shifts / (window.SHIFT_SIGMA * SIZE[0])) ** 2)
    assert spread < 10, "nothing but the prior tells them apart"


@pytest.mark.parametrize("shift", [-120, 60, 150])
def test_between_turned_cameras_the_matches_measure_the_shift(shift):
    matches, rig = shot((shift, 0), turn=(2, -14, 3))
    lines = window.pose_by_lines(matches, centred(), threshold=1.5)
    profile = window.window_profile(matches, lines, centred(), threshold=1.5)
    cost = [profile.least_cost(k) for k in (0, 1)]
    order = int(np.argmin(cost))
    assert order == 0 and cost[1] - cost[0] > 20
    mean, sigma = profile.shift(order)
    assert abs(mean - shift) < 3 * sigma + 5 and sigma < 0.05 * SIZE[0]
    found = estimate_two_view(matches, window.shift_principal_points(centred(), mean * profile.axis))
    assert found.inliers.mean() > 0.97 and found.R.T @ found.t @ [1, 0, 0] < 0


def test_ordinary_cameras_need_no_shift_and_have_no_other_order():
    matches, rig = shot((0, 0), turn=(2, -10, 3))
    view = estimate_two_view(matches, centred())
    profile = window.window_profile(matches, view, centred(), threshold=1.5)
    assert profile.feasible(profile.order(view))[len(profile.shifts) // 2]
    assert profile.least_cost(1 - profile.order(view)) > profile.least_cost(profile.order(view)) + 30


def test_shifts_of_forward_motion_reverse_nothing():
    matches, rig = shot((0, 0), direction=(0.3, 0.1, 1))
    view = estimate_two_view(matches, centred())
    assert window.window_profile(matches, view, centred(), threshold=1.5) is None


def test_matches_of_both_signs_are_on_their_lines_half_of_them_behind():
    matches, _ = shot((115, 0))
    d = (matches.x1 - matches.x2)[:, 0]
    share = np.mean(d > 0)
    assert 0.2 < share < 0.8
    rig = replace(centred(), R=np.eye(3), t=np.array([-1.0, 0, 0]))
    view = estimate_two_view(matches, rig)
    on, front = window.on_lines(matches, view, 1.5)
    assert on.all() and not (front & ~on).any()
    assert abs(front.mean() - share) < 0.1, "within twice the threshold of infinity both sides count"
    lines = window.pose_by_lines(matches, centred(), threshold=1.5)
    assert lines.inliers.mean() > 0.97


def test_principal_points_move_apart_by_the_shift():
    rig = window.shift_principal_points(centred(), np.array([30.0, -8.0]))
    np.testing.assert_allclose((rig.cam2.K - rig.cam1.K)[:2, 2], [30, -8])
    np.testing.assert_allclose((rig.cam2.K + rig.cam1.K)[:2, 2], np.array(SIZE) - 1)


@pytest.mark.parametrize("shift, shown", [((60, 0), True), ((-70, 0), True), ((0, 0), False)])
def test_epipolar_lines_of_turned_cameras_show_a_shift_that_reverses_nothing(shift, shown):
    """All matches are in front without it; the pose alone takes up the shift as a turn, and stretches depth."""
    matches, rig = shot(shift, turn=(3, -10, 4), seed=2)
    rig_given = centred()
    pose = estimate_pose(matches, rig_given, Config())
    blank = Photo(np.zeros((*SIZE[::-1], 3), np.uint8))
    start = MatchedPose(None, matches, pose)
    found, findings = settle_window(blank, blank, start, Config(), measured=False)
    numbers = {f.code: f.numbers for f in findings}
    before, after = (pose_errors(v.R, v.t, rig.R, rig.t)["pose_deg"] for v in (pose.view, found.pose.view))
    if shown:
        assert numbers["window"]["gain"] > 20 and abs(numbers["window"]["shift_px"] - abs(shift[0])) < 15
        assert after < 0.4 * before
    else:
        assert not numbers and found.pose is pose


def test_orthographic_pictures_are_those_of_a_very_long_lens():
    """By a usual lens a third of the matches meets behind a camera; by one of 1 degree, their own, none does."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (500, 3)) * [220, 160, 120]
    R, far = rotation_from_vector(np.radians([3, 8, 2])), 36_700.0
    x = [far * Y[:, :2] / (far + Y[:, 2:]) + [319.5, 239.5] + rng.normal(0, 0.1, (500, 2)) for Y in (X, X @ R.T)]
    matches = Matches(x[0], x[1])
    blank = Photo(np.zeros((*SIZE[::-1], 3), np.uint8))
    usual, long = (Rig(camera_for(blank, fov=fov), camera_for(blank, fov=fov)) for fov in (None, 1.0))
    assert estimate_two_view(matches, usual).inliers.mean() < 0.8
    view = estimate_two_view(matches, long)
    assert view.inliers.all()
    assert spearmanr(sparse_points(matches, view)[:, 2], X[:, 2]).statistic > 0.95
    on = behind_findings(matches, window.pose_by_lines(matches, usual, threshold=1.5), 1.5)
    assert "--fov 1" in on[0].advice
