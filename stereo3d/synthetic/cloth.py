"""A cloth with folds over the edge of a table, and a breakfast on it."""

import numpy as np

from .scene import UPRIGHT, Group, Scene, Vector, ball, lathe, make_solid, mm_profile, paint, rod
from .sheets import sheet
from .tables import BANDS, BOX, ELLIPSOID, FRUIT, MOTTLED, RECTANGLE, WEAVE, WOOD

EDGE_Z = -0.30  # m: the front edge of the table
# Folds that lie on the table: a point on the crest (x, z), its direction in degrees, length, half width, height, m.
CREASES = (
    (-0.34, -0.16, 62, 0.16, 0.016, 0.017),
    (-0.25, -0.20, 75, 0.12, 0.014, 0.013),
    (-0.02, -0.21, 20, 0.15, 0.013, 0.012),
    (0.30, -0.19, -48, 0.17, 0.018, 0.019),
    (0.38, -0.08, -30, 0.12, 0.014, 0.014),
    (-0.40, 0.05, 25, 0.13, 0.014, 0.013),
)


def cloth() -> Scene:
    """A checked cloth in folds over a table's edge, with a loaf, a jug, grapes and eggs.

    Table top at y = 0, wall of boards at z = 0.6.
    """
    groups = [*_room(), *_tablecloth(), *_loaf((-0.17, 0, 0.08)), *_jug((0.13, -0.002, 0.13)), *_grapes(), *_eggs()]
    return Scene(
        tuple(groups),
        eye=(0.03, -0.50, -1.12),
        target=(0.0, -0.05, -0.02),
        baseline=0.12,
        pose="handheld",
        lamp=((-1.3, -1.0, -0.5), 0.28, 1.0),
        sky=(0.40, 0.35),
        film=True,
        samples=2,
    )


def _room() -> list[Group]:
    """A wall of painted boards, and the table with its front."""
    boards = paint(WOOD, "9fb0ab 8c9f9a 6d807c", (0.14, 0.02), seed=3)
    wood = paint(WOOD, "9a6d44 7b5231 4b311c", (0.15, 0.012), shine=0.05, gloss=25, seed=5)
    plaster = paint(MOTTLED, "cfc8bb c2baac d8d2c6 b8b0a2", (0.3, 0.7, 1.0, 0.3), seed=7)
    return [
        (make_solid(BOX, (0, 0, 0), (3.0, 3.0, 3.0), plaster),),
        (make_solid(RECTANGLE, (0, -1.0, 0.6), (2.0, 3.0, 1.0), boards, turn=(0, 0, 90)),),
        (make_solid(BOX, (0, 0.021, 0.5 * (0.55 + EDGE_Z)), (0.85, 0.5 * (0.55 - EDGE_Z), 0.02), wood, axes=UPRIGHT),),
        (make_solid(BOX, (0, 0.42, 0.15), (0.8, 0.38, 0.4), wood, axes=UPRIGHT),),
    ]


def _tablecloth() -> list[Group]:
    """The cloth: flat but for its creases on the table, round the edge, then hanging in folds."""
    checks = paint(WEAVE, "ece6d8 b8474a 7e2a33", (0.05, 0.0032), seed=6)
    x, run = np.meshgrid(np.linspace(-0.5, 0.5, 85), np.linspace(0, 0.78, 67), indexing="ij")
    flat, radius = 0.27 - EDGE_Z, 0.012  # m of cloth on the table, of its bend
    bend = np.clip((run - flat) / radius, 0, np.pi / 2)
    down = np.maximum(run - flat - radius * np.pi / 2, 0)
    z = EDGE_Z + np.maximum(flat - run, 0) - radius * np.sin(bend)
    y = radius * (1 - np.cos(bend)) + down
    swing = np.clip(down / 0.2, 0, 1) ** 0.8
    wave = 0.55 * np.sin(34 * x + 1.2 * np.sin(7 * x)) + 0.3 * np.sin(53 * x + 4 * down + 1) + 0.15 * np.sin(90 * x)
    z = z - 0.034 * swing * (1 + wave) * (bend > 0)
    x_hung = x + 0.006 * swing * np.cos(34 * x)
    height = np.zeros_like(x)
    for x0, z0, degrees, length, half, up in CREASES:
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        along, across = c * (x - x0) + s * (z - z0), -s * (x - x0) + c * (z - z0)
        across = across + 0.25 * along**2 / length
        height += up * np.exp(-((along / length) ** 4)) * np.exp(-((across / half) ** 2))
    height = height * np.clip((flat - run) / 0.06, 0, 1) + 0.0015
    points = np.stack([x_hung, y - height, z], -1)
    texture = np.stack([x, run], -1)
    return sheet(points, texture, checks)


