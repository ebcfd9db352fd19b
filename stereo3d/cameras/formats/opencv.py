"""OpenCV's FileStorage, YAML and XML."""

from typing import Any

from ...records import Rig
from .check import bad
from .entries import flat_entries, rig_of_entries, stored_matrix
from .markup import load_xml, load_yaml


def fits_opencv(text: str) -> bool:
    """Return whether the text has the mark of OpenCV's FileStorage, YAML or XML."""
    return text.lstrip().startswith("%YAML") or "<opencv_storage>" in text


def read_opencv(text: str, names: tuple[str, str] | None = None) -> Rig:
    """Read OpenCV's FileStorage: M1 D1 M2 D2 and R T, or one camera_matrix for both photos; `names` is not used."""
    return rig_of_entries(opencv_entries(text))


def opencv_entries(text: str) -> dict[str, Any]:
    """Return the entries of OpenCV's FileStorage by name, matrices as arrays."""
    text = text.lstrip()
    if text.startswith("%YAML"):
        found = [document for document in load_yaml(text) if document is not None]
        root = found[0] if found else {}
    else:
        root = load_xml(text)
    if not isinstance(root, dict):
        raise bad("is OpenCV's FileStorage, but no map of entries by name")
    return flat_entries(root)


def stored_entries(root: dict[str, Any]) -> dict[str, Any]:
    """Return entries by name with their matrices as arrays; lists of anything but numbers are left out."""
    entries: dict[str, Any] = {}
    for key, value in root.items():
        if isinstance(value, dict):
            matrix = "data" in value and "dt" in value
            entries[key] = stored_matrix(value, key) if matrix else stored_entries(value)
        elif not isinstance(value, list) or all(isinstance(item, float) for item in value):
            entries[key] = value
    return entries
