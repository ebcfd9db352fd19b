"""Select features that are spread over the picture."""

import numpy as np


def spread(x: np.ndarray, response: np.ndarray, size: tuple[int, int], count: int) -> np.ndarray:
    """Select at most `count` points spread over the picture: the strongest of every grid cell in turn.

    Parameters
    ----------
    x : (N, 2) float64
        px.
    response : (N,) float64
    size : (int, int)
        Width and height, px.
    count : int
        A cell keeps about 8 of them.

    Returns
    -------
    (M,) int64
        Sorted indices.
    """
    if len(x) <= count:
        return np.arange(len(x))
    side = np.sqrt(size[0] * size[1] * 8 / count)
    columns = int(np.ceil(size[0] / side)) + 1
    cell = (x[:, 1] // side).astype(int) * columns + (x[:, 0] // side).astype(int)
    order = np.lexsort((-response, cell))
    start = np.r_[True, np.diff(cell[order]) > 0]
    rank = np.arange(len(x)) - np.maximum.accumulate(np.where(start, np.arange(len(x)), 0))
    best = np.lexsort((-response[order], rank))[:count]
    return np.sort(order[best])
