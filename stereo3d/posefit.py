"""Kernels of the relative pose (numba): minimal samples, Sampson distances, robust least squares over pose and lens."""

import numpy as np
from numba import njit

# Written out in loops: numba compiles slices, reductions and products of small arrays ten times as slowly.


@njit(cache=True, nogil=True, error_model="numpy")
def _times(A, B):
    """A B of (3,3) matrices."""
    C = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            C[i, j] = A[i, 0] * B[0, j] + A[i, 1] * B[1, j] + A[i, 2] * B[2, j]
    return C


@njit(cache=True, nogil=True, error_model="numpy")
def _cross(t):
    """[t]x."""
    W = np.zeros((3, 3))
    W[0, 1], W[0, 2], W[1, 2] = -t[2], t[1], -t[0]
    W[1, 0], W[2, 0], W[2, 1] = t[2], -t[1], t[0]
    return W


@njit(cache=True, nogil=True, error_model="numpy")
def _det3(M):
    return (
        M[0, 0] * (M[1, 1] * M[2, 2] - M[1, 2] * M[2, 1])
        - M[0, 1] * (M[1, 0] * M[2, 2] - M[1, 2] * M[2, 0])
        + M[0, 2] * (M[1, 0] * M[2, 1] - M[1, 1] * M[2, 0])
    )


# ------------------------------------------------------------------------------------------------ minimal samples


@njit(cache=True, nogil=True, error_model="numpy")
def _polynomial(c, row, degree, x):
    """Value and slope at x of c[row, 0] + c[row, 1] x + ... + c[row, degree] x^degree."""
    value, slope = c[row, degree], 0.0
    for k in range(degree - 1, -1, -1):
        slope = slope * x + value
        value = value * x + c[row, k]
    return value, slope


@njit(cache=True, nogil=True, error_model="numpy")
def _roots_inside(c, degree, roots):
    """Real roots in [-1, 1], ascending, of the polynomial c (ascending powers) -> how many; each simple root once.

    Between neighbouring roots of the derivative a polynomial is monotonic: from the last derivative up, each interval
    with a change of sign holds one root, found by Newton's steps that may not leave the interval, else by halving.
    """
    derivative = np.zeros((degree + 1, degree + 1))
    for k in range(degree + 1):
        derivative[degree, k] = c[k]
    for d in range(degree - 1, 0, -1):
        for k in range(d + 1):
            derivative[d, k] = derivative[d + 1, k + 1] * (k + 1)
    count = 0
    ends = np.empty(degree + 2)
    for d in range(1, degree + 1):
        ends[0] = -1.0
        for k in range(count):
            ends[k + 1] = roots[k]
        ends[count + 1] = 1.0
        intervals, count = count + 1, 0
        for k in range(intervals):
            a, b = ends[k], ends[k + 1]
            fa, fb = _polynomial(derivative, d, d, a)[0], _polynomial(derivative, d, d, b)[0]
            if fa == 0.0:
                if count == 0 or roots[count - 1] < a:
                    roots[count] = a
                    count += 1
                continue
            if fa * fb > 0 or (fb == 0.0 and k < intervals - 1):
                continue
            x = 0.5 * (a + b)
            for _ in range(60):
                f, slope = _polynomial(derivative, d, d, x)
                if f * fa > 0:
                    a = x
                else:
                    b = x
                new = x - f / slope if slope != 0.0 else a
                if not a <= new <= b:
                    new = 0.5 * (a + b)
                step = abs(new - x)
                x = new
                if step <= 1e-15 or f == 0.0:
                    break
            roots[count] = x
            count += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def real_roots(c, degree, roots):
    """All real roots of c[0] + ... + c[degree] x^degree -> how many; those beyond 1 are those of the reversed one."""
    scale = 0.0
    for k in range(degree + 1):
        scale = max(scale, abs(c[k]))
    if not scale > 0.0:
        return 0
    scaled, reversed_, far = np.empty(degree + 1), np.empty(degree + 1), np.empty(degree + 2)
    for k in range(degree + 1):
        scaled[k] = reversed_[degree - k] = c[k] / scale
    count = _roots_inside(scaled, degree, roots)
    many = _roots_inside(reversed_, degree, far)
    for k in range(many):
        if abs(far[k]) > 1e-8 and abs(far[k]) < 1.0 and count < len(roots):
            roots[count] = 1 / far[k]
            count += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _null_space(A):
    """Orthonormal rows N (n - m, n) with A N^T = 0 of A (m, n), m < n: Householder's reflections of A^T. A is lost.

    No rows where A has not rank m.
    """
    m, n = A.shape
    factor, largest = np.zeros(m), 0.0
    for k in range(m):
        for i in range(n):
            largest = max(largest, abs(A[k, i]))
    for k in range(m):
        length = 0.0
        for i in range(k, n):
            length += A[k, i] ** 2
        length = np.sqrt(length)
        if length <= 1e-12 * largest:
            return np.zeros((0, n))
        A[k, k] += length if A[k, k] >= 0 else -length
        square = 0.0
        for i in range(k, n):
            square += A[k, i] ** 2
        factor[k] = 2 / square
        for j in range(k + 1, m):
            dot = 0.0
            for i in range(k, n):
                dot += A[k, i] * A[j, i]
            dot *= factor[k]
            for i in range(k, n):
                A[j, i] -= dot * A[k, i]
    N = np.zeros((n - m, n))
    for c in range(n - m):
        N[c, m + c] = 1.0
        for k in range(m - 1, -1, -1):
            dot = 0.0
            for i in range(k, n):
                dot += A[k, i] * N[c, i]
            dot *= factor[k]
            for i in range(k, n):
                N[c, i] -= dot * A[k, i]
    return N


