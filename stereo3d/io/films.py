"""Write moving pictures: GIF, WebP, MP4."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ..errors import StereoError
from .atomic import replacing
from .style import check_suffix

FILMS = (".gif", ".webp", ".mp4")
CODECS = ("vp09", "mp4v")  # VP9, which browsers play; MPEG-4 part 2, which every FFmpeg writes
WEBP_QUALITY = 80


def write_film(path: str | os.PathLike[str], pictures: Iterable[np.ndarray], frames_per_second: float) -> Path:
    """Write pictures one after the other as a film, which GIF and WebP repeat for ever; return its path.

    Parameters
    ----------
    path : path
        Its suffix is one of `FILMS`.
    pictures : iterable of (H, W, 3) uint8
        RGB, of one size, both sides even. They are taken one at a time.
    frames_per_second : float

    Raises
    ------
    StereoError
        "unknown_format", or "unwritable" where OpenCV has no encoder for .mp4.
    """
    path = Path(path)
    check_suffix(path, FILMS)
    with replacing(path) as temporary:
        if path.suffix.lower() == ".mp4":
            _write_mp4(temporary, iter(pictures), frames_per_second)
        else:
            _write_animation(temporary, path.suffix.lower()[1:], iter(pictures), frames_per_second)
    return path


def _write_animation(path: Path, form: str, pictures: Iterator[np.ndarray], rate: float) -> None:
    from PIL import Image

    def image(picture: np.ndarray) -> Image.Image:
        whole = Image.fromarray(picture)
        return whole.quantize(dither=Image.Dither.NONE) if form == "gif" else whole

    images = map(image, pictures)
    first, more = next(images), {"quality": WEBP_QUALITY} if form == "webp" else {"optimize": False}
    first.save(path, form, save_all=True, append_images=images, duration=round(1000 / rate), loop=0, **more)


def _write_mp4(path: Path, pictures: Iterator[np.ndarray], rate: float) -> None:
    import cv2

    first = next(pictures)
    size = first.shape[1], first.shape[0]
    for name in CODECS:
        film = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*name), rate, size)
        if film.isOpened():
            break
    else:
        raise StereoError("unwritable", "this OpenCV has no encoder for .mp4.", "Use .webp or .gif.")
    try:
        film.write(np.ascontiguousarray(first[..., ::-1]))
        for picture in pictures:
            film.write(np.ascontiguousarray(picture[..., ::-1]))
    finally:
        film.release()
