"""Write meshes, point clouds and colour pictures of maps.

Every 3-D file has x right, y up, z towards the viewer, (x, -y, -z) of camera 1, the way up that viewers show, unless
other axes are asked for (`AXES`); where gravity is known the model stands upright. The file states the matrix from
camera 1 to its axes, so that a reader can turn the model back.
"""

import json
import os
import re
import struct
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from .errors import StereoError
from .files import replacing
from .geometry import vertex_normals
from .records import Mesh, TexturedPart

__all__ = [
    "AXES",
    "PICTURES",
    "WRITERS",
    "colourise",
    "write_disparity_png",
    "write_mesh",
    "write_picture",
    "write_points",
]

PICTURES = (".png", ".jpg", ".jpeg")
TEXTURES = ("jpg", "png")
# from (right, down, forward), the axes of a levelled camera 1, to the axes of the file; each a rotation
AXES = {
    "y-up": np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]]),
    "z-up": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "camera": np.eye(3),
}
AXES_DESCRIPTIONS = {
    "y-up": "x right, y up, z towards the viewer",
    "z-up": "x right, y forward, z up",
    "camera": "x right, y down, z forward",
}
FILLED = np.array([255, 0, 255], np.uint8)  # colour of vertices that were not measured, on request
LEVEL = 0.9  # where gravity points along the view more than this, the picture's up tells the heading


@dataclass(frozen=True, eq=False)
class _Style:
    """The options of a writer. to_file: (3,3) from the frame of camera 1 to the file's axes.  words: those axes."""

    name: str
    unit: str
    to_file: np.ndarray
    words: str
    quality: int = 95
    texture: str = "jpg"
    mark_filled: bool = False

    @property
    def comments(self) -> list[str]:
        numbers = " ".join(f"{x:.12g}" for x in (self.to_file + 0.0).ravel())
        return [f"unit: {self.unit}", f"{self.words}; camera 1 at the origin", f"from camera 1: {numbers}"]

    def turned(self, X: np.ndarray) -> np.ndarray:
        """(N,3) from the frame of camera 1 to that of the file."""
        if np.abs(self.to_file).max(0).sum() == 3 and np.count_nonzero(self.to_file) == 3:  # mere exchanges and signs
            order, sign = np.abs(self.to_file).argmax(1), self.to_file.sum(1)
            return np.asarray(X, dtype=float)[:, order] * sign + 0.0  # + 0 makes -0 plain
        return np.asarray(X, dtype=float) @ self.to_file.T


def write_mesh(
    path: str | os.PathLike,
    mesh: Mesh,
    *,
    quality: int = 95,
    texture: str = "jpg",
    name: str | None = None,
    unit: str | None = None,
    axes: str = "y-up",
    down: np.ndarray | None = None,
    mark_filled: bool = False,
) -> list[Path]:
    """Write a mesh in the format of the suffix; return the files written, the mesh first.

    All or nothing: the files appear together when every byte is written, the OBJ last; after a failure earlier files
    are still in place.

    Parameters
    ----------
    path : path
        Its suffix is one of `WRITERS`. .obj: text, nine digits, with NAME.mtl and a texture for each photo in the same
        folder (names in ASCII without spaces, as MTL needs: `companions`). .glb: glTF 2.0 in one file, unlit, textures
        inside. .ply: binary, with normals, colours of the texture and sigma at the vertices (NaN: not measured).
        .stl: binary, the bare shape.
    mesh : Mesh
    quality : int
        Of the JPEG, 1 to 100.
    texture : str
        "jpg", or "png" for one without loss.
    name : str, optional
        Of the object; default: the file's.
    unit : str, optional
        Of the coordinates, stated in the file ("m", "mm"); None: the distance between the two cameras is one.
    axes : str
        One of `AXES`.
    down : (3,) float, optional
        Direction of gravity in the frame of camera 1; the model is turned so that it stands upright. None: camera 1
        was held level.
    mark_filled : bool
        In .ply, vertices with sigma NaN are magenta.

    Raises
    ------
    StereoError
        "unknown_format", "unwritable", "bad_option" or "empty_mesh".

    References
    ----------
    Khronos Group, glTF 2.0 Specification, 2021; Wavefront, Object Files (.obj), version 3.0.
    """
    path = Path(path)
    writer = _writer(path)
    if not len(mesh.faces):
        raise StereoError(
            "empty_mesh",
            f"{path}: nothing to write, the mesh has {len(mesh.vertices)} vertices and no triangle.",
            "Points alone are written by write_points.",
        )
    if not 1 <= quality <= 100:
        raise StereoError("bad_option", f"JPEG quality {quality}.", "Give 1 to 100.", quality=quality)
    check_axes(path, axes)
    if texture not in TEXTURES:
        raise StereoError("bad_option", f"there is no texture format {texture!r}.", f"Use {' or '.join(TEXTURES)}.")
    if mesh.texture is not None and mesh.uv is None:
        raise ValueError("write_mesh: a texture without uv")
    return writer(
        path,
        mesh,
        _Style(
            _plain(name or path.stem),
            _plain(unit) if unit else "baseline",
            AXES[axes] @ _levelled(down),
            AXES_DESCRIPTIONS[axes],
            quality,
            texture,
            mark_filled,
        ),
    )