@njit(cache=True, nogil=True, error_model="numpy")
def _constraints(x1, x2, sample):
    """Rows a with a . vec(F) = x2^T F x1 of one sample of (B,n,2): (n,9)."""
    A = np.empty((x1.shape[1], 9))
    for k in range(x1.shape[1]):
        u, v, s, t = x1[sample, k, 0], x1[sample, k, 1], x2[sample, k, 0], x2[sample, k, 1]
        A[k, 0], A[k, 1], A[k, 2] = s * u, s * v, s
        A[k, 3], A[k, 4], A[k, 5] = t * u, t * v, t
        A[k, 6], A[k, 7], A[k, 8] = u, v, 1.0
    return A


@njit(cache=True, nogil=True, error_model="numpy")
def seven_point(x1, x2):
    """F (M,3,3) of unit norm of samples (B,7,2) in normalised pixels: det(F1 + a F2) = 0, up to three a sample."""
    out = np.empty((3 * len(x1), 3, 3))
    roots = np.empty(8)
    c = np.empty(4)
    count = 0
    for s in range(len(x1)):
        N = _null_space(_constraints(x1, x2, s))
        if len(N) == 0:
            continue
        # a cubic from its values at 0, 1, -1 and its leading coefficient
        at0, last = _det3(_mixed(N, 1.0, 0.0)), _det3(_mixed(N, 0.0, 1.0))
        plus, minus = _det3(_mixed(N, 1.0, 1.0)), _det3(_mixed(N, 1.0, -1.0))
        c[0], c[2], c[3] = at0, 0.5 * (plus + minus) - at0, last
        c[1] = 0.5 * (plus - minus) - last
        for k in range(real_roots(c, 3, roots)):
            length = np.sqrt(1 + roots[k] ** 2)  # the null space is orthonormal
            F = _mixed(N, 1 / length, roots[k] / length)
            for i in range(3):
                for j in range(3):
                    out[count, i, j] = F[i, j]
            count += 1
    return out[:count]


@njit(cache=True, nogil=True, error_model="numpy")
def _mixed(N, a, b):
    F = np.empty((3, 3))
    for i in range(9):
        F[i // 3, i % 3] = a * N[0, i] + b * N[1, i]
    return F


# Products of polynomials in x, y, z. Linear: x y z 1. Quadratic: x2 xy xz y2 yz z2 x y z 1. Cubic, in the order of
# Nister's elimination: x3 y3 x2y xy2 x2z x2 y2z y2 xyz xy | xz2 xz x yz2 yz y z3 z2 z 1.
_LINEAR = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)]
_QUADRATIC = [(2, 0, 0), (1, 1, 0), (1, 0, 1), (0, 2, 0), (0, 1, 1), (0, 0, 2), *_LINEAR]
_CUBIC = [
    (3, 0, 0),
    (0, 3, 0),
    (2, 1, 0),
    (1, 2, 0),
    (2, 0, 1),
    (2, 0, 0),
    (0, 2, 1),
    (0, 2, 0),
    (1, 1, 1),
    (1, 1, 0),
    (1, 0, 2),
    (1, 0, 1),
    (1, 0, 0),
    (0, 1, 2),
    (0, 1, 1),
    (0, 1, 0),
    (0, 0, 3),
    (0, 0, 2),
    (0, 0, 1),
    (0, 0, 0),
]


def _products(a, b, c):
    return np.array([[c.index(tuple(i + j for i, j in zip(m, n, strict=True))) for n in b] for m in a])


_TO_QUADRATIC, _TO_CUBIC = _products(_LINEAR, _LINEAR, _QUADRATIC), _products(_QUADRATIC, _LINEAR, _CUBIC)
_POWERS = np.array(_CUBIC)


