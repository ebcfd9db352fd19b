"""Read picture files: upright RGB pixels, and the facts of the camera in EXIF."""

import logging
import math
import os
import re
import struct
import threading
import warnings
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from ..errors import StereoError
from ..foreign import Budget, exif_tags, open_file, open_picture, rgb_pixels
from ..foreign.pictures import MAX_PIXELS
from ..records import ExifFacts, Photo
from .unknown import fill_nearest, opaque_pixels
from .wide import wide_to_u8

log = logging.getLogger(__name__)
MIN_SIDE = 32  # px: a descriptor with its margin, or a matching window with a disparity range, needs more
MAX_BOXES = 1000  # of a HEIF file before its `meta` box, which is the second one
# Formats that Pillow may open where it is built with them: photographs, and nothing that runs an interpreter (EPS).
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "HEIF", "AVIF", "GIF", "PPM", "JPEG2000")
# Camera raw files: many are TIFF files whose first frame is a thumbnail, which must not be read as the photo.
RAW_SUFFIXES = (
    ".3fr",
    ".arw",
    ".cr2",
    ".cr3",
    ".dng",
    ".erf",
    ".iiq",
    ".nef",
    ".nrw",
    ".orf",
    ".pef",
    ".raf",
    ".rw2",
    ".srw",
    ".x3f",
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
_MM_PER_PLANE_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}  # EXIF FocalPlaneResolutionUnit; 1: none
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
_pillow_limit = threading.Lock()  # Pillow's size limit is a global of its module


