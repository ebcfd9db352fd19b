"""Edges of a black square to a fraction of a pixel, and the corners where they meet."""

import numpy as np

from ...geometry.camera import ideal_pixels

STEP = 0.25  # px between the samples across an edge
ENDS = 0.1  # share of a side left out at each of its ends, where the corner rounds off
MAX_SAMPLES = 240  # along a side
HALF_WIDTH = (1.5, 6.0)  # px, least and most half length of the samples across an edge
PLATEAU = 4  # samples at each end of a profile that give its dark and its bright level
MIN_CONTRAST = 0.4  # of a profile / of the side's median
MIN_POINTS = 8  # on a side, for a line
LINE_SIGMA = 0.03  # px: least standard deviation of a corner, whatever the scatter along its edges says


def linear_light(rgb: np.ndarray) -> np.ndarray:
    """Mean of the linear light of an sRGB picture (H, W, 3) uint8 -> (H, W) float32, 0 to 1.

    In the file's numbers a blurred edge has its middle level on the dark side of the edge, by up to a third of a pixel.
    """
    v = np.arange(256) / 255
    table = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4).astype(np.float32)
    return table[rgb].mean(2)


def square_edges(rgb: np.ndarray, corners: np.ndarray, cells: int) -> list[np.ndarray] | None:
    """Return points on each side of a black square, by the middle level of profiles across it.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    corners : (4, 2) float64
        px, clockwise, to some pixels.
    cells : int
        Of the marker, along a side: no profile reaches past its border.

    Returns
    -------
    list of four (N, 2) float64, or None
        px; None where an edge cannot be found.
    """
    sides = np.linalg.norm(np.roll(corners, -1, 0) - corners, axis=1)
    half = float(np.clip(0.45 * sides.min() / cells, *HALF_WIDTH))
    low = np.maximum(np.floor(corners.min(0) - 3 * half - 3).astype(int), 0)
    high = np.ceil(corners.max(0) + 3 * half + 4).astype(int)
    light = linear_light(rgb[low[1] : high[1], low[0] : high[0]])
    x, points = corners - low, []
    for _ in range(3):  # the corners of a detector are off by a pixel or two; profiles are centred anew
        points = [_edge_points(light, x[k], x[(k + 1) % 4], half) for k in range(4)]
        if min(map(len, points)) < MIN_POINTS:
            return None
        lines = [_line(p)[0] for p in points]
        x = np.stack([_meet(lines[k - 1], lines[k]) for k in range(4)])
        if not np.isfinite(x).all():
            return None
    return [p + low for p in points]


def meeting_corners(edges: list[np.ndarray], K: np.ndarray, dist: np.ndarray | None) -> tuple[np.ndarray, float]:
    """Return the corners (4, 2), ideal px, where the sides meet, and their standard deviation from the scatter, px.

    The lens's distortion is taken out of the points first: then the sides are straight.
    """
    fits = [_line(ideal_pixels(p, K, dist)) for p in edges]
    corners = np.stack([_meet(fits[k - 1][0], fits[k][0]) for k in range(4)])
    scatter = max(sigma for _, sigma in fits)
    return corners, max(LINE_SIGMA, scatter)


def _edge_points(light: np.ndarray, a: np.ndarray, b: np.ndarray, half: float) -> np.ndarray:
    """Points (N,2), px, where profiles across the side a, b (dark on the right of a -> b) cross their middle level."""
    from scipy.ndimage import map_coordinates

    length = float(np.linalg.norm(b - a))
    along = (b - a) / max(length, 1e-9)
    outward = np.array([along[1], -along[0]])
    count = int(np.clip(length * (1 - 2 * ENDS), MIN_POINTS, MAX_SAMPLES))
    t = np.linspace(ENDS, 1 - ENDS, count) * length
    s = np.arange(-half, half + 1e-9, STEP)
    at = a + t[:, None, None] * along + s[:, None] * outward
    profile = map_coordinates(light, [at[..., 1], at[..., 0]], order=1, mode="nearest")
    dark, bright = profile[:, :PLATEAU].mean(1), profile[:, -PLATEAU:].mean(1)
    contrast = bright - dark
    level = (profile - dark[:, None]) / np.maximum(contrast, 1e-6)[:, None] - 0.5
    crossing = (level[:, :-1] < 0) & (level[:, 1:] >= 0)
    away = np.where(crossing, np.abs(s[:-1] + STEP / 2), np.inf)
    k = away.argmin(1)
    rows = np.arange(count)
    before, after = level[rows, k], level[rows, k + 1]
    offset = s[k] + STEP * before / np.where(before == after, 1.0, before - after)
    inside = np.all((at >= -0.5) & (at <= np.array(light.shape[::-1]) - 0.5), axis=(1, 2))
    good = inside & np.isfinite(away[rows, k]) & (contrast > MIN_CONTRAST * max(float(np.median(contrast)), 0.01))
    return (a + t[:, None] * along + offset[:, None] * outward)[good]


def _line(p: np.ndarray) -> tuple[np.ndarray, float]:
    """Line (a, b, c), a x + b y + c = 0 of unit normal, through points (N,2) without outliers; sigma at its ends."""
    kept = np.ones(len(p), bool)
    line, r = np.zeros(3), np.zeros(len(p))
    for _ in range(3):
        centre = p[kept].mean(0)
        normal = np.linalg.svd(p[kept] - centre)[2][1]
        line = np.array([*normal, -normal @ centre])
        r = p @ normal + line[2]
        scale = 1.4826 * float(np.median(np.abs(r[kept]))) + 1e-6
        kept = np.abs(r) <= 3 * scale
    return line, 2 * float(np.sqrt(np.mean(r[kept] ** 2) / (kept.sum() / 2)))  # neighbouring profiles share pixels


def _meet(line1: np.ndarray, line2: np.ndarray) -> np.ndarray:
    """The point (2,) where two lines meet; not finite for parallels."""
    x = np.cross(line1, line2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return x[:2] / x[2]
