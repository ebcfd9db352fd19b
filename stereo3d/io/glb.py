"""Binary glTF."""

import json
import struct
from pathlib import Path

import numpy as np

from ..records import Mesh
from .atomic import replacing
from .meshopt_compression import NAME, pack_numbers, pack_triangles, reordered
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
    """The binary chunk of a GLB file with the views and accessors that describe it.

    With `packed`, its arrays are stored by EXT_meshopt_compression: their views lie in a second buffer without bytes.
    """

    def __init__(self, packed: bool) -> None:
        self.packed = packed
        self.blobs: list[bytes] = []
        self.views: list[dict] = []
        self.accessors: list[dict] = []
        self.plain_bytes = 0  # of the second buffer

    def add(self, data: bytes, **view: int) -> int:
        """Append bytes, padded to four; return the index of their buffer view."""
        self.views.append({"buffer": 0, "byteOffset": self._append(data), "byteLength": len(data), **view})
        return len(self.views) - 1

    def _append(self, data: bytes) -> int:
        offset = sum(map(len, self.blobs))
        self.blobs.append(data + b"\0" * (-len(data) % 4))
        return offset

    def _add_packed(self, data: bytes, count: int, stride: int, target: int, **how: str) -> int:
        """Append packed bytes; return the index of the view of the `count` elements that they stand for."""
        length = count * stride
        stored = {"buffer": 0, "byteOffset": self._append(data), "byteLength": len(data)}
        packing = {NAME: {**stored, "byteStride": stride, "count": count, **how}}
        view = {"buffer": 1, "byteOffset": self.plain_bytes, "byteLength": length, "target": target}
        self.views.append({**view, "extensions": packing})
        self.plain_bytes += length
        return len(self.views) - 1

    def _add_accessor(self, view: int, count: int, component: int, kind: str, **more: list) -> int:
        self.accessors.append({"bufferView": view, "componentType": component, "count": count, "type": kind, **more})
        return len(self.accessors) - 1

    def _add_attribute(self, name: str, values: np.ndarray) -> int:
        """Append the numbers (V, k) of an attribute; return the index of its accessor."""
        values = values.astype("<f4")
        if self.packed:
            data, values = pack_numbers(values, name)
            how = {"mode": "ATTRIBUTES", "filter": "EXPONENTIAL"}
            view = self._add_packed(data, len(values), 4 * values.shape[1], ARRAY_BUFFER, **how)
        else:
            view = self.add(values.tobytes(), target=ARRAY_BUFFER)
        bounds = {"min": values.min(0).tolist(), "max": values.max(0).tolist()} if name == "POSITION" else {}
        return self._add_accessor(view, len(values), FLOAT, f"VEC{values.shape[1]}", **bounds)

    def add_triangles(
        self, xyz: np.ndarray, normals: np.ndarray | None, faces: np.ndarray, uv: np.ndarray | None, material: int
    ) -> dict:
        """Append a triangle mesh; return its glTF primitive."""
        if self.packed:
            faces, order = reordered(faces, len(xyz))
            xyz = xyz[order]
            normals, uv = (None if a is None else a[order] for a in (normals, uv))
        attributes = {"POSITION": self._add_attribute("POSITION", xyz)}
        if normals is not None:
            attributes["NORMAL"] = self._add_attribute("NORMAL", normals)
        if uv is not None:  # glTF's uv starts at the top left
            attributes["TEXCOORD_0"] = self._add_attribute("TEXCOORD_0", np.column_stack([uv[:, 0], 1 - uv[:, 1]]))
        if self.packed:
            data = pack_triangles(faces)
            view = self._add_packed(data, faces.size, 4, ELEMENT_ARRAY_BUFFER, mode="TRIANGLES")
        else:
            view = self.add(faces.ravel().astype("<u4").tobytes(), target=ELEMENT_ARRAY_BUFFER)
        corners = self._add_accessor(view, faces.size, UNSIGNED_INT, "SCALAR")
        return {"attributes": attributes, "indices": corners, "material": material}

    def described(self) -> dict:
        """Return the entries of the glTF document that describe the buffers."""
        buffers: list[dict] = [{"byteLength": sum(map(len, self.blobs))}]
        found: dict[str, list] = {"bufferViews": self.views, "accessors": self.accessors, "buffers": buffers}
        if self.packed:  # a reader that does not know the extension must not open the file
            buffers.append({"byteLength": self.plain_bytes, "extensions": {NAME: {"fallback": True}}})
            found["extensionsRequired"] = [NAME]
        return found


def write_glb(path: Path, mesh: Mesh, style: Style) -> list[Path]:
    """Write glTF 2.0 binary (Khronos 2021): a JSON chunk, then a binary one. Unlit where the viewer can, else matt.

    With `style.lit`, or without a texture, the viewer's lamps shade it by the normals at the vertices. With
    `style.meshopt`, numbers are rounded and packed (EXT_meshopt_compression).
    """
    buffer = _GlbBuffer(style.meshopt)
    tree = _gltf_tree(buffer, mesh, style) | buffer.described()
    if style.meshopt:
        tree["extensionsUsed"] = [*tree.get("extensionsUsed", []), NAME]
    body = b"".join(buffer.blobs)
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
