"""How far the disparities of a pair reach: a look at the pair reduced."""

import numpy as np

from ..records import RectifiedPair

LONGER_SIDE = 400  # px of the reduced pair: a look of some tenths of a second
SPECKLE = 100  # pixels of it, a thousandth: smaller islands say nothing
LEAST_SHARE = 0.002  # of its pixels beyond an end, or the range stays: a wrong match in a hundred is not in one place
SPARE = 0.1  # of the width of the range, and px: what lies beyond the last that was matched, as at the picture's edge
SPARE_PX = 8


def reach(
    pair: RectifiedPair, d_range: tuple[float, float], *, widen: bool = True, threads: int | None = None
) -> tuple[float, float]:
    """d_range (lo, hi), px, widened to what the pair shows beyond it; never narrowed.  widen: False leaves it.

    Features tell a range, but what has none may lie nearer than all of them: the ground before one's feet, out of focus
    or paved. The pair is matched by `sgm` at a longer side of 400 px, in a range that is wider by its own width on both
    sides; where 2 of 1000 pixels lie beyond an end, it moves to the outermost thousandth of them, and a little further.
    """
    if not widen:
        return d_range
    from . import compute_disparity

    small, (share, _) = reduced(pair)
    width = pair.left.shape[1]
    lo, hi = d_range
    span = hi - lo
    most = small.left.shape[1] - 1
    wide = max((lo - span) * share, -most), min((hi + span) * share, most)
    wide = max(wide[0], wide[1] - most - 1), wide[1]
    if not wide[0] < wide[1]:
        return d_range
    found, _ = compute_disparity(small, wide, method="sgm", refine=0, speckle=SPECKLE, threads=threads)
    least = LEAST_SHARE * found.size
    found = found[np.isfinite(found)] / share
    spare = SPARE * span + SPARE_PX
    if np.count_nonzero(found < lo) > least:
        lo = min(lo, float(np.quantile(found, LEAST_SHARE / 2)) - spare)
    if np.count_nonzero(found > hi) > least:
        hi = max(hi, float(np.quantile(found, 1 - LEAST_SHARE / 2)) + spare)
    lo, hi = max(lo, 1 - width), min(hi, width - 1)
    return int(np.floor(max(lo, hi - width))), int(np.ceil(hi))


def reduced(pair: RectifiedPair) -> tuple[RectifiedPair, tuple[float, float]]:
    """The pair at a longer side of LONGER_SIDE px, or as it is if that is smaller; its size to the pair's, (w, h)."""
    import cv2

    height, width = pair.left.shape[:2]
    share = min(1.0, LONGER_SIDE / max(height, width))
    size = max(2, round(width * share)), max(2, round(height * share))
    pictures = [cv2.resize(src=p, dsize=size, interpolation=cv2.INTER_AREA) for p in (pair.left, pair.right)]
    maps = [cv2.resize(src=m, dsize=size, interpolation=cv2.INTER_NEAREST) for m in (pair.map1, pair.map2)]
    return RectifiedPair(*pictures, *maps, pair.kind, pair.swapped), (size[0] / width, size[1] / height)
