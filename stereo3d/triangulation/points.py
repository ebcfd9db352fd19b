"""Disparity -> point map, with its uncertainty."""

from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import numpy as np

from .. import resources
from ..geometry.arrays import norms
from ..geometry.camera import fold_radius, lens_coefficients, undistort, untilted
from ..geometry.rotations import rotation_from_vector
from ..geometry.two_view import essential_from_pose, intersect_rays
from ..options import Range, check_options, options_of
from ..records import Camera, DisparityMap, RectifiedPair, RightViewPixels, RightViewPoints, TwoView
from .shards import shards
from .sphere import points_on_sphere, triangulate_on_sphere

STRIP_ROWS = 32  # rows triangulated at a time: their arrays stay in the processor's cache
DISPARITY_STEP = 0.05  # px: step of the finite difference dz/dd
MAX_BEYOND = 128  # px past the second picture that surfaces are continued: a matcher supports half of that at most
MEDIAN_POINTS = 100_000  # points at most whose median change `along_the_ray` takes
CHUNK_POINTS = 10_000  # points processed at a time by it: their arrays stay in the processor's cache
MAX_RELATIVE_SIGMA = 0.05  # of the distance: points of larger standard deviation are discarded
# The same where the camera moved ahead. There the parallax falls to nothing within one picture, and steps of noise near
# the epipole look like surfaces along the line of sight (`python benchmarks/forward.py`).
MAX_RELATIVE_SIGMA_POLAR = 0.02
# px: standard deviation of a match where its own sigma is not known: 1.4826 median |error| of the matches that `sgm`
# keeps, mean over 17 real pairs with truth. The default matcher, `planes`, states its own sigma for each pixel, which
# `point_map` uses instead; for a map of `planes` without one this value was not measured.
MATCH_SIGMA = 0.25
POSE_STEP = 1e-5  # rad, and share of |t|: step of the finite differences by the pose
FOCAL_STEP = 1e-3  # relative: step of the finite difference by the focal lengths


