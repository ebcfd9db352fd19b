"""The cameras of a result in the forms of other programs: --cameras."""

import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..cameras.exports import COLMAP_FILES, tracks_of, write_colmap, write_opencv, write_transforms
from ..errors import StereoError
from ..geometry.camera import scale_K
from ..io.pictures import write_picture
from ..io.style import rotation_to_file
from ..pipeline.result import Result
from ..records import Camera, Photo, Rig

log = logging.getLogger(__name__)
IMAGES = ("left.jpg", "right.jpg")  # in the folder "images" beside COLMAP's model
CAMERA_FILES = (*COLMAP_FILES, *(f"images/{name}" for name in IMAGES))  # names of the files in a folder
CAMERA_FORMATS = (".json", ".yml", ".yaml", ".xml")


def check_camera_target(path: Path) -> None:
    """Raise StereoError("unknown_format") for a suffix that names no form; a path without one is a folder."""
    if path.suffix and path.suffix.lower() not in CAMERA_FORMATS and not path.is_dir():
        raise StereoError(
            "unknown_format",
            f"cannot write cameras as {path}: {path.suffix} is no format for them.",
            "Use a folder (COLMAP), .json (nerfstudio) or .yml, .yaml, .xml (OpenCV).",
        )


def is_camera_folder(path: Path) -> bool:
    """Return whether `save_cameras` makes a folder of that name."""
    return path.suffix.lower() not in CAMERA_FORMATS


def save_cameras(result: Result, path: str | Path, *, down: np.ndarray | None = None) -> list[Path]:
    """Write both cameras and their pose; return the files.

    Parameters
    ----------
    result : Result
    path : path
        A folder: COLMAP's text model with the photos as they were used, upright, in the folder "images". .json:
        nerfstudio's transforms.json, z up. .yml, .yaml, .xml: OpenCV's rectified rig.
    down : (3,) float, optional
        Direction of gravity in the frame of camera 1, for transforms.json.

    Raises
    ------
    StereoError
        "bad_option" for a lens that the form does not know, "unknown_format", "unwritable".
    """
    path = Path(path)
    check_camera_target(path)
    view, photos = result.view, (result.left, result.right)
    cams = (view.rig.cam1, view.rig.cam2)
    cam1, cam2 = (_fitted(camera, photo.size) for camera, photo in zip(cams, photos, strict=True))
    rig = Rig(cam1, cam2, view.R, view.t, view.rig.unit)
    if path.suffix.lower() == ".json":
        names = tuple(_relative(photo, path, side) for photo, side in zip(photos, ("left", "right"), strict=True))
        if any(photo.exif.get("orientation", 1) != 1 for photo in photos) or result.config.rotate:
            log.warning(
                "%s is for the upright photos, whose files are stored turned; --cameras FOLDER writes them upright.",
                path,
            )
        return [write_transforms(path, rig, rotation_to_file("z-up", down), (names[0], names[1]))]
    if not is_camera_folder(path):
        return [write_opencv(path, rig)]
    inliers = result.matches[view.inliers]
    tracks = tracks_of(inliers.x1, inliers.x2, result.left.pixels, rig)
    files = write_colmap(path, rig, tracks, IMAGES)
    pictures = zip(IMAGES, photos, strict=True)
    return [*files, *(write_picture(path / "images" / name, photo.pixels) for name, photo in pictures)]


def _fitted(camera: Camera, size: tuple[int, int]) -> Camera:
    """The camera for a picture of that size, of its proportions."""
    if camera.size == size:
        return camera
    return replace(camera, K=scale_K(camera.K, size[0] / camera.size[0], size[1] / camera.size[1]), size=size)


def _relative(photo: Photo, target: Path, side: str) -> str:
    """The path of a photo as seen from the folder of a file."""
    if photo.path is None:
        return side
    try:
        return Path(os.path.relpath(photo.path, target.parent)).as_posix()
    except ValueError:  # another drive
        return photo.path.as_posix()
