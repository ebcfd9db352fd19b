"""Pure maths of one and two views: projection, epipolar geometry, triangulation, absolute and relative orientation.

Arrays only; nothing here knows of photos or files. Points are rows: x (N,2) px, X (N,3).
"""

import numpy as np

__all__ = [
    "absolute_orientation",
    "angle_deg",
    "decompose_essential",
    "distort",
    "essential_from_pose",
    "all_channels",
    "fit_homography",
    "fold_radius",
    "fundamental_from_pose",
    "hom",
    "ideal_pixels",
    "intersect_rays",
    "norms",
    "null_vector",
    "normalising_transform",
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


def hom(x: np.ndarray) -> np.ndarray:
    """Homogeneous coordinates: (..., n) -> (..., n + 1) with a last coordinate of one."""
    x = np.asarray(x, dtype=float)
    return np.concatenate([x, np.ones(x.shape[:-1] + (1,))], axis=-1)


def norms(X: np.ndarray) -> np.ndarray:
    """|X| along the last axis: (..., n) -> (...), by sums of products, which numpy does sooner than its norm."""
    return np.sqrt(np.einsum("...i,...i->...", X, X))


def all_channels(array: np.ndarray) -> np.ndarray:
    """array.all(-1) of a short last axis, a channel at a time: numpy takes many times as long for it."""
    return np.logical_and.reduce([array[..., i] for i in range(array.shape[-1])])


def null_vector(A: np.ndarray) -> np.ndarray:
    """The unit v (..., n) that makes |A v| least, A (..., m, n): of a high A by the R of its QR decomposition."""
    m, n = A.shape[-2:]
    if m > 2 * n:
        A = np.linalg.qr(A, mode="r")
    return np.linalg.svd(A, full_matrices=m < n)[2][..., -1, :]


def transform(H: np.ndarray, x: np.ndarray) -> np.ndarray:
    """x' ~ H (x, 1): a homography (n+1, n+1) applied to points (..., n)."""
    y = hom(x) @ np.asarray(H, dtype=float).T
    return y[..., :-1] / y[..., -1:]


def skew(t: np.ndarray) -> np.ndarray:
    """[t]x with [t]x v = t x v; (..., 3) -> (..., 3, 3)."""
    t = np.asarray(t, dtype=float)
    o = np.zeros(t.shape[:-1])
    a, b, c = t[..., 0], t[..., 1], t[..., 2]
    return np.stack([np.stack([o, -c, b], -1), np.stack([c, o, -a], -1), np.stack([-b, a, o], -1)], -2)


# ------------------------------------------------------------------------------------------------ rotations


def rotation_from_vector(r: np.ndarray) -> np.ndarray:
    """R = I + sin(a) [n]x + (1 - cos(a)) [n]x^2 with r = a n (Rodrigues). r: (3,) rad -> (3,3)."""
    r = np.asarray(r, dtype=float)
    angle = np.linalg.norm(r)
    W = skew(r)
    # sinc form: exact through angle = 0
    a = np.sinc(angle / np.pi)
    b = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.eye(3) + a * W + b * (W @ W)


def rotation_vector(R: np.ndarray) -> np.ndarray:
    """The inverse of `rotation_from_vector`, angle in [0, pi]. R: (3,3) -> (3,) rad."""
    q = quaternion_from_rotation(R)
    n = np.linalg.norm(q[1:])
    return 2 * np.arctan2(n, q[0]) / n * q[1:] if n > 1e-300 else np.zeros(3)


def rotation_from_quaternion(q: np.ndarray) -> np.ndarray:
    """R x = q x q* for the unit quaternion q = (w, x, y, z), scalar first (Horn 1987, section 3). (4,) -> (3,3)."""
    w, x, y, z = np.asarray(q, dtype=float) / np.linalg.norm(q)
    return np.array(
        [
            [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
        ]
    )


def quaternion_product(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """p q = (p0 q0 - p . q, p0 q + q0 p + p x q) of quaternions (w, x, y, z), scalar first. (..., 4) twice -> (..., 4).

    A vector v is the quaternion (0, v); for a unit quaternion q the rotation of v is q v q*. Source: Hamilton 1843.
    """
    p, q = np.asarray(p, dtype=float), np.asarray(q, dtype=float)
    p0, q0, pv, qv = p[..., :1], q[..., :1], p[..., 1:], q[..., 1:]
    scalar = p0 * q0 - np.sum(pv * qv, -1, keepdims=True)
    return np.concatenate([scalar, p0 * qv + q0 * pv + np.cross(pv, qv)], -1)


def quaternion_from_rotation(R: np.ndarray) -> np.ndarray:
    """Unit quaternion (w, x, y, z), w >= 0, of a rotation matrix (3,3).

    Of the four ways to start (from w, x, y or z) the one with the largest divisor is taken (Shepperd 1978).
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


def rotation_angle_deg(R: np.ndarray) -> float:
    """Angle of a rotation matrix, degrees in [0, 180]."""
    q = quaternion_from_rotation(R)
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(q[1:]), abs(q[0]))))


# -------------------------------------------------------------------------------------------- one camera


def scale_K(K: np.ndarray, sx: float, sy: float | None = None) -> np.ndarray:
    """K of the picture resized by sx, sy: x -> (x + 1/2) s - 1/2."""
    sy = sx if sy is None else sy
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]]) @ np.asarray(K, dtype=float)


def project(X: np.ndarray, K: np.ndarray, R=None, t=None, dist=None) -> np.ndarray:
    """x ~ K distort(R X + t): points (..., 3) -> pixels (..., 2).

    Points in the camera's plane or behind it give what the formula gives (no sign check).
    """
    X = np.asarray(X, dtype=float)
    if R is not None:
        X = X @ np.asarray(R, dtype=float).T
    if t is not None:
        X = X + np.asarray(t, dtype=float).reshape(3)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = X[..., :2] / X[..., 2:]
    return distort(x, dist) @ K[:2, :2].T + K[:2, 2]


def distort(x: np.ndarray, dist=None) -> np.ndarray:
    """Lens distortion of normalised image coordinates (..., 2), Brown's model in OpenCV's order of coefficients.

    x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6) + tangential p1, p2 + thin prism s1..s4.
    dist: (0|4|5|8|12,) k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4. Source: Brown 1971; OpenCV's documentation of calib3d.
    """
    x = np.asarray(x, dtype=float)
    if dist is None or len(dist) == 0 or not np.any(dist):
        return x
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = np.pad(np.asarray(dist, dtype=float), (0, 12 - len(dist)))
    u, v = x[..., 0], x[..., 1]
    r2 = u * u + v * v
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    du = 2 * p1 * u * v + p2 * (r2 + 2 * u * u) + r2 * (s1 + r2 * s2)
    dv = p1 * (r2 + 2 * v * v) + 2 * p2 * u * v + r2 * (s3 + r2 * s4)
    return np.stack([u * radial + du, v * radial + dv], -1)


def undistort(x: np.ndarray, K: np.ndarray, dist=None) -> np.ndarray:
    """Normalised image coordinates (..., 2) of photo pixels (..., 2): the inverse of K distort(.), by Newton's method.

    The Jacobian is taken by central differences of `distort`. Points that the model reaches only from beyond its fold
    (`fold_radius`, far outside the calibrated field), or not at all, are NaN.
    """
    x = np.asarray(x, dtype=float)
    target = (x - K[:2, 2]) @ np.linalg.inv(K[:2, :2]).T
    if dist is None or len(dist) == 0 or not np.any(dist):
        return target
    y = target.copy()
    h = 1e-6
    for _ in range(20):
        e = distort(y, dist) - target
        gu = (distort(y + [h, 0], dist) - distort(y - [h, 0], dist)) / (2 * h)
        gv = (distort(y + [0, h], dist) - distort(y - [0, h], dist)) / (2 * h)
        det = gu[..., 0] * gv[..., 1] - gv[..., 0] * gu[..., 1]
        det = np.where(np.abs(det) < 0.05, np.nan, det)
        step = np.stack(
            [gv[..., 1] * e[..., 0] - gv[..., 0] * e[..., 1], gu[..., 0] * e[..., 1] - gu[..., 1] * e[..., 0]], -1
        )
        y = y - np.clip(step / det[..., None], -0.2, 0.2)
        if np.nanmax(np.abs(e), initial=0) < 1e-13:
            break
    reached = np.abs(distort(y, dist) - target).max(-1) <= 1e-9
    y[~reached | (np.sum(y * y, -1) > fold_radius(dist) ** 2)] = np.nan
    return y


def fold_radius(dist) -> float:
    """The r > 0 at which d/dr [r N(r^2) / D(r^2)] first vanishes: beyond it the radial model is not one to one.

    dist: as in `distort`, N and D its two radial polynomials.  Returns inf where the model never folds.
    """
    k1, k2, _, _, k3, k4, k5, k6 = np.pad(np.asarray(dist, dtype=float), (0, 12 - len(dist)))[:8]
    N, D = np.poly1d([k3, k2, k1, 1.0]), np.poly1d([k6, k5, k4, 1.0])
    rise = N * D + np.poly1d([2.0, 0.0]) * (N.deriv() * D - N * D.deriv())  # in q = r^2, times D^2
    q = np.concatenate([rise.roots, D.roots])
    q = q.real[(np.abs(q.imag) < 1e-9 * np.abs(q)) & (q.real > 0)]
    return float(np.sqrt(q.min())) if len(q) else np.inf


def ideal_pixels(x: np.ndarray, K: np.ndarray, dist=None) -> np.ndarray:
    """Photo pixels (..., 2) with the lens distortion taken out: K undistort(x)."""
    return undistort(x, K, dist) @ K[:2, :2].T + K[:2, 2]


# -------------------------------------------------------------------------------------------- two views


def normalising_transform(x: np.ndarray) -> np.ndarray:
    """T (3,3) with T x of centroid 0 and mean distance sqrt(2) from it (Hartley 1997). x: (N,2)."""
    centre = x.mean(0)
    scale = np.sqrt(2) / max(np.linalg.norm(x - centre, axis=1).mean(), 1e-300)
    return np.array([[scale, 0, -scale * centre[0]], [0, scale, -scale * centre[1]], [0, 0, 1]])


def fit_homography(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """H (..., 3, 3) of unit norm with x2 ~ H x1 from N >= 4 matches (..., N, 2): DLT in normalised pixels.

    Source: Hartley and Zisserman, section 4.1. Three matches on a line give a singular H.
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


def essential_from_pose(R: np.ndarray, t: np.ndarray) -> np.ndarray:
    """E = [t]x R, with x2^T E x1 = 0 in normalised coordinates (Longuet-Higgins 1981)."""
    return skew(t) @ R


def fundamental_from_pose(K1: np.ndarray, K2: np.ndarray, R: np.ndarray, t: np.ndarray) -> np.ndarray:
    """F = K2^-T [t]x R K1^-1, of unit Frobenius norm; x2^T F x1 = 0 in ideal pixels."""
    F = np.linalg.inv(K2).T @ essential_from_pose(R, t) @ np.linalg.inv(K1)
    return F / np.linalg.norm(F)


def decompose_essential(E: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The four (R, t), |t| = 1, of an essential matrix: E = U diag(1,1,0) V^T, R = U W^(T) V^T, t = +-u3.

    Source: Hartley and Zisserman, result 9.19.
    """
    U, _, Vt = np.linalg.svd(E)
    U, Vt = U * np.linalg.det(U), Vt * np.linalg.det(Vt)
    W = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    Ra, Rb, t = U @ W @ Vt, U @ W.T @ Vt, U[:, 2]
    return [(Ra, t), (Ra, -t), (Rb, t), (Rb, -t)]


def sampson(F: np.ndarray, x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """Signed Sampson distance e / |grad e|, e = x2^T F x1, in the unit of x. F: (..., 3, 3), x: (N,2) -> (..., N).

    First-order distance of (x1, x2) in R^4 to the nearest pair that satisfies the epipolar constraint (Sampson 1982).
    """
    F, x1, x2 = (np.asarray(a, dtype=float) for a in (F, x1, x2))
    u1, v1, u2, v2 = x1[..., 0], x1[..., 1], x2[..., 0], x2[..., 1]
    (a, b, c), (d, e, f), (g, h, i) = ([F[..., row, column, None] for column in range(3)] for row in range(3))
    # by components: several times as fast as products of homogeneous coordinates
    p, q = a * u1 + b * v1 + c, d * u1 + e * v1 + f  # lines in picture 2
    k, l = a * u2 + d * v2 + g, b * u2 + e * v2 + h  # lines in picture 1
    square = p * p + q * q + k * k + l * l
    return (p * u2 + q * v2 + g * u1 + h * v1 + i) / np.sqrt(np.maximum(square, 1e-300))


def triangulate_points(P1: np.ndarray, P2: np.ndarray, x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """Points X (N,3) with x1 ~ P1 X, x2 ~ P2 X: smallest singular vector of the 4 x 4 system (DLT).

    P1, P2: (3,4). x1, x2: (N,2) in the coordinates that P gives. Source: Hartley and Zisserman, section 12.2.
    """
    x1, x2 = np.atleast_2d(x1), np.atleast_2d(x2)
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
    X = np.linalg.svd(A)[2][:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return X[:, :3] / X[:, 3:]


def intersect_rays(d1: np.ndarray, d2: np.ndarray, R: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Depth z along ray 1 (X1 = z d1, d1 of unit z) of the point of it that is nearest to ray 2.

    d1, d2: (..., 3) normalised image coordinates (x, y, 1) in their own cameras; X2 = R X1 + t. Returns (...), units of
    t; NaN or negative where the rays run parallel or meet behind. With a = R d1:  z = (t x d2) . (d2 x a) / |d2 x a|^2.
    """
    a0, a1, a2 = np.moveaxis(d1 @ np.asarray(R, dtype=float).T, -1, 0)
    b0, b1, b2 = np.moveaxis(np.asarray(d2, dtype=float), -1, 0)
    t0, t1, t2 = np.asarray(t, dtype=float).reshape(3)
    # by components: np.cross takes several times as long, and a point map has millions of rays
    n0, n1, n2 = b1 * a2 - b2 * a1, b2 * a0 - b0 * a2, b0 * a1 - b1 * a0
    m0, m1, m2 = t1 * b2 - t2 * b1, t2 * b0 - t0 * b2, t0 * b1 - t1 * b0
    with np.errstate(divide="ignore", invalid="ignore"):
        return (m0 * n0 + m1 * n1 + m2 * n2) / (n0 * n0 + n1 * n1 + n2 * n2)


def absolute_orientation(
    a: np.ndarray, b: np.ndarray, *, weights: np.ndarray | None = None, scale: bool = True
) -> tuple[float, np.ndarray, np.ndarray]:
    """s, R, t with b = s R a + t in the least-squares sense, in closed form by unit quaternions.

    a, b: (N,3), N >= 3, neither of them on one line.  weights: (N,).  The rotation is the eigenvector of the largest
    eigenvalue of Horn's symmetric 4 x 4 matrix N; the scale is the symmetric one, s = sqrt(sum |b'|^2 / sum |a'|^2),
    which gives the inverse when a and b change places; `scale=False` fixes s = 1. Always a proper rotation, never a
    reflection.

    Raises ValueError for fewer than three points or points on one line.
    Source: B. K. P. Horn, Closed-form solution of absolute orientation using unit quaternions, 1987.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 3 or len(a) < 3:
        raise ValueError(f"absolute_orientation needs two (N,3) arrays, N >= 3, got {a.shape} and {b.shape}")
    w = np.ones(len(a)) if weights is None else np.asarray(weights, dtype=float)
    w = w / w.sum()
    ca, cb = w @ a, w @ b
    a0, b0 = a - ca, b - cb
    for points, centred in ((a, a0), (b, b0)):
        spread = np.linalg.svd(centred * np.sqrt(w)[:, None], compute_uv=False)
        # what is left across a line is the rounding of the coordinates
        if spread[1] <= 1e-12 * spread[0] + 4 * np.finfo(float).eps * np.abs(points).max():
            raise ValueError("absolute_orientation: the points lie on one line")
    S = (a0 * w[:, None]).T @ b0
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = S
    N = np.array(
        [
            [xx + yy + zz, yz - zy, zx - xz, xy - yx],
            [yz - zy, xx - yy - zz, xy + yx, zx + xz],
            [zx - xz, xy + yx, -xx + yy - zz, yz + zy],
            [xy - yx, zx + xz, yz + zy, -xx - yy + zz],
        ]
    )
    R = rotation_from_quaternion(np.linalg.eigh(N)[1][:, -1])
    s = float(np.sqrt((w @ (b0**2).sum(1)) / (w @ (a0**2).sum(1)))) if scale else 1.0
    return s, R, cb - s * R @ ca


def relative_orientation(
    d1: np.ndarray, d2: np.ndarray, *, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """R, t, |t| = 1, of X2 = R X1 + t from rays in the same plane: [t, R d1, d2] = 0 in the least-squares sense.

    d1, d2: (N,3), N >= 5, directions of corresponding rays in their own cameras, of any length.  weights: (N,).
    With the rotation a unit quaternion q and d = t q (t as a quaternion), the coplanarity of a pair of unit rays l, r
    is e = (r q) . (d l), linear in q and in d. sum w e^2 is made least by damped Gauss-Newton steps under
    q . q = d . d = 1, q . d = 0, with w = 1 / (|t x r|^2 + |t x R l|^2), which makes e an angle (rad), from the 24
    rotations of the cube; for each the best t is an eigenvector. q and d may change places, and the sign of d is free:
    of these four the one with most rays meeting before both cameras is returned.
    No start is needed and any turn is found; wrong matches must have been taken out. Five rays may allow ten solutions,
    one of them is returned; rays without parallax (t = 0) leave t to chance.

    Raises ValueError for other shapes or fewer than five rays.
    Source: B. K. P. Horn, Relative orientation, 1990; Relative orientation revisited, 1991.
    """
    d1, d2 = np.asarray(d1, dtype=float), np.asarray(d2, dtype=float)
    if d1.shape != d2.shape or d1.ndim != 2 or d1.shape[1] != 3 or len(d1) < 5:
        raise ValueError(f"relative_orientation needs two (N,3) arrays, N >= 5, got {d1.shape} and {d2.shape}")
    v = np.ones(len(d1)) if weights is None else np.asarray(weights, dtype=float)
    left, right = (d / np.linalg.norm(d, axis=1, keepdims=True) for d in (d1, d2))
    l, r = (np.pad(d, ((0, 0), (1, 0)))[:, None] for d in (left, right))  # as quaternions
    of_l = quaternion_product(np.eye(4), l).swapaxes(1, 2)  # (N,4,4): of_l d = d l, of_r d = r d, antisymmetric
    of_r = quaternion_product(r, np.eye(4)).swapaxes(1, 2)

    def terms(q, d):
        """e sqrt(w) (M,N) and its derivatives by q and d (M,N,8); a = t . R l, b = -t . r, 1 / w = 2 - a^2 - b^2."""
        dl, ql, rd, rq = (np.einsum("nij,mj->mni", A, x) for A, x in ((of_l, d), (of_l, q), (of_r, d), (of_r, q)))
        e = np.einsum("mni,mni->mn", rq, dl)
        slope = -np.concatenate([np.einsum("nij,mnj->mni", of_r, dl), np.einsum("nij,mnj->mni", of_l, rq)], -1)
        a, b = np.einsum("mni,mi->mn", dl, q), np.einsum("mni,mi->mn", rd, q)
        half = -a[..., None] * np.concatenate([dl, -ql], -1) - b[..., None] * np.concatenate([rd, -rq], -1)
        s = np.maximum(2 - a * a - b * b, 1e-12)
        root = np.sqrt(v / s)
        return e * root, slope * root[..., None] - half * (e * root / s)[..., None]

    q = _cube_rotations()
    c = np.cross(left @ np.stack([rotation_from_quaternion(a) for a in q]).swapaxes(1, 2), right)
    t = np.linalg.eigh(np.einsum("mni,n,mnj->mij", c, v, c))[1][:, :, 0]
    d = quaternion_product(np.pad(t, ((0, 0), (1, 0))), q)
    e, J = terms(q, d)
    damping = np.full(len(q), 1e-3)
    for _ in range(50):
        o = np.zeros_like(q)
        constraints = np.stack([np.concatenate(pair, -1) for pair in ((q, o), (o, d), (d, q))], 1)
        free = np.linalg.svd(constraints)[2][:, 3:]  # (M,5,8): directions that keep q . q, d . d, q . d
        G = J @ free.swapaxes(1, 2)
        A, slope = np.einsum("mni,mnj->mij", G, G), np.einsum("mni,mn->mi", G, e)
        scale = np.einsum("mii->m", A)[:, None, None] / 5 + 1e-300
        step = -np.linalg.solve(A + (damping[:, None, None] + 1e-14) * scale * np.eye(5), slope[..., None])[..., 0]
        moved = np.einsum("mk,mkj->mj", step, free)
        q_new, d_new = q + moved[:, :4], d + moved[:, 4:]
        q_new /= np.linalg.norm(q_new, axis=1, keepdims=True)
        d_new -= (q_new * d_new).sum(1, keepdims=True) * q_new
        d_new /= np.linalg.norm(d_new, axis=1, keepdims=True)
        e_new, J_new = terms(q_new, d_new)
        better = (e_new**2).sum(1) < (e**2).sum(1)
        small = np.abs(moved).max(1) < 1e-13
        q, d = np.where(better[:, None], q_new, q), np.where(better[:, None], d_new, d)
        e, J = np.where(better[:, None], e_new, e), np.where(better[:, None, None], J_new, J)
        damping = np.where(better, damping / 10, damping * 10)
        if np.all(small | (damping > 1e8)):
            break
    cost = (e**2).sum(1)
    best, most = None, -1
    for k in np.argsort(cost, kind="stable"):
        if cost[k] > cost.min() * (1 + 1e-6) + 1e-20 * len(v):
            break
        for a, b in ((q[k], d[k]), (q[k], -d[k]), (d[k], q[k]), (d[k], -q[k])):
            R, t = rotation_from_quaternion(a), quaternion_product(b, a * [1, -1, -1, -1])[1:]
            turned = left @ R.T
            n = np.cross(turned, right)
            front = (np.cross(right, t) * n).sum(1) > 0, (np.cross(turned, t) * n).sum(1) > 0
            if (met := int((front[0] & front[1]).sum())) > most:
                best, most = (R, t / np.linalg.norm(t)), met
    return best


def _cube_rotations() -> np.ndarray:
    """(24,4) unit quaternions of the rotations that map a cube onto itself: none is farther than 62.8 degrees."""
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
    """n_v ~ sum over the faces (a, b, c) at v of (b - a) x (c - a): unit normals weighted by area, zero without a face.

    vertices: (V,3).  faces: (M,3) int, counter-clockwise seen from outside -> (V,3), towards the outside.
    """
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    face, corners = np.cross(b - a, c - a), faces.ravel()
    n = np.stack([np.bincount(corners, np.repeat(face[:, k], 3), len(vertices)) for k in range(3)], -1)
    return n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-300)
