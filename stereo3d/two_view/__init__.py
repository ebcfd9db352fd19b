"""Relative pose of two photos: minimal solvers, robust estimation, refinement, lens model, uncertainty."""

from .estimate import estimate_two_view
from .refine import MAX_PIXEL, refine_pose
from .robust import MIN_INLIERS
from .solvers import eight_point, five_point, seven_point
from .uncertainty import (
    PRIOR_FACTOR,
    FreedParameter,
    direction_sigma_deg,
    focal_tilt,
    freed_parameters,
    pose_covariance,
    rival_motion,
    weakest_motion_px,
)

__all__ = [
    "FreedParameter",
    "MAX_PIXEL",
    "MIN_INLIERS",
    "PRIOR_FACTOR",
    "direction_sigma_deg",
    "eight_point",
    "estimate_two_view",
    "five_point",
    "focal_tilt",
    "freed_parameters",
    "pose_covariance",
    "refine_pose",
    "rival_motion",
    "seven_point",
    "weakest_motion_px",
]
