"""Random rendered pairs with exact truth: scenes, motions, lenses, noise, windows, and what the user knows.

    python benchmarks/rendered_pairs.py [--count 12] [--first 0] [--folder out]     (writes the photos and prints facts)

    pair = rendered_pair(17)         # always the same pair
    for pair in rendered_pairs(400): ...

Every pair is drawn from its own seed, its index, so that any subset can run. Photos are 400 px or 480 px wide. The
motions' lengths are shares of the depth of the scene; some pairs hold no depth at all, or too little (a turn on the
spot, one plane), since a verdict has to name them.
"""

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from rendered_scenes import SCENES, Frame

from stereo3d import synthetic
from stereo3d.cameras import camera_for
from stereo3d.cameras.focal import DIAGONAL_35MM
from stereo3d.geometry import rotation_from_vector
from stereo3d.records import Camera, Photo, Rig
from stereo3d.synthetic.still_life import still_life

COUNT = 480
SEED = 14  # of all pairs
# what the user knows -> share of the pairs
KNOWS = {
    "nothing": 0.36,
    "exif": 0.26,  # focal length to 2 %
    "exif off": 0.08,  # focal length wrong by 5 to 10 %
    "K": 0.18,  # exact intrinsics
    "rig": 0.09,  # exact intrinsics and pose
    "rig off": 0.03,  # the rig after a knock: turned by .1 to .5 degrees
}
MOTIONS = {
    "handheld": 0.3,  # a step to any side, turned towards the scene
    "sideways": 0.2,  # nearly parallel
    "rectified": 0.06,  # exactly parallel
    "vertical": 0.05,
    "converging": 0.14,
    "oblique": 0.07,  # sideways and ahead
    "forward": 0.06,  # the epipole is inside the picture
    "turned": 0.03,  # camera 2 held upright
    "small": 0.06,  # a baseline of .2 to 1.2 % of the depth
    "rotation": 0.03,  # on the spot
}


@dataclass(frozen=True)
class Facts:
    """How a pair was drawn.

    focal_35mm: mm, of the true lens; near, far: m, of the scene; baseline: share of the middle depth; windows: px by
    which each principal point is off the middle (x), in the first and the second photo; bend: px, of the lens in the
    corner; exif_factor: EXIF's focal length over the true one.
    """

    index: int
    scene: str
    motion: str
    knows: str
    size: tuple[int, int]
    focal_35mm: float
    near: float
    far: float
    baseline: float
    repeated: bool
    windows: tuple[float, float]
    bend: float
    noise: float
    jpeg: int
    gain: float
    exif_factor: float


@dataclass(frozen=True, eq=False)
class RenderedPair:
    """Two photos, what the user gives to the run (`given`; EXIF is in the photos as well), and the truth."""

    name: str
    facts: Facts
    left: Photo
    right: Photo
    given: Rig
    rig: Rig
    depth1: np.ndarray  # (H,W) m, z-depth on the first photo's pixels
    visible1: np.ndarray  # (H,W) whether the second photo shows it


def pick(rng: np.random.Generator, shares: dict[str, float]) -> str:
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def draw(index: int) -> Facts:
    """The facts of pair `index`."""
    rng = np.random.default_rng([SEED, index])
    scene = "still_life" if rng.random() < 0.03 else pick(rng, {name: share for name, (_, share) in SCENES.items()})
    motion, knows = pick(rng, MOTIONS), pick(rng, KNOWS)
    if scene == "corridor" and rng.random() < 0.3:
        motion = "forward"
    focal = float(rng.choice([18, 24, 26, 28, 35, 50, 85, 135], p=(0.06, 0.14, 0.2, 0.15, 0.18, 0.15, 0.08, 0.04)))
    focal *= float(np.exp(rng.uniform(-0.06, 0.06)))
    near = float(np.exp(rng.uniform(np.log(0.3), np.log(8))))
    ratio = float(np.exp(rng.uniform(np.log(1.25), np.log(6 if focal < 60 else 2.5))))
    if scene in ("plane", "relief"):
        near, ratio = near * ratio, 1.1
    size = [(400, 300), (300, 400), (480, 360)][rng.choice(3, p=(0.55, 0.1, 0.35))]
    limit = 0.3 * max(size) / (focal * np.hypot(*size) / DIAGONAL_35MM)  # parallel cameras must see the same
    baseline = float(np.exp(rng.uniform(np.log(0.03), np.log(0.2))))
    if motion in ("sideways", "rectified", "vertical", "oblique"):
        baseline = min(baseline, limit)
    elif motion == "small":
        baseline = float(np.exp(rng.uniform(np.log(0.002), np.log(0.012))))
    elif motion == "converging":
        baseline = float(rng.uniform(0.15, 0.45))
    elif motion == "rotation":
        baseline = 0.0
    window = rng.random() < 0.15 and motion != "turned"
    windows = tuple(np.round(rng.uniform(-0.15, 0.15, 2) * size[0], 1).tolist()) if window else (0.0, 0.0)
    return Facts(
        index=index,
        scene=scene,
        motion=motion,
        knows=knows,
        size=size,
        focal_35mm=focal,
        near=near,
        far=near * ratio,
        baseline=baseline,
        repeated=bool(rng.random() < 0.15),
        windows=windows,
        bend=float(rng.uniform(-0.03, 0.03) * np.hypot(*size) / 2) if rng.random() < 0.4 else 0.0,
        noise=float(rng.choice([0.0, 1.0, 2.0, 4.0], p=(0.25, 0.4, 0.25, 0.1))),
        jpeg=int(rng.choice([0, 95, 85, 70], p=(0.3, 0.3, 0.3, 0.1))),
        gain=float(np.exp(rng.normal(0, 0.08))),
        exif_factor=exif_factor(rng, knows),
    )


