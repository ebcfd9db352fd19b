"""A rig that is known nominally: cameras and pose refined from the matches, each number under its prior."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import StereoError
from ..geometry.camera import distort, lens_coefficients, undistort
from ..geometry.least_squares import Schedule, State, minimise
from ..geometry.rotations import rotation_from_vector, rotation_vector
from ..geometry.two_view import essential_from_pose, sampson
from ..records import Camera, Matches, Rig
from .bend import smooth_error
from .held_out import MIN_GAIN, held_out_gain
from .lens import MAX_INDEPENDENT
from .refine import RobustLoss, noise_of, soft_truncated, within_reach

log = logging.getLogger(__name__)
# Parameters p (13,): rotation vector w (rad), s of t + s tangents, then of each camera log focal, centre x, y (px), k1.
POSE, LENS = 5, 4
PARAMETERS = POSE + 2 * LENS
K1 = [POSE + 3, POSE + LENS + 3]
MAX_SIGMAS = 5.0  # standard deviations a priori; a number that moves farther is of another rig
CENTRES = [POSE + 1, POSE + 2, POSE + LENS + 1, POSE + LENS + 2]
ROUNDS = 3  # at the threshold itself, after wider ones
SCHEDULE = Schedule(damping=1e-3, factor=10, max_steps=6, tolerance=1e-4)
STEP = 1e-6  # of the central differences, rad or normalised image coordinates


def prior_sigmas(rig: Rig) -> np.ndarray:
    """Return the standard deviations (13,) of the parameters of a rig, from its `RigError`."""
    e = rig.error
    lenses = [[e.focal, *[e.centre * max(camera.size)] * 2, e.distortion] for camera in (rig.cam1, rig.cam2)]
    return np.array([*[np.radians(e.rotation_deg)] * 3, *[np.radians(e.direction_deg)] * 2, *lenses[0], *lenses[1]])


def infinity_sigma(rig: Rig) -> float:
    """Return the standard deviation in px of where photo 2 shows infinity (`infinity_px`); inf: no prior of its own."""
    known = rig.error.infinity_deg
    return np.inf if known is None else float(np.tan(np.radians(known)) * rig.cam2.focal)


def infinity_px(rig: Rig, moved: Rig) -> float:
    """Return by how many px along the baseline the moved rig shows infinity elsewhere in photo 2 than the rig as given.

    Infinity is what photo 1 shows in the middle of its camera as given. A baseline towards the scene has no direction
    in the picture: 0.
    """
    assert rig.R is not None and rig.t is not None and moved.R is not None
    along = np.asarray(rig.t)[:2] / np.linalg.norm(np.asarray(rig.t))
    middle = np.array([*rig.cam1.K[:2, 2], 1.0])
    places = [_infinity(which.cam1.K, np.asarray(which.R), which.cam2.K, middle) for which in (rig, moved)]
    return float((places[1] - places[0]) @ along)


def _infinity(first: np.ndarray, R: np.ndarray, second: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Where photo 2 of matrix `second` shows what photo 1 of `first` shows at x (3,) infinitely far away, (2,) px."""
    far = second @ R @ np.linalg.solve(first, x)
    return far[:2] / far[2]


def _infinity_gradient(rig: Rig, p: np.ndarray) -> np.ndarray:
    """d(infinity_px)/dp (13,) at p, by central differences; 0 for what moves neither a rotation nor a K.

    Without the records of `moved_rig`, whose checks would take half of the time of a fit.
    """
    assert rig.R is not None
    along = np.asarray(rig.t)[:2] / np.linalg.norm(np.asarray(rig.t))
    middle = np.array([*rig.cam1.K[:2, 2], 1.0])
    place = _infinity(rig.cam1.K, rig.R, rig.cam2.K, middle)

    def moved_by(q: np.ndarray) -> float:
        first = _moved_matrix(rig.cam1, q[POSE : POSE + LENS])
        second = _moved_matrix(rig.cam2, q[POSE + LENS :])
        return float((_infinity(first, rotation_from_vector(q[:3]) @ rig.R, second, middle) - place) @ along)

    gradient = np.zeros(PARAMETERS)
    for k in np.setdiff1d(np.arange(PARAMETERS), [3, 4, *K1]):
        step = STEP * np.eye(PARAMETERS)[k]
        gradient[k] = (moved_by(p + step) - moved_by(p - step)) / (2 * STEP)
    return gradient


