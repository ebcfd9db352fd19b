"""Read picture files: upright RGB pixels, and the facts of the camera in EXIF."""

import contextlib
import io
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeGuard, Union, cast

import numpy as np

from ..errors import StereoError
from ..foreign import BinaryFile, Budget, as_file, exif_tags, name_of, open_file, open_picture, rgb_pixels
from ..foreign.pictures import MAX_PIXELS
from ..records import ExifFacts, Photo
from .exif import facts_of, gravity_of, orientation_of, panorama_area_of, panorama_gravity_of, projection_of, xmp_text
from .heif import container_orientation, heif_items
from .position import GPS_IFD, read_position
from .raw import RAW_SUFFIXES, read_raw
from .unknown import fill_nearest, opaque_pixels
from .wide import colour_of_16_bits, has_16_bit_colour, to_8_bits

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)
PictureFile = Union[str, os.PathLike[str], bytes, bytearray, memoryview, BinaryFile, "Image"]  # noqa: UP007 - PIL is lazy
MIN_SIDE = 32  # px: a descriptor with its margin, or a matching window with a disparity range, needs more
# Formats that Pillow may open where it is built with them: photographs, and nothing that runs an interpreter (EPS).
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "HEIF", "AVIF", "GIF", "PPM", "JPEG2000")
# Names of files that are photos: what a folder is searched for.
SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".jpe",
    ".png",
    ".tif",
    ".tiff",
    ".webp",
    ".bmp",
    ".heic",
    ".heif",
    ".hif",
    ".avif",
    ".ppm",
    ".pgm",
    ".jp2",
)
# (offset, bytes, format): they distinguish a damaged picture from a file of another kind.
_SIGNATURES = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG", "PNG"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (8, b"WEBP", "WebP"),
    (0, b"BM", "BMP"),
    (4, b"ftyphe", "HEIF"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypavi", "AVIF"),
    (0, b"GIF8", "GIF"),
)
_pillow_limit = threading.Lock()  # Pillow's size limit is a global of its module


def read_photo(path: PictureFile, *, max_pixels: int | None = None) -> Photo:
    """Read a JPEG, PNG, TIFF, WebP, BMP, HEIC/HEIF, AVIF or other picture file as upright RGB.

    Bytes are the content of a file, not its name. A file object that can seek is read from its start and stands
    afterwards where it stood; others are read from where they stand, once.

    The EXIF orientation is applied to the pixels exactly once. In HEIF and AVIF files the container's transformation
    replaces it where present (ISO/IEC 23008-12); a HEIF file with only an EXIF orientation is rotated by that, as
    Apple's viewers do.

    - Grey, palette, 1-bit and CMYK pictures become RGB. Colour profiles are not applied.
    - 16 bits become 8 by dropping the low byte (65535 -> 255). 16-bit pictures below 4096 everywhere are treated as
      12-bit data, and lose 4 bits instead.
    - Numbers of 32 bits (TIFF): white is 1, 255 or 65535 for floats, 255 or 65535 for integers, the smallest that the
      picture does not exceed, or else its maximum; NaN and negative values are black.
    - Pictures of more than 8 bits that would use less than half of the 256 levels are stretched (`exif["stretched"]`).
    - Camera raw files are developed, where the extra `raw` is installed.
    - Pixels less than half opaque are unknown: `mask` is False there, and they take the colour of the nearest known
      one. The others keep their colour. Where the whole picture is transparent, transparency is ignored.
    - Of several frames or pages the first is read (of a HEIF file the primary one).

    Parameters
    ----------
    path : path, bytes, binary file or PIL image
        A regular file, or a link to one; its bytes; a file opened in binary mode. Of a PIL image, which stays as it is,
        the EXIF orientation is applied as well, and its 8 bits are taken as they are.
    max_pixels : int, optional
        Read pictures of up to so many px. Default: 220 million; of more than 32 million px only such as have a byte
        of file for each 100 px, as photographs do.

    Returns
    -------
    Photo
        pixels (H, W, 3) uint8; exif as in `ExifFacts`, each entry only where the file states it; mask where pixels
        are transparent.

    Raises
    ------
    StereoError
        "file_missing", "photo_unreadable", "photo_too_small", "photo_too_large", "memory".
    """
    if is_pil_image(path):
        return _photo_of_image(path, max_pixels)
    if not isinstance(path, str | os.PathLike):
        with as_file(path) as copy:  # pyright: ignore[reportArgumentType] - no PIL image is left here
            return without_folder(read_photo(copy, max_pixels=max_pixels), path)
    path = Path(os.fsdecode(path))
    if path.suffix.lower() in RAW_SUFFIXES:
        check_file(path)
        return read_raw(path, _budget(max_pixels))
    with open_image(path, max_pixels=max_pixels) as image:
        return decode_photo(image, path)


def is_picture(source: object) -> bool:
    """Return whether `read_photo` takes this: a path, bytes, a file object or a PIL image."""
    known = isinstance(source, str | os.PathLike | bytes | bytearray | memoryview)
    return known or callable(getattr(source, "read", None)) or is_pil_image(source)


