"""Cross-validation by regions: whether a further parameter explains matches that it was not fitted to."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..geometry.arrays import hom, norms
from .refine import LENS, LensModel, fit_views, noise_of, sampson_residuals, soft_truncated

CELLS = 4  # regions a side of the first photo: errors of neighbouring matches are alike, those of regions hardly
FOLDS = 5  # regions of one fold do not touch each other
MIN_GAIN = 1.645  # standard errors: chance reaches as much in one case of twenty
# Degrees between the rays of a point, median. Below, distortion must be confirmed; above, it hardly explains parallax,
# and on random lenses (`benchmarks/pose.py`) a small one that is left out costs more than one that is not there.
SMALL_BASELINE_DEG = 3.0
_DISTORTION = [3, 4, 8, 9]  # rows of `LensModel.basis`: k1, k2 of both cameras

# Of the matches to be used (N,) bool: the residuals (N,), px, of all matches after a fit to these.
Fit = Callable[[np.ndarray], np.ndarray]


def held_out_residuals(fit: Fit, x: np.ndarray, cells: int = CELLS) -> np.ndarray:
    """Return the residuals (N,) of matches in regions that took no part in the fit.

    Parameters
    ----------
    fit : callable
        The fit, called once for each fold.
    x : (N, 2) float64
        Where the matches are in the first photo, px about its middle.
    cells : int
        Regions a side.

    References
    ----------
    Stone, Cross-validatory choice and assessment of statistical predictions, 1974. Roberts et al., Cross-validation
    strategies for data with temporal, spatial, hierarchical, or phylogenetic structure, 2017.
    """
    cell = _cells(x, cells)
    fold = (cell[:, 0] + 3 * cell[:, 1]) % FOLDS
    out = np.empty(len(x))
    for k in np.unique(fold):
        out[fold == k] = fit(fold != k)[fold == k]
    return out


def held_out_gain(simple: Fit, rich: Fit, x: np.ndarray, threshold: float) -> tuple[float, float]:
    """Mean of rho(r_simple) - rho(r_rich) over matches in regions left out of both fits, and its standard error.

    Parameters
    ----------
    simple, rich : callable
        Two fits, the rich one with further parameters.
    x : (N, 2) float64
        Where the matches are in the first photo, px about its middle.
    threshold : float
        px, of an inlier. rho is `soft_truncated`, with the noise of the simple fit.

    Returns
    -------
    gain, standard_error : float
        Of regions, not of matches: neighbours share their errors. 0, inf without matches.
    """
    if not len(x):
        return 0.0, np.inf
    sigma = noise_of(simple(np.ones(len(x), bool)), threshold)
    losses = [soft_truncated(held_out_residuals(fit, x), sigma, 4 * sigma)[0] for fit in (simple, rich)]
    gain = losses[0] - losses[1]
    mean = float(gain.mean())
    _, region = np.unique(_cells(x, CELLS), axis=0, return_inverse=True)
    sums = np.bincount(region.ravel(), gain - mean)
    return mean, max(float(np.sqrt(np.sum(sums**2))) / len(x), 1e-300)


def _cells(x: np.ndarray, cells: int) -> np.ndarray:
    """Column and row (N, 2) of the region of each match."""
    return np.floor(0.5 * cells * x / max(float(np.abs(x).max(initial=0)), 1e-300)).astype(int)


def supported_lens(
    R: np.ndarray,
    t: np.ndarray,
    p: np.ndarray,
    x1: np.ndarray,
    x2: np.ndarray,
    lens_model: LensModel,
    *,
    threshold: float,
) -> tuple[LensModel, np.ndarray, float]:
    """Return the lens model and p, of a small baseline without distortion that held-out matches do not confirm.

    With a small baseline (`SMALL_BASELINE_DEG`), distortion of both photos explains parallax: it bends the shape, and
    the matches agree.

    Parameters
    ----------
    R, t, p, x1, x2, lens_model, threshold
        As in `fit_views`.

    Returns
    -------
    lens_model, p : LensModel, (q,) float64
        As given, or without the columns of k1 and k2.
    strain : float
        Mean of (p / prior sigma)^2 of the fit with distortion where that is left out, else 0: far above 1 where the
        pictures are bent as by no lens, which pulls at the focal length as well.
    """
    kept = ~np.any(lens_model.basis[_DISTORTION], axis=0)
    plain = replace(lens_model, basis=lens_model.basis[:, kept], prior_sigma=lens_model.prior_sigma[kept])
    if kept.all() or _median_angle_deg(R, x1, x2, lens_model, p) >= SMALL_BASELINE_DEG:
        return lens_model, p, 0.0

    def views(model: LensModel, start: np.ndarray, used: np.ndarray | slice) -> tuple:
        return fit_views(R, t, start, x1[used], x2[used], model, threshold=threshold)

    def fit(model: LensModel, start: np.ndarray, used: np.ndarray) -> np.ndarray:
        R1, t1, p1, *_ = views(model, start, used)
        return sampson_residuals(R1[None], t1[None], p1[None], x1, x2, model)[0]

    gain, error = held_out_gain(
        lambda used: fit(plain, p[kept], used), lambda used: fit(lens_model, p, used), x1, threshold
    )
    if gain > MIN_GAIN * error:
        return lens_model, p, 0.0
    bent = views(lens_model, p, slice(None))[2]
    return plain, p[kept], float(np.mean((bent / lens_model.prior_sigma) ** 2))


def _median_angle_deg(R: np.ndarray, x1: np.ndarray, x2: np.ndarray, lens_model: LensModel, p: np.ndarray) -> float:
    """Median angle between the rays of the matches, degrees; inf without matches."""
    f1, f2 = lens_model.focals * np.exp((lens_model.basis @ p)[[0, LENS]])
    a, b = hom(x1 / f1) @ R.T, hom(x2 / f2)
    sine = norms(np.cross(a, b)) / (norms(a) * norms(b))
    return float(np.degrees(np.arcsin(min(np.median(sine), 1.0)))) if len(x1) else np.inf
