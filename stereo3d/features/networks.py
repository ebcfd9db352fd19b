"""Detectors and a matcher of features that are networks from the user's files: ALIKED, DISK, LightGlue.

The models are those that OpenCV 5 reads in its classes ALIKED, DISK and LightGlueMatcher. They run in onnxruntime here,
in a process with limits: OpenCV's classes parse the file within this process, and stretch every picture to one fixed
size. Imports nothing heavy.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from ..errors import StereoError
from ..options import Range
from .spreading import spread

if TYPE_CHECKING:
    from ..foreign.network import Network
    from ..foreign.tensors import Layout

FEATURE_SIZE = 16.0  # px, given to every feature: about what its descriptor sees
UNIT = 512  # length of a descriptor, in whole numbers, as those of SIFT: dot products are then exact
MULTIPLE = 32  # px, of the sides of the input where they are free
_OUTPUTS = {"keypoints": ("keypoint", "kpts"), "descriptors": ("desc",), "scores": ("score",)}
_LIGHTGLUE = ("kpts0", "kpts1", "desc0", "desc1")


def aliked(
    grey: np.ndarray,
    *,
    model: str | None = None,
    features: Annotated[int, Range(100, 1_000_000)] = 10000,
    threshold: Annotated[float, Range(0, 1e9)] = 0.0,
    side: Annotated[int, Range(64, 8192)] = 1024,
    provider: Literal["cpu", "cuda"] = "cpu",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """d = round(512 d / |d|): detect the features of an ALIKED network that the user has as an ONNX file.

    Parameters
    ----------
    grey : (H, W) uint8
    model : str
        The file: image -> keypoints, descriptors, scores.
    features : int
        Maximum number, spread over the picture.
    threshold : float
        Lowest score.
    side : int
        px, the longer side at which the network sees the picture.
    provider : str
        Where it runs.

    Returns
    -------
    x, descriptors, frames
        As of `sift`; a feature has no orientation.

    Raises
    ------
    StereoError
        "bad_option" without a model; "bad_model" where it does not give features; "library_missing".
    """
    return _detect("aliked", grey, model, features, threshold, side, provider)


def disk(
    grey: np.ndarray,
    *,
    model: str | None = None,
    features: Annotated[int, Range(100, 1_000_000)] = 10000,
    threshold: Annotated[float, Range(0, 1e9)] = 0.0,
    side: Annotated[int, Range(64, 8192)] = 1024,
    provider: Literal["cpu", "cuda"] = "cpu",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """d = round(512 d / |d|): detect the features of a DISK network that the user has as an ONNX file.

    Parameters
    ----------
    grey, model, features, threshold, side, provider
        As of `aliked`.

    Returns
    -------
    x, descriptors, frames
        As of `sift`; a feature has no orientation.
    """
    return _detect("disk", grey, model, features, threshold, side, provider)


def check_detector(name: str, model: str | None) -> None:
    """Load the model of a detector, and refuse one with other inputs or outputs."""
    with _opened(name, model, "cpu") as network:
        _picture_input(network)
        _named_outputs(network)


def check_matcher(model: str) -> None:
    """Load the model of LightGlue, and refuse one with other inputs or outputs."""
    with _opened("LightGlue", model, "cpu") as network:
        _check_lightglue(network)


def _opened(name: str, model: str | None, provider: str) -> "Network":
    from .. import resources
    from ..foreign.network import Network

    if model is None:
        raise missing_model(name)
    threads, memory = resources.processors(), resources.available_memory()
    return Network(Path(model), provider=provider, threads=threads, memory=memory)


def missing_model(name: str) -> StereoError:
    """The error of a network without its file."""
    message = f"the detector {name} needs the file of a network."
    return StereoError("bad_option", message, f"Write --detector {name}:FILE, or -O detector.model=FILE.")


def _detect(  # noqa: PLR0913 - the options of both detectors
    name: str, grey: np.ndarray, model: str | None, features: int, threshold: float, side: int, provider: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import cv2

    with _opened(name, model, provider) as network:
        entry, form = _picture_input(network)
        wanted = _named_outputs(network)
        height, width = grey.shape
        scale = min(1.0, side / max(height, width), *_fixed_ratios(form, height, width))
        size = max(8, round(width * scale)), max(8, round(height * scale))
        small = cv2.resize(src=grey, dsize=size, interpolation=cv2.INTER_AREA) if scale < 1 else grey
        tall, wide = (f or -(-n // MULTIPLE) * MULTIPLE for f, n in ((form.height, size[1]), (form.width, size[0])))
        canvas = np.pad(small, ((0, tall - size[1]), (0, wide - size[0])), mode="edge")
        x, descriptors, scores = _features_of(
            network, network.run({entry: _tensor(canvas, form)}, wanted), (wide, tall)
        )
    inside = (x >= -0.5).all(1) & (x <= np.array(size) - 0.5).all(1) & (scores >= threshold)
    x, descriptors, scores = x[inside], descriptors[inside], scores[inside]
    x = (x + 0.5) * (np.array([width, height]) / size) - 0.5
    kept = spread(x, scores, (width, height), features)
    descriptors = descriptors[kept] / np.maximum(np.linalg.norm(descriptors[kept], axis=1, keepdims=True), 1e-12)
    frames = np.tile(FEATURE_SIZE / scale * np.eye(2), (len(kept), 1, 1))
    return x[kept], np.rint(UNIT * descriptors).astype(np.float32), frames


def _fixed_ratios(form: "Layout", height: int, width: int) -> list[float]:
    """How much smaller the picture must be to fit into an input of fixed size."""
    return [fixed / n for fixed, n in ((form.height, height), (form.width, width)) if fixed]


def _tensor(grey: np.ndarray, form: "Layout") -> np.ndarray:
    """The picture as the network takes it: 0 to 1, the three channels alike."""
    values = grey if form.kind == "uint8" else grey.astype(np.float32) / np.float32(255)
    values = np.repeat(values[..., None] if form.last else values[None], form.channels, axis=-1 if form.last else 0)
    return np.ascontiguousarray(values if form.batch is None else values[None], dtype=form.kind)


def _picture_input(network: "Network") -> "tuple[str, Layout]":
    from ..foreign.tensors import layout_of

    form = layout_of(network.inputs[0]) if len(network.inputs) == 1 else None
    if form is None or form.channels not in (1, 3) or form.batch not in (None, 1):
        raise _refusal(network, "inputs", network.inputs, "one picture, 1 x 3 x H x W or 1 x 1 x H x W")
    return network.inputs[0].name, form


def _named_outputs(network: "Network") -> list[str]:
    """Names of the outputs of keypoints, descriptors and scores."""
    names = [t.name for t in network.outputs]
    found = [next((n for n in names if any(w in n.lower() for w in words)), None) for words in _OUTPUTS.values()]
    if None in found or len(set(found)) < len(found):
        raise _refusal(network, "outputs", network.outputs, ", ".join(_OUTPUTS))
    return [name for name in found if name is not None]


def _features_of(
    network: "Network", outputs: list[np.ndarray], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (N, 2) px of the input, descriptors (N, k) and scores (N,); keypoints in -1 .. 1 are those of ALIKED."""
    x, descriptors, scores = (a[0] if a.ndim == 3 or (a.ndim == 2 and len(a) == 1) else a for a in outputs)
    scores = scores.reshape(-1)
    count = len(scores)
    fits = x.shape == (count, 2) and descriptors.ndim == 2 and len(descriptors) == count
    if not fits or not all(np.isfinite(a).all() for a in (x, descriptors, scores)):
        shapes = ", ".join(f"{n} {' x '.join(map(str, a.shape))}" for n, a in zip(_OUTPUTS, outputs, strict=True))
        raise StereoError(
            "bad_model",
            f"{network.path}: the network gives {shapes}, or numbers that are not finite.",
            "Expected are keypoints 1 x N x 2, descriptors 1 x N x k and scores 1 x N, all finite.",
        )
    if x.dtype.kind == "f" and count and np.abs(x).max() <= 1.0001:
        x = (x.astype(np.float64) + 1) / 2 * (np.array(size) - 1)
    return x.astype(np.float64), descriptors.astype(np.float32), scores.astype(np.float64)


