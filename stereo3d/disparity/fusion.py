"""Fuse the left- and right-view disparity maps: cross-check, inverse-variance average, fill.

Both pictures of a rectified pair share their rows, and a right pixel u with disparity d shows the scene at the left
place x = u + d. So the right map is a second list of points (x, d) on the rows of the left one. Where both maps agree
they are averaged; where the right one contradicts the left one, the left disparity is dropped; a gap of the left map on
a surface that the right one knows is filled. Where a surface is so steep to the left camera that it shrinks below a
pixel, the right picture's pixels lie between two left ones: they become `RightViewPixels`, finer than one photo's grid.
"""

from typing import NamedTuple

import numpy as np

from .. import resources
from ..kernel_cache import njit
from ..records import DisparityMap, RightViewPixels
from .rows import parallel_rows

MAX_DEVIATIONS = 3.0  # standard deviations between two estimates of one disparity
SAME = 1.0  # px, a difference that always counts as none: the tolerance of a matcher's left-right test
MAX_STEP = 64  # px of the right picture between two neighbouring left pixels: beyond that no surface was seen by both
MIN_SIGMA = 1e-3  # px, in the weights of the average
EDGE = 0.25  # px, between the matches of two left pixels and the right pixels between them


class _Map(NamedTuple):
    """The arrays of a `DisparityMap`, for the kernels; (H,W) f32."""

    disparity: np.ndarray
    confidence: np.ndarray
    sigma: np.ndarray


def fuse(left: DisparityMap, right: DisparityMap, *, swapped: bool = False) -> tuple[DisparityMap, RightViewPixels]:
    """d = (d_l / s_l^2 + d_r / s_r^2) / (1 / s_l^2 + 1 / s_r^2) where the maps agree; the left map completed.

    Two disparities agree where |d_l - d_r| <= max(1 px, 3 s), s^2 = s_l^2 + s_r^2. sigma stays that of the left map,
    as both estimates come from the same pixels. A left pixel becomes unknown where the right pixels at its match look
    past it at something farther. An unknown left pixel between the places of two neighbouring right ones on one surface
    gets the disparity between theirs, if that continues the left map to a neighbour in the row: isolated ones are wrong
    as often as right. Pixels with sigma inf stay unknown: without texture in the left picture, as in a sky, the right
    map is wrong there.

    Parameters
    ----------
    left, right : DisparityMap
        Of both pictures, of one size.
    swapped : bool
        As in `RectifiedPair`: nearer points have the smaller disparity.

    Returns
    -------
    fused : DisparityMap
        Of the left picture.
    between : RightViewPixels
        Points between its pixels.

    Raises
    ------
    ValueError
        Where the maps differ in size.
    """
    if left.disparity.shape != right.disparity.shape:
        raise ValueError(f"fuse needs maps of one size, got {left.disparity.shape} and {right.disparity.shape}")
    fused = _Map(left.disparity.copy(), left.confidence.copy(), left.sigma.copy())
    other = _Map(right.disparity, right.confidence, right.sigma)
    height, threads = len(fused.disparity), resources.processors()
    parallel_rows(height, threads, _fuse_rows, fused, other, -1 if swapped else 1)
    first = np.zeros(height + 1, np.int64)
    parallel_rows(height, threads, _points_between, fused, other, first, np.empty((0, 4)))
    np.cumsum(first, out=first)
    points = np.empty((first[-1], 4))
    parallel_rows(height, threads, _points_between, fused, other, first, points)
    row, x, d, s = points.T
    return DisparityMap(*fused), RightViewPixels(x.copy(), row.astype(np.int64), d.copy(), s.astype(np.float32))


@njit(cache=True, nogil=True, error_model="numpy")
def _fuse_rows(left, right, nearer, row0, row1):
    """Cross-check, average and fill rows of the left map in place; nearer: sign of d towards the cameras."""
    width = left.disparity.shape[1]
    average = np.empty(width, np.float32)
    for y in range(row0, row1):
        _cross_check(left, right, y, nearer, average)
        for x in range(width):
            if np.isfinite(average[x]):
                left.disparity[y, x] = average[x]
        _fill_gaps(left, right, y)


