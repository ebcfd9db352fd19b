"""The numba kernels against short numpy forms of the same equations, and hand-made cases."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from stereo3d.disparity import aggregation, costs, flip_copy, methods, refinement, selection, shifted_windows, windows
from stereo3d.disparity.planes import candidates as candidates_module
from stereo3d.disparity.planes import energy as energy_module
from stereo3d.disparity.planes import levels, matcher, plane_refinement, segments, views
from stereo3d.disparity.planes import support as support_module
from stereo3d.disparity.rows import parallel_rows

H, W, D, LO = 13, 21, 9, -3
NAN = np.float32(np.nan)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def column(x):
    return np.clip(x, 0, W - 1)


def in_rows(kernel, *before, after, threads=3):
    parallel_rows(H, threads, kernel, *before, after=after)
    return after[0] if len(after) == 1 else after


def test_grey_by_hand():
    picture = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert costs.grey(picture).tolist() == [[255, 0, 64, 128, 64]]


@pytest.mark.parametrize("window", costs.CENSUS)
def test_census(rng, window):
    h, w = costs.CENSUS[window]
    image = rng.integers(0, 8, (H, W)).astype(np.uint8)
    padded = np.pad(image, ((h, h), (w, w)), mode="edge")
    shifts = [padded[i : i + H, j : j + W] for i in range(2 * h + 1) for j in range(2 * w + 1) if (i, j) != (h, w)]
    oracle = np.zeros((H, W), np.uint64)
    for s in shifts:
        oracle = oracle << np.uint64(1) | (s < image).astype(np.uint64)
    assert len(shifts) == {"7x9": 62, "5x7": 34}[window]
    np.testing.assert_array_equal(in_rows(costs.census, image, h, w, after=[np.empty((H, W), np.uint64)]), oracle)


@pytest.mark.parametrize("tolerance", [0, 3, 40])
def test_graded_census(rng, tolerance):
    image = rng.choice([0, 1, 5, 8, 30, 65240, 65280], (H, W)).astype(np.uint16)
    padded = np.pad(image, 2, mode="edge").astype(int)
    oracle = np.zeros((H, W), np.uint64)
    for i, j in itertools.product(range(5), repeat=2):
        if (i, j) == (2, 2) or {i, j} <= {0, 4}:  # the pixel itself, the corners
            continue
        difference = padded[i : i + H, j : j + W] - image.astype(int)
        for bit in (difference < -tolerance, difference < 0, difference < tolerance):
            oracle = oracle << np.uint64(1) | bit.astype(np.uint64)
    found = in_rows(costs.graded_census, image, tolerance, after=[np.empty((H, W), np.uint64)])
    np.testing.assert_array_equal(found, oracle)


def test_the_tolerance_of_the_census_follows_the_noise(rng):
    """Of two grey pictures that differ by noise alone, the same share of bits differs."""
    share = []
    for sigma in (2.0, 8.0):
        pictures = [np.rint(128 + rng.normal(0, sigma, (96, 128, 3))).astype(np.uint8) for _ in range(2)]
        one, two = views.compute_census(pictures, 1, (96, 128))
        share.append(np.mean(bits(one.ravel(), two.ravel())) / 60)
        np.testing.assert_array_equal(views.compute_census(pictures[::-1], 2, (96, 128)), [two, one])
        for tolerance, larger in ((views.ROUNDING, True), (10_000, False)):
            codes = [np.empty_like(one) for _ in pictures]
            for picture, out in zip(pictures, codes, strict=True):
                costs.graded_census(costs.brightness(picture), tolerance, 0, len(out), out)
            assert (np.mean(bits(*(c.ravel() for c in codes))) / 60 > share[-1]) == larger
    assert share[0] == pytest.approx(share[1], rel=0.05)


@pytest.mark.parametrize("lo", [-3, 0, 5, -30, 30])
def test_hamming_volume(rng, lo):
    left, right = rng.integers(0, 2**64, (2, H, W), dtype=np.uint64, endpoint=False)
    facing = right[:, column(np.arange(W)[:, None] - lo - np.arange(D))]
    oracle = np.bitwise_count(left[..., None] ^ facing)
    np.testing.assert_array_equal(
        in_rows(costs.hamming_volume, left, right, lo, after=[np.empty((H, W, D), np.uint8)]), oracle
    )


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("radius", [1, 3])
def test_box_row(rng, radius, halves):
    image = rng.integers(0, 256, (H, W)).astype(np.uint8)
    wide = np.pad(image.astype(int), ((radius, radius), (radius + 1, radius + 1)), "edge")
    wide = wide[:, 1:] + wide[:, :-1] if halves else wide[:, 1:-1]
    oracle = np.lib.stride_tricks.sliding_window_view(wide, (2 * radius + 1,) * 2)
    columns, (total, square) = np.empty((2, wide.shape[1]), np.int64), np.empty((2, W + halves))
    for y in range(H):
        windows.box_row(image, y, radius, halves, y in (0, 5), columns, total, square)
        np.testing.assert_array_equal(total, oracle[y].sum((1, 2)))
        np.testing.assert_array_equal(square, (oracle[y] ** 2).sum((1, 2)))


def test_normalised_slopes(rng):
    image = rng.integers(0, 65281, (H, W)).astype(np.uint16)
    image[:, 8:17] = 4000 + rng.integers(0, 100, (H, 9))  # hardly any contrast, but for a shade
    wide = np.pad(image.astype(float) / 256, ((0, 0), (1, 1)), "edge")
    slope = (wide[:, 2:] - wide[:, :-2]) / 2
    size = (2 * windows.CONTRAST_RADIUS + 1,) * 2
    square = np.lib.stride_tricks.sliding_window_view(np.pad(slope**2, windows.CONTRAST_RADIUS, "edge"), size).mean(
        (2, 3)
    )
    oracle = 512 + np.rint(100 * slope / np.sqrt(square + windows.MIN_CONTRAST**2))
    found = in_rows(windows.normalised_slopes, image, after=[np.empty((H, W), np.uint16)])
    np.testing.assert_array_equal(found, oracle)
    assert found.max() < 1024 and np.ptp(found[:, 11:14].astype(int)) > 100
    mirrored = in_rows(windows.normalised_slopes, image[:, ::-1].copy(), after=[np.empty((H, W), np.uint16)])
    np.testing.assert_array_equal(mirrored[:, ::-1], 1024 - found.astype(int))


def two_pictures(rng, kind):
    return rng.integers(0, 2**34 if kind == windows.CENSUS else 256, (2, H, W)).astype(
        np.uint64 if kind == windows.CENSUS else np.uint8
    )


@pytest.mark.parametrize("kind", windows.KINDS)
@pytest.mark.parametrize("radius", [1, 3])
def test_running_window_sums(rng, radius, kind):
    """Each window of the left picture against the same window of the right one, moved by d; borders repeat."""
    left, right = two_pictures(rng, kind)
    ys = np.clip(np.arange(-radius, H + radius), 0, H - 1)
    xs = np.arange(-radius, W + radius)
    a = left[ys][:, column(xs)].astype(np.int64)[..., None]
    b = right[ys][:, column(xs[:, None] - LO - np.arange(D))].astype(np.int64)
    each = {windows.SAD: abs(a - b), windows.CENSUS: np.bitwise_count(a ^ b)}.get(kind, a * b)
    oracle = np.lib.stride_tricks.sliding_window_view(each, (2 * radius + 1,) * 2, axis=(0, 1)).sum((-2, -1))
    columns, sums = np.empty((W + 2 * radius, D), np.int32), np.empty((W, D), np.int32)
    for y in range(H):
        windows.move_columns(left, right, LO, radius, kind, y, y in (0, 5), columns)
        windows.windows_of_columns(columns, radius, sums)
        np.testing.assert_array_equal(sums, oracle[y])


def test_zncc_is_the_correlation_coefficient(rng):
    """1 - numpy's correlation coefficient; 0 for right = 2 left + 5, 2 for the negative, 1 for a flat window."""
    these = rng.integers(0, 100, (W, 9))
    other = rng.integers(0, 100, (W, 9))
    other[0], other[1], other[2] = 2 * these[0] + 5, 200 - these[1], 9
    product = (these * other).sum(1).astype(np.int32)[:, None]  # d = 0 only
    sums = [v for a in (these, other) for v in (a.sum(1).astype(float), (a**2).sum(1).astype(float))]
    windows.to_scales(*sums[:2], 9)
    windows.to_scales(*sums[2:], 9)
    cost = np.empty((W, 1), np.int32)
    windows.zncc_cost(product, *sums, 0, 9, cost)
    cost = cost / windows.ZNCC_UNIT
    assert cost[:3, 0].tolist() == pytest.approx([0, 2, 1], abs=1e-6)
    oracle = [1 - np.corrcoef(a, b)[0, 1] for a, b in zip(these[3:], other[3:], strict=True)]
    np.testing.assert_allclose(cost[3:, 0], oracle, atol=1e-6)


