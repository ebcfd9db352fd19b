"""One robust estimator: propose, score, refine. It knows nothing of cameras."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Estimate:
    """model: as `propose` makes them.  inliers: (N,) bool.  cost: mean truncated squared residual in threshold^2,
    0 = perfect, 1 = nothing agrees.  samples: minimal samples drawn.  candidates: (K, ...) the best models met, best
    first, `model` among them."""

    model: np.ndarray
    inliers: np.ndarray
    cost: float
    samples: int
    candidates: np.ndarray


def ransac(
    count: int,
    sample_size: int,
    propose: Callable[[np.ndarray], np.ndarray],
    residuals: Callable[[np.ndarray, np.ndarray | slice], np.ndarray],
    *,
    threshold: float,
    refine: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    confidence: float = 0.9999,
    max_samples: int = 4000,
    batch: int = 32,
    keep: int = 1,
    seed: int = 0,
) -> Estimate | None:
    """The model of least MSAC cost, mean over i of min(r_i^2 / threshold^2, 1), over random minimal samples.

    count: number of data N.  propose: (B, sample_size) indices -> models (M, ...), M any number.
    residuals: (models (M, ...), which data) -> (M, n).  refine: (model, inlier indices) -> model, applied to every new
    best model until it no longer improves (local optimisation, Chum, Matas and Kittler 2003).
    Sampling stops when a better model has been missed with probability below 1 - confidence. Samples are drawn in
    batches, the first of `batch`, each later one as large as all before it (1024 at the most) while so many are needed.
    Each batch of models is ranked on a fixed random subset of the data first, and only its best few scored on all.
    keep: how many of the best models are handed back, for costs with several minima.
    Returns None where no sample gives a model. Same seed, same result.
    Source: Fischler and Bolles 1981; the truncated cost: Torr and Zisserman 2000 (MSAC).
    """
    if count < sample_size:
        return None
    rng = np.random.default_rng(seed)
    preview = np.sort(rng.permutation(count)[:300])
    everything = slice(None)
    best, best_cost, best_r2 = None, np.inf, None
    drawn, needed = 0, max_samples
    pool = []  # (cost, model) of the best few

    def cost_of(models, which):
        r2 = (residuals(models, which) / threshold) ** 2
        return np.minimum(np.nan_to_num(r2, nan=np.inf), 1.0).mean(-1)

    while drawn < min(needed, max_samples):
        rows = min(max(batch, min(drawn, 1024, int(np.ceil(min(needed, max_samples))) - drawn)), max_samples - drawn)
        samples = _distinct(rng, count, sample_size, rows)
        drawn += len(samples)
        models = propose(samples)
        if len(models) == 0:
            continue
        rough = cost_of(models, preview)
        top = models[np.argsort(rough, kind="stable")[:6]]
        costs = cost_of(top, everything)
        k = int(np.argmin(costs))
        pool += zip(costs, top, strict=True)
        if costs[k] >= best_cost:
            continue
        model, cost = top[k], float(costs[k])
        while refine is not None:
            agree = np.flatnonzero(np.abs(residuals(model[None], everything)[0]) < threshold)
            better = refine(model, agree) if len(agree) > sample_size else None
            if better is None:
                break
            new_cost = float(cost_of(better[None], everything)[0])
            if new_cost >= cost * (1 - 1e-4):
                break
            model, cost = better, new_cost
        best, best_cost = model, cost
        pool.append((cost, model))
        best_r2 = (residuals(best[None], everything)[0] / threshold) ** 2
        share = float((best_r2 < 1).mean())
        miss = np.log1p(-min(share**sample_size, 1 - 1e-12))
        needed = np.inf if miss == 0 else np.log(1 - confidence) / miss
    if best is None:
        return None
    order = np.argsort([cost for cost, _ in pool], kind="stable")[:keep]
    return Estimate(best, best_r2 < 1, best_cost, drawn, np.stack([pool[k][1] for k in order]))


def _distinct(rng, count: int, size: int, rows: int) -> np.ndarray:
    """(rows, size) numbers below `count`, no row with one twice."""
    if count <= 4 * size:
        return np.argsort(rng.random((rows, count)), axis=1)[:, :size]
    out = rng.integers(count, size=(rows, size))
    while True:
        ordered = np.sort(out, axis=1)
        twice = (ordered[:, 1:] == ordered[:, :-1]).any(1)
        if not twice.any():
            return out
        out[twice] = rng.integers(count, size=(int(twice.sum()), size))
