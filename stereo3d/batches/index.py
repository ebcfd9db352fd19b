"""The index of a folder of results: `index.csv`, `index.html` and, with pyarrow, `index.parquet`.

It states what the records of the pairs state, nothing else: written again from time to time and at the end, all files
at once, so it is whole whenever the batch ends, and the next batch makes it anew from the records.
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import time
from collections.abc import Mapping
from typing import Any

from ..errors import StereoError
from .page import index_page
from .places import joined, read_bytes, write_files
from .records import ASIDE, DONE, FAILED, THUMB, Outcome

COLUMNS = (
    "name",
    "state",
    "verdict",
    "coverage",
    "uncertainty",
    "unit",
    "seconds",
    "peak_mb",
    "faces",
    "code",
    "reason",
    "warnings",
    "left",
    "right",
    "mesh",
)
NUMBERS = ("coverage", "uncertainty", "seconds", "peak_mb", "faces")
EVERY = 3.0  # s between two writings at least,
SHARE = 20.0  # and so many times what one takes
THUMBS = 2000  # pairs whose thumbnail is in the page, some 10 kB each
ORDER = {ASIDE: 0, FAILED: 1, DONE: 2}


def row_of(name: str, facts: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the columns of a record."""
    inputs, error = facts.get("inputs") or {}, facts.get("error") or {}
    files = [str(file) for file in facts.get("files") or []]
    mesh = next((f for f in files if f.endswith((".glb", ".obj", ".ply", ".stl", ".usdz"))), "")
    code = str(error.get("code", "")) if facts.get("state") != DONE else ""
    return (
        name,
        str(facts.get("state", FAILED)),
        str(facts.get("verdict") or ""),
        _number(facts.get("coverage")),
        _number(facts.get("precision")),
        str(facts.get("unit") or ""),
        _number(facts.get("seconds")),
        _number(facts.get("peak_mb")),
        _number(facts.get("faces")),
        code,
        " ".join(f"{error.get('message', '')} {error.get('advice', '')}".split()) if code else "",
        " ".join(str(w) for w in facts.get("warnings") or []),
        str((inputs.get("left") or {}).get("file", "")),
        str((inputs.get("right") or {}).get("file", "")),
        f"{name}/{mesh}" if mesh else "",
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


class Index:
    """The rows of all pairs of a folder, and the files made of them.

    Parameters
    ----------
    out : str
        Folder or address.
    total : int
        Pairs that there will be, for the head of the page.
    """

    def __init__(self, out: str, total: int = 0) -> None:
        self.out, self.total = out, total
        self.rows: dict[str, tuple[Any, ...]] = {}
        self.thumbs: dict[str, bytes] = {}
        self._written, self._took, self._changed = time.monotonic(), 0.0, False

    def add(self, name: str, facts: Mapping[str, Any], thumb: bytes | None = None) -> None:
        """Take in a record; its thumbnail is read from its folder where it is not given."""
        self.rows[name] = row_of(name, facts)
        self._changed = True
        if len(self.thumbs) < THUMBS or name in self.thumbs:
            if thumb is None:
                try:
                    thumb = read_bytes(joined(self.out, name, THUMB), 2**20)
                except StereoError:
                    return
            self.thumbs[name] = thumb

    def add_outcome(self, outcome: Outcome, thumb: bytes | None = None) -> None:
        """Take in the outcome of a pair."""
        self.add(outcome.name, outcome.facts, thumb)

    def write_in_time(self) -> None:
        """Write the files where it is time to."""
        if self._changed and time.monotonic() - self._written > max(EVERY, SHARE * self._took):
            self.write()

    def write(self) -> list[str]:
        """Write the files, all or none, and return their places.

        Raises
        ------
        StereoError
            "unwritable".
        """
        begun = time.monotonic()
        rows = sorted(self.rows.values(), key=lambda row: (ORDER.get(row[1], 1), row[0]))
        files = [("index.csv", csv_of(rows)), ("index.html", index_page(rows, COLUMNS, self.thumbs, self.total))]
        if importlib.util.find_spec("pyarrow") is not None:
            files.insert(1, ("index.parquet", parquet_of(rows)))
        write_files(self.out, files)
        self._written = time.monotonic()
        self._took, self._changed = self._written - begun, False
        return [joined(self.out, name) for name, _ in files]

    def counts(self) -> dict[str, int]:
        """Return how many pairs have each state."""
        found: dict[str, int] = {}
        for row in self.rows.values():
            found[row[1]] = found.get(row[1], 0) + 1
        return found


def csv_of(rows: list[tuple[Any, ...]]) -> bytes:
    """Return rows as CSV with a header; numbers that are not known are empty."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return file.getvalue().encode("utf-8", "backslashreplace")


def parquet_of(rows: list[tuple[Any, ...]]) -> bytes:
    """Return rows as a Parquet table of text and float64."""
    pyarrow, parquet = map(importlib.import_module, ("pyarrow", "pyarrow.parquet"))
    columns = zip(*rows, strict=True) if rows else [[] for _ in COLUMNS]
    arrays = {
        name: pyarrow.array(list(values), pyarrow.float64() if name in NUMBERS else pyarrow.string())
        for name, values in zip(COLUMNS, columns, strict=True)
    }
    sink = io.BytesIO()
    parquet.write_table(pyarrow.table(arrays), sink)
    return sink.getvalue()
