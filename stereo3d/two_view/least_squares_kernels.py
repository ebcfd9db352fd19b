"""Kernels of damped least squares over poses, lenses and rank-two matrices."""

from typing import NamedTuple

import numpy as np
from numba.extending import overload

from ..kernel_cache import njit
from .refine_kernels import (
    along_parameters,
    cross_matrix,
    matmul3,
    rotation_kernel,
    sampson_jacobian_kernel,
    sampson_of_one,
    sampson_residuals_kernel,
    sampson_slope,
    tangent_basis,
)


class PoseProblem(NamedTuple):
    """Pose and lens; state: R by rows, t, p (12 + q,). Cost: sum of rho(r) + sum of weights p^2 / 2.

    rho: `refine.soft_truncated`.  focals (2,), x1, x2 (N, 2), basis (10, q): as in `sampson_jacobian_kernel`.
    weights: (q,) 1 / variance of the prior of p.  sigma, cut: px.
    """

    focals: np.ndarray
    x1: np.ndarray
    x2: np.ndarray
    basis: np.ndarray
    weights: np.ndarray
    sigma: float
    cut: float


class RankTwoProblem(NamedTuple):
    """F = U diag(cos a, sin a, 0) V^T; state: U and V^T by rows, a (19,). Cost: sum of rho(r).

    x1, x2: (N, 2) normalised pixels.  rho: `refine.soft_truncated`.  sigma, cut: in units of x.

    References: Bartoli and Sturm, Nonlinear estimation of the fundamental matrix with minimal parameters, 2004.
    """

    x1: np.ndarray
    x2: np.ndarray
    sigma: float
    cut: float


@njit(cache=True, nogil=True, error_model="numpy")
def _minimise(problem, state, unknowns, max_steps):
    """Levenberg-Marquardt with the weights of the robust loss anew in each step; state in place -> its cost.

    The kernel's twin of `least_squares.minimise`: `_cost`, `_linearise` and `_move` are those of the problem's type.
    """
    r, J = np.empty(len(problem.x1)), np.empty((len(problem.x1), unknowns))
    A, b, trial = np.empty((unknowns, unknowns)), np.empty(unknowns), np.empty(len(state))
    cost, damping, improved = _cost(problem, state, r), 1e-3, True
    for _ in range(max_steps):
        if improved:
            _linearise(problem, state, r, J, A, b)
        _move(problem, state, _damped_step(A, b, damping), trial)
        new_cost = _cost(problem, trial, r)
        improved = new_cost < cost
        if improved:
            gain, cost, damping = cost - new_cost, new_cost, damping / 10
            for i in range(len(state)):
                state[i] = trial[i]
            if gain <= 1e-9 * cost:
                break
        else:
            damping *= 10
            if damping > 1e4:
                break
    return cost


def _cost(problem, state, r):
    """The cost at the state; r (N,) is overwritten."""
    raise NotImplementedError


def _linearise(problem, state, r, J, A, b):
    """A = J^T W J + prior and b = J^T W r + prior at the state; r, J, A, b are overwritten."""
    raise NotImplementedError


def _move(problem, state, step, moved):
    """The state after the step, written into `moved`."""
    raise NotImplementedError


@overload(_cost)
def _cost_of(problem, state, r):
    if problem.instance_class is PoseProblem:
        return lambda problem, state, r: _pose_cost(problem, state, r)
    return lambda problem, state, r: _rank2_cost(problem, state, r)


@overload(_linearise)
def _linearise_of(problem, state, r, J, A, b):
    if problem.instance_class is PoseProblem:
        return lambda problem, state, r, J, A, b: _pose_linearise(problem, state, r, J, A, b)
    return lambda problem, state, r, J, A, b: _rank2_linearise(problem, state, r, J, A, b)


@overload(_move)
def _move_of(problem, state, step, moved):
    if problem.instance_class is PoseProblem:
        return lambda problem, state, step, moved: _pose_move(state, step, moved)
    return lambda problem, state, step, moved: _rank2_move(state, step, moved)


@njit(cache=True, nogil=True, error_model="numpy")
def _loss(r, sigma, cut):
    """Sum of `refine.soft_truncated`."""
    e = np.exp(-0.5 * (cut / sigma) ** 2)
    whole = 0.0
    for n in range(len(r)):
        whole -= np.log((np.exp(-0.5 * (r[n] / sigma) ** 2) + e) / (1 + e))
    return whole


