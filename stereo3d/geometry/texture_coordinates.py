"""Texture coordinates of pixels and back: u to the right, v up, the picture is [0, 1]^2."""

import numpy as np


def uv_of_pixels(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uv = ((x + 1/2) / W, 1 - (y + 1/2) / H).

    Parameters
    ----------
    x : (N, 2) float64
        px.
    size : (width, height)
        px.

    Returns
    -------
    (N, 2) float64
    """
    uv = (x + 0.5) / size
    uv[:, 1] = 1 - uv[:, 1]
    return uv


def pixels_of_uv(uv: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """x = (u W - 1/2, (1 - v) H - 1/2), the inverse of `uv_of_pixels`.

    Parameters
    ----------
    uv : (N, 2) float64
    size : (width, height)
        px.

    Returns
    -------
    (N, 2) float64
        px.
    """
    width, height = size
    return np.stack([uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5], axis=-1)
