"""The Poisson mesher: screened Poisson reconstruction by Open3D, trimmed to the samples."""

import logging
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np

from ...errors import StereoError
from ...geometry.arrays import all_channels, norms
from ...options import Range
from ...records import Mesh
from ...resources import load_open3d
from ..surface import TOLERANCE_PX, PointGrid, facing

logger = logging.getLogger(__name__)
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
    x, y, z = points.T
    return CUBE_MARGIN * max(*(float(np.ptp(a)) for a in (x / z, y / z, np.log(z))), MIN_EXTENT_PX * pixel)


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
    slope, count = few.slopes(NORMAL_RADIUS)
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
    from ..decimation import collapse

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
