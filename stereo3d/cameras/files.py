"""The files of a calibration: found from a path or a folder, and read within bounds."""

import io
import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import StereoError
from ..foreign import open_file
from .formats.colmap import fits_colmap, image_fields
from .formats.colmap_bin import colmap_text, fits_colmap_bin, image_lines
from .formats.views import fits_bundler

_MAX_LINE = 100_000  # characters of a line of images.txt that states a pose: nine numbers and a file name
_MAX_IMAGES = 100_000  # poses in images.txt
MAX_BYTES = 4_000_000  # bytes: a calibration file has kilobytes; a larger one is a picture or other data
_COLMAP_FOLDERS = ("", "sparse/0", "sparse", "dslr_calibration_undistorted")  # below a folder that is given
_ROS_PAIR = ("left.yaml", "right.yaml")  # names that ROS's camera_calibration writes
# Names of files that are one calibration together, each found under any of its suffixes.
_PAIRS = (
    (("left.yaml", "left.yml"), ("right.yaml", "right.yml")),
    (
        tuple(f"intrinsics{suffix}" for suffix in (".yml", ".yaml", ".xml", ".json")),
        tuple(f"extrinsics{suffix}" for suffix in (".yml", ".yaml", ".xml", ".json")),
    ),
    (("cam0/sensor.yaml", "mav0/cam0/sensor.yaml"), ("cam1/sensor.yaml", "mav0/cam1/sensor.yaml")),
)
# Names of files that hold a whole calibration, in the order in which a folder is searched.
_SINGLE = (
    "calib.txt",
    "calib_cam_to_cam.txt",
    "transforms.json",
    "cameras.sfm",
    "reconstruction.json",
    "camera_models.json",
    "cameras.json",
    "rig.json",
    "bundle.out",
    "camchain.yaml",
    "cameras.xml",
    "calib.npz",
    "calib.mat",
)


def calibration_files(
    paths: Sequence[str | os.PathLike], names: tuple[str, str] | None
) -> list[tuple[Path, str | bytes]]:
    """Return the files of a calibration and their contents, bytes where they are no text.

    Parameters
    ----------
    paths : sequence of paths
        Files or folders. COLMAP's images file counts as its cameras file, to which its lines are added; so are the
        names of Bundler's list.txt.
    names : (str, str) or None
        File names of the photos, for folders with a file for each.

    Raises
    ------
    StereoError
        "file_missing", "bad_calibration".
    """
    found = []
    for given in paths:
        path = Path(os.fsdecode(given))
        for file in _folder_files(path, names) if path.is_dir() else [path]:
            found.append(_read(_cameras_of_images(file)))
    return found


def _cameras_of_images(path: Path) -> Path:
    """The cameras file next to COLMAP's images file; any other path unchanged."""
    for suffix in (".txt", ".bin"):
        if path.name == f"images{suffix}" and path.is_file() and (path.parent / f"cameras{suffix}").is_file():
            return path.parent / f"cameras{suffix}"
    return path


def _folder_files(folder: Path, names: tuple[str, str] | None) -> list[Path]:
    """The files of a folder that are one calibration."""
    for below in _COLMAP_FOLDERS:
        for name in ("cameras.txt", "cameras.bin"):
            if (folder / below / name).is_file():
                return [folder / below / name]
    for choices in _PAIRS:
        files = [next((folder / name for name in either if (folder / name).is_file()), None) for either in choices]
        if files[0] is not None and files[1] is not None:
            return [files[0], files[1]]
    for pattern in ("{name}.camera", "{stem}_cam.txt", "cams/{stem}_cam.txt"):
        of_photos = [folder / pattern.format(name=Path(n).name, stem=Path(n).stem) for n in names or ()]
        if len(of_photos) == 2 and of_photos[0] != of_photos[1] and all(file.is_file() for file in of_photos):
            return of_photos
    found = [folder / name for name in _SINGLE if (folder / name).is_file()]
    found += sorted(folder.glob("*_par.txt"))[:2] if not found else []
    if len(found) == 1:
        return found
    if found:
        raise StereoError(
            "bad_calibration",
            f"the folder {folder} contains several calibrations ({', '.join(file.name for file in found)}).",
            "Name the calibration file.",
        )
    raise StereoError(
        "bad_calibration",
        f"the folder {folder} contains neither cameras.txt nor {' and '.join(_ROS_PAIR)}, nor another calibration.",
        "Name the calibration file; write a COLMAP model as text: colmap model_converter --output_type TXT.",
    )


def _read(path: Path) -> tuple[Path, str | bytes]:
    """The content of a file, with what belongs to it."""
    data, size = _bytes(path)
    if not data.strip():
        raise StereoError("bad_calibration", f"{path}: the file is empty ({size} bytes).", "Give a calibration file.")
    if fits_colmap_bin(data):
        text, images = colmap_text(data), path.parent / "images.bin"
        return path, text + _lines_of(images, binary=True) if path.name == "cameras.bin" and images.is_file() else text
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # a comment in an older encoding does no harm
    if "\0" in text or data[:4] == b"PK\x03\x04" or data[:6] == b"\x93NUMPY":
        return path, data
    images = path.parent / "images.txt"
    if path.name == "cameras.txt" and images.is_file() and fits_colmap(text):
        return path, text + _lines_of(images, binary=False)
    names = path.parent / "list.txt"
    if fits_bundler(text) and names.is_file():
        listed = _bytes(names)[0].decode("utf-8", "replace").splitlines()
        text += "\n" + "\n".join(f"#image {line.strip()}" for line in listed if line.strip())
    return path, text


def _bytes(path: Path) -> tuple[bytes, int]:
    """The bytes of a file and its size; of a larger one than `MAX_BYTES` none, or those of a bundle's cameras."""
    with open_file(path, "bad_calibration") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(MAX_BYTES)
    if size <= MAX_BYTES:
        return head, size
    if b"# Bundle file v" in head[:200]:
        return head[: head.rfind(b"\n") + 1], size
    raise StereoError(
        "bad_calibration",
        f"{path} is not text of a calibration's size ({size} bytes, at most {MAX_BYTES} are read).",
        "Give a calibration file; write a reconstruction without its points.",
        size=size,
    )


def _lines_of(path: Path, *, binary: bool) -> str:
    """A line break and the lines of COLMAP's images that hold poses, without the far longer lines of points."""
    with open_file(path, "bad_calibration") as file:
        if binary:
            return "\n" + "\n".join(image_lines(file))
        poses: list[str] = []
        with io.TextIOWrapper(file, "utf-8", errors="replace") as lines:
            while line := lines.readline(_MAX_LINE):
                if len(line) < _MAX_LINE and image_fields(line):
                    poses.append(line.rstrip("\r\n"))
                    if len(poses) > _MAX_IMAGES:
                        raise StereoError(
                            "bad_calibration",
                            f"{path} has more than {_MAX_IMAGES} images.",
                            "Keep the two images of the photos in it.",
                            images=len(poses),
                        )
                while line and len(line) == _MAX_LINE and line[-1] != "\n":  # the rest of a long line of points
                    line = lines.readline(_MAX_LINE)
        return "\n" + "\n".join(poses)
