"""Rectification at a size that memory allows, search range, dense matching."""

import logging
from dataclasses import replace

import numpy as np

from ..disparity.expansion import match_growing
from ..disparity.matching import compute_disparities, fill_unknown, matching_bytes
from ..disparity.planes.pyramid import HEAP_RESERVE
from ..disparity.search_range import widen_range
from ..disparity.steep import add_steep_planes, find_steep_planes
from ..features.matching import match_features
from ..images.unknown import mark_borders
from ..records import DisparityMap, Finding, Photo, RectifiedPair, RightViewPixels, TwoView
from ..rectification.maps import disparity_range
from ..rectification.rectify import rectify
from .cameras import cameras_of, refuse_same_pixels
from .config import Config
from .memory import MemoryLimit, later_bytes, reduced_pixels
from .pose import estimate_pose

log = logging.getLogger(__name__)
MIN_MATCHING_SIZE = 320  # px, the smallest longer side to which short memory reduces the photos
CANVAS = 1.5  # pixels of a rectified picture per pixel of the reduced photo, for a first guess; 1.0 to 1.3 are usual


def match_pair(
    pair: RectifiedPair, d_range: tuple[float, float], config: Config, *, dense: bool = False
) -> tuple[DisparityMap, RightViewPixels]:
    """Match a rectified pair: both pictures' maps by config.matcher, steep planes matched again, both maps fused.

    Parameters
    ----------
    pair : RectifiedPair
        Rectified pictures.
    d_range : (float, float)
        px.
    config : Config
        matcher, max_memory, and the options of the stages "matcher" and "range".
    dense : bool
        Fill the unknown pixels inside the photo: from the matcher's own dense map, or where the fusion rejected that,
        from the farther side of the gap.

    Returns
    -------
    fused : DisparityMap
        Of the left picture; confidence 0 where filled.
    between : RightViewPixels
        Pixels of the right picture between two neighbouring pixels of that map.
    """
    from ..disparity.fusion import fuse  # numba
    from ..disparity.sharpening import sharpen

    # `rectify_within_memory` has chosen the size; matching uses freed memory that still counts as the process's
    needed = matching_bytes(pair, d_range, config.matcher, **config.of("matcher"))
    room = MemoryLimit.of(config).room(needed) + HEAP_RESERVE
    options = {"method": config.matcher, "max_memory": room, **config.of("matcher")}
    dense_maps = maps = compute_disparities(pair, d_range, dense=dense, **options)
    if dense:
        left, right = (_without_filled(found) for found in dense_maps)
        maps = left, right
    maps, growths = match_growing(maps, pair, **config.arguments("range", match_growing), **options)
    if growths:
        log.info("matched again for surfaces that grow by %s", ", ".join(f"{g:.2g}" for g in growths))
    known = np.isfinite(maps[0].disparity)
    planes = find_steep_planes(pair, known, d_range, **config.arguments("range", find_steep_planes))
    for plane in planes:
        log.info(
            "rows %d to %d matched again: disparity changes by %.2g px a row", plane.first, plane.last, plane.slope
        )
    fused, between = fuse(*add_steep_planes(maps, pair, planes, **options), swapped=pair.swapped)
    if pair.sphere is not None:  # all of a field has small parallaxes somewhere, and there its depth is lost or won
        fused = sharpen(fused, pair, d_range)
    if dense:
        filled = np.where(np.isfinite(maps[0].disparity), np.float32(np.nan), dense_maps[0].disparity)
        disparity = np.where(np.isfinite(fused.disparity), fused.disparity, filled)
        fused = replace(fused, disparity=fill_unknown(disparity, pair))
    return fused, between


def without_repeated_rows(
    fused: DisparityMap, between: RightViewPixels, pair: RectifiedPair
) -> tuple[DisparityMap, RightViewPixels]:
    """Return both outputs of `match_pair` without the rows that a closed `SphereGrid` repeats."""
    padding = 0 if pair.sphere is None else pair.sphere.padding
    if not padding:
        return fused, between
    inner = slice(padding, len(fused.disparity) - padding)
    fused = DisparityMap(*(getattr(fused, name)[inner] for name in ("disparity", "confidence", "sigma")))
    kept = (between.row >= inner.start) & (between.row < inner.start + len(fused.disparity))
    x, row, disparity, sigma = (getattr(between, name)[kept] for name in ("x", "row", "disparity", "sigma"))
    between = RightViewPixels(x, row - padding, disparity, sigma)
    return fused, between


def _without_filled(found: DisparityMap) -> DisparityMap:
    """A dense map without its filled pixels, which have no sigma."""
    known = np.isfinite(found.sigma)
    return replace(found, disparity=np.where(known, found.disparity, np.float32(np.nan)))


