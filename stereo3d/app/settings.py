"""The settings of the page as a `Config`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StereoError
from ..options import QUALITIES
from ..pipeline.config import Config

MATCHERS = {"draft": "sgm", **QUALITIES}  # quality on the page -> matcher
SCALES = ("none", "baseline", "distance", "marker")
KNOWN = ("quality", "scale", "length", "unit", "points", "marker", "crop", "rotate", "layout", "close", "force")


def config_of(settings: dict[str, Any], size: tuple[int, int], draw_mask: Callable[[np.ndarray], Path]) -> Config:
    """Return the Config that the settings of the page mean.

    Parameters
    ----------
    settings : dict
        Plain values, all optional: quality (in `MATCHERS`); scale (in `SCALES`), with length and unit, and points
        ((x, y), (x, y)) or marker ("DICTIONARY:ID"); crop (left, top, right, bottom); rotate ("90", "180", "270" or
        "auto"); layout; close; force. Pixels are those of the first photo before it is turned.
    size : (width, height)
        px, of the first photo.
    draw_mask : callable
        Writes a mask (H, W) bool as a picture and returns its path.

    Raises
    ------
    StereoError
        "bad_option".
    """
    unknown = [name for name in settings if name not in KNOWN]
    if unknown:
        raise StereoError("bad_option", f"there is no setting {unknown[0]!r}.", f"There are: {', '.join(KNOWN)}.")
    given: dict[str, Any] = {"matcher": MATCHERS[_choice(settings, "quality", tuple(MATCHERS), "normal")]}
    for name in ("close", "force"):
        given[name] = settings.get(name, False)
    for name in ("rotate", "layout"):
        given[name] = settings.get(name) or None
    scale = _choice(settings, "scale", SCALES, "none")
    if scale != "none":
        given |= _scale(scale, settings, given["rotate"], size)
    if settings.get("crop"):
        given["mask"] = (draw_mask(_box_mask(settings["crop"], size)),)
    return Config(**given)


def _choice(settings: dict[str, Any], name: str, known: tuple[str, ...], usual: str) -> str:
    value = settings.get(name) or usual
    if value not in known:
        raise StereoError("bad_option", f"{name} cannot be {value!r}.", f"It is one of {', '.join(known)}.")
    return str(value)


def _scale(scale: str, settings: dict[str, Any], turn: object, size: tuple[int, int]) -> dict[str, Any]:
    length = settings.get("length")
    if isinstance(length, bool) or not isinstance(length, int | float):
        raise StereoError("bad_option", "the length is missing.", "Give it as a number, such as 0.12.")
    found: dict[str, Any] = {"unit": settings.get("unit") or "m"}
    if scale == "baseline":
        return {**found, "baseline": length}
    if scale == "marker":
        return {**found, "markers": (f"{settings.get('marker', '')}:{length}",)}
    points = settings.get("points") or ()
    try:
        first, second = (_turned(float(x), float(y), turn, size) for x, y in points)
    except (TypeError, ValueError) as error:
        message = "a known distance needs two points of the first photo."
        raise StereoError("bad_option", message, "Mark them in the photo.") from error
    return {**found, "known_distance": (first, second, length)}


def _turned(x: float, y: float, turn: object, size: tuple[int, int]) -> tuple[float, float]:
    """The pixel after a turn of the photo, clockwise."""
    width, height = size
    if turn == "auto":
        raise StereoError(
            "bad_option",
            "the two points of a known distance need a known rotation.",
            "Choose the rotation instead of “as the photos show”.",
        )
    turned = {"90": (height - 1 - y, x), "180": (width - 1 - x, height - 1 - y), "270": (y, width - 1 - x)}
    return turned.get(str(turn), (x, y))


def _box_mask(crop: Any, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool, True within the box (left, top, right, bottom) in px."""
    width, height = size
    try:
        left, top, right, bottom = (float(v) for v in crop)
        box = np.clip(np.rint(np.nan_to_num([left, top, right, bottom])), 0, [width, height, width, height]).astype(int)
    except (TypeError, ValueError, OverflowError) as error:
        raise StereoError("bad_option", f"the box cannot be {crop!r}.", "Give four numbers.") from error
    if box[2] - box[0] < 32 or box[3] - box[1] < 32:
        raise StereoError(
            "bad_option",
            f"the box has {box[2] - box[0]} x {box[3] - box[1]} px; at least 32 px each way are needed.",
            "Draw a larger one.",
        )
    mask = np.zeros((height, width), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask
