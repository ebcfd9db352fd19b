"""How many kept disparities are off by a period: rendered facade, fence, bricks, keyboard and shelves, parts all alike.

    python benchmarks/repetition.py [--scenes facade fence ...] [--size 640 480] [--matcher planes] [--pictures DIR]

Each scene is photographed by a rectified pair of three baselines, with noise of one grey level. The true cameras are
given; features are matched as in any run. Printed for each pair: the share of the pixels that both photos show that
keep a disparity, %; of these, the ones off by a multiple of the period (to a fifth of it), and by more than half a
period, %; all that before and after what is repeated or without support is left out; the true period, px, and that of
the finding `repeated`.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from stereo3d import synthetic
from stereo3d.io import write_picture
from stereo3d.pipeline import Config
from stereo3d.pipeline.dense import match_pair
from stereo3d.pipeline.run import prepare
from stereo3d.pipeline.support import drop_unsupported
from stereo3d.synthetic.scene import BRICK, EARTH, FOREST, UPRIGHT, WIDE, Group, Scene, make_solid, mottled, paint
from stereo3d.synthetic.tables import BOX, DISC, FRUSTUM, PLAIN, RECTANGLE

NOISE = 1.0  # grey levels
NEAR = 0.2  # of a period, from a multiple of it
WIDENINGS = (0.5, 1.0, 1.6)  # of each scene's baseline


def facade() -> tuple[Scene, float, float]:
    """A plastered wall with two rows of windows, all alike, behind two posts."""
    plaster = mottled("c8bca4 b8ac94 d0c4ac dcd4c0", 0.3, seed=1, contrast=0.25, grain=0.08)
    glass = mottled("202830 38485a 60707c 101418", 0.35, seed=7)
    groups: list[Group] = [(make_solid(RECTANGLE, (0, 0, 6), (WIDE, WIDE, 1), plaster),)]
    for i in range(9):
        for y in (-1.0, 1.0):
            x = -4.8 + 1.2 * i
            frame = make_solid(RECTANGLE, (x, y, 5.98), (0.42, 0.72, 1), paint(PLAIN, "f4f2ee"))
            groups.append((frame, make_solid(RECTANGLE, (x, y, 5.96), (0.36, 0.66, 1), glass)))
    for i, (z, x) in enumerate([(2.6, -0.7), (3.4, 1.0)]):
        coat = mottled(BRICK, 0.1, seed=30 + i)
        groups.append((make_solid(BOX, (x, 0, z), (0.03 * z, 3, 0.06), coat, turn=(0, 12, 0)),))
    return Scene(tuple(groups), target=(0, 0, 6), baseline=1.4), 1.2, 5.96


def balconies() -> tuple[Scene, float, float]:
    """A wall at an angle with windows and balconies, all alike, beyond a ground."""
    plaster, slab = mottled(EARTH, 0.5, seed=3, contrast=0.3, grain=0.1), mottled("b8b4ac 8c8880 d8d4cc", 0.2, seed=4)
    glass, turn = mottled("202830 38485a 60707c 101418", 0.3, seed=5), 25.0
    across = np.array([np.cos(np.radians(turn)), 0, -np.sin(np.radians(turn))])
    out = np.array([-np.sin(np.radians(turn)), 0, -np.cos(np.radians(turn))])
    wall = np.array([0, 0, 12.0])
    groups: list[Group] = [(make_solid(RECTANGLE, wall, (WIDE, WIDE, 1), plaster, turn=(0, turn, 0)),)]
    for i in range(-5, 6):
        for j in range(3):
            middle = wall + 1.7 * i * across + np.array([0, 1.6 - 2.2 * j, 0])
            pane = make_solid(RECTANGLE, middle + 0.03 * out, (0.5, 0.75, 1), glass, turn=(0, turn, 0))
            floor = make_solid(BOX, middle + 0.35 * out + [0, 0.8, 0], (0.62, 0.06, 0.35), slab, turn=(0, turn, 0))
            groups.append((pane, floor))
    groups.append((make_solid(RECTANGLE, (0, 3.2, 12), (40, 40, 1), mottled(FOREST, 0.5, seed=8), axes=UPRIGHT),))
    return Scene(tuple(groups), target=(0, 0, 12), baseline=1.6), 1.7 * np.cos(np.radians(turn)), 12.0


def fence() -> tuple[Scene, float, float]:
    """A picket fence, its boards all alike, before shrubs and a house wall."""
    wood = mottled("b5824f 8f5c31 d0a070", 0.08, seed=11)
    groups: list[Group] = [(make_solid(RECTANGLE, (0, 0, 7), (WIDE, WIDE, 1), mottled(BRICK, 0.4, seed=12)),)]
    for i in range(-14, 15):
        groups.append((make_solid(BOX, (0.16 * i, 0.25, 2.5), (0.035, 0.75, 0.012), wood),))
    for y in (-0.2, 0.7):
        groups.append((make_solid(BOX, (0, y, 2.53), (3, 0.04, 0.015), wood, texture=(3, 0.3, 0)),))
    rng = np.random.default_rng(2)
    for k in range(14):
        at = (*rng.uniform((-2.5, -1.0), (2.5, 1.6)), rng.uniform(3.6, 6.2))
        leaf = mottled(FOREST, 0.15, seed=20 + k)
        groups.append((make_solid(DISC, at, (0.5, 0.4, 1), leaf, turn=rng.uniform(-50, 50, 3), shape=(0, 1)),))
    return Scene(tuple(groups), target=(0, 0, 4), baseline=0.35), 0.16, 2.49


def railing() -> tuple[Scene, float, float]:
    """Round bars without texture before a textured wall."""
    iron = paint(PLAIN, "2c3034")
    groups: list[Group] = [(make_solid(RECTANGLE, (0, 0, 4.5), (WIDE, WIDE, 1), mottled(EARTH, 0.25, seed=14)),)]
    for i in range(-16, 17):
        bar = make_solid(FRUSTUM, (0.11 * i, 0.1, 2.2), (0.012, 0.012, 0.8), iron, axes=UPRIGHT, shape=(1, 1, 3))
        groups.append((bar,))
    for y in (-0.7, 0.9):
        groups.append((make_solid(BOX, (0, y, 2.2), (3, 0.03, 0.02), iron),))
    return Scene(tuple(groups), target=(0, 0, 3), baseline=0.3), 0.11, 2.19


def bricks() -> tuple[Scene, float, float]:
    """A wall of bricks, all alike, in stretcher bond; a door and a lamp before it."""
    mortar = mottled("c8c4bc b0aca4 d4d0c8", 0.1, seed=15, contrast=0.1, grain=0.03)
    brick = mottled(BRICK, 0.09, seed=16, contrast=0.5)
    groups: list[Group] = [(make_solid(RECTANGLE, (0, 0, 3), (WIDE, WIDE, 1), mortar),)]
    for j in range(-9, 10):
        row = [
            make_solid(RECTANGLE, (0.26 * i + 0.13 * (j % 2), 0.16 * j, 2.99), (0.12, 0.07, 1), brick)
            for i in range(-9, 10)
        ]
        groups.append(tuple(row))
    door = mottled("3f5f48 2e4634 587a60", 0.2, seed=17)
    groups.append((make_solid(BOX, (1.1, 0.5, 2.95), (0.3, 0.9, 0.04), door),))
    groups.append((make_solid(BOX, (-0.4, -0.5, 1.9), (0.1, 0.14, 0.1), mottled(EARTH, 0.05, seed=18)),))
    return Scene(tuple(groups), target=(0, 0, 3), baseline=0.5), 0.26, 2.99


def keyboard() -> tuple[Scene, float, float]:
    """Keys all alike on a slab on a wooden table, seen from above at an angle; a mug and a book beside it."""
    table, body, key = mottled(EARTH, 0.06, seed=21), paint(PLAIN, "30343a"), paint(PLAIN, "d8d8d4")
    face = mottled("e4e4e0 c8c8c4 f0f0ec", 0.02, seed=22, contrast=0.3, grain=0.1)
    tilt = -35.0  # degrees: of the table against the view
    R = np.array([[1, 0, 0], [0, np.cos(np.radians(tilt)), -np.sin(np.radians(tilt))], [0, 0, 0]])
    R[2] = 0, np.sin(np.radians(tilt)), np.cos(np.radians(tilt))
    middle = np.array([0, 0, 0.9])

    def place(x: float, y: float, z: float) -> np.ndarray:
        return middle + R @ np.array([x, y, z])

    turn = (tilt, 0, 0)
    groups: list[Group] = [(make_solid(RECTANGLE, place(0, 0, 0.03), (20, 20, 1), table, turn=turn),)]
    groups.append((make_solid(BOX, place(0, 0, 0.015), (0.33, 0.11, 0.015), body, turn=turn),))
    for j in range(-2, 3):
        for i in range(-7, 8):
            at = place(0.041 * i + 0.01 * j, 0.041 * j, -0.004)
            cap = make_solid(RECTANGLE, at - R @ [0, 0, 0.0062], (0.014, 0.014, 1), face, turn=turn)
            groups.append((make_solid(BOX, at, (0.017, 0.017, 0.006), key, turn=turn), cap))
    book = mottled(BRICK, 0.05, seed=23)
    groups.append((make_solid(BOX, place(-0.2, -0.24, 0), (0.12, 0.08, 0.03), book, turn=turn),))
    groups.append(
        (make_solid(BOX, place(0.3, 0.2, -0.02), (0.05, 0.05, 0.05), mottled(FOREST, 0.03, seed=24), turn=turn),)
    )
    return Scene(tuple(groups), target=(0, 0, 0.9), baseline=0.09), 0.041, 0.89


SCENES: dict[str, Callable[[], tuple[Scene, float, float]]] = {
    "facade": facade,
    "balconies": balconies,
    "fence": fence,
    "railing": railing,
    "bricks": bricks,
    "keyboard": keyboard,
}


def matched(name: str, widening: float, size: tuple[int, int], matcher: str):
    """The true disparity of the rectified left picture, px (NaN where only one photo shows it), its period, and the
    prepared pair with both outputs of `match_pair`."""
    scene, step, z = SCENES[name]()
    scene = replace(scene, baseline=widening * scene.baseline)
    photos = synthetic.render(scene, size=size, noise=NOISE, supersample=2)
    config = Config(matcher=matcher)
    prepared = prepare(photos.left, photos.right, photos.rig, config)
    assert photos.disparity_left is not None
    shown = np.where(photos.visible1, photos.disparity_left, np.float32(np.nan))
    (x1, y1), x2 = np.moveaxis(prepared.pair.map1, -1, 0), prepared.pair.map2[..., 0]
    column = np.arange(x1.shape[1])
    at = np.rint(np.nan_to_num(y1)).astype(int), np.rint(np.nan_to_num(x1)).astype(int)
    inside = np.isfinite(x1) & (at[0] >= 0) & (at[0] < size[1]) & (at[1] >= 0) & (at[1] < size[0])
    truth = shown[at[0].clip(0, size[1] - 1), at[1].clip(0, size[0] - 1)]
    canvas = np.nanmedian(x2 - column) - np.nanmedian(x1 - column)  # px that the canvas adds to a disparity
    truth = np.where(inside, truth + canvas, np.nan)
    return truth, photos.rig.cam1.focal * step / z, prepared, *match_pair(prepared.pair, prepared.d_range, config)


def measure(truth, period, prepared, before, between):
    """Figures of one pair, and a picture: the first photo, and what was kept, wrong ones red, dropped ones blue."""
    inliers = prepared.matches[prepared.view.inliers]
    after, _, findings = drop_unsupported(
        before, between, prepared.pair, prepared.view, (inliers.x1, inliers.x2), prepared.d_range
    )
    rows = []
    for found in (before, after):
        kept = np.isfinite(found.disparity) & np.isfinite(truth)
        off = np.abs(found.disparity - truth)[kept]
        multiple = np.rint(off / period)
        by_period = (multiple >= 1) & (np.abs(off - multiple * period) <= NEAR * period)
        rows += [100 * kept.sum() / np.isfinite(truth).sum(), 100 * by_period.mean(), 100 * (off > period / 2).mean()]
    told = [f.numbers["period"] for f in findings if f.code == "repeated" and "period" in f.numbers]
    picture = prepared.pair.left.copy()
    kept, lost = np.isfinite(after.disparity), np.isfinite(before.disparity) & ~np.isfinite(after.disparity)
    wrong = np.abs(before.disparity - truth) >= period / 2
    picture[kept] = picture[kept] // 2 + np.array([0, 110, 0], np.uint8)
    picture[kept & wrong] = 255, 0, 0
    picture[lost] = picture[lost] // 2 + np.array([0, 0, 110], np.uint8)
    picture[lost & wrong] = 255, 255, 0
    return [*rows, period, told[0] if told else np.nan], np.hstack([prepared.pair.left, picture])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", nargs="+", default=list(SCENES), choices=list(SCENES))
    parser.add_argument("--size", nargs=2, type=int, default=(640, 480))
    parser.add_argument("--widenings", nargs="+", type=float, default=WIDENINGS, help="of each scene's baseline")
    parser.add_argument("--matcher", default="planes")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of what is kept")
    arguments = parser.parse_args()
    columns = ("kept", "period", "> half", "kept", "period", "> half", "px", "told")
    print(f"{'':20s}" + "".join(f"{c:>8s}" for c in columns) + "   (matched; supported; period)")
    rows = []
    for name in arguments.scenes:
        for widening in arguments.widenings:
            row, picture = measure(*matched(name, widening, tuple(arguments.size), arguments.matcher))
            rows.append(row)
            print(f"{name + f' x {widening:g}':20s}" + "".join(f"{v:8.2f}" for v in row), flush=True)
            if arguments.pictures:
                arguments.pictures.mkdir(parents=True, exist_ok=True)
                write_picture(arguments.pictures / f"{name}-{widening:g}.png", picture)
    print(f"{'mean of ' + str(len(rows)):20s}" + "".join(f"{v:8.2f}" for v in np.mean(rows, 0)[:6]))


if __name__ == "__main__":
    main()
