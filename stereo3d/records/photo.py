"""Photo: pixels as read, with the facts that the file states."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import numpy as np

from ..errors import StereoError
from .camera import Rig
from .checks import Record, check_array


@dataclass(frozen=True)
class Position:
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

    Attributes
    ----------
    pixels : (H, W, 3) uint8
        RGB, upright.
    exif : ExifFacts
        What the header states.
    path : Path, optional
        The file.
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
                "A grey picture: np.repeat(grey[..., None], 3, axis=2). With a fourth channel: "
                "pixels[..., :3]. Numbers of 0 to 1: np.rint(255 * pixels).astype(np.uint8).",
                shape=pixels.shape,
            )
        if self.mask is not None:
            check_array(self, "mask", pixels.shape[:2], "b")

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px."""
        return self.pixels.shape[1], self.pixels.shape[0]


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
