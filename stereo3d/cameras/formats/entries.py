"""Rigs from named matrices: the meaning of an entry (K, R, t, distortion, size; of which camera) by its name."""

import logging
import re
from typing import Any

import numpy as np

from ...geometry.wide_lenses import LENSES
from ...records import Rig
from .check import UNSTATED_UNIT, bad, checked_camera, number_array, posed, refuse_model, wide_lens

log = logging.getLogger(__name__)
UNDISTORT = "Undistort both photos to pinhole cameras with the program that calibrated them, or use its fisheye model."
# Names of lens models that are neither Brown's nor in `LENSES`, as programs write them.
OTHER_LENSES = re.compile(
    r"omni|unified|scaramuzza|ocam|division|equirect|spherical|(?<![a-z])(mei|ucm|fov)(?![a-z])", re.I
)


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
        "kmatrix",
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
        "lenscoefficients",
        "coeffs",
    ),
    "size": ("res", "size", "imagesize", "imgsize", "resolution", "imageresolution"),
    "width": ("imagewidth", "width", "imgwidth"),
    "height": ("imageheight", "height", "imgheight"),
    "R": ("r", "rot", "rotation", "rotationmatrix", "rmat"),
    "t": ("t", "tvec", "trans", "translation", "translationvector"),
}
# Prefix or suffix of a name -> the camera.
_SIDES = {"1": 1, "2": 2, "left": 1, "right": 2, "l": 1, "r": 2}
# Name of a group of entries -> the camera.
_GROUPS = {
    **dict.fromkeys(("left", "l", "cam0", "camera0", "cam1", "camera1", "leftcamera", "cameraleft"), "left"),
    **dict.fromkeys(("right", "r", "cam2", "camera2", "rightcamera", "cameraright"), "right"),
}
# Names of the focal lengths and of the principal point; cx0 and cx1 are those of the two cameras of a rectified pair.
_LENS = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")  # in OpenCV's order
_NUMBERS = ("fx", "fy", "cx", "cy", "cx0", "cx1", "baseline", "baseline_meters")


def meaning_of(key: str) -> tuple[str, int] | None:
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


def flat_entries(root: dict) -> dict:
    """Return entries with stored matrices as arrays, and those of a left and a right group named after it.

    Parameters
    ----------
    root : dict
        Name -> value; a dict with "data" is a stored matrix, a dict under a name of `_GROUPS` the entries of one
        camera. Other dicts are left out, lists of anything but numbers too.
    """
    found = {}
    groups = {re.sub(r"[^a-z0-9]", "", str(key).lower()): key for key, value in root.items() if isinstance(value, dict)}
    sides = dict(_GROUPS)
    if "cam0" in groups or "camera0" in groups:  # counted from 0
        sides |= {"cam1": "right", "camera1": "right"}
    for key, value in root.items():
        plain = re.sub(r"[^a-z0-9]", "", str(key).lower())
        if not isinstance(value, dict):
            found[key] = value
        elif "data" in value:
            if meaning_of(key) is not None or _xi_of(
                key
            ):  # OpenCV writes matrices of other meaning with channels, as image_points
                found[key] = stored_matrix(value, key)
        elif plain in sides:
            own = {k: stored_matrix(v, k) if isinstance(v, dict) and "data" in v else v for k, v in value.items()}
            found |= {f"{sides[plain]} {name}": inner for name, inner in with_matrix(own).items()}
        elif meaning_of(key) is not None:
            raise bad(f"has names within {key}, where an array of numbers is needed", "Write it as a list.")
    return with_matrix(found)


