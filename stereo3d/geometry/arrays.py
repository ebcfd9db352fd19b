"""Homogeneous coordinates, norms, null vectors, cross-product matrices."""

import numpy as np
from numpy.typing import ArrayLike

TINY = 1e-300  # keeps a quotient finite where its denominator is 0


def hom(x: ArrayLike) -> np.ndarray:
    """(x, 1), homogeneous coordinates: (..., n) -> (..., n + 1)."""
    x = np.asarray(x, dtype=float)
    return np.concatenate([x, np.ones(x.shape[:-1] + (1,))], axis=-1)


def real_array(value: ArrayLike, name: str) -> np.ndarray:
    """Return a value as float64; name: for the message. Raises ValueError for what is no array of real numbers."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"it holds {array.dtype}")
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} is no array of real numbers ({error})") from error


def norms(X: np.ndarray) -> np.ndarray:
    """|X| along the last axis, (..., n) -> (...). Sums of products: numpy's own norm takes longer."""
    return np.sqrt(np.einsum("...i,...i->...", X, X))


def all_channels(array: np.ndarray) -> np.ndarray:
    """Return `array.all(-1)` for a short last axis, one channel at a time: many times as fast as numpy's own."""
    return np.logical_and.reduce([array[..., i] for i in range(array.shape[-1])])


def null_vector(A: np.ndarray) -> np.ndarray:
    """v = argmin |A v|, |v| = 1: the right singular vector of the smallest singular value.

    Parameters
    ----------
    A : (..., m, n) float64
        A tall A (m > 2 n) is first reduced to the R of its QR decomposition, which has the same v.

    Returns
    -------
    (..., n) float64
    """
    m, n = A.shape[-2:]
    if m > 2 * n:
        A = np.asarray(np.linalg.qr(A, mode="r"))
    return np.linalg.svd(A, full_matrices=m < n)[2][..., -1, :]


def transform(H: ArrayLike, x: ArrayLike) -> np.ndarray:
    """x' ~ H (x, 1): apply a homography (n + 1, n + 1) to points (..., n); inf or NaN for points sent to infinity."""
    y = hom(x) @ np.asarray(H, dtype=float).T
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return y[..., :-1] / y[..., -1:]


def skew(t: ArrayLike) -> np.ndarray:
    """[t]x with [t]x v = t x v; (..., 3) -> (..., 3, 3)."""
    t = np.asarray(t, dtype=float)
    o = np.zeros(t.shape[:-1])
    a, b, c = t[..., 0], t[..., 1], t[..., 2]
    return np.stack([np.stack([o, -c, b], -1), np.stack([c, o, -a], -1), np.stack([-b, a, o], -1)], -2)
