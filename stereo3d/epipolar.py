"""Fundamental and essential matrix by SVD, the relative pose, its refinement: Matches -> TwoView."""

import logging
from dataclasses import replace
from typing import Annotated

import numpy as np

from .errors import StereoError
from .geometry import (
    decompose_essential,
    essential_from_pose,
    fundamental_from_pose,
    hom,
    ideal_pixels,
    normalising_transform,
    rotation_angle_deg,
    rotation_from_vector,
    sampson,
    transform,
    triangulate_points,
    undistort,
)
from .options import Between
from .ransac import Estimate, ransac
from .records import Matches, Rig, TwoView

log = logging.getLogger(__name__)

LEAST_INLIERS = 15  # below this a random pair of photos can reach the count by chance


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
    F = enforce_rank2(np.linalg.svd(A, full_matrices=len(A) < 9)[2][-1].reshape(3, 3))
    F = T2.T @ F @ T1
    return F / np.linalg.norm(F)


def seven_point(x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    """The one or three F with x2^T F x1 = 0 of seven matches: det(a F1 + (1 - a) F2) = 0, a cubic in a.

    x1, x2: (B,7,2) px, B samples at once.  Returns (M,3,3) of unit norm, all samples' solutions in one array.
    Source: Hartley and Zisserman, section 11.1.2.
    """
    x1, x2 = np.asarray(x1, dtype=float), np.asarray(x2, dtype=float)
    if x1.ndim != 3 or x1.shape[1:] != (7, 2) or x1.shape != x2.shape:
        raise ValueError(f"seven_point needs (B,7,2) twice, got {x1.shape} and {x2.shape}")
    T1, T2 = (normalising_transform(x.reshape(-1, 2)) for x in (x1, x2))
    basis = np.linalg.svd(epipolar_rows(transform(T1, x1), transform(T2, x2)))[2][:, 7:]
    F1, F2 = basis[:, 0].reshape(-1, 3, 3), basis[:, 1].reshape(-1, 3, 3)
    nodes = np.array([-1.0, 0.0, 1.0, 2.0])
    values = np.stack([np.linalg.det(a * F1 + (1 - a) * F2) for a in nodes], -1)
    c = values @ np.linalg.inv(np.vander(nodes, 4)).T  # a^3 ... 1
    c[:, 0] = np.where(np.abs(c[:, 0]) < 1e-14 * np.abs(c).max(1), 1e-14 * np.abs(c).max(1) + 1e-300, c[:, 0])
    companion = np.zeros((len(c), 3, 3))
    companion[:, 0] = -c[:, 1:] / c[:, :1]
    companion[:, 1, 0] = companion[:, 2, 1] = 1
    roots = np.linalg.eigvals(companion)
    sample, k = np.nonzero(np.abs(roots.imag) < 1e-7 * (1 + np.abs(roots.real)))
    a = roots.real[sample, k, None, None]
    F = T2.T @ (a * F1[sample] + (1 - a) * F2[sample]) @ T1
    return F / np.linalg.norm(F, axis=(1, 2), keepdims=True)


def _monomial_tables():
    """Products of polynomials in x, y, z as tensors: linear x linear -> quadratic, quadratic x linear -> cubic.

    Linear: x y z 1. Quadratic: x2 xy xz y2 yz z2 x y z 1. Cubic: x3 x2y x2z xy2 xyz xz2 y3 y2z yz2 z3, then quadratic.
    """
    linear = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)]
    quadratic = [(2, 0, 0), (1, 1, 0), (1, 0, 1), (0, 2, 0), (0, 1, 1), (0, 0, 2), *linear]
    cubic = [(3, 0, 0), (2, 1, 0), (2, 0, 1), (1, 2, 0), (1, 1, 1), (1, 0, 2), (0, 3, 0), (0, 2, 1), (0, 1, 2),
             (0, 0, 3), *quadratic]  # fmt: skip

    def product(a, b, c):
        table = np.zeros((len(a), len(b), len(c)))
        for i, m in enumerate(a):
            for j, n in enumerate(b):
                table[i, j, c.index(tuple(np.add(m, n)))] = 1
        return table

    return product(linear, linear, quadratic), product(quadratic, linear, cubic)