def test_ssd_is_the_sum_of_squares(rng):
    these, other = rng.integers(0, 256, (2, W, 9))
    cost = np.empty((W, 1), np.int32)
    squares = [(a**2).sum(1).astype(float) for a in (these, other)]
    windows.ssd_cost((these * other).sum(1).astype(np.int32)[:, None], *squares, 0, cost)
    np.testing.assert_array_equal(cost[:, 0], ((these - other) ** 2).sum(1))


@pytest.mark.parametrize("kind", [windows.SSD, windows.ZNCC])
def test_cancelled_disparity_is_that_of_both_curves(rng, kind):
    """One pixel of both maps: a parabola through whole disparities, one through half ones, the windows gone through."""
    left = rng.integers(0, 256, (H, W)).astype(np.uint8)
    right = np.clip(np.roll(left, -2, 1) * 0.6 + np.roll(left, -3, 1) * 0.4 + 0.5, 0, 255).astype(np.uint8)
    maps = windows.WindowMaps(*(np.empty((H, W), np.float32) for _ in range(5)))
    windows.match_rows(left, right, windows.WindowSearch(0, 8, 2, kind, True), 0, H, maps)
    a, b = left.astype(float), right.astype(float)

    def cost(x, u):  # of the windows about x and u, one of which may lie half way
        own, other = (
            (p[4:9, int(np.floor(c)) - 2 :][:, :5] + p[4:9, int(np.ceil(c)) - 2 :][:, :5]) / 2
            for p, c in ((a, x), (b, u))
        )
        return ((own - other) ** 2).sum() if kind == windows.SSD else 1 - np.corrcoef(own.ravel(), other.ravel())[0, 1]

    def vertex(c):
        return (c[0] - c[2]) / (2 * (c[0] + c[2] - 2 * c[1]))

    for found, of in ((maps[0][6, 12], lambda d: cost(12, 12 - d)), (maps[2][6, 9], lambda d: cost(9 + d, 9))):
        k = min(range(2, 5), key=of)
        one = k + vertex([of(k - 1), of(k), of(k + 1)])
        h = np.floor(one) + 0.5
        two = h + vertex([of(h - 1), of(h), of(h + 1)])
        assert found == pytest.approx((one + two) / 2, abs=1e-3)
        assert abs(one - two) > 0.01  # so that the two estimates differ


@pytest.mark.parametrize("kind", windows.KINDS)
def test_costs_of_the_winners(rng, kind):
    """Of the left map the least cost of a pixel, of the right one the least along its diagonal."""
    left, right = two_pictures(rng, kind)
    maps = windows.WindowMaps(*(np.empty((H, W), np.float32) for _ in range(5)))
    in_rows(windows.match_rows, left, right, windows.WindowSearch(LO, D, 2, kind, True), after=(maps,))
    columns, cost = np.empty((W + 4, D), np.int32), np.empty((H, W, D), np.int32)
    sums = np.empty((2, 2, W))
    of_columns = np.empty((2, 2, W + 4), np.int64)
    for y in range(H):
        windows.move_columns(left, right, LO, 2, kind, y, y == 0, columns)
        windows.windows_of_columns(columns, 2, cost[y])
        if kind in (windows.SSD, windows.ZNCC):
            for picture, of_column, (total, square) in zip((left, right), of_columns, sums, strict=True):
                windows.box_row(picture, y, 2, False, y == 0, of_column, total, square)
                if kind == windows.ZNCC:
                    windows.to_scales(total, square, 25)
            product = cost[y].copy()
            if kind == windows.SSD:
                windows.ssd_cost(product, sums[0, 1], sums[1, 1], LO, cost[y])
            else:
                windows.zncc_cost(product, *sums[0], *sums[1], LO, 25, cost[y])
    known = np.isfinite(maps[0])
    np.testing.assert_array_equal(maps[3], np.where(known, cost.min(2), np.inf).astype(np.float32))
    for u in range(W):
        there = [k for k in range(D) if 0 <= u + LO + k < W]
        least = cost[:, [u + LO + k for k in there], there].min(1) if there else np.full(H, np.inf)
        np.testing.assert_array_equal(maps[4][:, u], least.astype(np.float32))


def test_the_best_of_nine_windows(rng):
    d = rng.choice(np.array([2, 2.25, 5, 9, NAN], np.float32), (H, W))
    d[:7, :9] = NAN
    cost = rng.integers(0, 9, (H, W)).astype(np.float32)
    margin = rng.random((H, W)).astype(np.float32)
    found, of_found = np.empty((2, H, W), np.float32)
    in_rows(shifted_windows.shift_windows, d, cost, margin, after=(found, of_found))
    n = shifted_windows.SHIFT
    few = 0
    for y in range(H):
        for x in range(W):
            nine = [(np.clip(y + j, 0, H - 1), np.clip(x + i, 0, W - 1)) for j in (-n, 0, n) for i in (-n, 0, n)]
            known = [p for p in nine if np.isfinite(d[p])]
            best = min(known, key=lambda p: (cost[p], d[p], -margin[p]), default=None)
            if sum(abs(d[p] - d[best]) <= 1 for p in known) >= 3:
                assert found[y, x] == (d[y, x] if abs(d[best] - d[y, x]) <= 1 else d[best])
                assert of_found[y, x] == margin[best]
            else:
                few += best is not None
                assert np.isnan(found[y, x])
    assert few > 10


