"""Meshers: methods that make a triangle mesh of a point grid."""

from collections.abc import Callable

from ...records import Mesh
from .grid import grid
from .poisson import poisson

MESHERS: dict[str, Callable[..., Mesh]] = {"poisson": poisson, "grid": grid}
