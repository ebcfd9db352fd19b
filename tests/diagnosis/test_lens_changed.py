"""A zoom between the photos, a rolling shutter and a stabiliser are told from the matches, where they leave a trace."""

import numpy as np
import pytest

from stereo3d.diagnosis import diagnose
from stereo3d.records import Matches, Rig
from stereo3d.synthetic.matches import random_two_view
from stereo3d.two_view import estimate_two_view, freed_zoom

CENTRE = np.array([799.5, 599.5])
SKEW = np.array([[1, 0.01], [0.02, 1.01]])  # of the second photo


def changed(seed, affine, motion="sideways", outliers=0.1):
    """The finding of a pair whose second photo is warped by an affine map about its middle, or None; the matches."""
    matches, true = random_two_view(300, seed=seed, motion=motion, noise=0.3, outliers=outliers)
    x2 = CENTRE + (matches.x2 - CENTRE) @ np.asarray(affine).T
    matches = Matches(matches.x1, x2, matches.score)
    rig = Rig(true.cam1, true.cam2)
    view = estimate_two_view(matches, rig)
    found = {f.code: f for f in diagnose(matches, view, rig)}
    return found.get("lens_changed"), matches, view


@pytest.mark.parametrize("motion", ["sideways", "converging"])
def test_photos_by_one_lens_have_no_such_finding(motion):
    for seed in range(2):
        assert changed(seed, np.eye(2), motion)[0] is None


@pytest.mark.parametrize("factor", [0.97, 1.03])
def test_a_zoom_between_the_photos_is_told_with_its_factor(factor):
    finding, matches, view = changed(1, factor * np.eye(2))
    assert finding is not None and finding.severity == "warning"
    assert finding.numbers["factor"] == pytest.approx(factor, abs=0.01)
    zoom = freed_zoom(matches.x1[view.inliers], matches.x2[view.inliers], view)
    assert zoom.value == pytest.approx(np.log(finding.numbers["factor"])) and zoom.cost < 0.93


def test_a_skew_between_the_photos_is_told():
    assert changed(2, SKEW)[0] is not None
