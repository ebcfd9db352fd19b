"""Kernels of the minimal solvers: five and seven points."""

import numpy as np

from ..kernel_cache import njit
from .polynomial_kernels import real_roots


@njit(cache=True, nogil=True, error_model="numpy")
def _det3(M):
    """The determinant of a (3, 3) matrix, or of the first three columns of a longer one."""
    return (
        M[0, 0] * (M[1, 1] * M[2, 2] - M[1, 2] * M[2, 1])
        - M[0, 1] * (M[1, 0] * M[2, 2] - M[1, 2] * M[2, 0])
        + M[0, 2] * (M[1, 0] * M[2, 1] - M[1, 1] * M[2, 0])
    )


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
