"""The fractions of a finished map fitted to the pictures once more, in larger windows."""

import math
from dataclasses import replace

import numpy as np

from .. import resources
from ..geometry.arrays import all_channels
from ..records import DisparityMap, RectifiedPair
from .refinement import refine
from .uncertainty import FLOOR
from .uncertainty import RADIUS as SIGMA_RADIUS

# px, of the windows: chosen on rendered panoramas and fisheyes (docs/decisions/sphere.md), where 5 to 7 are alike. The
# matcher's own window is half of that.
RADIUS = 6


def sharpen(
    found: DisparityMap, pair: RectifiedPair, d_range: tuple[float, float], *, threads: int | None = None
) -> DisparityMap:
    """Return the left map of a pair after one round of `refine` in larger windows, of what both photos show.

    For smooth surfaces of small disparities, where a tenth of a pixel is some per cent of the depth. sigma, which holds
    for windows of `uncertainty.RADIUS`, falls as the root of the pixels in a window grows.

    Parameters
    ----------
    found : DisparityMap
    pair : RectifiedPair
        Not swapped.
    d_range : (lo, hi)
        px.
    threads : int or None
        None for one per processor. The result does not depend on it.
    """
    lo, hi = math.floor(d_range[0]), math.ceil(d_range[1])
    matched = _both_show(found.disparity, pair)
    start = np.where(matched, found.disparity, np.float32(np.nan))
    moved = refine(pair.left, pair.right, lo, hi, start, RADIUS, threads or resources.processors())
    matched &= np.isfinite(moved)
    share = np.float32((2 * SIGMA_RADIUS + 1) / (2 * RADIUS + 1))
    sigma = np.where(matched, np.maximum(share * found.sigma, np.float32(FLOOR)), found.sigma)
    return replace(found, disparity=np.where(matched, moved, found.disparity), sigma=sigma)


def _both_show(disparity: np.ndarray, pair: RectifiedPair) -> np.ndarray:
    """Return which pixels (H, W) have a disparity that leads to one inside the other photo."""
    height, width = disparity.shape
    at = np.rint(np.arange(width) - np.nan_to_num(disparity)).astype(int)
    inside = all_channels(np.isfinite(pair.map2))
    shown = inside[np.arange(height)[:, None], at.clip(0, width - 1)] & (at >= 0) & (at < width)
    return shown & all_channels(np.isfinite(pair.map1)) & np.isfinite(disparity)
