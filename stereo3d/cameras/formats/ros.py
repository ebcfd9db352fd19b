"""ROS's camera_info, YAML."""

import re
from typing import Any

import numpy as np

from ...records import Camera, Rig
from .check import bad, checked_camera, matrix, number_array, posed, rotation, wide_lens
from .markup import load_yaml
from .opencv import stored_entries


def fits_ros(text: str) -> bool:
    """Return whether a line starts with distortion_model:."""
    return re.search(r"(?m)^[ \t]*distortion_model[ \t]*:", text) is not None


def read_ros(text: str, names: tuple[str, str] | None = None) -> Rig:
    """R = R_2^T R_1, t = R_2^T (b2 - b1): read the YAML of ROS's camera_calibration or of `rostopic echo`; metres.

    Two cameras are two documents (`---` between them), or the keys left and right. They form a posed rig where the
    projection matrices P_i = K' [I | b_i] have different b; R_i are the rectifying rotations, X' = R_i X_i. K and the
    distortion hold for the photos as taken (image_raw). A single camera holds for both photos. `names` is not used.

    References
    ----------
    ROS, sensor_msgs/CameraInfo. ROS Enhancement Proposal 104.
    """
    infos = [stored_entries(d) if isinstance(d, dict) else d for d in load_yaml(text) if d is not None]
    if len(infos) == 1 and isinstance(infos[0], dict) and "left" in infos[0] and "right" in infos[0]:
        infos = [infos[0]["left"], infos[0]["right"]]
    if len(infos) > 2 or not all(isinstance(info, dict) for info in infos):
        raise bad(f"holds {len(infos)} cameras of ROS", "Give one, or a left and a right one.")
    found = [_ros_camera(info, which) for info, which in zip(infos, ("left", "right")[: len(infos)], strict=True)]
    if len(found) == 1:
        return Rig(found[0][0], found[0][0])
    (cam1, R1, b1), (cam2, R2, b2) = found
    if b1 is None or b2 is None or not np.any(b2 - b1):
        return Rig(cam1, cam2)
    return posed(cam1, cam2, R2.T @ R1, R2.T @ (b2 - b1), "m")


def _ros_camera(info: dict, which: str) -> tuple[Camera, np.ndarray, np.ndarray | None]:
    """Return the camera, its rectifying rotation, and b (3,) of P = K' [I | b], None without P."""

    def entry(*keys: str) -> Any:
        value = next((info[key] for key in keys if info.get(key) is not None), None)
        return value.get("data") if isinstance(value, dict) else value

    K = entry("camera_matrix", "K", "k")
    if K is None:
        raise bad(f"has no camera_matrix for the {which} camera of ROS")
    if not np.any(number_array(K, "camera_matrix")):
        raise bad(f"has a camera_matrix of zeros: the {which} camera is not calibrated", "Calibrate it.")
    model, dist = entry("distortion_model"), entry("distortion_coefficients", "D", "d")
    dist = np.zeros(0) if dist is None else number_array(dist, "distortion_coefficients").ravel()
    width, height = entry("image_width", "width"), entry("image_height", "height")
    size = (width, height) if width and height else None
    wide = model in ("equidistant", "fisheye")
    if not wide and model not in ("plumb_bob", "rational_polynomial") and np.any(dist):
        raise bad(
            f"has the distortion model {model!r} for the {which} camera",
            "Calibrate with plumb_bob or rational_polynomial.",
        )
    R = entry("rectification_matrix", "R", "r")
    R = np.eye(3) if R is None or not np.any(number_array(R, "rectification_matrix")) else rotation(R)
    P, b = entry("projection_matrix", "P", "p"), None
    if P is not None and np.any(number_array(P, "projection_matrix")):
        P = matrix(P, (3, 4), "projection_matrix")
        if np.linalg.matrix_rank(P[:, :3]) < 3:
            raise bad(f"has a singular projection_matrix for the {which} camera")
        b = np.linalg.solve(P[:, :3], P[:, 3])
    if wide:
        return wide_lens("fisheye", K, size, dist[:4], f"ROS, {which} camera, {model}"), R, b
    return checked_camera(K, size, dist, f"camera_matrix of the {which} camera"), R, b
