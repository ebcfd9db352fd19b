"""Spatial photos: the stereo pair in a HEIC file of an iPhone or a Vision Pro, and its cameras."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StereoError
from ..geometry.rotations import rotation_angle_deg
from ..records import MAX_ROTATION_ERROR, Camera, Photo, PhotoPair, Rig, RigError
from .exif import xmp_number, xmp_text
from .heif import HeifItems, camera_position
from .read import decode_photo, open_image

# Model -> mm between the cameras, where the file does not state it: Apple's numbers.
BASELINES_MM = {"Apple Vision Pro": 63.76, "iPhone": 19.24}
MIN_BASELINE_MM, MAX_BASELINE_MM = 1.0, 1000.0  # positions outside are of no camera that writes such files
MAX_TURN_DEG = 10.0  # between the cameras of a device; another convention of axes gives 90 or 180


def read_spatial(path: Path, items: HeifItems, max_pixels: int | None = None) -> PhotoPair:
    """Return the pair of a HEIF file with an entity group `ster`, its rig that of a device (`RigError.device`), in mm.

    The cameras come from the properties `cmin` and `cmex` of both items (intrinsics, position, rotation); the baseline,
    where they state none, from XMP (Baseline) or the model; a focal length from XMP (HorizontalFOV).

    Parameters
    ----------
    path : Path
    items : HeifItems
        With a stereo pair.
    max_pixels : int, optional
        As in `read_photo`.

    Raises
    ------
    StereoError
        As `read_photo`; "photo_unreadable" where the pair is incomplete.
    """
    pair = items.pairs[0]
    photos, infos = [], []
    with open_image(path, max_pixels=max_pixels) as image:
        frames = _frames_of(image, pair, path)
        if frames[0] == 0:  # decoded with the header
            infos, photos = [dict(image.info)], [decode_photo(image, path, pair[0])]
    for item, frame in list(zip(pair, frames, strict=True))[len(photos) :]:
        with open_image(path, frame=frame, max_pixels=max_pixels) as image:
            infos.append(dict(image.info))
            photos.append(decode_photo(image, path, item))
    left, right = photos
    form = "a spatial photo"
    cameras = [_camera(photo, info) for photo, info in zip(photos, infos, strict=True)]
    baseline, source = _baseline(items, pair, left, infos[0])
    if cameras[0] is None or cameras[1] is None:
        return PhotoPair(left, right, form, baseline=baseline, unit="mm" if baseline else None)
    world_from_cam1, world_from_cam2 = map(_world_from_camera, infos)
    R = _relative_rotation(world_from_cam1, world_from_cam2)
    apart = _apart(items, pair)
    centre = np.array([baseline or 1.0, 0, 0]) if apart is None else world_from_cam1.T @ apart
    detail = f"; baseline {source}" if baseline else "; baseline unknown"
    cam1, cam2 = (
        Camera(c.K, c.size, c.dist, "calibration", c.source_detail + detail) for c in (cameras[0], cameras[1])
    )
    rig = Rig(cam1, cam2, R, -R @ centre, "mm" if baseline else None, RigError.device())
    return PhotoPair(left, right, form, rig, baseline, "mm" if baseline else None)


def _frames_of(image: Any, pair: tuple[int, int], path: Path) -> tuple[int, int]:
    """The numbers of the two frames, as the decoder counts them, of the items of a pair."""
    for group in image.info.get("entity_groups") or []:
        if group.get("type") == "ster" and tuple(group.get("entities", ()))[:2] == pair:
            frames = [k for k in group.get("images", ()) if isinstance(k, int) and 0 <= k < image.n_frames]
            if len(frames) == 2:
                return frames[0], frames[1]
    raise StereoError(
        "photo_unreadable",
        f"{path}: a spatial photo whose two pictures cannot be found ({getattr(image, 'n_frames', 1)} in the file).",
        "Copy it again from the device, as the original and not as a JPEG.",
    )


def _camera(photo: Photo, info: dict) -> Camera | None:
    """The camera of one picture as stored; None where the file states no focal length."""
    size = photo.exif.get("size_stored", photo.size)
    stated = (info.get("heif") or {}).get("camera_intrinsic_matrix")
    if stated:
        numbers = [
            float(stated[name])
            for name in ("focal_length_x", "focal_length_y", "principal_point_x", "principal_point_y", "skew")
        ]
        fx, fy, cx, cy, skew = numbers
        if np.isfinite(numbers).all() and fx > 0 and fy > 0 and 0 < cx < size[0] and 0 < cy < size[1]:
            # the container counts from the corner of the picture, here pixel centres are whole numbers
            K = np.array([[fx, skew, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]])
            return Camera(K, size, source="calibration", source_detail="spatial photo: camera matrix in the file")
    fov = xmp_number(xmp_text(info), "HorizontalFOV")
    if fov is not None and 1 < fov < 175:
        f = size[0] / 2 / math.tan(math.radians(fov) / 2)
        K = np.array([[f, 0, (size[0] - 1) / 2], [0, f, (size[1] - 1) / 2], [0, 0, 1]])
        return Camera(K, size, source="calibration", source_detail=f"spatial photo: field of view {fov:g} degrees")
    return None


def _apart(items: HeifItems, pair: tuple[int, int]) -> np.ndarray | None:
    """From the left camera to the right one, mm, in the frame of the file; None where it states no distance."""
    positions = [camera_position(items, item) for item in pair]
    if positions[1] is None:
        return None
    apart = np.subtract(positions[1], positions[0] or (0.0, 0.0, 0.0))
    return apart if MIN_BASELINE_MM <= np.linalg.norm(apart) <= MAX_BASELINE_MM else None


def _baseline(items: HeifItems, pair: tuple[int, int], photo: Photo, info: dict) -> tuple[float | None, str]:
    """The distance of the two cameras in mm, and its source as text."""
    apart = _apart(items, pair)
    if apart is not None:
        length = float(np.linalg.norm(apart))
        return length, f"{length:.4g} mm as the file states it"
    stated = xmp_number(xmp_text(info), "Baseline")
    if stated is not None and MIN_BASELINE_MM <= stated <= MAX_BASELINE_MM:
        return stated, f"{stated:.4g} mm as its XMP states it"
    model = photo.exif.get("model", "")
    for name, length in BASELINES_MM.items():
        if model.startswith(name):
            return length, f"{length:.4g} mm of every {name}"
    return None, ""


def _world_from_camera(info: dict) -> np.ndarray:
    """The rotation (3, 3) that the file states of one camera; the identity where it states none, or no rotation."""
    given = np.array((info.get("heif") or {}).get("camera_extrinsic_matrix_rot") or np.eye(3), float)
    if given.size != 9 or not np.isfinite(given).all():
        return np.eye(3)
    Rw = given.reshape(3, 3)
    return Rw if np.abs(Rw @ Rw.T - np.eye(3)).max() < MAX_ROTATION_ERROR and np.linalg.det(Rw) > 0 else np.eye(3)


def _relative_rotation(world_from_cam1: np.ndarray, world_from_cam2: np.ndarray) -> np.ndarray:
    """cam2_from_cam1 (3, 3); the identity where it turns farther than the cameras of one device do."""
    R = world_from_cam2.T @ world_from_cam1
    return R if rotation_angle_deg(R) < MAX_TURN_DEG else np.eye(3)
