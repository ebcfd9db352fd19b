"""Checks that every calibration reader shares: arrays, cameras, sizes, rotations."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ...errors import StereoError
from ...geometry.camera import MAX_TILT
from ...geometry.rotations import rotation_from_vector
from ...geometry.wide_lenses import LENSES, equirectangular_K
from ...records import Camera, Rig, WideLens
from ...records.checks import MAX_ROTATION_ERROR

UNSTATED_UNIT = "calibration units"  # a posed rig whose file does not say in what unit t is
MAX_OFF_SPHERE = 0.01  # relative, of the shape and the field of a panorama: rounding and scaling
UNKNOWN_SIZE = (0, 0)  # a camera whose file does not say for which picture size it holds


def bad(message: str, advice: str = "Check the file.", **numbers: Any) -> StereoError:
    """Return the error of a calibration file; `read_rig` puts the file's path in front of the message."""
    return StereoError("bad_calibration", message.rstrip(".") + ".", advice, **numbers)


def number_array(value: Any, name: str) -> np.ndarray:
    """Return a value of a file as finite float64; name: of the entry, for the message."""
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise bad(f"has no array of numbers in {name}") from error
    if not np.all(np.isfinite(array)):
        raise bad(f"has values in {name} that are not finite numbers", "Calibrate again, or correct the file.")
    return array


def named_lines(text: str, separator: str) -> dict[str, str]:
    """Return name -> value of the lines "name separator value"; the last of equal names counts."""
    entries = {}
    for line in text.splitlines():
        name, found, value = line.partition(separator)
        if found and name.strip().isidentifier():
            entries[name.strip()] = value.strip()
    return entries


def matrix(value: Any, shape: tuple[int, int], name: str) -> np.ndarray:
    """Return a value of a file as a finite float64 array of that shape, from any nesting of the numbers."""
    array = number_array(value, name)
    if array.size != shape[0] * shape[1]:
        raise bad(f"has {array.size} numbers in {name}, where {shape[0]} x {shape[1]} are needed")
    return array.reshape(shape)


def checked_camera(K: Any, size: Any, dist: Any, name: str) -> Camera:
    """Return a camera from the entries of a file, scaled so that K[2, 2] = 1.

    Parameters
    ----------
    K : array of 9 numbers
        Upper triangular, focal lengths positive, px.
    size : (width, height) or None
        px; None gives `UNKNOWN_SIZE`.
    dist : array or None
        Distortion in OpenCV's order.
    name : str
        Of the camera or its matrix, for messages.

    Raises
    ------
    StereoError
        "bad_calibration".
    """
    K = matrix(K, (3, 3), name)
    if abs(K[2, 2]) <= 1e-12 * np.abs(K).max() or np.linalg.matrix_rank(K) < 3:
        raise bad(f"has a singular camera matrix {name}", "A camera matrix is [fx 0 cx; 0 fy cy; 0 0 1].")
    K = K / K[2, 2]
    scale = np.abs(K).max()
    if max(abs(K[2, 0]), abs(K[2, 1])) > 1e-9 * scale or abs(K[1, 0]) > 1e-6 * scale:
        raise bad(
            f"has a camera matrix {name} that is not upper triangular",
            "Is it transposed? A camera matrix is [fx 0 cx; 0 fy cy; 0 0 1].",
        )
    if K[0, 0] <= 0 or K[1, 1] <= 0:
        raise bad(
            f"has focal lengths fx = {K[0, 0]:g}, fy = {K[1, 1]:g} in {name}; both must be positive",
            "Check its numbers.",
            fx=K[0, 0],
            fy=K[1, 1],
        )
    size = _size(size, name)
    if size != UNKNOWN_SIZE:
        for c, side, axis in ((K[0, 2], size[0], "x"), (K[1, 2], size[1], "y")):
            if not -side <= c <= 2 * side:
                raise bad(
                    f"has the principal point of {name} at {axis} = {c:g}, far outside a picture of "
                    f"{size[0]} x {size[1]} px"
                )
    return Camera(K, size, _distortion(dist, name), "calibration")


def _size(size: Any, name: str) -> tuple[int, int]:
    if size is None:
        return UNKNOWN_SIZE
    size = number_array(size, f"the picture size of {name}").ravel()
    if size.shape != (2,) or np.any(size < 1) or np.any(size % 1) or np.any(size > 1e6):
        raise bad(
            f"states the picture size {' x '.join(f'{s:g}' for s in size)} for {name}",
            "It is width, height in whole pixels.",
        )
    return int(size[0]), int(size[1])