def test_confirm_by_hand():
    left = np.array([[2.0, 0.0, 1.0, 2.4, 3.0, NAN]], np.float32)
    right = np.array([[0.0, 2.0, 5.0, NAN, 0.0, 0.0]], np.float32)
    margin = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]], np.float32)
    out, of_out = np.empty((2, 1, 6), np.float32)
    shifted_windows.confirm(left, margin, right, 1, 0, 1, out, of_out)  # see `test_left_right_difference_by_hand`
    np.testing.assert_array_equal(out, np.array([[NAN, NAN, 1, 2.4, 3, NAN]], np.float32))
    np.testing.assert_array_equal(of_out, np.array([[0, 0, 0.3, 0.4, 0.5, 0]], np.float32))
    shifted_windows.confirm(
        right, margin, left, -1, 0, 1, out, of_out
    )  # faces left[0], [3], outside, nothing, [4], unknown
    np.testing.assert_array_equal(out, np.array([[NAN, 2, NAN, NAN, NAN, NAN]], np.float32))
    np.testing.assert_array_equal(of_out, np.array([[0, 0.4, 0, 0, 0, 0]], np.float32))


def one_path(cost, picture, p1, p2, dy, dx):
    """L_r by its definition, pixel after pixel."""
    height, width, _ = cost.shape
    L = cost.astype(int)
    for y in range(height)[:: 1 if dy >= 0 else -1]:
        for x in range(width)[:: 1 if dx >= 0 else -1]:
            if 0 <= y - dy < height and 0 <= x - dx < width:
                last = L[y - dy, x - dx]
                step = abs(picture[y, x].astype(int) - picture[y - dy, x - dx]).max()
                side = np.pad(last, 1, constant_values=10**6)
                choices = [last, side[:-2] + p1, side[2:] + p1, np.full_like(last, last.min() + p2[step])]
                L[y, x] += np.min(choices, 0) - last.min()
    return L


@pytest.mark.parametrize("height", [1, 2, 13])
@pytest.mark.parametrize("threads", [1, 2])
def test_semi_global(rng, height, threads):
    cost = rng.integers(0, 63, (height, W, D)).astype(np.uint8)
    picture = rng.integers(0, 256, (height, W, 3)).astype(np.uint8)
    p2 = aggregation.jump_penalties(7, 8.0, 10.0)
    oracle = sum(
        one_path(cost, picture, 7, p2.astype(int), dy, dx)
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if (dy, dx) != (0, 0)
    )
    np.testing.assert_array_equal(aggregation.semi_global(cost, picture, 7, p2, threads), oracle)


def test_semi_global_at_the_largest_penalties_does_not_overflow(rng):
    cost = np.where(rng.random((H, W, D)) < 0.5, 0, 62).astype(np.uint8)
    picture = np.zeros((H, W, 3), np.uint8)
    p2 = aggregation.jump_penalties(aggregation.MAX_P2, 8.0, 10.0)
    oracle = sum(
        one_path(cost, picture, aggregation.MAX_P2, p2.astype(int), dy, dx)
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if (dy, dx) != (0, 0)
    )
    np.testing.assert_array_equal(aggregation.semi_global(cost, picture, aggregation.MAX_P2, p2, 2), oracle)


def test_jump_penalties_by_hand():
    p2 = aggregation.jump_penalties(10, 8.0, 10.0)
    assert p2[0] == 90 and p2[10] == round(10 + 80 / np.e) and p2[255] == 10
    assert (np.diff(p2.astype(int)) <= 0).all()


@pytest.mark.parametrize("dtype,largest", [(np.uint16, 65535), (np.int32, 2**31 - 1)])
@pytest.mark.parametrize("lo", [-3, 0, 5])
def test_winner(rng, dtype, largest, lo):
    cost = rng.integers(0, 60000, (H, W, D)).astype(dtype)
    left, margin, right = (np.empty((H, W), np.float32) for _ in range(3))
    in_rows(selection.winners, cost, dtype(largest), lo, False, after=(left, margin, right))
    k = cost.argmin(2)
    rivals = np.where(abs(np.arange(D) - k[..., None]) > 1, cost.astype(float), np.inf).min(2)
    best = cost.min(2).astype(float)
    inside = (np.arange(W) - lo - k >= 0) & (np.arange(W) - lo - k < W)
    np.testing.assert_allclose(margin, np.where(inside, 1 - best / rivals, 0), rtol=1e-6)
    assert np.array_equal(np.isfinite(left), inside)
    at = np.clip(k, 1, D - 2)[..., None]
    a, b, c = (np.take_along_axis(cost, at + i, 2)[..., 0].astype(float) for i in (-1, 0, 1))
    s = np.where((k > 0) & (k < D - 1), (a - c) / (2 * (a + c - 2 * b)), 0)
    np.testing.assert_allclose(left[inside], (lo + k + s)[inside], atol=1e-5)
    for u in range(W):  # the right pixel u faces the left pixels u + d
        there = [d for d in range(D) if 0 <= u + lo + d < W]
        for y in range(H):
            if not there:
                assert np.isnan(right[y, u])
                continue
            k = min(there, key=lambda d: cost[y, u + lo + d, d])
            s = 0.0
            if 0 < k < D - 1 and 0 < u + lo + k < W - 1:
                a, b, c = (float(cost[y, u + lo + k + i, k + i]) for i in (-1, 0, 1))
                s = (a - c) / (2 * (a + c - 2 * b))
            np.testing.assert_allclose(right[y, u], lo + k + s, atol=1e-5)


@pytest.mark.parametrize(
    "costs_of_pixel,vee,want",
    [
        ([9, 4, 1, 4, 9], False, 2.0),
        ([9, 4, 1, 4, 9], True, 2.0),
        ([16, 9, 4, 1, 4.0], False, 3.0),
        ([6.25, 2.25, 0.25, 0.25, 2.25], False, 2.5),  # (k - 2.5)^2
        ([5.5, 3.5, 1.5, 0.5, 2.5], True, 2.75),  # 2 |k - 2.75|
        ([1, 4, 9, 16, 25], False, 0.0),  # at the end of the range nothing to interpolate
        ([5, 1, 5, 1, 5], False, np.nan),  # two equal minima
        ([5, 5, 5, 5, 5], True, np.nan),
    ],
)
def test_sub_pixel_by_hand(costs_of_pixel, vee, want):
    row = np.tile((4 * np.array(costs_of_pixel)).astype(np.int32), (9, 1))
    left, margin, right = (np.empty(9, np.float32) for _ in range(3))
    selection.winner_row(row, np.int32(2**31 - 1), 0, vee, left, margin, right)
    np.testing.assert_allclose(left[5:], np.float32(want), atol=1e-6)  # x >= 5: the match lies inside


