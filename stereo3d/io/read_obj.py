"""Read Wavefront OBJ and its MTL files."""

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import StereoError
from ..foreign import check_memory, read_file
from .mesh_content import MAX_PARTS, MeshContent, companion, read_texture

MEMORY_PER_BYTE = 16  # bytes of memory for each of the file, measured: lines of text, tables of numbers
MAX_LIBRARIES = 100  # MTL files of an OBJ
MAX_MTL_BYTES = 4_000_000


def read_obj(file: BinaryIO, path: Path) -> MeshContent:
    """Parse an OBJ; raises ValueError for what the format does not allow."""
    size = os.fstat(file.fileno()).st_size
    check_memory(f"{path}: an OBJ of {size / 1e6:.0f} MB", MEMORY_PER_BYTE * size)
    data = file.read(size)
    if b"\\" in data:  # a backslash continues a line
        data = data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ")
    rows = {b"v": [], b"vt": [], b"f": []}
    runs = [(b"", 0)]  # (material, its first face)
    libraries = []
    for line in data.splitlines():
        keyword, _, rest = line.lstrip().replace(b"\t", b" ").partition(b" ")
        if keyword in rows:
            if keyword == b"f" and b"-" in rest:
                rest = _absolute(rest, len(rows[b"v"]), len(rows[b"vt"]))
            rows[keyword].append(rest)
        elif keyword == b"usemtl":
            runs.append((rest.strip(), len(rows[b"f"])))
        elif keyword == b"mtllib":
            libraries.append(rest.strip())
    ends = [start for _, start in runs[1:]] + [len(rows[b"f"])]
    groups = [_obj_corners(rows[b"f"][start:end]) for (_, start), end in zip(runs, ends, strict=True)]
    number = {name: k for k, name in enumerate(dict.fromkeys(name for name, _ in runs))}
    names = list(number)
    if len(names) > MAX_PARTS:
        raise ValueError(f"{len(names)} materials, {MAX_PARTS} at most")
    material = np.repeat([number[name] for name, _ in runs], [len(group) for group in groups])
    table = _table(rows[b"v"], "v", 3)
    vertices, faces, uv, source = _split_by_uv(table[:, :3], np.concatenate(groups), rows[b"vt"])
    colour = None
    if table.shape[1] == 6:  # x y z r g b, the colour in 0..1 or 0..255
        rgb = table[source, 3:]
        colour = np.clip(np.rint(rgb * (255 if rgb.max(initial=0) <= 1 else 1)), 0, 255).astype(np.uint8)
    textures = _mtl_textures(path.parent, libraries)
    pictures = [lambda name=name: read_texture(path.parent, textures.get(name, b"")) for name in names]
    return MeshContent(
        vertices, faces, uv, material, [name.decode("utf-8", "replace") for name in names], pictures, colour
    )


def _split_by_uv(
    vertices: np.ndarray, corners: np.ndarray, uv_rows: list[bytes]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | slice]:
    """Make one vertex of each pair (v, vt) in use: vertices, faces, uv, and the index of the given vertex of each.

    corners: (M,3,2) from 1, vt 0: none.
    """
    v, vt = corners[..., 0] - 1, corners[..., 1] - 1
    if v.size and (v.min() < 0 or v.max() >= len(vertices)):
        raise ValueError(f"faces name vertices {v.min() + 1} to {v.max() + 1} of 1 to {len(vertices)}")
    if not np.any(vt >= 0):
        return vertices, v, None, slice(None)
    texture = _table(uv_rows, "vt", 2)[:, :2]
    if vt.max() >= len(texture):
        raise ValueError(f"faces name texture coordinates up to {vt.max() + 1} of 1 to {len(texture)}")
    if not np.isfinite(texture).all():
        raise ValueError("a texture coordinate is not finite")
    if len(texture) == len(vertices) and np.array_equal(v, vt):
        return vertices, v, texture, slice(None)
    texture = np.concatenate([texture, np.full((1, 2), np.nan)])  # the last row: no coordinates
    vt = np.where(vt < 0, len(texture) - 1, vt)
    pairs, faces = np.unique(v.astype(np.int64) * len(texture) + vt, return_inverse=True)
    source = pairs // len(texture)
    return vertices[source], faces.reshape(v.shape), texture[pairs % len(texture)], source


