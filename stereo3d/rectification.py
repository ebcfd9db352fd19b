"""Rectification of any two calibrated photos, on a plane or on the sphere about the baseline; the disparity range."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Annotated, Literal, get_args

import numpy as np

from .errors import StereoError
from .geometry import all_channels, distort, essential_from_pose, hom, project, undistort
from .images.reduce import smooth, to_grey
from .options import MAX_SIZE, Range, check_options, options_of
from .records import Camera, Drift, Photo, RectifiedPair, Rig, RowErrors, TwoView

Kind = Literal["auto", "planar", "polar"]
Inliers = tuple[np.ndarray, np.ndarray]  # (x1, x2), (N,2) each: photo pixels of inlier matches
Cameras = tuple[Camera, Camera]
Rotations = tuple[np.ndarray, np.ndarray]  # rect_from_cam1, rect_from_cam2: (3,3) each
Interval = tuple[float, float]  # first, last

MAX_PIXELS = 2.0  # of the canvas, over those of the photo at matching size; more: the epipole is too near for a plane
MAX_STRETCH = 8.0  # ratio of magnifications along a row of a planar canvas; more: the epipole is too near for a plane
MIN_DENSITY = 0.7  # canvas over photo pixels along a side; a plane below loses half the pixels, so try the sphere
MIN_DRIFT_MATCHES = 400  # twenty for each coefficient of the drift
MIN_DRIFT = 0.03  # px at matching size: the precision of feature matches; a smaller gain is none
PATCH_OFFSET = 8.0  # px from a match to the patch that measures its row: the pose was not fitted there
MIN_PATCHES = 30  # fewer fitted patches do not measure the rows
MIN_OVERLAP = 16  # canvas px of common rows or columns; also the smallest margin of a range of columns
MAX_REMAP = 32000  # px: cv2.remap takes no side of 32768 or more
STRIP_ROWS = 32  # canvas rows mapped at a time: their arrays stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Canvas:
    """The viewing directions of the pixels of the two rectified pictures.

    Parameters
    ----------
    kind : str
        "planar" or "polar".
    size : (width, height)
        px.
    density : float
        Canvas pixels for each of a median photo pixel at matching size, along a side, at most 1.
    rays : two callables
        For either photo a function of row numbers (h,1) that gives the three components, (h,1) or (w,) or (h,w), of
        the pixels' directions in the common orientation.
    """

    kind: str
    size: tuple[int, int]
    density: float
    rays: tuple[Callable, Callable]


def rectify(
    left: Photo,
    right: Photo,
    view: TwoView,
    *,
    kind: Kind = "auto",
    straighten: bool = True,
    max_size: Annotated[int, Range(1)] = MAX_SIZE,
    inlier_x: Inliers | None = None,
) -> RectifiedPair:
    """Resample both photos, once, so that corresponding epipolar lines are equal rows.

    Both cameras are turned into one orientation (rows of rect_from_cam1): first axis along the baseline, third the mean
    of the optical axes orthogonal to it (Fusiello, Trucco and Verri 2000). The first axis points the way that turns the
    first photo least, so no picture is mirrored, and `swapped` says that the first photo stands on the right. A
    vertical baseline turns the pair by 90 degrees. The canvas holds the rows that both photos see and the columns of
    each photo whose scene the other may see, at the density of the photos reduced to the longer side `max_size`.

    Photos that are rectified already (R = I, t along x, equal K but for the principal column, no distortion) keep
    their pixels, unless kind is "polar": the result has kind "identity".

    Parameters
    ----------
    left, right : Photo
        The first and the second photo.
    view : TwoView
        Cameras and pose.
    kind : {"auto", "planar", "polar"}
        "planar": pixel (i, j) looks along (u, v, 1), u and v linear in i and j; for epipoles outside the picture.
        "polar": pixel (i, j) looks along (cos p, sin p sin a, sin p cos a): the row gives the angle a of the epipolar
        half-plane about the baseline, the column the angle p from the baseline. Rows are as dense as the photos'
        pixels at the picture's border. "auto": planar, or polar where the epipole is so near that a plane would be
        stretched too far or lose pixels.
    straighten : bool
        Where a smooth function of place explains how far inliers lie off their epipolar lines (lens distortion or a
        rolling shutter that the cameras do not model), bend map2 to follow it, if the rows of the pictures then agree
        better (`row_errors`). `drift` of the result holds the numbers.
    max_size : int
        px: longer side of the photos at matching size.
    inlier_x : (x1, x2), (N,2) each, optional
        Photo pixels of inlier matches: they limit the columns to those that overlap, and measure rows and drift.

    Returns
    -------
    RectifiedPair

    Raises
    ------
    StereoError
        "forward_motion" where a plane is asked for and an epipole lies in or near the picture; "no_overlap" where no
        row or column is common; "unknown_method" for an unknown kind; "bad_option" for a max_size below 1.

    References
    ----------
    Fusiello, Trucco, Verri, A compact algorithm for rectification of stereo pairs, 2000.
    Pollefeys, Koch, Van Gool, A simple and efficient rectification method for general motion, 1999: here on the sphere
    of directions, where equal rows are equal half-planes for any motion and need no transfer by F.
    """
    if kind not in get_args(Kind):
        known = ", ".join(get_args(Kind))
        raise StereoError("unknown_method", f"there is no rectification {kind!r}.", f"There are: {known}.")
    given = check_options("rectify", options_of(rectify), {"straighten": straighten, "max_size": max_size})
    straighten, max_size = given["straighten"], given["max_size"]
    scale = min(1.0, max_size / max(max(left.size), max(right.size)))
    if kind != "polar" and _is_rectified(view):
        pair = _identity(left, right, view, scale)
        return pair if inlier_x is None else replace(pair, rows=row_errors(pair, *inlier_x))
    rotations, swapped = _orientation(view)
    budget = MAX_PIXELS * scale**2 * max(left.size[0] * left.size[1], right.size[0] * right.size[1])
    canvas = _choose_canvas(view, rotations, swapped, kind, scale, budget, inlier_x)
    bend, drift = (None, {}) if inlier_x is None or not straighten else fit_drift(view, inlier_x, scale)
    pair = replace(_resample_pair((left, right), view.rig, rotations, canvas, bend), swapped=swapped, drift=drift)
    if inlier_x is None:
        return pair
    pair = replace(pair, rows=row_errors(pair, *inlier_x))
    if bend is None or not pair.rows:
        return pair
    map2 = photo_map(view.rig.cam2, rotations[1], canvas.rays[1], canvas.size)
    straight = replace(pair, right=resample(right, map2), map2=map2, drift={})
    return _keep_better_rows(pair, straight, inlier_x)


def _choose_canvas(
    view: TwoView,
    rotations: Rotations,
    swapped: bool,
    kind: str,
    scale: float,
    budget: float,
    inlier_x: Inliers | None,
) -> Canvas:
    """The planar canvas, or the polar one where it is asked for or keeps more pixels."""
    rig = view.rig
    canvas = None
    if kind != "polar":
        outlines = [photo_outline(camera, Q) for camera, Q in zip((rig.cam1, rig.cam2), rotations, strict=True)]
        stretches = [np.inf if outline is None else max_stretch(outline) for outline in outlines]
        if max(stretches) <= MAX_STRETCH:
            canvas = planar_canvas(rig, rotations, outlines, scale, budget, inlier_x)
        elif kind == "planar":
            raise epipole_too_near(view, stretches)
    if canvas is None or (kind == "auto" and canvas.density < MIN_DENSITY):
        polar = polar_canvas(rig, rotations, swapped, scale, budget, inlier_x)
        canvas = polar if canvas is None or polar.density > canvas.density else canvas
    return canvas


def _resample_pair(
    photos: tuple[Photo, Photo], rig: Rig, rotations: Rotations, canvas: Canvas, bend: Callable | None
) -> RectifiedPair:
    """Both photos resampled onto the canvas, map2 with the drift `bend`."""
    map1 = photo_map(rig.cam1, rotations[0], canvas.rays[0], canvas.size)
    map2 = photo_map(rig.cam2, rotations[1], canvas.rays[1], canvas.size, bend)
    with ThreadPoolExecutor(2) as pool:
        left, right = pool.map(resample, photos, (map1, map2))
    return RectifiedPair(left, right, map1, map2, kind=canvas.kind)


def _keep_better_rows(bent: RectifiedPair, straight: RectifiedPair, inlier_x: Inliers) -> RectifiedPair:
    """The pair with the drift correction only if its rows agree better than those of the pair without."""
    rows = row_errors(straight, *inlier_x)
    if rows and rows.get("median_px", np.inf) <= bent.rows.get("median_px", np.inf):
        return replace(straight, rows=rows)
    return bent


def row_errors(
    pair: RectifiedPair, x1: np.ndarray, x2: np.ndarray, *, places: Annotated[int, Range(1)] = 400
) -> RowErrors:
    """Measure |dv|, the misalignment of corresponding rows of the two pictures, px.

    Patches PATCH_OFFSET px away from inlier matches (the pose was fitted to the matches themselves) are aligned by
    least squares with the same row of the right picture, free to leave the row. The matches only give their disparity.

    Parameters
    ----------
    pair : RectifiedPair
        The rectified photos.
    x1, x2 : (N,2) float
        Photo pixels of inlier matches.
    places : int
        Number of matches tried, at most.

    Returns
    -------
    RowErrors
        "median_px", "most_px" (95 %), "places" (patches fitted); empty where fewer than MIN_PATCHES could be fitted.
    """
    from .patchfit import fit_patches

    places = check_options("row_errors", options_of(row_errors), {"places": places})["places"]
    pick = np.sort(np.random.default_rng(0).permutation(len(x1))[:places])
    u1, u2 = rectified_positions(pair, x1[pick], x2[pick])
    known = np.isfinite(u1).all(1) & np.isfinite(u2).all(1)
    offset = PATCH_OFFSET * np.array([[1, 1], [-1, 1], [1, -1], [-1, -1]])[np.arange(known.sum()) % 4]
    at1 = u1[known] + offset
    at2 = np.stack([u2[known, 0] + offset[:, 0], at1[:, 1]], -1)
    if len(at1) < MIN_PATCHES:
        return {}
    grey1, grey2 = smooth(to_grey(pair.left)), smooth(to_grey(pair.right))
    out, score = np.empty_like(at2), np.empty(len(at2))
    fit_patches(grey1, grey2, at1, at2, np.tile(np.eye(2), (len(at1), 1, 1)), 9, 3.0, 0, len(at1), out, score)
    off = np.abs(out[:, 1] - at1[:, 1])[score > 0]
    if len(off) < MIN_PATCHES:
        return {}
    return {"median_px": float(np.median(off)), "most_px": float(np.quantile(off, 0.95)), "places": len(off)}


def disparity_range(
    pair: RectifiedPair,
    x1: np.ndarray,
    x2: np.ndarray,
    *,
    margin: Annotated[float, Range(0, 100)] = 0.25,
    least: Annotated[int, Range(0, 10_000)] = 8,
) -> tuple[int, int]:
    """Estimate the disparity search range (lo, hi), whole px, from inlier matches.

    The robust quantiles 0.5 % and 99.5 % of x_left - x_right, widened on both sides by `margin` of their distance and
    by `least` px, as surfaces without features may lie nearer or farther. Never wider than the picture.

    Parameters
    ----------
    pair : RectifiedPair
        The rectified photos.
    x1, x2 : (N,2) float
        Photo pixels of inlier matches; rows with NaN are left out.
    margin : float
        Share of the range added on both sides.
    least : int
        px added on both sides as well.

    Returns
    -------
    (int, int)
        px.

    Raises
    ------
    StereoError
        "no_disparity" where no match falls inside both pictures; "bad_option" for options out of bounds.
    """
    given = {"margin": margin, "least": least}
    margin, least = check_options("disparity_range", options_of(disparity_range), given).values()
    u1, u2 = rectified_positions(pair, x1, x2)
    known = np.isfinite(u1).all(1) & np.isfinite(u2).all(1)
    if not known.any():
        raise StereoError(
            "no_disparity",
            "no match falls inside the rectified pictures.",
            "Give the range with --range, or check the calibration.",
        )
    d = u1[known, 0] - u2[known, 0]
    low, high = np.quantile(d, [0.005, 0.995])
    # a lone match beyond its neighbours is an outlier; twenty of them are an object in the foreground
    extra = margin * (high - low) + least
    width = pair.left.shape[1]
    return int(max(np.floor(low - extra), 1 - width)), int(min(np.ceil(high + extra), width - 1))


def rectified_positions(pair: RectifiedPair, x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Invert the maps: the rectified pixels of matching photo pixels.

    Where the rows of a polar pair go all the way round the epipole, the last row adjoins the first: a match across
    this seam has the row of its second pixel counted on, to below 0 or beyond the last.

    Parameters
    ----------
    pair : RectifiedPair
        The rectified photos.
    x1, x2 : (N,2) float
        Photo pixels; a row of NaN gives NaN.

    Returns
    -------
    u1, u2 : (N,2) float64
        px, NaN outside the canvas.
    """
    # a pixel between the last row and the first is accepted from either side
    beyond = 1.0 if pair.kind == "polar" else 0.5
    u1, u2 = _invert(pair.map1, x1, beyond), _invert(pair.map2, x2, beyond)
    if pair.kind == "polar":
        rows = pair.map1.shape[0]
        with np.errstate(invalid="ignore"):
            apart = u2[:, 1] - u1[:, 1]
            u2[:, 1] -= rows * np.where(np.abs(apart) > rows - 8, np.sign(apart), 0)
    return u1, u2


