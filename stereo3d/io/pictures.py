"""Write pictures and coloured maps."""

import os
from pathlib import Path

import numpy as np

from ..errors import StereoError
from .atomic import replacing
from .style import check_suffix

PICTURES = (".png", ".jpg", ".jpeg")


def colourise(values: np.ndarray, lo: float | None = None, hi: float | None = None) -> np.ndarray:
    """Return a map in the colours of turbo, from lo (blue) to hi (red), unknown black.

    Parameters
    ----------
    values : (H, W) float
        NaN unknown.
    lo, hi : float, optional
        Default: the 1 % and 99 % quantiles of the known values.

    Returns
    -------
    (H, W, 3) uint8
        RGB.

    References
    ----------
    Mikhailov, Turbo, An Improved Rainbow Colormap for Visualization, 2019.
    """
    import cv2

    values = np.asarray(values, dtype=float)
    if values.ndim != 2:
        raise ValueError(f"colourise needs (H,W), got {values.shape}")
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(values.shape + (3,), np.uint8)
    lo = float(np.quantile(values[known], 0.01)) if lo is None else lo
    hi = float(np.quantile(values[known], 0.99)) if hi is None else hi
    level = np.clip((np.where(known, values, lo) - lo) / max(hi - lo, 1e-12), 0, 1)
    colour = cv2.applyColorMap(src=np.rint(255 * level).astype(np.uint8), colormap=cv2.COLORMAP_TURBO)[..., ::-1]
    return np.where(known[..., None], colour, np.uint8(0))


def write_disparity_png(
    path: str | os.PathLike, disparity: np.ndarray, *, lo: float | None = None, hi: float | None = None
) -> Path:
    """Write `colourise(disparity, lo, hi)` as a PNG to look at; `write_map` writes the numbers."""
    check_suffix(Path(path), (".png",))
    return write_picture(path, colourise(disparity, lo, hi))


def write_picture(path: str | os.PathLike, picture: np.ndarray, *, quality: int = 95) -> Path:
    """Write a picture (H,W,3) u8 RGB or (H,W) u8 as .png or .jpg."""
    path = Path(path)
    check_suffix(path, PICTURES)
    data = encode(path.suffix.lower(), picture, quality)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return path


def encode(suffix: str, picture: np.ndarray, quality: int) -> bytes:
    """Return a picture (H, W, 3) uint8 RGB or (H, W) uint8 as the bytes of a PNG, or of a JPEG with that quality."""
    import cv2

    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or not (picture.ndim == 2 or picture.ndim == 3 and picture.shape[2] == 3):
        raise ValueError(f"a picture is (H,W,3) or (H,W) u8, got {picture.dtype} {picture.shape}")
    options = []
    if suffix != ".png":  # colour at full resolution: half of it shows at hard red edges
        options = [
            cv2.IMWRITE_JPEG_QUALITY,
            int(quality),
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ]
    try:
        good, data = cv2.imencode(
            ext=suffix, img=np.ascontiguousarray(picture[..., ::-1] if picture.ndim == 3 else picture), params=options
        )
    except cv2.error:
        good, data = False, np.zeros(0, np.uint8)
    if not good:
        raise StereoError(
            "unwritable",
            f"a picture of {picture.shape[1]} x {picture.shape[0]} cannot be encoded as {suffix}.",
            "JPEG ends at 65,535 px: use a smaller photo.",
        )
    return data.tobytes()
