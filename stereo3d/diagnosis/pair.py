"""Findings of a pair: overlap, parallax, baseline, stability of the pose."""

import numpy as np

from ..geometry.arrays import hom
from ..geometry.camera import project, undistort
from ..records import Finding, Matches, Rig, TwoView
from ..two_view.uncertainty import direction_sigma_deg, rival_motion, weakest_motion_px
from .cameras import camera_findings
from .statistics import (
    coherent_outliers,
    false_alarms,
    homography_residual,
    median_parallax_angle,
    median_scale,
    photo_unit,
    turn_residual,
)

# The thresholds below are measured by `benchmarks/verdict.py` over good and bad pairs.
LOG_NFA_NO_OVERLAP = -10.0  # log10 of the number of false alarms; good pairs lie below -31
MIN_MATCHES = 40  # inliers; fewer are worth a warning
PARALLAX_NONE = 1.5  # px, 90 % residual after the best homography; good pairs keep 20
SHARE_NONE = 0.95  # of the matches that the homography holds; good pairs .66
PARALLAX_FLAT = 10.0  # px, as PARALLAX_NONE, of a scene that is nearly a plane
SHARE_FLAT = 0.72  # as SHARE_NONE, of a scene that is nearly a plane
# Of rendered scenes 77 % come out at 10 degrees between the rays, 62 % at 18, 43 % at 27, 25 % at 36.
ANGLE_SMALL = 1.0  # degrees
ANGLE_LARGE = 25.0  # degrees
MIN_FORWARD_PARALLAX = 10  # px, about 5 % of depth; nearer to the epipole there is less
MAX_BLIND_SHARE = 0.03  # of the photo around the epipole
MAX_DIRECTION_SIGMA = 2.0  # degrees, standard error of the direction of t
MAX_RIVAL_COST = 1.3  # cost of another motion in that of the estimate; below it the matches do not decide
MIN_PX_PER_DEGREE = 0.02  # px that the matches see of a motion wrong by 1 degree; 0.3 px of noise then cost degrees
MANY_OUTLIERS = 0.5  # share of inliers below which outliers are reported
TOO_MANY_OUTLIERS = 0.3  # share of inliers below which they are a warning
MOVED_PX = 4.0  # px from the epipolar line of a thing that moved
MIN_MOVED = 20  # matches on a thing that moved
MIN_MOVED_SHARE = 0.03  # of all matches on a thing that moved
LARGE_MOVED_SHARE = 0.1  # of all matches; more is a warning
TURNED_DEG = 30.0  # roll between the photos that is reported
SCALE_NOTED = 1.4  # ratio of the sizes of a thing in both photos that is reported
LARGE_SCALE = 2.0  # one photo from half the distance: three quarters of its view are wasted


def diagnose(matches: Matches, view: TwoView, rig: Rig, *, refined: TwoView | None = None) -> list[Finding]:
    """Judge the pair by its matches.

    Parameters
    ----------
    matches : Matches
        Photo pixels.
    view : TwoView
        The estimate; `view.rig` holds the refined cameras.
    rig : Rig
        The cameras as they were given, before the estimate.
    refined : TwoView, optional
        A later estimate, whose focal length is the one to report.

    Returns
    -------
    list of Finding
        Each code once. Errors: "no_overlap", "pure_rotation", and "flat_scene" where the focal length is a guess or
        two motions explain the plane.
    """
    unit = photo_unit(view.rig)
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    flat = [] if rig.posed else _flatness(view, rig, x1, x2, unit)
    findings = [*_overlap(matches, view), *flat]
    unsound = any(f.severity == "error" for f in findings)
    findings += camera_findings(view, refined or view, rig, x1, x2, unit, testable=not findings)
    findings += _baseline(view, x1, x2, unit)
    if unsound:  # there is no motion of which anything else could be said
        return findings + _outliers(matches, view, unit)
    if not rig.posed:
        findings += _stability(view, x1, x2, unit, bool(flat))
    return [*findings, *_forward(view, x1, x2, unit), *_outliers(matches, view, unit), *_arrangement(view, x1, x2)]


