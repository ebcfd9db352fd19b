"""Captions, stamps and frames that lie over both photos are no scene; what is far away and still is."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from stereo3d import synthetic
from stereo3d.evaluation.pose import pose_errors
from stereo3d.images.overlay import overlay_pixels
from stereo3d.images.reduce import to_grey
from stereo3d.pipeline import Config, overlay
from stereo3d.pipeline.overlay import still_matches, without_overlay
from stereo3d.pipeline.run import prepare
from stereo3d.records import Matches, Photo, Rig

SIZE = (480, 360)
BAR = 70  # px, height of the caption


@pytest.fixture(scope="module")
def pair():
    return synthetic.render("handheld", size=SIZE, noise=1.0, supersample=2)


def coded(pixels, quality=90):
    return Photo(cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR))


def captioned(photo):
    pixels = photo.pixels.copy()
    pixels[-BAR:] = 20
    for row, words in enumerate(("The quick brown fox jumps over", "13 lazy dogs; 2456 of 7890 px")):
        at = (8, SIZE[1] - BAR + 28 + 30 * row)
        cv2.putText(pixels, words, at, cv2.FONT_HERSHEY_DUPLEX, 0.8, (240, 240, 240), 1, cv2.LINE_AA)
    return coded(pixels)


def signed(photo):
    """An emblem in a corner."""
    pixels = photo.pixels.copy()
    emblem = pixels[-80:-16, -190:-20]
    emblem[:] = 235
    for row in range(2):
        at = (8, 26 + 28 * row)
        cv2.putText(emblem, "Photo 24.12.24"[6 * row :][:8], at, cv2.FONT_HERSHEY_DUPLEX, 0.9, (30, 60, 155), 2)
    return coded(pixels)


def moving(n=300, seed=0, still=0, jitter=0.05):
    """Matches that move by 5 to 40 px, and `still` ones that do not."""
    rng = np.random.default_rng(seed)
    x1 = rng.uniform([0, 0], np.array(SIZE) - 1, (n, 2))
    shift = np.c_[rng.uniform(5, 40, n), rng.normal(0, 2, n)]
    shift[:still] = rng.normal(0, jitter, (still, 2))
    return Matches(x1, x1 + shift, np.ones(n, np.float32))


@pytest.mark.parametrize(("drawn_over", "least"), [(captioned, 0.9), (signed, 0.9)])
def test_an_overlay_is_left_out_and_the_pose_is_that_of_the_scene(pair, drawn_over, least):
    left, right = drawn_over(pair.left), drawn_over(pair.right)
    prepared = prepare(left, right, Rig(pair.rig.cam1, pair.rig.cam2))
    found = {f.code: f for f in prepared.findings}
    assert found["overlay"].severity == "info" and "unknown_pixels" not in found and "moving_objects" not in found
    mask = prepared.left.mask
    assert mask is not None and prepared.right.mask is not None and np.array_equal(mask, prepared.right.mask)
    drawn = np.abs(left.pixels.astype(int) - coded(pair.left.pixels).pixels).max(-1) > 60
    assert (~mask)[drawn].mean() > least
    assert (~mask)[: SIZE[1] - BAR - 20].mean() < 0.01
    view = prepared.view
    assert pose_errors(view.R, view.t, pair.rig.R, pair.rig.t)["pose_deg"] < 0.3
    x = np.rint(prepared.matches.x1[view.inliers]).astype(int)
    assert mask[x[:, 1], x[:, 0]].all()


def test_of_large_photos_the_overlay_is_looked_for_at_the_size_of_their_features(pair):
    """Memory follows that size; the mask is that of the whole photo."""
    left, right = (
        replace(
            photo, pixels=cv2.resize(src=photo.pixels, dsize=(3 * SIZE[0], 3 * SIZE[1]), interpolation=cv2.INTER_CUBIC)
        )
        for photo in (captioned(pair.left), captioned(pair.right))
    )
    caption = np.random.default_rng(1).uniform([8, SIZE[1] - BAR + 8], [360, SIZE[1] - 10], (60, 2))
    covered = overlay._covered(left, right, 3 * caption + 1, SIZE[0])
    assert covered.shape == left.pixels.shape[:2]
    assert covered[-3 * BAR + 24 : -12].all() and not covered[: 3 * (SIZE[1] - BAR - 20)].any()


def test_photos_without_an_overlay_stay_as_they_are(pair):
    prepared = prepare(coded(pair.left.pixels), coded(pair.right.pixels), Rig(pair.rig.cam1, pair.rig.cam2))
    assert "overlay" not in {f.code for f in prepared.findings} and prepared.left.mask is None


def test_still_matches_are_a_peak_at_zero():
    assert still_matches(moving(), 1.0) is None
    assert still_matches(moving(still=8), 1.0) is None  # few may be chance
    found = still_matches(moving(still=40), 1.0)
    assert found is not None and found.sum() == 40 and found[:40].all()
    assert still_matches(moving(still=40, jitter=0.8), 1.0) is None  # a thing that happens to move little
    assert still_matches(moving(still=280), 1.0) is None  # hardly anything moves


def test_far_things_seen_by_parallel_cameras_are_no_overlay(pair):
    """A tripod's slide: what is far away stays at its pixels, and belongs to the scene."""
    rng = np.random.default_rng(3)
    x1 = rng.uniform([0, 0], np.array(SIZE) - 1, (400, 2))
    near = np.arange(400) >= 150
    shift = np.where(near, rng.uniform(6, 40, 400), 0)[:, None] * [1, 0]
    matches = Matches(x1, x1 - shift + rng.normal(0, 0.05, x1.shape), np.ones(400, np.float32))
    rig, config = Rig(pair.rig.cam1, pair.rig.cam2), Config()
    assert still_matches(matches, 1.0) is not None
    left, right, kept, findings = without_overlay(pair.left, pair.right, matches, rig, config)
    assert not findings and kept is matches and left is pair.left and right is pair.right


def test_nothing_is_tested_where_the_pose_is_given(pair):
    given = without_overlay(pair.left, pair.right, moving(still=40), pair.rig, Config())
    assert given[3] == []


def test_pixels_of_an_overlay_need_a_seed_or_a_whole_side():
    rng = np.random.default_rng(0)
    one, two = (cv2.GaussianBlur(rng.integers(0, 256, (120, 160, 3), np.uint8), (0, 0), 1.5) for _ in range(2))
    for picture in (one, two):
        picture[40:60, 50:100] = np.random.default_rng(1).integers(0, 256, (20, 50, 3))
        picture[:12] = 240
    bar = np.zeros((120, 160), bool)
    bar[:12] = True
    one, two = (to_grey(picture) for picture in (one, two))
    alone = overlay_pixels(one, two, np.zeros((0, 2)))
    assert alone[bar].all() and alone[16:].mean() < 0.01
    seeded = overlay_pixels(one, two, np.array([[75.0, 50.0]]))
    assert seeded[42:58, 52:98].all() and seeded[16:34].mean() < 0.01 and seeded[66:].mean() < 0.01


def test_a_mask_of_the_user_stays(pair):
    left, right = captioned(pair.left), captioned(pair.right)
    mask = np.ones(SIZE[::-1], bool)
    mask[:, :40] = False
    prepared = prepare(replace(left, mask=mask), right, Rig(pair.rig.cam1, pair.rig.cam2))
    masks = prepared.left.mask, prepared.right.mask
    assert masks[0] is not None and masks[1] is not None
    assert not masks[0][:, :40].any() and masks[1][:200, :40].all()
