"""Metric scale from a known distance between two pixels."""

import math
from dataclasses import replace

import numpy as np

from ..errors import StereoError
from ..geometry.arrays import norms
from ..records import Finding, RectifiedPair, RightViewPoints, TwoView

READING_SIGMA = 0.5  # px, of the two pixels of --known-distance, which are read by hand


def known_scale(
    points: np.ndarray,
    sigma: np.ndarray,
    pair: RectifiedPair,
    view: TwoView,
    known_distance: tuple[tuple[float, float], tuple[float, float], float],
    unit: str,
) -> tuple[float, Finding]:
    """Return the factor from baselines to `unit` by a known distance, and a finding with its uncertainty.

    Parameters
    ----------
    points, sigma : (H, W, 3), (H, W) float
        The point map, in baselines.
    known_distance : ((x, y), (x, y), distance)
        Two pixels of the first photo and the distance of what they show, in `unit`.

    Raises
    ------
    StereoError
        "bad_option" where a pixel shows no surface, or both are too near each other.
    """
    *pixels, distance = known_distance
    ends, sigmas = zip(*[_point_at(points, sigma, pair, view, np.array(x)) for x in pixels], strict=True)
    apart = float(np.linalg.norm(ends[0] - ends[1]))
    along = (ends[0] - ends[1]) / max(apart, 1e-300)
    camera = view.rig.cam1
    across = [READING_SIGMA * (X[2] if camera.lens is None else np.linalg.norm(X)) / camera.focal for X in ends]
    error = math.hypot(*(s * abs(along @ X) / np.linalg.norm(X) for s, X in zip(sigmas, ends, strict=True)), *across)
    if not error < 0.5 * apart:
        raise StereoError(
            "bad_option",
            "the two pixels of --known-distance are too near each other to measure a length: "
            f"{apart:.3g} +- {error:.2g} baselines.",
            "Name two pixels that are farther apart.",
        )
    return distance / apart, Finding(
        "known_distance",
        "info",
        f"the two pixels are {apart:.4g} baselines apart, so the baseline is "
        f"{distance / apart:.4g} {unit} +- {100 * error / apart:.2g} %.",
        {"baseline": distance / apart, "relative_error": error / apart},
    )


def _point_at(
    points: np.ndarray, sigma: np.ndarray, pair: RectifiedPair, view: TwoView, x: np.ndarray
) -> tuple[np.ndarray, float]:
    """The point that pixel x of the first photo shows, by a plane w(x) through its neighbours, and its sigma."""
    known = np.isfinite(points[..., 2])
    off = pair.map1[known] - x
    away = np.linalg.norm(off, axis=1)
    pixel = np.nanmedian(np.linalg.norm(np.diff(pair.map1, axis=1), axis=-1))  # of the map, in pixels of the photo
    nearest = int(np.argmin(away))
    if not away[nearest] <= 3 * pixel:
        there = pair.map1[known][nearest]
        raise StereoError(
            "bad_option",
            f"no surface was found at pixel {x[0]:g},{x[1]:g} of the first photo.",
            f"The nearest pixel with a surface is {there[0]:.0f},{there[1]:.0f}.",
        )
    around = np.flatnonzero(away <= away[nearest] + 3 * pixel)
    X, s = points[known][around], sigma[known][around]
    camera = view.rig.cam1
    depth = X[:, 2] if camera.lens is None else norms(X)
    w, deviation = 1 / depth, s / (norms(X) * depth)
    here = np.argmin(away[around])
    same = np.abs(w - w[here]) <= 3 * np.hypot(deviation, deviation[here])
    plane = np.column_stack([off[around][same] / pixel, np.ones(same.sum())])
    fit = np.linalg.lstsq(plane, w[same])[0][2] if same.sum() >= 6 else w[here]
    ray = camera.rays_from_pixels(x[None])[0]
    ray = ray / ray[2] if camera.lens is None else ray
    return ray / fit, float(np.median(s[same]))


def scale_view(view: TwoView, factor: float, unit: str | None) -> TwoView:
    """Return the view with its baseline multiplied by a factor, in that unit."""
    t = view.t * factor
    return replace(view, t=t, rig=replace(view.rig, t=t, unit=unit))


def scale_points(between: RightViewPoints, factor: float) -> RightViewPoints:
    """Return the points with all lengths multiplied by a factor."""
    return replace(
        between, points=between.points * factor, sigma=between.sigma * factor, centre=between.centre * factor
    )
