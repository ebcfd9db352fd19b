"""Matching by planes: from semi-global disparities to the plane of each pixel of both pictures.

A pixel's candidates are the planes of what is known around it: its own disparity with the slope of its neighbourhood,
the planes of the segments of uniform colour that contain it, the background of its surroundings.
`slanted.plane_paths` lets all pixels choose jointly; the choice of one view determines which pixels the other can see,
and both choose again. Large pictures start reduced: the planes of one pyramid level are the candidates at the next. So
time and memory grow with the pixels, not with pixels x disparities.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from . import aggregate, costs, segments, select, slanted
from .bands import flip_copy, flip_view, parallel_rows
from .sizes import STRIP_OVERLAP, Budget, pyramid_shapes, strip_rows
from .slanted import CrossView

WINDOW = "5x7"  # of the census: smaller windows fatten edges less, and planes make up for their weaker signal
START_PENALTY = 14  # bits, P1 of the semi-global start
FIT_RADIUS = 4  # px, of the window whose disparities give a pixel its slope
FIT_STEP = 2  # px, between the disparities of that window
FINE_RADIUS = 3  # px, of the window in which the fraction of a disparity is fitted to the pictures
SPECKLE = 100  # pixels: smaller components of the semi-global start are dropped
MAX_DIFFERENCE = 1  # px, of two consistent disparities and within a component
SEGMENT_BLUR = 0.8  # px, of the picture before it is segmented
# Candidates at the larger levels, round by round: px of disparity (half a pixel is a quarter at the coarser level), and
# steps in px to other pixels (half a matching window and a little more).
SHIFTS = (
    ((0.0, 0.5, -0.5), ((3, 0), (-3, 0), (0, 3), (0, -3))),
    ((0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0), ()),
)

NAN = np.float32(np.nan)
NOTHING = np.empty((0, 0), np.float32)  # planes that are not known yet
NO_CENSUS = np.empty((0, 0), np.uint64)


class Segmentation(NamedTuple):
    """The picture in segments: labels (H,W) i32, their number, and the pixels of each."""

    labels: np.ndarray
    number: int
    pixels: segments.SegmentPixels


class Planes(NamedTuple):
    """The plane chosen at each pixel, all (H,W) f32: d (px), a, b (px / px), margin (`slanted.select_planes`)."""

    d: np.ndarray
    a: np.ndarray
    b: np.ndarray
    margin: np.ndarray


@dataclass(frozen=True, eq=False)
class ViewState:
    """One picture of the pair at one pyramid level, seen as the left one (the right one is mirrored), and its planes.

    Parameters
    ----------
    picture : (H, W, 3) uint8
        RGB.
    census, other_census : (H, W) uint64
        Of this and of the other picture; empty once no step reads them.
    seen : (H, W) bool
        Pixels inside the photo.
    d, a, b : (H, W) float32
        Plane of each pixel; a and b empty while it has none.
    margin : (H, W) float32 or None
        Of the last choice.
    segmentations : tuple of Segmentation
        By scale, finest first.
    segment_planes : tuple of (count, 3) float64
        Planes by the pictures, of all segmentations but the finest.
    supported : (H, W) bool or None
        See `supported_pixels`.
    cross_view : CrossView or None
        The other view before this one's planes are overwritten.
    """

    picture: np.ndarray
    census: np.ndarray
    other_census: np.ndarray
    seen: np.ndarray
    d: np.ndarray
    a: np.ndarray = field(default_factory=lambda: NOTHING)
    b: np.ndarray = field(default_factory=lambda: NOTHING)
    margin: np.ndarray | None = None
    segmentations: tuple[Segmentation, ...] = ()
    segment_planes: tuple[np.ndarray, ...] = ()
    supported: np.ndarray | None = None
    cross_view: CrossView | None = None


@dataclass(frozen=True, eq=False)
class Energy:
    """Parameters of the energy of `slanted`.

    Parameters
    ----------
    lo, hi : int
        px, range of disparities.
    slope : float
        Bits per px of difference between neighbouring planes.
    jumps : (256,) float32
        Bits, largest penalty of two neighbours by their intensity step.
    limit, hidden, against : float
        Bits, as in `slanted.match_costs`.
    """

    lo: int
    hi: int
    slope: float
    jumps: np.ndarray
    limit: float
    hidden: float
    against: float

    def scaled(self, share: float) -> "Energy":
        """Return the same energy for pictures of `share` times the width."""
        return replace(self, lo=math.floor(self.lo * share), hi=math.ceil(self.hi * share))

    @property
    def limits(self) -> slanted.CostLimits:
        """Range and costs, as the kernels need them."""
        numbers = (self.lo, self.hi, self.limit, self.hidden, self.against)
        return slanted.CostLimits(*(np.float32(x) for x in numbers))


Step = Callable[[ViewState, ViewState, Energy], ViewState]


def both_views(step: Callable[..., ViewState], views: list[ViewState], energy: Energy, threads: int, *more: list):
    """Return [step(first, second), step(second, first)]: neither sees what the other becomes.

    more: further pairs, of which `step` gets both entries, its own view's first.
    """
    arguments = [[x for pair in (views, *more) for x in pair[::order]] for order in (1, -1)]
    with ThreadPoolExecutor(min(threads, 2)) as pool:
        return list(pool.map(lambda given: step(*given, energy), arguments))


# ------------------------------------------------------------------------------------------------- start of a level


def compute_census(picture: np.ndarray, threads: int, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Return the census (H,W) u64 of a picture (H,W,3) u8, reduced to `shape` (H,W) first."""
    import cv2

    image = costs.brightness(picture)
    if shape is not None and shape != image.shape:
        image = cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)
    codes = np.empty(image.shape, np.uint64)
    parallel_rows(len(image), threads, costs.census, image, *costs.CENSUS[WINDOW], after=(codes,))
    return codes


