"""The findings of a pose, of all kinds."""

from ..diagnosis.bend import bend_findings
from ..diagnosis.pair import diagnose
from ..diagnosis.photos import photo_findings
from ..diagnosis.rig import rig_findings
from ..diagnosis.run_findings import input_findings
from ..diagnosis.twins import twin_findings
from ..records import Finding, Photo
from .config import Config
from .pose import MatchedPose


def pose_findings(left: Photo, right: Photo, found: MatchedPose, config: Config, *, resampled: bool) -> list[Finding]:
    """Return the findings of the pose and of its photos.

    Parameters
    ----------
    left, right : Photo
        The first and the second photo.
    found : MatchedPose
        The pose.
    config : Config
        Settings.
    resampled : bool
        The photos are pinhole views of wide lenses.
    """
    matches, rig, view = found.matches, found.pose.rig, found.pose.view
    return [
        *diagnose(matches, view, rig, resampled=resampled),
        *rig_findings(matches, view, rig),
        *bend_findings(matches, view, rig),
        *([] if rig.posed else twin_findings(found.features, matches, view.inliers, max(left.size))),
        *input_findings(left, right, rig, exchanged=found.pose.exchanged),
        *photo_findings(
            left,
            right,
            matches[view.inliers],
            max_size=config.max_size,
            focal_sought="estimated" in (view.rig.cam1.source, view.rig.cam2.source),
        ),
    ]
