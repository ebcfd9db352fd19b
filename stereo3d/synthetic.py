"""Ray-cast scenes: exact photos, depth, disparity, matches and cameras.

A scene is a list of solids (rectangles, boxes, ellipsoids, frusta, discs) painted with solid textures: colour is a
function of the surface point, and so is the light (Lambert, one disc lamp with its shadow, a sky), so two photos of a
scene see the same picture on every surface. Scenes are closed: every pixel sees something. Lengths are metres.

    pair = render("sphere", size=(320, 240))            # a rectified pair with its truth
    pair = render("slanted", pose="handheld", noise=2)  # any scene under any pose
    write_pair("folder", pair)

`SCENES` names the scenes and `POSES` the relative poses; a scene carries the pose it is shot in where none is given.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .calibration import DIAGONAL_35MM
from .errors import StereoError
from .files import replacing, write_map
from .geometry import project, rotation_from_vector, undistort
from .records import Camera, Matches, Photo, Rig

# mm, rounded: by this diagonal the scenes were laid out and the shipped demo rendered; the EXIF has the exact one
SCENE_DIAGONAL_35MM = round(DIAGONAL_35MM, 2)
STRIP = 60_000  # rays cast at a time and thread
CROP = 4.6  # of the camera that the EXIF speaks of: 35 mm equivalent over true focal length, as in a compact camera


@dataclass(frozen=True, eq=False)
class Solid:
    """One solid: points X with u = axes (X - centre) / size on the unit shape. kind: see `raycast`. axes: (3,3), rows.

    shape: the kind's own parameters.  texture: where the paint's origin lies from the centre, along the axes.
    """

    kind: int
    centre: tuple
    size: tuple
    paint: tuple
    axes: np.ndarray
    shape: tuple = ()
    texture: tuple = (0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Scene:
    """Solids in the scene's own frame (y down), the light, and how it is photographed.

    things: groups of solids, each culled by one bounding sphere.  eye, target: camera 1's centre and the point it looks
    at (the image's y axis is as near to the scene's y axis as can be).  baseline: between the two camera centres, m.
    focal_35mm: 35 mm equivalent focal length.  pose: one of `POSES`.  lamp: centre, radius, strength where the target
    lies.  sky: strength and reach (m) of what darkens it, 0: nothing does.  film: False = plain sRGB, True = paler
    and with a shoulder, so that highlights do not clip.
    """

    things: tuple[tuple[Solid, ...], ...]
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
    """Two photos and everything true about them.

    rig: cameras and pose, exact, unit "m"; R = I, t = (-B, 0, 0) for "rectified".  depth1, depth2: (H,W) f64 z-depth
    at pixel centres.  visible1: (H,W) bool, the surface point at the pixel's centre is seen in the other photo too:
    inside the picture, unoccluded, from the same side; visible2 likewise.  normals1: (H,W,3) f64, camera 1's frame,
    towards the camera.  disparity_left, disparity_right: (H,W) f32 px, x_left - x_right at the pixels of either photo,
    where rows correspond (R = I, t along x, equal fy and cy, no distortion), else None.
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


# ---------------------------------------------------------------------------------------------------------- rendering


def render(
    scene: "str | Scene",
    *,
    size: tuple[int, int] = (640, 480),
    pose: str | None = None,
    baseline: float | None = None,
    K: np.ndarray | None = None,
    dist=(),
    camera2: Camera | None = None,
    noise: float = 0.0,
    vignetting: float = 0.0,
    gain: float = 1.0,
    offset: float = 0.0,
    supersample: int = 3,
    samples: int = 1,
    seed: int = 0,
) -> SyntheticPair:
    """Two photos of a scene, with truth: x_i = K_i distort(X_i / Z_i), X_2 = R X_1 + t.

    scene: a name of `SCENES` or a Scene.  size: (width, height).  pose: one of `POSES`; None: the scene's own.
    baseline: m, None: the scene's own.  K: (3,3) px of both cameras; None: the scene's focal length, principal point
    in the middle.  dist: lens distortion of both, OpenCV's order.  camera2: another second camera (size, K, dist).
    noise: standard deviation, grey levels, from `seed`.  vignetting: share of light lost in the corners.
    gain, offset: photo 2 becomes gain v + offset, grey levels.  supersample: s x s rays a pixel, the pixel being
    the mean over its square.  samples: points of lamp and sky each of those rays looks at.

    Raises StereoError("unknown_method") for a name that is none, ValueError for cameras that make no picture.
    """
    scene = _named(scene)
    pose = scene.pose if pose is None else pose
    if pose not in POSES:
        raise StereoError("unknown_method", f"no pose named {pose!r}.", f"There are: {', '.join(POSES)}.")
    if supersample < 1 or samples < 1:
        raise ValueError(f"supersample and samples must be 1 or more, got {supersample} and {samples}")
    cam1 = Camera(
        _camera_matrix(scene, size) if K is None else np.array(K, dtype=float),
        tuple(size),
        np.asarray(dist, dtype=float),
        "given",
        "synthetic",
    )
    away = np.linalg.norm(np.subtract(scene.target, scene.eye))
    R, t = POSES[pose](scene.baseline if baseline is None else float(baseline), float(away))
    cam2 = camera2
    if cam2 is None:
        cam2 = (
            cam1
            if pose != "turned"
            else Camera(_turned_K(cam1.K, size), (size[1], size[0]), cam1.dist, "given", "synthetic")
        )
    if min(*cam1.size, *cam2.size) < 1:
        raise ValueError(f"cameras of size {cam1.size} and {cam2.size} px")
    rig = Rig(cam1, cam2, R, t, "m")

    W1, C1 = _look_at(scene.eye, scene.target)
    W2, C2 = R @ W1, C1 - (R @ W1).T @ t
    tables = _tables(scene)
    viewers = np.array([[*C1, cam1.focal], [*C2, cam2.focal]])
    pictures, depths, sides = [], [], []
    for cam, W, C in ((cam1, W1, C1), (cam2, W2, C2)):
        linear = _radiance(tables, scene, viewers, cam, W, C, supersample, samples)
        r = (_pixels(cam.size) - (np.array(cam.size) - 1) / 2) / (np.hypot(*cam.size) / 2)
        linear *= 1 - vignetting * np.sum(r * r, -1)[..., None]
        pictures.append(255 * _tone(linear, scene.film))
        depth, normals = _trace(tables, C, _rays(cam, W))
        depths.append(depth)
        sides.append(normals)
    pictures[1] = gain * pictures[1] + offset
    rng = np.random.default_rng(seed)
    photos = []
    for v in pictures:
        v = v + rng.normal(0, noise, v.shape) if noise > 0 else v
        photos.append(Photo(np.clip(np.rint(v), 0, 255).astype(np.uint8)))
    visible1, x12 = _seen(tables, cam1, W1, C1, depths[0], sides[0], cam2, W2, C2)
    visible2, x21 = _seen(tables, cam2, W2, C2, depths[1], sides[1], cam1, W1, C1)
    left = right = None
    same_rows = np.array_equal(R, np.eye(3)) and t[0] != 0 and t[1] == t[2] == 0
    same_rows &= np.array_equal(cam1.K[1], cam2.K[1]) and not (np.any(cam1.dist) or np.any(cam2.dist))
    if same_rows:
        left = (_pixels(cam1.size)[..., 0] - x12[..., 0]).astype(np.float32)
        right = (x21[..., 0] - _pixels(cam2.size)[..., 0]).astype(np.float32)
    return SyntheticPair(*photos, rig, *depths, visible1, visible2, sides[0] @ W1.T, left, right)


