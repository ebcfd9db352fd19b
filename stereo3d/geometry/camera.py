"""Projection and lens distortion of a pinhole camera."""

import numpy as np
from numpy.typing import ArrayLike

COEFFICIENTS = 14  # as OpenCV orders them: k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 tau_x tau_y
TILT = slice(12, 14)  # of these, the tilt of the sensor, rad
MAX_TILT = 1.0  # rad, of each of the two; lens and sensor of Scheimpflug cameras differ by .2
NEWTON_STEP = 1e-6  # of the central differences in `undistort`, normalised coordinates
MAX_NEWTON_STEPS = 20
MAX_MOVE = 0.2  # normalised coordinates a Newton step, so that none leaps over the fold
MIN_DETERMINANT = 0.05  # of the lens's Jacobian; below it the model folds or is about to
CONVERGED = 1e-13  # normalised coordinates
REACHED = 1e-9  # normalised coordinates by which `undistort` may miss


def scale_K(K: ArrayLike, sx: float, sy: float | None = None) -> np.ndarray:
    """K of the picture resized by sx, sy: x -> (x + 1/2) s - 1/2. (3, 3) -> (3, 3)."""
    sy = sx if sy is None else sy
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]]) @ np.asarray(K, dtype=float)


def project(
    X: ArrayLike,
    K: np.ndarray,
    R: ArrayLike | None = None,
    t: ArrayLike | None = None,
    dist: ArrayLike | None = None,
) -> np.ndarray:
    """x ~ K distort(R X + t).

    Parameters
    ----------
    X : (..., 3) float64
        Points. In the camera's plane or behind it they give what the formula gives (no sign check).
    K : (3, 3) float64
        Camera matrix, px.
    R, t : (3, 3), (3,) float64, optional
        Pose; without it X is in the frame of the camera.
    dist : array, optional
        As in `distort`.

    Returns
    -------
    (..., 2) float64
        px.
    """
    X = np.asarray(X, dtype=float)
    if R is not None:
        X = X @ np.asarray(R, dtype=float).T
    if t is not None:
        X = X + np.asarray(t, dtype=float).reshape(3)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        x = X[..., :2] / X[..., 2:]
        return distort(x, dist) @ K[:2, :2].T + K[:2, 2]


def lens_coefficients(dist: ArrayLike | None) -> np.ndarray:
    """Return the coefficients k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 tau_x tau_y, those not given being zero.

    Parameters
    ----------
    dist : array, optional
        In OpenCV's order, of any shape: 0, 1 or 2 (k1, k2), 4, 5, 8, 12 or 14 numbers; of 14 the last two are the tilt
        of the sensor, rad.

    Returns
    -------
    (14,) float64

    Raises
    ------
    ValueError
        For another number of coefficients, or a tilt beyond `MAX_TILT`.
    """
    k = np.zeros(0) if dist is None else np.asarray(dist, dtype=float).ravel()
    if len(k) not in (0, 1, 2, 4, 5, 8, 12, COEFFICIENTS):
        raise ValueError(f"a lens has 4, 5, 8, 12 or 14 distortion coefficients, got {len(k)}")
    if np.abs(k[TILT]).max(initial=0) > MAX_TILT:
        raise ValueError(
            f"a tilt of the sensor (coefficients 13 and 14) of {k[12]:g} and {k[13]:g} rad; {MAX_TILT:g} is the most"
        )
    return np.pad(k, (0, COEFFICIENTS - len(k)))


def tilt_rotation(dist: ArrayLike | None) -> np.ndarray:
    """R = R_y(tau_y) R_x(tau_x) (3, 3) of a tilted sensor, as OpenCV turns it."""
    a, b = lens_coefficients(dist)[TILT]
    Rx = np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]])
    return np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]]) @ Rx


def tilt_homography(dist: ArrayLike | None) -> np.ndarray:
    """T (3, 3) of a tilted sensor: distorted coordinates (x, y, 1) on the plane across the axis -> on the sensor.

    With R = R_y(tau_y) R_x(tau_x), T = [R_22 0 -R_02; 0 R_22 -R_12; 0 0 1] R.

    References
    ----------
    Louhichi, Fournel, Lavest and Ben Aissia, Self-calibration of Scheimpflug cameras: an easy protocol, 2007. OpenCV's
    documentation of calib3d.
    """
    R = tilt_rotation(dist)
    return np.array([[R[2, 2], 0, -R[0, 2]], [0, R[2, 2], -R[1, 2]], [0, 0, 1]]) @ R


def untilted(x: ArrayLike, K: np.ndarray, dist: ArrayLike | None) -> np.ndarray:
    """K T^-1 K^-1 x: photo pixels (..., 2) as the same lens shows them on a sensor across its axis."""
    x = np.asarray(x, dtype=float)
    if not np.any(lens_coefficients(dist)[TILT]):
        return x
    return _mapped(K @ np.linalg.inv(tilt_homography(dist)) @ np.linalg.inv(K), x)


