"""Config, Result, reconstruct: the whole run, read top to bottom."""

from .clock import MemoryMeter, ProcessPeak
from .config import Config, ConfigOptions, stage_options
from .dense import match_pair, search_range
from .result import Result
from .run import prepare, reconstruct

__all__ = [
    "Config",
    "ConfigOptions",
    "MemoryMeter",
    "ProcessPeak",
    "Result",
    "match_pair",
    "prepare",
    "reconstruct",
    "search_range",
    "stage_options",
]
