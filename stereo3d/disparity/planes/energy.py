"""The energy of matching by planes: each pixel chooses one of eight planes d(u, v) = d + a (u - x) + b (v - y).

E = sum over pixels of the matching cost (`match_costs`, occlusions by the other view included) + sum over neighbours
p, q of min(slope |mean difference of both planes at p and q|, jump(p, q)). A slanted plane costs nothing, a crease
little, a depth jump the same however high, and less across an edge of the picture. `plane_paths` minimises it along
eight directions as `aggregation.sweep` does, or along four, over eight planes instead of all disparities.

References
----------
Bleyer, Rhemann and Rother, PatchMatch stereo, 2011, and Olsson, Ulen and Boykov, In defense of 3D-label stereo, 2013:
planes and their difference. Hirschmüller 2005: paths.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ...kernel_cache import njit
from ..costs import hamming_at

CANDIDATES = 8  # planes per pixel: the floats of one 256-bit vector register
FORBIDDEN = 1e6  # bits: cost beyond the disparity range
# State of a pixel of the other view: outside its photo; inside; its disparity passed the left-right test.
UNSEEN, SEEN, CONSISTENT = 0, 1, 2


class CrossView(NamedTuple):
    """The other view on its own pixels, in this view's column order.

    Parameters
    ----------
    disparity : (H, W) float32
        px.
    state : (H, W) uint8
        UNSEEN, SEEN or CONSISTENT.
    """

    disparity: np.ndarray
    state: np.ndarray


class PlaneMaps(NamedTuple):
    """The planes d (px), a, b (px / px) of pixels (H, W), or of candidates (H, W, L) or flat; all float32."""

    d: np.ndarray
    a: np.ndarray
    b: np.ndarray


class CostLimits(NamedTuple):
    """Range of disparities (px) and limits of a pixel's matching cost (bits), all float32: see `match_costs`."""

    lo: np.float32
    hi: np.float32
    limit: np.float32
    hidden: np.float32
    against: np.float32


class Smoothness(NamedTuple):
    """What two neighbours pay for their planes.

    Parameters
    ----------
    picture : (H, W, 3) u8
        The largest channel difference of two neighbours chooses the entry of jumps.
    slope : f32
        Bits per px of difference between two planes.
    jumps : (256,) f32
        Bits, largest penalty.
    """

    picture: np.ndarray
    slope: np.float32
    jumps: np.ndarray


@njit(cache=True, nogil=True)
def match_costs(census, other_census, cross_view, limits, d, settled, cost):
    """cost[y, x, l] = min(Hamming distance of the match at disparity d[y, x, l], limit), or by visibility.

    Where the other view's pixel is CONSISTENT, a match behind its disparity is occluded and costs `hidden` however
    it looks; one in front would occlude what the other view sees and costs `against`; both set in linearly over 1 px. A
    match outside the picture or at an UNSEEN pixel costs `hidden`, a disparity beyond lo - 1/2 .. hi + 1/2, or NaN,
    FORBIDDEN.

    Parameters
    ----------
    census, other_census : (H, W) u64
        Of this and of the other picture.
    cross_view : CrossView
        Disparities of the other view and their state.
    limits : CostLimits
        Range and costs.
    d : (H, W, L) f32
        px, of the candidates.
    settled : (H, W) bool
        Pixels that have no choice: their costs are not written.
    cost : (H, W, L) f32
        Bits.
    """
    height, width, count = d.shape
    one, half = np.float32(1), np.float32(0.5)
    other, state = cross_view.disparity, cross_view.state
    lo, hi, limit, hidden, against = limits.lo, limits.hi, limits.limit, limits.hidden, limits.against
    for y in range(height):
        for x in range(width):
            if settled[y, x]:
                continue
            code = census[y, x]
            for l in range(count):
                v = d[y, x, l]
                if not (v >= lo - half and v <= hi + half):
                    cost[y, x, l] = FORBIDDEN
                    continue
                u = np.float32(x) - v
                if not (u >= -half and u <= width - half):
                    cost[y, x, l] = hidden
                    continue
                c = min(hamming_at(code, other_census[y], x, v, hidden), limit)
                i = min(int(u + half), width - 1)
                if state[y, i] == UNSEEN:
                    c = hidden
                elif state[y, i] == CONSISTENT:
                    e = v - other[y, i]
                    if e > one:
                        c = max(c, against * min(e - one, one))
                    elif e < -one:
                        c += (hidden - c) * min(-e - one, one)
                cost[y, x, l] = c


