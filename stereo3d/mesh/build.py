"""`build_mesh`: what every mesher needs before and after it makes its triangles."""

import logging
import math
from dataclasses import replace
from typing import Annotated

import numpy as np

from ..errors import StereoError
from ..geometry import all_channels, norms
from ..options import Range, check_options, choose, options_of
from ..records import Mesh, PointsBetween
from .methods import MESHERS, Sheet

logger = logging.getLogger(__name__)

# A point map of more pixels than both of these is thinned first: no triangle shows what its single pixels hold.
MOST_PIXELS, PIXELS_PER_FACE = 4_000_000, 8
SMOOTHING = 2  # radius of the windows, 5 x 5 points of the map
# How many px apart these are, and the share of sigma^2 that is taken for noise: the first two windows are wider than
# the one that a matcher decides by (7 px), within which errors are alike, but see relief that is none. Chosen on four
# rendered pairs and five real ones alike, by what neighbouring points differ by from the truth.
SMOOTHING_STEPS = ((9, 0.25), (3, 0.25), (1, 1.0))


def build_mesh(
    points: np.ndarray,
    *,
    sigma: np.ndarray | None = None,
    between: PointsBetween | None = None,
    method: str = "grid",
    faces: Annotated[int, Range(0)] = 500_000,
    max_angle: Annotated[float, Range(0, 90)] = 80.0,
    holes: Annotated[float, Range(0, 1)] = 0.0075,
    close: bool = False,
    islands: Annotated[float, Range(0, 1)] = 0.002,
    smooth: bool = True,
    **options,
) -> Mesh:
    """A triangle mesh through a point map, by one of `MESHERS`.

    points: (H,W,3) in the frame of camera 1, NaN = unknown, on the grid of a picture taken from its origin (turned
    against the photo or not).  sigma: (H,W) standard deviation of each point along its ray, same units; None: taken
    from the point map itself (`noise`).  between: points that only the second photo saw finely enough, between two
    pixels of a row.  faces: at most so many triangles; 0: as many as there are. Maps of more than MOST_PIXELS, and of
    more than PIXELS_PER_FACE for each of these, are thinned first (`sheet.means`).  max_angle: degrees between the
    surface's normal and the line of sight up to which a step is a slope.  holes: those up to this radius, as a share of
    the longer side of the map, are filled where the surface around them is one; close: every hole that known points
    enclose is.  islands: pieces smaller than this share of the largest are left out, by the area they cover in the
    photo.  smooth: along the surface, as far as sigma explains the scatter (`sheet.planes`).  options: of the method.

    Returns a Mesh without texture: faces counter-clockwise seen from the camera, vertices all in use, each edge in at
    most two faces; sigma (V,) as given for the points, NaN at vertices that lie in a filled hole. facts:
    `simplification_px`, the farthest that simplification moved the surface (in pixels of the map, seen square-on at
    that distance), `holes_filled`, `islands_dropped`, `islands_area` (share of the area in the photo).
    Raises StereoError("unknown_method" | "bad_option" | "empty_mesh" | "library_missing"); ValueError for wrong shapes.
    """
    mesher = choose("mesher", MESHERS, method)
    options = check_options(method, options_of(mesher), options)
    given = {
        "faces": faces,
        "max_angle": max_angle,
        "holes": holes,
        "close": close,
        "islands": islands,
        "smooth": smooth,
    }
    check_options("mesh", options_of(build_mesh), given)
    points = np.asarray(points, dtype=float)
    if points.ndim != 3 or points.shape[2] != 3:
        raise ValueError(f"build_mesh needs points (H,W,3), got {points.shape}")
    if sigma is not None and np.shape(sigma) != points.shape[:2]:
        raise ValueError(f"build_mesh needs sigma {points.shape[:2]}, got {np.shape(sigma)}")
    with np.errstate(invalid="ignore"):
        known = all_channels(np.isfinite(points)) & (points[..., 2] > 0)
    if known.sum() < 3:
        raise StereoError(
            "empty_mesh",
            f"{int(known.sum())} points in front of the camera, 3 make a triangle.",
            "Look at the disparity: nothing in it is known.",
            points=int(known.sum()),
        )
    points = np.where(known[..., None], points, np.nan)
    if sigma is None:
        sigma = noise(points)
    else:
        sigma = np.asarray(sigma, dtype=float)
        good = known & np.isfinite(sigma)
        sigma = np.where(known, np.where(good, sigma, np.median(sigma[good]) if good.any() else 0.0), np.nan)
    sheet = Sheet(points, sigma, np.zeros(sigma.shape, bool), max_angle, between or NOTHING_BETWEEN)
    step = 1
    if faces and not options.get("step"):
        step = math.ceil(math.sqrt(sigma.size / max(MOST_PIXELS, PIXELS_PER_FACE * faces)))
        step = min(step, max(1, min(sigma.shape) // 2))
    sheet = sheet.thinned(step)
    del points, sigma
    if smooth:
        sheet = sheet.smoothed(SMOOTHING, SMOOTHING_STEPS)
    radius = holes * max(sheet.sigma.shape)
    sheet, filled = sheet.without_holes(radius, close)
    mesh = mesher(sheet, faces, **options)
    mesh, dropped, area = without_islands(mesh, islands)
    in_pixels = {k: v * step for k, v in mesh.facts.items() if k in ("simplification_px", "cell_px", "step")}
    facts = {"holes_filled": filled, "islands_dropped": dropped, "islands_area": area, **mesh.facts, **in_pixels}
    logger.info(
        "%s: %d points, %d vertices, %d faces, %s", method, known.sum(), len(mesh.vertices), len(mesh.faces), facts
    )
    return replace(mesh, facts=facts)


NOTHING_BETWEEN = PointsBetween(np.zeros((0, 3)), np.zeros(0), np.zeros(0, np.int64), np.zeros(3))


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
    return s * z * norms(points)


def without_islands(mesh: Mesh, share: float) -> tuple[Mesh, int, float]:
    """Small pieces out (by the area they cover in the photo, against the largest), and vertices that no face uses.

    Returns the mesh, how many pieces went, and their share of all the area.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    vertices, faces = mesh.vertices, mesh.faces
    dropped, lost = 0, 0.0
    if len(faces):
        n = len(vertices)
        ends = np.concatenate([faces[:, :2], faces[:, 1:]])
        graph = coo_matrix((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(n, n))
        piece = connected_components(graph, directed=False)[1][faces[:, 0]]
        view = vertices[:, :2] / vertices[:, 2:]
        u, v, w = (view[faces[:, k]] for k in range(3))
        area = np.abs((v[:, 0] - u[:, 0]) * (w[:, 1] - u[:, 1]) - (v[:, 1] - u[:, 1]) * (w[:, 0] - u[:, 0]))
        total = np.bincount(piece, weights=area)
        kept = total >= share * total.max()
        dropped, lost = int(np.count_nonzero(~kept & (total > 0))), float(total[~kept].sum() / total.sum())
        faces = faces[kept[piece]]
    if len(faces) == 0:
        raise StereoError(
            "empty_mesh",
            "not one triangle holds together: every point is torn from its neighbours.",
            "Look at the disparity; a larger mesh.max_angle tears less.",
        )
    return compact(replace(mesh, faces=faces)), dropped, lost


def compact(mesh: Mesh) -> Mesh:
    """The mesh without vertices that no face uses, order kept."""
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.faces] = True
    new = np.cumsum(used, dtype=np.int32) - 1
    pick = {
        name: None if (a := getattr(mesh, name)) is None else np.ascontiguousarray(a[used])
        for name in ("vertices", "uv", "sigma")
    }
    overlays = tuple(replace(part, uv=np.ascontiguousarray(part.uv[used])) for part in mesh.overlays)
    return replace(mesh, faces=new[mesh.faces].astype(np.int32), overlays=overlays, **pick)
