"""Structure of picture files, checked before a decoder sees them: scans, chunks, blocks, tags."""

import binascii
import re
import struct
from collections.abc import Callable
from typing import BinaryIO

# Progressive JPEG files have about 10 scans, 20 by the most thorough encoders; each costs a pass over all pixels.
MAX_SCANS = 32
MAX_SEGMENTS = 10_000  # of a JPEG file before the pixels and between its scans; some 300 hold a panorama's XMP
MAX_BLOCKS = 50_000  # of a GIF file before its first picture
BYTES_PER_CHUNK = 1024  # of a PNG file on average, at least; encoders write 8192 and more
MAX_CHUNKS = 300_000
# A picture's file has at most SMALL_FILE + MAX_PIXEL_BYTES for each pixel: more than any encoder writes of noise.
SMALL_FILE = 64_000_000  # bytes
MAX_PIXEL_BYTES = 16
MAX_TAGS = 4096  # of one directory of TIFF or EXIF; cameras write about 100
MAX_STRIPS = 200_000  # strips or tiles of a TIFF file
MAX_TILE_PIXELS = 64_000_000  # px of a tile, which libtiff decodes as a whole
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_SUBDIRECTORIES = (0x8769, 0x8825, 0xA005)  # tags that point to the directories of EXIF, GPS, interoperability
_STRIPS = (273, 279, 324, 325)  # tags with a number for each strip or tile
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # bits by colour type
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")  # neither data (FF 00) nor a restart marker
_CHUNK = 1 << 20  # bytes read at a time


class ExcessError(ValueError):
    """A picture file's structure asks for more work or memory than a picture does."""


def check_structure(file: BinaryIO, size: int) -> None:
    """Check the structure of a picture file; formats without a check pass.

    Parameters
    ----------
    file : binary file
    size : int
        Its bytes.

    Raises
    ------
    ExcessError
        Where it asks for more work than a picture does.
    ValueError
        Where it is damaged.
    """
    file.seek(0)
    head = file.read(16)
    if head[:3] == b"\xff\xd8\xff":
        _check_jpeg(file, size)
    elif head[:8] == b"\x89PNG\r\n\x1a\n":
        check_png(file, size)
    elif head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        check_tags(_reader(file), size)
    elif head[:4] == b"GIF8":
        _check_gif(file)
    elif head[8:12] == b"WEBP":
        _check_webp(file, size)
    file.seek(0)


def _reader(file: BinaryIO) -> Callable[[int, int], bytes]:
    def read(start: int, count: int) -> bytes:
        file.seek(start)
        return file.read(count)

    return read


def _check_jpeg(file: BinaryIO, size: int) -> None:
    """Bound the segments and scans up to the end of the first picture, and the tags of its EXIF."""
    exif, at, segments, pixels = b"", 2, 0, 0
    while True:
        file.seek(at)
        marker = file.read(4)
        if len(marker) < 4 or marker[0] != 0xFF or marker[1] in (0xD9, 0xDA):
            break
        if marker[1] in (0x01, 0xFF) or 0xD0 <= marker[1] <= 0xD8:  # fill bytes, and markers without a length
            at += 1 if marker[1] == 0xFF else 2
        else:
            if marker[1] == 0xE1:
                block = file.read(max(int.from_bytes(marker[2:], "big") - 2, 0))
                exif += block[6:] if block.startswith(b"Exif\0\0") else b""
            elif 0xC0 <= marker[1] <= 0xCF and marker[1] not in (0xC4, 0xC8, 0xCC):  # the frame: depth, height, width
                frame = file.read(5)
                pixels = int.from_bytes(frame[1:3], "big") * int.from_bytes(frame[3:], "big")
            at += 2 + max(int.from_bytes(marker[2:], "big"), 2)
        segments += 1
        if segments > MAX_SEGMENTS:
            raise ExcessError(f"more than {MAX_SEGMENTS} segments before its pixels")
    if exif:
        check_tags(lambda start, count: exif[start : start + count], len(exif))
    _count_scans(file, at, pixels)


