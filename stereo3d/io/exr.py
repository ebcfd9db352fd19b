"""OpenEXR: one float channel, compressed without loss."""

import struct
import zlib

import numpy as np

MAGIC, VERSION = 20000630, 2  # a single part of scan lines
FLOAT = 2  # type of the pixels
ZIP, ZIP_ROWS = 3, 16  # compression in blocks of 16 rows


def exr(values: np.ndarray, channel: str, comments: str) -> bytes:
    """Return a map (H, W) float32 as an OpenEXR file.

    Parameters
    ----------
    values : (H, W) float32
        NaN stays NaN.
    channel : str
        Its name: "Z" for depth.
    comments : str
        Text of the header.

    References
    ----------
    OpenEXR File Layout, Academy Software Foundation: header, offset table, blocks of rows.
    """
    height, width = values.shape
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    header = {
        "channels": ("chlist", channel.encode() + struct.pack("<xiB3xiix", FLOAT, 0, 1, 1)),
        "comments": ("string", comments.encode()),
        "compression": ("compression", bytes([ZIP])),
        "dataWindow": ("box2i", window),
        "displayWindow": ("box2i", window),
        "lineOrder": ("lineOrder", b"\0"),
        "pixelAspectRatio": ("float", struct.pack("<f", 1)),
        "screenWindowCenter": ("v2f", struct.pack("<2f", 0, 0)),
        "screenWindowWidth": ("float", struct.pack("<f", 1)),
    }
    head = struct.pack("<2i", MAGIC, VERSION)
    for name, (kind, value) in header.items():
        head += f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value
    head += b"\0"
    rows = values.astype("<f4")
    blocks = [_block(rows[top : top + ZIP_ROWS].tobytes(), top) for top in range(0, height, ZIP_ROWS)]
    first = len(head) + 8 * len(blocks)
    starts = first + np.cumsum([0, *map(len, blocks[:-1])]) if blocks else np.zeros(0)
    return head + starts.astype("<u8").tobytes() + b"".join(blocks)


def _block(data: bytes, top: int) -> bytes:
    """Rows from `top` on: first their even bytes, then the odd ones, as differences to the byte before, deflated."""
    order = np.frombuffer(data, np.uint8)
    order = np.concatenate([order[::2], order[1::2]])
    steps = order.copy()
    steps[1:] -= order[:-1] - np.uint8(128)
    packed = zlib.compress(steps.tobytes())
    stored = min(packed, data, key=len)  # what does not shrink is stored as it is
    return struct.pack("<2i", top, len(stored)) + stored
