"""Ray-cast scenes: exact photos, depth, disparity, matches and cameras.

A scene is a list of solids (rectangles, boxes, ellipsoids, frusta, discs) painted with solid textures: colour is a
function of the surface point, and so is the light (Lambert, one disc lamp with its shadow, a sky), so two photos of a
scene see the same picture on every surface. Scenes are closed: every pixel sees a surface. Lengths are metres.

    pair = render("sphere", size=(320, 240))            # a rectified pair with its truth
    pair = render("slanted", pose="handheld", noise=2)  # any scene under any pose
    write_pair("folder", pair)

`SCENES` names the scenes and `POSES` the relative poses; a scene carries its default pose.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from .calibration import DIAGONAL_35MM
from .errors import StereoError
from .files import replacing, write_map
from .geometry import project, rotation_from_vector, undistort
from .options import Range, check_options, options_of
from .records import Camera, Matches, Photo, Rig
from .scene_tables import (
    AXES,
    BANDS,
    BOUND,
    BOX,
    CENTRE,
    CHECKS,
    COVER,
    DISC,
    DOTS,
    ELLIPSOID,
    FRUIT,
    FRUSTUM,
    GLOBE,
    KIND,
    LAMP,
    LAMP_DISTANCE,
    LAMP_RADIUS,
    LAMP_STRENGTH,
    MOTTLED,
    PAINT,
    PLAIN,
    RECTANGLE,
    SHAPE,
    SIZE,
    SKY_REACH,
    SKY_STRENGTH,
    TEXTURE,
    WALL,
    WEAVE,
    WOOD,
)

Vector = Sequence[float] | np.ndarray  # three numbers
Pose = tuple[np.ndarray, np.ndarray]  # R (3,3), t (3,)
Paint = tuple[float, ...]  # a row of the table of paints
Group = tuple["Solid", ...]  # solids that one bounding ball culls together

# mm, rounded: the scenes were laid out and the shipped demo was rendered with this diagonal; the EXIF has the exact one
SCENE_DIAGONAL_35MM = round(DIAGONAL_35MM, 2)
CHUNK_RAYS = 60_000  # rays cast at a time in a thread: bounds the memory
MAX_THREADS = 8
CROP_FACTOR = 4.6  # 35 mm equivalent over true focal length in the EXIF written: that of a compact camera
CLEARANCE = 1.000001  # factor on bounding radii, against rounding


@dataclass(frozen=True, eq=False)
class Solid:
    """One solid: points X with u = axes (X - centre) / size on the unit shape.

    Parameters
    ----------
    kind : int
        RECTANGLE, ELLIPSOID, BOX, FRUSTUM or DISC of `scene_tables`.
    centre, size : three floats
        m.
    paint : tuple
        As `paint` returns it.
    axes : (3,3) float64
        The solid's axes, in rows.
    shape : tuple
        Parameters of the kind.
    texture : three floats
        m along the axes: added to the local coordinates of a point, gives its texture coordinates.
    """

    kind: int
    centre: tuple
    size: tuple
    paint: Paint
    axes: np.ndarray
    shape: tuple = ()
    texture: tuple = (0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Scene:
    """Solids in the scene's own frame (y down), the light, and how the scene is photographed.

    Parameters
    ----------
    groups : tuple of tuples of Solid
        Each group is culled by one bounding ball.
    eye, target : three floats
        m: camera 1's centre and the point that it looks at, the image's y axis as near to the scene's as possible.
    baseline : float
        m between the two camera centres.
    focal_35mm : float
        mm: 35 mm equivalent focal length.
    pose : str
        One of `POSES`.
    lamp : (centre, radius, strength)
        m, m, and the radiance at the target.
    sky : (strength, reach)
        Radiance, and m within which surfaces occlude it; 0: none do.
    film : bool
        False: plain sRGB. True: paler, and with a shoulder, so that highlights do not clip.
    """

    groups: tuple[Group, ...]
    eye: tuple = (0.0, 0.0, 0.0)
    target: tuple = (0.0, 0.0, 2.0)
    baseline: float = 0.12
    focal_35mm: float = 38.0
    pose: str = "rectified"
    lamp: tuple = ((-1.2, -1.6, -0.6), 0.1, 0.75)
    sky: tuple = (0.4, 0.0)
    film: bool = False


@dataclass(frozen=True, eq=False)
class SyntheticPair:
    """Two photos and their ground truth.

    Parameters
    ----------
    left, right : Photo
        The first and the second photo.
    rig : Rig
        Cameras and pose, exact, unit "m"; R = I, t = (-B, 0, 0) for "rectified".
    depth1, depth2 : (H,W) float64
        m: z-depth at pixel centres.
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


# ---------------------------------------------------------------------------------------------------------- rendering


_RENDER: tuple[str, ...] = (
    "noise",
    "vignetting",
    "gain",
    "offset",
    "supersample",
    "samples",
    "seed",
)  # options that `render` checks


def render(
    scene: str | Scene,
    *,
    size: tuple[int, int] = (640, 480),
    pose: str | None = None,
    baseline: float | None = None,
    K: np.ndarray | None = None,
    dist: Sequence[float] | np.ndarray = (),
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
    pose : str, optional
        One of `POSES`; by default the scene's own.
    baseline : float, optional
        m; by default the scene's own.
    K : (3,3) float, optional
        px, of both cameras; by default the scene's focal length, the principal point in the middle.
    dist : sequence of floats
        Lens distortion of both cameras, in OpenCV's order.
    camera2 : Camera, optional
        Another second camera (its size, K, dist).
    noise : float
        Grey levels: standard deviation, drawn from `seed`.
    vignetting : float
        Share of the light lost in the corners.
    gain, offset : float
        Photo 2 becomes gain v + offset, grey levels.
    supersample : int
        s x s rays for each pixel, whose value is the mean over its square.
    samples : int
        Points of lamp and sky that each of those rays samples.
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
    given: dict[str, float] = dict(
        zip(_RENDER, (noise, vignetting, gain, offset, supersample, samples, seed), strict=True)
    )
    checked = check_options("render", options_of(render), given)
    noise, vignetting, gain, offset, supersample, samples, seed = checked.values()
    scene = find_scene(scene)
    rig = _rig(scene, (size[0], size[1]), pose, baseline, K, dist, camera2)
    view1 = _View(rig.cam1, *scene_from_camera1(scene))
    W2 = rig.R @ view1.W
    view2 = _View(rig.cam2, W2, view1.C - W2.T @ rig.t)
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
    pose: str | None,
    baseline: float | None,
    K: np.ndarray | None,
    dist: Sequence[float] | np.ndarray,
    camera2: Camera | None,
) -> Rig:
    """The two cameras and their pose, as `render` takes them."""
    pose = scene.pose if pose is None else pose
    if pose not in POSES:
        raise StereoError("unknown_method", f"there is no pose {pose!r}.", f"There are: {', '.join(POSES)}.")
    K = _camera_matrix(scene, size) if K is None else np.array(K, dtype=float)
    cam1 = Camera(K, size, np.ravel(np.asarray(dist, dtype=float)), "given", "synthetic")
    distance = float(np.linalg.norm(np.subtract(scene.target, scene.eye)))
    R, t = POSES[pose](scene.baseline if baseline is None else float(baseline), distance)
    cam2 = camera2
    if cam2 is None:
        cam2 = cam1
        if pose == "turned":
            cam2 = Camera(_turned_K(cam1.K, size), (size[1], size[0]), cam1.dist, "given", "synthetic")
    if min(*cam1.size, *cam2.size) < 1:
        raise ValueError(f"cameras of size {cam1.size} and {cam2.size} px")
    return Rig(cam1, cam2, R, t, "m")


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

    They do where R = I, t lies along x, fy and cy are equal, and no lens distorts.
    """
    assert rig.R is not None and rig.t is not None
    along_x = np.array_equal(rig.R, np.eye(3)) and rig.t[0] != 0 and rig.t[1] == rig.t[2] == 0
    equal = np.array_equal(rig.cam1.K[1], rig.cam2.K[1]) and not (np.any(rig.cam1.dist) or np.any(rig.cam2.dist))
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
        t, NaN where a ray meets nothing.
    """
    t, _ = _trace(pack_tables(find_scene(scene)), np.asarray(origin, dtype=float), np.asarray(rays, dtype=float))
    return t


