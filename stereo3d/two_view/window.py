"""Principal points that differ between the photos: stereo windows, crops, pairs rectified by homographies."""

from dataclasses import dataclass, replace

import numpy as np

from ..geometry.camera import ideal_pixels
from ..geometry.two_view import fundamental_from_pose, sampson
from ..records import Camera, Matches, Rig, TwoView
from .lens import MAX_INDEPENDENT, free_lens_model
from .refine import (
    LENS,
    LensModel,
    RobustLoss,
    adjust,
    centred_pixels,
    fit_views,
    noise_of,
    pose_alone,
    sampson_residuals,
    soft_truncated,
)
from .robust import ransac_essential
from .solvers import plausible_depth, pose_from_essential

# Standard deviation a priori of cx2 - cx1, of the photo's side along the baseline: principal points 7.5 % off the
# centre, either way. Two of them, 15 %, are searched.
SHIFT_SIGMA = 0.15
MAX_SHIFT = 0.30
SHIFT_STEP = 0.02
PERPENDICULAR_SIGMA = 0.01  # likewise across the baseline
PROFILE_MATCHES = 250  # random matches that are tried
START_SAMPLES = 300  # minimal samples of a start
MIN_NOISE = 0.1  # of the threshold's 1.5 px: features and models of a lens are no more precise
SIDEWAYS = 0.7  # share of the baseline across the optical axis: less, and no shift can reverse the depth
FRONT_LOSS = 0.02  # share of the matches on their lines that may be behind where nearly all others are in front


