"""Kernels of the mesh stage against plain numpy: edges, local planes, holes, the adaptive network, edge collapse."""

from itertools import pairwise

import numpy as np
import pytest

from stereo3d.mesh import decimation, hole_filling, kernels, local_planes, rtin, strips

PITCH = 0.01  # distance of neighbouring pixels in (x/z, y/z)
TANGENT = np.tan(np.radians(80))


def point_map(z):
    """Points (H, W, 3) of depths (H, W) seen through a camera of focal length 1 / PITCH."""
    v, u = np.mgrid[: z.shape[0], : z.shape[1]]
    return np.stack([u * PITCH - 0.1, v * PITCH - 0.05, np.ones(z.shape)], -1) * z[..., None]


def rough(shape=(17, 17), seed=0, noise=0.01):
    """A curved surface with noise, nowhere torn."""
    v, u = np.mgrid[: shape[0], : shape[1]]
    return point_map(4 + 0.02 * (u - 5) ** 2 * PITCH + noise * np.random.default_rng(seed).normal(size=shape))


def same_surface(P, Q, sigma_p, sigma_q):
    step = abs(np.linalg.norm(P) - np.linalg.norm(Q))
    excess = step - 3 * np.hypot(sigma_p, sigma_q)
    return excess <= 0 or excess <= TANGENT * np.sqrt(np.sum((P - Q) ** 2) - step**2)


def test_each_bit_is_one_edge_on_one_surface():
    z = np.where(np.arange(9) < 5, 3.0, 5.0) + np.zeros((7, 1))
    z[3] += 1.0
    z[5, 2] = np.nan
    points, sigma = point_map(z), np.full(z.shape, 0.01)
    bits = kernels.edges(points, kernels.ranges(points), sigma, TANGENT)
    ends = {
        kernels.RIGHT: ((0, 0), (0, 1)),
        kernels.DOWN: ((0, 0), (1, 0)),
        kernels.FALLING: ((0, 0), (1, 1)),
        kernels.RISING: ((0, 1), (1, 0)),
    }
    assert sum(ends) == 15  # four different bits
    for y, x in np.ndindex(z.shape):
        for bit, (start, end) in ends.items():
            (y0, x0), (y1, x1) = (y + start[0], x + start[1]), (y + end[0], x + end[1])
            inside = y1 < z.shape[0] and max(x0, x1) < z.shape[1]
            expected = inside and same_surface(points[y0, x0], points[y1, x1], 0.01, 0.01)
            assert bool(bits[y, x] & bit) == bool(expected), (y, x, bit)


@pytest.mark.parametrize("missing", ["none", "RIGHT", "DOWN", "FALLING", "RISING"])
def test_a_cell_is_whole_with_the_network_s_diagonal_and_broken_without_it(missing):
    all_bits = kernels.RIGHT | kernels.DOWN | kernels.FALLING | kernels.RISING
    edge = np.full((2, 2), all_bits, np.uint8)
    if missing != "none":
        edge[0, 0] &= ~np.uint8(getattr(kernels, missing))
    cell = rtin.classify_cells(edge, np.zeros(0, np.int64))
    assert cell.shape == (1, 1)
    assert cell[0, 0] == (rtin.WHOLE if missing in ("none", "RISING") else rtin.BROKEN)
    edge[:] = 0
    assert rtin.classify_cells(edge, np.zeros(0, np.int64))[0, 0] == rtin.EMPTY


