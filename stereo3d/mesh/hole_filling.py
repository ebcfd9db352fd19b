"""Fill holes of a point grid with a smooth surface."""

import numpy as np

from ..kernel_cache import njit
from .kernels import NOISE_FACTOR

# filling of holes
MIN_RIM = 4  # pixels: a plane through fewer is no test
MAX_OUTLIERS = 0.1  # share of the rim that may lie off its plane
PLANE_STEP = 1.5  # px: over this distance a plane's own change in w is no outlier
RIDGE = 1e-9  # of the normal equations, per pixel
RELAX_TOLERANCE = 1e-7  # of the rim's least w: the largest change of the last iteration
FOUR_NEIGHBOURS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # (dy, dx)


@njit(cache=True, nogil=True, error_model="numpy")
def find_holes(points, max_pixels):
    """Connected unknown pixels (four neighbours) that known pixels enclose.

    Parameters
    ----------
    points : (H, W, 3) float64
        NaN: unknown.
    max_pixels : int
        Larger holes are left out.

    Returns
    -------
    order : (n,) int64
        Pixels y W + x, hole after hole.
    starts : (holes + 1,) int64
        Hole k is order[starts[k] : starts[k + 1]].
    """
    H, W = points.shape[:2]
    seen = np.zeros((H, W), np.bool_)
    order = np.empty(H * W, np.int64)
    starts = [0]
    end = 0
    for y0 in range(H):
        for x0 in range(W):
            if seen[y0, x0] or points[y0, x0, 2] > 0:
                continue
            begin, inside = end, True
            seen[y0, x0] = True
            order[end] = y0 * W + x0
            end += 1
            at = begin
            while at < end:
                y, x = order[at] // W, order[at] % W
                at += 1
                if y == 0 or x == 0 or y == H - 1 or x == W - 1:
                    inside = False
                for dy, dx in FOUR_NEIGHBOURS:
                    i, j = y + dy, x + dx
                    if 0 <= i < H and 0 <= j < W and not seen[i, j] and not points[i, j, 2] > 0:
                        seen[i, j] = True
                        order[end] = i * W + j
                        end += 1
            if inside and end - begin <= max_pixels:
                starts.append(end)
            else:
                end = begin  # the pixels stay marked as seen; the next hole overwrites them in the list
    return order[:end].copy(), np.array(starts)


@njit(cache=True, nogil=True, error_model="numpy")
def solve_3x3(M, B):
    """M^-1 B by Gaussian elimination without pivoting, for symmetric positive definite M; overwrites both (3, 3).

    numba compiles np.linalg.solve ten times as long.
    """
    for k in range(3):
        for i in range(k + 1, 3):
            f = M[i, k] / M[k, k]
            for j in range(3):
                M[i, j] -= f * M[k, j]
                B[i, j] -= f * B[k, j]
    for k in range(2, -1, -1):
        for j in range(3):
            for i in range(k + 1, 3):
                B[k, j] -= M[k, i] * B[i, j]
            B[k, j] /= M[k, k]
    return B


@njit(cache=True, nogil=True, error_model="numpy")
def find_rim(points, hole, label, number):
    """Known pixels within two steps (four neighbours) of a hole, y W + x: (n,) int64.

    label (H, W) int32 must not hold `number` anywhere; the rim's pixels are labelled with it, so that none comes twice.
    """
    H, W = label.shape
    rim = np.empty(20 * len(hole), np.int64)  # four neighbours of each pixel, and four of each of these
    n = begin = 0
    for ring in range(2):
        end = n
        for q in range(begin, len(hole) if ring == 0 else end):
            at = hole[q] if ring == 0 else rim[q]
            for dy, dx in FOUR_NEIGHBOURS:
                i, j = at // W + dy, at % W + dx
                if 0 <= i < H and 0 <= j < W and label[i, j] != number and points[i, j, 2] > 0:
                    label[i, j] = number
                    rim[n] = i * W + j
                    n += 1
        begin = end
    return rim[:n]


@njit(cache=True, nogil=True, error_model="numpy")
def fit_plane(points, rim):
    """C (3, 3) of (a, b, w) = (1, x - x0, y - y0) C, by least squares over the rim's pixels; (x0, y0) is its first one.

    points (H, W, 3); rim (n,) int64: y W + x. A ridge keeps the normal equations regular for pixels on one line.
    """
    n, W = len(rim), points.shape[1]
    y0, x0 = rim[0] // W, rim[0] % W
    M = np.zeros((3, 3))
    B = np.zeros((3, 3))
    for at in rim:
        y, x = at // W, at % W
        p = points[y, x]
        row = (1.0, float(x - x0), float(y - y0))
        value = (p[0] / p[2], p[1] / p[2], 1 / p[2])
        for i in range(3):
            for j in range(3):
                M[i, j] += row[i] * row[j]
                B[i, j] += row[i] * value[j]
    for i in range(3):
        M[i, i] += RIDGE * n
    return solve_3x3(M, B)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def above_plane(value, C, k, u, v):
    """value - C[0, k] - C[1, k] u - C[2, k] v."""
    return value - C[0, k] - C[1, k] * u - C[2, k] * v


