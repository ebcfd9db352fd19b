"""The fractions of a finished map fitted to the pictures once more, in larger windows on one side of creases."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .. import resources
from ..geometry.arrays import all_channels
from ..kernel_cache import njit
from ..records import DisparityMap, RectifiedPair
from .costs import grey
from .refinement import NOISE, STRIP_ROWS, Comparison, fit_planes, image_step, residuals
from .uncertainty import FLOOR
from .uncertainty import RADIUS as SIGMA_RADIUS

# Chosen on rendered panoramas and fisheyes (docs/decisions/sphere.md): px of the windows, twice those of the matcher,
# and rounds. The plane of a window beside a pixel is taken where that bends a sixth as much (mean square) as its own.
RADIUS = 7
ROUNDS = 2
GAIN = np.float32(6)
MAX_CHANGE = np.float32(0.5)  # px, by the plane of another window
SAME_SURFACE = np.float32(1)  # px, as in `refinement`


class WindowPlanes(NamedTuple):
    """The planes of the windows about each pixel, as `fit_planes` and `bend_of_planes` write them; (H, W) float32.

    Parameters
    ----------
    level : array
        px, at the pixel.
    along, down : array
        px / px.
    bend : array
        px^2, the mean square of what a plane leaves.
    """

    level: np.ndarray
    along: np.ndarray
    down: np.ndarray
    bend: np.ndarray


def sharpen(
    found: DisparityMap, pair: RectifiedPair, d_range: tuple[float, float], *, threads: int | None = None
) -> DisparityMap:
    """Return the left map of a pair after rounds of planes and image steps in larger windows, of what both photos show.

    For smooth surfaces of small disparities, where a tenth of a pixel is some per cent of the depth. Where two surfaces
    meet, a window about a pixel rounds their crease off; there the plane of a window beside it is taken
    (`planes_beside_creases`). sigma, which holds for windows of `uncertainty.RADIUS`, falls as the root of the pixels
    in a window grows.

    Parameters
    ----------
    found : DisparityMap
    pair : RectifiedPair
        Not swapped.
    d_range : (lo, hi)
        px.
    threads : int or None
        None for one per processor. The result does not depend on it.
    """
    lo, hi = math.floor(d_range[0]), math.ceil(d_range[1])
    matched = _both_show(found.disparity, pair)
    moved = np.where(matched, found.disparity, np.float32(np.nan))
    pictures = [grey(picture).astype(np.float32) for picture in (pair.left, pair.right)]
    with ThreadPoolExecutor(threads or resources.processors()) as pool:

        def in_strips(kernel: Callable[..., None], *arguments: object) -> None:
            """Run a kernel that writes the rows between its last two arguments."""
            tops = range(0, len(moved), STRIP_ROWS)
            list(pool.map(lambda top: kernel(*arguments, top, min(top + STRIP_ROWS, len(moved))), tops))

        for _ in range(ROUNDS):
            moved = np.clip(_round(moved, pictures, in_strips), lo, hi)
    matched &= np.isfinite(moved)
    share = np.float32((2 * SIGMA_RADIUS + 1) / (2 * RADIUS + 1))
    sigma = np.where(matched, np.maximum(share * found.sigma, np.float32(FLOOR)), found.sigma)
    return replace(found, disparity=np.where(matched, moved, found.disparity), sigma=sigma)


def _round(disparity: np.ndarray, pictures: list[np.ndarray], in_strips: Callable[..., None]) -> np.ndarray:
    """The map (H, W) after the planes of its surroundings and a step towards equal pictures."""
    planes = WindowPlanes(*(np.empty_like(disparity) for _ in range(4)))
    compared = Comparison(*(np.empty_like(disparity) for _ in range(3)))
    chosen, moved = np.empty_like(disparity), np.empty_like(disparity)

    def fit(row0: int, row1: int) -> None:
        fit_planes(disparity, RADIUS, 1, row0, row1, planes.level, planes.along, planes.down)

    def step(row0: int, row1: int) -> None:
        image_step(chosen, compared, RADIUS, np.float32(NOISE), row0, row1, moved)

    in_strips(fit)
    in_strips(lambda row0, row1: bend_of_planes(disparity, planes, RADIUS, row0, row1))
    in_strips(lambda row0, row1: planes_beside_creases(disparity, planes, RADIUS, GAIN, row0, row1, chosen))
    in_strips(lambda row0, row1: residuals(*pictures, chosen, row0, row1, compared))
    in_strips(step)
    return moved


@njit(cache=True, nogil=True)
def bend_of_planes(disparity, planes, radius, row0, row1):
    """bend = mean of (d(u, v) - level - along u - down v)^2 over the neighbours of `fit_planes`; inf of too few.

    Parameters
    ----------
    disparity : (H, W) f32
        px.
    planes : WindowPlanes
        What `fit_planes` made of it; its `bend` is written.
    radius : int
        px.
    row0, row1 : int
        Rows row0 .. row1 - 1 are written.
    """
    height, width = disparity.shape
    for y in range(row0, row1):
        for x in range(width):
            total, count = np.float32(0), 0
            own, a, b, c = disparity[y, x], planes.along[y, x], planes.down[y, x], planes.level[y, x]
            for v in range(max(-radius, -y), min(radius, height - 1 - y) + 1):
                for u in range(max(-radius, -x), min(radius, width - 1 - x) + 1):
                    d = disparity[y + v, x + u]
                    if abs(d - own) <= SAME_SURFACE:  # False for NaN
                        off = d - c - a * u - b * v
                        total += off * off
                        count += 1
            planes.bend[y, x] = total / count if count > 2 * radius else np.inf


@njit(cache=True, nogil=True)
def planes_beside_creases(disparity, planes, radius, gain, row0, row1, out):
    """out = the plane at each pixel of its own window, or of the one among eight beside it that bends gain times less.

    A window that ends at a pixel lies on one side of the crease next to it. Nagao and Matsuyama's filter, of planes.

    Parameters
    ----------
    disparity : (H, W) f32
        px.
    planes : WindowPlanes
    radius : int
        px, to the centres of the windows beside.
    gain : f32
        Ratio of the bends.
    row0, row1 : int
        Rows row0 .. row1 - 1 are written.
    out : (H, W) f32
        px.

    References
    ----------
    Nagao and Matsuyama, Edge preserving smoothing, 1979.
    """
    height, width = disparity.shape
    level, along, down, bend = planes.level, planes.along, planes.down, planes.bend
    for y in range(row0, row1):
        for x in range(width):
            own, least = disparity[y, x], bend[y, x] / gain
            out[y, x] = level[y, x]
            for j in range(-radius, radius + 1, radius):
                for i in range(-radius, radius + 1, radius):
                    a, b = y + j, x + i
                    if not (0 <= a < height and 0 <= b < width and bend[a, b] < least):
                        continue
                    value = level[a, b] - along[a, b] * i - down[a, b] * j
                    if abs(value - own) <= MAX_CHANGE:  # False for NaN
                        least = bend[a, b]
                        out[y, x] = value


def _both_show(disparity: np.ndarray, pair: RectifiedPair) -> np.ndarray:
    """Return which pixels (H, W) have a disparity that leads to one inside the other photo."""
    height, width = disparity.shape
    at = np.rint(np.arange(width) - np.nan_to_num(disparity)).astype(int)
    inside = all_channels(np.isfinite(pair.map2))
    shown = inside[np.arange(height)[:, None], at.clip(0, width - 1)] & (at >= 0) & (at < width)
    return shown & all_channels(np.isfinite(pair.map1)) & np.isfinite(disparity)