# ------------------------------------------------------------------------------------------------ orientation


def _orientation(view: TwoView) -> tuple[Rotations, bool]:
    """rect_from_cam1, rect_from_cam2 (3,3), and whether the first photo stands on the right."""
    baseline = -view.R.T @ view.t  # centre of camera 2
    e1 = baseline / np.linalg.norm(baseline)
    # within 1 % of vertical both ways turn the photo equally far: then the first photo counts as left
    swapped = bool(e1[0] < -0.01)
    if swapped:
        e1 = -e1
    forward = np.array([0.0, 0.0, 1.0]) + view.R[2]
    e3 = forward - (forward @ e1) * e1
    if np.linalg.norm(e3) < 1e-9:  # straight ahead: any axis across will do, as no plane fits
        e3 = np.linalg.svd(e1[None])[2][1]
    e3 /= np.linalg.norm(e3)
    rect_from_cam1 = np.stack([e1, np.cross(e3, e1), e3])
    return (rect_from_cam1, rect_from_cam1 @ view.R.T), swapped


def photo_outline(camera: Camera, rect_from_cam: np.ndarray, steps: int = 33) -> np.ndarray | None:
    """The photo's border in the common orientation, (u, v) at focal 1; None where a part lies behind the plane."""
    X = rect_directions(camera, rect_from_cam, photo_border(camera, steps))
    if (X[:, 2] < 0.02 * np.linalg.norm(X, axis=1)).any():
        return None
    return X[:, :2] / X[:, 2:]


