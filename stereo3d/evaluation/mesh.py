"""A mesh against true depth: alignment, precision, completeness, F-score."""

from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import numpy as np

from ..errors import StereoError
from ..geometry.camera import project
from ..geometry.rotations import rotation_angle_deg
from ..geometry.texture_coordinates import pixels_of_uv
from ..geometry.triangles import used_vertices
from ..records import Camera, Mesh
from ..resources import load_open3d
from .mesh_alignment import mirror_test, quantiles_percent, similarity
from .mesh_truth import Truth, nearest_depth, truth_of

TRUTH_POINTS = 1_000_000  # true pixels tested for completeness, on a regular grid
MIN_CORRESPONDENCES = 10  # a similarity has 7 unknowns; fewer points do not test it


class MeshScores(TypedDict):
    """How a mesh agrees with the truth; shares are fractions unless the name ends in `_percent`."""

    f_score: float  # 2 P C / (P + C)
    precision: float  # P, share of the mesh's surface near the truth
    completeness: float  # C, share of the truth near the mesh
    threshold: float  # "near" is within this fraction of the depth
    surface_median_percent: float  # median distance of surface samples to the true surface, % of depth
    samples: int  # of the surface, those whose photo pixel has a true depth
    samples_without_truth: int  # the others, which do not count
    truth_pixels: int  # true pixels tested for completeness
    footprint: float  # share of them that the mesh covers in the photo by its UV
    depth_median_percent: float  # median |s z - z_true| / z_true over the covered pixels, s = `depth_scale`
    depth_within: float  # share of the covered pixels within the threshold
    depth_scale: float  # s = median(z_true / z)
    vertices_with_truth: int
    align: str
    scale: float  # truth = scale R X + t
    rotation_deg: float
    R: list[list[float]]
    t: list[float]
    alignment_median_percent: float  # residual of the vertices, % of depth
    alignment_p90_percent: float
    mirrored: NotRequired[bool]  # with UV: a reflected mesh fits at least twice as well
    reflection: NotRequired[str]  # which one; "" where none does
    mirrored_median_percent: NotRequired[float]  # how well it fits
    mirrored_p90_percent: NotRequired[float]
    within_sigma: NotRequired[
        float
    ]  # with sigma: share of the vertices, by area in the photo, whose depth is off by at most sigma
    vertices: int
    faces: int
    area: float  # after alignment, units of depth squared
    metric_depth_median_percent: NotRequired[float]  # with align="none": as `depth_*`, s = 1
    metric_depth_within: NotRequired[float]


@dataclass(frozen=True, eq=False)
class _Correspondences:
    """Vertices of the mesh that have a true depth. X: (N,3).  z_true: (N,).  points: (N,3), the true points."""

    X: np.ndarray
    z_true: np.ndarray
    points: np.ndarray

    def depth_scale(self) -> float:
        """Median of z_true / z."""
        z = self.X[:, 2]
        return float(np.median(np.divide(self.z_true, z, where=z != 0, out=np.full_like(z, np.nan))[z != 0]))


