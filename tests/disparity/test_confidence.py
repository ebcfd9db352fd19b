"""The learned confidence: its measurements against plain numpy, symmetry, calibration, and how it is trained."""

import hashlib
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from stereo3d import synthetic
from stereo3d.disparity import compute_disparities, confidence, measurements
from stereo3d.disparity.costs import CENSUS, brightness, census, grey
from stereo3d.records import RectifiedPair

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def view() -> measurements.MatchMaps:
    """A view with everything that can happen: jumps, unknown pixels, matches outside, both maps apart."""
    rng = np.random.default_rng(3)
    height, width = 48, 64
    left = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3)).astype(np.uint8), (0, 0), 1.0)
    right = np.roll(left, -6, axis=1)
    d = np.full((height, width), 6, np.float32) + rng.normal(0, 0.3, (height, width)).astype(np.float32)
    d[20:30, 20:40] += 5
    other = np.full((height, width), 6.25, np.float32)
    d[40, 10:20] = other[5, 30:34] = np.nan
    start = d + rng.choice([0, 0, 0.5, 12], d.shape).astype(np.float32)
    inside = np.ones(d.shape, bool)
    inside[:, -4:] = inside[12, 8:20] = False
    supported = rng.random(d.shape) > 0.2
    margins = [rng.uniform(0, 40, d.shape).astype(np.float32), rng.random(d.shape).astype(np.float32)]
    return measurements.match_maps((left, right), (d, other), margins[0], (start, margins[1]), supported, inside)


def measured(view, rows=None) -> dict[str, np.ndarray]:
    height = len(view.disparity)
    return dict(zip(measurements.NAMES, measurements.Measured(view).strip(*(rows or (0, height))), strict=True))


def hamming(view, y, x, d):
    """Between the pixel and its match at x - d, linear between whole disparities."""
    height, at = len(view.grey), x - d
    code, row = (measurements.census_rows(a, 0, height)[y] for a in (view.brightness, view.other_brightness))
    first = int(np.floor(at))
    codes = [int(row[min(max(k, 0), len(row) - 1)]) ^ int(code[x]) for k in (first, first + 1)]
    near, far = (code.bit_count() for code in codes)
    return near + (at - first) * (far - near)


def test_the_measurements_of_a_pixel_are_those_of_plain_numpy(view):
    found, d, height, width = measured(view), view.disparity, *view.disparity.shape
    checked = 0
    for y, x in np.random.default_rng(0).integers(3, (height - 3, width - 3), (300, 2)):
        v = float(d[y, x])
        u = int(np.floor(x - v + 0.5)) if np.isfinite(v) else -1
        assert found["margin"][y, x] == pytest.approx(np.log1p(view.margin[y, x]), rel=1e-5)
        step = view.start[y, x] - v
        assert found["start"][y, x] == pytest.approx(np.clip(step, -8, 9) if np.isfinite(step) else 9, abs=1e-4)
        ends = abs(d[y, x + 3] - d[y, x - 3])
        assert found["slope_x"][y, x] == pytest.approx(min(ends, 8) if np.isfinite(ends) else 8, abs=1e-5)
        if u < 0 or not view.other_inside[y, u]:
            assert found["cost"][y, x] == 17 and found["covered"][y, x] == 0
            continue
        checked += 1
        cost, less, more = (hamming(view, y, x, v + k) for k in (0, 2, -2))
        assert found["cost"][y, x] == pytest.approx(cost, abs=1e-3)
        assert found["least_rise"][y, x] == pytest.approx(np.clip(min(less, more) - cost, -8, 23), abs=2e-3)
        apart = view.other_disparity[y, u] - v
        assert found["difference"][y, x] == pytest.approx(np.clip(apart, -8, 8) if np.isfinite(apart) else -8, abs=1e-5)
        there = np.interp(x - v, np.arange(width), view.other_grey[y].astype(float))
        residual = min(abs(float(view.grey[y, x]) - there), 31)
        assert found["residual"][y, x] == pytest.approx(residual, abs=1e-3)
        nearest = max(e for k, e in enumerate(d[y]) if np.isfinite(e) and int(np.floor(k - e + 0.5)) == u)
        assert found["covered"][y, x] == pytest.approx(np.clip(nearest - v - 0.5, 0, 8), abs=1e-5)
    assert checked > 200


def test_the_neighbours_are_compared_as_in_plain_numpy(view):
    found, d = measured(view), view.disparity
    apart = np.full(d.shape, np.inf)
    for y, x in np.argwhere(np.isfinite(d)):
        u = int(np.floor(x - d[y, x] + 0.5))
        if 0 <= u < d.shape[1] and view.other_inside[y, u]:
            apart[y, x] = abs(view.other_disparity[y, u] - d[y, x])
    passed = apart * 127 < 128
    for y, x in ((20, 20), (25, 39), (30, 30), (39, 15), (15, 50)):
        for name, radius in (("near", 4), ("far", 11)):
            places = [(y + radius * b, x + radius * a) for a, b in measurements.AROUND]
            places = [p for p in places if 0 <= p[0] < d.shape[0] and 0 <= p[1] < d.shape[1]]
            w = np.array([1 / (1 + ((int(view.grey[y, x]) - int(view.grey[p])) / 10) ** 2) for p in places])
            step = np.minimum(np.nan_to_num(np.abs([d[p] - d[y, x] for p in places]), nan=8), 8)
            agree, ok = step <= 1 + 0.06 * radius, np.array([passed[p] for p in places])
            assert found[f"{name}_agree"][y, x] == pytest.approx((w * agree).sum() / (w.sum() + 0.01), rel=1e-4)
            off = (w * ok * np.maximum(step - 0.06 * radius, 0)).sum() / ((w * ok).sum() + 0.05)
            assert found[f"{name}_off"][y, x] == pytest.approx(off, rel=1e-4, abs=1e-6)


