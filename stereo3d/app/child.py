"""A child process that looks at photos or makes a model, watched and ended from here."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

GRACE = 0.7  # s from the request to end to the end by force
MAX_LINE = 4_000_000  # characters of one report; a longer one is no report
_CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from stereo3d.app.work import main; main()"


def worker_command() -> list[str]:
    """Return the command of a process that takes one job: see `work`."""
    return [sys.executable, "-c", _CODE, json.dumps(sys.path)]


class Child:
    """One job in a process of its own.

    Parameters
    ----------
    command : sequence of str
        The program.
    job : dict
        Sent as one line of JSON; the input then stays open, and its end ends the child with this process.
    log : Path
        File for what the child and its libraries print.

    Raises
    ------
    OSError
        Where the process cannot be started.
    """

    def __init__(self, command: Sequence[str], job: dict[str, Any], log: Path) -> None:
        with open(log, "ab") as messages:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                start_new_session=os.name == "posix",  # a group of its own, which is ended as a whole
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        self._job, self.ended = job, False
        self._asking = threading.Lock()

    def reports(self, take: Callable[[dict[str, Any]], None]) -> int:
        """Call `take` with each line of JSON that the child prints, until it ends; return its exit status."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self.ask(self._job)
        while line := self._process.stdout.readline(MAX_LINE):
            with contextlib.suppress(ValueError):
                report = json.loads(line)
                if isinstance(report, dict):
                    take(report)
        status = self._process.wait()
        self._kill()  # helpers that it may have left
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()
        return status

    def ask(self, request: dict[str, Any]) -> None:
        """Send a line of JSON; a child that has ended already does not read it."""
        assert self._process.stdin is not None
        with self._asking, contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def end(self) -> None:
        """End the child and all processes of its group; it is dead `GRACE` later at the latest."""
        self.ended = True
        self._signal(signal.SIGTERM)
        timer = threading.Timer(GRACE, self._kill)
        timer.daemon = True
        timer.start()

    def _kill(self) -> None:
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    def _signal(self, number: int) -> None:
        with contextlib.suppress(OSError):  # it has ended
            if os.name == "posix":
                os.killpg(self._process.pid, number)
            elif self._process.poll() is None:
                self._process.terminate()


def crash_words(status: int) -> str:
    """Return what ended a child that gave no result, in words."""
    if status < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-status).name
            why = ": the computer may have run out of memory" if name == "SIGKILL" else ""
            return f"the computation was ended by the system ({name}{why})."
    return f"the computation ended without a result (exit code {status})."
