"""What the program may do to its process, and a caller of `main(args)` may not: streams, counters, warnings."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .printable import printable
from .signals import owns_process

if TYPE_CHECKING:
    from ..pipeline.clock import MemoryMeter

Value = TypeVar("Value")
NEW_OBJECTS = 50_000  # between two searches for garbage; Python's 700 take 1.5 % of a run, and 10 % of compilation


def memory_meter() -> MemoryMeter | None:
    """Return the meter that resets the memory counters where the process is ours; None for the library's default."""
    from ..pipeline.clock import ProcessPeak

    return ProcessPeak() if owns_process() else None


def run_at_once(function: Callable[[], Value]) -> Value:
    """Return function(), computed in a thread of its own where the process is ours: Ctrl-C need not wait for it."""
    if not owns_process():
        return function()
    outcome: dict[str, Any] = {}

    def work() -> None:
        try:
            outcome["value"] = function()
        except BaseException as error:  # raised again in the waiting thread
            outcome["error"] = error

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)  # a wait without a limit cannot be interrupted on every system
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]


@contextlib.contextmanager
def until_interrupted() -> Iterator[None]:
    """End the block at Ctrl-C, and go on behind it."""
    before = signal.getsignal(signal.SIGINT)
    if owns_process() and before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        if owns_process():
            signal.signal(signal.SIGINT, before)


def own_process() -> None:
    """Set up the process as only the program may, not a caller of `main(args)`."""
    _open_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name need not be text
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(_Messages(2, "wb", closefd=False)),
        encoding=getattr(sys.stderr, "encoding", "utf-8"),
        errors="backslashreplace",
        line_buffering=True,
    )
    warnings.simplefilter("ignore")  # libraries address theirs to programmers
    gc.set_threshold(NEW_OBJECTS)
    # numba colours the message of each overload that does not fit, which nobody sees: 7 % of compilation
    os.environ.setdefault("NUMBA_DISABLE_ERROR_MESSAGE_HIGHLIGHTING", "1")


def say(text: str, color: bool | None = None) -> None:
    """Print a line about files that are written: without a reader it is lost, which is no failure.

    Control characters appear as escapes, but in a line whose colour is stated: it is printable already.
    """
    try:
        click.echo(printable(text) if color is None else text, color=color)
    except BrokenPipeError:
        drop_output()


def drop_output() -> None:
    """Send what is left of standard output nowhere, else Python complains when it flushes the rest at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Messages(io.FileIO):
    """Standard error: a message that cannot be written (full disk, closed pipe) is no failure of the program."""

    def write(self, data: Any, /) -> int:
        with contextlib.suppress(OSError):
            return super().write(data)
        return memoryview(data).nbytes


def _open_streams() -> None:
    """Point closed standard streams at nothing: the next file to be opened would take their place."""
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            file = os.open(os.devnull, flags)
            if file != number:
                os.dup2(file, number)
                os.close(file)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