def initial_views(
    left: np.ndarray,
    right: np.ndarray,
    seen: tuple[np.ndarray | None, np.ndarray | None],
    shape: tuple[int, int],
    threads: int,
    flip: Callable[[np.ndarray], np.ndarray],
) -> list[ViewState]:
    """Return both views at size `shape` (H,W), their disparities still undefined.

    flip: `flip_copy` for the arrays of the right view, or `flip_view` where memory matters.
    """
    import cv2

    def reduced(array: np.ndarray) -> np.ndarray:
        if array.shape[:2] == shape:
            return array
        return cv2.resize(array, shape[::-1], interpolation=cv2.INTER_AREA)

    pictures = [reduced(p) for p in (left, right)]
    census = [compute_census(p, threads, shape) for p in (left, right)]
    inside = [np.ones(shape, bool) if s is None else reduced(s.astype(np.float32)) > 0.5 for s in seen]
    empty = np.empty(shape, np.float32)
    return [
        ViewState(pictures[0], census[0], census[1], inside[0], empty),
        ViewState(flip(pictures[1]), flip(census[1]), flip(census[0]), flip(inside[1]), empty),
    ]


def semi_global_start(views: list[ViewState], energy: Energy, jumps: np.ndarray, threads: int) -> list[ViewState]:
    """Return the views with semi-global disparities, both from one cost volume; NaN where ambiguous or outside."""
    view, other = views
    height, width = view.d.shape
    cost = np.empty((height, width, energy.hi - energy.lo + 1), np.uint8)
    parallel_rows(height, threads, costs.hamming_volume, view.census, view.other_census, energy.lo, after=(cost,))
    total = aggregate.semi_global(cost, view.picture, START_PENALTY, jumps, threads)
    del cost
    d, margin, d_right = (np.empty((height, width), np.float32) for _ in range(3))
    largest = np.uint16(65535)
    parallel_rows(height, threads, select.winners, total, largest, energy.lo, True, after=(d, margin, d_right))
    return [replace(view, d=d), replace(other, d=flip_copy(d_right))]