def match_by_network(  # noqa: PLR0913 - two sets of features
    model: str,
    x1: np.ndarray,
    x2: np.ndarray,
    descriptors1: np.ndarray,
    descriptors2: np.ndarray,
    sizes: tuple[tuple[int, int], tuple[int, int]],
    form: str = "longer-side",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Match features by a LightGlue network that the user has as an ONNX file.

    Parameters
    ----------
    model : str
        The file: kpts0, kpts1, desc0, desc1 -> matches0, mscores0.
    x1, x2 : (N, 2), (M, 2) float64
        px.
    descriptors1, descriptors2 : (N, k), (M, k) float32
    sizes : two (int, int)
        Width and height of either photo, px.
    form : {"longer-side", "sides", "unit", "px"}
        What the network takes for keypoints: (x - size / 2) / (longer side / 2); 2 x / size - 1; x / (size - 1); x.

    Returns
    -------
    index1, index2 : (K,) int64
    score : (K,) float64

    Raises
    ------
    StereoError
        "bad_model" where its inputs or outputs are others; "library_missing".
    """
    with _opened("LightGlue", model, "cpu") as network:
        matches_name, scores_name = _check_lightglue(network)
        kinds = {t.name: "float16" if "float16" in t.kind else "float32" for t in network.inputs}
        arrays = [_scaled(x, size, form) for x, size in zip((x1, x2), sizes, strict=True)]
        arrays += [
            d / np.maximum(np.linalg.norm(d, axis=1, keepdims=True), 1e-12) for d in (descriptors1, descriptors2)
        ]
        inputs = {n: np.ascontiguousarray(a[None], kinds[n]) for n, a in zip(_LIGHTGLUE, arrays, strict=True)}
        matches, scores = network.run(inputs, [matches_name, scores_name])
    matches, scores = np.squeeze(matches), scores.reshape(-1).astype(np.float64)
    if matches.shape == (len(x1),) and len(scores) == len(x1) and matches.ndim == 1:  # of each feature its match, or -1
        index1 = np.flatnonzero(matches >= 0)
        index2, scores = matches[index1].astype(np.int64), scores[index1]
    else:
        pairs = matches.reshape(-1, matches.shape[-1])[:, -2:] if matches.size and matches.shape[-1] in (2, 3) else None
        if matches.size == 0:
            pairs = np.zeros((0, 2))
        if pairs is None or len(scores) != len(pairs):
            raise StereoError(
                "bad_model",
                f"{network.path}: the network gives matches {' x '.join(map(str, matches.shape))} and {len(scores)} "
                f"scores for {len(x1)} and {len(x2)} features.",
                "Expected are K x 2 matches and K scores, or a match, -1 for none, and a score for each feature.",
            )
        index1, index2 = pairs.astype(np.int64).T
    valid = (index1 >= 0) & (index1 < len(x1)) & (index2 >= 0) & (index2 < len(x2)) & np.isfinite(scores)
    return index1[valid], index2[valid], scores[valid]


def _scaled(x: np.ndarray, size: tuple[int, int], form: str) -> np.ndarray:
    sides = np.array(size, float)
    if form == "px":
        return x
    if form == "unit":
        return x / (sides - 1)
    return (x - sides / 2) / (sides.max() / 2 if form == "longer-side" else sides / 2)


def _check_lightglue(network: "Network") -> tuple[str, str]:
    """Names of the outputs of matches and scores."""
    inputs, outputs = [t.name for t in network.inputs], [t.name for t in network.outputs]
    if sorted(inputs) != sorted(_LIGHTGLUE):
        raise _refusal(network, "inputs", network.inputs, ", ".join(_LIGHTGLUE))
    if "matches0" not in outputs or "mscores0" not in outputs:
        raise _refusal(network, "outputs", network.outputs, "matches0, mscores0")
    return "matches0", "mscores0"


def _refusal(network: "Network", what: str, found: list, expected: str) -> StereoError:
    listed = "; ".join(map(str, found)) or "none"
    message = f"{network.path}: the network's {what} are {listed}."
    return StereoError("bad_model", message, f"Expected are {expected}.")


NETWORK_DETECTORS = {"aliked": aliked, "disk": disk}