_TO_QUADRATIC, _TO_CUBIC = _monomial_tables()


def five_point(y1: np.ndarray, y2: np.ndarray) -> np.ndarray:
    """All real E with y2^T E y1 = 0, det E = 0 and 2 E E^T E = tr(E E^T) E of five matches; up to ten a sample.

    y1, y2: (B,5,2) normalised camera coordinates, B samples at once.  Returns (M,3,3) of unit norm.
    E = x E1 + y E2 + z E3 + E4 in the null space of the five equations; the ten cubics are solved by the eigenvectors
    of the matrix that multiplies by x in the quotient ring (Nister 2004; Stewenius, Engels and Nister 2006).
    """
    y1, y2 = np.asarray(y1, dtype=float), np.asarray(y2, dtype=float)
    if y1.ndim != 3 or y1.shape[1:] != (5, 2) or y1.shape != y2.shape:
        raise ValueError(f"five_point needs (B,5,2) twice, got {y1.shape} and {y2.shape}")
    basis = np.linalg.svd(epipolar_rows(y1, y2))[2][:, 5:].reshape(-1, 4, 3, 3)
    E = np.moveaxis(basis, 1, -1)  # (B,3,3,4): linear polynomials
    EEt = np.einsum("bika,bjkc,acq->bijq", E, E, _TO_QUADRATIC, optimize=True)
    trace = EEt[:, 0, 0] + EEt[:, 1, 1] + EEt[:, 2, 2]
    EEt = 2 * EEt - np.eye(3)[None, :, :, None] * trace[:, None, None]
    nine = np.einsum("bikq,bkja,qac->bijc", EEt, E, _TO_CUBIC, optimize=True).reshape(-1, 9, 20)
    minors = np.einsum("bka,blc,acq->bklq", E[:, 1], E[:, 2], _TO_QUADRATIC, optimize=True)
    cross = np.stack([minors[:, i, j] - minors[:, j, i] for i, j in ((1, 2), (2, 0), (0, 1))], 1)
    det = np.einsum("bkq,bka,qac->bc", cross, E[:, 0], _TO_CUBIC, optimize=True)
    A = np.concatenate([det[:, None], nine], 1)
    A /= np.maximum(np.linalg.norm(A, axis=2, keepdims=True), 1e-300)
    sound = np.abs(np.linalg.det(A[:, :, :10])) > 1e-25  # a degenerate sample has no ten solutions to look for
    A, basis = A[sound], basis[sound]
    if len(A) == 0:
        return np.zeros((0, 3, 3))
    reduced = np.linalg.solve(A[:, :, :10], A[:, :, 10:])  # each cubic monomial = -row . (quadratic monomials)
    action = np.zeros((len(A), 10, 10))
    action[:, :6] = -reduced[:, :6]
    action[:, 6, 0] = action[:, 7, 1] = action[:, 8, 2] = action[:, 9, 6] = 1
    values, vectors = np.linalg.eig(action)
    sample, k = np.nonzero(np.abs(values.imag) < 1e-8 * (1 + np.abs(values.real)))
    v = vectors[sample, :, k].real
    ok = np.abs(v[:, 9]) > 1e-12
    sample, v = sample[ok], v[ok]
    xyz1 = np.concatenate([v[:, 6:9] / v[:, 9:], np.ones((len(v), 1))], 1)
    found = np.einsum("ma,maij->mij", xyz1, basis[sample])
    return found / np.linalg.norm(found, axis=(1, 2), keepdims=True)


def essential_from_fundamental(F: np.ndarray, K1: np.ndarray, K2: np.ndarray) -> np.ndarray:
    """E = K2^T F K1 with its singular values made (1, 1, 0), in the camera coordinates where that holds."""
    return enforce_essential(K2.T @ F @ K1)


