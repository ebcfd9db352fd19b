"""Standard deviation and probability of a disparity."""

import numpy as np

from .costs import grey
from .refinement import Comparison, residuals

MAX_SMOOTH_STEP = 1.5  # px of disparity between two neighbours; a larger step is a depth jump
MAX_DIFFERENCE = 8  # px, of both maps; larger ones count as this
MAX_JUMP_DISTANCE = 20  # px, to the nearest depth jump
MAX_MARGIN = 1000  # of the matcher
RADIUS = 3  # px, of the window: that in which `refinement.refine` fits a disparity to the pictures
NOISE_SIDE = 5  # px, of the windows that measure the pair's noise: smaller, so that the fit has not removed all of it
STRIP_ROWS = 50 * NOISE_SIDE  # rows of the picture per strip: bounds the memory
CHI_SQUARED_MEDIAN = 0.4549  # of the square of a standard normal number
ROUNDING = 1 / 6  # grey levels squared: variance of the difference of two rounded grey levels
# Chosen on 20 rendered pairs (noise of 0 to 6 grey levels) and 16 real ones with true disparity, so that 68 % of the
# errors lie within sigma, the steps of the truth included; together with `methods.Found.excess`.
FLOOR = 0.02  # px: sampling, interpolation, curvature within a window
PRIOR_SIGMA = 0.5  # px, where texture gives no bound
SHARE = 0.8  # of the difference of both maps