@njit(cache=True, nogil=True, error_model="numpy")
def _ten_cubics(E):
    """det E = 0 and E E^T E = tr(E E^T) E / 2 as (10,20) coefficients; E (3,3,4) linear in x, y, z."""
    M = np.zeros((10, 20))
    square = np.zeros((3, 3, 10))
    for i in range(3):
        for j in range(i, 3):
            for k in range(3):
                for a in range(4):
                    for b in range(4):
                        square[i, j, _TO_QUADRATIC[a, b]] += E[i, k, a] * E[j, k, b]
            for q in range(10):
                square[j, i, q] = square[i, j, q]
    for q in range(10):
        half = 0.5 * (square[0, 0, q] + square[1, 1, q] + square[2, 2, q])
        for i in range(3):
            square[i, i, q] -= half
    for i in range(3):
        for j in range(3):
            for k in range(3):
                for q in range(10):
                    for a in range(4):
                        M[3 * i + j, _TO_CUBIC[q, a]] += square[i, k, q] * E[k, j, a]
    minor = np.empty(10)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        for q in range(10):
            minor[q] = 0.0
        for a in range(4):
            for b in range(4):
                minor[_TO_QUADRATIC[a, b]] += E[1, j, a] * E[2, k, b] - E[1, k, a] * E[2, j, b]
        for q in range(10):
            for a in range(4):
                M[9, _TO_CUBIC[q, a]] += minor[q] * E[0, i, a]
    return M


@njit(cache=True, nogil=True, error_model="numpy")
def _eliminate(M):
    """Gauss and Jordan: the first ten columns become the unit matrix; False where that is not possible."""
    n = len(M)
    for k in range(n):
        pivot = k
        for i in range(k + 1, n):
            if abs(M[i, k]) > abs(M[pivot, k]):
                pivot = i
        if not abs(M[pivot, k]) > 1e-14:
            return False
        for j in range(k, M.shape[1]):
            M[k, j], M[pivot, j] = M[pivot, j], M[k, j]
        inverse = 1 / M[k, k]
        for j in range(k, M.shape[1]):
            M[k, j] *= inverse
        for i in range(n):
            if i != k:
                f = M[i, k]
                for j in range(k, M.shape[1]):
                    M[i, j] -= f * M[k, j]
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _hidden_z(M):
    """(3,3,5): rows of polynomials in z that vanish on (x, y, 1), ascending powers; from the last six reduced rows."""
    B = np.zeros((3, 3, 5))
    for r in range(3):
        e, f = 4 + 2 * r, 5 + 2 * r
        for v in range(2):
            o = 10 + 3 * v
            B[r, v, 0], B[r, v, 1] = M[e, o + 2], M[e, o + 1] - M[f, o + 2]
            B[r, v, 2], B[r, v, 3] = M[e, o] - M[f, o + 1], -M[f, o]
        B[r, 2, 0], B[r, 2, 1] = M[e, 19], M[e, 18] - M[f, 19]
        B[r, 2, 2], B[r, 2, 3], B[r, 2, 4] = M[e, 17] - M[f, 18], M[e, 16] - M[f, 17], -M[f, 16]
    return B


@njit(cache=True, nogil=True, error_model="numpy")
def _det_of_polynomials(B):
    """The determinant, of degree ten, of (3,3,5) polynomials."""
    out, minor = np.zeros(11), np.empty(8)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        for a in range(8):  # rows j and k, columns x and y: cubics
            minor[a] = 0.0
        for a in range(4):
            for b in range(4):
                minor[a + b] += B[j, 0, a] * B[k, 1, b] - B[k, 0, a] * B[j, 1, b]
        for a in range(7):
            for b in range(5):
                out[a + b] += minor[a] * B[i, 2, b]
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _polish(cubics, w):
    """Newton's steps (least squares) on the ten cubics at w = (x, y, z), in place -> largest |cubic| left, scaled."""
    value, powers = np.empty((20, 4)), np.ones((3, 4))
    f, A = np.empty((10, 4)), np.empty((3, 4))
    worst = np.inf
    for step in range(3):
        for v in range(3):
            for d in range(1, 4):
                powers[v, d] = powers[v, d - 1] * w[v]
        for m in range(20):
            a, b, c = _POWERS[m, 0], _POWERS[m, 1], _POWERS[m, 2]
            value[m, 3] = powers[0, a] * powers[1, b] * powers[2, c]
            value[m, 0] = a * powers[0, max(a - 1, 0)] * powers[1, b] * powers[2, c]
            value[m, 1] = b * powers[0, a] * powers[1, max(b - 1, 0)] * powers[2, c]
            value[m, 2] = c * powers[0, a] * powers[1, b] * powers[2, max(c - 1, 0)]
        worst = 0.0
        for i in range(10):
            for v in range(4):
                f[i, v] = 0.0
                for m in range(20):
                    f[i, v] += cubics[i, m] * value[m, v]
            worst = max(worst, abs(f[i, 3]))
        worst /= (1.0 + max(abs(w[0]), abs(w[1]), abs(w[2]))) ** 3
        if step == 2:
            break
        for u in range(3):
            for v in range(4):
                A[u, v] = 0.0
                for i in range(10):
                    A[u, v] += f[i, u] * f[i, v]
        det = _det3(A)
        if not abs(det) > 1e-300:
            break
        # Cramer's rule
        w[0] -= (
            A[0, 3] * (A[1, 1] * A[2, 2] - A[1, 2] * A[2, 1])
            - A[0, 1] * (A[1, 3] * A[2, 2] - A[1, 2] * A[2, 3])
            + A[0, 2] * (A[1, 3] * A[2, 1] - A[1, 1] * A[2, 3])
        ) / det
        w[1] -= (
            A[0, 0] * (A[1, 3] * A[2, 2] - A[1, 2] * A[2, 3])
            - A[0, 3] * (A[1, 0] * A[2, 2] - A[1, 2] * A[2, 0])
            + A[0, 2] * (A[1, 0] * A[2, 3] - A[1, 3] * A[2, 0])
        ) / det
        w[2] -= (
            A[0, 0] * (A[1, 1] * A[2, 3] - A[1, 3] * A[2, 1])
            - A[0, 1] * (A[1, 0] * A[2, 3] - A[1, 3] * A[2, 0])
            + A[0, 3] * (A[1, 0] * A[2, 1] - A[1, 1] * A[2, 0])
        ) / det
    return worst