def test_occluded_pixels_continue_kept_surfaces():
    """A near thing (d = 8) before a wall (d = 2): the wall on its left side is hidden from the right camera."""
    height, width = 12, 60
    true = np.full((height, width), 2, np.float32)
    true[:, 30:45] = 8
    right = np.full((height, width), 2, np.float32)
    right[:, 22:37] = 8
    seen = np.ones((height, width), bool)
    kept = np.where(selection.left_right_difference(true, right) <= 1, true, np.float32(np.nan))
    hidden, outside = np.zeros((2, height, width), bool)
    hidden[:, 24:30], outside[:, :2] = True, True
    assert np.array_equal(np.isnan(kept), hidden | outside)
    numbers = np.float32(1), np.float32(0.8), np.float32(0.5)

    def continued(left=true, kept=kept, confidence=0.9, max_distance=16):
        of_each = np.full(left.shape, confidence, np.float32)
        limits = selection.ContinuationLimits(*numbers, max_distance)
        return selection.continue_surfaces(left, kept, right, seen, of_each, limits)

    assert np.array_equal(continued(), hidden | outside)
    assert not continued(confidence=0.7).any()
    assert np.array_equal(continued(max_distance=4).any(0), np.isin(np.arange(width), [0, 1, 24, 25, 26, 27]))
    # not a surface that no kept pixel touches
    assert np.array_equal(continued(left=np.where(hidden, np.float32(5), true)), outside)
    # nor behind something nearer that the right map has alone: then the maps contradict each other
    alone = kept.copy()
    alone[:, 30:45] = np.nan
    assert not continued(kept=alone)[:, 24:30].any()


def test_left_right_difference_by_hand():
    left = np.array([[2.0, 0.0, 1.0, 2.4, 3.0, NAN]], np.float32)
    right = np.array([[0.0, 2.0, 5.0, NAN, 0.0, 0.0]], np.float32)
    # outside; right[1] = 2; right[1] = 2; nearest to 0.6 is 1; right[1] = 2; unknown
    np.testing.assert_allclose(
        selection.left_right_difference(left, right), [[np.inf, 2, 1, 0.4, 1, np.inf]], rtol=1e-6
    )


def test_small_components_against_scipy(rng):
    from scipy.ndimage import label

    disparity = rng.choice(np.array([0, 5, 10, NAN], np.float32), (40, 50), p=[0.5, 0.3, 0.1, 0.1])
    oracle = np.zeros(disparity.shape, bool)
    for value in (0, 5, 10):
        labels, _ = label(disparity == value)
        size = np.bincount(labels.ravel())
        oracle |= (labels > 0) & (size[labels] < 6)
    np.testing.assert_array_equal(selection.small_components(disparity, 1.0, 6), oracle)
    ramp = np.arange(20, dtype=np.float32)[None]
    assert not selection.small_components(ramp, 1.0, 20).any()  # steps of 1 hang together
    assert selection.small_components(ramp, 0.9, 2).all()


def test_fill_background_by_hand():
    n = NAN
    disparity = np.array([[n, 3, n, n, 7, n], [n] * 6, [n] * 6, [n, n, n, n, n, 1]], np.float32)
    want = [[3, 3, 3, 3, 7, 7], [3, 3, 3, 3, 7, 7], [1] * 6, [1] * 6]
    np.testing.assert_array_equal(selection.fill_background(disparity), want)
    assert np.isnan(selection.fill_background(np.full((2, 3), NAN))).all()


@pytest.mark.parametrize("step", [1, 2])
def test_fit_planes_restores_a_plane_and_keeps_a_jump(step, rng):
    y, x = np.mgrid[:40, :60].astype(np.float32)
    plane = np.where(x < 30, 10 + 0.05 * x - 0.03 * y, 25 - 0.02 * x + 0.04 * y).astype(np.float32)
    plane[5:9, 40:44] = NAN
    exact, along, down = rows40(refinement.fit_planes, plane, 3 * step, step)
    np.testing.assert_allclose(exact, plane, atol=1e-4)
    known = np.isfinite(plane)
    np.testing.assert_allclose(along[known], np.where(x < 30, 0.05, -0.02)[known], atol=1e-4)
    np.testing.assert_allclose(down[known], np.where(x < 30, -0.03, 0.04)[known], atol=1e-4)
    noisy = plane + rng.normal(0, 0.1, plane.shape).astype(np.float32)
    fitted, along, down = rows40(refinement.fit_planes, noisy, 3 * step, step)
    assert np.nanstd(fitted - plane) < 0.4 * np.nanstd(noisy - plane)
    v, u = (slice(c - 3 * step, c + 3 * step + 1, step) for c in (20, 10))  # one pixel against numpy's least squares
    A = np.stack([np.ones(49), (x[v, u] - 10).ravel(), (y[v, u] - 20).ravel()], 1)
    assert np.abs(noisy[v, u] - noisy[20, 10]).max() < 1
    of_numpy = np.linalg.lstsq(A, noisy[v, u].ravel(), rcond=None)[0]
    np.testing.assert_allclose([fitted[20, 10], along[20, 10], down[20, 10]], of_numpy, atol=1e-4)


def rows40(kernel, disparity, *radius):
    out = [np.empty_like(disparity) for _ in range(3)]
    parallel_rows(len(disparity), 3, kernel, disparity, *radius, after=out)
    return out


def test_image_step_finds_a_known_shift():
    """left(x) = f(x), right(x) = f(x + 4.3) + 6: d = 4.3 from a start of 4, whatever the exposure."""
    y, x = np.mgrid[:30, :60].astype(np.float64)
    f = lambda x: 128 + 60 * np.sin(x / 3) * np.cos(y / 5) + 30 * np.sin(x / 1.7 + y)  # noqa: E731
    left, right = f(x).astype(np.float32), (f(x + 4.3) + 6).astype(np.float32)
    d = np.full((30, 60), 4, np.float32)
    compared, out = refinement.Comparison(*(np.empty_like(d) for _ in range(3))), np.empty_like(d)
    for _ in range(4):
        refinement.residuals(left, right, d, 0, 30, compared)
        refinement.image_step(d, compared, 3, np.float32(1), 0, 30, out)
        d = out.copy()
    assert np.isnan(compared.surface[:, :5]).all() and np.isfinite(compared.surface[:, 8:-4]).all()
    np.testing.assert_allclose(d[:, 12:-4], 4.3, atol=0.02)


def census_pair(rng):
    """Random codes of 34 bits for a pair of pictures (H,W)."""
    return [rng.integers(0, 2**34, (H, W)).astype(np.uint64) for _ in range(2)]


def hamming(a, b):
    return np.array([int(x) ^ int(y) for x, y in zip(np.ravel(a), np.ravel(b), strict=True)]).astype(object)


