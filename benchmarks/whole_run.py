"""The whole run, stage by stage, compared with a script of plain OpenCV and Open3D calls.

    python benchmarks/whole_run.py [--data DIR] [--max-size 1600] [--repeat N] [--meshers grid poisson fast]
                                   [--growth [MP ...]] [--cores]

Input: fountain 0004-0005 of $STEREO3D_DATA, without it the demo pair; K is known, the pose is not. Both sides read the
two photos from disk and write a textured OBJ; they alternate, each run in a process of its own, so that neither holds
the memory of the other, and a crash ends one row only. An unmeasured short run first compiles the kernels that numba's
cache lacks. Seconds are wall clock, the median of `--repeat` runs; "processor" is the time of all cores, which other
programs disturb less; memory is the peak of resident memory in a stage.
"import" is the time to load the libraries (all of them in the plain script; stereo3d loads some inside the stages).

"fast" is the grid mesher after `--quality fast`, which matches at 1000 px whatever --max-size. The share of the
physical limit, and with --growth and --cores how time and memory grow with the photos and what a second core gives:
`run_growth.py`.

Scores by `evaluation.mesh.mesh_scores` from the OBJ as written, aligned by similarity, at 1 % of depth.

The plain script: SIFT with its defaults, BFMatcher with a ratio of 0.75, findEssentialMat (USAC_MAGSAC, 1 px) and
recoverPose, stereoRectify with its defaults, remap, SGBM with block 5 and the sample's P1 and P2, reprojectImageTo3D;
"grid" by numpy, two triangles for four neighbours, cut where depth jumps by 2 %; "poisson" by Open3D at depth 9 on
estimated normals, without the 5 % of lowest density. It takes its disparity range from the matches, as few such scripts
do.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from run_growth import MEGAPIXELS, cores, growth, limit, passed_bytes

from stereo3d.options import QUALITIES

ROOT = Path(__file__).resolve().parents[1]
VARIANTS = {  # fields of `Config`
    "grid": {},
    "poisson": {"mesher": "poisson"},
    "fast": QUALITIES["fast"],
}
STAGES = ("import", "photos", "features", "pose", "rectify", "disparity", "points", "mesh", "write")
SCORES = (
    "f_score",
    "precision",
    "completeness",
    "surface_median_percent",
    "depth_median_percent",
    "depth_within",
    "footprint",
    "faces",
)


# Each side runs in a new process: (photos, K1, K2, max_size, variant, OBJ) -> stages [{name, seconds, peak_mb}], the
# last one of ours with the bytes that pass between the stages


def ours(left, right, K1, K2, max_size, variant, target):
    start = time.perf_counter()
    import stereo3d
    from stereo3d.pipeline import ProcessPeak
    from stereo3d.records import Camera, Rig

    reconstruct, Config = stereo3d.reconstruct, stereo3d.Config  # loads the modules behind the names
    imported = time.perf_counter() - start
    size1, size2 = (photo_size(p) for p in (left, right))
    rig = Rig(Camera(np.array(K1), size1), Camera(np.array(K2), size2))
    result = reconstruct(left, right, rig, Config(**{"max_size": max_size, **VARIANTS[variant]}), meter=ProcessPeak())
    clock = Clock([{"name": "import", "seconds": imported, "peak_mb": 0}, *result.stages])
    with clock("write"):
        files = result.save(target)
    clock.stages[-1]["passed"] = passed_bytes(result, (left, right), files)
    return clock.stages


def plain(left, right, K1, K2, max_size, variant, target):
    clock = Clock()
    with clock("import"):
        import cv2
        import open3d

    with clock("photos"):
        full1, full2 = cv2.imread(str(left)), cv2.imread(str(right))
        scale = min(1.0, max_size / max(full1.shape[:2]))
        image1, image2 = (cv2.resize(i, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for i in (full1, full2))
        K1, K2 = (np.diag([scale, scale, 1.0]) @ np.array(K) for K in (K1, K2))
        size = image1.shape[1::-1]

    with clock("features"):
        sift = cv2.SIFT_create()
        (keys1, d1), (keys2, d2) = (
            sift.detectAndCompute(cv2.cvtColor(i, cv2.COLOR_BGR2GRAY), None) for i in (image1, image2)
        )
        pairs = [m for m, n in cv2.BFMatcher(cv2.NORM_L2).knnMatch(d1, d2, k=2) if m.distance < 0.75 * n.distance]
        x1 = np.array([keys1[m.queryIdx].pt for m in pairs])
        x2 = np.array([keys2[m.trainIdx].pt for m in pairs])

    with clock("pose"):
        E, mask = cv2.findEssentialMat(
            points1=x1, points2=x2, cameraMatrix=K1, method=cv2.USAC_MAGSAC, prob=0.9999, threshold=1.0
        )
        _, R, t, mask = cv2.recoverPose(E=E, points1=x1, points2=x2, cameraMatrix=K1, mask=mask)
        inliers = mask.ravel() > 0

    with clock("rectify"):
        R1, R2, P1, P2, Q, _, _ = cv2.stereoRectify(
            cameraMatrix1=K1, distCoeffs1=None, cameraMatrix2=K2, distCoeffs2=None, imageSize=size, R=R, T=t
        )
        rectified = []
        for image, K, Ri, Pi in ((image1, K1, R1, P1), (image2, K2, R2, P2)):
            maps = cv2.initUndistortRectifyMap(
                cameraMatrix=K, distCoeffs=None, R=Ri, newCameraMatrix=Pi, size=size, m1type=cv2.CV_32FC1
            )
            rectified.append(cv2.remap(src=image, map1=maps[0], map2=maps[1], interpolation=cv2.INTER_LINEAR))

    with clock("disparity"):
        u1, u2 = (
            cv2.undistortPoints(src=x[inliers][:, None], cameraMatrix=K, distCoeffs=None, R=Ri, P=Pi)[:, 0, 0]
            for x, K, Ri, Pi in ((x1, K1, R1, P1), (x2, K2, R2, P2))
        )
        low, high = np.percentile(u1 - u2, [1, 99])
        low, high = int(np.floor(low - 16)), int(np.ceil(high + 16))
        matcher = cv2.StereoSGBM_create(
            minDisparity=low,
            numDisparities=16 * -(-(high - low) // 16),
            blockSize=5,
            P1=8 * 3 * 25,
            P2=32 * 3 * 25,
            disp12MaxDiff=1,
            uniquenessRatio=10,
            speckleWindowSize=100,
            speckleRange=2,
        )
        disparity = matcher.compute(*rectified).astype(np.float32) / 16

    with clock("points"):
        points = cv2.reprojectImageTo3D(disparity=disparity, Q=Q).astype(float) @ R1  # back into camera 1
        known = (disparity >= low) & np.isfinite(points).all(-1) & (points[..., 2] > 0)
        known &= points[..., 2] < 10 * np.median(points[known][:, 2])

    with clock("mesh"):
        vertices, faces = (poisson_mesh if variant == "poisson" else grid_mesh)(points, known, open3d)
        x = vertices @ K1.T
        uv = (x[:, :2] / x[:, 2:] + 0.5) / size
        uv[:, 1] = 1 - uv[:, 1]

    with clock("write"):
        up = vertices * [1, -1, -1]  # y up, as in viewers
        mesh = open3d.geometry.TriangleMesh(open3d.utility.Vector3dVector(up), open3d.utility.Vector3iVector(faces))
        mesh.triangle_uvs = open3d.utility.Vector2dVector(uv[faces.ravel()])
        mesh.triangle_material_ids = open3d.utility.IntVector(np.zeros(len(faces), np.int32))
        texture = np.ascontiguousarray(full1[::-1, :, ::-1])  # Open3D turns it over when it writes
        mesh.textures = [open3d.geometry.Image(texture)]
        open3d.io.write_triangle_mesh(str(target), mesh)
    return clock.stages


def grid_mesh(points, known, _):
    index = np.cumsum(known.ravel()).reshape(known.shape) - 1
    z = points[..., 2]
    corners = [
        (slice(0, -1), slice(0, -1)),
        (slice(1, None), slice(0, -1)),
        (slice(1, None), slice(1, None)),
        (slice(0, -1), slice(1, None)),
    ]
    faces = []
    for triangle in ((0, 1, 2), (0, 2, 3)):
        depth = np.stack([z[corners[k]] for k in triangle])
        whole = np.all([known[corners[k]] for k in triangle], axis=0)
        with np.errstate(invalid="ignore"):
            whole &= depth.max(0) - depth.min(0) < 0.02 * depth.min(0)
        faces.append(np.stack([index[corners[k]][whole] for k in triangle], -1))
    return points[known], np.concatenate(faces).astype(np.int32)


def poisson_mesh(points, known, open3d):
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points[known]))
    cloud.estimate_normals()
    cloud.orient_normals_towards_camera_location()
    mesh, density = open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(cloud, depth=9)
    density = np.asarray(density)
    mesh.remove_vertices_by_mask(density < np.quantile(density, 0.05))
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.triangles)
    front = vertices[:, 2] > 0  # surface behind the camera has no pixel
    return vertices, faces[front[faces].all(1)]


SIDES = {"stereo3d": ours, "plain": plain}


def measured(side, *arguments):
    """The stages of one run, with the processor time of the process in the last one."""
    sys.dont_write_bytecode = False  # the short run leaves the bytecode of all modules, as an installation does
    stages = side(*arguments)
    stages[-1]["processor"] = time.process_time()
    return stages


class Clock:
    """Seconds and peak memory of each stage, measured as by `pipeline.ProcessPeak`."""

    def __init__(self, stages=()):
        self.stages = list(stages)

    @contextmanager
    def __call__(self, name):
        from stereo3d.pipeline.clock import peak_memory, reset_peak_memory

        reset_peak_memory()
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        self.stages.append({"name": name, "seconds": seconds, "peak_mb": peak_memory() / 2**20})


def photo_size(path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(path) as image:
        return image.size


def the_input(data: Path | None):
    """Name, the two photos, the true cameras, true depth of the first photo."""
    from stereo3d.evaluation.pose import read_truth_camera
    from stereo3d.io import read_map

    if data and (data / "photos" / "fountain").is_dir():
        folder = data / "photos" / "fountain"
        photos = folder / "images" / "0004.jpg", folder / "images" / "0005.jpg"
        depth, views = folder / "depth" / "0004.npz", ("0004", "0005")
    else:
        folder = ROOT / "data" / "demo"
        photos, depth, views = (folder / "left.jpg", folder / "right.jpg"), folder / "depth_left.npz", ("left", "right")
    cameras = [read_truth_camera(folder / "cameras.json", view)[0] for view in views]
    return f"{folder.name} {'-'.join(views)}", photos, cameras, read_map(depth, unknown=[0])


def in_a_new_process(side, *arguments):
    """The stages of one run, or the message of its failure."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(measured, side, *arguments).result()
        except Exception as error:  # whatever a library raises, and the death of the process
            return f"{type(error).__name__}: {error}"


