"""The boxes of a HEIF file that decoders do not pass on: rotation, groups and camera positions of its items."""

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ..foreign import open_file

# Transformation of a HEIF container -> EXIF orientation: (quarter turns counter-clockwise, then mirrored: None, or
# the container's axis, 0 = upside down, 1 = left to right) -> 1..8. ISO/IEC 23008-12, boxes irot and imir.
_HEIF_TURNS = {
    (0, None): 1,
    (0, 1): 2,
    (2, None): 3,
    (0, 0): 4,
    (3, 1): 5,
    (3, None): 6,
    (3, 0): 7,
    (1, None): 8,
    (2, 1): 4,
    (2, 0): 2,
    (1, 0): 5,
    (1, 1): 7,
}
MAX_META = 16_000_000  # bytes of the box `meta`; those of phones have some kilobytes
MAX_BOXES = 1000  # of a file before its box `meta`, which is the second one
MAX_ITEMS = 10_000  # a picture of 200 Mpx in tiles of 512 px has 800
# The camera extrinsics before they had a box of their own: how Apple's software writes them.
_UUID_CMEX = bytes.fromhex("4363e9145b7d4aab97aebea69803b434")


@dataclass(frozen=True)
class HeifItems:
    """The items of a HEIF file.

    Attributes
    ----------
    primary : int
        Number of the primary item; 0 where the file names none.
    properties : dict
        Number of an item -> its properties in order, each (kind, content).
    pairs : list of (int, int)
        The items of each stereo pair (entity group `ster`), left first.
    """

    primary: int = 0
    properties: dict[int, list[tuple[bytes, bytes]]] = field(default_factory=dict)
    pairs: list[tuple[int, int]] = field(default_factory=list)


def heif_items(path: Path) -> HeifItems:
    """Return the items of a HEIF file; none where its boxes are damaged.

    References
    ----------
    ISO/IEC 14496-12 (boxes) and 23008-12 (HEIF): pitm, iprp, ipco, ipma, grpl.
    """
    try:
        with open_file(path, "photo_unreadable") as file:
            return _parse_meta(_find_meta(file))
    except (struct.error, IndexError, OverflowError):
        return HeifItems()


def container_orientation(items: HeifItems, item: int) -> int | None:
    """Return the EXIF orientation equal to the boxes irot and imir of an item; None where it has neither."""
    quarter, axis, found = 0, None, False
    for kind, content in items.properties.get(item, []):
        if kind == b"irot" and content:
            quarter, found = content[0] & 3, True
        elif kind == b"imir" and content:
            axis, found = content[0] & 1, True
    return _HEIF_TURNS[quarter, axis] if found else None


def camera_position(items: HeifItems, item: int) -> tuple[float, float, float] | None:
    """Return the position of an item's camera in mm, axes x right, y down, z forward; None where none is stated.

    References
    ----------
    ISO/IEC 23008-12, camera extrinsic matrix property `cmex`: positions in micrometres, absent ones are 0.
    """
    for kind, content in items.properties.get(item, []):
        if kind == b"uuid" and content[:16] == _UUID_CMEX:
            content = content[16:]
        elif kind != b"cmex":
            continue
        if len(content) < 4:
            return None
        flags, at, position = content[3], 4, [0.0, 0.0, 0.0]
        for axis in range(3):
            if flags >> axis & 1:
                if len(content) < at + 4:
                    return None
                position[axis] = struct.unpack_from(">i", content, at)[0] / 1000
                at += 4
        return position[0], position[1], position[2]
    return None


def _find_meta(file: BinaryIO) -> bytes:
    """The content of the box `meta`, without its version; empty where there is none."""
    for _ in range(MAX_BOXES):
        if len(header := file.read(8)) < 8:
            break
        size, kind = int.from_bytes(header[:4], "big"), header[4:]
        head = 8
        if size == 1:
            size, head = int.from_bytes(file.read(8), "big"), 16
        if kind == b"meta":
            return file.read(min(max(size - head, 0) if size else MAX_META, MAX_META))[4:]
        if size < head or size >= 1 << 60:
            break
        file.seek(size - head, os.SEEK_CUR)
    return b""


def _boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """The boxes (kind, content) that lie one after the other."""
    found, at = [], 0
    while at + 8 <= len(data) and len(found) < MAX_ITEMS:
        size, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif size == 0:
            size = len(data) - at
        if size < head:
            break
        found.append((kind, data[at + head : at + size]))
        at += size
    return found


def _parse_meta(meta: bytes) -> HeifItems:
    boxes = dict(_boxes(meta))
    primary = 0
    if pitm := boxes.get(b"pitm"):
        primary = struct.unpack_from(">I" if pitm[0] else ">H", pitm, 4)[0]
    properties: dict[int, list[tuple[bytes, bytes]]] = {}
    parts = _boxes(boxes.get(b"iprp", b""))
    defined = _boxes(next((content for kind, content in parts if kind == b"ipco"), b""))
    for kind, content in parts:
        if kind == b"ipma":
            for item, indices in _associations(content):
                chosen = [defined[k - 1] for k in indices if 0 < k <= len(defined)]
                properties.setdefault(item, []).extend(chosen)
    return HeifItems(primary, properties, _stereo_pairs(boxes.get(b"grpl", b"")))


def _associations(content: bytes) -> list[tuple[int, list[int]]]:
    """Each item of a box `ipma` with the numbers of its properties, which count from 1."""
    wide_item, wide_index = content[0] > 0, content[3] & 1
    (count,) = struct.unpack_from(">I", content, 4)
    at, found = 8, []
    for _ in range(min(count, MAX_ITEMS)):
        (item,) = struct.unpack_from(">I" if wide_item else ">H", content, at)
        at += 4 if wide_item else 2
        number = content[at]
        at += 1
        kind, step, mask = (">H", 2, 0x7FFF) if wide_index else (">B", 1, 0x7F)
        found.append((item, [struct.unpack_from(kind, content, at + step * k)[0] & mask for k in range(number)]))
        at += step * number
    return found


def _stereo_pairs(groups: bytes) -> list[tuple[int, int]]:
    """The two items of each entity group `ster`."""
    found = []
    for kind, content in _boxes(groups):
        if kind == b"ster" and len(content) >= 20:  # version, number of the group, count, two items
            _, count, first, second = struct.unpack_from(">IIII", content, 4)
            if count == 2:
                found.append((first, second))
    return found