def with_matrix(entries: dict) -> dict:
    """Return entries with K made of fx, fy, cx, cy where there is none, and the pose of a rectified pair.

    cx0 and cx1 are principal points of two cameras with one row direction: t = (-baseline, 0, 0). A baseline beside a
    single principal point is no pose, since nothing says that the cameras are parallel.
    """
    if not isinstance(entries.get("fx"), int | float) or any(meaning_of(key) == ("K", 0) for key in entries):
        return entries
    numbers = {key: entries[key] for key in _NUMBERS if isinstance(entries.get(key), int | float)}
    rest = {key: value for key, value in entries.items() if key not in _NUMBERS}
    named = {key: entries[key] for key in _LENS if isinstance(entries.get(key), int | float)}  # K1 may be a matrix
    lens = [named.get(key, 0.0) for key in _LENS]
    if any(lens) and fisheye_sides(entries):
        rest["dist"] = [named.get(key, 0.0) for key in ("k1", "k2", "k3", "k4")]
    elif any(lens):
        rest["dist"] = lens if any(lens[5:]) else lens[:5]
    fx, cy = numbers["fx"], numbers.get("cy")
    if cy is None or not ("cx" in numbers or {"cx0", "cx1"} <= set(numbers)):
        raise bad("has fx, but no principal point cx, cy (or cx0, cx1, cy)", "Give all of them, in px.")

    def K(cx: float) -> list:
        return [[fx, 0, cx], [0, numbers.get("fy", fx), cy], [0, 0, 1]]

    if "cx" in numbers:
        if "baseline" in numbers:
            log.warning(
                "the baseline of the calibration is not used: it has no rotation; give --baseline for the scale"
            )
        return rest | {"K": K(numbers["cx"])}
    rest |= {"K1": K(numbers["cx0"]), "K2": K(numbers["cx1"])}
    baseline = numbers.get("baseline_meters", numbers.get("baseline"))
    if baseline is None:
        return rest
    if not baseline > 0:
        raise bad(f"has the baseline {baseline:g}; it must be positive", baseline=baseline)
    rest |= {"R": np.eye(3), "T": [-baseline, 0.0, 0.0]}
    return rest | {"unit": "m"} if "baseline_meters" in numbers else rest


def merged_entries(parts: list[dict]) -> dict:
    """Return the entries of several files together.

    Raises
    ------
    StereoError
        "bad_calibration" where two files give one meaning different numbers.
    """
    found: dict = {}
    seen: dict[tuple[str, int], tuple[str, Any]] = {}
    for entries in parts:
        for key, value in entries.items():
            meaning = meaning_of(key)
            if meaning is not None and np.ndim(value) > 0:
                other = seen.setdefault(meaning, (key, value))
                if not np.array_equal(number_array(other[1], other[0]).ravel(), number_array(value, key).ravel()):
                    raise bad(
                        f"has the entries {other[0]} and {key} of one meaning with different numbers in two files",
                        "Give the files of one calibration.",
                    )
            found[key] = value
    return found


def rig_of_entries(entries: dict) -> Rig:
    """Return the rig of named matrices; entries of other meaning (R1, R2, P1, P2, Q, E, F) are ignored.

    Parameters
    ----------
    entries : dict
        Name -> matrix, list, number or text.

    Raises
    ------
    StereoError
        "bad_calibration"; so for lens models by name that are neither Brown's nor in `LENSES`. A fisheye of OpenCV
        (fisheye_model: 1) becomes one of Kannala and Brandt, a camera with xi one of OpenCV's omnidir; lens, lens1,
        lens2 name the model of a wide lens.
    """
    _refuse_other_lenses(entries)
    found, keys, lenses, xi = {}, {}, lens_models(entries), _mirror_parameters(entries)
    for key, value in entries.items():
        scalar = not isinstance(value, list | dict) and np.ndim(value) == 0
        if (meaning := meaning_of(key)) is not None and value is not None:
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
                f"{known}Where the camera matrices and R, T are in two files, give both: --calib twice.",
            )
        size = found.get(("size", side), found.get(("size", 0)))
        width = found.get(("width", side), found.get(("width", 0)))
        height = found.get(("height", side), found.get(("height", 0)))
        if size is None and width is not None and height is not None:
            size = (width, height)
        dist = found.get(("dist", side), found.get(("dist", 0)))
        name = keys.get(("K", side)) or keys[("K", 0)]
        if side in lenses:
            model = lenses[side]
            wanted = LENSES[model].coefficients
            dist = np.zeros(wanted) if dist is None else number_array(dist, f"the distortion of {name}").ravel()
            if model == "fisheye":
                dist = dist[:wanted]
            if side in xi:
                dist = np.array([xi[side], *np.pad(dist[:4], (0, max(0, 4 - len(dist))))])
            cameras.append(wide_lens(model, K, size, dist, f"OpenCV, {name}" if model == "fisheye" else name))
        else:
            cameras.append(checked_camera(K, size, dist, name))
    R, t = found.get(("R", 0)), found.get(("t", 0))
    if ("K", 0) in found and t is not None and not np.any(number_array(t, keys[("t", 0)])):
        R = t = None  # the pose of a single camera in its own axes
    return posed(cameras[0], cameras[1], R, t, length_unit(entries))


