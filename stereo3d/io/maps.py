"""Float maps: PFM, NPY, NPZ and 16-bit PNG."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import StereoError
from .atomic import replacing

PNG_SCALE = 256.0  # a map in a 16-bit PNG holds round(256 value), 0 = unknown (KITTI's convention)
MAP_NAMES = ("arr_0", "depth", "disparity")  # of the map in an .npz of several arrays


def read_map(path: str | os.PathLike, *, scale: float | None = None, unknown: Iterable[float | str] = ()) -> np.ndarray:
    """Return raw / scale of a float map on disk, NaN where it is unknown.

    Parameters
    ----------
    path : path
        .pfm, .npy, .npz (its only array, or `arr_0`, `depth` or `disparity`), .png or .tif.
    scale : float, optional
        None: 256 for 16-bit PNG (where raw 0 is unknown, as in KITTI), else 1. The scale in the header of a PFM is not
        applied: it states the unit of a radiance, and disparity maps that carry another than 1 (Middlebury 2014 has
        1/255) hold px all the same.
    unknown : iterable of number, "inf" or "nan"
        Raw values that become NaN, besides everything that is not finite.

    Returns
    -------
    (H, W) float32

    Raises
    ------
    StereoError
        "file_missing", "file_unreadable" or "unknown_format".

    References
    ----------
    Debevec, the PFM format: "PF" colour or "Pf" grey, width and height, then the scale, negative for little endian.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".pfm", ".npy", ".npz", ".png", ".tif", ".tiff"):
        raise StereoError(
            "unknown_format",
            f"{path}: no reader for maps in {suffix or 'files without suffix'}.",
            "Use .pfm, .npy, .npz, .png or .tif.",
        )
    if not path.is_file():
        raise StereoError("file_missing", f"{path}: no such file.", "Check the path.")
    unknown = list(unknown)
    try:
        if suffix == ".pfm":
            raw = _read_pfm(path)
        elif suffix in (".npy", ".npz"):
            raw = _read_numpy(path)
        else:
            raw = _read_picture(path)
            if scale is None and suffix == ".png" and raw.dtype == np.uint16:
                scale, unknown = PNG_SCALE, [*unknown, 0]
    except Exception as error:  # numpy, zipfile, zlib and OpenCV each have their own
        raise StereoError("file_unreadable", f"{path}: not a readable map ({error}).", "Check the file.") from error
    if raw.ndim == 3 and raw.shape[2] == 1:
        raw = raw[..., 0]
    if raw.ndim != 2 or raw.size == 0 or raw.dtype.kind not in "fiub":
        raise StereoError(
            "file_unreadable",
            f"{path}: holds {raw.dtype} of shape {raw.shape}, not a map (H,W).",
            "Give a map of one number a pixel.",
        )
    value = raw.astype(np.float32)
    bad = ~np.isfinite(value)
    for u in map(float, unknown):
        if np.isfinite(u):
            bad |= value == np.float32(u)
    value /= np.float32(scale or 1.0)
    value[bad] = np.nan
    return value


def _read_numpy(path: Path) -> np.ndarray:
    stored = np.load(path, allow_pickle=False)
    if isinstance(stored, np.ndarray):
        return stored
    with stored as archive:
        names = list(archive.files)
        known = [name for name in MAP_NAMES if name in names] if len(names) > 1 else names
        if not known:
            holds = ", ".join(names) if names else "no array"
            raise ValueError(f"it holds {holds}; name the map {' or '.join(MAP_NAMES)}")
        return archive[known[0]]


def _read_picture(path: Path) -> np.ndarray:
    import cv2

    raw = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if raw is None:
        raise ValueError("not an image")
    return _grey(raw) if raw.ndim == 3 else raw


def _grey(raw: np.ndarray) -> np.ndarray:
    """Return the one channel of (H,W,C) whose first three are equal; raises ValueError for a colour picture."""
    if raw.shape[2] < 3 or any(
        not np.array_equal(raw[..., 0], raw[..., k], equal_nan=raw.dtype.kind == "f") for k in (1, 2)
    ):
        raise ValueError("a colour picture, not a map of one value a pixel")
    return raw[..., 0]


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


def _read_pfm(path: Path) -> np.ndarray:
    data = path.read_bytes()
    header = re.match(rb"(P[fF])\s+(\d+)\s+(\d+)\s+([-+0-9.eE]+)\s", data)
    if header is None:
        raise ValueError("no PFM header")
    channels = 3 if header[1] == b"PF" else 1
    width, height, scale = int(header[2]), int(header[3]), float(header[4])
    count = width * height * channels
    start = header.end()
    surplus = len(data) - start - 4 * count
    if surplus < 0:
        raise ValueError(f"truncated: {len(data) - start} of {4 * count} bytes")
    if not data[start : start + surplus].strip():  # the header ends in CR LF or a blank: the file's length shows it
        start += surplus
    value = np.frombuffer(data, "<f4" if scale < 0 else ">f4", count, start).reshape(height, width, channels)[::-1]
    return value[..., 0] if channels == 1 else _grey(value)
