"""The matchers: plain functions in a literal dict, each a short composition of the blocks beside this file.

A matcher takes left, right (H,W,3) u8 RGB, rectified, and the whole numbers lo <= hi; it looks for x_right = x_left - d
with d in lo .. hi, the nearer point having the larger d. Its options are keyword-only, with plain defaults. It returns
the left map (H,W) f32, NaN unknown, or more than that: `Found`. What it leaves out, `compute_disparities` supplies: a
right map by matching the mirrored pair, how sure each pixel is, the filling of a dense map. A matcher that has an
option `threads` is told how many it may use; one that has `seen`, which pixels show something, (H,W) bool of both.

This module imports nothing heavy: the command line reads the names and the options from here.
"""

import functools
from typing import Annotated, Literal, NamedTuple

import numpy as np

from ..errors import StereoError
from ..options import Range
from .bands import in_bands, mirrored
from .sizes import EFFORTS, planes_bytes

# Odds that a disparity is off by more than 1 px, of each matcher: see `Found`.
PLANES_ODDS = (8.3, 0.81, -0.58, -0.64)
SGM_ODDS = (1.04, 1.06, -0.97, -1.28)
SGBM_ODDS = (1.22, 0.84, -1.16, 0.0)
BLOCK_ODDS = {
    "census": (1.76, 0.15, -1.54, -1.07),
    "zncc": (1.51, 0.2, -1.64, -0.43),
    "sad": (2.49, 0.2, -0.91, -1.19),
    "ssd": (2.14, 0.25, -0.91, -0.58),
}


class Found(NamedTuple):
    """left, right: (H,W) f32 px, the d that the pixels of either picture see, NaN unknown.

    margins: (left, right), how much more the best that differs by over 1 px costs there; None where not told.
    odds: (c, p, q, r) of `disparity.probability`, r for the margins: of each matcher by logistic regression over 17
    real pairs alike, the hidden pixels included.
    told: (left, right), (H,W) bool, where the pictures tell the disparity at all, the rest is not kept; None: all over.
    complete: what no match can tell has been filled by the matcher itself, better than from its neighbours in the row.
    excess: by how much its disparities scatter more than the texture allows: see `precision.deviation`.
    """

    left: np.ndarray
    right: np.ndarray | None = None
    margins: tuple = (None, None)
    odds: tuple = (1.0, 1.1, -1.4, 0.0)  # as of sgm, sgbm and block, all from their maps alone
    told: tuple = (None, None)
    complete: bool = False
    excess: float = 1.5


def planes(
    left: np.ndarray,
    right: np.ndarray,
    lo: int,
    hi: int,
    *,
    slope: Annotated[float, Range(0.1, 1000)] = 21.0,
    jump: Annotated[float, Range(0.1, 1000)] = 12.0,
    contrast: Annotated[float, Range(0, 100)] = 8.0,
    fall: Annotated[float, Range(0.1, 255)] = 10.0,
    limit: Annotated[float, Range(1, 34)] = 14.0,
    threads: int = 1,
    seen: tuple | None = None,
):
    """All pixels of both pictures choose together which plane they lie on; each view tells the other what it sees.

    The candidates come from semi-global matching and from pieces of even colour, whose planes are fitted to its
    disparities or to the pictures themselves. Slants cost nothing, so surfaces have no stairs; pieces without texture
    and what only one picture shows get the plane they belong to. Large pairs start from a reduced one.
    slope: penalty, in bits of the census, of two neighbours' planes 1 px apart.  jump: of planes far apart, and
    contrast: jump (1 + contrast exp(-dI / fall)), dI the intensity step.  fall: in grey levels.
    limit: most that a mismatch costs, in bits of 34; a match that the other view contradicts costs half as much more.
    Memory: 3 bytes per pixel and disparity of the reduced pair, at most 300 MB, and some 250 bytes per pixel.
    Sources: see `planes`, `slanted` and `segments` in this folder.
    """
    return by_planes(EFFORTS["planes"], left, right, lo, hi, slope, jump, contrast, fall, limit, threads, seen)


_with_options_of_planes = functools.wraps(planes, assigned=("__annotations__",), updated=())


@_with_options_of_planes
def planes_fast(left: np.ndarray, right: np.ndarray, lo: int, hi: int, **options):
    """Matching by planes (see there) from a pair of at most 200,000 pixels on, with one choice at each larger size.

    slope, jump, contrast, fall, limit: see `planes`.
    Memory: as `planes`, but at most 100 MB for the start.
    """
    return by_planes(EFFORTS["planes_fast"], left, right, lo, hi, **options)


