"""Focal length, principal point and distortion estimated with the pose, each under its prior."""

import logging
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ..records import Camera, Rig
from .held_out import supported_lens
from .refine import LENS, LensModel, RobustLoss, adjust, fit_views, pose_alone, sampson_jacobian
from .robust import MIN_INLIERS, ransac_essential
from .solvers import plausible_depth, pose_from_essential

log = logging.getLogger(__name__)
# Standard deviations a priori of the logarithm of the focal length. EXIF gives whole mm of 35 mm film and rounds lens
# data, and its sensor sizes are nominal: a few per cent. A guess is a factor of 1.5 off either way (19 to 42 mm about
# 28 mm).
FOCAL_PRIOR_SIGMA = {"exif": 0.04, "prior": float(np.log(1.5))}
CENTRE_PRIOR_SIGMA = 0.01  # of the longer side: assembly of a lens, and stabilisers that shift it
CENTRE_CHANGE_SHARE = 0.3  # of that, between two photos by one lens: stabilisers, two cameras of a make
DISTORTION_PRIOR_SIGMA = 0.05  # k1, k2: phones and processed photos below 0.02, compact cameras up to 0.2
# No lens is exactly of this model and errors of neighbouring matches are alike: at most so many matches count as
# independent when the lens is weighed against its prior. On rendered and random pairs by lenses off the model
# (`benchmarks/pose.py`) the focal's error is least at 50 to 100: 1.7 %, where 300 gives 2.3 and 1000 2.6.
MAX_INDEPENDENT = 100
MIN_MATCHES_FOR_LENS = 50  # inliers; below it the lens stays as it is
MAX_K1 = 0.5  # |k1|; beyond it the fit has found something that is no lens
# A guess is replaced where the standard error is below this, half of the guess's own: on the same pairs none was more
# than half of that off; at 0.3 three were off by a factor of 1.5.
MAX_FOCAL_SIGMA = 0.20
# A known focal length stays where the matches would move it by more of its standard deviations: the scene does not fit.
MAX_FOCAL_MOVE = 3
LADDER = 1.25 ** np.arange(-3.0, 5.0)  # factors of a guessed focal length that are tried
LADDER_MATCHES = 400  # random matches on which they are tried
LADDER_SAMPLES = 1000  # minimal samples at most for each
LADDER_FINALISTS = 4  # factors whose pose and lens are refined together


def free_lens_model(rig: Rig, focals: ArrayLike, *, full: bool = False) -> LensModel:
    """Return the lens parameters that may be estimated: focal, principal point and k1 of each uncalibrated camera.

    Parameters
    ----------
    rig : Rig
        A given or calibrated camera has no free parameter; two equal cameras have one common lens.
    focals : (2,) float64
        px.
    full : bool
        Add what is not estimated but may be wrong all the same: k2, and for one common lens a principal point that
        differs between the photos. For standard errors.

    Returns
    -------
    LensModel
    """
    distortion, parts = [3, 4] if full else [3], []
    for camera, half in ((rig.cam1, np.eye(2 * LENS)[:, :LENS]), (rig.cam2, np.eye(2 * LENS)[:, LENS:])):
        if camera.source in FOCAL_PRIOR_SIGMA and len(camera.dist) == 0:
            centre = CENTRE_PRIOR_SIGMA * max(camera.size)
            sigma = [FOCAL_PRIOR_SIGMA[camera.source], centre, centre, *([DISTORTION_PRIOR_SIGMA] * len(distortion))]
            parts.append((half[:, [0, 1, 2, *distortion]], np.array(sigma)))
    if len(parts) == 2 and one_lens(rig):
        (first, sigma), (second, _) = parts
        parts = [(first + second, sigma)]
        if full:
            parts.append(((first - second)[:, 1:3], sigma[1:3] * CENTRE_CHANGE_SHARE))
    if not parts:
        return pose_alone(focals)
    basis, sigma = np.hstack([a for a, _ in parts]), np.hstack([s for _, s in parts])
    return LensModel(np.asarray(focals, dtype=float), basis, sigma)


