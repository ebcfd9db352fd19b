"""The words of a command line as pairs: a folder, a list, patterns, addresses, files."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import StereoError
from .contents import is_photo, pairs_below, pairs_of
from .manifest import is_manifest, read_manifest
from .pairing import Found, by_folders, by_sides, in_order, natural, of_two_lists
from .places import folder_of, is_address, joined, listed, path_of
from .records import Pair

_PATTERN = re.compile(r"[*?\[]")


def find_pairs(
    words: Sequence[str], *, out: str | None = None, strip: bool = False, layout: str | None = None
) -> tuple[Found, str]:
    """Return the pairs that the words name, and the folder of all photos.

    Parameters
    ----------
    words : sequence of str
        One: a folder, a list (`is_manifest`), a pattern, an address, or one file that holds both photos. Two: the left
        and the right photos, each a pattern or a folder, or two photos. More: photos, as a shell writes out a pattern.
    out : str, optional
        Folder of results, which is left out.
    strip, layout
        As for `pairs_below`.

    Raises
    ------
    StereoError
        "file_missing" where there is nothing of that name, "bad_option".
    """
    if len(words) == 1:
        return _of_one(words[0], out, strip, layout)
    if len(words) == 2 and all(map(_names_many, words)):
        lefts, rights = map(_photos_of, words)
        return of_two_lists(lefts, rights), os.path.commonpath([_base(words[0]), _base(words[1])]) if not any(
            map(is_address, words)
        ) else ""
    for word in words:
        if _names_many(word) or is_manifest(word):
            raise StereoError(
                "bad_option",
                f"{word} stands among {len(words)} words.",
                "Name one folder or list; or two patterns in quotes: 'left/*.png' 'right/*.png'; or photos.",
            )
    files = [word for word in words if is_photo(word)]
    if len(files) == 2:
        return Found([Pair(files[0], files[1], why="named")]), ""
    return pairs_of(natural(files), strip=strip), _common(files)


def _of_one(word: str, out: str | None, strip: bool, layout: str | None) -> tuple[Found, str]:
    if is_manifest(word):
        return Found(read_manifest(word)), ""
    if is_address(word):
        return _of_address(word, out, strip, layout), word.rstrip("/") if not _PATTERN.search(word) else ""
    path = path_of(word)
    if path.is_dir():
        local = None if out is None or is_address(out) else path_of(out)
        return pairs_below(path, out=local, strip=strip, layout=layout), os.fspath(path)
    if _PATTERN.search(word) and not path.exists():
        files = _photos_of(word)
        if layout is not None:
            return Found([Pair(file, why=f"--layout {layout}") for file in files]), ""
        return pairs_of(files, strip=strip), _common(files)
    if not path.exists():
        raise StereoError(
            "file_missing", f"there is no folder, list or photo {word}.", "Check its name; quote patterns."
        )
    return Found([Pair(word, why="named")]), ""


def _of_address(word: str, out: str | None, strip: bool, layout: str | None) -> Found:
    """The pairs below an address, by names alone: nothing is fetched."""
    files = [file for file in listed(word) if is_photo(file) and not (out and file.startswith(out.rstrip("/") + "/"))]
    if not files:
        raise StereoError("file_missing", f"there is no photo in {word}.", "Check its name.")
    if layout is not None:
        return Found([Pair(file, why=f"--layout {layout}") for file in files])
    tree: dict[str, list[str]] = {}
    for file in natural(files):
        tree.setdefault(folder_of(file), []).append(file)
    found = Found()
    for one, two in by_folders(tree):
        found.add(of_two_lists(tree.pop(one), tree.pop(two)))
    for group in tree.values():
        pairs, rest = by_sides(group)
        if strip:
            pairs, rest = pairs + in_order(rest, strip=True), []
        found.add(Found(pairs, dict.fromkeys(rest, "no other photo has its name but for the side")))
    return found


def _names_many(word: str) -> bool:
    if is_address(word):
        return bool(_PATTERN.search(word)) or not is_photo(word)
    path = path_of(word)
    return path.is_dir() or (bool(_PATTERN.search(word)) and not path.exists())


def _photos_of(word: str) -> list[str]:
    """The photos of a pattern or a folder, in their natural order."""
    if is_address(word):
        found = listed(word)
    elif path_of(word).is_dir():
        found = [joined(word, entry.name) for entry in os.scandir(path_of(word)) if entry.is_file()]
    else:
        found = glob.glob(os.fspath(path_of(word)), recursive=True)
    photos = natural(file for file in found if is_photo(file))
    if not photos:
        raise StereoError("file_missing", f"there is no photo {word}.", "Check the pattern.")
    return photos


def _base(word: str) -> str:
    """The folder of a pattern up to its first special character."""
    path = os.path.abspath(path_of(word))
    found = _PATTERN.search(path)
    return path if found is None else os.path.dirname(path[: found.start()] + "x")


def _common(files: Sequence[str]) -> str:
    """The folder that holds all files; "" where there is none."""
    if not files or any(map(is_address, files)):
        return ""
    return os.path.commonpath([os.path.dirname(os.path.abspath(Path(file))) for file in files])
