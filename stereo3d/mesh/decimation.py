"""Mesh simplification: edges collapsed in the order of their quadric error (numba).

References
----------
Garland and Heckbert, Surface simplification using quadric error metrics, 1997.
"""

import heapq
from typing import NamedTuple

import numpy as np

from ..kernel_cache import njit

BOUNDARY_WEIGHT = 10.0  # weight of the planes perpendicular to the mesh at boundary edges, which keep outlines in place
MIN_NORMAL_COSINE = 0.2  # between a face's normal before and after a collapse: less counts as a fold
MIN_DETERMINANT = 1e-4  # of the cubed largest diagonal entry: below it a quadric has no stable minimum
MAX_RING = 1020  # neighbours listed for one vertex, two per face: a vertex with more is not collapsed
RING_BUFFER = MAX_RING + 4  # room for the face that reaches MAX_RING


class EditableMesh(NamedTuple):
    """A mesh of V vertices and M faces while edges are collapsed.

    Corner 3 f + k is vertex faces[f, k]. The corners of a vertex form a linked list, which ends with -1.

    Attributes
    ----------
    points : (V, 3) float64
    faces : (M, 3) int
    quadrics : (V, 10) float64
        Upper triangle of the symmetric 4x4 matrix, row by row.
    first_corner : (V,) int64
    next_corner : (3 M,) int64
    alive : (M,) bool
        False: the face has collapsed.
    version : (V,) int64
        Number of collapses into the vertex; -1: merged into another one. A heap entry with an older sum is outdated.
    boundary : (V,) bool
        True: the vertex lies on a boundary edge.
    mark : (V,) bool
        Scratch of `count_common`.
    """

    points: np.ndarray
    faces: np.ndarray
    quadrics: np.ndarray
    first_corner: np.ndarray
    next_corner: np.ndarray
    alive: np.ndarray
    version: np.ndarray
    boundary: np.ndarray
    mark: np.ndarray


@njit(cache=True, nogil=True, error_model="numpy")
def add_plane(Q, v, nx, ny, nz, d, weight):
    """Q[v] += weight (n, d) (n, d)^T, the quadric of the plane n . X + d = 0; Q (V, 10)."""
    Q[v, 0] += weight * nx * nx
    Q[v, 1] += weight * nx * ny
    Q[v, 2] += weight * nx * nz
    Q[v, 3] += weight * nx * d
    Q[v, 4] += weight * ny * ny
    Q[v, 5] += weight * ny * nz
    Q[v, 6] += weight * ny * d
    Q[v, 7] += weight * nz * nz
    Q[v, 8] += weight * nz * d
    Q[v, 9] += weight * d * d


