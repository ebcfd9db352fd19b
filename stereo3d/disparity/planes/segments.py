"""Segments of uniform colour, and the plane d = a x + b y + c of each: from its disparities, and from the pictures.

A segment without texture has no disparities that are right pixel by pixel. All its pixels together still determine its
plane: the one at which the two pictures agree best.
"""

from typing import NamedTuple

import numpy as np

from ...kernel_cache import njit

# Scales of a fine, a middle and a coarse segmentation, grey levels, as in `merge_segments`; others for further rounds.
SCALES = ((5.0, 40.0, 300.0), (2.0, 20.0, 150.0), (12.0, 80.0, 600.0))
MIN_SEGMENT = 30  # pixels: three matching windows
MIN_KNOWN = 12  # disparities that determine a plane
TRIALS = 60  # random planes through three disparities: where 40 % are right, 2 of 100 segments find no right plane
FIT_JUDGES = 128  # disparities, at least, that judge a plane through three of them
MAX_SLOPE_X = 0.7  # px / px, of a plane; more than 45 degrees: one picture sees the surface a third as wide
MAX_SLOPE_Y = 1.5  # px / px
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


@njit(cache=True, nogil=True)
def _mean_colours(pixels, picture):
    """Return the mean colour (count, 3) f64 of each segment of a picture (H, W, 3)."""
    count = len(pixels.start) - 1
    means = np.zeros((count, 3))
    for segment in range(count):
        first, last = pixels.start[segment], pixels.start[segment + 1]
        for i in range(first, last):
            for c in range(3):
                means[segment, c] += picture[pixels.y[i], pixels.x[i], c]
        for c in range(3):
            means[segment, c] /= last - first
    return means


@njit(cache=True, nogil=True)
def closest_neighbours(labels, pixels, picture):
    """Return the segment that each one continues most probably: the larger one beside it of the greatest L / (1 + D).

    L pairs of neighbouring pixels lie across their common border, and their mean colours differ by D grey levels.

    Parameters
    ----------
    labels : (H, W) i32
        Segment of each pixel.
    pixels : SegmentPixels
        Of these labels.
    picture : (H, W, 3) f32
        RGB.

    Returns
    -------
    (count,) i64
        Number of that segment; its own where no larger one lies beside it.
    """
    height, width = labels.shape
    count = len(pixels.start) - 1
    means = _mean_colours(pixels, picture)
    border, beside = np.zeros(count, np.int64), np.empty(count, np.int64)
    closest = np.empty(count, np.int64)
    for segment in range(count):
        first, last = pixels.start[segment], pixels.start[segment + 1]
        found = 0
        for i in range(first, last):
            x, y = np.int64(pixels.x[i]), np.int64(pixels.y[i])
            for v, u in ((y, x - 1), (y, x + 1), (y - 1, x), (y + 1, x)):
                if not (0 <= v < height and 0 <= u < width):
                    continue
                k = labels[v, u]
                if pixels.start[k + 1] - pixels.start[k] > last - first:
                    if border[k] == 0:
                        beside[found] = k
                        found += 1
                    border[k] += 1
        most = 0.0
        closest[segment] = segment
        for j in range(found):
            k = beside[j]
            difference = 0.0
            for c in range(3):
                difference += (means[segment, c] - means[k, c]) ** 2
            share = border[k] / (1 + np.sqrt(difference))
            if share > most:
                most, closest[segment] = share, k
            border[k] = 0
    return closest


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
