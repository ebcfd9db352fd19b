"""Maps of depth read back with unit, quantity and camera; OpenEXR files as its own library writes them."""

import json

import cv2
import numpy as np
import pytest

from stereo3d.errors import StereoError
from stereo3d.io import write_confidence, write_depth
from stereo3d.io.read_depth import read_depth

CAMERA = json.dumps({"K": [[50.0, 0, 19.5], [0, 50, 14.5], [0, 0, 1]], "size": [40, 30], "dist": [0.1]})


@pytest.fixture
def depth():
    values = np.linspace(1, 7.3, 1200).reshape(30, 40).astype(np.float32)
    values[3:6, 7:9] = np.nan
    return values


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF", ".exr", ".npy"])
@pytest.mark.parametrize("unit, scale", [("m", 1), ("baseline", 1), ("mm", 1000)])
def test_what_is_written_is_read(tmp_path, depth, suffix, unit, scale):
    facts = write_depth(tmp_path / f"d{suffix}", depth * scale, unit, "depth along the axis", camera=CAMERA)
    found = read_depth(tmp_path / f"d{suffix}")
    assert np.array_equal(np.isnan(found.values), np.isnan(depth))
    step = facts["scale"] if suffix == ".png" else 1e-9 * scale
    assert np.nanmax(np.abs(found.values - depth * scale)) <= 0.501 * step + 1e-6 * scale
    if suffix == ".npy":
        assert (found.what, found.unit, found.camera) == ("", "", "")
    else:
        assert (found.what, found.unit) == ("depth along the axis", unit) and json.loads(found.camera) == json.loads(
            CAMERA
        )


def test_maps_of_others(tmp_path, depth):
    """16 bits without a scale are read as they are stored; eight bits are a map too, 0 unknown."""
    counts = np.nan_to_num(1000 * depth).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "d.png"), counts)
    found = read_depth(tmp_path / "d.png")
    assert np.array_equal(np.nan_to_num(found.values), counts) and found.unit == "" and np.isnan(found.values[4, 8])
    write_confidence(tmp_path / "c.png", np.full((4, 5), 0.2))
    assert (read_depth(tmp_path / "c.png").values == 51).all()


@pytest.mark.parametrize("compression", ["NO_COMPRESSION", "ZIPS_COMPRESSION", "ZIP_COMPRESSION"])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.uint32])
def test_exr_files_of_openexr(tmp_path, depth, compression, kind):
    OpenEXR = pytest.importorskip("OpenEXR")
    values = np.nan_to_num(depth * 10).astype(kind)
    channels = {"A": np.full(depth.shape, 0.5, np.float16), "Z": values, "zz": values + kind(1)}
    header = {
        "compression": getattr(OpenEXR, compression),
        "type": OpenEXR.scanlineimage,
        "comments": "distance; unit: ft; nan",
    }
    OpenEXR.File(header, channels).write(str(tmp_path / "d.exr"))
    found = read_depth(tmp_path / "d.exr")
    assert np.array_equal(found.values, values.astype(np.float32))
    assert (found.what, found.unit) == ("distance", "ft")


def test_what_is_no_map_is_refused(tmp_path, depth):
    write_depth(tmp_path / "d.exr", depth, "m")
    exr = (tmp_path / "d.exr").read_bytes()
    piz = exr.replace(b"compression\0compression\0\1\0\0\0\3", b"compression\0compression\0\1\0\0\0\4")
    assert piz != exr
    cv2.imwrite(str(tmp_path / "photo.png"), np.arange(300, dtype=np.uint8).reshape(10, 10, 3))
    files = {"a.exr": exr[:200], "b.exr": b"hello", "c.exr": piz, "e.exr": exr[: len(exr) // 2], "photo.png": None}
    for name, data in files.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(StereoError) as caught:
            read_depth(tmp_path / name)
        assert caught.value.code == "file_unreadable", name
    with pytest.raises(StereoError, match="save it uncompressed or as ZIP"):
        read_depth(tmp_path / "c.exr")