def _mapped(H: np.ndarray, x: np.ndarray) -> np.ndarray:
    """H x of points (..., 2); NaN beyond the line that H sends to infinity."""
    X = x @ H[:, :2].T + H[:, 2]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return X[..., :2] / np.where(X[..., 2:] > 0, X[..., 2:], np.nan)


def distort(x: ArrayLike, dist: ArrayLike | None = None) -> np.ndarray:
    """x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6) + tangential p1, p2 + thin prism s1..s4.

    Of a tilted sensor, T x' (`tilt_homography`).

    Parameters
    ----------
    x : (..., 2) float64
        Normalised image coordinates.
    dist : array, optional
        k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 tau_x tau_y, as in `lens_coefficients`.

    Returns
    -------
    (..., 2) float64
        Normalised image coordinates.

    References
    ----------
    Brown, Close-range camera calibration, 1971. OpenCV's documentation of calib3d.
    """
    x = np.asarray(x, dtype=float)
    coefficients = lens_coefficients(dist)
    if not coefficients.any():
        return x
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = coefficients[:12]
    u, v = x[..., 0], x[..., 1]
    r2 = u * u + v * v
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    du = 2 * p1 * u * v + p2 * (r2 + 2 * u * u) + r2 * (s1 + r2 * s2)
    dv = p1 * (r2 + 2 * v * v) + 2 * p2 * u * v + r2 * (s3 + r2 * s4)
    bent = np.stack([u * radial + du, v * radial + dv], -1)
    return _mapped(tilt_homography(coefficients), bent) if coefficients[TILT].any() else bent


def undistort(x: ArrayLike, K: np.ndarray, dist: ArrayLike | None = None) -> np.ndarray:
    """y with x = K distort(y), the inverse of the projection of rays, by Newton's method.

    Parameters
    ----------
    x : (..., 2) float64
        Photo pixels.
    K : (3, 3) float64
        Camera matrix, px.
    dist : array, optional
        As in `distort`; its Jacobian is taken by central differences.

    Returns
    -------
    (..., 2) float64
        Normalised image coordinates. NaN for pixels that the model reaches only from beyond its fold (`fold_radius`,
        far outside the calibrated field) or not at all.
    """
    x = untilted(x, K, dist)
    target = (x - K[:2, 2]) @ np.linalg.inv(K[:2, :2]).T
    lens = lens_coefficients(dist)
    lens[TILT] = 0
    if not lens.any():
        return target
    y = target.copy()
    h = NEWTON_STEP
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):  # of pixels that no lens shows
        for _ in range(MAX_NEWTON_STEPS):
            e = distort(y, lens) - target
            gu = (distort(y + [h, 0], lens) - distort(y - [h, 0], lens)) / (2 * h)
            gv = (distort(y + [0, h], lens) - distort(y - [0, h], lens)) / (2 * h)
            det = gu[..., 0] * gv[..., 1] - gv[..., 0] * gu[..., 1]
            det = np.where(np.abs(det) < MIN_DETERMINANT, np.nan, det)
            step = np.stack(
                [gv[..., 1] * e[..., 0] - gv[..., 0] * e[..., 1], gu[..., 0] * e[..., 1] - gu[..., 1] * e[..., 0]], -1
            )
            y = y - np.clip(step / det[..., None], -MAX_MOVE, MAX_MOVE)
            if np.nanmax(np.abs(e), initial=0) < CONVERGED:
                break
        reached = np.abs(distort(y, lens) - target).max(-1) <= REACHED
        y[~reached | (np.sum(y * y, -1) > fold_radius(lens) ** 2)] = np.nan
    return y


def fold_radius(dist: ArrayLike | None) -> float:
    """r > 0 at which d/dr [r N(r^2) / D(r^2)] first vanishes: beyond it the radial model is not one to one.

    Parameters
    ----------
    dist : array
        As in `distort`; N and D are its two radial polynomials.

    Returns
    -------
    float
        Normalised image coordinates; inf where the model never folds.
    """
    k1, k2, _, _, k3, k4, k5, k6 = lens_coefficients(dist)[:8]
    N, D = np.poly1d([k3, k2, k1, 1.0]), np.poly1d([k6, k5, k4, 1.0])
    rise = N * D + np.poly1d([2.0, 0.0]) * (N.deriv() * D - N * D.deriv())  # in q = r^2, times D^2
    q = np.concatenate([rise.roots, D.roots])
    q = np.real(q)[(np.abs(np.imag(q)) < 1e-9 * np.abs(q)) & (np.real(q) > 0)]
    return float(np.sqrt(q.min())) if len(q) else np.inf


def ideal_pixels(x: ArrayLike, K: np.ndarray, dist: ArrayLike | None = None) -> np.ndarray:
    """K undistort(x): photo pixels (..., 2) with the lens distortion taken out."""
    return undistort(x, K, dist) @ K[:2, :2].T + K[:2, 2]
