"""Lists of pairs with options of their own: CSV with a header, or one JSON object a line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from ..errors import StereoError
from ..io.json_files import load_json
from ..pipeline.config import FLAGS, WHOLE_NUMBERS, Config
from .places import folder_of, is_address, joined, name_in, path_of, text_lines
from .records import Pair

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
MAX_BYTES = 2_000_000_000  # of a list
FIELDS = tuple(f.name for f in fields(Config))
PATHS = ("calib", "mask")  # fields that name files, relative to the list
NUMBERS = ("focal", "focal_35mm", "fov", "baseline", "max_memory")
OTHER_NAMES = {"marker": "markers", "first": "left", "second": "right", "pair": "name"}
LIST = re.compile(r"\s*[;|]\s*")  # between several files or markers in one cell


def is_manifest(word: str) -> bool:
    """Return whether a word of the command line names a list of pairs."""
    return word.lower().endswith(SUFFIXES)


def read_manifest(place: str) -> list[Pair]:
    """Return the pairs of a list, without names where it gives none.

    Parameters
    ----------
    place : str
        `.csv` or `.tsv` with the columns left, right, name and any field of `Config`; `.jsonl` with such keys. Relative
        paths count from the folder of the list.

    Raises
    ------
    StereoError
        "bad_option" with the line, for an unknown column or a value that none can have; "file_unreadable".
    """
    base = folder_of(place if is_address(place) else str(path_of(place)))
    text = text_lines(place, MAX_BYTES)
    rows = _json_rows(place, text) if name_in(place).lower().endswith((".jsonl", ".ndjson")) else _csv_rows(place, text)
    pairs = [_pair(place, number, row, base) for number, row in rows]
    if not pairs:
        raise StereoError("bad_option", f"{place} names no pair.", "Its columns are left, right and options.")
    return pairs


def _csv_rows(place: str, text: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    delimiter = "\t" if place.lower().endswith(".tsv") else ","
    reader = csv.reader(text, delimiter=delimiter)
    try:
        head = [_field(place, name) for name in next(reader, [])]
        if "left" not in head or len(set(head)) < len(head):
            raise StereoError(
                "bad_option",
                f"the first line of {place} names the columns {', '.join(head) or 'not at all'}.",
                "It is: left,right and, for example, calib,baseline,mask,max-size, each once.",
            )
        for cells in reader:
            if not any(map(str.strip, cells)):
                continue
            if len(cells) > len(head):
                raise _wrong(place, reader.line_num, f"it has {len(cells)} cells, the header has {len(head)}")
            row = {name: cell.strip() for name, cell in zip(head, cells, strict=False) if cell.strip()}
            yield reader.line_num, {name: _typed(place, reader.line_num, name, v) for name, v in row.items()}
    except csv.Error as error:
        raise StereoError("file_unreadable", f"{place}, line {reader.line_num}: {error}.", "Save it as CSV.") from error


def _json_rows(place: str, text: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            row = load_json(line)
        except ValueError as error:
            raise _wrong(place, number, f"it is no JSON ({error})") from error
        if not isinstance(row, dict):
            raise _wrong(place, number, "it is no JSON object")
        yield number, {_field(place, name): value for name, value in row.items() if value is not None}


def _field(place: str, name: str) -> str:
    """The name of a column as that of a field."""
    plain = name.strip().lower().replace("-", "_")
    plain = OTHER_NAMES.get(plain, plain)
    if plain not in ("left", "right", "name", *FIELDS):
        import difflib

        known = ("left", "right", "name", *(f.replace("_", "-") for f in FIELDS))
        near = difflib.get_close_matches(name.strip().lower(), known, n=1)
        advice = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
        raise StereoError("bad_option", f"{place} has a column {name!r}, which is no option.", advice)
    return plain


def _typed(place: str, line: int, name: str, text: str) -> Any:
    """The text of a cell as the kind of value that its field has."""
    try:
        if name in WHOLE_NUMBERS:
            return int(text)
        if name in NUMBERS:
            return float(text)
    except ValueError:
        raise _wrong(place, line, f"{name.replace('_', '-')} cannot be {text!r}") from None
    if name in FLAGS:
        words = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
        if text.lower() not in words:
            raise _wrong(place, line, f"{name} cannot be {text!r}: it is yes or no")
        return words[text.lower()]
    if name in (*PATHS, "markers"):
        return LIST.split(text)
    if name == "known_distance":
        return tuple(text.split())
    if name == "options":
        return {key: value for key, _, value in (part.partition("=") for part in LIST.split(text))}
    return text


def _pair(place: str, number: int, row: Mapping[str, Any], base: str) -> Pair:
    """The pair of a row, its relative paths below the folder of the list."""
    left, right, name = (row.get(key) for key in ("left", "right", "name"))
    for value in (left, right, name):
        if value is not None and not (isinstance(value, str) and value):
            raise _wrong(place, number, f"left, right and name are text, not {value!r}")
    if left is None:
        raise _wrong(place, number, "it names no left photo")
    options = {key: value for key, value in row.items() if key not in ("left", "right", "name")}
    for key in PATHS:
        if key in options:
            given = options[key] if isinstance(options[key], list | tuple) else [options[key]]
            options[key] = tuple(_below(base, str(file)) for file in given)
    why = f"line {number} of {name_in(place)}"
    return Pair(_below(base, left), None if right is None else _below(base, right), name or "", options, why)


def _below(base: str, file: str) -> str:
    if is_address(file) or not base:
        return file
    return joined(base, file) if is_address(base) else joined(base, str(path_of(file)))


def _wrong(place: str, line: int, what: str) -> StereoError:
    return StereoError("bad_option", f"{place}, line {line}: {what}.", "Correct the list.")
