"""Pixels that fit elsewhere on their row as well: against plain numpy, and posts of a fence before a wall."""

import numpy as np
import pytest

from stereo3d.disparity import lookalikes
from stereo3d.disparity.lookalikes import NO_RIVAL, RANDOM_BITS, RIVALS, Compared, contested_pixels
from stereo3d.records import RectifiedPair

SIZE = (80, 320)  # rows, columns
WALL, FENCE, STEP, WIDE = 8, 40, 32, 16  # px: disparities, period and width of the posts
NO_MATCHES = np.zeros((0, 3))


def noise(shape, seed):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def rectified(left, right):
    grid = np.stack(np.meshgrid(np.arange(left.shape[1]), np.arange(left.shape[0])), -1).astype(np.float32)
    return RectifiedPair(np.dstack([left] * 3), np.dstack([right] * 3), grid, grid)


def fence():
    """A wall behind posts all alike, and its true left disparity. FENCE - WALL is the posts' period."""
    wall, post = noise((SIZE[0], SIZE[1] + 60), 1), noise((SIZE[0], WIDE), 2)
    left, right = wall[:, : SIZE[1]].copy(), wall[:, WALL : SIZE[1] + WALL].copy()
    d = np.full(SIZE, WALL, np.float32)
    for x in range(4, SIZE[1] + 60, STEP):
        if x + WIDE <= SIZE[1]:
            left[:, x : x + WIDE], d[:, x : x + WIDE] = post, FENCE
        if 0 <= x - FENCE and x - FENCE + WIDE <= SIZE[1]:
            right[:, x - FENCE : x - FENCE + WIDE] = post
    return rectified(left, right), d


def test_a_post_at_the_disparity_of_the_wall_is_outvoted_by_the_others():
    pair, d = fence()
    wrong = (slice(None), slice(132, 148))
    d[wrong] = WALL
    found = contested_pixels(pair, d, NO_MATCHES, (0, 56))
    others = found.pixels.copy()
    others[:, 128:152] = False
    assert found.pixels[:, 134:146].mean() > 0.9 and others.mean() < 0.01
    assert found.period == STEP
    again = contested_pixels(pair, d, NO_MATCHES, (0, 56), threads=3)
    assert np.array_equal(found.pixels, again.pixels) and found.period == again.period


def test_posts_that_agree_stay_and_so_does_what_is_unique():
    pair, d = fence()
    found = contested_pixels(pair, d, NO_MATCHES, (0, 56))
    assert found.pixels.mean() < 0.01
    wall = rectified(noise(SIZE, 3), np.roll(noise(SIZE, 3), -WALL, 1))
    found = contested_pixels(wall, np.full(SIZE, WALL, np.float32), NO_MATCHES, (0, 56))
    assert not found.pixels.any() and np.isnan(found.period)


def features(places, d):
    """Matches of that disparity in the middle of each post of those numbers, in every fourth row."""
    rows = np.arange(2, SIZE[0], 4.0)
    return np.array([(4 + STEP * k + WIDE / 2, y, d) for k in places for y in rows]).reshape(-1, 3)


@pytest.mark.parametrize(("right", "wrong", "contested"), [((4, 5), (), 0), ((4, 5), (6,), 1), ((4, 5, 6), (), 0)])
def test_posts_on_which_features_are_divided_are_contested(right, wrong, contested):
    """All posts match at their own disparity; the features of post 6 have that of the wall."""
    pair, d = fence()
    matches = np.concatenate([features(right, FENCE), features(wrong, WALL)])
    found = contested_pixels(pair, d, matches, (0, 56)).pixels
    posts = (d == FENCE) & (np.abs(np.arange(SIZE[1]) - (4 + STEP * 6 + WIDE / 2)) < STEP)
    assert (found[posts].mean() > 0.8) == contested
    assert found[d == WALL].mean() < 0.05 + 0.3 * contested


