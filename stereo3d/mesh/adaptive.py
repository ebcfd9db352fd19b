"""An adaptive triangulation of a point map: few triangles where it is flat, every pixel where it tears (numba).

Right-triangulated irregular networks (Evans, Kirkpatrick, Townsend 2001; the restricted quadtree of Pajarola 1998): the
square of 2^k pixels is two right triangles, and each triangle is split from its apex to the middle m of its longest
side, or is not. The two triangles on both sides of that side are split together, and m is split before any triangle
inside is left whole, so no vertex ever lies on another triangle's edge. err[m] is the largest distance of any pixel in
those two triangles from the triangle's plane, or of any below, or by how much the photo is pulled along it where that
is more: what is left whole at a tolerance keeps to it exactly.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from .sheet import apart, linked, square

EMPTY, WHOLE, BROKEN = 0, 1, 2  # a cell between four pixels: no triangle; two as the network cuts it; else
NEVER = np.float32(np.inf)  # err of a middle that must be split
NOTHING = np.float32(-1)  # and of one with nothing on either side
BANDS = 8  # of rows, for as many threads at most


@njit(cache=True, nogil=True, error_model="numpy")
def cells(edge, between):
    """(H-1,W-1) u8, EMPTY, WHOLE or BROKEN, from the bits of `sheet.edges`; between: sorted pixels y W + x that have
    more points before their right neighbour, which break the cells above and below."""
    H, W = edge.shape
    out = np.zeros((H - 1, W - 1), np.uint8)
    for y in range(H - 1):
        for x in range(W - 1):
            here = edge[y, x]
            top, left, falling, rising = here & 1 != 0, here & 2 != 0, here & 4 != 0, here & 8 != 0
            bottom, right = edge[y + 1, x] & 1 != 0, edge[y, x + 1] & 2 != 0
            straight = (y + x) % 2 == 0  # the network's own diagonal falls
            if top and left and bottom and right and (falling if straight else rising):
                out[y, x] = WHOLE
            elif falling and (top and right or bottom and left) or rising and (top and left or bottom and right):
                out[y, x] = BROKEN
    for at in between:
        y, x = at // W, at % W
        for i in (y - 1, y):
            if 0 <= i < H - 1 and x < W - 1:
                out[i, x] = BROKEN
    return out


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _state(cell, y, x):
    return cell[y, x] if 0 <= y < cell.shape[0] and 0 <= x < cell.shape[1] else EMPTY


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _at(err, y, x, reach):
    """err of a middle, also of one outside the picture, where only what reaches into it counts."""
    H, W = err.shape
    if 0 <= y < H and 0 <= x < W:
        return err[y, x]
    if y - reach >= H - 1 or x - reach >= W - 1 or y + reach <= 0 or x + reach <= 0:
        return NOTHING
    return NEVER


@njit(cache=True, nogil=True, error_model="numpy")
def _near_apex(cell, py, px, qy, qx, ry, rx):
    """State of a cell beside the apex r of the triangle (p, q, r) within it."""
    dy, dx = py + qy - 2 * ry, px + qx - 2 * rx
    dy = dy if dy != 0 else py - ry
    dx = dx if dx != 0 else px - rx
    return _state(cell, ry - (dy < 0), rx - (dx < 0))


@njit(cache=True, nogil=True, error_model="numpy")
def _of_halves(cell, below1, below2, py, px, qy, qx, ry, rx, my, mx):
    """State of the two halves of a triangle (p, q, r), whose apex is m: their longest sides go from p and q to r.

    below1, below2: err of the middles of these sides. BROKEN where one must be split, whatever its state is.
    """
    if below1 == NEVER or below2 == NEVER:
        return BROKEN, BROKEN
    return _near_apex(cell, py, px, ry, rx, my, mx), _near_apex(cell, qy, qx, ry, rx, my, mx)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _part(P, Q, dy, dx):
    return np.sqrt(float(dy * dy + dx * dx)) * abs(P[2] - Q[2]) / (2 * (P[2] + Q[2]))


@njit(cache=True, nogil=True, error_model="numpy")
def _off(points, py, px, qy, qx, ry, rx, pitch, cap):
    """Largest distance of the pixels in a right triangle (p, q, apex r) from its plane, in footprints z pitch."""
    P, Q, R = points[py, px], points[qy, qx], points[ry, rx]
    ux, uy, uz = Q[0] - P[0], Q[1] - P[1], Q[2] - P[2]
    vx, vy, vz = R[0] - P[0], R[1] - P[1], R[2] - P[2]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    if not length > 0:
        return NEVER
    nx, ny, nz = nx / length, ny / length, nz / length
    # a texture runs evenly over the triangle in space, the photo over its picture: on a side of L px between depths
    # that differ by the share e they part by L e / 4
    most = max(_part(P, Q, py - qy, px - qx), _part(Q, R, qy - ry, qx - rx), _part(P, R, py - ry, px - rx))
    if most > cap:
        return NEVER
    if py != qy and px != qx:  # the legs lie along the axes
        s = abs(qy - py)
        dy, dx = np.sign(py + qy - 2 * ry), np.sign(px + qx - 2 * rx)
        for i in range(s + 1):
            y = ry + dy * i
            for j in range(s + 1 - i):
                X = points[y, rx + dx * j]
                off = abs(nx * (X[0] - P[0]) + ny * (X[1] - P[1]) + nz * (X[2] - P[2]))
                if off > most * X[2] * pitch:
                    most = off / (X[2] * pitch)
            if most > cap:
                return NEVER
    else:  # the longest side does
        half = max(abs(qy - py), abs(qx - px)) // 2
        my, mx = (py + qy) // 2, (px + qx) // 2
        ay, ax = (ry - my) // half, (rx - mx) // half  # towards the apex
        by, bx = (qy - my) // half, (qx - mx) // half  # along the side
        for i in range(half + 1):
            for j in range(i - half, half - i + 1):
                X = points[my + ay * i + by * j, mx + ax * i + bx * j]
                off = abs(nx * (X[0] - P[0]) + ny * (X[1] - P[1]) + nz * (X[2] - P[2]))
                if off > most * X[2] * pitch:
                    most = off / (X[2] * pitch)
            if most > cap:
                return NEVER
    return np.float32(most)


@njit(cache=True, nogil=True, error_model="numpy")
def _need(points, cell, below1, below2, state1, state2, py, px, qy, qx, ry, rx, pitch, cap):
    """What a triangle needs: NEVER, NOTHING or its error; below: the err of the middles of its two halves' sides."""
    if below1 == NEVER or below2 == NEVER or state1 == BROKEN or state2 == BROKEN or state1 != state2:
        return NEVER
    if state1 == EMPTY:
        return NOTHING
    return max(_off(points, py, px, qy, qx, ry, rx, pitch, cap), below1, below2)


