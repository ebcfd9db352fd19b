"""Surfaces of a disparity map that no matched feature supports: repeated structure, and parts that float far away."""

from dataclasses import replace

import numpy as np

from .. import resources
from ..diagnosis.surfaces import LostSurface, unsupported_findings
from ..disparity.lookalikes import contested_pixels
from ..disparity.surfaces import UNKNOWN, AttachmentLimits, attached_surfaces
from ..disparity.uniqueness import Surfaces, find_surfaces
from ..geometry.arrays import norms
from ..records import DisparityMap, Finding, RectifiedPair, RightViewPixels, TwoView
from ..rectification.maps import rectified_positions
from ..triangulation.points import triangulate

FAR = 3.0  # factor beyond the depths of the matches at which nothing unsupported is believed
DEPTH_SAMPLES = 64  # pixels of a surface whose median depth counts
# Unknown pixels, as a share of the picture's longer side, across which a surface goes on.
NEAR_GAP = 0.01  # of repeated structure: little beside the distance between two of its parts
FAR_GAP = 0.05  # of a surface that would float: dark or blurred ground interrupts the ground (sceaux)


def drop_unsupported(
    fused: DisparityMap,
    between: RightViewPixels,
    pair: RectifiedPair,
    view: TwoView,
    inlier_x: tuple[np.ndarray, np.ndarray],
    d_range: tuple[float, float],
) -> tuple[DisparityMap, RightViewPixels, list[Finding]]:
    """Return the map and the points between its pixels without repeated and floating surfaces, and findings.

    Repeated: a surface whose texture looks the same elsewhere within the range, and that neither matches support nor
    continues a certain surface next to it; or that lies FAR beyond the depths of the matches on certain surfaces.
    Of the rest, a pixel that matches elsewhere as well, where what looks alike nearby speaks for that other disparity,
    counts as repeated too.
    Floating: a surface FAR beyond these depths that no match supports and that continues no certain one.

    Parameters
    ----------
    fused, between
        As `match_pair` returns them.
    pair : RectifiedPair
        Rectified pictures.
    view : TwoView
        Cameras and pose.
    inlier_x : ((N, 2), (N, 2)) float64
        Inlier matches, px of the photos.
    d_range : (float, float)
        px, disparities searched.
    """
    u1, u2 = rectified_positions(pair, *inlier_x)
    found = np.isfinite(u1).all(1) & np.isfinite(u2).all(1)
    matches = np.column_stack([u1[found], u1[found, 0] - u2[found, 0]])
    surfaces = find_surfaces(pair, fused.disparity, matches, d_range, threads=resources.processors())
    if not len(surfaces.pixels):
        return fused, between, []
    beyond = _beyond_matches(fused.disparity, pair, view, matches, surfaces)
    continues, attached = (
        attached_surfaces(fused.disparity, surfaces.labels, len(beyond), surfaces.certain, limits)
        for limits in (AttachmentLimits(round(share * max(fused.disparity.shape))) for share in (NEAR_GAP, FAR_GAP))
    )
    repeated = surfaces.ambiguous & (~surfaces.supported & ~continues | beyond)
    floating = beyond & ~attached & ~surfaces.supported & ~repeated
    dropped = (surfaces.labels != UNKNOWN) & (repeated | floating)[surfaces.labels]
    doubtful = float(surfaces.pixels[surfaces.ambiguous & ~repeated & ~floating].sum() / surfaces.pixels.sum())
    rest = np.where(dropped, np.float32(np.nan), fused.disparity)
    contested = contested_pixels(pair, rest, matches, d_range, threads=resources.processors())
    period = (surfaces.period if np.isfinite(surfaces.period) else contested.period) * _photo_px(pair)
    lost = _lost((surfaces.labels != UNKNOWN) & repeated[surfaces.labels] | contested.pixels, surfaces, pair)
    floats = _lost((surfaces.labels != UNKNOWN) & floating[surfaces.labels], surfaces, pair)
    findings = unsupported_findings(lost, floats, doubtful, period)
    return *_without(fused, between, dropped | contested.pixels), findings


