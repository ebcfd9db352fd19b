"""Statistics of matches: false alarms, homography residuals, parallax, scale."""

import numpy as np

from ..geometry.arrays import hom
from ..geometry.camera import ideal_pixels, undistort
from ..geometry.robust import RobustProblem, ransac
from ..geometry.rotations import enforce_rotation
from ..geometry.two_view import essential_from_pose, fit_homography, homography_errors, intersect_rays, sampson
from ..records import Matches, Rig, TwoView
from ..two_view.rays import angular_residuals
from ..two_view.refine import MAX_PIXEL

# Lengths in px are those of a photo of longer side 1600 (`photo_unit`), but no less than this share of the photo's own:
# features are no better than half a pixel of the photo, however small it is.
REFERENCE_SIDE = 1600.0  # px
MIN_UNIT = 0.4  # photo px
PHOTO_NAMES = ("first", "second")

FOCAL_FACTORS = (0.4, 2.5)  # of the known focal length: the range of the true one where that is wrong
SAME_PHOTO_PX = 0.5  # px of the reference size; less motion is none
HOMOGRAPHY_PX = 3  # px of the reference size, of a match that belongs to the homography
TURN_ROUNDS = 4  # of fitting a turn without the worst matches
TURN_OUTLIER = 3  # median errors; a wrong match on its epipolar line must not pull at the turn
NEIGHBOURS = 8  # outliers nearest to an outlier that are compared with it
MIN_ALIKE = 5  # of them that must move as it does


def photo_unit(rig: Rig) -> float:
    """Photo px in one px of the reference size."""
    return max(max(rig.cam1.size) / REFERENCE_SIDE, MIN_UNIT)


def same_photo(matches: Matches, size1: tuple[int, int], size2: tuple[int, int]) -> float | None:
    """Return the motion of two pictures that are one: 90 % quantile of |x1 - x2|, below half a reference pixel.

    Parameters
    ----------
    matches : Matches
        Photo pixels.
    size1, size2 : (int, int)
        Width and height of the photos, px.

    Returns
    -------
    float or None
        px; None where the pictures differ.
    """
    if size1 != size2 or len(matches) == 0:
        return None
    motion = float(np.quantile(np.linalg.norm(matches.x1 - matches.x2, axis=1), 0.9))
    return motion if motion < SAME_PHOTO_PX * max(size1) / REFERENCE_SIDE else None


def false_alarms(matches: Matches, view: TwoView) -> float:
    """NFA(k) = (n - 5) C(n, k) C(k, 5) alpha_k^(k - 5): log10 of the number of false alarms of the epipolar geometry.

    alpha_k = 2 D / A times the k-th smallest distance to the epipolar line (D diagonal, A area of picture 2); the
    least over k. Below 0: not expected once in random matches.

    Parameters
    ----------
    matches : Matches
        All, inliers or not.
    view : TwoView
        The epipolar geometry.

    Returns
    -------
    float

    References
    ----------
    Moisan and Stival, A probabilistic criterion to detect rigid point matches between two images, 2004.
    """
    rig = view.rig
    if rig.wide:
        off = np.abs(ray_residuals(matches, view))
        return _log_false_alarms(2 * np.maximum(off, 0.05 * rig.cam2.pixel_angle))  # a band about a great circle
    x1, x2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((matches.x1, rig.cam1), (matches.x2, rig.cam2)))
    distance = np.nan_to_num(np.abs(sampson(view.F, x1, x2)), nan=np.inf)
    w, h = rig.cam2.size
    distance = np.minimum(distance, w * h)  # px; no picture is wider, and the product would overflow
    return _log_false_alarms(2 * np.hypot(w, h) / (w * h) * np.maximum(distance, 0.05))


def ray_residuals(matches: Matches, view: TwoView) -> np.ndarray:
    """`angular_residuals` of matches of cameras with a wide lens, (N,) rad; inf without a ray."""
    d1, d2 = view.rig.cam1.rays_from_pixels(matches.x1), view.rig.cam2.rays_from_pixels(matches.x2)
    return np.nan_to_num(angular_residuals(essential_from_pose(view.R, view.t), d1, d2), nan=np.inf)


def _log_false_alarms(alpha: np.ndarray) -> float:
    """log10 of the number of false alarms, alpha (n,) the probability of each match to lie as near by chance."""
    from scipy.special import gammaln

    n = len(alpha)
    if n <= 6:
        return 0.0
    k = np.arange(6, n + 1)
    alpha = np.clip(np.sort(alpha)[5:], 1e-12, 1.0)

    def log_binomial(a: int | np.ndarray, b: int | np.ndarray) -> np.ndarray:
        return gammaln(a + 1) - gammaln(b + 1) - gammaln(a - b + 1)

    # five-point samples give up to ten models
    log_nfa = np.log(10.0 * (n - 5)) + log_binomial(n, k) + log_binomial(k, 5) + (k - 5) * np.log(alpha)
    return float(log_nfa.min() / np.log(10))


