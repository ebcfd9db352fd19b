"""Robust estimation of the fundamental and the essential matrix."""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ..errors import StereoError
from ..geometry.arrays import transform
from ..geometry.robust import Estimate, RobustProblem, ransac, truncated_squares
from ..geometry.two_view import essential_from_pose, fit_homography, homography_errors, normalising_transform
from .refine import RobustLoss, adjust, contiguous, noise_of, pose_alone, sampson_residuals, soft_truncated
from .solvers import Pose, cheirality_mask, decompose_homography, pose_from_essential

MIN_INLIERS = 15  # below this a random pair of photos can reach the count by chance
PLANE_SHARE = 1 / 3  # of the matches that a dominating plane must hold
REFINED_WITH = 200  # about so many inliers refine a new best model
CANDIDATES = 8  # minima of the cost that are polished: forward motion and planes have several
POLISHED_WITH = 500  # random matches in the first round
FINALISTS = 3  # minima that are polished on all matches


def no_overlap(inliers: int, matches: int) -> StereoError:
    """Return the error of photos of whose matches fewer than `MIN_INLIERS` agree on one motion."""
    return StereoError(
        "no_overlap",
        f"{inliers} of {matches} matches agree on one camera motion, {MIN_INLIERS} needed.",
        "The photos show too little in common: move less between them.",
        inliers=inliers,
        matches=matches,
    )


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
    H = dominant_plane(y1, y2, threshold=threshold / focal, seed=seed)
    return [] if H is None else decompose_homography(H)


def dominant_plane(x1: np.ndarray, x2: np.ndarray, *, threshold: float, seed: int = 0) -> np.ndarray | None:
    """Return the homography (3, 3) of the plane that holds most matches, None where it holds less than a third.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        Inliers.
    threshold : float
        In units of x, error of an inlier; twice of it for the plane.
    seed : int
        Of the samples.
    """
    problem = RobustProblem(
        len(x1),
        4,
        lambda s: fit_homography(x1[s], x2[s]),
        lambda H, which: homography_errors(H, x1[which], x2[which]),
        lambda H, agree: fit_homography(x1[agree], x2[agree]),
    )
    estimate = ransac(problem, threshold=2 * threshold, confidence=0.99, max_samples=128, seed=seed)
    return None if estimate is None or estimate.inliers.mean() < PLANE_SHARE else estimate.model


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
    from .least_squares_kernels import RankTwoProblem, adjust_fundamental
    from .minimal_kernels import seven_point as solve
    from .refine_kernels import sampson_of_models

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
    from .minimal_kernels import five_point as solve
    from .refine_kernels import sampson_of_models

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