def probability(
    disparity: np.ndarray,
    difference: np.ndarray,
    odds: tuple[float, float, float, float],
    margin: np.ndarray | None = None,
) -> np.ndarray:
    """P(error < 1 px) = 1 / (1 + c (1 + difference)^p (1 + distance)^q (1 + margin)^r).

    Parameters
    ----------
    disparity : (H, W) float32
        px, NaN unknown; the distance of a pixel to the nearest depth jump comes from it.
    difference : (H, W) float32
        px, of both maps.
    odds : (c, p, q, r)
        Of the matcher: see `methods.Found`.
    margin : (H, W) float32 or None
        Of the matcher: see `methods.Found`.

    Returns
    -------
    (H, W) float32
    """
    import cv2

    level = np.nan_to_num(disparity, nan=-1e6)
    smooth = np.ones(disparity.shape, np.uint8)
    for after, before in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        flat = np.abs(level[after] - level[before]) <= MAX_SMOOTH_STEP
        smooth[after] &= flat
        smooth[before] &= flat
    distance = cv2.distanceTransform(smooth, distanceType=cv2.DIST_L2, maskSize=5)
    del level, smooth, flat
    scale, *powers = (np.float32(x) for x in odds)
    for top in range(0, len(distance), STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        log_odds = powers[0] * np.log(1 + np.minimum(difference[rows], np.float32(MAX_DIFFERENCE)))
        log_odds += powers[1] * np.log(1 + np.minimum(distance[rows], np.float32(MAX_JUMP_DISTANCE)))
        if margin is not None:
            log_odds += powers[2] * np.log(1 + np.clip(margin[rows], np.float32(0), np.float32(MAX_MARGIN)))
        distance[rows] = 1 / (1 + scale * np.exp(log_odds))
    return distance


def disparity_sigma(
    left: np.ndarray, right: np.ndarray, disparity: np.ndarray, difference: np.ndarray, excess: float
) -> np.ndarray:
    """sigma^2 = FLOOR^2 + 1 / (1/s^2 + 1/PRIOR_SIGMA^2) + (SHARE difference)^2, of each disparity of a left map.

    s^2 = excess^2 n^2 / sum (g - mean g)^2 is the Cramer-Rao bound of a shift between two pictures, over the window of
    2 RADIUS + 1 px, with g the slope of the right picture at the match (grey levels / px). n^2 = (n_w^2 + n_p^2) / 2 is
    the noise (grey levels squared): n_w^2 = sum (e - mean e)^2 / (m - 2) over the m residuals e of the window, and
    n_p^2, for the whole pair, the median over small windows of
    (sum (g - mean g) (e - mean e))^2 / sum (g - mean g)^2, over the median of chi-squared. n_p grows where neighbouring
    residuals are correlated, as at sharp edges; a count of pixels would not show that.

    sigma holds for the pair as it is rectified. It includes neither an error of the camera motion nor relief smaller
    than a window.

    Parameters
    ----------
    left, right : (H, W, 3) uint8
        RGB.
    disparity : (H, W) float32
        px, NaN unknown.
    difference : (H, W) float32
        px, of both maps.
    excess : float
        Of the matcher: ratio of its sub-pixel error to the bound.

    Returns
    -------
    (H, W) float32
        px.

    References
    ----------
    Foerstner, On the geometric precision of digital correlation, 1982.
    """
    height, width = disparity.shape
    information, noise = (np.empty((height, width), np.float32) for _ in range(2))
    scores = []
    strips = [slice(top, min(top + STRIP_ROWS, height)) for top in range(0, height, STRIP_ROWS)]
    for strip in strips:
        moments, own = _strip_moments(left, right, disparity, strip)
        m, information[strip], _, ee = (a[own] for a in _about_means(*(_window_sums(a) for a in moments)))
        noise[strip] = ee / np.maximum(m - 2, 1)
        m, gg, ge, _ = _about_means(*(_tile_sums(a[own]) for a in moments))
        full = (m > NOISE_SIDE**2 - 0.5) & (gg > ROUNDING)
        scores.append(np.square(ge[full]) / gg[full])
    scores = np.concatenate(scores)
    pair_noise = np.float32(np.median(scores) / CHI_SQUARED_MEDIAN) if len(scores) else None
    sigma = information  # in place, strip by strip
    for strip in strips:
        n = noise[strip] if pair_noise is None else (noise[strip] + pair_noise) / 2
        scaled_noise = np.float32(excess**2) * np.maximum(n, np.float32(ROUNDING))
        total = information[strip] / scaled_noise + np.float32(1 / PRIOR_SIGMA**2)
        apart = np.float32(SHARE) * difference[strip]
        sigma[strip] = np.sqrt(np.float32(FLOOR**2) + 1 / total + apart * apart)
    return sigma


def _strip_moments(
    left: np.ndarray, right: np.ndarray, disparity: np.ndarray, strip: slice
) -> tuple[tuple[np.ndarray, ...], slice]:
    """Return (known, g, e, g^2, g e, e^2) of the rows of a strip and RADIUS rows around it, and the strip in them."""
    above = max(0, strip.start - RADIUS)
    rows = slice(above, min(len(disparity), strip.stop + RADIUS))
    own = slice(strip.start - above, strip.stop - above)
    other, mine = (np.ascontiguousarray(grey(picture[rows]), np.float32) for picture in (right, left))
    compared = Comparison(*(np.empty_like(mine) for _ in range(3)))
    residuals(mine, other, np.ascontiguousarray(disparity[rows]), 0, len(mine), compared)
    surface, slope, residual = compared
    known = np.isfinite(surface).astype(np.float32)
    return (known, slope, residual, slope * slope, slope * residual, residual * residual), own


def _window_sums(array: np.ndarray) -> np.ndarray:
    """Return sums over the window about each pixel, (h,W) f32."""
    import cv2

    size = (2 * RADIUS + 1, 2 * RADIUS + 1)
    return cv2.boxFilter(src=array, ddepth=-1, ksize=size, normalize=False, borderType=cv2.BORDER_CONSTANT)


def _tile_sums(array: np.ndarray) -> np.ndarray:
    """Return sums over adjacent small windows, (h // NOISE_SIDE, W // NOISE_SIDE) f32."""
    import cv2

    rows, columns = (n // NOISE_SIDE for n in array.shape)
    if not rows or not columns:
        return np.zeros((rows, columns), np.float32)
    whole = array[: rows * NOISE_SIDE, : columns * NOISE_SIDE]
    return cv2.resize(src=whole, dsize=(columns, rows), interpolation=cv2.INTER_AREA) * np.float32(NOISE_SIDE**2)


def _about_means(
    m: np.ndarray, g: np.ndarray, e: np.ndarray, gg: np.ndarray, ge: np.ndarray, ee: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return m and the centred sums of g^2, g e, e^2, from the sums of m pixels: 1, g, e, g^2, g e, e^2."""
    n = np.maximum(m, 1)
    return m, np.maximum(gg - g * g / n, 0), ge - g * e / n, np.maximum(ee - e * e / n, 0)
