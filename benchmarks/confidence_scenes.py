"""Random rectified pairs with exact truth, on which the confidence is trained: scenes, cameras and what photos suffer.

    pair = training_pair(17)         # always the same pair

Every pair is drawn from its own seed, its index. None of the named scenes of `stereo3d.synthetic` is among them: the
tests measure the confidence on those.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from rendered_scenes import PALETTES, SCENES, Frame, thing

from stereo3d import synthetic
from stereo3d.synthetic.houses import SKIES, houses
from stereo3d.synthetic.scene import UPRIGHT, Group, Scene, make_solid, mottled, paint, rod
from stereo3d.synthetic.tables import BOX, DISC, FRUSTUM, PLAIN, RECTANGLE

SEED = 41  # of all pairs
SHINY = 0.25  # share of the scenes with highlights
# kind -> share of the pairs
KINDS = {
    "cards": 0.06,
    "things": 0.1,
    "ground": 0.06,
    "corridor": 0.05,
    "facade": 0.05,
    "relief": 0.03,
    "bust": 0.04,
    "clutter": 0.19,
    "plants": 0.1,
    "screens": 0.08,
    "bare": 0.14,
    "sky": 0.1,
}


@dataclass(frozen=True, eq=False)
class TrainingPair:
    """Pictures (H,W,3) u8, their disparities (H,W) f32, px, NaN where there is no surface, and the range searched.

    seen: pixels inside either photo; infinity: px, disparity of the sky where the matcher is to know it.
    """

    name: str
    left: np.ndarray
    right: np.ndarray
    truth: tuple[np.ndarray, np.ndarray]
    d_range: tuple[int, int]
    infinity: float | None


def plain(frame: Frame) -> tuple:
    """A paint without texture, or with hardly any."""
    rng = frame.rng
    grey = int(rng.integers(40, 245))
    tint = rng.integers(-14, 15, 3)
    colour = "".join(f"{int(np.clip(grey + t, 0, 255)):02x}" for t in tint)
    if rng.random() < 0.5:
        return paint(PLAIN, colour)
    contrast = rng.uniform(0.02, 0.12)
    cell = rng.uniform(10, 60) * frame.near / frame.focal
    return mottled(f"{colour} {colour}", cell, seed=frame.seed(), contrast=contrast, grain=rng.uniform(0.02, 0.1))


def clutter(frame: Frame, bare: float = 0.2) -> Scene:
    """Many things close together before a wall, as on a shelf; `bare`: the share of them without texture."""
    rng = frame.rng
    groups = [frame.wall(15)]
    if rng.random() < bare:
        groups = [(replace(groups[0][0], paint=plain(frame)),)]
    if rng.random() < 0.5:
        height = rng.uniform(0.5, 0.95) * frame.tan[1] * frame.near * 1.3
        coat = plain(frame) if rng.random() < bare else frame.coat(frame.near)
        groups.append((make_solid(RECTANGLE, (0, height, 0), (60, 60, 1), coat, axes=UPRIGHT),))
    for _ in range(rng.integers(8, 26)):
        z = frame.depth()
        of = thing(frame, frame.place(z, 1.0), z)
        if rng.random() < bare:
            coat = plain(frame)
            of = tuple(replace(solid, paint=coat) for solid in of)
        groups.append(of)
    return frame.scene(groups)


def bare(frame: Frame) -> Scene:
    """Walls and things without texture; among them some that have it, and dark panes."""
    scene = clutter(frame, bare=frame.rng.uniform(0.5, 1.0))
    groups = list(scene.groups)
    for _ in range(frame.rng.integers(0, 4)):
        z = frame.far * frame.rng.uniform(0.8, 0.97)
        size = frame.rng.uniform(0.08, 0.3, 2) * frame.tan[0] * z
        dark = paint(PLAIN, f"{frame.rng.integers(8, 60):02x}" * 3)
        groups.append((make_solid(RECTANGLE, frame.place(z), (*size, 1), dark),))
    return frame.scene(groups)


def plants(frame: Frame) -> Scene:
    """Twigs and leaves before a wall or before a ground."""
    rng = frame.rng
    scene = SCENES["ground" if rng.random() < 0.4 else "cards"][0](frame)
    groups: list[Group] = list(scene.groups[: rng.integers(2, 5)])
    px = frame.near / frame.focal
    for _ in range(rng.integers(2, 6)):
        z = frame.near * rng.uniform(1.0, 1.6)
        foot = np.array(frame.place(z))
        colours = PALETTES[rng.integers(len(PALETTES))]
        bark, leaf = (mottled(colours, 12 * px, seed=frame.seed()) for _ in range(2))
        for _ in range(rng.integers(3, 9)):
            way = np.array([rng.normal(), -abs(rng.normal()) - 0.3, 0.4 * rng.normal()])
            length = rng.uniform(0.2, 0.7) * frame.tan[1] * z
            path = foot + length * np.linspace(0, 1, 4)[:, None] * way + rng.normal(0, 0.03 * length, (4, 3))
            groups.append(rod(path, rng.uniform(0.8, 4) * px, bark))
            for _ in range(rng.integers(0, 5)):
                at = path[1 + rng.integers(3)] + rng.normal(0, 0.1 * length, 3)
                size = rng.uniform(4, 22) * px * np.array([1, rng.uniform(0.3, 1), 1])
                turn = rng.uniform(-70, 70, 3)
                groups.append((make_solid(DISC, at, size, leaf, turn=turn, shape=(0, 1)),))
    return frame.scene(groups)


def screens(frame: Frame) -> Scene:
    """A fence, a grid or slats, all alike, before other things."""
    rng = frame.rng
    scene = SCENES[("things", "cards", "facade")[rng.integers(3)]][0](frame)
    groups: list[Group] = list(scene.groups)
    z = frame.near * rng.uniform(0.95, 1.3)
    px, coat = z / frame.focal, plain(frame) if rng.random() < 0.5 else frame.coat(frame.near)
    step, half = rng.uniform(14, 50) * px, rng.uniform(1, 5) * px
    ways = ((1, 0), (0, 1), (1, 1))[rng.integers(3)]
    reach = rng.uniform(0.5, 1.2) * np.array(frame.tan) * z
    middle = np.array(frame.place(z, 0.3))
    for upright, there in enumerate(ways):
        for k in range(int(reach[1 - upright] * 2 / step) if there else 0):
            along = -reach[1 - upright] + k * step
            offset = (along, 0, 0) if upright == 0 else (0, along, 0)
            size = (half, reach[1], half) if upright == 0 else (reach[0], half, half)
            if rng.random() < 0.5:
                groups.append((make_solid(BOX, middle + offset, size, coat),))
            else:
                axes = UPRIGHT if upright == 0 else ((0, 1, 0), (0, 0, 1), (1, 0, 0))
                shape = (half, half, reach[1] if upright == 0 else reach[0])
                groups.append((make_solid(FRUSTUM, middle + offset, shape, coat, axes=axes, shape=(1, 1, 3)),))
    return frame.scene(groups)


OWN_SCENES = {"clutter": clutter, "bare": bare, "plants": plants, "screens": screens}


def sky_scene(rng: np.random.Generator) -> Scene:
    """Houses and trees under one of the skies, seen from another place than in the tests."""
    scene = houses(list(SKIES)[rng.integers(len(SKIES))], white=bool(rng.random() < 0.4))
    eye = (rng.uniform(-4, 4), rng.uniform(-0.8, 0.8), rng.uniform(-3, 3))
    return replace(scene, eye=eye, target=(rng.uniform(-4, 4), rng.uniform(-6, -1), 16))


def shiny(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with highlights on some of its paints."""
    groups = []
    for group in scene.groups:
        share, gloss = rng.uniform(0.05, 0.4), rng.uniform(8, 60)
        gleams = rng.random() < 0.6
        coats = [(*s.paint[:13], share, gloss, *s.paint[15:]) if gleams else s.paint for s in group]
        groups.append(tuple(replace(s, paint=coat) for s, coat in zip(group, coats, strict=True)))
    return replace(scene, groups=tuple(groups))


