"""Every matcher on rectified pairs with measured truth, beside OpenCV run live.

    python benchmarks/disparity.py [--data DIR] [--scenes cones tsukuba ...] [--methods block sgm:window=5x7 ...]

bad-x: % of pixels with truth that are off by more than x px, of the non-occluded ones and of all, in the dense map;
mean error there, in px; coverage and bad-1 of the kept map, non-occluded. Searched is [0, n), n the largest true
disparity rounded up to a multiple of 16, for all alike. Seconds are whole calls of `compute_disparity`, dense; x SGBM
and x HH compare them with one plain OpenCV call in the same run (wall clock, best of `--repeats`). The last rows are
plain OpenCV, both directions, the lower of the left and right neighbour in its gaps.
"""

import argparse
import math
import os
import time
from pathlib import Path

import cv2
import numpy as np

from stereo3d.disparity import MATCHERS, compute_disparity
from stereo3d.evaluate import disparity_scores, read_scene
from stereo3d.records import RectifiedPair

OPENCV = {"OpenCV SGBM, block 5": (0, 5), "OpenCV HH, block 3": (1, 3)}
COLUMNS = ("bad-.5", "bad-1", "bad-2", "mean", "all: .5", "1", "2", "mean", "kept %", "bad-1", "s", "x SGBM", "x HH")


def rectified(left, right) -> RectifiedPair:
    height, width = left.shape[:2]
    identity = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    return RectifiedPair(left, right, identity, identity)


def opencv_plain(left, right, count: int, mode: int, block: int):
    """(dense, kept): OpenCV as its users call it, the pictures widened so that it reaches the left border."""
    matcher = cv2.StereoSGBM.create(minDisparity=0, numDisparities=count, blockSize=block, P1=24 * block**2,
                                    P2=96 * block**2, disp12MaxDiff=1, preFilterCap=63, mode=mode)  # fmt: skip
    wide = [cv2.copyMakeBorder(p, top=0, bottom=0, left=count, right=0, borderType=cv2.BORDER_REPLICATE)
            for p in (left, right)]  # fmt: skip
    kept = matcher.compute(*wide)[:, count:].astype(np.float32) / 16
    kept[(kept < 0) | (kept > np.arange(kept.shape[1]))] = np.nan
    dense = np.fmin(last_known(kept), last_known(kept[:, ::-1])[:, ::-1])
    return np.nan_to_num(dense), kept


def last_known(d):
    at = np.maximum.accumulate(np.where(np.isfinite(d), np.arange(d.shape[1]), 0), axis=1)
    return np.take_along_axis(d, at, axis=1)


def seconds(run, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(scene, dense, kept) -> list[float]:
    """The figures of one scene, in the order of COLUMNS."""
    of_dense, of_kept = (disparity_scores(d, scene.truth, scene.nonocc) for d in (dense, kept))
    row = [of_dense[part][k] for part in ("nonocc", "all") for k in ("bad_0.5", "bad_1", "bad_2", "mean_error")]
    return row + [of_kept["nonocc"]["coverage"], of_kept["nonocc"]["bad_1_kept"]]


def parse(text: str) -> tuple[str, dict]:
    """ "sgm:window=5x7,p1=12" -> ("sgm", {"window": "5x7", "p1": "12"})."""
    name, _, options = text.partition(":")
    return name, dict(o.split("=", 1) for o in options.split(",") if o)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("STEREO3D_DATA"), help="default: $STEREO3D_DATA")
    parser.add_argument("--scenes", nargs="+", help="default: all")
    parser.add_argument("--methods", nargs="+", default=list(MATCHERS), help="name or name:option=value,...")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--each", action="store_true", help="also a line for each scene")
    arguments = parser.parse_args()
    if not arguments.data:
        parser.error("give --data or set STEREO3D_DATA")
    root = Path(arguments.data) / "disparity"
    scenes = arguments.scenes or sorted(p.parent.name for p in root.glob("*/pair.json"))

    rows = {name: [] for name in (*arguments.methods, *OPENCV)}
    print(f"{'':38s}" + "".join(f"{c:>8s}" for c in COLUMNS))
    for name in scenes:
        scene = read_scene(root / name)
        pair = rectified(scene.left, scene.right)
        count = 16 * math.ceil((float(np.nanmax(scene.truth)) + 1e-6) / 16)
        d_range, peers = (0, count - 1), {}
        for peer, (mode, block) in OPENCV.items():
            once = lambda m=mode, b=block: opencv_plain(scene.left, scene.right, count, m, b)  # noqa: B023, E731
            peers[peer] = seconds(once, arguments.repeats)
        sgbm, hh = peers.values()
        for row in rows:
            if row in OPENCV:
                dense, kept = opencv_plain(scene.left, scene.right, count, *OPENCV[row])
                spent = peers[row]
            else:
                method, options = parse(row)
                ask = dict(method=method, threads=arguments.threads, **options)
                kept, _ = compute_disparity(pair, d_range, **ask)
                dense, _ = compute_disparity(pair, d_range, dense=True, **ask)
                once = lambda a=ask: compute_disparity(pair, d_range, dense=True, **a)  # noqa: B023, E731
                spent = seconds(once, arguments.repeats)
            rows[row].append([*measure(scene, dense, kept), spent, spent / sgbm, spent / hh])
            if arguments.each:
                show(f"{name}, {row}", rows[row][-1])
    if len(scenes) > 1 or not arguments.each:
        for row, values in rows.items():
            show(f"{row}, mean of {len(scenes)}", np.mean(values, 0))


def show(name: str, figures):
    print(f"{name:38s}" + "".join(f"{v:8.2f}" for v in figures), flush=True)


if __name__ == "__main__":
    main()
