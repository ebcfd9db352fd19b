"""Triangles, sheets of them, clear solids: against numpy and the laws of refraction."""

import numpy as np
import pytest

from stereo3d.synthetic import intersections, kernels, renderer, scene, sheets
from stereo3d.synthetic.tables import BOX, ELLIPSOID, LEAF, PLAIN, RECTANGLE

WHITE = scene.paint(PLAIN, "ffffff")
GREY = scene.paint(PLAIN, "808080")
SIZE = (48, 36)


def dome(n: int = 33) -> tuple[np.ndarray, np.ndarray]:
    """A cap of the sphere of radius 0.5 m about (0, 0, 2), towards the camera at the origin: points, coordinates."""
    x, y = np.meshgrid(np.linspace(-0.3, 0.3, n), np.linspace(-0.3, 0.3, n))
    return np.stack([x, y, 2 - np.sqrt(0.25 - x**2 - y**2)], -1), np.stack([x, y], -1)


def packed(*groups):
    return renderer.pack_tables(scene.Scene(tuple(groups)))


def test_a_ray_meets_a_triangle_where_cramer_says():
    rng = np.random.default_rng(1)
    hits = 0
    for X in rng.normal(0, 1, (200, 3, 3)):
        [solid] = sheets.make_triangles(X[None], np.tile([0.0, 0, 1], (1, 3, 1)), np.zeros((1, 3, 2)), WHITE)
        solids, _, _ = packed((solid,))
        o, d = rng.normal(0, 1, 3), rng.normal(0, 1, 3)
        t, b, c = np.linalg.solve(np.stack([-d, X[1] - X[0], X[2] - X[0]], 1), o - X[0])
        expected = t if t > 0 and min(b, c, 1 - b - c) >= 0 else np.inf
        assert intersections.intersect(solids[0], tuple(o), tuple(d), 0.0, np.inf) == pytest.approx(expected)
        hits += np.isfinite(expected)
    assert hits > 5


def test_a_sheet_has_the_normals_and_the_texture_of_its_surface():
    points, texture = dome()
    solids, groups, _ = packed(*sheets.sheet(points, texture, WHITE))
    assert len(solids) == 2 * 32**2 and len(groups) == 36
    rng = np.random.default_rng(2)
    x = rng.uniform(-0.25, 0.25, (300, 2))
    rays = np.c_[x, 2 - np.sqrt(0.25 - (x**2).sum(1))]
    t, row, normals = np.empty(300), np.empty(300, np.int64), np.empty((300, 3))
    intersections.trace(solids, groups, np.zeros(3), rays, 0.0, t, row, normals)
    assert np.all(row >= 0) and np.abs(t - 1).max() < 4e-4  # the sagitta of a diagonal of 40 mm on the slope
    outward = (rays - [0, 0, 2]) / 0.5
    assert np.degrees(np.arccos(np.sum(normals * outward, 1).clip(-1, 1))).max() < 0.2  # facets would be 1 degree off
    for k in range(50):
        _, q = intersections.surface(solids[row[k]], tuple(t[k] * rays[k]))
        np.testing.assert_allclose(q[:2] + solids[row[k], 25:27], t[k] * rays[k, :2], atol=1e-12)


def test_a_sheet_is_seen_from_both_sides_and_has_no_gaps():
    points, texture = dome()
    solids, groups, _ = packed(*sheets.sheet(points, texture, WHITE))
    corners = points[1:-1, 1:-1].reshape(-1, 3)  # rays through the points themselves, where triangles meet
    for origin in (np.zeros(3), np.array([0.0, 0, 4])):
        n = len(corners)
        t, row, normals = np.empty(n), np.empty(n, np.int64), np.empty((n, 3))
        intersections.trace(solids, groups, origin, corners - origin, 0.0, t, row, normals)
        assert np.allclose(t, 1) and np.all(np.sum(normals * (corners - origin), 1) < 0)


def test_a_leaf_is_as_long_and_wide_as_asked_and_hangs_down():
    blade = scene.paint(LEAF, "3f7a35 a9c77a 6a9a4a 2f5f2a", (0.2, 0.05, 8, 0.1))
    groups = sheets.leaf(np.zeros(3), np.array([1.0, 0, 0]), np.array([0.0, -1, 0]), (0.2, 0.05), 1.0, blade)
    X = np.array([solid.centre for group in groups for solid in group])
    assert 0.15 < np.ptp(X[:, 0]) < 0.2 * np.sin(1.0) / 1.0 + 0.01
    assert 0.07 < np.ptp(X[:, 2]) < 0.1
    assert X[np.argmax(X[:, 0]), 1] > 0.05  # y points down


