"""Planes through the neighbours of every point of a map: slopes, and points moved towards them (numba).

A plane is linear in w = 1/z over the view (a, b) = (x/z, y/z). A tile of a row is worked on at a time, in single
precision, and all that it needs lies in one array at constant distances: so the compiler uses vector instructions.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .. import resources
from ..geometry.arrays import norms
from ..kernel_cache import njit
from .kernels import NOISE_FACTOR

# Of the squared trace of the covariance of (a, b): points on a line span no plane.
MIN_DETERMINANT = np.float32(1e-3)
MIN_SMOOTHING_POINTS = np.float32(6)  # fewer leave too few degrees of freedom for the scatter
FREE = np.float32(3)  # parameters of a plane
RESOLUTION = np.float32(1e-14)  # of the squared scatter of w, as a share of w^2: single precision tells no less
NOTHING, ONE, NOISE, UNKNOWN = np.float32(0), np.float32(1), np.float32(NOISE_FACTOR), np.float32(np.nan)
BAND_ROWS = 32  # rows per task of a thread
TILE = 256  # pixels of a row that are worked on at a time
# Planes of a map: the points, their distances from the camera, their standard deviations, `_row_ratio`
X, Y, Z, RANGE, SIGMA, RATIO = range(6)
# Places in the scratch array: the first five planes of the tile's own pixels and of their neighbours; the sums n, a, b,
# w, aa, ab, bb, aw, bw, ww, with a, b and w relative to the pixel, w as a share of its own; what comes out.
OWN, NEIGHBOUR, SUMS, SLOPE, FACTOR, SCRATCH = (TILE * k for k in (0, 5, 10, 20, 22, 23))


def smooth(
    points: np.ndarray,
    sigma: np.ndarray,
    tangent: float,
    pitch: float,
    radius: int,
    steps: tuple[tuple[int, float], ...],
) -> np.ndarray:
    """Return the points (H, W, 3) float64 moved along their rays towards the planes through their neighbours.

    By the share min(1, noise_share sigma_w^2 / s^2) of the way in w, s^2 the scatter about the plane: noise goes, and
    detail that exceeds the noise stays.

    Parameters
    ----------
    points : (H, W, 3) float64
        NaN: unknown.
    sigma : (H, W) float64
        Standard deviation along the ray.
    tangent : float
        tan(max_angle), see `kernels.same_surface`: neighbours on other surfaces do not count.
    pitch : float
        Distance of neighbouring pixels in (a, b).
    radius : int
        The window is 2 radius + 1 points square.
    steps : tuple of (int, float)
        (px between the points of a window, share of sigma^2 that is noise within it), applied in turn.

    References
    ----------
    Lee, Digital image enhancement and noise filtering by use of local statistics, 1980 (the Wiener weight).
    """
    total, factor = np.ones(sigma.shape, np.float32), np.empty(sigma.shape, np.float32)
    planes, none = _planes(points, sigma, pitch), np.zeros((0, 0, 3), np.float32)
    for step, noise_share in steps:
        _by_bands(write_planes, planes, tangent * tangent, radius, step, noise_share, factor, none)
        planes[:SIGMA] *= factor
        total *= factor
    del planes  # as large as the result
    return points * total[..., None]


def slopes(
    points: np.ndarray, sigma: np.ndarray, tangent: float, pitch: float, radius: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient of ln z over (a, b), (H, W, 2) float32, and the number of points of each plane, (H, W).

    The gradient is NaN where the points span no plane. Arguments: those of `smooth`.
    """
    factor, found = np.empty(sigma.shape, np.float32), np.zeros((*sigma.shape, 3), np.float32)
    _by_bands(write_planes, _planes(points, sigma, pitch), tangent * tangent, radius, 1, 1.0, factor, found)
    return found[..., :2], found[..., 2]


def _planes(points: np.ndarray, sigma: np.ndarray, pitch: float) -> np.ndarray:
    """(6, H, W) float32."""
    planes = np.empty((6, *sigma.shape), np.float32)
    planes[: Z + 1] = np.moveaxis(points, -1, 0)
    planes[RANGE], planes[SIGMA] = norms(points), sigma
    planes[RATIO] = _row_ratio(planes, pitch)
    return planes


