"""Least-squares matching of small patches, to a few hundredths of a pixel (numba)."""

from typing import NamedTuple

import numpy as np

from ..kernel_cache import njit

MAX_STEPS = 12  # Gauss-Newton steps; good starts converge in 4 to 6
CONVERGED_PX = 0.005  # px: a shorter step ends the iteration
MIN_START_CORRELATION = 0.3  # of the patches before the first step; below it they show different surfaces
MIN_CORRELATION = 0.8  # of the patches after the last step
DAMPING = 1e-6  # relative, added to the diagonal of the normal equations
MIN_DAMPING = 1e-9  # absolute, added too: textureless patches leave some unknowns undetermined


class RowMoments(NamedTuple):
    """Sums over a row, weighted by w; the digit is the power of dx.

    xx, xy, yy: of gx gx, gx gy, gy gy.  x, y: of gx, gy; xt, yt times the template t; xr, yr times the residual r.
    """

    xx0: float
    xx1: float
    xx2: float
    xy0: float
    xy1: float
    xy2: float
    yy0: float
    yy1: float
    yy2: float
    x0: float
    x1: float
    y0: float
    y1: float
    xt0: float
    xt1: float
    yt0: float
    yt1: float
    xr0: float
    xr1: float
    yr0: float
    yr1: float
    tr: float
    r: float


@njit(cache=True, nogil=True)
def _sample(image, x, y):
    """Return the bilinear value of image (H,W) f32 at (x, y), and its gradient along x and y. (x, y) lies inside."""
    i, j = int(x), int(y)
    a, b = x - i, y - j
    p00, p10, p01, p11 = image[j, i], image[j, i + 1], image[j + 1, i], image[j + 1, i + 1]
    top, bottom = p00 + a * (p10 - p00), p01 + a * (p11 - p01)
    return top + b * (bottom - top), (1 - b) * (p10 - p00) + b * (p11 - p01), bottom - top


@njit(cache=True, nogil=True)
def _solve(N, q):
    """Replace q by N^-1 q (Cholesky); False where N is not positive definite. N (8,8): only the lower half is read."""
    n = len(q)
    for i in range(n):
        for k in range(i + 1):
            s = N[i, k]
            for j in range(k):
                s -= N[i, j] * N[k, j]
            if i == k:
                if not s > 0.0:
                    return False
                N[i, i] = np.sqrt(s)
            else:
                N[i, k] = s / N[k, k]
    for i in range(n):
        for j in range(i):
            q[i] -= N[i, j] * q[j]
        q[i] /= N[i, i]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            q[i] -= N[j, i] * q[j]
        q[i] /= N[i, i]
    return True


@njit(cache=True, nogil=True)
def _row_moments(row, template, weight, v, radius, gain, offset):
    """Sum gradients, template t and residual r = gain t + offset - value over row v, times powers of dx = u - radius.

    row (3, side): value, gx, gy of the row.  The row of the other arrays is passed by number: slices are slower here.
    """
    xx0 = xx1 = xx2 = xy0 = xy1 = xy2 = yy0 = yy1 = yy2 = 0.0
    x0 = x1 = y0 = y1 = xt0 = xt1 = yt0 = yt1 = xr0 = xr1 = yr0 = yr1 = tr = r0 = 0.0
    for u in range(2 * radius + 1):
        dx, t, w = float(u - radius), template[v, u], weight[v, u]
        gx, gy = row[1, u], row[2, u]
        r = gain * t + offset - row[0, u]
        wx, wy = w * gx, w * gy
        xx, xy, yy = wx * gx, wx * gy, wy * gy
        xx0 += xx
        xx1 += xx * dx
        xx2 += xx * dx * dx
        xy0 += xy
        xy1 += xy * dx
        xy2 += xy * dx * dx
        yy0 += yy
        yy1 += yy * dx
        yy2 += yy * dx * dx
        x0 += wx
        x1 += wx * dx
        y0 += wy
        y1 += wy * dx
        xt0 += wx * t
        xt1 += wx * t * dx
        yt0 += wy * t
        yt1 += wy * t * dx
        xr0 += wx * r
        xr1 += wx * r * dx
        yr0 += wy * r
        yr1 += wy * r * dx
        tr += w * t * r
        r0 += w * r
    return RowMoments(
        xx0, xx1, xx2, xy0, xy1, xy2, yy0, yy1, yy2, x0, x1, y0, y1, xt0, xt1, yt0, yt1, xr0, xr1, yr0, yr1, tr, r0
    )