def test_local_planes_are_least_squares_over_the_window():
    points = rough((9, 11), noise=0.002)
    sigma = np.full(points.shape[:2], 0.002)
    slope, count = local_planes.slopes(points, sigma, TANGENT, PITCH / 2, 2)
    moved = local_planes.smooth(points, sigma, TANGENT, PITCH / 2, 2, ((1, 1.0),))
    for y, x in np.ndindex(9, 11):
        window = points[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].reshape(-1, 3)
        view = window[:, :2] / window[:, 2:] - points[y, x, :2] / points[y, x, 2]
        view = np.column_stack([view, np.ones(len(window))])
        value = 1 / window[:, 2]
        g = np.linalg.lstsq(view, value, rcond=None)[0]
        scatter = np.sum((value - view @ g) ** 2) / (len(window) - 3)
        noise = (sigma[y, x] / np.linalg.norm(points[y, x]) / points[y, x, 2]) ** 2
        w0 = 1 / points[y, x, 2]
        assert count[y, x] == len(window)
        assert slope[y, x] == pytest.approx(-g[:2] / value.mean(), rel=1e-3, abs=1e-4)  # single precision
        assert 1 / moved[y, x, 2] == pytest.approx(w0 + min(1, noise / scatter) * (g[2] - w0), rel=1e-6)
        assert moved[y, x] / moved[y, x, 2] == pytest.approx(points[y, x] / points[y, x, 2], rel=1e-15)


def test_local_planes_do_not_depend_on_where_a_tile_begins():
    points = rough((9, 2 * local_planes.TILE + 40), noise=0.002)
    sigma = np.full(points.shape[:2], 0.002)
    part = slice(local_planes.TILE - 30, local_planes.TILE + 50)
    steps = ((2, 0.5),)
    whole = local_planes.smooth(points, sigma, TANGENT, PITCH / 2, 2, steps)[:, part]
    alone = local_planes.smooth(points[:, part], sigma[:, part], TANGENT, PITCH / 2, 2, steps)
    assert np.array_equal(whole[:, 4:-4], alone[:, 4:-4])
    assert np.abs(alone - points[:, part]).max() > 1e-4


def test_a_block_mean_is_the_weighted_mean_in_inverse_depth():
    points = rough((4, 6), noise=0.002)
    sigma = np.random.default_rng(1).uniform(0.002, 0.01, (4, 6))
    r = kernels.ranges(points)
    means, mean_sigma, filled = kernels.block_means(points, r, sigma, np.zeros((4, 6), bool), TANGENT, 2)
    block = points[:2, :2].reshape(-1, 3)
    weight = 1 / sigma[:2, :2].ravel() ** 2  # r and z of the block's median point are common factors
    w = np.average(1 / block[:, 2], weights=weight)
    view = np.average(block[:, :2] / block[:, 2:], axis=0, weights=weight)
    assert means.shape == (2, 3, 3) and not filled.any()
    assert means[0, 0] == pytest.approx([*(view / w), 1 / w], rel=1e-12)
    assert mean_sigma[0, 0] == pytest.approx(sigma[:2, :2].mean(), rel=1e-12)


# Holes


def test_holes_are_enclosed_components_of_unknown_pixels():
    known = np.ones((7, 9), bool)
    known[1, 1] = known[2, 2] = False  # two holes: diagonal neighbours are not connected
    known[3:5, 5:7] = False
    known[6, 4] = False  # open to the border
    points = np.where(known[..., None], point_map(np.full((7, 9), 3.0)), np.nan)
    order, starts = hole_filling.find_holes(points, 100)
    found = [{divmod(int(at), 9) for at in order[a:b]} for a, b in pairwise(starts)]
    assert found == [{(1, 1)}, {(2, 2)}, {(3, 5), (3, 6), (4, 5), (4, 6)}]
    order, starts = hole_filling.find_holes(points, 3)
    assert len(order) == 2 and list(starts) == [0, 1, 2]


def holed(shape=(12, 14)):
    points = rough(shape, noise=0.01)
    hole = np.zeros(shape, bool)
    hole[4:8, 5:10] = True
    hole[5, 10] = True
    points[hole] = np.nan
    return points, hole


def test_the_rim_is_all_known_pixels_within_two_steps():
    points, hole = holed()
    order, _ = hole_filling.find_holes(points, 100)
    rim = hole_filling.find_rim(points, order, np.zeros(hole.shape, np.int32), 1)
    v, u = np.mgrid[: hole.shape[0], : hole.shape[1]]
    near = np.min([np.abs(v - y) + np.abs(u - x) for y, x in np.argwhere(hole)], axis=0)
    assert sorted(rim) == sorted(np.flatnonzero((near > 0) & (near <= 2)))


