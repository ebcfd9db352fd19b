"""The fractions of a finished map, fitted to the pictures again."""

import numpy as np
from stereo3d.disparity.refinement import refine, sharpen


def crease_pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both pictures of a wall with a crease, and its disparity: left(x) = right(x - d(x))."""
    rng = np.random.default_rng(0)
    k, phase = rng.uniform(-1.2, 1.2, (60, 2)), rng.uniform(0, 2 * np.pi, 60)
    y, x = np.mgrid[:80, :120].astype(float)
    d = 4 + 0.25 * np.abs(x - 60) + 0.01 * y

    def paint(x):
        value = np.cos(x[..., None] * k[:, 0] + y[..., None] * k[:, 1] + phase).sum(-1)
        grey = np.clip(128 + 6 * value + rng.normal(0, 1, x.shape), 0, 255)
        return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)

    return paint(x - d), paint(x), d


def test_sharpening_takes_noise_away_and_keeps_a_crease():
    left, right, truth = crease_pair()
    rng = np.random.default_rng(1)
    start = (truth + rng.normal(0, 0.15, truth.shape)).astype(np.float32)
    start[20:24, 30:50] = np.nan
    found = sharpen(left, right, start, (0, 25), threads=1)
    assert found.dtype == np.float32 and np.array_equal(np.isnan(found), np.isnan(start))
    inner = np.s_[8:-8, 28:-12]
    off = np.abs(found - truth)[inner]
    crease = np.s_[8:-8, 57:64]
    assert np.nanmedian(off) < 0.02
    large = refine(left, right, 0, 25, refine(left, right, 0, 25, start, 5, 1), 5, 1)
    assert np.nanmean(np.abs(found - truth)[crease]) < 0.9 * np.nanmean(np.abs(large - truth)[crease])
    small = refine(left, right, 0, 25, refine(left, right, 0, 25, start, 3, 1), 3, 1)
    assert np.nanmedian(off) < 0.9 * np.nanmedian(np.abs(small - truth)[inner])
    assert np.array_equal(found, sharpen(left, right, start, (0, 25), threads=3), equal_nan=True)


def test_sharpening_stays_in_the_range():
    left, right, truth = crease_pair()
    found = sharpen(left, right, truth.astype(np.float32), (4.2, 6.7), threads=1)
    assert 4 <= found.min() and found.max() == 7
