"""Read PCD, the format of the Point Cloud Library: text, binary, or binary compressed by LZF."""

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..foreign import check_memory

MAX_HEADER = 8192  # bytes
MAX_FIELDS = 100
MEMORY_PER_BYTE = 40  # bytes of memory for each of text
MAX_RATIO = 300  # LZF makes at most 264 bytes of three


def read_pcd(file: BinaryIO, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return points (N, 3) in the file's axes, and RGB (N, 3) uint8 where it has a field rgb or rgba.

    Raises
    ------
    ValueError
        For what the format does not allow.

    References
    ----------
    Rusu and Cousins, 3D is here: Point Cloud Library (PCL), ICRA 2011; its documentation of the PCD file format.
    """
    size = os.fstat(file.fileno()).st_size
    head = file.read(MAX_HEADER)
    facts, start = _header(head)
    dtype, count = _record(facts)
    form = facts["DATA"][0].lower()
    if form == "ascii":
        check_memory(f"{path}: a point cloud of {size / 1e6:.0f} MB", MEMORY_PER_BYTE * size)
        file.seek(start)
        table = _table_of_text(file.read(size).decode("ascii", "replace"), dtype)
    elif form in ("binary", "binary_compressed"):
        file.seek(start)
        data = file.read(size)
        if form == "binary":
            if count * dtype.itemsize > len(data):
                raise ValueError(f"{count} points of {dtype.itemsize} bytes in {len(data)} bytes")
            table = np.frombuffer(data, dtype, count)
        else:
            check_memory(f"{path}: {count} points", 3 * count * dtype.itemsize)
            table = _table_of_fields(data, dtype, count)
    else:
        raise ValueError(f"its data are {form[:20]}")
    if any(name not in (dtype.names or ()) for name in "xyz"):
        raise ValueError(f"its fields are {' '.join(dtype.names or ())[:100]}")
    points = np.column_stack([table[name].reshape(len(table), -1)[:, 0].astype(float) for name in "xyz"])
    return points, _colours(table)


def _header(head: bytes) -> tuple[dict[str, list[str]], int]:
    """The lines of the header by their first word, and where the data begin."""
    facts: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in facts:
        end = head.find(b"\n", at)
        if end < 0 or len(facts) > MAX_FIELDS:
            raise ValueError("no PCD header")
        words = head[at:end].decode("ascii", "replace").split()
        at = end + 1
        if words and not words[0].startswith("#"):
            facts[words[0].upper()] = words[1:]
    if not facts["DATA"]:
        raise ValueError("no PCD header")
    return facts, at


def _record(facts: dict[str, list[str]]) -> tuple[np.dtype, int]:
    """The record of a point, and the number of points."""
    names, sizes = facts["FIELDS"], [int(word) for word in facts["SIZE"]]
    kinds = [word.lower() for word in facts["TYPE"]]
    counts = [int(word) for word in facts.get("COUNT", ["1"] * len(names))]
    if not 0 < len(names) <= MAX_FIELDS or not len(names) == len(sizes) == len(kinds) == len(counts):
        raise ValueError(f"{len(names)} fields, {len(sizes)} sizes, {len(kinds)} types, {len(counts)} counts")
    fields = []
    for k, (name, size, kind, many) in enumerate(zip(names, sizes, kinds, counts, strict=True)):
        known = size in (4, 8) if kind == "f" else kind in "iu" and size in (1, 2, 4, 8)
        if not known or not 0 < many <= 10_000:
            raise ValueError(f"a field {name} of type {kind}{size}, {many} times")
        unique = name if name not in names[:k] and name != "_" else f"{name}.{k}"  # PCL pads with fields named _
        fields.append((unique, f"<{kind}{size}", (many,)))
    count = int(facts["POINTS"][0]) if "POINTS" in facts else int(facts["WIDTH"][0]) * int(facts["HEIGHT"][0])
    if not 0 <= count < 2**40:
        raise ValueError(f"{count} points")
    return np.dtype(fields), count


def _table_of_text(text: str, dtype: np.dtype) -> np.ndarray:
    rows = np.loadtxt(text.splitlines(), ndmin=2)
    columns = sum(int(np.prod(dtype[name].shape)) for name in dtype.names or ())
    if rows.shape[1] != columns:
        raise ValueError(f"{rows.shape[1]} numbers a point, its header states {columns}")
    table, at = np.zeros(len(rows), dtype), 0
    for name in dtype.names or ():
        many = dtype[name].shape[0]
        with np.errstate(invalid="ignore", over="ignore"):
            table[name] = rows[:, at : at + many]
        at += many
    return table


def _table_of_fields(data: bytes, dtype: np.dtype, count: int) -> np.ndarray:
    """Of data compressed by LZF: all values of the first field, then all of the second, and so on."""
    packed, plain = (int.from_bytes(data[k : k + 4], "little") for k in (0, 4))
    if packed > len(data) - 8 or plain < count * dtype.itemsize or plain > MAX_RATIO * max(packed, 1):
        raise ValueError(f"{packed} bytes for {plain} in {len(data)} bytes")
    values = unpack_lzf(data[8 : 8 + packed], plain)
    table, at = np.zeros(count, dtype), 0
    for name in dtype.names or ():
        kind = dtype[name]
        table[name] = np.frombuffer(values, kind.base, count * kind.shape[0], at).reshape(count, -1)
        at += count * kind.itemsize
    return table


def unpack_lzf(data: bytes, size: int) -> bytes:
    """Return the bytes that LZF has packed.

    Parameters
    ----------
    data : bytes
    size : int
        Bytes that come out.

    Raises
    ------
    ValueError
        Where others come out, or a reference leads ahead of the start.

    References
    ----------
    Lehmann, LibLZF, 2000: a byte below 32 counts literal bytes; else its upper three bits are a length and the rest,
    with the next byte, is how far back the copy begins.
    """
    out, at, end = bytearray(), 0, len(data)
    while at < end:
        control = data[at]
        at += 1
        if control < 32:
            out += data[at : at + control + 1]
            at += control + 1
        else:
            length = control >> 5
            if length == 7:
                length += data[at]
                at += 1
            start = len(out) - ((control & 31) << 8) - data[at] - 1
            at += 1
            length += 2
            if start < 0:
                raise ValueError("a reference ahead of its start")
            piece = bytes(out[start : start + length])
            while len(piece) < length:  # it overlaps its own end
                piece += piece
            out += piece[:length]
        if len(out) > size:
            break
    if len(out) != size:
        raise ValueError(f"{len(out)} bytes instead of {size}")
    return bytes(out)


def _colours(table: np.ndarray) -> np.ndarray | None:
    """RGB of the field rgb or rgba, whose bits are 0xRRGGBB."""
    name = next((name for name in ("rgb", "rgba") if name in (table.dtype.names or ())), None)
    if name is None or table[name].dtype.itemsize != 4:
        return None
    bits = np.ascontiguousarray(table[name].reshape(len(table), -1)[:, 0]).view("<u4")
    return np.column_stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255]).astype(np.uint8)
