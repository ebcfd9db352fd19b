"""A zoom between the photos, a rolling shutter and a stabiliser are told from the matches, where they leave a trace."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d.diagnosis import diagnose
from stereo3d.records import Matches, Rig
from stereo3d.synthetic.matches import random_two_view
from stereo3d.two_view import estimate_two_view, freed_skew, freed_zoom

CENTRE = np.array([799.5, 599.5])
SKEW = np.array([[1, 0.01], [0.02, 1.01]])  # of the second photo


def changed(seed, affine, motion="sideways", outliers=0.1, noise=0.3, source="given"):
    """The finding of a pair whose second photo is warped by an affine map about its middle, or None; matches, view."""
    matches, true = random_two_view(300, seed=seed, motion=motion, noise=noise, outliers=outliers)
    x2 = CENTRE + (matches.x2 - CENTRE) @ np.asarray(affine).T
    matches = Matches(matches.x1, x2, matches.score)
    rig = Rig(replace(true.cam1, source=source), replace(true.cam2, source=source))
    view = estimate_two_view(matches, rig)
    found = {f.code: f for f in diagnose(matches, view, rig)}
    return found.get("lens_changed", found.get("focus_changed")), matches, view


@pytest.mark.parametrize("motion", ["sideways", "converging"])
def test_photos_by_one_lens_have_no_such_finding(motion):
    for seed in range(2):
        assert changed(seed, np.eye(2), motion)[0] is None


@pytest.mark.parametrize("factor", [0.97, 1.03])
@pytest.mark.parametrize("source", ["given", "exif"])
def test_a_zoom_between_the_photos_is_told_with_its_factor(factor, source):
    finding, matches, view = changed(1, factor * np.eye(2), source=source)
    assert finding is not None and finding.code == "lens_changed" and finding.severity == "warning"
    assert finding.numbers["factor"] == pytest.approx(factor, abs=0.01)
    zoom = freed_zoom(matches.x1[view.inliers], matches.x2[view.inliers], view)
    if source == "given":
        assert zoom.value == pytest.approx(np.log(finding.numbers["factor"])) and zoom.cost < 0.93
    else:  # the pose allows for it: nothing is left
        assert abs(zoom.value) < 3 * zoom.sigma and "the model allows" in finding.message


def test_a_change_of_focus_is_told_as_such():
    finding, _, view = changed(4, 1.005 * np.eye(2), source="exif", noise=0.05)
    assert finding is not None and finding.code == "focus_changed" and finding.severity == "warning"
    assert finding.numbers["factor"] == view.rig.cam2.focal / view.rig.cam1.focal == pytest.approx(1.005, abs=5e-4)


@pytest.mark.parametrize("affine", [SKEW, np.array([[1, 0.03], [0.03, 1]]), np.diag([1.02, 0.98])])
def test_a_skew_between_the_photos_is_told(affine):
    finding, matches, view = changed(2, affine, motion="converging")
    assert finding is not None and finding.code == "lens_changed"
    skew = freed_skew(matches.x1[view.inliers], matches.x2[view.inliers], view)
    assert skew.cost < 0.93 and skew.value == finding.numbers["skew"] > 8 * skew.sigma


def test_a_skew_that_harms_nothing_is_no_finding():
    """Certain as it is: real lenses and shutters leave .1 to .2 %."""
    finding, matches, view = changed(2, np.array([[1, 0.002], [0.002, 1]]), motion="converging", noise=0.02)
    skew = freed_skew(matches.x1[view.inliers], matches.x2[view.inliers], view)
    assert finding is None and skew.value > 8 * skew.sigma and skew.cost < 0.93


def test_the_skew_is_measured():
    """The root sum of squares of the skew and of the difference of the axes."""
    affine = np.array([[1.01, 0.02], [0.02, 0.99]])
    _, matches, view = changed(5, affine, motion="converging", noise=0.02, outliers=0)
    _, _, true = changed(5, np.eye(2), motion="converging", noise=0.02, outliers=0)
    both = view.inliers & true.inliers
    skew = freed_skew(matches.x1[both], matches.x2[both], true)
    assert skew.value == pytest.approx(np.hypot(0.02, 0.04), rel=0.05)
