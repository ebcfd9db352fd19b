"""Write a camera or a rig as JSON."""

import os
from pathlib import Path

from ..io.json_files import write_json
from ..records import Camera, Rig
from .formats.check import UNKNOWN_SIZE


def write_rig(path: str | os.PathLike[str], rig: Rig) -> Path:
    """Write rig JSON: intrinsic1, intrinsic2, distCoeffs1, distCoeffs2, res1, res2, and R, T, unit where posed.

    A wide lens has its model under lens1, lens2, and its coefficients under distCoeffs1, distCoeffs2.

    `read_rig` returns the same numbers, bit for bit.

    Parameters
    ----------
    path : path
        Of the file; `read_rig` needs no suffix.
    rig : Rig

    Returns
    -------
    Path
        The file.

    Raises
    ------
    StereoError
        "unwritable".
    """
    data = _entries_of(rig.cam1, "1") | _entries_of(rig.cam2, "2")
    if rig.R is not None and rig.t is not None:
        data |= {"R": rig.R.tolist(), "T": [[float(x)] for x in rig.t], "unit": rig.unit}
    return write_json(os.fsdecode(path), data)


def write_camera(path: str | os.PathLike[str], camera: Camera) -> Path:
    """Write one camera as rig JSON with the names intrinsic, distCoeffs, res, lens, which hold for both photos.

    `read_rig` returns a rig with this camera on both sides, without pose.

    Parameters
    ----------
    path : path
        As for `write_rig`.
    camera : Camera

    Returns
    -------
    Path
        The file.

    Raises
    ------
    StereoError
        "unwritable".
    """
    return write_json(os.fsdecode(path), _entries_of(camera, ""))


def _entries_of(camera: Camera, side: str) -> dict:
    lens = {} if camera.lens is None else {"lens" + side: camera.lens.model}
    dist = camera.dist.tolist() if camera.lens is None else list(camera.lens.coefficients)
    size = {} if tuple(camera.size) == UNKNOWN_SIZE else {"res" + side: [int(s) for s in camera.size]}
    return {**size, "intrinsic" + side: camera.K.tolist(), **lens, "distCoeffs" + side: dist}
