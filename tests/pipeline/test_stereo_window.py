"""Stereo windows without calibration: crops that make all disparities of the wrong sign, or of both signs."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.stats import spearmanr

from stereo3d import synthetic
from stereo3d.errors import StereoError
from stereo3d.geometry import rotation_from_vector
from stereo3d.images import read_photo
from stereo3d.pipeline import Config, reconstruct
from stereo3d.pipeline.cameras import cameras_of
from stereo3d.pipeline.pose import MatchedPose, estimate_pose, find_matches
from stereo3d.pipeline.window import settle_window
from stereo3d.records import Camera, Matches, Photo, Rig

SIZE = (320, 240)
QUICK = Config(mesher="grid", matcher="sgm")
# Crops of the disparities 31 to 59 px: of both signs at 40, all of the wrong one at 61.
CROPS = (-61, -30, 0, 30, 40, 61)


@pytest.fixture(scope="module")
def parallel():
    """The still life by parallel cameras of one focal length."""
    return synthetic.render(
        "still_life", size=SIZE, pose=(np.eye(3), np.array([-0.16, 0, 0])), noise=1.0, supersample=2
    )


@pytest.fixture(scope="module")
def toed_in():
    """The still life by cameras turned 7 degrees towards each other."""
    R = rotation_from_vector(np.radians([0.5, -7, 1]))
    return synthetic.render("still_life", size=SIZE, pose=(R, R @ [-0.16, 0, 0]), noise=1.0, supersample=2)


@pytest.fixture(scope="module")
def matched(parallel, toed_in):
    return {
        "parallel": (parallel, find_matches(parallel.left, parallel.right, Config())[1]),
        "toed_in": (toed_in, find_matches(toed_in.left, toed_in.right, Config())[1]),
    }


def windows(crop, width):
    """Columns of the left and the right photo: `crop` px off the left side of the one, the right side of the other."""
    return (slice(max(crop, 0), width + min(crop, 0)), slice(max(-crop, 0), width + min(-crop, 0)))


def cropped(pair, crop):
    cut = windows(crop, pair.left.size[0])
    return [Photo(p.pixels[:, c].copy()) for p, c in zip((pair.left, pair.right), cut, strict=True)], cut


def settled(pair, matches, crop, *, right_first=False, config=QUICK):
    """`settle_window` of the cropped photos with the matches that both hold; +1 for the right order of depth."""
    photos, cut = cropped(pair, crop)
    x = [m - [c.start, 0] for m, c in zip((matches.x1, matches.x2), cut, strict=True)]
    kept = np.all([(a[:, 0] >= 0) & (a[:, 0] <= photos[0].size[0] - 1) for a in x], axis=0)
    x = [a[kept] for a in x]
    if right_first:
        photos, x = photos[::-1], x[::-1]
    rig = cameras_of(*photos, None, config)
    matches = Matches(*x)
    start = MatchedPose(None, matches, estimate_pose(matches, rig, config))
    found, findings = settle_window(*photos, start, config, measured=False)
    view = found.pose.view
    to_camera2 = -(view.R.T @ view.t)[0] * (-1 if right_first else 1)
    return np.sign(to_camera2), {f.code: f for f in findings}, found


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("motion, rectified", [("parallel", False), ("parallel", True), ("toed_in", False)])
def test_the_near_stays_near_in_any_stereo_window(matched, motion, crop, rectified):
    pair, matches = matched[motion]
    for right_first in (False, True):
        sign, findings, found = settled(
            pair, matches, crop, right_first=right_first, config=replace(QUICK, rectified=rectified)
        )
        assert sign == 1
        assert not any(f.severity == "error" for f in findings.values())
        assert "behind_camera" not in findings
        assert found.pose.view.inliers.mean() > 0.9
        if crop <= 30 and motion == "parallel":
            assert not findings, "the disparities keep their signs"
        elif motion == "parallel":
            shift, sigma = (findings["window"].numbers[name] for name in ("shift_px", "sigma_px"))
            assert abs(shift - crop) < 2 * sigma and findings["window"].severity == "warning"


def rank_correlation(result, pair, cut, right_first):
    """Of depth with truth, where both cropped photos see the surface."""
    depth, visible = (pair.depth2, pair.visible2) if right_first else (pair.depth1, pair.visible1)
    first, second = cut[::-1] if right_first else cut
    seen = np.isfinite(result.points[..., 2])
    column, row = result.pair.map1[seen].T.round().astype(int)
    truth, z = depth[:, first][row, column], result.points[seen][:, 2]
    disparity = pair.rig.cam1.focal * 0.16 / truth * (-1 if right_first else 1)
    x2 = column + first.start - disparity - second.start
    both = visible[:, first][row, column] & (x2 >= 0) & (x2 <= first.stop - first.start - 1)
    assert both.sum() > 0.5 * seen.size
    return spearmanr(z[both], truth[both]).statistic


@pytest.mark.parametrize("crop, right_first, rectified", [(61, False, False), (61, True, True), (40, True, False)])
def test_depth_of_an_uncalibrated_stereo_window_is_not_reversed(parallel, crop, right_first, rectified):
    photos, cut = cropped(parallel, crop)
    result = reconstruct(*(photos[::-1] if right_first else photos), config=replace(QUICK, rectified=rectified))
    assert rank_correlation(result, parallel, cut, right_first) > 0.98
    assert "window" in [f.code for f in result.findings] and result.verdict == "poor"
    assert "calibration_exchanged" not in [f.code for f in result.findings]
    finding = next(f for f in result.findings if f.code == "window")
    truth = np.nanquantile(parallel.depth1[:, cut[0]], 0.95) / np.nanquantile(parallel.depth1[:, cut[0]], 0.05)
    assert finding.numbers["depth_ratio_low"] < truth * 1.1
    assert not finding.numbers["depth_ratio_high"] or truth / 1.1 < finding.numbers["depth_ratio_high"]
    assert result.coverage > 0.6


def test_photos_named_against_their_calibration_are_exchanged_by_hidden_strips(parallel):
    """Principal points far apart: all matches are in front in both orders, with depth reversed in one."""
    photos, cut = cropped(parallel, 61)
    cams = []
    for camera, photo, c in zip((parallel.rig.cam1, parallel.rig.cam2), photos, cut, strict=True):
        K = camera.K.copy()
        K[0, 2] -= c.start
        cams.append(Camera(K, photo.size, source="calibration"))
    rig = Rig(*cams, parallel.rig.R, parallel.rig.t)
    result = reconstruct(*photos[::-1], rig, QUICK)
    assert "calibration_exchanged" in [f.code for f in result.findings]
    assert rank_correlation(result, parallel, cut, True) > 0.99
    result = reconstruct(*photos, rig, QUICK)
    assert "calibration_exchanged" not in [f.code for f in result.findings]
    assert rank_correlation(result, parallel, cut, False) > 0.99


def test_a_window_that_nothing_decides_is_refused_by_name():
    """Disparities of both signs over a slope without any depth step: nothing is hidden."""
    rng = np.random.default_rng(0)
    h, w = 240, 320
    wide = np.repeat(rng.integers(0, 256, (h // 2, w, 3)), 2, 0).astype(np.uint8)
    wide = cv2.GaussianBlur(cv2.resize(src=wide, dsize=(2 * w, h)), (0, 0), 1.5)
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    d = (y - h / 2) / 6  # -20 to 20 px
    left = cv2.remap(src=wide, map1=x + 160, map2=y, interpolation=cv2.INTER_LINEAR)
    right = cv2.remap(src=wide, map1=x + 160 + d, map2=y, interpolation=cv2.INTER_LINEAR)
    with pytest.raises(StereoError) as caught:
        reconstruct(Photo(left), Photo(right), config=replace(QUICK, rectified=True))
    assert caught.value.code == "window" and "near" in caught.value.message


def test_a_pose_led_astray_by_matches_behind_is_replaced(matched):
    """The far half at or behind infinity can lead the estimate to another motion that keeps half of the matches."""
    pair, matches = matched["parallel"]
    rig = cameras_of(pair.left, pair.right, None, QUICK)
    pose = estimate_pose(matches, rig, QUICK)
    t = np.array([0.1, 0.95, 0.28]) / np.linalg.norm([0.1, 0.95, 0.28])
    half = np.arange(len(matches)) % 2 == 0
    astray = replace(pose, view=replace(pose.view, R=np.eye(3), t=t, inliers=half))
    found, findings = settle_window(pair.left, pair.right, MatchedPose(None, matches, astray), QUICK, measured=False)
    assert not findings
    assert found.pose.view.inliers.mean() > 0.95 and found.pose.view.t[0] < -0.99


def test_errors_of_a_real_lens_are_no_window(shared_data):
    """With their EXIF, principal points 148 px apart explain kermit000 and kermit002 better, by 11."""
    left, right = (read_photo(shared_data / f"photos/kermit/kermit00{i}.jpg") for i in (0, 2))
    rig = cameras_of(left, right, None, QUICK)
    matches = find_matches(left, right, QUICK, rig=rig)[1]
    start = MatchedPose(None, matches, estimate_pose(matches, rig, QUICK))
    _, findings = settle_window(left, right, start, QUICK, measured=False)
    assert "window" not in {finding.code for finding in findings}
