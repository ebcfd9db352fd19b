"""How far a disparity may be off: its standard deviation, from the texture it was matched by and the noise in it."""

import numpy as np

from .costs import grey
from .select import residuals

RADIUS = 3  # px, of the window: that in which `select.refined` fits a disparity to the pictures
NOISE_SIDE = 5  # px, of those that the pair's noise is told by: smaller, so that not all of it has been fitted away
ROWS = 50 * NOISE_SIDE  # of the picture at once: memory stays small
CHI_SQUARED = 0.4549  # median of the square of a standard normal number
ROUNDING = 1 / 6  # grey levels squared: variance of the difference of two grey levels that were rounded
# Chosen on 20 rendered pairs (noise of 0 to 6 grey levels) and 16 real ones with true disparity alike, so that 68 of
# 100 errors lie within sigma, the steps of the truth counted in: these, and `methods.Found.excess`.
FLOOR = 0.02  # px: sampling, interpolation, and what bends within a window
UNTOLD = 0.5  # px: where the pictures tell nothing, the surface around does
SHARE = 0.8  # of the difference of both maps


def deviation(
    left: np.ndarray, right: np.ndarray, disparity: np.ndarray, difference: np.ndarray, excess: float
) -> np.ndarray:
    """sigma (H,W) f32, px, of a left map, with sigma^2 = FLOOR^2 + 1 / (1/s^2 + 1/UNTOLD^2) + (SHARE difference)^2.

    s^2 = excess^2 n^2 / sum (g - mean g)^2: the Cramer-Rao bound of a shift between two pictures, over the window of
    2 RADIUS + 1, g the slope of the right picture at the match, grey levels / px. n^2 = (n_w^2 + n_p^2) / 2, grey
    levels, is the noise of the window, n_w^2 = sum (e - mean e)^2 / (m - 2) over its m residuals e, and that of the
    whole pair as such a window feels it, n_p^2 = the median over small windows of
    (sum (g - mean g) (e - mean e))^2 / sum (g - mean g)^2, over that of chi-squared: it grows where neighbouring
    residuals are alike, as for sharp edges, which the count of the pixels does not tell.

    left, right (H,W,3) u8; disparity (H,W) f32, NaN unknown; difference (H,W) f32 of both maps, px; excess: of the
    matcher, what its sub-pixel part gives away against the bound. It is of a disparity between these pictures as they
    are rectified: neither an error of the camera motion is in it nor relief smaller than a window.
    Source: Foerstner, On the geometric precision of digital correlation, 1982.
    """
    height, width = disparity.shape
    sigma, noise = (np.empty((height, width), np.float32) for _ in range(2))
    asked = []
    strips = [slice(top, min(top + ROWS, height)) for top in range(0, height, ROWS)]
    for strip in strips:
        above = max(0, strip.start - RADIUS)
        rows, own = slice(above, min(height, strip.stop + RADIUS)), slice(strip.start - above, strip.stop - above)
        facing, mine = (np.ascontiguousarray(grey(picture[rows]), np.float32) for picture in (right, left))
        surface, slope, residual = (np.empty_like(mine) for _ in range(3))
        residuals(mine, facing, np.ascontiguousarray(disparity[rows]), 0, len(mine), surface, slope, residual)
        known = np.isfinite(surface).astype(np.float32)
        moments = known, slope, residual, slope * slope, slope * residual, residual * residual
        m, sigma[strip], _, ee = (a[own] for a in _about_means(*(_around(a) for a in moments)))
        noise[strip] = ee / np.maximum(m - 2, 1)
        m, gg, ge, _ = _about_means(*(_tiled(a[own]) for a in moments))
        whole = (m > NOISE_SIDE**2 - 0.5) & (gg > ROUNDING)
        asked.append(np.square(ge[whole]) / gg[whole])
    asked = np.concatenate(asked)
    of_pair = np.float32(np.median(asked) / CHI_SQUARED) if len(asked) else None
    for strip in strips:
        n = noise[strip] if of_pair is None else (noise[strip] + of_pair) / 2
        told = sigma[strip] / (np.float32(excess**2) * np.maximum(n, np.float32(ROUNDING))) + np.float32(1 / UNTOLD**2)
        apart = np.float32(SHARE) * difference[strip]
        sigma[strip] = np.sqrt(np.float32(FLOOR**2) + 1 / told + apart * apart)
    return sigma


def _around(array: np.ndarray) -> np.ndarray:
    """Sums over the window about each pixel, (h,W) f32."""
    import cv2

    size = (2 * RADIUS + 1, 2 * RADIUS + 1)
    return cv2.boxFilter(src=array, ddepth=-1, ksize=size, normalize=False, borderType=cv2.BORDER_CONSTANT)


def _tiled(array: np.ndarray) -> np.ndarray:
    """Sums over small windows side by side, (h // NOISE_SIDE, W // NOISE_SIDE) f32."""
    import cv2

    rows, columns = (n // NOISE_SIDE for n in array.shape)
    if not rows or not columns:
        return np.zeros((rows, columns), np.float32)
    whole = array[: rows * NOISE_SIDE, : columns * NOISE_SIDE]
    return cv2.resize(src=whole, dsize=(columns, rows), interpolation=cv2.INTER_AREA) * np.float32(NOISE_SIDE**2)


def _about_means(m, g, e, gg, ge, ee):
    """m, sum (g - mean)^2, sum (g - mean) (e - mean), sum (e - mean)^2, of m pixels' sums of g, e, g^2, g e, e^2."""
    n = np.maximum(m, 1)
    return m, np.maximum(gg - g * g / n, 0), ge - g * e / n, np.maximum(ee - e * e / n, 0)
