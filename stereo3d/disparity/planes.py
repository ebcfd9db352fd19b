"""Matching by planes: from semi-global disparities to the plane that each pixel of both pictures lies on.

A pixel's candidates are the planes of what is known around it: its own disparity with the slant of its neighbourhood,
the planes of the pieces of even colour it belongs to, what lies behind its surroundings. `slanted.plane_paths` lets all
pixels choose together; what one view has chosen tells the other what it can see, and both choose again.
Large pictures begin small: the planes of a reduced pair are the candidates at the next size. So time and memory grow
with the pixels, not with the pixels times the range.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from . import aggregate, costs, segments, select, slanted
from .bands import backwards, in_bands, mirrored
from .sizes import OVERLAP, Effort, sizes, strip_rows

WINDOW = "5x7"  # of the census: smaller windows fatten edges less, and the planes carry what they miss
START_PENALTY = 14  # p1 of the semi-global start
ASIDE = 3.0  # px: where another disparity would have to look worse than the chosen one, if the pictures tell it
INDEPENDENT = 35  # pixels of a census window: neighbours within it err alike
SIGNIFICANT = 2.5  # standard deviations of that difference
AROUND = 21  # px, side of the window in which it is looked for, beside the pieces
# A piece of LARGE pixels that is not CLEAR (standard deviations) must be EVEN: so many of the deviations that its tiles
# of TILE px show themselves. A weak texture is as weak all over; what cameras make of a sky is not.
TILE = 2 * AROUND
LARGE, CLEAR, EVEN = 8 * TILE**2, 4.0, 7.0
FIT_RADIUS, FIT_STEP = 4, 2  # px, of the window whose disparities give a pixel its slant, every second of them
FINE_RADIUS = 3  # px, of the window in which the last fraction of a disparity is fitted to the pictures
SPECKLE = 100  # pixels: smaller islands of disparity are not believed at the start
# What is tried at the larger sizes, in turn: px of disparity (half a pixel is a quarter of the smaller size's), and
# steps to other pixels (half a matching window and a little more).
SHIFTS = (
    ((0.0, 0.5, -0.5), ((3, 0), (-3, 0), (0, 3), (0, -3))),
    ((0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0), ()),
)


@dataclass(eq=False)
class View:
    """One picture of the pair, seen as the left one (the right one is mirrored), and what is known of it so far.

    picture (H,W,3) u8; words, facing (H,W) u64: census of it and of the other picture; seen (H,W) bool;
    d, a, b (H,W) f32: plane of each pixel; margin (H,W) f32: see `slanted.choose`.
    pieces: (pieces, count, start, x, y) by scale, and agreed: their planes by the pictures.  told: (H,W) bool, see
    `evidence`.  belief: of the other view, see there.
    """

    picture: np.ndarray
    words: np.ndarray
    facing: np.ndarray
    seen: np.ndarray
    d: np.ndarray
    a: np.ndarray | None = None
    b: np.ndarray | None = None
    margin: np.ndarray | None = None
    pieces: tuple = ()
    agreed: tuple = ()
    told: np.ndarray | None = None
    belief: tuple | None = None


@dataclass(frozen=True, eq=False)
class Energy:
    """lo, hi: whole disparities, px.  slope, jumps: as in `slanted.plane_paths`.  limit, hidden, against: as in
    `slanted.match_costs`."""

    lo: int
    hi: int
    slope: float
    jumps: np.ndarray
    limit: float
    hidden: float
    against: float


def update(views: list[View], function: Callable, threads: int, *of_view) -> None:
    """Each view takes over what function(view, other) finds for it, neither seeing yet what the other has become.

    of_view: further pairs; function(view, other, own, others) is then given both entries of each.
    """
    given = [[x for pair in (views, *of_view) for x in pair[::turn]] for turn in (1, -1)]
    with ThreadPoolExecutor(min(threads, 2)) as pool:
        found = list(pool.map(lambda arguments: function(*arguments), given))
    for view, values in zip(views, found, strict=True):
        for name, value in values.items():
            setattr(view, name, value)


def census_words(picture: np.ndarray, threads: int, shape=None) -> np.ndarray:
    """(H,W) u64 of a picture (H,W,3) u8, reduced to `shape` (H,W) first."""
    import cv2

    image = costs.brightness(picture)
    if shape is not None and shape != image.shape:
        image = cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)
    words = np.empty(image.shape, np.uint64)
    in_bands(len(image), threads, costs.census, image, *costs.CENSUS[WINDOW], after=(words,))
    return words


def views_of(left, right, seen, shape, threads: int, turned: Callable) -> list[View]:
    """Both views at size `shape` (H,W), their disparities still unknown.

    turned: what makes of an array that of the mirrored view: `mirrored`, or, where memory counts, no copy at all.
    """
    import cv2

    def reduced(array):
        if array.shape[:2] == shape:
            return array
        return cv2.resize(array, shape[::-1], interpolation=cv2.INTER_AREA)

    pictures = [reduced(p) for p in (left, right)]
    words = [census_words(p, threads, shape) for p in (left, right)]
    seen = [np.ones(shape, bool) if s is None else reduced(s.astype(np.float32)) > 0.5 for s in seen]
    empty = np.empty(shape, np.float32)
    return [
        View(pictures[0], words[0], words[1], seen[0], empty),
        View(*(turned(a) for a in (pictures[1], words[1], words[0], seen[1])), empty),
    ]


def begin(views: list[View], energy: Energy, jumps: np.ndarray, threads: int) -> None:
    """Semi-global disparities of both views from one volume of costs, NaN where they are ambiguous or lead outside."""
    view = views[0]
    height, width = view.d.shape
    cost = np.empty((height, width, energy.hi - energy.lo + 1), np.uint8)
    in_bands(height, threads, costs.hamming_volume, view.words, view.facing, energy.lo, after=(cost,))
    total = aggregate.semi_global(cost, view.picture, START_PENALTY, jumps, threads)
    del cost
    d, margin, facing = (np.empty((height, width), np.float32) for _ in range(3))
    in_bands(height, threads, select.winners, total, np.uint16(65535), energy.lo, True, after=(d, margin, facing))
    views[0].d, views[1].d = d, mirrored(facing)


def consistent(view: View, other: View) -> np.ndarray:
    """(H,W) bool: the other view agrees to 1 px."""
    return (select.left_right_difference(view.d, mirrored(other.d)) <= 1) & view.seen


def belief(view: View, other: View) -> tuple[np.ndarray, np.ndarray]:
    """The other view's disparities on its own pixels in this view's order, and what they are worth."""
    state = np.where(other.seen, np.uint8(slanted.SEEN), np.uint8(slanted.UNSEEN))
    state[consistent(other, view)] = slanted.BELIEVED
    return mirrored(other.d), mirrored(state)


def believe(view: View, other: View, energy: Energy) -> dict:
    """`belief`, kept for a choice that writes over the planes; the margin of the last one is done with."""
    return {"belief": belief(view, other), "margin": None}


def find_pieces(view: View, other: View, energy: Energy, scales: tuple) -> dict:
    """The picture in pieces of even colour, at three scales."""
    import cv2

    picture = cv2.GaussianBlur(view.picture.astype(np.float32), ksize=(0, 0), sigmaX=0.8)
    edges = segments.edges(picture)
    found = []
    for scale in scales:
        pieces, count = segments.merge(*edges, scale, segments.LEAST_PIECE, view.d.shape)
        found.append((pieces, count, *segments.members(pieces, count)))
    return {"pieces": tuple(found)}


def fitted_planes(view: View, known: np.ndarray) -> list:
    """For each scale the pieces' planes (count,3) through the known disparities, and the share (count,) that fits."""
    found = []
    for _, count, start, x, y in view.pieces:
        planes, support = np.empty((count, 3)), np.empty(count)
        segments.fit_pieces(start, x, y, known, 0, count, planes, support)
        found.append((planes, support))
    return found


