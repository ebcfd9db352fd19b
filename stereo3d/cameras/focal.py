"""A camera for a photo: focal length from the options, from EXIF, or a prior."""

import logging
import math
import typing

import numpy as np

from ..errors import StereoError
from ..records import Camera, ExifFacts, Photo

log = logging.getLogger(__name__)
DIAGONAL_35MM = math.hypot(36, 24)  # mm: 43.267
FOCAL_35MM_RANGE = (8.0, 1200.0)  # mm: from a fisheye to the longest lens sold; outside it the entry is a fault
FOV_RANGE = (0.5, 170.0)  # degrees: horizontal field of view that a pinhole camera can have
# mm of 35 mm film: photos without EXIF mostly went through a messenger, and so were taken by a phone, whose main camera
# has 24 to 28 mm; compact cameras and kit lenses start there and go to 35 and more. 28 mm is off by less than a fifth
# over 24 to 34 mm.
PRIOR_35MM = 28.0


def camera_for(
    photo: Photo, *, focal: float | None = None, focal_35mm: float | None = None, fov: float | None = None
) -> Camera:
    """The camera of an uncalibrated photo: K = [[f, 0, (W-1)/2], [0, f, (H-1)/2], [0, 0, 1]], no distortion.

    f in px, from the first of these that there is:

    1. given: `focal` px, `focal_35mm` mm, or `fov`, the horizontal field of view of the upright photo in degrees
       (f = W / 2 / tan(fov / 2));
    2. EXIF: the 35 mm equivalent by the diagonal, f = f35 hypot(W, H) / 43.267; else focal length times focal-plane
       resolution; else focal length times the crop factor of the camera's sensor, by `lensfunpy` if it is installed.
       The equivalent goes first because it follows digital zoom, which the other two do not; a disagreement of more
       than 10 % with the focal plane is noted in source_detail;
    3. a prior: 28 mm equivalent.

    An EXIF value of less than 8 or more than 1200 mm equivalent is ignored, and source_detail says so. A picture
    of other
    proportions than EXIF states is taken for the largest crop that fits; smaller crops cannot be detected.

    Camera.source is "given", "exif" or "prior"; source_detail says in words what was read.
    Raises StereoError("bad_option") for a given value without sense or more than one of them.
    """
    options = {"focal": focal, "focal_35mm": focal_35mm, "fov": fov}
    given = {name: _real(name, value) for name, value in options.items() if value is not None}
    if given:
        return _pinhole(*_given_focal(given, photo.size), photo.size, "given")

    origin, cropped = original_size(photo)
    mm_per_px = DIAGONAL_35MM / math.hypot(*origin)
    low, high = FOCAL_35MM_RANGE
    found, ignored = [], []
    for f, words in _exif_focals(photo.exif, origin):
        if low <= f * mm_per_px <= high:
            found.append((f, words))
        else:
            ignored.append(
                f"{words} ignored: it would be {f * mm_per_px:.3g} mm of 35 mm film, outside {low:g} to {high:g}"
            )
    if found:
        f, detail = found[0]
        for other, words in found[1:]:
            if abs(other / f - 1) > 0.10:
                ignored.append(f"{words} would give a focal length {100 * (other / f - 1):+.0f} % off; not used")
        if cropped:
            ignored.append(f"cropped from {origin[0]:.0f} x {origin[1]:.0f} px, principal point assumed in the middle")
        source = "exif"
    else:
        f, source = PRIOR_35MM * math.hypot(*photo.size) / DIAGONAL_35MM, "prior"
        detail = f"prior: {PRIOR_35MM:g} mm equivalent, a phone or a compact camera; EXIF has no usable focal length"
    return _pinhole(f, "; ".join([detail, *ignored]), photo.size, source)


