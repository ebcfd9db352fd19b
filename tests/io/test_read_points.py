"""Point clouds read back: files of ours, and files that other libraries write, against the points they were made of."""

import struct

import numpy as np
import open3d
import pytest
import trimesh

from stereo3d.errors import StereoError
from stereo3d.io import write_points
from stereo3d.io.read_pcd import unpack_lzf
from stereo3d.io.read_points import POINT_READERS, holds_faces, read_points
from stereo3d.io.style import AXES

FILE = np.array([1, -1, -1])  # from camera 1 to x right, y up, z towards the viewer


@pytest.fixture
def cloud():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 3)) + [0, 0, 4], rng.integers(0, 256, (60, 3)).astype(np.uint8)


def lazrs():
    pytest.importorskip("laspy"), pytest.importorskip("lazrs")


FORMS = [(".xyz", "y-up"), (".las", "z-up"), (".laz", "z-up")]
FORMS += [(suffix, axes) for suffix in (".ply", ".pcd") for axes in AXES]


@pytest.mark.parametrize("suffix, axes", FORMS)
def test_what_is_written_is_read(tmp_path, cloud, suffix, axes):
    """In the frame of camera 1, whatever the axes; .xyz states none, and is read as it is written by default."""
    if suffix in (".las", ".laz"):
        lazrs()
    points, colours = cloud
    assert {name for name, _ in FORMS} == set(POINT_READERS)
    places = {}
    if suffix != ".xyz":
        places = {"down": np.array([0.1, 0.9, 0.2]), "origin": np.array([0.0, 1, 3])}
    read = read_points(write_points(tmp_path / f"c{suffix}", points, colours, unit="m", axes=axes, **places))
    assert np.allclose(read.points, points, atol=1e-5) and np.array_equal(read.colours, colours)
    assert read.unit == ("" if suffix == ".xyz" else "m")
    bare = read_points(write_points(tmp_path / f"b{suffix}", points, axes=axes))
    assert np.allclose(bare.points, points, atol=1e-5) and bare.colours is None


def test_laz_in_laspy(tmp_path, cloud):
    """Compressed, and the same as the .las to the last bit."""
    lazrs()
    import laspy

    points, colours = (np.tile(values, (50, 1)) for values in cloud)
    las, laz = (write_points(tmp_path / f"c.{kind}", points, colours, unit="mm") for kind in ("las", "laz"))
    one, two = laspy.read(las), laspy.read(laz)
    assert laz.stat().st_size < 0.7 * las.stat().st_size
    assert np.array_equal(one.points.array, two.points.array) and str(two.header.version) == "1.2"
    assert np.allclose(two.xyz, points @ AXES["z-up"].T / 1000, atol=1e-8)
    assert (np.column_stack([two.red, two.green, two.blue]) == colours * np.uint16(257)).all()
    empty = write_points(tmp_path / "none.laz", np.full((3, 3), np.nan))
    assert laspy.read(empty).header.point_count == 0


def test_lidar_far_from_its_origin(tmp_path, cloud):
    """Coordinates of a map's grid, in format 7 of LAS 1.4, with colours of 8 bits, by laspy."""
    lazrs()
    import laspy

    header = laspy.LasHeader(point_format=7, version="1.4")
    header.offsets, header.scales = [500_000, 5_000_000, 0], [0.001] * 3
    las = laspy.LasData(header)
    place = np.array([500_000.0, 5_000_000, 100])
    las.x, las.y, las.z = (cloud[0] + place).T
    las.red, las.green, las.blue = cloud[1].T
    las.write(tmp_path / "c.laz")
    read = read_points(tmp_path / "c.laz")
    assert np.allclose(read.points @ AXES["z-up"].T - place, cloud[0], atol=0.001)
    assert np.array_equal(read.colours, cloud[1]) and read.unit == ""


