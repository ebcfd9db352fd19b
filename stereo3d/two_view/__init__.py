"""Relative pose of two photos: minimal solvers, robust estimation, refinement, lens model, uncertainty."""

from .estimate import estimate_two_view
from .refine import refine_pose
from .robust import MIN_INLIERS
from .solvers import eight_point, five_point, seven_point
from .uncertainty import (
    FreedParameter,
    direction_sigma_deg,
    focal_tilt,
    freed_parameters,
    freed_skew,
    freed_zoom,
    pose_covariance,
    rival_motion,
    weakest_motion_px,
)

__all__ = [
    "FreedParameter",
    "MIN_INLIERS",
    "direction_sigma_deg",
    "eight_point",
    "estimate_two_view",
    "five_point",
    "focal_tilt",
    "freed_parameters",
    "freed_skew",
    "freed_zoom",
    "pose_covariance",
    "refine_pose",
    "rival_motion",
    "seven_point",
    "weakest_motion_px",
]
