"""Kernels over a point map (numba): surface edges, block means, triangles of single cells.

A point map is points (H, W, 3), NaN: unknown, and sigma (H, W), the standard deviation along the ray. A plane is linear
in w = 1/z over the view (a, b) = (x/z, y/z), so all averages here are taken in (a, b, w).
"""

from typing import NamedTuple

import numpy as np

from ..kernel_cache import njit

NOISE_FACTOR = 3.0  # standard deviations: a smaller step can be noise
# bits of `edges`: the four edges that belong to a pixel
RIGHT = 1  # (y, x) - (y, x + 1)
DOWN = 2  # (y, x) - (y + 1, x)
FALLING = 4  # (y, x) - (y + 1, x + 1)
RISING = 8  # (y, x + 1) - (y + 1, x)
# (y, x) of both ends relative to the pixel, and the bit
EDGE_ENDS = ((0, 0, 0, 1, RIGHT), (0, 0, 1, 0, DOWN), (0, 0, 1, 1, FALLING), (0, 1, 1, 0, RISING))
INFINITE_SIGMA_WEIGHT = 1e-20  # of a point without known uncertainty, in block means


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def same_surface(px, py, pz, rp, sp, qx, qy, qz, rq, sq, tangent):  # noqa: PLR0913 - innermost kernel
    """True if P and Q lie on one surface: dr <= tan(max_angle) l + 3 sqrt(sigma_p^2 + sigma_q^2).

    dr = | |P| - |Q| | is the step along the rays and l = sqrt(|P - Q|^2 - dr^2) the step across them. A steeper step
    counts as a depth discontinuity unless noise alone can cause it: so neither a road at a grazing angle nor a scene of
    short baseline is torn. False where P or Q is unknown (NaN).

    Parameters
    ----------
    px, py, pz, qx, qy, qz : float
        P and Q.
    rp, rq : float
        Their distances from the camera.
    sp, sq : float
        Their standard deviations along the ray.
    tangent : float
        tan(max_angle).
    """
    along = abs(rp - rq)
    x, y, z = px - qx, py - qy, pz - qz
    excess = along - NOISE_FACTOR * np.sqrt(sp * sp + sq * sq)
    if excess <= 0:
        return True
    return excess * excess <= tangent * tangent * (x * x + y * y + z * z - along * along)


@njit(cache=True, nogil=True, error_model="numpy")
def ranges(points):
    """|X| of each point, its distance from the camera: (H, W, 3) -> (H, W), NaN: unknown."""
    H, W = points.shape[:2]
    r = np.empty((H, W))
    for y in range(H):
        for x in range(W):
            p = points[y, x]
            r[y, x] = np.sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2])
    return r


