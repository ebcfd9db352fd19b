"""Is this pair reconstructible, and if not why: Matches, TwoView, Rig -> Findings."""

import numpy as np

from .geometry import (
    fit_homography,
    fundamental_from_pose,
    hom,
    ideal_pixels,
    rotation_from_vector,
    sampson,
    undistort,
)
from .ransac import ransac
from .records import Finding, Matches, Rig, TwoView

# Thresholds are in px of a photo of longer side 1600; they separated 43 good pairs from 38 bad ones.
REFERENCE_SIDE = 1600.0
LOG_NFA_NO_OVERLAP = -10.0  # log10 of the number of false alarms; good pairs lie below -31
PARALLAX_NONE, SHARE_NONE = 1.5, 0.95  # px, share: residual after the best homography
PARALLAX_FLAT, SHARE_FLAT = 10.0, 0.72


def diagnose(matches: Matches, view: TwoView, rig: Rig) -> list[Finding]:
    """What the matches say about the pair: findings of severity "info", "warning" or "error".

    An "error" means that no mesh of this pair can be believed: "no_overlap", "pure_rotation".
    rig: as it was given, before the estimate; `view.rig` holds the refined cameras.
    """
    unit = max(view.rig.cam1.size) / REFERENCE_SIDE
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    findings = [_cameras(view.rig)]
    log_nfa = false_alarms(matches, view)
    if log_nfa > LOG_NFA_NO_OVERLAP:
        findings.append(Finding(
            "no_overlap", "error", f"{len(x1)} of {len(matches)} matches agree on one camera motion, which "
            f"chance can do as well (log10 of expected false alarms {log_nfa:.1f}, needed < {LOG_NFA_NO_OVERLAP:.0f}).",
            {"log10_nfa": log_nfa, "inliers": len(x1), "matches": len(matches)},
            "Do both photos show the same thing? Take them from nearer to each other."))  # fmt: skip
    if not rig.posed:
        findings += _flatness(matches, view, x1, x2, unit)
    angle = median_parallax_angle(x1, x2, view)
    if angle < 1.0:
        findings.append(Finding(
            "small_baseline", "warning", f"the rays of a point meet at {angle:.2f} degrees (median): depth is "
            "uncertain.", {"angle_deg": angle}, "Step further sideways: 3 to 15 degrees are good."))  # fmt: skip
    if angle > 35.0:
        findings.append(Finding(
            "large_baseline", "warning", f"the rays of a point meet at {angle:.0f} degrees (median): much is hidden in "
            "one of the photos.", {"angle_deg": angle}, "Take the photos nearer to each other."))  # fmt: skip
    if not rig.posed:
        spread = direction_spread(x1, x2, view)
        if spread > 2.0:
            findings.append(Finding(
                "unstable_pose", "warning", "the direction of the camera's motion is uncertain by "
                f"{spread:.1f} degrees (standard error).", {"spread_deg": spread},
                "More overlap, more parallax, or a known focal length (--focal)."))  # fmt: skip
    inlier_share = len(x1) / len(matches)
    if inlier_share < 0.5:
        findings.append(Finding(
            "many_outliers", "warning" if inlier_share < 0.3 else "info",
            f"{100 * inlier_share:.0f} % of {len(matches)} matches agree with the camera motion.",
            {"inlier_share": inlier_share}, "Repeated texture, moving things or little overlap do this."))  # fmt: skip
    if (view.R.T @ view.t)[0] > 0.01 * np.linalg.norm(view.t):
        findings.append(Finding(
            "swapped", "info", "the first photo was taken from the right of the second; that is taken into account.",
            {"camera2_x": float(-(view.R.T @ view.t)[0])}))  # fmt: skip
    return findings