def is_pil_image(source: object) -> TypeGuard["Image"]:
    """Return whether this is a PIL image, without loading PIL: who has one has loaded it."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(source, pil.Image)


def without_folder(photo: Photo, source: object) -> Photo:
    """Return a photo of a temporary file with the name that its source states, or none."""
    name = name_of(source)
    return replace(photo, path=Path(name) if name else None)


def _photo_of_image(image: "Image", max_pixels: int | None) -> Photo:
    """The upright Photo of a PIL image, which is copied: turning it would turn the caller's."""
    name = getattr(image, "filename", None)
    path = Path(os.fsdecode(name)).name if isinstance(name, str | bytes) and name else ""
    label = Path(path or "the PIL image")
    _check_size(label, *image.size)
    Budget(max_pixels or MAX_PIXELS, sparse=True).check(label, image.mode, image.size, 0)
    try:
        tags = exif_tags(image)  # before it is loaded, as in `decode_photo`
        copy = image.copy()
    except Exception as error:  # whatever its decoder raises, ValueError of a closed file included
        raise StereoError(
            "photo_unreadable", f"{label}: it cannot be loaded ({error}).", "Is its file open? Or give its path."
        ) from error
    if copy.mode == "La":  # premultiplied, which Pillow converts to nothing else
        copy = copy.convert("LA")
    copy.format = None  # its container is not at hand, and Pillow has read 8 bits of it
    photo = decode_photo(copy, label, tags=tags)
    exif = {**photo.exif, "format": "JPEG" if image.format == "MPO" else image.format}
    if image.format is None:
        del exif["format"]
    return replace(photo, exif=cast(ExifFacts, exif), path=Path(path) if path else None)


@contextlib.contextmanager
def open_image(
    path: Path, data: bytes | None = None, *, frame: int = 0, max_pixels: int | None = None
) -> Iterator[Any]:
    """Yield the opened Pillow image of a file, or of the bytes `data` inside it, its size and memory checked.

    Parameters
    ----------
    path : Path
    data : bytes, optional
        The part of the file that holds the picture.
    frame : int
        Of a HEIF or AVIF file of several pictures, which is decoded in a process of its own and cannot seek.
    max_pixels : int, optional
        As in `read_photo`.

    Raises
    ------
    StereoError
        As `read_photo`; errors of decoders inside the block as well.
    """
    head = check_file(path)
    budget = _budget(max_pixels)
    from PIL import Image, UnidentifiedImageError

    Image.init()
    _register_heif()
    try:
        with (
            _pillow_limit,
            warnings.catch_warnings(),
            _open(path) if data is None else io.BytesIO(data) as file,
        ):
            warnings.simplefilter("ignore")  # a crooked EXIF entry is no news to the user; limits are checked below
            kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                yield open_picture(file, path, FORMATS, budget, lambda w, h: _check_size(path, w, h), frame)
            finally:
                Image.MAX_IMAGE_PIXELS = kept
    except StereoError:
        raise
    except MemoryError as error:
        raise StereoError(
            "memory", f"{path}: not enough memory to decode it.", "Close other programs or make the photo smaller."
        ) from error
    except UnidentifiedImageError as error:
        raise _unreadable(path, head) from error
    except PermissionError as error:
        raise StereoError("photo_unreadable", f"{path}: no permission to read it.", "Check its permissions.") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, EOFError, ...
        raise _unreadable(path, head, str(error)) from error


def _budget(max_pixels: int | None) -> Budget:
    return Budget(MAX_PIXELS) if max_pixels is None else Budget(max_pixels, sparse=True)


def _open(path: Path) -> BinaryIO:
    try:
        return open_file(path, "photo_unreadable")
    except StereoError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise StereoError(error.code, error.message, _near_name(path)) from error
        raise


def check_file(path: Path) -> bytes:
    """Return the first 64 bytes; StereoError where the file is missing, empty or no regular file."""
    with _open(path) as file:
        head = file.read(64)
    if not head:
        raise StereoError(
            "photo_unreadable", f"{path}: the file is empty (0 bytes).", "Copy it again from the camera.", bytes=0
        )
    return head


def _near_name(path: Path) -> str:
    """Return the remedy for a missing file: a file of a similar name where the folder has one."""
    import difflib

    if re.match(r"(?i)[a-z][a-z0-9+]+:/", str(path)):
        return "It is an address: save the file first, and give its path."
    if path.parts[:1] == ("~",):
        return "~ stands for the home folder in a shell only: os.path.expanduser(path)."
    if re.search(r"[*?]", path.name):
        return f"No file in the folder {path.parent} has a name of this pattern."
    try:
        names = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else None
    except OSError:
        names = []
    if names is None:
        return f"The folder {path.parent} does not exist either. Check the path."
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(path.name.lower(), lower, n=1, cutoff=0.75)
    return f"Did you mean {path.parent / lower[near[0]]}?" if near else "Check the path."