def check_axes(path: str | os.PathLike, axes: str) -> None:
    """Raise StereoError("bad_option") for unknown axes, or axes that the format of the suffix cannot have."""
    if axes not in AXES:
        raise StereoError("bad_option", f"there are no axes {axes!r}.", f"Use {', '.join(AXES)}.")
    if Path(path).suffix.lower() == ".glb" and axes != "y-up":
        raise StereoError(
            "bad_option",
            f"glTF has y up, by its standard; {axes} would stand wrong in every viewer.",
            "Use another format, or leave --axes out.",
        )


def companions(path: str | os.PathLike, texture: str = "jpg", photos: int = 2) -> tuple[Path, ...]:
    """Return the files that belong to an OBJ: STEM.mtl, STEM_texture.jpg, STEM_texture2.jpg, ...

    `mtllib` takes several names parted by spaces and many readers take ASCII only, so a stem with characters other
    than letters, digits, dot, plus, dash and underscore has those replaced and a checksum of the stem appended, lest
    two models share a material. The texture is not STEM.jpg, which may well be the photo it was made from.

    Parameters
    ----------
    path : path
        The OBJ.
    texture : str
        Suffix of the textures without its dot.
    photos : int
        Number of textures.

    Returns
    -------
    tuple of Path
    """
    path = Path(path)
    stem = path.stem
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", stem):
        safe = re.sub(r"[^A-Za-z0-9_.+-]+", "_", stem).strip("_.+-") or "model"
        stem = f"{safe[:80]}-{zlib.crc32(os.fsencode(stem)):08x}"
    numbers = [name.removeprefix("photo") for name in _material_names(photos)]
    names = [f"{stem}.mtl", *(f"{stem}_texture{number}.{texture}" for number in numbers)]
    return tuple(path.with_name(name) for name in names)


def write_points(
    path: str | os.PathLike,
    points: np.ndarray,
    colours: np.ndarray | None = None,
    sigma: np.ndarray | None = None,
    *,
    unit: str | None = None,
    axes: str = "y-up",
    down: np.ndarray | None = None,
) -> Path:
    """Write a point cloud as binary .ply; return its path.

    Parameters
    ----------
    path : path
    points : (..., 3) float
        Frame of camera 1; NaN is left out.
    colours : (..., 3) uint8, optional
    sigma : (...) float, optional
    unit, axes, down
        As for `write_mesh`.
    """
    path = Path(path)
    _check_suffix(path, (".ply",))
    check_axes(path, axes)
    points = np.asarray(points, dtype=float).reshape(-1, 3)
    known = np.isfinite(points).all(1)
    style = _Style("", _plain(unit) if unit else "baseline", AXES[axes] @ _levelled(down), AXES_DESCRIPTIONS[axes])
    columns = _coordinates(style.turned(points[known]))
    if colours is not None:
        columns |= _colours(np.asarray(colours, dtype=np.uint8).reshape(-1, 3)[known])
    if sigma is not None:
        columns["sigma"] = np.asarray(sigma, dtype=np.float32).reshape(-1)[known]
    with replacing(path) as temporary, open(temporary, "wb") as f:
        _write_ply(f, columns, None, style.comments)
    return path


