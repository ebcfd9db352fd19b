"""compute_disparity and every matcher of MATCHERS against truth, exact symmetries, and bad input."""

import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from examples import tries
from hypothesis import given, settings
from hypothesis import strategies as st

import stereo3d
from stereo3d.disparity import (
    MATCHERS,
    add_steep_planes,
    compute_disparities,
    compute_disparity,
    fill_unknown,
    find_steep_planes,
    flip_copy,
    methods,
    widen_range,
)
from stereo3d.disparity import steep as steep_module
from stereo3d.errors import StereoError
from stereo3d.evaluation.disparity import disparity_scores
from stereo3d.records import DisparityMap, RectifiedPair

METHODS = sorted(MATCHERS)
NAN = np.float32(np.nan)


def pair_of(left, right, swapped=False) -> RectifiedPair:
    height, width = left.shape[:2]
    identity = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    return RectifiedPair(left, right, identity, identity.copy(), swapped=swapped)


def texture(height, width, seed=0, margin=0):
    """Smooth random colours on a grey ground, `margin` columns of which stay free on either side."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(0, 1, (height, width, 3)), ksize=(0, 0), sigmaX=1.5)
    picture = np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)
    picture[:, :margin] = picture[:, width - margin :] = 128
    return picture


def flat_shift(d, height=40, width=120, margin=40, seed=0):
    """A pair with x_right = x_left - d everywhere, on ground that looks the same beyond the border."""
    left = texture(height, width, seed, margin)
    return left, np.roll(left, -d, axis=1)


def code_of(*args, **kwargs):
    with pytest.raises(StereoError) as caught:
        compute_disparity(*args, **kwargs)
    return caught.value


# scene -> method -> most that may be wrong. Of the pixels that both pictures see: bad-1 dense %, least coverage kept %,
# bad-1 kept %, median error kept px. The scenes differ in occlusion: few (sphere), many (slanted), thin bars.
TOLERANCE = {
    "slanted": {
        "block": (6, 88, 4, 0.10),
        "sgbm": (4, 95, 2.5, 0.15),
        "sgm": (2, 97, 1, 0.04),
        "planes_fast": (1, 97, 0.5, 0.04),
        "planes": (1, 97, 0.5, 0.04),
        "planes_full": (1, 97, 0.5, 0.04),
    },
    "sphere": {
        "block": (3, 90, 2, 0.10),
        "sgbm": (2, 97, 1.5, 0.15),
        "sgm": (1.5, 97, 1, 0.04),
        "planes_fast": (1, 97, 0.5, 0.04),
        "planes": (1, 97, 0.5, 0.04),
        "planes_full": (1, 97, 0.5, 0.04),
    },
    "bars": {
        "block": (18, 70, 12, 0.15),
        "sgbm": (12, 82, 7, 0.10),
        "sgm": (8, 86, 4, 0.06),
        "planes_fast": (5, 92, 4.5, 0.06),
        "planes": (5, 92, 4.5, 0.06),
        "planes_full": (5, 92, 4.5, 0.06),
    },
    "swapped": {
        "block": (6, 80, 4, 0.10),
        "sgbm": (5, 90, 4, 0.15),
        "sgm": (4, 90, 2, 0.04),
        "planes_fast": (2, 94, 1, 0.04),
        "planes": (2, 94, 1, 0.04),
        "planes_full": (2, 94, 1, 0.04),
    },
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scene", TOLERANCE)
def test_truth(scene, method, request):
    truth = request.getfixturevalue(f"{scene}_pair")
    d_true, seen = truth.disparity_left, truth.visible1
    pair = pair_of(truth.left.pixels, truth.right.pixels, swapped=scene == "swapped")
    lo, hi = float(d_true.min()) - 2.3, float(d_true.max()) + 2.6
    dense, _ = compute_disparity(pair, (lo, hi), method=method, dense=True)
    kept, confidence = compute_disparity(pair, (lo, hi), method=method)
    bad_dense, coverage, bad_kept, median = TOLERANCE[scene][method]

    assert np.isfinite(dense).all()
    known = np.isfinite(kept)
    for d in (dense, kept[known]):
        assert lo - 1e-4 <= d.min() and d.max() <= hi + 1e-4
    assert confidence.dtype == kept.dtype == np.float32
    assert (confidence[~known] == 0).all() and (confidence[known] >= 0).all() and confidence.max() <= 1
    np.testing.assert_array_equal(dense[known], kept[known])

    assert disparity_scores(dense, d_true, seen)["nonocc"]["bad_1"] <= bad_dense
    scores = disparity_scores(kept, d_true, seen)["nonocc"]
    assert scores["coverage"] >= coverage
    assert scores["bad_1_kept"] <= bad_kept
    error = np.abs(kept - d_true)[known & seen]
    assert np.median(error) <= median
    confident = confidence[known & seen] >= np.median(confidence[known & seen])
    assert np.mean(error[confident] > 1) <= np.mean(error > 1)  # the half of higher confidence is no worse than all


def test_occluded_pixels_are_mostly_not_kept(slanted_pair):
    """What the right camera does not see has no match: the left-right test finds it."""
    pair = pair_of(slanted_pair.left.pixels, slanted_pair.right.pixels)
    kept, _ = compute_disparity(pair, (8, 42))
    hidden = ~slanted_pair.visible1
    wrong = np.abs(kept - slanted_pair.disparity_left) > 1  # False where unknown
    assert hidden.mean() > 0.05
    assert wrong[hidden].mean() < 0.15


def test_refinement_sharpens_a_slanted_surface(slanted_pair):
    """Sub-pixel error against truth with and without the fit to surface and pictures: less than half."""
    pair = pair_of(slanted_pair.left.pixels, slanted_pair.right.pixels)
    found = [compute_disparity(pair, (8, 42), method="sgm", refine=radius)[0] for radius in (0, 2)]
    rough, fine = (np.abs(d - slanted_pair.disparity_left)[slanted_pair.visible1] for d in found)
    assert np.nanmedian(fine) < 0.5 * np.nanmedian(rough)


@pytest.mark.parametrize("cost", ["sad", "ssd", "zncc", "census"])
def test_block_costs(slanted_pair, cost):
    """All costs find the truth; with the right picture darker, only correlation and census do."""
    left, right, truth = slanted_pair.left.pixels, slanted_pair.right.pixels, slanted_pair.disparity_left
    for gain, works in ((1.0, True), (0.6, cost in ("zncc", "census"))):
        kept, _ = compute_disparity(pair_of(left, (right * gain).astype(np.uint8)), (8, 42), method="block", cost=cost)
        right_share = np.mean(np.abs(kept - truth)[slanted_pair.visible1] <= 1)
        assert right_share > 0.85 if works else right_share < 0.7


def exact_shifts(steps: int, roughness: float, blur: float, height=100, width=300):
    """Pictures (H,W,3) u8 of one texture moved by k / steps px, k = 0 .. steps / 2, as a sensor sees them.

    Random with amplitude 1 / f^roughness, behind a lens that blurs by `blur` px, over pixels that gather light over
    their whole area; 16 samples to a pixel along the row, 4 down. All by the Fourier transform, so shifts are exact.
    """
    rng = np.random.default_rng(1)
    down, along = 4, 16
    fy, fx = np.fft.fftfreq(height * down, 1 / down)[:, None], np.fft.rfftfreq(width * along, 1 / along)[None]
    f = np.hypot(fx, fy)
    spectrum = np.fft.rfft2(rng.normal(size=(height * down, width * along)))
    spectrum *= np.maximum(f, 1 / 64) ** -roughness * np.exp(-2 * (np.pi * blur * f) ** 2) * np.sinc(fx) * np.sinc(fy)
    shape = height * down, width * along
    moved = [
        np.fft.irfft2(spectrum * np.exp(2j * np.pi * fx * k / steps), s=shape)[::down, ::along]
        for k in range(steps // 2 + 1)
    ]
    grey = 128 + 45 * np.array(moved) / np.std(moved[0])
    return [np.repeat(p[..., None], 3, 2) for p in np.clip(np.rint(grey), 0, 255).astype(np.uint8)]


@pytest.mark.parametrize("cost", ["sad", "ssd", "zncc", "census"])
def test_bias(cost):
    """Pixel locking, before and after: the mean error over shifts of 0 .. 1/2 px, for three kinds of texture."""
    before, after = [], []
    for roughness, blur in ((0.0, 0.6), (1.0, 0.3), (1.0, 0.6)):
        left, *moved = exact_shifts(8, roughness, blur)
        for k, right in enumerate(moved[:-1], 1):  # 1/8, 2/8, 3/8
            for unbiased, errors in ((False, before), (True, after)):
                found = MATCHERS["block"](left, right, -4, 4, cost=cost, unbiased=unbiased)
                errors += [np.nanmean(d[8:-8, 12:-12]) - k / 8 for d in (found.left, found.right)]
    before, after = (np.sqrt(np.mean(np.square(e))) for e in (before, after))
    assert before > 0.02  # there is something to remove: it draws to whole disparities
    assert after < 0.018 and after < 0.6 * before, (before, after)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [-17, -5, 3, 12])
def test_moving_the_right_picture_moves_the_disparity(method, k):
    """right(x - k): d - k, so no range sign is special. The picture's ground hides the borders."""
    left, right = flat_shift(6, width=160, margin=50)
    here, confidence = compute_disparity(pair_of(left, right), (1, 12), method=method)
    there, moved = compute_disparity(pair_of(left, np.roll(right, k, axis=1)), (1 - k, 12 - k), method=method)
    inside = slice(52, -52)
    assert np.mean(np.isfinite(here[:, inside])) > 0.9
    rounding = 0.01 if method.startswith("planes") else 1e-5  # a x + b y + c in 32 bits, and what comes of that
    np.testing.assert_allclose(there[:, inside] + k, here[:, inside], atol=rounding)
    np.testing.assert_allclose(moved[:, inside], confidence[:, inside], atol=5e-3)
    assert np.nanmedian(np.abs(here[:, inside] - 6)) < 0.05