@njit(cache=True, nogil=True, error_model="numpy")
def five_point(y1, y2):
    """E (M,3,3) of unit norm of samples (B,5,2), normalised camera coordinates: up to ten a sample.

    E = x E1 + y E2 + z E3 + E4 in the null space of the five equations. Of the ten cubics in x, y, z the last six,
    reduced, give three equations linear in x and y with polynomials in z; their determinant's real roots are z.
    Source: Nister, An efficient solution to the five-point relative pose problem, 2004.
    """
    out = np.empty((10 * len(y1), 3, 3))
    roots, w, rows = np.empty(24), np.empty(3), np.empty((3, 3))
    count = 0
    for s in range(len(y1)):
        N = _null_space(_constraints(y1, y2, s))
        if len(N) == 0:
            continue
        E = np.empty((3, 3, 4))
        for i in range(3):
            for j in range(3):
                for a in range(4):
                    E[i, j, a] = N[a, 3 * i + j]
        cubics = _ten_cubics(E)
        reduced = cubics.copy()
        if not _eliminate(reduced):
            continue
        B = _hidden_z(reduced)
        found = min(real_roots(_det_of_polynomials(B), 10, roots), 10)
        for k in range(found):
            z = roots[k]
            for i in range(3):
                for j in range(3):
                    rows[i, j] = (((B[i, j, 4] * z + B[i, j, 3]) * z + B[i, j, 2]) * z + B[i, j, 1]) * z + B[i, j, 0]
            best = 0.0  # (x, y, 1) is perpendicular to the rows: the cross product with the largest last coordinate
            for i in range(3):
                j = (i + 1) % 3
                c = rows[i, 0] * rows[j, 1] - rows[i, 1] * rows[j, 0]
                if abs(c) > best:
                    best = abs(c)
                    w[0] = (rows[i, 1] * rows[j, 2] - rows[i, 2] * rows[j, 1]) / c
                    w[1] = (rows[i, 2] * rows[j, 0] - rows[i, 0] * rows[j, 2]) / c
            w[2] = z
            if best == 0.0 or not _polish(cubics, w) < 1e-6:
                continue
            length = np.sqrt(w[0] ** 2 + w[1] ** 2 + w[2] ** 2 + 1)  # the null space is orthonormal
            for i in range(3):
                for j in range(3):
                    e = E[i, j, 0] * w[0] + E[i, j, 1] * w[1] + E[i, j, 2] * w[2] + E[i, j, 3]
                    out[count, i, j] = e / length
            count += 1
    return out[:count]


# ---------------------------------------------------------------------------------------------- Sampson distances


@njit(cache=True, nogil=True, error_model="numpy")
def sampson_of_models(F, x1, x2):
    """Signed Sampson distances (M,N) of models F (M,3,3) and matches x1, x2 (N,2), as `geometry.sampson` has them."""
    r = np.empty((len(F), len(x1)))
    for m in range(len(F)):
        _sampson_of_one(F[m], x1, x2, r[m])
    return r


