"""The canvas of a rectified pair: outline, orientation, overlap."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import StereoError
from ..geometry.arrays import hom
from ..geometry.camera import undistort
from ..records import Camera, Rig

Inliers = tuple[np.ndarray, np.ndarray]  # (x1, x2), (N,2) each: photo pixels of inlier matches
Cameras = tuple[Camera, Camera]
Rotations = tuple[np.ndarray, np.ndarray]  # rect_from_cam1, rect_from_cam2: (3,3) each
Interval = tuple[float, float]  # first, last
FOLD_STEPS = 16  # of the bisection: a 65,000th of the distance from the principal point
MIN_OVERLAP = 16  # canvas px of common rows or columns; also the smallest margin of a range of columns


@dataclass(frozen=True, eq=False)
class Canvas:
    """The viewing directions of the pixels of the two rectified pictures.

    Parameters
    ----------
    kind : str
        "planar" or "polar".
    size : (width, height)
        px.
    density : float
        Canvas pixels for each of a median photo pixel at matching size, along a side, at most 1.
    rays : two callables
        For either photo a function of row numbers (h,1) that gives the three components, (h,1) or (w,) or (h,w), of
        the pixels' directions in the common orientation.
    epipole_columns : (float, float), optional
        Column of the epipole in either picture, kind "polar" only.
    """

    kind: str
    size: tuple[int, int]
    density: float
    rays: tuple[Callable, Callable]
    epipole_columns: tuple[float, float] | None = None


def photo_outline(camera: Camera, rect_from_cam: np.ndarray, steps: int = 33) -> np.ndarray | None:
    """The photo's border in the common orientation, (u, v) at focal 1; None where a part is behind the plane."""
    X = rect_directions(camera, rect_from_cam, photo_border(camera, steps))
    if (X[:, 2] < 0.02 * np.linalg.norm(X, axis=1)).any():
        return None
    return X[:, :2] / X[:, 2:]


def photo_border(camera: Camera, steps: int) -> np.ndarray:
    """Pixels (4 steps, 2) all along the photo's border; where a lens folds inside the photo, along the fold."""
    s = np.linspace(0, 1, steps)
    low, high = np.zeros(steps), np.ones(steps)
    sides = (s, low), (high, s), (1 - s, high), (low, 1 - s)
    border = np.concatenate([np.stack(side, 1) for side in sides]) * camera.size - 0.5
    return _within_fold(camera, border)


def _within_fold(camera: Camera, x: np.ndarray) -> np.ndarray:
    """Pixels (N, 2), those that the lens model does not reach moved towards the principal point until it does."""
    beyond = ~np.isfinite(undistort(x, camera.K, camera.dist)).all(1)
    if not beyond.any():
        return x
    centre, out = camera.K[:2, 2], x.copy()
    lo, hi = np.zeros(beyond.sum()), np.ones(beyond.sum())
    for _ in range(FOLD_STEPS):
        middle = (lo + hi) / 2
        tried = centre + middle[:, None] * (x[beyond] - centre)
        reached = np.isfinite(undistort(tried, camera.K, camera.dist)).all(1)
        lo, hi = np.where(reached, middle, lo), np.where(reached, hi, middle)
    out[beyond] = centre + lo[:, None] * (x[beyond] - centre)
    return out


def rect_directions(camera: Camera, rect_from_cam: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Directions (M,3) in the common orientation of the photo pixels (N,2) that the lens model reaches."""
    y = undistort(x, camera.K, camera.dist)
    return hom(y[np.isfinite(y).all(1)]) @ rect_from_cam.T


def no_common_row() -> StereoError:
    """Return the error of photos without a common row."""
    return StereoError(
        "no_overlap",
        "after rectification the photos have no row in common.",
        "The estimated camera motion is not right, or the photos barely overlap.",
    )


def widened_range(d: np.ndarray, focal: float) -> tuple[float, float]:
    """Robust smallest and largest disparity of the inliers, with a margin for surfaces without features. Focal 1."""
    low, high = np.quantile(d, [0.005, 0.995])
    margin = 0.25 * (high - low) + MIN_OVERLAP / focal
    return low - margin, high + margin


def matchable_columns(left: Interval, right: Interval, d_range: Interval) -> tuple[Interval, Interval]:
    """The columns of either photo whose match can lie in the other one: u2 = u1 - d."""
    (a, b), (c, d), (low, high) = left, right, d_range
    return (max(a, c + low), min(b, d + high)), (max(c, a - high), min(d, b - low))


def inlier_disparities(inlier_x: Inliers, rig: Rig, rotations: Rotations, column: Callable) -> np.ndarray:
    """Finite u1 - u2 of matches (x1, x2), u = column(directions in the common orientation)."""
    u = []
    for x, camera, Q in zip(inlier_x, (rig.cam1, rig.cam2), rotations, strict=True):
        u.append(column(hom(undistort(x, camera.K, camera.dist)) @ Q.T))
    d = u[0] - u[1]
    return d[np.isfinite(d)]