def scene_from_camera1(scene: str | Scene) -> tuple[np.ndarray, np.ndarray]:
    """X_camera = W (X_scene - C): W (3,3) and C (3,), m, of camera 1 in a scene.

    W = I, C = 0 for an eye at the origin that looks along z.
    """
    scene = find_scene(scene)
    return _look_at(scene.eye, scene.target)


def find_scene(scene: str | Scene) -> Scene:
    """The scene itself, or the one of that name; StereoError("unknown_method") for an unknown name."""
    if isinstance(scene, Scene):
        return scene
    if scene not in SCENES:
        raise StereoError("unknown_method", f"there is no scene {scene!r}.", f"There are: {', '.join(SCENES)}.")
    return SCENES[scene]()


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
    """Scene-frame directions of unit z in the camera, so that t along them is z-depth: x (...,2) px -> (...,3)."""
    y = undistort(_pixels(camera.size) if x is None else x, camera.K, camera.dist)
    if not np.all(np.isfinite(y)):
        raise ValueError(f"the distortion {camera.dist} folds inside the picture")
    return np.concatenate([y, np.ones(y.shape[:-1] + (1,))], -1) @ W


def _in_chunks(function: Callable[[int, int], None], count: int, rays_each: int) -> None:
    """Call function(start, stop) over range(count), about CHUNK_RAYS rays at a time, on the machine's threads."""
    import os
    from concurrent.futures import ThreadPoolExecutor

    chunk = max(1, CHUNK_RAYS // rays_each)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS)) as pool:
        list(pool.map(lambda start: function(start, min(start + chunk, count)), range(0, count, chunk)))


def _radiance(
    tables: tuple, scene: Scene, viewers: np.ndarray, view: _View, supersample: int, samples: int
) -> np.ndarray:
    """(H,W,3) linear RGB of a view, the mean over supersample^2 rays a pixel."""
    from . import raycast

    solids, groups, paints = tables
    x = _pixels(view.camera.size).reshape(-1, 2)
    places = (np.arange(supersample) + 0.5) / supersample - 0.5
    sub = np.stack(np.meshgrid(places, places), -1).reshape(-1, 2)
    # a stride prime to the count scatters the lamp's points over the pixel
    sub = sub[(np.arange(len(sub)) * 7) % len(sub)] if len(sub) % 7 else sub
    out = np.zeros((len(x), 3))

    def shade(start: int, stop: int) -> None:
        rays = np.ascontiguousarray(_rays(view.camera, view.W, x[start:stop, None] + sub))
        raycast.shade(solids, groups, paints, pack_light(scene), viewers, view.C, rays, samples, out[start:stop])

    _in_chunks(shade, len(x), len(sub) * (1 + samples))
    return out.reshape(view.camera.size[1], view.camera.size[0], 3)


def _trace(tables: tuple, origin: np.ndarray, rays: np.ndarray, near: float = 1e-6) -> tuple[np.ndarray, np.ndarray]:
    """t (...) and normals (...,3) facing the origin at the first hits of rays (...,3); NaN where there is none."""
    from . import raycast

    flat = np.ascontiguousarray(rays.reshape(-1, 3))
    t, row, normals = np.empty(len(flat)), np.empty(len(flat), np.int64), np.full((len(flat), 3), np.nan)

    def trace(start: int, stop: int) -> None:
        part = slice(start, stop)
        raycast.trace(tables[0], tables[1], origin, flat[part], near, t[part], row[part], normals[part])

    _in_chunks(trace, len(flat), 1)
    t[row < 0] = np.nan
    return t.reshape(rays.shape[:-1]), normals.reshape(rays.shape)


def _visible_from(
    tables: tuple, view: _View, depth: np.ndarray, normals: np.ndarray, other: _View
) -> tuple[np.ndarray, np.ndarray]:
    """Which surface points of a view the other view sees (H,W), and their pixels (H,W,2) there."""
    X = view.C + _rays(view.camera, view.W) * depth[..., None]
    with np.errstate(invalid="ignore"):
        Xc = (X - other.C) @ other.W.T
        x = project(Xc, other.camera.K, dist=other.camera.dist)
        inside = (Xc[..., 2] > 0) & np.all((x >= -0.5) & (x <= np.array(other.camera.size) - 0.5), -1)
        if np.any(other.camera.dist):  # far outside the field, the polynomial may fold back into the picture
            inside &= np.hypot(*np.moveaxis(Xc[..., :2] / Xc[..., 2:], -1, 0)) <= _field_radius(other.camera)
        t, n = _trace(tables, other.C, X - other.C)
        visible = inside & (t > 1 - 1e-6) & (np.sum(n * normals, -1) > 0)
    x[~(Xc[..., 2] > 0)] = np.nan
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


def pack_light(scene: Scene) -> np.ndarray:
    """(16,): the entries of the light."""
    light = np.zeros(16)
    light[LAMP : LAMP + 3], light[LAMP_RADIUS], light[LAMP_STRENGTH] = scene.lamp
    light[SKY_STRENGTH], light[SKY_REACH] = scene.sky
    light[LAMP_DISTANCE] = np.linalg.norm(np.subtract(scene.lamp[0], scene.target))
    return light


def pack_tables(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The kernels' tables: solids (N,32), groups (G,6), paints (P,32)."""
    paints = list(dict.fromkeys(solid.paint for group in scene.groups for solid in group))
    solids, groups = [], []
    for group in scene.groups:
        centres = np.array([solid.centre for solid in group], dtype=float)
        middle = centres.mean(0)
        radius = 0.0
        for solid, centre in zip(group, centres, strict=True):
            row = np.zeros(32)
            row[KIND], row[AXES : AXES + 9], row[CENTRE : CENTRE + 3] = solid.kind, np.ravel(solid.axes), centre
            row[SIZE : SIZE + 3] = solid.size
            row[SHAPE : SHAPE + len(solid.shape)] = solid.shape
            row[PAINT] = paints.index(solid.paint)
            row[TEXTURE : TEXTURE + 3] = solid.texture
            row[BOUND] = _bounding_radius(solid) ** 2
            solids.append(row)
            radius = max(radius, np.linalg.norm(centre - middle) + _bounding_radius(solid))
        groups.append([len(solids) - len(group), len(solids), *middle, radius**2])
    table = np.zeros((len(paints), 32))
    for row, values in zip(table, paints, strict=True):
        row[: len(values)] = values
    return np.array(solids), np.array(groups), table


def _bounding_radius(solid: Solid) -> float:
    """Radius, m, of a ball about the centre that holds the solid."""
    x, y, z = solid.size
    if solid.kind == FRUSTUM:
        return CLEARANCE * float(np.hypot(max(x, y) * max(solid.shape[:2]), z))
    radius = {RECTANGLE: np.hypot(x, y), ELLIPSOID: max(x, y, z), DISC: max(x, y), BOX: np.sqrt(x * x + y * y + z * z)}
    return CLEARANCE * float(radius[solid.kind])


# -------------------------------------------------------------------------------------------------------------- poses


def rotation_deg(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """R (3,3) of a rotation vector in degrees."""
    return rotation_from_vector(np.radians([x, y, z]))


def _from_centre(R: np.ndarray, C: Vector) -> Pose:
    return R, -R @ np.asarray(C, dtype=float) + 0.0  # + 0.0: no negative zeros


def _aim(C: Vector, distance: float, share: float) -> np.ndarray:
    """Turn a camera at C by `share` (0 to 1) of the angle that makes it look at the point that camera 1 looks at."""
    x, y, z = np.subtract((0.0, 0.0, distance), C)
    return rotation_from_vector(share * np.array([np.arctan2(y, z), -np.arctan2(x, z), 0.0]))


def _handheld(b: float, z: float) -> Pose:
    C = np.array([0.985, -0.11, 0.13]) * b
    return _from_centre(rotation_deg(1.1, 0.4, -1.8) @ _aim(C, z, 0.7), C)


def _handheld_swapped(b: float, z: float) -> Pose:
    C = (-b, 0.08 * b, 0.1 * b)
    return _from_centre(rotation_deg(-0.9, 0.5, 1.6) @ _aim(C, z, 0.7), C)


def _handheld_vertical(b: float, z: float) -> Pose:
    C = (0.1 * b, -b, 0.1 * b)
    return _from_centre(rotation_deg(0.7, -0.8, 1.5) @ _aim(C, z, 0.7), C)


def _converging(b: float, z: float) -> Pose:
    C = np.array([2.5 * b, 0.1 * b, 0.3 * b])
    return _from_centre(_aim(C, z, 1.0), C)


def _turned(b: float, z: float) -> Pose:
    C = (b, 0.05 * b, 0)
    return _from_centre(rotation_deg(z=-90) @ _aim(C, z, 0.7), C)


# name -> function(baseline, distance to the target) -> R, t. Camera 2 stands at C = -R^T t in the frame of camera 1.
POSES: dict[str, Callable[[float, float], Pose]] = {
    "rectified": lambda b, z: _from_centre(np.eye(3), (b, 0, 0)),
    "swapped": lambda b, z: _from_centre(np.eye(3), (-b, 0, 0)),  # photo 1 is taken from the right
    "vertical": lambda b, z: _from_centre(np.eye(3), (0, -b, 0)),  # photo 2 from above
    "handheld": _handheld,  # a step aside, turned towards the subject and rolled by a few degrees
    "handheld_swapped": _handheld_swapped,
    "handheld_vertical": _handheld_vertical,
    "converging": _converging,  # two and a half baselines apart, both looking at the subject
    "turned": _turned,  # camera 2 held upright
    "forward": lambda b, z: _from_centre(rotation_deg(0.5, -0.4, 0.8), (0.15 * b, 0.08 * b, 2 * b)),  # epipole inside
    "rotation": lambda b, z: _from_centre(rotation_deg(1.5, -5, 2), (0, 0, 0)),  # the camera turns on the spot
}


# ------------------------------------------------------------------------------------------------------------- scenes


def paint(
    kind: int, colours: str, args: Sequence[float] = (), *, shine: float = 0.0, gloss: float = 30.0, seed: int = 0
) -> Paint:
    """A row of the table of paints: kind, colours, shine, gloss, seed, arguments.

    Parameters
    ----------
    kind : int
        PLAIN to CHECKS of `scene_tables`.
    colours : str
        Up to four sRGB colours in hex, "c08040 ffffff ..."; the last one is repeated.
    args : sequence of floats
        Arguments of the kind, as its kernel names them.
    shine, gloss : float
        Share and exponent of the highlight.
    seed : int
        Of the noise.
    """
    rgb = [np.frombuffer(bytes.fromhex(c), np.uint8) / 255 for c in colours.split()]
    rgb += [rgb[-1]] * (4 - len(rgb))
    v = np.concatenate(rgb)
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    return (float(kind), *linear.tolist(), shine, gloss, float(seed), *map(float, args))


def mottled(colours: str, cell: float, *, seed: int, contrast: float = 1.0, grain: float = 0.5) -> Paint:
    """The paint MOTTLED with cells of `cell` m, contrast of the colours and of the brightness (`grain`)."""
    return paint(MOTTLED, colours, (cell, 0.75, contrast, grain), seed=seed)


def make_solid(
    kind: int,
    centre: Vector,
    size: Vector,
    paint: Paint,
    *,
    turn: Vector = (0, 0, 0),
    shape: Sequence[float] = (),
    axes: Any = None,
    texture: Vector = (0.0, 0.0, 0.0),
) -> Solid:
    """A solid whose `axes` (rows) are rotated by the rotation vector `turn` (degrees, scene frame)."""
    rest = np.eye(3) if axes is None else np.asarray(axes, dtype=float)
    return Solid(kind, tuple(centre), tuple(size), paint, rest @ rotation_deg(*turn).T, tuple(shape), tuple(texture))


EARTH = "8a7050 c9b48c 5b4a3a e8dfc8"
FOREST = "5e7a4a 2f4a35 c8cf9a 8d6a3d"
BRICK = "a4593f 6b3226 d9a07a e5d8c4"
SLATE = "7d8794 4a5361 b9c4cf d8cbb0"
UPRIGHT = ((1, 0, 0), (0, 0, 1), (0, -1, 0))  # axes of a solid whose z points up in the scene
SPINE = ((0, 0, 1), (-1, 0, 0), (0, -1, 0))  # axes of a book whose spine faces the camera
WIDE = 40.0  # m, half the side of a wall that no ray misses


def slanted() -> Scene:
    """Five textured planes slanted differently, with depth jumps between them."""
    cards = [
        ((-0.45, -0.22, 1.75), (0.36, 0.30), (8, 28, 4), FOREST, 2),
        ((0.42, -0.18, 1.55), (0.30, 0.34), (-18, -30, -5), BRICK, 3),
        ((-0.28, 0.32, 1.32), (0.34, 0.16), (38, 6, 2), SLATE, 4),
        ((0.38, 0.36, 1.25), (0.24, 0.14), (-6, 22, 12), EARTH, 5),
    ]
    wall = make_solid(RECTANGLE, (0, 0, 2.4), (WIDE, WIDE, 1), mottled(EARTH, 0.2, seed=1), turn=(4, -18, 0))
    return Scene(
        ((wall,), *((make_solid(RECTANGLE, c, (*s, 1), mottled(p, 0.12, seed=i), turn=r),) for c, s, r, p, i in cards))
    )


def sphere() -> Scene:
    """A ball of radius 0.35 m at (0.05, 0.02, 1.5) before a wall at z = 2.2."""
    wall = make_solid(RECTANGLE, (0, 0, 2.2), (WIDE, WIDE, 1), mottled(SLATE, 0.2, seed=1))
    ball = make_solid(ELLIPSOID, (0.05, 0.02, 1.5), (0.35,) * 3, mottled(BRICK, 0.12, seed=2), shape=(-1, 1))
    return Scene(((wall,), (ball,)), target=(0, 0, 1.8))


def bars() -> Scene:
    """Upright round bars 12 to 30 mm thick, two slanted ones and a lath, before a wall at z = 2."""
    wall = make_solid(RECTANGLE, (0, 0, 2.0), (WIDE, WIDE, 1), mottled(FOREST, 0.18, seed=1))
    groups: list[Group] = [(wall,)]
    for i, (x, z, radius, lean) in enumerate(
        [
            (-0.52, 1.30, 0.015, 0),
            (-0.30, 1.18, 0.010, 0),
            (-0.12, 1.38, 0.008, 25),
            (0.06, 1.22, 0.006, 0),
            (0.22, 1.34, 0.012, -18),
            (0.38, 1.16, 0.009, 0),
            (0.55, 1.28, 0.014, 0),
        ]
    ):
        coat = mottled((BRICK, EARTH, SLATE)[i % 3], 0.05, seed=i + 2)
        size = (radius, radius, 1.2)
        groups.append((make_solid(FRUSTUM, (x, 0, z), size, coat, turn=(0, 0, lean), axes=UPRIGHT, shape=(1, 1, 3)),))
    lath = make_solid(BOX, (0, 0.24, 1.5), (1.6, 0.02, 0.01), mottled(BRICK, 0.06, seed=11), turn=(0, 0, 4))
    return Scene((*groups, (lath,)), target=(0, 0, 1.6))


def plane() -> Scene:
    """Degenerate: one slanted plane fills both photos, which determines no epipolar geometry of its own."""
    wall = make_solid(RECTANGLE, (0, 0, 1.8), (WIDE, WIDE, 1), mottled(EARTH, 0.15, seed=1), turn=(-12, 20, 0))
    return Scene(((wall,),), target=(0, 0, 1.8), pose="handheld")


def rotation() -> Scene:
    """Degenerate: the slanted planes, photographed by a camera that only turns."""
    return replace(slanted(), pose="rotation")


def swapped() -> Scene:
    """The slanted planes, photo 1 taken from the right."""
    return replace(slanted(), pose="swapped")


def vertical() -> Scene:
    """The ball before its wall, photo 2 taken from above."""
    return replace(sphere(), pose="vertical")


def chessboard(
    R: np.ndarray | None = None,
    t: Vector = (-0.1, -0.06, 0.6),
    *,
    columns: int = 9,
    rows: int = 6,
    square: float = 0.025,
) -> Scene:
    """A chessboard of columns x rows inner corners before a grey wall, the first square dark, a white border around.

    The rig does not depend on the board's place: two cameras 12 cm apart, held by hand.

    Parameters
    ----------
    R, t : (3,3), (3,) float, optional
        X1 = R X + t, m, takes the corners (j square, i square, 0) to camera 1, as those of `chessboard.Board`.
    columns, rows : int
        Inner corners.
    square : float
        m.
    """
    R = np.eye(3) if R is None else np.asarray(R, dtype=float)
    middle = np.array([columns - 1, rows - 1, 0]) * square / 2
    half = (columns + 2.2) * square / 2, (rows + 2.2) * square / 2, 1
    checks = paint(CHECKS, "f4f2ec 1c1c1e", (square, columns + 1, rows + 1))
    board = make_solid(RECTANGLE, R @ middle + t, half, checks, axes=R.T, texture=middle)
    wall = make_solid(RECTANGLE, (0, 0, 2.0), (WIDE, WIDE, 1), paint(PLAIN, "7c8a80"))
    return Scene(((wall,), (board,)), target=(0, 0, 0.6), pose="handheld")


def still_life() -> Scene:
    """The demo: fruit, a vase, books, a mug and a globe on a wooden table before a papered wall, photographed by hand.

    Table top at y = 0, wall at z = 0.52. Gloss is low but not zero: highlights move a little with the camera.
    """
    groups = [
        *_room(),
        *_globe_on_its_foot(),
        *_vase_with_twigs(),
        *_books_with_apple(),
        *_mug_of_coffee(),
        *_bowl_of_fruit(),
        *_table_front(),
        *_framed_picture(),
    ]
    return Scene(
        tuple(groups),
        eye=(-0.07, -0.60, -1.15),
        target=(0.0, -0.18, 0.13),
        baseline=0.16,
        pose="handheld",
        lamp=((-1.15, -1.35, -0.85), 0.14, 0.95),
        sky=(0.42, 0.45),
        film=True,
    )


def _room() -> list[Group]:
    """Walls, wallpaper, table top, cloth."""
    plaster = paint(MOTTLED, "cfc8bb c2baac d8d2c6 b8b0a2", (0.3, 0.7, 1.0, 0.3), seed=7)
    paper = paint(WALL, "cfc9b4 8fa58c b9705f e0b659", (0.21, 0.25, 0.16), seed=5)
    wood = paint(WOOD, "b5824f 8f5c31 5d3a1e", (0.145, 0.011), shine=0.05, gloss=25, seed=3)
    cloth = paint(WEAVE, "e6dfd0 55749b 2c3f5e", (0.036, 0.003), seed=6)
    return [
        (make_solid(BOX, (0, 0, 0), (3.0, 3.0, 3.0), plaster),),
        (make_solid(RECTANGLE, (0, -1.0, 0.52), (3.0, 2.0, 1.0), paper),),
        (make_solid(BOX, (0, 0.02, -0.02), (0.9, 0.54, 0.02), wood, axes=UPRIGHT),),
        (make_solid(BOX, (0.2, -0.0012, -0.1), (0.21, 0.165, 0.0012), cloth, turn=(0, 24, 0), axes=UPRIGHT),),
    ]


def _globe_on_its_foot() -> list[Group]:
    """A globe with a leaning axis on a brass foot."""
    globe = paint(GLOBE, "3f78a8 a8b56c b98a55 ece9df", (0.125, 24), shine=0.25, gloss=60, seed=12)
    brass = paint(MOTTLED, "a07c3c 7d5c28 c9a45c c9a45c", (0.03, 0.7, 0.7, 0.4), shine=0.3, gloss=40, seed=8)
    profile = mm_profile("74 0, 74 0, 75 8, 62 18, 28 30, 13 50, 17 68, 11 84, 12 100")
    return [
        ball(np.array([-0.34, -0.222, 0.2]), (0.125,) * 3, globe, (8, 40, 23)),
        lathe((-0.34, 0, 0.2), brass, profile),
    ]


def _vase_with_twigs() -> list[Group]:
    """A vase with five twigs of three berries each."""
    bands = (0.24, 0.155, 0.055, 0.011, 0.028, 12, 0.35)
    glaze = paint(BANDS, "d8d2c2 2f5d86 a5482f 2b3d55", bands, shine=0.2, gloss=70, seed=9)
    profile = mm_profile(
        "45 0, 45 0, 50 4, 66 50, 85 110, 88 160, 70 215, 42 255, "
        "34 280, 39 305, 52 322, 49 325, 35 305, 29 280, 30 240"
    )
    groups = [lathe((0.03, 0, 0.27), glaze, profile)]
    twigs = [  # sideways and forward reach, height, bend
        (-0.13, 0.02, 0.2, 0.3),
        (-0.05, -0.03, 0.25, -0.2),
        (0.03, 0.03, 0.28, 0.2),
        (0.11, -0.02, 0.21, -0.3),
        (0.17, 0.03, 0.13, 0.5),
    ]
    for i, twig in enumerate(twigs):
        groups += _twig(i, *twig)
    return groups


def _twig(i: int, dx: float, dz: float, height: float, bend: float) -> list[Group]:
    """Twig i out of the vase, with its berries."""
    bark = paint(MOTTLED, "6b4f33 4b3623 8a6a48 8a6a48", (0.01, 0.7, 1.0, 0.5), seed=3)
    foot, tip = np.array([0.03 + 0.1 * dx, -0.29, 0.27 + 0.1 * dz]), np.array([0.03 + dx, -0.31 - height, 0.27 + dz])
    along = np.linspace(0, 1, 7)[:, None]
    path = foot + (tip - foot) * along + np.array([bend * 0.05, 0, 0.01]) * np.sin(np.pi * along)
    groups = [rod(path, 0.0028, bark)]
    colours = ("c8452e 8f2a20 e2783f e8a24c", "d98a34 b8641f efb65e f2cf86")[i % 2]
    for k, s in enumerate((1.0, 0.8, 0.62)):
        berry = paint(MOTTLED, colours, (0.012, 0.7, 1.0, 0.4), shine=0.1, gloss=30, seed=20 + 3 * i + k)
        j = s * 6
        at = path[int(j)] + (path[min(int(j) + 1, 6)] - path[int(j)]) * (j - int(j))
        at = at + np.array([0.014, 0, -0.008]) * (0 if k == 0 else (-1) ** k)
        r = (0.021, 0.016, 0.014)[k]
        groups.append(ball(at, (r, r, 1.25 * r), berry, (15, 0, 25 * (-1) ** k)))
    return groups


def _books_with_apple() -> list[Group]:
    """A pile of three books, an apple on top."""
    groups: list[Group] = []
    y = 0.0
    books = [  # half thickness, half width and height, turn, colours, seed
        (0.019, (0.098, 0.14), 9, "7d2f2f e8d7b0 d9b98a efe8d8", 1),
        (0.014, (0.088, 0.125), -6, "2f4f5f d8c7a0 8fb0a8 efe8d8", 2),
        (0.011, (0.078, 0.108), 17, "c79a3e 4a3524 e9d9a8 efe8d8", 3),
    ]
    for thick, half, turn, colours, seed in books:
        y -= thick
        cover = paint(COVER, colours, (1,), shine=0.04, gloss=20, seed=30 + seed)
        groups.append((make_solid(BOX, (0.37, y, 0.24), (*half, thick), cover, turn=(0, turn, 0), axes=SPINE),))
        y -= thick
    return groups + _apple((0.375, y, 0.225), 0.041, "9db44a c23a28 7a8a35 efe0a8", 41, (0, 0, 6))


def _mug_of_coffee() -> list[Group]:
    """A mug, the coffee in it, its handle."""
    dotted = paint(DOTS, "e9e2d0 c2493d 2f6f74 e0a33a", (0.026, 0.0075, 0.14), shine=0.2, gloss=70, seed=4)
    c = np.array([-0.13, 0, -0.06])
    coffee = paint(MOTTLED, "2e1a10 24130b 4a2c1a 3a2214", (0.03, 0.6, 1.0, 0.2), shine=0.1, gloss=90, seed=2)
    profile = mm_profile("36 0, 36 0, 40 4, 43 30, 43 85, 43.5 94, 42 95.5, 39.5 93, 38.5 80, 38.5 30, 30 12")
    angle = np.linspace(-1.45, 1.45, 13)
    handle = (
        c
        + np.array([-0.80, 0, -0.60]) * (0.04 + 0.03 * np.cos(angle))[:, None]
        + np.array([0, 1, 0]) * (0.031 * np.sin(angle) - 0.049)[:, None]
    )
    return [
        lathe(c, dotted, profile),
        (make_solid(DISC, c + [0, -0.08, 0], (0.0387, 0.0387, 1), coffee, axes=UPRIGHT),),
        rod(handle, 0.0058, dotted),
    ]


def _bowl_of_fruit() -> list[Group]:
    """A bowl on the cloth with two oranges, an apple and a pear."""
    c = np.array([0.2, -0.0024, -0.1])
    bands = (0.078, 0.045, 0.016, 0.006, 0.012, 18, 0.4)
    bowl = paint(BANDS, "6f8f8a e4dcc4 d9b36a e4dcc4", bands, shine=0.15, gloss=50, seed=14)
    profile = mm_profile("50 0, 50 0, 53 4, 50 10, 75 22, 108 52, 124 88, 122.5 91.5, 120 88, 103 55, 70 28, 30 20")
    orange = paint(MOTTLED, "df8423 c76a16 eda244 f0b766", (0.006, 0.8, 0.8, 0.35), shine=0.06, gloss=20, seed=51)
    return [
        lathe(c, bowl, profile),
        ball(c + [-0.048, -0.078, 0.025], (0.041, 0.041, 0.039), orange),
        ball(c + [0.012, -0.072, -0.052], (0.038, 0.038, 0.037), orange, (40, 0, 50)),
        *_apple(c + [0.052, -0.055, 0.032], 0.04, "b7462e 8d2018 c9a04a efd79a", 43, (-10, 0, 14)),
        *_pear(c + [-0.01, -0.082, 0.028], "b9b04a 94803a d9c46a 7a5c2c", 44, (-24, 0, -20)),
    ]


def _table_front() -> list[Group]:
    """Before the bowl: a lemon, a striped ball, a wooden cube, a pencil."""
    lemon = paint(MOTTLED, "e3c437 cfa926 efd868 f3e390", (0.007, 0.8, 0.7, 0.35), shine=0.06, gloss=20, seed=52)
    profile = mm_profile("0 -43, 6 -41, 11 -36, 22 -26, 27.5 0, 22 26, 11 36, 6 41, 0 43")
    bands = (0.0, 0.022, -0.022, 0.009, 0.006, 10, 0.25)
    stripes = paint(BANDS, "dfd8c4 2f7f86 d2632f e2b03e", bands, shine=0.15, gloss=50, seed=61)
    cube = paint(COVER, "c9a06a 5a3a22 b0452f 3b6a8a", (0,), seed=71)
    pencil = paint(MOTTLED, "c8a53a b58f2a d9bc5c 8a6a1e", (0.008, 0.7, 0.8, 0.4), shine=0.1, seed=81)
    point = paint(MOTTLED, "d9b98c c8a270 e6cfa8 e6cfa8", (0.004, 0.7, 0.8, 0.3), seed=82)
    a, b = np.array([-0.27, -0.0042, -0.275]), np.array([-0.105, -0.0042, -0.215])
    return [
        lathe((-0.315, -0.027, -0.155), lemon, profile, turn=(0, 30, 88)),
        ball((-0.44, -0.045, 0.0), (0.045,) * 3, stripes, (20, 30, 40)),
        (make_solid(BOX, (-0.005, -0.026, -0.235), (0.026,) * 3, cube, turn=(0, 32, 0), axes=UPRIGHT),),
        (
            *rod(np.stack([a, b]), 0.0042, pencil),
            frustum_between(b, b + (b - a) * 0.11, 0.0042, 0.0006, point),
        ),
    ]


def _framed_picture() -> list[Group]:
    """A framed picture on the wall."""
    picture = paint(MOTTLED, "8fb0c0 6f8f6a d9c48a b5704a", (0.14, 0.6, 1.0, 0.35), seed=91)
    frame = paint(WOOD, "6b4a2c 4a3018 33200f", (0.05, 0.008), seed=92)
    groups: list[Group] = []
    for dx, dy, wx, wy in (
        (0, -0.145, 0.2, 0.013),
        (0, 0.145, 0.2, 0.013),
        (-0.187, 0, 0.013, 0.132),
        (0.187, 0, 0.013, 0.132),
    ):
        groups.append((make_solid(BOX, (0.36 + dx, -0.52 + dy, 0.508), (wx, wy, 0.012), frame),))
    return [*groups, (make_solid(RECTANGLE, (0.36, -0.52, 0.514), (0.18, 0.14, 1), picture),)]


def ball(centre: Vector, size: Vector, paint: Paint, turn: Vector = (0, 0, 0)) -> Group:
    """An ellipsoid whose z axis points up, rotated by `turn` degrees."""
    return (make_solid(ELLIPSOID, centre, size, paint, turn=turn, axes=UPRIGHT, shape=(-1, 1)),)


def mm_profile(text: str, unit: float = 1e-3) -> np.ndarray:
    """(N,2) radius and height, m, of the points "r h, r h, ...", in mm or another unit."""
    return unit * np.array([p.split() for p in text.split(",")], dtype=float)


def lathe(foot: Vector, paint: Paint, profile: np.ndarray, *, turn: Vector = (0, 0, 0), parts: int = 4) -> Group:
    """A solid of revolution: frusta along a Catmull-Rom curve through `profile`, (radius, height) from the foot, m."""
    p = np.array([profile[0], *profile, profile[-1]], dtype=float)
    s = np.arange(parts) / parts
    m = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]])
    spans = np.stack([p[i : i + 4] for i in range(len(p) - 3)])
    curve = np.concatenate([np.stack([s**0, s, s**2, s**3], 1) @ m @ span for span in spans] + [p[-1:]])
    distinct = np.linalg.norm(np.diff(curve, axis=0), axis=1) > 1e-7
    curve = curve[np.concatenate([[True], distinct])]
    curve[:, 0] = np.maximum(curve[:, 0], 1e-5)
    tangent = np.gradient(curve, axis=0)
    up = np.unwrap(np.arctan2(-tangent[:, 0], tangent[:, 1]))
    axes = np.array(UPRIGHT, dtype=float) @ rotation_deg(*turn).T
    solids = []
    for i in range(len(curve) - 1):
        low, high = (i, i + 1) if curve[i, 1] <= curve[i + 1, 1] else (i + 1, i)
        z, half = curve[[low, high], 1].mean(), max(0.5 * (curve[high, 1] - curve[low, 1]), 1e-6)
        r = curve[[low, high], 0].max()
        solids.append(
            Solid(
                FRUSTUM,
                tuple(np.asarray(foot) + z * axes[2]),
                (r, r, half),
                paint,
                axes,
                (curve[low, 0] / r, curve[high, 0] / r, 0, up[low], up[high]),
                (0, 0, z),
            )
        )
    return tuple(solids)


