"""Uncertainty of a pose: covariance, rival motions, what the pair cannot reveal."""

from dataclasses import dataclass, field, replace

import numpy as np

from ..geometry.arrays import hom
from ..geometry.camera import ideal_pixels
from ..geometry.least_squares import Schedule, State, minimise
from ..geometry.rotations import angle_deg, enforce_rotation, rotation_angle_deg, rotation_from_vector
from ..geometry.two_view import decompose_essential, essential_from_pose, intersect_rays, sampson
from ..records import Rig, TwoView
from .motion_problem import MotionProblem
from .rays import angular_jacobian
from .refine import centred_pixels, pose_alone, sampson_jacobian

PRIOR_FACTOR = 1.5  # by which a guessed focal length is wrong, one standard deviation: phones 24 mm, compacts 50 mm
REGIONS = 16  # of a photo, that lens and shutter treat alike: the errors of their matches are correlated
MIN_NOISE = 1e-6  # px; matches without noise would have an infinite weight
CAUCHY = 2.385  # noise sigmas, width of Cauchy's weight: 95 % efficient for normal noise
MIN_RIVAL_DEG = 10.0  # degrees between two motions that count as different
RIVAL_POINTS = 120  # matches, evenly over all, on which other motions are tried
RIVAL_AHEAD = 0.9  # share of the points that must lie in front of both cameras
RIVAL_NOISE = 0.02  # px; without noise there would be no way downhill
RIVAL_SCHEDULE = Schedule(damping=1e-2, factor=5, min_damping=1e-9, max_damping=1e6, max_steps=20)
REFIT_SCHEDULE = Schedule(damping=0, factor=1, max_steps=8, tolerance=1e-6)
# Lens parameters (10,) of `refine.LensModel` for two lenses that are alike: the focal length, and k1.
_FOCAL = np.tile(np.eye(5)[0], 2)
_K1 = np.tile(np.eye(5)[3], 2)
_ZOOM = np.array([-0.5, 0, 0, 0, 0, 0.5, 0, 0, 0, 0])
_NO_LENS = np.zeros((10, 0))
# Affine changes of the second photo: one axis longer and the other shorter, and a skew.
_NO_CHANGE = np.zeros((0, 2, 2))
_SKEWS = np.array([[[0.5, 0], [0, -0.5]], [[0, 0.5], [0.5, 0]]])
_STEP = 1e-5  # of these, for differences


