"""Read binary glTF: triangles, texture coordinates, colours and embedded textures."""

import base64
import io
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..foreign import check_memory
from ..geometry.rotations import rotation_from_quaternion
from .json_files import load_json
from .mesh_content import MAX_PARTS, MeshContent, texture_or_none
from .meshopt_compression import NAME as MESHOPT
from .meshopt_compression import unpack

MAX_JSON_BYTES = 32_000_000
MAX_ENTRIES = 1_000_000  # values of the JSON
MAX_NODES = 100_000
MAX_FACES = 50_000_000  # of all meshes, each as often as a node shows it
MEMORY_PER_VERTEX = 100  # bytes: position, coordinates, colour, copies
MEMORY_PER_FACE = 200  # bytes: corners, their coordinates, copies
# glTF 2.0, section 3.6.2: component types and numbers of components.
_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
TRIANGLES, STRIP, FAN = 4, 5, 6


def read_glb(file: BinaryIO, path: Path) -> MeshContent:
    """Read the meshes that the default scene shows; raises ValueError for what the format does not allow.

    Other files that it names are not read. Lines and points are left out. Numbers packed by EXT_meshopt_compression
    need the extra `meshopt`.
    """
    size = os.fstat(file.fileno()).st_size
    check_memory(f"{path}: a glTF file of {size / 1e6:.0f} MB", 2 * size)
    tree, data = _chunks(file.read(size))
    document = _Document(tree, data)
    parts, faces, vertices = [], 0, 0
    for matrix, primitive in document.shown():
        mode = primitive.get("mode", TRIANGLES)
        if mode not in (TRIANGLES, STRIP, FAN):
            continue
        faces += document.corner_count(primitive) // (3 if mode == TRIANGLES else 1)
        vertices += document.vertex_count(primitive)  # copied for each part that uses them
        if len(parts) >= MAX_PARTS or max(faces, vertices) > MAX_FACES:
            raise ValueError(f"more than {MAX_PARTS} primitives or {MAX_FACES} triangles or vertices in its scene")
        parts.append((matrix, primitive))
    check_memory(f"{path}: a mesh of {faces} triangles", MEMORY_PER_FACE * faces + MEMORY_PER_VERTEX * vertices)
    return _joined([document.part(matrix, primitive) for matrix, primitive in parts])


