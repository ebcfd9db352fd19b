"""Pieces of even colour, and the plane d = a x + b y + c of each: by the disparities in it, and by the pictures.

A piece without texture has no disparities that could be believed pixel by pixel, but all its pixels together still tell
its plane: the one under which the two pictures agree best.
"""

import numpy as np
from numba import njit

from .costs import hamming_at

# Scales of a fine, a middle and a coarse segmentation, grey levels, as in `merge`; and other ones for further rounds.
SCALES = ((5.0, 40.0, 300.0), (2.0, 20.0, 150.0), (12.0, 80.0, 600.0))
LEAST_PIECE = 30  # pixels: three matching windows
LEAST_KNOWN = 12  # disparities a plane may rest on
TRIALS = 60  # random planes through three disparities: where 40 % of these are right, 2 of 100 pieces find none
JUDGES = 128  # disparities that judge a plane through three of them
FEW, MANY = 128, 4000  # pixels on which a plane is tried and, if among the best, judged
CHANCE = 20.0  # bits of 34 in which pixels that have nothing to do with each other differ, 17, and a deviation more
STEEPEST = (0.7, 1.5)  # |a|, |b|: a slope of more than 45 degrees in x makes the surface a third as wide in one picture
COARSEST, FINEST = 1.0, 0.06  # px of disparity: steps by which a plane is moved
WELL_KNOWN = 0.5  # share of a piece that fits its plane from which on nothing else is tried


@njit(cache=True, nogil=True)
def edges(picture):
    """The differences of neighbouring pixels, smallest first: pixel numbers a, b (n,) i32 and difference (n,) f32.

    picture (H,W,3) f32; four neighbours, each pair once; the difference is the colours' distance. Sorted by counting
    64ths of a grey level.
    """
    height, width = picture.shape[:2]
    n = height * (width - 1) + (height - 1) * width
    a, b, difference = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.float32)
    i = 0
    for y in range(height):
        for x in range(width):
            for v, u in ((y, x + 1), (y + 1, x)):
                if v < height and u < width:
                    square = np.float32(0)
                    for c in range(3):
                        square += (picture[y, x, c] - picture[v, u, c]) ** 2
                    a[i], b[i], difference[i] = y * width + x, v * width + u, np.sqrt(square)
                    i += 1
    level = np.empty(n, np.int32)
    start = np.zeros(32770, np.int64)
    for i in range(n):
        level[i] = min(np.int32(difference[i] * 64), 32767)
        start[level[i] + 2] += 1
    for i in range(2, len(start)):
        start[i] += start[i - 1]
    order = np.empty(n, np.int64)
    for i in range(n):
        order[start[level[i] + 1]] = i
        start[level[i] + 1] += 1
    return a[order], b[order], difference[order]


@njit(cache=True, nogil=True)
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def merge(a, b, difference, scale, least, shape):
    """Pieces (H,W) i32, numbered from 0 in reading order, and how many.

    Two pieces become one where the smallest difference between them is no larger than the largest one needed to hold
    either of them together, plus scale / its pixels; pieces of fewer than `least` pixels then join their most similar
    neighbour. a, b, difference: of `edges`.
    Source: Felzenszwalb and Huttenlocher, Efficient graph-based image segmentation, 2004.
    """
    height, width = shape
    parent = np.arange(height * width).astype(np.int32)
    size = np.ones(height * width, np.int32)
    limit = np.full(height * width, np.float32(scale))
    for small in (False, True):
        for i in range(len(a)):
            r, s = _root(parent, a[i]), _root(parent, b[i])
            if r == s:
                continue
            if small:
                join = size[r] < least or size[s] < least
            else:
                join = difference[i] <= limit[r] and difference[i] <= limit[s]
            if join:
                if size[r] < size[s]:
                    r, s = s, r
                parent[s] = r
                size[r] += size[s]
                limit[r] = difference[i] + scale / size[r]
    number = np.full(height * width, -1, np.int32)
    pieces = np.empty((height, width), np.int32)
    count = 0
    for y in range(height):
        for x in range(width):
            r = _root(parent, y * width + x)
            if number[r] < 0:
                number[r] = count
                count += 1
            pieces[y, x] = number[r]
    return pieces, count