def frustum_between(a: np.ndarray, b: np.ndarray, ra: float, rb: float, paint: Paint) -> Solid:
    """A frustum from a to b, of radii ra and rb, with a lid at either end."""
    z = (b - a) / np.linalg.norm(b - a)
    x = np.cross(z, [0.0, 0, 1] if abs(z[2]) < 0.9 else [1.0, 0, 0])
    x /= np.linalg.norm(x)
    half, up = 0.5 * np.linalg.norm(b - a), np.arctan2(ra - rb, np.linalg.norm(b - a))
    r = max(ra, rb)
    return Solid(
        FRUSTUM,
        tuple(0.5 * (a + b)),
        (r, r, half),
        paint,
        np.stack([x, np.cross(z, x), z]),
        (ra / r, rb / r, 3, up, up),
    )


def rod(path: np.ndarray, radius: float, paint: Paint) -> Group:
    """Round segments along a path (N,3), balls at the bends."""
    segments = [frustum_between(a, b, radius, radius, paint) for a, b in zip(path[:-1], path[1:], strict=True)]
    return (*segments, *(make_solid(ELLIPSOID, c, (radius,) * 3, paint, shape=(-1, 1)) for c in path[1:-1]))


def _apple(foot: Vector, radius: float, colours: str, seed: int, turn: Vector) -> list[Group]:
    skin = paint(FRUIT, colours, (0.9 * radius, 2.6, 1.3, 0.5), shine=0.16, gloss=35, seed=seed)
    stalk = paint(MOTTLED, "5a3f26 3d2a18 7a5a38 7a5a38", (0.004, 0.7, 1.0, 0.3), seed=seed)
    profile = mm_profile(
        "0 -0.68, 0.14 -0.76, 0.36 -0.84, 0.62 -0.74, 0.88 -0.34, 1 0.12, "
        "0.92 0.5, 0.7 0.77, 0.42 0.82, 0.2 0.72, 0 0.52",
        unit=1.0,
    )
    up = np.array(UPRIGHT[2]) @ rotation_deg(*turn).T
    middle = np.asarray(foot, dtype=float) + 0.83 * radius * np.array(UPRIGHT[2])
    stem = middle + np.array([[0.5], [0.8], [1.12]]) * radius * up + np.array([[0, 0, 0], [0.002, 0, 0], [0.008, 0, 0]])
    return [lathe(middle, skin, profile * radius, turn=turn), rod(stem, 0.0016, stalk)]


