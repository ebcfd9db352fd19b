"""Calibrations that stereo cameras carry: ZED, RealSense, OAK-D (DepthAI)."""

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
    posed,
    refuse_model,
    relative,
    rotation,
    wide_lens,
)
from .markup import json_object

# Section of a ZED's calibration -> picture size of one eye, px (Stereolabs, "Video modes" of all ZED cameras).
_ZED_SIZES = {
    "2K": (2208, 1242),
    "FHD": (1920, 1080),
    "FHD1200": (1920, 1200),
    "HD": (1280, 720),
    "SVGA": (960, 600),
    "VGA": (672, 376),
    "4K": (3840, 2160),
    "QHDPLUS": (3200, 1800),
}
_DEPTHAI_SOCKETS = (1, 2)  # CAM_B and CAM_C, the left and right camera of an OAK-D


def fits_zed(text: str) -> bool:
    """Return whether a line is [LEFT_CAM_...]."""
    return re.search(r"(?mi)^[ \t]*\[LEFT_CAM_", text) is not None


def read_zed(
    text: str, names: tuple[str, str] | None = None, sizes: tuple[tuple[int, int], tuple[int, int]] | None = None
) -> Rig:
    """Read SN*.conf of a ZED: the section of the photos' size; mm.

    The rotation is the vector (RX, CV, RZ), X_right = R X_left + t with t = (-Baseline, TY, TZ). Stereolabs' program in
    C++ gives (Baseline, TY, TZ) to cv2.stereoRectify; TY and TZ are tenths of mm beside 63 or 120 mm. Where all
    sections have equal numbers, they hold for any size. `names` is not used.

    References
    ----------
    Stereolabs, zed-opencv-native, python/zed_opencv_native.py (init_calibration).
    """
    sections = _sections(text)
    modes = [name.removeprefix("LEFT_CAM_") for name in sections if name.startswith("LEFT_CAM_")]
    if not modes:
        raise bad("is of a ZED, but has no section LEFT_CAM_HD or the like")
    mode = next((m for m in modes if sizes is not None and _ZED_SIZES.get(m) == tuple(sizes[0])), None)
    size = None if mode is None else _ZED_SIZES[mode]
    if mode is None:
        stereo = sections.get("STEREO", {})
        same = [
            (sections[f"LEFT_CAM_{m}"], sections.get(f"RIGHT_CAM_{m}"), [_stereo(stereo, k, m) for k in _STEREO])
            for m in modes
        ]
        if any(other != same[0] for other in same):
            listed = ", ".join(f"{m} {'x'.join(map(str, _ZED_SIZES.get(m, ('?',))))}" for m in modes)
            raise bad(
                f"is of a ZED, and none of its sections ({listed}) is of the photos' size"
                f"{f', {sizes[0][0]} x {sizes[0][1]} px' if sizes else ''}",
                "Give the photos in the size in which the ZED took them.",
            )
        mode = modes[0]
    cameras = []
    for side in ("LEFT", "RIGHT"):
        section = sections.get(f"{side}_CAM_{mode}")
        if section is None:
            raise bad(f"is of a ZED, but has no section {side}_CAM_{mode}")
        cameras.append(_zed_camera(section, size, f"{side}_CAM_{mode}"))
    values = [_stereo(sections.get("STEREO", {}), key, mode) for key in _STEREO]
    if values[0] is None:
        return Rig(cameras[0], cameras[1])
    b, ty, tz, rx, cv, rz = (value or 0.0 for value in values)
    return posed(cameras[0], cameras[1], rotation([rx, cv, rz]), [-b, ty, tz], "mm")


_STEREO = ("BASELINE", "TY", "TZ", "RX", "CV", "RZ")


def _sections(text: str) -> dict[str, dict[str, float]]:
    """Numbers by name in capitals, by section in capitals."""
    sections: dict[str, dict[str, float]] = {}
    current: dict[str, float] = {}
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            current = sections.setdefault(line[1:-1].strip().upper(), {})
            continue
        name, found, value = line.partition("=")
        try:
            if found:
                current[name.strip().upper()] = float(value)
        except ValueError:
            continue  # a date or a comment
    return sections


def _stereo(section: dict[str, float], key: str, mode: str) -> float | None:
    return section.get(f"{key}_{mode}", section.get(key))


def _zed_camera(section: dict[str, float], size: Any, name: str) -> Camera:
    if missing := [key for key in ("FX", "FY", "CX", "CY") if key not in section]:
        raise bad(f"is of a ZED, but has no {', '.join(missing).lower()} in {name}")
    K = [[section["FX"], 0, section["CX"]], [0, section["FY"], section["CY"]], [0, 0, 1]]
    if "K4" in section and "P1" not in section:
        return wide_lens("fisheye", K, size, [section.get(f"K{i}", 0.0) for i in (1, 2, 3, 4)], f"ZED, {name}")
    dist = [section.get(key, 0.0) for key in ("K1", "K2", "P1", "P2", "K3", "K4", "K5", "K6")]
    return checked_camera(K, size, dist if any(dist[5:]) else dist[:5], f"ZED, {name}")


def fits_realsense(text: str) -> bool:
    """Return whether the text is JSON with the key ppx."""
    return text.lstrip().startswith("{") and re.search(r'"ppx"\s*:', text) is not None