@njit(cache=True, nogil=True, error_model="numpy")
def _normal_equations(r, J, sigma, cut, A, b):
    """A = J^T W J, b = J^T W r with the weights of `refine.soft_truncated` over sigma^2."""
    e = np.exp(-0.5 * (cut / sigma) ** 2)
    size = len(b)
    for i in range(size):
        b[i] = 0.0
        for k in range(i + 1):
            A[i, k] = 0.0
    for n in range(len(r)):
        g = np.exp(-0.5 * (r[n] / sigma) ** 2)
        w = g / (g + e) / sigma**2
        if w < 1e-12 / sigma**2:
            continue
        for i in range(size):
            b[i] += w * J[n, i] * r[n]
            for k in range(i + 1):
                A[i, k] += w * J[n, i] * J[n, k]
    for i in range(size):
        for k in range(i):
            A[k, i] = A[i, k]


@njit(cache=True, nogil=True, error_model="numpy")
def _damped_step(A, b, damping):
    """-(A + damping diag(A))^-1 b by Cholesky's factors; zeros where A is singular all the same."""
    n = len(b)
    L, x = A.copy(), b.copy()
    largest = 0.0
    for i in range(n):
        largest = max(largest, A[i, i])
    for i in range(n):
        L[i, i] += damping * A[i, i] + 1e-12 * largest + 1e-300
    for i in range(n):
        for k in range(i + 1):
            s = L[i, k]
            for j in range(k):
                s -= L[i, j] * L[k, j]
            if i == k:
                if not s > 0.0:
                    return np.zeros(n)
                L[i, i] = np.sqrt(s)
            else:
                L[i, k] = s / L[k, k]
    for i in range(n):
        for j in range(i):
            x[i] -= L[i, j] * x[j]
        x[i] /= L[i, i]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            x[i] -= L[j, i] * x[j]
        x[i] /= L[i, i]
    for i in range(n):
        x[i] = -x[i]
    return x


