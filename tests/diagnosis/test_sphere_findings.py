"""What matches of panoramas show: things that moved, two lenses in one panorama, plain photos that are no panoramas."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d import Camera, Matches, Photo, Rig, WideLens, diagnose, estimate_two_view
from stereo3d.cameras.panorama import panorama_camera
from stereo3d.diagnosis.verdict import judge
from stereo3d.errors import CODES, EXIT_PAIR
from stereo3d.geometry.camera import project
from stereo3d.geometry.rotations import rotation_from_vector

PANORAMA = panorama_camera(Photo(np.zeros((800, 1600, 3), np.uint8)))
R = rotation_from_vector(np.radians([5.0, 100.0, -8.0]))
C = np.array([0.2, -0.05, 0.1])  # m, of camera 2


def around(count: int, seed: int = 0) -> np.ndarray:
    """Points on the walls of a room of 4 x 2.4 x 6 m."""
    d = np.random.default_rng(seed).normal(size=(count, 3))
    return d / np.abs(d / [2.0, 1.2, 3.0]).max(1, keepdims=True)


def seen(X1: np.ndarray, X2: np.ndarray, noise: float = 0.2) -> Matches:
    """Matches of points given in the frames of both cameras."""
    x1, x2 = PANORAMA.pixels_from_rays(X1), PANORAMA.pixels_from_rays(X2)
    return Matches(x1, x2 + noise * np.random.default_rng(1).normal(size=x2.shape))


def codes_of(matches: Matches, rig: Rig | None = None, confidence: float = 0.999) -> dict:
    rig = rig or Rig(PANORAMA, PANORAMA)
    view = estimate_two_view(matches, rig, confidence=confidence)
    return {f.code: f for f in diagnose(matches, view, rig)}


def test_a_still_room_has_no_finding_whatever_the_noise():
    X = around(800)
    for noise in (0.05, 0.5):
        assert codes_of(seen(X, (X - C) @ R.T, noise)) == {}


def test_what_moved_between_two_panoramas_is_found_across_the_seam():
    """A thing of 20 degrees behind the camera, at both ends of the picture, which moved by 10 cm."""
    X = around(500)
    thing = np.random.default_rng(2).uniform([-0.25, -0.25, -1.6], [0.25, 0.25, -1.4], (80, 3))
    before = np.concatenate([X, thing])
    after = np.concatenate([X, thing + [0.0, 0.1, 0.0]])
    found = codes_of(seen(before, (after - C) @ R.T))
    assert set(found) == {"moving_objects"}
    moved = found["moving_objects"]
    assert moved.numbers["matches"] == pytest.approx(80, abs=8) and moved.severity == "warning"
    assert "moving_objects" not in codes_of(seen(before, (before - C) @ R.T))


def test_panoramas_of_two_lenses_are_not_central():
    """The front half is seen from 1 cm ahead of the middle, the back half from 1 cm behind; turned by 100 degrees."""
    X = around(800)

    def from_lenses(X: np.ndarray) -> np.ndarray:
        return X - np.where(X[:, 2:] > 0, 1, -1) * [0, 0, 0.01]

    found = codes_of(seen(from_lenses(X), from_lenses((X - C) @ R.T)))
    assert set(found) == {"not_central"} and found["not_central"].numbers["parallax_share"] > 0.01
    for share, word in ((0.02, "fair"), (0.05, "poor")):
        finding = replace(found["not_central"], numbers={"parallax_share": share})
        verdict, summary = judge([finding], 0.9, 0.01, 800, None)
        assert verdict == word and "do not meet in one point" in summary


def test_a_posed_fisheye_rig_of_another_pose_is_a_calibration_that_is_off():
    K = np.array([[255.0, 0, 400], [0, 255.0, 400], [0, 0, 1]])
    lens = Camera(K, (801, 801), lens=WideLens("fisheye", (0.0,) * 4))
    X = around(1500)
    X = X[X[:, 2] > 0.1]
    moved = (X - C) @ rotation_from_vector([0, 0, 0.006]).T
    x1, x2 = lens.pixels_from_rays(X), lens.pixels_from_rays(moved)
    found = codes_of(Matches(x1, x2), Rig(lens, lens, np.eye(3), -C, "m"))
    assert "calibration_off" in found and "not_central" not in found
    right = lens.pixels_from_rays(X - C)
    assert "calibration_off" not in codes_of(Matches(x1, right), Rig(lens, lens, np.eye(3), -C, "m"))


def test_plain_photos_taken_for_panoramas_are_refused():
    K = np.array([[1400.0, 0, 799.5], [0, 1400.0, 399.5], [0, 0, 1]])
    rng = np.random.default_rng(0)
    X = rng.uniform([-2, -1, 3.0], [2, 1, 6.0], (200, 3))
    x1, x2 = project(X, K), project(X - [0.4, 0.05, 0.1], K)
    found = codes_of(Matches(x1, x2 + 0.2 * rng.normal(size=x2.shape)), confidence=0.6)
    assert found["no_panorama"].severity == "error" and CODES["no_panorama"] == EXIT_PAIR
    assert found["no_panorama"].numbers["plain"] > 180 > 2 * found["no_panorama"].numbers["inliers"]


def test_panoramas_with_many_false_matches_stay_panoramas():
    X = around(450)
    matches = seen(X, (X - C) @ R.T)
    false = np.random.default_rng(3).uniform([0, 0], PANORAMA.size, (240, 2))
    found = codes_of(replace(matches, x2=np.concatenate([false, matches.x2[240:]])), confidence=0.9)
    assert "no_panorama" not in found and "many_outliers" in found
