"""Maths of one and two views: projection, epipolar geometry, triangulation, absolute and relative orientation.

Arrays only; nothing here depends on photos or files. Points are rows: x (N, 2) px, X (N, 3). Every function takes
anything that numpy makes an array of, and computes in float64.
"""

from .arrays import hom, transform
from .camera import distort, fold_radius, ideal_pixels, project, scale_K, undistort, untilted
from .least_squares import Schedule, damped_step, minimise
from .orientation import absolute_orientation, relative_orientation
from .robust import Estimate, RobustProblem, huber_fit, ransac, truncated_squares
from .rotations import angle_deg, enforce_rotation, rotation_angle_deg, rotation_from_quaternion, rotation_from_vector
from .triangles import vertex_normals
from .two_view import (
    decompose_essential,
    essential_from_pose,
    fit_homography,
    fundamental_from_pose,
    homography_errors,
    intersect_rays,
    normalising_transform,
    sampson,
    triangulate_points,
)

__all__ = [
    "Estimate",
    "RobustProblem",
    "Schedule",
    "absolute_orientation",
    "angle_deg",
    "damped_step",
    "decompose_essential",
    "distort",
    "enforce_rotation",
    "essential_from_pose",
    "fit_homography",
    "fold_radius",
    "fundamental_from_pose",
    "hom",
    "homography_errors",
    "huber_fit",
    "ideal_pixels",
    "intersect_rays",
    "minimise",
    "normalising_transform",
    "project",
    "ransac",
    "relative_orientation",
    "rotation_angle_deg",
    "rotation_from_quaternion",
    "rotation_from_vector",
    "sampson",
    "scale_K",
    "transform",
    "triangulate_points",
    "truncated_squares",
    "undistort",
    "untilted",
    "vertex_normals",
]
