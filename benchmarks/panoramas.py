"""Rendered panoramas and fisheyes of 180 degrees: depth, pose and verdict against the truth, over random draws.

    python benchmarks/panoramas.py [--kinds plain,moving,...] [--count 10] [--first 0] [--width 512] [--matcher planes]
                                   [--out FILE]

A draw is a room of random size with boxes and balls, a motion in a random direction and a turn of the second camera:
up to 180 degrees about the vertical and 20 about the others. Where a camera is inside of a box or ball, it is drawn
again. Per draw:

depth    share of the pixels of the first photo that move by 2 px or more whose distance is right to 2 %, one scale for
         all of the pair (panoramas), or that of the rig (fisheyes); missing ones count as wrong
error    median of |s r / r_true - 1| over the points, beyond: share above 5 %, scale: s (1 of a metric rig)
within   share of the points whose error is below the standard deviation that is stated, .68 where that is right
F        F-score at 1 % of what both see (fisheyes): share of it that has a point within 1 %, share of points so right
pose     degrees, of R and of the direction of t
"""

import argparse
import json
from pathlib import Path

import numpy as np

RIM = 3  # px
ONE_SURFACE = 1.1  # ratio of the distances of neighbouring pixels of one surface, at most
KINDS = {
    "plain": {},
    "vertical": {"direction": (0, 1, 0)},
    "turned": {"turn": (150, 30, 20)},
    "small": {"share": 0.03},
    "tiny": {"share": 0.004},
    "turn": {"share": 0.0},
    "noise": {"noise": 12.0},
    "repeated": {"paint": "checks"},
    "papered": {"paint": "wallpaper"},
    "moving": {"moves": 0.3},
    "crowd": {"moves": 0.3, "things": 14},
    "bare": {"paint": "bare"},
    "stitched": {"off_centre": 0.03},
    "fisheye": {"fisheye": True},
}


def room(rng, coat, shift=0.0, things=5):
    """A room with boxes and balls about the origin, all things moved by `shift` m along random directions."""
    from stereo3d.synthetic.scene import Scene, ball, make_solid, mottled
    from stereo3d.synthetic.tables import BOX, RECTANGLE

    half = rng.uniform([1.3, 0.9, 1.3], [3.0, 1.6, 4.0])
    x, y, z = half
    middle = rng.uniform(-0.4, 0.4, 3) * half
    sides = (((0, 0, z), (x, y), (0, 0, 0)), ((0, 0, -z), (x, y), (0, 0, 0)), ((x, 0, 0), (z, y), (0, 90, 0)))
    sides += (((-x, 0, 0), (z, y), (0, 90, 0)), ((0, y, 0), (x, z), (90, 0, 0)), ((0, -y, 0), (x, z), (90, 0, 0)))
    walls = tuple(
        make_solid(RECTANGLE, tuple(np.add(c, middle)), (*size, 1), coat(k), turn=turn)
        for k, (c, size, turn) in enumerate(sides)
    )
    groups = [walls]
    for k in range(things):
        angle = 2 * np.pi * (k + rng.uniform(0, 0.6)) / things
        away, size = rng.uniform(0.55, 0.85), rng.uniform(0.1, 0.3)
        place = middle + away * half * [np.cos(angle), rng.uniform(-0.8, 0.8), np.sin(angle)]
        moved = rng.normal(size=3)
        place = place + shift * moved / np.linalg.norm(moved)
        paint = mottled("8a7050 c9b48c 5b4a3a e8dfc8", 0.1, seed=20 + k)
        if k % 2:
            groups.append(ball(tuple(place), (size,) * 3, paint))
        else:
            turn = (0, rng.uniform(0, 90), 0)
            groups.append((make_solid(BOX, tuple(place), tuple(rng.uniform(0.7, 1.5, 3) * size), paint, turn=turn),))
    lamp = (tuple(middle + [0, -0.8 * y, 0]), 0.1, 0.3)
    return Scene(tuple(groups), target=(0, 0, 1), sky=(1.0, 0.0), lamp=lamp), half


def paints(kind, rng):
    """Number of a wall -> its paint."""
    from stereo3d.synthetic.scene import paint
    from stereo3d.synthetic.tables import CHECKS, MOTTLED, WALL

    seed = int(rng.integers(1000))
    coats = ("8a7050 c9b48c 5b4a3a e8dfc8", "5e7a4a 2f4a35 c8cf9a 8d6a3d", "a4593f 6b3226 d9a07a e5d8c4")
    if kind == "checks":
        return lambda k: paint(CHECKS, "e8dfc8 403830", (0.25, 60, 60), seed=seed + k)
    if kind == "wallpaper":
        return lambda k: paint(WALL, "d8d0b8 6f8f6a a4593f e8c040", (0.3, 0.4, 0.0), seed=seed + k)
    contrast = (0.05, 0.04) if kind == "bare" else (1.0, 0.5)
    return lambda k: paint(MOTTLED, coats[k % 3], (0.14, 0.75, *contrast), seed=seed + k)


