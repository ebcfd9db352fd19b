"""Refine the planes of segments by the disagreement of census bits."""

from typing import NamedTuple

import numpy as np

from ...kernel_cache import njit
from ..costs import hamming_at
from .segments import MIN_KNOWN, TRIALS, known_pixels, random_plane

FEW_JUDGES = 128  # pixels of a segment, at least, on which the pictures judge its planes first
MANY_JUDGES = 2000  # that choose between the best planes and refine the better one
FIRST_STEP = 1.0  # px of disparity by which `refine_segment_planes` moves a plane at first
LAST_STEP = 0.06  # px
WELL_FITTED = 0.5  # share of a segment's pixels within 1 px of its plane, from which on no other plane is tried


class CensusPair(NamedTuple):
    """What `refine_segment_planes` compares.

    Parameters
    ----------
    census, other_census : (H, W) uint64
        Of this and of the other picture.
    lo, hi : int
        px, range of disparities.
    limit, hidden : float
        Bits, as in `energy.match_costs`.
    """

    census: np.ndarray
    other_census: np.ndarray
    lo: int
    hi: int
    limit: float
    hidden: float


class Judges(NamedTuple):
    """Pixels of one segment on which planes are compared: code (n,) u64, x, y (n,) i32; the rest as in `CensusPair`."""

    code: np.ndarray
    x: np.ndarray
    y: np.ndarray
    other_census: np.ndarray
    lo: int
    hi: int
    limit: float
    hidden: float


