"""The mesh in motion: pictures of one turn, without a display or a GPU."""

from collections.abc import Iterator

import numpy as np

from ..geometry.camera import scale_K
from ..records import Camera, Mesh
from .preview import framed_points, looked_around, orbit, stage
from .viewing import viewing_camera

FRAMES = 36
FRAMES_PER_SECOND = 12
SIDE = 480  # px, the longer side
RISE = 0.35  # of the turn to the sides: the camera goes along an ellipse, so that it never stands still


def turntable(mesh: Mesh, camera: Camera, *, frames: int = FRAMES, size: int = SIDE) -> Iterator[np.ndarray]:
    """Yield the pictures of a closed turn about the middle of the surface, one at a time.

    Two photos show one side of things, so the camera swings by 28 degrees to both sides, and by a third of that up and
    down. In a panorama it stays in its place and looks once around.

    Parameters
    ----------
    mesh : Mesh
    camera : Camera
        Camera 1.
    frames : int
        Number of pictures.
    size : int
        Longer side of the pictures, px.

    Yields
    ------
    (H, W, 3) uint8
        RGB; both sides are even, as videos demand.

    Raises
    ------
    StereoError
        "library_missing" without Open3D.
    """
    around, camera = camera.is_panorama, viewing_camera(camera)
    scale = size / max(camera.size)
    width, height = (2 * max(1, round(side * scale / 2)) for side in camera.size)
    tile = width, height
    K = scale_K(camera.K, tile[0] / camera.size[0], tile[1] / camera.size[1])
    angles = 2 * np.pi * np.arange(frames) / frames
    if around:
        poses = [(looked_around(4 * k / frames, 0), np.zeros(3)) for k in range(frames)]
    else:
        K = np.array([[K[0, 0], 0, (tile[0] - 1) / 2], [0, K[1, 1], (tile[1] - 1) / 2], [0, 0, 1]])
        poses = orbit(*framed_points(mesh), K, tile, [(np.sin(a), RISE * np.cos(a)) for a in angles])
    shown = stage(mesh, K, poses[0], ("texture",))
    R0, t0 = poses[0]
    for R, t in poses:
        turn = R @ R0.T
        yield shown.pictures(K, tile, (turn, t - turn @ t0))[0]
