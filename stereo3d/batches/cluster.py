"""The cluster of a batch: workers of our own on this machine, or one that is there."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import resources
from ..errors import StereoError

if TYPE_CHECKING:
    from distributed import Client

ADDRESS = "DASK_SCHEDULER_ADDRESS"  # environment variable: the scheduler of a cluster that is there
MEMORY_SHARE = 0.9  # of the free memory that all workers together may take
LOOPBACK = "127.0.0.1"
WAIT = 30.0  # s for a scheduler to answer, and for its first worker
# Of our own cluster. Nothing is spilled to disk, where it would be pickled; a worker that takes more than its memory is
# ended and its pair tried once more; a worker has no more than the pair it computes, so that its death costs no other.
SETTINGS = {
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.scheduler.allowed-failures": 1,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.nanny.preload": [],
    # a computer under load is no failure: a worker that is started again may take its time
    "distributed.deploy.lost-worker-timeout": "1 day",
    "distributed.scheduler.worker-ttl": "1 hour",
    # for so long the result of a pair is asked for at a worker that has died since, before the pair is done again
    "distributed.comm.timeouts.connect": "10 s",
    "distributed.admin.large-graph-warning-threshold": "100GB",
}


@dataclass(frozen=True)
class Tls:
    """Files of the certificates for a scheduler that asks for them."""

    ca_file: str | None = None
    cert: str | None = None
    key: str | None = None

    def security(self) -> Any:
        """Return distributed's `Security`; None without certificates (its own configuration counts then)."""
        if not any((self.ca_file, self.cert, self.key)):
            return None
        from distributed import Security

        return Security(
            tls_ca_file=self.ca_file, tls_client_cert=self.cert, tls_client_key=self.key, require_encryption=True
        )


def require_distributed() -> None:
    """Raise StereoError("library_missing") without the extra."""
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise StereoError(
            "library_missing", f"a batch needs Dask: {error}.", "pip install 'stereo3d[batch]' installs it."
        ) from error


def worker_count(memory: float, pairs: int, wanted: int | None = None) -> int:
    """Return how many workers run at once: no more than cores, pairs and memory allow.

    Parameters
    ----------
    memory : float
        Bytes that one pair takes.
    pairs : int
    wanted : int, optional
        By the user; memory still limits it.
    """
    fitting = int(MEMORY_SHARE * resources.available_memory() // max(memory, 1.0))
    return max(1, min(wanted or resources.processors(), fitting, max(1, pairs)))


@contextlib.contextmanager
def local_cluster(workers: int, *, tls: bool | None = None) -> Iterator[Client]:
    """Yield the client of so many worker processes, which listen on the loopback interface only.

    Parameters
    ----------
    workers : int
        Each has its share of cores and of the free memory, and carries out one pair at a time.
    tls : bool, optional
        Certificates made for this cluster alone, so that other users of the machine cannot reach it; by default where
        the package `cryptography` is there.
    """
    require_distributed()
    import dask.config
    from distributed import Client, LocalCluster, Security

    threads = max(1, resources.processors() // workers)
    memory = int(MEMORY_SHARE * resources.available_memory() / workers)
    if tls is None:
        tls = _can_encrypt()
    variables = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    settings = {
        **SETTINGS,
        "distributed.nanny.environ": {"STEREO3D_THREADS": str(threads)},
        "distributed.nanny.pre-spawn-environ": {**variables, "MALLOC_TRIM_THRESHOLD_": "65536"},
    }
    from ..io.atomic import scratch_folder

    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(settings))
        stack.enter_context(_silent())
        scratch = stack.enter_context(scratch_folder())
        cluster = stack.enter_context(
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host=LOOPBACK,
                protocol="tls://" if tls else "tcp://",
                security=Security.temporary() if tls else Security(),
                dashboard_address=f"{LOOPBACK}:0",  # its server has no routes (SETTINGS), and no dashboard
                scheduler_kwargs={"dashboard": False},
                memory_limit=memory,
                local_directory=str(scratch),
                silence_logs=logging.CRITICAL,
                preload=["stereo3d.batches.preload"],
            )
        )
        yield stack.enter_context(Client(cluster, set_as_default=False))


def _can_encrypt() -> bool:
    try:
        import cryptography.x509  # noqa: F401
    except ImportError:
        return False
    return True


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep what Dask logs of ended workers from standard error: the outcome of the pair says it."""
    import distributed  # noqa: F401 - gives its loggers levels of their own

    roots = ("distributed", "asyncio", "tornado", "bokeh")
    known = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in roots]
    loggers = [logging.getLogger(name) for name in {*roots, *known}]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def existing_cluster(address: str, tls: Tls) -> Iterator[Client]:
    """Yield the client of a scheduler that is there, with at least one worker.

    Raises
    ------
    StereoError
        "worker" where it does not answer, or has no worker.
    """
    require_distributed()
    from distributed import Client

    with contextlib.ExitStack() as stack:
        stack.enter_context(_silent())
        try:
            client = stack.enter_context(
                Client(address, timeout=WAIT, security=tls.security(), set_as_default=False, name="stereo3d-batch")
            )
            client.wait_for_workers(1, timeout=WAIT)
        except (OSError, TimeoutError, ValueError) as error:
            raise StereoError(
                "worker",
                f"no worker of the cluster {address} answers: {str(error).partition(chr(10))[0] or 'time is over'}.",
                "Start scheduler and workers first (dask scheduler, dask worker), or leave --cluster out.",
            ) from error
        _check_versions(client)
        yield client


def _check_versions(client: Client) -> None:
    """Refuse workers that do not have this version: their results could differ from those of a single run."""
    from .. import __version__

    found: Any = client.run(worker_version)
    others = sorted({str(version) for version in found.values()} - {__version__})
    if others:
        raise StereoError(
            "library_missing",
            f"the workers have stereo3d {', '.join(others)}, this program is {__version__}.",
            "Install the same version on all machines of the cluster.",
        )


def worker_version() -> str:
    """Return the version of the package on a worker."""
    from .. import __version__

    return __version__


def address_of(given: str | None) -> str | None:
    """Return the address of the cluster that is named by the user or the environment; None for our own."""
    return given or os.environ.get(ADDRESS) or None
