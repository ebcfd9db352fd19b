"""Random scenes for `rendered_pairs`: each fills the view of camera 1, at the origin, looking along z."""

from dataclasses import dataclass

import numpy as np

from stereo3d.synthetic.scene import (
    BRICK,
    EARTH,
    FOREST,
    SLATE,
    UPRIGHT,
    Group,
    Paint,
    Scene,
    ball,
    make_solid,
    mottled,
    paint,
)
from stereo3d.synthetic.tables import (
    BOX,
    CHECKS,
    COVER,
    DOTS,
    ELLIPSOID,
    FRUSTUM,
    GLOBE,
    RECTANGLE,
    WALL,
    WEAVE,
    WOOD,
)

PALETTES = (
    EARTH,
    FOREST,
    BRICK,
    SLATE,
    "cfc9b4 8fa58c b9705f e0b659",
    "3f78a8 a8b56c b98a55 ece9df",
    "b7462e 8d2018 c9a04a efd79a",
    "d8d2c6 8c8478 5a554c f0ece2",
)


@dataclass(frozen=True)
class Frame:
    """What a scene is built for: the view of camera 1, the depths, and the random generator.

    tan : (x, y) tangents of half the field of view; focal: px; near, far: m.
    """

    rng: np.random.Generator
    tan: tuple[float, float]
    focal: float
    near: float
    far: float
    repeated: bool

    def depth(self) -> float:
        """A depth between near and far, uniform in the logarithm, as pictures have them."""
        return float(np.exp(self.rng.uniform(np.log(self.near), np.log(self.far))))

    def place(self, z: float, spread: float = 0.85) -> tuple[float, float, float]:
        """A point at depth z inside the picture."""
        u, v = self.rng.uniform(-spread, spread, 2)
        return u * self.tan[0] * z, v * self.tan[1] * z, z

    def turn(self, most: float) -> np.ndarray:
        """Rotation vector, degrees, each component up to `most`."""
        return self.rng.uniform(-most, most, 3)

    def seed(self) -> int:
        return int(self.rng.integers(1, 9000))

    def coat(self, z: float) -> Paint:
        """A paint of the size of things at depth z; one in ten is nearly plain."""
        rng, px, colours = self.rng, z / self.focal, PALETTES[self.rng.integers(len(PALETTES))]
        kind = rng.choice(["mottled", "weak", "wood", "dots", "weave", "wall"], p=(0.6, 0.1, 0.1, 0.1, 0.05, 0.05))
        if kind == "wood":
            return paint(WOOD, "b5824f 8f5c31 5d3a1e", (px * 60, px * 6), seed=self.seed())
        if kind == "dots":
            cell = px * rng.uniform(14, 30)
            return paint(DOTS, colours, (cell, 0.3 * cell, 0.14), seed=self.seed())
        if kind in ("weave", "wall"):
            return self.pattern(z, kind, rough=0.16)
        contrast, grain = (0.12, 0.06) if kind == "weak" else (rng.uniform(0.6, 1.2), rng.uniform(0.3, 0.6))
        return mottled(colours, px * rng.uniform(15, 70), seed=self.seed(), contrast=contrast, grain=grain)

    def pattern(self, z: float, kind: str = "", rough: float = 0.01) -> Paint:
        """A paint that repeats."""
        rng, px, colours = self.rng, z / self.focal, PALETTES[self.rng.integers(len(PALETTES))]
        kind = kind or rng.choice(["weave", "wall", "checks"])
        if kind == "weave":
            return paint(WEAVE, colours, (px * rng.uniform(16, 40), px * 3), seed=self.seed())
        if kind == "wall":
            period = px * rng.uniform(24, 60)
            return paint(WALL, colours, (period, 1.2 * period, rough), seed=self.seed())
        return paint(CHECKS, "d8d2c6 3c4048", (px * rng.uniform(10, 26), 4000, 4000))

    def wall(self, most: float = 25.0) -> Group:
        """A wall at the far end that no ray misses, turned up to `most` degrees."""
        coat = self.pattern(self.far) if self.repeated else self.coat(self.far)
        turn = (*self.rng.uniform(-most, most, 2), 0)
        corner = 8.0 * self.far  # the middle of the checks' table
        texture = (corner, corner, 0) if coat[0] == CHECKS else (0, 0, 0)
        size = (60 * self.far, 60 * self.far, 1)
        return (make_solid(RECTANGLE, (0, 0, self.far), size, coat, turn=turn, texture=texture),)

    def scene(self, groups: list[Group]) -> Scene:
        middle = float(np.sqrt(self.near * self.far))
        lamp = ((-0.6 * middle, -0.8 * middle, -0.3 * middle), 0.05 * middle, 0.75)
        return Scene(tuple(groups), target=(0, 0, middle), lamp=lamp)


