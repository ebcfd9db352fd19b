"""Surfaces of a disparity map that the matched features do not support, and those of them that repeated structure made.

Identical windows, boards or tiles match each other as well as themselves. Where the true match is hidden or outside the
other photo, the wrong one passes the left-right test. Matched features are unique in the whole photo, by their ratio
test; so a surface that agrees with none of them, and whose pixels match elsewhere as well, is no measurement.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..geometry.arrays import all_channels
from ..kernel_cache import njit
from ..records import RectifiedPair
from .costs import bits_set, brightness
from .measurements import census_rows
from .surfaces import UNKNOWN, count_votes, surface_labels


@dataclass(frozen=True)
class UniquenessThresholds:
    """When matches support a surface, and when a surface matches elsewhere as well.

    Parameters
    ----------
    step : float
        px of disparity, at most, between neighbours of one surface.
    reach : int
        px, from a match to the nearest pixel of the surface that it supports; side of that window: 2 reach + 1.
    tolerance : float
        px, between the disparity of a match and that of the surface.
    tile : int
        px, side of the squares in which a surface is compared with its rivals.
    min_pixels : int
        Of a surface within a tile, that is compared.
    max_samples : int
        Pixels of a surface within a tile that are compared, at most.
    min_density : float
        Of the matches that agree with a supported surface, in units of that on all surfaces.
    min_matches : int
        Least number of them: a single one may be wrong.
    certain : int
        Matches that need no further test, where they are also as dense as on all surfaces.
    as_good : float
        Share of the winner's gain over a random match that a rival must reach.
    min_gain : float
        Share of the cost of a random match, by which the winner must lie below it: no less texture is compared.
    min_decided : float
        Share of a surface's pixels that must lie in tiles with such texture.
    majority : float
        Share of a surface's compared pixels that must have a rival as good.
    """

    step: float = 1.0
    reach: int = 2
    tolerance: float = 2.0
    tile: tuple[int, int] = (10, 24)
    min_pixels: int = 32
    max_samples: int = 128
    min_density: float = 0.25
    min_matches: int = 2
    certain: int = 10
    as_good: float = 0.75
    min_gain: float = 0.35
    min_decided: float = 0.25
    majority: float = 0.5


THRESHOLDS = UniquenessThresholds()
BAND_TILES = 4  # rows of tiles that are compared at once: bounds the memory of their profiles


@njit(cache=True, nogil=True)
def tile_profiles(codes, other_codes, inside, pixels, d, starts, lo, hi):
    """Mean Hamming distance of each tile's pixels to the other picture, shifted by every whole s against d.

    Parameters
    ----------
    codes, other_codes : (H, W) u64
        Census of both pictures.
    inside : (H, W) bool
        Pixels of the other picture that lie inside its photo.
    pixels : (N, 2) int64
        y and x of the pixels, tile by tile.
    d : (N,) int64
        px, their disparities.
    starts : (T + 1,) int64
        First pixel of each tile.
    lo, hi : int
        px, disparities to compare.

    Returns
    -------
    (T, 2 (hi - lo) + 1) f32
        Bits, at s = lo - hi .. hi - lo; NaN where less than half of the tile's pixels can be compared.
    """
    width, span = codes.shape[1], hi - lo
    profiles = np.full((len(starts) - 1, 2 * span + 1), np.nan, np.float32)
    total, known = np.empty(2 * span + 1, np.int64), np.empty(2 * span + 1, np.int64)  # from the last s to the first
    for t in range(len(starts) - 1):
        total[:], known[:] = 0, 0
        for i in range(starts[t], starts[t + 1]):
            y, x = pixels[i]
            first, end = max(0, x - hi), max(0, min(width - 1, x - lo) + 1)
            code, row, there = codes[y, x], other_codes[y, first:end], inside[y, first:end]
            at = first - x + d[i] + span
            sums, counts = total[at : at + len(row)], known[at : at + len(row)]
            for k in range(len(row)):  # without a branch and in the order of memory: vector code
                seen = np.int64(there[k])
                sums[k] += seen * np.int64(bits_set(code ^ row[k]))  # pyright: ignore[reportCallIssue]
                counts[k] += seen
        for k in range(2 * span + 1):
            if 2 * known[2 * span - k] >= starts[t + 1] - starts[t]:
                profiles[t, k] = total[2 * span - k] / known[2 * span - k]
    return profiles


@njit(cache=True, nogil=True)
def best_rival(profile, half):
    """Return the least cost of a profile beyond the first costs above `half` on either side of its middle, else inf.

    Parameters
    ----------
    profile : (2 span + 1,) f32
        As in `tile_profiles`.
    half : float
        Bits, halfway between the winner and a random match.
    """
    rival = np.float32(np.inf)
    for side in (-1, 1):
        outside = False
        k = len(profile) // 2 + side
        while 0 <= k < len(profile):
            if outside and profile[k] < rival:
                rival = profile[k]
            outside |= profile[k] > half
            k += side
    return rival


@njit(cache=True, nogil=True)
def nearest_rival(profile, half, enough):
    """Return the shift, px, of the minimum of at most `enough` next to the middle of a profile, 0 where there is none.

    Parameters
    ----------
    profile : (2 span + 1,) f32
        As in `tile_profiles`.
    half : float
        Bits: a minimum counts beyond the first costs above it on either side of the middle.
    enough : float
        Bits.
    """
    middle, nearest = len(profile) // 2, 0
    for side in (-1, 1):
        outside = False
        k = middle + side
        while 0 <= k < len(profile):
            if outside and profile[k] <= enough:
                while 0 <= k + side < len(profile) and profile[k + side] < profile[k]:
                    k += side
                if nearest == 0 or abs(k - middle) < nearest:
                    nearest = abs(k - middle)
                break
            outside |= profile[k] > half
            k += side
    return nearest


@njit(cache=True, nogil=True)
def rival_ratios(profiles, own_profiles, typical, min_gain, as_good):
    """Return (random - rival) / (random - winner) of each tile, NaN where the winner is not clear of a random match.

    The winner is the least cost within 1 px of the middle, random the typical cost. The rival is the better one of that
    in the other picture and that in the own picture: what looks alike there would match alike.

    Parameters
    ----------
    profiles, own_profiles : (T, 2 span + 1) and (T, 4 span + 1) f32
        As in `tile_profiles`: against the other picture, and of the picture against itself.
    typical : (T,) float64
        Median of the known costs of each profile, NaN without any.
    min_gain : float
        Least share of the random cost by which the winner lies below it.
    as_good : float
        Ratio from which on a rival counts in the period.

    Returns
    -------
    ratio : (T,) float64
    period : (T,) int64
        px, shift of the nearest rival that is as good: 0 where none is.
    """
    span = profiles.shape[1] // 2
    out, period = np.full(len(profiles), np.nan), np.zeros(len(profiles), np.int64)
    for t in range(len(profiles)):
        random, winner = typical[t], np.float32(np.inf)
        for k in range(max(0, span - 1), min(2 * span + 1, span + 2)):
            if profiles[t, k] < winner:
                winner = profiles[t, k]
        if not (random > winner and random - winner >= min_gain * random):  # both are 0 where nothing is seen
            continue
        half = 0.5 * (winner + random)
        rival = min(best_rival(profiles[t], half), best_rival(own_profiles[t], half))
        out[t] = (random - rival) / (random - winner) if np.isfinite(rival) else 0.0
        enough = random - as_good * (random - winner)
        one, two = nearest_rival(profiles[t], half, enough), nearest_rival(own_profiles[t], half, enough)
        period[t] = min(one, two) if one and two else one + two
    return out, period


def typical_costs(profiles: np.ndarray) -> np.ndarray:
    """Return the median of the finite costs of each profile, (T,) float64, NaN without any: that of a random match."""
    ordered = np.sort(np.where(np.isfinite(profiles), profiles, np.inf), axis=1)
    known = np.isfinite(ordered).sum(1)
    middle = np.stack([np.maximum(known - 1, 0) // 2, np.minimum(known // 2, profiles.shape[1] - 1)], axis=1)
    median = np.take_along_axis(ordered, middle, axis=1).astype(float).mean(1)
    return np.where(known > 0, median, np.nan)


class Surfaces(NamedTuple):
    """The continuous surfaces of a disparity map, and what supports them.

    Parameters
    ----------
    labels : (H, W) int32
        Surface of each pixel, -1 where unknown.
    pixels : (N,) int64
        Of each surface.
    supported : (N,) bool
        Matches agree with the surface: more than contradict it, and not much fewer than elsewhere on such an area.
    ambiguous : (N,) bool
        Most of its texture looks the same elsewhere within the range. False where the matches are certain.
    certain : (N,) bool
        Many matches agree with the surface, and they are as dense as on all surfaces.
    agreeing : (M,) int64
        Surface that each match agrees with, -1 for none.
    period : float
        px, median distance to the nearest place that looks as good, over the ambiguous surfaces; NaN without any.
    """

    labels: np.ndarray
    pixels: np.ndarray
    supported: np.ndarray
    ambiguous: np.ndarray
    certain: np.ndarray
    agreeing: np.ndarray
    period: float = math.nan


def find_surfaces(
    pair: RectifiedPair,
    disparity: np.ndarray,
    matches: np.ndarray,
    d_range: tuple[float, float],
    *,
    threads: int = 1,
    thresholds: UniquenessThresholds = THRESHOLDS,
) -> Surfaces:
    """Split a disparity map into continuous surfaces; find those that matches support, and those of repeated structure.

    Each surface is compared, square by square, with the other picture at every disparity of the range, and with its own
    picture at every shift that the range allows. A square has a rival where the mean census distance comes near that of
    the winner at another minimum: what looks alike in one picture matches alike in the other, where that shows it.

    Parameters
    ----------
    pair : RectifiedPair
        Rectified pictures.
    disparity : (H, W) float32
        px, of the left picture, NaN unknown.
    matches : (M, 3) float64
        Matched features: x, y and disparity, px.
    d_range : (float, float)
        px, disparities searched.
    threads : int
        For the comparison.
    thresholds : UniquenessThresholds
        See there.

    Returns
    -------
    Surfaces
    """
    labels, count = surface_labels(disparity, thresholds.step)
    pixels = np.bincount(labels[labels != UNKNOWN], minlength=count)
    votes, agreeing = count_votes(disparity, labels, count, matches, thresholds.reach, thresholds.tolerance)
    expected = len(matches) / max(1, pixels.sum()) * pixels
    agree, contradict = votes.T
    supported = (agree > contradict) & (agree >= np.maximum(thresholds.min_density * expected, thresholds.min_matches))
    certain = supported & (agree >= np.maximum(expected, thresholds.certain))
    ambiguous, period = np.zeros(count, bool), math.nan
    if not certain.all():
        shown = np.where((labels != UNKNOWN) & ~certain[labels], labels, UNKNOWN)
        tiles = _compared_tiles(pair, disparity, shown, d_range, threads, thresholds)
        ambiguous = _ambiguous_share(tiles, count, thresholds) > thresholds.majority
        period = _period(tiles, ambiguous)
    return Surfaces(labels, pixels, supported, ambiguous, certain, agreeing, period)


class ComparedTiles(NamedTuple):
    """Tiles of surfaces, (T,) each: their surface, pixels sampled, and the ratio and period of `rival_ratios`."""

    surface: np.ndarray
    size: np.ndarray
    ratio: np.ndarray
    period: np.ndarray


def _compared_tiles(
    pair: RectifiedPair,
    disparity: np.ndarray,
    labels: np.ndarray,
    d_range: tuple[float, float],
    threads: int,
    thresholds: UniquenessThresholds,
) -> ComparedTiles:
    """Compare each surface, tile by tile, with every other place on its rows of both pictures; in bands of rows."""
    nothing = ComparedTiles(*(np.zeros(0, int) for _ in range(4)))
    of_surfaces = disparity[labels != UNKNOWN]
    if not len(of_surfaces):
        return nothing
    lo = min(math.floor(d_range[0]), round(float(of_surfaces.min())))
    hi = max(math.ceil(d_range[1]), round(float(of_surfaces.max())))
    light = [brightness(picture) for picture in (pair.left, pair.right)]
    height, rows = len(labels), BAND_TILES * thresholds.tile[0]

    def compare(top: int) -> ComparedTiles:
        bottom = min(height, top + rows)
        code, other_code = (census_rows(image, top, bottom) for image in light)
        inside1, inside2 = (all_channels(np.isfinite(m[top:bottom])) for m in (pair.map1, pair.map2))
        of_band, shown = labels[top:bottom], disparity[top:bottom]
        starts, at = tiles_of_surfaces(of_band, thresholds.tile, thresholds.min_pixels, thresholds.max_samples)
        if len(starts) < 2:
            return nothing
        d = np.rint(shown[at[:, 0], at[:, 1]]).astype(np.int64)
        profiles = tile_profiles(code, other_code, inside2, at, d, starts, lo, hi)
        own = tile_profiles(code, code, inside1, at, np.zeros_like(d), starts, lo - hi, hi - lo)
        ratio, period = rival_ratios(profiles, own, typical_costs(profiles), thresholds.min_gain, thresholds.as_good)
        return ComparedTiles(of_band[at[starts[:-1], 0], at[starts[:-1], 1]], np.diff(starts), ratio, period)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        bands = list(pool.map(compare, range(0, height, rows)))
    return ComparedTiles(*(np.concatenate(values) for values in zip(*bands, strict=True)))


def _ambiguous_share(tiles: ComparedTiles, count: int, thresholds: UniquenessThresholds) -> np.ndarray:
    """Return, per surface, the share of its pixels in tiles with texture that have a rival as good; 0 without any."""
    surface, size, ratio, _ = tiles
    decided = np.bincount(surface, np.where(np.isfinite(ratio), size, 0), minlength=count)
    ambiguous = np.bincount(surface, np.where(ratio > thresholds.as_good, size, 0), minlength=count)
    sampled = np.bincount(surface, size, minlength=count)
    return np.where(decided >= thresholds.min_decided * sampled, ambiguous / np.maximum(decided, 1), 0)


def _period(tiles: ComparedTiles, ambiguous: np.ndarray) -> float:
    """Return the median period of the ambiguous surfaces' tiles, px; NaN without any."""
    known = (tiles.period > 0) & ambiguous[tiles.surface]
    return float(np.median(tiles.period[known])) if known.any() else math.nan


