"""Disparity: for each pixel of the left picture, how far to the left its match lies in the right picture.

`matching` runs one of the matchers of `methods` on a pair: `compute_disparities`. `costs`, `aggregate`, `select` and
`windows` hold the kernels of the matchers, `planes`, `slanted` and `segments` those of the default one. Above
`matching` stand the search range (`reach`) and steep surfaces (`slants`).
"""

from .matching import (
    compute_disparities,
    compute_disparity,
    fill_unknown,
    matching_bytes,
    matching_work,
)
from .methods import MATCHERS, QUALITIES
from .reach import widen_range
from .slants import SteepPlane, add_steep_planes, find_steep_planes

__all__ = [
    "MATCHERS",
    "QUALITIES",
    "SteepPlane",
    "add_steep_planes",
    "compute_disparities",
    "compute_disparity",
    "fill_unknown",
    "find_steep_planes",
    "matching_bytes",
    "matching_work",
    "widen_range",
]
