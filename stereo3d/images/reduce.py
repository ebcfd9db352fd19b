"""Grey and reduced pictures."""

import numpy as np

from ..records import Photo
from .unknown import scene_pixels

LOW_RANGE = 40  # grey levels from the darkest to the lightest hundredth: below it features are lost
STRETCHED_RANGE = 120  # grey levels, of an ordinary photo
BLUR_SIGMA = 0.7  # px: bilinear interpolation of an unblurred picture has a gradient that jumps from pixel to pixel


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """Y = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded.

    Parameters
    ----------
    pixels : (H, W, 3) uint8
        RGB.

    Returns
    -------
    (H, W) uint8
    """
    import cv2

    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def reduced_grey(photo: Photo, max_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the grey picture whose longer side is at most `max_size` px, and its scale.

    Parameters
    ----------
    photo : Photo
        A smaller one keeps its size.
    max_size : int
        px.

    Returns
    -------
    grey : (h, w) uint8
        Reduced by averaging over areas.
    scale : (2,) float64
        Size of `grey` / size of the photo along x and y; they differ by the rounding to whole pixels.
    """
    import cv2

    grey = to_grey(scene_pixels(photo))
    share = min(1.0, max_size / max(photo.size))
    size = tuple(max(1, round(n * share)) for n in photo.size)
    if share < 1:
        grey = cv2.resize(grey, dsize=size, interpolation=cv2.INTER_AREA)
    return grey, np.array([size[0] / photo.size[0], size[1] / photo.size[1]])


def smooth(grey: np.ndarray) -> np.ndarray:
    """Return the grey picture as (H, W) float32, blurred by `BLUR_SIGMA` for continuous gradients."""
    import cv2

    return cv2.GaussianBlur(grey.astype(np.float32), ksize=(0, 0), sigmaX=BLUR_SIGMA)


def grey_range(grey: np.ndarray) -> float:
    """Return the grey levels from the darkest to the lightest hundredth of a picture (H, W) uint8."""
    return float(np.ptp(np.quantile(grey[::3, ::3], [0.01, 0.99])))


def stretch_contrast(grey: np.ndarray) -> np.ndarray:
    """128 + (grey - median) STRETCHED_RANGE / range where the range is below `LOW_RANGE`, else the picture itself.

    Detectors have thresholds in grey levels, and a photo taken in fog has its detail below them.

    Parameters
    ----------
    grey : (H, W) uint8

    Returns
    -------
    (H, W) uint8
    """
    levels = grey_range(grey)
    if not 0 < levels < LOW_RANGE:
        return grey
    table = 128 + (np.arange(256) - np.median(grey)) * (STRETCHED_RANGE / levels)
    return np.clip(np.rint(table), 0, 255).astype(np.uint8)[grey]
