"""Rectification of any two calibrated photos, on a plane or on the sphere about the baseline; the disparity range."""

from .maps import disparity_range, rectified_positions
from .rectify import rectify

__all__ = ["disparity_range", "rectified_positions", "rectify"]
