"""Meshes, point clouds and colour pictures of maps on disk.

Every 3-D file has x right, y up, z towards the viewer, (x, -y, -z) of camera 1: the way up that viewers show.
"""

import json
import os
import re
import struct
import zlib
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from .errors import StereoError
from .files import replacing
from .geometry import vertex_normals
from .records import Mesh

__all__ = ["PICTURES", "WRITERS", "check_writable", "colourise", "write_disparity_png", "write_mesh", "write_picture",
           "write_points"]  # fmt: skip

PICTURES = (".png", ".jpg", ".jpeg")
CHUNK = 65_536  # lines formatted at a time
AXES = "x right, y up, z towards the viewer; camera 1 at the origin"


def write_mesh(
    path: str | os.PathLike, mesh: Mesh, *, quality: int = 95, name: str | None = None, unit: str | None = None
) -> list[Path]:
    """Write a mesh in the format of the suffix, one of `WRITERS`; returns the files written, the mesh first.

    .obj: text, nine digits, with NAME.mtl and NAME_texture.jpg beside it (names in ASCII without spaces, as MTL
    asks for: `companions`).  .glb: glTF 2.0 in one file, unlit, texture inside.  .ply: binary, normals, colours of the
    texture and sigma at the vertices.  quality: of the JPEG, 1..100.  name: of the object, default the file's.
    unit: of the coordinates, told in the file ("m", "mm"; None: the distance between the two cameras is one).

    All or nothing: the files appear together when every byte is written, the OBJ last; after a failure what was there
    before is there still. Raises StereoError("unknown_format" | "unwritable").
    """
    path = Path(path)
    writer = _writer(path)
    if not 1 <= quality <= 100:
        raise StereoError("bad_option", f"JPEG quality {quality}.", "Give 1 to 100.", quality=quality)
    if mesh.texture is not None and mesh.uv is None:
        raise ValueError("write_mesh: a texture without uv")
    return writer(path, mesh, quality, _plain(name or path.stem), f"unit: {_plain(unit) if unit else 'baseline'}")


def check_writable(path: str | os.PathLike, *, suffixes: tuple[str, ...] | None = None) -> None:
    """Before any work: is `path` of a known suffix and can it be made? Writes nothing.

    suffixes: those allowed; None: those of `WRITERS`. Raises StereoError("unknown_format" | "unwritable").
    """
    path = Path(path)
    _check_suffix(path, tuple(WRITERS) if suffixes is None else suffixes)
    try:
        for target in (path, *companions(path)) if path.suffix.lower() == ".obj" else (path,):
            if target.is_dir():
                raise StereoError("unwritable", f"cannot write {target}: it is a folder.", "Name a file.")
            with suppress(FileNotFoundError, NotADirectoryError):
                target.lstat()  # a name the system cannot take is refused here
        folder = path.absolute().parent
        while not folder.exists():
            folder = folder.parent
    except (OSError, ValueError) as error:
        raise StereoError("unwritable", f"cannot write {str(path)!r}: {error}.", "Choose another name.") from error
    if not folder.is_dir():
        raise StereoError("unwritable", f"cannot write {path}: {folder} is not a folder.", "Choose another folder.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StereoError("unwritable", f"cannot write {path}: no right to write in {folder}.",
                          "Choose a folder that is writable.")  # fmt: skip


def companions(path: str | os.PathLike) -> tuple[Path, Path]:
    """The material file and the texture that belong to an OBJ: STEM.mtl and STEM_texture.jpg in the same folder.

    `mtllib` takes several names parted by spaces and many readers take ASCII only, so a stem with other characters than
    letters, digits, dot, plus, dash and underscore has those replaced and a checksum of the stem put behind, lest two
    models share a material. The texture is not plain STEM.jpg, which may well be the photo it was made from.
    """
    path = Path(path)
    stem = path.stem
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", stem):
        safe = re.sub(r"[^A-Za-z0-9_.+-]+", "_", stem).strip("_.+-") or "model"
        stem = f"{safe[:80]}-{zlib.crc32(os.fsencode(stem)):08x}"
    return path.with_name(f"{stem}.mtl"), path.with_name(f"{stem}_texture.jpg")


def write_points(
    path: str | os.PathLike,
    points: np.ndarray,
    colours: np.ndarray | None = None,
    sigma: np.ndarray | None = None,
    *,
    unit: str | None = None,
) -> Path:
    """Write a point cloud (binary .ply) from points (...,3), NaN left out, colours (...,3) u8, sigma (...)."""
    path = Path(path)
    _check_suffix(path, (".ply",))
    points = np.asarray(points, dtype=float).reshape(-1, 3)
    known = np.isfinite(points).all(1)
    columns = _coordinates(points[known])
    if colours is not None:
        columns |= _colours(np.asarray(colours, dtype=np.uint8).reshape(-1, 3)[known])
    if sigma is not None:
        columns["sigma"] = np.asarray(sigma, dtype=np.float32).reshape(-1)[known]
    with replacing(path) as temporary, open(temporary, "wb") as f:
        _write_ply(f, columns, None, f"unit: {_plain(unit) if unit else 'baseline'}")
    return path