def photo_border(camera: Camera, steps: int) -> np.ndarray:
    """Pixels (4 steps, 2) all along the photo's border."""
    s = np.linspace(0, 1, steps)
    low, high = np.zeros(steps), np.ones(steps)
    sides = (s, low), (high, s), (1 - s, high), (low, 1 - s)
    return np.concatenate([np.stack(side, 1) for side in sides]) * camera.size - 0.5


def rect_directions(camera: Camera, rect_from_cam: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Directions (M,3) in the common orientation of photo pixels (N,2), of those that the lens model reaches."""
    y = undistort(x, camera.K, camera.dist)
    return hom(y[np.isfinite(y).all(1)]) @ rect_from_cam.T


def max_stretch(outline: np.ndarray) -> float:
    """Ratio of the largest to the smallest magnification of the plane, (1 + u^2 + v^2)^(3/2), within the border."""
    r = (1 + (outline**2).sum(1)) ** 1.5
    return float(r.max() / min(r.min(), 1.0 if (outline.min(0) < 0).all() and (outline.max(0) > 0).all() else r.min()))


def epipole_too_near(view: TwoView, stretches: list[float]) -> StereoError:
    which = int(stretches[0] <= MAX_STRETCH)
    name, camera = (("first", view.rig.cam1), ("second", view.rig.cam2))[which]
    return StereoError(
        "forward_motion",
        f"the camera moved towards what the {name} photo shows: its epipole is "
        f"{_epipole_words(view, camera, name)}, too near for a plane rectification.",
        "Use kind polar, or leave the choice to auto.",
        stretch=float(stretches[which]),
    )


def _epipole_words(view: TwoView, camera: Camera, name: str) -> str:
    direction = -view.R.T @ view.t if name == "first" else view.t
    if abs(direction[2]) < 1e-9 * np.linalg.norm(direction):
        return "at infinity"
    x = project(direction, camera.K)
    inside = (x > 0).all() and (x < camera.size).all()
    return (
        f"at ({x[0]:.0f}, {x[1]:.0f}) px, {'inside' if inside else 'near'} the picture of {camera.size[0]} x "
        f"{camera.size[1]} px"
    )


# ----------------------------------------------------------------------------------------------------- on a plane


def planar_canvas(
    rig: Rig, rotations: Rotations, outlines: list, scale: float, budget: float, inlier_x: Inliers | None
) -> Canvas:
    """The canvas on the plane z = 1 of the common orientation: common rows, and columns that can hold matches."""
    focal = wanted = scale * _median_focal(rig, outlines, rotations)
    (u1, v1), (u2, v2) = (o.T for o in outlines)
    top, bottom = max(v1.min(), v2.min()), min(v1.max(), v2.max())
    if bottom - top < MIN_OVERLAP / focal:
        raise no_common_row()
    left_columns, right_columns = (u1.min(), u1.max()), (u2.min(), u2.max())
    if inlier_x is not None and len(inlier_x[0]):
        d = inlier_disparities(inlier_x, rig, rotations, lambda X: X[:, 0] / X[:, 2])
        left_columns, right_columns = matchable_columns(left_columns, right_columns, widened_range(d, focal))
    width = max(left_columns[1] - left_columns[0], right_columns[1] - right_columns[0])
    focal = min(focal, np.sqrt(budget / (width * (bottom - top))))
    size = (int(np.ceil(width * focal)) + 1, int(np.ceil((bottom - top) * focal)) + 1)

    def rays(start: float) -> Callable:
        u = start + np.arange(size[0]) / focal
        return lambda rows: (u, top + rows / focal, 1.0)

    return Canvas("planar", size, float(focal / wanted), (rays(left_columns[0]), rays(right_columns[0])))


def no_common_row() -> StereoError:
    return StereoError(
        "no_overlap",
        "after rectification the photos have no row in common.",
        "The estimated camera motion is not right, or the photos barely overlap.",
    )


def widened_range(d: np.ndarray, focal: float) -> tuple[float, float]:
    """Robust smallest and largest disparity of the inliers, with a margin for surfaces without features. Focal 1."""
    low, high = np.quantile(d, [0.005, 0.995])
    margin = 0.25 * (high - low) + MIN_OVERLAP / focal
    return low - margin, high + margin


def matchable_columns(left: Interval, right: Interval, d_range: Interval) -> tuple[Interval, Interval]:
    """The columns of either photo whose match can lie in the other one: u2 = u1 - d."""
    (a, b), (c, d), (low, high) = left, right, d_range
    return (max(a, c + low), min(b, d + high)), (max(c, a - high), min(d, b - low))


def _median_focal(rig: Rig, outlines: list, rotations: Rotations) -> float:
    """Focal of the canvas, px, at which the median pixel of the photos keeps its size.

    The area of a photo pixel on the plane is |d(u,v)/d(x,y)|; by the cosine law a direction (u, v, 1) seen by a camera
    of focal f gives f^2 ((1 + u^2 + v^2) / (1 + x^2 + y^2))^(3/2) canvas pixels at canvas focal 1.
    """
    focals = []
    for camera, rect_from_cam, outline in zip((rig.cam1, rig.cam2), rotations, outlines, strict=True):
        (a, b), (c, d) = outline.min(0), outline.max(0)
        u, v = np.meshgrid(np.linspace(a, c, 24), np.linspace(b, d, 24))
        X = np.stack([u, v, np.ones_like(u)], -1) @ rect_from_cam
        y = X[..., :2] / X[..., 2:]
        x = y @ camera.K[:2, :2].T + camera.K[:2, 2]
        inside = ((x > 0) & (x < camera.size)).all(-1) & (X[..., 2] > 0)
        ratio = ((1 + (y**2).sum(-1)) / (1 + u**2 + v**2)) ** 1.5
        focals.append(camera.focal * np.sqrt(np.median(ratio[inside])) if inside.any() else camera.focal)
    return float(np.sqrt(focals[0] * focals[1]))


def inlier_disparities(inlier_x: Inliers, rig: Rig, rotations: Rotations, column: Callable) -> np.ndarray:
    """Finite u1 - u2 of matches (x1, x2), u = column(directions in the common orientation)."""
    u = []
    for x, camera, Q in zip(inlier_x, (rig.cam1, rig.cam2), rotations, strict=True):
        u.append(column(hom(undistort(x, camera.K, camera.dist)) @ Q.T))
    d = u[0] - u[1]
    return d[np.isfinite(d)]


# ---------------------------------------------------------------------------------------------------- on the sphere


def polar_canvas(
    rig: Rig, rotations: Rotations, swapped: bool, scale: float, budget: float, inlier_x: Inliers | None
) -> Canvas:
    """Rows are half-planes about the baseline, columns u = -p: a point before both cameras has p2 > p1, if not swapped.

    Row spacing: the photos' pixels at the farthest that a half-plane reaches in them; column spacing: their median
    pixel. Nearer to an epipole rows show less than a pixel each. Where the budget does not allow them all, rows are
    dropped as long as the median pixel keeps one, then rows and columns alike.
    """
    cameras = rig.cam1, rig.cam2
    borders = [
        rect_directions(camera, Q, photo_border(camera, 1025)) for camera, Q in zip(cameras, rotations, strict=True)
    ]
    arcs = [_arc(X) for X in borders]
    first, length = _common_arc(arcs)
    if length <= 0:
        raise no_common_row()
    samples = [_densities(cam, Q, X) for cam, Q, X in zip(cameras, rotations, borders, strict=True)]
    if length == 2 * np.pi:  # cut the full circle where the picture reaches least far
        a, density, _ = _row_density(samples, first, length)
        first = a[np.argmin(density)]
    a, density, spare = _row_density(samples, first, length)
    columns = scale * np.sqrt(np.prod([np.median(along) for _, along, _ in samples]))
    count = scale * np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(a))])  # rows above a
    if count[-1] < MIN_OVERLAP:
        raise no_common_row()
    visible = [
        _columns_of_arc(X, full, (first, length), Q) for X, (_, full), Q in zip(borders, arcs, rotations, strict=True)
    ]
    d_range = _polar_range(rig, rotations, swapped, columns, inlier_x)
    left_columns, right_columns = matchable_columns(visible[0], visible[1], d_range)
    width = columns * max(left_columns[1] - left_columns[0], right_columns[1] - right_columns[0])
    if columns * min(left_columns[1] - left_columns[0], right_columns[1] - right_columns[0]) < MIN_OVERLAP:
        raise StereoError(
            "no_overlap",
            "no point before both cameras falls into both photos.",
            "The estimated camera motion is not right, or the photos barely overlap.",
        )
    excess = max(1.0, width * count[-1] / budget)
    thinner = min(excess, spare)
    narrower = np.sqrt(excess / thinner)
    columns, count = columns / narrower, count / (thinner * narrower)
    size = int(np.ceil(width / narrower)) + 1, int(np.ceil(count[-1])) + (length < 2 * np.pi)
    if length == 2 * np.pi:
        count *= size[1] / count[-1]  # the row after the last is the first
    rays = (
        _polar_rays(left_columns[0], size, columns, (count, a)),
        _polar_rays(right_columns[0], size, columns, (count, a)),
    )
    return Canvas("polar", size, float(1 / narrower), rays)


def _columns_of_arc(X: np.ndarray, full: bool, arc: Interval, rect_from_cam: np.ndarray) -> Interval:
    """Columns u = -p of the photo with the border X (N,3) on the half-planes of the arc (first angle, length)."""
    first, length = arc
    p, angle = _polar_angles(X)
    p = p[(angle - first + 1e-9) % (2 * np.pi) <= length + 2e-9]
    if full:  # the epipole inside the picture is the one on the optical axis' side
        p = np.append(p, 0 if rect_from_cam[0, 2] > 0 else np.pi)
    return -p.max(), -p.min()


def _polar_range(rig: Rig, rotations: Rotations, swapped: bool, columns: float, inlier_x: Inliers | None) -> Interval:
    """Smallest and largest disparity, rad, of points before both cameras, within those of the inliers with a margin."""
    edge = MIN_OVERLAP / columns
    d_range = (-np.inf, edge) if swapped else (-edge, np.inf)
    if inlier_x is not None and len(inlier_x[0]):
        low, high = widened_range(inlier_disparities(inlier_x, rig, rotations, lambda X: -_polar_angles(X)[0]), columns)
        d_range = max(low, d_range[0]), min(high, d_range[1])
    return d_range


def _polar_rays(start: float, size: tuple[int, int], columns: float, rows_of_angles: tuple) -> Callable:
    """Directions of a row: columns from u = start, `columns` to a radian; rows_of_angles: (row numbers, angles)."""
    p = -(start + np.arange(size[0]) / columns)
    p[np.minimum(p, np.pi - p) < 0.5 / columns] = np.nan  # the epipole has no row of its own; beyond it lie others
    along, across = np.cos(p), np.sin(p)

    def rays(rows: np.ndarray) -> tuple:
        angle = np.interp(rows, *rows_of_angles)
        return along, across * np.sin(angle), across * np.cos(angle)

    return rays


def _polar_angles(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p in [0, pi] from the baseline, a in (-pi, pi] about it, of directions (..., 3) in the common orientation."""
    return np.arctan2(np.hypot(X[..., 1], X[..., 2]), X[..., 0]), np.arctan2(X[..., 1], X[..., 2])


def _arc(X: np.ndarray) -> tuple[tuple[float, float], bool]:
    """First and last angle about the baseline of a picture with the border X (N,3), and whether it encloses an epipole.

    The border winds once about an epipole inside it, else not at all.
    """
    angle = np.unwrap(_polar_angles(np.concatenate([X, X[:1]]))[1])
    if abs(angle[-1] - angle[0]) > np.pi:
        return (-np.pi, np.pi), True
    return (float(angle.min()), float(angle.max())), False


def _common_arc(arcs: list[tuple[Interval, bool]]) -> Interval:
    """First angle and length of the intersection of two arcs; the longer part where there are two."""
    ((a, b), full1), ((c, d), full2) = arcs
    if full1 and full2:
        return -np.pi, 2 * np.pi
    if full1 or full2:
        first, last = (c, d) if full1 else (a, b)
        return first, last - first
    parts = [(max(a, c + k), min(b, d + k)) for k in 2 * np.pi * np.arange(-2, 3)]
    first, last = max(parts, key=lambda part: part[1] - part[0])
    return first, last - first


def _densities(
    camera: Camera, rect_from_cam: np.ndarray, border: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, int]]:
    """Photo pixels to a radian at sample directions inside the picture, then along its border.

    Returns the angles a (N,) about the baseline; the density along the row (M,), of those inside; and the density
    across rows (N,) with M.
    """
    w, h = camera.size
    x = np.stack(np.meshgrid(np.linspace(0, w - 1, 33), np.linspace(0, h - 1, 33)), -1).reshape(-1, 2)
    inside = rect_directions(camera, rect_from_cam, x)
    p, a = _polar_angles(np.concatenate([inside, border]))
    step = 1e-5  # rad

    def pixel(p: np.ndarray, a: np.ndarray) -> np.ndarray:
        X = np.stack([np.cos(p), np.sin(p) * np.sin(a), np.sin(p) * np.cos(a)], -1)
        return project(X @ rect_from_cam, camera.K, dist=camera.dist)

    along = np.linalg.norm(pixel(p + step, a) - pixel(p - step, a), axis=1) / (2 * step)
    across = np.linalg.norm(pixel(p, a + step) - pixel(p, a - step), axis=1) / (2 * step)
    return a, along[: len(inside)], (across, len(inside))


