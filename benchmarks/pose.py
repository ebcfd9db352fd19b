"""Relative pose against truth, every estimator on the very same matches.

    python benchmarks/pose.py [--data DIR] [--max-size 1600] [--seeds 3] [--draws 10] [--motions sideways ...]
    python benchmarks/pose.py --focal-errors 150 [--first 0] [--rendered 40] [--zoom 0.99]
                                                          (the table of `focal_pairs.py` alone)

Estimators: `estimate_two_view`; OpenCV's findEssentialMat with USAC_MAGSAC and with plain RANSAC, each followed by
recoverPose; PoseLib and pycolmap where they can be imported. All get one threshold, 1.5 px at matching size, and
confidence 0.9999.

Real: the six pairs of the fountain and the lawn with its distortion taken out ($STEREO3D_DATA), the order of matches
shuffled by each seed: with the true K; with the focal length unknown: then ours and PoseLib estimate it with the pose,
and the others, which cannot, have the prior (28 mm equivalent) that ours starts from; and with a focal length 5 % too
long and too short, which ours takes for EXIF and the others for the truth. correspondences: median Sampson error of the
labelled inliers, px, by `estimate_two_view` from the prior and by estimators of F. Synthetic: `random_two_view`, 1000
matches with 1 px of noise, half of them wrong, a table for each motion; and cameras whose lens is not of the model:
does the standard error of the focal cover the error? Without the data only these are run.

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
from focal_pairs import focal_errors

from stereo3d.cameras import camera_for, read_rig
from stereo3d.errors import StereoError
from stereo3d.evaluation.pose import auc, pose_errors, read_truth_camera, relative_pose
from stereo3d.features import match_features
from stereo3d.geometry import hom, ideal_pixels, project, rotation_from_vector, sampson, undistort
from stereo3d.images import read_photo
from stereo3d.records import Camera, Matches, Photo, Rig
from stereo3d.synthetic.matches import MOTIONS, random_two_view
from stereo3d.two_view import estimate_two_view
from stereo3d.two_view.robust import ransac_fundamental

try:
    import poselib
except ImportError:
    poselib = None
try:
    import pycolmap
except ImportError:
    pycolmap = None

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
        E, mask = cv2.findEssentialMat(
            points1=x1, points2=x2, cameraMatrix=K, method=method, prob=CONFIDENCE, threshold=threshold
        )
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
        return {
            "model": "PINHOLE",
            "width": c.size[0],
            "height": c.size[1],
            "params": [c.K[0, 0], c.K[1, 1], c.K[0, 2], c.K[1, 2]],
        }

    pose, info = poselib.estimate_relative_pose(x1, x2, camera(rig.cam1), camera(rig.cam2), ransac, {})
    return pose.R, pose.t, rig.cam1.focal, info["num_inliers"]


def by_pycolmap(matches, rig, threshold, seed):
    options = pycolmap.RANSACOptions(max_error=threshold, confidence=CONFIDENCE, random_seed=seed)
    x, cameras = [], []
    for photo, c in ((matches.x1, rig.cam1), (matches.x2, rig.cam2)):
        x.append(ideal_pixels(photo, c.K, c.dist))
        cameras.append(
            pycolmap.Camera(
                model="PINHOLE", width=c.size[0], height=c.size[1], params=[c.K[0, 0], c.K[1, 1], c.K[0, 2], c.K[1, 2]]
            )
        )
    found = pycolmap.estimate_essential_matrix(*x, *cameras, options)
    if found is None:
        raise ValueError("no essential matrix")
    pose = found["cam2_from_cam1"].matrix()
    return pose[:, :3], pose[:, 3], rig.cam1.focal, int(found["num_inliers"])


ESTIMATORS = {
    "stereo3d": ours,
    "OpenCV MAGSAC": opencv(cv2.USAC_MAGSAC),
    "OpenCV RANSAC": opencv(cv2.RANSAC),
    **({"PoseLib": by_poselib} if poselib else {}),
    **({"pycolmap": by_pycolmap} if pycolmap else {}),
}


def measure(estimate, matches, rig, truth, threshold, seed) -> tuple:
    """(rotation, direction, larger, |focal error| in %, inliers, ms); infinite errors for a failure.

    rig: the cameras as the estimator gets them.  truth: R, t, focal of camera 1.
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
        yield (
            f"fountain {a}-{b}",
            matches,
            Rig(cameras[a][0], cameras[b][0], R, t),
            Rig(camera_for(photos[a]), camera_for(photos[b])),
            threshold,
        )


def exif_rig(rig: Rig, factor: float) -> Rig:
    """The true rig without its pose and distortion, principal points in the middle, the focals off by a factor."""
    cameras = []
    for c in (rig.cam1, rig.cam2):
        f = factor * c.focal
        K = np.array([[f, 0, (c.size[0] - 1) / 2], [0, f, (c.size[1] - 1) / 2], [0, 0, 1]])
        cameras.append(Camera(K, c.size, source="exif", source_detail=f"{factor:g} of the true focal"))
    return Rig(*cameras)


