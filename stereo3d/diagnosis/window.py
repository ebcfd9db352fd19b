"""Findings of matches behind a camera, and of principal points that differ between the photos."""

from dataclasses import dataclass

import numpy as np

from ..geometry.arrays import hom
from ..geometry.camera import undistort
from ..geometry.two_view import intersect_rays
from ..records import Finding, Matches, Rig, TwoView
from ..two_view.window import on_lines, shift_principal_points

MAX_BEHIND = 0.05  # share of the matches on their epipolar lines; wrong ones are 0 to .4 % of 22 shared pairs
MAX_STRETCH = 1.2  # factor on the depth range between shifts of +- 2 standard errors; more is a warning
AS_TAKEN = "Give the photos as the camera took them, without a shifted stereo window, or their calibration with doffs."
# Between two orthographic pictures of a turned object disparities have both signs, as in a stereo window.
NO_PERSPECTIVE = "Orthographic pictures (electron microscope, telecentric lens) look alike: for these try --fov 1."
UNBOUNDED = 99.0  # the stretch where far matches may be at infinity


@dataclass(frozen=True)
class WindowEstimate:
    """The principal points' difference that a run assumes.

    Parameters
    ----------
    shift : (2,) float64
        px, principal point of photo 2 less that of photo 1.
    sigma : float
        px, standard deviation along the shift.
    behind : float
        Share of the matches on their lines that were behind a camera without it.
    log_odds : float
        Natural logarithm of the odds for this order of depth against the reversed one.
    z : float or None
        The part of the hidden strips (`depth_order`), positive for this order; None where they were not asked.
    gain : float
        Log likelihood over equal principal points, where the epipolar lines show the shift; else 0.
    """

    shift: np.ndarray
    sigma: float
    behind: float
    log_odds: float
    z: float | None
    gain: float = 0.0


def behind_findings(matches: Matches, view: TwoView, threshold: float) -> list[Finding]:
    """Return a warning where more than 5 % of the matches on their epipolar lines meet behind a camera.

    Parameters
    ----------
    matches : Matches
        Photo pixels.
    view : TwoView
        The pose.
    threshold : float
        px, distance from the line.
    """
    on, front = on_lines(matches, view, threshold)
    count, behind = int(on.sum()), int(on.sum() - front.sum())
    if behind <= MAX_BEHIND * count:
        return []
    return [
        Finding(
            "behind_camera",
            "warning",
            f"{behind} of {count} matches on their epipolar lines meet behind a camera: what they show is missing, or "
            "lies at a wrong depth.",
            {"behind": behind, "on_lines": count, "share": behind / count},
            "The principal points or the pose are not what the cameras say: give a calibration of these very pictures. "
            + NO_PERSPECTIVE,
        )
    ]


def window_finding(matches: Matches, view: TwoView, window: WindowEstimate) -> Finding:
    """State the shift of the principal points, how it was found, and what it leaves open.

    Parameters
    ----------
    matches : Matches
        Photo pixels.
    view : TwoView
        The pose with shifted principal points.
    window : WindowEstimate
        The shift.
    """
    low, high = depth_ratios(matches, view, window)
    certain = np.isfinite(high) and high <= MAX_STRETCH * low
    length = float(np.linalg.norm(window.shift))
    across = "sideways" if abs(window.shift[0]) >= abs(window.shift[1]) else "up or down"
    if window.gain:
        cause = f"the epipolar lines fit so much better (log likelihood {window.gain:.0f})"
    elif window.behind > MAX_BEHIND:
        cause = f"{100 * window.behind:.0f} % of the matches would otherwise meet behind a camera"
    else:
        cause = "depth would otherwise be reversed: near surfaces would be hidden by far ones"
    if np.isfinite(high):
        bound = f"the far matches are {low:.2g} to {high:.2g} times as far as the near ones"
    elif np.isfinite(low):
        bound = f"the far matches are at least {low:.2g} times as far as the near ones"
    else:
        bound = "the far matches may be at infinity"
    return Finding(
        "window",
        "info" if certain and not window.gain else "warning",  # lines bent by a zoom or a shutter ask for a shift, too
        f"the principal points of the photos differ by about {length:.0f} px {across} (standard error "
        f"{window.sigma:.0f} px): {cause}. The distance of far things is known only within bounds: {bound}.",
        {
            "shift_px": length,
            "sigma_px": window.sigma,
            "behind_share": window.behind,
            "log_odds": window.log_odds,
            "gain": window.gain,
            "stretch": min(high / low, UNBOUNDED) if np.isfinite(high) else UNBOUNDED,
            "depth_ratio_low": low if np.isfinite(low) else 0.0,
            "depth_ratio_high": high if np.isfinite(high) else 0.0,
        },
        f"{AS_TAKEN} {NO_PERSPECTIVE}",
    )


def undecided_finding(window: WindowEstimate, *, severity: str) -> Finding:
    """Return the finding of a pair whose depth may be reversed.

    Parameters
    ----------
    window : WindowEstimate
        The more probable of the two orders.
    severity : str
        "warning" where the photos are right with equal principal points, else "error".
    """
    strips = "" if window.z is None else f" (hidden strips: z = {window.z:.1f})"
    if severity == "error":
        message = (
            f"{100 * window.behind:.0f} % of the matches meet behind a camera; the principal points of the photos "
            f"differ, and nothing shows which surfaces are near and which far{strips}."
        )
    else:
        message = f"depth may be reversed, near for far: hidden strips look as if it were{strips}."
    return Finding(
        "window",
        severity,
        message,
        {"behind_share": window.behind, "log_odds": window.log_odds, "stretch": UNBOUNDED},
        f"{AS_TAKEN} {NO_PERSPECTIVE}",
    )


def depth_ratios(matches: Matches, view: TwoView, window: WindowEstimate) -> tuple[float, float]:
    """Return the ratio of the depths of far and near matches (95 and 5 %) at the shift +- two standard deviations.

    Parameters
    ----------
    matches, view, window
        As in `window_finding`.

    Returns
    -------
    low, high : float
        high is infinite where the far matches may be at infinity.
    """
    direction = window.shift / max(np.linalg.norm(window.shift), 1e-9)
    ratios = []
    for k in (-2, 2):
        rig = shift_principal_points(view.rig, k * window.sigma * direction)
        x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
        inverse = _inverse_depths(x1, x2, rig, view)
        near, far = np.nanquantile(inverse, [0.95, 0.05])
        ratios.append(near / far if far > 0 else np.inf)
    return float(min(ratios)), float(max(ratios))


def _inverse_depths(x1: np.ndarray, x2: np.ndarray, rig: Rig, view: TwoView) -> np.ndarray:
    """1 / z of the matches in camera 1, negative behind it."""
    d1, d2 = (hom(undistort(x, c.K, c.dist)) for x, c in ((x1, rig.cam1), (x2, rig.cam2)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 / intersect_rays(d1, d2, view.R, view.t)