def _row_density(samples: list, first: float, length: float, bins: int = 256) -> tuple[np.ndarray, np.ndarray, float]:
    """Angles (M,) from `first` on, rows to a radian there (full size), and how many of them show one median pixel.

    Each photo asks for the density of its farthest pixel on the half-plane; the rows get the geometric mean of both.
    """
    from scipy.ndimage import maximum_filter1d, uniform_filter1d

    wanted, spare = [], []
    for angle, _, (across, inner) in samples:
        at = (angle - first) % (2 * np.pi) / length * bins
        on_arc = at < bins
        highest = np.zeros(bins)
        np.maximum.at(highest, at[on_arc].astype(int), across[on_arc])
        filled = highest > 0
        highest = np.interp(np.arange(bins), np.nonzero(filled)[0], highest[filled])
        mode = "wrap" if length == 2 * np.pi else "nearest"
        wanted.append(uniform_filter1d(maximum_filter1d(highest, 5, mode=mode), 5, mode=mode))
        inside = on_arc[:inner]
        spare.append(np.median(wanted[-1][at[:inner][inside].astype(int)] / np.maximum(across[:inner][inside], 1e-9)))
    density = np.sqrt(wanted[0] * wanted[1])
    fine = np.linspace(0, length, 16 * bins + 1)
    middles = (np.arange(bins) + 0.5) * length / bins
    period = length if length == 2 * np.pi else None
    return first + fine, np.interp(fine, middles, density, period=period), max(1.0, float(np.sqrt(np.prod(spare))))