# ------------------------------------------------------------------------------------------------------ visibility


def consistent(view: ViewState, other: ViewState) -> np.ndarray:
    """Return the left-right test, (H,W) bool: the other view's disparity at the match agrees to 1 px."""
    return (select.left_right_difference(view.d, flip_copy(other.d)) <= MAX_DIFFERENCE) & view.seen


def consistent_disparity(view: ViewState, other: ViewState) -> np.ndarray:
    """Return the disparities (H,W) f32 that pass the left-right test, all others NaN."""
    return np.where(consistent(view, other), view.d, NAN)


def cross_view_state(view: ViewState, other: ViewState) -> CrossView:
    """Return the other view's disparities, mirrored into this view's column order, and the state of each pixel."""
    state = np.where(other.seen, np.uint8(slanted.SEEN), np.uint8(slanted.UNSEEN))
    state[consistent(other, view)] = slanted.CONSISTENT
    return CrossView(flip_copy(other.d), flip_copy(state))


def keep_cross_view(view: ViewState, other: ViewState, energy: Energy) -> ViewState:
    """Step: store `cross_view_state` for a choice that overwrites the planes; release the last margin."""
    return replace(view, cross_view=cross_view_state(view, other), margin=None)


# -------------------------------------------------------------------------------------------- segments and candidates


def segment_image(view: ViewState, other: ViewState, energy: Energy, scales: tuple[float, ...]) -> ViewState:
    """Step: split the picture into segments of uniform colour, once per scale."""
    import cv2

    picture = cv2.GaussianBlur(view.picture.astype(np.float32), ksize=(0, 0), sigmaX=SEGMENT_BLUR)
    edges = segments.sorted_edges(picture)
    found = []
    for scale in scales:
        labels, count = segments.merge_segments(*edges, scale, segments.MIN_SEGMENT, view.d.shape)
        found.append(Segmentation(labels, count, segments.segment_pixels(labels, count)))
    return replace(view, segmentations=tuple(found))