def moved_rig(rig: Rig, p: np.ndarray) -> Rig:
    """exp([w]x) R, t + |t| s tangents of the same length, f exp(p), c + p, k1 + p: the rig moved by p (13,)."""
    assert rig.R is not None and rig.t is not None
    length = np.linalg.norm(rig.t)
    t = rig.t / length + p[3:POSE] @ _tangents(rig)
    cameras = [
        _moved_camera(camera, p[first : first + LENS]) for camera, first in ((rig.cam1, POSE), (rig.cam2, POSE + LENS))
    ]
    R = rotation_from_vector(p[:3]) @ rig.R
    return replace(rig, cam1=cameras[0], cam2=cameras[1], R=R, t=length * t / np.linalg.norm(t))


def move_between(rig: Rig, moved: Rig) -> np.ndarray:
    """p (13,) with `moved_rig(rig, p)` = moved."""
    assert rig.R is not None and moved.R is not None and moved.t is not None and rig.t is not None
    t = moved.t / np.linalg.norm(moved.t)
    lenses = []
    for a, b in ((rig.cam1, moved.cam1), (rig.cam2, moved.cam2)):
        k1 = lens_coefficients(b.dist)[0] - lens_coefficients(a.dist)[0]
        lenses += [np.log(b.focal / a.focal), *(b.K[:2, 2] - a.K[:2, 2]), k1]
    along = t @ rig.t / np.linalg.norm(rig.t)
    return np.array([*rotation_vector(moved.R @ rig.R.T), *(_tangents(rig) @ t / along), *lenses])


def _tangents(rig: Rig) -> np.ndarray:
    """Two unit vectors (2, 3) perpendicular to t and to each other."""
    return np.linalg.svd(np.asarray(rig.t)[None])[2][1:]


def _moved_camera(camera: Camera, p: np.ndarray) -> Camera:
    if not np.any(p):
        return camera
    dist = camera.dist
    if p[3]:
        dist = np.zeros(max(4, len(dist)))
        dist[: len(camera.dist)] = camera.dist
        dist[0] += p[3]
    return replace(camera, K=_moved_matrix(camera, p), dist=dist)


def _moved_matrix(camera: Camera, p: np.ndarray) -> np.ndarray:
    """K (3, 3) of a camera moved by p: log focal, centre x, y."""
    K = camera.K.copy()
    K[[0, 1], [0, 1]] *= np.exp(p[0])
    K[:2, 2] += p[1:3]
    return K


