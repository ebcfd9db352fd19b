"""The disparity maps of both pictures made one: what the one lost the other may hold, and each is checked by the other.

Both pictures of a rectified pair share their rows, and a right pixel u with disparity d shows what the left one shows
at x = u + d. So the right map is a second list of points (x, d) on the rows of the left one. Where both know a point,
they are averaged; where the left map has a gap on a surface that the right one knows, that is put in; and where a
surface turns so far away from the left camera that it shrinks to less than a pixel, the right picture's pixels lie
between two left ones: they become points between, and one photo's grid is no longer the limit.
"""

import numpy as np
from numba import njit

from .records import DisparityMap

AGREE = 3.0  # deviations that two estimates of one disparity may differ by
SAME = 1.0  # px, and always: what a matcher's own left-right test allows
LARGEST_STEP = 64  # right pixels between two left ones at most: beyond that no surface was seen by both


def fuse(
    left: DisparityMap, right: DisparityMap, *, swapped: bool = False
) -> tuple[DisparityMap, tuple[np.ndarray, ...]]:
    """(the left map improved by the right one, what lies between its pixels).

    d = (d_l / s_l^2 + d_r / s_r^2) / (1 / s_l^2 + 1 / s_r^2) where the maps agree, |d_l - d_r| <= max(1 px, 3 s),
    s^2 = s_l^2 + s_r^2; the two saw the same pixels, so sigma stays as it was. A left pixel that the right ones beside
    its match contradict, because they see through it, is unknown. An unknown left pixel between the
    places of two neighbouring right ones on one surface gets the disparity between theirs where that continues the left
    map to a neighbour in the row; where it would stand alone it is as likely to be wrong. Not so where the left picture
    tells nothing (sigma inf), as in a sky: there the right one is wrong.
    swapped: of `RectifiedPair`: nearer points have the smaller disparity.

    What lies between: x (N,) f64, fractional left column; row (N,) i64; disparity (N,) f64; sigma (N,) f32, px; by
    rows, in each from left to right, and between two neighbouring known pixels in the order of the right picture.
    """
    if left.disparity.shape != right.disparity.shape:
        raise ValueError(f"fuse needs maps of one size, got {left.disparity.shape} and {right.disparity.shape}")
    disparity, confidence, sigma = (a.copy() for a in (left.disparity, left.confidence, left.sigma))
    _fuse(disparity, confidence, sigma, right.disparity, right.confidence, right.sigma, -1 if swapped else 1)
    count = _between(disparity, sigma, right.disparity, right.sigma, np.empty((0, 4)))
    found = np.empty((count, 4))
    _between(disparity, sigma, right.disparity, right.sigma, found)
    row, x, d, s = found.T
    return DisparityMap(disparity, confidence, sigma), (x.copy(), row.astype(np.int64), d.copy(), s.astype(np.float32))


@njit(cache=True, nogil=True, error_model="numpy")
def _fuse(d, c, s, dr, cr, sr, nearer):
    height, width = d.shape
    taken = np.empty(width, np.float32)
    for y in range(height):
        for x in range(width):
            taken[x] = np.nan
            if not np.isfinite(d[y, x]):
                continue
            u = x - d[y, x]
            i = int(np.floor(u))
            if i < 0 or i + 1 >= width:
                continue
            agreed, through, total, value = 0, False, 0.0, 0.0
            for k in range(2):
                if np.isfinite(dr[y, i + k]):
                    # the right pixel beside u saw the point beside x: the slope between the two counts for nothing here
                    off = dr[y, i + k] - d[y, x]
                    allowed = max(SAME, AGREE * np.sqrt(s[y, x] ** 2 + sr[y, i + k] ** 2))
                    through |= nearer * off < -allowed
                    if abs(off) <= allowed:
                        agreed += 1
                        share = (1 - (u - i)) if k == 0 else u - i
                        total += share
                        value += share * dr[y, i + k]
            if agreed == 0 and through:
                d[y, x], c[y, x], s[y, x] = np.nan, 0, np.nan
            elif agreed == 2:
                wl, wr = 1 / max(s[y, x], 1e-3) ** 2, 1 / max(min(sr[y, i], sr[y, i + 1]), 1e-3) ** 2
                taken[x] = (wl * d[y, x] + wr * value / total) / (wl + wr)
        for x in range(width):
            if np.isfinite(taken[x]):
                d[y, x] = taken[x]
        for u in range(width - 1):
            if not (np.isfinite(dr[y, u]) and np.isfinite(dr[y, u + 1])):
                continue
            first, last = u + dr[y, u], u + 1 + dr[y, u + 1]
            if not 0 < last - first <= 1 + SAME:
                continue
            for x in range(max(0, int(np.ceil(first))), min(width - 1, int(np.floor(last))) + 1):
                if not np.isfinite(d[y, x]) and s[y, x] != np.inf:
                    value = x - (u + (x - first) / (last - first))
                    joins = x > 0 and abs(d[y, x - 1] - value) <= SAME / 2  # False for NaN
                    joins = joins or x + 1 < width and abs(d[y, x + 1] - value) <= SAME / 2
                    if not joins:
                        continue
                    d[y, x] = value
                    c[y, x] = min(cr[y, u], cr[y, u + 1])
                    s[y, x] = max(sr[y, u], sr[y, u + 1])


@njit(cache=True, nogil=True, error_model="numpy")
def _between(d, s, dr, sr, out):
    """Rows (y, x, d, sigma) into out, or only how many where out is empty."""
    height, width = d.shape
    n = 0
    for y in range(height):
        for x in range(width - 1):
            if not (np.isfinite(d[y, x]) and np.isfinite(d[y, x + 1])):
                continue
            begin, end = x - d[y, x], x + 1 - d[y, x + 1]
            if not 2 < end - begin <= LARGEST_STEP:
                continue
            low, high = int(np.ceil(begin + 0.25)), int(np.floor(end - 0.25))
            whole = low >= 0 and high < width and high >= low
            before = d[y, x]
            for u in range(low, high + 1):
                if not whole:
                    break
                v = dr[y, u]
                noise = AGREE * max(sr[y, u], s[y, x])  # False for NaN below
                whole = v <= before + noise and v >= d[y, x + 1] - noise and x < u + v < x + 1
                before = v
            if whole:
                if len(out):
                    for u in range(low, high + 1):
                        out[n, 0], out[n, 1], out[n, 2], out[n, 3] = y, u + dr[y, u], dr[y, u], sr[y, u]
                        n += 1
                else:
                    n += high - low + 1
    return n
