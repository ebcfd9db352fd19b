"""Cameras from files and from EXIF, against OpenCV's own files and functions and numbers derived by hand."""

import json
import math
import os
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
from examples import tries
from hypothesis import given, settings
from hypothesis import strategies as st

from stereo3d.cameras import camera_for, fit_rig, read_rig, write_camera, write_rig
from stereo3d.cameras.fit import turn_camera, turn_frame, turn_matrix
from stereo3d.cameras.focal import PRIOR_35MM
from stereo3d.cameras.formats import UNKNOWN_SIZE, UNSTATED_UNIT
from stereo3d.cameras.read import READERS
from stereo3d.errors import StereoError
from stereo3d.geometry import project, rotation_from_vector
from stereo3d.geometry.rotations import quaternion_from_rotation
from stereo3d.records import Camera, Photo, Rig

K1 = np.array([[700.0, 0, 322.5], [0, 702.0, 238.25], [0, 0, 1]])
K2 = np.array([[710.0, 0, 318.0], [0, 711.0, 241.5], [0, 0, 1]])
D1 = np.array([-0.2, 0.1, 1e-3, -2e-3, 0.05])
D2 = np.array([0.05, -0.1, 0, 5e-4, 0])
R = rotation_from_vector([0.01, -0.05, 0.02])
T = np.array([-80.25, 1.5, 0.25])
SIZE = (640, 480)


def photo_of(size=(4000, 3000), **exif) -> Photo:
    return Photo(np.broadcast_to(np.uint8(0), (size[1], size[0], 3)), exif)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def assert_rig(rig: Rig, *, dist=True, size=SIZE, pose=True, unit=UNSTATED_UNIT, exact=True) -> None:
    close = np.testing.assert_array_equal if exact else np.testing.assert_allclose
    close(rig.cam1.K, K1)
    close(rig.cam2.K, K2)
    close(rig.cam1.dist, D1 if dist else [])
    close(rig.cam2.dist, D2 if dist else [])
    assert rig.cam1.size == rig.cam2.size == size
    assert rig.cam1.source == rig.cam2.source == "calibration"
    assert rig.posed == pose
    if pose:
        np.testing.assert_allclose(rig.R, R, atol=1e-15)
        close(rig.t, T)
        assert rig.unit == unit


# ------------------------------------------------------------------------------------------ focal length


def test_35mm_equivalent_goes_by_the_diagonal():
    # 3:4:5: the diagonal of 4000 x 3000 is 5000 px, that of 36 x 24 mm is sqrt(1872) mm
    camera = camera_for(photo_of(focal_35mm=26.0))
    assert camera.focal == pytest.approx(26 * 5000 / math.sqrt(1872), rel=1e-12)
    assert camera.source == "exif" and camera.source_detail == "EXIF 35 mm equivalent 26 mm"
    np.testing.assert_array_equal(camera.K[:2, 2], [1999.5, 1499.5])
    assert camera.K[0, 0] == camera.K[1, 1] and camera.size == (4000, 3000) and len(camera.dist) == 0


def test_a_portrait_photo_has_the_focal_length_of_the_landscape_one():
    flat, tall = camera_for(photo_of(focal_35mm=26.0)), camera_for(photo_of((3000, 4000), focal_35mm=26.0))
    assert flat.focal == tall.focal
    np.testing.assert_array_equal(tall.K[:2, 2], [1499.5, 1999.5])


def test_given_values_go_first():
    exif = dict(focal_35mm=26.0, focal_mm=4.0, plane_resolution=500.0)
    camera = camera_for(photo_of(**exif), focal=3210.5)
    assert camera.focal == 3210.5 and camera.source == "given" and "3210.5 px" in camera.source_detail
    camera = camera_for(photo_of(**exif), focal_35mm=50)
    assert camera.focal == pytest.approx(50 * 5000 / math.sqrt(1872)) and "50 mm" in camera.source_detail
    camera = camera_for(photo_of(**exif), fov=90)
    assert camera.focal == pytest.approx(2000) and "90 degrees" in camera.source_detail  # tan 45 = 1 over half of 4000
    assert camera_for(photo_of((3000, 4000)), fov=90).focal == pytest.approx(1500)


@pytest.mark.parametrize(
    "options",
    [
        {"focal": 0},
        {"focal": -5},
        {"focal": math.nan},
        {"focal": math.inf},
        {"focal": 26},
        {"focal_35mm": 0},
        {"focal_35mm": 1e6},
        {"fov": 0},
        {"fov": 180},
        {"fov": 179.9},
        {"fov": -40},
        {"fov": math.nan},
        {"focal": 3000, "fov": 60},
        {"focal": 0, "focal_35mm": 26},
        {"focal": "long"},
        {"fov": [60, 70]},
    ],
)
def test_given_values_without_sense_are_refused(options):
    with pytest.raises(StereoError) as caught:
        camera_for(photo_of(), **options)
    assert caught.value.code == "bad_option" and caught.value.advice


def test_focal_plane_resolution():
    # 5 mm at 600 px/mm
    camera = camera_for(photo_of(focal_mm=5.0, plane_resolution=600.0))
    assert camera.focal == pytest.approx(3000) and camera.source == "exif" and "600 px/mm" in camera.source_detail
    # the photo is half as large as the picture that EXIF speaks of
    camera = camera_for(photo_of(focal_mm=5.0, plane_resolution=600.0, size_exif=(8000, 6000)))
    assert camera.focal == pytest.approx(1500)
    # rotated, EXIF's size left unrotated
    camera = camera_for(photo_of((3000, 4000), focal_mm=5.0, plane_resolution=600.0, size_exif=(4000, 3000)))
    assert camera.focal == pytest.approx(3000)


def test_source_detail_notes_sources_that_disagree():
    f35 = 26 * 5000 / math.sqrt(1872)  # 3005 px
    camera = camera_for(photo_of(focal_35mm=26.0, focal_mm=5.0, plane_resolution=600.0))
    assert camera.focal == pytest.approx(f35) and camera.source_detail == "EXIF 35 mm equivalent 26 mm"
    camera = camera_for(photo_of(focal_35mm=26.0, focal_mm=5.0, plane_resolution=750.0))  # 3750 px
    assert camera.focal == pytest.approx(f35) and "+25 %" in camera.source_detail


@pytest.mark.parametrize("f35", [0.0, 1.0, 7.9, 1201.0, 65535.0])
def test_absurd_equivalents_are_ignored_and_noted(f35):
    camera = camera_for(photo_of(focal_35mm=f35))
    assert camera.source == "prior" and "ignored" in camera.source_detail
    assert camera.focal == pytest.approx(PRIOR_35MM * 5000 / math.sqrt(1872))
    camera = camera_for(photo_of(focal_35mm=f35, focal_mm=5.0, plane_resolution=600.0))
    assert camera.source == "exif" and camera.focal == pytest.approx(3000) and "ignored" in camera.source_detail


@pytest.mark.parametrize("f35", [8.0, 26.0, 1200.0])
def test_equivalents_within_the_range_are_believed(f35):
    assert camera_for(photo_of(focal_35mm=f35)).source == "exif"


def test_absurd_focal_plane_is_ignored():
    camera = camera_for(photo_of(focal_mm=5.0, plane_resolution=1e6))
    assert camera.source == "prior" and "ignored" in camera.source_detail


def test_without_exif_there_is_a_prior_that_says_so():
    camera = camera_for(photo_of())
    assert camera.source == "prior" and "28 mm" in camera.source_detail
    # within a fifth of what phones and compact cameras have: 24 to 33 mm
    for f35 in (24, 26, 28, 33):
        assert abs(camera.focal / camera_for(photo_of(focal_35mm=float(f35))).focal - 1) < 0.2


def test_a_crop_is_seen_by_its_proportions():
    whole = camera_for(photo_of((4000, 3000), focal_35mm=26.0, size_exif=(4000, 3000))).focal
    crop = camera_for(photo_of((4000, 2250), focal_35mm=26.0, size_exif=(4000, 3000)))
    assert crop.focal == pytest.approx(whole) and "cropped from 4000 x 3000" in crop.source_detail
    square = camera_for(photo_of((1000, 1000), focal_35mm=26.0, size_exif=(4000, 3000)))  # and shrunk to a third
    assert square.focal == pytest.approx(whole / 3) and "cropped" in square.source_detail
    smaller = camera_for(photo_of((2000, 1500), focal_35mm=26.0, size_exif=(4000, 3000)))
    assert smaller.focal == pytest.approx(whole / 2) and "cropped" not in smaller.source_detail
    both = camera_for(photo_of((2000, 1125), focal_mm=5.0, plane_resolution=600.0, size_exif=(4000, 3000)))
    assert both.focal == pytest.approx(1500) and "cropped" in both.source_detail


