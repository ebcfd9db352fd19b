"""Grey pictures of 16 or 32 bits a pixel as 8 bits."""

from collections.abc import Iterable
from typing import Any

import numpy as np

STRIP_PIXELS = 2_000_000  # converted at a time


def wide_to_u8(image: Any) -> np.ndarray:
    """Return a Pillow image of 16 or 32 bits or floats (H, W) as (H, W, 3) uint8, scaled as `read_photo` documents.

    It is converted in strips: beyond the image's own memory 3 bytes a pixel.
    """
    image.load()
    rows = max(1, STRIP_PIXELS // max(image.width, 1))
    tops = range(0, image.height, rows)

    def strip(top: int) -> np.ndarray:
        return np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))

    if strip(0).dtype.itemsize == 2:
        shift = 8 if max(int(strip(top).max()) for top in tops) >= 4096 else 4
        scaled = ((strip(top) >> shift).astype(np.uint8) for top in tops)
    else:
        white = _white(_known(strip(top)) for top in tops)
        scaled = (np.rint(np.clip(_known(strip(top)) / white, 0, 1) * 255).astype(np.uint8) for top in tops)
    out = np.empty((image.height, image.width, 3), np.uint8)
    for top, grey in zip(tops, scaled, strict=True):
        out[top : top + rows] = grey[..., None]
    return out


def _known(value: np.ndarray) -> np.ndarray:
    """The values as float64, 0 where they are not finite."""
    return np.nan_to_num(value.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _white(strips: Iterable[np.ndarray]) -> float:
    """The value that is shown white: 1 (floats alone), 255 or 65535, the first that none exceeds, else the highest."""
    high, fractions = -np.inf, False
    for value in strips:
        high = max(high, float(value.max()))
        fractions = fractions or bool(np.any(value % 1))
    whites = (1.0, 255.0, 65535.0) if fractions or high <= 1 else (255.0, 65535.0)
    return next((white for white in whites if high <= white), high)
