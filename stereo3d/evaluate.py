"""Measuring a result against truth: disparity maps, relative poses, meshes; and the readers of the truth.

Shares named bad, coverage or `*_percent` are in %; precision, completeness and F-score are fractions.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import numpy as np

from .errors import StereoError
from .files import read_map
from .geometry import absolute_orientation, angle_deg, hom, project, rotation_angle_deg, scale_K, undistort
from .records import Camera, Mesh
from .resources import load_open3d

# ------------------------------------------------------------------------------------------------ disparity


@dataclass(frozen=True, eq=False)
class Scene:
    """A rectified pair with its true disparity.

    left, right: (H,W,3) u8 RGB.  truth: (H,W) f32 px of the left picture, x_right = x_left - d, NaN unknown.
    truth_right: (H,W) f32 px of the right picture, the same sign | None.  nonocc: (H,W) bool, pixels with truth that
    both pictures see.  calib: path of the calibration | None.
    """

    name: str
    left: np.ndarray
    right: np.ndarray
    truth: np.ndarray
    truth_right: np.ndarray | None
    nonocc: np.ndarray
    calib: Path | None = None


def read_scene(folder: str | os.PathLike) -> Scene:
    """A scene from its `pair.json`: d = raw / `scale` px.

    It names `left`, `right`, `disp_left` and where present `disp_right`, `nonocc`, `calib`; raw values listed in
    `unknown` (numbers, "inf", "nan") carry no truth. Non-occluded pixels by `non_occluded`.
    Raises StereoError("file_missing" | "file_unreadable" | "unknown_format" | "size_mismatch").
    """
    folder = Path(folder)
    facts = _read_json(folder / "pair.json")
    missing = [key for key in ("left", "right", "disp_left") if key not in facts]
    if missing:
        raise StereoError(
            "file_unreadable",
            f"{folder / 'pair.json'} names no {', '.join(missing)}.",
            "It needs left, right and disp_left.",
        )
    left, right = _read_picture(folder / facts["left"]), _read_picture(folder / facts["right"])
    how = {"scale": float(facts.get("scale", 1)), "unknown": facts.get("unknown", ())}
    truth = read_map(folder / facts["disp_left"], **how)
    truth_right = read_map(folder / facts["disp_right"], **how) if "disp_right" in facts else None
    mask = _read_picture(folder / facts["nonocc"])[..., 0] == 255 if "nonocc" in facts else None
    for name, array, like in (("disp_left", truth, left), ("disp_right", truth_right, right), ("nonocc", mask, left)):
        if array is not None and array.shape != like.shape[:2]:
            raise StereoError(
                "size_mismatch",
                f"{folder}: {name} is {array.shape[1]}x{array.shape[0]}, its picture {like.shape[1]}x{like.shape[0]}.",
                "Truth and picture must have the same size.",
            )
    nonocc = non_occluded(truth, truth_right, mask)
    calib = folder / facts["calib"] if "calib" in facts else None
    return Scene(folder.resolve().name, left, right, truth, truth_right, nonocc, calib)


def non_occluded(
    truth: np.ndarray, truth_right: np.ndarray | None = None, mask: np.ndarray | None = None
) -> np.ndarray:
    """|dL(x) - dR(x - dL(x))| <= 1 px where there is a right truth, else `mask`, else x - dL(x) >= 0.

    truth: (H,W) px, NaN unknown.  truth_right: (H,W_right) px, read at the nearest pixel; unknown there means occluded.
    mask: (H,W) bool. Returns (H,W) bool, True only where there is truth.
    """
    known = np.isfinite(truth)
    x_right = np.arange(truth.shape[1]) - np.where(known, truth, 0)
    if truth_right is not None:
        column = np.floor(x_right + 0.5).astype(int)
        width = truth_right.shape[1]
        there = np.take_along_axis(truth_right, np.clip(column, 0, width - 1), axis=1)
        inside = known & (column >= 0) & (column < width) & np.isfinite(there)
        return inside & (np.abs(np.where(inside, truth - there, 0)) <= 1)
    if mask is not None:
        return known & mask
    return known & (x_right >= 0)


def disparity_scores(disparity: np.ndarray, truth: np.ndarray, nonocc: np.ndarray | None = None) -> dict:
    """bad-T = 100 |{x: not |d(x) - dt(x)| <= T}| / |{x: dt(x) known}|, an unknown d counting as bad.

    disparity, truth: (H,W) px, NaN unknown.  nonocc: (H,W) bool. Returns

    - "all" (every pixel with truth) and, where `nonocc` is given, "nonocc" (those of them that are non-occluded), each
      with `pixels`, `coverage` (%), `bad_0.5`, `bad_1`, `bad_2` (%), `mean_error` (px, over the pixels that have a
      value: for a dense map all), `bad_1_kept` (%, among the pixels that have a value);
    - "kept": `pixels`, `coverage`, `bad_1` of the pixels that have a disparity, over every pixel with truth.

    A share of no pixels is NaN. Raises ValueError for shapes that differ.
    Source: Scharstein and Szeliski 2002, section 5.1.
    """
    disparity, truth = np.asarray(disparity), np.asarray(truth)
    if disparity.ndim != 2 or disparity.shape != truth.shape:
        raise ValueError(f"disparity_scores needs two (H,W) maps, got {disparity.shape} and {truth.shape}")
    if nonocc is not None and np.shape(nonocc) != truth.shape:
        raise ValueError(f"disparity_scores: nonocc is {np.shape(nonocc)}, the truth {truth.shape}")
    known = np.isfinite(truth)
    scores = {"all": _bad_pixels(disparity[known], truth[known])}
    if nonocc is not None:
        seen = known & np.asarray(nonocc, dtype=bool)
        scores["nonocc"] = _bad_pixels(disparity[seen], truth[seen])
    whole = scores["all"]
    kept = round(whole["pixels"] * whole["coverage"] / 100) if whole["pixels"] else 0
    scores["kept"] = {"pixels": kept, "coverage": whole["coverage"], "bad_1": whole["bad_1_kept"]}
    return scores


def _bad_pixels(disparity: np.ndarray, truth: np.ndarray) -> dict:
    kept = np.isfinite(disparity)
    error = np.abs(disparity[kept].astype(float) - truth[kept].astype(float))
    n = len(truth)
    return {
        "pixels": n,
        "coverage": _percent(len(error), n),
        **{f"bad_{T:g}": _percent(n - int(np.count_nonzero(error <= T)), n) for T in (0.5, 1, 2)},
        "mean_error": float(error.mean()) if len(error) else float("nan"),
        "bad_1_kept": _percent(int(np.count_nonzero(error > 1)), len(error)),
    }


def _percent(part: int, whole: int) -> float:
    return 100 * int(part) / whole if whole else float("nan")


# ----------------------------------------------------------------------------------------------------- pose


def relative_pose(R1: np.ndarray, t1: np.ndarray, R2: np.ndarray, t2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R = R2 R1^T, t = t2 - R t1, so that X2 = R X1 + t, from two world poses X_i = R_i X + t_i."""
    R = np.asarray(R2) @ np.asarray(R1).T
    return R, np.asarray(t2) - R @ np.asarray(t1)


