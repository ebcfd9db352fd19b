"""Poses of boards before a camera of any model: a linear start from rays, and least squares."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...geometry.arrays import skew
from ...geometry.camera import project
from ...geometry.least_squares import Schedule, State, minimise
from ...geometry.rotations import enforce_rotation, rotation_from_vector
from ...records import Camera

SLOPE_STEP = 1e-6  # of the central differences of a projection / distance of the point
SCHEDULE = Schedule(damping=1e-3, max_steps=40, tolerance=1e-10, hopeless=1e10)
Projection = Callable[[np.ndarray], np.ndarray]  # X (..., 3) in the frame of the camera -> px (..., 2); NaN: not shown


def camera_pixels(camera: Camera, X: np.ndarray) -> np.ndarray:
    """Return the pixels (..., 2) of points X (..., 3) in the frame of a camera of any model.

    NaN behind a pinhole, and where a wide lens shows nothing. Beyond a fold of Brown's distortion what the formula
    gives: a fit passes such lenses on its way, and corners at the rim of a lens may lie there
    (`Camera.pixels_from_rays` has NaN there).
    """
    if camera.lens is not None:
        return camera.pixels_from_rays(X)
    return np.where(X[..., 2:] > 0, project(X, camera.K, dist=camera.dist), np.nan)


def pose_of_rays(rays: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return R (3, 3), t (3,) with rays ~ R X + t for points of a plane z = 0, linearly.

    Parameters
    ----------
    rays : (N, 3) float64
        Unit directions, of any angle from the axis; rows of NaN are left out.
    points : (N, 3) float64

    Returns
    -------
    R, t
        NaN where fewer than 4 rays are left.

    References
    ----------
    Zhang 2000 for the plane's homography, here of rays: d x (H X) = 0 has no division by a depth.
    """
    known = np.isfinite(rays).all(1)
    d, plane = rays[known], points[known, :2]
    if len(d) < 4:
        return np.full((3, 3), np.nan), np.full(3, np.nan)
    middle, size = plane.mean(0), max(float(np.ptp(plane, axis=0).max()), 1e-300)
    p = np.column_stack([(plane - middle) / size, np.ones(len(d))])
    rows = (skew(d)[:, :, :, None] * p[:, None, None, :]).reshape(-1, 9)
    H = np.linalg.eigh(rows.T @ rows)[1][:, 0].reshape(3, 3)
    H *= np.sign(np.sum(d * (p @ H.T))) or 1.0
    scale = 0.5 * (np.linalg.norm(H[:, 0]) + np.linalg.norm(H[:, 1]))
    h1, h2 = H[:, 0] / scale, H[:, 1] / scale
    R = enforce_rotation(np.column_stack([h1, h2, np.cross(h1, h2)]))
    return R, H[:, 2] / scale * size - R[:, :2] @ middle


@dataclass(frozen=True, eq=False)
class PoseProblem:
    """Corners of M boards as a problem of `minimise`: each board's pose is a start of its own.

    Attributes
    ----------
    points : (M, N, 3) float64
    x : (M, N, 2) float64
        px.
    weight : (M, N) float64
        1, or 0 for rows that only fill up.
    projection : Projection
    """

    points: np.ndarray
    x: np.ndarray
    weight: np.ndarray
    projection: Projection

    def evaluate(self, state: State) -> tuple[np.ndarray, ...]:
        """Return residuals (M, 2N), their sums of squares (M, 1), the points in the frame of the camera."""
        R, t = state
        X = self.points @ np.swapaxes(R, 1, 2) + t[:, None]
        r = np.where(self.weight[..., None] > 0, self.projection(X) - self.x, 0.0)
        squares = np.sum(r * r, axis=(1, 2))
        return r.reshape(len(r), -1), np.where(np.isfinite(squares), squares, np.inf)[:, None], X

    def improves(self, new: tuple[np.ndarray, ...], old: tuple[np.ndarray, ...]) -> np.ndarray:
        """Return (M,) bool: the sum of squares is smaller."""
        return new[1][:, 0] < old[1][:, 0]

    def linearise(self, state: State, values: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray, None]:
        """Return J^T J (M, 6, 6) and J^T r (M, 6)."""
        X = values[2]
        J = pose_jacobian(projection_slope(self.projection, X), X - state[1][:, None])
        J = np.where(self.weight[..., None, None] > 0, np.nan_to_num(J), 0.0)
        r = np.nan_to_num(values[0]).reshape(*X.shape[:2], 2)
        return np.einsum("mnik,mnil->mkl", J, J), np.einsum("mnik,mni->mk", J, r), None

    def solve(self, A: np.ndarray, b: np.ndarray, damping: np.ndarray) -> np.ndarray:
        """Return -(A + damping diag(A))^-1 b."""
        diagonal = np.einsum("mii->mi", A)
        floor = 1e-12 * diagonal.max(1, keepdims=True) + 1e-300
        D = (damping[:, None] * diagonal + floor)[:, :, None] * np.eye(A.shape[-1])
        return -np.linalg.solve(A + D, b[..., None])[..., 0]

    def move(self, state: State, step: np.ndarray, frame: None) -> tuple[State, np.ndarray]:
        """Return R' = exp(w) R, t' = t + v for steps (w, v), and the relative change."""
        R, t = state
        new = rotation_from_vector(step[:, :3]) @ R, t + step[:, 3:]
        return new, np.concatenate([step[:, :3], step[:, 3:] / np.linalg.norm(t, axis=1, keepdims=True)], 1)


def pose_problem(camera: Camera, boards: list[tuple[np.ndarray, np.ndarray]]) -> PoseProblem:
    """Return the problem of the poses of several boards before a camera.

    Parameters
    ----------
    camera : Camera
    boards : list of (points (N, 3), x (N, 2))
        Board points and their pixels, of any number each.
    """
    shape = len(boards), max(len(x) for _, x in boards)
    points, x, weight = np.zeros((*shape, 3)), np.zeros((*shape, 2)), np.zeros(shape)
    for m, (X, pixels) in enumerate(boards):
        points[m] = X[0]
        points[m, : len(X)], x[m, : len(X)], weight[m, : len(X)] = X, pixels, 1
    return PoseProblem(points, x, weight, lambda X: camera_pixels(camera, X))


def fit_poses(problem: PoseProblem, starts: State) -> State:
    """Minimise sum |x - pixels(R X + t)|^2 over the pose R (M, 3, 3), t (M, 3) of each board, the camera fixed."""
    return minimise(problem, starts, SCHEDULE).state


def pose_errors(problem: PoseProblem, poses: State) -> np.ndarray:
    """Return the rms distance, px, of the corners of each board (M,); inf where the camera does not show all of it."""
    return np.sqrt(problem.evaluate(poses)[1][:, 0] / problem.weight.sum(1))


def projection_slope(projection: Projection, X: np.ndarray) -> np.ndarray:
    """dx/dX (..., 2, 3) of a projection at X (..., 3), by central differences."""
    h = SLOPE_STEP * np.linalg.norm(X, axis=-1, keepdims=True)
    sides = [(projection(X + h * e) - projection(X - h * e)) / (2 * h) for e in np.eye(3)]
    return np.stack(sides, -1)


def pose_jacobian(by_X: np.ndarray, rotated: np.ndarray) -> np.ndarray:
    """(..., 2, 6): derivatives of pixels by (w, v) with X = exp(w) rotated + t + v; by_X: dx/dX (..., 2, 3)."""
    return np.concatenate([-by_X @ skew(rotated), by_X], axis=-1)
