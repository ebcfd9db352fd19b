"""Focal length, principal point and distortion fitted with the pose, and the error of the focal length."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from ..geometry.two_view import essential_from_pose
from ..records import Rig
from .focal_profile import SAME_FOCAL, FocalPosterior, focal_posterior
from .held_out import supported_lens
from .lens import (
    FOCAL_PRIOR_SIGMA,
    MAX_INDEPENDENT,
    MAX_K1,
    LensState,
    bend_scale,
    free_lens_model,
    hold_focal,
    prior_cost,
    prior_focal_sigma,
    prior_interval,
    unmodelled_lens,
    with_lens,
    worse_source,
)
from .plane_doubt import plane_doubt
from .refine import LENS, LensModel, RobustLoss, adjust, fit_views, sampson_jacobian, sampson_residuals
from .solvers import cheirality_mask, plausible_depth, pose_from_essential

log = logging.getLogger(__name__)
PROFILE_MATCHES = 1000  # evenly over all; the error of the focal length is that of so many at most
NEIGHBOURS = 16  # matches whose errors are compared with that of the one in their middle
HELD_DISTORTION = 1e-4  # standard deviation of k1 and k2 that are held: some hundredths of a pixel in the corner
REGIONS = 16  # of a photo, whose matches err alike where neighbours do
MIN_MATCHES_FOR_LENS = 50  # inliers; below it the lens stays as it is
# A known focal length stays where the matches would move it by more of its standard deviations: the scene does not fit.
MAX_FOCAL_MOVE = 3
# A guess is replaced where that halves its error, or where it is itself farther off than what replaces it may be.
MIN_GAIN = 2.0


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
    focal_range : (float, float) or None
        Factors of the focal lengths between which the true ones lie, with a probability of 90 %.
    rivals : tuple of float
        Factors of other focal lengths that explain the matches about as well.
    """

    R: np.ndarray
    t: np.ndarray
    rig: Rig
    focal_sigma: float | None
    accepted: bool
    focal_range: tuple[float, float] | None = None
    rivals: tuple[float, ...] = ()


def as_it_was(R: np.ndarray, t: np.ndarray, rig: Rig) -> LensFit:
    """Return the rig without any fit, and what is known of its focal lengths beforehand."""
    sigma = prior_focal_sigma(rig)
    return LensFit(R, t, rig, sigma or None, False, prior_interval(worse_source(rig)) if sigma else None)


def fit_lens(
    starts: list[LensState],
    ladder: list[LensState],
    x1: np.ndarray,
    x2: np.ndarray,
    rig: Rig,
    focals: np.ndarray,
    threshold: float,
    zoom: bool = False,
) -> LensFit:
    """Fit pose and lens together to all matches, from the best of the starts.

    Parameters
    ----------
    starts, ladder : list of LensState
        Minima of the cost, and other focal lengths with their poses.
    x1, x2, focals, rig, threshold, zoom
        As in `climb_ladder`.

    Returns
    -------
    LensFit
        Not accepted where the matches leave a guessed focal length as uncertain as it was, contradict what is known of
        the lens, or no inlier is left.
    """
    unfitted = as_it_was(starts[0].R, starts[0].t, rig)
    every = _Matches(x1, x2, rig, focals, threshold, zoom)
    some = every.thinned()
    tried = [some.adjusted(start, RobustLoss(threshold / 3, threshold), _Trust()) for start in starts]
    tried = [(cost, some.facing(state)) for cost, state in tried]
    best = min(tried, key=lambda item: item[0])[1]
    every = every.ahead(best)
    bends, strain = every.thinned().confirmed_distortion(best)
    every = replace(every, bends=bends, strain=strain)
    some = every.thinned()
    best, sigma, agree = some.fitted(some.start(best), _Trust())
    if not agree.any():
        return unfitted
    trust, shared = some.trust(best, agree, sigma)
    loss = RobustLoss.of_noise(sigma, threshold)
    found = [some.adjusted(state, loss, trust) for state in (best, *(some.start(state) for _, state in tried))]
    minima = _distinct([state for _, state in sorted(found, key=lambda item: item[0])])
    model = some.model(float(minima[0].p[0]), trust)
    ladder = [some.facing(some.start(state)) for state in ladder]
    posterior = focal_posterior(minima, ladder, some.x1, some.x2, model, loss, worse_source(rig), trust.doubt)
    if posterior is None:
        return unfitted
    start = min(posterior.states, key=lambda s: abs(s.p[0] - posterior.mode))
    trust = replace(trust, weight=_matches_in_one(shared, round(len(every.x1) * float(agree.mean()))))
    final, sigma, agree = every.fitted(start, trust)
    if abs(final.p[0] - posterior.mode) > 0.5 * posterior.sigma(posterior.mode):
        final, sigma, agree = every.held(start, posterior.mode, trust)
    if not agree.any():
        return unfitted
    final = every.start(final)
    errors = every.focal_errors(final, agree, sigma, trust, posterior)
    fitted, u = _accepted(final, rig, free_lens_model(rig, focals, zoom=zoom), errors), float(final.p[0])
    if fitted is not None:
        error = float(errors.max())
        return LensFit(final.R, final.t, fitted, error, True, _range(posterior, u), _rivals(posterior, u))
    if worse_source(rig) != "prior":
        return unfitted
    error = max(posterior.sigma(0.0), float(errors.min()))
    return replace(unfitted, focal_sigma=error, focal_range=_range(posterior, 0.0), rivals=_rivals(posterior, 0.0))


