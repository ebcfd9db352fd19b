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
from dataclasses import replace
from pathlib import Path

import numpy as np

from .errors import StereoError
from .files import replacing, write_map
from .geometry import project, rotation_from_vector, undistort
from .records import Camera, Matches, Photo, Rig, record

DIAGONAL_35MM = 43.27  # mm, of a 36 x 24 mm frame: f_px = f_35mm diagonal_px / 43.27
STRIP = 60_000  # rays cast at a time and thread
CROP = 4.6  # of the camera that the EXIF speaks of: 35 mm equivalent over true focal length, as in a compact camera


@record
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


@record
class Scene:
    """Solids in the scene's own frame (y down), the light, and how it is photographed.

    things: groups of solids, each culled by one bounding sphere.  eye, target: camera 1's centre and the point it looks
    at (the image's y axis is as near to the scene's y axis as can be).  baseline: between the two camera centres, m.
    focal_35mm: 35 mm equivalent focal length.  pose: one of `POSES`.  lamp: centre, radius, strength where the target
    lies.  sky: strength and reach (m) of what darkens it, 0: nothing does.  film: False = plain sRGB, True = with a
    shoulder, so that highlights do not clip.
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


@record
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
    cam1 = Camera(_camera_matrix(scene, size) if K is None else np.array(K, dtype=float), tuple(size),
                  np.asarray(dist, dtype=float), "given", "synthetic")  # fmt: skip
    away = np.linalg.norm(np.subtract(scene.target, scene.eye))
    R, t = POSES[pose](scene.baseline if baseline is None else float(baseline), float(away))
    cam2 = camera2
    if cam2 is None:
        cam2 = cam1 if pose != "turned" else Camera(_turned_K(cam1.K, size), (size[1], size[0]), cam1.dist, "given",
                                                    "synthetic")  # fmt: skip
    if min(*cam1.size, *cam2.size) < 1 or min(cam1.focal, cam2.focal) <= 0:
        raise ValueError(f"cameras of size {cam1.size}, {cam2.size} and focal {cam1.focal:g}, {cam2.focal:g} px")
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
    f = scene.focal_35mm * np.hypot(*size) / DIAGONAL_35MM
    return np.array([[f, 0, (size[0] - 1) / 2], [0, f, (size[1] - 1) / 2], [0, 0, 1.0]])


def _turned_K(K: np.ndarray, size) -> np.ndarray:
    """K of the same camera held upright: pixel (x, y) of the turned picture is (y, H - 1 - x) of the one as shot."""
    return np.array([[K[1, 1], 0, size[1] - 1 - K[1, 2]], [0, K[0, 0], K[0, 2]], [0, 0, 1.0]])


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
    """Linear light to sRGB in [0, 1]; film: what is above 0.6 is bent towards 1 rather than cut."""
    v = linear
    if film:
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
            solids.append(row)
            widest = max(1.0, *s.shape[:2]) if s.kind == FRUSTUM else 1.0
            reach = max(reach, np.linalg.norm(c - middle) + np.linalg.norm(np.multiply(s.size, (widest, widest, 1.0))))
        groups.append([len(solids) - len(thing), len(solids), *middle, reach**2])
    table = np.zeros((len(paints), 32))
    for row, p in zip(table, paints, strict=True):
        row[: len(p)] = p
    return np.array(solids), np.array(groups), table


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
    "handheld_swapped": lambda b, z: _from_centre(_turn(-0.9, 0.5, 1.6) @ _aim((-b, 0.08 * b, 0.1 * b), z, 0.7),
                                                  (-b, 0.08 * b, 0.1 * b)),  # fmt: skip
    "handheld_vertical": lambda b, z: _from_centre(_turn(0.7, -0.8, 1.5) @ _aim((0.1 * b, -b, 0.1 * b), z, 0.7),
                                                   (0.1 * b, -b, 0.1 * b)),  # fmt: skip
    "converging": _converging,  # two and a half baselines apart, both looking at the subject
    "turned": lambda b, z: _from_centre(_turn(z=-90) @ _aim((b, 0.05 * b, 0), z, 0.7), (b, 0.05 * b, 0)),  # upright
    "forward": lambda b, z: _from_centre(_turn(0.5, -0.4, 0.8), (0.15 * b, 0.08 * b, 2 * b)),  # epipole in the picture
    "rotation": lambda b, z: _from_centre(_turn(1.5, -5, 2), (0, 0, 0)),  # the camera turns on the spot
}


# ------------------------------------------------------------------------------------------------------------- scenes

RECTANGLE, ELLIPSOID, BOX, FRUSTUM, DISC = range(5)  # as in raycast
PLAIN, MOTTLED, WOOD, WALL, BANDS, FRUIT, GLOBE, COVER, WEAVE, DOTS = range(10)


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
    return Scene(((wall,), *(
        (_solid(RECTANGLE, c, (*s, 1), _mottled(p, 0.12, seed=i), turn=r),) for c, s, r, p, i in cards)))  # fmt: skip


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
        [(-0.52, 1.30, 0.015, 0), (-0.30, 1.18, 0.010, 0), (-0.12, 1.38, 0.008, 25), (0.06, 1.22, 0.006, 0),
         (0.22, 1.34, 0.012, -18), (0.38, 1.16, 0.009, 0), (0.55, 1.28, 0.014, 0)]):  # fmt: skip
        paint = _mottled((BRICK, EARTH, SLATE)[i % 3], 0.05, seed=i + 2)
        things.append((_solid(FRUSTUM, (x, 0, z), (radius, radius, 1.2), paint, turn=(0, 0, lean),
                              axes=[[1, 0, 0], [0, 0, 1], [0, -1, 0]], shape=(1, 1, 3)),))  # fmt: skip
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
    "handheld": handheld,
    "vertical": vertical,
    "swapped": swapped,
    "forward": forward,
    "plane": plane,
    "rotation": rotation,
}


# ------------------------------------------------------------------------------------------------- matches and cameras


def exact_matches(
    pair: SyntheticPair, n: int, *, noise: float = 0.0, outliers: float = 0.0, seed: int = 0
) -> Matches:
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
        f"cam0=[{'; '.join(rows[0])}]\ncam1=[{'; '.join(rows[1])}]\ndoffs={float(rig.cam2.K[0, 2] - rig.cam1.K[0, 2])}\n"
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
        name: {"K": cam.K.tolist(), "R": R.tolist(), "t": t.tolist(), "size": list(map(int, cam.size))}
        for name, cam, R, t in (("left", rig.cam1, np.eye(3), np.zeros(3)), ("right", rig.cam2, rig.R, rig.t))
    }
    note = "x ~ K (R X + t), unit metres, the world is the left camera; exact, from the scene"
    return [
        _write_text(folder / "rig.json", json.dumps(rig_json, indent=1) + "\n"),
        _write_text(folder / "cameras.json", json.dumps({"note": note, "cameras": cameras}, indent=1) + "\n"),
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
