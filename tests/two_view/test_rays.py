"""The pose of cameras of any field, from unit rays all around."""

import numpy as np
import pytest

from stereo3d import Camera, Matches, Rig, WideLens, estimate_two_view
from stereo3d.errors import StereoError
from stereo3d.geometry.rotations import angle_deg, rotation_angle_deg, rotation_from_vector
from stereo3d.geometry.two_view import essential_from_pose
from stereo3d.two_view import direction_sigma_deg, pose_covariance
from stereo3d.two_view.motion_problem import moved_poses
from stereo3d.two_view.rays import angular_jacobian, angular_residuals
from stereo3d.two_view.solvers import cheirality_mask

PANORAMA = Camera(
    np.array([[1000 / np.pi, 0, 999.5], [0, 1000 / np.pi, 499.5], [0, 0, 1]]),
    (2000, 1000),
    lens=WideLens("equirectangular"),
)
R = rotation_from_vector(np.radians([20.0, -130.0, 8.0]))
T = np.array([0.3, -0.5, 0.8]) / np.linalg.norm([0.3, -0.5, 0.8])


def scene(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points all around, 2 to 9 baselines away, in the frames of both cameras."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, 3))
    X *= (rng.uniform(2, 9, count) / np.linalg.norm(X, axis=1))[:, None]
    return X, X @ R.T + T


def matches(count: int, noise: float = 0.0, outliers: int = 0) -> Matches:
    x1, x2 = (PANORAMA.pixels_from_rays(X) for X in scene(count))
    rng = np.random.default_rng(1)
    x2 = x2 + noise * rng.normal(size=x2.shape)
    x2[:outliers] = rng.uniform([0, 0], [1999, 999], (outliers, 2))
    return Matches(x1, x2)


def test_exact_rays_give_the_exact_pose():
    view = estimate_two_view(matches(60), Rig(PANORAMA, PANORAMA))
    assert np.abs(view.R - R).max() < 1e-9 and np.abs(view.t - T).max() < 1e-9
    assert view.inliers.all()
    E = essential_from_pose(R, T)
    assert min(np.abs(view.F * s - E / np.linalg.norm(E)).max() for s in (1, -1)) < 1e-9


def test_noisy_rays_with_outliers_give_the_pose_within_its_stated_error():
    found = matches(600, noise=0.5, outliers=300)
    view = estimate_two_view(found, Rig(PANORAMA, PANORAMA))
    off = angle_deg(view.t, T)
    sigma = direction_sigma_deg(found.x1[view.inliers], found.x2[view.inliers], view)
    assert off < 4 * sigma < 1 and rotation_angle_deg(view.R @ R.T) < 0.1
    assert view.inliers[300:].mean() > 0.95 and view.inliers[:300].mean() < 0.1


def test_a_known_pose_is_taken_and_the_wrong_one_refused():
    found = matches(200, noise=0.3)
    view = estimate_two_view(found, Rig(PANORAMA, PANORAMA, R, 0.1 * T, "m"))
    assert view.inliers.mean() > 0.9 and np.array_equal(view.t, 0.1 * T)
    with pytest.raises(StereoError, match="fit the given calibration") as caught:
        estimate_two_view(found, Rig(PANORAMA, PANORAMA, R.T, T, "m"))
    assert caught.value.code == "calibration_mismatch"


def test_random_rays_are_no_pair():
    rng = np.random.default_rng(2)
    x1, x2 = rng.uniform([0, 0], [1999, 999], (2, 100, 2))
    with pytest.raises(StereoError) as caught:
        estimate_two_view(Matches(x1, x2), Rig(PANORAMA, PANORAMA), threshold=0.5)
    assert caught.value.code == "no_overlap"


def test_the_residual_is_the_angle_by_which_both_rays_must_turn():
    """A ray off its epipolar plane by e: both turn by half of that, e / sqrt(2) in all."""
    d1, t = np.array([[0, 0, 1.0]]), np.array([1.0, 0, 0])
    for e in (1e-4, -3e-3):
        d2 = np.array([[0, np.sin(e), np.cos(e)]])
        off = angular_residuals(essential_from_pose(np.eye(3), t), d1, d2)[0]
        assert off == pytest.approx(-e / np.sqrt(2), rel=1e-4)
    assert angular_residuals(essential_from_pose(np.eye(3), t), d1, -d1)[0] == pytest.approx(0, abs=1e-12)


def test_the_derivative_agrees_with_differences():
    X1, X2 = scene(40)
    d1, d2 = (X / np.linalg.norm(X, axis=1, keepdims=True) for X in (X1, X2))
    r, J, tangents = angular_jacobian(R, T, d1, d2)
    assert np.abs(r).max() < 1e-12 and np.abs(tangents @ T).max() < 1e-12
    step = np.array([2e-5, -1e-5, 3e-5, 1e-5, -2e-5])
    Rm, tm = moved_poses(R[None], T[None], step[None])
    assert angular_residuals(essential_from_pose(Rm[0], tm[0]), d1, d2) == pytest.approx(J @ step, abs=1e-8)


def test_rays_behind_a_camera_meet_there_as_well():
    X1, X2 = scene(50)
    assert cheirality_mask(R, T, X1, X2).all() and not cheirality_mask(R, T, -X1, X2).any()


def test_the_covariance_of_a_panorama_covers_the_scatter():
    found = matches(400, noise=0.5)
    view = estimate_two_view(found, Rig(PANORAMA, PANORAMA))
    C, tangents = pose_covariance(found.x1, found.x2, view)
    assert C.shape == (5, 5) and tangents.shape == (2, 3)
    scale = np.sqrt(np.trace(C[3:, 3:]))
    assert 0.1 * scale < np.radians(angle_deg(view.t, T)) + 0.1 * scale < 5 * scale
