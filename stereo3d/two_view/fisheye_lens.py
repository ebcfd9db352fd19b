"""The lens of an uncalibrated fisheye from all matches at once, with the standard error of its focal length."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..geometry.least_squares import Schedule, State, minimise
from ..geometry.rotations import rotation_from_vector
from ..geometry.two_view import essential_from_pose
from ..geometry.wide_lenses import fisheye_limit
from ..records import Camera, WideLens
from .lens import CENTRE_PRIOR_SIGMA
from .refine import RobustLoss, noise_of, soft_truncated
from .solvers import Pose
from .uncertainty import shared_variance_factor

# Standard deviations a priori of k1 and k2: equidistant, stereographic, equisolid and orthographic lenses have k1 of
# -.17 to .08 and k2 of 0 to .0083.
DISTORTION_PRIOR_SIGMA = 0.1, 0.01
ROUNDS = 3  # the noise measured anew before each
SCHEDULE = Schedule(damping=1e-4, factor=10, min_damping=1e-10, max_damping=1e6, max_steps=12, tolerance=1e-5)
STEPS = np.array([1e-6] * 5 + [1e-6, 1e-6, 1e-6, 1e-3, 1e-3])  # of central differences: w, s, ln f, k1, k2, centre (px)
MAX_STEP = 0.2  # rad, and of ln f, k1 and k2, of one step
GRID = 512  # angles between which the inverse of the lens is interpolated, before Newton's steps
NEWTON_STEPS = 2
MIN_SLOPE = 1e-2  # of theta_d: nearer to a fold a ray is as uncertain as the lens
HIDDEN = 1e6  # px, the residual of a match that the lens does not show


class FisheyeLens(NamedTuple):
    """A fisheye as its matches leave it.

    Parameters
    ----------
    camera : Camera
        With k1, k2 and a principal point of its own; source "estimated".
    pose : (R, t)
        |t| = 1.
    focal_sigma : float
        Relative standard error of the focal length in the middle, of what is unknown of the lens and of the pose.
    """

    camera: Camera
    pose: Pose
    focal_sigma: float


def refine_fisheye(x1: np.ndarray, x2: np.ndarray, start: Camera, pose: Pose, threshold: float) -> FisheyeLens:
    """theta_d = theta (1 + k1 theta^2 + k2 theta^4): pose, focal length, k1, k2 and principal point of least cost.

    Sampson distances in px under the loss `soft_truncated`; k1, k2 and the principal point under their priors. The
    variance of matches that neighbours share (`shared_variance_factor`) weighs them, so the standard error holds for
    errors that whole regions of the photos have in common.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        Inliers, photo px.
    start : Camera
        A fisheye near to the right one.
    pose : (R, t)
        Likewise, |t| = 1.
    threshold : float
        px of an inlier.

    Returns
    -------
    FisheyeLens
    """
    assert start.lens is not None
    p = np.array([0.0, *start.lens.coefficients[:2], 0.0, 0.0])
    problem = _FisheyePose(x1, x2, start, RobustLoss(threshold / 2, threshold), 1.0)
    state: State = (pose[0][None], pose[1][None], p[None])
    for _ in range(ROUNDS):
        r = problem.evaluate(state)[0]
        near = np.abs(r[0]) < threshold
        noise = noise_of(r[0][near], threshold)
        factor = shared_variance_factor(r[0][near], x1[near], noise)
        problem = replace(problem, loss=RobustLoss.of_noise(noise, threshold), factor=factor)
        state = minimise(problem, state, SCHEDULE).state
    A, _, _ = problem.linearise(state, problem.evaluate(state))
    variance = np.linalg.pinv(A[0], hermitian=True)[5, 5]
    (R,), (t,), (p,) = state
    return FisheyeLens(problem.camera(p), (R, t), float(np.sqrt(max(variance, 0.0))))


@dataclass(frozen=True, eq=False)
class _FisheyePose:
    """Pose and lens of two photos by one fisheye; state: R (1, 3, 3), t (1, 3), p (1, 5).

    Attributes
    ----------
    x1, x2 : (N, 2) float64
        Photo px.
    start : Camera
        p is the logarithm of a factor of its focal length, k1, k2, and the shift of its principal point, px.
    loss : RobustLoss
        px.
    factor : float
        Of the variance of the matches.
    """

    x1: np.ndarray
    x2: np.ndarray
    start: Camera
    loss: RobustLoss
    factor: float

    @property
    def prior_sigma(self) -> np.ndarray:
        centre = CENTRE_PRIOR_SIGMA * max(self.start.size)
        return np.array([np.inf, *DISTORTION_PRIOR_SIGMA, centre, centre])

    def camera(self, p: np.ndarray) -> Camera:
        K = self.start.K.copy()
        K[[0, 1], [0, 1]] *= np.exp(p[0])
        K[:2, 2] += p[3:]
        return replace(self.start, K=K, lens=WideLens("fisheye", (float(p[1]), float(p[2]), 0.0, 0.0)))

    def rays(self, p: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of both photos the unit rays, and their derivatives by px."""
        f, c = self.start.focal * np.exp(p[0]), self.start.K[:2, 2] + p[3:]
        pairs = (_rays((x - c) / f, p[1:3]) for x in (self.x1, self.x2))
        return [(d, by_m / f) for d, by_m in pairs]

    def residuals(self, R: np.ndarray, t: np.ndarray, rays: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """(N,) px: c / |dc/dx|, c = d2^T E d1."""
        (d1, by_x1), (d2, by_x2) = rays
        E = essential_from_pose(R, t)
        n, m = d1 @ E.T, d2 @ E
        square = (np.einsum("nij,ni->nj", by_x1, m) ** 2).sum(1) + (np.einsum("nij,ni->nj", by_x2, n) ** 2).sum(1)
        r = np.einsum("ni,ni->n", n, d2) / np.sqrt(np.maximum(square, 1e-30))
        return np.where(np.isfinite(r), r, HIDDEN)

    def evaluate(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """Return the residuals, and what the priors cost."""
        (R,), (t,), (p,) = state
        return self.residuals(R, t, self.rays(p))[None], np.array([0.5 * np.sum((p / self.prior_sigma) ** 2)])

    def improves(self, new: State, old: State) -> np.ndarray:
        return np.array([self._cost(new) < self._cost(old)])

    def _cost(self, values: State) -> float:
        rho = soft_truncated(values[0], self.loss.sigma, self.loss.cut)[0]
        return float(rho.sum() / self.factor + values[1][0])

    def linearise(self, state: State, values: State) -> tuple[np.ndarray, np.ndarray, None]:
        (R,), (t,), (p,) = state
        J, rays = np.empty((len(self.x1), 10)), self.rays(p)
        for k, step in enumerate(np.diag(STEPS)):
            moved = (_moved(R, t, p, s * step) for s in (1, -1))
            plus, minus = (self.residuals(R, t, rays if k < 5 else self.rays(p)) for R, t, p in moved)
            J[:, k] = (plus - minus) / (2 * STEPS[k])
        r = values[0][0]
        w = soft_truncated(r, self.loss.sigma, self.loss.cut)[1] / (self.loss.sigma**2 * self.factor)
        A, b = np.einsum("np,n,nq->pq", J, w, J), np.einsum("np,n->p", J, w * r)
        A[range(5, 10), range(5, 10)] += self.prior_sigma**-2.0
        b[5:] += p * self.prior_sigma**-2.0
        return A[None], b[None], None

    def solve(self, A: np.ndarray, b: np.ndarray, damping: np.ndarray) -> np.ndarray:
        scale = np.sqrt(np.diag(A[0]))
        scaled = A[0] / np.outer(scale, scale) + damping[0] * np.eye(10)
        return (-np.linalg.solve(scaled, b[0] / scale) / scale)[None]

    def move(self, state: State, step: np.ndarray, frame: None) -> tuple[State, np.ndarray]:
        (R,), (t,), (p,), (d,) = *state, step
        d = d * min(1.0, MAX_STEP / max(np.abs(d[:8]).max(), 1e-12))
        R, t, p = _moved(R, t, p, d)
        return (R[None], t[None], p[None]), d[None]


def _moved(R: np.ndarray, t: np.ndarray, p: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """exp([w]x) R, t + s tangents (normalised), p + the rest of the step (w, s, p)."""
    from .refine_kernels import tangent_basis

    t = t + step[3:5] @ tangent_basis(np.ascontiguousarray(t))
    return rotation_from_vector(step[:3]) @ R, t / np.linalg.norm(t), p + step[5:]


def _rays(m: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit rays d (N, 3) of m (N, 2), their derivatives (N, 3, 2) along the radius and across it; NaN beyond a fold."""
    k1, k2 = k
    q = np.hypot(m[:, 0], m[:, 1])
    angles = np.linspace(0, fisheye_limit(np.array([k1, k2, 0.0, 0.0])), GRID)
    theta = np.interp(q, angles * (1 + k1 * angles**2 + k2 * angles**4), angles, right=np.nan)
    for _ in range(NEWTON_STEPS):
        slope = np.maximum(1 + 3 * k1 * theta**2 + 5 * k2 * theta**4, MIN_SLOPE)
        theta = theta - (theta * (1 + k1 * theta**2 + k2 * theta**4) - q) / slope
    slope = np.maximum(1 + 3 * k1 * theta**2 + 5 * k2 * theta**4, MIN_SLOPE)
    e = np.where(q[:, None] > 0, m / np.where(q > 0, q, 1)[:, None], [1.0, 0.0])
    sine, cosine = np.sin(theta), np.cos(theta)
    d = np.column_stack([e * sine[:, None], cosine])
    along = np.column_stack([e * cosine[:, None], -sine]) / slope[:, None]
    turned = np.where(q > 0, sine / np.where(q > 0, q, 1), 1.0)
    across = np.column_stack([-e[:, 1] * turned, e[:, 0] * turned, np.zeros(len(m))])
    return d, np.stack([along, across], -1)
