"""Where a photo was taken, as EXIF and the XMP of DJI's drones state it."""

from collections.abc import Mapping
from typing import Any

from ..records import Position
from .exif import number_of, xmp_number

GPS_IFD = 0x8825
LATITUDE_REF, LATITUDE, LONGITUDE_REF, LONGITUDE, ALTITUDE_REF, ALTITUDE, POSITIONING_ERROR = 1, 2, 3, 4, 5, 6, 31
RTK_SINGLE, RTK_FIXED = 16, 50  # drone-dji:RtkFlag: a position without corrections; ambiguities solved
RTK_FIXED_SIGMA = (0.02, 0.02, 0.04)  # m east, north, up, where a fixed position states none
UP_FACTOR = 1.5  # height over horizontal standard deviation of satellite positions


def read_position(gps: Mapping[int, Any], xmp: str) -> Position | None:
    """Return the position that a photo's file states; None where it states none that is valid.

    Parameters
    ----------
    gps : mapping
        EXIF's GPS directory.
    xmp : str
        The XMP packet, or "".
    """
    return _dji_position(xmp) or _exif_position(gps)


def _exif_position(gps: Mapping[int, Any]) -> Position | None:
    latitude = _angle(gps.get(LATITUDE), gps.get(LATITUDE_REF), "NS")
    longitude = _angle(gps.get(LONGITUDE), gps.get(LONGITUDE_REF), "EW")
    if latitude is None or longitude is None or not _on_earth(latitude, longitude):
        return None
    altitude = number_of(gps.get(ALTITUDE))
    if altitude is not None and gps.get(ALTITUDE_REF) in (1, b"\x01", "1"):  # below sea level
        altitude = -altitude
    error = number_of(gps.get(POSITIONING_ERROR))
    sigma = (error, error, UP_FACTOR * error) if error is not None and error > 0 else None
    return Position(latitude, longitude, altitude, sigma, "GPS")


def _dji_position(xmp: str) -> Position | None:
    """The position in the XMP names of DJI: more digits than its EXIF, the height over the start, RTK's errors."""
    if "drone-dji" not in xmp and "DJI" not in xmp:
        return None
    latitude = xmp_number(xmp, "GpsLatitude")
    longitude = xmp_number(xmp, "GpsLongitude")
    if longitude is None:
        longitude = xmp_number(xmp, "GpsLongtitude")  # so written by older drones
    if latitude is None or longitude is None or not _on_earth(latitude, longitude):
        return None
    altitude, relative = xmp_number(xmp, "AbsoluteAltitude"), xmp_number(xmp, "RelativeAltitude")
    flag = xmp_number(xmp, "RtkFlag") or 0
    stated = tuple(xmp_number(xmp, f"RtkStd{axis}") for axis in ("Lon", "Lat", "Hgt"))
    sigma, source = None, "GPS"
    if flag >= RTK_SINGLE and all(value is not None and value > 0 for value in stated):
        sigma = tuple(float(value or 0) for value in stated)
        source = "RTK" if flag > RTK_SINGLE else "GPS"
    elif flag >= RTK_FIXED:
        sigma, source = RTK_FIXED_SIGMA, "RTK"
    return Position(latitude, longitude, altitude, sigma, source, relative)  # pyright: ignore[reportArgumentType]


def _angle(parts: Any, reference: Any, signs: str) -> float | None:
    """Degrees from degrees, minutes and seconds, negative for the second letter of `signs`."""
    try:
        degrees, minutes, seconds = (number_of(part) for part in parts)
    except (TypeError, ValueError):
        return None
    letter = reference.decode("ascii", "replace") if isinstance(reference, bytes) else str(reference)
    letter = letter.strip("\0 ").upper()[:1]
    if degrees is None or minutes is None or seconds is None or not letter or letter not in signs:
        return None
    if min(degrees, minutes, seconds) < 0:
        return None
    return (degrees + minutes / 60 + seconds / 3600) * (1 if letter == signs[0] else -1)


def _on_earth(latitude: float, longitude: float) -> bool:
    """Whether it is a place; 0, 0 is what cameras without reception write."""
    return abs(latitude) <= 90 and abs(longitude) <= 180 and (latitude, longitude) != (0, 0)
