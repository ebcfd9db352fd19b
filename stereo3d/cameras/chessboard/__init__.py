"""Calibrate a camera or a rig from photos of a chessboard or ChArUco board."""

from .board import BOARDS, Board, Corners, find_corners
from .camera import CameraCalibration, calibrate_camera
from .rig import RigCalibration, calibrate_rig

__all__ = [
    "BOARDS",
    "Board",
    "CameraCalibration",
    "Corners",
    "RigCalibration",
    "calibrate_camera",
    "calibrate_rig",
    "find_corners",
]
