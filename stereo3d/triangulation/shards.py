"""Shards: narrow strips of a point map that run along the lines of sight, between a near surface and a far one."""

import numpy as np

from ..geometry.arrays import norms

MAX_ANGLE = 80.0  # degrees between surface normal and line of sight: `build_mesh` tears steeper steps as well
REACH = 2  # px to the neighbours that give the normal: five pixels, half a matching window and more
NARROW = 9  # px, with REACH on either side: outlines are off by less than five pixels (`python benchmarks/forward.py`)
STRIP_ROWS = 128  # rows at a time: bounds the memory


def shards(points: np.ndarray) -> np.ndarray:
    """Return which points belong to a steep part of the map that is less than NARROW px wide or high.

    A ground or a wall at a grazing angle is steep over a wide part of the map; what a matcher lays between the two
    sides of an outline, or what noise makes of a surface whose parallax is small, is not.

    Parameters
    ----------
    points : (H, W, 3) float64
        Frame of camera 1, NaN: unknown.

    Returns
    -------
    (H, W) bool
    """
    import cv2

    steep = np.zeros(points.shape[:2], np.uint8)
    for first in range(0, len(points), STRIP_ROWS):
        before = max(0, first - REACH)
        strip = points[before : first + STRIP_ROWS + REACH]
        steep[first : first + STRIP_ROWS] = _steep(strip)[first - before :][:STRIP_ROWS]
    wide = cv2.morphologyEx(src=steep, op=cv2.MORPH_OPEN, kernel=np.ones((NARROW, NARROW), np.uint8))
    return (steep > 0) & (wide == 0)


def _steep(points: np.ndarray) -> np.ndarray:
    """(H, W) bool, True where the normal through the neighbours is more than MAX_ANGLE off the line of sight."""
    out = np.zeros(points.shape[:2], bool)
    if min(out.shape) <= 2 * REACH:
        return out
    inner = slice(REACH, -REACH)
    down = points[2 * REACH :, inner] - points[: -2 * REACH, inner]
    right = points[inner, 2 * REACH :] - points[inner, : -2 * REACH]
    normals, rays = np.cross(down, right), points[inner, inner]
    along = np.abs((normals * rays).sum(-1))
    with np.errstate(invalid="ignore"):
        out[inner, inner] = along < np.cos(np.radians(MAX_ANGLE)) * norms(normals) * norms(rays)
    return out
