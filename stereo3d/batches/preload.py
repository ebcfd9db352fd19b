"""What a worker process of our own cluster does at its start."""

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C to the process that the user started: it says what becomes of the running pairs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
