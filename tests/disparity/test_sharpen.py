"""The fractions of a finished map, fitted to the pictures once more."""

import numpy as np

from stereo3d.disparity.refinement import refine
from stereo3d.disparity.sharpening import sharpen
from stereo3d.records import DisparityMap, RectifiedPair


def curved_pair() -> tuple[RectifiedPair, np.ndarray]:
    """Both pictures of a curved wall, and its disparity: left(x) = right(x - d(x))."""
    rng = np.random.default_rng(0)
    k, phase = rng.uniform(-1.2, 1.2, (60, 2)), rng.uniform(0, 2 * np.pi, 60)
    y, x = np.mgrid[:80, :120].astype(float)
    d = 4 + 0.0008 * (x - 60) ** 2 + 0.02 * y

    def paint(x):
        value = np.cos(x[..., None] * k[:, 0] + y[..., None] * k[:, 1] + phase).sum(-1)
        grey = np.clip(128 + 4 * value + rng.normal(0, 3, x.shape), 0, 255)
        return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)

    xy = np.stack([x, y], -1).astype(np.float32)
    return RectifiedPair(paint(x - d), paint(x), xy, xy), d


def test_sharpening_takes_noise_away():
    """Less is left than after the same step in the matcher's windows, and two thirds of it lie within sigma."""
    pair, truth = curved_pair()
    noise = np.random.default_rng(1).normal(0, 0.1, truth.shape)
    start = (truth + noise).astype(np.float32)
    start[20:24, 30:50] = np.nan
    sigma = np.where(np.isfinite(start), np.float32(0.1), np.float32(np.inf))
    given = DisparityMap(start, np.where(np.isfinite(start), 1, 0).astype(np.float32), sigma)
    found = sharpen(given, pair, (0, 12), threads=1)
    assert found.disparity.dtype == np.float32 and np.array_equal(np.isnan(found.disparity), np.isnan(start))
    inner = np.s_[8:-8, 20:-12]
    off = np.abs(found.disparity - truth)[inner]
    before = np.abs(refine(pair.left, pair.right, 0, 12, start, 3, 1) - truth)[inner]
    assert np.nanmedian(off) < 0.03 and np.nanmedian(off) < 0.8 * np.nanmedian(before)
    assert np.all(found.sigma[inner][np.isfinite(start)[inner]] < 0.06) and found.sigma[40, 1] == np.float32(0.1)
    assert np.isinf(found.sigma[21, 40])
    again = sharpen(given, pair, (0, 12), threads=3)
    assert np.array_equal(found.disparity, again.disparity, equal_nan=True)


def test_sharpening_stays_in_the_range():
    pair, truth = curved_pair()
    flat = np.ones(truth.shape, np.float32)
    found = sharpen(DisparityMap(truth.astype(np.float32), flat, flat), pair, (4.2, 6.7), threads=1)
    matched = found.disparity[:, 20:]  # what only one picture shows stays as it is
    assert matched.min() >= 4 and matched.max() == 7
