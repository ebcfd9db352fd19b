"""Read the points of a LAS or LAZ file in a process with limits (`lidar`)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .stream import Stream

PROGRAM = Path(__file__).with_name("lidar.py")
START_SECONDS = 30.0  # on the clock: the process starts, on a busy computer
START_BYTES = 600_000_000  # of address space beyond what the program has when it starts
POINT_BYTES = 400  # of memory a point: its record, its coordinates as floats, copies
POINTS_PER_SECOND = 300_000  # of lazrs on one slow core, at least


def read_lidar(file: BinaryIO, count: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return coordinates (N, 3) float64 in the file's axes, and red, green, blue (N, 3) uint16.

    Parameters
    ----------
    file : binary file
        A regular one.
    count : int
        Points that its header states, checked.

    Raises
    ------
    OSError
        Where the library gives up, crashes, or exceeds its limits.
    """
    file.seek(0)
    seconds = START_SECONDS + count / POINTS_PER_SECOND
    given = {"path": sys.path, "bytes": START_BYTES + POINT_BYTES * count, "seconds": int(seconds)}
    program = [sys.executable, "-I", "-S", str(PROGRAM), json.dumps(given)]
    env = {**os.environ, "MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        program, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, close_fds=True
    )
    try:
        stream = Stream(process)
        head = stream.line(2 * seconds)
        number = int(head["count"])
        if not 0 <= number <= count:
            raise OSError(f"{number} points, its header states {count}")
        places = bytearray(24 * number)
        stream.fill(places, 2 * seconds)
        rgb = bytearray(6 * number if head["colours"] else 0)
        stream.fill(rgb, 2 * seconds)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    colours = np.frombuffer(rgb, "<u2").reshape(-1, 3) if head["colours"] else None
    return np.frombuffer(places, "<f8").reshape(-1, 3), colours
