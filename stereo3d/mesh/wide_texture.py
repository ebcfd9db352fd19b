"""The texture of a mesh from the photo of a wide lens; along the seam of a panorama vertices are there twice."""

from dataclasses import replace

import numpy as np

from ..errors import StereoError
from ..geometry.arrays import all_channels
from ..geometry.texture_coordinates import uv_of_pixels
from ..records import Camera, Mesh, Photo
from .build import compact


def wide_texture(mesh: Mesh, photo: Photo, camera: Camera) -> Mesh:
    """Return the mesh with the photo as its texture, uv being the pixels of the vertices (`Camera.pixels_from_rays`).

    Faces with a corner outside the photo are left out.

    Raises
    ------
    StereoError
        "empty_mesh": no face is inside the photo.
    """
    uv = uv_of_pixels(camera.pixels_from_rays(mesh.vertices), camera.size)
    with np.errstate(invalid="ignore"):
        inside = all_channels((uv >= 0) & (uv <= 1))
    keep = all_channels(inside[mesh.faces])
    if not keep.any():
        raise StereoError(
            "empty_mesh", f"0 of {len(keep)} faces are inside the photo.", "Check the calibration.", faces=len(keep)
        )
    kept = replace(mesh, faces=mesh.faces[keep], uv=np.where(inside[:, None], uv, 0), texture=photo.pixels)
    return compact(_cut_at_seam(kept) if camera.is_panorama else kept)


def _cut_at_seam(mesh: Mesh) -> Mesh:
    """The mesh of a panorama without faces that have corners at both ends of the picture.

    The corner that lies alone becomes a second vertex in its place, at the end of the picture where the others are:
    faces at the seam are smaller than a pixel of the map.
    """
    assert mesh.uv is not None
    u = mesh.uv[mesh.faces, 0]
    across = np.ptp(u, axis=1) > 0.5
    if not across.any():
        return mesh
    right = (u > 0.5).sum(1) >= 2  # where most corners are
    moved = across[:, None] & ((u > 0.5) != right[:, None])
    end = np.broadcast_to(right[:, None], u.shape)[moved]
    key, place = np.unique(2 * mesh.faces[moved].astype(np.int64) + end, return_inverse=True)
    source, uv = key // 2, mesh.uv[key // 2].copy()
    uv[:, 0] = key % 2
    faces = mesh.faces.copy()
    faces[moved] = len(mesh.vertices) + place
    sigma = None if mesh.sigma is None else np.concatenate([mesh.sigma, mesh.sigma[source]])
    vertices = np.concatenate([mesh.vertices, mesh.vertices[source]])
    return replace(mesh, vertices=vertices, faces=faces, uv=np.concatenate([mesh.uv, uv]), sigma=sigma)