def errors(points: np.ndarray, cell: np.ndarray, pitch: float, cap: float, size: int) -> np.ndarray:
    """err (H,W) f32 of every middle, px: distance over z pitch; beyond cap it is NEVER. size: 2^k >= H-1, W-1."""
    err = np.full(points.shape[:2], NEVER, np.float32)
    with ThreadPoolExecutor() as pool:
        s = 2
        while s <= size:
            squares = -(-len(err) // s)  # from top to bottom
            ends = np.linspace(0, squares, min(BANDS, squares) + 1).astype(int)
            for kernel in (_middles_of_sides, _middles_of_squares):  # each looks at what the one before has written

                def band(k, kernel=kernel, s=s, ends=ends):
                    kernel(points, cell, pitch, cap, s, ends[k], ends[k + 1], err)

                list(pool.map(band, range(len(ends) - 1)))
            s *= 2
    return err


@njit(cache=True, nogil=True, error_model="numpy")
def _middles_of_sides(points, cell, pitch, cap, s, first, last, err):
    """err of the middles of the sides of squares of s, those of rows first .. last - 1 of squares."""
    H, W = err.shape
    h, g = s // 2, s // 4
    for upright in (False, True):
        for y in range(first * s + (h if upright else 0), min(last * s, H), s):
            for x in range(h if not upright else 0, W, s):
                value = NOTHING
                for side in (-1, 1):
                    if upright:
                        py, px, qy, qx, ry, rx = y - h, x, y + h, x, y, x + side * h
                    else:
                        py, px, qy, qx, ry, rx = y, x - h, y, x + h, y + side * h, x
                    if s == 2:
                        below1 = below2 = NOTHING
                        if upright:
                            c = x - (side < 0)
                            state1, state2 = _state(cell, y - 1, c), _state(cell, y, c)
                        else:
                            c = y - (side < 0)
                            state1, state2 = _state(cell, c, x - 1), _state(cell, c, x)
                    else:
                        if upright:
                            below1, below2 = _at(err, y - g, x + side * g, g), _at(err, y + g, x + side * g, g)
                        else:
                            below1, below2 = _at(err, y + side * g, x - g, g), _at(err, y + side * g, x + g, g)
                        state1, state2 = _of_halves(cell, below1, below2, py, px, qy, qx, ry, rx, y, x)
                    need = _need(points, cell, below1, below2, state1, state2, py, px, qy, qx, ry, rx, pitch, cap)
                    value = max(value, need)
                err[y, x] = value


@njit(cache=True, nogil=True, error_model="numpy")
def _middles_of_squares(points, cell, pitch, cap, s, first, last, err):
    """err of the middles of squares of s, those of rows first .. last - 1 of squares."""
    H, W = err.shape
    h = s // 2
    for y in range(first * s + h, min(last * s, H), s):
        for x in range(h, W, s):
            if ((y // s) + (x // s)) % 2 == 0:
                py, px, qy, qx = y - h, x - h, y + h, x + h
                r1y, r1x, r2y, r2x = y - h, x + h, y + h, x - h
            else:
                py, px, qy, qx = y - h, x + h, y + h, x - h
                r1y, r1x, r2y, r2x = y - h, x - h, y + h, x + h
            value = NOTHING
            for ry, rx in ((r1y, r1x), (r2y, r2x)):
                below1 = _at(err, (ry + py) // 2, (rx + px) // 2, h)
                below2 = _at(err, (ry + qy) // 2, (rx + qx) // 2, h)
                state1, state2 = _of_halves(cell, below1, below2, py, px, qy, qx, ry, rx, y, x)
                need = _need(points, cell, below1, below2, state1, state2, py, px, qy, qx, ry, rx, pitch, cap)
                value = max(value, need)
            err[y, x] = value


@njit(cache=True, nogil=True, error_model="numpy")
def network(err, cell, tolerance, size, out):
    """The triangles of the network where err <= tolerance is left whole, without those of BROKEN cells.

    out: (M,3) i32 to write the pixels y W + x into, or (0,3) to count only. Returns how many, and the largest err kept.
    """
    H, W = err.shape
    stack = np.empty((256, 6), np.int64)
    top, n, worst = 0, 0, 0.0
    for k in range(2):
        root = (0, 0, size, size, 0, size) if k == 0 else (size, size, 0, 0, size, 0)
        for j in range(6):
            stack[top, j] = root[j]
        top += 1
        while top > 0:
            top -= 1
            py, px, qy, qx, ry, rx = stack[top]
            if min(py, qy, ry) >= H - 1 or min(px, qx, rx) >= W - 1:
                continue
            if abs(py - qy) == 1:  # half of a cell (a longest side of 1 lies across it)
                whole = _state(cell, min(py, qy), min(px, qx)) == WHOLE
            else:
                my, mx = (py + qy) // 2, (px + qx) // 2
                e = _at(err, my, mx, size)
                if e > tolerance:
                    for a, b, c, d in ((ry, rx, py, px), (qy, qx, ry, rx)):
                        stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3] = a, b, c, d
                        stack[top, 4], stack[top, 5] = my, mx
                        top += 1
                    continue
                whole = _near_apex(cell, py, px, qy, qx, ry, rx) == WHOLE
                if whole and e > worst:
                    worst = e
            if whole:
                if len(out):
                    turn = (qx - px) * (ry - py) - (qy - py) * (rx - px) < 0  # as top left, bottom left, bottom right
                    out[n, 0] = py * W + px
                    out[n, 1] = qy * W + qx if turn else ry * W + rx
                    out[n, 2] = ry * W + rx if turn else qy * W + qx
                n += 1
    return n, worst


@njit(cache=True, nogil=True, error_model="numpy")
def broken(X, r, X2, r2, s, cell, after, tangent, out):
    """The triangles of BROKEN cells, by `sheet.square`; where more points lie between two pixels of a row, the strip
    between the upper and the lower chain of points.

    X (N,3), r, s (N,): points, ranges and deviations of the W H pixels and then of those between; after: sorted, the
    pixel that each of them follows. X2, r2: the same from camera 2, from where it is judged whether a strip tears: to
    camera 1 its surface is too steep to tell. out: (M,3) i32. Returns how many.
    """
    h, w = cell.shape
    W = w + 1
    first = W * (h + 1)
    chain = np.empty((2, len(after) + 2), np.int64)
    length = np.zeros(2, np.int64)
    n = np.int64(0)  # a plain 0 is a type of its own, for which numba compiles what is called with it once more
    for y in range(h):
        for x in range(w):
            if cell[y, x] != BROKEN:
                continue
            a = y * W + x
            b, c, d = a + 1, a + W + 1, a + W
            if len(after):
                more = False
                for k in range(2):
                    start = a if k == 0 else d
                    low, high = np.searchsorted(after, start), np.searchsorted(after, start + 1)
                    chain[k, 0] = start
                    length[k] = 1
                    for i in range(low, high):
                        chain[k, length[k]] = first + i
                        length[k] += 1
                    chain[k, length[k]] = start + 1
                    length[k] += 1
                    joined = True
                    for i in range(length[k] - 1):
                        joined = joined and linked(X2, r2, s, chain[k, i], chain[k, i + 1], tangent)
                    if length[k] > 2 and not joined:  # then as if there were no points between
                        chain[k, 1] = start + 1
                        length[k] = 2
                    more = more or length[k] > 2
                if more:
                    n = _strip(X2, r2, s, chain, length, tangent, out, n)
                    continue
            n = square(X, r, s, a, b, c, d, tangent, out, n)
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def _strip(X, r, s, chain, length, tangent, out, n):
    """Triangles between two chains, advancing by the shorter of the two next diagonals; what tears is left out."""
    i = j = 0
    while i < length[0] - 1 or j < length[1] - 1:
        p, q = chain[0, i], chain[1, j]
        advance_upper = j == length[1] - 1
        if not advance_upper and i < length[0] - 1:
            advance_upper = apart(X, chain[0, i + 1], q) <= apart(X, chain[1, j + 1], p)
        t = chain[0, i + 1] if advance_upper else chain[1, j + 1]
        if linked(X, r, s, p, q, tangent) and linked(X, r, s, p, t, tangent) and linked(X, r, s, q, t, tangent):
            out[n, 0], out[n, 1], out[n, 2] = p, q, t
            n += 1
        if advance_upper:
            i += 1
        else:
            j += 1
    return n
