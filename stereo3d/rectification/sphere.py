"""Rectification over the whole sphere of directions, for cameras of any field: panoramas and fisheyes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .. import resources
from ..geometry.arrays import all_channels
from ..records import Camera, Photo, RectifiedPair, SphereGrid, TwoView
from .canvas import MIN_OVERLAP, Rotations, no_common_row
from .maps import resample, without_bars

# Degrees about the direction of motion and its opposite that are left out: parallax falls to nothing there, and the
# rows, as dense as the photo's pixels across the baseline, are eleven to a pixel.
POLE_DEG = 5.0
SAMPLES = (720, 360)  # rows and columns of directions at which it is tested what both photos show
PADDING = 24  # rows that a full circle repeats at either end: more than any matching window reaches
MIN_ROW = 0.05  # of the columns, that both photos have to show of a row
MAX_PIXELS = 3.0  # of the canvas, over those of the photo at matching size
# Columns for each pixel of the photo at matching size, and rows: a matching window then covers less of the scene, which
# is curved in this grid, and its error is a smaller part of the photo's pixel (docs/decisions/sphere.md).
DENSITY = 1.4
STRIP_ROWS = 32  # rows mapped at a time: bounds the memory


def sphere_pair(photos: tuple[Photo, Photo], view: TwoView, rotations: Rotations, scale: float) -> RectifiedPair:
    """Resample both photos so that rows are half-planes about the baseline, and columns angles from it.

    Parameters
    ----------
    photos : (Photo, Photo)
    view : TwoView
        Cameras, of any lens, and pose.
    rotations : (rect_from_cam1, rect_from_cam2)
        First axis from camera 1 to camera 2.
    scale : float
        Of the photos at matching size.

    Returns
    -------
    RectifiedPair
        Of the kind "sphere". Both pictures have the same grid, so that infinity has the disparity 0. A full circle of
        rows is padded with `PADDING` of its own rows at either end.

    Raises
    ------
    StereoError
        "no_overlap" where no row or column is common.

    References
    ----------
    Arican and Frossard, Dense disparity estimation from omnidirectional images, 2007: epipolar half-planes about the
    baseline as rows.
    """
    cameras = view.rig.cam1, view.rig.cam2
    (first_row, last_row), (first, last) = _common_part(photos, cameras, rotations)
    budget = MAX_PIXELS * scale**2 * max(photo.size[0] * photo.size[1] for photo in photos)
    pitch = float(np.sqrt(cameras[0].pixel_angle * cameras[1].pixel_angle)) / (scale * DENSITY)
    pitch = max(pitch, np.sqrt((last_row - first_row) * (first - last) / budget))
    count, closed = int((last_row - first_row) / pitch), last_row - first_row > 2 * np.pi - 1e-9
    width = int((first - last) / pitch) + 1
    if min(count, width) < MIN_OVERLAP:
        raise no_common_row()
    padding = min(PADDING, count // 2) if closed else 0
    row_pitch = 2 * np.pi / count if closed else pitch
    rows = first_row + row_pitch * np.arange(-padding, count + padding)
    grid = SphereGrid(cameras, np.stack(rotations), first, pitch, rows, padding)
    maps = [without_bars(_photo_map(grid, k, width), photos[k]) for k in (0, 1)]
    wraps = [camera.is_panorama for camera in cameras]
    with ThreadPoolExecutor(2) as pool:
        left, right = pool.map(resample, photos, maps, wraps)
    return RectifiedPair(left, right, *maps, kind="sphere", infinity=0.0, sphere=grid)


def _common_part(
    photos: tuple[Photo, Photo], cameras: tuple[Camera, Camera], rotations: Rotations
) -> tuple[tuple[float, float], tuple[float, float]]:
    """First and last angle of the rows that both photos show, and first (larger) and last angle of the columns."""
    rows, columns = SAMPLES
    a = -np.pi + 2 * np.pi * (np.arange(rows) + 0.5) / rows
    pole = np.radians(POLE_DEG)
    p = np.linspace(np.pi - pole, pole, columns)
    sine = np.sin(p)
    X = np.stack(
        [np.broadcast_to(np.cos(p), (rows, columns)), np.outer(np.sin(a), sine), np.outer(np.cos(a), sine)], -1
    )
    seen = [_shown(X @ Q, photo, camera) for photo, camera, Q in zip(photos, cameras, rotations, strict=True)]
    common = np.asarray((seen[0].mean(1) > MIN_ROW) & (seen[1].mean(1) > MIN_ROW))
    if not common.any():
        raise no_common_row()
    begin, length = _longest_arc(common)
    step = 2 * np.pi / rows
    kept = (begin + np.arange(length)) % rows
    across = np.flatnonzero(seen[0][kept].any(0) | seen[1][kept].any(0))
    first = -np.pi + begin * step
    return (first, first + length * step), (float(p[across[0]]), float(p[across[-1]]))


def _shown(X: np.ndarray, photo: Photo, camera: Camera) -> np.ndarray:
    """Whether the photo shows the directions X (..., 3) in the frame of its camera."""
    x = camera.pixels_from_rays(X)
    with np.errstate(invalid="ignore"):
        inside = all_channels((x >= -0.5) & (x <= np.array(camera.size) - 0.5))
    if photo.mask is not None:
        column, row = np.rint(x[inside]).astype(int).T
        inside[inside] = photo.mask[row.clip(0, photo.size[1] - 1), column.clip(0, photo.size[0] - 1)]
    return inside


def _longest_arc(wanted: np.ndarray) -> tuple[int, int]:
    """First place and length of the longest run of True on a circle (N,) bool."""
    if wanted.all():
        return 0, len(wanted)
    start = int(np.flatnonzero(~wanted)[0])  # a place that no run crosses
    edges = np.diff(np.concatenate([[0], np.roll(wanted, -start).astype(np.int8), [0]]))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    longest = int(np.argmax(ends - begins))
    return int((begins[longest] + start) % len(wanted)), int(ends[longest] - begins[longest])


def _photo_map(grid: SphereGrid, number: int, width: int) -> np.ndarray:
    """(H,W,2) f32: the photo pixel of either camera that each pixel of the grid shows; NaN outside the photo."""
    camera, rect_from_cam = grid.cameras[number], grid.rect_from_cam[number]
    height, columns = len(grid.row_angles), np.arange(width)
    xy = np.empty((height, width, 2), np.float32)

    def map_strip(top: int) -> None:
        rows = np.arange(top, min(height, top + STRIP_ROWS))[:, None]
        x = camera.pixels_from_rays(grid.directions(rows, columns) @ rect_from_cam)
        with np.errstate(invalid="ignore"):
            x[~all_channels((x >= -0.5) & (x <= np.array(camera.size) - 0.5))] = np.nan
        xy[top : top + STRIP_ROWS] = x

    with ThreadPoolExecutor(resources.processors()) as pool:
        list(pool.map(map_strip, range(0, height, STRIP_ROWS)))
    return xy
