"""Rigs from named matrices: the meaning of an entry (K, R, t, distortion, size; of which camera) by its name."""

import re

import numpy as np

from ...records import Rig
from .check import UNSTATED_UNIT, bad, checked_camera, number_array, posed


def stored_matrix(value: dict, key: str) -> np.ndarray:
    """Return a matrix that is stored as {"rows", "cols", "dt", "data"}, its channels side by side; key: its name."""
    data = number_array(value["data"], key)
    rows, cols = value.get("rows"), value.get("cols")
    channels = re.match(r"\d{1,3}", str(value.get("dt", "")))
    if channels and isinstance(cols, int | float):
        cols *= int(channels[0])
    if isinstance(rows, int | float) and isinstance(cols, int | float):
        if not (0 <= rows < 1e6 and 0 <= cols < 1e6) or rows % 1 or cols % 1 or data.size != rows * cols:
            raise bad(f"has {data.size} numbers in {key}, where {rows:g} x {cols:g} are stated by rows and cols")
        data = data.reshape(int(rows), int(cols))
    return data


# Meaning -> the names that calibration programs give it, in small letters and without underscores.
_STEMS = {
    "K": (
        "k",
        "m",
        "cm",
        "mtx",
        "kk",
        "cameramatrix",
        "cammatrix",
        "intrinsic",
        "intrinsics",
        "intrinsicmatrix",
        "mintrinsic",
    ),
    "dist": (
        "d",
        "dist",
        "distcoeffs",
        "distcoeff",
        "distcoefs",
        "distcoef",
        "distortion",
        "distortioncoefficients",
        "distortioncoeffs",
        "distortioncoeff",
        "kc",
    ),
    "size": ("res", "size", "imagesize", "imgsize", "resolution"),
    "width": ("imagewidth", "width", "imgwidth"),
    "height": ("imageheight", "height", "imgheight"),
    "R": ("r", "rot", "rotation", "rotationmatrix", "rmat"),
    "t": ("t", "tvec", "trans", "translation", "translationvector"),
}
# Prefix or suffix of a name -> the camera.
_SIDES = {"1": 1, "2": 2, "left": 1, "right": 2, "l": 1, "r": 2}


def _meaning(key: str) -> tuple[str, int] | None:
    """Return the meaning of a key, a key of `_STEMS`, and its camera (1, 2, 0: both); None where unknown."""
    plain = re.sub(r"[^a-z0-9]", "", key.lower())
    for name, stems in _STEMS.items():
        if plain in stems:
            return name, 0
        for sign, side in _SIDES.items():
            if plain.removesuffix(sign) in stems and plain.endswith(sign):
                return name, side
            if plain.removeprefix(sign) in stems and plain.startswith(sign):
                return name, side
    return None


def rig_of_entries(entries: dict) -> Rig:
    """Return the rig of named matrices; entries of other meaning (R1, R2, P1, P2, Q, E, F) are ignored.

    Parameters
    ----------
    entries : dict
        Name -> matrix, list, number or text.

    Raises
    ------
    StereoError
        "bad_calibration".
    """
    found, keys = {}, {}
    for key, value in entries.items():
        scalar = not isinstance(value, list | dict) and np.ndim(value) == 0
        if (meaning := _meaning(key)) is not None and value is not None:
            if scalar and meaning[0] not in ("width", "height"):
                continue  # k1 may be a lens coefficient, t a date
            if meaning in found and not np.array_equal(number_array(found[meaning], key), number_array(value, key)):
                raise bad(f"has both {keys[meaning]} and {key}, two names of one quantity, with different values")
            found[meaning], keys[meaning] = value, key
    cameras = []
    for side in (1, 2):
        K = found.get(("K", side), found.get(("K", 0)))
        if K is None:
            known = f"It has {', '.join(list(entries)[:8])}. " if entries else ""
            other = keys.get(("K", 3 - side))
            which = f"for camera {side} (while it has {other})" if other else "(M1 and M2, K1 and K2, or camera_matrix)"
            raise bad(
                f"has no camera matrix {which}",
                f"{known}Where the camera matrices and R, T are in two files, put them into one.",
            )
        size = found.get(("size", side), found.get(("size", 0)))
        width = found.get(("width", side), found.get(("width", 0)))
        height = found.get(("height", side), found.get(("height", 0)))
        if size is None and width is not None and height is not None:
            size = (width, height)
        dist = found.get(("dist", side), found.get(("dist", 0)))
        cameras.append(checked_camera(K, size, dist, keys.get(("K", side)) or keys[("K", 0)]))
    return posed(cameras[0], cameras[1], found.get(("R", 0)), found.get(("t", 0)), length_unit(entries))


def length_unit(entries: dict) -> str | None:
    """Return the unit of t under "unit" or "units", `UNSTATED_UNIT` where neither exists.

    null, or "baseline" as runs of this program write it, means up to scale: None.
    """
    if "unit" not in entries and "units" not in entries:
        return UNSTATED_UNIT
    unit = entries.get("unit", entries.get("units"))
    if unit is None:
        return None
    if not isinstance(unit, str) or not unit.strip():
        raise bad(f"states the unit {unit!r}", 'It is a name, as "mm" or "m".')
    unit = unit.strip()
    if unit == "baseline":
        return None
    long = {"metre": "m", "meter": "m", "millimetre": "mm", "millimeter": "mm", "centimetre": "cm", "centimeter": "cm"}
    return long.get(unit.lower().removesuffix("s"), unit)