def scores_of(obj: Path, depth, camera) -> dict:
    from stereo3d.errors import StereoError
    from stereo3d.evaluation.mesh import mesh_scores
    from stereo3d.io import read_mesh

    try:
        return mesh_scores(read_mesh(obj), depth, camera)
    except (StereoError, ValueError) as error:
        print(f"{obj.name}: {error}")
        return {}


def medians(runs: list[list[dict]], what: str) -> dict[str, float]:
    return {
        name: float(np.median([stage[what] for run in runs for stage in run if stage["name"] == name]))
        for name in STAGES
    }


def show(mesher: str, runs: dict[str, list], scores: dict[str, dict]):
    print(f"\n{mesher:14s}{'stereo3d s':>12s}{'plain s':>12s}{'ratio':>9s}{'stereo3d MB':>13s}{'plain MB':>12s}")
    good = {side: [run for run in runs[side] if not isinstance(run, str)] for side in SIDES}
    for side in SIDES:
        for failure in [run for run in runs[side] if isinstance(run, str)]:
            print(f"{side} failed: {failure}")
    seconds = {side: medians(good[side], "seconds") if good[side] else dict.fromkeys(STAGES, np.nan) for side in SIDES}
    memory = {side: medians(good[side], "peak_mb") if good[side] else dict.fromkeys(STAGES, np.nan) for side in SIDES}
    for name in STAGES:
        row(name, *(seconds[side][name] for side in SIDES), *(memory[side][name] for side in SIDES))
    totals = [sum(seconds[side].values()) for side in SIDES]
    row("all", *totals, *(max(memory[side].values()) for side in SIDES))
    row("processor", *(processor_seconds(good[side]) for side in SIDES), np.nan, np.nan)
    for key in SCORES:
        a, b = (scores[side].get(key, np.nan) for side in SIDES)
        print(f"{key:26s}" + (f"{a:12.0f}{b:12.0f}" if key == "faces" else f"{a:12.4f}{b:12.4f}"), flush=True)


