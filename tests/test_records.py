"""Records refuse what cannot be: each as one StereoError with the numbers that are wrong and a remedy."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from stereo3d import Config, estimate_two_view, reconstruct
from stereo3d.cameras import fit_rig
from stereo3d.errors import StereoError
from stereo3d.geometry import rotation_from_vector
from stereo3d.geometry.camera import distort
from stereo3d.records import (
    Camera,
    DisparityMap,
    Features,
    Finding,
    Matches,
    Mesh,
    Photo,
    PhotoPair,
    Position,
    RectifiedPair,
    Rig,
    RigError,
    TexturedPart,
    TwoView,
    WideLens,
)
from stereo3d.synthetic import matches as matches_module

SIZE = 640, 480
K = np.array([[500.0, 0, 319.5], [0, 510, 239.5], [0, 0, 1]])
CAMERA = Camera(K, SIZE)
PIXELS = np.zeros((4, 5, 3), np.uint8)
STEP = np.array([-1.0, 0, 0])


def refused(code: str, message: str, make, *args, **kwargs):
    with pytest.raises(StereoError, match=message) as caught:
        make(*args, **kwargs)
    assert caught.value.code == code and caught.value.advice


@pytest.mark.parametrize(
    "pixels, message",
    [
        (PIXELS[..., 0], "4 x 5 uint8"),
        (PIXELS.astype(float), "4 x 5 x 3 float64"),
        (PIXELS[:0], "0 x 5 x 3"),
        (np.zeros((4, 5, 4), np.uint8), "4 x 5 x 4 uint8"),
        (None, "none object"),
    ],
)
def test_pixels_that_are_no_photo(pixels, message):
    refused("photo_unreadable", message, Photo, pixels)


@pytest.mark.parametrize(
    "pixels, advice",
    [
        (PIXELS[..., 0], "np.repeat(grey[..., None], 3, axis=2)"),
        (PIXELS[..., :1], "np.repeat(grey, 3, axis=2)"),
        (np.zeros((40, 50, 4), np.uint8), "rgba[..., :3]; of OpenCV's BGRA: bgra[..., 2::-1]"),
        (np.zeros((3, 40, 50), np.uint8), "np.moveaxis(pixels, 0, -1)"),
        (np.zeros((2, 40, 50, 3), np.uint8), "pixels[0]"),
        (PIXELS + 0.5, "np.rint(255 * pixels).astype(np.uint8)"),
        (PIXELS + np.float32(200.5), "np.rint(pixels).astype(np.uint8)"),
        (np.full((4, 5, 3), np.nan), "np.rint(255 * pixels)"),
        (PIXELS.astype(np.uint16), "(pixels >> 8).astype(np.uint8)"),
        (PIXELS.astype(np.int64), "pixels.astype(np.uint8)"),
        (PIXELS > 0, "black and white"),
        (PIXELS[:0], "Photo.from_bgr what cv2.imread returns"),
    ],
)
@pytest.mark.parametrize("make", [Photo, Photo.from_array, Photo.from_bgr])
def test_an_array_that_is_no_rgb_photo_is_refused_with_what_makes_it_one(make, pixels, advice):
    with pytest.raises(StereoError, match=f"{' x '.join(map(str, pixels.shape))} {pixels.dtype}") as caught:
        make(pixels)
    assert caught.value.code == "photo_unreadable" and advice in caught.value.advice


def test_photos_from_arrays_of_both_orders_of_colours():
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    mask = rgb[..., 0] > 5
    assert Photo.from_array(rgb).pixels is rgb  # not copied
    for photo in (Photo.from_array(rgb, mask), Photo.from_bgr(rgb[..., ::-1], mask)):
        np.testing.assert_array_equal(photo.pixels, rgb)
        assert photo.pixels.flags.c_contiguous and photo.mask is mask and photo.path is None
    with pytest.raises(ValueError, match="Photo.mask must be"):
        Photo.from_array(rgb, mask[:3])


@pytest.mark.parametrize(
    "K, message",
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
def test_a_camera_matrix_that_is_none(K, message):
    refused("bad_calibration", message, Camera, K, SIZE)
    if isinstance(K, np.ndarray):
        refused("bad_calibration", message, replace, CAMERA, K=K)


@pytest.mark.parametrize("dist, message", [([0.1, np.inf], "0.1, inf"), (2 * np.ones(14), "tilt of the sensor")])
def test_distortion_that_is_none(dist, message):
    refused("bad_calibration", message, Camera, K, SIZE, dist)


@pytest.mark.parametrize(
    "R, message",
    [
        (2 * np.eye(3), "off the identity by 3 .* determinant is 8"),
        (np.diag([1.0, 1, -1]), "determinant is -1"),
        (np.zeros(3), r"shape \(3,\)"),
        (np.eye(3) * np.nan, "not finite"),
        (np.eye(3) + 0.01, "by 0.02"),
    ],
)
def test_a_turn_that_is_no_rotation(R, message):
    refused("bad_calibration", message, Rig, CAMERA, CAMERA, R, STEP)
    refused("bad_calibration", message, TwoView, np.eye(3), R, STEP, np.ones(3, bool), Rig(CAMERA, CAMERA))


def test_a_translation_that_is_none():
    refused("bad_calibration", "nan", Rig, CAMERA, CAMERA, np.eye(3), [np.nan, 0, 0])
    refused("bad_calibration", r"shape \(2,\)", Rig, CAMERA, CAMERA, np.eye(3), [1, 0])
    rig, message = Rig(CAMERA, CAMERA, np.eye(3), np.zeros(3)), "one place: t = .0, 0, 0"
    refused("bad_calibration", message, TwoView, np.eye(3), np.eye(3), np.zeros(3), np.ones(3, bool), rig)
    refused("bad_calibration", message, fit_rig, rig, SIZE, SIZE)
    refused("bad_calibration", message, estimate_two_view, matches_module.random_two_view(50, seed=1)[0], rig)
    noise = np.random.default_rng(0).integers(0, 256, (2, 480, 640, 3), dtype=np.uint8)
    refused("bad_calibration", message, reconstruct, *map(Photo, noise), rig)


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


# Shapes and types of arrays

RGB = np.zeros((4, 6, 3), np.uint8)
MAP = np.zeros((4, 6, 2), np.float32)
FLAT = np.zeros((4, 6), np.float32)
TRIANGLE = np.array([[0, 1, 2]], np.int32)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Mesh(np.zeros((2, 2)), np.zeros(3)), r"Mesh.vertices must be \(any, 3\) float, got \(2, 2\)"),
        (lambda: Mesh(np.eye(3), TRIANGLE.astype(float)), r"Mesh.faces must be \(any, 3\) int, got \(1, 3\) float64"),
        (lambda: Mesh(np.eye(3), TRIANGLE + 1), "faces name vertices 1 to 3 of 0 to 2"),
        (lambda: Mesh(np.eye(3).tolist(), TRIANGLE), "got list"),
        (lambda: Mesh(np.eye(3), TRIANGLE, np.zeros((2, 2))), r"Mesh.uv must be \(3, 2\)"),
        (lambda: Mesh(np.eye(3), TRIANGLE, texture=np.zeros((2, 2, 3))), "Mesh.texture must be .* uint8"),
        (lambda: Mesh(np.eye(3), TRIANGLE, sigma=np.zeros((3, 1))), r"Mesh.sigma must be \(3,\)"),
        (lambda: TexturedPart(np.ones(1), np.zeros((3, 2)), RGB), r"TexturedPart.faces must be \(any,\) bool"),
        (
            lambda: Mesh(
                np.eye(3), TRIANGLE, np.zeros((3, 2)), RGB, None, (TexturedPart(np.ones(2, bool), MAP[0, :3], RGB),)
            ),
            r"overlay has faces \(2,\) .* the mesh 1 faces",
        ),
        (lambda: RectifiedPair(RGB[..., 0], RGB, MAP, MAP), "RectifiedPair.left must be .* uint8"),
        (lambda: RectifiedPair(RGB, RGB[:, :5], MAP, MAP), r"RectifiedPair.map2 must be \(4, 5, 2\)"),
        (lambda: DisparityMap(FLAT, FLAT[1:], FLAT), r"DisparityMap.confidence must be \(4, 6\)"),
        (lambda: DisparityMap(FLAT > 0, FLAT, FLAT), "DisparityMap.disparity must be .* got .* bool"),
        (lambda: Features(MAP[0], np.zeros((5, 8)), np.zeros((6, 2, 2))), r"Features.descriptors must be \(6, any\)"),
    ],
)
def test_arrays_of_the_wrong_shape_or_type_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_every_face_belongs_to_one_textured_part():
    faces = np.array([[0, 1, 2], [2, 1, 0], [1, 0, 2]], np.int32)
    other = TexturedPart(np.array([False, True, False]), np.ones((3, 2)), RGB)
    mesh = Mesh(np.eye(3), faces, np.zeros((3, 2)), RGB, overlays=(other,))
    assert [part.faces.tolist() for part in mesh.textured_parts()] == [[True, False, True], [False, True, False]]
    assert Mesh(np.eye(3), faces, np.zeros((3, 2))).textured_parts() == ()
    with pytest.raises(ValueError, match="overlays need a texture"):
        replace(mesh, texture=None)


def test_the_repr_is_short_and_prints_no_array():
    camera = Camera(K, SIZE)
    mesh = Mesh(np.random.default_rng(0).random((999, 3)), np.zeros((5, 3), np.int32), facts={"step": 2})
    assert repr(mesh) == "Mesh(999 vertices, 5 faces, no texture)"
    assert repr(camera) == "Camera(640 x 480 px, focal=504.975 px, centre=(319.5, 239.5) px, source='given')"
    assert "|t|=1, turned by 0 degrees" in repr(Rig(camera, camera, np.eye(3), STEP))
    assert repr(Photo(PIXELS)) == "Photo(5 x 4 px)"
    assert repr(DisparityMap(FLAT, FLAT, FLAT)) == (
        "DisparityMap(disparity=<4x6 float32>, confidence=<4x6 float32>, sigma=<4x6 float32>)"
    )
    assert repr(RigError()) == "RigError()" and repr(RigError(focal=0.02)) == "RigError(focal=0.02)"


def test_no_text_and_no_collection_makes_a_repr_long_or_breaks_its_line():
    long = "two\nlines " * 100
    records = [
        Finding("code", "info", long, {"a": 1}, long),
        Photo(PIXELS, {"make": long, "model": long}, Path("x" * 200)),
        Position(1 / 3, 2 / 3, 1e9 / 7, (1 / 3, 1 / 7, 1 / 9), long, 1 / 3),
        WideLens("fisheye", (1 / 3, 1 / 7, 1 / 9, 1 / 11)),
        Camera(K, SIZE, np.full(12, 0.01), long, long),
        PhotoPair(Photo(PIXELS), Photo(PIXELS), long, None, 1 / 3, long),
        Config(
            options={"matcher.p1": 20, "matcher.contrast": 1 / 3, "rectify.kind": "polar"}, matcher="sgm", focal=4 / 3
        ),
        Config(calib=["x" * 99] * 40, mask=["y" * 99] * 2, markers=[f"4X4_50:{k}:0.05" for k in range(40)]),
    ]
    for record in records:
        assert len(repr(record)) < 200 and "\n" not in repr(record), repr(record)
    assert repr(Config()) == "Config()"


# StereoError


def fail_on(n: int) -> int:
    if n == 1:
        raise StereoError("photo_unreadable", "b.jpg: 12 bytes.", "Check the file.", size=12)
    return n


def test_an_error_reaches_the_parent_of_a_worker_process():
    """A plain Exception with more arguments than `args` cannot be unpickled, which breaks the whole pool."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(fail_on, n) for n in range(3)]
        assert futures[0].result() == 0
        with pytest.raises(StereoError) as caught:
            futures[1].result()
        assert futures[2].result() == 2  # the pool lives on
    error = caught.value
    assert (error.code, error.message, error.advice) == ("photo_unreadable", "b.jpg: 12 bytes.", "Check the file.")
    assert error.numbers == {"size": 12} and error.exit_code == 3 and str(error) == "b.jpg: 12 bytes. Check the file."