def _row_ratio(planes: np.ndarray, pitch: float) -> np.ndarray:
    """(H, W), at least 1: pitch over the distance in (a, b) from the next row, by which windows are higher.

    Above 1 near an epipole in the picture: neighbouring rows hold the same photo pixels and share their errors there.
    """
    gap = np.full(planes.shape[1:], np.nan, np.float32)
    a, b = planes[X] / planes[Z], planes[Y] / planes[Z]
    gap[:-1] = np.hypot(np.diff(a, axis=0), np.diff(b, axis=0))
    gap[1:] = np.where(np.isnan(gap[1:]), gap[:-1], gap[1:])
    with np.errstate(divide="ignore", invalid="ignore"):  # points may coincide
        return np.fmax(pitch / gap, 1)


def _by_bands(kernel: Any, planes: np.ndarray, *given: Any) -> None:
    """Call kernel(first row, planes, ...) for every band of rows, each of which writes its own rows."""
    with ThreadPoolExecutor(resources.processors()) as pool:
        list(pool.map(lambda first: kernel(first, planes, *given), range(0, planes.shape[1], BAND_ROWS)))


@njit(cache=True, nogil=True, error_model="numpy")
def write_planes(row0, planes, tangent2, radius, step, noise_share, factor, found):  # noqa: PLR0913 - innermost
    """Fit w = g . (a, b) + c by least squares to the neighbours of every point of BAND_ROWS rows from row0 on.

    Parameters
    ----------
    planes : (6, H, W) float32
    tangent2 : float
        tan(max_angle)^2.
    radius, step, noise_share
        As in `smooth`.
    factor : (H, W) float32, output
        By what the point is to be multiplied.
    found : (H, W, 3) float32 or (0, 0, 3), output
        Gradient of ln z, -g / w, and number of points.
    """
    H, W = factor.shape
    scratch, rows = np.zeros(SCRATCH, np.float32), np.empty(TILE, np.int64)
    for y in range(row0, min(row0 + BAND_ROWS, H)):
        for x0 in range(0, W, TILE):
            width = min(TILE, W - x0)
            even = True
            for t in range(width):
                rows[t] = int(min(step * planes[RATIO, y, x0 + t] + 0.5, np.float64(H)))
                even = even and rows[t] == step
            # np.int64: a literal is a type of its own, so numba would compile the function twice
            copy_pixels(planes, y, x0, width, scratch, np.int64(OWN))
            for t in range(SUMS, SLOPE):
                scratch[t] = NOTHING
            for i in range(-radius, radius + 1):
                for j in range(-radius, radius + 1):
                    if even:
                        copy_pixels(planes, y + i * step, x0 + j * step, width, scratch, np.int64(NEIGHBOUR))
                    else:
                        for t in range(width):
                            gather_pixel(planes, y + i * rows[t], x0 + t + j * step, scratch, NEIGHBOUR + t)
                    add_neighbours(scratch, np.float32(tangent2))
            fit_planes(scratch, np.float32(noise_share))
            for t in range(width):
                factor[y, x0 + t] = scratch[FACTOR + t]
                if len(found):
                    found[y, x0 + t, 0], found[y, x0 + t, 1] = scratch[SLOPE + t], scratch[SLOPE + TILE + t]
                    found[y, x0 + t, 2] = scratch[SUMS + t]


@njit(cache=True, nogil=True, error_model="numpy")
def copy_pixels(planes, y, x0, width, scratch, place):
    """Copy `width` pixels of row y from column x0 on to scratch[place:]; NaN where there are none."""
    _, H, W = planes.shape
    first, last = (max(0, -x0), min(width, W - x0)) if 0 <= y < H else (0, 0)
    if first > 0 or last < TILE:
        for t in range(place, place + 5 * TILE):
            scratch[t] = np.nan
    flat = planes.reshape(-1)
    for k in range(5):
        to, start = np.uint64(place + k * TILE + first), np.uint64((k * H + y) * W + x0 + first)
        for t in range(np.uint64(max(0, last - first))):  # unsigned: no negative index to look for
            scratch[to + t] = flat[start + t]