@njit(cache=True, nogil=True, error_model="numpy")
def _sampson_of_one(F, x1, x2, r):
    a, b, c = F[0, 0], F[0, 1], F[0, 2]
    d, e, f = F[1, 0], F[1, 1], F[1, 2]
    g, h, i = F[2, 0], F[2, 1], F[2, 2]
    for n in range(len(x1)):
        u, v, s, t = x1[n, 0], x1[n, 1], x2[n, 0], x2[n, 1]
        p, q = a * u + b * v + c, d * u + e * v + f
        k, l = a * s + d * t + g, b * s + e * t + h
        square = p * p + q * q + k * k + l * l
        r[n] = (p * s + q * t + g * u + h * v + i) / np.sqrt(max(square, 1e-300))


# --------------------------------------------------------------------------------------------------- least squares


@njit(cache=True, nogil=True, error_model="numpy")
def _turn(w):
    """R = exp([w]x), by Rodrigues."""
    angle = np.sqrt(w[0] ** 2 + w[1] ** 2 + w[2] ** 2)
    a = np.sin(angle) / angle if angle > 1e-12 else 1.0
    b = 0.5 * (np.sin(0.5 * angle) / (0.5 * angle)) ** 2 if angle > 1e-12 else 0.5
    W = _cross(w)
    R = _times(W, W)
    for i in range(3):
        for j in range(3):
            R[i, j] = a * W[i, j] + b * R[i, j] + (1.0 if i == j else 0.0)
    return R


@njit(cache=True, nogil=True, error_model="numpy")
def tangent_basis(t):
    """Two unit vectors (2,3) across the unit vector t and each other."""
    out = np.empty((2, 3))
    k = 0
    for i in range(1, 3):
        if abs(t[i]) < abs(t[k]):
            k = i
    length = np.sqrt(1 - t[k] * t[k])
    for i in range(3):
        out[0, i] = ((1.0 if i == k else 0.0) - t[k] * t[i]) / length
    for i in range(3):
        j, m = (i + 1) % 3, (i + 2) % 3
        out[1, i] = t[j] * out[0, m] - t[m] * out[0, j]
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _in_pixels(E, g1, g2):
    """diag(g2, g2, 1) E diag(g1, g1, 1)."""
    F = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            F[i, j] = E[i, j] * (g1 if j < 2 else 1.0) * (g2 if i < 2 else 1.0)
    return F


@njit(cache=True, nogil=True, error_model="numpy")
def _straighten(x, y, k1, k2, focal):
    """x, y px about the principal point -> ideal x, y (px), q = |x_u|^2 / focal^2, |x_u| / |x_d|, d|x_u| / d|x_d|.

    The radius by Newton's method on r_u (1 + k1 r_u^2 + k2 r_u^4) = r_d.
    """
    rd = np.sqrt(x * x + y * y) / focal
    if k1 == 0.0 and k2 == 0.0:
        return x, y, rd * rd, 1.0, 1.0
    ru = rd
    for _ in range(8):
        q = ru * ru
        new = ru - (ru * (1 + q * (k1 + q * k2)) - rd) / max(1 + q * (3 * k1 + 5 * q * k2), 0.1)
        new = min(max(new, 0.0), 3 * rd)
        done = abs(new - ru) < 1e-15
        ru = new
        if done:
            break
    q = ru * ru
    scale = ru / rd if rd > 0.0 else 1.0
    return x * scale, y * scale, q, scale, 1 / max(1 + q * (3 * k1 + 5 * q * k2), 0.1)


@njit(cache=True, nogil=True, error_model="numpy")
def residuals_of_view(R, t, z, focals, x1, x2, r):
    """r (N,): Sampson distances, px, of the pose R, t with lens parameters z (10,); x1, x2 (N,2) px, centred."""
    g1, g2 = np.exp(-z[0]) / focals[0], np.exp(-z[5]) / focals[1]
    F = _in_pixels(_times(_cross(t), R), g1, g2)
    for n in range(len(x1)):
        u1, v1, _, _, _ = _straighten(x1[n, 0] - z[1], x1[n, 1] - z[2], z[3], z[4], focals[0])
        u2, v2, _, _, _ = _straighten(x2[n, 0] - z[6], x2[n, 1] - z[7], z[8], z[9], focals[1])
        p, q = F[0, 0] * u1 + F[0, 1] * v1 + F[0, 2], F[1, 0] * u1 + F[1, 1] * v1 + F[1, 2]
        k, l = F[0, 0] * u2 + F[1, 0] * v2 + F[2, 0], F[0, 1] * u2 + F[1, 1] * v2 + F[2, 1]
        e = p * u2 + q * v2 + F[2, 0] * u1 + F[2, 1] * v1 + F[2, 2]
        r[n] = e / np.sqrt(max(p * p + q * q + k * k + l * l, 1e-300))


