"""Observe numba's compilation, and share it with helper processes.

numba compiles one kernel at a time in a process. During the early stages of a first run, `Helpers` compile the kernels
of later stages into numba's cache, from which the run loads them.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from .. import resources

MAX_HELPERS = 2  # a third of the compile time is spent before the first stage that helpers can prepare
HELPER_MEMORY = 0.5 * 2**30  # bytes, of one helper: libraries and compiler
SPARE_MEMORY = 2 * 2**30  # bytes left free for the run itself


class Compiling:
    """Count the kernels that numba compiles in a block: `with Compiling(first) as found:`.

    Parameters
    ----------
    first : callable
        Called when the first kernel must be compiled; loading a cached one does not count.

    Attributes
    ----------
    kernels : int
        Kernels compiled.
    seconds : float
        Time spent compiling.
    """

    def __init__(self, first: Callable[[], None] = lambda: None) -> None:
        self.first, self.kernels, self.seconds = first, 0, 0.0
        self._depth, self._start, self._lock = 0, 0.0, threading.Lock()

    def __enter__(self) -> "Compiling":
        from numba.core import event

        watcher = self

        class Listener(event.Listener):
            def on_start(self, event: Any) -> None:
                watcher._began()

            def on_end(self, event: Any) -> None:
                watcher._ended()

        self._listener = Listener()
        event.register("numba:compile", self._listener)
        return self

    def __exit__(self, *_: object) -> None:
        from numba.core import event

        event.unregister("numba:compile", self._listener)

    def _began(self) -> None:
        with self._lock:
            self.kernels += 1
            self._depth += 1  # compiling a kernel compiles those it calls
            if self._depth == 1:
                self._start = time.perf_counter()
            first = self.kernels == 1
        if first:
            self.first()

    def _ended(self) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self.seconds += time.perf_counter() - self._start


class Helpers:
    """Helper processes that compile: `with Helpers() as helpers: helpers.start(work)`, with work for `help_with`.

    They end with the block, and with this process however it ends. They print nothing, and their failure costs time
    only.
    """

    def __init__(self) -> None:
        self._running: list[subprocess.Popen] = []

    def __enter__(self) -> "Helpers":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Iterable[list[str]]) -> None:
        """Start one process for each list of parts, as far as there are cores and memory."""
        from ..kernel_cache import writable_folder

        work = list(work)[: room_for_helpers()]
        if not work or writable_folder(__file__) is None:  # they leave their kernels on disk
            return
        code = "import json, sys; path, parts = json.loads(sys.argv[1]); sys.path[:] = path; "
        code += "from stereo3d.install.warmup import help_with; help_with(parts)"
        for parts in work:
            command = [sys.executable, "-c", code, json.dumps([sys.path, parts])]
            flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # on Windows
            with contextlib.suppress(OSError):
                self._running.append(
                    subprocess.Popen(
                        command,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL,
                        creationflags=flags,
                    )
                )

    def wait(self) -> tuple[int, float]:
        """Wait until they are done; return the number of kernels and the seconds, both summed over the processes."""
        kernels, seconds = 0, 0.0
        for process in self._running:
            for line in process.stdout or ():
                with contextlib.suppress(ValueError):
                    done = json.loads(line)
                    kernels, seconds = kernels + done["kernels"], seconds + done["seconds"]
        self.stop()
        return kernels, seconds

    def stop(self) -> None:
        """End the processes: they watch their standard input, see `end_with_parent`."""
        for process in self._running:
            if process.stdin is not None:
                process.stdin.close()
        for process in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2)
            if process.stdout is not None:
                process.stdout.close()
        self._running = []


def room_for_helpers() -> int:
    """Return the number of helpers for which this computer has a core each, and memory besides that of the run."""
    memory = (resources.available_memory() - SPARE_MEMORY) // HELPER_MEMORY
    return int(max(0, min(MAX_HELPERS, resources.processors() - 1, memory)))


def end_with_parent() -> None:
    """End this process as soon as its standard input ends, but not in the middle of a file."""
    from ..kernel_cache import SAVING

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        with SAVING:
            os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