@settings(max_examples=tries(15), deadline=None)
@given(d=st.integers(-20, 20), below=st.integers(1, 9), above=st.integers(1, 9), seed=st.integers(0, 99))
def test_any_range_that_holds_the_shift_finds_it(d, below, above, seed):
    left, right = flat_shift(d, height=24, width=110, seed=seed)
    for method in METHODS:
        kept, _ = compute_disparity(pair_of(left, right), (d - below, d + above), method=method, speckle=0)
        inside = kept[4:-4, 46:-46]
        assert np.mean(np.abs(inside - d) < 0.2) > 0.9
        assert np.nanmin(kept) >= d - below and np.nanmax(kept) <= d + above


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dense", [False, True])
def test_swapped_is_the_mirror_image(slanted_pair, method, dense):
    left, right = slanted_pair.left.pixels[:120], slanted_pair.right.pixels[:120]
    d, c = compute_disparity(pair_of(left, right), (8, 42), method=method, dense=dense)
    mirror = pair_of(flip_copy(left), flip_copy(right), swapped=True)
    d_mirror, c_mirror = compute_disparity(mirror, (-42, -8), method=method, dense=dense)
    np.testing.assert_array_equal(-d_mirror[:, ::-1], d)
    np.testing.assert_array_equal(c_mirror[:, ::-1], c)


