"""Kernels of the relative pose (numba): minimal solvers, Sampson distances, robust least squares over pose and lens.

Matrices are written out in loops: numba compiles slices, reductions and products of small arrays ten times as slowly.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numba.extending import overload


@njit(cache=True, nogil=True, error_model="numpy")
def _det3(M):
    """The determinant of a (3, 3) matrix, or of the first three columns of a longer one."""
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
def _roots_in_unit_interval(c, degree, roots):
    """Real roots in [-1, 1], ascending, of the polynomial c (ascending powers) -> their number; each simple root once.

    Between neighbouring roots of its derivative a polynomial is monotonic. From the last derivative up, each interval
    with a change of sign holds one root, found by Newton steps, or by bisection where these leave the interval.
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
    """c[0] + ... + c[degree] x^degree = 0: write all real roots into `roots` and return their number.

    Roots with |x| > 1 are reciprocals of roots of the reversed polynomial.

    Parameters
    ----------
    c : (degree + 1,) float64
        Coefficients, ascending powers.
    degree : int
        Of the polynomial.
    roots : (K,) float64
        Output, K >= degree + 1.

    Returns
    -------
    int
    """
    scale = 0.0
    for k in range(degree + 1):
        scale = max(scale, abs(c[k]))
    if not scale > 0.0:
        return 0
    scaled, reversed_, far = np.empty(degree + 1), np.empty(degree + 1), np.empty(degree + 2)
    for k in range(degree + 1):
        scaled[k] = reversed_[degree - k] = c[k] / scale
    count = _roots_in_unit_interval(scaled, degree, roots)
    many = _roots_in_unit_interval(reversed_, degree, far)
    for k in range(many):
        if abs(far[k]) > 1e-8 and abs(far[k]) < 1.0 and count < len(roots):
            roots[count] = 1 / far[k]
            count += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _null_space(A):
    """Orthonormal rows N (n - m, n) with A N^T = 0, A (m, n), m < n, by Householder reflections of A^T; destroys A.

    No rows where the rank of A is below m.
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
    """Rows a with a . vec(F) = x2^T F x1, of one sample of x1, x2 (B, n, 2): (n, 9)."""
    A = np.empty((x1.shape[1], 9))
    for k in range(x1.shape[1]):
        u, v, s, t = x1[sample, k, 0], x1[sample, k, 1], x2[sample, k, 0], x2[sample, k, 1]
        A[k, 0], A[k, 1], A[k, 2] = s * u, s * v, s
        A[k, 3], A[k, 4], A[k, 5] = t * u, t * v, t
        A[k, 6], A[k, 7], A[k, 8] = u, v, 1.0
    return A


@njit(cache=True, nogil=True, error_model="numpy")
def seven_point(x1, x2):
    """det(F1 + a F2) = 0, a cubic in a: the real F of seven matches, up to three a sample.

    Parameters
    ----------
    x1, x2 : (B, 7, 2) float64
        Samples, normalised pixels.

    Returns
    -------
    (M, 3, 3) float64
        Of unit norm.

    References
    ----------
    Hartley and Zisserman, Multiple View Geometry, 2004, section 11.1.2.
    """
    out = np.empty((3 * len(x1), 3, 3))
    roots = np.empty(8)
    c = np.empty(4)
    count = 0
    for s in range(len(x1)):
        N = _null_space(_constraints(x1, x2, s))
        if len(N) == 0:
            continue
        # a cubic from its values at 0, 1, -1 and its leading coefficient
        at0, last = _det3(_combination(N, 1.0, 0.0)), _det3(_combination(N, 0.0, 1.0))
        plus, minus = _det3(_combination(N, 1.0, 1.0)), _det3(_combination(N, 1.0, -1.0))
        c[0], c[2], c[3] = at0, 0.5 * (plus + minus) - at0, last
        c[1] = 0.5 * (plus - minus) - last
        for k in range(real_roots(c, 3, roots)):
            length = np.sqrt(1 + roots[k] ** 2)  # the null space is orthonormal
            F = _combination(N, 1 / length, roots[k] / length)
            for i in range(3):
                for j in range(3):
                    out[count, i, j] = F[i, j]
            count += 1
    return out[:count]


@njit(cache=True, nogil=True, error_model="numpy")
def _combination(N, a, b):
    """a N[0] + b N[1] as a (3, 3) matrix."""
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


def _products(a: list, b: list, c: list) -> np.ndarray:
    """Index in c of the product of each monomial of a with each of b, (len(a), len(b))."""
    return np.array([[c.index(tuple(i + j for i, j in zip(m, n, strict=True))) for n in b] for m in a])


_TO_QUADRATIC, _TO_CUBIC = _products(_LINEAR, _LINEAR, _QUADRATIC), _products(_QUADRATIC, _LINEAR, _CUBIC)
_POWERS = np.array(_CUBIC)


@njit(cache=True, nogil=True, error_model="numpy")
def _ten_cubics(E):
    """det E = 0 and E E^T E = tr(E E^T) E / 2 as (10, 20) coefficients; E (3, 3, 4) linear in x, y, z."""
    M = np.zeros((10, 20))
    square = _deviator(E)
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
def _deviator(E):
    """E E^T - tr(E E^T) I / 2 as (3, 3, 10) quadratics."""
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
    return square


@njit(cache=True, nogil=True, error_model="numpy")
def _eliminate(M):
    """Gauss-Jordan elimination in place: the first ten columns become the unit matrix; False where M is singular."""
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
    """Three rows of polynomials in z (3, 3, 5), ascending powers, that vanish on (x, y, 1), of the last six rows."""
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
    """The determinant (11,) of a matrix of polynomials B (3, 3, 5), ascending powers."""
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
    """Two Gauss-Newton steps on the ten cubics at w = (x, y, z), in place -> the largest |cubic| left, scaled."""
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
    """E = x E1 + y E2 + z E3 + E4 in the null space of the five equations: all real E, up to ten a sample.

    Of the ten cubics in x, y, z the last six, reduced, give three equations linear in x and y with polynomials in z;
    the real roots of their determinant are z.

    Parameters
    ----------
    y1, y2 : (B, 5, 2) float64
        Samples, normalised camera coordinates.

    Returns
    -------
    (M, 3, 3) float64
        Of unit norm.

    References
    ----------
    Nister, An efficient solution to the five-point relative pose problem, 2004.
    """
    out = np.empty((10 * len(y1), 3, 3))
    roots, w = np.empty(24), np.empty(3)
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
        for k in range(min(real_roots(_det_of_polynomials(B), 10, roots), 10)):
            if not _solve_for_xy(B, roots[k], w) or not _polish(cubics, w) < 1e-6:
                continue
            length = np.sqrt(w[0] ** 2 + w[1] ** 2 + w[2] ** 2 + 1)  # the null space is orthonormal
            for i in range(3):
                for j in range(3):
                    e = E[i, j, 0] * w[0] + E[i, j, 1] * w[1] + E[i, j, 2] * w[2] + E[i, j, 3]
                    out[count, i, j] = e / length
            count += 1
    return out[:count]


@njit(cache=True, nogil=True, error_model="numpy")
def _solve_for_xy(B, z, w):
    """w = (x, y, z) with B(z) (x, y, 1) = 0; False where there is none.

    (x, y, 1) is perpendicular to the rows: the cross product of two with the largest last coordinate.
    """
    rows = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            rows[i, j] = (((B[i, j, 4] * z + B[i, j, 3]) * z + B[i, j, 2]) * z + B[i, j, 1]) * z + B[i, j, 0]
    best = 0.0
    for i in range(3):
        j = (i + 1) % 3
        c = rows[i, 0] * rows[j, 1] - rows[i, 1] * rows[j, 0]
        if abs(c) > best:
            best = abs(c)
            w[0] = (rows[i, 1] * rows[j, 2] - rows[i, 2] * rows[j, 1]) / c
            w[1] = (rows[i, 2] * rows[j, 0] - rows[i, 0] * rows[j, 2]) / c
    w[2] = z
    return best > 0.0


# ---------------------------------------------------------------------------------------------- Sampson distances


@njit(cache=True, nogil=True, error_model="numpy")
def sampson_of_models(F, x1, x2):
    """Signed Sampson distances of several models, as in `geometry.sampson`.

    Parameters
    ----------
    F : (M, 3, 3) float64
        Models.
    x1, x2 : (N, 2) float64
        Matches.

    Returns
    -------
    (M, N) float64
    """
    r = np.empty((len(F), len(x1)))
    for m in range(len(F)):
        sampson_of_one(F[m], x1, x2, r[m])
    return r


@njit(cache=True, nogil=True, error_model="numpy")
def sampson_of_one(F, x1, x2, r):
    """r (N,) of one model."""
    a, b, c = F[0, 0], F[0, 1], F[0, 2]
    d, e, f = F[1, 0], F[1, 1], F[1, 2]
    g, h, i = F[2, 0], F[2, 1], F[2, 2]
    for n in range(len(x1)):
        u, v, s, t = x1[n, 0], x1[n, 1], x2[n, 0], x2[n, 1]
        p, q = a * u + b * v + c, d * u + e * v + f
        k, l = a * s + d * t + g, b * s + e * t + h
        square = p * p + q * q + k * k + l * l
        r[n] = (p * s + q * t + g * u + h * v + i) / np.sqrt(max(square, 1e-300))


@njit(cache=True, nogil=True, error_model="numpy")
def sampson_slope(F, u1, v1, u2, v2, slope):
    """r = e / n of one match, and slope = dr/dF (3, 3) -> r, 1 / n, r / n, l1, l2.

    e = h2^T F h1, h = (u, v, 1), n = |grad e|, l2 = F h1 and l1 = F^T h2 (first two coordinates):
    dr/dF = (h2 / n - r l2 / n^2) h1^T - h2 (r l1 / n^2)^T.
    """
    l2x, l2y = F[0, 0] * u1 + F[0, 1] * v1 + F[0, 2], F[1, 0] * u1 + F[1, 1] * v1 + F[1, 2]
    l1x, l1y = F[0, 0] * u2 + F[1, 0] * v2 + F[2, 0], F[0, 1] * u2 + F[1, 1] * v2 + F[2, 1]
    e = l2x * u2 + l2y * v2 + F[2, 0] * u1 + F[2, 1] * v1 + F[2, 2]
    per_n = 1 / np.sqrt(max(l2x * l2x + l2y * l2y + l1x * l1x + l1y * l1y, 1e-300))
    r_per_n = e * per_n * per_n
    mx, my = (u2 - r_per_n * l2x) * per_n, (v2 - r_per_n * l2y) * per_n  # h2 / n - r l2 / n^2
    sx, sy = r_per_n * per_n * l1x, r_per_n * per_n * l1y  # r l1 / n^2
    slope[0, 0], slope[0, 1], slope[0, 2] = mx * u1 - u2 * sx, mx * v1 - u2 * sy, mx
    slope[1, 0], slope[1, 1], slope[1, 2] = my * u1 - v2 * sx, my * v1 - v2 * sy, my
    slope[2, 0], slope[2, 1], slope[2, 2] = per_n * u1 - sx, per_n * v1 - sy, per_n
    return e * per_n, per_n, r_per_n, (l1x, l1y), (l2x, l2y)


@njit(cache=True, nogil=True, error_model="numpy")
def along_parameters(slope, dF, J, n):
    """J[n, k] = sum of dr/dF * dF/dk for each of the first parameters."""
    for k in range(len(dF)):
        dr = 0.0
        for y in range(3):
            for x in range(3):
                dr += slope[y, x] * dF[k, y, x]
        J[n, k] = dr


# -------------------------------------------------------------------------------------------------- pose and lens


@njit(cache=True, nogil=True, error_model="numpy")
def matmul3(A, B):
    """A B of (3, 3) matrices."""
    C = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            C[i, j] = A[i, 0] * B[0, j] + A[i, 1] * B[1, j] + A[i, 2] * B[2, j]
    return C


@njit(cache=True, nogil=True, error_model="numpy")
def cross_matrix(t):
    """[t]x."""
    W = np.zeros((3, 3))
    W[0, 1], W[0, 2], W[1, 2] = -t[2], t[1], -t[0]
    W[1, 0], W[2, 0], W[2, 1] = t[2], -t[1], t[0]
    return W


@njit(cache=True, nogil=True, error_model="numpy")
def rotation_kernel(w):
    """R = exp([w]x), by Rodrigues."""
    angle = np.sqrt(w[0] ** 2 + w[1] ** 2 + w[2] ** 2)
    a = np.sin(angle) / angle if angle > 1e-12 else 1.0
    b = 0.5 * (np.sin(0.5 * angle) / (0.5 * angle)) ** 2 if angle > 1e-12 else 0.5
    W = cross_matrix(w)
    R = matmul3(W, W)
    for i in range(3):
        for j in range(3):
            R[i, j] = a * W[i, j] + b * R[i, j] + (1.0 if i == j else 0.0)
    return R


@njit(cache=True, nogil=True, error_model="numpy")
def tangent_basis(t):
    """Two unit vectors perpendicular to the unit vector t (3,) and to each other, (2, 3)."""
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
def _undistort(x, y, k1, k2, focal):
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
def sampson_residuals_kernel(R, t, z, focals, x1, x2, r):
    """r = e / n: Sampson distances of one pose and lens, written into r (N,), px.

    Parameters
    ----------
    R, t : (3, 3), (3,) float64
        Pose.
    z : (10,) float64
        Lens parameters, as in `epipolar.LensModel`.
    focals : (2,) float64
        px.
    x1, x2 : (N, 2) float64
        px about the principal points.
    r : (N,) float64
        Output.
    """
    g1, g2 = np.exp(-z[0]) / focals[0], np.exp(-z[5]) / focals[1]
    F = _in_pixels(matmul3(cross_matrix(t), R), g1, g2)
    for n in range(len(x1)):
        u1, v1, _, _, _ = _undistort(x1[n, 0] - z[1], x1[n, 1] - z[2], z[3], z[4], focals[0])
        u2, v2, _, _, _ = _undistort(x2[n, 0] - z[6], x2[n, 1] - z[7], z[8], z[9], focals[1])
        p, q = F[0, 0] * u1 + F[0, 1] * v1 + F[0, 2], F[1, 0] * u1 + F[1, 1] * v1 + F[1, 2]
        k, l = F[0, 0] * u2 + F[1, 0] * v2 + F[2, 0], F[0, 1] * u2 + F[1, 1] * v2 + F[2, 1]
        e = p * u2 + q * v2 + F[2, 0] * u1 + F[2, 1] * v1 + F[2, 2]
        r[n] = e / np.sqrt(max(p * p + q * q + k * k + l * l, 1e-300))


@njit(cache=True, nogil=True, error_model="numpy")
def sampson_jacobian_kernel(R, t, z, focals, x1, x2, basis, r, J):
    """J = dr/d(w, s, p) under R <- exp([w]x) R, t <- t + s tangents, z <- z + basis p.

    F is linear in everything but the principal point and the distortion, which move the points instead:
    dr/du1 = l1 / n - r F^T l2 / n^2 (`sampson_slope` has the letters).

    Parameters
    ----------
    R, t, z, focals, x1, x2
        As in `sampson_residuals_kernel`.
    basis : (10, q) float64
        Free combinations of the lens parameters.
    r, J : (N,), (N, 5 + q) float64
        Outputs.
    """
    g1, g2 = np.exp(-z[0]) / focals[0], np.exp(-z[5]) / focals[1]
    F, dF = _in_pixels(matmul3(cross_matrix(t), R), g1, g2), _pose_slopes(R, t, g1, g2)
    slope, lens = np.empty((3, 3)), np.empty(10)
    for n in range(len(x1)):
        ideal1 = _undistort(x1[n, 0] - z[1], x1[n, 1] - z[2], z[3], z[4], focals[0])
        ideal2 = _undistort(x2[n, 0] - z[6], x2[n, 1] - z[7], z[8], z[9], focals[1])
        r[n], per_n, r_per_n, l1, l2 = sampson_slope(F, ideal1[0], ideal1[1], ideal2[0], ideal2[1], slope)
        along_parameters(slope, dF, J, n)
        if basis.shape[1] == 0:
            continue
        _focal_slopes(slope, F, lens)
        dr_du1 = (l1[0] - r_per_n * (l2[0] * F[0, 0] + l2[1] * F[1, 0])) * per_n
        dr_dv1 = (l1[1] - r_per_n * (l2[0] * F[0, 1] + l2[1] * F[1, 1])) * per_n
        _lens_slopes(dr_du1, dr_dv1, ideal1, focals[0], lens, 0)
        dr_du2 = (l2[0] - r_per_n * (l1[0] * F[0, 0] + l1[1] * F[0, 1])) * per_n
        dr_dv2 = (l2[1] - r_per_n * (l1[0] * F[1, 0] + l1[1] * F[1, 1])) * per_n
        _lens_slopes(dr_du2, dr_dv2, ideal2, focals[1], lens, 5)
        for k in range(basis.shape[1]):
            dr = 0.0
            for m in range(10):
                dr += lens[m] * basis[m, k]
            J[n, 5 + k] = dr


@njit(cache=True, nogil=True, error_model="numpy")
def _pose_slopes(R, t, g1, g2):
    """dF/d(w, s) (5, 3, 3) of F = diag(g2, g2, 1) [t]x R diag(g1, g1, 1)."""
    tangents = tangent_basis(t)
    dF, axis = np.empty((5, 3, 3)), np.zeros(3)
    for k in range(5):
        for i in range(3):
            axis[i] = tangents[k - 3, i] if k > 2 else 1.0 if i == k else 0.0
        turned = matmul3(cross_matrix(axis), R)
        part = _in_pixels(turned if k > 2 else matmul3(cross_matrix(t), turned), g1, g2)
        for i in range(3):
            for j in range(3):
                dF[k, i, j] = part[i, j]
    return dF


@njit(cache=True, nogil=True, error_model="numpy")
def _focal_slopes(slope, F, lens):
    """dr/d(log focal) of both lenses into lens[0] and lens[5]: a longer focal shrinks columns or rows of F."""
    by1 = by2 = 0.0
    for y in range(3):
        for x in range(2):
            by1 -= slope[y, x] * F[y, x]
            by2 -= slope[x, y] * F[x, y]
    lens[0], lens[5] = by1, by2


@njit(cache=True, nogil=True, error_model="numpy")
def _lens_slopes(dr_du, dr_dv, ideal, focal, lens, first):
    """dr/d(centre x, centre y, k1, k2) of one lens into lens[first + 1 ...]; ideal: as `_undistort` returns it."""
    u, v, q, scale, rise = ideal
    along = dr_du * u + dr_dv * v
    radial = along * (rise - scale) / max(q * focal**2, 1e-300)
    lens[first + 1], lens[first + 2] = -dr_du * scale - u * radial, -dr_dv * scale - v * radial
    lens[first + 3], lens[first + 4] = -along * q * rise, -along * q * q * rise


# ------------------------------------------------------------------------------------- robust damped least squares


class PoseProblem(NamedTuple):
    """Pose and lens; state: R by rows, t, p (12 + q,). Cost: sum of rho(r) + sum of weights p^2 / 2.

    rho: `epipolar.soft_truncated`.  focals (2,), x1, x2 (N, 2), basis (10, q): as in `sampson_jacobian_kernel`.
    weights: (q,) 1 / variance of the prior of p.  sigma, cut: px.
    """

    focals: np.ndarray
    x1: np.ndarray
    x2: np.ndarray
    basis: np.ndarray
    weights: np.ndarray
    sigma: float
    cut: float


class RankTwoProblem(NamedTuple):
    """F = U diag(cos a, sin a, 0) V^T; state: U and V^T by rows, a (19,). Cost: sum of rho(r).

    x1, x2: (N, 2) normalised pixels.  rho: `epipolar.soft_truncated`.  sigma, cut: in units of x.

    References: Bartoli and Sturm, Nonlinear estimation of the fundamental matrix with minimal parameters, 2004.
    """

    x1: np.ndarray
    x2: np.ndarray
    sigma: float
    cut: float


@njit(cache=True, nogil=True, error_model="numpy")
def _minimise(problem, state, unknowns, max_steps):
    """Levenberg-Marquardt with the weights of the robust loss anew in each step; state in place -> its cost.

    The kernel's twin of `least_squares.minimise`: `_cost`, `_linearise` and `_move` are those of the problem's type.
    """
    r, J = np.empty(len(problem.x1)), np.empty((len(problem.x1), unknowns))
    A, b, trial = np.empty((unknowns, unknowns)), np.empty(unknowns), np.empty(len(state))
    cost, damping, improved = _cost(problem, state, r), 1e-3, True
    for _ in range(max_steps):
        if improved:
            _linearise(problem, state, r, J, A, b)
        _move(problem, state, _damped_step(A, b, damping), trial)
        new_cost = _cost(problem, trial, r)
        improved = new_cost < cost
        if improved:
            gain, cost, damping = cost - new_cost, new_cost, damping / 10
            for i in range(len(state)):
                state[i] = trial[i]
            if gain <= 1e-9 * cost:
                break
        else:
            damping *= 10
            if damping > 1e4:
                break
    return cost


def _cost(problem, state, r):
    """The cost at the state; r (N,) is overwritten."""
    raise NotImplementedError


def _linearise(problem, state, r, J, A, b):
    """A = J^T W J + prior and b = J^T W r + prior at the state; r, J, A, b are overwritten."""
    raise NotImplementedError


def _move(problem, state, step, moved):
    """The state after the step, written into `moved`."""
    raise NotImplementedError


@overload(_cost)
def _cost_of(problem, state, r):
    if problem.instance_class is PoseProblem:
        return lambda problem, state, r: _pose_cost(problem, state, r)
    return lambda problem, state, r: _rank2_cost(problem, state, r)


@overload(_linearise)
def _linearise_of(problem, state, r, J, A, b):
    if problem.instance_class is PoseProblem:
        return lambda problem, state, r, J, A, b: _pose_linearise(problem, state, r, J, A, b)
    return lambda problem, state, r, J, A, b: _rank2_linearise(problem, state, r, J, A, b)


@overload(_move)
def _move_of(problem, state, step, moved):
    if problem.instance_class is PoseProblem:
        return lambda problem, state, step, moved: _pose_move(state, step, moved)
    return lambda problem, state, step, moved: _rank2_move(state, step, moved)


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
def _matrix(state, first):
    """The (3, 3) matrix that starts at state[first]."""
    M = np.empty((3, 3))
    for i in range(9):
        M[i // 3, i % 3] = state[first + i]
    return M


@njit(cache=True, nogil=True, error_model="numpy")
def _store(M, state, first):
    """Write a (3, 3) matrix into the state, from state[first] on."""
    for i in range(9):
        state[first + i] = M[i // 3, i % 3]


# --------------------------------------------------------------------------------------------- problem: pose and lens


@njit(cache=True, nogil=True, error_model="numpy")
def adjust_poses(problem, R, t, p, max_steps, cost):
    """Minimise the cost of a `PoseProblem` from each start, in place.

    Parameters
    ----------
    problem : PoseProblem
        Matches, lens, loss.
    R, t, p : (M, 3, 3), (M, 3), (M, q) float64
        Starts, overwritten by the results.
    max_steps : int
        Steps of each at most.
    cost : (M,) float64
        Output.
    """
    q = p.shape[1]
    state = np.empty(12 + q)
    for m in range(len(R)):
        _store(R[m], state, 0)
        for i in range(3):
            state[9 + i] = t[m, i]
        for k in range(q):
            state[12 + k] = p[m, k]
        cost[m] = _minimise(problem, state, 5 + q, max_steps)
        for i in range(3):
            t[m, i] = state[9 + i]
            for j in range(3):
                R[m, i, j] = state[3 * i + j]
        for k in range(q):
            p[m, k] = state[12 + k]


@njit(cache=True, nogil=True, error_model="numpy")
def _lens_of(problem, state):
    """z = basis p (10,)."""
    z = np.zeros(10)
    for i in range(10):
        for k in range(len(state) - 12):
            z[i] += problem.basis[i, k] * state[12 + k]
    return z


@njit(cache=True, nogil=True, error_model="numpy")
def _pose_cost(problem, state, r):
    z = _lens_of(problem, state)
    sampson_residuals_kernel(_matrix(state, 0), state[9:12], z, problem.focals, problem.x1, problem.x2, r)
    prior = 0.0
    for k in range(len(state) - 12):
        prior += 0.5 * problem.weights[k] * state[12 + k] ** 2
    return _loss(r, problem.sigma, problem.cut) + prior


@njit(cache=True, nogil=True, error_model="numpy")
def _pose_linearise(problem, state, r, J, A, b):
    R, t, z = _matrix(state, 0), state[9:12], _lens_of(problem, state)
    sampson_jacobian_kernel(R, t, z, problem.focals, problem.x1, problem.x2, problem.basis, r, J)
    _normal_equations(r, J, problem.sigma, problem.cut, A, b)
    for k in range(len(state) - 12):
        A[5 + k, 5 + k] += problem.weights[k]
        b[5 + k] += state[12 + k] * problem.weights[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _pose_move(state, step, moved):
    tangents = tangent_basis(state[9:12])
    length = 0.0
    for i in range(3):
        moved[9 + i] = state[9 + i] + step[3] * tangents[0, i] + step[4] * tangents[1, i]
        length += moved[9 + i] ** 2
    for i in range(3):
        moved[9 + i] /= np.sqrt(length)
    for k in range(len(state) - 12):
        moved[12 + k] = state[12 + k] + step[5 + k]
    _store(matmul3(rotation_kernel(step), _matrix(state, 0)), moved, 0)


# ------------------------------------------------------------------------------- problem: matrix of rank 2


@njit(cache=True, nogil=True, error_model="numpy")
def adjust_fundamental(problem, U, Vt, angle, max_steps):
    """F = U diag(cos angle, sin angle, 0) V^T of least cost (`RankTwoProblem`), from a start.

    Parameters
    ----------
    problem : RankTwoProblem
        Matches, loss.
    U, Vt : (3, 3) float64
        Orthogonal.
    angle : float
        rad.
    max_steps : int
        Steps at most.

    Returns
    -------
    (3, 3) float64
    """
    state = np.empty(19)
    _store(U, state, 0)
    _store(Vt, state, 9)
    state[18] = angle
    _minimise(problem, state, 7, max_steps)
    return _rank2_matrix(state)


@njit(cache=True, nogil=True, error_model="numpy")
def _diagonal(a, b):
    D = np.zeros((3, 3))
    D[0, 0], D[1, 1] = a, b
    return D


@njit(cache=True, nogil=True, error_model="numpy")
def _rank2_matrix(state):
    """F of the state."""
    D = _diagonal(np.cos(state[18]), np.sin(state[18]))
    return matmul3(_matrix(state, 0), matmul3(D, _matrix(state, 9)))


@njit(cache=True, nogil=True, error_model="numpy")
def _rank2_cost(problem, state, r):
    sampson_of_one(_rank2_matrix(state), problem.x1, problem.x2, r)
    return _loss(r, problem.sigma, problem.cut)


@njit(cache=True, nogil=True, error_model="numpy")
def _rank2_linearise(problem, state, r, J, A, b):
    F, dF, slope = _rank2_matrix(state), _rank2_slopes(state), np.empty((3, 3))
    x1, x2 = problem.x1, problem.x2
    for n in range(len(x1)):
        r[n] = sampson_slope(F, x1[n, 0], x1[n, 1], x2[n, 0], x2[n, 1], slope)[0]
        along_parameters(slope, dF, J, n)
    _normal_equations(r, J, problem.sigma, problem.cut, A, b)


@njit(cache=True, nogil=True, error_model="numpy")
def _rank2_slopes(state):
    """dF (7, 3, 3) by the turns of U, of V and by the angle."""
    U, Vt, angle = _matrix(state, 0), _matrix(state, 9), state[18]
    D, dD = _diagonal(np.cos(angle), np.sin(angle)), _diagonal(-np.sin(angle), np.cos(angle))
    dF, axis = np.empty((7, 3, 3)), np.zeros(3)
    for k in range(7):
        for i in range(3):
            axis[i] = 1.0 if i == k % 3 else 0.0
        W = cross_matrix(axis)
        if k < 3:
            part = matmul3(matmul3(U, W), matmul3(D, Vt))
        elif k < 6:
            part = matmul3(matmul3(U, D), matmul3(W, Vt))
        else:
            part = matmul3(U, matmul3(dD, Vt))
        for i in range(3):
            for j in range(3):
                dF[k, i, j] = part[i, j]
    return dF


@njit(cache=True, nogil=True, error_model="numpy")
def _rank2_move(state, step, moved):
    _store(matmul3(_matrix(state, 0), rotation_kernel(step)), moved, 0)
    _store(matmul3(rotation_kernel(step[3:6]), _matrix(state, 9)), moved, 9)
    moved[18] = state[18] + step[6]
