"""Pixels that match another place of their row as well, where what looks alike nearby speaks for that other disparity.

A post of a fence, matched to the next post, may get the very disparity of the wall behind: it then continues a surface
that features support, and passes the left-right test. Only the whole row shows that the post fits elsewhere as well,
and only the rest of the fence, and the features on it, show which place is right.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..geometry.arrays import all_channels
from ..kernel_cache import njit
from ..records import RectifiedPair
from .costs import CENSUS, bits_set, brightness, census
from .rows import parallel_rows
from .selection import small_components
from .uniqueness import UniquenessThresholds

MAX_PLACES = 100_000_000  # pixels x places of the reduced pair that are compared: a quarter of a second
RANDOM_BITS = 17  # of 34, in which unrelated pixels differ
RIVALS = 8  # disparities kept of each pixel, in either picture and direction the nearest ones
NO_RIVAL = np.int16(-32768)


@dataclass(frozen=True)
class LookalikeThresholds:
    """When a pixel has a rival.

    Parameters
    ----------
    as_good, min_gain : float
        As in `UniquenessThresholds`.
    majority : float
        Pixels nearby that fit elsewhere as well and have a rival's disparity, for each that has the pixel's own.
    min_votes : int
        Least number of them.
    divided : float
        Features on what looks alike nearby that have the pixel's own disparity, for each that has a rival's: with no
        more, they do not tell which is right.
    min_features : int
        Least number of those that have the rival's.
    radius : (int, int)
        px of the reduced pair, half the height and half the width of the windows that are compared.
    cells : int
        Of the picture's width; pixels in a cell and in those around it are nearby.
    tolerance : int
        px of the reduced pair, between two disparities that count as one.
    """

    as_good: float = UniquenessThresholds.as_good
    min_gain: float = UniquenessThresholds.min_gain
    majority: float = 2.0
    min_votes: int = 50
    divided: float = 3.0
    min_features: int = 10
    radius: tuple[int, int] = (7, 3)
    cells: int = 10
    tolerance: int = 1


THRESHOLDS = LookalikeThresholds()


class Contested(NamedTuple):
    """What `contested_pixels` finds.

    Parameters
    ----------
    pixels : (H, W) bool
        Contested pixels.
    period : float
        px, median distance of what looks alike to what it looks like; NaN without any contested pixel.
    """

    pixels: np.ndarray
    period: float


class Compared(NamedTuple):
    """What `rival_rows` reads.

    Parameters
    ----------
    codes, other_codes : (H, W) u64
        Census of both pictures.
    inside, other_inside : (H, W) bool
        Pixels inside their photos.
    d : (H, W) int64
        px; below `lo`: unknown.
    lo, hi : int
        px, range of disparities.
    """

    codes: np.ndarray
    other_codes: np.ndarray
    inside: np.ndarray
    other_inside: np.ndarray
    d: np.ndarray
    lo: int
    hi: int


@njit(cache=True, nogil=True)
def _add_distances(code, row, inside, start, sign, sums):
    """sums[k] += sign x Hamming distance of the code to row[start + k], RANDOM_BITS where that is not inside."""
    first, last = min(max(0, -start), len(sums)), max(0, min(len(sums), len(row) - start))
    unknown = np.int32(sign * RANDOM_BITS)
    for k in range(first):
        sums[k] += unknown
    for k in range(first, last):
        bits = np.int32(bits_set(code ^ row[start + k]))  # pyright: ignore[reportCallIssue]
        sums[k] += np.int32(sign) * bits if inside[start + k] else unknown
    for k in range(max(first, last), len(sums)):
        sums[k] += unknown


@njit(cache=True, nogil=True)
def _add_row(c, y, sign, column, own_column):
    """Add (sign 1) or subtract (-1) the distances of the pixels of row y to each place of both pictures."""
    width, span = c.codes.shape[1], c.hi - c.lo
    for x in range(width):  # the places of the other picture from its left to its right: d from hi down to lo
        _add_distances(c.codes[y, x], c.other_codes[y], c.other_inside[y], x - c.hi, sign, column[x])
        _add_distances(c.codes[y, x], c.codes[y], c.inside[y], x - span, sign, own_column[x])


@njit(cache=True, nogil=True)
def _put_rivals(costs, middle, levels, first, step, rivals):
    """Write the disparities first + step k of the minima k beyond the first costs above `half` that cost `enough`.

    Parameters
    ----------
    costs : (n,) int32
        Bits.
    middle : int
        Place of the winner.
    levels : (half, enough)
        Of `_levels`.
    first, step : int
        See above.
    rivals : (RIVALS,) int16
        The free entries, NO_RIVAL, are written in their order.
    """
    half, enough = levels
    at = 0
    while at < len(rivals) and rivals[at] != NO_RIVAL:
        at += 1
    for side in (-1, 1):
        outside = False
        k = middle + side
        while 0 <= k < len(costs) and at < len(rivals):
            if outside and costs[k] <= enough:
                while 0 <= k + side < len(costs) and costs[k + side] <= costs[k]:
                    k += side
                rivals[at] = first + step * k
                at += 1
                outside = False
            outside |= costs[k] > half
            k += side


@njit(cache=True, nogil=True)
def _levels(costs, middle, as_good, min_gain):
    """Return (half, enough): bits halfway to a random match, and those of a rival as good; enough < 0: no clear winner.

    The winner is the least cost within 1 px of the place `middle`, random the mean cost.
    """
    random, winner = costs.mean(), costs[middle]
    for k in range(max(0, middle - 1), min(len(costs) - 1, middle + 1) + 1):
        winner = min(winner, costs[k])
    if not (random > winner and random - winner >= min_gain * random):
        return 0.0, -1.0
    return 0.5 * (winner + random), random - as_good * (random - winner)


@njit(cache=True, nogil=True)
def rival_rows(c, limits, radius, row0, row1, rivals):
    """rivals[y, x] = the disparities at which the window about the pixel fits as well, px, then NO_RIVAL.

    Of a place in the own picture s px to the right, d - s: what looks alike there would match alike.

    Parameters
    ----------
    c : Compared
        The pair.
    limits : (float, float)
        as_good and min_gain of `LookalikeThresholds`.
    radius : (int, int)
        px: windows of 2 radius + 1 rows and columns.
    row0, row1 : int
        Rows row0 .. row1 - 1 are written.
    rivals : (H, W, RIVALS) int16
        Written.
    """
    height, width = c.codes.shape
    span = c.hi - c.lo
    column, own_column = np.zeros((width, span + 1), np.int32), np.zeros((width, 2 * span + 1), np.int32)
    first = max(0, row0 - radius[0])
    costs, own = np.empty(span + 1, np.int32), np.empty(2 * span + 1, np.int32)
    for ahead in range(first, row1 + radius[0]):
        y = ahead - radius[0]
        if ahead < height:
            _add_row(c, ahead, 1, column, own_column)
        if y - radius[0] - 1 >= first:
            _add_row(c, y - radius[0] - 1, -1, column, own_column)
        if y < row0:
            continue
        costs[:], own[:] = 0, 0
        for x in range(min(radius[1], width)):
            costs += column[x]
            own += own_column[x]
        for x in range(width):
            if x + radius[1] < width:
                costs += column[x + radius[1]]
                own += own_column[x + radius[1]]
            if x - radius[1] - 1 >= 0:
                costs -= column[x - radius[1] - 1]
                own -= own_column[x - radius[1] - 1]
            rivals[y, x] = NO_RIVAL
            middle = c.hi - c.d[y, x]
            if not 0 <= middle <= span:
                continue
            levels = _levels(costs, middle, limits[0], limits[1])
            _put_rivals(costs, middle, levels, c.hi, -1, rivals[y, x])
            _put_rivals(own, span, levels, c.d[y, x] + span, -1, rivals[y, x])


@njit(cache=True, nogil=True)
def outvoted(d, rivals, votes, cell, lo, majority, least):
    """Return where a rival has at least `least` votes, and `majority` times as many as the pixel's own disparity.

    Parameters
    ----------
    d : (H, W) int64
        px.
    rivals : (H, W, RIVALS) int16
        Of `rival_rows`.
    votes : (rows, columns, n) int64
        Of each cell for the disparities lo .. lo + n - 1.
    cell, lo : int
        px.
    majority, least : float, int
        See above.

    Returns
    -------
    (H, W) bool
    """
    height, width, count = rivals.shape
    out = np.zeros((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            of_cell = votes[y // cell, x // cell]
            for i in range(count):
                place = rivals[y, x, i] - lo
                if 0 <= place < len(of_cell) and of_cell[place] >= max(least, majority * of_cell[d[y, x] - lo]):
                    out[y, x] = True
    return out


def contested_pixels(
    pair: RectifiedPair,
    disparity: np.ndarray,
    matches: np.ndarray,
    d_range: tuple[float, float],
    *,
    threads: int = 1,
    thresholds: LookalikeThresholds = THRESHOLDS,
) -> Contested:
    """Find where another place of the row fits as well, in either picture, and has the votes or the features nearby.

    What fits elsewhere as well votes, each pixel for its disparity; so a wall behind a fence has no say on the fence.
    So do the features there: where those of a rival are not clearly fewer, the pixel is contested too.

    Parameters
    ----------
    pair : RectifiedPair
        Rectified pictures.
    disparity : (H, W) float32
        px, of the left picture, NaN unknown.
    matches : (N, 3) float64
        px: x and y of each feature in the left picture, and its disparity.
    d_range : (float, float)
        px, disparities searched.
    threads : int
        The result does not depend on it.
    thresholds : LookalikeThresholds
        See there.

    Returns
    -------
    Contested
    """
    import cv2

    height, width = disparity.shape
    share = min(1.0, (MAX_PLACES / (3 * (d_range[1] - d_range[0] + 1) * height * width)) ** (1 / 3))
    h, w = max(1, round(height * share)), max(1, round(width * share))
    scale = w / width
    rows = np.minimum((np.arange(h) + 0.5) * height / h, height - 1).astype(np.intp)
    columns = np.minimum((np.arange(w) + 0.5) / scale, width - 1).astype(np.intp)
    codes = []
    for picture in (pair.left, pair.right):
        image = cv2.resize(brightness(picture), dsize=(w, h), interpolation=cv2.INTER_AREA)
        codes.append(np.empty((h, w), np.uint64))
        parallel_rows(h, threads, census, image, *CENSUS["5x7"], after=(codes[-1],))
    inside = [np.ascontiguousarray(all_channels(np.isfinite(m))[rows][:, columns]) for m in (pair.map1, pair.map2)]
    lo, hi = int(np.floor(d_range[0] * scale)), int(np.ceil(d_range[1] * scale))
    small = disparity[rows][:, columns] * np.float32(scale)
    d = np.where(np.isfinite(small), np.rint(small).clip(lo, hi), lo - 1).astype(np.int64)
    cell = max(1, -(-w // thresholds.cells))
    cell_count = -(-h // cell), -(-w // cell)
    rivals = np.empty((h, w, RIVALS), np.int16)
    limits = thresholds.as_good, thresholds.min_gain
    compared = Compared(codes[0], codes[1], inside[0], inside[1], d, lo, hi)
    parallel_rows(h, threads, rival_rows, compared, limits, thresholds.radius, after=(rivals,))
    alike = rivals[..., 0] != NO_RIVAL
    y, x = np.nonzero(alike)
    votes = _votes(y // cell, x // cell, d[y, x], cell_count, (lo, hi), thresholds.tolerance)
    contested = outvoted(d, rivals, votes, cell, lo, thresholds.majority, thresholds.min_votes)
    x, y = np.rint((matches[:, :2].T + 0.5) * [[scale], [h / height]] - 0.5).astype(int).clip(0, [[w - 1], [h - 1]])
    there = np.rint(matches[:, 2] * scale).astype(int)
    chosen = alike[y, x] & (there >= lo) & (there <= hi)
    votes = _votes(y[chosen] // cell, x[chosen] // cell, there[chosen], cell_count, (lo, hi), thresholds.tolerance)
    contested |= outvoted(d, rivals, votes, cell, lo, 1 / thresholds.divided, thresholds.min_features)
    contested &= ~small_components(np.where(contested, small, np.float32(np.nan)), 1.0, thresholds.min_votes)
    back = np.minimum((np.arange(height) + 0.5) * h / height, h - 1).astype(np.intp)
    across = np.minimum((np.arange(width) + 0.5) * scale, w - 1).astype(np.intp)
    found = contested[back][:, across] & np.isfinite(disparity)
    if not found.any():
        return Contested(found, math.nan)
    steps = np.abs(rivals[alike] - d[alike][:, None])[rivals[alike] != NO_RIVAL]
    return Contested(found, float(np.median(steps[steps > 0])) / scale)


def _votes(
    row: np.ndarray, column: np.ndarray, d: np.ndarray, cells: tuple[int, int], d_range: tuple[int, int], tolerance: int
) -> np.ndarray:
    """Count those in each cell and the cells around it, by disparity: (rows, columns, hi - lo + 1) int64.

    row, column, d (n,): cell and disparity of each; cells: rows and columns of them.
    """
    lo, hi = d_range
    counts = np.zeros((*cells, hi - lo + 1), np.int64)
    np.add.at(counts, (row, column, d - lo), 1)
    for axis, reach in ((0, 1), (1, 1), (2, tolerance)):
        wide = np.pad(counts, [(reach, reach) if a == axis else (0, 0) for a in range(3)])
        counts = np.zeros_like(counts)
        for k in range(2 * reach + 1):
            counts += np.take(wide, np.arange(k, k + counts.shape[axis]), axis)
    return counts