def rectified_pair(
    left: Photo, right: Photo, d_range: tuple[float, float] | None = None, config: Config | None = None
) -> tuple[RectifiedPair, tuple[float, float]]:
    """Return two photos that are rectified already as a pair, at their own size, with its disparity range.

    Parameters
    ----------
    d_range : (lo, hi), optional
        px; by default it is estimated from matches.
    """
    config = replace(config or Config(), rectified=True)
    refuse_same_pixels(left, right)
    left, right = mark_borders(left), mark_borders(right)
    rig = cameras_of(left, right, None, config)
    if d_range is not None:  # nearer things have the larger |d|: its sign shows on which side the first photo is
        t = np.array([-1.0 if sum(d_range) >= 0 else 1.0, 0, 0])
        view = TwoView(np.zeros((3, 3)), np.eye(3), t, np.zeros(0, bool), replace(rig, t=t))
        return _trusted_infinity(rectify(left, right, view, max_size=max(left.size)), config), d_range
    matches = match_features(left, right, method=config.detector, **config.of("detector"))
    view = estimate_pose(matches, rig, config).view
    pair = _trusted_infinity(rectify(left, right, view, max_size=max(left.size)), config)
    return pair, search_range(pair, matches.x1[view.inliers], matches.x2[view.inliers], config)


def _trusted_infinity(pair: RectifiedPair, config: Config) -> RectifiedPair:
    """The pair without its disparity of infinity unless a calibration states it: cropped pairs shift it."""
    return pair if config.calib is not None else replace(pair, infinity=None)


def rectify_within_memory(
    left: Photo,
    right: Photo,
    view: TwoView,
    inlier_x: tuple[np.ndarray, np.ndarray],
    config: Config,
    reserve: float = 0,
) -> tuple[RectifiedPair, tuple[float, float], list[Finding]]:
    """Return the rectified pair at a size for which memory suffices to the end, its disparity range, and findings.

    Parameters
    ----------
    inlier_x : ((N, 2), (N, 2)) float64
        Inlier matches, px of the photos.
    reserve : float
        Bytes that the caller takes for files beside the mesh.

    Raises
    ------
    StereoError
        "memory" where not even `MIN_MATCHING_SIZE` fits.
    """
    photos, limit = (left, right), MemoryLimit.of(config)
    whole = min(config.max_size, max(left.size))
    size, first = config.max_size, 0.0

    def rectified(size: int) -> tuple[RectifiedPair, tuple[float, float]]:
        pair = rectify(left, right, view, max_size=size, inlier_x=inlier_x, **config.of("rectify"))
        return pair, search_range(pair, *inlier_x, config)

    def needed(pair: RectifiedPair, d_range: tuple[float, float], factor: float = 1.0) -> float:
        height, width = (round(n * factor) for n in pair.left.shape[:2])
        count = round((np.ceil(d_range[1]) - np.floor(d_range[0])) * factor) + 1
        return max(later_bytes((height, width), count, photos, config, reserve).values())

    side = round((CANVAS * reduced_pixels(left, config.max_size)) ** 0.5)
    guess = max(later_bytes((side, side), side // 4, photos, config, reserve).values())
    room = limit.room(guess)
    if guess > room:
        small = min(whole, 2 * MIN_MATCHING_SIZE)  # a large pair might not fit: its size from a small one
        pair, d_range = rectified(small)
        first = needed(pair, d_range, whole / small)
        sizes = range(whole, MIN_MATCHING_SIZE, -20)
        size = next((s for s in sizes if needed(pair, d_range, s / small) <= room), MIN_MATCHING_SIZE)
        size = config.max_size if size == whole else size
    while True:
        pair = None  # free the larger one first
        pair, d_range = rectified(size)
        wanted = needed(pair, d_range)
        first = first or wanted
        if wanted <= room or size <= MIN_MATCHING_SIZE:
            break
        share = (room / wanted) ** (1 / 2.5)  # memory grows with the square to the cube of the size
        size = max(MIN_MATCHING_SIZE, int(min(size, max(left.size)) * min(0.9, share)))
    limit.require(wanted, f"the rest of the run at {size} px", room)
    if config.rectified:
        pair = _trusted_infinity(pair, config)
    if size == config.max_size:
        return pair, d_range, []
    numbers = limit.numbers(first, room)
    message = f"the photos are matched at {size} px instead of {whole}, which needs {limit.compared(numbers)}"
    advice = "Give it more memory, or choose a matcher that needs less."
    return pair, d_range, [Finding("reduced", "warning", message, {"size": size, **numbers}, advice)]


def search_range(pair: RectifiedPair, x1: np.ndarray, x2: np.ndarray, config: Config) -> tuple[float, float]:
    """Return the disparities to search, px: the range of the inliers x1, x2 (N, 2), widened by a coarse match."""
    inlier_range = disparity_range(pair, x1, x2, **config.arguments("range", disparity_range))
    return widen_range(pair, inlier_range, **config.arguments("range", widen_range))
