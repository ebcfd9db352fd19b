"""Every matcher on rectified pairs with measured truth, compared with OpenCV run live.

    python benchmarks/disparity.py [--data DIR] [--scenes cones tsukuba ...] [--methods block sgm:window=5x7 ...]
    python benchmarks/disparity.py --robust | --scaling

bad-x: % of pixels with truth that are off by more than x px, of the non-occluded ones and of all, in the dense map;
mean error there, in px; coverage and bad-1 of the kept map, non-occluded. Searched is [0, n), n the largest true
disparity rounded up to a multiple of 16, for all alike. Seconds are whole calls of `compute_disparities`, dense; x SGBM
and x HH compare them with one plain OpenCV call in the same run (wall clock, best of `--repeats`). The last rows are
plain OpenCV, both directions, the lower of the left and right neighbour in its gaps.

Then, for each matcher: the same as ratios to SGBM; how its confidence (hidden pixels included) fits the errors, in
bins and in tenths of the pixels; how many of the wrong pixels of the dense map are in the tenth of lowest confidence;
the area under the sparsification curve (mean bad-1 of the surest 1, 2 .. 100 %, non-occluded) and bad-1 of the surest
95 %, both also by the odds that a network replaced; `block` against OpenCV's StereoBM at equal coverage: its most
confident pixels against those that StereoBM keeps.
--robust: the right picture brighter, offset, noisy. --scaling: one thread against two, on the largest pairs.
"""

import argparse
import functools
import math
import os
import time
from pathlib import Path

import cv2
import numpy as np

from stereo3d.disparity import MATCHERS, compute_disparities, confidence, measurements, selection
from stereo3d.disparity.uncertainty import probability
from stereo3d.evaluation.disparity import disparity_scores, read_scene
from stereo3d.records import RectifiedPair

OPENCV = {"OpenCV SGBM, block 5": (0, 5), "OpenCV HH, block 3": (1, 3)}
STEREO_BM = (9, 15, 21)  # block sizes
COLUMNS = ("bad-.5", "bad-1", "bad-2", "mean", "all: .5", "1", "2", "mean", "kept %", "bad-1", "s", "x SGBM", "x HH")
HALF, ONE, ALL, COVERAGE, KEPT, SECONDS, HH = 0, 1, 5, 8, 9, 10, 12  # places in a row
LARGE = 741 * 500  # pixels: from here on time counts
BINS = (0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.01)  # of the predicted probability
DRAWS = 3  # of noise: whether a wall of weaker texture is found depends on the draw
CHANGES = {"gain 1.2": (1.2, 0, 0), "offset 10": (1, 10, 0), "noise 3": (1, 0, 3), "all three": (1.2, 10, 3)}


def rectified(left, right) -> RectifiedPair:
    height, width = left.shape[:2]
    identity = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    return RectifiedPair(left, right, identity, identity)


def widened(left, right, count: int):
    """OpenCV reaches the left border where the pictures are wider by the range."""
    return [
        cv2.copyMakeBorder(p, top=0, bottom=0, left=count, right=0, borderType=cv2.BORDER_REPLICATE)
        for p in (left, right)
    ]


def known(raw, count: int):
    """OpenCV's sixteenths without the added columns, in px, NaN where they are unknown or lead outside."""
    d = raw[:, count:].astype(np.float32) / 16
    d[(d < 0) | (d > np.arange(d.shape[1]))] = np.nan
    return d


def opencv_plain(left, right, count: int, mode: int, block: int):
    """(dense, kept): OpenCV's SGBM as its users call it."""
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=count,
        blockSize=block,
        P1=24 * block**2,
        P2=96 * block**2,
        disp12MaxDiff=1,
        preFilterCap=63,
        mode=mode,
    )
    kept = known(matcher.compute(*widened(left, right, count)), count)
    dense = np.fmin(last_known(kept), last_known(kept[:, ::-1])[:, ::-1])
    return np.nan_to_num(dense), kept


