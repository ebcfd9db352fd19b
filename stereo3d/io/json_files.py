"""JSON files of plain values."""

import json
import math
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .atomic import replacing


def write_json(path: str | Path, value: dict[str, Any]) -> Path:
    """Write a dictionary as JSON, numbers that JSON does not know (NaN, infinity) as null; return the path."""
    with replacing(path) as temporary:
        text = json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return Path(path)


def load_json(text: str) -> Any:
    """Return the value of a JSON text; ValueError for text that is none, and for digits beyond float64.

    NaN and Infinity, which Python writes, are read as such.
    """
    try:
        return json.loads(text, parse_int=_integer, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is no finite number")
    return number


def _integer(digits: str) -> int:
    _finite(digits)
    return int(digits)


def plain(value: Any) -> Any:
    """Return arrays, numpy numbers, paths and records as values that JSON knows; NaN and infinity as None."""
    if is_dataclass(value) and not isinstance(value, type):
        value = vars(value)
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()  # file names may hold bytes that are no text