def test_the_plane_of_the_rim_is_least_squares():
    points, _ = holed()
    rim = np.random.default_rng(0).choice(np.flatnonzero(np.isfinite(points[..., 2])), 30, replace=False)
    y, x = np.divmod(rim, points.shape[1])
    values = np.column_stack([points[y, x, :2] / points[y, x, 2:], 1 / points[y, x, 2]])
    A = np.column_stack([np.ones(30), x - x[0], y - y[0]])
    C = hole_filling.fit_plane(points, rim)
    assert np.allclose(C, np.linalg.lstsq(A, values, rcond=None)[0], atol=1e-7)  # the ridge


def test_a_filling_solves_laplace_s_equation():
    points, hole = holed()
    given = points.copy()
    sigma = np.where(hole, np.nan, 0.02)
    filled = np.zeros(hole.shape, bool)
    order, starts = hole_filling.find_holes(points, 100)
    assert hole_filling.fill_holes(points, sigma, filled, order, starts, False).all()
    assert np.array_equal(filled, hole) and np.allclose(sigma, 0.02)
    assert np.array_equal(points[~hole], given[~hole])
    index = {tuple(at): k for k, at in enumerate(np.argwhere(hole))}
    A, B = np.zeros((len(index), len(index))), np.zeros((len(index), 3))
    for (y, x), k in index.items():
        for at in ((y, x + 1), (y + 1, x), (y, x - 1), (y - 1, x)):
            A[k, k] += 1
            if at in index:
                A[k, index[at]] -= 1
            else:
                B[k] += [*(given[at][:2] / given[at][2]), 1 / given[at][2]]
    made = points[hole]
    made = np.column_stack([made[:, :2] / made[:, 2:], 1 / made[:, 2]])
    assert np.allclose(made, np.linalg.solve(A, B), atol=1e-6)


def test_a_hole_across_a_discontinuity_is_filled_only_on_request():
    z = np.where(np.arange(24) < 12, 3.0, 5.0) + np.zeros((20, 1))
    z[6:14, 8:16] = np.nan
    for fill_all in (False, True):
        points, sigma, filled = point_map(z), np.where(np.isnan(z), np.nan, 1e-3), np.zeros(z.shape, bool)
        order, starts = hole_filling.find_holes(points, 100)
        assert hole_filling.fill_holes(points, sigma, filled, order, starts, fill_all).all() == fill_all
        assert filled.any() == fill_all
        assert not fill_all or np.isinf(sigma[6:14, 8:16]).all()


# Network


def inside(triangle):
    """All pixels in a triangle of three (y, x)."""
    p, q, r = map(np.array, triangle)
    low, high = np.min(triangle, axis=0), np.max(triangle, axis=0)
    edges = [(p, q), (q, r), (r, p)]
    for y in range(low[0], high[0] + 1):
        for x in range(low[1], high[1] + 1):
            sides = [(b - a)[0] * (x - a[1]) - (b - a)[1] * (y - a[0]) for a, b in edges]
            if min(sides) >= 0 or max(sides) <= 0:
                yield y, x


def triangle_error(points, triangle):
    """px: the largest distance of a pixel from the triangle's plane over z pitch, or the texture stretch."""
    P, Q, R = (points[at] for at in triangle)
    n = np.cross(Q - P, R - P)
    n /= np.linalg.norm(n)
    distance = max(abs(n @ (points[at] - P)) / (points[at][2] * PITCH) for at in inside(triangle))
    stretch = 0.0
    for a, b in ((0, 1), (1, 2), (0, 2)):
        length = np.hypot(*np.subtract(triangle[a], triangle[b]))
        za, zb = points[triangle[a]][2], points[triangle[b]][2]
        stretch = max(stretch, length * abs(za - zb) / (2 * (za + zb)))
    return max(distance, stretch)


