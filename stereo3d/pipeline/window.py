"""Which side of a pair is near: principal points that differ, estimated where matches or hidden strips ask for it."""

import logging
from dataclasses import replace

import numpy as np

from ..diagnosis.window import MAX_BEHIND, WindowEstimate, behind_findings, undecided_finding, window_finding
from ..disparity.depth_order import depth_order
from ..disparity.matching import compute_disparities
from ..errors import StereoError
from ..records import Finding, Photo, TwoView
from ..rectification.maps import disparity_range
from ..rectification.rectify import rectify
from ..two_view.estimate import estimate_two_view
from ..two_view.window import (
    FRONT_LOSS,
    WindowProfile,
    likelihood_gain,
    on_lines,
    pose_by_lines,
    shift_principal_points,
    window_profile,
)
from .cameras import exchange_cameras
from .config import Config
from .memory import MemoryLimit
from .pose import MatchedPose, Pose, estimate_pose, pose_options

log = logging.getLogger(__name__)
# Natural logarithms of odds. Photos with different principal points are rare (3 %), models of a lens never exact
# (half of what the costs say, and at most 4), and z of hidden strips is 5.5 +- 2.7 over 26 pairs with known order:
# 1.5 a unit of z.
WINDOW_ODDS = 3.5
COST_WEIGHT = 0.5
MAX_COST_ODDS = 4.0
CERTAIN_ODDS = 10.0  # beyond this no hidden strips are sought
STRIP_ODDS = 1.5
DOUBTED = 1.0  # odds of 3 to 1
MIN_Z = 3.0  # of the strips, against the order that needs no shift: repeated patterns in the costs decide nothing alone
MIN_FAR_SIDE = 0.10  # share of matches behind that a shift may bring in front; a repeated pattern can be less
DECIDED = 2.0  # odds of 7 to 1
ASTRAY = 0.9  # share of matches that agree; with less, half of them may be behind and the pose astray
MIN_GAIN = 20.0  # log likelihood of shifted principal points over equal ones; errors of a real lens feign 11
MIN_PLACES = 12  # of hidden strips; z of fewer is no normal variable
STRIP_SIZE = 640  # px, longer side at which hidden strips are sought


