"""Dense matching of a rectified pair: disparity, confidence and sigma of each pixel."""

from .matching import compute_disparities, compute_disparity, fill_unknown, matching_bytes
from .methods import MATCHERS
from .rows import flip_copy
from .search_range import widen_range
from .steep import add_steep_planes, find_steep_planes

__all__ = [
    "MATCHERS",
    "add_steep_planes",
    "compute_disparities",
    "compute_disparity",
    "fill_unknown",
    "find_steep_planes",
    "flip_copy",
    "matching_bytes",
    "widen_range",
]