def pose_covariance(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> tuple[np.ndarray, np.ndarray]:
    """s^2 (J^T J)^-1 (1 + rho (N / 16 - 1)): covariance of the pose exp([w]x) R, t + |t| s tangents from its matches.

    Neighbouring matches share a part rho of their variance (the effect of lens and shutter on a region of the photo),
    and of such regions a photo has some four by four. rho is the covariance of a residual with the mean of its 16
    neighbours'.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        Inliers, photo px.
    view : TwoView
        The estimate.

    Returns
    -------
    covariance, tangents : (5, 5), (2, 3) float64
        Of (w, s); rad.
    """
    r, J, tangents = residuals_at_estimate(x1, x2, view)
    noise = _noise_sigma(r)
    return shared_variance_factor(r, x1, noise) * noise**2 * np.linalg.pinv(J.T @ J), tangents


def shared_variance_factor(r: np.ndarray, x: np.ndarray, noise: float) -> float:
    """1 + rho (N / 16 - 1): by how much the variance of an estimate grows where neighbouring matches share errors.

    Parameters
    ----------
    r : (N,) float64
        Residuals, px.
    x : (N, 2) float64
        Where the matches are, px.
    noise : float
        Standard deviation of r.
    """
    from scipy.spatial import KDTree

    clipped = np.clip(r, -3 * noise, 3 * noise)
    k = min(REGIONS + 1, len(r))
    near = np.asarray(KDTree(x).query(x, k=k)[1]).reshape(len(r), k)
    shared = float(np.clip(np.mean(clipped * clipped[near[:, 1:]].mean(1)) / np.mean(clipped**2), 0, 1)) if k > 1 else 0
    return 1 + shared * max(0.0, len(r) / REGIONS - 1)


def direction_sigma_deg(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> float:
    """sqrt(tr(C)), degrees: standard deviation of the direction of t, C its 2 x 2 part of s^2 (J^T J)^-1.

    J is the Jacobian of the Sampson residuals by rotation and direction, s their robust standard deviation.

    Parameters
    ----------
    x1, x2, view
        As in `pose_covariance`.
    """
    r, J, _ = residuals_at_estimate(x1, x2, view)
    covariance = _noise_sigma(r) ** 2 * np.linalg.pinv(J.T @ J)
    return float(np.degrees(np.sqrt(max(np.trace(covariance[3:, 3:]), 0))))


def weakest_motion_px(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> float:
    """Root mean square change (px) of the Sampson residuals under the least visible change of motion by one degree.

    The least singular value of J / sqrt(N), J (N, 5) the derivative by rotation and direction, times a degree. 0: to
    first order all points lie on a quadric through both camera centres, the critical surface.

    Parameters
    ----------
    x1, x2, view
        As in `pose_covariance`.

    References
    ----------
    Horn, Relative orientation, 1990. Maybank, Theory of reconstruction from image motion, 1993.
    """
    _, J, _ = residuals_at_estimate(x1, x2, view)
    return float(np.linalg.svd(J, compute_uv=False)[-1] / np.sqrt(len(J)) * np.pi / 180)


def residuals_at_estimate(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Sampson residuals r, their Jacobian J by rotation and direction of t, and the tangents of that direction.

    Parameters
    ----------
    x1, x2, view
        As in `pose_covariance`.

    Returns
    -------
    r, J, tangents : (n,), (n, 5), (2, 3) float64
        px; px a rad; unit vectors. Of cameras with a wide lens they are those of `angular_residuals`, in px of the
        coarser camera.
    """
    if view.rig.wide:
        d1, d2 = view.rig.cam1.rays_from_pixels(x1), view.rig.cam2.rays_from_pixels(x2)
        known = np.isfinite(d1).all(1) & np.isfinite(d2).all(1)
        r, J, tangents = angular_jacobian(view.R, _direction(view), d1[known], d2[known])
        px = view.rig.pixel_angle
        return r / px, J / px, tangents
    x1, x2, _, focals = centred_pixels(x1, x2, view.rig)
    return sampson_jacobian(view.R, _direction(view), np.zeros(0), x1, x2, pose_alone(focals))


def _direction(view: TwoView) -> np.ndarray:
    return view.t / np.linalg.norm(view.t)


def _noise_sigma(r: np.ndarray) -> float:
    """1.4826 median |r|, never quite zero."""
    return max(1.4826 * float(np.median(np.abs(r))), MIN_NOISE)


@dataclass(frozen=True, eq=False)
class _Refit:
    """Motion, lens z + basis p and changes of the second photo x2 + sum a_k changes_k x2, refitted.

    Gauss-Newton steps with weights 1 / (1 + (r / w)^2) (Cauchy). State: R, t, (p, a) of one start.  z: (10,).  basis:
    (10, q).  x1, x2, focals: as `centred_pixels` returns them.  changes: (k, 2, 2).
    """

    z: np.ndarray
    basis: np.ndarray
    x1: np.ndarray
    x2: np.ndarray
    focals: np.ndarray
    changes: np.ndarray = field(default_factory=_NO_CHANGE.copy)

    @property
    def free(self) -> int:
        """Number of parameters beside the motion."""
        return self.basis.shape[1] + len(self.changes)

    def evaluate(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        from .refine_kernels import sampson_jacobian_kernel, sampson_residuals_kernel

        q = self.basis.shape[1]
        r, J = np.empty(len(self.x1)), np.empty((len(self.x1), 5 + q))
        p, a = np.split(state[2][0], [q])
        x2 = np.ascontiguousarray(self.x2 + self.x2 @ np.tensordot(a, self.changes, 1).T)
        R, t, z = (np.ascontiguousarray(array) for array in (state[0][0], state[1][0], self.z + self.basis @ p))
        sampson_jacobian_kernel(R, t, z, self.focals, self.x1, x2, self.basis, r, J)
        columns = [J]
        for change in self.changes:
            moved = np.empty_like(r)
            sampson_residuals_kernel(R, t, z, self.focals, self.x1, x2 + _STEP * (self.x2 @ change.T), moved)
            columns.append((moved - r)[:, None] / _STEP)
        return r[None], np.hstack(columns)[None]

    def improves(self, new: State, old: State) -> np.ndarray:
        return np.ones(1, bool)  # the weights change with the noise: costs of two steps are not comparable

    def linearise(self, state: State, values: State) -> tuple[np.ndarray, np.ndarray, float]:
        r, J = values[0][0], values[1][0]
        noise = _noise_sigma(r)
        w = 1 / (1 + (r / (CAUCHY * noise)) ** 2)
        return np.einsum("np,nq->pq", w[:, None] * J, J)[None], np.einsum("np,n->p", J, w * r)[None], noise

    def solve(self, A: np.ndarray, b: np.ndarray, damping: np.ndarray) -> np.ndarray:
        return (-np.linalg.pinv(A[0], rcond=1e-10, hermitian=True) @ b[0])[None]

    def move(self, state: State, step: np.ndarray, frame: float) -> tuple[State, np.ndarray]:
        from .refine_kernels import tangent_basis

        (R,), (t,), (p,), (d,) = *state, step
        d = d * min(1.0, 0.3 / max(np.abs(d).max(), 1e-12))
        R, t = rotation_from_vector(d[:3]) @ R, t + d[3:5] @ tangent_basis(t)
        t, p = t / np.linalg.norm(t), np.clip(p + d[5:], -1.5, 1.5)
        return (R[None], t[None], p[None]), d[None]


@dataclass(frozen=True, eq=False)
class _Refitted:
    """t (3,), p (q,), residuals r (n,) px, J^T W J (5 + q, 5 + q) and noise (px) of a `_Refit`."""

    t: np.ndarray
    p: np.ndarray
    r: np.ndarray
    information: np.ndarray
    noise: float


def _refit(view: TwoView, problem: _Refit) -> _Refitted:
    start = view.R[None], _direction(view)[None], np.zeros((1, problem.free))
    fit = minimise(problem, start, REFIT_SCHEDULE)
    return _Refitted(fit.state[1][0], fit.state[2][0], fit.values[0][0], fit.information[0], fit.frame)


@dataclass(frozen=True)
class FreedParameter:
    """What the matches themselves say of one lens parameter.

    Parameters
    ----------
    value, sigma : float
        The parameter, and its standard error; no prior: only a value of many sigmas says anything.
    cost : float
        What the freed parameter leaves of the sum of log(1 + (r / w)^2) of the motion alone, w being that fit's.
    """

    value: float
    sigma: float
    cost: float


def freed_parameters(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> tuple[FreedParameter, FreedParameter]:
    """Refit the motion with one lens parameter free: log of a factor of both focals, and k1 of both lenses.

    Parameters
    ----------
    x1, x2, view
        As in `pose_covariance`.

    Returns
    -------
    focal, k1 : FreedParameter
        k1 of x_d = x_u (1 + k1 |x_u|^2).
    """
    focal, k1 = _freed(x1, x2, view, (_FOCAL, _K1))
    return focal, k1


def freed_zoom(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> FreedParameter:
    """Refit the motion with the log of the ratio of the second focal length to the first free.

    Parameters
    ----------
    x1, x2, view
        As in `pose_covariance`.
    """
    return _freed(x1, x2, view, (_ZOOM,))[0]


def freed_skew(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> FreedParameter:
    """Refit the motion with two affine changes of the second photo free: a skew, and one axis against the other.

    No lens makes them; a rolling shutter and a stabiliser do.

    Parameters
    ----------
    x1, x2, view
        As in `pose_covariance`.

    Returns
    -------
    FreedParameter
        value: root sum of squares of the two. value / sigma: sqrt(a^T C^-1 a), of both together.
    """
    x1, x2, _, focals = centred_pixels(x1, x2, view.rig)
    alone = _Refit(np.zeros(10), _NO_LENS, x1, x2, focals)
    fit = _refit(view, replace(alone, changes=_SKEWS))
    covariance = fit.noise**2 * np.linalg.pinv(fit.information, rcond=1e-10, hermitian=True)[5:, 5:]
    value = float(np.linalg.norm(fit.p))
    sigmas = float(np.sqrt(max(fit.p @ np.linalg.pinv(covariance, hermitian=True) @ fit.p, 0)))
    return FreedParameter(value, value / max(sigmas, 1e-12), _cost_left(_refit(view, alone).r, fit.r))


def _freed(x1: np.ndarray, x2: np.ndarray, view: TwoView, parameters: tuple[np.ndarray, ...]) -> list[FreedParameter]:
    """Refit the motion with each of these directions (10,) of both lenses free."""
    x1, x2, _, focals = centred_pixels(x1, x2, view.rig)
    r0 = _refit(view, _Refit(np.zeros(10), _NO_LENS, x1, x2, focals)).r
    freed = []
    for free in parameters:
        fit = _refit(view, _Refit(np.zeros(10), free[:, None], x1, x2, focals))
        variance = np.linalg.pinv(fit.information, rcond=1e-10, hermitian=True)[5, 5]
        sigma = float(fit.noise * np.sqrt(max(variance, 0)))
        freed.append(FreedParameter(float(fit.p[0]), sigma, _cost_left(r0, fit.r)))
    return freed


def _cost_left(before: np.ndarray, after: np.ndarray) -> float:
    """What is left of sum log(1 + (r / w)^2), w of the residuals before."""
    w = CAUCHY * _noise_sigma(before)
    return float(np.log1p((after / w) ** 2).sum() / max(np.log1p((before / w) ** 2).sum(), 1e-12))


def focal_tilt(x1: np.ndarray, x2: np.ndarray, view: TwoView, factor: float = PRIOR_FACTOR) -> float:
    """Refit the motion with both focal lengths `factor` times longer and shorter: degrees by which t turns at most.

    Parameters
    ----------
    x1, x2, view
        As in `pose_covariance`.
    factor : float
        By which the guess of the focal length may be wrong.
    """
    x1, x2, _, focals = centred_pixels(x1, x2, view.rig)
    lenses = (s * np.log(factor) * _FOCAL for s in (1, -1))
    return max(angle_deg(_refit(view, _Refit(z, _NO_LENS, x1, x2, focals)).t, view.t) for z in lenses)


def rival_motion(
    x1: np.ndarray, x2: np.ndarray, view: TwoView, *, points: int = RIVAL_POINTS
) -> tuple[float | None, float]:
    """Find another motion that explains the matches too.

    Minimises the five parameters from 26 directions of t and two rotations, that of the estimate and the best without
    any step. A minimum counts where most points lie in front of both cameras and t or R differ by more than
    `MIN_RIVAL_DEG`. Two motions share their matches only where the points lie on a ruled quadric through both centres,
    or on a plane.

    Parameters
    ----------
    x1, x2, view
        As in `pose_covariance`.
    points : int
        Matches that are used, evenly over all.

    Returns
    -------
    off : float or None
        Degrees between the other motion and the estimate; None where there is no other minimum.
    cost : float
        Its cost in that of the estimate: root mean square of the Sampson distances, capped at 10 robust standard
        deviations; inf where there is no other minimum.

    References
    ----------
    Longuet-Higgins, The reconstruction of a plane surface from two perspective projections, 1986. Horn, Relative
    orientation, 1990. Maybank, Theory of reconstruction from image motion, 1993.
    """
    d1, d2 = _some_rays(x1, x2, view.rig, points)
    focal = float(np.sqrt(view.rig.cam1.focal * view.rig.cam2.focal))
    t0 = _direction(view)
    own = focal * sampson(essential_from_pose(view.R, t0), d1, d2)
    width = 10 * max(1.4826 * float(np.median(np.abs(own))), RIVAL_NOISE)
    problem = _Rival(d1, d2, focal, width)
    fit = minimise(problem, _rival_starts(view.R, d1, d2), RIVAL_SCHEDULE)
    (R, t), (r,) = fit.state, fit.values
    for k in np.argsort(problem.cost(r)):
        for Rk, tk in decompose_essential(essential_from_pose(R[k], t[k])):
            z1 = intersect_rays(hom(d1), hom(d2), Rk, tk)
            z2 = ((z1[:, None] * hom(d1)) @ Rk.T + tk)[:, 2]
            off = max(rotation_angle_deg(Rk @ view.R.T), float(np.degrees(np.arccos(np.clip(tk @ t0, -1, 1)))))
            if off > MIN_RIVAL_DEG and np.mean((z1 > 0) & (z2 > 0)) > RIVAL_AHEAD:
                return off, float(problem.cost(r[k]) / max(problem.cost(own), RIVAL_NOISE))
    return None, float("inf")


def _some_rays(x1: np.ndarray, x2: np.ndarray, rig: Rig, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Normalised camera coordinates (n, 2) of at most `points` matches, evenly over all."""
    y1, y2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((x1, rig.cam1), (x2, rig.cam2)))
    known = np.isfinite(y1).all(1) & np.isfinite(y2).all(1)
    y1, y2 = y1[known], y2[known]
    pick = np.linspace(0, len(y1) - 1, min(points, len(y1))).astype(int)
    d1, d2 = ((y[pick] - c.K[:2, 2]) @ np.linalg.inv(c.K[:2, :2]).T for y, c in ((y1, rig.cam1), (y2, rig.cam2)))
    return d1, d2


def _rival_starts(R: np.ndarray, d1: np.ndarray, d2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R (52, 3, 3), t (52, 3): 26 directions, with the rotation of the estimate and the best without any step."""
    grid = np.stack(np.meshgrid(*[[-1.0, 0, 1]] * 3), -1).reshape(-1, 3)
    t = grid[np.linalg.norm(grid, axis=1) > 0]
    t = np.tile(t / np.linalg.norm(t, axis=1, keepdims=True), (2, 1))
    a, b = (hom(d) / np.linalg.norm(hom(d), axis=1, keepdims=True) for d in (d1, d2))
    return np.repeat([R, enforce_rotation(b.T @ a)], len(t) // 2, axis=0), t


@dataclass(frozen=True, eq=False)
class _Rival(MotionProblem):
    """Sampson distances, px, of motions of one focal length; cost: root mean square, capped at `width`.

    d1, d2: (n, 2) normalised camera coordinates.  Weights 1 / (1 + (r / width)^2).
    """

    focal: float
    width: float

    def residuals(self, R: np.ndarray, t: np.ndarray) -> np.ndarray:
        return self.focal * sampson(essential_from_pose(R, t), self.d1, self.d2)

    def weights(self, r: np.ndarray) -> np.ndarray:
        return 1 / (1 + (r / self.width) ** 2)

    def cost(self, r: np.ndarray) -> np.ndarray:
        return np.sqrt(np.minimum(r**2, self.width**2).mean(-1))
