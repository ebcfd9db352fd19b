"""Rectification over the sphere: directions, places and points of its grid."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d import Camera, Photo, Rig, TwoView, WideLens, rectify, triangulate
from stereo3d.cameras.panorama import panorama_camera
from stereo3d.geometry.rotations import rotation_from_vector
from stereo3d.rectification.maps import rectified_positions
from stereo3d.rectification.sphere import POLE_DEG
from stereo3d.triangulation.sphere import points_on_sphere

R = rotation_from_vector(np.radians([10.0, 80.0, -15.0]))
T = np.array([0.2, -0.7, 0.4])


def view_of(camera: Camera, R: np.ndarray = R, t: np.ndarray = T) -> TwoView:
    return TwoView(np.eye(3), R, t, np.ones(0, bool), Rig(camera, camera, R, t, "m"))


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    photo = Photo(rng.integers(0, 255, (150, 300, 3)).astype(np.uint8))
    camera = panorama_camera(photo)
    return camera, rectify(photo, photo, view_of(camera))


def points(count: int = 200) -> np.ndarray:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(count, 3))
    X *= (rng.uniform(2, 8, count) / np.linalg.norm(X, axis=1))[:, None]
    e = -R.T @ T / np.linalg.norm(T)
    away = [np.abs(Y @ e) / np.linalg.norm(Y, axis=1) < 0.98 for Y in (X, X + R.T @ T)]
    return X[away[0] & away[1]]


def test_points_all_around_lie_in_equal_rows_and_come_back_from_their_disparity(pair):
    camera, rectified = pair
    X = points()
    x1, x2 = camera.pixels_from_rays(X), camera.pixels_from_rays(X @ R.T + T)
    u1, u2 = rectified_positions(rectified, x1, x2)
    assert np.isfinite(u1).all() and np.isfinite(u2).all()
    assert u1[:, 1] == pytest.approx(u2[:, 1], abs=1e-6)
    d = u1[:, 0] - u2[:, 0]
    assert (d > 0).all()
    grid = rectified.sphere
    rays = grid.directions(np.zeros(1, int), np.zeros(1))
    assert np.linalg.norm(rays) == pytest.approx(1)
    # directions between two rows: the grid turned so that the point's row is whole
    for k in range(0, len(X), 20):
        turned = replace(grid, row_angles=grid.row_angles + (u1[k, 1] % 1) * grid.row_pitch)
        row = np.array([int(u1[k, 1])])
        found, _ = points_on_sphere(row, u1[k : k + 1, 0], d[k : k + 1], turned, view_of(camera))
        assert found[0] == pytest.approx(X[k], abs=1e-6)


def test_the_maps_show_what_the_grid_says(pair):
    _, rectified = pair
    grid, height = rectified.sphere, len(rectified.map1)
    around = height - 2 * grid.padding
    assert around == pytest.approx(2 * np.pi / grid.row_pitch)
    assert grid.first_angle == pytest.approx(np.pi - np.radians(POLE_DEG), abs=0.02)
    for k, xy in enumerate((rectified.map1, rectified.map2)):
        known = np.isfinite(xy[..., 0])
        assert known.mean() > 0.99
        j, i = np.nonzero(known)
        off = grid.positions(xy[known].astype(float), k) - np.stack([i, j], -1)
        off[:, 1] = (off[:, 1] + around / 2) % around - around / 2
        assert np.abs(off).max() < 0.05
    first, again = rectified.left[: grid.padding].astype(int), rectified.left[-2 * grid.padding : -grid.padding]
    assert np.abs(first - again).max() <= 1
    inner = rectified.without_padding()
    assert inner.sphere.closed and len(inner.left) == around


def test_the_uncertainty_is_the_change_by_a_pixel(pair):
    camera, rectified = pair
    grid = rectified.sphere
    disparity = np.full(rectified.map1.shape[:2], np.nan, np.float32)
    disparity[100, 40:90] = 7.0
    view = view_of(camera)
    X, sigma = triangulate(disparity, rectified, view, disparity_sigma=0.01)
    nearer, _ = triangulate(disparity + 0.01, rectified, view, disparity_sigma=0.01)
    change = np.linalg.norm(X - nearer, axis=-1)[100, 40:90]
    assert sigma[100, 40:90] == pytest.approx(change, rel=5e-3)
    assert np.isnan(triangulate(-disparity, rectified, view)[0]).all()
    assert np.linalg.norm(X[100, 40]) / np.linalg.norm(T) == pytest.approx(
        np.sin(grid.column_angles(40) + 7 * grid.pitch) / np.sin(7 * grid.pitch)
    )


def test_a_fisheye_keeps_the_rows_and_columns_that_both_photos_show():
    f = 100 / (np.pi / 2)
    K = np.array([[f, 0, 99.5], [0, f, 99.5], [0, 0, 1]])
    camera = Camera(K, (200, 200), lens=WideLens("fisheye", (0.0, 0.0, 0.0, 0.0)))
    y, x = np.mgrid[:200, :200] - 99.5
    photo = Photo(np.full((200, 200, 3), 9, np.uint8), mask=np.hypot(x, y) < 99)  # 90 degrees from the axis
    beside = rectify(photo, photo, view_of(camera, np.eye(3), np.array([-1.0, 0, 0]))).sphere
    assert not beside.closed and beside.padding == 0
    assert np.degrees(np.ptp(beside.row_angles)) == pytest.approx(180, abs=5)
    ahead = rectify(photo, photo, view_of(camera, np.eye(3), np.array([0, 0, -1.0])))
    assert ahead.sphere.closed and ahead.sphere.padding > 0
    width = np.degrees(ahead.left.shape[1] * ahead.sphere.pitch)
    assert width == pytest.approx(90 - POLE_DEG, abs=3)  # what lies behind is not there
