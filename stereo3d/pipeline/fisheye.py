"""Photos of a fisheye of which no calibration is known: their lens from the matches, or their refusal by name."""

import logging
import math
from dataclasses import replace

from ..errors import StereoError
from ..records import Finding, Rig
from ..two_view.fisheye import FisheyeLimits, fit_fisheye
from ..two_view.lens import FOCAL_PRIOR_SIGMA
from .config import Config
from .pose import MatchedPose, pose_options

log = logging.getLogger(__name__)
NORMAL_90 = 1.645  # standard deviations of a normal variable, within which 90 % lie


class FisheyeFound(Exception):
    """The matches of pinhole cameras show a fisheye: the run begins again with its lens.

    Attributes
    ----------
    rig : Rig
        Its cameras, without a pose.
    focal_sigma : float
        Relative standard error of their focal length.
    finding : Finding
    """

    def __init__(self, rig: Rig, focal_sigma: float, finding: Finding) -> None:
        super().__init__(finding.message)
        self.rig, self.focal_sigma, self.finding = rig, focal_sigma, finding

    def told(self, found: MatchedPose) -> MatchedPose:
        """Return the pose of the run that began again, with the error of the focal length that it was given."""
        factor = math.exp(NORMAL_90 * self.focal_sigma)
        view = replace(found.pose.view, focal_sigma=self.focal_sigma, focal_range=(1 / factor, factor))
        return replace(found, pose=replace(found.pose, view=view))


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
    assert fit.camera.lens is not None
    k1, k2, *_ = fit.camera.lens.coefficients
    numbers |= {"field_deg": fit.field_deg, "focal_sigma": fit.focal_sigma, "k1": k1, "k2": k2}
    remedy = "Give the calibration of the lens (--calib; stereo3d calibrate makes one), or undistort the photos first."
    if fit.bend > FisheyeLimits().max_bend:
        raise StereoError(
            "fisheye",
            f"the photos are those of a fisheye lens: {share}; {fit.bend:.2f} px of them are left unexplained.",
            f"{remedy} --force takes it for an ordinary lens.",
            **numbers,
        )
    message = (
        f"the photos are those of a fisheye lens, of {fit.field_deg:.0f} degrees across the diagonal by the matches, "
        f"its focal length certain to {100 * fit.focal_sigma:.2g} %: {share}."
    )
    log.info("%s", message)
    raise FisheyeFound(
        Rig(fit.camera, fit.camera), fit.focal_sigma, Finding("fisheye", "info", message, numbers, remedy)
    )
