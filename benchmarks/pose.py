"""Relative pose against truth, every estimator on the very same matches.

    python benchmarks/pose.py [--data DIR] [--max-size 1600] [--seeds 3] [--draws 10] [--motions sideways ...]

Estimators: `estimate_two_view`; OpenCV's findEssentialMat with USAC_MAGSAC and with plain RANSAC, each followed by
recoverPose; PoseLib where it can be imported. All get one threshold, 1.5 px at matching size, and confidence 0.9999.

Real: the six pairs of the fountain ($STEREO3D_DATA), the order of the matches shuffled by each seed, once with the true
K and once with the focal length unknown: then ours and PoseLib estimate it with the pose, and OpenCV, which cannot, has
the prior (28 mm equivalent) that ours starts from. Synthetic: `random_two_view`, 1000 matches with 1 px of noise, half
of them wrong, a table for each motion. Without the data only the synthetic ones are run.

Columns: median error of rotation and of direction of t, degrees; AUC@5 and AUC@1 of the larger of the two, a failure
counting as infinite; error of the focal length, % (median of its size); matches that agree; milliseconds (median).
"""

import argparse
import itertools
import os
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from stereo3d.calibration import camera_for
from stereo3d.epipolar import estimate_two_view
from stereo3d.errors import StereoError
from stereo3d.evaluate import auc, pose_errors, read_truth_camera, relative_pose
from stereo3d.features import match_features
from stereo3d.geometry import ideal_pixels
from stereo3d.photos import read_photo
from stereo3d.records import Rig
from stereo3d.synthetic import MOTIONS, random_two_view

try:
    import poselib
except ImportError:
    poselib = None

CONFIDENCE = 0.9999
VIEWS = ("0003", "0004", "0005", "0006")
COLUMNS = ("rot. deg", "dir. deg", "AUC@5", "AUC@1", "focal %", "inliers", "ms")

# An estimator: (matches, rig without a pose, threshold px, seed) -> R, t, focal of camera 1, inliers


def ours(matches, rig, threshold, seed):
    view = estimate_two_view(matches, rig, threshold=threshold, confidence=CONFIDENCE, seed=seed)
    return view.R, view.t, view.rig.cam1.focal, int(view.inliers.sum())


def opencv(method):
    def estimate(matches, rig, threshold, seed):
        cv2.setRNGSeed(seed)
        # in the pixels of one common camera, since one threshold and one K are all that recoverPose takes
        K = rig.cam1.K
        x1, x2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((matches.x1, rig.cam1), (matches.x2, rig.cam2)))
        if not np.array_equal(rig.cam2.K, K):
            x2 = (x2 - rig.cam2.K[:2, 2]) / np.diag(rig.cam2.K)[:2] * np.diag(K)[:2] + K[:2, 2]
        E, mask = cv2.findEssentialMat(points1=x1, points2=x2, cameraMatrix=K, method=method, prob=CONFIDENCE,
                                       threshold=threshold)  # fmt: skip
        if E is None or E.shape != (3, 3):
            raise ValueError("no essential matrix")
        count, R, t, _ = cv2.recoverPose(E=E, points1=x1, points2=x2, cameraMatrix=K, mask=mask)
        return R, t.ravel(), rig.cam1.focal, int(count)

    return estimate


def by_poselib(matches, rig, threshold, seed):
    ransac = {"max_epipolar_error": threshold, "success_prob": CONFIDENCE, "seed": seed}
    x1, x2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((matches.x1, rig.cam1), (matches.x2, rig.cam2)))
    if rig.cam1.source == "prior":
        x1, x2 = x1 - rig.cam1.K[:2, 2], x2 - rig.cam2.K[:2, 2]
        pair, info = poselib.estimate_shared_focal_relative_pose(x1, x2, np.zeros(2), ransac, {})
        return pair.pose.R, pair.pose.t, pair.camera1.focal(), info["num_inliers"]

    def camera(c):
        return {"model": "PINHOLE", "width": c.size[0], "height": c.size[1],
                "params": [c.K[0, 0], c.K[1, 1], c.K[0, 2], c.K[1, 2]]}  # fmt: skip

    pose, info = poselib.estimate_relative_pose(x1, x2, camera(rig.cam1), camera(rig.cam2), ransac, {})
    return pose.R, pose.t, rig.cam1.focal, info["num_inliers"]


ESTIMATORS = {
    "stereo3d": ours,
    "OpenCV MAGSAC": opencv(cv2.USAC_MAGSAC),
    "OpenCV RANSAC": opencv(cv2.RANSAC),
    **({"PoseLib": by_poselib} if poselib else {}),
}


