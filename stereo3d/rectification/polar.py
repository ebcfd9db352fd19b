"""Rectification over the sphere of viewing directions, for epipoles inside the picture."""

from collections.abc import Callable

import numpy as np

from ..errors import StereoError
from ..geometry.camera import project
from ..records import Camera, Rig
from .canvas import (
    MIN_OVERLAP,
    Canvas,
    Inliers,
    Interval,
    Rotations,
    inlier_disparities,
    matchable_columns,
    no_common_row,
    photo_border,
    rect_directions,
    widened_range,
)


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
    starts = left_columns[0], right_columns[0]
    # of the two epipoles, at u = 0 and u = -pi, the one nearer to the pictures
    epipole = 0.0 if sum(starts) / 2 + (size[0] - 1) / columns / 2 > -np.pi / 2 else -np.pi
    return Canvas(
        "polar", size, float(1 / narrower), rays, (columns * (epipole - starts[0]), columns * (epipole - starts[1]))
    )


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
