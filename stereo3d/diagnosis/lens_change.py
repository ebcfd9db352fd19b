"""Findings of a lens that changed between the photos: zoom, focus, a rolling shutter, a stabiliser."""

import numpy as np

from ..records import Finding, Rig, TwoView
from ..two_view.lens import one_lens
from ..two_view.uncertainty import FreedParameter, freed_skew, freed_zoom
from .cameras import CAMERA_THRESHOLDS, CameraThresholds

REMEDY = "Leave zoom and focus alone, switch the stabiliser off, hold still; or give a calibration (--calib)."


def lens_change_findings(
    view: TwoView,
    rig: Rig,
    x1: np.ndarray,
    x2: np.ndarray,
    testable: bool,
    limits: CameraThresholds = CAMERA_THRESHOLDS,
) -> list[Finding]:
    """Return a warning where the second photo has another focal length than the first, or is skewed against it.

    Parameters
    ----------
    view : TwoView
        The estimate.
    rig : Rig
        The cameras as they were given.
    x1, x2 : (N, 2) float64
        Inliers, photo px.
    testable : bool
        Whether the motion is certain enough to test the lens. What the estimate itself has found is reported anyway.
    limits : CameraThresholds
        Bounds of the findings.

    Returns
    -------
    list of Finding
        "focus_changed" where the pose has been estimated with a ratio of the focal lengths that a change of focus
        makes; "lens_changed" where the ratio is larger, or where the estimate leaves a change out.
    """
    if rig.posed:
        return []
    ratio = view.rig.cam2.focal / view.rig.cam1.focal
    if one_lens(rig) and ratio != 1:
        return [_modelled(ratio, limits)]
    if not testable or len(x1) < limits.min_matches:
        return []
    zoom, skew = freed_zoom(x1, x2, view), freed_skew(x1, x2, view)
    factor = float(np.exp(zoom.value))
    if _certain(zoom, limits):
        better, sigmas = f"{factor:.4f} times the focal length in the second photo", abs(zoom.value) / zoom.sigma
    elif skew.value > limits.small_change and _certain(skew, limits):
        better, sigmas = f"the second photo skewed or stretched by {100 * skew.value:.2g} %", skew.value / skew.sigma
    else:
        return []
    return [
        Finding(
            "lens_changed",
            "warning",
            f"the matches fit better with {better}, {sigmas:.0f} standard errors from no change: the zoom or the focus "
            "changed, the photos were cropped, two cameras took them, or a rolling shutter or a stabiliser bent them.",
            {
                "factor": factor,
                "log_factor_sigma": zoom.sigma,
                "cost": zoom.cost,
                "skew": skew.value,
                "skew_sigma": skew.sigma,
                "skew_cost": skew.cost,
            },
            REMEDY,
        )
    ]


def _certain(freed: FreedParameter, limits: CameraThresholds) -> bool:
    far = abs(freed.value) >= limits.min_sigmas * max(freed.sigma, 1e-12)
    return far and freed.cost <= limits.max_change_cost


def _modelled(ratio: float, limits: CameraThresholds) -> Finding:
    """Report a ratio of the focal lengths that the pose was estimated with.

    Two photos cannot tell it from a stretch by a rolling shutter or a stabiliser: with both focal lengths free, any
    fundamental matrix is that of two pinholes.
    """
    focused = abs(np.log(ratio)) <= limits.small_change
    cause = "as after a change of focus" if focused else "more than a change of focus makes"
    return Finding(
        "focus_changed" if focused else "lens_changed",
        "warning",
        f"the second photo has {ratio:.4f} times the focal length of the first, {cause}: the model allows for that. "
        "A rolling shutter or a stabiliser looks the same, and depth would be wrong.",
        {"factor": float(ratio)},
        REMEDY,
    )
