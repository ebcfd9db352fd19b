"""Surfaces that grow from picture to picture: matched again with scaled columns, in any order of the photos."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from stereo3d.disparity.expansion import GROWTHS, ScaledColumns, match_growing, scale_columns
from stereo3d.disparity.matching import compute_disparities
from stereo3d.records import RectifiedPair

SIZE = HEIGHT, WIDTH = 120, 300
EPIPOLES = 310.0, 330.0  # px, beyond the right border


def texture(x, y):
    """Grey levels (H,W,3) of a random pattern at the places x, y."""
    rng = np.random.default_rng(3)
    noise = gaussian_filter(rng.standard_normal((HEIGHT + 20, 1400)), 1.2)
    grey = map_coordinates(noise / noise.std(), [y + 10, x + 700], order=3, mode="nearest")
    return np.repeat(np.clip(np.rint(128 + 45 * grey), 0, 255).astype(np.uint8)[..., None], 3, -1)


def growing_pair(growth, *, mirrored=False, exchanged=False):
    """A pair whose right columns are `growth` times as far from the epipole as the left ones, and its disparity.

    mirrored: the epipole lies beyond the left border. exchanged: the pictures change places, so all shrinks.
    """
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    left, right = EPIPOLES
    x1_of_2 = left + (x - right) / growth
    pictures, seen = [texture(x, y), texture(x1_of_2, y)], [np.ones(SIZE, bool), (x1_of_2 >= 0) & (x1_of_2 < WIDTH)]
    d = [x - (right + growth * (x - left)), x1_of_2 - x]  # x1 - x2 at the pixels of either
    columns = [left, right]
    if exchanged:
        pictures, columns, seen, d = pictures[::-1], columns[::-1], seen[::-1], [-a for a in d[::-1]]
    if mirrored:
        pictures, seen = [p[:, ::-1].copy() for p in pictures], [s[:, ::-1] for s in seen]
        columns, d = [WIDTH - 1 - c for c in columns], [-a[:, ::-1] for a in d]
    maps = [np.where(s[..., None], np.stack([x, y], -1), np.nan).astype(np.float32) for s in seen]
    # expanding towards an epipole on the right is that of a first photo on the left
    pair = RectifiedPair(*pictures, *maps, "polar", mirrored != exchanged, epipole_columns=tuple(columns))
    return pair, d[0]


def shares(maps, truth, pair):
    """Share of the left pixels with a partner that are known, and of these the share within a pixel of the truth."""
    partner = np.arange(WIDTH) - truth
    seen = (partner >= 0) & (partner < WIDTH) & np.isfinite(pair.map1[..., 0])
    known = np.isfinite(maps[0].disparity) & seen
    return known.sum() / seen.sum(), (np.abs(maps[0].disparity - truth)[known] < 1).mean()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("exchanged", [False, True])
def test_a_surface_that_doubles_is_matched(mirrored, exchanged):
    pair, truth = growing_pair(2.1, mirrored=mirrored, exchanged=exchanged)
    partner = np.arange(WIDTH) - truth
    seen = truth[(partner >= 0) & (partner < WIDTH)]
    maps = compute_disparities(pair, (seen.min() - 4, seen.max() + 4), method="sgm")
    before, _ = shares(maps, truth, pair)
    again, growths = match_growing(maps, pair, method="sgm")
    after, right = shares(again, truth, pair)
    assert GROWTHS[1] in growths
    assert after > 0.85 and after > before + 0.2 and right > 0.97
    both = np.isfinite(again[1].disparity)
    assert both.mean() > 0.3  # the right picture's map too
    u = np.arange(WIDTH) + again[1].disparity
    back = np.take_along_axis(truth, np.clip(np.nan_to_num(np.rint(u)), 0, WIDTH - 1).astype(int), 1)
    assert np.nanmedian(np.abs(back - again[1].disparity)[both]) < 1


def test_what_does_not_grow_is_not_matched_again():
    pair, truth = growing_pair(1.0)
    maps = compute_disparities(pair, (truth.min() - 8, truth.max() + 8), method="sgm")
    again, growths = match_growing(maps, pair, method="sgm")
    assert growths == [] and again is maps
    pair, truth = growing_pair(2.1)
    flat = RectifiedPair(pair.left, pair.right, pair.map1, pair.map2, "planar")
    assert match_growing(maps, flat, method="sgm") == (maps, [])
    assert match_growing(maps, pair, slants=False, method="sgm") == (maps, [])


def test_scaled_columns_show_the_same_as_the_left_picture():
    pair, _ = growing_pair(2.0)
    scaled = scale_columns(pair, ScaledColumns(2.0, *EPIPOLES))
    inside = np.isfinite(scaled.map2[..., 0])
    assert 0.4 < inside.mean() < 0.9
    difference = np.abs(scaled.right.astype(int) - pair.left)[inside]
    assert np.median(difference) < 8 and np.quantile(difference, 0.99) < 40
    assert not scaled.right[~inside].any()