def _pear(middle: Vector, colours: str, seed: int, turn: Vector) -> list[Group]:
    skin = paint(FRUIT, colours, (0.07, 3.0, 1.0, 0.9), shine=0.08, gloss=25, seed=seed)
    stalk = paint(MOTTLED, "5a3f26 3d2a18 7a5a38 7a5a38", (0.004, 0.7, 1.0, 0.3), seed=seed)
    profile = mm_profile("0 -38, 12 -42, 26 -37, 37 -14, 36 8, 27 32, 19.5 52, 14 64, 6 69, 0 67")
    up = np.array(UPRIGHT[2]) @ rotation_deg(*turn).T
    stem = (
        np.asarray(middle)
        + np.array([[0.064], [0.078], [0.094]]) * up
        + np.array([[0, 0, 0], [0.001, 0, 0], [0.005, 0, 0]])
    )
    return [lathe(middle, skin, profile, turn=turn), rod(stem, 0.0015, stalk)]


def forward() -> Scene:
    """The slanted planes, photo 2 taken a step ahead: the epipole lies inside the picture."""
    return replace(slanted(), pose="forward")


def handheld() -> Scene:
    """The slanted planes, photographed by hand."""
    return replace(slanted(), pose="handheld")


SCENES: dict[str, Callable[[], Scene]] = {
    "slanted": slanted,
    "sphere": sphere,
    "bars": bars,
    "still_life": still_life,
    "handheld": handheld,
    "vertical": vertical,
    "swapped": swapped,
    "forward": forward,
    "plane": plane,
    "rotation": rotation,
    "chessboard": chessboard,
}


# ------------------------------------------------------------------------------------------------- matches and cameras


def exact_matches(
    pair: SyntheticPair,
    n: int,
    *,
    noise: Annotated[float, Range(0)] = 0.0,
    outliers: Annotated[float, Range(0, 1)] = 0.0,
    seed: Annotated[int, Range(0)] = 0,
) -> Matches:
    """Sample n pixels of photo 1 that photo 2 sees, with the exact positions of their surface points in photo 2.

    Parameters
    ----------
    pair : SyntheticPair
        Photos with truth.
    n : int
        Matches, in random order, their scores 1.
    noise : float
        px: standard deviation added to both positions.
    outliers : float
        Share of the matches whose second position is anywhere in photo 2.
    seed : int
        Of the sample, the noise and the outliers.

    Returns
    -------
    Matches

    Raises
    ------
    StereoError
        "bad_option" for an option out of bounds.
    ValueError
        Where fewer than n pixels are visible in both photos.
    """
    given = {"noise": noise, "outliers": outliers, "seed": seed}
    noise, outliers, seed = check_options("exact_matches", options_of(exact_matches), given).values()
    y, x = np.nonzero(pair.visible1)
    if len(x) < n:
        raise ValueError(f"{n} matches asked for, {len(x)} pixels are visible in both photos")
    rng = np.random.default_rng(seed)
    pick = rng.choice(len(x), n, replace=False)
    y, x = y[pick], x[pick]
    x1 = np.stack([x, y], -1).astype(float)
    rig = pair.rig
    y1 = undistort(x1, rig.cam1.K, rig.cam1.dist)
    X = np.concatenate([y1, np.ones((n, 1))], -1) * pair.depth1[y, x][:, None]
    x2 = project(X, rig.cam2.K, rig.R, rig.t, rig.cam2.dist)
    return _add_noise_and_outliers((x1, x2), rig.cam2.size, noise, outliers, rng)


