"""Write a spatial HEIC as the tests need it: two pictures, an entity group `ster`, camera properties of both items."""

import struct
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image


def box(kind: bytes, content: bytes) -> bytes:
    """A box: size, kind, content."""
    return struct.pack(">I", 8 + len(content)) + kind + content


def write_spatial(
    path: Path,
    pictures: list[np.ndarray],
    pair: tuple[int, int],
    *,
    focal: float | None = None,
    baseline_um: int | None = None,
    model: str | None = None,
) -> None:
    """Write pictures (H, W, 3) as a HEIC whose items number `pair` (from 0) are a stereo pair, left first.

    The container's own writer makes the pictures; this adds the group, and `cmin` and `cmex` to the pair, and shifts
    the places of the coded pictures by what was added.
    """
    exif = Image.Exif()
    if model:
        exif[0x010F], exif[0x0110] = "Apple", model
    pillow_heif.register_heif_opener()
    first, *others = (Image.fromarray(picture) for picture in pictures)
    first.save(path, "HEIF", save_all=True, append_images=others, quality=95, exif=exif.tobytes())
    path.write_bytes(_with_group(path.read_bytes(), pair, pictures[0].shape, focal, baseline_um))


def _with_group(data, pair, shape, focal, baseline_um) -> bytes:
    top = _children(data, 0, len(data))
    start, end = next((a, b) for kind, a, b in top if kind == b"meta")
    parts = _children(data, start + 12, end)
    items = _picture_items(data, parts)
    chosen = [items[k] for k in pair]
    added, rebuilt = 0, b""
    for kind, a, b in parts:
        part = data[a:b]
        if kind == b"iprp":
            part = _iprp(data, a, b, chosen, shape, focal, baseline_um)
            added += len(part) - (b - a)
        rebuilt += part
    grpl = box(b"grpl", box(b"ster", struct.pack(">IIIII", 0, 9999, 2, *chosen)))
    added += len(grpl)
    meta = box(b"meta", data[start + 8 : start + 12] + _shift_iloc(rebuilt, added) + grpl)
    return data[:start] + meta + data[end:]


def _children(data: bytes, at: int, end: int) -> list[tuple[bytes, int, int]]:
    found = []
    while at + 8 <= end:
        size = int.from_bytes(data[at : at + 4], "big") or end - at
        found.append((data[at + 4 : at + 8], at, at + size))
        at += size
    return found


def _picture_items(data: bytes, parts) -> list[int]:
    """Numbers of the coded pictures, in the order of the file."""
    a, b = next((a, b) for kind, a, b in parts if kind == b"iinf")
    found = []
    for kind, c, _ in _children(data, a + 14, b):
        assert kind == b"infe"
        number, _protection, form = struct.unpack_from(">HH4s", data, c + 12)
        if form in (b"hvc1", b"av01", b"grid"):
            found.append(number)
    return found


def _iprp(data: bytes, a: int, b: int, chosen, shape, focal, baseline_um) -> bytes:
    """The properties with `cmin` for both, and `cmex` for the second, of the chosen items."""
    height, width = shape[:2]
    children = _children(data, a + 8, b)
    (_, c, d), (_, e, f) = children[0], children[1]
    count = len(_children(data, c + 8, d))
    extra, numbers = b"", {item: [] for item in chosen}
    if focal is not None:  # 1 / 2^16 of the width, as the property counts
        unit = 1 << 16
        values = [round(unit * v) for v in (focal / width, 0.5, 0.5)]
        extra += box(b"cmin", bytes([0, 0, 16, 0]) + struct.pack(">iii", *values))
        count += 1
        for item in chosen:
            numbers[item].append(count)
    if baseline_um is not None:
        extra += box(b"cmex", bytes([0, 0, 0, 1]) + struct.pack(">i", baseline_um))
        count += 1
        numbers[chosen[1]].append(count)
    ipma = data[e + 8 : f]
    assert ipma[0] == 0 and not ipma[3] & 1
    (entries,) = struct.unpack_from(">I", ipma, 4)
    at, rebuilt = 8, ipma[:8]
    for _ in range(entries):
        item, number = struct.unpack_from(">HB", ipma, at)
        more = bytes(numbers.get(item, []))
        rebuilt += struct.pack(">HB", item, number + len(more)) + ipma[at + 3 : at + 3 + number] + more
        at += 3 + number
    return box(b"iprp", box(b"ipco", data[c + 8 : d] + extra) + box(b"ipma", rebuilt))


def _shift_iloc(parts: bytes, added: int) -> bytes:
    """The boxes with every place in the file moved by `added` bytes."""
    out = bytearray(parts)
    a = next(a for kind, a, _ in _children(parts, 0, len(parts)) if kind == b"iloc")
    version, sizes, more = parts[a + 8], parts[a + 12], parts[a + 13]
    offset_size, length_size, base_size, index_size = sizes >> 4, sizes & 15, more >> 4, more & 15 if version else 0
    at = a + 14
    count = int.from_bytes(parts[at : at + (2 if version < 2 else 4)], "big")
    at += 2 if version < 2 else 4
    for _ in range(count):
        at += 2 if version < 2 else 4
        method = 0
        if version:
            method = parts[at + 1] & 15
            at += 2
        at += 2
        at += base_size
        extents = int.from_bytes(parts[at : at + 2], "big")
        at += 2
        for _ in range(extents):
            at += index_size
            if method == 0:
                place = int.from_bytes(parts[at : at + offset_size], "big") + added
                out[at : at + offset_size] = place.to_bytes(offset_size, "big")
            at += offset_size + length_size
    return bytes(out)
