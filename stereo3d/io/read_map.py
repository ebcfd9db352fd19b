"""Read float maps: PFM, NPY, NPZ, PNG and TIFF, within budgets that are checked before memory is taken."""

import os
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import StereoError
from ..foreign import Budget, check_memory, open_file
from ..foreign.headers import check_bytes, check_png, check_structure, tiff_numbers

PNG_SCALE = 256.0  # a map in a 16-bit PNG holds round(256 value), 0 = unknown (KITTI's convention)
MAP_NAMES = ("arr_0", "depth", "disparity")  # of the map in an .npz of several arrays
SUFFIXES = (".pfm", ".npy", ".npz", ".png", ".tif", ".tiff")
MAX_HEADER = 1024  # bytes of the text ahead of a PFM's numbers
MAX_ARRAYS = 1000  # in an .npz
RESULT_BYTES = 10  # of memory a pixel: float32, masks, and a copy while it is converted
_TIFF_BYTES = 16  # of a pixel of a TIFF file at most, for the prediction of memory


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
        "file_missing", "file_unreadable", "unknown_format", "photo_too_large" or "memory".

    References
    ----------
    Debevec, the PFM format: "PF" colour or "Pf" grey, width and height, then the scale, negative for little endian.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise StereoError(
            "unknown_format",
            f"{path}: no reader for maps in {suffix or 'files without suffix'}.",
            "Use .pfm, .npy, .npz, .png or .tif.",
        )
    unknown = list(unknown)
    with open_file(path) as file:
        try:
            raw = _READERS[suffix](file, path)
        except StereoError:
            raise
        except Exception as error:  # numpy, zipfile, zlib and OpenCV each have their own
            photo = isinstance(error, _ColourPicture)
            advice = "A photo is no map; --depth writes one of two photos." if photo else "Check the file."
            raise StereoError("file_unreadable", f"{path}: not a readable map ({error}).", advice) from error
    if scale is None and suffix == ".png" and raw.dtype == np.uint16:
        scale, unknown = PNG_SCALE, [*unknown, 0]
    if raw.ndim == 3 and raw.shape[2] == 1:
        raw = raw[..., 0]
    if raw.ndim != 2 or raw.size == 0:
        raise StereoError(
            "file_unreadable",
            f"{path}: holds {raw.dtype} of shape {raw.shape}, not a map (H,W).",
            "Give a map of one number a pixel.",
        )
    with np.errstate(over="ignore"):
        value = raw.astype(np.float32)
    bad = ~np.isfinite(value)
    for u in map(float, unknown):
        if np.isfinite(u):
            bad |= value == np.float32(u)
    with np.errstate(over="ignore", invalid="ignore"):
        value /= np.float32(scale or 1.0)
    value[bad | ~np.isfinite(value)] = np.nan
    return value


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _check(path: Path, shape: tuple[int, ...], pixel_bytes: int, file_bytes: int) -> None:
    """Refuse a map beyond the budget of pixels or memory; pixel_bytes: of one as stored."""
    height, width, *channels = (*shape, 1, 1)[:3] if len(shape) < 3 else shape[:3]
    Budget().check(path, "F", (width, height), file_bytes)
    check_memory(
        f"{path}: a map of {width} x {height}",
        width * height * (max(1, *channels) * pixel_bytes + RESULT_BYTES),
    )


def _read_pfm(file: BinaryIO, path: Path) -> np.ndarray:
    head = file.read(MAX_HEADER)
    header = re.match(rb"(P[fF])\s{1,99}(\d{1,9})\s{1,99}(\d{1,9})\s{1,99}([-+0-9.eE]{1,99})\s", head)
    if header is None:
        raise ValueError("no PFM header")
    channels = 3 if header[1] == b"PF" else 1
    width, height, scale = int(header[2]), int(header[3]), float(header[4])
    count = width * height * channels
    start = header.end()
    size = _size(file)
    surplus = size - start - 4 * count
    if surplus < 0:
        raise ValueError(f"truncated: {size - start} of {4 * count} bytes")
    _check(path, (height, width, channels), 4, size)
    if surplus <= MAX_HEADER and not head[start : start + surplus].strip():
        start += surplus  # the header ends in CR LF or a blank: the file's length shows it
    file.seek(start)
    data = file.read(4 * count)
    value = np.frombuffer(data, "<f4" if scale < 0 else ">f4", count).reshape(height, width, channels)[::-1]
    return value[..., 0] if channels == 1 else _grey(value)


def _read_numpy(file: BinaryIO, path: Path) -> np.ndarray:
    """Read .npy or .npz, by the content: either may bear the other's name."""
    size = _size(file)
    archive = file.read(2) == b"PK"
    file.seek(0)
    return _read_archive(file, path) if archive else _read_array(file, path, size, size)