def agreed_planes(view: View, known: np.ndarray, fitted: list, energy: Energy) -> list:
    """For each scale but the finest the pieces' planes (count,3) under which the pictures agree best."""
    found = []
    for (_, count, start, x, y), fit in list(zip(view.pieces, fitted, strict=True))[1:]:
        found.append(np.empty((count, 3)))
        segments.agree_pieces(
            start,
            x,
            y,
            known,
            *fit,
            view.words,
            view.facing,
            energy.lo,
            energy.hi,
            energy.limit,
            energy.hidden,
            0,
            count,
            found[-1],
        )
    return found


def agree(view: View, other: View, energy: Energy) -> dict:
    """The pieces' planes by the pictures, where others than those of the first choice are wanted."""
    kept = np.where(consistent(view, other), view.d, np.float32(np.nan))
    return {"agreed": agreed_planes(view, kept, fitted_planes(view, kept), energy)}


def local_planes(d: np.ndarray) -> np.ndarray:
    """(3,H,W) f32: the plane of each pixel's neighbourhood."""
    plane = np.empty((3, *d.shape), np.float32)
    select.fit_planes(d, FIT_RADIUS, FIT_STEP, 0, len(d), *plane)
    return plane


class Choices:
    """The planes d, a, b (rows,W,n) f32 that each pixel chooses from, put in one after another; and room to choose."""

    def __init__(self, shape, count: int = slanted.CANDIDATES):
        self._room = np.empty((5, *shape, count), np.float32)
        self.begin(shape[0])

    def begin(self, rows: int) -> "Choices":
        """Empty, for so many rows, in the same memory."""
        self.d, self.a, self.b, self.cost, self.total = self._room[:, :rows]
        self.filled = 0
        return self

    def put(self, d, a, b) -> None:
        self.d[..., self.filled], self.a[..., self.filled], self.b[..., self.filled] = d, a, b
        self.filled += 1

    def put_pieces(self, pieces, planes, instead) -> None:
        slanted.put_pieces(pieces, planes, instead, self.filled, self.d, self.a, self.b)
        self.filled += 1

    def put_enlarged(self, small, steps, first: int, height: int) -> None:
        slanted.put_enlarged(*small, steps, first, height, self.filled, self.d, self.a, self.b)
        self.filled += len(steps)

    def put_beside(self, d, a, b, step: tuple[int, int]) -> None:
        slanted.put_beside(d, a, b, *step, self.filled, self.d, self.a, self.b)
        self.filled += 1

    def complete(self) -> None:
        """Free places are taken by the first plane once more."""
        for x in (self.d, self.a, self.b):
            x[..., self.filled :] = x[..., :1]


