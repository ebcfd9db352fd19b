"""Point map -> triangle mesh -> textured mesh.

The point map is a grid of rays of camera 1 with a range on each. Two neighbours belong to one surface unless the step
between them is too steep to be a slope *and* too large to be noise (`_torn`); everything here that averages, joins or
trims asks that one question.
"""

import logging
from typing import Annotated

import numpy as np

from .errors import StereoError, load_open3d
from .geometry import project
from .options import Between, check_options, choose, options_of
from .records import Camera, Mesh, Photo

__all__ = ["MESHERS", "build_mesh", "grid", "poisson", "texture_mesh"]

logger = logging.getLogger(__name__)

NOISE_FACTOR = 3.0  # a step below this many standard deviations of the step itself can be noise
CELL_PX = 2.5  # Poisson's finest cell, in pixels of the point map: half the window a matcher decides by
COARSEST_PX = 8.0  # however noisy the points are: their noise is alike within a matching window, and outlines count too
DEPTHS = (5, 9)  # of Poisson's octree when chosen by itself: full_depth of the solver, and what takes seconds
SAMPLES_PER_CELL = 1.25  # along one side of a cell: each is the mean of all its pixels already, more adds only time
SAMPLES_PER_NODE = 3.0  # the solver's own measure for noisy samples (1.5 for clean): smoother and a sixth faster
NORMAL_RADIUS = 2  # normals from a plane through 5 x 5 samples, about four cells wide
OUTLIERS = (0.001, 0.999)  # quantiles of ln z: what lies a tenth of their span beyond would only coarsen the cells
MIN_SAMPLES = 6  # of those 25, or the point is a trail or speck and not a surface


def build_mesh(points: np.ndarray, *, sigma: np.ndarray | None = None, method: str = "poisson", **options) -> Mesh:
    """A triangle mesh through a point map, by one of `MESHERS`.

    points: (H,W,3) in the frame of camera 1, NaN = unknown, on the grid of a picture taken from its origin (turned
    against the photo or not).  sigma: (H,W) standard deviation of each point along its ray, same units; None: taken
    from the point map itself (`noise`).  options: those of the method.

    Returns a Mesh without texture: faces counter-clockwise seen from the camera, vertices all in use, each edge in at
    most two faces; sigma (V,) as given for the points.
    Raises StereoError("unknown_method" | "bad_option" | "empty_mesh" | "library_missing"); ValueError for wrong shapes.
    """
    mesher = choose("mesher", MESHERS, method)
    options = check_options(method, options_of(mesher), options)
    points = np.asarray(points, dtype=float)
    if points.ndim != 3 or points.shape[2] != 3:
        raise ValueError(f"build_mesh needs points (H,W,3), got {points.shape}")
    if sigma is not None and np.shape(sigma) != points.shape[:2]:
        raise ValueError(f"build_mesh needs sigma {points.shape[:2]}, got {np.shape(sigma)}")
    with np.errstate(invalid="ignore"):
        known = np.isfinite(points).all(-1) & (points[..., 2] > 0)
    if known.sum() < 3:
        raise StereoError("empty_mesh", f"{int(known.sum())} points in front of the camera, 3 make a triangle.",
                          "Look at the disparity: nothing in it is known.", points=int(known.sum()))  # fmt: skip
    points = np.where(known[..., None], points, np.nan)
    if sigma is None:
        sigma = noise(points)
    else:
        sigma = np.asarray(sigma, dtype=float)
        good = known & np.isfinite(sigma)
        sigma = np.where(known, np.where(good, sigma, np.median(sigma[good]) if good.any() else 0.0), np.nan)
    mesh = mesher(points, sigma, **options)
    logger.info("%s: %d points, %d vertices, %d faces", method, known.sum(), len(mesh.vertices), len(mesh.faces))
    return mesh


# --------------------------------------------------------------------------------------------------- meshers


