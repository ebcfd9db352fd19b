"""Maths of one and two views: projection, epipolar geometry, triangulation, absolute and relative orientation.

Arrays only; nothing here depends on photos or files. Points are rows: x (N, 2) px, X (N, 3). Every function takes
anything that numpy makes an array of, and computes in float64.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .least_squares import Schedule, State, damped_step, minimise

__all__ = [
    "absolute_orientation",
    "all_channels",
    "angle_deg",
    "decompose_essential",
    "distort",
    "enforce_rotation",
    "essential_from_pose",
    "fit_homography",
    "fold_radius",
    "fundamental_from_pose",
    "hom",
    "homography_errors",
    "ideal_pixels",
    "intersect_rays",
    "lens_coefficients",
    "norms",
    "normalising_transform",
    "null_vector",
    "project",
    "quaternion_from_rotation",
    "quaternion_product",
    "relative_orientation",
    "rotation_angle_deg",
    "rotation_from_quaternion",
    "rotation_from_vector",
    "rotation_vector",
    "sampson",
    "scale_K",
    "skew",
    "transform",
    "triangulate_points",
    "undistort",
    "vertex_normals",
]

TINY = 1e-300  # keeps a quotient finite where its denominator is 0

# ------------------------------------------------------------------------------------------------- arrays


def hom(x: ArrayLike) -> np.ndarray:
    """(x, 1), homogeneous coordinates: (..., n) -> (..., n + 1)."""
    x = np.asarray(x, dtype=float)
    return np.concatenate([x, np.ones(x.shape[:-1] + (1,))], axis=-1)


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


# ---------------------------------------------------------------------------------------------- rotations


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


# --------------------------------------------------------------------------------------------- one camera

COEFFICIENTS = 12  # of Brown's model as OpenCV orders them: k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4
NEWTON_STEP = 1e-6  # of the central differences in `undistort`, normalised coordinates
MAX_NEWTON_STEPS = 20
MAX_MOVE = 0.2  # normalised coordinates a Newton step, so that none leaps over the fold
MIN_DETERMINANT = 0.05  # of the lens's Jacobian; below it the model folds or is about to
CONVERGED = 1e-13  # normalised coordinates
REACHED = 1e-9  # normalised coordinates by which `undistort` may miss


def scale_K(K: ArrayLike, sx: float, sy: float | None = None) -> np.ndarray:
    """K of the picture resized by sx, sy: x -> (x + 1/2) s - 1/2. (3, 3) -> (3, 3)."""
    sy = sx if sy is None else sy
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]]) @ np.asarray(K, dtype=float)


def project(
    X: ArrayLike,
    K: np.ndarray,
    R: ArrayLike | None = None,
    t: ArrayLike | None = None,
    dist: ArrayLike | None = None,
) -> np.ndarray:
    """x ~ K distort(R X + t).

    Parameters
    ----------
    X : (..., 3) float64
        Points. In the camera's plane or behind it they give what the formula gives (no sign check).
    K : (3, 3) float64
        Camera matrix, px.
    R, t : (3, 3), (3,) float64, optional
        Pose; without it X is in the frame of the camera.
    dist : array, optional
        As in `distort`.

    Returns
    -------
    (..., 2) float64
        px.
    """
    X = np.asarray(X, dtype=float)
    if R is not None:
        X = X @ np.asarray(R, dtype=float).T
    if t is not None:
        X = X + np.asarray(t, dtype=float).reshape(3)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        x = X[..., :2] / X[..., 2:]
        return distort(x, dist) @ K[:2, :2].T + K[:2, 2]


def lens_coefficients(dist: ArrayLike | None) -> np.ndarray:
    """Return the twelve coefficients k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4, those not given being zero.

    Parameters
    ----------
    dist : array, optional
        In OpenCV's order, of any shape: 0, 1 or 2 (k1, k2), 4, 5, 8, 12 or 14 numbers; of 14 the last two, the tilt of
        the sensor, must be zero.

    Returns
    -------
    (12,) float64

    Raises
    ------
    ValueError
        For another number of coefficients, or a tilted sensor.
    """
    k = np.zeros(0) if dist is None else np.asarray(dist, dtype=float).ravel()
    if len(k) == 14:
        if np.any(k[COEFFICIENTS:]):
            raise ValueError(f"tilt of the sensor (coefficients 13 and 14, {k[12]:g} and {k[13]:g}) is not supported")
        k = k[:COEFFICIENTS]
    if len(k) not in (0, 1, 2, 4, 5, 8, COEFFICIENTS):
        raise ValueError(f"a lens has 4, 5, 8, 12 or 14 distortion coefficients, got {len(k)}")
    return np.pad(k, (0, COEFFICIENTS - len(k)))


def distort(x: ArrayLike, dist: ArrayLike | None = None) -> np.ndarray:
    """x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6) + tangential p1, p2 + thin prism s1..s4.

    Parameters
    ----------
    x : (..., 2) float64
        Normalised image coordinates.
    dist : array, optional
        k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4, as in `lens_coefficients`.

    Returns
    -------
    (..., 2) float64
        Normalised image coordinates.

    References
    ----------
    Brown, Close-range camera calibration, 1971. OpenCV's documentation of calib3d.
    """
    x = np.asarray(x, dtype=float)
    coefficients = lens_coefficients(dist)
    if not coefficients.any():
        return x
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = coefficients
    u, v = x[..., 0], x[..., 1]
    r2 = u * u + v * v
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    du = 2 * p1 * u * v + p2 * (r2 + 2 * u * u) + r2 * (s1 + r2 * s2)
    dv = p1 * (r2 + 2 * v * v) + 2 * p2 * u * v + r2 * (s3 + r2 * s4)
    return np.stack([u * radial + du, v * radial + dv], -1)


def undistort(x: ArrayLike, K: np.ndarray, dist: ArrayLike | None = None) -> np.ndarray:
    """y with x = K distort(y), the inverse of the projection of rays, by Newton's method.

    Parameters
    ----------
    x : (..., 2) float64
        Photo pixels.
    K : (3, 3) float64
        Camera matrix, px.
    dist : array, optional
        As in `distort`; its Jacobian is taken by central differences.

    Returns
    -------
    (..., 2) float64
        Normalised image coordinates. NaN for pixels that the model reaches only from beyond its fold (`fold_radius`,
        far outside the calibrated field) or not at all.
    """
    x = np.asarray(x, dtype=float)
    target = (x - K[:2, 2]) @ np.linalg.inv(K[:2, :2]).T
    lens = lens_coefficients(dist)
    if not lens.any():
        return target
    y = target.copy()
    h = NEWTON_STEP
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # of pixels that no lens shows
        for _ in range(MAX_NEWTON_STEPS):
            e = distort(y, lens) - target
            gu = (distort(y + [h, 0], lens) - distort(y - [h, 0], lens)) / (2 * h)
            gv = (distort(y + [0, h], lens) - distort(y - [0, h], lens)) / (2 * h)
            det = gu[..., 0] * gv[..., 1] - gv[..., 0] * gu[..., 1]
            det = np.where(np.abs(det) < MIN_DETERMINANT, np.nan, det)
            step = np.stack(
                [gv[..., 1] * e[..., 0] - gv[..., 0] * e[..., 1], gu[..., 0] * e[..., 1] - gu[..., 1] * e[..., 0]], -1
            )
            y = y - np.clip(step / det[..., None], -MAX_MOVE, MAX_MOVE)
            if np.nanmax(np.abs(e), initial=0) < CONVERGED:
                break
        reached = np.abs(distort(y, lens) - target).max(-1) <= REACHED
        y[~reached | (np.sum(y * y, -1) > fold_radius(lens) ** 2)] = np.nan
    return y


def fold_radius(dist: ArrayLike | None) -> float:
    """r > 0 at which d/dr [r N(r^2) / D(r^2)] first vanishes: beyond it the radial model is not one to one.

    Parameters
    ----------
    dist : array
        As in `distort`; N and D are its two radial polynomials.

    Returns
    -------
    float
        Normalised image coordinates; inf where the model never folds.
    """
    k1, k2, _, _, k3, k4, k5, k6 = lens_coefficients(dist)[:8]
    N, D = np.poly1d([k3, k2, k1, 1.0]), np.poly1d([k6, k5, k4, 1.0])
    rise = N * D + np.poly1d([2.0, 0.0]) * (N.deriv() * D - N * D.deriv())  # in q = r^2, times D^2
    q = np.concatenate([rise.roots, D.roots])
    q = np.real(q)[(np.abs(np.imag(q)) < 1e-9 * np.abs(q)) & (np.real(q) > 0)]
    return float(np.sqrt(q.min())) if len(q) else np.inf


def ideal_pixels(x: ArrayLike, K: np.ndarray, dist: ArrayLike | None = None) -> np.ndarray:
    """K undistort(x): photo pixels (..., 2) with the lens distortion taken out."""
    return undistort(x, K, dist) @ K[:2, :2].T + K[:2, 2]


# ---------------------------------------------------------------------------------------------- two views


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
    """|x2 - H x1| of each homography and match, inf where H x1 lies at infinity.

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
        Fundamental matrices; |_{1,2} stands for the first two components.
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

    References
    ----------
    Hartley and Zisserman, Multiple View Geometry, 2004, section 12.2. There the rows keep their lengths; under noise
    both are equally accurate.
    """
    P1, P2 = np.asarray(P1, dtype=float), np.asarray(P2, dtype=float)
    x1, x2 = np.atleast_2d(np.asarray(x1, dtype=float)), np.atleast_2d(np.asarray(x2, dtype=float))
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


# -------------------------------------------------------------------------------------------- orientation


def absolute_orientation(
    a: ArrayLike, b: ArrayLike, *, weights: ArrayLike | None = None, scale: bool = True
) -> tuple[float, np.ndarray, np.ndarray]:
    """b = s R a + t in the least-squares sense, in closed form by unit quaternions.

    The rotation is the eigenvector of the largest eigenvalue of Horn's symmetric 4 x 4 matrix; always a proper
    rotation, never a reflection. The scale is the symmetric one, s = sqrt(sum |b'|^2 / sum |a'|^2), which gives the
    inverse when a and b change places.

    Parameters
    ----------
    a, b : (N, 3) float64
        Corresponding points, N >= 3, neither set on one line.
    weights : (N,) float64, optional
        Of the points.
    scale : bool
        False fixes s = 1.

    Returns
    -------
    s, R, t : float, (3, 3), (3,) float64

    Raises
    ------
    ValueError
        For fewer than three points or points on one line.

    References
    ----------
    Horn, Closed-form solution of absolute orientation using unit quaternions, 1987.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 3 or len(a) < 3:
        raise ValueError(f"absolute_orientation needs two (N,3) arrays, N >= 3, got {a.shape} and {b.shape}")
    w = np.ones(len(a)) if weights is None else np.asarray(weights, dtype=float)
    w = w / w.sum()
    ca, cb = w @ a, w @ b
    a0, b0 = a - ca, b - cb
    for points, centred in ((a, a0), (b, b0)):
        extent = np.linalg.svd(centred * np.sqrt(w)[:, None], compute_uv=False)
        # rounding of the coordinates leaves this much across a line
        if extent[1] <= 1e-12 * extent[0] + 4 * np.finfo(float).eps * np.abs(points).max():
            raise ValueError("absolute_orientation: the points lie on one line")
    R = rotation_from_quaternion(np.linalg.eigh(_horn_matrix((a0 * w[:, None]).T @ b0))[1][:, -1])
    s = float(np.sqrt((w @ (b0**2).sum(1)) / (w @ (a0**2).sum(1)))) if scale else 1.0
    return s, R, cb - s * R @ ca


