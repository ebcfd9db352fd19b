"""Wide-angle lenses: pixels and rays of Kannala-Brandt, double-sphere, EUCM, unified and equirectangular cameras.

All of them map directions, so that a ray across or behind the picture plane has a pixel as well. m = (pixel - centre) /
focal length are the normalised image coordinates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .camera import distort, fold_radius, undistort

NEWTON_STEPS = 30
CONVERGED = 1e-14  # rad, or relative
RETURNED = 1e-6  # of |m|: the projection of a ray, where the lens has that ray; rounding near the rim is 1e-8
MAX_ANGLE = np.pi  # rad from the axis
MAX_BENT = 3.0  # by which the distortion of a unified camera may move m: `undistort` finds it within 4
MIN_GROWTH = 0.08  # of the area by its distortion: `undistort` needs .05
TINY_RADIUS = 1e-9  # |(x, y)| / |z| below which a direction is the axis


@dataclass(frozen=True)
class LensFunctions:
    """The two functions of a wide lens.

    Attributes
    ----------
    project : callable
        X (..., 3), coefficients -> m (..., 2); NaN for directions that the lens does not show.
    ray : callable
        m (..., 2), coefficients -> unit directions (..., 3); NaN for places that no direction has.
    coefficients : int
        How many numbers the lens has.
    bounds : tuple of (str, float, float)
        Name and least and largest value of each coefficient, where it has such.
    """

    project: Callable[[np.ndarray, np.ndarray], np.ndarray]
    ray: Callable[[np.ndarray, np.ndarray], np.ndarray]
    coefficients: int
    bounds: tuple[tuple[str, float, float], ...] = ()

    def broken_bound(self, values: Sequence[float]) -> str:
        """Return what coefficient lies outside of its bounds, as text; empty where none does."""
        for (name, low, high), value in zip(self.bounds, values, strict=False):
            if not (low <= value <= high and np.isfinite(value)):
                return f"{name} = {value:g}, which lies between {low:g} and {high:g}"
        return ""


def project_fisheye(X: np.ndarray, k: np.ndarray) -> np.ndarray:
    """m = theta_d (x, y) / |(x, y)|, theta_d = theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8).

    Parameters
    ----------
    X : (..., 3) float64
        Directions or points in the frame of the camera; theta is the angle from its axis.
    k : (4,) float64

    Returns
    -------
    (..., 2) float64
        NaN beyond the angle at which theta_d stops to grow (`fisheye_limit`).

    References
    ----------
    Kannala and Brandt, A generic camera model and calibration method for conventional, wide-angle, and fish-eye lenses,
    2006. OpenCV's module fisheye.
    """
    r = np.hypot(X[..., 0], X[..., 1])
    theta = np.arctan2(r, X[..., 2])
    scale = np.where(r > 0, _fisheye_angle(theta, k) / np.where(r > 0, r, 1), 1 / np.where(r > 0, 1, X[..., 2]))
    shown = (theta < fisheye_limit(k)) & ((r > 0) | (X[..., 2] > 0))
    return np.where(shown[..., None], X[..., :2] * scale[..., None], np.nan)


def fisheye_ray(m: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Return the unit directions (..., 3) of m (..., 2), the inverse of `project_fisheye`: bracketed Newton."""
    wanted = np.hypot(m[..., 0], m[..., 1])
    limit = fisheye_limit(k)
    lo, hi = np.zeros_like(wanted), np.full_like(wanted, limit)
    theta = np.minimum(wanted, 0.5 * limit)
    for _ in range(NEWTON_STEPS + 30):
        error = _fisheye_angle(theta, k) - wanted
        lo, hi = np.where(error < 0, theta, lo), np.where(error > 0, theta, hi)
        slope = _fisheye_slope(theta, k)
        new = theta - error / np.where(np.abs(slope) > 1e-9, slope, np.nan)
        new = np.where((new >= lo) & (new <= hi), new, 0.5 * (lo + hi))  # bisection where Newton leaves the bracket
        if np.nanmax(np.abs(new - theta), initial=0) < CONVERGED:
            break
        theta = new
    reached = np.abs(_fisheye_angle(theta, k) - wanted) <= 1e-11 * np.maximum(wanted, 1)
    sine = np.where(wanted > 0, np.sin(theta) / np.where(wanted > 0, wanted, 1), 1.0)
    X = np.concatenate([m * sine[..., None], np.cos(theta)[..., None]], axis=-1)
    return np.where(reached[..., None], X, np.nan)


