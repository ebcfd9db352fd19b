"""The verdict by its own uncertainty, and rows judged by what they cost."""

from dataclasses import replace
from typing import cast

import cv2
import numpy as np
import pytest

from stereo3d import diagnosis, synthetic
from stereo3d.diagnosis.run_findings import row_findings, uncertainty_findings
from stereo3d.geometry import rotation_from_vector
from stereo3d.pipeline import Config, prepare
from stereo3d.records import Finding, Photo, RectifiedPair
from stereo3d.records.rectified import RowErrors


@pytest.mark.parametrize(("sigma", "level"), [(0.019, "good"), (0.021, "fair"), (0.059, "fair"), (0.064, "poor")])
def test_the_verdict_uses_its_own_uncertainty(sigma, level):
    verdict, summary = diagnosis.judge(uncertainty_findings(sigma), 0.5, sigma, 99, None)
    assert verdict == level
    assert ("its depth is uncertain" in summary) == (level != "good")


def test_an_uncertainty_that_is_no_number_is_poor():
    assert diagnosis.judge([], 0.5, np.nan, 99, None)[0] == "poor"


def test_rows_are_judged_alike_at_every_size():
    """The same rows, off by more pixels of a larger picture, cost the same depth."""
    pair = synthetic.render("slanted", pose="rectified", baseline=0.2, size=(640, 480), supersample=1)
    y, x = np.mgrid[:480, :640].astype(np.float32)
    rows = y + np.float32(0.8) * np.sin(x * np.float32(2 * np.pi / 54))  # finer than a drift that is corrected
    right = Photo(cv2.remap(src=pair.right.pixels, map1=x, map2=rows, interpolation=cv2.INTER_CUBIC))
    found = {
        size: {f.code: f for f in prepare(pair.left, right, pair.rig, Config(max_size=size)).findings}
        for size in (320, 640)
    }
    assert found[320].keys() == found[640].keys()
    assert found[640]["rows"].numbers["median_px"] > 0.4 > found[320]["rows"].numbers["median_px"]


def test_a_guessed_focal_length_of_a_rectified_pair_stretches_depth():
    """The pose of a rectified pair is given, so no match determines the focal length."""
    pair = synthetic.render("slanted", pose="rectified", baseline=0.2, size=(320, 240), supersample=1)
    for known, level in (({}, "poor"), ({"focal_35mm": 30.0}, "good")):
        prepared = prepare(pair.left, pair.right, None, Config(rectified=True, **known))
        low, high = prepared.view.focal_range or (1.0, 1.0)
        assert (low < pair.rig.cam1.focal / prepared.view.rig.cam1.focal < high) == (level == "poor")
        assert diagnosis.judge(prepared.findings, 0.5, 0.001, 99, None)[0] == level


def warnings(*codes):
    return [Finding(code, "warning", "So it is.", {}, "") for code in codes]


@pytest.mark.parametrize("code", ["small_baseline", "large_baseline", "forward_motion"])
def test_what_is_measured_counts_by_its_measure(code):
    verdict, summary = diagnosis.judge(warnings(code), 0.5, 0.015, 99, None)
    assert verdict == "good" and summary.startswith("You can rely on it. ") and f"Mind also: {code}." in summary
    assert diagnosis.judge(warnings(code), 0.5, 0.03, 99, None)[0] == "fair"
    verdict, summary = diagnosis.judge(warnings(code, "blur"), 0.5, 0.015, 99, None)
    assert verdict == "fair" and summary.startswith("Usable, with care: the photos are blurred. ")


def test_a_small_baseline_before_a_plane_is_poor_where_depth_is_uncertain():
    found = warnings("small_baseline", "flat_scene")
    assert [diagnosis.judge(found, 0.5, sigma, 99, None)[0] for sigma in (0.015, 0.03)] == ["fair", "poor"]


def test_rows_off_by_a_share_of_the_parallax_are_a_warning():
    y, x = np.indices((9, 9), dtype=np.float32)
    picture, pixels = np.zeros((9, 9, 3), np.uint8), np.stack([x, y], -1)
    rows = cast(RowErrors, {"median_px": 0.4, "most_px": 0.8, "places": 99})
    pair = RectifiedPair(picture, picture, pixels, pixels, rows=rows)
    assert [f.code for f in row_findings(pair, parallax=60.0)] == ["rows"]
    [finding] = row_findings(pair, parallax=20.0)
    assert finding.code == "rows_off" and finding.numbers["parallax_share"] == pytest.approx(0.02)


def test_a_rig_that_was_turned_is_a_warning(render_once):
    """The drift correction aligns the rows again; the error along them stays."""
    pair = render_once("still_life", size=(320, 240), supersample=1)
    knock = rotation_from_vector(np.radians([0.3, 0.2, 0]))
    moved = replace(pair.rig, R=knock @ pair.rig.R, t=knock @ pair.rig.t)
    right, wrong = ({f.code: f for f in prepare(pair.left, pair.right, rig).findings} for rig in (pair.rig, moved))
    assert not {"calibration_off", "rows_off"} & set(right)
    assert "rows_off" not in wrong and wrong["calibration_off"].severity == "warning"
    assert wrong["calibration_off"].numbers["parallax_share"] > 0.03
