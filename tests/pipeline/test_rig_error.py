"""--rig-error: a calibrated rig that took a knock, from rendered photos to rows and findings."""

from dataclasses import replace

import numpy as np
import pytest

from stereo3d import geometry as g
from stereo3d.diagnosis.verdict import judge
from stereo3d.errors import StereoError
from stereo3d.pipeline.config import Config
from stereo3d.pipeline.run import prepare
from stereo3d.records import RigError


@pytest.fixture(scope="module")
def pair(render_once):
    return render_once("still_life", size=(400, 300), supersample=1)


@pytest.fixture(scope="module")
def knocked(pair):
    """The calibration of before the knock: the rotation half a degree off."""
    return turned(pair.rig, 1.0)


def turned(rig, share):
    return replace(rig, R=g.rotation_from_vector(share * np.radians([0.35, -0.2, 0.3])) @ rig.R)


def found(prepared, code):
    return next((f for f in prepared.findings if f.code == code), None)


def test_the_rows_of_a_knocked_rig_come_right(pair, knocked):
    with pytest.raises(StereoError) as caught:
        prepare(pair.left, pair.right, knocked, Config(rig_error="exact"))
    assert caught.value.code == "calibration_mismatch" and "--rig-error nominal" in caught.value.advice
    view = prepare(pair.left, pair.right, knocked, Config(rig_error="nominal"))
    assert found(view, "rows").numbers["median_px"] < 0.1
    moved = found(view, "rig_moved")
    assert moved.severity == "info" and moved.numbers["rotation_deg"] == pytest.approx(0.5, abs=0.05)
    assert "0.5" in moved.message and moved.numbers["sigmas"] < 2
    # in a photo of 400 px a turn about x and centres at other heights are nearly alike
    assert g.rotation_angle_deg(view.view.R @ pair.rig.R.T) < 0.2
    assert np.linalg.norm(view.view.t) == pytest.approx(np.linalg.norm(pair.rig.t)) and view.view.rig.unit == "m"


def test_the_default_is_what_the_rig_states(pair):
    knocked = turned(pair.rig, 0.2)
    as_stated = prepare(pair.left, pair.right, knocked)
    assert np.array_equal(as_stated.view.R, knocked.R) and not found(as_stated, "rig_moved")
    nominal = replace(knocked, error=RigError.nominal())
    assert found(prepare(pair.left, pair.right, nominal), "rig_moved")
    held = prepare(pair.left, pair.right, nominal, Config(rig_error="exact"))
    assert np.array_equal(held.view.R, as_stated.view.R) and np.array_equal(held.view.inliers, as_stated.view.inliers)


def test_a_number_far_from_nominal_is_a_warning(pair, knocked):
    surer = replace(knocked, error=RigError(rotation_deg=0.1, direction_deg=0.1))
    prepared = prepare(pair.left, pair.right, surer)
    moved = found(prepared, "rig_moved")
    assert moved.severity == "warning" and 3 < moved.numbers["sigmas"] < 5
    verdict, summary = judge(prepared.findings, 0.9, 0.01, 500, "m")
    assert verdict == "fair" and "nominal" in summary


def test_rig_error_without_a_pose_is_refused(pair):
    with pytest.raises(StereoError) as caught:
        prepare(pair.left, pair.right, replace(pair.rig, R=None, t=None), Config(rig_error="nominal"))
    assert caught.value.code == "bad_option" and "--calib" in caught.value.advice
    with pytest.raises(StereoError, match="rig-error"):
        Config(rig_error="roughly")