def _chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary chunk."""
    magic, version, _ = struct.unpack_from("<4sII", data)
    length, kind = struct.unpack_from("<I4s", data, 12)
    if magic != b"glTF" or version != 2 or kind != b"JSON" or 20 + length > len(data):
        raise ValueError("no binary glTF 2.0")
    text = data[20 : 20 + length]
    if length > MAX_JSON_BYTES or sum(map(text.count, (b",", b"[", b"{"))) > MAX_ENTRIES:
        raise ValueError(f"its JSON has {length} bytes or more than {MAX_ENTRIES} entries")
    tree = load_json(text.decode("utf-8"))
    if not isinstance(tree, dict):
        raise ValueError("its JSON is no object")
    rest = data[20 + length :]
    if len(rest) < 8:
        return tree, b""
    length, kind = struct.unpack_from("<I4s", rest)
    if kind != b"BIN\0" or 8 + length > len(rest):
        raise ValueError("its binary chunk is truncated")
    return tree, rest[8 : 8 + length]


class _Document:
    """The entries of a glTF file, looked up with their types and bounds checked."""

    def __init__(self, tree: dict[str, Any], data: bytes) -> None:
        self.tree, self.data = tree, data

    def entry(self, kind: str, index: Any) -> dict[str, Any]:
        """An object of one of the lists at the top, such as "nodes"."""
        entries = self.tree.get(kind)
        if not isinstance(entries, list) or type(index) is not int or not 0 <= index < len(entries):
            raise ValueError(f"no entry {str(index)[:20]} in {kind}")
        if not isinstance(entries[index], dict):
            raise ValueError(f"the entry {index} in {kind} is no object")
        return entries[index]

    def shown(self) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        """(matrix from the mesh to the scene, primitive) of all that the default scene shows."""
        nodes = _list(self.tree, "nodes")
        if len(nodes) > MAX_NODES:
            raise ValueError(f"{len(nodes)} nodes, {MAX_NODES} at most")
        if _list(self.tree, "scenes"):
            roots = _list(self.entry("scenes", self.tree.get("scene", 0)), "nodes")
        else:
            children = {
                child for k in range(len(nodes)) for child in map(str, _list(self.entry("nodes", k), "children"))
            }
            roots = [k for k in range(len(nodes)) if str(k) not in children]
        waiting = [(root, np.eye(4)) for root in reversed(roots)]
        seen: set[int] = set()
        while waiting:
            index, matrix = waiting.pop()
            node = self.entry("nodes", index)
            if index in seen:
                raise ValueError(f"the node {index} has two parents")
            seen.add(index)
            matrix = matrix @ _matrix(node)
            waiting += [(child, matrix) for child in reversed(_list(node, "children"))]
            if "mesh" in node:
                for primitive in _list(self.entry("meshes", node["mesh"]), "primitives"):
                    if not isinstance(primitive, dict) or not isinstance(primitive.get("attributes"), dict):
                        raise ValueError("a primitive without attributes")
                    yield matrix, primitive

    def corner_count(self, primitive: dict[str, Any]) -> int:
        """Number of indices of a primitive, as stated."""
        index = primitive["indices"] if "indices" in primitive else primitive["attributes"].get("POSITION")
        return _whole(self.entry("accessors", index), "count", 0)

    def vertex_count(self, primitive: dict[str, Any]) -> int:
        """Number of positions of a primitive, as stated."""
        return _whole(self.entry("accessors", primitive["attributes"].get("POSITION")), "count", 0)

    def array(self, index: Any, components: tuple[int, ...]) -> np.ndarray:
        """(N, components) of an accessor; whole numbers as they are unless they are normalized."""
        accessor = self.entry("accessors", index)
        if "bufferView" not in accessor or "sparse" in accessor:
            raise ValueError("its numbers are compressed or sparse (KHR_draco_mesh_compression is not read)")
        columns, kind = _COMPONENTS.get(str(accessor.get("type"))), _TYPES.get(_whole(accessor, "componentType", 0))
        if columns not in components or kind is None:
            raise ValueError(f"the accessor {index} has the type {str(accessor.get('type'))[:20]}")
        assert columns is not None
        dtype = np.dtype(kind)
        view, stride = self.view(accessor["bufferView"])
        count, start, row = _whole(accessor, "count", 0), _whole(accessor, "byteOffset", 0), columns * dtype.itemsize
        stride = stride or row
        if stride < row or count < 1 or start + (count - 1) * stride + row > len(view):
            raise ValueError(f"the accessor {index} reaches beyond its {len(view)} bytes")
        values = np.ndarray((count, columns), dtype, view, start, (stride, dtype.itemsize))
        if accessor.get("normalized") is True and dtype.kind in "iu":
            return np.maximum(values / np.iinfo(dtype).max, -1.0)
        return values

    def view(self, index: Any) -> tuple[memoryview, int]:
        """The bytes of a buffer view, and its stride (0: none is stated)."""
        view = self.entry("bufferViews", index)
        packed = view.get("extensions", {}).get(MESHOPT) if isinstance(view.get("extensions", {}), dict) else None
        if isinstance(packed, dict):
            return self.unpacked(packed), _whole(view, "byteStride", 0)
        buffer = self.entry("buffers", view.get("buffer", 0))
        if view.get("buffer", 0) != 0 or "uri" in buffer:
            raise ValueError("its numbers are in another file")
        start, length = _whole(view, "byteOffset", 0), _whole(view, "byteLength", 0)
        if start + length > len(self.data):
            raise ValueError(f"the buffer view {index} reaches beyond {len(self.data)} bytes")
        return memoryview(self.data)[start : start + length], _whole(view, "byteStride", 0)

    def unpacked(self, packed: dict[str, Any]) -> memoryview:
        """The bytes of a buffer view that the extension describes."""
        start, length = _whole(packed, "byteOffset", 0), _whole(packed, "byteLength", 0)
        if packed.get("buffer") != 0 or start + length > len(self.data):
            raise ValueError("its packed numbers are in another file, or beyond its end")
        count, stride = _whole(packed, "count", 0), _whole(packed, "byteStride", 0)
        if count > MAX_FACES * 3:
            raise ValueError(f"a packed array of {count} elements")
        mode, form = str(packed.get("mode")), str(packed.get("filter", "NONE"))
        return memoryview(unpack(self.data[start : start + length], count, stride, mode, form))

    def part(self, matrix: np.ndarray, primitive: dict[str, Any]) -> MeshContent:
        """The triangles of a primitive in the axes of the scene."""
        attributes = primitive["attributes"]
        vertices = self.array(attributes.get("POSITION"), (3,)).astype(float)
        vertices = vertices @ matrix[:3, :3].T + matrix[:3, 3]
        if "indices" in primitive:
            corners = self.array(primitive["indices"], (1,)).ravel().astype(np.int64)
        else:
            corners = np.arange(len(vertices))
        faces = _triangles(corners, primitive.get("mode", TRIANGLES))
        uv = colour = None
        if "TEXCOORD_0" in attributes:
            uv = self.array(attributes["TEXCOORD_0"], (2,)).astype(float)
            uv = np.column_stack([uv[:, 0], 1 - uv[:, 1]])  # glTF's uv starts at the top left
        if "COLOR_0" in attributes:
            colour = _levels(self.array(attributes["COLOR_0"], (3, 4))[:, :3])
        for name, values in (("TEXCOORD_0", uv), ("COLOR_0", colour)):
            if values is not None and len(values) != len(vertices):
                raise ValueError(f"{len(values)} {name} of {len(vertices)} vertices")
        material = self.entry("materials", primitive["material"]) if "material" in primitive else {}
        picture = self.picture(material)
        name = material.get("name")
        return MeshContent(
            vertices, faces, uv, np.zeros(len(faces), int), [name if isinstance(name, str) else ""], [picture], colour
        )

    def picture(self, material: dict[str, Any]) -> Callable[[], np.ndarray | None]:
        """A function that decodes the embedded texture of a material."""

        def decode() -> np.ndarray | None:
            try:
                data = self.picture_bytes(material)
            except (ValueError, TypeError, AttributeError, KeyError):
                return None
            return texture_or_none(io.BytesIO(data), Path("texture")) if data else None

        return decode

    def picture_bytes(self, material: dict[str, Any]) -> bytes | memoryview | None:
        """The embedded file of a material's texture."""
        stated = material.get("pbrMetallicRoughness", {}).get("baseColorTexture")
        if stated is None:
            return None
        texture = self.entry("textures", stated["index"])
        source = texture.get("source", texture.get("extensions", {}).get("EXT_texture_webp", {}).get("source"))
        image = self.entry("images", source)
        if "bufferView" in image:
            return self.view(image["bufferView"])[0]
        head, found, code = str(image.get("uri", "")).partition("base64,")
        return base64.b64decode(code) if found and head.startswith("data:") else None


