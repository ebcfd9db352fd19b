"""Matching by planes: from semi-global disparities to the plane of each pixel of both pictures.

A pixel's candidates are the planes of what is known around it: its own disparity with the slope of its neighbourhood,
and the planes of the segments of uniform colour that contain it or continue beyond them.
`energy.plane_paths` lets all pixels choose jointly; the choice of one view determines which pixels the other can see,
and both choose again. Large pictures start reduced: the planes of one pyramid level are the candidates at the next. So
time and memory grow with the pixels, not with pixels x disparities.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from .. import aggregation, costs, refinement, selection
from ..rows import flip_copy, flip_view, parallel_rows
from . import segments
from .candidates import (
    Candidates,
    choose_planes,
    fitted_planes,
    local_planes,
    put_segment_planes,
    refined_planes,
    segment_image,
)
from .energy import SEEN, CrossView, PlaneMaps
from .levels import NEAREST, agreeing_planes, enlarge_labels, put_enlarged
from .pyramid import STRIP_OVERLAP, Budget, pyramid_shapes, strip_rows
from .sky import enlarge_sky
from .support import supported_pixels
from .views import (
    MAX_DIFFERENCE,
    NO_CENSUS,
    NOTHING,
    Energy,
    Planes,
    Step,
    ViewState,
    both_views,
    consistent_disparity,
    cross_view_state,
    initial_views,
)

START_PENALTY = 25  # bits, P1 of the semi-global start
FINE_RADIUS = 3  # px, of the window in which the fraction of a disparity is fitted to the pictures
MAX_MOVE = np.float32(0.25)  # px, of that fit: a longer step leads away from the truth as often as towards it
SPECKLE = 100  # pixels: smaller components of the semi-global start are dropped
SETTLED = 0.5  # px of a larger level, between planes among which a pixel has no choice before they are shifted
# Candidates at the larger levels, round by round: px of disparity (half a pixel is a quarter at the coarser level), and
# steps in px to other pixels (half a matching window and a little more).
SHIFTS = (
    ((0.0, 0.5, -0.5), ((3, 0), (-3, 0), (0, 3), (0, -3))),
    ((0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0), ()),
)


def semi_global_start(views: list[ViewState], energy: Energy, jumps: np.ndarray, threads: int) -> list[ViewState]:
    """Return the views with semi-global disparities, both from one cost volume; NaN where ambiguous or outside."""
    view, other = views
    height, width = view.d.shape
    cost = np.empty((height, width, energy.hi - energy.lo + 1), np.uint8)
    parallel_rows(height, threads, costs.hamming_volume, view.census, view.other_census, energy.lo, after=(cost,))
    total = aggregation.semi_global(cost, view.picture, START_PENALTY, jumps, threads)
    del cost
    d, margin, d_right = (np.empty((height, width), np.float32) for _ in range(3))
    largest = np.uint16(65535)
    parallel_rows(height, threads, selection.winners, total, largest, energy.lo, True, after=(d, margin, d_right))
    at = np.clip(np.rint(np.arange(width) + np.nan_to_num(d_right)), 0, width - 1).astype(np.intp)
    of_match = np.where(np.isfinite(d_right), np.take_along_axis(margin, at, axis=1), np.float32(0))
    d_right, of_match = flip_copy(d_right), flip_copy(of_match)
    return [replace(view, d=d, start=(d, margin)), replace(other, d=d_right, start=(d_right, of_match))]


def keep_cross_view(view: ViewState, other: ViewState, energy: Energy) -> ViewState:
    """Step: store `cross_view_state` for a choice that overwrites the planes; release the last margin."""
    return replace(view, cross_view=cross_view_state(view, other), margin=None)


def first_choice(view: ViewState, other: ViewState, energy: Energy) -> ViewState:
    """Step: choose among the semi-global disparities, filled and as they are, and the segments' planes."""
    kept = consistent_disparity(view, other)
    kept[selection.small_components(kept, float(MAX_DIFFERENCE), SPECKLE)] = np.nan
    filled = selection.fill_background(kept)
    fitted = fitted_planes(view, kept)
    refined = refined_planes(view, kept, fitted, energy)
    candidates = Candidates(view.d.shape)
    candidates.put(*local_planes(filled))
    candidates.put(*local_planes(np.where(np.isfinite(view.d), view.d, filled)))
    put_segment_planes(candidates, view.segmentations, [planes for planes, _ in fitted], filled)
    put_segment_planes(candidates, view.segmentations[1:], refined, filled)
    d, state = cross_view_state(view, other)
    # no pixel hides another yet: the start is not good enough for that
    chosen = choose_planes(view, candidates, CrossView(d, np.minimum(state, np.uint8(SEEN))), energy)
    return replace(view, **chosen._asdict())


