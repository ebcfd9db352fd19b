"""Facts of the camera in EXIF, its maker notes and XMP."""

import math
import re
import struct
from typing import Any

# Facts that hold for the picture as a whole, and not for a half of it.
WHOLE_PICTURE_FACTS = ("size_exif", "plane_resolution", "size_stored")
APPLE_PANORAMA = 6  # EXIF CustomRendered
MAX_PANORAMA = 10_000_000  # px, a side; larger numbers are faults
MAX_XMP = 1_000_000  # characters; packets have some thousand
_MM_PER_PLANE_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}  # EXIF FocalPlaneResolutionUnit; 1: none


def facts_of(tags: Any) -> dict[str, Any]:
    """Return the entries of `ExifFacts` that EXIF contains and that are valid."""
    details = tags.get_ifd(0x8769)
    found = {
        "make": _text(tags.get(0x010F)),
        "model": _text(tags.get(0x0110)),
        "date": _text(details.get(0x9003)) or _text(tags.get(0x0132)),
        "focal_mm": number_of(details.get(0x920A, tags.get(0x920A))),
        "focal_35mm": number_of(details.get(0xA405, tags.get(0xA405))),
        "plane_resolution": _plane_resolution(details),
    }
    width, height = number_of(details.get(0xA002)), number_of(details.get(0xA003))
    if width and height and width > 0 and height > 0:
        found["size_exif"] = (int(width), int(height))
    return {name: value for name, value in found.items() if value is not None}


def gravity_of(tags: Any, info: dict, orientation: int) -> tuple[float, float, float] | None:
    """Return the unit vector of gravity in the upright photo's axes (x right, y down, z forward); None: unknown.

    - Apple's maker note, AccelerationVector: gravity in the axes of the phone seen from its screen (x right, y up, z
      towards the user). The sensor's picture has the phone's top at the left, so (x, y, z) of the stored picture is
      -(g_y, g_x, g_z); it rotates with the picture.
    - CameraElevationAngle (EXIF 2.31), GimbalPitchDegree (DJI's XMP): the camera looks up by p without roll, so gravity
      is (0, cos p, -sin p).
    """
    details = tags.get_ifd(0x8769)
    vector = _apple_acceleration(details.get(0x927C))
    if vector is not None:
        x, y, z = -vector[1], -vector[0], -vector[2]
        turned = {1: (x, y), 3: (-x, -y), 6: (-y, x), 8: (y, -x)}.get(orientation)  # no camera writes mirrored pictures
        length = math.sqrt(x * x + y * y + z * z)
        if turned and 0.8 < length < 1.2:  # g; otherwise the phone was accelerating
            return turned[0] / length, turned[1] / length, z / length
    pitch = number_of(details.get(0x9405))
    if pitch is None:
        pitch = xmp_number(xmp_text(info), "GimbalPitchDegree")
    if pitch is None or not -90 <= pitch <= 90:
        return None
    return 0.0, math.cos(math.radians(pitch)), -math.sin(math.radians(pitch))


def panorama_gravity_of(info: dict) -> tuple[float, float, float] | None:
    """(cos p sin r, cos p cos r, -sin p): gravity in the axes of a panorama, as GPano states it; else None.

    p is PosePitchDegrees, by which the middle of the picture is above the horizon, r PoseRollDegrees, by which the
    horizon there is turned counter-clockwise. What else a file states of gravity is that of one of the photos that the
    panorama was made of.

    References
    ----------
    Google, Photo Sphere XMP metadata.
    """
    xmp = xmp_text(info)
    pitch, roll = (xmp_number(xmp, f"Pose{name}Degrees") for name in ("Pitch", "Roll"))
    if pitch is None and roll is None:
        return None
    pitch, roll = pitch or 0.0, roll or 0.0
    if not (-90 <= pitch <= 90 and -180 <= roll <= 180):
        return None
    p, r = math.radians(pitch), math.radians(roll)
    return math.cos(p) * math.sin(r), math.cos(p) * math.cos(r), -math.sin(p)


