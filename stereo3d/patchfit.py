"""Positions of matches to a few hundredths of a pixel: least-squares matching of small patches (numba)."""

import numpy as np
from numba import njit

ITERATIONS = 12


@njit(cache=True, nogil=True)
def _sample(image, x, y):
    """Bilinear value and gradient of image (H,W) f32 at (x, y) inside it."""
    i, j = int(x), int(y)
    a, b = x - i, y - j
    p00, p10, p01, p11 = image[j, i], image[j, i + 1], image[j + 1, i], image[j + 1, i + 1]
    top, bottom = p00 + a * (p10 - p00), p01 + a * (p11 - p01)
    return top + b * (bottom - top), (1 - b) * (p10 - p00) + b * (p11 - p01), bottom - top


@njit(cache=True, nogil=True)
def _solve(N, q):
    """N^-1 q by Cholesky's factors, in place of q; False where N is not positive. N (8,8): the lower half counts."""
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
def fit_patches(image1, image2, x1, x2, frames, radius, most, first, last, out, score):
    """Move x2 so that image2(x2 + A d) = g image1(x1 + d) + o over |d| <= radius, weighted by a Gaussian.

    Eight unknowns (two of place, four of A, gain g, offset o) by Gauss and Newton's method, from A = frames.
    image1, image2: (H,W) f32.  x1, x2: (N,2) px.  frames: (N,2,2), A at the start.  most: px that x2 may move.
    first, last: which of the N.  out: (N,2), the new x2, or the old one where the fit fails.
    score: (N,) correlation of the two patches after the fit, 0 where it failed.
    Source: W. Foerstner, On the geometric precision of digital correlation, 1982; A. Gruen, Adaptive least squares
    correlation, 1985.
    """
    h1, w1 = image1.shape
    h2, w2 = image2.shape
    side = 2 * radius + 1
    template, weight = np.empty((side, side)), np.empty((side, side))
    value, gx, gy = np.empty(side), np.empty(side), np.empty(side)
    N, q = np.empty((8, 8)), np.empty(8)
    for v in range(side):
        for u in range(side):
            weight[v, u] = np.exp(-2.0 * ((u - radius) ** 2 + (v - radius) ** 2) / radius**2)
    for n in range(first, last):
        out[n, 0], out[n, 1] = x2[n, 0], x2[n, 1]
        score[n] = 0.0
        if not (radius <= x1[n, 0] < w1 - 1 - radius and radius <= x1[n, 1] < h1 - 1 - radius):
            continue
        s = s1 = s11 = 0.0
        for v in range(side):
            for u in range(side):
                t = _sample(image1, x1[n, 0] + u - radius, x1[n, 1] + v - radius)[0]
                template[v, u] = t
                s += weight[v, u]
                s1 += weight[v, u] * t
                s11 += weight[v, u] * t * t
        px, py = x2[n, 0], x2[n, 1]
        a00, a01, a10, a11 = frames[n, 0, 0], frames[n, 0, 1], frames[n, 1, 0], frames[n, 1, 1]
        gain, offset = 1.0, 0.0
        good = False
        correlation = 0.0
        for step in range(ITERATIONS):
            # the patch of photo 2 is a parallelogram: inside where its corners are
            across, down = radius * (abs(a00) + abs(a01)), radius * (abs(a10) + abs(a11))
            if not (across <= px < w2 - 1.0 - across and down <= py < h2 - 1.0 - down):
                break
            for i in range(8):
                q[i] = 0.0
                for k in range(i + 1):
                    N[i, k] = 0.0
            s2 = s22 = s12 = 0.0
            for v in range(side):
                dy = float(v - radius)
                x, y = px + a01 * dy - a00 * radius, py + a11 * dy - a10 * radius
                for u in range(side):
                    value[u], gx[u], gy[u] = _sample(image2, x + a00 * u, y + a10 * u)
                # sums over the row; what stands with dy is the same for all of it
                xx0 = xx1 = xx2 = xy0 = xy1 = xy2 = yy0 = yy1 = yy2 = 0.0
                xt0 = xt1 = yt0 = yt1 = x0 = x_1 = y0 = y_1 = xr0 = xr1 = yr0 = yr1 = tr = r0 = 0.0
                for u in range(side):
                    dx, t, w = float(u - radius), template[v, u], weight[v, u]
                    f = value[u]
                    s2 += w * f
                    s22 += w * f * f
                    s12 += w * t * f
                    r = gain * t + offset - f
                    wx, wy = w * gx[u], w * gy[u]
                    xx, xy, yy = wx * gx[u], wx * gy[u], wy * gy[u]
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
                    x_1 += wx * dx
                    y0 += wy
                    y_1 += wy * dx
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
                # unknowns: x, y, a00, a01, a10, a11, gain, offset; rows (gx, gy, gx dx, gx dy, gy dx, gy dy, -t, -1)
                N[0, 0] += xx0
                N[1, 0] += xy0
                N[1, 1] += yy0
                N[2, 0] += xx1
                N[2, 1] += xy1
                N[2, 2] += xx2
                N[3, 0] += xx0 * dy
                N[3, 1] += xy0 * dy
                N[3, 2] += xx1 * dy
                N[3, 3] += xx0 * dy * dy
                N[4, 1] += yy1
                N[4, 2] += xy2
                N[4, 3] += xy1 * dy
                N[4, 4] += yy2
                N[5, 1] += yy0 * dy
                N[5, 3] += xy0 * dy * dy
                N[5, 4] += yy1 * dy
                N[5, 5] += yy0 * dy * dy
                N[6, 0] -= xt0
                N[6, 1] -= yt0
                N[6, 2] -= xt1
                N[6, 3] -= xt0 * dy
                N[6, 4] -= yt1
                N[6, 5] -= yt0 * dy
                N[7, 0] -= x0
                N[7, 1] -= y0
                N[7, 2] -= x_1
                N[7, 3] -= x0 * dy
                N[7, 4] -= y_1
                N[7, 5] -= y0 * dy
                q[0] += xr0
                q[1] += yr0
                q[2] += xr1
                q[3] += xr0 * dy
                q[4] += yr1
                q[5] += yr0 * dy
                q[6] -= tr
                q[7] -= r0
            N[4, 0], N[5, 0], N[5, 2], N[6, 6], N[7, 6], N[7, 7] = N[2, 1], N[3, 1], N[4, 3], s11, s1, s
            spread = (s * s11 - s1 * s1) * (s * s22 - s2 * s2)
            correlation = (s * s12 - s1 * s2) / np.sqrt(spread) if spread > 1e-6 else 0.0
            if step == 0:  # the photometric part alone, in closed form, before anything moves
                if correlation <= 0.3:
                    break
                gain = (s * s12 - s1 * s2) / (s * s11 - s1 * s1)
                offset = (s2 - gain * s1) / s
                continue
            for i in range(8):
                N[i, i] += 1e-6 * N[i, i] + 1e-9
            if not _solve(N, q):
                break
            px, py = px + q[0], py + q[1]
            a00, a01, a10, a11 = a00 + q[2], a01 + q[3], a10 + q[4], a11 + q[5]
            gain, offset = gain + q[6], offset + q[7]
            if not (abs(px - x2[n, 0]) <= most and abs(py - x2[n, 1]) <= most):
                break
            if abs(q[0]) < 0.005 and abs(q[1]) < 0.005:
                good = True
                break
        if good and correlation > 0.8:
            out[n, 0], out[n, 1] = px, py
            score[n] = correlation
