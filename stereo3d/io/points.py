"""Point clouds: PLY, XYZ, PCD, LAS, LAZ."""

import io
import os
import struct
from pathlib import Path

import numpy as np

from ..errors import StereoError
from ..geometry.arrays import real_array
from .atomic import replacing
from .ply import write_ply_points
from .style import LIDAR, Style, check_axes, check_suffix, rotation_to_file, unit_of_file

Column = np.ndarray | None


def write_points(
    path: str | os.PathLike[str],
    points: np.ndarray,
    colours: np.ndarray | None = None,
    sigma: np.ndarray | None = None,
    *,
    unit: str | None = None,
    axes: str = "y-up",
    down: np.ndarray | None = None,
    origin: np.ndarray | None = None,
) -> Path:
    """Write a point cloud in the format of the suffix; return its path.

    Parameters
    ----------
    path : path
        Its suffix is one of `POINT_WRITERS`. .ply: binary, with colours and sigma. .xyz: text, x y z and red green blue
        of each point, no header. .pcd: binary, of PCL, with colours and sigma. .las: LAS 1.2 with colours, z up, in
        metres where the unit's length is known. .laz: the same, compressed, by the extra `las`.
    points : (..., 3) float
        Frame of camera 1; points with NaN are left out.
    colours : (..., 3) uint8, optional
        RGB.
    sigma : (...) float, optional
        Standard deviation along the ray, units of the points.
    unit : str, optional
        Of the coordinates, stated in the file ("m", "mm"); None: the distance between the two cameras is 1.
    axes : str
        One of `AXES`; of .las and .laz, whose z is up by their standard, y-up means z-up.
    down : (3,) float, optional
        Direction of gravity in the frame of camera 1; the points are rotated to be upright. None: camera 1 was held
        level.
    origin : (3,) float, optional
        Point in the frame of camera 1 that is the origin of the file; None: camera 1.

    Returns
    -------
    Path

    Raises
    ------
    StereoError
        "unknown_format", "unwritable", "bad_option", or "library_missing" for .laz without the extra `las`.
    ValueError
        For other shapes.
    """
    path = Path(path)
    check_suffix(path, tuple(POINT_WRITERS))
    check_axes(path, axes)
    points = real_array(points, "points")
    if points.ndim < 1 or points.shape[-1] != 3:
        raise ValueError(f"write_points needs points (..., 3), got {points.shape}")
    for name, value, shape in (("colours", colours, points.shape), ("sigma", sigma, points.shape[:-1])):
        if value is not None and real_array(value, name).shape != shape:
            raise ValueError(f"write_points: {name} {np.shape(value)} of points {points.shape}")
    points = points.reshape(-1, 3)
    known = np.isfinite(points).all(1)
    axes = "z-up" if path.suffix.lower() in LIDAR else axes
    unit, scale = unit_of_file(path, unit)
    style = Style("", unit, axes, rotation_to_file(axes, down), scale=scale, origin=origin)
    colours = None if colours is None else np.asarray(colours, dtype=np.uint8).reshape(-1, 3)[known]
    sigma = None if sigma is None else np.asarray(sigma).reshape(-1)[known] * scale
    POINT_WRITERS[path.suffix.lower()](path, style.to_file(points[known]), colours, sigma, style)
    return path


def _write_xyz(path: Path, X: np.ndarray, colours: Column, sigma: Column, style: Style) -> None:
    """Text: x y z, and red green blue (0 to 255) where there are colours; nine digits."""
    from .number_lines import format_rows

    table = X if colours is None else np.column_stack([X, colours.astype(float)])
    with replacing(path) as temporary, open(temporary, "wb") as f:
        f.writelines(format_rows("", table, " " * (table.shape[1] - 1) + "\n"))


