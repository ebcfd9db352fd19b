"""Do the matches determine the motion? Those of one homography may not: a turn on the spot, a zoom, one plane."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..records import Finding, Rig, TwoView
from ..two_view.uncertainty import direction_sigma_deg, focal_tilt, rival_motion
from .statistics import homography_residual, magnification, turn_residual, zoom_residual

TURN_ADVICE = "Step sideways between the photos by about a tenth of the distance."


@dataclass(frozen=True)
class FlatnessThresholds:
    """Bounds of the findings of matches that one homography explains, measured by `benchmarks/verdict.py`.

    Lengths in px are those of a photo of longer side 1600 (`photo_unit`).
    """

    plane_residual: float = 1.5  # px, 90 % residual after the best homography of a plane; good pairs keep 20
    plane_share: float = 0.95  # of the matches that the homography of a plane explains; good pairs .66
    near_plane_residual: float = 10.0  # px, as plane_residual, of a scene that is nearly a plane
    near_plane_share: float = 0.72  # as plane_share, of a scene that is nearly a plane
    max_direction_sigma: float = 2.0  # degrees, standard error of the direction of t
    max_rival_cost: float = 1.3  # cost of another motion over that of the estimate; below it the matches do not decide
    min_zoom: float = 1.05  # ratio of the focal lengths; less is no zoom but an error of one
    # A plane looks like a turn by a lens of another focal length. Against a measured one the turn has to leave no more
    # than the homography, which has four numbers more.
    max_focal_error: float = 1.1  # factor by which a measured focal length may be wrong
    turn_ratio: float = 1.3  # residual of the turn over that of the homography: 1.0 to 1.1 for turned cameras


@dataclass(frozen=True, eq=False)
class MotionUncertainty:
    """How well matches determine the motion; each measure is computed once, when it is asked for.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        Inliers, photo px.
    view : TwoView
        The estimate.
    """

    x1: np.ndarray
    x2: np.ndarray
    view: TwoView

    @cached_property
    def sigma_deg(self) -> float:
        """Standard error of the direction of t, degrees, of cameras that are known (`direction_sigma_deg`)."""
        return direction_sigma_deg(self.x1, self.x2, self.view)

    @cached_property
    def total_sigma_deg(self) -> float:
        """sqrt(sigma^2 + tilt^2): that, with the angle by which a standard error of the focal length turns t."""
        focal_sigma = self.view.focal_sigma or 0.0
        tilt = focal_tilt(self.x1, self.x2, self.view, float(np.exp(focal_sigma))) if focal_sigma > 0 else 0.0
        return float(np.hypot(self.sigma_deg, tilt))

    @cached_property
    def rival(self) -> tuple[float | None, float]:
        """Degrees to another motion that explains the matches, and its cost (`rival_motion`)."""
        return rival_motion(self.x1, self.x2, self.view)


def flatness_findings(motion: MotionUncertainty, rig: Rig, unit: float, limits: FlatnessThresholds) -> list[Finding]:
    """Return what matches of one homography, or nearly one, mean for the motion.

    Parameters
    ----------
    motion : MotionUncertainty
        Of the estimate and its inliers.
    rig : Rig
        The cameras as they were given, before the estimate.
    unit : float
        Photo px in one px of the reference size.
    limits : FlatnessThresholds
        Bounds.

    Returns
    -------
    list of Finding
        One at most: "pure_rotation" or "zoom" (errors), or "flat_scene": an error where two motions explain the plane,
        or its focal length is a guess; a warning where the motion is uncertain; else a note for one plane, nothing for
        a scene that is nearly one.
    """
    unit *= max(1.0, magnification(motion.x1, motion.x2))  # errors of the coarser photo, seen in the finer one
    parallax, share = homography_residual(motion.x1, motion.x2, unit)
    numbers = {"parallax_px": parallax / unit, "homography_share": share}
    explained = f"one homography explains {100 * share:.0f} % of the matches to {parallax:.1f} px"
    strictly = parallax < limits.plane_residual * unit and share > limits.plane_share
    if strictly:
        if turned := _turned(motion, rig, unit, limits, numbers, explained):
            return [turned]
    elif parallax > limits.near_plane_residual * unit or share < limits.near_plane_share:
        return []
    sources = {motion.view.rig.cam1.source, motion.view.rig.cam2.source}
    sigma, (rival, cost) = motion.total_sigma_deg, motion.rival
    uncertain = not sigma <= limits.max_direction_sigma
    numbers["direction_sigma_deg"] = min(sigma, 180.0)
    advice = "Include things at several depths, or step further sideways."
    if strictly and ("prior" in sources or ("estimated" in sources and uncertain)):
        severity, why = "error", "without a known focal length the camera motion is undetermined"
        advice = "Include things at several depths, or give the focal length (--focal-35mm)."
    elif rival is not None and cost < limits.max_rival_cost:
        # two motions explain one plane (Longuet-Higgins 1986), unless one of them puts points behind a camera
        severity, why = "error", f"so does another camera motion, {rival:.0f} degrees off"
        numbers["rival_deg"] = rival
    elif uncertain:
        severity, why = "warning", f"the direction of the camera motion is uncertain by {sigma:.1f} degrees"
    elif strictly:
        severity, why = "info", f"the camera motion is determined to {sigma:.1f} degrees"
    else:
        return []
    begin = "the scene is one plane" if strictly else "the scene is nearly one plane"
    return [Finding("flat_scene", severity, f"{begin}: {explained}; {why}.", numbers, advice)]


def _turned(
    motion: MotionUncertainty, rig: Rig, unit: float, limits: FlatnessThresholds, numbers: dict, explained: str
) -> Finding | None:
    """The error that a turn on the spot explains the matches, with or without a zoom; adds what it leaves to numbers.

    A lens fitted to a motion that does not exist hides the turn: the cameras are tested as given, too.
    """
    view = motion.view
    tested = [(*turn_residual(motion.x1, motion.x2, cameras), cameras.cam1.focal) for cameras in (view.rig, rig)]
    turn, factor, focal = min(tested)
    numbers["turn_px"] = turn / unit
    measured = {rig.cam1.source, rig.cam2.source} <= {"given", "calibration"}
    contradicted = measured and max(factor, 1 / factor) > limits.max_focal_error
    worse = turn > limits.turn_ratio * unit * numbers["parallax_px"]
    if turn < limits.plane_residual * unit and not (contradicted and worse):
        return Finding(
            "pure_rotation",
            "error",
            f"no parallax: {explained}, and it is that of a camera that turned on the spot (to {turn:.1f} px).",
            {**numbers, "focal_factor": factor * (focal / view.rig.cam1.focal)},
            TURN_ADVICE,
        )
    if not {rig.cam1.source, rig.cam2.source} & {"prior", "estimated"}:
        return None
    left, factor, zoom = zoom_residual(motion.x1, motion.x2, rig)
    if left > limits.plane_residual * unit or max(zoom, 1 / zoom) < limits.min_zoom:
        return None
    which, by = ("second", zoom) if zoom > 1 else ("first", 1 / zoom)
    return Finding(
        "zoom",
        "error",
        f"no parallax: {explained}, and it is that of a camera that zoomed on the spot: the {which} photo has "
        f"{by:.2f} times the focal length (to {left:.1f} px).",
        {**numbers, "zoom_px": left / unit, "zoom": zoom},
        TURN_ADVICE,
    )
