"""Write depth, normals and confidence on the pixels of the first photo: PNG, TIFF, EXR, NPY."""

import io
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from .atomic import replacing
from .exr import exr
from .pictures import encode
from .style import check_suffix, plain
from .units import metres_per

DEPTH_FORMATS = (".png", ".tif", ".tiff", ".exr", ".npy")
NORMAL_FORMATS = (".png", ".npy")
CONFIDENCE_FORMATS = (".png",)
LARGEST = 65535  # of 16 bits
CAMERA_MARK = "; camera: "  # ahead of the camera's JSON, the last part of the text


def write_depth(
    path: str | os.PathLike[str], depth: np.ndarray, unit: str, what: str = "depth", *, camera: str = ""
) -> dict[str, Any]:
    """Write a depth map; return {"file", "what", "unit", "scale"}: depth = scale * stored value, in `unit`.

    A PNG has 16 bits: whole millimetres where the length of the unit is known, else as fine a power of ten of the unit
    as the largest depth allows; 10 mm, 100 mm, ... where it is beyond 65.535 m. 0: no surface. A TIFF, an EXR (channel
    Z) and an NPY are float32 in `unit`, NaN: no surface.

    Parameters
    ----------
    path : path
        Its suffix is one of `DEPTH_FORMATS`.
    depth : (H, W) float
        NaN where there is no surface.
    unit : str
    what : str
        The quantity, for people.
    camera : str
        JSON of the photo's camera, for readers that make points of the depth; PNG, TIFF and EXR state it.

    Raises
    ------
    StereoError
        "unknown_format" or "unwritable".
    """
    path = Path(path)
    check_suffix(path, DEPTH_FORMATS)
    depth = _checked(depth, "depth", 2)
    suffix, scale = path.suffix.lower(), 1.0
    camera = f"{CAMERA_MARK}{camera}" if camera else ""
    if suffix == ".png":
        scale = _step(depth, unit)
        with np.errstate(invalid="ignore"):
            counts = np.nan_to_num(np.clip(np.rint(depth.astype(float) / scale), 1, LARGEST), nan=0)
        text = f"{what}; value * {scale:.9g} = {plain(unit)}; 0 = no surface{camera}"
        _write(path, _png(counts.astype(np.uint16), text))
    else:
        text = f"{what}; unit: {plain(unit)}; nan = no surface{camera}"
        files = {".npy": lambda: _npy(depth), ".exr": lambda: exr(depth, "Z", text)}
        _write(path, files.get(suffix, lambda: _tiff(depth, text))())
    return {"file": str(path), "what": what, "unit": unit, "scale": scale}


def write_normals(path: str | os.PathLike[str], normals: np.ndarray) -> dict[str, Any]:
    """Write a map of normals; return {"file", "what"}.

    PNG: 8-bit RGB = round(255 (n + 1) / 2) of n along x right, y up, z towards the viewer, as normal maps have it;
    black: no surface. NPY: float32 in the frame of the camera, x right, y down, z forward; NaN: no surface.

    Parameters
    ----------
    path : path
        Its suffix is one of `NORMAL_FORMATS`.
    normals : (H, W, 3) float
        Frame of the camera; NaN where there is no surface.
    """
    path = Path(path)
    check_suffix(path, NORMAL_FORMATS)
    normals = _checked(normals, "normals", 3)
    if path.suffix.lower() == ".npy":
        _write(path, _npy(normals))
        return {"file": str(path), "what": "normals, x right, y down, z forward"}
    rgb = np.nan_to_num(np.rint(255 * (normals * np.array([1, -1, -1], np.float32) + 1) / 2), nan=0).astype(np.uint8)
    what = "normals, x right, y up, z towards the viewer"
    _write(path, _with_text(encode(".png", rgb, 0), f"{what}; n = value / 127.5 - 1; black = no surface"))
    return {"file": str(path), "what": what}


def write_confidence(path: str | os.PathLike[str], confidence: np.ndarray) -> dict[str, Any]:
    """Write a map of confidence (H, W) in [0, 1] as an 8-bit PNG, round(255 c), 0: none; return {"file", "what"}."""
    path = Path(path)
    check_suffix(path, CONFIDENCE_FORMATS)
    levels = np.rint(255 * np.clip(np.nan_to_num(_checked(confidence, "confidence", 2), nan=0), 0, 1)).astype(np.uint8)
    what = "confidence: chance to be right within 1 px of disparity"
    _write(path, _with_text(encode(".png", levels, 0), f"{what}; c = value / 255; 0 = not measured"))
    return {"file": str(path), "what": what}


def _checked(values: np.ndarray, name: str, axes: int) -> np.ndarray:
    values = np.asarray(values, dtype=np.float32)
    if values.ndim != axes or (axes == 3 and values.shape[2] != 3):
        raise ValueError(f"a map of {name} is (H, W{', 3' if axes == 3 else ''}), got {values.shape}")
    return values


def _step(depth: np.ndarray, unit: str) -> float:
    """Length of one count of 16 bits, in the unit of the depth: a power of ten of it, or of the millimetre."""
    known = depth[np.isfinite(depth)]
    most = float(known.max()) if known.size else 1.0
    metres = metres_per(unit)
    if metres is None:
        return 10.0 ** math.ceil(math.log10(max(most, 1e-30) / LARGEST))
    return 10.0 ** max(0, math.ceil(math.log10(max(most * metres * 1000, 1e-30) / LARGEST))) / (1000 * metres)


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _tiff(values: np.ndarray, text: str) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    description = {270: text.encode("ascii", "replace").decode()}  # the tag ImageDescription holds ASCII
    Image.fromarray(values).save(file, "TIFF", tiffinfo=description, compression="tiff_adobe_deflate")
    return file.getvalue()


def _png(counts: np.ndarray, text: str) -> bytes:
    import cv2

    return _with_text(cv2.imencode(".png", counts)[1].tobytes(), text)


def _with_text(png: bytes, text: str) -> bytes:
    """Put a text chunk "Description" behind the header of a PNG (PNG 1.2, section 4.2.3: Latin-1)."""
    content = b"tEXtDescription\0" + text.encode("latin-1", "replace")
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    end = 8 + 25  # signature and IHDR
    return png[:end] + chunk + png[end:]