def _distortion(dist: Any, name: str) -> np.ndarray:
    dist = np.zeros(0) if dist is None else number_array(dist, f"the distortion of {name}").ravel()
    if not np.any(dist):
        return np.zeros(0)
    if len(dist) == 14 and not np.any(dist[12:]):
        dist = dist[:12]
    if len(dist) in (1, 2):
        dist = np.pad(dist, (0, 4 - len(dist)))
    if len(dist) not in (4, 5, 8, 12, 14):
        raise bad(
            f"has {len(dist)} distortion coefficients for {name}",
            "OpenCV's order has 4, 5, 8, 12 or 14 of them (k1 k2 p1 p2 k3 ...).",
        )
    if len(dist) == 14 and np.abs(dist[12:]).max() > MAX_TILT:
        raise bad(
            f"has a sensor of {name} tilted by {dist[12]:g} and {dist[13]:g} rad (coefficients 13 and 14)",
            f"Check its numbers; {MAX_TILT:g} rad is the most.",
        )
    return dist


def rotation(R: Any) -> np.ndarray:
    """Return the rotation matrix nearest to R (3, 3), or the one of a rotation vector (3,).

    Raises
    ------
    StereoError
        "bad_calibration" where R R^T differs from the identity by more than `MAX_ROTATION_ERROR`, or R mirrors.
    """
    R = number_array(R, "R")
    if R.size == 3:
        return rotation_from_vector(R.ravel())
    R = matrix(R, (3, 3), "R")
    with np.errstate(all="ignore"):
        off = float(np.abs(R @ R.T - np.eye(3)).max())
    if not off <= MAX_ROTATION_ERROR:
        raise bad(
            f"has a matrix R that is no rotation: R R^T is off the identity by {off:.2g}, "
            f"allowed is {MAX_ROTATION_ERROR:g}",
            "Check its numbers.",
            off=off,
        )
    if np.linalg.det(R) < 0:
        raise bad(
            "has a matrix R that mirrors: its determinant is -1",
            "Check the signs, and the axes (x right, y down, z forward).",
        )
    if off < 1e-12:
        return R
    U, _, Vt = np.linalg.svd(R)
    return U @ Vt


def posed(cam1: Camera, cam2: Camera, R: Any, t: Any, unit: str | None) -> Rig:
    """Return the rig of two cameras with X2 = R X1 + t; R and t None: without pose.

    Raises
    ------
    StereoError
        "bad_calibration" where only one of R and t is given, or t is 0.
    """
    if R is None and t is None:
        return Rig(cam1, cam2)
    if R is None or t is None:
        raise bad(
            f"has no {'R' if R is None else 'T'}, while it has {'T' if R is None else 'R'}",
            "Give both, or neither and let the pose be estimated.",
        )
    t = matrix(t, (3, 1), "T").ravel()
    if not np.linalg.norm(t) > 0:
        raise bad("has a zero baseline: both cameras have the same position", "A stereo rig needs T other than 0.")
    return Rig(cam1, cam2, rotation(R), t, unit)


