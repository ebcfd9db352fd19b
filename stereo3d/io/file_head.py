"""What the head of one of our files states: axes, the place of camera 1, the unit."""

import re

import numpy as np

from .style import AXES, AXES_DESCRIPTIONS

HEAD_BYTES = 4096  # our writers state axes and unit within these


def file_from_camera(head: bytes, usual: str = "y-up") -> np.ndarray:
    """Return the rotation (3,3) from camera 1 to the file's axes; where none is stated, that of the axes `usual`.

    Parameters
    ----------
    head : bytes
    usual : str
        Name in `AXES`.

    Raises
    ------
    ValueError
        Where the stated matrix is no rotation.
    """
    stated = re.search(rb"from camera 1: ((?:[-+0-9.e]+ ){8}[-+0-9.e]+)", head)
    if stated is None:
        if head.startswith(b"stereo3d unit: "):  # the 80 bytes of an STL's header describe the axes
            for name, description in AXES_DESCRIPTIONS.items():
                if description.encode() in head[:80]:
                    return AXES[name]
        return AXES[usual]
    R = np.array([float(x) for x in stated[1].split()]).reshape(3, 3)
    if not np.allclose(R @ R.T, np.eye(3), atol=1e-6):
        raise ValueError("its axes are no rotation of the camera's")
    return R


def camera_in_file(head: bytes) -> np.ndarray:
    """Return the position (3,) of camera 1 in the file; the origin where none is stated.

    Raises
    ------
    ValueError
        Where it is not finite.
    """
    stated = re.search(rb"camera 1 at: ((?:[-+0-9.e]+ ){2}[-+0-9.e]+)", head)
    at = np.zeros(3) if stated is None else np.array([float(x) for x in stated[1].split()])
    if not np.isfinite(at).all():
        raise ValueError("the position of camera 1 is not finite")
    return at


def stated_unit(head: bytes) -> str:
    """Return the unit of the coordinates; "" where none is stated."""
    stated = re.search(r'(?:^|\n)(?:#|comment) unit: ([^\n\r]+)|"unit":\s*"([^"]+)"', head.decode("utf-8", "replace"))
    return (stated[1] or stated[2]).strip() if stated else ""