# ---------------------------------------------------------------------------------------------------------- drift


def fit_drift(view: TwoView, inlier_x: Inliers, scale: float) -> tuple[Callable | None, Drift]:
    """r = D(y2) . n(y2): the systematic distance of matches from their epipolar lines in photo 2, fitted robustly.

    D: a vector of cubic polynomials (the first radial term of a lens is cubic); n: the unit normal of the epipolar
    line; r: the signed distance to it. The fit uses Huber's weights. It counts if matches in parts of the picture that
    were left out of the fit come nearer to their lines by a fifth, and by MIN_DRIFT px at matching size.

    Returns `bend` for `photo_map`, or None, and the medians of |r| before and after and the largest bend, px at
    matching size.
    """
    y1, y2 = (undistort(x, c.K, c.dist) for x, c in zip(inlier_x, (view.rig.cam1, view.rig.cam2), strict=True))
    known = np.isfinite(y1).all(1) & np.isfinite(y2).all(1)
    y1, y2 = y1[known], y2[known]
    if len(y1) < MIN_DRIFT_MATCHES:
        return None, {}
    px = scale * view.rig.cam2.focal
    radius = np.abs(y2).max()
    line = hom(y1) @ essential_from_pose(view.R, view.t).T
    n = _epipolar_normals(y2, view.t)
    # along n, from the line to the match
    r = px * (line * hom(y2)).sum(1) / np.maximum(np.linalg.norm(line[:, :2], axis=1), 1e-300)
    r *= np.sign((line[:, :2] * n).sum(1))

    def terms(y: np.ndarray, n: np.ndarray) -> np.ndarray:
        a, b = y[..., 0] / radius, y[..., 1] / radius
        cubic = np.stack([a**i * b**j for i in range(4) for j in range(4 - i)], -1)
        return np.concatenate([cubic * n[..., :1], cubic * n[..., 1:]], -1)

    B = terms(y2, n)
    residual = _cross_validated(B, r, np.floor(4 * y2 / radius).astype(int))
    before, after = float(np.median(np.abs(r))), float(np.median(np.abs(residual)))
    if after > min(0.8 * before, before - MIN_DRIFT):
        return None, {}
    c = huber_fit(B, r)
    largest = float(np.quantile(np.abs(B @ c), 0.995))  # bounds the polynomial beyond the matches

    def bend(y: np.ndarray) -> np.ndarray:
        n = _epipolar_normals(y, view.t)
        return np.clip(terms(y, n) @ c, -largest, largest)[..., None] * n / px

    return bend, {"before_px": before, "after_px": after, "largest_px": largest}