def _flatness(matches: Matches, view: TwoView, x1, x2, unit: float) -> list[Finding]:
    """Can the pose be told from these matches? Not from those of one homography: a turn, or one plane."""
    parallax, flat_share = homography_residual(x1, x2, unit)
    numbers = {"parallax_px": parallax / unit, "homography_share": flat_share}
    if parallax < PARALLAX_NONE * unit and flat_share > SHARE_NONE:
        # with a guessed focal length a turn does not fit any rotation exactly: only the free homography tells
        guessed = {view.rig.cam1.source, view.rig.cam2.source} & {"prior", "estimated"}
        fatal = bool(guessed) or _explained_by_rotation(matches, view, unit)
        return [Finding(
            "pure_rotation" if fatal else "flat_scene", "error" if fatal else "warning",
            f"no parallax: one homography explains {100 * flat_share:.0f} % of the matches to {parallax:.1f} px; "
            "the camera only turned, or the scene is one plane.", numbers,
            "Step sideways between the photos by about a tenth of the distance; include things at several depths.",
        )]  # fmt: skip
    if parallax < PARALLAX_FLAT * unit and flat_share > SHARE_FLAT:
        return [Finding(
            "flat_scene", "warning", f"nearly one plane: a homography explains {100 * flat_share:.0f} % of the matches "
            f"to {parallax:.1f} px; the camera motion is uncertain.", numbers,
            "Include things at several depths, or step further sideways.")]  # fmt: skip
    return []


def same_photo(matches: Matches, size1: tuple[int, int], size2: tuple[int, int]) -> float | None:
    """Motion (px, 90 % quantile of |x1 - x2|) of two pictures that are one, below half a reference pixel; else None."""
    if size1 != size2 or len(matches) == 0:
        return None
    motion = float(np.quantile(np.linalg.norm(matches.x1 - matches.x2, axis=1), 0.9))
    return motion if motion < 0.5 * max(size1) / REFERENCE_SIDE else None


def false_alarms(matches: Matches, view: TwoView) -> float:
    """log10 of the number of false alarms of the epipolar geometry (Moisan and Stival 2004, a contrario).

    NFA(k) = (n - 5) C(n, k) C(k, 5) alpha_k^(k - 5), alpha_k = 2 D / A times the k-th smallest distance to the epipolar
    line (D diagonal, A area of picture 2); the least over k. Below 0: not expected once in random matches.
    """
    rig = view.rig
    x1, x2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((matches.x1, rig.cam1), (matches.x2, rig.cam2)))
    distance = np.sort(np.nan_to_num(np.abs(sampson(view.F, x1, x2)), nan=np.inf))
    n = len(distance)
    if n <= 6:
        return 0.0
    w, h = rig.cam2.size
    k = np.arange(6, n + 1)
    alpha = np.clip(2 * np.hypot(w, h) / (w * h) * np.maximum(distance[5:], 0.05), 1e-12, 1.0)

    from scipy.special import gammaln

    def log_binomial(a, b):
        return gammaln(a + 1) - gammaln(b + 1) - gammaln(a - b + 1)

    # five-point samples give up to ten models
    log_nfa = np.log(10.0 * (n - 5)) + log_binomial(n, k) + log_binomial(k, 5) + (k - 5) * np.log(alpha)
    return float(log_nfa.min() / np.log(10))


def homography_residual(x1: np.ndarray, x2: np.ndarray, unit: float = 1.0) -> tuple[float, float]:
    """90 % quantile (px) of the residuals after the homography that explains most matches, and its share of them.

    unit: px of this photo in one px of the reference size; a match belongs to the homography within 3 units.
    """
    def residuals(H, which):
        with np.errstate(divide="ignore", invalid="ignore"):
            y = hom(x1[which]) @ np.swapaxes(H, -1, -2)
            return np.linalg.norm(y[..., :2] / y[..., 2:] - x2[which], axis=-1)

    def refine(_, agree):
        return fit_homography(x1[agree], x2[agree]) if len(agree) >= 4 else None

    estimate = ransac(
        len(x1), 4, lambda s: fit_homography(x1[s], x2[s]), residuals, threshold=3 * unit, refine=refine, seed=0
    )
    if estimate is None:
        return float("inf"), 0.0
    r = np.nan_to_num(residuals(estimate.model[None], slice(None))[0], nan=np.inf)
    return float(np.quantile(r, 0.9)), float(estimate.inliers.mean())


