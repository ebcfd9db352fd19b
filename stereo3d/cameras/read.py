"""Read a calibration, of one file or several: the format is found from the content."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import StereoError
from ..records import Rig
from .files import calibration_files
from .fit import fit_rig
from .formats.arrays import fits_mat, fits_npy, fits_npz, mat_entries, npz_entries, read_mat, read_npy, read_npz
from .formats.check import bad
from .formats.colmap import fits_colmap, read_colmap
from .formats.devices import fits_depthai, fits_realsense, fits_zed, read_depthai, read_realsense, read_zed
from .formats.entries import merged_entries, rig_of_entries
from .formats.kitti import fits_drivingstereo, fits_kitti, read_drivingstereo, read_kitti
from .formats.metashape import fits_metashape, read_metashape
from .formats.middlebury import fits_middlebury, read_middlebury
from .formats.opencv import fits_opencv, opencv_entries, read_opencv
from .formats.reconstructions import (
    fits_meshroom,
    fits_nerf,
    fits_open3d,
    fits_opensfm,
    read_meshroom,
    read_nerf,
    read_open3d,
    read_opensfm,
)
from .formats.rig_json import (
    fits_cameras,
    fits_json,
    fits_matrix,
    json_entries,
    read_cameras,
    read_json,
    read_matrix,
)
from .formats.robotics import fits_euroc, fits_kalibr, fits_orbslam, read_euroc, read_kalibr, read_orbslam
from .formats.ros import fits_ros, read_ros
from .formats.scripts import fits_bouguet, fits_script, read_bouguet, read_script, script_entries
from .formats.views import (
    fits_bundler,
    fits_mvsnet,
    fits_ocam,
    fits_par,
    fits_strecha,
    join_files,
    read_bundler,
    read_mvsnet,
    read_ocam,
    read_par,
    read_strecha,
)

log = logging.getLogger(__name__)
_HEAD = 200_000  # characters in which the mark of a format that is no JSON stands
Files = list[tuple[str, str]]  # name and text of each


@dataclass(frozen=True)
class Reader:
    """Reader of one calibration format.

    Attributes
    ----------
    fits : callable
        content -> whether it looks like this format. The content is text, or bytes for `BINARY_READERS`.
    read : callable
        content, file names of the two photos or None -> Rig.
    sized : bool
        Whether `read` takes a third argument, the sizes of the photos or None.
    entries : callable, optional
        content -> entries by name, where files of such formats may complete one another.
    join : callable, optional
        names and texts of several files -> one text, where each camera has a file of its own.
    """

    fits: Callable[[Any], bool]
    read: Callable[..., Rig]
    sized: bool = False
    entries: Callable[[Any], dict[str, Any]] | None = None
    join: Callable[[Files], str] | None = None


def _join_documents(files: Files) -> str:
    """Texts of YAML as documents of one text."""
    return "\n---\n".join(text for _, text in files)


# Name of the format -> its reader; the first that fits reads. Formats with an unmistakable mark precede those that know
# theirs by a common word: ORB-SLAM's settings have OpenCV's mark too, OpenCV's files may hold lines P1: as KITTI's do,
# Kalibr and EuRoC have ROS's distortion_model, Bundler's lines may look like COLMAP's images; the rig JSON takes any
# JSON.
READERS = {
    "ORB-SLAM settings": Reader(fits_orbslam, read_orbslam),
    "OpenCV YAML/XML": Reader(fits_opencv, read_opencv, entries=opencv_entries),
    "Bundler bundle.out": Reader(fits_bundler, read_bundler, sized=True),
    "OCamCalib": Reader(fits_ocam, read_ocam),
    "ZED conf": Reader(fits_zed, read_zed, sized=True),
    "MVSNet cam.txt": Reader(fits_mvsnet, read_mvsnet, join=join_files),
    "Strecha .camera": Reader(fits_strecha, read_strecha, join=join_files),
    "Middlebury par.txt": Reader(fits_par, read_par),
    "COLMAP cameras.txt, images.txt": Reader(fits_colmap, read_colmap),
    "Kalibr camchain": Reader(fits_kalibr, read_kalibr),
    "EuRoC sensor.yaml": Reader(fits_euroc, read_euroc, join=_join_documents),
    "ROS camera_info": Reader(fits_ros, read_ros, join=_join_documents),
    "Metashape XML": Reader(fits_metashape, read_metashape),
    "Meshroom .sfm": Reader(fits_meshroom, read_meshroom),
    "OpenSfM JSON": Reader(fits_opensfm, read_opensfm),
    "NeRF transforms.json": Reader(fits_nerf, read_nerf, sized=True),
    "Open3D JSON": Reader(fits_open3d, read_open3d),
    "RealSense intrinsics": Reader(fits_realsense, read_realsense),
    "DepthAI (OAK-D) JSON": Reader(fits_depthai, read_depthai),
    "cameras.json": Reader(fits_cameras, read_cameras),
    "rig JSON": Reader(fits_json, read_json, entries=json_entries),
    "Middlebury calib.txt": Reader(fits_middlebury, read_middlebury),
    "KITTI calib": Reader(fits_kitti, read_kitti, sized=True),
    "DrivingStereo": Reader(fits_drivingstereo, read_drivingstereo),
    "Bouguet Calib_Results.m": Reader(fits_bouguet, read_bouguet),
    "MATLAB or Python text": Reader(fits_script, read_script, entries=script_entries),
    "3 x 3 camera matrix": Reader(fits_matrix, read_matrix),
}
BINARY_READERS = {
    "NumPy .npz": Reader(fits_npz, read_npz, entries=npz_entries),
    "NumPy .npy": Reader(fits_npy, read_npy),
    "MATLAB .mat": Reader(fits_mat, read_mat, entries=mat_entries),
}


def read_rig(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    sizes: tuple[tuple[int, int], tuple[int, int]] | None = None,
    *,
    orientations: tuple[int, int] = (1, 1),
    names: tuple[str, str] | None = None,
) -> Rig:
    """Read the two cameras of a calibration, and R, t of X2 = R X1 + t where it has them.

    Parameters
    ----------
    path : path or sequence of paths
        The file or files. Several complete one another, as OpenCV's intrinsics.yml and extrinsics.yml, or hold one
        camera each, as ROS's left.yaml and right.yaml. A folder that holds the files will do.
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
        The content decides the format, never the file name: see `READERS` and `BINARY_READERS`.

    Raises
    ------
    StereoError
        "file_missing", "bad_calibration", "calibration_mismatch".
    """
    paths = [path] if isinstance(path, str | bytes | os.PathLike) else list(path)
    if not paths:
        raise StereoError("bad_calibration", "no calibration file is given.", "Give one or two.")
    files = calibration_files(paths, names)
    try:
        name, rig = _read_files(files, names, sizes)
    except StereoError as error:
        given = " and ".join(os.fsdecode(path) for path in paths)
        raise StereoError(error.code, f"{given} {error.message}", error.advice, **error.numbers) from error
    detail = f"{name}, {' + '.join(file.name for file, _ in files)}"
    log.debug("read as %s", detail)
    rig = replace(rig, cam1=replace(rig.cam1, source_detail=detail), cam2=replace(rig.cam2, source_detail=detail))
    return rig if sizes is None else fit_rig(rig, *sizes, orientations=orientations)


def form_of(content: str | bytes) -> tuple[str, Reader]:
    """Return the name and the reader of the format of a content.

    Raises
    ------
    StereoError
        "bad_calibration" where it is of no known format.
    """
    readers = BINARY_READERS if isinstance(content, bytes) else READERS
    json = isinstance(content, str) and content.lstrip()[:1] in ("{", "[")  # its entries stand in any order
    head = content if isinstance(content, bytes) or json else content[:_HEAD]
    found = next((item for item in readers.items() if item[1].fits(head)), None)
    if found is None:
        what = f"is not text ({len(content)} bytes), and" if isinstance(content, bytes) else "is"
        raise bad(f"{what} of no known format", f"Known formats: {', '.join([*READERS, *BINARY_READERS])}.")
    return found


def _read_files(
    files: list[tuple[Path, str | bytes]],
    names: tuple[str, str] | None,
    sizes: tuple[tuple[int, int], tuple[int, int]] | None,
) -> tuple[str, Rig]:
    """Return the name of the format and the rig of all files together."""
    forms = [form_of(content) for _, content in files]
    name, reader = forms[0]
    content = files[0][1]
    if len(files) > 1:
        if all(other.entries is not None for _, other in forms):
            parts = [
                other.entries(c) for (_, other), (_, c) in zip(forms, files, strict=True) if other.entries is not None
            ]
            return " + ".join(dict.fromkeys(form for form, _ in forms)), rig_of_entries(merged_entries(parts))
        if reader.join is None or any(form != name for form, _ in forms):
            raise bad(
                f"are files of the formats {', '.join(form for form, _ in forms)}, which do not make one calibration",
                "Give two files that complete one another (OpenCV, JSON, .npz, .mat), or one for each camera (ROS, "
                "EuRoC, Strecha, MVSNet).",
            )
        content = reader.join([(path.name, text) for path, text in files if isinstance(text, str)])
    return name, reader.read(content, names, sizes) if reader.sized else reader.read(content, names)
