"""Read a mesh: OBJ, PLY, GLB, STL, in the frame of camera 1."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StereoError
from ..records import Mesh
from .pictures import MAX_TEXTURE_PIXELS, TEXTURE_FORMATS
from .style import AXES, AXES_DESCRIPTIONS

HEAD_BYTES = 4096  # our writers state axes and unit within these


@dataclass(frozen=True, eq=False)
class MeshPart:
    """The faces of a file that share one texture.

    Attributes
    ----------
    mesh : Mesh
        With uv and texture where the file has both.
    colour : (V, 3) uint8, optional
        RGB of the vertices, where the file has them and no texture.
    """

    mesh: Mesh
    colour: np.ndarray | None = None


@dataclass(eq=False)
class _Content:
    """All triangles of a file, in the file's axes.

    uv: (V,2), NaN at vertices without texture coordinates, None: there are none.  material: (M,) index into `names`
    and `pictures`.  pictures: functions that load the texture.  colour: (V,3) u8 | None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray | None
    material: np.ndarray
    names: list[str]
    pictures: list[Callable[[], np.ndarray | None]]
    colour: np.ndarray | None = None


def read_mesh(path: str | os.PathLike) -> Mesh:
    """Return the shape in a mesh file, in the frame of camera 1, without its textures.

    A file of ours states the matrix from camera 1 to its axes (a binary STL: its axes alone, not how the model was
    levelled); other files have (x, y, z) = (x_file, -y_file, -z_file). Polygons are cut into fans.

    Parameters
    ----------
    path : path
        .obj, .ply, .glb, .stl or another format that trimesh reads.

    Returns
    -------
    Mesh
        With uv where the file has it; NaN at vertices without, and where it is a position in the second photo. A
        vertex that an OBJ uses with several `vt` becomes several.

    Raises
    ------
    StereoError
        "file_missing", "file_unreadable", "unknown_format" or "empty_mesh".
    """
    content, _ = _read(Path(path))
    uv = content.uv
    if uv is not None and "photo2" in content.names:
        uv = uv.copy()
        uv[content.faces[content.material == content.names.index("photo2")]] = np.nan
    return Mesh(content.vertices, content.faces, uv)


def read_textured_mesh(path: str | os.PathLike) -> tuple[list[MeshPart], str]:
    """Return the parts of a mesh file with their textures or colours, and its unit ("": not stated).

    Axes, formats and errors are those of `read_mesh`. A texture that is missing or unreadable is left out.
    """
    content, unit = _read(Path(path))
    parts = []
    for k, picture in enumerate(content.pictures):
        shown = content.material == k
        if not shown.any():
            continue
        used, faces = slice(None), content.faces
        if not shown.all():
            used, faces = np.unique(content.faces[shown], return_inverse=True)
            faces = faces.reshape(-1, 3).astype(np.int32)
        uv = None if content.uv is None else content.uv[used]
        texture = picture() if uv is not None and not np.isnan(uv).all() else None
        if texture is None or uv is None:
            colour = None if content.colour is None else content.colour[used]
            parts.append(MeshPart(Mesh(content.vertices[used], faces), colour))
        else:  # a vertex without coordinates in a textured part shows the texture's corner
            parts.append(MeshPart(Mesh(content.vertices[used], faces, np.nan_to_num(uv, nan=0.0), texture)))
    return parts, unit


def _read(path: Path) -> tuple[_Content, str]:
    """Return what a file holds, checked and in the axes of camera 1, and the unit it states."""
    suffix = path.suffix.lower()
    if suffix not in (".obj", ".ply", ".glb", ".stl"):
        import trimesh

        if suffix.lstrip(".") not in trimesh.available_formats():
            raise StereoError(
                "unknown_format",
                f"{path}: no reader for meshes in {suffix or 'files without suffix'}.",
                "Use .obj, .ply, .glb or .stl.",
            )
    if not path.is_file():
        raise StereoError("file_missing", f"{path}: no such file.", "Check the path.")
    try:
        if not path.stat().st_size:
            raise StereoError("empty_mesh", f"{path}: the file is empty (0 bytes).", "Write the mesh again.")
        with open(path, "rb") as f:
            head = f.read(HEAD_BYTES)
        content = _read_obj(path) if suffix == ".obj" else _read_by_trimesh(path)
        faces, n = content.faces, len(content.vertices)
        if len(faces) and not (0 <= faces.min() and faces.max() < n):
            raise ValueError(f"a face names vertex {faces.max() + 1} of {n}")
        if not np.isfinite(content.vertices).all() or (content.uv is not None and np.isinf(content.uv).any()):
            raise ValueError("a coordinate is not finite")
        content.vertices = content.vertices @ _file_from_camera(head)  # row vectors: X R is R^-1 X
        content.faces = faces.astype(np.int32)
    except StereoError:
        raise
    except Exception as error:  # trimesh raises whatever its parsers meet in a broken file
        raise StereoError("file_unreadable", f"{path}: not a readable mesh ({error}).", "Check the file.") from error
    if len(faces) == 0:
        raise StereoError(
            "empty_mesh", f"{path}: {n} vertices and no face.", "A point cloud is no mesh: mesh it first."
        )
    return content, _unit(head)


