"""The search range of a pair: widened where a reduced pair shows disparities beyond it."""

import numpy as np

from ..records import RectifiedPair
from .matching import compute_disparity

LONGER_SIDE = 400  # px of the reduced pair, which takes some tenths of a second to match
SPECKLE = 100  # pixels of the reduced pair, a thousandth: smaller components do not count
MIN_SHARE = 0.002  # of its pixels beyond an end of the range: single wrong matches are not that many
SPARE = 0.1  # of the width of the range, beyond the outermost matched disparity
SPARE_PX = 8  # px, likewise, for surfaces at the picture's edge


def widen_range(
    pair: RectifiedPair, d_range: tuple[float, float], *, widen: bool = True, threads: int | None = None
) -> tuple[float, float]:
    """Return the range (lo, hi) widened to the disparities that the pair shows beyond it; never narrowed.

    Features miss near surfaces without corners, such as paved or blurred ground in front of the camera. The pair is
    matched by `sgm` at a longer side of 400 px, in a range extended by its own width on both sides. Where 2 of 1000
    pixels lie beyond an end, that end moves to their outermost thousandth and a little further.

    Parameters
    ----------
    pair : RectifiedPair
        Rectified pictures.
    d_range : (float, float)
        px, range of the matched features.
    widen : bool
        False leaves the range as it is.
    threads : int or None
        None for one per processor.

    Returns
    -------
    (float, float)
        px.
    """
    if not widen:
        return d_range
    small, (share, _) = reduce_pair(pair)
    width = pair.left.shape[1]
    lo, hi = d_range
    span = hi - lo
    max_disparity = small.left.shape[1] - 1
    wide = max((lo - span) * share, -max_disparity), min((hi + span) * share, max_disparity)
    wide = max(wide[0], wide[1] - max_disparity - 1), wide[1]
    if not wide[0] < wide[1]:
        return d_range
    found, _ = compute_disparity(small, wide, method="sgm", refine=0, speckle=SPECKLE, threads=threads)
    min_count = MIN_SHARE * found.size
    found = found[np.isfinite(found)] / share
    spare = SPARE * span + SPARE_PX
    if np.count_nonzero(found < lo) > min_count:
        lo = min(lo, float(np.quantile(found, MIN_SHARE / 2)) - spare)
    if np.count_nonzero(found > hi) > min_count:
        hi = max(hi, float(np.quantile(found, 1 - MIN_SHARE / 2)) + spare)
    lo, hi = max(lo, 1 - width), min(hi, width - 1)
    return int(np.floor(max(lo, hi - width))), int(np.ceil(hi))


def reduce_pair(pair: RectifiedPair, side: int = LONGER_SIDE) -> tuple[RectifiedPair, tuple[float, float]]:
    """Return the pair at a longer side of `side` px, or as it is if smaller, and its scale (across, down)."""
    import cv2

    height, width = pair.left.shape[:2]
    share = min(1.0, side / max(height, width))
    size = max(2, round(width * share)), max(2, round(height * share))
    left, right = (cv2.resize(src=p, dsize=size, interpolation=cv2.INTER_AREA) for p in (pair.left, pair.right))
    map1, map2 = (cv2.resize(src=m, dsize=size, interpolation=cv2.INTER_NEAREST) for m in (pair.map1, pair.map2))
    scale = size[0] / width, size[1] / height
    epipoles = pair.epipole_columns
    if epipoles is not None:
        epipoles = tuple((x + 0.5) * scale[0] - 0.5 for x in epipoles)
    small = RectifiedPair(left, right, map1, map2, pair.kind, pair.swapped, epipole_columns=epipoles)
    return small, scale