@pytest.mark.parametrize("count", [3, 6, 7, 9, 10, 11, 13, 15])
def test_a_camera_refuses_a_number_of_coefficients_that_no_lens_model_has(count):
    with pytest.raises(StereoError, match=f"got {count}") as caught:
        Camera(np.diag([500.0, 500, 1]), (640, 480), np.full(count, 0.01))
    assert caught.value.code == "bad_calibration" and caught.value.numbers["coefficients"] == count


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 8, 12])
def test_every_distortion_that_a_camera_accepts_can_be_applied(count):
    camera = Camera(np.diag([500.0, 500, 1]), (640, 480), np.full(count, 0.01))
    assert len(camera.dist) == count
    assert np.isfinite(distort([[0.1, 0.2]], camera.dist)).all()


def test_a_camera_drops_a_tilt_of_zero_and_keeps_any_other():
    untilted = np.r_[np.full(12, 0.01), 0, 0]
    np.testing.assert_array_equal(Camera(np.diag([500.0, 500, 1]), (640, 480), untilted).dist, untilted[:12])
    tilted = untilted + np.eye(14)[12] * 1e-3
    np.testing.assert_array_equal(Camera(np.diag([500.0, 500, 1]), (640, 480), tilted).dist, tilted)
    with pytest.raises(StereoError, match="tilt of the sensor") as caught:
        Camera(np.diag([500.0, 500, 1]), (640, 480), untilted + np.eye(14)[12] * 2)
    assert caught.value.code == "bad_calibration"
