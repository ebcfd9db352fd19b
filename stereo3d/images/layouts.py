"""Two views in one picture, side by side or over and under."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import StereoError
from ..records import Photo
from .exif import WHOLE_PICTURE_FACTS
from .read import MIN_SIDE
from .reduce import to_grey

# Name -> (parts side by side or not, each squeezed to half its width or height or not).
LAYOUTS = {"sbs": (True, False), "sbs-half": (True, True), "tb": (False, False), "tb-half": (False, True)}
MIN_LIKENESS = 0.5  # normalised correlation of the two halves, reduced; unlike halves of photos have -.3 to .4
THUMBNAIL = 48  # px, the longer side of a reduced half
MAX_SHIFT = 0.15  # of its width: the largest parallax of a stereo picture that eyes can fuse is far smaller
FULL_SBS_ASPECT = 1.95  # width / height from which side by side halves have their full width
FULL_TB_ASPECT = 1.05  # width / height up to which halves over and under have their full height
_SBS_NAMES = re.compile(
    r"(?i)(?:^|[^a-z0-9])(h|half|f|full)?[-_ ]?(sbs|lr|rl|side[-_ ]?by[-_ ]?side|left[-_ ]?right)(?![a-z])"
)
_TB_NAMES = re.compile(r"(?i)(?:^|[^a-z0-9])(h|half|f|full)?[-_ ]?(tb|tab|ou|over[-_ ]?under|top[-_ ]?bottom)(?![a-z])")


def layout_of_name(path: Path, size: tuple[int, int]) -> str | None:
    """Return the layout that a file name states (SBS, left-right, TB, over-under, .jps, .pns); None: nothing."""
    if path.suffix.lower() in (".jps", ".pns"):
        return _full_or_half("sbs", size, "")
    for kind, pattern in (("sbs", _SBS_NAMES), ("tb", _TB_NAMES)):
        if found := pattern.search(path.stem):
            return _full_or_half(kind, size, (found[1] or "").lower())
    return None


def layout_of_content(photo: Photo) -> str | None:
    """Return the layout whose halves show the same scene, the more alike of the two; None where neither is."""
    likeness = {kind: _likeness(*_halves(photo.pixels, LAYOUTS[kind][0])) for kind in ("sbs", "tb")}
    kind = max(likeness, key=lambda name: likeness[name])
    return _full_or_half(kind, photo.size, "") if likeness[kind] >= MIN_LIKENESS else None


def split_layout(photo: Photo, layout: str) -> tuple[Photo, Photo]:
    """Return the two views of one picture, left or upper first; squeezed ones at their full width or height.

    Raises
    ------
    StereoError
        "photo_too_small" where a half is no photo.
    """
    import cv2

    side_by_side, squeezed = LAYOUTS[layout]
    halves = _halves(photo.pixels, side_by_side)
    masks = (None, None) if photo.mask is None else _halves(photo.mask, side_by_side)
    if min(halves[0].shape[:2]) < MIN_SIDE:
        raise StereoError(
            "photo_too_small",
            f"{photo.path}: its halves have {halves[0].shape[1]} x {halves[0].shape[0]} px.",
            "Use the picture as it came from the camera, or another --layout.",
        )
    facts = {name: value for name, value in photo.exif.items() if name not in WHOLE_PICTURE_FACTS}
    if (area := photo.exif.get("panorama_area")) is not None:
        facts["panorama_area"] = _area_of_view(area, photo.size, side_by_side, squeezed)
    views = []
    for pixels, mask in zip(halves, masks, strict=True):
        if squeezed:
            h, w = pixels.shape[:2]
            size = (2 * w, h) if side_by_side else (w, 2 * h)
            pixels = cv2.resize(pixels, dsize=size, interpolation=cv2.INTER_CUBIC)
            if mask is not None:
                mask = cv2.resize(mask.astype(np.uint8), dsize=size, interpolation=cv2.INTER_NEAREST) > 0
        views.append(replace(photo, pixels=np.ascontiguousarray(pixels), mask=mask, exif=facts))
    return views[0], views[1]


def _area_of_view(
    area: tuple[int, int, int, int, int, int], size: tuple[int, int], side_by_side: bool, squeezed: bool
) -> tuple[int, ...]:
    """The part of the sphere that one view of a picture shows, `area` being that of the view or of the whole picture.

    It is that of the one whose proportions are nearer to those of the part.
    """
    shape = area[4] / max(area[5], 1)
    of_file = size[0] / size[1]
    of_view = of_file if squeezed else of_file / 2 if side_by_side else of_file * 2
    if abs(np.log(shape / of_view)) <= abs(np.log(shape / of_file)):
        return area
    return tuple(n // 2 if (k % 2 == 0) == side_by_side else n for k, n in enumerate(area))


def _full_or_half(kind: str, size: tuple[int, int], stated: str) -> str:
    """The layout of full or half width or height: as the name states, else by the proportions of the whole picture."""
    if stated:
        return kind + "-half" * stated.startswith("h")
    aspect = size[0] / size[1]
    full = aspect >= FULL_SBS_ASPECT if kind == "sbs" else aspect <= FULL_TB_ASPECT
    return kind if full else kind + "-half"


def _halves(values: np.ndarray, side_by_side: bool) -> tuple[np.ndarray, np.ndarray]:
    """The two halves of a picture; a middle column or row of an odd number belongs to neither."""
    h, w = values.shape[:2]
    if side_by_side:
        return values[:, : w // 2], values[:, w - w // 2 :]
    return values[: h // 2], values[h - h // 2 :]


def _likeness(first: np.ndarray, second: np.ndarray) -> float:
    """The largest normalised correlation of two reduced pictures over shifts along the rows."""
    import cv2

    h, w = first.shape[:2]
    size = (THUMBNAIL, max(8, round(THUMBNAIL * h / w))) if w >= h else (max(8, round(THUMBNAIL * w / h)), THUMBNAIL)
    a, b = (
        cv2.resize(to_grey(np.ascontiguousarray(half)), dsize=size, interpolation=cv2.INTER_AREA).astype(float)
        for half in (first, second)
    )
    best, most = -1.0, int(MAX_SHIFT * size[0])
    for shift in range(-most, most + 1):
        p = a[:, max(0, shift) : size[0] + min(0, shift)]
        q = b[:, max(0, -shift) : size[0] + min(0, -shift)]
        p, q = p - p.mean(), q - q.mean()
        norm = np.sqrt((p * p).sum() * (q * q).sum())
        best = max(best, float((p * q).sum() / norm) if norm > 1e-6 else -1.0)
    return best
