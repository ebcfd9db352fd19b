"""The command line: one module a family of commands. Importing it imports none of them: see `entry_point`."""

from .entry_point import main

__all__ = ["main"]
