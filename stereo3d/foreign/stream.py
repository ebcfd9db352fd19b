"""What a process with limits writes: lines of JSON and the bytes that follow them, within a time."""

import json
import os
import selectors
import subprocess
import time
from typing import Any

MAX_LINE = 64_000_000  # bytes of a line: of what a picture's header states, EXIF and XMP included


class Stream:
    """The standard output of a process, with a limit on the clock.

    Parameters
    ----------
    process : Popen
        With its output as a pipe.
    name : str
        Of the process, for messages.
    """

    def __init__(self, process: subprocess.Popen, name: str = "its decoder") -> None:
        assert process.stdout is not None
        self.process, self.name, self.handle = process, name, process.stdout.fileno()
        self.waiting = b""
        os.set_blocking(self.handle, False)

    def line(self, seconds: float | None) -> dict[str, Any]:
        """Return the next line as an object; OSError where it is none, or states an error. seconds None: no limit."""
        until = None if seconds is None else time.monotonic() + seconds
        while b"\n" not in self.waiting:
            if len(self.waiting) > MAX_LINE:
                raise OSError("its header is too large")
            self.waiting += self._read(65536, until)
        line, _, self.waiting = self.waiting.partition(b"\n")
        value = json.loads(line)
        if "error" in value:
            raise OSError(value["error"])
        return value

    def fill(self, target: bytearray | memoryview, seconds: float | None) -> None:
        """Fill an array with the bytes that follow."""
        until = None if seconds is None else time.monotonic() + seconds
        view = memoryview(target)
        at = min(len(self.waiting), len(view))
        view[:at] = self.waiting[:at]
        self.waiting = self.waiting[at:]
        while at < len(view):
            part = self._read(min(1 << 20, len(view) - at), until)
            view[at : at + len(part)] = part
            at += len(part)

    def _read(self, count: int, until: float | None) -> bytes:
        with selectors.DefaultSelector() as selector:
            selector.register(self.handle, selectors.EVENT_READ)
            if not selector.select(None if until is None else max(0.0, until - time.monotonic())):
                raise OSError(f"{self.name} did not end in time")
        part = os.read(self.handle, count)
        if not part:
            raise OSError(self._ending(self.process.wait()))
        return part

    def _ending(self, status: int) -> str:
        import signal

        if status == -getattr(signal, "SIGXCPU", 0):
            return f"{self.name} took too long"
        return f"{self.name} crashed" if status < 0 else f"{self.name} gave up"
