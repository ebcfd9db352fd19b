"""Build a mesh from a point map: smoothing, hole filling, one of the meshers, removal of islands."""

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import numpy as np

from ..errors import StereoError
from ..geometry.arrays import all_channels, norms, real_array
from ..geometry.triangles import face_components, used_vertices
from ..options import Range, check_options, choose, options_of
from ..records import Mesh, RightViewPoints, SphereGrid
from .meshers import MESHERS
from .sphere import SpherePoints
from .surface import PointGrid

logger = logging.getLogger(__name__)
# A point map larger than both limits is thinned first: its triangles cannot show single pixels.
MAX_PIXELS = 4_000_000
PIXELS_PER_FACE = 8
MAD_TO_SIGMA = 1.4826  # standard deviation of a normal distribution over its median absolute deviation
SMOOTHING = 2  # radius of the smoothing windows: 5 x 5 points
# (px between the points of a window, share of sigma^2 that is noise), applied in turn. The first two windows are wider
# than a matching window (7 px), within which errors are correlated. Measured on four rendered and five real pairs, by
# the error of depth differences between neighbouring points.
SMOOTHING_STEPS = ((9, 0.25), (3, 0.25), (1, 1.0))
NO_RIGHT_VIEW_POINTS = RightViewPoints(np.zeros((0, 3)), np.zeros(0), np.zeros(0, np.int64), np.zeros(3))


def build_mesh(  # noqa: PLR0913 - the signature is the list of options
    points: np.ndarray,
    *,
    sigma: np.ndarray | None = None,
    between: RightViewPoints | None = None,
    sphere: SphereGrid | None = None,
    method: str = "grid",
    faces: Annotated[int, Range(0)] = 500_000,
    max_angle: Annotated[float, Range(0, 90)] = 80.0,
    holes: Annotated[float, Range(0, 1)] = 0.0075,
    close: bool = False,
    islands: Annotated[float, Range(0, 1)] = 0.002,
    smooth: bool = True,
    **options: Any,
) -> Mesh:
    """A triangle mesh through a point map, by one of `MESHERS`, without texture.

    Faces are counter-clockwise seen from the camera, all vertices are in use, and each edge bounds at most two faces.

    Parameters
    ----------
    points : (H, W, 3) float
        Frame of camera 1, NaN: unknown; on the pixel grid of a picture taken from its origin, rotated or not.
    sigma : (H, W) float, optional
        Standard deviation along the ray, units of the points. None: estimated from the point map (`noise`).
    between : RightViewPoints, optional
        Further points between two pixels of a row, which only the second photo resolves.
    sphere : SphereGrid, optional
        Of points all around, without padding; for the method "grid" only.
    method : str
        Name in `MESHERS`.
    faces : int
        Maximum number; 0: no limit. Maps of more than MAX_PIXELS and more than PIXELS_PER_FACE per face are thinned.
    max_angle : float
        Degrees between surface normal and line of sight; a steeper step is a depth discontinuity.
    holes : float
        Radius, as a share of the map's longer side, up to which holes are filled if their rim lies on one surface.
    close : bool
        Fill every hole that known points enclose.
    islands : float
        Connected components smaller than this share of the largest, by area in the photo, are left out.
    smooth : bool
        Move points towards the plane of their neighbours, as far as sigma explains the scatter.
    **options
        Of the method.

    Returns
    -------
    Mesh
        sigma (V,) as given, NaN at vertices in a filled hole. facts: `simplification_px`, the largest distance that
        simplification moved the surface (pixels of the map, seen square-on); `holes_filled`; `islands_dropped`;
        `islands_area` (share of the area in the photo).

    Raises
    ------
    StereoError
        "unknown_method", "bad_option", "empty_mesh" or "library_missing".
    ValueError
        For wrong shapes.
    """
    mesher = _chosen_mesher(method, around=sphere is not None)
    options = check_options(method, options_of(mesher), options)
    given = {"faces": faces, "max_angle": max_angle, "holes": holes}
    given |= {"close": close, "islands": islands, "smooth": smooth}
    check_options("mesh", options_of(build_mesh), given)
    point_grid = _point_grid(points, sigma, max_angle, between, sphere)
    del points, sigma
    known = int(np.count_nonzero(np.isfinite(point_grid.points[..., 2])))
    step = _thinning_step(point_grid.sigma.shape, faces) if faces and not options.get("step") else 1
    point_grid = point_grid.thinned(step)
    if smooth:
        point_grid = point_grid.smoothed(SMOOTHING, SMOOTHING_STEPS)
    radius = holes * max(point_grid.sigma.shape)
    point_grid, filled = point_grid.without_holes(radius, close)
    mesh = mesher(point_grid, faces, **options)
    mesh, dropped, area = without_islands(mesh, islands, around=sphere is not None)
    facts: dict[str, float] = {"holes_filled": filled, "islands_dropped": dropped, "islands_area": area, **mesh.facts}
    facts = _in_given_pixels(facts, step)
    logger.info("%s: %d points, %d vertices, %d faces, %s", method, known, len(mesh.vertices), len(mesh.faces), facts)
    return replace(mesh, facts=facts)


