"""Every form of calibration file: one rig written as each program writes it, read back, and damaged.

The files are made here from the documented conventions of the programs, with the numbers below as truth.
"""

import io
import json
import struct
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from stereo3d.cameras import read_rig
from stereo3d.cameras.files import MAX_BYTES
from stereo3d.cameras.formats import UNKNOWN_SIZE
from stereo3d.cameras.formats.check import wide_lens
from stereo3d.cameras.read import BINARY_READERS, READERS
from stereo3d.errors import StereoError
from stereo3d.geometry import project, rotation_from_vector
from stereo3d.geometry.rotations import quaternion_from_rotation
from stereo3d.pipeline.cameras import cameras_of
from stereo3d.pipeline.config import Config
from stereo3d.records import Photo, WideLens

W, H = SIZE = (640, 480)
K1 = np.array([[700.25, 0, 322.5], [0, 700.25, 238.25], [0, 0, 1]])
K2 = np.array([[710.5, 0, 318.0], [0, 710.5, 241.5], [0, 0, 1]])
D1, D2 = np.array([-0.1, 0.02, 0.001, -0.002, 0.0]), np.array([-0.12, 0.03, 0.0005, 0.0002, 0.0])
VECTOR = np.array([0.01, -0.05, 0.02])
R, T = rotation_from_vector(VECTOR), np.array([-0.25, 0.0125, -0.0075])
V1, C1 = np.array([0.3, 0.1, -0.4]), np.array([4.0, -2.0, 1.0])  # camera 1 in a world: rotation vector and centre
R1 = rotation_from_vector(V1)
T1 = -R1 @ C1
R2, T2 = R @ R1, R @ T1 + T
C2 = -R2.T @ T2
GL = np.diag([1.0, -1.0, -1.0])
NAMES = ("left.png", "right.jpg")


def words(values) -> str:
    return " ".join(repr(float(v)) for v in np.ravel(values))


def rows(matrix) -> str:
    return "\n".join(words(row) for row in matrix)


def pose(R, t) -> list:
    return np.vstack([np.column_stack([R, t]), [0, 0, 0, 1]]).tolist()


def numbers(K) -> list:
    return [K[0, 0], K[1, 1], K[0, 2], K[1, 2]]


def keyed(keys: str, values) -> list[tuple[str, float]]:
    """Names and their numbers, as many as there are of both."""
    return list(zip(keys.split(), map(float, values), strict=False))


def opencv(**entries) -> str:
    storage = cv2.FileStorage("x.yml", cv2.FILE_STORAGE_WRITE | cv2.FILE_STORAGE_MEMORY)
    for key, value in entries.items():
        storage.write(key, value)
    return storage.releaseAndGetString()


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def mat(compressed=True, **arrays) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, arrays, do_compression=compressed)
    return file.getvalue()


def kalibr(model="pinhole", lens="radtan", extra=(), dist=(D1[:4], D2[:4])) -> str:
    chain = ""
    for i, (K, d) in enumerate(zip((K1, K2), dist, strict=True)):
        chain += f"cam{i}:\n  camera_model: {model}\n  distortion_coeffs: {list(map(float, d))}\n"
        chain += f"  distortion_model: {lens}\n  intrinsics: {[*extra, *map(float, numbers(K))]}\n"
        chain += f"  resolution: [{W}, {H}]\n  rostopic: /cam{i}/image_raw\n"
        if i:
            chain += "  T_cn_cnm1:\n" + "".join(f"  - {row}\n" for row in pose(R, T))
    return chain


BODY = pose(rotation_from_vector([1.2, 0.1, 0.2]), [0.1, -0.2, 0.05])  # camera 1 in the body


def euroc(K, dist, T_BS) -> str:
    return (
        "# General sensor definitions.\nsensor_type: camera\ncomment: cam\n\nT_BS:\n  cols: 4\n  rows: 4\n"
        f"  data: {np.ravel(T_BS).tolist()}\nrate_hz: 20\nresolution: [{W}, {H}]\ncamera_model: pinhole\n"
        f"intrinsics: {list(map(float, numbers(K)))} #fu, fv, cu, cv\ndistortion_model: radial-tangential\n"
        f"distortion_coefficients: {dist[:4].tolist()}\n"
    )


EUROC = euroc(K1, D1, BODY), euroc(K2, D2, np.array(BODY) @ np.linalg.inv(pose(R, T)))


def orbslam(kind="PinHole", lens="k1 k2 p1 p2") -> str:
    text = f'%YAML:1.0\nFile.version: "1.0"\nCamera.type: "{kind}"\nCamera.width: {W}\nCamera.height: {H}\n'
    for i, (K, d) in enumerate(((K1, D1), (K2, D2)), 1):
        text += "".join(f"Camera{i}.{n}: {v!r}\n" for n, v in keyed("fx fy cx cy", numbers(K)))
        text += "".join(f"Camera{i}.{n}: {v!r}\n" for n, v in keyed(lens, d))
    T_c1_c2 = np.linalg.inv(pose(R, T)).ravel().tolist()
    return text + f"Stereo.T_c1_c2: !!opencv-matrix\n  rows: 4\n  cols: 4\n  dt: f\n  data: {T_c1_c2}\n"


def zed(mode_sizes=((1280, 720, 1), (1920, 1080, 1.5))) -> str:
    text = ""
    for (w, _, s), mode in zip(mode_sizes, ("HD", "FHD"), strict=True):
        assert w
        for side, K, d in (("LEFT", K1, D1), ("RIGHT", K2, D2)):
            text += f"[{side}_CAM_{mode}]\n"
            text += "".join(f"{n}={s * v!r}\n" for n, v in keyed("fx fy cx cy", numbers(K)))
            text += "".join(f"{n}={v!r}\n" for n, v in keyed("k1 k2 p1 p2 k3", d)) + "\n"
    b, ty, tz = (np.array([-1000, 1000, 1000]) * T).tolist()
    text += f"[STEREO]\nBaseline={b!r}\nTY={ty!r}\nTZ={tz!r}\n"
    rx, cv, rz = VECTOR.tolist()
    return text + "".join(f"RX_{m}={rx!r}\nCV_{m}={cv!r}\nRZ_{m}={rz!r}\n" for m in ("HD", "FHD"))


def depthai() -> str:
    def camera(K, d, to, extrinsics):
        R, t = extrinsics
        return {
            "cameraType": 0,
            "distortionCoeff": [*d.tolist(), *[0.0] * 9],
            "extrinsics": {
                "rotationMatrix": R.tolist(),
                "toCameraSocket": to,
                "translation": dict(zip("xyz", t.tolist(), strict=True)),
            },
            "width": W,
            "height": H,
            "intrinsicMatrix": K.tolist(),
        }

    other = rotation_from_vector([0.0, 0.1, 0.0]), np.array([3.0, 0, 0])  # from the right camera to the colour camera
    data = [[0, camera(K1, D1, -1, (np.zeros((0, 0)), np.zeros(3)))]]
    data += [[1, camera(K1, D1, 2, (R, 100 * T))], [2, camera(K2, D2, 0, other)]]
    return json.dumps({"cameraData": data, "stereoRectificationData": {"leftCameraSocket": 1, "rightCameraSocket": 2}})


