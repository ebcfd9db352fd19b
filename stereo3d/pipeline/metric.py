"""The scale of a run from what the photos or their files show: markers, boards, positions."""

import logging

import numpy as np

from ..cameras.targets import SeenTarget
from ..records import Finding
from .config import Config
from .pose import MatchedPose
from .surface import add_pose_sigma
from .target_scale import checked_scale, combined_scale, target_centres, target_scales

log = logging.getLogger(__name__)


def metric_pose(found: MatchedPose, targets: list[SeenTarget], config: Config) -> tuple[MatchedPose, list[Finding]]:
    """Return the pose with the scale of the targets, and findings.

    A calibration that has a scale keeps it, and the targets check it.

    Parameters
    ----------
    found : MatchedPose
    targets : list of SeenTarget
        As `targets_of` finds them.
    config : Config

    Raises
    ------
    StereoError
        "no_marker" where the targets do not fit the pose.
    """
    view = found.pose.view
    if not targets:
        return found, []
    sigmas = None
    if len(targets) > 1:
        X = target_centres(targets, view)
        pose_sigma = add_pose_sigma(X, np.zeros(len(X)), found.matches, view, found.pose.rig)
        sigmas = np.nan_to_num(pose_sigma / np.linalg.norm(X, axis=1))
    scales = target_scales(targets, view, sigmas)
    for scale in scales:
        log.info(
            "%s: factor %.5g +- %.2g %%, corners off by %.2g px",
            scale.name,
            scale.factor,
            100 * scale.sigma,
            scale.residual,
        )
    if view.rig.unit is not None:
        return found, checked_scale(scales)
    unit = config.unit or "m"
    factor, findings = combined_scale(scales, unit)
    return found.scaled(factor, unit), findings