def check_bytes(size: int, pixels: int) -> None:
    """Raise ExcessError for a file of more bytes than a picture of that many pixels has."""
    if size > SMALL_FILE + MAX_PIXEL_BYTES * pixels:
        raise ExcessError(f"{size} bytes for {pixels} pixels")


def _count_scans(file: BinaryIO, start: int, pixels: int) -> None:
    """Bound the scans and their bytes from the first one on; `start`: its marker."""
    file.seek(start)
    scans, segments, skip_to, at, rest = 0, 0, start, start, b""
    while block := file.read(_CHUNK):
        data, base = rest + block, at - len(rest)
        at += len(block)
        check_bytes(at - start, pixels)
        for found in _MARKER.finditer(data):
            here = base + found.start()
            if here < skip_to or len(data) - found.start() < 4:
                continue
            code = found[1][0]
            if code == 0xD9:
                return
            scans += code == 0xDA
            segments += 1
            if scans > MAX_SCANS:
                raise ExcessError(f"more than {MAX_SCANS} scans")
            if segments > MAX_SEGMENTS:
                raise ExcessError(f"more than {MAX_SEGMENTS} segments between its scans")
            skip_to = here + 2 + int.from_bytes(data[found.start() + 2 : found.start() + 4], "big")
        rest = data[-3:]
        skip_to = max(skip_to, at - 3)  # markers before these bytes are counted


