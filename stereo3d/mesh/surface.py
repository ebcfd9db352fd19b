"""PointGrid: an organized point cloud with its local surface."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from .. import resources
from ..geometry.arrays import norms
from ..records import RightViewPoints

TOLERANCE_PX = 0.25  # px, simplification: less than the noise of any matcher, and invisible in a picture
THINNED_ROWS = 64  # rows of blocks that one thread thins at a time
PITCH_LINES = 200  # rows and columns sampled to measure the pixel pitch


@dataclass(frozen=True, eq=False)
class PointGrid:
    """A point map with all that is known of it, the input of meshers.

    Attributes
    ----------
    points : (H, W, 3) float64
        Frame of camera 1, NaN: unknown.
    sigma : (H, W) float64
        Standard deviation along the ray, units of the points, NaN: unknown.
    filled : (H, W) bool
        Interpolated in a hole, not measured.
    max_angle : float
        Degrees; a steeper step between neighbours is a depth discontinuity.
    between : RightViewPoints
        Further points between two pixels of a row.
    """

    points: np.ndarray
    sigma: np.ndarray
    filled: np.ndarray
    max_angle: float
    between: RightViewPoints

    @property
    def tangent(self) -> float:
        """tan(max_angle)."""
        return float(np.tan(np.radians(self.max_angle)))

    @property
    def ranges(self) -> np.ndarray:
        """|X| of each point, (H, W), NaN: unknown."""
        from . import kernels

        return kernels.ranges(self.points)

    @property
    def closed(self) -> bool:
        """Whether the last row adjoins the first."""
        return False

    @property
    def depth(self) -> np.ndarray | None:
        """What distances from a triangle are counted in, (H, W); None: z."""
        return None

    @property
    def max_triangle(self) -> int | None:
        """Side of the largest triangle, px; None: any."""
        return None

    @property
    def single(self) -> np.ndarray | None:
        """(H, W) bool: pixels whose cells become triangles of single pixels; None: none."""
        return None

    @property
    def pitch(self) -> float:
        """Median distance of neighbouring pixels in (x/z, y/z), along rows or columns, whichever is larger."""
        medians = [0.0]
        stride = max(1, min(self.sigma.shape) // PITCH_LINES)
        for lines, axis in ((self.points[::stride], 1), (self.points[:, ::stride], 0)):
            gap = norms(np.diff(lines[..., :2] / lines[..., 2:], axis=axis))
            gap = gap[gap > 0]  # and not NaN
            medians.append(float(np.median(gap)) if len(gap) else 0.0)
        return max(medians)

    def slopes(self, radius: int) -> tuple[np.ndarray, np.ndarray]:
        """`local_planes.slopes`: gradient of ln z over (x/z, y/z), (H, W, 2), and the number of points it is from."""
        from . import local_planes

        return local_planes.slopes(self.points, self.sigma, self.tangent, self.pitch, radius)

    def smoothed(self, radius: int, steps: tuple[tuple[int, float], ...]) -> "PointGrid":
        """`local_planes.smooth`: every point moved along its ray towards the plane through its neighbours."""
        from . import local_planes

        points = local_planes.smooth(self.points, self.sigma, self.tangent, self.pitch, radius, steps)
        return replace(self, points=points)

    def without_holes(self, radius: float, close: bool) -> tuple["PointGrid", int]:
        """Holes up to the area of that radius (px) filled from their rims, with `close` all of them; and how many."""
        from . import hole_filling

        max_pixels = self.sigma.size if close else int(np.ceil(np.pi * radius**2))
        order, starts = hole_filling.find_holes(self.points, max_pixels)
        if len(starts) == 1:
            return self, 0
        points, sigma, filled = self.points.copy(), self.sigma.copy(), self.filled.copy()
        count = int(hole_filling.fill_holes(points, sigma, filled, order, starts, close).sum())
        return replace(self, points=points, sigma=sigma, filled=filled), count

    def thinned(self, step: int) -> "PointGrid":
        """One point per block of step x step pixels (`block_means`), and no points between these."""
        from . import kernels

        if step == 1:
            return self
        none = replace(
            self.between, points=self.between.points[:0], sigma=self.between.sigma[:0], after=self.between.after[:0]
        )
        given, rows = (self.points, self.ranges, self.sigma, self.filled), step * THINNED_ROWS

        def part(top: int) -> tuple[np.ndarray, ...]:
            return kernels.block_means(*(x[top : top + rows] for x in given), self.tangent, step)

        with ThreadPoolExecutor(resources.processors()) as pool:
            parts = list(pool.map(part, range(0, max(1, len(self.points)), rows)))
        points, sigma, filled = (np.concatenate(x) for x in zip(*parts, strict=True))
        return replace(self, points=points, sigma=sigma, filled=filled, between=none)


def facing(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(M,) bool, True where the face turns its front to the camera at the origin: (b - a) x (c - a) . a < 0.

    On a grid that is turned against the camera, not mirrored, this holds for all faces but slivers.
    """
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.einsum("ij,ij->i", np.cross(b - a, c - a), a) < 0
