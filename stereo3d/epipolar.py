"""Relative pose of two photos from their matches: minimal solvers, robust estimation, refinement, the lens.

`estimate_two_view` is the stage: Matches, Rig -> TwoView.
"""

import logging
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from .errors import StereoError
from .geometry import (
    decompose_essential,
    enforce_rotation,
    essential_from_pose,
    fit_homography,
    fundamental_from_pose,
    hom,
    homography_errors,
    ideal_pixels,
    normalising_transform,
    null_vector,
    sampson,
    transform,
    triangulate_points,
    undistort,
)
from .options import Range, check_options, options_of
from .ransac import Estimate, RobustProblem, ransac, truncated_squares
from .records import Camera, Matches, Rig, TwoView

log = logging.getLogger(__name__)

MIN_INLIERS = 15  # below this a random pair of photos can reach the count by chance
MAX_PIXEL = 1e9  # px; a match farther out lies in no photo, and its products would overflow

Pose = tuple[np.ndarray, np.ndarray]  # R (3, 3), t (3,)


# ------------------------------------------------------------------------------------- algebra: F and E by SVD


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
    x1, x2 = np.asarray(x1, dtype=float), np.asarray(x2, dtype=float)
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
        A = A * np.asarray(weights, dtype=float)[:, None]
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
    from .posefit import seven_point as kernel

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
    from .posefit import five_point as kernel

    return kernel(*_samples("five_point", y1, y2, 5))


def _samples(name: str, x1: ArrayLike, x2: ArrayLike, size: int) -> tuple[np.ndarray, np.ndarray]:
    x1, x2 = np.ascontiguousarray(x1, dtype=float), np.ascontiguousarray(x2, dtype=float)
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
    y1, y2 : (N, 2) float64
        Matches, normalised camera coordinates.

    Returns
    -------
    R, t : (3, 3), (3,) float64
    """
    return max(decompose_essential(E), key=lambda pose: cheirality_mask(*pose, y1, y2).sum())


def cheirality_mask(R: np.ndarray, t: np.ndarray, y1: np.ndarray, y2: np.ndarray) -> np.ndarray:
    """z1 > 0 and z2 > 0: the two rays of a match meet in front of both cameras.

    With p = R d1, q = d2, n = p x q, d = (y, 1), the closest points of the two rays have the depths
    z1 = (q x t) . n / |n|^2 and z2 = (p x t) . n / |n|^2. Rays that run parallel, n = 0, do not meet.

    Parameters
    ----------
    R, t : (3, 3), (3,) float64
        Pose, X2 = R X1 + t.
    y1, y2 : (N, 2) float64
        Matches, normalised camera coordinates.

    Returns
    -------
    (N,) bool

    References
    ----------
    Hartley and Zisserman, Multiple View Geometry, 2004, chapter 21.
    """
    p, q = hom(y1) @ R.T, hom(y2)
    n = np.cross(p, q)
    z1 = np.sum(np.cross(q, np.broadcast_to(t, q.shape)) * n, -1)
    z2 = np.sum(np.cross(p, np.broadcast_to(t, p.shape)) * n, -1)
    return (z1 > 0) & (z2 > 0)


def plausible_depth(R: np.ndarray, t: np.ndarray, y1: np.ndarray, y2: np.ndarray, slack: float) -> np.ndarray:
    """The rays meet in front of both cameras, or run parallel within `slack` rad, where noise decides the side.

    A false match that lies on its epipolar line has a random depth sign, so this removes about half of them.

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
    parallel = np.linalg.norm(np.cross(hom(y1) @ R.T, hom(y2)), axis=1) < slack
    return parallel | cheirality_mask(R, t, y1, y2)


# ---------------------------------------------------------------------- least squares over pose and lens


LENS = 5  # parameters of one lens
FAR = 1e3  # standard deviations, at which exp(-r^2 / 2 sigma^2) is 0 in float64


@dataclass(frozen=True, eq=False)
class LensModel:
    """z = basis @ p, p ~ N(0, prior_sigma^2 / prior_weight) a priori: the lens parameters estimated with the pose.

    Parameters
    ----------
    focals : (2,) float64
        px, where z = 0.
    basis : (10, q) float64
        z (10,) holds of camera 1, then of camera 2: log(f / focal), the shift of the principal point in x and y (px),
        and k1, k2 of x_d = x_u (1 + k1 q + k2 q^2), q = |x_u|^2 / focal^2. q = 0: the pose alone. Two photos by one
        camera share parameters: columns that reach into both halves.
    prior_sigma : (q,) float64
        Standard deviations of p.
    prior_weight : float
        Number of matches that count as one.
    """

    focals: np.ndarray
    basis: np.ndarray
    prior_sigma: np.ndarray
    prior_weight: float = 1.0


@dataclass(frozen=True)
class RobustLoss:
    """The loss `soft_truncated` with the noise `sigma` and its `cut`, both in px."""

    sigma: float
    cut: float

    @classmethod
    def of_noise(cls, sigma: float, threshold: float) -> "RobustLoss":
        """Cut at four times the noise, but not beyond 1.3 thresholds."""
        return cls(sigma, min(4 * sigma, 1.3 * threshold))


def pose_alone(focals: ArrayLike) -> LensModel:
    """Return the lens model without free parameters. focals: (2,) px."""
    return LensModel(np.asarray(focals, dtype=float), np.zeros((2 * LENS, 0)), np.zeros(0))


