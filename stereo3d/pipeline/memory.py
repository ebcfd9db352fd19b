"""What every stage of a run takes of memory, predicted, and what it may take.

The process holds more than arrays: libraries and kernels, more of them with each stage. Predictions are of growth, of
the resident memory over what it is at that moment; limits are of the whole process. All numbers were measured on two
cores, `ProcessPeak` around each stage: photos of 1.5 and 6.3 megapixels, matched at 320 to 2470 px. They bound what
was measured from above.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import resources
from ..disparity.methods import volume_bytes
from ..errors import StereoError
from ..features.detectors import detection_size
from ..foreign import open_file, stated_size
from ..records import Photo
from .clock import resident_memory, return_freed_memory
from .config import Config

MIN_FEATURE_SIZE = 480  # px, the smallest longer side at which short memory has features found
LIBRARIES = 260e6  # bytes that libraries and kernels take, from the start of a program to the end of its first run
COMPILING = 250e6  # bytes more where this run compiles them
SMALLEST_RUN = 100e6  # bytes of a run's arrays at the smallest sizes, without the photos
DECODING = 23  # bytes per pixel of a photo: both photos, and what reading the second takes
# Bytes of feature detection: per pixel of the reduced photo (SIFT keeps 11 pictures of four times its size, as floats,
# in each octave; asift simulates views of up to 1.5 times its size), and for all features, with their matching.
FEATURE_PIXEL = {"sift": 240, "asift": 350, "orb": 60}
FEATURES = {"sift": 70e6, "asift": 250e6, "orb": 130e6}
REFINING = 60  # bytes per pixel of both photos at twice that size at most: least-squares matching
PREVIEW = 240e6  # bytes of a preview: Open3D, and the surface as its ray caster keeps it
POISSON = 200e6  # bytes of Open3D and of the solver, more than the grid mesher's
ADVICE = "Free memory, allow more, or use smaller photos or a smaller --max-size."


@dataclass(frozen=True)
class MemoryLimit:
    """What this process may hold: `allowed` bytes in all, None for all that is free."""

    allowed: float | None = None

    @classmethod
    def of(cls, config: Config) -> "MemoryLimit":
        """Return the limit that a Config sets."""
        return cls(None if config.max_memory is None else config.max_memory * 2**30)

    def room(self, wanted: float = 0) -> float:
        """Return how many bytes the process may grow by, if that is less than wanted after freed ones are returned."""
        room = self._room()
        if room < wanted:
            return_freed_memory()
            room = self._room()
        return room

    def _room(self) -> float:
        free = resources.available_memory()
        return free if self.allowed is None else min(free, self.allowed - resident_memory())

    def require(self, needed: float, what: str, room: float | None = None) -> None:
        """Raise StereoError("memory") where the process may not grow by so many bytes; room: where known."""
        room = self.room(needed) if room is None else room
        if needed <= room:
            return
        numbers = self.numbers(needed, room)
        raise StereoError("memory", f"{what} needs {self.compared(numbers)}", ADVICE, **numbers)

    def numbers(self, needed: float, room: float) -> dict[str, int]:
        """Return both for a message: of growth, or of the whole process where --max-memory limits that."""
        held = 0 if self.allowed is None else self.allowed - room
        return {"needed": int(needed + held), "available": int(room + held)}

    def compared(self, numbers: dict[str, int]) -> str:
        """Return "1.2 GiB of memory, 1.0 GiB are free." for the numbers of `numbers`."""
        needed, available = (numbers[name] / 2**30 for name in ("needed", "available"))
        return f"{needed:.2g} GiB of memory, {available:.2g} GiB are {'free' if self.allowed is None else 'allowed'}."


def require_smallest_run(left: object, right: object, config: Config, reserve: float) -> None:
    """Raise StereoError("memory") where not even the smallest run fits, before a photo is decoded.

    Parameters
    ----------
    left, right : path or Photo
        Of anything else (a list of photos, none) no pixels are counted.
    config : Config
    reserve : float
        Bytes that the caller takes for files beside the mesh.
    """
    pixels = [_pixels(photo) for photo in (left, right)]
    needed = DECODING * max(pixels) + SMALLEST_RUN + reserve + POISSON * (config.mesher == "poisson")
    needed += 0 if _kernels() else LIBRARIES
    MemoryLimit.of(config).require(needed, "the smallest run of these photos")


def _pixels(photo: object) -> int:
    """Number of pixels, of a file by its header; 0 where that cannot be read, which is reported when it is decoded."""
    if not isinstance(photo, str | os.PathLike):
        return 0  # a Photo is in memory already
    from ..images.read import FORMATS

    try:
        with open_file(Path(os.fsdecode(photo))) as file:
            width, height = stated_size(file, FORMATS)
            return width * height
    except Exception:  # whatever is wrong with the file, the reader of photos says it
        return 0


def feature_bytes(photos: Sequence[Photo], size: int, detector: str) -> float:
    """Return what features take of one photo after the other and their matching; size: px, longer side of matching."""
    pixels = max(reduced_pixels(photo, detection_size(detector, size)) for photo in photos)
    twice = sum(reduced_pixels(photo, 2 * size) for photo in photos)
    known = detector if detector in FEATURE_PIXEL else "sift"
    return max(FEATURE_PIXEL[known] * pixels, REFINING / 4 * twice) + FEATURES[known]


def later_bytes(
    shape: tuple[int, int], count: int, photos: Sequence[Photo], config: Config, reserve: float = 0
) -> dict[str, float]:
    """Return by how much the process grows from the pose on, at most, by stage.

    Parameters
    ----------
    shape : (height, width)
        px, of the rectified pictures.
    count : int
        Disparities.
    photos : two Photo
        The mesh takes its texture from them at their own size.
    reserve : float
        Bytes that the caller takes for files beside the mesh.
    """
    height, width = shape
    pixels = height * width
    photo_pixels = max(photo.pixels.shape[0] * photo.pixels.shape[1] for photo in photos)
    matching = volume_bytes(config.matcher, height, width, count, **config.of("matcher"))
    compiling = COMPILING if _compiles() else 0.0
    poisson = POISSON * (config.mesher == "poisson")
    return {
        "rectify": 70e6 + 90 * pixels + compiling / 2,
        "disparity": 30e6 + 35 * pixels + matching + compiling * 0.7,
        "mesh": 60e6 + 100 * pixels + 14 * photo_pixels + poisson + compiling,
        "write": 100e6 + 65 * pixels + 14 * photo_pixels + poisson + compiling + reserve,
    }


def reduced_pixels(photo: Photo, size: float) -> int:
    """Return the pixels of a photo reduced to this longer side."""
    width, height = photo.size
    return round(width * height * min(1.0, size / max(width, height)) ** 2)


def _kernels() -> object | None:
    """One of the kernels that every run calls, where it is loaded; None before the first run of this process."""
    module = sys.modules.get("stereo3d.features.kernels")
    kernel = getattr(module, "knn_of_products", None)
    return kernel if getattr(kernel, "signatures", None) else None


def _compiles() -> bool:
    """Whether this process had to compile a kernel: it was not kept, and others will follow."""
    kernel_cache = sys.modules.get("stereo3d.kernel_cache")
    return kernel_cache is not None and kernel_cache.KernelCache.compiled > 0