@njit(cache=True, nogil=True)
def _assemble(N, q, m, dy):
    """Add a row at distance dy from the patch's middle to the lower half of N (8,8) and to q (8,).

    Unknowns: x, y, a00, a01, a10, a11, gain, offset. A pixel's row of the Jacobian is
    (gx, gy, gx dx, gx dy, gy dx, gy dy, -t, -1). Entries that equal others are left to `_complete`.
    """
    N[0, 0] += m.xx0
    N[1, 0] += m.xy0
    N[1, 1] += m.yy0
    N[2, 0] += m.xx1
    N[2, 1] += m.xy1
    N[2, 2] += m.xx2
    N[3, 0] += m.xx0 * dy
    N[3, 1] += m.xy0 * dy
    N[3, 2] += m.xx1 * dy
    N[3, 3] += m.xx0 * dy * dy
    N[4, 1] += m.yy1
    N[4, 2] += m.xy2
    N[4, 3] += m.xy1 * dy
    N[4, 4] += m.yy2
    N[5, 1] += m.yy0 * dy
    N[5, 3] += m.xy0 * dy * dy
    N[5, 4] += m.yy1 * dy
    N[5, 5] += m.yy0 * dy * dy
    N[6, 0] -= m.xt0
    N[6, 1] -= m.yt0
    N[6, 2] -= m.xt1
    N[6, 3] -= m.xt0 * dy
    N[6, 4] -= m.yt1
    N[6, 5] -= m.yt0 * dy
    N[7, 0] -= m.x0
    N[7, 1] -= m.y0
    N[7, 2] -= m.x1
    N[7, 3] -= m.x0 * dy
    N[7, 4] -= m.y1
    N[7, 5] -= m.y0 * dy
    q[0] += m.xr0
    q[1] += m.yr0
    q[2] += m.xr1
    q[3] += m.xr0 * dy
    q[4] += m.yr1
    q[5] += m.yr0 * dy
    q[6] -= m.tr
    q[7] -= m.r


@njit(cache=True, nogil=True)
def _complete(N, s, s1, s11):
    """Fill the entries of N's lower half that equal others or depend on the template alone."""
    N[4, 0], N[5, 0], N[5, 2] = N[2, 1], N[3, 1], N[4, 3]
    N[6, 6], N[7, 6], N[7, 7] = s11, s1, s


@njit(cache=True, nogil=True)
def _normal_equations(image2, p, template, weight, row, N, q):
    """Fill N and q (but for `_complete`) at the unknowns p (8,); return sum w f, sum w f^2, sum w t f of photo 2.

    template, weight: (side, side).  row (3, side): scratch for values and gradients.
    """
    side = len(weight)
    radius = side // 2
    for i in range(8):
        q[i] = 0.0
        for k in range(i + 1):
            N[i, k] = 0.0
    s2 = s22 = s12 = 0.0
    for v in range(side):
        dy = float(v - radius)
        x, y = p[0] + p[3] * dy - p[2] * radius, p[1] + p[5] * dy - p[4] * radius
        for u in range(side):
            f, gx, gy = _sample(image2, x + p[2] * u, y + p[4] * u)
            row[0, u], row[1, u], row[2, u] = f, gx, gy
            t, w = template[v, u], weight[v, u]
            s2 += w * f
            s22 += w * f * f
            s12 += w * t * f
        _assemble(N, q, _row_moments(row, template, weight, v, radius, p[6], p[7]), dy)
    return s2, s22, s12


@njit(cache=True, nogil=True)
def _take_template(image1, x, y, weight, template):
    """Sample the patch of photo 1 about (x, y) into template; return sum w, sum w t, sum w t^2."""
    side = len(weight)
    radius = side // 2
    s = s1 = s11 = 0.0
    for v in range(side):
        for u in range(side):
            t = _sample(image1, x + u - radius, y + v - radius)[0]
            template[v, u] = t
            s += weight[v, u]
            s1 += weight[v, u] * t
            s11 += weight[v, u] * t * t
    return s, s1, s11