def grid(
    points: np.ndarray,
    sigma: np.ndarray,
    *,
    faces: Annotated[int, Between(0)] = 500_000,
    step: Annotated[int, Between(0, 10_000)] = 0,
    max_angle: Annotated[float, Between(0, 90)] = 80.0,
    islands: Annotated[float, Between(0, 1)] = 0.002,
) -> Mesh:
    """Two triangles for every four neighbours of the point map, cut where the surface tears.

    points (H,W,3), sigma (H,W), NaN unknown.  step: every so many pixels of the map one vertex, the mean of its block
    (`thin`); 0: the smallest that gives at most `faces` triangles; faces = 0: all.  max_angle: degrees between the
    surface's normal and the line of sight up to which a step is a slope.  islands: pieces smaller than this share of
    the largest are left out, by the area they cover in the photo.

    Of the two diagonals of a square the one that leaves more triangles whole is taken, then the shorter one. Each edge
    bounds at most two faces by construction.
    """
    if step > min(points.shape[:2]):
        raise StereoError("bad_option", f"grid.step = {step} is larger than the map, {points.shape[1]} x "
                          f"{points.shape[0]}.", "Give a smaller step.", step=step)  # fmt: skip
    if step == 0:
        known = int(np.isfinite(sigma).sum())
        step = max(1, int(np.ceil(np.sqrt(2 * known / faces)))) if faces else 1
    points, sigma = thin(points, sigma, int(step), max_angle)
    index, ranges = np.arange(sigma.size).reshape(sigma.shape), np.linalg.norm(points, axis=-1)
    corner = [(slice(0, -1), slice(0, -1)), (slice(1, None), slice(0, -1)), (slice(1, None), slice(1, None)),
              (slice(0, -1), slice(1, None))]  # fmt: skip  # around the square: top left, bottom left, right, top right

    def length(i, j):
        """Length of the edge between two corners of every square, inf where there is no edge."""
        a, b = corner[i], corner[j]
        gone = _torn(points[a], points[b], ranges[a], ranges[b], sigma[a], sigma[b], max_angle)
        return np.where(gone, np.inf, np.linalg.norm(points[a] - points[b], axis=-1))

    side = [length(i, (i + 1) % 4) < np.inf for i in range(4)]
    down, up = length(0, 2), length(1, 3)
    whole = {
        (0, 1, 2): side[0] & side[1] & (down < np.inf),
        (0, 2, 3): side[2] & side[3] & (down < np.inf),
        (0, 1, 3): side[0] & side[3] & (up < np.inf),
        (1, 2, 3): side[1] & side[2] & (up < np.inf),
    }
    by_down = whole[0, 1, 2].astype(np.int8) + whole[0, 2, 3]
    by_up = whole[0, 1, 3].astype(np.int8) + whole[1, 2, 3]
    choose_down = (by_down > by_up) | ((by_down == by_up) & (down <= up))
    triangles = [
        np.stack([index[corner[k]][keep] for k in t], -1)
        for t, keep in ((t, ok & (choose_down if 0 in t and 2 in t else ~choose_down)) for t, ok in whole.items())
    ]
    order = np.concatenate([t[:, 0] for t in triangles])
    triangles = np.concatenate(triangles)[np.argsort(order, kind="stable")]  # neighbours in space near in the file
    vertices, sigma = points.reshape(-1, 3), sigma.ravel()
    triangles = triangles[_facing(vertices, triangles)]
    return _finish(vertices, triangles, sigma, islands)