def pose_errors(R: np.ndarray, t: np.ndarray, R_true: np.ndarray, t_true: np.ndarray) -> dict:
    """Angle of R R_true^T, angle between t and t_true (its sign counts), and the larger of the two, degrees.

    R, R_true: (3,3).  t, t_true: (3,), any length but zero. Returns `rotation_deg`, `direction_deg`, `pose_deg`.
    Raises ValueError for other shapes or a zero t.
    """
    R, t, R_true, t_true = (np.asarray(a, dtype=float) for a in (R, t, R_true, t_true))
    if R.shape != (3, 3) or R_true.shape != (3, 3) or t.shape != (3,) or t_true.shape != (3,):
        raise ValueError(f"pose_errors: R {R.shape}, t {t.shape}, R_true {R_true.shape}, t_true {t_true.shape}")
    if not (np.any(t) and np.any(t_true)):
        raise ValueError("pose_errors: a zero translation has no direction")
    rotation, direction = rotation_angle_deg(R @ R_true.T), angle_deg(t, t_true)
    return {"rotation_deg": rotation, "direction_deg": direction, "pose_deg": max(rotation, direction)}


def auc(errors: np.ndarray, threshold: float) -> float:
    """(1/T) int_0^T recall(e) de with recall(e) = share of errors <= e, which is mean(max(0, 1 - e_i / T)).

    errors: (N,), NaN or inf for a failure.  threshold: T > 0 in the same unit. A fraction in [0, 1].
    The recall is integrated as the step function it is; SuperGlue's script joins its steps by straight lines and so
    gives up to 1/(2N) more. Source: Sarlin et al. 2020 (pose AUC).
    """
    errors = np.asarray(errors, dtype=float).ravel()
    if not threshold > 0 or len(errors) == 0:
        raise ValueError(f"auc needs a positive threshold and errors, got {threshold} and {len(errors)} errors")
    return float(np.mean(np.clip(1 - np.where(np.isfinite(errors), errors, np.inf) / threshold, 0, 1)))


