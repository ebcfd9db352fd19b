"""Kernels for the real roots of polynomials."""

import numpy as np

from ..kernel_cache import njit


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