def projection_of(tags: Any, info: dict) -> str | None:
    """Return the projection of a panorama, as XMP (GPano:ProjectionType) or the camera states it; None for a photo."""
    stated = xmp_entry(xmp_text(info), "ProjectionType")
    if stated and stated.isalpha():
        return stated.lower()
    return "panorama" if number_of(tags.get_ifd(0x8769).get(0xA401)) == APPLE_PANORAMA else None


def panorama_area_of(info: dict, size: tuple[int, int]) -> tuple[int, int, int, int, int, int] | None:
    """Return the part of the sphere that a panorama shows, as GPano states it in XMP; None where it does not.

    Parameters
    ----------
    info : dict
        Of the opened picture.
    size : (width, height)
        px, of the picture: that of the part where GPano states the whole alone.

    Returns
    -------
    (int, int, int, int, int, int)
        px: width and height of the whole panorama; left, top, width and height of the part.
    """
    xmp = xmp_text(info)
    whole = [xmp_number(xmp, f"FullPano{side}Pixels") for side in ("Width", "Height")]
    corner = [xmp_number(xmp, f"CroppedArea{side}Pixels") or 0 for side in ("Left", "Top")]
    part = [xmp_number(xmp, f"CroppedAreaImage{side}Pixels") for side in ("Width", "Height")]
    numbers = [*whole, *corner, *(n or given for n, given in zip(part, size, strict=True))]
    if None in numbers or not all(0 <= n <= MAX_PANORAMA and n == int(n) for n in numbers) or 0 in numbers[:2]:
        return None
    full_width, full_height, left, top, width, height = map(int, numbers)
    return full_width, full_height, left, top, width, height


def xmp_entry(xmp: str, name: str) -> str | None:
    """Return the text of an entry of any namespace, written as an attribute or an element; None where it is missing."""
    found = re.search(rf"""[:<\s]{name}\s*(?:=\s*["']|>)\s*([^"'<\s]{{1,40}})""", xmp)
    return found[1] if found else None


def xmp_number(xmp: str, name: str) -> float | None:
    """Return an entry (`xmp_entry`) as a finite number; None where it is missing, or no number."""
    return number_of(xmp_entry(xmp, name))


def xmp_text(info: dict) -> str:
    """Return the XMP packet of an opened picture; empty where it has none."""
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    return (xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else str(xmp))[:MAX_XMP]


def _apple_acceleration(note: object) -> tuple[float, ...] | None:
    """Return entry 8 of Apple's maker note, three signed fractions; None where it is missing.

    The note is "Apple iOS", version, "MM", and a big-endian IFD whose offsets count from the start of the note.
    """
    if not isinstance(note, bytes) or not note.startswith(b"Apple iOS\0") or note[12:14] != b"MM":
        return None
    try:
        (count,) = struct.unpack_from(">H", note, 14)
        for k in range(min(count, 200)):
            tag, kind, number, offset = struct.unpack_from(">HHII", note, 16 + 12 * k)
            if tag == 8 and kind == 10 and number == 3:
                fractions = struct.unpack_from(">6i", note, offset)
                return tuple(fractions[i] / fractions[i + 1] for i in (0, 2, 4))
    except (struct.error, ZeroDivisionError):
        return None
    return None


def _plane_resolution(details: Any) -> float | None:
    """Return focal-plane pixels per mm, the geometric mean of both axes where they agree to 5 % (square pixels)."""
    x, y = number_of(details.get(0xA20E)), number_of(details.get(0xA20F))
    code = number_of(details.get(0xA210, 2))  # inches where the file states no unit
    unit = None if code is None else _MM_PER_PLANE_UNIT.get(int(code)) if code.is_integer() else None
    if unit is None or not x or x <= 0:
        return None
    y = y or x
    if not 0.95 < y / x < 1.05:
        return None
    return math.sqrt(x * y) / unit


def number_of(value: Any) -> float | None:
    """Return an EXIF entry as a finite number, else None."""
    single: Any = value[0] if isinstance(value, tuple | list) and len(value) == 1 else value
    try:
        number = float(single)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    value = value.replace("\0", " ").strip() if isinstance(value, str) else ""
    return value or None


def orientation_of(value: Any) -> int:
    """Return an EXIF orientation, 1 to 8; 1 where the entry is missing or no such number."""
    number = number_of(value)
    return int(number) if number is not None and number in range(1, 9) else 1
