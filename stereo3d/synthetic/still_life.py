"""The still life: fruit, books and a globe on a table."""

import numpy as np

from .scene import (
    SPINE,
    UPRIGHT,
    Group,
    Scene,
    Vector,
    ball,
    frustum_between,
    lathe,
    make_solid,
    mm_profile,
    paint,
    rod,
    rotation_deg,
)
from .tables import BANDS, BOX, COVER, DISC, DOTS, FRUIT, GLOBE, MOTTLED, RECTANGLE, WALL, WEAVE, WOOD


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
