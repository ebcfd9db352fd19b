"""Calibrate a Kannala-Brandt fisheye from corners of boards: a start for any field of view, then least squares."""

from dataclasses import dataclass

import numpy as np

from ...geometry.least_squares import Fit, Schedule, State, minimise
from ...geometry.rotations import rotation_from_vector
from ...geometry.wide_lenses import fisheye_limit, fisheye_ray, fisheye_slopes, project_fisheye
from ...records import Camera, WideLens
from .board import Board, Corners
from .poses import pose_jacobian, pose_of_rays

INTRINSICS = ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4")
# Degrees from the axis at half the picture's diagonal, of the focal lengths that are tried: telephoto to fisheye.
START_ANGLES = np.geomspace(12.0, 150.0, 18)
START_VIEWS = 16  # boards that decide between these
STARTS = 3  # of the best of these that are refined
STAGES = ((4, 15), (6, 30), (8, 100))  # free intrinsics of INTRINSICS, and steps: a lens without k first
TOLERANCE = 1e-9  # relative; px of focal length / focal length
MIN_GROWTH = 0.05  # of theta_d at the outermost corner, below which the lens is about to fold there


@dataclass(frozen=True, eq=False)
class FisheyeFit:
    """A fisheye and the boards before it.

    Attributes
    ----------
    camera : Camera
    R, t : (V, 3, 3), (V, 3) float64
        Of each board.
    errors : (V,) float64
        px, rms of each photo.
    rms : float
        px, over all corners.
    jacobian : (2N, 8) float64
        Derivatives of all corners by the intrinsics, less what the poses can undo.
    """

    camera: Camera
    R: np.ndarray
    t: np.ndarray
    errors: np.ndarray
    rms: float
    jacobian: np.ndarray


