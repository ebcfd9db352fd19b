"""Fisheyes of which nothing is known, by the matches of points in a room."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from stereo3d import Camera, Config, Matches, Rig, WideLens
from stereo3d.cameras.focal import camera_for
from stereo3d.errors import StereoError
from stereo3d.geometry.rotations import rotation_from_vector
from stereo3d.pipeline import fisheye as pipeline_fisheye
from stereo3d.pipeline.fisheye import FisheyeFound, look_for_fisheye
from stereo3d.records import Photo
from stereo3d.two_view.estimate import estimate_two_view
from stereo3d.two_view.fisheye import fit_fisheye

SIZE = (640, 480)
R = rotation_from_vector(np.radians([3.0, -8.0, 5.0]))
C = np.array([0.3, 0.05, 0.1])


def lens(field: float, k1: float) -> Camera:
    half = np.radians(field) / 2
    f = 400 / (half * (1 + k1 * half**2))  # the diagonal has 800 px
    K = np.array([[f, 0, 319.5], [0, f, 239.5], [0, 0, 1]])
    return Camera(K, SIZE, lens=WideLens("fisheye", (k1, 0.0, 0.0, 0.0)))


def matches_of(camera: Camera, count: int = 900, wrong: float = 0.1) -> Matches:
    """Matches of points 1 to 4 m away, with noise of .15 px, and some wrong ones."""
    rng = np.random.default_rng(7)
    X = camera.rays_from_pixels(rng.uniform(0, SIZE, (count, 2)))
    X = X[np.isfinite(X).all(1)]
    X = X * rng.uniform(1, 4, (len(X), 1))
    x1, x2 = camera.pixels_from_rays(X), camera.pixels_from_rays((X - C) @ R.T)
    seen = np.isfinite(x2).all(1) & (x2 > 0).all(1) & (x2 < np.array(SIZE) - 1).all(1)
    x1, x2 = (x[seen] + rng.normal(0, 0.15, x[seen].shape) for x in (x1, x2))
    astray = rng.random(len(x2)) < wrong
    x2[astray] = rng.uniform(0, SIZE, (int(astray.sum()), 2))
    return Matches(x1, x2, np.ones(len(x1), np.float32))


def plain_estimate(matches: Matches):
    """The pose by cameras of which nothing is known."""
    camera = camera_for(Photo(np.zeros((SIZE[1], SIZE[0], 3), np.uint8)))
    return Rig(camera, camera), estimate_two_view(matches, Rig(camera, camera))


FIELD_DEG, K1 = 165.0, -0.04


@pytest.fixture(scope="module")
def seen():
    """Matches of a fisheye, the pose by pinhole cameras, and the lens that is found."""
    matches = matches_of(lens(FIELD_DEG, K1))
    rig, view = plain_estimate(matches)
    return matches, rig, view, fit_fisheye(matches, view, threshold=1.5)


def test_a_fisheye_is_recognised_and_its_lens_estimated(seen):
    matches, _, _, fit = seen
    camera = lens(FIELD_DEG, K1)
    assert fit is not None and fit.bend < 0.1 and fit.inliers > 0.85 * len(matches)
    corner = np.array([[0.0, 0.0], [320, 0], [0, 240], [160, 120]])
    off = fit.camera.rays_from_pixels(corner) - camera.rays_from_pixels(corner)
    assert np.linalg.norm(off, axis=1).max() < 0.01 and fit.field_deg == pytest.approx(FIELD_DEG, rel=0.01)
    assert fit.camera.source == "estimated" and fit.camera.focal == pytest.approx(camera.focal, rel=0.01)


@pytest.mark.parametrize("focal, dist", [(560.0, [-0.1, 0.01, 0, 0]), (1500.0, [])])
def test_pinhole_cameras_are_no_fisheyes(focal, dist):
    camera = Camera(np.array([[focal, 0, 319.5], [0, focal, 239.5], [0, 0, 1]]), SIZE, np.array(dist, dtype=float))
    matches = matches_of(camera)
    assert fit_fisheye(matches, plain_estimate(matches)[1], threshold=1.5) is None


class Found(NamedTuple):
    """What `look_for_fisheye` reads of a `MatchedPose`."""

    matches: Matches
    pose: object


class Estimated(NamedTuple):
    view: object


def test_a_run_begins_again_with_the_lens_or_names_it(seen, monkeypatch):
    matches, rig, view, fit = seen
    found = Found(matches, Estimated(view))
    with pytest.raises(FisheyeFound) as caught:
        look_for_fisheye(found, rig, Config())
    assert caught.value.rig.cam1.lens.model == "fisheye" and not caught.value.rig.posed
    assert caught.value.finding.numbers["field_deg"] == pytest.approx(FIELD_DEG, rel=0.01)
    look_for_fisheye(found, rig, Config(force=True))
    given = replace(rig.cam1, source="given")
    look_for_fisheye(found, Rig(given, given), Config())
    monkeypatch.setattr(pipeline_fisheye, "fit_fisheye", lambda *_, **__: fit._replace(bend=0.5))
    with pytest.raises(StereoError, match="those of a fisheye lens") as refused:
        look_for_fisheye(found, rig, Config())
    assert refused.value.code == "fisheye" and "stereo3d calibrate" in refused.value.advice