def _write_pcd(path: Path, X: np.ndarray, colours: Column, sigma: Column, style: Style) -> None:
    """Binary PCD 0.7: x y z, rgb packed into the bits of a float, as PCL reads it, and sigma."""
    columns = dict(zip("xyz", X.astype("<f4").T, strict=True))
    if colours is not None:
        packed = colours.astype("<u4") @ np.array([65536, 256, 1], "<u4")
        columns["rgb"] = packed.astype("<u4").view("<f4")
    if sigma is not None:
        columns["sigma"] = sigma.astype("<f4")
    lines = ["# .PCD v0.7 - Point Cloud Data file format", *(f"# {line}" for line in style.comments), "VERSION 0.7"]
    for key, value in (("FIELDS", None), ("SIZE", "4"), ("TYPE", "F"), ("COUNT", "1")):
        lines.append(" ".join([key, *(value or name for name in columns)]))
    lines += [f"WIDTH {len(X)}", "HEIGHT 1", "VIEWPOINT 0 0 0 1 0 0 0", f"POINTS {len(X)}", "DATA binary", ""]
    table = np.empty(len(X), dtype=[(name, "<f4") for name in columns])
    for name, column in columns.items():
        table[name] = column
    with replacing(path) as temporary, open(temporary, "wb") as f:
        f.write("\n".join(lines).encode("utf-8"))
        f.write(table.data)


LAS_HEADER = "<4sHHIHH8sBB32s32sHHHIIBHI5I12d"  # LAS 1.2, public header block
LAS_POINT = np.dtype(  # point data record format 2
    [
        ("X", "<i4", 3),
        ("intensity", "<u2"),
        ("returns", "u1"),
        ("classification", "u1"),
        ("angle", "i1"),
        ("user", "u1"),
        ("source", "<u2"),
        ("rgb", "<u2", 3),
    ]
)
TEXT_AREA = 3  # number of the variable length record that holds a text
ONE_OF_ONE = 0b001001  # the return's number, and how many its pulse had


def _write_las(path: Path, X: np.ndarray, colours: Column, sigma: Column, style: Style) -> None:
    """LAS 1.2 as it is."""
    data = _las(X, colours, style)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _write_laz(path: Path, X: np.ndarray, colours: Column, sigma: Column, style: Style) -> None:
    """The same points, compressed by lazrs (Isenburg 2013, LASzip)."""
    check_laz(path)
    import laspy

    with replacing(path) as temporary, open(temporary, "wb") as f:
        laspy.read(io.BytesIO(_las(X, colours, style))).write(f, do_compress=True)


def check_laz(path: Path) -> None:
    """Raise StereoError "library_missing" where what writes .laz is not installed."""
    try:
        import laspy

        there = bool(laspy.LazBackend.detect_available())
    except ImportError:
        there = False
    if not there:
        raise StereoError(
            "library_missing",
            f"{path}: laspy and lazrs, which compress .laz, are not installed.",
            "Type: pip install 'stereo3d[las]'; or write a .las, which needs neither.",
        )


def _las(X: np.ndarray, colours: Column, style: Style) -> bytes:
    """LAS 1.2, point format 2, axes and unit as a text.

    Coordinates are whole multiples of the finest power of ten with which all of them fit into 32 bits.

    References
    ----------
    ASPRS, LAS Specification, version 1.2, 2008.
    """
    if not len(X):
        X = np.zeros((0, 3))
    low, high = (X.min(0), X.max(0)) if len(X) else (np.zeros(3), np.zeros(3))
    most = max(float(np.abs(X).max(initial=0)), 1e-300)
    scale = 10.0 ** np.ceil(np.log10(most / (2**31 - 1)))
    table = np.zeros(len(X), LAS_POINT)
    table["X"], table["returns"] = np.rint(X / scale), ONE_OF_ONE
    if colours is not None:
        table["rgb"] = colours.astype(np.uint16) * 257  # 255 becomes 65535
    text = "\n".join(style.comments).encode("ascii", "replace") + b"\0"
    note = struct.pack("<H16sHH32s", 0, b"LASF_Spec", TEXT_AREA, len(text), b"axes and unit") + text
    size = struct.calcsize(LAS_HEADER)
    box = [value for pair in zip(high, low, strict=True) for value in pair]
    header = struct.pack(
        LAS_HEADER,
        *(b"LASF", 0, 0, 0, 0, 0, b"", 1, 2),
        *(f"unit: {style.unit}".encode("ascii", "replace")[:32], b"stereo3d", 0, 0),
        *(size, size + len(note), 1, 2, LAS_POINT.itemsize, len(X), len(X), 0, 0, 0, 0),
        *([scale] * 3 + [0.0] * 3 + box),
    )
    return header + note + table.tobytes()


POINT_WRITERS = {
    ".ply": write_ply_points,
    ".xyz": _write_xyz,
    ".pcd": _write_pcd,
    ".las": _write_las,
    ".laz": _write_laz,
}