def check_png(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Return width, height (px) and bytes of a pixel; raise ValueError for a wrong header or too many chunks."""
    file.seek(8)
    head = file.read(25)
    if len(head) < 25 or head[:8] != b"\0\0\0\x0dIHDR":
        raise ValueError("no PNG header")
    if binascii.crc32(head[4:21]) != int.from_bytes(head[21:], "big"):
        raise ValueError("the checksum of its PNG header is wrong")
    width, height, depth, kind, compression, filtering, interlace = struct.unpack(">IIBBBBB", head[8:21])
    wrong_form = compression or filtering or interlace > 1
    if depth not in _PNG_DEPTHS.get(kind, ()) or wrong_form or not (0 < width < 2**31 and 0 < height < 2**31):
        raise ValueError(f"a PNG header of {width} x {height} px, {depth} bits, colour type {kind}")
    at, chunks, most = 33, 0, min(1000 + size // BYTES_PER_CHUNK, MAX_CHUNKS)
    while at < size:
        file.seek(at)
        chunk = file.read(8)
        if len(chunk) < 8 or chunk[4:] == b"IEND" or not chunk[4:].isalpha():
            break
        at += 12 + int.from_bytes(chunk[:4], "big")
        chunks += 1
        if chunks > most:
            raise ExcessError(f"more than {most} chunks in {size} bytes")
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    return width, height, channels * (2 if depth == 16 else 1)


def _check_webp(file: BinaryIO, size: int) -> None:
    """Bound the bytes, which the decoder takes into memory, by the size that the first chunk states."""
    file.seek(12)
    chunk = file.read(18)
    pixels = 0
    if chunk[:4] == b"VP8X":
        pixels = (int.from_bytes(chunk[12:15], "little") + 1) * (int.from_bytes(chunk[15:18], "little") + 1)
    elif chunk[:4] == b"VP8L":
        bits = int.from_bytes(chunk[9:13], "little")
        pixels = ((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1)
    elif chunk[:4] == b"VP8 ":
        pixels = (int.from_bytes(chunk[14:16], "little") & 0x3FFF) * (int.from_bytes(chunk[16:18], "little") & 0x3FFF)
    check_bytes(size, pixels)


def _check_gif(file: BinaryIO) -> None:
    """Bound the blocks ahead of the first picture."""
    file.seek(0)
    head = file.read(13)
    if len(head) < 13:
        return
    at = 13 + (3 << ((head[10] & 7) + 1) if head[10] & 0x80 else 0)
    file.seek(at)
    blocks = 0
    while (kind := file.read(1)) not in (b"", b",", b";"):  # up to the first picture, or the end
        if kind == b"!":
            file.read(1)
            while (length := file.read(1)) not in (b"", b"\0"):
                file.read(length[0])
                blocks += 1
                if blocks > MAX_BLOCKS:
                    break
        blocks += 1  # a decoder skips stray bytes too
        if blocks > MAX_BLOCKS:
            raise ExcessError(f"more than {MAX_BLOCKS} blocks ahead of its picture")


def check_tags(read: Callable[[int, int], bytes], size: int) -> None:
    """Bound the first directory of a TIFF file or an EXIF block, and the directories of EXIF that it points to.

    A reader takes the values of all tags into memory; tags that all point to the same bytes take a multiple of the
    file.

    Parameters
    ----------
    read : callable
        start, count -> bytes.
    size : int
        Bytes of the file or block.

    Raises
    ------
    ValueError
        With the reason.
    """
    head = read(0, 16)
    if len(head) < 8 or head[:2] not in (b"II", b"MM"):
        return
    order = "little" if head[:2] == b"II" else "big"
    big = 43 in (head[2], head[3])
    waiting = [int.from_bytes(head[8:16] if big else head[4:8], order)]
    seen: set[int] = set()
    total = 0
    while waiting:
        start = waiting.pop()
        if start in seen or start >= size:
            continue
        seen.add(start)
        tags = _directory(read, start, order, big)
        for tag, kind, count, value in tags:
            stated = _TYPE_BYTES.get(kind, 1) * count
            total += min(stated, size) if stated > (8 if big else 4) else 0
            if tag in _SUBDIRECTORIES:
                waiting.append(value)
            if tag in _STRIPS and count > MAX_STRIPS:
                raise ExcessError(f"{count} strips or tiles, {MAX_STRIPS} at most")
        _check_tiles(tags)
        if total > 4 * size + (1 << 20) or len(seen) > 16:
            raise ExcessError(f"tags of {total} bytes in {size}")


def tiff_numbers(file: BinaryIO) -> dict[int, int]:
    """Return {tag: number} of the first directory of a TIFF file, tags of one number alone."""
    file.seek(0)
    head = file.read(8)
    order = "little" if head[:2] == b"II" else "big"
    tags = _directory(_reader(file), int.from_bytes(head[4:8], order), order, big=False)
    return {tag: value for tag, _, count, value in tags if count == 1}


def _directory(read: Callable[[int, int], bytes], start: int, order: str, big: bool) -> list[tuple[int, int, int, int]]:
    """(tag, type, count, value) of each entry of a directory."""
    mark = "<" if order == "little" else ">"
    form = struct.Struct(mark + ("HHQQ" if big else "HHII"))
    width = 8 if big else 2
    number = int.from_bytes(read(start, width), "little" if order == "little" else "big")
    if number > MAX_TAGS:
        raise ExcessError(f"{number} tags in a directory, {MAX_TAGS} at most")
    data = read(start + width, number * form.size)
    entries = []
    for tag, kind, count, value in form.iter_unpack(data[: len(data) // form.size * form.size]):
        if kind == 3 and count == 1 and mark == ">":  # a short number lies at the start of its field
            value >>= 48 if big else 16
        entries.append((tag, kind, count, value & 0xFFFF if kind == 3 and count == 1 else value))
    return entries


def _check_tiles(tags: list[tuple[int, int, int, int]]) -> None:
    """Bound the tiles of a TIFF picture: a decoder takes a whole one into memory, however small the picture."""
    value = {tag: value for tag, _, count, value in tags if count == 1}
    pixels = value.get(322, 0) * value.get(323, 0)
    picture = value.get(256, 0) * value.get(257, 0)
    if pixels > MAX_TILE_PIXELS and pixels > 4 * picture:
        raise ExcessError(f"tiles of {value[322]} x {value[323]} px in a picture of {picture / 1e6:.3g} Mpx")
