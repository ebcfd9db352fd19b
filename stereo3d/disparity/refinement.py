"""Sub-pixel refinement of a disparity map by the slopes of the pictures."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from ..kernel_cache import njit
from .costs import grey

NOISE = 4.0  # grey levels / px: weaker slopes of the picture move a disparity little
STRIP_ROWS = 128  # rows that are refined at once, so that their arrays stay in the processor's cache
SAME_SURFACE = np.float32(1)  # px, between disparities of one surface
MAX_STEP = 0.5  # px, of one refinement


class Comparison(NamedTuple):
    """Both pictures compared at a map's disparities, as `residuals` writes them.

    Parameters
    ----------
    surface : (H, W) float32
        px, the disparity, NaN where it is unknown or leads outside.
    slope, residual : (H, W) float32
        Grey levels / px, grey levels; both 0 where surface is NaN.
    """

    surface: np.ndarray
    slope: np.ndarray
    residual: np.ndarray


@njit(cache=True, nogil=True)
def _same_surface(own, other, weight, difference):
    """difference = other - own and weight = 1 where it is at most 1 px, both 0 elsewhere and for NaN; all (W,) f32."""
    for x in range(len(own)):
        q = other[x] - own[x]
        same = abs(q) <= SAME_SURFACE
        weight[x] = np.float32(1) if same else np.float32(0)
        difference[x] = q if same else np.float32(0)


@njit(cache=True, nogil=True)
def _add_moments(value, u, zeroth, first, second):
    """zeroth += value, first += u value, second += u^2 value."""
    for x in range(len(value)):
        zeroth[x] += value[x]
        first[x] += u * value[x]
        second[x] += u * u * value[x]


@njit(cache=True, nogil=True)
def _add_scaled(weight, value, total):
    """total += weight value."""
    for x in range(len(value)):
        total[x] += weight[x] * value[x]


@njit(cache=True, nogil=True)
def fit_planes(disparity, radius, step, row0, row1, out, along, down):
    """d(u, v) = c + a u + b v, the least-squares plane through each pixel's neighbours on its surface.

    The neighbours are every `step`-th pixel, in both directions, of the (2 radius + 1)^2 window whose disparity differs
    by at most 1 px. The plane is level, c = disparity and a = b = 0, where they are no more than 2 radius / step, lie
    on a line, or give a plane more than 1 px from the pixel. NaN stays NaN.

    Parameters
    ----------
    disparity : (H, W) f32
        px, NaN unknown.
    radius, step : int
        px.
    row0, row1 : int
        Rows row0 .. row1 - 1 are written.
    out, along, down : (H, W) f32
        c (px), a and b (px / px).
    """
    height, width = disparity.shape
    weight, difference = np.empty(width, np.float32), np.empty(width, np.float32)
    of_row = np.empty((6, width), np.float32)  # sums over u in one row: w, u w, u^2 w, q, u q, u^2 q
    sums = np.empty((9, width), np.float32)
    n, u1, v1, uu, uv, vv = sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]
    q1, uq, vq = sums[6], sums[7], sums[8]
    for y in range(row0, row1):
        sums[:] = 0
        own = disparity[y]
        for v in range(-radius, radius + 1, step):
            if not 0 <= y + v < height:
                continue
            of_row[:] = 0
            for u in range(-radius, radius + 1, step):
                if abs(u) >= width:
                    continue
                a, b = max(0, -u), min(width, width - u)
                w, q = weight[a:b], difference[a:b]
                _same_surface(own[a:b], disparity[y + v, a + u : b + u], w, q)
                _add_moments(w, np.float32(u), of_row[0, a:b], of_row[1, a:b], of_row[2, a:b])
                _add_moments(q, np.float32(u), of_row[3, a:b], of_row[4, a:b], of_row[5, a:b])
            _add_moments(of_row[0], np.float32(v), n, v1, vv)
            for x in range(width):
                u1[x] += of_row[1, x]
                uu[x] += of_row[2, x]
                uv[x] += np.float32(v) * of_row[1, x]
                q1[x] += of_row[3, x]
                uq[x] += of_row[4, x]
                vq[x] += np.float32(v) * of_row[3, x]
        for x in range(width):
            out[y, x], along[y, x], down[y, x] = own[x], 0, 0
            a11, a12, a22 = n[x] * uu[x] - u1[x] ** 2, n[x] * uv[x] - u1[x] * v1[x], n[x] * vv[x] - v1[x] ** 2
            b1, b2 = n[x] * uq[x] - u1[x] * q1[x], n[x] * vq[x] - v1[x] * q1[x]
            determinant = a11 * a22 - a12 * a12
            if n[x] * step > 2 * radius and determinant > 0:
                slope_x, slope_y = (b1 * a22 - b2 * a12) / determinant, (b2 * a11 - b1 * a12) / determinant
                c = (q1[x] - slope_x * u1[x] - slope_y * v1[x]) / n[x]
                if abs(c) <= 1:
                    out[y, x], along[y, x], down[y, x] = own[x] + c, slope_x, slope_y


@njit(cache=True, nogil=True)
def residuals(left, right, disparity, row0, row1, compared):
    """residual = left(x) - right(x - d), slope = d right / dx at x - d, by cubic interpolation (Catmull-Rom).

    Parameters
    ----------
    left, right : (H, W) f32
        Grey levels.
    disparity : (H, W) f32
        px, NaN unknown.
    row0, row1 : int
        Rows row0 .. row1 - 1 are written.
    compared : Comparison
        Written.
    """
    surface, slope, residual = compared.surface, compared.slope, compared.residual
    width = left.shape[1]
    for y in range(row0, row1):
        r = right[y]
        for x in range(width):
            surface[y, x] = np.nan
            slope[y, x] = residual[y, x] = 0
            p = x - disparity[y, x]
            if 1 <= p < width - 2:  # False for NaN
                k = int(p)
                f = p - k
                c1 = (r[k + 1] - r[k - 1]) / 2
                c2 = r[k - 1] - 2.5 * r[k] + 2 * r[k + 1] - r[k + 2] / 2
                c3 = (r[k + 2] - r[k - 1]) / 2 + 1.5 * (r[k] - r[k + 1])
                surface[y, x] = disparity[y, x]
                slope[y, x] = c1 + f * (2 * c2 + 3 * f * c3)
                residual[y, x] = left[y, x] - (r[k] + f * (c1 + f * (c2 + f * c3)))


@njit(cache=True, nogil=True)
def image_step(disparity, compared, radius, noise, row0, row1, out):
    """out = d - sum(g e) / (sum(g g) + n noise^2): one Gauss-Newton step towards equal pictures, at most half a pixel.

    g, e are slope and residual less their means over the n neighbours on the pixel's surface (as in `fit_planes`), so
    that a difference of exposure cancels. Every neighbour is compared at its own disparity, so the window follows the
    surface.

    Parameters
    ----------
    disparity : (H, W) f32
        px.
    compared : Comparison
        Of `residuals`.
    radius : int
        px, of the window.
    noise : f32
        Grey levels / px: weaker slopes than this move the pixel little.
    row0, row1 : int
        Rows row0 .. row1 - 1 of out are written.
    out : (H, W) f32
        px.

    References
    ----------
    Lucas and Kanade, An iterative image registration technique, 1981.
    """
    height, width = disparity.shape
    weight, unused = np.empty(width, np.float32), np.empty(width, np.float32)
    gg_row, ge_row = np.empty(width, np.float32), np.empty(width, np.float32)
    sums = np.empty((5, width), np.float32)
    n, g1, e1, gg, ge = sums[0], sums[1], sums[2], sums[3], sums[4]
    for y in range(row0, row1):
        sums[:] = 0
        own = disparity[y]
        for v in range(max(-radius, -y), min(radius, height - 1 - y) + 1):
            g, e = compared.slope[y + v], compared.residual[y + v]
            for x in range(width):
                gg_row[x], ge_row[x] = g[x] * g[x], g[x] * e[x]
            for u in range(-min(radius, width - 1), min(radius, width - 1) + 1):
                a, b = max(0, -u), min(width, width - u)
                w = weight[a:b]
                _same_surface(own[a:b], compared.surface[y + v, a + u : b + u], w, unused[a:b])
                _add_scaled(w, w, n[a:b])
                _add_scaled(w, g[a + u : b + u], g1[a:b])
                _add_scaled(w, e[a + u : b + u], e1[a:b])
                _add_scaled(w, gg_row[a + u : b + u], gg[a:b])
                _add_scaled(w, ge_row[a + u : b + u], ge[a:b])
        for x in range(width):
            out[y, x] = own[x]
            if n[x] > 2 * radius:
                m = n[x]
                step = (ge[x] - g1[x] * e1[x] / m) / (gg[x] - g1[x] * g1[x] / m + m * noise * noise)
                out[y, x] = own[x] - min(max(step, -MAX_STEP), MAX_STEP)


def refine(
    left: np.ndarray, right: np.ndarray, lo: int, hi: int, disparity: np.ndarray, radius: int, threads: int
) -> np.ndarray:
    """Return a left map with its sub-pixel part fitted to its surroundings and to the pictures, within lo .. hi.

    Parameters
    ----------
    left, right : (H, W, 3) uint8
        RGB.
    lo, hi : int
        px.
    disparity : (H, W) float32
        px, NaN unknown.
    radius : int
        px, of the windows of `fit_planes` and `image_step`.
    threads : int
        The result does not depend on it.

    Returns
    -------
    (H, W) float32
        px.
    """
    height = len(disparity)
    out = np.empty_like(disparity)

    def refine_strip(top: int) -> None:
        bottom = min(top + STRIP_ROWS, height)
        first, last = max(0, top - radius), min(height, bottom + radius)  # rows whose planes the windows read
        above = max(0, first - radius)
        rows = slice(above, min(height, last + radius))
        own, other = (grey(picture[rows]).astype(np.float32) for picture in (left, right))
        plane, along, down, moved = (np.empty_like(own) for _ in range(4))
        compared = Comparison(*(np.empty_like(own) for _ in range(3)))
        fit_planes(disparity[rows], radius, 1, first - above, last - above, plane, along, down)
        residuals(own, other, plane, first - above, last - above, compared)
        image_step(plane, compared, radius, np.float32(NOISE), top - above, bottom - above, moved)
        out[top:bottom] = np.clip(moved[top - above : bottom - above], lo, hi)

    tops = range(0, height, STRIP_ROWS)
    if threads == 1:
        list(map(refine_strip, tops))
    else:
        with ThreadPoolExecutor(threads) as pool:  # each strip writes its own rows
            list(pool.map(refine_strip, tops))
    return out