def _horn_matrix(S: np.ndarray) -> np.ndarray:
    """The symmetric N (4, 4) with q^T N q = sum of b . R(q) a, from S = sum of a b^T (3, 3)."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = S
    return np.array(
        [
            [xx + yy + zz, yz - zy, zx - xz, xy - yx],
            [yz - zy, xx - yy - zz, xy + yx, zx + xz],
            [zx - xz, xy + yx, -xx + yy - zz, yz + zy],
            [xy - yx, zx + xz, yz + zy, -xx - yy + zz],
        ]
    )


def relative_orientation(
    d1: ArrayLike, d2: ArrayLike, *, weights: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """[t, R d1, d2] = 0 in the least-squares sense: R, t, |t| = 1, of X2 = R X1 + t, from rays in one plane.

    Needs no start and finds any turn; wrong matches must have been taken out. Minimises the angles of `_Coplanarity`
    from the 24 rotations of the cube, with the best t for each, an eigenvector. The two quaternions of a minimum may
    change places, and the sign of the second is free: returns the one of these four with most rays that meet before
    both cameras. Five rays may allow ten solutions, of which one is returned; rays without parallax (t = 0) leave t to
    chance.

    Parameters
    ----------
    d1, d2 : (N, 3) float64
        Corresponding rays in their own cameras, N >= 5, of any length.
    weights : (N,) float64, optional
        Of the rays.

    Returns
    -------
    R, t : (3, 3), (3,) float64

    Raises
    ------
    ValueError
        For other shapes or fewer than five rays.

    References
    ----------
    Horn, Relative orientation, 1990; Relative orientation revisited, 1991.
    """
    d1, d2 = np.asarray(d1, dtype=float), np.asarray(d2, dtype=float)
    if d1.shape != d2.shape or d1.ndim != 2 or d1.shape[1] != 3 or len(d1) < 5:
        raise ValueError(f"relative_orientation needs two (N,3) arrays, N >= 5, got {d1.shape} and {d2.shape}")
    v = np.ones(len(d1)) if weights is None else np.asarray(weights, dtype=float)
    left, right = (d / np.linalg.norm(d, axis=1, keepdims=True) for d in (d1, d2))
    q = _cube_rotations()
    c = np.cross(left @ np.stack([rotation_from_quaternion(a) for a in q]).swapaxes(1, 2), right)
    t = np.linalg.eigh(np.einsum("mni,n,mnj->mij", c, v, c))[1][:, :, 0]
    d = quaternion_product(_as_quaternions(t), q)
    fit = minimise(_Coplanarity.of_rays(left, right, v), (q, d), ORIENTATION_SCHEDULE)
    (q, d), e = fit.state, fit.values[0]
    cost = (e**2).sum(1)
    order = np.argsort(cost, kind="stable")
    equal = order[cost[order] <= cost.min() * (1 + EQUAL_COST) + 1e-20 * len(v)]
    quaternions = [pair for k in equal for pair in ((q[k], d[k]), (q[k], -d[k]), (d[k], q[k]), (d[k], -q[k]))]
    motions = [(rotation_from_quaternion(a), quaternion_product(b, a * [1, -1, -1, -1])[1:]) for a, b in quaternions]
    R, t = max(motions, key=lambda motion: _rays_in_front(left, right, *motion))
    return R, t / np.linalg.norm(t)


ORIENTATION_SCHEDULE = Schedule(damping=1e-3, factor=10, max_steps=50, tolerance=1e-13, hopeless=1e8)
EQUAL_COST = 1e-6  # relative difference of the costs of minima that count as one


@dataclass(frozen=True, eq=False)
class _Coplanarity:
    """e = (r q) . (d l), the angle (rad) by which two unit rays l, r miss a common plane, times sqrt(weight).

    The rotation is a unit quaternion q, and d = t q with t as a quaternion: e is linear in q and in d, under
    q . q = d . d = 1, q . d = 0. e is divided by sqrt(|t x r|^2 + |t x R l|^2), which makes it an angle.

    times_l, times_r: (N, 4, 4), antisymmetric, times_l d = d l, times_r d = r d.  weights: (N,).
    """

    times_l: np.ndarray
    times_r: np.ndarray
    weights: np.ndarray

    @classmethod
    def of_rays(cls, left: np.ndarray, right: np.ndarray, weights: np.ndarray) -> "_Coplanarity":
        l, r = (_as_quaternions(d)[:, None] for d in (left, right))
        return cls(
            quaternion_product(np.eye(4), l).swapaxes(1, 2), quaternion_product(r, np.eye(4)).swapaxes(1, 2), weights
        )

    def evaluate(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """e sqrt(w) (M, N) and its derivatives by q and d (M, N, 8); a = t . R l, b = -t . r, 1 / w = 2 - a^2 - b^2."""
        q, d = state
        dl, ql, rd, rq = (
            np.einsum("nij,mj->mni", A, x)
            for A, x in ((self.times_l, d), (self.times_l, q), (self.times_r, d), (self.times_r, q))
        )
        e = np.einsum("mni,mni->mn", rq, dl)
        by_q, by_d = np.einsum("nij,mnj->mni", self.times_r, dl), np.einsum("nij,mnj->mni", self.times_l, rq)
        slope = -np.concatenate([by_q, by_d], -1)
        a, b = np.einsum("mni,mi->mn", dl, q), np.einsum("mni,mi->mn", rd, q)
        half = -a[..., None] * np.concatenate([dl, -ql], -1) - b[..., None] * np.concatenate([rd, -rq], -1)
        s = np.maximum(2 - a * a - b * b, 1e-12)
        root = np.sqrt(self.weights / s)
        return e * root, slope * root[..., None] - half * (e * root / s)[..., None]

    def improves(self, new: State, old: State) -> np.ndarray:
        return (new[0] ** 2).sum(1) < (old[0] ** 2).sum(1)

    def linearise(self, state: State, values: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """J^T J, J^T e along the five directions (M, 5, 8) that keep q . q, d . d and q . d; and these directions."""
        (q, d), (e, J) = state, values
        o = np.zeros_like(q)
        constraints = np.stack([np.concatenate(pair, -1) for pair in ((q, o), (o, d), (d, q))], 1)
        free = np.linalg.svd(constraints)[2][:, 3:]
        G = J @ free.swapaxes(1, 2)
        return np.einsum("mni,mnj->mij", G, G), np.einsum("mni,mn->mi", G, e), free

    def solve(self, A: np.ndarray, b: np.ndarray, damping: np.ndarray) -> np.ndarray:
        return damped_step(A, b, damping + 1e-14, TINY)

    def move(self, state: State, step: np.ndarray, frame: np.ndarray) -> tuple[State, np.ndarray]:
        change = np.einsum("mk,mkj->mj", step, frame)
        q, d = state[0] + change[:, :4], state[1] + change[:, 4:]
        q /= np.linalg.norm(q, axis=1, keepdims=True)
        d -= (q * d).sum(1, keepdims=True) * q
        d /= np.linalg.norm(d, axis=1, keepdims=True)
        return (q, d), change


def _as_quaternions(v: np.ndarray) -> np.ndarray:
    """(0, v): (N, 3) -> (N, 4)."""
    return np.pad(v, ((0, 0), (1, 0)))


def _rays_in_front(left: np.ndarray, right: np.ndarray, R: np.ndarray, t: np.ndarray) -> int:
    """Number of pairs of rays that meet before both cameras."""
    turned = left @ R.T
    n = np.cross(turned, right)
    return int((((np.cross(right, t) * n).sum(1) > 0) & ((np.cross(turned, t) * n).sum(1) > 0)).sum())


def _cube_rotations() -> np.ndarray:
    """(24, 4) unit quaternions of the rotations that map a cube onto itself: none is farther than 62.8 degrees."""
    signs = np.array([[1, 1], [1, -1]])
    found = [*np.eye(4)]
    for i in range(4):
        for j in range(i):
            for pair in signs:
                found.append(np.zeros(4))
                found[-1][[j, i]] = pair / np.sqrt(2)
    found += [np.array([1, a, b, c]) / 2 for a in (1, -1) for b in (1, -1) for c in (1, -1)]
    return np.stack(found)


# --------------------------------------------------------------------------------------------- triangles


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """n_v ~ sum over the faces (a, b, c) at v of (b - a) x (c - a): unit normals weighted by area.

    Parameters
    ----------
    vertices : (V, 3) float64
        Points.
    faces : (M, 3) int
        Counter-clockwise seen from outside.

    Returns
    -------
    (V, 3) float64
        Towards the outside; zero for a vertex without a face.
    """
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    face, corners = np.cross(b - a, c - a), faces.ravel()
    n = np.stack([np.bincount(corners, np.repeat(face[:, k], 3), len(vertices)) for k in range(3)], -1)
    return n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), TINY)
