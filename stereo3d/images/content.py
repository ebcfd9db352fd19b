"""The part of a picture that shows something: without letterbox bars."""

from dataclasses import dataclass, replace

import numpy as np

from ..records import Photo

MIN_BAR = 4  # px; thinner frames neither move a principal point nor cost surface
MIN_CONTENT = 0.25  # of a side: an upright 9:16 video in a 16:9 frame keeps .32 of its width
BAR_LEVELS = 3  # grey levels by which a bar may deviate from its one colour: colour conversion and video codecs
EDGE_LEVELS = 32  # grey levels; JPEG rings by less beside the edge of a bar (measured: qualities 50 to 95)
RINGING = 17  # px; JPEG rings within its blocks, of 16 px where colours are halved, and resizing adds one
SHARP_SHARE = 0.6  # of the pixels of the first line beyond a bar without ringing that deviate by `BAR_LEVELS`
EDGE_SHARE = 0.4  # of the pixels of a line beyond the edge that deviate by `EDGE_LEVELS`
RINGING_SHARE = 0.15  # as `EDGE_SHARE`, at most, 2 px before the edge: an edge is straight
STRIP = 64  # lines looked at together
OPPOSITE = {"top": "bottom", "bottom": "top", "left": "right", "right": "left"}

Box = tuple[int, int, int, int]  # x0, y0, x1, y1


def content_box(pixels: np.ndarray) -> Box:
    """Return the box (x0, y0, x1, y1), `pixels[y0:y1, x0:x1]`, that is left without bars at the border.

    A bar is a strip along a whole side, of one colour without noise, whose inner edge is straight: the picture begins
    along the whole side within 2 px. So a black night sky and a white background are none. JPEG rings beside the edge
    and resizing softens it; both belong to the bar. A dark picture hides the edge of a black
    bar: there the bar on the other side counts.

    Parameters
    ----------
    pixels : (H, W, 3) uint8
        Picture.

    Returns
    -------
    (int, int, int, int)
        px; (0, 0, W, H) where there are no bars, or nothing but bars.
    """
    height, width = pixels.shape[:2]
    sides = list(OPPOSITE)
    while True:
        strips = _constant_strips(pixels, sides)
        bars = _bars(pixels, strips)
        if len(bars) == len(strips):
            break
        sides = list(bars)
    x0, y0, x1, y1 = _inside(bars, width, height)
    if x1 - x0 < MIN_CONTENT * width or y1 - y0 < MIN_CONTENT * height:
        return 0, 0, width, height
    return x0, y0, x1, y1


def crop_to_content(photo: Photo) -> tuple[Photo, np.ndarray]:
    """Return the photo without bars, and the pixel (2,) of the photo that is its pixel (0, 0).

    Parameters
    ----------
    photo : Photo
        Where it has no bars it is returned itself.
    """
    x0, y0, x1, y1 = content_box(photo.pixels)
    if (x1 - x0, y1 - y0) == photo.size:
        return photo, np.zeros(2)
    mask = None if photo.mask is None else photo.mask[y0:y1, x0:x1]
    return replace(photo, pixels=photo.pixels[y0:y1, x0:x1], mask=mask), np.array([x0, y0], float)


@dataclass(frozen=True, eq=False)
class _Strip:
    """The outermost `count` lines along a side of a picture, all of one colour."""

    count: int
    colour: np.ndarray


def _constant_strips(pixels: np.ndarray, sides: list[str]) -> dict[str, _Strip]:
    """The strips of one colour along these sides; of upright ones the part between the others counts."""
    height, width = pixels.shape[:2]
    strips: dict[str, _Strip] = {}
    for side in sides:
        lines = _lines(pixels, side, _inside({s: strip.count for s, strip in strips.items()}, width, height))
        strip = _constant_strip(lines)
        if strip.count == len(lines):
            return {}  # a picture of one colour
        if strip.count >= MIN_BAR:
            strips[side] = strip
    return strips


def _lines(pixels: np.ndarray, side: str, box: Box) -> np.ndarray:
    """The lines parallel to a side, the outermost first; of each the part within the box."""
    x0, y0, x1, y1 = box
    if side in ("top", "bottom"):
        return pixels[:: 1 if side == "top" else -1, x0:x1]
    return pixels[y0:y1, :: 1 if side == "left" else -1].swapaxes(0, 1)


def _inside(counts: dict[str, int], width: int, height: int) -> Box:
    left, top, right, bottom = (counts.get(side, 0) for side in ("left", "top", "right", "bottom"))
    return left, top, width - right, height - bottom


def _deviation(lines: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Largest difference of the channels from a colour, (lines, pixels)."""
    return np.abs(lines - colour).max(-1)


def _constant_strip(lines: np.ndarray) -> _Strip:
    colour = np.median(lines[0], axis=0)
    # bounds of the levels that deviate by at most BAR_LEVELS: compared as bytes, ten times as fast as differences
    low = np.ceil(np.clip(colour - BAR_LEVELS, 0, 255)).astype(np.uint8)
    high = np.floor(np.clip(colour + BAR_LEVELS, 0, 255)).astype(np.uint8)
    first, count = 0, MIN_BAR
    while first < len(lines):
        some = lines[first : first + count]
        other = np.flatnonzero(((some < low) | (some > high)).any((1, 2)))
        if len(other):
            return _Strip(first + int(other[0]), colour)
        first, count = first + count, STRIP
    return _Strip(len(lines), colour)


def _bars(pixels: np.ndarray, strips: dict[str, _Strip]) -> dict[str, int]:
    """The number of lines of those strips that are bars."""
    height, width = pixels.shape[:2]
    box = _inside({side: strip.count for side, strip in strips.items()}, width, height)
    bars = {}
    for side, strip in strips.items():
        edge = _edge(_lines(pixels, side, box), strip)
        if edge is not None:
            bars[side] = edge
    for side, strip in strips.items():
        count, other = bars.get(OPPOSITE[side]), strips.get(OPPOSITE[side])
        if side in bars or count is None or other is None:
            continue
        if count <= strip.count + RINGING and np.abs(strip.colour - other.colour).max() <= BAR_LEVELS:
            bars[side] = count
    return bars


def _edge(lines: np.ndarray, strip: _Strip) -> int | None:
    """The number of lines before the straight edge of the picture, None where it is not straight."""
    deviation = _deviation(lines[strip.count : strip.count + RINGING + 2], strip.colour)
    share = (deviation[:2] > BAR_LEVELS).mean(1)
    ringing = (deviation > EDGE_LEVELS).mean(1)
    for beyond in range(len(deviation) - 1):
        before = ringing[beyond - 2] if beyond > 1 else 0.0
        if ringing[beyond] >= EDGE_SHARE and before <= RINGING_SHARE:
            return strip.count + beyond
    sharp = np.flatnonzero(share >= SHARP_SHARE)
    return strip.count + int(sharp[0]) if len(sharp) else None