@njit(cache=True, nogil=True, error_model="numpy")
def _cross_check(left, right, y, nearer, average):
    """average (W,) = inverse-variance mean where both right pixels at a match agree, else NaN.

    Drops the left disparities of row y that a right pixel contradicts and none confirms.
    """
    width = left.disparity.shape[1]
    for x in range(width):
        average[x] = np.nan
        d, sigma = left.disparity[y, x], left.sigma[y, x]
        if not np.isfinite(d):
            continue
        u = x - d
        i = int(np.floor(u))
        if i < 0 or i + 1 >= width:
            continue
        agreed, seen_through, total, value = 0, False, 0.0, 0.0
        for k in range(2):
            if np.isfinite(right.disparity[y, i + k]):
                # the right pixel at i or i + 1 shows the scene up to a pixel from x; the slope in between is neglected
                difference = right.disparity[y, i + k] - d
                allowed = max(SAME, MAX_DEVIATIONS * np.sqrt(sigma**2 + right.sigma[y, i + k] ** 2))
                seen_through |= nearer * difference < -allowed
                if abs(difference) <= allowed:
                    agreed += 1
                    share = (1 - (u - i)) if k == 0 else u - i
                    total += share
                    value += share * right.disparity[y, i + k]
        if agreed == 0 and seen_through:
            left.disparity[y, x], left.confidence[y, x], left.sigma[y, x] = np.nan, 0, np.nan
        elif agreed == 2:
            right_sigma = min(right.sigma[y, i], right.sigma[y, i + 1])
            wl, wr = 1 / max(sigma, MIN_SIGMA) ** 2, 1 / max(right_sigma, MIN_SIGMA) ** 2
            average[x] = (wl * d + wr * value / total) / (wl + wr)


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_gaps(left, right, y):
    """Fill unknown pixels of row y between two right pixels of one surface, where that continues a neighbour."""
    width = left.disparity.shape[1]
    d = left.disparity
    for u in range(width - 1):
        d0, d1 = right.disparity[y, u], right.disparity[y, u + 1]
        if not (np.isfinite(d0) and np.isfinite(d1)):
            continue
        first, last = u + d0, u + 1 + d1
        if not 0 < last - first <= 1 + SAME:
            continue
        for x in range(max(0, int(np.ceil(first))), min(width - 1, int(np.floor(last))) + 1):
            if not np.isfinite(d[y, x]) and left.sigma[y, x] != np.inf:
                value = x - (u + (x - first) / (last - first))
                joins = x > 0 and abs(d[y, x - 1] - value) <= SAME / 2  # False for NaN
                joins = joins or x + 1 < width and abs(d[y, x + 1] - value) <= SAME / 2
                if joins:
                    d[y, x] = value
                    left.confidence[y, x] = min(right.confidence[y, u], right.confidence[y, u + 1])
                    left.sigma[y, x] = max(right.sigma[y, u], right.sigma[y, u + 1])


@njit(cache=True, nogil=True, error_model="numpy")
def _right_pixels_between(left, right, y, x):
    """Return (first, last) right pixels on a surface between the left pixels x and x + 1; last < first: none."""
    width = left.disparity.shape[1]
    d0, d1 = left.disparity[y, x], left.disparity[y, x + 1]
    if not (np.isfinite(d0) and np.isfinite(d1)):
        return 0, -1
    begin, end = x - d0, x + 1 - d1
    if not 2 < end - begin <= MAX_STEP:
        return 0, -1
    first, last = int(np.ceil(begin + EDGE)), int(np.floor(end - EDGE))
    if first < 0 or last >= width:
        return 0, -1
    previous = d0
    for u in range(first, last + 1):
        v = right.disparity[y, u]
        noise = MAX_DEVIATIONS * max(right.sigma[y, u], left.sigma[y, x])  # False for NaN below
        if not (v <= previous + noise and v >= d1 - noise and x < u + v < x + 1):
            return 0, -1
        previous = v
    return first, last


@njit(cache=True, nogil=True, error_model="numpy")
def _points_between(left, right, first_of_row, out, row0, row1):
    """Write the right pixels between left ones of row y, as y, x, d, sigma, to out from first_of_row[y] on.

    Where out is empty their number becomes first_of_row[y + 1].
    """
    width = left.disparity.shape[1]
    for y in range(row0, row1):
        n = first_of_row[y] if len(out) else 0
        for x in range(width - 1):
            first, last = _right_pixels_between(left, right, y, x)
            for u in range(first, last + 1):
                if len(out):
                    d = right.disparity[y, u]
                    out[n, 0], out[n, 1], out[n, 2], out[n, 3] = y, u + d, d, right.sigma[y, u]
                n += 1
        if not len(out):
            first_of_row[y + 1] = n