@njit(cache=True, nogil=True, error_model="numpy")
def sampson_jacobian_kernel(R, t, z, focals, x1, x2, spread, r, J):
    """r (N,) as above and J (N,5+q) = dr/d(w, s, p): R <- exp([w]x) R, t <- t + s tangents, z <- z + spread p.

    With e = h2^T F h1, n = |grad e|, l2 = F h1, l1 = F^T h2 (first two coordinates), r = e / n:
    dr/dF = (h2 / n - r l2 / n^2) h1^T - h2 (r l1 / n^2)^T, and F is linear in everything but the distortion and the
    principal point, which move the points instead: dr/du1 = l1 / n - r F^T l2 / n^2.
    """
    g1, g2 = np.exp(-z[0]) / focals[0], np.exp(-z[5]) / focals[1]
    tangents = tangent_basis(t)
    F = _in_pixels(_times(_cross(t), R), g1, g2)
    dE, axis = np.empty((5, 3, 3)), np.zeros(3)
    for k in range(5):
        for i in range(3):
            axis[i] = tangents[k - 3, i] if k > 2 else 1.0 if i == k else 0.0
        turned = _times(_cross(axis), R)
        part = _in_pixels(turned if k > 2 else _times(_cross(t), turned), g1, g2)
        for i in range(3):
            for j in range(3):
                dE[k, i, j] = part[i, j]
    q = spread.shape[1]
    slope, lens = np.empty((3, 3)), np.empty(10)
    for n in range(len(x1)):
        u1, v1, q1, scale1, rise1 = _straighten(x1[n, 0] - z[1], x1[n, 1] - z[2], z[3], z[4], focals[0])
        u2, v2, q2, scale2, rise2 = _straighten(x2[n, 0] - z[6], x2[n, 1] - z[7], z[8], z[9], focals[1])
        a, b = F[0, 0] * u1 + F[0, 1] * v1 + F[0, 2], F[1, 0] * u1 + F[1, 1] * v1 + F[1, 2]
        c, d = F[0, 0] * u2 + F[1, 0] * v2 + F[2, 0], F[0, 1] * u2 + F[1, 1] * v2 + F[2, 1]
        e = a * u2 + b * v2 + F[2, 0] * u1 + F[2, 1] * v1 + F[2, 2]
        i = 1 / np.sqrt(max(a * a + b * b + c * c + d * d, 1e-300))
        r[n] = e * i
        f = e * i * i  # r / n
        m0, m1 = (u2 - f * a) * i, (v2 - f * b) * i
        s0, s1 = f * i * c, f * i * d
        slope[0, 0], slope[0, 1], slope[0, 2] = m0 * u1 - u2 * s0, m0 * v1 - u2 * s1, m0
        slope[1, 0], slope[1, 1], slope[1, 2] = m1 * u1 - v2 * s0, m1 * v1 - v2 * s1, m1
        slope[2, 0], slope[2, 1], slope[2, 2] = i * u1 - s0, i * v1 - s1, i
        for k in range(5):
            dr = 0.0
            for y in range(3):
                for x in range(3):
                    dr += slope[y, x] * dE[k, y, x]
            J[n, k] = dr
        if q == 0:
            continue
        by1 = by2 = 0.0  # focal: the columns, and the rows, of F shrink
        for y in range(3):
            for x in range(2):
                by1 -= slope[y, x] * F[y, x]
                by2 -= slope[x, y] * F[x, y]
        lens[0], lens[5] = by1, by2
        g0, g3 = (c - f * (a * F[0, 0] + b * F[1, 0])) * i, (d - f * (a * F[0, 1] + b * F[1, 1])) * i
        along = g0 * u1 + g3 * v1
        radial = along * (rise1 - scale1) / max(q1 * focals[0] ** 2, 1e-300)
        lens[1], lens[2] = -g0 * scale1 - u1 * radial, -g3 * scale1 - v1 * radial
        lens[3], lens[4] = -along * q1 * rise1, -along * q1 * q1 * rise1
        g0, g3 = (a - f * (c * F[0, 0] + d * F[0, 1])) * i, (b - f * (c * F[1, 0] + d * F[1, 1])) * i
        along = g0 * u2 + g3 * v2
        radial = along * (rise2 - scale2) / max(q2 * focals[1] ** 2, 1e-300)
        lens[6], lens[7] = -g0 * scale2 - u2 * radial, -g3 * scale2 - v2 * radial
        lens[8], lens[9] = -along * q2 * rise2, -along * q2 * q2 * rise2
        for k in range(q):
            dr = 0.0
            for m in range(10):
                dr += lens[m] * spread[m, k]
            J[n, 5 + k] = dr


@njit(cache=True, nogil=True, error_model="numpy")
def _loss(r, sigma, cut):
    """Sum of `epipolar.soft_truncated`."""
    e = np.exp(-0.5 * (cut / sigma) ** 2)
    whole = 0.0
    for n in range(len(r)):
        whole -= np.log((np.exp(-0.5 * (r[n] / sigma) ** 2) + e) / (1 + e))
    return whole


