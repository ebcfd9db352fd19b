"""Binary glTF."""

import json
import struct
from pathlib import Path

import numpy as np

from ..records import Mesh
from .atomic import replacing
from .pictures import encode
from .style import Style, material_names

# Constants of glTF 2.0, sections 5.1 and 5.11: types of numbers, and what a buffer view holds.
FLOAT = 5126
UNSIGNED_INT = 5125
ARRAY_BUFFER = 34962
ELEMENT_ARRAY_BUFFER = 34963
# mipmaps, clamped at the border
SAMPLER = {"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}


class _GlbBuffer:
    """The binary chunk of a GLB file with the views and accessors that describe it."""

    def __init__(self) -> None:
        self.blobs: list[bytes] = []
        self.views: list[dict] = []
        self.accessors: list[dict] = []

    def add(self, data: bytes, **view: int) -> int:
        """Append bytes, padded to four; return the index of their buffer view."""
        offset = sum(map(len, self.blobs))
        self.views.append({"buffer": 0, "byteOffset": offset, "byteLength": len(data), **view})
        self.blobs.append(data + b"\0" * (-len(data) % 4))
        return len(self.views) - 1

    def add_array(self, a: np.ndarray, kind: str, component: int, target: int, **more: list) -> int:
        """Append an array; return the index of its accessor."""
        view = self.add(a.tobytes(), target=target)
        count = a.size if kind == "SCALAR" else len(a)
        self.accessors.append({"bufferView": view, "componentType": component, "count": count, "type": kind, **more})
        return len(self.accessors) - 1

    def add_triangles(
        self, xyz: np.ndarray, normals: np.ndarray | None, faces: np.ndarray, uv: np.ndarray | None, material: int
    ) -> dict:
        """Append a triangle mesh; return its glTF primitive."""
        xyz = xyz.astype("<f4")
        bounds = {"min": xyz.min(0).tolist(), "max": xyz.max(0).tolist()}
        attributes = {"POSITION": self.add_array(xyz, "VEC3", FLOAT, ARRAY_BUFFER, **bounds)}
        if normals is not None:
            attributes["NORMAL"] = self.add_array(normals.astype("<f4"), "VEC3", FLOAT, ARRAY_BUFFER)
        if uv is not None:  # glTF's uv starts at the top left
            uv = np.column_stack([uv[:, 0], 1 - uv[:, 1]]).astype("<f4")
            attributes["TEXCOORD_0"] = self.add_array(uv, "VEC2", FLOAT, ARRAY_BUFFER)
        corners = self.add_array(faces.ravel().astype("<u4"), "SCALAR", UNSIGNED_INT, ELEMENT_ARRAY_BUFFER)
        return {"attributes": attributes, "indices": corners, "material": material}


def write_glb(path: Path, mesh: Mesh, style: Style) -> list[Path]:
    """Write glTF 2.0 binary (Khronos 2021): a JSON chunk, then a binary one. Unlit where the viewer can, else matt.

    With `style.lit`, or without a texture, the viewer's lamps shade it by the normals at the vertices.
    """
    buffer = _GlbBuffer()
    tree = _gltf_tree(buffer, mesh, style)
    body = b"".join(buffer.blobs)
    tree |= {"bufferViews": buffer.views, "accessors": buffer.accessors, "buffers": [{"byteLength": len(body)}]}
    text = json.dumps(tree, ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 4)
    with replacing(path) as temporary, open(temporary, "wb") as f:
        f.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(body)))
        f.write(struct.pack("<I4s", len(text), b"JSON") + text)
        f.write(struct.pack("<I4s", len(body), b"BIN\0") + body)
    return [path]


def _gltf_tree(buffer: _GlbBuffer, mesh: Mesh, style: Style) -> dict:
    """Fill the buffer and return the glTF document, without the description of the buffer."""
    parts = mesh.textured_parts()
    vertices, normals = style.to_file(mesh.vertices), None
    if style.lit or not parts:
        normals = style.normals(mesh.vertices, mesh.faces)
    if len(parts) < 2:
        primitives = [buffer.add_triangles(vertices, normals, mesh.faces, mesh.uv, 0)]
    else:
        primitives = []
        for k, part in enumerate(parts):
            used, faces = np.unique(mesh.faces[part.faces], return_inverse=True)
            if len(used):
                own = None if normals is None else normals[used]
                primitives.append(buffer.add_triangles(vertices[used], own, faces, part.uv[used], k))
    materials = [
        {
            "name": name,
            "doubleSided": True,
            "pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1},
        }
        for name in material_names(max(1, len(parts)))
    ]
    tree = {
        "asset": {
            "version": "2.0",
            "generator": "stereo3d",
            "extras": {"unit": style.unit, "axes": " | ".join(style.comments[1:]), **_unit_note(style)},
        },
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": style.name}],
        "meshes": [{"name": style.name, "primitives": primitives}],
        "materials": materials,
    }
    if parts:
        if not style.lit:
            tree["extensionsUsed"] = ["KHR_materials_unlit"]
        for k, material in enumerate(materials):
            if not style.lit:
                material["extensions"] = {"KHR_materials_unlit": {}}
            material["pbrMetallicRoughness"]["baseColorTexture"] = {"index": k}
        tree["textures"] = [{"source": k, "sampler": 0} for k in range(len(parts))]
        tree["samplers"] = [SAMPLER]
        kind = "image/jpeg" if style.texture == "jpg" else "image/png"
        pictures = [encode(f".{style.texture}", part.texture, style.quality) for part in parts]
        tree["images"] = [{"bufferView": buffer.add(picture), "mimeType": kind} for picture in pictures]
    return tree


def _unit_note(style: Style) -> dict[str, str]:
    """What stands in the place of the metre that glTF demands, where the unit is not known."""
    if style.unit == "m":
        return {}
    return {"note": f"size unknown: 1 is one {style.unit}, which viewers take as one metre"}
