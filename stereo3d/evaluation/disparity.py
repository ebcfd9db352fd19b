"""Scores of a disparity map against the truth: bad-x, mean error, coverage."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import StereoError
from ..io.maps import read_map
from .files import read_json, read_picture

MAX_UNKNOWN = 100  # raw values without truth that a pair.json may list


@dataclass(frozen=True, eq=False)
class Scene:
    """A rectified pair with its true disparity.

    Attributes
    ----------
    name : str
    left, right : (H, W, 3) uint8
        RGB.
    truth : (H, W) float32
        px, at the pixels of the left picture, x_right = x_left - d; NaN: unknown.
    truth_right : (H, W) float32 or None
        px, at the pixels of the right picture, of the same sign.
    nonocc : (H, W) bool
        Pixels with truth that are visible in both pictures.
    calib : Path or None
        The calibration file.
    """

    name: str
    left: np.ndarray
    right: np.ndarray
    truth: np.ndarray
    truth_right: np.ndarray | None
    nonocc: np.ndarray
    calib: Path | None = None


def read_scene(folder: str | os.PathLike) -> Scene:
    """d = raw / `scale` px: read a scene by its `pair.json`.

    Parameters
    ----------
    folder : path
        Its `pair.json` names the files `left`, `right`, `disp_left` and, where present, `disp_right`, `nonocc` and
        `calib`; it may state `scale` (default 1) and `unknown`, raw values without truth (numbers, "inf", "nan").

    Returns
    -------
    Scene
        nonocc by `non_occluded`.

    Raises
    ------
    StereoError
        "file_missing", "file_unreadable", "unknown_format" or "size_mismatch".
    """
    folder = Path(folder)
    facts = read_json(folder / "pair.json")
    _check_facts(folder / "pair.json", facts)
    left, right = read_picture(folder / facts["left"]), read_picture(folder / facts["right"])
    how = {"scale": float(facts.get("scale", 1)), "unknown": facts.get("unknown", ())}
    truth = read_map(folder / facts["disp_left"], **how)
    truth_right = read_map(folder / facts["disp_right"], **how) if "disp_right" in facts else None
    mask = read_picture(folder / facts["nonocc"])[..., 0] == 255 if "nonocc" in facts else None
    for name, array, like in (("disp_left", truth, left), ("disp_right", truth_right, right), ("nonocc", mask, left)):
        if array is not None and array.shape != like.shape[:2]:
            raise StereoError(
                "size_mismatch",
                f"{folder}: {name} is {array.shape[1]}x{array.shape[0]}, its picture {like.shape[1]}x{like.shape[0]}.",
                "Truth and picture must have the same size.",
            )
    nonocc = non_occluded(truth, truth_right, mask)
    calib = folder / facts["calib"] if "calib" in facts else None
    return Scene(folder.resolve().name, left, right, truth, truth_right, nonocc, calib)


def _check_facts(path: Path, facts: dict) -> None:
    """Raise StereoError("file_unreadable") where a pair.json lacks an entry or has one of another kind."""
    missing = [key for key in ("left", "right", "disp_left") if key not in facts]
    if missing:
        raise StereoError(
            "file_unreadable", f"{path} has no {', '.join(missing)}.", "It needs left, right and disp_left."
        )
    scale, unknown = facts.get("scale", 1), facts.get("unknown", [])
    wrong = [
        key
        for key in ("left", "right", "disp_left", "disp_right", "nonocc", "calib")
        if not isinstance(facts.get(key, ""), str)
    ]
    if wrong:
        raise StereoError("file_unreadable", f"{path}: {wrong[0]} is no name of a file.", "Check the file.")
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < float("inf"):
        raise StereoError(
            "file_unreadable", f"{path}: scale is {str(scale)[:60]}, not a positive number.", "Check the file."
        )
    if not isinstance(unknown, list) or not all(map(_is_raw_value, unknown)) or len(unknown) > MAX_UNKNOWN:
        raise StereoError(
            "file_unreadable",
            f"{path}: unknown is {str(unknown)[:60]}, not a list of up to {MAX_UNKNOWN} raw values.",
            'Its entries are numbers, "inf" or "nan".',
        )


def _is_raw_value(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower().lstrip("+-") in ("inf", "infinity", "nan")
    return isinstance(value, int | float) and not isinstance(value, bool)


def non_occluded(
    truth: np.ndarray, truth_right: np.ndarray | None = None, mask: np.ndarray | None = None
) -> np.ndarray:
    """|dL(x) - dR(x - dL(x))| <= 1 px where there is a right truth, else `mask`, else x - dL(x) >= 0.

    Parameters
    ----------
    truth : (H, W) float
        px, NaN: unknown.
    truth_right : (H, W_right) float, optional
        px, read at the nearest pixel; NaN there: occluded.
    mask : (H, W) bool, optional

    Returns
    -------
    (H, W) bool
        True only where the truth is known.
    """
    known = np.isfinite(truth)
    x_right = np.arange(truth.shape[1]) - np.where(known, truth, 0)
    if truth_right is not None:
        column = np.floor(x_right + 0.5).astype(int)
        width = truth_right.shape[1]
        there = np.take_along_axis(truth_right, np.clip(column, 0, width - 1), axis=1)
        inside = known & (column >= 0) & (column < width) & np.isfinite(there)
        return inside & (np.abs(np.where(inside, truth - there, 0)) <= 1)
    if mask is not None:
        return known & mask
    return known & (x_right >= 0)


def disparity_scores(disparity: np.ndarray, truth: np.ndarray, nonocc: np.ndarray | None = None) -> dict:
    """bad-T = 100 |{x: not |d(x) - dt(x)| <= T}| / |{x: dt(x) known}|, an unknown d counting as bad.

    Parameters
    ----------
    disparity, truth : (H, W) float
        px, NaN: unknown.
    nonocc : (H, W) bool, optional
        Non-occluded pixels.

    Returns
    -------
    dict
        "all" (every pixel with truth) and, with `nonocc`, "nonocc" (the non-occluded ones), each a dict of `pixels`,
        `coverage` (%), `bad_0.5`, `bad_1`, `bad_2` (%), `mean_error` (px, over the pixels that have a disparity) and
        `bad_1_kept` (%, among the pixels that have a disparity). "kept": `pixels`, `coverage` and `bad_1` of the pixels
        with truth that have a disparity. A share of no pixels is NaN.

    Raises
    ------
    ValueError
        For shapes that differ.

    References
    ----------
    Scharstein and Szeliski, A taxonomy and evaluation of dense two-frame stereo correspondence algorithms, 2002,
    section 5.1.
    """
    disparity, truth = np.asarray(disparity), np.asarray(truth)
    if disparity.ndim != 2 or disparity.shape != truth.shape:
        raise ValueError(f"disparity_scores needs two (H,W) maps, got {disparity.shape} and {truth.shape}")
    if nonocc is not None and np.shape(nonocc) != truth.shape:
        raise ValueError(f"disparity_scores: nonocc is {np.shape(nonocc)}, the truth {truth.shape}")
    known = np.isfinite(truth)
    scores = {"all": _bad_pixels(disparity[known], truth[known])}
    if nonocc is not None:
        seen = known & np.asarray(nonocc, dtype=bool)
        scores["nonocc"] = _bad_pixels(disparity[seen], truth[seen])
    whole = scores["all"]
    kept = round(whole["pixels"] * whole["coverage"] / 100) if whole["pixels"] else 0
    scores["kept"] = {"pixels": kept, "coverage": whole["coverage"], "bad_1": whole["bad_1_kept"]}
    return scores


def _bad_pixels(disparity: np.ndarray, truth: np.ndarray) -> dict:
    kept = np.isfinite(disparity)
    error = np.abs(disparity[kept].astype(float) - truth[kept].astype(float))
    n = len(truth)
    return {
        "pixels": n,
        "coverage": _percent(len(error), n),
        **{f"bad_{T:g}": _percent(n - int(np.count_nonzero(error <= T)), n) for T in (0.5, 1, 2)},
        "mean_error": float(error.mean()) if len(error) else float("nan"),
        "bad_1_kept": _percent(int(np.count_nonzero(error > 1)), len(error)),
    }


def _percent(part: int, whole: int) -> float:
    return 100 * int(part) / whole if whole else float("nan")
