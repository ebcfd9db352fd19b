"""Matching by planes: from semi-global disparities to the plane of each pixel of both pictures.

A pixel's candidates are the planes of what is known around it: its own disparity with the slope of its neighbourhood,
the planes of the segments of uniform colour that contain it, the background of its surroundings.
`energy.plane_paths` lets all pixels choose jointly; the choice of one view determines which pixels the other can see,
and both choose again. Large pictures start reduced: the planes of one pyramid level are the candidates at the next. So
time and memory grow with the pixels, not with pixels x disparities.
"""

from .pyramid import BUDGETS, Budget, planes_bytes

__all__ = ["BUDGETS", "Budget", "planes_bytes"]
