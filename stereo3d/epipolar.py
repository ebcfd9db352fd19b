"""Fundamental and essential matrix by SVD, the relative pose, its refinement: Matches -> TwoView."""

import logging
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from .errors import StereoError
from .geometry import (
    decompose_essential,
    essential_from_pose,
    fit_homography,
    fundamental_from_pose,
    hom,
    ideal_pixels,
    normalising_transform,
    null_vector,
    sampson,
    transform,
    triangulate_points,
    undistort,
)
from .options import Between
from .ransac import Estimate, ransac
from .records import Camera, Matches, Rig, TwoView

log = logging.getLogger(__name__)

MIN_INLIERS = 15  # below this a random pair of photos can reach the count by chance


# ------------------------------------------------------------------------------------- algebra: F and E by SVD


def epipolar_rows(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """Rows a with a . vec(F) = x2^T F x1, vec by rows. x1, x2: (..., N, 2) -> (..., N, 9)."""
    h1, h2 = hom(x1), hom(x2)
    return (h2[..., :, None] * h1[..., None, :]).reshape(h1.shape[:-1] + (9,))


def enforce_rank2(F: np.ndarray) -> np.ndarray:
    """The nearest matrix of rank 2 in Frobenius norm: the smallest singular value set to zero. (..., 3, 3)."""
    U, s, Vt = np.linalg.svd(F)
    s[..., 2] = 0
    return (U * s[..., None, :]) @ Vt


def enforce_essential(E: np.ndarray) -> np.ndarray:
    """The nearest essential matrix: singular values (1, 1, 0). Only right for E in normalised camera coordinates."""
    U, _, Vt = np.linalg.svd(E)
    return (U * np.array([1.0, 1.0, 0.0])) @ Vt


def eight_point(x1: np.ndarray, x2: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """F of x2^T F x1 = 0 from N >= 8 matches: least singular vector in normalised pixels, then rank 2 by SVD.

    x1, x2: (N,2) px.  weights: (N,) of the equations.  Returns (3,3) of unit norm.  Raises ValueError for N < 8.
    Source: Longuet-Higgins 1981; Hartley, In defense of the eight-point algorithm, 1997.
    """
    if len(x1) < 8 or np.shape(x1) != np.shape(x2):
        raise ValueError(f"eight_point needs two (N,2) arrays, N >= 8, got {np.shape(x1)} and {np.shape(x2)}")
    T1, T2 = normalising_transform(x1), normalising_transform(x2)
    A = epipolar_rows(transform(T1, x1), transform(T2, x2))
    if weights is not None:
        A = A * np.asarray(weights)[:, None]
    F = enforce_rank2(null_vector(A).reshape(3, 3))
    F = T2.T @ F @ T1
    return F / np.linalg.norm(F)


def seven_point(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """The one or three F with x2^T F x1 = 0 of seven matches: det(F1 + a F2) = 0, a cubic in a.

    x1, x2: (B,7,2) px, B samples at once.  Returns (M,3,3) of unit norm, all samples' solutions in one array.
    Source: Hartley and Zisserman, section 11.1.2.
    """
    from .posefit import seven_point as kernel

    x1, x2 = _samples("seven_point", x1, x2, 7)
    T1, T2 = (normalising_transform(x.reshape(-1, 2)) for x in (x1, x2))
    F = T2.T @ kernel(transform(T1, x1), transform(T2, x2)) @ T1
    return F / np.linalg.norm(F, axis=(1, 2), keepdims=True)


def five_point(y1: np.ndarray, y2: np.ndarray) -> np.ndarray:
    """All real E with y2^T E y1 = 0, det E = 0 and 2 E E^T E = tr(E E^T) E of five matches; up to ten a sample.

    y1, y2: (B,5,2) normalised camera coordinates, B samples at once.  Returns (M,3,3) of unit norm.
    Source: Nister, An efficient solution to the five-point relative pose problem, 2004.
    """
    from .posefit import five_point as kernel

    return kernel(*_samples("five_point", y1, y2, 5))


def _samples(name: str, x1, x2, size: int) -> tuple[np.ndarray, np.ndarray]:
    x1, x2 = (np.ascontiguousarray(x, dtype=float) for x in (x1, x2))
    if x1.ndim != 3 or x1.shape[1:] != (size, 2) or x1.shape != x2.shape:
        raise ValueError(f"{name} needs (B,{size},2) twice, got {x1.shape} and {x2.shape}")
    return x1, x2


def essential_from_fundamental(F: np.ndarray, K1: np.ndarray, K2: np.ndarray) -> np.ndarray:
    """E = K2^T F K1 with its singular values made (1, 1, 0), in the camera coordinates where that holds."""
    return enforce_essential(K2.T @ F @ K1)


def pose_from_essential(E: np.ndarray, y1: np.ndarray, y2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The one of the four (R, t), |t| = 1, with most points before both cameras (cheirality).

    y1, y2: (N,2) normalised camera coordinates of matches.
    """
    best, most = None, -1
    for R, t in decompose_essential(E):
        front = cheirality_mask(R, t, y1, y2).sum()
        if front > most:
            best, most = (R, t), front
    return best


def cheirality_mask(R: np.ndarray, t: np.ndarray, y1: np.ndarray, y2: np.ndarray) -> np.ndarray:
    """(N,) bool: the two rays meet before both cameras.

    With p = R d1, q = d2, n = p x q: the depths have the signs of (t x q) . n ... of the closest points of the rays.
    """
    p, q = hom(y1) @ R.T, hom(y2)
    n = np.cross(p, q)
    z1 = np.sum(np.cross(q, np.broadcast_to(t, q.shape)) * n, -1)
    z2 = np.sum(np.cross(p, np.broadcast_to(t, p.shape)) * n, -1)
    return (z1 > 0) & (z2 > 0)


def plausible_depth(R: np.ndarray, t: np.ndarray, y1: np.ndarray, y2: np.ndarray, slack: float) -> np.ndarray:
    """(N,) bool: the rays meet before both cameras, or run parallel within `slack` rad, where noise decides the side.

    A wrong match on its epipolar line lies on the wrong side of infinity or of a camera as often as not.
    """
    parallel = np.linalg.norm(np.cross(hom(y1) @ R.T, hom(y2)), axis=1) < slack
    return parallel | cheirality_mask(R, t, y1, y2)


# ---------------------------------------------------------------------- least squares over pose and lens


@dataclass(frozen=True, eq=False)
class LensModel:
    """What is estimated beside the pose: lens parameters z = basis @ p, p ~ N(0, prior_sigma^2) a priori.

    focals: (2,) px, where z = 0.  z: (10,), of camera 1 then of camera 2: log(f / focal), the shift of the principal
    point in x and y (px), and k1, k2 of x_d = x_u (1 + k1 q + k2 q^2), q = |x_u|^2 / focal^2.  basis: (10, q).
    prior_sigma: (q,).
    A pose alone: q = 0. Two photos by one camera share parameters: columns of basis that reach into both halves.
    """

    focals: np.ndarray
    basis: np.ndarray
    prior_sigma: np.ndarray


LENS = 5  # parameters of one lens


def pose_alone(focals) -> LensModel:
    return LensModel(np.asarray(focals, float), np.zeros((2 * LENS, 0)), np.zeros(0))


def sampson_residuals(R, t, p, x1, x2, lens_model: LensModel) -> np.ndarray:
    """r (M,N) px of poses R (M,3,3), t (M,3) with lens parameters p (M,q); x1, x2: (N,2) px about the centres."""
    from .posefit import residuals_of_view

    r, z = np.empty((len(R), len(x1))), p @ lens_model.basis.T
    for k in range(len(R)):
        residuals_of_view(*_arrays(R[k], t[k], z[k], lens_model.focals, x1, x2), r[k])
    return r


def sampson_jacobian(R, t, p, x1, x2, lens_model: LensModel):
    """r (N,), dr/d(w, s, p) (N,5+q) in closed form, and the tangents (2,3) of t, of one pose R (3,3), t (3,), p (q,).

    R <- exp([w]x) R, t <- t + s tangents, normalised.
    """
    from .posefit import sampson_jacobian_kernel, tangent_basis

    r, J = np.empty(len(x1)), np.empty((len(x1), 5 + len(p)))
    R, t, z, focals, x1, x2, spread = _arrays(R, t, lens_model.basis @ p, lens_model.focals, x1, x2, lens_model.basis)
    sampson_jacobian_kernel(R, t, z, focals, x1, x2, spread, r, J)
    return r, J, tangent_basis(t)


def _arrays(*arrays):
    """For the kernels: contiguous, of doubles."""
    return tuple(np.ascontiguousarray(a, dtype=float) for a in arrays)


def soft_truncated(r: np.ndarray, sigma, cut) -> tuple[np.ndarray, np.ndarray]:
    """rho(r) = -log((g + e) / (1 + e)), g = exp(-r^2 / 2 sigma^2), e = g(cut); and its weight g / (g + e).

    The likelihood of normal noise among uniformly spread outliers; `cut` is where both are equally likely.
    Source: MLESAC, Torr and Zisserman 2000.
    """
    e = np.exp(-0.5 * (cut / sigma) ** 2)
    g = np.exp(-0.5 * (r / sigma) ** 2)
    return -np.log((g + e) / (1 + e)), g / (g + e)


def adjust(R, t, p, x1, x2, lens_model: LensModel, *, sigma: float, cut: float, weaken: float = 1.0, steps: int = 15):
    """R, t, p of least sum of soft_truncated(r) + weaken |p / prior_sigma|^2 / 2, from M starts at once.

    R (M,3,3), t (M,3), p (M,q).  Returns R, t, p, cost (M,).
    Levenberg 1944, Marquardt 1963, with the weights of the robust loss taken anew in each step.
    """
    from .posefit import adjust_views

    precision = weaken / lens_model.prior_sigma**2
    R, t, p = (np.array(a, dtype=float) for a in (R, t, p))
    cost = np.empty(len(R))
    focals, x1, x2, spread, precision = _arrays(lens_model.focals, x1, x2, lens_model.basis, precision)
    adjust_views(R, t, p, focals, x1, x2, spread, precision, float(sigma), float(cut), steps, cost)
    return R, t, p, cost


def noise_of(r: np.ndarray, threshold: float) -> float:
    """sigma = 1.4826 median |r| of the residuals below the threshold; never quite zero."""
    near = np.abs(r)[np.abs(r) < threshold]
    return max(1.4826 * float(np.median(near)), 1e-6 * threshold) if len(near) else threshold


def fit_views(
    R, t, p, x1, x2, lens_model: LensModel, *, threshold: float, rounds: int = 4, max_independent: int | None = None
):
    """`adjust` of one pose on all matches, the noise measured anew each round: R, t, p, sigma, inliers.

    The cut lies at four times the noise, but not beyond 1.3 thresholds. The prior of the lens is weighed as if at most
    `max_independent` matches were independent: errors of neighbours are alike, and no lens is exactly of the model.
    """
    R, t, p = R[None], t[None], p[None]
    stride = max(1, len(x1) // 600)  # the first rounds need no more
    for k in range(rounds):
        a, b = (x1, x2) if k >= rounds - 2 else (x1[::stride], x2[::stride])
        r = sampson_residuals(R, t, p, a, b, lens_model)[0]
        sigma = noise_of(r, threshold)
        weaken = max(1.0, float((np.abs(r) < threshold).sum()) / max_independent) if max_independent else 1.0
        R, t, p, _ = adjust(R, t, p, a, b, lens_model, sigma=sigma, cut=min(4 * sigma, 1.3 * threshold), weaken=weaken)
    agree = np.abs(sampson_residuals(R, t, p, x1, x2, lens_model)[0]) < min(4 * sigma, threshold)
    return R[0], t[0], p[0], sigma, agree


def refine_pose(R, t, x1, x2, focal: float, *, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """R, t, |t| = 1, of least robust Sampson error, from a start.

    x1, x2: (N,2) px about the principal point, of one focal length.  scale: px, of an inlier's error.
    """
    t = t / np.linalg.norm(t)
    start = sampson_residuals(R[None], t[None], np.zeros((1, 0)), x1, x2, pose_alone([focal, focal]))
    wide = max(scale, float(np.max(np.abs(start))))
    return fit_views(R, t, np.zeros(0), x1, x2, pose_alone([focal, focal]), threshold=wide)[:2]


# ------------------------------------------------------------------------------------------------- planes


def decompose_homography(H: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The four (R, t), |t| = 1, of H ~ R + t n^T / d between normalised camera coordinates; two of them with t turned.

    Of the singular values s1 >= s2 >= s3 of H, scaled to s2 = 1: the two directions u that H leaves at their length
    span, with v2, the plane's traces; R carries the frames (v2, u, v2 x u) to their images.  t = 0 is none: returns [].
    Source: Ma, Soatto, Kosecka, Sastry, An Invitation to 3-D Vision, 2004, theorem 5.19 (after Faugeras and Lustman).
    """
    s = np.linalg.svd(H, compute_uv=False)
    H = H / s[1] * np.sign(np.linalg.det(H) or 1.0)
    _, s, Vt = np.linalg.svd(H)
    s1, s3 = s[0] ** 2, s[2] ** 2
    if s1 - s3 < 1e-9:
        return []
    v1, v2, v3 = Vt
    found = []
    for sign in (1, -1):
        u = (np.sqrt(max(1 - s3, 0)) * v1 + sign * np.sqrt(max(s1 - 1, 0)) * v3) / np.sqrt(s1 - s3)
        n = np.cross(v2, u)
        frame, image = np.stack([v2, u, n], 1), np.stack([H @ v2, H @ u, np.cross(H @ v2, H @ u)], 1)
        R = enforce_rotation(image @ frame.T)
        t = (H - R) @ n
        if np.linalg.norm(t) > 1e-12:
            t = t / np.linalg.norm(t)
            found += [(R, t), (R, -t)]
    return found


def enforce_rotation(M: np.ndarray) -> np.ndarray:
    """The nearest rotation in Frobenius norm: U diag(1, 1, det) V^T."""
    U, _, Vt = np.linalg.svd(M)
    return U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt


def plane_poses(y1, y2, focal: float, *, threshold: float, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Poses by the plane that holds the most of the matches, where it holds a third of them; else none.

    A sample dominated by one plane leaves the pose to chance; its homography does not (DEGENSAC's idea: Chum, Werner
    and Matas 2005).  y1, y2: (N,2) normalised camera coordinates of inliers.  focal: px a unit.
    """

    def residuals(H, which):
        h = hom(y1[which]) @ np.swapaxes(H, -1, -2)
        with np.errstate(divide="ignore", invalid="ignore"):
            d = focal * np.linalg.norm(h[..., :2] / h[..., 2:] - y2[which], axis=-1)
        return np.nan_to_num(d, nan=np.inf)

    estimate = ransac(
        len(y1),
        4,
        lambda s: fit_homography(y1[s], y2[s]),
        residuals,
        threshold=2 * threshold,
        refine=lambda H, agree: fit_homography(y1[agree], y2[agree]),
        confidence=0.99,
        max_samples=128,
        seed=seed,
    )
    if estimate is None or estimate.inliers.mean() < 1 / 3:
        return []
    return decompose_homography(estimate.model)


# -------------------------------------------------------------------------------------------- robust estimation


def ransac_fundamental(
    x1, x2, *, threshold: float, confidence: float = 0.9999, max_samples: int = 50_000, seed: int = 0
) -> Estimate | None:
    """F (3,3) from ideal pixels by 7-point samples; new bests are refined over all F of rank 2, at last on all matches.

    max_samples: enough for a third of right matches, 0.33^7.
    """
    from .posefit import adjust_fundamental, sampson_of_models
    from .posefit import seven_point as solve

    x1, x2 = np.asarray(x1, dtype=float), np.asarray(x2, dtype=float)
    if len(x1) < 7:
        return None
    # both pictures by one scale, so that Sampson distances are pixels times it
    T1, T2 = normalising_transform(x1), normalising_transform(x2)
    scale = np.sqrt(T1[0, 0] * T2[0, 0])
    T1, T2 = (np.diag([scale / T[0, 0], scale / T[0, 0], 1.0]) @ T for T in (T1, T2))
    y1, y2 = _arrays(transform(T1, x1), transform(T2, x2))

    def residuals(F, which=slice(None)):
        return sampson_of_models(F, y1[which], y2[which])

    def refined(F, which, steps):
        sigma = noise_of(residuals(F[None], which)[0], scale * threshold)
        U, s, Vt = np.linalg.svd(F)
        some = _arrays(U, Vt, y1[which], y2[which])
        return adjust_fundamental(*some, np.arctan2(s[1], s[0]), sigma, min(4 * sigma, scale * threshold), steps)

    found = ransac(
        len(x1),
        7,
        lambda s: solve(y1[s], y2[s]),
        residuals,
        threshold=scale * threshold,
        refine=lambda F, agree: refined(F, agree[:: max(1, len(agree) // 200)], 5) if len(agree) >= 8 else None,
        confidence=confidence,
        max_samples=max_samples,
        seed=seed,
    )
    if found is None:
        return None
    F = found.model
    for _ in range(3 if found.inliers.sum() >= 8 else 0):
        F = refined(F, slice(None), 20)
    r = residuals(F[None])[0] / (scale * threshold)
    models = T2.T @ np.concatenate([F[None], found.candidates]) @ T1
    models /= np.linalg.norm(models, axis=(1, 2), keepdims=True)
    return replace(
        found, model=models[0], inliers=np.abs(r) < 1, cost=float(np.minimum(r * r, 1).mean()), candidates=models
    )


def ransac_essential(
    x1,
    x2,
    focals,
    *,
    threshold: float,
    confidence: float = 0.9999,
    max_samples: int = 10_000,
    keep: int = 1,
    seed: int = 0,
) -> Estimate | None:
    """E (3,3) by 5-point samples; new bests are refined over R, t.

    x1, x2: (N,2) px about the principal points.  focals: (2,) px.  Residuals are px of the two photos.
    max_samples: enough for a quarter of right matches, 0.25^5.
    """
    from .posefit import five_point as solve
    from .posefit import sampson_of_models

    x1, x2 = _arrays(x1, x2)
    y1, y2 = x1 / focals[0], x2 / focals[1]
    scale1, scale2 = np.array([focals[1], focals[1], 1.0]), np.array([focals[0], focals[0], 1.0])
    lens_model = pose_alone(focals)

    def refine(E, agree):
        agree = agree[:: max(1, len(agree) // 200)]
        R, t = pose_from_essential(E, y1[agree], y2[agree])
        R, t, *_ = adjust(
            R[None],
            t[None],
            np.zeros((1, 0)),
            x1[agree],
            x2[agree],
            lens_model,
            sigma=threshold / 2,
            cut=threshold,
            steps=4,
        )
        return essential_from_pose(R[0], t[0]) / np.sqrt(2)

    return ransac(
        len(y1),
        5,
        lambda s: solve(y1[s], y2[s]),
        lambda E, which: sampson_of_models(E / scale1[:, None] / scale2, x1[which], x2[which]),
        threshold=threshold,
        refine=refine,
        confidence=confidence,
        max_samples=max_samples,
        keep=keep,
        seed=seed,
    )


CANDIDATES = 8  # minima of the cost that are polished: forward motion and planes have several


def pose_candidates(x1, x2, focals, *, threshold, confidence=0.9999, max_samples=10_000, seed=0):
    """The best poses of 5-point samples and of the dominating plane, each polished, best first: R (M,3,3), t (M,3),
    cost (M,) as `pose_costs` has it.  None where no sample gives one.
    """
    estimate = ransac_essential(
        x1, x2, focals, threshold=threshold, confidence=confidence, max_samples=max_samples, keep=CANDIDATES, seed=seed
    )
    if estimate is None:
        return None
    y1, y2 = x1 / focals[0], x2 / focals[1]
    agree = np.flatnonzero(estimate.inliers)
    agree = agree[:: max(1, len(agree) // 200)]
    if len(agree) < 5:
        return None
    starts = [pose_from_essential(E, y1[agree], y2[agree]) for E in estimate.candidates]
    starts += plane_poses(y1[agree], y2[agree], float(np.sqrt(focals[0] * focals[1])), threshold=threshold, seed=seed)
    R, t = (np.stack(a) for a in zip(*starts, strict=True))
    pick = np.sort(np.random.default_rng(seed).permutation(len(x1))[:500])
    none = np.zeros((len(R), 0))
    # wider than an inlier's error: a narrower cost has more minima to stay in
    R, t, *_ = adjust(
        R, t, none, x1[pick], x2[pick], pose_alone(focals), sigma=threshold / 1.5, cut=1.5 * threshold, steps=8
    )
    cost, sigma = pose_costs(R, t, x1, x2, focals, threshold)
    order = np.argsort(cost, kind="stable")[:3]
    R, t, *_ = adjust(
        R[order],
        t[order],
        none[order],
        x1,
        x2,
        pose_alone(focals),
        sigma=sigma,
        cut=min(4 * sigma, 1.3 * threshold),
        steps=5,
    )
    cost, _ = pose_costs(R, t, x1, x2, focals, threshold)
    order = np.argsort(cost, kind="stable")
    return R[order], t[order], cost[order]


def pose_costs(R, t, x1, x2, focals, threshold: float) -> tuple[np.ndarray, float]:
    """(M,) sum over the matches of `soft_truncated`, a match that meets behind a camera costing as one far from its
    line; and the noise (px) of the pose with the most inliers, by which all are judged."""
    r = sampson_residuals(R, t, np.zeros((len(R), 0)), x1, x2, pose_alone(focals))
    for k in range(len(R)):
        r[k, ~cheirality_mask(R[k], t[k], x1 / focals[0], x2 / focals[1])] = np.inf
    sigma = noise_of(r[np.argmax((np.abs(r) < threshold).sum(1))], threshold)
    return np.einsum("mn->m", soft_truncated(r, sigma, min(4 * sigma, 1.3 * threshold))[0]), sigma


# --------------------------------------------------------------------------------------------------- the lens

# Standard deviations a priori. Focal: EXIF gives whole mm of 35 mm film and rounds lens data, and its sensor sizes are
# nominal: a few per cent; a guess is a factor of 1.5 off either way (19 to 42 mm about 28 mm).
FOCAL_PRIOR_SIGMA = {"exif": 0.04, "prior": float(np.log(1.5))}
CENTRE_PRIOR_SIGMA = 0.01  # of the longer side: assembly of a lens, and stabilisers that shift it
CENTRE_CHANGE_SHARE = (
    0.3  # share of that by which two photos of one lens may differ: stabilisers, two cameras of a make
)
DISTORTION_PRIOR_SIGMA = 0.05  # k1, k2: phones and processed photos below 0.02, compact cameras up to 0.2
# No lens is exactly of this model and errors of neighbouring matches are alike: at most so many matches count as
# independent when the lens is weighed against its prior. On rendered and random pairs by lenses off the model
# (`benchmarks/pose.py`) the focal's error is least at 50 to 100: 1.7 %, where 300 gives 2.3 and 1000 2.6.
MAX_INDEPENDENT = 100
MIN_MATCHES_FOR_LENS = 50  # matches
MAX_K1 = 0.5  # |k1|: beyond, the fit has found something that is no lens
# A guess is replaced where the standard error is below this, half of the guess's own: on the same pairs none was more
# than half of that off; at 0.3 three were off by a factor of 1.5. What is known stays where the matches want to move it
# by more than three of its standard deviations: then it is the scene that does not fit.
MAX_FOCAL_SIGMA = 0.20


def free_lens_model(rig: Rig, focals, *, full: bool = False) -> LensModel:
    """What may be estimated of the two lenses: nothing of a camera that is given or calibrated, else focal, principal
    point and k1; two equal cameras have one common lens.

    full: with what is not estimated but may be wrong all the same: k2, and of one lens a principal point that differs
    between the photos. For standard errors.
    """
    bend, parts = [3, 4] if full else [3], []
    for camera, half in ((rig.cam1, np.eye(2 * LENS)[:, :LENS]), (rig.cam2, np.eye(2 * LENS)[:, LENS:])):
        if camera.source in FOCAL_PRIOR_SIGMA and len(camera.dist) == 0:
            centre = CENTRE_PRIOR_SIGMA * max(camera.size)
            deviation = [FOCAL_PRIOR_SIGMA[camera.source], centre, centre, *([DISTORTION_PRIOR_SIGMA] * len(bend))]
            parts.append((half[:, [0, 1, 2, *bend]], np.array(deviation)))
    if len(parts) == 2 and one_lens(rig):
        (one, deviation), (two, _) = parts
        parts = [(one + two, deviation)]
        if full:
            parts.append(((one - two)[:, 1:3], deviation[1:3] * CENTRE_CHANGE_SHARE))
    if not parts:
        return pose_alone(focals)
    return LensModel(np.asarray(focals, float), np.hstack([a for a, _ in parts]), np.hstack([d for _, d in parts]))


def one_lens(rig: Rig) -> bool:
    a, b = rig.cam1, rig.cam2
    return a.size == b.size and a.source == b.source and np.array_equal(a.K, b.K) and np.array_equal(a.dist, b.dist)


def guessed_focal(x1, x2, rig: Rig, focals, *, threshold: float, seed: int):
    """R, t, p (of `free_lens_model`) of least cost from a ladder of focals, pose and lens refined together; or None.

    Only cameras whose focal is a mere prior are scaled. 400 matches at the most are looked at.
    """
    scaled = np.array([c.source == "prior" for c in (rig.cam1, rig.cam2)])
    pick = np.sort(np.random.default_rng(seed).permutation(len(x1))[:400])
    x1, x2 = x1[pick], x2[pick]
    tried = []
    for factor in 1.25 ** np.arange(-3.0, 5.0):
        f = np.where(scaled, factor, 1.0) * focals
        estimate = ransac_essential(x1, x2, f, threshold=threshold, confidence=0.99, max_samples=1000, seed=seed)
        if estimate is not None and estimate.inliers.sum() >= MIN_INLIERS:
            agree = np.flatnonzero(estimate.inliers)
            R, t = pose_from_essential(estimate.model, x1[agree] / f[0], x2[agree] / f[1])
            tried.append((estimate.cost, factor, R, t))
    if not tried:
        return None
    tried = sorted(tried, key=lambda item: item[0])[:4]
    lens_model = free_lens_model(rig, focals)
    p = np.zeros((len(tried), lens_model.basis.shape[1]))
    for k, (_, factor, _, _) in enumerate(tried):
        for at in np.flatnonzero(scaled) * LENS:
            p[k, lens_model.basis[at] != 0] = np.log(factor)
    R, t = np.stack([item[2] for item in tried]), np.stack([item[3] for item in tried])
    R, t, p, cost = adjust(R, t, p, x1, x2, lens_model, sigma=threshold / 3, cut=threshold)
    best = int(np.argmin(cost))
    return R[best], t[best], p[best]


def fit_lens(R, t, p, x1, x2, rig: Rig, focals, threshold: float):
    """Pose and lens together on all matches -> R, t, the rig with the lens, standard error of the focal (relative).

    The rig comes back as it was where the matches cannot tell (`MAX_FOCAL_SIGMA`) or contradict what is known.
    """
    lens_model = free_lens_model(rig, focals)
    f1, f2 = focals * np.exp((lens_model.basis @ p)[[0, LENS]])
    some = plausible_depth(R, t, x1 / f1, x2 / f2, 2 * threshold / f1)
    x1, x2 = x1[some], x2[some]
    R1, t1, p, sigma, agree = fit_views(
        R, t, p, x1, x2, lens_model, threshold=threshold, max_independent=MAX_INDEPENDENT
    )
    z = lens_model.basis @ p
    z_variance = lens_variance(R1, t1, z, x1[agree], x2[agree], free_lens_model(rig, focals, full=True), sigma)
    # a lens farther from what is usual than it should be: something else pulls at it, and at the focal (Birge's ratio)
    z_variance *= max(1.0, float(np.mean((p / lens_model.prior_sigma) ** 2)))
    error = float(np.sqrt(z_variance[[0, LENS]].max()))
    log.info(
        "lens: focals x %.4g, %.4g, standard error %.2g, centre %.3g %.3g px, k1 %.3g, noise %.2g px",
        np.exp(z[0]),
        np.exp(z[LENS]),
        error,
        z[1],
        z[2],
        z[3],
        sigma,
    )
    cameras = []
    for camera, at in ((rig.cam1, 0), (rig.cam2, LENS)):
        deviation = FOCAL_PRIOR_SIGMA.get(camera.source, 0.0)
        if np.abs(z[at + 3]) > MAX_K1 or np.abs(z[at]) > 3 * max(deviation, 1e-9):
            return R, t, rig, deviation  # the scene does not fit
        if camera.source == "prior" and np.sqrt(z_variance[at]) > MAX_FOCAL_SIGMA:
            return R, t, rig, max(error, deviation)
        cameras.append(_with_lens(camera, z[at : at + LENS], float(np.sqrt(z_variance[at]))))
    return R1, t1, replace(rig, cam1=cameras[0], cam2=cameras[1]), error


def lens_variance(R, t, z, x1, x2, lens_model: LensModel, sigma: float) -> np.ndarray:
    """(10,) variance of each lens parameter: the diagonal of (J^T J m / (n sigma^2) + prior)^-1, all else free.

    n inliers count as m = min(n, MAX_INDEPENDENT).
    """
    q = lens_model.basis.shape[1]
    p = np.linalg.lstsq(lens_model.basis, z, rcond=None)[0]
    _, J, _ = sampson_jacobian(R, t, p, x1, x2, lens_model)
    information = np.einsum("np,nq->pq", J, J) / sigma**2 * min(1.0, MAX_INDEPENDENT / len(x1))
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


# ----------------------------------------------------------------------------------------------- the stage


def estimate_two_view(
    matches: Matches,
    rig: Rig,
    *,
    threshold: Annotated[float, Between(0.01, 1000)] = 1.5,
    confidence: Annotated[float, Between(0.5, 1)] = 0.9999,
    seed: int = 0,
) -> TwoView:
    """Relative pose of the two photos: X2 = R X1 + t, x2^T F x1 = 0 in ideal pixels.

    matches: photo pixels.  rig: the cameras; where it knows R and t, they are taken and only the inliers classified.
    Where a focal length is from EXIF or a mere prior, focal, principal point and k1 are estimated with the pose, each
    under its prior: EXIF moves as far as the matches reveal, a prior is replaced only where they do reveal it
    (`Camera.source` "estimated"), else it stands. TwoView.focal_sigma says how sure the focal is then.
    threshold: px, Sampson distance of an inlier.  Otherwise |t| = 1 unless the rig gives a scale.

    Raises StereoError("few_matches" | "no_overlap") where no pose has enough support, ("bad_calibration") where a known
    t is 0.
    """
    rig.check_baseline()
    if len(matches) < MIN_INLIERS:
        raise StereoError(
            "few_matches",
            f"{len(matches)} matches between the photos, {MIN_INLIERS} needed.",
            "The photos must show the same thing from nearby places: more overlap, less turn, sharper.",
            matches=len(matches),
        )
    if rig.posed:
        x1, x2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((matches.x1, rig.cam1), (matches.x2, rig.cam2)))
        return _classify(x1, x2, np.isfinite(x1).all(1) & np.isfinite(x2).all(1), rig, threshold)
    x1, x2, where, focals = _centred(matches, rig)

    R, t, rig, sigma = _pose_and_lens(matches, x1, x2, rig, focals, threshold, confidence, seed)
    x1, x2, where, focals = _centred(matches, rig)
    y1, y2, slack = x1 / focals[0], x2 / focals[1], 2 * threshold / focals[0]
    some = plausible_depth(R, t, y1, y2, slack)
    R, t, *_ = fit_views(R, t, np.zeros(0), x1[some], x2[some], pose_alone(focals), threshold=threshold)
    r = sampson_residuals(R[None], t[None], np.zeros((1, 0)), x1, x2, pose_alone(focals))[0]
    good = (np.abs(r) < threshold) & plausible_depth(R, t, y1, y2, slack)
    if good.sum() < MIN_INLIERS:
        raise StereoError(
            "no_overlap",
            f"{good.sum()} of {len(matches)} matches agree on one camera motion and "
            f"lie before both cameras, {MIN_INLIERS} needed.",
            "Move less between the photos.",
            inliers=int(good.sum()),
            matches=len(matches),
        )
    inliers = np.zeros(len(matches), bool)
    inliers[where[good]] = True
    F = fundamental_from_pose(rig.cam1.K, rig.cam2.K, R, t)
    return TwoView(F, R, t, inliers, replace(rig, R=R, t=t), sigma)


def _centred(matches: Matches, rig: Rig):
    """Ideal pixels about the principal points, of one focal each: x1, x2 (n,2), which matches they are, focals (2,)."""
    x1, x2 = (undistort(x, c.K, c.dist) * c.focal for x, c in ((matches.x1, rig.cam1), (matches.x2, rig.cam2)))
    where = np.flatnonzero(np.isfinite(x1).all(1) & np.isfinite(x2).all(1))
    return x1[where], x2[where], where, np.array([rig.cam1.focal, rig.cam2.focal])


def _pose_and_lens(matches, x1, x2, rig: Rig, focals, threshold, confidence, seed):
    """R, t, the rig with what was found out of its lenses, and the standard error of the focal or None."""
    sigma = None
    guessed = "prior" in (rig.cam1.source, rig.cam2.source)
    if guessed:
        found = guessed_focal(x1, x2, rig, focals, threshold=threshold, seed=seed)
        if found is not None:
            R, t, told, sigma = fit_lens(*found, x1, x2, rig, focals, threshold)
            if told is not rig:
                return R, t, told, sigma
    found = pose_candidates(x1, x2, focals, threshold=threshold, confidence=confidence, seed=seed)
    count = 0
    if found is not None:
        R, t = found[0][0], found[1][0]
        r = sampson_residuals(R[None], t[None], np.zeros((1, 0)), x1, x2, pose_alone(focals))[0]
        count = int((np.abs(r) < threshold).sum())
    if count < MIN_INLIERS:
        raise StereoError(
            "no_overlap",
            f"{count} of {len(matches)} matches agree on one camera motion, {MIN_INLIERS} needed.",
            "The photos show too little in common: move less between them.",
            inliers=count,
            matches=len(matches),
        )
    free = free_lens_model(rig, focals).basis.shape[1]
    if free and not guessed and count >= MIN_MATCHES_FOR_LENS:
        return fit_lens(R, t, np.zeros(free), x1, x2, rig, focals, threshold)
    return R, t, rig, sigma


def _classify(x1, x2, known, rig: Rig, threshold: float) -> TwoView:
    F = fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, rig.t)
    y1, y2 = transform(np.linalg.inv(rig.cam1.K), x1), transform(np.linalg.inv(rig.cam2.K), x2)
    # rays that run parallel within the threshold may seem to meet behind: leave that to the line test
    inliers = known & (np.abs(sampson(F, np.nan_to_num(x1), np.nan_to_num(x2))) < threshold)
    inliers &= plausible_depth(rig.R, rig.t, y1, y2, 2 * threshold / rig.cam1.focal)
    if inliers.sum() < MIN_INLIERS:
        raise StereoError(
            "calibration_mismatch",
            f"{inliers.sum()} of {len(x1)} matches fit the given calibration and "
            f"pose within {threshold:g} px, {MIN_INLIERS} needed.",
            "The calibration is of another rig or of other photos, or left and right are exchanged: give "
            "the photos in the order of the calibration, or leave the pose out.",
            inliers=int(inliers.sum()),
            matches=len(x1),
        )
    return TwoView(F, rig.R, rig.t, inliers, rig)


def sparse_points(matches: Matches, view: TwoView) -> np.ndarray:
    """Points X (N,3) of all matches in the frame of camera 1, by SVD; units of t. NaN where a pixel has no ray."""
    rig = view.rig
    y1 = undistort(matches.x1, rig.cam1.K, rig.cam1.dist)
    y2 = undistort(matches.x2, rig.cam2.K, rig.cam2.dist)
    P1 = np.eye(3, 4)
    P2 = np.column_stack([view.R, view.t])
    known = np.isfinite(y1).all(1) & np.isfinite(y2).all(1)
    X = np.full((len(y1), 3), np.nan)
    X[known] = triangulate_points(P1, P2, y1[known], y2[known])
    return X
