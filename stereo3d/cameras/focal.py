"""Camera of an uncalibrated photo: focal length from the options, from EXIF, or from a prior."""

import logging
import math
import typing

import numpy as np

from ..errors import StereoError
from ..images.content import Box, content_box
from ..records import Camera, ExifFacts, Photo
from ..records.photo import require_photos

log = logging.getLogger(__name__)
DIAGONAL_35MM = math.hypot(36, 24)  # mm, of 35 mm film: 43.267
FOCAL_35MM_RANGE = (8.0, 1200.0)  # mm: from a fisheye to the longest lens sold; other entries are faults
FOV_RANGE = (0.5, 170.0)  # degrees: horizontal fields of view of pinhole cameras
# mm of 35 mm film. Most photos without EXIF were sent by a messenger, and thus taken by a phone, whose main camera has
# 24 to 28 mm; compact cameras and kit lenses have 24 to 35 mm and more. 28 mm errs by at most a fifth over them.
PRIOR_35MM = 28.0
MAX_DISAGREEMENT = 0.10  # relative difference of two focal lengths of EXIF, above which source_detail notes it
SAME_PROPORTIONS = 0.015  # relative: rounding of small pictures, and codecs' multiples of 8 and 16 px


def camera_for(
    photo: Photo, *, focal: float | None = None, focal_35mm: float | None = None, fov: float | None = None
) -> Camera:
    """The camera of an uncalibrated photo: K = [[f, 0, (W-1)/2], [0, f, (H-1)/2], [0, 0, 1]], no distortion.

    Letterbox bars do not count: W and H are those of the picture within them, and the principal point is its middle.

    The focal length f comes from the first available source:

    1. an option: `focal`, `focal_35mm` or `fov`, f = W / 2 / tan(fov / 2);
    2. EXIF: the 35 mm equivalent by the diagonal, f = f35 hypot(W, H) / 43.267; else focal length times focal-plane
       resolution; else focal length times the crop factor of the camera's sensor, where `lensfunpy` is installed. The
       equivalent precedes because it includes digital zoom, which the others do not;
    3. the prior `PRIOR_35MM`.

    EXIF values outside `FOCAL_35MM_RANGE` are ignored. A picture whose proportions differ from those in EXIF is assumed
    to be the largest crop that fits; smaller crops cannot be detected.

    Parameters
    ----------
    photo : Photo
    focal : float, optional
        px.
    focal_35mm : float, optional
        mm, equivalent on 35 mm film.
    fov : float, optional
        degrees, horizontal field of view of the upright photo.

    Returns
    -------
    Camera
        source is "given", "exif" or "prior"; source_detail states the value used and the values ignored.

    Raises
    ------
    StereoError
        "bad_option" for a value that is impossible, or more than one of them.
    """
    require_photos(photo=photo)
    options = {"focal": focal, "focal_35mm": focal_35mm, "fov": fov}
    given = {name: _real(name, value) for name, value in options.items() if value is not None}
    box = content_box(photo.pixels)
    size = box[2] - box[0], box[3] - box[1]
    if given:
        return _pinhole(*_given_focal(given, size), photo.size, box, "given")

    origin, cropped = original_size(photo)
    mm_per_px = DIAGONAL_35MM / math.hypot(*origin)
    low, high = FOCAL_35MM_RANGE
    found, ignored = [], []
    for f, text in _exif_focals(photo.exif, origin):
        if low <= f * mm_per_px <= high:
            found.append((f, text))
        else:
            ignored.append(
                f"{text} ignored: it would be {f * mm_per_px:.3g} mm of 35 mm film, outside {low:g} to {high:g}"
            )
    if found:
        f, detail = found[0]
        for other, text in found[1:]:
            if abs(other / f - 1) > MAX_DISAGREEMENT:
                ignored.append(f"{text} would give a focal length {100 * (other / f - 1):+.0f} % off; not used")
        if cropped:
            ignored.append(f"cropped from {origin[0]:.0f} x {origin[1]:.0f} px, principal point assumed in the middle")
        source = "exif"
    else:
        f, source = PRIOR_35MM * math.hypot(*size) / DIAGONAL_35MM, "prior"
        detail = f"prior: {PRIOR_35MM:g} mm equivalent, a phone or a compact camera; EXIF has no usable focal length"
    return _pinhole(f, "; ".join([detail, *ignored]), photo.size, box, source)


def _real(name: str, value: typing.Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise StereoError("bad_option", f"{name} cannot be {value!r}.", "It is a number.") from error


def _pinhole(f: float, detail: str, size: tuple[int, int], box: Box, source: str) -> Camera:
    """The camera of a photo of that size whose picture fills the box."""
    x0, y0, x1, y1 = box
    K = np.array([[f, 0, (x0 + x1 - 1) / 2], [0, f, (y0 + y1 - 1) / 2], [0, 0, 1]])
    return Camera(K, (size[0], size[1]), np.zeros(0), source, detail)


def _given_focal(given: dict[str, float], size: tuple[int, int]) -> tuple[float, str]:
    """Return the focal length in px of the one option given, and the option as text."""
    if len(given) > 1:
        raise StereoError("bad_option", f"{' and '.join(given)} are both given.", "Give the focal length in one way.")
    width, height = size
    [(name, value)] = given.items()
    text = f"{name.replace('_', ' ')} {value:g} {dict(focal='px', focal_35mm='mm', fov='degrees')[name]}"
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
            f"{text}{seen}; {low:g} to {high:g} degrees are possible.",
            "focal is in pixels (about the picture's width), focal_35mm in mm of 35 mm film (a phone: 26), fov in "
            "degrees (a phone: 65).",
            value=value,
        )
    return f, f"given {text}"


def _exif_focals(exif: ExifFacts, origin: tuple[float, float]) -> list[tuple[float, str]]:
    """Return (f px, its source as text) by each way that EXIF offers, the most reliable first; origin: uncropped px."""
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
    """s = max(long / long_exif, short / short_exif): scale EXIF's size to this photo; a crop kept one side whole.

    Sides are sorted, because programs that rotate photos do not agree on the order of the EXIF entries. Letterbox bars
    do not count, unless the photo with them has the proportions in EXIF: then the camera added them.

    Returns
    -------
    size : (float, float)
        px, of the uncropped picture at the scale of this photo.
    cropped : bool
        Whether this photo is a crop.
    """
    x0, y0, x1, y1 = content_box(photo.pixels)
    size = x1 - x0, y1 - y0
    if "size_exif" not in photo.exif:
        return size, False
    long0, short0 = max(photo.exif["size_exif"]), min(photo.exif["size_exif"])
    for whole in (photo.size, size):
        if abs((max(whole) / min(whole)) / (long0 / short0) - 1) <= SAME_PROPORTIONS:
            return whole, False
    long, short = max(size), min(size)
    s = max(long / long0, short / short0)
    return (long0 * s, short0 * s), True


def _crop_factor(make: str | None, model: str | None) -> float | None:
    """43.267 mm / diagonal of the sensor, from lensfun's database of cameras; None for an unknown camera."""
    if not make or not model:
        return None
    try:
        import lensfunpy

        database = lensfunpy.Database()  # pyright: ignore[reportAttributeAccessIssue] - a compiled module
        factors = [camera.crop_factor for camera in database.find_cameras(make, model)]
    except ImportError:
        return None
    except Exception as error:  # a damaged database must not stop a reconstruction
        log.warning("lensfunpy: %s", error)
        return None
    # some cameras have a crop factor per picture format; where these agree to 10 %, use their median
    if not factors or min(factors) <= 0 or max(factors) > 1.1 * min(factors):
        return None
    return float(np.median(factors))
