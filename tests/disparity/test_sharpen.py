"""The fractions of a finished map, fitted to the pictures once more."""

import numpy as np
import pytest

from stereo3d.disparity.refinement import fit_planes, refine
from stereo3d.disparity.sharpening import WindowPlanes, bend_of_planes, planes_beside_creases, sharpen
from stereo3d.records import DisparityMap, RectifiedPair

y, x = np.mgrid[:80, :120].astype(float)
CURVED = 4 + 0.0008 * (x - 60) ** 2 + 0.02 * y
CREASED = 7 - 0.06 * np.abs(x - 60) + 0.01 * y


def painted_pair(d: np.ndarray) -> RectifiedPair:
    """Both pictures of a wall of this disparity: left(x) = right(x - d(x))."""
    rng = np.random.default_rng(0)
    k, phase = rng.uniform(-1.2, 1.2, (60, 2)), rng.uniform(0, 2 * np.pi, 60)

    def paint(x):
        value = np.cos(x[..., None] * k[:, 0] + y[..., None] * k[:, 1] + phase).sum(-1)
        grey = np.clip(128 + 4 * value + rng.normal(0, 3, x.shape), 0, 255)
        return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)

    xy = np.stack([x, y], -1).astype(np.float32)
    return RectifiedPair(paint(x - d), paint(x), xy, xy)


def test_sharpening_takes_noise_away():
    """Less is left than after the same step in the matcher's windows, and two thirds of it lie within sigma."""
    truth, pair = CURVED, painted_pair(CURVED)
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
    truth, pair = CURVED, painted_pair(CURVED)
    flat = np.ones(truth.shape, np.float32)
    found = sharpen(DisparityMap(truth.astype(np.float32), flat, flat), pair, (4.2, 6.7), threads=1)
    matched = found.disparity[:, 20:]  # what only one picture shows stays as it is
    assert matched.min() >= 4 and matched.max() == 7


def test_a_crease_stays_sharp():
    """Where two walls meet, half of what windows about each pixel round off is left."""
    pair = painted_pair(CREASED)
    noise = np.random.default_rng(1).normal(0, 0.02, CREASED.shape)
    start, flat = (CREASED + noise).astype(np.float32), np.full(CREASED.shape, 0.1, np.float32)
    found = sharpen(DisparityMap(start, flat, flat), pair, (0, 12), threads=1).disparity
    rounded = refine(pair.left, pair.right, 0, 12, start, 7, 1)
    crease = np.s_[8:-8, 58:63]
    off, before = (np.abs(np.median((d - CREASED)[crease], axis=0)).max() for d in (found, rounded))
    assert before > 0.08 and off < 0.5 * before


def test_the_bend_of_planes_and_the_choice_among_windows():
    """Against the same in numpy, at every pixel of a creased map with holes."""
    rng, r = np.random.default_rng(2), 3
    d = (CREASED[:30, 40:80] + rng.normal(0, 0.02, (30, 40))).astype(np.float32)
    d[4:6, 7:9] = np.nan
    d[20:, 30:] += 3
    planes = WindowPlanes(*(np.empty_like(d) for _ in range(4)))
    fit_planes(d, r, 1, 0, len(d), planes.level, planes.along, planes.down)
    bend_of_planes(d, planes, r, 0, len(d))
    chosen = np.empty_like(d)
    planes_beside_creases(d, planes, r, np.float32(4), 0, len(d), chosen)
    padded = np.pad(d, r, constant_values=np.nan)
    v, u = np.mgrid[-r : r + 1, -r : r + 1]
    taken = 0
    for i, j in np.ndindex(d.shape):
        near = padded[i : i + 2 * r + 1, j : j + 2 * r + 1]
        with np.errstate(invalid="ignore"):
            same = np.abs(near - d[i, j]) <= 1
        off = near - planes.level[i, j] - planes.along[i, j] * u - planes.down[i, j] * v
        bend = np.mean(off[same] ** 2) if same.sum() > 2 * r else np.inf
        assert planes.bend[i, j] == pytest.approx(bend, rel=1e-3, abs=1e-7)
        best, value = planes.bend[i, j] / 4, planes.level[i, j]
        for a, b in ((a, b) for a in (-r, 0, r) for b in (-r, 0, r)):
            if 0 <= i + a < len(d) and 0 <= j + b < d.shape[1]:
                there = planes.level[i + a, j + b] - planes.along[i + a, j + b] * b - planes.down[i + a, j + b] * a
                if planes.bend[i + a, j + b] < best and abs(there - d[i, j]) <= 0.5:
                    best, value = planes.bend[i + a, j + b], there
        taken += value != planes.level[i, j]
        assert chosen[i, j] == pytest.approx(value, abs=1e-5, nan_ok=True)
    assert taken > 50
