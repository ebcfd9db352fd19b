"""Observe numba's compilation, and share it with helper processes: numba compiles one kernel at a time in a process."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from .. import resources

MAX_HELPERS = 2  # of six processors as many as of three: what remains waits for the longest kernels
HELPER_MEMORY = 0.5 * 2**30  # bytes, of one helper: libraries and compiler
SPARE_MEMORY = 2 * 2**30  # bytes left free for the run itself


class Compiling:
    """Count the kernels that numba compiles in a block, as `kernels`: `with Compiling(first) as found:`.

    first: called when the first kernel must be compiled; loading one that is kept does not count.
    """

    def __init__(self, first: Callable[[], None] = lambda: None) -> None:
        self.first, self.kernels = first, 0

    def __enter__(self) -> "Compiling":
        from numba.core import event

        class Listener(event.Listener):
            def on_start(listener, event: Any) -> None:  # noqa: N805 - self counts
                self.kernels += 1  # numba holds its lock
                if self.kernels == 1:
                    self.first()

            def on_end(listener, event: Any) -> None: ...  # noqa: N805

        self._listening = event.install_listener("numba:compile", Listener())
        self._listening.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.__exit__(None, None, None)


class Helpers(contextlib.AbstractContextManager):
    """Processes that compile the kernels of `warmup.listed(every)`; they end with the block, however that ends."""

    def __init__(self, every: bool = False) -> None:
        self.every, self.processes = every, list[subprocess.Popen]()

    def start(self) -> None:
        """Start as many as there are processors and memory for, if their kernels can be kept."""
        from ..kernel_cache import writable_folder

        code = f"from stereo3d.install.warmup import help_parent; help_parent({self.every}, {{}})"
        path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path)
        options: dict[str, Any] = {"stdin": subprocess.PIPE, "env": {**os.environ, "PYTHONPATH": path}}
        options |= dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
        options["creationflags"] = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # on Windows
        for number in range(room_for_helpers() if writable_folder(__file__) else 0):
            with contextlib.suppress(OSError):
                self.processes.append(subprocess.Popen([sys.executable, "-P", "-c", code.format(number)], **options))

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()  # see `end_with_parent`
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2)
        self.processes = []


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