def choose(view: View, choices: Choices, belief, energy: Energy) -> dict:
    """Of its choices the plane at each pixel that makes the energy least (`slanted`); belief: what `belief` returns."""
    choices.complete()
    d, a, b, cost, total = choices.d, choices.a, choices.b, choices.cost, choices.total
    height, width = d.shape[:2]
    numbers = (np.float32(x) for x in (energy.lo, energy.hi, energy.limit, energy.hidden, energy.against))
    slanted.match_costs(view.words, view.facing, *belief, d, *numbers, 0, height, cost)
    total[:] = 0
    flat = [x.reshape(-1) for x in (cost, d, a, b)]
    for step in (1, -1):
        slanted.plane_paths(*flat, view.picture, np.float32(energy.slope), energy.jumps, step, total.reshape(-1))
    out = np.empty((4, height, width), np.float32)
    slanted.choose(total, d, a, b, *out)
    return dict(zip(("d", "a", "b", "margin"), out, strict=True))


def first_choice(view: View, other: View, energy: Energy) -> dict:
    """From the semi-global start: its disparities, filled and as they are, and the pieces' planes."""
    kept = np.where(consistent(view, other), view.d, np.float32(np.nan))
    kept[select.small_components(kept, 1.0, SPECKLE)] = np.nan
    filled = select.fill_background(kept)
    fitted = fitted_planes(view, kept)
    agreed = agreed_planes(view, kept, fitted, energy)
    choices = Choices(view.d.shape)
    choices.put(*local_planes(filled))
    choices.put(*local_planes(np.where(np.isfinite(view.d), view.d, filled)))
    for (pieces, *_), (planes, _) in zip(view.pieces, fitted, strict=True):
        choices.put_pieces(pieces, planes, filled)
    for (pieces, *_), planes in zip(view.pieces[1:], agreed, strict=True):
        choices.put_pieces(pieces, planes, filled)
    d, state = belief(view, other)
    return choose(view, choices, (d, np.minimum(state, np.uint8(slanted.SEEN))), energy) | {"agreed": agreed}


