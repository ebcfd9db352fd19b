"""Scenes that one walks or drives into: a corridor, a street, a garden path."""

import numpy as np

from .scene import (
    BRICK,
    EARTH,
    FOREST,
    SLATE,
    UPRIGHT,
    Group,
    Paint,
    Scene,
    Vector,
    ball,
    make_solid,
    mottled,
    paint,
)
from .tables import BOX, FRUSTUM, PLAIN, RECTANGLE

PLASTER = "cfc6b2 a99f8b e6e0d2 8f7f68"
LINO = "6d7a70 55605a 8b978b 9c8a6e"
ASPHALT = "6a6a6c 4f5052 86868a 9a948a"
LEAVES = "4f7038 2c4a22 8aa352 b5a25a"
FOCAL_35MM = 35.0  # mm: the epipoles of the forward poses lie where their names say
SKY_DISTANCE = 5000.0  # m: moves by less than a pixel


def corridor() -> Scene:
    """A corridor 2.4 m wide and 12 m long, with doors, cupboards and boxes along its walls."""
    groups = [
        *_tube((-1.2, 1.2), (-1.15, 1.35), 12.0, (PLASTER, LINO, PLASTER)),
        _box((0, 0.2, 11.96), (0.45, 1.15, 0.05), mottled(BRICK, 0.25, seed=31)),
    ]
    for i, (side, z) in enumerate([(-1, 3.4), (1, 4.6), (-1, 6.8), (1, 8.2), (-1, 10.0)]):
        coat = mottled((FOREST, BRICK, SLATE)[i % 3], 0.3, seed=i + 5)
        groups.append(_box((side * 1.18, 0.3, z), (0.05, 1.05, 0.45), coat))
    for i, (x, z, width, height, depth) in enumerate(
        [
            (0.9, 3.1, 0.3, 0.35, 0.35),
            (-0.92, 5.1, 0.28, 0.9, 0.4),
            (0.95, 6.3, 0.25, 0.6, 0.3),
            (-0.85, 8.4, 0.3, 0.3, 0.3),
        ]
    ):
        coat = mottled((EARTH, SLATE, BRICK, EARTH)[i], 0.15, seed=i + 12)
        groups.append(_box((x, 1.35 - height, z), (width, height, depth), coat, turn=(0, 7 * i - 9, 0)))
    return Scene(
        tuple(groups),
        target=(0, 0, 6.0),
        baseline=0.35,
        focal_35mm=FOCAL_35MM,
        pose="forward",
        lamp=((0.2, -0.9, -1.0), 0.2, 0.7),
        sky=(0.5, 0.0),
    )


def street() -> Scene:
    """A street between facades with windows, cars parked on both sides, houses at its far end, 60 m ahead."""
    road = mottled(ASPHALT, 0.5, seed=1, grain=0.6)
    groups: list[Group] = [
        (make_solid(RECTANGLE, (0, 1.5, 60), (60, 90, 1), road, axes=((1, 0, 0), (0, 0, 1), (0, -1, 0))),),
        (make_solid(RECTANGLE, (0, 0, SKY_DISTANCE), (4e4, 4e4, 1), paint(PLAIN, "b8cbe0")),),
        _box((0, -4, 64), (30, 5.5, 4), mottled(BRICK, 2.5, seed=2)),
    ]
    rng = np.random.default_rng(5)
    for side in (-1, 1):
        z = -2.0
        for i in range(7):
            length, height = rng.uniform(7, 12), rng.uniform(7, 11)
            coat = mottled((BRICK, PLASTER, EARTH, SLATE)[(i + side) % 4], 1.2, seed=40 + 10 * side + i)
            x = side * (6.5 + rng.uniform(0, 0.6) + 2)
            groups.append(_box((x, 1.5 - height / 2, z + length / 2), (2, height / 2, length / 2), coat))
            glass = mottled(SLATE, 0.6, seed=80 + i)
            for dz in np.arange(1.4, length - 1, 2.6):
                for y in np.arange(0.3, 1.5 - height + 1, -2.8):
                    groups.append(_box((x - side * 2.05, y, z + dz), (0.12, 0.75, 0.5), glass))
            z += length
        groups.append(_box((side * 5.4, 1.44, 40), (1.1, 0.08, 45), mottled(PLASTER, 0.4, seed=7 + side)))
        for i, z in enumerate((6.5, 12.5, 19, 27, 37)):
            z = z + (3.0 if side > 0 else 0.0)
            coat = mottled((BRICK, SLATE, FOREST)[(i + side) % 3], 0.5, seed=60 + i + side)
            groups.append(_box((side * 3.3, 0.95, z), (0.85, 0.42, 2.1), coat))
            groups.append(_box((side * 3.3, 0.3, z - 0.1), (0.7, 0.3, 1.1), mottled(SLATE, 0.3, seed=70 + i)))
            if z > 10:
                groups.append(_post((side * 4.7, 1.5, z - 3.5), 0.07, 4.5, mottled(SLATE, 0.2, seed=90 + i)))
    return Scene(
        tuple(groups),
        target=(0, 0, 20.0),
        baseline=0.6,
        focal_35mm=FOCAL_35MM,
        pose="forward",
        lamp=((-15, -40, -30), 1.0, 0.8),
        sky=(0.35, 0.0),
    )