@njit(cache=True, nogil=True)
def _sample_judges(match, pixels, segment, count):
    """Return at least `count` pixels of a segment, or all it has, at equal steps; fewer than twice as many."""
    first, last = pixels.start[segment], pixels.start[segment + 1]
    some = np.arange(first, last, max(1, (last - first) // count))
    code, x, y = np.empty(len(some), np.uint64), np.empty(len(some), np.int32), np.empty(len(some), np.int32)
    for j in range(len(some)):
        u, v = pixels.x[some[j]], pixels.y[some[j]]
        code[j], x[j], y[j] = match.census[v, u], u, v
    return Judges(code, x, y, match.other_census, match.lo, match.hi, match.limit, match.hidden)


@njit(cache=True, nogil=True)
def _plane_cost(judges, a, b, c, bound):
    """Return the sum of the judges' matching costs at a plane; inf as soon as it exceeds `bound`."""
    total = 0.0
    for j in range(len(judges.code)):
        d = a * judges.x[j] + b * judges.y[j] + c
        if d < judges.lo - 0.5 or d > judges.hi + 0.5:
            total += judges.limit
        else:
            row = judges.other_census[judges.y[j]]
            bits = hamming_at(judges.code[j], row, judges.x[j], np.float32(d), np.float32(judges.hidden))
            total += min(bits, judges.limit)
        if total > bound:
            return np.inf
    return total


@njit(cache=True, nogil=True)
def _propose(best, judges, a, b, c):
    """Insert a plane into the rows (a, b, c, cost) of `best`, lowest cost first, where it beats the last of them."""
    k = len(best) - 1
    cost = _plane_cost(judges, a, b, c, best[k, 3])
    if not cost < best[k, 3]:
        return
    while k > 0 and cost < best[k - 1, 3]:
        for j in range(4):
            best[k, j] = best[k - 1, j]
        k -= 1
    best[k, 0], best[k, 1], best[k, 2], best[k, 3] = a, b, c, cost


@njit(cache=True, nogil=True)
def _descend(judges, extent, a, b, c, cost):
    """Move a plane by steps halved from FIRST_STEP to LAST_STEP as long as the cost falls; return (a, b, c).

    A step is px of disparity at the segment's centre, or a standard deviation away from it.
    """
    mx, my, sx, sy = extent
    step = FIRST_STEP
    back = -1  # the move that would undo the last one
    while step > LAST_STEP:
        moved = False
        for move in range(6):
            if move == back:
                continue
            s = step if move & 1 else -step
            da, db, dc = s / sx if move < 2 else 0.0, s / sy if 2 <= move < 4 else 0.0, s if move >= 4 else 0.0
            at = c + dc - da * mx - db * my
            value = _plane_cost(judges, a + da, b + db, at, cost)
            if value < cost - 1e-9:
                a, b, c, cost, moved, back = a + da, b + db, at, value, True, move ^ 1
        if not moved:
            step, back = step / 2, -1
    return a, b, c


@njit(cache=True, nogil=True)
def _segment_extent(pixels, segment):
    """Return the means of x and y and their standard deviations, these at least 2 px."""
    first, last = pixels.start[segment], pixels.start[segment + 1]
    x, y = pixels.x, pixels.y
    n = last - first
    mx = my = xx = yy = 0.0
    for i in range(first, last):
        mx += x[i] / n
        my += y[i] / n
    for i in range(first, last):
        xx += (x[i] - mx) ** 2 / n
        yy += (y[i] - my) ** 2 / n
    return mx, my, max(2.0, np.sqrt(xx)), max(2.0, np.sqrt(yy))


@njit(cache=True, nogil=True)
def _two_best_planes(judges, pixels, disparity, fitted, extent, segment, well_fitted):
    """Return the rows (a, b, c, cost) of the two planes of least cost among all candidates of a segment.

    Candidates: the fitted plane and the same made level; unless it is `well_fitted`, planes through three random known
    disparities, and the level ones at all whole disparities.
    """
    best = np.full((2, 4), np.inf)
    a, b, c = fitted[segment, 0], fitted[segment, 1], fitted[segment, 2]
    if np.isfinite(a):
        _propose(best, judges, a, b, c)
        _propose(best, judges, 0.0, 0.0, c + (a * extent[0] + b * extent[1]))
    known = known_pixels(disparity, pixels, segment)
    if len(known) >= MIN_KNOWN and not well_fitted:
        state = np.uint32(segment * 2654435761 + 54321)
        for _ in range(TRIALS):
            a, b, c, valid, state = random_plane(disparity, pixels, known, state)
            if valid:
                _propose(best, judges, a, b, c)
    if not well_fitted or best[0, 3] == np.inf:
        for whole in range(judges.lo, judges.hi + 1):
            _propose(best, judges, 0.0, 0.0, float(whole))
    return best


@njit(cache=True, nogil=True)
def refine_segment_planes(pixels, disparity, fitted, support, match, first, last, planes):
    """planes[k] = (a, b, c) of least matching cost of segment k, by the pictures.

    Few pixels choose two candidates (`_two_best_planes`), many pixels the better one, which then descends.

    Parameters
    ----------
    pixels : SegmentPixels
        Of all segments.
    disparity : (H, W) f32
        px, NaN unknown.
    fitted, support : (count, 3) and (count,) f64
        Of `fit_segment_planes`.
    match : CensusPair
        The pictures, range and costs.
    first, last : int
        Segments first .. last - 1 are refined.
    planes : (count, 3) f64
        Written.
    """
    for segment in range(first, last):
        well_fitted = support[segment] >= WELL_FITTED
        many = _sample_judges(match, pixels, segment, MANY_JUDGES)
        few = _sample_judges(match, pixels, segment, FEW_JUDGES) if well_fitted else many
        extent = _segment_extent(pixels, segment)
        best = _two_best_planes(few, pixels, disparity, fitted, extent, segment, well_fitted)
        a, b, c, cost = 0.0, 0.0, 0.0, np.inf
        for j in range(2):
            if best[j, 3] < np.inf:
                value = _plane_cost(many, best[j, 0], best[j, 1], best[j, 2], cost)
                if value < cost:
                    a, b, c, cost = best[j, 0], best[j, 1], best[j, 2], value
        planes[segment, 0], planes[segment, 1], planes[segment, 2] = _descend(many, extent, a, b, c, cost)
