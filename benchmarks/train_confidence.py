"""Train the network of `stereo3d.disparity.confidence` on rendered scenes, and write its weights.

    python benchmarks/train_confidence.py [--pairs 66] [--folder out/confidence] [--out FILE]
    python benchmarks/train_confidence.py --card          (reliability on the pairs held out, and the file's hash)

Every fifth pair is held out of training: epochs, layers and measurements were chosen on those. The same pairs, seeds
and versions of the packages give the same file, bit for bit, on one kind of processor. The measurements of each pair
are kept in --folder, so that a run that was interrupted goes on.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: sums in a fixed order

import argparse
import hashlib
from pathlib import Path

import numpy as np
from confidence_scenes import TrainingPair, training_pair

from stereo3d.disparity import confidence, measurements, methods
from stereo3d.disparity.planes.pyramid import BUDGETS, Budget
from stereo3d.disparity.rows import flip_copy

PAIRS = 66
SAMPLES = 2500  # pixels of each view and matcher
HELD_OUT = 5  # every fifth pair
HIDDEN = (32, 16)
EPOCHS, BATCH, RATE, DECAY = 24, 512, 3e-3, 1e-5
NOISE = 0.8  # standard deviations, added to the measurements: photos differ from renderings
ERROR_WEIGHT = 0.1  # of the logarithm of the error against the cross-entropy
LEAST, MOST = 0.02, 20.0  # px, of that error
NO_SURFACE = 1e3  # px, error of a disparity where there is none
FAMILIES = ("planes", "sgm")


def matched(pair: TrainingPair, index: int) -> dict[str, list[methods.Found]]:
    """The matchers' results, by family; every third pair also through a pyramid or with more rounds."""
    lo, hi = pair.d_range
    pixels = pair.left[..., 0].size
    infinity = None if pair.infinity is None else np.float32(pair.infinity)
    budgets = [BUDGETS["planes"]]
    if index % 3 == 0 and index // 3 % 4 < 3:
        third = pixels // 3
        budgets.append(
            (Budget(third, 10**9, 2, 1), Budget(third, 10**9, 1, 0), Budget(pixels, 10**9, 4, 2))[index // 3 % 4]
        )
    planes = [methods.match_planes(b, pair.left, pair.right, lo, hi, threads=1, infinity=infinity) for b in budgets]
    return {"planes": planes, "sgm": [methods.sgm(pair.left, pair.right, lo, hi, threads=1)]}


def views(pair: TrainingPair, found: methods.Found):
    """Yield the `MatchMaps` and the truth of both views."""
    sides = ((pair.left, pair.right), (found.left, found.right), pair.truth[0])
    other = (
        tuple(flip_copy(a) for a in sides[0][::-1]),
        tuple(flip_copy(a) for a in sides[1][::-1]),
        flip_copy(pair.truth[1]),
    )
    inside = np.ones(found.left.shape, bool)
    for k, (pictures, maps, truth) in enumerate((sides, other)):
        yield methods_maps(pictures, maps, found, k, inside), truth


def methods_maps(pictures, maps, found: methods.Found, side: int, inside: np.ndarray) -> measurements.MatchMaps:
    turn = flip_copy if side else np.asarray
    margin, start, supported = found.margins[side], found.starts[side], found.supported[side]
    return measurements.match_maps(
        pictures,
        maps,
        None if margin is None else turn(margin),
        None if start is None else tuple(turn(a) for a in start),
        inside if supported is None else turn(supported),
        inside,
    )


def samples(pair: TrainingPair, index: int, count: int) -> dict[str, np.ndarray]:
    """Measurements (N, n) and errors (N,), px, of some pixels of both views, by family."""
    out = {}
    for family, founds in matched(pair, index).items():
        rng = np.random.default_rng([index, len(family)])
        values, errors = [], []
        for found in founds:
            for maps, truth in views(pair, found):
                error = np.abs(maps.disparity - truth)
                error[~np.isfinite(truth)] = NO_SURFACE  # left out of training: the matcher drops the sky itself
                known = np.flatnonzero(np.isfinite(maps.disparity))
                at = rng.choice(known, min(count, len(known)), replace=False)
                height = len(truth)
                values.append(
                    measurements.Measured(maps).strip(0, height).reshape(len(measurements.NAMES), -1)[:, at].T
                )
                errors.append(error.ravel()[at])
        out[f"{family}.values"], out[f"{family}.errors"] = np.concatenate(values), np.concatenate(errors)
    return out


def fitted(
    values: np.ndarray, errors: np.ndarray, weight: np.ndarray, epochs: int, *, noise: float = NOISE, seed: int = 0
) -> list[np.ndarray]:
    """The fields of a `confidence.Network`: cross-entropy of error < 1 px, absolute error of the log error (Adam)."""
    rng = np.random.default_rng(seed)
    mean, scale = values.mean(0, dtype=np.float64), 1 / (values.std(0, dtype=np.float64) + 1e-3)
    inputs = np.clip((values - mean) * scale, -confidence.CLIP, confidence.CLIP).astype(np.float32)
    right = (errors < 1).astype(np.float32)
    size = np.log(np.clip(errors, LEAST, MOST)).astype(np.float32)
    layers = [inputs.shape[1], *HIDDEN, 2]
    state = []
    for a, b in zip(layers[:-1], layers[1:], strict=True):
        state += [rng.normal(0, np.sqrt(2 / a), (a, b)).astype(np.float32), np.zeros(b, np.float32)]
    state[-2] *= np.float32(0.3)
    first, second = ([np.zeros_like(p) for p in state] for _ in range(2))
    steps, done = epochs * (len(inputs) // BATCH), 0
    for _ in range(epochs):
        order = rng.permutation(len(inputs))
        for k in range(len(inputs) // BATCH):
            at = order[k * BATCH : (k + 1) * BATCH]
            found = [inputs[at]]
            found[0] = found[0] + np.float32(noise) * rng.standard_normal(found[0].shape, dtype=np.float32)
            for layer in range(3):
                z = found[-1] @ state[2 * layer] + state[2 * layer + 1]
                found.append(np.maximum(z, 0) if layer < 2 else z)
            p = 1 / (1 + np.exp(-found[3][:, 0]))
            slope = np.column_stack(
                [
                    weight[at] * (p - right[at]),
                    ERROR_WEIGHT * weight[at] * np.sign(found[3][:, 1] - size[at]),
                ]
            )
            slope = (slope / len(at)).astype(np.float32)
            gradient: list[np.ndarray] = []
            for layer in (2, 1, 0):
                w = state[2 * layer]
                gradient = [found[layer].T @ slope + np.float32(DECAY) * w, slope.sum(0), *gradient]
                slope = (slope @ w.T) * (found[layer] > 0)
            done += 1
            rate = RATE * 0.5 * (1 + np.cos(np.pi * done / steps))
            for p, m, v, g in zip(state, first, second, gradient, strict=True):
                m += np.float32(0.1) * (g - m)
                v += np.float32(0.001) * (g * g - v)
                p -= (
                    np.float32(rate / (1 - 0.9**done))
                    * m
                    / (np.sqrt(v / np.float32(1 - 0.999**done)) + np.float32(1e-8))
                )
    return [mean.astype(np.float32), scale.astype(np.float32), *state]


def equal_weights(pairs: np.ndarray) -> np.ndarray:
    """Weights by which every pair counts the same."""
    weight = 1 / np.bincount(pairs)[pairs]
    return (weight / weight.mean()).astype(np.float32)


def outputs(network: list[np.ndarray], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probability and error of measurements (N, n)."""
    out = np.empty((2, len(values)), np.float32)
    confidence.apply_network(confidence.Network(*network), np.ascontiguousarray(values.T, np.float32), out)
    return 1 / (1 + np.exp(-out[0])), np.exp(out[1])


def collect(indices, folder: Path | None, count: int, scale: float = 1.0) -> dict[str, tuple[np.ndarray, ...]]:
    """Values, errors and pair numbers of all pairs, by family."""
    tables: dict[str, list] = {family: [] for family in FAMILIES}
    for index in indices:
        path = None if folder is None else folder / f"{index:03d}.npz"
        if path is not None and path.exists():
            with np.load(path) as stored:
                found = dict(stored)
        else:
            found = samples(training_pair(index, scale), index, count)
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                np.savez(path, **found)
        for family in FAMILIES:
            surface = found[f"{family}.errors"] < NO_SURFACE
            values, errors = found[f"{family}.values"][surface], found[f"{family}.errors"][surface]
            tables[family].append((values, errors, np.full(len(values), index)))
    return {family: tuple(np.concatenate(a) for a in zip(*rows, strict=True)) for family, rows in tables.items()}


def train(tables, epochs: int) -> dict[str, np.ndarray]:
    """The arrays of the file of weights."""
    arrays = {}
    for family, (values, errors, pairs) in tables.items():
        used = pairs % HELD_OUT != HELD_OUT - 1
        network = fitted(values[used], errors[used], equal_weights(pairs[used]), epochs)
        arrays |= {f"{family}.{name}": a for name, a in zip(confidence.Network._fields, network, strict=True)}
    return arrays


def card(tables, path: Path):
    """Print the reliability on the pairs held out, in tenths of the pixels, and the hash of the weights."""
    with np.load(path) as stored:
        arrays = dict(stored)
    print("sha256", hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size, "bytes")
    for family, (values, errors, pairs) in tables.items():
        network = [arrays[f"{family}.{name}"] for name in confidence.Network._fields]
        print(family, sum(a.size for a in network[2:]), "weights")
        for what, used in (
            ("trained", pairs % HELD_OUT != HELD_OUT - 1),
            ("held out", pairs % HELD_OUT == HELD_OUT - 1),
        ):
            p, _ = outputs(network, values[used])
            right, weight = errors[used] < 1, equal_weights(pairs[used])
            order = np.argsort(p, kind="stable")
            wrong_share = []
            for part in np.array_split(order, 10):
                wrong_share.append(
                    (np.average(p[part], weights=weight[part]), np.average(right[part], weights=weight[part]))
                )
            kept = order[len(order) // 20 :]
            surprise = -np.log(np.clip(np.where(right, p, 1 - p), 1e-5, 1))
            print(f"{what:9s} cross-entropy {np.average(surprise, weights=weight):.4f}", end="")
            print(
                f"  wrong of all {100 * (~right).mean():.2f} %, of the surest 95 % {100 * (~right[kept]).mean():.2f} %"
            )
            print("          predicted " + " ".join(f"{100 * a:5.1f}" for a, _ in wrong_share))
            print("          observed  " + " ".join(f"{100 * b:5.1f}" for _, b in wrong_share))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--folder", type=Path, default=Path("out/confidence"))
    parser.add_argument("--out", type=Path, default=confidence.WEIGHTS)
    parser.add_argument("--card", action="store_true", help="do not train")
    arguments = parser.parse_args()
    tables = collect(range(arguments.pairs), arguments.folder, SAMPLES)
    if not arguments.card:
        np.savez(arguments.out, **train(tables, EPOCHS))
    card(tables, arguments.out)


if __name__ == "__main__":
    main()
