"""JSON files of a rig, cameras.json, and a camera matrix as plain text."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from ...geometry.wide_lenses import LENSES
from ...records import Camera, Rig
from .check import bad, checked_camera, matrix, posed, refuse_model, relative, rotation, wide_lens
from .entries import flat_entries, length_unit, rig_of_entries
from .markup import load_json


def fits_cameras(text: str) -> bool:
    """Return whether the text is a JSON object with an object under the key cameras."""
    return text.lstrip().startswith("{") and re.search(r'"cameras"\s*:\s*\{', text) is not None


def read_cameras(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read cameras.json: {"cameras": {name: {K, size, dist or lens, and R, t with X_camera = R X + t}}, "unit"}.

    Of more than two cameras, "left" and "right" are used, else the two named like the photos. The file states R and t
    of both cameras or of neither.
    """
    whole = load_json(text)
    cameras = whole.get("cameras") if isinstance(whole, dict) else None
    if not isinstance(cameras, dict) or not all(isinstance(camera, dict) for camera in cameras.values()):
        raise bad("has no cameras by name under its key cameras")
    first, second = _choose_two(cameras, [Path(name).stem for name in names or ()])
    camera1, pose1 = _camera_and_pose(cameras[first], first)
    camera2, pose2 = _camera_and_pose(cameras[second], second)
    if (pose1 is None) != (pose2 is None):
        raise bad(f"has the pose of only one of the cameras {first} and {second}")
    if pose1 is None or pose2 is None:
        return Rig(camera1, camera2)
    return posed(camera1, camera2, *relative(pose1, pose2), length_unit(whole))


def _choose_two(cameras: dict, stems: list[str]) -> tuple[str, str]:
    """Return the names of the two cameras of the photos, whose file names without suffix are `stems`."""
    for names in (["left", "right"], stems, list(cameras)):
        if len(names) == 2 and all(name in cameras for name in names):
            return names[0], names[1]
    raise bad(
        f"holds {len(cameras)} cameras ({', '.join(list(cameras)[:6])}), and none are named left and "
        f"right{' or ' + ' and '.join(stems) if stems else ''}",
        "Name the two after the photos, or left and right.",
    )


def _camera_and_pose(entry: dict, name: str) -> tuple[Camera, tuple[np.ndarray, np.ndarray] | None]:
    """Return a camera of cameras.json and its pose R, t, None where the file has none."""
    if entry.get("K") is None:
        raise bad(f"has no K for the camera {name}")
    camera = _lens_camera(entry, f"the camera {name}")
    R, t = entry.get("R"), entry.get("t")
    if (R is None) != (t is None):
        raise bad(f"has {'R' if t is None else 't'} but not {'t' if t is None else 'R'} for the camera {name}")
    if R is None:
        return camera, None
    return camera, (rotation(R), matrix(t, (3, 1), f"t of the camera {name}").ravel())


def _lens_camera(entry: dict, name: str) -> Camera:
    """The camera of K, size and dist, or lens: {"model", "coefficients"}, as runs of this program write it."""
    lens, size = entry.get("lens"), entry.get("size")
    if lens is None:
        return checked_camera(entry["K"], size, entry.get("dist"), name)
    model = lens.get("model") if isinstance(lens, dict) else lens
    if not isinstance(lens, dict) or model not in LENSES:
        refuse_model(str(model)[:100], f"cameras.json, {name}")
    return wide_lens(model, entry["K"], size, lens.get("coefficients", []), f"cameras.json, {name}")


def fits_json(text: str) -> bool:
    """Return whether the text is a JSON object."""
    return text.lstrip().startswith("{")


def read_json(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read rig JSON: intrinsic1, intrinsic2, and where known distCoeffs1, distCoeffs2, res1, res2, R, T, unit.

    A name without a side (intrinsic, distCoeffs, res) holds for both photos. The entries of each camera may stand in an
    object of its own: {"left": {"K", "dist"}, "right": {...}, "R", "T"}. `names` is not used.
    """
    return rig_of_entries(json_entries(text))


def json_entries(text: str) -> dict[str, Any]:
    """Return the entries of a rig's JSON by name; those of left and right cameras are named "left K", "right K"."""
    entries = load_json(text)
    if not isinstance(entries, dict):
        raise bad("is JSON, but no object with names")
    return flat_entries(entries)


def fits_matrix(text: str) -> bool:
    """Return whether the text is nine numbers and nothing else."""
    try:
        return len([float(number) for number in _fields(text)]) == 9
    except ValueError:
        return False


def read_matrix(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read K as nine plain numbers in three rows: one camera for both photos, without pose; `names` is not used."""
    camera = checked_camera([float(number) for number in _fields(text)], None, None, "K")
    return Rig(camera, camera)


def _fields(text: str) -> list[str]:
    return re.sub(r"[\[\],;]", " ", re.sub(r"(?m)#.*$", "", text)).split()
