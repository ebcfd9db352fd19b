"""Findings of a pair: overlap, parallax, baseline, stability of the pose."""

from dataclasses import dataclass, replace

import numpy as np

from ..geometry.arrays import hom
from ..geometry.camera import project, undistort
from ..records import Finding, Matches, Rig, TwoView
from ..two_view.uncertainty import weakest_motion_px
from .cameras import CAMERA_THRESHOLDS, CameraThresholds, camera_findings
from .flatness import FlatnessThresholds, MotionUncertainty, flatness_findings
from .lens_change import lens_change_findings
from .sphere import sphere_findings
from .statistics import (
    coherent_outliers,
    false_alarms,
    median_parallax_angle,
    median_scale,
    photo_unit,
)


@dataclass(frozen=True)
class PairThresholds(FlatnessThresholds):
    """Bounds of the findings of a pair, measured by `benchmarks/verdict.py` over good and bad pairs.

    Lengths in px are those of a photo of longer side 1600 (`photo_unit`).
    """

    max_log_nfa: float = -10.0  # log10 of the number of false alarms; good pairs lie below -31
    min_matches: int = 40  # inliers; fewer are worth a warning
    # Of rendered scenes 77 % come out at 10 degrees between the rays, 62 % at 18, 43 % at 27, 25 % at 36.
    min_angle: float = 1.0  # degrees between the rays of a point, median
    max_angle: float = 25.0  # degrees, likewise
    min_forward_parallax: float = 10.0  # px, about 5 % of depth; nearer to the epipole there is less
    max_blind_share: float = 0.03  # of the photo around the epipole
    # px by which a motion wrong by 1 degree moves the matches; below it 0.3 px of noise cost degrees
    min_px_per_degree: float = 0.02
    outliers_share: float = 0.5  # share of inliers below which outliers are reported
    outliers_warning_share: float = 0.3  # share of inliers below which they are a warning
    moved_distance: float = 4.0  # px from the epipolar line, of a thing that moved
    min_moved: int = 20  # matches on a thing that moved
    min_moved_share: float = 0.03  # of all matches, on a thing that moved
    moved_warning_share: float = 0.1  # of all matches; more is a warning
    max_roll: float = 30.0  # degrees of roll between the photos; more is reported
    max_scale: float = 1.4  # ratio of the sizes of a thing in both photos; more is reported
    scale_warning: float = 2.0  # one photo from half the distance: three quarters of its view are wasted


PAIR_THRESHOLDS = PairThresholds()


def diagnose(
    matches: Matches,
    view: TwoView,
    rig: Rig,
    *,
    resampled: bool = False,
    limits: PairThresholds = PAIR_THRESHOLDS,
    camera_limits: CameraThresholds = CAMERA_THRESHOLDS,
) -> list[Finding]:
    """Judge the pair by its matches.

    Parameters
    ----------
    matches : Matches
        Photo pixels.
    view : TwoView
        The estimate; `view.rig` holds the refined cameras.
    rig : Rig
        The cameras as they were given, before the estimate.
    resampled : bool
        The photos are pinhole views of wide lenses, whose field is no sign of a wrong focal length.
    limits : PairThresholds
        Bounds of the findings of the matches and the motion.
    camera_limits : CameraThresholds
        Bounds of the findings of the cameras.

    Returns
    -------
    list of Finding
        Each code once. Errors: "no_overlap", "pure_rotation", "zoom", and "flat_scene" where the focal length is a
        guess or two motions explain the plane.
    """
    if len(view.inliers) != len(matches):
        raise ValueError(f"diagnose: {len(matches)} matches, {len(view.inliers)} entries of the view's inliers")
    unit = photo_unit(view.rig)
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    if view.rig.wide:
        return [
            *_overlap(matches, view, limits),
            *sphere_findings(matches, view, rig, unit),
            *_baseline(view, x1, x2, unit, limits),
            *_outliers(matches, view, unit, limits),
        ]
    motion = MotionUncertainty(x1, x2, view)
    flat = [] if rig.posed else flatness_findings(motion, rig, unit, limits)
    findings = [*_overlap(matches, view, limits), *flat]
    unsound = any(f.severity == "error" for f in findings)
    if resampled:
        camera_limits = replace(camera_limits, diagonal_fields=(0.0, 180.0))
    sound = all(f.severity == "info" for f in findings)
    findings += camera_findings(view, rig, x1, x2, unit, not findings, camera_limits)
    findings += lens_change_findings(view, rig, x1, x2, sound, camera_limits)
    findings += _baseline(view, x1, x2, unit, limits)
    if unsound:  # there is no motion of which anything else could be said
        return findings + _outliers(matches, view, unit, limits)
    if not rig.posed:
        findings += _stability(motion, unit, any(f.severity == "warning" for f in flat), limits)
    findings += _forward(view, x1, x2, unit, limits)
    findings += _outliers(matches, view, unit, limits)
    return findings + _arrangement(view, x1, x2, limits)


