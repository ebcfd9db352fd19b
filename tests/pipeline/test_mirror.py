"""A mirrored photo is refused by its name, and costs no pair that is none."""

import numpy as np
import pytest

from stereo3d.errors import EXIT_PAIR, StereoError
from stereo3d.pipeline import Config, prepare, refusals
from stereo3d.records import Camera, Photo


@pytest.fixture(scope="module")
def pair(render_once):
    return render_once("handheld", size=(320, 240), supersample=2)


def mirrored(photo, upside_down=False):
    return Photo(np.ascontiguousarray(photo.pixels[::-1] if upside_down else photo.pixels[:, ::-1]), photo.exif)


def refusal(left, right):
    with pytest.raises(StereoError) as caught:
        prepare(left, right, config=Config())
    return caught.value


@pytest.mark.parametrize("upside_down", [False, True])
def test_a_mirrored_photo_of_a_pair_is_named(pair, upside_down):
    error = refusal(pair.left, mirrored(pair.right, upside_down))
    assert error.code == "mirrored" and error.exit_code == EXIT_PAIR
    assert "one of the two photos is mirrored" in error.message and "Mirror" in error.advice
    assert error.numbers["mirrored"] > 4 * error.numbers["inliers"]


def test_a_mirrored_copy_is_named(pair):
    error = refusal(pair.left, mirrored(pair.left))
    assert error.code == "mirrored" and "mirrored copy of the first" in error.message


def test_a_good_pair_is_not_mirrored_to_try(pair, monkeypatch):
    def fail(*args):
        raise AssertionError("the test costs time")

    monkeypatch.setattr("stereo3d.pipeline.pose.refuse_mirrored", fail)
    prepare(pair.left, pair.right, config=Config())


def test_the_camera_of_a_mirrored_photo():
    K = np.array([[300.0, 0, 100], [0, 300, 110], [0, 0, 1]])
    flipped = refusals.mirrored_camera(Camera(K, (320, 240)))
    assert flipped.K[:2, 2].tolist() == [219, 110] and flipped.focal == 300
