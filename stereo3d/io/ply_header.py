"""The header of a PLY file, checked against the file's size before anything is allocated."""

from typing import BinaryIO

MAX_HEADER = 65536  # bytes
MAX_PROPERTIES = 200  # of an element
MAX_ELEMENTS = 20
_BYTES = {"char": 1, "uchar": 1, "short": 2, "ushort": 2, "int": 4, "uint": 4, "float": 4, "double": 8}
_BYTES |= {f"{kind}{bits}": bits // 8 for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)}


def check_ply(file: BinaryIO, size: int) -> None:
    """Raise ValueError for a header of another form, or one that states more elements than the file has bytes for.

    Parameters
    ----------
    file : binary file
        Left at its start.
    size : int
        Its bytes.
    """
    head = file.read(MAX_HEADER)
    file.seek(0)
    text, found, _ = head.partition(b"end_header")
    if not found or not head.startswith(b"ply"):
        raise ValueError("no PLY header")
    ascii_form = b"ascii" in text[:200]
    needed, elements, count, properties = 0, 0, -1, 0
    for line in text.decode("utf-8", "replace").splitlines()[1:]:
        words = line.split()
        if words[:1] == ["element"] and len(words) == 3:
            elements, properties, count = elements + 1, 0, int(words[2])
            if count < 0 or elements > MAX_ELEMENTS:
                raise ValueError(f"{elements} elements, the last of {count} entries")
        elif words[:1] == ["property"] and len(words) in (3, 5):
            properties += 1
            if count < 0 or properties > MAX_PROPERTIES:
                raise ValueError(f"a header with {properties} properties of an element")
            kind = words[2] if words[1] == "list" else words[1]  # of a list at least its length is there
            needed += count * (1 if ascii_form else _BYTES.get(kind, 1))
    if needed > size:
        raise ValueError(f"its elements need {needed} bytes, the file has {size}")
