"""What the uncertainty of a nominal rig means for depth."""

import numpy as np

from ..geometry.arrays import hom, norms
from ..geometry.camera import undistort
from ..geometry.rotations import rotation_from_vector
from ..geometry.two_view import intersect_rays
from ..records import Camera, TwoView
from .nominal import LENS, PARAMETERS, POSE, rig_covariance

STEP = 1e-4  # rad, or relative, of the differences
CHUNK_POINTS = 200_000  # points at a time


def nominal_sigma(X: np.ndarray, x1: np.ndarray, x2: np.ndarray, view: TwoView) -> np.ndarray:
    """sqrt(J C J^T): standard deviation along the rays that the errors of a refined nominal rig cause.

    Parameters
    ----------
    X : (N, 3) float64
        Points in the frame of camera 1.
    x1, x2 : (n, 2) float64
        Inliers, photo px.
    view : TwoView
        The estimate; `view.rig.error` is that of the rig as given. Its pixels and |t| are held fixed. Where its rig has
        no unit, what scales all points alike does not count.

    Returns
    -------
    (N,) float64
        Units of X.
    """
    C = rig_covariance(x1, x2, view.rig)
    common = np.zeros(PARAMETERS)
    if view.rig.unit is None and len(X):
        common = np.nanmedian(_relative_changes(X[:: 1 + len(X) // CHUNK_POINTS], view), axis=0)
    out = np.empty(len(X))
    for first in range(0, len(X), CHUNK_POINTS):
        chunk = slice(first, first + CHUNK_POINTS)
        J = _relative_changes(X[chunk], view) - common
        out[chunk] = np.sqrt(np.einsum("na,ab,nb->n", J, C, J)) * norms(X[chunk])
    return out


def relative_depth_sigma(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> float:
    """Return the median of `nominal_sigma` over distance, at the inliers x1, x2 (n, 2), photo px."""
    y1, y2 = (undistort(x, c.K, c.dist) for x, c in ((x1, view.rig.cam1), (x2, view.rig.cam2)))
    z = intersect_rays(hom(y1), hom(y2), view.R, view.t)
    X = (hom(y1) * z[:, None])[z > 0]
    return float(np.median(nominal_sigma(X, x1, x2, view) / norms(X))) if len(X) else np.inf


def _relative_changes(X: np.ndarray, view: TwoView) -> np.ndarray:
    """(N, 13): d(ln z) of points X (N, 3) by the parameters of `nominal.moved_rig`; distortion to first order."""
    rays = X / X[:, 2:], X @ view.R.T + view.t
    rays = rays[0], rays[1] / rays[1][:, 2:]
    out = np.empty((len(X), PARAMETERS))
    length = np.linalg.norm(view.t)
    tangents = np.linalg.svd(view.t[None])[2][1:]
    for k, step in enumerate(STEP * np.eye(PARAMETERS)[:POSE]):
        t = view.t / length + step[3:POSE] @ tangents
        z = intersect_rays(*rays, rotation_from_vector(step[:3]) @ view.R, length * t / np.linalg.norm(t))
        out[:, k] = (z / X[:, 2] - 1) / STEP
    for side, camera in enumerate((view.rig.cam1, view.rig.cam2)):
        for k, (move, unit) in enumerate(_ray_moves(rays[side], camera)):
            moved = list(rays)
            moved[side] = rays[side] + STEP * move
            z = intersect_rays(moved[0], moved[1], view.R, view.t)
            out[:, POSE + side * LENS + k] = (z / X[:, 2] - 1) / STEP / unit
    return out


def _ray_moves(y: np.ndarray, camera: Camera) -> list[tuple[np.ndarray, float]]:
    """By what log focal, centre x, y and k1 move rays y (N, 3), and by how much of each: (move, amount)."""
    plane = y * [1.0, 1.0, 0.0]
    return [
        (-plane, 1.0),
        (np.array([-1.0, 0, 0]), camera.K[0, 0]),
        (np.array([0, -1.0, 0]), camera.K[1, 1]),
        (-plane * np.sum(plane**2, axis=1, keepdims=True), 1.0),
    ]
