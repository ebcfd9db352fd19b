"""Choose the kind of rectification and resample both photos."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Annotated, Literal, get_args

import numpy as np

from ..errors import StereoError
from ..images.unknown import scene_pixels
from ..options import MAX_SIZE, Range, check_options, options_of
from ..records import Photo, RectifiedPair, Rig, TwoView
from ..records.photo import require_photos
from .canvas import Canvas, Inliers, Rotations, photo_outline
from .drift import fit_drift
from .maps import infinity_disparity, photo_map, resample, row_errors, without_bars
from .planar import MAX_STRETCH, epipole_too_near, max_stretch, planar_canvas
from .polar import polar_canvas
from .sphere import sphere_pair

Kind = Literal["auto", "planar", "polar"]
MAX_PIXELS = 2.0  # of the canvas, over those of the photo at matching size; more: the epipole is too near for a plane
MIN_DENSITY = 0.7  # canvas over photo pixels along a side; a plane below loses half the pixels, so try the sphere


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
    first photo least, so no picture is mirrored, and `swapped` says that the first photo is on the right. A
    vertical baseline turns the pair by 90 degrees. The canvas holds the rows that both photos see and the columns of
    each photo whose scene the other may see, at the density of the photos reduced to the longer side `max_size`.

    Photos of cameras with a wide lens (`Camera.lens`) are always resampled over the sphere of directions (kind
    "sphere", `sphere_pair`): like "polar", whatever the field, without `straighten`.

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
    require_photos(left=left, right=right)
    if kind not in get_args(Kind):
        known = ", ".join(get_args(Kind))
        raise StereoError("unknown_method", f"there is no rectification {kind!r}.", f"There are: {known}.")
    given = check_options("rectify", options_of(rectify), {"straighten": straighten, "max_size": max_size})
    straighten, max_size = given["straighten"], given["max_size"]
    scale = min(1.0, max_size / max(max(left.size), max(right.size)))
    if view.rig.wide:
        pair = sphere_pair((left, right), view, _orientation(view, keep_order=True)[0], scale)
        return pair if inlier_x is None else replace(pair, rows=row_errors(pair, *inlier_x))
    if kind != "polar" and _is_rectified(view):
        pair = _identity(left, right, view, scale)
        pair = pair if inlier_x is None else replace(pair, rows=row_errors(pair, *inlier_x))
    else:
        pair = _turned_pair((left, right), view, kind, straighten, scale, inlier_x)
    return replace(pair, infinity=infinity_disparity(pair, view))


def _turned_pair(
    photos: tuple[Photo, Photo], view: TwoView, kind: str, straighten: bool, scale: float, inlier_x: Inliers | None
) -> RectifiedPair:
    """The photos resampled as seen by cameras turned into one orientation."""
    left, right = photos
    rotations, swapped = _orientation(view)
    budget = MAX_PIXELS * scale**2 * max(left.size[0] * left.size[1], right.size[0] * right.size[1])
    canvas = _choose_canvas(view, rotations, swapped, kind, scale, budget, inlier_x)
    bend, drift = (None, {}) if inlier_x is None or not straighten else fit_drift(view, inlier_x, scale)
    pair = replace(_resample_pair(photos, view.rig, rotations, canvas, bend), swapped=swapped, drift=drift)
    if inlier_x is None:
        return pair
    pair = replace(pair, rows=row_errors(pair, *inlier_x))
    if bend is None or not pair.rows:
        return pair
    map2 = without_bars(photo_map(view.rig.cam2, rotations[1], canvas.rays[1], canvas.size), right)
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
    map1 = without_bars(photo_map(rig.cam1, rotations[0], canvas.rays[0], canvas.size), photos[0])
    map2 = without_bars(photo_map(rig.cam2, rotations[1], canvas.rays[1], canvas.size, bend), photos[1])
    with ThreadPoolExecutor(2) as pool:
        left, right = pool.map(resample, photos, (map1, map2))
    return RectifiedPair(left, right, map1, map2, kind=canvas.kind, epipole_columns=canvas.epipole_columns)


def _keep_better_rows(bent: RectifiedPair, straight: RectifiedPair, inlier_x: Inliers) -> RectifiedPair:
    """The pair with the drift correction only if its rows agree better than those of the pair without."""
    rows = row_errors(straight, *inlier_x)
    if rows and rows.get("median_px", np.inf) <= bent.rows.get("median_px", np.inf):
        return replace(straight, rows=rows)
    return bent


def _orientation(view: TwoView, *, keep_order: bool = False) -> tuple[Rotations, bool]:
    """rect_from_cam1, rect_from_cam2 (3,3), and whether the first photo is on the right; never with keep_order."""
    baseline = -view.R.T @ view.t  # centre of camera 2
    e1 = baseline / np.linalg.norm(baseline)
    # within 1 % of vertical both ways turn the photo equally far: then the first photo counts as left
    swapped = bool(e1[0] < -0.01) and not keep_order
    if swapped:
        e1 = -e1
    forward = np.array([0.0, 0.0, 1.0]) + view.R[2]
    e3 = forward - (forward @ e1) * e1
    if np.linalg.norm(e3) < 1e-9:  # straight ahead: any axis across will do, as no plane fits
        e3 = np.linalg.svd(e1[None])[2][1]
    e3 /= np.linalg.norm(e3)
    rect_from_cam1 = np.stack([e1, np.cross(e3, e1), e3])
    return (rect_from_cam1, rect_from_cam1 @ view.R.T), swapped


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
    first, second = scene_pixels(left), scene_pixels(right)
    if (width, height) != left.size:
        first, second = (
            cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA) for pixels in (first, second)
        )
    map1, map2 = without_bars(xy, left), without_bars(xy, right)
    return RectifiedPair(first, second, map1, map2, kind="identity", swapped=bool(view.t[0] > 0))