def next_choice(view: ViewState, other: ViewState, energy: Energy) -> ViewState:
    """Step: choose among the last choice, its neighbourhood's slope, and planes of the segment and of its neighbour."""
    kept = consistent_disparity(view, other)
    filled = selection.fill_background(kept)
    candidates = Candidates(view.d.shape)
    candidates.put(view.d, view.a, view.b)
    candidates.put(*local_planes(view.d))
    fitted = [planes for planes, _ in fitted_planes(view, kept)]
    beside = [planes[s.neighbours] for s, planes in zip(view.segmentations, fitted, strict=True)]
    put_segment_planes(candidates, view.segmentations, fitted, filled)
    put_segment_planes(candidates, view.segmentations, beside, filled)
    return replace(view, **choose_planes(view, candidates, cross_view_state(view, other), energy)._asdict())


def sharpen(view: ViewState, other: ViewState, energy: Energy) -> ViewState:
    """Step: fit the fraction of each disparity to the pictures."""
    d = refinement.refine(view.picture, flip_view(other.picture), energy.lo, energy.hi, view.d, FINE_RADIUS, 1)
    moved = view.d + np.clip(d - view.d, -MAX_MOVE, MAX_MOVE)
    return replace(view, d=np.where(np.isfinite(d), moved, view.d))


def choose_in_strips(
    view: ViewState,
    choose: Callable[[ViewState, int, Candidates, Planes, int], None],
    in_place: bool,
    margin: bool = True,
) -> Planes:
    """Return the choice of each pixel, strip by strip, which bounds the memory.

    choose(rows of the view, first row, empty candidates, out, skip) writes the choice from the row of number `skip` of
    its rows on to `out`: each strip is solved with STRIP_OVERLAP rows more on either side, which are discarded.
    in_place: overwrite the view's planes; each strip still reads those from before. margin: without it, the margin that
    is returned holds nothing.
    """
    height, width = view.d.shape
    count = strip_rows(height, width)
    margins = np.empty((height if margin else count, width), np.float32)
    if in_place:
        out = Planes(view.d, view.a, view.b, margins)
    else:
        d, a, b = (np.empty((height, width), np.float32) for _ in range(3))
        out = Planes(d, a, b, margins)
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
        of_strip = slice(top, bottom)
        own = Planes(
            out.d[of_strip], out.a[of_strip], out.b[of_strip], margins[of_strip] if margin else margins[: bottom - top]
        )
        choose(part, first, candidates.clear(last - first), own, top - first)
    return out