def name_of(facts: Facts) -> str:
    name = f"{facts.index:03d} {facts.scene} {facts.motion} {facts.knows}"
    return name + ", window" * any(facts.windows) + ", repeated" * facts.repeated


def exif_factor(rng: np.random.Generator, knows: str) -> float:
    if knows == "exif off":
        return float(1 + rng.choice([-1, 1]) * rng.uniform(0.05, 0.1))
    return float(1 + rng.normal(0, 0.01)) if knows == "exif" else 1.0


def motion_of(facts: Facts, rng: np.random.Generator, z: float, tan) -> tuple[np.ndarray, np.ndarray]:
    """R, t of camera 2, its centre `facts.baseline` times z away, inside the scene; tan: of half the field of view."""
    side, shake = float(rng.choice([-1, 1])), rng.normal(0, 1, 3)
    small = rng.normal(0, 0.08, 3)
    way, aim, turn = {
        "handheld": (np.array([side, 0, 0]) + 2 * small, rng.uniform(0.5, 0.9), 1.5 * shake),
        "sideways": (np.array([side, 0, 0]) + small, 0.0, 0.7 * shake),
        "rectified": (np.array([side, 0, 0]), 0.0, 0 * shake),
        "vertical": (np.array([0, side, 0]) + small, 0.0, 0.7 * shake),
        "converging": (np.array([side, 0.2, 0.1]) + 2 * small, 1.0, 2 * shake),
        "oblique": (np.array([side, 0, rng.uniform(0.4, 1.2)]) + small, 0.2, shake),
        "forward": (np.array([0, 0, 1]) + 1.5 * small, 0.0, shake),
        "turned": (np.array([side, 0, 0]) + small, 0.7, shake),
        "small": (np.array([side, 0, 0]) + 2 * small, rng.uniform(0, 1), shake),
        "rotation": (np.zeros(3), 0.0, 3 * shake + [0, 4 * side, 0]),
    }[facts.motion]
    C = way / max(np.linalg.norm(way), 1e-9) * facts.baseline * z
    if facts.motion == "forward":
        C *= min(1.0, 0.4 * facts.near / max(C[2], 1e-9))
    room = 0.6 * np.array(tan) * facts.near  # half the clear space about camera 1
    if facts.scene in ("ground", "corridor"):
        C *= min(1.0, room[1] / max(abs(C[1]), 1e-9))
    if facts.scene == "corridor":
        C *= min(1.0, room[0] / max(abs(C[0]), 1e-9))
    x, y, ahead = np.array([0, 0, z]) - C
    aimed = rotation_from_vector(aim * np.array([np.arctan2(y, ahead), -np.arctan2(x, ahead), 0.0]))
    R = rotation_from_vector(np.radians(turn)) @ aimed
    if facts.motion == "turned":
        R = rotation_from_vector(np.radians([0, 0, -90 * side])) @ R
    return R, -R @ C + 0.0


