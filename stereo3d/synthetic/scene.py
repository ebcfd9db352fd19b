"""Solids, paints and scenes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..geometry.rotations import rotation_from_vector
from .tables import (
    AXES,
    BACKGROUND,
    BOUND,
    BOX,
    CENTRE,
    DISC,
    ELLIPSOID,
    FRUSTUM,
    GRADIENT,
    KIND,
    LAMP,
    LAMP_DISTANCE,
    LAMP_RADIUS,
    LAMP_STRENGTH,
    MOTTLED,
    PAINT,
    RECTANGLE,
    REFRACTION,
    SHAPE,
    SIZE,
    SKY_REACH,
    SKY_STRENGTH,
    TEXTURE,
    TRIANGLE,
)

Vector = Sequence[float] | np.ndarray  # three numbers
Paint = tuple[float, ...]  # a row of the table of paints
Group = tuple["Solid", ...]  # solids that one bounding ball culls together
CLEARANCE = 1.000001  # factor on bounding radii, against rounding


@dataclass(frozen=True, eq=False)
class Solid:
    """One solid: points X with u = axes (X - centre) / size on the unit shape.

    Parameters
    ----------
    kind : int
        RECTANGLE, ELLIPSOID, BOX, FRUSTUM, DISC or TRIANGLE of `tables`.
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
    refraction : float
        0: opaque; 1: thin walls of clear glass; above 1: refractive index of the clear matter within.
    gradient : four floats
        m, of a triangle: texture coordinates by unit coordinates, row by row.
    """

    kind: int
    centre: tuple
    size: tuple
    paint: Paint
    axes: np.ndarray
    shape: tuple = ()
    texture: tuple = (0.0, 0.0, 0.0)
    refraction: float = 0.0
    gradient: tuple = (0.0, 0.0, 0.0, 0.0)


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
    samples : int
        Points of lamp and sky that each ray samples, times the option of `render`: soft shadows need more.
    background : tuple, optional
        Paint of kind SKY, infinitely far away, behind all solids; without it, black.
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
    background: Paint | None = None
    samples: int = 1


def pack_light(scene: Scene) -> np.ndarray:
    """(16,): the entries of the light."""
    light = np.zeros(16)
    light[LAMP : LAMP + 3], light[LAMP_RADIUS], light[LAMP_STRENGTH] = scene.lamp
    light[SKY_STRENGTH], light[SKY_REACH] = scene.sky
    light[BACKGROUND] = -1 if scene.background is None else _scene_paints(scene).index(scene.background)
    light[LAMP_DISTANCE] = np.linalg.norm(np.subtract(scene.lamp[0], scene.target))
    return light


def pack_tables(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The kernels' tables: solids (N,36), groups (G,6), paints (P,32)."""
    paints = _scene_paints(scene)
    solids, groups = [], []
    for group in scene.groups:
        centres = np.array([solid.centre for solid in group], dtype=float)
        middle = centres.mean(0)
        radius = 0.0
        for solid, centre in zip(group, centres, strict=True):
            row = np.zeros(36)
            row[KIND], row[AXES : AXES + 9], row[CENTRE : CENTRE + 3] = solid.kind, np.ravel(solid.axes), centre
            row[SIZE : SIZE + 3] = solid.size
            row[SHAPE : SHAPE + len(solid.shape)] = solid.shape
            row[PAINT] = paints.index(solid.paint)
            row[TEXTURE : TEXTURE + 3] = solid.texture
            row[BOUND] = _bounding_radius(solid) ** 2
            row[REFRACTION], row[GRADIENT : GRADIENT + 4] = solid.refraction, solid.gradient
            solids.append(row)
            radius = max(radius, np.linalg.norm(centre - middle) + _bounding_radius(solid))
        groups.append([len(solids) - len(group), len(solids), *middle, radius**2])
    table = np.zeros((len(paints), 32))
    for row, values in zip(table, paints, strict=True):
        row[: len(values)] = values
    return np.array(solids), np.array(groups), table


def _scene_paints(scene: Scene) -> list[Paint]:
    """The distinct paints of the solids and the background, by rows of the table."""
    background = () if scene.background is None else (scene.background,)
    return list(dict.fromkeys([*(solid.paint for group in scene.groups for solid in group), *background]))


def _bounding_radius(solid: Solid) -> float:
    """Radius, m, of a ball about the centre that holds the solid."""
    x, y, z = solid.size
    if solid.kind == TRIANGLE:
        corners = np.linalg.inv(solid.axes)[:, :2] @ (np.array([[0, 1, 0], [0, 0, 1]]) - 1 / 3)
        return CLEARANCE * float(np.linalg.norm(corners, axis=0).max())
    if solid.kind == FRUSTUM:
        return CLEARANCE * float(np.hypot(max(x, y) * max(solid.shape[:2]), z))
    radius = {RECTANGLE: np.hypot(x, y), ELLIPSOID: max(x, y, z), DISC: max(x, y), BOX: np.sqrt(x * x + y * y + z * z)}
    return CLEARANCE * float(radius[solid.kind])


def rotation_deg(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """R (3,3) of a rotation vector in degrees."""
    return rotation_from_vector(np.radians([x, y, z]))


def paint(
    kind: int, colours: str, args: Sequence[float] = (), *, shine: float = 0.0, gloss: float = 30.0, seed: int = 0
) -> Paint:
    """A row of the table of paints: kind, colours, shine, gloss, seed, arguments.

    Parameters
    ----------
    kind : int
        PLAIN to CHECKS of `tables`.
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


def clear(*solids: Solid, index: float) -> Group:
    """The solids made of clear matter of this refractive index; 1: of thin walls, which bend no ray."""
    return tuple(replace(solid, refraction=index) for solid in solids)


EARTH = "8a7050 c9b48c 5b4a3a e8dfc8"
FOREST = "5e7a4a 2f4a35 c8cf9a 8d6a3d"
BRICK = "a4593f 6b3226 d9a07a e5d8c4"
SLATE = "7d8794 4a5361 b9c4cf d8cbb0"
UPRIGHT = ((1, 0, 0), (0, 0, 1), (0, -1, 0))  # axes of a solid whose z points up in the scene
SPINE = ((0, 0, 1), (-1, 0, 0), (0, -1, 0))  # axes of a book whose spine faces the camera
WIDE = 40.0  # m, half the side of a wall that no ray misses


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
