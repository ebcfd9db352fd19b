"""Rotations as matrices, vectors and quaternions."""

import numpy as np
from numpy.typing import ArrayLike

from .arrays import TINY, skew


def rotation_from_vector(r: ArrayLike) -> np.ndarray:
    """R = I + sin(a) [n]x + (1 - cos(a)) [n]x^2 with r = a n.

    Parameters
    ----------
    r : (..., 3) float64
        Axis times angle, rad.

    Returns
    -------
    (..., 3, 3) float64

    References
    ----------
    Rodrigues 1840.
    """
    r = np.asarray(r, dtype=float)
    # of one vector and of many numpy takes the norm in different ways, which may differ in the last digit
    angle = np.linalg.norm(r) if r.ndim == 1 else np.linalg.norm(r, axis=-1)[..., None, None]
    W = skew(r)
    # sinc form: exact through angle = 0
    a = np.sinc(angle / np.pi)
    b = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.eye(3) + a * W + b * (W @ W)


def rotation_vector(R: ArrayLike) -> np.ndarray:
    """r = a n, the inverse of `rotation_from_vector`, angle in [0, pi]. R: (3, 3) -> (3,) rad."""
    q = quaternion_from_rotation(R)
    n = np.linalg.norm(q[1:])
    return 2 * np.arctan2(n, q[0]) / n * q[1:] if n > TINY else np.zeros(3)


def enforce_rotation(M: np.ndarray) -> np.ndarray:
    """R = U diag(1, 1, det(U V^T)) V^T, the rotation nearest to M = U S V^T in the Frobenius norm. (3, 3) -> (3, 3).

    References
    ----------
    Kabsch, A solution for the best rotation to relate two sets of vectors, 1976.
    """
    U, _, Vt = np.linalg.svd(M)
    return U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt


def rotation_from_quaternion(q: ArrayLike) -> np.ndarray:
    """R x = q x q* for the quaternion q = (w, x, y, z), scalar first, scaled to unit length. (4,) -> (3, 3).

    References
    ----------
    Horn, Closed-form solution of absolute orientation using unit quaternions, 1987, section 3.
    """
    w, x, y, z = np.asarray(q, dtype=float) / np.linalg.norm(q)
    return np.array(
        [
            [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
        ]
    )


def quaternion_product(p: ArrayLike, q: ArrayLike) -> np.ndarray:
    """p q = (p0 q0 - p . q, p0 q + q0 p + p x q).

    A vector v is the quaternion (0, v); the rotation of v by a unit quaternion q is q v q*.

    Parameters
    ----------
    p, q : (..., 4) float64
        Quaternions (w, x, y, z), scalar first.

    Returns
    -------
    (..., 4) float64

    References
    ----------
    Hamilton 1843.
    """
    p, q = np.asarray(p, dtype=float), np.asarray(q, dtype=float)
    p0, q0, pv, qv = p[..., :1], q[..., :1], p[..., 1:], q[..., 1:]
    scalar = p0 * q0 - np.sum(pv * qv, -1, keepdims=True)
    return np.concatenate([scalar, p0 * qv + q0 * pv + np.cross(pv, qv)], -1)


def quaternion_from_rotation(R: ArrayLike) -> np.ndarray:
    """Return the unit quaternion (w, x, y, z), w >= 0, of a rotation matrix. (3, 3) -> (4,).

    Starts from the component with the largest divisor.

    References
    ----------
    Shepperd, Quaternion from rotation matrix, 1978.
    """
    R = np.asarray(R, dtype=float)
    t = np.array([np.trace(R), R[0, 0], R[1, 1], R[2, 2]])
    k = int(np.argmax(t))
    if k == 0:
        q = np.array([1 + t[0], R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    else:
        i, j, m = (k - 1), k % 3, (k + 1) % 3
        q = np.zeros(4)
        q[0] = R[m, j] - R[j, m]
        q[1 + i] = 1 + 2 * R[i, i] - t[0]
        q[1 + j] = R[j, i] + R[i, j]
        q[1 + m] = R[m, i] + R[i, m]
    q /= np.linalg.norm(q)
    return -q if q[0] < 0 else q


def angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    """Angle between two vectors, degrees, accurate also near 0 and 180."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b))))


def rotation_angle_deg(R: ArrayLike) -> float:
    """Angle of a rotation matrix, degrees in [0, 180]."""
    q = quaternion_from_rotation(R)
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(q[1:]), abs(q[0]))))
