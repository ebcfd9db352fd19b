"""Read one file that holds two photos: spatial photos, MPO, side by side, over and under, animations of two frames."""

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ..errors import StereoError
from ..foreign import as_file, name_of, read_file
from ..foreign.child import FORMATS as DECODED_APART
from ..records import ExifFacts, Photo, PhotoPair
from .heif import heif_items
from .jpegs import JpegPicture, breaks_off, pictures_in
from .layouts import LAYOUTS, layout_of_content, layout_of_name, split_layout
from .raw import RAW_SUFFIXES
from .read import PictureFile, check_file, decode_photo, is_pil_image, open_image, read_photo, without_folder
from .spatial import read_spatial

MAX_FILE = 400_000_000  # bytes that are searched for a second JPEG picture
MAX_FRAMES = 200  # frames of an animation that are read
# Model in EXIF -> mm between its two lenses, for files that do not state it: the makers' data sheets.
BASELINES_MM = {"FinePix REAL 3D W1": 77.0, "FinePix REAL 3D W3": 75.0, "Nintendo 3DS": 35.0}
ANIMATED = ("GIF", "WEBP", "TIFF", "PNG", "AVIF", "HEIF")


def read_pair(path: PictureFile, layout: str | None = None, *, max_pixels: int | None = None) -> PhotoPair:
    """Return the two photos that one file holds, in its order, and what it states about their cameras.

    - Spatial photos (HEIC with a stereo group; iPhone 15 Pro and later, Vision Pro): with their rig, nominal, in mm.
    - MPO, and other files of two JPEG pictures of one size: with the baseline of CIPA DC-007, or of the model.
    - GIF, WebP, TIFF, PNG, AVIF and HEIF files of two frames.
    - Side by side and over and under: as `layout` says, else as the file (JPS) or its name says (SBS, left-right, TB,
      over-under, with half or h for squeezed views), else where the halves show the same scene.

    Parameters
    ----------
    path : path, bytes, binary file or PIL image
        As in `read_photo`; of a PIL image only its current frame.
    layout : {"sbs", "sbs-half", "tb", "tb-half"}, optional
        How one picture holds the two: side by side, or top and bottom; half: squeezed to half the width or height.
    max_pixels : int, optional
        As in `read_photo`.

    Returns
    -------
    PhotoPair

    Raises
    ------
    StereoError
        "one_photo" where the file holds one photo, or more than two; as `read_photo`.
    """
    frames = read_frames(path, layout, max_pixels=max_pixels)
    if isinstance(frames, PhotoPair):
        return frames
    if len(frames) == 1:
        raise one_photo(path, frames[0])
    raise StereoError(
        "one_photo",
        f"{name_of_picture(path)} holds {len(frames)} photos, not two.",
        "Save two of them as files, and name these.",
    )


def name_of_picture(source: PictureFile) -> str:
    """Return what a message calls a source of pictures: its path or name where it has one."""
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    return name_of(source) or "the given picture"


def one_photo(path: PictureFile, photo: Photo) -> StereoError:
    """Return the error of a file that holds one photo where two are needed."""
    return StereoError(
        "one_photo",
        f"{name_of_picture(path)} holds one photo of {photo.size[0]} x {photo.size[1]} px.",
        f"Name the second photo as well: stereo3d {shlex.quote(name_of_picture(path))} SECOND.jpg; or say --layout sbs "
        "or tb if the picture shows both views.",
    )


