"""What the pairs of a batch will take of memory and time, before any of them is decoded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..foreign import open_file, stated_size
from ..images.read import FORMATS
from ..pipeline.config import Config
from ..pipeline.memory import DECODING, LIBRARIES, feature_bytes, later_bytes
from ..pipeline.speeds import Speeds
from ..records import Photo
from .places import is_address, path_of
from .plan import merged
from .records import Pair

SAMPLE = 64  # pairs whose headers are read; the largest counts for all
WORKER = 90e6  # bytes of Dask in a worker process
CANVAS = 1.2  # pixels of a rectified picture per pixel of the reduced photo
DISPARITIES = 0.2  # of the width: a guess of the search range, above that of 9 in 10 pairs
UNKNOWN = (4000, 3000)  # px, of a photo whose header does not say it
START_PIXELS = 260_000  # px whose matching takes as long as what does not grow with the photos


@dataclass(frozen=True)
class Estimate:
    """What one pair takes.

    Attributes
    ----------
    size : (width, height)
        px, of the largest photo that was looked at.
    looked_at : int
        Pairs.
    memory : float
        Bytes of a worker, of the largest pair.
    seconds : float, optional
        Of a pair on one worker, by earlier batches on this computer.
    work : float
        Amount of work of a pair, for `Speeds`.
    """

    size: tuple[int, int]
    looked_at: int
    memory: float
    seconds: float | None
    work: float


def speed_key(options: Mapping[str, Any]) -> str:
    """Return the name under which the speed of pairs is kept."""
    return f"batch {options.get('matcher', Config().matcher)}"


def work_of(size: tuple[int, int], max_size: int) -> float:
    """Return the amount of work of a pair of this size."""
    return size[0] * size[1] * min(1.0, max_size / max(size)) ** 2 + START_PIXELS


def estimate(pairs: Sequence[Pair], request: Any) -> Estimate | None:
    """Return what the pairs take, by the headers of `SAMPLE` of them; None without any."""
    if not pairs:
        return None
    step = max(1, len(pairs) // SAMPLE)
    largest: tuple[float, tuple[int, int], Config] | None = None
    sample = pairs[::step][:SAMPLE]
    for pair in sample:
        options = merged(pair, request)
        with contextlib.suppress(Exception):  # its own run says what is wrong with it
            config = Config(**{k: v for k, v in options.items() if k not in ("calib", "mask", "unit")})
            size = max((size_of(file) for file in pair.files), key=lambda s: s[0] * s[1])
            needed = memory_of(size, config, together=pair.right is None)
            if config.max_memory is not None:
                needed = min(needed, config.max_memory * 2**30 + WORKER)
            if largest is None or needed > largest[0]:
                largest = needed, size, config
    if largest is None:
        largest = memory_of(UNKNOWN, Config()), UNKNOWN, Config()
    memory, size, config = largest
    work = work_of(size, config.max_size)
    return Estimate(size, len(sample), memory, Speeds().estimate(f"batch {config.matcher}", work), work)


def size_of(file: str) -> tuple[int, int]:
    """Return (width, height), px, as the header of a photo states them; `UNKNOWN` where it does not."""
    if not is_address(file):
        with contextlib.suppress(Exception), open_file(path_of(file)) as opened:
            width, height = stated_size(opened, FORMATS)
            if width and height:
                return width, height
    return UNKNOWN


def memory_of(size: tuple[int, int], config: Config, *, together: bool = False) -> float:
    """Return the bytes that a worker takes for a pair of photos of this size."""
    width, height = (size[0] // 2, size[1]) if together and size[0] > 1.9 * size[1] else size
    photo = Photo(np.broadcast_to(np.zeros(3, np.uint8), (height, width, 3)))  # its size without its memory
    scale = min(1.0, config.max_size / max(width, height))
    shape = (round(CANVAS**0.5 * scale * height), round(CANVAS**0.5 * scale * width))
    count = max(16, round(DISPARITIES * shape[1]))
    later = max(later_bytes(shape, count, [photo, photo], config).values())
    features = feature_bytes([photo, photo], config.feature_size, config.detector)
    decoded = 2 * 3 * width * height
    return WORKER + LIBRARIES + max(DECODING * width * height, decoded + max(features, later))


def largest_file(pairs: Sequence[Pair]) -> int:
    """Return the bytes of the largest photo among the first ones that are files."""
    sizes = [0]
    for pair in pairs[:SAMPLE]:
        for file in pair.files:
            with contextlib.suppress(OSError):
                sizes.append(os.stat(path_of(file)).st_size)
    return max(sizes)
