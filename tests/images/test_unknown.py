"""Transparent pixels and black borders: found, and without influence on what is read of the picture."""

import cv2
import numpy as np
import pytest
from PIL import Image

from stereo3d.features import detect_features
from stereo3d.images import mark_borders, read_photo, scene_pixels
from stereo3d.images.unknown import MIN_DISTANCE, black_border, fill_nearest
from stereo3d.records import Camera, Photo, Rig, TwoView
from stereo3d.rectification.rectify import rectify

H, W = 240, 320


@pytest.fixture(scope="module")
def picture():
    """Blobs of all sizes, brightness 40 to 215."""
    rng = np.random.default_rng(4)
    total = sum(
        cv2.resize(rng.normal(size=(H // s + 2, W // s + 2)), (W, H), interpolation=cv2.INTER_CUBIC) for s in (3, 9, 30)
    )
    grey = np.clip(128 + 40 * total, 40, 215).astype(np.uint8)
    return np.stack([grey, grey[::-1] // 2 + 60, grey[:, ::-1] // 2 + 60], -1)


def ellipse():
    y, x = np.mgrid[:H, :W]
    return ((x - 160) / 150) ** 2 + ((y - 118) / 112) ** 2 <= 1


def jpeg(pixels, quality=85):
    code = cv2.imencode(".jpg", img=pixels[..., ::-1], params=[cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(code, flags=cv2.IMREAD_COLOR)[..., ::-1].copy()


@pytest.mark.parametrize("quality", [70, 85, 95])
@pytest.mark.parametrize("shape", ["turned", "round"])
def test_black_borders_of_any_shape_are_found(picture, shape, quality):
    if shape == "turned":
        turn = cv2.getRotationMatrix2D(center=(W / 2, H / 2), angle=7, scale=0.9)
        bordered = cv2.warpAffine(picture, M=turn, dsize=(W, H), flags=cv2.INTER_LINEAR)
        inside = cv2.warpAffine(np.ones((H, W), np.uint8), M=turn, dsize=(W, H), flags=cv2.INTER_NEAREST) > 0
    else:
        inside = ellipse()
        bordered = np.where(inside[..., None], picture, 0)
    border = black_border(jpeg(bordered.astype(np.uint8), quality))
    assert border is not None and border[~inside].all()
    beside = cv2.dilate((~inside).astype(np.uint8), kernel=np.ones((9, 9), np.uint8)) > 0
    assert not border[~beside].any(), "the picture itself is known"


def test_dark_pictures_have_no_border(picture):
    """Noise, black things in the middle, thin black lines along a side, a few black pixels."""
    rng = np.random.default_rng(0)
    night = np.clip(rng.normal(6, 3, (H, W, 3)), 0, 255).astype(np.uint8)
    thing, line, speck = picture.copy(), picture.copy(), picture.copy()
    thing[80:160, 100:200] = 0
    line[:, :3] = 0
    speck[:6, :6] = 0
    for pixels in (picture, night, thing, line, speck):
        assert black_border(pixels) is None
        photo = Photo(pixels)
        assert mark_borders(photo) is photo


def test_the_nearest_known_pixel_is_taken(picture):
    mask = np.random.default_rng(1).random((40, 50)) < 0.1
    filled = fill_nearest(picture[:40, :50], mask)
    y, x = np.nonzero(mask)
    np.testing.assert_array_equal(filled[mask], picture[:40, :50][mask])
    for row, column in zip(*np.nonzero(~mask), strict=True):
        distance = np.hypot(y - row, x - column)
        near = distance <= distance.min() + 0.3  # OpenCV's distances are of 5 x 5 steps
        assert (filled[row, column] == picture[y[near], x[near]]).all(1).any()


def test_colours_of_transparent_pixels_have_no_influence(picture, tmp_path):
    """Two files that differ in nothing but colours nobody sees: the same features and the same rectified pictures."""
    mask = ellipse()
    photos = []
    for seed in (0, 1):
        hidden = np.random.default_rng(seed).integers(0, 256, picture.shape).astype(np.uint8)
        pixels = np.where(mask[..., None], picture, hidden)
        path = tmp_path / f"{seed}.png"
        Image.fromarray(np.dstack([pixels, np.where(mask, 255, 0)]).astype(np.uint8)).save(path)
        photos.append(read_photo(path))
    first, second = (detect_features(photo) for photo in photos)
    assert len(first.x) > 100
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.descriptors, second.descriptors)
    distance = cv2.distanceTransform(mask.astype(np.uint8), distanceType=cv2.DIST_L2, maskSize=5)
    column, row = np.rint(first.x).astype(int).T
    assert (distance[row, column] > MIN_DISTANCE).all(), "no feature on the edge"

    camera = Camera(np.array([[300.0, 0, 159.5], [0, 300, 119.5], [0, 0, 1]]), (W, H))
    for turned in (np.eye(3), cv2.Rodrigues(np.array([0.02, -0.05, 0.03]))[0]):
        t = np.array([-1.0, 0, 0])
        view = TwoView(np.zeros((3, 3)), turned, t, np.zeros(0, bool), Rig(camera, camera, turned, t))
        pairs = [rectify(photo, photos[0], view) for photo in photos]
        known = np.isfinite(pairs[0].map1[..., 0])
        x = np.rint(pairs[0].map1[known]).astype(int)
        assert known.any() and mask[x[:, 1], x[:, 0]].all(), "what is unknown has no place in the photo"
        np.testing.assert_array_equal(pairs[0].left[known], pairs[1].left[known])


def test_a_photo_without_unknown_pixels_is_read_as_it_is(picture):
    photo = Photo(picture)
    assert scene_pixels(photo) is photo.pixels
    with pytest.raises(ValueError, match="mask"):
        Photo(picture, mask=np.ones((3, 4), bool))