def processor_seconds(runs: list[list[dict]]) -> float:
    return float(np.median([run[-1]["processor"] for run in runs])) if runs else np.nan


def row(name, a, b, memory_a, memory_b):
    print(f"{name:14s}{a:12.2f}{b:12.2f}{a / max(b, 1e-9):9.2f}{memory_a:13.0f}{memory_b:12.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("STEREO3D_DATA"), help="default: $STEREO3D_DATA")
    parser.add_argument("--max-size", type=int, default=1600)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--meshers", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--growth", type=float, nargs="*", metavar="MP", help=f"default: {MEGAPIXELS}")
    parser.add_argument("--cores", action="store_true", help="with one core and with two")
    parser.add_argument("--keep", type=Path, help="folder for the OBJ files; default: they are not kept")
    parser.add_argument("--json", type=Path, help="write every run and score")
    arguments = parser.parse_args()
    from stereo3d.resources import processors

    name, (left, right), cameras, depth = the_input(Path(arguments.data) if arguments.data else None)
    K1, K2 = (camera.K.tolist() for camera in cameras)
    record = {"input": name, "max_size": arguments.max_size, "processors": processors(), "load": os.getloadavg()[0]}
    print(
        f"{name}, max_size {arguments.max_size}, {arguments.repeat} runs of each, "
        f"{record['processors']} processors, load {record['load']:.1f}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for mesher in arguments.meshers:
            for side in SIDES.values():
                in_a_new_process(side, left, right, K1, K2, 300, mesher, Path(scratch) / "warm.obj")
        for mesher in arguments.meshers:
            runs, scores = {side: [] for side in SIDES}, {}
            for _ in range(arguments.repeat):
                for side, run in SIDES.items():
                    target = folder / f"{side}_{mesher}.obj"
                    runs[side].append(in_a_new_process(run, left, right, K1, K2, arguments.max_size, mesher, target))
            for side in SIDES:
                target = folder / f"{side}_{mesher}.obj"
                scores[side] = scores_of(target, depth, cameras[0]) if target.exists() else {}
            show(mesher, runs, scores)
            record[mesher] = {"runs": runs, "scores": scores}
            good = [stages for stages in runs["stereo3d"] if not isinstance(stages, str)]
            if good:
                seconds = sum(medians(good, "seconds").values())
                record[mesher]["limit"] = limit(good[0][-1]["passed"], seconds)

        def grid_run(left, right, K1, K2, max_size):
            return in_a_new_process(ours, left, right, K1, K2, max_size, "grid", Path(scratch) / "run.obj")

        if arguments.cores:
            record["cores"] = cores(grid_run, (left, right), (K1, K2), arguments.max_size, arguments.repeat)
        if arguments.growth is not None:
            record["growth"] = growth(grid_run, (left, right), (K1, K2), arguments.growth or MEGAPIXELS)
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
