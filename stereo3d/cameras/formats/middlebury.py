"""Middlebury's calib.txt: cam0, cam1, doffs, baseline."""

import math
import re
from dataclasses import replace

import numpy as np

from ...records import Rig
from .check import bad, checked_camera, named_lines


def fits_middlebury(text: str) -> bool:
    """Return whether a line starts with cam0= or cam1=."""
    return re.search(r"(?m)^[ \t]*cam[01][ \t]*=", text) is not None


def read_middlebury(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read calib.txt of Middlebury 2014 (and ETH3D two-view): cam0, cam1, doffs, baseline, width, height; millimetres.

    The pair is rectified: t = (-baseline, 0, 0), and the two camera matrices contain doffs = cx1 - cx0. `names` is not
    used.
    """
    entries = named_lines(text, "=")

    def numbers(key: str) -> list[float]:
        if key not in entries:
            raise bad(f"has no line {key}=", "Middlebury's format has cam0, cam1 (or doffs), baseline, width, height.")
        try:
            return [float(number) for number in re.split(r"[\s,;\[\]]+", entries[key]) if number]
        except ValueError as error:
            raise bad(f"has no numbers in {key}={entries[key][:60]}") from error

    def number(key: str) -> float:
        found = numbers(key)
        if len(found) != 1 or not math.isfinite(found[0]):
            raise bad(f"has no finite number in {key}={entries[key][:60]}")
        return found[0]

    size = (number("width"), number("height")) if "width" in entries or "height" in entries else None
    cam1 = checked_camera(numbers("cam0"), size, None, "cam0")
    shift = number("doffs") if "doffs" in entries else None
    if "cam1" in entries or shift is None:
        cam2 = checked_camera(numbers("cam1"), size, None, "cam1")
    else:
        cam2 = replace(cam1, K=cam1.K + np.array([[0, 0, shift], [0, 0, 0], [0, 0, 0]]))
    between = cam2.K[0, 2] - cam1.K[0, 2]
    if shift is not None and abs(between - shift) > 1:  # more than rounding
        raise bad(
            f"contradicts itself: doffs={shift:g}, but the principal points of cam0 and cam1 are {between:g} px apart",
            "Correct doffs or the camera matrix.",
            doffs=shift,
            between=between,
        )
    baseline = number("baseline")
    if baseline <= 0:
        raise bad(f"has baseline={baseline:g}; it must be positive", "Check the file.", baseline=baseline)
    return Rig(cam1, cam2, np.eye(3), np.array([-baseline, 0.0, 0.0]), "mm")