def cast(scene: "str | Scene", origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """First hits X = o + t d, t > 0, of rays with a scene.

    origin: (3,) and rays: (N,3), in the scene's frame. Returns t (N,), NaN where a ray meets nothing.
    """
    t, _ = _trace(_tables(_named(scene)), np.asarray(origin, dtype=float), np.asarray(rays, dtype=float))
    return t


def scene_from_camera1(scene: "str | Scene") -> tuple[np.ndarray, np.ndarray]:
    """W (3,3) and C (3,) of camera 1: X_camera = W (X_scene - C). I, 0 for an eye at the origin that looks along z."""
    scene = _named(scene)
    return _look_at(scene.eye, scene.target)


def _named(scene) -> Scene:
    if isinstance(scene, Scene):
        return scene
    if scene not in SCENES:
        raise StereoError("unknown_method", f"no scene named {scene!r}.", f"There are: {', '.join(SCENES)}.")
    return SCENES[scene]()


def _camera_matrix(scene: Scene, size) -> np.ndarray:
    f = scene.focal_35mm * np.hypot(*size) / SCENE_DIAGONAL_35MM
    return np.array([[f, 0, (size[0] - 1) / 2], [0, f, (size[1] - 1) / 2], [0, 0, 1.0]])


def _turned_K(K: np.ndarray, size) -> np.ndarray:
    """K of the same camera held upright: what was pixel (x, y) becomes (y, W - 1 - x)."""
    return np.array([[K[1, 1], 0, K[1, 2]], [0, K[0, 0], size[0] - 1 - K[0, 2]], [0, 0, 1.0]])


def _look_at(eye, target) -> tuple[np.ndarray, np.ndarray]:
    z = np.subtract(target, eye, dtype=float)
    z /= np.linalg.norm(z)
    x = np.cross([0.0, 1, 0], z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z]), np.array(eye, dtype=float)


def _pixels(size) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(size[0], dtype=float), np.arange(size[1], dtype=float)), -1)


def _rays(cam: Camera, W: np.ndarray, x: np.ndarray | None = None) -> np.ndarray:
    """Scene-frame directions of unit z in the camera, so that t along them is z-depth: x (...,2) px -> (...,3)."""
    x = undistort(_pixels(cam.size) if x is None else x, cam.K, cam.dist)
    if not np.all(np.isfinite(x)):
        raise ValueError(f"the distortion {cam.dist} folds inside the picture")
    return np.concatenate([x, np.ones(x.shape[:-1] + (1,))], -1) @ W