def stands_free(pair, step):
    """Whether both cameras of a rendered pair are outside of all things: walls are three steps away and more."""
    return min(np.nanmedian(pair.depth1), np.nanmedian(pair.depth2)) > 1.5 * step


def draw(kind, index, width, again=0):
    """The two photos, their cameras, pose, scene and the true distances of the first photo, of a draw."""
    from stereo3d import Camera, Photo, WideLens
    from stereo3d.cameras.panorama import panorama_camera
    from stereo3d.geometry.rotations import rotation_from_vector
    from stereo3d.synthetic import renderer

    facts = KINDS[kind]
    seed = 1000 * index + list(KINDS).index(kind) + 1_000_000 * again
    make = lambda shift: room(  # noqa: E731
        np.random.default_rng(seed),
        paints(facts.get("paint"), np.random.default_rng(seed)),
        shift,
        facts.get("things", 5),
    )
    scene, half = make(0.0)
    moved, _ = make(facts.get("moves", 0.0))
    rng = np.random.default_rng(seed + 1)
    direction = np.array(facts.get("direction", rng.normal(size=3)), dtype=float)
    C = facts.get("share", rng.uniform(0.08, 0.2)) * half.min() * direction / np.linalg.norm(direction)
    if "turn" in facts:
        R = rotation_from_vector(np.radians(facts["turn"]))
    else:
        R = rotation_from_vector(np.radians(rng.uniform([-20, -180, -20], [20, 180, 20])))
    if facts.get("fisheye"):
        side = int(0.78 * width)
        K = np.array([[side / np.pi, 0, (side - 1) / 2], [0, side / np.pi, (side - 1) / 2], [0, 0, 1]])
        camera = Camera(K, (side, side), lens=WideLens("fisheye", (0.0,) * 4))
        C = np.linalg.norm(C) * np.array([1, *rng.uniform(-0.5, 0.5, 2)])
        R = rotation_from_vector(np.radians(rng.uniform(-8, 8, 3)))
    else:
        camera = panorama_camera(Photo(np.zeros((width // 2, width, 3), np.uint8)))
    options = {"camera1": camera, "camera2": camera, "supersample": 2, "noise": facts.get("noise", 1.0)}
    pose = R, -R @ C
    first = renderer.render(scene, pose=pose, **options, seed=index)
    if not stands_free(first, np.linalg.norm(C)):
        return draw(kind, index, width, again + 1)
    second = first if moved is scene or not facts.get("moves") else renderer.render(moved, pose=pose, **options)
    photos = [first.left, second.right]
    if off := facts.get("off_centre"):  # halves of two lenses that lie apart, as in cameras with two fisheyes
        photos = _stitched(scene, camera, pose, options, off)
    if facts.get("fisheye"):
        photos = [_disc(photo) for photo in photos]
    else:
        photos = [Photo(photo.pixels, {"projection": "equirectangular"}) for photo in photos]
    return photos, camera, pose, scene, first


def _stitched(scene, camera, pose, options, off):
    """Both panoramas of a camera whose front half is seen from `off` m ahead and whose back half from behind."""
    from dataclasses import replace

    from stereo3d.synthetic import renderer

    R, t = pose
    rays = camera.rays_from_pixels(np.stack(np.meshgrid(*map(np.arange, camera.size)), -1))
    ahead = rays[..., 2] > 0
    photos = []
    for Q, position in ((np.eye(3), np.zeros(3)), (R, -R.T @ t)):
        halves = []
        for sign in (1, -1):
            C = position + Q.T @ np.array([0, 0, sign * off])
            halves.append(renderer.render(scene, pose=(Q, -Q @ C), **options).right)
        photos.append(replace(halves[0], pixels=np.where(ahead[..., None], halves[0].pixels, halves[1].pixels)))
    return photos


def _disc(photo):
    """The photo with black outside the circle that a fisheye lens shows."""
    from stereo3d import Photo

    height, width = photo.pixels.shape[:2]
    y, x = np.mgrid[:height, :width]
    pixels = np.maximum(photo.pixels, 3)
    pixels[np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) > width / 2] = 0
    return Photo(pixels)


def places(result, x):
    """Pixels (N, 2) of the grid that show the pixels x (N, 2) of the first photo, and whether there are such (N,)."""
    at = result.pair.sphere.positions(x, 0)
    known = np.isfinite(at).all(1)
    return np.where(known[:, None], at, -9), known


def values(result, array, column, row):
    """The values of an array (H, W) of the grid at whole columns and rows; NaN outside."""
    height, width = array.shape
    row = row % height if result.pair.sphere.closed else row
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return np.where(inside, array[row.clip(0, height - 1), column.clip(0, width - 1)], np.nan)


def distances(result, x):
    """Distance (N,) of the surface that a run has at pixels x (N, 2) of the first photo; NaN without one.

    1 / r is interpolated between the four pixels of the grid where they lie on one surface: at the nearest one alone a
    floor would be off by half of what its distance changes from pixel to pixel, 1 % and more.
    """
    at, known = places(result, x)
    inverse = 1 / np.linalg.norm(result.points, axis=-1)
    nearest = values(result, inverse, *np.rint(at).astype(int).T)
    i, j = np.floor(at).astype(int).T
    a, b = (at - np.floor(at)).T
    four = np.stack([values(result, inverse, i + k, j + m) for m in (0, 1) for k in (0, 1)])
    between = ((1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b)
    smooth = four.max(0) < ONE_SURFACE * four.min(0)  # False for NaN
    return np.where(known, 1 / np.where(smooth, (four * between).sum(0), nearest), np.nan)


def within_disc(camera, x):
    """Whether pixels (N, 2) lie in the circle that a fisheye shows, 3 px of its rim left out."""
    with np.errstate(invalid="ignore"):
        return np.hypot(*(x - (np.array(camera.size) - 1) / 2).T) < camera.size[0] / 2 - RIM


def measure(result, camera, pose, first, metric):
    """The numbers of a run, as at the top of the file."""
    from stereo3d.evaluation.pose import pose_errors

    R, t = pose
    x = np.stack(np.meshgrid(*map(np.arange, camera.size)), -1).reshape(-1, 2)
    rays, truth = camera.rays_from_pixels(x), first.depth1.ravel()
    shown = np.isfinite(truth) & np.isfinite(rays).all(1)
    if metric:
        shown &= within_disc(camera, x)
    found = distances(result, x)
    known = shown & np.isfinite(found)
    scale = float(np.median(truth[known] / found[known]))
    off = np.abs((1 if metric else scale) * found / truth - 1)
    X = rays * truth[:, None]
    X2 = X + R.T @ t
    angle = np.arctan2(np.linalg.norm(np.cross(X, X2), axis=1), (X * X2).sum(1))
    moves = shown & (angle > 2 * camera.pixel_angle)
    both = shown & first.visible1.ravel()
    if metric:  # the second photo is a disc as well
        both &= within_disc(camera, camera.pixels_from_rays(X2 @ R.T))
    weight = np.cos(np.arcsin(np.clip(rays[:, 1], -1, 1))) if not metric else np.ones(len(x))
    complete, precise = np.mean(off[both] < 0.01), np.mean(off[known] < 0.01)
    relative = result.sigma / np.linalg.norm(result.points, axis=-1)
    sigma = values(result, relative, *np.rint(places(result, x)[0]).astype(int).T)
    told = pose_errors(result.view.R, result.view.t, R, t) if np.any(t) else {}
    good = off < 0.02
    return {
        "depth": float(good[moves].mean()) if moves.any() else None,
        "moves": float(moves[shown].mean()),
        "error": float(np.median(off[known])),
        "beyond": float(np.average(off[known] > 0.05, weights=weight[known])),
        "within": float(np.mean(off[known] < sigma[known])),
        "scale": scale,
        "F": float(2 * complete * precise / max(complete + precise, 1e-9)),
        "pose": [round(float(v), 3) for v in told.values()],
    }


def run(kind, index, width, matcher):
    import stereo3d

    photos, camera, pose, _, first = draw(kind, index, width)
    metric = bool(KINDS[kind].get("fisheye"))
    rig = stereo3d.Rig(camera, camera, pose[0], pose[1], "m") if metric else None
    record = {"kind": kind, "index": index}
    try:
        result = stereo3d.reconstruct(*photos, rig, matcher=matcher)
    except stereo3d.StereoError as error:
        return record | {"verdict": error.code}
    codes = [f.code for f in result.findings if f.severity in ("warning", "error")]
    numbers = measure(result, camera, pose, first, metric)
    stated = {"sigma": result.relative_sigma, "coverage": result.coverage, "inliers": float(result.view.inliers.mean())}
    return record | {"verdict": result.verdict, "codes": codes} | numbers | stated


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--width", type=int, default=512, help="px, of a panorama")
    parser.add_argument("--matcher", default="planes")
    parser.add_argument("--out", type=Path, help="JSON lines of all draws")
    arguments = parser.parse_args()
    for index in range(arguments.first, arguments.first + arguments.count):
        for kind in arguments.kinds.split(","):
            record = run(kind, index, arguments.width, arguments.matcher)
            line = json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in record.items()})
            print(line, flush=True)
            if arguments.out:
                with arguments.out.open("a") as file:
                    file.write(line + "\n")


if __name__ == "__main__":
    main()
