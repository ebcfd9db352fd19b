"""Text files of many views: Bundler, Strecha's .camera, MVSNet's cam.txt, Middlebury's par.txt; OCamCalib refused."""

import re

import numpy as np

from ...records import Rig
from .check import (
    UNSTATED_UNIT,
    View,
    bad,
    checked_camera,
    inverse_pose,
    number_array,
    pose_of_matrix,
    rig_of_views,
    rotation,
)

_FILE = "#file "  # in front of the name of each of several files joined to one text
_HEAD = 100_000  # characters in which the mark of a form is
_CV_FROM_GL = np.diag([1.0, -1.0, -1.0])  # from axes x right, y up, z back to x right, y down, z forward
_MAX_VIEWS = 20_000
_MAX_NUMBERS = 64  # of one camera; the forms here have up to 26


def join_files(files: list[tuple[str, str]]) -> str:
    """Return the text of several files, each under its name."""
    return "".join(f"{_FILE}{name}\n{text}\n" for name, text in files)


def _split_files(text: str) -> dict[str, str]:
    """Name -> text of joined files; a text alone is under "camera"."""
    if not text.startswith(_FILE):
        return {"camera": text}
    found = {}
    for part in text[len(_FILE) :].split("\n" + _FILE):
        name, _, rest = part.partition("\n")
        found[name] = rest
    return found


def _numbers(text: str, form: str) -> np.ndarray:
    """The numbers of a text, read to the end."""
    words = text.split(None, _MAX_NUMBERS)
    if len(words) > _MAX_NUMBERS:
        raise bad(f"has more than {_MAX_NUMBERS} numbers in {form}")
    try:
        return number_array([float(word) for word in words], form)
    except ValueError as error:
        raise bad(f"has words among the numbers of {form}") from error


def fits_bundler(text: str) -> bool:
    """Return whether the text starts with bundler's mark."""
    return "# Bundle file v" in text[:200]


def read_bundler(
    text: str, names: tuple[str, str] | None = None, sizes: tuple[tuple[int, int], tuple[int, int]] | None = None
) -> Rig:
    """Read bundle.out of Bundler (and of programs that export it): f k1 k2, R, t of each camera; the scale is free.

    X_camera = R X + t with x right, y up, z back, and pixels counted from the centre of the picture, y up: the
    principal point is ((width - 1) / 2, (height - 1) / 2). The file states no size: that of the photos is taken. The
    list of names, list.txt, stands next to the file (lines "#image name" here); without it the file must hold two
    cameras.

    References
    ----------
    N. Snavely, Bundler v0.4 User's Manual, "Output format".
    """
    images = [line[7:].split()[0] for line in text.splitlines() if line.startswith("#image ") and line[7:].split()]
    lines = [line for line in text.splitlines()[: 5 * _MAX_VIEWS + 2] if line.strip() and not line.startswith("#")]
    head = lines[0].split() if lines else []
    if len(head) != 2 or not head[0].isdecimal():
        raise bad("is Bundler's bundle.out, but has no line with the numbers of cameras and points")
    count = int(head[0])
    if not 1 <= count <= _MAX_VIEWS or len(lines) < 1 + 5 * count:
        raise bad(f"states {count} cameras (Bundler), but has lines for {(len(lines) - 1) // 5}")
    if sizes is None:
        raise bad(
            "is Bundler's bundle.out, which states no picture size: the principal point is unknown without the photos",
            "Give the photos with it (stereo3d LEFT RIGHT --calib bundle.out), or read_rig's argument sizes.",
        )
    views: dict[str, View] = {}
    for i in range(count):
        values = _numbers(" ".join(lines[1 + 5 * i : 6 + 5 * i]), f"camera {i} of Bundler")
        if len(values) != 15:
            raise bad(f"has {len(values)} numbers for camera {i} of Bundler; it has 15: f k1 k2, R, t")
        if not np.any(values[3:12]):
            continue  # a camera that was not registered
        name = images[i] if i < len(images) else f"camera {i}"
        f, k1, k2 = values[:3]
        w, h = sizes[min(len(views), 1)]
        K = [[f, 0, (w - 1) / 2], [0, f, (h - 1) / 2], [0, 0, 1]]
        R = _CV_FROM_GL @ rotation(values[3:12])
        views[name] = checked_camera(K, (w, h), [k1, k2, 0, 0], f"{name} of Bundler"), (R, _CV_FROM_GL @ values[12:])
    return rig_of_views(views, names, None, "Bundler")


def fits_mvsnet(text: str) -> bool:
    """Return whether a line is extrinsic and another intrinsic."""
    return all(
        re.search(rf"(?m)^[ \t]*{word}[ \t\r]*$", text[:_HEAD]) is not None for word in ("extrinsic", "intrinsic")
    )


