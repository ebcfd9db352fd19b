"""Does a second search for matches, along the epipolar lines of a first estimate, improve the pose?

    python benchmarks/guided_matching.py [--data DIR] [--count 100] [--ratios 0.8 0.9]

The pose from free matches against the pose from guided ones (`match_features(..., view=first)`), over the pairs of
the fountain ($STEREO3D_DATA) and rendered pairs whose motion is determined, with K known, a focal length from EXIF
that is 3 % off, and nothing known.

Columns: pairs; median of the larger error of rotation and direction, degrees; AUC@1 and AUC@5; pairs where guided
matches made it better and worse by more than .001 degrees, and worse by more than .05 degrees.
"""

import argparse
import itertools
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from pose import exif_rig
from rendered_pairs import rendered_pair

from stereo3d.cameras import camera_for
from stereo3d.errors import StereoError
from stereo3d.evaluation.pose import auc, pose_errors, read_truth_camera, relative_pose
from stereo3d.features import detect_features, match_features
from stereo3d.images import read_photo
from stereo3d.records import Photo, Rig
from stereo3d.two_view import estimate_two_view

VIEWS = ("0003", "0004", "0005", "0006")
CHANGE = 0.001  # degrees; a smaller change counts as none
LARGE_CHANGE = 0.05  # degrees
LEFT_OUT = ("rotation", "small")  # motions that the matches do not determine
EXIF_ERROR = 0.03  # standard deviation of the logarithm of a focal length from EXIF


def fountain_pairs(data: Path):
    """Photos and true rig of the six pairs."""
    folder = data / "photos" / "fountain"
    photos = {v: read_photo(folder / "images" / f"{v}.jpg") for v in VIEWS}
    cameras = {v: read_truth_camera(folder / "cameras.json", v) for v in VIEWS}
    for a, b in itertools.combinations(VIEWS, 2):
        yield photos[a], photos[b], Rig(cameras[a][0], cameras[b][0], *relative_pose(*cameras[a][1:], *cameras[b][1:]))


def determined_pairs(count: int):
    """Photos and true rig of the first `count` rendered pairs whose motion is determined."""
    found, index = 0, 0
    while found < count:
        pair = rendered_pair(index)
        index += 1
        if pair.facts.motion not in LEFT_OUT and pair.facts.scene != "plane":
            found += 1
            yield pair.left, pair.right, pair.rig


def knowledge(rig: Rig, seed: int) -> dict[str, Rig]:
    """What the estimate knows of the cameras."""
    factor = float(np.exp(np.random.default_rng(seed).normal(0, EXIF_ERROR)))
    blank = [Photo(np.zeros((c.size[1], c.size[0], 3), np.uint8)) for c in (rig.cam1, rig.cam2)]
    return {
        "K known": replace(rig, R=None, t=None, unit=None),
        "EXIF, 3 % off": exif_rig(rig, factor),
        "nothing known": Rig(*(camera_for(photo) for photo in blank)),
    }


def compare(left: Photo, right: Photo, rig: Rig, ratios: list[float], seed: int) -> dict[str, list[float]]:
    """Pose errors (degrees) of free matches, then of guided ones with each ratio; without a first pose no row."""
    found = detect_features(left), detect_features(right)
    matches, rows = match_features(left, right, found=found), {}
    for name, given in knowledge(rig, seed).items():
        try:
            first = estimate_two_view(matches, given)
        except StereoError:
            continue
        views = [first]
        for ratio in ratios:
            guided = match_features(left, right, found=found, view=first, ratio=ratio)
            views.append(estimate_two_view(guided, given))
        rows[name] = [max(pose_errors(view.R, view.t, rig.R, rig.t).values()) for view in views]
    return rows


def table(title: str, rows: list[dict[str, list[float]]], ratios: list[float]) -> None:
    columns = "pairs", "median", "AUC@1", "AUC@5", "better", "worse", "by > .05"
    print(f"\n{title:32s}" + "".join(f"{c:>10s}" for c in columns))
    for name in dict.fromkeys(name for row in rows for name in row):
        errors = np.array([row[name] for row in rows if name in row])
        for k, label in enumerate(["free", *(f"guided, ratio {ratio:g}" for ratio in ratios)]):
            e, change = errors[:, k], errors[:, k] - errors[:, 0]
            figures = f"{len(e):10d}{np.median(e):10.4f}{auc(e, 1):10.4f}{auc(e, 5):10.4f}"
            counts = [(change < -CHANGE).sum(), (change > CHANGE).sum(), (change > LARGE_CHANGE).sum()]
            print(f"{name + ', ' + label:32s}{figures}" + "".join(f"{c:10d}" for c in counts), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("STEREO3D_DATA"), help="default: $STEREO3D_DATA")
    parser.add_argument("--count", type=int, default=100, help="rendered pairs")
    parser.add_argument("--ratios", type=float, nargs="*", default=[0.8, 0.9], help="ratio tests of guided matching")
    arguments = parser.parse_args()
    sources = {"rendered": determined_pairs(arguments.count)}
    if arguments.data:
        sources["fountain"] = fountain_pairs(Path(arguments.data))
    for title, pairs in sources.items():
        rows = [compare(*pair, arguments.ratios, seed) for seed, pair in enumerate(pairs)]
        table(title, rows, arguments.ratios)


if __name__ == "__main__":
    main()
