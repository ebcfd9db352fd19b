"""Surfaces of a disparity map: which features support, which look alike elsewhere, which continue another."""

import numpy as np
import pytest

from stereo3d.disparity import surfaces as continuous
from stereo3d.disparity import uniqueness
from stereo3d.records import RectifiedPair

NAN = np.nan
SIZE = (96, 256)  # rows, columns


def rectified(left, right):
    grid = np.stack(np.meshgrid(np.arange(left.shape[1]), np.arange(left.shape[0])), -1).astype(np.float32)
    return RectifiedPair(np.dstack([left] * 3), np.dstack([right] * 3), grid, grid)


def noise(shape, seed):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def windows(alike=True, second_at=150):
    """A wall at d = 20 with two panes, seen shifted: the pane at x = 60 of the left picture is at 40 in the right one.

    alike: both panes show the same. The disparity map is that of a matcher that took the second pane of the right
    picture, at second_at - 20, for the first one.
    """
    left = noise(SIZE, 1)
    left[24:72, 60:92] = noise((48, 32), 2)
    left[24:72, second_at : second_at + 32] = noise((48, 32), 2 if alike else 3)
    right = np.roll(left, -20, 1)
    right[:, -20:] = noise((SIZE[0], 20), 4)
    disparity = np.full(SIZE, 20, np.float32)
    disparity[:, :20] = NAN
    disparity[24:72, 60:92] = 60 - (second_at - 20)
    return rectified(left, right), disparity


def on_wall(rows=(4, 14, 80, 90)):
    return np.array([(x, y, 20.0) for x in range(30, 250, 8) for y in rows])


def surface_at(surfaces, y, x):
    return surfaces.labels[y, x]


def test_surfaces_are_connected_pixels_of_small_steps():
    d = np.array([[1, 1.9, 3.5, NAN, 3], [1, 2.8, 3.5, NAN, 3], [NAN, NAN, NAN, NAN, 3]], np.float32)
    labels, count = continuous.surface_labels(d, 1.0)
    assert count == 2
    assert labels.tolist() == [[0, 0, 0, -1, 1], [0, 0, 0, -1, 1], [-1, -1, -1, -1, 1]]


def test_a_match_votes_for_the_surfaces_in_reach_or_against_its_own():
    d = np.full((9, 20), 5, np.float32)
    d[:, 10:] = 30
    labels, count = continuous.surface_labels(d, 1.0)
    matches = np.array([[2, 4, 5.5], [9, 4, 30.0], [15, 4, 12.0], [16, 4, 31.9]])
    votes, agreeing = continuous.count_votes(d, labels, count, matches, 2, 2.0)
    assert votes.tolist() == [[1, 0], [2, 1]]
    assert agreeing.tolist() == [0, 1, -1, 1]


def test_profiles_are_mean_hamming_distances():
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 2**34, (6, 12), dtype=np.uint64) for _ in range(2))
    inside = rng.random((6, 12)) > 0.2
    at = np.array([[1, 5], [1, 6], [2, 5], [4, 9], [4, 10]])
    d, starts, lo, hi = np.array([1, 2, 1, 0, 0]), np.array([0, 3, 5]), -2, 3
    found = uniqueness.tile_profiles(one, other, inside, at, d, starts, lo, hi)
    for t, (a, b) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
        for k, s in enumerate(range(lo - hi, hi - lo + 1)):
            bits = []
            for (y, x), own in zip(at[a:b], d[a:b], strict=True):
                u = x - own - s
                if lo <= own + s <= hi and 0 <= u < 12 and inside[y, u]:
                    bits.append(int(one[y, x] ^ other[y, u]).bit_count())
            expected = np.mean(bits) if 2 * len(bits) >= b - a else NAN
            assert found[t, k] == pytest.approx(expected, nan_ok=True)


def test_a_pane_matched_to_its_twin_is_ambiguous_and_unsupported():
    pair, d = windows()
    surfaces = uniqueness.find_surfaces(pair, d, on_wall(), (-90, 40))
    pane, wall = surface_at(surfaces, 48, 75), surface_at(surfaces, 4, 75)
    assert surfaces.ambiguous[pane] and not surfaces.supported[pane] and surfaces.period == 90
    assert surfaces.supported[wall] and surfaces.certain[wall] and not surfaces.ambiguous[wall]


