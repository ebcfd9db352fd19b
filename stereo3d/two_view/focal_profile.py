"""The profile of the cost along the focal length: its error, its interval, its other minima."""

from dataclasses import dataclass, field, replace

import numpy as np

from ..geometry.rotations import rotation_from_vector
from .focal_ladder import refine_at
from .lens import LensState, prior_cost
from .refine import LensModel, RobustLoss, sampson_jacobian, soft_truncated

# Standard errors from a minimum, by its curvature, at which the profile is measured.
OFFSETS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.5)
MIN_STEP, MAX_STEP = 1e-6, 0.3  # of log f, between which that standard error is kept
STEPS_AT_A_FOCAL = 8  # of the refinement at one focal length, which starts in the valley of the cost
MAX_DEPTH = 30.0  # nats above the least cost: less likely than any that counts, so the profile is not measured there
SUBDIVISIONS = 10  # of each interval of the profile, where it is interpolated
SAME_FOCAL = 0.1  # difference of log f below which two minima are one
CERTAIN = 0.6827, 0.9  # shares of the posterior: one standard deviation of a normal one; the interval that is reported
# Another minimum is a rival where the posterior density is at least a tenth of the largest, and where between them it
# falls below half of the rival's.
RIVAL_DENSITY = 0.1
RIVAL_VALLEY = 0.5
RIVAL_APART = 0.2  # difference of log f of rivals: less is within what a fair shape may be stretched


@dataclass(frozen=True, eq=False)
class FocalPosterior:
    """The density of u = log(f / focal) that matches and prior leave.

    Parameters
    ----------
    u : (K,) float64
        Ascending.
    density : (K,) float64
        Its largest value is 1.
    states : list of LensState
        Pose and lens of least cost at some of the focal lengths.
    """

    u: np.ndarray
    density: np.ndarray
    states: list[LensState] = field(default_factory=list)

    @property
    def mode(self) -> float:
        """The most likely u."""
        return float(self.u[np.argmax(self.density)])

    @property
    def cumulative(self) -> np.ndarray:
        """(K,) share of the posterior up to each u."""
        parts = (self.density[1:] + self.density[:-1]) / 2 * np.diff(self.u)
        whole = np.concatenate([[0.0], np.cumsum(parts)])
        return whole / whole[-1] if whole[-1] > 0 else np.linspace(0, 1, len(whole))

    def interval(self) -> tuple[float, float]:
        """The central 90 % of u."""
        tail = (1 - CERTAIN[1]) / 2
        low, high = np.interp([tail, 1 - tail], self.cumulative, self.u)
        return float(low), float(high)

    def sigma(self, about: float) -> float:
        """The distance from `about` within which 68.27 % of the posterior lie."""
        distance = np.sort(np.abs(self.u - about))
        share = self.cumulative
        inside = np.interp(about + distance, self.u, share) - np.interp(about - distance, self.u, share)
        return float(np.interp(CERTAIN[0], inside, distance))

    def rivals(self) -> list[float]:
        """The other maxima of the density that count, the most likely first."""
        k = np.arange(1, len(self.u) - 1)
        peaks = k[(self.density[k] > self.density[k - 1]) & (self.density[k] >= self.density[k + 1])]
        best = int(np.argmax(self.density))
        found: list[int] = [best]
        for peak in sorted(peaks, key=lambda i: -self.density[i]):
            if self.density[peak] >= RIVAL_DENSITY and all(self._apart(peak, other) for other in found):
                found.append(int(peak))
        return [float(self.u[i]) for i in found[1:]]

    def _apart(self, a: int, b: int) -> bool:
        low, high = min(a, b), max(a, b)
        valley = self.density[low : high + 1].min()
        return bool(self.u[high] - self.u[low] > RIVAL_APART and valley < RIVAL_VALLEY * self.density[a])