@pytest.mark.parametrize("method", ["block", "sgm", "planes"])
def test_upside_down(slanted_pair, method):
    """Rows reversed: the same map, except for ties, random planes and sums of floats, which depend on their order."""
    left, right = slanted_pair.left.pixels[:90], slanted_pair.right.pixels[:90]
    truth = slanted_pair.disparity_left[:90]
    shown = slanted_pair.visible1[:90] & (np.arange(truth.shape[1]) >= truth)
    here, _ = compute_disparities(pair_of(left, right), (8, 42), method=method, dense=True)
    over, _ = compute_disparities(pair_of(left[::-1].copy(), right[::-1].copy()), (8, 42), method=method, dense=True)
    difference = np.abs(over.disparity[::-1] - here.disparity)
    if method == "planes":
        assert np.mean(difference[shown] < 0.1) > 0.999
        assert np.mean(difference[~shown] < 1) > 0.95  # one picture alone shows these: surfaces are continued
        for d in (here.disparity, over.disparity[::-1]):
            assert np.mean(np.abs(d - truth)[~shown] < 1) > 0.65
    else:
        assert np.mean(difference < 1e-3) > 0.999


@settings(max_examples=tries(8), deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(2, 90),
    lo=st.integers(-60, 60),
    span=st.integers(1, 70),
    seed=st.integers(0, 99),
    holes=st.booleans(),
    swapped=st.booleans(),
)
def test_any_shape_and_range(height, width, lo, span, seed, holes, swapped):
    """Dense: a value within the range wherever the picture shows anything; kept: within the range or NaN."""
    lo = max(1 - width, min(lo, width - 1))
    hi = min(lo + min(span, width), width)
    rng = np.random.default_rng(seed)
    left = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    pair = pair_of(left, np.roll(left, -(lo + hi) // 2, axis=1), swapped)
    if holes:
        pair.map1[rng.random((height, width)) < 0.1] = np.nan
        pair.map2[:, : width // 5] = np.nan
    seen = np.isfinite(pair.map1).all(-1), np.isfinite(pair.map2).all(-1)
    for method in METHODS:
        for dense in (True, False):
            try:
                maps = compute_disparities(pair, (lo, hi), method=method, dense=dense, speckle=0)
            except StereoError as error:
                assert error.code == "no_disparity" and dense, (method, error)
                continue
            for found, there in zip(maps, seen, strict=True):
                d, known = found.disparity, np.isfinite(found.disparity)
                assert d.shape == (height, width)
                assert (d[known] >= lo).all() and (d[known] <= hi).all(), method
                assert not known[~there].any(), method
                if dense:
                    assert known[there].all(), method
                assert ((found.confidence >= 0) & (found.confidence <= 1)).all()


@pytest.mark.parametrize("method", METHODS)
def test_one_row(method):
    """Pictures of a single row: the shift is found all the same, by most draws of the texture."""
    near = []
    for seed in range(9):
        left, right = flat_shift(6, height=1, width=200, margin=60, seed=seed)
        d, _ = compute_disparity(pair_of(left, right), (0, 12), method=method, speckle=0, dense=True)
        assert d.shape == (1, 200)
        near.append(np.mean(np.abs(d[:, 66:-66] - 6) < 0.3))
    assert np.median(near) > 0.8, near


def test_another_exposure_and_noise_cost_little(slanted_pair):
    """gain 1.2, offset 10, sigma 3 on the right picture: planes err by less than a quarter more."""
    left, right, truth = slanted_pair.left.pixels, slanted_pair.right.pixels, slanted_pair.disparity_left
    noise = np.random.default_rng(0).normal(size=right.shape)
    changed = np.clip(np.rint(1.2 * right + 10 + 3 * noise), 0, 255).astype(np.uint8)
    bad = []
    for picture in (right, changed):
        d, _ = compute_disparity(pair_of(left, picture), (8, 42), dense=True)
        bad.append(disparity_scores(d, truth, slanted_pair.visible1)["all"]["bad_1"])
    assert bad[1] < 1.25 * bad[0] + 0.1, bad


@pytest.mark.parametrize("method", METHODS)
def test_threads_do_not_change_the_result(slanted_pair, method):
    pair = pair_of(slanted_pair.left.pixels[:101], slanted_pair.right.pixels[:101])
    first = compute_disparity(pair, (8, 42), method=method, threads=1)
    for threads in (2, 5):
        for a, b in zip(first, compute_disparity(pair, (8, 42), method=method, threads=threads), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("method", METHODS)
def test_flat_pictures_match_nothing(method):
    grey = np.full((30, 60, 3), 90, np.uint8)
    for right in (grey, texture(30, 60)):
        for d_range in ((0, 16), (0, 1), (-7, 3)):
            d, c = compute_disparity(pair_of(grey, right), d_range, method=method)
            assert np.isnan(d).all() and (c == 0).all()
    assert code_of(pair_of(grey, grey), (0, 16), method=method, dense=True).code == "no_disparity"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("d_range", [(5, 6), (5.2, 5.9), (6, 7), (-1e-3, 6.5)])
def test_narrow_ranges(method, d_range):
    left, right = flat_shift(6)
    d, _ = compute_disparity(pair_of(left, right), d_range, method=method)
    inside = d[4:-4, 48:-48]
    assert np.isfinite(inside).mean() > 0.9
    assert np.nanmin(d) >= np.float32(d_range[0]) and np.nanmax(d) <= np.float32(d_range[1])
    assert np.nanmedian(np.abs(inside - np.clip(6, *d_range))) < 0.1


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_known_outside_the_photos(method):
    """map1 NaN: unknown even when dense. map2 NaN, or a match beyond the border: unknown, filled when dense; a matcher
    by planes may continue its surroundings, correctly for most draws of the texture."""
    continued, filled = [], []
    for seed in range(7):
        left, right = flat_shift(10, margin=0, height=50, seed=seed)
        pair = pair_of(left, right)
        map1, map2 = pair.map1.copy(), pair.map2.copy()
        map1[:10] = np.nan
        map2[20:30, 40:80] = np.nan
        pair = dataclasses.replace(pair, map1=map1, map2=map2)
        d, c = compute_disparity(pair, (5, 15), method=method)
        dense, _ = compute_disparity(pair, (5, 15), method=method, dense=True)
        assert np.isnan(d[:10]).all() and (c[:10] == 0).all()
        for alone in (d[20:30, 51:89], d[10:, :5]):  # the first has its match, 10 px to the left, in the hole of map2
            assert np.isnan(alone).all() or method.startswith("planes")
            continued.append(np.abs(alone - 10).max(initial=0, where=np.isfinite(alone)))
        assert np.mean(np.isfinite(d[30:45, 12:-6])) > 0.95
        assert np.isnan(dense[:10]).all() and np.isfinite(dense[10:]).all()
        filled.append(np.abs(dense[30:45] - 10).max())  # the blind border is continued from its neighbours
    assert np.median(continued[::2]) < 0.1 and np.median(continued[1::2]) < 0.1, continued
    assert np.median(filled) <= 1.5, filled


def test_dense_fills_from_the_background():
    """A square at d = 12 before a wall at d = 4: the strip it hides gets the wall's disparity, or stays unknown."""
    shares = []
    for seed in range(8):
        wall, square = texture(60, 160, 10 * seed + 1), texture(24, 40, 10 * seed + 2)
        left, right = wall.copy(), np.roll(wall, -4, axis=1)
        left[18:42, 80:120], right[18:42, 68:108] = square, square
        pair = pair_of(left, right)
        kept, _ = compute_disparity(pair, (0, 20), tolerance=0.5)
        dense, _ = compute_disparity(pair, (0, 20), tolerance=0.5, dense=True)
        hidden = (slice(22, 38), slice(73, 79))
        known = np.isfinite(kept[hidden])
        shares.append(known.mean())
        assert not (np.abs(kept[hidden] - 4)[known] > 0.5).any()
        assert np.mean(np.abs(dense[hidden] - 4) < 0.5) > 0.95
        assert np.mean(np.abs(dense[22:38, 84:116] - 12) < 0.5) > 0.98
    assert np.mean(shares) < 0.5  # no match confirms them


@pytest.mark.parametrize("method", ["planes_fast", "planes", "planes_full"])
def test_a_sky_is_not_kept(method):
    """Above textured ground a smooth sky with the noise of two cameras: no texture supports a disparity."""
    left, right = flat_shift(8, height=160, width=240, margin=0)
    rng = np.random.default_rng(3)
    for picture in (left, right):
        sky = 200 + np.linspace(0, 20, 90)[:, None, None] + rng.normal(0, 1.5, (90, 240, 3))
        picture[:90] = np.clip(np.rint(sky), 0, 255)
    d, _ = compute_disparity(pair_of(left, right), (0, 24), method=method)
    dense, _ = compute_disparity(pair_of(left, right), (0, 24), method=method, dense=True)
    one, two = compute_disparities(pair_of(left, right), (0, 24), method=method)
    assert np.isfinite(d[:75]).mean() < 0.1
    assert all(np.isinf(m.sigma[:75][np.isnan(m.disparity[:75])]).mean() > 0.9 for m in (one, two))
    assert all(np.isfinite(m.sigma[np.isfinite(m.disparity)]).all() for m in (one, two))
    assert np.mean(np.abs(d[95:, 30:-12] - 8) < 0.5) > 0.95
    assert np.isfinite(dense).all()


@pytest.mark.parametrize("mode,number", [("sgbm", 0), ("hh", 1), ("3way", 2), ("hh4", 3)])
@pytest.mark.parametrize("lo,hi", [(8, 42), (-20, 11), (-40, -5)])
def test_sgbm_is_opencv(slanted_pair, mode, number, lo, hi):
    """The wrapper against cv2 called raw on a widened picture, and against cv2 on the picture as it is."""
    left, right = (p.pixels[60:140] for p in (slanted_pair.left, slanted_pair.right))
    if hi < 40:  # the same pictures as a pair with negative disparities: turned round, they change places
        left, right = (right, left) if hi < 0 else (left, np.roll(right, 30, axis=1))
    count = {(8, 42): 48, (-20, 11): 32, (-40, -5): 48}[lo, hi]
    opencv = cv2.StereoSGBM.create(
        minDisparity=lo,
        numDisparities=count,
        blockSize=5,
        P1=600,
        P2=2400,
        preFilterCap=63,
        uniquenessRatio=0,
        disp12MaxDiff=-1,
        mode=number,
    )
    wide = 96
    raw = [
        cv2.copyMakeBorder(
            p, top=0, bottom=0, left=max(lo + count, 0), right=max(-lo, 0), borderType=cv2.BORDER_REPLICATE
        )
        for p in (left, right)
    ]
    answer = opencv.compute(*raw)[:, max(lo + count, 0) :][:, : left.shape[1]] / 16.0
    answer[(answer < lo) | (answer > hi)] = np.nan
    ours = MATCHERS["sgbm"](left, right, lo, hi, mode=mode).left
    assert ours.shape == left.shape[:2]
    np.testing.assert_array_equal(ours, answer.astype(np.float32))
    lost = {
        (8, 42): (np.s_[:, 40:48], np.s_[:, -8:]),
        (-20, 11): (np.s_[:, 12:20], np.s_[:, -28:-20]),
        (-40, -5): (np.s_[:, :8], np.s_[:, -48:-40]),
    }[lo, hi]
    for border in lost:  # within the columns that OpenCV alone leaves blank, as far as matches lie in the picture
        assert np.isfinite(ours[border]).mean() > 0.5
    plain = opencv.compute(left, right) / 16.0
    both = np.isfinite(ours) & (plain >= lo) & (plain <= hi)
    both[:, :wide] = both[:, -wide:] = False
    assert np.mean(np.abs(plain - ours)[both] < 0.1) > 0.9


def test_right_map_is_the_left_map_of_the_mirrored_pair():
    """What sgm and block read from the diagonals of one volume agrees with matching the other way round."""
    left, right = flat_shift(6, width=160, margin=40)
    for method in ("sgm", "block"):
        d_right = MATCHERS[method](left, right, 0, 12).right
        again = MATCHERS[method](flip_copy(right), flip_copy(left), 0, 12).left
        agree = np.abs(d_right - flip_copy(again))[:, 50:-50] <= 0.1
        assert agree.mean() > 0.97


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("swapped", [False, True])
def test_both_maps(slanted_pair, swapped_pair, method, swapped):
    """The right picture's map against its own truth, and the left one is what `compute_disparity` returns."""
    truth = swapped_pair if swapped else slanted_pair
    pair = pair_of(truth.left.pixels, truth.right.pixels, swapped=swapped)
    d_true = truth.disparity_left
    d_range = float(d_true.min()) - 2, float(d_true.max()) + 2
    left, right = compute_disparities(pair, d_range, method=method)
    for a, b in zip((left.disparity, left.confidence), compute_disparity(pair, d_range, method=method), strict=True):
        np.testing.assert_array_equal(a, b)
    for found, d, seen in ((left, d_true, truth.visible1), (right, truth.disparity_right, truth.visible2)):
        known = np.isfinite(found.disparity)
        assert np.mean(known[seen]) > 0.75
        error = np.abs(found.disparity - d)[known & seen]
        assert np.median(error) < 0.2 and np.mean(error > 1) < 0.05
        assert (np.isfinite(found.sigma) == known).all() and (found.sigma[known] > 0).all()
        assert (found.confidence[~known] == 0).all() and found.confidence.max() <= 1


def test_a_matcher_of_a_few_lines(monkeypatch, slanted_pair):
    """Adding one is a function and a line of the dict: only a left map, an option of its own."""

    def nearest_column(left, right, lo, hi, *, size: int = 7):
        cost = np.full((hi - lo + 1, *left.shape[:2]), np.inf, np.float32)
        for d in range(lo, hi + 1):  # lo > 0 here
            difference = np.abs(left[:, d:].astype(np.float32) - right[:, : left.shape[1] - d]).sum(-1)
            cost[d - lo, :, d:] = cv2.blur(difference, ksize=(size, size))
        return (lo + cost.argmin(0)).astype(np.float32)

    monkeypatch.setitem(MATCHERS, "simple", nearest_column)
    pair = pair_of(slanted_pair.left.pixels, slanted_pair.right.pixels)
    d, c = compute_disparity(pair, (8, 42), method="simple", size=9)
    scores = disparity_scores(d, slanted_pair.disparity_left, slanted_pair.visible1)["nonocc"]
    assert scores["coverage"] > 70 and scores["bad_1_kept"] < 10
    assert ((c > 0) == np.isfinite(d)).all()  # from the agreement of both maps
    assert code_of(pair, (8, 42), method="simple", window=9).code == "bad_option"


def test_options_are_plain_and_documented():
    """The command line reads them from the signatures; two are no options but what `compute_disparities` knows."""
    internal = "seen", "infinity"
    for name, matcher in MATCHERS.items():
        parameters = list(inspect.signature(matcher).parameters.values())
        assert [p.name for p in parameters[:4]] == ["left", "right", "lo", "hi"]
        for p in parameters[4:]:
            assert p.kind is p.KEYWORD_ONLY and (type(p.default) in (int, float, str, bool) or p.name in internal)
            described = re.search(rf"\b{p.name}\b[^.]*:", matcher.__doc__)
            assert described or p.name in ("threads", *internal), (name, p.name)


@pytest.mark.parametrize(
    "d_range", [(5, 5), (9, 2), (0, np.inf), (np.nan, 4), (0, 61), (60, 70), (-99, -60), (-1e9, 1e9)]
)
def test_bad_ranges(d_range):
    error = code_of(pair_of(texture(30, 60), texture(30, 60)), d_range)
    assert error.code == "bad_range" and error.advice and "lo" in error.numbers


def test_widest_range():
    left, right = flat_shift(6)
    d, _ = compute_disparity(pair_of(left, right), (-60, 60), method="sgm")
    assert np.nanmedian(np.abs(d[:, 50:-50] - 6)) < 0.1


def test_sgbm_refuses_what_16_bits_cannot_hold():
    with pytest.raises(StereoError) as caught:
        MATCHERS["sgbm"](texture(8, 64), texture(8, 64), 2040, 2060)
    assert caught.value.code == "bad_range"


def test_memory_is_predicted_before_it_is_taken(monkeypatch):
    pair = pair_of(texture(100, 200), texture(100, 200))
    volume = 3 * 100 * 200 * 64
    monkeypatch.setattr("stereo3d.resources.available_memory", lambda: volume)
    monkeypatch.setitem(MATCHERS, "sgm", lambda *a, **k: pytest.fail("the matcher was started"))
    error = code_of(pair, (0, 63), method="sgm")
    assert error.code == "memory" and error.numbers["needed"] > volume == error.numbers["available"]
    assert error.numbers["disparities"] == 64 and "--max-size" in error.advice


@pytest.mark.parametrize(
    "method,options,size",
    [
        ("sgm", {}, (600, 700, 160)),
        ("planes", {}, (600, 700, 160)),
        ("planes", {}, (1100, 900, 120)),  # starts at half the size
        ("planes_full", {}, (1100, 900, 60)),
        ("block", {}, (600, 700, 160)),
        ("block", {"cost": "zncc"}, (600, 700, 160)),
        ("sgbm", {}, (600, 700, 160)),
        ("sgbm", {"mode": "hh"}, (600, 700, 160)),
    ],
)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_prediction_holds(method, options, size):
    """The growth of the process, measured from outside, stays below the prediction and, for volumes, near it."""
    height, width, count = size
    script = f"""
import re, numpy as np
from stereo3d.disparity.methods import MATCHERS
rng = np.random.default_rng(0)
left = rng.integers(0, 256, ({height}, {width}, 3)).astype(np.uint8)
right = np.roll(left, -9, axis=1)
run = lambda n, c: MATCHERS[{method!r}](left[:n, :200], right[:n, :200], 0, c - 1, threads=2, **{options!r})
run(20, 16)
most = lambda: int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
open("/proc/self/clear_refs", "w").write("5")  # the high-water mark starts anew
before = most()
MATCHERS[{method!r}](left, right, 0, {count} - 1, threads=2, **{options!r})
print((most() - before) * 1024)
"""
    grown = int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
    predicted = methods.volume_bytes(method, height, width, count, **options)
    assert 0 < grown <= predicted
    if method == "sgm":
        assert predicted < 1.5 * grown


def test_wrong_names_and_values_are_refused():
    pair = pair_of(texture(20, 60), texture(20, 60))
    error = code_of(pair, (0, 8), method="elas")
    assert error.code == "unknown_method" and all(m in error.advice for m in MATCHERS)
    wrong = [
        ("sgm", {"window": "9x9"}),
        ("sgm", {"p1": 0}),
        ("sgm", {"p1": 10**6}),
        ("sgm", {"fall": 0.0}),
        ("sgm", {"P1": 3}),
        ("block", {"cost": "ncc"}),
        ("block", {"radius": 0}),
        ("block", {"radius": 500}),
        ("sgbm", {"mode": "bm"}),
        ("sgbm", {"block_size": 4}),
    ]
    for method, options in wrong:
        error = code_of(pair, (0, 8), method=method, **options)
        assert error.code == "bad_option" and error.advice, (method, options)


def test_wrong_shapes_are_refused():
    pair = pair_of(texture(20, 60), texture(20, 60))
    for broken in ({"left": pair.left[..., 0]}, {"right": pair.right[:10]}, {"map2": pair.map2[:10]}):
        with pytest.raises(ValueError, match="20"):
            compute_disparity(dataclasses.replace(pair, **broken), (0, 8))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 3), (5, 2)])
@pytest.mark.parametrize("method", METHODS)
def test_tiny_pictures(method, size):
    left = texture(20, 60)[: size[0], : size[1]].copy()
    d, c = compute_disparity(pair_of(left, left), (-0.5, 0.5), method=method)
    assert d.shape == c.shape == size


@pytest.mark.real_data
@pytest.mark.parametrize("scene", ["cones", "Cloth1"])
def test_sgm_is_better_than_opencv(shared_data, scene):
    """On real pairs with measured truth: fewer wrong pixels than OpenCV's matcher, dense and kept."""
    from stereo3d.evaluation.disparity import read_scene

    scene = read_scene(shared_data / "disparity" / scene)
    pair, count = pair_of(scene.left, scene.right), np.ceil(np.nanmax(scene.truth) / 16) * 16
    bad = {}
    for method in ("sgm", "sgbm"):
        dense, _ = compute_disparity(pair, (0, count - 1), method=method, dense=True)
        kept, _ = compute_disparity(pair, (0, count - 1), method=method)
        bad[method] = (
            disparity_scores(dense, scene.truth, scene.nonocc)["nonocc"]["bad_1"],
            disparity_scores(kept, scene.truth, scene.nonocc)["nonocc"]["bad_1_kept"],
        )
    assert bad["sgm"][0] < bad["sgbm"][0] and bad["sgm"][1] < bad["sgbm"][1]


@pytest.mark.parametrize("swapped", [False, True])
def test_the_range_widens_to_ground_without_features(swapped):
    """Ground whose disparity grows by a pixel every second row; the features' range is that of some middle rows."""
    rng = np.random.default_rng(3)
    rows, columns = 160, 320
    left = rng.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    true = -10 + np.arange(rows) // 2
    right = np.stack([np.roll(row, -d, axis=0) for row, d in zip(left, true, strict=True)])
    if swapped:
        left, right, true = right, left, -true
    pair = pair_of(left, right, swapped)
    middle = tuple(sorted((int(true[60]), int(true[100]))))
    lo, hi = widen_range(pair, middle)
    assert lo <= true.min() + 1 and hi >= true.max() - 1
    assert hi - lo < 2 * np.ptp(true)
    assert widen_range(pair, middle, widen=False) == middle
    assert widen_range(pair, (int(true.min()) - 5, int(true.max()) + 5)) == (true.min() - 5, true.max() + 5)
    other = dataclasses.replace(pair, right=rng.integers(0, 256, right.shape, dtype=np.uint8))
    assert widen_range(other, middle) == middle


def steep_ground(swapped=False, ceiling=False):
    """(pair, true disparity, seen by both): a wall, and ground before it whose disparity grows by 2.3 px a row."""
    rows, columns = 180, 320
    y = np.arange(rows)
    true = np.where(y < 100, 10, 10 + 2.3 * (y - 100))
    left = texture(rows, columns, seed=5)
    u = np.arange(columns, dtype=np.float32)
    maps = (u + true[:, None]).astype(np.float32), np.broadcast_to(y[:, None], (rows, columns)).astype(np.float32)
    right = cv2.remap(left, *maps, interpolation=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    if ceiling:
        left, right, true = (np.ascontiguousarray(a[::-1]) for a in (left, right, true))
    if swapped:  # seen in a mirror, with the nearer point to the right in the right picture
        left, right, true = flip_copy(left), flip_copy(right), -true
    at = u - true[:, None]
    return pair_of(left, right, swapped), true, (at >= 0) & (at < columns)


@pytest.mark.parametrize("method", ["planes", "sgm", "sgbm"])
@pytest.mark.parametrize("swapped,ceiling", [(False, False), (True, False), (False, True)])
def test_steep_ground_is_matched_upright(method, swapped, ceiling):
    pair, true, both = steep_ground(swapped, ceiling)
    steep = (np.abs(np.gradient(true)) > 2)[:, None] & both
    d_range = (int(true.min()) - 2, int(true.max()) + 2)
    maps = compute_disparities(pair, d_range, method=method)
    known = np.isfinite(maps[0].disparity)
    found = find_steep_planes(pair, known, d_range)
    (plane,) = found
    assert plane.slope == pytest.approx(np.sign(plane.slope) * 2.3, abs=0.02)
    assert np.sign(plane.slope) == (-1 if swapped != ceiling else 1)
    assert np.ptp(np.flatnonzero(steep.any(1))) < plane.last - plane.first < 130
    for before, after, flip in zip(
        maps, add_steep_planes(maps, pair, found, method=method), (False, True), strict=True
    ):
        if flip:  # the right picture's: its pixels see d of their own row too
            at = np.arange(pair.left.shape[1]) + true[:, None]
            where = (np.abs(np.gradient(true)) > 2)[:, None] & (at >= 0) & (at < pair.left.shape[1])
        else:
            where = steep
        off = np.abs(after.disparity - true[:, None])
        assert np.isfinite(before.disparity[where]).mean() < 0.6 < 0.9 < np.mean(off[where] < 1)
        assert np.nanmedian(off[where]) < 0.2
        level = (true == true[0 if not ceiling else -1])[:, None] & np.isfinite(before.disparity)
        assert np.mean(np.abs(after.disparity - true[:, None])[level] < 1) > 0.99
        unknown = ~np.isfinite(after.disparity)
        assert np.array_equal(after.confidence == 0, unknown) and np.array_equal(~np.isfinite(after.sigma), unknown)


def test_no_steep_plane_where_all_is_matched_or_none_is_wanted_or_there():
    pair, true, both = steep_ground()
    d_range = (int(true.min()) - 2, int(true.max()) + 2)
    nothing = np.zeros_like(both)
    assert len(find_steep_planes(pair, nothing, d_range)) == 1
    assert find_steep_planes(pair, ~nothing, d_range) == []
    assert find_steep_planes(pair, nothing, d_range, slants=False) == []
    rng = np.random.default_rng(1)
    other = dataclasses.replace(pair, right=rng.integers(0, 256, pair.right.shape, dtype=np.uint8))
    assert find_steep_planes(other, nothing, d_range) == []
    level = pair_of(*flat_shift(8, height=120, width=200, margin=0))
    assert find_steep_planes(level, np.zeros((120, 200), bool), (0, 16)) == []


def test_steep_ground_in_plain_numpy():
    """Rows shifted by linear interpolation of a ramp, whole rows moved, and both maps of the plane put back."""
    ramp = np.repeat((np.arange(40) * 4).astype(np.uint8)[None, :, None], 3, 2).repeat(5, 0)
    by = np.array([0.0, 2.0, 3.25, -1.5, 50.0])
    out = steep_module.shift_rows(ramp, by)
    for y, s in enumerate(by[:4]):  # cubic interpolation is exact on a ramp, away from its ends
        inside = slice(10, 30)
        np.testing.assert_array_equal(out[y, inside, 0], np.rint((np.arange(40) - s) * 4)[inside])
    assert (out[4] == 0).all()
    values = np.arange(10, dtype=np.float32).reshape(2, 5)
    np.testing.assert_array_equal(
        steep_module.move_rows(values, np.array([2, -1])), [[np.nan, np.nan, 0, 1, 2], [6, 7, 8, 9, np.nan]]
    )
    pair, true, _ = steep_ground()
    plane = steep_module.SteepPlane(2.3, 10 - 2.3 * 100, 100, 180, -4, 4)
    for found, columns in zip(steep_module.match_steep_plane(pair, plane, method="sgm"), (1, -1), strict=True):
        assert np.isnan(found.disparity[:100]).all() and (found.confidence[:100] == 0).all()
        known = np.isfinite(found.disparity[105:175, 20:-20])
        off = np.abs(found.disparity[105:175, 20:-20] - true[105:175, None])[known]
        assert known.mean() > 0.4 and np.median(off) < 0.1, columns


def test_the_estimate_of_higher_confidence_by_hand():
    maps = [
        DisparityMap(*(np.float32([row]) for row in rows))
        for rows in (
            ([1, np.nan, 3], [0.9, 0, 0.5], [0.1, np.nan, 0.2]),
            ([2, 5, np.nan], [0.8, 0.1, 0], [0.3, 0.4, np.nan]),
        )
    ]
    better = steep_module.higher_confidence(*maps)
    np.testing.assert_array_equal(better.disparity, [[1, 5, 3]])
    np.testing.assert_array_equal(better.confidence, np.float32([[0.9, 0.1, 0.5]]))
    np.testing.assert_array_equal(better.sigma, np.float32([[0.1, 0.4, 0.2]]))


@pytest.mark.parametrize("sign", [1, -1])
def test_unknown_pixels_take_the_farther_side(sign):
    pair = pair_of(texture(2, 6), texture(2, 6), swapped=sign < 0)
    pair.map1[1, 5] = np.nan
    known = sign * np.float32([[9, NAN, NAN, 4, NAN, NAN], [NAN] * 6])
    want = sign * np.float32([[9, 4, 4, 4, 4, 4], [9, 4, 4, 4, 4, NAN]])
    np.testing.assert_array_equal(fill_unknown(known, pair), want)


def test_the_default_matcher_and_its_numbers_are_defined_once():
    folder = Path(stereo3d.__file__).parent
    hits = [
        f"{path.relative_to(folder)}: {line.strip()}"
        for path in folder.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r'(?<!network)= ?"planes"', line) or re.search(r"\b21\.0\b.*\b12\.0\b|\bslope=21", line)
    ]
    assert hits == [
        'options.py: DEFAULT_MATCHER = "planes"  # the dense matcher of a run and of every stage that matches'
    ]
    energy, start = methods.plane_energy(0, 9)
    options = {n: p.default for n, p in inspect.signature(methods.planes).parameters.items()}
    assert (energy.slope, energy.limit) == (options["slope"], options["limit"])
    assert energy.jumps[0] == options["jump"] * (1 + options["contrast"]) and len(start) == 256