def focal_error_percent(camera: Camera, truth: Camera) -> float:
    """100 (f / f_true - 1), each f in units of the longer side of its picture. Signed."""
    return 100 * (camera.focal / max(camera.size) / (truth.focal / max(truth.size)) - 1)


def read_truth_camera(path: str | os.PathLike, view: str) -> tuple[Camera, np.ndarray, np.ndarray]:
    """Camera, R, t of one view in a cameras.json: x ~ K (R X + t).

    The file holds {"cameras": {view: {"K": 3x3, "R": 3x3, "t": 3, "size": [width, height], "dist": optional}}}, with
    or without the outer "cameras". R is made an exact rotation (files round it); a view without R and t stands at the
    origin.
    Raises StereoError("file_missing" | "file_unreadable" | "bad_option": no such view | "bad_calibration").
    """
    path = Path(path)
    facts = _read_json(path)
    cameras = facts.get("cameras", facts)
    views = [k for k, v in cameras.items() if isinstance(v, dict) and "K" in v] if isinstance(cameras, dict) else []
    if not views:
        raise StereoError("file_unreadable", f"{path}: names no camera with a K.", "Give a cameras.json.")
    if view not in views:
        raise StereoError("bad_option", f"{path} has no view {view!r}.", f"It has {', '.join(views)}.")
    entry = cameras[view]
    try:
        K = np.array(entry["K"], dtype=float)
        R = np.array(entry.get("R", np.eye(3)), dtype=float)
        t = np.array(entry.get("t", np.zeros(3)), dtype=float).ravel()
        width, height = (int(n) for n in entry["size"])
        dist = np.array(entry.get("dist", []), dtype=float).ravel()
    except (KeyError, TypeError, ValueError) as error:
        raise StereoError(
            "bad_calibration",
            f"{path}, view {view}: {type(error).__name__} {error}.",
            "Each view needs K (3x3), R (3x3), t (3) and size [width, height].",
        ) from error
    wrong = (
        "K is no camera matrix"
        if K.shape != (3, 3) or not np.isfinite(K).all() or min(K[0, 0], K[1, 1]) <= 0
        else "R is no rotation"
        if R.shape != (3, 3) or not np.abs(R @ R.T - np.eye(3)).max() < 1e-3 or np.linalg.det(R) < 0
        else "t is not three numbers"
        if t.shape != (3,) or not np.isfinite(t).all()
        else "size is not positive"
        if min(width, height) <= 0
        else "dist is not finite"
        if not np.isfinite(dist).all()
        else ""
    )
    if wrong:
        raise StereoError("bad_calibration", f"{path}, view {view}: {wrong}.", "Check the file.")
    U, _, Vt = np.linalg.svd(R)
    return Camera(K, (width, height), dist, "given", str(path)), U @ Vt, t


# ----------------------------------------------------------------------------------------------------- mesh

