"""Decode pictures of the formats whose parsers are large and written in C in a process with limits (`decoder`)."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from .stream import Stream

# Formats that are decoded there, by the first bytes of their files.
FORMATS = ("HEIF", "AVIF", "JPEG2000")
HEADER_SECONDS = 20.0  # on the clock: the process starts, on a busy computer, and reads the header
DECODER = Path(__file__).with_name("decoder.py")
_BRANDS = (b"ftyphe", b"ftypmif1", b"ftypmsf1", b"ftypavi")
_JPEG2000 = (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")


def needs_child(head: bytes) -> bool:
    """Return whether the first 16 bytes are those of a format that is decoded in a process of its own."""
    return any(head[4:].startswith(brand) for brand in _BRANDS) or head.startswith(_JPEG2000)


def decode_apart(
    file: BinaryIO,
    formats: list[str],
    max_pixels: int,
    check: Callable[[str, tuple[int, int]], None],
    frame: int = 0,
) -> Any:
    """Return the picture in a file as a loaded Pillow image with the format and the info of its header.

    Parameters
    ----------
    file : binary file
        A regular one.
    formats : list of str
        Pillow's names.
    max_pixels : int
        px; a larger picture is not decoded.
    check : callable
        mode, (width, height) -> None; raises where the picture takes too much, before it is decoded.
    frame : int
        Which of its pictures; `n_frames` of the result is their number.

    Raises
    ------
    OSError
        Where the decoder gives up, crashes, or exceeds its limits.
    """
    file.seek(0)
    given = {"path": sys.path, "formats": formats, "max_pixels": max_pixels, "frame": frame}
    program = [sys.executable, "-I", "-S", str(DECODER), json.dumps(given)]
    env = {**os.environ, "MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "2"}  # arenas count as address space
    process = subprocess.Popen(
        program, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, close_fds=True
    )
    try:
        stream = Stream(process)
        header = stream.line(HEADER_SECONDS)
        size = _size(header)
        check(header["mode"], size)
        seconds = HEADER_SECONDS + size[0] * size[1] / 1e6
        decoded = stream.line(seconds)
        check(decoded["mode"], _size(decoded))
        return _image(stream, header, decoded, seconds)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _size(header: dict[str, Any]) -> tuple[int, int]:
    width, height = header["size"]
    return int(width), int(height)


def _image(stream: Stream, header: dict[str, Any], decoded: dict[str, Any], seconds: float) -> Any:
    from PIL import Image

    size, mode = _size(decoded), decoded["mode"]
    row = len(Image.new(mode, (size[0], 1)).tobytes())
    data = bytearray(row * size[1])
    stream.fill(data, seconds)
    image = Image.frombuffer(mode, size, data, "raw", mode, 0, 1)
    image.format = header["format"]
    image.n_frames = int(header["frames"])  # pyright: ignore[reportAttributeAccessIssue] - as Pillow's files have it
    for name, value in header["info"].items():
        if isinstance(value, dict):
            value = value["plain"] if "plain" in value else base64.b64decode(value["base64"])
        image.info[name] = value
    return image
