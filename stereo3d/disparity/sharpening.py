"""The fractions of a finished map fitted to the pictures once more, in larger windows."""

import math
from dataclasses import replace

import numpy as np

from .. import resources
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
    """Return the left map of a pair after one round of `refine` in larger windows; unknown pixels stay unknown.

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
    moved = refine(pair.left, pair.right, lo, hi, found.disparity, RADIUS, threads or resources.processors())
    known = np.isfinite(found.disparity) & np.isfinite(moved)
    share = np.float32((2 * SIGMA_RADIUS + 1) / (2 * RADIUS + 1))
    sigma = np.where(np.isfinite(found.sigma), np.maximum(share * found.sigma, np.float32(FLOOR)), found.sigma)
    return replace(found, disparity=np.where(known, moved, found.disparity), sigma=sigma)
