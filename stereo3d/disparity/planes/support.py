"""Which pixels have enough texture, by window or by segment, to support their disparity; which are sky."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .. import costs
from ..rows import flip_copy
from .energy import SEEN, UNSEEN, CostLimits, CrossView, match_costs
from .sky import find_sky
from .views import MAX_DIFFERENCE, Energy, Segmentation, ViewState


@dataclass(frozen=True)
class SupportThresholds:
    """When a picture determines a disparity: see `supported_pixels`. Chosen together on real skies and weak textures.

    Parameters
    ----------
    shift : float
        px, between the disparity and its rivals, which should cost more.
    correlated : int
        Pixels of a census window: neighbours within it have the same error.
    significance : float
        Standard deviations of the mean cost change.
    window : int
        px, side of the window about a pixel; a segment needs as many pixels to overrule the window.
    tile : int
        px, side of the tiles that measure how even the cost change is.
    large : int
        Pixels of a segment that must be even unless it is `clear`.
    clear : float
        Standard deviations.
    even : float
        Standard deviations, by the tiles. Weak texture is equally weak everywhere, camera noise of a sky is not.
    """

    shift: float = 3.0
    correlated: int = 35
    significance: float = 2.5
    window: int = 21
    tile: int = 42
    large: int = 4 * 42**2
    clear: float = 4.0
    even: float = 7.0


SUPPORT = SupportThresholds()


class Moments(NamedTuple):
    """Of the cost change of each pixel, all (H,W) f32: known (0 or 1), non-zero (0 or 1), the change, its square."""

    known: np.ndarray
    changed: np.ndarray
    change: np.ndarray
    square: np.ndarray


def supported_pixels(
    view: ViewState, other: ViewState, energy: Energy, thresholds: SupportThresholds = SUPPORT
) -> ViewState:
    """Step: mark where shifting the disparity by +-3 px, or to infinity, raises the matching cost significantly.

    The mean cost change over a window about the pixel, or over a segment that contains it, must be significant:
    mean > 2.5 standard deviations / sqrt(pixels / 35). A segment as large as the window overrules the window: texture
    next to it, as a roof next to the sky, does not support its disparity. Faint gradients, clouds and the blocks of
    JPEG give a sky some disparity, which then is no better than that of infinity. What lies within 3 px of infinity
    need not differ from it, and where infinity lies outside the other picture its cost is unknown: no rival, unless
    the rest of the segment is no better than infinity. The sky (`find_sky`) is marked beside it.
    """
    d = view.d
    evidence = [_evidence(view, shift_moments(view, other, energy, thresholds.shift), thresholds)]
    unseen = evidence[0].unseen
    far = np.zeros(d.shape, bool)
    if energy.infinity is not None:
        distance = np.abs(d - np.float32(energy.infinity))
        moments = infinity_moments(view, other, energy.infinity)
        found = _evidence(view, moments, thresholds)
        exempt = (distance < thresholds.shift) | ((moments.known == 0) & ~found.empty)
        evidence.append(found._replace(supported=found.supported | exempt, surface=found.surface | exempt))
        far = distance < MAX_DIFFERENCE
    supported = np.logical_and.reduce([e.supported for e in evidence])
    empty = (np.logical_or.reduce([e.empty for e in evidence]) & ~supported) | far
    surface = np.logical_and.reduce([e.surface for e in evidence]) & ~far
    sky = find_sky(view.picture, view.seen, empty, surface, unseen)
    return replace(view, supported=supported, sky=sky)


class Evidence(NamedTuple):
    """What a cost change says of each pixel, all (H,W) bool.

    supported: the change is significant about the pixel. surface: it is in a segment that decides. empty: in such a
    segment, and in all that contain the pixel, it is not. unseen: in a segment that is large enough to decide, of which
    the other picture shows too little.
    """

    supported: np.ndarray
    surface: np.ndarray
    empty: np.ndarray
    unseen: np.ndarray


def _evidence(view: ViewState, moments: Moments, thresholds: SupportThresholds) -> Evidence:
    by_window = window_significance(moments, thresholds) > thresholds.significance
    by_segment, surface, empty, seen, unseen = (np.zeros_like(by_window) for _ in range(5))
    for segmentation in view.segmentations:
        labels = segmentation.labels
        significant, conclusive, hidden = segment_significance(segmentation, moments, thresholds)
        by_segment |= significant[labels]
        by_window &= (~conclusive | significant)[labels]
        surface |= (significant & conclusive)[labels]
        empty |= (conclusive & ~significant)[labels]
        seen |= conclusive[labels]
        unseen |= hidden[labels]
    return Evidence(by_segment | by_window, surface, empty & ~by_segment, unseen & ~seen)


def shift_moments(view: ViewState, other: ViewState, energy: Energy, shift: float) -> Moments:
    """Return the moments of cost(d +- shift) - cost(d), the mean of both sides, in bits."""
    range_ = energy.lo - shift, energy.hi + shift
    cost = _costs(view, other, (view.d, view.d + np.float32(shift), view.d - np.float32(shift)), range_)
    return _moments(view, (cost[..., 1] + cost[..., 2]) / 2 - cost[..., 0])


def infinity_moments(view: ViewState, other: ViewState, infinity: float) -> Moments:
    """Return the moments of cost(infinity) - cost(d), in bits."""
    width = view.d.shape[1]
    cost = _costs(view, other, (view.d, np.full_like(view.d, infinity)), (-width, width))
    return _moments(view, cost[..., 1] - cost[..., 0])


def _costs(view: ViewState, other: ViewState, disparities: tuple, d_range: tuple[float, float]) -> np.ndarray:
    """Matching costs (H,W,n), bits, of the disparities (H,W) each; NaN where the other picture has no match."""
    d = np.stack(disparities, -1)
    cost = np.empty_like(d)
    state = np.where(flip_copy(other.seen), np.uint8(SEEN), np.uint8(UNSEEN))
    unlimited, outside = np.float32(64), np.float32(np.nan)
    limits = CostLimits(np.float32(d_range[0]), np.float32(d_range[1]), unlimited, outside, unlimited)
    all_open = np.zeros(view.d.shape, bool)
    match_costs(view.census, view.other_census, CrossView(view.d, state), limits, d, all_open, cost)
    return cost


def _moments(view: ViewState, change: np.ndarray) -> Moments:
    """Moments of a cost change (H,W)."""
    known = np.isfinite(change) & view.seen
    change = np.where(known, change, np.float32(0))
    return Moments(known.astype(np.float32), (change != 0).astype(np.float32), change, change**2)


def significance(n, changed, total, square, correlated: int) -> np.ndarray:
    """mean sqrt(n / correlated) / deviation of n cost changes; 0 where at most half of them differ from 0.

    Where most pixels are overexposed, a few that are not prove nothing about the others.
    """
    n = np.maximum(n, 1)
    mean = total / n
    return np.where(changed > n / 2, mean * np.sqrt(n / correlated / np.maximum(square / n - mean**2, 1e-6)), 0)


def window_significance(moments: Moments, thresholds: SupportThresholds) -> np.ndarray:
    """Return the significance (H,W) of the cost change over the window about each pixel."""
    import cv2

    side = thresholds.window
    n, changed, total, square = (cv2.blur(m, ksize=(side, side)) * side**2 for m in moments)
    return significance(n, changed, total, square, thresholds.correlated)


def segment_significance(
    segmentation: Segmentation, moments: Moments, thresholds: SupportThresholds
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, per segment, whether its cost change is significant, enough pixels decide, and it is unseen (`Evidence`).

    Only pixels whose census window lies inside the segment count. Errors of neighbours are correlated farther than
    `correlated`, and the disparity is the best of many, so a large segment must also be even.
    """
    import cv2

    labels, count = segmentation.labels, segmentation.number
    number = labels.astype(np.float32)
    window = np.ones([2 * costs.GRADED_HALF + 1] * 2, np.uint8)
    inner = cv2.erode(number, kernel=window) == cv2.dilate(number, kernel=window)
    inside = labels[inner]
    n, changed, total, square = (np.bincount(inside, weights=m[inner], minlength=count) for m in moments)
    score = significance(n, changed, total, square, thresholds.correlated)
    significant = score > thresholds.significance
    doubtful = np.flatnonzero(significant & (score < thresholds.clear) & (n >= thresholds.large))
    even = evenness(labels, inner, moments, doubtful, thresholds.tile)
    significant[doubtful] = even > thresholds.even
    least = thresholds.window**2
    hidden = (n < least) & (np.bincount(inside, minlength=count) >= least)
    return significant, (n >= least) & (changed > n / 2), hidden


def evenness(labels: np.ndarray, inner: np.ndarray, moments: Moments, which: np.ndarray, tile: int) -> np.ndarray:
    """sum of the cost change over a segment / sqrt(sum over tiles (sum of the tile - mean x pixels of the tile)^2).

    The tiles' scatter holds whatever errors within a tile have in common.

    Parameters
    ----------
    labels : (H, W) int32
        Segment of each pixel.
    inner : (H, W) bool
        Pixels that count.
    moments : Moments
        known and change are read.
    which : (N,) int
        Segments.
    tile : int
        px.

    Returns
    -------
    (N,) float64
        Standard deviations.

    References
    ----------
    Liang and Zeger, Longitudinal data analysis using generalized linear models, 1986 (clustered errors).
    """
    height, width = labels.shape
    columns = -(-width // tile)
    number = np.arange(height)[:, None] // tile * columns + np.arange(width) // tile
    out = np.empty(len(which))
    for k, segment in enumerate(which):
        here = inner & (labels == segment)
        n, total = (np.bincount(number[here], weights=m[here]) for m in (moments.known, moments.change))
        out[k] = total.sum() / np.sqrt(max(((total - total.sum() / n.sum() * n) ** 2).sum(), 1e-9))
    return out