@pytest.mark.parametrize("how", [{}, {"write_ascii": True}, {"compressed": True}], ids=str)
@pytest.mark.parametrize("suffix", ["pcd", "ply"])
def test_clouds_of_open3d(tmp_path, cloud, suffix, how):
    """PCD as text, binary and compressed by LZF; repeated points make LZF refer back."""
    points = np.vstack([cloud[0], np.zeros((40, 3)), cloud[0]])
    colours = np.vstack([cloud[1], np.full((40, 3), 7), cloud[1]]) / 255
    made = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points * FILE))
    made.colors = open3d.utility.Vector3dVector(colours)
    path = tmp_path / f"c.{suffix}"
    assert open3d.io.write_point_cloud(str(path), made, **how)
    read = read_points(path)
    assert np.allclose(read.points, points, atol=1e-5)
    assert np.abs(read.colours - 255.0 * colours).max() <= 1


def test_lzf_by_hand():
    assert unpack_lzf(b"\x02abc" + bytes([0b001_00000, 2]) + b"\x00!", 7) == b"abcabc!"
    assert unpack_lzf(b"\x00x" + bytes([0b111_00000, 3, 0]), 13) == b"x" * 13  # 3 + 7 + 2 bytes that overlap
    for data, size in ((bytes([0b001_00000, 0]), 3), (b"\x00x", 2), (b"\x01xy", 1)):
        with pytest.raises(ValueError):
            unpack_lzf(data, size)


@pytest.mark.parametrize(
    "text, colours",
    [
        ("1 2 3\n4 5 6\n", None),
        ("# made by hand\n1,2,3,10,20,30\n4,5,6,40,50,60\n", [[10, 20, 30], [40, 50, 60]]),
        ("2\n1 2 3 0.5 10 20 30\n4 5 6 0.1 40 50 60\n", [[10, 20, 30], [40, 50, 60]]),  # a count, and intensities
        ("x;y;z;r;g;b\n1;2;3;0;0.2;1\n4;5;6;1;0;0.6\n", [[0, 51, 255], [255, 0, 153]]),
        ("1 2 3 0 -1 0\n4 5 6 1 0 0\n", None),  # normals
    ],
)
def test_text_of_other_programs(tmp_path, text, colours):
    (tmp_path / "c.xyz").write_text(text)
    read = read_points(tmp_path / "c.xyz")
    assert np.array_equal(read.points * FILE, [[1, 2, 3], [4, 5, 6]])
    assert (read.colours is None) if colours is None else np.array_equal(read.colours, colours)


def test_a_mesh_is_told_from_a_cloud(tmp_path, cloud):
    assert not holds_faces(write_points(tmp_path / "c.ply", cloud[0]))
    trimesh.creation.box().export(tmp_path / "m.ply")
    assert holds_faces(tmp_path / "m.ply")


def test_what_is_no_cloud_is_refused(tmp_path, cloud):
    pcd = write_points(tmp_path / "c.pcd", *cloud).read_bytes()
    las = write_points(tmp_path / "c.las", *cloud).read_bytes()
    files = {
        "a.e57": (b"x", "unknown_format"),
        "short.pcd": (pcd[:-5], "file_unreadable"),
        "many.pcd": (pcd.replace(b"POINTS 60", b"POINTS 999999999"), "file_unreadable"),
        "kind.pcd": (pcd.replace(b"TYPE F", b"TYPE Q"), "file_unreadable"),
        "words.pcd": (b"hello\n", "file_unreadable"),
        "words.xyz": (b"hello\n", "file_unreadable"),
        "two.xyz": (b"1 2\n3 4\n", "file_unreadable"),
        "nan.xyz": (b"nan 1 2\n", "empty_mesh"),
        "words.ply": (b"hello", "file_unreadable"),
        "missing.ply": (None, "file_missing"),
    }
    if pytest.importorskip("laspy"):
        files["many.las"] = (las[:107] + struct.pack("<I", 10**9) + las[111:], "file_unreadable")
        files["words.laz"] = (b"LASF" + bytes(50), "file_unreadable")
    for name, (data, code) in files.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(StereoError) as caught:
            read_points(tmp_path / name)
        assert caught.value.code == code, name