def pose_from_essential(E: np.ndarray, y1: np.ndarray, y2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The one of the four (R, t), |t| = 1, with most points before both cameras (cheirality).

    y1, y2: (N,2) normalised camera coordinates of matches.
    """
    best, most = None, -1
    for R, t in decompose_essential(E):
        front = in_front(R, t, y1, y2).sum()
        if front > most:
            best, most = (R, t), front
    return best


def in_front(R: np.ndarray, t: np.ndarray, y1: np.ndarray, y2: np.ndarray) -> np.ndarray:
    """(N,) bool: the two rays meet before both cameras.

    With p = R d1, q = d2, n = p x q: the depths have the signs of (t x q) . n ... of the closest points of the rays.
    """
    p, q = hom(y1) @ R.T, hom(y2)
    n = np.cross(p, q)
    z1 = np.sum(np.cross(q, np.broadcast_to(t, q.shape)) * n, -1)
    z2 = np.sum(np.cross(p, np.broadcast_to(t, p.shape)) * n, -1)
    return (z1 > 0) & (z2 > 0)


# -------------------------------------------------------------------------------------------- robust estimation


def ransac_fundamental(x1, x2, *, threshold: float, confidence: float = 0.9999, seed: int = 0) -> Estimate | None:
    """F (3,3) from ideal pixels by 7-point samples, with 8-point refits on the inliers of each new best."""

    def refine(F, agree):
        if len(agree) < 8:
            return None
        return eight_point(x1[agree], x2[agree])

    return ransac(
        len(x1), 7,
        lambda s: seven_point(x1[s], x2[s]),
        lambda F, which: sampson(F, x1[which], x2[which]),
        threshold=threshold, refine=refine, confidence=confidence, seed=seed,
    )  # fmt: skip


def ransac_essential(
    y1, y2, focal: float, *, threshold: float, confidence: float = 0.9999, max_samples: int = 4000, seed: int = 0
) -> Estimate | None:
    """E (3,3) from normalised coordinates by 5-point samples; new bests are refined over R, t.

    focal: px a unit of y, so that threshold and residuals are in px.
    """

    def refine(E, agree):
        R, t = pose_from_essential(E, y1[agree], y2[agree])
        R, t = refine_pose(R, t, y1[agree] * focal, y2[agree] * focal, focal, scale=threshold, evaluations=4)
        return essential_from_pose(R, t) / np.sqrt(2)

    return ransac(
        len(y1), 5,
        lambda s: five_point(y1[s], y2[s]),
        lambda E, which: focal * sampson(E, y1[which], y2[which]),
        threshold=threshold, refine=refine, confidence=confidence, max_samples=max_samples, seed=seed,
    )  # fmt: skip


def refine_pose(R, t, x1, x2, focal: float, *, scale: float, evaluations: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """R, t, |t| = 1, of least robust Sampson error, from a start; Cauchy loss of width `scale` px.

    x1, x2: (N,2) px about the principal point, of one focal length.
    """
    fit = _fit_pose(R, t, np.log(focal), x1, x2, scale=scale, evaluations=evaluations)
    return fit[0], fit[1]


def cauchy_width(residuals: np.ndarray) -> float:
    """2.385 sigma, sigma = 1.4826 median |r|: the width at which the Cauchy loss is 95 % efficient on normal noise.

    Source: Holland and Welsch 1977.
    """
    return max(2.385 * 1.4826 * float(np.median(np.abs(residuals))), 1e-9)


def _fit_pose(R, t, log_f, x1, x2, *, scale, evaluations=50, prior=None):
    """Least squares over (rotation vector, direction of t on the sphere[, log f]); returns R, t, log f, its deviation.

    prior: None, focal fixed; or (log f, standard deviation) of a common focal that is estimated too.
    """
    from scipy.optimize import least_squares

    t = t / np.linalg.norm(t)
    tangent = np.linalg.svd(t[None])[2][1:]  # two directions across t

    def pose(p):
        s = t + p[3] * tangent[0] + p[4] * tangent[1]
        return rotation_from_vector(p[:3]) @ R, s / np.linalg.norm(s)

    def residuals(p):
        f = np.exp(p[5] if prior else log_f)
        Rp, tp = pose(p)
        r = f * sampson(essential_from_pose(Rp, tp), x1 / f, x2 / f) / scale
        return np.append(r, (p[5] - prior[0]) / prior[1]) if prior else r

    start = np.r_[np.zeros(5), [log_f] if prior else []]
    fit = least_squares(
        residuals, start, method="trf", loss="cauchy", x_scale="jac", max_nfev=evaluations, xtol=1e-10, ftol=1e-10
    )
    Rp, tp = pose(fit.x)
    if not prior:
        return Rp, tp, log_f, 0.0
    r = fit.fun[:-1]
    noise = 1.4826 * np.median(np.abs(r))
    information = fit.jac[:-1].T @ fit.jac[:-1] / max(noise, 1e-12) ** 2
    information[5, 5] += 1 / prior[1] ** 2
    deviation = float(np.sqrt(max(np.linalg.pinv(information)[5, 5], 0)))
    return Rp, tp, float(fit.x[5]), deviation


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
    Where both focal lengths are mere priors, a common focal is estimated with the pose, and believed only where the
    pair can reveal it (`Camera.source` "estimated"); else the prior stands.
    threshold: px, Sampson distance of an inlier.  Otherwise |t| = 1 unless the rig gives a scale.

    Raises StereoError("few_matches" | "no_overlap") where no pose has enough support.
    """
    if len(matches) < LEAST_INLIERS:
        raise StereoError("few_matches", f"{len(matches)} matches between the photos, {LEAST_INLIERS} needed.",
                          "The photos must show the same thing from nearby places: more overlap, less turn, sharper.",
                          matches=len(matches))  # fmt: skip
    x1, x2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((matches.x1, rig.cam1), (matches.x2, rig.cam2)))
    known = np.isfinite(x1).all(1) & np.isfinite(x2).all(1)
    if rig.posed:
        return _classify(x1, x2, known, rig, threshold)
    x1, x2, where = x1[known], x2[known], np.flatnonzero(known)

    if rig.cam1.source == rig.cam2.source == "prior":
        rig = _with_common_focal(x1, x2, rig, threshold, seed)
    K1, K2 = rig.cam1.K, rig.cam2.K
    y1, y2 = transform(np.linalg.inv(K1), x1), transform(np.linalg.inv(K2), x2)
    focal = float(np.sqrt(rig.cam1.focal * rig.cam2.focal))
    estimate = ransac_essential(y1, y2, focal, threshold=threshold, confidence=confidence, seed=seed)
    count = 0 if estimate is None else int(estimate.inliers.sum())
    if count < LEAST_INLIERS:
        raise StereoError("no_overlap", f"{count} of {len(matches)} matches agree on one camera motion, "
                          f"{LEAST_INLIERS} needed.", "The photos show too little in common: move less between them.",
                          inliers=count, matches=len(matches))  # fmt: skip
    agree = np.flatnonzero(estimate.inliers)
    R, t = pose_from_essential(estimate.model, y1[agree], y2[agree])
    for _ in range(2):
        noise = np.abs(focal * sampson(essential_from_pose(R, t), y1[agree], y2[agree]))
        R, t = refine_pose(R, t, y1[agree] * focal, y2[agree] * focal, focal, scale=cauchy_width(noise))
        F = fundamental_from_pose(K1, K2, R, t)
        good = (np.abs(sampson(F, x1, x2)) < threshold) & in_front(R, t, y1, y2)
        agree = np.flatnonzero(good)
        if len(agree) < LEAST_INLIERS:
            raise StereoError("no_overlap", f"{len(agree)} of {len(matches)} matches agree on one camera motion and "
                              f"lie before both cameras, {LEAST_INLIERS} needed.", "Move less between the photos.",
                              inliers=len(agree), matches=len(matches))  # fmt: skip
    inliers = np.zeros(len(matches), bool)
    inliers[where[agree]] = True
    return TwoView(F, R, t, inliers, replace(rig, R=R, t=t))


