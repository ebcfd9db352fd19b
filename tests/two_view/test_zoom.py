"""A focal length that changed between two photos by one lens is estimated with the pose, and only then."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d.records import Camera, Matches, Rig
from stereo3d.synthetic.matches import random_two_view
from stereo3d.two_view import estimate_two_view, lens, lens_fit, refine
from stereo3d.two_view.zoom import has_zoomed, may_have_zoomed

CENTRE = np.array([799.5, 599.5])


def zoomed(factor, seed, source="exif", motion="sideways"):
    """Matches of which those of the second photo are enlarged, the true rig, and what is known of it."""
    matches, true = random_two_view(600, seed=seed, motion=motion, noise=0.2, outliers=0.1)
    x2 = CENTRE + (matches.x2 - CENTRE) * factor
    K = true.cam1.K * np.array([[1.02, 1, 1], [1, 1.02, 1], [1, 1, 1]])
    camera = Camera(K, true.cam1.size, source=source)
    return Matches(matches.x1, x2, matches.score), true, Rig(camera, camera)


def turned_deg(view, true):
    cos = (np.trace(view.R @ true.R.T) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cos, -1, 1))))


@pytest.mark.parametrize("factor", [0.98, 1.03])
@pytest.mark.parametrize("source", ["exif", "prior"])
def test_the_ratio_of_the_focal_lengths_is_estimated_where_it_changed(factor, source):
    matches, true, given = zoomed(factor, 4, source)
    view = estimate_two_view(matches, given)
    assert view.rig.cam2.focal / view.rig.cam1.focal == pytest.approx(factor, abs=0.002)
    assert view.rig.cam1.focal == pytest.approx(true.cam1.focal, rel=0.02)
    assert turned_deg(view, true) < 0.3
    assert np.degrees(np.arccos(view.t @ true.t / np.linalg.norm(true.t))) < 0.5


@pytest.mark.parametrize("source", ["exif", "prior"])
@pytest.mark.parametrize("motion", ["sideways", "converging", "forward"])
def test_one_lens_stays_one_lens(source, motion):
    for seed in range(2):
        matches, _, given = zoomed(1.0, seed, source, motion)
        view = estimate_two_view(matches, given)
        assert view.rig.cam1.focal == view.rig.cam2.focal


def test_a_given_lens_and_different_lenses_have_no_further_parameter():
    matches, true, given = zoomed(1.03, 4)
    known = Rig(*(replace(c, source="given") for c in (given.cam1, given.cam2)))
    wider = replace(given.cam2, K=given.cam2.K @ np.diag([1.1, 1.1, 1]))
    view = estimate_two_view(matches, known)
    assert may_have_zoomed(matches, view, given, threshold=1.5)
    assert not may_have_zoomed(matches, view, known, threshold=1.5)
    assert not may_have_zoomed(matches, view, Rig(given.cam1, wider), threshold=1.5)
    assert not has_zoomed(matches, view, view, threshold=1.5)


@pytest.mark.parametrize("t", [1, -1])
def test_a_start_behind_the_cameras_is_turned_round(t):
    """Sampson distances are those of -t as well."""
    matches, true, given = zoomed(1.0, 7)
    x1, x2, _, focals = refine.centred_pixels(matches.x1, matches.x2, given)
    zeros = np.zeros(lens.free_lens_model(given, focals).basis.shape[1])
    fit = lens_fit.fit_lens([lens.LensState(true.R, t * true.t, zeros)], [], x1, x2, given, focals, 1.5)
    assert fit.accepted and fit.t @ true.t > 0.99 * np.linalg.norm(true.t)
