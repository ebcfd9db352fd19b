"""Kernels over the rows of a picture on several threads, and pictures whose columns are reversed."""

from collections.abc import Callable, Sequence

import numpy as np


def flip_copy(array: np.ndarray) -> np.ndarray:
    """x -> W - 1 - x for an array (H,W,...), as a contiguous copy."""
    return np.ascontiguousarray(array[:, ::-1])


def flip_view(array: np.ndarray) -> np.ndarray:
    """x -> W - 1 - x for an array (H,W,...), as a view of the same memory: no kernel accepts its strides."""
    return array[:, ::-1]


def parallel_rows(height: int, threads: int, kernel: Callable, *before, after: Sequence = ()) -> None:
    """Call kernel(*before, row0, row1, *after) for `threads` runs of rows that cover 0 .. height, in parallel."""
    edges = np.linspace(0, height, max(1, min(threads, height)) + 1).astype(int)
    runs = list(zip(edges[:-1], edges[1:], strict=True))
    if len(runs) == 1:
        kernel(*before, 0, height, *after)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(runs)) as pool:
        for job in [pool.submit(kernel, *before, int(a), int(b), *after) for a, b in runs]:
            job.result()