def _cross_validated(B: np.ndarray, r: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Residuals (N,) of a Huber fit of r by B c, each from a fit without the fold of its cell (N,2).

    The cells of a fold do not touch each other: neighbouring matches share their errors.
    """
    fold = (cell[:, 0] + 3 * cell[:, 1]) % 5
    residual = r.copy()
    for k in range(5):
        residual[fold == k] -= B[fold == k] @ huber_fit(B[fold != k], r[fold != k])
    return residual


def _epipolar_normals(y: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Unit normals (..., 2) at y (..., 2) of the lines through y and the epipole, normalised coordinates of photo 2."""
    along = y * t[2] - t[:2]
    return np.stack([-along[..., 1], along[..., 0]], -1) / np.maximum(
        np.linalg.norm(along, axis=-1, keepdims=True), 1e-12
    )


def huber_fit(B: np.ndarray, r: np.ndarray, rounds: int = 8) -> np.ndarray:
    """argmin_c of Huber's loss of r - B c, its corner at 1.5 robust deviations, by iterated weights; (K,).

    A small ridge keeps coefficients that the data do not determine at 0.
    """
    w, c = np.ones(len(r)), np.zeros(B.shape[1])
    ridge = 1e-6 * np.eye(B.shape[1]) * (B**2).sum() / B.shape[1]
    for _ in range(rounds):
        weighted = w[:, None] * B
        c = np.linalg.solve(np.einsum("np,nq->pq", weighted, B) + ridge, np.einsum("np,n->p", weighted, r))
        e = np.abs(r - B @ c)
        w = 1 / np.maximum(1, e / max(1.5 * 1.4826 * np.median(e), 1e-9))
    return c


# -------------------------------------------------------------------------------------------- maps and pictures


def photo_map(
    camera: Camera, rect_from_cam: np.ndarray, rays: Callable, size: tuple[int, int], bend: Callable | None = None
) -> np.ndarray:
    """(H,W,2) f32: the photo pixel that each canvas pixel, in direction rays(row), shows; NaN outside the photo.

    bend: offset (..., 2) as a function of normalised image coordinates (..., 2), added to them.
    """
    w, h = size
    xy = np.empty((h, w, 2), np.float32)
    max_radius2 = np.inf
    if np.any(camera.dist):
        # far outside, the polynomial folds back into the picture: nothing beyond the border's widest ray is real
        border = photo_outline(camera, np.eye(3))
        assert border is not None  # in the camera's own frame, unit z
        max_radius2 = 1.0001 * (border**2).sum(1).max()

    def map_strip(top: int) -> None:
        r = rays(np.arange(top, min(h, top + STRIP_ROWS))[:, None])
        Q = rect_from_cam
        X, Y, Z = (r[0] * Q[0, k] + r[1] * Q[1, k] + r[2] * Q[2, k] for k in range(3))  # Q^T r
        with np.errstate(divide="ignore", invalid="ignore"):
            y = np.stack([X / Z, Y / Z], -1)
            if bend is not None:
                y += bend(y)
        x = distort(y, camera.dist) @ camera.K[:2, :2].T + camera.K[:2, 2]
        outside = ~all_channels((x >= -0.5) & (x <= np.array(camera.size) - 0.5)) | (Z <= 0)
        if np.isfinite(max_radius2):
            outside |= (y**2).sum(-1) > max_radius2
        x[outside] = np.nan
        xy[top : top + STRIP_ROWS] = x

    with ThreadPoolExecutor() as pool:
        list(pool.map(map_strip, range(0, h, STRIP_ROWS)))
    return xy


def resample(photo: Photo, xy: np.ndarray) -> np.ndarray:
    """The photo at the pixels xy (H,W,2): reduced by area first where the map steps over more than 1.5 px."""
    import cv2

    middle = xy[xy.shape[0] // 2]
    steps = np.linalg.norm(np.diff(middle, axis=0), axis=1)
    steps = steps[np.isfinite(steps)]
    step = float(np.median(steps)) if len(steps) else 1.0
    pixels, grid = photo.pixels, np.nan_to_num(xy, nan=-1e4)
    if step > 1.5 or max(photo.size) >= MAX_REMAP:
        width, height = (max(1, round(n / max(step, max(photo.size) / MAX_REMAP))) for n in photo.size)
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        s = np.array([width / photo.size[0], height / photo.size[1]], np.float32)
        grid = (grid + np.float32(0.5)) * s - np.float32(0.5)
    if step > MAX_REMAP:
        raise ValueError("the canvas is empty")
    picture = cv2.remap(  # pyright: ignore[reportCallIssue, reportArgumentType]
        pixels,
        grid.astype(np.float32),
        None,  # pyright: ignore[reportArgumentType]
        interpolation=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    picture[np.isnan(xy[..., 0])] = 0
    return picture


def _is_rectified(view: TwoView) -> bool:
    """R = I, t along x, equal K but for the principal column, no distortion, equal size."""
    a, b = view.rig.cam1, view.rig.cam2
    straight = not np.any(a.dist) and not np.any(b.dist) and a.size == b.size
    equal = np.allclose(a.K[[0, 0, 1, 1], [0, 1, 1, 2]], b.K[[0, 0, 1, 1], [0, 1, 1, 2]], rtol=1e-9, atol=1e-9)
    still = np.abs(view.R - np.eye(3)).max() < 1e-9 and np.abs(view.t[1:]).max() < 1e-9 * abs(view.t[0])
    return straight and equal and still


def _identity(left: Photo, right: Photo, view: TwoView, scale: float) -> RectifiedPair:
    """A pair that is rectified already, reduced to matching size."""
    import cv2

    width, height = (max(1, round(n * scale)) for n in left.size)
    sx, sy = width / left.size[0], height / left.size[1]
    x = (np.arange(width, dtype=np.float32) + 0.5) / sx - 0.5
    y = (np.arange(height, dtype=np.float32) + 0.5) / sy - 0.5
    xy = np.stack(np.meshgrid(x, y), -1).astype(np.float32)
    first, second = left.pixels, right.pixels
    if (width, height) != left.size:
        first, second = (
            cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA) for pixels in (first, second)
        )
    return RectifiedPair(first, second, xy, xy, kind="identity", swapped=bool(view.t[0] > 0))


def _invert(xy: np.ndarray, x: np.ndarray, beyond: float = 0.5, iterations: int = 6) -> np.ndarray:
    """u (N,2) with xy(u) = x (N,2), for a map xy (H,W,2): Newton's method on the bilinear map; NaN where there is none.

    Starts from the nearest of a grid of known map points, so that any smooth map will do. Up to a pixel beyond the last
    cell with four known corners the map is extrapolated from that cell, but no farther than `beyond` px out of the
    canvas.
    """
    h, w = xy.shape[:2]
    x = np.asarray(x, dtype=float)
    u = np.full(x.shape, np.nan)
    todo = np.isfinite(x).all(1)
    if h < 2 or w < 2 or not todo.any():
        return u
    known = np.isfinite(xy[..., 0])
    whole = known[:-1, :-1] & known[:-1, 1:] & known[1:, :-1] & known[1:, 1:]
    target = x[todo]
    cell = _nearest_cells(xy, whole, target)
    if cell is None:
        return u
    at = cell.astype(float)
    error = np.full(len(at), np.inf)
    for _ in range(iterations):
        cell = _step_to_cell(at, cell, whole)
        step, error = _newton_step(xy, cell, at, target)
        at = np.clip(at + np.where(np.isfinite(step), step, 0), -1, [w, h])
    inside = (at >= -beyond).all(1) & (at <= [w - 1 + beyond, h - 1 + beyond]).all(1) & (error < 0.05)
    inside &= (at >= cell - 1).all(1) & (at <= cell + 2).all(1)
    at[~inside] = np.nan
    u[todo] = at
    return u


def _nearest_cells(xy: np.ndarray, whole: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """Of a coarse grid of cells (column, row) with four known corners, the one nearest to each target; None without."""
    from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

    h, w = xy.shape[:2]
    rows, columns = (np.append(np.arange(0, n - 2, max(1, min(8, n // 4))), n - 2) for n in (h, w))
    grid = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
    grid = grid[whole[grid[:, 1], grid[:, 0]]]
    if len(grid) == 0:
        return None
    return grid[cKDTree(xy[grid[:, 1], grid[:, 0]].astype(float)).query(target)[1]]


def _step_to_cell(at: np.ndarray, cell: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """The cell (N,2) that holds `at` (N,2) if its corners are known, else a known neighbour of it, else `cell`."""
    h, w = whole.shape
    for di, dj in ((1, 1), (-1, 1), (1, -1), (-1, -1), (1, 0), (0, 1), (-1, 0), (0, -1), (0, 0)):  # the last wins
        near: np.ndarray = np.clip(np.floor(at).astype(int) + (di, dj), 0, [w - 1, h - 1])
        cell = np.where(whole[near[:, 1], near[:, 0]][:, None], near, cell)
    return cell


def _newton_step(xy: np.ndarray, cell: np.ndarray, at: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Newton step (N,2) of the cells' bilinear maps towards target (N,2), and the error (N,) before it."""
    i, j = cell.T
    a, b = at[:, :1] - i[:, None], at[:, 1:] - j[:, None]
    p00, p10, p01, p11 = (xy[j + dj, i + di].astype(float) for dj, di in ((0, 0), (0, 1), (1, 0), (1, 1)))
    gu = (1 - b) * (p10 - p00) + b * (p11 - p01)
    gv = (1 - a) * (p01 - p00) + a * (p11 - p10)
    e = target - (p00 + a * (p10 - p00) + b * (p01 - p00) + a * b * (p11 - p10 - p01 + p00))
    det = gu[:, 0] * gv[:, 1] - gv[:, 0] * gu[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.stack([gv[:, 1] * e[:, 0] - gv[:, 0] * e[:, 1], gu[:, 0] * e[:, 1] - gu[:, 1] * e[:, 0]], 1)
        step /= det[:, None]
    return step, np.abs(e).max(1)
