"""Robust estimation: RANSAC with a truncated cost and local optimisation, independent of the model."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

PREVIEW = 300  # data on which every model of a batch is ranked first
FINALISTS = 6  # models of a batch that are scored on all data
MAX_BATCH = 1024  # samples drawn at once
MIN_GAIN = 1e-4  # relative decrease of the cost for which a refinement is repeated
Propose = Callable[[np.ndarray], np.ndarray]
Residuals = Callable[[np.ndarray, np.ndarray | slice], np.ndarray]
Refine = Callable[[np.ndarray, np.ndarray], np.ndarray | None]


@dataclass(frozen=True, eq=False)
class RobustProblem:
    """A model and its data, as `ransac` needs them.

    Parameters
    ----------
    count : int
        Number of data N.
    sample_size : int
        Data in a minimal sample.
    propose : callable
        Indices (B, sample_size) -> models (M, ...), M any number.
    residuals : callable
        Models (M, ...), which data (indices or a slice) -> (M, n). NaN: does not fit.
    refine : callable, optional
        (model, indices of its inliers) -> a model, or None where that is impossible.
    """

    count: int
    sample_size: int
    propose: Propose
    residuals: Residuals
    refine: Refine | None = None


@dataclass(frozen=True, eq=False)
class Estimate:
    """A robustly estimated model.

    Parameters
    ----------
    model : array
        As `RobustProblem.propose` makes them.
    inliers : (N,) bool
        Residual below the threshold.
    cost : float
        Mean truncated squared residual in threshold^2: 0 is perfect, 1 means that nothing agrees.
    samples : int
        Minimal samples drawn.
    candidates : (K, ...) array
        The best models met, best first, `model` among them.
    """

    model: np.ndarray
    inliers: np.ndarray
    cost: float
    samples: int
    candidates: np.ndarray


def ransac(
    problem: RobustProblem,
    *,
    threshold: float,
    confidence: float = 0.9999,
    max_samples: int = 4000,
    batch: int = 32,
    keep: int = 1,
    seed: int = 0,
) -> Estimate | None:
    """Minimise the MSAC cost, mean over i of min(r_i^2 / threshold^2, 1), over random minimal samples.

    Every new best model is refined on its inliers until it no longer improves (local optimisation). Each batch of
    models is ranked on a fixed random subset of the data first, and only its best few are scored on all data.

    Parameters
    ----------
    problem : RobustProblem
        Data, minimal solver, residuals, refinement.
    threshold : float
        Residual of an inlier, positive.
    confidence : float
        Sampling stops when a better model has been missed with probability below 1 - confidence; 0 to 1.
    max_samples : int
        Samples at most.
    batch : int
        Samples of the first batch; each later one is as large as all before it, 1024 at most.
    keep : int
        Number of candidates to return, for costs with several minima.
    seed : int
        Same seed, same result.

    Returns
    -------
    Estimate or None
        None where no sample gives a model.

    Raises
    ------
    ValueError
        For a threshold, confidence or number of samples out of range.

    References
    ----------
    Fischler and Bolles, Random sample consensus, 1981. Torr and Zisserman, MLESAC, 2000 (the truncated cost). Chum,
    Matas and Kittler, Locally optimized RANSAC, 2003.
    """
    _check(threshold, confidence, max_samples, batch, keep)
    count, size = problem.count, problem.sample_size
    if count < size:
        return None
    rng = np.random.default_rng(seed)
    preview = np.sort(rng.permutation(count)[:PREVIEW])
    best, best_cost, inliers = None, np.inf, np.zeros(count, bool)
    drawn, needed = 0, float(max_samples)
    pool = []  # (cost, model) of the best few
    while drawn < min(needed, max_samples):
        wanted = int(np.ceil(min(needed, max_samples))) - drawn
        rows = min(max(batch, min(drawn, MAX_BATCH, wanted)), max_samples - drawn)
        samples = _distinct(rng, count, size, rows)
        drawn += len(samples)
        models = problem.propose(samples)
        if len(models) == 0:
            continue
        rough = _costs(problem, models, preview, threshold)
        top = models[np.argsort(rough, kind="stable")[:FINALISTS]]
        costs = _costs(problem, top, slice(None), threshold)
        k = int(np.argmin(costs))
        pool += zip(costs, top, strict=True)
        if costs[k] >= best_cost:
            continue
        best, best_cost = _refined(problem, top[k], float(costs[k]), threshold)
        pool.append((best_cost, best))
        inliers = truncated_squares(problem.residuals(best[None], slice(None))[0], threshold) < 1
        needed = _samples_needed(float(inliers.mean()), size, confidence)
    if best is None:
        return None
    order = np.argsort([cost for cost, _ in pool], kind="stable")[:keep]
    return Estimate(best, inliers, best_cost, drawn, np.stack([pool[k][1] for k in order]))


def truncated_squares(r: np.ndarray, threshold: float) -> np.ndarray:
    """Return min(r^2 / threshold^2, 1), and 1 where r is NaN. Bounded before it is squared: r may be infinite."""
    ratio = np.fmin(np.abs(r), threshold) / threshold
    return ratio * ratio


def _check(threshold: float, confidence: float, max_samples: int, batch: int, keep: int) -> None:
    if not 0 < threshold < np.inf:
        raise ValueError(f"ransac needs a finite threshold above 0, got {threshold}")
    if not 0 <= confidence <= 1:
        raise ValueError(f"ransac needs a confidence of 0 to 1, got {confidence}")
    if min(max_samples, batch, keep) < 1:
        raise ValueError(f"ransac needs max_samples, batch, keep of 1 or more, got {max_samples}, {batch}, {keep}")


def _costs(problem: RobustProblem, models: np.ndarray, which: np.ndarray | slice, threshold: float) -> np.ndarray:
    """The MSAC cost of each model on the data `which`."""
    return truncated_squares(problem.residuals(models, which), threshold).mean(-1)


def _refined(problem: RobustProblem, model: np.ndarray, cost: float, threshold: float) -> tuple[np.ndarray, float]:
    """The model refined on its own inliers, again and again while its cost falls; and its cost."""
    while problem.refine is not None:
        agree = np.flatnonzero(np.abs(problem.residuals(model[None], slice(None))[0]) < threshold)
        better = problem.refine(model, agree) if len(agree) > problem.sample_size else None
        if better is None:
            break
        new_cost = float(_costs(problem, better[None], slice(None), threshold)[0])
        if new_cost >= cost * (1 - MIN_GAIN):
            break
        model, cost = better, new_cost
    return model, cost


def _samples_needed(share: float, size: int, confidence: float) -> float:
    """n with (1 - share^size)^n = 1 - confidence."""
    miss = np.log1p(-min(share**size, 1 - 1e-12))
    return np.inf if miss == 0 or confidence == 1 else float(np.log(1 - confidence) / miss)


def _distinct(rng: np.random.Generator, count: int, size: int, rows: int) -> np.ndarray:
    """(rows, size) numbers below `count`, no number twice in a row."""
    if count <= 4 * size:
        return np.argsort(rng.random((rows, count)), axis=1)[:, :size]
    out = rng.integers(count, size=(rows, size))
    while True:
        ordered = np.sort(out, axis=1)
        twice = (ordered[:, 1:] == ordered[:, :-1]).any(1)
        if not twice.any():
            return out
        out[twice] = rng.integers(count, size=(int(twice.sum()), size))


def huber_fit(B: np.ndarray, r: np.ndarray, rounds: int = 8) -> np.ndarray:
    """argmin_c of Huber's loss of r - B c, its corner at 1.5 robust deviations, by iterated weights; (K,).

    A small ridge keeps coefficients that the data do not determine at 0.
    """
    w, c = np.ones(len(r)), np.zeros(B.shape[1])
    ridge = 1e-6 * np.eye(B.shape[1]) * (B**2).sum() / B.shape[1]
    for _ in range(rounds):
        weighted = w[:, None] * B
        c = np.linalg.solve(np.einsum("np,nq->pq", weighted, B) + ridge, np.einsum("np,n->p", weighted, r))
        e = np.abs(r - B @ c)
        w = 1 / np.maximum(1, e / max(1.5 * 1.4826 * np.median(e), 1e-9))
    return c