def _add_noise_and_outliers(
    x: tuple[np.ndarray, np.ndarray],
    size: tuple[int, int],
    noise: float,
    outliers: float,
    rng: np.random.Generator,
) -> Matches:
    """Matches (x1, x2) with noise on both, and outliers anywhere in the second photo, of that size."""
    x1, x2 = x
    n = len(x1)
    if noise > 0:
        x1, x2 = x1 + rng.normal(0, noise, x1.shape), x2 + rng.normal(0, noise, x2.shape)
    wrong = rng.permutation(n)[: round(outliers * n)]
    x2 = x2.copy()
    x2[wrong] = rng.uniform(-0.5, np.array(size) - 0.5, (len(wrong), 2))
    return Matches(x1, x2, np.ones(n, np.float32))


# Camera 2's centre and rotation vector (degrees) of `random_two_view`, before a random jitter; depths are 4 to 10.
MOTIONS: dict[str, tuple[tuple, tuple]] = {
    "sideways": ((1, 0, 0), (0, 0, 0)),
    "swapped": ((-1, 0, 0), (0, 0, 0)),
    "vertical": ((0, -1, 0), (0, 0, 0)),
    "forward": ((0.05, 0.03, 1), (0, 0, 0)),
    "converging": ((1, 0, 0.1), (0, -10, 0)),
    "turned": ((1, 0, 0), (0, 0, 90)),
    "planar": ((1, 0, 0), (0, 0, 0)),  # the points lie on one slanted plane
    "rotation": ((0, 0, 0), (3, -6, 2)),  # t = 0
}