@njit(cache=True, nogil=True)
def members(pieces, count):
    """The pixels of each piece, in reading order: piece k has x[start[k] : start[k + 1]] and y likewise."""
    height, width = pieces.shape
    start = np.zeros(count + 1, np.int64)
    for y in range(height):
        for x in range(width):
            start[pieces[y, x] + 1] += 1
    for k in range(count):
        start[k + 1] += start[k]
    xs, ys = np.empty(start[count], np.int32), np.empty(start[count], np.int32)
    at = start[:-1].copy()
    for y in range(height):
        for x in range(width):
            k = pieces[y, x]
            xs[at[k]], ys[at[k]] = x, y
            at[k] += 1
    return start, xs, ys


@njit(cache=True, nogil=True)
def _plane_of_three(d, x, y, i, j, k):
    """(a, b, c, sound) of the plane through three pixels."""
    x1, y1, x2, y2 = x[j] - x[i], y[j] - y[i], x[k] - x[i], y[k] - y[i]
    determinant = np.float64(x1 * y2 - x2 * y1)
    if abs(determinant) < 3:
        return 0.0, 0.0, 0.0, False
    d0 = np.float64(d[y[i], x[i]])
    e1, e2 = d[y[j], x[j]] - d0, d[y[k], x[k]] - d0
    a, b = (e1 * y2 - e2 * y1) / determinant, (x1 * e2 - x2 * e1) / determinant
    return a, b, d0 - a * x[i] - b * y[i], abs(a) <= STEEPEST[0] and abs(b) <= STEEPEST[1]


@njit(cache=True, nogil=True)
def _least_squares(d, x, y, known, a, b, c):
    """The plane through those of the known pixels that lie within 1 px of it, three times over."""
    for _ in range(3):
        n = mx = my = 0.0
        for i in known:
            if abs(a * x[i] + b * y[i] + c - d[y[i], x[i]]) < 1:
                n += 1
                mx += x[i]
                my += y[i]
        if n < 3:
            break
        mx, my = mx / n, my / n
        xx = yy = 1.0  # as much as one pixel more, so that a thin piece stays level across
        xy = dx = dy = d1 = 0.0
        for i in known:
            if abs(a * x[i] + b * y[i] + c - d[y[i], x[i]]) < 1:
                u, v, value = x[i] - mx, y[i] - my, np.float64(d[y[i], x[i]])
                xx += u * u
                xy += u * v
                yy += v * v
                dx += u * value
                dy += v * value
                d1 += value
        determinant = xx * yy - xy * xy
        if not determinant > 0:
            break
        a, b = (dx * yy - dy * xy) / determinant, (dy * xx - dx * xy) / determinant
        c = d1 / n - a * mx - b * my
    return a, b, c


