"""SphereGrid: the directions of the pixels of a pair that is rectified over the sphere."""

from dataclasses import dataclass, replace

import numpy as np

from .camera import Camera
from .checks import Record, check_array

FULL_CIRCLE = 2 * np.pi


@dataclass(frozen=True, eq=False, repr=False)
class SphereGrid(Record):
    """Rows are half-planes about the baseline, columns angles from it; both pictures share them.

    Pixel (column i, row j) looks along (cos p, sin p sin a, sin p cos a) in the common orientation, whose first axis
    points from camera 1 to camera 2: p = first_angle - i pitch is the angle from that axis, a = row_angles[j] the one
    about it. A point at p1 in the first picture and p2 in the second has the disparity (p2 - p1) / pitch >= 0.

    Attributes
    ----------
    cameras : (Camera, Camera)
    rect_from_cam : (2, 3, 3) float64
        The rotations of both cameras into the common orientation.
    first_angle : float
        rad, p of column 0.
    pitch : float
        rad between two columns.
    row_angles : (H,) float64
        rad, evenly spaced, ascending.
    padding : int
        Rows at either end that repeat those of the other end; 0 where the rows are no full circle.
    """

    cameras: tuple[Camera, Camera]
    rect_from_cam: np.ndarray
    first_angle: float
    pitch: float
    row_angles: np.ndarray
    padding: int = 0

    def __post_init__(self) -> None:
        check_array(self, "rect_from_cam", (2, 3, 3), "f")
        check_array(self, "row_angles", (None,), "f")

    @property
    def row_pitch(self) -> float:
        """Rad between two rows."""
        return float(self.row_angles[1] - self.row_angles[0]) if len(self.row_angles) > 1 else self.pitch

    @property
    def closed(self) -> bool:
        """Whether the rows without padding are a full circle: the last adjoins the first."""
        rows = len(self.row_angles) - 2 * self.padding
        return abs(rows * self.row_pitch - FULL_CIRCLE) < 0.5 * self.row_pitch

    def column_angles(self, columns: np.ndarray) -> np.ndarray:
        """Return p, rad, of columns, whole or not."""
        return self.first_angle - self.pitch * np.asarray(columns, dtype=float)

    def directions(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return unit directions (..., 3) in the common orientation of whole rows and columns that broadcast."""
        p, a = np.broadcast_arrays(self.column_angles(columns), self.row_angles[rows])
        sine = np.sin(p)
        return np.stack([np.cos(p), sine * np.sin(a), sine * np.cos(a)], -1)

    def positions(self, x: np.ndarray, number: int) -> np.ndarray:
        """Return the pixels (N, 2) of a rectified picture (number 0 or 1) that show the photo pixels x (N, 2).

        Columns and rows may lie outside the picture; of a closed grid the rows are those without padding. NaN where
        the photo shows nothing.
        """
        X = self.cameras[number].rays_from_pixels(np.asarray(x, dtype=float)) @ self.rect_from_cam[number].T
        p, a = np.arctan2(np.hypot(X[:, 1], X[:, 2]), X[:, 0]), np.arctan2(X[:, 1], X[:, 2])
        around = a - self.row_angles[0] - self.padding * self.row_pitch
        if self.closed:
            around = around % FULL_CIRCLE
        else:  # the turn that lies nearest to the rows
            middle = (self.row_angles[-1] - self.row_angles[0]) / 2
            around = middle + (around - middle + np.pi) % FULL_CIRCLE - np.pi
        return np.stack([(self.first_angle - p) / self.pitch, around / self.row_pitch + self.padding], -1)

    def without_padding(self) -> "SphereGrid":
        """Return the grid without its repeated rows."""
        kept = slice(self.padding, len(self.row_angles) - self.padding)
        return replace(self, row_angles=self.row_angles[kept], padding=0)
