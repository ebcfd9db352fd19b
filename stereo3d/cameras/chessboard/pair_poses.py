"""The pose of two cameras of any models that fits all pairs of photos of a board."""

from dataclasses import dataclass

import numpy as np

from ...geometry.least_squares import State, minimise
from ...geometry.rotations import enforce_rotation, rotation_from_vector
from ...records import Camera
from .poses import (
    SCHEDULE,
    PoseProblem,
    fit_poses,
    pose_errors,
    pose_jacobian,
    pose_of_rays,
    pose_problem,
    projection_slope,
)

Boards = list[tuple[np.ndarray, np.ndarray]]  # of each photo: board points (N, 3) and their pixels (N, 2)


@dataclass(frozen=True, eq=False)
class PairProblem:
    """R, t of X2 = R X1 + t, and the pose of each board before camera 1, as a problem of `minimise`.

    Attributes
    ----------
    first, second : PoseProblem
        The boards before each camera.
    """

    first: PoseProblem
    second: PoseProblem

    def evaluate(self, state: State) -> tuple[np.ndarray, ...]:
        """Return residuals (1, N), their sum of squares (1, 1)."""
        R, t, board_R, board_t = (a[0] for a in state)
        r1, squares1, _ = self.first.evaluate((board_R, board_t))
        r2, squares2, _ = self.second.evaluate((R @ board_R, board_t @ R.T + t))
        r = np.concatenate([r1.ravel(), r2.ravel()])
        return r[None], (squares1.sum() + squares2.sum()).reshape(1, 1)

    def improves(self, new: tuple[np.ndarray, ...], old: tuple[np.ndarray, ...]) -> np.ndarray:
        """Return (1,) bool: the sum of squares is smaller."""
        return new[1][:, 0] < old[1][:, 0]

    def linearise(self, state: State, values: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray, None]:
        """Return J^T J (1, 6 + 6 P, 6 + 6 P) and J^T r."""
        R, t, board_R, board_t = (a[0] for a in state)
        count = len(board_R)
        X1 = self.first.points @ np.swapaxes(board_R, 1, 2) + board_t[:, None]
        X2 = X1 @ R.T + t
        by_X1, by_X2 = projection_slope(self.first.projection, X1), projection_slope(self.second.projection, X2)
        own1 = pose_jacobian(by_X1, X1 - board_t[:, None])
        own2 = pose_jacobian(by_X2 @ R, X1 - board_t[:, None])
        common = pose_jacobian(by_X2, X2 - t)
        own1, own2, common = (
            np.where(w[..., None, None] > 0, np.nan_to_num(J), 0.0)
            for w, J in ((self.first.weight, own1), (self.second.weight, own2), (self.second.weight, common))
        )
        half = values[0].size // 2
        r1, r2 = (np.nan_to_num(r).reshape(*X1.shape[:2], 2) for r in (values[0][0, :half], values[0][0, half:]))
        A, b = np.zeros((6 + 6 * count,) * 2), np.zeros(6 + 6 * count)
        A[:6, :6], b[:6] = np.einsum("mnik,mnil->kl", common, common), np.einsum("mnik,mni->k", common, r2)
        blocks = np.einsum("mnik,mnil->mkl", own1, own1) + np.einsum("mnik,mnil->mkl", own2, own2)
        A[6:, 6:].reshape(count, 6, count, 6)[np.arange(count), :, np.arange(count)] = blocks
        A[:6, 6:] = np.einsum("mnik,mnil->kml", common, own2).reshape(6, -1)
        A[6:, :6] = A[:6, 6:].T
        b[6:] = (np.einsum("mnik,mni->mk", own1, r1) + np.einsum("mnik,mni->mk", own2, r2)).ravel()
        return A[None], b[None], None

    def solve(self, A: np.ndarray, b: np.ndarray, damping: np.ndarray) -> np.ndarray:
        """Return -(A + damping diag(A))^-1 b."""
        return self.first.solve(A, b, damping)

    def move(self, state: State, step: np.ndarray, frame: None) -> tuple[State, np.ndarray]:
        """Return R' = exp(w) R, t' = t + v of the cameras and of each board, and the relative change."""
        R, t, board_R, board_t = state
        boards = step[:, 6:].reshape(1, -1, 6)
        far = np.linalg.norm(board_t, axis=-1).mean()
        new = (
            rotation_from_vector(step[:, :3]) @ R,
            t + step[:, 3:6],
            rotation_from_vector(boards[..., :3]) @ board_R,
            board_t + boards[..., 3:],
        )
        return new, step / np.tile(np.repeat([1.0, far], 3), 1 + boards.shape[1])


def fit_pair_poses(
    left: Boards, right: Boards, cameras: tuple[Camera, Camera]
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray] | None:
    """Minimise the distances of all corners in both photos over R, t of X2 = R X1 + t and the poses of the boards.

    Parameters
    ----------
    left, right : list of (points (N, 3), x (N, 2))
        The same points in the two photos of each pair.
    cameras : (Camera, Camera)
        Of any model; fixed.

    Returns
    -------
    rms, R, t, errors : float, (3, 3), (3,), (P, 2)
        px, over all corners, and of each pair in the left and the right photo; None where no pose is found.
    """
    problems, poses = [], []
    for boards, camera in zip((left, right), cameras, strict=True):
        starts = [pose_of_rays(camera.rays_from_pixels(x), X) for X, x in boards]
        problem = pose_problem(camera, boards)
        problems.append(problem)
        poses.append(fit_poses(problem, (np.stack([R for R, _ in starts]), np.stack([t for _, t in starts]))))
    (R1, t1), (R2, t2) = poses
    relative = R2 @ np.swapaxes(R1, 1, 2)
    if not all(np.isfinite(a).all() for a in (R1, t1, R2, t2)):
        return None
    R = enforce_rotation(relative.sum(0))
    t = np.median(t2 - t1 @ R.T, axis=0)
    problem = PairProblem(*problems)
    fit = minimise(problem, (R[None], t[None], R1[None], t1[None]), SCHEDULE)
    R, t, R1, t1 = (a[0] for a in fit.state)
    errors = np.stack([pose_errors(problems[0], (R1, t1)), pose_errors(problems[1], (R @ R1, t1 @ R.T + t))], axis=1)
    if not np.isfinite(errors).all():
        return None
    weight = problems[0].weight.sum(1)[:, None]
    return float(np.sqrt(np.sum(errors**2 * weight) / (2 * weight.sum()))), R, t, errors
