"""How far a batch is: pairs done and failed, speed, rest, memory."""

from __future__ import annotations

import statistics
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from .records import DONE, Outcome

RECENT = 50  # pairs whose time predicts the rest
FIRST = 3  # pairs before a rest is stated


@dataclass
class Tally:
    """Counts the outcomes of a batch.

    Attributes
    ----------
    total : int
        Pairs to carry out.
    workers : int
        At work at the same time.
    kept : int
        Pairs of earlier batches.
    """

    total: int
    workers: int = 1
    kept: int = 0
    done: int = 0
    failed: int = 0
    same: int = 0
    begun: float = field(default_factory=time.monotonic)
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def add(self, outcome: Outcome) -> None:
        """Count an outcome; the time of one that was found to be done already predicts nothing."""
        if outcome.kept:
            self.same += 1
        elif outcome.state == DONE:
            self.done += 1
        else:
            self.failed += 1
        if not outcome.kept:
            self.seconds.append(float(outcome.facts.get("worker_seconds") or outcome.facts.get("seconds") or 0.0))

    @property
    def over(self) -> int:
        """Pairs that have an outcome."""
        return self.done + self.failed + self.same

    @property
    def elapsed(self) -> float:
        """Seconds since the begin."""
        return time.monotonic() - self.begun

    @property
    def rate(self) -> float:
        """Pairs carried out a second."""
        return self.over / self.elapsed if self.elapsed > 0 else 0.0

    def rest(self) -> tuple[float, float] | None:
        """Return the seconds that are left, from and to, by the times of recent pairs; None before there are some.

        The mean decides; its standard error, and at the least one pair's time of those under way, is the width.
        """
        left = self.total - self.over
        if len(self.seconds) < min(FIRST, max(1, self.total)) or left <= 0:
            return None
        mean = statistics.fmean(self.seconds)
        spread = statistics.stdev(self.seconds) if len(self.seconds) > 1 else mean
        workers = max(1, min(self.workers, left))
        error = 2 * spread * (left / len(self.seconds) + 1) ** 0.5 * left**0.5 / workers
        middle = left * mean / workers
        return max(0.0, middle - max(error, mean / 2)), middle + max(error, mean / 2)


def memory_of(client: Any) -> float | None:
    """Return the resident memory of all workers, bytes, as they reported it last."""
    try:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        return float(sum(worker["metrics"]["memory"] for worker in workers))
    except Exception:  # a worker that has just been started has reported nothing
        return None
