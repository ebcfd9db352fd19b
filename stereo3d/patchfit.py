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
    template = np.empty((side, side))
    weight = np.empty((side, side))
    for v in range(side):
        for u in range(side):
            weight[v, u] = np.exp(-2.0 * ((u - radius) ** 2 + (v - radius) ** 2) / radius**2)
    for n in range(first, last):
        out[n] = x2[n]
        score[n] = 0.0
        if not (radius <= x1[n, 0] < w1 - 1 - radius and radius <= x1[n, 1] < h1 - 1 - radius):
            continue
        for v in range(side):
            for u in range(side):
                template[v, u] = _sample(image1, x1[n, 0] + u - radius, x1[n, 1] + v - radius)[0]
        px, py = x2[n, 0], x2[n, 1]
        a00, a01, a10, a11 = frames[n, 0, 0], frames[n, 0, 1], frames[n, 1, 0], frames[n, 1, 1]
        gain, offset = 1.0, 0.0
        good = False
        correlation = 0.0
        for step in range(ITERATIONS):
            N = np.zeros((8, 8))
            q = np.zeros(8)
            s = s1 = s2 = s11 = s22 = s12 = 0.0
            inside = True
            for v in range(side):
                for u in range(side):
                    dx, dy = float(u - radius), float(v - radius)
                    x, y = px + a00 * dx + a01 * dy, py + a10 * dx + a11 * dy
                    if not (0.0 <= x < w2 - 1.0 and 0.0 <= y < h2 - 1.0):
                        inside = False
                        break
                    value, gx, gy = _sample(image2, x, y)
                    t, w = template[v, u], weight[v, u]
                    r = gain * t + offset - value
                    J = (gx, gy, gx * dx, gx * dy, gy * dx, gy * dy, -t, -1.0)
                    for i in range(8):
                        q[i] += w * J[i] * r
                        for k in range(i + 1):
                            N[i, k] += w * J[i] * J[k]
                    s += w
                    s1 += w * t
                    s2 += w * value
                    s11 += w * t * t
                    s22 += w * value * value
                    s12 += w * t * value
                if not inside:
                    break
            if not inside:
                break
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
                for k in range(i):
                    N[k, i] = N[i, k]
            d = np.linalg.solve(N, q)
            px, py = px + d[0], py + d[1]
            a00, a01, a10, a11 = a00 + d[2], a01 + d[3], a10 + d[4], a11 + d[5]
            gain, offset = gain + d[6], offset + d[7]
            if not (abs(px - x2[n, 0]) <= most and abs(py - x2[n, 1]) <= most):
                break
            if abs(d[0]) < 0.005 and abs(d[1]) < 0.005:
                good = True
                break
        if good and correlation > 0.8:
            out[n, 0], out[n, 1] = px, py
            score[n] = correlation