@njit(cache=True, nogil=True, error_model="numpy")
def _normal_equations(r, J, sigma, cut, A, b):
    """A = J^T W J, b = J^T W r with the weights of `epipolar.soft_truncated` over sigma^2."""
    e = np.exp(-0.5 * (cut / sigma) ** 2)
    size = len(b)
    for i in range(size):
        b[i] = 0.0
        for k in range(i + 1):
            A[i, k] = 0.0
    for n in range(len(r)):
        g = np.exp(-0.5 * (r[n] / sigma) ** 2)
        w = g / (g + e) / sigma**2
        if w < 1e-12 / sigma**2:
            continue
        for i in range(size):
            b[i] += w * J[n, i] * r[n]
            for k in range(i + 1):
                A[i, k] += w * J[n, i] * J[n, k]
    for i in range(size):
        for k in range(i):
            A[k, i] = A[i, k]


@njit(cache=True, nogil=True, error_model="numpy")
def _damped_step(A, b, damping):
    """-(A + damping diag(A))^-1 b by Cholesky's factors; zeros where A is singular all the same."""
    n = len(b)
    L, x = A.copy(), b.copy()
    largest = 0.0
    for i in range(n):
        largest = max(largest, A[i, i])
    for i in range(n):
        L[i, i] += damping * A[i, i] + 1e-12 * largest + 1e-300
    for i in range(n):
        for k in range(i + 1):
            s = L[i, k]
            for j in range(k):
                s -= L[i, j] * L[k, j]
            if i == k:
                if not s > 0.0:
                    return np.zeros(n)
                L[i, i] = np.sqrt(s)
            else:
                L[i, k] = s / L[k, k]
    for i in range(n):
        for j in range(i):
            x[i] -= L[i, j] * x[j]
        x[i] /= L[i, i]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            x[i] -= L[j, i] * x[j]
        x[i] /= L[i, i]
    for i in range(n):
        x[i] = -x[i]
    return x


