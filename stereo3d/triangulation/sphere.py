"""Points of a pair that is rectified over the sphere: triangles of the baseline and two angles from it."""

import numpy as np

from ..records import SphereGrid, TwoView

MAX_RELATIVE_SIGMA = 0.5  # of the distance; above it nothing is known


def points_on_sphere(
    rows: np.ndarray, columns: np.ndarray, disparity: np.ndarray, grid: SphereGrid, view: TwoView
) -> tuple[np.ndarray, np.ndarray]:
    """r1 = b sin(p2) / sin(p2 - p1), |dr1/dp2| = b sin(p1) / sin(p2 - p1)^2: points and their change per px.

    Parameters
    ----------
    rows, columns, disparity : (N,) int, float, float
        px of the first rectified picture; columns may be fractional.
    grid : SphereGrid
    view : TwoView
        Its t gives the baseline b.

    Returns
    -------
    points : (N, 3) float64
        Frame of camera 1, units of t; NaN where the rays do not meet: disparities of 0 or less.
    change : (N,) float64
        Distance along the ray for one px of disparity.
    """
    p1 = grid.column_angles(columns)
    apart = grid.pitch * np.asarray(disparity, dtype=float)
    baseline = float(np.linalg.norm(view.t))
    with np.errstate(invalid="ignore", divide="ignore"):
        meets = (apart > 0) & (p1 + apart < np.pi)
        sine = np.where(meets, np.sin(apart), np.nan)
        distance = baseline * np.sin(p1 + apart) / sine
        change = baseline * np.sin(p1) / sine**2 * grid.pitch
    X = grid.directions(rows, columns) @ grid.rect_from_cam[0]
    return X * distance[:, None], change


def triangulate_on_sphere(
    disparity: np.ndarray, match_sigma: np.ndarray, grid: SphereGrid, view: TwoView
) -> tuple[np.ndarray, np.ndarray]:
    """Return points (H, W, 3) float64 and sigma (H, W) float32 of a disparity map and its sigma, (H, W) px.

    NaN where the disparity is unknown, where the rays do not meet, or where sigma is half the distance or more.
    """
    points = np.full((*disparity.shape, 3), np.nan)
    sigma = np.full(disparity.shape, np.nan, np.float32)
    rows, columns = np.nonzero(np.isfinite(disparity))
    X, change = points_on_sphere(rows, columns, disparity[rows, columns], grid, view)
    s = change * match_sigma[rows, columns]
    with np.errstate(invalid="ignore"):
        s[~(s < MAX_RELATIVE_SIGMA * np.linalg.norm(X, axis=1))] = np.nan
    X[np.isnan(s)] = np.nan
    points[rows, columns], sigma[rows, columns] = X, s
    return points, sigma
