"""Point clouds and maps of depth prepared for the page: at most so many points, each with a colour."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...cameras.formats.rig_json import read_cameras
from ...errors import StereoError
from ...io.pictures import colourise
from ...io.read_depth import DepthFile
from ...io.read_points import read_points
from ...records import Camera

FILE_POINTS = 800_000  # largest number of points of a file: about 10 MB
FIELD = 60.0  # degrees across the longer side of a map whose camera is not known
FAR = 1000.0  # times its own size that a cloud may lie from its origin before float32 loses its detail


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points for the viewer.

    Attributes
    ----------
    points : (N, 3) float32
        Frame of camera 1, less `moved`.
    colours : (N, 3) uint8
        RGB.
    total : int
        Points of the file.
    moved : (3,) float64
    painted : bool
        The file has no colours: these show the height.
    """

    points: np.ndarray
    colours: np.ndarray
    total: int
    moved: np.ndarray
    painted: bool


def cloud_of_file(path: Path, most: int = FILE_POINTS) -> tuple[Cloud, str]:
    """Return the points of a file and its unit ("" unknown); of more than `most` points, a regular sample.

    Raises
    ------
    StereoError
        As `io.read_points.read_points`.
    """
    found = read_points(path)
    kept = _kept(len(found.points), most)
    X = found.points[kept]
    low, high = np.quantile(X, [0.01, 0.99], axis=0)
    far = np.abs(low + high).max() / 2 > FAR * max(float((high - low).max()), 1e-12)
    moved = np.round((low + high) / 2) if far else np.zeros(3)
    painted = found.colours is None
    colours = colourise(-X[:, 1:2])[:, 0] if found.colours is None else found.colours[kept]
    return Cloud((X - moved).astype(np.float32), colours, len(found.points), moved, painted), found.unit


def cloud_of_depth(found: DepthFile, camera: Camera, most: int = FILE_POINTS) -> Cloud:
    """Return the points that a map of depth shows, in the frame of its camera, in the colours of inverse depth.

    Parameters
    ----------
    found : DepthFile
        Along the axis of a pinhole camera; of a wide lens the distance.
    camera : Camera
        Of the map's size.
    most : int
        More are thinned out on a regular grid.
    """
    z = found.values
    known = np.isfinite(z) & (z > 0)
    step = max(1, math.ceil(math.sqrt(known.sum() / most)))
    rows, columns = np.mgrid[: z.shape[0] : step, : z.shape[1] : step]
    shown = known[::step, ::step]
    rays = camera.rays_from_pixels(np.column_stack([columns[shown], rows[shown]]).astype(float))
    if camera.lens is None:
        rays = rays / rays[:, 2:]
    X = rays * z[::step, ::step][shown][:, None]
    colours = colourise(1 / np.where(shown, z[::step, ::step], np.nan).astype(float))[shown]
    good = np.isfinite(X).all(1)
    return Cloud(X[good].astype(np.float32), colours[good], int(known.sum()), np.zeros(3), painted=True)


def camera_of_depth(found: DepthFile, focal: float | None) -> tuple[Camera, bool]:
    """Return the camera of a map, and whether it is known: from the file, or by `focal`, else of `FIELD` degrees.

    Parameters
    ----------
    found : DepthFile
    focal : float, optional
        px; it goes before what the file states.
    """
    height, width = found.values.shape
    if focal is None and found.camera:
        try:
            entry = json.loads(found.camera)
            camera = read_cameras(json.dumps({"cameras": {"left": entry, "right": entry}})).cam1
        except (StereoError, ValueError, RecursionError):
            camera = None
        if camera is not None and tuple(camera.size) == (width, height):
            return camera, True
    f = focal or max(width, height) / 2 / math.tan(math.radians(FIELD / 2))
    K = np.array([[f, 0, (width - 1) / 2], [0, f, (height - 1) / 2], [0, 0, 1]])
    return Camera(K, (width, height)), focal is not None


def _kept(count: int, most: int) -> np.ndarray:
    """Indices of at most `most` of `count` points, evenly spread over the file."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).astype(np.int64)
