"""Fewer triangles for any mesh: edges collapsed in the order of their quadric error (numba).

Source: M. Garland, P. Heckbert, Surface simplification using quadric error metrics, 1997.
"""

import heapq

import numpy as np
from numba import njit

OUTLINE = 10.0  # weight of the planes that stand upright on an open edge, which keep outlines where they are
LEAST_TURN = 0.2  # cosine between a face's normal before and after: no face may fold over
FLAT = 1e-4  # of the largest: a quadric whose determinant is less has no vertex of its own


@njit(cache=True, nogil=True, error_model="numpy")
def _add_plane(Q, v, nx, ny, nz, d, weight):
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
def _value(q, x, y, z):
    """Sum of the squared distances from the planes of a quadric."""
    return max(
        0.0,
        q[0] * x * x
        + q[4] * y * y
        + q[7] * z * z
        + q[9]
        + 2 * (q[1] * x * y + q[2] * x * z + q[3] * x + q[5] * y * z + q[6] * y + q[8] * z),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _place(X, Q, open_, p, q, out):
    """Where p and q had best become one vertex, into out; returns the quadric's value there."""
    s = Q[p] + Q[q]
    if open_[p] != open_[q]:  # an outline keeps its vertices
        at = X[p] if open_[p] else X[q]
        out[:] = at
        return _value(s, at[0], at[1], at[2])
    middle = (X[p] + X[q]) / 2
    best, where = _value(s, middle[0], middle[1], middle[2]), middle
    for end in (X[p], X[q]):
        value = _value(s, end[0], end[1], end[2])
        if value < best:
            best, where = value, end
    # the stationary point, by Cramer's rule about the middle
    a, b, c, e, f, i = s[0], s[1], s[2], s[4], s[5], s[7]
    u = -(a * middle[0] + b * middle[1] + c * middle[2] + s[3])
    v = -(b * middle[0] + e * middle[1] + f * middle[2] + s[6])
    w = -(c * middle[0] + f * middle[1] + i * middle[2] + s[8])
    det = a * (e * i - f * f) - b * (b * i - f * c) + c * (b * f - e * c)
    scale = max(a, e, i)
    if det > FLAT * scale * scale * scale:
        x = (u * (e * i - f * f) - b * (v * i - f * w) + c * (v * f - e * w)) / det
        y = (a * (v * i - f * w) - u * (b * i - f * c) + c * (b * w - v * c)) / det
        z = (a * (e * w - v * f) - b * (b * w - v * c) + u * (b * f - e * c)) / det
        span = X[p] - X[q]
        if x * x + y * y + z * z <= (span * span).sum():  # no farther off than the edge is long
            value = _value(s, middle[0] + x, middle[1] + y, middle[2] + z)
            if value < best:
                out[0], out[1], out[2] = middle[0] + x, middle[1] + y, middle[2] + z
                return value
    out[:] = where
    return best


@njit(cache=True, nogil=True, error_model="numpy")
def collapse(X, F, tolerance, most, unit=0.0):
    """Collapse edges of the mesh X (V,3), F (M,3), both changed: all that move the surface by no more than `tolerance`,
    in units of X, and more while there are over `most` faces (0: no such bound).

    The error of a vertex is the root of the sum of its squared distances from all the planes it stands for, so at least
    its distance from each. Kept: manifold edges (the link condition), the sides of faces, outlines; and the photo,
    which a long edge between different depths would pull, where X is (x/z, y/z, ln z) / unit (0: it is not).
    Returns (kept (M,) bool, of F; source (V,), a vertex of the given mesh near each; the largest error).
    """
    V, M = len(X), len(F)
    Q = np.zeros((V, 10))
    head, following = np.full(V, -1), np.full(3 * M, -1)  # corners 3 f + k of each vertex, as a chain
    alive = np.ones(M, np.bool_)
    source = np.arange(V)
    stamp = np.zeros(V, np.int64)
    open_ = np.zeros(V, np.bool_)
    for f in range(M):
        for k in range(3):
            v = F[f, k]
            following[3 * f + k] = head[v]
            head[v] = 3 * f + k
    heap = [(0.0, 0, 0, np.int64(0)) for _ in range(0)]
    ring_p, ring_q = np.empty(1024, np.int64), np.empty(1024, np.int64)
    place = np.empty(3)
    for f in range(M):
        a, b, c = X[F[f, 0]], X[F[f, 1]], X[F[f, 2]]
        n = np.cross(b - a, c - a)
        length = np.sqrt((n * n).sum())
        if not length > 0:
            continue
        n /= length
        for k in range(3):
            _add_plane(Q, F[f, k], n[0], n[1], n[2], -(n * a).sum(), 1.0)
        for k in range(3):
            p, q = F[f, k], F[f, (k + 1) % 3]
            shared = False
            at = head[q]
            while at >= 0 and not shared:  # the face on the other side runs from q to p
                shared = F[at // 3, (at % 3 + 1) % 3] == p
                at = following[at]
            if not shared:
                open_[p] = open_[q] = True
                along = X[q] - X[p]
                upright = np.cross(along, n)
                length = np.sqrt((upright * upright).sum())
                if length > 0:
                    upright /= length
                    for v in (p, q):
                        _add_plane(Q, v, upright[0], upright[1], upright[2], -(upright * X[p]).sum(), OUTLINE)
    for f in range(M):
        for k in range(3):
            p, q = F[f, k], F[f, (k + 1) % 3]
            at, both = head[q], False
            while at >= 0 and not both:
                both = F[at // 3, (at % 3 + 1) % 3] == p
                at = following[at]
            if p < q or not both:
                heap.append((_place(X, Q, open_, p, q, place), p, q, np.int64(0)))
    heapq.heapify(heap)

    faces, worst = M, 0.0
    limit = tolerance * tolerance
    while len(heap):
        cost, p, q, when = heapq.heappop(heap)
        if cost > limit and (most == 0 or faces <= most):
            break
        if stamp[p] < 0 or stamp[q] < 0 or stamp[p] + stamp[q] != when:
            continue
        # the link condition: who is next to both is across a face of both
        np_, nq, sides = 0, 0, 0
        at = head[p]
        while at >= 0 and np_ < 1020:
            f = at // 3
            if alive[f]:
                has_q = False
                for k in range(3):
                    if F[f, k] != p:
                        ring_p[np_] = F[f, k]
                        np_ += 1
                        has_q = has_q or F[f, k] == q
                sides += has_q
            at = following[at]
        at = head[q]
        while at >= 0 and nq < 1020:
            f = at // 3
            if alive[f]:
                for k in range(3):
                    if F[f, k] != q:
                        ring_q[nq] = F[f, k]
                        nq += 1
            at = following[at]
        if np_ >= 1020 or nq >= 1020 or sides == 0:
            continue
        common = np.intersect1d(ring_p[:np_], ring_q[:nq])
        if len(common) != sides or (open_[p] and open_[q] and sides == 2):
            continue
        if faces - sides < 1:
            continue
        _place(X, Q, open_, p, q, place)
        folds = False
        for v, other in ((p, q), (q, p)):
            at = head[v]
            while at >= 0 and not folds:
                f, k = at // 3, at % 3
                at = following[at]
                if not alive[f]:
                    continue
                i, j = F[f, (k + 1) % 3], F[f, (k + 2) % 3]
                if i == other or j == other:
                    continue
                before = np.cross(X[i] - X[v], X[j] - X[v])
                after = np.cross(X[i] - place, X[j] - place)
                dot = (before * after).sum()
                folds = not dot > LEAST_TURN * np.sqrt((before * before).sum() * (after * after).sum())
                for end in (i, j):  # the photo over it, as in `adaptive`
                    u = X[end] - place
                    pulled = np.sqrt(u[0] * u[0] + u[1] * u[1]) * abs(u[2]) * unit / 4
                    folds = folds or pulled > tolerance and pulled * pulled > cost
            if folds:
                break
        if folds:
            continue
        near_p, near_q = X[p] - place, X[q] - place
        if (near_q * near_q).sum() < (near_p * near_p).sum():
            source[p] = source[q]
        X[p] = place
        Q[p] += Q[q]
        open_[p] = open_[p] or open_[q]
        worst = max(worst, cost)
        # q's corners become p's
        last, at = -1, head[q]
        while at >= 0:
            f = at // 3
            if alive[f]:
                if F[f, 0] == p or F[f, 1] == p or F[f, 2] == p:
                    alive[f] = False
                    faces -= 1
                else:
                    F[f, at % 3] = p
            last = at
            at = following[at]
        following[last] = head[p]
        head[p] = head[q]
        head[q] = -1
        stamp[q] = -1
        stamp[p] += 1
        # dead corners leave the chain, and the edges of p are judged anew
        before, at, seen = -1, head[p], 0
        while at >= 0:
            f = at // 3
            after = following[at]
            if alive[f]:
                before = at
                for k in range(3):
                    v = F[f, k]
                    if v != p:
                        known = False
                        for i in range(seen):
                            known = known or ring_p[i] == v
                        if not known and seen < 1020:
                            ring_p[seen] = v
                            seen += 1
                            heapq.heappush(heap, (_place(X, Q, open_, p, v, place), p, v, stamp[p] + stamp[v]))
            elif before < 0:
                head[p] = after
            else:
                following[before] = after
            at = after
    return alive, source, np.sqrt(worst)