def test_known_sensors(monkeypatch):
    """A 1/2.5 inch sensor has a crop factor of 6: 6 mm there is what 36 mm is on 35 mm film."""
    asked = []

    class Database:
        def find_cameras(self, make, model):
            asked.append((make, model))
            return [types.SimpleNamespace(crop_factor=6.0)] if model == "Known" else []

    monkeypatch.setitem(sys.modules, "lensfunpy", types.SimpleNamespace(Database=Database))
    camera = camera_for(photo_of(focal_mm=6.0, make="Maker", model="Known"))
    assert camera.focal == pytest.approx(36 * 5000 / math.sqrt(1872)) and camera.source == "exif"
    assert "Known with crop factor 6" in camera.source_detail
    assert camera_for(photo_of(focal_mm=6.0, make="Maker", model="Unknown")).source == "prior"
    assert asked == [("Maker", "Known"), ("Maker", "Unknown")]
    assert camera_for(photo_of(focal_mm=6.0, focal_35mm=30.0, make="Maker", model="Known")).focal < 3500
    assert len(asked) == 2  # not even asked where EXIF says enough
    monkeypatch.setitem(sys.modules, "lensfunpy", None)
    assert camera_for(photo_of(focal_mm=6.0, make="Maker", model="Known")).source == "prior"


def test_lensfun_itself():
    pytest.importorskip("lensfunpy")
    camera = camera_for(photo_of(focal_mm=50.0, make="Canon", model="Canon EOS 5D"))  # a full frame
    assert camera.focal == pytest.approx(50 * 5000 / math.sqrt(1872), rel=0.01)


# ------------------------------------------------------------------------------------------ the forms


def store(path: Path, **entries) -> Path:
    """Write by OpenCV itself; the suffix chooses YAML, XML or JSON."""
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for key, value in entries.items():
        storage.write(key, value)
    storage.release()
    return path


@pytest.mark.parametrize("suffix", [".yml", ".xml", ".json"])
def test_opencv_stereo_files(tmp_path, suffix):
    path = store(
        tmp_path / f"rig{suffix}",
        M1=K1,
        D1=D1[None],
        M2=K2,
        D2=D2[:, None],
        R=R,
        T=T[:, None],
        image_width=640,
        image_height=480,
        R1=np.eye(3),
        R2=R,
        P1=np.eye(3, 4),
        P2=np.eye(3, 4),
        Q=np.eye(4),
        rms=0.25,
        note="by hand",
    )
    assert_rig(read_rig(path))


@pytest.mark.parametrize(
    "names",
    [
        ("M1", "D1", "M2", "D2", "R", "T"),
        ("K1", "D1", "K2", "D2", "R", "T"),
        ("cameraMatrix1", "distCoeffs1", "cameraMatrix2", "distCoeffs2", "R", "T"),
        ("camera_matrix_1", "dist_coeffs_1", "camera_matrix_2", "dist_coeffs_2", "rotation", "translation"),
        ("Camera_Matrix_Left", "Distortion_Left", "Camera_Matrix_Right", "Distortion_Right", "Rotation_Matrix", "tvec"),
        ("left_camera_matrix", "left_dist", "right_camera_matrix", "right_dist", "rot", "trans"),
        ("cameraMatrixL", "distCoeffsL", "cameraMatrixR", "distCoeffsR", "R", "T"),
        ("intrinsic1", "distCoeffs1", "intrinsic2", "distCoeffs2", "R", "T"),
        ("mtx1", "dist1", "mtx2", "dist2", "R", "T"),
        ("K_l", "D_l", "K_r", "D_r", "R", "T"),
    ],
)
def test_names_that_programs_use(tmp_path, names):
    entries = dict(zip(names, (K1, D1, K2, D2, R, T), strict=True))
    assert_rig(read_rig(store(tmp_path / "rig.yml", **entries)), size=UNKNOWN_SIZE)
    plain = {key: value.tolist() for key, value in entries.items()}
    assert_rig(read_rig(write(tmp_path / "rig.json", json.dumps(plain))), size=UNKNOWN_SIZE)


def test_opencv_intrinsics_alone_and_a_single_camera(tmp_path):
    assert_rig(read_rig(store(tmp_path / "i.yml", M1=K1, D1=D1, M2=K2, D2=D2)), size=UNKNOWN_SIZE, pose=False)
    rig = read_rig(
        store(tmp_path / "one.yml", image_width=640, image_height=480, camera_matrix=K1, distortion_coefficients=D1)
    )
    assert not rig.posed and rig.unit is None
    for camera in (rig.cam1, rig.cam2):
        np.testing.assert_array_equal(camera.K, K1)
        np.testing.assert_array_equal(camera.dist, D1)
        assert camera.size == SIZE
    sized = read_rig(store(tmp_path / "size.xml", K1=K1, K2=K2, imageSize=np.array([640, 480])))
    assert sized.cam1.size == sized.cam2.size == SIZE


def test_rig_json(tmp_path):
    rig = json.loads(rig_with(T=T[:, None].tolist(), F=np.eye(3).tolist(), reprojectionError=0.2))
    assert_rig(read_rig(write(tmp_path / "a.json", json.dumps(rig))))
    for stated, unit in (("mm", "mm"), ("metres", "m"), ("Millimeter", "mm"), ("ft", "ft"), (None, None)):
        assert_rig(read_rig(write(tmp_path / "b.json", json.dumps(rig | {"unit": stated}))), unit=unit)
    for missing in ("R", "T"):
        part = {key: value for key, value in rig.items() if key != missing}
        with pytest.raises(StereoError, match=f"has no {missing}"):
            read_rig(write(tmp_path / "c.json", json.dumps(part)))
    part = {key: value for key, value in rig.items() if key not in "RT"}
    assert_rig(read_rig(write(tmp_path / "d.json", "\ufeff" + json.dumps(part))), pose=False)


def test_a_rotation_vector_is_taken_for_r(tmp_path):
    rig = dict(K1=K1.tolist(), K2=K2.tolist(), R=[[0.01], [-0.05], [0.02]], T=T.tolist())
    got = read_rig(write(tmp_path / "a.json", json.dumps(rig)))
    np.testing.assert_allclose(got.R, cv2.Rodrigues(src=np.array([0.01, -0.05, 0.02]))[0], atol=1e-15)


MIDDLEBURY = """cam0=[700 0 322.5; 0 700 238.25; 0 0 1]
cam1=[700 0 340; 0 700 238.25; 0 0 1]
doffs=17.5
baseline=193.001
width=640
height=480
ndisp=64
isint=0
"""


def test_middlebury(tmp_path):
    for text in (MIDDLEBURY, MIDDLEBURY.replace("\n", "\r\n"), MIDDLEBURY.replace("=", " = ")):
        rig = read_rig(write(tmp_path / "calib.txt", text))
        assert rig.unit == "mm" and rig.cam1.size == rig.cam2.size == SIZE
        np.testing.assert_array_equal(rig.R, np.eye(3))
        np.testing.assert_array_equal(rig.t, [-193.001, 0, 0])
        # Z = baseline f / (d + doffs): the definition of the data set
        Z = np.array([500.0, 2000.0, 7000.0])
        X = np.stack([0.1 * Z, -0.2 * Z, Z], axis=1)
        x1, x2 = project(X, rig.cam1.K), project(X, rig.cam2.K, rig.R, rig.t)
        np.testing.assert_allclose(193.001 * 700 / (x1[:, 0] - x2[:, 0] + 17.5), Z, rtol=1e-12)
        np.testing.assert_allclose(x1[:, 1], x2[:, 1], atol=1e-9)


def test_middlebury_without_cam1_takes_doffs(tmp_path):
    lines = MIDDLEBURY.splitlines()
    rig = read_rig(write(tmp_path / "calib.txt", "\n".join([lines[0], *lines[2:]])))
    np.testing.assert_array_equal(rig.cam2.K, [[700, 0, 340], [0, 700, 238.25], [0, 0, 1]])


def kitti(P1: np.ndarray, P2: np.ndarray, keys=("P2", "P3")) -> str:
    rows = [f"{key}: " + " ".join(f"{x:.15e}" for x in P.ravel()) for key, P in zip(keys, (P1, P2), strict=True)]
    return "\n".join(rows) + "\n"


