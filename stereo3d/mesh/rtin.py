"""An adaptive triangulation of a point map: large triangles where it is flat, single pixels along discontinuities.

A right-triangulated irregular network (RTIN): the square of 2^k pixels is two right triangles, and each triangle is
split from its apex to the middle m of its longest side, or is not. The two triangles that share this side are split
together, and m is split if any triangle inside is, so no vertex lies on another triangle's edge. err[m] is the largest
distance of any pixel in these two triangles from the triangle's plane, or of any triangle inside, or the texture
stretch along its sides where that is larger: an unsplit triangle keeps to the tolerance exactly. (numba)

References
----------
Evans, Kirkpatrick and Townsend, Right-triangulated irregular networks, 2001.
Pajarola, Large scale terrain visualization using the restricted quadtree triangulation, 1998.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .. import resources
from ..kernel_cache import njit
from .kernels import DOWN, FALLING, RIGHT, RISING

# state of a cell, the square between four pixels
EMPTY = 0  # no triangle
WHOLE = 1  # two triangles, cut along the network's own diagonal
BROKEN = 2  # any other cell: triangulated on its own
DEPTH = -1  # place of the depth in a point: z, or a fourth number
# err of a middle
MUST_SPLIT = np.float32(np.inf)  # the triangles on both sides must be split
NO_TRIANGLE = np.float32(-1)  # there is no triangle on either side
MAX_BANDS = 8  # bands of rows, one thread each
STACK_SIZE = 256  # triangles that wait: two per level of the network, so enough for 2^127 pixels


@njit(cache=True, nogil=True, error_model="numpy")
def classify_cells(edge, after):
    """(H-1, W-1) uint8, EMPTY, WHOLE or BROKEN.

    Parameters
    ----------
    edge : (H, W) uint8
        Bits of `edges`.
    after : (N,) int64
        Pixels y W + x with further points before their right neighbour; they break the cells above and below.
    """
    H, W = edge.shape
    out = np.zeros((H - 1, W - 1), np.uint8)
    for y in range(H - 1):
        for x in range(W - 1):
            bits = edge[y, x]
            top, left = bits & RIGHT != 0, bits & DOWN != 0
            falling, rising = bits & FALLING != 0, bits & RISING != 0
            bottom, right = edge[y + 1, x] & RIGHT != 0, edge[y, x + 1] & DOWN != 0
            network_falls = (y + x) % 2 == 0  # the network's own diagonal
            if top and left and bottom and right and (falling if network_falls else rising):
                out[y, x] = WHOLE
            elif falling and (top and right or bottom and left) or rising and (top and left or bottom and right):
                out[y, x] = BROKEN
    break_cells(out, after)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def break_cells(cell, after):
    """Set the cells above and below the edges to the right of pixels `after`, y W + x, to BROKEN."""
    h, w = cell.shape
    for at in after:
        y, x = at // (w + 1), at % (w + 1)
        for i in (y - 1, y):
            if 0 <= i < h and x < w:
                cell[i, x] = BROKEN


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def cell_state(cell, y, x):
    """The state of a cell; EMPTY outside the map."""
    return cell[y, x] if 0 <= y < cell.shape[0] and 0 <= x < cell.shape[1] else EMPTY


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def error_at(err, y, x, half):
    """err of the middle (y, x) of a side of 2 `half` px; outside the map only triangles that overlap it must split."""
    H, W = err.shape
    if 0 <= y < H and 0 <= x < W:
        return err[y, x]
    if y - half >= H - 1 or x - half >= W - 1 or y + half <= 0 or x + half <= 0:
        return NO_TRIANGLE
    return MUST_SPLIT


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def state_at_apex(cell, triangle):
    """The state of the cell at the apex of a triangle, inside the triangle."""
    py, px, qy, qx, ry, rx = triangle
    dy, dx = py + qy - 2 * ry, px + qx - 2 * rx
    dy = dy if dy != 0 else py - ry
    dx = dx if dx != 0 else px - rx
    return cell_state(cell, ry - (dy < 0), rx - (dx < 0))


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def states_of_halves(cell, halves, triangle, my, mx):
    """The states of both halves of a triangle, split at m; BROKEN for both if either must be split.

    halves: err of the middles of the longest sides of the halves, p-r and q-r.
    """
    if halves[0] == MUST_SPLIT or halves[1] == MUST_SPLIT:
        return BROKEN, BROKEN
    py, px, qy, qx, ry, rx = triangle
    return state_at_apex(cell, (py, px, ry, rx, my, mx)), state_at_apex(cell, (qy, qx, ry, rx, my, mx))


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def texture_stretch(P, Q, dy, dx):
    """L e / 4, px: by how much texture and photo part on a side of L px between depths that differ by the share e.

    A texture runs evenly along the side in space, the photo along its image.
    """
    return np.sqrt(float(dy * dy + dx * dx)) * abs(P[DEPTH] - Q[DEPTH]) / (2 * (P[DEPTH] + Q[DEPTH]))


@njit(cache=True, nogil=True, error_model="numpy")
def distance_to_plane(points, triangle, pitch, cap):
    """The largest distance of a triangle's pixels from its plane, px, or its texture stretch if that is larger.

    A px is pitch times the depth. MUST_SPLIT above cap and for a triangle without area.
    """
    py, px, qy, qx, ry, rx = triangle
    P, Q, R = points[py, px], points[qy, qx], points[ry, rx]
    ux, uy, uz = Q[0] - P[0], Q[1] - P[1], Q[2] - P[2]
    vx, vy, vz = R[0] - P[0], R[1] - P[1], R[2] - P[2]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    if not length > 0:
        return MUST_SPLIT
    nx, ny, nz = nx / length, ny / length, nz / length
    largest = max(
        texture_stretch(P, Q, py - qy, px - qx),
        texture_stretch(Q, R, qy - ry, qx - rx),
        texture_stretch(P, R, py - ry, px - rx),
    )
    if largest > cap:
        return MUST_SPLIT
    if py != qy and px != qx:  # the legs lie along the axes
        s = abs(qy - py)
        dy, dx = np.sign(py + qy - 2 * ry), np.sign(px + qx - 2 * rx)
        for i in range(s + 1):
            y = ry + dy * i
            for j in range(s + 1 - i):
                X = points[y, rx + dx * j]
                off = abs(nx * (X[0] - P[0]) + ny * (X[1] - P[1]) + nz * (X[2] - P[2]))
                if off > largest * X[DEPTH] * pitch:
                    largest = off / (X[DEPTH] * pitch)
            if largest > cap:
                return MUST_SPLIT
    else:  # the longest side lies along an axis
        half = max(abs(qy - py), abs(qx - px)) // 2
        my, mx = (py + qy) // 2, (px + qx) // 2
        ay, ax = (ry - my) // half, (rx - mx) // half  # towards the apex
        by, bx = (qy - my) // half, (qx - mx) // half  # along the side
        for i in range(half + 1):
            for j in range(i - half, half - i + 1):
                X = points[my + ay * i + by * j, mx + ax * i + bx * j]
                off = abs(nx * (X[0] - P[0]) + ny * (X[1] - P[1]) + nz * (X[2] - P[2]))
                if off > largest * X[DEPTH] * pitch:
                    largest = off / (X[DEPTH] * pitch)
            if largest > cap:
                return MUST_SPLIT
    return np.float32(largest)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def triangle_error(points, triangle, halves, states, pitch, cap):
    """The error of a triangle and of all inside it, MUST_SPLIT or NO_TRIANGLE.

    halves: err of the middles of the longest sides of its two halves; states: of `states_of_halves`.
    """
    if halves[0] == MUST_SPLIT or halves[1] == MUST_SPLIT:
        return MUST_SPLIT
    if states[0] == BROKEN or states[1] == BROKEN or states[0] != states[1]:
        return MUST_SPLIT
    if states[0] == EMPTY:
        return NO_TRIANGLE
    return max(distance_to_plane(points, triangle, pitch, cap), halves[0], halves[1])


def split_errors(points: np.ndarray, cell: np.ndarray, pitch: float, cap: float, size: int) -> np.ndarray:
    """Err of every middle: (H, W) float32, px, the distance over depth pitch; MUST_SPLIT above cap.

    Parameters
    ----------
    points : (H, W, 3) or (H, W, 4) float64
        x, y, z, and where no axis is ahead everywhere the distance, which is the depth then in the place of z.
    cell : (H-1, W-1) uint8
        Of `classify_cells`.
    pitch : float
        Distance of neighbouring pixels at depth 1.
    cap : float
        px.
    size : int
        2^k: the largest triangle's side. Triangles that are larger are split.
    """
    err = np.full(points.shape[:2], MUST_SPLIT, np.float32)
    with ThreadPoolExecutor(resources.processors()) as pool:
        s = 2
        while s <= size:
            squares = -(-len(err) // s)  # from top to bottom
            ends = np.linspace(0, squares, min(MAX_BANDS, squares) + 1).astype(int)
            # each kernel reads what the one before has written
            for kernel in (write_errors_of_sides, write_errors_of_squares):

                def band(k, kernel=kernel, s=s, ends=ends):
                    kernel(points, cell, pitch, cap, s, (ends[k], ends[k + 1]), err)

                list(pool.map(band, range(len(ends) - 1)))
            s *= 2
    return err


@njit(cache=True, nogil=True, error_model="numpy")
def write_errors_of_sides(points, cell, pitch, cap, s, rows, err):
    """Write err of the middles of the sides of squares of s px, for rows[0] to rows[1] - 1 of squares."""
    H, W = err.shape
    h, g = s // 2, s // 4
    for upright in (False, True):
        for y in range(rows[0] * s + (h if upright else 0), min(rows[1] * s, H), s):
            for x in range(h if not upright else 0, W, s):
                value = NO_TRIANGLE
                for side in (-1, 1):
                    if upright:
                        triangle = (y - h, x, y + h, x, y, x + side * h)
                    else:
                        triangle = (y, x - h, y, x + h, y + side * h, x)
                    if s == 2:  # the halves are half cells
                        halves = (NO_TRIANGLE, NO_TRIANGLE)
                        if upright:
                            c = x - (side < 0)
                            states = cell_state(cell, y - 1, c), cell_state(cell, y, c)
                        else:
                            c = y - (side < 0)
                            states = cell_state(cell, c, x - 1), cell_state(cell, c, x)
                    else:
                        if upright:
                            halves = error_at(err, y - g, x + side * g, g), error_at(err, y + g, x + side * g, g)
                        else:
                            halves = error_at(err, y + side * g, x - g, g), error_at(err, y + side * g, x + g, g)
                        states = states_of_halves(cell, halves, triangle, y, x)
                    value = max(value, triangle_error(points, triangle, halves, states, pitch, cap))
                err[y, x] = value


@njit(cache=True, nogil=True, error_model="numpy")
def write_errors_of_squares(points, cell, pitch, cap, s, rows, err):
    """Write err of the middles of squares of s px, for rows[0] to rows[1] - 1 of squares."""
    H, W = err.shape
    h = s // 2
    for y in range(rows[0] * s + h, min(rows[1] * s, H), s):
        for x in range(h, W, s):
            turn = h if ((y // s) + (x // s)) % 2 == 0 else -h  # the diagonal falls, or rises
            py, px, qy, qx = y - h, x - turn, y + h, x + turn
            value = NO_TRIANGLE
            for ry, rx in ((y - h, x + turn), (y + h, x - turn)):
                halves = (
                    error_at(err, (ry + py) // 2, (rx + px) // 2, h),
                    error_at(err, (ry + qy) // 2, (rx + qx) // 2, h),
                )
                triangle = (py, px, qy, qx, ry, rx)
                states = states_of_halves(cell, halves, triangle, y, x)
                value = max(value, triangle_error(points, triangle, halves, states, pitch, cap))
            err[y, x] = value


@njit(cache=True, nogil=True, error_model="numpy")
def extract_triangles(err, cell, tolerance, size, out):
    """The triangles of the network that are left whole where err <= tolerance, without those of BROKEN cells.

    Parameters
    ----------
    err : (H, W) float32
        Of `split_errors`.
    cell : (H-1, W-1) uint8
        Of `classify_cells`.
    tolerance : float
        px.
    size : int
        2^k, as given to `split_errors`.
    out : (M, 3) int32, output
        Pixels y W + x; (0, 3): count only.

    Returns
    -------
    count : int
        Number of triangles.
    error : float
        The largest err left whole, px.
    """
    H, W = err.shape
    stack = np.empty((STACK_SIZE, 6), np.int64)
    top, n, worst = 0, 0, 0.0
    for k in range(2):
        root = (0, 0, size, size, 0, size) if k == 0 else (size, size, 0, 0, size, 0)
        top = push_triangle(stack, top, root)
        while top > 0:
            top -= 1
            py, px, qy, qx, ry, rx = stack[top]
            if min(py, qy, ry) >= H - 1 or min(px, qx, rx) >= W - 1:
                continue
            if abs(py - qy) == 1:  # half of a cell: its longest side is the cell's diagonal
                whole = cell_state(cell, min(py, qy), min(px, qx)) == WHOLE
            else:
                my, mx = (py + qy) // 2, (px + qx) // 2
                e = error_at(err, my, mx, size)
                if e > tolerance:
                    top = push_triangle(stack, top, (ry, rx, py, px, my, mx))
                    top = push_triangle(stack, top, (qy, qx, ry, rx, my, mx))
                    continue
                whole = state_at_apex(cell, (py, px, qy, qx, ry, rx)) == WHOLE
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


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def push_triangle(stack, top, triangle):
    """Write a triangle to stack[top]; returns top + 1."""
    for j in range(6):
        stack[top, j] = triangle[j]
    return top + 1
