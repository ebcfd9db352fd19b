"""Photos of a fisheye of which no calibration is known: their lens from the matches, or their refusal by name."""

import logging

from ..errors import StereoError
from ..records import Finding, Rig
from ..two_view.fisheye import FisheyeLimits, fit_fisheye
from ..two_view.lens import FOCAL_PRIOR_SIGMA
from .config import Config
from .pose import MatchedPose, pose_options

log = logging.getLogger(__name__)


class FisheyeFound(Exception):
    """The matches of pinhole cameras show a fisheye: the run begins again with its lens.

    Attributes
    ----------
    rig : Rig
        Its cameras, without a pose.
    finding : Finding
    """

    def __init__(self, rig: Rig, finding: Finding) -> None:
        super().__init__(finding.message)
        self.rig, self.finding = rig, finding


def look_for_fisheye(found: MatchedPose, rig: Rig, config: Config) -> None:
    """Raise `FisheyeFound` where cameras of which at most EXIF is known are fisheyes; not with config.force.

    Raises
    ------
    StereoError
        "fisheye" where it is one whose lens the matches do not give.
    """
    if config.force or rig.posed or rig.wide or not {rig.cam1.source, rig.cam2.source} <= set(FOCAL_PRIOR_SIGMA):
        return
    threshold = pose_options(rig, config)["threshold"]
    fit = fit_fisheye(found.matches, found.pose.view, threshold=threshold, seed=config.seed)
    if fit is None:
        return
    share = (
        f"{fit.inliers} of {len(found.matches)} matches agree with a fisheye lens, {fit.pinhole_inliers} with others"
    )
    numbers = {"inliers": fit.inliers, "pinhole_inliers": fit.pinhole_inliers, "bend_px": fit.bend}
    numbers |= {"field_deg": fit.field_deg, "k1": fit.camera.lens.coefficients[0] if fit.camera.lens else 0.0}
    remedy = "Give the calibration of the lens (--calib; stereo3d calibrate makes one), or undistort the photos first."
    if fit.bend > FisheyeLimits().max_bend:
        raise StereoError(
            "fisheye",
            f"the photos are those of a fisheye lens: {share}; {fit.bend:.2f} px of them are left unexplained.",
            f"{remedy} --force takes it for an ordinary lens.",
            **numbers,
        )
    message = (
        f"the photos are those of a fisheye lens, of {fit.field_deg:.0f} degrees across the diagonal by the matches: "
        f"{share}."
    )
    log.info("%s", message)
    raise FisheyeFound(Rig(fit.camera, fit.camera), Finding("fisheye", "info", message, numbers, remedy))