def _overlap(matches: Matches, view: TwoView, limits: PairThresholds) -> list[Finding]:
    log_nfa, count = false_alarms(matches, view), int(view.inliers.sum())
    if log_nfa > limits.max_log_nfa:
        return [
            Finding(
                "no_overlap",
                "error",
                f"{count} of {len(matches)} matches agree on one camera motion, which "
                f"chance can do as well (log10 of expected false alarms {log_nfa:.1f}, "
                f"needed < {limits.max_log_nfa:.0f}).",
                {"log10_nfa": log_nfa, "inliers": count, "matches": len(matches)},
                "Do both photos show the same thing? Take them from nearer to each other.",
            )
        ]
    if count < limits.min_matches:
        return [
            Finding(
                "few_matches",
                "warning",
                f"only {count} matches agree on the camera motion.",
                {"inliers": count},
                "Take sharper photos with more overlap, of something with more texture.",
            )
        ]
    return []


def _baseline(view: TwoView, x1: np.ndarray, x2: np.ndarray, unit: float, limits: PairThresholds) -> list[Finding]:
    angle = median_parallax_angle(x1, x2, view)
    if angle < limits.min_angle:
        # dz/z = dx / (f angle), of half a reference pixel
        error = 0.5 * unit / (view.rig.cam1.focal * max(np.radians(angle), 1e-9))
        amount = f"half a pixel is {100 * error:.1f} % of depth" if error < 1 else "half a pixel is all of the depth"
        return [
            Finding(
                "small_baseline",
                "warning",
                f"the rays of a point meet at {angle:.2f} degrees (median): depth is uncertain, {amount}.",
                {"angle_deg": angle, "depth_error": min(error, 1e9)},
                "Step further sideways: 3 to 15 degrees are good.",
            )
        ]
    if angle > limits.max_angle:
        return [
            Finding(
                "large_baseline",
                "warning",
                f"the rays of a point meet at {angle:.0f} degrees (median): much is hidden in one of the photos.",
                {"angle_deg": angle},
                "Take the photos nearer to each other.",
            )
        ]
    return []


def _forward(view: TwoView, x1: np.ndarray, x2: np.ndarray, unit: float, limits: PairThresholds) -> list[Finding]:
    """State that the epipole is inside photo 1: towards it the parallax goes to zero, and depth becomes uncertain."""
    to_camera2 = -view.R.T @ view.t
    if abs(to_camera2[2]) < 1e-3 * np.linalg.norm(to_camera2):
        return []
    epipole = project(to_camera2, view.rig.cam1.K, dist=view.rig.cam1.dist)
    size = np.array(view.rig.cam1.size)
    if (epipole < 0).any() or (epipole > size - 1).any():
        return []
    # along a ray at r px from the epipole the parallax is s r, s = |t_z| / (z - t_z): the median of it over r
    d1 = hom(undistort(x1, view.rig.cam1.K, view.rig.cam1.dist))
    d2 = hom(undistort(x2, view.rig.cam2.K, view.rig.cam2.dist))
    sine = np.linalg.norm(np.cross(d1 @ view.R.T, d2), axis=1)
    sine /= np.linalg.norm(d1, axis=1) * np.linalg.norm(d2, axis=1)
    radius = np.linalg.norm(x1 - epipole, axis=1)
    slope = float(np.nanmedian(view.rig.cam1.focal * sine / np.maximum(radius, 1)))
    blind = min(limits.min_forward_parallax * unit / max(slope, 1e-9), float(np.hypot(*size)))
    share = min(np.pi * blind**2 / float(size.prod()), 1.0)
    return [
        Finding(
            "forward_motion",
            "warning" if share > limits.max_blind_share else "info",
            "the camera moved towards the scene: depth is uncertain within about "
            f"{blind:.0f} px of ({epipole[0]:.0f}, {epipole[1]:.0f}) ({100 * share:.0f} % of the photo).",
            {"epipole_x": float(epipole[0]), "epipole_y": float(epipole[1]), "blind_px": blind, "blind_share": share},
            "Step sideways rather than forward.",
        )
    ]


