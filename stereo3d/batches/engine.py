"""Hand jobs to the workers of a Dask cluster and take their outcomes as they come.

The scheduler decides which worker gets which job, gives the job of a worker that died to another one, and gives up one
whose workers died too often (`KilledWorker`). Here the jobs are fed to it, so many at a time, so that 100,000 of them
lie in neither process.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import StereoError

if TYPE_CHECKING:
    from distributed import Client

Task = TypeVar("Task")
PAUSE = 0.1  # s between two looks at whether to stop
COUNTED = 1.0  # s for which the number of threads of a cluster is taken to stay
QUEUED = 4  # jobs for each thread that the scheduler has
AT_LEAST = 16  # jobs more


class Stop:
    """Says whether a batch is to end: asked 1: begin no more pairs; 2: drop those that are running."""

    def __init__(self) -> None:
        self.asked = 0


def _nothing(number: int) -> None:
    """The task of a job that is none."""


def perform(
    client: Client,
    function: Callable[[Task], Any],
    jobs: Iterator[Task],
    *,
    few: bool = False,
    alone: bool = False,
    patience: float | None = None,
    stop: Stop | None = None,
) -> Generator[tuple[Task, Any], None, None]:
    """Yield (job, what `function(job)` returned) as they come; of a job that was given up, the exception.

    Parameters
    ----------
    client : Client
    function : callable
        Known to the workers by its name.
    jobs : iterator
    few : bool
        Hardly more jobs at a time than there are threads: they are large.
    alone : bool
        The first job runs alone, for the others to find its compiled kernels.
    patience : float, optional
        s without any worker after which the batch is given up; by default it waits, as for a queue of Slurm.
    stop : Stop, optional

    Raises
    ------
    StereoError
        "worker" where the scheduler is lost, or all workers are.
    """
    from distributed import as_completed

    stop = stop or Stop()
    mark = f"pair_{time.time_ns():x}"
    arrived = as_completed(loop=client.loop, with_results=True, raise_errors=False)
    running: dict[Any, Task] = {}
    number, more, dropped = 0, True, False
    threads, counted = _threads(client), time.monotonic()
    last = counted  # when there was a worker
    # The scheduler holds back what belongs to a large group: it is made large before the first job, by empty tasks.
    empty = range(2 * threads + 1)
    held = client.map(_nothing, empty, key=[f"{mark}-{-1 - k}" for k in empty])
    try:
        while running or (more and not stop.asked):
            if time.monotonic() - counted > COUNTED:  # a cluster may grow, by what waits
                threads, counted = _threads(client), time.monotonic()
                last = counted if threads else last
                if patience is not None and counted - last > patience:
                    raise _no_workers(patience)
            room = 1 if alone else max(1, threads) + 2 if few else QUEUED * threads + AT_LEAST
            while more and not stop.asked and len(running) < room:
                job = next(jobs, None)
                if job is None:
                    more = False
                    break
                future = client.submit(function, job, key=f"{mark}-{number}", pure=False)
                running[future] = job
                arrived.add(future)
                number += 1
            if stop.asked > 1:
                return
            if stop.asked and not dropped:
                more, dropped = False, True
                _drop_waiting(client, running)
            batch = arrived.next_batch(block=False)
            for future, answer in batch:
                alone = False
                if future in running:
                    yield running.pop(future), _unpacked(future, answer)
                future.release()
            if not batch and running:
                _require_scheduler(client)
                with arrived.thread_condition:
                    if not arrived.has_ready():
                        arrived.thread_condition.wait(PAUSE)
    finally:
        with contextlib.suppress(Exception):
            client.cancel([*running, *held], force=True)


def _drop_waiting(client: Client, running: dict[Any, Any]) -> None:
    """Take back the jobs that no worker has begun."""
    processing: Any = client.processing()
    begun = {key for keys in processing.values() for key in keys}
    waiting = [future for future in running if future.key not in begun]
    for future in waiting:
        del running[future]
    client.cancel(waiting, force=True)


def _unpacked(future: Any, answer: Any) -> Any:
    """What a task returned, or the exception that took its place."""
    if future.status == "finished":
        return answer
    if isinstance(answer, tuple) and len(answer) == 3:
        return answer[1]
    return answer if isinstance(answer, BaseException) else RuntimeError(f"its task is {future.status}")


def _threads(client: Client) -> int:
    """Threads of all workers."""
    workers = client.scheduler_info(n_workers=-1).get("workers", {})
    return sum(int(worker.get("nthreads", 1)) for worker in workers.values())


def _no_workers(patience: float) -> StereoError:
    return StereoError(
        "worker",
        f"all workers have ended, and none could be started again in {patience:g} s.",
        "Is there memory left? The pairs that are done are kept: the same command continues.",
    )


def _require_scheduler(client: Client) -> None:
    if client.status != "running":
        raise StereoError(
            "worker",
            f"the scheduler of the cluster is lost (the connection is {client.status}).",
            "The pairs that are done are kept: the same command continues where a scheduler answers.",
        )
