"""Houses, a tower and bare trees under a sky."""

import numpy as np

from ..errors import StereoError
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
    make_solid,
    mottled,
    paint,
    rod,
    rotation_deg,
)
from .tables import BOX, FRUSTUM, PLAIN, RECTANGLE, SKY

# Name -> colours (zenith, horizon, clouds, glow) and arguments of the paint SKY.
SKIES: dict[str, Paint] = {
    "clear": paint(SKY, "3a6fb5 a9c8e6 ffffff ffffff", (0.35, 1, 0, 0, 0, 0)),
    "hazy": paint(SKY, "c3d0dc f4f5f4 ffffff fffdf6", (0.25, 1, 0, 0.9, 0.5, 6)),
    "clouds": paint(SKY, "8fa3ba c6ccd2 e9ebee ffffff", (0.3, 1.2, 0.75, 0, 0, 0), seed=5),
    "cumulus": paint(SKY, "3f78bd a9c8e6 f6f6f4 ffffff", (0.35, 0.9, 1.0, 0, 0, 0), seed=11),
    "overcast": paint(SKY, "e6e8ea f3f3f2 f8f8f8 ffffff", (0.4, 2.5, 0.35, 0, 0, 0), seed=8),
    "sunset": paint(SKY, "37486f f0a468 8a5a6a ffd9a0", (0.22, 1.5, 0.35, 0.5, 0.06, 30), seed=3),
}


def houses(sky: str = "clear", *, white: bool = False) -> Scene:
    """Houses with gable roofs, a tower, two bare trees and a cable, 9 to 40 m away, under one of `SKIES`.

    Parameters
    ----------
    sky : str
        A name of `SKIES`.
    white : bool
        The walls are plain white in place of brick.
    """
    if sky not in SKIES:
        raise StereoError("unknown_method", f"there is no sky {sky!r}.", f"There are: {', '.join(SKIES)}.")
    plaster = paint(PLAIN, "e8e6e0")
    walls = [plaster if white else mottled(colours, 0.6, seed=k) for k, colours in enumerate((BRICK, EARTH, SLATE))]
    tiles = [mottled(colours, 0.5, seed=10 + k) for k, colours in enumerate((SLATE, BRICK, EARTH))]
    ground = make_solid(RECTANGLE, (0, 1.6, 40), (60, 60, 1), mottled(FOREST, 1.2, seed=20), axes=UPRIGHT)
    cable = rod(np.array([[-8.0, -4.6, 13], [0, -4.2, 14], [9, -4.7, 15]]), 0.03, paint(PLAIN, "202428"))
    return Scene(
        (
            (ground,),
            *_house((-6.0, 18.0), (3.2, 2.6, 3.0), 24, walls[0], tiles[0]),
            *_house((5.5, 22.0), (4.0, 3.2, 3.0), -15, walls[1], tiles[1]),
            *_house((0.5, 34.0), (5.0, 3.4, 3.5), 8, walls[2], tiles[2]),
            *_tower((-0.8, 26.0), walls[1], tiles[0]),
            *_tree((-2.9, 9.5), 7.2, seed=1),
            *_tree((3.6, 12.0), 8.4, seed=2),
            cable,
        ),
        eye=(0, 0, 0),
        target=(0, -3.0, 16),
        baseline=0.9,
        focal_35mm=30.0,
        lamp=((-60.0, -80.0, -60.0), 2.0, 0.75),
        background=SKIES[sky],
    )


def _house(at: Vector, half: Vector, turn: float, wall: Paint, tiles: Paint) -> list[Group]:
    """A box of half width, height and depth, m, on the ground at (x, z), and a gable roof along its width."""
    width, height, depth = half
    R = rotation_deg(y=turn)
    foot = np.array([at[0], 1.6, at[1]])
    groups: list[Group] = [(make_solid(BOX, foot + [0, -height, 0], half, wall, turn=(0, turn, 0)),)]
    slope = np.degrees(np.arctan2(0.8 * depth, depth))
    for side in (-1, 1):
        middle = foot + R @ np.array([0, -2 * height - 0.4 * depth, side * 0.5 * depth])
        axes = rotation_deg(x=90 - side * (90 - slope) - 90)
        size = (1.06 * width, 0.06, 0.5 * depth * np.hypot(1, 0.8) * 1.08)
        groups.append((make_solid(BOX, middle, size, tiles, turn=(0, turn, 0), axes=axes.T),))
    return groups


def _tower(at: Vector, wall: Paint, tiles: Paint) -> list[Group]:
    """A round tower under a cone, at (x, z)."""
    x, z = at
    axes = UPRIGHT
    body = make_solid(FRUSTUM, (x, 1.6 - 4.5, z), (1.6, 1.6, 4.5), wall, axes=axes, shape=(1, 1, 3))
    roof = make_solid(FRUSTUM, (x, 1.6 - 11.0, z), (1.9, 1.9, 2.0), tiles, axes=axes, shape=(1, 0.01, 3, 0.7, 0.7))
    return [(body, roof)]


def _tree(at: Vector, height: float, seed: int) -> list[Group]:
    """A bare tree at (x, z): each branch forks into three thinner ones, four times."""
    bark = mottled("4a3b2e 2e241c 6b5844 6b5844", 0.08, seed=seed)
    rng = np.random.default_rng(seed)
    groups: list[Group] = []

    def branch(start: np.ndarray, direction: np.ndarray, length: float, radius: float, level: int) -> None:
        side = np.cross(direction, rng.normal(size=3))
        bend = start + 0.5 * length * direction + 0.08 * length * side
        end = start + length * direction
        groups.append(rod(np.stack([start, bend, end]), radius, bark))
        if level:
            for _ in range(3):
                turned = direction + 0.75 * rng.normal(size=3) + [0, -0.15, 0]
                reach = start + rng.uniform(0.6, 1.0) * (end - start)
                branch(reach, turned / np.linalg.norm(turned), 0.62 * length, 0.55 * radius, level - 1)

    branch(np.array([at[0], 1.6, at[1]]), np.array([0.03, -1.0, 0.0]), 0.42 * height, 0.03 * height, 4)
    return groups
