"""Read a map of depth with what its file says about it: quantity, unit, camera."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import StereoError
from ..foreign import open_file
from ..foreign.headers import check_structure
from .photo_maps import CAMERA_MARK
from .read_exr import read_exr
from .read_map import SUFFIXES, read_map

DEPTH_SUFFIXES = (*SUFFIXES, ".exr")
MAX_TEXT = 20_000  # bytes of the text
MAX_CHUNKS = 20  # of a PNG, in which the text is looked for


@dataclass(frozen=True, eq=False)
class DepthFile:
    """A map and what its file states; "" where it states nothing.

    Attributes
    ----------
    values : (H, W) float32
        In `unit`; NaN: no surface.
    what : str
        The quantity.
    unit : str
    camera : str
        JSON, an entry of cameras.json.
    """

    values: np.ndarray
    what: str = ""
    unit: str = ""
    camera: str = ""


def read_depth(path: str | os.PathLike[str]) -> DepthFile:
    """Return the map in a file of `write_depth`, or in any file that `read_map` reads, or in an OpenEXR file.

    A PNG of 16 bits that states no scale is read as it is stored, 0: unknown.

    Parameters
    ----------
    path : path
        Its suffix is one of `DEPTH_SUFFIXES`.

    Raises
    ------
    StereoError
        "file_missing", "file_unreadable", "unknown_format", "photo_too_large" or "memory".
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".exr":
        with open_file(path) as file:
            try:
                values, text = read_exr(file, path)
            except StereoError:
                raise
            except Exception as error:  # struct, zlib and numpy each have their own
                message = f"{path}: not a readable map ({error})."
                raise StereoError("file_unreadable", message, "Check the file.") from error
        return _described(np.where(np.isfinite(values), values, np.float32(np.nan)), text)
    text = _text(path, suffix)
    scale = re.search(r"; value \* ([-+0-9.e]+) = ", text)
    stated = float(scale[1]) if scale and _is_number(scale[1]) else None
    if suffix == ".png":  # a picture of 8 bits has no unknown value
        values = read_map(path, scale=1.0 / stated if stated else 1.0, unknown=[0])
    else:
        values = read_map(path)
    return _described(values, text)


def _is_number(text: str) -> bool:
    try:
        return 1e-30 < float(text) < 1e30
    except ValueError:
        return False


def _described(values: np.ndarray, text: str) -> DepthFile:
    facts, _, camera = text.partition(CAMERA_MARK)
    unit = re.search(r"; (?:unit: |value \* \S+ = )([^;]+)", facts)
    what = facts.partition(";")[0] if unit else ""
    return DepthFile(values, what.strip(), unit[1].strip() if unit else "", camera.strip())


def _text(path: Path, suffix: str) -> str:
    """The description that a PNG or a TIFF holds."""
    if suffix not in (".png", ".tif", ".tiff"):
        return ""
    with open_file(path) as file:
        return _text_of_png(file) if suffix == ".png" else _text_of_tiff(file)


def _text_of_png(file: BinaryIO) -> str:
    if file.read(8) != b"\x89PNG\r\n\x1a\n":
        return ""
    for _ in range(MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
            break
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"tEXt" and length <= MAX_TEXT:
            name, _, text = file.read(length).partition(b"\0")
            if name == b"Description":
                return text.decode("latin-1")
            file.seek(4, os.SEEK_CUR)
        else:
            file.seek(length + 4, os.SEEK_CUR)
    return ""


def _text_of_tiff(file: BinaryIO) -> str:
    from PIL import Image

    try:
        check_structure(file, os.fstat(file.fileno()).st_size)
        with Image.open(file, formats=["TIFF"]) as image:
            return str(image.tag_v2.get(270, ""))[:MAX_TEXT]  # pyright: ignore[reportAttributeAccessIssue]
    except Exception:  # Pillow raises whatever a broken directory makes; read_map says what is wrong
        return ""
