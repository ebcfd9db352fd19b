"""Cameras of the photos: focal length from EXIF, calibration files (read, fit to a photo, write), chessboards."""

from .fit import fit_rig, same_shape
from .focal import DIAGONAL_35MM, camera_for, original_size
from .pinhole_view import pinhole_view
from .read import read_rig
from .write import write_camera, write_rig

__all__ = [
    "DIAGONAL_35MM",
    "camera_for",
    "fit_rig",
    "original_size",
    "pinhole_view",
    "read_rig",
    "same_shape",
    "write_camera",
    "write_rig",
]
