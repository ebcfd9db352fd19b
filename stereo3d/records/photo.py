"""Photo: pixels as read, with the facts that the file states."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

import numpy as np

from ..errors import StereoError
from .camera import Rig
from .checks import Record, brief, check_array


@dataclass(frozen=True, repr=False)
class Position(Record):
    """Where a photo was taken, as its file states it.

    Attributes
    ----------
    latitude, longitude : float
        Degrees, WGS 84, north and east positive.
    altitude : float, optional
        m above the sea or the ellipsoid: of two photos only the difference is meaningful.
    sigma : (east, north, up), optional
        m, standard deviations, where the file states them.
    source : str
        "GPS" or "RTK" (satellites with corrections).
    relative_altitude : float, optional
        m above the start of a flight.
    """

    latitude: float
    longitude: float
    altitude: float | None = None
    sigma: tuple[float, float, float] | None = None
    source: str = "GPS"
    relative_altitude: float | None = None


class ExifFacts(TypedDict, total=False):
    """What the header of a photo states; a key is missing where the file does not state it."""

    make: str
    model: str
    date: str
    format: str  # of the file
    focal_mm: float
    focal_35mm: float  # mm, equivalent on 36 x 24 mm film
    plane_resolution: float  # focal-plane px per mm, of the picture as it left the camera: `size_exif`, else as stored
    size_exif: tuple[int, int]  # (width, height) px of the picture as it left the camera, as EXIF states them
    gravity: tuple[float, float, float]  # unit vector, axes of the photo (x right, y down, z forward)
    position: Position
    orientation: int  # EXIF's 1..8, already applied to the pixels
    size_stored: tuple[int, int]  # (width, height) px before that rotation
    projection: str  # of a panorama: "equirectangular", "cylindrical", ... or "panorama"
    panorama_area: tuple[int, int, int, int, int, int]  # px: whole width, height; left, top, width, height of the part
    stretched: tuple[float, float]  # lowest and highest value that became dark and light, of more than 8 bits


@dataclass(frozen=True, eq=False, repr=False)
class Photo(Record):
    """A photo as read, with what its file states about the camera.

    From an array: `Photo.from_array`, of OpenCV `Photo.from_bgr`; from a file: `read_photo`.

    Attributes
    ----------
    pixels : (H, W, 3) uint8
        RGB, upright.
    exif : ExifFacts
        What the header states.
    path : Path, optional
        The file, or the name that the given file object states.
    mask : (H, W) bool, optional
        Pixels that show the scene; the others are transparent, or a border. None: all do.
    """

    pixels: np.ndarray
    exif: ExifFacts = field(default_factory=ExifFacts)
    path: Path | None = None
    mask: np.ndarray | None = None

    def __post_init__(self) -> None:
        pixels = np.asarray(self.pixels)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            shape = " x ".join(map(str, pixels.shape)) or "none"
            raise StereoError(
                "photo_unreadable",
                f"a photo's pixels are {shape} {pixels.dtype}, height x width x 3 uint8 (RGB) are needed.",
                _advice(pixels),
                shape=pixels.shape,
            )
        if self.mask is not None:
            check_array(self, "mask", pixels.shape[:2], "b")

    @classmethod
    def from_array(cls, rgb: np.ndarray, mask: np.ndarray | None = None) -> "Photo":
        """Return the photo of an RGB array, as Pillow, imageio and scikit-image give them.

        Nothing in an array tells RGB from OpenCV's BGR: use `from_bgr` for what `cv2.imread` returns.

        Parameters
        ----------
        rgb : (H, W, 3) uint8
            Upright. It is not copied where its rows are contiguous.
        mask : (H, W) bool, optional
            Pixels that show the scene.

        Raises
        ------
        StereoError
            "photo_unreadable" for any other shape or type, with the expression that gives uint8 RGB.
        """
        return cls(np.ascontiguousarray(_array_of(rgb)), mask=mask)

    @classmethod
    def from_bgr(cls, bgr: np.ndarray, mask: np.ndarray | None = None) -> "Photo":
        """Return the photo of a BGR array, as `cv2.imread` and `cv2.VideoCapture` give them.

        Parameters
        ----------
        bgr : (H, W, 3) uint8
            Upright. It is copied.
        mask : (H, W) bool, optional
            Pixels that show the scene.

        Raises
        ------
        StereoError
            As `from_array`.
        """
        return replace(cls.from_array(bgr, mask), pixels=np.ascontiguousarray(np.asarray(bgr)[..., ::-1]))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def _summary(self) -> Iterator[str]:
        if self.path is not None:
            yield brief(self.path.name)
        yield f"{self.size[0]} x {self.size[1]} px"
        device = f"{self.exif.get('make', '')} {self.exif.get('model', '')}".strip()
        if device:
            yield brief(device)
        for name in ("focal_35mm", "focal_mm"):
            if (focal := self.exif.get(name)) is not None:
                yield f"{name}={brief(focal)}"
        if self.mask is not None:
            yield f"mask={brief(self.mask)}"


def require_photos(**given: object) -> None:
    """Raise ValueError unless every argument is a Photo; paths and arrays are what it is mistaken for."""
    for name, photo in given.items():
        if not isinstance(photo, Photo):
            kind = type(photo).__name__
            raise ValueError(f"{name} must be a Photo, got {kind}: read_photo reads a file, Photo.from_array an array")


def _array_of(given: object) -> np.ndarray:
    """The pixels as an array; StereoError for nothing and for a file."""
    if given is None:
        message, advice = "there are no pixels, but None.", "cv2.imread returns None for a file that it cannot read."
    elif isinstance(given, str | bytes | os.PathLike):
        message, advice = f"a photo's pixels are an array, got {type(given).__name__}.", "read_photo reads a file."
    else:
        return np.asarray(given)
    raise StereoError("photo_unreadable", message, advice)


def _advice(pixels: np.ndarray) -> str:
    """Return the expressions that make uint8 RGB of an array of another shape or type."""
    advice = []
    if pixels.ndim == 2:
        advice.append("A grey picture: np.repeat(grey[..., None], 3, axis=2).")
    elif pixels.ndim == 3 and pixels.shape[2] == 1:
        advice.append("A grey picture: np.repeat(grey, 3, axis=2).")
    elif pixels.ndim == 3 and pixels.shape[2] == 4:
        advice.append("With a fourth channel: rgba[..., :3]; of OpenCV's BGRA: bgra[..., 2::-1].")
    elif pixels.ndim == 3 and pixels.shape[2] != 3 and pixels.shape[0] in (1, 3, 4):
        advice.append("The channels are the last axis: np.moveaxis(pixels, 0, -1).")
    elif pixels.ndim == 4:
        advice.append("Give one picture at a time: pixels[0].")
    if pixels.dtype.kind == "f" and pixels.size:
        unit = not np.nan_to_num(pixels).max() > 1
        factor = "255 * pixels" if unit else "pixels"
        advice.append(f"Numbers of 0 to {1 if unit else 255}: np.rint({factor}).astype(np.uint8).")
    elif pixels.dtype == np.uint16:
        advice.append("Numbers of 16 bits: (pixels >> 8).astype(np.uint8); of 12 bits: >> 4.")
    elif pixels.dtype.kind in "iu" and pixels.dtype != np.uint8:
        advice.append("Numbers of 0 to 255: pixels.astype(np.uint8).")
    elif pixels.dtype.kind == "b":
        advice.append("Only black and white: a photo has grey levels.")
    return " ".join(advice) or "Photo.from_array takes RGB, Photo.from_bgr what cv2.imread returns, read_photo a file."


@dataclass(frozen=True, eq=False, repr=False)
class PhotoPair(Record):
    """Two photos of one source, with what it states about their cameras.

    Attributes
    ----------
    left, right : Photo
        In the order of the source; the first is camera 1.
    form : str
        How the source holds them, for people: "a spatial photo", "side by side", ...
    rig : Rig, optional
        The cameras and their pose, where the source states them.
    baseline : float, optional
        Distance of the cameras in `unit`, where the source states no more than that.
    unit : str, optional
    squeezed : bool
        They were half as wide or high in the source.
    """

    left: Photo
    right: Photo
    form: str
    rig: Rig | None = None
    baseline: float | None = None
    unit: str | None = None
    squeezed: bool = False