def _strips(function, count: int, cost: int) -> None:
    """function(start, stop) over range(count) in strips of about STRIP rays, on the machine's threads."""
    import os
    from concurrent.futures import ThreadPoolExecutor

    step = max(1, STRIP // cost)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        list(pool.map(lambda a: function(a, min(a + step, count)), range(0, count, step)))


def _radiance(tables, scene: Scene, viewers, cam: Camera, W, C, supersample: int, samples: int) -> np.ndarray:
    from . import raycast

    x = _pixels(cam.size).reshape(-1, 2)
    sub = (np.arange(supersample) + 0.5) / supersample - 0.5
    sub = np.stack(np.meshgrid(sub, sub), -1).reshape(-1, 2)
    # a stride prime to the count scatters the lamp's points over the pixel
    sub = sub[(np.arange(len(sub)) * 7) % len(sub)] if len(sub) % 7 else sub
    out = np.zeros((len(x), 3))

    def strip(a, b):
        rays = np.ascontiguousarray(_rays(cam, W, x[a:b, None] + sub))
        raycast.shade(*tables, _light(scene), viewers, C, rays, samples, out[a:b])

    _strips(strip, len(x), len(sub) * (1 + samples))
    return out.reshape(cam.size[1], cam.size[0], 3)


def _trace(tables, origin, rays, near: float = 1e-6) -> tuple[np.ndarray, np.ndarray]:
    """t (...) and normals (...,3) facing the origin at the first hits of rays (...,3); NaN where there is none."""
    from . import raycast

    flat = np.ascontiguousarray(rays.reshape(-1, 3))
    t, which, normals = np.empty(len(flat)), np.empty(len(flat), np.int64), np.full((len(flat), 3), np.nan)

    def strip(a, b):
        raycast.trace(tables[0], tables[1], origin, flat[a:b], near, t[a:b], which[a:b], normals[a:b])

    _strips(strip, len(flat), 1)
    t[which < 0] = np.nan
    return t.reshape(rays.shape[:-1]), normals.reshape(rays.shape)


def _seen(tables, cam, W, C, depth, normals, other, W2, C2) -> tuple[np.ndarray, np.ndarray]:
    """Which surface points of one photo the other sees, and the pixels (H,W,2) of the other that they fall on."""
    X = C + _rays(cam, W) * depth[..., None]
    with np.errstate(invalid="ignore"):
        Xc = (X - C2) @ W2.T
        x = project(Xc, other.K, dist=other.dist)
        inside = (Xc[..., 2] > 0) & np.all((x >= -0.5) & (x <= np.array(other.size) - 0.5), -1)
        if np.any(other.dist):  # far outside the field, the polynomial may fold back into the picture
            inside &= np.hypot(*np.moveaxis(Xc[..., :2] / Xc[..., 2:], -1, 0)) <= _field(other)
        t, n = _trace(tables, C2, X - C2)
        seen = inside & (t > 1 - 1e-6) & (np.sum(n * normals, -1) > 0)
    x[~(Xc[..., 2] > 0)] = np.nan
    return seen, x


def _field(cam: Camera) -> float:
    """The largest |(X/Z, Y/Z)| inside the picture: the distortion is trusted to be one to one up to there."""
    w, h = cam.size
    edge = np.concatenate([np.stack([np.linspace(-0.5, w - 0.5, 65), np.full(65, y)], -1) for y in (-0.5, h - 0.5)])
    return 1.001 * float(np.linalg.norm(undistort(edge, cam.K, cam.dist), axis=-1).max())


def _tone(linear: np.ndarray, film: bool) -> np.ndarray:
    """Linear light to sRGB in [0, 1]; film: a little less colour, and above 0.6 bent towards 1, not cut."""
    v = linear
    if film:
        v = v + 0.14 * (v @ [[0.2126], [0.7152], [0.0722]] - v)
        v = np.where(v > 0.6, 0.6 + 0.4 * (1 - np.exp(-(v - 0.6) / 0.4)), v)
    v = np.clip(v, 0, 1)
    return np.where(v <= 0.0031308, 12.92 * v, 1.055 * np.maximum(v, 1e-9) ** (1 / 2.4) - 0.055)


def _light(scene: Scene) -> np.ndarray:
    light = np.zeros(16)
    light[:3], light[3], light[4] = scene.lamp
    light[5], light[6] = scene.sky
    light[7] = np.linalg.norm(np.subtract(scene.lamp[0], scene.target))
    return light


def _tables(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The scene as the kernels want it: solids (N,32), groups (G,6), paints (P,32)."""
    paints = list(dict.fromkeys(s.paint for thing in scene.things for s in thing))
    solids, groups = [], []
    for thing in scene.things:
        centres = np.array([s.centre for s in thing], dtype=float)
        middle = centres.mean(0)
        reach = 0.0
        for s, c in zip(thing, centres, strict=True):
            row = np.zeros(32)
            row[0], row[1:10], row[10:13], row[13:16] = s.kind, np.ravel(s.axes), c, s.size
            row[16 : 16 + len(s.shape)] = s.shape
            row[24] = paints.index(s.paint)
            row[25:28] = s.texture
            row[28] = _reach(s) ** 2
            solids.append(row)
            reach = max(reach, np.linalg.norm(c - middle) + _reach(s))
        groups.append([len(solids) - len(thing), len(solids), *middle, reach**2])
    table = np.zeros((len(paints), 32))
    for row, p in zip(table, paints, strict=True):
        row[: len(p)] = p
    return np.array(solids), np.array(groups), table


def _reach(s: Solid) -> float:
    """Radius of a ball about the centre that holds the solid, with a little to spare for rounding."""
    x, y, z = s.size
    wide = {RECTANGLE: np.hypot(x, y), ELLIPSOID: max(x, y, z), DISC: max(x, y), BOX: np.sqrt(x * x + y * y + z * z)}
    if s.kind == FRUSTUM:
        return 1.000001 * float(np.hypot(max(x, y) * max(s.shape[:2]), z))
    return 1.000001 * float(wide[s.kind])


# -------------------------------------------------------------------------------------------------------------- poses


def _turn(x=0.0, y=0.0, z=0.0) -> np.ndarray:
    """Rotation by a vector of degrees."""
    return rotation_from_vector(np.radians([x, y, z]))


def _from_centre(R: np.ndarray, C) -> tuple[np.ndarray, np.ndarray]:
    return R, -R @ np.asarray(C, dtype=float) + 0.0  # + 0.0: no negative zeros


def _aim(C, distance: float, share: float) -> np.ndarray:
    """Turns a camera at C so that it looks by `share` (0: not, 1: wholly) at the point that camera 1 looks at."""
    x, y, z = np.subtract((0.0, 0.0, distance), C)
    return rotation_from_vector(share * np.array([np.arctan2(y, z), -np.arctan2(x, z), 0.0]))


def _handheld(b, z):
    C = np.array([0.985, -0.11, 0.13]) * b
    return _from_centre(_turn(1.1, 0.4, -1.8) @ _aim(C, z, 0.7), C)


def _converging(b, z):
    C = np.array([2.5 * b, 0.1 * b, 0.3 * b])
    return _from_centre(_aim(C, z, 1.0), C)


# name -> function(baseline, distance to the target) -> R, t. Camera 2 stands at C = -R^T t in the frame of camera 1.
POSES = {
    "rectified": lambda b, z: _from_centre(np.eye(3), (b, 0, 0)),
    "swapped": lambda b, z: _from_centre(np.eye(3), (-b, 0, 0)),  # photo 1 is taken from the right
    "vertical": lambda b, z: _from_centre(np.eye(3), (0, -b, 0)),  # photo 2 from above
    "handheld": _handheld,  # a step aside: turned towards the subject, and a few degrees askew
    "handheld_swapped": lambda b, z: _from_centre(
        _turn(-0.9, 0.5, 1.6) @ _aim((-b, 0.08 * b, 0.1 * b), z, 0.7), (-b, 0.08 * b, 0.1 * b)
    ),
    "handheld_vertical": lambda b, z: _from_centre(
        _turn(0.7, -0.8, 1.5) @ _aim((0.1 * b, -b, 0.1 * b), z, 0.7), (0.1 * b, -b, 0.1 * b)
    ),
    "converging": _converging,  # two and a half baselines apart, both looking at the subject
    "turned": lambda b, z: _from_centre(_turn(z=-90) @ _aim((b, 0.05 * b, 0), z, 0.7), (b, 0.05 * b, 0)),  # upright
    "forward": lambda b, z: _from_centre(_turn(0.5, -0.4, 0.8), (0.15 * b, 0.08 * b, 2 * b)),  # epipole in the picture
    "rotation": lambda b, z: _from_centre(_turn(1.5, -5, 2), (0, 0, 0)),  # the camera turns on the spot
}


# ------------------------------------------------------------------------------------------------------------- scenes

RECTANGLE, ELLIPSOID, BOX, FRUSTUM, DISC = range(5)  # as in raycast
PLAIN, MOTTLED, WOOD, WALL, BANDS, FRUIT, GLOBE, COVER, WEAVE, DOTS, CHECKS = range(11)


def _paint(kind: int, colours: str, args=(), *, shine=0.0, gloss=30.0, seed=0) -> tuple:
    """A row of the paint table. colours: up to four sRGB hex colours, "c08040 ffffff ...", the last one repeated."""
    rgb = [np.frombuffer(bytes.fromhex(c), np.uint8) / 255 for c in colours.split()]
    rgb += [rgb[-1]] * (4 - len(rgb))
    v = np.concatenate(rgb)
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    return (float(kind), *linear.tolist(), shine, gloss, float(seed), *map(float, args))


def _mottled(colours: str, cell: float, *, seed: int, contrast=1.0, grain=0.5) -> tuple:
    return _paint(MOTTLED, colours, (cell, 0.75, contrast, grain), seed=seed)


def _solid(kind, centre, size, paint, *, turn=(0, 0, 0), shape=(), axes=None, texture=(0.0, 0.0, 0.0)) -> Solid:
    """turn: rotation vector, degrees, of the solid in the scene (before `axes`, its rows at rest)."""
    rest = np.eye(3) if axes is None else np.asarray(axes, dtype=float)
    return Solid(kind, tuple(centre), tuple(size), paint, rest @ _turn(*turn).T, tuple(shape), tuple(texture))


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
    wall = _solid(RECTANGLE, (0, 0, 2.4), (WIDE, WIDE, 1), _mottled(EARTH, 0.2, seed=1), turn=(4, -18, 0))
    return Scene(
        ((wall,), *((_solid(RECTANGLE, c, (*s, 1), _mottled(p, 0.12, seed=i), turn=r),) for c, s, r, p, i in cards))
    )


def sphere() -> Scene:
    """A ball of radius 0.35 m at (0.05, 0.02, 1.5) before a wall at z = 2.2."""
    wall = _solid(RECTANGLE, (0, 0, 2.2), (WIDE, WIDE, 1), _mottled(SLATE, 0.2, seed=1))
    ball = _solid(ELLIPSOID, (0.05, 0.02, 1.5), (0.35,) * 3, _mottled(BRICK, 0.12, seed=2), shape=(-1, 1))
    return Scene(((wall,), (ball,)), target=(0, 0, 1.8))


def bars() -> Scene:
    """Upright round bars 12 to 30 mm thick, two slanted ones and a lath, before a wall at z = 2."""
    wall = _solid(RECTANGLE, (0, 0, 2.0), (WIDE, WIDE, 1), _mottled(FOREST, 0.18, seed=1))
    things = [(wall,)]
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
        paint = _mottled((BRICK, EARTH, SLATE)[i % 3], 0.05, seed=i + 2)
        size = (radius, radius, 1.2)
        things.append((_solid(FRUSTUM, (x, 0, z), size, paint, turn=(0, 0, lean), axes=UPRIGHT, shape=(1, 1, 3)),))
    lath = _solid(BOX, (0, 0.24, 1.5), (1.6, 0.02, 0.01), _mottled(BRICK, 0.06, seed=11), turn=(0, 0, 4))
    return Scene((*things, (lath,)), target=(0, 0, 1.6))


def plane() -> Scene:
    """Degenerate: one slanted plane fills both photos, which determines no epipolar geometry of its own."""
    wall = _solid(RECTANGLE, (0, 0, 1.8), (WIDE, WIDE, 1), _mottled(EARTH, 0.15, seed=1), turn=(-12, 20, 0))
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
    R: np.ndarray | None = None, t=(-0.1, -0.06, 0.6), *, columns: int = 9, rows: int = 6, square: float = 0.025
) -> Scene:
    """A chessboard of columns x rows inner corners before a grey wall, the first square dark, a white border around.

    R (3,3), t (3,) m: X1 = R X + t takes the corners (j square, i square, 0) to camera 1, as those of
    `chessboard.Board`.  The rig is the same wherever the board is: two cameras 12 cm apart, held by hand.
    """
    R = np.eye(3) if R is None else np.asarray(R, dtype=float)
    middle = np.array([columns - 1, rows - 1, 0]) * square / 2
    half = (columns + 2.2) * square / 2, (rows + 2.2) * square / 2, 1
    paint = _paint(CHECKS, "f4f2ec 1c1c1e", (square, columns + 1, rows + 1))
    board = _solid(RECTANGLE, R @ middle + t, half, paint, axes=R.T, texture=middle)
    wall = _solid(RECTANGLE, (0, 0, 2.0), (WIDE, WIDE, 1), _paint(PLAIN, "7c8a80"))
    return Scene(((wall,), (board,)), target=(0, 0, 0.6), pose="handheld")


def still_life() -> Scene:
    """The demo: fruit, a vase, books, a mug and a globe on a wooden table before a papered wall, photographed by hand.

    Table top at y = 0, wall at z = 0.52. Gloss is small but not none: highlights move a little with the camera.
    """
    wood = _paint(WOOD, "b5824f 8f5c31 5d3a1e", (0.145, 0.011), shine=0.05, gloss=25, seed=3)
    paper = _paint(WALL, "cfc9b4 8fa58c b9705f e0b659", (0.21, 0.25, 0.16), seed=5)
    plaster = _paint(MOTTLED, "cfc8bb c2baac d8d2c6 b8b0a2", (0.3, 0.7, 1.0, 0.3), seed=7)
    globe = _paint(GLOBE, "3f78a8 a8b56c b98a55 ece9df", (0.125, 24), shine=0.25, gloss=60, seed=12)
    brass = _paint(MOTTLED, "a07c3c 7d5c28 c9a45c c9a45c", (0.03, 0.7, 0.7, 0.4), shine=0.3, gloss=40, seed=8)
    glaze = _paint(
        BANDS, "d8d2c2 2f5d86 a5482f 2b3d55", (0.24, 0.155, 0.055, 0.011, 0.028, 12, 0.35), shine=0.2, gloss=70, seed=9
    )
    dotted = _paint(DOTS, "e9e2d0 c2493d 2f6f74 e0a33a", (0.026, 0.0075, 0.14), shine=0.2, gloss=70, seed=4)
    bowl = _paint(
        BANDS,
        "6f8f8a e4dcc4 d9b36a e4dcc4",
        (0.078, 0.045, 0.016, 0.006, 0.012, 18, 0.4),
        shine=0.15,
        gloss=50,
        seed=14,
    )
    coffee = _paint(MOTTLED, "2e1a10 24130b 4a2c1a 3a2214", (0.03, 0.6, 1.0, 0.2), shine=0.1, gloss=90, seed=2)
    cloth = _paint(WEAVE, "e6dfd0 55749b 2c3f5e", (0.036, 0.003), seed=6)
    twig = _paint(MOTTLED, "6b4f33 4b3623 8a6a48 8a6a48", (0.01, 0.7, 1.0, 0.5), seed=3)
    things = [
        (_solid(BOX, (0, 0, 0), (3.0, 3.0, 3.0), plaster),),
        (_solid(RECTANGLE, (0, -1.0, 0.52), (3.0, 2.0, 1.0), paper),),
        (_solid(BOX, (0, 0.02, -0.02), (0.9, 0.54, 0.02), wood, axes=UPRIGHT),),
        (_solid(BOX, (0.2, -0.0012, -0.1), (0.21, 0.165, 0.0012), cloth, turn=(0, 24, 0), axes=UPRIGHT),),
    ]
    # globe on a turned foot, its axis leaning
    c = np.array([-0.34, -0.222, 0.2])
    things.append(_ball(c, (0.125,) * 3, globe, (8, 40, 23)))
    things.append(
        _lathe((-0.34, 0, 0.2), brass, _profile("74 0, 74 0, 75 8, 62 18, 28 30, 13 50, 17 68, 11 84, 12 100"))
    )
    # vase with twigs
    things.append(
        _lathe(
            (0.03, 0, 0.27),
            glaze,
            _profile(
                "45 0, 45 0, 50 4, 66 50, 85 110, 88 160, 70 215, 42 255, "
                "34 280, 39 305, 52 322, 49 325, 35 305, 29 280, 30 240"
            ),
        )
    )
    for i, (dx, dz, h, bend) in enumerate(
        [
            (-0.13, 0.02, 0.2, 0.3),
            (-0.05, -0.03, 0.25, -0.2),
            (0.03, 0.03, 0.28, 0.2),
            (0.11, -0.02, 0.21, -0.3),
            (0.17, 0.03, 0.13, 0.5),
        ]
    ):
        foot, tip = np.array([0.03 + 0.1 * dx, -0.29, 0.27 + 0.1 * dz]), np.array([0.03 + dx, -0.31 - h, 0.27 + dz])
        along = np.linspace(0, 1, 7)[:, None]
        path = foot + (tip - foot) * along + np.array([bend * 0.05, 0, 0.01]) * np.sin(np.pi * along)
        things.append(_rod(path, 0.0028, twig))
        for k, s in enumerate((1.0, 0.8, 0.62)):
            berry = _paint(
                MOTTLED,
                ("c8452e 8f2a20 e2783f e8a24c", "d98a34 b8641f efb65e f2cf86")[i % 2],
                (0.012, 0.7, 1.0, 0.4),
                shine=0.1,
                gloss=30,
                seed=20 + 3 * i + k,
            )
            j = s * 6
            at = path[int(j)] + (path[min(int(j) + 1, 6)] - path[int(j)]) * (j - int(j))
            at = at + np.array([0.014, 0, -0.008]) * (0 if k == 0 else (-1) ** k)
            r = (0.021, 0.016, 0.014)[k]
            things.append(_ball(at, (r, r, 1.25 * r), berry, (15, 0, 25 * (-1) ** k)))
    # books, an apple on them
    y = 0.0
    for thick, half, turn, colours, seed in [
        (0.019, (0.098, 0.14), 9, "7d2f2f e8d7b0 d9b98a efe8d8", 1),
        (0.014, (0.088, 0.125), -6, "2f4f5f d8c7a0 8fb0a8 efe8d8", 2),
        (0.011, (0.078, 0.108), 17, "c79a3e 4a3524 e9d9a8 efe8d8", 3),
    ]:
        y -= thick
        cover = _paint(COVER, colours, (1,), shine=0.04, gloss=20, seed=30 + seed)
        things.append((_solid(BOX, (0.37, y, 0.24), (*half, thick), cover, turn=(0, turn, 0), axes=SPINE),))
        y -= thick
    things += _apple((0.375, y, 0.225), 0.041, "9db44a c23a28 7a8a35 efe0a8", 41, (0, 0, 6))
    # mug with coffee
    c = np.array([-0.13, 0, -0.06])
    things.append(
        _lathe(
            c, dotted, _profile("36 0, 36 0, 40 4, 43 30, 43 85, 43.5 94, 42 95.5, 39.5 93, 38.5 80, 38.5 30, 30 12")
        )
    )
    things.append((_solid(DISC, c + [0, -0.08, 0], (0.0387, 0.0387, 1), coffee, axes=UPRIGHT),))
    turn = np.linspace(-1.45, 1.45, 13)
    out = (
        c
        + np.array([-0.80, 0, -0.60]) * (0.04 + 0.03 * np.cos(turn))[:, None]
        + np.array([0, 1, 0]) * (0.031 * np.sin(turn) - 0.049)[:, None]
    )
    things.append(_rod(out, 0.0058, dotted))
    # bowl of fruit on the cloth
    c = np.array([0.2, -0.0024, -0.1])
    things.append(
        _lathe(
            c,
            bowl,
            _profile("50 0, 50 0, 53 4, 50 10, 75 22, 108 52, 124 88, 122.5 91.5, 120 88, 103 55, 70 28, 30 20"),
        )
    )
    orange = _paint(MOTTLED, "df8423 c76a16 eda244 f0b766", (0.006, 0.8, 0.8, 0.35), shine=0.06, gloss=20, seed=51)
    lemon = _paint(MOTTLED, "e3c437 cfa926 efd868 f3e390", (0.007, 0.8, 0.7, 0.35), shine=0.06, gloss=20, seed=52)
    things.append(_ball(c + [-0.048, -0.078, 0.025], (0.041, 0.041, 0.039), orange))
    things.append(_ball(c + [0.012, -0.072, -0.052], (0.038, 0.038, 0.037), orange, (40, 0, 50)))
    things += _apple(c + [0.052, -0.055, 0.032], 0.04, "b7462e 8d2018 c9a04a efd79a", 43, (-10, 0, 14))
    things += _pear(c + [-0.01, -0.082, 0.028], "b9b04a 94803a d9c46a 7a5c2c", 44, (-24, 0, -20))
    # before the bowl: a lemon, a wooden cube, a striped ball, a pencil
    things.append(
        _lathe(
            (-0.315, -0.027, -0.155),
            lemon,
            _profile("0 -43, 6 -41, 11 -36, 22 -26, 27.5 0, 22 26, 11 36, 6 41, 0 43"),
            turn=(0, 30, 88),
        )
    )
    ball = _paint(
        BANDS,
        "dfd8c4 2f7f86 d2632f e2b03e",
        (0.0, 0.022, -0.022, 0.009, 0.006, 10, 0.25),
        shine=0.15,
        gloss=50,
        seed=61,
    )
    things.append(_ball((-0.44, -0.045, 0.0), (0.045,) * 3, ball, (20, 30, 40)))
    cube = _paint(COVER, "c9a06a 5a3a22 b0452f 3b6a8a", (0,), seed=71)
    things.append((_solid(BOX, (-0.005, -0.026, -0.235), (0.026,) * 3, cube, turn=(0, 32, 0), axes=UPRIGHT),))
    pencil = _paint(MOTTLED, "c8a53a b58f2a d9bc5c 8a6a1e", (0.008, 0.7, 0.8, 0.4), shine=0.1, seed=81)
    tip = _paint(MOTTLED, "d9b98c c8a270 e6cfa8 e6cfa8", (0.004, 0.7, 0.8, 0.3), seed=82)
    a, b = np.array([-0.27, -0.0042, -0.275]), np.array([-0.105, -0.0042, -0.215])
    things.append((*_rod(np.stack([a, b]), 0.0042, pencil), _segment(b, b + (b - a) * 0.11, 0.0042, 0.0006, tip)))
    # a framed picture on the wall
    picture = _paint(MOTTLED, "8fb0c0 6f8f6a d9c48a b5704a", (0.14, 0.6, 1.0, 0.35), seed=91)
    frame = _paint(WOOD, "6b4a2c 4a3018 33200f", (0.05, 0.008), seed=92)
    for dx, dy, wx, wy in (
        (0, -0.145, 0.2, 0.013),
        (0, 0.145, 0.2, 0.013),
        (-0.187, 0, 0.013, 0.132),
        (0.187, 0, 0.013, 0.132),
    ):
        things.append((_solid(BOX, (0.36 + dx, -0.52 + dy, 0.508), (wx, wy, 0.012), frame),))
    things.append((_solid(RECTANGLE, (0.36, -0.52, 0.514), (0.18, 0.14, 1), picture),))
    return Scene(
        tuple(things),
        eye=(-0.07, -0.60, -1.15),
        target=(0.0, -0.18, 0.13),
        baseline=0.16,
        pose="handheld",
        lamp=((-1.15, -1.35, -0.85), 0.14, 0.95),
        sky=(0.42, 0.45),
        film=True,
    )


def _ball(centre, size, paint, turn=(0, 0, 0)) -> tuple[Solid, ...]:
    return (_solid(ELLIPSOID, centre, size, paint, turn=turn, axes=UPRIGHT, shape=(-1, 1)),)


def _profile(text: str, unit: float = 1e-3) -> np.ndarray:
    """(N,2) radius and height of points from "r h, r h, ...", in mm."""
    return unit * np.array([p.split() for p in text.split(",")], dtype=float)


def _lathe(foot, paint, profile, *, turn=(0, 0, 0), parts: int = 4) -> tuple[Solid, ...]:
    """A body turned on a lathe: frusta along a Catmull-Rom curve through `profile`, (radius, height) from the foot."""
    p = np.array([profile[0], *profile, profile[-1]], dtype=float)
    s = np.arange(parts) / parts
    m = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]])
    spans = np.stack([p[i : i + 4] for i in range(len(p) - 3)])
    curve = np.concatenate([np.stack([s**0, s, s**2, s**3], 1) @ m @ span for span in spans] + [p[-1:]])
    step = np.linalg.norm(np.diff(curve, axis=0), axis=1) > 1e-7
    curve = curve[np.concatenate([[True], step])]
    curve[:, 0] = np.maximum(curve[:, 0], 1e-5)
    tangent = np.gradient(curve, axis=0)
    up = np.unwrap(np.arctan2(-tangent[:, 0], tangent[:, 1]))
    axes = np.array(UPRIGHT, dtype=float) @ _turn(*turn).T
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


def _segment(a, b, ra: float, rb: float, paint) -> Solid:
    """A frustum from a to b with a lid at either end."""
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


def _rod(path: np.ndarray, radius: float, paint) -> tuple[Solid, ...]:
    """Round segments along a path (N,3), balls at the bends."""
    segments = [_segment(a, b, radius, radius, paint) for a, b in zip(path[:-1], path[1:], strict=True)]
    return (*segments, *(_solid(ELLIPSOID, c, (radius,) * 3, paint, shape=(-1, 1)) for c in path[1:-1]))


def _apple(foot, radius: float, colours: str, seed: int, turn) -> list[tuple[Solid, ...]]:
    skin = _paint(FRUIT, colours, (0.9 * radius, 2.6, 1.3, 0.5), shine=0.16, gloss=35, seed=seed)
    stalk = _paint(MOTTLED, "5a3f26 3d2a18 7a5a38 7a5a38", (0.004, 0.7, 1.0, 0.3), seed=seed)
    profile = _profile(
        "0 -0.68, 0.14 -0.76, 0.36 -0.84, 0.62 -0.74, 0.88 -0.34, 1 0.12, "
        "0.92 0.5, 0.7 0.77, 0.42 0.82, 0.2 0.72, 0 0.52",
        unit=1.0,
    )
    up = np.array(UPRIGHT[2]) @ _turn(*turn).T
    middle = np.asarray(foot, dtype=float) + 0.83 * radius * np.array(UPRIGHT[2])
    stem = middle + np.array([[0.5], [0.8], [1.12]]) * radius * up + np.array([[0, 0, 0], [0.002, 0, 0], [0.008, 0, 0]])
    return [_lathe(middle, skin, profile * radius, turn=turn), _rod(stem, 0.0016, stalk)]


def _pear(middle, colours: str, seed: int, turn) -> list[tuple[Solid, ...]]:
    skin = _paint(FRUIT, colours, (0.07, 3.0, 1.0, 0.9), shine=0.08, gloss=25, seed=seed)
    stalk = _paint(MOTTLED, "5a3f26 3d2a18 7a5a38 7a5a38", (0.004, 0.7, 1.0, 0.3), seed=seed)
    profile = _profile("0 -38, 12 -42, 26 -37, 37 -14, 36 8, 27 32, 19.5 52, 14 64, 6 69, 0 67")
    up = np.array(UPRIGHT[2]) @ _turn(*turn).T
    stem = (
        np.asarray(middle)
        + np.array([[0.064], [0.078], [0.094]]) * up
        + np.array([[0, 0, 0], [0.001, 0, 0], [0.005, 0, 0]])
    )
    return [_lathe(middle, skin, profile, turn=turn), _rod(stem, 0.0015, stalk)]


def forward() -> Scene:
    """The slanted planes, photo 2 taken a step ahead: the epipole lies inside the picture."""
    return replace(slanted(), pose="forward")


def handheld() -> Scene:
    """The slanted planes, photographed by hand."""
    return replace(slanted(), pose="handheld")


SCENES = {
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


def exact_matches(pair: SyntheticPair, n: int, *, noise: float = 0.0, outliers: float = 0.0, seed: int = 0) -> Matches:
    """n random visible pixels of photo 1 and where their surface points fall in photo 2, exact.

    noise: standard deviation in px added to both positions.  outliers: share whose second position is anywhere in
    photo 2.  Order is random, scores are 1. Raises ValueError where fewer than n pixels are visible in both photos.
    """
    y, x = np.nonzero(pair.visible1)
    if len(x) < n:
        raise ValueError(f"{len(x)} pixels are visible in both photos, {n} asked for")
    rng = np.random.default_rng(seed)
    pick = rng.choice(len(x), n, replace=False)
    y, x = y[pick], x[pick]
    x1 = np.stack([x, y], -1).astype(float)
    rig = pair.rig
    d = undistort(x1, rig.cam1.K, rig.cam1.dist)
    X = np.concatenate([d, np.ones((n, 1))], -1) * pair.depth1[y, x][:, None]
    return _spoil(x1, project(X, rig.cam2.K, rig.R, rig.t, rig.cam2.dist), rig.cam2.size, noise, outliers, rng)


def _spoil(x1, x2, size, noise, outliers, rng) -> Matches:
    n = len(x1)
    if noise > 0:
        x1, x2 = x1 + rng.normal(0, noise, x1.shape), x2 + rng.normal(0, noise, x2.shape)
    wrong = rng.permutation(n)[: round(outliers * n)]
    x2 = x2.copy()
    x2[wrong] = rng.uniform(-0.5, np.array(size) - 0.5, (len(wrong), 2))
    return Matches(x1, x2, np.ones(n, np.float32))


# Camera 2's centre and turn (degrees) of `random_two_view`, before a random jitter; points lie 4 to 10 away.
MOTIONS = {
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
    noise: float = 0.0,
    outliers: float = 0.0,
) -> tuple[Matches, Rig]:
    """n random points seen by two random cameras, without pictures: x_i ~ K (R_i X + t_i), |t| = 1, depths 4 to 10.

    motion: one of `MOTIONS`, to which a random turn of about 2 degrees and a random step of a tenth of the baseline are
    added (no step for "rotation", whose t is 0).  noise, outliers: as in `exact_matches`.
    """
    if motion not in MOTIONS:
        raise ValueError(f"no motion named {motion!r}; there are: {', '.join(MOTIONS)}")
    rng = np.random.default_rng(seed)
    K = np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1.0]])
    centre, turn = (np.array(v, dtype=float) for v in MOTIONS[motion])
    R = rotation_from_vector(np.radians(rng.normal(0, 2, 3))) @ rotation_from_vector(np.radians(turn))
    if np.any(centre):
        centre = centre + rng.normal(0, 0.05 if motion == "forward" else 0.1, 3)
        centre /= np.linalg.norm(centre)
    t = -R @ centre + 0.0
    kept = []
    for _ in range(200):
        x1 = rng.uniform(-0.5, np.array(size) - 0.5, (2 * n + 20, 2))
        d = np.concatenate([(x1 - K[:2, 2]) / focal, np.ones((len(x1), 1))], -1)
        if motion == "planar":
            normal = np.array([0.3, 0.2, -1.0])
            z = -6.0 / (d @ normal)
        else:
            z = rng.uniform(4, 10, len(x1))
        X = d * z[:, None]
        x2 = project(X, K, R, t)
        good = ((X @ R.T + t)[:, 2] > 0.1) & np.all((x2 >= -0.5) & (x2 <= np.array(size) - 0.5), -1)
        kept.append(np.concatenate([x1, x2], 1)[good])
        if sum(map(len, kept)) >= n:
            break
    else:
        raise ValueError(f"too few points are seen by both cameras (focal {focal:g} px, size {size}, {motion})")
    both = np.concatenate(kept)[:n]
    cam = Camera(K, tuple(size), source="given", source_detail="synthetic")
    return _spoil(both[:, :2], both[:, 2:], size, noise, outliers, rng), Rig(cam, cam, R, t, None)


# ------------------------------------------------------------------------------------------------------------ on disk


def write_pair(folder, pair: SyntheticPair, *, suffix: str = ".png", focal_35mm: float | None = None) -> list[Path]:
    """Write a pair with its truth into a folder and name the files.

    left, right (`suffix`: .png, or .jpg in quality 92 with EXIF); rig.json (res, intrinsic, R, T, distCoeffs, unit);
    cameras.json (K, R, t, size of each; X_cam = R X + t, the world is the left camera); depth_left.npy, depth_right.npy
    (z-depth, m); visible_left.png, visible_right.png (255: the other photo sees it too); and where rows correspond
    disp_left.pfm, disp_right.pfm and, for a left photo named first, calib.txt (Middlebury's form, baseline in mm).
    focal_35mm: the 35 mm equivalent for the EXIF; None: from K by the diagonal.
    Raises StereoError("unwritable" | "unknown_format").
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
    if pair.disparity_left is not None and rig.t[0] < 0:
        files.append(_write_text(folder / "calib.txt", _middlebury(pair)))
    return files


def _middlebury(pair: SyntheticPair) -> str:
    rig, d = pair.rig, pair.disparity_left
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
    if path.suffix not in (".png", ".jpg", ".jpeg"):
        raise StereoError("unknown_format", f"{path}: photos are written as .png or .jpg.", "Choose one of them.")
    if path.suffix == ".png":
        return _write_picture(path, photo.pixels)
    from PIL import Image
    from PIL.TiffImagePlugin import IFDRational

    if focal_35mm is None:
        focal_35mm = cam.focal * DIAGONAL_35MM / float(np.hypot(*cam.size))
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112], exif[0x0131] = "stereo3d", "Synthetic", 1, "stereo3d synthetic"
    details = exif.get_ifd(0x8769)
    details[0x920A] = IFDRational(round(focal_35mm / CROP * 100), 100)  # FocalLength, mm
    details[0xA405] = round(focal_35mm)  # FocalLengthIn35mmFilm
    details[0xA002], details[0xA003] = photo.size
    with replacing(path) as temporary:
        Image.fromarray(photo.pixels).save(temporary, quality=92, subsampling=0, optimize=True, exif=exif)
    return path


DEMO_SIZE = (1400, 1050)


def write_demo(folder) -> list[Path]:
    """Render the demo pair and write it: left.jpg, right.jpg with EXIF, rig.json, cameras.json, depth_left.npz.

    depth_left.npz: key "depth", (H,W) float16 m, true z-depth of left.jpg. Takes a minute or two.
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