def homography_residual(x1: np.ndarray, x2: np.ndarray, unit: float = 1.0) -> tuple[float, float]:
    """Measure what one homography leaves: 90 % quantile of |x2 - H x1|, H the one that explains most matches.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        Matches, px.
    unit : float
        Photo px in one px of the reference size; a match belongs to the homography within 3 units.

    Returns
    -------
    residual, share : float
        px, and the share of the matches that belong to the homography.
    """
    problem = RobustProblem(
        len(x1),
        4,
        lambda sample: fit_homography(x1[sample], x2[sample]),
        lambda H, which: homography_errors(H, x1[which], x2[which]),
        lambda _, agree: fit_homography(x1[agree], x2[agree]) if len(agree) >= 4 else None,
    )
    estimate = ransac(problem, threshold=HOMOGRAPHY_PX * unit, seed=0)
    if estimate is None:
        return float("inf"), 0.0
    r = np.minimum(homography_errors(estimate.model, x1, x2), MAX_PIXEL)
    return float(np.quantile(r, 0.9)), float(estimate.inliers.mean())


def turn_residual(x1: np.ndarray, x2: np.ndarray, rig: Rig) -> tuple[float, float]:
    """Measure what a turn leaves: 90 % quantile of |x2 - K2 R K1^-1 x1|, with the best R and common factor of focals.

    A turn seen with a wrong focal length fits no rotation, but a parallax that the wrong focal makes look like depth
    goes away with the right one.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        Matches, photo px.
    rig : Rig
        The cameras.

    Returns
    -------
    residual, factor : float
        px of photo 2, and the factor of both focal lengths, within `FOCAL_FACTORS`.

    References
    ----------
    Kabsch 1976; Horn 1987 (the rotation of the least squared differences of unit rays, without the worst).
    """
    from scipy.optimize import minimize_scalar

    y1, y2 = undistort(x1, rig.cam1.K, rig.cam1.dist), undistort(x2, rig.cam2.K, rig.cam2.dist)
    known = np.isfinite(y1).all(1) & np.isfinite(y2).all(1)
    y1, y2 = y1[known], y2[known]

    def residual(log_factor: float) -> float:
        return _turn_error(y1 / np.exp(log_factor), y2 / np.exp(log_factor), np.exp(log_factor) * rig.cam2.focal)

    ladder = np.linspace(np.log(FOCAL_FACTORS[0]), np.log(FOCAL_FACTORS[1]), 13)
    k = int(np.argmin([residual(a) for a in ladder]))
    around = ladder[max(k - 1, 0)], ladder[min(k + 1, len(ladder) - 1)]
    best = minimize_scalar(residual, bounds=around, method="bounded", options={"xatol": 1e-3})
    return float(best.fun), float(np.exp(best.x))


def magnification(x1: np.ndarray, x2: np.ndarray) -> float:
    """Pixels of photo 2 in one of photo 1: the ratio of the median distances from the median place of x1, x2 (N, 2)."""
    spread1, spread2 = (np.median(np.linalg.norm(x - np.median(x, axis=0), axis=1)) for x in (x1, x2))
    return float(max(spread2, 1e-9) / max(spread1, 1e-9))


def zoom_residual(x1: np.ndarray, x2: np.ndarray, rig: Rig) -> tuple[float, float, float]:
    """Measure what a turn with a zoom leaves, as `turn_residual` does, with the best factor of either focal length.

    Parameters
    ----------
    x1, x2, rig
        As in `turn_residual`.

    Returns
    -------
    residual, factor, zoom : float
        px of photo 2, the factor of the first focal length, within `FOCAL_FACTORS`, and the second focal length over
        the first, in px.
    """
    from scipy.optimize import minimize

    y1, y2 = undistort(x1, rig.cam1.K, rig.cam1.dist), undistort(x2, rig.cam2.K, rig.cam2.dist)
    known = np.isfinite(y1).all(1) & np.isfinite(y2).all(1)
    y1, y2 = y1[known], y2[known]
    if len(y1) < 2:
        return float("inf"), 1.0, 1.0
    ratio = float(np.log(magnification(y1, y2)))
    low, high = np.log(FOCAL_FACTORS)

    def residual(p: np.ndarray) -> float:
        a = np.clip(p[0], low, high)
        return _turn_error(y1 / np.exp(a), y2 / np.exp(a + p[1]), np.exp(a + p[1]) * rig.cam2.focal)

    starts = [np.array([a, ratio]) for a in np.linspace(low, high, 7)]
    options = {"xatol": 1e-3, "fatol": 1e-3}
    best = minimize(residual, min(starts, key=residual), method="Nelder-Mead", options=options)
    factor = float(np.exp(np.clip(best.x[0], low, high)))
    return float(best.fun), factor, float(np.exp(best.x[1])) * rig.cam2.focal / rig.cam1.focal


