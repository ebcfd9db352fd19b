"""Ablations of `planes`: each ingredient is switched off, and the error grows; and changes that do not pay.

    python benchmarks/ingredients.py [--data DIR] [--scenes cones tsukuba ...] [--only WORD ...]

Mean over the scenes (`benchmarks/disparity.py` has the measure): bad-1, bad-0.5 of the non-occluded pixels and bad-1 of
all, in the dense map; behind it the difference to the whole; seconds against the whole (wall clock).
"""

import argparse
import contextlib
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
from disparity import rectified

from stereo3d.disparity import compute_disparity, costs, methods
from stereo3d.disparity.planes import BUDGETS, candidates, matcher, views
from stereo3d.disparity.planes import energy as energy_module
from stereo3d.evaluation.disparity import disparity_scores, read_scene

FIGURES = (("nonocc", "bad_1"), ("nonocc", "bad_0.5"), ("all", "bad_1"))


def budget(**changes):
    return patch.dict(BUDGETS, planes=replace(BUDGETS["planes"], **changes))


def without_segments(which: range):
    """Candidates without some planes of segments: three fitted to their own disparities come first, by scale."""

    class Fewer(candidates.Candidates):
        segmentations = 0

        def put_segments(self, labels, planes, fallback):
            self.segmentations += 1
            if self.segmentations - 1 not in which:
                super().put_segments(labels, planes, fallback)

    return patch("stereo3d.disparity.planes.matcher.Candidates", Fewer)


def without_refined_planes():
    """The pictures determine no plane."""

    def unknown(view, known, fitted, energy):
        return tuple(np.full((segmentation.number, 3), np.nan) for segmentation in view.segmentations[1:])

    return patch("stereo3d.disparity.planes.matcher.refined_planes", unknown)


def without_neighbours():
    """No segment gets the plane of another one."""

    def itself(labels, pixels, picture):
        return np.arange(len(pixels.start) - 1)

    return patch("stereo3d.disparity.planes.segments.closest_neighbours", itself)


def without_occlusions():
    """The other view's disparities hide nothing."""
    whole = views.cross_view_state

    def cross_view_state(view, other):
        d, state = whole(view, other)
        return energy_module.CrossView(d, np.minimum(state, np.uint8(energy_module.SEEN)))

    return patch("stereo3d.disparity.planes.matcher.cross_view_state", cross_view_state)


def blurred(sigma: float):
    def brightness(picture, whole=costs.brightness):
        return cv2.GaussianBlur(whole(picture), ksize=(0, 0), sigmaX=sigma)

    return patch("stereo3d.disparity.costs.brightness", brightness)


def rounded(picture, whole=costs.brightness):
    return (whole(picture) + 128) >> 8 << 8


def weighted(*weights: int):
    """Brightness of other parts of red, green and blue, in 256."""
    return patch("stereo3d.disparity.costs.brightness", lambda picture: picture @ np.array(weights, np.uint16))


@contextlib.contextmanager
def binary_census(window: str):
    """One bit per neighbour of a whole window, all penalties in proportion to the bits."""
    whole = methods.plane_energy
    share = (np.prod([2 * half + 1 for half in costs.CENSUS[window]]) - 1) / (3 * len(costs.GRADED))

    def compute_census(pictures, threads, shape):
        codes = [np.empty(shape, np.uint64) for _ in pictures]
        for picture, out in zip(pictures, codes, strict=True):
            image = cv2.resize(costs.brightness(picture), shape[::-1], interpolation=cv2.INTER_AREA)
            costs.census(image, *costs.CENSUS[window], 0, len(out), out)
        return codes

    def plane_energy(lo, hi, **options):
        energy, jumps = whole(lo, hi, **options)
        names = ("slope", "jumps", "limit", "hidden", "against")
        scaled = {name: getattr(energy, name) * np.float32(share) for name in names}
        return replace(energy, **scaled), np.rint(jumps * share).astype(jumps.dtype)

    with (
        patch("stereo3d.disparity.planes.views.compute_census", compute_census),
        patch("stereo3d.disparity.methods.plane_energy", plane_energy),
        patch("stereo3d.disparity.planes.matcher.START_PENALTY", round(share * matcher.START_PENALTY)),
    ):
        yield


@contextlib.contextmanager
def tolerance(rounding: int, noise: float = 1.0):
    """Another tolerance of the census: units of brightness, and share of the noise."""
    whole = views.noise_level
    with (
        patch("stereo3d.disparity.planes.views.ROUNDING", rounding),
        patch("stereo3d.disparity.planes.views.noise_level", lambda image: noise * whole(image)),
    ):
        yield


