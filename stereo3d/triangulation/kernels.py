"""Kernels of triangulation: map look-up, undistortion and intersection of rays (numba)."""

from typing import NamedTuple

import numpy as np

from ..kernel_cache import njit

BASE = 8  # px between the three known pixels that a row is extrapolated from; wide, as the maps are single precision
MAX_ITERATIONS = 20  # of Newton's method
MAX_STEP = 0.2  # normalised image coordinates: bounds a Newton step
CONVERGED = 1e-13  # normalised image coordinates: stop iterating below this residual
MAX_RESIDUAL = 1e-9  # normalised image coordinates: above it the pixel has no ray
MIN_DETERMINANT = 0.05  # of the distortion's Jacobian; below, the model is about to fold


class Pose(NamedTuple):
    """R (3,3) and t (3,), X2 = R X1 + t, and the essential matrix E (3,3), all float64."""

    R: np.ndarray
    t: np.ndarray
    E: np.ndarray


@njit(cache=True, nogil=True, error_model="numpy")
def _extrapolate(row, u, beyond):
    """The map's row (W,2) at column u by the projective map through three known pixels within `beyond` px, or NaN."""
    w = len(row)
    for side in (1, -1):  # the known pixels lie to the right, or to the left
        end = int(np.ceil(u)) if side > 0 else int(np.floor(u))
        end = min(max(end, 0), w - 1)
        while 0 <= end < w and side * (end - u) <= beyond and not np.isfinite(row[end, 0]):
            end += side
        middle, last = end + side * BASE, end + 2 * side * BASE
        if 0 <= end < w and 0 <= last < w and side * (end - u) <= beyond:
            v0, v1 = row[last, 0] - row[end, 0], row[last, 1] - row[end, 1]
            length = np.sqrt(v0 * v0 + v1 * v1)
            v0, v1 = v0 / length, v1 / length
            first = (row[middle, 0] - row[end, 0]) * v0 + (row[middle, 1] - row[end, 1]) * v1
            bend = (2 * first - length) / (2 * (length - first))  # c BASE
            s = (u - end) / (last - end) * 2  # in units of BASE
            if length > 0 and 1 + bend * s > 0.5:  # False for NaN
                t = first * (1 + bend) * s / (1 + bend * s)
                return row[end, 0] + t * v0, row[end, 1] + t * v1
    return np.nan, np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def sample_map(xy, rows, columns, beyond):
    """Interpolate a map linearly at fractional columns of whole rows, extrapolating up to `beyond` px.

    Beyond the outermost known pixel of a row the map continues as a projective map of the row onto a line,
    t(s) = k s / (1 + c s), through three known pixels.

    Parameters
    ----------
    xy : (H,W,2) float32
        NaN where unknown.
    rows, columns : (N,) int64, (N,) float64
        Places to sample.
    beyond : int
        px past the outermost known pixels of a row; farther out the result is NaN.

    Returns
    -------
    (N,2) float64
    """
    w = xy.shape[1]
    out = np.empty((len(rows), 2))
    for k in range(len(rows)):
        u, row = columns[k], xy[rows[k]]
        i = min(max(int(np.floor(u)), 0), max(w - 2, 0))
        j = min(i + 1, w - 1)
        a = u - i
        if 0 <= a <= 1:
            for c in range(2):
                out[k, c] = row[i, c] if a == 0 else (1 - a) * row[i, c] + a * row[j, c]
            if np.isfinite(out[k, 0]):
                continue
        out[k, 0] = out[k, 1] = np.nan
        if beyond > 0 and -beyond <= u <= w - 1 + beyond:
            out[k, 0], out[k, 1] = _extrapolate(row, u, beyond)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def undistort(x, inverse, centre, dist, limit):
    """Undistort pixels as `geometry.undistort` does, with analytic derivatives.

    Parameters
    ----------
    x : (N,2) float64
        Photo pixels.
    inverse : (2,2) float64
        Inverse of K[:2, :2].
    centre : (2,) float64
        K[:2, 2].
    dist : (12,) float64
        Distortion in OpenCV's order, padded by zeros.
    limit : float
        `geometry.fold_radius` of dist.

    Returns
    -------
    (N,2) float64
        Normalised image coordinates; NaN where the lens model does not reach the pixel.
    """
    out = np.empty(x.shape)
    k1, k2, p1, p2, k3, k4, k5, k6 = dist[0], dist[1], dist[2], dist[3], dist[4], dist[5], dist[6], dist[7]
    s1, s2, s3, s4 = dist[8], dist[9], dist[10], dist[11]
    for k in range(len(x)):
        a, b = x[k, 0] - centre[0], x[k, 1] - centre[1]
        a, b = inverse[0, 0] * a + inverse[0, 1] * b, inverse[1, 0] * a + inverse[1, 1] * b
        u, v, off = a, b, np.inf
        for _ in range(MAX_ITERATIONS):
            q = u * u + v * v
            above, below = 1 + q * (k1 + q * (k2 + q * k3)), 1 + q * (k4 + q * (k5 + q * k6))
            radial = above / below
            rise = (k1 + q * (2 * k2 + 3 * q * k3) - radial * (k4 + q * (2 * k5 + 3 * q * k6))) / below  # by q
            e = u * radial + 2 * p1 * u * v + p2 * (q + 2 * u * u) + q * (s1 + q * s2) - a
            f = v * radial + p1 * (q + 2 * v * v) + 2 * p2 * u * v + q * (s3 + q * s4) - b
            off = max(abs(e), abs(f))
            if not off >= CONVERGED:  # NaN too
                break
            along, across = 2 * (s1 + 2 * q * s2), 2 * (s3 + 2 * q * s4)
            mixed = 2 * u * v * rise + 2 * p1 * u + 2 * p2 * v
            uu, uv = radial + 2 * u * u * rise + 2 * p1 * v + 6 * p2 * u + u * along, mixed + v * along
            vu, vv = mixed + u * across, radial + 2 * v * v * rise + 6 * p1 * v + 2 * p2 * u + v * across
            det = uu * vv - uv * vu
            if abs(det) < MIN_DETERMINANT:
                off = np.inf
                break
            u -= min(max((vv * e - uv * f) / det, -MAX_STEP), MAX_STEP)
            v -= min(max((uu * f - vu * e) / det, -MAX_STEP), MAX_STEP)
        good = off <= MAX_RESIDUAL and u * u + v * v <= limit * limit
        out[k, 0], out[k, 1] = (u, v) if good else (np.nan, np.nan)
    return out


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _depth(x, y, u, v, R, t, l0, l1, l2):  # noqa: PLR0913 - innermost kernel
    """z = (t x b) . (b x a) / |b x a|^2 with a = R d1, b = d2: depth of the intersection of two rays.

    The second ray (u, v, 1) is first projected onto the epipolar line (l0, l1, l2) of the first, (x, y, 1), so that the
    two rays meet (`geometry.intersect_rays`).
    """
    off_line = (u * l0 + v * l1 + l2) / max(l0 * l0 + l1 * l1, 1e-300)
    u, v = u - off_line * l0, v - off_line * l1
    a0 = R[0, 0] * x + R[0, 1] * y + R[0, 2]
    a1 = R[1, 0] * x + R[1, 1] * y + R[1, 2]
    a2 = R[2, 0] * x + R[2, 1] * y + R[2, 2]
    n0, n1, n2 = v * a2 - a1, a0 - u * a2, u * a1 - v * a0
    m0, m1, m2 = t[1] - t[2] * v, t[2] * u - t[0], t[0] * v - t[1] * u
    below = n0 * n0 + n1 * n1 + n2 * n2
    return (m0 * n0 + m1 * n1 + m2 * n2) / below if below > 0 else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def intersect(rays1, rays2, shifted2, share, pose, points, sigma):
    """Write the intersections X = z d1 of pairs of rays and sigma = |dz| share |d1|.

    Parameters
    ----------
    rays1, rays2 : (N,2) float64
        Normalised image coordinates of the matches in photo 1 and photo 2.
    shifted2 : (N,2) float64
        Those of photo 2 with the disparity changed by a small step: dz is the change of depth.
    share : (N,) float64
        Standard deviation of the match, in units of that step.
    pose : Pose
        Of camera 2.
    points, sigma : (N,3), (N,) float64
        Output, in units of t: NaN behind a camera, or where the deviation is half the depth or more.
    """
    R, t, E = pose.R, pose.t, pose.E
    for k in range(len(rays1)):
        points[k, 0] = points[k, 1] = points[k, 2] = sigma[k] = np.nan
        x, y = rays1[k, 0], rays1[k, 1]
        l0 = E[0, 0] * x + E[0, 1] * y + E[0, 2]
        l1 = E[1, 0] * x + E[1, 1] * y + E[1, 2]
        l2 = E[2, 0] * x + E[2, 1] * y + E[2, 2]
        z = _depth(x, y, rays2[k, 0], rays2[k, 1], R, t, l0, l1, l2)
        off = abs(_depth(x, y, shifted2[k, 0], shifted2[k, 1], R, t, l0, l1, l2) - z) * share[k]
        z2 = z * (R[2, 0] * x + R[2, 1] * y + R[2, 2]) + t[2]
        if z > 0 and z2 > 0 and off < 0.5 * z:
            points[k, 0], points[k, 1], points[k, 2] = z * x, z * y, z
            sigma[k] = off * np.sqrt(x * x + y * y + 1)
