"""MESHERS: functions that make a triangle mesh of a `PointGrid`, the point map with all that is known of it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np

from ..errors import StereoError
from ..geometry import all_channels, norms
from ..options import Range
from ..records import Mesh, RightViewPoints
from ..resources import load_open3d

logger = logging.getLogger(__name__)

TOLERANCE_PX = 0.25  # px, simplification: less than the noise of any matcher, and invisible in a picture
MAX_TOLERANCE_PX = 4.0  # px: for a larger tolerance the point map is thinned instead
GRID_STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # px between vertices, tried in this order
PITCH_LINES = 200  # rows and columns sampled to measure the pixel pitch
BAND_ROWS = 64  # rows per task of a thread
CELL_PX = 2.5  # px, Poisson's smallest cell: half a matching window
MAX_CELL_PX = 8.0  # px, for noisier points too: noise is correlated within a matching window, and outlines need detail
MIN_DEPTH = 5  # of Poisson's octree: the solver's own full_depth
MAX_DEPTH = 9  # of an octree chosen automatically: deeper takes more than seconds
SAMPLES_PER_CELL = 1.25  # along one side of a cell: samples are block means, so more only add time
SAMPLES_PER_NODE = 3.0  # the solver's parameter for noisy samples (1.5 for clean): smoother and a sixth faster
SECONDS_PER_SAMPLE = 3.3e-5  # s, of the solver on one thread of 3 GHz with these samples per node
NORMAL_RADIUS = 2  # samples: normals from a plane through 5 x 5, about four cells wide
OUTLIER_QUANTILES = (0.001, 0.999)  # of ln z
OUTLIER_MARGIN = 0.1  # of the span of these quantiles: points farther outside would only enlarge the cells
MIN_SAMPLES = 6  # of the 25: a point with fewer neighbours is a streak or a speck and no surface
CUBE_MARGIN = 1.1  # Open3D's cube over the box of the samples
MIN_EXTENT_PX = 16  # px, of the cube


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
        from . import sheet as kernels

        return kernels.ranges(self.points)

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

    def fit_local_planes(
        self, radius: int, step: int = 1, noise_share: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(w smoothed (H, W), slope (H, W, 2), count (H, W)), `fit_local_planes` of the kernels over all rows."""
        from concurrent.futures import ThreadPoolExecutor

        from . import sheet as kernels

        h, w = self.sigma.shape
        out = np.full((h, w), np.nan), np.full((h, w, 2), np.nan), np.zeros((h, w), np.int32)
        given = self.points, self.ranges, self.sigma, self.tangent, self.pitch, radius, step, noise_share

        def rows(first: int) -> None:
            kernels.fit_local_planes(*given, first, min(first + BAND_ROWS, h), *out)

        with ThreadPoolExecutor() as pool:  # each band writes its own rows
            list(pool.map(rows, range(0, h, BAND_ROWS)))
        return out

    def smoothed(self, radius: int, steps: tuple[tuple[int, float], ...]) -> "PointGrid":
        """Every point moved along its ray towards the plane through its neighbours, as far as its sigma allows.

        steps: (step, noise_share) of `fit_local_planes`, applied in turn.
        """
        grid = self
        for step, noise_share in steps:
            w, _, _ = grid.fit_local_planes(radius, step, noise_share)
            grid = replace(grid, points=grid.points / (grid.points[..., 2] * w)[..., None])
        return grid

    def without_holes(self, radius: float, close: bool) -> tuple["PointGrid", int]:
        """Holes up to the area of that radius (px) filled from their rims, with `close` all of them; and how many."""
        from . import sheet as kernels

        max_pixels = self.sigma.size if close else int(np.ceil(np.pi * radius**2))
        order, starts = kernels.find_holes(self.points, max_pixels)
        if len(starts) == 1:
            return self, 0
        points, sigma, filled = self.points.copy(), self.sigma.copy(), self.filled.copy()
        count = int(kernels.fill_holes(points, sigma, filled, order, starts, close).sum())
        return replace(self, points=points, sigma=sigma, filled=filled), count

    def thinned(self, step: int) -> "PointGrid":
        """One point per block of step x step pixels (`block_means`), and no points between these."""
        from . import sheet as kernels

        if step == 1:
            return self
        none = replace(
            self.between, points=self.between.points[:0], sigma=self.between.sigma[:0], after=self.between.after[:0]
        )
        given = self.points, self.ranges, self.sigma, self.filled, self.tangent
        points, sigma, filled = kernels.block_means(*given, step)
        return replace(self, points=points, sigma=sigma, filled=filled, between=none)