# A step of depth from a pixel to its neighbour beyond both the threshold and this many times the pixel's own width on
# the surface is a jump, not a slope: a surface seen at more than 76 degrees (slope 4) is hardly measurable.
STEEPEST_SLOPE = 4.0
TRUTH_TRIANGLES = 4_000_000  # of the true surface; more cost memory (0.2 GB a million), and add nothing at 1 % of depth
TRUTH_POINTS = 1_000_000  # true pixels tested for completeness, on a regular grid
FIT_POINTS = 20_000  # correspondences that the alignment uses: its own error is then 1/140 of theirs
MIN_CORRESPONDENCES = 10  # a similarity has 7 unknowns; fewer points than this judge nothing
REFLECTIONS = {
    "x (left and right exchanged)": (-1, 1, 1),
    "y (upside down)": (1, -1, 1),
    "z (near and far exchanged)": (1, 1, -1),
    "point (all three axes turned)": (-1, -1, -1),
}


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
class _Truth:
    """The true depth of the first photo.

    depth: (H,W) f32, 0 unknown.  K: (3,3) at the size of the map.  jump: relative step of depth from a pixel to its
    neighbour beyond which the surface is torn.
    """

    depth: np.ndarray
    K: np.ndarray
    dist: np.ndarray
    jump: float

    def at(self, pixels: np.ndarray) -> np.ndarray:
        """Depth (N,) at fractional pixels (N,2), NaN where it is unknown."""
        return _depth_at(self.depth, pixels, self.jump)

    def points(self, pixels: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Points (N,3) of pixels at depth z."""
        return _backproject(pixels, z, self.K, self.dist)

    def triangles(self) -> tuple[np.ndarray, np.ndarray]:
        """The true surface: vertices and faces."""
        return _truth_triangles(self.depth, self.K, self.dist, self.jump)


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
        (NaN, such as those that show the second photo) get the pixel onto which `camera` projects them. A mesh without
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
    truth = _truth_of(depth, camera, threshold)
    within_sigma = _within_sigma(mesh, truth) if mesh.sigma is not None else {}
    vertices, faces, uv = _used_part(mesh)
    pixels = projected_pixels(vertices, truth.K, truth.dist)
    if uv is not None:
        height, width = truth.depth.shape
        pixels = np.where(np.isfinite(uv), _pixels_of_uv(uv, width, height), pixels)
    seen, pairs = _correspondences(vertices, pixels, truth)
    fit = _similarity(pairs.X, pairs.points, pairs.z_true, seed) if uv is not None else None
    scale, R, t = _alignment(align, fit, pairs)
    aligned = scale * vertices @ R.T + t
    residual = _quantiles_percent(np.linalg.norm(aligned[seen] - pairs.points, axis=1) / pairs.z_true)
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
        **(_mirror_test(fit, pairs.X, pairs.points, pairs.z_true, seed) if fit is not None else {}),
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
    truth: _Truth,
    threshold: float,
    metric: bool,
) -> dict:
    """Completeness and errors of depth, over a regular grid of true pixels.

    surface: aligned vertices and faces.  z: (V,) depth of the vertices before alignment.  metric: without a scale too.
    """
    y, x = _regular_grid(truth.depth > 0, TRUTH_POINTS)
    grid, z_grid = np.stack([x, y], axis=-1).astype(float), truth.depth[y, x].astype(float)
    gap = _distance(surface, truth.points(grid, z_grid)) / z_grid
    covered, z_seen, z_beside = _covered_depths(pixels, z, surface[1], truth, grid, z_grid)
    scale = float(np.median(z_beside / z_seen)) if covered.any() else float("nan")
    return {
        "completeness": float(np.mean(gap <= threshold)),
        "truth_pixels": len(z_grid),
        "footprint": float(np.mean(covered)),
        **_depth_error("depth", scale * z_seen, z_beside, threshold),
        "depth_scale": scale,
        **(_depth_error("metric_depth", z_seen, z_beside, threshold) if metric else {}),
    }


def _truth_of(depth: np.ndarray, camera: Camera, threshold: float) -> _Truth:
    """Check the depth map against the camera's size and bring K to its pixels."""
    depth = np.asarray(depth, dtype=np.float32)
    if depth.ndim != 2 or min(depth.shape) < 2:
        raise ValueError(f"mesh_scores needs a depth map (H,W), got {depth.shape}")
    height, width = depth.shape
    if abs(width - camera.size[0] * height / camera.size[1]) > 2:
        raise StereoError(
            "size_mismatch",
            f"The depth map is {width}x{height}, the photo "
            f"{camera.size[0]}x{camera.size[1]}: not the same picture at another size.",
            "Give the depth map and the camera of the mesh's first photo.",
        )
    K = scale_K(camera.K, width / camera.size[0], height / camera.size[1])
    jump = max(threshold, STEEPEST_SLOPE / float(np.sqrt(K[0, 0] * K[1, 1])))
    return _Truth(np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0)), K, camera.dist, jump)


