"""Straight edges of a photo."""

import numpy as np

from ..records import Photo
from .reduce import reduced_grey

SEGMENT_SIZE = 1200  # px, longer side at which edges are sought
MIN_LENGTH = 0.02  # of a segment / longer side of the photo


def line_segments(photo: Photo, *, max_size: int = SEGMENT_SIZE) -> np.ndarray:
    """Return the straight edges of a photo, found at this longer side.

    Parameters
    ----------
    photo : Photo
    max_size : int
        px.

    Returns
    -------
    (N, 2, 2) float64
        Both ends of each, px of the photo; those of at least `MIN_LENGTH` whose pixels the scene shows.

    References
    ----------
    Grompone von Gioi et al., LSD: a line segment detector, 2012.
    """
    import cv2

    grey, scale = reduced_grey(photo, max_size)
    levels = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    found = cv2.createLineSegmentDetector().detect(levels)[0]
    if found is None:
        return np.zeros((0, 2, 2))
    ends = np.reshape(found, (-1, 2, 2)).astype(float)
    ends = (ends + 0.5) / scale - 0.5
    long = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) >= MIN_LENGTH * max(photo.size)
    if photo.mask is not None:
        at = np.clip(np.rint(ends).astype(int), 0, np.array(photo.size) - 1)
        long &= photo.mask[at[..., 1], at[..., 0]].all(1)
    return ends[long]