def _list(entry: dict[str, Any], name: str) -> list:
    value = entry.get(name, [])
    if not isinstance(value, list):
        raise ValueError(f"{name} is no list")
    return value


def _whole(entry: dict[str, Any], name: str, default: int) -> int:
    value = entry.get(name, default)
    if type(value) is not int or not 0 <= value < 2**40:
        raise ValueError(f"{name} is {str(value)[:20]}")
    return value


def _numbers(node: dict[str, Any], name: str, default: list[float]) -> np.ndarray:
    value = node.get(name, default)
    if not isinstance(value, list) or len(value) != len(default) or not all(type(v) in (int, float) for v in value):
        raise ValueError(f"a node's {name} is not {len(default)} numbers")
    return np.array(value, dtype=float)


def _matrix(node: dict[str, Any]) -> np.ndarray:
    """(4, 4) of a node: its matrix, or T R S."""
    if "matrix" in node:
        return _numbers(node, "matrix", [0.0] * 16).reshape(4, 4).T
    x, y, z, w = _numbers(node, "rotation", [0.0, 0.0, 0.0, 1.0])
    if not x * x + y * y + z * z + w * w > 0:
        raise ValueError("a node's rotation is zero")
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_from_quaternion(np.array([w, x, y, z])) * _numbers(node, "scale", [1.0, 1.0, 1.0])
    matrix[:3, 3] = _numbers(node, "translation", [0.0, 0.0, 0.0])
    return matrix


def _triangles(corners: np.ndarray, mode: int) -> np.ndarray:
    """(M, 3) of the corners of triangles, a strip or a fan; a strip's triangles with two equal corners are left out."""
    if mode == TRIANGLES:
        if len(corners) % 3:
            raise ValueError(f"{len(corners)} corners of triangles")
        return corners.reshape(-1, 3)
    if mode == FAN:
        first = np.broadcast_to(corners[:1], max(len(corners) - 2, 0))
        return np.stack([first, corners[1:-1], corners[2:]], axis=-1)
    faces = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=-1)
    faces[1::2] = faces[1::2, [1, 0, 2]]
    distinct = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])
    return faces[distinct]


def _levels(colour: np.ndarray) -> np.ndarray:
    """(N, 3) uint8 of colours as floats 0..1, or as whole numbers of their type's range."""
    if colour.dtype.kind in "iu":
        colour = colour / np.iinfo(colour.dtype).max
    return np.rint(255 * np.clip(np.nan_to_num(colour), 0, 1)).astype(np.uint8)


def _joined(parts: list[MeshContent]) -> MeshContent:
    """One content of all parts; colours where all parts have them."""
    if not parts:
        return MeshContent(np.zeros((0, 3)), np.zeros((0, 3), int))
    first = np.cumsum([0] + [len(part.vertices) for part in parts])
    for part in parts:
        if len(part.faces) and part.faces.max() >= len(part.vertices):
            raise ValueError(f"a face names vertex {part.faces.max() + 1} of {len(part.vertices)}")
    uv = None
    if any(part.uv is not None for part in parts):
        uv = np.concatenate([np.full((len(p.vertices), 2), np.nan) if p.uv is None else p.uv for p in parts])
    colours = [part.colour for part in parts if part.colour is not None]
    return MeshContent(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, first[:-1], strict=True)]),
        uv,
        np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts]),
        [part.names[0] for part in parts],
        [part.pictures[0] for part in parts],
        np.concatenate(colours) if len(colours) == len(parts) else None,
    )
