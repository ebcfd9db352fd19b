"""The named scenes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..errors import StereoError
from .cloth import cloth
from .corridors import corridor, garden_path, street
from .glass import glass
from .plant import plant
from .scene import BRICK, EARTH, FOREST, SLATE, UPRIGHT, WIDE, Group, Scene, Vector, make_solid, mottled, paint
from .still_life import still_life
from .tables import BOX, CHECKS, ELLIPSOID, FRUSTUM, PLAIN, RECTANGLE


def find_scene(scene: str | Scene) -> Scene:
    """Return the scene given, or the scene of that name; StereoError("unknown_method") for an unknown name."""
    if isinstance(scene, Scene):
        return scene
    if scene not in SCENES:
        raise StereoError("unknown_method", f"there is no scene {scene!r}.", f"There are: {', '.join(SCENES)}.")
    return SCENES[scene]()


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
        X1 = R X + t, m, takes the corners (j square, i square, 0) to camera 1, in the order of `chessboard.Board`.
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


def forward() -> Scene:
    """The slanted planes, photo 2 taken a step ahead: the epipole is inside the picture."""
    return replace(slanted(), pose="forward")


def handheld() -> Scene:
    """The slanted planes, photographed by hand."""
    return replace(slanted(), pose="handheld")


SCENES: dict[str, Callable[[], Scene]] = {
    "slanted": slanted,
    "sphere": sphere,
    "bars": bars,
    "still_life": still_life,
    "plant": plant,
    "cloth": cloth,
    "glass": glass,
    "handheld": handheld,
    "vertical": vertical,
    "swapped": swapped,
    "forward": forward,
    "corridor": corridor,
    "street": street,
    "garden_path": garden_path,
    "plane": plane,
    "rotation": rotation,
    "chessboard": chessboard,
}