def cards(frame: Frame) -> Scene:
    """Rectangles turned differently before a wall."""
    groups = [frame.wall()]
    for _ in range(frame.rng.integers(4, 9)):
        z = frame.depth()
        size = frame.rng.uniform(0.15, 0.4, 2) * frame.tan[0] * z
        groups.append(
            (make_solid(RECTANGLE, frame.place(z), (*size, 1), frame.coat(z), turn=frame.turn(35) * (1, 1, 0.4)),)
        )
    return frame.scene(groups)


def things(frame: Frame) -> Scene:
    """Balls, boxes and cylinders before a wall."""
    groups = [frame.wall(15)]
    for _ in range(frame.rng.integers(4, 9)):
        z = frame.depth()
        groups.append(thing(frame, frame.place(z), z))
    return frame.scene(groups)


def thing(frame: Frame, centre, z: float) -> Group:
    """One ball, box or cylinder at depth z, an eighth to a third of the picture wide."""
    rng, coat = frame.rng, frame.coat(z)
    size = rng.uniform(0.1, 0.3, 3) * min(frame.tan) * z
    centre = (centre[0], centre[1], z + float(size.max()))
    kind = rng.choice(["ball", "globe", "box", "cover", "cylinder"])
    if kind in ("ball", "globe"):
        if kind == "globe":
            coat = paint(GLOBE, "3f78a8 a8b56c b98a55 ece9df", (float(size[0]), 18), seed=frame.seed())
        return ball(centre, (size[0],) * 3 if kind == "globe" else tuple(size), coat, frame.turn(40))
    if kind == "cylinder":
        return (make_solid(FRUSTUM, centre, tuple(size), coat, turn=frame.turn(25), axes=UPRIGHT, shape=(1, 1, 3)),)
    if kind == "cover":
        coat = paint(COVER, PALETTES[rng.integers(len(PALETTES))], (1,), seed=frame.seed())
    return (make_solid(BOX, centre, tuple(size), coat, turn=frame.turn(40)),)


def ground(frame: Frame) -> Scene:
    """Things on a ground that runs from the lower edge to the far wall."""
    height = 0.9 * frame.tan[1] * frame.near
    middle = float(np.sqrt(frame.near * frame.far))
    coat = frame.pattern(middle) if frame.repeated else frame.coat(middle)
    wide = 60 * frame.far
    groups = [frame.wall(12), (make_solid(RECTANGLE, (0, height, 0), (wide, wide, 1), coat, axes=UPRIGHT),)]
    for _ in range(frame.rng.integers(3, 8)):
        z = frame.depth()
        x = frame.rng.uniform(-0.8, 0.8) * frame.tan[0] * z
        half = frame.rng.uniform(0.1, 0.35) * min(frame.tan) * z
        body = (half, half * frame.rng.uniform(0.6, 1.6), half)
        turn = (0, frame.rng.uniform(-45, 45), 0)
        groups.append((make_solid(BOX, (x, height - body[1], z + half), body, frame.coat(z), turn=turn),))
    return frame.scene(groups)