def cameras_of(facts: Facts) -> tuple[Camera, Camera]:
    """The true cameras."""
    sizes = facts.size, facts.size[::-1] if facts.motion == "turned" else facts.size
    f = facts.focal_35mm * np.hypot(*facts.size) / DIAGONAL_35MM
    k1 = facts.bend * f**2 / (np.hypot(*facts.size) / 2) ** 3
    cameras = []
    for size, shift in zip(sizes, facts.windows, strict=True):
        K = np.array([[f, 0, (size[0] - 1) / 2 + shift], [0, f, (size[1] - 1) / 2], [0, 0, 1]])
        cameras.append(Camera(K, size, np.array([k1, 0, 0, 0]) if k1 else np.zeros(0), "given", "synthetic"))
    return cameras[0], cameras[1]


def as_saved(photo: Photo, facts: Facts) -> Photo:
    """The photo after JPEG, with the EXIF that the user has."""
    pixels = photo.pixels
    if facts.jpeg:
        coded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, facts.jpeg])[1]
        pixels = np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])
    exif = {"focal_35mm": facts.focal_35mm * facts.exif_factor} if facts.knows.startswith("exif") else {}
    return Photo(pixels, exif)


def given_rig(facts: Facts, left: Photo, right: Photo, true: Rig, rng: np.random.Generator) -> Rig:
    """The rig as the user gives it to the run."""
    if not facts.knows.startswith(("K", "rig")) or (facts.knows.startswith("rig") and facts.motion == "rotation"):
        return Rig(camera_for(left), camera_for(right))
    if facts.knows == "K":
        return Rig(true.cam1, true.cam2)
    if facts.knows == "rig off":
        axis = rng.normal(size=3)
        knock = rotation_from_vector(np.radians(rng.uniform(0.1, 0.5)) * axis / np.linalg.norm(axis))
        return replace(true, R=knock @ true.R, t=knock @ true.t)
    return true


def rendered_pair(index: int, *, scale: float = 1.0) -> RenderedPair:
    """Pair `index`; scale: of the number of pixels in a row, the scene and all else being the same."""
    facts = draw(index)
    rng = np.random.default_rng([SEED, index, 1])
    cameras = cameras_of(facts)
    f = cameras[0].focal
    tan = facts.size[0] / 2 / f, facts.size[1] / 2 / f
    if facts.scene == "still_life":
        scene, z = still_life(), 1.4
        facts = replace(facts, near=0.8, far=1.8, repeated=False)
    else:
        frame = Frame(rng, tan, f, facts.near, facts.far, facts.repeated)
        scene = SCENES[facts.scene][0](frame)
        z = float(np.sqrt(facts.near * facts.far))
    pose = motion_of(facts, rng, z, tan)
    cam1, cam2 = (scaled(camera, scale) for camera in cameras)
    pair = synthetic.render(
        scene,
        size=cam1.size,
        K=cam1.K,
        dist=cam1.dist,
        camera2=cam2,
        pose=pose,
        noise=facts.noise,
        gain=facts.gain,
        vignetting=0.15,
        supersample=2,
        seed=index,
    )
    left, right = (as_saved(photo, facts) for photo in (pair.left, pair.right))
    given = given_rig(facts, left, right, pair.rig, rng)
    return RenderedPair(name_of(facts), facts, left, right, given, pair.rig, pair.depth1, pair.visible1)


def scaled(camera: Camera, scale: float) -> Camera:
    """The camera with `scale` times the pixels in a row."""
    size = round(camera.size[0] * scale), round(camera.size[1] * scale)
    K = camera.K.copy()
    K[:2] *= scale
    K[:2, 2] += (scale - 1) / 2
    return replace(camera, K=K, size=size)


def rendered_pairs(count: int = COUNT, first: int = 0):
    """Pairs first, first + 1, ..."""
    return (rendered_pair(index) for index in range(first, first + count))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="write the photos here")
    arguments = parser.parse_args()
    for pair in rendered_pairs(arguments.count, arguments.first):
        print(pair.name, {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(pair.facts).items()})
        print(
            f"    {100 * pair.visible1.mean():.0f} % seen by both, depth {np.nanmin(pair.depth1):.2f} to "
            f"{np.nanmax(pair.depth1):.2f} m"
        )
        if arguments.folder:
            arguments.folder.mkdir(parents=True, exist_ok=True)
            both = [cv2.resize(src=p.pixels, dsize=(400, 300)) for p in (pair.left, pair.right)]
            depth = cv2.resize(src=pair.depth1, dsize=(400, 300), interpolation=cv2.INTER_NEAREST)
            grey = np.nan_to_num(255 * np.nanmin(depth) / depth).astype(np.uint8)
            picture = np.hstack([*both, np.repeat(grey[..., None], 3, 2)])
            cv2.imwrite(str(arguments.folder / f"{pair.facts.index:03d}.png"), picture[..., ::-1])


if __name__ == "__main__":
    main()