def test_a_twin_in_the_same_picture_is_enough():
    """The right picture shows one pane only: nothing there competes, but the left one shows what else it may be."""
    pair, d = windows()
    right = pair.right.copy()
    right[24:72, 40:72] = noise((48, 32, 3), 9)  # the true match is hidden
    surfaces = uniqueness.find_surfaces(rectified(pair.left[..., 0], right[..., 0]), d, on_wall(), (-90, 40))
    assert surfaces.ambiguous[surface_at(surfaces, 48, 75)]


def test_a_unique_surface_without_features_is_not_ambiguous():
    left, right = noise(SIZE, 1), np.roll(noise(SIZE, 1), -20, 1)
    pane = noise((48, 32), 2)
    left[24:72, 60:92], right[24:72, 20:52] = pane, pane  # d = 40
    d = np.full(SIZE, 20, np.float32)
    d[24:72, 60:92] = 40
    surfaces = uniqueness.find_surfaces(rectified(left, right), d, on_wall(), (-90, 60))
    found = surface_at(surfaces, 48, 75)
    assert not surfaces.ambiguous[found] and not surfaces.supported[found]


def test_a_surface_without_texture_is_not_ambiguous():
    """Weak texture under noise matches everywhere equally badly: that is no repetition."""
    rng = np.random.default_rng(5)
    left, right = (np.clip(128 + rng.normal(0, 2, SIZE), 0, 255).astype(np.uint8) for _ in range(2))
    d = np.full(SIZE, 20, np.float32)
    surfaces = uniqueness.find_surfaces(rectified(left, right), d, np.empty((0, 3)), (-90, 60))
    assert not surfaces.ambiguous.any()


def test_features_overrule_the_likeness():
    """A wall of equal panes at its true disparity stays where features, unique by some detail, agree with it."""
    pane = noise((32, 32), 2)
    left = np.tile(pane, (3, 8))
    right = np.roll(left, -20, 1)
    d = np.full(SIZE, 20, np.float32)
    few = on_wall()[::40]
    with_few = uniqueness.find_surfaces(rectified(left, right), d, few, (-60, 60))
    without = uniqueness.find_surfaces(rectified(left, right), d, np.empty((0, 3)), (-60, 60))
    assert len(few) >= 2 and with_few.supported.all() and with_few.ambiguous.all()
    assert not without.supported.any() and without.ambiguous.all()


def test_matches_that_contradict_outweigh_those_that_agree():
    pair, d = windows()
    wrong = d[48, 75]
    inside = np.array([(70, 40, wrong), (80, 50, wrong), (66, 60, 20.0), (70, 64, 20.0), (84, 30, 20.0)])
    surfaces = uniqueness.find_surfaces(pair, d, np.vstack([on_wall(), inside]), (-90, 40))
    assert not surfaces.supported[surface_at(surfaces, 48, 75)]


def test_surfaces_continue_across_gaps_and_down_steep_ground_but_not_over_jumps():
    d = np.full((60, 40), NAN, np.float32)
    d[:10] = 10  # the anchor
    d[18:24, :20] = 14  # across 8 unknown rows, half a pixel a row
    d[18:24, 22:] = 60  # a jump
    ground = np.arange(28, 60)
    d[28:, :20] = (14 + 4.0 * (ground - 23))[:, None]  # 4 px a row: each row is a surface
    labels, count = continuous.surface_labels(d, 1.0)
    anchors = np.zeros(count, bool)
    anchors[labels[0, 0]] = True
    attached = continuous.attached_surfaces(d, labels, count, anchors, continuous.AttachmentLimits(10))
    assert attached[labels[0, 0]] and attached[labels[20, 5]] and not attached[labels[20, 30]]
    assert all(attached[labels[y, 5]] for y in ground)
    short = continuous.attached_surfaces(d, labels, count, anchors, continuous.AttachmentLimits(5))
    assert not short[labels[20, 5]]


def test_a_tile_without_any_contrast_has_no_ratio():
    """Masked and black parts cost nothing anywhere: there is no winner, and nothing to divide by."""
    profiles, own = np.zeros((2, 9), np.float32), np.zeros((2, 17), np.float32)
    profiles[1] = [5, 5, 5, 5, 1, 5, 5, 5, 5]
    own[1] = 5
    ratios, period = uniqueness.rival_ratios(profiles, own, uniqueness.typical_costs(profiles), 0.1, 0.75)
    assert np.isnan(ratios[0]) and ratios[1] == 0 and not period.any()
