"""The matcher of a name: one of `MATCHERS`, or one that takes a network from the user's file."""

from collections.abc import Callable
from typing import Any

from ..options import choose
from .methods import MATCHERS
from .networks.matcher import onnx

NETWORKS: dict[str, Callable[..., Any]] = {"onnx": onnx}


def find_matcher(name: str) -> Callable[..., Any]:
    """Return the matcher of a name in `MATCHERS` or `NETWORKS`.

    Raises
    ------
    StereoError
        "unknown_method".
    """
    return choose("matcher", {**MATCHERS, **NETWORKS}, name)