@njit(cache=True, nogil=True, error_model="numpy")
def check_rim(points, sigma, rim, C):
    """Compare the rim with its plane C: (number of outliers, sum of sigma, least w) over its pixels.

    An outlier lies off the plane by more than NOISE_FACTOR standard deviations and by more than the plane itself
    changes over PLANE_STEP pixels.
    """
    W = points.shape[1]
    y0, x0 = rim[0] // W, rim[0] % W
    slope = PLANE_STEP * np.sqrt(C[1, 2] * C[1, 2] + C[2, 2] * C[2, 2])
    outliers = 0
    total = 0.0
    min_w = np.inf
    for at in rim:
        y, x = at // W, at % W
        p = points[y, x]
        w = 1 / p[2]
        min_w = min(min_w, w)
        total += sigma[y, x]
        noise = sigma[y, x] * w / np.sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2])
        outliers += abs(above_plane(w, C, 2, x - x0, y - y0)) > max(NOISE_FACTOR * noise, slope)
    return outliers, total, min_w


@njit(cache=True, nogil=True, error_model="numpy")
def relax(points, hole, index, C, origin, tolerance):
    """(n, 3): the rim's offset from plane C in (a, b, w), continued into a hole of n pixels by Laplace's equation.

    Successive over-relaxation with Young's factor for a square of the hole's area, until w changes by no more than
    `tolerance`. index (H, W) int32: q at hole[q], -1 elsewhere; origin: (x0, y0) of the plane.
    """
    H, W = index.shape
    x0, y0 = origin
    rest = np.zeros((len(hole), 3))
    across = np.sqrt(len(hole)) + 2
    factor = 2 / (1 + np.pi / across)
    for _ in range(int(8 + 4 * across)):
        max_change = 0.0
        for q in range(len(hole)):
            y, x = hole[q] // W, hole[q] % W
            s0 = s1 = s2 = 0.0
            m = 0
            for dy, dx in FOUR_NEIGHBOURS:
                i, j = y + dy, x + dx
                if not (0 <= i < H and 0 <= j < W):
                    continue
                if index[i, j] >= 0:
                    t = index[i, j]
                    s0, s1, s2 = s0 + rest[t, 0], s1 + rest[t, 1], s2 + rest[t, 2]
                    m += 1
                elif points[i, j, 2] > 0:
                    p = points[i, j]
                    u, v = j - x0, i - y0
                    s0 += above_plane(p[0] / p[2], C, 0, u, v)
                    s1 += above_plane(p[1] / p[2], C, 1, u, v)
                    s2 += above_plane(1 / p[2], C, 2, u, v)
                    m += 1
            if m == 0:
                continue
            change = s2 / m - rest[q, 2]
            max_change = max(max_change, abs(change))
            rest[q, 0] += factor * (s0 / m - rest[q, 0])
            rest[q, 1] += factor * (s1 / m - rest[q, 1])
            rest[q, 2] += factor * change
        if max_change <= tolerance:
            break
    return rest


@njit(cache=True, nogil=True, error_model="numpy")
def write_hole(points, hole, C, origin, rest, min_w):
    """Set the hole's pixels to the plane plus rest; w stays at or above half the rim's least, so z stays finite."""
    W = points.shape[1]
    x0, y0 = origin
    for q in range(len(hole)):
        y, x = hole[q] // W, hole[q] % W
        u, v = x - x0, y - y0
        w = max(C[0, 2] + C[1, 2] * u + C[2, 2] * v + rest[q, 2], 0.5 * min_w)
        points[y, x, 0] = (C[0, 0] + C[1, 0] * u + C[2, 0] * v + rest[q, 0]) / w
        points[y, x, 1] = (C[0, 1] + C[1, 1] * u + C[2, 1] * v + rest[q, 1]) / w
        points[y, x, 2] = 1 / w


@njit(cache=True, nogil=True, error_model="numpy")
def fill_holes(points, sigma, filled, order, starts, fill_all):
    """Fill each hole whose rim lies on one surface, in place; return which holes were filled, (holes,) bool.

    A plane over the pixels is fitted to the rim in (a, b, w). The rim is one surface if at most MAX_OUTLIERS of it lie
    off the plane (`check_rim`). The filling is the plane plus the harmonic continuation of the rim's offset from it.

    Parameters
    ----------
    points : (H, W, 3) float64
    sigma : (H, W) float64
        Set to the mean of the rim, or to inf where the rim is no surface: there no edge is a discontinuity.
    filled : (H, W) bool
        Set to True.
    order, starts : int64
        See `find_holes`.
    fill_all : bool
        Fill holes whose rim is no surface too.
    """
    H, W = sigma.shape
    label = np.zeros((H, W), np.int32)
    index = np.full((H, W), -1, np.int32)
    done = np.zeros(len(starts) - 1, np.bool_)
    for k in range(len(starts) - 1):
        hole = order[starts[k] : starts[k + 1]]
        rim = find_rim(points, hole, label, k + 1)
        n = len(rim)
        if n < MIN_RIM:
            continue
        origin = (rim[0] % W, rim[0] // W)
        C = fit_plane(points, rim)
        outliers, total, min_w = check_rim(points, sigma, rim, C)
        one_surface = outliers <= MAX_OUTLIERS * n
        if not (fill_all or one_surface):
            continue
        done[k] = True
        for q in range(len(hole)):
            index[hole[q] // W, hole[q] % W] = q
        rest = relax(points, hole, index, C, origin, RELAX_TOLERANCE * min_w)
        write_hole(points, hole, C, origin, rest, min_w)
        for at in hole:
            y, x = at // W, at % W
            index[y, x] = -1
            sigma[y, x] = total / n if one_surface else np.inf
            filled[y, x] = True
    return done
