"""JSON and pictures of a truth folder."""

from pathlib import Path

import numpy as np

from ..errors import StereoError
from ..foreign import open_file, read_file, texture_pixels
from ..io.json_files import load_json

MAX_JSON_BYTES = 4_000_000  # bytes; truth folders hold kilobytes of JSON


def read_json(path: Path) -> dict:
    """Read a JSON object; StereoError("file_missing" or "file_unreadable") where that fails."""
    data = read_file(path, MAX_JSON_BYTES)
    try:
        facts = load_json(data.decode("utf-8-sig"))
    except ValueError as error:
        raise StereoError("file_unreadable", f"{path}: not readable JSON ({error}).", "Check the file.") from error
    if not isinstance(facts, dict):
        raise StereoError("file_unreadable", f"{path}: contains no JSON object.", "Check the file.")
    return facts


def read_picture(path: Path) -> np.ndarray:
    """(H,W,3) u8 RGB as stored; grey becomes three equal channels."""
    try:
        with open_file(path) as file:
            return texture_pixels(file, path)
    except StereoError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, EOFError, ...
        raise StereoError("file_unreadable", f"{path}: not a readable picture ({error}).", "Check the file.") from error
