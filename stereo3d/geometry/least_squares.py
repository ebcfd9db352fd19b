"""Damped least squares (Levenberg-Marquardt) for any problem with residual, Jacobian and step."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

State = tuple[np.ndarray, ...]  # the unknowns of M starts, each array (M, ...)


class Problem(Protocol):
    """What `minimise` has to know of a problem. All arrays hold M starts at once, along the first axis."""

    def evaluate(self, state: State) -> tuple[np.ndarray, ...]:
        """Return the residuals (M, N) and whatever else is computed along with them, each array (M, ...)."""
        ...

    def improves(self, new: tuple[np.ndarray, ...], old: tuple[np.ndarray, ...]) -> np.ndarray:
        """Return (M,) bool: the new values (of `evaluate`) are better than the old ones."""
        ...

    def linearise(self, state: State, values: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray, Any]:
        """Return A = J^T W J (M, k, k), b = J^T W r (M, k), and what `move` needs to apply a step."""
        ...

    def solve(self, A: np.ndarray, b: np.ndarray, damping: np.ndarray) -> np.ndarray:
        """Return the step (M, k), -(A + damping D)^-1 b. damping: (M,)."""
        ...

    def move(self, state: State, step: np.ndarray, frame: Any) -> tuple[State, np.ndarray]:
        """Return the state after the step and by how much the unknowns changed, (M, any)."""
        ...


@dataclass(frozen=True)
class Schedule:
    """How the damping changes and when the loop ends.

    Parameters
    ----------
    damping : float
        Start value; divided by `factor` after a step that improves, multiplied by it after one that does not.
    factor : float
        See `damping`.
    min_damping, max_damping : float
        The damping stays between them.
    max_steps : int
        Steps at most.
    tolerance : float
        A start has converged when no unknown changes by more.
    hopeless : float
        A start is given up when its damping exceeds this.
    """

    damping: float = 1e-3
    factor: float = 10.0
    min_damping: float = 0.0
    max_damping: float = np.inf
    max_steps: int = 50
    tolerance: float = 0.0
    hopeless: float = np.inf


@dataclass(frozen=True, eq=False)
class Fit:
    """Where `minimise` ended: the state, the values of `Problem.evaluate` there, and the last linearisation.

    Parameters
    ----------
    state : tuple of (M, ...) arrays
        The unknowns.
    values : tuple of (M, ...) arrays
        Residuals first.
    information : (M, k, k) float64
        J^T W J before the last step.
    frame : object
        What `Problem.linearise` gave `move` before the last step.
    """

    state: State
    values: tuple[np.ndarray, ...]
    information: np.ndarray
    frame: Any


def minimise(problem: Problem, state: State, schedule: Schedule) -> Fit:
    """Take damped Gauss-Newton steps from M starts at once, keeping each start's steps that improve it.

    Parameters
    ----------
    problem : Problem
        Residuals, normal equations, step.
    state : tuple of (M, ...) arrays
        The starts.
    schedule : Schedule
        Damping and stopping.

    Returns
    -------
    Fit
        The end of each start.

    References
    ----------
    Levenberg, A method for the solution of certain non-linear problems in least squares, 1944. Marquardt, An algorithm
    for least-squares estimation of nonlinear parameters, 1963.
    """
    values = problem.evaluate(state)
    damping = np.full(len(state[0]), schedule.damping)
    A, frame = np.zeros((len(damping), 0, 0)), None
    for _ in range(schedule.max_steps):
        A, b, frame = problem.linearise(state, values)
        new_state, change = problem.move(state, problem.solve(A, b, damping), frame)
        new_values = problem.evaluate(new_state)
        better = problem.improves(new_values, values)
        state, values = _choose(better, new_state, state), _choose(better, new_values, values)
        damping = np.where(better, damping / schedule.factor, damping * schedule.factor)
        damping = damping.clip(schedule.min_damping, schedule.max_damping)
        converged = np.abs(change).max(1) < schedule.tolerance
        if np.all(converged | (damping > schedule.hopeless)):
            break
    return Fit(state, values, A, frame)


def damped_step(A: np.ndarray, b: np.ndarray, damping: np.ndarray, floor: float) -> np.ndarray:
    """Return -(A + damping (tr(A) / k + floor) I)^-1 b.

    Parameters
    ----------
    A : (M, k, k) float64
        Normal matrices.
    b : (M, k) float64
        Gradients.
    damping : (M,) float64
        Of each start.
    floor : float
        Keeps the damping positive where A is zero.
    """
    k = A.shape[-1]
    scale = np.einsum("mii->m", A)[:, None, None] / k + floor
    return -np.linalg.solve(A + damping[:, None, None] * scale * np.eye(k), b[..., None])[..., 0]


def _choose(which: np.ndarray, new: State, old: State) -> State:
    """Of M starts the new arrays where `which` (M,) holds, else the old ones."""
    return tuple(np.where(which.reshape((-1,) + (1,) * (a.ndim - 1)), a, b) for a, b in zip(new, old, strict=True))