@njit(cache=True, nogil=True, error_model="numpy")
def _matrix(state, first):
    """The (3, 3) matrix that starts at state[first]."""
    M = np.empty((3, 3))
    for i in range(9):
        M[i // 3, i % 3] = state[first + i]
    return M


@njit(cache=True, nogil=True, error_model="numpy")
def _store(M, state, first):
    """Write a (3, 3) matrix into the state, from state[first] on."""
    for i in range(9):
        state[first + i] = M[i // 3, i % 3]


@njit(cache=True, nogil=True, error_model="numpy")
def adjust_poses(problem, R, t, p, max_steps, cost):
    """Minimise the cost of a `PoseProblem` from each start, in place.

    Parameters
    ----------
    problem : PoseProblem
        Matches, lens, loss.
    R, t, p : (M, 3, 3), (M, 3), (M, q) float64
        Starts, overwritten by the results.
    max_steps : int
        Steps of each at most.
    cost : (M,) float64
        Output.
    """
    q = p.shape[1]
    state = np.empty(12 + q)
    for m in range(len(R)):
        _store(R[m], state, 0)
        for i in range(3):
            state[9 + i] = t[m, i]
        for k in range(q):
            state[12 + k] = p[m, k]
        cost[m] = _minimise(problem, state, 5 + q, max_steps)
        for i in range(3):
            t[m, i] = state[9 + i]
            for j in range(3):
                R[m, i, j] = state[3 * i + j]
        for k in range(q):
            p[m, k] = state[12 + k]


@njit(cache=True, nogil=True, error_model="numpy")
def _lens_of(problem, state):
    """z = basis p (10,)."""
    z = np.zeros(10)
    for i in range(10):
        for k in range(len(state) - 12):
            z[i] += problem.basis[i, k] * state[12 + k]
    return z


@njit(cache=True, nogil=True, error_model="numpy")
def _pose_cost(problem, state, r):
    z = _lens_of(problem, state)
    sampson_residuals_kernel(_matrix(state, 0), state[9:12], z, problem.focals, problem.x1, problem.x2, r)
    prior = 0.0
    for k in range(len(state) - 12):
        prior += 0.5 * problem.weights[k] * state[12 + k] ** 2
    return _loss(r, problem.sigma, problem.cut) + prior


@njit(cache=True, nogil=True, error_model="numpy")
def _pose_linearise(problem, state, r, J, A, b):
    R, t, z = _matrix(state, 0), state[9:12], _lens_of(problem, state)
    sampson_jacobian_kernel(R, t, z, problem.focals, problem.x1, problem.x2, problem.basis, r, J)
    _normal_equations(r, J, problem.sigma, problem.cut, A, b)
    for k in range(len(state) - 12):
        A[5 + k, 5 + k] += problem.weights[k]
        b[5 + k] += state[12 + k] * problem.weights[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _pose_move(state, step, moved):
    tangents = tangent_basis(state[9:12])
    length = 0.0
    for i in range(3):
        moved[9 + i] = state[9 + i] + step[3] * tangents[0, i] + step[4] * tangents[1, i]
        length += moved[9 + i] ** 2
    for i in range(3):
        moved[9 + i] /= np.sqrt(length)
    for k in range(len(state) - 12):
        moved[12 + k] = state[12 + k] + step[5 + k]
    _store(matmul3(rotation_kernel(step), _matrix(state, 0)), moved, 0)


@njit(cache=True, nogil=True, error_model="numpy")
def adjust_fundamental(problem, U, Vt, angle, max_steps):
    """F = U diag(cos angle, sin angle, 0) V^T of least cost (`RankTwoProblem`), from a start.

    Parameters
    ----------
    problem : RankTwoProblem
        Matches, loss.
    U, Vt : (3, 3) float64
        Orthogonal.
    angle : float
        rad.
    max_steps : int
        Steps at most.

    Returns
    -------
    (3, 3) float64
    """
    state = np.empty(19)
    _store(U, state, 0)
    _store(Vt, state, 9)
    state[18] = angle
    _minimise(problem, state, 7, max_steps)
    return _rank2_matrix(state)


@njit(cache=True, nogil=True, error_model="numpy")
def _diagonal(a, b):
    D = np.zeros((3, 3))
    D[0, 0], D[1, 1] = a, b
    return D


@njit(cache=True, nogil=True, error_model="numpy")
def _rank2_matrix(state):
    """F of the state."""
    D = _diagonal(np.cos(state[18]), np.sin(state[18]))
    return matmul3(_matrix(state, 0), matmul3(D, _matrix(state, 9)))


@njit(cache=True, nogil=True, error_model="numpy")
def _rank2_cost(problem, state, r):
    sampson_of_one(_rank2_matrix(state), problem.x1, problem.x2, r)
    return _loss(r, problem.sigma, problem.cut)


@njit(cache=True, nogil=True, error_model="numpy")
def _rank2_linearise(problem, state, r, J, A, b):
    F, dF, slope = _rank2_matrix(state), _rank2_slopes(state), np.empty((3, 3))
    x1, x2 = problem.x1, problem.x2
    for n in range(len(x1)):
        r[n] = sampson_slope(F, x1[n, 0], x1[n, 1], x2[n, 0], x2[n, 1], slope)[0]
        along_parameters(slope, dF, J, n)
    _normal_equations(r, J, problem.sigma, problem.cut, A, b)


@njit(cache=True, nogil=True, error_model="numpy")
def _rank2_slopes(state):
    """dF (7, 3, 3) by the turns of U, of V and by the angle."""
    U, Vt, angle = _matrix(state, 0), _matrix(state, 9), state[18]
    D, dD = _diagonal(np.cos(angle), np.sin(angle)), _diagonal(-np.sin(angle), np.cos(angle))
    dF, axis = np.empty((7, 3, 3)), np.zeros(3)
    for k in range(7):
        for i in range(3):
            axis[i] = 1.0 if i == k % 3 else 0.0
        W = cross_matrix(axis)
        if k < 3:
            part = matmul3(matmul3(U, W), matmul3(D, Vt))
        elif k < 6:
            part = matmul3(matmul3(U, D), matmul3(W, Vt))
        else:
            part = matmul3(U, matmul3(dD, Vt))
        for i in range(3):
            for j in range(3):
                dF[k, i, j] = part[i, j]
    return dF


@njit(cache=True, nogil=True, error_model="numpy")
def _rank2_move(state, step, moved):
    _store(matmul3(_matrix(state, 0), rotation_kernel(step)), moved, 0)
    _store(matmul3(rotation_kernel(step[3:6]), _matrix(state, 9)), moved, 9)
    moved[18] = state[18] + step[6]