def lawn(data: Path, max_size: int):
    """As `fountain`: one pair, its distortion taken out beforehand."""
    folder = data / "photos" / "lawn"
    left, right = (read_photo(folder / f"lawn_{side}.png") for side in "LR")
    rig = read_rig(folder / "rig.json", (left.size, right.size))
    matches = match_features(left, right, max_size=max_size)
    x1, x2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((matches.x1, rig.cam1), (matches.x2, rig.cam2)))
    ideal = [replace(c, dist=np.zeros(0)) for c in (rig.cam1, rig.cam2)]
    threshold = 1.5 * max(1.0, max(left.size) / max_size)
    yield (
        "lawn",
        Matches(x1, x2, matches.score),
        replace(rig, cam1=ideal[0], cam2=ideal[1]),
        Rig(camera_for(left), camera_for(right)),
        threshold,
    )


def correspondences(data: Path, seeds: int):
    """Median Sampson error of the labelled inliers, px, of every estimator of F: medians over the seeds."""
    columns = "inliers", "stereo3d", "7-point", "MAGSAC", "PoseLib"
    print(f"\n{'correspondences, px':30s}" + "".join(f"{c:>10s}" for c in columns), flush=True)
    for folder in sorted((data / "correspondences").iterdir()):
        rows = np.loadtxt(next(folder.glob("*_pts.txt")))
        photos = [read_photo(next(folder.glob(f"*{side}.*"))) for side in "AB"]
        x1, x2, good = rows[:, :2], rows[:, 3:5], rows[:, 6] > 0
        if folder.name in ("kampa", "Kyoto"):
            good = rows[:, 6] == 1
        prior = Rig(*(camera_for(p) for p in photos))
        errors = []
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(rows))
            a, b, labelled = x1[order], x2[order], good[order]
            median = lambda F, a=a, b=b, g=labelled: np.median(np.abs(sampson(F, a[g], b[g])))  # noqa: E731
            row = [np.inf] * 4
            try:
                view = estimate_two_view(Matches(a, b, np.ones(len(a))), prior, threshold=1.5, seed=seed)
                ideal = [ideal_pixels(x, c.K, c.dist) for x, c in ((a, view.rig.cam1), (b, view.rig.cam2))]
                row[0] = np.median(np.abs(sampson(view.F, ideal[0][labelled], ideal[1][labelled])))
            except StereoError:
                pass
            found = ransac_fundamental(a, b, threshold=1.5, confidence=CONFIDENCE, seed=seed)
            row[1] = median(found.model) if found else np.inf
            cv2.setRNGSeed(seed)
            F, _ = cv2.findFundamentalMat(
                points1=a,
                points2=b,
                method=cv2.USAC_MAGSAC,
                ransacReprojThreshold=1.5,
                confidence=CONFIDENCE,
                maxIters=10000,
            )
            row[2] = np.inf if F is None else median(F[:3])
            if poselib:
                F, _ = poselib.estimate_fundamental(a, b, {"max_epipolar_error": 1.5, "seed": seed}, {})
                row[3] = median(F)
            errors.append(row)
        print(f"{folder.name:30s}{good.sum():10d}" + "".join(f"{e:10.3f}" for e in np.median(errors, 0)), flush=True)


def synthetic(motion: str, draws: int):
    for seed in range(draws):
        matches, rig = random_two_view(1000, seed=seed, motion=motion, noise=1.0, outliers=0.5)
        yield seed, matches, rig


def lenses(draws: int):
    """Compare the standard error of the focal with its error for lenses off the model, a line a kind of knowledge.

    Random cameras (28 to 47 mm) whose centre lies 0.6 % of the width off, with k1, k2 and tangential terms, turned
    against each other by about 10 degrees, 200 to 2000 matches with 0.1 to 0.6 px of noise on smooth surfaces. Given:
    the true focal 2 % off as EXIF, exactly, or nothing. error / sigma: root mean square; 1 or less covers the error.
    """
    print(
        f"\n{f'lenses, {draws} draws':30s}"
        + "".join(f"{c:>15s}" for c in ("found", "median error %", "sigma %", "error / sigma", "pose deg"))
    )
    rows = {"EXIF, 2 % off": [], "EXIF, exact": [], "nothing": []}
    for seed in range(draws):
        matches, rig = lens_pair(seed)
        focal, size = rig.cam1.focal, rig.cam1.size
        off = np.exp(np.random.default_rng(seed).normal(0, 0.02))
        knowledge = {"EXIF, 2 % off": off * focal, "EXIF, exact": focal, "nothing": None}
        for name, f in knowledge.items():
            prior = camera_for(Photo(np.zeros((size[1], size[0], 3), np.uint8)))
            if f is not None:
                prior = exif_rig(Rig(prior, prior), f / prior.focal).cam1
            try:
                view = estimate_two_view(matches, Rig(prior, prior), seed=0)
            except StereoError:
                continue
            found = view.rig.cam1.source in ("exif", "estimated")
            error = max(pose_errors(view.R, view.t, rig.R, rig.t).values())
            rows[name].append((found, np.log(view.rig.cam1.focal / focal), view.focal_sigma, error))
    for name, values in rows.items():
        found, error, sigma, pose = np.array(values, float).T
        found = found > 0
        ratio = np.sqrt(np.mean((error[found] / sigma[found]) ** 2))
        figures = 100 * np.median(np.abs(error[found])), 100 * np.median(sigma[found]), ratio, np.median(pose)
        print(f"{name:30s}{found.sum():15d}" + "".join(f"{f:15.3f}" for f in figures), flush=True)


