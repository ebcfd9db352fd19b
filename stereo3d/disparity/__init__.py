"""Disparity: for each pixel of the left picture, how far to the left its match lies in the right picture.

`methods.py` holds the matchers, `costs.py`, `aggregate.py` and `select.py` the blocks they are put together from.
Here is what every matcher needs around it: checks, signs, masks, the left-right test, the filling of a dense map.
"""

import math
import os
from typing import Annotated

import numpy as np

from ..errors import StereoError
from ..options import Between, check_options, choose, options_of
from ..records import DisparityMap, RectifiedPair
from .methods import MATCHERS, mirrored, volume_bytes

__all__ = ["MATCHERS", "compute_disparities", "compute_disparity"]

MATCH_SIGMA = np.float32(0.25)  # px, of a kept match of `sgm`: 1.4826 median |error|, mean of 17 real pairs


def compute_disparity(
    pair: RectifiedPair,
    d_range: tuple[float, float],
    *,
    method: str = "sgm",
    dense: bool = False,
    threads: int | None = None,
    tolerance: Annotated[float, Between(0, 100)] = 1.0,
    speckle: Annotated[int, Between(0)] = 100,
    **options,
) -> tuple[np.ndarray, np.ndarray]:
    """d with left(x, y) ~ right(x - d, y), d in d_range, and how sure each is: the left one of `compute_disparities`.

    Returns disparity (H,W) f32 px, NaN unknown, and confidence (H,W) f32 in [0,1], 0 where unknown or filled.
    """
    left, _ = compute_disparities(
        pair, d_range, method=method, dense=dense, threads=threads, tolerance=tolerance, speckle=speckle, **options
    )
    return left.disparity, left.confidence


