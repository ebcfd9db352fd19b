"""The relative pose of two cameras of any field, from unit rays and their angles to the epipolar planes."""

from dataclasses import dataclass, replace

import numpy as np

from ..errors import StereoError
from ..geometry.least_squares import Schedule, State, minimise
from ..geometry.robust import RobustProblem, ransac
from ..geometry.two_view import essential_from_pose
from ..records import Matches, Rig, TwoView
from .motion_problem import MotionProblem, tangents_of
from .refine import FIT_ROUNDS, RobustLoss, noise_of, soft_truncated
from .robust import MIN_INLIERS, no_overlap
from .solvers import Pose, cheirality_mask, plausible_depth, pose_from_essential

MIN_FORWARD = 1e-6  # of a unit ray: the five-point solver takes rays as (x / z, y / z), whatever the sign of z
CANDIDATES = 4  # minima of the samples that are polished
POLISHED_WITH = 500  # about so many inliers polish a candidate
REFINED_WITH = 200  # about so many refine a new best sample
SCHEDULE = Schedule(damping=1e-3, factor=10, min_damping=1e-9, max_damping=1e6, max_steps=15, tolerance=1e-10)
QUICK = replace(SCHEDULE, max_steps=4)


def estimate_from_rays(
    matches: Matches, rig: Rig, *, threshold: float, confidence: float = 0.9999, seed: int = 0
) -> TwoView:
    """d2^T [t]x R d1 = 0 of unit rays: the relative pose of two cameras of any field.

    Five-point samples on the rays, then the robust least squares of `angular_residuals`. A known pose of the rig is
    taken as it is, and the inliers classified.

    Parameters
    ----------
    matches : Matches
        Photo pixels. Those without a ray are no inliers.
    rig : Rig
        The cameras; where its pose is known, exactly.
    threshold : float
        px of an inlier, as large in angle as `Rig.pixel_angle` says.
    confidence : float
        Of the sampling.
    seed : int
        Of the random samples.

    Returns
    -------
    TwoView
        F is the essential matrix, of unit norm. |t| = 1 unless the rig gives a scale.

    Raises
    ------
    StereoError
        "no_overlap" where no pose has enough support, "calibration_mismatch" where the rig's pose has not.

    References
    ----------
    Nister 2004 (five points). Pagani and Stricker, Structure from motion using full spherical panoramic cameras, 2011:
    angular errors of rays.
    """
    d1, d2 = rig.cam1.rays_from_pixels(matches.x1), rig.cam2.rays_from_pixels(matches.x2)
    index = np.flatnonzero(np.isfinite(d1).all(1) & np.isfinite(d2).all(1))
    d1, d2 = d1[index], d2[index]
    angle = threshold * rig.pixel_angle
    if rig.posed:
        assert rig.R is not None and rig.t is not None
        R, t = rig.R, rig.t
    else:
        found = _best_pose(d1, d2, angle, confidence, seed)
        if found is None:
            raise no_overlap(0, len(matches))
        R, t = found
    good = np.abs(angular_residuals(essential_from_pose(R, t), d1, d2)) < angle
    good &= plausible_depth(R, t, d1, d2, 2 * angle)
    if good.sum() < MIN_INLIERS:
        raise _unfit_pose(int(good.sum()), len(matches)) if rig.posed else no_overlap(int(good.sum()), len(matches))
    inliers = np.zeros(len(matches), bool)
    inliers[index[good]] = True
    E = essential_from_pose(R, t)
    return TwoView(E / np.linalg.norm(E), R, t, inliers, replace(rig, R=R, t=t))


def _unfit_pose(count: int, matches: int) -> StereoError:
    return StereoError(
        "calibration_mismatch",
        f"{count} of {matches} matches fit the given calibration and pose, {MIN_INLIERS} needed.",
        "The calibration is of another rig or of other photos, or the photos are named in the other order.",
        inliers=count,
        matches=matches,
    )


def angular_residuals(E: np.ndarray, d1: np.ndarray, d2: np.ndarray) -> np.ndarray:
    """r = c / sqrt(|E d1|^2 + |E^T d2|^2 - 2 c^2), c = d2^T E d1: by how much both rays must turn to meet, rad.

    To first order, as Sampson's distance; a ray turns across itself, so its own direction does not count.

    Parameters
    ----------
    E : (..., 3, 3) float64
        Essential matrices.
    d1, d2 : (N, 3) float64
        Unit rays.

    Returns
    -------
    (..., N) float64
    """
    n, m = np.einsum("...ij,nj->...ni", E, d1), np.einsum("...ji,nj->...ni", E, d2)
    c = np.einsum("...ni,ni->...n", n, d2)
    square = np.einsum("...ni,...ni->...n", n, n) + np.einsum("...ni,...ni->...n", m, m) - 2 * c * c
    return c / np.sqrt(np.maximum(square, 1e-30))


