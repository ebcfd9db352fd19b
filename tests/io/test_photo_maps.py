"""Depth, normals and confidence as other libraries read them."""

import cv2
import numpy as np
import pytest
from PIL import Image

from stereo3d.errors import StereoError
from stereo3d.io import write_confidence, write_depth, write_normals


def depths(most, shape=(30, 40)):
    depth = np.linspace(most / 5, most, shape[0] * shape[1]).reshape(shape).astype(np.float32)
    depth[3:6, 7:9] = np.nan
    return depth


@pytest.mark.parametrize(
    "unit, most, scale",
    [
        ("mm", 5000, 1),
        ("m", 5, 0.001),
        ("m", 65, 0.001),
        ("m", 66, 0.01),
        ("m", 5000, 0.1),
        ("in", 100, 0.1 / 2.54),
        ("baseline", 60, 1e-3),
        ("baseline", 6.6e5, 100),
        ("cubits", 0.0007, 1e-7 / 5),
    ],
)
def test_a_png_of_depth(tmp_path, unit, most, scale):
    """Whole millimetres where their length is known; else a power of ten of the unit that 16 bits hold."""
    depth = depths(most)
    facts = write_depth(tmp_path / "d.png", depth, unit)
    counts = cv2.imread(str(tmp_path / "d.png"), cv2.IMREAD_UNCHANGED)
    assert counts.dtype == np.uint16 and np.array_equal(counts == 0, np.isnan(depth))
    if unit != "cubits":
        assert facts["scale"] == pytest.approx(scale)
    known = counts > 0
    assert np.abs(counts * facts["scale"] - depth)[known].max() <= 0.5001 * facts["scale"]
    if unit in ("baseline", "cubits"):
        assert counts.max() > 6553  # no coarser than need be
    with Image.open(tmp_path / "d.png") as file:
        assert file.text["Description"] == f"depth; value * {facts['scale']:.9g} = {unit}; 0 = no surface"


def test_depth_as_floats(tmp_path):
    depth = depths(7.3)
    facts = [write_depth(tmp_path / name, depth, "m", "distance") for name in ("d.tif", "d.TIFF", "d.npy")]
    assert all(fact["scale"] == 1 and fact["unit"] == "m" and fact["what"] == "distance" for fact in facts)
    read = cv2.imread(str(tmp_path / "d.tif"), cv2.IMREAD_UNCHANGED)
    with Image.open(tmp_path / "d.TIFF") as file:
        assert file.tag_v2[270] == "distance; unit: m; nan = no surface"
        again = np.asarray(file)
    for values in (read, again, np.load(tmp_path / "d.npy")):
        assert values.dtype == np.float32 and np.array_equal(values, depth, equal_nan=True)


@pytest.mark.parametrize("shape", [(30, 40), (1, 1), (16, 3), (33, 5)])
@pytest.mark.parametrize("kind", ["smooth", "noise"])
def test_depth_as_exr(tmp_path, shape, kind):
    """Blocks of 16 rows, which noise leaves as they are."""
    OpenEXR = pytest.importorskip("OpenEXR")
    bits = np.random.default_rng(0).integers(0, 2**32, shape, dtype=np.uint32)
    depth = np.linspace(1, 2, bits.size).reshape(shape) if kind == "smooth" else bits.view(np.float32)
    depth = depth.astype(np.float32)
    depth[0, 0] = np.nan
    write_depth(tmp_path / "d.exr", depth, "m")
    with OpenEXR.File(str(tmp_path / "d.exr")) as file:
        assert file.header()["comments"] == "depth; unit: m; nan = no surface"
        read = file.channels()["Z"].pixels
    assert read.dtype == np.float32 and np.array_equal(read, depth, equal_nan=True)


def test_normals(tmp_path):
    n = np.array([[[0, 0, -1], [1, 0, 0], [0, 1, 0]], [[0, -0.6, -0.8], [np.nan] * 3, [0, 0, -1]]], np.float32)
    write_normals(tmp_path / "n.png", n)
    rgb = cv2.imread(str(tmp_path / "n.png"))[..., ::-1]
    # the colours that normal maps have: what faces the viewer is light blue, what faces up is green
    expected = [[[128, 128, 255], [255, 128, 128], [128, 0, 128]], [[128, 204, 230], [0, 0, 0], [128, 128, 255]]]
    assert np.array_equal(rgb, expected)
    write_normals(tmp_path / "n.npy", n)
    assert np.array_equal(np.load(tmp_path / "n.npy"), n, equal_nan=True)


def test_confidence(tmp_path):
    write_confidence(tmp_path / "c.png", np.array([[0, 0.5, 1], [np.nan, 0.2, 7]]))
    assert np.array_equal(cv2.imread(str(tmp_path / "c.png"), cv2.IMREAD_UNCHANGED), [[0, 128, 255], [0, 51, 255]])


def test_what_is_no_map_is_refused(tmp_path):
    for write, name in ((write_depth, "a.gif"), (write_normals, "a.tif"), (write_confidence, "a.npy")):
        with pytest.raises(StereoError, match=r"Use \.png") as caught:
            write(tmp_path / name, np.zeros((2, 2)), *(["m"] if write is write_depth else []))
        assert caught.value.code == "unknown_format"
    with pytest.raises(ValueError, match="normals"):
        write_normals(tmp_path / "a.png", np.zeros((2, 2)))
    assert not any(tmp_path.iterdir())
