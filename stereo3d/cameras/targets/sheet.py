"""The sheet of paper that a marker is printed on, and what all sheets share."""

from collections.abc import Sequence

import numpy as np

from ...errors import StereoError
from ...io.pdf import Page, Rectangle
from .marker import Marker

PAPERS = {  # mm, upright
    "a4": (210.0, 297.0),
    "letter": (215.9, 279.4),
    "a3": (297.0, 420.0),
    "a2": (420.0, 594.0),
    "a1": (594.0, 841.0),
    "a0": (841.0, 1189.0),
}
MM_PER_UNIT = {"m": 1000.0, "cm": 10.0, "mm": 1.0, "in": 25.4}
RULER_MM = 100.0
TICK_MM = 10.0
EDGE_MM = 10.0  # of the page, which many printers leave white
FOOT_MM = 30.0  # of the page for ruler and text
MIN_CELL_MM = 0.5  # printers of 300 dots per inch draw a cell of 6 dots


def marker_page(marker: Marker, unit: str = "m", paper: str = "a4") -> Page:
    """Return the page of a marker at its exact size, with a ruler to check the printer's scaling.

    Parameters
    ----------
    marker : Marker
    unit : {"m", "cm", "mm", "in"}
        Of its size.
    paper : str
        Name in `PAPERS`.

    Raises
    ------
    StereoError
        "bad_option" for another unit or paper, or a marker that does not fit on it with a white margin of one cell.
    """
    per, (width, height) = millimetres(unit), paper_size(paper)
    side, cells = marker.size * per, marker.cells
    room = min(width - 2 * EDGE_MM, height - 2 * EDGE_MM - FOOT_MM) * cells / (cells + 2)
    if not MIN_CELL_MM * cells <= side <= room:
        raise StereoError(
            "bad_option",
            f"a marker of {marker.size:g} {unit} = {side:.4g} mm does not fit {paper}: "
            f"{MIN_CELL_MM * cells / per:.4g} to {room / per:.4g} {unit} do.",
            "Choose another size or unit: SIZE is the side of the black square.",
            side_mm=side,
            largest_mm=room,
        )
    left, top = (width - side) / 2, EDGE_MM + (height - 2 * EDGE_MM - FOOT_MM - side) / 2
    size = f"{marker.size:g} {unit}" + ("" if unit == "mm" else f" = {side:.6g} mm")
    name = f"{marker.name}:{marker.size:g}"
    option = f"--marker {name}" + ("" if unit == "m" else f" --unit {unit}")
    lines = (
        f"{name}, black square {size}",
        f"stereo3d LEFT RIGHT {option}",
        f"Print at 100 %: this ruler is {RULER_MM:g} mm long. Keep the sheet flat, and its white margin.",
    )
    ruler, texts = foot(height, (width - RULER_MM) / 2, lines)
    rectangles = cell_rectangles(marker.black, left, top, side)
    return Page((width, height), rectangles + ruler, texts, f"marker {name} {unit}")


def millimetres(unit: str) -> float:
    """Return the mm in a unit; StereoError("bad_option") for one that no sheet is measured in."""
    if unit not in MM_PER_UNIT:
        raise StereoError("bad_option", f"a page cannot be printed in {unit!r}.", f"Use {', '.join(MM_PER_UNIT)}.")
    return MM_PER_UNIT[unit]


def paper_size(paper: str) -> tuple[float, float]:
    """Return width and height of an upright paper, mm; StereoError("bad_option") for an unknown one."""
    if paper not in PAPERS:
        raise StereoError("bad_option", f"there is no paper {paper!r}.", f"There are: {', '.join(PAPERS)}.")
    return PAPERS[paper]


def foot(height: float, start: float, lines: Sequence[str]) -> tuple[list[Rectangle], list[tuple[float, float, str]]]:
    """Return the rectangles of a ruler near the lower edge of a page, and lines of text below it.

    Parameters
    ----------
    height : float
        mm, of the page.
    start : float
        mm from its left edge.
    lines : sequence of str
    """
    y = height - EDGE_MM - 18
    ruler = [(start, y, RULER_MM, 0.3)]
    ruler += [(start + x - 0.1, y - 3, 0.2, 3) for x in np.arange(0, RULER_MM + 1, TICK_MM).tolist()]
    return ruler, [(start, y + 6 + 5 * k, line) for k, line in enumerate(lines)]


def cell_rectangles(black: np.ndarray, left: float, top: float, side: float) -> list[Rectangle]:
    """Return the black cells (n, n) bool of a square as rectangles, one for each run of cells in a row.

    Parameters
    ----------
    black : (n, n) bool
    left, top, side : float
        mm, of the square.
    """
    cell = side / len(black)
    found = []
    for row, line in enumerate(black):
        changes = np.flatnonzero(np.diff(np.pad(line.astype(int), 1)))
        for first, end in changes.reshape(-1, 2).tolist():
            found.append((left + first * cell, top + row * cell, (end - first) * cell, cell))
    return found
