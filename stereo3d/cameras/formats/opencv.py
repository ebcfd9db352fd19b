"""OpenCV's FileStorage: YAML and XML."""

import re

from ...records import Rig
from .check import bad
from .entries import rig_of_entries, stored_matrix


def fits_opencv(text: str) -> bool:
    return text.lstrip().startswith("%YAML") or "<opencv_storage>" in text


def read_opencv(text: str, names=None) -> Rig:
    """OpenCV's FileStorage, YAML or XML: M1 D1 M2 D2 [R T], or one camera_matrix for both photos."""
    entries = open_storage(text.lstrip())
    return rig_of_entries({key: value for key, value in entries.items() if not isinstance(value, dict)})


def open_storage(text: str) -> dict:
    """What a text of OpenCV's FileStorage holds: matrices, lists of numbers, strings, numbers, maps of these."""
    import cv2

    # OpenCV's own reader goes round for ever on a line without a key
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


def _stored_map(node) -> dict:
    entries = {}
    for key in node.keys() if node.isMap() else ():
        value = node.getNode(key)
        if value.isMap():
            held = _stored_map(value)
            # not by OpenCV's own mat(): it ends the process where the data are not what rows, cols and dt announce
            entries[key] = stored_matrix(held, key) if "data" in held and "dt" in held else held
        elif value.isSeq():
            items = [value.at(i) for i in range(value.size())]
            if all(item.isInt() or item.isReal() for item in items):
                entries[key] = [item.real() for item in items]
        elif value.isString():
            entries[key] = value.string()
        elif value.isInt() or value.isReal():
            entries[key] = value.real()
    return entries