def facing(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(M,) bool, True where the face turns its front to the camera at the origin: (b - a) x (c - a) . a < 0.

    On a grid that is turned against the camera, not mirrored, this holds for all faces but slivers.
    """
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.einsum("ij,ij->i", np.cross(b - a, c - a), a) < 0


# --------------------------------------------------------------------------------------------------- grid


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
    from . import adaptive as rtin
    from . import sheet as kernels

    points, sigma, ranges = np.ascontiguousarray(point_grid.points), point_grid.sigma, point_grid.ranges
    h, w = sigma.shape
    if min(h, w) < 2 or not pitch > 0:
        return np.zeros((0, 3), np.float64), np.zeros((0, 3), np.int32), np.zeros(0), 0.0
    between = point_grid.between
    cell = rtin.classify_cells(kernels.edges(points, ranges, sigma, point_grid.tangent), between.after)
    if not faces:  # every pixel becomes a vertex, and each cell takes its better diagonal
        cell[cell == rtin.WHOLE] = rtin.BROKEN
    view1 = kernels.PointList(
        np.concatenate([points.reshape(-1, 3), between.points]),
        np.concatenate([ranges.ravel(), norms(between.points)]),
        np.concatenate([sigma.ravel(), between.sigma]),
    )
    triangles, error = _broken_cells(view1, between, cell, point_grid.tangent), 0.0
    if faces:
        size = 1 << int(np.ceil(np.log2(max(h, w) - 1))) if max(h, w) > 2 else 1
        err = rtin.split_errors(points, cell, pitch, MAX_TOLERANCE_PX, size)
        tolerance = _least_tolerance(err, cell, tolerance, size, faces - len(triangles))
        count, error = rtin.extract_triangles(err, cell, tolerance, size, np.zeros((0, 3), np.int32))
        whole = np.empty((count, 3), np.int32)
        rtin.extract_triangles(err, cell, tolerance, size, whole)
        triangles = np.concatenate([whole, triangles])
    triangles = triangles[np.argsort(triangles[:, 0], kind="stable")]  # neighbours in space lie near in the file
    triangles = triangles[facing(view1.X, triangles)]
    measured = np.where(point_grid.filled.ravel(), np.nan, sigma.ravel())
    return view1.X, triangles, np.concatenate([measured, between.sigma]), float(error)


def _broken_cells(view1: Any, between: RightViewPoints, cell: np.ndarray, tangent: float) -> np.ndarray:
    """(M, 3) int32, the triangles of BROKEN cells."""
    from . import adaptive as rtin
    from . import sheet as kernels

    view2 = view1
    if len(between.after):
        X = view1.X - between.centre
        view2 = kernels.PointList(X, norms(X), view1.sigma)
    # each further point borders two strips
    room = 2 * int(np.count_nonzero(cell == rtin.BROKEN)) + 2 * len(between.after)
    triangles = np.empty((room, 3), np.int32)
    return triangles[: rtin.triangulate_broken_cells(view1, view2, cell, between.after, tangent, triangles)]


def _least_tolerance(err: np.ndarray, cell: np.ndarray, tolerance: float, size: int, faces: int) -> float:
    """The smallest tolerance, at least the one given, whose network has at most `faces`, or MAX_TOLERANCE_PX."""
    from . import adaptive as rtin

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


# --------------------------------------------------------------------------------------------------- Poisson


@dataclass(frozen=True, eq=False)
class OrientedSamples:
    """The samples of the Poisson solver, N of them, in (x/z, y/z, ln z).

    Attributes
    ----------
    X : (N, 3) float64
    slope : (N, 2) float64
        Gradient of ln z over (x/z, y/z).
    spacing : (N,) float64
        Distance of the next sample in (x/z, y/z).
    z : (N,) float64
        Units of the points.
    sigma : (N,) float64
        Along the ray, units of the points; inf or NaN: not known.
    filled : (N,) bool
        Interpolated in a hole, not measured.
    """

    X: np.ndarray
    slope: np.ndarray
    spacing: np.ndarray
    z: np.ndarray
    sigma: np.ndarray
    filled: np.ndarray


def poisson(
    point_grid: PointGrid,
    faces: int,
    *,
    tolerance: Annotated[float, Range(0, 100)] = TOLERANCE_PX,
    depth: Annotated[int, Range(0, 12)] = 0,
    seconds: Annotated[float, Range(0.01, 10_000)] = 3.0,
    support: Annotated[float, Range(0.5, 100)] = 1.5,
) -> Mesh:
    """Screened Poisson reconstruction, trimmed to what the photos saw.

    The surface is solved in (x/z, y/z, ln z): a step in depth by some share counts as much as a step across by the same
    share. So cells are as fine as the picture's pixels near and far, where metric cells would be too coarse in front
    and too fine behind. Samples are block means of the point map with the normal of a plane through their neighbours.
    Of the closed surface, vertices remain that agree with the samples at their own place in the photo. The solver runs
    on one thread: only then are two runs equal.

    Up to 0.1 % of the points on each side that lie far nearer or farther than all others are left out: one of them
    would enlarge the cube and each of its cells.

    Parameters
    ----------
    point_grid : PointGrid
    faces : int
        Maximum number; 0: all faces of the solver.
    tolerance : float
        px, how far simplification may move the surface; more if `faces` requires it (`decimation`).
    depth : int
        Of the octree, whose smallest cell is the scene's extent / 2^depth; 0: cells of the size of the noise, within
        CELL_PX to MAX_CELL_PX and MIN_DEPTH to MAX_DEPTH, and coarse enough for `seconds`.
    seconds : float
        Approximate time of the solver on a processor of 3 GHz, for depth 0.
    support : float
        Largest distance of the surface from the nearest sample, in units of the local sample spacing; gaps up to twice
        that are closed.

    Returns
    -------
    Mesh

    Raises
    ------
    StereoError
        "empty_mesh": fewer than three samples lie on a surface; "library_missing": Open3D cannot be loaded.

    References
    ----------
    Kazhdan and Hoppe, Screened Poisson surface reconstruction, 2013 (Open3D's build of it).
    """
    open3d = load_open3d()
    point_grid, known = _without_outliers(point_grid)
    pixel = point_grid.pitch
    if not pixel > 0:
        raise _scattered(0, int(known.sum()))
    extent = _extent(point_grid.points[known], pixel)
    depth = depth or _choose_depth(point_grid, known, extent, pixel, seconds)
    cell = extent / 2**depth
    shortest = min(point_grid.points.shape[:2])
    step = int(np.clip(round(cell / pixel / SAMPLES_PER_CELL), 1, max(1, shortest // 4)))
    samples = _oriented_samples(point_grid.thinned(step), int(known.sum()))
    logger.info("poisson: depth %d, %d samples, one per %d px, cell %.2f px", depth, len(samples.X), step, cell / pixel)
    vertices, triangles = _solve_poisson(open3d, samples, depth)

    sigma_known = np.isfinite(samples.sigma)
    agreement = np.where(sigma_known, np.maximum(cell, 3 * samples.sigma / samples.z), 1.0)
    supported, nearest = _supported_vertices(vertices, samples, agreement, support)
    triangles = triangles[all_channels(supported[triangles])]
    z = np.exp(vertices[:, 2])
    vertices = np.column_stack([vertices[:, 0] * z, vertices[:, 1] * z, z])
    triangles = triangles[facing(vertices, triangles)]
    triangles = triangles[_first_on_its_edges(triangles, len(vertices))]
    sigma = np.where(samples.filled | ~sigma_known, np.nan, samples.sigma)[nearest]
    vertices, triangles, source, error = _simplify(vertices, triangles, faces, tolerance, pixel)
    facts: dict[str, float] = {"simplification_px": error, "depth": depth, "cell_px": float(cell / pixel)}
    return Mesh(vertices, triangles, sigma=sigma[source], facts=facts)


def _without_outliers(point_grid: PointGrid) -> tuple[PointGrid, np.ndarray]:
    """The grid without points far nearer or farther than all others, and the (H, W) bool mask of the rest."""
    z = point_grid.points[..., 2]
    low, high = np.quantile(np.log(z[np.isfinite(z)]), OUTLIER_QUANTILES)
    with np.errstate(invalid="ignore"):
        known = np.abs(np.log(z) - (low + high) / 2) <= (0.5 + OUTLIER_MARGIN) * (high - low) + 0.01
    points = np.where(known[..., None], point_grid.points, np.nan)
    return replace(point_grid, points=points, sigma=np.where(known, point_grid.sigma, np.nan)), known


def _extent(points: np.ndarray, pixel: float) -> float:
    """Side of the solver's cube over points (N, 3), in (x/z, y/z, ln z)."""
    view = points[:, :2] / points[:, 2:]
    return CUBE_MARGIN * max(*np.ptp(view, axis=0), np.ptp(np.log(points[:, 2])), MIN_EXTENT_PX * pixel)


def _choose_depth(point_grid: PointGrid, known: np.ndarray, extent: float, pixel: float, seconds: float) -> int:
    """The octree's depth: cells of the size of the noise, as far as the solver is done in about `seconds`."""
    with_sigma = known & np.isfinite(point_grid.sigma)
    noise = float(np.median(point_grid.sigma[with_sigma] / norms(point_grid.points[with_sigma])))
    finest = np.clip(noise, CELL_PX * pixel, MAX_CELL_PX * pixel)
    affordable = pixel * np.sqrt(known.sum() * SAMPLES_PER_CELL**2 * SECONDS_PER_SAMPLE / seconds)
    depth = int(np.clip(np.round(np.log2(extent / finest)), MIN_DEPTH, MAX_DEPTH))
    return max(MIN_DEPTH, min(depth, int(np.log2(extent / affordable))))


def _oriented_samples(few: PointGrid, known: int) -> OrientedSamples:
    """The points of a thinned grid that lie on a surface; known: number of points before thinning, for the message."""
    _, slope, count = few.fit_local_planes(NORMAL_RADIUS)
    spacing = view_spacing(few.points)
    use = (count >= MIN_SAMPLES) & all_channels(np.isfinite(slope)) & np.isfinite(spacing)
    if use.sum() < 3:
        raise _scattered(int(use.sum()), known)
    points = few.points[use]
    X = np.column_stack([points[:, :2] / points[:, 2:], np.log(points[:, 2])])
    return OrientedSamples(X, slope[use], spacing[use], points[:, 2], few.sigma[use], few.filled[use])


def _solve_poisson(open3d: Any, samples: OrientedSamples, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of the closed surface through the samples, in (x/z, y/z, ln z)."""
    normals = np.column_stack([samples.slope, -np.ones(len(samples.slope))])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(samples.X))
    cloud.normals = open3d.utility.Vector3dVector(normals)
    with open3d.utility.VerbosityContextManager(open3d.utility.VerbosityLevel.Error):
        solved, _ = open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(
            cloud, depth=depth, samples_per_node=SAMPLES_PER_NODE, n_threads=1
        )
    return np.asarray(solved.vertices), np.asarray(solved.triangles)


def _simplify(
    vertices: np.ndarray, triangles: np.ndarray, faces: int, tolerance: float, pitch: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """At most `faces` triangles, and no more than flatness needs, by `collapse` in pixels of (x/z, y/z, ln z).

    Returns vertices, triangles, a given vertex near each, and the largest distance in px that the surface moved.
    """
    from .decimate import collapse

    used = np.zeros(len(vertices), bool)
    used[triangles] = True
    if not faces or not used.any():
        return vertices, triangles.astype(np.int32), np.arange(len(vertices)), 0.0
    number = np.cumsum(used) - 1
    X, F = vertices[used], number[triangles]
    X = np.column_stack([X[:, :2] / X[:, 2:], np.log(X[:, 2])]) / pitch
    alive, source, error = collapse(X, F, tolerance, faces, pitch)
    X *= pitch
    z = np.exp(X[:, 2])
    X = np.column_stack([X[:, 0] * z, X[:, 1] * z, z])
    F = F[alive].astype(np.int32)
    return X, F[facing(X, F)], np.flatnonzero(used)[source], float(error)


def view_spacing(points: np.ndarray) -> np.ndarray:
    """Distance in (x/z, y/z) to the next known point on the grid: (H, W, 3) -> (H, W), NaN where there is none.

    Along each axis the nearer of both neighbours, and of the two axes the larger distance.
    """
    view = points[..., :2] / points[..., 2:]
    out = np.full(points.shape[:2], np.nan)
    for axis in (0, 1):
        gap = norms(np.diff(view, axis=axis))
        end = np.full(np.moveaxis(out, axis, 0)[:1].shape, np.nan)
        end = np.moveaxis(end, 0, axis)
        before, after = np.concatenate([end, gap], axis), np.concatenate([gap, end], axis)
        out = np.fmax(out, np.fmin(before, after))
    return out


def _supported_vertices(
    vertices: np.ndarray, samples: OrientedSamples, agreement: np.ndarray, support: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which vertices (V, 3) agree with the samples at their place in the photo, and the nearest sample (V,) to each.

    All in (x/z, y/z, ln z). A vertex agrees with sample i when it lies within agreement[i] of the sample's plane. It
    is supported when it agrees with most of the three nearest samples, and the nearest is within `support` spacings.
    """
    from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue] - compiled, without a stub

    k = min(3, len(samples.X))
    distance, index = cKDTree(samples.X[:, :2]).query(vertices[:, :2], k=k, workers=-1)
    distance, index = np.reshape(distance, (-1, k)), np.reshape(index, (-1, k))
    step = vertices[:, None] - samples.X[index]
    off = step[..., 2] - (step[..., :2] * samples.slope[index]).sum(-1)
    off = np.abs(off) / np.sqrt(1 + np.square(samples.slope[index]).sum(-1))
    agree = (off <= agreement[index]).sum(1) * 2 > k
    nearest = index[:, 0]
    return agree & (distance[:, 0] <= support * samples.spacing[nearest]), nearest


def _first_on_its_edges(faces: np.ndarray, n: int) -> np.ndarray:
    """(M,) bool, True where no earlier face has one of its edges in the same direction: the mesh stays a manifold.

    The Poisson solver now and then returns such faces among scattered points; n: number of vertices.
    """
    start, end = faces.astype(np.int64), np.roll(faces, -1, axis=1)
    first = np.zeros(faces.size, bool)
    first[np.unique(start * n + end, return_index=True)[1]] = True
    return all_channels(first.reshape(-1, 3))


def _scattered(samples: int, points: int) -> StereoError:
    return StereoError(
        "empty_mesh",
        f"{samples} samples of {points} points lie on a surface; 3 are needed.",
        "Look at the disparity map: its known pixels are scattered.",
        samples=samples,
    )


MESHERS: dict[str, Callable[..., Mesh]] = {"poisson": poisson, "grid": grid}