@njit(cache=True, nogil=True, error_model="numpy")
def adjust_views(R, t, p, focals, x1, x2, spread, precision, sigma, cut, steps, cost):
    """Levenberg and Marquardt's method on each start R (M,3,3), t (M,3), p (M,q), in place; cost (M,) of the results.

    Least sum of rho(r) + sum of precision p^2 / 2, rho and its weights as in `epipolar.soft_truncated`.
    """
    q = p.shape[1]
    r, J = np.empty(len(x1)), np.empty((len(x1), 5 + q))
    A, b, turn = np.empty((5 + q, 5 + q)), np.empty(5 + q), np.empty(3)
    own_R, own_t, own_p = np.empty((3, 3)), np.empty(3), np.empty(q)
    new_t, new_p, z = np.empty(3), np.empty(q), np.empty(10)
    for m in range(len(R)):
        for i in range(3):
            own_t[i] = t[m, i]
            for j in range(3):
                own_R[i, j] = R[m, i, j]
        for k in range(q):
            own_p[k] = p[m, k]
        _spread_out(spread, own_p, z)
        residuals_of_view(own_R, own_t, z, focals, x1, x2, r)
        own, damping, fresh = _loss(r, sigma, cut) + _prior(own_p, precision), 1e-3, True
        tangents = tangent_basis(own_t)
        for _ in range(steps):
            if fresh:
                tangents = tangent_basis(own_t)
                _spread_out(spread, own_p, z)
                sampson_jacobian_kernel(own_R, own_t, z, focals, x1, x2, spread, r, J)
                _normal_equations(r, J, sigma, cut, A, b)
                for k in range(q):
                    A[5 + k, 5 + k] += precision[k]
                    b[5 + k] += own_p[k] * precision[k]
            step = _damped_step(A, b, damping)
            length = 0.0
            for i in range(3):
                turn[i] = step[i]
                new_t[i] = own_t[i] + step[3] * tangents[0, i] + step[4] * tangents[1, i]
                length += new_t[i] ** 2
            for i in range(3):
                new_t[i] /= np.sqrt(length)
            for k in range(q):
                new_p[k] = own_p[k] + step[5 + k]
            new_R = _times(_turn(turn), own_R)
            _spread_out(spread, new_p, z)
            residuals_of_view(new_R, new_t, z, focals, x1, x2, r)
            new = _loss(r, sigma, cut) + _prior(new_p, precision)
            fresh = new < own
            if fresh:
                gain, own, damping = own - new, new, damping / 10
                own_R = new_R
                for i in range(3):
                    own_t[i] = new_t[i]
                for k in range(q):
                    own_p[k] = new_p[k]
                if gain <= 1e-9 * own:
                    break
            else:
                damping *= 10
                if damping > 1e4:
                    break
        cost[m] = own
        for i in range(3):
            t[m, i] = own_t[i]
            for j in range(3):
                R[m, i, j] = own_R[i, j]
        for k in range(q):
            p[m, k] = own_p[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _spread_out(spread, p, z):
    """z = spread p."""
    for i in range(10):
        z[i] = 0.0
        for k in range(len(p)):
            z[i] += spread[i, k] * p[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _prior(p, precision):
    cost = 0.0
    for k in range(len(p)):
        cost += 0.5 * precision[k] * p[k] ** 2
    return cost


@njit(cache=True, nogil=True, error_model="numpy")
def adjust_fundamental(U, Vt, x1, x2, angle, sigma, cut, steps):
    """F = U diag(cos angle, sin angle, 0) V^T of least sum of rho(r), from a start: U and V turn, as does the angle.

    x1, x2: (N,2) normalised pixels.  rho: `epipolar.soft_truncated`.
    Source: Bartoli and Sturm, Nonlinear estimation of the fundamental matrix with minimal parameters, 2004.
    """
    r, J = np.empty(len(x1)), np.empty((len(x1), 7))
    A, b, dF, turn = np.empty((7, 7)), np.empty(7), np.empty((7, 3, 3)), np.zeros(3)
    F = _times(U, _times(_diagonal(np.cos(angle), np.sin(angle)), Vt))
    _sampson_of_one(F, x1, x2, r)
    own, damping, fresh = _loss(r, sigma, cut), 1e-3, True
    for _ in range(steps):
        if fresh:
            D, dD = _diagonal(np.cos(angle), np.sin(angle)), _diagonal(-np.sin(angle), np.cos(angle))
            for k in range(7):
                for i in range(3):
                    turn[i] = 1.0 if i == k % 3 else 0.0
                W = _cross(turn)
                if k < 3:
                    part = _times(_times(U, W), _times(D, Vt))
                elif k < 6:
                    part = _times(_times(U, D), _times(W, Vt))
                else:
                    part = _times(U, _times(dD, Vt))
                for i in range(3):
                    for j in range(3):
                        dF[k, i, j] = part[i, j]
            _rows_of_fundamental(F, dF, x1, x2, r, J)
            _normal_equations(r, J, sigma, cut, A, b)
        step = _damped_step(A, b, damping)
        for i in range(3):
            turn[i] = step[i]
        new_U = _times(U, _turn(turn))
        for i in range(3):
            turn[i] = step[3 + i]
        new_Vt, turned = _times(_turn(turn), Vt), angle + step[6]
        new_F = _times(new_U, _times(_diagonal(np.cos(turned), np.sin(turned)), new_Vt))
        _sampson_of_one(new_F, x1, x2, r)
        new = _loss(r, sigma, cut)
        fresh = new < own
        if fresh:
            gain, own, damping = own - new, new, damping / 10
            U, Vt, F, angle = new_U, new_Vt, new_F, turned
            if gain <= 1e-9 * own:
                break
        else:
            damping *= 10
            if damping > 1e4:
                break
    return F


@njit(cache=True, nogil=True, error_model="numpy")
def _diagonal(a, b):
    D = np.zeros((3, 3))
    D[0, 0], D[1, 1] = a, b
    return D


@njit(cache=True, nogil=True, error_model="numpy")
def _rows_of_fundamental(F, dF, x1, x2, r, J):
    slope = np.empty((3, 3))
    for n in range(len(x1)):
        u1, v1, u2, v2 = x1[n, 0], x1[n, 1], x2[n, 0], x2[n, 1]
        a, b = F[0, 0] * u1 + F[0, 1] * v1 + F[0, 2], F[1, 0] * u1 + F[1, 1] * v1 + F[1, 2]
        c, d = F[0, 0] * u2 + F[1, 0] * v2 + F[2, 0], F[0, 1] * u2 + F[1, 1] * v2 + F[2, 1]
        e = a * u2 + b * v2 + F[2, 0] * u1 + F[2, 1] * v1 + F[2, 2]
        i = 1 / np.sqrt(max(a * a + b * b + c * c + d * d, 1e-300))
        r[n] = e * i
        f = e * i * i
        m0, m1, s0, s1 = (u2 - f * a) * i, (v2 - f * b) * i, f * i * c, f * i * d
        slope[0, 0], slope[0, 1], slope[0, 2] = m0 * u1 - u2 * s0, m0 * v1 - u2 * s1, m0
        slope[1, 0], slope[1, 1], slope[1, 2] = m1 * u1 - v2 * s0, m1 * v1 - v2 * s1, m1
        slope[2, 0], slope[2, 1], slope[2, 2] = i * u1 - s0, i * v1 - s1, i
        for k in range(len(dF)):
            dr = 0.0
            for y in range(3):
                for x in range(3):
                    dr += slope[y, x] * dF[k, y, x]
            J[n, k] = dr
