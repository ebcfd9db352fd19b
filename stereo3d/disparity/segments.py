"""Segments of uniform colour, and the plane d = a x + b y + c of each: from its disparities, and from the pictures.

A segment without texture has no disparities that are right pixel by pixel. All its pixels together still determine its
plane: the one at which the two pictures agree best.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from .costs import hamming_at

# Scales of a fine, a middle and a coarse segmentation, grey levels, as in `merge_segments`; others for further rounds.
SCALES = ((5.0, 40.0, 300.0), (2.0, 20.0, 150.0), (12.0, 80.0, 600.0))
MIN_SEGMENT = 30  # pixels: three matching windows
MIN_KNOWN = 12  # disparities that determine a plane
TRIALS = 60  # random planes through three disparities: where 40 % are right, 2 of 100 segments find no right plane
FIT_JUDGES = 128  # disparities, at least, that judge a plane through three of them
FEW_JUDGES = 128  # pixels, at least, on which the pictures judge a plane first
MANY_JUDGES = 4000  # pixels, at least, on which they judge the best of these again
CHANCE_LIMIT = 20.0  # bits of 34: unrelated pixels differ in 17, a standard deviation more
MAX_SLOPE_X = 0.7  # px / px, of a plane; more than 45 degrees: one picture sees the surface a third as wide
MAX_SLOPE_Y = 1.5  # px / px
FIRST_STEP = 1.0  # px of disparity by which `refine_segment_planes` moves a plane at first
LAST_STEP = 0.06  # px
WELL_FITTED = 0.5  # share of a segment's pixels within 1 px of its plane, from which on no other plane is tried
TOLERANCE = 1.0  # px, between a disparity and a plane that fits it


class SegmentPixels(NamedTuple):
    """The pixels of each segment in reading order: segment k has x[start[k] : start[k + 1]], and y likewise.

    Parameters
    ----------
    start : (count + 1,) int64
    x, y : (H W,) int32
    """

    start: np.ndarray
    x: np.ndarray
    y: np.ndarray


class CensusPair(NamedTuple):
    """What `refine_segment_planes` compares.

    Parameters
    ----------
    census, other_census : (H, W) uint64
        Of this and of the other picture.
    lo, hi : int
        px, range of disparities.
    limit, hidden : float
        Bits, as in `slanted.match_costs`.
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
def sorted_edges(picture):
    """Return the colour differences of neighbouring pixels, smallest first.

    Four neighbours, each pair once, sorted by counting 64ths of a grey level.

    Parameters
    ----------
    picture : (H, W, 3) f32
        RGB.

    Returns
    -------
    a, b : (n,) i32
        Pixel numbers y W + x.
    difference : (n,) f32
        Grey levels, Euclidean distance of the colours.
    """
    height, width = picture.shape[:2]
    n = height * (width - 1) + (height - 1) * width
    a, b, difference = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.float32)
    i = 0
    for y in range(height):
        for x in range(width):
            for v, u in ((y, x + 1), (y + 1, x)):
                if v < height and u < width:
                    square = np.float32(0)
                    for c in range(3):
                        square += (picture[y, x, c] - picture[v, u, c]) ** 2
                    a[i], b[i], difference[i] = y * width + x, v * width + u, np.sqrt(square)
                    i += 1
    level = np.empty(n, np.int32)
    start = np.zeros(32770, np.int64)
    for i in range(n):
        level[i] = min(np.int32(difference[i] * 64), 32767)
        start[level[i] + 2] += 1
    for i in range(2, len(start)):
        start[i] += start[i - 1]
    order = np.empty(n, np.int64)
    for i in range(n):
        order[start[level[i] + 1]] = i
        start[level[i] + 1] += 1
    return a[order], b[order], difference[order]


@njit(cache=True, nogil=True)
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def merge_segments(a, b, difference, scale, min_size, shape):
    """Return segments of uniform colour by Felzenszwalb and Huttenlocher's merging.

    Two segments merge where the smallest difference between them is no larger than the largest one needed to hold
    either of them together, plus scale / its pixels; segments of fewer than `min_size` pixels then join their most
    similar neighbour.

    Parameters
    ----------
    a, b, difference : (n,)
        Of `sorted_edges`.
    scale : float
        Grey levels x pixels; a larger one makes larger segments.
    min_size : int
        Pixels.
    shape : (int, int)
        (H, W).

    Returns
    -------
    labels : (H, W) i32
        Segment of each pixel, numbered from 0 in reading order.
    count : int
        Segments.

    References
    ----------
    Felzenszwalb and Huttenlocher, Efficient graph-based image segmentation, 2004.
    """
    height, width = shape
    parent = np.arange(height * width).astype(np.int32)
    size = np.ones(height * width, np.int32)
    limit = np.full(height * width, np.float32(scale))
    for small in (False, True):
        for i in range(len(a)):
            r, s = _root(parent, a[i]), _root(parent, b[i])
            if r == s:
                continue
            if small:
                join = size[r] < min_size or size[s] < min_size
            else:
                join = difference[i] <= limit[r] and difference[i] <= limit[s]
            if join:
                if size[r] < size[s]:
                    r, s = s, r
                parent[s] = r
                size[r] += size[s]
                limit[r] = difference[i] + scale / size[r]
    number = np.full(height * width, -1, np.int32)
    labels = np.empty((height, width), np.int32)
    count = 0
    for y in range(height):
        for x in range(width):
            r = _root(parent, y * width + x)
            if number[r] < 0:
                number[r] = count
                count += 1
            labels[y, x] = number[r]
    return labels, count


