"""Dense matching of a rectified pair: disparity, confidence and sigma of each pixel."""

from .matching import compute_disparities, compute_disparity, fill_unknown, matching_bytes, matching_work
from .methods import MATCHERS, QUALITIES, match_planes
from .rows import flip_copy, flip_view
from .search_range import widen_range
from .steep import add_steep_planes, find_steep_planes

__all__ = [
    "MATCHERS",
    "QUALITIES",
    "add_steep_planes",
    "compute_disparities",
    "compute_disparity",
    "fill_unknown",
    "find_steep_planes",
    "flip_copy",
    "flip_view",
    "match_planes",
    "matching_bytes",
    "matching_work",
    "widen_range",
]