def lens_models(entries: dict) -> dict[int, str]:
    """Return the model, a key of `LENSES`, of the cameras 1 and 2 that an entry marks as having a wide lens."""
    found = dict.fromkeys(fisheye_sides(entries), "fisheye") | dict.fromkeys(_mirror_parameters(entries), "omnidir")
    for key, value in entries.items():
        plain = re.sub(r"[^a-z0-9]", "", str(key).lower())
        sides = {"lens": (1, 2), "lens1": (1,), "lens2": (2,), "leftlens": (1,), "rightlens": (2,)}.get(plain, ())
        if isinstance(value, str) and value in LENSES:
            found |= dict.fromkeys(sides, value)
    return found


def _xi_of(key: str) -> re.Match[str] | None:
    """The match of a key that names the mirror parameter xi of OpenCV's module omnidir."""
    plain = re.sub(r"[^a-z0-9]", "", str(key).lower())
    return re.fullmatch(r"(left|right|l|r)?xi(1|2|left|right|l|r)?", plain)


def _mirror_parameters(entries: dict) -> dict[int, float]:
    """xi of the cameras 1 and 2 that have one that is not 0."""
    found: dict[int, float] = {}
    for key, value in entries.items():
        named = _xi_of(key)
        if named is None or value is None:
            continue
        xi = number_array(value, str(key)).ravel()
        if len(xi) != 1:
            raise bad(f"has {len(xi)} numbers under {key}; xi of a camera is one")
        which = (named[1] or named[2] or "")[:1]
        if xi[0] != 0:
            found |= dict.fromkeys({"": (1, 2), "l": (1,), "1": (1,)}.get(which, (2,)), float(xi[0]))
    return found


def _refuse_other_lenses(entries: dict) -> None:
    """Raise StereoError("bad_calibration") for a lens whose coefficients would be taken for Brown's."""
    for key, value in entries.items():
        if isinstance(value, str) and re.search(r"model|type|lens|projection", str(key), re.I):
            named = OTHER_LENSES.search(value[:100])
            if named is not None and value not in LENSES:
                refuse_model(value[:100], str(key), UNDISTORT)


def fisheye_sides(entries: dict) -> set[int]:
    """Return which cameras, 1 and 2, an entry marks as fisheyes: fisheye_model 1, a model or lens type of that name."""
    sides: set[int] = set()
    for key, value in entries.items():
        own = key.removeprefix("left ").removeprefix("right ")  # as flat_entries names those of a group
        marked = own in ("fisheye_model", "fisheye", "is_fisheye") and (value is True or str(value) in ("1", "1.0"))
        if isinstance(value, str) and re.search(r"model|type|lens", key, re.I):
            marked = marked or re.search(r"fish.?eye|equidist|kannala", value[:100], re.I) is not None
        if marked:
            side = 1 if "left" in key.lower() else 2 if "right" in key.lower() else 0
            side = int(key[-1]) if key in ("lens1", "lens2") else side
            sides |= {side} if side else {1, 2}
    return sides


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