def _correspondences(vertices: np.ndarray, pixels: np.ndarray, truth: _Truth) -> tuple[np.ndarray, _Correspondences]:
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
            f"The mesh lies behind the camera (median ratio of depths {scale:.3g}).",
            "Align by similarity.",
            scale=scale,
        )
    return scale, np.eye(3), np.zeros(3)


def _surface_scores(
    surface: tuple[np.ndarray, np.ndarray],
    pixels: np.ndarray,
    truth: _Truth,
    threshold: float,
    samples: int,
    seed: int,
) -> dict:
    """Distance of the mesh's surface to the truth, from area-uniform samples."""
    X, sample_pixels, area = _sample_surface(*surface, pixels, samples, seed)
    z = _nearest_depth(truth.depth, sample_pixels)
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
    pixels: np.ndarray, z: np.ndarray, faces: np.ndarray, truth: _Truth, grid: np.ndarray, z_grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which pixels of the grid (N,) the mesh covers, and of those the mesh's depth and the true one."""
    beside = grid + [0.013, 0.007]  # off the pixels' centres, so that no ray meets an edge between two faces
    z_seen = _depth_from_camera(pixels, z, faces, beside)
    z_beside = truth.at(beside)
    z_beside = np.where(np.isfinite(z_beside), z_beside, z_grid)
    covered = np.isfinite(z_seen)
    return covered, z_seen[covered], z_beside[covered]


def _within_sigma(mesh: Mesh, truth: _Truth) -> dict:
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
        pixels = _pixels_of_uv(mesh.uv[known], *truth.depth.shape[::-1])
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
    used, faces = _compact(faces, len(vertices))
    return vertices[used], faces, None if mesh.uv is None else np.asarray(mesh.uv, dtype=float)[used]


