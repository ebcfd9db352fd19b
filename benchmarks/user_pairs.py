"""Pairs as users have them, with truth: moved things, overlays, edited photos, lenses, video, patterns that repeat.

    python benchmarks/user_pairs.py [--kinds plain stamp ...] [--draws 4] [--first 0] [--jobs 2] [--cache DIR] [--list]

Each draw of a kind is a scene of `rendered_scenes` of 640 x 480 px, photographed by hand, then changed as the kind
says; every run is forced. Printed for each: the verdict, the median error of depth, the stretch and the share of the
surface off by more than 5 % (as `verdict_truth`), the coverage, and the warnings. A line ends in WRONG where "good" or
"fair" is said above the bars of `verdict_truth`, or "good" while more than a sixth of the surface is off by over 5 %.

--summary prints one line for each kind instead: words, how many are wrong, medians, and how often each code was found.
"""

import argparse
import json
import os
import pickle
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import verdict_truth
from rendered_pairs import Facts, motion_of
from rendered_scenes import PALETTES, SCENES, Frame

from stereo3d import synthetic
from stereo3d.cameras.focal import DIAGONAL_35MM
from stereo3d.geometry import rotation_from_vector
from stereo3d.records import Camera, Photo
from stereo3d.synthetic.scene import Group, Scene, make_solid, mottled, paint
from stereo3d.synthetic.tables import BOX, CHECKS, PLAIN, RECTANGLE, WALL

SIZE = (640, 480)
SEED = 77
MAX_BEYOND = 1 / 6  # of the surface of a "good" pair, off by more than 5 %


@dataclass(eq=False)
class Draw:
    """A pair and its truth; knows: "exif" or "nothing". The truth is that of the first photo."""

    rng: np.random.Generator
    facts: Facts
    scene: Scene
    pose: tuple[np.ndarray, np.ndarray]
    camera: Camera
    knows: str
    left: np.ndarray | None = None
    right: np.ndarray | None = None
    depth: np.ndarray | None = None
    depth2: np.ndarray | None = None
    exif_factor: float = 1.0
    exif_right: bool = True
    quality: int = 92
    settings: dict = field(default_factory=dict)

    def render(self, *, scene: Scene | None = None, pose=None, dist=(), noise: float = 1.5):
        return synthetic.render(
            scene or self.scene,
            size=SIZE,
            K=self.camera.K,
            dist=dist,
            pose=self.pose if pose is None else pose,
            noise=noise,
            vignetting=0.1,
            supersample=2,
            seed=self.facts.index,
        )

    def shoot(self, **options) -> "Draw":
        pair = self.render(**options)
        self.left, self.right = pair.left.pixels.copy(), pair.right.pixels.copy()
        self.depth, self.depth2 = pair.depth1, pair.depth2
        self.camera = replace(self.camera, dist=np.array(options.get("dist", ())))
        return self


def draw(index: int, *, scene: str | None = None, motion: str | None = None, baseline: float | None = None) -> Draw:
    rng = np.random.default_rng([SEED, index])
    name = scene or str(rng.choice(["cards", "things", "ground", "corridor", "bust"]))
    motion = motion or str(rng.choice(["handheld", "sideways", "converging", "handheld"]))
    focal = float(rng.choice([26, 28, 35]))
    near = float(np.exp(rng.uniform(np.log(0.5), np.log(4))))
    ratio = float(np.exp(rng.uniform(np.log(1.6), np.log(4))))
    limit = float(rng.uniform(0.05, 0.15)) if motion != "converging" else float(rng.uniform(0.12, 0.3))
    far = 1.15 * near if name == "plane" else near * ratio
    base = limit if baseline is None else baseline
    facts = Facts(index, name, motion, "", SIZE, focal, near, far, base, False, (0, 0), 0.0, 1.5, 92, 1.0, 1.0)
    f = focal * np.hypot(*SIZE) / DIAGONAL_35MM
    K = np.array([[f, 0, (SIZE[0] - 1) / 2], [0, f, (SIZE[1] - 1) / 2], [0, 0, 1]])
    tan = SIZE[0] / 2 / f, SIZE[1] / 2 / f
    frame = Frame(rng, tan, f, near, far, False)
    made = SCENES[name][0](frame)
    pose = motion_of(facts, rng, float(np.sqrt(near * far)), tan)
    knows = "exif" if index % 4 < 2 else "nothing"
    return Draw(rng, facts, made, pose, Camera(K, SIZE, source="given"), knows)