def _overlap(matches: Matches, view: TwoView) -> list[Finding]:
    log_nfa, count = false_alarms(matches, view), int(view.inliers.sum())
    if log_nfa > LOG_NFA_NO_OVERLAP:
        return [
            Finding(
                "no_overlap",
                "error",
                f"{count} of {len(matches)} matches agree on one camera motion, which "
                f"chance can do as well (log10 of expected false alarms {log_nfa:.1f}, "
                f"needed < {LOG_NFA_NO_OVERLAP:.0f}).",
                {"log10_nfa": log_nfa, "inliers": count, "matches": len(matches)},
                "Do both photos show the same thing? Take them from nearer to each other.",
            )
        ]
    if count < MIN_MATCHES:
        return [
            Finding(
                "few_matches",
                "warning",
                f"only {count} matches agree on the camera motion.",
                {"inliers": count},
                "More overlap, more texture, sharper photos.",
            )
        ]
    return []


def _flatness(view: TwoView, rig: Rig, x1: np.ndarray, x2: np.ndarray, unit: float) -> list[Finding]:
    """Do these matches determine the pose? Those of one homography do not: a turn on the spot, or one plane."""
    parallax, share = homography_residual(x1, x2, unit)
    numbers = {"parallax_px": parallax / unit, "homography_share": share}
    words = f"one homography explains {100 * share:.0f} % of the matches to {parallax:.1f} px"
    strictly = parallax < PARALLAX_NONE * unit and share > SHARE_NONE
    if strictly:
        # a lens fitted to a motion that does not exist hides the turn: test the cameras as given, too
        tested = [(*turn_residual(x1, x2, cameras), cameras.cam1.focal) for cameras in (view.rig, rig)]
        turn, factor, focal = min(tested)
        numbers["turn_px"] = turn / unit
        if turn < PARALLAX_NONE * unit:
            return [
                Finding(
                    "pure_rotation",
                    "error",
                    f"no parallax: {words}, and it is that of a camera that turned on the spot (to {turn:.1f} px).",
                    {**numbers, "focal_factor": factor * (focal / view.rig.cam1.focal)},
                    "Step sideways between the photos by about a tenth of the distance.",
                )
            ]
    elif parallax > PARALLAX_FLAT * unit or share < SHARE_FLAT:
        return []
    advice = "Include things at several depths, or step further sideways."
    severity, why = "warning", "the camera motion is uncertain"
    if strictly and {view.rig.cam1.source, view.rig.cam2.source} & {"prior", "estimated"}:
        severity, why = "error", "without a known focal length the camera motion is undetermined"
        advice = "Include things at several depths, or give the focal length (--focal-35mm)."
    else:
        # two motions explain one plane (Longuet-Higgins 1986), unless one of them puts points behind a camera
        rival, cost = rival_motion(x1, x2, view)
        if rival is not None and cost < MAX_RIVAL_COST:
            severity, why = "error", f"so does another camera motion, {rival:.0f} degrees off"
            numbers["rival_deg"] = rival
    begin = "the scene is one plane" if strictly else "the scene is nearly one plane"
    return [Finding("flat_scene", severity, f"{begin}: {words}; {why}.", numbers, advice)]


def _baseline(view: TwoView, x1: np.ndarray, x2: np.ndarray, unit: float) -> list[Finding]:
    angle = median_parallax_angle(x1, x2, view)
    if angle < ANGLE_SMALL:
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
    if angle > ANGLE_LARGE:
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


