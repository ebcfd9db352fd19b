"""Homography, essential and fundamental matrix, Sampson distance, triangulation of single points."""

import numpy as np
from numpy.typing import ArrayLike

from .arrays import TINY, hom, null_vector, real_array, skew, transform


def normalising_transform(x: np.ndarray) -> np.ndarray:
    """T with T x of centroid 0 and mean distance sqrt(2) from it. x: (N, 2) -> (3, 3).

    References
    ----------
    Hartley, In defense of the eight-point algorithm, 1997.
    """
    centre = x.mean(0)
    scale = np.sqrt(2) / max(np.linalg.norm(x - centre, axis=1).mean(), TINY)
    return np.array([[scale, 0, -scale * centre[0]], [0, scale, -scale * centre[1]], [0, 0, 1]])


def fit_homography(x1: ArrayLike, x2: ArrayLike) -> np.ndarray:
    """x2 ~ H x1 in the least-squares sense: DLT in normalised pixels.

    Parameters
    ----------
    x1, x2 : (..., N, 2) float64
        Matches, N >= 4. Three of them on a line give a singular H.

    Returns
    -------
    (..., 3, 3) float64
        Of unit norm.

    Raises
    ------
    ValueError
        For other shapes.

    References
    ----------
    Hartley and Zisserman, Multiple View Geometry, 2004, section 4.1.
    """
    x1, x2 = np.asarray(x1, dtype=float), np.asarray(x2, dtype=float)
    if x1.shape != x2.shape or x1.shape[-2] < 4:
        raise ValueError(f"fit_homography needs (..., N, 2) twice, N >= 4, got {x1.shape} and {x2.shape}")
    T1, T2 = normalising_transform(x1.reshape(-1, 2)), normalising_transform(x2.reshape(-1, 2))
    h1, y2 = hom(transform(T1, x1)), transform(T2, x2)
    o = np.zeros_like(h1)
    A = np.concatenate(
        [
            np.concatenate([h1, o, -y2[..., :1] * h1], -1),
            np.concatenate([o, h1, -y2[..., 1:] * h1], -1),
        ],
        axis=-2,
    )
    H = null_vector(A).reshape(A.shape[:-2] + (3, 3))
    H = np.linalg.inv(T2) @ H @ T1
    return H / np.linalg.norm(H, axis=(-2, -1), keepdims=True)


