"""Camera poses of the named scenes."""

from collections.abc import Callable

import numpy as np

from ..geometry.rotations import rotation_from_vector
from .scene import Vector, rotation_deg

Pose = tuple[np.ndarray, np.ndarray]  # R (3,3), t (3,)


def _from_centre(R: np.ndarray, C: Vector) -> Pose:
    return R, -R @ np.asarray(C, dtype=float) + 0.0  # + 0.0: no negative zeros


def _aim(C: Vector, distance: float, share: float) -> np.ndarray:
    """Turn a camera at C by `share` (0 to 1) of the angle that makes it look at the point that camera 1 looks at."""
    x, y, z = np.subtract((0.0, 0.0, distance), C)
    return rotation_from_vector(share * np.array([np.arctan2(y, z), -np.arctan2(x, z), 0.0]))


def _handheld(b: float, z: float) -> Pose:
    C = np.array([0.985, -0.11, 0.13]) * b
    return _from_centre(rotation_deg(1.1, 0.4, -1.8) @ _aim(C, z, 0.7), C)


def _handheld_swapped(b: float, z: float) -> Pose:
    C = (-b, 0.08 * b, 0.1 * b)
    return _from_centre(rotation_deg(-0.9, 0.5, 1.6) @ _aim(C, z, 0.7), C)


def _handheld_vertical(b: float, z: float) -> Pose:
    C = (0.1 * b, -b, 0.1 * b)
    return _from_centre(rotation_deg(0.7, -0.8, 1.5) @ _aim(C, z, 0.7), C)


def _converging(b: float, z: float) -> Pose:
    C = np.array([2.5 * b, 0.1 * b, 0.3 * b])
    return _from_centre(_aim(C, z, 1.0), C)


def _turned(b: float, z: float) -> Pose:
    C = (b, 0.05 * b, 0)
    return _from_centre(rotation_deg(z=-90) @ _aim(C, z, 0.7), C)


# name -> function(baseline, distance to the target) -> R, t. Camera 2 is at C = -R^T t in the frame of camera 1.
POSES: dict[str, Callable[[float, float], Pose]] = {
    "rectified": lambda b, z: _from_centre(np.eye(3), (b, 0, 0)),
    "swapped": lambda b, z: _from_centre(np.eye(3), (-b, 0, 0)),  # photo 1 is taken from the right
    "vertical": lambda b, z: _from_centre(np.eye(3), (0, -b, 0)),  # photo 2 from above
    "handheld": _handheld,  # a step to the side, rotated towards the subject and rolled by a few degrees
    "handheld_swapped": _handheld_swapped,
    "handheld_vertical": _handheld_vertical,
    "converging": _converging,  # two and a half baselines apart, both looking at the subject
    "turned": _turned,  # camera 2 held upright
    "forward": lambda b, z: _from_centre(rotation_deg(0.5, -0.4, 0.8), (0.15 * b, 0.08 * b, 2 * b)),  # epipole inside
    # epipole near the right border, and just beyond it, of photos of 35 mm equivalent focal length
    "forward_border": lambda b, z: _from_centre(rotation_deg(0.6, 0.4, 0.5), (0.88 * b, 0.06 * b, 2 * b)),
    "forward_beyond": lambda b, z: _from_centre(rotation_deg(-0.5, 0.6, -0.7), (1.1 * b, -0.1 * b, 2 * b)),
    "rotation": lambda b, z: _from_centre(rotation_deg(1.5, -5, 2), (0, 0, 0)),  # the camera turns on the spot
}
