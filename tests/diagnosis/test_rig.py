"""Findings of a nominal rig."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d.diagnosis.rig import RigThresholds, rig_findings
from stereo3d.records import RigError
from stereo3d.synthetic.matches import random_two_view
from stereo3d.two_view import nominal
from stereo3d.two_view.estimate import estimate_two_view


def given(p, *, seed=3):
    """Matches, a metric rig that p (13,) away is the true one, and the estimate."""
    matches, rig = random_two_view(400, seed=seed, noise=0.2, outliers=0.1)
    truth = replace(rig, t=0.1 * rig.t, unit="m", error=RigError.nominal())
    away = nominal.moved_rig(truth, -np.asarray(p))
    return matches, away, estimate_two_view(matches, away)


def test_an_exact_rig_has_no_finding():
    matches, rig = random_two_view(200, seed=1, noise=0.2)
    assert rig_findings(matches, estimate_two_view(matches, rig), rig) == []


def test_what_moved_is_stated():
    p = np.zeros(13)
    p[:3] = np.radians([0.4, -0.3, 0.2])
    matches, rig, view = given(p)
    moved = next(f for f in rig_findings(matches, view, rig) if f.code == "rig_moved")
    assert moved.numbers["rotation_deg"] == pytest.approx(np.degrees(np.linalg.norm(p[:3])), abs=0.15)
    assert moved.severity == "info" and not moved.advice
    assert 0.35 < moved.numbers["sigmas"] < 1 and "k1" not in moved.message
    strict = next(f for f in rig_findings(matches, view, rig, RigThresholds(max_sigmas=0.2)) if f.code == "rig_moved")
    assert strict.severity == "warning" and "alibrate" in strict.advice


def test_uncertain_depth_is_a_warning():
    matches, rig, view = given(np.zeros(13))
    codes = {
        limit: [f.code for f in rig_findings(matches, view, rig, RigThresholds(max_depth_sigma=limit))]
        for limit in (0.0, 10.0)
    }
    assert "nominal_depth" in codes[0.0] and "nominal_depth" not in codes[10.0]
    sure = replace(rig, error=RigError(rotation_deg=0.2))
    view = estimate_two_view(matches, sure)
    assert [f.code for f in rig_findings(matches, view, sure)] == ["rig_moved"]
