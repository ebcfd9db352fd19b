"""Meshers: methods that make a triangle mesh of a point grid."""

from .grid import grid
from .methods import MESHERS
from .poisson import poisson

__all__ = ["MESHERS", "grid", "poisson"]