def mesh_scores(
    mesh: Mesh,
    depth: np.ndarray,
    camera: Camera,
    *,
    threshold: float = 0.01,
    align: str = "similarity",
    samples: int = 300_000,
    seed: int = 0,
) -> MeshScores:
    """F = 2 P C / (P + C): P = share of the mesh's surface near the truth, C = share of the truth near the mesh.

    Distances are exact ones to triangles (Embree). Between true pixels 1/z is linear, and the surface torn at jumps.

    Parameters
    ----------
    mesh : Mesh
        In the frame of camera 1, of unknown scale; its UV gives the photo pixel of each vertex. Vertices without UV
        (NaN, as of the second photo's texture) get the pixel onto which `camera` projects them. A mesh without
        any UV cannot be aligned by similarity.
    depth : (H, W) float
        True z-depth of that photo, NaN or 0 unknown, at any size of the same pixel grid.
    camera : Camera
        The true camera, K at the photo's size.
    threshold : float
        "Near" is within this fraction of the true depth.
    align : str
        "similarity": robust absolute orientation of the vertices on the true points of their pixels; "scale": median
        ratio of depths, pose kept; "none": a metric mesh.
    samples : int
        Points of the surface, uniform by area.
    seed : int

    Returns
    -------
    MeshScores
        Scores of the mesh as it is, mirrored or not.

    Raises
    ------
    StereoError
        "bad_option", "size_mismatch", "no_overlap" or "empty_mesh".

    References
    ----------
    Knapitsch et al., Tanks and Temples, 2017 (precision, recall and F at a distance).
    """
    _check_score_options(mesh, align, threshold, samples)
    truth = truth_of(depth, camera, threshold)
    within_sigma = _within_sigma(mesh, truth) if mesh.sigma is not None else {}
    vertices, faces, uv = _used_part(mesh)
    pixels = projected_pixels(vertices, truth.K, truth.dist)
    if uv is not None:
        height, width = truth.depth.shape
        pixels = np.where(np.isfinite(uv), pixels_of_uv(uv, (width, height)), pixels)
    seen, pairs = _correspondences(vertices, pixels, truth)
    fit = similarity(pairs.X, pairs.points, pairs.z_true, seed) if uv is not None else None
    scale, R, t = _alignment(align, fit, pairs)
    aligned = scale * vertices @ R.T + t
    residual = quantiles_percent(np.linalg.norm(aligned[seen] - pairs.points, axis=1) / pairs.z_true)
    scores: dict = {
        "threshold": float(threshold),
        "vertices_with_truth": len(pairs.z_true),
        "align": align,
        "scale": float(scale),
        "rotation_deg": rotation_angle_deg(R),
        "R": R.tolist(),
        "t": t.tolist(),
        "alignment_median_percent": residual[0],
        "alignment_p90_percent": residual[-1],
        "vertices": len(vertices),
        "faces": len(faces),
        **(mirror_test(fit, pairs.X, pairs.points, pairs.z_true, seed) if fit is not None else {}),
        **within_sigma,
        **_surface_scores((aligned, faces), pixels, truth, threshold, samples, seed),
        **_grid_scores((aligned, faces), vertices[:, 2], pixels, truth, threshold, align == "none"),
    }
    total = scores["precision"] + scores["completeness"]
    scores["f_score"] = 2 * scores["precision"] * scores["completeness"] / total if total else 0.0
    return cast(MeshScores, {key: scores[key] for key in MeshScores.__annotations__ if key in scores})


def _check_score_options(mesh: Mesh, align: str, threshold: float, samples: int) -> None:
    if align not in ("similarity", "scale", "none"):
        raise StereoError("bad_option", f"align={align!r} is unknown.", "There are similarity, scale and none.")
    if not (threshold > 0 and samples > 0):
        raise ValueError(f"mesh_scores needs threshold > 0 and samples > 0, got {threshold} and {samples}")
    if mesh.uv is None and align == "similarity":
        raise StereoError(
            "bad_option",
            "The mesh has no texture coordinates, so the photo pixel of its vertices is unknown: it cannot be aligned "
            "by similarity.",
            "Write the mesh as .obj or .glb with its texture, or align by scale or none.",
        )


def _grid_scores(
    surface: tuple[np.ndarray, np.ndarray],
    z: np.ndarray,
    pixels: np.ndarray,
    truth: Truth,
    threshold: float,
    metric: bool,
) -> dict:
    """Completeness and errors of depth, over a regular grid of true pixels.

    surface: aligned vertices and faces.  z: (V,) depth of the vertices before alignment.  metric: without a scale too.
    """
    y, x = _regular_grid(truth.depth > 0, TRUTH_POINTS)
    grid, z_grid = np.stack([x, y], axis=-1).astype(float), truth.depth[y, x].astype(float)
    gap = _distance(surface, truth.points(grid, z_grid)) / z_grid
    covered, z_seen, z_sampled = _covered_depths(pixels, z, surface[1], truth, grid, z_grid)
    scale = float(np.median(z_sampled / z_seen)) if covered.any() else float("nan")
    return {
        "completeness": float(np.mean(gap <= threshold)),
        "truth_pixels": len(z_grid),
        "footprint": float(np.mean(covered)),
        **_depth_error("depth", scale * z_seen, z_sampled, threshold),
        "depth_scale": scale,
        **(_depth_error("metric_depth", z_seen, z_sampled, threshold) if metric else {}),
    }


def _correspondences(vertices: np.ndarray, pixels: np.ndarray, truth: Truth) -> tuple[np.ndarray, _Correspondences]:
    """Which vertices (V,) have a true depth, and those with their true points."""
    z_true = truth.at(pixels)
    seen = np.isfinite(z_true)
    count = int(np.count_nonzero(seen))
    if count < MIN_CORRESPONDENCES:
        raise StereoError(
            "no_overlap",
            f"{count} of {len(vertices)} vertices fall on a photo pixel with true depth, {MIN_CORRESPONDENCES} needed.",
            "Check that depth map and camera belong to the mesh's first photo.",
            seen=count,
            needed=MIN_CORRESPONDENCES,
        )
    return seen, _Correspondences(vertices[seen], z_true[seen], truth.points(pixels[seen], z_true[seen]))