def read_realsense(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read the intrinsics of a RealSense stream, fx fy ppx ppy width height model coeffs: one camera for both photos.

    [0, 0] is the centre of the upper left pixel. Brown-Conrady is OpenCV's k1 k2 p1 p2 k3; the modified and the inverse
    one are read where all their coefficients are 0. `names` is not used.

    References
    ----------
    Intel, "Projection in RealSense SDK 2.0"; rs_types.h, rs2_intrinsics.
    """
    entry = json_object(text, "RealSense's intrinsics")
    if missing := [key for key in ("fx", "fy", "ppx", "ppy") if key not in entry]:
        raise bad(f"has no {', '.join(missing)} (RealSense's intrinsics)")
    K = [[entry["fx"], 0, entry["ppx"]], [0, entry["fy"], entry["ppy"]], [0, 0, 1]]
    size = (entry["width"], entry["height"]) if {"width", "height"} <= set(entry) else None
    model = str(entry.get("model", "none")).lower().replace(" ", "_").rsplit(".", 1)[-1]
    dist = number_array(entry.get("coeffs") or np.zeros(5), "coeffs (RealSense)").ravel()
    if "kannala" in model:
        camera = wide_lens("fisheye", K, size, dist[:4], "RealSense")
        return Rig(camera, camera)
    plain = ("none", "brown_conrady", "2", "4")  # of rs2_distortion: 0 none, 2 inverse, 4 Brown-Conrady
    if model not in plain[:2] and np.any(dist):
        refuse_model(model, "RealSense", "Undistort the photos with the RealSense SDK, or calibrate with OpenCV.")
    camera = checked_camera(K, size, dist, "RealSense's intrinsics")
    return Rig(camera, camera)


def fits_depthai(text: str) -> bool:
    """Return whether the text is JSON with the key cameraData."""
    return text.lstrip().startswith("{") and re.search(r'"cameraData"\s*:', text) is not None


def read_depthai(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read the calibration of an OAK-D (DepthAI's EEPROM as JSON): its left and right camera; mm.

    X_to = R X + t with rotationMatrix and translation (cm in the file) of "extrinsics", to the camera of
    toCameraSocket. The distortion has OpenCV's order (k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 tilt). The cameras are those
    of stereoRectificationData, else sockets 1 and 2. `names` is not used.

    References
    ----------
    Luxonis, depthai-core, CalibrationHandler: getCameraExtrinsics, getDistortionCoefficients.
    """
    root = json_object(text, "DepthAI's calibration")
    cameras = _sockets(root.get("cameraData"))
    stereo = root.get("stereoRectificationData")
    stereo = stereo if isinstance(stereo, dict) else {}
    stated = [stereo.get(key) for key in ("leftCameraSocket", "rightCameraSocket")]
    pair = [socket for socket in stated if isinstance(socket, int) and socket in cameras]
    if len(set(pair)) != 2:
        pair = list(_DEPTHAI_SOCKETS)
    if not all(socket in cameras for socket in pair):
        raise bad(f"has the cameras {list(cameras)} of DepthAI, of which none are left and right (sockets 1 and 2)")
    cam1, cam2 = (_depthai_camera(cameras[socket], socket) for socket in pair)
    (root1, R1, t1), (root2, R2, t2) = (_to_root(cameras, socket) for socket in pair)
    if root1 != root2 or (root1 == pair[0] and root2 == pair[1]):
        return Rig(cam1, cam2)
    R, t = relative(inverse_pose(R1, t1), inverse_pose(R2, t2))
    return posed(cam1, cam2, R, 10 * t, "mm")


def _sockets(value: Any) -> dict[int, dict[str, Any]]:
    """Cameras by socket, of a list of [socket, camera]."""
    if not isinstance(value, list):
        raise bad("has no list of cameras in cameraData (DepthAI)")
    found = {}
    for item in value:
        if isinstance(item, list) and len(item) == 2 and isinstance(item[0], int) and isinstance(item[1], dict):
            found[item[0]] = item[1]
    return found


def _depthai_camera(entry: dict[str, Any], socket: int) -> Camera:
    name = f"DepthAI, socket {socket}"
    K, dist = entry.get("intrinsicMatrix"), entry.get("distortionCoeff")
    size = (entry["width"], entry["height"]) if entry.get("width") and entry.get("height") else None
    if entry.get("cameraType") == 1:
        return wide_lens("fisheye", K, size, number_array(dist, name).ravel()[:4], name)
    if entry.get("cameraType", 0) != 0:
        refuse_model(f"cameraType {entry['cameraType']}", name)
    return checked_camera(K, size, dist, name)


def _to_root(cameras: dict[int, dict[str, Any]], socket: int) -> tuple[int, np.ndarray, np.ndarray]:
    """The socket at the end of the chain of extrinsics, and R, t with X_end = R X + t."""
    R, t = np.eye(3), np.zeros(3)
    for _ in range(len(cameras)):
        step = cameras[socket].get("extrinsics")
        to = step.get("toCameraSocket") if isinstance(step, dict) else None
        if not isinstance(step, dict) or not isinstance(to, int) or to not in cameras or not step.get("rotationMatrix"):
            break
        shift = step.get("translation")
        values = [shift.get(axis) for axis in "xyz"] if isinstance(shift, dict) else shift
        R_step = rotation(step["rotationMatrix"])
        R, t = R_step @ R, R_step @ t + matrix(values, (3, 1), "translation (DepthAI)").ravel()
        socket = to
    return socket, R, t