def network_errors(points):
    """{middle: err} of the whole network over a square map, from its definition."""
    size = len(points) - 1
    err = {}

    def visit(p, q, r):
        """The error of triangle (p, q, apex r) and of all triangles inside; noted at the middle of p-q."""
        if abs(p[0] - q[0]) == 1:  # half of a cell
            return 0.0
        m = ((p[0] + q[0]) // 2, (p[1] + q[1]) // 2)
        value = max(triangle_error(points, (p, q, r)), visit(p, r, m), visit(q, r, m))
        err[m] = max(err.get(m, 0.0), value)
        return value

    # an error below counts from both sides of the side it lies on: repeat until nothing changes
    a, b, c, d = (0, 0), (0, size), (size, size), (size, 0)
    visit(a, c, b)
    visit(c, a, d)
    changed = True
    while changed:
        changed = False

        def propagate(p, q, r):
            nonlocal changed
            if abs(p[0] - q[0]) == 1:
                return 0.0
            m = ((p[0] + q[0]) // 2, (p[1] + q[1]) // 2)
            value = max(propagate(p, r, m), propagate(q, r, m))
            if value > err[m]:
                err[m], changed = value, True
            return err[m]

        propagate(a, c, b)
        propagate(c, a, d)
    return err


@pytest.mark.parametrize("seed", range(3))
def test_network_errors_are_those_of_the_definition(seed):
    points = rough(seed=seed)
    cell = np.full((16, 16), rtin.WHOLE, np.uint8)
    err = rtin.split_errors(points, cell, PITCH, np.inf, 16)
    expected = network_errors(points)
    assert len(expected) > 100
    for at, value in expected.items():
        assert err[at] == pytest.approx(value, rel=1e-5), at


@pytest.mark.parametrize("tolerance", [0.0, 0.3, 0.6, 1.0, 100.0])
def test_the_network_is_split_where_its_error_is_above_the_tolerance(tolerance):
    points = rough(seed=1)
    cell = np.full((16, 16), rtin.WHOLE, np.uint8)
    err = rtin.split_errors(points, cell, PITCH, np.inf, 16)
    expected = set()

    def visit(p, q, r):
        m = ((p[0] + q[0]) // 2, (p[1] + q[1]) // 2)
        if abs(p[0] - q[0]) != 1 and err[m] > tolerance:
            visit(r, p, m)
            visit(q, r, m)
        else:
            expected.add(frozenset(y * 17 + x for y, x in (p, q, r)))

    visit((0, 0), (16, 16), (0, 16))
    visit((16, 16), (0, 0), (16, 0))
    count, worst = rtin.extract_triangles(err, cell, tolerance, 16, np.zeros((0, 3), np.int32))
    triangles = np.empty((count, 3), np.int32)
    assert rtin.extract_triangles(err, cell, tolerance, 16, triangles) == (count, worst)
    assert count == len(expected) and {frozenset(t) for t in triangles.tolist()} == expected
    assert worst <= tolerance
    assert count == {0.0: 2 * 16 * 16, 100.0: 2}.get(tolerance, count)


def test_a_broken_cell_splits_all_triangles_around_it():
    points = rough(noise=0.0)
    cell = np.full((16, 16), rtin.WHOLE, np.uint8)
    cell[3, 5] = rtin.BROKEN
    cell[12:, 9:] = rtin.EMPTY
    err = rtin.split_errors(points, cell, PITCH, 100.0, 16)
    count, _ = rtin.extract_triangles(err, cell, 100.0, 16, np.zeros((0, 3), np.int32))
    triangles = np.empty((count, 3), np.int32)
    rtin.extract_triangles(err, cell, 100.0, 16, triangles)
    y, x = np.divmod(triangles, 17)
    doubled = abs((x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0]))
    assert doubled.sum() == 2 * (cell == rtin.WHOLE).sum()  # the area of the whole cells, and no other


def test_a_strip_between_chains_has_one_triangle_per_step():
    """Two pixels above, two below, and three further points between those above: five triangles, none overlapping."""
    upper = np.array([[0.0, 0, 5], [0.2, 0, 5], [0.5, 0, 5], [0.8, 0, 5], [1, 0, 5]])
    lower = np.array([[0.0, 1, 5], [1, 1, 5]])
    X = np.concatenate([upper[[0, 4]], lower, upper[1:4]])  # four pixels of one cell, then the further points
    view = kernels.PointList(X, np.linalg.norm(X, axis=1), np.zeros(len(X)))
    out = np.empty((10, 3), np.int32)
    cell, after = np.full((1, 1), rtin.BROKEN, np.uint8), np.zeros(3, np.int64)
    n = strips.triangulate_broken_cells(view, np.zeros(3), cell, after, TANGENT, out)
    a, b, c = (X[out[:n, k], :2] for k in range(3))
    area = 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
    assert n == 5 and np.abs(area).sum() == pytest.approx(1) and (np.sign(area) == np.sign(area[0])).all()
    assert set(out[:n].ravel()) == set(range(7))
    without = strips.triangulate_broken_cells(view, np.zeros(3), cell, np.zeros(0, np.int64), TANGENT, out)
    assert without == 2


# Collapse


def planes_of(n, seed=0):
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(n, 3))
    return normals / np.linalg.norm(normals, axis=1, keepdims=True), rng.normal(size=n)


def test_a_quadric_is_the_sum_of_squared_distances_from_planes():
    normals, d = planes_of(7)
    Q = np.zeros((1, 10))
    for n, offset in zip(normals, d, strict=True):
        decimation.add_plane(Q, 0, n[0], n[1], n[2], offset, 2.0)
    X = np.array([0.3, -1.2, 0.7])
    assert decimation.quadric_error(Q[0], *X) == pytest.approx(2 * np.sum((normals @ X + d) ** 2), rel=1e-12)


def test_two_vertices_merge_at_the_minimum_of_their_quadrics():
    normals, d = planes_of(8)
    best = np.linalg.lstsq(normals, -d, rcond=None)[0]
    X = np.array([best - [0.8, 0.3, 0], best + [0.9, 0, 0.4]])  # the minimum lies within an edge length of the middle
    Q = np.zeros((2, 10))
    for k, (n, offset) in enumerate(zip(normals, d, strict=True)):
        decimation.add_plane(Q, k % 2, n[0], n[1], n[2], offset, 1.0)
    place = np.empty(3)
    error = decimation.best_position(X, Q, np.zeros(2, bool), 0, 1, place)
    assert place == pytest.approx(best, abs=1e-12)
    assert error == pytest.approx(np.sum((normals @ best + d) ** 2), rel=1e-9)
    decimation.best_position(X, Q, np.array([True, False]), 0, 1, place)
    assert np.array_equal(place, X[0])  # a boundary vertex stays in place


def test_common_vertices_are_counted_once():
    mark = np.zeros(10, bool)
    assert decimation.count_common(np.array([1, 2, 2, 5, 7]), np.array([2, 7, 7, 2, 8]), mark) == 2
    assert not mark.any()


def editable(X, F):
    F = np.array(F, np.int64)
    first, following = decimation.link_corners(F, len(X))
    zeros = np.zeros(len(X), bool)
    mesh = decimation.EditableMesh(
        np.array(X, float),
        F,
        np.zeros((len(X), 10)),
        first,
        following,
        np.ones(len(F), bool),
        np.zeros(len(X), np.int64),
        zeros.copy(),
        zeros.copy(),
    )
    decimation.add_face_quadrics(mesh)
    return mesh


FAN = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]]  # a vertex between four
FAN_FACES = [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 1]]


