"""Options shared by the mesh writers: axes, unit, texture, companion files."""

import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from ..errors import StereoError

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
LEVEL = 0.9  # where gravity points along the view more than this, the picture's up is the heading


class PointOptions(TypedDict, total=False):
    """The keywords of `write_points`; a test keeps both equal."""

    unit: str | None
    axes: str
    down: np.ndarray | None


class MeshOptions(PointOptions, total=False):
    """The keywords of `write_mesh`; a test keeps both equal."""

    quality: int
    texture: str
    name: str | None
    mark_filled: bool


@dataclass(frozen=True, eq=False)
class Style:
    """Options of a writer, checked.

    Attributes
    ----------
    name : str
        Of the object, printable.
    unit : str
        Of the coordinates.
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
    """

    name: str
    unit: str
    axes: str
    file_from_cam1: np.ndarray
    quality: int = 95
    texture: str = "jpg"
    mark_filled: bool = False

    @property
    def comments(self) -> list[str]:
        """The lines that state unit, axes and rotation in the head of a file."""
        numbers = " ".join(f"{x:.12g}" for x in (self.file_from_cam1 + 0.0).ravel())
        description = AXES_DESCRIPTIONS[self.axes]
        return [f"unit: {self.unit}", f"{description}; camera 1 at the origin", f"from camera 1: {numbers}"]

    def to_file_axes(self, X: np.ndarray) -> np.ndarray:
        """Rotate points (N, 3) from the frame of camera 1 to the axes of the file."""
        R = self.file_from_cam1
        if np.abs(R).max(0).sum() == 3 and np.count_nonzero(R) == 3:  # a signed permutation: exact without products
            order, sign = np.abs(R).argmax(1), R.sum(1)
            return np.asarray(X, dtype=float)[:, order] * sign + 0.0  # + 0 turns -0 into 0
        return np.asarray(X, dtype=float) @ R.T


def check_axes(path: str | os.PathLike, axes: str) -> None:
    """Raise StereoError("bad_option") for unknown axes, or axes that the format of the suffix cannot have."""
    if axes not in AXES:
        raise StereoError("bad_option", f"there are no axes {axes!r}.", f"Use {', '.join(AXES)}.")
    if Path(path).suffix.lower() == ".glb" and axes != "y-up":
        raise StereoError(
            "bad_option",
            f"glTF has y up, by its standard; {axes} would be shown rotated in every viewer.",
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
