"""What the program may do to its process, and a caller of `main(args)` may not: signals, counters, warnings."""

from __future__ import annotations

import io
import signal
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..pipeline.clock import MemoryMeter


class Terminated(BaseException):
    """SIGTERM: unfinished files are removed, as with Ctrl-C."""


def owns_process() -> bool:
    """Return whether this process runs the program itself, not a caller of `main(args)`."""
    return signal.getsignal(signal.SIGTERM) is raise_terminated


def memory_meter() -> MemoryMeter | None:
    """Return the meter that resets the memory counters where the process is ours; None for the library's default."""
    from ..pipeline.clock import ProcessPeak

    return ProcessPeak() if owns_process() else None


def run_at_once(function: Callable[[], Any]) -> Any:
    """Return function(); Ctrl-C ends it at once where the process is ours to end."""
    if not owns_process():
        return function()
    from .terminal import at_once

    return at_once(function)


def raise_terminated(*_: object) -> None:
    """Handle SIGTERM: raise `Terminated`."""
    raise Terminated


def own_process() -> None:
    """Set up the process as only the program may, not a caller of `main(args)`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name need not be text
    warnings.simplefilter("ignore")  # libraries address theirs to programmers
    signal.signal(signal.SIGTERM, raise_terminated)