def meshroom(path=False) -> str:
    def intrinsic(i, K, d):
        offset = [K[0, 2] + 0.5 - W / 2, K[1, 2] + 0.5 - H / 2]
        return {
            "intrinsicId": str(i),
            "width": str(W),
            "height": str(H),
            "sensorWidth": "36",
            "focalLength": repr(float(K[0, 0] / W * 36)),
            "type": "radial3",
            "principalPoint": list(map(repr, map(float, offset))),
            "distortionParams": [repr(float(d[0])), repr(float(d[1])), "0"],
        }

    def placed(i, R, C):
        columns = list(map(repr, R.ravel(order="F").tolist()))
        return {"poseId": str(i), "pose": {"transform": {"rotation": columns, "center": list(map(repr, C.tolist()))}}}

    views = [
        {"viewId": str(i), "poseId": str(i), "intrinsicId": str(i), "path": f"/x/{n}"} for i, n in enumerate(NAMES)
    ]
    views.append({"viewId": "7", "poseId": "7", "intrinsicId": "0", "path": "/x/third.png"})
    root = {"version": ["1", "2", "6"], "views": views, "intrinsics": [intrinsic(0, K1, D1), intrinsic(1, K2, D2)]}
    return json.dumps(root | {"poses": [placed(0, R1, C1), placed(1, R2, C2)]})


def opensfm() -> str:
    def camera(K, d):
        return {
            "projection_type": "brown",
            "width": W,
            "height": H,
            "focal_x": K[0, 0] / W,
            "focal_y": K[1, 1] / W,
            "c_x": (K[0, 2] - (W - 1) / 2) / W,
            "c_y": (K[1, 2] - (H - 1) / 2) / W,
        } | dict(zip(("k1", "k2", "p1", "p2", "k3"), d.tolist(), strict=True))

    def shot(name, R, t):
        return {"camera": name, "rotation": cv2.Rodrigues(R)[0].ravel().tolist(), "translation": t.tolist()}

    shots = {NAMES[0]: shot("a", R1, T1), NAMES[1]: shot("b", R2, T2), "third.png": shot("a", np.eye(3), C1)}
    return json.dumps([{"cameras": {"a": camera(K1, D1), "b": camera(K2, D2)}, "shots": shots, "points": {}}])


def nerf(model="OPENCV") -> str:
    frames = []
    for name, K, d, R, C in zip(NAMES, (K1, K2), (D1, D2), (R1, R2), (C1, C2), strict=True):
        own = {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2] + 0.5, "cy": K[1, 2] + 0.5, "w": W, "h": H}
        own |= dict(keyed("k1 k2 p1 p2", d))
        frames.append(own | {"file_path": f"./images/{name}", "transform_matrix": pose(R.T @ GL, C)})
    frames.append(frames[0] | {"file_path": "./images/third.png"})
    return json.dumps({"camera_model": model, "frames": frames})


def bundler(count=2) -> str:
    text = f"# Bundle file v0.3\n{count} 0\n"
    for R, t in ((R1, T1), (R2, T2)):
        text += f"{float(K1[0, 0])!r} -0.1 0.02\n{rows(GL @ R)}\n{words(GL @ t)}\n"
    return text


def strecha(K, R, C) -> str:
    return f"{rows(K)}\n0 0 0\n{rows(R.T)}\n{words(C)}\n{W} {H}\n"


def mvsnet(K, R, t) -> str:
    return f"extrinsic\n{rows(pose(R, t))}\n\nintrinsic\n{rows(K)}\n\n425.0 2.5\n"


def par() -> str:
    views = [(NAMES[0], K1, R1, T1), (NAMES[1], K2, R2, T2), ("third.png", K1, np.eye(3), C1)]
    return "3\n" + "".join(f"{name} {words(K)} {words(R)} {words(t)}\n" for name, K, R, t in views)


def metashape(K, d, extra="", projection="frame") -> str:
    values = {"f": K[1, 1], "cx": K[0, 2] + 0.5 - W / 2, "cy": K[1, 2] + 0.5 - H / 2}
    values |= {"k1": d[0], "k2": d[1], "k3": d[4], "p1": d[3], "p2": d[2]}
    tags = "".join(f"<{key}>{float(value)!r}</{key}>\n" for key, value in values.items())
    head = f"<projection>{projection}</projection>\n<width>{W}</width>\n<height>{H}</height>\n"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<calibration>\n{head}{tags}{extra}</calibration>\n'


def metashape_cameras() -> str:
    def sensor(i, K, d):
        inner = metashape(K, d).partition("<calibration>")[2]
        resolution = f'<resolution width="{W}" height="{H}"/>'
        return f'<sensor id="{i}">{resolution}<calibration type="frame" class="adjusted">{inner}</sensor>'

    cameras = "".join(
        f'<camera id="{i}" sensor_id="{i}" label="{name}"><transform>{words(pose(R.T, C))}</transform></camera>'
        for i, (name, R, C) in enumerate(zip(("left", "right"), (R1, R2), (C1, C2), strict=True))
    )
    cameras += '<camera id="5" sensor_id="0" label="third"/>'
    return (
        f'<?xml version="1.0"?><document version="2.0.0"><chunk label="x"><sensors>{sensor(0, K1, D1)}'
        f"{sensor(1, K2, D2)}</sensors><cameras>{cameras}</cameras></chunk></document>"
    )


def kitti_raw() -> str:
    text = "calib_time: 09-Jan-2012 13:57:47\n"
    flat = np.array([[650.0, 0, 300], [0, 650, 180], [0, 0, 1]])
    for n, K, d, R, t in (("02", K1, D1, R1, T1), ("03", K2, D2, R2, T2)):
        P = np.column_stack([flat, [0.0 if n == "02" else -650 * np.linalg.norm(T), 0, 0]])
        for key, value in dict(S=SIZE, K=K, D=d, R=R, T=t, S_rect=(600, 360), R_rect=np.eye(3), P_rect=P).items():
            text += f"{key}_{n}: {words(value)}\n"
    return text


def drivingstereo() -> str:
    text = "calib_time: 20180703\n"
    for n, factor in (("101", 0.0), ("103", 2.0)):  # files for half the size keep the last column of the full size
        P = np.column_stack([K1, [-K1[0, 0] * factor * np.linalg.norm(T), 0, 0]])
        t = T if factor else np.zeros(3)
        for key, value in dict(S=(960, 600), T=t, S_rect=SIZE, P_rect=P).items():
            text += f"{key}_{n}: {words(value)}\n"
    return text


def bouguet(side="", K=K1, d=D1) -> str:
    return (
        (
            f"%-- Focal length:\nfc{side} = [ {K[0, 0]!r} ; {K[1, 1]!r} ];\n\n%-- Principal point: = [ 1 ; 2 ]\n"
            f"cc{side} = [ {K[0, 2]!r} ; {K[1, 2]!r} ];\nalpha_c{side} = 0.000000000000000;\n"
            f"kc{side} = [ {' ; '.join(map(repr, d.tolist()))} ];\n"
        )
        .replace("np.float64(", "")
        .replace(")", "")
    )


BOUGUET = (
    bouguet("_left")
    + bouguet("_right", K2, D2)
    + f"om = [ {words(VECTOR)} ];\nT = [ {words(T)} ];\nnx = {W};\nny = {H};\n"
)


def rig_text(python: bool) -> str:
    text = ""
    for name, value in dict(K1=K1, D1=D1, K2=K2, D2=D2, R=R, T=T).items():
        listed = np.atleast_2d(value).tolist()
        matlab = "; ".join(words(row) for row in listed)
        text += f"{name} = np.array({listed})  # of a rig\n" if python else f"{name} = [{matlab}];\n"
    return text


