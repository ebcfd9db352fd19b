"""The scale of a run from what the photos or their files show: markers, boards, positions."""

import logging
from dataclasses import replace

import numpy as np

from ..cameras.formats.check import UNSTATED_UNIT
from ..cameras.targets import SeenTarget
from ..cameras.targets.sheet import MM_PER_UNIT
from ..errors import StereoError
from ..records import Finding, Photo
from .config import Config
from .pose import MatchedPose
from .positions import position_scale
from .surface import add_pose_sigma
from .target_scale import TargetScale, checked_scale, combined_scale, target_centres, target_scales

log = logging.getLogger(__name__)


def metric_pose(
    found: MatchedPose, photos: tuple[Photo, Photo], targets: list[SeenTarget], config: Config
) -> tuple[MatchedPose, list[Finding]]:
    """Return the pose with the scale of the targets, else with that of the photos' positions, and findings.

    A calibration in a named unit keeps its scale, and the targets check it. Positions count only where nothing else
    gives the scale.

    Parameters
    ----------
    found : MatchedPose
    photos : (Photo, Photo)
    targets : list of SeenTarget
        As `targets_of` finds them.
    config : Config

    Raises
    ------
    StereoError
        "no_marker" where the targets do not fit the pose.
    """
    known = found.pose.view.rig.unit
    if targets:
        scales, unit = _scales(found, targets), config.unit or "m"
        if known not in (None, UNSTATED_UNIT):
            if unit != known and not {unit, known} <= MM_PER_UNIT.keys():
                raise StereoError(
                    "bad_option",
                    f"the calibration is in {known}, the marker in {unit}, and how these compare is not known.",
                    f"State the size of the marker in {known}, with --unit {known}.",
                )
            ratio = 1.0 if unit == known else MM_PER_UNIT[unit] / MM_PER_UNIT[known]
            return found, checked_scale([replace(scale, factor=scale.factor * ratio) for scale in scales])
        factor, findings = combined_scale(scales, unit, _length(found))
        return found.scaled(factor, unit), findings
    if known is not None or config.known_distance is not None:
        return found, []
    placed = position_scale(*photos)
    if placed is None:
        return found, []
    length, finding = placed
    return found.scaled(length / _length(found), "m"), [finding]


def _length(found: MatchedPose) -> float:
    return float(np.linalg.norm(found.pose.view.t))


def _scales(found: MatchedPose, targets: list[SeenTarget]) -> list[TargetScale]:
    """What each target says, its distance's uncertainty by the pose included where there are several."""
    view, sigmas = found.pose.view, None
    if len(targets) > 1:
        X = target_centres(targets, view)
        pose_sigma = add_pose_sigma(X, np.zeros(len(X)), found.matches, view, found.pose.rig)
        sigmas = np.nan_to_num(pose_sigma / np.linalg.norm(X, axis=1))
    scales = target_scales(targets, view, sigmas)
    for scale in scales:
        log.info(
            "%s: baseline %.5g +- %.2g %%, corners off by %.2g px",
            scale.name,
            scale.factor * np.linalg.norm(view.t),
            100 * scale.sigma,
            scale.residual,
        )
    return scales