def bits(a, b) -> np.ndarray:
    """Bits in which the codes a and b differ, one by one."""
    return np.array([bin(x).count("1") for x in hamming(a, b)])


@pytest.mark.parametrize("d", [0.0, 3.0, 2.25, -1.5])
def test_hamming_between_whole_disparities(rng, d):
    census, other_census = census_pair(rng)
    for x in range(W):
        u = x - d
        if not -0.5 <= u <= W - 0.5:
            want = 99
        else:
            i = int(np.floor(u))
            near, far = (bits(census[3, x], other_census[3, column(i + k)])[0] for k in (0, 1))
            want = near + (u - i) * (far - near)
        found = costs.hamming_at(census[3, x], other_census[3], x, np.float32(d), np.float32(99))
        assert found == pytest.approx(want, abs=1e-4)


def test_match_costs_and_the_other_view(rng):
    census, other_census = census_pair(rng)
    other = np.full((H, W), 4, np.float32)
    state = np.full((H, W), energy_module.CONSISTENT, np.uint8)
    state[:, 5], state[:, 6] = energy_module.SEEN, energy_module.UNSEEN
    d = np.zeros((H, W, 8), np.float32)
    d[...] = [4, 4.5, 5.5, 7, 2.5, 0, -3, np.nan]
    # there, still, half before, before, half behind, behind, outside, unknown
    cost = np.empty_like(d)
    hidden = np.float32(16)
    limits = energy_module.CostLimits(*(np.float32(v) for v in (-2, 8, 15, hidden, 22)))
    cross_view = energy_module.CrossView(other, state)
    energy_module.match_costs(census, other_census, cross_view, limits, d, np.zeros((H, W), bool), cost)
    settled = rng.random((H, W)) < 0.5
    some = np.full_like(cost, np.nan)
    energy_module.match_costs(census, other_census, cross_view, limits, d, settled, some)
    np.testing.assert_array_equal(some, np.where(settled[..., None], np.nan, cost))
    own = np.array(
        [[min(15, bits(census[y, x], other_census[y, column(x - 4)])[0]) for x in range(W)] for y in range(H)]
    )
    x = np.arange(W)
    in_view, unseen = x - 4 >= 0, x - 4 == 6
    np.testing.assert_allclose(cost[..., 0], np.where(in_view & ~unseen, own, 16))
    for slot, share, to in ((2, 0.5, 22), (3, 1, 22), (4, 0.5, 16), (5, 1, 16)):
        v = float(d[0, 0, slot])
        for y in range(H):
            for x in range(9, W):
                i = int(x - v + 0.5)
                near = costs.hamming_at(census[y, x], other_census[y], x, np.float32(v), hidden)
                c = min(near, 15)
                if state[y, i] == energy_module.CONSISTENT:
                    c = max(c, 22 * share) if slot < 4 else c + (to - c) * share
                elif state[y, i] == energy_module.UNSEEN:
                    c = 16
                assert cost[y, x, slot] == pytest.approx(c, abs=1e-4), (slot, y, x)
    assert (cost[..., 6:] == 1e6).all()


def paths_oracle(cost, d, a, b, settled, picture, slope, jumps, diagonals):
    """The eight directions, or the four of rows and columns, pixel by pixel, by the equation; 0 where settled."""
    total = np.zeros_like(cost)
    height, width, count = cost.shape
    for dy, dx in [(v, u) for v in (-1, 0, 1) for u in (-1, 0, 1) if (v, u) != (0, 0) and (diagonals or u * v == 0)]:
        path = np.zeros_like(cost)
        rows = range(height) if dy >= 0 else range(height - 1, -1, -1)
        columns = range(width) if dx >= 0 else range(width - 1, -1, -1)
        for y in rows:
            for x in columns:
                v, u = y - dy, x - dx
                if settled[y, x]:
                    continue
                path[y, x] = cost[y, x]
                if 0 <= v < height and 0 <= u < width:
                    edge = np.abs(picture[y, x].astype(int) - picture[v, u]).max()
                    ahead = d[v, u] + a[v, u] * dx + b[v, u] * dy
                    back = d[y, x] - a[y, x] * dx - b[y, x] * dy
                    apart = np.abs(d[y, x][:, None] - ahead) + np.abs(back[:, None] - d[v, u])
                    step = (path[v, u] + slope * apart / 2).min(1)
                    least = path[v, u].min()
                    path[y, x] += np.minimum(step, least + jumps[edge]) - least
        total += path
    return total


@pytest.mark.parametrize("share", [0, 0.5])
@pytest.mark.parametrize("diagonals", [True, False])
@pytest.mark.parametrize("shape", [(7, 11), (1, 6), (5, 1)])
def test_plane_paths(rng, shape, diagonals, share):
    cost, d = (rng.uniform(0, 20, (*shape, 8)).astype(np.float32) for _ in range(2))
    a, b = (rng.normal(0, 0.2, (*shape, 8)).astype(np.float32) for _ in range(2))
    picture = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    jumps = aggregation.edge_penalties(4.0, 8.0, 30.0)
    total = np.zeros(cost.size, np.float32)
    planes = energy_module.PlaneMaps(*(v.reshape(-1) for v in (d, a, b)))
    settled = rng.random(shape) < share
    smoothness = energy_module.Smoothness(picture, np.float32(5), jumps)
    for step in (1, -1):
        energy_module.plane_paths(cost.reshape(-1), planes, settled, smoothness, step, diagonals, total)
    expected = paths_oracle(cost, d, a, b, settled, picture, 5, jumps, diagonals)
    np.testing.assert_allclose(total.reshape(cost.shape), expected, rtol=1e-4)


def test_select_planes(rng):
    total, d, a, b = (rng.uniform(0, 9, (H, W, 8)).astype(np.float32) for _ in range(4))
    out = [np.empty((H, W), np.float32) for _ in range(4)]
    energy_module.select_planes(total, d, a, b, *out)
    k = total.argmin(2)[..., None]
    for found, values in zip(out, (d, a, b), strict=False):
        np.testing.assert_array_equal(found, np.take_along_axis(values, k, 2)[..., 0])
    rivals = np.where(np.abs(d - out[0][..., None]) > 1, total, np.inf).min(2)
    np.testing.assert_allclose(out[3], rivals - total.min(2), atol=1e-6)


