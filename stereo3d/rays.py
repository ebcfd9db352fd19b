"""The kernels of `triangulation`: pairs of rays, intersected (numba)."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def look_up(xy, rows, columns):
    """The map xy (H,W,2) at fractional columns (N,) of whole rows (N,), linear: (N,2), NaN outside."""
    w = xy.shape[1]
    out = np.empty((len(rows), 2))
    for k in range(len(rows)):
        u = columns[k]
        if not 0 <= u <= w - 1:
            out[k, 0] = out[k, 1] = np.nan
            continue
        i = min(int(u), max(w - 2, 0))
        a = u - i
        here, there = xy[rows[k], i], xy[rows[k], min(i + 1, w - 1)]
        for c in range(2):
            out[k, c] = here[c] if a == 0 else (1 - a) * here[c] + a * there[c]
    return out


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _depth(x, y, u, v, R, t, l0, l1, l2):
    """z with z (x, y, 1) nearest to the ray (u, v, 1) of camera 2, that ray first put onto the epipolar line l.

    With a = R d1 and b = d2: z = (t x b) . (b x a) / |b x a|^2 (`geometry.intersect_rays`).
    """
    aside = (u * l0 + v * l1 + l2) / max(l0 * l0 + l1 * l1, 1e-300)
    u, v = u - aside * l0, v - aside * l1
    a0 = R[0, 0] * x + R[0, 1] * y + R[0, 2]
    a1 = R[1, 0] * x + R[1, 1] * y + R[1, 2]
    a2 = R[2, 0] * x + R[2, 1] * y + R[2, 2]
    n0, n1, n2 = v * a2 - a1, a0 - u * a2, u * a1 - v * a0
    m0, m1, m2 = t[1] - t[2] * v, t[2] * u - t[0], t[0] * v - t[1] * u
    below = n0 * n0 + n1 * n1 + n2 * n2
    return (m0 * n0 + m1 * n1 + m2 * n2) / below if below > 0 else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def meet(rays1, rays2, aside, share, R, t, E, points, sigma):
    """Where the rays rays1 and rays2 (N,2), normalised image coordinates, meet, and how sure that is.

    aside (N,2): the second rays of matches a little beside; share (N,): the deviation of a match in units of that step.
    E: (3,3).  points (N,3), sigma (N,) along the ray are written; NaN behind a camera, or where the deviation is half
    the depth.
    """
    for k in range(len(rays1)):
        points[k, 0] = points[k, 1] = points[k, 2] = sigma[k] = np.nan
        x, y = rays1[k, 0], rays1[k, 1]
        l0 = E[0, 0] * x + E[0, 1] * y + E[0, 2]
        l1 = E[1, 0] * x + E[1, 1] * y + E[1, 2]
        l2 = E[2, 0] * x + E[2, 1] * y + E[2, 2]
        z = _depth(x, y, rays2[k, 0], rays2[k, 1], R, t, l0, l1, l2)
        off = abs(_depth(x, y, aside[k, 0], aside[k, 1], R, t, l0, l1, l2) - z) * share[k]
        z2 = z * (R[2, 0] * x + R[2, 1] * y + R[2, 2]) + t[2]
        if z > 0 and z2 > 0 and off < 0.5 * z:
            points[k, 0], points[k, 1], points[k, 2] = z * x, z * y, z
            sigma[k] = off * np.sqrt(x * x + y * y + 1)
