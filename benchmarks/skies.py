"""How much of a mesh is sky: rendered houses and trees under several skies, photographed in several poses.

    python benchmarks/skies.py [--skies clear hazy ...] [--poses handheld ...] [--size 640 480] [--white] [--estimated]

The photos have noise of 2 grey levels and pass through JPEG of quality 85. Printed are, in %: the vertices of the mesh
on sky pixels of the first photo, and on those over 1.5 px away from any surface; the surface seen by both photos that
has a point, and of these points the ones whose depth is off by more than 3 %. `--estimated`: the pose is estimated from
the matches in place of the true one.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from stereo3d.geometry import project
from stereo3d.pipeline import reconstruct
from stereo3d.records import Photo, Rig
from stereo3d.synthetic import renderer
from stereo3d.synthetic.houses import SKIES, houses

POSES = ("handheld", "converging", "forward")
NOISE = 2.0  # grey levels
QUALITY = 85
WRONG = 0.03  # of the depth


def jpeg(photo: Photo) -> Photo:
    code = cv2.imencode(".jpg", img=photo.pixels[..., ::-1], params=[cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return Photo(np.ascontiguousarray(cv2.imdecode(code, flags=cv2.IMREAD_COLOR)[..., ::-1]))


def measure(pair: renderer.SyntheticPair, estimated: bool):
    """Shares in %, and a picture that shows the points: green, on sky red."""
    left, right = jpeg(pair.left), jpeg(pair.right)
    rig = Rig(pair.rig.cam1, pair.rig.cam2) if estimated else pair.rig
    result = reconstruct(left, right, rig)
    width, height = left.size
    sky = ~np.isfinite(pair.depth1)
    distance = cv2.distanceTransform(sky.astype(np.uint8), distanceType=cv2.DIST_L2, maskSize=5)
    camera = result.view.rig.cam1

    def pixels(X):
        x = np.rint(project(X, camera.K, dist=camera.dist)).astype(int)
        return x[:, 1].clip(0, height - 1), x[:, 0].clip(0, width - 1)

    vertices = distance[pixels(result.mesh.vertices)]
    points = result.points[np.isfinite(result.points[..., 2])]
    at = pixels(points)
    depth = pair.depth1[at]
    with np.errstate(invalid="ignore"):
        ratio = points[:, 2] / depth
        wrong = np.abs(ratio / (np.nanmedian(ratio) if estimated else 1) - 1) > WRONG
    covered = np.zeros(sky.shape, np.uint8)
    covered[at] = 1
    covered = cv2.morphologyEx(covered, op=cv2.MORPH_CLOSE, kernel=np.ones((3, 3), np.uint8)) > 0
    shown = left.pixels.copy()
    shown[covered] = shown[covered] // 2 + np.array([0, 120, 0], np.uint8)
    shown[covered & sky] = 255, 0, 0
    shares = (
        (vertices > 0).mean(),
        (vertices > 1.5).mean(),
        covered[pair.visible1].mean(),
        wrong[np.isfinite(depth)].mean(),
    )
    return 100 * np.array(shares), np.hstack([left.pixels, shown])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skies", nargs="+", default=list(SKIES), choices=list(SKIES))
    parser.add_argument("--poses", nargs="+", default=list(POSES))
    parser.add_argument("--size", nargs=2, type=int, default=(640, 480))
    parser.add_argument("--white", action="store_true", help="plain white walls")
    parser.add_argument("--estimated", action="store_true", help="estimate the pose")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the points")
    arguments = parser.parse_args()
    print(f"{'sky, pose':24s}{'on sky':>9s}{'> 1.5 px':>10s}{'covered':>9s}{'wrong':>8s}   (%)")
    rows = []
    for pose in arguments.poses:
        for sky in arguments.skies:
            scene = houses(sky, white=arguments.white)
            pair = renderer.render(scene, size=tuple(arguments.size), pose=pose, supersample=2, noise=NOISE)
            row, picture = measure(pair, arguments.estimated)
            rows.append(row)
            print(f"{sky + ', ' + pose:24s}{row[0]:9.2f}{row[1]:10.2f}{row[2]:9.1f}{row[3]:8.2f}", flush=True)
            if arguments.pictures:
                arguments.pictures.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(filename=str(arguments.pictures / f"{sky}-{pose}.png"), img=picture[..., ::-1])
    mean = np.mean(rows, 0)
    print(f"{'mean of ' + str(len(rows)):24s}{mean[0]:9.2f}{mean[1]:10.2f}{mean[2]:9.1f}{mean[3]:8.2f}")


if __name__ == "__main__":
    main()