def tiles_of_surfaces(
    labels: np.ndarray, side: tuple[int, int], min_pixels: int, max_samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sample the pixels of each surface within each square.

    Parameters
    ----------
    labels : (H, W) int32
        As `surface_labels` returns them.
    side : int
        px, of the squares.
    min_pixels : int
        Of a surface within a square; fewer are left out.
    max_samples : int
        Of a surface within a square, evenly in the order of rows.

    Returns
    -------
    starts : (T + 1,) int64
        First sample of each tile.
    at : (N, 2) int64
        y and x of the samples, tile by tile.
    """
    height, width = labels.shape
    columns = -(-width // side[1])
    y, x = np.nonzero(labels != UNKNOWN)
    tile = labels[y, x] * np.int64(columns * -(-height // side[0])) + y // side[0] * columns + x // side[1]
    order = np.argsort(tile, kind="stable")
    y, x, tile = y[order], x[order], tile[order]
    first = np.flatnonzero(np.diff(tile, prepend=-1, append=-1))
    size = np.diff(first)
    step = np.repeat(-(-size // max_samples), size)
    place = np.arange(len(tile)) - np.repeat(first[:-1], size)
    kept = (place % step == 0) & np.repeat(size >= min_pixels, size)
    starts = np.flatnonzero(np.diff(tile[kept], prepend=-1, append=-1))
    return starts, np.column_stack([y[kept], x[kept]])