def tan_of(d: Draw) -> tuple[float, float]:
    f = d.camera.focal
    return SIZE[0] / 2 / f, SIZE[1] / 2 / f


# ------------------------------------------------------------------------------------------------------- the kinds


def plain(index: int) -> Draw:
    """As it is."""
    return draw(index).shoot()


def moved(index: int, way: str) -> Draw:
    """A box over 10 to 40 % of the picture has moved between the shots: any way, or along the camera's step."""
    d = draw(index)
    rng, (tx, ty) = d.rng, tan_of(d)
    z = d.facts.near * 0.9
    share = rng.uniform(0.1, 0.4)
    half = np.array([0.5 * np.sqrt(share) * 2 * tx * z * 0.8, 0.5 * np.sqrt(share) * 2 * ty * z * 1.1])
    coat = mottled(PALETTES[rng.integers(len(PALETTES))], 30 * z / d.camera.focal, seed=int(rng.integers(9000)))
    at = np.array([rng.uniform(-0.5, 0.5) * tx * z, rng.uniform(-0.4, 0.4) * ty * z, z])
    centre2 = -d.pose[0].T @ d.pose[1]
    size = rng.uniform(0.15, 0.6) * half[0]
    if way == "any":
        shift = rng.normal(size=3) * [1, 0.6, 0.4]
        shift *= size / np.linalg.norm(shift)
    else:
        shift = size * rng.choice([-1, 1]) * centre2 / np.linalg.norm(centre2)

    def solid(c, turn) -> Group:
        return (make_solid(BOX, c, (*half, 0.4 * half[0]), coat, turn=turn),)

    turn2 = rng.normal(0, 4, 3) if way == "any" else np.zeros(3)
    before = replace(d.scene, groups=(*d.scene.groups, solid(at, (0, 10, 0))))
    after = replace(d.scene, groups=(*d.scene.groups, solid(at + shift, (0, 10, 0) + turn2)))
    second = d.render(scene=after)
    d.shoot(scene=before)
    d.right = second.right.pixels.copy()
    return d