@njit(cache=True, nogil=True)
def _some(words, x, y, first, last, most):
    """Census, x and y of every so many of the pixels first .. last - 1, fewer than 2 `most`."""
    some = np.arange(first, last, max(1, (last - first) // most))
    word, u, v = np.empty(len(some), np.uint64), np.empty(len(some), np.int32), np.empty(len(some), np.int32)
    for j in range(len(some)):
        i = some[j]
        word[j], u[j], v[j] = words[y[i], x[i]], x[i], y[i]
    return word, u, v


@njit(cache=True, nogil=True)
def _disagreement(pixels, facing, lo, hi, limit, hidden, a, b, c, bound):
    """Sum over the pixels (`_some`) of their cost at the plane; inf as soon as it passes `bound`."""
    word, u, v = pixels
    total = 0.0
    for j in range(len(word)):
        d = a * u[j] + b * v[j] + c
        if d < lo - 0.5 or d > hi + 0.5:
            total += limit
        else:
            total += min(hamming_at(word[j], facing[v[j]], u[j], np.float32(d), np.float32(hidden)), limit)
        if total > bound:
            return np.inf
    return total


@njit(cache=True, nogil=True)
def _known_of(disparity, x, y, first, last):
    """Which of the pixels first .. last - 1 have a disparity."""
    known = np.empty(last - first, np.int64)
    n = 0
    for i in range(first, last):
        if np.isfinite(disparity[y[i], x[i]]):
            known[n] = i
            n += 1
    return known[:n]


@njit(cache=True, nogil=True)
def _three_of(disparity, x, y, known, state):
    """A plane through three known pixels, drawn by chance: a, b, c, whether it is sound, the generator's state."""
    pick = np.zeros(3, np.int64)
    for j in range(3):
        state = np.uint32(state * np.uint32(1664525) + np.uint32(1013904223))
        pick[j] = known[np.int64(state >> np.uint32(8)) % len(known)]
    a, b, c, sound = _plane_of_three(disparity, x, y, pick[0], pick[1], pick[2])
    return a, b, c, sound, state


@njit(cache=True, nogil=True)
def fit_pieces(start, x, y, disparity, first, last, planes, support):
    """planes (count,3) f64, rows first .. last - 1: a, b, c through the known disparities (H,W) f32 of each piece.

    support (count,): share of the piece's pixels whose disparity is known and within 1 px of the plane.
    The plane of three pixels that most of the others agree with, then least squares; NaN where fewer than LEAST_KNOWN
    are known (NaN unknown). Source of the sampling: Fischler and Bolles 1981.
    """
    u, v, w = np.empty(2 * JUDGES), np.empty(2 * JUDGES), np.empty(2 * JUDGES)
    for piece in range(first, last):
        known = _known_of(disparity, x, y, start[piece], start[piece + 1])
        planes[piece] = np.nan
        support[piece] = 0.0
        if len(known) < LEAST_KNOWN:
            continue
        judges = known[:: max(1, len(known) // JUDGES)]
        for j in range(len(judges)):
            u[j], v[j], w[j] = x[judges[j]], y[judges[j]], disparity[y[judges[j]], x[judges[j]]]
        state = np.uint32(piece * 2654435761 + 12345)
        least, best_a, best_b, best_c = np.inf, 0.0, 0.0, 0.0
        for _ in range(TRIALS):
            a, b, c, sound, state = _three_of(disparity, x, y, known, state)
            if not sound:
                continue
            off = 0.0
            for j in range(len(judges)):
                off += min(abs(a * u[j] + b * v[j] + c - w[j]), 1.0)
                if off > least:
                    break
            if off < least:
                least, best_a, best_b, best_c = off, a, b, c
        if least < np.inf:
            a, b, c = _least_squares(disparity, x, y, known, best_a, best_b, best_c)
            planes[piece, 0], planes[piece, 1], planes[piece, 2] = a, b, c
            for i in known:
                if abs(a * x[i] + b * y[i] + c - disparity[y[i], x[i]]) < 1:
                    support[piece] += 1 / (start[piece + 1] - start[piece])


@njit(cache=True, nogil=True)
def agree_pieces(start, x, y, disparity, fitted, support, words, facing, lo, hi, limit, hidden, first, last, planes):
    """planes (count,3) f64, rows first .. last - 1: a, b, c under which the two pictures agree best in each piece.

    Of the fitted planes (count,3), of these made level and, where their support (count,) is below WELL_KNOWN, of some
    through three known disparities (H,W) f32 and all whole disparities; then moved by ever smaller steps as long as
    that helps. Such a piece has hardly more texture than noise, so that its true matches cost little less than false
    ones: there a mismatch may cost up to CHANCE.
    words, facing (H,W) u64: census of this and of the other picture; limit, hidden: as in `slanted.match_costs`.
    """
    for piece in range(first, last):
        i0, i1 = start[piece], start[piece + 1]
        known = _known_of(disparity, x, y, i0, i1)
        well = support[piece] >= WELL_KNOWN
        many = _some(words, x, y, i0, i1, MANY)
        few = _some(words, x, y, i0, i1, FEW) if well else many
        most = limit if well else max(limit, CHANCE)
        best = np.full((2, 4), np.inf)  # a, b, c and the cost on few pixels, best first
        a, b, c = fitted[piece, 0], fitted[piece, 1], fitted[piece, 2]
        if np.isfinite(a):
            _insert(best, a, b, c, _disagreement(few, facing, lo, hi, most, hidden, a, b, c, np.inf))
            mx, my, sx, sy = _extent(x, y, i0, i1)
            c += a * mx + b * my
            _insert(best, 0.0, 0.0, c, _disagreement(few, facing, lo, hi, most, hidden, 0.0, 0.0, c, best[1, 3]))
        if len(known) >= LEAST_KNOWN and not well:
            state = np.uint32(piece * 2654435761 + 54321)
            for _ in range(TRIALS):
                a, b, c, sound, state = _three_of(disparity, x, y, known, state)
                if sound:
                    _insert(best, a, b, c, _disagreement(few, facing, lo, hi, most, hidden, a, b, c, best[1, 3]))
        if not well or best[0, 3] == np.inf:
            for whole in range(lo, hi + 1):
                c = float(whole)
                _insert(best, 0.0, 0.0, c, _disagreement(few, facing, lo, hi, most, hidden, 0.0, 0.0, c, best[1, 3]))
        a, b, c, cost = 0.0, 0.0, 0.0, np.inf
        for j in range(2):
            if best[j, 3] < np.inf:
                value = _disagreement(many, facing, lo, hi, most, hidden, best[j, 0], best[j, 1], best[j, 2], cost)
                if value < cost:
                    a, b, c, cost = best[j, 0], best[j, 1], best[j, 2], value
        mx, my, sx, sy = _extent(x, y, i0, i1)
        step = COARSEST  # px of disparity, at the piece's centre or a standard deviation beside it
        back = -1  # the way back to where the cost was higher
        while step > FINEST:
            moved = False
            for t in range(6):
                if t == back:
                    continue
                s = step if t & 1 else -step
                da, db, dc = s / sx if t < 2 else 0.0, s / sy if 2 <= t < 4 else 0.0, s if t >= 4 else 0.0
                at = c + dc - da * mx - db * my
                value = _disagreement(many, facing, lo, hi, most, hidden, a + da, b + db, at, cost)
                if value < cost - 1e-9:
                    a, b, c, cost, moved, back = a + da, b + db, at, value, True, t ^ 1
            if not moved:
                step, back = step / 2, -1
        planes[piece, 0], planes[piece, 1], planes[piece, 2] = a, b, c


@njit(cache=True, nogil=True)
def _extent(x, y, first, last):
    """Mean of x and y and their standard deviations, these at least 2."""
    n = last - first
    mx = my = xx = yy = 0.0
    for i in range(first, last):
        mx += x[i] / n
        my += y[i] / n
    for i in range(first, last):
        xx += (x[i] - mx) ** 2 / n
        yy += (y[i] - my) ** 2 / n
    return mx, my, max(2.0, np.sqrt(xx)), max(2.0, np.sqrt(yy))


@njit(cache=True, nogil=True)
def _insert(best, a, b, c, cost):
    """Into the sorted rows (a, b, c, cost), if it is better than the last of them."""
    k = len(best) - 1
    if not cost < best[k, 3]:
        return
    while k > 0 and cost < best[k - 1, 3]:
        for j in range(4):
            best[k, j] = best[k - 1, j]
        k -= 1
    best[k, 0], best[k, 1], best[k, 2], best[k, 3] = a, b, c, cost
