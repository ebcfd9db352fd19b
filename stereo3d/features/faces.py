"""Features of a photo of any field: found on the faces of a cube about the camera, as pixels of the photo.

A detector takes scale and shape as those of a plane; near the poles of a panorama, or at the rim of a fisheye, nothing
in the photo itself is like that.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np

from ..geometry.arrays import all_channels, hom, norms
from ..images.unknown import scene_pixels
from ..options import MAX_SIZE, Range
from ..records import Camera, Features, Photo
from .detectors import detect_features

# x axes and z axes of the faces: ahead, right, behind, left, down, up; y = z x x
FACES = (
    ((1, 0, 0), (0, 0, 1)),
    ((0, 0, -1), (1, 0, 0)),
    ((-1, 0, 0), (0, 0, -1)),
    ((0, 0, 1), (-1, 0, 0)),
    ((1, 0, 0), (0, 1, 0)),
    ((1, 0, 0), (0, -1, 0)),
)
MARGIN = 1.25  # half side of a picture of a face, in those of the face: the window of a feature at its edge fits in
SHARE = 0.5  # of `max_size`: longest side of the picture of a face, a quarter of the circle and a little more
MIN_SHOWN = 0.02  # of a face; less is not worth a search
STEP = 0.5  # px of a face: of the differences that turn its frames into those of the photo


def detect_on_faces(
    photo: Photo,
    camera: Camera,
    *,
    method: str = "sift",
    max_size: Annotated[int, Range(1)] = MAX_SIZE,
    **options: Any,
) -> Features:
    """Detect features on six pinhole pictures of the photo, the faces of a cube about its camera.

    A face keeps the features in its own part of the sphere, so none is found twice.

    Parameters
    ----------
    photo : Photo
    camera : Camera
        Of any lens.
    method, options
        As in `detect_features`.
    max_size : int
        px; a picture of a face has at most `SHARE` of it, and at most the photo's own density.

    Returns
    -------
    Features
        In pixels of the full photo.
    """
    side = int(min(2 * MARGIN / camera.pixel_angle, SHARE * max_size))
    pieces = [_of_face(*face, camera, method, options) for face in _pictures(photo, camera, max(side, 16))]
    if not pieces:
        return Features(np.zeros((0, 2)), np.zeros((0, 1), np.float32), np.zeros((0, 2, 2)))
    width = max(piece.descriptors.shape[1] for piece in pieces)
    pieces = [piece for piece in pieces if piece.descriptors.shape[1] == width]
    return Features(*(np.concatenate([getattr(p, name) for p in pieces]) for name in ("x", "descriptors", "frames")))


def _pictures(photo: Photo, camera: Camera, side: int) -> Iterator[tuple[Photo, np.ndarray]]:
    """The pictures of the faces that the photo shows, (side, side) px, and face_from_cam (3, 3)."""
    import cv2

    pixels = scene_pixels(photo)
    step = 2 * MARGIN / side * (1 / camera.pixel_angle)  # px of the photo, in the middle of a face
    scale = 1.0
    if step > 1.5:  # against aliasing
        scale = 1 / step
        pixels = cv2.resize(src=pixels, dsize=None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    border = cv2.BORDER_WRAP if camera.is_panorama else cv2.BORDER_REPLICATE
    grid = _face_rays(np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1), side)
    for x_axis, z_axis in FACES:
        Q = np.array([x_axis, np.cross(z_axis, x_axis), z_axis], dtype=float)
        x = camera.pixels_from_rays(grid @ Q)
        with np.errstate(invalid="ignore"):
            shown = all_channels((x >= -0.5) & (x <= np.array(camera.size) - 0.5))
        if photo.mask is not None:
            column, row = np.rint(x[shown]).astype(int).T
            shown[shown] = photo.mask[row.clip(0, photo.size[1] - 1), column.clip(0, photo.size[0] - 1)]
        if shown.mean() < MIN_SHOWN:
            continue
        place = ((np.where(shown[..., None], x, 0) + 0.5) * scale - 0.5).astype(np.float32)
        picture = cv2.remap(
            src=pixels, map1=place[..., 0], map2=place[..., 1], interpolation=cv2.INTER_LINEAR, borderMode=border
        )
        yield Photo(picture, mask=None if shown.all() else shown), Q


def _face_rays(x: np.ndarray, side: int) -> np.ndarray:
    """Directions (..., 3), z = 1, in the frame of a face of the pixels x (..., 2) of its picture."""
    return hom((2 * (np.asarray(x, dtype=float) + 0.5) / side - 1) * MARGIN)


def _of_face(picture: Photo, Q: np.ndarray, camera: Camera, method: str, options: dict) -> Features:
    """The features in the face's own part of the sphere, in pixels of the photo."""
    found = detect_features(picture, method=method, max_size=2 * max(picture.size), **options)  # at its own size
    rays = _face_rays(found.x, picture.size[0])
    kept = (np.abs(rays[:, :2]) <= 1).all(1)
    moved = [camera.pixels_from_rays(_face_rays(found.x + off, picture.size[0]) @ Q) for off in STEP * np.eye(2)]
    x = camera.pixels_from_rays(rays @ Q)
    jacobian = np.stack([m - x for m in moved], -1) / STEP
    kept &= np.isfinite(jacobian).all((1, 2)) & (norms(jacobian[..., 0]) < camera.size[0] / 4)  # not across the seam
    frames = jacobian @ found.frames
    return Features(x[kept], found.descriptors[kept], frames[kept])


def detect_in_both(
    photos: tuple[Photo, Photo], cameras: tuple[Camera | None, Camera | None], **options: Any
) -> tuple[Features, Features]:
    """Return the features of both photos, on faces where a camera has a wide lens.

    One photo after the other: SIFT takes hundreds of MB for each, its descriptors use all cores by themselves, and the
    second photo finds the memory of the first already mapped.
    """

    def find(k: int) -> Features:
        camera = cameras[k]
        if camera is None or camera.lens is None:
            return detect_features(photos[k], **options)
        return detect_on_faces(photos[k], camera, **options)

    return find(0), find(1)
