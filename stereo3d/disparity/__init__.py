"""Disparity: for each pixel of the left picture, how far to the left its match lies in the right picture.

`methods.py` holds the matchers, `costs.py`, `aggregate.py` and `select.py` the blocks they are put together from.
Here is what every matcher needs around it: checks, signs, masks, the left-right test, the filling of a dense map.
"""

import inspect
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from .. import resources
from ..errors import StereoError
from ..geometry import all_channels
from ..options import Range, check_options, choose, options_of
from ..records import DisparityMap, RectifiedPair
from .bands import backwards, mirrored
from .methods import MATCHERS, QUALITIES, Found, volume_bytes
from .reach import reach
from .sizes import EFFORTS
from .slants import find_slants, with_slants

__all__ = ["MATCHERS", "QUALITIES", "compute_disparities", "compute_disparity", "find_slants", "reach", "with_slants"]

JUMP = 1.5  # px of disparity between two neighbours
# What the other picture cannot show, behind an edge or beyond its border, is kept near to what it does show: this sure,
# within so many px, by steps of at most so many px of disparity. Over 17 real pairs 88 of 100 such are off by less than
# 1 px and 97 by less than 2 (91 and 98 within 16 px); two of three by less than SIGMA_ALONE.
SURE_ALONE, FAR_ALONE, STEP_ALONE, SIGMA_ALONE = 0.8, 64, 0.5, 0.4


def compute_disparity(
    pair: RectifiedPair,
    d_range: tuple[float, float],
    *,
    method: str = "planes",
    dense: bool = False,
    threads: int | None = None,
    tolerance: Annotated[float, Range(0, 100)] = 1.0,
    speckle: Annotated[int, Range(0)] = 100,
    **options,
) -> tuple[np.ndarray, np.ndarray]:
    """d with left(x, y) ~ right(x - d, y), d in d_range, and how sure each is: the left one of `compute_disparities`.

    Returns disparity (H,W) f32 px, NaN unknown, and confidence (H,W) f32 in [0,1], 0 where unknown or filled.
    """
    found, view, _ = _matched(pair, d_range, method, threads, None, options)
    left = _of_view(found, view, pair.swapped, dense, tolerance, speckle)
    return left.disparity, left.confidence


def compute_disparities(
    pair: RectifiedPair,
    d_range: tuple[float, float],
    *,
    method: str = "planes",
    dense: bool = False,
    threads: int | None = None,
    tolerance: Annotated[float, Range(0, 100)] = 1.0,
    speckle: Annotated[int, Range(0)] = 100,
    max_memory: float | None = None,
    **options,
) -> tuple[DisparityMap, DisparityMap]:
    """The disparities that the pixels of both pictures see: left(x, y) ~ right(x - d, y), d in d_range.

    d_range: (lo, hi) px, lo < hi, of either sign; whole disparities floor(lo) .. ceil(hi) are tried.
    method: a name in `MATCHERS`; options: of that matcher.  threads: None for one per processor; the result does not
    depend on it.  A pixel is kept where both maps agree, |d_left(x) - d_right(x - d_left)| <= tolerance (px), and where
    at least `speckle` connected pixels have a similar disparity. confidence is the `probability` that a disparity is
    off by less than 1 px, 0 where it is unknown or filled; sigma its standard deviation, px (`precision.deviation`).
    Of a matcher that fills its maps itself, what the other picture cannot show is kept too, where it continues what is
    kept (`select.continued`).

    Else unknown is also where the match lies outside the other picture, and where either map is NaN. With `dense`,
    every pixel that shows anything gets a value: the matcher's own, or the farther of both sides of the gap.

    max_memory: bytes that may be taken, None: what is free.

    Raises StereoError("bad_range" | "memory" | "unknown_method" | "bad_option", and with dense "no_disparity" where
    nothing at all was matched); ValueError for arrays of the wrong shape.
    """
    found, *views = _matched(pair, d_range, method, threads, max_memory, options)
    with ThreadPoolExecutor(max(1, min(2, threads or resources.processors()))) as pool:
        one, two = pool.map(lambda view: _of_view(found, view, pair.swapped, dense, tolerance, speckle), views)
    return one, two


@dataclass(frozen=True, eq=False)
class _View:
    """What was found for one picture, that picture taken for the left one (the right one, or both of a swapped pair,
    mirrored). pictures: it and the other, (H,W,3) u8; own, facing: (H,W) f32 maps; shown, usable, shown_facing: (H,W)
    bool; margin (H,W) f32 | None."""

    pictures: tuple[np.ndarray, np.ndarray]
    own: np.ndarray
    facing: np.ndarray
    shown: np.ndarray
    usable: np.ndarray
    shown_facing: np.ndarray
    margin: np.ndarray | None
    back: bool
    limits: tuple[float, float]


