"""The matcher `onnx`: a network from a file as a method of a run. Imports nothing heavy."""

import inspect
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from ... import resources
from ...errors import StereoError
from ...options import Range
from ..methods import Found
from ..rows import flip_copy

if TYPE_CHECKING:
    from .session import PairNetwork

OUTSIDE = 1.0  # px beyond the range that count as its end; what lies farther is unknown
FIT_RADIUS = 2  # px, of the window of the fit that measures the network's sub-pixel error: that of `sgm`
CHILD_BYTES = 200_000_000  # of a process with onnxruntime loaded, without the model


def onnx(  # noqa: PLR0913 - the signature is the list of options
    left: np.ndarray,
    right: np.ndarray,
    lo: int,
    hi: int,
    *,
    model: str | None = None,
    first_model: str | None = None,
    inputs: str | None = None,
    output: str | None = None,
    pixels: Literal["auto", "0-255", "0-1", "-1-1", "imagenet"] = "auto",
    colours: Literal["auto", "rgb", "bgr"] = "auto",
    scale: Annotated[float | None, Range(1e-6, 1e6)] = None,
    sign: Literal["auto", "positive", "negative"] = "auto",
    multiple: Annotated[int | None, Range(1, 512)] = None,
    fit: Literal["resize", "tile"] = "resize",
    max_disparity: Annotated[int | None, Range(1, 4096)] = None,
    overlap: Annotated[int, Range(0, 1024)] = 64,
    rows: Annotated[int, Range(0, 100000)] = 0,
    provider: Literal["cpu", "cuda"] = "cpu",
    complete: bool = False,
    refine: Annotated[int, Range(0, 15)] = 0,
    threads: int = 1,
    max_memory: float | None = None,
) -> Found:
    """Run a network for rectified pairs that the user has as an ONNX file, in a process of its own.

    model: the file.  first_model: network of the initial flow, from the pair at half size (CREStereo).
    inputs: names of the left and right input, as LEFT,RIGHT; auto: by names and shapes.  output: name of the map.
    pixels: range of the values or "imagenet", its mean and deviation; auto: by the name of the file, else 0-255.
    colours: order of the channels; auto: by the name of the file, else rgb.
    scale: px per unit of the output; none: the ratio of the input's width to the output's.
    sign: of a disparity in the output; auto: that of most of its numbers.
    multiple: px, of both sides of the input; none: 32, 64 or 128, the first that runs.
    fit: how a larger picture meets an input of fixed size.  max_disparity: px, of the network's own search; of pairs
    that need more, the pictures are reduced.  overlap: px, of strips and tiles.  rows: of a strip, 0: as memory allows.
    provider: where it runs.  complete: keep what it gives for surfaces that one picture alone shows.
    refine: radius, px, of the window in which the sub-pixel part is fitted to the pictures as `sgm` does, 0 for none.
    The right map is that of the mirrored pair. Disparities below zero are made positive by a shift of both pictures.
    """
    given = {name: value for name, value in locals().items() if name not in ("left", "right", "lo", "hi")}
    from ..refinement import refine as refined

    with open_network(**given) as network:

        def search(one: np.ndarray, two: np.ndarray) -> np.ndarray:
            return _match(network, one, two, lo, hi, max_disparity)

        d_left = search(left, right)
        d_right = search(flip_copy(right), flip_copy(left))
    fine_left = refined(left, right, lo, hi, d_left, refine or FIT_RADIUS, threads)
    noise = subpixel_noise(d_left, fine_left)
    if refine:
        d_left, noise = fine_left, 0.0
        d_right = refined(flip_copy(right), flip_copy(left), lo, hi, d_right, refine, threads)
    return Found(d_left, flip_copy(d_right), complete=complete, noise=noise)


def subpixel_noise(disparity: np.ndarray, fine: np.ndarray) -> float:
    """1.4826 median |d - d'| px, d' fitted to the pictures, where the fit moves it: what the network adds to sigma."""
    moved = np.abs(disparity - fine)
    moved = moved[np.isfinite(moved) & (moved > 0)]
    return float(1.4826 * np.median(moved)) if len(moved) else 0.0


def open_network(**options: Any) -> "PairNetwork":
    """Load the network of these options of `onnx`; the others have their defaults.

    Raises
    ------
    StereoError
        "bad_option" without a model, "bad_model" where it takes no pair, "library_missing".
    """
    from .session import PairNetwork, Settings

    given = {p.name: p.default for p in inspect.signature(onnx).parameters.values()} | options
    if given["model"] is None:
        raise missing_model()
    room = resources.available_memory() if given["max_memory"] is None else given["max_memory"]
    return PairNetwork(
        Path(given["model"]),
        Settings(**{field.name: given[field.name] for field in fields(Settings)}),
        first=None if given["first_model"] is None else Path(given["first_model"]),
        provider=given["provider"],
        threads=given["threads"],
        memory=max(1, int(room - CHILD_BYTES)),
    )


def missing_model() -> StereoError:
    """The error of a network without its file."""
    return StereoError(
        "bad_option",
        "the matcher onnx needs the file of a network.",
        "Write --matcher onnx:FILE, or -O matcher.model=FILE.",
    )


def _match(
    network: "PairNetwork", left: np.ndarray, right: np.ndarray, lo: int, hi: int, largest: int | None
) -> np.ndarray:
    """The left map within lo .. hi: of the pair shifted to positive disparities, reduced where they are too large."""
    import cv2

    from .prepare import enlarged

    height, width = left.shape[:2]
    shift = lo if lo < 0 or (largest is not None and hi > largest) else 0
    one, two = shifted_pair(left, right, shift)
    reach = hi - shift
    if largest is not None and reach > largest:
        size = max(8, round(one.shape[1] * largest / reach)), max(8, round(height * largest / reach))
        ratio = np.float32(one.shape[1] / size[0])
        one, two = (cv2.resize(src=p, dsize=size, interpolation=cv2.INTER_AREA) for p in (one, two))
        found = enlarged(network.disparity(one, two, largest), height, width + max(0, -shift)) * ratio
    else:
        found = network.disparity(one, two, max(1, reach))
    found = found[:, max(0, -shift) :][:, :width] + np.float32(shift)
    found[~((found >= lo - OUTSIDE) & (found <= hi + OUTSIDE))] = np.nan
    return found


def shifted_pair(left: np.ndarray, right: np.ndarray, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pair with all disparities smaller by `shift`, px; the last columns are repeated where one has none.

    Below zero both pictures become wider by -shift: the left one before its first column, the right one after its last.
    """
    if shift < 0:
        before, after = ((0, 0), (-shift, 0), (0, 0)), ((0, 0), (0, -shift), (0, 0))
        return np.pad(left, before, mode="edge"), np.pad(right, after, mode="edge")
    if shift > 0:
        return left, np.pad(right, ((0, 0), (shift, 0), (0, 0)), mode="edge")[:, : right.shape[1]]
    return left, right