def opencv_block(left, right, count: int, block: int):
    """OpenCV's StereoBM with the settings of its own sample."""
    matcher = cv2.StereoBM.create(numDisparities=count, blockSize=block)
    matcher.setPreFilterCap(31)
    matcher.setTextureThreshold(10)
    matcher.setUniquenessRatio(15)
    matcher.setSpeckleWindowSize(100)
    matcher.setSpeckleRange(32)
    matcher.setDisp12MaxDiff(1)
    grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in widened(left, right, count)]
    return known(matcher.compute(*grey), count)


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


class Row:
    """A matcher with its options: "sgm:window=5x7,p1=12". The last outcome of its own is kept, to be used again."""

    def __init__(self, text: str, threads: int | None):
        self.name, _, options = text.partition(":")
        self.options = dict(o.split("=", 1) for o in options.split(",") if o)
        self.threads, self.matcher = threads, MATCHERS[self.name]
        self.outcome = self.spent = self.pictures = None

    def _call(self, function, pair, d_range, **more):
        MATCHERS[self.name] = functools.wraps(self.matcher)(function)
        try:
            left, right = compute_disparities(
                pair, d_range, method=self.name, **{"threads": self.threads} | more, **self.options
            )
        finally:
            MATCHERS[self.name] = self.matcher
        return left, right

    def dense(self, pair, d_range, **more):
        def watched(*arguments, **options):
            start = time.perf_counter()
            self.outcome = self.matcher(*arguments, **options)
            self.pictures = arguments[:2]
            self.spent = time.perf_counter() - start
            return self.outcome

        return self._call(watched, pair, d_range, dense=True, **more)[0].disparity

    def kept(self, pair, d_range):
        return self._call(lambda *_, **__: self.outcome, pair, d_range)[0].disparity

    def confidence(self, learned: bool = True):
        """Of every pixel of the matcher's own map, as `compute_disparities` has it for those that it keeps; else 0."""
        found = self.outcome
        if learned and found.network:
            inside = np.ones(found.left.shape, bool)
            supported = inside if found.supported[0] is None else found.supported[0]
            maps = (found.left, found.right), found.margins[0], found.starts[0]
            view = measurements.match_maps(self.pictures, *maps, supported, inside)
            return confidence.estimate(view, confidence.load_network(found.network))
        difference = selection.left_right_difference(found.left, found.right)
        odds = probability(found.left, difference, found.odds, found.margins[0])
        return np.where(np.isfinite(found.left), odds, 0)


def measure(scene, dense, kept) -> list[float]:
    """The figures of one scene, in the order of COLUMNS."""
    of_dense, of_kept = (disparity_scores(d, scene.truth, scene.nonocc) for d in (dense, kept))
    row = [of_dense[part][k] for part in ("nonocc", "all") for k in ("bad_0.5", "bad_1", "bad_2", "mean_error")]
    return row + [of_kept["nonocc"]["coverage"], of_kept["nonocc"]["bad_1_kept"]]


def most_confident(confidence, wrong, share: float) -> float:
    """% wrong among the given share of the pixels, those of highest confidence."""
    order = np.argsort(-confidence, kind="stable")
    return 100 * wrong[order[: max(1, round(share * len(order)))]].mean()