def random_two_view(
    n: int,
    *,
    seed: int,
    focal: float = 1200.0,
    size: tuple[int, int] = (1600, 1200),
    motion: str = "sideways",
    noise: Annotated[float, Range(0)] = 0.0,
    outliers: Annotated[float, Range(0, 1)] = 0.0,
) -> tuple[Matches, Rig]:
    """x_i ~ K (R_i X + t_i), |t| = 1: n random points seen by two random cameras, without pictures.

    Parameters
    ----------
    n : int
        Points, at depths 4 to 10.
    seed : int
        Of all that is random.
    focal : float
        px.
    size : (width, height)
        px.
    motion : str
        One of `MOTIONS`, plus a random rotation of about 2 degrees and a random step of a tenth of the baseline (no
        step for "rotation", whose t is 0).
    noise, outliers : float
        As in `exact_matches`.

    Returns
    -------
    Matches, Rig

    Raises
    ------
    StereoError
        "bad_option" for an option out of bounds.
    ValueError
        For an unknown motion, or where the cameras see too few points in common.
    """
    given = {"noise": noise, "outliers": outliers}
    noise, outliers = check_options("random_two_view", options_of(random_two_view), given).values()
    if motion not in MOTIONS:
        raise ValueError(f"there is no motion {motion!r}; there are: {', '.join(MOTIONS)}")
    rng = np.random.default_rng(seed)
    K = np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1.0]])
    R, t = _random_motion(motion, rng)
    kept = []
    for _ in range(200):
        x = _random_points(2 * n + 20, motion, (K, R, t), size, rng)
        kept.append(x)
        if sum(map(len, kept)) >= n:
            break
    else:
        raise ValueError(f"too few points are seen by both cameras (focal {focal:g} px, size {size}, {motion})")
    both = np.concatenate(kept)[:n]
    cam = Camera(K, (size[0], size[1]), source="given", source_detail="synthetic")
    matches = _add_noise_and_outliers((both[:, :2], both[:, 2:]), size, noise, outliers, rng)
    return matches, Rig(cam, cam, R, t, None)


def _random_motion(motion: str, rng: np.random.Generator) -> Pose:
    """R, t of a motion with a random jitter, |t| = 1 or 0."""
    centre, turn = (np.array(v, dtype=float) for v in MOTIONS[motion])
    R = rotation_from_vector(np.radians(rng.normal(0, 2, 3))) @ rotation_from_vector(np.radians(turn))
    if np.any(centre):
        centre = centre + rng.normal(0, 0.05 if motion == "forward" else 0.1, 3)
        centre /= np.linalg.norm(centre)
    return R, -R @ centre + 0.0