# ---------------------------------------------------------------------------------------------- pictures


def colourise(values: np.ndarray, lo: float | None = None, hi: float | None = None) -> np.ndarray:
    """Return a map in the colours of turbo, from lo (blue) to hi (red), unknown black.

    Parameters
    ----------
    values : (H, W) float
        NaN unknown.
    lo, hi : float, optional
        Default: the 1 % and 99 % quantiles of the known values.

    Returns
    -------
    (H, W, 3) uint8
        RGB.

    References
    ----------
    Mikhailov, Turbo, An Improved Rainbow Colormap for Visualization, 2019.
    """
    import cv2

    values = np.asarray(values, dtype=float)
    if values.ndim != 2:
        raise ValueError(f"colourise needs (H,W), got {values.shape}")
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(values.shape + (3,), np.uint8)
    lo = float(np.quantile(values[known], 0.01)) if lo is None else lo
    hi = float(np.quantile(values[known], 0.99)) if hi is None else hi
    level = np.clip((np.where(known, values, lo) - lo) / max(hi - lo, 1e-12), 0, 1)
    colour = cv2.applyColorMap(src=np.rint(255 * level).astype(np.uint8), colormap=cv2.COLORMAP_TURBO)[..., ::-1]
    return np.where(known[..., None], colour, np.uint8(0))


def write_disparity_png(
    path: str | os.PathLike, disparity: np.ndarray, *, lo: float | None = None, hi: float | None = None
) -> Path:
    """Write `colourise(disparity, lo, hi)` as a PNG to look at; `files.write_map` writes the numbers."""
    _check_suffix(Path(path), (".png",))
    return write_picture(path, colourise(disparity, lo, hi))


def write_picture(path: str | os.PathLike, picture: np.ndarray, *, quality: int = 95) -> Path:
    """Write a picture (H,W,3) u8 RGB or (H,W) u8 as .png or .jpg."""
    path = Path(path)
    _check_suffix(path, PICTURES)
    data = _encode(path.suffix.lower(), picture, quality)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return path


def _encode(suffix: str, picture: np.ndarray, quality: int) -> bytes:
    import cv2

    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or not (picture.ndim == 2 or picture.ndim == 3 and picture.shape[2] == 3):
        raise ValueError(f"a picture is (H,W,3) or (H,W) u8, got {picture.dtype} {picture.shape}")
    options = []
    if suffix != ".png":  # colour at full resolution: half of it shows at hard red edges
        options = [
            cv2.IMWRITE_JPEG_QUALITY,
            int(quality),
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ]
    try:
        good, data = cv2.imencode(
            ext=suffix, img=np.ascontiguousarray(picture[..., ::-1] if picture.ndim == 3 else picture), params=options
        )
    except cv2.error:
        good, data = False, np.zeros(0, np.uint8)
    if not good:
        raise StereoError(
            "unwritable",
            f"a picture of {picture.shape[1]} x {picture.shape[0]} cannot be encoded as {suffix}.",
            "JPEG ends at 65,535 px: use a smaller photo.",
        )
    return data.tobytes()


# ----------------------------------------------------------------------------------------------- writers


def _material_names(count: int) -> list[str]:
    """Return names for the photos: photo, photo2, photo3, ..."""
    return [f"photo{k or ''}" for k in [0, *range(2, count + 1)][:count]]


def _write_obj(path: Path, mesh: Mesh, style: _Style) -> list[Path]:
    """Write OBJ, MTL and pictures. Kd 1, no Ka, no Ks: the texture as it is, under whatever light the viewer has."""
    from .digits import format_rows

    parts = mesh.textured_parts()
    material, *textures = companions(path, style.texture, photos=len(parts))
    with ExitStack() as stack:  # leaves in reverse: the OBJ, opened first, is put in place last
        obj = stack.enter_context(replacing(path))
        if parts:
            mtl = stack.enter_context(replacing(material))
            for part, target in zip(parts, textures, strict=True):
                picture = _encode(target.suffix, part.texture, style.quality)
                stack.enter_context(replacing(target)).write_bytes(picture)
            mtl.write_text(_mtl_text(textures), encoding="ascii")
        with open(obj, "wb") as f:
            header = ["# stereo3d", *(f"# {line}" for line in style.comments)]
            header += [f"mtllib {material.name}"] if parts else []
            f.write("\n".join([*header, f"o {style.name.replace(' ', '_')}", ""]).encode("utf-8"))
            f.writelines(format_rows("v ", style.turned(mesh.vertices), "  \n"))
            _write_obj_faces(f, mesh, parts)
    return [path, material, *textures] if parts else [path]


