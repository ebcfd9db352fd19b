"""Options shared by the mesh writers: axes, unit, texture, companion files."""

import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from ..errors import StereoError
from ..geometry.arrays import TINY, norms
from ..geometry.triangles import vertex_normals
from .units import metres_per

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
LIDAR = (".las", ".laz")
IN_METRES = (".glb", ".usdz", *LIDAR)  # formats whose standards fix the unit
LEVEL = 0.9  # where gravity points along the view more than this, the picture's up is the heading


class PointOptions(TypedDict, total=False):
    """The keywords of `write_points`; a test keeps both equal."""

    unit: str | None
    axes: str
    down: np.ndarray | None
    origin: np.ndarray | None


class MeshOptions(PointOptions, total=False):
    """The keywords of `write_mesh`; a test keeps both equal."""

    quality: int
    texture: str
    name: str | None
    mark_filled: bool
    lit: bool
    meshopt: bool


@dataclass(frozen=True, eq=False)
class Style:
    """Options of a writer, checked.

    Attributes
    ----------
    name : str
        Of the object, printable.
    unit : str
        Of the coordinates in the file.
    axes : str
        Name in `AXES`.
    file_from_cam1 : (3, 3) float64
        Rotation from the frame of camera 1 to the axes of the file.
    quality : int
        Of the JPEG.
    texture : str
        Name in `TEXTURES`.
    mark_filled : bool
        Colour the vertices that were not measured.
    lit : bool
        The viewer's lamps shade the surface; else it shows the texture as it is, where the format can say so.
    scale : float
        Length of the mesh's unit in the file's.
    origin : (3,) float64, optional
        Point in the frame of camera 1, in the mesh's unit, that is the origin of the file; None: camera 1.
    meshopt : bool
        Pack the numbers of a .glb.
    """

    name: str
    unit: str
    axes: str
    file_from_cam1: np.ndarray
    quality: int = 95
    texture: str = "jpg"
    mark_filled: bool = False
    lit: bool = False
    scale: float = 1.0
    origin: np.ndarray | None = None
    meshopt: bool = False

    @property
    def comments(self) -> list[str]:
        """The lines that state unit, axes, rotation and, where it is not at the origin, camera 1 in a file's head."""
        numbers = " ".join(f"{x:.12g}" for x in (self.file_from_cam1 + 0.0).ravel())
        place = "camera 1 at the origin"
        lines = [f"unit: {self.unit}", f"{AXES_DESCRIPTIONS[self.axes]}; {place}", f"from camera 1: {numbers}"]
        if self.origin is None:
            return lines
        at = " ".join(f"{x:.12g}" for x in self.to_file(np.zeros((1, 3)))[0])
        return [
            lines[0],
            lines[1].replace(place, "its origin is not camera 1"),
            lines[2],
            f"camera 1 at: {at}",
        ]

    def to_file(self, X: np.ndarray) -> np.ndarray:
        """Move points (N, 3) from the frame of camera 1 into the axes, unit and origin of the file."""
        moved = X if self.origin is None else np.asarray(X, dtype=float) - self.origin
        return self.to_file_axes(moved if self.scale == 1 else np.asarray(moved, dtype=float) * self.scale)

    def to_file_axes(self, X: np.ndarray) -> np.ndarray:
        """Rotate directions or points (N, 3) from the frame of camera 1 to the axes of the file."""
        R = self.file_from_cam1
        if np.abs(R).max(0).sum() == 3 and np.count_nonzero(R) == 3:  # a signed permutation: exact without products
            order, sign = np.abs(R).argmax(1), R.sum(1)
            return np.asarray(X, dtype=float)[:, order] * sign + 0.0  # + 0 turns -0 into 0
        return np.asarray(X, dtype=float) @ R.T

    def normals(self, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Return the normals (V, 3) at the vertices, towards the outside, in the axes of the file; each of length 1.

        A vertex whose faces have no area, or that has no face, gets the direction to camera 1: viewers expect unit
        length.
        """
        n = vertex_normals(vertices, faces)
        none = ~(norms(n) > 0.5)
        if none.any():
            length = norms(vertices[none])[:, None]
            n[none] = np.where(length > 0, -vertices[none] / np.maximum(length, TINY), [0, 0, -1])
        return self.to_file_axes(n)


def check_axes(path: str | os.PathLike, axes: str) -> None:
    """Raise StereoError("bad_option") for unknown axes, or axes that the format of the suffix cannot have."""
    if axes not in AXES:
        raise StereoError("bad_option", f"there are no axes {axes!r}.", f"Use {', '.join(AXES)}.")
    if Path(path).suffix.lower() in LIDAR and axes == "camera":
        raise StereoError(
            "bad_option", "LAS has z up, by its standard.", "Use .ply, .xyz or .pcd, or leave --axes out."
        )
    form = {".glb": "glTF", ".usdz": "USDZ"}.get(Path(path).suffix.lower())
    if form and axes != "y-up":
        raise StereoError(
            "bad_option",
            f"{form} has y up, by its standard; {axes} would be shown rotated in every viewer.",
            "Use another format, or leave --axes out.",
        )


def companions(path: str | os.PathLike, texture: str = "jpg", photos: int = 2) -> tuple[Path, ...]:
    """Return the files that belong to an OBJ: STEM.mtl, STEM_texture.jpg, STEM_texture2.jpg, ...

    `mtllib` takes several names separated by spaces and many readers take ASCII only, so a stem with characters other
    than letters, digits, dot, plus, dash and underscore has those replaced and a checksum of the stem appended, so
    that no two models share a material. The texture is not STEM.jpg, which may be the photo it was made from.

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
    numbers = [name.removeprefix("photo") for name in material_names(photos)]
    names = [f"{stem}.mtl", *(f"{stem}_texture{number}.{texture}" for number in numbers)]
    return tuple(path.with_name(name) for name in names)


def material_names(count: int) -> list[str]:
    """Return names for the photos: photo, photo2, photo3, ..."""
    return [f"photo{k or ''}" for k in [0, *range(2, count + 1)][:count]]


def rotation_to_file(axes: str, down: np.ndarray | None) -> np.ndarray:
    """(3, 3) from the frame of camera 1 to `axes` of a file, upright where the direction of gravity `down` is known."""
    return AXES[axes] @ _levelled(down)


def _levelled(down: np.ndarray | None) -> np.ndarray:
    """(3, 3) from the frame of camera 1 to (right, down, forward) of a level camera with the same heading."""
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


def middle_of(points: np.ndarray, file_from_cam1: np.ndarray) -> np.ndarray:
    """Return the middle (3,), in the frame of camera 1, of the box of points (N, 3) along the axes of a file."""
    X = points @ file_from_cam1.T
    return file_from_cam1.T @ ((X.min(0) + X.max(0)) / 2)


def unit_of_file(path: Path, unit: str | None) -> tuple[str, float]:
    """Return the unit that a file of this suffix has, and the length of the model's unit in it.

    glTF, USDZ and LAS demand metres. Where the model's unit has no known length it stays as it is.
    """
    metres = metres_per(unit) if path.suffix.lower() in IN_METRES else None
    return ("m", metres) if metres is not None else (plain(unit) if unit else "baseline", 1.0)


def plain(text: str) -> str:
    """Return text with "_" for line ends and other control characters, which would break a header."""
    return "".join(c if c.isprintable() else "_" for c in text)


def check_suffix(path: Path, suffixes: tuple[str, ...]) -> None:
    """Raise StereoError("unknown_format") unless the path has one of the suffixes, in either case."""
    if path.suffix.lower() not in suffixes:
        raise StereoError(
            "unknown_format",
            f"{path}: no writer for {path.suffix or 'files without suffix'} here.",
            f"Use {', '.join(suffixes)}.",
        )