def next_choice(view: View, other: View, energy: Energy) -> dict:
    """From a choice of both views: it again, its neighbourhood's slant, what lies behind, the pieces' planes."""
    kept = np.where(consistent(view, other), view.d, np.float32(np.nan))
    filled = select.fill_background(kept)
    choices = Choices(view.d.shape)
    choices.put(view.d, view.a, view.b)
    choices.put(*local_planes(view.d))
    choices.put(*local_planes(filled))
    for (pieces, *_), (planes, _) in zip(view.pieces, fitted_planes(view, kept), strict=True):
        choices.put_pieces(pieces, planes, filled)
    for (pieces, *_), planes in zip(view.pieces[1:], view.agreed, strict=True):
        choices.put_pieces(pieces, planes, filled)
    return choose(view, choices, belief(view, other), energy)


def sharpened(view: View, other: View, energy: Energy) -> dict:
    """The disparities with their last fraction fitted to the pictures."""
    d = select.refined(view.picture, backwards(other.picture), energy.lo, energy.hi, view.d, FINE_RADIUS, 1)
    return {"d": np.where(np.isfinite(d), d, view.d)}


def evidence(view: View, other: View, energy: Energy) -> dict:
    """told (H,W) bool: where the pictures tell the disparity, be it by a whole piece of even colour.

    How much worse a pixel matches ASIDE beside its disparity (bits, mean of both sides) is on average 0 where nothing
    tells one disparity from another, as in a sky; told is a pixel where the mean over one of its pieces, or over a
    window about it, is SIGNIFICANT: mean > SIGNIFICANT deviation / sqrt(pixels / INDEPENDENT), and most pixels say
    anything at all: in what is overexposed a speck does not speak for the rest. Of a piece those pixels count whose
    census sees nothing else; where they say something and are as many as those of the window, what lies beside the
    piece, as a roof beside the sky, tells nothing of it. Neighbours err alike farther than INDEPENDENT has it, and the
    disparity is the best one of many: so a LARGE piece must be EVEN.
    """
    import cv2

    d = np.stack([view.d, view.d + np.float32(ASIDE), view.d - np.float32(ASIDE)], -1)
    cost = np.empty_like(d)
    state = np.where(mirrored(other.seen), np.uint8(slanted.SEEN), np.uint8(slanted.UNSEEN))
    none, bits = np.float32(np.nan), np.float32(64)
    bounds = np.float32(energy.lo - ASIDE), np.float32(energy.hi + ASIDE)
    slanted.match_costs(view.words, view.facing, view.d, state, d, *bounds, bits, none, bits, 0, len(d), cost)
    worse = (cost[..., 1] + cost[..., 2]) / 2 - cost[..., 0]
    known = np.isfinite(worse) & view.seen
    worse = np.where(known, worse, np.float32(0))
    sums = known.astype(np.float32), (worse != 0).astype(np.float32), worse, worse**2

    def significance(n, says, one, two):
        n = np.maximum(n, 1)
        mean = one / n
        return np.where(says > n / 2, mean * np.sqrt(n / INDEPENDENT / np.maximum(two / n - mean**2, 1e-6)), 0)

    around = significance(*(cv2.blur(m, ksize=(AROUND, AROUND)) * AROUND**2 for m in sums)) > SIGNIFICANT
    told = np.zeros_like(around)
    window = np.ones([2 * half + 1 for half in costs.CENSUS[WINDOW]], np.uint8)
    for pieces, count, *_ in view.pieces:
        number = pieces.astype(np.float32)
        inner = (cv2.erode(number, kernel=window) == cv2.dilate(number, kernel=window)).ravel()
        inside = pieces.ravel()[inner]
        n, says, one, two = (np.bincount(inside, weights=m.ravel()[inner], minlength=count) for m in sums)
        found = significance(n, says, one, two)
        clear = found > SIGNIFICANT
        doubtful = np.flatnonzero(clear & (found < CLEAR) & (n >= LARGE))
        clear[doubtful] = evenness(pieces, inner.reshape(pieces.shape), sums[0], worse, doubtful) > EVEN
        speaks = (n >= AROUND**2) & (says > n / 2)
        told |= clear[pieces]
        around &= (~speaks | clear)[pieces]
    return {"told": told | around}


