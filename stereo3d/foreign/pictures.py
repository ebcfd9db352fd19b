"""Open picture files within budgets of pixels, bytes and memory; their pixels and tags."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import StereoError
from ..resources import available_memory
from .child import FORMATS as APART
from .child import decode_apart, needs_child
from .headers import ExcessError, check_structure, check_tags

MAX_PIXELS = 220_000_000  # px: the largest phone sensors have 200 Mpx; a larger file is a scan, a panorama or an attack
# A picture of more than LARGE px has a byte of file for each MAX_PIXELS_PER_BYTE px at least: photographs have one for
# 2 to 40 px, an empty JPEG one for 64, an empty PNG or TIFF one for 130 to 1000.
LARGE = 32_000_000  # px
MAX_PIXELS_PER_BYTE = 100
DECODED_BYTES = 11  # a pixel: Pillow's own 4, a rotated copy of these, and the 3 of the result
MASKED_BYTES = 30  # a pixel more where transparent ones are filled
SMALL = 50_000_000  # bytes that are there, without a look at the system
STRIP_PIXELS = 2_000_000  # converted at a time
# Pillow's formats that a texture may have: none of them runs another program, as EPS does
TEXTURE_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM")


@dataclass(frozen=True)
class Budget:
    """What a picture file may take.

    Attributes
    ----------
    max_pixels : int
        px.
    sparse : bool
        Large pictures may be compressed further than any photograph is.
    """

    max_pixels: int = MAX_PIXELS
    sparse: bool = False

    def check(self, path: Path, mode: str, size: tuple[int, int], file_bytes: int) -> None:
        """Raise StereoError("photo_too_large" or "memory") for a picture beyond the budget.

        Parameters
        ----------
        path : Path
            For the message.
        mode : str
            Pillow's.
        size : (width, height)
            px.
        file_bytes : int
            Of the file.
        """
        pixels = size[0] * size[1]
        what = f"{path}: {size[0]} x {size[1]} px = {pixels / 1e6:.0f} Mpx"
        if pixels > self.max_pixels:
            raise StereoError(
                "photo_too_large",
                f"{what}, which needs {pixels * 3 / 2**30:.1f} GiB of memory; the limit is "
                f"{self.max_pixels / 1e6:.0f} Mpx.",
                "Resize it first; a longer side of 4000 px is enough. For a run, --max-pixels raises the limit.",
                width=size[0],
                height=size[1],
                limit=self.max_pixels,
            )
        if not self.sparse and pixels > LARGE and pixels > MAX_PIXELS_PER_BYTE * file_bytes:
            raise StereoError(
                "photo_too_large",
                f"{what} in {file_bytes} bytes, {pixels / max(file_bytes, 1):.0f} px a byte: an empty picture, or a "
                f"file made to fill the memory; photographs have up to {MAX_PIXELS_PER_BYTE} px a byte.",
                f"If it is a photo of a run, allow its size: --max-pixels {pixels}.",
                pixels=pixels,
                bytes=file_bytes,
            )
        transparent = mode in ("RGBA", "LA", "PA", "La", "RGBa")
        check_memory(f"{what}", pixels * (DECODED_BYTES + (MASKED_BYTES if transparent else 0)))


def check_memory(what: str, needed: float) -> None:
    """Raise StereoError("memory") where a reader needs more bytes than are free; what: for the message, with path."""
    if needed < SMALL:
        return
    available = available_memory()
    if needed > available:
        raise StereoError(
            "memory",
            f"{what} needs {needed / 2**30:.2g} GiB of memory to be read, and {available / 2**30:.2g} GiB are free.",
            "Close other programs, or make it smaller.",
            needed=int(needed),
            available=available,
        )


def open_picture(
    file: BinaryIO,
    path: Path,
    formats: tuple[str, ...],
    budget: Budget,
    check_size: Callable[[int, int], None] = lambda width, height: None,
    frame: int = 0,
) -> Any:
    """Return a picture file as a Pillow image whose size and memory are checked; HEIF, AVIF and JPEG 2000 decoded.

    Parameters
    ----------
    file : binary file
        At any position; open until the image is loaded.
    path : Path
        For messages.
    formats : tuple of str
        Pillow's names; those that Pillow is built without are left out.
    budget : Budget
    check_size : callable
        width, height -> None; raises for a size that the caller refuses, before the pixels are decoded.

    frame : int
        Of a picture that is decoded apart: which of its pictures.

    Raises
    ------
    StereoError
        "photo_too_large", "memory"; "photo_unreadable" where its structure asks for more work than a picture does.
    ValueError, OSError
        With the reason: what Pillow raises.
    """
    from PIL import Image

    size = _bytes_of(file)
    try:
        check_structure(file, size)
    except ExcessError as error:
        raise StereoError(
            "photo_unreadable",
            f"{path}: it has {error}, which no camera writes, and which would fill the memory or take minutes.",
            "If it is a photo, open it in a picture editor and save it again.",
        ) from error
    known = [name for name in formats if name in Image.OPEN]

    def check(mode: str, pixels: tuple[int, int]) -> None:
        check_size(*pixels)
        budget.check(path, mode, pixels, size)

    head = file.read(16)
    file.seek(0)
    apart = [name for name in APART if name in known]
    if apart and needs_child(head):
        return decode_apart(file, apart, budget.max_pixels, check, frame)
    image = Image.open(file, formats=[name for name in known if name not in APART])
    check(image.mode, image.size)
    return image


def stated_size(file: BinaryIO, formats: tuple[str, ...]) -> tuple[int, int]:
    """Return (width, height), px, as the header of a picture states them; (0, 0) of those that are decoded apart.

    Parameters
    ----------
    file : binary file
    formats : tuple of str
        Pillow's names.

    Raises
    ------
    ValueError, OSError
        What the check of its structure, and Pillow, raise.
    """
    import warnings

    from PIL import Image

    Image.init()
    check_structure(file, _bytes_of(file))
    head = file.read(16)
    file.seek(0)
    if needs_child(head):
        return 0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes: the budget judges them
        return Image.open(file, formats=[n for n in formats if n in Image.OPEN and n not in APART]).size


def _bytes_of(file: BinaryIO) -> int:
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(0)
    return size


def exif_tags(image: Any) -> Any:
    """Return the EXIF of a picture as Pillow's mapping, empty where its directories are made to fill the memory."""
    if image.format == "PNG" and "exif" not in image.info:
        image.load()  # EXIF may follow the pixels
    profile = image.info.get("Raw profile type exif")
    for name, block in (("exif", image.info.get("exif")), ("Raw profile type exif", _raw_profile(profile))):
        if isinstance(block, bytes):
            block = block.removeprefix(b"Exif\0\0")
            try:
                check_tags(lambda start, count, block=block: block[start : start + count], len(block))
            except ValueError:
                del image.info[name]
    return image.getexif()


def _raw_profile(profile: object) -> bytes | None:
    """The bytes of an EXIF block that ImageMagick writes into a PNG as text."""
    if not isinstance(profile, str):
        return None
    try:
        return bytes.fromhex("".join(profile.split("\n")[3:]))
    except ValueError:
        return None


def rgb_pixels(image: Any) -> np.ndarray:
    """Return an image of any mode as (H, W, 3) uint8, converted in strips: beyond its own memory 3 bytes a pixel."""
    out = np.empty((image.height, image.width, 3), np.uint8)
    image.load()
    rows = max(1, STRIP_PIXELS // max(image.width, 1))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        out[top : top + rows] = np.asarray(strip.convert("RGB"))
    return out


def texture_pixels(data: BinaryIO, path: Path) -> np.ndarray:
    """Return a texture (H, W, 3) uint8 RGB; raises ValueError, OSError, SyntaxError or StereoError where it is none."""
    from PIL import Image

    Image.init()
    return rgb_pixels(open_picture(data, path, TEXTURE_FORMATS, Budget()))
