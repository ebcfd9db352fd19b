"""Work on bands of a picture's rows, on several threads; a picture seen in a mirror."""

import numpy as np


def mirrored(array: np.ndarray) -> np.ndarray:
    """x -> W - 1 - x, for (H,W,...)."""
    return np.ascontiguousarray(array[:, ::-1])


def backwards(array: np.ndarray) -> np.ndarray:
    """`mirrored`, but the same memory: no kernel takes it as it is."""
    return array[:, ::-1]


def in_bands(height: int, threads: int, kernel, *before, after=()):
    """kernel(*before, row0, row1, *after) over bands of rows, on `threads` threads."""
    edges = np.linspace(0, height, max(1, min(threads, height)) + 1).astype(int)
    bands = list(zip(edges[:-1], edges[1:], strict=True))
    if len(bands) == 1:
        return kernel(*before, 0, height, *after)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(bands)) as pool:
        for job in [pool.submit(kernel, *before, int(a), int(b), *after) for a, b in bands]:
            job.result()