def test_boundary_vertices_are_those_of_edges_with_one_face():
    assert list(editable(FAN, FAN_FACES).boundary) == [False, True, True, True, True]


def test_an_edge_collapses_only_if_the_mesh_stays_a_manifold():
    ring_p, ring_q = np.empty((2, decimation.RING_BUFFER), np.int64)
    mesh = editable(FAN, FAN_FACES)
    assert decimation.collapsible_faces(mesh, 0, 1, ring_p, ring_q) == 2
    assert decimation.collapsible_faces(mesh, 1, 2, ring_p, ring_q) == 1
    assert decimation.collapsible_faces(mesh, 1, 3, ring_p, ring_q) == 0  # no edge
    strip = editable([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], [[0, 1, 2], [1, 3, 2]])
    assert decimation.collapsible_faces(strip, 1, 2, ring_p, ring_q) == 0  # inner edge between boundary vertices
    # a triangle of edges without a face: 0, 1 and 2 around an open tube's end
    tube = [[0, 1, 4], [0, 4, 3], [1, 2, 5], [1, 5, 4], [2, 0, 3], [2, 3, 5]]
    mesh = editable(np.random.default_rng(0).normal(size=(6, 3)), tube)
    assert decimation.collapsible_faces(mesh, 0, 1, ring_p, ring_q) == 0