def _beyond_matches(
    disparity: np.ndarray, pair: RectifiedPair, view: TwoView, matches: np.ndarray, surfaces: Surfaces
) -> np.ndarray:
    """Whether each surface's median depth lies FAR beyond the depths of the matches on certain surfaces, (N,) bool."""
    height, width = disparity.shape
    at = np.rint(matches[:, :2]).astype(int).clip(0, [width - 1, height - 1])
    on_match, sample = at[:, 1] * width + at[:, 0], _sample(surfaces)
    some = np.full(disparity.size, np.float32(np.nan))
    for chosen in (sample, on_match):
        some[chosen] = disparity.ravel()[chosen]
    points = triangulate(some.reshape(height, width), pair, view)[0]
    z = (points[..., 2] if pair.sphere is None else norms(points)).ravel()
    certain = np.append(surfaces.certain, False)[surfaces.agreeing]
    certain &= surfaces.labels.ravel()[on_match] == surfaces.agreeing  # not beside it
    supporting = z[on_match[certain]]
    supporting = supporting[np.isfinite(supporting)]
    if not len(supporting):
        return np.zeros(len(surfaces.pixels), bool)
    near, far = np.quantile(supporting, [0.005, 0.995])
    depth = _median_of_each(surfaces.labels.ravel()[sample], z[sample], len(surfaces.pixels))
    return (depth < near / FAR) | (depth > FAR * far)


def _sample(surfaces: Surfaces) -> np.ndarray:
    """Up to DEPTH_SAMPLES pixels of each surface, y W + x, evenly in the order of rows."""
    pixels = surfaces.pixels
    by_surface = np.argsort(surfaces.labels, axis=None, kind="stable")[-pixels.sum() :]  # after the unknown ones
    place = np.arange(len(by_surface)) - np.repeat(np.cumsum(pixels) - pixels, pixels)
    return by_surface[place % np.repeat(-(-pixels // DEPTH_SAMPLES), pixels) == 0]


def _median_of_each(label: np.ndarray, value: np.ndarray, count: int) -> np.ndarray:
    """The upper median of the finite values of each label, (count,); NaN without any."""
    known = np.isfinite(value)
    label, value = label[known], value[known]
    value = value[np.lexsort((value, label))]
    many = np.bincount(label, minlength=count)
    median = np.full(count, np.nan)
    median[many > 0] = value[(np.cumsum(many) - many + many // 2)[many > 0]]
    return median


def _lost(chosen: np.ndarray, surfaces: Surfaces, pair: RectifiedPair) -> LostSurface:
    """The share of the map's pixels that are chosen (H,W), and the place of most of one surface in the first photo."""
    if not chosen.any():
        return LostSurface(0.0, None)
    of_surface = np.bincount(surfaces.labels[chosen], minlength=len(surfaces.pixels))
    places = pair.map1[chosen & (surfaces.labels == np.argmax(of_surface))]
    places = places[np.isfinite(places).all(-1)]  # a lens may leave pixels of the map without a place
    share = float(of_surface.sum() / surfaces.pixels.sum())
    if not len(places):
        return LostSurface(share, None)
    x, y = np.median(places, axis=0)
    return LostSurface(share, (float(x), float(y)))


def _photo_px(pair: RectifiedPair) -> float:
    """Return the median length in the first photo, px, of a pixel of its rectified row."""
    steps = norms(np.diff(pair.map1[::8], axis=1))
    known = np.isfinite(steps)
    return float(np.median(steps[known])) if known.any() else 1.0


def _without(
    fused: DisparityMap, between: RightViewPixels, dropped: np.ndarray
) -> tuple[DisparityMap, RightViewPixels]:
    """The map without the dropped pixels, and the points between two others that stay."""
    nan = np.float32(np.nan)
    disparity, sigma = (np.where(dropped, nan, a) for a in (fused.disparity, fused.sigma))
    kept = replace(fused, disparity=disparity, sigma=sigma, confidence=np.where(dropped, 0, fused.confidence))
    before = between.x.astype(np.int64)
    after = np.minimum(before + 1, dropped.shape[1] - 1)
    stays = ~(dropped[between.row, before] | dropped[between.row, after])
    return kept, RightViewPixels(between.x[stays], between.row[stays], between.disparity[stays], between.sigma[stays])