def read_frames(
    path: PictureFile, layout: str | None = None, *, max_pixels: int | None = None
) -> PhotoPair | list[Photo]:
    """Return the pair that a file holds, or the list of its photos where they are not two.

    Parameters
    ----------
    path, layout, max_pixels
        As in `read_pair`.

    Raises
    ------
    StereoError
        As `read_photo`; "bad_option" for an unknown layout.
    """
    if layout is not None and layout not in LAYOUTS:
        raise StereoError("bad_option", f"layout cannot be {layout!r}.", f"It is one of {', '.join(LAYOUTS)}.")
    if is_pil_image(path):
        photo = read_photo(path, max_pixels=max_pixels)
        layout = layout or layout_of_content(photo)
        return [photo] if layout is None else _split(photo, layout)
    if not isinstance(path, str | os.PathLike):
        with as_file(path) as copy:  # pyright: ignore[reportArgumentType] - no PIL image is left here
            found = read_frames(copy, layout, max_pixels=max_pixels)
        if isinstance(found, PhotoPair):
            left, right = (without_folder(photo, path) for photo in (found.left, found.right))
            return replace(found, left=left, right=right)
        return [without_folder(photo, path) for photo in found]
    path = Path(os.fsdecode(path))
    head = check_file(path)
    if path.suffix.lower() in RAW_SUFFIXES:
        return [read_photo(path)]
    if layout is not None:
        return _split(read_photo(path, max_pixels=max_pixels), layout)
    stated, cut = None, False
    if head[:3] == b"\xff\xd8\xff":
        data = b"" if path.stat().st_size > MAX_FILE else read_file(path, MAX_FILE, "photo_unreadable")
        pictures = pictures_in(data)
        stated = pictures[0].layout if pictures else None
        cut = len(pictures) == 1 and breaks_off(data, pictures[0])
        views = [p for p in pictures if p.size == pictures[0].size and p.components >= 3]
        if len(views) > 1 and pictures[0].components >= 3:
            return _pictures(path, data, views, max_pixels)
    elif head[4:8] == b"ftyp":
        items = heif_items(path)
        if items.pairs:
            return read_spatial(path, items, max_pixels)
    jpeg = head[:3] == b"\xff\xd8\xff"
    frames = [read_photo(path, max_pixels=max_pixels)] if jpeg else _animation(path, max_pixels)
    if len(frames) == 2:
        return PhotoPair(*frames, form=f"two frames of one {frames[0].exif.get('format', 'picture')} file")
    if len(frames) > 2:
        return frames
    layout = stated or layout_of_name(path, frames[0].size) or layout_of_content(frames[0])
    if layout is None and cut:
        raise StereoError(
            "photo_unreadable",
            f"{path}: a damaged or truncated MPO file of {path.stat().st_size} bytes, whose second picture breaks off.",
            "Copy it again from the camera.",
        )
    return frames if layout is None else _split(frames[0], layout)


def _pictures(path: Path, data: bytes, views: list[JpegPicture], max_pixels: int | None) -> PhotoPair | list[Photo]:
    """The JPEG pictures of one size that a file of these bytes holds."""
    photos = []
    for view in views:
        with open_image(path, data[view.start : view.end], max_pixels=max_pixels) as image:
            photos.append(decode_photo(image, path))
    if len(photos) != 2:
        return photos
    first, second = photos
    if not second.exif.get("model"):  # the second picture often carries no EXIF of its own
        facts = cast(ExifFacts, {**first.exif, **second.exif})
        second = Photo(second.pixels, facts, path, second.mask)
    baseline = next((view.baseline_mm for view in views if view.baseline_mm), None)
    if baseline is None:
        model = first.exif.get("model", "")
        baseline = next((mm for name, mm in BASELINES_MM.items() if model.startswith(name)), None)
    return PhotoPair(
        first, second, "two JPEG pictures in one file (MPO)", baseline=baseline, unit="mm" if baseline else None
    )


def _animation(path: Path, max_pixels: int | None) -> list[Photo]:
    """The frames of one size of an animation, or of a file of several pages."""
    with open_image(path, max_pixels=max_pixels) as image:
        count = min(getattr(image, "n_frames", 1), MAX_FRAMES) if image.format in ANIMATED else 1
        size = image.size
        first = decode_photo(image, path)
        if count == 1:
            return [first]
        if image.format not in DECODED_APART:
            return [first, *_later_frames(image, path, count, size)]
    photos = [first]
    for k in range(1, count):  # a process of its own decodes one of them at a time
        with open_image(path, frame=k, max_pixels=max_pixels) as image:
            if image.size == size:
                photos.append(decode_photo(image, path))
    return photos


def _later_frames(image: Any, path: Path, count: int, size: tuple[int, int]) -> list[Photo]:
    """The frames behind the first that have its size as stored: no thumbnails, no other pages."""
    photos: list[Photo] = []
    for k in range(1, count):
        image.seek(k)
        if image.size == size:
            photos.append(decode_photo(image, path))
    return photos


def _split(photo: Photo, layout: str) -> PhotoPair:
    left, right = split_layout(photo, layout)
    side_by_side, squeezed = LAYOUTS[layout]
    form = ("side by side" if side_by_side else "over and under") + ", squeezed" * squeezed
    return PhotoPair(left, right, f"one picture, {form}", squeezed=squeezed)