@dataclass(frozen=True, eq=False)
class Refinement:
    """Cost: sum of rho(r) + weight (|p / sigma|^2 + (infinity_px / infinity_sigma)^2) / 2.

    State: p of one start; only `free` parameters move.

    x1, x2: (N, 2) photo px.  sigma: (13,) a priori.  loss: rho, `soft_truncated`.
    """

    rig: Rig
    x1: np.ndarray
    x2: np.ndarray
    sigma: np.ndarray
    free: np.ndarray
    loss: RobustLoss = field(default_factory=lambda: RobustLoss(1.0, 4.0))
    weight: float = 1.0

    def rays(self, rig: Rig) -> tuple[np.ndarray, np.ndarray]:
        """Normalised image coordinates (N, 2) of both photos."""
        return undistort(self.x1, rig.cam1.K, rig.cam1.dist), undistort(self.x2, rig.cam2.K, rig.cam2.dist)

    def distances(self, R: np.ndarray, t: np.ndarray, y1: np.ndarray, y2: np.ndarray) -> np.ndarray:
        """Sampson distances (N,), px of the rig as given."""
        f1, f2 = self.rig.cam1.focal, self.rig.cam2.focal
        F = np.diag([1 / f2, 1 / f2, 1]) @ essential_from_pose(R, t) @ np.diag([1 / f1, 1 / f1, 1])
        return sampson(F, f1 * y1, f2 * y2)

    def residuals(self, p: np.ndarray) -> np.ndarray:
        """Sampson distances (N,), px; inf where a lens shows no such pixel."""
        rig = moved_rig(self.rig, p)
        assert rig.R is not None and rig.t is not None
        r = self.distances(rig.R, rig.t, *self.rays(rig))
        return np.where(np.isfinite(r), r, np.inf)

    def jacobian(self, p: np.ndarray) -> np.ndarray:
        """dr/dp (N, 13); 0 where a lens shows no such pixel."""
        rig = moved_rig(self.rig, p)
        assert rig.R is not None and rig.t is not None
        y = self.rays(rig)
        J = np.empty((len(self.x1), PARAMETERS))
        for k, step in enumerate(STEP * np.eye(PARAMETERS)[:POSE]):
            ends = [moved_rig(rig, s * step) for s in (1, -1)]
            plus, minus = (self.distances(np.asarray(m.R), np.asarray(m.t), *y) for m in ends)
            J[:, k] = (plus - minus) / (2 * STEP)
        for side, camera in enumerate((rig.cam1, rig.cam2)):
            by_ray = []
            for step in STEP * np.eye(2):
                a, b = ([*y[:side], y[side] + s * step, *y[side + 1 :]] for s in (1, -1))
                by_ray.append((self.distances(rig.R, rig.t, *a) - self.distances(rig.R, rig.t, *b)) / (2 * STEP))
            first = POSE + side * LENS
            J[:, first : first + LENS] = np.einsum("kn,nkp->np", np.stack(by_ray), _ray_slopes(y[side], camera))
        return np.nan_to_num(J, nan=0, posinf=0, neginf=0)

    def evaluate(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """Return the residuals (1, N) and the cost (1,)."""
        r = self.residuals(state[0][0])
        prior = np.sum((state[0][0][self.free] / self.sigma[self.free]) ** 2)
        if np.isfinite(far := infinity_sigma(self.rig)):
            prior += (infinity_px(self.rig, moved_rig(self.rig, state[0][0])) / far) ** 2
        cost = soft_truncated(r, self.loss.sigma, self.loss.cut)[0].sum() + 0.5 * self.weight * prior
        return r[None], np.array([cost])

    def improves(self, new: State, old: State) -> np.ndarray:
        """Return whether the cost is less, (1,) bool."""
        return new[1] < old[1]

    def information(self, p: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """J^T W J (13, 13) and J^T W r (13,), both over the noise's variance; without the prior."""
        J, w = self.jacobian(p), soft_truncated(r, self.loss.sigma, self.loss.cut)[1] / self.loss.sigma**2
        return np.einsum("np,n,nq->pq", J, w, J), np.einsum("np,n->p", J, w * np.where(np.isfinite(r), r, 0))

    def linearise(self, state: State, values: State) -> tuple[np.ndarray, np.ndarray, None]:
        """Return J^T W J + prior and J^T W r + prior of the free parameters, in units of their prior."""
        A, b = self.information(state[0][0], values[0][0])
        s = self.sigma[self.free]
        A = A[np.ix_(self.free, self.free)] * np.outer(s, s) + self.weight * np.eye(len(s))
        b = b[self.free] * s + self.weight * state[0][0][self.free] / s
        if np.isfinite(far := infinity_sigma(self.rig)):
            row = _infinity_gradient(self.rig, state[0][0])[self.free] * s / far
            A += self.weight * np.outer(row, row)
            b += self.weight * row * infinity_px(self.rig, moved_rig(self.rig, state[0][0])) / far
        return A[None], b[None], None

    def solve(self, A: np.ndarray, b: np.ndarray, damping: np.ndarray) -> np.ndarray:
        """Return -(A + damping diag(A))^-1 b."""
        D = damping[0] * np.diag(np.diag(A[0]))
        return -np.linalg.solve(A[0] + D, b[0])[None]

    def move(self, state: State, step: np.ndarray, frame: None) -> tuple[State, np.ndarray]:
        """Return p after the step, and the step in units of the prior."""
        p = state[0][0].copy()
        p[self.free] += step[0] * self.sigma[self.free]
        return (p[None],), step


def _ray_slopes(y: np.ndarray, camera: Camera) -> np.ndarray:
    """dy/dp (N, 2, 4) of rays y (N, 2) of fixed pixels x = K distort(y), p = log focal, centre x, y, k1."""
    d, h, slopes = lens_coefficients(camera.dist), STEP, []
    for step in h * np.eye(2):
        slopes.append((distort(y + step, d) - distort(y - step, d)) / (2 * h))
    D = np.stack(slopes, -1)  # (N, 2, 2)
    by_k1 = (distort(y, d + h * np.eye(len(d))[0]) - distort(y, d - h * np.eye(len(d))[0])) / (2 * h)
    inverse = np.linalg.inv(camera.K[:2, :2])
    by_centre = [np.broadcast_to(column, y.shape) for column in inverse.T]
    right = np.stack([distort(y, d), *by_centre, by_k1], -1)
    known = np.isfinite(D).all((1, 2)) & (np.abs(np.linalg.det(np.nan_to_num(D))) > 1e-6)
    out = np.zeros((len(y), 2, LENS))
    out[known] = -np.linalg.solve(D[known], right[known])
    return out


def refine_rig(matches: Matches, rig: Rig, *, threshold: float) -> Rig:
    """Return the rig of least cost: robust Sampson distances and the priors of `rig.error`, |t| fixed.

    Distortion moves only where matches in regions that took no part confirm it: with a small baseline it explains
    parallax. Where a smooth error of the pictures is left that no lens of this model explains, it may have feigned a
    turn of the cameras as well, and a turn changes the depth of all points. Distortion then stays as given, the
    principal points take up the turn, and what the rig as given shows at infinity stays there.

    Parameters
    ----------
    matches : Matches
        Photo pixels.
    rig : Rig
        R, t and `error` known.
    threshold : float
        px, Sampson distance of an inlier.

    Raises
    ------
    StereoError
        "calibration_mismatch" where a number moves by more than `MAX_SIGMAS` of its standard deviations.
    """
    x1, x2 = within_reach(matches.x1), within_reach(matches.x2)
    sigma, still = prior_sigmas(rig), np.zeros(PARAMETERS)
    problem = Refinement(rig, x1, x2, sigma, (sigma > 0) & ~np.isin(np.arange(PARAMETERS), K1))
    r = problem.residuals(still)
    known = np.isfinite(r)
    problem = replace(problem, x1=x1[known], x2=x2[known])
    if not known.any() or rig.error.exact:
        return rig
    p = _fit(problem, still, threshold, wide=True)
    plain = p
    if sigma[K1].any():
        freed = replace(problem, free=sigma > 0)
        q = _fit(freed, p, threshold)
        if _explains_held_out((problem, p), (freed, q), threshold):
            p = q
    if _is_bent(problem, p, threshold):
        p = plain.copy()
        if not np.isfinite(infinity_sigma(rig)):  # no prior keeps infinity
            p[CENTRES] += _infinity_shift(rig, p)
            p = _fit(replace(problem, free=problem.free & ~np.isin(np.arange(PARAMETERS), CENTRES)), p, threshold)
    moved = float(np.max(np.abs(p[sigma > 0] / sigma[sigma > 0])))
    if moved > MAX_SIGMAS:
        raise _another_rig(moved, int((np.abs(r) < threshold).sum()), len(matches))
    log.info("rig: moved by up to %.2g of its standard deviations", moved)
    refined = moved_rig(rig, p)
    cameras = [
        replace(c, source_detail=f"{c.source_detail}; refined by {100 * np.expm1(change):+.1f} %".removeprefix("; "))
        for c, change in ((refined.cam1, p[POSE]), (refined.cam2, p[POSE + LENS]))
    ]
    return replace(refined, cam1=cameras[0], cam2=cameras[1])


def rig_covariance(x1: np.ndarray, x2: np.ndarray, rig: Rig) -> np.ndarray:
    """(J^T W J m / (n s^2) + prior)^-1: covariance (13, 13) of the parameters of a refined rig, distortion included.

    Parameters
    ----------
    x1, x2 : (n, 2) float64
        Inliers, photo px; they count as m = min(n, MAX_INDEPENDENT).
    rig : Rig
        Refined, its `error` that of the rig as given. Exact parameters have no variance.
    """
    sigma = prior_sigmas(rig)
    free = sigma > 0
    problem = Refinement(rig, x1, x2, sigma, free)
    r = problem.residuals(np.zeros(PARAMETERS))
    noise = noise_of(r, 1.0 + float(np.abs(r).max(initial=0)))
    problem = replace(problem, loss=RobustLoss(noise, 4 * noise))
    A, _ = problem.information(np.zeros(PARAMETERS), r)
    s = sigma[free]
    A = A[np.ix_(free, free)] * np.outer(s, s) * min(1.0, MAX_INDEPENDENT / max(len(x1), 1)) + np.eye(len(s))
    if np.isfinite(far := infinity_sigma(rig)):
        row = _infinity_gradient(rig, np.zeros(PARAMETERS))[free] * s / far
        A += np.outer(row, row)
    out = np.zeros((PARAMETERS, PARAMETERS))
    out[np.ix_(free, free)] = np.linalg.inv(A) * np.outer(s, s)
    return out


def _fit(
    problem: Refinement, p: np.ndarray, threshold: float, *, rounds: int = ROUNDS, wide: bool = False
) -> np.ndarray:
    """p of least cost, the noise measured anew before each round; wide: the first let in what the prior allows."""
    gates = [threshold] * rounds
    if wide:
        J = problem.jacobian(p)[:, problem.free] * problem.sigma[problem.free]
        gate = 3 * float(np.median(np.linalg.norm(J, axis=1)))
        gates = [threshold * 2.0**k for k in range(int(np.ceil(np.log2(max(gate / threshold, 1)))), 0, -1)] + gates
    for gate in gates:
        r = problem.residuals(p)
        weight = max(1.0, float((np.abs(r) < gate).sum()) / MAX_INDEPENDENT)
        weighed = replace(problem, loss=RobustLoss.of_noise(noise_of(r, gate), gate), weight=weight)
        p = minimise(weighed, (p[None],), SCHEDULE).state[0][0]
    return p


def _explains_held_out(
    simple: tuple[Refinement, np.ndarray], rich: tuple[Refinement, np.ndarray], threshold: float
) -> bool:
    """Whether the rich one of two fits (problem, p) explains matches in regions that took no part in it better."""
    near = np.abs(simple[0].residuals(simple[1])) < 4 * threshold
    x = simple[0].x1[near] - (np.array(simple[0].rig.cam1.size) - 1) / 2

    def refit(problem: Refinement, p: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        problem = replace(problem, x1=problem.x1[near], x2=problem.x2[near])

        def fit(used: np.ndarray) -> np.ndarray:
            some = replace(problem, x1=problem.x1[used], x2=problem.x2[used])
            return problem.residuals(_fit(some, p, threshold, rounds=1))

        return fit

    gain, error = held_out_gain(refit(*simple), refit(*rich), x, threshold)
    return gain > MIN_GAIN * error


def _is_bent(problem: Refinement, p: np.ndarray, threshold: float) -> bool:
    """Whether a smooth error of the pictures is left (`smooth_error`)."""
    r = problem.residuals(p)
    near = np.abs(r) < 2 * threshold
    return smooth_error(r[near], problem.x1[near] - (np.array(problem.rig.cam1.size) - 1) / 2) > 0


def _infinity_shift(rig: Rig, p: np.ndarray) -> np.ndarray:
    """px (4,) of both principal points, along the baseline, that keep infinity where the rig as given shows it."""
    moved = moved_rig(rig, p)
    assert rig.R is not None and moved.R is not None
    given, now = ((camera.K @ R[:, 2] / R[2, 2])[:2] for camera, R in ((rig.cam2, rig.R), (moved.cam2, moved.R)))
    now = now - (moved.cam2.K[:2, 2] - rig.cam2.K[:2, 2])
    along = np.asarray(rig.t)[:2] / np.linalg.norm(np.asarray(rig.t))  # 0 for a motion forward
    shift = (now - given) @ along * along
    return 0.5 * np.concatenate([shift, -shift])


def _another_rig(moved: float, inliers: int, count: int) -> StereoError:
    return StereoError(
        "calibration_mismatch",
        f"the matches move the nominal rig by {moved:.1f} of its standard deviations.",
        "The calibration is of another rig, or left and right are exchanged: leave the pose out of it, and it will be "
        "estimated.",
        sigmas=moved,
        inliers=inliers,
        matches=count,
    )
