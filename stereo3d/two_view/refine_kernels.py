"""Kernels of the refinement: residuals, Jacobians, damped least squares."""

import numpy as np

from ..kernel_cache import njit


@njit(cache=True, nogil=True, error_model="numpy")
def sampson_of_models(F, x1, x2):
    """Signed Sampson distances of several models, as in `geometry.sampson`.

    Parameters
    ----------
    F : (M, 3, 3) float64
        Models.
    x1, x2 : (N, 2) float64
        Matches.

    Returns
    -------
    (M, N) float64
    """
    r = np.empty((len(F), len(x1)))
    for m in range(len(F)):
        sampson_of_one(F[m], x1, x2, r[m])
    return r


@njit(cache=True, nogil=True, error_model="numpy")
def sampson_of_one(F, x1, x2, r):
    """r (N,) of one model."""
    a, b, c = F[0, 0], F[0, 1], F[0, 2]
    d, e, f = F[1, 0], F[1, 1], F[1, 2]
    g, h, i = F[2, 0], F[2, 1], F[2, 2]
    for n in range(len(x1)):
        u, v, s, t = x1[n, 0], x1[n, 1], x2[n, 0], x2[n, 1]
        p, q = a * u + b * v + c, d * u + e * v + f
        k, l = a * s + d * t + g, b * s + e * t + h
        square = p * p + q * q + k * k + l * l
        r[n] = (p * s + q * t + g * u + h * v + i) / np.sqrt(max(square, 1e-300))


@njit(cache=True, nogil=True, error_model="numpy")
def sampson_slope(F, u1, v1, u2, v2, slope):
    """r = e / n of one match, and slope = dr/dF (3, 3) -> r, 1 / n, r / n, l1, l2.

    e = h2^T F h1, h = (u, v, 1), n = |grad e|, l2 = F h1 and l1 = F^T h2 (first two coordinates):
    dr/dF = (h2 / n - r l2 / n^2) h1^T - h2 (r l1 / n^2)^T.
    """
    l2x, l2y = F[0, 0] * u1 + F[0, 1] * v1 + F[0, 2], F[1, 0] * u1 + F[1, 1] * v1 + F[1, 2]
    l1x, l1y = F[0, 0] * u2 + F[1, 0] * v2 + F[2, 0], F[0, 1] * u2 + F[1, 1] * v2 + F[2, 1]
    e = l2x * u2 + l2y * v2 + F[2, 0] * u1 + F[2, 1] * v1 + F[2, 2]
    per_n = 1 / np.sqrt(max(l2x * l2x + l2y * l2y + l1x * l1x + l1y * l1y, 1e-300))
    r_per_n = e * per_n * per_n
    mx, my = (u2 - r_per_n * l2x) * per_n, (v2 - r_per_n * l2y) * per_n  # h2 / n - r l2 / n^2
    sx, sy = r_per_n * per_n * l1x, r_per_n * per_n * l1y  # r l1 / n^2
    slope[0, 0], slope[0, 1], slope[0, 2] = mx * u1 - u2 * sx, mx * v1 - u2 * sy, mx
    slope[1, 0], slope[1, 1], slope[1, 2] = my * u1 - v2 * sx, my * v1 - v2 * sy, my
    slope[2, 0], slope[2, 1], slope[2, 2] = per_n * u1 - sx, per_n * v1 - sy, per_n
    return e * per_n, per_n, r_per_n, (l1x, l1y), (l2x, l2y)


@njit(cache=True, nogil=True, error_model="numpy")
def along_parameters(slope, dF, J, n):
    """J[n, k] = sum of dr/dF * dF/dk for each of the first parameters."""
    for k in range(len(dF)):
        dr = 0.0
        for y in range(3):
            for x in range(3):
                dr += slope[y, x] * dF[k, y, x]
        J[n, k] = dr


@njit(cache=True, nogil=True, error_model="numpy")
def matmul3(A, B):
    """A B of (3, 3) matrices."""
    C = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            C[i, j] = A[i, 0] * B[0, j] + A[i, 1] * B[1, j] + A[i, 2] * B[2, j]
    return C


@njit(cache=True, nogil=True, error_model="numpy")
def cross_matrix(t):
    """[t]x."""
    W = np.zeros((3, 3))
    W[0, 1], W[0, 2], W[1, 2] = -t[2], t[1], -t[0]
    W[1, 0], W[2, 0], W[2, 1] = t[2], -t[1], t[0]
    return W


