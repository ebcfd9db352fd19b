"""Smooth errors of the pictures: what bends the epipolar lines, and how far it may have turned the cameras."""

import numpy as np

from ..geometry.robust import huber_fit
from ..records import TwoView
from .held_out import held_out_residuals
from .refine import centred_pixels
from .uncertainty import residuals_at_estimate

# Pictures are bent where a smooth correction leaves at most this share of the residuals of matches in regions that took
# no part in it: the rule by which `rectification.drift` keeps its correction.
BENT_SHARE = 0.8
BENT_CELLS = 8  # regions a side, as there
MIN_MATCHES = 400  # as there: forty for each coefficient


def smooth_error(r: np.ndarray, x: np.ndarray) -> float:
    """Return 1.4826 median |c(x)|, c the cubic polynomial nearest to the residuals; 0 where it is not confirmed.

    It is confirmed where matches in regions that took no part in its fit lose a fifth of their residuals.

    Parameters
    ----------
    r : (N,) float64
        Signed residuals, px.
    x : (N, 2) float64
        Where the matches are, px about the middle of their photo.

    Returns
    -------
    float
        px.
    """
    if len(r) < MIN_MATCHES:
        return 0.0
    a, b = (x / np.abs(x).max()).T
    B = np.stack([a**i * b**j for i in range(4) for j in range(4 - i)], -1)
    left = held_out_residuals(lambda used: r - B @ huber_fit(B[used], r[used]), x, BENT_CELLS)
    if not np.median(np.abs(left)) < BENT_SHARE * np.median(np.abs(r)):
        return 0.0
    return 1.4826 * float(np.median(np.abs(B @ huber_fit(B, r))))


def bend_covariance(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> tuple[np.ndarray, np.ndarray, float]:
    """E^2 (J^T J / N)^-1: covariance of the pose by a smooth error E of the pictures, which counts as one observation.

    However many matches there are, they share it: it may have feigned a motion that moves them by as much.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        Inliers, photo px.
    view : TwoView
        The estimate.

    Returns
    -------
    covariance, tangents, error : (5, 5), (2, 3) float64, float
        As `pose_covariance` returns them, and E (`smooth_error`), px; zeros where the pictures are not bent.
    """
    r, J, tangents = residuals_at_estimate(x1, x2, view)
    error = smooth_error(r, centred_pixels(x1, x2, view.rig)[0])
    if error == 0:
        return np.zeros((5, 5)), tangents, 0.0
    return error**2 * len(J) * np.linalg.pinv(J.T @ J), tangents, error