def enlarge(
    view: ViewState, other: ViewState, small: ViewState, small_other: ViewState, energy: Energy, margin: bool
) -> ViewState:
    """Step: choose among the planes of the coarser level around each pixel, and of the background.

    margin: whether no other choice follows, so that the margin of this one counts. Then each pixel chooses, also the
    slope of its surroundings here, along all paths. Another one corrects what this one misses without.
    """
    height, width = view.d.shape
    planes = PlaneMaps(small.d, small.a, small.b)
    background = PlaneMaps(*local_planes(selection.fill_background(consistent_disparity(small, small_other))))
    cross_view = cross_view_state(small, small_other)
    other_planes = PlaneMaps(cross_view.disparity, -flip_copy(small_other.a), flip_copy(small_other.b))
    none = np.zeros(small.d.shape, bool)
    agree = none if margin else agreeing_planes(planes, background, np.float32(SETTLED * small.d.shape[1] / width))

    labels = cross_view.state, agree.astype(np.uint8)

    def choose(part: ViewState, first: int, candidates: Candidates, out: Planes, skip: int) -> None:
        candidates.put_enlarged(planes, background, agree, first, height)
        if margin:
            candidates.put(*local_planes(np.ascontiguousarray(candidates.d[..., 0])))
        theirs = Candidates(part.d.shape, 1).planes
        put_enlarged(other_planes, NEAREST, none, first, height, 0, theirs)
        state, settled = (enlarge_labels(x, first, height, part.d.shape) for x in labels)
        seen = CrossView(theirs.d[..., 0], state)
        choose_planes(part, candidates, seen, energy, out, skip, diagonals=margin, settled=settled > 0)

    assert small.supported is not None and small.sky is not None
    supported = enlarge_labels(small.supported.astype(np.uint8), 0, height, (height, width)) > 0
    sky = enlarge_sky(view.picture, view.seen, small.sky)
    chosen = choose_in_strips(view, choose, False, margin)._asdict() | ({} if margin else {"margin": None})
    return replace(view, supported=supported, sky=sky, start=small.start, **chosen)


def scaled_start(view: ViewState) -> ViewState:
    """Return the view with the disparities of its semi-global start, of the coarsest level, in px of its own size."""
    if view.start is None:
        return view
    d, margin = view.start
    return replace(view, start=(d * np.float32(view.d.shape[1] / d.shape[1]), margin))


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

    def choose(part: ViewState, first: int, candidates: Candidates, out: Planes, skip: int) -> None:
        for offset in offsets:
            candidates.put(part.d + np.float32(offset), part.a, part.b)
        candidates.put(*local_planes(part.d))
        for step in steps:
            candidates.put_neighbours(part.d, part.a, part.b, step)
        rows = slice(first, first + len(part.d))
        choose_planes(part, candidates, CrossView(disparity[rows], state[rows]), energy, out, skip)

    return replace(view, cross_view=None, **choose_in_strips(view, choose, in_place=True)._asdict())


def release_census(view: ViewState, other: ViewState, energy: Energy) -> ViewState:
    """Step: release the census, which no later step reads."""
    return replace(view, census=NO_CENSUS, other_census=NO_CENSUS)


def release_start(view: ViewState, other: ViewState, energy: Energy) -> ViewState:
    """Step: release what only the coarsest level reads."""
    return replace(view, census=NO_CENSUS, other_census=NO_CENSUS, segmentations=())


def release_slopes(view: ViewState, other: ViewState, energy: Energy) -> ViewState:
    """Step: release the planes' slopes, which no larger level reads."""
    return replace(view, a=NOTHING, b=NOTHING)


def coarsest_steps(budget: Budget) -> list[Step]:
    """Return the steps at the coarsest level, after the semi-global start."""
    steps: list[Step] = [partial(segment_image, scales=segments.SCALES[0]), first_choice]
    for k in range(budget.rounds):
        if k > 1:  # other segments: other planes to choose from
            steps.append(partial(segment_image, scales=segments.SCALES[(k - 1) % len(segments.SCALES)]))
        steps.append(next_choice)
    return [*steps, sharpen, supported_pixels, release_start]


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
            views = both_views(partial(enlarge, margin=not budget.shifts), views, at_level, threads, smaller)
            smaller = []
            steps = larger_steps(budget, last=shape == (height, width))
        else:
            views = semi_global_start(views, at_level, start_jumps, threads)
            if not any(np.isfinite(view.d).any() for view in views):
                break
            steps = coarsest_steps(budget)
        for step in steps:
            views = both_views(step, views, at_level, threads)
    return [scaled_start(view) for view in views]