def realsense(model="distortion.brown_conrady", coeffs=D1) -> str:
    values = dict(keyed("fx fy ppx ppy", numbers(K1)))
    return json.dumps(values | {"width": W, "height": H, "model": model, "coeffs": list(coeffs)})


def open3d(cameras=2) -> str:
    found = [
        {
            "class_name": "PinholeCameraParameters",
            "extrinsic": np.array(pose(R, t)).ravel(order="F").tolist(),
            "intrinsic": {"height": H, "width": W, "intrinsic_matrix": K.ravel(order="F").tolist()},
        }
        for K, R, t in ((K1, R1, T1), (K2, R2, T2))
    ][:cameras]
    return json.dumps({"class_name": "PinholeCameraTrajectory", "parameters": found} if cameras == 2 else found[0])


NESTED = {
    "left": {"K": K1.tolist(), "dist": D1.tolist()},
    "right": {"K": K2.tolist(), "dist": D2.tolist()},
    "R": R.tolist(),
    "T": T.tolist(),
}
ARRAYS = dict(K1=K1, D1=D1, K2=K2, D2=D2, R=R, T=T)
MIDDLEBURY = f"cam0=[{words(K1)}]\ncam1=[{words(K1)}]\nbaseline=193.001\nwidth={W}\nheight={H}\n"
COLMAP = "".join(
    f"{i} OPENCV {W} {H} {words([K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5, *d[:4]])}\n"
    for i, K, d in ((1, K1, D1), (2, K2, D2))
)
COLMAP_IMAGES = "".join(
    f"{i} {words(quaternion_from_rotation(R))} {words(t)} {i} sub/{name}\n\n"
    for i, name, R, t in ((1, NAMES[0], R1, T1), (2, NAMES[1], R2, T2))
)
ROS = (
    f"image_width: {W}\nimage_height: {H}\ncamera_matrix:\n  rows: 3\n  cols: 3\n  data: {K1.ravel().tolist()}\n"
    f"distortion_model: plumb_bob\ndistortion_coefficients:\n  rows: 1\n  cols: 5\n  data: {D1.tolist()}\n"
)
# Form -> its file, and what of the rig the file holds: cameras (1 or 2), distortion, pose (scale: of t), size.
FULL, ONE = {"cameras": 2, "dist": True, "pose": True}, {"cameras": 1, "dist": True, "pose": False}
FORMS: dict[str, tuple[str | bytes, dict]] = {
    "ORB-SLAM settings": (orbslam(), FULL),
    "OpenCV YAML/XML": (opencv(M1=K1, M2=K2, D1=D1, D2=D2, R=R, T=T), FULL | {"size": None}),
    "Bundler bundle.out": (bundler(), {"cameras": 0, "pose": True}),
    "OCamCalib": ("#polynomial coefficients for the DIRECT mapping function (ocam_model.ss)\n5 -551 0 8e-4 0 0\n", {}),
    "ZED conf": (zed(), {"cameras": 0}),
    "MVSNet cam.txt": (mvsnet(K1, R1, T1), ONE | {"dist": False, "size": None}),
    "Strecha .camera": (strecha(K1, R1, C1), ONE | {"dist": False}),
    "Middlebury par.txt": (par(), FULL | {"dist": False, "size": None}),
    "COLMAP cameras.txt, images.txt": (COLMAP + COLMAP_IMAGES, FULL),
    "Kalibr camchain": (kalibr(), FULL),
    "EuRoC sensor.yaml": (EUROC[0], ONE),
    "ROS camera_info": (ROS, ONE),
    "Metashape XML": (metashape(K1, D1), ONE),
    "Meshroom .sfm": (meshroom(), FULL | {"dist": 2}),
    "OpenSfM JSON": (opensfm(), FULL),
    "NeRF transforms.json": (nerf(), FULL),
    "Open3D JSON": (open3d(), FULL | {"dist": False}),
    "RealSense intrinsics": (realsense(), ONE),
    "DepthAI (OAK-D) JSON": (depthai(), FULL | {"scale": 1000}),
    "cameras.json": (
        json.dumps(
            {
                "unit": "m",
                "cameras": {
                    "left": {"K": K1.tolist(), "size": SIZE, "dist": D1.tolist(), "R": R1.tolist(), "t": T1.tolist()},
                    "right": {"K": K2.tolist(), "size": SIZE, "dist": D2.tolist(), "R": R2.tolist(), "t": T2.tolist()},
                },
            }
        ),
        FULL,
    ),
    "rig JSON": (json.dumps(NESTED), FULL | {"size": None}),
    "Middlebury calib.txt": (MIDDLEBURY, {"cameras": 0}),
    "KITTI calib": (kitti_raw(), {"cameras": 0}),
    "DrivingStereo": (drivingstereo(), {"cameras": 0}),
    "Bouguet Calib_Results.m": (BOUGUET, FULL),
    "MATLAB or Python text": (rig_text(python=True), FULL | {"size": None}),
    "3 x 3 camera matrix": (rows(K1), ONE | {"dist": False, "size": None}),
    "NumPy .npz": (npz(**ARRAYS), FULL | {"size": None}),
    "NumPy .npy": (npy(K1), ONE | {"dist": False, "size": None}),
    "MATLAB .mat": (mat(**ARRAYS), FULL | {"size": None}),
}


