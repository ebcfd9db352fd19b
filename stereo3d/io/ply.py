"""Binary PLY: meshes and point clouds."""

from pathlib import Path

import numpy as np

from ..geometry.triangles import vertex_normals
from ..records import Mesh
from .atomic import replacing
from .style import FILLED, Style


def write_ply_points(
    path: Path, X: np.ndarray, colours: np.ndarray | None, sigma: np.ndarray | None, style: Style
) -> None:
    """Write points X (N, 3), in the axes of the file, with colours (N, 3) uint8 and sigma (N,) as binary PLY."""
    columns = _coordinates(X)
    if colours is not None:
        columns |= _colours(colours)
    if sigma is not None:
        columns["sigma"] = sigma.astype(np.float32)
    with replacing(path) as temporary, open(temporary, "wb") as f:
        _write_ply(f, columns, None, style.comments)


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