def _forward(view: TwoView, x1: np.ndarray, x2: np.ndarray, unit: float) -> list[Finding]:
    """The epipole of photo 1 lies in it: towards it the parallax goes to zero, and depth becomes uncertain."""
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
    blind = min(MIN_FORWARD_PARALLAX * unit / max(slope, 1e-9), float(np.hypot(*size)))
    share = min(np.pi * blind**2 / float(size.prod()), 1.0)
    return [
        Finding(
            "forward_motion",
            "warning" if share > MAX_BLIND_SHARE else "info",
            "the camera moved towards the scene: depth is uncertain within about "
            f"{blind:.0f} px of ({epipole[0]:.0f}, {epipole[1]:.0f}) ({100 * share:.0f} % of the photo).",
            {"epipole_x": float(epipole[0]), "epipole_y": float(epipole[1]), "blind_px": blind, "blind_share": share},
            "Step sideways rather than forward.",
        )
    ]


def _stability(view: TwoView, x1: np.ndarray, x2: np.ndarray, unit: float, flat: bool) -> list[Finding]:
    """How well the matches determine the motion. flat: `_flatness` has compared other motions already."""
    findings = []
    sigma = direction_sigma_deg(x1, x2, view)
    if sigma > MAX_DIRECTION_SIGMA:
        findings.append(
            Finding(
                "unstable_pose",
                "warning",
                f"the direction of the camera's motion is uncertain by {sigma:.1f} degrees (standard error).",
                {"spread_deg": sigma},
                "More overlap, more parallax, or a known focal length (--focal-35mm).",
            )
        )
    rival, cost = (None, np.inf) if flat else rival_motion(x1, x2, view)
    if rival is not None and cost < MAX_RIVAL_COST:
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
        (seen := weakest_motion_px(x1, x2, view) / unit) < MIN_PX_PER_DEGREE
        and not flat
        and (sigma <= MAX_DIRECTION_SIGMA)
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


def _outliers(matches: Matches, view: TwoView, unit: float) -> list[Finding]:
    findings = []
    share = float(view.inliers.mean())
    if share < MANY_OUTLIERS:
        findings.append(
            Finding(
                "many_outliers",
                "warning" if share < TOO_MANY_OUTLIERS else "info",
                f"{100 * share:.0f} % of {len(matches)} matches agree with the camera motion.",
                {"inlier_share": share},
                "Repeated texture, moving things or little overlap do this.",
            )
        )
    moving = coherent_outliers(matches, view, MOVED_PX * unit)
    count = int(moving.sum())
    if count >= MIN_MOVED and count > MIN_MOVED_SHARE * len(matches):
        x, y = np.median(matches.x1[moving], axis=0)
        findings.append(
            Finding(
                "moving_objects",
                "warning" if count > LARGE_MOVED_SHARE * len(matches) else "info",
                f"{count} matches about "
                f"({x:.0f}, {y:.0f}) px agree with each other but not with the camera motion: something moved, or a "
                "pattern repeats.",
                {"matches": count, "share": count / len(matches), "x": x, "y": y},
                "Take both photos at once, or while nothing moves.",
            )
        )
    return findings


def _arrangement(view: TwoView, x1: np.ndarray, x2: np.ndarray) -> list[Finding]:
    """How the photos stand to each other, where that is unusual: the run has taken it into account."""
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
    if abs(roll) > TURNED_DEG:
        findings.append(
            Finding(
                "turned",
                "info",
                f"the second photo is turned by {roll:.0f} degrees against the first; that is taken into account.",
                {"roll_deg": roll},
            )
        )
    scale = median_scale(x1, x2, view)
    if max(scale, 1 / scale) > SCALE_NOTED:
        near, factor = ("second", scale) if scale > 1 else ("first", 1 / scale)
        findings.append(
            Finding(
                "different_scale",
                "warning" if factor > LARGE_SCALE else "info",
                f"the {near} photo shows things {factor:.1f} times as large: it was taken from nearer, or zoomed in.",
                {"scale": scale},
                "Take both photos from about the same distance, with the same zoom.",
            )
        )
    return findings