def _read_archive(file: BinaryIO, path: Path) -> np.ndarray:
    _check_archive(file)
    with zipfile.ZipFile(file) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        known = [name for name in MAP_NAMES if name in members] if len(members) > 1 else list(members)
        if not known:
            holds = ", ".join(list(members)[:6]) if members else "no array"
            raise ValueError(f"it holds {holds}; name the map {' or '.join(MAP_NAMES)}")
        info = members[known[0]]
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
            raise ValueError("its array is encrypted, or compressed in another way than numpy does")
        with archive.open(info) as member:
            return _read_array(member, path, info.file_size, info.compress_size)


def _check_archive(file: BinaryIO) -> None:
    """Bound the list of a zip archive, which is read whole."""
    size = _size(file)
    start = max(0, size - 65536 - 22)
    file.seek(start)
    tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) < end + 22:
        raise ValueError("no end of a zip archive")
    entries, listed = int.from_bytes(tail[end + 10 : end + 12], "little"), tail[end + 12 : end + 16]
    if entries > MAX_ARRAYS or int.from_bytes(listed, "little") > MAX_ARRAYS * 1024 or b"PK\6\7" in tail[:end][-20:]:
        raise ValueError(f"more than {MAX_ARRAYS} arrays")
    file.seek(0)


def _read_array(file: Any, path: Path, size: int, stored: int) -> np.ndarray:
    """Return an array in numpy's format: numbers alone, whose bytes are all there.

    Parameters
    ----------
    file : binary file
        At its start; it need not seek.
    path : Path
        For messages.
    size : int
        Bytes that it states to have.
    stored : int
        Bytes on disk.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"numpy's format {version[0]}.{version[1]}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(file)
    if dtype.kind not in "fiub" or dtype.hasobject or len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"holds {dtype} of shape {shape}, not a map (H,W)")
    count = 1
    for side in shape:
        count *= int(side)
    needed = count * dtype.itemsize
    if needed > size:
        raise ValueError(f"truncated: {size} of {needed} bytes")
    _check(path, shape, dtype.itemsize, stored)
    data = file.read(needed)
    if len(data) < needed:
        raise ValueError(f"truncated: {len(data)} of {needed} bytes")
    return np.frombuffer(data, dtype, count).reshape(shape, order="F" if by_columns else "C")


def _read_picture(file: BinaryIO, path: Path) -> np.ndarray:
    import cv2

    size = _size(file)
    if file.read(4) == b"\x89PNG":
        width, height, pixel = check_png(file, size)
        _check(path, (height, width), 2 * pixel, size)
        check_bytes(size, width * height)
        data = _pixels_of_png(file, size)
    else:
        width, height = _size_of_tiff(file, size)
        _check(path, (height, width), _TIFF_BYTES, size)
        check_bytes(size, 2 * width * height)  # four channels of 64 bits
        file.seek(0)
        data = file.read(size)
    raw = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if raw is None:
        raise ValueError("not an image")
    return _grey(raw) if raw.ndim == 3 else raw


def _pixels_of_png(file: BinaryIO, size: int) -> bytes:
    """Return a PNG without the chunks that are no pixels: texts, profiles, animations."""
    file.seek(0)
    parts, at = [file.read(33)], 33
    while at < size:
        head = file.read(8)
        length = int.from_bytes(head[:4], "big")
        if len(head) < 8 or at + length + 12 > size:
            break
        at += length + 12
        if head[4:] in (b"IDAT", b"PLTE", b"tRNS", b"IEND"):
            parts += [head, file.read(length + 4)]
        else:
            file.seek(at)
        if head[4:] == b"IEND":
            break
    return b"".join(parts)


def _size_of_tiff(file: BinaryIO, size: int) -> tuple[int, int]:
    """Width and height of a TIFF file whose structure is checked."""
    file.seek(0)
    if file.read(4) not in (b"II*\0", b"MM\0*"):
        raise ValueError("neither PNG nor TIFF")
    check_structure(file, size)
    tags = tiff_numbers(file)
    width, height, channels = tags.get(256, 0), tags.get(257, 0), tags.get(277, 1)
    if width < 1 or height < 1 or channels > 4:
        raise ValueError(f"a TIFF of {width} x {height} px with {channels} channels")
    return width, height


class _ColourPicture(ValueError):
    """The file holds a photo."""


def _grey(raw: np.ndarray) -> np.ndarray:
    """Return the one channel of (H,W,C) whose first three are equal; raises ValueError for a colour picture."""
    if raw.shape[2] < 3 or any(
        not np.array_equal(raw[..., 0], raw[..., k], equal_nan=raw.dtype.kind == "f") for k in (1, 2)
    ):
        raise _ColourPicture("a colour picture, not a map of one value a pixel")
    return raw[..., 0]


_READERS = {
    ".pfm": _read_pfm,
    ".npy": _read_numpy,
    ".npz": _read_numpy,
    ".png": _read_picture,
    ".tif": _read_picture,
    ".tiff": _read_picture,
}
