"""Finding of bent pictures: a smooth error that looks like a motion of the cameras."""

import numpy as np

from ..geometry.arrays import hom, norms
from ..geometry.camera import undistort
from ..geometry.two_view import intersect_rays
from ..records import Finding, Matches, Rig, TwoView
from ..triangulation.points import along_the_ray
from ..two_view.bend import bend_covariance

MAX_DEPTH_SIGMA = 0.02  # relative; above it depth is not reliable (as `run_findings.RELIABLE_SIGMA`)


def bend_findings(matches: Matches, view: TwoView, rig: Rig) -> list[Finding]:
    """Return a warning where the pictures are bent as by no lens and that leaves the depth uncertain.

    Of a posed rig nothing is said: `rig_findings` and the rows tell of it; nor of wide lenses, which are given.

    Parameters
    ----------
    matches : Matches
        Photo pixels.
    view : TwoView
        The estimate.
    rig : Rig
        The cameras as they were given.
    """
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    if rig.posed or rig.wide:
        return []
    covariance, tangents, error = bend_covariance(x1, x2, view)
    if error == 0:
        return []
    y1, y2 = (hom(undistort(x, c.K, c.dist)) for x, c in ((x1, view.rig.cam1), (x2, view.rig.cam2)))
    z = intersect_rays(y1, y2, view.R, view.t)
    X = (y1 * z[:, None])[z > 0]
    sigma = float(np.nanmedian(along_the_ray(X, view, covariance, tangents) / norms(X))) if len(X) else 0.0
    if not sigma > MAX_DEPTH_SIGMA:
        return []
    return [
        Finding(
            "bent_pictures",
            "warning",
            f"the photos are bent smoothly, by {error:.2f} px, as no camera motion and no lens model explains. That "
            f"looks like motion, so depth may be wrong by {100 * sigma:.0f} % (one standard deviation).",
            {"error_px": error, "depth_sigma": sigma},
            "Give a calibration of the cameras with its pose (--calib, --rig-error nominal), or step further sideways.",
        )
    ]