def focal_posterior(
    minima: list[LensState],
    ladder: list[LensState],
    x1: np.ndarray,
    x2: np.ndarray,
    lens_model: LensModel,
    loss: RobustLoss,
    source: str,
    doubt: float,
) -> FocalPosterior | None:
    """Return exp(-profile / (w doubt)) times the prior: pose and lens re-refined at each of many fixed focals.

    Parameters
    ----------
    minima : list of LensState
        About which the profile is measured finely, the best first.
    ladder : list of LensState
        Further focal lengths at which it is measured, with what to start from there.
    x1, x2 : (N, 2) float64
        px about the principal points.
    lens_model : LensModel
        Free parameters; `prior_weight` (w) is the number of matches that count as one.
    loss : RobustLoss
        The noise.
    source : str
        Of the focal length.
    doubt : float
        Factor by which errors of the lens raise the variance (`lens_fit.lens_doubt`).

    Returns
    -------
    FocalPosterior or None
        None where no cost is finite.
    """
    profile: dict[float, tuple[float, LensState]] = {}

    def measure(start: LensState, u: float) -> LensState:
        cost, state = refine_at(start, u, x1, x2, lens_model, loss, STEPS_AT_A_FOCAL)
        cost /= lens_model.prior_weight
        if u not in profile or cost < profile[u][0]:
            profile[u] = cost, state
        return state

    for minimum in minima:
        state = middle = measure(minimum, float(minimum.p[0]))
        step = np.sqrt(doubt) * _along_valley(middle, x1, x2, lens_model, loss)[1]
        for side in (1, -1):
            state = middle
            for offset in OFFSETS:
                u = float(minimum.p[0]) + side * offset * float(np.clip(step, MIN_STEP, MAX_STEP))
                way, _ = _along_valley(state, x1, x2, lens_model, loss)
                state = measure(_moved(state, (u - float(state.p[0])) * way), u)
    least = min(cost for cost, _ in profile.values())
    for state in ladder:
        u = float(state.p[0])
        cost = _cost(state, x1, x2, lens_model, loss)
        if cost < least + MAX_DEPTH * doubt:
            measure(state, u)
        elif u not in profile:
            profile[u] = cost, state
    # each once more from its neighbours, lest one be caught in another valley
    order = [u for u in sorted(profile) if profile[u][0] < least + MAX_DEPTH * doubt]
    if order[-1] - order[0] > RIVAL_APART:
        for direction in (order, order[::-1]):
            for before, u in zip(direction[:-1], direction[1:], strict=True):
                state = profile[before][1]
                way, _ = _along_valley(state, x1, x2, lens_model, loss)
                measure(_moved(state, (u - before) * way), u)
    u = np.array(sorted(profile))
    posterior = _posterior(u, np.array([profile[k][0] for k in u]) / doubt, source)
    return None if posterior is None else replace(posterior, states=[profile[k][1] for k in u])


def _posterior(u: np.ndarray, cost: np.ndarray, source: str) -> FocalPosterior | None:
    from scipy.interpolate import PchipInterpolator

    u, cost = u[np.isfinite(cost)], cost[np.isfinite(cost)]
    distinct = np.concatenate([[True], np.diff(u) > 1e-12]) if len(u) else np.zeros(0, bool)
    u, cost = u[distinct], cost[distinct]
    if len(u) < 2:
        return None
    fine = np.concatenate([np.linspace(a, b, SUBDIVISIONS, endpoint=False) for a, b in zip(u[:-1], u[1:], strict=True)])
    fine = np.append(fine, u[-1])
    whole = PchipInterpolator(u, np.minimum(cost, cost.min() + 10 * MAX_DEPTH))(fine) + prior_cost(source, fine)
    return FocalPosterior(fine, np.exp(-np.minimum(whole - whole.min(), 700.0)))


def _cost(state: LensState, x1: np.ndarray, x2: np.ndarray, lens_model: LensModel, loss: RobustLoss) -> float:
    """The profile's cost of a state as it is, over `prior_weight`."""
    from .refine import sampson_residuals

    r = sampson_residuals(state.R[None], state.t[None], state.p[None], x1, x2, lens_model)[0]
    prior = 0.5 * float(np.sum((state.p[1:] / lens_model.prior_sigma[1:]) ** 2))
    return float(soft_truncated(r, loss.sigma, loss.cut)[0].sum()) / lens_model.prior_weight + prior


def _along_valley(
    state: LensState, x1: np.ndarray, x2: np.ndarray, lens_model: LensModel, loss: RobustLoss
) -> tuple[np.ndarray, float]:
    """d(w, s, p) / du of least cost, all but u = p[0] free, and the standard error of u by this curvature."""
    r, J, _ = sampson_jacobian(state.R, state.t, state.p, x1, x2, lens_model)
    w = soft_truncated(r, loss.sigma, loss.cut)[1] / (loss.sigma**2 * lens_model.prior_weight)
    information = np.einsum("np,n,nq->pq", J, w, J)
    information[range(5, len(information)), range(5, len(information))] += lens_model.prior_sigma**-2.0
    rest = np.arange(len(information)) != 5
    way = np.ones(len(information))
    way[rest] = -np.linalg.pinv(information[np.ix_(rest, rest)], hermitian=True) @ information[rest, 5]
    curvature = float(information[5] @ way)
    return way, 1 / np.sqrt(max(curvature, 1e-300))


def _moved(state: LensState, step: np.ndarray) -> LensState:
    """exp([w]x) R, t + s tangents, p + the rest of the step (w, s, p)."""
    from .refine_kernels import tangent_basis

    t = state.t + step[3:5] @ tangent_basis(np.ascontiguousarray(state.t))
    return LensState(rotation_from_vector(step[:3]) @ state.R, t / np.linalg.norm(t), state.p + step[5:])
