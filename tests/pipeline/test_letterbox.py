"""A pair with letterbox bars comes out as the same pair without them."""

import cv2
import numpy as np
import pytest

from stereo3d import synthetic
from stereo3d.cameras import camera_for
from stereo3d.diagnosis import run_findings
from stereo3d.evaluation.pose import pose_errors
from stereo3d.pipeline import Config, prepare, reconstruct
from stereo3d.records import Photo

TOP, BOTTOM = 60, 60  # px
PRIOR_FOCAL = 28 / 43.267  # of the diagonal: 28 mm of 35 mm film


@pytest.fixture(scope="module")
def bare(render_once):
    return render_once("handheld", size=(320, 240), supersample=2)


def barred(photo, bars=(TOP, BOTTOM, 0, 0), colour=(0, 0, 0), exif=None):
    pixels = cv2.copyMakeBorder(photo.pixels, *bars, borderType=cv2.BORDER_CONSTANT, value=colour)
    return Photo(pixels, exif or {})


@pytest.fixture(scope="module")
def results(bare):
    config = Config(mesher="grid", matcher="block")
    photos = (bare.left, bare.right), (barred(bare.left), barred(bare.right))
    return [reconstruct(*pair, config=config) for pair in photos]


def test_the_verdict_is_that_of_the_pair_without_bars(results):
    without, result = results
    findings = {f.code: f for f in result.findings}
    assert findings.pop("letterbox").severity == "info"
    assert set(findings) == {f.code for f in without.findings} and "bad_exposure" not in findings
    assert result.verdict == without.verdict
    assert result.coverage == pytest.approx(without.coverage, abs=0.02)


def test_the_pose_is_that_of_the_pair_without_bars(results):
    without, result = results
    assert np.allclose(result.matches.x1, without.matches.x1 + [0, TOP])
    errors = pose_errors(result.view.R, result.view.t, without.view.R, without.view.t)
    assert max(errors.values()) < 0.02, (
        "only the prior of the lens depends on the size of the photo, in the last digits"
    )


def test_bars_are_no_surface(results):
    _, result = results
    known = np.isfinite(result.points[..., 2])
    y = result.pair.map1[known][:, 1]
    assert known.any() and (y > TOP - 1).all() and (y < TOP + 240).all()


def test_bars_of_a_rectified_pair_are_no_surface():
    pair = synthetic.render("slanted", size=(320, 240), supersample=1)
    prepared = prepare(barred(pair.left), barred(pair.right), config=Config(rectified=True))
    assert prepared.pair.kind == "identity"
    for map_ in (prepared.pair.map1, prepared.pair.map2):
        known = np.isfinite(map_[..., 0])
        assert known[TOP : TOP + 240].all() and not known[:TOP].any() and not known[TOP + 240 :].any()


@pytest.mark.parametrize("bars", [(TOP, BOTTOM, 0, 0), (0, 0, 50, 50), (0, 70, 0, 0), (0, 0, 90, 0), (20, 40, 30, 60)])
def test_the_lens_looks_through_the_middle_of_the_picture(bare, bars):
    photo = barred(bare.left, bars, (255, 255, 255))
    camera = camera_for(photo)
    assert camera.size == photo.size
    assert np.allclose(camera.K[:2, 2], [bars[2] + 159.5, bars[0] + 119.5])
    assert camera.focal == pytest.approx(PRIOR_FOCAL * 400, rel=1e-3)  # 400 px: the diagonal of 320 x 240
    assert camera_for(photo, fov=60).focal == pytest.approx(160 / np.tan(np.radians(30)))


def test_the_exif_of_bars_added_later_and_of_bars_by_the_camera(bare):
    """EXIF has the size of the picture alone, or that with the bars; the 35 mm equivalent belongs to that size."""
    for size, diagonal in (((3200, 2400), 400), ((320, 360), np.hypot(320, 360))):
        photo = barred(bare.left, exif={"focal_35mm": 28.0, "size_exif": size})
        assert camera_for(photo).focal == pytest.approx(PRIOR_FOCAL * diagonal, rel=1e-3)
        photos = photo, photo
        assert not run_findings.cropped_findings(*photos, prepare_rig(*photos))


def prepare_rig(left, right):
    from stereo3d.records import Rig

    return Rig(camera_for(left), camera_for(right))


def test_bars_of_one_photo_are_no_crop(bare):
    left = barred(bare.left)
    assert not run_findings.cropped_findings(left, bare.right, prepare_rig(left, bare.right))
    [note] = run_findings.letterbox_findings(left, bare.right)
    assert note.severity == "info" and "the first photo has" in note.message and "320 x 240" in note.message
