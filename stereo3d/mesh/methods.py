"""MESHERS: triangles of a `Sheet`, the point map with what is known of it."""

import logging
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from ..errors import StereoError
from ..geometry import all_channels, norms
from ..options import Range
from ..records import Mesh, PointsBetween
from ..resources import load_open3d

logger = logging.getLogger(__name__)

TOLERANCE_PX = 0.25  # simplification: less than the noise of any matcher, and no picture shows it
COARSEST_TOLERANCE_PX = 4.0  # beyond this the point map is thinned instead
CELL_PX = 2.5  # Poisson's finest cell, in pixels of the point map: half the window a matcher decides by
COARSEST_PX = 8.0  # however noisy the points are: their noise is alike within a matching window, and outlines count too
DEPTHS = (5, 9)  # of Poisson's octree when chosen by itself: full_depth of the solver, and what takes seconds
SAMPLES_PER_CELL = 1.25  # along one side of a cell: each is the mean of all its pixels already, more adds only time
SAMPLES_PER_NODE = 3.0  # the solver's own measure for noisy samples (1.5 for clean): smoother and a sixth faster
SECONDS_PER_SAMPLE = 3.3e-5  # of the solver on one thread, at that sampling
NORMAL_RADIUS = 2  # normals from a plane through 5 x 5 samples, about four cells wide
OUTLIERS = (0.001, 0.999)  # quantiles of ln z: what lies a tenth of their span beyond would only coarsen the cells
MIN_SAMPLES = 6  # of those 25, or the point is a trail or speck and not a surface


