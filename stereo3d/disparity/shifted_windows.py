"""Windows shifted away from depth edges: the best confirmed window of each pixel."""

import numpy as np

from ..kernel_cache import njit

SHIFT = 2  # px from a pixel to the centres of the other windows that it may take: half the usual radius
MIN_VOTES = 3  # of nine windows that agree: fewer agree by chance
SAME = 1.0  # px, between disparities that agree


@njit(cache=True, nogil=True)
def _take_better(cost, d, margin, other_cost, other_d, other_margin):
    """Take the others where they cost less; of equals the farther d, then the larger margin; all (W,)."""
    for x in range(len(cost)):
        c, v, m = other_cost[x], other_d[x], other_margin[x]
        better = (c < cost[x]) | ((c == cost[x]) & ((v < d[x]) | ((v == d[x]) & (m > margin[x]))))
        cost[x] = c if better else cost[x]
        d[x] = v if better else d[x]
        margin[x] = m if better else margin[x]


@njit(cache=True, nogil=True)
def _count_votes(d, other, votes):
    """votes[x] += 1 where other[x] agrees with d[x]."""
    for x in range(len(d)):
        votes[x] += np.int32(abs(other[x] - d[x]) <= SAME)  # False for NaN


@njit(cache=True, nogil=True)
def shift_windows(d, cost, margin, row0, row1, out, out_margin):
    """out = disparity of the window of least cost among nine, centred on the pixel or SHIFT px away.

    A window that contains a pixel but not the depth edge next to it matches better than the centred one. The minimum
    over windows and disparities is the minimum of the windows' winners, so no cost volume is needed. Of equal costs the
    farther disparity counts, then the larger margin. A pixel whose own window agrees keeps its own disparity, with its
    fraction; one whose choice has fewer than MIN_VOTES of the nine is unknown, NaN.

    Parameters
    ----------
    d, cost, margin : (H, W) f32
        Winners of the centred windows (px, NaN: not confirmed), their cost and margin.
    row0, row1 : int
        Rows row0 .. row1 - 1 are written.
    out, out_margin : (H, W) f32
        px, and the margin of the window chosen.

    References
    ----------
    Bobick and Intille, Large occlusion stereo, 1999. Fusiello, Roberto and Trucco, Efficient stereo with multiple
    windowing, 1997.
    """
    height, width = d.shape
    rows, inside = 2 * SHIFT + 1, slice(SHIFT, SHIFT + width)
    wide = np.empty((rows, 3, width + 2 * SHIFT), np.float32)  # cost, d, margin of row v, borders repeated, at v % rows
    of_three = np.empty((rows, 3, width), np.float32)  # the best of three windows side by side
    best = np.empty((3, width), np.float32)
    votes = np.empty(width, np.int32)
    for v in range(row0 - SHIFT, row1 + SHIFT):
        source, row, three = min(max(v, 0), height - 1), wide[v % rows], of_three[v % rows]
        for x in range(width):
            row[0, SHIFT + x] = cost[source, x] if np.isfinite(d[source, x]) else np.inf
        row[1, inside], row[2, inside] = d[source], margin[source]
        for i in range(3):
            row[i, :SHIFT], row[i, SHIFT + width :] = row[i, SHIFT], row[i, SHIFT + width - 1]
        three[:] = row[:, inside]
        for j in (0, 2 * SHIFT):
            other = row[:, j : j + width]
            _take_better(three[0], three[1], three[2], other[0], other[1], other[2])
        y = v - SHIFT
        if y < row0:
            continue
        best[:] = of_three[y % rows]
        for u in (y - SHIFT, v):
            other = of_three[u % rows]
            _take_better(best[0], best[1], best[2], other[0], other[1], other[2])
        votes[:] = 0
        for u in (y - SHIFT, y, v):
            for j in (0, SHIFT, 2 * SHIFT):
                _count_votes(best[1], wide[u % rows, 1, j : j + width], votes)
        for x in range(width):
            own = abs(best[1, x] - d[y, x]) <= SAME  # False for NaN
            out[y, x] = (d[y, x] if own else best[1, x]) if votes[x] >= MIN_VOTES else np.nan
            out_margin[y, x] = best[2, x]


@njit(cache=True, nogil=True)
def confirm(d, margin, other, sign, row0, row1, out, out_margin):
    """out = d where the other picture's map agrees at the match, else NaN.

    Parameters
    ----------
    d, other : (H, W) f32
        px, of this and of the other picture.
    margin : (H, W) f32
        Of the left picture.
    sign : int
        1 if d is the left map, -1 if it is the right one, whose pixel u faces x = u + d.
    row0, row1 : int
        Rows row0 .. row1 - 1 are written.
    out, out_margin : (H, W) f32
        px, and the margin of the left pixel of the match.
    """
    width = d.shape[1]
    for y in range(row0, row1):
        for x in range(width):
            out[y, x], out_margin[y, x] = np.nan, 0
            if np.isfinite(d[y, x]):
                u = int(np.floor(x - sign * d[y, x] + 0.5))
                if 0 <= u < width and abs(other[y, u] - d[y, x]) <= SAME:  # False for NaN
                    out[y, x], out_margin[y, x] = d[y, x], margin[y, x if sign > 0 else u]
