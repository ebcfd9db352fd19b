"""JPEG files that hold more than one picture (MPO and kin), and what their segments state about a stereo pair."""

import struct
from dataclasses import dataclass

MAX_PICTURES = 64  # in one file
MIN_BASELINE_MM, MAX_BASELINE_MM = 5.0, 500.0  # cameras that know no baseline write 0 or 1 m
_TAG_BASELINE = 0xB206  # CIPA DC-007, BaselineLength, metres
_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # frame headers; the others define tables
_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length


@dataclass(frozen=True)
class JpegPicture:
    """One complete JPEG picture inside a file.

    Attributes
    ----------
    start, end : int
        Its first byte, and the one behind its last.
    size : (width, height)
        px.
    components : int
        3 of a colour picture; 1 of grey ones: a depth or gain map beside the photo.
    baseline_mm : float, optional
        Distance of its camera from that of the base picture, as CIPA DC-007 states it.
    layout : str, optional
        "sbs", "sbs-half", "tb" or "tb-half" where the file states that it holds two views (JPS).
    """

    start: int
    end: int
    size: tuple[int, int]
    components: int
    baseline_mm: float | None = None
    layout: str | None = None


def pictures_in(data: bytes) -> list[JpegPicture]:
    """Return the complete JPEG pictures that lie one after the other; thumbnails inside of segments are left out."""
    found: list[JpegPicture] = []
    at = data.find(b"\xff\xd8\xff")
    while at >= 0 and len(found) < MAX_PICTURES:
        picture = _walk(data, at)
        if picture is None:
            if not found:  # the file is truncated: what follows may lie inside of its first picture
                return []
            at = data.find(b"\xff\xd8\xff", at + 2)
            continue
        found.append(picture)
        at = data.find(b"\xff\xd8\xff", picture.end)
    return found


def breaks_off(data: bytes, picture: JpegPicture) -> bool:
    """Return whether a further picture begins right behind this one, zeros aside, and does not end."""
    rest = data[picture.end :].lstrip(b"\0")
    return rest[:3] == b"\xff\xd8\xff" and _walk(rest, 0) is None


def _walk(data: bytes, start: int) -> JpegPicture | None:
    """The picture whose SOI marker is at `start`; None where its end, or its size, is missing."""
    at, size, components, baseline, layout = start + 2, None, 0, None, None
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _ALONE:
            at += 2
            continue
        if marker == 0xD9:
            break
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if length < 2:
            return None
        if marker in _SOF and len(body) >= 6:
            height, width, components = struct.unpack_from(">HHB", body, 1)
            size = (width, height)
        elif marker == 0xE2 and body[:4] == b"MPF\0":
            baseline = baseline or _baseline(body[4:])
        elif marker == 0xE3 and body[:8] == b"_JPSJPS_":
            layout = _jps_layout(body[8:])
        at += 2 + length
        if marker == 0xDA:
            at = _end_of_scan(data, at)
            if at < 0:
                return None
    if size is None or not all(size) or data[at : at + 2] != b"\xff\xd9":
        return None
    return JpegPicture(start, at + 2, size, components, baseline, layout)


def _end_of_scan(data: bytes, at: int) -> int:
    """The next marker behind the coded bytes of a scan, in which FF is followed by 00 or a restart marker; -1: none."""
    while (at := data.find(b"\xff", at)) >= 0:
        following = data[at + 1] if at + 1 < len(data) else 0xD9
        if following != 0 and not 0xD0 <= following <= 0xD7 and following != 0xFF:
            return at if at + 1 < len(data) else -1
        at += 1 if following == 0xFF else 2
    return -1


def _baseline(tiff: bytes) -> float | None:
    """BaselineLength of an MPF segment in mm; None where it is missing or no camera's.

    The segment holds a TIFF header and two directories: the index of the file, and the attributes of this picture.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return None
    try:
        (offset,) = struct.unpack_from(order + "I", tiff, 4)
        for _ in range(2):
            (count,) = struct.unpack_from(order + "H", tiff, offset)
            for k in range(min(count, 100)):
                tag, kind, number, value = struct.unpack_from(order + "HHII", tiff, offset + 2 + 12 * k)
                if tag == _TAG_BASELINE and kind in (5, 10) and number == 1:
                    top, bottom = struct.unpack_from(order + "II", tiff, value)
                    millimetres = 1000 * top / bottom if bottom else 0.0
                    return millimetres if MIN_BASELINE_MM <= millimetres <= MAX_BASELINE_MM else None
            (offset,) = struct.unpack_from(order + "I", tiff, offset + 2 + 12 * count)
            if not offset:
                return None
    except struct.error:
        return None
    return None


def _jps_layout(content: bytes) -> str | None:
    """The layout that the stereoscopic descriptor of a JPS file states; None where it holds one view.

    Content: two bytes of length, then separation, flags (1: half height, 2: half width, 4: left first), layout (2: side
    by side, 3: over and under), media type (1: stereo).
    """
    if len(content) < 6 or content[5] != 1:
        return None
    flags, layout = content[3], {2: "sbs", 3: "tb"}.get(content[4])
    if layout is None:
        return None
    return layout + "-half" * bool(flags & (2 if layout == "sbs" else 1))
