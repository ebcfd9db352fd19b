"""A slow drift of the rows, measured and corrected."""

from collections.abc import Callable
from typing import cast

import numpy as np

from ..geometry.arrays import hom
from ..geometry.camera import undistort
from ..geometry.robust import huber_fit
from ..geometry.two_view import essential_from_pose
from ..records import Drift, TwoView
from .canvas import Inliers

DEGREES = 3, 5  # of the polynomials: the first two radial terms of a lens
MIN_PER_COEFFICIENT = 20  # matches
MIN_DRIFT = 0.03  # px at matching size: the precision of feature matches; a smaller gain is none


def fit_drift(view: TwoView, inlier_x: Inliers, scale: float) -> tuple[Callable | None, Drift]:
    """r = D(y2) . n(y2): the systematic distance of matches from their epipolar lines in photo 2, fitted robustly.

    D: a vector of polynomials of one of `DEGREES`; n: the unit normal of the epipolar line; r: the signed distance to
    it. The fit uses Huber's weights. It is kept if matches in parts of the picture that were left out of the fit come
    nearer to their lines by a fifth, and by MIN_DRIFT px at matching size: nearer than without it, and with the higher
    degree nearer than with the lower one.

    Parameters
    ----------
    view : TwoView
        Cameras and pose.
    inlier_x : (N, 2) float64, twice
        Inliers, photo px.
    scale : float
        Matching size over photo size.

    Returns
    -------
    bend : callable or None
        For `photo_map`: offset of normalised image coordinates of photo 2; None where the fit is not kept.
    drift : Drift
        Medians of |r| before and after, and the largest bend, px at matching size; empty where the fit is not kept.
    """
    y1, y2 = (undistort(x, c.K, c.dist) for x, c in zip(inlier_x, (view.rig.cam1, view.rig.cam2), strict=True))
    known = np.isfinite(y1).all(1) & np.isfinite(y2).all(1)
    y1, y2 = y1[known], y2[known]
    if len(y1) < MIN_PER_COEFFICIENT * _coefficients(DEGREES[0]):
        return None, cast(Drift, {})
    px = scale * view.rig.cam2.focal
    radius = np.abs(y2).max()
    line = hom(y1) @ essential_from_pose(view.R, view.t).T
    n = _epipolar_normals(y2, view.t)
    # along n, from the line to the match
    r = px * (line * hom(y2)).sum(1) / np.maximum(np.linalg.norm(line[:, :2], axis=1), 1e-300)
    r *= np.sign((line[:, :2] * n).sum(1))

    def powers(y: np.ndarray, degree: int) -> np.ndarray:
        a, b = y[..., 0] / radius, y[..., 1] / radius
        return np.stack([a**i * b**j for i in range(degree + 1) for j in range(degree + 1 - i)], -1)

    def terms(degree: int) -> np.ndarray:
        p = powers(y2, degree)
        return np.concatenate([p * n[..., :1], p * n[..., 1:]], -1)

    cell = np.floor(4 * y2 / radius).astype(int)
    before = after = float(np.median(np.abs(r)))
    kept = 0  # degree
    for degree in DEGREES:
        if len(y1) < MIN_PER_COEFFICIENT * _coefficients(degree):
            break
        left = float(np.median(np.abs(_cross_validated(terms(degree), r, cell))))
        if left <= min(0.8 * after, after - MIN_DRIFT):
            kept, after = degree, left
    if not kept:
        return None, cast(Drift, {})
    B = terms(kept)
    c = huber_fit(B, r)
    largest = float(np.quantile(np.abs(B @ c), 0.995))  # bounds the polynomial beyond the matches

    def bend(y: np.ndarray) -> np.ndarray:
        n = _epipolar_normals(y, view.t)
        along_n = (powers(y, kept) @ c.reshape(2, -1).T * n).sum(-1)
        return np.clip(along_n, -largest, largest)[..., None] * n / px

    return bend, {"before_px": before, "after_px": after, "largest_px": largest}


def _coefficients(degree: int) -> int:
    """Number of coefficients of a vector of two polynomials of two variables."""
    return (degree + 1) * (degree + 2)


def _cross_validated(B: np.ndarray, r: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Residuals (N,) of a Huber fit of r by B c, each from a fit without the fold of its cell (N,2).

    The cells of a fold do not touch each other: neighbouring matches share their errors.
    """
    fold = (cell[:, 0] + 3 * cell[:, 1]) % 5
    residual = r.copy()
    for k in range(5):
        residual[fold == k] -= B[fold == k] @ huber_fit(B[fold != k], r[fold != k])
    return residual


def _epipolar_normals(y: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Unit normals (..., 2) at y (..., 2) of the lines through y and the epipole, normalised coordinates of photo 2."""
    along = y * t[2] - t[:2]
    return np.stack([-along[..., 1], along[..., 0]], -1) / np.maximum(
        np.linalg.norm(along, axis=-1, keepdims=True), 1e-12
    )
