"""The camera of an equirectangular panorama, by what its file states (GPano) and its size."""

from collections.abc import Mapping

import numpy as np

from ..errors import StereoError
from ..geometry.wide_lenses import equirectangular_K
from ..images.layouts import layout_of_content
from ..records import Camera, Photo, WideLens
from .focal import camera_for

EQUIRECTANGULAR = "equirectangular"
MAX_OFF_SHAPE = 0.01  # relative: a whole panorama is twice as wide as high, but for rounding and scaling


def panorama_camera(photo: Photo) -> Camera:
    """longitude = (x - cx) / fx, latitude = (y - cy) / fy: the camera of an equirectangular panorama.

    The part of the sphere that the photo shows is that of its file (`ExifFacts`, "panorama_area"), else all of it,
    where the photo is twice as wide as high, and the front half, where it is square (VR180) and does not hold two views
    one over the other.

    Raises
    ------
    StereoError
        "panorama" where the part is not known or impossible.
    """
    width, height = photo.size
    area = photo.exif.get("panorama_area")
    if area is None and abs(width / height - 1) <= MAX_OFF_SHAPE and layout_of_content(photo) != "tb":
        area = 2 * width, height, width // 2, 0, width, height
    full_width, full_height, left, top, shown_width, shown_height = area or (width, height, 0, 0, width, height)
    inside = min(left, top) >= 0 and left + shown_width <= full_width and top + shown_height <= full_height
    if abs(full_width / (2 * full_height) - 1) > MAX_OFF_SHAPE or not inside:
        stated = f"the file states {full_width} x {full_height} px for the whole" if area else "it is not twice as wide"
        raise StereoError(
            "panorama",
            f"what part of the sphere the panorama of {width} x {height} px shows is not known: {stated}.",
            "A whole panorama is twice as wide as high, its front half square; of another part, the file states the "
            "area that it shows (GPano:FullPanoWidthPixels, CroppedAreaLeftPixels and so on). Two panoramas in one "
            "file: --layout tb or sbs.",
            width=width,
            height=height,
        )
    scale = np.array([width / shown_width, height / shown_height])
    K = equirectangular_K((full_width, full_height))
    K[:2, 2] = scale * (K[:2, 2] + 0.5 - [left, top]) - 0.5
    K[[0, 1], [0, 1]] *= scale
    detail = f"equirectangular panorama, {360 * shown_width / full_width:.0f} degrees around"
    return Camera(K, photo.size, source="given", source_detail=detail, lens=WideLens(EQUIRECTANGULAR))


def camera_of(photo: Photo, given: Mapping[str, float | None]) -> Camera:
    """Return the camera of a photo without calibration: `camera_for`, or of a panorama that states its projection.

    Parameters
    ----------
    photo : Photo
    given : mapping
        The options of `camera_for`; where one is given, the photo counts as a pinhole camera's.

    Raises
    ------
    StereoError
        As `panorama_camera` and `camera_for`.
    """
    known = any(value is not None for value in given.values())
    if is_equirectangular(photo) and not known:
        return panorama_camera(photo)
    return camera_for(photo, **given)


def is_equirectangular(photo: Photo) -> bool:
    """Return whether a photo states that it is an equirectangular panorama."""
    return photo.exif.get("projection") == EQUIRECTANGULAR
