"""Grey pictures of reduced size: against averages by hand."""

import numpy as np
import pytest

from stereo3d.images import reduced_grey, smooth, to_grey
from stereo3d.records import Photo


def test_grey_is_the_weighted_sum_of_the_channels():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    expected = pixels @ [0.299, 0.587, 0.114]
    assert np.abs(to_grey(pixels) - expected).max() <= 0.51


def test_a_whole_divisor_averages_blocks():
    grey = np.random.default_rng(1).integers(0, 256, (60, 90), dtype=np.uint8)
    small, scale = reduced_grey(Photo(np.repeat(grey[..., None], 3, 2)), 30)
    assert small.shape == (20, 30) and np.array_equal(scale, [1 / 3, 1 / 3])
    assert np.abs(small - grey.reshape(20, 3, 30, 3).mean((1, 3))).max() <= 0.51


@pytest.mark.parametrize("max_size", [90, 1000])
def test_a_photo_within_the_limit_keeps_its_size(max_size):
    grey = np.random.default_rng(2).integers(0, 256, (60, 90), dtype=np.uint8)
    same, scale = reduced_grey(Photo(np.repeat(grey[..., None], 3, 2)), max_size)
    assert np.array_equal(same, grey) and np.array_equal(scale, [1, 1])


def test_the_scale_counts_whole_pixels():
    small, scale = reduced_grey(Photo(np.zeros((67, 100, 3), np.uint8)), 33)
    assert small.shape == (22, 33) and np.allclose(scale, [33 / 100, 22 / 67], rtol=1e-15)


def test_smoothing_keeps_the_mean_and_spreads_a_point_by_the_gaussian():
    grey = np.zeros((21, 21), np.uint8)
    grey[10, 10] = 200
    blurred = smooth(grey)
    assert blurred.dtype == np.float32 and blurred.sum() == pytest.approx(200, rel=1e-5)
    offset = np.arange(21) - 10.0
    assert (blurred.sum(0) * offset**2).sum() / 200 == pytest.approx(0.7**2, rel=0.1)