def test_an_enlarged_plane_is_the_same_plane(rng):
    """d = 0.1 x - 0.2 y + 3 on a picture, seen on one of half its size, enlarged, is the plane it was."""
    height, width = 31, 47
    h, w = 16, 24
    sx, sy = w / width, h / height
    v, u = np.mgrid[:h, :w]
    x, y = (u + 0.5) / sx - 0.5, (v + 0.5) / sy - 0.5
    small = [((0.1 * x - 0.2 * y + 3) * sx), np.full((h, w), 0.1), np.full((h, w), -0.2 * sx / sy)]
    small = [p.astype(np.float32) for p in small]
    d, a, b = (np.zeros((10, width, 8), np.float32) for _ in range(3))
    candidates = energy_module.PlaneMaps(d, a, b)
    small = energy_module.PlaneMaps(*small)
    for agree, last in ((np.zeros((h, w), bool), 7), (np.ones((h, w), bool), 8)):
        for array in candidates:
            array[:] = 0
        levels.put_enlarged(small, levels.NEIGHBOURS, agree, 12, height, 1, candidates)
        y, x = np.mgrid[12:22, :width]
        everywhere = np.repeat((0.1 * x - 0.2 * y + 3)[..., None], last - 1, 2)
        np.testing.assert_allclose(d[..., 1:last], everywhere, atol=1e-4)
        np.testing.assert_allclose(a[..., 1:last], 0.1, atol=1e-5)
        np.testing.assert_allclose(b[..., 1:last], -0.2, atol=1e-5)
        assert (d[..., :1] == 0).all() and (d[..., last:] == 0).all()
    planes = energy_module.PlaneMaps(*(v[..., 1].copy() for v in candidates))
    energy_module.put_neighbours(planes, 3, -2, 0, candidates)
    np.testing.assert_allclose(d[..., 0], 0.1 * x - 0.2 * y + 3, atol=1e-4)


def test_planes_agree_where_no_neighbour_or_background_differs():
    """One wrong pixel, and one of the background: those that see them at most a row and two columns away disagree."""
    y, x = np.mgrid[:9, :14].astype(np.float32)
    slopes = np.full_like(x, 0.3), np.full_like(x, -0.2)
    planes = energy_module.PlaneMaps(0.3 * x - 0.2 * y, *slopes)
    background = energy_module.PlaneMaps(planes.d + np.float32(0.2), *slopes)
    quarter = np.float32(0.25)
    assert levels.agreeing_planes(planes, background, quarter).all()
    background.d[7, 12] += 1
    planes.d[3, 4] += 1
    background.d[3, 4] += 1
    differs = np.zeros(x.shape, bool)
    differs[2:5, 2:7] = differs[7, 12] = True
    np.testing.assert_array_equal(levels.agreeing_planes(planes, background, quarter), ~differs)
    background.d[0, 0] = np.nan
    assert not levels.agreeing_planes(planes, background, quarter)[0, 0]


@pytest.mark.parametrize(("difference", "chooses"), [(0.4, False), (0.6, True)])
def test_a_larger_level_chooses_where_planes_differ_by_more_than_half_a_pixel(monkeypatch, difference, chooses):
    """A pixel of the coarser level holds half as many px. Without a later choice, all pixels choose along all paths."""
    rng = np.random.default_rng(5)
    pictures = [np.repeat(rng.integers(0, 256, (48, 64, 1)), 3, 2).astype(np.uint8) for _ in range(2)]
    energy, _ = methods.plane_energy(0, 8)
    flat = {name: np.zeros((24, 32), np.float32) for name in "ab"}
    step = np.where(np.arange(32) < 16, 1, 1 + difference / 2).astype(np.float32) * np.ones((24, 1), np.float32)
    known = {"supported": np.ones((24, 32), bool), "sky": np.zeros((24, 32), bool)}
    small = [
        replace(view, d=step, **flat, **known)
        for view in views.initial_views(*pictures, (None, None), (24, 32), 1, flip_copy)
    ]
    large = views.initial_views(*pictures, (None, None), (48, 64), 1, flip_copy)
    seen = []
    choose = matcher.choose_planes

    def noted(*given, diagonals, settled):
        seen.append((diagonals, settled.copy()))
        return choose(*given, diagonals=diagonals, settled=settled)

    monkeypatch.setattr(matcher, "choose_planes", noted)
    matcher.enlarge(*large, *small, energy, margin=False)
    matcher.enlarge(*large, *small, energy, margin=True)
    (first_diagonals, settled), (last_diagonals, none) = seen
    assert (first_diagonals, last_diagonals) == (False, True) and not none.any()
    assert settled[:, :26].all() and settled[:, 38:].all() and settled[:, 30:34].all() != chooses


