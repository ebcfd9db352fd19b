"""A potted plant and a succulent on a table beside a curtain."""

import numpy as np

from .scene import UPRIGHT, Group, Scene, Vector, lathe, make_solid, mm_profile, paint, rod
from .sheets import leaf, sheet
from .tables import BOX, COVER, DISC, ELLIPSOID, LEAF, MOTTLED, RECTANGLE, WEAVE, WOOD

TERRACOTTA = "b0653f a45a38 b97048 c58a66"
SOIL = "3b2c20 241a12 54402d 6b563e"


def plant() -> Scene:
    """A plant in a clay pot, a succulent, a book and a curtain: thin leaves that hide one another, under soft light.

    Table top at y = 0, wall at z = 0.55.
    """
    groups = [
        *_room(),
        *_curtain(),
        *_pot((-0.06, 0, 0.12)),
        *_leaves((-0.06, -0.162, 0.12)),
        *_succulent((0.31, 0, 0.12)),
    ]
    return Scene(
        tuple(groups),
        eye=(0.08, -0.5, -0.92),
        target=(0.04, -0.19, 0.13),
        baseline=0.12,
        pose="handheld",
        lamp=((-1.5, -1.1, -0.55), 0.32, 1.0),
        sky=(0.40, 0.4),
        film=True,
        samples=2,
    )


def _room() -> list[Group]:
    """Wall, table top, a book on it."""
    plaster = paint(MOTTLED, "d9d3c4 cfc8b8 e0dbce c4bcaa", (0.16, 0.8, 0.9, 0.2), seed=7)
    wood = paint(WOOD, "8d5f3a 6b4426 3f2614", (0.17, 0.013), shine=0.05, gloss=25, seed=13)
    cover = paint(COVER, "3c5a52 e0d3b0 c79a5a efe8d8", (1,), shine=0.04, gloss=20, seed=34)
    return [
        (make_solid(BOX, (0, 0, 0), (3.0, 3.0, 3.0), plaster),),
        (make_solid(RECTANGLE, (0, -1.0, 0.55), (3.0, 2.0, 1.0), plaster),),
        (make_solid(BOX, (0, 0.02, 0.0), (0.95, 0.54, 0.02), wood, axes=UPRIGHT),),
        (make_solid(BOX, (0.22, -0.0125, -0.16), (0.075, 0.105, 0.0125), cover, turn=(0, -58, 0), axes=UPRIGHT),),
    ]


def _curtain() -> list[Group]:
    """Linen in upright folds before the wall, at the left."""
    linen = paint(WEAVE, "d8cdb4 c2b08c a9946b", (0.05, 0.0035), seed=21)
    s, y = np.linspace(0, 1, 61)[None], np.linspace(-1.15, 0.06, 19)[:, None]
    fold = 0.028 * np.sin(30 * s + 0.8 * y) + 0.012 * np.sin(71 * s + 2 + 1.1 * y)
    x = -0.86 + 0.42 * s + 0.02 * np.sin(5 * y + 3 * s)
    points = np.stack(np.broadcast_arrays(x, y, 0.46 + fold), -1)
    run = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points[0], axis=0), axis=1))])
    texture = np.stack(np.broadcast_arrays(run[None], y), -1)
    return sheet(points, texture, linen)


def _pot(foot: Vector) -> list[Group]:
    """A clay pot with a rim, on its saucer, filled with soil."""
    clay = paint(MOTTLED, TERRACOTTA, (0.025, 0.85, 0.9, 0.3), seed=31)
    pot = mm_profile(
        "62 6, 64 7, 70 40, 80 100, 86 130, 95 131, 98 136, 98 166, 96 171, 91 172, 88 168, 86 150, 84 140"
    )
    saucer = mm_profile("76 0, 76 0, 84 2, 104 14, 107 17, 104 18, 100 15, 80 7, 10 6")
    at = np.asarray(foot, dtype=float)
    soil = paint(MOTTLED, SOIL, (0.008, 0.85, 1.0, 0.6), seed=33)
    return [
        lathe(at, clay, pot),
        lathe(at, clay, saucer),
        (make_solid(DISC, at + [0, -0.157, 0], (0.09, 0.09, 1), soil, axes=UPRIGHT),),
    ]


