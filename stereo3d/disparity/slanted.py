"""Each pixel chooses one of eight planes d(u, v) = d + a (u - x) + b (v - y), so that slants cost nothing.

The energy: what each pixel's own match costs (`match_costs`, with what the other view says of visibility), plus, for
every two neighbours p, q, min(slope |both planes' mean difference at p and q|, jump(p, q)). Slanted and smooth costs
nothing, a crease little, a jump the same however high, and less where the picture has an edge.
`plane_paths` lessens it along eight directions as `aggregate` does, over eight planes in place of all disparities.
Sources: Bleyer, Rhemann and Rother, PatchMatch stereo, 2011, and Olsson, Ulen and Boykov 2013, for the planes and their
difference; Hirschmüller 2005 for the paths.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from .costs import hamming_at

CANDIDATES = 8  # planes a pixel chooses from: as many floats as one vector register of today's processors holds
NEAREST = np.array([[0, 0]])
NEIGHBOURS = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [2, 0], [-2, 0]])  # edges move by two pixels at most
UNSEEN, SEEN, BELIEVED = 0, 1, 2  # a pixel of the other view: shows nothing; shows something; its disparity counts


@njit(cache=True, nogil=True)
def match_costs(words, facing, other, state, d, lo, hi, limit, hidden, against, row0, row1, cost):
    """cost[y, x, l] of the match at disparity d[y, x, l], all (H,W,8) f32; rows row0 .. row1 - 1 are written.

    words, facing (H,W) u64: census of this and of the other picture; the cost is the Hamming distance, at most `limit`.
    other (H,W) f32, state (H,W) u8: disparity that the other view's pixels see, and what it is worth. Where that is
    BELIEVED, a pixel that lies behind it is hidden there and costs `hidden` whatever it looks like; one that lies
    before it would hide what the other view sees, and costs `against`. A match outside or UNSEEN costs `hidden`. Beyond
    lo - 1/2 .. hi + 1/2, and for NaN, the cost is 1e6.
    """
    width, count = d.shape[1], d.shape[2]
    one, half = np.float32(1), np.float32(0.5)
    for y in range(row0, row1):
        for x in range(width):
            word = words[y, x]
            for l in range(count):
                v = d[y, x, l]
                if not (v >= lo - half and v <= hi + half):
                    cost[y, x, l] = 1e6
                    continue
                u = np.float32(x) - v
                if not (u >= -half and u <= width - half):
                    cost[y, x, l] = hidden
                    continue
                c = min(hamming_at(word, facing[y], x, v, hidden), limit)
                i = min(int(u + half), width - 1)
                if state[y, i] == 0:
                    c = hidden
                elif state[y, i] == 2:
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
def _step(typingctx, d, a, b, cost, path, total, pixel, behind, after, before, dx, dy, half, jump, least):
    """One pixel of one path, all eight planes at once, as vector code (numba's own loops over eight stay scalar).

    L(l) = cost(l) + min(min_m L_before(m) + half (|d_l - d_m extended to here| + |d_l extended back - d_m|),
    least + jump) - least, written to `path` at `after` and added to `total`. All arrays flat f32; pixel, behind:
    offsets of this pixel and the one before it; after, before: theirs in `path`; (dx, dy): the step between them;
    least: smallest L_before. Returns the smallest L.
    """

    def codegen(context, builder, signature, args):
        arrays = [context.make_array(signature.args[i])(context, builder, args[i]) for i in range(6)]
        d, a, b, cost, path, total = (array.data for array in arrays)
        pixel, behind, after, before, dx, dy, half, jump, least = args[6:]
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
        best = everywhere(builder.fadd(least, jump))
        for m in range(CANDIDATES):
            lane = [m] * CANDIDATES
            difference = builder.fadd(
                magnitude(builder.fsub(here, shuffled(ahead, lane))),
                magnitude(builder.fsub(back, shuffled(there, lane))),
            )
            best = smaller(builder.fadd(shuffled(so_far, lane), builder.fmul(half, difference)), best)
        value = builder.fadd(load(cost, pixel), builder.fsub(best, everywhere(least)))
        store(value, path, after)
        store(builder.fadd(load(total, pixel), value), total, pixel)
        for distance in (4, 2, 1):
            value = smaller(value, shuffled(value, [(i + distance) % CANDIDATES for i in range(CANDIDATES)]))
        return builder.extract_element(value, ir.Constant(_I32, 0))

    f, n = types.float32, types.intp
    return f(d, a, b, cost, path, total, n, n, n, n, f, f, f, f, f), codegen


@njit(cache=True, nogil=True)
def plane_paths(cost, d, a, b, picture, slope, jumps, step, total):
    """Add the four paths of one sweep to total: from the top and the left (step 1) or the bottom and the right (-1).

    cost, d, a, b, total: flat f32 of (H,W,8); picture (H,W,3) u8; slope: per px of difference between two planes;
    jumps (256,) f32: most that two neighbours cost, by the largest difference of their channels.
    """
    height, width = picture.shape[:2]
    half = np.float32(0.5) * slope
    path = np.empty(2 * 4 * width * CANDIDATES, np.float32)
    least = np.empty((2, 4, width), np.float32)
    y0, x0 = (0, 0) if step == 1 else (height - 1, width - 1)
    for j in range(height):
        y = y0 + step * j
        now, last = j & 1, 1 - (j & 1)
        for i in range(width):
            x = x0 + step * i
            pixel = (y * width + x) * CANDIDATES
            for direction in range(4):  # the pixel before: in this row; in the last row behind, straight above, ahead
                v, u, row = (y, x - step, now) if direction == 0 else (y - step, x + step * (direction - 2), last)
                after = ((now * 4 + direction) * width + x) * CANDIDATES
                if 0 <= v < height and 0 <= u < width:
                    edge = 0
                    for c in range(3):
                        edge = max(edge, abs(np.int64(picture[y, x, c]) - np.int64(picture[v, u, c])))
                    least[now, direction, x] = _step(
                        d,
                        a,
                        b,
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
                        least[row, direction, u],
                    )
                else:
                    smallest = cost[pixel]
                    for l in range(CANDIDATES):
                        path[after + l] = cost[pixel + l]
                        total[pixel + l] += cost[pixel + l]
                        smallest = min(smallest, cost[pixel + l])
                    least[now, direction, x] = smallest


@njit(cache=True, nogil=True)
def choose(total, d, a, b, out_d, out_a, out_b, margin):
    """The plane of least total at each pixel; margin: how much more the best costs that differs by over 1 px there.

    total, d, a, b (H,W,8) f32; out_d, out_a, out_b, margin (H,W) f32; margin inf where no plane differs so much.
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
def put_pieces(pieces, planes, instead, slot, d, a, b):
    """Into slot `slot` of d, a, b (H,W,8) the plane (a, b, c) of each pixel's piece; without one `instead` (H,W)."""
    height, width = pieces.shape
    for y in range(height):
        for x in range(width):
            p = planes[pieces[y, x]]
            if np.isfinite(p[0]):
                d[y, x, slot] = p[0] * x + p[1] * y + p[2]
                a[y, x, slot], b[y, x, slot] = p[0], p[1]
            else:
                d[y, x, slot], a[y, x, slot], b[y, x, slot] = instead[y, x], 0, 0


@njit(cache=True, nogil=True)
def put_beside(from_d, from_a, from_b, across, down, slot, d, a, b):
    """Into slot `slot` of d, a, b (H,W,8) the plane of the pixel (x + across, y + down), its own beyond the border."""
    height, width = from_d.shape
    for y in range(height):
        v = min(max(y + down, 0), height - 1)
        for x in range(width):
            u = min(max(x + across, 0), width - 1)
            p, q = from_a[v, u], from_b[v, u]
            d[y, x, slot], a[y, x, slot], b[y, x, slot] = from_d[v, u] + p * (x - u) + q * (y - v), p, q


@njit(cache=True, nogil=True)
def put_enlarged(small_d, small_a, small_b, steps, first, height, slot, d, a, b):
    """Into slots `slot`, .. of d, a, b (H,W,L) the planes of pixels of a smaller map around each pixel.

    d, a, b: rows first, first + 1, .. of a picture of `height` rows; pixel centres at integers, x -> (x + 1/2) s - 1/2.
    steps (n,2): which pixels of the smaller map, in steps across and down from the nearest one, on the side of the
    pixel first: (1, 0) is the second nearest of the row. Those outside count as the nearest inside.
    """
    rows, width = d.shape[:2]
    h, w = small_d.shape
    sx, sy = np.float32(w / width), np.float32(h / height)
    half = np.float32(0.5)
    for y in range(rows):
        v = (y + first + half) * sy - half
        v0 = int(np.floor(v + half))
        down = 1 if v > v0 else -1
        for x in range(width):
            u = (x + half) * sx - half
            u0 = int(np.floor(u + half))
            across = 1 if u > u0 else -1
            for k in range(len(steps)):
                i = min(max(u0 + across * steps[k, 0], 0), w - 1)
                j = min(max(v0 + down * steps[k, 1], 0), h - 1)
                p, q = small_a[j, i], small_b[j, i]
                d[y, x, slot + k] = (small_d[j, i] + p * (u - i) + q * (v - j)) / sx
                a[y, x, slot + k], b[y, x, slot + k] = p, q * sy / sx


@njit(cache=True, nogil=True)
def enlarged_state(small, first, height, shape):
    """(H,W) u8 of the nearest pixel of a smaller map (h,w) u8, for rows first, first + 1, .. as in `put_enlarged`."""
    rows, width = shape
    h, w = small.shape
    out = np.empty(shape, np.uint8)
    for y in range(rows):
        j = min(max(int(np.floor((y + first + 0.5) * h / height)), 0), h - 1)
        for x in range(width):
            out[y, x] = small[j, min(int(np.floor((x + 0.5) * w / width)), w - 1)]
    return out