def test_windows_are_means_and_strips_change_nothing(view):
    whole = measured(view)
    outside = whole["outside within 2 px"]
    d, width = view.disparity, view.disparity.shape[1]
    at = np.where(np.isfinite(d), np.floor(np.arange(width) - np.nan_to_num(d) + 0.5), -1).astype(int)
    there = (at >= 0) & np.take_along_axis(view.other_inside, np.clip(at, 0, width - 1), axis=1)
    for y, x in ((10, 10), (12, 20), (40, 15), (30, 60)):
        assert outside[y, x] == pytest.approx(1 - there[y - 2 : y + 3, x - 2 : x + 3].mean(), abs=1e-6)
    again = measurements.Measured(view)  # which keeps the rows of the strip before
    for rows in ((0, 5), (5, 31), (31, 48)):
        parts = [measured(view, rows), dict(zip(measurements.NAMES, again.strip(*rows), strict=True))]
        for name in measurements.NAMES:
            assert all(np.array_equal(p[name], whole[name][slice(*rows)], equal_nan=True) for p in parts), name


def test_the_network_is_two_rectified_layers():
    rng = np.random.default_rng(1)
    network = confidence.load_network("planes")
    values = rng.normal(network.mean, 2 / network.scale, (300, len(network.mean))).astype(np.float32)
    x = np.clip((values - network.mean) * network.scale, -6, 6).astype(float)
    for w, b in ((network.w1, network.b1), (network.w2, network.b2)):
        x = np.maximum(x @ w + b, 0)
    out = np.empty((2, 300), np.float32)
    confidence.apply_network(network, np.ascontiguousarray(values.T), out)
    assert np.allclose(out.T, x @ network.w3 + network.b3, rtol=1e-3, atol=1e-3)
    assert len(network.mean) == len(measurements.NAMES)


def identity(height, width):
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)


@pytest.mark.parametrize("method", ["planes", "sgm"])
def test_a_mirrored_pair_has_mirrored_probabilities_whatever_the_threads(method, sphere_pair):
    """Mirrored, and so swapped in the order of depth; with one thread and with three."""
    left, right = (cv2.resize(p.pixels, (120, 90)) for p in (sphere_pair.left, sphere_pair.right))
    grid = identity(90, 120)
    mirrored = [np.ascontiguousarray(p[:, ::-1]) for p in (left, right)]
    maps = compute_disparities(RectifiedPair(left, right, grid, grid), (0, 24), method=method, threads=1)
    pair = RectifiedPair(*mirrored, grid, grid, swapped=True)
    others = compute_disparities(pair, (-24, 0), method=method, threads=3)
    for one, two in zip(maps, others, strict=True):
        assert np.array_equal(one.confidence[:, ::-1], two.confidence)
        assert np.ptp(one.confidence) > 0.5


@pytest.mark.parametrize("scene, noise", [("still_life", 2.0), ("bars", 1.0)])
def test_calibrated_on_a_scene_that_was_not_trained(scene, noise):
    """Of the kept pixels, in thirds by their probability, at most 6 % fewer are right than predicted, and 8 % more."""
    pair = synthetic.render(scene, size=(320, 240), pose="rectified", noise=noise, supersample=2, seed=5)
    truth, grid = pair.disparity_left, identity(240, 320)
    d_range = 0, float(np.ceil(np.nanmax(truth))) + 4
    left, _ = compute_disparities(RectifiedPair(pair.left.pixels, pair.right.pixels, grid, grid), d_range)
    known = np.isfinite(left.disparity)
    p, right = left.confidence[known], np.abs(left.disparity - truth)[known] < 1
    for part in np.array_split(np.argsort(p, kind="stable"), 3):
        assert -0.06 < right[part].mean() - p[part].mean() < 0.08
    surest = np.argsort(p, kind="stable")[len(p) // 10 :]
    assert (~right[surest]).mean() < 0.6 * (~right).mean()  # the tenth of least probability: over 4 of 10 wrong ones


def test_the_card_names_the_weights_that_are_shipped():
    content = confidence.WEIGHTS.read_bytes()
    page = (ROOT / "docs/decisions/confidence.md").read_text(encoding="utf-8")
    assert re.findall(r"[0-9a-f]{64}", page) == [hashlib.sha256(content).hexdigest()]
    assert len(content) < 100_000


def test_training_repeats_bit_for_bit(monkeypatch):
    """On one small pair, a hundred pixels of each view."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import train_confidence

    tables = [train_confidence.collect([1], None, 600, scale=0.2) for _ in range(2)]
    once, again = (train_confidence.train(t, 2) for t in tables)
    assert once.keys() == again.keys() and all(np.array_equal(once[k], again[k]) for k in once)
    untrained = train_confidence.train(tables[0], 0)
    assert not np.array_equal(once["planes.w1"], untrained["planes.w1"])


def test_the_census_is_that_of_the_matchers(view):
    codes = np.empty(view.grey.shape, np.uint64)
    picture = np.repeat(view.grey[..., None], 3, -1)
    census(brightness(picture), *CENSUS[measurements.WINDOW], 0, len(codes), codes)
    maps = measurements.match_maps(
        (picture, picture), (view.disparity,) * 2, None, None, view.supported, view.supported
    )
    found = [measurements.census_rows(maps.brightness, *rows) for rows in ((0, 1), (1, 40), (40, 48))]
    assert np.array_equal(np.concatenate(found), codes) and np.array_equal(maps.grey, grey(picture))