def angular_jacobian(
    R: np.ndarray, t: np.ndarray, d1: np.ndarray, d2: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `angular_residuals`, their derivatives by (w, s) of `moved_poses`, and the tangents of t.

    Parameters
    ----------
    R, t : (3, 3), (3,) float64
        Pose, |t| = 1.
    d1, d2 : (N, 3) float64
        Unit rays.

    Returns
    -------
    r, J, tangents : (N,), (N, 5), (2, 3) float64
    """
    problem = _RayPose(d1, d2, RobustLoss(1.0, 1.0))
    J = problem.jacobian((R[None], t[None]))[0]
    return angular_residuals(essential_from_pose(R, t), d1, d2), J, tangents_of(t[None])[0]


@dataclass(frozen=True, eq=False)
class _RayPose(MotionProblem):
    """`angular_residuals` of unit rays d1, d2 (N, 3) under the loss `soft_truncated`."""

    loss: RobustLoss
    max_step = 0.3

    def residuals(self, R: np.ndarray, t: np.ndarray) -> np.ndarray:
        return angular_residuals(essential_from_pose(R, t), self.d1, self.d2)

    def weights(self, r: np.ndarray) -> np.ndarray:
        return soft_truncated(r, self.loss.sigma, self.loss.cut)[1]

    def cost(self, r: np.ndarray) -> np.ndarray:
        return soft_truncated(r, self.loss.sigma, self.loss.cut)[0].sum(-1)


def _best_pose(d1: np.ndarray, d2: np.ndarray, angle: float, confidence: float, seed: int) -> Pose | None:
    """R, t (|t| = 1) of most rays within `angle`, rad; None where no sample gives a pose."""
    from .minimal_kernels import five_point

    if len(d1) < MIN_INLIERS:
        return None
    y1, y2 = _plane_coordinates(d1), _plane_coordinates(d2)

    def refine(E: np.ndarray, agree: np.ndarray) -> np.ndarray:
        some = agree[:: max(1, len(agree) // REFINED_WITH)]
        R, t = pose_from_essential(E, d1[some], d2[some])
        state = adjust_poses([(R, t)], d1[some], d2[some], RobustLoss(angle / 2, angle), QUICK)[0]
        return essential_from_pose(state[0][0], state[1][0]) / np.sqrt(2)

    problem = RobustProblem(
        len(d1),
        5,
        lambda s: five_point(np.ascontiguousarray(y1[s]), np.ascontiguousarray(y2[s])),
        lambda E, which: angular_residuals(E, d1[which], d2[which]),
        refine,
    )
    found = ransac(problem, threshold=angle, confidence=confidence, max_samples=10_000, keep=CANDIDATES, seed=seed)
    if found is None:
        return None
    agree = np.flatnonzero(found.inliers)
    agree = agree[:: max(1, len(agree) // POLISHED_WITH)]
    if len(agree) < 5:
        return None
    starts = [pose_from_essential(E, d1[agree], d2[agree]) for E in found.candidates]
    (R, t), _ = adjust_poses(starts, d1[agree], d2[agree], RobustLoss(angle / 1.5, 1.5 * angle), SCHEDULE)
    best = np.argmax([_support(R[k], t[k], d1, d2, angle) for k in range(len(R))])
    return _fit_all(R[best], t[best], d1, d2, angle)


def _plane_coordinates(d: np.ndarray) -> np.ndarray:
    """(x / z, y / z) of rays (N, 3), z kept from 0: the epipolar constraint does not see the sign of a ray."""
    z = np.where(np.abs(d[:, 2]) < MIN_FORWARD, np.copysign(MIN_FORWARD, d[:, 2]), d[:, 2])
    return d[:, :2] / z[:, None]


def adjust_poses(
    starts: list[Pose], d1: np.ndarray, d2: np.ndarray, loss: RobustLoss, schedule: Schedule
) -> tuple[State, np.ndarray]:
    """Return R (M, 3, 3), t (M, 3) of each start after least squares of unit rays (N, 3), and their costs (M,)."""
    problem = _RayPose(d1, d2, loss)
    fit = minimise(problem, tuple(np.stack(a) for a in zip(*starts, strict=True)), schedule)
    return fit.state, problem.cost(fit.values[0])


def _support(R: np.ndarray, t: np.ndarray, d1: np.ndarray, d2: np.ndarray, angle: float) -> int:
    """How many rays agree with a pose and meet before both cameras."""
    near = np.abs(angular_residuals(essential_from_pose(R, t), d1, d2)) < angle
    return int((near & cheirality_mask(R, t, d1, d2)).sum())


def _fit_all(R: np.ndarray, t: np.ndarray, d1: np.ndarray, d2: np.ndarray, angle: float) -> Pose:
    """One pose fitted to all rays that meet ahead, the noise measured anew each round."""
    ahead = plausible_depth(R, t, d1, d2, 2 * angle)
    d1, d2 = d1[ahead], d2[ahead]
    for _ in range(FIT_ROUNDS):
        sigma = noise_of(angular_residuals(essential_from_pose(R, t), d1, d2), angle)
        (Rs, ts), _ = adjust_poses([(R, t)], d1, d2, RobustLoss.of_noise(sigma, angle), SCHEDULE)
        R, t = Rs[0], ts[0]
    return R, t