@dataclass(frozen=True, eq=False)
class WindowProfile:
    """How well each shift explains the matches, pose and lens refined for each.

    Parameters
    ----------
    axis : (2,) float64
        Direction of the shift in the photos, unit length.
    shifts : (n,) float64
        px, principal point of photo 2 less that of photo 1, along the axis.
    cost : (n,) float64
        Negative logarithm of the likelihood and the priors.
    front : (n, 2) float64
        Share of the matches on their lines that are in front, with camera 2 along the axis (0) or against it (1).
    """

    axis: np.ndarray
    shifts: np.ndarray
    cost: np.ndarray
    front: np.ndarray

    def order(self, view: TwoView) -> int:
        """Return 0 where camera 2 lies along the axis from camera 1, 1 where against it."""
        return int((view.R.T @ view.t)[:2] @ self.axis > 0)

    def feasible(self, order: int) -> np.ndarray:
        """Which shifts (n,) bring the matches in front in this order."""
        return self.front[:, order] >= max((1 - FRONT_LOSS) * self.front.max(), 0.5)

    def least_cost(self, order: int) -> float:
        """Return the least cost of the feasible shifts, infinite where there is none."""
        return float(np.min(self.cost[self.feasible(order)], initial=np.inf))

    def gain(self, order: int) -> float:
        """Return by how much the best feasible shift is better than principal points equal to within one step."""
        middle = len(self.shifts) // 2
        return float(self.cost[middle - 1 : middle + 2].min()) - self.least_cost(order)

    def front_unshifted(self, order: int) -> float:
        """Return the share in front where the principal points are equal."""
        return float(self.front[len(self.shifts) // 2, order])

    def shift(self, order: int) -> tuple[float, float]:
        """Return mean and standard deviation of the feasible shifts, px."""
        x, cost = self.shifts[self.feasible(order)], self.cost[self.feasible(order)]
        weight = np.exp(cost.min() - cost)
        mean = float(np.average(x, weights=weight))
        step = float(self.shifts[1] - self.shifts[0])
        return mean, float(np.sqrt(np.average((x - mean) ** 2, weights=weight) + step**2 / 12))


def window_profile(
    matches: Matches, view: TwoView, rig: Rig, *, threshold: float, fixed: bool = False, seed: int = 0
) -> WindowProfile | None:
    """cost(s) = min over pose and lens of m / n sum rho(r) + prior, for each difference s of the principal points.

    Between parallel cameras a shift along the baseline changes no epipolar line: only the prior and the matches in
    front limit it. The more the cameras are turned against each other, the more the lines determine it.

    Parameters
    ----------
    matches : Matches
        Photo pixels, inliers or not.
    view : TwoView
        An estimate with equal principal points: the start.
    rig : Rig
        The cameras before the estimate.
    threshold : float
        px, Sampson distance of an inlier.
    fixed : bool
        Keep the pose and the lens.
    seed : int
        Of the matches tried.

    Returns
    -------
    WindowProfile or None
        None where the cameras are not side by side: no shift can reverse their depth.
    """
    t = view.t / np.linalg.norm(view.t)
    to_camera2 = -view.R.T @ t
    sideways = float(np.linalg.norm(to_camera2[:2]))
    if sideways < SIDEWAYS:
        return None
    axis = to_camera2[:2] / sideways
    axis = axis * np.sign(axis[np.argmax(np.abs(axis))])
    side = float(np.abs(axis) @ rig.cam1.size)
    x1, x2, _, focals = centred_pixels(matches.x1, matches.x2, rig)
    pick = np.sort(np.random.default_rng(seed).permutation(len(x1))[:PROFILE_MATCHES])
    model = _lens_and_perpendicular(rig, focals, axis, side)
    if fixed:
        model = pose_alone(focals)
    steps = round(MAX_SHIFT / SHIFT_STEP)
    shifts = np.arange(-steps, steps + 1) * SHIFT_STEP * side
    p = np.zeros(model.basis.shape[1])
    if len(p) > 1 and view.rig.cam1.focal != rig.cam1.focal:
        p[0] = np.log(view.rig.cam1.focal / rig.cam1.focal)
    fits = _Fits((x1[pick], x2[pick]), shifts[:, None] * axis / 2, model, threshold)
    if fixed:
        fits.keep((view.R, t, p))
    else:
        fits.sweep((view.R, t, p), seed)
    cost = fits.costs() + 0.5 * (shifts / (SHIFT_SIGMA * side)) ** 2
    return WindowProfile(axis, shifts, cost, fits.front(axis))


def _lens_and_perpendicular(rig: Rig, focals: np.ndarray, axis: np.ndarray, side: float) -> LensModel:
    """The free lens, and a difference of the principal points across the axis."""
    lens = free_lens_model(rig, focals)
    column = np.zeros((2 * LENS, 1))
    column[1:3, 0] = -axis[1], axis[0]
    column[LENS + 1 : LENS + 3] = -column[1:3]
    sigma = np.append(lens.prior_sigma, PERPENDICULAR_SIGMA * side)
    return LensModel(focals, np.hstack([lens.basis, column]), sigma)


class _Fits:
    """Pose and lens for each of several offsets (n, 2) of the principal points: -offset in photo 1, + in photo 2."""

    def __init__(
        self, x: tuple[np.ndarray, np.ndarray], offsets: np.ndarray, model: LensModel, threshold: float
    ) -> None:
        self.x, self.offsets, self.threshold = x, offsets, threshold
        self.model = replace(model, prior_weight=max(1.0, len(x[0]) / MAX_INDEPENDENT))
        n = len(offsets)
        self.R, self.t, self.p = np.zeros((n, 3, 3)), np.zeros((n, 3)), np.zeros((n, model.basis.shape[1]))
        self.wide = np.full(n, np.inf)  # the cost that is minimised

    def pixels(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The matches about the principal points k."""
        return self.x[0] + self.offsets[k], self.x[1] - self.offsets[k]

    def keep(self, start: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        """Give all the same pose and lens R, t, p."""
        self.R[:], self.t[:], self.p[:] = start

    def sweep(self, start: tuple[np.ndarray, np.ndarray, np.ndarray], seed: int) -> None:
        """Fit each from its neighbour, outwards from the start in the middle and from samples at three offsets."""
        n = len(self.offsets)
        starts = [(n // 2, start)]
        for k in (n // 6, n // 2, n - 1 - n // 6):
            x1, x2 = self.pixels(k)
            f = self.model.focals
            found = ransac_essential(x1, x2, f, threshold=self.threshold, max_samples=START_SAMPLES, seed=seed)
            if found is not None and found.inliers.any():
                pose = pose_from_essential(found.model, x1[found.inliers] / f[0], x2[found.inliers] / f[1])
                starts.append((k, (*pose, np.zeros_like(start[2]))))
        for k, first in starts:
            self._fit_in_order(range(k, n), first)
            self._fit_in_order(range(k, -1, -1), first)
        for order in (range(n - 1, -1, -1), range(n)):  # back from the ends, into the best of all
            self._fit_in_order(order, (self.R[order[0]], self.t[order[0]], self.p[order[0]]))

    def _fit_in_order(self, order: range, start: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        """Fit each of these from the one before, and keep what is better than before."""
        loss = RobustLoss(self.threshold / 6, self.threshold)
        R, t, p = start
        for k in order:
            fit = adjust(R[None], t[None], p[None], *self.pixels(k), self.model, loss=loss, max_steps=12)
            if fit[3][0] < self.wide[k]:
                self.R[k], self.t[k], self.p[k], self.wide[k] = (a[0] for a in fit)
            R, t, p = self.R[k], self.t[k], self.p[k]

    def residuals(self) -> np.ndarray:
        """Sampson distances (n, N), px."""
        one = [
            sampson_residuals(self.R[k : k + 1], self.t[k : k + 1], self.p[k : k + 1], *self.pixels(k), self.model)[0]
            for k in range(len(self.offsets))
        ]
        return np.stack(one)

    def costs(self) -> np.ndarray:
        """Negative log likelihood (n,) by the noise of the best fit, and the prior of the lens."""
        r = self.residuals()
        sigma = max(min(noise_of(one, self.threshold) for one in r), MIN_NOISE * self.threshold / 1.5)
        loss = RobustLoss.of_noise(sigma, self.threshold)
        share = min(1.0, MAX_INDEPENDENT / r.shape[1])
        lens = 0.5 * ((self.p / self.model.prior_sigma) ** 2).sum(1)
        return share * soft_truncated(r, loss.sigma, loss.cut)[0].sum(1) + lens

    def front(self, axis: np.ndarray) -> np.ndarray:
        """Shares (n, 2) of the matches on their lines that are in front: camera 2 along the axis, or against it."""
        out, r = np.zeros((len(self.offsets), 2)), self.residuals()
        for k, (R, t) in enumerate(zip(self.R, self.t, strict=True)):
            z = (self.model.basis @ self.p[k]).reshape(2, LENS)
            y1, y2 = ((x - z[i, 1:3]) / (self.model.focals[i] * np.exp(z[i, 0])) for i, x in enumerate(self.pixels(k)))
            on = np.abs(r[k]) < self.threshold
            along = t if (R.T @ t)[:2] @ axis < 0 else -t
            slack = 2 * self.threshold / self.model.focals[0]
            if on.any():
                out[k] = [plausible_depth(R, s, y1[on], y2[on], slack).mean() for s in (along, -along)]
        return out


def pose_by_lines(matches: Matches, rig: Rig, *, threshold: float, seed: int = 0) -> TwoView | None:
    """Return the pose with most matches on their epipolar lines, on whichever side of the cameras they meet.

    Parameters
    ----------
    matches, rig, threshold, seed
        As in `window_profile`.

    Returns
    -------
    TwoView or None
        `inliers` are the matches on their lines. None where no sample gives a pose.
    """
    x1, x2, index, focals = centred_pixels(matches.x1, matches.x2, rig)
    estimate = ransac_essential(x1, x2, focals, threshold=threshold, seed=seed)
    if estimate is None or not estimate.inliers.any():
        return None
    agree = estimate.inliers
    R, t = pose_from_essential(estimate.model, x1[agree] / focals[0], x2[agree] / focals[1])
    R, t, *_ = fit_views(R, t, np.zeros(0), x1[agree], x2[agree], pose_alone(focals), threshold=threshold)
    r = sampson_residuals(R[None], t[None], np.zeros((1, 0)), x1, x2, pose_alone(focals))[0]
    inliers = np.zeros(len(matches), bool)
    inliers[index] = np.abs(r) < threshold
    F = fundamental_from_pose(rig.cam1.K, rig.cam2.K, R, t)
    return TwoView(F, R, t, inliers, replace(rig, R=R, t=t))


def on_lines(matches: Matches, view: TwoView, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which matches are on their epipolar lines, and which of these are in front of both cameras; (N,) bool."""
    x1, x2, index, focals = centred_pixels(matches.x1, matches.x2, view.rig)
    t = view.t / np.linalg.norm(view.t)
    r = sampson_residuals(view.R[None], t[None], np.zeros((1, 0)), x1, x2, pose_alone(focals))[0]
    on, front = np.zeros(len(matches), bool), np.zeros(len(matches), bool)
    on[index] = np.abs(r) < threshold
    ahead = plausible_depth(view.R, t, x1 / focals[0], x2 / focals[1], 2 * threshold / focals[0])
    front[index] = on[index] & ahead
    return on, front


def likelihood_gain(matches: Matches, view: TwoView, other: TwoView, threshold: float) -> float:
    """sum rho(r) - sum rho(r_other), at most `MAX_INDEPENDENT` matches counted: how much better another pose fits.

    Parameters
    ----------
    matches : Matches
        Photo pixels, inliers or not.
    view, other : TwoView
        Two estimates; the noise is that of the one with less.
    threshold : float
        px, Sampson distance of an inlier.
    """
    residuals = []
    for v in (view, other):
        x1, x2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((matches.x1, v.rig.cam1), (matches.x2, v.rig.cam2)))
        residuals.append(np.nan_to_num(sampson(v.F, x1, x2), nan=np.inf))
    sigma = max(min(noise_of(r, threshold) for r in residuals), MIN_NOISE * threshold / 1.5)
    loss = RobustLoss.of_noise(sigma, threshold)
    first, second = (float(soft_truncated(r, loss.sigma, loss.cut)[0].sum()) for r in residuals)
    return min(1.0, MAX_INDEPENDENT / len(matches)) * (first - second)


def shift_principal_points(rig: Rig, shift: np.ndarray) -> Rig:
    """Return the rig with the principal point of photo 1 moved by -shift / 2, that of photo 2 by shift / 2; (2,) px."""

    def moved(camera: Camera, by: np.ndarray) -> Camera:
        K = camera.K.copy()
        K[:2, 2] += by
        return replace(camera, K=K)

    return replace(rig, cam1=moved(rig.cam1, -shift / 2), cam2=moved(rig.cam2, shift / 2))
