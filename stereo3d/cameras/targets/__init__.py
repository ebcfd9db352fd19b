"""Objects of known size in a photo, which give the scale: square markers and calibration boards."""

from .marker import Marker, find_markers, parse_marker
from .seen import SeenTarget, find_targets, parse_board

__all__ = ["Marker", "SeenTarget", "find_markers", "find_targets", "parse_board", "parse_marker"]
