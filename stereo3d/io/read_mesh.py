"""Read a mesh: OBJ, PLY, GLB, STL, OFF, in the frame of camera 1."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import StereoError
from ..foreign import check_memory, open_file
from ..records import Mesh
from .file_head import HEAD_BYTES, camera_in_file, file_from_camera, stated_unit
from .mesh_content import MeshContent, read_texture
from .ply_header import check_ply
from .read_glb import read_glb
from .read_obj import read_obj

MEMORY_PER_BYTE = 40  # bytes of memory for each of the file, for text with short numbers


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


def read_mesh(path: str | os.PathLike) -> Mesh:
    """Return the shape in a mesh file, in the frame of camera 1, without its textures.

    A file of ours states the matrix from camera 1 to its axes and where camera 1 is (a binary STL: its axes alone, not
    how the model was levelled or moved); other files have (x, y, z) = (x_file, -y_file, -z_file). Polygons are cut into
    fans.

    Parameters
    ----------
    path : path
        .obj, .ply, .glb, .stl or .off.

    Returns
    -------
    Mesh
        With uv where the file has it; NaN at vertices without, and where it is a position in the second photo. A
        vertex that an OBJ uses with several `vt` becomes several.

    Raises
    ------
    StereoError
        "file_missing", "file_unreadable", "unknown_format", "empty_mesh" or "memory".
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
    order = np.argsort(content.material, kind="stable")
    ends = np.searchsorted(content.material[order], np.arange(len(content.pictures) + 1))
    parts = []
    for picture, start, end in zip(content.pictures, ends[:-1], ends[1:], strict=True):
        if start == end:
            continue
        used, faces = slice(None), content.faces
        if end - start < len(faces):
            used, faces = np.unique(faces[order[start:end]], return_inverse=True)
            faces = faces.reshape(-1, 3).astype(np.int32)
        uv = None if content.uv is None else content.uv[used]
        texture = picture() if uv is not None and not np.isnan(uv).all() else None
        if texture is None or uv is None:
            colour = None if content.colour is None else content.colour[used]
            parts.append(MeshPart(Mesh(content.vertices[used], faces), colour))
        else:  # a vertex without coordinates in a textured part shows the texture's corner
            parts.append(MeshPart(Mesh(content.vertices[used], faces, np.nan_to_num(uv, nan=0.0), texture)))
    return parts, unit


def _read(path: Path) -> tuple[MeshContent, str]:
    """Return what a file holds, checked and in the axes of camera 1, and the unit it states."""
    reader = MESH_READERS.get(path.suffix.lower())
    if reader is None:
        raise StereoError(
            "unknown_format",
            f"{path}: no reader for meshes in {path.suffix.lower() or 'files without suffix'}.",
            f"Use {', '.join(MESH_READERS)}.",
        )
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise StereoError("empty_mesh", f"{path}: the file is empty (0 bytes).", "Write the mesh again.")
        head = file.read(HEAD_BYTES)
        file.seek(0)
        return _checked(path, head, lambda: reader(file, path)), stated_unit(head)


def _checked(path: Path, head: bytes, read: Callable[[], MeshContent]) -> MeshContent:
    """Return what a reader finds, its indices and numbers checked, in the axes of camera 1."""
    try:
        content = read()
        faces, n = content.faces, len(content.vertices)
        if len(faces) and not (0 <= faces.min() and faces.max() < n):
            raise ValueError(f"a face names vertex {faces.max() + 1} of {n}")
        if not np.isfinite(content.vertices).all() or (content.uv is not None and np.isinf(content.uv).any()):
            raise ValueError("a coordinate is not finite")
        content.vertices = (content.vertices - camera_in_file(head)) @ file_from_camera(head)  # X R is R^-1 X
        content.faces = faces.astype(np.int32)
    except StereoError:
        raise
    except Exception as error:  # trimesh raises whatever its parsers meet in a broken file
        raise StereoError("file_unreadable", f"{path}: not a readable mesh ({error}).", "Check the file.") from error
    if len(faces) == 0:
        raise StereoError(
            "empty_mesh", f"{path}: {n} vertices and no face.", "A point cloud is no mesh: mesh it first."
        )
    return content


def _read_by_trimesh(file: BinaryIO, path: Path) -> MeshContent:
    import trimesh

    suffix = path.suffix.lower()[1:]
    size = os.fstat(file.fileno()).st_size
    check_memory(f"{path}: a mesh of {size / 1e6:.0f} MB", MEMORY_PER_BYTE * size)
    if suffix == "ply":
        check_ply(file, size)
    textures: Any = _Textures()
    scene = trimesh.load_scene(file, file_type=suffix, resolver=textures, process=False)
    parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh)]
    if not parts:
        return MeshContent(np.zeros((0, 3)), np.zeros((0, 3), dtype=int))
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
    return MeshContent(
        np.concatenate([np.asarray(part.vertices, dtype=float) for part in parts]),
        np.concatenate([np.asarray(part.faces) + n for part, n in zip(parts, first[:-1], strict=True)]),
        uv,
        np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts]),
        [getattr(getattr(part.visual, "material", None), "name", None) or "" for part in parts],
        [lambda: read_texture(path.parent, textures.asked)] * len(parts),
        colour,
    )


def _uv_of(part: Any) -> np.ndarray | None:
    uv = getattr(part.visual, "uv", None)
    return np.asarray(uv, dtype=float) if uv is not None and len(uv) == len(part.vertices) else None


class _Textures:
    """What trimesh asks for the files that a mesh names: it keeps the name, and gives nothing."""

    def __init__(self) -> None:
        self.asked = b""

    def get(self, name: str) -> bytes:
        self.asked = os.fsencode(str(name))
        raise FileNotFoundError(name)

    __getitem__ = get


MESH_READERS: dict[str, Callable[[BinaryIO, Path], MeshContent]] = {
    ".obj": read_obj,
    ".ply": _read_by_trimesh,
    ".glb": read_glb,
    ".stl": _read_by_trimesh,
    ".off": _read_by_trimesh,
}