def measure(estimate, matches, rig, truth, threshold, seed) -> tuple:
    """(rotation, direction, larger, |focal error| in %, inliers, ms); infinite errors for a failure.

    rig: what the estimator is told.  truth: R, t, focal of camera 1.
    """
    R_true, t_true, focal_true = truth
    start = time.perf_counter()
    try:
        R, t, focal, inliers = estimate(matches, rig, threshold, seed)
    except (StereoError, ValueError, RuntimeError, cv2.error):
        return np.inf, np.inf, np.inf, np.inf, 0, 1000 * (time.perf_counter() - start)
    spent = 1000 * (time.perf_counter() - start)
    errors = pose_errors(R, t, R_true, t_true)
    return *errors.values(), 100 * abs(focal / focal_true - 1), inliers, spent


def fountain(data: Path, max_size: int):
    """(name, matches, true rig, rig of two priors, threshold) of each pair."""
    folder = data / "photos" / "fountain"
    photos = {v: read_photo(folder / "images" / f"{v}.jpg") for v in VIEWS}
    cameras = {v: read_truth_camera(folder / "cameras.json", v) for v in VIEWS}
    for a, b in itertools.combinations(VIEWS, 2):
        matches = match_features(photos[a], photos[b], max_size=max_size)
        R, t = relative_pose(*cameras[a][1:], *cameras[b][1:])
        threshold = 1.5 * max(1.0, max(photos[a].size) / max_size)
        yield f"{a}-{b}", matches, Rig(cameras[a][0], cameras[b][0], R, t), \
            Rig(camera_for(photos[a]), camera_for(photos[b])), threshold  # fmt: skip


def synthetic(motion: str, draws: int):
    for seed in range(draws):
        matches, rig = random_two_view(1000, seed=seed, motion=motion, noise=1.0, outliers=0.5)
        yield seed, matches, rig


def warm_up():
    """What is loaded or compiled at the first call is no estimator's time."""
    matches, rig = random_two_view(300, seed=1)
    for estimate in ESTIMATORS.values():
        measure(estimate, matches, replace(rig, R=None, t=None), (rig.R, rig.t, rig.cam1.focal), 1.5, 0)


def heading(text: str):
    print(f"\n{text:30s}" + "".join(f"{c:>10s}" for c in COLUMNS), flush=True)


def show(name: str, rows: list[tuple]):
    rotation, direction, pose, focal, inliers, spent = np.array(rows).T
    figures = (np.median(rotation), np.median(direction), auc(pose, 5), auc(pose, 1), np.median(focal))
    counts = f"{np.median(inliers):10.0f}{np.median(spent):10.1f}"
    print(f"{name:30s}" + "".join(f"{f:10.3f}" for f in figures) + counts, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("STEREO3D_DATA"), help="default: $STEREO3D_DATA")
    parser.add_argument("--max-size", type=int, default=1600, help="px, of the photos when matched")
    parser.add_argument("--seeds", type=int, default=3, help="runs on each real pair")
    parser.add_argument("--draws", type=int, default=10, help="synthetic pairs of each motion")
    parser.add_argument("--motions", nargs="*", default=[m for m in MOTIONS if m != "rotation"], choices=list(MOTIONS))
    arguments = parser.parse_args()
    if poselib is None:
        print("PoseLib is not installed: left out.")
    warm_up()
    if arguments.data and (Path(arguments.data) / "photos" / "fountain").is_dir():
        real(arguments)
    else:
        print("No photos/fountain in --data or STEREO3D_DATA: no real pairs.")
    for motion in arguments.motions:
        heading(f"{motion}, {arguments.draws} draws")
        rows = {name: [] for name in ESTIMATORS}
        for seed, matches, rig in synthetic(motion, arguments.draws):
            told, truth = replace(rig, R=None, t=None), (rig.R, rig.t, rig.cam1.focal)
            for name, estimate in ESTIMATORS.items():
                rows[name].append(measure(estimate, matches, told, truth, 1.5, seed))
        for name, values in rows.items():
            show(name, values)


def real(arguments):
    all_rows = {(told, name): [] for told in ("K known", "focal unknown") for name in ESTIMATORS}
    for pair, matches, rig, prior, threshold in fountain(Path(arguments.data), arguments.max_size):
        heading(f"fountain {pair}, {len(matches)} matches")
        truth = rig.R, rig.t, rig.cam1.focal
        for told, given in (("K known", replace(rig, R=None, t=None)), ("focal unknown", prior)):
            rows = {name: [] for name in ESTIMATORS}
            for seed in range(arguments.seeds):
                shuffled = matches[np.random.default_rng(seed).permutation(len(matches))]
                for name, estimate in ESTIMATORS.items():
                    rows[name].append(measure(estimate, shuffled, given, truth, threshold, seed))
            for name, values in rows.items():
                show(f"{told}, {name}", values)
                all_rows[told, name] += values
    heading("fountain, all six pairs")
    for (told, name), values in all_rows.items():
        show(f"{told}, {name}", values)


if __name__ == "__main__":
    main()
