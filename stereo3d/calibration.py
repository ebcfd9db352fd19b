"""Where cameras come from: calibration files of any usual form -> Rig; EXIF, or a prior, -> Camera."""

import json
import logging
import math
import os
import re
import typing
from dataclasses import replace
from pathlib import Path

import numpy as np

from .errors import StereoError
from .files import replacing
from .geometry import rotation_from_quaternion, rotation_from_vector, scale_K
from .records import MAX_ROTATION_ERROR, Camera, ExifFacts, Photo, Rig

log = logging.getLogger(__name__)

DIAGONAL_35MM = math.hypot(36, 24)  # mm: 43.267
FOCAL_35MM_RANGE = (8.0, 1200.0)  # mm: from a fisheye to the longest lens sold; outside it the entry is a fault
FOV_RANGE = (0.5, 170.0)  # degrees: horizontal field of view that a pinhole camera can have

# mm of 35 mm film: photos without EXIF mostly went through a messenger, and so were taken by a phone, whose main camera
# has 24 to 28 mm; compact cameras and kit lenses start there and go to 35 and more. 28 mm is off by less than a fifth
# over 24 to 34 mm.
PRIOR_35MM = 28.0

UNSTATED_UNIT = "calibration units"  # a posed rig whose file does not say in what unit t is
UNKNOWN_SIZE = (0, 0)  # a camera whose file does not say for which picture size it holds

_MAX_BYTES = 4_000_000  # a calibration file is kilobytes; more is a picture or data
_TURNS = (
    "upright",
    "mirrored",
    "turned by 180 degrees",
    "mirrored upside down",
    "transposed",
    "turned by 90 degrees clockwise",
    "transposed and turned by 180 degrees",
    "turned by 90 degrees counter-clockwise",
)


# ------------------------------------------------------------------------------------------ focal length


def camera_for(
    photo: Photo, *, focal: float | None = None, focal_35mm: float | None = None, fov: float | None = None
) -> Camera:
    """The camera of an uncalibrated photo: K = [[f, 0, (W-1)/2], [0, f, (H-1)/2], [0, 0, 1]], no distortion.

    f in px, from the first of these that there is:

    1. given: `focal` px, `focal_35mm` mm, or `fov`, the horizontal field of view of the upright photo in degrees
       (f = W / 2 / tan(fov / 2));
    2. EXIF: the 35 mm equivalent by the diagonal, f = f35 hypot(W, H) / 43.267; else focal length times focal-plane
       resolution; else focal length times the crop factor of the camera's sensor, by `lensfunpy` if it is installed.
       The equivalent goes first because it follows digital zoom, which the other two do not; a disagreement of more
       than 10 % with the focal plane is noted in source_detail;
    3. a prior: 28 mm equivalent.

    An EXIF value of less than 8 or more than 1200 mm equivalent is ignored, and source_detail says so. A picture
    of other
    proportions than EXIF states is taken for the largest crop that fits; smaller crops cannot be detected.

    Camera.source is "given", "exif" or "prior"; source_detail says in words what was read.
    Raises StereoError("bad_option") for a given value without sense or more than one of them.
    """
    options = {"focal": focal, "focal_35mm": focal_35mm, "fov": fov}
    given = {name: _real(name, value) for name, value in options.items() if value is not None}
    if given:
        return _pinhole(*_given_focal(given, photo.size), photo.size, "given")

    origin, cropped = original_size(photo)
    mm_per_px = DIAGONAL_35MM / math.hypot(*origin)
    low, high = FOCAL_35MM_RANGE
    found, ignored = [], []
    for f, words in _exif_focals(photo.exif, origin):
        if low <= f * mm_per_px <= high:
            found.append((f, words))
        else:
            ignored.append(
                f"{words} ignored: it would be {f * mm_per_px:.3g} mm of 35 mm film, outside {low:g} to {high:g}"
            )
    if found:
        f, detail = found[0]
        for other, words in found[1:]:
            if abs(other / f - 1) > 0.10:
                ignored.append(f"{words} would give a focal length {100 * (other / f - 1):+.0f} % off; not used")
        if cropped:
            ignored.append(f"cropped from {origin[0]:.0f} x {origin[1]:.0f} px, principal point assumed in the middle")
        source = "exif"
    else:
        f, source = PRIOR_35MM * math.hypot(*photo.size) / DIAGONAL_35MM, "prior"
        detail = f"prior: {PRIOR_35MM:g} mm equivalent, a phone or a compact camera; EXIF has no usable focal length"
    return _pinhole(f, "; ".join([detail, *ignored]), photo.size, source)