def _mtl_text(textures: list[Path]) -> str:
    rows = ["# stereo3d"]
    for name, texture in zip(_material_names(len(textures)), textures, strict=True):
        rows += [f"newmtl {name}", "Ka 0 0 0", "Kd 1 1 1", "Ks 0 0 0", "d 1", "illum 1", f"map_Kd {texture.name}"]
    return "\n".join(rows) + "\n"


def _write_obj_faces(f: IO[bytes], mesh: Mesh, parts: tuple[TexturedPart, ...]) -> None:
    """Write the `vt`, `usemtl` and `f` lines, one group for each photo."""
    from .digits import format_rows

    corners = mesh.faces.astype(np.int64) + 1  # OBJ counts from 1
    if len(parts) < 2:  # vertex k has texture coordinate k
        groups = [(mesh.uv, corners, corners)]
    else:
        groups, count = [], 0
        for part in parts:  # each photo has coordinates for its own corners alone
            v = corners[part.faces]
            used, vt = np.unique(v, return_inverse=True)
            groups.append((part.uv[used - 1], v, vt.reshape(v.shape) + count + 1))
            count += len(used)
    for name, (uv, v, vt) in zip(_material_names(len(groups)), groups, strict=True):
        if uv is not None:
            f.writelines(format_rows("vt ", uv, " \n"))
        if parts:
            f.write(f"usemtl {name}\n".encode())
        if uv is None:
            f.writelines(format_rows("f ", v, "  \n"))
        else:
            f.writelines(format_rows("f ", np.stack([v, vt], -1).reshape(-1, 6), "/ / /\n"))


def _write_ply_mesh(path: Path, mesh: Mesh, style: _Style) -> list[Path]:
    columns = _coordinates(style.turned(mesh.vertices))
    normals = style.turned(vertex_normals(mesh.vertices, mesh.faces)).astype(np.float32)
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
        """Append bytes, padded to four; returns the index of their buffer view."""
        offset = sum(map(len, self.blobs))
        self.views.append({"buffer": 0, "byteOffset": offset, "byteLength": len(data), **view})
        self.blobs.append(data + b"\0" * (-len(data) % 4))
        return len(self.views) - 1

    def add_array(self, a: np.ndarray, kind: str, component: int, target: int, **more: list) -> int:
        """Append an array; returns the index of its accessor."""
        view = self.add(a.tobytes(), target=target)
        count = a.size if kind == "SCALAR" else len(a)
        self.accessors.append({"bufferView": view, "componentType": component, "count": count, "type": kind, **more})
        return len(self.accessors) - 1

    def add_triangles(self, xyz: np.ndarray, faces: np.ndarray, uv: np.ndarray | None, material: int) -> dict:
        """Append a triangle mesh; returns its glTF primitive."""
        xyz = xyz.astype("<f4")
        bounds = {"min": xyz.min(0).tolist(), "max": xyz.max(0).tolist()}
        attributes = {"POSITION": self.add_array(xyz, "VEC3", FLOAT, ARRAY_BUFFER, **bounds)}
        if uv is not None:  # glTF's uv starts at the top left
            uv = np.column_stack([uv[:, 0], 1 - uv[:, 1]]).astype("<f4")
            attributes["TEXCOORD_0"] = self.add_array(uv, "VEC2", FLOAT, ARRAY_BUFFER)
        corners = self.add_array(faces.ravel().astype("<u4"), "SCALAR", UNSIGNED_INT, ELEMENT_ARRAY_BUFFER)
        return {"attributes": attributes, "indices": corners, "material": material}


def _write_glb(path: Path, mesh: Mesh, style: _Style) -> list[Path]:
    """Write glTF 2.0 binary (Khronos 2021): a JSON chunk, then a binary one. Unlit where the viewer can, else matt."""
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