@_with_options_of_planes
def planes_full(left: np.ndarray, right: np.ndarray, lo: int, hi: int, **options):
    """Matching by planes (see there) at full size up to 2.5 megapixels, with three rounds of choices.

    Each round has other pieces of even colour to choose from.

    slope, jump, contrast, fall, limit: see `planes`.
    Memory: as `planes`, but at most 1.2 GB for the start.
    """
    return by_planes(EFFORTS["planes_full"], left, right, lo, hi, **options)


def by_planes(
    effort, left, right, lo, hi, slope=21.0, jump=12.0, contrast=8.0, fall=10.0, limit=14.0, threads=1, seen=None
) -> Found:
    from . import aggregate, planes

    energy = planes.Energy(
        lo, hi, slope, aggregate.by_contrast(jump, contrast, fall), limit, hidden=limit, against=1.5 * limit
    )
    start = aggregate.jump_penalties(planes.START_PENALTY, contrast, fall)
    first, second = planes.match(left, right, seen or (None, None), energy, start, effort, threads)
    margins, told = (
        (a, None if b is None else mirrored(b)) for a, b in ((first.margin, second.margin), (first.told, second.told))
    )
    return Found(first.d, mirrored(second.d), margins, PLANES_ODDS, told, complete=True, excess=1.05)


def sgm(
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
):
    """Census transform, Hamming distance, semi-global aggregation along eight paths, winner-takes-all, refinement.

    window: of the census, rows x columns.  p1: penalty, in bits, of a disparity step of 1 px.
    contrast: a larger step costs p1 (1 + contrast exp(-dI / fall)), dI the intensity step.  fall: in grey levels.
    refine: radius, px, of the window in which the sub-pixel part is fitted to the surface and to the pictures
    (`refined`), 0 for none.
    Memory: 3 bytes per pixel and disparity.  Sources: Zabih and Woodfill 1994; Hirschmüller 2005.
    """
    from . import aggregate, costs, select
    from .select import refined

    half = costs.CENSUS[window]
    height, width = left.shape[:2]
    words = []
    for picture in (left, right):
        word = np.empty((height, width), np.uint64)
        in_bands(height, threads, costs.census, costs.brightness(picture), *half, after=(word,))
        words.append(word)
    cost = np.empty((height, width, hi - lo + 1), np.uint8)
    in_bands(height, threads, costs.hamming_volume, *words, lo, after=(cost,))
    total = aggregate.semi_global(cost, left, p1, aggregate.jump_penalties(p1, contrast, fall), threads)
    del cost
    d_left, margin, d_right = (np.empty((height, width), np.float32) for _ in range(3))
    in_bands(height, threads, select.winners, total, np.uint16(65535), lo, True, after=(d_left, margin, d_right))
    del total
    margins = _both_margins(margin, d_right)
    if refine:
        d_left = refined(left, right, lo, hi, d_left, refine, threads)
        d_right = mirrored(refined(mirrored(right), mirrored(left), lo, hi, mirrored(d_right), refine, threads))
    return Found(d_left, d_right, margins, SGM_ODDS)


def block(
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
):
    """Block matching: the disparity at which the windows about both pixels are most alike.

    cost: "census", sum of the bits in which two pixels' neighbourhoods differ, blind to any rising curve of brightness;
    "zncc", 1 - zero-mean normalised cross-correlation of slopes along the row whose contrast is made even, blind to
    brightness and contrast; "sad", sum of absolute differences; "ssd", of squared ones.
    radius: of the square windows of (2 radius + 1)^2 px. Of nine that hold a pixel, that both pictures confirm to 1 px,
    the one matched best counts, if three of them say the same.
    uniqueness: share by which the winner's cost must lie below that of the best rival not next to it.
    unbiased: sub-pixel by a parabola ("zncc", "ssd") or a symmetric V ("sad", "census") draws to whole disparities. The
    former is averaged with one at half disparities, whose error is the opposite, the latter bent by what was measured.
    Running sums make the time independent of the radius; memory does not grow with the picture's height.
    Sources: Scharstein and Szeliski 2002; Zabih and Woodfill 1994; Shimizu and Okutomi 2005; Fusiello et al. 1997.
    """
    from . import costs, windows

    kind = {"sad": windows.SAD, "ssd": windows.SSD, "census": windows.CENSUS, "zncc": windows.ZNCC}[cost]

    height = len(left)
    pictures = []
    for picture in (left, right):
        image = costs.brightness(picture)
        if cost == "census":
            pictures.append(np.empty(image.shape, np.uint64))
            in_bands(height, threads, costs.census, image, *costs.CENSUS["5x7"], after=(pictures[-1],))
        elif cost == "zncc":
            pictures.append(np.empty(image.shape, np.uint16))
            in_bands(height, threads, windows.even_slopes, image, after=(pictures[-1],))
        else:
            pictures.append(image >> 6)  # 10 bits: weak texture lies below one grey level
    d_left, margin, d_right, *of_winners = maps = [np.empty(left.shape[:2], np.float32) for _ in range(5)]
    in_bands(height, threads, windows.match_rows, *pictures, lo, hi - lo + 1, radius, kind, unbiased, after=maps)
    found = []
    for d, facing, of_winner, sign in ((d_left, d_right, of_winners[0], 1), (d_right, d_left, of_winners[1], -1)):
        sure, of_sure, out, of_out = (np.empty_like(d) for _ in range(4))
        in_bands(height, threads, windows.confirmed, d, margin, facing, sign, after=(sure, of_sure))
        in_bands(height, threads, windows.shift_windows, sure, of_winner, of_sure, after=(out, of_out))
        out[of_out < uniqueness] = np.nan
        found.append((out, of_out / np.maximum(1 - of_out, np.float32(1e-3))))  # rival / winner - 1
    (d_left, margin), (d_right, facing) = found
    return Found(d_left, d_right, (margin, facing), BLOCK_ODDS[cost])