@njit(cache=True, nogil=True, error_model="numpy")
def rotation_kernel(w):
    """R = exp([w]x), by Rodrigues."""
    angle = np.sqrt(w[0] ** 2 + w[1] ** 2 + w[2] ** 2)
    a = np.sin(angle) / angle if angle > 1e-12 else 1.0
    b = 0.5 * (np.sin(0.5 * angle) / (0.5 * angle)) ** 2 if angle > 1e-12 else 0.5
    W = cross_matrix(w)
    R = matmul3(W, W)
    for i in range(3):
        for j in range(3):
            R[i, j] = a * W[i, j] + b * R[i, j] + (1.0 if i == j else 0.0)
    return R


@njit(cache=True, nogil=True, error_model="numpy")
def tangent_basis(t):
    """Two unit vectors perpendicular to the unit vector t (3,) and to each other, (2, 3)."""
    out = np.empty((2, 3))
    k = 0
    for i in range(1, 3):
        if abs(t[i]) < abs(t[k]):
            k = i
    length = np.sqrt(1 - t[k] * t[k])
    for i in range(3):
        out[0, i] = ((1.0 if i == k else 0.0) - t[k] * t[i]) / length
    for i in range(3):
        j, m = (i + 1) % 3, (i + 2) % 3
        out[1, i] = t[j] * out[0, m] - t[m] * out[0, j]
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _in_pixels(E, g1, g2):
    """diag(g2, g2, 1) E diag(g1, g1, 1)."""
    F = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            F[i, j] = E[i, j] * (g1 if j < 2 else 1.0) * (g2 if i < 2 else 1.0)
    return F


@njit(cache=True, nogil=True, error_model="numpy")
def _undistort(x, y, k1, k2, focal):
    """x, y px about the principal point -> ideal x, y (px), q = |x_u|^2 / focal^2, |x_u| / |x_d|, d|x_u| / d|x_d|.

    The radius by Newton's method on r_u (1 + k1 r_u^2 + k2 r_u^4) = r_d.
    """
    rd = np.sqrt(x * x + y * y) / focal
    if k1 == 0.0 and k2 == 0.0:
        return x, y, rd * rd, 1.0, 1.0
    ru = rd
    for _ in range(8):
        q = ru * ru
        new = ru - (ru * (1 + q * (k1 + q * k2)) - rd) / max(1 + q * (3 * k1 + 5 * q * k2), 0.1)
        new = min(max(new, 0.0), 3 * rd)
        done = abs(new - ru) < 1e-15
        ru = new
        if done:
            break
    q = ru * ru
    scale = ru / rd if rd > 0.0 else 1.0
    return x * scale, y * scale, q, scale, 1 / max(1 + q * (3 * k1 + 5 * q * k2), 0.1)


@njit(cache=True, nogil=True, error_model="numpy")
def sampson_residuals_kernel(R, t, z, focals, x1, x2, r):
    """r = e / n: Sampson distances of one pose and lens, written into r (N,), px.

    Parameters
    ----------
    R, t : (3, 3), (3,) float64
        Pose.
    z : (10,) float64
        Lens parameters, as in `refine.LensModel`.
    focals : (2,) float64
        px.
    x1, x2 : (N, 2) float64
        px about the principal points.
    r : (N,) float64
        Output.
    """
    g1, g2 = np.exp(-z[0]) / focals[0], np.exp(-z[5]) / focals[1]
    F = _in_pixels(matmul3(cross_matrix(t), R), g1, g2)
    for n in range(len(x1)):
        u1, v1, _, _, _ = _undistort(x1[n, 0] - z[1], x1[n, 1] - z[2], z[3], z[4], focals[0])
        u2, v2, _, _, _ = _undistort(x2[n, 0] - z[6], x2[n, 1] - z[7], z[8], z[9], focals[1])
        p, q = F[0, 0] * u1 + F[0, 1] * v1 + F[0, 2], F[1, 0] * u1 + F[1, 1] * v1 + F[1, 2]
        k, l = F[0, 0] * u2 + F[1, 0] * v2 + F[2, 0], F[0, 1] * u2 + F[1, 1] * v2 + F[2, 1]
        e = p * u2 + q * v2 + F[2, 0] * u1 + F[2, 1] * v1 + F[2, 2]
        r[n] = e / np.sqrt(max(p * p + q * q + k * k + l * l, 1e-300))


