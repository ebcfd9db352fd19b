"""Records refuse what cannot be: each as one StereoError with the numbers that are wrong and a remedy."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d import estimate_two_view, reconstruct, synthetic
from stereo3d.calibration import fit_rig
from stereo3d.errors import StereoError
from stereo3d.geometry import rotation_from_vector
from stereo3d.records import Camera, Matches, Photo, Rig, TwoView

SIZE = 640, 480
K = np.array([[500.0, 0, 319.5], [0, 510, 239.5], [0, 0, 1]])
CAMERA = Camera(K, SIZE)
PIXELS = np.zeros((4, 5, 3), np.uint8)
STEP = np.array([-1.0, 0, 0])


def refused(code: str, words: str, make, *args, **kwargs):
    with pytest.raises(StereoError, match=words) as caught:
        make(*args, **kwargs)
    assert caught.value.code == code and caught.value.advice


@pytest.mark.parametrize(
    "pixels, words",
    [
        (PIXELS[..., 0], "4 x 5 uint8"),
        (PIXELS.astype(float), "4 x 5 x 3 float64"),
        (PIXELS[:0], "0 x 5 x 3"),
        (np.zeros((4, 5, 4), np.uint8), "4 x 5 x 4 uint8"),
        (None, "none object"),
    ],
)
def test_pixels_that_are_no_photo(pixels, words):
    refused("photo_unreadable", words, Photo, pixels)


@pytest.mark.parametrize(
    "K, words",
    [
        (K * [[-1], [1], [1]], "fx = -500, fy = 510"),
        (K * [[1], [0], [1]], "fy = 0"),
        (K * np.nan, "not finite"),
        (K[:2], r"shape \(2, 3\), needed is \(3, 3\)"),
        (K.T, "last row .* is .319.5, 239.5, 1."),
        (2 * K, "0, 0, 2"),
        ("wide", "no array of numbers"),
    ],
)
def test_a_camera_matrix_that_is_none(K, words):
    refused("bad_calibration", words, Camera, K, SIZE)
    if isinstance(K, np.ndarray):
        refused("bad_calibration", words, replace, CAMERA, K=K)


@pytest.mark.parametrize("dist, words", [([0.1, np.inf], "0.1, inf"), (np.ones(14), "14 distortion coefficients")])
def test_distortion_that_is_none(dist, words):
    refused("bad_calibration", words, Camera, K, SIZE, dist)


@pytest.mark.parametrize(
    "R, words",
    [
        (2 * np.eye(3), "off the identity by 3 .* determinant is 8"),
        (np.diag([1.0, 1, -1]), "determinant is -1"),
        (np.zeros(3), r"shape \(3,\)"),
        (np.eye(3) * np.nan, "not finite"),
        (np.eye(3) + 0.01, "by 0.02"),
    ],
)
def test_a_turn_that_is_no_rotation(R, words):
    refused("bad_calibration", words, Rig, CAMERA, CAMERA, R, STEP)
    refused("bad_calibration", words, TwoView, np.eye(3), R, STEP, np.ones(3, bool), Rig(CAMERA, CAMERA))


def test_a_translation_that_is_none():
    refused("bad_calibration", "nan", Rig, CAMERA, CAMERA, np.eye(3), [np.nan, 0, 0])
    refused("bad_calibration", r"shape \(2,\)", Rig, CAMERA, CAMERA, np.eye(3), [1, 0])
    rig, words = Rig(CAMERA, CAMERA, np.eye(3), np.zeros(3)), "one place: t = .0, 0, 0"
    refused("bad_calibration", words, TwoView, np.eye(3), np.eye(3), np.zeros(3), np.ones(3, bool), rig)
    refused("bad_calibration", words, fit_rig, rig, SIZE, SIZE)
    refused("bad_calibration", words, estimate_two_view, synthetic.random_two_view(50, seed=1)[0], rig)
    noise = np.random.default_rng(0).integers(0, 256, (2, 480, 640, 3), dtype=np.uint8)
    refused("bad_calibration", words, reconstruct, *map(Photo, noise), rig)


def test_matches_of_which_there_are_not_two():
    x = np.zeros((5, 2))
    refused("size_mismatch", r"\(5, 2\) and x2 of shape \(4, 2\)", Matches, x, x[:4], np.ones(5))
    refused("size_mismatch", r"\(5, 3\)", Matches, np.zeros((5, 3)), np.zeros((5, 3)), np.ones(5))
    refused("size_mismatch", r"5 matches have scores of shape \(4,\)", Matches, x, x, np.ones(4))


def test_what_can_be_is_taken_whatever_its_form():
    """Lists, whole numbers, columns as OpenCV has them, R of four digits: all become f64 of the documented shape."""
    camera = Camera(K.astype(int).tolist(), SIZE, np.full((5, 1), 0.01, np.float32))
    assert camera.K.dtype == camera.dist.dtype == float and camera.dist.shape == (5,)
    R = np.round(rotation_from_vector([0.3, -0.2, 0.7]), 4)
    rig = Rig(camera, camera, R, [[-1], [0], [0]])
    np.testing.assert_array_equal(rig.t, STEP)
    assert rig.R is R and rig.posed and not replace(rig, t=None).posed
    matches = Matches(np.arange(10.0).reshape(5, 2), np.zeros((5, 2)))
    assert matches.score is None and len(matches[1:3]) == 2 and matches[1:3].score is None