def _both_margins(margin, d_right):
    """rival / winner - 1 of both maps, from the left one's 1 - winner / rival; a right pixel's is that of its match."""
    ratio = margin / np.maximum(1 - margin, np.float32(1e-3))
    at = np.arange(margin.shape[1]) + np.nan_to_num(d_right)
    at = np.clip(np.rint(at), 0, margin.shape[1] - 1).astype(np.intp)
    return ratio, np.where(np.isfinite(d_right), np.take_along_axis(ratio, at, axis=1), np.float32(0))


def sgbm(
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
):
    """OpenCV's StereoSGBM (Birchfield-Tomasi cost, semi-global aggregation), its habits kept inside.

    mode: "sgbm" 5 paths, "hh" 8 paths, "hh4" 4 paths, "3way" 3 paths.  block_size: px; P1 and P2 follow from it as
    OpenCV recommends.  prefilter_cap: bound of the gradient that is compared.  uniqueness: percent by which the winner
    must beat the second.  Source: Hirschmüller 2005, as implemented in OpenCV.
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
        return Found(d_left.result(), d_right.result()[:, ::-1].copy(), odds=SGBM_ODDS, excess=1.8)


def opencv_sgbm(left, right, lo, hi, arguments):
    """(H,W) f32, NaN unknown: OpenCV's map, in pixels, for every column.

    OpenCV wants a multiple of 16 disparities, answers in sixteenths with (lo - 1) * 16 for unknown, and leaves columns
    blank whose search would leave the picture: the pictures are widened by as much, repeating their borders.
    """
    import cv2

    if max(-lo, hi) > 2047:
        raise StereoError(
            "bad_range",
            f"OpenCV's 16-bit map cannot hold the disparities {lo} to {hi} px.",
            "Use another matcher or smaller pictures: it holds -2047 to 2047.",
            lo=lo,
            hi=hi,
        )
    count = -(-(hi - lo + 1) // 16) * 16
    before, behind = max(lo + count, 0), max(-lo, arguments["blockSize"] // 2 + 1 - left.shape[1], 0)
    wide = [np.pad(p, ((0, 0), (before, behind), (0, 0)), mode="edge") for p in (left, right)]
    matcher = cv2.StereoSGBM.create(minDisparity=lo, numDisparities=count, disp12MaxDiff=-1, **arguments)
    raw = matcher.compute(*wide)[:, before : before + left.shape[1]]
    disparity = raw.astype(np.float32) / 16
    disparity[(raw < lo * 16) | (raw > hi * 16)] = np.nan
    return disparity


MATCHERS = {
    "block": block,
    "sgbm": sgbm,
    "sgm": sgm,
    "planes_fast": planes_fast,
    "planes": planes,
    "planes_full": planes_full,
}


QUALITIES = {"fast": "planes_fast", "normal": "planes", "best": "planes_full"}  # what --quality chooses


def volume_bytes(method: str, height: int, width: int, count: int, **options) -> int:
    """Largest memory, in bytes, that a matcher takes for a (height, width) picture and `count` disparities.

    A matcher that is not named here is taken for one with a volume like that of `sgm`: a byte of cost and two of sums
    per pixel and disparity.
    """
    pictures = 64 * height * width
    if method == "block":
        return 16 * options.get("threads", 2) * (width + 100) * count + 3 * pictures
    if method == "sgbm":  # two runs at a time; the modes of 8 and 4 paths keep 4 bytes per pixel and disparity each
        volume = 8 * height if options.get("mode", "sgbm") in ("hh", "hh4") else 128
        return volume * (width + count) * (count + 15) + 2 * pictures
    if method in EFFORTS:
        return planes_bytes(height, width, count, EFFORTS[method], options.get("threads", 2))
    return 3 * height * width * count + pictures
