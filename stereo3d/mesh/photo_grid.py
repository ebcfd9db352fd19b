"""What each pixel of the first photo shows of a mesh: distance, normal; and maps of a rectified pair on its pixels."""

import numpy as np

from ..geometry.arrays import TINY, all_channels, norms
from ..geometry.triangles import vertex_normals
from ..records import Camera, Mesh
from ..resources import load_open3d

RAYS = 400_000  # cast at a time, to bound the memory
MAX_GAP = 2.0  # pixels of the rectified picture: farther from one, a pixel of the photo has no value of its map


def cast_photo(
    mesh: Mesh, camera: Camera, size: tuple[int, int], *, normals: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the depth Z, or the distance |X|, of the point X of the mesh on the ray of each pixel, and its normal.

    Lens distortion is that of the camera: the pixels are those of the photo as it is.

    Parameters
    ----------
    mesh : Mesh
    camera : Camera
        Of any lens, for a picture of the photo's proportions.
    size : (width, height)
        px of the photo.
    normals : bool
        Whether to return normals.

    Returns
    -------
    depth : (H, W) float32
        Units of the mesh; NaN where the ray meets no face. With a wide lens the distance from the camera, else the
        depth along its axis.
    normals : (H, W, 3) float32, optional
        Unit vectors in the frame of the camera, interpolated between the vertices of the face and turned towards the
        camera.

    Raises
    ------
    StereoError
        "library_missing" without Open3D.
    """
    open3d = load_open3d()
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32))
    at_vertices = vertex_normals(mesh.vertices, mesh.faces) if normals else None
    width, height = size
    scale = np.array(camera.size, dtype=float) / size
    depth = np.full((height, width), np.nan, np.float32)
    out = np.full((height, width, 3), np.nan, np.float32) if normals else None
    rows = max(1, RAYS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        x = np.stack(np.meshgrid(np.arange(width), np.arange(top, bottom)), -1)
        ray = camera.rays_from_pixels((x + 0.5) * scale - 0.5)
        shown = all_channels(np.isfinite(ray))
        rays = np.zeros((*shown.shape, 6), np.float32)
        rays[..., 3:] = np.where(np.expand_dims(shown, -1), ray, [0, 0, 1])
        hit = scene.cast_rays(open3d.core.Tensor(rays))
        distance = hit["t_hit"].numpy().astype(float)
        seen = shown & np.isfinite(distance)
        along = distance if camera.lens is not None else distance * ray[..., 2]
        depth[top:bottom][seen] = along[seen]
        if out is not None and at_vertices is not None:
            q, r = hit["primitive_uvs"].numpy()[seen].astype(float).T
            a, b, c = at_vertices[mesh.faces[hit["primitive_ids"].numpy()[seen]].T]
            n = (1 - q - r)[:, None] * a + q[:, None] * b + r[:, None] * c
            n *= np.where(np.einsum("ni,ni->n", n, ray[seen]) > 0, -1, 1)[:, None]
            out[top:bottom][seen] = n / np.maximum(norms(n)[:, None], TINY)
    return depth, out


def onto_photo(values: np.ndarray, x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a map of the rectified picture on the pixels of the photo: the value nearest to each, 0 where none is.

    Parameters
    ----------
    values : (H, W) float
        0 where unknown.
    x : (H, W, 2) float
        px of the photo that each rectified pixel shows, NaN outside: `RectifiedPair.map1`.
    size : (width, height)
        px of the photo.

    Returns
    -------
    (height, width) float32
    """
    import cv2

    with np.errstate(invalid="ignore"):
        steps = [norms(np.diff(x, axis=axis)) for axis in (0, 1)]
    pitch = max([1.0, *(float(np.nanmedian(s)) for s in steps if np.isfinite(s).any())])
    width, height = (max(1, round(side / pitch)) for side in size)  # a grid about as coarse as the rectified picture
    at = np.rint((x + 0.5) * [width / size[0], height / size[1]] - 0.5)
    with np.errstate(invalid="ignore"):
        inside = all_channels((at >= 0) & (at < [width, height]))
    column, row = at[inside].astype(int).T
    grid, empty = np.zeros((height, width), np.float32), np.ones((height, width), np.uint8)
    grid[row, column], empty[row, column] = values[inside], 0
    if not empty.all():
        away, label = cv2.distanceTransformWithLabels(
            src=empty, distanceType=cv2.DIST_L2, maskSize=5, labelType=cv2.DIST_LABEL_PIXEL
        )
        label = np.asarray(label, dtype=np.int64)
        nearest = np.zeros(label.max() + 1, np.float32)
        nearest[label[empty == 0]] = grid[empty == 0]
        grid = np.where(away <= MAX_GAP, nearest[label], np.float32(0))
    return cv2.resize(src=grid, dsize=size, interpolation=cv2.INTER_NEAREST_EXACT)