def median_parallax_angle(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> float:
    """Median angle, degrees, between the two rays of a match."""
    d1 = hom(undistort(x1, view.rig.cam1.K, view.rig.cam1.dist)) @ view.R.T
    d2 = hom(undistort(x2, view.rig.cam2.K, view.rig.cam2.dist))
    sine = np.linalg.norm(np.cross(d1, d2), axis=1)
    return float(np.degrees(np.nanmedian(np.arctan2(sine, np.sum(d1 * d2, 1)))))


def direction_spread(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> float:
    """Standard deviation of t's direction, degrees, from the curvature of the Sampson error at the estimate.

    Covariance of five parameters (rotation, direction): s^2 (J^T J)^-1 with s the residuals' robust deviation, times
    the 2 of the two tangent directions. The Jacobian is taken by central differences.
    """
    rig = view.rig
    y1, y2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((x1, rig.cam1), (x2, rig.cam2)))
    t = view.t / np.linalg.norm(view.t)
    tangent = np.linalg.svd(t[None])[2][1:]

    def residual(p):
        R = rotation_from_vector(p[:3]) @ view.R
        return sampson(fundamental_from_pose(rig.cam1.K, rig.cam2.K, R, t + p[3:] @ tangent), y1, y2)

    step = 1e-6
    J = np.stack([(residual(step * e) - residual(-step * e)) / (2 * step) for e in np.eye(5)], 1)
    noise = 1.4826 * np.median(np.abs(residual(np.zeros(5))))
    covariance = max(noise, 1e-6) ** 2 * np.linalg.pinv(J.T @ J)
    return float(np.degrees(np.sqrt(max(np.trace(covariance[3:, 3:]), 0))))


def _explained_by_rotation(matches: Matches, view: TwoView, unit: float) -> bool:
    """No plane but a turn: the inliers fit x2 ~ K2 R K1^-1 x1 with some rotation."""
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    d1 = hom(undistort(x1, view.rig.cam1.K, view.rig.cam1.dist))
    d2 = hom(undistort(x2, view.rig.cam2.K, view.rig.cam2.dist))
    d1, d2 = (d / np.linalg.norm(d, axis=1, keepdims=True) for d in (d1, d2))
    keep = np.ones(len(d1), bool)
    for _ in range(4):  # a wrong match that happens to lie on its epipolar line must not pull at the turn
        U, _, Vt = np.linalg.svd(d2[keep].T @ d1[keep])
        R = U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt
        error = view.rig.cam2.focal * np.linalg.norm(d2 - d1 @ R.T, axis=1)
        keep = error <= 2 * np.median(error)
    return bool(np.quantile(error, 0.9) < 3 * PARALLAX_NONE * unit)


def _cameras(rig: Rig) -> Finding:
    words = {
        "given": "given", "calibration": "from the calibration", "exif": "from the photo's EXIF",
        "estimated": "estimated from the two photos", "prior": "a guess",
    }  # fmt: skip
    source = rig.cam1.source
    numbers = {"focal1_px": rig.cam1.focal, "focal2_px": rig.cam2.focal}
    message = f"focal length {rig.cam1.focal:.0f} px, {words.get(source, source)}"
    if rig.cam1.source_detail:
        message += f" ({rig.cam1.source_detail})"
    if source == "prior":
        return Finding(
            "focal_unknown", "warning", message + ": the pair cannot tell it, so depth may be stretched.", numbers,
            "Give --focal-35mm (phones: 24 to 28) or a calibration.")  # fmt: skip
    return Finding("focal", "info", message + ".", numbers)