def fitted_planes(view: ViewState, known: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, per segmentation, the planes (count,3) through the known disparities and their support (count,)."""
    found = []
    for segmentation in view.segmentations:
        planes, support = np.empty((segmentation.number, 3)), np.empty(segmentation.number)
        segments.fit_segment_planes(segmentation.pixels, known, 0, segmentation.number, planes, support)
        found.append((planes, support))
    return found


def refined_planes(view: ViewState, known: np.ndarray, fitted: list, energy: Energy) -> tuple[np.ndarray, ...]:
    """Return, per segmentation but the finest, the planes (count,3) at which the pictures agree best."""
    match = segments.CensusPair(view.census, view.other_census, energy.lo, energy.hi, energy.limit, energy.hidden)
    found = []
    for segmentation, (planes, support) in list(zip(view.segmentations, fitted, strict=True))[1:]:
        count = segmentation.number
        found.append(np.empty((count, 3)))
        segments.refine_segment_planes(segmentation.pixels, known, planes, support, match, 0, count, found[-1])
    return tuple(found)


def refine_planes(view: ViewState, other: ViewState, energy: Energy) -> ViewState:
    """Step: find the segments' planes by the pictures, for another segmentation than that of the first choice."""
    known = consistent_disparity(view, other)
    return replace(view, segment_planes=refined_planes(view, known, fitted_planes(view, known), energy))


def local_planes(d: np.ndarray) -> np.ndarray:
    """Return the least-squares plane (c, a, b) of each pixel's neighbourhood on its surface, (3,H,W) f32."""
    plane = np.empty((3, *d.shape), np.float32)
    select.fit_planes(d, FIT_RADIUS, FIT_STEP, 0, len(d), plane[0], plane[1], plane[2])
    return plane


class Candidates:
    """The planes d, a, b (rows,W,n) f32 from which each pixel chooses, and buffers for their costs.

    Parameters
    ----------
    shape : (int, int)
        Largest (rows, W).
    count : int
        Planes per pixel.
    """

    def __init__(self, shape: tuple[int, int], count: int = slanted.CANDIDATES):
        self._buffer = np.empty((5, *shape, count), np.float32)
        self.clear(shape[0])

    def clear(self, rows: int) -> "Candidates":
        """Drop all planes and set the number of rows, in the same memory."""
        self.d, self.a, self.b, self.cost, self.total = self._buffer[:, :rows]
        self.filled = 0
        return self

    def put(self, d: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
        """Add the plane d, a, b (rows,W) of each pixel."""
        self.d[..., self.filled], self.a[..., self.filled], self.b[..., self.filled] = d, a, b
        self.filled += 1

    def put_segments(self, labels: np.ndarray, planes: np.ndarray, fallback: np.ndarray) -> None:
        """Add the plane of each pixel's segment; where it has none, the level one of disparity `fallback`."""
        slanted.put_segments(labels, planes, fallback, self.filled, self.d, self.a, self.b)
        self.filled += 1

    def put_enlarged(self, small, steps: np.ndarray, first: int, height: int) -> None:
        """Add planes (d, a, b) of the coarser level: see `slanted.put_enlarged`."""
        d, a, b = small
        slanted.put_enlarged(d, a, b, steps, first, height, self.filled, self.d, self.a, self.b)
        self.filled += len(steps)

    def put_neighbours(self, d: np.ndarray, a: np.ndarray, b: np.ndarray, step: tuple[int, int]) -> None:
        """Add the planes of the pixels `step` (across, down) px away."""
        slanted.put_neighbours(d, a, b, *step, self.filled, self.d, self.a, self.b)
        self.filled += 1

    def repeat_first(self) -> None:
        """Fill the unused places with the first plane."""
        for x in (self.d, self.a, self.b):
            x[..., self.filled :] = x[..., :1]


# ---------------------------------------------------------------------------------------------------------- choices


def choose_planes(view: ViewState, candidates: Candidates, cross_view: CrossView, energy: Energy) -> Planes:
    """Return, for each pixel, the candidate of least energy along the paths (`slanted`)."""
    candidates.repeat_first()
    d, a, b, cost, total = candidates.d, candidates.a, candidates.b, candidates.cost, candidates.total
    height, width = d.shape[:2]
    slanted.match_costs(view.census, view.other_census, cross_view, energy.limits, d, 0, height, cost)
    total[:] = 0
    flat_cost, flat_d, flat_a, flat_b, flat_total = (x.reshape(-1) for x in (cost, d, a, b, total))
    slope = np.float32(energy.slope)
    for step in (1, -1):
        slanted.plane_paths(flat_cost, flat_d, flat_a, flat_b, view.picture, slope, energy.jumps, step, flat_total)
    out_d, out_a, out_b, margin = np.empty((4, height, width), np.float32)
    slanted.select_planes(total, d, a, b, out_d, out_a, out_b, margin)
    return Planes(out_d, out_a, out_b, margin)


def first_choice(view: ViewState, other: ViewState, energy: Energy) -> ViewState:
    """Step: choose among the semi-global disparities, filled and as they are, and the segments' planes."""
    kept = consistent_disparity(view, other)
    kept[select.small_components(kept, float(MAX_DIFFERENCE), SPECKLE)] = np.nan
    filled = select.fill_background(kept)
    fitted = fitted_planes(view, kept)
    refined = refined_planes(view, kept, fitted, energy)
    candidates = Candidates(view.d.shape)
    candidates.put(*local_planes(filled))
    candidates.put(*local_planes(np.where(np.isfinite(view.d), view.d, filled)))
    put_segment_planes(candidates, view.segmentations, [planes for planes, _ in fitted], filled)
    put_segment_planes(candidates, view.segmentations[1:], refined, filled)
    d, state = cross_view_state(view, other)
    # no pixel hides another yet: the start is not good enough for that
    chosen = choose_planes(view, candidates, CrossView(d, np.minimum(state, np.uint8(slanted.SEEN))), energy)
    return replace(view, segment_planes=refined, **chosen._asdict())


def next_choice(view: ViewState, other: ViewState, energy: Energy) -> ViewState:
    """Step: choose among the last choice, its neighbourhood's slope, the background, and the segments' planes."""
    kept = consistent_disparity(view, other)
    filled = select.fill_background(kept)
    candidates = Candidates(view.d.shape)
    candidates.put(view.d, view.a, view.b)
    candidates.put(*local_planes(view.d))
    candidates.put(*local_planes(filled))
    put_segment_planes(candidates, view.segmentations, [planes for planes, _ in fitted_planes(view, kept)], filled)
    put_segment_planes(candidates, view.segmentations[1:], view.segment_planes, filled)
    return replace(view, **choose_planes(view, candidates, cross_view_state(view, other), energy)._asdict())


def put_segment_planes(candidates: Candidates, segmentations, planes, fallback: np.ndarray) -> None:
    """Add the planes of each segmentation to the candidates."""
    for segmentation, of_segments in zip(segmentations, planes, strict=True):
        candidates.put_segments(segmentation.labels, of_segments, fallback)


def sharpen(view: ViewState, other: ViewState, energy: Energy) -> ViewState:
    """Step: fit the fraction of each disparity to the pictures."""
    d = select.refine(view.picture, flip_view(other.picture), energy.lo, energy.hi, view.d, FINE_RADIUS, 1)
    return replace(view, d=np.where(np.isfinite(d), d, view.d))


# ------------------------------------------------------------------------------------------------- supported pixels


@dataclass(frozen=True)
class SupportThresholds:
    """When a picture determines a disparity: see `supported_pixels`. Chosen together on real skies and weak textures.

    Parameters
    ----------
    shift : float
        px, between the disparity and those that should cost more.
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
    large: int = 8 * 42**2
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
    """Step: mark where shifting the disparity by +-3 px raises the matching cost significantly.

    The mean cost change over a window about the pixel, or over a segment that contains it, must be significant:
    mean > 2.5 standard deviations / sqrt(pixels / 35). A segment as large as the window overrules the window: texture
    beside it, as a roof beside the sky, does not support its disparity.
    """
    moments = shift_moments(view, other, energy, thresholds.shift)
    by_window = window_significance(moments, thresholds) > thresholds.significance
    by_segment = np.zeros_like(by_window)
    for segmentation in view.segmentations:
        significant, conclusive = segment_significance(segmentation, moments, thresholds)
        by_segment |= significant[segmentation.labels]
        by_window &= (~conclusive | significant)[segmentation.labels]
    return replace(view, supported=by_segment | by_window)


def shift_moments(view: ViewState, other: ViewState, energy: Energy, shift: float) -> Moments:
    """Return the moments of cost(d +- shift) - cost(d), the mean of both sides, in bits."""
    d = np.stack([view.d, view.d + np.float32(shift), view.d - np.float32(shift)], -1)
    cost = np.empty_like(d)
    state = np.where(flip_copy(other.seen), np.uint8(slanted.SEEN), np.uint8(slanted.UNSEEN))
    unlimited, outside = np.float32(64), np.float32(np.nan)
    limits = slanted.CostLimits(
        np.float32(energy.lo - shift), np.float32(energy.hi + shift), unlimited, outside, unlimited
    )
    slanted.match_costs(view.census, view.other_census, CrossView(view.d, state), limits, d, 0, len(d), cost)
    change = (cost[..., 1] + cost[..., 2]) / 2 - cost[..., 0]
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
) -> tuple[np.ndarray, np.ndarray]:
    """Return, per segment, whether its cost change is significant, and whether it has enough pixels to decide.

    Only pixels whose census window lies inside the segment count. Errors of neighbours are correlated farther than
    `correlated`, and the disparity is the best of many, so a large segment must also be even.
    """
    import cv2

    labels, count, _ = segmentation
    number = labels.astype(np.float32)
    window = np.ones([2 * half + 1 for half in costs.CENSUS[WINDOW]], np.uint8)
    inner = cv2.erode(number, kernel=window) == cv2.dilate(number, kernel=window)
    inside = labels[inner]
    n, changed, total, square = (np.bincount(inside, weights=m[inner], minlength=count) for m in moments)
    score = significance(n, changed, total, square, thresholds.correlated)
    significant = score > thresholds.significance
    doubtful = np.flatnonzero(significant & (score < thresholds.clear) & (n >= thresholds.large))
    even = evenness(labels, inner, moments, doubtful, thresholds.tile)
    significant[doubtful] = even > thresholds.even
    return significant, (n >= thresholds.window**2) & (changed > n / 2)


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


# ----------------------------------------------------------------------------------------------------- larger levels


def choose_in_strips(view: ViewState, choose: Callable[[ViewState, int, Candidates], Planes], in_place: bool) -> Planes:
    """Return choose(rows of the view, first row, empty candidates) of strips of the picture, which bounds the memory.

    Each strip is solved with STRIP_OVERLAP rows more on either side, which are discarded. in_place: overwrite the
    view's planes; each strip still reads those from before.
    """
    height, width = view.d.shape
    margin = np.empty((height, width), np.float32)
    if in_place:
        out = Planes(view.d, view.a, view.b, margin)
    else:
        d, a, b = (np.empty((height, width), np.float32) for _ in range(3))
        out = Planes(d, a, b, margin)
    count = strip_rows(width)
    candidates = Candidates((min(height, count + 2 * STRIP_OVERLAP), width))
    above = [x[:0] for x in (view.d, view.a, view.b)]  # planes of the rows before the strip, before they changed
    for top in range(0, height, count):
        bottom = min(height, top + count)
        first, last = max(0, top - STRIP_OVERLAP), min(height, top + count + STRIP_OVERLAP)
        names = ("picture", "census", "other_census", "seen")
        rows = {name: np.ascontiguousarray(getattr(view, name)[first:last]) for name in names}
        planes = (view.d, view.a, view.b)
        if in_place:
            parts = [np.concatenate([kept, x[top:last]]) for kept, x in zip(above, planes, strict=True)]
            above = [x[max(0, bottom - STRIP_OVERLAP) - first : bottom - first].copy() for x in parts]
        else:
            parts = [np.ascontiguousarray(x[first:last]) for x in planes]
        part = replace(view, **rows, d=parts[0], a=parts[1], b=parts[2])
        for whole, value in zip(out, choose(part, first, candidates.clear(last - first)), strict=True):
            whole[top:bottom] = value[top - first : bottom - first]
    return out


def enlarge(view: ViewState, other: ViewState, small: ViewState, small_other: ViewState, energy: Energy) -> ViewState:
    """Step: choose among the planes of the coarser level around each pixel, their slope here, and the background."""
    height, width = view.d.shape
    background = local_planes(select.fill_background(consistent_disparity(small, small_other)))
    cross_view = cross_view_state(small, small_other)
    other_slope = -flip_copy(small_other.a), flip_copy(small_other.b)

    def choose(part: ViewState, first: int, candidates: Candidates) -> Planes:
        candidates.put_enlarged((small.d, small.a, small.b), slanted.NEIGHBOURS, first, height)
        candidates.put_enlarged(background, slanted.NEAREST, first, height)
        candidates.put(*local_planes(np.ascontiguousarray(candidates.d[..., 0])))
        theirs = Candidates(part.d.shape, 1)
        theirs.put_enlarged((cross_view.disparity, *other_slope), slanted.NEAREST, first, height)
        state = slanted.enlarge_labels(cross_view.state, first, height, part.d.shape)
        return choose_planes(part, candidates, CrossView(theirs.d[..., 0], state), energy)

    assert small.supported is not None
    supported = slanted.enlarge_labels(small.supported.astype(np.uint8), 0, height, (height, width)) > 0
    chosen = choose_in_strips(view, choose, in_place=False)
    return replace(view, supported=supported, **chosen._asdict())


def shift_planes(
    view: ViewState,
    other: ViewState,
    energy: Energy,
    offsets: tuple[float, ...],
    steps: tuple[tuple[int, int], ...],
) -> ViewState:
    """Step: choose among each pixel's plane moved by `offsets` (px), its local slope, and planes `steps` (px) away.

    The new planes overwrite the old ones, so the other view's state comes from `keep_cross_view`.
    """
    assert view.cross_view is not None
    disparity, state = view.cross_view

    def choose(part: ViewState, first: int, candidates: Candidates) -> Planes:
        for offset in offsets:
            candidates.put(part.d + np.float32(offset), part.a, part.b)
        candidates.put(*local_planes(part.d))
        for step in steps:
            candidates.put_neighbours(part.d, part.a, part.b, step)
        rows = slice(first, first + len(part.d))
        return choose_planes(part, candidates, CrossView(disparity[rows], state[rows]), energy)

    return replace(view, cross_view=None, **choose_in_strips(view, choose, in_place=True)._asdict())


def release_census(view: ViewState, other: ViewState, energy: Energy) -> ViewState:
    """Step: release the census, which no later step reads."""
    return replace(view, census=NO_CENSUS, other_census=NO_CENSUS)


def release_slopes(view: ViewState, other: ViewState, energy: Energy) -> ViewState:
    """Step: release the planes' slopes, which no larger level reads."""
    return replace(view, a=NOTHING, b=NOTHING)


# --------------------------------------------------------------------------------------------------------- the whole


def coarsest_steps(budget: Budget) -> list[Step]:
    """Return the steps at the coarsest level, after the semi-global start."""
    steps: list[Step] = [partial(segment_image, scales=segments.SCALES[0]), first_choice]
    for k in range(budget.rounds):
        if k:  # other segments: other planes to choose from
            steps += [partial(segment_image, scales=segments.SCALES[k % len(segments.SCALES)]), refine_planes]
        steps.append(next_choice)
    return [*steps, sharpen, supported_pixels]


def larger_steps(budget: Budget, last: bool) -> list[Step]:
    """Return the steps at a larger level, after `enlarge`; last: it is the full size."""
    steps: list[Step] = []
    for k in range(budget.shifts):
        offsets, around = SHIFTS[k % len(SHIFTS)]
        steps += [keep_cross_view, partial(shift_planes, offsets=offsets, steps=around)]
    return [*steps, release_census, *([release_slopes] if last else []), sharpen]


def match(
    left: np.ndarray,
    right: np.ndarray,
    seen: tuple[np.ndarray | None, np.ndarray | None],
    energy: Energy,
    start_jumps: np.ndarray,
    budget: Budget,
    threads: int,
) -> list[ViewState]:
    """Return both views with the plane of each pixel, chosen at every pyramid level in turn; the right one mirrored.

    Parameters
    ----------
    left, right : (H, W, 3) uint8
        RGB, rectified.
    seen : two (H, W) bool or None
        Pixels inside the photos.
    energy : Energy
        Of the full size.
    start_jumps : (256,) uint16
        Jump penalties of the semi-global start.
    budget : Budget
        Limits of work.
    threads : int
        At least 1.

    Returns
    -------
    [ViewState, ViewState]
        All disparities NaN where nothing could be matched.
    """
    views: list[ViewState] = []
    height, width = left.shape[:2]
    for shape in pyramid_shapes(height, width, energy.hi - energy.lo + 1, budget):
        at_level = energy.scaled(shape[1] / width)
        smaller, views = views, initial_views(left, right, seen, shape, threads, flip_view if views else flip_copy)
        if smaller:
            views = both_views(enlarge, views, at_level, threads, smaller)
            steps = larger_steps(budget, last=shape == (height, width))
        else:
            views = semi_global_start(views, at_level, start_jumps, threads)
            if not any(np.isfinite(view.d).any() for view in views):
                break
            steps = coarsest_steps(budget)
        for step in steps:
            views = both_views(step, views, at_level, threads)
    return views
