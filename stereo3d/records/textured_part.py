"""TexturedPart: one photo on some faces of a mesh."""

from dataclasses import dataclass

import numpy as np

from .checks import Record, check_array


@dataclass(frozen=True, eq=False, repr=False)
class TexturedPart(Record):
    """One photo on some of a mesh's faces.

    Attributes
    ----------
    faces : (M,) bool
        Faces of the mesh that show the photo.
    uv : (V, 2) float64
        Position of each vertex in the photo, as in `Mesh`; any value at vertices that none of the faces uses.
    texture : (H, W, 3) uint8
        RGB.
    """

    faces: np.ndarray
    uv: np.ndarray
    texture: np.ndarray

    def __post_init__(self) -> None:
        check_array(self, "faces", (None,), "b")
        check_array(self, "uv", (None, 2), "f")
        check_array(self, "texture", (None, None, 3), "u")