def _matched(pair: RectifiedPair, d_range, method: str, threads, max_memory, options: dict):
    """What the matcher finds, and both pictures' views of it (`_View`)."""
    matcher = choose("matcher", MATCHERS, method)
    known_options = options_of(matcher)
    options = check_options(method, known_options, options)
    height, width = _checked_size(pair)
    lo, hi = _checked_range(d_range, width)
    threads = max(1, threads if threads is not None else resources.processors())
    if "threads" in known_options:
        options["threads"] = threads

    left, right = pair.left, pair.right
    seen1, seen2 = all_channels(np.isfinite(pair.map1)), all_channels(np.isfinite(pair.map2))
    if pair.swapped:  # mirrored, d -> -d and the nearer point has the larger d again: matchers see one order only
        left, right, seen1, seen2 = (mirrored(a) for a in (left, right, seen1, seen2))
        lo, hi = -hi, -lo
    first, last = math.floor(lo), math.ceil(hi)
    count = last - first + 1
    _check_memory(volume_bytes(method, height, width, count, **options), height, width, count, max_memory)

    if "seen" in inspect.signature(matcher).parameters:
        options["seen"] = seen1, seen2
    found = _both_maps(matcher, left, right, first, last, options)
    usable = (has_texture(left, seen1) & has_texture(right, seen2))[:, None]
    told1, told2 = (True if told is None else told for told in found.told)
    one = found.left, found.right, seen1, seen1 & usable & told1, seen2, found.margins[0]
    two = found.right, found.left, seen2, seen2 & usable & told2, seen1, found.margins[1]
    two = (None if a is None else backwards(a) for a in two)  # the left one of a pair in the standard order
    turned = backwards(right), backwards(left)
    return found, _View((left, right), *one, pair.swapped, (lo, hi)), _View(turned, *two, not pair.swapped, (lo, hi))


def _of_view(found: Found, view: _View, negative: bool, dense: bool, tolerance: float, speckle: int) -> DisparityMap:
    disparity, sure, sigma = _kept(view, found, tolerance, speckle)
    if dense:
        disparity = _filled(disparity, view.own if found.complete else None, view.shown)
    disparity = np.clip(disparity, *np.float32(view.limits))
    if view.back:
        disparity, sure, sigma = (mirrored(a) for a in (disparity, sure, sigma))
    return DisparityMap(-disparity if negative else disparity, sure, sigma)


