"""Camera raw files, developed by LibRaw (extra `raw`)."""

import io
import warnings
from pathlib import Path
from typing import cast

import numpy as np

from ..errors import StereoError
from ..foreign import Budget, check_memory, open_file
from ..records import ExifFacts, Photo
from .exif import facts_of

# Many raw files are TIFF files whose first frame is a thumbnail, which must not be read as the photo.
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
DEVELOPED_BYTES = 20  # per pixel: LibRaw's sensor values, its picture of four 16-bit channels, what it returns
MAX_HEADER = 1_000_000  # bytes of the file in which EXIF is looked for
# LibRaw's flips -> EXIF orientation.
_FLIPS = {0: 1, 3: 3, 5: 8, 6: 6}


def read_raw(path: Path, budget: Budget) -> Photo:
    """Return a camera raw file developed with the camera's white balance and sRGB, upright, 8 bits.

    Raises
    ------
    StereoError
        "library_missing" without the extra `raw`; "photo_unreadable"; "photo_too_large" and "memory" beyond the budget.
    """
    try:
        import rawpy
    except ImportError as error:
        raise StereoError(
            "library_missing",
            f"{path}: a camera raw file ({path.suffix}), and rawpy, which develops them, is not installed.",
            "Type: pip install rawpy (or 'stereo3d[raw]'), or develop it to JPEG, PNG or TIFF first.",
        ) from error
    try:
        with open_file(path, "photo_unreadable") as file, rawpy.imread(file) as raw:
            budget.check(path, "RGB", (raw.sizes.width, raw.sizes.height), path.stat().st_size)
            check_memory(f"{path}: developing it", DEVELOPED_BYTES * raw.sizes.raw_width * raw.sizes.raw_height)
            pixels = raw.postprocess(use_camera_wb=True, output_bps=8)
            orientation = _FLIPS.get(raw.sizes.flip, 1)
            facts = _facts(path, _thumbnail(raw))
    except MemoryError as error:
        raise StereoError("memory", f"{path}: not enough memory to develop it.", "Close other programs.") from error
    except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
        reason = " ".join(str(error.args[0].decode() if isinstance(error.args[0], bytes) else error).split())
        raise StereoError(
            "photo_unreadable",
            f"{path}: a damaged raw file, or one of a camera that LibRaw does not know ({reason}).",
            "Develop it to JPEG, PNG or TIFF first.",
        ) from error
    facts["orientation"] = orientation
    height, width = pixels.shape[:2]
    facts["size_stored"] = (height, width) if orientation >= 5 else (width, height)
    facts["format"] = path.suffix[1:].upper()
    return Photo(np.ascontiguousarray(pixels), cast(ExifFacts, facts), path)


def _thumbnail(raw: object) -> bytes:
    """The JPEG inside a raw file; empty where there is none."""
    import rawpy

    try:
        thumbnail = raw.extract_thumb()  # pyright: ignore[reportAttributeAccessIssue]
    except rawpy.LibRawError:
        return b""
    return thumbnail.data if thumbnail.format == rawpy.ThumbFormat.JPEG else b""


def _facts(path: Path, thumbnail: bytes) -> dict:
    """EXIF's facts, from the raw file where it is a TIFF file, else from the JPEG inside."""
    from PIL import Image

    with open_file(path, "photo_unreadable") as file:
        head = file.read(MAX_HEADER)
    for source in (head, thumbnail):
        tags = Image.Exif()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if source[:4] in (b"II*\0", b"MM\0*"):
                    tags.load(b"Exif\0\0" + source)
                elif source[:2] == b"\xff\xd8":
                    tags = Image.open(io.BytesIO(source), formats=["JPEG"]).getexif()
            facts = facts_of(tags)
        except Exception:  # tags of makers are of every kind
            continue
        if "focal_mm" in facts or "focal_35mm" in facts:
            facts.pop("size_exif", None)  # of the thumbnail
            facts.pop("plane_resolution", None)
            return facts
    return {}