def level(d):
    return np.stack([d, np.zeros_like(d), np.zeros_like(d)])


VARIANTS = {
    "all of it": contextlib.nullcontext,
    "brightness rounded to 8 bits": lambda: patch("stereo3d.disparity.costs.brightness", rounded),
    "no planes fitted to segments": lambda: without_segments(range(3)),
    "no planes refined by the pictures": without_refined_planes,
    "no planes of neighbouring segments": without_neighbours,
    "no segments at all": lambda: without_segments(range(6)),
    "no slope of the neighbourhood": lambda: patch("stereo3d.disparity.planes.matcher.local_planes", level),
    "no occlusions by the other view": without_occlusions,
    "no choice after the first": lambda: budget(rounds=0),
    "one choice after the first": lambda: budget(rounds=1),
    "four choices after the first": lambda: budget(rounds=4),
    "not sharpened": lambda: patch("stereo3d.disparity.planes.matcher.sharpen", lambda view, *_: view),
    # changes that do not pay
    "brightness: Rec. 601 luma": lambda: weighted(77, 150, 29),
    "brightness: green alone": lambda: weighted(0, 256, 0),
    "brightness blurred by half a pixel": lambda: blurred(0.5),
    "brightness blurred by a pixel": lambda: blurred(1.0),
    "census of 7 x 9, one bit each": lambda: binary_census("7x9"),
    "census of 5 x 7, one bit each": lambda: binary_census("5x7"),
    "census: differences of 0": lambda: tolerance(0, 0),
    "census: half a grey level and the noise": lambda: tolerance(160),
    "census: a grey level and the noise": lambda: tolerance(288),
    "census: the noise left out": lambda: tolerance(views.ROUNDING, 0),
    "finer: 5 x 5 windows": lambda: patch("stereo3d.disparity.planes.matcher.FINE_RADIUS", 2),
    "finer: 9 x 9 windows": lambda: patch("stereo3d.disparity.planes.matcher.FINE_RADIUS", 4),
    "finer: by slopes of a grey level too": lambda: patch("stereo3d.disparity.refinement.NOISE", 1.0),
    "started at half the size": lambda: budget(max_pixels=45_000),
    "the same, without a shift": lambda: budget(max_pixels=45_000, shifts=0),
    "the same, with two shifts": lambda: budget(max_pixels=45_000, shifts=2),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("STEREO3D_DATA"), help="default: $STEREO3D_DATA")
    parser.add_argument("--scenes", nargs="+", help="default: all")
    parser.add_argument("--only", nargs="+", default=[""], help="variants that have one of these words in their name")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if not arguments.data:
        parser.error("give --data or set STEREO3D_DATA")
    root = Path(arguments.data) / "disparity"
    variants = [n for n in VARIANTS if n == "all of it" or any(word in n for word in arguments.only)]
    rows = {name: [] for name in variants}
    for name in arguments.scenes or sorted(p.parent.name for p in root.glob("*/pair.json")):
        scene = read_scene(root / name)
        pair = rectified(scene.left, scene.right)
        count = 16 * math.ceil((float(np.nanmax(scene.truth)) + 1e-6) / 16)
        if not rows["all of it"]:  # what is compiled at the first call is not counted
            compute_disparity(rectified(scene.left[:64, :200], scene.right[:64, :200]), (0, 15))
        for variant in variants:
            with VARIANTS[variant]():
                start = time.perf_counter()
                dense, _ = compute_disparity(pair, (0, count - 1), dense=True, threads=arguments.threads)
                spent = time.perf_counter() - start
            scores = disparity_scores(dense, scene.truth, scene.nonocc)
            rows[variant].append([*(scores[part][k] for part, k in FIGURES), spent])
    whole = np.mean(rows["all of it"], 0)
    print(
        f"{'mean of ' + str(len(rows['all of it'])) + ' scenes':40s}{'bad-1':>14s}{'bad-0.5':>14s}{'bad-1, all':>14s}"
        f"{'time':>8s}"
    )
    for variant, values in rows.items():
        mean = np.mean(values, 0)
        cells = [
            f"{m:7.2f}" + (f" {m - w:+6.2f}" if variant != "all of it" else 7 * " ")
            for m, w in zip(mean[:3], whole, strict=False)
        ]
        print(f"{variant:40s}" + "".join(cells) + f"{mean[3] / whole[3]:8.2f}")


if __name__ == "__main__":
    main()
