"""YAML of robotics: Kalibr's camchain, EuRoC's sensor.yaml, the settings of ORB-SLAM."""

import re
from typing import Any

import numpy as np

from ...records import Camera, Rig
from .check import (
    bad,
    checked_camera,
    inverse_pose,
    matrix,
    number_array,
    pose_of_matrix,
    posed,
    refuse_model,
    relative,
    rotation,
    wide_lens,
)
from .entries import stored_matrix
from .markup import load_yaml


def _documents(text: str, form: str) -> list[dict[str, Any]]:
    found = [document for document in load_yaml(text) if document is not None]
    if not found or not all(isinstance(document, dict) for document in found):
        raise bad(f"is {form}, but holds no map of entries by name")
    return found


def fits_kalibr(text: str) -> bool:
    """Return whether lines start with cam0: and camera_model:."""
    return bool(re.search(r"(?m)^cam\d+[ \t]*:", text) and re.search(r"(?m)^[ \t]+camera_model[ \t]*:", text))


def read_kalibr(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read the camchain.yaml of Kalibr: cam0, cam1 with X_cam1 = T_cn_cnm1 X_cam0, metres; `names` is not used.

    Distortion radtan is k1 k2 p1 p2 of OpenCV. Camera models other than pinhole, and distortion models other than
    radtan and none, are not read as Brown's.

    References
    ----------
    Kalibr's wiki, "Supported models" and "YAML formats".
    """
    [root, *_] = _documents(text, "Kalibr's camchain")
    chain = {key: value for key, value in root.items() if re.fullmatch(r"cam\d+", key) and isinstance(value, dict)}
    keys = sorted(chain, key=lambda key: int(key[3:]))[:3]
    if not keys:
        raise bad("is Kalibr's camchain, but holds no camera")
    if len(keys) > 2:
        raise bad(f"holds {len(chain)} cameras of Kalibr's camchain", "Keep the two of the photos, as cam0 and cam1.")
    cameras = [_plain_camera(chain[key], f"Kalibr, {key}") for key in keys]
    if len(cameras) == 1:
        return Rig(cameras[0], cameras[0])
    T = chain[keys[1]].get("T_cn_cnm1")
    if T is None:
        return Rig(cameras[0], cameras[1])
    return posed(cameras[0], cameras[1], *pose_of_matrix(T, "T_cn_cnm1"), "m")


def fits_euroc(text: str) -> bool:
    """Return whether lines start with T_BS: or sensor_type: and with camera_model:."""
    return bool(re.search(r"(?m)^(T_BS|sensor_type)[ \t]*:", text) and re.search(r"(?m)^camera_model[ \t]*:", text))


def read_euroc(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read EuRoC's sensor.yaml, X_body = T_BS X_camera in metres: one camera for both photos, or two documents.

    Two documents are two files joined, of cam0 and cam1. Distortion radial-tangential is k1 k2 p1 p2 of OpenCV.
    `names` is not used.

    References
    ----------
    Burri et al., The EuRoC micro aerial vehicle datasets, 2016, and its file format.
    """
    found = _documents(text, "EuRoC's sensor.yaml")
    if len(found) > 2:
        raise bad(f"holds {len(found)} cameras of EuRoC's sensor.yaml", "Give those of the two photos.")
    cameras = [_plain_camera(entry, f"EuRoC, camera {i}") for i, entry in enumerate(found)]
    if len(cameras) == 1:
        return Rig(cameras[0], cameras[0])
    poses = []
    for entry in found:
        T = entry.get("T_BS")
        if isinstance(T, dict) and "data" in T:
            T = stored_matrix(T, "T_BS")
        poses.append(None if T is None else inverse_pose(*pose_of_matrix(T, "T_BS")))
    if poses[0] is None or poses[1] is None:
        return Rig(cameras[0], cameras[1])
    return posed(cameras[0], cameras[1], *relative(poses[0], poses[1]), "m")


def _plain_camera(entry: dict[str, Any], name: str) -> Camera:
    """The camera of camera_model, intrinsics, distortion_model, distortion_coeffs (or _coefficients), resolution."""
    model, lens = str(entry.get("camera_model", "pinhole")), str(entry.get("distortion_model") or "none")
    numbers = number_array(entry.get("intrinsics"), f"the intrinsics of {name}").ravel()
    size = entry.get("resolution")
    dist = entry.get("distortion_coeffs", entry.get("distortion_coefficients"))
    extra = {"pinhole": 0, "ds": 2, "eucm": 2, "omni": 1}.get(model)
    if extra is None:
        refuse_model(model, name)
    if len(numbers) != 4 + extra:
        raise bad(f"has {len(numbers)} intrinsics for {name}; the camera model {model} has {4 + extra}")
    fu, fv, pu, pv = numbers[extra:]
    K = [[fu, 0, pu], [0, fv, pv], [0, 0, 1]]
    if model == "omni":
        if lens not in ("radtan", "radial-tangential", "none"):
            refuse_model(f"omni with {lens}", name)
        coefficients = (
            np.zeros(4) if lens == "none" or dist is None else number_array(dist, f"the distortion of {name}")
        )
        return wide_lens("omnidir", K, size, [numbers[0], *coefficients.ravel()], name)
    if model != "pinhole":
        return wide_lens("double_sphere" if model == "ds" else "eucm", K, size, numbers[:2], name)
    if lens in ("equidistant", "equi"):
        return wide_lens("fisheye", K, size, np.zeros(4) if dist is None else dist, name)
    if lens not in ("radtan", "radial-tangential", "plumb_bob", "none"):
        refuse_model(lens, name)
    return checked_camera(K, size, dist, f"the intrinsics of {name}")


def fits_orbslam(text: str) -> bool:
    """Return whether a line starts with Camera.fx:, Camera1.fx: or Camera.type:."""
    return re.search(r"(?m)^[ \t]*Camera1?[._](fx|type)[ \t]*:", text) is not None


def read_orbslam(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read the settings of ORB-SLAM2 and 3: Camera1.fx ..., Camera2.fx ..., and X_1 = T_c1_c2 X_2 in metres.

    Without a second camera the first holds for both. Camera.type "Rectified", or without a type the bf of ORB-SLAM2,
    is a rectified pair: t = (-b, 0, 0). KannalaBrandt8 is a fisheye. `names` is not used.

    References
    ----------
    ORB-SLAM3, Calibration_Tutorial.pdf; src/Settings.cc.
    """
    [root, *_] = _documents(text, "settings of ORB-SLAM")
    root = {re.sub(r"^(Camera\d?|Stereo)_", r"\1.", key): _plain_number(value) for key, value in root.items()}
    kind = root.get("Camera.type", "PinHole" if "Camera1.fx" in root else "")
    size = (root["Camera.width"], root["Camera.height"]) if {"Camera.width", "Camera.height"} <= set(root) else None
    first = "Camera1" if "Camera1.fx" in root else "Camera"
    if "LEFT.K" in root and "RIGHT.K" in root:
        return _orb_raw_pair(root)
    cam1 = _orb_camera(root, first, kind, size)
    if "Camera2.fx" not in root:
        b = root.get("Stereo.b")
        if b is None and isinstance(root.get("Camera.bf"), float) and not kind:
            b = root["Camera.bf"] / cam1.K[0, 0]
        if isinstance(b, float) and kind in ("Rectified", ""):
            return posed(cam1, cam1, np.eye(3), [-b, 0.0, 0.0], "m")
        return Rig(cam1, cam1)
    cam2 = _orb_camera(root, "Camera2", kind, size)
    T = root.get("Stereo.T_c1_c2", root.get("Tlr"))
    if T is None:
        return Rig(cam1, cam2)
    T = stored_matrix(T, "T_c1_c2") if isinstance(T, dict) and "data" in T else T
    return posed(cam1, cam2, *inverse_pose(*pose_of_matrix(T, "Stereo.T_c1_c2")), "m")


def _orb_raw_pair(root: dict[str, Any]) -> Rig:
    """The pair that ORB-SLAM2 rectifies itself: K, D, rectifying R and P of LEFT and RIGHT, as those of ROS; metres."""
    found = []
    for side in ("LEFT", "RIGHT"):
        values = {}
        for key, shape in (("K", (3, 3)), ("R", (3, 3)), ("P", (3, 4))):
            value = root.get(f"{side}.{key}")
            value = value.get("data") if isinstance(value, dict) else value
            values[key] = matrix(value, shape, f"{side}.{key} (ORB-SLAM2)")
        dist = root.get(f"{side}.D")
        dist = dist.get("data") if isinstance(dist, dict) else dist
        size = (root[f"{side}.width"], root[f"{side}.height"]) if f"{side}.height" in root else None
        if np.linalg.matrix_rank(values["P"][:, :3]) < 3:
            raise bad(f"has a singular {side}.P (ORB-SLAM2)")
        b = np.linalg.solve(values["P"][:, :3], values["P"][:, 3])
        found.append((checked_camera(values["K"], size, dist, f"{side}.K"), rotation(values["R"]), b))
    (cam1, R1, b1), (cam2, R2, b2) = found
    return posed(cam1, cam2, R2.T @ R1, R2.T @ (b2 - b1), "m")


def _plain_number(value: Any) -> Any:
    """The number of np.float64(0.12), as NumPy prints one; other values as they are."""
    found = re.fullmatch(r"np\.float\d+\((.{1,40})\)", value) if isinstance(value, str) else None
    try:
        return value if found is None else float(found[1])
    except ValueError:
        return value


def _orb_camera(root: dict[str, Any], stem: str, kind: str, size: Any) -> Camera:
    name = f"ORB-SLAM, {stem}"

    def number(key: str) -> float:
        value = root.get(f"{stem}.{key}")
        if not isinstance(value, float):
            raise bad(f"has no number {stem}.{key} (settings of ORB-SLAM)", "Give fx, fy, cx and cy.")
        return value

    K = [[number("fx"), 0, number("cx")], [0, number("fy"), number("cy")], [0, 0, 1]]
    keys = ("k1", "k2", "k3", "k4") if kind.startswith("Kannala") else ("k1", "k2", "p1", "p2", "k3")
    dist = [number(key) if f"{stem}.{key}" in root else 0.0 for key in keys]
    if kind.startswith("Kannala"):
        return wide_lens("fisheye", K, size, dist, name)
    if kind not in ("PinHole", "Pinhole", "Rectified", ""):
        refuse_model(kind, name)
    return checked_camera(K, size, dist, name)
