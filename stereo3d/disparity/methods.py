"""The matchers: plain functions in a literal dict, each a short composition of the kernels in this folder.

A matcher takes left, right (H,W,3) u8 RGB, rectified, and the whole numbers lo <= hi; it searches x_right = x_left - d
with d in lo .. hi, the nearer point having the larger d. Its options are keyword-only, with plain defaults. It returns
the left map (H,W) f32, NaN unknown, or a `Found`. `compute_disparities` adds what a matcher leaves out: the right map,
by matching the mirrored pair, confidences, and the filling of a dense map. An option `threads` receives the number of
threads, an option `seen` the masks (H,W) bool of the pixels that lie inside both photos, an option `infinity` the
disparity of what is infinitely far away, where it is known.

This module imports nothing heavy: the command line reads the names and the options from here.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np

from ..errors import StereoError
from ..options import Range
from .planes.pyramid import BUDGETS, Budget, planes_bytes
from .rows import flip_copy, parallel_rows

if TYPE_CHECKING:
    from .planes.views import Energy

# Odds that a disparity is off by more than 1 px, of each matcher: see `Found`. Fitted by logistic regression on 17 real
# pairs of equal weight, occluded pixels included.
PLANES_ODDS = (8.3, 0.81, -0.58, -0.64)
SGM_ODDS = (1.04, 1.06, -0.97, -1.28)
SGBM_ODDS = (1.22, 0.84, -1.16, 0.0)
BLOCK_ODDS = {
    "census": (1.76, 0.15, -1.54, -1.07),
    "zncc": (1.51, 0.2, -1.64, -0.43),
    "sad": (2.49, 0.2, -0.91, -1.19),
    "ssd": (2.14, 0.25, -0.91, -0.58),
}
# Ratios of a matcher's sub-pixel error to the Cramer-Rao bound: see `uncertainty.FLOOR` for where they come from.
PLANES_EXCESS = 1.07
SGBM_EXCESS = 1.8
HIDDEN_FACTOR = 1.5  # cost of a match that the other view contradicts, in units of `limit`
NETWORK_BYTES = 300_000_000  # of a process with onnxruntime and a small model: the least that a network takes
MAX_OPENCV_DISPARITY = 2047  # px: OpenCV stores sixteenths in 16 bits


class Found(NamedTuple):
    """A matcher's result.

    Parameters
    ----------
    left, right : (H, W) float32
        px, disparities of the pixels of either picture, NaN unknown; right None: not computed.
    margins : (left, right)
        (H, W) float32, by how much more the best disparity costs that differs by over 1 px; None: not computed.
    odds : (c, p, q, r)
        Of `uncertainty.probability`, r for the margins. The default fits sgm, sgbm and block from their maps alone.
    supported : (left, right)
        (H, W) bool, where the picture determines the disparity; all other pixels are dropped. None: everywhere.
    sky : (left, right)
        (H, W) bool, where no surface continues. None: nowhere.
    complete : bool
        The matcher fills unmatched pixels itself, better than from the neighbours in their row.
    excess : float
        Ratio of the sub-pixel error to the bound that texture sets: see `uncertainty.disparity_sigma`.
    noise : float
        px, standard deviation of what the matcher adds to that error everywhere.
    starts : (left, right)
        Two maps float32 each, for `confidence`: the disparity that was best before the choice, px, NaN unknown, and how
        clearly (`selection.winner_row`). Smaller than (H, W) where the start was: the nearest pixel counts. None: the
        matcher has no such start.
    network : str
        Of `confidence.load_network`, whose probability replaces that of `odds`; empty: none was trained.
    """

    left: np.ndarray
    right: np.ndarray | None = None
    margins: tuple = (None, None)
    odds: tuple[float, float, float, float] = (1.0, 1.1, -1.4, 0.0)
    supported: tuple = (None, None)
    sky: tuple = (None, None)
    complete: bool = False
    excess: float = 1.5
    noise: float = 0.0
    starts: tuple = (None, None)
    network: str = ""


def planes(  # noqa: PLR0913 - the signature is the list of options
    left: np.ndarray,
    right: np.ndarray,
    lo: int,
    hi: int,
    *,
    slope: Annotated[float, Range(0.1, 1000)] = 37.0,
    jump: Annotated[float, Range(0.1, 1000)] = 17.0,
    contrast: Annotated[float, Range(0, 100)] = 8.0,
    fall: Annotated[float, Range(0.1, 255)] = 10.0,
    limit: Annotated[float, Range(1, 60)] = 23.0,
    threads: int = 1,
    seen: tuple | None = None,
    infinity: np.float32 | None = None,
) -> Found:
    """All pixels of both pictures choose their planes jointly; each view determines what the other can see.

    The candidates come from semi-global matching and from segments of uniform colour, whose planes are fitted to its
    disparities or to the pictures themselves; a segment may also continue the plane of a larger one beside it. Slanted
    planes cost nothing, so surfaces have no stairs; segments without texture and what only one picture shows get the
    plane of their surface. Large pairs start from a reduced one.
    slope: penalty, in bits of the census, of two neighbours' planes 1 px apart.  jump: of planes far apart, and
    contrast: jump (1 + contrast exp(-dI / fall)), dI the intensity step.  fall: in grey levels.
    limit: largest cost of a mismatch, in bits of 60; a match that the other view contradicts costs half as much more.
    Memory: 3 bytes per pixel and disparity of the reduced pair, at most 280 MB, and some 250 bytes per pixel.
    Sources: see `energy` and `segments` in `planes`.
    """
    options = {"slope": slope, "jump": jump, "contrast": contrast, "fall": fall, "limit": limit}
    return match_planes(
        BUDGETS["planes"], left, right, lo, hi, threads=threads, seen=seen, infinity=infinity, **options
    )


_with_options_of_planes = functools.wraps(planes, assigned=("__annotations__",), updated=())


@_with_options_of_planes
def planes_fast(left: np.ndarray, right: np.ndarray, lo: int, hi: int, **options) -> Found:
    """Matching by planes (see there) from a pair of some 300,000 pixels on, with one choice at each larger size.

    slope, jump, contrast, fall, limit: see `planes`.
    Memory: as `planes`, but at most 110 MB for the start.
    """
    return match_planes(BUDGETS["planes_fast"], left, right, lo, hi, **options)


@_with_options_of_planes
def planes_full(left: np.ndarray, right: np.ndarray, lo: int, hi: int, **options) -> Found:
    """Matching by planes (see there) at full size up to 2.5 megapixels, with four choices after the first.

    From the third on, each has other segments of uniform colour to choose from.

    slope, jump, contrast, fall, limit: see `planes`.
    Memory: as `planes`, but at most 1.5 GB for the start.
    """
    return match_planes(BUDGETS["planes_full"], left, right, lo, hi, **options)


def match_planes(
    budget: Budget,
    left: np.ndarray,
    right: np.ndarray,
    lo: int,
    hi: int,
    *,
    threads: int = 1,
    seen: tuple | None = None,
    infinity: np.float32 | None = None,
    **options: float,
) -> Found:
    """Match by planes within a budget of work; options: slope, jump, contrast, fall, limit, defaults as in `planes`."""
    from .planes import matcher

    energy, start_jumps = plane_energy(lo, hi, **options)
    energy = replace(energy, infinity=infinity)
    one, two = matcher.match(left, right, seen or (None, None), energy, start_jumps, budget, threads)
    margins = one.margin, None if two.margin is None else flip_copy(two.margin)
    surfaces = [v.supported if v.supported is None or v.sky is None else v.supported & ~v.sky for v in (one, two)]
    supported = surfaces[0], None if surfaces[1] is None else flip_copy(surfaces[1])
    starts = one.start, None if two.start is None else tuple(flip_copy(a) for a in two.start)
    return Found(
        one.d,
        flip_copy(two.d),
        margins,
        PLANES_ODDS,
        supported,
        (one.sky, None if two.sky is None else flip_copy(two.sky)),
        complete=True,
        excess=PLANES_EXCESS,
        starts=starts,
        network="planes",
    )


def plane_energy(lo: int, hi: int, **options: float) -> "tuple[Energy, np.ndarray]":
    """Return the energy of matching by planes, and the jump penalties (256,) u16 of its semi-global start.

    Parameters
    ----------
    lo, hi : int
        px, disparity range.
    options
        slope, jump, contrast, fall, limit; the defaults are those of `planes`.
    """
    from . import aggregation
    from .planes import matcher, views

    given = {p.name: p.default for p in inspect.signature(planes).parameters.values()} | options
    contrast, fall, limit = given["contrast"], given["fall"], given["limit"]
    jumps = aggregation.edge_penalties(given["jump"], contrast, fall)
    energy = views.Energy(lo, hi, given["slope"], jumps, limit, hidden=limit, against=HIDDEN_FACTOR * limit)
    return energy, aggregation.jump_penalties(matcher.START_PENALTY, contrast, fall)


def sgm(  # noqa: PLR0913 - the signature is the list of options
    left: np.ndarray,
    right: np.ndarray,
    lo: int,
    hi: int,
    *,
    window: Literal["5x7", "7x9"] = "7x9",
    p1: Annotated[int, Range(1, 1000)] = 24,
    contrast: Annotated[float, Range(0, 100)] = 8.0,
    fall: Annotated[float, Range(0.1, 255)] = 10.0,
    refine: Annotated[int, Range(0, 15)] = 2,
    threads: int = 1,
) -> Found:
    """Census transform, Hamming distance, semi-global aggregation along eight paths, winner-takes-all, refinement.

    window: of the census, rows x columns.  p1: penalty, in bits, of a disparity step of 1 px.
    contrast: a larger step costs p1 (1 + contrast exp(-dI / fall)), dI the intensity step.  fall: in grey levels.
    refine: radius, px, of the window in which the sub-pixel part is fitted to the surface and to the pictures
    (`refinement.refine`), 0 for none.
    Memory: 3 bytes per pixel and disparity.  Sources: Zabih and Woodfill 1994; Hirschmüller 2005.
    """
    from . import aggregation, costs, refinement, selection

    half = costs.CENSUS[window]
    height, width = left.shape[:2]
    census = []
    for picture in (left, right):
        codes = np.empty((height, width), np.uint64)
        parallel_rows(height, threads, costs.census, costs.brightness(picture), *half, after=(codes,))
        census.append(codes)
    cost = np.empty((height, width, hi - lo + 1), np.uint8)
    parallel_rows(height, threads, costs.hamming_volume, *census, lo, after=(cost,))
    total = aggregation.semi_global(cost, left, p1, aggregation.jump_penalties(p1, contrast, fall), threads)
    del cost
    d_left, margin, d_right = (np.empty((height, width), np.float32) for _ in range(3))
    parallel_rows(
        height, threads, selection.winners, total, np.uint16(65535), lo, True, after=(d_left, margin, d_right)
    )
    del total
    margins = _both_margins(margin, d_right)
    if refine:
        d_left = refinement.refine(left, right, lo, hi, d_left, refine, threads)
        left, right, d_right = flip_copy(right), flip_copy(left), flip_copy(d_right)  # the mirrored pair
        d_right = flip_copy(refinement.refine(left, right, lo, hi, d_right, refine, threads))
    return Found(d_left, d_right, margins, SGM_ODDS, network="sgm")


def block(  # noqa: PLR0913 - the signature is the list of options
    left: np.ndarray,
    right: np.ndarray,
    lo: int,
    hi: int,
    *,
    cost: Literal["census", "zncc", "sad", "ssd"] = "census",
    radius: Annotated[int, Range(1, 20)] = 4,
    uniqueness: Annotated[float, Range(0, 1)] = 0.0,
    unbiased: bool = True,
    threads: int = 1,
) -> Found:
    """Block matching: the disparity at which the windows about both pixels differ least.

    cost: "census", sum of the bits in which two pixels' neighbourhoods differ, invariant to any increasing brightness
    curve; "zncc", 1 - zero-mean normalised cross-correlation of row slopes of normalised contrast, invariant to
    brightness and contrast; "sad", sum of absolute differences; "ssd", of squared ones.
    radius: of the square windows of (2 radius + 1)^2 px. Of nine windows that contain a pixel and that the left-right
    test confirms to 1 px, the one of least cost counts, if three of them agree.
    uniqueness: share by which the winner's cost must lie below that of the best rival not next to it.
    unbiased: a parabola ("zncc", "ssd") or a symmetric V ("sad", "census") through the costs biases the sub-pixel part
    towards whole disparities. The former is averaged with one at half disparities, whose error is the opposite, the
    latter corrected by a measured curve.
    Running sums make the time independent of the radius; memory does not grow with the picture's height.
    Sources: Scharstein and Szeliski 2002; Zabih and Woodfill 1994; Shimizu and Okutomi 2005; Fusiello et al. 1997.
    """
    from . import shifted_windows, windows

    kind = {"sad": windows.SAD, "ssd": windows.SSD, "census": windows.CENSUS, "zncc": windows.ZNCC}[cost]
    height = len(left)
    pictures = [_block_image(picture, cost, threads) for picture in (left, right)]
    search = windows.WindowSearch(lo, hi - lo + 1, radius, kind, unbiased)
    maps = windows.WindowMaps(*(np.empty(left.shape[:2], np.float32) for _ in range(5)))
    parallel_rows(height, threads, windows.match_rows, *pictures, search, after=(maps,))
    d_left, left_margin, d_right, *winner_costs = maps
    found = []
    for d, other, winner_cost, sign in ((d_left, d_right, winner_costs[0], 1), (d_right, d_left, winner_costs[1], -1)):
        confirmed, margin, out, ratio = (np.empty_like(d) for _ in range(4))
        parallel_rows(height, threads, shifted_windows.confirm, d, left_margin, other, sign, after=(confirmed, margin))
        parallel_rows(
            height, threads, shifted_windows.shift_windows, confirmed, winner_cost, margin, after=(out, ratio)
        )
        out[ratio < uniqueness] = np.nan
        found.append((out, _rival_over_winner(ratio)))
    (d_left, margin), (d_right, right_margin) = found
    return Found(d_left, d_right, (margin, right_margin), BLOCK_ODDS[cost])


def _block_image(picture: np.ndarray, cost: str, threads: int) -> np.ndarray:
    """Return what the windows of `block` compare: census (H,W) u64, or grey levels or slopes (H,W) u16 of 10 bits."""
    from . import costs, windows

    image = costs.brightness(picture)
    if cost == "census":
        out = np.empty(image.shape, np.uint64)
        parallel_rows(len(image), threads, costs.census, image, *costs.CENSUS["5x7"], after=(out,))
        return out
    if cost == "zncc":
        out = np.empty(image.shape, np.uint16)
        parallel_rows(len(image), threads, windows.normalised_slopes, image, after=(out,))
        return out
    return image >> 6  # 10 bits: weak texture has an amplitude below one grey level


def _rival_over_winner(margin: np.ndarray) -> np.ndarray:
    """rival / winner - 1, from 1 - winner / rival."""
    return margin / np.maximum(1 - margin, np.float32(1e-3))


def _both_margins(margin: np.ndarray, d_right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """rival / winner - 1 of both maps, from the left one's 1 - winner / rival; a right pixel takes its match's."""
    ratio = _rival_over_winner(margin)
    at = np.arange(margin.shape[1]) + np.nan_to_num(d_right)
    at = np.clip(np.rint(at), 0, margin.shape[1] - 1).astype(np.intp)
    return ratio, np.where(np.isfinite(d_right), np.take_along_axis(ratio, at, axis=1), np.float32(0))


def sgbm(  # noqa: PLR0913 - the signature is the list of options
    left: np.ndarray,
    right: np.ndarray,
    lo: int,
    hi: int,
    *,
    mode: Literal["sgbm", "hh", "3way", "hh4"] = "sgbm",
    block_size: Literal[1, 3, 5, 7, 9, 11] = 5,
    prefilter_cap: Annotated[int, Range(1, 127)] = 63,
    uniqueness: Annotated[int, Range(0, 99)] = 0,
    threads: int = 1,
) -> Found:
    """OpenCV's StereoSGBM: Birchfield-Tomasi cost, semi-global aggregation.

    mode: "sgbm" 5 paths, "hh" 8 paths, "hh4" 4 paths, "3way" 3 paths.  block_size: px; P1 and P2 follow from it as
    OpenCV recommends.  prefilter_cap: bound of the gradients that are compared.  uniqueness: percent by which the
    winner must beat the second.  Source: Hirschmüller 2005, as implemented in OpenCV.
    """
    from concurrent.futures import ThreadPoolExecutor

    modes = {"sgbm": 0, "hh": 1, "3way": 2, "hh4": 3}  # cv2.STEREO_SGBM_MODE_*
    arguments = dict(
        blockSize=block_size,
        P1=8 * left.shape[2] * block_size**2,
        P2=32 * left.shape[2] * block_size**2,
        preFilterCap=prefilter_cap,
        uniquenessRatio=uniqueness,
        mode=modes[mode],
    )

    with ThreadPoolExecutor(min(threads, 2)) as pool:
        d_left = pool.submit(opencv_sgbm, left, right, lo, hi, arguments)
        d_right = pool.submit(opencv_sgbm, right[:, ::-1], left[:, ::-1], lo, hi, arguments)
        return Found(d_left.result(), d_right.result()[:, ::-1].copy(), odds=SGBM_ODDS, excess=SGBM_EXCESS)


def opencv_sgbm(left: np.ndarray, right: np.ndarray, lo: int, hi: int, arguments: dict[str, Any]) -> np.ndarray:
    """Return OpenCV's left map of every column, in px, NaN unknown: (H,W) f32.

    OpenCV needs a multiple of 16 disparities, returns sixteenths with (lo - 1) * 16 for unknown, and leaves columns
    blank whose search would leave the picture: the pictures are padded by as much, repeating their borders.

    Raises
    ------
    StereoError
        "bad_range" beyond +-2047 px.
    """
    import cv2

    if max(-lo, hi) > MAX_OPENCV_DISPARITY:
        raise StereoError(
            "bad_range",
            f"OpenCV's 16-bit map cannot hold the disparities {lo} to {hi} px.",
            "Use another matcher or smaller pictures: it holds -2047 to 2047.",
            lo=lo,
            hi=hi,
        )
    count = -(-(hi - lo + 1) // 16) * 16
    before, after = max(lo + count, 0), max(-lo, arguments["blockSize"] // 2 + 1 - left.shape[1], 0)
    wide = [np.pad(p, ((0, 0), (before, after), (0, 0)), mode="edge") for p in (left, right)]
    matcher = cv2.StereoSGBM.create(minDisparity=lo, numDisparities=count, disp12MaxDiff=-1, **arguments)
    raw = matcher.compute(*wide)[:, before : before + left.shape[1]]
    disparity = raw.astype(np.float32) / 16
    disparity[(raw < lo * 16) | (raw > hi * 16)] = np.nan
    return disparity


MATCHERS: dict[str, Callable[..., Any]] = {
    "block": block,
    "sgbm": sgbm,
    "sgm": sgm,
    "planes_fast": planes_fast,
    "planes": planes,
    "planes_full": planes_full,
}


def volume_bytes(method: str, height: int, width: int, count: int, **options) -> int:
    """Return an upper bound of a matcher's memory, in bytes.

    A matcher that is not named here counts as one with a volume like that of `sgm`: a byte of cost and two of sums
    per pixel and disparity.

    Parameters
    ----------
    method : str
        A name in `MATCHERS`.
    height, width : int
        px.
    count : int
        Disparities.
    options
        Of the matcher.
    """
    pictures = 64 * height * width
    if method == "onnx":  # what the network itself takes is measured when it runs, and kept within what is left
        return pictures + NETWORK_BYTES
    if method == "block":
        return 16 * options.get("threads", 2) * (width + 100) * count + 3 * pictures
    if method == "sgbm":  # two runs at a time; the modes of 8 and 4 paths keep 4 bytes per pixel and disparity each
        volume = 8 * height if options.get("mode", "sgbm") in ("hh", "hh4") else 128
        return volume * (width + count) * (count + 15) + 2 * pictures
    if method in BUDGETS:
        return planes_bytes(height, width, count, BUDGETS[method], options.get("threads", 2))
    return 3 * height * width * count + pictures