def of_confidence(confidence, scene, dense, own):
    """Reliability of the matcher's own map: share, sum of probabilities and of right ones in each bin; of the wrong
    ones of the dense map % in the tenth of lowest confidence, of the non-occluded pixels and of all."""
    there = np.isfinite(scene.truth)
    wrong = np.abs(dense - scene.truth) > 1
    judged = there & np.isfinite(own)
    p, right = confidence[judged], np.abs(own - scene.truth)[judged] <= 1
    at = np.digitize(p, BINS) - 1
    bins = np.array([np.bincount(at, w, len(BINS) - 1) / len(p) for w in (None, p, right)])
    removed = []
    for part in (there & scene.nonocc, there):
        w, order = wrong[part], np.argsort(confidence[part], kind="stable")
        removed.append(100 * w[order[: len(order) // 10]].sum() / max(1, w.sum()))
    return bins, removed


def sparsification(confidence, scene, dense):
    """Of the non-occluded pixels: mean bad-1 of the surest 1, 2 .. 100 %, bad-1 of the surest 95 %."""
    there = np.isfinite(scene.truth) & scene.nonocc
    wrong = (np.abs(dense - scene.truth) > 1)[there]
    order = np.argsort(-confidence[there], kind="stable")
    bad = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
    places = np.arange(1, 101) * len(order) // 100 - 1
    return 100 * bad[places].mean(), 100 * bad[places[94]]


def tenths(confidence, scene, own):
    """Mean probability and share of right ones in each tenth of the pixels by probability, hidden ones included."""
    judged = np.isfinite(scene.truth) & np.isfinite(own)
    p, right = confidence[judged], np.abs(own - scene.truth)[judged] <= 1
    parts = np.array_split(np.argsort(p, kind="stable"), 10)
    return [[p[part].mean() for part in parts], [right[part].mean() for part in parts]]


def ratios(rows: dict, large: np.ndarray):
    """The same as ratios to SGBM, scenes on which it is better, time where pictures are large."""
    values = {name: np.array(v) for name, v in rows.items()}
    sgbm, hh = (values[name] for name in OPENCV)
    print(
        f"\n{'ratio of the means to SGBM':38s}"
        + "".join(
            f"{c:>14s}"
            for c in (
                "bad-1",
                "bad-.5",
                "bad-1, all",
                "bad-1, kept",
                "kept %",
                "better: SGBM",
                "than HH",
                f"x HH, n={large.sum()}",
            )
        )
    )
    for name, v in values.items():
        mean, of = v.mean(0), sgbm.mean(0)
        better = [int((v[:, ONE] < peer[:, ONE]).sum()) for peer in (sgbm, hh)]
        figures = [f"{mean[k] / of[k]:14.3f}" for k in (ONE, HALF, ALL, KEPT)] + [f"{mean[COVERAGE]:14.1f}"]
        figures += [f"{b:14d}" for b in better] + [f"{v[large, HH].mean() if large.any() else np.nan:14.2f}"]
        print(f"{name:38s}" + "".join(figures))


def reliability(found: dict):
    print("\nconfidence of all pixels of the matcher's own map, before the left-right test; by bin: % of the pixels,")
    print("probability of an error < 1 px predicted, observed")
    print(f"{'':28s}" + "".join(f"{f'{a:g} to {min(b, 1):g}':>17s}" for a, b in zip(BINS, BINS[1:], strict=False)))
    for name, of_scenes in found.items():
        share, predicted, right = np.mean([bins for bins, _ in of_scenes], 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            cells = zip(100 * share, predicted / share, right / share, strict=True)
        print(f"{name:28s}" + "".join(f"{s:5.1f} {p:5.2f} {r:5.2f}" if s else 17 * " " for s, p, r in cells))
    print("% of the wrong pixels in the tenth of lowest confidence, mean over scenes: of the non-occluded, of all")
    for name, of_scenes in found.items():
        print(f"{name:28s}" + "".join(f"{v:8.1f}" for v in np.mean([removed for _, removed in of_scenes], 0)))


def print_sparsification(curves: dict, reliable: dict):
    print("\narea under the sparsification curve, bad-1 of the surest 95 %; by the odds; scenes with a smaller area")
    for name, of_scenes in curves.items():
        new, old = np.moveaxis(np.array(of_scenes), 1, 0)
        cells = (*new.mean(0), *old.mean(0), int((new[:, 0] < old[:, 0]).sum()), len(new))
        print(f"{name:28s}{cells[0]:8.2f}{cells[1]:8.2f}{cells[2]:8.2f}{cells[3]:8.2f}{cells[4]:5d} of {cells[5]}")
    print("tenths of the pixels by probability: % right predicted, observed")
    for name, of_scenes in reliable.items():
        for what, row in zip(("predicted", "observed"), 100 * np.mean(of_scenes, 0), strict=True):
            print(f"{name + ', ' + what:28s}" + "".join(f"{v:7.1f}" for v in row))


def against_stereo_bm(name: str, found: dict):
    print(f"\n{name} against OpenCV's StereoBM: bad-1 % of what StereoBM keeps, of as many best pixels of {name}; time")
    print("of the matcher (both maps) and of the whole call, x StereoBM (one map)")
    for size, of_scenes in found.items():
        coverage, theirs, ours, matcher, whole = (v := np.array(of_scenes)).mean(0)
        better = (v[:, 2] < v[:, 1]).sum()
        print(
            f"StereoBM, block {size:2d}: kept {coverage:5.1f} %  StereoBM {theirs:5.2f}  {name} {ours:5.2f}  better "
            f"on {better} of {len(v)}  matcher x {matcher:4.1f}  call x {whole:4.1f}"
        )


def compare(scenes, rows: list[str], arguments):
    figures = {name: [] for name in (*rows, *OPENCV)}
    sure, large = {name: [] for name in rows}, []
    curves, reliable = {name: [] for name in rows}, {name: [] for name in rows}
    of_bm = {name: {size: [] for size in STEREO_BM} for name in rows if name.startswith("block")}
    print(f"{'':38s}" + "".join(f"{c:>8s}" for c in COLUMNS))
    for number, (scene, pair, count) in enumerate(scenes):
        if number == 0:  # what is compiled at the first call is not counted
            small = rectified(scene.left[:64, :200].copy(), scene.right[:64, :200].copy())
            for name in rows:
                Row(name, arguments.threads).dense(small, (0, 15))
        peers = {}
        for peer, (mode, block) in OPENCV.items():
            once = lambda m=mode, b=block: opencv_plain(scene.left, scene.right, count, m, b)  # noqa: B023, E731
            peers[peer] = seconds(once, arguments.repeats)
        large.append(scene.truth.size >= LARGE)
        for name in figures:
            if name in OPENCV:
                dense, kept = opencv_plain(scene.left, scene.right, count, *OPENCV[name])
                spent = peers[name]
            else:
                row, own, calls = Row(name, arguments.threads), [], []
                for _ in range(arguments.repeats):
                    start = time.perf_counter()
                    dense = row.dense(pair, (0, count - 1))
                    calls.append(time.perf_counter() - start)
                    own.append(row.spent)
                spent = min(calls)
                kept = row.kept(pair, (0, count - 1))
                sureness = row.confidence()
                sure[name].append(of_confidence(sureness, scene, dense, row.outcome.left))
                pair_of = [sparsification(c, scene, dense) for c in (sureness, row.confidence(learned=False))]
                curves[name].append(pair_of)
                reliable[name].append(tenths(sureness, scene, row.outcome.left))
                if name in of_bm:
                    seen = np.isfinite(scene.truth) & scene.nonocc
                    wrong = np.abs(dense - scene.truth)[seen] > 1
                    for size in STEREO_BM:
                        theirs = opencv_block(scene.left, scene.right, count, size)
                        once = lambda s=size: opencv_block(scene.left, scene.right, count, s)  # noqa: B023, E731
                        bm = seconds(once, max(3, arguments.repeats))
                        scores = disparity_scores(theirs, scene.truth, scene.nonocc)["nonocc"]
                        ours = most_confident(sureness[seen], wrong, scores["coverage"] / 100)
                        of_bm[name][size].append(
                            (scores["coverage"], scores["bad_1_kept"], ours, min(own) / bm, spent / bm)
                        )
            figures[name].append([*measure(scene, dense, kept), spent, *(spent / p for p in peers.values())])
            if arguments.each:
                show(f"{scene.name}, {name}", figures[name][-1])
    if len(large) > 1 or not arguments.each:
        for name, values in figures.items():
            show(f"{name}, mean of {len(large)}", np.mean(values, 0))
    ratios(figures, np.array(large))
    reliability(sure)
    print_sparsification(curves, reliable)
    for name, found in of_bm.items():
        against_stereo_bm(name, found)


def robust(scenes, rows: list[str], arguments):
    """bad-1, non-occluded, dense, as the right picture changes, and by how much it grows; means of DRAWS of noise."""
    bad = {name: [] for name in (*rows, *OPENCV)}
    for scene, pair, count in scenes:
        noise = np.random.default_rng(0).normal(size=(DRAWS, *scene.right.shape))
        for name in bad:
            values = []
            for gain, offset, sigma in ((1, 0, 0), *CHANGES.values()):
                draws = []
                for draw in noise if sigma else noise[:1]:
                    right = np.clip(np.rint(gain * scene.right + offset + sigma * draw), 0, 255).astype(np.uint8)
                    if name in OPENCV:
                        dense, _ = opencv_plain(scene.left, right, count, *OPENCV[name])
                    else:
                        changed = RectifiedPair(pair.left, right, pair.map1, pair.map2)
                        dense = Row(name, arguments.threads).dense(changed, (0, count - 1))
                    draws.append(disparity_scores(dense, scene.truth, scene.nonocc)["nonocc"]["bad_1"])
                values.append(np.mean(draws))
            bad[name].append(values)
    print(f"{'bad-1, right picture:':28s}{'as it is':>10s}" + "".join(f"{c:>18s}" for c in CHANGES))
    for name, values in bad.items():
        base, *others = np.mean(values, 0)
        print(f"{name:28s}{base:10.2f}" + "".join(f"{v:10.2f} x {v / base:5.2f}" for v in others))


def scaling(scenes, rows: list[str], arguments):
    """Seconds with one thread and with two; the largest three pairs."""
    for scene, pair, count in sorted(scenes, key=lambda s: -s[0].truth.size)[:3]:
        for name in rows:
            row, spent, maps = Row(name, None), [], []
            for threads in (1, 2):
                maps.append(row.dense(pair, (0, count - 1), threads=threads))  # and compiled
                once = lambda t=threads, r=row: r.dense(pair, (0, count - 1), threads=t)  # noqa: B023, E731
                spent.append(seconds(once, arguments.repeats))
            same = "the same" if np.array_equal(*maps, equal_nan=True) else "ANOTHER"
            print(
                f"{scene.name:16s} {name:14s} 1 thread {spent[0]:6.2f} s, 2 threads {spent[1]:6.2f} s: "
                f"x {spent[0] / spent[1]:4.2f}, {same} map",
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("STEREO3D_DATA"), help="default: $STEREO3D_DATA")
    parser.add_argument("--scenes", nargs="+", help="default: all")
    parser.add_argument("--methods", nargs="+", default=list(MATCHERS), help="name or name:option=value,...")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--each", action="store_true", help="also a line for each scene")
    parser.add_argument("--robust", action="store_true", help="how the error grows as the right picture changes")
    parser.add_argument("--scaling", action="store_true", help="one thread against two")
    arguments = parser.parse_args()
    if not arguments.data:
        parser.error("give --data or set STEREO3D_DATA")
    root = Path(arguments.data) / "disparity"

    def scenes():
        for name in arguments.scenes or sorted(p.parent.name for p in root.glob("*/pair.json")):
            scene = read_scene(root / name)
            count = 16 * math.ceil((float(np.nanmax(scene.truth)) + 1e-6) / 16)
            yield scene, rectified(scene.left, scene.right), count

    what = robust if arguments.robust else scaling if arguments.scaling else compare
    what(scenes(), arguments.methods, arguments)


def show(name: str, figures):
    print(f"{name:38s}" + "".join(f"{v:8.2f}" for v in figures), flush=True)


if __name__ == "__main__":
    main()