def _classify(x1, x2, known, rig: Rig, threshold: float) -> TwoView:
    F = fundamental_from_pose(rig.cam1.K, rig.cam2.K, rig.R, rig.t)
    y1, y2 = transform(np.linalg.inv(rig.cam1.K), x1), transform(np.linalg.inv(rig.cam2.K), x2)
    # rays that run parallel within the threshold may seem to meet behind: leave that to the line test
    inliers = known & (np.abs(sampson(F, np.nan_to_num(x1), np.nan_to_num(x2))) < threshold)
    parallel = np.linalg.norm(np.cross(hom(y1) @ rig.R.T, hom(y2)), axis=1) < 2 * threshold / rig.cam1.focal
    inliers &= parallel | in_front(rig.R, rig.t, y1, y2)
    if inliers.sum() < LEAST_INLIERS:
        raise StereoError("calibration_mismatch", f"{inliers.sum()} of {len(x1)} matches fit the given calibration and "
                          f"pose within {threshold:g} px, {LEAST_INLIERS} needed.",
                          "The calibration is of another rig or of other photos, or left and right are exchanged: give "
                          "the photos in the order of the calibration, or leave the pose out.",
                          inliers=int(inliers.sum()), matches=len(x1))  # fmt: skip
    return TwoView(F, rig.R, np.asarray(rig.t, float).reshape(3), inliers, rig)


