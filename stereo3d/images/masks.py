"""Masks that the user draws: which pixels of a photo show the scene."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import StereoError
from ..records import Photo
from .read import read_photo
from .reduce import to_grey

MIN_SHARE = 0.02  # of the photo: a smaller part gives no pose
MAX_OTHER = 32_000_000  # px, of a mask of another size than its photo: read, so that its size can be named


def apply_mask(photo: Photo, path: Path) -> Photo:
    """Return the photo whose unknown pixels are, besides those that it has, the dark ones of a mask picture.

    Parameters
    ----------
    photo : Photo
    path : Path
        A picture of the size of the upright photo, or of the photo as stored; white: use, black: leave out; transparent
        pixels are left out as well.

    Raises
    ------
    StereoError
        "size_mismatch"; "blank" where less than 2 % is left; as `read_photo`.
    """
    most = max(photo.size[0] * photo.size[1], MAX_OTHER)  # stated: a mask is small for its pixels
    drawn = read_photo(path, max_pixels=most)
    white = to_grey(drawn.pixels) >= 128
    if drawn.mask is not None:
        white &= drawn.mask
    orientation = photo.exif.get("orientation", 1)
    if drawn.size != photo.size and orientation >= 5 and drawn.size == photo.size[::-1]:
        white = _upright(white, orientation)
    if white.shape != photo.pixels.shape[:2]:
        raise StereoError(
            "size_mismatch",
            f"the mask {path} has {drawn.size[0]} x {drawn.size[1]} px, "
            f"its photo {photo.size[0]} x {photo.size[1]} px.",
            "Draw the mask on the photo at its full size.",
        )
    known = white if photo.mask is None else white & photo.mask
    if known.mean() < MIN_SHARE:
        raise StereoError(
            "blank",
            f"the mask {path} leaves {100 * known.mean():.1f} % of its photo; {100 * MIN_SHARE:g} % are needed.",
            "White is used and black is left out: is the mask inverted?",
        )
    if known.all():
        return photo
    return replace(photo, mask=known)


def _upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """A picture as stored, turned as EXIF's orientations 5 to 8 say."""
    turned = {5: stored.T, 6: stored.T[:, ::-1], 7: stored.T[::-1, ::-1], 8: stored.T[::-1]}[orientation]
    return np.ascontiguousarray(turned)