def _leaves(foot: Vector) -> list[Group]:
    """Twenty-six stems out of the soil, older ones lower and further out, each with a leaf."""
    stalk = paint(MOTTLED, "6f8a3e 57702e 8fa457 8fa457", (0.02, 0.7, 0.8, 0.3), seed=40)
    blades = [
        paint(LEAF, colours, (0.17, 0.045, 8, 0.12), shine=0.10, gloss=18, seed=41 + i)
        for i, colours in enumerate(
            ("3f7a35 a9c77a 6a9a4a 2f5f2a", "4f8a3c b9d08a 86ac58 3b6c2f", "35692f 9dbb70 5c8a42 274f24")
        )
    ]
    rng = np.random.default_rng(17)
    groups: list[Group] = []
    base = np.asarray(foot, dtype=float)
    count = 26
    for i in range(count):
        age = 1 - i / (count - 1)  # 1: oldest
        turn = 2.39996 * i + rng.normal(0, 0.12)
        out = np.array([np.cos(turn), 0, np.sin(turn)])
        reach, height = 0.035 + 0.13 * age + rng.normal(0, 0.012), 0.10 + 0.26 * (1 - age) ** 0.8 + rng.normal(0, 0.02)
        s = np.linspace(0, 1, 7)[:, None]
        path = base + out * (0.015 + reach * s**1.6) + np.array([0, -1, 0]) * height * (1 - (1 - s) ** 1.7)
        groups.append(rod(path, 0.0022, stalk))
        along = path[-1] - path[-2]
        along = along / np.linalg.norm(along) + 0.9 * out + [0, 0.25 * age, 0]
        up = np.array([0, -1.0, 0]) - 0.35 * out + 0.25 * rng.normal(size=3)
        length = 0.17 * (0.62 + 0.38 * age) * rng.uniform(0.9, 1.1)
        groups += leaf(path[-1], along, up, (length, 0.27 * length), rng.uniform(0.5, 1.2), blades[i % 3])
    return groups


def _succulent(foot: Vector) -> list[Group]:
    """A rosette of thick leaves in a glazed pot."""
    glaze = paint(MOTTLED, "5f7f8c 56747f 6c8b97 9fb2b6", (0.012, 0.8, 0.9, 0.3), shine=0.25, gloss=60, seed=51)
    profile = mm_profile("34 0, 36 2, 47 18, 52 40, 50 56, 48 58, 46 56, 46 50, 40 46")
    at = np.asarray(foot, dtype=float)
    soil = paint(MOTTLED, SOIL, (0.006, 0.85, 1.0, 0.6), seed=53)
    skin = paint(MOTTLED, "86a07c 6d8a6c a9bd92 b98a8a", (0.02, 0.75, 0.9, 0.25), shine=0.05, gloss=20, seed=54)
    groups: list[Group] = [
        lathe(at, glaze, profile),
        (make_solid(DISC, at + [0, -0.05, 0], (0.047, 0.047, 1), soil, axes=UPRIGHT),),
    ]
    for i in range(24):
        turn, tilt = 2.39996 * i, np.radians(8 + 2.9 * i)
        reach = 0.044 - 0.0013 * i
        out = np.array([np.cos(turn) * np.cos(tilt), -np.sin(tilt), np.sin(turn) * np.cos(tilt)])
        middle = at + [0, -0.056, 0] + out * reach * 0.75
        z = out
        x = np.cross(z, [0, 1.0, 0])
        x /= np.linalg.norm(x)
        thick = (0.0135 - 0.0003 * i, 0.0055, reach * 0.62)
        axes = np.stack([x, np.cross(z, x), z])
        groups.append((make_solid(ELLIPSOID, middle, thick, skin, axes=axes, shape=(-1, 1)),))
    return groups
