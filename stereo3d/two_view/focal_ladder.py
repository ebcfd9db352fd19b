"""A guessed focal length: poses and lenses from a ladder of focal lengths."""

import numpy as np

from ..geometry.two_view import essential_from_pose
from ..records import Rig
from .lens import LensState, free_lens_model, hold_focal, prior_cost
from .refine import LensModel, RobustLoss, adjust
from .robust import MIN_INLIERS, dominant_plane, ransac_essential
from .solvers import Pose, decompose_homography, pose_from_essential

SHORTEST, LONGEST, GUESS = 10.0, 600.0, 28.0  # mm on 35 mm film: of the ladder, and the guess that it starts from
RUNGS = np.log(np.geomspace(SHORTEST, LONGEST, 10) / GUESS)  # logarithms of the factors at which poses are sampled
STEPS = 3  # of a rung, from each of which the next one starts: factors of 1.16
LADDER_MATCHES = 400  # random matches on which they are tried
LADDER_SAMPLES = 600  # minimal samples at most for each rung
FINALISTS = 4  # focal lengths from which pose and lens are refined together


def climb_ladder(
    x1: np.ndarray,
    x2: np.ndarray,
    rig: Rig,
    focals: np.ndarray,
    *,
    threshold: float,
    seed: int,
    zoom: bool = False,
) -> list[tuple[float, LensState]]:
    """Return the cost and the pose and lens of least cost at each focal length of the ladder that has a pose.

    Scales only cameras whose focal length is a mere guess. Poses are sampled at the rungs; between them, and again from
    the neighbours in both directions, they are refined.

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
    zoom : bool
        As in `free_lens_model`.

    Returns
    -------
    list of (float, LensState)
        In the order of the focal lengths; empty where none has a pose. The cost is that of `refine.adjust`, prior of
        the focal length not included.
    """
    pick = np.sort(np.random.default_rng(seed).permutation(len(x1))[:LADDER_MATCHES])
    x1, x2 = x1[pick], x2[pick]
    lens_model = free_lens_model(rig, focals, zoom=zoom)
    loss = RobustLoss(threshold / 3, threshold)
    H = dominant_plane(x1, x2, threshold=threshold, seed=seed)
    best: dict[float, tuple[float, LensState]] = {}
    for u in RUNGS:
        poses = _sampled_poses(x1, x2, hold_focal(lens_model, u).focals, H, threshold, seed)
        starts = [LensState(R, t, np.zeros(lens_model.basis.shape[1])) for R, t in poses]
        refined = [refine_at(start, u, x1, x2, lens_model, loss) for start in starts]
        if refined:
            best[float(u)] = min(refined, key=lambda item: item[0])
    if not best:
        return []
    between = np.arange(STEPS) / STEPS
    grid = [*np.concatenate([a + between * (b - a) for a, b in zip(RUNGS[:-1], RUNGS[1:], strict=True)]), RUNGS[-1]]
    for order in (grid, grid[::-1]):
        last = None
        for u in order:
            if last is not None:
                again = refine_at(last, u, x1, x2, lens_model, loss)
                if u not in best or again[0] < best[u][0]:
                    best[u] = again
            last = best[u][1] if u in best else last
    return [best[u] for u in grid if u in best]


def _sampled_poses(
    x1: np.ndarray, x2: np.ndarray, focals: np.ndarray, H: np.ndarray | None, threshold: float, seed: int
) -> list[Pose]:
    """The pose of most matches at these focal lengths, and the two of the plane (homography H, px) that holds most."""
    estimate = ransac_essential(
        x1, x2, focals, threshold=threshold, confidence=0.99, max_samples=LADDER_SAMPLES, seed=seed
    )
    if estimate is None or estimate.inliers.sum() < MIN_INLIERS:
        return []
    y1, y2 = x1[estimate.inliers] / focals[0], x2[estimate.inliers] / focals[1]
    essentials = [estimate.model]
    if H is not None:
        K1, K2 = (np.diag([f, f, 1.0]) for f in focals)
        # each rotation comes with both signs of t, which are one essential matrix
        essentials += [essential_from_pose(R, t) for R, t in decompose_homography(np.linalg.inv(K2) @ H @ K1)[::2]]
    return [pose_from_essential(E, y1, y2) for E in essentials]


def refine_at(
    start: LensState,
    u: float,
    x1: np.ndarray,
    x2: np.ndarray,
    lens_model: LensModel,
    loss: RobustLoss,
    max_steps: int = 6,
) -> tuple[float, LensState]:
    """Return cost, pose and lens refined from a start with the focal length held at exp(u) times the model's."""
    held = hold_focal(lens_model, u)
    p = start.p[None, 1:]
    R, t, p, cost = adjust(start.R[None], start.t[None], p, x1, x2, held, loss=loss, max_steps=max_steps)
    return float(cost[0]), LensState(R[0], t[0], np.concatenate([[u], p[0]]))


def lowest(tried: list[tuple[float, LensState]], count: int) -> list[LensState]:
    """Return at most `count` local minima of the cost with the prior of the guess, the lowest first."""
    u = np.array([state.p[0] for _, state in tried])
    cost = np.array([cost for cost, _ in tried]) + prior_cost("prior", u)
    padded = np.concatenate([[np.inf], cost, [np.inf]])
    minima = np.flatnonzero((cost <= padded[:-2]) & (cost <= padded[2:]))
    order = minima[np.argsort(cost[minima], kind="stable")]
    return [tried[k][1] for k in order[:count]]
