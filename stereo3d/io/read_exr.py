"""Read OpenEXR: one channel of a single part of scan lines, stored as it is or deflated."""

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..foreign import Budget, check_memory

MAX_HEADER = 1_000_000  # bytes
MAX_ATTRIBUTES = 1000
TILES_OR_PARTS = 0x200 | 0x800 | 0x1000  # flags of the version: tiles, deep data, several parts
KINDS = {0: "<u4", 1: "<f2", 2: "<f4"}  # types of pixels
ROWS = {0: 1, 2: 1, 3: 16}  # rows of a block by compression: none, ZIPS, ZIP
CHANNELS = ("Z", "depth.Z", "Y", "V", "R")  # of the map, the first that is there; else the only channel
PIXEL_BYTES = 30  # of memory a pixel and channel: blocks, bytes in order, the map


@dataclass(frozen=True)
class _Header:
    """What the header states that the reader needs."""

    channels: list[tuple[str, np.dtype]]
    compression: int
    window: tuple[int, int, int, int]
    comments: str
    end: int

    @property
    def size(self) -> tuple[int, int]:
        x0, y0, x1, y1 = self.window
        return x1 - x0 + 1, y1 - y0 + 1


def read_exr(file: BinaryIO, path: Path) -> tuple[np.ndarray, str]:
    """Return one channel (H, W) float32 and the text of the attribute `comments`.

    Parameters
    ----------
    file : binary file
        At its start.
    path : Path
        For messages.

    Raises
    ------
    ValueError
        For another compression, tiles or several parts, and what is damaged.

    References
    ----------
    OpenEXR File Layout, Academy Software Foundation.
    """
    size = os.fstat(file.fileno()).st_size
    header = _header(file.read(min(size, MAX_HEADER)))
    width, height = header.size
    name = next((c for c in CHANNELS if c in dict(header.channels)), header.channels[0][0])
    if name not in CHANNELS and len(header.channels) > 1:
        raise ValueError(f"it holds the channels {', '.join(c for c, _ in header.channels[:6])}; a map has Z")
    Budget().check(path, "F", (width, height), size)
    check_memory(f"{path}: a map of {width} x {height}", PIXEL_BYTES * width * height * len(header.channels))
    file.seek(header.end)
    rows = ROWS[header.compression]
    count = -(-height // rows)
    table = file.read(8 * count)
    if len(table) < 8 * count:
        raise ValueError(f"truncated: {size} bytes")
    values = np.full((height, width), np.nan, np.float32)
    for start in np.frombuffer(table, "<u8"):
        if start + 8 > size:
            raise ValueError(f"a block beyond its {size} bytes")
        file.seek(int(start))
        top, length = struct.unpack("<2i", file.read(8))
        top -= header.window[1]
        here = min(rows, height - top)
        if not (0 <= top < height) or length < 0:
            raise ValueError(f"a block of {length} bytes at row {top} of {height}")
        values[top : top + here] = _channel(file.read(min(length, size)), header, name, here)
    return values, header.comments


def _channel(data: bytes, header: _Header, name: str, rows: int) -> np.ndarray:
    """(rows, W) of one channel of a block, whose rows hold the channels one after another."""
    width = header.size[0]
    row = sum(kind.itemsize for _, kind in header.channels) * width
    if header.compression and len(data) < row * rows:
        data = _inflated(data, row * rows)
    if len(data) != row * rows:
        raise ValueError(f"a block of {len(data)} bytes for {row * rows}")
    start = 0
    for other, kind in header.channels:
        if other == name:
            block = np.frombuffer(data, np.uint8).reshape(rows, row)[:, start : start + kind.itemsize * width]
            return np.ascontiguousarray(block).view(kind).astype(np.float32)
        start += kind.itemsize * width
    raise ValueError(f"no channel {name}")


def _inflated(data: bytes, size: int) -> bytes:
    """Undo deflate, the differences to the byte before, and the order of first the even bytes, then the odd ones."""
    steps = np.frombuffer(zlib.decompressobj().decompress(data, size), np.uint8)
    if len(steps) != size:
        raise ValueError(f"a block of {len(steps)} bytes for {size}")
    steps = steps.copy()
    steps[1:] -= np.uint8(128)
    order = np.cumsum(steps, dtype=np.uint8)
    half = (size + 1) // 2
    plain = np.empty(size, np.uint8)
    plain[::2], plain[1::2] = order[:half], order[half:]
    return plain.tobytes()


def _header(data: bytes) -> _Header:
    magic, version = struct.unpack_from("<2i", data)
    if magic != 20000630 or version & 0xFF != 2 or version & TILES_OR_PARTS:
        raise ValueError("no OpenEXR file of one part with scan lines")
    found, at = {}, 8
    for _ in range(MAX_ATTRIBUTES):
        name, at = _word(data, at)
        if not name:
            break
        _, at = _word(data, at)
        length = struct.unpack_from("<i", data, at)[0]
        if not 0 <= length <= len(data) - at - 4:
            raise ValueError(f"an attribute of {length} bytes")
        found[name] = data[at + 4 : at + 4 + length]
        at += 4 + length
    else:
        raise ValueError(f"more than {MAX_ATTRIBUTES} attributes")
    compression = found["compression"][0]
    if compression not in ROWS:
        raise ValueError(f"its compression number {compression} is not read; save it uncompressed or as ZIP")
    x0, y0, x1, y1 = struct.unpack("<4i", found["dataWindow"])
    if not (x0 <= x1 and y0 <= y1):
        raise ValueError(f"its window is {x0},{y0} to {x1},{y1}")
    comments = found.get("comments", b"").decode("utf-8", "replace")
    return _Header(_channels(found["channels"]), compression, (x0, y0, x1, y1), comments, at)


def _channels(data: bytes) -> list[tuple[str, np.dtype]]:
    channels, at = [], 0
    while at < len(data) and data[at]:
        name, at = _word(data, at)
        kind, across, down = struct.unpack_from("<i4x2i", data, at)
        if (across, down) != (1, 1) or kind not in KINDS or len(channels) > 100:
            raise ValueError(f"its channel {name} is sampled {across} x {down}, of type {kind}")
        channels.append((name, np.dtype(KINDS[kind])))
        at += 16
    if not channels:
        raise ValueError("no channel")
    return channels


def _word(data: bytes, at: int) -> tuple[str, int]:
    """The text up to the next zero, and what follows it."""
    end = data.index(b"\0", at)
    return data[at:end].decode("utf-8", "replace"), end + 1