def settle_window(
    left: Photo, right: Photo, found: MatchedPose, config: Config, *, measured: bool
) -> tuple[MatchedPose, list[Finding]]:
    """Return the pose with the order of depth that matches and hidden strips show, and the findings of it.

    Parameters
    ----------
    left, right : Photo
        The photos.
    found : MatchedPose
        The first estimate, with equal principal points.
    config : Config
        Options of the stages "pose", "matcher" and "range".
    measured : bool
        The cameras are from a calibration: their principal points are known.

    Returns
    -------
    found : MatchedPose
        With shifted principal points where they differ.
    findings : list of Finding
        "window" and "behind_camera".
    """
    matches, rig, view = found.matches, found.pose.rig, found.pose.view
    if rig.wide:  # all around, points behind a camera are seen to be
        return found, []
    threshold = pose_options(rig, config)["threshold"]
    if measured:
        found = _exchanged_by_strips((left, right), found, config)
        return found, behind_findings(matches, found.pose.view, threshold)
    view = _start(found, threshold, config.seed)
    profile = window_profile(matches, view, rig, threshold=threshold, fixed=rig.posed, seed=config.seed)
    if profile is None:
        return found, behind_findings(matches, view, threshold)
    on, front = on_lines(matches, view, threshold)
    behind = 1 - float(front.sum()) / max(int(on.sum()), 1)
    given = profile.order(view)
    if behind > MAX_BEHIND and profile.front.max() < 1 - FRONT_LOSS:
        return found, behind_findings(matches, view, threshold)  # no shift explains them
    if behind <= MAX_BEHIND and (shifted := _better_shift(found, config, profile, given, behind)) is not None:
        pose, window = shifted
        findings = [window_finding(matches, pose.view, window), *behind_findings(matches, pose.view, threshold)]
        return replace(found, pose=pose), findings
    simple = behind <= MAX_BEHIND or bool(profile.feasible(given)[len(profile.shifts) // 2])
    start = replace(found, pose=replace(found.pose, view=view))
    odds, z = _reversed_odds((left, right), start, config, profile, simple=simple)
    if simple and (odds < DECIDED or z is None or -z < MIN_Z):
        doubtful = WindowEstimate(np.zeros(2), 0.0, behind, odds, z)
        doubts = [undecided_finding(doubtful, severity="warning")] if odds > DOUBTED and z is not None else []
        found = _with_more_matches(found, view, front)
        return found, [*doubts, *behind_findings(matches, view, threshold)]
    order = 1 - given if odds > 0 else given
    if order == given and behind < MIN_FAR_SIDE:
        return found, behind_findings(matches, view, threshold)
    shift, sigma = profile.shift(order)
    window = WindowEstimate(shift * profile.axis, sigma, behind, abs(odds), z)
    pose = _shifted_pose(found, config, profile, order, window) if abs(odds) >= DECIDED else None
    if pose is None:
        return found, [undecided_finding(window, severity="error"), *behind_findings(matches, view, threshold)]
    log.info("principal points differ by %s px, log odds of the order %.1f", np.round(window.shift), window.log_odds)
    findings = [window_finding(matches, pose.view, window), *behind_findings(matches, pose.view, threshold)]
    return replace(found, pose=pose), findings


def _exchanged_by_strips(photos: tuple[Photo, Photo], found: MatchedPose, config: Config) -> MatchedPose:
    """The calibrated cameras exchanged where the matches fit both orders and hidden strips show the other one."""
    rig = found.pose.rig
    if not rig.posed:
        return found
    exchanged = exchange_cameras(rig)
    try:
        view = estimate_two_view(found.matches, exchanged, seed=config.seed, **pose_options(rig, config))
    except StereoError:
        return found
    if view.inliers.sum() < ASTRAY * found.pose.inlier_count:
        return found
    z = _strips_for_order(photos, found, config)
    if z is None or -STRIP_ODDS * z - WINDOW_ODDS < DECIDED:
        return found
    return replace(found, pose=Pose(view, exchanged, not found.pose.exchanged))


def _start(found: MatchedPose, threshold: float, seed: int) -> TwoView:
    """The view, or the pose by epipolar lines alone where that has more matches on its lines."""
    view, rig = found.pose.view, found.pose.rig
    if rig.posed or view.inliers.mean() >= ASTRAY:
        return view
    lines = pose_by_lines(found.matches, rig, threshold=threshold, seed=seed)
    on, _ = on_lines(found.matches, view, threshold)
    return lines if lines is not None and lines.inliers.sum() > on.sum() / ASTRAY else view


def _with_more_matches(found: MatchedPose, view: TwoView, front: np.ndarray) -> MatchedPose:
    """The pose by epipolar lines instead, where far more matches are in front of its cameras."""
    before = found.pose.view
    if view is before or front.sum() <= before.inliers.sum() / ASTRAY:
        return found
    t = view.t * np.linalg.norm(before.t)
    unit = before.rig.unit
    after = replace(before, F=view.F, R=view.R, t=t, inliers=front, rig=replace(view.rig, R=view.R, t=t, unit=unit))
    return replace(found, pose=replace(found.pose, view=after))


def _reversed_odds(
    photos: tuple[Photo, Photo], found: MatchedPose, config: Config, profile: WindowProfile, *, simple: bool
) -> tuple[float, float | None]:
    """Log odds for the other order of depth than the pose has, and z of the hidden strips where they are needed."""
    given = profile.order(found.pose.view)
    cost, other = profile.least_cost(given), profile.least_cost(1 - given)
    if not np.isfinite(other):
        return -np.inf, None
    odds = COST_WEIGHT * (cost - other)
    if odds < -CERTAIN_ODDS:
        return odds, None
    odds = float(np.clip(odds, -MAX_COST_ODDS, MAX_COST_ODDS)) - WINDOW_ODDS * simple
    z = _strips_for_order(photos, found, config)
    return odds - STRIP_ODDS * (z or 0.0), z


def _strips_for_order(photos: tuple[Photo, Photo], found: MatchedPose, config: Config) -> float | None:
    """z of `depth_order` for the order of the pose, from a reduced pair matched by sgm; None where it has none."""
    matches, view = found.matches, found.pose.view
    on, _ = on_lines(matches, view, pose_options(found.pose.rig, config)["threshold"])
    inlier_x = matches.x1[on], matches.x2[on]
    try:
        pair = rectify(*photos, view, max_size=STRIP_SIZE, straighten=False, inlier_x=inlier_x)
        d_range = disparity_range(pair, *inlier_x)
    except StereoError:
        return None
    if pair.kind == "polar":
        return None
    maps = compute_disparities(pair, d_range, method="sgm", max_memory=MemoryLimit.of(config).room())
    z, cells = depth_order(pair, maps)
    log.info("hidden strips at %d places: z = %.1f for larger disparities being nearer", cells, z)
    if cells < MIN_PLACES:
        return None
    return -z if pair.swapped else z


def _better_shift(
    found: MatchedPose, config: Config, profile: WindowProfile, order: int, behind: float
) -> tuple[Pose, WindowEstimate] | None:
    """The pose with shifted principal points in the same order of depth, where the epipolar lines ask for it."""
    if found.pose.rig.posed or profile.gain(order) < MIN_GAIN:
        return None
    shift, sigma = profile.shift(order)
    window = WindowEstimate(shift * profile.axis, sigma, behind, 0.0, None)
    pose = _shifted_pose(found, config, profile, order, window)
    if pose is None or pose.inlier_count < ASTRAY * found.pose.inlier_count:
        return None
    threshold = pose_options(found.pose.rig, config)["threshold"]
    gain = likelihood_gain(found.matches, found.pose.view, pose.view, threshold)
    log.info("principal points that differ by %s px: likelihood gain %.1f", np.round(window.shift), gain)
    return (pose, replace(window, gain=gain)) if gain > MIN_GAIN else None


def _shifted_pose(
    found: MatchedPose, config: Config, profile: WindowProfile, order: int, window: WindowEstimate
) -> Pose | None:
    """The pose estimated anew with shifted principal points; None where it does not have this order."""
    rig = shift_principal_points(found.pose.rig, window.shift)
    if rig.t is not None:
        along = np.append(profile.axis, 0) * np.linalg.norm(rig.t)
        rig = replace(rig, t=along if order else -along)
    try:
        pose = estimate_pose(found.matches, rig, config)
    except StereoError:
        return None
    return pose if profile.order(pose.view) == order else None