@dataclass(frozen=True, eq=False)
class Sheet:
    """A point map and what is known of it: what meshers work on.

    points (H,W,3), sigma (H,W), NaN unknown.  filled (H,W) bool: made, not measured.  max_angle: degrees, up to which a
    step is a slope.  between: more points, between two pixels of a row.
    """

    points: np.ndarray
    sigma: np.ndarray
    filled: np.ndarray
    max_angle: float
    between: PointsBetween

    @property
    def tangent(self) -> float:
        return float(np.tan(np.radians(self.max_angle)))

    @property
    def ranges(self) -> np.ndarray:
        from . import sheet

        return sheet.ranges(self.points)

    @property
    def pitch(self) -> float:
        """Median distance of neighbouring pixels in (x/z, y/z), along the rows or the columns, whichever is larger."""
        medians = [0.0]
        every = max(1, min(self.sigma.shape) // 200)
        for some, axis in ((self.points[::every], 1), (self.points[:, ::every], 0)):
            gap = norms(np.diff(some[..., :2] / some[..., 2:], axis=axis))
            gap = gap[gap > 0]  # and not NaN
            medians.append(float(np.median(gap)) if len(gap) else 0.0)
        return max(medians)

    def planes(self, radius: int, step: int = 1, loose: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`sheet.planes` of all rows: w smoothed (H,W), slope (H,W,2), count (H,W)."""
        from concurrent.futures import ThreadPoolExecutor

        from . import sheet

        h, w = self.sigma.shape
        out = np.full((h, w), np.nan), np.full((h, w, 2), np.nan), np.zeros((h, w), np.int32)
        given = self.points, self.ranges, self.sigma, self.tangent, self.pitch, radius, step, loose

        def rows(first: int):
            sheet.fit_local_planes(*given, first, min(first + 64, h), *out)

        with ThreadPoolExecutor() as pool:  # each band writes its own rows
            list(pool.map(rows, range(0, h, 64)))
        return out

    def smoothed(self, radius: int, steps: tuple[tuple[int, float], ...]) -> "Sheet":
        """Every point moved along its ray onto the surface around it, as far as its sigma allows.

        steps: (step, loose) of `sheet.planes`, one after the other.
        """
        sheet = self
        for step, loose in steps:
            w, _, _ = sheet.planes(radius, step, loose)
            sheet = replace(sheet, points=sheet.points / (sheet.points[..., 2] * w)[..., None])
        return sheet

    def without_holes(self, radius: float, close: bool) -> tuple["Sheet", int]:
        """Holes up to that radius (px) filled by the surface around them, with `close` all; and how many were."""
        from . import sheet

        everything = self.sigma.size if close else int(np.ceil(np.pi * radius**2))
        order, starts = sheet.find_holes(self.points, everything)
        if len(starts) == 1:
            return self, 0
        points, sigma, filled = self.points.copy(), self.sigma.copy(), self.filled.copy()
        count = int(sheet.fill_holes(points, sigma, filled, order, starts, close).sum())
        return replace(self, points=points, sigma=sigma, filled=filled), count

    def thinned(self, step: int) -> "Sheet":
        """One point for every block of step x step pixels (`sheet.means`); there is nothing between those."""
        from . import sheet

        if step == 1:
            return self
        nothing = replace(
            self.between, points=self.between.points[:0], sigma=self.between.sigma[:0], after=self.between.after[:0]
        )
        points, sigma, filled = sheet.block_means(self.points, self.ranges, self.sigma, self.filled, self.tangent, step)
        return replace(self, points=points, sigma=sigma, filled=filled, between=nothing)


# --------------------------------------------------------------------------------------------------- meshers


def grid(
    sheet: Sheet,
    faces: int,
    *,
    tolerance: Annotated[float, Range(0, 100)] = TOLERANCE_PX,
    step: Annotated[int, Range(0, 10_000)] = 0,
) -> Mesh:
    """Triangles over the pixels of the point map, few where it is flat, cut where the surface tears.

    faces: at most so many; 0: two for every four pixels that hold together.  tolerance: how far a pixel may lie from
    the triangle over it, in pixels seen square-on at its distance; more where `faces` asks for it.  step: every so many
    pixels of the map one vertex at most, the mean of its block; 0: one pixel, or more where even a large tolerance
    leaves more than `faces`.

    The triangles are those of a right-triangulated irregular network (`adaptive`), whose every triangle keeps to the
    tolerance exactly; along tears and outlines they are those of single pixels. Each edge bounds at most two faces by
    construction.
    """
    if step > min(sheet.points.shape[:2]):
        raise StereoError(
            "bad_option",
            f"grid.step = {step} is larger than the map, {sheet.points.shape[1]} x {sheet.points.shape[0]}.",
            "Give a smaller step.",
            step=step,
        )
    steps = [step] if step else [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
    steps = [s for s in steps if s <= max(1, min(sheet.points.shape[:2]) // 2)] if not step else steps
    pitch = sheet.pitch
    for step in steps:  # noqa: B020
        coarse = sheet.thinned(step)
        vertices, triangles, sigma, off = _network(coarse, faces, tolerance, pitch * step)
        if not faces or len(triangles) <= faces:
            break
    facts = {"simplification_px": off * step, "step": step}
    return Mesh(vertices, triangles, sigma=sigma, facts=facts)


def _network(sheet: Sheet, faces: int, tolerance: float, pitch: float):
    """Vertices, triangles, sigma of a sheet, and the error in px of it, by the least tolerance that gives `faces`."""
    from . import adaptive
    from . import sheet as kernels

    nothing = np.zeros((0, 3), np.int32)
    points, sigma, ranges = np.ascontiguousarray(sheet.points), sheet.sigma, sheet.ranges
    h, w = sigma.shape
    none = np.zeros((0, 3), np.float64), np.zeros((0, 3), np.int32), np.zeros(0), 0.0
    if min(h, w) < 2 or not pitch > 0:
        return none
    between = sheet.between
    cell = adaptive.classify_cells(kernels.edges(points, ranges, sigma, sheet.tangent), between.after)
    if not faces:  # every pixel is a vertex, and the better diagonal of each square is chosen
        cell[cell == adaptive.WHOLE] = adaptive.BROKEN
    size = 1 << int(np.ceil(np.log2(max(h, w) - 1))) if max(h, w) > 2 else 1
    all_points = np.concatenate([points.reshape(-1, 3), between.points])
    all_sigma = np.concatenate([sigma.ravel(), between.sigma])
    all_ranges = np.concatenate([ranges.ravel(), norms(between.points)])
    room = 2 * int(np.count_nonzero(cell == adaptive.BROKEN)) + 2 * len(between.after)  # each borders two strips
    ragged = np.empty((room, 3), np.int32)
    more = len(between.after) > 0
    from_2 = all_points - between.centre if more else all_points
    ranges_2 = norms(from_2) if more else all_ranges
    view1, view2 = kernels.PointList(all_points, all_ranges, all_sigma), kernels.PointList(from_2, ranges_2, all_sigma)
    count = adaptive.triangulate_broken_cells(view1, view2, cell, between.after, sheet.tangent, ragged)
    ragged = ragged[:count]

    if faces:
        err = adaptive.split_errors(points, cell, pitch, COARSEST_TOLERANCE_PX, size)
        finite = err[(err > 0) & (err < np.inf)]
        if adaptive.extract_triangles(err, cell, tolerance, size, nothing)[0] + len(ragged) > faces:
            # every middle that is split makes two triangles more (one at an outline)
            fewest = adaptive.extract_triangles(err, cell, COARSEST_TOLERANCE_PX, size, nothing)[0] + len(ragged)
            spare = max(0, (faces - fewest) // 2)
            if len(finite):
                spare = min(spare, len(finite) - 1)
                tolerance = float(np.partition(finite, len(finite) - 1 - spare)[len(finite) - 1 - spare])
            if adaptive.extract_triangles(err, cell, tolerance, size, nothing)[0] + len(ragged) > faces:
                tolerance = COARSEST_TOLERANCE_PX
        count, off = adaptive.extract_triangles(err, cell, tolerance, size, nothing)
        triangles = np.empty((count, 3), np.int32)
        adaptive.extract_triangles(err, cell, tolerance, size, triangles)
        triangles = np.concatenate([triangles, ragged])
    else:
        triangles, off = ragged, 0.0
    order = np.argsort(triangles[:, 0], kind="stable")  # neighbours in space near in the file
    triangles = triangles[order]
    triangles = triangles[facing(all_points, triangles)]
    told = np.where(sheet.filled.ravel(), np.nan, sigma.ravel())
    return all_points, triangles, np.concatenate([told, between.sigma]), off


def poisson(
    sheet: Sheet,
    faces: int,
    *,
    tolerance: Annotated[float, Range(0, 100)] = TOLERANCE_PX,
    depth: Annotated[int, Range(0, 12)] = 0,
    seconds: Annotated[float, Range(0.01, 10_000)] = 3.0,
    support: Annotated[float, Range(0.5, 100)] = 1.5,
) -> Mesh:
    """Screened Poisson reconstruction, trimmed to what the photos saw.

    faces: at most so many; 0: all that the solver gives.  tolerance: how far simplification may move the surface, in
    pixels; more where `faces` asks for it (`decimate`).  depth: of the octree, whose finest cell is the scene's extent
    / 2^depth; 0: a cell of the noise, but of 2.5 to 8 pixels, within 5..9, and as coarse as the solver needs to be
    done in about `seconds` on a processor of 3 GHz.  support: how far from the nearest sample, in units of the samples'
    spacing there, the surface is kept; holes up to twice that are closed.

    The surface is solved for in (x/z, y/z, ln z): a step of the range by a share of it counts as much as a step across
    by the same share, so cells are cubes everywhere and as fine as the picture's pixels near and far, where a cube of
    metres would be too coarse in front and too fine behind. Samples are block means of the point map, weighted by their
    uncertainty, with the normal of a plane fitted to their neighbours on the same surface, towards the camera, and what
    lies between pixels. Of the closed surface that comes back a vertex stays where it agrees with the samples seen at
    its own place in the photo: so nothing stands in front of what the photo saw, behind it, or beyond it. Solved on one
    thread: only so is it equal from run to run.

    The few points (up to 0.1 % on each side) far nearer or farther than all the others are left out, since one of them
    alone would enlarge the cube and every cell in it.

    Source: M. Kazhdan, H. Hoppe, Screened Poisson surface reconstruction, 2013 (Open3D's build of it).
    """
    open3d = load_open3d()
    z = sheet.points[..., 2]
    low, high = np.quantile(np.log(z[np.isfinite(z)]), OUTLIERS)
    with np.errstate(invalid="ignore"):
        known = np.abs(np.log(z) - (low + high) / 2) <= 0.6 * (high - low) + 0.01
    sheet = replace(
        sheet, points=np.where(known[..., None], sheet.points, np.nan), sigma=np.where(known, sheet.sigma, np.nan)
    )
    points, pixel = sheet.points, sheet.pitch
    if not pixel > 0:
        raise _scattered(0, int(known.sum()))
    view = points[known][:, :2] / points[known][:, 2:]
    # Open3D's cube is 1.1 times as large as the box of the samples
    extent = 1.1 * max(*np.ptp(view, axis=0), np.ptp(np.log(points[known][:, 2])), 16 * pixel)
    sure = known & np.isfinite(sheet.sigma)
    relative = float(np.median(sheet.sigma[sure] / norms(points[sure])))
    if depth == 0:
        finest = np.clip(relative, CELL_PX * pixel, COARSEST_PX * pixel)
        affordable = pixel * np.sqrt(known.sum() * SAMPLES_PER_CELL**2 * SECONDS_PER_SAMPLE / seconds)
        depth = int(np.clip(np.round(np.log2(extent / finest)), *DEPTHS))
        depth = max(DEPTHS[0], min(depth, int(np.log2(extent / affordable))))
    cell = extent / 2**depth
    step = int(np.clip(round(cell / pixel / SAMPLES_PER_CELL), 1, max(1, min(points.shape[:2]) // 4)))
    few = sheet.thinned(step)
    _, slope, count = few.planes(NORMAL_RADIUS)
    spacing = view_spacing(few.points)
    use = (count >= MIN_SAMPLES) & all_channels(np.isfinite(slope)) & np.isfinite(spacing)
    if use.sum() < 3:
        raise _scattered(int(use.sum()), int(known.sum()))
    points, sigma, slope, spacing = few.points[use], few.sigma[use], slope[use], spacing[use]
    filled = few.filled[use]
    samples = np.column_stack([points[:, :2] / points[:, 2:], np.log(points[:, 2])])
    normals = np.column_stack([slope, -np.ones(len(slope))])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)

    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(samples))
    cloud.normals = open3d.utility.Vector3dVector(normals)
    with open3d.utility.VerbosityContextManager(open3d.utility.VerbosityLevel.Error):
        solved, _ = open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(
            cloud, depth=depth, samples_per_node=SAMPLES_PER_NODE, n_threads=1
        )
    logger.info("poisson: depth %d, %d samples, every %d px, cell %.2f px", depth, len(samples), step, cell / pixel)
    vertices, triangles = np.asarray(solved.vertices), np.asarray(solved.triangles)

    close = np.where(np.isfinite(sigma), np.maximum(cell, 3 * sigma / points[:, 2]), 1.0)
    good, nearest = _seen(vertices, samples, slope, spacing, close, support)
    triangles = triangles[all_channels(good[triangles])]
    z = np.exp(vertices[:, 2])
    vertices = np.column_stack([vertices[:, 0] * z, vertices[:, 1] * z, z])
    triangles = triangles[facing(vertices, triangles)]
    triangles = triangles[_first_on_its_edges(triangles, len(vertices))]
    told = np.where(filled | ~np.isfinite(sigma), np.nan, sigma)[nearest]
    vertices, triangles, source, off = _fewer(vertices, triangles, faces, tolerance, pixel)
    return Mesh(
        vertices,
        triangles,
        sigma=told[source],
        facts={"simplification_px": off, "depth": depth, "cell_px": float(cell / pixel)},
    )


def _fewer(vertices, triangles, faces: int, tolerance: float, pitch: float):
    """At most `faces` triangles, and no more than flatness needs: `decimate.collapse` in pixels of (x/z, y/z, ln z).

    Returns vertices, triangles, the given vertex near each of them, and how far in px the surface moved at most.
    """
    from . import decimate

    used = np.zeros(len(vertices), bool)
    used[triangles] = True
    if not faces or not used.any():
        return vertices, triangles.astype(np.int32), np.arange(len(vertices)), 0.0
    number = np.cumsum(used) - 1
    X, F = vertices[used], number[triangles]
    X = np.column_stack([X[:, :2] / X[:, 2:], np.log(X[:, 2])]) / pitch
    alive, source, off = decimate.collapse(X, F, tolerance, faces, pitch)
    X *= pitch
    z = np.exp(X[:, 2])
    X = np.column_stack([X[:, 0] * z, X[:, 1] * z, z])
    F = F[alive].astype(np.int32)
    return X, F[facing(X, F)], np.flatnonzero(used)[source], float(off)


MESHERS = {"poisson": poisson, "grid": grid}


# --------------------------------------------------------------------------------------------------- parts


def view_spacing(points: np.ndarray) -> np.ndarray:
    """Distance in (x/z, y/z) from each known point to the next on the grid: the nearer one along each axis, the larger
    of the two axes.

    (H,W,3) -> (H,W), NaN where no neighbour is known.
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


def _seen(vertices, samples, slope, spacing, tolerance, support) -> tuple[np.ndarray, np.ndarray]:
    """Which vertices (V,3) agree with what the photo saw where they stand, and the sample (V,) next to each.

    All in (x/z, y/z, ln z). A vertex agrees with a sample when it lies within `tolerance` of the sample's plane; it
    stays when it agrees with most of the three samples nearest to it in the picture, and the nearest is no farther than
    `support` spacings.
    """
    from scipy.spatial import cKDTree

    k = min(3, len(samples))
    distance, index = cKDTree(samples[:, :2]).query(vertices[:, :2], k=k, workers=-1)
    distance, index = distance.reshape(-1, k), index.reshape(-1, k)
    step = vertices[:, None] - samples[index]
    off = step[..., 2] - (step[..., :2] * slope[index]).sum(-1)
    off = np.abs(off) / np.sqrt(1 + np.square(slope[index]).sum(-1))
    agree = (off <= tolerance[index]).sum(1) * 2 > k
    nearest = index[:, 0]
    return agree & (distance[:, 0] <= support * spacing[nearest]), nearest


def facing(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(M,) True where the face turns its front to the camera at the origin: (b - a) x (c - a) . a < 0.

    For faces of a grid that is turned, not mirrored, against the camera all are true but slivers.
    """
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.einsum("ij,ij->i", np.cross(b - a, c - a), a) < 0


def _first_on_its_edges(faces: np.ndarray, n: int) -> np.ndarray:
    """(M,) True where no earlier face runs along one of its edges in the same direction: the mesh stays a manifold.

    Among points that form no surface the Poisson solver now and then returns such faces.
    """
    start, end = faces.astype(np.int64), np.roll(faces, -1, axis=1)
    first = np.zeros(faces.size, bool)
    first[np.unique(start * n + end, return_index=True)[1]] = True
    return first.reshape(-1, 3).all(1)


def _scattered(samples: int, points: int) -> StereoError:
    return StereoError(
        "empty_mesh",
        f"{samples} samples of {points} points lie on a surface, 3 are needed.",
        "Look at the disparity: what is known in it is scattered.",
        samples=samples,
    )
