"""Shards along the lines of sight are dropped, surfaces at a grazing angle stay."""

import numpy as np

from stereo3d.geometry import hom
from stereo3d.triangulation.shards import shards

H, W, F = 120, 160, 600.0


def rays():
    y, x = np.mgrid[:H, :W].astype(float)
    return hom(np.stack([(x - W / 2) / F, (y - H / 2) / F], -1).reshape(-1, 2)).reshape(H, W, 3)


def test_the_two_sides_of_an_outline_are_not_joined():
    depth = np.full((H, W), 8.0)
    depth[30:90, 40:100] = 3.0
    depth[30:90, 100:104] = np.linspace(3, 8, 6)[1:-1]  # what a matcher lays between them
    found = shards(rays() * depth[..., None])
    assert found[35:85, 100:104].all()
    assert not found[35:85, 45:95].any() and not found[:, 115:].any() and not found[:25].any()


def test_a_ground_at_a_grazing_angle_stays():
    X = rays()
    below = np.arange(H) > H / 2 + 10
    ground = np.where(
        (below & (np.arange(H) < H / 2 + 50))[:, None, None], X * (0.5 / np.maximum(X[..., 1:2], 1e-3)), np.nan
    )
    assert np.isfinite(ground[..., 2]).sum() > 20 * W
    assert shards(ground).mean() < 0.01


def test_noise_of_a_small_parallax_is_dropped():
    rng = np.random.default_rng(1)
    depth = 8 * np.exp(0.02 * rng.standard_normal((H, W)))  # 2 % a pixel: steeper than 80 degrees over four pixels
    found = shards(rays() * depth[..., None])
    assert found.mean() > 0.3
    assert not shards(rays() * 8.0).any()
    assert shards(np.full((3, 3, 3), np.nan)).shape == (3, 3)
