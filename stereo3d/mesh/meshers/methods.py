"""MESHERS: the meshers by name, for the command line, the tests and the benchmarks."""

from collections.abc import Callable

from ...records import Mesh
from .grid import grid
from .poisson import poisson

MESHERS: dict[str, Callable[..., Mesh]] = {"poisson": poisson, "grid": grid}
