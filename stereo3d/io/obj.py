"""Wavefront OBJ with material and textures."""

from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np

from ..records import Mesh, TexturedPart
from .atomic import replacing, together
from .pictures import encode
from .style import Style, companions, material_names

NORMAL_DECIMALS = 4  # of a component: .006 degrees


def write_obj(path: Path, mesh: Mesh, style: Style) -> list[Path]:
    """Write OBJ, MTL and pictures, with normals at the vertices.

    Ka 1 and Kd 1, no Ks: under a viewer's ambient light and lamps the texture keeps its brightness. Without
    `style.lit` the material asks for no shading at all (illum 0), which many viewers ignore.
    """
    from .number_lines import format_rows

    parts = mesh.textured_parts()
    material, *textures = companions(path, style.texture, photos=len(parts))
    with together(), ExitStack() as stack:  # leaves in reverse: the OBJ, opened first, is put in place last
        obj = stack.enter_context(replacing(path))
        if parts:
            mtl = stack.enter_context(replacing(material))
            for part, target in zip(parts, textures, strict=True):
                picture = encode(target.suffix, part.texture, style.quality)
                stack.enter_context(replacing(target)).write_bytes(picture)
            mtl.write_text(_mtl_text(textures, style.lit), encoding="ascii")
        with open(obj, "wb") as f:
            header = ["# stereo3d", *(f"# {line}" for line in style.comments)]
            header += [f"mtllib {material.name}"] if parts else []
            f.write("\n".join([*header, f"o {style.name.replace(' ', '_')}", ""]).encode("utf-8"))
            f.writelines(format_rows("v ", style.to_file(mesh.vertices), "  \n"))
            f.writelines(
                format_rows("vn ", np.round(style.normals(mesh.vertices, mesh.faces), NORMAL_DECIMALS), "  \n")
            )
            _write_obj_faces(f, mesh, parts)
    return [path, material, *textures] if parts else [path]


def _mtl_text(textures: list[Path], lit: bool) -> str:
    rows = ["# stereo3d"]
    for name, texture in zip(material_names(len(textures)), textures, strict=True):
        rows += [f"newmtl {name}", "Ka 1 1 1", "Kd 1 1 1", "Ks 0 0 0", "d 1", f"illum {int(lit)}"]
        rows += [f"map_Ka {texture.name}", f"map_Kd {texture.name}"]
    return "\n".join(rows) + "\n"


def _write_obj_faces(f: IO[bytes], mesh: Mesh, parts: tuple[TexturedPart, ...]) -> None:
    """Write the `vt`, `usemtl` and `f` lines, one group for each photo."""
    from .number_lines import format_rows

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
    for name, (uv, v, vt) in zip(material_names(len(groups)), groups, strict=True):
        if uv is not None:
            f.writelines(format_rows("vt ", uv, " \n"))
        if parts:
            f.write(f"usemtl {name}\n".encode())
        if uv is None:
            rows = format_rows("f ", np.stack([v, v], -1).reshape(-1, 6), "/ / /\n")
            f.writelines(bytes(chunk).replace(b"/", b"//") for chunk in rows)
        else:
            f.writelines(format_rows("f ", np.stack([v, vt, v], -1).reshape(-1, 9), "// // //\n"))