def test_a_few_features_divide_nothing():
    pair, d = fence()
    found = contested_pixels(pair, d, np.concatenate([features((4, 5), FENCE), features((6,), WALL)[:8]]), (0, 56))
    assert found.pixels.mean() < 0.01


def test_features_beside_what_looks_alike_do_not_count():
    pair, d = fence()
    x = np.repeat(4 + STEP * np.arange(3, 8) - 8.0, 10)  # on the wall, in the middle between two posts
    wall = np.column_stack([x, np.tile(np.arange(4, 80, 8.0), 5), np.full(50, WALL)])
    found = contested_pixels(pair, d, np.concatenate([features((4, 5), FENCE), wall]), (0, 56))
    assert found.pixels.mean() < 0.01


@pytest.mark.parametrize("rows", [(0, 9), (3, 7)])
def test_rivals_are_the_minima_of_the_summed_distances(rows):
    """Few bits, so that rivals are many; the sums of windows cut off at the picture's border."""
    rng = np.random.default_rng(0)
    h, w, lo, hi, radius = 9, 14, -1, 3, (2, 1)
    codes, other = (rng.integers(0, 4, (h, w)).astype(np.uint64) * np.uint64(2**20 - 1) for _ in range(2))
    inside, other_inside = (rng.random((h, w)) > 0.1 for _ in range(2))
    d = rng.integers(lo - 1, hi + 1, (h, w))
    rivals = np.zeros((h, w, RIVALS), np.int16)
    compared = Compared(codes, other, inside, other_inside, d, lo, hi)
    lookalikes.rival_rows(compared, (0.6, 0.01), radius, *rows, rivals)

    def bits(y, x, u, row, known):
        return int(codes[y, x] ^ row[y, u]).bit_count() if 0 <= u < w and known[y, u] else RANDOM_BITS

    def minima(costs, middle, half, enough):
        for side in (-1, 1):
            outside, k = False, middle + side
            while 0 <= k < len(costs):
                if outside and costs[k] <= enough:
                    while 0 <= k + side < len(costs) and costs[k + side] <= costs[k]:
                        k += side
                    yield k
                    outside = False
                outside |= costs[k] > half
                k += side

    for y in range(*rows):
        for x in range(w):
            window = [(v, u) for v in range(max(0, y - 2), min(h, y + 3)) for u in range(max(0, x - 1), min(w, x + 2))]
            costs = np.array(
                [sum(bits(v, u, u - k, other, other_inside) for v, u in window) for k in range(hi, lo - 1, -1)]
            )
            own = np.array(
                [sum(bits(v, u, u + s, codes, inside) for v, u in window) for s in range(lo - hi, hi - lo + 1)]
            )
            expected, k = [], hi - d[y, x]
            if k <= hi - lo:
                random, winner = costs.mean(), costs[max(0, k - 1) : k + 2].min()
                if random > winner and random - winner >= 0.01 * random:
                    levels = 0.5 * (winner + random), random - 0.6 * (random - winner)
                    expected = [hi - i for i in minima(costs, k, *levels)]
                    expected += [d[y, x] - (i - (hi - lo)) for i in minima(own, hi - lo, *levels)]
            expected = (expected + [NO_RIVAL] * RIVALS)[:RIVALS]
            assert rivals[y, x].tolist() == expected, (y, x)
    assert (rivals[rows[0] : rows[1]] != NO_RIVAL).any()


def test_a_rival_needs_twice_the_votes():
    d = np.array([[4, 4, 9]])
    rivals = np.full((1, 3, 2), NO_RIVAL)
    rivals[0, :2, 0] = 9
    votes = np.zeros((1, 3, 12), np.int64)
    votes[0, :, 9], votes[0, 0, 4], votes[0, 1, 4] = 60, 30, 31
    assert lookalikes.outvoted(d, rivals, votes, 1, 0, 2.0, 50).tolist() == [[True, False, False]]
    assert not lookalikes.outvoted(d, rivals, votes, 1, 0, 2.0, 61).any()