def relative(
    pose1: tuple[np.ndarray, np.ndarray], pose2: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """R = R2 R1^T, t = t2 - R t1, the relative pose of X1 = R1 X + t1 and X2 = R2 X + t2."""
    (R1, t1), (R2, t2) = pose1, pose2
    R = R2 @ R1.T
    return R, t2 - R @ t1


View = tuple[Camera, tuple[np.ndarray, np.ndarray] | None]  # a camera and its pose R, t with X_camera = R X + t


RENAME = "Give the photos the names that they have in this file."


def choose_views(images: list[str], names: tuple[str, str] | None, form: str, advice: str = RENAME) -> list[str]:
    """Return the two images of the photos: by file name, by name without suffix, else the only two.

    Parameters
    ----------
    images : list of str
        Names or paths of the images of a file, of any system.
    names : (str, str) or None
        File names of the photos.
    form, advice : str
        For the message.

    Raises
    ------
    StereoError
        "bad_calibration".
    """
    wanted = [Path(name).name for name in names or ()]
    for part in ("name", "stem"):
        known = [(image, getattr(Path(image.replace("\\", "/")), part)) for image in images]
        found = [[image for image, name in known if name == getattr(Path(photo), part)] for photo in wanted]
        if len(found) == 2 and len(found[0]) == len(found[1]) == 1 and found[0] != found[1]:
            return [found[0][0], found[1][0]]
    if len(images) == 2:
        return images
    raise bad(
        f"holds {len(images)} images of {form} ({', '.join(images[:6])}), of which not exactly one each is named "
        f"{' and '.join(wanted) or 'like the photos'}",
        advice,
    )


def rig_of_views(views: dict[str, View], names: tuple[str, str] | None, unit: str | None, form: str) -> Rig:
    """Return the rig of two of several views, chosen by `choose_views`; a single view holds for both photos.

    Parameters
    ----------
    views : dict
        Name of the image -> its camera and pose.
    names : (str, str) or None
        File names of the photos.
    unit : str or None
        Of t; None: up to scale.
    form : str
        For messages.

    Raises
    ------
    StereoError
        "bad_calibration".
    """
    if not views:
        raise bad(f"is of the form {form}, but holds no camera")
    if len(views) == 1:
        [(camera, _)] = views.values()
        return Rig(camera, camera)
    first, second = choose_views(list(views), names, form)
    (cam1, pose1), (cam2, pose2) = views[first], views[second]
    if pose1 is None and pose2 is None:
        return Rig(cam1, cam2)
    if pose1 is None or pose2 is None:
        raise bad(f"has the pose of only one of {first} and {second} ({form})", "Give a file with both poses.")
    return posed(cam1, cam2, *relative(pose1, pose2), unit)


def pose_of_matrix(M: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """R, t of M = [R | t], (3, 4) or (4, 4), checked; name: of the matrix, for messages."""
    M = number_array(M, name)
    if M.size not in (12, 16):
        raise bad(f"has {M.size} numbers in {name}, where 4 x 4 are needed")
    M = M.reshape(-1, 4)
    if len(M) == 4 and np.abs(M[3] - [0, 0, 0, 1]).max() > 1e-6:
        raise bad(f"has the last row {M[3].tolist()} in {name}; it must be 0 0 0 1")
    return rotation(M[:3, :3]), M[:3, 3]


def inverse_pose(R: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R^T, -R^T t: the pose of the camera from its axes and centre in the world, or the reverse."""
    return R.T, -R.T @ t


def wide_lens(model: str, K: Any, size: Any, coefficients: Any, name: str) -> Camera:
    """Return a camera with a wide-angle lens: its coefficients are never taken for Brown's.

    Parameters
    ----------
    model : str
        "fisheye" (Kannala-Brandt, 4 coefficients), "double_sphere" (xi, alpha), "eucm" (alpha, beta) or "omnidir"
        (xi, k1, k2, p1, p2).
    K, size : array of 9 numbers; (width, height) or None
        As in `checked_camera`.
    coefficients : sequence of float
        Of the model.
    name : str
        Form and camera, for the message.

    Raises
    ------
    StereoError
        "bad_calibration".
    """
    values = number_array(coefficients, f"the distortion of {name}").ravel()
    wanted = LENSES[model].coefficients
    if len(values) != wanted:
        raise bad(f"has {len(values)} coefficients of a {model} lens ({name}), where {wanted} are needed")
    if broken := LENSES[model].broken_bound(values.tolist()):
        raise bad(f"has a {model} lens with {broken} ({name})")
    camera = checked_camera(K, size, None, name)
    return replace(camera, lens=WideLens(model, tuple(float(v) for v in values)))


def panorama(size: Any, name: str, K: Any = None) -> Camera:
    """Return the camera of an equirectangular panorama: longitude = (x - cx) / fx, latitude = (y - cy) / fy.

    Parameters
    ----------
    size : (width, height)
        px.
    name : str
        Form and camera, for the message.
    K : array of 9 numbers, optional
        Without it the picture shows the whole sphere.

    Raises
    ------
    StereoError
        "bad_calibration" for a whole sphere that is not twice as wide as high, and for more than a whole sphere.
    """
    width, height = checked = _size(size, name)
    if K is None and abs(width / (2 * height) - 1) > MAX_OFF_SPHERE:
        raise bad(
            f"has a panorama of {width} x {height} px ({name}); of the whole sphere it is twice as wide as high",
            "Leave --calib out where the photos state the part that they show (GPano).",
        )
    camera = checked_camera(equirectangular_K(checked) if K is None else K, checked, None, name)
    around, high = width / camera.K[0, 0], height / camera.K[1, 1]
    if max(around / (2 * np.pi), high / np.pi) > 1 + MAX_OFF_SPHERE:
        raise bad(
            f"has a panorama of {np.degrees(around):.0f} x {np.degrees(high):.0f} degrees ({name}), more than a sphere",
            "Check its focal length.",
        )
    return replace(camera, lens=WideLens("equirectangular"))


def refuse_model(model: str, form: str, advice: str = "Calibrate with a pinhole and Brown's distortion.") -> NoReturn:
    """Raise the error of a camera model that no camera of this program has."""
    if re.search("equirect|spheric|panoram|360", model, re.I):
        advice = "Leave --calib out and give --projection equirectangular: the pose is estimated then."
    raise bad(f"has a camera of the model {model!r} ({form}), which is not supported", advice)