@njit(cache=True, nogil=True)
def segment_pixels(labels, count):
    """Return the `SegmentPixels` of labels (H,W) i32 that number `count` segments."""
    height, width = labels.shape
    start = np.zeros(count + 1, np.int64)
    for y in range(height):
        for x in range(width):
            start[labels[y, x] + 1] += 1
    for k in range(count):
        start[k + 1] += start[k]
    xs, ys = np.empty(start[count], np.int32), np.empty(start[count], np.int32)
    at = start[:-1].copy()
    for y in range(height):
        for x in range(width):
            k = labels[y, x]
            xs[at[k]], ys[at[k]] = x, y
            at[k] += 1
    return SegmentPixels(start, xs, ys)


# ------------------------------------------------------------------------------------------ planes from disparities


@njit(cache=True, nogil=True)
def known_pixels(disparity, pixels, segment):
    """Return the numbers (n,) i64 of the segment's pixels that have a disparity."""
    first, last = pixels.start[segment], pixels.start[segment + 1]
    known = np.empty(last - first, np.int64)
    n = 0
    for i in range(first, last):
        if np.isfinite(disparity[pixels.y[i], pixels.x[i]]):
            known[n] = i
            n += 1
    return known[:n]


@njit(cache=True, nogil=True)
def _plane_of_three(d, x, y, i, j, k):
    """Return (a, b, c, valid) of the plane through three pixels; valid where they span an area and it is not steep."""
    x1, y1, x2, y2 = x[j] - x[i], y[j] - y[i], x[k] - x[i], y[k] - y[i]
    determinant = np.float64(x1 * y2 - x2 * y1)
    if abs(determinant) < 3:
        return 0.0, 0.0, 0.0, False
    d0 = np.float64(d[y[i], x[i]])
    e1, e2 = d[y[j], x[j]] - d0, d[y[k], x[k]] - d0
    a, b = (e1 * y2 - e2 * y1) / determinant, (x1 * e2 - x2 * e1) / determinant
    return a, b, d0 - a * x[i] - b * y[i], abs(a) <= MAX_SLOPE_X and abs(b) <= MAX_SLOPE_Y


@njit(cache=True, nogil=True)
def random_plane(disparity, pixels, known, state):
    """Return (a, b, c, valid) of the plane through three random known pixels, and the generator's next state."""
    pick = np.zeros(3, np.int64)
    for j in range(3):
        state = np.uint32(state * np.uint32(1664525) + np.uint32(1013904223))
        pick[j] = known[np.int64(state >> np.uint32(8)) % len(known)]
    a, b, c, valid = _plane_of_three(disparity, pixels.x, pixels.y, pick[0], pick[1], pick[2])
    return a, b, c, valid, state


@njit(cache=True, nogil=True)
def _least_squares(d, x, y, known, a, b, c):
    """Return the least-squares plane of the known pixels within 1 px of it, iterated three times from (a, b, c)."""
    for _ in range(3):
        n = mx = my = 0.0
        for i in known:
            if abs(a * x[i] + b * y[i] + c - d[y[i], x[i]]) < TOLERANCE:
                n += 1
                mx += x[i]
                my += y[i]
        if n < 3:
            break
        mx, my = mx / n, my / n
        xx = yy = 1.0  # the moments of one pixel more, so that a thin segment stays level across
        xy = dx = dy = d1 = 0.0
        for i in known:
            if abs(a * x[i] + b * y[i] + c - d[y[i], x[i]]) < TOLERANCE:
                u, v, value = x[i] - mx, y[i] - my, np.float64(d[y[i], x[i]])
                xx += u * u
                xy += u * v
                yy += v * v
                dx += u * value
                dy += v * value
                d1 += value
        determinant = xx * yy - xy * xy
        if not determinant > 0:
            break
        a, b = (dx * yy - dy * xy) / determinant, (dy * xx - dx * xy) / determinant
        c = d1 / n - a * mx - b * my
    return a, b, c


