"""Photos onto a mesh."""

import numpy as np

from ..errors import StereoError
from ..geometry import project
from ..records import Camera, Mesh, Photo
from .build import compact


def texture_mesh(mesh: Mesh, photo: Photo, camera: Camera) -> Mesh:
    """The mesh with the photo as its texture: uv = ((x + 1/2) / W, 1 - (y + 1/2) / H), x = K distort(X / Z).

    The texture is the photo at its full resolution, whatever the resolution of the mesh; `camera` is camera 1 at the
    size `camera.size`, of the photo's proportions. Faces with a corner behind the camera, or with all three corners
    outside the photo, are left out; a corner outside of a face that reaches in is moved to the photo's edge.

    Raises StereoError("empty_mesh") where no face is seen; ValueError where camera and photo differ in proportions.
    """
    width, height = camera.size
    if abs(photo.size[0] * height - photo.size[1] * width) > max(*camera.size, *photo.size):
        raise ValueError(f"texture_mesh: the camera is for {camera.size}, the photo is {photo.size}")
    front = mesh.vertices[:, 2] > 0
    x = np.full((len(mesh.vertices), 2), np.nan)
    x[front] = project(mesh.vertices[front], camera.K, dist=camera.dist)
    uv = (x + 0.5) / camera.size
    uv[:, 1] = 1 - uv[:, 1]
    with np.errstate(invalid="ignore"):
        inside = ((uv >= 0) & (uv <= 1)).all(1)
    keep = inside[mesh.faces].any(1) & front[mesh.faces].all(1)
    if not keep.any():
        raise StereoError("empty_mesh", f"none of {len(keep)} faces lies in the photo.", "Check the calibration.",
                          faces=len(keep))  # fmt: skip
    return compact(Mesh(mesh.vertices, mesh.faces[keep], np.clip(uv, 0, 1), photo.pixels, mesh.sigma, facts=mesh.facts))
