"""How far matches of a plane, or nearly of one, are believed about the focal length."""

import numpy as np

from ..geometry.arrays import hom
from ..geometry.camera import undistort
from ..geometry.two_view import fit_homography, homography_errors
from .refine import LENS, LensModel

KEPT = 0.95  # of the matches, those that one homography explains best: a few wrong ones are no relief
KEPT_SQUARE = 0.842  # mean square of the least 95 % of |e| over that of all, e normal in the plane
ROUNDS = 5  # of the fit of the homography to those matches
CERTAIN = 2.0  # standard errors by which relief must exceed the noise
MOST = 1e4
MIN_MATCHES = 16  # twice the numbers of a homography; fewer say nothing of relief


def plane_doubt(p: np.ndarray, x1: np.ndarray, x2: np.ndarray, lens_model: LensModel, sigma: float) -> float:
    """1 + noise^2 / relief^2: by how much less the matches say of the focal length than their Jacobian does.

    A plane says nothing: any epipole goes with its homography (Longuet-Higgins 1986). Noise along the epipolar lines
    looks like relief, and the Jacobian at noisy matches counts it as information. Relief^2 is what the best homography
    leaves above the noise, less two standard errors.

    Parameters
    ----------
    p : (q,) float64
        Of the lens.
    x1, x2 : (n, 2) float64
        Inliers, px about the principal points.
    lens_model : LensModel
        Of p.
    sigma : float
        px, noise.

    Returns
    -------
    float
        From 1 to `MOST`.
    """
    z = lens_model.basis @ p
    u1, u2 = (_ideal(x, z[k : k + LENS], f) for x, k, f in zip((x1, x2), (0, LENS), lens_model.focals, strict=True))
    known = np.isfinite(u1).all(1) & np.isfinite(u2).all(1)
    u1, u2 = u1[known], u2[known]
    if len(u1) < MIN_MATCHES:
        return 1.0
    count = round(KEPT * len(u1))
    best = np.arange(len(u1))
    H = np.eye(3)
    for _ in range(ROUNDS):
        H = fit_homography(u1[best], u2[best])
        best = np.argsort(homography_errors(H, u1, u2), kind="stable")[:count]
    square = float(np.mean(homography_errors(H, u1[best], u2[best]) ** 2)) / KEPT_SQUARE
    noise = 2 * sigma**2 * (1 + _mean_magnification(H, u1[best]) ** 2)
    relief = 2 * (square / max(noise, 1e-300) - 1 - CERTAIN / np.sqrt(len(u1)))  # of its direction alone
    return float(1 + 1 / max(relief, 1 / MOST)) if np.isfinite(relief) else 1.0


def _ideal(x: np.ndarray, lens: np.ndarray, focal: float) -> np.ndarray:
    """The pixels (n, 2) without distortion, about the principal point; lens: five of `LensModel`'s z."""
    K = np.array([[focal, 0, lens[1]], [0, focal, lens[2]], [0, 0, 1]])
    return focal * undistort(x, K, [lens[3], lens[4], 0, 0])


def _mean_magnification(H: np.ndarray, x: np.ndarray) -> float:
    """Root mean square length of the image of a unit step, over the steps and the places x."""
    w = hom(x) @ H[2]
    y = (hom(x) @ H[:2].T) / w[:, None]
    J = (H[:2, :2] - y[..., None] * H[2, :2]) / w[:, None, None]
    return float(np.sqrt(np.mean(J**2) * 2))
