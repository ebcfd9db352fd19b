"""Render a scene into a stereo pair with exact depth and disparity."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from .. import resources
from ..cameras.focal import DIAGONAL_35MM
from ..errors import StereoError
from ..geometry.camera import project, undistort
from ..options import Range, check_options, options_of
from ..records import Camera, Photo, Rig
from ..records.checks import Record
from .poses import POSES, Pose
from .scene import Scene, Vector, pack_light, pack_tables
from .scenes import find_scene

# mm, rounded: the scenes were laid out and the shipped demo was rendered with this diagonal; the EXIF has the exact one
SCENE_DIAGONAL_35MM = round(DIAGONAL_35MM, 2)
CHUNK_RAYS = 60_000  # rays cast at a time in a thread: bounds the memory
MAX_THREADS = 8


@dataclass(frozen=True, eq=False, repr=False)
class SyntheticPair(Record):
    """Two photos and their ground truth.

    Parameters
    ----------
    left, right : Photo
        The first and the second photo.
    rig : Rig
        Cameras and pose, exact, unit "m"; R = I, t = (-B, 0, 0) for "rectified".
    depth1, depth2 : (H,W) float64
        m: z-depth at pixel centres; of a camera with a wide lens, which may see behind itself, the distance from it.
    visible1, visible2 : (H,W) bool
        The surface point at the pixel's centre is visible in the other photo: inside the picture, unoccluded, from the
        same side.
    normals1 : (H,W,3) float64
        Unit normals in camera 1's frame, towards the camera.
    disparity_left, disparity_right : (H,W) float32, or None
        px: x_left - x_right at the pixels of either photo, where rows correspond (R = I, t along x, equal fy and cy,
        no distortion).
    """

    left: Photo
    right: Photo
    rig: Rig
    depth1: np.ndarray
    depth2: np.ndarray
    visible1: np.ndarray
    visible2: np.ndarray
    normals1: np.ndarray
    disparity_left: np.ndarray | None = None
    disparity_right: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class _View:
    """A camera in the scene: X_camera = W (X_scene - C)."""

    camera: Camera
    W: np.ndarray
    C: np.ndarray


def render(  # noqa: PLR0913 - the signature is the list of options
    scene: str | Scene,
    *,
    size: tuple[int, int] = (640, 480),
    pose: str | Pose | None = None,
    baseline: float | None = None,
    K: np.ndarray | None = None,
    dist: Sequence[float] | np.ndarray = (),
    camera1: Camera | None = None,
    camera2: Camera | None = None,
    noise: Annotated[float, Range(0)] = 0.0,
    vignetting: Annotated[float, Range(0, 1)] = 0.0,
    gain: Annotated[float, Range(0)] = 1.0,
    offset: float = 0.0,
    supersample: Annotated[int, Range(1)] = 3,
    samples: Annotated[int, Range(1)] = 1,
    seed: Annotated[int, Range(0)] = 0,
) -> SyntheticPair:
    """x_i = K_i distort(X_i / Z_i), X_2 = R X_1 + t: render two photos of a scene, with the truth.

    Parameters
    ----------
    scene : str or Scene
        A name of `SCENES`, or a scene.
    size : (width, height)
        px.
    pose : str or (R, t), optional
        One of `POSES`, or X_2 = R X_1 + t itself, t in m; by default the scene's own.
    baseline : float, optional
        m, of a pose of `POSES`; by default the scene's own.
    K : (3,3) float, optional
        px, of both cameras; by default the scene's focal length, the principal point in the middle.
    dist : sequence of floats
        Lens distortion of both cameras, in OpenCV's order.
    camera1, camera2 : Camera, optional
        The first camera, in the place of size, K and dist, and another second one; also with wide lenses.
    noise : float
        Grey levels: standard deviation, drawn from `seed`.
    vignetting : float
        Share of the light lost in the corners.
    gain, offset : float
        Photo 2 becomes gain v + offset, grey levels.
    supersample : int
        s x s rays for each pixel, whose value is the mean over its square.
    samples : int
        Points of lamp and sky that each of these rays samples.
    seed : int
        Of the noise.

    Returns
    -------
    SyntheticPair

    Raises
    ------
    StereoError
        "unknown_method" for an unknown scene or pose; "bad_option" for an option out of bounds.
    ValueError
        For cameras without pixels, or a distortion that folds inside the picture.
    """
    given = {"noise": noise, "vignetting": vignetting, "gain": gain, "offset": offset}
    given |= {"supersample": supersample, "samples": samples, "seed": seed}
    checked = check_options("render", options_of(render), given)
    noise, vignetting, gain, offset, supersample, samples, seed = checked.values()
    scene = find_scene(scene)
    rig = _rig(scene, (size[0], size[1]), pose, baseline, K, dist, (camera1, camera2))
    view1, view2 = _views(scene, rig)
    tables = pack_tables(scene)
    viewers = np.array([[*view.C, view.camera.focal] for view in (view1, view2)])
    levels1, levels2 = (
        _grey_levels(tables, scene, viewers, view, vignetting, supersample, samples) for view in (view1, view2)
    )
    left, right = _quantise([levels1, gain * levels2 + offset], noise, seed)
    depth1, normals1 = _trace(tables, view1.C, _rays(rig.cam1, view1.W))
    depth2, normals2 = _trace(tables, view2.C, _rays(rig.cam2, view2.W))
    visible1, x2_of_1 = _visible_from(tables, view1, depth1, normals1, view2)
    visible2, x1_of_2 = _visible_from(tables, view2, depth2, normals2, view1)
    disparities = _true_disparities(rig, x2_of_1, x1_of_2)
    normals1 = normals1 @ view1.W.T
    return SyntheticPair(left, right, rig, depth1, depth2, visible1, visible2, normals1, *disparities)


def _rig(
    scene: Scene,
    size: tuple[int, int],
    pose: str | Pose | None,
    baseline: float | None,
    K: np.ndarray | None,
    dist: Sequence[float] | np.ndarray,
    cameras: tuple[Camera | None, Camera | None],
) -> Rig:
    """The two cameras and their pose, as `render` takes them."""
    pose = scene.pose if pose is None else pose
    if isinstance(pose, str) and pose not in POSES:
        raise StereoError("unknown_method", f"there is no pose {pose!r}.", f"There are: {', '.join(POSES)}.")
    K = _camera_matrix(scene, size) if K is None else np.array(K, dtype=float)
    cam1, cam2 = cameras
    if cam1 is None:
        cam1 = Camera(K, size, np.ravel(np.asarray(dist, dtype=float)), "given", "synthetic")
    if isinstance(pose, str):
        distance = float(np.linalg.norm(np.subtract(scene.target, scene.eye)))
        R, t = POSES[pose](scene.baseline if baseline is None else float(baseline), distance)
    else:
        R, t = (np.asarray(v, dtype=float) for v in pose)
    if cam2 is None:
        cam2 = cam1
        if isinstance(pose, str) and pose == "turned":
            cam2 = Camera(_turned_K(cam1.K, size), (size[1], size[0]), cam1.dist, "given", "synthetic")
    if min(*cam1.size, *cam2.size) < 1:
        raise ValueError(f"cameras of size {cam1.size} and {cam2.size} px")
    return Rig(cam1, cam2, R, t, "m")


def _views(scene: Scene, rig: Rig) -> tuple[_View, _View]:
    """The two cameras of the rig, in the frame of the scene."""
    assert rig.R is not None and rig.t is not None
    view1 = _View(rig.cam1, *scene_from_camera1(scene))
    W2 = rig.R @ view1.W
    return view1, _View(rig.cam2, W2, view1.C - W2.T @ rig.t)


def _grey_levels(
    tables: tuple,
    scene: Scene,
    viewers: np.ndarray,
    view: _View,
    vignetting: float,
    supersample: int,
    samples: int,
) -> np.ndarray:
    """(H,W,3) grey levels, 0 to 255, of a view before noise."""
    linear = _radiance(tables, scene, viewers, view, supersample, samples)
    size = view.camera.size
    r = (_pixels(size) - (np.array(size) - 1) / 2) / (np.hypot(*size) / 2)
    linear *= 1 - vignetting * np.sum(r * r, -1)[..., None]
    return 255 * _tone(linear, scene.film)


def _quantise(pictures: list[np.ndarray], noise: float, seed: int) -> list[Photo]:
    """Photos of 8 bits from grey levels (H,W,3), with noise of a standard deviation in grey levels."""
    rng = np.random.default_rng(seed)
    photos = []
    for v in pictures:
        v = v + rng.normal(0, noise, v.shape) if noise > 0 else v
        photos.append(Photo(np.clip(np.rint(v), 0, 255).astype(np.uint8)))
    return photos


def _true_disparities(
    rig: Rig, x2_of_1: np.ndarray, x1_of_2: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """x_left - x_right (H,W) f32 at the pixels of either photo, from their true matches (H,W,2), where rows correspond.

    They do where R = I, t is along x, fy and cy are equal, and no lens distorts.
    """
    assert rig.R is not None and rig.t is not None
    along_x = np.array_equal(rig.R, np.eye(3)) and rig.t[0] != 0 and rig.t[1] == rig.t[2] == 0
    bare = not any(np.any(camera.dist) or camera.lens is not None for camera in (rig.cam1, rig.cam2))
    equal = np.array_equal(rig.cam1.K[1], rig.cam2.K[1]) and bare
    if not (along_x and equal):
        return None, None
    left = (_pixels(rig.cam1.size)[..., 0] - x2_of_1[..., 0]).astype(np.float32)
    return left, (x1_of_2[..., 0] - _pixels(rig.cam2.size)[..., 0]).astype(np.float32)


def cast(scene: str | Scene, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """X = o + t d: first hits, t > 0, of rays with a scene.

    Parameters
    ----------
    scene : str or Scene
        A name of `SCENES`, or a scene.
    origin : (3,) float
        m, in the scene's frame.
    rays : (N,3) float
        Directions d in the scene's frame.

    Returns
    -------
    (N,) float64
        t, NaN where a ray hits no surface.
    """
    t, _ = _trace(pack_tables(find_scene(scene)), np.asarray(origin, dtype=float), np.asarray(rays, dtype=float))
    return t


def scene_from_camera1(scene: str | Scene) -> tuple[np.ndarray, np.ndarray]:
    """X_camera = W (X_scene - C): W (3,3) and C (3,), m, of camera 1 in a scene.

    W = I, C = 0 for an eye at the origin that looks along z.
    """
    scene = find_scene(scene)
    return _look_at(scene.eye, scene.target)


def _camera_matrix(scene: Scene, size: tuple[int, int]) -> np.ndarray:
    f = scene.focal_35mm * np.hypot(*size) / SCENE_DIAGONAL_35MM
    return np.array([[f, 0, (size[0] - 1) / 2], [0, f, (size[1] - 1) / 2], [0, 0, 1.0]])


def _turned_K(K: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """K of the same camera held upright: pixel (x, y) becomes (y, W - 1 - x)."""
    return np.array([[K[1, 1], 0, K[1, 2]], [0, K[0, 0], size[0] - 1 - K[0, 2]], [0, 0, 1.0]])


def _look_at(eye: Vector, target: Vector) -> tuple[np.ndarray, np.ndarray]:
    """W (3,3), C (3,) of a camera at eye that looks at target, its x axis horizontal in the scene."""
    z = np.subtract(target, eye, dtype=float)
    z /= np.linalg.norm(z)
    x = np.cross([0.0, 1, 0], z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z]), np.array(eye, dtype=float)


def _pixels(size: tuple[int, int]) -> np.ndarray:
    """(H,W,2): the pixel at each place of a picture."""
    return np.stack(np.meshgrid(np.arange(size[0], dtype=float), np.arange(size[1], dtype=float)), -1)


def _rays(camera: Camera, W: np.ndarray, x: np.ndarray | None = None) -> np.ndarray:
    """Scene-frame directions of unit z in the camera, so that t along them is z-depth: x (...,2) px -> (...,3).

    Those of a wide lens are of unit length.
    """
    x = _pixels(camera.size) if x is None else x
    if camera.lens is not None:
        return camera.rays_from_pixels(x) @ W
    y = undistort(x, camera.K, camera.dist)
    if not np.all(np.isfinite(y)):
        raise ValueError(f"the distortion {camera.dist} folds inside the picture")
    return np.concatenate([y, np.ones(y.shape[:-1] + (1,))], -1) @ W


def _in_chunks(function: Callable[[int, int], None], count: int, rays_each: int) -> None:
    """Call function(start, stop) over range(count), about CHUNK_RAYS rays at a time, on the machine's threads."""
    from concurrent.futures import ThreadPoolExecutor

    chunk = max(1, CHUNK_RAYS // rays_each)
    with ThreadPoolExecutor(min(resources.processors(), MAX_THREADS)) as pool:
        list(pool.map(lambda start: function(start, min(start + chunk, count)), range(0, count, chunk)))


def _radiance(
    tables: tuple, scene: Scene, viewers: np.ndarray, view: _View, supersample: int, samples: int
) -> np.ndarray:
    """(H,W,3) linear RGB of a view, the mean over supersample^2 rays a pixel."""
    from . import kernels

    solids, groups, paints = tables
    samples *= scene.samples
    x = _pixels(view.camera.size).reshape(-1, 2)
    places = (np.arange(supersample) + 0.5) / supersample - 0.5
    sub = np.stack(np.meshgrid(places, places), -1).reshape(-1, 2)
    # a stride prime to the count scatters the lamp's points over the pixel
    sub = sub[(np.arange(len(sub)) * 7) % len(sub)] if len(sub) % 7 else sub
    out = np.zeros((len(x), 3))

    def shade(start: int, stop: int) -> None:
        rays = np.ascontiguousarray(_rays(view.camera, view.W, x[start:stop, None] + sub))
        kernels.shade(solids, groups, paints, pack_light(scene), viewers, view.C, rays, samples, out[start:stop])

    _in_chunks(shade, len(x), len(sub) * (1 + samples))
    return out.reshape(view.camera.size[1], view.camera.size[0], 3)


def _trace(tables: tuple, origin: np.ndarray, rays: np.ndarray, near: float = 1e-6) -> tuple[np.ndarray, np.ndarray]:
    """t (...) and normals (...,3) facing the origin at the first hits of rays (...,3); NaN where there is none."""
    from . import intersections

    flat = np.ascontiguousarray(rays.reshape(-1, 3))
    t, row, normals = np.empty(len(flat)), np.empty(len(flat), np.int64), np.full((len(flat), 3), np.nan)

    def trace(start: int, stop: int) -> None:
        part = slice(start, stop)
        intersections.trace(tables[0], tables[1], origin, flat[part], near, t[part], row[part], normals[part])

    _in_chunks(trace, len(flat), 1)
    t[row < 0] = np.nan
    return t.reshape(rays.shape[:-1]), normals.reshape(rays.shape)


def _visible_from(
    tables: tuple, view: _View, depth: np.ndarray, normals: np.ndarray, other: _View
) -> tuple[np.ndarray, np.ndarray]:
    """Mask (H,W) of the surface points that are visible in the other view, and their pixels (H,W,2) there."""
    X = view.C + _rays(view.camera, view.W) * depth[..., None]
    with np.errstate(invalid="ignore"):
        Xc = (X - other.C) @ other.W.T
        wide = other.camera.lens is not None
        x = other.camera.pixels_from_rays(Xc) if wide else project(Xc, other.camera.K, dist=other.camera.dist)
        ahead = (Xc[..., 2] > 0) | wide
        inside = ahead & np.all((x >= -0.5) & (x <= np.array(other.camera.size) - 0.5), -1)
        if np.any(other.camera.dist):  # far outside the field, the polynomial may fold back into the picture
            inside &= np.hypot(*np.moveaxis(Xc[..., :2] / Xc[..., 2:], -1, 0)) <= _field_radius(other.camera)
        t, n = _trace(tables, other.C, X - other.C)
        visible = inside & (t > 1 - 1e-6) & (np.sum(n * normals, -1) > 0)
    x[~ahead] = np.nan
    return visible, x


def _field_radius(camera: Camera) -> float:
    """The largest |(X/Z, Y/Z)| inside the picture: the distortion is assumed one to one up to there."""
    w, h = camera.size
    edge = np.concatenate([np.stack([np.linspace(-0.5, w - 0.5, 65), np.full(65, y)], -1) for y in (-0.5, h - 0.5)])
    return 1.001 * float(np.linalg.norm(undistort(edge, camera.K, camera.dist), axis=-1).max())


def _tone(linear: np.ndarray, film: bool) -> np.ndarray:
    """Linear light to sRGB in [0, 1]; film: slightly desaturated, compressed towards 1 above 0.6 instead of clipped."""
    v = linear
    if film:
        v = v + 0.14 * (v @ [[0.2126], [0.7152], [0.0722]] - v)
        v = np.where(v > 0.6, 0.6 + 0.4 * (1 - np.exp(-(v - 0.6) / 0.4)), v)
    v = np.clip(v, 0, 1)
    return np.where(v <= 0.0031308, 12.92 * v, 1.055 * np.maximum(v, 1e-9) ** (1 / 2.4) - 0.055)