@njit(cache=True, nogil=True, error_model="numpy")
def edges(points, r, sigma, tangent):
    """(H, W) uint8: which of the edges RIGHT, DOWN, FALLING, RISING of each pixel lie on one surface.

    points (H, W, 3), r (H, W) of `ranges`, sigma (H, W).
    """
    H, W = sigma.shape
    out = np.zeros((H, W), np.uint8)
    for y in range(H):
        for x in range(W):
            bits = 0
            for dy, dx, ey, ex, bit in EDGE_ENDS:
                y0, x0, y1, x1 = y + dy, x + dx, y + ey, x + ex
                if y1 < H and x1 < W and x0 < W:
                    p, q = points[y0, x0], points[y1, x1]
                    rp, sp, rq, sq = r[y0, x0], sigma[y0, x0], r[y1, x1], sigma[y1, x1]
                    if same_surface(p[0], p[1], p[2], rp, sp, q[0], q[1], q[2], rq, sq, tangent):
                        bits |= bit
            out[y, x] = bits
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def block_means(points, r, sigma, filled, tangent, step):
    """One point per block of step x step pixels: the weighted mean of (a, b, w) on the surface at its median range.

    The weights are 1 / sigma_w^2; points on other surfaces than the point of median range do not count. sigma is the
    mean, since neighbouring disparities share their errors and averaging does not reduce them.

    Parameters
    ----------
    points, r, sigma
        The point map, see `edges`.
    filled : (H, W) bool
        Points interpolated in a hole.
    tangent : float
        tan(max_angle).
    step : int
        px.

    Returns
    -------
    points, sigma, filled
        The same of the coarser grid; filled: more of the block's points were filled than measured.
    """
    H, W = sigma.shape
    h, w = -(-H // step), -(-W // step)
    out, out_sigma, out_filled = np.full((h, w, 3), np.nan), np.full((h, w), np.nan), np.zeros((h, w), np.bool_)
    block, where = np.empty(step * step), np.empty(step * step, np.int64)
    for v in range(h):
        for u in range(w):
            n = 0
            for y in range(v * step, min(H, v * step + step)):
                for x in range(u * step, min(W, u * step + step)):
                    if points[y, x, 2] > 0:
                        block[n], where[n] = r[y, x], y * W + x
                        n += 1
            if n == 0:
                continue
            k = np.argsort(block[:n], kind="mergesort")[(n - 1) // 2]
            y0, x0 = where[k] // W, where[k] % W
            p = points[y0, x0]
            m, m_filled, total, sa, sb, sw, ss = 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0
            for k in range(n):
                y, x = where[k] // W, where[k] % W
                q = points[y, x]
                if same_surface(
                    p[0], p[1], p[2], r[y0, x0], sigma[y0, x0], q[0], q[1], q[2], r[y, x], sigma[y, x], tangent
                ):
                    m += 1
                    m_filled += filled[y, x]
                    noise = sigma[y, x] / (r[y0, x0] * p[2])
                    weight = 1.0 if not noise > 0 else 1 / (noise * noise) if noise < np.inf else INFINITE_SIGMA_WEIGHT
                    total += weight
                    sa += weight * q[0] / q[2]
                    sb += weight * q[1] / q[2]
                    sw += weight / q[2]
                    ss += sigma[y, x]
            z = total / sw
            out[v, u, 0], out[v, u, 1], out[v, u, 2] = sa / total * z, sb / total * z, z
            out_sigma[v, u], out_filled[v, u] = ss / m, 2 * m_filled > m
    return out, out_sigma, out_filled


class PointList(NamedTuple):
    """Points with what `same_surface` needs of them.

    Attributes
    ----------
    X : (N, 3) float64
    r : (N,) float64
        Distance from the camera.
    sigma : (N,) float64
        Standard deviation along the ray.
    """

    X: np.ndarray
    r: np.ndarray
    sigma: np.ndarray


@njit(cache=True, nogil=True, error_model="numpy")
def same_surface_at(P, p, q, tangent):
    """True if points p and q of the PointList P lie on one surface."""
    X, r, s = P.X, P.r, P.sigma
    return same_surface(X[p, 0], X[p, 1], X[p, 2], r[p], s[p], X[q, 0], X[q, 1], X[q, 2], r[q], s[q], tangent)


@njit(cache=True, nogil=True, error_model="numpy")
def squared_distance(X, p, q):
    """|X[p] - X[q]|^2, for X (N, 3)."""
    x, y, z = X[p, 0] - X[q, 0], X[p, 1] - X[q, 1], X[p, 2] - X[q, 2]
    return x * x + y * y + z * z


@njit(cache=True, nogil=True, error_model="numpy")
def triangulate_square(P, corners, tangent, out, n):
    """Write the triangles of one square that lie on one surface to out (M, 3) from row n on; return the next free row.

    corners: indices into the PointList P, top left, top right, bottom right, bottom left. The diagonal is the one that
    allows more triangles, and of two equal ones the shorter.
    """
    a, b, c, d = corners
    ab, bc = same_surface_at(P, a, b, tangent), same_surface_at(P, b, c, tangent)
    cd, da = same_surface_at(P, c, d, tangent), same_surface_at(P, d, a, tangent)
    ac, bd = same_surface_at(P, a, c, tangent), same_surface_at(P, b, d, tangent)
    falling = int(ac and ab and bc) + int(ac and cd and da)
    rising = int(bd and ab and da) + int(bd and bc and cd)
    if falling == rising and falling > 0:
        falling += int(squared_distance(P.X, a, c) <= squared_distance(P.X, b, d))
    if falling > rising:
        first, second = ab and bc, cd and da
        triangle1, triangle2 = (a, c, b), (a, d, c)
    elif rising > 0:
        first, second = ab and da, bc and cd
        triangle1, triangle2 = (a, d, b), (b, d, c)
    else:
        return n
    if first:
        out[n, 0], out[n, 1], out[n, 2] = triangle1
        n += 1
    if second:
        out[n, 0], out[n, 1], out[n, 2] = triangle2
        n += 1
    return n