# A focal is believed where its standard error is below this share and the photos turn against each other by at least
# the angle. What the standard error leaves out (principal point, distortion, a scene that is nearly flat) came to ten
# to twenty times as much on real pairs, so 1 % here stands for some 10 % there: what a good guess has as well.
FOCAL_ERROR, FOCAL_TURN_DEG = 0.01, 3.0


def _with_common_focal(x1, x2, rig: Rig, threshold: float, seed: int) -> Rig:
    """The rig with the focal that the matches reveal, in units of each camera's prior focal; else the rig as it was.

    A ladder of focals is tried by 5-point samples on at most 600 matches; the best three are refined with pose and
    focal free together, under a prior of a factor of 1.5 (one standard deviation) about the guess.
    """
    K1, K2 = rig.cam1.K, rig.cam2.K
    # in these coordinates both pictures have one focal, `centre` (px of the first camera)
    centre = rig.cam1.focal
    p1 = transform(np.linalg.inv(K1), x1) * centre
    p2 = transform(np.linalg.inv(K2), x2) * centre
    pick = np.sort(np.random.default_rng(seed).permutation(len(p1))[:600])
    prior = (np.log(centre), np.log(1.5))
    tried = []
    for log_f in prior[0] + np.log(1.25) * np.arange(-3, 5):
        f = np.exp(log_f)
        estimate = ransac_essential(
            p1[pick] / f, p2[pick] / f, f, threshold=threshold, confidence=0.99, max_samples=640, seed=seed
        )
        if estimate is not None and estimate.inliers.sum() >= LEAST_INLIERS:
            tried.append((estimate.cost, log_f, estimate))
    tried.sort(key=lambda item: item[0])
    best, best_cost = None, np.inf
    for _, log_f, estimate in tried[:3]:
        agree = pick[estimate.inliers]
        f = np.exp(log_f)
        R, t = pose_from_essential(estimate.model, p1[agree] / f, p2[agree] / f)
        for _ in range(3):
            width = cauchy_width(f * sampson(essential_from_pose(R, t), p1[agree] / f, p2[agree] / f))
            R, t, log_f, deviation = _fit_pose(R, t, log_f, p1[agree], p2[agree], scale=width, prior=prior)
            f = np.exp(log_f)
            E = essential_from_pose(R, t)
            error = np.abs(f * sampson(E, p1 / f, p2 / f))
            agree = np.flatnonzero(error < threshold)
            if len(agree) < LEAST_INLIERS:
                break
        cost = float(np.minimum((error / threshold) ** 2, 1).mean())
        if len(agree) >= LEAST_INLIERS and cost < best_cost:
            best, best_cost = (R, log_f, deviation), cost
    if best is None:
        return rig
    R, log_f, deviation = best
    ratio, turn = float(np.exp(log_f - prior[0])), rotation_angle_deg(R)
    log.info("common focal %.4g of the prior, standard error %.2g, turn %.2f deg", ratio, deviation, turn)
    if deviation > FOCAL_ERROR or turn < FOCAL_TURN_DEG:
        return rig
    detail = f"standard error {100 * deviation:.1f} %"

    def refocused(camera):
        K = camera.K.copy()
        K[0, 0] *= ratio
        K[1, 1] *= ratio
        return replace(camera, K=K, source="estimated", source_detail=detail)

    return replace(rig, cam1=refocused(rig.cam1), cam2=refocused(rig.cam2))


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