def test_the_planes_of_agreeing_pixels_are_kept_and_others_choose(rng):
    """`choose_planes` in the middle of two levels: a settled pixel keeps its first candidate, whatever it costs."""
    picture = rng.integers(0, 256, (H, W, 3)).astype(np.uint8)
    view, _ = views.initial_views(picture, picture, (None, None), (H, W), 1, np.ascontiguousarray)
    energy, _ = methods.plane_energy(0, 8)
    cross_view = energy_module.CrossView(np.zeros((H, W), np.float32), np.zeros((H, W), np.uint8))
    candidates = candidates_module.Candidates((H, W))
    candidates.put(*(np.full((H, W), value, np.float32) for value in (6, 0, 0)))  # wrong
    candidates.put(*(np.zeros((H, W), np.float32) for _ in range(3)))  # right: both pictures are the same
    cross_view.state[:] = energy_module.SEEN
    settled = np.zeros((H, W), bool)
    settled[:, : W // 2] = True
    chosen = candidates_module.choose_planes(view, candidates, cross_view, energy, settled=settled)
    assert (chosen.d[settled] == 6).all() and (chosen.d[:, W // 2 + 8 :] == 0).all()


def test_segments_by_hand():
    """Two even halves with a faint ramp, and a speck below the smallest segment."""
    picture = np.full((12, 20, 3), 50, np.float32)
    picture[:, 10:] = 120
    picture += np.arange(12)[:, None, None] * 0.5
    picture[5, 5] = 200
    labels, count = segments.merge_segments(*segments.sorted_edges(picture), 10.0, 4, (12, 20))
    assert count == 2
    assert (labels[:, :10] == 0).all() and (labels[:, 10:] == 1).all()
    start, x, y = segments.segment_pixels(labels, count)
    assert start.tolist() == [0, 120, 240]
    assert (x[:120] < 10).all() and (labels[y, x] == np.repeat([0, 1], 120)).all()


def test_edges_are_sorted_and_complete(rng):
    picture = rng.uniform(0, 255, (9, 13, 3)).astype(np.float32)
    a, b, difference = segments.sorted_edges(picture)
    assert len(a) == 9 * 12 + 8 * 13 == len({(i, j) for i, j in zip(a, b, strict=True)})
    flat = picture.reshape(-1, 3)
    np.testing.assert_allclose(difference, np.linalg.norm(flat[a] - flat[b], axis=1), rtol=1e-5)
    assert (np.diff(np.floor(difference * 64)) >= 0).all()


def test_planes_of_segments(rng):
    """Through disparities of which a third are wrong; and, where none are known, by the pictures alone."""
    height, width = 40, 60
    v, u = np.mgrid[:height, :width]
    truth = 6 + 0.1 * (u - 30) - 0.05 * (v - 20)
    other_census = rng.integers(0, 2**34, (height, width)).astype(np.uint64)
    census = other_census[v, np.clip(np.rint(u - truth).astype(int), 0, width - 1)]
    labels = np.zeros((height, width), np.int32)
    pixels = segments.segment_pixels(labels, 1)
    known = np.where(rng.random(truth.shape) < 0.33, rng.uniform(0, 15, truth.shape), truth).astype(np.float32)
    known[:10] = np.nan
    fitted, support, agreed = np.empty((1, 3)), np.empty(1), np.empty((1, 3))
    segments.fit_segment_planes(pixels, known, 0, 1, fitted, support)
    inside = u - truth >= 1
    off = lambda p: np.abs(p[0, 0] * u + p[0, 1] * v + p[0, 2] - truth)[inside].max()  # noqa: E731
    assert off(fitted) < 0.05
    assert 0.45 < support[0] < 0.65  # two thirds of three quarters, and wrong ones near it by chance
    nothing = np.full_like(known, np.nan), np.full((1, 3), np.nan), np.zeros(1)
    match = plane_refinement.CensusPair(census, other_census, 0, 15, 14.0, 14.0)
    for disparities, fit, share in ((known, fitted, support), nothing):
        plane_refinement.refine_segment_planes(pixels, disparities, fit, share, match, 0, 1, agreed)
        assert off(agreed) < 0.7, agreed
    few = np.full_like(known, np.nan)
    few[:2, :5] = 3
    segments.fit_segment_planes(pixels, few, 0, 1, fitted, support)
    assert np.isnan(fitted).all() and support[0] == 0


def test_closest_neighbours_in_plain_numpy(rng):
    """The larger segment beside each one of the greatest border by difference of colour, by pairs of labels."""
    picture = rng.uniform(0, 255, (40, 50, 3)).astype(np.float32)
    labels, count = segments.merge_segments(*segments.sorted_edges(picture), 300.0, 8, (40, 50))
    pixels = segments.segment_pixels(labels, count)
    found = segments.closest_neighbours(labels, pixels, picture)
    sizes = np.bincount(labels.ravel())
    means = np.array([picture[labels == k].mean(0, dtype=float) for k in range(count)])
    pairs = np.concatenate([
        np.stack([labels[:, 1:].ravel(), labels[:, :-1].ravel()]), np.stack([labels[1:].ravel(), labels[:-1].ravel()])
    ], axis=1)  # fmt: skip
    border = np.zeros((count, count))
    np.add.at(border, tuple(np.concatenate([pairs, pairs[::-1]], axis=1)), 1)
    bond = border / (1 + np.linalg.norm(means[:, None] - means, axis=2))
    bond[sizes <= sizes[:, None]] = 0
    expected = np.where(bond.max(1) > 0, bond.argmax(1), np.arange(count))
    assert count > 20 and (expected != np.arange(count)).sum() > 10
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("alone", [False, True])
def test_a_segment_that_nothing_determines_continues_its_neighbour(alone):
    """Columns 0 to 19 of a slanted wall match outside the other picture: they take its plane, if it is beside."""
    height, width, slope = 60, 200, 0.05
    v, u = np.mgrid[:height, :width]
    truth = 24 + slope * (u - 100)
    row = np.random.default_rng(0).uniform(40, 200, (height, 2 * width))
    right = row[:, 50 : 50 + width]
    at = 50 + u - truth
    part = at - np.floor(at)
    left = (1 - part) * row[v, at.astype(int)] + part * row[v, at.astype(int) + 1]
    pictures = (np.repeat(np.rint(p).astype(np.uint8)[..., None], 3, axis=2) for p in (left, right))
    view, other = views.initial_views(*pictures, (None, None), (height, width), 1, flip_copy)
    labels = (u < 20).astype(np.int32)
    beside = np.array([0, 1]) if alone else np.array([0, 0])
    whole = views.Segmentation(labels, 2, segments.segment_pixels(labels, 2), beside)
    flat = np.where(labels == 1, 30, truth).astype(np.float32)
    slopes = np.where(labels == 1, 0, slope).astype(np.float32), np.zeros_like(flat)
    seen_by_right = flip_copy((24 + slope * ((u + 24 - 100 * slope) / (1 - slope) - 100)).astype(np.float32))
    view = replace(view, d=flat, a=slopes[0], b=slopes[1], segmentations=(whole,) * 3)
    energy, _ = methods.plane_energy(0, 40)
    found = matcher.next_choice(view, replace(other, d=seen_by_right), energy).d
    assert np.mean(np.abs(found - truth)[:, 25:] < 0.1) > 0.99
    continued = np.mean(np.abs(found - truth)[:, :20] < 0.1)
    assert continued < 0.1 if alone else continued == 1


@pytest.mark.parametrize("seed", range(4))
def test_a_large_segment_outweighs_the_noise(seed):
    """Of the bits of its true matches 49 % differ, of all others 50: 4000 pixels together are significant.

    Each neighbour differs by less than the tolerance, so that only the middle one of its three bits is random.
    """
    rng = np.random.default_rng(seed)
    height, width = 50, 90
    middle = np.uint64(1) << (3 * np.arange(20, dtype=np.uint64) + np.uint64(1))
    other_census = (rng.random((height, width, 20)) < 0.5) @ middle
    noise = (rng.random((height, width, 20)) < 0.49) @ middle
    census = np.roll(other_census, 6, axis=1) ^ noise.astype(np.uint64)
    labels = np.ones((height, width), np.int32)
    labels[:, :10] = 0  # what may be matched outside
    pixels = segments.segment_pixels(labels, 2)
    agreed = np.empty((2, 3))
    unknown = np.full((height, width), NAN)
    match = plane_refinement.CensusPair(census, other_census, 0, 9, 23.0, 23.0)
    plane_refinement.refine_segment_planes(pixels, unknown, np.full((2, 3), np.nan), np.zeros(2), match, 1, 2, agreed)
    v, u = np.mgrid[:height, 10:width]
    assert np.median(np.abs(agreed[1] @ [u.ravel(), v.ravel(), np.ones(u.size)] - 6)) < 0.25


def one_segment(view, d):
    """The view as one segment of disparity d everywhere."""
    shape = view.d.shape
    labels = np.zeros(shape, np.int32)
    whole = views.Segmentation(labels, 1, segments.segment_pixels(labels, 1), np.zeros(1, int))
    return replace(view, d=np.full(shape, d, np.float32), segmentations=(whole,))


@pytest.mark.parametrize("share, supported", [(0.3, False), (0.8, True)])
def test_a_small_part_does_not_support_an_overexposed_segment(share, supported):
    """One segment of uniform colour, white but for a share of faint texture, which shows its disparity, 6, alone."""
    height, width = 80, 200
    left = np.full((height, width, 3), 255, np.uint8)
    rows = slice(0, round(share * height))
    left[rows] -= np.random.default_rng(0).integers(0, 4, left[rows].shape).astype(np.uint8)
    right = np.roll(left, -6, axis=1)
    energy, _ = methods.plane_energy(0, 15)
    view, other = views.initial_views(left, right, (None, None), (height, width), 1, flip_copy)
    found = support_module.supported_pixels(one_segment(view, 6), other, energy).supported
    assert found[rows, 40:-40][: -support_module.SUPPORT.window].all() and found[-10:].all() == supported


def noisy_census(flipped, height=200, width=320):
    """A black pair whose census agrees at disparity 6 but for `flipped`, the probability that a bit is wrong."""
    rng = np.random.default_rng(0)
    other_census = rng.integers(0, 2**34, (height, width)).astype(np.uint64)
    noise = (rng.random((height, width, 34)) < flipped) @ (1 << np.arange(34, dtype=np.uint64))
    black = np.zeros((height, width, 3), np.uint8)
    view, other = views.initial_views(black, black, (None, None), (height, width), 1, flip_copy)
    return replace(
        one_segment(view, 6), census=np.roll(other_census, 6, axis=1) ^ noise, other_census=other_census
    ), other


@pytest.mark.parametrize("even", [True, False])
def test_weak_support_of_a_large_segment_must_be_even(even):
    """Matches a quarter of a bit better than elsewhere on average: everywhere as a weak texture, or a third alone."""
    width = 320
    flipped = np.full((1, width, 1), 0.492) if even else np.where(np.arange(width) < 112, 0.477, 0.5)[None, :, None]
    view, other = noisy_census(flipped)
    energy, _ = methods.plane_energy(0, 15)
    assert support_module.supported_pixels(view, other, energy).supported[:, 200:].mean() == even
    lenient = replace(support_module.SUPPORT, even=-np.inf)  # the test of evenness alone decides
    assert support_module.supported_pixels(view, other, energy, lenient).supported[:, 200:].all()


def test_significance_and_evenness_in_plain_numpy(rng):
    """t of a window's and of a segment's cost changes, and the sum over a segment by the scatter of its tiles."""
    change = rng.normal(0.2, 1, (60, 90)).astype(np.float32)
    known = rng.random((60, 90)) < 0.9
    change[~known] = 0
    moments = support_module.Moments(known.astype(np.float32), (change != 0).astype(np.float32), change, change**2)
    thresholds = replace(support_module.SUPPORT, window=5, tile=20)
    window = (slice(20, 25), slice(30, 35))
    values = change[window][known[window]].astype(float)
    t = values.mean() / values.std() * np.sqrt(len(values) / 35)
    assert support_module.window_significance(moments, thresholds)[22, 32] == pytest.approx(t, rel=1e-4)

    labels = np.repeat([[0] * 50 + [1] * 40], 60, axis=0).astype(np.int32)
    segmentation = views.Segmentation(labels, 2, segments.segment_pixels(labels, 2), np.arange(2))
    inner = np.abs(np.arange(90) - 49.5) > 2  # a census window is 5 px wide
    bound = []
    for k in range(2):
        values = change[(labels == k) & inner & known].astype(float)
        bound.append(values.mean() / values.std() * np.sqrt(len(values) / 35))
    for t in bound:
        just_below, just_above = (replace(thresholds, significance=t * f, clear=0.0) for f in (0.999, 1.001))
        k = bound.index(t)
        assert support_module.segment_significance(segmentation, moments, just_below)[0][k]
        assert not support_module.segment_significance(segmentation, moments, just_above)[0][k]

    here = np.broadcast_to(inner, labels.shape)
    (found,) = support_module.evenness(labels, here, moments, np.array([1]), 20)
    tiles = [
        (known[y : y + 20, x : x + 20][m].sum(), change[y : y + 20, x : x + 20][m].sum(dtype=float))
        for y in range(0, 60, 20)
        for x in range(0, 90, 20)
        for m in [(here & (labels == 1))[y : y + 20, x : x + 20]]
    ]
    n, total = np.array([tile for tile in tiles if tile[0]]).T
    assert found == pytest.approx(total.sum() / np.sqrt(np.sum((total - total.sum() / n.sum() * n) ** 2)), rel=1e-5)


def test_local_planes_in_plain_numpy(rng):
    """Least squares over every second neighbour within 1 px, pixel by pixel; unknown and lonely ones stay level."""
    y, x = np.mgrid[:H, :W]
    d = (5 + 0.1 * x - 0.05 * y + rng.normal(0, 0.1, (H, W))).astype(np.float32)
    d[:, 14:] += 9
    d[3, 5] = NAN
    d[6, 8] = 30
    found = candidates_module.local_planes(d)
    radius, step = candidates_module.FIT_RADIUS, candidates_module.FIT_STEP
    for v in range(H):
        for u in range(W):
            rows = [j for j in range(v - radius, v + radius + 1, step) if 0 <= j < H]
            columns = [i for i in range(u - radius, u + radius + 1, step) if 0 <= i < W]
            near = [(i, j) for j in rows for i in columns if abs(d[j, i] - d[v, u]) <= 1]
            want = d[v, u], 0, 0
            if len(near) > 2 * radius / step:
                i, j = np.array(near).T
                A = np.column_stack([np.ones(len(i)), i - u, j - v])
                if np.linalg.matrix_rank(A) == 3:
                    want = np.linalg.lstsq(A, d[j, i].astype(float), rcond=None)[0]
            np.testing.assert_allclose(found[:, v, u], want, atol=2e-4, err_msg=f"{u}, {v}")


def test_strips_are_solved_with_their_surroundings(monkeypatch):
    """In place: each strip reads the planes from before, also where the strip above has overwritten them."""
    monkeypatch.setattr("stereo3d.disparity.planes.matcher.strip_rows", lambda height, width: 5)
    monkeypatch.setattr("stereo3d.disparity.planes.matcher.STRIP_OVERLAP", 3)
    picture = np.zeros((H, W, 3), np.uint8)
    view, _ = views.initial_views(picture, picture, (None, None), (H, W), 1, flip_copy)
    before = np.random.default_rng(1).random((3, H, W)).astype(np.float32)
    view = replace(view, d=before[0].copy(), a=before[1].copy(), b=before[2].copy())

    def mean_of_three_rows(part, first, candidates, out, skip):
        assert part.census.shape == part.d.shape == candidates.d.shape[:2]
        wide = np.pad(part.d, ((1, 1), (0, 0)), mode="edge")
        chosen = (wide[:-2] + wide[1:-1] + wide[2:]) / 3, part.a + 1, part.b, part.d + first
        for written, values in zip(out, chosen, strict=True):
            written[:] = values[skip : skip + len(written)]

    for in_place in (False, True):
        found = matcher.choose_in_strips(view, mean_of_three_rows, in_place)
        wide = np.pad(before[0], ((1, 1), (0, 0)), mode="edge")
        np.testing.assert_allclose(found.d, (wide[:-2] + wide[1:-1] + wide[2:]) / 3, rtol=1e-6)
        np.testing.assert_allclose(found.a, before[1] + 1)
        assert (found.d is view.d) == in_place
