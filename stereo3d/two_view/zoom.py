"""Does the focal length differ between two photos by one lens? Focus and zoom change it."""

from dataclasses import replace

import numpy as np

from ..records import Matches, Rig, TwoView
from .lens import MAX_INDEPENDENT, free_lens_model, one_lens
from .refine import LensModel, RobustLoss, adjust, centred_pixels, noise_of, sampson_residuals
from .uncertainty import freed_zoom
from .window import MIN_NOISE, likelihood_gain

# Log likelihood, of `MAX_INDEPENDENT` matches at most, by which a changed focal length must explain them better; and
# standard errors by which it must differ (docs/decisions/focus-change.md).
MIN_GAIN = 10.0
MIN_SIGMAS = 5.0
TRIED_MATCHES = 1000  # evenly over all


def may_have_zoomed(matches: Matches, view: TwoView, rig: Rig, *, threshold: float) -> bool:
    """Return whether pose and lens, refined from an estimate, fit better by half of `MIN_GAIN` with f2 / f1 free.

    Parameters
    ----------
    matches : Matches
        Photo pixels, inliers or not.
    view : TwoView
        The estimate with one lens.
    rig : Rig
        The cameras before it. Only one lens with free parameters may have zoomed.
    threshold : float
        px, Sampson distance of an inlier.
    """
    if not one_lens(rig):
        return False
    x1, x2, _, focals = centred_pixels(matches.x1, matches.x2, view.rig)
    stride = max(1, -(-len(x1) // TRIED_MATCHES))
    x1, x2 = x1[::stride], x2[::stride]
    models = [free_lens_model(rig, focals, zoom=zoom) for zoom in (False, True)]
    if models[0].basis.shape[1] == 0:
        return False
    weight = max(1.0, len(x1) / MAX_INDEPENDENT)
    costs = [_refined_cost(view, x1, x2, replace(model, prior_weight=weight), threshold) for model in models]
    return bool(costs[0] - costs[1] > 0.5 * MIN_GAIN * weight)


def _refined_cost(view: TwoView, x1: np.ndarray, x2: np.ndarray, model: LensModel, threshold: float) -> float:
    """The cost (`adjust`) of pose and lens refined from the view; x1, x2 (n, 2) px about the principal points."""
    R, t = view.R[None], view.t[None] / np.linalg.norm(view.t)
    p = np.zeros((1, model.basis.shape[1]))
    noise = max(noise_of(sampson_residuals(R, t, p, x1, x2, model)[0], threshold), MIN_NOISE * threshold / 1.5)
    return float(adjust(R, t, p, x1, x2, model, loss=RobustLoss.of_noise(noise, threshold))[3][0])


def has_zoomed(matches: Matches, view: TwoView, zoomed: TwoView, *, threshold: float) -> bool:
    """Return whether an estimate with f2 / f1 free explains the matches of both far better, and f2 / f1 is not 1.

    Parameters
    ----------
    matches : Matches
        Photo pixels, inliers or not.
    view, zoomed : TwoView
        Estimates with one lens, and with its focal length free in each photo.
    threshold : float
        px, Sampson distance of an inlier.
    """
    both = matches[view.inliers & zoomed.inliers]
    ratio = abs(np.log(zoomed.rig.cam2.focal / zoomed.rig.cam1.focal))
    if len(both) == 0 or likelihood_gain(both, view, zoomed, threshold) < MIN_GAIN:
        return False
    sigma = freed_zoom(matches.x1[zoomed.inliers], matches.x2[zoomed.inliers], zoomed).sigma
    return bool(ratio > MIN_SIGMAS * sigma)