def _real(name: str, value: typing.Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise StereoError("bad_option", f"{name} cannot be {value!r}.", "It is a number.") from error


def _pinhole(f: float, detail: str, size: tuple[int, int], source: str) -> Camera:
    K = np.array([[f, 0, (size[0] - 1) / 2], [0, f, (size[1] - 1) / 2], [0, 0, 1]])
    return Camera(K, (size[0], size[1]), np.zeros(0), source, detail)


def _given_focal(given: dict[str, float], size: tuple[int, int]) -> tuple[float, str]:
    """The focal length in px of the one value given, checked, and what was given in words."""
    if len(given) > 1:
        raise StereoError("bad_option", f"{' and '.join(given)} are both given.", "Give the focal length in one way.")
    width, height = size
    [(name, value)] = given.items()
    words = f"{name.replace('_', ' ')} {value:g} {dict(focal='px', focal_35mm='mm', fov='degrees')[name]}"
    f = 0.0
    if math.isfinite(value) and value > 0:
        if name == "focal":
            f = value
        elif name == "focal_35mm":
            f = value * math.hypot(width, height) / DIAGONAL_35MM
        elif value < 180:
            f = width / 2 / math.tan(math.radians(value) / 2)
    angle = math.degrees(2 * math.atan(width / 2 / f)) if f > 0 else math.nan
    low, high = FOV_RANGE
    if not low <= angle <= high:
        seen = f" is a horizontal field of view of {angle:.3g} degrees over {width} px" if f > 0 else " has no sense"
        raise StereoError(
            "bad_option",
            f"{words}{seen}; {low:g} to {high:g} degrees are possible.",
            "focal is in pixels (about the picture's width), focal_35mm in mm of 35 mm film (a phone: 26), fov in "
            "degrees (a phone: 65).",
            value=value,
        )
    return f, f"given {words}"


def _exif_focals(exif: ExifFacts, origin: tuple[float, float]) -> list[tuple[float, str]]:
    """(f px, in words) by every way that EXIF offers, in order of trust. origin: the uncropped size, px."""
    found = []
    f35, mm, resolution = exif.get("focal_35mm"), exif.get("focal_mm"), exif.get("plane_resolution")
    if f35 is not None:
        found.append((f35 * math.hypot(*origin) / DIAGONAL_35MM, f"EXIF 35 mm equivalent {f35:g} mm"))
    if mm and resolution:
        # the resolution counts the pixels of the picture as it left the camera
        scale = max(origin) / max(exif.get("size_exif") or origin)
        found.append((mm * resolution * scale, f"EXIF focal length {mm:g} mm at {resolution:.4g} px/mm"))
    if mm and not found and (crop := _crop_factor(exif.get("make"), exif.get("model"))):
        found.append(
            (
                mm * crop * math.hypot(*origin) / DIAGONAL_35MM,
                f"EXIF focal length {mm:g} mm, {exif.get('model')} with crop factor {crop:.3g}",
            )
        )
    return found


def original_size(photo: Photo) -> tuple[tuple[float, float], bool]:
    """Size that the uncropped picture would have in pixels of this photo, and whether this photo is a crop of it.

    s = max(long / long_exif, short / short_exif): the crop kept one side whole. Sides are sorted, because turning
    programs do not agree on which way round they leave the EXIF entries.
    """
    size = photo.size
    if "size_exif" not in photo.exif:
        return size, False
    long, short = max(size), min(size)
    long0, short0 = max(photo.exif["size_exif"]), min(photo.exif["size_exif"])
    if abs((long / short) / (long0 / short0) - 1) <= 0.015:  # rounding of small pictures, codecs' multiples of 8 and 16
        return size, False
    s = max(long / long0, short / short0)
    return (long0 * s, short0 * s), True


def _crop_factor(make: str | None, model: str | None) -> float | None:
    """43.267 mm / the sensor's diagonal, by lensfun's database of cameras; None where that does not know it."""
    if not make or not model:
        return None
    try:
        import lensfunpy

        factors = [camera.crop_factor for camera in lensfunpy.Database().find_cameras(make, model)]
    except ImportError:
        return None
    except Exception as error:  # a broken or foreign database must not stop a reconstruction
        log.warning("lensfunpy: %s", error)
        return None
    # some cameras have a crop factor for each format they take; one within 10 % of all is a fair guess
    if not factors or min(factors) <= 0 or max(factors) > 1.1 * min(factors):
        return None
    return float(np.median(factors))
