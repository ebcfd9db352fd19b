"""Forward motion: rendered pairs whose epipole is in the middle, near the border and just outside, in one table.

    python benchmarks/forward.py [--size 480 360] [--only corridor street garden_path] [--step 1 2] [--noise 2]
                                 [--cameras known exif]

--step: the scene's own step ahead times this.  --cameras exif: the focal length is known to some percent only.

Columns: `rows`, median px between corresponding rows, by `row_errors`, and by true correspondences (`true`); of the
pixels that both photos see and that move by more than 2 px otherwise than by the rotation: share that the mesh covers,
share of these whose depth is right within 3 % (after scaling), median error of depth in %; share of the mesh's area in
faces steeper than 80 degrees to the line of sight, of all faces (`steep`), of those where the true surface is less
steep than 77 degrees within 2 px (`shards`), and the share of the true surface that is that steep (`truth`); error of
the direction of motion in degrees; the verdict.
"""

import argparse
from dataclasses import replace

import cv2
import numpy as np

from stereo3d import synthetic
from stereo3d.errors import StereoError
from stereo3d.geometry.arrays import hom
from stereo3d.geometry.camera import project, undistort
from stereo3d.mesh.depth_buffer import depth_buffer
from stereo3d.pipeline import reconstruct
from stereo3d.records import Rig
from stereo3d.rectification import rectified_positions
from stereo3d.synthetic.scenes import find_scene

SCENES = "corridor", "street", "garden_path"
POSES = "forward", "forward_border", "forward_beyond"
MOVES = 2.0  # px
STEEP, LESS_STEEP = 80.0, 77.0  # degrees


def true_motion(pair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of photo 1 (H,W,2), their matches in photo 2, and how far they move besides the rotation, px."""
    height, width = pair.depth1.shape
    x1 = np.stack(np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float)), -1)
    X = hom(undistort(x1.reshape(-1, 2), pair.rig.cam1.K, pair.rig.cam1.dist)) * pair.depth1.reshape(-1, 1)
    turned = X @ pair.rig.R.T
    x2, far = (project(Y, pair.rig.cam2.K, dist=pair.rig.cam2.dist) for Y in (turned + pair.rig.t, turned))
    return x1, x2.reshape(x1.shape), np.linalg.norm(x2 - far, axis=1).reshape(height, width)


def face_angles(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Area, degrees between normal and line of sight, and centre of each face."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normal, centre = np.cross(b - a, c - a), (a + b + c) / 3
    double = np.linalg.norm(normal, axis=1)
    cos = np.abs((normal * centre).sum(1)) / np.maximum(double * np.linalg.norm(centre, axis=1), 1e-300)
    return double / 2, np.degrees(np.arccos(np.clip(cos, 0, 1))), centre


def true_angles(pair) -> tuple[np.ndarray, np.ndarray]:
    """Degrees between the true normal and the line of sight at each pixel, and the true area it shows, m^2."""
    height, width = pair.depth1.shape
    x1 = np.stack(np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float)), -1).reshape(-1, 2)
    rays = hom(undistort(x1, pair.rig.cam1.K, pair.rig.cam1.dist)).reshape(height, width, 3)
    cos = np.abs((rays * pair.normals1).sum(-1)) / np.linalg.norm(rays, axis=-1)
    area = pair.depth1**2 / (cos * np.linalg.norm(rays, axis=-1) * pair.rig.cam1.focal**2)
    return np.degrees(np.arccos(np.clip(cos, 0, 1))), area


def measure(pair, rig: Rig) -> dict:
    """The columns of a pair."""
    result = reconstruct(pair.left, pair.right, rig)
    x1, x2, move = true_motion(pair)
    height, width = move.shape
    moving = pair.visible1 & (move > MOVES)
    u1, u2 = rectified_positions(result.pair, x1[moving], x2[moving])
    mesh, camera = result.mesh, pair.rig.cam1
    vertices = np.asarray(mesh.vertices, dtype=float)
    pixels = np.ascontiguousarray(project(vertices, camera.K, dist=camera.dist))
    inverse = depth_buffer(pixels, np.ascontiguousarray(vertices[:, 2]), mesh.faces, width, height)
    covered = moving & (inverse > 0)
    ratio = pair.depth1[covered] * inverse[covered]
    error = np.abs(np.median(ratio) / ratio - 1)
    area, angle, centre = face_angles(vertices, mesh.faces)
    steepness, true_area = true_angles(pair)
    at = np.rint(project(centre, camera.K, dist=camera.dist)).astype(int).clip(0, [width - 1, height - 1])
    around = cv2.dilate(src=steepness.astype(np.float32), kernel=np.ones((5, 5), np.uint8))[at[:, 1], at[:, 0]]
    off = result.view.t @ pair.rig.t / np.linalg.norm(result.view.t) / np.linalg.norm(pair.rig.t)
    return {
        "rows": result.pair.rows.get("median_px", np.nan),
        "true": float(np.nanmedian(np.abs(u1 - u2)[:, 1])),
        "covered": covered.sum() / moving.sum(),
        "within 3 %": (error < 0.03).mean(),
        "error %": 100 * np.median(error),
        "steep": area[angle > STEEP].sum() / area.sum(),
        "shards": area[(angle > STEEP) & (around < LESS_STEEP)].sum() / area.sum(),
        "truth": true_area[covered & (steepness > STEEP)].sum() / true_area[covered].sum(),
        "motion deg": float(np.degrees(np.arccos(np.clip(off, -1, 1)))),
        "verdict": result.verdict,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(480, 360))
    parser.add_argument("--only", nargs="+", default=SCENES)
    parser.add_argument("--poses", nargs="+", default=POSES)
    parser.add_argument("--step", type=float, nargs="+", default=(1.0, 2.0))
    parser.add_argument("--noise", type=float, default=2.0)
    parser.add_argument("--cameras", nargs="+", choices=("known", "exif"), default=("known",))
    args = parser.parse_args()
    first = True
    for name in args.only:
        for pose in args.poses:
            for step in args.step:
                scene = find_scene(name)
                pair = synthetic.render(
                    scene,
                    size=tuple(args.size),
                    pose=pose,
                    baseline=step * scene.baseline,
                    supersample=2,
                    noise=args.noise,
                )
                for source in args.cameras:
                    cameras = (pair.rig.cam1, pair.rig.cam2)
                    if source == "exif":
                        cameras = tuple(replace(camera, source="exif") for camera in cameras)
                    label = f"{name}, {pose}, {step:g}, {source}"
                    try:
                        row = measure(pair, Rig(*cameras))
                    except StereoError as error:
                        print(f"{label:44} {error.code}: {error.message}", flush=True)
                        continue
                    if first:
                        print(f"{'':44} " + " ".join(f"{column:>10}" for column in row))
                        first = False
                    values = (f"{v:10.3f}" if isinstance(v, float) else f"{v:>10}" for v in row.values())
                    print(f"{label:44} " + " ".join(values), flush=True)


if __name__ == "__main__":
    main()
