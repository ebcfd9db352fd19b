"""Least squares over relative poses: steps of rotation and direction, derivatives by central differences."""

from dataclasses import dataclass

import numpy as np

from ..geometry.least_squares import State, damped_step
from ..geometry.rotations import rotation_from_vector

STEP = 1e-6  # rad, of the central differences


@dataclass(frozen=True, eq=False)
class MotionProblem:
    """min over R, t of the cost of residuals r (B, N): the problem of `geometry.least_squares` for B poses.

    A subclass states `residuals`, `weights` and `cost`.

    Attributes
    ----------
    d1, d2 : (N, 2) or (N, 3) float64
        Normalised camera coordinates, or unit rays.
    """

    d1: np.ndarray
    d2: np.ndarray
    max_step = 0.5  # rad, of one step; a subclass may allow less

    def residuals(self, R: np.ndarray, t: np.ndarray) -> np.ndarray:
        """(B, ..., N) of poses R (B, ..., 3, 3), t (B, ..., 3)."""
        raise NotImplementedError

    def weights(self, r: np.ndarray) -> np.ndarray:
        """The weight of each residual, in the shape of r."""
        raise NotImplementedError

    def cost(self, r: np.ndarray) -> np.ndarray:
        """The cost (B,) of residuals (B, N)."""
        raise NotImplementedError

    def evaluate(self, state: State) -> tuple[np.ndarray]:
        """Return the residuals."""
        return (self.residuals(*state),)

    def improves(self, new: State, old: State) -> np.ndarray:
        """Return whether each pose's cost is less than before."""
        return self.cost(new[0]) < self.cost(old[0])

    def jacobian(self, state: State) -> np.ndarray:
        """dr / d(w, s) (B, N, 5), (w, s) as in `moved_poses`."""
        R, t = state
        directions = np.broadcast_to(np.eye(5), (len(R), 5, 5))
        plus, minus = (self.residuals(*moved_poses(R, t, s * STEP * directions)) for s in (1, -1))
        return np.swapaxes(plus - minus, 1, 2) / (2 * STEP)

    def linearise(self, state: State, values: State) -> tuple[np.ndarray, np.ndarray, None]:
        """Return J^T W J (B, 5, 5) and J^T W r (B, 5)."""
        (r,), J = values, self.jacobian(state)
        w = self.weights(r)
        return np.einsum("bni,bn,bnj->bij", J, w, J), np.einsum("bni,bn,bn->bi", J, w, r), None

    def solve(self, A: np.ndarray, b: np.ndarray, damping: np.ndarray) -> np.ndarray:
        """Return the damped steps (B, 5)."""
        return damped_step(A, b, damping, 1e-12)

    def move(self, state: State, step: np.ndarray, frame: None) -> tuple[State, np.ndarray]:
        """Return the poses after their steps, cut to `max_step`, and the steps."""
        length = np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-12)
        step = step * np.minimum(1, self.max_step / length)
        R, t = state
        return moved_poses(R, t, step), step


def tangents_of(t: np.ndarray) -> np.ndarray:
    """Orthonormal bases (B, 2, 3) across unit vectors t (B, 3)."""
    return np.linalg.svd(t[:, None])[2][:, 1:]


def moved_poses(R: np.ndarray, t: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """exp([w]x) R, t + s tangents (normalised), p = (w, s) (B, ..., 5), of B motions R (B, 3, 3), t (B, 3)."""
    tangents = tangents_of(t)
    R, t = (a.reshape(a.shape[:1] + (1,) * (p.ndim - 2) + a.shape[1:]) for a in (R, t))
    t = t + np.einsum("b...k,bki->b...i", p[..., 3:], tangents)
    return rotation_from_vector(p[..., :3]) @ R, t / np.linalg.norm(t, axis=-1, keepdims=True)
