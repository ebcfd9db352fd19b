"""Resample the photo of a wide-angle lens as that of a pinhole camera with the same centre and axes."""

import math
from dataclasses import replace
from typing import cast

import numpy as np

from ..errors import StereoError
from ..foreign import check_memory
from ..geometry.camera import project
from ..geometry.wide_lenses import pixels_from_rays, rays_from_pixels
from ..images.exif import WHOLE_PICTURE_FACTS
from ..images.unknown import scene_pixels
from ..records import Camera, ExifFacts, Photo

# Degrees from the axis that the view shows. A pinhole picture grows with the tangent: at 65 degrees things are 5.6
# times as large, along the radius, as in the middle, at 75 degrees 15 times, of pixels that the photo has not.
MAX_HALF_ANGLE_DEG = 65.0
MIN_HALF_ANGLE_DEG = 1.0
STRIP_PIXELS = 1_000_000  # resampled at a time
STRIP_BYTES = 100_000_000  # of the temporary arrays of a strip


def pinhole_view(
    photo: Photo, camera: Camera, *, max_half_angle_deg: float = MAX_HALF_ANGLE_DEG
) -> tuple[Photo, Camera]:
    """x_photo = K m(K_view^-1 x): return the pinhole view of a wide-angle photo, and its camera.

    The view has the photo's resolution in the middle. It shows what the photo shows, but at most `max_half_angle_deg`
    from the axis in each direction; pixels that the photo does not show are left out by the mask.

    Parameters
    ----------
    photo : Photo
        Of the size of its camera.
    camera : Camera
        One without a wide lens is returned as it is, with its photo.
    max_half_angle_deg : float
        Degrees, below 90.

    Returns
    -------
    photo : Photo
        EXIF facts of the whole picture are left out.
    camera : Camera
        Pinhole, without distortion.

    Raises
    ------
    StereoError
        "bad_calibration" where the lens shows nothing around its axis.
    ValueError
        For a photo of another size.
    """
    import cv2

    lens = camera.lens
    if lens is None:
        return photo, camera
    if photo.size != tuple(camera.size):
        raise ValueError(f"a photo of {photo.size} px, its camera is of {camera.size} px")
    coefficients = np.array(lens.coefficients)
    left, right, top, bottom = _tangents(camera, coefficients, math.tan(math.radians(max_half_angle_deg)))
    f = _middle_focal(camera, coefficients)
    size = max(1, round(f * (left + right))), max(1, round(f * (top + bottom)))
    K = np.array([[f, 0, f * left - 0.5], [0, f, f * top - 0.5], [0, 0, 1]])
    check_memory(f"the pinhole view of {size[0]} x {size[1]} px", 4 * size[0] * size[1] + STRIP_BYTES)
    source, known = scene_pixels(photo), photo.mask
    pixels = np.empty((size[1], size[0], 3), np.uint8)
    shown = np.empty((size[1], size[0]), bool)
    rows = max(1, STRIP_PIXELS // size[0])
    for top in range(0, size[1], rows):
        strip = slice(top, min(top + rows, size[1]))
        u, v = np.meshgrid((np.arange(size[0]) - K[0, 2]) / f, (np.arange(strip.start, strip.stop) - K[1, 2]) / f)
        x = pixels_from_rays(np.stack([u, v, np.ones_like(u)], -1), lens.model, camera.K, coefficients)
        inside = np.asarray((np.isfinite(x) & (x >= 0) & (x <= np.array(photo.size) - 1)).all(-1))
        place = np.moveaxis(np.where(inside[..., None], x, -1).astype(np.float32), -1, 0)
        pixels[strip] = cv2.remap(
            src=source,
            map1=place[0],
            map2=place[1],
            interpolation=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        if known is not None:
            at = np.rint(np.where(inside[..., None], x, 0)).astype(int)
            inside &= known[at[..., 1], at[..., 0]]
        shown[strip] = inside
    facts = {name: value for name, value in photo.exif.items() if name not in WHOLE_PICTURE_FACTS}
    view = Photo(pixels, cast(ExifFacts, facts), photo.path, None if shown.all() else shown)
    across = math.degrees(math.atan(left) + math.atan(right))
    detail = f"{camera.source_detail}; view of {across:.0f} degrees through a {lens.model} lens".removeprefix("; ")
    return view, replace(camera, K=K, size=size, dist=np.zeros(0), lens=None, source_detail=detail)


def pinhole_pixels(x: np.ndarray, camera: Camera, view: Camera) -> np.ndarray:
    """x_view ~ K_view ray(x): pixels (N, 2) of a wide-angle photo in its pinhole view.

    Parameters
    ----------
    x : (N, 2) float64
        Photo pixels.
    camera, view : Camera
        Of the photo, with a wide lens, and of its `pinhole_view`.

    Raises
    ------
    StereoError
        "bad_option" for a pixel that the view does not show.
    """
    assert camera.lens is not None
    rays = rays_from_pixels(x, camera.lens.model, camera.K, np.array(camera.lens.coefficients))
    with np.errstate(divide="ignore", invalid="ignore"):
        places = project(rays, view.K)
    seen = (rays[:, 2] > 0) & (places >= 0).all(1) & (places <= np.array(view.size) - 1).all(1)
    if not seen.all():
        bad = x[~seen][0]
        raise StereoError(
            "bad_option",
            f"the pixel {bad[0]:g},{bad[1]:g} is farther from the axis of the lens than what is used of the photo.",
            "Choose two points nearer to the middle.",
        )
    return places


def field_of_view_deg(camera: Camera) -> float:
    """Return the angle, degrees, between the rays of the first and the last pixel of the row of the principal point.

    Where the lens shows nothing there, the angle between the outermost ones that it shows.
    """
    if camera.lens is None:
        rays = np.linalg.inv(camera.K) @ np.array([[0, camera.size[0] - 1], [camera.K[1, 2]] * 2, [1, 1]])
        rays = (rays / np.linalg.norm(rays, axis=0)).T
    else:
        x = np.stack([np.arange(camera.size[0], dtype=float), np.full(camera.size[0], camera.K[1, 2])], -1)
        rays = rays_from_pixels(x, camera.lens.model, camera.K, np.array(camera.lens.coefficients))
        rays = rays[np.isfinite(rays).all(1)]
        if len(rays) < 2:
            return 0.0
    angles = np.degrees(np.arctan2(rays[:, 0], rays[:, 2]))
    return float(angles.max() - angles.min())


def _middle_focal(camera: Camera, coefficients: np.ndarray) -> float:
    """px per radian in the middle of the picture, the geometric mean of both axes."""
    assert camera.lens is not None
    h = 1e-4
    ends = np.array([[h, 0, 1], [-h, 0, 1], [0, h, 1], [0, -h, 1]])
    x = pixels_from_rays(ends, camera.lens.model, camera.K, coefficients)
    f = math.sqrt(abs(np.linalg.det(np.stack([x[0] - x[1], x[2] - x[3]])))) / (2 * h)
    if not f > 0:
        raise StereoError(
            "bad_calibration", f"the {camera.lens.model} lens shows nothing around its axis.", "Check the calibration."
        )
    return f


def _tangents(camera: Camera, coefficients: np.ndarray, most: float) -> tuple[float, float, float, float]:
    """Tangents of the angles to the left, right, top and bottom that the photo shows, at most `most`.

    Along each side of the picture the largest angle counts: corners that reach farther are cut, and what the photo does
    not show is masked.
    """
    assert camera.lens is not None
    (w, h), (cx, cy) = camera.size, camera.K[:2, 2]
    found = []
    for axis, sign, ends in ((0, -1, [0, cy]), (0, 1, [w - 1, cy]), (1, -1, [cx, 0]), (1, 1, [cx, h - 1])):
        steps = np.linspace(0, 1, 257)[1:, None]
        x = np.array([cx, cy]) + steps * (np.array(ends) - [cx, cy])
        rays = rays_from_pixels(x, camera.lens.model, camera.K, coefficients)
        angle = np.arctan2(sign * rays[:, axis], rays[:, 2])
        angle = angle[np.isfinite(angle)]
        widest = float(angle.max(initial=0.0))
        found.append(most if widest >= math.atan(most) else math.tan(widest))
    if min(found[0] + found[1], found[2] + found[3]) < math.tan(math.radians(MIN_HALF_ANGLE_DEG)):
        raise StereoError(
            "bad_calibration", f"the {camera.lens.model} lens shows nothing around its axis.", "Check the calibration."
        )
    return found[0], found[1], found[2], found[3]
