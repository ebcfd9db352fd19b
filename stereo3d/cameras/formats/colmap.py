"""COLMAP's text model, cameras.txt and images.txt."""

import re

import numpy as np

from ...geometry.rotations import rotation_from_quaternion
from ...records import Camera, Rig
from .check import bad, checked_camera, choose_views, number_array, panorama, posed, refuse_model, relative, wide_lens

# Camera model of COLMAP -> its parameters, in order; the distortion coefficients are those of OpenCV.
_COLMAP_MODELS = {
    "SIMPLE_PINHOLE": "f cx cy",
    "PINHOLE": "fx fy cx cy",
    "SIMPLE_RADIAL": "f cx cy k1",
    "RADIAL": "f cx cy k1 k2",
    "OPENCV": "fx fy cx cy k1 k2 p1 p2",
    "FULL_OPENCV": "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6",
}
# Models of wide lenses -> the name in `LENSES`, and their parameters in order.
_COLMAP_WIDE = {
    "SIMPLE_FISHEYE": ("fisheye", "f cx cy"),
    "FISHEYE": ("fisheye", "fx fy cx cy"),
    "SIMPLE_RADIAL_FISHEYE": ("fisheye", "f cx cy k1"),
    "RADIAL_FISHEYE": ("fisheye", "f cx cy k1 k2"),
    "OPENCV_FISHEYE": ("fisheye", "fx fy cx cy k1 k2 k3 k4"),
    "EUCM": ("eucm", "fx fy cx cy alpha beta"),
    "EQUIRECTANGULAR": ("equirectangular", "w h"),
}
_COLMAP_REFUSED = ("FOV", "THIN_PRISM_FISHEYE", "RAD_TAN_THIN_PRISM_FISHEYE", "SIMPLE_DIVISION", "DIVISION")

_RENAME = "Name the photos as COLMAP saw them; to use only its camera, move cameras.txt to a folder without images.txt."
_HEAD = 100_000  # characters in which the first camera or image is


def fits_colmap(text: str) -> bool:
    """Return whether a line has the form of COLMAP's cameras.txt or images.txt."""
    return any(is_camera(line) or image_fields(line) for line in text[:_HEAD].splitlines())


def is_camera(line: str) -> bool:
    """Return whether a line has the form of cameras.txt: CAMERA_ID MODEL WIDTH HEIGHT PARAMS."""
    fields = line.split(None, 4)
    return (
        len(fields) >= 4
        and all(fields[i].isdecimal() and fields[i].isascii() for i in (0, 2, 3))
        and re.fullmatch(r"[A-Z][A-Z_0-9]+", fields[1]) is not None
    )


def image_fields(line: str) -> list[str] | None:
    """Fields of a line of images.txt: IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME; None for a line of points."""
    fields = line.split(None, 9)
    if len(fields) < 10 or not fields[0].isdecimal() or not fields[8].isdecimal():
        return None
    name = fields[9].split()
    if (9 + len(name)) % 3 == 0 and all(_is_number(part) for part in name):
        return None
    return [*fields[:9], fields[9].rstrip()] if all(_is_number(number) for number in fields[1:8]) else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_colmap(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read COLMAP's text model, X_camera = R(q) X + t with q = (w, x, y, z).

    Parameters
    ----------
    text : str
        The lines of cameras.txt, followed by the lines of images.txt where that file exists.
    names : (str, str), optional
        File names of the photos; they select two images where the model has more. Without images the one camera holds
        for both photos.

    Returns
    -------
    Rig
        unit None: the scale of such a model is free. COLMAP's first pixel has its centre at (1/2, 1/2), ours at (0, 0).

    Raises
    ------
    StereoError
        "bad_calibration".
    """
    cameras, images = {}, {}
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        if image := image_fields(line):
            images[image[9]] = image
        elif is_camera(line):
            number, model, *values = line.split()
            if number in cameras:
                raise bad(f"has the camera {number} twice")
            cameras[number] = _colmap_camera(number, model, values)
    if not cameras:
        raise bad("holds COLMAP's images but no camera", "Put cameras.txt into the folder of images.txt.")
    if not images:
        if len(cameras) > 1:
            raise bad(
                f"holds {len(cameras)} cameras of COLMAP, and nothing says which took which photo",
                "Put images.txt into its folder, or keep only the camera of both photos in it.",
            )
        [camera] = cameras.values()
        return Rig(camera, camera)
    found, poses = [], []
    for name in choose_views(list(images), names, "COLMAP", _RENAME):
        _, *pose, number, _ = images[name]
        if number not in cameras:
            raise bad(f"has no camera {number}, which took {name}", "Give cameras.txt and images.txt of one model.")
        pose = number_array(pose, f"the pose of {name}")
        if abs(np.linalg.norm(pose[:4]) - 1) > 1e-3:
            raise bad(f"has a quaternion of length {np.linalg.norm(pose[:4]):.4g} for {name}; it must be 1")
        found.append(cameras[number])
        poses.append((rotation_from_quaternion(pose[:4]), pose[4:]))
    return posed(found[0], found[1], *relative(*poses), None)


def _colmap_camera(number: str, model: str, values: list[str]) -> Camera:
    if model in _COLMAP_REFUSED:
        refuse_model(model, "COLMAP", "Undistort the photos: colmap image_undistorter.")
    lens, listed = _COLMAP_WIDE.get(model, ("", _COLMAP_MODELS.get(model)))
    if listed is None:
        raise bad(
            f"has the camera {number} of model {model}",
            f"Known models: {', '.join([*_COLMAP_MODELS, *_COLMAP_WIDE])}. Choose one of "
            "them for COLMAP's --ImageReader.camera_model, or undistort the photos.",
        )
    keys = listed.split()
    width, height, *numbers = number_array(values, f"the camera {number}")
    size = width, height
    if len(numbers) != len(keys):
        raise bad(f"has {len(numbers)} parameters for the camera {number}; {model} has {len(keys)}: {' '.join(keys)}")
    p = dict(zip(keys, numbers, strict=True))
    name = f"COLMAP {model}, camera {number}"
    if lens == "equirectangular":
        if (p["w"], p["h"]) != size:
            raise bad(f"has the parameters {p['w']:g} {p['h']:g} beside the size {width:g} x {height:g} ({name})")
        return panorama(size, name)
    f = p.get("f")
    K = [[p.get("fx", f), 0, p["cx"] - 0.5], [0, p.get("fy", f), p["cy"] - 0.5], [0, 0, 1]]
    if lens == "eucm":
        return wide_lens(lens, K, size, [p["alpha"], p["beta"]], name)
    if lens:
        return wide_lens(lens, K, size, [p.get(key, 0.0) for key in ("k1", "k2", "k3", "k4")], name)
    dist = [p.get(key, 0.0) for key in ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")]
    return checked_camera(K, size, dist if any(dist[4:]) else dist[:4], f"the camera {number}")