def photographed(pictures: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """What cameras and rectification do to pictures: exposure, blur, rows that do not quite meet, noise, JPEG."""
    out = []
    blur, noise = rng.choice([0, 0.4, 0.7, 1.1], p=(0.3, 0.3, 0.25, 0.15)), rng.choice([0.3, 1, 2, 4, 7])
    shift = rng.uniform(-1, 1) * rng.choice([0, 0.15, 0.4, 0.7], p=(0.35, 0.35, 0.2, 0.1))
    quality = int(rng.choice([0, 95, 85, 70], p=(0.4, 0.25, 0.25, 0.1)))
    gain, offset = np.exp(rng.normal(0, 0.08)), rng.normal(0, 4)
    other = bool(rng.random() < 0.35)
    tint = np.exp(rng.normal(0, 0.04, 3)) if rng.random() < 0.3 else np.ones(3)
    for second, picture in enumerate(pictures):
        value = picture.astype(np.float32)
        if second and shift:
            move = np.float32([[1, 0, 0], [0, 1, shift]])
            size = value.shape[1::-1]
            value = cv2.warpAffine(value, move, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if second and other:
            value = value * (gain * tint).astype(np.float32) + np.float32(offset)
        if blur:
            value = cv2.GaussianBlur(value, ksize=(0, 0), sigmaX=float(blur) * (1.3 if second and other else 1.0))
        value = value + rng.normal(0, noise, value.shape)
        value = np.clip(np.rint(value), 0, 255).astype(np.uint8)
        if quality:
            code = cv2.imencode(".jpg", value[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            value = cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1]
        out.append(np.ascontiguousarray(value))
    return out


def training_pair(index: int, scale: float = 1.0) -> TrainingPair:
    """Pair `index`; scale: of the number of pixels in a row."""
    rng = np.random.default_rng([SEED, index])
    kind = str(rng.choice(list(KINDS), p=np.array(list(KINDS.values())) / sum(KINDS.values())))
    width, height = [(416, 352), (448, 368), (512, 384), (640, 400)][rng.choice(4, p=(0.35, 0.35, 0.2, 0.1))]
    f = width * rng.uniform(0.75, 2.2)
    near = float(np.exp(rng.uniform(np.log(0.5), np.log(3))))
    ratio = float(np.exp(rng.uniform(np.log(1.3), np.log(5))))
    largest = rng.uniform(0.05, 0.19) * width  # px, disparity of the nearest things
    if kind == "sky":
        scene, near = sky_scene(rng), 4.0  # m: the nearest ground
        f, largest = width * rng.uniform(0.7, 1.0), 0.7 * largest
    else:
        frame = Frame(rng, (width / 2 / f, height / 2 / f), f, near, near * ratio, bool(rng.random() < 0.15))
        scene = OWN_SCENES[kind](frame) if kind in OWN_SCENES else SCENES[kind][0](frame)
    if rng.random() < SHINY and kind != "sky":
        scene = shiny(scene, rng)
    width, height, f, largest = round(width * scale), round(height * scale), f * scale, largest * scale
    K = np.array([[f, 0, (width - 1) / 2], [0, f, (height - 1) / 2], [0, 0, 1]])
    pair = synthetic.render(
        replace(scene, film=bool(rng.random() < 0.5)),
        size=(width, height),
        K=K,
        pose="rectified",
        baseline=largest * near / f,
        vignetting=0.1,
        supersample=2 if scale == 1 else 1,
    )
    left, right = photographed([pair.left.pixels, pair.right.pixels], rng)
    truth = pair.disparity_left, pair.disparity_right
    assert truth[0] is not None and truth[1] is not None
    lo = 0 if rng.random() < 0.6 or kind == "sky" else int(np.floor(np.nanmin(truth[0])) - rng.integers(1, 9))
    hi = int(np.ceil(max(np.nanmax(truth[0]), np.nanmax(truth[1])))) + int(rng.integers(1, 17))
    infinity = 0.0 if kind == "sky" and rng.random() < 0.8 else None
    return TrainingPair(f"{index:03d} {kind}", left, right, (truth[0], truth[1]), (lo, min(hi, width // 3)), infinity)
