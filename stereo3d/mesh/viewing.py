"""The pinhole camera through which a mesh is looked at, for cameras of any field."""

from dataclasses import replace

import numpy as np

from ..records import Camera


def viewing_camera(camera: Camera) -> Camera:
    """Return the camera itself; of a wide lens a pinhole camera of its place, axes and size that sees 90 degrees high.

    Parameters
    ----------
    camera : Camera
    """
    if camera.lens is None:
        return camera
    width, height = camera.size
    K = np.array([[height / 2, 0, (width - 1) / 2], [0, height / 2, (height - 1) / 2], [0, 0, 1]])
    return replace(camera, K=K, lens=None)