@pytest.mark.parametrize("index", [1.333, 1.5])
def test_rays_bend_by_snell_and_are_reflected_beyond_the_critical_angle(index):
    for degrees in (0.0, 20, 45, 80):
        a = np.radians(degrees)
        d = (np.sin(a), 0.0, np.cos(a))
        bent, reflected = kernels._cross(index, d, (0.0, 0.0, -1.0))  # entering
        assert bent[0] == pytest.approx(np.sin(a) / index) and np.linalg.norm(bent) == pytest.approx(1)
        assert 0.03 < reflected < 0.5
        back, _ = kernels._cross(index, bent, (0.0, 0.0, 1.0))  # leaving through a parallel side
        np.testing.assert_allclose(back, d, atol=1e-12)
    a = np.arcsin(1 / index) + 0.01
    bent, reflected = kernels._cross(index, (np.sin(a), 0.0, np.cos(a)), (0.0, 0.0, 1.0))
    np.testing.assert_allclose(bent, (np.sin(a), 0, -np.cos(a)), atol=1e-12)
    assert reflected == 0


def test_thin_walls_bend_nothing_and_reflect_twice():
    d = np.array([0.3, -0.2, 0.8])
    bent, twice = kernels._cross(1.0, tuple(d), (0.0, 0.0, -1.0))
    np.testing.assert_allclose(bent, d / np.linalg.norm(d))
    _, once = kernels._cross(1.5, (0.0, 0.0, 1.0), (0.0, 0.0, -1.0))
    _, both = kernels._cross(1.0, (0.0, 0.0, 1.0), (0.0, 0.0, -1.0))
    assert once == pytest.approx(0.04) and both == pytest.approx(1 - (1 - 0.04) / (1 + 0.04)) and twice > both


def wall_behind(*solids: scene.Solid) -> scene.Scene:
    wall = scene.make_solid(RECTANGLE, (0, 0, 2), (40, 40, 1), GREY)
    return scene.Scene(((wall,), *((solid,) for solid in solids)), lamp=((0, 0, -1), 0.01, 0.5), sky=(0.4, 0))


def test_the_depth_of_a_pane_is_its_own_and_its_picture_is_what_stands_behind():
    pane = scene.make_solid(RECTANGLE, (0, 0, 1), (0.2, 0.2, 1), WHITE)
    bare = renderer.render(wall_behind(), size=SIZE)
    pair = renderer.render(wall_behind(*scene.clear(pane, index=1.0)), size=SIZE)
    covered = pair.depth1 == 1
    assert 0.05 < covered.mean() < 0.5 and np.all(pair.depth1[~covered] == 2)
    difference = pair.left.pixels.astype(float) - bare.left.pixels
    assert np.abs(difference[~covered]).max() == 0  # it casts no shadow of the lamp
    inner = covered.copy()
    inner[1:-1, 1:-1] &= covered[:-2, 1:-1] & covered[2:, 1:-1] & covered[1:-1, :-2] & covered[1:-1, 2:]
    assert np.abs(difference[inner]).max() < 25  # it passes 92 % and reflects the sky


def test_a_ball_of_glass_turns_the_picture_behind_it():
    """Its focal length is n r / 2 (n - 1) = 75 mm: a wall 1 m behind stands on its head."""
    left = scene.make_solid(BOX, (-0.5, 0, 2), (0.5, 2, 0.01), scene.paint(PLAIN, "d02020"))
    right = scene.make_solid(BOX, (0.5, 0, 2), (0.5, 2, 0.01), scene.paint(PLAIN, "2020d0"))
    ball = scene.make_solid(ELLIPSOID, (0, 0, 1), (0.05,) * 3, WHITE, shape=(-1, 1))
    setting = wall_behind(left, right, *scene.clear(ball, index=1.5))
    pixels = renderer.render(setting, size=(161, 121)).left.pixels.astype(int)
    row = pixels[60]
    assert row[20, 0] > row[20, 2] and row[140, 0] < row[140, 2]  # red left, blue right
    f = setting.focal_35mm * np.hypot(161, 121) / 43.27
    x = round(0.5 * 0.05 * f)
    assert row[80 - x, 0] < row[80 - x, 2] and row[80 + x, 0] > row[80 + x, 2]
