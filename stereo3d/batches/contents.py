"""What files say about pairs beyond their names: a file that is a pair by itself, the time a photo was taken."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from ..errors import StereoError
from ..foreign import read_file
from ..images.heif import heif_items
from ..images.jpegs import pictures_in
from ..images.layouts import layout_of_content, layout_of_name
from ..images.raw import RAW_SUFFIXES
from ..images.read import SUFFIXES, open_image, read_photo
from ..images.video import VIDEO_SUFFIXES
from .pairing import Found, by_folders, by_numbers, by_sides, by_times, in_order, natural, time_in_name
from .records import Pair

PHOTOS = (*SUFFIXES, *RAW_SUFFIXES, ".mpo", ".jps", ".pns")
LOOKED_AT = 24  # files of one folder that are decoded to see whether they hold two views; the others are like them
MAX_DATES = 3000  # files of one folder whose header is read for its date
MAX_FILES = 1_000_000  # below a folder
WIDE = 1.2  # width / height, or its inverse, of a picture that may hold two views: squeezed ones have that of one
SCANNED = 60_000_000  # bytes of a JPEG file that is searched for a second picture


def is_photo(file: str) -> bool:
    """Return whether a name is that of a photo."""
    return os.path.splitext(file)[1].lower() in PHOTOS


def pairs_below(folder: Path, *, out: Path | None = None, strip: bool = False, layout: str | None = None) -> Found:
    """Return the pairs of a folder and of the folders in it.

    Parameters
    ----------
    folder : Path
    out : Path, optional
        Folder of results, which is left out.
    strip : bool
        What names leave over is a strip: 1-2, 2-3, ...
    layout : str, optional
        Every file holds two views in this layout.

    Raises
    ------
    StereoError
        "file_missing" where the folder cannot be read.
    """
    found, hidden = Found(), None if out is None else os.path.abspath(out)
    tree: dict[str, list[str]] = {}
    for place, folders, names in os.walk(folder, onerror=_cannot_list):
        kept = (f for f in folders if f[0] != "." and os.path.abspath(os.path.join(place, f)) != hidden)
        folders[:] = sorted(kept)
        photos = [os.path.join(place, name) for name in names if name[0] != "." and is_photo(name)]
        tree[place] = natural(_developed(photos))
        if sum(map(len, tree.values())) > MAX_FILES:
            raise StereoError("bad_option", f"{folder} holds more than {MAX_FILES} photos.", "Name a smaller folder.")
    if layout is not None:
        return Found([Pair(f, why=f"--layout {layout}") for files in tree.values() for f in files])
    from .pairing import of_two_lists

    for one, two in by_folders(tree):
        if tree[one] and tree[two]:
            found.add(of_two_lists(tree.pop(one), tree.pop(two)))
    for files in tree.values():
        found.add(pairs_of(files, strip=strip))
    return found


def _developed(files: list[str]) -> list[str]:
    """Of a raw file and a picture of one name the picture."""
    pictures = {os.path.splitext(f)[0].lower() for f in files if not f.lower().endswith(tuple(RAW_SUFFIXES))}
    raw = tuple(RAW_SUFFIXES)
    return [f for f in files if not f.lower().endswith(raw) or os.path.splitext(f)[0].lower() not in pictures]


def _cannot_list(error: OSError) -> None:
    raise StereoError(
        "file_missing",
        f"the folder {error.filename} cannot be read: {error.strerror}.",
        "Check its name and its permissions.",
    ) from error


def pairs_of(files: Sequence[str], *, strip: bool = False) -> Found:
    """Return the pairs of the photos of one folder; what is certain first."""
    pairs, rest = by_sides(files)
    alone, rest = by_themselves(rest)
    pairs += alone
    if strip:
        chain = in_order(rest, strip=True)
        return Found(pairs + chain, {} if chain else dict.fromkeys(rest, "one photo is no strip"))
    numbered, rest = by_numbers(rest)
    pairs += numbered
    timed, rest = _by_dates(rest)
    pairs += timed
    if rest and len(rest) % 2 == 0 and not timed:
        return Found(pairs + in_order(rest, strip=False))
    reason = "no other photo has its name but for the side, a number or the time"
    return Found(pairs, dict.fromkeys(rest, reason))


def _by_dates(files: Sequence[str]) -> tuple[list[Pair], list[str]]:
    """The pairs of photos taken shortly after one another, by the time in their names, else by EXIF."""
    times = {file: time for file in files if (time := time_in_name(file)) is not None}
    source = "names"
    if len(times) < len(files) and 2 <= len(files) <= MAX_DATES:
        dates = {file: date for file in files if (date := date_of(Path(file))) is not None}
        if len(dates) > len(times):
            times, source = dates, "EXIF"
    taken, pairs = set(), []
    for one, two, seconds in by_times(times):
        pairs.append(Pair(one, two, why=f"times in {source}: {seconds:.3g} s apart"))
        taken |= {one, two}
    return pairs, [file for file in files if file not in taken]


def date_of(path: Path) -> float | None:
    """Return when a photo was taken, s, as EXIF states it."""
    if path.suffix.lower() in RAW_SUFFIXES:
        return None
    with contextlib.suppress(Exception), open_image(path) as image:
        details = image.getexif().get_ifd(0x8769)
        moment = datetime.strptime(str(details[0x9003])[:19], "%Y:%m:%d %H:%M:%S")
        part = str(details.get(0x9291, "")).strip("\0 ")
        return (moment - datetime(1900, 1, 1)).total_seconds() + (float(f"0.{part}") if part.isdigit() else 0.0)
    return None


def by_themselves(files: Sequence[str]) -> tuple[list[Pair], list[str]]:
    """Return the files that hold two views, and the others.

    Of many files, `LOOKED_AT` are decoded; where all of them are alike, the others are taken to be so too.
    """
    kinds = {file: form for file in files if (form := _form_by_name(file)) is not None}
    rest = [file for file in files if file not in kinds]
    step = max(1, len(rest) // LOOKED_AT)
    sample = rest[::step][:LOOKED_AT]
    forms = {file: _form_by_content(Path(file)) for file in sample}
    same = set(forms.values())
    for file in rest:
        form = forms[file] if file in forms else None
        if form is None and file not in forms and len(same) == 1 and (shared := next(iter(same))) is not None:
            form = f"{shared}, as {len(sample)} of its folder that were looked at"
        if form is not None:
            kinds[file] = form
    pairs = [Pair(file, why=f"one file: {kinds[file]}") for file in files if file in kinds]
    return pairs, [file for file in files if file not in kinds]


def _form_by_name(file: str) -> str | None:
    if file.lower().endswith((".mpo", *VIDEO_SUFFIXES)):
        return "MPO" if file.lower().endswith(".mpo") else None
    layout = layout_of_name(Path(file), (2, 1))
    return None if layout is None else "its name states the layout"


def _form_by_content(path: Path) -> str | None:
    """How a file holds two views; None where it holds one, or cannot be read."""
    suffix = path.suffix.lower()
    if suffix in RAW_SUFFIXES:
        return None
    with contextlib.suppress(Exception):
        if suffix in (".heic", ".heif", ".hif"):
            return "a spatial photo" if heif_items(path).pairs else None
        if suffix in (".jpg", ".jpeg", ".jpe") and path.stat().st_size <= SCANNED:
            pictures = pictures_in(read_file(path, SCANNED, "photo_unreadable"))
            if sum(p.size == pictures[0].size and p.components >= 3 for p in pictures) == 2:
                return "MPO"
        with open_image(path) as image:
            width, height = image.size
            if getattr(image, "n_frames", 1) == 2:
                return "two frames"
        if math.isclose(width, height) or max(width / height, height / width) >= WIDE:
            layout = layout_of_content(read_photo(path))
            return None if layout is None else "side by side" if layout.startswith("sbs") else "over and under"
    return None