def _chosen_mesher(method: str, *, around: bool) -> Callable[..., Mesh]:
    """The mesher of that name; StereoError("bad_option") where it cannot work all around the camera and has to."""
    mesher = choose("mesher", MESHERS, method)
    if around and method != "grid":
        raise StereoError(
            "bad_option", f"the mesher {method} makes no surface all around the camera.", "Use --mesher grid."
        )
    return mesher


def _in_given_pixels(facts: dict[str, float], step: int) -> dict[str, float]:
    """The facts in pixels of the given map, those of a map thinned by `step` multiplied."""
    return {name: x * step if name in ("simplification_px", "cell_px", "step") else x for name, x in facts.items()}


def _point_grid(
    points: np.ndarray,
    sigma: np.ndarray | None,
    max_angle: float,
    between: RightViewPoints | None,
    sphere: SphereGrid | None,
) -> PointGrid:
    """Check the point map and its sigma, and make a PointGrid of them; the arguments are those of `build_mesh`."""
    points = real_array(points, "points")
    if points.ndim != 3 or points.shape[2] != 3:
        raise ValueError(f"build_mesh needs points (H,W,3), got {points.shape}")
    sigma = None if sigma is None else real_array(sigma, "sigma")
    if sigma is not None and np.shape(sigma) != points.shape[:2]:
        raise ValueError(f"build_mesh needs sigma {points.shape[:2]}, got {np.shape(sigma)}")
    with np.errstate(invalid="ignore"):
        known = all_channels(np.isfinite(points)) & ((points[..., 2] > 0) | (sphere is not None))
    if known.sum() < 3:
        raise StereoError(
            "empty_mesh",
            f"{int(known.sum())} points in front of the camera; a triangle needs 3.",
            "Look at the disparity map: it has too few known pixels.",
            points=int(known.sum()),
        )
    if np.isfinite(points[~known]).any():  # else it is a copy of as many MB for nothing
        points = np.where(known[..., None], points, np.nan)
    sigma = noise(points) if sigma is None else _complete_sigma(sigma, known)
    filled, between = np.zeros(sigma.shape, bool), between or NO_RIGHT_VIEW_POINTS
    if sphere is None:
        return PointGrid(points, sigma, filled, max_angle, between)
    return SpherePoints(points, sigma, filled, max_angle, between, sphere)