def test_a_vertex_that_moves_out_of_its_ring_folds_a_face():
    mesh = editable(FAN, FAN_FACES)
    assert not decimation.folds(mesh, 0, 1, np.array([0.3, 0.1, 0]), 0.0, 1.0, 0.0)
    assert decimation.folds(mesh, 0, 1, np.array([-0.9, 0.9, 0]), 0.0, 1.0, 0.0)
    # a step in depth stretches the photo: 0.5 px away, by 4 px of ln z, unit 1: up to 1.2 * 4 / 4 px
    assert not decimation.folds(mesh, 0, 1, np.array([0.0, 0.0, 0.2]), 0.0, 0.3, 1.0)
    assert decimation.folds(mesh, 0, 1, np.array([0.0, 0.0, 1.5]), 0.0, 0.3, 1.0)


def grid_mesh(n, z=lambda u, v: 0 * u):
    v, u = np.mgrid[:n, :n].astype(float)
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = i[:-1, :-1], i[1:, :-1], i[1:, 1:], i[:-1, 1:]
    F = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return np.stack([u, v, z(u, v)], -1).reshape(-1, 3), F


def test_a_flat_square_collapses_to_few_faces_over_the_same_area():
    X, F = grid_mesh(12)
    alive, source, error = decimation.collapse(X, F, 1e-6, 0)
    a, b, c = (X[F[alive][:, k]] for k in range(3))
    area = 0.5 * np.cross(b - a, c - a)[:, 2]
    assert alive.sum() <= 8 and error <= 1e-6
    assert np.abs(area).sum() == pytest.approx(11**2, rel=1e-9) and (np.sign(area) == np.sign(area[0])).all()
    corners = X[np.unique(F[alive])][:, :2]
    for corner in ((0, 0), (0, 11), (11, 0), (11, 11)):
        assert np.abs(corners - corner).sum(1).min() < 1e-9


@pytest.mark.parametrize("max_faces", [0, 60, 150])
def test_a_collapsed_mesh_keeps_to_its_error_and_stays_a_manifold(max_faces):
    X, F = grid_mesh(16, lambda u, v: 2 * np.sin(u / 4) * np.cos(v / 5))
    given = X.copy()
    alive, source, error = decimation.collapse(X, F, 0.05, max_faces)
    F = F[alive]
    assert len(F) < 450 and (max_faces == 0 or len(F) <= max_faces) and (max_faces > 0 or error <= 0.05)
    half_edges = np.concatenate([F[:, [k, (k + 1) % 3]] for k in range(3)])
    assert len(np.unique(half_edges, axis=0)) == len(half_edges)
    used = np.unique(F)
    assert np.linalg.norm(given[source[used]] - X[used], axis=1).max() < 8
    assert np.abs(X[used, 2] - 2 * np.sin(X[used, 0] / 4) * np.cos(X[used, 1] / 5)).max() < max(0.1, 2 * error)
