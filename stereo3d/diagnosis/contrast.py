"""Photos that show nothing, and photos that show it in a few grey levels."""

from collections.abc import Sequence

import numpy as np

from ..images.content import crop_to_content
from ..images.reduce import LOW_RANGE, grey_range, reduced_grey
from ..options import MAX_SIZE
from ..records import Finding, Photo
from .statistics import PHOTO_NAMES

BLANK_DETAIL = 1.0  # grey levels: walls with a noise of 4 levels have .9, fog that leaves a tenth of the contrast 2.7
BLOCK, CELL = 32, 4  # px: detail is the deviation of the means of cells from the plane of a block
DARK, LIGHT = 24, 231  # grey levels, median of a photo that is black or white


def detail_levels(grey: np.ndarray) -> float:
    """Return the grey levels of what a photo shows: 90 % quantile, over blocks, of the deviation from a plane.

    Of blocks of 32 x 32 px; the means of cells of 4 x 4 px deviate, in which noise counts a quarter. Shading towards
    the corners, or along a wall, is no detail.

    Parameters
    ----------
    grey : (H, W) uint8
        Picture.

    Returns
    -------
    float
        Grey levels, root mean square; 0 for a picture smaller than a block.
    """
    h, w = (n // BLOCK for n in grey.shape)
    if h * w == 0:
        return 0.0
    n = BLOCK // CELL
    cells = grey[: h * BLOCK, : w * BLOCK].astype(np.float32).reshape(h * n, CELL, w * n, CELL).mean((1, 3))
    blocks = cells.reshape(h, n, w, n).swapaxes(1, 2).reshape(h * w, n * n)
    y, x = np.mgrid[:n, :n].reshape(2, -1) - (n - 1) / 2
    plane = np.linalg.qr(np.stack([np.ones(n * n), x, y], 1))[0]
    off = blocks - (blocks @ plane) @ plane.T
    return float(np.quantile(np.sqrt((off**2).sum(1) / (n * n - 3)), 0.9))


def low_contrast_finding(greys: Sequence[np.ndarray], min_range: float = LOW_RANGE) -> Finding | None:
    """Return a warning where a photo spans few grey levels, None where both span enough.

    Parameters
    ----------
    greys : two (H, W) uint8
        Both photos.
    min_range : float
        Grey levels from the darkest to the lightest hundredth.
    """
    ranges = [grey_range(grey) for grey in greys]
    worse = int(ranges[1] < ranges[0])
    if ranges[worse] >= min_range:
        return None
    return Finding(
        "low_contrast",
        "warning",
        f"the {PHOTO_NAMES[worse]} photo has little contrast: {ranges[worse]:.0f} grey levels of 255 between its dark "
        "and its light; depth is rough.",
        {"grey_range": ranges[worse]},
        "Wait for the fog to lift, expose longer or wipe the lens; files of 16 bits keep more of it.",
    )


def featureless_findings(left: Photo, right: Photo) -> list[Finding]:
    """Return an error where a photo without features, or without matches, shows too little: "blank", "low_contrast".

    Parameters
    ----------
    left, right : Photo
        A pair that could not be matched.

    Returns
    -------
    list of Finding
        One at most.
    """
    greys = [reduced_grey(crop_to_content(photo)[0], MAX_SIZE)[0] for photo in (left, right)]
    details = [detail_levels(grey) for grey in greys]
    worse = int(details[1] < details[0])
    if details[worse] < BLANK_DETAIL:
        level = float(np.median(greys[worse]))
        colour, advice = (
            "of one colour",
            "Photograph something with texture; a plain wall has none.",
        )
        if level < DARK:
            colour, advice = "black", "Is the lens covered? Give it more light, or expose longer."
        elif level > LIGHT:
            colour, advice = "white", "Expose shorter; a white wall shows nothing to match."
        which = "both photos are" if max(details) < BLANK_DETAIL else f"the {PHOTO_NAMES[worse]} photo is"
        return [
            Finding(
                "blank",
                "error",
                f"{which} blank: {colour} (grey level {level:.0f} of 255), with {details[worse]:.1f} levels of detail.",
                {"detail_levels": details[worse], "grey_level": level, "photo": worse + 1},
                advice,
            )
        ]
    low = low_contrast_finding(greys)
    if low is None:
        return []
    message = low.message.replace("; depth is rough", ", too little to match")
    return [Finding(low.code, "error", message, low.numbers, low.advice)]