def _complete_sigma(sigma: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(H, W) float64: sigma of the known points, their median (or 0) where it is not finite, NaN elsewhere."""
    good = known & np.isfinite(sigma)
    return np.where(known, np.where(good, sigma, np.median(sigma[good]) if good.any() else 0.0), np.nan)


def _thinning_step(shape: tuple[int, ...], faces: int) -> int:
    """Return the step (px) that thins a map of more than MAX_PIXELS and more than PIXELS_PER_FACE per face."""
    step = math.ceil(math.sqrt(math.prod(shape) / max(MAX_PIXELS, PIXELS_PER_FACE * faces)))
    return min(step, max(1, min(shape) // 2))


def noise(points: np.ndarray) -> np.ndarray:
    """sigma = s z r, s = 1.4826 median|w''| / sqrt(6): the standard deviation along the ray, from the map itself.

    w = 1/z is linear along the rows of a plane, so its second difference w'' is noise (and the rare crease); disparity
    errors have the same size everywhere in w.

    Parameters
    ----------
    points : (H, W, 3) float64
        NaN: unknown.

    Returns
    -------
    (H, W) float64
        Units of the points, NaN: unknown.
    """
    z = points[..., 2]
    w = 1 / z
    second = np.abs(w[:, 2:] - 2 * w[:, 1:-1] + w[:, :-2])
    second = second[np.isfinite(second)]
    s = MAD_TO_SIGMA * float(np.median(second)) / np.sqrt(6) if len(second) else 0.0
    return s * z * norms(points)


def without_islands(mesh: Mesh, share: float, *, around: bool = False) -> tuple[Mesh, int, float]:
    """Remove connected components smaller than `share` of the largest, by area in the photo, and unused vertices.

    around: points lie all around the camera, and the area is the solid angle.

    Returns
    -------
    mesh : Mesh
    dropped : int
        Number of components removed.
    area : float
        Their share of the total area.

    Raises
    ------
    StereoError
        "empty_mesh": no face remains.
    """
    mesh = compact(mesh)
    vertices, faces = mesh.vertices, mesh.faces
    dropped, lost = 0, 0.0
    if len(faces):
        component = face_components(faces, len(vertices))
        if around:
            view = vertices / norms(vertices)[:, None]
            u, v, w = (view[faces[:, k]] for k in range(3))
            area = np.abs(np.einsum("ij,ij->i", np.cross(u, v), w))
        else:
            view = vertices[:, :2] / vertices[:, 2:]
            u, v, w = (view[faces[:, k]] for k in range(3))
            area = np.abs((v[:, 0] - u[:, 0]) * (w[:, 1] - u[:, 1]) - (v[:, 1] - u[:, 1]) * (w[:, 0] - u[:, 0]))
        total = np.bincount(component, weights=area)
        kept = total >= share * total.max()
        dropped, lost = int(np.count_nonzero(~kept & (total > 0))), float(total[~kept].sum() / total.sum())
        faces = faces[kept[component]]
    if len(faces) == 0:
        raise StereoError(
            "empty_mesh",
            "0 triangles: every point is separated from its neighbours by a depth discontinuity.",
            "Look at the disparity map, or raise mesh.max_angle.",
        )
    return compact(replace(mesh, faces=faces)), dropped, lost


def without_steep_fill(mesh: Mesh, max_angle: float = 80.0) -> Mesh:
    """The mesh without faces in filled holes that are steeper than max_angle, degrees from normal to line of sight.

    Near the epipole of a pair that moved ahead they join the two sides of an outline.
    """
    if mesh.sigma is None or not np.isnan(mesh.sigma).any():
        return mesh
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    normals, rays = np.cross(b - a, c - a), a + b + c
    along = np.abs((normals * rays).sum(1))
    steep = along < np.cos(np.radians(max_angle)) * norms(normals) * norms(rays)
    kept = ~(steep & np.isnan(mesh.sigma[mesh.faces]).any(1))
    return compact(replace(mesh, faces=mesh.faces[kept])) if kept.any() else mesh


def compact(mesh: Mesh) -> Mesh:
    """The mesh without vertices that no face uses, in the same order."""
    used, faces = used_vertices(mesh.faces, len(mesh.vertices))
    pick = {
        name: None if (a := getattr(mesh, name)) is None else np.ascontiguousarray(a[used])
        for name in ("vertices", "uv", "sigma")
    }
    overlays = tuple(replace(part, uv=np.ascontiguousarray(part.uv[used])) for part in mesh.overlays)
    return replace(mesh, faces=faces.astype(np.int32), overlays=overlays, **pick)
