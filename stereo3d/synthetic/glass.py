"""Drinking glasses and a glass ball on a table: what a camera sees is what stands behind them."""

import numpy as np

from .scene import UPRIGHT, Group, Paint, Scene, Solid, Vector, ball, clear, lathe, make_solid, mm_profile, paint, rod
from .tables import BOX, COVER, DISC, ELLIPSOID, FRUIT, MOTTLED, RECTANGLE, WALL, WOOD

WATER, GLASS = 1.333, 1.5  # refractive indices
THIN = 1.0  # walls that bend no ray
DOWN = ((1, 0, 0), (0, 0, -1), (0, 1, 0))  # axes of a lid that faces down


def glass() -> Scene:
    """A glass of water, an empty goblet, a glass ball, a lemon and a book before a papered wall.

    The truth is the first surface, clear or not: where the photos show the wall through a glass, the depth is the
    glass's. Clear solids bend rays by Snell's law, let the lamp pass and reflect an even surrounding. Table top at
    y = 0, wall at z = 0.4.
    """
    groups = [
        *_room(),
        *_tumbler((-0.15, 0, 0.02)),
        *_goblet((0.04, 0, 0.12)),
        *_ball((0.19, 0, -0.03)),
        *_lemons(),
    ]
    return Scene(
        tuple(groups),
        eye=(0.03, -0.30, -0.66),
        target=(0.01, -0.095, 0.08),
        baseline=0.08,
        pose="handheld",
        lamp=((-1.2, -1.2, -0.7), 0.2, 1.0),
        sky=(0.42, 0.35),
        film=True,
        samples=2,
    )


def _lids(foot: np.ndarray, low: tuple[float, float], high: tuple[float, float], coat: Paint) -> list[Solid]:
    """Discs below and above a solid of revolution: (radius, height) of either, m."""
    return [
        make_solid(DISC, foot + [0, -h, 0], (r, r, 1), coat, axes=axes)
        for (r, h), axes in ((low, DOWN), (high, UPRIGHT))
    ]


def _room() -> list[Group]:
    """Papered wall, table, a book."""
    plaster = paint(MOTTLED, "cfc8bb c2baac d8d2c6 b8b0a2", (0.3, 0.7, 1.0, 0.3), seed=7)
    paper = paint(WALL, "d6cdb4 5f8378 b5654a d9a64a", (0.15, 0.19, 0.16), seed=5)
    wood = paint(WOOD, "a87848 85572f 54361c", (0.14, 0.011), shine=0.06, gloss=25, seed=23)
    cover = paint(COVER, "34506b e0d3b0 b9924c efe8d8", (1,), shine=0.04, gloss=20, seed=35)
    return [
        (make_solid(BOX, (0, 0, 0), (3.0, 3.0, 3.0), plaster),),
        (make_solid(RECTANGLE, (0, -1.0, 0.4), (3.0, 2.0, 1.0), paper),),
        (make_solid(BOX, (0, 0.02, -0.1), (0.9, 0.5, 0.02), wood, axes=UPRIGHT),),
        (make_solid(BOX, (0.3, -0.014, 0.2), (0.085, 0.12, 0.014), cover, turn=(0, 24, 0), axes=UPRIGHT),),
    ]


def _tumbler(foot: Vector) -> list[Group]:
    """A tumbler two thirds full of water, its base a lens of glass."""
    at = np.asarray(foot, dtype=float)
    pane = paint(MOTTLED, "f4f8f6 f4f8f6", (0.1, 0.5, 0, 0), shine=0.5, gloss=300)
    water = paint(MOTTLED, "f8fbfa f8fbfa", (0.1, 0.5, 0, 0), shine=0.2, gloss=300)
    wall = lathe(at, pane, mm_profile("35 1, 35 1, 36 20, 39 70, 42 126, 42 126"))
    rim = rod(_ring(at, 0.042, 0.126), 0.0009, pane)
    base = lathe(at, pane, mm_profile("33 1, 34 2, 34.2 6, 34.4 9"))
    body = lathe(at, water, mm_profile("34.2 10, 34.6 20, 36.6 55, 38.6 88"))
    return [
        clear(*wall, index=THIN),
        clear(*rim, index=THIN),
        clear(*base, *_lids(at, (0.033, 0.001), (0.0344, 0.009), pane), index=GLASS),
        clear(*body, *_lids(at, (0.0342, 0.010), (0.0386, 0.088), water), index=WATER),
    ]


def _ring(foot: np.ndarray, radius: float, height: float) -> np.ndarray:
    """(41,3): points of a level circle, closed."""
    angle = np.linspace(0, 2 * np.pi, 41)
    return foot + np.stack([radius * np.cos(angle), np.full(41, -height), radius * np.sin(angle)], -1)


def _goblet(foot: Vector) -> list[Group]:
    """An empty goblet of thin greenish glass, with a solid stem."""
    at = np.asarray(foot, dtype=float)
    pane = paint(MOTTLED, "dfeee4 dfeee4", (0.1, 0.5, 0, 0), shine=0.6, gloss=300)
    bowl = lathe(at, pane, mm_profile("2 88, 12 90, 30 104, 39 126, 40 150, 36 182, 33.5 196"))
    stem = lathe(at, pane, mm_profile("34 1, 34 1, 33 3, 14 6, 5 12, 4 40, 4 70, 6 84, 3 88, 0.1 88.5"))
    return [
        clear(*bowl, index=THIN),
        clear(*rod(_ring(at, 0.0335, 0.196), 0.0008, pane), index=THIN),
        clear(*stem, make_solid(DISC, at + [0, -0.001, 0], (0.034, 0.034, 1), pane, axes=DOWN), index=GLASS),
    ]


def _ball(foot: Vector) -> list[Group]:
    """A ball of glass on a ring of wood."""
    at = np.asarray(foot, dtype=float)
    pane = paint(MOTTLED, "f2f6f8 f2f6f8", (0.1, 0.5, 0, 0), shine=0.6, gloss=400)
    ring = paint(MOTTLED, "5a3a22 452a16 6f4b2d 6f4b2d", (0.01, 0.8, 0.9, 0.3), shine=0.1, gloss=25, seed=24)
    solid = make_solid(ELLIPSOID, at + [0, -0.058, 0], (0.05,) * 3, pane, shape=(-1, 1))
    return [clear(solid, index=GLASS), rod(_ring(at, 0.034, 0.009), 0.009, ring)]


def _lemons() -> list[Group]:
    """Two lemons and an apple: what is opaque, for comparison."""
    skin = paint(MOTTLED, "e3c437 cfa926 efd868 f3e390", (0.007, 0.8, 0.7, 0.35), shine=0.06, gloss=20, seed=52)
    profile = mm_profile("0 -43, 6 -41, 11 -36, 22 -26, 27.5 0, 22 26, 11 36, 6 41, 0 43")
    apple = paint(FRUIT, "9db44a c23a28 7a8a35 efe0a8", (0.037, 2.6, 0.9, 0.2), shine=0.16, gloss=35, seed=41)
    return [
        lathe((-0.04, -0.027, -0.16), skin, profile, turn=(0, 30, 88)),
        lathe((-0.27, -0.027, 0.15), skin, profile, turn=(0, -50, 88)),
        ball((0.05, -0.038, -0.075), (0.04, 0.04, 0.038), apple, (10, 0, 8)),
    ]
