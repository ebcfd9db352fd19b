"""The command line: one module a family of commands."""

from . import calibrate, evaluate, marker, reconstruct, tools  # each registers its commands
from .entry_point import main
from .parameters import cli

__all__ = ["cli", "calibrate", "evaluate", "main", "marker", "reconstruct", "tools"]
