"""Pictures of more than 8 bits a channel as 8 bits: by their nominal white, or stretched where little is used."""

from pathlib import Path
from typing import Any

import numpy as np

from ..foreign import read_file

MIN_LEVELS = 128  # of 256: a picture that uses fewer after division by its nominal white is stretched
TAIL = 0.001  # share of the pixels that a stretched picture clips at either end: hot and dead pixels of a sensor
STRETCHED_TO = (8, 247)  # grey levels of these two quantiles: the clipped tails still differ from them
MAX_12_BITS = 4095  # the white of pictures of 16 bits none of whose values exceeds it
MAX_FILE = 2_000_000_000  # bytes of a picture whose colours are read again
MAX_SAMPLES = 1_000_000  # pixels that the quantiles are taken from


def to_8_bits(value: np.ndarray) -> tuple[np.ndarray, tuple[float, float] | None]:
    """Return values of 16 or 32 bits or floats as uint8, and the stretched range, None where white keeps its place.

    round(255 v / white): white is 65535 for 16 bits, 4095 where none of the values exceeds that (12 bits in 16); 1, 255
    or 65535 for floats, 255 or 65535 for integers of 32 bits, the smallest that the values do not exceed, or else
    their maximum. NaN and negative values are black. Where the values between the quantiles `TAIL` and 1 - `TAIL` then
    take fewer than `MIN_LEVELS` levels (thermal cameras, dark scenes), these quantiles become `STRETCHED_TO`.

    Parameters
    ----------
    value : (H, W) or (H, W, 3) array

    Returns
    -------
    levels : uint8, of the same shape
    stretched : (low, high), optional
        The quantiles, in the units of `value`.
    """
    white = _white(value)
    some = value.ravel()[:: 1 + value.size // MAX_SAMPLES]
    finite = some if value.dtype.kind in "ui" else some[np.isfinite(some)]
    low, high = np.quantile(finite, [TAIL, 1 - TAIL]) if finite.size else (0, 0)
    if low < high and (high - low) * 255 < MIN_LEVELS * white:
        dark, light = STRETCHED_TO
        return _scaled(value, low, (light - dark) / (high - low), dark), (float(low), float(high))
    if value.dtype.kind == "u" and value.dtype.itemsize == 2:
        return (value >> (8 if white > MAX_12_BITS else 4)).astype(np.uint8), None
    return _scaled(value, 0.0, 255 / white, 0.0), None


def _white(value: np.ndarray) -> float:
    """The nominal white of these values, looked at a strip at a time."""
    high, fraction = -np.inf, False
    for strip in _strips(value):
        known = strip if value.dtype.kind in "ui" else strip[np.isfinite(strip)]
        high = max(high, float(known.max(initial=0)))
        fraction = fraction or (value.dtype.kind == "f" and bool(np.any(known % 1)))
    if value.dtype.itemsize == 2:
        return 65535.0 if high > MAX_12_BITS else float(MAX_12_BITS)
    if not high > 0:
        return 1.0
    whites = (1.0, 255.0, 65535.0) if fraction or high <= 1 else (255.0, 65535.0)
    return next((w for w in whites if high <= w), high)


def _scaled(value: np.ndarray, low: float, factor: float, offset: float) -> np.ndarray:
    """clip(round((v - low) factor + offset)) as uint8, a strip at a time; NaN and infinite values are 0."""
    out = np.empty(value.shape, np.uint8)
    for part, target in zip(_strips(value), _strips(out), strict=True):
        known = np.nan_to_num(part.astype(np.float64), nan=-np.inf, posinf=-np.inf)
        target[:] = np.clip(np.rint((known - low) * factor + offset), 0, 255)
    return out


def _strips(value: np.ndarray) -> list[np.ndarray]:
    """Views of some rows each, of about `MAX_SAMPLES` numbers: temporary arrays stay small."""
    rows = max(1, MAX_SAMPLES // max(1, value[0].size))
    return [value[top : top + rows] for top in range(0, len(value), rows)]


def has_16_bit_colour(image: Any) -> bool:
    """Whether an opened Pillow image, not yet loaded, holds colours of 16 bits, of which Pillow keeps the upper 8."""
    return image.format in ("PNG", "TIFF") and image.mode == "RGB" and any(";16" in str(t[3]) for t in image.tile)


def colour_of_16_bits(file: Path, image: Any) -> tuple[np.ndarray, tuple[float, float] | None] | None:
    """Return colours of 16 bits by `to_8_bits`, (H,W,3) uint8 and the range; None where the upper 8 bits suffice."""
    import cv2

    if image.tell() or np.quantile(np.asarray(image)[::3, ::3], 1 - TAIL) >= MIN_LEVELS:  # OpenCV gives the first page
        return None
    data = np.frombuffer(read_file(file, MAX_FILE, "photo_unreadable"), np.uint8)
    value = cv2.imdecode(buf=data, flags=cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if value is None or value.dtype != np.uint16 or value.shape != (image.height, image.width, 3):
        return None
    levels, stretched = to_8_bits(value[..., ::-1])
    return (levels, stretched) if stretched is not None or value.max() <= MAX_12_BITS else None