@dataclass(frozen=True, eq=False)
class FisheyeProblem:
    """Intrinsics and all poses as a problem of `minimise`; corners (N) in the order of their photos.

    Attributes
    ----------
    points : (N, 3) float64
        Of the board.
    x : (N, 2) float64
        px.
    view : (N,) int
        The photo of each corner, ascending.
    scale : (8 + 6 V,) float64
        Of the unknowns, for the test of convergence.
    free : int
        How many of `INTRINSICS` are free; of 4, fx and fy are.
    """

    points: np.ndarray
    x: np.ndarray
    view: np.ndarray
    scale: np.ndarray
    free: int

    def evaluate(self, state: State) -> tuple[np.ndarray, ...]:
        """Return residuals (1, 2N), their sum of squares (1, 1), the points in the frame of the camera (1, N, 3)."""
        p, R, t = (a[0] for a in state)
        X = np.einsum("nij,nj->ni", R[self.view], self.points) + t[self.view]
        m, _, _ = fisheye_slopes(X, p[4:])
        r = m * p[:2] + p[2:4] - self.x
        total = np.sum(r * r)
        return r.reshape(1, -1), np.array([[total if np.isfinite(total) else np.inf]]), X[None]

    def improves(self, new: tuple[np.ndarray, ...], old: tuple[np.ndarray, ...]) -> np.ndarray:
        """Return (1,) bool: the sum of squares is smaller."""
        return new[1][:, 0] < old[1][:, 0]

    def linearise(self, state: State, values: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray, None]:
        """Return J^T J (1, 8 + 6 V, 8 + 6 V) and J^T r."""
        r = values[0].reshape(-1, 2)
        A, B = self.jacobians(state, values)
        first = np.flatnonzero(np.diff(self.view, prepend=-1))
        AB = np.add.reduceat(np.einsum("nik,nil->nkl", A, B), first)
        BB = np.add.reduceat(np.einsum("nik,nil->nkl", B, B), first)
        b = np.add.reduceat(np.einsum("nik,ni->nk", B, r), first)
        count = len(BB)
        whole = np.zeros((8 + 6 * count, 8 + 6 * count))
        whole[:8, :8] = np.einsum("nik,nil->kl", A, A)
        whole[:8, 8:] = np.moveaxis(AB, 0, 1).reshape(8, -1)
        whole[8:, :8] = whole[:8, 8:].T
        blocks = whole[8:, 8:].reshape(count, 6, count, 6)
        blocks[np.arange(count), :, np.arange(count)] = BB
        return whole[None], np.concatenate([np.einsum("nik,ni->k", A, r), b.ravel()])[None], None

    def jacobians(self, state: State, values: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return the derivatives of each corner by the intrinsics (N, 2, 8) and by the pose of its board (N, 2, 6)."""
        p, _, t = (a[0] for a in state)
        X = values[2][0]
        m, by_X, by_k = fisheye_slopes(X, p[4:])
        A = np.concatenate([m[:, :, None] * np.eye(2), np.tile(np.eye(2), (len(m), 1, 1)), p[:2, None] * by_k], -1)
        A[..., self.free :] = 0
        return A, pose_jacobian(p[:2, None] * by_X, X - t[self.view])

    def solve(self, A: np.ndarray, b: np.ndarray, damping: np.ndarray) -> np.ndarray:
        """Return -(A + damping diag(A))^-1 b, the poses eliminated first."""
        whole = A[0] + damping[0] * np.diag(np.diag(A[0]))
        whole[np.diag_indices(8)] += np.where(np.diag(whole)[:8] == 0, 1.0, 0.0)
        S, W, inverse = eliminated(whole)
        right = b[0, :8] - np.einsum("vkl,vl->k", W @ inverse, b[0, 8:].reshape(-1, 6))
        intrinsic = -np.linalg.lstsq(S, right, rcond=None)[0]
        rest = b[0, 8:].reshape(-1, 6) + np.einsum("vkl,k->vl", W, intrinsic)
        return np.concatenate([intrinsic, -np.einsum("vkl,vl->vk", inverse, rest).ravel()])[None]

    def move(self, state: State, step: np.ndarray, frame: None) -> tuple[State, np.ndarray]:
        """Return p' = p + dp, R' = exp(w) R, t' = t + v, and the change in the units of `scale`."""
        p, R, t = state
        poses = step[:, 8:].reshape(1, -1, 6)
        new = p + step[:, :8], rotation_from_vector(poses[..., :3]) @ R, t + poses[..., 3:]
        return new, step / self.scale


def eliminated(whole: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return S (8, 8), W (V, 8, 6), P^-1 (V, 6, 6) of J^T J = [U W; W^T P], P of blocks: S = U - sum W P^-1 W^T."""
    count = (len(whole) - 8) // 6
    blocks = whole[8:, 8:].reshape(count, 6, count, 6)[np.arange(count), :, np.arange(count)]
    W = np.moveaxis(whole[:8, 8:].reshape(8, count, 6), 1, 0)
    inverse = np.linalg.pinv(blocks, hermitian=True)
    return whole[:8, :8] - np.einsum("vkl,vlm,vnm->kn", W, inverse, W), W, inverse


def fit_fisheye(corners: list[Corners], board: Board, start: Camera | None = None) -> FisheyeFit | None:
    """Minimise sum |x - K m(R_i X + t_i)|^2 with m of `project_fisheye`, over all corners of all photos.

    Parameters
    ----------
    corners : list of Corners
    board : Board
    start : Camera, optional
        A fisheye to begin with; without it, focal lengths of all fields of view are tried.

    Returns
    -------
    FisheyeFit or None
        None where no such lens fits: it would fold within the corners.
    """
    if start is None:
        starts = [(f, STAGES) for f in _focal_starts(corners, board)]
    else:
        starts = [(start, STAGES[-1:])]
    found = [fit for camera, stages in starts if (fit := _descended(camera, stages, corners, board)) is not None]
    if not found:
        return None
    problem, fit = min(found, key=lambda f: f[1].values[1][0, 0])
    return _finished(corners, problem, fit.state, fit.values)


def _descended(
    camera: Camera, stages: tuple[tuple[int, int], ...], corners: list[Corners], board: Board
) -> tuple[FisheyeProblem, Fit] | None:
    """The problem and its fit from one start, stage by stage; None where it leads nowhere."""
    points, x = np.concatenate([board.points[c.ids] for c in corners]), np.concatenate([c.x for c in corners])
    view = np.repeat(np.arange(len(corners)), [len(c.ids) for c in corners])
    found, state = None, _start_state(camera, corners, board)
    for free, steps in stages if state is not None else ():
        assert state is not None
        scale = np.concatenate([np.full(4, camera.focal), np.ones(4), np.tile(_pose_scale(state[2]), len(corners))])
        problem = FisheyeProblem(points, x, view, scale, free)
        fit = minimise(problem, state, Schedule(max_steps=steps, tolerance=TOLERANCE, hopeless=1e12))
        found, state = (problem, fit), fit.state
    return found if found is not None and np.isfinite(found[1].values[1][0, 0]) else None


def _pose_scale(t: np.ndarray) -> np.ndarray:
    return np.repeat([1.0, float(np.median(np.linalg.norm(t[0], axis=1)))], 3)


def _fisheye(p: np.ndarray, size: tuple[int, int]) -> Camera:
    K = np.array([[p[0], 0, p[2]], [0, p[1], p[3]], [0, 0, 1]])
    return Camera(K, size, source="calibration", lens=WideLens("fisheye", tuple(map(float, p[4:]))))


def _numbers(camera: Camera) -> np.ndarray:
    """The eight numbers of `INTRINSICS`."""
    K, lens = camera.K, camera.lens
    return np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2], *(lens.coefficients if lens else np.zeros(4))])


def _rays(p: np.ndarray, x: np.ndarray) -> np.ndarray:
    return fisheye_ray((x - p[2:4]) / p[:2], p[4:])


def _focal_starts(corners: list[Corners], board: Board) -> list[Camera]:
    """Return lenses theta_d = theta, the principal point in the middle, of the focal lengths that fit best."""
    size = corners[0].size
    some = [corners[i] for i in np.unique(np.linspace(0, len(corners) - 1, START_VIEWS).round().astype(int))]
    tried = []
    for angle in np.radians(START_ANGLES):
        f = np.hypot(*size) / 2 / angle
        p = np.array([f, f, (size[0] - 1) / 2, (size[1] - 1) / 2, 0, 0, 0, 0])
        off = []
        for c in some:
            X = board.points[c.ids]
            R, t = pose_of_rays(_rays(p, c.x), X)
            with np.errstate(invalid="ignore"):
                x = project_fisheye(X @ R.T + t, p[4:]) * p[:2] + p[2:4]
            off.append(np.sqrt(np.mean(np.nan_to_num(x - c.x, nan=np.hypot(*size)) ** 2)))
        tried.append((float(np.median(off)), angle, p))
    return [_fisheye(p, size) for _, _, p in sorted(tried, key=lambda t: t[:2])[:STARTS]]


def _start_state(camera: Camera, corners: list[Corners], board: Board) -> State | None:
    p = _numbers(camera)
    poses = [pose_of_rays(_rays(p, c.x), board.points[c.ids]) for c in corners]
    R, t = np.stack([R for R, _ in poses]), np.stack([t for _, t in poses])
    return (p[None], R[None], t[None]) if np.isfinite(R).all() and np.isfinite(t).all() else None


def _finished(
    corners: list[Corners], problem: FisheyeProblem, state: State, values: tuple[np.ndarray, ...]
) -> FisheyeFit | None:
    p, R, t = (a[0] for a in state)
    X = values[2][0]
    if not (p[:2] > 0).all():
        return None
    widest = np.arctan2(np.hypot(X[:, 0], X[:, 1]), X[:, 2]).max()
    if widest >= fisheye_limit(p[4:]):
        return None
    squares = np.sum(values[0].reshape(-1, 2) ** 2, 1)
    count = np.bincount(problem.view)
    errors = np.sqrt(np.bincount(problem.view, squares) / count)
    whole, _, _ = problem.linearise(state, values)
    _, W, inverse = eliminated(whole[0])
    A, B = problem.jacobians(state, values)
    jacobian = A - B @ (inverse @ np.swapaxes(W, 1, 2))[problem.view]
    rms = float(np.sqrt(squares.mean()))
    return FisheyeFit(_fisheye(p, corners[0].size), R, t, errors, rms, jacobian.reshape(-1, 8))