def triangulate(
    disparity: np.ndarray,
    pair: RectifiedPair,
    view: TwoView,
    *,
    disparity_sigma: float | np.ndarray | None = None,
    beyond: Annotated[int, Range(0)] = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """X = z d1, sigma = |dz/dd| sigma_d |d1|: points of a disparity map and their standard deviation along the ray.

    Each rectified pixel (i, j) and its match (i - d, j) are looked up in the maps back to the photos. The match is
    projected onto the epipolar line of the first pixel (its distance from the line carries no depth), so the two rays
    intersect, and the point projects exactly onto its own pixel of the first photo. dz/dd is a finite difference.

    Parameters
    ----------
    disparity : (H,W) float
        px, NaN where unknown.
    pair : RectifiedPair
        The rectified photos, (H,W).
    view : TwoView
        Cameras and pose.
    disparity_sigma : float or (H,W) float, optional
        px; by default MATCH_SIGMA times `row_spread`.
    beyond : int
        px that a match may lie past the edge of the second picture: surface continued beyond what it shows.

    Returns
    -------
    points : (H,W,3) float64
        In the frame of camera 1, units of t. NaN behind a camera, or where sigma is half the depth or more. Of a pair
        of the kind "sphere" the depth is the distance from camera 1.
    sigma : (H,W) float32
        Units of t.

    Raises
    ------
    StereoError
        "bad_option" for a negative `beyond`.
    ValueError
        For shapes that differ or a negative disparity_sigma.
    """
    beyond = check_options("triangulate", options_of(triangulate), {"beyond": beyond})["beyond"]
    disparity = np.asarray(disparity)
    h, w = disparity.shape
    if pair.map1.shape[:2] != (h, w):
        raise ValueError(f"disparity is {disparity.shape}, the rectified pair {pair.map1.shape[:2]}")
    points = np.full((h, w, 3), np.nan)
    sigma = np.full((h, w), np.nan, np.float32)
    if disparity_sigma is None:
        disparity_sigma = MATCH_SIGMA * row_spread(pair)
    elif np.any(np.asarray(disparity_sigma) < 0):
        raise ValueError(f"disparity_sigma must not be negative, its minimum is {np.nanmin(disparity_sigma):g} px")
    match_sigma = np.broadcast_to(np.asarray(disparity_sigma, dtype=float), (h, w))
    if pair.sphere is not None:
        return triangulate_on_sphere(disparity, match_sigma, pair.sphere, view)

    def triangulate_strip(top: int) -> None:
        r = slice(top, top + STRIP_ROWS)
        j, i = np.nonzero(np.isfinite(disparity[r]))
        found = _intersect(
            (j, i, i - disparity[r][j, i], match_sigma[r][j, i]), pair.map1[r], pair.map2[r], view, beyond
        )
        points[r][j, i], sigma[r][j, i] = found

    with ThreadPoolExecutor(resources.processors()) as pool:  # each strip writes its own rows
        list(pool.map(triangulate_strip, range(0, h, STRIP_ROWS)))
    return points, sigma


def point_map(fused: DisparityMap, pair: RectifiedPair, view: TwoView) -> tuple[np.ndarray, np.ndarray]:
    """Triangulate a matched map with its own sigma, and up to MAX_BEYOND px past the second picture.

    Points whose sigma exceeds MAX_RELATIVE_SIGMA of their distance, as near the epipole, are discarded; of a polar pair
    those above MAX_RELATIVE_SIGMA_POLAR and `shards`; `shards` of a pair of the kind "sphere", too.

    Parameters
    ----------
    fused : DisparityMap
        (H,W), with sigma in px.
    pair : RectifiedPair
        The rectified photos.
    view : TwoView
        Cameras and pose.

    Returns
    -------
    points : (H,W,3) float64
        In the frame of camera 1, units of t, NaN where unknown.
    sigma : (H,W) float32
        Standard deviation along the ray, units of t.
    """
    match_sigma = fused.sigma * row_spread(pair)
    points, sigma = triangulate(fused.disparity, pair, view, disparity_sigma=match_sigma, beyond=MAX_BEYOND)
    limit = _max_relative_sigma(pair)

    def drop_uncertain(top: int) -> None:
        r = slice(top, top + STRIP_ROWS)
        uncertain = ~(sigma[r] <= limit * norms(points[r]))
        points[r][uncertain], sigma[r][uncertain] = np.nan, np.nan

    with ThreadPoolExecutor(resources.processors()) as pool:  # each strip writes its own rows
        list(pool.map(drop_uncertain, range(0, len(sigma), STRIP_ROWS)))
    if pair.kind in ("polar", "sphere"):
        torn = shards(points)
        points[torn], sigma[torn] = np.nan, np.nan
    return points, sigma


def triangulate_between(between: RightViewPixels, pair: RectifiedPair, view: TwoView) -> RightViewPoints:
    """Triangulate the matches that `fusion.fuse` found between two pixels of a row.

    Parameters
    ----------
    between : RightViewPixels
        A point's own photo pixel is map1 at its fractional column x of its row.
    pair : RectifiedPair
        The rectified photos.
    view : TwoView
        Cameras and pose.

    Returns
    -------
    RightViewPoints
        The points whose sigma is at most MAX_RELATIVE_SIGMA of their distance (MAX_RELATIVE_SIGMA_POLAR).
    """
    x, row, disparity, match_sigma = between.x, between.row, between.disparity, between.sigma
    known = np.isfinite(x) & np.isfinite(disparity)
    x, row, disparity, match_sigma = x[known], row[known], disparity[known], match_sigma[known]
    match_sigma = np.asarray(match_sigma, dtype=float) * row_spread(pair)[row, x.astype(int)]
    if pair.sphere is None:
        points, sigma = _intersect((row, x, x - disparity, match_sigma), pair.map1, pair.map2, view)
    else:
        points, change = points_on_sphere(row, x, disparity, pair.sphere, view)
        sigma = change * match_sigma
    after = row * pair.map1.shape[1] + x.astype(np.int64)
    kept = sigma <= _max_relative_sigma(pair) * norms(points)
    return RightViewPoints(points[kept], sigma[kept], after[kept], -view.R.T @ view.t)


def _max_relative_sigma(pair: RectifiedPair) -> float:
    return MAX_RELATIVE_SIGMA_POLAR if pair.kind == "polar" else MAX_RELATIVE_SIGMA


def along_the_ray(X: np.ndarray, view: TwoView, covariance: np.ndarray, tangents: np.ndarray) -> np.ndarray:
    """sigma^2 = J C J^T + (dr/df sigma_f)^2: standard deviation along the rays caused by pose and focal lengths.

    The pixels are held fixed; J holds finite differences of the intersection of each point's two rays. |t| is fixed.
    Where view.rig has no unit, the shape is known up to scale, and an error that scales everything does not count: of
    each column of J / r, its median over the points is subtracted.

    Parameters
    ----------
    X : (N,3) float64
        Points in the frame of camera 1; a row of NaN gives NaN.
    view : TwoView
        Cameras and pose; focal_sigma is relative, or None.
    covariance : (5,5) float64
        Of w (rad) and s in the pose exp([w]x) R, t + |t| s tangents.
    tangents : (2,3) float64
        Basis of the directions across t.

    Returns
    -------
    (N,) float64
        Units of X.
    """
    C = np.zeros((6, 6))
    C[:5, :5], C[5, 5] = covariance, (view.focal_sigma or 0) ** 2
    common = np.zeros(6)
    out = np.empty(len(X))

    def write_chunk(first: int) -> None:
        part = slice(first, first + CHUNK_POINTS)
        J = _relative_changes(X[part], view, tangents) - common
        out[part] = np.sqrt(np.einsum("na,ab,nb->n", J, C, J)) * norms(X[part])

    with ThreadPoolExecutor(resources.processors()) as pool:
        if view.rig.unit is None and len(X):
            sample = X[:: 1 + len(X) // MEDIAN_POINTS]
            chunks = [sample[first : first + CHUNK_POINTS] for first in range(0, len(sample), CHUNK_POINTS)]
            changes = pool.map(lambda chunk: _relative_changes(chunk, view, tangents), chunks)
            common = np.nanmedian(np.concatenate(list(changes)), axis=0)
        list(pool.map(write_chunk, range(0, len(X), CHUNK_POINTS)))
    return out


def _relative_changes(X: np.ndarray, view: TwoView, tangents: np.ndarray) -> np.ndarray:
    """(N,6): d(ln z) of points X (N,3) by the five parameters of the pose and by the relative focal length."""
    X2 = X @ view.R.T + view.t
    depth = norms(X) if view.rig.wide else X[:, 2]  # of a camera of any field the distance
    rays1, rays2 = X / depth[:, None], X2 / (norms(X2) if view.rig.wide else X2[:, 2])[:, None]
    length = np.linalg.norm(view.t)

    def change(step: np.ndarray, focal: float) -> np.ndarray:
        R = rotation_from_vector(step[:3]) @ view.R
        t = view.t / length + step[3:] @ tangents
        flat = np.array([focal, focal, 1.0])
        return intersect_rays(rays1 * flat, rays2 * flat, R, length * t / np.linalg.norm(t)) / depth - 1

    pose = [change(step, 1.0) / POSE_STEP for step in POSE_STEP * np.eye(5)]
    return np.stack([*pose, change(np.zeros(5), 1 / (1 + FOCAL_STEP)) / FOCAL_STEP], -1)


def row_spread(pair: RectifiedPair) -> np.ndarray:
    """1 / sqrt(share of a photo pixel that a row shows): the factor on the deviation of a disparity, (H,W).

    Above 1 only around the epipole of a pair of the kinds "polar" and "sphere": the rows there show a share of a photo
    pixel each, so a matching window holds that much less information.
    """
    if pair.sphere is not None:
        share = np.sin(pair.sphere.column_angles(np.arange(pair.map1.shape[1])))
        return np.broadcast_to(1 / np.sqrt(share), pair.map1.shape[:2])
    if pair.kind != "polar":
        return np.broadcast_to(1.0, pair.map1.shape[:2])
    return 1 / np.sqrt(_row_share(pair.map1))


def _intersect(
    matches: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    map1: np.ndarray,
    map2: np.ndarray,
    view: TwoView,
    beyond: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Points (N,3) and deviations (N,) of matches between two maps (h,W,2).

    matches: row, column in map1, column in map2, sigma in px, each (N,).
    """
    from .kernels import Pose, intersect, sample_map

    rows, column1, column2, match_sigma = matches
    rows = np.ascontiguousarray(rows)  # numba compiles a kernel for each layout
    cam1, cam2 = view.rig.cam1, view.rig.cam2
    shifted = column2 + np.where(column2 < 1, DISPARITY_STEP, -DISPARITY_STEP)  # the step never leaves the picture

    def rays(camera: Camera, xy: np.ndarray, columns: np.ndarray, limit: int) -> np.ndarray:
        return _undistort(sample_map(xy, rows, np.ascontiguousarray(columns, dtype=float), limit), camera)

    rays1, rays2, shifted2 = (
        rays(cam1, map1, column1, 0),
        rays(cam2, map2, column2, beyond),
        rays(cam2, map2, shifted, beyond),
    )
    points, sigma = np.empty((len(rows), 3)), np.empty(len(rows))
    E = essential_from_pose(view.R, view.t)
    intersect(rays1, rays2, shifted2, match_sigma / DISPARITY_STEP, Pose(view.R, view.t, E), points, sigma)
    return points, sigma


def _undistort(x: np.ndarray, camera: Camera) -> np.ndarray:
    """`geometry.undistort` of pixels x (N,2), by the kernel where the lens distorts."""
    from .kernels import undistort as undistort_kernel

    if not np.any(camera.dist):
        return undistort(x, camera.K)
    dist = lens_coefficients(camera.dist)[:12]
    x = np.ascontiguousarray(untilted(x, camera.K, camera.dist))
    return undistort_kernel(x, np.linalg.inv(camera.K[:2, :2]), camera.K[:2, 2], dist, fold_radius(dist))


def _row_share(xy: np.ndarray) -> np.ndarray:
    """(H,W) f32 in (0, 1]: distance of the photo pixels xy (H,W,2) of neighbouring rows over that of columns."""

    def steps(axis: int) -> np.ndarray:
        d = np.linalg.norm(np.diff(xy, axis=axis), axis=-1)
        ends = [(0, 0), (0, 0)]
        ends[axis] = (0, 1)
        after = np.pad(d, ends, constant_values=np.nan)
        return np.fmax(after, np.roll(after, 1, axis))

    with np.errstate(divide="ignore", invalid="ignore"):
        share = steps(0) / steps(1)
    return np.clip(np.nan_to_num(share, nan=1), 1e-6, 1)
