"""Pixels that two pictures have in common: a caption, a date stamp, a frame, the window of a programme."""

import numpy as np

BLOCK = 5  # px: differences and contrast are means over such squares
SAME_LEVELS = 1.0  # grey levels, mean difference of what was drawn into both; two photos have noise
SAME_SHARE = 0.15  # of the local contrast, by which JPEG may change it
MIN_CONTRAST = 6.0  # grey levels, standard deviation: below it equal pixels say nothing
BAND_SHARE = 0.9  # of a row or column at the border that is equal, of a bar
MIN_BAND = 4  # rows or columns of a bar, at least
GAP = 1 / 60  # of the longer side: what lies between two letters belongs to them
GROUND = 1 / 20  # of the longer side: equal pixels without texture so near belong to them, too
MARGIN = 1 / 160  # of the longer side: what JPEG and resizing have mixed with it


def overlay_pixels(one: np.ndarray, two: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Return the pixels of what lies over both pictures at the same place, (H,W) bool.

    Textured pixels that are equal, and what lies between them, where a seed is near; and bars along a side that are
    equal over their whole width.

    Parameters
    ----------
    one, two : (H, W) uint8
        Grey levels, of pictures of the size at which features are found: lengths here are px of such.
    seeds : (N, 2) float
        px of places that both have in common.
    """
    import cv2

    a, b = (grey.astype(np.float32) for grey in (one, two))
    box = (BLOCK, BLOCK)
    difference = cv2.blur(np.abs(a - b), box)
    contrast = np.sqrt(np.maximum(cv2.blur(a * a, box) - cv2.blur(a, box) ** 2, 0))
    same = difference < SAME_LEVELS + SAME_SHARE * contrast
    long = max(same.shape)
    wide = 2 * round(long * GAP / 2) + 1
    drawn = (same & (contrast > MIN_CONTRAST)).astype(np.uint8)
    kernel = cv2.getStructuringElement(shape=cv2.MORPH_ELLIPSE, ksize=(wide, wide))
    drawn = np.asarray(cv2.morphologyEx(drawn, op=cv2.MORPH_CLOSE, kernel=kernel), np.uint8)
    count, found = cv2.connectedComponents(drawn, connectivity=8)
    labels = np.asarray(found, np.int32)
    near = cv2.dilate(labels.astype(np.float32), kernel=_square(BLOCK)).astype(int)
    x, y = np.rint(seeds).astype(int).clip(0, [same.shape[1] - 1, same.shape[0] - 1]).T
    seeded = np.zeros(count, bool)
    seeded[labels[y, x]] = seeded[near[y, x]] = True
    seeded[0] = False
    mask = (seeded[labels] | _bands(same)).astype(np.uint8)
    mask |= np.asarray(cv2.dilate(mask, kernel=_square(long * GROUND)), np.uint8) & same.astype(np.uint8)
    mask = cv2.morphologyEx(mask, op=cv2.MORPH_OPEN, kernel=_square(2))  # specks
    return np.asarray(cv2.dilate(mask, kernel=_square(long * MARGIN))) > 0


def _square(radius: float) -> np.ndarray:
    return np.ones((2 * max(1, round(radius)) + 1,) * 2, np.uint8)


def _bands(same: np.ndarray) -> np.ndarray:
    """Bars along the sides whose pixels are equal, (H,W) bool: rows first, then columns of what is left between."""
    height, width = same.shape
    top, bottom = _ends(same.mean(1))
    inner = same[top : height - bottom]
    left, right = _ends(inner.mean(0)) if len(inner) else (0, 0)
    band = np.ones((height, width), bool)
    band[top : height - bottom, left : width - right] = False
    return band


def _ends(share: np.ndarray) -> tuple[int, int]:
    """Number of lines at both ends that are equal, 0 for less than MIN_BAND; all: none."""
    smooth = np.convolve(np.pad(share, BLOCK // 2, mode="edge"), np.ones(BLOCK) / BLOCK, "valid")
    other = np.flatnonzero(smooth < BAND_SHARE)
    if not len(other):
        return 0, 0
    ends = int(other[0]), len(share) - 1 - int(other[-1])
    return ends[0] * (ends[0] >= MIN_BAND), ends[1] * (ends[1] >= MIN_BAND)
