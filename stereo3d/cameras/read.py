"""Read a calibration file: the format is found from the content."""

import io
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import StereoError
from ..foreign import open_file, read_file
from ..records import Rig
from .fit import fit_rig
from .formats.check import bad
from .formats.colmap import fits_colmap, image_fields, read_colmap
from .formats.kitti import fits_kitti, read_kitti
from .formats.middlebury import fits_middlebury, read_middlebury
from .formats.opencv import fits_opencv, read_opencv
from .formats.rig_json import fits_cameras, fits_json, fits_matrix, read_cameras, read_json, read_matrix
from .formats.ros import fits_ros, read_ros

log = logging.getLogger(__name__)
_MAX_BYTES = 4_000_000  # bytes: a calibration file has kilobytes; a larger one is a picture or other data
_MAX_LINE = 100_000  # characters of a line of images.txt that states a pose: nine numbers and a file name
_MAX_IMAGES = 100_000  # poses in images.txt
_ROS_PAIR = ("left.yaml", "right.yaml")  # names that ROS's camera_calibration writes


@dataclass(frozen=True)
class Reader:
    """Reader of one calibration format.

    Attributes
    ----------
    fits : callable
        text -> whether the text looks like this format.
    read : callable
        text, file names of the two photos or None -> Rig.
    """

    fits: Callable[[str], bool]
    read: Callable[[str, tuple[str, str] | None], Rig]


# Name of the format -> its reader; the first that fits reads. OpenCV's mark is unmistakable, and its file may hold
# lines P1: and P2: as KITTI's does, so it precedes KITTI's. cameras.json precedes the general rig JSON.
READERS = {
    "OpenCV YAML/XML": Reader(fits_opencv, read_opencv),
    "COLMAP cameras.txt, images.txt": Reader(fits_colmap, read_colmap),
    "ROS camera_info": Reader(fits_ros, read_ros),
    "Middlebury calib.txt": Reader(fits_middlebury, read_middlebury),
    "KITTI calib": Reader(fits_kitti, read_kitti),
    "cameras.json": Reader(fits_cameras, read_cameras),
    "rig JSON": Reader(fits_json, read_json),
    "3 x 3 camera matrix": Reader(fits_matrix, read_matrix),
}


def read_rig(
    path: str | os.PathLike,
    sizes: tuple[tuple[int, int], tuple[int, int]] | None = None,
    *,
    orientations: tuple[int, int] = (1, 1),
    names: tuple[str, str] | None = None,
) -> Rig:
    """Read the two cameras of a calibration file, and R, t of X2 = R X1 + t where the file has them.

    Parameters
    ----------
    path : path
        The file. COLMAP's cameras.txt and images.txt are one calibration: give their folder or either file. ROS's
        left.yaml and right.yaml are one too: give their folder.
    sizes : ((width, height), (width, height)), optional
        px, of the two photos as read; the rig is fitted to them (`fit_rig`). Without them, a camera whose file states
        no size has `UNKNOWN_SIZE`.
    orientations : (int, int)
        EXIF orientations of the two photos.
    names : (str, str), optional
        File names of the photos; they select two of the cameras where the file has more.

    Returns
    -------
    Rig
        The content decides the format, never the file name: see `READERS`.

    Raises
    ------
    StereoError
        "file_missing", "bad_calibration", "calibration_mismatch".
    """
    path = Path(os.fsdecode(path))
    text = _read_all(path)
    try:
        name = next((name for name, reader in READERS.items() if reader.fits(text)), None)
        if name is None:
            raise bad("is of no known format", f"Known formats: {', '.join(READERS)}.")
        log.debug("%s: read as %s", path, name)
        rig = READERS[name].read(text, names)
    except StereoError as error:
        raise StereoError(error.code, f"{path} {error.message}", error.advice, **error.numbers) from error
    detail = f"{name}, {path.name}"
    rig = replace(rig, cam1=replace(rig.cam1, source_detail=detail), cam2=replace(rig.cam2, source_detail=detail))
    return rig if sizes is None else fit_rig(rig, *sizes, orientations=orientations)


def _read_all(path: Path) -> str:
    """Return the text of a calibration, joined where it has several files."""
    if path.is_dir():
        if not (path / "cameras.txt").is_file() and all((path / name).is_file() for name in _ROS_PAIR):
            return "\n---\n".join(_read_text(path / name) for name in _ROS_PAIR)
        if not (path / "cameras.txt").is_file():
            raise StereoError(
                "bad_calibration",
                f"the folder {path} contains neither cameras.txt nor {' and '.join(_ROS_PAIR)}.",
                "Name the calibration file; write a COLMAP model as text: colmap model_converter --output_type TXT.",
            )
        path = path / "cameras.txt"
    elif path.name == "images.txt" and path.is_file() and (path.parent / "cameras.txt").is_file():
        path = path.parent / "cameras.txt"
    text = _read_text(path)
    images = path.parent / "images.txt"
    if fits_colmap(text) and path.name == "cameras.txt" and images.is_file():
        text += "\n" + _image_lines(images)
    return text


def _image_lines(path: Path) -> str:
    """Return the lines of COLMAP's images.txt that hold poses, without the far longer lines of points."""
    poses: list[str] = []
    with open_file(path, "bad_calibration") as file, io.TextIOWrapper(file, "utf-8", errors="replace") as lines:
        while line := lines.readline(_MAX_LINE):
            if len(line) < _MAX_LINE and image_fields(line):
                poses.append(line.rstrip("\r\n"))
                if len(poses) > _MAX_IMAGES:
                    raise StereoError(
                        "bad_calibration",
                        f"{path} has more than {_MAX_IMAGES} images.",
                        "Keep the two images of the photos in it.",
                        images=len(poses),
                    )
            while line and len(line) == _MAX_LINE and line[-1] != "\n":  # the rest of a long line of points
                line = lines.readline(_MAX_LINE)
    return "\n".join(poses)


def _read_text(path: Path) -> str:
    data = read_file(path, _MAX_BYTES, "bad_calibration")
    if not data.strip():
        raise StereoError(
            "bad_calibration", f"{path}: the file is empty ({len(data)} bytes).", "Give a calibration file."
        )
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # a comment in an older encoding does no harm
    if "\0" in text:
        raise StereoError(
            "bad_calibration",
            f"{path} is not text ({len(data)} bytes).",
            f"Give a calibration file: {', '.join(READERS)}.",
        )
    return text
