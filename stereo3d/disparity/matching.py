"""Disparity maps of a rectified pair by any matcher: both views, cross-checked, with confidence and sigma."""

import inspect
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any

import numpy as np

from .. import resources
from ..errors import StereoError
from ..geometry.arrays import all_channels
from ..options import DEFAULT_MATCHER, Range, check_options, options_of
from ..records import DisparityMap, RectifiedPair
from .choice import find_matcher
from .methods import Found, volume_bytes
from .one_view import OneViewThresholds
from .planes.pyramid import BUDGETS
from .rows import flip_copy, flip_view

COMPONENT_STEP = 1.0  # px of disparity, at most, between neighbours of one connected component
MIN_CONFIDENCE = 0.25  # of a kept pixel, by the network: below, an error is more than three times as likely
NAN = np.float32(np.nan)


def compute_disparity(
    pair: RectifiedPair,
    d_range: tuple[float, float],
    *,
    method: str = DEFAULT_MATCHER,
    dense: bool = False,
    threads: int | None = None,
    tolerance: Annotated[float, Range(0, 100)] = 1.0,
    speckle: Annotated[int, Range(0)] = 100,
    **options: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Return d with left(x, y) ~ right(x - d, y), and its confidence: the left map of `compute_disparities`.

    Parameters
    ----------
    pair, d_range, method, dense, threads, tolerance, speckle, options
        As in `compute_disparities`.

    Returns
    -------
    disparity : (H, W) float32
        px, NaN unknown.
    confidence : (H, W) float32
        In [0, 1], 0 where the disparity is unknown or filled.
    """
    found, view, _ = _match_views(pair, d_range, method, threads, None, options)
    left = _disparity_map(found, view, pair.swapped, dense, tolerance, speckle)
    return left.disparity, left.confidence


def compute_disparities(
    pair: RectifiedPair,
    d_range: tuple[float, float],
    *,
    method: str = DEFAULT_MATCHER,
    dense: bool = False,
    threads: int | None = None,
    tolerance: Annotated[float, Range(0, 100)] = 1.0,
    speckle: Annotated[int, Range(0)] = 100,
    max_memory: float | None = None,
    **options: Any,
) -> tuple[DisparityMap, DisparityMap]:
    """Return the disparity maps of both pictures: left(x, y) ~ right(x - d, y), d in d_range.

    A pixel keeps its disparity where both maps agree, |d_left(x) - d_right(x - d_left)| <= tolerance, and where it
    belongs to a connected component of at least `speckle` pixels; by `planes` or `sgm`, also where its confidence is at
    least .25. All others are unknown, NaN; so is a pixel whose match lies outside the other picture, unless a matcher
    that fills its maps itself continues a surface that was kept (`OneViewThresholds`).

    Parameters
    ----------
    pair : RectifiedPair
        Rectified pictures.
    d_range : (float, float)
        px, lo < hi, of either sign; the whole disparities floor(lo) .. ceil(hi) are tried.
    method : str
        A name in `MATCHERS`, or "onnx" with the option `model`.
    dense : bool
        Give every pixel inside its photo a disparity: the matcher's own, or that of the farther side of the gap.
    threads : int or None
        None for one per processor. The result does not depend on it.
    tolerance : float
        px, of the left-right test.
    speckle : int
        Pixels of the smallest component that is kept.
    max_memory : float or None
        Bytes that matching may take, None for all that are free.
    options
        Of the matcher.

    Returns
    -------
    (DisparityMap, DisparityMap)
        Of the left and of the right picture. confidence is the `probability` of an error below 1 px, 0 where the
        disparity is unknown or filled; sigma comes from `disparity_sigma`.

    Raises
    ------
    StereoError
        "bad_range", "memory", "unknown_method", "bad_option"; with `dense` "no_disparity" where no pixel was matched.
    ValueError
        Where an array has the wrong shape.
    """
    found, *views = _match_views(pair, d_range, method, threads, max_memory, options)

    def finish(view: MatchedView) -> DisparityMap:
        return _disparity_map(found, view, pair.swapped, dense, tolerance, speckle)

    with ThreadPoolExecutor(max(1, min(2, threads or resources.processors()))) as pool:
        left, right = pool.map(finish, views)
    return left, right


def fill_unknown(disparity: np.ndarray, pair: RectifiedPair) -> np.ndarray:
    """Give every pixel of a left map without a disparity that of the farther side of its gap.

    Parameters
    ----------
    disparity : (H, W) float32
        px, NaN unknown.
    pair : RectifiedPair
        Tells which side is farther (`swapped`) and which pixels lie inside the photo.

    Returns
    -------
    (H, W) float32
        px, NaN outside the photo.
    """
    sign = np.float32(-1 if pair.swapped else 1)
    return sign * _filled(sign * disparity, None, all_channels(np.isfinite(pair.map1)))


@dataclass(frozen=True, eq=False)
class MatchedView:
    """The matcher's result for one picture, seen as the left picture of a pair that is not swapped.

    Parameters
    ----------
    pictures : two (H, W, 3) uint8
        This picture and the other one.
    disparity, other_disparity : (H, W) float32
        px, maps of both as matched.
    inside, other_inside : (H, W) bool
        Pixels that lie inside their photo.
    matchable : (H, W) bool
        Pixels whose picture determines a disparity.
    sky : (H, W) bool or None
        Pixels into which no surface continues.
    margin : (H, W) float32 or None
    start : two (H, W) float32 or None
        See `methods.Found`.
    flipped : bool
        The arrays' columns are reversed against the pair's.
    limits : (float, float)
        px, of the disparity.
    """

    pictures: tuple[np.ndarray, np.ndarray]
    disparity: np.ndarray
    other_disparity: np.ndarray
    inside: np.ndarray
    matchable: np.ndarray
    sky: np.ndarray | None
    other_inside: np.ndarray
    margin: np.ndarray | None
    start: tuple[np.ndarray, np.ndarray] | None
    flipped: bool
    limits: tuple[float, float]

    def mirrored(self) -> "MatchedView":
        """Return the view with all columns reversed, in the same memory."""

        def flipped(x):
            return None if x is None else tuple(map(flip_view, x)) if isinstance(x, tuple) else flip_view(x)

        arrays = [f.name for f in fields(self) if f.name not in ("flipped", "limits")]
        return replace(self, flipped=not self.flipped, **{name: flipped(getattr(self, name)) for name in arrays})


def _match_views(
    pair: RectifiedPair,
    d_range: tuple[float, float],
    method: str,
    threads: int | None,
    max_memory: float | None,
    options: dict,
) -> tuple[Found, MatchedView, MatchedView]:
    """Check the input, run the matcher, and return its result and the views of the left and the right picture."""
    matcher = find_matcher(method)
    known_options = options_of(matcher)
    options = check_options(method, known_options, options)
    height, width = _checked_size(pair)
    lo, hi = _checked_range(d_range, width)
    threads = max(1, threads if threads is not None else resources.processors())
    if "threads" in known_options:
        options["threads"] = threads
    if "max_memory" in known_options:
        options["max_memory"] = max_memory

    left, right = pair.left, pair.right
    inside1, inside2 = all_channels(np.isfinite(pair.map1)), all_channels(np.isfinite(pair.map2))
    if pair.swapped:  # mirrored, d -> -d, and the nearer point has the larger d: matchers see this order only
        left, right, inside1, inside2 = (flip_copy(a) for a in (left, right, inside1, inside2))
        lo, hi = -hi, -lo
    first, last = math.floor(lo), math.ceil(hi)
    count = last - first + 1
    _check_memory(volume_bytes(method, height, width, count, **options), height, width, count, max_memory)

    if "seen" in inspect.signature(matcher).parameters:
        options["seen"] = inside1, inside2
    if "infinity" in inspect.signature(matcher).parameters and pair.infinity is not None:
        options["infinity"] = np.float32(-pair.infinity if pair.swapped else pair.infinity)
    found, d_left, d_right = _both_maps(matcher, left, right, first, last, options)
    textured = (textured_rows(left, inside1) & textured_rows(right, inside2))[:, None]
    supported1, supported2 = (True if s is None else s for s in found.supported)
    usable1, usable2 = inside1 & textured & supported1, inside2 & textured & supported2
    margin1, margin2 = found.margins
    (start1, start2), swapped = found.starts, pair.swapped
    (sky1, sky2), ends = found.sky, (lo, hi)
    one = MatchedView((left, right), d_left, d_right, inside1, usable1, sky1, inside2, margin1, start1, swapped, ends)
    two = MatchedView((right, left), d_right, d_left, inside2, usable2, sky2, inside1, margin2, start2, swapped, ends)
    return found, one, two.mirrored()  # the right picture is the left one of the mirrored pair


def _both_maps(
    matcher: Callable, left: np.ndarray, right: np.ndarray, lo: int, hi: int, options: dict
) -> tuple[Found, np.ndarray, np.ndarray]:
    """Run a matcher that returns both maps, or twice one that returns the left map alone."""
    found = matcher(left, right, lo, hi, **options)
    if not isinstance(found, Found):
        found = Found(found)
    d_right = found.right
    if d_right is None:
        again = matcher(flip_copy(right), flip_copy(left), lo, hi, **options)
        d_right = flip_copy(again.left if isinstance(again, Found) else again)
    return found, np.asarray(found.left, np.float32), np.asarray(d_right, np.float32)


def _disparity_map(
    found: Found, view: MatchedView, negative: bool, dense: bool, tolerance: float, speckle: int
) -> DisparityMap:
    """Return the map of one picture of the pair in the pair's own order and sign."""
    disparity, confidence, sigma = _kept_pixels(view, found, tolerance, speckle)
    if dense:
        disparity = _filled(disparity, view.disparity if found.complete else None, view.inside)
    lo, hi = view.limits
    disparity = np.clip(disparity, np.float32(lo), np.float32(hi))
    if view.flipped:
        disparity, confidence, sigma = (flip_copy(a) for a in (disparity, confidence, sigma))
    return DisparityMap(-disparity if negative else disparity, confidence, sigma)


def _kept_pixels(
    view: MatchedView,
    found: Found,
    tolerance: float,
    speckle: int,
    thresholds: OneViewThresholds = OneViewThresholds(),  # noqa: B008
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the disparities that are kept, their confidence and their sigma (px), all (H,W) f32."""
    from . import selection, uncertainty

    d_own = np.where(view.inside, view.disparity, NAN)
    d_right = np.where(view.other_inside, view.other_disparity, NAN)
    difference = selection.left_right_difference(np.where(view.matchable, d_own, NAN), d_right)
    confidence = view_confidence(view, found, (d_own, d_right), difference)
    likely = confidence >= (MIN_CONFIDENCE if found.network else 0)
    kept = np.where((difference <= tolerance) & likely & view.matchable, d_own, NAN)
    kept[selection.small_components(kept, COMPONENT_STEP, speckle)] = np.nan
    sigma = uncertainty.disparity_sigma(*view.pictures, kept, difference, found.excess)
    if found.noise:
        sigma = np.hypot(sigma, np.float32(found.noise))
    if found.complete:
        limits = selection.ContinuationLimits(
            np.float32(tolerance),
            np.float32(thresholds.min_odds),
            np.float32(thresholds.max_step),
            thresholds.max_distance,
        )
        inside = np.ascontiguousarray(view.other_inside)
        own, odds = d_own if view.sky is None else np.where(view.sky, NAN, d_own), confidence
        if found.network:
            odds = uncertainty.probability(d_own, difference, found.odds, view.margin)
            odds[confidence < thresholds.min_confidence] = 0
        alone = selection.continue_surfaces(own, kept, d_right, inside, odds, limits)
        kept[alone], sigma[alone] = d_own[alone], thresholds.sigma
    unknown = ~np.isfinite(kept)
    confidence[unknown], sigma[unknown] = 0, np.nan
    sigma[unknown & view.inside & ~view.matchable] = np.inf
    return kept, confidence, sigma


def view_confidence(
    view: MatchedView, found: Found, disparities: tuple[np.ndarray, np.ndarray], difference: np.ndarray
) -> np.ndarray:
    """Return the probability of an error below 1 px of the matcher's own map, (H,W) f32.

    Parameters
    ----------
    view : MatchedView
        The matcher's result for one picture.
    found : Found
        The matcher's result.
    disparities : two (H, W) float32
        px, of this and of the other picture, NaN outside their photos.
    difference : (H, W) float32
        px, of both maps, inf where either is unknown.
    """
    from . import confidence, measurements, uncertainty

    if not found.network:
        return uncertainty.probability(disparities[0], difference, found.odds, view.margin)
    maps = measurements.match_maps(
        view.pictures, disparities, view.margin, view.start, view.matchable, view.other_inside
    )
    return confidence.estimate(maps, confidence.load_network(found.network))


def _filled(disparity: np.ndarray, own: np.ndarray | None, inside: np.ndarray) -> np.ndarray:
    """Fill unknown pixels inside the photo from the matcher's own map, if given, then from the farther side."""
    from . import selection

    if not np.isfinite(disparity).any():
        raise StereoError(
            "no_disparity",
            "no pixel of the pair could be matched, so there is nothing to fill the others from.",
            "Check that both pictures show the same scene, and the disparity range.",
        )
    if own is not None:
        disparity = np.where(np.isfinite(disparity), disparity, own)
    return np.where(inside, selection.fill_background(disparity), NAN)


def textured_rows(picture: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return where a row has two neighbouring pixels of different colour, both inside the photo.

    Parameters
    ----------
    picture : (H, W, 3) uint8
        RGB.
    inside : (H, W) bool
        Pixels that lie inside their photo.

    Returns
    -------
    (H,) bool
    """
    equal = all_channels(picture[:, 1:] == picture[:, :-1])
    return np.asarray((~equal & inside[:, 1:] & inside[:, :-1]).any(1))


def _checked_size(pair: RectifiedPair) -> tuple[int, int]:
    """Return (H, W); ValueError where the pair's arrays do not have that size."""
    shape = pair.left.shape
    if len(shape) != 3 or shape[2] != 3 or pair.right.shape != shape:
        raise ValueError(f"compute_disparity needs two (H,W,3) pictures, got {shape} and {pair.right.shape}")
    for name in ("map1", "map2"):
        if getattr(pair, name).shape != (*shape[:2], 2):
            raise ValueError(f"{name} must be {(*shape[:2], 2)}, is {getattr(pair, name).shape}")
    return shape[0], shape[1]


def _checked_range(d_range: tuple[float, float], width: int) -> tuple[float, float]:
    """Return the range as floats; StereoError("bad_range") where it is empty or does not fit the pictures."""
    try:
        lo, hi = (float(d) for d in d_range)
    except TypeError as error:
        raise ValueError(f"a disparity range is two numbers, got {d_range!r}") from error
    if not (math.isfinite(lo) and math.isfinite(hi) and lo < hi):
        raise StereoError(
            "bad_range",
            f"the disparity range {lo:g} to {hi:g} px is empty or not finite.",
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


def matching_bytes(pair: RectifiedPair, d_range: tuple[float, float], method: str, **options) -> int:
    """Return an upper bound of the memory, in bytes, that `compute_disparities` takes besides its input and output."""
    (height, width), (lo, hi) = pair.left.shape[:2], d_range
    return volume_bytes(method, height, width, math.ceil(hi) - math.floor(lo) + 1, **options)


def matching_work(pair: RectifiedPair, d_range: tuple[float, float], method: str) -> int:
    """Return the number that a matcher's time is proportional to.

    Pixels for matching by planes, pixels x disparities for the other matchers.
    """
    return pair.left[..., 0].size * (1 if method in BUDGETS else math.ceil(d_range[1]) - math.floor(d_range[0]) + 1)


def _check_memory(needed: int, height: int, width: int, count: int, max_memory: float | None) -> None:
    """Raise StereoError("memory") where more bytes are needed than free or allowed."""
    available = resources.available_memory() if max_memory is None else max_memory
    if needed > available:
        raise StereoError(
            "memory",
            f"matching {width} x {height} px with {count} disparities needs {needed / 2**30:.2g} GiB of memory, "
            f"{available / 2**30:.2g} GiB are {'free' if max_memory is None else 'allowed'}.",
            "Use a smaller --max-size or a narrower range.",
            needed=needed,
            available=available,
            width=width,
            height=height,
            disparities=count,
        )