def homography_errors(H: np.ndarray, x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """|x2 - H x1| of each homography and match, inf where H x1 is at infinity.

    Parameters
    ----------
    H : (..., 3, 3) float64
        Homographies.
    x1, x2 : (N, 2) float64
        Matches.

    Returns
    -------
    (..., N) float64
        In the unit of x2.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        h = hom(x1) @ np.swapaxes(H, -1, -2)
        d = np.linalg.norm(h[..., :2] / h[..., 2:] - x2, axis=-1)
    return np.where(np.isnan(d), np.inf, d)


def essential_from_pose(R: np.ndarray, t: ArrayLike) -> np.ndarray:
    """E = [t]x R, with x2^T E x1 = 0 in normalised coordinates. (..., 3, 3), (..., 3) -> (..., 3, 3).

    References
    ----------
    Longuet-Higgins, A computer algorithm for reconstructing a scene from two projections, 1981.
    """
    return skew(t) @ R


def fundamental_from_pose(K1: np.ndarray, K2: np.ndarray, R: np.ndarray, t: np.ndarray) -> np.ndarray:
    """F = K2^-T [t]x R K1^-1, of unit Frobenius norm; x2^T F x1 = 0 in ideal pixels. (3, 3)."""
    F = np.linalg.inv(K2).T @ essential_from_pose(R, t) @ np.linalg.inv(K1)
    return F / np.linalg.norm(F)


def decompose_essential(E: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """E = U diag(1, 1, 0) V^T, R = U W^(T) V^T, t = +-u3: the four (R, t), |t| = 1, of an essential matrix (3, 3).

    References
    ----------
    Hartley and Zisserman, Multiple View Geometry, 2004, result 9.19.
    """
    U, _, Vt = np.linalg.svd(E)
    U, Vt = U * np.linalg.det(U), Vt * np.linalg.det(Vt)
    W = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    Ra, Rb, t = U @ W @ Vt, U @ W.T @ Vt, U[:, 2]
    return [(Ra, t), (Ra, -t), (Rb, t), (Rb, -t)]


def sampson(F: ArrayLike, x1: ArrayLike, x2: ArrayLike) -> np.ndarray:
    """d = x2^T F x1 / sqrt(|F x1|_{1,2}^2 + |F^T x2|_{1,2}^2), the signed Sampson distance.

    The first-order distance of (x1, x2) in R^4 to the nearest pair that satisfies the epipolar constraint.

    Parameters
    ----------
    F : (..., 3, 3) float64
        Fundamental matrices; |_{1,2} is the norm of the first two components.
    x1, x2 : (N, 2) float64
        Pixels of the first and the second photo.

    Returns
    -------
    (..., N) float64
        In the unit of x.

    References
    ----------
    Sampson, Fitting conic sections to very scattered data, 1982. Hartley and Zisserman, Multiple View Geometry, 2004,
    section 11.4.3.
    """
    F, x1, x2 = (np.asarray(a, dtype=float) for a in (F, x1, x2))
    u1, v1, u2, v2 = x1[..., 0], x1[..., 1], x2[..., 0], x2[..., 1]
    (a, b, c), (d, e, f), (g, h, i) = ([F[..., row, column, None] for column in range(3)] for row in range(3))
    # by components: several times as fast as products of homogeneous coordinates
    p, q = a * u1 + b * v1 + c, d * u1 + e * v1 + f  # lines in picture 2
    k, l = a * u2 + d * v2 + g, b * u2 + e * v2 + h  # lines in picture 1
    square = p * p + q * q + k * k + l * l
    return (p * u2 + q * v2 + g * u1 + h * v1 + i) / np.sqrt(np.maximum(square, TINY))


def triangulate_points(P1: ArrayLike, P2: ArrayLike, x1: ArrayLike, x2: ArrayLike) -> np.ndarray:
    """X with x1 ~ P1 X, x2 ~ P2 X: smallest singular vector of the 4 x 4 system, its rows of unit length (DLT).

    Parameters
    ----------
    P1, P2 : (3, 4) float64
        Camera matrices.
    x1, x2 : (N, 2) float64
        Matches, in the coordinates that P gives.

    Returns
    -------
    (N, 3) float64
        NaN where a match is not finite.

    Raises
    ------
    ValueError
        For other shapes.

    References
    ----------
    Hartley and Zisserman, Multiple View Geometry, 2004, section 12.2. There the rows keep their lengths; under noise
    both are equally accurate.
    """
    P1, P2 = real_array(P1, "P1"), real_array(P2, "P2")
    x1, x2 = np.atleast_2d(real_array(x1, "x1")), np.atleast_2d(real_array(x2, "x2"))
    if P1.shape != (3, 4) or P2.shape != (3, 4) or x1.shape != x2.shape or x1.ndim != 2 or x1.shape[1] != 2:
        raise ValueError(
            f"triangulate_points needs (3, 4) twice and (N, 2) twice, got {P1.shape}, {P2.shape}, {x1.shape}, "
            f"{x2.shape}"
        )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        A = np.stack(
            [
                x1[:, :1] * P1[2] - P1[0],
                x1[:, 1:] * P1[2] - P1[1],
                x2[:, :1] * P2[2] - P2[0],
                x2[:, 1:] * P2[2] - P2[1],
            ],
            axis=1,
        )
        A /= np.linalg.norm(A, axis=2, keepdims=True)
        known = np.isfinite(A).all((1, 2))
        X = np.full((len(A), 4), np.nan)
        X[known] = np.linalg.svd(A[known])[2][:, -1]
        return X[:, :3] / X[:, 3:]


def intersect_rays(d1: np.ndarray, d2: np.ndarray, R: ArrayLike, t: ArrayLike) -> np.ndarray:
    """z = (t x d2) . (d2 x a) / |d2 x a|^2, a = R d1: depth along ray 1 of its point that is nearest to ray 2.

    Parameters
    ----------
    d1, d2 : (..., 3) float64
        Normalised image coordinates (x, y, 1) in their own cameras.
    R, t : (3, 3), (3,) float64
        X2 = R X1 + t.

    Returns
    -------
    (...) float64
        X1 = z d1, in the unit of t; NaN or negative where the rays run parallel or meet behind.
    """
    a0, a1, a2 = np.moveaxis(d1 @ np.asarray(R, dtype=float).T, -1, 0)
    b0, b1, b2 = np.moveaxis(np.asarray(d2, dtype=float), -1, 0)
    t0, t1, t2 = np.asarray(t, dtype=float).reshape(3)
    # by components: np.cross takes several times as long, and a point map has millions of rays
    n0, n1, n2 = b1 * a2 - b2 * a1, b2 * a0 - b0 * a2, b0 * a1 - b1 * a0
    m0, m1, m2 = t1 * b2 - t2 * b1, t2 * b0 - t0 * b2, t0 * b1 - t1 * b0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return (m0 * n0 + m1 * n1 + m2 * n2) / (n0 * n0 + n1 * n1 + n2 * n2)
