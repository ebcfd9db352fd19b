"""Calibration files: one module a format, each with a test of the content and a reader."""

from .check import UNKNOWN_SIZE, UNSTATED_UNIT, bad
from .colmap import fits_colmap, image_words, read_colmap
from .kitti import fits_kitti, read_kitti
from .middlebury import fits_middlebury, read_middlebury
from .opencv import fits_opencv, read_opencv
from .rig_json import fits_cameras, fits_json, fits_matrix, read_cameras, read_json, read_matrix
from .ros import fits_ros, read_ros

__all__ = [
    "UNKNOWN_SIZE",
    "UNSTATED_UNIT",
    "bad",
    "fits_cameras",
    "fits_colmap",
    "fits_json",
    "fits_kitti",
    "fits_matrix",
    "fits_middlebury",
    "fits_opencv",
    "fits_ros",
    "image_words",
    "read_cameras",
    "read_colmap",
    "read_json",
    "read_kitti",
    "read_matrix",
    "read_middlebury",
    "read_opencv",
    "read_ros",
]
