"""Write a camera or a rig as JSON."""

import json
import os
from pathlib import Path

from ..io.atomic import replacing
from ..records import Camera, Rig
from .formats.check import UNKNOWN_SIZE


def write_rig(path: str | os.PathLike, rig: Rig) -> Path:
    """Write the rig JSON form: intrinsic1, intrinsic2, distCoeffs1, distCoeffs2, res1, res2, and R, T, unit if posed.

    `read_rig` gives the same numbers back, bit for bit. Raises StereoError("unwritable").
    """
    data = _entries_of(rig.cam1, "1") | _entries_of(rig.cam2, "2")
    if rig.R is not None and rig.t is not None:
        data |= {"R": rig.R.tolist(), "T": [[float(x)] for x in rig.t], "unit": rig.unit}
    return _write_json(path, data)


def write_camera(path: str | os.PathLike, camera: Camera) -> Path:
    """Write one camera in the rig JSON form: intrinsic, distCoeffs, res, without a side, which stand for both photos.

    `read_rig` gives a rig of twice this camera, without pose. Raises StereoError("unwritable").
    """
    return _write_json(path, _entries_of(camera, ""))


def _entries_of(camera: Camera, side: str) -> dict:
    size = {} if tuple(camera.size) == UNKNOWN_SIZE else {"res" + side: [int(s) for s in camera.size]}
    return {**size, "intrinsic" + side: camera.K.tolist(), "distCoeffs" + side: camera.dist.tolist()}


def _write_json(path: str | os.PathLike, data: dict) -> Path:
    path = Path(os.fsdecode(path))
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return path
