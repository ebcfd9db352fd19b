"""Findings of cameras of any field: panoramas, and fisheyes whose whole field is used."""

from dataclasses import dataclass

import numpy as np

from ..geometry.rotations import enforce_rotation
from ..records import Finding, Matches, RectifiedPair, Rig, TwoView
from ..rectification.sphere import POLE_DEG
from ..two_view.uncertainty import direction_sigma_deg
from .statistics import TURN_OUTLIER, TURN_ROUNDS, parallax_angles

STILL_PX = 2.0  # px at matching size: what moves by less has no depth worth the name


@dataclass(frozen=True)
class SphereThresholds:
    """Bounds of the findings of rays; lengths in px of a photo of longer side 1600 (`photo_unit`)."""

    turn_residual: float = 1.5  # px, 90 % of the matches, after the best turn; more is parallax
    max_direction_sigma: float = 2.0  # degrees, standard error of the direction of t


SPHERE_THRESHOLDS = SphereThresholds()


def sphere_findings(
    matches: Matches, view: TwoView, rig: Rig, unit: float, limits: SphereThresholds = SPHERE_THRESHOLDS
) -> list[Finding]:
    """Return whether the matches of wide lenses show more than a turn, and how certain the direction of motion is.

    Parameters
    ----------
    matches : Matches
        Photo pixels.
    view : TwoView
        The estimate.
    rig : Rig
        The cameras as given.
    unit : float
        Photo px in one px of the reference size.
    """
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    px = unit * view.rig.pixel_angle
    left_over = turn_angle(view.rig.cam1.rays_from_pixels(x1), view.rig.cam2.rays_from_pixels(x2)) / px
    if left_over < limits.turn_residual and not rig.posed:
        return [
            Finding(
                "pure_rotation",
                "error",
                f"a turn alone explains the matches to {left_over:.2g} px (90 %): both photos were taken from one "
                "place, or everything is far away.",
                {"residual_px": left_over},
                "Take the second photo from another place, a tenth of the distance of the scene away.",
            )
        ]
    if rig.posed:
        return []
    sigma = direction_sigma_deg(x1, x2, view)
    if not sigma > limits.max_direction_sigma:
        return []
    return [
        Finding(
            "unstable_pose",
            "warning",
            f"the direction of the camera's motion is uncertain by {sigma:.1f} degrees (standard error).",
            {"spread_deg": sigma},
            "More overlap, or more parallax.",
        )
    ]


def turn_angle(d1: np.ndarray, d2: np.ndarray) -> float:
    """Return the 90 % quantile of the angle, rad, that the best rotation leaves between unit rays d1, d2 (N, 3)."""
    keep, error = np.ones(len(d1), bool), np.full(len(d1), np.inf)
    for _ in range(TURN_ROUNDS):
        R = enforce_rotation(d2[keep].T @ d1[keep])
        error = np.linalg.norm(np.cross(d1 @ R.T, d2), axis=1)
        keep = error <= max(TURN_OUTLIER * np.median(error), 1e-12)
    return float(np.quantile(error, 0.9))


def panorama_findings(pair: RectifiedPair, matches: Matches, view: TwoView, rig: Rig) -> list[Finding]:
    """State how a pair was rectified over the sphere, and what of it has no depth; nothing of another pair.

    Parameters
    ----------
    pair : RectifiedPair
    matches : Matches
        Photo pixels.
    view : TwoView
        The estimate.
    rig : Rig
        The cameras as given.
    """
    grid = pair.sphere
    if grid is None:
        return []
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    still = float(np.mean(parallax_angles(x1, x2, view) < STILL_PX * grid.pitch))
    around = 360.0 if grid.closed else float(np.degrees(len(grid.row_angles) * grid.row_pitch))
    sigma = 0.0 if rig.posed else direction_sigma_deg(x1, x2, view)
    pose = "the pose is given" if rig.posed else f"the direction of motion is certain to {sigma:.2g} degrees"
    what = "panoramas" if rig.cam1.is_panorama and rig.cam2.is_panorama else "photos of a wide field"
    return [
        Finding(
            "panorama",
            "info",
            f"the {what} are matched in half-planes about the line between the cameras, {around:.0f} degrees around; "
            f"{pose}. {100 * still:.0f} % of the matches move by less than {STILL_PX:g} px, and their depth is poor or "
            f"left out; so are {POLE_DEG:g} degrees about the line between the cameras at either end.",
            {"around_deg": around, "direction_sigma_deg": sigma, "still_share": still, "pole_deg": POLE_DEG},
        )
    ]
