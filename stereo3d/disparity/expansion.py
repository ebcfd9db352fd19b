"""Surfaces that grow from one picture to the other, matched again with the right rows scaled about the epipole.

Where a camera moves ahead, a surface at depth Z grows by Z / (Z - b) along the rows of a polar pair, b the step, and a
wall or a ground along the motion by the square of that. A matcher's window does not show the same thing in both
pictures where it grows by half. After the distances of the right picture's columns from the epipole are divided by that
growth it does, and the disparity that remains is small.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..geometry.arrays import all_channels
from ..records import DisparityMap, RectifiedPair
from .matching import compute_disparities
from .search_range import reduce_pair
from .steep import higher_confidence, unmatched_pixels

STEP = 1.5  # ratio of neighbouring growths: a window tolerates a quarter more or less
GROWTHS = (STEP, STEP**2, STEP**3)
MIN_FOUND = 0.005  # of the reduced picture's pixels, unmatched before: five times the smallest component
ANTIALIAS = 0.5  # px: blur of a picture of unit spacing, for each unit of sqrt(growth^2 - 1)
MAX_GAP = 2.0  # px in the left picture between the matches of neighbouring columns of one surface


class ScaledColumns(NamedTuple):
    """x = right + growth (x' - left): column x of the right picture at column x' of the scaled one.

    Parameters
    ----------
    growth : float
        Of the surfaces that keep their size then: above 1 where the second photo shows them larger.
    left, right : float
        px: columns of the epipole.
    """

    growth: float
    left: float
    right: float


def match_growing(
    maps: tuple[DisparityMap, DisparityMap],
    pair: RectifiedPair,
    *,
    slants: bool = True,
    threads: int | None = None,
    **options,
) -> tuple[tuple[DisparityMap, DisparityMap], list[float]]:
    """Return both maps with surfaces that grow by each of GROWTHS matched again, where that is of higher confidence.

    A growth is tried where `sgm` at a longer side of 400 px finds a share of MIN_FOUND of the pixels with it that had
    no disparity before.

    Parameters
    ----------
    maps : (DisparityMap, DisparityMap)
        Of the left and the right picture.
    pair : RectifiedPair
        Rectified pictures. Of a kind other than "polar", nothing is matched again.
    slants : bool
        False matches nothing again.
    threads : int or None
        None for one per processor.
    **options
        Of `compute_disparities`.

    Returns
    -------
    maps : (DisparityMap, DisparityMap)
    growths : list of float
        Those matched.
    """
    found: list[float] = []
    if pair.epipole_columns is None or not slants:
        return maps, found
    small, scale = reduce_pair(pair)
    for growth in GROWTHS:
        lost = unmatched_pixels(pair, np.isfinite(maps[0].disparity), small.left.shape[1::-1])
        trial = _match_scaled(small, growth, {"method": "sgm", "refine": 0, "threads": threads})
        if trial is None or np.count_nonzero(np.isfinite(trial[0].disparity) & lost) < MIN_FOUND * lost.size:
            continue
        again = _match_scaled(pair, growth, options)
        if again is not None:
            maps = higher_confidence(maps[0], again[0]), higher_confidence(maps[1], again[1])
            found.append(growth)
    return maps, found


def _match_scaled(pair: RectifiedPair, growth: float, options: dict) -> tuple[DisparityMap, DisparityMap] | None:
    """`compute_disparities` with the right picture scaled: maps of the pair; None where nothing can match."""
    assert pair.epipole_columns is not None
    left, right = pair.epipole_columns
    width = pair.left.shape[1]
    # the pictures lie before the epipole or behind it, and what the second photo shows is larger or smaller
    before = left > (width - 1) / 2
    columns = ScaledColumns(growth if before != pair.swapped else 1 / growth, left, right)
    scaled = scale_columns(pair, columns)
    d_range = _remaining_range(pair, columns)
    if d_range is None or not np.isfinite(scaled.map2).any():
        return None
    maps = compute_disparities(scaled, d_range, **options)
    return _of_left(maps[0], columns), _of_right(maps[1], columns)


def scale_columns(pair: RectifiedPair, columns: ScaledColumns) -> RectifiedPair:
    """Return the pair with the columns of the right picture scaled, black where they lie outside it."""
    import cv2

    height, width = pair.left.shape[:2]
    x = columns.right + columns.growth * (np.arange(width) - columns.left)
    xy = np.broadcast_to(x.astype(np.float32), (height, width)), np.indices((height, width), np.float32)[0]
    picture = pair.right
    if columns.growth > 1:
        picture = cv2.GaussianBlur(
            src=picture, ksize=(0, 1), sigmaX=ANTIALIAS * math.sqrt(columns.growth**2 - 1), sigmaY=1e-6
        )
    right = cv2.remap(
        src=picture, map1=xy[0], map2=xy[1], interpolation=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT
    )
    nearest = np.rint(x).astype(int)
    inside = (nearest >= 0) & (nearest < width)
    map2 = np.full_like(pair.map2, np.nan)
    map2[:, inside] = pair.map2[:, nearest[inside]]
    return replace(pair, right=right, map2=map2, epipole_columns=None)


def _remaining_range(pair: RectifiedPair, columns: ScaledColumns) -> tuple[float, float] | None:
    """Range, px, of the disparity that remains to surfaces that grow by about the growth; None where it is empty.

    A surface across the motion at distance r1 from the epipole is at r2 = g r1 and grows by g, one along the motion by
    g^2: so r2 / (growth r1) lies between sqrt(1 / (STEP growth)) and sqrt(STEP), where growth > 1.
    """
    width = pair.left.shape[1]
    known1, known2 = (np.nonzero(all_channels(np.isfinite(xy)).any(0))[0] for xy in (pair.map1, pair.map2))
    if not (len(known1) and len(known2)):
        return None
    largest = max(columns.growth, 1 / columns.growth)
    least, most = math.sqrt(1 / (STEP * largest)), math.sqrt(STEP)
    if columns.growth < 1:
        least, most = 1 / most, 1 / least
    r1 = np.abs(known1[[0, -1]] - columns.left).max()
    r2 = np.abs(known2[[0, -1]] - columns.right).max() / columns.growth
    # r2' = share r1: both within what the photos show
    ends = [(share - 1) * min(r1, r2 / share) for share in (least, most)]
    sign = 1 if columns.left > (width - 1) / 2 else -1  # d' = x1 - x2' = sign (r2' - r1)
    low, high = sorted(sign * end for end in ends)
    low, high = max(math.floor(low), 1 - width), min(math.ceil(high), width - 1)
    return (low, min(high, low + width)) if low < high else None


def _of_left(found: DisparityMap, columns: ScaledColumns) -> DisparityMap:
    """The left map of the scaled pair as one of the pair: d = x1 - x2."""
    x = np.arange(found.disparity.shape[1])
    disparity = x - (columns.right + columns.growth * (x - found.disparity - columns.left))
    sigma = found.sigma * np.float32(columns.growth)
    return DisparityMap(disparity.astype(np.float32), found.confidence, sigma)


def _of_right(found: DisparityMap, columns: ScaledColumns) -> DisparityMap:
    """The right map of the scaled pair as one of the pair: the matches x1 = x' + d' interpolated between columns."""
    width = found.disparity.shape[1]
    x = np.arange(width)
    at = columns.left + (x - columns.right) / columns.growth
    inside = (at >= 0) & (at <= width - 1)
    i = np.clip(np.floor(at).astype(int), 0, max(0, width - 2))
    share = at - i
    x1 = x + found.disparity
    one, two = x1[:, i], x1[:, i + 1]
    with np.errstate(invalid="ignore"):
        disparity = np.where(inside & (np.abs(two - one) <= MAX_GAP), one + share * (two - one), np.nan) - x
    known = np.isfinite(disparity)
    confidence = np.where(known, np.minimum(found.confidence[:, i], found.confidence[:, i + 1]), 0)
    sigma = np.where(known, np.maximum(found.sigma[:, i], found.sigma[:, i + 1]) * columns.growth, np.nan)
    return DisparityMap(disparity.astype(np.float32), confidence.astype(np.float32), sigma.astype(np.float32))
