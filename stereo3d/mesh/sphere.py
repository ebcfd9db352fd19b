"""SpherePoints: a point map all around the camera, which smoothing and hole filling see in sectors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..geometry.arrays import norms
from ..records import RightViewPoints, SphereGrid
from .surface import PointGrid

# Width of a sector, and what it shows of its neighbours on either side: within 50 degrees of its middle all points are
# ahead, and (x/z, y/z) is a picture that the kernels of point maps work on.
SECTOR_DEG, MARGIN_DEG = 60.0, 20.0
# Degrees of latitude above which the triangles of a panorama are single pixels: between their corners the texture runs
# straight, and the photo about its pole.
POLAR_LATITUDE_DEG = 75.0
MAX_TRIANGLE_PX = 32  # side of a triangle: the photo bends by half a pixel between the corners of a larger one


@dataclass(frozen=True, eq=False)
class SpherePoints(PointGrid):
    """A point map on the rows and columns of a `SphereGrid`, in every direction about the camera.

    Attributes
    ----------
    grid : SphereGrid
        Without padding.
    """

    grid: SphereGrid

    @property
    def closed(self) -> bool:
        """Whether the last row adjoins the first."""
        return self.grid.closed

    @property
    def depth(self) -> np.ndarray:
        """The distance: no axis is ahead everywhere."""
        return self.ranges

    @property
    def max_triangle(self) -> int:
        """Side of the largest triangle, px."""
        return MAX_TRIANGLE_PX

    @property
    def pitch(self) -> float:
        """Angle between neighbouring columns, rad."""
        return self.grid.pitch

    @property
    def single(self) -> np.ndarray:
        """(H, W) bool: pixels whose cells become triangles of single pixels.

        Beside the seam of a panorama, near its poles, and in the rows that close the circle.
        """
        out = np.zeros(self.sigma.shape, bool)
        if self.closed:
            out[[0, -1]] = True
        if self.grid.cameras[0].is_panorama:
            X = self.points
            with np.errstate(invalid="ignore"):
                out |= np.abs(X[..., 1]) > np.sin(np.radians(POLAR_LATITUDE_DEG)) * norms(X)
                # within two columns of the seam, the half-plane x = 0, z < 0
                out |= (X[..., 2] < 0) & (np.abs(X[..., 0]) < 2 * self.pitch * norms(X))
        return out

    def smoothed(self, radius: int, steps: tuple[tuple[int, float], ...]) -> "SpherePoints":
        """`PointGrid.smoothed`, sector by sector."""
        return self._by_sectors(lambda sector: sector.smoothed(radius, steps))

    def without_holes(self, radius: float, close: bool) -> tuple["SpherePoints", int]:
        """`PointGrid.without_holes`, sector by sector; one that no sector holds with its rim stays."""
        counts: list[int] = []

        def fill(sector: PointGrid) -> PointGrid:
            filled, count = sector.without_holes(radius, close)
            counts.append(count)
            return filled

        return self._by_sectors(fill), sum(counts)

    def thinned(self, step: int) -> "SpherePoints":
        """`PointGrid.thinned`, sector by sector."""
        if step == 1:
            return self
        rows = len(self.sigma)
        whole = rows // step * step if self.closed else rows  # of a circle, rows that are no whole block are left out
        angles = self.grid.row_angles[:whole]
        middles = np.array([angles[k : k + step].mean() for k in range(0, whole, step)])
        if self.closed:
            middles = middles[0] + 2 * np.pi / len(middles) * np.arange(len(middles))
        grid = replace(
            self.grid,
            first_angle=self.grid.first_angle - (step - 1) / 2 * self.grid.pitch,
            pitch=self.grid.pitch * step,
            row_angles=middles,
        )
        parts = []
        for kept, _, Q in self._sectors(step):
            kept = kept[kept < whole]
            if not len(kept):
                continue
            sector = self._sector(kept, Q).thinned(step)
            parts.append((sector.points @ Q, sector.sigma, sector.filled))
        points, sigma, filled = (np.concatenate(part) for part in zip(*parts, strict=True))
        none = self.between
        none = replace(none, points=none.points[:0], sigma=none.sigma[:0], after=none.after[:0])
        return replace(self, points=points, sigma=sigma, filled=filled, between=none, grid=grid)

    def _by_sectors(self, change: Callable[[PointGrid], PointGrid]) -> "SpherePoints":
        """The map whose points, sigma and filled pixels are those of every changed sector."""
        points, sigma, filled = np.empty_like(self.points), np.empty_like(self.sigma), np.empty_like(self.filled)
        for kept, shown, Q in self._sectors():
            found = change(self._sector(shown, Q))
            inner = slice(int(np.flatnonzero(shown == kept[0])[0]), None)
            count = len(kept)
            points[kept] = found.points[inner][:count] @ Q
            sigma[kept], filled[kept] = found.sigma[inner][:count], found.filled[inner][:count]
        return replace(self, points=points, sigma=sigma, filled=filled)

    def _sector(self, rows: np.ndarray, Q: np.ndarray) -> PointGrid:
        """These rows as a map in the frame sector_from_cam Q; points behind its camera are left out."""
        points = self.points[rows] @ Q.T
        with np.errstate(invalid="ignore"):
            points[~(points[..., 2] > 0)] = np.nan
        none = RightViewPoints(np.zeros((0, 3)), np.zeros(0), np.zeros(0, np.int64), np.zeros(3))
        sigma = np.where(np.isfinite(points[..., 2]), self.sigma[rows], np.nan)
        return PointGrid(points, sigma, self.filled[rows], self.max_angle, none)

    def _sectors(self, multiple: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Rows of each sector, those that it is seen with, and sector_from_cam (3, 3).

        multiple: whole blocks of so many rows.
        """
        count = len(self.sigma)
        pitch = self.grid.row_pitch
        span = max(1, round(np.radians(SECTOR_DEG) / pitch / multiple)) * multiple
        margin = int(np.radians(MARGIN_DEG) / pitch)
        for first in range(0, count, span):
            kept = np.arange(first, min(first + span, count))
            shown = np.arange(first - margin, kept[-1] + 1 + margin)
            shown = shown % count if self.closed and len(shown) < count else shown[(shown >= 0) & (shown < count)]
            middle = float(self.grid.row_angles[kept].mean())
            turn = np.array(
                [[1, 0, 0], [0, np.cos(middle), -np.sin(middle)], [0, np.sin(middle), np.cos(middle)]], dtype=float
            )
            yield kept, shown, turn @ self.grid.rect_from_cam[0]
