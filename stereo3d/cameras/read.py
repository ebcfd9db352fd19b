"""Read a calibration file: the format is found from the content."""

import logging
import os
from dataclasses import replace
from pathlib import Path

from ..errors import StereoError
from ..records import Rig
from .fit import fit_rig
from .formats.check import bad
from .formats.colmap import fits_colmap, image_words, read_colmap
from .formats.kitti import fits_kitti, read_kitti
from .formats.middlebury import fits_middlebury, read_middlebury
from .formats.opencv import fits_opencv, read_opencv
from .formats.rig_json import fits_cameras, fits_json, fits_matrix, read_cameras, read_json, read_matrix
from .formats.ros import fits_ros, read_ros

log = logging.getLogger(__name__)
_MAX_BYTES = 4_000_000  # a calibration file is kilobytes; more is a picture or data


def read_rig(
    path: str | os.PathLike,
    sizes: tuple[tuple[int, int], tuple[int, int]] | None = None,
    *,
    orientations: tuple[int, int] = (1, 1),
    names: tuple[str, str] | None = None,
) -> Rig:
    """The two cameras of a calibration file, and their relative pose X2 = R X1 + t where the file has it.

    The form is found from the content, never from the name: see `READERS`. COLMAP's cameras.txt and images.txt are one
    calibration, and so are ROS's left.yaml and right.yaml: name their folder, or of COLMAP's either. With `sizes`, the
    (width, height) of the two photos as read, and their EXIF `orientations`, the rig is made to fit them (`fit_rig`);
    without, a camera whose file states no size has `UNKNOWN_SIZE`. names: the photos' file names, by which a file of
    more than two cameras is asked.

    Raises StereoError("file_missing" | "bad_calibration" | "calibration_mismatch").
    """
    path = Path(os.fsdecode(path))
    text = _read_all(path)
    try:
        form = next((form for form, (fits, _) in READERS.items() if fits(text)), None)
        if form is None:
            raise bad("is of no known form", f"Known are: {', '.join(READERS)}.")
        log.debug("%s: read as %s", path, form)
        rig = READERS[form][1](text, names)
    except StereoError as error:
        raise StereoError(error.code, f"{path} {error.message}", error.advice, **error.numbers) from error
    detail = f"{form}, {path.name}"
    rig = replace(rig, cam1=replace(rig.cam1, source_detail=detail), cam2=replace(rig.cam2, source_detail=detail))
    return rig if sizes is None else fit_rig(rig, *sizes, orientations=orientations)


def _read_all(path: Path) -> str:
    """The text of a calibration, of all its files where it has several."""
    folder, pair = path, ("left.yaml", "right.yaml")
    if not path.is_dir():
        folder = path.parent
        if path.name == "images.txt" and path.is_file() and (folder / "cameras.txt").is_file():
            path = folder / "cameras.txt"
    elif (path / "cameras.txt").is_file():
        path = path / "cameras.txt"
    elif all((path / name).is_file() for name in pair):
        return "\n---\n".join(_read_text(path / name) for name in pair)
    else:
        raise StereoError(
            "bad_calibration",
            f"{path} is a folder with neither cameras.txt nor {' and '.join(pair)} in it.",
            "Name the calibration file; write a COLMAP model as text: colmap model_converter --output_type TXT.",
        )
    text = _read_text(path)
    if fits_colmap(text) and path.name == "cameras.txt" and (folder / "images.txt").is_file():
        text += "\n" + _image_lines(folder / "images.txt")
    return text


def _image_lines(path: Path) -> str:
    """The lines of COLMAP's images.txt that hold poses, without the far longer ones that hold points."""
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            return "\n".join(line.rstrip("\r\n") for line in lines if image_words(line))
    except OSError as error:
        raise StereoError("file_missing", f"{path}: cannot be opened ({error}).", "Check the path.") from error


def _read_text(path: Path) -> str:
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= _MAX_BYTES else b"\0"
    except FileNotFoundError as error:
        raise StereoError("file_missing", f"{path}: no such file.", "Check the path of the calibration.") from error
    except (OSError, ValueError) as error:
        raise StereoError("file_missing", f"{path}: cannot be opened ({error}).", "Check the path.") from error
    if not data.strip():
        raise StereoError("bad_calibration", f"{path}: the file is empty ({size} bytes).", "Give a calibration file.")
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # a comment in an old encoding is no harm
    if "\0" in text:
        raise StereoError(
            "bad_calibration", f"{path} is not text ({size} bytes).", f"Give a calibration file: {', '.join(READERS)}."
        )
    return text


# Form -> (does a text look like it, reader: text, names of the photos -> Rig). The first that fits reads. OpenCV's goes
# first because it has an unmistakable mark, and may hold lines P1: and P2: as KITTI's does; the special JSON goes
# before the general one.
READERS = {
    "OpenCV YAML/XML": (fits_opencv, read_opencv),
    "COLMAP cameras.txt, images.txt": (fits_colmap, read_colmap),
    "ROS camera_info": (fits_ros, read_ros),
    "Middlebury calib.txt": (fits_middlebury, read_middlebury),
    "KITTI calib": (fits_kitti, read_kitti),
    "cameras.json": (fits_cameras, read_cameras),
    "rig JSON": (fits_json, read_json),
    "3 x 3 camera matrix": (fits_matrix, read_matrix),
}
