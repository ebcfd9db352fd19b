"""Findings of cameras of any field: panoramas, and fisheyes whose whole field is used."""

from dataclasses import dataclass

import numpy as np

from ..geometry.rotations import enforce_rotation
from ..geometry.two_view import essential_from_pose
from ..records import Finding, Matches, RectifiedPair, Rig, TwoView
from ..rectification.sphere import POLE_DEG
from ..two_view.rays import angular_residuals
from ..two_view.robust import ransac_fundamental
from ..two_view.uncertainty import direction_sigma_deg
from .statistics import TURN_OUTLIER, TURN_ROUNDS, parallax_angles

PARTS_PX = 6.0  # px of the photo; matches farther off are false or moved
MIN_IN_PART = 10  # matches in a part of the sphere whose median counts
STILL_PX = 2.0  # px at matching size: what moves by less has no depth worth the name


@dataclass(frozen=True)
class SphereThresholds:
    """Bounds of the findings of rays; lengths in px of a photo of longer side 1600 (`photo_unit`)."""

    turn_residual: float = 1.5  # px, 90 % of the matches, after the best turn; more is parallax
    max_direction_sigma: float = 2.0  # degrees, standard error of the direction of t
    # Share of the parallax by which whole parts of the sphere may be off their epipolar planes. Rendered panoramas of
    # one centre have up to .15 %; of two lenses 2 cm apart, in a room, 1.4 to 9 %; 6 cm apart 4 to 12 %.
    max_parts_share: float = 0.01
    plain_share: float = 0.5  # share of inliers of panoramas below which they are compared with plain photos
    plain_px: float = 1.5  # px from the epipolar line of a plain photo
    plain_gain: float = 2.0  # times as many matches that agree as plain photos': then they are no panoramas


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
    plain = _plain_photo_findings(matches, view, unit, limits)
    if plain:
        return plain
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
    findings = _central_findings(matches, view, limits, posed=rig.posed)
    if rig.posed:
        return findings
    sigma = direction_sigma_deg(x1, x2, view)
    if not sigma > limits.max_direction_sigma:
        return findings
    return [
        *findings,
        Finding(
            "unstable_pose",
            "warning",
            f"the direction of the camera's motion is uncertain by {sigma:.1f} degrees (standard error).",
            {"spread_deg": sigma},
            "Take panoramas with a longer step between them.",
        ),
    ]


def _plain_photo_findings(matches: Matches, view: TwoView, unit: float, limits: SphereThresholds) -> list[Finding]:
    """Return an error where far more matches agree with two plain photos than with two panoramas.

    Plain photos that are taken for panoramas still have some matches that agree, and a shape of nothing.
    """
    count, share = int(view.inliers.sum()), float(view.inliers.mean())
    if not (view.rig.cam1.is_panorama and view.rig.cam2.is_panorama) or share >= limits.plain_share:
        return []
    found = ransac_fundamental(matches.x1, matches.x2, threshold=limits.plain_px * max(unit, 1.0))
    plain = 0 if found is None else int(found.inliers.sum())
    if plain < limits.plain_gain * count:
        return []
    return [
        Finding(
            "no_panorama",
            "error",
            f"{plain} of {len(matches)} matches agree with a motion between plain photos, {count} with one between "
            "panoramas: these are no panoramas.",
            {"plain": plain, "inliers": count, "matches": len(matches)},
            "Leave --projection out; where the files state the projection, save the photos without it.",
        )
    ]


def _central_findings(matches: Matches, view: TwoView, limits: SphereThresholds, *, posed: bool) -> list[Finding]:
    """Return a warning where whole parts of the sphere are off their epipolar planes: rays without a common centre."""
    off = parts_residual(matches, view)
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    parallax = float(np.nanmedian(parallax_angles(x1, x2, view)))
    share = off / max(parallax, 1e-9)
    if share <= limits.max_parts_share:
        return []
    px = off / view.rig.pixel_angle
    what = (
        f"whole parts of the field are off their epipolar planes by {px:.2f} px (root mean square), "
        f"{100 * share:.2g} % of the parallax"
    )
    numbers = {"parts_px": px, "parallax_share": share}
    if posed:
        message = f"{what}: the calibration is of another pose or lens."
        return [Finding("calibration_off", "warning", message, numbers, "Calibrate the cameras again.")]
    return [
        Finding(
            "not_central",
            "warning",
            f"{what}: the rays of a photo do not meet in one point.",
            numbers,
            "Cameras with two lenses do this where things are near, and so do panoramas stitched by hand: stay farther "
            "from things, step further aside, and keep the camera turned alike.",
        )
    ]


def parts_residual(matches: Matches, view: TwoView) -> float:
    """Return by how much matches are off their epipolar planes alike in whole parts of the sphere, rad.

    sqrt(max(0, mean(m^2) - mean(s^2))), m the median of `angular_residuals` over the matches in each of 24 parts about
    camera 1 (by octant and longest axis), s its standard error: 0 for noise, however large.

    Parameters
    ----------
    matches : Matches
        Photo pixels.
    view : TwoView
    """
    d1, d2 = view.rig.cam1.rays_from_pixels(matches.x1), view.rig.cam2.rays_from_pixels(matches.x2)
    off = angular_residuals(essential_from_pose(view.R, view.t), d1, d2)
    kept = np.abs(off) < PARTS_PX * view.rig.pixel_angle
    d1, off = d1[kept], off[kept]
    part = 8 * np.abs(d1).argmax(1) + (d1 > 0) @ [1, 2, 4]
    middles, errors = [], []
    for k in np.unique(part):
        r = off[part == k]
        if len(r) >= MIN_IN_PART:
            m = float(np.median(r))
            middles.append(m)
            errors.append(1.25 * 1.4826 * float(np.median(np.abs(r - m))) / np.sqrt(len(r)))
    if not middles:
        return 0.0
    return float(np.sqrt(max(0.0, np.mean(np.square(middles)) - np.mean(np.square(errors)))))


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