def compute_disparities(
    pair: RectifiedPair,
    d_range: tuple[float, float],
    *,
    method: str = "sgm",
    dense: bool = False,
    threads: int | None = None,
    tolerance: Annotated[float, Between(0, 100)] = 1.0,
    speckle: Annotated[int, Between(0)] = 100,
    **options,
) -> tuple[DisparityMap, DisparityMap]:
    """The disparities that the pixels of both pictures see: left(x, y) ~ right(x - d, y), d in d_range.

    d_range: (lo, hi) px, lo < hi, of either sign; whole disparities floor(lo) .. ceil(hi) are tried.
    method: a name in `MATCHERS`; options: of that matcher.  threads: None for one per processor; the result does not
    depend on it.  A pixel is kept where both maps agree, |d_left(x) - d_right(x - d_left)| <= tolerance (px), and where
    at least `speckle` connected pixels have a similar disparity.

    Unknown is also where the picture's own map is NaN, and where the match lies outside the other picture or where that
    one's map is NaN. With `dense`, every pixel that shows anything gets a value: the farther of both sides of the gap.

    Raises StereoError("bad_range" | "memory" | "unknown_method" | "bad_option", and with dense "no_disparity" where
    nothing at all was matched); ValueError for arrays of the wrong shape.
    """
    matcher = choose("matcher", MATCHERS, method)
    known_options = options_of(matcher)
    options = check_options(method, known_options, options)
    height, width = _checked_size(pair)
    lo, hi = _checked_range(d_range, width)
    if "threads" in known_options:
        options["threads"] = max(1, threads if threads is not None else processors())

    left, right = pair.left, pair.right
    seen1, seen2 = np.isfinite(pair.map1).all(-1), np.isfinite(pair.map2).all(-1)
    if pair.swapped:  # mirrored, d -> -d and the nearer point has the larger d again: matchers see one order only
        left, right, seen1, seen2 = (mirrored(a) for a in (left, right, seen1, seen2))
        lo, hi = -hi, -lo
    first, last = math.floor(lo), math.ceil(hi)
    count = last - first + 1
    _check_memory(volume_bytes(method, height, width, count, **options), height, width, count)

    d_left, d_right, confidence = _both_maps(matcher, left, right, first, last, options)
    usable = (has_texture(left, seen1) & has_texture(right, seen2))[:, None]
    views = [_kept(d_left, d_right, seen1 & usable, seen2, tolerance, speckle, confidence)]
    # the mirrored right picture is the left one of a pair in the standard order
    views.append(_kept(*(mirrored(a) for a in (d_right, d_left, seen2 & usable, seen1)), tolerance, speckle, None))
    maps = []
    for (disparity, sure), seen, back in zip(views, (seen1, mirrored(seen2)), (False, True), strict=True):
        if dense:
            disparity = _filled(disparity, seen)
        disparity = np.clip(disparity, np.float32(lo), np.float32(hi))
        if back != pair.swapped:
            disparity, sure = mirrored(disparity), mirrored(sure)
        sigma = np.where(np.isfinite(disparity), MATCH_SIGMA, np.float32(np.nan)).astype(np.float32)
        maps.append(DisparityMap(-disparity if pair.swapped else disparity, sure, sigma))
    return maps[0], maps[1]


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_texture(picture: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(H,) bool: the row changes somewhere between two neighbouring pixels, both seen. (H,W,3) u8, (H,W) bool."""
    changes = (picture[:, 1:] != picture[:, :-1]).any(-1)
    return (changes & seen[:, 1:] & seen[:, :-1]).any(1)


def _both_maps(matcher, left, right, lo: int, hi: int, options: dict):
    """(left map, right map, confidence | None) of a matcher that returns all of them or the left map alone."""
    found = matcher(left, right, lo, hi, **options)
    d_left, d_right, confidence = found if isinstance(found, tuple) else (found, None, None)
    if d_right is None:  # the mirrored right picture is the left one of a pair in the standard order
        again = matcher(mirrored(right), mirrored(left), lo, hi, **options)
        d_right = mirrored(again[0] if isinstance(again, tuple) else again)
    return np.asarray(d_left, np.float32), np.asarray(d_right, np.float32), confidence


def _kept(d_left, d_right, seen1, seen2, tolerance: float, speckle: int, confidence):
    """The left map without what cannot be believed, and how sure the rest is, both (H,W) f32."""
    from . import select

    d_left = np.where(seen1, d_left, np.float32(np.nan))
    d_right = np.where(seen2, d_right, np.float32(np.nan))
    difference = select.left_right_difference(d_left, d_right)
    kept = np.where(difference <= tolerance, d_left, np.float32(np.nan))
    kept[select.small_components(kept, 1.0, speckle)] = np.nan
    known = np.isfinite(kept)
    if confidence is None:  # from 1 where both maps say the same down to 1/2 at the tolerance
        confidence = 1 - np.where(known, difference, 0) / (2 * max(tolerance, 1e-6))
    return kept, np.where(known, np.clip(confidence, 0, 1), 0).astype(np.float32)


def _filled(disparity, seen1):
    from . import select

    if not np.isfinite(disparity).any():
        raise StereoError("no_disparity", "no pixel of the pair could be matched, there is nothing to fill from.",
                          "Check that the pictures show the same scene, and the range.")  # fmt: skip
    return np.where(seen1, select.fill_background(disparity), np.float32(np.nan))


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
        raise StereoError("bad_range", f"the disparity range {lo:g} to {hi:g} px makes no sense.",
                          "Give two finite numbers, the lower one first.", lo=lo, hi=hi)  # fmt: skip
    if hi - lo > width or lo >= width or hi <= -width:
        raise StereoError(
            "bad_range",
            f"the disparity range {lo:g} to {hi:g} px does not fit pictures {width} px wide.",
            f"It may span at most {width} px and must lie between {-width} and {width}.",
            lo=lo, hi=hi, width=width,
        )  # fmt: skip
    return lo, hi


def available_memory() -> int:
    """Bytes that can be taken without swapping."""
    import psutil

    return psutil.virtual_memory().available


def _check_memory(needed: int, height: int, width: int, count: int):
    available = available_memory()
    if needed > available:
        raise StereoError(
            "memory",
            f"{width} x {height} px with {count} disparities needs {needed / 2**30:.1f} GiB, "
            f"{available / 2**30:.1f} GiB are free.",
            "Use a smaller --max-size or a narrower range.",
            needed=needed, available=available, width=width, height=height, disparities=count,
        )  # fmt: skip
