"""OpenCV's FileStorage, YAML and XML."""

import re
from typing import Any

from ...records import Rig
from .check import bad
from .entries import rig_of_entries, stored_matrix


def fits_opencv(text: str) -> bool:
    """Return whether the text has the mark of OpenCV's FileStorage, YAML or XML."""
    return text.lstrip().startswith("%YAML") or "<opencv_storage>" in text


def read_opencv(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read OpenCV's FileStorage: M1 D1 M2 D2 and R T, or one camera_matrix for both photos; `names` is not used."""
    entries = open_storage(text.lstrip())
    return rig_of_entries({key: value for key, value in entries.items() if not isinstance(value, dict)})


def open_storage(text: str) -> dict:
    """Return the entries of a FileStorage text by name: matrices, lists of numbers, strings, numbers, dicts."""
    import cv2

    # OpenCV's parser never ends on a line without a key
    if re.search(r"(?m)^[ \t]*:", text) or (text.startswith("%") and not re.match(r"%YAML[: ]\d\.\d\s*(\n|$)", text)):
        raise bad("is not readable as OpenCV's FileStorage (a line without a key, or a damaged first line)")
    try:
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        entries = _stored_map(storage.root())
        storage.release()
    except (cv2.error, SystemError, UnicodeDecodeError) as error:
        cause = error.__cause__ or error
        reason = next((line for line in reversed(str(cause).splitlines()) if line.strip()), "damaged")
        raise bad(f"is not readable as OpenCV's FileStorage ({reason.strip()[:160]})") from error
    return entries


def _stored_map(node: Any) -> dict:
    entries = {}
    for key in node.keys() if node.isMap() else ():
        value = node.getNode(key)
        if value.isMap():
            content = _stored_map(value)
            # not by OpenCV's mat(): it aborts the process where the data do not agree with rows, cols and dt
            entries[key] = stored_matrix(content, key) if "data" in content and "dt" in content else content
        elif value.isSeq():
            items = [value.at(i) for i in range(value.size())]
            if all(item.isInt() or item.isReal() for item in items):
                entries[key] = [item.real() for item in items]
        elif value.isString():
            entries[key] = value.string()
        elif value.isInt() or value.isReal():
            entries[key] = value.real()
    return entries
