"""The grid mesher: the pixel grid as an adaptive triangulation."""

from dataclasses import replace
from typing import Annotated, Any

import numpy as np

from ...errors import StereoError
from ...geometry.arrays import norms
from ...options import Range
from ...records import Mesh, RightViewPoints
from ..surface import TOLERANCE_PX, PointGrid, facing

MAX_TOLERANCE_PX = 4.0  # px: for a larger tolerance the point map is thinned instead
GRID_STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # px between vertices, tried in this order


def grid(
    point_grid: PointGrid,
    faces: int,
    *,
    tolerance: Annotated[float, Range(0, 100)] = TOLERANCE_PX,
    step: Annotated[int, Range(0, 10_000)] = 0,
) -> Mesh:
    """Triangles over the pixels of the point map: large where it is flat, cut along depth discontinuities.

    The triangles are those of a right-triangulated irregular network (`rtin`), each of which keeps to the tolerance
    exactly; along discontinuities and outlines they are single pixels. By construction each edge bounds at most two
    faces.

    Parameters
    ----------
    point_grid : PointGrid
    faces : int
        Maximum number; 0: two per cell of four pixels on one surface.
    tolerance : float
        Largest distance of a pixel from its triangle, in pixels seen square-on at its distance; larger if `faces`
        requires it.
    step : int
        Pixels between vertices, each the mean of its block; 0: one, or more where even a tolerance of
        MAX_TOLERANCE_PX leaves more than `faces`.

    Returns
    -------
    Mesh

    Raises
    ------
    StereoError
        "bad_option": step is larger than the map.
    """
    shortest = min(point_grid.points.shape[:2])
    if step > shortest:
        raise StereoError(
            "bad_option",
            f"grid.step = {step} is larger than the map, {point_grid.points.shape[1]} x {point_grid.points.shape[0]}.",
            "Give a smaller step.",
            step=step,
        )
    steps = [step] if step else [s for s in GRID_STEPS if s <= max(1, shortest // 2)]
    pitch = point_grid.pitch

    def network(step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        return _network(point_grid.thinned(step), faces, tolerance, pitch * step)

    chosen, *larger = steps
    vertices, triangles, sigma, error = network(chosen)
    while faces and len(triangles) > faces and larger:
        chosen, *larger = larger
        vertices, triangles, sigma, error = network(chosen)
    facts: dict[str, float] = {"simplification_px": error * chosen, "step": chosen}
    return Mesh(vertices, triangles, sigma=sigma, facts=facts)


def _network(
    point_grid: PointGrid, faces: int, tolerance: float, pitch: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Vertices, triangles, sigma and the error in px, by the smallest tolerance that gives at most `faces`."""
    from .. import kernels, rtin

    rows = len(point_grid.sigma)
    point_grid = _closing_row(point_grid)
    points, sigma, between = np.ascontiguousarray(point_grid.points), point_grid.sigma, point_grid.between
    h, w = sigma.shape
    if min(h, w) < 2 or not pitch > 0:
        return np.zeros((0, 3), np.float64), np.zeros((0, 3), np.int32), np.zeros(0), 0.0
    P = kernels.PointList(
        np.concatenate([points.reshape(-1, 3), between.points]),
        np.concatenate([point_grid.ranges.ravel(), norms(between.points)]),
        np.concatenate([sigma.ravel(), between.sigma]),
    )
    ranges = P.r[: h * w].reshape(h, w)
    cell = rtin.classify_cells(kernels.edges(points, ranges, sigma, point_grid.tangent), between.after)
    single = point_grid.single
    if single is not None:
        touched = single[:-1, :-1] | single[:-1, 1:] | single[1:, :-1] | single[1:, 1:]
        cell[touched & (cell == rtin.WHOLE)] = rtin.BROKEN
    if not faces:  # every pixel becomes a vertex, and each cell takes its better diagonal
        cell[cell == rtin.WHOLE] = rtin.BROKEN
    triangles, error = _broken_cells(P, between, cell, point_grid.tangent), 0.0
    if faces:
        size = 1 << int(np.ceil(np.log2(max(h, w) - 1))) if max(h, w) > 2 else 1
        depth = point_grid.depth
        with_depth = points if depth is None else np.concatenate([points, depth[..., None]], -1)
        largest = min(size, point_grid.max_triangle or size)
        err = rtin.split_errors(with_depth, cell, pitch, MAX_TOLERANCE_PX, largest)
        tolerance = _smallest_tolerance(err, cell, tolerance, size, faces - len(triangles))
        count, error = rtin.extract_triangles(err, cell, tolerance, size, np.zeros((0, 3), np.int32))
        whole = np.empty((count, 3), np.int32)
        rtin.extract_triangles(err, cell, tolerance, size, whole)
        triangles = np.concatenate([whole, triangles])
    last = (triangles >= rows * w) & (triangles < h * w)
    triangles[last] -= rows * w  # of a closed map the row after the last is the first
    triangles = triangles[
        np.argsort(triangles[:, 0], kind="stable")
    ]  # neighbours in space are near each other in the file
    triangles = triangles[facing(P.X, triangles)]
    measured = np.where(point_grid.filled.ravel(), np.nan, sigma.ravel())
    return P.X, triangles, np.concatenate([measured, between.sigma]), float(error)


def _closing_row(point_grid: PointGrid) -> PointGrid:
    """A closed map with its first row once more after the last; any other map as it is."""
    if not point_grid.closed:
        return point_grid
    arrays = {
        name: np.concatenate([value, value[:1]])
        for name, value in (("points", point_grid.points), ("sigma", point_grid.sigma), ("filled", point_grid.filled))
    }
    between = point_grid.between
    inner = between.after >= point_grid.sigma.shape[1]  # those of the first row would be missing in the last
    between = replace(between, points=between.points[inner], sigma=between.sigma[inner], after=between.after[inner])
    return replace(point_grid, **arrays, between=between)


def _broken_cells(P: Any, between: RightViewPoints, cell: np.ndarray, tangent: float) -> np.ndarray:
    """(M, 3) int32, the triangles of BROKEN cells."""
    from .. import rtin, strips

    # each further point borders two strips
    room = 2 * int(np.count_nonzero(cell == rtin.BROKEN)) + 2 * len(between.after)
    triangles = np.empty((room, 3), np.int32)
    return triangles[: strips.triangulate_broken_cells(P, between.centre, cell, between.after, tangent, triangles)]


def _smallest_tolerance(err: np.ndarray, cell: np.ndarray, tolerance: float, size: int, faces: int) -> float:
    """The smallest tolerance, at least the one given, whose network has at most `faces`, or MAX_TOLERANCE_PX."""
    from .. import rtin

    def count(tolerance: float) -> int:
        return rtin.extract_triangles(err, cell, tolerance, size, np.zeros((0, 3), np.int32))[0]

    if count(tolerance) <= faces:
        return tolerance
    finite = err[(err > 0) & (err < np.inf)]
    # a split adds two triangles (one at an outline), so the budget allows so many of the largest errors to be split
    splits = max(0, (faces - count(MAX_TOLERANCE_PX)) // 2)
    if len(finite):
        at = len(finite) - 1 - min(splits, len(finite) - 1)
        tolerance = float(np.partition(finite, at)[at])
    return tolerance if count(tolerance) <= faces else MAX_TOLERANCE_PX