@settings(max_examples=tries(50), deadline=None)
@given(
    st.lists(st.floats(-1.5, 1.5), min_size=12, max_size=12),
    st.tuples(st.floats(50, 5000), st.floats(50, 5000), st.floats(-20, 20), st.floats(1e-3, 1e3), st.booleans()),
)
def test_projection_matrices_decompose_as_opencv_says(tmp_path_factory, numbers, k):
    fx, fy, skew, scale, negative = k
    pose1, pose2, t1, t2 = np.reshape(numbers, (4, 3))
    t2 = t2 + [3, 0, 0]  # never a zero baseline
    K = np.array([[fx, skew, 320], [0, fy, 240], [0, 0, 1]])
    Rs = rotation_from_vector(pose1), rotation_from_vector(pose2)
    # P holds at any scale, also a negative one
    Ps = [s * K @ np.c_[Rn, t] for Rn, t, s in zip(Rs, (t1, t2), (scale, -1 if negative else 1), strict=True)]
    rig = read_rig(write(tmp_path_factory.mktemp("kitti") / "calib.txt", kitti(*Ps)))
    sign = -1 if negative else 1
    other = [cv2.decomposeProjectionMatrix(projMatrix=P) for P in (Ps[0], sign * Ps[1])]
    for camera, (Kc, *_rest) in zip((rig.cam1, rig.cam2), other, strict=True):
        np.testing.assert_allclose(camera.K, Kc / Kc[2, 2], atol=1e-6 * max(fx, fy))
        np.testing.assert_allclose(camera.K, K, atol=1e-6 * max(fx, fy))
    np.testing.assert_allclose(rig.R, other[1][1] @ other[0][1].T, atol=1e-8)
    np.testing.assert_allclose(rig.R, Rs[1] @ Rs[0].T, atol=1e-8)
    np.testing.assert_allclose(rig.t, t2 - rig.R @ t1, atol=1e-6 * np.linalg.norm(t2))
    assert rig.unit == "m"


def test_kitti_chooses_the_colour_pair_then_the_grey_one(tmp_path):
    f = 700.0
    P = [np.array([[f, 0, 600, -f * b], [0, f, 180, 0], [0, 0, 1, 0]]) for b in (0, 0.5, 0.1, 0.7)]
    every = kitti(P[0], P[1], ("P0", "P1")) + kitti(P[2], P[3]) + "Tr: 1 0 0 0 0 1 0 0 0 0 1 0\n"
    np.testing.assert_allclose(read_rig(write(tmp_path / "a.txt", every)).t, [-0.6, 0, 0], atol=1e-12)
    grey = read_rig(write(tmp_path / "b.txt", kitti(P[0], P[1], ("P0", "P1"))))
    np.testing.assert_allclose(grey.t, [-0.5, 0, 0], atol=1e-12)
    rect = (
        "calib_time: 09-Jan-2012 13:57:47\ncorner_dist: 9.95e-02\nS_02: 1.392e+03 5.12e+02\n"
        + kitti(P[2], P[3], ("P_rect_02", "P_rect_03"))
        + "S_rect_02: 1.242000e+03 3.750000e+02\nS_rect_03: 1.242000e+03 3.750000e+02\n"
    )
    rig = read_rig(write(tmp_path / "c.txt", rect))
    np.testing.assert_allclose(rig.t, [-0.6, 0, 0], atol=1e-12)
    np.testing.assert_array_equal(rig.cam1.K, P[2][:, :3])
    assert rig.cam1.size == rig.cam2.size == (1242, 375)


def cameras_json(**more) -> dict:
    """Two cameras posed in a world of their own."""
    R1, t1 = rotation_from_vector([0.3, 1.0, -0.2]), np.array([5.0, -1.0, 2.0])
    left = dict(K=K1.tolist(), R=R1.tolist(), t=t1.tolist(), size=SIZE, dist=D1.tolist())
    right = dict(K=K2.tolist(), R=(R @ R1).tolist(), t=(R @ t1 + T).tolist(), size=SIZE, dist=D2.tolist())
    return {"cameras": {"left": left, "right": right}, **more}


def test_cameras_json(tmp_path):
    rig = read_rig(write(tmp_path / "cameras.json", json.dumps(cameras_json(unit="m", F=np.eye(3).tolist()))))
    assert_rig(rig, unit="m", exact=False)
    X = np.random.default_rng(0).uniform(-1, 1, (20, 3))
    R1, t1 = rotation_from_vector([0.3, 1.0, -0.2]), np.array([5.0, -1.0, 2.0])
    world = cameras_json()["cameras"]["right"]
    np.testing.assert_allclose((X @ R1.T + t1) @ rig.R.T + rig.t, X @ np.transpose(world["R"]) + world["t"], atol=1e-12)
    assert_rig(read_rig(write(tmp_path / "c.json", json.dumps(cameras_json()))), exact=False)
    for unit in (None, "baseline"):  # of a run without a scale: nothing metric comes back
        assert read_rig(write(tmp_path / "c.json", json.dumps(cameras_json(unit=unit)))).unit is None
    poseless = cameras_json()
    for camera in poseless["cameras"].values():
        del camera["R"], camera["t"]
    assert_rig(read_rig(write(tmp_path / "k.json", json.dumps(poseless))), pose=False)


def test_of_many_cameras_those_named_like_the_photos_are_taken(tmp_path):
    whole = cameras_json()["cameras"]
    many = {"cameras": {"0001": whole["right"], "0002": whole["left"], "0003": whole["right"]}}
    path = write(tmp_path / "many.json", json.dumps(many))
    assert_rig(read_rig(path, names=("0002.jpg", "0003.JPG")), exact=False)
    with pytest.raises(StereoError, match="holds 3 cameras") as caught:
        read_rig(path, names=("a.jpg", "0003.jpg"))
    assert caught.value.code == "bad_calibration"
    path = write(tmp_path / "two.json", json.dumps({"cameras": {"b": whole["left"], "a": whole["right"]}}))
    assert_rig(read_rig(path), exact=False)  # two: as they come


@pytest.mark.parametrize(
    "text",
    [
        "700 0 322.5\n0 702 238.25\n0 0 1\n",
        "[[700, 0, 322.5],[0, 702, 238.25],[0, 0, 1]]",
        "# K\n700,0,322.5;0,702,238.25;0,0,1",
    ],
)
def test_a_bare_matrix_is_one_camera_for_both(tmp_path, text):
    rig = read_rig(write(tmp_path / "K.txt", text))
    np.testing.assert_array_equal(rig.cam1.K, K1)
    np.testing.assert_array_equal(rig.cam2.K, K1)
    assert not rig.posed and rig.cam1.size == UNKNOWN_SIZE


COLMAP_CAMERAS = """# Camera list with one line of data per camera:
#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]
1 OPENCV 640 480 700 702 323 238.75 -0.2 0.1 0.001 -0.002
4 PINHOLE 640 480 710 711 318.5 242
"""


def colmap_pose(R, t) -> str:
    return " ".join(repr(float(v)) for v in (*quaternion_from_rotation(R), *t))


def colmap_images(poses, points="12 20 -1 13.5 4 7") -> str:
    """poses: (name, camera id, R, t), X_camera = R X + t."""
    lines = ["# Image list with two lines of data per image:"]
    for number, (name, camera, turn, t) in enumerate(poses, 1):
        lines += [f"{number} {colmap_pose(turn, t)} {camera} {name}", points]
    return "\n".join(lines) + "\n"


R0, T0 = rotation_from_vector([0.3, 0.1, -0.4]), np.array([4.0, -2.0, 1.0])  # camera 1 in COLMAP's world
COLMAP_IMAGES = colmap_images(
    [("a/left 1.jpg", 1, R0, T0), ("b/right.jpg", 4, R @ R0, R @ T0 + T), ("third.jpg", 1, np.eye(3), np.zeros(3))][:2]
)


def colmap(folder: Path, cameras=COLMAP_CAMERAS, images=COLMAP_IMAGES) -> Path:
    folder.mkdir(exist_ok=True)
    write(folder / "cameras.txt", cameras)
    if images is not None:
        write(folder / "images.txt", images)
    return folder


def assert_colmap(rig: Rig) -> None:
    """COLMAP counts from the corner of the first pixel: its principal points are K1's and K2's plus one half."""
    np.testing.assert_array_equal(rig.cam1.K, K1)
    np.testing.assert_array_equal(rig.cam2.K, K2)
    np.testing.assert_array_equal(rig.cam1.dist, D1[:4])
    assert rig.cam1.size == SIZE and len(rig.cam2.dist) == 0 and rig.unit is None
    np.testing.assert_allclose(rig.R, R, atol=1e-14)
    np.testing.assert_allclose(rig.t, T, atol=1e-12)


def test_colmap_by_its_folder_or_either_file(tmp_path):
    folder = colmap(tmp_path / "sparse é")
    for path in (folder, folder / "cameras.txt", folder / "images.txt"):
        assert_colmap(read_rig(path))
    swapped = read_rig(folder, names=("right.jpg", "left 1.jpg"))
    np.testing.assert_array_equal(swapped.cam1.K, K2)
    np.testing.assert_allclose(swapped.R, R.T, atol=1e-14)
    np.testing.assert_allclose(swapped.t, -R.T @ T, atol=1e-12)


def test_of_many_colmap_images_those_of_the_photos_are_taken(tmp_path):
    more = [(f"other{i}.jpg", 1, rotation_from_vector([0, i, 0]), [i, 0, 0]) for i in range(3)]
    folder = colmap(tmp_path / "model", images=colmap_images(more, points="") + COLMAP_IMAGES)
    assert_colmap(read_rig(folder, (SIZE, SIZE), names=("left 1.jpg", "right.jpg")))
    assert_colmap(read_rig(folder, names=("left 1.png", "right.tif")))  # converted since
    for names in (None, ("left 1.jpg", "nobody.jpg"), ("right.jpg", "right.jpg")):
        with pytest.raises(StereoError, match="5 images") as caught:
            read_rig(folder, names=names)
        assert caught.value.code == "bad_calibration" and "images.txt" in caught.value.advice


