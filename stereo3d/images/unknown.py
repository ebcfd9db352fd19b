"""Pixels of a photo that show nothing: transparent ones, and the black border of a warped picture."""

from dataclasses import replace

import numpy as np

from ..records import Photo
from .content import EDGE_LEVELS, RINGING, content_box

OPAQUE = 128  # of 255: alpha of a pixel that shows more of the picture than of what lies behind it
BLACK_LEVELS = 2  # grey levels: a border without noise, after JPEG
MIN_BORDER = 5e-4  # of the photo: a smaller black area at the border is a dark thing
MIN_WIDTH = 5  # px: thinner black lines are no border
SOFT_EDGE = 2  # px beside a border that resampling has mixed with it
MIN_DISTANCE = 4.0  # px from a feature to unknown pixels, at least: half of the smallest SIFT descriptor


def opaque_pixels(alpha: np.ndarray) -> np.ndarray | None:
    """Return the mask (H,W) of an alpha channel (H,W) uint8; None where all or none are opaque."""
    mask = alpha >= OPAQUE
    return None if mask.all() or not mask.any() else mask


def mark_borders(photo: Photo) -> Photo:
    """Return the photo whose mask leaves out black areas without noise that touch its border; bars are no part of it.

    Pictures that were undistorted, rectified, turned or stitched have such borders, of any shape. Pixels beside them
    that JPEG or resampling has darkened belong to them.

    Parameters
    ----------
    photo : Photo
        Where it has no such area it is returned itself.
    """
    x0, y0, x1, y1 = content_box(photo.pixels)
    border = black_border(photo.pixels[y0:y1, x0:x1])
    if border is None:
        return photo
    mask = np.ones(photo.pixels.shape[:2], bool) if photo.mask is None else photo.mask.copy()
    mask[y0:y1, x0:x1] &= ~border
    return replace(photo, mask=mask) if mask.any() else photo


def black_border(pixels: np.ndarray) -> np.ndarray | None:
    """Return the black areas that touch the picture's border, (H,W) bool; None where there are none.

    Parameters
    ----------
    pixels : (H, W, 3) uint8
        RGB.
    """
    import cv2

    ends = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if np.count_nonzero(ends.max(-1) <= BLACK_LEVELS) < MIN_WIDTH:
        return None
    brightest = pixels.max(-1)
    black = (brightest <= BLACK_LEVELS).astype(np.uint8)
    # opening drops thin lines along the border too, as nothing is black beyond it
    framed = cv2.copyMakeBorder(
        black, top=MIN_WIDTH, bottom=MIN_WIDTH, left=MIN_WIDTH, right=MIN_WIDTH, borderType=cv2.BORDER_CONSTANT, value=0
    )
    opened = cv2.morphologyEx(framed, op=cv2.MORPH_OPEN, kernel=np.ones((MIN_WIDTH, MIN_WIDTH), np.uint8))
    opened = opened[MIN_WIDTH:-MIN_WIDTH, MIN_WIDTH:-MIN_WIDTH] & black
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    touching = np.zeros(count, bool)
    for line in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        touching[line] = True
    large = touching & (statistics[:, cv2.CC_STAT_AREA] >= MIN_BORDER * black.size)
    large[0] = False
    if not large.any():
        return None
    border = large[labels].astype(np.uint8)
    border |= _ringing(pixels, border)
    border = cv2.morphologyEx(border, op=cv2.MORPH_CLOSE, kernel=np.ones((MIN_WIDTH, MIN_WIDTH), np.uint8))
    return cv2.dilate(border, kernel=np.ones((2 * SOFT_EDGE + 1,) * 2, np.uint8)) > 0


def _ringing(pixels: np.ndarray, border: np.ndarray) -> np.ndarray:
    """Dark pixels (H,W) uint8 that adjoin a border, within RINGING px of it or, as in a wedge, of a side."""
    import cv2

    near = cv2.dilate(border, kernel=np.ones((2 * RINGING + 1,) * 2, np.uint8))
    near[:RINGING], near[-RINGING:], near[:, :RINGING], near[:, -RINGING:] = 1, 1, 1, 1
    grey = cv2.cvtColor(pixels, code=cv2.COLOR_RGB2GRAY)  # colours, which JPEG halves, ring by more
    dark = ((near > 0) & (grey <= EDGE_LEVELS)).astype(np.uint8)
    count, labels = cv2.connectedComponents(image=dark, connectivity=4)
    joined = np.bincount(labels[border > 0], minlength=count) > 0
    joined[0] = False
    return joined[np.asarray(labels, dtype=np.int64)].astype(np.uint8)


def scene_pixels(photo: Photo) -> np.ndarray:
    """Return the pixels (H,W,3) uint8 with the colour of the nearest known pixel where nothing is known.

    So what a filter, a descriptor or an average reads beside the edge is no contrast that the scene has not.
    """
    return photo.pixels if photo.mask is None else fill_nearest(photo.pixels, photo.mask)


def fill_nearest(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the pixels (H,W,3) with the nearest one in `mask` (H,W) for each one outside it."""
    import cv2

    _, labels = cv2.distanceTransformWithLabels(
        (~mask).astype(np.uint8), distanceType=cv2.DIST_L2, maskSize=5, labelType=cv2.DIST_LABEL_PIXEL
    )
    labels = np.asarray(labels, dtype=np.int64)
    place = np.zeros(int(labels.max()) + 1, np.int64)
    known = np.flatnonzero(mask)
    place[labels.ravel()[known]] = known
    out = pixels.copy()
    out[~mask] = pixels.reshape(-1, 3)[place[labels[~mask]]]
    return out


def away_from_unknown(photo: Photo, x: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return the features, (N,) bool, that lie farther from unknown pixels than their radius.

    Parameters
    ----------
    photo : Photo
        The photo.
    x : (N, 2) float
        px.
    radius : (N,) float
        px; MIN_DISTANCE at least.
    """
    import cv2

    if photo.mask is None or not len(x):
        return np.ones(len(x), bool)
    distance = cv2.distanceTransform(photo.mask.astype(np.uint8), distanceType=cv2.DIST_L2, maskSize=5)
    column, row = np.clip(np.rint(x).astype(int), 0, np.array(photo.size) - 1).T
    return distance[row, column] > np.maximum(radius, MIN_DISTANCE)