_I32 = ir.IntType(32)
_INTS = ir.VectorType(_I32, CANDIDATES)
_FLOATS = ir.VectorType(ir.FloatType(), CANDIDATES)


@intrinsic
def _plane_step(typingctx, d, a, b, cost, path, total, pixel, behind, after, before, dx, dy, half, jump, min_before):  # noqa: PLR0913 - innermost kernel
    """Write L of one pixel of one path to `path`, add it to `total`, and return min L: eight planes as one vector.

    L(l) = cost(l) + min(min_m L_before(m) + half (|d_l - d_m extended to here| + |d_l extended back - d_m|),
    min_before + jump) - min_before. numba's own loops over eight stay scalar, hence the LLVM code. All arrays are flat
    f32; pixel, behind: offsets of this pixel and of the one before it; after, before: theirs in `path`; (dx, dy): the
    step between them; min_before: min L_before.
    """

    def codegen(context, builder, signature, args):
        arrays = [context.make_array(signature.args[i])(context, builder, args[i]) for i in range(6)]
        d, a, b, cost, path, total = (array.data for array in arrays)
        pixel, behind, after, before, dx, dy, half, jump, min_before = args[6:]
        undefined = ir.Constant(_FLOATS, ir.Undefined)

        def place(pointer, offset):
            return builder.bitcast(builder.gep(pointer, [offset]), _FLOATS.as_pointer())

        def load(pointer, offset):
            value = builder.load(place(pointer, offset))
            value.align = 4
            return value

        def store(value, pointer, offset):
            builder.store(value, place(pointer, offset)).align = 4

        def shuffled(vector, lanes):
            return builder.shuffle_vector(vector, undefined, ir.Constant(_INTS, lanes))

        def everywhere(value):
            return shuffled(builder.insert_element(undefined, value, ir.Constant(_I32, 0)), [0] * CANDIDATES)

        def magnitude(vector):
            bits = builder.and_(builder.bitcast(vector, _INTS), ir.Constant(_INTS, [0x7FFFFFFF] * CANDIDATES))
            return builder.bitcast(bits, _FLOATS)

        def smaller(one, two):
            return builder.select(builder.fcmp_ordered("<", one, two), one, two)

        def rise(offset):
            along, down = builder.fmul(load(a, offset), everywhere(dx)), builder.fmul(load(b, offset), everywhere(dy))
            return builder.fadd(along, down)

        here, there = load(d, pixel), load(d, behind)
        back, ahead = builder.fsub(here, rise(pixel)), builder.fadd(there, rise(behind))
        so_far, half = load(path, before), everywhere(half)
        best = everywhere(builder.fadd(min_before, jump))
        for m in range(CANDIDATES):
            lane = [m] * CANDIDATES
            difference = builder.fadd(
                magnitude(builder.fsub(here, shuffled(ahead, lane))),
                magnitude(builder.fsub(back, shuffled(there, lane))),
            )
            best = smaller(builder.fadd(shuffled(so_far, lane), builder.fmul(half, difference)), best)
        value = builder.fadd(load(cost, pixel), builder.fsub(best, everywhere(min_before)))
        store(value, path, after)
        store(builder.fadd(load(total, pixel), value), total, pixel)
        for distance in (4, 2, 1):
            value = smaller(value, shuffled(value, [(i + distance) % CANDIDATES for i in range(CANDIDATES)]))
        return builder.extract_element(value, ir.Constant(_I32, 0))

    f, n = types.float32, types.intp
    return f(d, a, b, cost, path, total, n, n, n, n, f, f, f, f, f), codegen