def has_texture(picture: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(H,) bool: the row changes somewhere between two neighbouring pixels, both seen. (H,W,3) u8, (H,W) bool."""
    even = all_channels(picture[:, 1:] == picture[:, :-1])
    return (~even & seen[:, 1:] & seen[:, :-1]).any(1)


def _both_maps(matcher, left, right, lo: int, hi: int, options: dict) -> Found:
    """Both maps of a matcher that returns them or the left one alone."""
    found = matcher(left, right, lo, hi, **options)
    if not isinstance(found, Found):
        found = Found(found)
    if found.right is None:
        again = matcher(mirrored(right), mirrored(left), lo, hi, **options)
        found = found._replace(right=mirrored(again.left if isinstance(again, Found) else again))
    return found._replace(left=np.asarray(found.left, np.float32), right=np.asarray(found.right, np.float32))


def _kept(view: _View, found: Found, tolerance: float, speckle: int):
    """The view's own map without what cannot be believed, how sure the rest is, its deviation (px), all (H,W) f32."""
    from . import precision, select

    seen2 = view.shown_facing
    d_own = np.where(view.shown, view.own, np.float32(np.nan))
    d_left = np.where(view.usable, d_own, np.float32(np.nan))
    d_right = np.where(seen2, view.facing, np.float32(np.nan))
    difference = select.left_right_difference(d_left, d_right)
    kept = np.where(difference <= tolerance, d_left, np.float32(np.nan))
    kept[select.small_components(kept, 1.0, speckle)] = np.nan
    sure = probability(d_own, difference, found.odds, view.margin)
    sigma = precision.deviation(*view.pictures, kept, difference, found.excess)
    if found.complete:
        limits = (np.float32(x) for x in (tolerance, SURE_ALONE, STEP_ALONE))
        alone = select.continued(d_own, kept, d_right, np.ascontiguousarray(seen2), sure, *limits, FAR_ALONE)
        kept[alone], sigma[alone] = d_own[alone], SIGMA_ALONE
    unknown = ~np.isfinite(kept)
    sure[unknown], sigma[unknown] = 0, np.nan
    sigma[unknown & view.shown & ~view.usable] = np.inf
    return kept, sure, sigma


def probability(disparity, difference, odds, margin=None) -> np.ndarray:
    """(H,W) f32 that a disparity is off by less than 1 px: 1 / (1 + the odds that it is off by more).

    The odds are c (1 + difference)^p (1 + distance)^q (1 + margin)^r.

    disparity (H,W) f32 px, NaN unknown; difference (H,W) f32 of both maps, px, at most 8 counts; distance: to the next
    jump of disparity, px, at most 20; odds: (c, p, q, r), of the matcher, whose margin (H,W) f32 | None this is, at
    most 1000: see `methods.Found`.
    """
    import cv2

    level = np.nan_to_num(disparity, nan=-1e6)
    smooth = np.ones(disparity.shape, np.uint8)
    for behind, before in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        even = np.abs(level[behind] - level[before]) <= JUMP
        smooth[behind] &= even
        smooth[before] &= even
    distance = cv2.distanceTransform(smooth, distanceType=cv2.DIST_L2, maskSize=5)
    scale, *powers = (np.float32(x) for x in odds)
    against = powers[0] * np.log(1 + np.minimum(difference, np.float32(8)))
    against += powers[1] * np.log(1 + np.minimum(distance, np.float32(20)))
    if margin is not None:
        against += powers[2] * np.log(1 + np.clip(margin, np.float32(0), np.float32(1000)))
    return 1 / (1 + scale * np.exp(against))


def _filled(disparity, own, seen):
    """Every pixel with a value: what is kept, what the matcher itself says (own, or None), the background beside it."""
    from . import select

    if not np.isfinite(disparity).any():
        raise StereoError(
            "no_disparity",
            "no pixel of the pair could be matched, there is nothing to fill from.",
            "Check that the pictures show the same scene, and the range.",
        )
    if own is not None:
        disparity = np.where(np.isfinite(disparity), disparity, own)
    return np.where(seen, select.fill_background(disparity), np.float32(np.nan))


def _checked_size(pair: RectifiedPair) -> tuple[int, int]:
    shape = pair.left.shape
    if len(shape) != 3 or shape[2] != 3 or pair.right.shape != shape:
        raise ValueError(f"compute_disparity needs two (H,W,3) pictures, got {shape} and {pair.right.shape}")
    for name in ("map1", "map2"):
        if getattr(pair, name).shape != (*shape[:2], 2):
            raise ValueError(f"{name} must be {(*shape[:2], 2)}, is {getattr(pair, name).shape}")
    return shape[:2]


def _checked_range(d_range, width: int) -> tuple[float, float]:
    lo, hi = (float(d) for d in d_range)
    if not (math.isfinite(lo) and math.isfinite(hi) and lo < hi):
        raise StereoError(
            "bad_range",
            f"the disparity range {lo:g} to {hi:g} px makes no sense.",
            "Give two finite numbers, the lower one first.",
            lo=lo,
            hi=hi,
        )
    if hi - lo > width or lo >= width or hi <= -width:
        raise StereoError(
            "bad_range",
            f"the disparity range {lo:g} to {hi:g} px does not fit pictures {width} px wide.",
            f"It may span at most {width} px and must lie between {-width} and {width}.",
            lo=lo,
            hi=hi,
            width=width,
        )
    return lo, hi


def matching_bytes(pair: RectifiedPair, d_range, method: str, **options) -> int:
    """Most memory, in bytes, that `compute_disparities` will take beside its inputs and outputs."""
    (height, width), (lo, hi) = pair.left.shape[:2], d_range
    return volume_bytes(method, height, width, math.ceil(hi) - math.floor(lo) + 1, **options)


def matching_work(pair: RectifiedPair, d_range, method: str) -> int:
    """What the time of a matcher grows with: pixels, by planes; pixels times disparities, by all others."""
    return pair.left[..., 0].size * (1 if method in EFFORTS else math.ceil(d_range[1]) - math.floor(d_range[0]) + 1)


def _check_memory(needed: int, height: int, width: int, count: int, most: float | None):
    available = min(resources.available_memory(), math.inf if most is None else most)
    if needed > available:
        raise StereoError(
            "memory",
            f"{width} x {height} px with {count} disparities needs {needed / 2**30:.2g} GiB, "
            f"{available / 2**30:.2g} GiB are {'free' if most is None else 'allowed'}.",
            "Use a smaller --max-size or a narrower range.",
            needed=needed,
            available=available,
            width=width,
            height=height,
            disparities=count,
        )
