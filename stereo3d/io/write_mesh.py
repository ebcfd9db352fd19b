"""Write a mesh by the suffix of its file name."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import StereoError
from ..records import Mesh
from .glb import write_glb
from .meshopt_compression import check_meshopt
from .obj import write_obj
from .ply import write_ply_mesh
from .stl import write_stl
from .style import TEXTURES, Style, check_axes, check_suffix, plain, rotation_to_file, unit_of_file
from .usdz import write_usdz


def write_mesh(  # noqa: PLR0913 - the signature is the list of options
    path: str | os.PathLike[str],
    mesh: Mesh,
    *,
    quality: int = 95,
    texture: str = "jpg",
    name: str | None = None,
    unit: str | None = None,
    axes: str = "y-up",
    down: np.ndarray | None = None,
    mark_filled: bool = False,
    lit: bool = False,
    origin: np.ndarray | None = None,
    meshopt: bool = False,
) -> list[Path]:
    """Write a mesh in the format of the suffix; return the files written, the mesh first.

    All or nothing: the files appear together when every byte is written, the OBJ last; after a failure earlier files
    are still in place.

    Parameters
    ----------
    path : path
        Its suffix is one of `WRITERS`. .obj: text, nine digits, with normals, NAME.mtl and a texture for each photo in
        the same folder (names in ASCII without spaces, as MTL needs: `companions`). .glb: glTF 2.0 in one file,
        textures inside, in metres where the unit's length is known (`METRES_PER_UNIT`). .ply: binary, with normals,
        colours of the texture and sigma at the vertices (NaN: not measured). .stl: binary, the bare shape.
        .usdz: one file for iPhones, in metres as .glb.
    mesh : Mesh
        With at least one face.
    quality : int
        Of the JPEG, 1 to 100.
    texture : str
        "jpg", or "png" for one without loss.
    name : str, optional
        Of the object; default: the file's.
    unit : str, optional
        Of the coordinates, stated in the file ("m", "mm"); None: the distance between the two cameras is 1.
    axes : str
        One of `AXES`.
    down : (3,) float, optional
        Direction of gravity in the frame of camera 1; the model is rotated to be upright. None: camera 1 was
        held level.
    mark_filled : bool
        In .ply, vertices with sigma NaN are magenta.
    lit : bool
        In .obj, .glb and .usdz, the viewer's lamps shade the surface; by default it shows the texture as it is.
    origin : (3,) float, optional
        Point in the frame of camera 1 that is the origin of the file; None: camera 1.
    meshopt : bool
        Pack the numbers of a .glb by EXT_meshopt_compression (extra `meshopt`), positions rounded to 2^-18 of the
        distance from the origin.

    Returns
    -------
    list of Path

    Raises
    ------
    StereoError
        "unknown_format", "unwritable", "bad_option", "empty_mesh", or "library_missing" for `meshopt`.
    ValueError
        For a mesh of another kind, such as a Result, whose `mesh` it is.

    References
    ----------
    Khronos Group, glTF 2.0 Specification, 2021; Wavefront, Object Files (.obj), version 3.0.
    """
    if not isinstance(mesh, Mesh):
        raise ValueError(f"write_mesh(path, mesh): mesh must be a Mesh, got {type(mesh).__name__}")
    path = Path(path)
    writer = _writer(path)
    _check(path, mesh, quality, texture, axes)
    rotation = rotation_to_file(axes, down)
    if meshopt:
        check_meshopt(path)
    unit, scale = unit_of_file(path, unit)
    look = {"lit": lit, "scale": scale, "origin": origin, "meshopt": meshopt}
    style = Style(plain(name or path.stem), unit, axes, rotation, quality, texture, mark_filled, **look)
    return writer(path, mesh, style)


def _check(path: Path, mesh: Mesh, quality: int, texture: str, axes: str) -> None:
    """Refuse a mesh that cannot be written, and options out of their range."""
    if not len(mesh.faces):
        raise StereoError(
            "empty_mesh",
            f"{path}: the mesh has {len(mesh.vertices)} vertices and no triangle.",
            "Points alone are written by write_points.",
        )
    if not 1 <= quality <= 100:
        raise StereoError("bad_option", f"the JPEG quality cannot be {quality}.", "It is 1 to 100.", quality=quality)
    check_axes(path, axes)
    if texture not in TEXTURES:
        raise StereoError("bad_option", f"there is no texture format {texture!r}.", f"Use {' or '.join(TEXTURES)}.")
    if mesh.texture is not None and mesh.uv is None:
        raise ValueError("write_mesh: a texture without uv")


WRITERS = {".obj": write_obj, ".ply": write_ply_mesh, ".glb": write_glb, ".stl": write_stl, ".usdz": write_usdz}


def _writer(path: Path) -> Callable[[Path, Mesh, Style], list[Path]]:
    check_suffix(path, tuple(WRITERS))
    return WRITERS[path.suffix.lower()]