def _gltf_tree(buffer: _GlbBuffer, mesh: Mesh, style: _Style) -> dict:
    """Fill the buffer and return the glTF document, without the description of the buffer itself."""
    parts = mesh.textured_parts()
    if len(parts) < 2:
        primitives = [buffer.add_triangles(style.turned(mesh.vertices), mesh.faces, mesh.uv, 0)]
    else:
        primitives = []
        for k, part in enumerate(parts):
            used, faces = np.unique(mesh.faces[part.faces], return_inverse=True)
            if len(used):
                primitives.append(buffer.add_triangles(style.turned(mesh.vertices[used]), faces, part.uv[used], k))
    materials = [
        {
            "name": name,
            "doubleSided": True,
            "pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1},
        }
        for name in _material_names(max(1, len(parts)))
    ]
    tree = {
        "asset": {
            "version": "2.0",
            "generator": "stereo3d",
            "extras": {"unit": style.unit, "axes": " | ".join(style.comments[1:])},
        },
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": style.name}],
        "meshes": [{"name": style.name, "primitives": primitives}],
        "materials": materials,
    }
    if parts:
        tree["extensionsUsed"] = ["KHR_materials_unlit"]
        for k, material in enumerate(materials):
            material["extensions"] = {"KHR_materials_unlit": {}}
            material["pbrMetallicRoughness"]["baseColorTexture"] = {"index": k}
        tree["textures"] = [{"source": k, "sampler": 0} for k in range(len(parts))]
        tree["samplers"] = [SAMPLER]
        kind = "image/jpeg" if style.texture == "jpg" else "image/png"
        pictures = [_encode(f".{style.texture}", part.texture, style.quality) for part in parts]
        tree["images"] = [{"bufferView": buffer.add(picture), "mimeType": kind} for picture in pictures]
    return tree


def _write_stl(path: Path, mesh: Mesh, style: _Style) -> list[Path]:
    """Binary STL: 80 bytes of header, the number of faces, and of each its normal and three corners, all f32."""
    corners = style.turned(mesh.vertices).astype("<f4")[mesh.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), np.float32(1e-30))
    table = np.zeros(len(corners), dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    table["normal"], table["corners"] = normal, corners
    header = f"stereo3d unit: {style.unit}; {style.words}".encode()[:80].ljust(80)  # never begins with "solid"
    with replacing(path) as temporary, open(temporary, "wb") as f:
        f.write(header + struct.pack("<I", len(table)))
        f.write(table.data)
    return [path]


WRITERS = {".obj": _write_obj, ".ply": _write_ply_mesh, ".glb": _write_glb, ".stl": _write_stl}


# -------------------------------------------------------------------------------------------------- parts


def _levelled(down: np.ndarray | None) -> np.ndarray:
    """(3,3) from the frame of camera 1 to (right, down, forward) of a level one with the same heading."""
    if down is None:
        return np.eye(3)
    down = np.asarray(down, dtype=float)
    length = np.linalg.norm(down)
    if down.shape != (3,) or not length > 0:
        raise ValueError(f"down is a direction (3,), got {down}")
    down = down / length
    ahead = np.array([0, 0, 1.0]) if abs(down[2]) < LEVEL else np.array([0, -np.sign(down[2]), 0.0])
    forward = ahead - (ahead @ down) * down
    forward /= np.linalg.norm(forward)
    return np.stack([np.cross(down, forward), down, forward])


def _coordinates(X: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip("xyz", X.astype(np.float32).T, strict=True))


def _colours(rgb: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(("red", "green", "blue"), rgb.T, strict=True))


def _plain(text: str) -> str:
    """Without line ends and other control characters, which would break a header."""
    return "".join(c if c.isprintable() else "_" for c in text)


def _writer(path: Path):
    _check_suffix(path, tuple(WRITERS))
    return WRITERS[path.suffix.lower()]


def _check_suffix(path: Path, suffixes: tuple[str, ...]) -> None:
    if path.suffix.lower() not in suffixes:
        raise StereoError(
            "unknown_format",
            f"{path}: no writer for {path.suffix or 'files without suffix'} here.",
            f"Use {', '.join(suffixes)}.",
        )
