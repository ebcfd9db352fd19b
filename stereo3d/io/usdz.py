"""USDZ, which iPhones show in augmented reality."""

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np

from ..records import Mesh
from .atomic import replacing
from .pictures import encode
from .style import Style, material_names

ALIGNMENT = 64  # bytes, of the beginning of each file in the package
PADDING = 0x1986  # number of the extra field that fills up to it
LOCAL_HEADER = 30  # bytes before the name in a zip's local header


def write_usdz(path: Path, mesh: Mesh, style: Style) -> list[Path]:
    """Write a USDZ package: a zip without compression that holds model.usda, first, and the pictures.

    Metres, y up. By default the texture is the emissive colour, which no lamp changes; with `style.lit`, or without a
    texture, it is the diffuse one.

    References
    ----------
    Pixar, USDZ File Format Specification, 1.3; UsdPreviewSurface Specification, 2.6.
    """
    parts = mesh.textured_parts()
    names = material_names(max(1, len(parts)))
    files = {"model.usda": _usda(mesh, style, names)}
    for name, part in zip(names, parts, strict=False):
        files[f"textures/{name}.{style.texture}"] = encode(f".{style.texture}", part.texture, style.quality)
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as package:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)  # of 1980: the same mesh gives the same bytes
            assert package.fp is not None
            fill = -(package.fp.tell() + LOCAL_HEADER + len(name) + 4) % ALIGNMENT
            entry.extra = struct.pack("<HH", PADDING, fill) + bytes(fill)
            package.writestr(entry, data)
    return [path]


def _usda(mesh: Mesh, style: Style, names: list[str]) -> bytes:
    """The layer: one mesh and one material for each photo."""
    parts = mesh.textured_parts()
    vertices = style.to_file(mesh.vertices)
    normals = style.normals(mesh.vertices, mesh.faces)
    out = io.BytesIO()
    known = "" if style.unit == "m" else f"size unknown: 1 is one {style.unit}, which viewers take as one metre; "
    note = json.dumps(known + " | ".join(style.comments), ensure_ascii=False)
    out.write(_HEADER.replace("NOTE", note).encode("utf-8"))
    for k, name in enumerate(names):
        used, faces, uv = slice(None), mesh.faces, mesh.uv
        if len(parts) > 1:
            used, faces = np.unique(mesh.faces[parts[k].faces], return_inverse=True)
            faces, uv = faces.reshape(-1, 3), parts[k].uv[used]
            if not len(faces):
                continue
        _write_shape(out, name, vertices[used], normals[used], faces, uv)
    out.write(b'    def Scope "Materials"\n    {\n')
    for name in names:
        text = _MATERIAL if parts else _GREY
        colours = ("diffuseColor", "emissiveColor") if style.lit else ("emissiveColor", "diffuseColor")
        text = text.replace("SHOWN", colours[0]).replace("BLACK", colours[1])
        out.write(text.replace("NAME", name).replace("SUFFIX", style.texture).encode("ascii"))
    out.write(b"    }\n}\n")
    return out.getvalue()


def _write_shape(
    out: io.BytesIO, name: str, xyz: np.ndarray, normals: np.ndarray, faces: np.ndarray, uv: np.ndarray | None
) -> None:
    low, high = (", ".join(f"{x:.9g}" for x in corner) for corner in (xyz.min(0), xyz.max(0)))
    out.write(_SHAPE.replace("NAME", name).replace("EXTENT", f"({low}), ({high})").encode("ascii"))
    out.write(b"        int[] faceVertexCounts = [" + b",".join([b"3"] * len(faces)) + b"]\n")
    out.write(b"        int[] faceVertexIndices = [")
    _write_rows(out, faces, "", " ")
    _write_array(out, "point3f[] points", xyz)
    _write_array(out, "normal3f[] normals", np.round(normals, 4), vertex=True)
    if uv is not None:  # v runs up, as ours
        _write_array(out, "texCoord2f[] primvars:st", uv, vertex=True)
    out.write(b"    }\n")


def _write_array(out: io.BytesIO, name: str, table: np.ndarray, *, vertex: bool = False) -> None:
    out.write(f"        {name} = [".encode("ascii"))
    _write_rows(out, table, "(", ")")
    if vertex:
        out.seek(-1, io.SEEK_CUR)
        out.write(b' (\n            interpolation = "vertex"\n        )\n')


def _write_rows(out: io.BytesIO, table: np.ndarray, begin: str, end: str) -> None:
    """Write rows (a,b,c),(d,e,f),... and the closing bracket."""
    from .number_lines import format_rows

    separators = "," * (table.shape[1] - 1) + end
    out.writelines(format_rows(begin, table[:1], separators))
    out.writelines(format_rows(",\n" + begin, table[1:], separators))
    out.write(b"]\n")


_HEADER = """#usda 1.0
(
    customLayerData = {
        string creator = "stereo3d"
        string note = NOTE
    }
    defaultPrim = "Model"
    metersPerUnit = 1
    upAxis = "Y"
)

def Xform "Model" (
    kind = "component"
)
{
"""
_SHAPE = """    def Mesh "shape_NAME" (
        prepend apiSchemas = ["MaterialBindingAPI"]
    )
    {
        uniform bool doubleSided = 1
        float3[] extent = [EXTENT]
        rel material:binding = </Model/Materials/NAME>
        uniform token subdivisionScheme = "none"
"""
_MATERIAL = """        def Material "NAME"
        {
            token outputs:surface.connect = </Model/Materials/NAME/surface.outputs:surface>

            def Shader "surface"
            {
                uniform token info:id = "UsdPreviewSurface"
                color3f inputs:SHOWN.connect = </Model/Materials/NAME/picture.outputs:rgb>
                color3f inputs:BLACK = (0, 0, 0)
                float inputs:roughness = 1
                float inputs:metallic = 0
                token outputs:surface
            }

            def Shader "picture"
            {
                uniform token info:id = "UsdUVTexture"
                asset inputs:file = @textures/NAME.SUFFIX@
                float2 inputs:st.connect = </Model/Materials/NAME/uv.outputs:result>
                token inputs:sourceColorSpace = "sRGB"
                token inputs:wrapS = "clamp"
                token inputs:wrapT = "clamp"
                float3 outputs:rgb
            }

            def Shader "uv"
            {
                uniform token info:id = "UsdPrimvarReader_float2"
                string inputs:varname = "st"
                float2 outputs:result
            }
        }
"""
_GREY = """        def Material "NAME"
        {
            token outputs:surface.connect = </Model/Materials/NAME/surface.outputs:surface>

            def Shader "surface"
            {
                uniform token info:id = "UsdPreviewSurface"
                color3f inputs:diffuseColor = (0.5, 0.5, 0.5)
                float inputs:roughness = 1
                float inputs:metallic = 0
                token outputs:surface
            }
        }
"""