def _real(name: str, value: typing.Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise StereoError("bad_option", f"{name} cannot be {value!r}.", "It is a number.") from error


def _pinhole(f: float, detail: str, size: tuple[int, int], source: str) -> Camera:
    K = np.array([[f, 0, (size[0] - 1) / 2], [0, f, (size[1] - 1) / 2], [0, 0, 1]])
    return Camera(K, (size[0], size[1]), np.zeros(0), source, detail)


def _given_focal(given: dict[str, float], size: tuple[int, int]) -> tuple[float, str]:
    """The focal length in px of the one value given, checked, and what was given in words."""
    if len(given) > 1:
        raise StereoError("bad_option", f"{' and '.join(given)} are both given.", "Give the focal length in one way.")
    width, height = size
    [(name, value)] = given.items()
    words = f"{name.replace('_', ' ')} {value:g} {dict(focal='px', focal_35mm='mm', fov='degrees')[name]}"
    f = 0.0
    if math.isfinite(value) and value > 0:
        if name == "focal":
            f = value
        elif name == "focal_35mm":
            f = value * math.hypot(width, height) / DIAGONAL_35MM
        elif value < 180:
            f = width / 2 / math.tan(math.radians(value) / 2)
    angle = math.degrees(2 * math.atan(width / 2 / f)) if f > 0 else math.nan
    low, high = FOV_RANGE
    if not low <= angle <= high:
        seen = f" is a horizontal field of view of {angle:.3g} degrees over {width} px" if f > 0 else " has no sense"
        raise StereoError(
            "bad_option",
            f"{words}{seen}; {low:g} to {high:g} degrees are possible.",
            "focal is in pixels (about the picture's width), focal_35mm in mm of 35 mm film (a phone: 26), fov in "
            "degrees (a phone: 65).",
            value=value,
        )
    return f, f"given {words}"


def _exif_focals(exif: ExifFacts, origin: tuple[float, float]) -> list[tuple[float, str]]:
    """(f px, in words) by every way that EXIF offers, in order of trust. origin: the uncropped size, px."""
    found = []
    f35, mm, resolution = exif.get("focal_35mm"), exif.get("focal_mm"), exif.get("plane_resolution")
    if f35 is not None:
        found.append((f35 * math.hypot(*origin) / DIAGONAL_35MM, f"EXIF 35 mm equivalent {f35:g} mm"))
    if mm and resolution:
        # the resolution counts the pixels of the picture as it left the camera
        scale = max(origin) / max(exif.get("size_exif") or origin)
        found.append((mm * resolution * scale, f"EXIF focal length {mm:g} mm at {resolution:.4g} px/mm"))
    if mm and not found and (crop := _crop_factor(exif.get("make"), exif.get("model"))):
        found.append(
            (
                mm * crop * math.hypot(*origin) / DIAGONAL_35MM,
                f"EXIF focal length {mm:g} mm, {exif.get('model')} with crop factor {crop:.3g}",
            )
        )
    return found


def original_size(photo: Photo) -> tuple[tuple[float, float], bool]:
    """Size that the uncropped picture would have in pixels of this photo, and whether this photo is a crop of it.

    s = max(long / long_exif, short / short_exif): the crop kept one side whole. Sides are sorted, because turning
    programs do not agree on which way round they leave the EXIF entries.
    """
    size = photo.size
    if "size_exif" not in photo.exif:
        return size, False
    long, short = max(size), min(size)
    long0, short0 = max(photo.exif["size_exif"]), min(photo.exif["size_exif"])
    if abs((long / short) / (long0 / short0) - 1) <= 0.015:  # rounding of small pictures, codecs' multiples of 8 and 16
        return size, False
    s = max(long / long0, short / short0)
    return (long0 * s, short0 * s), True


def _crop_factor(make: str | None, model: str | None) -> float | None:
    """43.267 mm / the sensor's diagonal, by lensfun's database of cameras; None where that does not know it."""
    if not make or not model:
        return None
    try:
        import lensfunpy

        factors = [camera.crop_factor for camera in lensfunpy.Database().find_cameras(make, model)]
    except ImportError:
        return None
    except Exception as error:  # a broken or foreign database must not stop a reconstruction
        log.warning("lensfunpy: %s", error)
        return None
    # some cameras have a crop factor for each format they take; one within 10 % of all is a fair guess
    if not factors or min(factors) <= 0 or max(factors) > 1.1 * min(factors):
        return None
    return float(np.median(factors))


# ------------------------------------------------------------------------------------------ turned photos


def turn_matrix(orientation: int, size: tuple[int, int]) -> np.ndarray:
    """A (3,3): upright pixel ~ A (stored pixel), for a stored picture of `size` (width, height) px.

    orientation: as EXIF counts, 1 to 8, else ValueError.

    The left upper (2,2) is a signed permutation; its determinant is -1 where the turn mirrors (2, 4, 5, 7).
    """
    if orientation not in range(1, 9):
        raise ValueError(f"orientation is 1 to 8, got {orientation!r}")
    w, h = size[0] - 1.0, size[1] - 1.0
    return np.array(
        {
            1: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            2: [[-1, 0, w], [0, 1, 0], [0, 0, 1]],
            3: [[-1, 0, w], [0, -1, h], [0, 0, 1]],
            4: [[1, 0, 0], [0, -1, h], [0, 0, 1]],
            5: [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
            6: [[0, -1, h], [1, 0, 0], [0, 0, 1]],
            7: [[0, -1, h], [-1, 0, w], [0, 0, 1]],
            8: [[0, 1, 0], [-1, 0, w], [0, 0, 1]],
        }[orientation],
        dtype=float,
    )


def turn_camera(camera: Camera, orientation: int) -> Camera:
    """The camera of the photo turned upright: K' = A K Q^-1 with x' = A x (`turn_matrix`) and X' = Q X, Q = A's turn.

    The turned camera sees Q X at A x. Lens distortion: the radial part is symmetric; (p2, p1), (s1, s3) and (s2, s4)
    are vectors of the picture plane and turn with it. camera: of the stored picture, its size known.
    """
    if orientation == 1:
        return camera
    A = turn_matrix(orientation, camera.size)
    Q = A.copy()
    Q[:2, 2] = 0
    dist = camera.dist.copy()
    for i, j in ((3, 2), (8, 10), (9, 11)):
        if len(dist) > max(i, j):
            dist[[i, j]] = Q[:2, :2] @ dist[[i, j]]
    size = camera.size[::-1] if orientation >= 5 else camera.size
    detail = f"{camera.source_detail}; {_TURNS[orientation - 1]} with the photo".removeprefix("; ")
    return replace(camera, K=A @ camera.K @ Q.T, size=size, dist=dist, source_detail=detail)


# ------------------------------------------------------------------------------------------ reading a rig


def read_rig(
    path: str | os.PathLike,
    sizes: tuple[tuple[int, int], tuple[int, int]] | None = None,
    *,
    orientations: tuple[int, int] = (1, 1),
    names: tuple[str, str] | None = None,
) -> Rig:
    """The two cameras of a calibration file, and their relative pose X2 = R X1 + t where the file has it.

    The form is found from the content, never from the name: see `READERS`. COLMAP's cameras.txt and images.txt are one
    calibration, and so are ROS's left.yaml and right.yaml: name their folder, or of COLMAP's either. With `sizes`, the
    (width, height) of the two photos as read, and their EXIF `orientations`, the rig is made to fit them (`fit_rig`);
    without, a camera whose file states no size has `UNKNOWN_SIZE`. names: the photos' file names, by which a file of
    more than two cameras is asked.

    Raises StereoError("file_missing" | "bad_calibration" | "calibration_mismatch").
    """
    path = Path(os.fsdecode(path))
    text = _read_all(path)
    try:
        form = next((form for form, (fits, _) in READERS.items() if fits(text)), None)
        if form is None:
            raise _bad("is of no known form", f"Known are: {', '.join(READERS)}.")
        log.debug("%s: read as %s", path, form)
        rig = READERS[form][1](text, names)
    except StereoError as error:
        raise StereoError(error.code, f"{path} {error.message}", error.advice, **error.numbers) from error
    detail = f"{form}, {path.name}"
    rig = replace(rig, cam1=replace(rig.cam1, source_detail=detail), cam2=replace(rig.cam2, source_detail=detail))
    return rig if sizes is None else fit_rig(rig, *sizes, orientations=orientations)


def _read_all(path: Path) -> str:
    """The text of a calibration, of all its files where it has several."""
    folder, pair = path, ("left.yaml", "right.yaml")
    if not path.is_dir():
        folder = path.parent
        if path.name == "images.txt" and path.is_file() and (folder / "cameras.txt").is_file():
            path = folder / "cameras.txt"
    elif (path / "cameras.txt").is_file():
        path = path / "cameras.txt"
    elif all((path / name).is_file() for name in pair):
        return "\n---\n".join(_read_text(path / name) for name in pair)
    else:
        raise StereoError(
            "bad_calibration",
            f"{path} is a folder with neither cameras.txt nor {' and '.join(pair)} in it.",
            "Name the calibration file; write a COLMAP model as text: colmap model_converter --output_type TXT.",
        )
    text = _read_text(path)
    if _fits_colmap(text) and path.name == "cameras.txt" and (folder / "images.txt").is_file():
        text += "\n" + _image_lines(folder / "images.txt")
    return text


def _image_lines(path: Path) -> str:
    """The lines of COLMAP's images.txt that hold poses, without the far longer ones that hold points."""
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            return "\n".join(line.rstrip("\r\n") for line in lines if _image_words(line))
    except OSError as error:
        raise StereoError("file_missing", f"{path}: cannot be opened ({error}).", "Check the path.") from error


def _read_text(path: Path) -> str:
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= _MAX_BYTES else b"\0"
    except FileNotFoundError as error:
        raise StereoError("file_missing", f"{path}: no such file.", "Check the path of the calibration.") from error
    except (OSError, ValueError) as error:
        raise StereoError("file_missing", f"{path}: cannot be opened ({error}).", "Check the path.") from error
    if not data.strip():
        raise StereoError("bad_calibration", f"{path}: the file is empty ({size} bytes).", "Give a calibration file.")
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # a comment in an old encoding is no harm
    if "\0" in text:
        raise StereoError(
            "bad_calibration", f"{path} is not text ({size} bytes).", f"Give a calibration file: {', '.join(READERS)}."
        )
    return text


def _bad(message: str, advice: str = "Check the file.", **numbers) -> StereoError:
    """The messages of this module follow the file's path."""
    return StereoError("bad_calibration", message.rstrip(".") + ".", advice, **numbers)


# ------------------------------------------------------------------------------------------ validation


def _array(value, name: str) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise _bad(f"has no array of numbers in {name}") from error
    if not np.all(np.isfinite(array)):
        raise _bad(f"has values in {name} that are not finite numbers", "Calibrate again, or correct the file.")
    return array


def _matrix(value, shape: tuple[int, int], name: str) -> np.ndarray:
    array = _array(value, name)
    if array.size != shape[0] * shape[1]:
        raise _bad(f"has {array.size} numbers in {name}, where {shape[0]} x {shape[1]} are needed")
    return array.reshape(shape)


def _camera(K, size, dist, name: str) -> Camera:
    """A checked camera: K upper triangular, focal lengths positive, K[2,2] = 1, distortion in OpenCV's order."""
    K = _matrix(K, (3, 3), name)
    if abs(K[2, 2]) <= 1e-12 * np.abs(K).max() or np.linalg.matrix_rank(K) < 3:
        raise _bad(f"has a singular camera matrix {name}", "A camera matrix is [fx 0 cx; 0 fy cy; 0 0 1].")
    K = K / K[2, 2]
    scale = np.abs(K).max()
    if max(abs(K[2, 0]), abs(K[2, 1])) > 1e-9 * scale or abs(K[1, 0]) > 1e-6 * scale:
        raise _bad(
            f"has a camera matrix {name} that is not upper triangular",
            "Is it transposed? A camera matrix is [fx 0 cx; 0 fy cy; 0 0 1].",
        )
    if K[0, 0] <= 0 or K[1, 1] <= 0:
        raise _bad(
            f"has focal lengths fx = {K[0, 0]:g}, fy = {K[1, 1]:g} in {name}; both must be positive",
            "Check its numbers.",
            fx=K[0, 0],
            fy=K[1, 1],
        )
    size = _size(size, name)
    if size != UNKNOWN_SIZE:
        for c, side, axis in ((K[0, 2], size[0], "x"), (K[1, 2], size[1], "y")):
            if not -side <= c <= 2 * side:
                raise _bad(
                    f"has the principal point of {name} at {axis} = {c:g}, far outside a picture of "
                    f"{size[0]} x {size[1]} px"
                )
    return Camera(K, size, _distortion(dist, name), "calibration")


def _size(size, name: str) -> tuple[int, int]:
    if size is None:
        return UNKNOWN_SIZE
    size = _array(size, f"the picture size of {name}").ravel()
    if size.shape != (2,) or np.any(size < 1) or np.any(size % 1) or np.any(size > 1e6):
        raise _bad(
            f"states the picture size {' x '.join(f'{s:g}' for s in size)} for {name}",
            "It is width, height in whole pixels.",
        )
    return int(size[0]), int(size[1])


def _distortion(dist, name: str) -> np.ndarray:
    dist = np.zeros(0) if dist is None else _array(dist, f"the distortion of {name}").ravel()
    if not np.any(dist):
        return np.zeros(0)
    if len(dist) == 14 and not np.any(dist[12:]):
        dist = dist[:12]
    if len(dist) in (1, 2):
        dist = np.pad(dist, (0, 4 - len(dist)))
    if len(dist) not in (4, 5, 8, 12):
        raise _bad(
            f"has {len(dist)} distortion coefficients for {name}",
            "Known is OpenCV's order with 4, 5, 8 or 12 of them (k1 k2 p1 p2 k3 ...), without tilt.",
        )
    return dist


def _rotation(R) -> np.ndarray:
    """The rotation nearest to R, which must be one to `MAX_ROTATION_ERROR`; a rotation vector is taken too."""
    R = _array(R, "R")
    if R.size == 3:
        return rotation_from_vector(R.ravel())
    R = _matrix(R, (3, 3), "R")
    off = float(np.abs(R @ R.T - np.eye(3)).max())
    if off > MAX_ROTATION_ERROR:
        raise _bad(
            f"has a matrix R that is no rotation: R R^T is off the identity by {off:.2g}, "
            f"allowed is {MAX_ROTATION_ERROR:g}",
            "Check its numbers.",
            off=off,
        )
    if np.linalg.det(R) < 0:
        raise _bad(
            "has a matrix R that mirrors: its determinant is -1",
            "Check the signs, and the axes (x right, y down, z forward).",
        )
    if off < 1e-12:
        return R
    U, _, Vt = np.linalg.svd(R)
    return U @ Vt


def _posed(cam1: Camera, cam2: Camera, R, t, unit: str | None) -> Rig:
    if R is None and t is None:
        return Rig(cam1, cam2)
    if R is None or t is None:
        raise _bad(
            f"has no {'R' if R is None else 'T'}, while it has {'T' if R is None else 'R'}",
            "Give both, or neither and let the pose be estimated.",
        )
    t = _matrix(t, (3, 1), "T").ravel()
    if not np.linalg.norm(t) > 0:
        raise _bad("has a zero baseline: both cameras stand in one place", "A stereo rig needs T other than 0.")
    return Rig(cam1, cam2, _rotation(R), t, unit)


# ------------------------------------------------------------------------------------------ forms


def _fits_middlebury(text: str) -> bool:
    return re.search(r"(?m)^\s*cam[01]\s*=", text) is not None


def _read_middlebury(text: str, names=None) -> Rig:
    """Middlebury 2014 (and ETH3D two-view): cam0, cam1, doffs, baseline, width, height. Millimetres.

    The pair is rectified: t = (-baseline, 0, 0), and doffs = cx1 - cx0 is held by the two camera matrices.
    """
    entries = dict(re.findall(r"(?m)^\s*(\w+)\s*=\s*(.*?)\s*$", text))

    def numbers(key: str) -> list[float]:
        if key not in entries:
            raise _bad(f"has no line {key}=", "Middlebury's form has cam0, cam1 (or doffs), baseline, width, height.")
        try:
            return [float(word) for word in re.split(r"[\s,;\[\]]+", entries[key]) if word]
        except ValueError as error:
            raise _bad(f"has no numbers in {key}={entries[key][:60]}") from error

    def number(key: str) -> float:
        found = numbers(key)
        if len(found) != 1 or not math.isfinite(found[0]):
            raise _bad(f"has no finite number in {key}={entries[key][:60]}")
        return found[0]

    size = (number("width"), number("height")) if "width" in entries or "height" in entries else None
    cam1 = _camera(numbers("cam0"), size, None, "cam0")
    shift = number("doffs") if "doffs" in entries else None
    if "cam1" in entries or shift is None:
        cam2 = _camera(numbers("cam1"), size, None, "cam1")
    else:
        cam2 = replace(cam1, K=cam1.K + np.array([[0, 0, shift], [0, 0, 0], [0, 0, 0]]))
    between = cam2.K[0, 2] - cam1.K[0, 2]
    if shift is not None and abs(between - shift) > 1:  # more than rounding
        raise _bad(
            f"contradicts itself: doffs={shift:g}, but the principal points of cam0 and cam1 lie {between:g} px apart",
            "Correct the one that is wrong.",
            doffs=shift,
            between=between,
        )
    baseline = number("baseline")
    if baseline <= 0:
        raise _bad(f"has baseline={baseline:g}; it must be positive", "Check the file.", baseline=baseline)
    return Rig(cam1, cam2, np.eye(3), np.array([-baseline, 0.0, 0.0]), "mm")


def _fits_kitti(text: str) -> bool:
    return re.search(r"(?m)^\s*P(_rect_0)?[0-3]:", text) is not None


def _read_kitti(text: str, names=None) -> Rig:
    """KITTI: projection matrices P = K [R | t] of rectified cameras, P0..P3 or P_rect_00..03. Metres.

    The colour pair (2, 3) where both are there, else the grey pair (0, 1). S_rect_0i, where there, is the size.
    """
    entries = dict(re.findall(r"(?m)^\s*(\w+):\s*(.*?)\s*$", text))

    def numbers(key: str) -> list[float]:
        try:
            return [float(word) for word in entries[key].split()]
        except ValueError as error:
            raise _bad(f"has no numbers in {key}: {entries[key][:60]}") from error

    for first, second in ((2, 3), (0, 1)):
        for stem in ("P_rect_0", "P"):
            keys = f"{stem}{first}", f"{stem}{second}"
            if all(key in entries for key in keys):
                poses = [_decompose_projection(_matrix(numbers(key), (3, 4), key), key) for key in keys]
                sizes = [numbers(s) if (s := f"S_rect_0{i}") in entries else None for i in (first, second)]
                cams = [_camera(K, size, None, key) for (K, _, _), size, key in zip(poses, sizes, keys, strict=True)]
                return _posed(cams[0], cams[1], *_relative(*(pose[1:] for pose in poses)), "m")
    raise _bad(
        "has no pair of projection matrices: neither P2 and P3 nor P0 and P1",
        "KITTI's form has lines P0: to P3: or P_rect_00: to P_rect_03:, of 12 numbers each.",
    )


def _decompose_projection(P: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K, R, t of P ~ K [R | t], P (3,4): RQ decomposition with a positive diagonal (Hartley and Zisserman, 6.2.4)."""
    M = P[:, :3]
    if np.linalg.matrix_rank(M) < 3:
        raise _bad(f"has a singular projection matrix {name}")
    P = P * np.sign(np.linalg.det(M))
    if not np.any(np.tril(P[:, :3], -1)) and np.all(np.diag(P) > 0):  # a rectified camera: nothing to round
        return P[:, :3] / P[2, 2], np.eye(3), np.linalg.solve(P[:, :3], P[:, 3])
    flip = np.eye(3)[::-1]
    q, r = np.linalg.qr((flip @ P[:, :3]).T)
    K, R = flip @ r.T @ flip, flip @ q.T
    signs = np.sign(np.diag(K))
    K, R = K * signs, signs[:, None] * R
    return K / K[2, 2], R, np.linalg.solve(K, P[:, 3])


def _relative(pose1, pose2) -> tuple[np.ndarray, np.ndarray]:
    """R, t of X2 = R X1 + t from X1 = R1 X + t1 and X2 = R2 X + t2."""
    (R1, t1), (R2, t2) = pose1, pose2
    R = R2 @ R1.T
    return R, t2 - R @ t1


def _json(text: str):
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad(f"is not readable JSON ({error})") from error


def _fits_cameras(text: str) -> bool:
    return text.lstrip().startswith("{") and re.search(r'"cameras"\s*:\s*\{', text) is not None


def _read_cameras(text: str, names=None) -> Rig:
    """cameras.json: {"cameras": {name: {K, size, and R, t with X_cam = R X + t, dist}}, "unit"}.

    Of more than two cameras, those named "left" and "right", else those named like the photos, are taken. R and t of
    both or of neither.
    """
    whole = _json(text)
    cameras = whole.get("cameras") if isinstance(whole, dict) else None
    if not isinstance(cameras, dict) or not all(isinstance(camera, dict) for camera in cameras.values()):
        raise _bad("has no cameras by name under its key cameras")
    first, second = _choose_two(cameras, [Path(name).stem for name in names or ()])
    camera1, pose1 = _camera_and_pose(cameras[first], first)
    camera2, pose2 = _camera_and_pose(cameras[second], second)
    if (pose1 is None) != (pose2 is None):
        raise _bad(f"has the pose of only one of the cameras {first} and {second}")
    if pose1 is None or pose2 is None:
        return Rig(camera1, camera2)
    return _posed(camera1, camera2, *_relative(pose1, pose2), _unit(whole))


def _choose_two(cameras: dict, stems: list[str]) -> tuple[str, str]:
    """Return the names of the two cameras of the photos, whose file names without suffix are `stems`."""
    for names in (["left", "right"], stems, list(cameras)):
        if len(names) == 2 and all(name in cameras for name in names):
            return names[0], names[1]
    raise _bad(
        f"holds {len(cameras)} cameras ({', '.join(list(cameras)[:6])}), of which none are named left and "
        f"right{' or ' + ' and '.join(stems) if stems else ''}",
        "Name the two after the photos, or left and right.",
    )


def _camera_and_pose(entry: dict, name: str) -> tuple[Camera, tuple[np.ndarray, np.ndarray] | None]:
    """Return a camera of cameras.json and its pose R, t, None where the file has none."""
    if entry.get("K") is None:
        raise _bad(f"has no K for the camera {name}")
    camera = _camera(entry["K"], entry.get("size"), entry.get("dist"), f"the camera {name}")
    R, t = entry.get("R"), entry.get("t")
    if (R is None) != (t is None):
        raise _bad(f"has {'R' if t is None else 't'} but not {'t' if t is None else 'R'} for the camera {name}")
    if R is None:
        return camera, None
    return camera, (_rotation(R), _matrix(t, (3, 1), f"t of the camera {name}").ravel())


def _fits_json(text: str) -> bool:
    return text.lstrip().startswith("{")


def _read_json(text: str, names=None) -> Rig:
    """Rig JSON: intrinsic1, intrinsic2, and where known distCoeffs1, distCoeffs2, res1, res2, R, T, unit.

    A name without a side, intrinsic, distCoeffs, res, stands for both photos.
    """
    entries = _json(text)
    if not isinstance(entries, dict):
        raise _bad("is JSON, but no object with names")
    plain = {}
    for key, value in entries.items():
        if isinstance(value, dict) and "data" in value:  # OpenCV's FileStorage writes matrices so
            value = _stored_matrix(value, key)
        plain[key] = value
    return _rig_of_entries(plain)


def _stored_matrix(value: dict, key: str) -> np.ndarray:
    data = _array(value["data"], key)
    rows, cols = value.get("rows"), value.get("cols")
    if isinstance(rows, int | float) and isinstance(cols, int | float):
        if not (0 <= rows < 1e6 and 0 <= cols < 1e6) or rows % 1 or cols % 1 or data.size != rows * cols:
            raise _bad(f"has {data.size} numbers in {key}, where {rows:g} x {cols:g} are announced")
        data = data.reshape(int(rows), int(cols))
    return data


def _fits_opencv(text: str) -> bool:
    return text.lstrip().startswith("%YAML") or "<opencv_storage>" in text


def _read_opencv(text: str, names=None) -> Rig:
    """OpenCV's FileStorage, YAML or XML: M1 D1 M2 D2 [R T], or one camera_matrix for both photos."""
    entries = _stored(text.lstrip())
    return _rig_of_entries({key: value for key, value in entries.items() if not isinstance(value, dict)})


def _stored(text: str) -> dict:
    """What a text of OpenCV's FileStorage holds: matrices, lists of numbers, strings, numbers, maps of these."""
    import cv2

    # OpenCV's own reader goes round for ever on a line without a key
    if re.search(r"(?m)^[ \t]*:", text) or (text.startswith("%") and not re.match(r"%YAML[: ]\d\.\d\s*(\n|$)", text)):
        raise _bad("is not readable as OpenCV's FileStorage (a line without a key, or a damaged first line)")
    try:
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        entries = _stored_map(storage.root())
        storage.release()
    except (cv2.error, SystemError, UnicodeDecodeError) as error:
        cause = error.__cause__ or error
        reason = next((line for line in reversed(str(cause).splitlines()) if line.strip()), "damaged")
        raise _bad(f"is not readable as OpenCV's FileStorage ({reason.strip()[:160]})") from error
    return entries


def _stored_map(node) -> dict:
    entries = {}
    for key in node.keys() if node.isMap() else ():
        value = node.getNode(key)
        if value.isMap():
            held = _stored_map(value)
            # not by OpenCV's own mat(): it ends the process where the data are not what rows, cols and dt announce
            entries[key] = _stored_matrix(held, key) if "data" in held and "dt" in held else held
        elif value.isSeq():
            items = [value.at(i) for i in range(value.size())]
            if all(item.isInt() or item.isReal() for item in items):
                entries[key] = [item.real() for item in items]
        elif value.isString():
            entries[key] = value.string()
        elif value.isInt() or value.isReal():
            entries[key] = value.real()
    return entries


# Camera model of COLMAP -> its parameters, in order. Their distortion is OpenCV's.
_COLMAP_MODELS = {
    "SIMPLE_PINHOLE": "f cx cy",
    "PINHOLE": "fx fy cx cy",
    "SIMPLE_RADIAL": "f cx cy k1",
    "RADIAL": "f cx cy k1 k2",
    "OPENCV": "fx fy cx cy k1 k2 p1 p2",
    "FULL_OPENCV": "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6",
}
_COLMAP_CAMERA = r"(?m)^[ \t]*\d+[ \t]+([A-Z][A-Z_0-9]+)[ \t]+\d+[ \t]+\d+([ \t]+\S+)*[ \t]*$"


def _fits_colmap(text: str) -> bool:
    return re.search(_COLMAP_CAMERA, text) is not None or any(map(_image_words, text[:100_000].splitlines()))


def _image_words(line: str) -> list[str] | None:
    """IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME of a line of images.txt; None for a line of points, x y id ..."""
    words = line.split(None, 9)
    if len(words) < 10 or not words[0].isdecimal() or not words[8].isdecimal():
        return None
    name = words[9].split()
    if (9 + len(name)) % 3 == 0 and all(_is_number(word) for word in name):
        return None
    return [*words[:9], words[9].rstrip()] if all(_is_number(word) for word in words[1:8]) else None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _read_colmap(text: str, names=None) -> Rig:
    """COLMAP's text model: the lines of cameras.txt, and after them those of images.txt where there are any.

    X_camera = R(q) X + t with q = (w, x, y, z). The middle of COLMAP's first pixel is (1/2, 1/2), here (0, 0). The two
    images named like the photos are taken, or the only two there are. Without images one camera serves for both photos.
    The scale of such a model is free: unit None.
    """
    cameras, images = {}, {}
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        if image := _image_words(line):
            images[image[9]] = image
        elif re.match(_COLMAP_CAMERA, line):
            number, model, *values = line.split()
            if number in cameras:
                raise _bad(f"has the camera {number} twice")
            cameras[number] = _colmap_camera(number, model, values)
    if not cameras:
        raise _bad("holds COLMAP's images but no camera", "Put cameras.txt beside images.txt.")
    if not images:
        if len(cameras) > 1:
            raise _bad(
                f"holds {len(cameras)} cameras of COLMAP, and nothing says which took which photo",
                "Put images.txt beside it, or leave the one camera of both photos in it.",
            )
        [camera] = cameras.values()
        return Rig(camera, camera)
    found, poses = [], []
    for name in _colmap_images(list(images), names):
        _, *pose, number, _ = images[name]
        if number not in cameras:
            raise _bad(f"has no camera {number}, which took {name}", "Give cameras.txt and images.txt of one model.")
        pose = _array(pose, f"the pose of {name}")
        if abs(np.linalg.norm(pose[:4]) - 1) > 1e-3:
            raise _bad(f"has a quaternion of length {np.linalg.norm(pose[:4]):.4g} for {name}; it must be 1")
        found.append(cameras[number])
        poses.append((rotation_from_quaternion(pose[:4]), pose[4:]))
    return _posed(found[0], found[1], *_relative(*poses), None)


def _colmap_camera(number: str, model: str, values: list[str]) -> Camera:
    if model not in _COLMAP_MODELS:
        raise _bad(
            f"has the camera {number} of model {model}",
            f"Known are {', '.join(_COLMAP_MODELS)}: choose one of "
            "them for COLMAP's --ImageReader.camera_model, or undistort the photos.",
        )
    keys = _COLMAP_MODELS[model].split()
    width, height, *numbers = _array(values, f"the camera {number}")
    if len(numbers) != len(keys):
        raise _bad(f"has {len(numbers)} parameters for the camera {number}; {model} has {len(keys)}: {' '.join(keys)}")
    p = dict(zip(keys, numbers, strict=True))
    f = p.get("f")
    K = [[p.get("fx", f), 0, p["cx"] - 0.5], [0, p.get("fy", f), p["cy"] - 0.5], [0, 0, 1]]
    dist = [p.get(key, 0.0) for key in ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")]
    return _camera(K, (width, height), dist if any(dist[4:]) else dist[:4], f"the camera {number}")


def _colmap_images(images: list[str], names) -> list[str]:
    """The two images of the photos: by name, by name without suffix, else the only two."""
    wanted = [Path(name).name for name in names or ()]
    for part in ("name", "stem"):
        found = [[i for i in images if getattr(Path(i), part) == getattr(Path(name), part)] for name in wanted]
        if len(found) == 2 and len(found[0]) == len(found[1]) == 1 and found[0] != found[1]:
            return [found[0][0], found[1][0]]
    if len(images) == 2:
        return images
    raise _bad(
        f"holds {len(images)} images ({', '.join(images[:6])}), of which not exactly one each is named "
        f"{' and '.join(wanted) or 'like the photos'}",
        "Name the photos as COLMAP saw them; to use only its camera, give a cameras.txt without images.txt beside it.",
    )


def _fits_ros(text: str) -> bool:
    return re.search(r"(?m)^[ \t]*distortion_model[ \t]*:", text) is not None


def _read_ros(text: str, names=None) -> Rig:
    """ROS camera_info: the YAML of camera_calibration, or a message as `rostopic echo` prints it. Metres.

    Two cameras as two documents (`---` between them) or under the keys left and right. They are one rig where the
    second has a baseline in its projection matrix, P = K' [I | b], b other than the first's: with the rectifying
    rotations X' = R_i X_i, X2' = X1' + b gives R = R_2^T R_1, t = R_2^T b. K and the distortion are those of the
    photos as taken (image_raw). One camera serves for both photos.
    Source: ROS, sensor_msgs/CameraInfo; REP 104.
    """
    documents = [d for d in re.split(r"(?m)^---.*$", text) if re.sub(r"(?m)^\s*#.*$", "", d).strip()]
    infos = [_yaml(document) for document in documents]
    if len(infos) == 1 and "left" in infos[0] and "right" in infos[0]:
        infos = [infos[0]["left"], infos[0]["right"]]
    if len(infos) > 2 or not all(isinstance(info, dict) for info in infos):
        raise _bad(f"holds {len(infos)} cameras of ROS", "Give one, or a left and a right one.")
    found = [_ros_camera(info, which) for info, which in zip(infos, ("left", "right")[: len(infos)], strict=True)]
    if len(found) == 1:
        return Rig(found[0][0], found[0][0])
    (cam1, R1, b1), (cam2, R2, b2) = found
    if b1 is None or b2 is None or not np.any(b2 - b1):
        return Rig(cam1, cam2)
    return _posed(cam1, cam2, R2.T @ R1, R2.T @ (b2 - b1), "m")


def _ros_camera(info: dict, which: str) -> tuple[Camera, np.ndarray, np.ndarray | None]:
    """The camera, its rectifying rotation, and b (3,) of P = K' [I | b] (None without P)."""

    def entry(*keys: str):
        value = next((info[key] for key in keys if info.get(key) is not None), None)
        return value.get("data") if isinstance(value, dict) else value

    K = entry("camera_matrix", "K", "k")
    if K is None:
        raise _bad(f"has no camera_matrix for the {which} camera of ROS")
    if not np.any(_array(K, "camera_matrix")):
        raise _bad(f"has a camera_matrix of zeros: the {which} camera is not calibrated", "Calibrate it.")
    model, dist = entry("distortion_model"), entry("distortion_coefficients", "D", "d")
    dist = np.zeros(0) if dist is None else _array(dist, "distortion_coefficients").ravel()
    if model not in ("plumb_bob", "rational_polynomial") and np.any(dist):
        raise _bad(
            f"has the distortion model {model!r} for the {which} camera",
            "Known are plumb_bob and rational_polynomial: calibrate with one of them.",
        )
    width, height = entry("image_width", "width"), entry("image_height", "height")
    size = (width, height) if width and height else None
    R = entry("rectification_matrix", "R", "r")
    R = np.eye(3) if R is None or not np.any(_array(R, "rectification_matrix")) else _rotation(R)
    P, b = entry("projection_matrix", "P", "p"), None
    if P is not None and np.any(_array(P, "projection_matrix")):
        P = _matrix(P, (3, 4), "projection_matrix")
        if np.linalg.matrix_rank(P[:, :3]) < 3:
            raise _bad(f"has a singular projection_matrix for the {which} camera")
        b = np.linalg.solve(P[:, :3], P[:, 3])
    return _camera(K, size, dist, f"camera_matrix of the {which} camera"), R, b


def _yaml(text: str) -> dict:
    """A YAML document of maps, lists of numbers and plain values, which is what ROS writes, by OpenCV's parser."""
    # OpenCV knows no list whose dashes stand under their key's first letter
    return _stored("%YAML:1.0\n---\n" + re.sub(r"(?m)^( *)- ", r"\1  - ", text.strip("\n")) + "\n")


def _fits_matrix(text: str) -> bool:
    try:
        return len([float(word) for word in _words(text)]) == 9
    except ValueError:
        return False


def _read_matrix(text: str, names=None) -> Rig:
    """K as nine bare numbers in three rows: one camera for both photos, the pose unknown."""
    camera = _camera([float(word) for word in _words(text)], None, None, "K")
    return Rig(camera, camera)


def _words(text: str) -> list[str]:
    return re.sub(r"[\[\],;]", " ", re.sub(r"(?m)#.*$", "", text)).split()


# The names that programs give to the same thing, in small letters and without underscores, and the signs of a side.
_STEMS = {
    "K": (
        "k",
        "m",
        "cm",
        "mtx",
        "kk",
        "cameramatrix",
        "cammatrix",
        "intrinsic",
        "intrinsics",
        "intrinsicmatrix",
        "mintrinsic",
    ),
    "dist": (
        "d",
        "dist",
        "distcoeffs",
        "distcoeff",
        "distcoefs",
        "distcoef",
        "distortion",
        "distortioncoefficients",
        "distortioncoeffs",
        "distortioncoeff",
        "kc",
    ),
    "size": ("res", "size", "imagesize", "imgsize", "resolution"),
    "width": ("imagewidth", "width", "imgwidth"),
    "height": ("imageheight", "height", "imgheight"),
    "R": ("r", "rot", "rotation", "rotationmatrix", "rmat"),
    "t": ("t", "tvec", "trans", "translation", "translationvector"),
}
_SIDES = {"1": 1, "2": 2, "left": 1, "right": 2, "l": 1, "r": 2}


def _meaning(key: str) -> tuple[str, int] | None:
    """("K" | "dist" | "size" | "width" | "height" | "R" | "t", side 1 or 2, 0 for both) of a key, None if unknown."""
    plain = re.sub(r"[^a-z0-9]", "", key.lower())
    for name, stems in _STEMS.items():
        if plain in stems:
            return name, 0
        for sign, side in _SIDES.items():
            if plain.removesuffix(sign) in stems and plain.endswith(sign):
                return name, side
            if plain.removeprefix(sign) in stems and plain.startswith(sign):
                return name, side
    return None


def _rig_of_entries(entries: dict) -> Rig:
    """A rig of named matrices, whatever program named them. Rectifying R1, R2, P1, P2, Q and E, F are left aside."""
    found, keys = {}, {}
    for key, value in entries.items():
        scalar = not isinstance(value, list | dict) and np.ndim(value) == 0
        if (meaning := _meaning(key)) is not None and value is not None:
            if scalar and meaning[0] not in ("width", "height"):
                continue  # k1 as a lens coefficient, a date under t
            if meaning in found and not np.array_equal(_array(found[meaning], key), _array(value, key)):
                raise _bad(f"has both {keys[meaning]} and {key}, which mean the same, with different values")
            found[meaning], keys[meaning] = value, key
    cameras = []
    for side in (1, 2):
        K = found.get(("K", side), found.get(("K", 0)))
        if K is None:
            known = f"It has {', '.join(list(entries)[:8])}. " if entries else ""
            other = keys.get(("K", 3 - side))
            which = f"for camera {side} (while it has {other})" if other else "(M1 and M2, K1 and K2, or camera_matrix)"
            raise _bad(
                f"has no camera matrix {which}",
                f"{known}Where the camera matrices and R, T are in two files, put them into one.",
            )
        size = found.get(("size", side), found.get(("size", 0)))
        width = found.get(("width", side), found.get(("width", 0)))
        height = found.get(("height", side), found.get(("height", 0)))
        if size is None and width is not None and height is not None:
            size = (width, height)
        dist = found.get(("dist", side), found.get(("dist", 0)))
        cameras.append(_camera(K, size, dist, keys.get(("K", side)) or keys[("K", 0)]))
    return _posed(cameras[0], cameras[1], found.get(("R", 0)), found.get(("t", 0)), _unit(entries))


def _unit(entries: dict) -> str | None:
    """The unit of t: as stated under "unit" (null, or "baseline" as our own runs write it: up to scale, None),
    `UNSTATED_UNIT` where nothing is said."""
    if "unit" not in entries and "units" not in entries:
        return UNSTATED_UNIT
    unit = entries.get("unit", entries.get("units"))
    if unit is None:
        return None
    if not isinstance(unit, str) or not unit.strip():
        raise _bad(f"states the unit {unit!r}", 'It is a name, as "mm" or "m".')
    unit = unit.strip()
    if unit == "baseline":
        return None
    long = {"metre": "m", "meter": "m", "millimetre": "mm", "millimeter": "mm", "centimetre": "cm", "centimeter": "cm"}
    return long.get(unit.lower().removesuffix("s"), unit)


# Form -> (does a text look like it, reader: text, names of the photos -> Rig). The first that fits reads. OpenCV's goes
# first because it has an unmistakable mark, and may hold lines P1: and P2: as KITTI's does; the special JSON goes
# before the general one.
READERS = {
    "OpenCV YAML/XML": (_fits_opencv, _read_opencv),
    "COLMAP cameras.txt, images.txt": (_fits_colmap, _read_colmap),
    "ROS camera_info": (_fits_ros, _read_ros),
    "Middlebury calib.txt": (_fits_middlebury, _read_middlebury),
    "KITTI calib": (_fits_kitti, _read_kitti),
    "cameras.json": (_fits_cameras, _read_cameras),
    "rig JSON": (_fits_json, _read_json),
    "3 x 3 camera matrix": (_fits_matrix, _read_matrix),
}


# ------------------------------------------------------------------------------------------ fitting to photos


def fit_rig(rig: Rig, size1: tuple[int, int], size2: tuple[int, int], *, orientations: tuple[int, int] = (1, 1)) -> Rig:
    """The rig for photos of these sizes (width, height, upright as read).

    Each camera: of the photo's size, it stays; of the same proportions (to 1 %), it is scaled, x -> (x + 1/2) s - 1/2.
    `orientations` are the EXIF turns already applied to the photos. A camera is calibrated as its sensor stands, so
    where its size is that of the photo as stored, it is turned with the photo (`turn_camera`), and so is the pose:
    X1' = Q1 X1 and X2' = Q2 X2 give R' = Q2 R Q1^T, t' = Q2 t. Where the size is only that of the photo as turned, it
    was calibrated on turned photos and stays. A camera of unknown size is taken for the photo's size if its principal
    point lies in the middle half of it.

    Raises StereoError("calibration_mismatch") with both sizes, and where just one photo is mirrored and R is known;
    ("bad_calibration") where the rig's two cameras stand in one place.
    """
    rig.check_baseline()
    fitted, turns = [], []
    for camera, size, orientation, which in zip(
        (rig.cam1, rig.cam2), (size1, size2), orientations, ("first", "second"), strict=True
    ):
        camera, turn = _fit_camera(camera, (int(size[0]), int(size[1])), orientation, which)
        fitted.append(camera)
        turns.append(turn)
    if not rig.posed:
        return replace(rig, cam1=fitted[0], cam2=fitted[1])
    Q1, Q2 = turns
    R, t = Q2 @ rig.R @ Q1.T, Q2 @ rig.t
    if np.linalg.det(R) < 0:
        raise StereoError(
            "calibration_mismatch",
            "One photo is mirrored by its EXIF orientation "
            f"({orientations[0]} and {orientations[1]}), the other is not: the calibrated pose cannot "
            "hold.",
            "Save both photos without mirroring.",
        )
    return replace(rig, cam1=fitted[0], cam2=fitted[1], R=R, t=t)


def _fit_camera(camera: Camera, size: tuple[int, int], orientation: int, which: str) -> tuple[Camera, np.ndarray]:
    """The camera for a photo of this size, and Q (3,3) by which its frame was turned."""
    stored = size[::-1] if orientation >= 5 else size
    frames = [(stored, orientation), (size, 1)] if orientation != 1 else [(size, 1)]  # picture calibrated, turn to come
    if camera.size == UNKNOWN_SIZE:
        frame, turn = min(frames, key=lambda f: _off_centre(camera.K, f[0]))
        if (off := _off_centre(camera.K, frame)) > 0.25:
            raise StereoError(
                "calibration_mismatch",
                f"The calibration has its principal point at ({camera.K[0, 2]:.0f}, {camera.K[1, 2]:.0f}), which is no "
                f"middle of the {which} photo of {size[0]} x {size[1]} px.",
                "Use the photos, in the size, that were calibrated; or state the size in the calibration file.",
                calibration=(float(camera.K[0, 2]), float(camera.K[1, 2])),
                photo=size,
                off=off,
            )
        camera = replace(camera, size=frame)
    else:
        found = next(((f, turn) for f, turn in frames if same_shape(camera.size, f)), None)
        if found is None:
            raise StereoError(
                "calibration_mismatch",
                f"The calibration is for pictures of {camera.size[0]} x {camera.size[1]} px, the {which} photo has "
                f"{size[0]} x {size[1]} px, of other proportions.",
                "Use the photos that were calibrated, uncropped; scaling alone does no harm.",
                calibration=camera.size,
                photo=size,
            )
        frame, turn = found
        if camera.size != frame:
            detail = (
                f"{camera.source_detail}; scaled from {camera.size[0]} x {camera.size[1]} to {frame[0]} x {frame[1]} px"
            ).removeprefix("; ")
            log.info("%s photo: calibration %s", which, detail)
            K = scale_K(camera.K, frame[0] / camera.size[0], frame[1] / camera.size[1])
            camera = replace(camera, K=K, size=frame, source_detail=detail)
    Q = turn_matrix(turn, frame)
    Q[:2, 2] = 0
    return turn_camera(camera, turn), Q


def same_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two sizes (width, height) have the same proportions, to 1 %."""
    return a == b or abs(a[0] * b[1] / (a[1] * b[0]) - 1) <= 0.01


def _off_centre(K: np.ndarray, size: tuple[int, int]) -> float:
    """Largest distance of the principal point from the middle, as a share of the side (1/2: on the border)."""
    return float(max(abs(K[0, 2] - (size[0] - 1) / 2) / size[0], abs(K[1, 2] - (size[1] - 1) / 2) / size[1]))


# ------------------------------------------------------------------------------------------ writing


def write_rig(path: str | os.PathLike, rig: Rig) -> Path:
    """Write the rig JSON form: intrinsic1, intrinsic2, distCoeffs1, distCoeffs2, res1, res2, and R, T, unit if posed.

    `read_rig` gives the same numbers back, bit for bit. Raises StereoError("unwritable").
    """
    data = _entries_of(rig.cam1, "1") | _entries_of(rig.cam2, "2")
    if rig.R is not None and rig.t is not None:
        data |= {"R": rig.R.tolist(), "T": [[float(x)] for x in rig.t], "unit": rig.unit}
    return _write_json(path, data)


def write_camera(path: str | os.PathLike, camera: Camera) -> Path:
    """Write one camera in the rig JSON form: intrinsic, distCoeffs, res, without a side, which stand for both photos.

    `read_rig` gives a rig of twice this camera, without pose. Raises StereoError("unwritable").
    """
    return _write_json(path, _entries_of(camera, ""))


def _entries_of(camera: Camera, side: str) -> dict:
    size = {} if tuple(camera.size) == UNKNOWN_SIZE else {"res" + side: [int(s) for s in camera.size]}
    return {**size, "intrinsic" + side: camera.K.tolist(), "distCoeffs" + side: camera.dist.tolist()}


def _write_json(path: str | os.PathLike, data: dict) -> Path:
    path = Path(os.fsdecode(path))
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return path