@njit(cache=True, nogil=True, error_model="numpy")
def quadric_error(q, x, y, z):
    """(X, 1)^T Q (X, 1) >= 0, the sum of squared distances of X = (x, y, z) from the planes of quadric q (10,)."""
    return max(
        0.0,
        q[0] * x * x
        + q[4] * y * y
        + q[7] * z * z
        + q[9]
        + 2 * (q[1] * x * y + q[2] * x * z + q[3] * x + q[5] * y * z + q[6] * y + q[8] * z),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def best_position(X, Q, boundary, p, q, out):
    """Return the least quadric error of vertices p and q merged, and write its position to out (3,).

    The minimum of the quadric counts if it lies within one edge length of the middle; otherwise the best of the
    middle and both ends. An inner vertex merges into a boundary vertex, which stays in place.
    """
    s = Q[p] + Q[q]
    if boundary[p] != boundary[q]:
        at = X[p] if boundary[p] else X[q]
        out[:] = at
        return quadric_error(s, at[0], at[1], at[2])
    middle = (X[p] + X[q]) / 2
    best, where = quadric_error(s, middle[0], middle[1], middle[2]), middle
    for end in (X[p], X[q]):
        error = quadric_error(s, end[0], end[1], end[2])
        if error < best:
            best, where = error, end
    # the stationary point relative to the middle, by Cramer's rule
    a, b, c, e, f, i = s[0], s[1], s[2], s[4], s[5], s[7]
    u = -(a * middle[0] + b * middle[1] + c * middle[2] + s[3])
    v = -(b * middle[0] + e * middle[1] + f * middle[2] + s[6])
    w = -(c * middle[0] + f * middle[1] + i * middle[2] + s[8])
    det = a * (e * i - f * f) - b * (b * i - f * c) + c * (b * f - e * c)
    scale = max(a, e, i)
    if det > MIN_DETERMINANT * scale * scale * scale:
        x = (u * (e * i - f * f) - b * (v * i - f * w) + c * (v * f - e * w)) / det
        y = (a * (v * i - f * w) - u * (b * i - f * c) + c * (b * w - v * c)) / det
        z = (a * (e * w - v * f) - b * (b * w - v * c) + u * (b * f - e * c)) / det
        span = X[p] - X[q]
        if x * x + y * y + z * z <= (span * span).sum():
            error = quadric_error(s, middle[0] + x, middle[1] + y, middle[2] + z)
            if error < best:
                out[0], out[1], out[2] = middle[0] + x, middle[1] + y, middle[2] + z
                return error
    out[:] = where
    return best


@njit(cache=True, nogil=True, error_model="numpy")
def link_corners(F, V):
    """Linked lists of the corners of each vertex: (first (V,), next (3 M,)) for faces F (M, 3); -1 ends a list."""
    first, following = np.full(V, -1), np.full(F.size, -1)
    for f in range(len(F)):
        for k in range(3):
            v = F[f, k]
            following[3 * f + k] = first[v]
            first[v] = 3 * f + k
    return first, following


@njit(cache=True, nogil=True, error_model="numpy")
def has_half_edge(mesh, p, q):
    """True if a face runs from p to q."""
    at = mesh.first_corner[p]
    while at >= 0:
        if mesh.faces[at // 3, (at % 3 + 1) % 3] == q:
            return True
        at = mesh.next_corner[at]
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def add_face_quadrics(mesh):
    """Add the plane of every face to its corners, and mark boundary edges, with a perpendicular plane at their ends."""
    X, F, Q = mesh.points, mesh.faces, mesh.quadrics
    for f in range(len(F)):
        a, b, c = X[F[f, 0]], X[F[f, 1]], X[F[f, 2]]
        n = np.cross(b - a, c - a)
        length = np.sqrt((n * n).sum())
        if not length > 0:
            continue
        n /= length
        for k in range(3):
            add_plane(Q, F[f, k], n[0], n[1], n[2], -(n * a).sum(), 1.0)
        for k in range(3):
            p, q = F[f, k], F[f, (k + 1) % 3]
            if has_half_edge(mesh, q, p):
                continue
            mesh.boundary[p] = mesh.boundary[q] = True
            upright = np.cross(X[q] - X[p], n)
            length = np.sqrt((upright * upright).sum())
            if length > 0:
                upright /= length
                for v in (p, q):
                    add_plane(Q, v, upright[0], upright[1], upright[2], -(upright * X[p]).sum(), BOUNDARY_WEIGHT)


@njit(cache=True, nogil=True, error_model="numpy")
def heap_of_edges(mesh):
    """Heap of (quadric error, p, q, version 0), one entry per edge."""
    place = np.empty(3)
    heap = [(0.0, 0, 0, np.int64(0)) for _ in range(0)]
    for f in range(len(mesh.faces)):
        for k in range(3):
            p, q = mesh.faces[f, k], mesh.faces[f, (k + 1) % 3]
            if p < q or not has_half_edge(mesh, q, p):
                error = best_position(mesh.points, mesh.quadrics, mesh.boundary, p, q, place)
                heap.append((error, p, q, np.int64(0)))
    heapq.heapify(heap)
    return heap


@njit(cache=True, nogil=True, error_model="numpy")
def list_ring(mesh, v, other, ring):
    """Write the neighbours of v to ring (RING_BUFFER,), one entry per face and neighbour.

    Returns
    -------
    count : int
        Entries written; MAX_RING or more: v has too many neighbours, and the list is not complete.
    shared : int
        Number of faces of v that contain `other`.
    """
    count = shared = 0
    at = mesh.first_corner[v]
    while at >= 0 and count < MAX_RING:
        f = at // 3
        if mesh.alive[f]:
            for k in range(3):
                if mesh.faces[f, k] != v:
                    ring[count] = mesh.faces[f, k]
                    count += 1
                    shared += mesh.faces[f, k] == other
        at = mesh.next_corner[at]
    return count, shared


@njit(cache=True, nogil=True, error_model="numpy")
def count_common(a, b, mark):
    """|set(a) & set(b)|, the number of vertices in both lists; mark (V,) bool: False before and after."""
    for v in a:
        mark[v] = True
    common = 0
    for v in b:
        common += mark[v]
        mark[v] = False
    for v in a:
        mark[v] = False
    return common


@njit(cache=True, nogil=True, error_model="numpy")
def collapsible_faces(mesh, p, q, ring_p, ring_q):
    """Number of faces on edge p-q if the mesh stays a manifold without it, else 0.

    The link condition: every common neighbour of p and q lies opposite the edge in a face. An inner edge between two
    boundary vertices stays too: without it the outlines would touch in one vertex.
    """
    count_p, shared = list_ring(mesh, p, q, ring_p)
    count_q, _ = list_ring(mesh, q, p, ring_q)
    if count_p >= MAX_RING or count_q >= MAX_RING or shared == 0:
        return 0
    if count_common(ring_p[:count_p], ring_q[:count_q], mesh.mark) != shared:
        return 0
    if mesh.boundary[p] and mesh.boundary[q] and shared == 2:
        return 0
    return shared


@njit(cache=True, nogil=True, error_model="numpy")
def folds(mesh, v, other, place, cost, tolerance, unit):
    """True if a face of v that does not contain `other` folds over, or stretches the photo, when v moves to `place`.

    The photo is stretched along an edge of L px between depths that differ by the share e by L e / 4 px (as in `rtin`).
    """
    X, F = mesh.points, mesh.faces
    at = mesh.first_corner[v]
    while at >= 0:
        f, k = at // 3, at % 3
        at = mesh.next_corner[at]
        if not mesh.alive[f]:
            continue
        i, j = F[f, (k + 1) % 3], F[f, (k + 2) % 3]
        if i == other or j == other:
            continue
        before = np.cross(X[i] - X[v], X[j] - X[v])
        after = np.cross(X[i] - place, X[j] - place)
        dot = (before * after).sum()
        if not dot > MIN_NORMAL_COSINE * np.sqrt((before * before).sum() * (after * after).sum()):
            return True
        for end in (i, j):
            u = X[end] - place
            stretch = np.sqrt(u[0] * u[0] + u[1] * u[1]) * abs(u[2]) * unit / 4
            if stretch > tolerance and stretch * stretch > cost:
                return True
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def merge(mesh, p, q, place):
    """Move p to `place`, give it the quadric and the corners of q, and remove q; return how many faces collapse."""
    F, following = mesh.faces, mesh.next_corner
    mesh.points[p] = place
    mesh.quadrics[p] += mesh.quadrics[q]
    mesh.boundary[p] = mesh.boundary[p] or mesh.boundary[q]
    removed = 0
    last, at = -1, mesh.first_corner[q]
    while at >= 0:
        f = at // 3
        if mesh.alive[f]:
            if F[f, 0] == p or F[f, 1] == p or F[f, 2] == p:
                mesh.alive[f] = False
                removed += 1
            else:
                F[f, at % 3] = p
        last = at
        at = following[at]
    following[last] = mesh.first_corner[p]
    mesh.first_corner[p] = mesh.first_corner[q]
    mesh.first_corner[q] = -1
    mesh.version[q] = -1
    mesh.version[p] += 1
    return removed


@njit(cache=True, nogil=True, error_model="numpy")
def unlink_dead_corners(mesh, p):
    """Remove the corners of collapsed faces from the list of p."""
    before, at = -1, mesh.first_corner[p]
    while at >= 0:
        after = mesh.next_corner[at]
        if mesh.alive[at // 3]:
            before = at
        elif before < 0:
            mesh.first_corner[p] = after
        else:
            mesh.next_corner[before] = after
        at = after


@njit(cache=True, nogil=True, error_model="numpy")
def push_edges(mesh, p, heap, ring):
    """Push the edges of p with their new errors; the older entries are outdated by the version of p."""
    place = np.empty(3)
    seen, at = 0, mesh.first_corner[p]
    while at >= 0:
        for k in range(3):
            v = mesh.faces[at // 3, k]
            if v == p:
                continue
            known = False
            for i in range(seen):
                known = known or ring[i] == v
            if not known and seen < MAX_RING:
                ring[seen] = v
                seen += 1
                error = best_position(mesh.points, mesh.quadrics, mesh.boundary, p, v, place)
                heapq.heappush(heap, (error, p, v, mesh.version[p] + mesh.version[v]))
        at = mesh.next_corner[at]


@njit(cache=True, nogil=True, error_model="numpy")
def collapse(X, F, tolerance, max_faces, unit=0.0):
    """Collapse every edge whose error is at most `tolerance`, and further ones until `max_faces` faces remain.

    The error of a vertex is the root of the sum of its squared distances from all planes of its quadric, so at least
    its distance from each. Manifold edges (the link condition), the sides of faces and outlines are kept.

    Parameters
    ----------
    X : (V, 3) float64
        Vertices; changed in place.
    F : (M, 3) int
        Faces; changed in place.
    tolerance : float
        In units of X.
    max_faces : int
        0: no limit.
    unit : float
        Pixel pitch, if X is (x/z, y/z, ln z) / unit: then no edge stretches the photo by more than the tolerance.
        0: the photo is not considered.

    Returns
    -------
    alive : (M,) bool
        Faces of F that remain.
    source : (V,) int64
        For each vertex, one of the given vertices near its position.
    error : float
        The largest error of a collapse, in units of X.
    """
    V, M = len(X), len(F)
    first, following = link_corners(F, V)
    alive, version, boundary = np.ones(M, np.bool_), np.zeros(V, np.int64), np.zeros(V, np.bool_)
    mesh = EditableMesh(X, F, np.zeros((V, 10)), first, following, alive, version, boundary, np.zeros(V, np.bool_))
    add_face_quadrics(mesh)
    heap = heap_of_edges(mesh)

    source = np.arange(V)
    ring_p, ring_q = np.empty(RING_BUFFER, np.int64), np.empty(RING_BUFFER, np.int64)
    place = np.empty(3)
    faces, worst = M, 0.0
    limit = tolerance * tolerance
    while len(heap):
        cost, p, q, when = heapq.heappop(heap)
        if cost > limit and (max_faces == 0 or faces <= max_faces):
            break
        if version[p] < 0 or version[q] < 0 or version[p] + version[q] != when:
            continue
        shared = collapsible_faces(mesh, p, q, ring_p, ring_q)
        if shared == 0 or faces - shared < 1:
            continue
        best_position(X, mesh.quadrics, boundary, p, q, place)
        if folds(mesh, p, q, place, cost, tolerance, unit) or folds(mesh, q, p, place, cost, tolerance, unit):
            continue
        near_p, near_q = X[p] - place, X[q] - place
        if (near_q * near_q).sum() < (near_p * near_p).sum():
            source[p] = source[q]
        worst = max(worst, cost)
        faces -= merge(mesh, p, q, place)
        unlink_dead_corners(mesh, p)
        push_edges(mesh, p, heap, ring_p)
    return alive, source, np.sqrt(worst)