def _absolute(face: bytes, vertices: int, coordinates: int) -> bytes:
    """Return a line's corners with negative indices, which count back from the latest, made positive."""
    corners = []
    for corner in face.partition(b"#")[0].split():
        parts = corner.split(b"/")[:2]
        for k, count in zip(range(len(parts)), (vertices, coordinates), strict=False):
            if parts[k].startswith(b"-"):
                index = count + 1 + int(parts[k])
                if index < 1:
                    raise ValueError(f"a face names index {int(parts[k])} after {count} lines")
                parts[k] = str(index).encode()
        corners.append(b"/".join(parts) if parts[-1] else parts[0])
    return b" ".join(corners)


def _table(rows: list[bytes], keyword: str, columns: int) -> np.ndarray:
    """Return (N, at least `columns`) numbers from rows of one length."""
    if not rows:
        return np.zeros((0, columns))
    table = np.loadtxt(rows, dtype=float, ndmin=2, comments="#")
    if len(table) != len(rows) or table.shape[1] < columns:
        raise ValueError(f"{len(rows)} lines of {keyword!r} hold a table of {table.shape}")
    return table


def _obj_corners(rows: list[bytes]) -> np.ndarray:
    """Return (M,3,2): indices of vertex and texture coordinate (0: none) of each corner, from 1; fans of polygons."""
    if not rows:
        return np.zeros((0, 3, 2), dtype=int)
    corners = rows[0].split()
    slashes = corners[0].count(b"/") if corners else 0
    if slashes == 2 and b"//" in corners[0]:  # without texture coordinates
        rows = [row.replace(b"//", b"/0/") for row in rows]
    plain = len(corners) == 3 and all(row.count(b"/") == 3 * slashes and b"//" not in row for row in rows)
    if plain:
        try:
            table = np.loadtxt([row.replace(b"/", b" ") for row in rows], dtype=np.int64, ndmin=2, comments="#")
        except ValueError:
            table = np.zeros((0, 0))
        if table.shape == (len(rows), 3 * (slashes + 1)):
            indices = table.reshape(len(rows), 3, slashes + 1)
            return indices[..., :2] if slashes else np.concatenate([indices, np.zeros_like(indices)], axis=-1)
    triangles = []
    for row in rows:
        polygon = []
        for corner in row.partition(b"#")[0].split():
            parts = corner.split(b"/")
            polygon.append((int(parts[0]), int(parts[1]) if len(parts) > 1 and parts[1] else 0))
        if len(polygon) < 3:
            raise ValueError(f"a face of {len(polygon)} corners")
        triangles += [(polygon[0], polygon[i], polygon[i + 1]) for i in range(1, len(polygon) - 1)]
    return np.array(triangles, dtype=np.int64)


def _mtl_textures(folder: Path, libraries: list[bytes]) -> dict[bytes, bytes]:
    """Return {material: what its `map_Kd` states} of the MTL files that can be read."""
    textures = {}
    for library in list(dict.fromkeys(libraries))[:MAX_LIBRARIES]:
        path = companion(folder, library)
        name = b""
        try:
            lines = read_file(path, MAX_MTL_BYTES).splitlines() if path else []
        except StereoError:  # the shape is worth showing without it
            lines = []
        for line in lines:
            keyword, _, rest = line.strip().replace(b"\t", b" ").partition(b" ")
            if keyword == b"newmtl":
                name = rest.strip()
            elif keyword == b"map_Kd":
                textures[name] = rest.strip()
    return textures