def one_lens(rig: Rig) -> bool:
    """Whether both cameras are equal, so that their parameters are estimated as one lens."""
    a, b = rig.cam1, rig.cam2
    return a.size == b.size and a.source == b.source and np.array_equal(a.K, b.K) and np.array_equal(a.dist, b.dist)


def guessed_focal(
    x1: np.ndarray, x2: np.ndarray, rig: Rig, focals: np.ndarray, *, threshold: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return R, t, p (of `free_lens_model`) of least cost from a ladder of focals, pose and lens refined together.

    Scales only cameras whose focal length is a mere guess.

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

    Returns
    -------
    R, t, p : (3, 3), (3,), (q,) float64, or None
        None where no focal length of the ladder gives a pose.
    """
    scaled = np.array([c.source == "prior" for c in (rig.cam1, rig.cam2)])
    pick = np.sort(np.random.default_rng(seed).permutation(len(x1))[:LADDER_MATCHES])
    x1, x2 = x1[pick], x2[pick]
    tried = []
    for factor in LADDER:
        f = np.where(scaled, factor, 1.0) * focals
        estimate = ransac_essential(
            x1, x2, f, threshold=threshold, confidence=0.99, max_samples=LADDER_SAMPLES, seed=seed
        )
        if estimate is not None and estimate.inliers.sum() >= MIN_INLIERS:
            agree = np.flatnonzero(estimate.inliers)
            R, t = pose_from_essential(estimate.model, x1[agree] / f[0], x2[agree] / f[1])
            tried.append((estimate.cost, factor, R, t))
    if not tried:
        return None
    tried = sorted(tried, key=lambda item: item[0])[:LADDER_FINALISTS]
    lens_model = free_lens_model(rig, focals)
    p = np.zeros((len(tried), lens_model.basis.shape[1]))
    for k, (_, factor, _, _) in enumerate(tried):
        for row in np.flatnonzero(scaled) * LENS:
            p[k, lens_model.basis[row] != 0] = np.log(factor)
    R, t = np.stack([item[2] for item in tried]), np.stack([item[3] for item in tried])
    R, t, p, cost = adjust(R, t, p, x1, x2, lens_model, loss=RobustLoss(threshold / 3, threshold))
    best = int(np.argmin(cost))
    return R[best], t[best], p[best]


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
    """

    R: np.ndarray
    t: np.ndarray
    rig: Rig
    focal_sigma: float | None
    accepted: bool


def fit_lens(
    R: np.ndarray,
    t: np.ndarray,
    p: np.ndarray,
    x1: np.ndarray,
    x2: np.ndarray,
    rig: Rig,
    focals: np.ndarray,
    threshold: float,
) -> LensFit:
    """Fit pose and lens together to all matches, distortion only where held-out matches confirm it.

    Parameters
    ----------
    R, t, p : (3, 3), (3,), (q,) float64
        Start, p of `free_lens_model`.
    x1, x2, rig, focals, threshold
        As in `guessed_focal`.

    Returns
    -------
    LensFit
        Not accepted where the matches leave the focal too uncertain (`MAX_FOCAL_SIGMA`), contradict what is known of
        the lens, or no inlier is left.
    """
    lens_model = free_lens_model(rig, focals)
    f1, f2 = focals * np.exp((lens_model.basis @ p)[[0, LENS]])
    ahead = plausible_depth(R, t, x1 / f1, x2 / f2, 2 * threshold / f1)
    x1, x2 = x1[ahead], x2[ahead]
    lens_model, p, strain = supported_lens(
        R, t, p, x1, x2, lens_model, threshold=threshold, max_independent=MAX_INDEPENDENT
    )
    R1, t1, p, sigma, agree = fit_views(
        R, t, p, x1, x2, lens_model, threshold=threshold, max_independent=MAX_INDEPENDENT
    )
    if not agree.any():
        return LensFit(R, t, rig, prior_focal_sigma(rig), False)
    z = lens_model.basis @ p
    variance = lens_variance(R1, t1, z, x1[agree], x2[agree], free_lens_model(rig, focals, full=True), sigma)
    # a lens farther from what is usual than it should be: something else pulls at it, and at the focal (Birge's ratio)
    variance *= max(1.0, strain, float(np.mean((p / lens_model.prior_sigma) ** 2)))
    error = float(np.sqrt(variance[[0, LENS]].max()))
    log.info(
        "lens: focals x %.4g, %.4g, standard error %.2g, centre %.3g %.3g px, k1 %.3g, noise %.2g px",
        *(np.exp(z[0]), np.exp(z[LENS]), error, z[1], z[2], z[3], sigma),
    )
    cameras = []
    for camera, first in ((rig.cam1, 0), (rig.cam2, LENS)):
        prior_sigma = FOCAL_PRIOR_SIGMA.get(camera.source, 0.0)
        if np.abs(z[first + 3]) > MAX_K1 or np.abs(z[first]) > MAX_FOCAL_MOVE * max(prior_sigma, 1e-9):
            return LensFit(R, t, rig, prior_sigma, False)
        if camera.source == "prior" and np.sqrt(variance[first]) > MAX_FOCAL_SIGMA:
            return LensFit(R, t, rig, max(error, prior_sigma), False)
        cameras.append(_with_lens(camera, z[first : first + LENS], float(np.sqrt(variance[first]))))
    return LensFit(R1, t1, replace(rig, cam1=cameras[0], cam2=cameras[1]), error, True)


def prior_focal_sigma(rig: Rig) -> float:
    """The larger relative standard error of both focal lengths before any match is seen."""
    return max(FOCAL_PRIOR_SIGMA.get(camera.source, 0.0) for camera in (rig.cam1, rig.cam2))


def lens_variance(
    R: np.ndarray,
    t: np.ndarray,
    z: np.ndarray,
    x1: np.ndarray,
    x2: np.ndarray,
    lens_model: LensModel,
    sigma: float,
) -> np.ndarray:
    """Diagonal of (J^T J m / (n sigma^2) + prior)^-1, all else free: the variance of each lens parameter.

    Parameters
    ----------
    R, t, z : (3, 3), (3,), (10,) float64
        Pose and lens.
    x1, x2 : (n, 2) float64
        Inliers, px about the principal points; n of them count as m = min(n, MAX_INDEPENDENT).
    lens_model : LensModel
        Free parameters and their prior.
    sigma : float
        px, noise.

    Returns
    -------
    (10,) float64
    """
    q = lens_model.basis.shape[1]
    p = np.linalg.lstsq(lens_model.basis, z, rcond=None)[0]
    _, J, _ = sampson_jacobian(R, t, p, x1, x2, lens_model)
    information = np.einsum("np,nq->pq", J, J) / sigma**2 * min(1.0, MAX_INDEPENDENT / max(len(x1), 1))
    information[range(5, 5 + q), range(5, 5 + q)] += lens_model.prior_sigma**-2.0
    covariance = np.linalg.pinv(information)[5:, 5:]
    return np.einsum("ap,pq,aq->a", lens_model.basis, covariance, lens_model.basis)


def _with_lens(camera: Camera, z: np.ndarray, error: float) -> Camera:
    """The camera with log focal, centre (px) and k1 of its lens moved by z; fx / fy stays."""
    if not np.any(z):
        return camera
    factor = np.exp(z[0])
    K = camera.K.copy()
    squeeze = np.array([K[0, 0], K[1, 1]]) / camera.focal
    K[[0, 1], [0, 1]] *= factor
    K[:2, 2] += z[1:3] * squeeze
    dist = np.array([z[3] * factor**2, z[4] * factor**4, 0, 0])
    if camera.source == "prior":
        return replace(camera, K=K, dist=dist, source="estimated", source_detail=f"standard error {100 * error:.1f} %")
    moved = f"moved by {100 * (factor - 1):+.1f} % with the pose, standard error {100 * error:.1f} %"
    return replace(camera, K=K, dist=dist, source_detail=f"{camera.source_detail}; {moved}")
