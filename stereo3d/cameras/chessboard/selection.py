"""Choose a camera model by the error that it leaves on boards that it has not seen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...records import Camera
from ...records.checks import Record
from .board import Board, Corners
from .poses import fit_poses, pose_errors, pose_problem

FOLDS = 10
MIN_HALF = 4  # corners of one half of a board, for a pose
MIN_MEASURED = 3  # photos, for a standard error
# Of the error: a simpler model that is worse by less is as good. Of corners of .2 px it is .03 px in quadrature, less
# than boards are flat.
TOLERANCE = 0.01
LEAST_ERROR = 1e-3  # px: errors below are rounding, of exact corners
Poses = tuple[np.ndarray, np.ndarray]  # R (V, 3, 3), t (V, 3)
Fit = Callable[[list[Corners]], Camera]  # corners of some photos -> their camera


@dataclass(frozen=True, repr=False)
class ModelError(Record):
    """Cross-validated error of a camera model.

    Attributes
    ----------
    model : str
    error : float or None
        px: geometric mean over the photos of the rms distance of held-out corners; None where the model does not fit.
    sigma : float or None
        px, standard error of the difference to the smallest error, by the differences of each photo; 0 of that one.
    reason : str
        Why it does not fit.
    """

    model: str
    error: float | None
    sigma: float | None
    reason: str = ""


def model_errors(
    names: Sequence[str], errors: Mapping[str, np.ndarray], reasons: Mapping[str, str]
) -> list[ModelError]:
    """Return the error of each model by name.

    Parameters
    ----------
    names : sequence of str
        All models, the simplest first.
    errors : mapping of str to (V,) float64
        Of `held_out_errors`.
    reasons : mapping of str to str
        Of the models without errors, why.
    """
    reasons = dict(reasons)
    logs = {}
    for name in names:
        if name not in errors:
            continue
        known = errors[name][~np.isnan(errors[name])]
        if len(known) < MIN_MEASURED:
            reasons[name] = f"only {len(known)} photos have enough corners to be held out"
        elif np.isinf(known).any():
            reasons[name] = f"it does not show all corners of {np.isinf(known).sum()} held-out photos"
        else:
            logs[name] = np.log(np.maximum(known, LEAST_ERROR))
    best = min(logs, key=lambda name: logs[name].mean()) if logs else ""
    found = []
    for name in names:
        if name not in logs:
            found.append(ModelError(name, None, None, reasons[name]))
            continue
        error, off = float(np.exp(logs[name].mean())), logs[name] - logs[best]
        found.append(ModelError(name, error, error * float(off.std(ddof=1) / np.sqrt(len(off)))))
    return found


def choose_model(models: Sequence[ModelError]) -> str | None:
    """Return the first, hence simplest, model whose error exceeds the smallest by one standard error at most.

    Or by `TOLERANCE`. None where no model fits.

    References
    ----------
    Breiman, Friedman, Olshen and Stone, Classification and regression trees, 1984, section 3.4.3: the rule of one
    standard error, here of the paired differences. Stone, Cross-validatory choice and assessment of statistical
    predictions, 1974.
    """
    known = [(m.model, m.error, m.sigma) for m in models if m.error is not None and m.sigma is not None]
    if not known:
        return None
    least = min(error for _, error, _ in known)
    return next(name for name, error, sigma in known if error <= least + max(sigma, TOLERANCE * least))


def held_out_errors(corners: list[Corners], board: Board, fit: Fit, poses: Poses) -> np.ndarray:
    """Return the rms distance, px, of the corners of each photo from a camera fitted to other photos, (V,).

    The photos are dealt into `FOLDS` folds. The intrinsics are fitted to the photos of the other folds; of a board that
    is held out, the pose is fitted to every second corner, and the others are measured; then the reverse. Corners
    farther from the principal point than all that the fold's camera was fitted to are left out: the camera of all
    photos does not extrapolate there, and a model that is loose outside of its corners may be the best within.

    Parameters
    ----------
    corners : list of Corners
    board : Board
    fit : Fit
        Corners of some photos -> their camera.
    poses : (R, t)
        Of all boards, where the fits of the held-out poses start.

    Returns
    -------
    (V,) float64
        NaN for a photo with too few corners, inf where the camera does not show all of them.
    """
    found = np.full(len(corners), np.nan)
    folds = min(FOLDS, len(corners))
    for fold in range(folds):
        inside = np.arange(len(corners)) % folds == fold
        others = [c for c, out in zip(corners, inside, strict=True) if not out]
        camera = fit(others)
        centre = camera.K[:2, 2]
        reach = max(np.linalg.norm(c.x - centre, axis=1).max() for c in others)
        halves = {i: _halves(corners[i], board, centre, reach) for i in np.flatnonzero(inside)}
        held = [i for i, h in halves.items() if min(map(len, h)) >= MIN_HALF]
        if not held:
            continue
        squares = np.zeros(len(held))
        for half in (0, 1):
            seen, hidden = (
                pose_problem(camera, [_part(corners[i], board, halves[i][h]) for i in held]) for h in (half, 1 - half)
            )
            state = fit_poses(seen, (poses[0][held], poses[1][held]))
            squares += pose_errors(hidden, state) ** 2 * hidden.weight.sum(1)
        found[held] = np.sqrt(squares / [sum(map(len, halves[i])) for i in held])
    return found


def _halves(corners: Corners, board: Board, centre: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Places of the corners on the dark and on the light squares of a chessboard of corners, within a circle (px)."""
    row, column = np.divmod(corners.ids, board.grid[0])
    odd, near = (row + column) % 2 == 1, np.linalg.norm(corners.x - centre, axis=1) <= reach
    return np.flatnonzero(near & ~odd), np.flatnonzero(near & odd)


def _part(corners: Corners, board: Board, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return board.points[corners.ids[at]], corners.x[at]