def read_photo(path: str | os.PathLike, *, max_pixels: int | None = None) -> Photo:
    """Read a JPEG, PNG, TIFF, WebP, BMP, HEIC/HEIF, AVIF or other picture file as upright RGB.

    The EXIF orientation is applied to the pixels exactly once. In HEIF and AVIF files the container's transformation
    replaces it where present (ISO/IEC 23008-12); a HEIF file with only an EXIF orientation is rotated by that, as
    Apple's viewers do.

    - Grey, palette, 1-bit and CMYK pictures become RGB. Colour profiles are not applied.
    - 16 bits become 8 by dropping the low byte (65535 -> 255). Grey 16-bit pictures below 4096 everywhere are treated
      as 12-bit data, and lose 4 bits instead.
    - Numbers of 32 bits (TIFF): white is 1, 255 or 65535 for floats, 255 or 65535 for integers, the smallest that the
      picture does not exceed, or else its maximum; NaN and negative values are black.
    - Pixels less than half opaque are unknown: `mask` is False there, and they take the colour of the nearest known
      one. The others keep their colour. Where the whole picture is transparent, transparency is ignored.
    - Of several frames or pages the first is read (of a HEIF file the primary one).

    Parameters
    ----------
    path : path
        A regular file, or a link to one.
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
    path = Path(os.fsdecode(path))
    head = _check_file(path)
    budget = Budget(MAX_PIXELS) if max_pixels is None else Budget(max_pixels, sparse=True)
    from PIL import Image, UnidentifiedImageError

    Image.init()
    _register_heif()
    try:
        with _pillow_limit, warnings.catch_warnings(), _open(path) as file:
            warnings.simplefilter("ignore")  # a crooked EXIF entry is no news to the user; limits are checked below
            kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = open_picture(file, path, FORMATS, budget, lambda w, h: _check_size(path, w, h))
                pixels, exif, mask = _decode(image, path)
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
    return Photo(pixels, cast(ExifFacts, exif), path, mask)


def _open(path: Path) -> BinaryIO:
    try:
        return open_file(path, "photo_unreadable")
    except StereoError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise StereoError(error.code, error.message, _near_name(path)) from error
        raise


def _check_file(path: Path) -> bytes:
    """Return the first 64 bytes; StereoError where the file is missing, empty, a folder or a camera raw file."""
    with _open(path) as file:
        head = file.read(64)
    if not head:
        raise StereoError(
            "photo_unreadable", f"{path}: the file is empty (0 bytes).", "Copy it again from the camera.", bytes=0
        )
    if path.suffix.lower() in RAW_SUFFIXES:
        raise StereoError(
            "photo_unreadable", f"{path}: a camera raw file ({path.suffix}).", "Develop it to JPEG, PNG or TIFF first."
        )
    return head


def _near_name(path: Path) -> str:
    """Return the remedy for a missing file: a file of a similar name where the folder has one."""
    import difflib

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


def _decode(image: Any, path: Path) -> tuple[np.ndarray, dict, np.ndarray | None]:
    """Return upright RGB pixels, the EXIF facts and the mask of an opened Pillow image."""
    from PIL import ImageOps

    tags = exif_tags(image)  # before load(): Pillow's TIFF reader rotates the pixels and drops the tag
    facts = _facts(tags)
    orientation = _orientation(tags.get(0x0112))
    facts["format"] = "JPEG" if image.format == "MPO" else image.format
    heif_only_exif = 1
    if image.format == "HEIF":  # the plugin sets the tag to 1, and libheif rotates as the container states
        asked = _orientation(image.info.get("original_orientation"))
        orientation = _container_turn(path)
        if orientation is None:
            orientation = heif_only_exif = asked
    image.load()
    if heif_only_exif != 1:
        image.getexif()[0x0112] = heif_only_exif
    ImageOps.exif_transpose(image, in_place=True)
    facts["orientation"] = orientation
    if (down := _gravity(tags, image.info, orientation)) is not None:
        facts["gravity"] = down
    facts["size_stored"] = image.size[::-1] if orientation >= 5 else image.size

    wide = image.mode[0] in "IF"
    mask = None
    if image.has_transparency_data and not wide:
        image = image.convert("RGBA")
        mask = opaque_pixels(np.asarray(image.getchannel("A")))
    pixels = wide_to_u8(image) if wide else rgb_pixels(image)
    if mask is not None:
        pixels = fill_nearest(pixels, mask)
    return np.ascontiguousarray(pixels), facts, mask


def _facts(tags: Any) -> dict[str, Any]:
    """Return the entries of `ExifFacts` that EXIF contains and that are valid."""
    details = tags.get_ifd(0x8769)
    found = {
        "make": _text(tags.get(0x010F)),
        "model": _text(tags.get(0x0110)),
        "date": _text(details.get(0x9003)) or _text(tags.get(0x0132)),
        "focal_mm": _number(details.get(0x920A, tags.get(0x920A))),
        "focal_35mm": _number(details.get(0xA405, tags.get(0xA405))),
        "plane_resolution": _plane_resolution(details),
    }
    width, height = _number(details.get(0xA002)), _number(details.get(0xA003))
    if width and height and width > 0 and height > 0:
        found["size_exif"] = (int(width), int(height))
    return {name: value for name, value in found.items() if value is not None}


def _gravity(tags: Any, info: dict, orientation: int) -> tuple[float, float, float] | None:
    """Return the unit vector of gravity in the upright photo's axes (x right, y down, z forward); None: unknown.

    - Apple's maker note, AccelerationVector: gravity in the axes of the phone seen from its screen (x right, y up, z
      towards the user). The sensor's picture has the phone's top at the left, so (x, y, z) of the stored picture is
      -(g_y, g_x, g_z); it rotates with the picture.
    - CameraElevationAngle (EXIF 2.31), GimbalPitchDegree (DJI's XMP): the camera looks up by p without roll, so gravity
      is (0, cos p, -sin p).
    """
    details = tags.get_ifd(0x8769)
    vector = _apple_acceleration(details.get(0x927C))
    if vector is not None:
        x, y, z = -vector[1], -vector[0], -vector[2]
        turned = {1: (x, y), 3: (-x, -y), 6: (-y, x), 8: (y, -x)}.get(orientation)  # no camera writes mirrored pictures
        length = math.sqrt(x * x + y * y + z * z)
        if turned and 0.8 < length < 1.2:  # g; otherwise the phone was accelerating
            return turned[0] / length, turned[1] / length, z / length
    pitch = _number(details.get(0x9405))
    if pitch is None:
        xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
        entry = re.search(
            r"""GimbalPitchDegree(?:>|=["'])\s*([-+]?[0-9.]+)""",
            xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else str(xmp),
        )
        pitch = float(entry[1]) if entry and entry[1].count(".") < 2 and entry[1].strip("+-.") else None
    if pitch is None or not -90 <= pitch <= 90:
        return None
    return 0.0, math.cos(math.radians(pitch)), -math.sin(math.radians(pitch))


def _apple_acceleration(note: object) -> tuple[float, ...] | None:
    """Return entry 8 of Apple's maker note, three signed fractions; None where it is missing.

    The note is "Apple iOS", version, "MM", and a big-endian IFD whose offsets count from the start of the note.
    """
    if not isinstance(note, bytes) or not note.startswith(b"Apple iOS\0") or note[12:14] != b"MM":
        return None
    try:
        (count,) = struct.unpack_from(">H", note, 14)
        for k in range(min(count, 200)):
            tag, kind, number, offset = struct.unpack_from(">HHII", note, 16 + 12 * k)
            if tag == 8 and kind == 10 and number == 3:
                fractions = struct.unpack_from(">6i", note, offset)
                return tuple(fractions[i] / fractions[i + 1] for i in (0, 2, 4))
    except (struct.error, ZeroDivisionError):
        return None
    return None


def _plane_resolution(details: Any) -> float | None:
    """Return focal-plane pixels per mm, the geometric mean of both axes where they agree to 5 % (square pixels)."""
    x, y = _number(details.get(0xA20E)), _number(details.get(0xA20F))
    code = _number(details.get(0xA210, 2))  # inches where the file states no unit
    unit = None if code is None else _MM_PER_PLANE_UNIT.get(int(code)) if code.is_integer() else None
    if unit is None or not x or x <= 0:
        return None
    y = y or x
    if not 0.95 < y / x < 1.05:
        return None
    return math.sqrt(x * y) / unit


def _number(value: Any) -> float | None:
    """Return an EXIF entry as a finite number, else None."""
    single: Any = value[0] if isinstance(value, tuple | list) and len(value) == 1 else value
    try:
        number = float(single)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    value = value.replace("\0", " ").strip() if isinstance(value, str) else ""
    return value or None


def _orientation(value: Any) -> int:
    number = _number(value)
    return int(number) if number is not None and number in range(1, 9) else 1


def _container_turn(path: Path) -> int | None:
    """Return the EXIF orientation equal to the boxes irot and imir of a HEIF file; None where it has neither.

    They are searched in the `meta` box, assuming that they belong to the primary picture.
    """
    with _open(path) as file:
        for _ in range(MAX_BOXES):
            if len(header := file.read(8)) < 8:
                return None
            size, kind = int.from_bytes(header[:4], "big"), header[4:]
            head = 8
            if size == 1:
                size, head = int.from_bytes(file.read(8), "big"), 16
            if kind == b"meta":
                meta = file.read(max(size - head, 0) if size else -1)
                turn, mirror = meta.find(b"\0\0\0\x09irot"), meta.find(b"\0\0\0\x09imir")
                if turn < 0 and mirror < 0:
                    return None
                quarter = meta[turn + 8] & 3 if turn >= 0 else 0
                axis = meta[mirror + 8] & 1 if mirror >= 0 else None
                return _HEIF_TURNS[quarter, axis]
            if size < head:
                break
            file.seek(size - head, os.SEEK_CUR)
    return None