def corridor(frame: Frame) -> Scene:
    """The inside of a long box, some boxes along its sides."""
    half = np.array(frame.tan) * frame.near * frame.rng.uniform(0.9, 1.3, 2)
    middle = float(np.sqrt(frame.near * frame.far))
    coat = frame.pattern(middle) if frame.repeated else mottled(EARTH, 40 * middle / frame.focal, seed=frame.seed())
    groups = [(make_solid(BOX, (0, 0, 0), (half[0], half[1], frame.far), coat),)]
    for _ in range(frame.rng.integers(3, 7)):
        z = frame.depth()
        size = frame.rng.uniform(0.15, 0.35, 3) * half.min()
        x = frame.rng.choice([-1, 1]) * (half[0] - size[0])
        y = half[1] - size[1] if frame.rng.random() < 0.6 else frame.rng.uniform(-0.7, 0.7) * half[1]
        groups.append((make_solid(BOX, (x, y, z), tuple(size), frame.coat(z)),))
    return frame.scene(groups)


def facade(frame: Frame) -> Scene:
    """A wall with rows of equal boxes (each like the next), and a few things before it."""
    wall = frame.wall(0)[0]
    yaw = frame.rng.uniform(-25, 25)
    turned = make_solid(RECTANGLE, wall.centre, wall.size, wall.paint, turn=(0, yaw, 0), texture=wall.texture)
    groups: list[Group] = [(turned,)]
    coat, rows, columns = frame.coat(frame.far), 3, int(frame.rng.integers(4, 8))
    across = np.array([np.cos(np.radians(yaw)), 0, -np.sin(np.radians(yaw))])
    step = 2.2 * frame.tan[0] * frame.far / columns
    size = (0.3 * step, 0.3 * step, 0.12 * step)
    for row in range(rows):
        for column in range(columns):
            centre = np.array([0, (row - 1) * 0.8 * frame.tan[1] * frame.far, frame.far])
            centre = centre + (column - (columns - 1) / 2) * step * across
            groups.append((make_solid(BOX, centre, size, coat, turn=(0, yaw, 0)),))
    for _ in range(frame.rng.integers(1, 4)):
        z = frame.near * frame.rng.uniform(1, 1.3)
        groups.append(thing(frame, frame.place(z), z))
    return frame.scene(groups)


def plane(frame: Frame) -> Scene:
    """One plane, of depths from near to far at most."""
    return frame.scene([frame.wall(35)])


def relief(frame: Frame) -> Scene:
    """A wall with low boxes: depths differ by a few percent."""
    groups = [frame.wall(20)]
    for _ in range(frame.rng.integers(6, 14)):
        z = frame.far * frame.rng.uniform(0.9, 0.98)
        size = (*(frame.rng.uniform(0.05, 0.25, 2) * frame.tan[0] * z), 0.03 * z)
        groups.append((make_solid(BOX, frame.place(z), size, frame.coat(z), turn=(0, 0, frame.rng.uniform(0, 90))),))
    return frame.scene(groups)


def bust(frame: Frame) -> Scene:
    """One large ellipsoid with bumps before a wall: curved ground everywhere."""
    z = frame.near
    size = np.array([0.45, 0.6, 0.5]) * min(frame.tan) * z
    coat = mottled(PALETTES[frame.rng.integers(len(PALETTES))], 40 * z / frame.focal, seed=frame.seed())
    centre = np.array([0, 0, z + size[2]])
    groups = [frame.wall(10), (make_solid(ELLIPSOID, centre, tuple(size), coat, shape=(-1, 1)),)]
    for _ in range(6):
        way = frame.rng.normal(size=3) - [0, 0, 1.5]
        way /= np.linalg.norm(way)
        radius = frame.rng.uniform(0.15, 0.35) * size[0]
        groups.append(ball(centre + way * size, (radius,) * 3, coat))
    return frame.scene(groups)


# name -> scene, and its share of the pairs
SCENES = {
    "cards": (cards, 0.17),
    "things": (things, 0.19),
    "ground": (ground, 0.19),
    "corridor": (corridor, 0.13),
    "facade": (facade, 0.1),
    "relief": (relief, 0.06),
    "bust": (bust, 0.11),
    "plane": (plane, 0.05),
}