@njit(cache=True, nogil=True)
def _consensus_plane(disparity, pixels, known, segment):
    """Return (a, b, c, found) of the plane through three known pixels with the least truncated residuals (RANSAC)."""
    judges = known[:: max(1, len(known) // FIT_JUDGES)]
    u, v, w = np.empty(len(judges)), np.empty(len(judges)), np.empty(len(judges))
    for j in range(len(judges)):
        x, y = pixels.x[judges[j]], pixels.y[judges[j]]
        u[j], v[j], w[j] = x, y, disparity[y, x]
    state = np.uint32(segment * 2654435761 + 12345)
    lowest, best_a, best_b, best_c = np.inf, 0.0, 0.0, 0.0
    for _ in range(TRIALS):
        a, b, c, valid, state = random_plane(disparity, pixels, known, state)
        if not valid:
            continue
        residual = 0.0
        for j in range(len(judges)):
            residual += min(abs(a * u[j] + b * v[j] + c - w[j]), TOLERANCE)
            if residual > lowest:
                break
        if residual < lowest:
            lowest, best_a, best_b, best_c = residual, a, b, c
    return best_a, best_b, best_c, lowest < np.inf


@njit(cache=True, nogil=True)
def fit_segment_planes(pixels, disparity, first, last, planes, support):
    """planes[k] = (a, b, c) through the known disparities of segment k: RANSAC, then least squares.

    Parameters
    ----------
    pixels : SegmentPixels
        Of all segments.
    disparity : (H, W) f32
        px, NaN unknown.
    first, last : int
        Segments first .. last - 1 are fitted.
    planes : (count, 3) f64
        Written; NaN where fewer than MIN_KNOWN disparities are known.
    support : (count,) f64
        Written; share of the segment's pixels whose disparity is known and within 1 px of the plane.

    References
    ----------
    Fischler and Bolles, Random sample consensus, 1981.
    """
    for segment in range(first, last):
        known = known_pixels(disparity, pixels, segment)
        planes[segment] = np.nan
        support[segment] = 0.0
        if len(known) < MIN_KNOWN:
            continue
        a, b, c, found = _consensus_plane(disparity, pixels, known, segment)
        if found:
            a, b, c = _least_squares(disparity, pixels.x, pixels.y, known, a, b, c)
            planes[segment, 0], planes[segment, 1], planes[segment, 2] = a, b, c
            for i in known:
                x, y = pixels.x[i], pixels.y[i]
                if abs(a * x + b * y + c - disparity[y, x]) < TOLERANCE:
                    support[segment] += 1 / (pixels.start[segment + 1] - pixels.start[segment])


# --------------------------------------------------------------------------------------------- planes from pictures


@njit(cache=True, nogil=True)
def _sample_judges(match, pixels, segment, limit, count):
    """Return at least `count` pixels of a segment, or all it has, at equal steps; fewer than twice as many."""
    first, last = pixels.start[segment], pixels.start[segment + 1]
    some = np.arange(first, last, max(1, (last - first) // count))
    code, x, y = np.empty(len(some), np.uint64), np.empty(len(some), np.int32), np.empty(len(some), np.int32)
    for j in range(len(some)):
        u, v = pixels.x[some[j]], pixels.y[some[j]]
        code[j], x[j], y[j] = match.census[v, u], u, v
    return Judges(code, x, y, match.other_census, match.lo, match.hi, limit, match.hidden)


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

    A step is px of disparity at the segment's centre, or a standard deviation beside it.
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

    Few pixels choose two candidates (`_two_best_planes`), many pixels the better one, which then descends. A segment
    that is not well fitted has hardly more texture than noise, so that its true matches cost little less than false
    ones: there a mismatch may cost up to CHANCE_LIMIT.

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
        limit = match.limit if well_fitted else max(match.limit, CHANCE_LIMIT)
        many = _sample_judges(match, pixels, segment, limit, MANY_JUDGES)
        few = _sample_judges(match, pixels, segment, limit, FEW_JUDGES) if well_fitted else many
        extent = _segment_extent(pixels, segment)
        best = _two_best_planes(few, pixels, disparity, fitted, extent, segment, well_fitted)
        a, b, c, cost = 0.0, 0.0, 0.0, np.inf
        for j in range(2):
            if best[j, 3] < np.inf:
                value = _plane_cost(many, best[j, 0], best[j, 1], best[j, 2], cost)
                if value < cost:
                    a, b, c, cost = best[j, 0], best[j, 1], best[j, 2], value
        planes[segment, 0], planes[segment, 1], planes[segment, 2] = _descend(many, extent, a, b, c, cost)
