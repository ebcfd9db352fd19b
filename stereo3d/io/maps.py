"""Write float maps: PFM, NPY and 16-bit PNG."""

import os
from pathlib import Path

import numpy as np

from ..errors import StereoError
from .atomic import replacing
from .read_map import PNG_SCALE, read_map

__all__ = ["read_map", "write_map"]


def write_map(path: str | os.PathLike, value: np.ndarray) -> Path:
    """Write a float map in the format of the suffix and return its path.

    Parameters
    ----------
    path : path
        .pfm (float32, unknown = inf), .npy (float32) or .png (16 bit: round(256 value), 0 = unknown).
    value : (H, W) float
        NaN unknown.

    Raises
    ------
    StereoError
        "bad_range" for values that a PNG cannot hold (below 1/512 or above 255.99), "unwritable", "unknown_format".
    """
    path = Path(path)
    value = np.asarray(value, dtype=np.float32)
    if value.ndim != 2:
        raise ValueError(f"write_map needs (H,W), got {value.shape}")
    suffix = path.suffix.lower()
    if suffix == ".pfm":
        rows = np.where(np.isfinite(value), value, np.inf)[::-1].astype("<f4")  # PFM runs bottom to top
        data = f"Pf\n{value.shape[1]} {value.shape[0]}\n-1.0\n".encode() + rows.tobytes()
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    elif suffix == ".npy":
        with replacing(path) as temporary, open(temporary, "wb") as f:
            np.save(f, value)
    elif suffix == ".png":
        import cv2

        known = np.isfinite(value)
        low, high = (float(value[known].min()), float(value[known].max())) if known.any() else (1.0, 1.0)
        if low < 0.5 / PNG_SCALE or high > 65535 / PNG_SCALE:
            raise StereoError(
                "bad_range",
                f"{path}: a 16-bit PNG holds 0.002 to 255.99, the map has {low:g} to {high:g}.",
                "Write .pfm or .npy.",
                low=low,
                high=high,
            )
        raw = np.where(known, np.floor(np.nan_to_num(value) * PNG_SCALE + 0.5), 0).astype(np.uint16)
        with replacing(path) as temporary:
            temporary.write_bytes(cv2.imencode(".png", raw)[1].tobytes())
    else:
        raise StereoError(
            "unknown_format",
            f"{path}: no writer for maps in {suffix or 'files without suffix'}.",
            "Use .pfm, .npy or .png.",
        )
    return path