def _alignment(
    align: str, fit: tuple[float, np.ndarray, np.ndarray] | None, pairs: _Correspondences
) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, R, t by one of the three kinds of alignment; fit: the similarity."""
    if align == "similarity" and fit is not None:
        return fit
    scale = pairs.depth_scale() if align == "scale" else 1.0
    if not scale > 0:
        raise StereoError(
            "no_overlap",
            f"The mesh is behind the camera (median ratio of depths {scale:.3g}).",
            "Align by similarity.",
            scale=scale,
        )
    return scale, np.eye(3), np.zeros(3)


def _surface_scores(
    surface: tuple[np.ndarray, np.ndarray],
    pixels: np.ndarray,
    truth: Truth,
    threshold: float,
    samples: int,
    seed: int,
) -> dict:
    """Distance of the mesh's surface to the truth, from area-uniform samples."""
    X, sample_pixels, area = _sample_surface(*surface, pixels, samples, seed)
    z = nearest_depth(truth.depth, sample_pixels)
    counted = z > 0
    distance = _distance(truth.triangles(), X[counted]) / z[counted]
    return {
        "precision": float(np.mean(distance <= threshold)) if counted.any() else 0.0,
        "surface_median_percent": 100 * float(np.median(distance)) if counted.any() else float("nan"),
        "samples": int(np.count_nonzero(counted)),
        "samples_without_truth": int(np.count_nonzero(~counted)),
        "area": float(area),
    }