@njit(cache=True, nogil=True, error_model="numpy")
def sampson_jacobian_kernel(R, t, z, focals, x1, x2, basis, r, J):  # noqa: PLR0913 - innermost kernel
    """J = dr/d(w, s, p) under R <- exp([w]x) R, t <- t + s tangents, z <- z + basis p.

    F is linear in everything but the principal point and the distortion, which move the points instead:
    dr/du1 = l1 / n - r F^T l2 / n^2 (`sampson_slope` has the letters).

    Parameters
    ----------
    R, t, z, focals, x1, x2
        As in `sampson_residuals_kernel`.
    basis : (10, q) float64
        Free combinations of the lens parameters.
    r, J : (N,), (N, 5 + q) float64
        Outputs.
    """
    g1, g2 = np.exp(-z[0]) / focals[0], np.exp(-z[5]) / focals[1]
    F, dF = _in_pixels(matmul3(cross_matrix(t), R), g1, g2), _pose_slopes(R, t, g1, g2)
    slope, lens = np.empty((3, 3)), np.empty(10)
    for n in range(len(x1)):
        ideal1 = _undistort(x1[n, 0] - z[1], x1[n, 1] - z[2], z[3], z[4], focals[0])
        ideal2 = _undistort(x2[n, 0] - z[6], x2[n, 1] - z[7], z[8], z[9], focals[1])
        r[n], per_n, r_per_n, l1, l2 = sampson_slope(F, ideal1[0], ideal1[1], ideal2[0], ideal2[1], slope)
        along_parameters(slope, dF, J, n)
        if basis.shape[1] == 0:
            continue
        _focal_slopes(slope, F, lens)
        dr_du1 = (l1[0] - r_per_n * (l2[0] * F[0, 0] + l2[1] * F[1, 0])) * per_n
        dr_dv1 = (l1[1] - r_per_n * (l2[0] * F[0, 1] + l2[1] * F[1, 1])) * per_n
        _lens_slopes(dr_du1, dr_dv1, ideal1, focals[0], lens, 0)
        dr_du2 = (l2[0] - r_per_n * (l1[0] * F[0, 0] + l1[1] * F[0, 1])) * per_n
        dr_dv2 = (l2[1] - r_per_n * (l1[0] * F[1, 0] + l1[1] * F[1, 1])) * per_n
        _lens_slopes(dr_du2, dr_dv2, ideal2, focals[1], lens, 5)
        for k in range(basis.shape[1]):
            dr = 0.0
            for m in range(10):
                dr += lens[m] * basis[m, k]
            J[n, 5 + k] = dr


@njit(cache=True, nogil=True, error_model="numpy")
def _pose_slopes(R, t, g1, g2):
    """dF/d(w, s) (5, 3, 3) of F = diag(g2, g2, 1) [t]x R diag(g1, g1, 1)."""
    tangents = tangent_basis(t)
    dF, axis = np.empty((5, 3, 3)), np.zeros(3)
    for k in range(5):
        for i in range(3):
            axis[i] = tangents[k - 3, i] if k > 2 else 1.0 if i == k else 0.0
        turned = matmul3(cross_matrix(axis), R)
        part = _in_pixels(turned if k > 2 else matmul3(cross_matrix(t), turned), g1, g2)
        for i in range(3):
            for j in range(3):
                dF[k, i, j] = part[i, j]
    return dF


@njit(cache=True, nogil=True, error_model="numpy")
def _focal_slopes(slope, F, lens):
    """dr/d(log focal) of both lenses into lens[0] and lens[5]: a longer focal shrinks columns or rows of F."""
    by1 = by2 = 0.0
    for y in range(3):
        for x in range(2):
            by1 -= slope[y, x] * F[y, x]
            by2 -= slope[x, y] * F[x, y]
    lens[0], lens[5] = by1, by2


@njit(cache=True, nogil=True, error_model="numpy")
def _lens_slopes(dr_du, dr_dv, ideal, focal, lens, first):
    """dr/d(centre x, centre y, k1, k2) of one lens into lens[first + 1 ...]; ideal: as `_undistort` returns it."""
    u, v, q, scale, rise = ideal
    along = dr_du * u + dr_dv * v
    radial = along * (rise - scale) / max(q * focal**2, 1e-300)
    lens[first + 1], lens[first + 2] = -dr_du * scale - u * radial, -dr_dv * scale - v * radial
    lens[first + 3], lens[first + 4] = -along * q * rise, -along * q * q * rise
