"""The header of a LAS or LAZ file, checked against the file's size before a reader believes it."""

import struct

SHORTEST = 227  # bytes of the header of LAS 1.2
RECORD, LONG_RECORD = 54, 60  # bytes of the head of a variable length record, of an extended one
PACKED = 0xC0  # bits of the point format that say that points are compressed
POINTS_PER_BYTE = 200  # of a compressed file at most: points that are all alike take some hundredths of a bit each
MAX_PACKED = 1000  # points that a small file may have beyond that
MAX_RECORD = 512  # bytes of a point


def check_las(head: bytes, size: int) -> int:
    """Return the number of points.

    Parameters
    ----------
    head : bytes
        The first 375 bytes or more, as far as there are any.
    size : int
        Bytes of the file.

    Raises
    ------
    ValueError
        For a header of another form, or one that states more than the file has bytes for.

    References
    ----------
    ASPRS, LAS Specification, versions 1.2 and 1.4, public header block.
    """
    if head[:4] != b"LASF" or len(head) < SHORTEST:
        raise ValueError("no LAS header")
    major, minor = head[24:26]
    length, start, records, form, record, count = struct.unpack_from("<HIIBHI", head, 94)
    if major != 1 or minor > 4 or not SHORTEST <= length <= start <= size:
        raise ValueError(
            f"LAS {major}.{minor} with a header of {length} bytes and points from byte {start} of {size} on"
        )
    if records * RECORD > start - length:
        raise ValueError(f"{records} records in the {start - length} bytes ahead of its points")
    if minor == 4:
        if len(head) < 375:
            raise ValueError(f"a header of {len(head)} bytes")
        place, extended, long_count = struct.unpack_from("<QIQ", head, 235)
        if extended and (place > size or extended * LONG_RECORD > size - place):
            raise ValueError(f"{extended} records from byte {place} of {size} on")
        count = max(count, long_count)
    packed = bool(form & PACKED)
    most = MAX_PACKED + POINTS_PER_BYTE * size if packed else (size - start) // max(record, 1)
    if count > most or not 0 < record <= MAX_RECORD:
        raise ValueError(f"{count} points of {record} bytes in {size - start} bytes")
    return count