@njit(cache=True, nogil=True, error_model="numpy")
def gather_pixel(planes, y, x, scratch, at):
    """Copy pixel (y, x) to scratch[at], [at + TILE], ...; NaN where there is none."""
    inside = 0 <= y < planes.shape[1] and 0 <= x < planes.shape[2]
    for k in range(5):
        scratch[at + k * TILE] = planes[k, y, x] if inside else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def add_neighbours(s, tangent2):
    """Add one neighbour of each pixel of the tile to its sums, where both lie on one surface (`same_surface`)."""
    for t in range(TILE):
        px, py, pz = s[X * TILE + t], s[Y * TILE + t], s[Z * TILE + t]
        qx, qy, qz = s[NEIGHBOUR + X * TILE + t], s[NEIGHBOUR + Y * TILE + t], s[NEIGHBOUR + Z * TILE + t]
        sp, sq = s[SIGMA * TILE + t], s[NEIGHBOUR + SIGMA * TILE + t]
        along = abs(s[RANGE * TILE + t] - s[NEIGHBOUR + RANGE * TILE + t])
        excess = along - NOISE * np.sqrt(sp * sp + sq * sq)
        x, y, z = px - qx, py - qy, pz - qz
        room = tangent2 * (x * x + y * y + z * z - along * along)
        same = (excess <= NOTHING) | (excess * excess <= room)
        w0, w = ONE / pz, ONE / qz
        a = qx * w - px * w0 if same else NOTHING
        b = qy * w - py * w0 if same else NOTHING
        w = pz * w - ONE if same else NOTHING
        s[SUMS + t] += ONE if same else NOTHING
        s[SUMS + TILE + t] += a
        s[SUMS + 2 * TILE + t] += b
        s[SUMS + 3 * TILE + t] += w
        s[SUMS + 4 * TILE + t] += a * a
        s[SUMS + 5 * TILE + t] += a * b
        s[SUMS + 6 * TILE + t] += b * b
        s[SUMS + 7 * TILE + t] += a * w
        s[SUMS + 8 * TILE + t] += b * w
        s[SUMS + 9 * TILE + t] += w * w


@njit(cache=True, nogil=True, error_model="numpy")
def fit_planes(s, noise_share):
    """Write what each point of the tile is multiplied by, and the gradient of ln z, from its sums."""
    for t in range(TILE):
        n = s[SUMS + t]
        ma, mb, mw = s[SUMS + TILE + t] / n, s[SUMS + 2 * TILE + t] / n, s[SUMS + 3 * TILE + t] / n
        caa, cab = s[SUMS + 4 * TILE + t] / n - ma * ma, s[SUMS + 5 * TILE + t] / n - ma * mb
        cbb, caw = s[SUMS + 6 * TILE + t] / n - mb * mb, s[SUMS + 7 * TILE + t] / n - ma * mw
        cbw, cww = s[SUMS + 8 * TILE + t] / n - mb * mw, s[SUMS + 9 * TILE + t] / n - mw * mw
        det = caa * cbb - cab * cab
        ga, gb = (cbb * caw - cab * cbw) / det, (caa * cbw - cab * caw) / det
        spans = det > MIN_DETERMINANT * (caa + cbb) * (caa + cbb)  # False for NaN
        s[SLOPE + t] = -ga / (ONE + mw) if spans else UNKNOWN
        s[SLOPE + TILE + t] = -gb / (ONE + mw) if spans else UNKNOWN
        noise = s[SIGMA * TILE + t] / s[RANGE * TILE + t]
        noise *= noise_share * noise
        scatter = (cww - ga * caw - gb * cbw) * n / (n - FREE)
        share = min(ONE, noise / max(scatter, RESOLUTION))
        moved = ONE / (ONE + share * (mw - ga * ma - gb * mb))
        s[FACTOR + t] = moved if spans & (n >= MIN_SMOOTHING_POINTS) & (noise > NOTHING) else ONE
