"""Disparity -> point map, with its uncertainty."""

from .points import along_the_ray, point_map, triangulate, triangulate_between

__all__ = ["along_the_ray", "point_map", "triangulate", "triangulate_between"]