def _turn_error(y1: np.ndarray, y2: np.ndarray, focal2: float) -> float:
    """90 % quantile (px) of what the best rotation leaves of normalised coordinates y1, y2 (N, 2)."""
    d1, d2 = (hom(y) for y in (y1, y2))
    d1, d2 = (d / np.linalg.norm(d, axis=1, keepdims=True) for d in (d1, d2))
    keep, error = np.ones(len(d1), bool), np.full(len(d1), np.inf)
    for _ in range(TURN_ROUNDS):
        p = d1 @ enforce_rotation(d2[keep].T @ d1[keep]).T
        ahead = np.where(p[:, 2] > 0.05, p[:, 2], np.nan)
        error = np.linalg.norm(p[:, :2] / ahead[:, None] - y2, axis=1)
        error = np.nan_to_num(focal2 * error, nan=1e6)
        keep = error <= TURN_OUTLIER * np.median(error)
    return float(np.quantile(error, 0.9))


def median_parallax_angle(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> float:
    """Median angle, degrees, between the two rays of a match. x1, x2: (N, 2) photo px."""
    return float(np.degrees(np.nanmedian(parallax_angles(x1, x2, view))))


def parallax_angles(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> np.ndarray:
    """Angle, rad, between the two rays of each match, (N,). x1, x2: (N, 2) photo px."""
    if view.rig.wide:
        d1, d2 = view.rig.cam1.rays_from_pixels(x1) @ view.R.T, view.rig.cam2.rays_from_pixels(x2)
    else:
        d1 = hom(undistort(x1, view.rig.cam1.K, view.rig.cam1.dist)) @ view.R.T
        d2 = hom(undistort(x2, view.rig.cam2.K, view.rig.cam2.dist))
    sine = np.linalg.norm(np.cross(d1, d2), axis=1)
    return np.arctan2(sine, np.sum(d1 * d2, 1))


def coherent_outliers(matches: Matches, view: TwoView, distance: float) -> np.ndarray:
    """Find matches far from their epipolar line that move as their neighbours do; false matches move at random.

    Of the 8 nearest such matches in photo 1 at least 5 must have the same displacement to a tenth of how far away they
    are, and to 2 `distance`.

    Parameters
    ----------
    matches : Matches
        All, inliers or not.
    view : TwoView
        The epipolar geometry.
    distance : float
        px from the epipolar line that is far.

    Returns
    -------
    (N,) bool
    """
    from scipy.spatial import KDTree

    place1, place2, off = _places(matches, view)
    which = np.flatnonzero((off > distance) & ~view.inliers)
    coherent = np.zeros(len(matches), bool)
    if len(which) < NEIGHBOURS + 1:
        return coherent
    place, shift = place1[which], (place2 - place1)[which]
    near = np.asarray(KDTree(place).query(place, k=NEIGHBOURS + 1)[1])[:, 1:]
    apart = np.linalg.norm(shift[near] - shift[:, None], axis=2)
    allowed = 2 * distance + 0.1 * np.linalg.norm(place[near] - place[:, None], axis=2)
    coherent[which[(apart < allowed).sum(1) >= MIN_ALIKE]] = True
    return coherent


def _places(matches: Matches, view: TwoView) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where both photos show each match, (N, 2) px or (N, 3), and how far it is off its epipolar line, (N,) px.

    Of a wide lens: unit rays in the orientation of camera 1, in pixels of its angle.
    """
    rig = view.rig
    if rig.wide:
        d1, d2 = rig.cam1.rays_from_pixels(matches.x1), rig.cam2.rays_from_pixels(matches.x2) @ view.R
        known = np.isfinite(d1).all(1) & np.isfinite(d2).all(1)
        off = np.where(known, np.abs(ray_residuals(matches, view)), 0) / rig.pixel_angle
        return np.nan_to_num(d1) / rig.pixel_angle, np.nan_to_num(d2) / rig.pixel_angle, off
    y1, y2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((matches.x1, rig.cam1), (matches.x2, rig.cam2)))
    return matches.x1, matches.x2, np.nan_to_num(np.abs(sampson(view.F, y1, y2)), nan=0.0)


def median_scale(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> float:
    """Median of z1 / z2, the depths of the matched points in the two cameras: how much nearer photo 2 was taken."""
    d1, d2 = (hom(undistort(x, c.K, c.dist)) for x, c in ((x1, view.rig.cam1), (x2, view.rig.cam2)))
    z1 = intersect_rays(d1, d2, view.R, view.t)
    z2 = ((z1[:, None] * d1) @ view.R.T + view.t)[:, 2]
    ahead = (z1 > 0) & (z2 > 0)
    return float(np.median(z1[ahead] / z2[ahead])) if ahead.any() else 1.0
