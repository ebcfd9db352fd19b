"""Depth order by hidden strips: the sign by construction, in both pictures, and nothing where nothing is hidden."""

import numpy as np
import pytest

from stereo3d.disparity.depth_order import depth_order
from stereo3d.records import DisparityMap, RectifiedPair

JUMP = 12  # px of disparity between the two surfaces


def two_surfaces(near_is_larger, seed=0, shape=(96, 240)):
    """Vertical bars before a wall, both with texture of their own; the pair, and both maps with their hidden strips."""
    rng = np.random.default_rng(seed)
    h, w = shape
    wide = rng.normal(90, 12, (h, w + 80, 3)), rng.normal(150, 12, (h, w + 80, 3))  # wall, bars
    is_bar = (np.arange(w + 80) % 60) >= 30
    d_wall, d_bar = 0, JUMP if near_is_larger else -JUMP
    pictures, maps = [], []
    for offset in (0, 1):  # left: column x of the canvas; right: x - d
        x = np.arange(w) + 40
        bar = is_bar[x + (d_bar if offset else 0)]
        picture = np.where(bar[None, :, None], wide[1][:, x + (d_bar if offset else 0)], wide[0][:, x])
        d = np.where(bar, d_bar, d_wall).astype(np.float32)
        other = is_bar[x + (0 if offset else -d_bar) + (0 if offset else d_bar)] if offset else is_bar[x + d_bar]
        hidden = ~bar & (is_bar[x] if offset else other)  # the wall behind a bar of the other picture
        d[hidden] = np.nan
        pictures.append(picture.clip(0, 255).astype(np.uint8))
        maps.append(DisparityMap(np.tile(d, (h, 1)), np.ones(shape, np.float32), np.ones(shape, np.float32)))
    xy = np.stack(np.meshgrid(np.arange(w), np.arange(h)), -1).astype(np.float32)
    return RectifiedPair(pictures[0], pictures[1], xy, xy, kind="identity"), (maps[0], maps[1])


@pytest.mark.parametrize("near_is_larger", [True, False])
def test_hidden_strips_show_which_disparities_are_near(near_is_larger):
    z, cells = depth_order(*two_surfaces(near_is_larger))
    assert cells > 20
    assert z * (1 if near_is_larger else -1) > 4


def test_without_hidden_strips_there_is_no_order():
    pair, maps = two_surfaces(True)
    flat = DisparityMap(np.zeros_like(maps[0].disparity), maps[0].confidence, maps[0].sigma)
    assert depth_order(pair, (flat, flat)) == (0.0, 0)


def test_strips_that_resemble_neither_side_are_no_observation_of_one_sign():
    """Of pictures of noise z is a normal variable of deviation 1, however many strips a cell holds."""
    z = []
    for seed in range(12):
        pair, maps = two_surfaces(True, seed)
        noise = np.random.default_rng(seed + 100).integers(0, 256, pair.left.shape).astype(np.uint8)
        z.append(depth_order(RectifiedPair(noise, noise, pair.map1, pair.map2, kind="identity"), maps)[0])
    assert np.abs(z).max() < 3.5 and abs(np.mean(z)) < 1.2
