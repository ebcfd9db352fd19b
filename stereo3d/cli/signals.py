"""Ctrl-C and SIGTERM end the program at once, wherever it is.

An exception would not do: an import turns it into an ImportError, a callback of a C library prints and drops it, and
a kernel or a library's call keeps it waiting. So the handler ends the process itself; and where the main thread cannot
run it, a second thread, to which the C handler writes the signal's number, does. Imports nothing but what Python has
loaded at its start, because it runs first.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from types import FrameType

GRACE = 0.3  # s that the main thread gets to run the handler
LIMIT = 1.0  # s that cleaning may take
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
_ending = _thread.allocate_lock()
_owned = False
_ender = 0  # the thread that ends the process


def own_signals() -> None:
    """Let Ctrl-C and SIGTERM end this process: with one line on standard error and 128 + the signal's number.

    A signal that the parent has set to be ignored stays so: a shell does that for what it runs in the background.
    """
    global _owned
    _owned = True
    for number in WORDS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end_process)
    try:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        _thread.start_new_thread(_watch, (reader,))
    except (OSError, RuntimeError):  # no more files or threads: the main thread's handler has to do
        return
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_let_go)


def owns_process() -> bool:
    """Return whether this process runs the program itself, not a caller of `main(args)`."""
    return _owned


def end_process(number: int, frame: FrameType | None = None) -> None:
    """Remove unfinished files, print one line and end the process."""
    global _ender
    if not _ending.acquire(False):
        if _ender != _thread.get_ident():  # another thread ends the process: this one must not go on meanwhile
            time.sleep(LIMIT)
            _leave(number)
        return
    _ender = _thread.get_ident()
    for module in ("stereo3d.io.atomic", "stereo3d.kernel_cache"):  # an import could wait for one that is going on
        abandon = getattr(sys.modules.get(module), "abandon", None)
        if abandon is not None:
            try:
                abandon()
            except Exception:
                pass
    _leave(number)


def _leave(number: int) -> None:
    line = f"{WORDS[signal.Signals(number)]}; nothing was left half-written.\n"
    try:
        if os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb":
            line = f"\x1b[?25h\n{line}"  # moving lines of progress hide the cursor
        os.write(2, line.encode())
    except OSError:
        pass
    os._exit(128 + number)


def _watch(reader: int) -> None:
    """End the process where the main thread does not; other handlers (held signals, `tune`) are left alone."""
    while True:
        try:
            number = os.read(reader, 1)[0]
        except (OSError, IndexError):
            return
        if number not in WORDS:
            continue
        time.sleep(GRACE)
        if signal.getsignal(number) is end_process:
            end_process(number)
            time.sleep(LIMIT)
            os._exit(128 + number)


def _let_go() -> None:
    """In a forked child: it shares the pipe of its parent, and what ends it must not end the parent."""
    global _owned
    _owned = False
    signal.set_wakeup_fd(-1)
    for number in WORDS:
        if signal.getsignal(number) is end_process:
            signal.signal(number, signal.SIG_DFL)
