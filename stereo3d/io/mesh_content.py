"""What a mesh file holds before its axes are turned, and the files that it names."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

import numpy as np

from ..errors import StereoError
from ..foreign import open_file, regular_file, texture_pixels

log = logging.getLogger(__name__)
MAX_PARTS = 2000  # materials or primitives of a file


@dataclass(eq=False)
class MeshContent:
    """All triangles of a file, in the file's axes.

    Attributes
    ----------
    vertices : (V, 3) float
    faces : (M, 3) int
    uv : (V, 2) float or None
        NaN at vertices without texture coordinates; None: there are none.
    material : (M,) int
        Index into `names` and `pictures`.
    names : list of str
        Of the materials.
    pictures : list of callable
        Each returns the texture (H, W, 3) uint8, or None.
    colour : (V, 3) uint8 or None
        RGB.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray | None = None
    material: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    names: list[str] = field(default_factory=list)
    pictures: list[Callable[[], np.ndarray | None]] = field(default_factory=list)
    colour: np.ndarray | None = None


def companion(folder: Path, stated: bytes) -> Path | None:
    """Return the file that a mesh file names: the rest of the line or, after options, its last word.

    It lies in the mesh's folder or below: a name that leads elsewhere, such as ../../x.png or /etc/x.png, gives the
    file of that name in the folder, so that a mesh shows no file that its author does not have. Links are followed.
    """
    for name in (stated, *stated.split()[-1:]):
        text = os.fsdecode(name.replace(b"\\", b"/"))
        inside = PurePosixPath(text)
        leaves = ".." in inside.parts or inside.is_absolute() or bool(PureWindowsPath(text).drive)
        for candidate in (*(() if leaves else (folder / inside,)), folder / inside.name):
            if inside.name and regular_file(candidate):
                return candidate
    return None


def read_texture(folder: Path, stated: bytes) -> np.ndarray | None:
    """Return the texture (H, W, 3) uint8 that a mesh file in a folder names; None where it cannot be used.

    A warning says so: a mesh is worth showing without its texture.
    """
    path = companion(folder, stated)
    if path is None:
        if stated:
            log.warning("the texture %r is left out: there is no such file in the mesh's folder", os.fsdecode(stated))
        return None
    try:
        with open_file(path) as file:
            return texture_or_none(file, path)
    except StereoError as error:
        log.warning("the texture is left out: %s", error.message)
        return None


def texture_or_none(file: BinaryIO, path: Path) -> np.ndarray | None:
    """Return the texture (H, W, 3) uint8 in a file; None, with a warning, where it cannot be read."""
    try:
        return texture_pixels(file, path)
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, EOFError, ...
        reason = error.message if isinstance(error, StereoError) else f"{path} ({error})"
        log.warning("the texture is left out: %s", reason)
        return None
