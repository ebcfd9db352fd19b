"""Calibration formats: one module each, with a test of the content (`fits_*`) and a reader (`read_*`)."""

from .check import UNKNOWN_SIZE, UNSTATED_UNIT

__all__ = ["UNKNOWN_SIZE", "UNSTATED_UNIT"]