def _check_size(path: Path, width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise StereoError(
            "photo_too_small",
            f"{path}: {width} x {height} px; at least {MIN_SIDE} px each way are needed.",
            "Use the photo as it came from the camera, not its thumbnail.",
            width=width,
            height=height,
            limit=MIN_SIDE,
        )


def _unreadable(path: Path, head: bytes, reason: str = "") -> StereoError:
    size = path.stat().st_size
    kind = next((name for at, mark, name in _SIGNATURES if head[at : at + len(mark)] == mark), None)
    reason = " ".join(reason.split()).rstrip(".")  # libheif's messages end with a line break
    reason = f" ({reason})" if reason else ""
    directory = int.from_bytes(head[4:8], "little" if head[:2] == b"II" else "big")
    if kind == "TIFF" and not reason and 8 <= directory < size:
        return StereoError(
            "photo_unreadable",
            f"{path}: a TIFF file of a kind that is not read, such as colours in "
            f"floats, or a damaged one; {size} bytes.",
            "Save it with 8 or 16 bits a colour, as TIFF, PNG or JPEG.",
            bytes=size,
        )
    if kind:
        return StereoError(
            "photo_unreadable",
            f"{path}: a damaged or truncated {kind} file of {size} bytes{reason}.",
            "Copy it again from the camera, or open it in a picture editor and save it as JPEG or PNG.",
            bytes=size,
        )
    kind = "a video" if head[4:8] == b"ftyp" else "a PDF" if head.startswith(b"%PDF") else "not a picture"
    return StereoError(
        "photo_unreadable",
        f"{path}: {kind}, or of an unknown format{reason}; {size} bytes.",
        "Give a JPEG, PNG, TIFF, WebP, BMP, HEIC or AVIF picture.",
        bytes=size,
    )


def _register_heif() -> None:
    try:
        import pillow_heif
    except ImportError:  # all other formats can be read without it
        log.warning("pillow-heif cannot be imported: HEIC photos cannot be read")
    else:
        pillow_heif.register_heif_opener()


def decode_photo(image: Any, path: Path, item: int | None = None, tags: Any = None) -> Photo:
    """Return the upright Photo of an opened Pillow image.

    Parameters
    ----------
    image : PIL.Image.Image
        At the frame that is wanted.
    path : Path
        Its file.
    item : int, optional
        The number of that frame among the items of a HEIF file; by default the primary one.
    tags : mapping, optional
        Pillow's EXIF, of a copy that has lost it.
    """
    from PIL import Image, ImageOps

    _check_size(path, *image.size)  # frames of one file differ
    wide_colour = has_16_bit_colour(
        image
    )  # before the EXIF: of a PNG without any, Pillow decodes the pixels to find it
    tags = (
        exif_tags(image) if tags is None else tags
    )  # before load(): Pillow's TIFF reader rotates the pixels and drops the tag
    facts = facts_of(tags)
    orientation = orientation_of(tags.get(0x0112))
    facts["format"] = "JPEG" if image.format == "MPO" else image.format
    heif_only_exif = 1
    if image.format == "HEIF":  # the plugin sets the tag to 1, and libheif rotates as the container states
        asked = orientation_of(image.info.get("original_orientation"))
        items = heif_items(path)
        orientation = container_orientation(items, items.primary if item is None else item)
        if orientation is None:
            orientation = heif_only_exif = asked
    image.load()
    if heif_only_exif != 1:
        image.getexif()[0x0112] = heif_only_exif
    if wide_colour and (rescaled := colour_of_16_bits(path, image)) is not None:
        image = Image.fromarray(rescaled[0])
        if rescaled[1] is not None:
            facts["stretched"] = rescaled[1]
        image.getexif()[0x0112] = orientation
    ImageOps.exif_transpose(image, in_place=True)
    facts["orientation"] = orientation
    if (position := read_position(tags.get_ifd(GPS_IFD), xmp_text(image.info))) is not None:
        facts["position"] = position
    if (projection := projection_of(tags, image.info)) is not None:
        facts["projection"] = projection
        if (area := panorama_area_of(image.info, image.size)) is not None:
            facts["panorama_area"] = area
    if projection is None:
        down = gravity_of(tags, image.info, orientation)
    else:
        down = panorama_gravity_of(image.info) if orientation == 1 else None
    if down is not None:
        facts["gravity"] = down
    facts["size_stored"] = image.size[::-1] if orientation >= 5 else image.size

    mask = None
    if image.mode[0] in "IF":
        grey, stretched = to_8_bits(np.asarray(image))
        pixels = np.repeat(grey[..., None], 3, axis=2)
        if stretched is not None:
            facts["stretched"] = stretched
    else:
        if image.has_transparency_data:
            image = image.convert("RGBA")
            mask = opaque_pixels(np.asarray(image.getchannel("A")))
        pixels = rgb_pixels(image)
    if mask is not None:
        pixels = fill_nearest(pixels, mask)
    return Photo(np.ascontiguousarray(pixels), cast(ExifFacts, facts), path, mask)
