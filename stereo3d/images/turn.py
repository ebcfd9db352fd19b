"""Turn a photo by quarter turns, as its EXIF orientation would."""

from typing import cast

import numpy as np

from ..records import ExifFacts, Photo

# EXIF orientation of a photo -> that of the same file after one more quarter turn clockwise
_NEXT = {1: 6, 6: 3, 3: 8, 8: 1, 2: 7, 7: 4, 4: 5, 5: 2}


def turn_photo(photo: Photo, degrees: int) -> Photo:
    """Return a photo turned clockwise: pixels, mask, gravity, and the orientation by which the file is to be turned.

    Parameters
    ----------
    photo : Photo
    degrees : {0, 90, 180, 270}

    Raises
    ------
    ValueError
        For another angle.
    """
    if degrees not in (0, 90, 180, 270):
        raise ValueError(f"degrees is 0, 90, 180 or 270, got {degrees!r}")
    turns = degrees // 90
    if not turns:
        return photo
    exif = dict(photo.exif)
    orientation = photo.exif.get("orientation", 1)
    exif.setdefault("size_stored", photo.size[::-1] if orientation >= 5 else photo.size)
    gravity = photo.exif.get("gravity")
    for _ in range(turns):
        orientation = _NEXT[orientation]
        if gravity is not None:
            gravity = -gravity[1], gravity[0], gravity[2]
    if gravity is not None:
        exif["gravity"] = gravity
    exif["orientation"] = orientation
    mask = None if photo.mask is None else np.ascontiguousarray(np.rot90(photo.mask, -turns))
    return Photo(np.ascontiguousarray(np.rot90(photo.pixels, -turns)), cast(ExifFacts, exif), photo.path, mask)
