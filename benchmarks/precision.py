"""Is sigma right? Shares of errors within one and within two sigma, ideally 68 and 95 %.

    python benchmarks/precision.py [--data DIR] [--only rendered real pose agreement]

- rendered: pairs with exact truth, by scene and noise (grey levels): disparities by their own sigma
- real: the rectified pairs under --data (default $STEREO3D_DATA) whose truth is finer than a pixel: after the median
  offset (of up to 0.2 px: that of the truth to the pictures), by sigma and the steps of the truth together
- pose: rendered pairs whose pose, and whose focal length from EXIF that is 3 % wrong, are estimated: the vertices'
  depth, one scale fitted. An error of the pose is one for the whole picture, so only the mean over pairs is meaningful
- agreement: the fountain's view 0003 from the pairs with 0005 and with 0006: their depths against one another, one
  scale fitted, by both sigmas; and, of the same points, the error of each and the correlation of both errors
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

from stereo3d.evaluation.disparity import read_scene
from stereo3d.evaluation.mesh import mesh_scores
from stereo3d.pipeline import Config, match_pair, reconstruct
from stereo3d.pipeline.surface import add_pose_sigma
from stereo3d.records import Photo, RectifiedPair
from stereo3d.synthetic import renderer

RENDERED = [(scene, noise) for scene in ("slanted", "sphere", "bars", "still_life") for noise in (0.0, 2.0, 6.0)]
STEPS = {"Aloe_half": 1 / 2, "cones": 1 / 4, "Motorcycle": 0, "eth3d_terrace": 0, "kitti2012_000070": 0}  # px
STEP = 1 / 3  # of all others
POSED = [
    ("slanted", "handheld"),
    ("still_life", "converging"),
    ("still_life", "handheld"),
    ("sphere", "vertical"),
    ("slanted", "handheld_swapped"),
    ("bars", "handheld"),
]


def fused(left, right, truth):
    height, width = left.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    d_range = np.floor(np.nanmin(truth)) - 3, np.ceil(np.nanmax(truth)) + 3
    return match_pair(RectifiedPair(left, right, grid, grid), d_range, Config())[0]


def show(name: str, off: np.ndarray, sigma: np.ndarray) -> float:
    share = [float(np.mean(np.abs(off) <= k * sigma)) for k in (1, 2)]
    print(
        f"{name:36s}{share[0]:6.2f}{share[1]:6.2f}   sigma {np.median(sigma):.3g}, 68 % of the errors below "
        f"{np.quantile(np.abs(off), 0.6827):.3g}",
        flush=True,
    )
    return share[0]


def rendered():
    shares = []
    for scene, noise in RENDERED:
        pair = renderer.render(scene, pose="rectified", noise=noise, seed=1)
        found = fused(pair.left.pixels, pair.right.pixels, pair.disparity_left)
        off = found.disparity - pair.disparity_left
        known = np.isfinite(off)
        shares.append(show(f"{scene}, noise {noise:g}, px", off[known], found.sigma[known]))
    print(f"{'mean, min, max':36s}{np.mean(shares):6.2f}{min(shares):6.2f}{max(shares):6.2f}")


def real(data: Path):
    shares = []
    for folder in sorted(data.glob("disparity/*/pair.json")):
        scene = read_scene(folder.parent)
        if scene.name == "tsukuba":  # its truth is in whole pixels
            continue
        found = fused(scene.left, scene.right, scene.truth)
        off = found.disparity - scene.truth
        known = np.isfinite(off)
        sigma = np.hypot(found.sigma[known], STEPS.get(scene.name, STEP) / np.sqrt(12))
        shares.append(show(f"{scene.name}, px", off[known] - np.median(off[known]), sigma))
    print(f"{'mean, min, max':36s}{np.mean(shares):6.2f}{min(shares):6.2f}{max(shares):6.2f}")


def pose():
    rng = np.random.default_rng(5)
    size = (560, 420)
    shares = []
    for k in range(2 * len(POSED)):
        scene, kind = POSED[k % len(POSED)]
        pair = renderer.render(scene, size=size, pose=kind, baseline=rng.uniform(0.1, 0.2), noise=2.0, seed=k)
        wrong = 1 + 0.03 * rng.standard_normal()
        exif = {"focal_35mm": pair.rig.cam1.focal * wrong * 43.2666 / np.hypot(*size), "size_exif": size}
        left, right = (Photo(photo.pixels, {**photo.exif, **exif}) for photo in (pair.left, pair.right))
        mesh = reconstruct(left, right).mesh
        shares.append(mesh_scores(mesh, pair.depth1, pair.rig.cam1, align="scale", samples=1000)["within_sigma"])
        print(f"{scene + ', ' + kind:36s}{shares[-1]:6.2f}", flush=True)
    print(f"{'mean, min, max':36s}{np.mean(shares):6.2f}{min(shares):6.2f}{max(shares):6.2f}")


def agreement(data: Path):
    from meshes import fountain

    maps = []
    for other in ("0005", "0006"):
        case = fountain(data, "0003", other)
        found = reconstruct(case.left, case.right, case.rig)
        known = np.isfinite(found.points[..., 2])
        X = found.points[known]
        sigma = add_pose_sigma(X, found.sigma[known], found.matches, found.view, found.rig) / np.linalg.norm(X, axis=1)
        x, y = np.rint(found.pair.map1[known] / 2).astype(int).T  # a point for every second pixel of the photo
        z, relative = (np.full((1030, 1540), np.nan) for _ in range(2))
        z[y, x], relative[y, x] = X[:, 2], sigma
        maps.append((z, relative, case.depth[::2, ::2]))
    (z1, s1, true), (z2, s2, _) = maps
    both = np.isfinite(z1) & np.isfinite(z2)
    ratio = (z1 / z2)[both]
    show("0003-0005 against 0003-0006, % of z", 100 * (ratio / np.median(ratio) - 1), 100 * np.hypot(s1, s2)[both])
    height, width = true.shape
    z1, s1, z2, s2 = (a[:height, :width] for a in (z1, s1, z2, s2))
    seen = np.isfinite(z1) & np.isfinite(z2) & np.isfinite(true)
    errors = []
    for name, z, sigma in (("0003-0005", z1, s1), ("0003-0006", z2, s2)):
        ratio = (z / true)[seen]
        errors.append(100 * (ratio / np.median(ratio) - 1))
        show(f"{name} against the truth, % of z", errors[-1], 100 * sigma[seen])
    print(f"{'correlation of both errors':36s}{np.corrcoef(np.clip(errors, -0.5, 0.5))[0, 1]:6.2f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("STEREO3D_DATA", "."), help="default: $STEREO3D_DATA")
    parser.add_argument("--only", nargs="+", choices=["rendered", "real", "pose", "agreement"], default=None)
    arguments = parser.parse_args()
    data = Path(arguments.data)
    parts = arguments.only or ["rendered", "real", "pose", "agreement"]
    for name, part in (
        ("rendered", rendered),
        ("real", lambda: real(data)),
        ("pose", pose),
        ("agreement", lambda: agreement(data)),
    ):
        if name in parts:
            part()
    return 0


if __name__ == "__main__":
    sys.exit(main())