def read_mvsnet(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read MVSNet's NNNNNNNN_cam.txt: X_camera = extrinsic X (4 x 4), and the intrinsic matrix K.

    One file is one camera for both photos. A folder holds one for each photo, of its name without suffix plus _cam.txt.
    The size is unknown, the unit unstated.

    References
    ----------
    Yao et al., MVSNet, 2018, and its program's README, "File formats".
    """
    views: dict[str, View] = {}
    for name, part in _split_files(text).items():
        rest = part.partition("extrinsic")[2]
        extrinsic, found, rest = rest.partition("intrinsic")
        intrinsic = rest.split(None, 9)[:9]
        if not found or len(intrinsic) < 9:
            raise bad(f"has no 9 numbers under intrinsic ({name}, MVSNet)")
        pose = pose_of_matrix(_numbers(extrinsic, "the extrinsic of MVSNet"), "the extrinsic of MVSNet")
        K = _numbers(" ".join(intrinsic), "the intrinsic of MVSNet")
        views[re.sub(r"_cam(\.txt)?$", "", name)] = checked_camera(K, None, None, "the intrinsic of MVSNet"), pose
    return rig_of_views(views, names, UNSTATED_UNIT, "MVSNet")


def fits_strecha(text: str) -> bool:
    """Return whether the text, or the first of joined ones, is 26 numbers whose fourth row is 0 0 0 and last a size."""
    rows = [line.split() for line in next(iter(_split_files(text[:_HEAD]).values())).splitlines()[:20] if line.strip()]
    return [len(row) for row in rows] == [3] * 8 + [2] and all(_is_number(word) for row in rows for word in row)


def _is_number(word: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", word[:60]) is not None


def read_strecha(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read Strecha's <photo>.camera: K, radial distortion 0 0 0, R, C and the size; P = K R^T [I | -C].

    R holds the axes of the camera in the world, so that X_camera = R^T (X - C), metres. One file is one camera for both
    photos; a folder, or both files, hold one for each.

    References
    ----------
    Strecha et al., On benchmarking camera calibration and multi-view stereo, 2008, and the README of its data.
    """
    views: dict[str, View] = {}
    for name, part in _split_files(text).items():
        values = _numbers(part, f"{name} (Strecha)")
        if len(values) != 26:
            raise bad(f"has {len(values)} numbers in {name}; Strecha's .camera has 26")
        if np.any(values[9:12]):
            raise bad(f"has radial distortion in {name} (Strecha), of unknown convention", "Undistort the photos.")
        pose = inverse_pose(rotation(values[12:21]), values[21:24])
        views[name.removesuffix(".camera")] = checked_camera(values[:9], values[24:], None, f"{name} (Strecha)"), pose
    return rig_of_views(views, names, "m", "Strecha's .camera")


def fits_par(text: str) -> bool:
    """Return whether the first line is a count and the second a name and 21 numbers."""
    lines = [line.split() for line in text[:_HEAD].splitlines()[:2]]
    return (
        len(lines) == 2
        and len(lines[0]) == 1
        and lines[0][0].isdecimal()
        and len(lines[1]) == 22
        and all(_is_number(word) for word in lines[1][1:])
        and not _is_number(lines[1][0])
    )


def read_par(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read *_par.txt of Middlebury's multi-view data (temple, dino): P = K [R | t], in metres; the two images by name.

    References
    ----------
    Seitz et al., A comparison and evaluation of multi-view stereo reconstruction algorithms, 2006; README of its data.
    """
    views: dict[str, View] = {}
    for line in text.splitlines()[1 : _MAX_VIEWS + 1]:
        if not line.strip():
            continue
        name, _, rest = line.strip().partition(" ")
        values = _numbers(rest, f"{name} (Middlebury's par.txt)")
        if len(values) != 21:
            raise bad(f"has {len(values)} numbers for {name}; Middlebury's par.txt has 21: K, R, t")
        views[name] = checked_camera(values[:9], None, None, name), (rotation(values[9:18]), values[18:])
    return rig_of_views(views, names, "m", "Middlebury's par.txt")


def fits_ocam(text: str) -> bool:
    """Return whether a comment names OCamCalib's polynomial."""
    return "ocam_model" in text[:_HEAD] or "polynomial coefficients for the DIRECT mapping" in text[:_HEAD]


def read_ocam(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Refuse calib_results.txt of OCamCalib (Scaramuzza), whose polynomial is no pinhole's, by its name.

    Raises
    ------
    StereoError
        "bad_calibration", always.
    """
    raise bad(
        "is a calibration of OCamCalib (Scaramuzza's omnidirectional model), which is not supported",
        "Undistort both photos to pinhole cameras with OCamCalib, and give --fov; or calibrate with OpenCV's fisheye.",
    )
