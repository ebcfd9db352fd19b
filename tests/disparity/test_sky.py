"""The sky: matches no better than infinity, lies at the photo's border, and is followed by its colour."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from stereo3d import synthetic
from stereo3d.disparity import compute_disparity, methods
from stereo3d.disparity.planes import segments, views
from stereo3d.disparity.planes import sky as sky_module
from stereo3d.disparity.planes import support as support_module
from stereo3d.disparity.rows import flip_copy
from stereo3d.records import RectifiedPair
from stereo3d.rectification import disparity_range, rectify
from stereo3d.synthetic.matches import exact_matches
from stereo3d.two_view import estimate_two_view

H, W = 160, 240


def gradient():
    """A sky that brightens downwards, with the noise of a camera."""
    y = np.linspace(0, 12, H)[:, None, None]
    noise = np.random.default_rng(2).normal(0, 1.5, (H, W, 3))
    return np.array([150, 180, 215]) + y + noise


@pytest.fixture(scope="module")
def branches():
    """A picture, and its true sky: open above, in gaps of 6 px between dark branches of 4 px, above ground.

    Each branch has a soft edge, as from a lens.
    """
    dark = np.zeros((H, W))
    for x in range(60, 180, 10):
        dark[50:, x : x + 4] = 1
    dark[100:] = 1
    rng = np.random.default_rng(3)
    ground = rng.uniform(20, 90, (H, W, 1)) * np.ones(3)
    cover = cv2.GaussianBlur(dark, ksize=(0, 0), sigmaX=0.6)[..., None]
    picture = np.clip(np.rint((1 - cover) * gradient() + cover * ground), 0, 255).astype(np.uint8)
    return picture, dark == 0


def test_the_sky_is_followed_between_branches(branches):
    picture, truth = branches
    seen = np.ones((H, W), bool)
    empty = np.zeros((H, W), bool)
    empty[:45] = True  # the windows farther down contain branches or ground
    empty[60:100, :50] = True
    surface = np.zeros((H, W), bool)
    surface[115:] = True
    sky = sky_module.find_sky(picture, seen, empty, surface)
    gaps = truth.copy()
    gaps[:50], gaps[66:], gaps[:, :60], gaps[:, 180:] = False, False, False, False
    assert sky[:50].all() and sky[gaps].mean() > 0.97
    middles = np.zeros((H, W), bool)
    for x in range(60, 180, 10):
        middles[60:, x + 1 : x + 3] = True
    assert not sky[middles].any() and not sky[112:].any(), "branches and ground are no sky"
    assert not sky_module.find_sky(picture, seen, empty, np.ones((H, W), bool))[56:, 60:].any(), "nor a known one"


def test_an_empty_area_in_the_middle_is_no_sky():
    """A white wall between textured things, and one that only a corner of 2 px joins to the border."""
    picture = np.random.default_rng(0).integers(0, 200, (H, W, 3)).astype(np.uint8)
    picture[40:100, 60:180] = 230
    empty = np.zeros((H, W), bool)
    empty[40:100, 60:180] = True
    seen, none = np.ones((H, W), bool), np.zeros((H, W), bool)
    assert not sky_module.find_sky(picture, seen, empty, none).any()
    touching = empty.copy()
    touching[40:42, :60], picture[40:42, :60] = True, 230
    assert not sky_module.find_sky(picture, seen, touching, none).any()
    touching[40:100, :60], picture[40:100, :60] = True, 230
    assert sky_module.find_sky(picture, seen, touching, none)[45:95, 60:175].all()


def test_a_dark_roof_beside_the_sky_is_no_sky():
    """Two empty areas, one of which alone touches the border, and between them a step of colour."""
    picture = np.clip(np.rint(gradient()), 0, 255).astype(np.uint8)
    picture[80:140, 60:180] = 40
    empty = np.ones((H, W), bool)
    sky = sky_module.find_sky(picture, np.ones((H, W), bool), empty, np.zeros((H, W), bool))
    assert sky[:78].all() and not sky[82:138, 62:178].any()


def test_the_edge_is_found_again_at_full_size(branches):
    picture, truth = branches
    small = cv2.resize(truth.astype(np.float32), (W // 2, H // 2), interpolation=cv2.INTER_AREA) > 0.5
    sky = sky_module.enlarge_sky(picture, np.ones((H, W), bool), small)
    inner = cv2.erode(truth.astype(np.uint8), kernel=np.ones((3, 3), np.uint8)) > 0
    touching = cv2.dilate(truth.astype(np.uint8), kernel=np.ones((3, 3), np.uint8)) > 0
    beyond = cv2.dilate(truth.astype(np.uint8), kernel=np.ones((5, 5), np.uint8)) == 0
    assert sky[:45].all() and sky[inner].mean() > 0.97 and sky[touching].mean() > 0.97 and not sky[beyond].any()
    assert not sky_module.enlarge_sky(picture, np.ones((H, W), bool), np.zeros_like(small)).any()


@pytest.mark.parametrize("infinity, supported", [(None, True), (-10, False), (-14, True)])
def test_what_matches_at_infinity_too_is_no_surface(infinity, supported):
    """Random census codes that agree at disparity 6 and equally well at -10."""
    rng = np.random.default_rng(0)
    black = np.zeros((200, 320, 3), np.uint8)
    view, other = views.initial_views(black, black, (None, None), (200, 320), 1, flip_copy)
    labels = np.zeros((200, 320), np.int32)
    whole = views.Segmentation(labels, 1, segments.segment_pixels(labels, 1), np.zeros(1, int))
    period = rng.integers(0, 2**34, (200, 16)).astype(np.uint64)
    codes = np.tile(period, 20)  # repeats every 16 px
    noise = (rng.random((200, 320, 34)) < 0.2) @ (1 << np.arange(34, dtype=np.uint64))
    view = replace(
        view,
        d=np.full((200, 320), 6, np.float32),
        segmentations=(whole,),
        census=np.roll(codes, 6, axis=1) ^ noise,
        other_census=codes,
    )
    energy, _ = methods.plane_energy(-20, 20)
    found = support_module.supported_pixels(view, other, replace(energy, infinity=infinity)).supported
    assert found[20:-20, 40:-40].mean() == supported


def test_a_sky_with_the_pattern_of_the_sensor_is_not_kept():
    """Above textured ground at 8 px a faint pattern that both cameras add to the sky: it matches, at 0 px."""
    rng = np.random.default_rng(1)
    ground = cv2.GaussianBlur(rng.uniform(0, 255, (H, W + 8)), ksize=(0, 0), sigmaX=1.2)
    ground = np.clip(128 + 3 * (ground - 128), 0, 255)
    pattern = cv2.GaussianBlur(rng.normal(0, 1, (H, W)), ksize=(0, 0), sigmaX=1.5)
    pattern *= 1.0 / pattern.std()
    pictures = []
    for first in (0, 8):  # left(x) = right(x - 8)
        sky = gradient().mean(-1) + pattern + rng.normal(0, 1.0, (H, W))
        picture = np.where(np.arange(H)[:, None] < 90, sky, ground[:, first : first + W])
        pictures.append(np.repeat(np.clip(np.rint(picture), 0, 255).astype(np.uint8)[..., None], 3, -1))
    x = np.stack(np.meshgrid(np.arange(W), np.arange(H)), -1).astype(np.float32)
    pair = RectifiedPair(*pictures, x, x)
    kept = {}
    for infinity in (None, -20.0, 0.0):
        d, _ = compute_disparity(replace(pair, infinity=infinity), (-24, 24), method="planes_fast")
        kept[infinity] = np.isfinite(d)
        assert np.mean(np.abs(d[100:, 30:-12] - 8) < 0.5) > 0.95
    assert kept[None][:80].mean() > 0.5, "without infinity the pattern counts as texture"
    assert kept[0.0][:80].mean() < 0.01


@pytest.mark.parametrize("scene", ["slanted", "bars"])
def test_infinity_outside_the_other_picture_takes_no_surface(scene):
    """Cameras that converge on a scene have infinity far outside the search range, beside the other picture."""
    pair = synthetic.render(scene, pose="converging", size=(400, 300), supersample=2)
    matches = exact_matches(pair, 400)
    view = estimate_two_view(matches, pair.rig)
    rectified = rectify(pair.left, pair.right, view, inlier_x=(matches.x1, matches.x2))
    assert rectified.infinity is not None
    d_range = disparity_range(rectified, matches.x1, matches.x2)
    without = replace(rectified, infinity=None)
    found, free = (np.isfinite(compute_disparity(p, d_range)[0]).mean() for p in (rectified, without))
    assert found > 0.98 * free


def test_what_one_photo_shows_is_sky_where_it_goes_on_from_a_sky():
    """Below a wire, beside a wall: an area that photo 2 does not show, in the colour of the sky above or in another."""
    picture = np.clip(np.rint(gradient()), 0, 255).astype(np.uint8)
    picture[50:53], picture[53:, :150] = 40, 90
    empty, unseen, none = np.zeros((3, H, W), bool)
    empty[:50], unseen[53:, 150:] = True, True
    seen = np.ones((H, W), bool)
    assert not sky_module.find_sky(picture, seen, empty, none)[150:].any(), "followed by its colour alone it ends"
    sky = sky_module.find_sky(picture, seen, empty, none, unseen)
    assert sky[:46].all() and sky[58:, 156:].all() and not sky[58:, :145].any()
    assert not sky_module.find_sky(picture, seen, none, none, unseen).any(), "without a sky there is none to go on"
    picture[53:, 150:] -= np.uint8(60)
    assert not sky_module.find_sky(picture, seen, empty, none, unseen)[58:].any()


def test_no_surface_continues_into_the_sky(monkeypatch):
    """Photo 2 ends at column 100: a plane at 12 px goes on beyond, but for where the sky is."""
    rng = np.random.default_rng(2)
    wall = np.repeat(rng.integers(0, 255, (H, W + 12, 1)), 3, -1).astype(np.uint8)
    x = np.stack(np.meshgrid(np.arange(W), np.arange(H)), -1).astype(np.float32)
    ends = np.where(x[..., :1] < 100, x, np.float32(np.nan))
    pair = RectifiedPair(wall[:, :W].copy(), wall[:, 12:].copy(), x, ends)
    sky = np.zeros((H, W), bool)
    sky[:80, 120:] = True
    kept = []
    for mask in (None, sky):
        d = np.full((H, W), 12, np.float32)
        found = methods.Found(d, d, odds=(0.01, 0.0, 0.0, 0.0), complete=True, sky=(mask, mask))
        monkeypatch.setitem(methods.MATCHERS, "plane", lambda left, right, lo, hi, found=found: found)
        kept.append(np.isfinite(compute_disparity(pair, (0, 24), method="plane")[0]))
    assert kept[0][:, 20:150].all()
    assert not kept[1][:80, 120:].any() and (kept[1] == kept[0])[:, :120].all()
