"""Compiling kernels while a run needs them: seen, told, and shared with further processes.

numba compiles one kernel at a time to a process. Of a first run's kernels those of the later stages can be compiled by
`Helpers` beside it, which leave them where the run looks for them: in numba's cache.
"""

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable

from . import resources

MOST_HELPERS = 2  # the kernels before the first stage that can be helped take a third of the time
HELPER_MEMORY = 0.5 * 2**30  # bytes: the libraries and the compiler
SPARE_MEMORY = 2 * 2**30  # bytes that stay free for the run itself


class Compiling:
    """Watches numba at work: `with Compiling(first) as found:`; first() is called when a kernel must be compiled.

    found.kernels: how many were;  found.seconds: how long that took. Loading kept ones is no compiling.
    """

    def __init__(self, first: Callable[[], None] = lambda: None):
        self.first, self.kernels, self.seconds = first, 0, 0.0
        self._depth, self._start, self._lock = 0, 0.0, threading.Lock()

    def __enter__(self):
        from numba.core import event

        watcher = self

        class Listener(event.Listener):
            def on_start(self, _):
                watcher._began()

            def on_end(self, _):
                watcher._ended()

        self._listener = Listener()
        event.register("numba:compile", self._listener)
        return self

    def __exit__(self, *_):
        from numba.core import event

        event.unregister("numba:compile", self._listener)

    def _began(self):
        with self._lock:
            self.kernels += 1
            self._depth += 1  # a kernel compiles those it calls
            if self._depth == 1:
                self._start = time.perf_counter()
            told = self.kernels > 1
        if not told:
            self.first()

    def _ended(self):
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self.seconds += time.perf_counter() - self._start


class Helpers:
    """Further processes that compile: `with Helpers() as helpers: helpers.start(work)`, work for `warmup.help_with`.

    They end with the block, and with this process however that ends; they say nothing, and what becomes of them matters
    to nothing but the time.
    """

    def __init__(self):
        self._running: list[subprocess.Popen] = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def __len__(self):
        return len(self._running)

    def start(self, work: Iterable[list[str]]) -> None:
        """One process for each list of parts, as far as there are processors and memory for it."""
        work = list(work)[: room_for_helpers()]
        if not work or not share_cache():
            return
        code = "import json, sys; path, parts = json.loads(sys.argv[1]); sys.path[:] = path; "
        code += "from stereo3d.warmup import help_with; help_with(parts)"
        for parts in work:
            command = [sys.executable, "-c", code, json.dumps([sys.path, parts])]
            flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # of Windows
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
        """Until they are through: how many kernels they compiled, and the seconds of all of them for that."""
        kernels, seconds = 0, 0.0
        for process in self._running:
            for line in process.stdout:
                with contextlib.suppress(ValueError):
                    done = json.loads(line)
                    kernels, seconds = kernels + done["kernels"], seconds + done["seconds"]
        self.stop()
        return kernels, seconds

    def stop(self) -> None:
        for process in self._running:
            process.stdin.close()  # which tells it: see `end_with_parent`
        for process in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2)
            process.stdout.close()
        self._running = []


def room_for_helpers() -> int:
    """How many processes more this computer bears: for each a processor, and memory beside what the run may need."""
    memory = (resources.available_memory() - SPARE_MEMORY) // HELPER_MEMORY
    return int(max(0, min(MOST_HELPERS, resources.processors() - 1, memory)))


def end_with_parent() -> None:
    """Let this process end as soon as its standard input does, but not in the middle of a file."""

    def watch():
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        with _SAVING:
            os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


_SAVING = threading.RLock()


def share_cache() -> bool:
    """Let this process and others write numba's cache at the same time; False where this numba works otherwise.

    numba takes the first file name that is free in a kernel's index, writes the index and then the file. So two
    processes with two signatures of one kernel may give both the same name, and a third may find the old file of a new
    entry. Here a name is drawn by chance, and an entry is written when its file is there: the worst that can happen is
    that an entry is lost, and compiled again by the next who needs it.
    """
    try:
        from numba.core.caching import IndexDataCacheFile as Files
    except ImportError:
        return False
    if all(callable(getattr(Files, name, None)) for name in ("_load_index", "_save_index", "_save_data", "_data_name")):
        Files.save = _save
    return Files.save is _save


def _save(self, key, data) -> None:
    with _SAVING:
        name = self._load_index().get(key) or self._data_name(random.SystemRandom().getrandbits(48))
        self._save_data(name, data)
        self._save_index({**self._load_index(), key: name})
