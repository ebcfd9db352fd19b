"""Rules of the verdict on findings alone."""

import pytest

from stereo3d.diagnosis.verdict import REASONS, judge
from stereo3d.records import Finding


def verdict_with(code, **numbers):
    return judge([Finding(code, "warning", "as measured.", numbers)], 0.8, 0.005, 900, None)


@pytest.mark.parametrize(("factor", "verdict"), [(1.16, "fair"), (1.25, "poor"), (0.78, "poor"), (2.0, "poor")])
def test_a_focal_length_that_the_matches_contradict_is_a_stretch(factor, verdict):
    """If the matches are right, the depth is stretched by that factor."""
    assert verdict_with("focal_implausible", focal_factor=factor)[0] == verdict


def test_an_odd_field_of_view_alone_costs_the_good_word_only():
    assert verdict_with("focal_implausible", field_deg=140.0)[0] == "fair"


def test_a_pose_on_a_pattern_is_not_relied_on():
    verdict, summary = verdict_with("repeated_pose", likeness=0.7, inlier_share=0.3)
    assert verdict == "poor" and REASONS["repeated_pose"] in summary


@pytest.mark.parametrize(("gain", "verdict"), [(0.0, "fair"), (130.0, "poor")])
def test_a_shift_that_only_the_epipolar_lines_ask_for_is_not_relied_on(gain, verdict):
    """A zoom between the photos, a skew and a stabiliser ask for one as well."""
    assert verdict_with("window", stretch=1.1, gain=gain)[0] == verdict


def test_photos_that_a_shutter_bent_are_not_relied_on():
    assert verdict_with("lens_changed", factor=1.02)[0] == "poor"