def test_a_colmap_camera_alone_serves_for_both(tmp_path):
    rig = read_rig(colmap(tmp_path / "one", "3 SIMPLE_RADIAL 640 480 700 320 240 -0.1\n", None))
    np.testing.assert_array_equal(rig.cam2.K, [[700, 0, 319.5], [0, 700, 239.5], [0, 0, 1]])
    np.testing.assert_array_equal(rig.cam1.dist, [-0.1, 0, 0, 0])
    assert not rig.posed and rig.cam1.size == SIZE


@pytest.mark.parametrize(
    "model, params",
    [
        ("SIMPLE_PINHOLE", [700, 310, 250]),
        ("PINHOLE", [700, 690, 310, 250]),
        ("SIMPLE_RADIAL", [700, 310, 250, -0.1]),
        ("RADIAL", [700, 310, 250, -0.1, 0.05]),
        ("OPENCV", [700, 690, 310, 250, -0.1, 0.05, 2e-3, -1e-3]),
        ("FULL_OPENCV", [700, 690, 310, 250, -0.1, 0.05, 2e-3, -1e-3, 0.02, 0.03, -0.01, 0.004]),
    ],
)
def test_colmap_models_project_as_colmap_does(tmp_path, model, params):
    """COLMAP itself where it is installed, else its formulas written out; its pixels are ours plus one half."""
    words = " ".join(map(str, params))
    camera = read_rig(colmap(tmp_path / "m", f"1 {model} 640 480 {words}\n", None)).cam1
    X = np.random.default_rng(1).uniform(-1, 1, (20, 3)) * [1, 1, 0.5] + [0, 0, 3]
    try:
        import pycolmap

        want = np.array([pycolmap.Camera(model=model, width=640, height=480, params=params).img_from_cam(x) for x in X])
    except ImportError:
        u, v = (X[:, :2] / X[:, 2:]).T
        r2 = u * u + v * v
        fx, fy, cx, cy, *d = params if params[1] == 690 else [params[0], *params]
        k1, k2, p1, p2, k3, k4, k5, k6 = np.pad(d, (0, 8 - len(d)))
        radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
        want = np.stack(
            [
                fx * (u * radial + 2 * p1 * u * v + p2 * (r2 + 2 * u * u)) + cx,
                fy * (v * radial + 2 * p2 * u * v + p1 * (r2 + 2 * v * v)) + cy,
            ],
            -1,
        )
    np.testing.assert_allclose(project(X, camera.K, dist=camera.dist) + 0.5, want.reshape(-1, 2), atol=1e-9)


BAD_COLMAP = {
    "model": (
        "1 THIN_PRISM_FISHEYE 640 480 700 700 320 240 0 0 0 0 0 0 0 0\n",
        None,
        "THIN_PRISM_FISHEYE",
    ),
    "parameters": ("1 RADIAL 640 480 700 320 240\n", None, "3 parameters.*RADIAL has 5: f cx cy k1 k2"),
    "words": ("1 PINHOLE 640 480 seven 700 320 240\n", None, "no array of numbers in the camera 1"),
    "size": ("1 PINHOLE 0 480 700 700 320 240\n", None, "size"),
    "two": (COLMAP_CAMERAS, None, "2 cameras of COLMAP"),
    "twice": ("1 SIMPLE_PINHOLE 640 480 700 320 240\n" * 2, None, "camera 1 twice"),
    "no such camera": (COLMAP_CAMERAS.replace("4 PIN", "5 PIN"), COLMAP_IMAGES, "no camera 4, which took b/right.jpg"),
    "quaternion": (COLMAP_CAMERAS, "1 1 1 0 0 0 0 0 1 a.jpg\n\n2 1 0 0 0 1 0 0 1 b.jpg\n\n", "length 1.414 for a.jpg"),
    "one place": (COLMAP_CAMERAS, "1 1 0 0 0 0 0 0 1 a.jpg\n\n2 1 0 0 0 0 0 0 1 b.jpg\n\n", "zero baseline"),
    "one image": (COLMAP_CAMERAS, "1 1 0 0 0 0 0 0 1 a.jpg\n\n", "holds 1 images"),
    "nan": (COLMAP_CAMERAS, "1 1 0 0 0 nan 0 0 1 a.jpg\n\n2 1 0 0 0 0 0 0 1 b.jpg\n\n", "finite"),
}


@pytest.mark.parametrize("name", BAD_COLMAP)
def test_bad_colmap_models(tmp_path, name):
    cameras, images, words = BAD_COLMAP[name]
    with pytest.raises(StereoError, match=words) as caught:
        read_rig(colmap(tmp_path / "model", cameras, images))
    assert caught.value.code == "bad_calibration" and caught.value.advice


def test_colmap_images_alone_and_folders_without_a_model(tmp_path):
    with pytest.raises(StereoError, match="images but no camera"):
        read_rig(write(tmp_path / "images.txt", COLMAP_IMAGES))
    with pytest.raises(StereoError, match="neither cameras.txt nor left.yaml and right.yaml") as caught:
        read_rig(tmp_path)
    assert "model_converter" in caught.value.advice


def test_large_colmap_models_are_read_for_their_poses(tmp_path):
    points = " ".join(f"{i}.5 {i} {i if i % 3 else -1}" for i in range(200_000))
    folder = colmap(tmp_path / "large", images=COLMAP_IMAGES.replace("12 20 -1 13.5 4 7", points))
    assert (folder / "images.txt").stat().st_size > 4_000_000
    assert_colmap(read_rig(folder))
    assert_colmap(read_rig(folder / "images.txt"))


# ------------------------------------------------------------------------------------------ ROS


def flow(values) -> str:
    return "[" + ", ".join(repr(float(v)) for v in np.ravel(values)) + "]"


def block(values) -> str:
    return "".join(f"\n- {float(v)!r}" for v in np.ravel(values))


def ros(K, D, R=None, P=None, model="plumb_bob", name="left") -> str:
    """As camera_calibration writes it."""
    R = np.eye(3) if R is None else R
    P = np.c_[K, np.zeros(3)] if P is None else P
    text = f"image_width: 640\nimage_height: 480\ncamera_name: {name}\n"
    for key, value in (
        ("camera_matrix", K),
        ("distortion_coefficients", np.atleast_2d(D)),
        ("rectification_matrix", R),
        ("projection_matrix", P),
    ):
        data = flow(value).replace(", ", ",\n         ", 4)
        text += f"{key}:\n  rows: {value.shape[0]}\n  cols: {value.shape[1]}\n  data: {data}\n"
    return text + f"distortion_model: {model}\n"


def ros_message(K, D, R, P, *, ros2=False) -> str:
    """As `rostopic echo` (ROS 1) or `ros2 topic echo` prints it."""
    case, listed = (str.lower, block) if ros2 else (str, flow)
    keys = "".join(f"{case(k)}: {listed(v)}\n" for k, v in (("D", D), ("K", K), ("R", R), ("P", P)))
    return (
        "header:\n  stamp:\n    sec: 5\n  frame_id: 'stereo_optical'\nheight: 480\nwidth: 640\n"
        f"distortion_model: plumb_bob\n{keys}binning_x: 0\nroi:\n  x_offset: 0\n  do_rectify: false\n"
    )


@pytest.fixture(scope="module")
def rectified():
    """OpenCV's own rectification of the rig, which ROS's calibrator stores: R1, R2, P1, P2."""
    return cv2.stereoRectify(
        cameraMatrix1=K1,
        distCoeffs1=D1,
        cameraMatrix2=K2,
        distCoeffs2=D2,
        imageSize=SIZE,
        R=R,
        T=T[:, None],
        flags=cv2.CALIB_ZERO_DISPARITY,
    )[:4]


def test_ros_stereo_files_give_the_rig_that_was_rectified(tmp_path, rectified):
    R1, R2, P1, P2 = rectified
    left, right = ros(K1, D1, R1, P1), ros(K2, D2, R2, P2, name="right")
    (tmp_path / "folder").mkdir()
    write(tmp_path / "folder" / "left.yaml", "# left\n" + left)
    write(tmp_path / "folder" / "right.yaml", right)
    indented = ["  " + line for text in (left, right) for line in text.splitlines()]
    half = len(indented) // 2
    keyed = "\n".join(["left:", *indented[:half], "right:", *indented[half:]])
    message = [
        ros_message(K1, D1, R1, P1, ros2=ros2) + "---\n" + ros_message(K2, D2, R2, P2, ros2=ros2) + "---\n"
        for ros2 in (False, True)
    ]
    for path in (
        tmp_path / "folder",
        write(tmp_path / "two", "---\n" + left + "---\n" + right),
        write(tmp_path / "keys", keyed),
        *(write(tmp_path / f"m{i}", m) for i, m in enumerate(message)),
    ):
        rig = read_rig(path, (SIZE, SIZE))
        np.testing.assert_array_equal(rig.cam1.K, K1)
        np.testing.assert_array_equal(rig.cam2.K, K2)
        np.testing.assert_array_equal(rig.cam1.dist, D1)
        np.testing.assert_array_equal(rig.cam2.dist, D2)
        np.testing.assert_allclose(rig.R, R, atol=1e-12)
        np.testing.assert_allclose(rig.t, T, rtol=1e-12, atol=1e-9)
        assert rig.unit == "m" and rig.cam1.size == rig.cam2.size == SIZE


