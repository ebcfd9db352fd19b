"""Calibrate a camera or a rig from photos of a chessboard, a ChArUco board or an AprilGrid."""

from .board import BOARDS, Board, Corners, find_corners
from .camera import MODELS, calibrate_camera
from .rig import RigCalibration, calibrate_rig
from .solve import CameraCalibration

__all__ = [
    "BOARDS",
    "MODELS",
    "Board",
    "CameraCalibration",
    "Corners",
    "RigCalibration",
    "calibrate_camera",
    "calibrate_rig",
    "find_corners",
]