def fisheye_slopes(X: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return m of `project_fisheye` without its limit, dm/dX (..., 2, 3), dm/dk (..., 2, 4) at X (..., 3) off the axis.

    With r = |(x, y)|, theta = atan2(r, z), g = theta_d / r: dm = g d(x, y) + (x, y) dg.
    """
    x, z = X[..., :2], X[..., 2]
    r = np.maximum(np.hypot(x[..., 0], x[..., 1]), TINY_RADIUS * np.abs(z))
    theta, square = np.arctan2(r, z), r * r + z * z
    bent, slope = _fisheye_angle(theta, k), _fisheye_slope(theta, k)
    g = bent / r
    by_r, by_z = (slope * z / square - g) / r, -slope / square  # of g
    by_X = np.zeros((*X.shape[:-1], 2, 3))
    by_X[..., :2] = x[..., :, None] * x[..., None, :] * (by_r / r)[..., None, None]
    by_X[..., 0, 0] += g
    by_X[..., 1, 1] += g
    by_X[..., 2] = x * by_z[..., None]
    powers = theta[..., None] ** np.array([3, 5, 7, 9]) / r[..., None]
    return x * g[..., None], by_X, x[..., :, None] * powers[..., None, :]


def fisheye_limit(k: np.ndarray) -> float:
    """Return the angle from the axis, rad, at which theta_d(theta) stops to grow; at most pi."""
    terms = np.array([9 * k[3], 7 * k[2], 5 * k[1], 3 * k[0], 1.0])  # of the slope, in q = theta^2
    terms[np.abs(terms) * MAX_ANGLE ** np.array([8, 6, 4, 2, 0]) < 1e-14] = 0
    q = np.roots(terms)
    q = np.real(q)[(np.abs(np.imag(q)) < 1e-9 * np.maximum(np.abs(q), 1e-9)) & (np.real(q) > 0)]
    return float(min(np.sqrt(q.min()), MAX_ANGLE)) if len(q) else MAX_ANGLE


def _fisheye_angle(theta: np.ndarray, k: np.ndarray) -> np.ndarray:
    q = theta * theta
    return theta * (1 + q * (k[0] + q * (k[1] + q * (k[2] + q * k[3]))))


def _fisheye_slope(theta: np.ndarray, k: np.ndarray) -> np.ndarray:
    q = theta * theta
    return 1 + q * (3 * k[0] + q * (5 * k[1] + q * (7 * k[2] + q * 9 * k[3])))


def project_double_sphere(X: np.ndarray, c: np.ndarray) -> np.ndarray:
    """m = (x, y) / (alpha d2 + (1 - alpha) (xi d1 + z)), d1 = |X|, d2 = |(x, y, xi d1 + z)|.

    Parameters
    ----------
    X : (..., 3) float64
    c : (2,) float64
        xi, alpha.

    Returns
    -------
    (..., 2) float64
        NaN where the denominator is not positive, and where |m| does not grow with the angle from the axis.

    References
    ----------
    Usenko, Demmel and Cremers, The double sphere camera model, 2018, equations 40 to 45.
    """
    xi, alpha = c
    d1 = np.linalg.norm(X, axis=-1)
    shifted = xi * d1 + X[..., 2]
    r2 = X[..., 0] ** 2 + X[..., 1] ** 2
    d2 = np.sqrt(r2 + shifted**2)
    w1 = alpha / (1 - alpha) if alpha <= 0.5 else (1 - alpha) / alpha
    w2 = (w1 + xi) / np.sqrt(2 * w1 * xi + xi * xi + 1)
    depth = alpha * d2 + (1 - alpha) * shifted
    # d |m| / d angle, times positive numbers; of these coefficients only extreme ones let it change its sign
    growth = alpha * (X[..., 2] * d2**2 + xi * d1 * r2) + (1 - alpha) * d2 * (X[..., 2] * shifted + r2)
    shown = (X[..., 2] > -w2 * d1) & (depth > 0) & (growth > 0)
    return np.where(shown[..., None], X[..., :2] / np.where(shown, depth, 1)[..., None], np.nan)


def double_sphere_ray(m: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the unit directions (..., 3) of m (..., 2), the inverse of `project_double_sphere` (eqs. 46 to 50)."""
    xi, alpha = c
    r2 = np.sum(m * m, axis=-1)
    inside = 1 - (2 * alpha - 1) * r2
    root = np.sqrt(np.maximum(inside, 0))
    below = alpha * root + 1 - alpha
    mz = np.where(below > 0, (1 - alpha * alpha * r2), np.nan) / np.where(below > 0, below, 1)
    scale = (mz * xi + np.sqrt(np.maximum(mz * mz + (1 - xi * xi) * r2, 0))) / (mz * mz + r2)
    X = np.concatenate([m * scale[..., None], (mz * scale - xi)[..., None]], axis=-1)
    X = np.where((inside >= 0)[..., None], X / np.linalg.norm(X, axis=-1, keepdims=True), np.nan)
    return _returning(X, m, project_double_sphere(X, c))


def _returning(X: np.ndarray, m: np.ndarray, again: np.ndarray) -> np.ndarray:
    """Directions X (..., 3) of m (..., 2), NaN where their projection `again` (..., 2) is not m."""
    off = np.abs(again - m).max(-1)
    return np.where((off <= RETURNED * np.maximum(np.abs(m).max(-1), 1))[..., None], X, np.nan)


def project_eucm(X: np.ndarray, c: np.ndarray) -> np.ndarray:
    """m = (x, y) / (alpha d + (1 - alpha) z), d = sqrt(beta (x^2 + y^2) + z^2).

    Parameters
    ----------
    X : (..., 3) float64
    c : (2,) float64
        alpha, beta.

    References
    ----------
    Khomutenko, Garcia and Martinet, An enhanced unified camera model, 2016.
    """
    alpha, beta = c
    x2 = X[..., 0] ** 2 + X[..., 1] ** 2
    d = np.sqrt(beta * x2 + X[..., 2] ** 2)
    depth = alpha * d + (1 - alpha) * X[..., 2]
    w = alpha / (1 - alpha) if alpha <= 0.5 else (1 - alpha) / alpha
    shown = (X[..., 2] > -w * d) & (depth > 0)
    return np.where(shown[..., None], X[..., :2] / np.where(shown, depth, 1)[..., None], np.nan)


def eucm_ray(m: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the unit directions (..., 3) of m (..., 2): the inverse of `project_eucm`."""
    alpha, beta = c
    r2 = np.sum(m * m, axis=-1)
    inside = 1 - (2 * alpha - 1) * beta * r2
    root = np.sqrt(np.maximum(inside, 0))
    below = alpha * root + 1 - alpha
    mz = np.where(below > 0, (1 - beta * alpha * alpha * r2), np.nan) / np.where(below > 0, below, 1)
    X = np.concatenate([m, mz[..., None]], axis=-1)
    X = np.where((inside >= 0)[..., None], X / np.linalg.norm(X, axis=-1, keepdims=True), np.nan)
    return _returning(X, m, project_eucm(X, c))


def project_omnidir(X: np.ndarray, c: np.ndarray) -> np.ndarray:
    """m = distort((x, y) / (z + xi |X|)): the unified model with Brown's distortion.

    Parameters
    ----------
    X : (..., 3) float64
    c : (5,) float64
        xi, k1, k2, p1, p2.

    Returns
    -------
    (..., 2) float64
        NaN where |m| does not grow with the angle from the axis, and where the distortion folds or is about to.

    References
    ----------
    Mei and Rives, Single view point omnidirectional camera calibration from planar grids, 2007. OpenCV's module
    omnidir.
    """
    xi, d = c[0], np.linalg.norm(X, axis=-1)
    depth = X[..., 2] + xi * d
    shown = (depth > 0) & (d + xi * X[..., 2] > 0)
    m = X[..., :2] / np.where(shown, depth, 1)[..., None]
    bent = distort(m, c[1:])
    if np.any(c[1:]):
        (k1, k2), q = c[1:3], np.sum(m * m, axis=-1)
        growth = (1 + q * (3 * k1 + q * 5 * k2)) * (1 + q * (k1 + q * k2))
        shown &= (q < fold_radius(c[1:]) ** 2) & (growth > MIN_GROWTH) & (np.abs(bent - m).max(-1) < MAX_BENT)
    return np.where(shown[..., None], bent, np.nan)


def omnidir_ray(m: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the unit directions (..., 3) of m (..., 2): the inverse of `project_omnidir`."""
    xi, y = c[0], undistort(m, np.eye(3), c[1:])
    with np.errstate(invalid="ignore"):
        r2 = np.sum(y * y, axis=-1)
        scale = (xi + np.sqrt(1 + (1 - xi * xi) * r2)) / (1 + r2)
        X = np.concatenate([y * scale[..., None], (scale - xi)[..., None]], axis=-1)
        return _returning(X, m, project_omnidir(X, c))


def project_equirectangular(X: np.ndarray, c: np.ndarray) -> np.ndarray:
    """m = (longitude, latitude), rad: atan2(x, z) and asin(y / |X|); y is down."""
    norm = np.linalg.norm(X, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([np.arctan2(X[..., 0], X[..., 2]), np.arcsin(np.clip(X[..., 1] / norm, -1, 1))], axis=-1)


def equirectangular_ray(m: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the unit directions (..., 3) of (longitude, latitude) in rad, (..., 2)."""
    longitude, latitude = m[..., 0], m[..., 1]
    c_ = np.cos(latitude)
    X = np.stack([c_ * np.sin(longitude), np.sin(latitude), c_ * np.cos(longitude)], axis=-1)
    shown = (np.abs(longitude) <= np.pi + 1e-9) & (np.abs(latitude) <= np.pi / 2 + 1e-9)
    return np.where(shown[..., None], X, np.nan)


def equirectangular_K(size: tuple[float, float]) -> np.ndarray:
    """Return K (3, 3) with fx = width / 2 pi, fy = height / pi: a panorama of the whole sphere, of that size (px)."""
    width, height = size
    return np.array([[width / (2 * np.pi), 0, (width - 1) / 2], [0, height / np.pi, (height - 1) / 2], [0, 0, 1]])


LENSES = {
    "fisheye": LensFunctions(project_fisheye, fisheye_ray, 4),
    "double_sphere": LensFunctions(
        project_double_sphere, double_sphere_ray, 2, (("xi", -1 + TINY_RADIUS, np.inf), ("alpha", 0, 1))
    ),
    "eucm": LensFunctions(project_eucm, eucm_ray, 2, (("alpha", 0, 1), ("beta", TINY_RADIUS, np.inf))),
    "omnidir": LensFunctions(project_omnidir, omnidir_ray, 5, (("xi", 0, np.inf),)),
    "equirectangular": LensFunctions(project_equirectangular, equirectangular_ray, 0),
}


def pixels_from_rays(X: np.ndarray, model: str, K: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """x = K m(X): the pixels (..., 2) of directions X (..., 3); NaN where the lens of `LENSES` shows none."""
    m = LENSES[model].project(np.asarray(X, dtype=float), np.asarray(coefficients, dtype=float))
    return m @ K[:2, :2].T + K[:2, 2]


def rays_from_pixels(x: np.ndarray, model: str, K: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Return the unit directions (..., 3) of pixels (..., 2), the inverse of `pixels_from_rays`; NaN where none is."""
    m = (np.asarray(x, dtype=float) - K[:2, 2]) @ np.linalg.inv(K[:2, :2]).T
    return LENSES[model].ray(m, np.asarray(coefficients, dtype=float))
