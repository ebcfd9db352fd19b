"""Findings of a nominal rig: what moved, and how uncertain depth remains."""

from dataclasses import dataclass

import numpy as np

from ..geometry.rotations import angle_deg, rotation_angle_deg
from ..records import Finding, Matches, Rig, TwoView
from ..two_view.nominal import LENS, POSE, move_between, prior_sigmas
from ..two_view.nominal_depth import relative_depth_sigma


@dataclass(frozen=True)
class RigThresholds:
    """Bounds of the findings of a nominal rig."""

    max_sigmas: float = 3.0  # standard deviations a priori; a number that moves farther is hardly of this rig
    # Relative standard deviation of depth that the rig leaves; more shows in the shape: a cube of 1 is 0.95 to 1.05.
    max_depth_sigma: float = 0.05


RIG_THRESHOLDS = RigThresholds()


def rig_findings(matches: Matches, view: TwoView, rig: Rig, limits: RigThresholds = RIG_THRESHOLDS) -> list[Finding]:
    """State by how much the matches moved a nominal rig, and how uncertain it leaves depth; nothing of an exact one.

    Parameters
    ----------
    matches : Matches
        Photo pixels.
    view : TwoView
        The estimate; `view.rig` is the refined rig.
    rig : Rig
        The rig as given.
    limits : RigThresholds
        Bounds of the findings.
    """
    if not rig.posed or rig.error.exact:
        return []
    return [_moved(view, rig, limits), *_depth(matches, view, limits)]


def _moved(view: TwoView, rig: Rig, limits: RigThresholds) -> Finding:
    assert rig.R is not None and rig.t is not None
    p, sigma = move_between(rig, view.rig), prior_sigmas(rig)
    share = np.abs(p) / np.where(sigma > 0, sigma, np.inf)
    lens = np.array([[POSE + k, POSE + LENS + k] for k in range(LENS)])
    sigmas = [float(share[k].max()) for k in ([0, 1, 2], [3, 4], lens[0], lens[1:3].ravel(), lens[3])]
    focal = 100 * np.expm1(p[lens[0]])
    centre = np.hypot(*p[lens[1:3]])
    numbers = {
        "rotation_deg": rotation_angle_deg(view.R @ rig.R.T),
        "direction_deg": angle_deg(view.t, rig.t),
        "focal1_percent": float(focal[0]),
        "focal2_percent": float(focal[1]),
        "centre1_px": float(centre[0]),
        "centre2_px": float(centre[1]),
        "k1_1": float(p[lens[3, 0]]),
        "k1_2": float(p[lens[3, 1]]),
        "sigmas": max(sigmas),
    }
    distortion = (
        f", k1 by {p[lens[3, 0]]:+.3f} and {p[lens[3, 1]]:+.3f} ({sigmas[4]:.1f})" if np.any(p[lens[3]]) else ""
    )
    far = max(sigmas) > limits.max_sigmas
    return Finding(
        "rig_moved",
        "warning" if far else "info",
        f"the matches moved the nominal rig (in brackets: standard deviations of such a rig): rotation by "
        f"{numbers['rotation_deg']:.2f} degrees ({sigmas[0]:.1f}), direction of the baseline by "
        f"{numbers['direction_deg']:.2f} degrees ({sigmas[1]:.1f}), focal lengths by {focal[0]:+.1f} and "
        f"{focal[1]:+.1f} % ({sigmas[2]:.1f}), principal points by {centre[0]:.1f} and {centre[1]:.1f} px "
        f"({sigmas[3]:.1f}){distortion}.",
        numbers,
        "Calibrate the rig anew (stereo3d calibrate)." if far else "",
    )


def _depth(matches: Matches, view: TwoView, limits: RigThresholds) -> list[Finding]:
    sigma = relative_depth_sigma(matches.x1[view.inliers], matches.x2[view.inliers], view)
    if not sigma > limits.max_depth_sigma:
        return []
    return [
        Finding(
            "nominal_depth",
            "warning",
            f"rotation and principal points of a nominal rig leave depth uncertain by {100 * min(sigma, 1e4):.0f} % "
            "(median): what is far may be farther or nearer, and the shape stretched.",
            {"depth_sigma": min(sigma, 1e9)},
            "Calibrate the rig (stereo3d calibrate), or move the cameras farther apart.",
        )
    ]