def test_one_ros_camera_serves_for_both(tmp_path, rectified):
    rig = read_rig(write(tmp_path / "ost.yaml", ros(K2, D2, rectified[1], rectified[3])))
    assert not rig.posed and np.array_equal(rig.cam1.K, K2) and np.array_equal(rig.cam2.dist, D2)
    rational = np.array([0.1, -0.2, 1e-3, 2e-3, 0.03, 0.4, -0.1, 0.02])
    rig = read_rig(write(tmp_path / "r.yaml", ros(K1, rational, model="rational_polynomial")))
    np.testing.assert_array_equal(rig.cam1.dist, rational)
    # two that were calibrated one by one have no baseline
    assert not read_rig(write(tmp_path / "both.yaml", ros(K1, D1) + "---\n" + ros(K2, D2))).posed


BAD_ROS = {
    "model": (ros(K1, D1[:4], model="omnidirectional"), "distortion model 'omnidirectional'"),
    "fisheye": (ros(K1, D1[:3], model="equidistant"), "3 coefficients of a fisheye lens .ROS, left camera"),
    "not calibrated": (ros(np.zeros((3, 3)), np.zeros(5)), "zeros.*not calibrated"),
    "no matrix": (ros(K1, D1).replace("camera_matrix", "matrix"), "no camera_matrix for the left"),
    "short": (ros(K1[:2], D1, P=np.eye(3, 4)), "6 numbers in camera_matrix"),
    "three": ("---\n".join([ros(K1, D1)] * 3), "3 cameras of ROS"),
    "singular": (ros(K1, D1, P=np.ones((3, 4))), "singular projection_matrix"),
    "rotation": (ros(K1, D1, R=2 * np.eye(3)), "no rotation"),
    "broken": (ros(K1, D1) + "a: [1, 2\n", "not readable as YAML"),
}


@pytest.mark.parametrize("name", BAD_ROS)
def test_bad_ros_files(tmp_path, name):
    text, words = BAD_ROS[name]
    with pytest.raises(StereoError, match=words) as caught:
        read_rig(write(tmp_path / "camera.yaml", text))
    assert caught.value.code == "bad_calibration" and caught.value.advice


def examples() -> dict[str, str]:
    storage = cv2.FileStorage("x.yml", cv2.FILE_STORAGE_WRITE | cv2.FILE_STORAGE_MEMORY)
    for key, value in dict(M1=K1, M2=K2, D1=D1, R=R, T=T).items():
        storage.write(key, value)
    P = np.array([[700.0, 0, 600, 0], [0, 700, 180, 0], [0, 0, 1, 0]])
    shift = np.zeros((3, 4))
    shift[0, 3] = -350
    return {
        "Middlebury calib.txt": MIDDLEBURY,
        "KITTI calib": kitti(P, P + shift),
        "OpenCV YAML/XML": storage.releaseAndGetString(),
        "COLMAP cameras.txt, images.txt": COLMAP_CAMERAS + COLMAP_IMAGES,
        "ROS camera_info": ros(K1, D1) + "---\n" + ros(K2, D2),
        "cameras.json": json.dumps(cameras_json()),
        "rig JSON": json.dumps(dict(K1=K1.tolist(), K2=K2.tolist())),
        "3 x 3 camera matrix": "700 0 320 0 700 240 0 0 1",
    }


def test_each_form_is_recognised_as_itself():
    texts = examples()
    assert set(texts) <= set(READERS)  # all of them: test_forms.py
    for form, text in texts.items():
        first = next(name for name, reader in READERS.items() if reader.fits(text))
        assert first == form


def test_encodings_and_paths(tmp_path):
    path = tmp_path / "é 校正" / "K é.txt"
    path.parent.mkdir()
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "latin-1"):
        path.write_bytes((MIDDLEBURY + "note=Kamera für innen\n").encode(encoding))
        assert read_rig(str(path)).unit == "mm"


# ------------------------------------------------------------------------------------------ bad files


def rig_with(**changes) -> str:
    rig = dict(
        res1=SIZE,
        res2=SIZE,
        intrinsic1=K1.tolist(),
        intrinsic2=K2.tolist(),
        R=R.tolist(),
        T=T.tolist(),
        distCoeffs1=D1.tolist(),
        distCoeffs2=D2.tolist(),
    )
    rig |= changes
    return json.dumps({key: value for key, value in rig.items() if value is not None})


def altered(K: np.ndarray, row: int, column: int, value: float) -> list:
    K = K.copy()
    K[row, column] = value
    return K.tolist()


