"""JSON of reconstructions from many photos: Meshroom, OpenSfM, NeRF's transforms.json, Open3D."""

import math
import re
from typing import Any

import numpy as np

from ...records import Camera, Rig
from .check import (
    UNSTATED_UNIT,
    View,
    bad,
    checked_camera,
    inverse_pose,
    matrix,
    number_array,
    panorama,
    pose_of_matrix,
    refuse_model,
    rig_of_views,
    rotation,
    wide_lens,
)
from .markup import json_object, load_json

Sizes = tuple[tuple[int, int], tuple[int, int]]
CV_FROM_GL = np.diag([1.0, -1.0, -1.0])  # from axes x right, y up, z back to x right, y down, z forward


def _number(entry: dict[str, Any], key: str, form: str, default: float | None = None) -> float:
    """The finite number of an entry, from a number or its text."""
    value = entry.get(key, default)
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise bad(f"has no number in {key} of a camera ({form})")
    return number


def _dicts(value: Any, what: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise bad(f"has no list of {what}")
    return value


def fits_meshroom(text: str) -> bool:
    """Return whether the text is JSON with lists of views and intrinsics."""
    return text.lstrip().startswith("{") and all(
        re.search(rf'"{key}"\s*:\s*\[', text) is not None for key in ("views", "intrinsics")
    )


def read_meshroom(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read cameras.sfm of Meshroom (AliceVision), the two views by the file names of their paths.

    f = focalLength / sensorWidth * width, px. principalPoint is relative to the centre of the picture since file
    version 1.2.1 and to its corner before; whichever is near decides. X_camera = R (X - center), R stored column by
    column. The scale is free. Pixels count from the corner of the first pixel.

    References
    ----------
    AliceVision, src/aliceVision/sfmDataIO: jsonIO.hpp (saveMatrix writes an Eigen matrix in its order, by columns) and
    its changelog; geometry/Pose3.hpp.
    """
    form = "Meshroom"
    root = json_object(text, "Meshroom's .sfm")
    intrinsics = {str(i.get("intrinsicId")): i for i in _dicts(root.get("intrinsics"), "intrinsics (Meshroom)")}
    poses = {}
    for entry in _dicts(root.get("poses", []), "poses (Meshroom)"):
        transform = entry.get("pose")
        transform = transform.get("transform") if isinstance(transform, dict) else None
        if not isinstance(transform, dict):
            raise bad("has a pose without transform (Meshroom)")
        R = rotation(matrix(_floats(transform.get("rotation")), (3, 3), "rotation (Meshroom)").T)
        center = matrix(_floats(transform.get("center")), (3, 1), "center (Meshroom)").ravel()
        poses[str(entry.get("poseId"))] = R, -R @ center
    views: dict[str, View] = {}
    for entry in _dicts(root.get("views"), "views (Meshroom)"):
        number = str(entry.get("intrinsicId"))
        if number not in intrinsics:
            raise bad(f"has no intrinsic {number} of a view (Meshroom)")
        pose = poses.get(str(entry.get("poseId", entry.get("viewId"))))
        camera = _meshroom_camera(intrinsics[number], form, _meshroom_version(root))
        views[str(entry.get("path", entry.get("viewId")))] = camera, pose
    return rig_of_views(views, names, None, form)


def _floats(values: Any) -> Any:
    """Numbers of texts, as Meshroom writes them; anything else unchanged, for the check that follows."""
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        return values


def _meshroom_version(root: dict[str, Any]) -> tuple[int, ...] | None:
    """The version of the file, three numbers; None where it states none."""
    numbers = root.get("version")
    words = [str(number) for number in numbers] if isinstance(numbers, list) else []
    return tuple(map(int, words)) if len(words) == 3 and all(w.isdecimal() and len(w) < 6 for w in words) else None


def _meshroom_focal(entry: dict[str, Any], width: float, form: str, version: tuple[int, ...] | None) -> list[float]:
    """fx, fy, px. Of millimetres, pixelRatio is fx / fy before version 1.2.5, fy / fx from then on."""
    if "focalLength" not in entry:
        pixels = entry.get("pxFocalLength")
        pair = pixels if isinstance(pixels, list) and len(pixels) == 2 else [pixels, pixels]
        return [_number({"pxFocalLength": f}, "pxFocalLength", form) for f in pair]
    sensor, ratio = _number(entry, "sensorWidth", form), _number(entry, "pixelRatio", form, 1.0)
    if not sensor > 0 or not ratio > 0:
        raise bad(f"has sensorWidth {sensor:g} and pixelRatio {ratio:g} ({form}); both must be positive")
    fx = _number(entry, "focalLength", form) / sensor * width
    if version is None and ratio != 1:
        refuse_model(f"pixelRatio {ratio:g} of an unknown version", form)
    return [fx, fx / ratio if version is not None and version < (1, 2, 5) else fx * ratio]


def _meshroom_camera(entry: dict[str, Any], form: str, version: tuple[int, ...] | None) -> Camera:
    width, height = _number(entry, "width", form), _number(entry, "height", form)
    fx, fy = _meshroom_focal(entry, width, form, version)
    offset = matrix(_floats(entry.get("principalPoint", [0, 0])), (2, 1), f"principalPoint ({form})").ravel()
    size = np.array([width, height])
    if np.all(np.abs(offset) < size / 4):
        offset = offset + size / 2
    elif not np.all(np.abs(offset - size / 2) < size / 4):
        raise bad(
            f"has principalPoint {offset[0]:g}, {offset[1]:g} ({form}), near neither the centre nor the corner",
            "Calibrate with OpenCV, and give its file.",
        )
    cx, cy = offset - 0.5
    K = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
    if str(entry.get("type")).lower() == "equirectangular":
        return panorama((width, height), form, K)
    model = str(entry.get("distortionType") or entry.get("type", "pinhole")).lower()
    dist = number_array(_floats(entry.get("distortionParams") or []), f"distortionParams ({form})").ravel()
    if "fisheye4" in model or model == "equidistant":
        return wide_lens("fisheye", K, (width, height), dist if len(dist) else np.zeros(4), form)
    lens = {"radialk1": "k1", "radial1": "k1", "radialk3": "k1 k2 k3", "radial3": "k1 k2 k3", "brown": "k1 k2 k3 p1 p2"}
    keys = lens.get(model, "").split()
    if np.any(dist) and len(keys) != len(dist):
        refuse_model(f"{model} of {len(dist)} coefficients", form, "Undistort the photos (PrepareDenseScene).")
    if model == "brown" and np.any(dist[3:]):
        refuse_model("brown with t1, t2", form, "Undistort the photos (PrepareDenseScene).")
    p = dict(zip(keys, dist, strict=True)) if np.any(dist) else {}
    return checked_camera(
        K, (width, height), [p.get("k1", 0), p.get("k2", 0), 0, 0, p.get("k3", 0)], f"a {form} camera"
    )


def fits_opensfm(text: str) -> bool:
    """Return whether the text is JSON with the key projection_type."""
    return text.lstrip()[:1] in ("{", "[") and re.search(r'"projection_type"\s*:', text) is not None


def read_opensfm(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read OpenSfM's (OpenDroneMap's) reconstruction.json, the two shots by name, or the camera of camera_models.json.

    f = focal max(width, height), and the principal point is the centre ((width - 1) / 2, (height - 1) / 2) plus c_x,
    c_y times the same. X_camera = R(rotation) X + translation. The scale is taken as free.

    References
    ----------
    OpenSfM's documentation, "Geometric models": normalized image coordinates, pixel coordinates, camera models.
    """
    root = load_json(text)
    if isinstance(root, list):
        if len(root) != 1 or not isinstance(root[0], dict):
            raise bad(f"holds {len(root)} reconstructions (OpenSfM)", "Keep the one with both photos.")
        root = root[0]
    if not isinstance(root, dict):
        raise bad("is OpenSfM's JSON, but no object with names")
    cameras, shots = root.get("cameras", root), root.get("shots", {})
    if not isinstance(cameras, dict) or not isinstance(shots, dict):
        raise bad("has no cameras and shots by name (OpenSfM)")
    found = {name: _opensfm_camera(entry, name) for name, entry in cameras.items() if isinstance(entry, dict)}
    views: dict[str, View] = {}
    for name, shot in shots.items():
        if not isinstance(shot, dict) or shot.get("camera") not in found:
            raise bad(f"has no camera for the shot {name} (OpenSfM)")
        R = rotation(matrix(shot.get("rotation"), (3, 1), f"rotation of {name}").ravel())
        views[name] = (
            found[shot["camera"]],
            (R, matrix(shot.get("translation"), (3, 1), f"translation of {name}").ravel()),
        )
    if not views and len(found) > 1:
        raise bad(f"holds {len(found)} cameras (OpenSfM), and nothing says which took which photo", "Keep one.")
    return rig_of_views(views or {name: (camera, None) for name, camera in found.items()}, names, None, "OpenSfM")


def _opensfm_camera(entry: dict[str, Any], name: str) -> Camera:
    form = f"OpenSfM, {name}"
    size = _number(entry, "width", form), _number(entry, "height", form)
    scale, model = max(size), str(entry.get("projection_type"))
    if model in ("spherical", "equirectangular"):
        return panorama(size, form)
    f = _number(entry, "focal", form, 0.0) or _number(entry, "focal_x", form)
    fy = f if "focal" in entry else _number(entry, "focal_y", form)
    cx, cy = (
        _number(entry, key, form, 0.0) * scale + (side - 1) / 2 for key, side in zip(("c_x", "c_y"), size, strict=True)
    )
    K = [[f * scale, 0, cx], [0, fy * scale, cy], [0, 0, 1]]
    p = [_number(entry, key, form, 0.0) for key in ("k1", "k2", "p1", "p2", "k3", "k4")]
    if model in ("fisheye", "fisheye_opencv"):
        return wide_lens("fisheye", K, size, [p[0], p[1], p[4], p[5]], form)
    if model not in ("perspective", "brown", "simple_radial", "radial"):
        refuse_model(model, form)
    return checked_camera(K, size, p[:5], form)


def fits_nerf(text: str) -> bool:
    """Return whether the text is JSON with frames and a transform_matrix."""
    return text.lstrip().startswith("{") and all(
        re.search(rf'"{key}"\s*:\s*\[', text) is not None for key in ("frames", "transform_matrix")
    )


def read_nerf(text: str, names: tuple[str, str] | None = None, sizes: Sizes | None = None) -> Rig:
    """Read transforms.json of NeRF programs (instant-ngp, nerfstudio, Blender's data), the two frames by file_path.

    transform_matrix turns camera axes x right, y up, z back into the world. The camera is fl_x fl_y cx cy w h and k1
    k2 p1 p2 (k3), of the file or of the frame, with pixels counted from the corner of the first, as COLMAP does; or
    camera_angle_x with the principal point in the centre of the photo. The scale is free.

    References
    ----------
    Nerfstudio's documentation, "Data conventions"; instant-ngp, docs/nerf_dataset_tips.md.
    """
    root = json_object(text, "NeRF's transforms.json")
    views: dict[str, View] = {}
    for i, frame in enumerate(_dicts(root.get("frames"), "frames (NeRF)")):
        name = str(frame.get("file_path", i))
        R, C = pose_of_matrix(frame.get("transform_matrix"), f"transform_matrix of {name}")
        views[name] = _nerf_camera({**root, **frame}, name, sizes), inverse_pose(R @ CV_FROM_GL, C)
    return rig_of_views(views, names, None, "NeRF's transforms.json")


def _nerf_camera(entry: dict[str, Any], name: str, sizes: Sizes | None) -> Camera:
    form = f"NeRF, {name}"
    size = (_number(entry, "w", form), _number(entry, "h", form)) if {"w", "h"} <= set(entry) else None
    if size is None and sizes is not None:
        size = sizes[0]
    if "fl_x" in entry:
        f = _number(entry, "fl_x", form)
    elif "camera_angle_x" in entry and size is not None:
        angle = _number(entry, "camera_angle_x", form)
        if not 0 < angle < math.pi:
            raise bad(f"has camera_angle_x {angle:g} ({form}); it is an angle in radians below pi")
        f = size[0] / 2 / math.tan(angle / 2)
    else:
        raise bad(f"has no fl_x, nor camera_angle_x with w and h ({form})", "Add fl_x, fl_y, cx, cy, w, h in px.")
    if size is None and not {"cx", "cy"} <= set(entry):
        raise bad(f"has neither cx, cy nor w, h ({form})", "Add them, in px.")
    cx, cy = (_number(entry, key, form, size[i] / 2 if size else None) - 0.5 for i, key in enumerate(("cx", "cy")))
    K = [[f, 0, cx], [0, _number(entry, "fl_y", form, f), cy], [0, 0, 1]]
    model = str(entry.get("camera_model", "OPENCV"))
    k1, k2, k3, k4, p1, p2 = (_number(entry, key, form, 0.0) for key in ("k1", "k2", "k3", "k4", "p1", "p2"))
    if "FISHEYE" in model or entry.get("is_fisheye") is True:
        return wide_lens("fisheye", K, size, [k1, k2, k3, k4], form)
    if model not in ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "perspective") or k4:
        refuse_model(model + (" with k4" if k4 else ""), form)
    return checked_camera(K, size, [k1, k2, p1, p2, k3], form)


def fits_open3d(text: str) -> bool:
    """Return whether the text is JSON with intrinsic_matrix as a flat list."""
    return text.lstrip().startswith("{") and re.search(r'"intrinsic_matrix"\s*:\s*\[\s*[-+.\d]', text) is not None


def read_open3d(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read Open3D's PinholeCameraIntrinsic, PinholeCameraParameters or PinholeCameraTrajectory of two cameras.

    Matrices stand column by column; X_camera = extrinsic X. A single camera holds for both photos. The unit is that of
    the scene, which the file does not state. `names` is not used.

    References
    ----------
    Open3D, cpp/open3d/camera: PinholeCameraIntrinsic.cpp, PinholeCameraParameters.cpp (Eigen's order, by columns).
    """
    root = json_object(text, "Open3D's camera")
    entries = _dicts(root["parameters"], "parameters (Open3D)") if "parameters" in root else [root]
    views: dict[str, View] = {}
    for i, entry in enumerate(entries):
        inner = entry.get("intrinsic", entry)
        if not isinstance(inner, dict) or "intrinsic_matrix" not in inner:
            raise bad("has no intrinsic_matrix (Open3D)")
        K = matrix(inner["intrinsic_matrix"], (3, 3), "intrinsic_matrix (Open3D)")
        if np.any(K[2, :2]):  # by columns; a file of another program may have it by rows
            K = K.T
        size = (inner["width"], inner["height"]) if inner.get("width") and inner.get("height") else None
        pose = None
        if entry.get("extrinsic") is not None:
            pose = pose_of_matrix(matrix(entry["extrinsic"], (4, 4), "extrinsic (Open3D)").T, "extrinsic (Open3D)")
        views[f"camera {i}"] = checked_camera(K, size, None, "intrinsic_matrix (Open3D)"), pose
    return rig_of_views(views, names, UNSTATED_UNIT, "Open3D")