def evenness(pieces, inner, known, worse, which) -> np.ndarray:
    """(N,): of those pieces the sum of `worse` over the inner pixels in deviations, as the sums over tiles tell these.

    sum / sqrt(sum over tiles (sum of the tile - mean * pixels of the tile)^2), whatever errors within a tile share.
    pieces (H,W) i32; inner (H,W) bool; known, 0 or 1, and worse (H,W) f32, bits; which (N,): numbers of pieces.
    Source: Liang and Zeger, Longitudinal data analysis using generalized linear models, 1986 (clustered errors).
    """
    height, width = pieces.shape
    columns = -(-width // TILE)
    tile = np.arange(height)[:, None] // TILE * columns + np.arange(width) // TILE
    out = np.empty(len(which))
    for k, piece in enumerate(which):
        here = inner & (pieces == piece)
        n, one = (np.bincount(tile[here], weights=m[here]) for m in (known, worse))
        out[k] = one.sum() / np.sqrt(max(((one - one.sum() / n.sum() * n) ** 2).sum(), 1e-9))
    return out


# ------------------------------------------------------------------------------------------------- larger sizes


def in_strips(view: View, function: Callable, into: dict | None = None) -> dict:
    """function(view of some rows, first row, empty choices) for strips of the picture, put together: so memory stays
    small.

    Each strip is solved with OVERLAP rows more on either side, which do not count.  into: arrays of the view that the
    results are written over; each strip still sees what was there before.
    """
    height, width = view.d.shape
    whole = dict(into or {})
    above: dict = {}  # of the arrays that are written over, the rows before this strip as they were
    count = strip_rows(width)
    choices = Choices((min(height, count + 2 * OVERLAP), width))
    for top in range(0, height, count):
        first, last = max(0, top - OVERLAP), min(height, top + count + OVERLAP)
        rows = {n: getattr(view, n) for n in ("picture", "words", "facing", "seen", "d", "a", "b")}
        rows = {n: x if x is None else np.ascontiguousarray(x[first:last]) for n, x in rows.items()}
        bottom = min(height, top + count)
        for name in into or ():
            rows[name] = np.concatenate([above.get(name, view.d[:0]), getattr(view, name)[top:last]])
            above[name] = rows[name][max(0, bottom - OVERLAP) - first : bottom - first].copy()
        for name, value in function(replace(view, **rows), first, choices.begin(last - first)).items():
            if name not in whole:
                whole[name] = np.empty((height, *value.shape[1:]), value.dtype)
            whole[name][top:bottom] = value[top - first : bottom - first]
    return whole


def enlarge(view: View, other: View, small: View, small_other: View, energy: Energy) -> dict:
    """A choice at a larger size among the planes of the smaller one: around each pixel, beside it and behind it."""
    height, width = view.d.shape
    kept = np.where(consistent(small, small_other), small.d, np.float32(np.nan))
    behind = local_planes(select.fill_background(kept))
    facing, state = belief(small, small_other)
    slant = -mirrored(small_other.a), mirrored(small_other.b)

    def strip(part: View, first: int, choices: Choices) -> dict:
        choices.put_enlarged((small.d, small.a, small.b), slanted.NEIGHBOURS, first, height)
        choices.put_enlarged(behind, slanted.NEAREST, first, height)
        choices.put(*local_planes(np.ascontiguousarray(choices.d[..., 0])))
        theirs = Choices(part.d.shape, 1)
        theirs.put_enlarged((facing, *slant), slanted.NEAREST, first, height)
        worth = slanted.enlarged_state(state, first, height, part.d.shape)
        return choose(part, choices, (theirs.d[..., 0], worth), energy)

    told = slanted.enlarged_state(small.told.astype(np.uint8), 0, height, (height, width)) > 0
    return in_strips(view, strip) | {"told": told}


def shift(view: View, other: View, energy: Energy, offsets: tuple, steps: tuple) -> dict:
    """Each pixel's plane again, moved by a little, the slant of its neighbourhood, and the planes of pixels near it.

    offsets: px of disparity.  steps: (across, down) px to the pixels whose planes are tried.  The other view's belief
    is that of before (`view.belief`); the new planes take the place of the old ones.
    """
    facing, state = view.belief

    def strip(part: View, first: int, choices: Choices) -> dict:
        for offset in offsets:
            choices.put(part.d + np.float32(offset), part.a, part.b)
        choices.put(*local_planes(part.d))
        for step in steps:
            choices.put_beside(part.d, part.a, part.b, step)
        rows = slice(first, first + len(part.d))
        return choose(part, choices, (facing[rows], state[rows]), energy)

    return in_strips(view, strip, into={"d": view.d, "a": view.a, "b": view.b}) | {"belief": None}


def match(left, right, seen, energy: Energy, start: np.ndarray, effort: Effort, threads: int) -> list[View]:
    """Both views with the plane of each pixel, chosen at every size in turn; the right one is mirrored.

    left, right (H,W,3) u8; seen: (H,W) bool of each, or None.  energy: of the full size.  start: jump penalties of the
    semi-global start.
    """
    views: list[View] = []
    for shape in sizes(*left.shape[:2], energy.hi - energy.lo + 1, effort):
        share = shape[1] / left.shape[1]
        at_size = replace(energy, lo=math.floor(energy.lo * share), hi=math.ceil(energy.hi * share))
        small, views = views, views_of(left, right, seen, shape, threads, backwards if views else mirrored)

        def step(function, *more, of_view=(), views=views, at_size=at_size):
            update(views, lambda *v: function(*v, at_size, *more), threads, *of_view)

        if not small:
            begin(views, at_size, start, threads)
            if not any(np.isfinite(view.d).any() for view in views):
                break
            step(find_pieces, segments.SCALES[0])
            step(first_choice)
            for k in range(effort.rounds):
                if k:  # other pieces: other planes to choose from
                    step(find_pieces, segments.SCALES[k % len(segments.SCALES)])
                    step(agree)
                step(next_choice)
        else:
            step(enlarge, of_view=(small,))
            for k in range(effort.shifts):
                step(believe)
                step(shift, *SHIFTS[k % 2])
            for view in views:  # nothing looks at these any more
                view.words = view.facing = None
                if shape == left.shape[:2]:
                    view.a = view.b = None
        step(sharpened)
        if not small:
            step(evidence)
    return views
