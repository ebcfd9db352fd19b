"""Camera raw files: a DNG that the test writes, developed by LibRaw."""

import struct

import numpy as np
import pytest

from stereo3d.errors import StereoError
from stereo3d.images import read_photo

W, H = 96, 64
rawpy = pytest.importorskip("rawpy")


def write_dng(path, rgb: np.ndarray, orientation: int = 1) -> None:
    """Write linear RGB (H, W, 3) in 0..1 as a Bayer pattern of 16 bits, with an sRGB camera and its focal length."""
    h, w = rgb.shape[:2]
    bayer = np.empty((h, w), np.uint16)
    for y, x, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        bayer[y::2, x::2] = np.rint(65535 * rgb[y::2, x::2, channel])
    xyz_to_srgb = [32405, -15371, -4985, -9693, 18760, 416, 556, -2040, 10572]
    exif = [(0x920A, 5, [(57, 10)]), (0xA405, 3, [26])]
    tags = [
        (254, 4, [0]),
        (256, 4, [w]),
        (257, 4, [h]),
        (258, 3, [16]),
        (259, 3, [1]),
        (262, 3, [32803]),
        (271, 2, b"Maker\0"),
        (272, 2, b"Camera\0"),
        (273, 4, [None]),  # place of the pixels
        (274, 3, [orientation]),
        (277, 3, [1]),
        (278, 4, [h]),
        (279, 4, [2 * w * h]),
        (33421, 3, [2, 2]),
        (33422, 1, bytes([0, 1, 1, 2])),
        (34665, 4, [None]),  # place of the EXIF directory
        (50706, 1, bytes([1, 4, 0, 0])),
        (50708, 2, b"Maker Camera\0"),
        (50717, 4, [65535]),
        (50721, 10, [(v, 10000) for v in xyz_to_srgb]),
        (50728, 5, [(1, 1)] * 3),
        (50778, 3, [21]),
    ]
    size = 8 + 2 + 12 * len(tags) + 4 + 4096
    places = {273: size + 4096, 34665: size}
    tags = [(tag, kind, [places[tag]] if values == [None] else values) for tag, kind, values in tags]
    first = _directory(tags, 8).ljust(size - 8, b"\0")
    second = _directory(exif, size).ljust(4096, b"\0")
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + first + second + bayer.astype("<u2").tobytes())


def _directory(tags, at: int) -> bytes:
    """A TIFF directory at a place of the file, with the values that do not fit into it behind it."""
    behind, entries = b"", b""
    start = at + 2 + 12 * len(tags) + 4
    for tag, kind, values in tags:
        if isinstance(values, bytes):
            packed, count = values, len(values)
        elif kind in (5, 10):
            packed, count = b"".join(struct.pack("<ii", *v) for v in values), len(values)
        else:
            packed, count = struct.pack("<" + {3: "H", 4: "I"}[kind] * len(values), *values), len(values)
        if len(packed) > 4:
            place, behind = struct.pack("<I", start + len(behind)), behind + packed + b"\0" * (len(packed) % 2)
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, count) + place
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0) + behind


@pytest.fixture
def colours():
    """Linear colours (H, W, 3): four areas, each of one colour."""
    rgb = np.empty((H, W, 3))
    rgb[: H // 2, : W // 2], rgb[: H // 2, W // 2 :] = [0.5, 0.05, 0.05], [0.05, 0.5, 0.05]
    rgb[H // 2 :, : W // 2], rgb[H // 2 :, W // 2 :] = [0.05, 0.05, 0.5], [0.5, 0.5, 0.5]
    return rgb


def test_a_raw_file_is_developed_with_its_colours_and_its_focal_length(tmp_path, colours):
    path = tmp_path / "a.dng"
    write_dng(path, colours)
    photo = read_photo(path)
    assert photo.size == (W, H)
    centres = photo.pixels[[H // 4, H // 4, 3 * H // 4, 3 * H // 4], [W // 4, 3 * W // 4, W // 4, 3 * W // 4]].astype(
        int
    )
    for channel in range(3):  # each of the first three areas has one bright channel
        others = np.delete(centres[channel], channel)
        assert centres[channel, channel] > 2 * others.max()
    assert np.ptp(centres[3]) < 12 and centres[3].min() > 120  # grey
    assert photo.exif["focal_mm"] == pytest.approx(5.7) and photo.exif["focal_35mm"] == 26


def test_a_raw_file_is_turned_upright(tmp_path, colours):
    path = tmp_path / "a.DNG"
    write_dng(path, colours, orientation=6)
    photo = read_photo(path)
    assert photo.size == (H, W)
    assert photo.exif["orientation"] == 6 and photo.exif["size_stored"] == (W, H)
    assert photo.pixels[W // 4, 3 * H // 4].argmax() == 0  # red, top left as stored, is top right


def test_a_raw_file_beyond_the_budget_is_not_developed(tmp_path, colours):
    path = tmp_path / "a.dng"
    write_dng(path, colours)
    with pytest.raises(StereoError) as caught:
        read_photo(path, max_pixels=W * H - 1)
    assert caught.value.code == "photo_too_large"
    assert read_photo(path, max_pixels=W * H).size == (W, H)


def test_a_damaged_raw_file_is_a_stereo_error(tmp_path, colours):
    path = tmp_path / "a.dng"
    write_dng(path, colours)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 4])
    with pytest.raises(StereoError) as caught:
        read_photo(path)
    assert caught.value.code == "photo_unreadable"


def test_without_rawpy_the_remedy_names_the_extra(tmp_path, colours, monkeypatch):
    path = tmp_path / "a.dng"
    write_dng(path, colours)
    monkeypatch.setitem(__import__("sys").modules, "rawpy", None)
    with pytest.raises(StereoError, match="rawpy") as caught:
        read_photo(path)
    assert caught.value.code == "library_missing" and "stereo3d[raw]" in caught.value.advice
