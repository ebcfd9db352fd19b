"""Read a point cloud: PLY, XYZ, PCD, LAS, LAZ, in the frame of camera 1."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import StereoError
from ..foreign import check_memory, open_file
from ..foreign.lidar_child import POINT_BYTES, read_lidar
from .file_head import HEAD_BYTES, camera_in_file, file_from_camera, stated_unit
from .las_header import check_las
from .ply_header import check_ply
from .read_pcd import read_pcd

MEMORY_PER_BYTE = 40  # bytes of memory for each of a file of text
MEMORY_PER_POINT = 100  # bytes, of LAS and LAZ beside those of the process that reads them
LAS_INSTALL = "Type: pip install 'stereo3d[las]', which brings laspy and lazrs."
MAX_SIGNATURE = 100  # leading lines of text that are no numbers: comments, a count, the names of the columns

Columns = tuple[np.ndarray, np.ndarray | None]  # points (N, 3) in the file's axes, RGB (N, 3) uint8


@dataclass(frozen=True, eq=False)
class PointFile:
    """A point cloud of a file.

    Attributes
    ----------
    points : (N, 3) float64
        Frame of camera 1.
    colours : (N, 3) uint8, optional
        RGB.
    unit : str
        "" where the file states none.
    """

    points: np.ndarray
    colours: np.ndarray | None
    unit: str


def read_points(path: str | os.PathLike[str]) -> PointFile:
    """Return the point cloud in a file, in the frame of camera 1; points that are not finite are left out.

    A .ply, .pcd, .las or .laz of ours states its axes; other .las and .laz have z up, other files y up and z towards
    the viewer.

    Parameters
    ----------
    path : path
        Its suffix is one of `POINT_READERS`. .xyz: numbers in columns, by blanks, commas or semicolons: x y z, or
        x y z red green blue, or x y z intensity red green blue; colours of 0 to 255 or 0 to 1. .las and .laz need
        the extra `las`.

    Raises
    ------
    StereoError
        "file_missing", "file_unreadable", "unknown_format", "library_missing", "empty_mesh" or "memory".
    """
    path = Path(path)
    suffix = path.suffix.lower()
    reader = POINT_READERS.get(suffix)
    if reader is None:
        raise StereoError(
            "unknown_format",
            f"{path}: no reader for point clouds in {suffix or 'files without suffix'}.",
            f"Use {', '.join(POINT_READERS)}.",
        )
    with open_file(path) as file:
        head = file.read(HEAD_BYTES)
        file.seek(0)
        try:
            points, colours = reader(file, path)
            good = np.isfinite(points).all(1)
            turn = file_from_camera(head, "z-up" if suffix in (".las", ".laz") else "y-up")
            points = (np.asarray(points[good], dtype=float) - camera_in_file(head)) @ turn
            unit = _unit_of_las(head) if suffix in (".las", ".laz") else stated_unit(head)
        except StereoError:
            raise
        except Exception as error:  # trimesh, laspy and numpy raise whatever their parsers meet in a broken file
            message = f"{path}: not a readable point cloud ({error})."
            raise StereoError("file_unreadable", message, "Check the file.") from error
    if not len(points):
        raise StereoError("empty_mesh", f"{path}: the file holds no point.", "Write the point cloud again.")
    return PointFile(points, None if colours is None else colours[good], unit)


def holds_faces(path: Path) -> bool:
    """Return whether the header of a PLY file names faces: it is a mesh, not a point cloud."""
    with open_file(path) as file:
        head, found, _ = file.read(65536).partition(b"end_header")
    counts = [line.split()[2] for line in head.splitlines() if line.startswith(b"element face") and found]
    return any(count != b"0" for count in counts)


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _read_ply(file: BinaryIO, path: Path) -> Columns:
    import trimesh

    size = _size(file)
    check_memory(f"{path}: a point cloud of {size / 1e6:.0f} MB", MEMORY_PER_BYTE * size)
    check_ply(file, size)
    data: Any = io.BytesIO(file.read(size))  # trimesh asks a file for its name
    [found] = trimesh.load_scene(data, file_type="ply", process=False).geometry.values()
    points = np.asarray(found.vertices, dtype=float).reshape(-1, 3)
    colours = getattr(found, "colors", None)
    if colours is None or len(colours) != len(points):
        return points, None
    return points, np.asarray(colours)[:, :3].astype(np.uint8)


def _read_text(file: BinaryIO, path: Path) -> Columns:
    size = _size(file)
    check_memory(f"{path}: a point cloud of {size / 1e6:.0f} MB", MEMORY_PER_BYTE * size)
    lines = file.read(size).decode("ascii", "replace").splitlines()
    skipped = 0
    while lines and skipped < MAX_SIGNATURE and not _numbers(lines[skipped : skipped + 1]):
        skipped += 1
    if skipped == len(lines) or skipped == MAX_SIGNATURE:
        raise ValueError("no line of three numbers")
    first = lines[skipped]
    mark = next((mark for mark in ",;" if mark in first), None)
    return coloured(np.loadtxt(lines[skipped:], ndmin=2, comments=("#", "//"), delimiter=mark))


def _numbers(lines: list[str]) -> bool:
    """Whether a line is three numbers or more."""
    try:
        return len([float(word) for word in lines[0].replace(",", " ").replace(";", " ").split()]) >= 3
    except (ValueError, IndexError):
        return False


def coloured(table: np.ndarray) -> Columns:
    """Split columns (N, k): x y z, or with red green blue, or with intensity red green blue behind them."""
    if table.shape[1] < 3:
        raise ValueError(f"{table.shape[1]} columns of numbers, 3 at least")
    first = 4 if table.shape[1] == 7 else 3
    rgb = table[:, first : first + 3]
    if rgb.shape[1] < 3 or not len(rgb) or not (np.nanmin(rgb) >= 0 and np.nanmax(rgb) <= 255):
        return table[:, :3], None  # three columns alone, or others than colours: normals
    if np.nanmax(rgb) <= 1 and (rgb % 1).any():
        rgb = 255 * rgb
    return table[:, :3], np.rint(np.nan_to_num(rgb)).astype(np.uint8)


def _read_las(file: BinaryIO, path: Path) -> Columns:
    if find_spec("laspy") is None or find_spec("lazrs") is None:
        message = f"{path}: a file of lidar points, and laspy and lazrs, which read them, are not installed."
        raise StereoError("library_missing", message, LAS_INSTALL)
    count = check_las(file.read(HEAD_BYTES), _size(file))
    check_memory(f"{path}: {count} points", count * (POINT_BYTES + MEMORY_PER_POINT))
    points, rgb = read_lidar(file, count)
    if rgb is None:
        return points, None
    deep = rgb.max(initial=0) > 255  # 16 bits, as the standard says; some writers leave 8
    return points, (rgb // 257 if deep else rgb).astype(np.uint8)


def _unit_of_las(head: bytes) -> str:
    """The unit that our writer puts into the system's name; metres are usual, but no field says so."""
    system = head[26:58].split(b"\0")[0].decode("ascii", "replace")
    return system.removeprefix("unit: ") if system.startswith("unit: ") else ""


POINT_READERS: dict[str, Callable[[BinaryIO, Path], Columns]] = {
    ".ply": _read_ply,
    ".xyz": _read_text,
    ".pcd": read_pcd,
    ".las": _read_las,
    ".laz": _read_las,
}