def _loaf(foot: Vector) -> list[Group]:
    """A slashed loaf on a board."""
    wood = paint(WOOD, "c79a66 a67a49 7d572f", (0.4, 0.009), shine=0.03, gloss=20, seed=15)
    crust = paint(MOTTLED, "a9682f 8a4d1f b57838 bd874e", (0.035, 0.8, 0.9, 0.4), shine=0.05, gloss=15, seed=16)
    crumb = paint(MOTTLED, "e2c593 d2ab6f eed9b0 f3e6c8", (0.008, 0.8, 0.9, 0.35), seed=17)
    at = np.asarray(foot, dtype=float)
    turn = (0, 16, 0)
    groups: list[Group] = [
        (make_solid(BOX, at + [0, -0.0115, 0], (0.20, 0.10, 0.009), wood, turn=turn, axes=UPRIGHT),),
        (
            make_solid(
                ELLIPSOID, at + [0, -0.064, 0], (0.165, 0.078, 0.062), crust, turn=turn, axes=UPRIGHT, shape=(-1, 1)
            ),
        ),
    ]
    for i, x in enumerate((-0.08, -0.027, 0.027, 0.08)):
        turned = np.array([x * np.cos(np.radians(16)), 0, -x * np.sin(np.radians(16))])
        rise = 0.062 * np.sqrt(1 - (x / 0.165) ** 2)
        centre = at + turned + [0, -0.064 - rise + 0.008, 0]
        slash = (0.011, 0.046, 0.0115)
        groups.append(
            (make_solid(ELLIPSOID, centre, slash, crumb, turn=(0, 40 + 3 * i, 0), axes=UPRIGHT, shape=(-1, 1)),)
        )
    return groups


def _jug(foot: Vector) -> list[Group]:
    """A glazed jug with a handle."""
    bands = (0.055, 0.105, 0.16, 0.004, 0.010, 9, 0.3)
    glaze = paint(BANDS, "dcd8cc 3f6a8a 3f6a8a 2b4a66", bands, shine=0.25, gloss=70, seed=9)
    at = np.asarray(foot, dtype=float)
    profile = mm_profile(
        "46 0, 46 0, 50 4, 66 40, 72 78, 64 118, 48 150, 42 172, 46 196, 52 208, 50 210, 46 200, 40 172, 42 150"
    )
    angle = np.linspace(-1.35, 1.35, 15)
    out = np.array([0.92, 0, -0.39])
    handle = (
        at
        + out * (0.042 + 0.052 * np.cos(angle))[:, None]
        + np.array([0, 1, 0]) * (0.062 * np.sin(angle) - 0.128)[:, None]
    )
    return [lathe(at, glaze, profile), rod(handle, 0.0075, glaze)]


def _grapes() -> list[Group]:
    """A bunch of grapes on the cloth, in three layers."""
    rng = np.random.default_rng(8)
    skins = [
        paint(MOTTLED, colours, (0.012, 0.75, 0.9, 0.4), shine=0.22, gloss=45, seed=60 + i)
        for i, colours in enumerate(
            ("4a2350 6a3a6e 2c1430 8a6a92", "3b1d4a 5b3468 25102e 7d6488", "5a2a4e 7a4668 3a1832 9a7a8e")
        )
    ]
    stalk = paint(MOTTLED, "6b5a2f 4d3f20 8a7a48 8a7a48", (0.006, 0.7, 1.0, 0.3), seed=66)
    groups: list[Group] = []
    for layer, (count, spread) in enumerate(((22, 0.066), (14, 0.048), (6, 0.026))):
        for i in range(count):
            r, turn = spread * np.sqrt((i + 0.5) / count), 2.39996 * i + layer
            x, z = 1.35 * r * np.cos(turn), 0.9 * r * np.sin(turn)
            radius = 0.0125 * rng.uniform(0.9, 1.12)
            at = (0.12 + x + rng.normal(0, 0.001), -0.015 - 0.0175 * layer, -0.16 + z)
            groups.append(ball(at, (radius, radius, 1.12 * radius), skins[i % 3], tuple(rng.uniform(-40, 40, 3))))
    path = np.array([[0.12, -0.06, -0.16], [0.16, -0.07, -0.15], [0.20, -0.06, -0.145], [0.225, -0.035, -0.14]])
    return [*groups, rod(path, 0.0026, stalk)]


def _eggs() -> list[Group]:
    """Three eggs and an apricot on the cloth."""
    shells = [
        paint(MOTTLED, colours, (0.004, 0.85, 0.8, 0.25), shine=0.04, gloss=15, seed=70 + i)
        for i, colours in enumerate(
            ("d9b48f cda680 e3c4a4 b98d66", "e4d6c2 dccbb4 ece2d2 c9b496", "cfa57e c2966d dcb794 a87c55")
        )
    ]
    profile = mm_profile("0 -22, 8 -20.5, 16 -14, 20.5 -3, 20 8, 16 19, 10 27, 5 30.5, 0 32")
    groups = []
    for i, (x, z, turn) in enumerate(((-0.115, -0.125, 25), (-0.155, -0.085, 100), (-0.065, -0.085, -70))):
        groups.append(
            lathe(
                (x, -0.0225, z),
                shells[i],
                profile,
                turn=(80 * np.cos(np.radians(turn)), 0, 80 * np.sin(np.radians(turn))),
            )
        )
    apricot = paint(FRUIT, "e09a44 cf6f3a b97a35 f0c888", (0.022, 2.2, 1.0, 0.3), shine=0.05, gloss=20, seed=77)
    return [*groups, ball((0.275, -0.0235, -0.05), (0.023, 0.023, 0.022), apricot, (20, 0, 30))]
