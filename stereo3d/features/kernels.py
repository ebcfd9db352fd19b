"""Kernels of matching (numba): the two nearest descriptors both ways in one pass, among all or along epipolar lines."""

import numpy as np

from ..kernel_cache import njit

SAME_PLACE = 1.0  # px: a second neighbour nearer than this to the first is the same point of the picture


def empty_knn(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a table of the two nearest neighbours of `count` features, still empty.

    Returns
    -------
    index : (N, 2) int64
        The nearest neighbour, and the nearest at another place of the picture; -1: none.
    square : (N, 2) float32
        Squared distances of their descriptors; inf: none.
    """
    return np.full((count, 2), -1), np.full((count, 2), np.inf, np.float32)


@njit(cache=True, nogil=True)
def _offer(index, square, n, other, value, x):
    """Enter the feature `other` (at x[other]) as a neighbour of n if it is nearer.

    Of equally near features the first offered stays.
    """
    first = index[n, 0]
    if first < 0:
        index[n, 0], square[n, 0] = other, value
        return
    here = abs(x[other, 0] - x[first, 0]) <= SAME_PLACE and abs(x[other, 1] - x[first, 1]) <= SAME_PLACE
    if value < square[n, 0]:
        if not here:
            index[n, 1], square[n, 1] = first, square[n, 0]
        index[n, 0], square[n, 0] = other, value
    elif not here and value < square[n, 1]:
        index[n, 1], square[n, 1] = other, value


@njit(cache=True, nogil=True)
def knn_of_products(  # noqa: PLR0913 - innermost kernel
    products, first, last, offset, norm1, norm2, x1, x2, index1, square1, index2, square2
):
    """|a - b|^2 = |a|^2 + |b|^2 - 2 a.b: enter neighbours both ways from dot products.

    Parameters
    ----------
    products : (rows, N2) float32
        Dot products of descriptors; row k is feature offset + k of photo 1.
    first, last : int
        Rows first .. last - 1 are used.
    offset : int
    norm1, norm2 : (N,) float32
        Squared lengths of the descriptors.
    x1, x2 : (N, 2) float64
        px.
    index1, square1, index2, square2 : arrays
        Tables of `empty_knn`, changed in place.
    """
    for k in range(first, last):
        i = offset + k
        limit = square1[i, 1]
        own = norm1[i]
        for j in range(len(norm2)):
            value = own + norm2[j] - 2 * products[k, j]
            if value < limit:
                _offer(index1, square1, i, j, value, x2)
                limit = square1[i, 1]
            if value < square2[j, 1]:
                _offer(index2, square2, j, i, value, x1)


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def _product(a, i, b, j):
    """a[i] . b[j]; the entries are whole numbers, so the sum is exact in any order."""
    s = np.float32(0)
    for k in range(a.shape[1]):
        s += a[i, k] * b[j, k]
    return s


@njit(cache=True, nogil=True)
def knn_along_epipolar(  # noqa: PLR0913 - innermost kernel
    d1, d2, norm1, norm2, x1, x2, F, y1, y2, line_norm2, tolerance, first, last, index1, square1, index2, square2
):
    """Enter neighbours both ways among features within `tolerance` px of each other's epipolar lines.

    Parameters
    ----------
    d1, d2 : (N, k) float32
        Descriptors.
    norm1, norm2, x1, x2, index1, square1, index2, square2 : arrays
        As in `knn_of_products`.
    F : (3, 3) float64
        Fundamental matrix.
    y1, y2 : (N, 2) float64
        Ideal pixels; NaN where undefined.
    line_norm2 : (N2,) float64
        Squared norm of the first two coordinates of the line F^T y2.
    tolerance : float
        px.
    first, last : int
        Features first .. last - 1 of photo 1 are compared with all of photo 2.
    """
    max_square = tolerance * tolerance
    for i in range(first, last):
        a, b = F[0, 0] * y1[i, 0] + F[0, 1] * y1[i, 1] + F[0, 2], F[1, 0] * y1[i, 0] + F[1, 1] * y1[i, 1] + F[1, 2]
        c = F[2, 0] * y1[i, 0] + F[2, 1] * y1[i, 1] + F[2, 2]
        line_norm1 = a * a + b * b
        for j in range(len(y2)):
            e = a * y2[j, 0] + b * y2[j, 1] + c
            if not e * e <= max_square * line_norm1 or not e * e <= max_square * line_norm2[j]:
                continue
            value = norm1[i] + norm2[j] - 2 * _product(d1, i, d2, j)
            if value < square1[i, 1]:
                _offer(index1, square1, i, j, value, x2)
            if value < square2[j, 1]:
                _offer(index2, square2, j, i, value, x1)


@njit(cache=True, nogil=True)
def merge(index, square, more_index, more_square, x):
    """Enter the neighbours of another table into the table index, square. x (N,2): px of the neighbours."""
    for n in range(len(index)):
        for k in range(2):
            if more_index[n, k] >= 0 and more_square[n, k] < square[n, 1]:
                _offer(index, square, n, more_index[n, k], more_square[n, k], x)