def _file_from_camera(head: bytes) -> np.ndarray:
    """Return the rotation (3,3) from camera 1 to the file's axes that the head of one of our files states."""
    stated = re.search(rb"from camera 1: ((?:[-+0-9.e]+ ){8}[-+0-9.e]+)", head)
    if stated is None:
        if head.startswith(b"stereo3d unit: "):  # the 80 bytes of an STL's header describe the axes
            for name, description in AXES_DESCRIPTIONS.items():
                if description.encode() in head[:80]:
                    return AXES[name]
        return AXES["y-up"]
    R = np.array([float(x) for x in stated[1].split()]).reshape(3, 3)
    if not np.allclose(R @ R.T, np.eye(3), atol=1e-6):
        raise ValueError("its axes are no rotation of the camera's")
    return R


def _unit(head: bytes) -> str:
    """Return the unit that our own writers put into a file's head; "" where there is none."""
    stated = re.search(r'(?:^|\n)(?:#|comment) unit: ([^\n\r]+)|"unit":\s*"([^"]+)"', head.decode("utf-8", "replace"))
    return (stated[1] or stated[2]).strip() if stated else ""


def _read_obj(path: Path) -> _Content:
    """Parse an OBJ; raises ValueError for what the format does not allow."""
    data = path.read_bytes()
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
    names = list(dict.fromkeys(name for name, _ in runs))
    material = np.concatenate(
        [np.full(len(group), names.index(name)) for (name, _), group in zip(runs, groups, strict=True)]
    )
    table = _table(rows[b"v"], "v", 3)
    vertices, faces, uv, source = _split_by_uv(table[:, :3], np.concatenate(groups), rows[b"vt"])
    colour = None
    if table.shape[1] == 6:  # x y z r g b, the colour in 0..1 or 0..255
        rgb = table[source, 3:]
        colour = np.clip(np.rint(rgb * (255 if rgb.max(initial=0) <= 1 else 1)), 0, 255).astype(np.uint8)
    textures = _mtl_textures(path.parent, libraries)
    pictures = [lambda name=name: _read_texture(path.parent, textures.get(name, b"")) for name in names]
    return _Content(
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
    for library in libraries:
        path = _companion(folder, library)
        name = b""
        for line in path.read_bytes().splitlines() if path else []:
            keyword, _, rest = line.strip().replace(b"\t", b" ").partition(b" ")
            if keyword == b"newmtl":
                name = rest.strip()
            elif keyword == b"map_Kd":
                textures[name] = rest.strip()
    return textures


def _companion(folder: Path, stated: bytes) -> Path | None:
    """Return the file in an OBJ's folder that a line names: the rest of the line or, after options, its last word."""
    for name in (stated, *stated.split()[-1:]):
        path = folder / os.fsdecode(name.replace(b"\\", b"/"))
        for candidate in (path, folder / path.name):
            if name and candidate.is_file():
                return candidate
    return None


def _read_texture(folder: Path, stated: bytes) -> np.ndarray | None:
    from PIL import Image

    path = _companion(folder, stated)
    if path is None:
        return None
    try:
        with Image.open(path, formats=TEXTURE_FORMATS) as picture:
            return _texture_pixels(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # worth showing without it
        return None


def _texture_pixels(picture: Any) -> np.ndarray | None:
    """The pixels of an opened picture, None where it has no format of a texture or is too large."""
    known = picture.format in (None, *TEXTURE_FORMATS)  # None: made in memory
    if not known or picture.width * picture.height > MAX_TEXTURE_PIXELS:
        return None
    return np.array(picture.convert("RGB"))


def _read_by_trimesh(path: Path) -> _Content:
    import trimesh

    scene = trimesh.load_scene(path, process=False)
    parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh)]
    if not parts:
        return _Content(np.zeros((0, 3)), np.zeros((0, 3), dtype=int), None, np.zeros(0, int), [], [])
    first = np.cumsum([0] + [len(part.vertices) for part in parts])
    uvs = [_uv_of(part) for part in parts]
    uv = None
    if any(u is not None for u in uvs):
        uv = np.full((first[-1], 2), np.nan)
        for u, start, end in zip(uvs, first[:-1], first[1:], strict=True):
            if u is not None:
                uv[start:end] = u
    colour = None
    visuals: list[Any] = [part.visual for part in parts]
    if all(visual.kind == "vertex" for visual in visuals):
        colour = np.concatenate([np.asarray(visual.vertex_colors)[:, :3] for visual in visuals]).astype(np.uint8)
    return _Content(
        np.concatenate([np.asarray(part.vertices, dtype=float) for part in parts]),
        np.concatenate([np.asarray(part.faces) + n for part, n in zip(parts, first[:-1], strict=True)]),
        uv,
        np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts]),
        [getattr(getattr(part.visual, "material", None), "name", None) or "" for part in parts],
        [lambda part=part: _texture_of(part) for part in parts],
        colour,
    )


def _uv_of(part: Any) -> np.ndarray | None:
    uv = getattr(part.visual, "uv", None)
    return np.asarray(uv, dtype=float) if uv is not None and len(uv) == len(part.vertices) else None


def _texture_of(part: Any) -> np.ndarray | None:
    material = getattr(part.visual, "material", None)
    for name in ("image", "baseColorTexture"):
        image = getattr(material, name, None)
        if image is not None:
            return _texture_pixels(image)
    return None