def written(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def assert_rig(rig, cameras=2, dist: bool | int = True, pose=True, scale=1.0, size: tuple | None = SIZE) -> None:
    """The rig is that of this module, to 1e-9 of its numbers."""
    second = (rig.cam2, K2, D2) if cameras == 2 else (rig.cam2, K1, D1)
    for found, K, d in ((rig.cam1, K1, D1), second):
        np.testing.assert_allclose(found.K, K, rtol=1e-9, atol=1e-9)
        want = np.zeros(0) if not dist else d[:2] if dist == 2 else d
        got = np.pad(found.dist, (0, 14 - len(found.dist)))
        np.testing.assert_allclose(got, np.pad(want, (0, 14 - len(want))), atol=1e-12)
        assert found.size == (size or UNKNOWN_SIZE)
    assert rig.posed == pose
    if pose:
        np.testing.assert_allclose(rig.R, R, atol=1e-9)
        np.testing.assert_allclose(rig.t, scale * T, rtol=1e-8, atol=1e-9 * scale)


def test_every_form_has_a_file_here_and_is_recognised_by_its_reader_alone():
    assert set(FORMS) == set(READERS) | set(BINARY_READERS)
    for form, (content, _) in FORMS.items():
        readers = BINARY_READERS if isinstance(content, bytes) else READERS
        fitting = [name for name, reader in readers.items() if reader.fits(content)]
        assert fitting[0] == form, (form, fitting)
        general = {"rig JSON", "ROS camera_info", "OpenCV YAML/XML", "MATLAB or Python text"}  # forms last in the order
        assert set(fitting[1:]) <= general, (form, fitting)


@pytest.mark.parametrize("form", [form for form, (_, holds) in FORMS.items() if holds.get("cameras")])
def test_the_rig_of_every_form(tmp_path, form):
    content, holds = FORMS[form]
    rig = read_rig(written(tmp_path / "a file", content), names=NAMES)
    assert_rig(rig, **holds)
    assert rig.cam1.source == "calibration" and rig.cam1.source_detail == f"{form}, a file"


# Form -> a part of its text and what replaces it, and the words of the message.
DAMAGED = {
    "ORB-SLAM settings": ("Camera1.cx", "Camera1.cz", "ORB-SLAM"),
    "OpenCV YAML/XML": ("cols: 3", "cols: 4", "M1"),
    "Bundler bundle.out": ("2 0\n", "9 0\n", "Bundler"),
    "OCamCalib": ("551", "552", "OCamCalib"),
    "ZED conf": ("fx=", "fw=", "ZED"),
    "MVSNet cam.txt": ("intrinsic\n", "intrinsic\na ", "MVSNet"),
    "Strecha .camera": ("640 480", "640 x", "no known format"),
    "Middlebury par.txt": ("right.jpg ", "right.jpg 1 ", "par.txt"),
    "COLMAP cameras.txt, images.txt": ("2 OPENCV", "3 OPENCV", "no camera 2"),
    "Kalibr camchain": ("intrinsics: [", "intrinsics: [1, ", "Kalibr"),
    "EuRoC sensor.yaml": ("intrinsics: [", "intrinsics: [1, ", "EuRoC"),
    "ROS camera_info": ("camera_matrix", "matrix", "ROS"),
    "Metashape XML": ("<f>", "<f>a", "Metashape"),
    "Meshroom .sfm": ("sensorWidth", "sensor", "Meshroom"),
    "OpenSfM JSON": ("focal_y", "focal_z", "OpenSfM"),
    "NeRF transforms.json": ("fl_x", "fl_w", "NeRF"),
    "Open3D JSON": ('"intrinsic"', '"inner"', "Open3D"),
    "RealSense intrinsics": ('"fx"', '"fw"', "RealSense"),
    "DepthAI (OAK-D) JSON": ('[2, {"cameraType"', '[3, {"cameraType"', "DepthAI"),
    "cameras.json": ('"K"', '"L"', "no K for the camera left"),
    "rig JSON": ('"left": {"K"', '"left": {"L"', "no camera matrix for camera 1"),
    "Middlebury calib.txt": ("baseline", "base", "baseline"),
    "KITTI calib": ("K_03: ", "K_03: a", "K_03"),
    "DrivingStereo": ("P_rect_103", "P_rect_104", "DrivingStereo"),
    "Bouguet Calib_Results.m": ("cc_left", "cd_left", "Bouguet"),
    "MATLAB or Python text": ("]])", "", "MATLAB or Python"),
    "3 x 3 camera matrix": ("322.5", "nan", "finite"),
    "NumPy .npz": (b"PK", b"PK\x03\x04\x00", "npz"),
    "NumPy .npy": (b"descr", b"desks", "npy"),
    "MATLAB .mat": (b"IM\x0f", b"IM\x09", "MAT-file"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_file_of_every_form_is_refused_by_name(tmp_path, form):
    content, _ = FORMS[form]
    old, new, message = DAMAGED[form]
    assert old in content  # pyright: ignore[reportOperatorIssue]
    path = written(tmp_path / "damaged", content.replace(old, new))  # pyright: ignore[reportArgumentType]
    with pytest.raises(StereoError, match=message) as caught:
        read_rig(path, (SIZE, SIZE), names=NAMES)
    assert caught.value.code == "bad_calibration" and caught.value.advice and str(path) in caught.value.message


@pytest.mark.parametrize("form", FORMS)
def test_a_file_cut_off_anywhere_gives_a_rig_or_a_stereo_error(tmp_path, form):
    content, _ = FORMS[form]
    for part in (0.05, 0.3, 0.5, 0.8, 0.97):
        path = written(tmp_path / "cut", content[: max(1, int(part * len(content)))])
        try:
            rig = read_rig(path, names=NAMES)
        except StereoError as error:
            assert error.code == "bad_calibration"
        else:
            assert np.all(np.isfinite(rig.cam1.K))


# ------------------------------------------------------------------------------------------ forms that need more


def test_bundler_takes_the_centre_of_the_photos(tmp_path):
    path = written(tmp_path / "bundle.out", bundler())
    rig = read_rig(path, ((W, H), (W, H)))
    np.testing.assert_allclose(rig.cam2.K, [[K1[0, 0], 0, (W - 1) / 2], [0, K1[0, 0], (H - 1) / 2], [0, 0, 1]])
    np.testing.assert_allclose(rig.R, R, atol=1e-12)
    np.testing.assert_allclose(rig.t, T, atol=1e-12)
    X = np.array([[0.3, -0.2, 5.0]]) @ R1 + C1  # seen by camera 1 at (0.3, -0.2, 5) with y down
    P = (GL @ R1 @ X.T).T + GL @ T1
    p = -P[:, :2] / P[:, 2:]
    r2 = np.sum(p**2)
    p = K1[0, 0] * (1 - 0.1 * r2 + 0.02 * r2**2) * p  # Bundler's formulas: from the centre, y up
    want = [(W - 1) / 2 + p[0, 0], (H - 1) / 2 - p[0, 1]]
    np.testing.assert_allclose(project(X, rig.cam1.K, R1, T1, rig.cam1.dist)[0], want, atol=1e-9)
    with pytest.raises(StereoError, match="Bundler.*no picture size"):
        read_rig(path)
    written(tmp_path / "list.txt", "images/right.jpg 0 700\nimages/left.png\n")
    np.testing.assert_allclose(read_rig(path, (SIZE, SIZE), names=NAMES).R, R.T, atol=1e-12)


def test_a_large_bundle_is_read_for_its_cameras(tmp_path):
    points = "1.5 2.5 3.5\n128 128 128\n2 0 12 1.5 2.5 1 13 2.5 3.5\n"
    path = written(tmp_path / "bundle.out", bundler() + points * (MAX_BYTES // len(points)))
    assert read_rig(path, (SIZE, SIZE)).posed


def test_zed_takes_the_section_of_the_photos(tmp_path):
    path = written(tmp_path / "SN1.conf", zed())
    for size, s in (((1280, 720), 1), ((1920, 1080), 1.5)):
        rig = read_rig(path, (size, size))
        np.testing.assert_allclose(numbers(rig.cam2.K), s * np.array(numbers(K2)))
        np.testing.assert_allclose(rig.t, 1000 * T)
        np.testing.assert_allclose(rig.R, R, atol=1e-12)
        assert rig.unit == "mm" and rig.cam1.size == size
        np.testing.assert_allclose(rig.cam1.dist, D1)
    for sizes in (None, (SIZE, SIZE)):
        with pytest.raises(StereoError, match="ZED.*HD 1280x720.*photos' size"):
            read_rig(path, sizes)
    same = written(tmp_path / "same.conf", zed(((1280, 720, 1), (1920, 1080, 1))))
    np.testing.assert_allclose(read_rig(same, (SIZE, SIZE)).cam1.K, K1)


def test_kitti_raw_goes_by_the_size_of_the_photos(tmp_path):
    path = written(tmp_path / "calib_cam_to_cam.txt", kitti_raw())
    assert_rig(read_rig(path, (SIZE, SIZE)))
    flat = read_rig(path, ((600, 360), (600, 360)))
    assert flat.cam1.K[0, 0] == 650 and len(flat.cam1.dist) == 0
    np.testing.assert_allclose(flat.t, [-np.linalg.norm(T), 0, 0], atol=1e-12)


def test_drivingstereo_has_the_baseline_of_its_cameras(tmp_path):
    rig = read_rig(written(tmp_path / "2018.txt", drivingstereo()))
    np.testing.assert_allclose(rig.t, [-np.linalg.norm(T), 0, 0], rtol=1e-12)
    np.testing.assert_array_equal(rig.cam2.K, K1)


@pytest.mark.parametrize("relative", [True, False])
def test_meshroom_stores_the_principal_point_from_the_centre_or_the_corner(tmp_path, relative):
    root = json.loads(meshroom())
    if not relative:
        for entry in root["intrinsics"]:
            x, y = map(float, entry["principalPoint"])
            entry["principalPoint"] = [repr(x + W / 2), repr(y + H / 2)]
    assert_rig(read_rig(written(tmp_path / "cameras.sfm", json.dumps(root)), names=NAMES), dist=2)
    root["intrinsics"][0]["principalPoint"] = [str(W), "0"]
    with pytest.raises(StereoError, match="principalPoint.*Meshroom"):
        read_rig(written(tmp_path / "cameras.sfm", json.dumps(root)), names=NAMES)


def test_metashape_projects_as_its_manual_says(tmp_path):
    path = written(tmp_path / "c.xml", metashape(K1, D1, "<b1>3.5</b1><b2>-1.25</b2>"))
    camera = read_rig(path).cam1
    X = np.random.default_rng(1).uniform(-1, 1, (20, 3)) * [1, 1, 0.5] + [0, 0, 3]
    x, y = (X[:, :2] / X[:, 2:]).T
    r2 = x * x + y * y
    k1, k2, p2, p1, k3 = D1
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    u = x * radial + p1 * (r2 + 2 * x * x) + 2 * p2 * x * y
    v = y * radial + p2 * (r2 + 2 * y * y) + 2 * p1 * x * y
    f, cx, cy = K1[1, 1], K1[0, 2] + 0.5 - W / 2, K1[1, 2] + 0.5 - H / 2
    want = np.stack([W / 2 + cx + u * f + u * 3.5 - v * 1.25, H / 2 + cy + v * f], -1)
    np.testing.assert_allclose(project(X, camera.K, dist=camera.dist) + 0.5, want, atol=1e-9)


def test_metashape_cameras_are_chosen_by_their_labels(tmp_path):
    assert_rig(read_rig(written(tmp_path / "cameras.xml", metashape_cameras()), names=NAMES))
    swapped = read_rig(tmp_path / "cameras.xml", names=NAMES[::-1])
    np.testing.assert_allclose(swapped.R, R.T, atol=1e-12)
    for extra in ("<k4>0.1</k4>", "<p3>0.1</p3>"):
        with pytest.raises(StereoError, match="k4, p3 or p4.*Metashape"):
            read_rig(written(tmp_path / "c.xml", metashape(K1, D1, extra)))


def test_nerf_with_an_angle_needs_the_size(tmp_path):
    frames = [
        {"file_path": f"./train/{name}", "transform_matrix": pose(R.T @ GL, C)}
        for name, R, C in ((Path(NAMES[0]).stem, R1, C1), (Path(NAMES[1]).stem, R2, C2))
    ]
    text = json.dumps({"camera_angle_x": 2 * np.arctan(W / 2 / K1[0, 0]), "frames": frames})
    path = written(tmp_path / "transforms_train.json", text)
    rig = read_rig(path, (SIZE, SIZE), names=NAMES)
    np.testing.assert_allclose(rig.cam2.K, [[K1[0, 0], 0, (W - 1) / 2], [0, K1[0, 0], (H - 1) / 2], [0, 0, 1]])
    np.testing.assert_allclose(rig.t, T, atol=1e-12)
    with pytest.raises(StereoError, match="NeRF"):
        read_rig(path, names=NAMES)


def test_orbslam_rectified_pairs_and_single_cameras(tmp_path):
    one = orbslam().partition("Camera2")[0]
    assert not read_rig(written(tmp_path / "one.yaml", one + "Stereo.b: np.float64(0.12)\n")).posed
    rectified = read_rig(written(tmp_path / "r.yaml", one.replace("PinHole", "Rectified") + "Stereo.b: 0.12\n"))
    np.testing.assert_array_equal(rectified.t, [-0.12, 0, 0])
    old = "%YAML:1.0\n" + "".join(f"Camera.{n}: {v!r}\n" for n, v in keyed("fx fy cx cy", numbers(K1)))
    rig = read_rig(written(tmp_path / "old.yaml", old + f"Camera.bf: {0.12 * float(K1[0, 0])!r}\n"))
    np.testing.assert_allclose(rig.t, [-0.12, 0, 0])


@pytest.mark.parametrize("python", [True, False])
def test_matrices_as_text_of_matlab_and_python(tmp_path, python):
    assert_rig(read_rig(written(tmp_path / "rig.txt", rig_text(python))), size=None)
    for text in (f"K = [{'; '.join(words(row) for row in K1)}];", f"mtx = {K1.tolist()}\n", f"K =\n{K1.tolist()}"):
        if "=\n" not in text:
            assert_rig(read_rig(written(tmp_path / "K.txt", text)), **ONE | {"dist": False, "size": None})


def test_a_single_camera_of_bouguet_and_open3d(tmp_path):
    rig = read_rig(written(tmp_path / "Calib_Results.m", bouguet() + f"nx = {W};\nny = {H};\n"))
    assert_rig(rig, **ONE)
    rig = read_rig(written(tmp_path / "camera.json", open3d(1)))
    assert_rig(rig, **ONE | {"dist": False})


def test_stereodemo_is_a_rectified_pair_and_one_camera_with_a_baseline_is_not(tmp_path, caplog):
    entries = {"fx": 700.25, "fy": 700.25, "cy": 238.25, "width": W, "height": H}
    pair = json.dumps(entries | {"cx0": 322.5, "cx1": 330.0, "baseline_meters": 0.075})
    rig = read_rig(written(tmp_path / "stereodemo.json", pair))
    np.testing.assert_array_equal(rig.t, [-0.075, 0, 0])
    assert rig.unit == "m" and rig.cam2.K[0, 2] == 330 and rig.cam1.size == SIZE
    one = read_rig(written(tmp_path / "one.json", json.dumps(entries | {"cx": 322.5, "baseline": 0.075})))
    assert not one.posed and "--baseline" in caplog.text
    np.testing.assert_array_equal(one.cam1.K, K1)


def test_coefficients_by_name_are_not_lost(tmp_path):
    entries = dict(keyed("fx fy cx cy", numbers(K1))) | dict(keyed("k1 k2 p1 p2 k3", D1)) | {"width": W, "height": H}
    assert_rig(read_rig(written(tmp_path / "a.json", json.dumps(entries))), **ONE)
    matrices = opencv(fx=700.0, cx=320.0, cy=240.0, k1=K1, k2=K2)  # K1 and K2 by another name
    assert_rig(read_rig(written(tmp_path / "c.yml", matrices)), dist=False, pose=False, size=None)
    with pytest.raises(StereoError, match="names within dist"):
        read_rig(written(tmp_path / "b.json", json.dumps({"K": K1.tolist(), "dist": {"k1": -0.1}})))


# ------------------------------------------------------------------------------------------ several files, folders


def test_intrinsics_and_extrinsics_of_opencv(tmp_path):
    inner = written(tmp_path / "intrinsics.yml", opencv(M1=K1, D1=D1, M2=K2, D2=D2))
    outer = written(tmp_path / "extrinsics.yml", opencv(R=R, T=T, Q=np.eye(4)))
    for path in ([inner, outer], (outer, inner), tmp_path):
        rig = read_rig(path)
        assert_rig(rig, size=None)
        assert "intrinsics.yml" in rig.cam1.source_detail and "extrinsics.yml" in rig.cam1.source_detail
    mixed = [
        written(tmp_path / "a.npz", npz(K1=K1, D1=D1, K2=K2, D2=D2)),
        written(tmp_path / "b.json", json.dumps({"R": R.tolist(), "T": T.tolist()})),
    ]
    assert_rig(read_rig(mixed), size=None)
    with pytest.raises(StereoError, match="--calib twice|no camera matrix"):
        read_rig(outer)


def test_files_that_contradict_one_another_or_do_not_fit_are_refused(tmp_path):
    one = written(tmp_path / "a.yml", opencv(M1=K1, M2=K2, R=R, T=T))
    other = written(tmp_path / "b.json", json.dumps({"K1": K2.tolist()}))
    with pytest.raises(StereoError, match="M1 and K1.*different numbers"):
        read_rig([one, other])
    with pytest.raises(StereoError, match="OpenCV YAML/XML, Kalibr camchain.*one calibration"):
        read_rig([one, written(tmp_path / "c.yaml", kalibr())])
    with pytest.raises(StereoError, match="no calibration file"):
        read_rig([])


def test_one_file_for_each_camera(tmp_path):
    for folder, contents, suffixes, holds in (
        ("euroc", EUROC, ("cam0/sensor.yaml", "cam1/sensor.yaml"), {}),
        ("strecha", (strecha(K1, R1, C1), strecha(K2, R2, C2)), [f"{n}.camera" for n in NAMES], {"dist": False}),
        (
            "mvsnet",
            (mvsnet(K1, R1, T1), mvsnet(K2, R2, T2)),
            [f"cams/{Path(n).stem}_cam.txt" for n in NAMES],
            {"dist": False, "size": None},
        ),
    ):
        files = [written(tmp_path / folder / s, text) for s, text in zip(suffixes, contents, strict=True)]
        assert_rig(read_rig(tmp_path / folder, names=NAMES), **holds)
        assert_rig(read_rig(files, names=NAMES), **holds)


def colmap_bin(folder: Path) -> Path:
    cameras, images = struct.pack("<Q", 2), struct.pack("<Q", 3)
    for i, K, d in ((1, K1, D1), (2, K2, D2)):
        values = [K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5, *d[:4]]
        cameras += struct.pack("<IiQQ8d", i, 4, W, H, *values)
    for i, name, R, t in ((1, NAMES[0], R1, T1), (2, NAMES[1], R2, T2), (3, "third.png", R1, C1)):
        images += struct.pack("<I7dI", i, *quaternion_from_rotation(R), *t, min(i, 2)) + name.encode() + b"\0"
        images += struct.pack("<Q", 5) + bytes(5 * 24)
    written(folder / "cameras.bin", cameras)
    written(folder / "images.bin", images)
    return folder


def test_colmap_binary_models(tmp_path):
    folder = colmap_bin(tmp_path / "sparse" / "0")
    for path in (tmp_path, folder, folder / "cameras.bin", folder / "images.bin"):
        assert_rig(read_rig(path, names=NAMES))
    data = (folder / "images.bin").read_bytes()
    for cut in (3, 40, 80, 90):
        (folder / "images.bin").write_bytes(data[:cut])
        with pytest.raises(StereoError, match="COLMAP"):
            read_rig(folder, names=NAMES)
    (folder / "images.bin").unlink()
    with pytest.raises(StereoError, match="2 cameras of COLMAP"):
        read_rig(folder)


def test_folders_with_one_known_file_and_with_several(tmp_path):
    written(tmp_path / "transforms.json", nerf())
    assert_rig(read_rig(tmp_path, names=NAMES))
    written(tmp_path / "cameras.sfm", meshroom())
    with pytest.raises(StereoError, match="several calibrations"):
        read_rig(tmp_path, names=NAMES)


def test_config_takes_several_files():
    assert Config(calib=("a.yml", "b.yml")).calib == ("a.yml", "b.yml")
    assert Config(calib=()).calib is None


# ------------------------------------------------------------------------------------------ wide lenses, hostile files

FISHEYES = {
    "OpenCV, camera_model: KANNALA": json.dumps(
        {"K": K1.tolist(), "dist": [0.1] * 4, "camera_model": "KANNALA_BRANDT"}
    ),
    "OpenCV, right lens type: Fisheye": json.dumps(
        {"left": NESTED["left"], "right": {**NESTED["right"], "lens type": "Fisheye"}}
    ),
    "OpenCV": opencv(camera_matrix=K1, distortion_coefficients=D1[:4], fisheye_model=1),
    "Kalibr, cam0, model fisheye": kalibr(lens="equidistant"),
    "Kalibr, cam0, model double_sphere": kalibr("ds", "none", (-0.2, 0.6), ((), ())),
    "Kalibr, cam0, model omnidir": kalibr("omni", "radtan", (0.9,)),
    "OpenCV, model omnidir": opencv(camera_matrix=K1, distortion_coefficients=D1[:4], xi=1.2),
    "Kalibr, cam0, model eucm": kalibr("eucm", "none", (0.6, 1.1), ((), ())),
    "ROS": ROS.replace("plumb_bob", "equidistant"),
    "EuRoC": EUROC[0].replace("radial-tangential", "equidistant"),
    "ORB-SLAM": orbslam("KannalaBrandt8", "k1 k2 k3 k4"),
    "COLMAP OPENCV_FISHEYE": f"1 OPENCV_FISHEYE {W} {H} {words([*numbers(K1), *D1[:4]])}\n",
    "COLMAP RADIAL_FISHEYE": f"1 RADIAL_FISHEYE {W} {H} 700 320 240 0.1 0.2\n",
    "NeRF": nerf("OPENCV_FISHEYE"),
    "OpenSfM": opensfm().replace('"brown"', '"fisheye_opencv"'),
    "RealSense": realsense("distortion.kannala_brandt4"),
    "Metashape": metashape(K1, [0.1, 0.2, 0, 0, 0.3], projection="fisheye"),
    "DepthAI": depthai().replace('"cameraType": 0', '"cameraType": 1'),
}


@pytest.mark.parametrize("form", FISHEYES)
def test_fisheyes_are_never_read_as_brown(tmp_path, form):
    rig = read_rig(written(tmp_path / "calib", FISHEYES[form]), (SIZE, SIZE), names=NAMES)
    expected = form.split()[-1] if form.split()[-1] in ("double_sphere", "eucm", "omnidir") else "fisheye"
    assert rig.cam2.lens.model == expected and not rig.cam2.dist.any()
    assert rig.cam1.lens is None if "right" in form else rig.cam1.lens.model == expected
    assert np.all(np.isfinite(rig.cam2.lens.coefficients)) and any(rig.cam2.lens.coefficients)


def test_the_coefficients_of_a_fisheye_in_their_order(tmp_path):
    text = f"1 OPENCV_FISHEYE {W} {H} 700 690 320.5 240.5 0.1 -0.2 0.03 -0.004\n"
    camera = read_rig(written(tmp_path / "cameras.txt", text)).cam1
    assert camera.lens == WideLens("fisheye", (0.1, -0.2, 0.03, -0.004))
    assert camera.K[[0, 1, 0, 1], [0, 1, 2, 2]] == pytest.approx([700, 690, 320, 240])
    named = dict(keyed("fx fy cx cy k1 k2 k3 k4", [700, 690, 320, 240, 0.1, -0.2, 0.03, -0.004]))
    text = json.dumps({"left": named | {"fisheye_model": 1}, "right": named | {"k1": 0.2, "lens model": "equidistant"}})
    rig = read_rig(written(tmp_path / "named.json", text))
    assert rig.cam1.lens == WideLens("fisheye", (0.1, -0.2, 0.03, -0.004))
    assert rig.cam2.lens == WideLens("fisheye", (0.2, -0.2, 0.03, -0.004))
    kalibr_ds = read_rig(written(tmp_path / "ds.yaml", kalibr("ds", "none", (-0.2, 0.6), ((), ())))).cam1
    assert kalibr_ds.lens == WideLens("double_sphere", (-0.2, 0.6))


def test_the_coefficients_of_the_unified_model_in_their_order(tmp_path):
    """xi goes first, whichever camera has it; OpenCV writes it as a matrix."""
    rig = read_rig(written(tmp_path / "omni.yaml", kalibr("omni", "radtan", (0.9,))))
    assert rig.cam1.lens == WideLens("omnidir", (0.9, *D1[:4])) and rig.cam2.lens == WideLens("omnidir", (0.9, *D2[:4]))
    text = opencv(camera_matrix=K1, distortion_coefficients=D1[:4], xi=np.array([[1.2]]))
    assert read_rig(written(tmp_path / "omni.yml", text)).cam2.lens == WideLens("omnidir", (1.2, *D1[:4]))
    text = json.dumps(NESTED | {"left": NESTED["left"] | {"xi": [[1.2]]}})
    rig = read_rig(written(tmp_path / "left.json", text))
    assert rig.cam1.lens == WideLens("omnidir", (1.2, *D1[:4])) and rig.cam2.lens is None and rig.cam2.dist.any()
    text = opencv(K1=K1, K2=K2, D1=D1[:4], D2=D2[:4], xi1=0.8, xi2=0.7, R=R, T=T)
    rig = read_rig(written(tmp_path / "two.yml", text))
    assert [camera.lens.coefficients[0] for camera in (rig.cam1, rig.cam2)] == [0.8, 0.7]
    with pytest.raises(StereoError, match="2 numbers under xi"):
        read_rig(written(tmp_path / "bad.yml", opencv(camera_matrix=K1, distortion_coefficients=D1[:4], xi=np.ones(2))))


UNSUPPORTED = {
    "omni": kalibr("omni", "equidistant", (0.9,)),
    "fov": kalibr(lens="fov", dist=((0.9,), (0.9,))),
    "FOV": f"1 FOV {W} {H} 700 700 320 240 0.9\n",
    "MEI": json.dumps({"K": K1.tolist(), "D": D1[:4].tolist(), "camera_model": "MEI"}),
    "SIMPLE_DIVISION": f"1 SIMPLE_DIVISION {W} {H} 700 320 240 -0.1\n",
    "dual": opensfm().replace('"brown"', '"dual"'),
    "mirror": json.dumps({"cameras": {"left": {"K": K1.tolist(), "lens": {"model": "mirror"}}, "right": {}}}),
    "inverse_brown_conrady": realsense("distortion.inverse_brown_conrady"),
    "OCamCalib": FORMS["OCamCalib"][0],
}


@pytest.mark.parametrize("model", UNSUPPORTED)
def test_other_models_are_refused_by_name(tmp_path, model):
    with pytest.raises(StereoError, match=model) as caught:
        read_rig(written(tmp_path / "calib", UNSUPPORTED[model]), names=NAMES)
    assert caught.value.code == "bad_calibration"


def test_a_panorama_of_a_form_without_panoramas_leads_to_projection(tmp_path):
    text = realsense("distortion.equirectangular")
    with pytest.raises(StereoError, match="equirectangular.*RealSense") as caught:
        read_rig(written(tmp_path / "calib", text))
    assert "--projection equirectangular" in caught.value.advice


# ------------------------------------------------------------------------------------------ panoramas

PANO = PW, PH = 800, 400


def opensfm_panoramas(kind: str) -> str:
    root = json.loads(opensfm())
    root[0]["cameras"] = dict.fromkeys("ab", {"projection_type": kind, "width": PW, "height": PH})
    return json.dumps(root)


def colmap_panoramas() -> str:
    return "".join(f"{i} EQUIRECTANGULAR {PW} {PH} {PW} {PH}\n" for i in (1, 2)) + COLMAP_IMAGES


def metashape_panoramas(calibrated: bool) -> str:
    size = f'<resolution width="{PW}" height="{PH}"/>'
    inner = f'<calibration type="spherical" class="adjusted">{size}</calibration>' if calibrated else ""
    sensor = f'<sensor id="0" label="x" type="spherical">{size}{inner}</sensor>'
    cameras = "".join(
        f'<camera id="{i}" sensor_id="0" label="{name}"><transform>{words(pose(R.T, C))}</transform></camera>'
        for i, (name, R, C) in enumerate(zip(("left", "right"), (R1, R2), (C1, C2), strict=True))
    )
    return f"<document><chunk><sensors>{sensor}</sensors><cameras>{cameras}</cameras></chunk></document>"


def meshroom_panoramas(focal: float = 36 / (2 * np.pi)) -> str:
    root = json.loads(meshroom())
    for entry in root["intrinsics"]:
        own = {"width": str(PW), "height": str(PH), "focalLength": repr(focal), "type": "equirectangular"}
        entry |= own | {"principalPoint": ["0", "0"], "distortionParams": ""}
    return json.dumps(root)


def stage_panoramas() -> str:
    K = [[PW / (2 * np.pi), 0, PW / 2 - 0.5], [0, PH / np.pi, PH / 2 - 0.5], [0, 0, 1]]
    entry = {"lens": {"model": "equirectangular", "coefficients": []}, "K": K, "size": PANO, "dist": []}
    poses = {"left": (R1, T1), "right": (R2, T2)}
    return json.dumps({"cameras": {n: entry | {"R": A.tolist(), "t": t.tolist()} for n, (A, t) in poses.items()}})


PANORAMAS = {
    "OpenSfM JSON": [opensfm_panoramas("spherical"), opensfm_panoramas("equirectangular")],
    "COLMAP cameras.txt, images.txt": [colmap_panoramas()],
    "Metashape XML": [metashape_panoramas(True), metashape_panoramas(False)],
    "Meshroom .sfm": [meshroom_panoramas()],
    "cameras.json": [stage_panoramas()],
}


@pytest.mark.parametrize("form", PANORAMAS)
def test_panoramas_are_read_with_their_pose(tmp_path, form):
    """Longitude and latitude fill the picture from edge to edge, forward in its middle, y down: a point in both."""
    X = np.random.default_rng(3).normal(size=(50, 3)) * 5
    for content in PANORAMAS[form]:
        rig = read_rig(written(tmp_path / "calib", content), (PANO, PANO), names=NAMES)
        assert rig.cam1.source_detail.startswith(form) and rig.cam1.is_panorama and rig.cam2.is_panorama
        np.testing.assert_allclose(rig.R, R, atol=1e-9)
        np.testing.assert_allclose(rig.t, T, atol=1e-9)
        for camera, Y in ((rig.cam1, X), (rig.cam2, X @ R.T + T)):
            longitude, latitude = np.arctan2(Y[:, 0], Y[:, 2]), np.arctan2(Y[:, 1], np.hypot(Y[:, 0], Y[:, 2]))
            want = np.stack([PW * (longitude / (2 * np.pi) + 0.5), PH * (latitude / np.pi + 0.5)], -1) - 0.5
            np.testing.assert_allclose(camera.pixels_from_rays(Y), want, atol=1e-9)


def test_panoramas_that_cannot_be(tmp_path):
    for text, message in (
        (opensfm_panoramas("spherical").replace(f'"height": {PH}', '"height": 500'), "800 x 500 px.*OpenSfM, a.*twice"),
        (colmap_panoramas().replace(f"{PW} {PH} {PW} {PH}", f"{PW} {PH} 400 200"), "400 200.*EQUIRECTANGULAR"),
        (meshroom_panoramas(focal=4.0), "516 x 258 degrees .Meshroom., more than a sphere"),
    ):
        with pytest.raises(StereoError, match=message) as caught:
            read_rig(written(tmp_path / "calib", text), names=NAMES)
        assert caught.value.code == "bad_calibration"


def test_colmap_wide_lenses_in_text_and_binary(tmp_path):
    lenses = {
        "SIMPLE_FISHEYE": (14, [700, 320.5, 240.5], WideLens("fisheye", (0.0,) * 4)),
        "FISHEYE": (15, [700, 690, 320.5, 240.5], WideLens("fisheye", (0.0,) * 4)),
        "EUCM": (16, [700, 690, 320.5, 240.5, 0.6, 1.1], WideLens("eucm", (0.6, 1.1))),
        "RADIAL_FISHEYE": (9, [700, 320.5, 240.5, 0.1, 0.2], WideLens("fisheye", (0.1, 0.2, 0.0, 0.0))),
        "EQUIRECTANGULAR": (17, [PW, PH], WideLens("equirectangular")),
    }
    for name, (number, values, lens) in lenses.items():
        size = PANO if name == "EQUIRECTANGULAR" else SIZE
        text = f"1 {name} {size[0]} {size[1]} {words(values)}\n"
        data = struct.pack(f"<QIiQQ{len(values)}d", 1, 1, number, *size, *values)
        for content in (text, data):
            camera = read_rig(written(tmp_path / "cameras", content)).cam1
            assert camera.lens == lens and camera.size == size
            if size == SIZE:
                assert camera.K[0, 0] == 700 and tuple(camera.K[:2, 2]) == (320, 240)
    with pytest.raises(StereoError, match="DIVISION.*COLMAP"):
        read_rig(written(tmp_path / "cameras", struct.pack("<QIiQQ5d", 1, 1, 13, *SIZE, 700, 700, 320, 240, 0.1)))


@pytest.mark.parametrize("version, ratio", [(("1", "2", "4"), 0.5), (("1", "2", "6"), 2.0)])
def test_meshroom_states_the_shape_of_pixels_by_its_version(tmp_path, version, ratio):
    root = json.loads(meshroom()) | {"version": list(version)}
    for entry in root["intrinsics"]:
        entry["pixelRatio"] = repr(ratio)
    camera = read_rig(written(tmp_path / "cameras.sfm", json.dumps(root)), names=NAMES).cam1
    assert camera.K[0, 0] == pytest.approx(K1[0, 0]) and camera.K[1, 1] == pytest.approx(2 * K1[0, 0])
    del root["version"]
    with pytest.raises(StereoError, match="pixelRatio.*Meshroom"):
        read_rig(written(tmp_path / "cameras.sfm", json.dumps(root)), names=NAMES)
    for entry in root["intrinsics"]:  # of versions 1.2.0 and 1.2.1
        del entry["focalLength"]
        entry["pxFocalLength"] = ["700.25", "710.5"]
    camera = read_rig(written(tmp_path / "cameras.sfm", json.dumps(root)), names=NAMES).cam1
    assert (camera.K[0, 0], camera.K[1, 1]) == (700.25, 710.5)


def test_a_wide_lens_states_what_it_lacks():
    with pytest.raises(StereoError, match="alpha = 1.2, which lies between 0 and 1 .a form."):
        wide_lens("eucm", K1, SIZE, [1.2, 1.1], "a form")
    with pytest.raises(StereoError, match="3 coefficients of a eucm lens .a form., where 2"):
        wide_lens("eucm", K1, SIZE, [0.6, 1.1, 0.2], "a form")


def bomb() -> bytes:
    """An .npz whose one member states a thousand million numbers."""
    head = npy(np.zeros(3)).replace(b"(3,), }         ", b"(1000000000,), }")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("K.npy", head + bytes(50_000_000))
    return file.getvalue()


class Pickled:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


HOSTILE = {
    "zip bomb": (bomb(), "npz"),
    "many arrays": (npz(**{f"a{i}": np.zeros(1) for i in range(1200)}), "npz"),
    "pickle": (npz(K=np.array([Pickled()], dtype=object)), "npz"),
    "pickled npy": (npy(np.array([Pickled()], dtype=object)), "npy"),
    "HDF5": (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM" + bytes(400), "7.3"),
    "zip without arrays": (npz()[:0] + b"PK\x03\x04" + bytes(100), "npz"),
    "many entries": ('{"projection_type": [' + "1," * 200_000 + "1]}", "entries"),
    "deep": ('{"projection_type":' + "[" * 50_000, "JSON|entries"),
    "open bracket": ("K = [" + "1 " * 100_000, "MATLAB"),
    "long script": ("K = [1 2]\n" * 100_000, "MATLAB"),
    "entities": ("<!DOCTYPE a [<!ENTITY b 'bbbb'>]><calibration><f>&b;</f></calibration>", "DOCTYPE|document type"),
    "huge bundle": ("# Bundle file v0.3\n999999999999 0\n" + "1 2 3\n" * 10, "Bundler"),
    "huge integers": (nerf().replace(str(K1[0, 0]), "1" * 400, 1), "."),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(tmp_path, name):
    content, message = HOSTILE[name]
    with pytest.raises(StereoError, match=message) as caught:
        read_rig(written(tmp_path / "calib", content), (SIZE, SIZE), names=NAMES)
    assert caught.value.code == "bad_calibration"


def test_the_page_of_forms_lists_every_reader():
    page = (Path(__file__).parents[2] / "docs" / "calibration-files.md").read_text(encoding="utf-8")
    listed = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")][1:]
    assert sorted(listed) == sorted([*READERS, *BINARY_READERS])


def test_a_run_takes_two_files_by_the_names_of_its_photos(tmp_path):
    inner = written(tmp_path / "intrinsics.yml", opencv(M1=K1, D1=D1, M2=K2, D2=D2))
    outer = written(tmp_path / "extrinsics.yml", opencv(R=R, T=T))
    photos = [Photo(np.broadcast_to(np.uint8(0), (H, W, 3)), path=tmp_path / name) for name in NAMES]
    assert_rig(cameras_of(photos[0], photos[1], None, Config(calib=(inner, outer))))
    model = colmap_bin(tmp_path / "model")
    assert_rig(cameras_of(photos[0], photos[1], None, Config(calib=(model,))))
    rig = cameras_of(photos[1], photos[0], None, Config(calib=model))
    np.testing.assert_allclose(rig.R, R.T, atol=1e-12)
