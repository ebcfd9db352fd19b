"""JSON and pictures of a truth folder."""

from pathlib import Path

import numpy as np

from ..errors import StereoError
from ..io.json_files import load_json
from ..io.pictures import TEXTURE_FORMATS

MAX_JSON_BYTES = 4_000_000  # bytes; truth folders hold kilobytes of JSON


def read_json(path: Path) -> dict:
    """Read a JSON object; StereoError("file_missing" or "file_unreadable") where that fails."""
    if not path.is_file():
        raise StereoError("file_missing", f"{path}: no such file.", "Check the path.")
    try:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            raise ValueError(f"{size} bytes, {MAX_JSON_BYTES} at most")
        facts = load_json(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise StereoError("file_unreadable", f"{path}: not readable JSON ({error}).", "Check the file.") from error
    if not isinstance(facts, dict):
        raise StereoError("file_unreadable", f"{path}: contains no JSON object.", "Check the file.")
    return facts


def read_picture(path: Path) -> np.ndarray:
    """(H,W,3) u8 RGB as stored; grey becomes three equal channels."""
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise StereoError("file_missing", f"{path}: no such file.", "Check the path.")
    try:
        with Image.open(path, formats=TEXTURE_FORMATS) as picture:
            return np.array(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise StereoError("file_unreadable", f"{path}: not a readable picture ({error}).", "Check the file.") from error