BAD = {
    "empty": ("", "empty"),
    "blank": ("  \n\t\n", "empty"),
    "prose": ("my cameras are nice", "no known form"),
    "binary": ("\x89PNG\r\n\0\0", "not text"),
    "eight numbers": ("1 2 3 4 5 6 7 8", "no known form"),
    "broken json": ('{"intrinsic1": [[1, 2', "JSON"),
    "deep json": ('{"a":' + "[" * 100000, "JSON"),
    "json without cameras": ('{"a": 1}', "no camera matrix"),
    "json not matrix": (rig_with(intrinsic1="none of them"), "camera matrix"),
    "ragged": (rig_with(intrinsic1=[[1, 2], [3]]), "intrinsic1"),
    "words in a matrix": (rig_with(intrinsic1=[["a"] * 3] * 3), "intrinsic1"),
    "two by two": (rig_with(intrinsic1=[[1, 2], [3, 4]]), "4 numbers in intrinsic1"),
    "nan": (rig_with(intrinsic2=altered(K2, 0, 0, math.nan)), "intrinsic2"),
    "null in a matrix": (rig_with(intrinsic2=altered(K2, 0, 0, None)), "intrinsic2"),
    "infinite distortion": (rig_with(distCoeffs1=[0, math.inf, 0, 0]), "distCoeffs1|distortion"),
    "huge integer": (rig_with(intrinsic1=[10**400] * 9), "intrinsic1"),
    "all zero": (rig_with(intrinsic1=np.zeros((3, 3)).tolist()), "singular"),
    "zero focal": (rig_with(intrinsic1=altered(K1, 0, 0, 0)), "singular"),
    "zero corner": (rig_with(intrinsic1=altered(K1, 2, 2, 0)), "singular"),
    "negative focal": (rig_with(intrinsic2=altered(K2, 1, 1, -711)), "positive"),
    "transposed": (rig_with(intrinsic1=K1.T.tolist()), "not upper triangular"),
    "far principal point": (rig_with(intrinsic1=altered(K1, 0, 2, 5000)), "far outside"),
    "R not orthonormal": (rig_with(R=altered(R, 0, 0, 0.9)), "no rotation"),
    "R scaled": (rig_with(R=(1.01 * R).tolist()), "no rotation"),
    "R mirrors": (rig_with(R=np.diag([1, 1, -1]).tolist()), "mirrors"),
    "R zero": (rig_with(R=np.zeros((3, 3)).tolist()), "no rotation"),
    "zero baseline": (rig_with(T=[0, 0, 0]), "zero baseline"),
    "T of two": (rig_with(T=[1, 0]), "2 numbers in T"),
    "T not finite": (rig_with(T=[math.nan, 0, 0]), "T"),
    "size of one": (rig_with(res1=[640]), "size"),
    "negative size": (rig_with(res1=[640, -480]), "size"),
    "broken size": (rig_with(res2=[640.5, 480]), "size"),
    "six coefficients": (rig_with(distCoeffs1=[1, 2, 3, 4, 5, 6]), "6 distortion"),
    "tilted": (rig_with(distCoeffs1=[0.1] * 12 + [0.1, 2.0]), "tilted by 0.1 and 2 rad"),
    "only one camera": (rig_with(intrinsic2=None), "camera 2"),
    "contradiction": (rig_with(K1=K2.tolist()), "both"),
    "strange unit": (rig_with(unit=3), "unit"),
    "no cam1": ("cam0=[700 0 320; 0 700 240; 0 0 1]\nbaseline=100\n", "no line cam1="),
    "no baseline": (MIDDLEBURY.replace("baseline", "base"), "no line baseline="),
    "no height": (MIDDLEBURY.replace("height", "h"), "no line height="),
    "no cam0": (MIDDLEBURY.replace("cam0", "camera"), "no line cam0="),
    "middlebury words": (MIDDLEBURY.replace("193.001", "wide"), "baseline"),
    "middlebury nan": (MIDDLEBURY.replace("193.001", "nan"), "baseline"),
    "middlebury short": (MIDDLEBURY.replace("; 0 0 1]", "]", 1), "6 numbers in cam0"),
    "middlebury zero": (MIDDLEBURY.replace("193.001", "0"), "baseline=0"),
    "middlebury doffs": (MIDDLEBURY.replace("17.5", "0"), "doffs=0"),
    "kitti one": ("P2: " + "1 " * 12 + "\n", "no pair"),
    "kitti short": ("P2: 1 2 3\nP3: 1 2 3\n", "3 numbers in P2"),
    "kitti words": ("P2: a b\nP3: c d\n", "P2"),
    "kitti singular": ("P2: " + "1 " * 12 + "\nP3: " + "1 " * 12 + "\n", "singular"),
    "kitti zero baseline": (kitti(*[np.c_[K1, [1, 2, 3]]] * 2), "zero baseline"),
    "yaml broken": ("%YAML:1.0\n---\nM1: [1, 2", "not readable as YAML"),
    "yaml empty": ("%YAML:1.0\n---\n", "camera matrix"),
    "yaml header": ("%YAML:1.0", "camera matrix"),
    "yaml short matrix": (
        "%YAML:1.0\n---\nM1: !!opencv-matrix\n   rows: 3\n   cols: 3\n   dt: d\n   data: [ 1., 2. ]\n",
        "2 numbers in M1, where 3 x 3",
    ),
    "yaml without key": (
        "%YAML:1.0\n---\nM1: !!opencv-matrix\n   rows: 3\n  \n: 3- 7., 0.\n   dt: d\n",
        "no camera matrix|not readable",
    ),
    "yaml first line": ("%YAML 1.0atrix\n---\nM1: 3\n", "no camera matrix"),
    "xml broken": ("<?xml version='1.0'?><opencv_storage><a>", "not readable as XML"),
    "xml of something": ("<?xml version='1.0'?><svg/>", "no known form"),
    "cameras one": (json.dumps({"cameras": {"left": {"K": K1.tolist()}}}), "holds 1 cameras"),
    "cameras list": (json.dumps({"cameras": {"left": 1, "right": 2}}), "cameras"),
    "cameras no K": (json.dumps({"cameras": {"left": {"R": 1}, "right": {}}}), "no K for the camera left"),
    "cameras half pose": (
        json.dumps({"cameras": {"left": {"K": K1.tolist(), "R": R.tolist()}, "right": {"K": K2.tolist()}}}),
        "R but not t",
    ),
    "cameras one pose": (
        json.dumps(
            {"cameras": {"left": {"K": K1.tolist(), "R": R.tolist(), "t": T.tolist()}, "right": {"K": K2.tolist()}}}
        ),
        "only one",
    ),
    "matrix nan": ("nan 0 320 0 700 240 0 0 1", "finite"),
    "matrix singular": ("0 0 0 0 0 0 0 0 0", "singular"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_calibrations(tmp_path, name):
    text, words = BAD[name]
    path = write(tmp_path / "calib.any", text)
    with pytest.raises(StereoError, match=words) as caught:
        read_rig(path, (SIZE, SIZE))
    assert caught.value.code == "bad_calibration" and caught.value.advice
    assert str(path) in caught.value.message and caught.value.exit_code == 4


DEEP = 20_000
HOSTILE = {
    "deep flow lists": "%YAML:1.0\n---\nM1: " + "[" * DEEP + "]" * DEEP,
    "deep flow maps": "%YAML:1.0\n---\nM1: " + "{a: " * DEEP + "1" + "}" * DEEP,
    "deep block maps": "%YAML:1.0\n---\n" + "".join(" " * k + "a:\n" for k in range(700)),
    "deep ROS": "distortion_model: plumb_bob\nD: " + "[" * DEEP,
    "deep XML": "<opencv_storage>" + "<a>" * DEEP + "</a>" * DEEP + "</opencv_storage>",
    "binary": "<?xml version='1.0'?><opencv_storage><a>!!binary |\n" + "A" * 50,
    "binary YAML": "%YAML:1.0\n---\nM1: !!binary |\n  " + "A" * 50,
    "aliases": "%YAML:1.0\n---\na: &a [1, 1]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
    "entities": "<!DOCTYPE a [<!ENTITY b 'bbbb'><!ENTITY c '&b;&b;'>]><opencv_storage><a>&c;</a></opencv_storage>",
    "entries": "%YAML:1.0\n---\nM1: [" + "1," * 200_000 + "1]",
    "entries XML": "<opencv_storage>" + "<a/>" * 200_000 + "</opencv_storage>",
    "new lines": "\n" * 100_000 + "x",
    "blanks": "P2:" + " " * 100_000 + "x" + " " * 100_000 + "y\n",
    "JSON": "{" + '"K": [' * DEEP,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_calibrations_are_refused(tmp_path, name):
    """OpenCV's parser crashed on deep nesting and never ended on base 64; blanks took the square of their number."""
    with pytest.raises(StereoError) as caught:
        read_rig(write(tmp_path / "calib.any", HOSTILE[name]))
    assert caught.value.code == "bad_calibration"


def test_a_matrix_of_several_channels_does_not_matter(tmp_path):
    """OpenCV's calibration sample writes its image points as a matrix of two channels."""
    form = "%s: !!opencv-matrix\n   rows: %d\n   cols: 3\n   dt: %s\n   data: [ %s ]\n"
    points = form % ("image_points", 2, '"2f"', "1,2,3,4,5,6,7,8,9,10,11,12")
    K = form % ("camera_matrix", 3, "d", "7e2, 0, .32e3, 0, 700, 240., 0, 0, 1")
    rig = read_rig(write(tmp_path / "out.yml", "%YAML:1.0\n---\n" + K + points))
    np.testing.assert_array_equal(rig.cam1.K, [[700, 0, 320], [0, 700, 240], [0, 0, 1]])


def test_missing_calibration(tmp_path):
    for path, code in (
        (tmp_path / "no.txt", "file_missing"),
        (tmp_path, "bad_calibration"),
        (str(tmp_path / "a\0b"), "file_missing"),
    ):
        with pytest.raises(StereoError) as caught:
            read_rig(path)
        assert caught.value.code == code
    big = tmp_path / "big.txt"
    big.write_bytes(b"1 " * 3_000_000)
    with pytest.raises(StereoError, match="6000000 bytes"):
        read_rig(big)


@settings(max_examples=tries(300), deadline=None)
@given(st.data())
def test_damaged_text_gives_a_rig_or_a_stereo_error(data):
    form = data.draw(st.sampled_from(sorted(examples())))
    text = examples()[form]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + data.draw(st.text("0123456789.-+e:=;,[]{}\"'<>/ \nnaifPMKRT!%#", max_size=3))
            + text[at + data.draw(st.integers(0, 40)) :]
        )
    for reader in READERS.values():
        if reader.fits(text):
            try:
                rig = reader.read(text, None)
            except StereoError as error:
                assert error.code == "bad_calibration"
            else:
                for camera in (rig.cam1, rig.cam2):
                    assert np.all(np.isfinite(camera.K)) and camera.K[0, 0] > 0 and camera.K[1, 1] > 0
                    assert np.linalg.det(camera.K) > 0 and camera.K[2, 2] == 1
                if rig.posed:
                    np.testing.assert_allclose(rig.R @ rig.R.T, np.eye(3), atol=1e-9)
                    assert np.linalg.norm(rig.t) > 0
            break


def test_a_rounded_rotation_is_made_orthonormal(tmp_path):
    rough = np.round(R, 4)
    assert np.abs(rough @ rough.T - np.eye(3)).max() > 1e-6
    rig = read_rig(write(tmp_path / "a.json", rig_with(R=rough.tolist())))
    np.testing.assert_allclose(rig.R @ rig.R.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(rig.R, R, atol=1e-4)


# ------------------------------------------------------------------------------------------ distortion


@pytest.mark.parametrize("n", [4, 5, 8, 12, 14, "tilted"])
def test_distortion_keeps_opencvs_order(tmp_path, n):
    dist = np.array([-0.2, 0.1, 1e-3, -2e-3, 0.05, 0.01, -0.02, 0.003, 1e-3, 2e-3, -1e-3, 5e-4, 0.02, -0.03])
    dist = dist if n == "tilted" else np.pad(dist[: min(n, 12)], (0, max(n - 12, 0)))
    rig = read_rig(store(tmp_path / "d.yml", K1=K1, D1=dist, K2=K2, D2=dist, R=R, T=T))
    X = np.random.default_rng(0).uniform(-1, 1, (30, 3)) + [0, 0, 4]
    want = cv2.projectPoints(objectPoints=X, rvec=np.zeros(3), tvec=np.zeros(3), cameraMatrix=K1, distCoeffs=dist)[0]
    np.testing.assert_allclose(project(X, rig.cam1.K, dist=rig.cam1.dist), want.reshape(-1, 2), atol=1e-9)


def test_zero_distortion_is_none_and_short_ones_are_radial(tmp_path):
    rig = read_rig(write(tmp_path / "a.json", rig_with(distCoeffs1=[0, 0, 0, 0, 0], distCoeffs2=[-0.2, 0.1])))
    assert len(rig.cam1.dist) == 0
    np.testing.assert_array_equal(rig.cam2.dist, [-0.2, 0.1, 0, 0])


# ------------------------------------------------------------------------------------------ fitting


def rig_of(size=SIZE, pose=True) -> Rig:
    cam1, cam2 = Camera(K1, size, D1, "calibration", "test"), Camera(K2, size, D2, "calibration", "test")
    return Rig(cam1, cam2, R, T, "mm") if pose else Rig(cam1, cam2)


def test_fitting_photos_stay_scaled_ones_scale():
    rig = fit_rig(rig_of(), SIZE, SIZE)
    assert_rig(rig, unit="mm")
    half = fit_rig(rig_of(), (320, 240), (1280, 960))
    assert half.cam1.size == (320, 240) and half.cam2.size == (1280, 960)
    assert "640 x 480 to 320 x 240" in half.cam1.source_detail
    # a point on the outer border of the picture stays on it: x -> (x + 1/2) s - 1/2
    X = np.array([0.3, -0.2, 2.0])
    for camera, whole, s in ((half.cam1, rig.cam1, 0.5), (half.cam2, rig.cam2, 2.0)):
        x = project(X, whole.K, dist=whole.dist)
        np.testing.assert_allclose(project(X, camera.K, dist=camera.dist), (x + 0.5) * s - 0.5, atol=1e-12)
    np.testing.assert_array_equal(half.R, R)
    np.testing.assert_array_equal(half.t, T)
    odd = fit_rig(rig_of(), (213, 160), SIZE)  # a third, rounded
    assert odd.cam1.K[0, 0] == pytest.approx(700 * 213 / 640) and odd.cam1.K[1, 1] == pytest.approx(702 / 3)


@pytest.mark.parametrize("sizes", [((640, 360), SIZE), (SIZE, (480, 640)), ((1000, 1000), SIZE)])
def test_other_proportions_do_not_fit(sizes):
    with pytest.raises(StereoError) as caught:
        fit_rig(rig_of(), *sizes)
    error = caught.value
    assert error.code == "calibration_mismatch" and error.advice
    which = 0 if sizes[0] != SIZE else 1
    assert "640 x 480" in error.message and f"{sizes[which][0]} x {sizes[which][1]}" in error.message
    assert ("first", "second")[which] in error.message and error.numbers["photo"] == sizes[which]


def test_unknown_sizes_go_by_the_principal_point():
    rig = fit_rig(rig_of(UNKNOWN_SIZE), SIZE, SIZE)
    assert rig.cam1.size == rig.cam2.size == SIZE
    np.testing.assert_array_equal(rig.cam1.K, K1)
    for size in ((1600, 1200), (320, 240), (480, 1200)):
        with pytest.raises(StereoError) as caught:
            fit_rig(rig_of(UNKNOWN_SIZE), size, SIZE)
        assert caught.value.code == "calibration_mismatch"


def test_read_rig_fits_when_given_sizes(tmp_path):
    path = write(tmp_path / "calib.txt", MIDDLEBURY)
    rig = read_rig(path, ((320, 240), (320, 240)))
    assert rig.cam1.K[0, 0] == 350 and rig.cam1.source_detail.startswith("Middlebury calib.txt, calib.txt; scaled")
    with pytest.raises(StereoError) as caught:
        read_rig(path, ((741, 500), (741, 500)))
    assert caught.value.code == "calibration_mismatch"


# ------------------------------------------------------------------------------------------ turned photos


def turn_picture(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Upright pixels by numpy alone, in the words of the EXIF standard."""
    across = stored.T if orientation >= 5 else stored
    return {
        1: across,
        2: across[:, ::-1],
        3: across[::-1, ::-1],
        4: across[::-1],
        5: across,
        6: across[:, ::-1],
        7: across[::-1, ::-1],
        8: across[::-1],
    }[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turn_matrix_moves_pixels_as_the_picture_turns(orientation):
    stored = np.arange(12).reshape(3, 4)
    turned = turn_picture(stored, orientation)
    y, x = np.mgrid[:3, :4]
    moved = (turn_matrix(orientation, (4, 3)) @ np.stack([x.ravel(), y.ravel(), np.ones(12)])).T[:, :2].astype(int)
    np.testing.assert_array_equal(turned[moved[:, 1], moved[:, 0]], stored.ravel())


def test_turn_matrix_refuses_other_numbers():
    for wrong in (0, 9, None):
        with pytest.raises(ValueError, match="1 to 8"):
            turn_matrix(wrong, (4, 3))


LONG_DIST = np.array([-0.2, 0.1, 3e-3, -7e-3, 0.05, 0.01, -0.02, 0.003, 4e-3, 2e-3, -1e-3, 5e-4, 0.05, -0.08])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("n", [0, 4, 5, 8, 12, 14])
def test_a_turned_camera_sees_the_same_points_at_the_turned_pixels(orientation, n):
    camera = Camera(K1, SIZE, LONG_DIST[:n])
    turned = turn_camera(camera, orientation)
    A = turn_matrix(orientation, SIZE)
    Q = turn_frame(camera, orientation)
    off = np.abs(Q - np.diag([0, 0, 1]) - np.pad(A[:2, :2], (0, 1))).max()  # a tilt turns the frame by a thousandth
    assert off == 0 if n < 14 else off < 0.01
    X = np.random.default_rng(orientation).uniform(-1, 1, (50, 3)) + [0, 0, 3]
    x = project(X, camera.K, dist=camera.dist)
    np.testing.assert_allclose(project(X @ Q.T, turned.K, dist=turned.dist), x @ A[:2, :2].T + A[:2, 2], atol=1e-9)
    assert turned.size == (SIZE[::-1] if orientation >= 5 else SIZE)
    assert turned.K[0, 0] > 0 and turned.K[1, 1] > 0 and turned.K[1, 0] == 0 and turned.K[2, 2] == 1


def test_turning_there_and_back_changes_nothing():
    camera, flat = Camera(K1, SIZE, LONG_DIST), Camera(K1, SIZE, LONG_DIST[:12])
    for there, back in ((2, 2), (3, 3), (4, 4), (5, 5), (6, 8), (7, 7), (8, 6)):
        again = turn_camera(turn_camera(camera, there), back)
        np.testing.assert_allclose(again.K, camera.K, atol=1e-12)
        np.testing.assert_allclose(again.dist, camera.dist, atol=1e-12)
        np.testing.assert_array_equal(turn_camera(turn_camera(flat, there), back).dist, flat.dist)
        assert again.size == camera.size


@pytest.mark.parametrize("orientations", [(6, 6), (8, 8), (3, 3), (6, 8), (1, 3), (6, 1), (5, 7), (2, 2), (4, 5)])
@pytest.mark.parametrize("size", [SIZE, (320, 240)])
def test_a_rig_turns_with_its_photos(orientations, size):
    """What both turned cameras see of a point is where the turned photos show it."""
    sizes = [size[::-1] if orientation >= 5 else size for orientation in orientations]
    rig = fit_rig(rig_of(), *sizes, orientations=orientations)
    plain = fit_rig(rig_of(), size, size)
    A1, A2 = (turn_matrix(orientation, size) for orientation in orientations)
    X = np.random.default_rng(0).uniform(-1, 1, (50, 3)) * 100 + [0, 0, 600]
    Q1 = A1.copy()
    Q1[:2, 2] = 0
    x1 = project(X, plain.cam1.K, dist=plain.cam1.dist) @ A1[:2, :2].T + A1[:2, 2]
    x2 = project(X, plain.cam2.K, plain.R, plain.t, plain.cam2.dist) @ A2[:2, :2].T + A2[:2, 2]
    np.testing.assert_allclose(project(X @ Q1.T, rig.cam1.K, dist=rig.cam1.dist), x1, atol=1e-9)
    np.testing.assert_allclose(project(X @ Q1.T, rig.cam2.K, rig.R, rig.t, rig.cam2.dist), x2, atol=1e-9)
    np.testing.assert_allclose(rig.R @ rig.R.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(rig.R) > 0 and rig.cam1.size == sizes[0] and rig.cam2.size == sizes[1]


def test_one_mirrored_photo_cannot_keep_the_pose():
    with pytest.raises(StereoError, match="mirrored") as caught:
        fit_rig(rig_of(), SIZE, SIZE, orientations=(2, 1))
    assert caught.value.code == "calibration_mismatch"
    assert not fit_rig(rig_of(pose=False), SIZE, SIZE, orientations=(2, 1)).posed


def test_a_camera_calibrated_on_turned_photos_stays():
    tall = Camera(K1[[1, 0, 2]][:, [1, 0, 2]], (480, 640), D1)
    rig = fit_rig(Rig(tall, tall, R, T, "mm"), (480, 640), (480, 640), orientations=(6, 6))
    np.testing.assert_array_equal(rig.cam1.K, tall.K)
    np.testing.assert_array_equal(rig.R, R)


def test_turned_photos_and_a_camera_of_unknown_size():
    K = np.array([[900.0, 0, 410], [0, 900, 195], [0, 0, 1]])  # made for 800 x 400
    rig = fit_rig(Rig(Camera(K, UNKNOWN_SIZE), Camera(K, UNKNOWN_SIZE)), (400, 800), (800, 400), orientations=(6, 1))
    assert rig.cam1.size == (400, 800) and rig.cam2.size == (800, 400)
    np.testing.assert_array_equal(rig.cam1.K[:2, 2], [399 - 195, 410])
    np.testing.assert_array_equal(rig.cam2.K, K)


# ------------------------------------------------------------------------------------------ writing


finite = st.floats(-1e3, 1e3)


@settings(max_examples=tries(60), deadline=None)
@given(
    st.tuples(st.floats(1, 1e5), st.floats(1, 1e5), st.floats(0, 640), st.floats(0, 480)),
    st.sampled_from([0, 4, 5, 8, 12, 14]).flatmap(lambda n: st.lists(finite, min_size=n, max_size=n)),
    st.one_of(
        st.none(),
        st.tuples(
            st.lists(st.floats(-3, 3), min_size=3, max_size=3),
            st.lists(finite, min_size=3, max_size=3).filter(lambda t: max(map(abs, t)) > 1e-9),
        ),
    ),
    st.sampled_from(["m", "mm", None, UNSTATED_UNIT, "ft"]),
    st.sampled_from([SIZE, UNKNOWN_SIZE, (1, 1)]),
)
def test_a_written_rig_reads_back_the_same(tmp_path_factory, k, dist, pose, unit, size):
    fx, fy, cx, cy = k
    if size == (1, 1):
        cx, cy = 0.0, 0.0
    K, dist = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), np.array(dist)
    dist[12:] *= 1e-3  # at most 1 rad
    if not np.any(dist):
        dist = np.zeros(0)
    dist = dist[:12] if not np.any(dist[12:]) else dist
    cam1, cam2 = Camera(K, size, dist), Camera(K2 if size != (1, 1) else K, size)
    rig = Rig(cam1, cam2) if pose is None else Rig(cam1, cam2, rotation_from_vector(pose[0]), np.array(pose[1]), unit)
    path = tmp_path_factory.mktemp("rig") / "rig é.json"
    assert write_rig(path, rig) == path
    again = read_rig(path)
    for a, b in ((rig.cam1, again.cam1), (rig.cam2, again.cam2)):
        np.testing.assert_array_equal(a.K, b.K)
        np.testing.assert_array_equal(a.dist, b.dist)
        assert a.size == b.size
    assert again.posed == rig.posed and again.unit == rig.unit
    if rig.posed:
        np.testing.assert_allclose(again.R, rig.R, atol=1e-15)
        np.testing.assert_array_equal(again.t, rig.t)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("dist, size", [(D1, SIZE), (np.zeros(0), SIZE), (LONG_DIST, UNKNOWN_SIZE)])
def test_a_written_camera_serves_for_both_photos(tmp_path, dist, size):
    path = write_camera(tmp_path / "camera.json", Camera(K1, size, dist))
    rig = read_rig(path)
    for camera in (rig.cam1, rig.cam2):
        np.testing.assert_array_equal(camera.K, K1)
        np.testing.assert_array_equal(camera.dist, dist)
        assert camera.size == size
    assert not rig.posed
    fitted = read_rig(path, (SIZE, SIZE[::-1]), orientations=(1, 6))
    assert fitted.cam1.size == SIZE and fitted.cam2.size == SIZE[::-1]


def test_an_unwritable_rig_is_an_error(tmp_path):
    write(tmp_path / "file", "x")
    with pytest.raises(StereoError) as caught:
        write_rig(tmp_path / "file" / "rig.json", rig_of())
    assert caught.value.code == "unwritable"


# ------------------------------------------------------------------------------------------ real files


@pytest.fixture(scope="module")
def real_folder() -> Path:
    folder = Path(os.environ.get("STEREO3D_DATA", ""))
    if not os.environ.get("STEREO3D_DATA") or not folder.is_dir():
        pytest.skip("STEREO3D_DATA names no folder of real photographs")
    return folder


@pytest.mark.real_data
def test_real_middlebury_and_eth3d(real_folder):
    rig = read_rig(real_folder / "disparity/Motorcycle/calib.txt", ((741, 500), (741, 500)))
    assert rig.cam1.K[0, 0] == rig.cam2.K[1, 1] == 994.978 and rig.unit == "mm"
    assert rig.cam2.K[0, 2] - rig.cam1.K[0, 2] == pytest.approx(31.086)  # doffs
    np.testing.assert_array_equal(rig.t, [-193.001, 0, 0])
    rig = read_rig(real_folder / "disparity/eth3d_terrace/calib.txt", ((713, 434), (713, 434)))
    assert rig.cam1.K[0, 0] == 711.499 and rig.cam1.K[0, 2] == rig.cam2.K[0, 2] and rig.t[0] == -59.9432


@pytest.mark.real_data
def test_real_kitti(real_folder):
    rig = read_rig(real_folder / "disparity/kitti2012_000070/calib.txt", ((1242, 375), (1242, 375)))
    np.testing.assert_array_equal(rig.cam1.K, [[718.856, 0, 607.1928], [0, 718.856, 185.2157], [0, 0, 1]])
    # f b of the two fourth columns, less the shift that their third rows make
    z = np.array([3.779761e-03, 4.915215e-03])
    x = (np.array([45.38225, -337.2877]) - 607.1928 * z) / 718.856
    np.testing.assert_allclose(rig.t[[0, 2]], [x[1] - x[0], z[1] - z[0]], atol=1e-9)
    assert rig.unit == "m" and np.array_equal(rig.R, np.eye(3))


@pytest.mark.real_data
def test_real_rig_json(real_folder):
    """The file also holds E and F of its own cameras."""
    path = real_folder / "photos/lawn/rig.json"
    rig, stated = read_rig(path, ((1280, 720), (1280, 720))), json.loads(path.read_text())
    tx = np.cross(rig.t, np.eye(3)).T
    np.testing.assert_allclose(tx @ rig.R, stated["E"], atol=1e-6)
    F = np.linalg.inv(rig.cam2.K).T @ tx @ rig.R @ np.linalg.inv(rig.cam1.K)
    np.testing.assert_allclose(F / F[2, 2], stated["F"], rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(rig.cam1.dist, stated["distCoeffs1"])
    assert np.linalg.norm(rig.t) == pytest.approx(80.256, abs=1e-3)


@pytest.mark.real_data
def test_real_opencv_files(real_folder):
    folder = real_folder / "calibration/chessboard"
    rig = read_rig(folder / "intrinsics.yml", (SIZE, SIZE))
    assert rig.cam1.K[0, 2] == 3.3568643204394891e02 and rig.cam2.K[1, 2] == 2.4205324573376600e02
    assert rig.cam2.dist[0] == -1.6916358306948096e-01 and not rig.posed
    rig = read_rig(folder / "left_intrinsics.yml", (SIZE, SIZE))
    assert rig.cam1.size == SIZE and rig.cam1.K[0, 0] == 5.3591573396163199e02 and len(rig.cam1.dist) == 5
    with pytest.raises(StereoError, match="no camera matrix"):
        read_rig(folder / "stereo_calib.xml")  # a list of pictures


@pytest.mark.real_data
def test_real_cameras_json(real_folder):
    path = real_folder / "photos/fountain/cameras.json"
    rig, stated = read_rig(path, names=("0004.jpg", "0005.jpg")), json.loads(path.read_text())["cameras"]
    # the distance of the two centres, and camera 1's centre as camera 2 sees it
    C1, C2 = np.array(stated["0004"]["C"]), np.array(stated["0005"]["C"])
    assert np.linalg.norm(rig.t) == pytest.approx(np.linalg.norm(C1 - C2), rel=1e-4)
    np.testing.assert_allclose(rig.t, np.array(stated["0005"]["R"]) @ (C1 - C2), atol=1e-4)
    with pytest.raises(StereoError, match="holds 4 cameras"):
        read_rig(path)


@pytest.mark.real_data
def test_real_exif_focal_lengths(real_folder):
    from stereo3d.images import read_photo

    photo = read_photo(real_folder / "photos/sceaux/100_7101.JPG")
    camera = camera_for(photo)
    true = read_rig(real_folder / "photos/sceaux/K.txt", (photo.size, photo.size)).cam1
    assert camera.source == "exif" and abs(camera.focal / true.focal - 1) < 0.02  # whole mm of 35: 1.4 %
    camera = camera_for(read_photo(real_folder / "photos/kermit/kermit000.jpg"))
    assert camera.focal == pytest.approx(5.40625 * 3101.781 / 25.4, rel=1e-5) and "122.1 px/mm" in camera.source_detail
