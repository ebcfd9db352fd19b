"""Refine a pose and a lens model by Sampson distances."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..geometry.camera import undistort
from ..records import Rig
from .solvers import Pose

MAX_PIXEL = 1e9  # px; no photo is wider, and products of farther matches would overflow
LENS = 5  # parameters of one lens
FAR = 1e3  # standard deviations, at which exp(-r^2 / 2 sigma^2) is 0 in float64
FIT_ROUNDS = 4  # of `adjust`, the noise measured anew before each
FIRST_MATCHES = 600  # about so many matches are enough for the first rounds


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
    from .refine_kernels import sampson_residuals_kernel

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
    from .refine_kernels import sampson_jacobian_kernel, tangent_basis

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
    from .least_squares_kernels import PoseProblem, adjust_poses

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


def fit_views(
    R: np.ndarray,
    t: np.ndarray,
    p: np.ndarray,
    x1: np.ndarray,
    x2: np.ndarray,
    lens_model: LensModel,
    *,
    threshold: float,
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
        R, t, p, _ = adjust(R, t, p, a, b, lens_model, loss=RobustLoss.of_noise(sigma, threshold))
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