@dataclass(frozen=True)
class _Trust:
    """How much the cost is believed.

    weight: matches that count as one.  doubt: by how many more it is divided where focal length and centre are weighed
    against their priors: errors of the lens that are no parameters raise their variance, and a plane says nothing.
    """

    weight: float = 1.0
    doubt: float = 1.0


@dataclass(frozen=True, eq=False)
class _Matches:
    """Matches (px about the principal points) of a rig whose lens is fitted."""

    x1: np.ndarray
    x2: np.ndarray
    rig: Rig
    focals: np.ndarray
    threshold: float
    zoom: bool = False
    bends: bool = True  # False: distortion is held at 0
    strain: float = 0.0  # of `supported_lens`

    def thinned(self) -> "_Matches":
        """At most `PROFILE_MATCHES` of the matches, evenly over all."""
        stride = max(1, -(-len(self.x1) // PROFILE_MATCHES))
        return replace(self, x1=self.x1[::stride], x2=self.x2[::stride])

    def normalised(self, state: LensState) -> tuple[np.ndarray, np.ndarray, float]:
        """Normalised camera coordinates (N, 2) of both photos, and the first focal length, at a state."""
        model = free_lens_model(self.rig, self.focals, zoom=self.zoom)
        f1, f2 = self.focals * np.exp((model.basis @ state.p)[[0, LENS]])
        return self.x1 / f1, self.x2 / f2, f1

    def facing(self, state: LensState) -> LensState:
        """The state, or the other pose of its essential matrix that has the matches in front of the cameras.

        A start at a wrong focal length can have them behind, and Sampson distances do not tell.
        """
        y1, y2, _ = self.normalised(state)
        if 2 * cheirality_mask(state.R, state.t, y1, y2).sum() >= len(y1):
            return state
        R, t = pose_from_essential(essential_from_pose(state.R, state.t), y1, y2)
        return replace(state, R=R, t=t)

    def ahead(self, state: LensState) -> "_Matches":
        """Those that lie before both cameras."""
        y1, y2, f1 = self.normalised(state)
        good = plausible_depth(state.R, state.t, y1, y2, 2 * self.threshold / f1)
        return replace(self, x1=self.x1[good], x2=self.x2[good])

    def model(self, near: float, trust: _Trust) -> LensModel:
        """The lens model whose prior has the slope of the focal length's own at `near`."""
        model = free_lens_model(self.rig, self.focals, near=near, zoom=self.zoom)
        sigma = model.prior_sigma.copy()
        bent = distortion_columns(model)
        if not self.bends:
            sigma[bent] = HELD_DISTORTION
        sigma[~bent] /= np.sqrt(trust.doubt)
        return replace(model, prior_sigma=sigma, prior_weight=trust.weight)

    def start(self, state: LensState) -> LensState:
        """The state, without distortion where that is held at 0."""
        held = distortion_columns(free_lens_model(self.rig, self.focals, zoom=self.zoom)) & (not self.bends)
        return replace(state, p=np.where(held, 0.0, state.p))

    def confirmed_distortion(self, state: LensState) -> tuple[bool, float]:
        """Whether distortion may be fitted, and the strain of `supported_lens`.

        Not where a small baseline hides it and held-out matches deny it.
        """
        weight = max(1.0, len(self.x1) / MAX_INDEPENDENT)
        model = self.model(float(state.p[0]), _Trust(weight))
        one = state.R, state.t, state.p
        supported, _, strain = supported_lens(*one, self.x1, self.x2, model, threshold=self.threshold)
        return supported.basis.shape == model.basis.shape, strain

    def adjusted(self, start: LensState, loss: RobustLoss, trust: _Trust) -> tuple[float, LensState]:
        """The minimum of the cost that a start leads to, and its cost with the prior of the focal length."""
        model = self.model(float(start.p[0]), trust)
        one = start.R[None], start.t[None], start.p[None]
        R, t, p, cost = adjust(*one, self.x1, self.x2, model, loss=loss, max_steps=12)
        u = float(p[0, 0])
        matches = (float(cost[0]) / trust.weight - 0.5 * (u / model.prior_sigma[0]) ** 2) / trust.doubt
        whole = matches + float(prior_cost(worse_source(self.rig), np.array(u)))
        return (whole if np.isfinite(whole) else np.inf), LensState(R[0], t[0], p[0])

    def fitted(self, start: LensState, trust: _Trust) -> tuple[LensState, float, np.ndarray]:
        """Pose and lens, noise (px) and inliers by `fit_views`."""
        model = self.model(float(start.p[0]), trust)
        one = start.R, start.t, start.p
        R, t, p, sigma, agree = fit_views(*one, self.x1, self.x2, model, threshold=self.threshold)
        return LensState(R, t, p), sigma, agree

    def held(self, start: LensState, u: float, trust: _Trust) -> tuple[LensState, float, np.ndarray]:
        """As `fitted`, with the focal length held at exp(u) times the given one."""
        model = hold_focal(self.model(u, trust), u)
        one = start.R, start.t, start.p[1:]
        R, t, p, sigma, agree = fit_views(*one, self.x1, self.x2, model, threshold=self.threshold)
        return LensState(R, t, np.concatenate([[u], p])), sigma, agree

    def trust(self, state: LensState, agree: np.ndarray, sigma: float) -> tuple[_Trust, float]:
        """How much the inliers are to be believed, and the share of their errors that neighbours have in common."""
        x1, x2 = self.x1[agree], self.x2[agree]
        shared = _shared_error(state, x1, x2, free_lens_model(self.rig, self.focals, zoom=self.zoom))
        trust = _Trust(_matches_in_one(shared, len(x1)))
        model = self.model(float(state.p[0]), trust)
        doubt = lens_doubt(state, x1, x2, model, unmodelled_lens(self.rig), sigma)
        # a lens farther from what is usual than it should be: something else pulls at it, and at the focal length
        # (Birge's ratio)
        moved = (state.p / model.prior_sigma)[1:][model.prior_sigma[1:] > HELD_DISTORTION]
        odd = max(1.0, self.strain, float(np.mean(moved**2)))
        odd *= plane_doubt(state.p, x1, x2, model, sigma)
        return replace(trust, doubt=odd * doubt), shared

    def focal_errors(
        self, state: LensState, agree: np.ndarray, sigma: float, trust: _Trust, posterior: FocalPosterior
    ) -> np.ndarray:
        """(2,) relative standard errors of the focal lengths: the profile's, and the curvature's where they differ."""
        model = self.model(float(state.p[0]), trust)
        variance, first = lens_variance(state, self.x1[agree], self.x2[agree], model, sigma)
        own = posterior.sigma(float(state.p[0])) ** 2
        part = model.basis[:, 0] ** 2
        errors = np.sqrt(trust.doubt * np.maximum(variance - part * first, 0) + part * own)[[0, LENS]]
        z = model.basis @ state.p
        log.info(
            "lens: focals x %.4g, %.4g, standard errors %.2g, %.2g, centre %.3g %.3g px, k1 %.3g, noise %.2g px; %.3g "
            "matches count as one, lens errors raise the variance by %.3g",
            *(*np.exp(z[[0, LENS]]), *errors, z[1], z[2], z[3], sigma, trust.weight, trust.doubt),
        )
        return errors


def distortion_columns(lens_model: LensModel) -> np.ndarray:
    """(q,) which parameters are k1 or k2."""
    return np.any(lens_model.basis[[3, 4, LENS + 3, LENS + 4]], axis=0)


def _distinct(states: list[LensState]) -> list[LensState]:
    """The states whose focal lengths differ, in their order."""
    kept: list[LensState] = []
    for state in states:
        if all(abs(state.p[0] - other.p[0]) > SAME_FOCAL for other in kept):
            kept.append(state)
    return kept


def _shared_error(state: LensState, x1: np.ndarray, x2: np.ndarray, lens_model: LensModel) -> float:
    """rho, the covariance of a residual with the mean of its neighbours' over the variance: 0 for independent errors.

    What lens and shutter do to a region of a photo is common to its matches.
    """
    from scipy.spatial import KDTree

    r = sampson_residuals(state.R[None], state.t[None], state.p[None], x1, x2, lens_model)[0]
    noise = 1.4826 * float(np.median(np.abs(r)))
    clipped = np.clip(r, -3 * noise, 3 * noise)
    square = float(np.mean(clipped**2))
    if len(r) <= NEIGHBOURS or square == 0:
        return 0.0
    near = np.asarray(KDTree(x1).query(x1, k=NEIGHBOURS + 1)[1])[:, 1:]
    return float(np.clip(np.mean(clipped * clipped[near].mean(1)) / square, 0, 1))


def _matches_in_one(shared: float, count: int) -> float:
    """1 + rho (N / 16 - 1): variance of a mean over one of 16 regions in that of independent errors."""
    return 1 + shared * max(0.0, count / REGIONS - 1)


def _accepted(state: LensState, rig: Rig, lens_model: LensModel, errors: np.ndarray) -> Rig | None:
    """The rig with the fitted lens; None where that is no lens, contradicts EXIF or says no more than the guess."""
    z = lens_model.basis @ state.p
    cameras = []
    for camera, k, error in ((rig.cam1, 0, errors[0]), (rig.cam2, LENS, errors[1])):
        prior_sigma = FOCAL_PRIOR_SIGMA.get(camera.source, 0.0)
        if np.abs(z[k + 3]) > MAX_K1 * bend_scale(camera):
            return None
        if camera.source == "exif" and np.abs(z[k]) > MAX_FOCAL_MOVE * prior_sigma:
            return None
        if camera.source == "prior" and MIN_GAIN * error > prior_sigma and np.abs(z[k]) < error:
            return None
        cameras.append(with_lens(camera, z[k : k + LENS], float(error)))
    return replace(rig, cam1=cameras[0], cam2=cameras[1])


def _range(posterior: FocalPosterior, u: float) -> tuple[float, float]:
    low, high = posterior.interval()
    return float(np.exp(min(low - u, 0.0))), float(np.exp(max(high - u, 0.0)))


def _rivals(posterior: FocalPosterior, u: float) -> tuple[float, ...]:
    peaks = [posterior.mode, *posterior.rivals()]
    return tuple(float(np.exp(v - u)) for v in peaks if abs(v - u) > SAME_FOCAL) if len(peaks) > 1 else ()


def lens_variance(
    state: LensState, x1: np.ndarray, x2: np.ndarray, lens_model: LensModel, sigma: float
) -> tuple[np.ndarray, float]:
    """B (J^T J / (w sigma^2) + prior)^-1 B^T, its diagonal: the variance of each lens parameter by the curvature.

    Parameters
    ----------
    state : LensState
        Pose and lens.
    x1, x2 : (n, 2) float64
        Inliers, px about the principal points; `lens_model.prior_weight` (w) of them count as one.
    lens_model : LensModel
        Free parameters and their prior, B its basis.
    sigma : float
        px, noise.

    Returns
    -------
    z, first : (10,) float64, float
        Of z = B p and of the first of p.
    """
    _, J, _ = sampson_jacobian(state.R, state.t, state.p, x1, x2, lens_model)
    covariance = np.linalg.pinv(_information(J, lens_model, sigma), hermitian=True)[5:, 5:]
    return np.einsum("ap,pq,aq->a", lens_model.basis, covariance, lens_model.basis), float(covariance[0, 0])


def lens_doubt(
    state: LensState,
    x1: np.ndarray,
    x2: np.ndarray,
    lens_model: LensModel,
    unmodelled: tuple[np.ndarray, np.ndarray],
    sigma: float,
) -> float:
    """1 + sum of (du/dc sigma_c)^2 / var(u): by how much errors c of the lens raise the variance of log focal u.

    The parameters c are not estimated; du/dc is the change of the estimate of u that each of them brings about.

    Parameters
    ----------
    state, x1, x2, lens_model, sigma
        As in `lens_variance`.
    unmodelled : (10, k), (k,) float64
        Lens parameters c, and their standard deviations (`unmodelled_lens`).

    References
    ----------
    Schmidt, Application of state-space methods to navigation problems, 1966 (parameters to be considered).
    """
    basis, sigma_c = unmodelled
    q = lens_model.basis.shape[1]
    wider = replace(lens_model, basis=np.hstack([lens_model.basis, basis]))
    p = np.concatenate([state.p, np.zeros(len(sigma_c))])
    _, J, _ = sampson_jacobian(state.R, state.t, p, x1, x2, wider)
    A = _information(J[:, : 5 + q], lens_model, sigma)
    A[5, 5] -= lens_model.prior_sigma[0] ** -2.0  # what the matches say, without the prior of the focal length
    covariance = np.linalg.pinv(A, hermitian=True)
    pull = covariance[5] @ np.einsum("np,nc->pc", J[:, : 5 + q], J[:, 5 + q :]) / (sigma**2 * lens_model.prior_weight)
    raised = float(np.sum((pull * sigma_c) ** 2)) / max(float(covariance[5, 5]), 1e-300)
    return 1 + raised if np.isfinite(raised) else 1.0


def _information(J: np.ndarray, lens_model: LensModel, sigma: float) -> np.ndarray:
    """J^T J / (w sigma^2) + prior of the lens."""
    information = np.einsum("np,nq->pq", J, J) / (sigma**2 * lens_model.prior_weight)
    lens = range(5, 5 + lens_model.basis.shape[1])
    information[lens, lens] += lens_model.prior_sigma**-2.0
    return information
