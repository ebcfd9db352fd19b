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
from stereo3d.pipeline.pose import MatchedPose, Pose
from stereo3d.records import Photo
from stereo3d.two_view.estimate import estimate_two_view
from stereo3d.two_view.fisheye import fit_fisheye
from stereo3d.two_view.fisheye_lens import _rays, refine_fisheye

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
    assert fit.camera.source == "estimated" and 1e-4 < fit.focal_sigma < 0.005
    assert abs(np.log(fit.camera.focal / camera.focal)) < 3 * fit.focal_sigma


def test_rays_and_their_derivatives_are_those_of_the_camera():
    """At the middle, across the picture, and beyond the fold of the second lens."""
    m = np.random.default_rng(0).uniform(-1.2, 1.2, (50, 2))
    m[0] = 0
    for k, shown in (((0.05, -0.004), 0.9), ((-0.2, 0.01), 0.3)):
        camera = Camera(np.eye(3), SIZE, lens=WideLens("fisheye", (*k, 0.0, 0.0)))
        d, by_m = _rays(m, np.array(k))
        known = np.isfinite(camera.rays_from_pixels(m)).all(1)
        assert known.mean() > shown and np.array_equal(known, np.isfinite(d).all(1))
        assert np.abs(d - camera.rays_from_pixels(m))[known].max() < 1e-9
        known[0] = False  # no direction is along the radius there
        e = m / np.maximum(np.linalg.norm(m, axis=1), 1e-9)[:, None]
        for j, way in enumerate((e, np.stack([-e[:, 1], e[:, 0]], 1))):
            plus, minus = (camera.rays_from_pixels(m + s * 1e-6 * way) for s in (1, -1))
            off = np.abs((plus - minus) / 2e-6 - by_m[..., j])[known]
            assert np.nanmax(off) < 1e-5


def test_the_error_of_the_focal_length_is_the_one_that_is_stated():
    """Lenses with k2 and a centre off the middle, noise of .1 to .5 px: errors in standard errors, over 16 draws."""
    off = []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        camera = lens(rng.uniform(110, 190), rng.uniform(-0.04, 0.06))
        assert camera.lens is not None
        K = camera.K + [[0, 0, rng.normal(0, 4)], [0, 0, rng.normal(0, 4)], [0, 0, 0]]
        true = replace(camera, K=K, lens=WideLens("fisheye", (camera.lens.coefficients[0], 0.004, 0.0, 0.0)))
        X = true.rays_from_pixels(rng.uniform(0, SIZE, (260, 2))) * rng.uniform(1, 4, (260, 1))
        x1, x2 = true.pixels_from_rays(X), true.pixels_from_rays((X - C) @ R.T)
        seen = np.isfinite(x1).all(1) & np.isfinite(x2).all(1) & ((x2 > 0) & (x2 < SIZE)).all(1)
        x1, x2 = (x[seen] + rng.normal(0, rng.uniform(0.1, 0.5), (seen.sum(), 2)) for x in (x1, x2))
        start = replace(camera, K=camera.K * [[1.02, 1, 1], [1, 1.02, 1], [1, 1, 1]])
        t = -R @ C / np.linalg.norm(C)
        fit = refine_fisheye(x1, x2, start, (R, t), 2.0)
        off.append(np.log(fit.camera.focal / true.focal) / fit.focal_sigma)
    assert 0.7 < np.sqrt(np.mean(np.square(off))) < 1.4 and np.mean(np.abs(off) < 2) > 0.75


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
    assert caught.value.finding.numbers["focal_sigma"] == fit.focal_sigma
    told = caught.value.told(MatchedPose((), (), Pose(view, rig))).pose.view  # pyright: ignore
    assert told.focal_sigma == fit.focal_sigma and np.log(told.focal_range[1]) == pytest.approx(1.645 * fit.focal_sigma)
    look_for_fisheye(found, rig, Config(force=True))
    given = replace(rig.cam1, source="given")
    look_for_fisheye(found, Rig(given, given), Config())
    monkeypatch.setattr(pipeline_fisheye, "fit_fisheye", lambda *_, **__: fit._replace(bend=0.5))
    with pytest.raises(StereoError, match="those of a fisheye lens") as refused:
        look_for_fisheye(found, rig, Config())
    assert refused.value.code == "fisheye" and "stereo3d calibrate" in refused.value.advice
