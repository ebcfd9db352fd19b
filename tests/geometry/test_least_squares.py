"""The damped least-squares loop on problems whose solution scipy or algebra knows."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.optimize import least_squares

from stereo3d.geometry import Schedule, damped_step, minimise


@dataclass
class Decay:
    """r = a exp(-b x) - y, of M starts (a, b) at once."""

    x: np.ndarray
    y: np.ndarray

    def evaluate(self, state):
        a, b = (v[:, None] for v in state)
        decay = np.exp(-b * self.x)
        return a * decay - self.y, np.stack([decay, -a * self.x * decay], -1)

    def improves(self, new, old):
        return (new[0] ** 2).sum(1) < (old[0] ** 2).sum(1)

    def linearise(self, state, values):
        r, J = values
        return np.einsum("mni,mnj->mij", J, J), np.einsum("mni,mn->mi", J, r), None

    def solve(self, A, b, damping):
        return damped_step(A, b, damping, 1e-12)

    def move(self, state, step, frame):
        return (state[0] + step[:, 0], state[1] + step[:, 1]), step


@pytest.fixture
def decay():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 3, 40)
    return Decay(x, 2.5 * np.exp(-1.3 * x) + rng.normal(0, 0.05, 40))


def test_all_starts_end_at_scipys_minimum(decay):
    starts = np.array([1.0, 5.0, 0.2]), np.array([0.5, 3.0, 2.0])
    fit = minimise(decay, starts, Schedule(max_steps=200, tolerance=1e-12))
    theirs = least_squares(lambda p: p[0] * np.exp(-p[1] * decay.x) - decay.y, [1.0, 0.5], xtol=1e-14, ftol=1e-14).x
    for k in range(3):
        assert np.allclose([fit.state[0][k], fit.state[1][k]], theirs, atol=1e-6)
    assert np.allclose(fit.values[0], fit.state[0][:, None] * np.exp(-fit.state[1][:, None] * decay.x) - decay.y)
    assert starts[0].tolist() == [1, 5, 0.2]  # the starts are left alone


def test_the_cost_never_grows_and_the_steps_are_counted(decay):
    state, costs = (np.array([5.0]), np.array([3.0])), []
    for steps in range(8):
        fit = minimise(decay, state, Schedule(max_steps=steps))
        costs.append(float((fit.values[0] ** 2).sum()))
    assert costs[0] == pytest.approx(float((decay.evaluate(state)[0] ** 2).sum()))
    assert (np.diff(costs) <= 0).all() and costs[-1] < costs[0]


def test_a_hopeless_start_ends_the_loop(decay):
    calls = []

    class Stuck(Decay):
        def improves(self, new, old):
            calls.append(1)
            return np.zeros(len(new[0]), bool)

    stuck = Stuck(decay.x, decay.y)
    fit = minimise(stuck, (np.ones(2), np.ones(2)), Schedule(damping=1.0, factor=10, max_steps=50, hopeless=1e4))
    assert len(calls) == 5 and np.array_equal(fit.state[0], np.ones(2))  # 10, 100, ..., 1e5 > 1e4


def test_the_damping_stays_within_its_bounds(decay):
    seen = []

    class Watched(Decay):
        def solve(self, A, b, damping):
            seen.append(damping[0])
            return super().solve(A, b, damping)

    bounds = Schedule(damping=1e-2, factor=5, min_damping=1e-3, max_damping=1, max_steps=12)
    minimise(Watched(decay.x, decay.y), (np.array([5.0]), np.array([3.0])), bounds)
    assert seen[0] == 1e-2 and min(seen) == 1e-3 and max(seen) <= 1


def test_a_damped_step_is_the_solution_of_its_equations():
    rng = np.random.default_rng(1)
    J, r = rng.normal(size=(4, 20, 5)), rng.normal(size=(4, 20))
    A, b = np.einsum("mni,mnj->mij", J, J), np.einsum("mni,mn->mi", J, r)
    for k, step in enumerate(damped_step(A, b, np.full(4, 0.1), 1e-12)):
        lam = 0.1 * (np.trace(A[k]) / 5 + 1e-12)
        assert np.allclose(step, -np.linalg.solve(A[k] + lam * np.eye(5), b[k]), atol=1e-13)
    assert np.allclose(damped_step(A[:1], b[:1], np.zeros(1), 0)[0], -np.linalg.lstsq(J[0], r[0], rcond=None)[0])
    assert np.isfinite(damped_step(np.zeros((1, 5, 5)), b[:1], np.ones(1), 1e-12)).all()