def garden_path() -> Scene:
    """A path of earth between bushes, posts and boxes, a hedge at its end."""
    soil = mottled(EARTH, 0.25, seed=1, grain=0.7)
    groups: list[Group] = [
        (make_solid(RECTANGLE, (0, 1.2, 20), (40, 40, 1), soil, axes=((1, 0, 0), (0, 0, 1), (0, -1, 0))),),
        (make_solid(RECTANGLE, (0, 0, 14.0), (40, 40, 1), mottled(LEAVES, 0.7, seed=2)),),
    ]
    rng = np.random.default_rng(3)
    for i in range(26):
        side = 1 if i % 2 else -1
        z = 2.2 + 0.42 * i
        radius = rng.uniform(0.22, 0.55)
        x = side * (0.75 + radius + rng.uniform(0, 0.9))
        coat = mottled((LEAVES, FOREST, LEAVES, EARTH)[i % 4], 0.16, seed=10 + i, grain=0.8)
        groups.append(ball((x, 1.2 - 0.8 * radius, z), (radius, radius, radius * rng.uniform(0.8, 1.7)), coat))
    for i, (x, z) in enumerate([(-0.8, 3.0), (0.85, 4.2), (-0.8, 5.4), (0.8, 6.8), (-0.85, 8.4), (0.8, 10.0)]):
        groups.append(_post((x, 1.2, z), 0.05, 1.5, mottled(BRICK, 0.08, seed=50 + i)))
    for i, (x, z) in enumerate([(0.5, 7.5), (-0.3, 10.5), (-1.5, 4.6)]):
        size = (0.2, 0.25, 0.2)
        groups.append(_box((x, 0.95, z), size, mottled(SLATE, 0.12, seed=70 + i), turn=(0, 20 * i + 10, 0)))
    return Scene(
        tuple(groups),
        target=(0, 0, 6.0),
        baseline=0.3,
        focal_35mm=FOCAL_35MM,
        pose="forward",
        lamp=((-3, -9, -4), 0.3, 0.8),
        sky=(0.4, 0.0),
    )


def _box(centre: Vector, half: Vector, coat: Paint, turn: Vector = (0, 0, 0)) -> Group:
    """A box with these half sides, m."""
    return (make_solid(BOX, centre, half, coat, turn=turn),)


def _post(foot: Vector, radius: float, height: float, coat: Paint) -> Group:
    """A round post that stands at `foot`."""
    x, y, z = foot
    half = height / 2
    return (make_solid(FRUSTUM, (x, y - half, z), (radius, radius, half), coat, axes=UPRIGHT, shape=(1, 1, 3)),)


def _tube(
    across: tuple[float, float], down: tuple[float, float], length: float, colours: tuple[str, str, str]
) -> list[Group]:
    """Walls, floor, ceiling and far end of a corridor from z = -2; colours of walls, floor and ceiling."""
    (x0, x1), (y0, y1) = across, down
    middle, half = (length - 2) / 2, (length + 2) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    walls, floor, ceiling = colours
    level = ((1, 0, 0), (0, 0, 1), (0, -1, 0))
    side = ((0, 0, 1), (0, 1, 0), (-1, 0, 0))
    tall, wide = (y1 - y0) / 2, (x1 - x0) / 2
    return [
        (make_solid(RECTANGLE, (x0, y, middle), (half, tall, 1), mottled(walls, 0.6, seed=1), axes=side),),
        (make_solid(RECTANGLE, (x1, y, middle), (half, tall, 1), mottled(walls, 0.6, seed=2), axes=side),),
        (make_solid(RECTANGLE, (x, y1, middle), (wide, half, 1), mottled(floor, 0.4, seed=3), axes=level),),
        (make_solid(RECTANGLE, (x, y0, middle), (wide, half, 1), mottled(ceiling, 0.9, seed=4), axes=level),),
        (make_solid(RECTANGLE, (x, y, length), (wide, tall, 1), mottled(walls, 0.5, seed=5)),),
        (make_solid(RECTANGLE, (x, y, -2), (wide, tall, 1), mottled(walls, 0.5, seed=6)),),
    ]
