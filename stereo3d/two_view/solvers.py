"""Eight-, seven- and five-point solvers, pose from E, cheirality."""

import numpy as np
from numpy.typing import ArrayLike

from ..errors import StereoError
from ..geometry.arrays import hom, null_vector, real_array, transform
from ..geometry.rotations import enforce_rotation
from ..geometry.two_view import decompose_essential, normalising_transform

Pose = tuple[np.ndarray, np.ndarray]  # R (3, 3), t (3,)


def epipolar_rows(x1: ArrayLike, x2: ArrayLike) -> np.ndarray:
    """a with a . vec(F) = x2^T F x1, vec by rows. x1, x2: (..., N, 2) -> (..., N, 9)."""
    h1, h2 = hom(x1), hom(x2)
    return (h2[..., :, None] * h1[..., None, :]).reshape(h1.shape[:-1] + (9,))


def enforce_rank2(F: np.ndarray) -> np.ndarray:
    """U diag(s1, s2, 0) V^T, the matrix of rank 2 nearest to F = U S V^T in the Frobenius norm. (..., 3, 3)."""
    U, s, Vt = np.linalg.svd(F)
    s[..., 2] = 0
    return (U * s[..., None, :]) @ Vt


def enforce_essential(E: np.ndarray) -> np.ndarray:
    """U diag(1, 1, 0) V^T, the essential matrix nearest to E. Only right in normalised camera coordinates."""
    U, _, Vt = np.linalg.svd(E)
    return (U * np.array([1.0, 1.0, 0.0])) @ Vt


def eight_point(x1: ArrayLike, x2: ArrayLike, weights: ArrayLike | None = None) -> np.ndarray:
    """x2^T F x1 = 0 of N >= 8 matches: smallest singular vector in normalised pixels, then rank 2 by SVD.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        Matches, px.
    weights : (N,) float64, optional
        Of the equations.

    Returns
    -------
    (3, 3) float64
        Of unit norm.

    Raises
    ------
    ValueError
        For N < 8 or other shapes.
    StereoError
        "few_matches" where the points of a photo coincide or are not finite: they determine no F.

    References
    ----------
    Longuet-Higgins, A computer algorithm for reconstructing a scene from two projections, 1981. Hartley, In defense of
    the eight-point algorithm, 1997.
    """
    x1, x2 = real_array(x1, "x1"), real_array(x2, "x2")
    if x1.ndim != 2 or x1.shape[1] != 2 or len(x1) < 8 or x1.shape != x2.shape:
        raise ValueError(f"eight_point needs two (N,2) arrays, N >= 8, got {x1.shape} and {x2.shape}")
    if not all(np.isfinite(x).all() and np.ptp(x, axis=0).any() for x in (x1, x2)):
        raise StereoError(
            "few_matches",
            f"{len(x1)} matches lie at one point of a photo or are not finite: they determine no fundamental matrix.",
            "Give at least 8 matches at different places.",
            matches=len(x1),
        )
    T1, T2 = normalising_transform(x1), normalising_transform(x2)
    A = epipolar_rows(transform(T1, x1), transform(T2, x2))
    if weights is not None:
        w = real_array(weights, "weights")
        if w.shape != (len(x1),):
            raise ValueError(f"eight_point: {w.shape} weights of {len(x1)} matches")
        A = A * w[:, None]
    F = enforce_rank2(null_vector(A).reshape(3, 3))
    F = T2.T @ F @ T1
    return F / np.linalg.norm(F)


def seven_point(x1: ArrayLike, x2: ArrayLike) -> np.ndarray:
    """det(F1 + a F2) = 0, a cubic in a: the one or three F with x2^T F x1 = 0 of seven matches.

    Parameters
    ----------
    x1, x2 : (B, 7, 2) float64
        Matches of B samples, px.

    Returns
    -------
    (M, 3, 3) float64
        Of unit norm, all samples' solutions in one array.

    Raises
    ------
    ValueError
        For other shapes.

    References
    ----------
    Hartley and Zisserman, Multiple View Geometry, 2004, section 11.1.2.
    """
    from .minimal_kernels import seven_point as kernel

    x1, x2 = _samples("seven_point", x1, x2, 7)
    T1, T2 = (normalising_transform(x.reshape(-1, 2)) for x in (x1, x2))
    F = T2.T @ kernel(transform(T1, x1), transform(T2, x2)) @ T1
    return F / np.linalg.norm(F, axis=(1, 2), keepdims=True)


def five_point(y1: ArrayLike, y2: ArrayLike) -> np.ndarray:
    """y2^T E y1 = 0, det E = 0 and 2 E E^T E = tr(E E^T) E: all real E of five matches, up to ten a sample.

    Parameters
    ----------
    y1, y2 : (B, 5, 2) float64
        Matches of B samples, normalised camera coordinates.

    Returns
    -------
    (M, 3, 3) float64
        Of unit norm, all samples' solutions in one array.

    Raises
    ------
    ValueError
        For other shapes.

    References
    ----------
    Nister, An efficient solution to the five-point relative pose problem, 2004.
    """
    from .minimal_kernels import five_point as kernel

    return kernel(*_samples("five_point", y1, y2, 5))