def lens_pair(seed: int):
    rng = np.random.default_rng(seed)
    w, h = 1600, 1200
    K = np.array([[rng.uniform(0.75, 1.3) * w, 0, (w - 1) / 2 + rng.normal(0, 0.006 * w)], [0, 0, 0], [0, 0, 1]])
    K[1] = 0, K[0, 0], (h - 1) / 2 + rng.normal(0, 0.006 * w)
    camera = Camera(K, (w, h), rng.normal(0, [0.03, 0.02, 0.0005, 0.0005]))
    R, centre = rotation_from_vector(np.radians(rng.normal(0, [4, 8, 4]))), rng.normal(0, [1, 0.4, 0.4])
    t = -R @ centre / np.linalg.norm(centre)
    x1 = rng.uniform(-0.5, [w - 0.5, h - 0.5], (12000, 2))
    d = undistort(x1, K, camera.dist)
    wave = np.sin(rng.uniform(3, 8) * d[:, 0] + rng.uniform(0, 6)) * np.cos(rng.uniform(3, 8) * d[:, 1])
    z = np.maximum(6 + 2 * wave + rng.normal() * d[:, 0] + rng.normal(0, 0.3, len(d)), 2.5)
    Y = (hom(d) * z[:, None]) @ R.T + t
    x2 = project(Y, K, dist=camera.dist)
    good = ((x2 > -0.5) & (x2 < [w - 0.5, h - 0.5])).all(1) & (Y[:, 2] > 0.5)
    good &= np.abs(undistort(x2, K, camera.dist) - Y[:, :2] / Y[:, 2:]).max(1) < 1e-6  # not from beyond the fold
    n, noise = int(rng.choice([200, 600, 2000])), rng.choice([0.1, 0.3, 0.6])
    x1, x2 = (x[good][:n] + rng.normal(0, noise, (min(n, good.sum()), 2)) for x in (x1, x2))
    return Matches(x1, x2, np.ones(len(x1))), Rig(camera, camera, R, t)


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
    parser.add_argument("--focal-errors", type=int, default=0, help="random pairs, each with nothing known and EXIF")
    parser.add_argument("--first", type=int, default=0, help="of them")
    parser.add_argument("--rendered", type=int, default=0, help="rendered pairs, for --focal-errors")
    parser.add_argument("--zoom", type=float, default=1.0, help="of the second photos, for --focal-errors")
    arguments = parser.parse_args()
    if arguments.focal_errors or arguments.rendered:
        focal_errors(arguments.focal_errors, arguments.first, arguments.rendered, arguments.zoom)
        return
    if poselib is None:
        print("PoseLib is not installed: left out.")
    warm_up()
    if arguments.data and (Path(arguments.data) / "photos" / "fountain").is_dir():
        real(arguments)
    else:
        print("No photos/fountain in --data or STEREO3D_DATA: no real pairs.")
    lenses(3 * arguments.draws)
    for motion in arguments.motions:
        heading(f"{motion}, {arguments.draws} draws")
        rows = {name: [] for name in ESTIMATORS}
        for seed, matches, rig in synthetic(motion, arguments.draws):
            unposed, truth = replace(rig, R=None, t=None), (rig.R, rig.t, rig.cam1.focal)
            for name, estimate in ESTIMATORS.items():
                rows[name].append(measure(estimate, matches, unposed, truth, 1.5, seed))
        for name, values in rows.items():
            show(name, values)


def real(arguments):
    knowledge = "K known", "focal unknown", "5 % long", "5 % short"
    data = Path(arguments.data)
    all_rows = {(known, name): [] for known in knowledge for name in ESTIMATORS}
    pairs = itertools.chain(fountain(data, arguments.max_size), lawn(data, arguments.max_size))
    for pair, matches, rig, prior, threshold in pairs:
        heading(f"{pair}, {len(matches)} matches")
        truth = rig.R, rig.t, rig.cam1.focal
        givens = replace(rig, R=None, t=None), prior, exif_rig(rig, 1.05), exif_rig(rig, 0.95)
        for known, given in zip(knowledge, givens, strict=True):
            rows = {name: [] for name in ESTIMATORS}
            for seed in range(arguments.seeds):
                shuffled = matches[np.random.default_rng(seed).permutation(len(matches))]
                for name, estimate in ESTIMATORS.items():
                    rows[name].append(measure(estimate, shuffled, given, truth, threshold, seed))
            for name, values in rows.items():
                show(f"{known}, {name}", values)
                if pair != "lawn":
                    all_rows[known, name] += values
    heading("fountain, all six pairs")
    for (known, name), values in all_rows.items():
        show(f"{known}, {name}", values)
    if (data / "correspondences").is_dir():
        correspondences(data, arguments.seeds)


if __name__ == "__main__":
    main()