# ---------------------------------------------------------------------------------------------- pictures


def colourise(values: np.ndarray, lo: float | None = None, hi: float | None = None) -> np.ndarray:
    """A map (H,W), NaN unknown, in the colours of turbo from lo (blue) to hi (red), unknown black: (H,W,3) u8 RGB.

    lo, hi: default the 1 % and 99 % quantiles of what is known. Source of the colours: A. Mikhailov, Turbo, 2019.
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
    """Write `colourise(disparity, lo, hi)` as a PNG, to look at; `files.write_map` writes the numbers."""
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
        options = [cv2.IMWRITE_JPEG_QUALITY, int(quality),
                   cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]  # fmt: skip
    try:
        good, data = cv2.imencode(ext=suffix, img=np.ascontiguousarray(picture[..., ::-1] if picture.ndim == 3
                                                                       else picture), params=options)  # fmt: skip
    except cv2.error:
        good = False
    if not good:
        raise StereoError("unwritable", f"a picture of {picture.shape[1]} x {picture.shape[0]} cannot be encoded as "
                          f"{suffix}.", "JPEG ends at 65,535 px: use a smaller photo.")  # fmt: skip
    return data.tobytes()


# ----------------------------------------------------------------------------------------------- writers


def _write_obj(path: Path, mesh: Mesh, quality: int, name: str, unit: str) -> list[Path]:
    """OBJ + MTL + JPEG. Kd 1, no Ka, no Ks: the texture as it is, under whatever light the viewer has."""
    material, texture = companions(path)
    textured = mesh.texture is not None
    with ExitStack() as stack:  # leaves in reverse: the OBJ, named first, is put in place last
        obj = stack.enter_context(replacing(path))
        if textured:
            mtl, jpg = stack.enter_context(replacing(material)), stack.enter_context(replacing(texture))
            jpg.write_bytes(_encode(".jpg", mesh.texture, quality))
            mtl.write_text(
                f"# stereo3d\nnewmtl photo\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nd 1\nillum 1\nmap_Kd {texture.name}\n",
                encoding="ascii",
            )
        with open(obj, "w", encoding="utf-8", newline="\n") as f:
            f.write(f"# stereo3d\n# {unit}\n# {AXES}\n")
            if textured:
                f.write(f"mtllib {material.name}\n")
            f.write(f"o {name.replace(' ', '_')}\n")
            _write_lines(f, "v %.9g %.9g %.9g\n", _y_up(mesh.vertices))
            if mesh.uv is not None:
                _write_lines(f, "vt %.9g %.9g\n", mesh.uv)
            if textured:
                f.write("usemtl photo\n")
            first_is_one = mesh.faces.astype(np.int64) + 1
            if mesh.uv is None:
                _write_lines(f, "f %d %d %d\n", first_is_one)
            else:
                _write_lines(f, "f %d/%d %d/%d %d/%d\n", np.repeat(first_is_one, 2, axis=1))
    return [path, material, texture] if textured else [path]


def _write_lines(f, line: str, rows: np.ndarray) -> None:
    """One line for each row. One C-level % over thousands of lines is ten times as fast as a loop over them."""
    for i in range(0, len(rows), CHUNK):
        some = rows[i : i + CHUNK]
        f.write(line * len(some) % tuple(some.ravel().tolist()))


def _write_ply_mesh(path: Path, mesh: Mesh, quality: int, name: str, unit: str) -> list[Path]:
    columns = _coordinates(mesh.vertices)
    normals = _y_up(vertex_normals(mesh.vertices, mesh.faces)).astype(np.float32)
    columns |= dict(zip(("nx", "ny", "nz"), normals.T, strict=True))
    if mesh.texture is not None:
        height, width = mesh.texture.shape[:2]
        x = np.clip((mesh.uv[:, 0] * width).astype(int), 0, width - 1)
        y = np.clip(((1 - mesh.uv[:, 1]) * height).astype(int), 0, height - 1)
        columns |= _colours(mesh.texture[y, x])
    if mesh.sigma is not None:
        columns["sigma"] = mesh.sigma.astype(np.float32)
    with replacing(path) as temporary, open(temporary, "wb") as f:
        _write_ply(f, columns, mesh.faces, unit)
    return [path]


def _write_ply(f, columns: dict[str, np.ndarray], faces: np.ndarray | None, unit: str) -> None:
    """Binary little-endian PLY; columns: name -> (V,) f32 or u8, in this order."""
    kinds = {np.dtype(np.float32): ("float", "<f4"), np.dtype(np.uint8): ("uchar", "u1")}
    count = len(next(iter(columns.values())))
    header = ["ply", "format binary_little_endian 1.0", f"comment {unit}", f"comment {AXES}", f"element vertex {count}"]
    header += [f"property {kinds[c.dtype][0]} {key}" for key, c in columns.items()]
    if faces is not None:
        header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    f.write(("\n".join(header) + "\nend_header\n").encode("utf-8"))
    table = np.empty(count, dtype=[(key, kinds[c.dtype][1]) for key, c in columns.items()])
    for key, c in columns.items():
        table[key] = c
    f.write(table.tobytes())
    if faces is not None:
        lists = np.empty(len(faces), dtype=[("n", "u1"), ("corners", "<i4", 3)])
        lists["n"], lists["corners"] = 3, faces
        f.write(lists.tobytes())


def _write_glb(path: Path, mesh: Mesh, quality: int, name: str, unit: str) -> list[Path]:
    """glTF 2.0 binary (Khronos 2021): a JSON chunk and one of bytes. Unlit where the viewer knows how, else matt."""
    blobs, views, accessors = [], [], []

    def add(data: bytes, **view) -> int:
        views.append({"buffer": 0, "byteOffset": sum(map(len, blobs)), "byteLength": len(data), **view})
        blobs.append(data + b"\0" * (-len(data) % 4))
        return len(views) - 1

    def accessor(a: np.ndarray, kind: str, component: int, target: int, **more) -> int:
        accessors.append({"bufferView": add(a.tobytes(), target=target), "componentType": component,
                          "count": a.size if kind == "SCALAR" else len(a), "type": kind, **more})  # fmt: skip
        return len(accessors) - 1

    FLOAT, UINT, VERTICES, INDICES = 5126, 5125, 34962, 34963
    xyz = _y_up(mesh.vertices).astype("<f4")
    bounds = {"min": xyz.min(0).tolist(), "max": xyz.max(0).tolist()}
    attributes = {"POSITION": accessor(xyz, "VEC3", FLOAT, VERTICES, **bounds)}
    if mesh.uv is not None:  # glTF's uv starts at the top left
        uv = np.column_stack([mesh.uv[:, 0], 1 - mesh.uv[:, 1]]).astype("<f4")
        attributes["TEXCOORD_0"] = accessor(uv, "VEC2", FLOAT, VERTICES)
    corners = accessor(mesh.faces.ravel().astype("<u4"), "SCALAR", UINT, INDICES)
    surface = {"metallicFactor": 0, "roughnessFactor": 1}
    tree = {
        "asset": {"version": "2.0", "generator": "stereo3d", "extras": {"unit": unit.removeprefix("unit: ")}},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [{"name": name, "primitives": [{"attributes": attributes, "indices": corners, "material": 0}]}],
        "materials": [{"name": "photo", "pbrMetallicRoughness": surface, "doubleSided": True}],
    }
    if mesh.texture is None:
        del tree["extensionsUsed"]
    else:
        tree["materials"][0]["extensions"] = {"KHR_materials_unlit": {}}
        surface["baseColorTexture"] = {"index": 0}
        tree["textures"] = [{"source": 0, "sampler": 0}]
        tree["samplers"] = [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}]  # mipmaps; clamp
        tree["images"] = [{"bufferView": add(_encode(".jpg", mesh.texture, quality)), "mimeType": "image/jpeg"}]
    body = b"".join(blobs)
    tree |= {"bufferViews": views, "accessors": accessors, "buffers": [{"byteLength": len(body)}]}
    text = json.dumps(tree, ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 4)
    with replacing(path) as temporary, open(temporary, "wb") as f:
        f.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(body)))
        f.write(struct.pack("<I4s", len(text), b"JSON") + text)
        f.write(struct.pack("<I4s", len(body), b"BIN\0") + body)
    return [path]


WRITERS = {".obj": _write_obj, ".ply": _write_ply_mesh, ".glb": _write_glb}


# -------------------------------------------------------------------------------------------------- parts


def _y_up(X: np.ndarray) -> np.ndarray:
    """(x, -y, -z): a half turn about x, from the frame of camera 1 to that of the files. (N,3)."""
    return np.asarray(X, dtype=float) * [1, -1, -1] + 0.0  # + 0 makes -0 plain


def _coordinates(X: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip("xyz", _y_up(X).astype(np.float32).T, strict=True))


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
        raise StereoError("unknown_format", f"{path}: no writer for {path.suffix or 'files without suffix'} here.",
                          f"Use {', '.join(suffixes)}.")  # fmt: skip
