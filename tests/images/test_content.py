"""Letterbox bars: found exactly, also behind JPEG's ringing, and nothing taken for them that is none."""

import cv2
import numpy as np
import pytest

from stereo3d.images import content_box
from stereo3d.images.content import crop_to_content
from stereo3d.records import Photo

BARS = {  # top, bottom, left, right, px
    "letterbox": (37, 37, 0, 0),
    "pillarbox": (0, 0, 53, 53),
    "frame": (30, 30, 41, 41),
    "below": (0, 44, 0, 0),
    "padded to the right": (0, 0, 0, 90),
}
COLOURS = {"black": (0, 0, 0), "white": (255, 255, 255), "grey": (128, 128, 128), "video black": (16, 16, 16)}


def picture(width=320, height=240, seed=0):
    """Blobs of several sizes with light and dark at every border."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.uniform(-1, 1, (height // n, width // n, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
        for n in (40, 10, 4)
    ]
    return np.clip(np.rint(128 + 90 * sum(layers) / 2), 0, 255).astype(np.uint8)


def barred(pixels, bars, colour):
    return cv2.copyMakeBorder(pixels, *bars, borderType=cv2.BORDER_CONSTANT, value=colour)


def saved(pixels, quality):
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def box_of(pixels, bars):
    top, _, left, _ = bars
    return left, top, left + pixels.shape[1], top + pixels.shape[0]


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("kind", BARS)
def test_bars_are_found_exactly(kind, colour):
    pixels, bars = picture(), BARS[kind]
    found = content_box(barred(pixels, bars, COLOURS[colour]))
    assert found == box_of(pixels, bars)


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("kind", BARS)
def test_bars_of_a_jpeg_are_found_to_two_pixels(kind, colour, quality):
    pixels, bars = picture(), BARS[kind]
    found = content_box(saved(barred(pixels, bars, COLOURS[colour]), quality))
    assert np.abs(np.subtract(found, box_of(pixels, bars))).max() <= 2


@pytest.mark.parametrize("scale", [0.5, 0.7, 1.6])
def test_bars_of_a_resized_picture_are_found_to_two_pixels(scale):
    pixels, bars = picture(), BARS["letterbox"]
    small = cv2.resize(barred(pixels, bars, (0, 0, 0)), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found = content_box(saved(small, 85))
    assert np.abs(np.subtract(found, scale * np.array(box_of(pixels, bars)))).max() <= 2


@pytest.mark.parametrize("darkness", [12, 40])
def test_a_dark_picture_has_the_bar_of_the_other_side(darkness):
    """A picture about as dark as the bar at its lower border hides that bar's edge."""
    pixels = picture()
    pixels[-60:] //= darkness
    found = content_box(saved(barred(pixels, BARS["letterbox"], (0, 0, 0)), 75))
    assert np.abs(np.subtract(found, box_of(pixels, BARS["letterbox"]))).max() <= 2


def night(pixels):
    """A clipped black sky above roofs."""
    roofs = 90 + (30 * np.sin(np.arange(pixels.shape[1]) / 25)).astype(int)
    return np.where((np.arange(len(pixels))[:, None] < roofs)[..., None], 0, pixels)


def studio(pixels):
    """A ball before a clipped white background."""
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    inside = np.hypot(x - 160, y - 130) < 80
    return np.where(inside[..., None], pixels, 255)


def tilted(pixels):
    """A white sky above a horizon that is tilted by 4 degrees: no straight edge along the border."""
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    return np.where((y < 60 + 0.07 * x)[..., None], 255, pixels)


def noisy_bars(pixels):
    """A dark strip as a camera sees it."""
    strip = barred(pixels, BARS["letterbox"], (10, 10, 10)).astype(float)
    return strip + np.random.default_rng(1).normal(0, 2.5, strip.shape)


@pytest.mark.parametrize("scene", [picture, night, studio, tilted, noisy_bars, np.zeros_like])
@pytest.mark.parametrize("quality", [None, 75])
def test_what_a_camera_saw_is_no_bar(scene, quality):
    pixels = picture() if scene is picture else scene(picture())
    pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    if quality:
        pixels = saved(pixels, quality)
    assert content_box(pixels) == (0, 0, pixels.shape[1], pixels.shape[0])


def test_a_thin_frame_and_a_sliver_of_a_picture_are_left_as_they_are():
    pixels = picture()
    assert content_box(barred(pixels, (2, 2, 2, 2), (0, 0, 0))) == (0, 0, 324, 244)
    assert content_box(barred(pixels, (500, 500, 0, 0), (0, 0, 0))) == (0, 0, 320, 1240)


def test_the_cropped_photo_knows_where_it_was():
    pixels = picture()
    whole = Photo(barred(pixels, BARS["frame"], (0, 0, 0)), {"focal_mm": 5.0})
    content, corner = crop_to_content(whole)
    assert np.array_equal(content.pixels, pixels) and corner.tolist() == [41, 30] and content.exif == whole.exif
    same, corner = crop_to_content(Photo(pixels))
    assert np.array_equal(same.pixels, pixels) and not corner.any()