def _stability(motion: MotionUncertainty, unit: float, flat: bool, limits: PairThresholds) -> list[Finding]:
    """How well do the matches determine the motion? flat: `flatness_findings` has compared other motions already."""
    findings = []
    sigma = motion.sigma_deg
    if sigma > limits.max_direction_sigma:
        findings.append(
            Finding(
                "unstable_pose",
                "warning",
                f"the direction of the camera's motion is uncertain by {sigma:.1f} degrees (standard error).",
                {"spread_deg": sigma},
                "Take photos with more overlap and a longer step between, or give the focal length (--focal-35mm).",
            )
        )
    rival, cost = (None, np.inf) if flat else motion.rival
    if rival is not None and cost < limits.max_rival_cost:
        findings.append(
            Finding(
                "critical_surface",
                "warning",
                f"another camera motion, {rival:.0f} degrees off, explains the matches as "
                "well: the points lie on or near a critical surface.",
                {"rival_deg": rival, "rival_cost": cost},
                "Include things at several depths, or move another way.",
            )
        )
    elif (
        (seen := weakest_motion_px(motion.x1, motion.x2, motion.view) / unit) < limits.min_px_per_degree
        and not flat
        and (sigma <= limits.max_direction_sigma)
    ):
        findings.append(
            Finding(
                "critical_surface",
                "warning",
                f"a motion wrong by one degree moves the matches by {seen:.2f} px only: the "
                "points lie near a critical surface, and small errors of the lens can bend the shape.",
                {"px_per_degree": seen},
                "Include things at several depths, or step further sideways.",
            )
        )
    return findings


def _outliers(matches: Matches, view: TwoView, unit: float, limits: PairThresholds) -> list[Finding]:
    findings = []
    share = float(view.inliers.mean())
    if share < limits.outliers_share:
        findings.append(
            Finding(
                "many_outliers",
                "warning" if share < limits.outliers_warning_share else "info",
                f"{100 * share:.0f} % of {len(matches)} matches agree with the camera motion.",
                {"inlier_share": share},
                "Repeated texture, moving things and little overlap cause this.",
            )
        )
    moving = coherent_outliers(matches, view, limits.moved_distance * unit)
    count = int(moving.sum())
    if count >= limits.min_moved and count > limits.min_moved_share * len(matches):
        x, y = np.median(matches.x1[moving], axis=0)
        findings.append(
            Finding(
                "moving_objects",
                "warning" if count > limits.moved_warning_share * len(matches) else "info",
                f"{count} matches about "
                f"({x:.0f}, {y:.0f}) px agree with each other but not with the camera motion: something moved, or a "
                "pattern repeats.",
                {"matches": count, "share": count / len(matches), "x": x, "y": y},
                "Take both photos at once, or while nothing moves.",
            )
        )
    return findings


def _arrangement(view: TwoView, x1: np.ndarray, x2: np.ndarray, limits: PairThresholds) -> list[Finding]:
    """State an unusual arrangement of the photos: their order, roll and scale."""
    findings = []
    centre2 = -view.R.T @ view.t
    if centre2[0] < -0.01 * np.linalg.norm(centre2):
        findings.append(
            Finding(
                "swapped",
                "info",
                "the first photo was taken from the right of the second; that is taken into account.",
                {"camera2_x": float(centre2[0])},
            )
        )
    roll = float(np.degrees(np.arctan2(view.R[1, 0] - view.R[0, 1], view.R[0, 0] + view.R[1, 1])))
    if abs(roll) > limits.max_roll:
        findings.append(
            Finding(
                "turned",
                "info",
                f"the second photo is turned by {roll:.0f} degrees against the first; that is taken into account.",
                {"roll_deg": roll},
            )
        )
    scale = median_scale(x1, x2, view)
    if max(scale, 1 / scale) > limits.max_scale:
        near, factor = ("second", scale) if scale > 1 else ("first", 1 / scale)
        findings.append(
            Finding(
                "different_scale",
                "warning" if factor > limits.scale_warning else "info",
                f"the {near} photo shows things {factor:.1f} times as large: it was taken from nearer, or zoomed in.",
                {"scale": scale},
                "Take both photos from about the same distance, with the same zoom.",
            )
        )
    return findings
