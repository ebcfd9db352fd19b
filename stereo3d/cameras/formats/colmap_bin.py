"""COLMAP's binary model, cameras.bin and images.bin, as lines of its text model."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from .check import bad

# Number of a camera model of COLMAP -> its name and its number of parameters (COLMAP, src/colmap/sensor/models.h).
_MODELS = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
    11: ("RAD_TAN_THIN_PRISM_FISHEYE", 16),
    12: ("SIMPLE_DIVISION", 4),
    13: ("DIVISION", 5),
    14: ("SIMPLE_FISHEYE", 3),
    15: ("FISHEYE", 4),
    16: ("EUCM", 6),
    17: ("EQUIRECTANGULAR", 2),
}
_MAX_CAMERAS, _MAX_IMAGES = 100_000, 1_000_000
_MAX_NAME = 4096  # bytes
_MAX_POINTS = 10_000_000  # of an image


def fits_colmap_bin(data: bytes) -> bool:
    """Return whether the data are a count of cameras and as many cameras of known models, to the last byte."""
    try:
        colmap_text(data)
    except (struct.error, KeyError, ValueError):
        return False
    return True


def colmap_text(data: bytes) -> str:
    """Return the lines of cameras.txt of a cameras.bin: all numbers little-endian, as src/colmap/scene writes them.

    Raises
    ------
    struct.error, KeyError, ValueError
        Where the data are of another form.
    """
    (count,) = struct.unpack_from("<Q", data)
    if not 1 <= count <= _MAX_CAMERAS:
        raise ValueError(f"{count} cameras")
    at, lines = 8, []
    for _ in range(count):
        number, model, width, height = struct.unpack_from("<IiQQ", data, at)
        name, size = _MODELS[model]
        if width > 1_000_000 or height > 1_000_000:
            raise ValueError(f"{width} x {height} px")
        values = struct.unpack_from(f"<{size}d", data, at + 24)
        at += 24 + 8 * size
        lines.append(f"{number} {name} {width} {height} {' '.join(map(repr, values))}")
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes too many")
    return "\n".join(lines)


def image_lines(file: BinaryIO) -> Iterator[str]:
    """Yield the lines of images.txt that hold poses, of an images.bin; its points are passed over.

    Raises
    ------
    StereoError
        "bad_calibration".
    """

    def unpack(form: str) -> tuple:
        data = file.read(struct.calcsize(form))
        if len(data) < struct.calcsize(form):
            raise bad("ends early (COLMAP's images.bin)", "Copy the model again.")
        return struct.unpack(form, data)

    (count,) = unpack("<Q")
    if count > _MAX_IMAGES:
        raise bad(f"states {count} images (COLMAP's images.bin); at most {_MAX_IMAGES} are read")
    for _ in range(count):
        number, *pose, camera = unpack("<I7dI")
        name = bytearray()
        while (sign := unpack("<c")[0]) != b"\0":
            name += sign
            if len(name) > _MAX_NAME:
                raise bad(f"has a name of more than {_MAX_NAME} bytes (COLMAP's images.bin)")
        (points,) = unpack("<Q")
        if points > _MAX_POINTS:
            raise bad(f"states {points} points of one image (COLMAP's images.bin)")
        file.seek(24 * points, 1)
        shown = name.decode("utf-8", "replace").replace("\n", " ").replace("\r", " ")
        yield f"{number} {' '.join(map(repr, pose))} {camera} {shown}"
