"""Seconds and peak memory of each stage."""

import ctypes
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

log = logging.getLogger(__name__)
M_ARENA_MAX = -8  # of mallopt, Linux with glibc
SAMPLING_PERIOD = 0.02  # s between two looks at the resident memory


class Progress(Protocol):
    """What `reconstruct` calls when a stage begins, and with the stage "done" at the end."""

    def __call__(self, stage: str, work: float, method: str, /) -> None:
        """Take the stage's name, its amount of work (pixels, candidates or points; 0: unknown) and chosen method."""


class MemoryMeter(Protocol):
    """Measures the peak of resident memory of one stage after another."""

    def start(self) -> None:
        """Begin a measurement."""

    def stop(self) -> int:
        """End it and return the peak, bytes."""
        ...


class SampledPeak:
    """Measure by looking at the resident memory every `SAMPLING_PERIOD` in a thread.

    Where the high-water mark that Linux keeps for the process has risen, it is the exact peak.
    """

    def __init__(self) -> None:
        self._peak = self._mark = 0
        self._over = threading.Event()
        self._thread = threading.Thread()

    def start(self) -> None:
        """Begin to sample."""
        self._peak, self._mark, self._over = resident_memory(), peak_memory(), threading.Event()
        self._thread = threading.Thread(target=self._sample, args=(self._over,), daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """End sampling and return the peak, bytes."""
        self._over.set()
        self._thread.join()
        mark = peak_memory()
        return mark if mark > self._mark else max(self._peak, resident_memory())

    def _sample(self, over: threading.Event) -> None:
        while not over.wait(SAMPLING_PERIOD):
            self._peak = max(self._peak, resident_memory())


class ProcessPeak:
    """Measure by resetting the process's high-water mark; for a program that owns its process, not for a library call.

    At the end of each stage it has the C library return freed memory to the system, of which it else keeps hundreds of
    MB after SIFT on two threads, and it has all threads share one heap.
    """

    def __init__(self) -> None:
        share_one_heap()

    def start(self) -> None:
        """Reset the high-water mark."""
        reset_peak_memory()

    def stop(self) -> int:
        """Return freed memory to the system, and the peak, bytes."""
        return_freed_memory()
        return peak_memory()


class Clock:
    """Seconds and peak memory of each stage: `with clock("pose", work): ...`.

    Parameters
    ----------
    progress : callable, optional
        Called when a stage begins: see `Progress`.
    meter : MemoryMeter, optional
        By default `SampledPeak`.
    """

    def __init__(self, progress: Progress | None = None, meter: MemoryMeter | None = None) -> None:
        self.progress: Progress = progress or (lambda stage, work, method, /: None)
        self.meter: MemoryMeter = meter or SampledPeak()
        self.stages: list[dict[str, Any]] = []

    @contextmanager
    def __call__(self, name: str, work: float = 0, method: str = "") -> Iterator[None]:
        """Measure the block as stage `name`; nothing is kept of a block that raises."""
        self.progress(name, work, method)
        self.meter.start()
        start = time.perf_counter()
        try:
            yield
        finally:
            peak = self.meter.stop()
        seconds = round(time.perf_counter() - start, 3)
        self.stages.append({"name": name, "seconds": seconds, "peak_mb": round(peak / 2**20)})
        log.info("%s: %.2f s", name, seconds)


def reset_peak_memory() -> None:
    """Reset the high-water mark of this process's resident memory (Linux; elsewhere it does nothing)."""
    try:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    except OSError:
        pass


def share_one_heap() -> None:
    """Have the C library give all threads one heap: of what one has freed, others take before the process grows."""
    try:
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    except (OSError, AttributeError, TypeError):
        pass


def return_freed_memory() -> None:
    """Have the C library return freed memory to the system; a mere hint, which changes no result."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # Linux with glibc
    except (OSError, AttributeError, TypeError):
        pass


def peak_memory() -> int:
    """Return the high-water mark of resident memory, bytes; where the system keeps none, what is resident now."""
    return _status("VmHWM")


def resident_memory() -> int:
    """Return the resident memory of this process, bytes."""
    return _status("VmRSS")


def _status(name: str) -> int:
    try:
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith(name))
    except (OSError, StopIteration):
        import psutil

        return psutil.Process().memory_info().rss