def _compact(faces: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the vertices that faces use, and the faces renumbered to them."""
    used = np.zeros(n, dtype=bool)
    used[faces] = True
    return np.flatnonzero(used), (np.cumsum(used) - 1)[faces]


def _areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def _pixels_of_uv(uv: np.ndarray, width: int, height: int) -> np.ndarray:
    """(u, v) -> (u W - 1/2, (1 - v) H - 1/2), the pixel of a map of W x H whatever the texture's size."""
    return np.stack([uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5], axis=-1)


def projected_pixels(X: np.ndarray, K: np.ndarray, dist: np.ndarray) -> np.ndarray:
    """x = K distort(X / Z), (N,3) -> (N,2) px, NaN behind the camera; whether another surface hides X is not tested."""
    x = np.full((len(X), 2), np.nan)
    front = X[:, 2] > 0
    x[front] = project(X[front], K, dist=dist)
    return x


def _backproject(pixels: np.ndarray, z: np.ndarray, K: np.ndarray, dist: np.ndarray) -> np.ndarray:
    """X = z (K^-1 x) of ideal pixels: (N,2), (N,) -> (N,3)."""
    return hom(undistort(pixels, K, dist)) * z[:, None]


def _depth_at(depth: np.ndarray, pixels: np.ndarray, jump: float) -> np.ndarray:
    """True depth at fractional pixels (N,2): 1/z linear between the four pixels around; NaN where one of those that
    bear on the value is unknown (0) or they differ by more than the fraction `jump`."""
    height, width = depth.shape
    x, y = pixels[:, 0], pixels[:, 1]
    slack = 1e-6  # px: a vertex made at a whole pixel takes that pixel alone
    inside = (x >= -slack) & (x <= width - 1 + slack) & (y >= -slack) & (y <= height - 1 + slack)  # False for NaN
    x, y = np.clip(np.where(inside, x, 0), 0, width - 1), np.clip(np.where(inside, y, 0), 0, height - 1)
    x0, y0 = np.minimum(x.astype(int), width - 2), np.minimum(y.astype(int), height - 2)
    fx, fy = x - x0, y - y0
    low, high = np.full(len(x), np.inf), np.zeros(len(x))
    total, weights = np.zeros(len(x)), np.zeros(len(x))
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = (fx if dx else 1 - fx) * (fy if dy else 1 - fy)
        bears = weight > slack
        z = depth[y0 + dy, x0 + dx].astype(float)
        low, high = np.where(bears, np.minimum(low, z), low), np.where(bears, np.maximum(high, z), high)
        total += np.where(bears & (z > 0), weight / np.where(z > 0, z, 1), 0)
        weights += np.where(bears, weight, 0)
    good = inside & (low > 0) & (high <= low * (1 + jump))
    return np.where(good, weights / np.where(good, total, 1), np.nan)


def _nearest_depth(depth: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """True depth of the pixel that holds the point (N,2); 0 where unknown or outside."""
    height, width = depth.shape
    column, row = (np.floor(np.where(np.isfinite(p), p, -9) + 0.5) for p in (pixels[:, 0], pixels[:, 1]))
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    z = depth[np.where(inside, row, 0).astype(int), np.where(inside, column, 0).astype(int)].astype(float)
    return np.where(inside, z, 0)


def _regular_grid(mask: np.ndarray, max_pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the true pixels, of every k-th row and column so that about `max_pixels` of them remain."""
    step = max(1, int(np.ceil(np.sqrt(np.count_nonzero(mask) / max_pixels))))
    y, x = np.nonzero(mask[step // 2 :: step, step // 2 :: step])
    return y * step + step // 2, x * step + step // 2


def _truth_triangles(depth: np.ndarray, K: np.ndarray, dist: np.ndarray, jump: float) -> tuple[np.ndarray, np.ndarray]:
    """The true surface as vertices (V,3) and faces (M,3): neighbouring pixels joined where no jump parts them.

    Blocks of k x k pixels without a jump or hole become two triangles (k = 1 unless the map is large), all other
    cells keep every pixel; a pixel joined to none becomes a square of its own width that faces the camera.
    """
    height, width = depth.shape
    corners = (depth[:-1, :-1], depth[:-1, 1:], depth[1:, 1:], depth[1:, :-1])
    low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    whole = (low > 0) & (high <= low * np.float32(1 + jump))

    k = max(1, int(np.ceil(np.sqrt(2 * np.count_nonzero(whole) / TRUTH_TRIANGLES))))
    rows, columns = whole.shape[0] // k, whole.shape[1] // k
    blocks = whole[: rows * k, : columns * k].reshape(rows, k, columns, k).all(axis=(1, 3))
    single = whole.copy()
    single[: rows * k, : columns * k] &= ~np.repeat(np.repeat(blocks, k, axis=0), k, axis=1)

    def quads(mask: np.ndarray, k: int) -> np.ndarray:
        y, x = np.nonzero(mask)
        a = (y * width + x) * k
        return np.stack([a, a + k * width, a + k * width + k, a + k], axis=-1)

    quad = np.concatenate([quads(blocks, k), quads(single, 1)])
    joined = np.zeros((height, width), dtype=bool)
    for dy in (0, 1):
        for dx in (0, 1):
            joined[dy : height - 1 + dy, dx : width - 1 + dx] |= whole
    used, faces = _compact(np.concatenate([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]]), height * width)
    y, x = np.divmod(used, width)
    pixels, z = np.stack([x, y], axis=-1).astype(float), depth.ravel()[used].astype(float)

    y, x = np.nonzero((depth > 0) & ~joined)
    lone = np.stack([x, y], axis=-1)[:, None] + np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]])
    first = len(pixels) + 4 * np.arange(len(lone))[:, None]
    faces = np.concatenate([faces, first + [0, 1, 2], first + [0, 2, 3]])
    pixels = np.concatenate([pixels, lone.reshape(-1, 2)])
    z = np.concatenate([z, np.repeat(depth[y, x].astype(float), 4)])
    return _backproject(pixels, z, K, dist), faces


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


def _similarity(a: np.ndarray, b: np.ndarray, z: np.ndarray, seed: int) -> tuple[float, np.ndarray, np.ndarray]:
    """s, R, t with b ~ s R a + t, robust against up to half of the correspondences being wrong.

    Least median of squares over minimal samples (Rousseeuw 1984), over the fit to all points and over a mere scale;
    then iteratively reweighted `absolute_orientation`, weights (1 + (r/c)^2)^-2 / z^2 (Geman and McClure 1985) with
    r = |b - s R a - t| / z and c = 2.5 median(r).
    a, b: (N,3).  z: (N,) true depth: residuals are relative to it.
    """
    rng = np.random.default_rng(seed)
    if len(a) > FIT_POINTS:
        pick = rng.choice(len(a), FIT_POINTS, replace=False)
        a, b, z = a[pick], b[pick], z[pick]

    def residuals(fit, a, b, z):
        s, R, t = fit
        return np.linalg.norm(s * a @ R.T + t - b, axis=1) / z

    positive = a[:, 2] > 0
    starts = [(float(np.median(z[positive] / a[positive, 2])), np.eye(3), np.zeros(3))] if positive.any() else []
    try:
        starts.append(absolute_orientation(a, b, weights=1 / z**2))
    except ValueError as error:
        raise StereoError(
            "no_overlap",
            "The vertices with true depth lie on one line: no similarity can be found.",
            "Align by scale or none.",
        ) from error
    for _ in range(200):
        pick = rng.choice(len(a), 4, replace=False)
        try:
            starts.append(absolute_orientation(a[pick], b[pick]))
        except ValueError:  # the four lie on one line
            continue
    some = rng.choice(len(a), min(len(a), 2000), replace=False)
    best = min(starts, key=lambda fit: np.median(residuals(fit, a[some], b[some], z[some])))
    for _ in range(50):
        r = residuals(best, a, b, z)
        c = 2.5 * float(np.median(r))
        if c < 1e-12:  # exact but for rounding
            break
        new = absolute_orientation(a, b, weights=1 / (1 + (r / c) ** 2) ** 2 / z**2)
        moved = float(np.median(np.abs(residuals(new, a, b, z) - r)))
        best = new
        if moved < 1e-3 * c:
            break
    return best


def _quantiles_percent(residual: np.ndarray) -> list[float]:
    """Median, 75 % and 90 % quantile, in %."""
    return [100 * float(q) for q in np.quantile(residual, (0.5, 0.75, 0.9))]


def _mirror_test(fit: tuple, a: np.ndarray, b: np.ndarray, z: np.ndarray, seed: int) -> dict:
    """Whether a reflection of the mesh fits the truth at least twice as well as the mesh, and which reflection it is.

    fit: the similarity of the mesh itself. Fits are compared by their residual at the median, 75 % and 90 %: where one
    plane fills most of the picture, both fit it alike, and only the rest tells. Any reflection is diag(-1, 1, 1) and a
    rotation; it is named by the axis that leaves the smallest rotation to do.
    """
    flip = np.diag([-1.0, 1, 1])
    fits = [fit, _similarity(a @ flip, b, z, seed)]
    plain, mirrored = (
        np.array(_quantiles_percent(np.linalg.norm(s * a @ M @ R.T + t - b, axis=1) / z))
        for (s, R, t), M in zip(fits, (np.eye(3), flip), strict=True)
    )
    found = bool(np.any((mirrored < 0.5 * plain) & (plain > 1e-4)) and not np.any(plain < 0.5 * mirrored - 1e-4))
    R = fits[1][1]
    turn = {name: rotation_angle_deg(R @ flip @ np.diag(axes)) for name, axes in REFLECTIONS.items()}
    return {
        "mirrored": found,
        "reflection": min(turn, key=lambda name: turn[name]) if found else "",
        "mirrored_median_percent": float(mirrored[0]),
        "mirrored_p90_percent": float(mirrored[-1]),
    }


# -------------------------------------------------------------------------------------------------- readers


def _read_json(path: Path) -> dict:
    if not path.is_file():
        raise StereoError("file_missing", f"{path}: no such file.", "Check the path.")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise StereoError("file_unreadable", f"{path}: not readable JSON ({error}).", "Check the file.") from error
    if not isinstance(facts, dict):
        raise StereoError("file_unreadable", f"{path}: holds no JSON object.", "Check the file.")
    return facts


def _read_picture(path: Path) -> np.ndarray:
    """(H,W,3) u8 RGB as stored; grey becomes three equal channels."""
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise StereoError("file_missing", f"{path}: no such file.", "Check the path.")
    try:
        with Image.open(path) as picture:
            return np.array(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise StereoError("file_unreadable", f"{path}: not a readable picture ({error}).", "Check the file.") from error
