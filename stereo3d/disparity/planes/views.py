"""The state of both views while planes are chosen, and their consistency."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from ...images.noise import noise_level
from .. import costs, selection
from ..rows import flip_copy, parallel_rows
from . import segments
from .energy import CONSISTENT, SEEN, UNSEEN, CostLimits, CrossView

LEVEL = 256  # units of `costs.brightness` in a grey level
ROUNDING = 96  # such units: 1.5 deviations of what rounding the channels adds to a difference of two pixels
MAX_DIFFERENCE = 1  # px, of two consistent disparities and within a component
NAN = np.float32(np.nan)
NOTHING = np.empty((0, 0), np.float32)  # planes that are not known yet
NO_CENSUS = np.empty((0, 0), np.uint64)


class Segmentation(NamedTuple):
    """The picture in segments.

    Parameters
    ----------
    labels : (H, W) int32
        Segment of each pixel.
    number : int
        Of the segments.
    pixels : SegmentPixels
        Of each segment.
    neighbours : (number,) int64
        See `segments.closest_neighbours`.
    """

    labels: np.ndarray
    number: int
    pixels: segments.SegmentPixels
    neighbours: np.ndarray


class Planes(NamedTuple):
    """The plane chosen at each pixel, all (H,W) f32: d (px), a, b (px / px), margin (`energy.select_planes`)."""

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
    supported : (H, W) bool or None
        See `supported_pixels`.
    sky : (H, W) bool or None
        See `sky.find_sky`.
    cross_view : CrossView or None
        The other view before this one's planes are overwritten.
    start : two (H, W) float32 or None
        The semi-global disparity, px, NaN unknown, and its margin (`selection.winner_row`).
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
    supported: np.ndarray | None = None
    sky: np.ndarray | None = None
    cross_view: CrossView | None = None
    start: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class Energy:
    """Parameters of the energy that `energy.plane_paths` minimises.

    Parameters
    ----------
    lo, hi : int
        px, range of disparities.
    slope : float
        Bits per px of difference between neighbouring planes.
    jumps : (256,) float32
        Bits, largest penalty of two neighbours by their intensity step.
    limit, hidden, against : float
        Bits, as in `energy.match_costs`.
    infinity : float or None
        px, disparity of what is infinitely far away; None: unknown.
    """

    lo: int
    hi: int
    slope: float
    jumps: np.ndarray
    limit: float
    hidden: float
    against: float
    infinity: float | None = None

    def scaled(self, share: float) -> "Energy":
        """Return the same energy for pictures of `share` times the width."""
        infinity = None if self.infinity is None else self.infinity * share
        return replace(self, lo=math.floor(self.lo * share), hi=math.ceil(self.hi * share), infinity=infinity)

    @property
    def limits(self) -> CostLimits:
        """Range and costs, as the kernels need them."""
        numbers = (self.lo, self.hi, self.limit, self.hidden, self.against)
        return CostLimits(*(np.float32(x) for x in numbers))


Step = Callable[[ViewState, ViewState, Energy], ViewState]


def both_views(step: Callable[..., ViewState], views: list[ViewState], energy: Energy, threads: int, *more: list):
    """Return [step(first, second), step(second, first)]: neither sees what the other becomes.

    more: further pairs, of which `step` gets both entries, its own view's first.
    """
    arguments = [[x for pair in (views, *more) for x in pair[::order]] for order in (1, -1)]
    with ThreadPoolExecutor(min(threads, 2)) as pool:
        return list(pool.map(lambda given: step(*given, energy), arguments))


def compute_census(pictures: tuple[np.ndarray, np.ndarray], threads: int, shape: tuple[int, int]) -> list[np.ndarray]:
    """Return the census (H,W) u64 of both pictures (H,W,3) u8, reduced to `shape` (H,W) first.

    Both have the same tolerance, from the noise of the noisier one.
    """
    import cv2

    images = [costs.brightness(picture) for picture in pictures]
    if shape != images[0].shape:
        images = [cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA) for image in images]
    noise = max(noise_level(image * np.float32(1 / LEVEL)) for image in images)
    tolerance = max(ROUNDING, round(LEVEL * noise))
    found = []
    for image in images:
        codes = np.empty(shape, np.uint64)
        parallel_rows(len(image), threads, costs.graded_census, image, tolerance, after=(codes,))
        found.append(codes)
    return found


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
    census = compute_census((left, right), threads, shape)
    inside = [np.ones(shape, bool) if s is None else reduced(s.astype(np.float32)) > 0.5 for s in seen]
    empty = np.empty(shape, np.float32)
    return [
        ViewState(pictures[0], census[0], census[1], inside[0], empty),
        ViewState(flip(pictures[1]), flip(census[1]), flip(census[0]), flip(inside[1]), empty),
    ]


def consistent(view: ViewState, other: ViewState) -> np.ndarray:
    """Return the left-right test, (H,W) bool: the other view's disparity at the match agrees to 1 px."""
    return (selection.left_right_difference(view.d, flip_copy(other.d)) <= MAX_DIFFERENCE) & view.seen


def consistent_disparity(view: ViewState, other: ViewState) -> np.ndarray:
    """Return the disparities (H,W) f32 that pass the left-right test, all others NaN."""
    return np.where(consistent(view, other), view.d, NAN)


def cross_view_state(view: ViewState, other: ViewState) -> CrossView:
    """Return the other view's disparities, mirrored into this view's column order, and the state of each pixel."""
    state = np.where(other.seen, np.uint8(SEEN), np.uint8(UNSEEN))
    state[consistent(other, view)] = CONSISTENT
    return CrossView(flip_copy(other.d), flip_copy(state))