def poisson(
    points: np.ndarray,
    sigma: np.ndarray,
    *,
    depth: Annotated[int, Between(0, 12)] = 0,
    support: Annotated[float, Between(0.5, 100)] = 1.5,
    max_angle: Annotated[float, Between(0, 90)] = 80.0,
    islands: Annotated[float, Between(0, 1)] = 0.002,
) -> Mesh:
    """Screened Poisson reconstruction, trimmed to what the photo saw.

    points (H,W,3), sigma (H,W), NaN unknown.  depth: of the octree, whose finest cell is the scene's extent / 2^depth;
    0: a cell of the noise, but of 2.5 to 8 pixels, within 5..9.  support: how far from the nearest
    sample, in units of the samples' spacing there, the surface is kept; holes up to twice that are closed.
    max_angle, islands: as for `grid`.

    The surface is solved for in (x/z, y/z, ln z): a step of the range by a share of it counts as much as a step across
    by the same share, so cells are cubes everywhere and as fine as the picture's pixels near and far, where a cube of
    metres would be too coarse in front and too fine behind. Samples are block means of the point map with the normal
    of a plane fitted to their neighbours on the same surface, towards the camera. Of the closed surface that comes
    back a vertex stays where it agrees with the samples seen at its own place in the photo: so nothing stands in front
    of what the photo saw, behind it, or beyond it. Solved on one thread: only so is it equal from run to run.

    The few points (up to 0.1 % on each side) far nearer or farther than all the others are left out, since one of them
    alone would enlarge the cube and every cell in it.

    Source: M. Kazhdan, H. Hoppe, Screened Poisson surface reconstruction, 2013 (Open3D's build of it).
    """
    open3d = load_open3d()
    z = points[..., 2]
    low, high = np.quantile(np.log(z[np.isfinite(z)]), OUTLIERS)
    with np.errstate(invalid="ignore"):
        known = np.abs(np.log(z) - (low + high) / 2) <= 0.6 * (high - low) + 0.01
    points, sigma = np.where(known[..., None], points, np.nan), np.where(known, sigma, np.nan)
    spacing = _spacing(points)
    spacing = spacing[spacing > 0]
    if len(spacing) < 3:
        raise _scattered(len(spacing), int(known.sum()))
    pixel = float(np.median(spacing))
    view = points[known][:, :2] / points[known][:, 2:]
    # Open3D's cube is 1.1 times as large as the box of the samples
    extent = 1.1 * max(*np.ptp(view, axis=0), np.ptp(np.log(points[known][:, 2])), 16 * pixel)
    relative = float(np.median(sigma[known] / np.linalg.norm(points[known], axis=1)))
    if depth == 0:
        finest = np.clip(relative, CELL_PX * pixel, COARSEST_PX * pixel)
        depth = int(np.clip(np.round(np.log2(extent / finest)), *DEPTHS))
    cell = extent / 2**depth
    step = int(np.clip(round(cell / pixel / SAMPLES_PER_CELL), 1, max(1, min(points.shape[:2]) // 4)))
    points, sigma = thin(points, sigma, step, max_angle)
    slope, count = _slopes(points, sigma, max_angle)
    spacing = _spacing(points)
    use = (count >= MIN_SAMPLES) & np.isfinite(slope).all(-1) & np.isfinite(spacing)
    if use.sum() < 3:
        raise _scattered(int(use.sum()), int(known.sum()))
    points, sigma, slope, spacing = points[use], sigma[use], slope[use], spacing[use]
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

    good, nearest = _seen(vertices, samples, slope, spacing, np.maximum(cell, NOISE_FACTOR * sigma / points[:, 2]),
                          support)  # fmt: skip
    triangles = triangles[good[triangles].all(1)]
    z = np.exp(vertices[:, 2])
    vertices = np.column_stack([vertices[:, 0] * z, vertices[:, 1] * z, z])
    triangles = triangles[_facing(vertices, triangles)]
    triangles = triangles[_first_on_its_edges(triangles, len(vertices))]
    return _finish(vertices, triangles, sigma[nearest], islands)


MESHERS = {"poisson": poisson, "grid": grid}


# ---------------------------------------------------------------------------------------- the point map


def noise(points: np.ndarray) -> np.ndarray:
    """Standard deviation along the ray from the point map itself: sigma = s z r, s = 1.4826 median|w''| / sqrt(6).

    w = 1/z is linear along the rows of a plane, so its second difference w'' is noise (and the rare crease); disparity
    errors are the same everywhere in w. points: (H,W,3), NaN unknown -> (H,W), units of the points, NaN unknown.
    """
    z = points[..., 2]
    w = 1 / z
    second = np.abs(w[:, 2:] - 2 * w[:, 1:-1] + w[:, :-2])
    second = second[np.isfinite(second)]
    s = 1.4826 * float(np.median(second)) / np.sqrt(6) if len(second) else 0.0
    return s * z * np.linalg.norm(points, axis=-1)


def thin(points: np.ndarray, sigma: np.ndarray, step: int, max_angle: float) -> tuple[np.ndarray, np.ndarray]:
    """One point for every block of step x step: the mean of (x/z, y/z, 1/z) over the surface at the block's median.

    A plane is linear in these, so the mean of points on it lies on it. Points of the block that are torn from the
    median one do not count. sigma is the mean one: neighbouring disparities share their errors, so it does not shrink.
    points (H,W,3), sigma (H,W), NaN unknown -> the same on the coarser grid.
    """
    if step == 1:
        return points, sigma
    H, W = sigma.shape
    h, w = -(-H // step), -(-W // step)
    pad = ((0, h * step - H), (0, w * step - W))

    def blocks(a):
        a = np.pad(a, pad + ((0, 0),) * (a.ndim - 2), constant_values=np.nan)
        a = a.reshape(h, step, w, step, -1).swapaxes(1, 2)
        return a.reshape(h * w, step * step, -1)

    P, s = blocks(points), blocks(sigma)[..., 0]
    some = np.isfinite(s).any(1)
    P, s = P[some], s[some]
    r = np.linalg.norm(P, axis=-1)
    middle = np.argsort(r, axis=1)[np.arange(len(r)), (np.isfinite(r).sum(1) - 1) // 2]  # NaN sorts last
    at = (np.arange(len(r)), middle)
    torn = _torn(P, P[at][:, None], r, r[at][:, None], s, s[at][:, None], max_angle)
    n = (~torn).sum(1)
    mean = np.where(torn[..., None], 0, np.concatenate([P[..., :2], np.ones_like(P[..., 2:])], -1) / P[..., 2:])
    mean = mean.sum(1) / n[:, None]
    out, out_sigma = np.full((h * w, 3), np.nan), np.full(h * w, np.nan)
    out[some] = np.column_stack([mean[:, :2], np.ones(len(mean))]) / mean[:, 2:]
    out_sigma[some] = np.where(torn, 0, s).sum(1) / n
    return out.reshape(h, w, 3), out_sigma.reshape(h, w)


def _torn(P, Q, range_p, range_q, sigma_p, sigma_q, max_angle) -> np.ndarray:
    """True where the step from P to Q is a tear: dr > tan(max_angle) l + 3 sqrt(sigma_p^2 + sigma_q^2).

    dr = | |P| - |Q| | is the step along the rays and l = sqrt(|P - Q|^2 - dr^2) the one across them. A slope steeper
    than max_angle cannot be told from a jump and is taken for one, unless the noise alone makes such steps: so a road
    at grazing angle or a short baseline is not shredded. True too where P or Q is unknown (NaN).
    """
    with np.errstate(invalid="ignore"):
        along = np.abs(range_p - range_q)
        across = np.sqrt(np.maximum(np.square(P - Q).sum(-1) - np.square(along), 0))
        noise = NOISE_FACTOR * np.sqrt(np.square(sigma_p) + np.square(sigma_q))
        return ~(along <= np.tan(np.radians(max_angle)) * across + noise)


def _spacing(points: np.ndarray) -> np.ndarray:
    """Distance in (x/z, y/z) from each known point to the next on the grid: the nearer one along each axis, the larger
    of the two axes.

    (H,W,3) -> (H,W), NaN where no neighbour is known.
    """
    view = points[..., :2] / points[..., 2:]
    out = np.full(points.shape[:2], np.nan)
    for axis in (0, 1):
        gap = np.linalg.norm(np.diff(view, axis=axis), axis=-1)
        end = np.full(np.moveaxis(out, axis, 0)[:1].shape, np.nan)
        end = np.moveaxis(end, 0, axis)
        before, after = np.concatenate([end, gap], axis), np.concatenate([gap, end], axis)
        out = np.fmax(out, np.fmin(before, after))
    return out


def _slopes(points: np.ndarray, sigma: np.ndarray, max_angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Gradient of ln z over (x/z, y/z) at each point, by a plane through its neighbours on the same surface.

    A plane is w = 1/z = g . (x/z, y/z) + c, so least squares over the window gives g, and grad ln z = -g / w.
    (H,W,3), (H,W) -> (H,W,2), and (H,W) how many points the plane rests on.
    """
    H, W = sigma.shape
    r = NORMAL_RADIUS
    ranges = np.linalg.norm(points, axis=-1)
    whole = np.concatenate([points[..., :2] / points[..., 2:], 1 / points[..., 2:], points,
                            ranges[..., None], sigma[..., None]], -1)  # fmt: skip
    whole = np.pad(whole, ((r, r), (r, r), (0, 0)), constant_values=np.nan)
    here = whole[r : r + H, r : r + W]
    count = np.zeros((H, W))
    sums = {k: np.zeros((H, W)) for k in ("a", "b", "w", "aa", "ab", "bb", "aw", "bw")}
    for dy in range(2 * r + 1):
        for dx in range(2 * r + 1):
            there = whole[dy : dy + H, dx : dx + W]
            use = ~_torn(here[..., 3:6], there[..., 3:6], here[..., 6], there[..., 6], here[..., 7], there[..., 7],
                         max_angle)  # fmt: skip
            a, b, w = np.moveaxis(np.where(use[..., None], there[..., :3] - here[..., :3], 0.0), -1, 0)
            count += use
            for key, value in zip(sums, (a, b, w, a * a, a * b, b * b, a * w, b * w), strict=True):
                sums[key] += value
    n = np.maximum(count, 1)
    a, b, w = sums["a"] / n, sums["b"] / n, sums["w"] / n
    aa, ab, bb = sums["aa"] / n - a * a, sums["ab"] / n - a * b, sums["bb"] / n - b * b
    aw, bw = sums["aw"] / n - a * w, sums["bw"] / n - b * w
    det = aa * bb - ab * ab
    with np.errstate(divide="ignore", invalid="ignore"):
        det = np.where(det > 1e-3 * (aa + bb) ** 2, det, np.nan)  # points on a line carry no plane
        g = np.stack([bb * aw - ab * bw, aa * bw - ab * aw], -1) / det[..., None]
        return -g / (here[..., 2] + w)[..., None], count


# --------------------------------------------------------------------------------------------- triangles


def _seen(vertices, samples, slope, spacing, tolerance, support) -> tuple[np.ndarray, np.ndarray]:
    """Which vertices (V,3) agree with what the photo saw where they stand, and the sample (V,) next to each.

    All in (x/z, y/z, ln z). A vertex agrees with a sample when it lies within `tolerance` of the sample's plane; it
    stays when it agrees with most of the three samples nearest to it in the picture, and the nearest is no farther than
    `support` spacings.
    """
    from scipy.spatial import cKDTree

    k = min(3, len(samples))
    distance, index = cKDTree(samples[:, :2]).query(vertices[:, :2], k=k)
    distance, index = distance.reshape(-1, k), index.reshape(-1, k)
    step = vertices[:, None] - samples[index]
    off = step[..., 2] - (step[..., :2] * slope[index]).sum(-1)
    off = np.abs(off) / np.sqrt(1 + np.square(slope[index]).sum(-1))
    agree = (off <= tolerance[index]).sum(1) * 2 > k
    nearest = index[:, 0]
    return agree & (distance[:, 0] <= support * spacing[nearest]), nearest


def _facing(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
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


def _finish(vertices, faces, sigma, islands) -> Mesh:
    """Small pieces out (by the area they cover in the photo, as a share of the largest), unused vertices out."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if len(faces):
        n = len(vertices)
        ends = np.concatenate([faces[:, :2], faces[:, 1:]])
        graph = coo_matrix((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(n, n))
        piece = connected_components(graph, directed=False)[1][faces[:, 0]]
        u, v, w = (vertices[faces[:, k], :2] / vertices[faces[:, k], 2:] for k in range(3))
        area = np.abs((v[:, 0] - u[:, 0]) * (w[:, 1] - u[:, 1]) - (v[:, 1] - u[:, 1]) * (w[:, 0] - u[:, 0]))
        total = np.bincount(piece, weights=area)
        faces = faces[total[piece] >= islands * total.max()]
    if len(faces) == 0:
        raise StereoError("empty_mesh", "not one triangle holds together: every point is torn from its neighbours.",
                          "Look at the disparity; a larger mesh.max_angle tears less.")  # fmt: skip
    return _compact(Mesh(vertices, faces, sigma=sigma))


def _compact(mesh: Mesh) -> Mesh:
    """The mesh without vertices that no face uses, order kept."""
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.faces] = True
    new = np.cumsum(used, dtype=np.int32) - 1
    pick = [None if a is None else np.ascontiguousarray(a[used]) for a in (mesh.vertices, mesh.uv, mesh.sigma)]
    return Mesh(pick[0], new[mesh.faces].astype(np.int32), pick[1], mesh.texture, pick[2])


# ----------------------------------------------------------------------------------------------- texture


def texture_mesh(mesh: Mesh, photo: Photo, camera: Camera) -> Mesh:
    """The mesh with the photo as its texture: uv = ((x + 1/2) / W, 1 - (y + 1/2) / H), x = K distort(X / Z).

    The texture is the photo at its full resolution, whatever the resolution of the mesh; `camera` is camera 1 at the
    size `camera.size`, of the photo's proportions. Faces with a corner behind the camera, or with all three corners
    outside the photo, are left out; a corner outside of a face that reaches in is moved to the photo's edge.

    Raises StereoError("empty_mesh") where no face is seen; ValueError where camera and photo differ in proportions.
    """
    width, height = camera.size
    if abs(photo.size[0] * height - photo.size[1] * width) > max(*camera.size, *photo.size):
        raise ValueError(f"texture_mesh: the camera is for {camera.size}, the photo is {photo.size}")
    front = mesh.vertices[:, 2] > 0
    x = np.full((len(mesh.vertices), 2), np.nan)
    x[front] = project(mesh.vertices[front], camera.K, dist=camera.dist)
    uv = (x + 0.5) / camera.size
    uv[:, 1] = 1 - uv[:, 1]
    with np.errstate(invalid="ignore"):
        inside = ((uv >= 0) & (uv <= 1)).all(1)
    keep = inside[mesh.faces].any(1) & front[mesh.faces].all(1)
    if not keep.any():
        raise StereoError("empty_mesh", f"none of {len(keep)} faces lies in the photo.", "Check the calibration.",
                          faces=len(keep))  # fmt: skip
    return _compact(Mesh(mesh.vertices, mesh.faces[keep], np.clip(uv, 0, 1), photo.pixels, mesh.sigma))


# ---------------------------------------------------------------------------------------------------- ends


def _scattered(samples: int, points: int) -> StereoError:
    return StereoError("empty_mesh", f"{samples} samples of {points} points lie on a surface, 3 are needed.",
                       "Look at the disparity: what is known in it is scattered.", samples=samples)  # fmt: skip
