"""Triangulate the cells of a grid that no regular triangle covers."""

import numpy as np

from ..kernel_cache import njit
from .kernels import same_surface, squared_distance, triangulate_square
from .rtin import BROKEN


@njit(cache=True, nogil=True, error_model="numpy")
def triangulate_broken_cells(P, centre, cell, after, tangent, out):
    """Write the triangles of BROKEN cells to out (M, 3) int32; return how many.

    A cell is triangulated by `triangulate_square`. Where further points lie between two pixels of a row, it is the
    strip between the upper and the lower chain of points.

    Parameters
    ----------
    P : PointList
        The W H pixels and then the further points.
    centre : (3,) float64
        Position of camera 2, which decides whether a strip is one surface: for camera 1 it is too steep.
    cell : (H-1, W-1) uint8
        Of `classify_cells`.
    after : (N,) int64, ascending
        The pixel that each further point follows.
    tangent : float
        tan(max_angle).
    """
    h, w = cell.shape
    W = w + 1
    chain = np.empty((2, len(after) + 2), np.int64)
    length = np.zeros(2, np.int64)
    n = np.int64(0)  # a literal 0 is a type of its own: numba would compile every function it is passed to twice
    for y in range(h):
        for x in range(w):
            if cell[y, x] != BROKEN:
                continue
            a = y * W + x
            if has_points(after, a) or has_points(after, a + W):
                for k in range(2):
                    length[k] = write_chain(P, centre, W * (h + 1), a + k * W, after, tangent, chain[k])
                if length[0] > 2 or length[1] > 2:
                    n = triangulate_strip(P, centre, chain, length, tangent, out, n)
                    continue
            n = triangulate_square(P, (a, a + 1, a + W + 1, a + W), tangent, out, n)
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def same_surface_from(P, centre, p, q, tangent):
    """True if points p and q of the PointList P lie on one surface, seen from a centre (3,)."""
    px, py, pz = P.X[p, 0] - centre[0], P.X[p, 1] - centre[1], P.X[p, 2] - centre[2]
    qx, qy, qz = P.X[q, 0] - centre[0], P.X[q, 1] - centre[1], P.X[q, 2] - centre[2]
    rp, rq = np.sqrt(px * px + py * py + pz * pz), np.sqrt(qx * qx + qy * qy + qz * qz)
    return same_surface(px, py, pz, rp, P.sigma[p], qx, qy, qz, rq, P.sigma[q], tangent)


@njit(cache=True, nogil=True, error_model="numpy")
def first_from(after, at):
    """Return the place of the first entry >= at of the sorted list `after`: np.searchsorted, which compiles slowly."""
    low, high = 0, len(after)
    while low < high:
        middle = (low + high) // 2
        if after[middle] < at:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True, error_model="numpy")
def has_points(after, at):
    """True if pixel `at` is in the sorted list `after`."""
    i = first_from(after, at)
    return i < len(after) and after[i] == at


@njit(cache=True, nogil=True, error_model="numpy")
def write_chain(P, centre, pixels, start, after, tangent, chain):
    """Write pixel `start`, the points that follow it and its right neighbour to chain; return how many there are.

    If they are not all on one surface, only both pixels count. Further points are numbered from `pixels` on.
    """
    low, high = first_from(after, start), first_from(after, start + 1)
    chain[0] = start
    length = 1
    for i in range(low, high):
        chain[length] = pixels + i
        length += 1
    chain[length] = start + 1
    length += 1
    joined = True
    for i in range(length - 1):
        joined = joined and same_surface_from(P, centre, chain[i], chain[i + 1], tangent)
    if length > 2 and not joined:
        chain[1] = start + 1
        length = 2
    return length


@njit(cache=True, nogil=True, error_model="numpy")
def triangulate_strip(P, centre, chain, length, tangent, out, n):
    """Write the triangles between two chains of points to out from row n on; return the next free row.

    The strip advances by the shorter of the two next diagonals. Triangles not on one surface are left out.
    """
    i = j = 0
    while i < length[0] - 1 or j < length[1] - 1:
        p, q = chain[0, i], chain[1, j]
        advance_upper = j == length[1] - 1
        if not advance_upper and i < length[0] - 1:
            upper, lower = squared_distance(P.X, chain[0, i + 1], q), squared_distance(P.X, chain[1, j + 1], p)
            advance_upper = upper <= lower
        t = chain[0, i + 1] if advance_upper else chain[1, j + 1]
        sides = same_surface_from(P, centre, p, q, tangent) and same_surface_from(P, centre, p, t, tangent)
        if sides and same_surface_from(P, centre, q, t, tangent):
            out[n, 0], out[n, 1], out[n, 2] = p, q, t
            n += 1
        if advance_upper:
            i += 1
        else:
            j += 1
    return n