def sampson_residuals(
    R: np.ndarray, t: np.ndarray, p: np.ndarray, x1: np.ndarray, x2: np.ndarray, lens_model: LensModel
) -> np.ndarray:
    """r = e / |grad e|, the Sampson distances of several poses and lenses.

    Parameters
    ----------
    R, t, p : (M, 3, 3), (M, 3), (M, q) float64
        Poses and lens parameters.
    x1, x2 : (N, 2) float64
        px about the principal points.
    lens_model : LensModel
        Meaning of p.

    Returns
    -------
    (M, N) float64
        px.
    """
    from .posefit import sampson_residuals_kernel

    r, z = np.empty((len(R), len(x1))), p @ lens_model.basis.T
    for k in range(len(R)):
        Rk, tk, zk, focals, a, b = contiguous(R[k], t[k], z[k], lens_model.focals, x1, x2)
        sampson_residuals_kernel(Rk, tk, zk, focals, a, b, r[k])
    return r


def sampson_jacobian(
    R: np.ndarray, t: np.ndarray, p: np.ndarray, x1: np.ndarray, x2: np.ndarray, lens_model: LensModel
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """J = dr/d(w, s, p) in closed form, under R <- exp([w]x) R, t <- t + s tangents (normalised).

    Parameters
    ----------
    R, t, p : (3, 3), (3,), (q,) float64
        One pose and lens.
    x1, x2, lens_model
        As in `sampson_residuals`.

    Returns
    -------
    r, J, tangents : (N,), (N, 5 + q), (2, 3) float64
        Residuals in px, their derivatives, the tangent basis of t.
    """
    from .posefit import sampson_jacobian_kernel, tangent_basis

    r, J = np.empty(len(x1)), np.empty((len(x1), 5 + len(p)))
    z, basis = lens_model.basis @ p, lens_model.basis
    R, t, z, focals, x1, x2, basis = contiguous(R, t, z, lens_model.focals, x1, x2, basis)
    sampson_jacobian_kernel(R, t, z, focals, x1, x2, basis, r, J)
    return r, J, tangent_basis(t)


def contiguous(*arrays: ArrayLike) -> tuple[np.ndarray, ...]:
    """Return the arrays contiguous and of float64, as the kernels need them."""
    return tuple(np.ascontiguousarray(a, dtype=float) for a in arrays)


def soft_truncated(r: np.ndarray, sigma: float, cut: float) -> tuple[np.ndarray, np.ndarray]:
    """rho(r) = -log((g + e) / (1 + e)), g = exp(-r^2 / 2 sigma^2), e = g(cut); and its weight g / (g + e).

    The likelihood of normal noise among uniformly distributed outliers; at `cut` both are equally likely.

    Parameters
    ----------
    r : array
        Residuals; may be infinite.
    sigma, cut : float
        In the unit of r.

    Returns
    -------
    rho, weight : arrays like r

    References
    ----------
    Torr and Zisserman, MLESAC, 2000.
    """
    e = np.exp(-0.5 * (min(cut, FAR * sigma) / sigma) ** 2)
    g = np.exp(-0.5 * (np.minimum(np.abs(r), FAR * sigma) / sigma) ** 2)  # bounded first: squares overflow
    return -np.log((g + e) / (1 + e)), g / (g + e)


def adjust(
    R: np.ndarray,
    t: np.ndarray,
    p: np.ndarray,
    x1: np.ndarray,
    x2: np.ndarray,
    lens_model: LensModel,
    *,
    loss: RobustLoss,
    max_steps: int = 15,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Minimise sum of rho(r) + prior_weight |p / prior_sigma|^2 / 2 from M starts at once.

    Parameters
    ----------
    R, t, p : (M, 3, 3), (M, 3), (M, q) float64
        Starts.
    x1, x2, lens_model
        As in `sampson_residuals`.
    loss : RobustLoss
        rho, `soft_truncated`; its weights are taken anew in each step.
    max_steps : int
        Steps at most.

    Returns
    -------
    R, t, p, cost : (M, 3, 3), (M, 3), (M, q), (M,) float64

    References
    ----------
    Levenberg 1944; Marquardt 1963.
    """
    from .posefit import PoseProblem, adjust_poses

    weights = lens_model.prior_weight / lens_model.prior_sigma**2
    R, t, p = (np.array(a, dtype=float) for a in (R, t, p))
    cost = np.empty(len(R))
    focals, x1, x2, basis, weights = contiguous(lens_model.focals, x1, x2, lens_model.basis, weights)
    problem = PoseProblem(focals, x1, x2, basis, weights, float(loss.sigma), float(loss.cut))
    adjust_poses(problem, R, t, p, max_steps, cost)
    return R, t, p, cost


def noise_of(r: np.ndarray, threshold: float) -> float:
    """sigma = 1.4826 median |r| of the residuals below the threshold; never quite zero. r: (N,)."""
    near = np.abs(r)[np.abs(r) < threshold]
    return max(1.4826 * float(np.median(near)), 1e-6 * threshold) if len(near) else threshold


FIT_ROUNDS = 4  # of `adjust`, the noise measured anew before each
FIRST_MATCHES = 600  # about so many matches are enough for the first rounds


def fit_views(
    R: np.ndarray,
    t: np.ndarray,
    p: np.ndarray,
    x1: np.ndarray,
    x2: np.ndarray,
    lens_model: LensModel,
    *,
    threshold: float,
    max_independent: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, np.ndarray]:
    """`adjust` one pose to all matches, the noise measured anew each round.

    Parameters
    ----------
    R, t, p : (3, 3), (3,), (q,) float64
        Start.
    x1, x2, lens_model
        As in `sampson_residuals`.
    threshold : float
        px; the loss is cut at four times the noise, but not beyond 1.3 thresholds.
    max_independent : int, optional
        The lens prior is weighed as if at most so many matches were independent: errors of neighbours are alike, and
        no lens is exactly of the model.

    Returns
    -------
    R, t, p, sigma, inliers : (3, 3), (3,), (q,), float (px), (N,) bool
    """
    R, t, p, sigma = R[None], t[None], p[None], threshold
    stride = max(1, len(x1) // FIRST_MATCHES)
    for k in range(FIT_ROUNDS):
        a, b = (x1, x2) if k >= FIT_ROUNDS - 2 else (x1[::stride], x2[::stride])
        r = sampson_residuals(R, t, p, a, b, lens_model)[0]
        sigma = noise_of(r, threshold)
        weight = max(1.0, float((np.abs(r) < threshold).sum()) / max_independent) if max_independent else 1.0
        weighed = replace(lens_model, prior_weight=weight)
        R, t, p, _ = adjust(R, t, p, a, b, weighed, loss=RobustLoss.of_noise(sigma, threshold))
    agree = np.abs(sampson_residuals(R, t, p, x1, x2, lens_model)[0]) < min(4 * sigma, threshold)
    return R[0], t[0], p[0], sigma, agree


def refine_pose(R: np.ndarray, t: np.ndarray, x1: np.ndarray, x2: np.ndarray, focal: float, *, scale: float) -> Pose:
    """Minimise the robust Sampson error over the pose, from a start.

    Parameters
    ----------
    R, t : (3, 3), (3,) float64
        Start, of any |t| above 0.
    x1, x2 : (N, 2) float64
        px about the principal points.
    focal : float
        px, of both cameras.
    scale : float
        px, error of an inlier.

    Returns
    -------
    R, t : (3, 3), (3,) float64
        |t| = 1.
    """
    t = t / np.linalg.norm(t)
    lens_model = pose_alone([focal, focal])
    start = sampson_residuals(R[None], t[None], np.zeros((1, 0)), x1, x2, lens_model)
    wide = max(scale, float(np.max(np.abs(start), initial=0)))
    return fit_views(R, t, np.zeros(0), x1, x2, lens_model, threshold=wide)[:2]


# ------------------------------------------------------------------------------------------------- planes


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


PLANE_SHARE = 1 / 3  # of the matches that a dominating plane must hold


def plane_poses(y1: np.ndarray, y2: np.ndarray, focal: float, *, threshold: float, seed: int = 0) -> list[Pose]:
    """Return the poses of the plane that holds most matches; none where it holds less than a third.

    A sample dominated by one plane leaves the pose to chance; its homography does not.

    Parameters
    ----------
    y1, y2 : (N, 2) float64
        Inliers, normalised camera coordinates.
    focal : float
        px a unit.
    threshold : float
        px; twice of it for the plane.
    seed : int
        Of the samples.

    Returns
    -------
    list of R, t

    References
    ----------
    Chum, Werner and Matas, Two-view geometry estimation unaffected by a dominant plane (DEGENSAC), 2005.
    """
    problem = RobustProblem(
        len(y1),
        4,
        lambda s: fit_homography(y1[s], y2[s]),
        lambda H, which: focal * homography_errors(H, y1[which], y2[which]),
        lambda H, agree: fit_homography(y1[agree], y2[agree]),
    )
    estimate = ransac(problem, threshold=2 * threshold, confidence=0.99, max_samples=128, seed=seed)
    if estimate is None or estimate.inliers.mean() < PLANE_SHARE:
        return []
    return decompose_homography(estimate.model)


# -------------------------------------------------------------------------------------------- robust estimation

REFINED_WITH = 200  # about so many inliers refine a new best model


def ransac_fundamental(
    x1: ArrayLike,
    x2: ArrayLike,
    *,
    threshold: float,
    confidence: float = 0.9999,
    max_samples: int = 50_000,
    seed: int = 0,
) -> Estimate | None:
    """Estimate F by 7-point samples; new bests are refined over all F of rank 2, at last on all matches.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        Ideal pixels.
    threshold : float
        px, Sampson distance of an inlier.
    confidence, seed
        As in `ransac`.
    max_samples : int
        The default is enough for a third of right matches, 0.33^7.

    Returns
    -------
    Estimate or None
        Model (3, 3) of unit norm; None where no sample gives one.
    """
    from .posefit import RankTwoProblem, adjust_fundamental, sampson_of_models
    from .posefit import seven_point as solve

    x1, x2 = np.asarray(x1, dtype=float), np.asarray(x2, dtype=float)
    if len(x1) < 7:
        return None
    # both pictures by one scale, so that Sampson distances are pixels times it
    T1, T2 = normalising_transform(x1), normalising_transform(x2)
    scale = np.sqrt(T1[0, 0] * T2[0, 0])
    T1, T2 = (np.diag([scale / T[0, 0], scale / T[0, 0], 1.0]) @ T for T in (T1, T2))
    y1, y2 = contiguous(transform(T1, x1), transform(T2, x2))
    scaled = scale * threshold

    def residuals(F: np.ndarray, which: np.ndarray | slice = slice(None)) -> np.ndarray:
        return sampson_of_models(F, y1[which], y2[which])

    def refined(F: np.ndarray, which: np.ndarray | slice, max_steps: int) -> np.ndarray:
        sigma = noise_of(residuals(F[None], which)[0], scaled)
        U, s, Vt = np.linalg.svd(F)
        U, Vt, some1, some2 = contiguous(U, Vt, y1[which], y2[which])
        problem = RankTwoProblem(some1, some2, float(sigma), float(min(4 * sigma, scaled)))
        return adjust_fundamental(problem, U, Vt, np.arctan2(s[1], s[0]), max_steps)

    def refine(F: np.ndarray, agree: np.ndarray) -> np.ndarray | None:
        return refined(F, _thinned(agree), 5) if len(agree) >= 8 else None

    problem = RobustProblem(len(x1), 7, lambda s: solve(y1[s], y2[s]), residuals, refine)
    found = ransac(problem, threshold=scaled, confidence=confidence, max_samples=max_samples, seed=seed)
    if found is None:
        return None
    F = found.model
    for _ in range(3 if found.inliers.sum() >= 8 else 0):
        F = refined(F, slice(None), 20)
    squares = truncated_squares(residuals(F[None])[0], scaled)
    models = T2.T @ np.concatenate([F[None], found.candidates]) @ T1
    models /= np.linalg.norm(models, axis=(1, 2), keepdims=True)
    return replace(found, model=models[0], inliers=squares < 1, cost=float(squares.mean()), candidates=models)


def ransac_essential(
    x1: ArrayLike,
    x2: ArrayLike,
    focals: ArrayLike,
    *,
    threshold: float,
    confidence: float = 0.9999,
    max_samples: int = 10_000,
    keep: int = 1,
    seed: int = 0,
) -> Estimate | None:
    """Estimate E by 5-point samples; new bests are refined over R, t.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        px about the principal points.
    focals : (2,) float64
        px.
    threshold : float
        px, Sampson distance of an inlier in the two photos.
    confidence, keep, seed
        As in `ransac`.
    max_samples : int
        The default is enough for a quarter of right matches, 0.25^5.

    Returns
    -------
    Estimate or None
        Model (3, 3); None where no sample gives one.
    """
    from .posefit import five_point as solve
    from .posefit import sampson_of_models

    x1, x2, focals = contiguous(x1, x2, focals)
    y1, y2 = x1 / focals[0], x2 / focals[1]
    scale1, scale2 = np.array([focals[1], focals[1], 1.0]), np.array([focals[0], focals[0], 1.0])
    lens_model, none = pose_alone(focals), np.zeros((1, 0))
    loss = RobustLoss(threshold / 2, threshold)

    def refine(E: np.ndarray, agree: np.ndarray) -> np.ndarray:
        agree = _thinned(agree)
        R, t = pose_from_essential(E, y1[agree], y2[agree])
        R, t, *_ = adjust(R[None], t[None], none, x1[agree], x2[agree], lens_model, loss=loss, max_steps=4)
        return essential_from_pose(R[0], t[0]) / np.sqrt(2)

    def residuals(E: np.ndarray, which: np.ndarray | slice) -> np.ndarray:
        return sampson_of_models(E / scale1[:, None] / scale2, x1[which], x2[which])

    problem = RobustProblem(len(y1), 5, lambda s: solve(y1[s], y2[s]), residuals, refine)
    return ransac(problem, threshold=threshold, confidence=confidence, max_samples=max_samples, keep=keep, seed=seed)


def _thinned(agree: np.ndarray) -> np.ndarray:
    """Every so many-th of the inliers, `REFINED_WITH` to twice that."""
    return agree[:: max(1, len(agree) // REFINED_WITH)]


CANDIDATES = 8  # minima of the cost that are polished: forward motion and planes have several
POLISHED_WITH = 500  # random matches in the first round
FINALISTS = 3  # minima that are polished on all matches


def pose_candidates(
    x1: np.ndarray,
    x2: np.ndarray,
    focals: np.ndarray,
    *,
    threshold: float,
    confidence: float = 0.9999,
    max_samples: int = 10_000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return the best poses of 5-point samples and of the dominating plane, each polished, best first.

    Parameters
    ----------
    x1, x2, focals, threshold, confidence, max_samples, seed
        As in `ransac_essential`.

    Returns
    -------
    R, t, cost : (M, 3, 3), (M, 3), (M,) float64, or None
        cost as in `pose_costs`. None where no sample gives a pose.
    """
    estimate = ransac_essential(
        x1, x2, focals, threshold=threshold, confidence=confidence, max_samples=max_samples, keep=CANDIDATES, seed=seed
    )
    if estimate is None:
        return None
    y1, y2 = x1 / focals[0], x2 / focals[1]
    agree = _thinned(np.flatnonzero(estimate.inliers))
    if len(agree) < 5:
        return None
    starts = [pose_from_essential(E, y1[agree], y2[agree]) for E in estimate.candidates]
    starts += plane_poses(y1[agree], y2[agree], float(np.sqrt(focals[0] * focals[1])), threshold=threshold, seed=seed)
    R, t = (np.stack(a) for a in zip(*starts, strict=True))
    pick = np.sort(np.random.default_rng(seed).permutation(len(x1))[:POLISHED_WITH])
    lens_model, none = pose_alone(focals), np.zeros((len(R), 0))
    # wider than an inlier's error: a narrower cost has more minima to stay in
    wide = RobustLoss(threshold / 1.5, 1.5 * threshold)
    R, t, *_ = adjust(R, t, none, x1[pick], x2[pick], lens_model, loss=wide, max_steps=8)
    cost, sigma = pose_costs(R, t, x1, x2, focals, threshold)
    best = np.argsort(cost, kind="stable")[:FINALISTS]
    narrow = RobustLoss.of_noise(sigma, threshold)
    R, t, *_ = adjust(R[best], t[best], none[best], x1, x2, lens_model, loss=narrow, max_steps=5)
    cost, _ = pose_costs(R, t, x1, x2, focals, threshold)
    order = np.argsort(cost, kind="stable")
    return R[order], t[order], cost[order]


def pose_costs(
    R: np.ndarray, t: np.ndarray, x1: np.ndarray, x2: np.ndarray, focals: np.ndarray, threshold: float
) -> tuple[np.ndarray, float]:
    """Sum of `soft_truncated` over the matches; one that meets behind a camera costs as one far from its line.

    Parameters
    ----------
    R, t : (M, 3, 3), (M, 3) float64
        Poses.
    x1, x2, focals, threshold
        As in `ransac_essential`.

    Returns
    -------
    cost : (M,) float64
    sigma : float
        px, the noise of the pose with most inliers, by which all are judged.
    """
    r = sampson_residuals(R, t, np.zeros((len(R), 0)), x1, x2, pose_alone(focals))
    for k in range(len(R)):
        r[k, ~cheirality_mask(R[k], t[k], x1 / focals[0], x2 / focals[1])] = np.inf
    sigma = noise_of(r[np.argmax((np.abs(r) < threshold).sum(1))], threshold)
    loss = RobustLoss.of_noise(sigma, threshold)
    return np.einsum("mn->m", soft_truncated(r, loss.sigma, loss.cut)[0]), sigma


# --------------------------------------------------------------------------------------------------- the lens

# Standard deviations a priori of the logarithm of the focal length. EXIF gives whole mm of 35 mm film and rounds lens
# data, and its sensor sizes are nominal: a few per cent. A guess is a factor of 1.5 off either way (19 to 42 mm about
# 28 mm).
FOCAL_PRIOR_SIGMA = {"exif": 0.04, "prior": float(np.log(1.5))}
CENTRE_PRIOR_SIGMA = 0.01  # of the longer side: assembly of a lens, and stabilisers that shift it
CENTRE_CHANGE_SHARE = 0.3  # of that, between two photos by one lens: stabilisers, two cameras of a make
DISTORTION_PRIOR_SIGMA = 0.05  # k1, k2: phones and processed photos below 0.02, compact cameras up to 0.2
# No lens is exactly of this model and errors of neighbouring matches are alike: at most so many matches count as
# independent when the lens is weighed against its prior. On rendered and random pairs by lenses off the model
# (`benchmarks/pose.py`) the focal's error is least at 50 to 100: 1.7 %, where 300 gives 2.3 and 1000 2.6.
MAX_INDEPENDENT = 100
MIN_MATCHES_FOR_LENS = 50  # inliers; below it the lens stays as it is
MAX_K1 = 0.5  # |k1|; beyond it the fit has found something that is no lens
# A guess is replaced where the standard error is below this, half of the guess's own: on the same pairs none was more
# than half of that off; at 0.3 three were off by a factor of 1.5.
MAX_FOCAL_SIGMA = 0.20
# A known focal length stays where the matches would move it by more of its standard deviations: the scene does not fit.
MAX_FOCAL_MOVE = 3
LADDER = 1.25 ** np.arange(-3.0, 5.0)  # factors of a guessed focal length that are tried
LADDER_MATCHES = 400  # random matches on which they are tried
LADDER_SAMPLES = 1000  # minimal samples at most for each
LADDER_FINALISTS = 4  # factors whose pose and lens are refined together


def free_lens_model(rig: Rig, focals: ArrayLike, *, full: bool = False) -> LensModel:
    """Return the lens parameters that may be estimated: focal, principal point and k1 of each uncalibrated camera.

    Parameters
    ----------
    rig : Rig
        A given or calibrated camera has no free parameter; two equal cameras have one common lens.
    focals : (2,) float64
        px.
    full : bool
        Add what is not estimated but may be wrong all the same: k2, and for one common lens a principal point that
        differs between the photos. For standard errors.

    Returns
    -------
    LensModel
    """
    distortion, parts = [3, 4] if full else [3], []
    for camera, half in ((rig.cam1, np.eye(2 * LENS)[:, :LENS]), (rig.cam2, np.eye(2 * LENS)[:, LENS:])):
        if camera.source in FOCAL_PRIOR_SIGMA and len(camera.dist) == 0:
            centre = CENTRE_PRIOR_SIGMA * max(camera.size)
            sigma = [FOCAL_PRIOR_SIGMA[camera.source], centre, centre, *([DISTORTION_PRIOR_SIGMA] * len(distortion))]
            parts.append((half[:, [0, 1, 2, *distortion]], np.array(sigma)))
    if len(parts) == 2 and one_lens(rig):
        (first, sigma), (second, _) = parts
        parts = [(first + second, sigma)]
        if full:
            parts.append(((first - second)[:, 1:3], sigma[1:3] * CENTRE_CHANGE_SHARE))
    if not parts:
        return pose_alone(focals)
    basis, sigma = np.hstack([a for a, _ in parts]), np.hstack([s for _, s in parts])
    return LensModel(np.asarray(focals, dtype=float), basis, sigma)


def one_lens(rig: Rig) -> bool:
    """Whether both cameras are equal, so that their parameters are estimated as one lens."""
    a, b = rig.cam1, rig.cam2
    return a.size == b.size and a.source == b.source and np.array_equal(a.K, b.K) and np.array_equal(a.dist, b.dist)


def guessed_focal(
    x1: np.ndarray, x2: np.ndarray, rig: Rig, focals: np.ndarray, *, threshold: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return R, t, p (of `free_lens_model`) of least cost from a ladder of focals, pose and lens refined together.

    Scales only cameras whose focal length is a mere guess.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        px about the principal points.
    rig : Rig
        Sources of the focal lengths.
    focals : (2,) float64
        px.
    threshold : float
        px, Sampson distance of an inlier.
    seed : int
        Of the matches and samples.

    Returns
    -------
    R, t, p : (3, 3), (3,), (q,) float64, or None
        None where no focal length of the ladder gives a pose.
    """
    scaled = np.array([c.source == "prior" for c in (rig.cam1, rig.cam2)])
    pick = np.sort(np.random.default_rng(seed).permutation(len(x1))[:LADDER_MATCHES])
    x1, x2 = x1[pick], x2[pick]
    tried = []
    for factor in LADDER:
        f = np.where(scaled, factor, 1.0) * focals
        estimate = ransac_essential(
            x1, x2, f, threshold=threshold, confidence=0.99, max_samples=LADDER_SAMPLES, seed=seed
        )
        if estimate is not None and estimate.inliers.sum() >= MIN_INLIERS:
            agree = np.flatnonzero(estimate.inliers)
            R, t = pose_from_essential(estimate.model, x1[agree] / f[0], x2[agree] / f[1])
            tried.append((estimate.cost, factor, R, t))
    if not tried:
        return None
    tried = sorted(tried, key=lambda item: item[0])[:LADDER_FINALISTS]
    lens_model = free_lens_model(rig, focals)
    p = np.zeros((len(tried), lens_model.basis.shape[1]))
    for k, (_, factor, _, _) in enumerate(tried):
        for row in np.flatnonzero(scaled) * LENS:
            p[k, lens_model.basis[row] != 0] = np.log(factor)
    R, t = np.stack([item[2] for item in tried]), np.stack([item[3] for item in tried])
    R, t, p, cost = adjust(R, t, p, x1, x2, lens_model, loss=RobustLoss(threshold / 3, threshold))
    best = int(np.argmin(cost))
    return R[best], t[best], p[best]


@dataclass(frozen=True, eq=False)
class LensFit:
    """Pose and rig after the lens was fitted.

    Parameters
    ----------
    R, t : (3, 3), (3,) float64
        Pose.
    rig : Rig
        With the fitted lens where `accepted`, else as it was.
    focal_sigma : float or None
        Relative standard error of the focal lengths; None where they are given.
    accepted : bool
        Whether the matches determine the lens and agree with what is known of it.
    """

    R: np.ndarray
    t: np.ndarray
    rig: Rig
    focal_sigma: float | None
    accepted: bool


def fit_lens(
    R: np.ndarray,
    t: np.ndarray,
    p: np.ndarray,
    x1: np.ndarray,
    x2: np.ndarray,
    rig: Rig,
    focals: np.ndarray,
    threshold: float,
) -> LensFit:
    """Fit pose and lens together to all matches.

    Parameters
    ----------
    R, t, p : (3, 3), (3,), (q,) float64
        Start, p of `free_lens_model`.
    x1, x2, rig, focals, threshold
        As in `guessed_focal`.

    Returns
    -------
    LensFit
        Not accepted where the matches leave the focal too uncertain (`MAX_FOCAL_SIGMA`), contradict what is known of
        the lens, or no inlier is left.
    """
    lens_model = free_lens_model(rig, focals)
    f1, f2 = focals * np.exp((lens_model.basis @ p)[[0, LENS]])
    ahead = plausible_depth(R, t, x1 / f1, x2 / f2, 2 * threshold / f1)
    x1, x2 = x1[ahead], x2[ahead]
    R1, t1, p, sigma, agree = fit_views(
        R, t, p, x1, x2, lens_model, threshold=threshold, max_independent=MAX_INDEPENDENT
    )
    if not agree.any():
        return LensFit(R, t, rig, _prior_focal_sigma(rig), False)
    z = lens_model.basis @ p
    variance = lens_variance(R1, t1, z, x1[agree], x2[agree], free_lens_model(rig, focals, full=True), sigma)
    # a lens farther from what is usual than it should be: something else pulls at it, and at the focal (Birge's ratio)
    variance *= max(1.0, float(np.mean((p / lens_model.prior_sigma) ** 2)))
    error = float(np.sqrt(variance[[0, LENS]].max()))
    log.info(
        "lens: focals x %.4g, %.4g, standard error %.2g, centre %.3g %.3g px, k1 %.3g, noise %.2g px",
        *(np.exp(z[0]), np.exp(z[LENS]), error, z[1], z[2], z[3], sigma),
    )
    cameras = []
    for camera, first in ((rig.cam1, 0), (rig.cam2, LENS)):
        prior_sigma = FOCAL_PRIOR_SIGMA.get(camera.source, 0.0)
        if np.abs(z[first + 3]) > MAX_K1 or np.abs(z[first]) > MAX_FOCAL_MOVE * max(prior_sigma, 1e-9):
            return LensFit(R, t, rig, prior_sigma, False)
        if camera.source == "prior" and np.sqrt(variance[first]) > MAX_FOCAL_SIGMA:
            return LensFit(R, t, rig, max(error, prior_sigma), False)
        cameras.append(_with_lens(camera, z[first : first + LENS], float(np.sqrt(variance[first]))))
    return LensFit(R1, t1, replace(rig, cam1=cameras[0], cam2=cameras[1]), error, True)


def _prior_focal_sigma(rig: Rig) -> float:
    """The larger relative standard error of both focal lengths before any match is seen."""
    return max(FOCAL_PRIOR_SIGMA.get(camera.source, 0.0) for camera in (rig.cam1, rig.cam2))


def lens_variance(
    R: np.ndarray,
    t: np.ndarray,
    z: np.ndarray,
    x1: np.ndarray,
    x2: np.ndarray,
    lens_model: LensModel,
    sigma: float,
) -> np.ndarray:
    """Diagonal of (J^T J m / (n sigma^2) + prior)^-1, all else free: the variance of each lens parameter.

    Parameters
    ----------
    R, t, z : (3, 3), (3,), (10,) float64
        Pose and lens.
    x1, x2 : (n, 2) float64
        Inliers, px about the principal points; n of them count as m = min(n, MAX_INDEPENDENT).
    lens_model : LensModel
        Free parameters and their prior.
    sigma : float
        px, noise.

    Returns
    -------
    (10,) float64
    """
    q = lens_model.basis.shape[1]
    p = np.linalg.lstsq(lens_model.basis, z, rcond=None)[0]
    _, J, _ = sampson_jacobian(R, t, p, x1, x2, lens_model)
    information = np.einsum("np,nq->pq", J, J) / sigma**2 * min(1.0, MAX_INDEPENDENT / max(len(x1), 1))
    information[range(5, 5 + q), range(5, 5 + q)] += lens_model.prior_sigma**-2.0
    covariance = np.linalg.pinv(information)[5:, 5:]
    return np.einsum("ap,pq,aq->a", lens_model.basis, covariance, lens_model.basis)


def _with_lens(camera: Camera, z: np.ndarray, error: float) -> Camera:
    """The camera with log focal, centre (px) and k1 of its lens moved by z; fx / fy stays."""
    if not np.any(z):
        return camera
    factor = np.exp(z[0])
    K = camera.K.copy()
    squeeze = np.array([K[0, 0], K[1, 1]]) / camera.focal
    K[[0, 1], [0, 1]] *= factor
    K[:2, 2] += z[1:3] * squeeze
    dist = np.array([z[3] * factor**2, z[4] * factor**4, 0, 0])
    if camera.source == "prior":
        return replace(camera, K=K, dist=dist, source="estimated", source_detail=f"standard error {100 * error:.1f} %")
    moved = f"moved by {100 * (factor - 1):+.1f} % with the pose, standard error {100 * error:.1f} %"
    return replace(camera, K=K, dist=dist, source_detail=f"{camera.source_detail}; {moved}")


# ----------------------------------------------------------------------------------------------- the stage


def estimate_two_view(
    matches: Matches,
    rig: Rig,
    *,
    threshold: Annotated[float, Range(0.01, 1000)] = 1.5,
    confidence: Annotated[float, Range(0.5, 1)] = 0.9999,
    seed: int = 0,
) -> TwoView:
    """X2 = R X1 + t, x2^T F x1 = 0 in ideal pixels: the relative pose of the two photos.

    Where a focal length is from EXIF or a mere guess, estimates focal, principal point and k1 with the pose, each under
    its prior: EXIF moves as far as the matches show, a guess is replaced only where they determine it
    (`Camera.source` "estimated"), else it stands.

    Parameters
    ----------
    matches : Matches
        Photo pixels. Those that are not finite are no inliers.
    rig : Rig
        The cameras. Where it knows R and t, these are taken and only the inliers classified.
    threshold : float
        px, Sampson distance of an inlier.
    confidence : float
        Of the sampling, that no better pose was missed.
    seed : int
        Of the random samples.

    Returns
    -------
    TwoView
        |t| = 1 unless the rig gives a scale. `TwoView.focal_sigma` is the relative standard error of the focal lengths.

    Raises
    ------
    StereoError
        "few_matches" or "no_overlap" where no pose has enough support, "calibration_mismatch" where the rig's pose has
        not, "bad_calibration" where a known t is 0, "bad_option" for an option out of its bounds.
    """
    given = {"threshold": threshold, "confidence": confidence, "seed": seed}
    threshold, confidence, seed = check_options("pose", options_of(estimate_two_view), given).values()
    rig.check_baseline()
    if len(matches) < MIN_INLIERS:
        raise StereoError(
            "few_matches",
            f"{len(matches)} matches between the photos, {MIN_INLIERS} needed.",
            "The photos must show the same thing from nearby places: more overlap, less turn, sharper.",
            matches=len(matches),
        )
    if rig.posed:
        return _classify(matches, rig, threshold)
    fit = _pose_and_lens(matches, rig, threshold, confidence, seed)
    rig = fit.rig
    x1, x2, index, focals = centred_pixels(matches.x1, matches.x2, rig)
    y1, y2, slack, lens_model = x1 / focals[0], x2 / focals[1], 2 * threshold / focals[0], pose_alone(focals)
    ahead = plausible_depth(fit.R, fit.t, y1, y2, slack)
    R, t, *_ = fit_views(fit.R, fit.t, np.zeros(0), x1[ahead], x2[ahead], lens_model, threshold=threshold)
    r = sampson_residuals(R[None], t[None], np.zeros((1, 0)), x1, x2, lens_model)[0]
    good = (np.abs(r) < threshold) & plausible_depth(R, t, y1, y2, slack)
    if good.sum() < MIN_INLIERS:
        raise StereoError(
            "no_overlap",
            f"{good.sum()} of {len(matches)} matches agree on one camera motion and "
            f"lie before both cameras, {MIN_INLIERS} needed.",
            "Move less between the photos.",
            inliers=int(good.sum()),
            matches=len(matches),
        )
    inliers = np.zeros(len(matches), bool)
    inliers[index[good]] = True
    F = fundamental_from_pose(rig.cam1.K, rig.cam2.K, R, t)
    return TwoView(F, R, t, inliers, replace(rig, R=R, t=t), fit.focal_sigma)


def centred_pixels(x1: np.ndarray, x2: np.ndarray, rig: Rig) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Undistort matches to pixels about the principal points, of one focal length each.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        Photo pixels.
    rig : Rig
        The cameras.

    Returns
    -------
    x1, x2 : (n, 2) float64
        px; matches without an ideal place in both photos are left out.
    index : (n,) int
        Which matches they are.
    focals : (2,) float64
        px.
    """
    x1, x2 = within_reach(x1), within_reach(x2)
    x1, x2 = (undistort(x, c.K, c.dist) * c.focal for x, c in ((x1, rig.cam1), (x2, rig.cam2)))
    index = np.flatnonzero(np.isfinite(x1).all(1) & np.isfinite(x2).all(1))
    return x1[index], x2[index], index, np.array([rig.cam1.focal, rig.cam2.focal])


def within_reach(x: np.ndarray) -> np.ndarray:
    """Return the pixels (N, 2), NaN where they are farther out than any photo reaches (`MAX_PIXEL`)."""
    x = np.asarray(x, dtype=float)
    return np.where(np.abs(x) < MAX_PIXEL, x, np.nan)


def _pose_and_lens(matches: Matches, rig: Rig, threshold: float, confidence: float, seed: int) -> LensFit:
    """The pose, and the lens where it is not known: from a ladder of focals if guessed, then from samples."""
    x1, x2, _, focals = centred_pixels(matches.x1, matches.x2, rig)
    sigma = None
    guessed = "prior" in (rig.cam1.source, rig.cam2.source)
    if guessed:
        start = guessed_focal(x1, x2, rig, focals, threshold=threshold, seed=seed)
        if start is not None:
            fit = fit_lens(*start, x1, x2, rig, focals, threshold)
            if fit.accepted:
                return fit
            sigma = fit.focal_sigma
    found = pose_candidates(x1, x2, focals, threshold=threshold, confidence=confidence, seed=seed)
    R, t, count = np.eye(3), np.zeros(3), 0
    if found is not None:
        R, t = found[0][0], found[1][0]
        r = sampson_residuals(R[None], t[None], np.zeros((1, 0)), x1, x2, pose_alone(focals))[0]
        count = int((np.abs(r) < threshold).sum())
    if count < MIN_INLIERS:
        raise StereoError(
            "no_overlap",
            f"{count} of {len(matches)} matches agree on one camera motion, {MIN_INLIERS} needed.",
            "The photos show too little in common: move less between them.",
            inliers=count,
            matches=len(matches),
        )
    free = free_lens_model(rig, focals).basis.shape[1]
    if free and not guessed and count >= MIN_MATCHES_FOR_LENS:
        return fit_lens(R, t, np.zeros(free), x1, x2, rig, focals, threshold)
    return LensFit(R, t, rig, sigma, False)


def _classify(matches: Matches, rig: Rig, threshold: float) -> TwoView:
    """The rig's own pose, with the matches that agree with it."""
    assert rig.R is not None and rig.t is not None
    pixels = within_reach(matches.x1), within_reach(matches.x2)
    x1, x2 = (ideal_pixels(x, c.K, c.dist) for x, c in zip(pixels, (rig.cam1, rig.cam2), strict=True))
    known = np.isfinite(x1).all(1) & np.isfinite(x2).all(1)
    F = fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, rig.t)
    y1, y2 = transform(np.linalg.inv(rig.cam1.K), x1), transform(np.linalg.inv(rig.cam2.K), x2)
    # rays that run parallel within the threshold may seem to meet behind: leave that to the line test
    inliers = known & (np.abs(sampson(F, np.nan_to_num(x1), np.nan_to_num(x2))) < threshold)
    inliers &= plausible_depth(rig.R, rig.t, y1, y2, 2 * threshold / rig.cam1.focal)
    if inliers.sum() < MIN_INLIERS:
        raise StereoError(
            "calibration_mismatch",
            f"{inliers.sum()} of {len(x1)} matches fit the given calibration and "
            f"pose within {threshold:g} px, {MIN_INLIERS} needed.",
            "The calibration is of another rig or of other photos, or left and right are exchanged: give "
            "the photos in the order of the calibration, or leave the pose out.",
            inliers=int(inliers.sum()),
            matches=len(x1),
        )
    return TwoView(F, rig.R, rig.t, inliers, rig)


def sparse_points(matches: Matches, view: TwoView) -> np.ndarray:
    """Triangulate all matches by SVD: X (N, 3) in the frame of camera 1, unit of t; NaN for a match without a ray."""
    rig = view.rig
    y1 = undistort(matches.x1, rig.cam1.K, rig.cam1.dist)
    y2 = undistort(matches.x2, rig.cam2.K, rig.cam2.dist)
    return triangulate_points(np.eye(3, 4), np.column_stack([view.R, view.t]), y1, y2)