def reflection(index: int) -> Draw:
    """A pane over half of the picture reflects another scene by 35 to 60 %, which lies behind it as in a mirror."""
    d = draw(index).shoot()
    other = draw(index + 1000)
    alpha = float(d.rng.uniform(0.35, 0.6))
    mirrored = d.render(scene=other.scene)
    for name, picture in (("left", mirrored.left.pixels), ("right", mirrored.right.pixels)):
        mine = getattr(d, name).astype(float)
        # the pane: half of the picture, at the same place of the world only roughly
        mine[:, : SIZE[0] // 2] = (1 - alpha) * mine[:, : SIZE[0] // 2] + alpha * picture[:, : SIZE[0] // 2]
        setattr(d, name, mine.clip(0, 255).astype(np.uint8))
    return d


def enlarged(picture: np.ndarray, factor: float, at=(0.5, 0.5)) -> np.ndarray:
    h, w = picture.shape[:2]
    c = np.array([w - 1, h - 1]) * at
    M = np.array([[factor, 0, (1 - factor) * c[0]], [0, factor, (1 - factor) * c[1]]])
    return cv2.warpAffine(picture, M, (w, h), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def zoomed(index: int) -> Draw:
    """The second photo is zoomed by 1.25 to 1.8, without EXIF."""
    d = draw(index).shoot()
    d.knows = "nothing"
    d.right = enlarged(d.right, float(d.rng.uniform(1.25, 1.8)))
    return d


def refocused(index: int) -> Draw:
    """The focus changed between the photos: the second has .985 to 1.015 times the focal length, by .3 % at least."""
    d = draw(index).shoot()
    change = d.rng.choice([-1, 1]) * d.rng.uniform(0.003, 0.015)
    d.right = enlarged(d.right, float(1 + change))
    return d


def cropped(index: int) -> Draw:
    """The second photo is a crop of two thirds at one side, of the same proportions, without EXIF."""
    d = draw(index).shoot()
    d.knows = "nothing"
    w, h = SIZE[0] * 2 // 3, SIZE[1] * 2 // 3
    x, y = int(d.rng.integers(0, SIZE[0] - w)), int(d.rng.integers(0, SIZE[1] - h))
    d.right = d.right[y : y + h, x : x + w]
    return d


def trimmed(index: int) -> Draw:
    """Both photos are cropped alike, from one side (a portrait out of a landscape), without EXIF."""
    d = draw(index).shoot()
    d.knows = "nothing"
    w = SIZE[0] * 6 // 10
    x = 0 if index % 2 else SIZE[0] - w
    d.left, d.right = d.left[:, x : x + w], d.right[:, x : x + w]
    d.depth = d.depth[:, x : x + w]
    K = d.camera.K.copy()
    K[0, 2] -= x
    d.camera = replace(d.camera, K=K, size=(w, SIZE[1]))
    return d


def resized(index: int) -> Draw:
    """The second photo has .6 of the pixels in a row."""
    d = draw(index).shoot()
    d.right = cv2.resize(d.right, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    return d


def turned(index: int, quarters: int) -> Draw:
    """The second photo is stored turned by 90 or 180 degrees, nothing says so."""
    d = draw(index).shoot()
    d.right = np.ascontiguousarray(np.rot90(d.right, quarters))
    return d


def mirrored(index: int, both: bool = False) -> Draw:
    """The second photo is mirrored, or both are."""
    d = draw(index).shoot()
    d.right = np.ascontiguousarray(d.right[:, ::-1])
    if both:
        d.left, d.depth = np.ascontiguousarray(d.left[:, ::-1]), d.depth[:, ::-1]
    return d


def poster(index: int) -> Draw:
    """A poster that shows a scene fills both photos but for a narrow border with the wall."""
    d = draw(index, scene="plane")
    picture = draw(index + 2000).shoot(noise=0).left
    picture = cv2.resize(picture, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
    h, w = picture.shape[:2]
    z, tx = float(np.sqrt(d.facts.near * d.facts.far)), tan_of(d)[0]
    turn = rotation_from_vector(np.radians(d.rng.uniform(-25, 25, 3) * [1, 1, 0.3]))
    wide = 1.5 * tx * z
    scale = 2 * wide / w
    G = turn @ np.array([[scale, 0, -scale * w / 2], [0, scale, -scale * h / 2], [0, 0, 0]])
    G[:, 2] += [0, 0, z]
    R, t = d.pose
    H1 = d.camera.K @ G
    H2 = d.camera.K @ (R @ G + np.outer(t, [0, 0, 1.0]))
    for name, H in (("left", H1), ("right", H2)):
        photo = cv2.warpPerspective(picture, H, SIZE, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
        photo = photo + d.rng.normal(0, 1.5, photo.shape)
        setattr(d, name, photo.clip(0, 255).astype(np.uint8))
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(d.camera.K).T
    d.depth = (np.array([0, 0, z]) @ turn[:, 2]) / (rays @ turn[:, 2])
    return d


def bokeh(index: int) -> Draw:
    """Portrait mode: what lies behind the middle depth is blurred, by a mask that is rough at the borders."""
    d = draw(index).shoot()
    middle = float(np.sqrt(d.facts.near * d.facts.far))
    for name, depth in (("left", d.depth), ("right", d.depth2)):
        mask = np.nan_to_num(depth, nan=99) > middle
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 3)[..., None]
        photo = getattr(d, name).astype(np.float32)
        photo = (1 - soft) * photo + soft * cv2.GaussianBlur(photo, (0, 0), 4.0)
        setattr(d, name, photo.astype(np.uint8))
    return d


def barrel(index: int) -> Draw:
    """An action camera: the lens bends the corners by a tenth to a sixth of their distance."""
    d = draw(index)
    d.camera = replace(d.camera, K=d.camera.K * [[0.75, 1, 1], [1, 0.75, 1], [1, 1, 1]])
    d.facts = replace(d.facts, focal_35mm=0.75 * d.facts.focal_35mm)
    corner = np.hypot(*SIZE) / 2 / d.camera.focal
    return d.shoot(dist=(-float(d.rng.uniform(0.1, 0.16)) / corner**2, 0, 0, 0))


def warped(d: Draw, M: np.ndarray) -> Draw:
    d.right = cv2.warpPerspective(d.right, M, SIZE, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return d


def rolling(index: int) -> Draw:
    """Rolling shutter: the second photo is skewed by 1 to 4 % of its height, and stretched by up to 2 %."""
    d = draw(index).shoot()
    s, e = d.rng.choice([-1, 1]) * d.rng.uniform(0.01, 0.04), d.rng.uniform(-0.02, 0.02)
    c = SIZE[1] / 2
    return warped(d, np.array([[1, s, -s * c], [0, 1 + e, -e * c], [0, 0, 1]]))


def stabilised(index: int) -> Draw:
    """Electronic stabilisation: each photo is warped by a small homography; that of the second against the first."""
    d = draw(index).shoot()
    zoom, roll = 1 + d.rng.uniform(0.01, 0.06), np.radians(d.rng.normal(0, 1.0))
    c, s = zoom * np.cos(roll), zoom * np.sin(roll)
    M = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    M[0, 1] += d.rng.normal(0, 0.01)
    M[2, :2] = d.rng.normal(0, 0.015, 2) / SIZE[0]
    M[:2, 2] = d.rng.normal(0, 12, 2)
    T = np.array([[1, 0, SIZE[0] / 2], [0, 1, SIZE[1] / 2], [0, 0, 1.0]])
    return warped(d, T @ M @ np.linalg.inv(T))


def exposure(index: int) -> Draw:
    """Other exposure, contrast and white balance in the second photo."""
    d = draw(index).shoot()
    gain = np.exp(d.rng.uniform(-0.7, 0.5)) * np.exp(d.rng.normal(0, 0.12, 3))
    gamma = np.exp(d.rng.normal(0, 0.25))
    v = 255 * (gain * (d.right / 255.0) ** gamma)
    d.right = v.clip(0, 255).astype(np.uint8)
    return d


def jpeg15(index: int) -> Draw:
    """JPEG of quality 15."""
    d = draw(index).shoot()
    d.quality = 15
    return d


def text(picture: np.ndarray, words: str, at, size: float, colour, thick: int = 2) -> None:
    cv2.putText(picture, words, at, cv2.FONT_HERSHEY_DUPLEX, size, colour, thick, cv2.LINE_AA)


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:-"


def words_of(rng: np.random.Generator, count: int) -> str:
    return "".join(rng.choice(list(LETTERS), count))


def overlay(index: int, what: str) -> Draw:
    """Something lies at the same pixels of both photos: date stamp, caption, watermark, frame, a programme's window."""
    d = draw(index).shoot()
    for photo in (d.left, d.right):
        rng = np.random.default_rng([SEED, index, 5])  # the same in both
        lay = photo.copy()
        if what == "stamp":
            text(
                photo,
                f"{rng.integers(1, 29):02d}.{rng.integers(1, 13):02d}.2024 {rng.integers(10, 24)}:45",
                (SIZE[0] - 300, SIZE[1] - 25),
                1.0,
                (255, 150, 20),
                2,
            )
        elif what == "caption":
            photo[-90:] = (20, 20, 24)
            for row in range(2):
                text(photo, words_of(rng, 32), (14, SIZE[1] - 55 + 38 * row), 0.85, (240, 240, 240))
        elif what == "watermark":
            for k in range(7):
                text(lay, words_of(rng, 30), (int(rng.integers(-60, 20)), 50 + 80 * k), 1.6, (255, 255, 255), 4)
            photo[:] = (0.6 * photo + 0.4 * lay).astype(np.uint8)
        elif what == "frame":
            border = np.kron(rng.integers(0, 255, (SIZE[1] // 9 + 1, SIZE[0] // 9 + 1, 3)), np.ones((9, 9, 1)))
            border = cv2.GaussianBlur(border.astype(np.uint8), (0, 0), 1.5)
            wide = 48
            inside = np.zeros(photo.shape[:2], bool)
            inside[wide:-wide, wide:-wide] = True
            photo[~inside] = border[: SIZE[1], : SIZE[0]][~inside]
        else:  # a programme's window
            photo[:70], photo[-60:], photo[:, :110] = (236, 236, 238), (52, 58, 66), (246, 246, 248)
            for k in range(9):
                x = 16 + 76 * k
                cv2.rectangle(photo, (x, 10), (x + 22, 32), tuple(int(v) for v in rng.integers(0, 255, 3)), -1)
                text(photo, words_of(rng, 6), (x, 56), 0.5, (30, 30, 30), 1)
                text(photo, words_of(rng, 11), (6, 100 + 40 * k), 0.5, (40, 40, 40), 1)
                text(photo, words_of(rng, 8), (x, SIZE[1] - 22), 0.45, (230, 230, 230), 1)
    return d


def bars(index: int) -> Draw:
    """The first photo has black bars above and below, the second at the sides."""
    d = draw(index).shoot()
    a, b = (int(v) for v in d.rng.integers(30, 70, 2))
    d.left[:a] = d.left[-a:] = 0
    d.right[:, :b] = d.right[:, -b:] = 0
    return d


def interlaced(index: int) -> Draw:
    """The odd rows of the second photo are from a moment later, the camera having moved by 4 to 12 % of the step."""
    d = draw(index).shoot()
    R, t = d.pose
    later = d.render(pose=(R, t * (1 + float(d.rng.uniform(0.04, 0.12)))))
    d.right[1::2] = later.right.pixels[1::2]
    return d


def focal_off(index: int) -> Draw:
    """EXIF states a focal length wrong by 30 %."""
    d = draw(index).shoot()
    d.knows, d.exif_factor = "exif", 1.3 if index % 2 else 1 / 1.3
    return d


def panorama_crops(index: int) -> Draw:
    """Two crops of one cylindrical panorama."""
    d = draw(index, motion="rotation", baseline=0.0).shoot()
    d.knows = "nothing"
    f = d.camera.focal
    for name, by in (("left", 0.0), ("right", 0.25)):
        y, x = np.mgrid[: SIZE[1], : SIZE[0]].astype(np.float32)
        angle = (x - (SIZE[0] - 1) / 2) / f + by
        R = rotation_from_vector([0, by, 0])
        rays = np.stack([np.sin(angle), (y - (SIZE[1] - 1) / 2) / f, np.cos(angle)], -1)
        seen = d.render(pose=(R.T, np.zeros(3))).right.pixels if by else d.left
        q = rays @ R
        u = f * q[..., 0] / q[..., 2] + (SIZE[0] - 1) / 2
        v = f * q[..., 1] / q[..., 2] + (SIZE[1] - 1) / 2
        out = cv2.remap(
            seen, u.astype(np.float32), v.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        setattr(d, name, out)
    return d


def pattern(index: int, what: str, unique: bool = False) -> Draw:
    """A wall of equal things fills both photos, turned by up to 25 degrees; with or without a few other things."""
    d = draw(index, scene="plane", motion=("handheld", "sideways")[index % 2])
    rng, f = d.rng, d.camera.focal
    z = float(np.sqrt(d.facts.near * d.facts.far))
    px = z / f
    turn = rng.uniform(-25, 25, 2) if index % 3 else rng.uniform(-6, 6, 2)
    axes = rotation_from_vector(np.radians([*turn, 0]))
    period = px * rng.uniform(22, 70)
    wall, groups = np.array([0, 0, z]), []

    def tile(i, j, half, coat, out=0.0, kind=RECTANGLE, deep=1.0):
        at = wall + axes @ np.array([i, j, -out])
        return make_solid(kind, at, (*half, deep), coat, turn=(*turn, 0))

    wide = (60 * z, 60 * z, 1)
    if what == "checks":
        coat = paint(CHECKS, "d8d2c6 3c4048", (period / 2, 4000, 4000))
        groups.append(
            (make_solid(RECTANGLE, wall, wide, coat, turn=(*turn, 0), texture=(1000 * period, 1000 * period, 0)),)
        )
    elif what == "tiles":
        coat = paint(WALL, PALETTES[rng.integers(len(PALETTES))], (period, 1.2 * period, 0.01), seed=3)
        groups.append((make_solid(RECTANGLE, wall, wide, coat, turn=(*turn, 0)),))
    else:
        back = (
            paint(PLAIN, "c8c4bc")
            if what == "keys"
            else mottled("c8bca4 b8ac94 d0c4ac", 30 * px, seed=1, contrast=0.25, grain=0.05)
        )
        groups.append((make_solid(RECTANGLE, wall, wide, back, turn=(*turn, 0)),))
        period *= 1.5
        nx, ny = int(1.6 * SIZE[0] * px / period), int(1.6 * SIZE[1] * px / period)
        glass = mottled("202830 38485a 60707c 101418", 0.5 * period, seed=7)
        ny = 2 * ny if what == "bricks" else ny
        for j in range(-ny // 2, ny // 2 + 1):
            row = []
            for i in range(-nx // 2, nx // 2 + 1):
                shift = 0.5 * (j % 2) if what == "bricks" else 0.0
                x, y = (i + shift) * period, j * period * (0.55 if what == "bricks" else 1.0)
                if what == "windows":
                    row += [tile(x, y, (0.34 * period, 0.4 * period), paint(PLAIN, "f4f2ee"), 0.01 * period)]
                    row += [tile(x, y, (0.29 * period, 0.35 * period), glass, 0.015 * period)]
                elif what == "bricks":
                    brick = mottled("a4593f 6b3226 d9a07a e5d8c4", 0.3 * period, seed=16, contrast=0.5)
                    row += [tile(x, y, (0.45 * period, 0.22 * period), brick, 0.01 * period)]
                else:
                    row += [
                        tile(
                            x,
                            y,
                            (0.42 * period, 0.42 * period),
                            paint(PLAIN, "30343a"),
                            0.1 * period,
                            BOX,
                            0.1 * period,
                        )
                    ]
                    row += [tile(x, y, (0.2 * period, 0.1 * period), paint(PLAIN, "d8d8d4"), 0.21 * period)]
            groups.append(tuple(row))
    if unique:
        for _ in range(int(rng.integers(2, 5))):
            zz = z * rng.uniform(0.6, 0.9)
            tx, ty = tan_of(d)
            at = (rng.uniform(-0.8, 0.8) * tx * zz, rng.uniform(-0.8, 0.8) * ty * zz, zz)
            size = rng.uniform(0.06, 0.14) * tx * zz
            coat = mottled(PALETTES[rng.integers(len(PALETTES))], 25 * zz / f, seed=int(rng.integers(9000)))
            groups.append((make_solid(BOX, at, (size, size, size), coat, turn=rng.uniform(-40, 40, 3)),))
    lamp = ((-0.6 * z, -0.8 * z, -0.3 * z), 0.05 * z, 0.75)
    return replace_scene(d, Scene(tuple(groups), target=(0, 0, z), lamp=lamp)).shoot()


def replace_scene(d: Draw, scene: Scene) -> Draw:
    d.scene = scene
    return d


KINDS: dict[str, Callable[[int], Draw]] = {
    "plain": plain,
    "moved": lambda i: moved(i, "any"),
    "moved_along": lambda i: moved(i, "along"),
    "reflection": reflection,
    "zoomed": zoomed,
    "refocused": refocused,
    "cropped": cropped,
    "trimmed": trimmed,
    "resized": resized,
    "turned_90": lambda i: turned(i, 1),
    "turned_180": lambda i: turned(i, 2),
    "mirrored": mirrored,
    "mirrored_both": lambda i: mirrored(i, True),
    "poster": poster,
    "bokeh": bokeh,
    "barrel": barrel,
    "rolling": rolling,
    "stabilised": stabilised,
    "exposure": exposure,
    "jpeg15": jpeg15,
    "stamp": lambda i: overlay(i, "stamp"),
    "caption": lambda i: overlay(i, "caption"),
    "watermark": lambda i: overlay(i, "watermark"),
    "frame": lambda i: overlay(i, "frame"),
    "screenshot": lambda i: overlay(i, "screenshot"),
    "bars": bars,
    "interlaced": interlaced,
    "double": lambda i: draw(i, motion="converging", baseline=0.7).shoot(),
    "tiny": lambda i: draw(i, motion="sideways", baseline=0.004).shoot(),
    "rotation": lambda i: draw(i, motion="rotation", baseline=0.0).shoot(),
    "panorama": panorama_crops,
    "focal_off": focal_off,
    "checks": lambda i: pattern(i, "checks"),
    "tiles": lambda i: pattern(i, "tiles"),
    "windows": lambda i: pattern(i, "windows"),
    "bricks": lambda i: pattern(i, "bricks"),
    "keys": lambda i: pattern(i, "keys"),
    "checks_unique": lambda i: pattern(i, "checks", True),
    "tiles_unique": lambda i: pattern(i, "tiles", True),
    "windows_unique": lambda i: pattern(i, "windows", True),
    "bricks_unique": lambda i: pattern(i, "bricks", True),
    "keys_unique": lambda i: pattern(i, "keys", True),
}


# -------------------------------------------------------------------------------------------------------- the runs


def coded(pixels: np.ndarray, quality: int) -> np.ndarray:
    data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def photos_of(d: Draw) -> tuple[Photo, Photo]:
    exif = {"focal_35mm": d.facts.focal_35mm * d.exif_factor} if d.knows == "exif" else {}
    return Photo(coded(d.left, d.quality), exif), Photo(coded(d.right, d.quality), exif if d.exif_right else {})


def kept_draw(kind: str, index: int, folder: Path | None) -> Draw:
    """The draw, kept in a folder once rendered."""
    path = folder / f"{kind}-{index}.pickle" if folder else None
    if path and path.exists():
        return pickle.loads(path.read_bytes())
    d = KINDS[kind](index)
    if path:
        verdict_truth.save(path, pickle.dumps(d))
    return d


def run(task) -> dict:
    kind, index, photos = task
    import cv2

    import stereo3d
    from stereo3d.errors import StereoError

    cv2.setNumThreads(1)
    d = kept_draw(kind, index, photos)
    record = {
        "key": f"{kind} {index}",
        "kind": kind,
        "index": index,
        "name": f"{kind} {index} {d.facts.scene} {d.facts.motion} {d.knows}",
        "refused": None,
    }
    try:
        result = stereo3d.reconstruct(*photos_of(d), None, stereo3d.Config(force=True, **d.settings))
    except StereoError as error:
        return record | {"refused": error.code, "message": str(error)}
    except Exception as error:
        return record | {"refused": f"CRASH {type(error).__name__}", "message": str(error)}
    findings = [
        verdict_truth.plain({"code": f.code, "severity": f.severity, "numbers": f.numbers}) for f in result.findings
    ]
    errors = verdict_truth.measure(result, d.camera, d.depth, d.pose)
    return record | verdict_truth.plain(
        {
            "findings": findings,
            "coverage": result.coverage,
            "relative_sigma": result.relative_sigma,
            "inliers": result.view.inliers.sum(),
            "matches": len(result.matches),
            "errors": errors.__dict__,
        }
    )


def wrong(record: dict) -> bool:
    word = verdict_truth.verdict_of(record)
    if word not in verdict_truth.BARS:
        return False
    return verdict_truth.above(record, *verdict_truth.BARS[word][:2]) or (
        word == "good" and record["errors"]["beyond"] > MAX_BEYOND
    )


def records(tasks, label: str, cache: Path | None, jobs: int) -> list[dict]:
    found, missing = {}, []
    for task in tasks:
        path = cache / label / f"{task[0]}-{task[1]}.json" if cache else None
        if path and path.exists():
            found[task[:2]] = json.loads(path.read_text())
        else:
            missing.append(task)
    with get_context("spawn").Pool(jobs) as pool:
        for count, record in enumerate(pool.imap_unordered(run, missing), 1):
            found[record["kind"], record["index"]] = record
            if cache:
                verdict_truth.save(
                    cache / label / f"{record['kind']}-{record['index']}.json", json.dumps(record).encode()
                )
            print(f"{count}/{len(missing)} {verdict_truth.row(record)}", file=sys.stderr, flush=True)
    return [found[task[:2]] for task in tasks]


def summarise(kind: str, rows: list[dict]) -> str:
    words = Counter(verdict_truth.verdict_of(r) for r in rows)
    measured = [r for r in rows if not r["refused"]]
    error, stretch, beyond = (
        np.median([r["errors"][k] for r in measured] or [np.nan]) for k in ("error", "stretch", "beyond")
    )
    codes = Counter(code for r in rows for code in verdict_truth.codes_of(r))
    shown = ", ".join(f"{code} {n}" for code, n in codes.most_common(6))
    counts = "".join(f"{words[w]:5d}" for w in ("good", "fair", "poor", "refused"))
    return f"{kind:16s}{counts}{sum(map(wrong, rows)):6d}{100 * error:9.2f}{stretch:8.2f}{100 * beyond:8.1f}   {shown}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--label", help="of the records in the cache; default: the hash of the code")
    parser.add_argument("--photos", help="label of the photos in the cache; default: the hash of these files")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--pictures", type=Path, help="write the photos here and do not run")
    arguments = parser.parse_args()
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    indices = range(arguments.first, arguments.first + arguments.draws * arguments.step, arguments.step)
    if arguments.pictures:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
        for kind in arguments.kinds:
            for index in indices:
                both = [cv2.resize(p.pixels, (480, 360)) for p in photos_of(KINDS[kind](index))]
                cv2.imwrite(str(arguments.pictures / f"{kind}-{index}.jpg"), np.hstack(both)[..., ::-1])
        return
    root = verdict_truth.ROOT
    code = [p for p in root.glob("stereo3d/**/*.py") if p.parts[-2:] != ("diagnosis", "verdict.py")]
    label = arguments.label or verdict_truth.hash_of(code)
    made = [Path(__file__), *(root / "benchmarks" / name for name in ("rendered_pairs.py", "rendered_scenes.py"))]
    photos = arguments.cache / f"draws-{arguments.photos or verdict_truth.hash_of(made)}" if arguments.cache else None
    tasks = [(kind, index, photos) for kind in arguments.kinds for index in indices]
    rows = records(tasks, label, arguments.cache, arguments.jobs)
    if arguments.list:
        print(verdict_truth.HEAD)
        for record in rows:
            print(verdict_truth.row(record) + (" WRONG" if wrong(record) else ""))
    print(f"{'kind':16s} good fair poor refd wrong   error% stretch  >5 %    findings")
    for kind in arguments.kinds:
        print(summarise(kind, [r for r in rows if r["kind"] == kind]))


if __name__ == "__main__":
    main()