@njit(cache=True, nogil=True)
def plane_paths(cost, planes, settled, smoothness, step, diagonals, total):
    """Add the paths of one sweep to total: from the top and the left (step 1) or the bottom and the right (-1).

    Parameters
    ----------
    cost, total : flat (H, W, 8) f32
        Bits.
    planes : PlaneMaps
        Candidates, flat.
    settled : (H, W) bool
        Pixels that have no choice: paths begin anew there, and add nothing to their totals.
    smoothness : Smoothness
    step : int
        1 or -1.
    diagonals : bool
        Four paths, two of them diagonal; without, the horizontal and the vertical one.
    """
    picture, slope, jumps = smoothness
    height, width = picture.shape[:2]
    every = 1 if diagonals else 2
    half = np.float32(0.5) * slope
    path = np.empty(2 * 4 * width * CANDIDATES, np.float32)
    min_paths = np.empty((2, 4, width), np.float32)
    y0, x0 = (0, 0) if step == 1 else (height - 1, width - 1)
    for j in range(height):
        y = y0 + step * j
        now, last = j & 1, 1 - (j & 1)
        for i in range(width):
            x = x0 + step * i
            pixel = (y * width + x) * CANDIDATES
            if settled[y, x]:
                for direction in range(0, 4, every):
                    after = ((now * 4 + direction) * width + x) * CANDIDATES
                    path[after : after + CANDIDATES] = 0
                    min_paths[now, direction, x] = 0
                continue
            # the pixel before: in the same row; in the previous row one column back, in the same column, one ahead
            for direction in range(0, 4, every):
                v, u, row = (y, x - step, now) if direction == 0 else (y - step, x + step * (direction - 2), last)
                after = ((now * 4 + direction) * width + x) * CANDIDATES
                if 0 <= v < height and 0 <= u < width:
                    edge = 0
                    for c in range(3):
                        edge = max(edge, abs(np.int64(picture[y, x, c]) - np.int64(picture[v, u, c])))
                    min_paths[now, direction, x] = _plane_step(  # pyright: ignore[reportCallIssue]
                        planes.d,
                        planes.a,
                        planes.b,
                        cost,
                        path,
                        total,
                        pixel,
                        (v * width + u) * CANDIDATES,
                        after,
                        ((row * 4 + direction) * width + u) * CANDIDATES,
                        np.float32(x - u),
                        np.float32(y - v),
                        half,
                        jumps[edge],
                        min_paths[row, direction, u],
                    )
                else:
                    smallest = cost[pixel]
                    for l in range(CANDIDATES):
                        path[after + l] = cost[pixel + l]
                        total[pixel + l] += cost[pixel + l]
                        smallest = min(smallest, cost[pixel + l])
                    min_paths[now, direction, x] = smallest


@njit(cache=True, nogil=True)
def select_planes(total, d, a, b, out_d, out_a, out_b, margin):
    """out = the candidate of least total at each pixel; margin = least total of those over 1 px away, less its own.

    Parameters
    ----------
    total, d, a, b : (H, W, 8) f32
        Bits; px; px / px; px / px.
    out_d, out_a, out_b, margin : (H, W) f32
        Written; margin in bits, inf where all candidates lie within 1 px.
    """
    height, width = out_d.shape
    for y in range(height):
        for x in range(width):
            k = 0
            for l in range(1, CANDIDATES):
                if total[y, x, l] < total[y, x, k]:
                    k = l
            rival = np.float32(np.inf)
            for l in range(CANDIDATES):
                if total[y, x, l] < rival and not abs(d[y, x, l] - d[y, x, k]) <= 1:
                    rival = total[y, x, l]
            out_d[y, x], out_a[y, x], out_b[y, x] = d[y, x, k], a[y, x, k], b[y, x, k]
            margin[y, x] = rival - total[y, x, k]


@njit(cache=True, nogil=True)
def put_segments(labels, planes, fallback, slot, candidates):
    """Write the plane of each pixel's segment into slot `slot` of the candidates.

    Parameters
    ----------
    labels : (H, W) i32
        Segment of each pixel.
    planes : (count, 3) f64
        a, b, c of each segment, d = a x + b y + c, NaN unknown.
    fallback : (H, W) f32
        px, disparity where the plane is unknown.
    slot : int
        Of the candidates.
    candidates : PlaneMaps
        (H, W, 8).
    """
    height, width = labels.shape
    d, a, b = candidates.d, candidates.a, candidates.b
    for y in range(height):
        for x in range(width):
            p = planes[labels[y, x]]
            if np.isfinite(p[0]):
                d[y, x, slot] = p[0] * x + p[1] * y + p[2]
                a[y, x, slot], b[y, x, slot] = p[0], p[1]
            else:
                d[y, x, slot], a[y, x, slot], b[y, x, slot] = fallback[y, x], 0, 0


@njit(cache=True, nogil=True)
def put_neighbours(planes, across, down, slot, candidates):
    """Write the plane of the pixel (x + across, y + down), clamped to the picture, into slot `slot` of the candidates.

    Parameters
    ----------
    planes : PlaneMaps
        (H, W).
    across, down : int
        px.
    slot : int
        Of the candidates.
    candidates : PlaneMaps
        (H, W, 8).
    """
    height, width = planes.d.shape
    d, a, b = candidates.d, candidates.a, candidates.b
    for y in range(height):
        v = min(max(y + down, 0), height - 1)
        for x in range(width):
            u = min(max(x + across, 0), width - 1)
            p, q = planes.a[v, u], planes.b[v, u]
            d[y, x, slot], a[y, x, slot], b[y, x, slot] = planes.d[v, u] + p * (x - u) + q * (y - v), p, q