def _random_points(
    count: int, motion: str, cameras: tuple, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """(M,4): x1, x2 of those of `count` random points that both cameras see; cameras: K, R, t."""
    K, R, t = cameras
    x1 = rng.uniform(-0.5, np.array(size) - 0.5, (count, 2))
    d = np.concatenate([(x1 - K[:2, 2]) / K[0, 0], np.ones((len(x1), 1))], -1)
    if motion == "planar":
        normal = np.array([0.3, 0.2, -1.0])
        z = -6.0 / (d @ normal)
    else:
        z = rng.uniform(4, 10, len(x1))
    X = d * z[:, None]
    x2 = project(X, K, R, t)
    seen = ((X @ R.T + t)[:, 2] > 0.1) & np.all((x2 >= -0.5) & (x2 <= np.array(size) - 0.5), -1)
    return np.concatenate([x1, x2], 1)[seen]


# ------------------------------------------------------------------------------------------------------------ on disk


def write_pair(
    folder: str | Path, pair: SyntheticPair, *, suffix: str = ".png", focal_35mm: float | None = None
) -> list[Path]:
    """Write a pair with its truth into a folder and return the files' paths.

    left, right (.png, or .jpg in quality 92 with EXIF); rig.json (res, intrinsic, R, T, distCoeffs, unit); cameras.json
    (K, R, t, size of each; X_cam = R X + t, the world is the left camera); depth_left.npy, depth_right.npy (z-depth,
    m); visible_left.png, visible_right.png (255: visible in the other photo). Where rows correspond also disp_left.pfm,
    disp_right.pfm and, for a left photo named first, calib.txt (Middlebury's form, baseline in mm).

    Parameters
    ----------
    folder : path
        Made where it does not exist.
    pair : SyntheticPair
        Photos with truth.
    suffix : {".png", ".jpg", ".jpeg"}
        Of the photos.
    focal_35mm : float, optional
        mm: 35 mm equivalent focal length for the EXIF; by default from K by the diagonal.

    Returns
    -------
    list of Path

    Raises
    ------
    StereoError
        "unwritable", or "unknown_format" for another suffix.
    """
    folder = Path(folder)
    rig = pair.rig
    files = []
    for name, photo, cam in (("left", pair.left, rig.cam1), ("right", pair.right, rig.cam2)):
        files.append(_write_photo(folder / (name + suffix), photo, cam, focal_35mm))
    files += _write_cameras(folder, rig)
    for name, depth, visible, disparity in (
        ("left", pair.depth1, pair.visible1, pair.disparity_left),
        ("right", pair.depth2, pair.visible2, pair.disparity_right),
    ):
        files.append(write_map(folder / f"depth_{name}.npy", depth))
        files.append(_write_picture(folder / f"visible_{name}.png", visible.astype(np.uint8) * 255))
        if disparity is not None:
            files.append(write_map(folder / f"disp_{name}.pfm", disparity))
    if pair.disparity_left is not None and rig.t is not None and rig.t[0] < 0:
        files.append(_write_text(folder / "calib.txt", _middlebury(pair)))
    return files


def _middlebury(pair: SyntheticPair) -> str:
    """The text of calib.txt: cam0, cam1, doffs, baseline, size, disparity range."""
    rig, d = pair.rig, pair.disparity_left
    assert rig.t is not None and d is not None
    rows = [[" ".join(map(str, row)) for row in cam.K.tolist()] for cam in (rig.cam1, rig.cam2)]
    low, high = int(np.floor(np.nanmin(d))), int(np.ceil(np.nanmax(d)))
    return (
        f"cam0=[{'; '.join(rows[0])}]\ncam1=[{'; '.join(rows[1])}]\n"
        f"doffs={float(rig.cam2.K[0, 2] - rig.cam1.K[0, 2])}\n"
        f"baseline={float(-1000 * rig.t[0])}\nwidth={rig.cam1.size[0]}\nheight={rig.cam1.size[1]}\n"
        f"ndisp={high + 1}\nvmin={low}\nvmax={high}\n"
    )


def _write_text(path: Path, text: str) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _write_picture(path: Path, pixels: np.ndarray) -> Path:
    from PIL import Image

    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, optimize=True)
    return path


def _write_cameras(folder: Path, rig: Rig) -> list[Path]:
    """rig.json and cameras.json."""
    assert rig.R is not None and rig.t is not None
    rig_json = {
        "res1": list(map(int, rig.cam1.size)),
        "res2": list(map(int, rig.cam2.size)),
        "intrinsic1": rig.cam1.K.tolist(),
        "intrinsic2": rig.cam2.K.tolist(),
        "R": rig.R.tolist(),
        "T": rig.t.reshape(3, 1).tolist(),
        "distCoeffs1": rig.cam1.dist.tolist(),
        "distCoeffs2": rig.cam2.dist.tolist(),
        "unit": rig.unit,
    }
    cameras = {
        name: {
            "K": cam.K.tolist(),
            "R": R.tolist(),
            "t": t.tolist(),
            "size": list(map(int, cam.size)),
            "dist": cam.dist.tolist(),
        }
        for name, cam, R, t in (("left", rig.cam1, np.eye(3), np.zeros(3)), ("right", rig.cam2, rig.R, rig.t))
    }
    note = "x ~ K (R X + t), unit metres, the world is the left camera; exact, from the scene"
    cameras = {"note": note, "unit": rig.unit, "cameras": cameras}
    return [
        _write_text(folder / "rig.json", json.dumps(rig_json, indent=1) + "\n"),
        _write_text(folder / "cameras.json", json.dumps(cameras, indent=1) + "\n"),
    ]


def _write_photo(path: Path, photo: Photo, cam: Camera, focal_35mm: float | None) -> Path:
    """A photo as PNG, or as JPEG with the EXIF of a compact camera."""
    if path.suffix not in (".png", ".jpg", ".jpeg"):
        raise StereoError("unknown_format", f"{path}: photos are written as .png or .jpg.", "Choose one of them.")
    if path.suffix == ".png":
        return _write_picture(path, photo.pixels)
    from PIL import Image
    from PIL.TiffImagePlugin import IFDRational

    if focal_35mm is None:
        focal_35mm = cam.focal * DIAGONAL_35MM / float(np.hypot(*cam.size))
    exif = Image.Exif()
    exif[0x010F] = "stereo3d"  # Make
    exif[0x0110] = "Synthetic"  # Model
    exif[0x0112] = 1  # Orientation
    exif[0x0131] = "stereo3d synthetic"  # Software
    details = exif.get_ifd(0x8769)
    details[0x920A] = IFDRational(round(focal_35mm / CROP_FACTOR * 100), 100)  # FocalLength, mm
    details[0xA405] = round(focal_35mm)  # FocalLengthIn35mmFilm
    details[0xA002], details[0xA003] = photo.size  # ExifImageWidth, ExifImageHeight
    with replacing(path) as temporary:
        Image.fromarray(photo.pixels).save(temporary, quality=92, subsampling=0, optimize=True, exif=exif)
    return path


DEMO_SIZE = (1400, 1050)  # px


def write_demo(folder: str | Path) -> list[Path]:
    """Render the demo pair, in a minute or two, and write it.

    left.jpg, right.jpg with EXIF; rig.json; cameras.json; depth_left.npz: key "depth", (H,W) float16, true z-depth of
    left.jpg in m.
    """
    folder = Path(folder)
    pair = render("still_life", size=DEMO_SIZE, noise=1.5, vignetting=0.22, samples=2, seed=1)
    files = [
        _write_photo(folder / f"{name}.jpg", photo, cam, None)
        for name, photo, cam in (("left", pair.left, pair.rig.cam1), ("right", pair.right, pair.rig.cam2))
    ]
    files += _write_cameras(folder, pair.rig)
    path = folder / "depth_left.npz"
    with replacing(path) as temporary:
        np.savez_compressed(temporary, depth=pair.depth1.astype(np.float16))
    return [*files, path]


if __name__ == "__main__":
    import sys

    if len(sys.argv) != 2:
        sys.exit("usage: python -m stereo3d.synthetic FOLDER   (writes the demo pair)")
    write_demo(sys.argv[1])