@njit(cache=True, nogil=True)
def _inside(p, radius, shape):
    """Test whether the patch of photo 2, a parallelogram, lies inside the picture: its corners do."""
    across, down = radius * (abs(p[2]) + abs(p[3])), radius * (abs(p[4]) + abs(p[5]))
    return across <= p[0] < shape[1] - 1.0 - across and down <= p[1] < shape[0] - 1.0 - down


@njit(cache=True, nogil=True)
def _iterate(image2, template, sums, weight, p, max_shift, row, N, q):  # noqa: PLR0913 - innermost kernel
    """Gauss-Newton steps on the unknowns p (8,) in place; return the correlation at the end, 0 where the fit fails."""
    radius = len(weight) // 2
    x_start, y_start = p[0], p[1]
    s, s1, s11 = sums
    for step in range(MAX_STEPS):
        if not _inside(p, radius, image2.shape):
            return 0.0
        s2, s22, s12 = _normal_equations(image2, p, template, weight, row, N, q)
        _complete(N, s, s1, s11)
        variances = (s * s11 - s1 * s1) * (s * s22 - s2 * s2)
        correlation = (s * s12 - s1 * s2) / np.sqrt(variances) if variances > 1e-6 else 0.0
        if step == 0:  # before anything moves, gain and offset alone, in closed form
            if correlation <= MIN_START_CORRELATION:
                return 0.0
            p[6] = (s * s12 - s1 * s2) / (s * s11 - s1 * s1)
            p[7] = (s2 - p[6] * s1) / s
            continue
        for i in range(8):
            N[i, i] += DAMPING * N[i, i] + MIN_DAMPING
        if not _solve(N, q):
            return 0.0
        for i in range(8):
            p[i] += q[i]
        if not (abs(p[0] - x_start) <= max_shift and abs(p[1] - y_start) <= max_shift):
            return 0.0
        if abs(q[0]) < CONVERGED_PX and abs(q[1]) < CONVERGED_PX:
            return correlation
    return 0.0


@njit(cache=True, nogil=True)
def fit_patches(  # noqa: PLR0913 - innermost kernel
    image1, image2, x1, x2, frames, radius, max_shift, first, last, out, score
):
    """image2(x2 + A d) = g image1(x1 + d) + o over |d| <= radius: move x2 by weighted least squares.

    The weight is a Gaussian. Gauss-Newton solves for eight unknowns: place (2), A (4), gain g, offset o.

    Parameters
    ----------
    image1, image2 : (H, W) float32
    x1, x2 : (N, 2) float64
        px.
    frames : (N, 2, 2) float64
        A to start from.
    radius : int
        px.
    max_shift : float
        px along x and y; a fit that moves farther fails.
    first, last : int
        The matches first .. last - 1 are fitted.
    out : (N, 2) float64
        Written: the new x2, or the old one where the fit fails.
    score : (N,) float64
        Written: correlation of the two patches after the fit, 0 where it fails.

    References
    ----------
    Foerstner, On the geometric precision of digital image correlation, 1982.
    Gruen, Adaptive least squares correlation, 1985.
    """
    height, width = image1.shape
    side = 2 * radius + 1
    template, weight, row = np.empty((side, side)), np.empty((side, side)), np.empty((3, side))
    N, q, p = np.empty((8, 8)), np.empty(8), np.empty(8)
    for v in range(side):
        for u in range(side):
            weight[v, u] = np.exp(-2.0 * ((u - radius) ** 2 + (v - radius) ** 2) / radius**2)
    for n in range(first, last):
        out[n, 0], out[n, 1] = x2[n, 0], x2[n, 1]
        score[n] = 0.0
        if not (radius <= x1[n, 0] < width - 1 - radius and radius <= x1[n, 1] < height - 1 - radius):
            continue
        sums = _take_template(image1, x1[n, 0], x1[n, 1], weight, template)
        p[0], p[1], p[2], p[3] = x2[n, 0], x2[n, 1], frames[n, 0, 0], frames[n, 0, 1]
        p[4], p[5], p[6], p[7] = frames[n, 1, 0], frames[n, 1, 1], 1.0, 0.0
        correlation = _iterate(image2, template, sums, weight, p, max_shift, row, N, q)
        if correlation > MIN_CORRELATION:
            out[n, 0], out[n, 1] = p[0], p[1]
            score[n] = correlation
