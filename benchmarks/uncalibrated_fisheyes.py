"""Rendered pairs of a fisheye of which nothing is known: lens, depth and verdict against the truth.

    python benchmarks/uncalibrated_fisheyes.py [--count 2] [--first 0] [--fields 120,150,180] [--circular]
                                               [--varied] [--pose-only]

A draw is a room of `panoramas.py`, photos of 480 x 360 px that show `field` degrees across the diagonal (--circular: a
disc of as many degrees in 480 x 480 px), k1 of -.04, 0 or .06, a step of 12 to 22 % of the distance of the nearest
wall. --varied: k2 of .005 (standard deviation) and a principal point off the middle by .7 % of the longer side in x
and y. --pose-only: up to the pose.

focal    the estimated focal length over the true one, in the middle of the picture, and its error in standard errors
error    median of |s Z / Z_true - 1| over the depth map; right: share within 2 %
"""

import argparse

import numpy as np
from panoramas import paints, room, stands_free, within_disc

SIDE = 480


def draw(field, index, circular, varied=False, again=0):
    """Both photos, their camera and the true distances of the first."""
    from stereo3d import Camera, Photo, WideLens
    from stereo3d.geometry.rotations import rotation_from_vector
    from stereo3d.synthetic import renderer

    seed = 77000 + index + 1_000_000 * again
    scene, half = room(np.random.default_rng(seed), paints(None, np.random.default_rng(seed)))
    rng = np.random.default_rng(seed + 1)
    width, height = (SIDE, SIDE) if circular else (SIDE, SIDE * 3 // 4)
    k1, angle = (-0.04, 0.0, 0.06)[index % 3], np.radians(field / 2)
    k2, off = 0.0, np.zeros(2)
    if varied:
        nature = np.random.default_rng(seed + 2)
        k2, off = max(0.005 * nature.normal(), 0.0 if k1 < 0 else -0.01), 0.007 * width * nature.normal(size=2)
    f = (SIDE / 2 if circular else np.hypot(width, height) / 2) / (angle * (1 + k1 * angle**2 + k2 * angle**4))
    K = np.array([[f, 0, (width - 1) / 2 + off[0]], [0, f, (height - 1) / 2 + off[1]], [0, 0, 1]])
    camera = Camera(K, (width, height), lens=WideLens("fisheye", (k1, k2, 0.0, 0.0)))
    C = rng.uniform(0.12, 0.22) * half.min() * np.array([1, *rng.uniform(-0.5, 0.5, 2)])
    R = rotation_from_vector(np.radians(rng.uniform(-10, 10, 3)))
    pair = renderer.render(
        scene, camera1=camera, camera2=camera, pose=(R, -R @ C), supersample=2, noise=1.0, seed=index
    )
    if not stands_free(pair, np.linalg.norm(C)):
        return draw(field, index, circular, varied, again + 1)
    photos = [Photo(photo.pixels) for photo in (pair.left, pair.right)]
    if circular:
        x = np.stack(np.meshgrid(*map(np.arange, camera.size)), -1).reshape(-1, 2)
        black = ~within_disc(camera, x).reshape(height, width)
        photos = [Photo(np.where(black[..., None], 0, np.maximum(p.pixels, 3)).astype(np.uint8)) for p in photos]
    return photos, camera, pair.depth1


def measure(result, camera, distance):
    """Median relative error of the depth map and the share of it within 2 %, one scale for all."""
    depth, view = result.depth_map(), result.view.rig.cam1
    rays = view.rays_from_pixels(np.stack(np.meshgrid(*map(np.arange, view.size)), -1))
    x = camera.pixels_from_rays(rays)
    with np.errstate(invalid="ignore"):
        seen = ((x >= 0) & (x <= np.array(camera.size) - 1)).all(-1)
    column, row = np.moveaxis(np.rint(np.where(seen[..., None], x, 0)).astype(int), -1, 0)
    truth = np.where(seen, distance[row, column] * rays[..., 2] / np.linalg.norm(rays, axis=-1), np.nan)
    known = np.isfinite(depth) & np.isfinite(truth)
    ratio = truth[known] / depth[known]
    off = np.abs(np.median(ratio) / ratio - 1)
    return float(np.median(off)), float(np.mean(off < 0.02)), float(known.mean())


def main():
    import stereo3d
    from stereo3d.pipeline.run import prepare

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--fields", default="120,150,180", help="degrees")
    parser.add_argument("--circular", action="store_true")
    parser.add_argument("--varied", action="store_true")
    parser.add_argument("--pose-only", action="store_true")
    parser.add_argument("--matcher", default="sgbm")
    given = parser.parse_args()
    off = []
    for index in range(given.first, given.first + given.count):
        for field in map(int, given.fields.split(",")):
            photos, camera, distance = draw(field, index, given.circular, given.varied)
            name = f"{field} degrees, draw {index}"
            run = prepare if given.pose_only else stereo3d.reconstruct
            try:
                result = run(*photos, matcher=given.matcher)
            except stereo3d.StereoError as error:
                print(f"{name}: refused ({error.code})", flush=True)
                continue
            found = {f.code: f for f in result.findings}
            if "fisheye" not in found:
                print(f"{name}: taken for a pinhole camera", flush=True)
                continue
            focal, sigma = result.view.rig.cam1.focal / camera.focal, found["fisheye"].numbers["focal_sigma"]
            off.append(np.log(focal) / sigma)
            line = f"{name}: focal {focal:.4f}, certain to {sigma:.4f}, off by {off[-1]:.2f}"
            if not given.pose_only:
                error, right, covered = measure(result, camera, distance)
                line += f", {result.verdict}, error {error:.4f}, right {right:.3f}, covered {covered:.2f}"
            codes = ", ".join(f.code for f in result.findings if f.severity != "info")
            print(f"{line} ({codes})", flush=True)
    for bound in (1, 2):
        print(f"within {bound} standard errors: {np.mean(np.abs(off) < bound):.2f} of {len(off)}")


if __name__ == "__main__":
    main()