def _covered_depths(
    pixels: np.ndarray, z: np.ndarray, faces: np.ndarray, truth: Truth, grid: np.ndarray, z_grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which pixels of the grid (N,) the mesh covers, and of those the mesh's depth and the true one."""
    sampled = grid + [0.013, 0.007]  # off the pixels' centres, so that no ray meets an edge between two faces
    z_seen = _depth_from_camera(pixels, z, faces, sampled)
    z_sampled = truth.at(sampled)
    z_sampled = np.where(np.isfinite(z_sampled), z_sampled, z_grid)
    covered = np.isfinite(z_seen)
    return covered, z_seen[covered], z_sampled[covered]


def _within_sigma(mesh: Mesh, truth: Truth) -> dict:
    """Share of the vertices, by their area in the photo, whose depth is off (after one scale) by at most sigma.

    Of normal errors that is 0.68; {} where no vertex has a true depth.
    """
    if mesh.sigma is None:
        return {}
    vertices = np.asarray(mesh.vertices, dtype=float)
    front = np.where(vertices[:, 2:] > 0, vertices, np.nan)
    view = np.column_stack([front[:, :2] / front[:, 2:], np.ones(len(front))])
    area = np.nan_to_num(_areas(view, mesh.faces))
    area = np.bincount(np.asarray(mesh.faces).ravel(), np.repeat(area, 3), len(vertices))
    known = np.isfinite(mesh.sigma) & (vertices[:, 2] > 0) & (area > 0)
    X, sigma, area = vertices[known], mesh.sigma[known], area[known]
    if mesh.uv is not None:
        pixels = pixels_of_uv(mesh.uv[known], (truth.depth.shape[1], truth.depth.shape[0]))
    else:
        pixels = projected_pixels(X, truth.K, truth.dist)
    z = truth.at(pixels)
    seen = np.isfinite(z)
    if not seen.any():
        return {}
    ratio = z[seen] / X[seen, 2]
    off = np.abs(ratio / np.median(ratio) - 1)
    return {"within_sigma": float(np.average(off <= sigma[seen] / np.linalg.norm(X[seen], axis=1), weights=area[seen]))}


def _depth_error(name: str, z: np.ndarray, z_true: np.ndarray, threshold: float) -> dict:
    error = np.abs(z - z_true) / z_true if len(z) else np.array([np.nan])
    return {
        f"{name}_median_percent": 100 * float(np.median(error)),
        f"{name}_within": float(np.mean(error <= threshold)),
    }


def _used_part(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Vertices that belong to a face, the faces of them that have an area, and the vertices' UV."""
    vertices, faces = np.asarray(mesh.vertices, dtype=float), np.asarray(mesh.faces)
    faces = faces[np.all(np.isfinite(vertices), axis=1)[faces].all(1)]
    faces = faces[_areas(vertices, faces) > 0]
    if len(faces) == 0:
        raise StereoError(
            "empty_mesh",
            f"The mesh has no face with an area ({len(vertices)} vertices, {len(mesh.faces)} faces).",
            "Check the mesh.",
        )
    used, faces = used_vertices(faces, len(vertices))
    return vertices[used], faces, None if mesh.uv is None else np.asarray(mesh.uv, dtype=float)[used]


def _areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def projected_pixels(X: np.ndarray, K: np.ndarray, dist: np.ndarray) -> np.ndarray:
    """x = K distort(X / Z), (N,3) -> (N,2) px, NaN behind the camera; whether another surface hides X is not tested."""
    x = np.full((len(X), 2), np.nan)
    front = X[:, 2] > 0
    x[front] = project(X[front], K, dist=dist)
    return x


def _regular_grid(mask: np.ndarray, max_pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the true pixels, of every k-th row and column so that about `max_pixels` of them remain."""
    step = max(1, int(np.ceil(np.sqrt(np.count_nonzero(mask) / max_pixels))))
    y, x = np.nonzero(mask[step // 2 :: step, step // 2 :: step])
    return y * step + step // 2, x * step + step // 2


def _sample_surface(
    vertices: np.ndarray, faces: np.ndarray, pixels: np.ndarray, n: int, seed: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """n area-uniform points of the surface (n,3), the photo pixel of each (n,2), and the area of the surface.

    A point of a triangle is (1 - sqrt(a)) A + sqrt(a) (1 - b) B + sqrt(a) b C, a and b uniform in [0,1] (Turk 1990);
    triangles are taken at even steps of the summed area (systematic sampling), which spreads them best.
    """
    rng = np.random.default_rng(seed)
    area = np.cumsum(_areas(vertices, faces))
    place = (np.arange(n) + rng.random()) / n * area[-1]
    corner = faces[np.minimum(np.searchsorted(area, place, side="right"), len(faces) - 1)]
    a, b = np.sqrt(rng.random(n)), rng.random(n)
    weights = np.stack([1 - a, a * (1 - b), a * b], axis=-1)[..., None]
    return (vertices[corner] * weights).sum(1), (pixels[corner] * weights).sum(1), float(area[-1])


def _raycasting_scene(vertices: np.ndarray, faces: np.ndarray) -> Any:
    o3d = load_open3d()
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor(np.ascontiguousarray(vertices, dtype=np.float32)),
        o3d.core.Tensor(np.ascontiguousarray(faces, dtype=np.uint32)),
    )
    return scene


def _distance(surface: tuple[np.ndarray, np.ndarray], X: np.ndarray) -> np.ndarray:
    """Exact distance (N,) of points (N,3) to the nearest triangle of a surface (vertices, faces), f64."""
    o3d = load_open3d()
    # single precision inside: measured from the middle of the points, in units of their spread
    middle = X.mean(0) if len(X) else np.zeros(3)
    unit = max(float(np.abs(X - middle).max(initial=0)), 1e-300)
    scene = _raycasting_scene((surface[0] - middle) / unit, surface[1])
    return unit * scene.compute_distance(o3d.core.Tensor(((X - middle) / unit).astype(np.float32))).numpy().astype(
        float
    )


def _depth_from_camera(pixels: np.ndarray, z: np.ndarray, faces: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Depth of the mesh's nearest face at the pixels grid (N,2); NaN where it has none.

    pixels: (V,2), z: (V,), the photo pixel and the depth of each vertex. 1/z is linear on the picture of a plane.
    """
    o3d = load_open3d()
    far = max(float(np.abs(z).max(initial=0)), 1e-300)
    flat = np.concatenate([np.nan_to_num(pixels), z[:, None] / far], axis=1)
    faces = faces[np.all(np.isfinite(pixels), axis=1)[faces].all(1) & (z[faces] > 0).all(1)]
    found = np.full(len(grid), np.nan)
    if len(faces) == 0:
        return found
    rays = np.zeros((len(grid), 6), dtype=np.float32)
    rays[:, :2] = grid
    rays[:, 2], rays[:, 5] = -1, 1
    hit = _raycasting_scene(flat, faces).cast_rays(o3d.core.Tensor(rays))
    struck = np.isfinite(hit["t_hit"].numpy())
    corners = faces[hit["primitive_ids"].numpy()[struck].astype(np.int64)]
    b, c = hit["primitive_uvs"].numpy()[struck].astype(float).T
    inverse = 1 / z[corners]
    found[struck] = 1 / ((1 - b - c) * inverse[:, 0] + b * inverse[:, 1] + c * inverse[:, 2])
    return found