def _samples(name: str, x1: ArrayLike, x2: ArrayLike, size: int) -> tuple[np.ndarray, np.ndarray]:
    x1, x2 = (np.ascontiguousarray(real_array(x, f"{name}: x")) for x in (x1, x2))
    if x1.ndim != 3 or x1.shape[1:] != (size, 2) or x1.shape != x2.shape:
        raise ValueError(f"{name} needs (B,{size},2) twice, got {x1.shape} and {x2.shape}")
    return x1, x2


def essential_from_fundamental(F: np.ndarray, K1: np.ndarray, K2: np.ndarray) -> np.ndarray:
    """E = K2^T F K1 with its singular values made (1, 1, 0), in the camera coordinates where that holds. (3, 3)."""
    return enforce_essential(K2.T @ F @ K1)


def pose_from_essential(E: np.ndarray, y1: np.ndarray, y2: np.ndarray) -> Pose:
    """Return the one of the four (R, t), |t| = 1, with most points in front of both cameras (cheirality).

    Parameters
    ----------
    E : (3, 3) float64
        Essential matrix.
    y1, y2 : (N, 2) or (N, 3) float64
        Matches, normalised camera coordinates or rays.

    Returns
    -------
    R, t : (3, 3), (3,) float64
    """
    return max(decompose_essential(E), key=lambda pose: cheirality_mask(*pose, y1, y2).sum())


def _directions(y: np.ndarray) -> np.ndarray:
    """Directions (N, 3) of normalised camera coordinates (N, 2); of directions themselves."""
    return y if y.shape[-1] == 3 else hom(y)


def cheirality_mask(R: np.ndarray, t: np.ndarray, y1: np.ndarray, y2: np.ndarray) -> np.ndarray:
    """z1 > 0 and z2 > 0: the two rays of a match meet in front of both cameras.

    With p = R d1, q = d2, n = p x q, d = (y, 1), the closest points of the two rays have the depths
    z1 = (q x t) . n / |n|^2 and z2 = (p x t) . n / |n|^2. Rays that run parallel, n = 0, do not meet.

    Parameters
    ----------
    R, t : (3, 3), (3,) float64
        Pose, X2 = R X1 + t.
    y1, y2 : (N, 2) or (N, 3) float64
        Matches, normalised camera coordinates or rays.

    Returns
    -------
    (N,) bool

    References
    ----------
    Hartley and Zisserman, Multiple View Geometry, 2004, chapter 21.
    """
    p, q = _directions(y1) @ R.T, _directions(y2)
    n = np.cross(p, q)
    z1 = np.sum(np.cross(q, np.broadcast_to(t, q.shape)) * n, -1)
    z2 = np.sum(np.cross(p, np.broadcast_to(t, p.shape)) * n, -1)
    return (z1 > 0) & (z2 > 0)


def plausible_depth(R: np.ndarray, t: np.ndarray, y1: np.ndarray, y2: np.ndarray, slack: float) -> np.ndarray:
    """The rays meet in front of both cameras, or run parallel within `slack` rad, where noise decides the side.

    A false match on its epipolar line has a random depth sign, so this removes about half of them.

    Parameters
    ----------
    R, t, y1, y2
        As in `cheirality_mask`.
    slack : float
        rad.

    Returns
    -------
    (N,) bool
    """
    parallel = np.linalg.norm(np.cross(_directions(y1) @ R.T, _directions(y2)), axis=1) < slack
    return parallel | cheirality_mask(R, t, y1, y2)


def decompose_homography(H: np.ndarray) -> list[Pose]:
    """H ~ R + t n^T / d between normalised camera coordinates: its four (R, t), |t| = 1, two and the same with -t.

    Of the singular values s1 >= s2 >= s3 of H, scaled to s2 = 1: the two directions u that H leaves at their length
    span, with v2, the plane's traces; R carries the frames (v2, u, v2 x u) to their images.

    Parameters
    ----------
    H : (3, 3) float64
        Homography, up to scale.

    Returns
    -------
    list of R, t
        Empty where H is a rotation, t = 0.

    References
    ----------
    Ma, Soatto, Kosecka and Sastry, An Invitation to 3-D Vision, 2004, theorem 5.19 (after Faugeras and Lustman).
    """
    s = np.linalg.svd(H, compute_uv=False)
    H = H / s[1] * np.sign(np.linalg.det(H) or 1.0)
    _, s, Vt = np.linalg.svd(H)
    s1, s3 = s[0] ** 2, s[2] ** 2
    if s1 - s3 < 1e-9:
        return []
    v1, v2, v3 = Vt
    found = []
    for sign in (1, -1):
        u = (np.sqrt(max(1 - s3, 0)) * v1 + sign * np.sqrt(max(s1 - 1, 0)) * v3) / np.sqrt(s1 - s3)
        n = np.cross(v2, u)
        frame, image = np.stack([v2, u, n], 1), np.stack([H @ v2, H @ u, np.cross(H @ v2, H @ u)], 1)
        R = enforce_rotation(image @ frame.T)
        t = (H - R) @ n
        if np.linalg.norm(t) > 1e-12:
            t = t / np.linalg.norm(t)
            found += [(R, t), (R, -t)]
    return found
