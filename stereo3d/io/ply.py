"""Binary PLY: meshes and point clouds."""

import os
from pathlib import Path

import numpy as np

from ..geometry.arrays import real_array
from ..geometry.triangles import vertex_normals
from ..records import Mesh
from .atomic import replacing
from .style import FILLED, Style, check_axes, check_suffix, plain, rotation_to_file


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
    """Write a point cloud as binary .ply; return its path.

    Parameters
    ----------
    path : path
        With the suffix .ply.
    points : (..., 3) float
        Frame of camera 1; points with NaN are left out.
    colours : (..., 3) uint8, optional
        RGB.
    sigma : (...) float, optional
        Standard deviation along the ray, units of the points.
    unit : str, optional
        Of the coordinates, stated in the file ("m", "mm"); None: the distance between the two cameras is 1.
    axes : str
        One of `AXES`.
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
        "unknown_format", "unwritable" or "bad_option".
    ValueError
        For other shapes.
    """
    path = Path(path)
    check_suffix(path, (".ply",))
    check_axes(path, axes)
    points = real_array(points, "points")
    if points.ndim < 1 or points.shape[-1] != 3:
        raise ValueError(f"write_points needs points (..., 3), got {points.shape}")
    for name, value, shape in (("colours", colours, points.shape), ("sigma", sigma, points.shape[:-1])):
        if value is not None and real_array(value, name).shape != shape:
            raise ValueError(f"write_points: {name} {np.shape(value)} of points {points.shape}")
    points = points.reshape(-1, 3)
    known = np.isfinite(points).all(1)
    style = Style("", plain(unit) if unit else "baseline", axes, rotation_to_file(axes, down), origin=origin)
    columns = _coordinates(style.to_file(points[known]))
    if colours is not None:
        columns |= _colours(np.asarray(colours, dtype=np.uint8).reshape(-1, 3)[known])
    if sigma is not None:
        columns["sigma"] = np.asarray(sigma, dtype=np.float32).reshape(-1)[known]
    with replacing(path) as temporary, open(temporary, "wb") as f:
        _write_ply(f, columns, None, style.comments)
    return path


def write_ply_mesh(path: Path, mesh: Mesh, style: Style) -> list[Path]:
    """Write binary PLY with normals and, where the mesh has them, colours and sigma at the vertices."""
    columns = _coordinates(style.to_file(mesh.vertices))
    normals = style.to_file_axes(vertex_normals(mesh.vertices, mesh.faces)).astype(np.float32)
    columns |= dict(zip(("nx", "ny", "nz"), normals.T, strict=True))
    filled = np.isnan(mesh.sigma) if mesh.sigma is not None and style.mark_filled else None
    if mesh.texture is not None or filled is not None:
        grey = np.full((len(mesh.vertices), 3), 180, np.uint8)
        rgb = vertex_colours(mesh) if mesh.texture is not None else grey
        columns |= _colours(rgb if filled is None else np.where(filled[:, None], FILLED, rgb))
    if mesh.sigma is not None:
        columns["sigma"] = mesh.sigma.astype(np.float32)
    with replacing(path) as temporary, open(temporary, "wb") as f:
        _write_ply(f, columns, mesh.faces, style.comments)
    return [path]


def vertex_colours(mesh: Mesh) -> np.ndarray:
    """Return the texel nearest to each vertex, of the first photo that a face at the vertex shows.

    Parameters
    ----------
    mesh : Mesh
        With a texture.

    Returns
    -------
    (V, 3) uint8
        RGB.
    """
    first, *others = mesh.textured_parts()
    rgb = _texels(first.texture, first.uv)
    unseen = np.ones(len(rgb), bool)
    unseen[mesh.faces[first.faces]] = False
    for part in others:
        here = np.zeros(len(rgb), bool)
        here[mesh.faces[part.faces]] = True
        here &= unseen
        rgb[here] = _texels(part.texture, part.uv[here])
        unseen &= ~here
    return rgb


def _texels(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Texels (N, 3) that hold the points uv (N, 2)."""
    height, width = texture.shape[:2]
    x = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    y = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
    return texture[y, x]


def _write_ply(f, columns: dict[str, np.ndarray], faces: np.ndarray | None, comments: list[str]) -> None:
    """Binary little-endian PLY; columns: name -> (V,) f32 or u8, in this order."""
    kinds = {np.dtype(np.float32): ("float", "<f4"), np.dtype(np.uint8): ("uchar", "u1")}
    count = len(next(iter(columns.values())))
    header = ["ply", "format binary_little_endian 1.0", *(f"comment {line}" for line in comments)]
    header += [f"element vertex {count}", *(f"property {kinds[c.dtype][0]} {key}" for key, c in columns.items())]
    if faces is not None:
        header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    f.write(("\n".join(header) + "\nend_header\n").encode("utf-8"))
    table = np.empty(count, dtype=[(key, kinds[c.dtype][1]) for key, c in columns.items()])
    for key, c in columns.items():
        table[key] = c
    f.write(table)
    if faces is not None:
        lists = np.empty(len(faces), dtype=[("n", "u1"), ("corners", "<i4", 3)])
        lists["n"], lists["corners"] = 3, faces
        f.write(lists)


def _coordinates(X: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip("xyz", X.astype(np.float32).T, strict=True))


def _colours(rgb: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(("red", "green", "blue"), rgb.T, strict=True))
