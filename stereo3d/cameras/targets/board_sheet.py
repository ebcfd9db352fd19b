"""The sheet of paper that a calibration board is printed on."""

import math
from dataclasses import replace

import numpy as np

from ...errors import StereoError
from ...io.pdf import Page, Rectangle
from ..chessboard.board import Board
from ..chessboard.tags import BORDERS, DATA_CELLS, FAMILY
from ..dictionaries import marker_dictionary
from .sheet import EDGE_MM, FOOT_MM, MIN_CELL_MM, RULER_MM, cell_rectangles, foot, millimetres, paper_size

# What is printed where nothing else is asked for: they fit A4, and no view of them is that of another turn.
DEFAULT_SIZES = {"chessboard": (9, 6), "charuco": (8, 5), "aprilgrid": (6, 4)}
MARKER_SHARE = 0.75  # of a square: a ChArUco marker that leaves white for the corners
SPACING = 0.3  # of a tag: Kalibr's


def fitting_board(board: Board, unit: str = "mm", paper: str = "a4") -> Board:
    """Return the board with squares as large as a sheet of paper holds, in whole mm.

    Parameters
    ----------
    board : Board
        Its proportions count: marker / square, spacing.
    unit : {"m", "cm", "mm", "in"}
        Of the result.
    paper : str
        Name in `sheet.PAPERS`.

    Raises
    ------
    StereoError
        "bad_option" for another unit or paper, or a board whose cells would be too small to print.
    """
    per = millimetres(unit)
    room = max(_room(board, size) for size in _ways(paper))
    square = math.floor(room) / per
    marker = None if board.marker is None else board.marker / board.square * square
    found = replace(board, square=square, marker=marker) if square > 0 else board
    if square * per < _least(board):
        raise _refused(found, unit, paper, room)
    return found


def board_page(board: Board, unit: str = "mm", paper: str = "a4") -> Page:
    """Return the page of a board at its exact size, with a ruler and the command that calibrates from its photos.

    Parameters
    ----------
    board : Board
    unit : {"m", "cm", "mm", "in"}
        Of its lengths.
    paper : str
        Name in `sheet.PAPERS`; it is turned where the board needs that.

    Raises
    ------
    StereoError
        "bad_option" for another unit or paper, a board that does not fit on it, or one with more markers than its
        dictionary.

    References
    ----------
    Kalibr's wiki, "Calibration targets", for the AprilGrid. OpenCV's aruco module for ChArUco boards.
    """
    per = millimetres(unit)
    printed = replace(board, square=board.square * per, marker=None if board.marker is None else board.marker * per)
    fits = [size for size in _ways(paper) if printed.square <= _room(board, size) * (1 + 1e-9)]
    if not fits or printed.square < _least(board):
        raise _refused(board, unit, paper, max(_room(board, size) for size in _ways(paper)))
    width, height = fits[0]
    across, down = _extent(board)
    left = (width - across * printed.square) / 2
    top = EDGE_MM + (height - 2 * EDGE_MM - FOOT_MM - down * printed.square) / 2
    name = f"{board.kind} {board.columns}x{board.rows}"
    lines = (
        f"{name}, {_lengths(board, unit)}" + ("" if unit == "mm" else f"; 1 {unit} = {per:g} mm"),
        f"stereo3d calibrate PHOTOS -o camera.json {calibrate_options(board, unit)}",
        f"Print at 100 %: this ruler is {RULER_MM:g} mm long. Glue the sheet onto something flat and stiff.",
    )
    start = min(EDGE_MM + 5, (width - RULER_MM) / 2)
    ruler, texts = foot(height, start, lines)
    return Page((width, height), _DRAWINGS[board.kind](printed, left, top) + ruler, texts, f"{name}, {unit}")


def calibrate_options(board: Board, unit: str) -> str:
    """Return the options of `stereo3d calibrate` that describe a board."""
    words = [] if board.kind == "chessboard" else [f"--kind {board.kind}"]
    words += [f"--board {board.columns}x{board.rows}", f"--square {board.square:.6g}"]
    if board.kind == "charuco":
        words.append(f"--marker {board.marker:.6g}")
        words += [] if board.dictionary == "5X5_100" else [f"--dictionary {board.dictionary}"]
        words += ["--legacy"] if board.legacy else []
    if board.kind == "aprilgrid":
        words.append(f"--spacing {board.spacing:g}")
    return " ".join([*words, f"--unit {unit}"])


def _lengths(board: Board, unit: str) -> str:
    if board.kind == "charuco":
        return f"squares {board.square:.6g} {unit}, markers {board.marker:.6g} {unit} of {board.dictionary}"
    if board.kind == "aprilgrid":
        return f"tags {board.square:.6g} {unit} of {FAMILY}, gaps {board.spacing:g} of that"
    return f"squares {board.square:.6g} {unit}"


def _ways(paper: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """The paper upright and turned, mm."""
    width, height = paper_size(paper)
    return (width, height), (height, width)


def _extent(board: Board) -> tuple[float, float]:
    """Width and height of what is printed, in squares (tags)."""
    if board.kind == "aprilgrid":
        assert board.spacing is not None  # Board refuses an AprilGrid without it
        return tuple(n * (1 + board.spacing) + board.spacing for n in (board.columns, board.rows))  # pyright: ignore
    more = board.kind == "chessboard"
    return board.columns + more, board.rows + more


def _room(board: Board, size: tuple[float, float]) -> float:
    """Side, mm, of the largest square of the board on a page of that size."""
    across, down = _extent(board)
    return min((size[0] - 2 * EDGE_MM) / across, (size[1] - 2 * EDGE_MM - FOOT_MM) / down)


def _least(board: Board) -> float:
    """Side, mm, of the smallest square whose cells a printer draws."""
    if board.kind == "aprilgrid":
        return MIN_CELL_MM * (DATA_CELLS + 2 * BORDERS[0])
    if board.marker is not None and board.kind == "charuco":
        cells = int(marker_dictionary(board.dictionary).markerSize) + 2
        return MIN_CELL_MM * cells * board.square / board.marker
    return MIN_CELL_MM


def _refused(board: Board, unit: str, paper: str, room: float) -> StereoError:
    per, least = millimetres(unit), _least(board)
    what = "a tag" if board.kind == "aprilgrid" else "a square"
    able = f"{least / per:.4g} to {room / per:.4g} {unit} do" if room >= least else "no size does"
    return StereoError(
        "bad_option",
        f"a board of {board.columns}x{board.rows} with {what} of {board.square:.6g} {unit} does not fit {paper}: "
        f"{able}.",
        "Choose a larger --paper, fewer columns and rows, or another --square.",
        largest_mm=room,
        least_mm=least,
    )


def _chessboard(board: Board, left: float, top: float) -> list[Rectangle]:
    """The black squares: of the ones at the corners that at the upper left is black."""
    s = board.square
    places = np.argwhere(np.indices((board.rows + 1, board.columns + 1)).sum(0) % 2 == 0)
    return [(left + column * s, top + row * s, s, s) for row, column in places.tolist()]


def _charuco(board: Board, left: float, top: float) -> list[Rectangle]:
    """Markers where OpenCV has them, black squares elsewhere."""
    import cv2

    assert board.marker is not None  # Board refuses a ChArUco board without it
    dictionary, s = marker_dictionary(board.dictionary), board.square
    needed, count = board.columns * board.rows // 2, len(dictionary.bytesList)
    if needed > count:
        raise StereoError(
            "bad_option",
            f"a ChArUco board of {board.columns}x{board.rows} has {needed} markers, {board.dictionary} {count}.",
            "Choose a larger --dictionary, such as 5X5_1000.",
        )
    drawn = cv2.aruco.CharucoBoard((board.columns, board.rows), s, board.marker, dictionary)
    drawn.setLegacyPattern(board.legacy)
    black = np.ones((board.rows, board.columns), bool)
    found: list[Rectangle] = []
    margin = (s - board.marker) / 2
    for number, corners in zip(np.ravel(drawn.getIds()).tolist(), drawn.getObjPoints(), strict=True):
        column, row = (np.reshape(corners, (4, 3))[:, :2].mean(0) // s).astype(int).tolist()
        black[row, column] = False
        cells = cv2.aruco.generateImageMarker(dictionary, number, int(dictionary.markerSize) + 2) < 128
        found += cell_rectangles(cells, left + column * s + margin, top + row * s + margin, board.marker)
    return [(left + column * s, top + row * s, s, s) for row, column in np.argwhere(black).tolist()] + found


def _aprilgrid(board: Board, left: float, top: float) -> list[Rectangle]:
    """Tags as Kalibr prints them: numbered from the lower left, borders of 2 cells, squares at every corner."""
    import cv2

    assert board.spacing is not None  # Board refuses an AprilGrid without it
    dictionary, side, gap = marker_dictionary(FAMILY), board.square, board.spacing * board.square
    pitch, found = side + gap, []
    for row in range(board.rows):
        for column in range(board.columns):
            number = (board.rows - 1 - row) * board.columns + column
            tag = cv2.aruco.generateImageMarker(dictionary, number, DATA_CELLS + 2 * BORDERS[0], borderBits=BORDERS[0])
            x, y = left + gap + column * pitch, top + gap + row * pitch
            found += cell_rectangles(np.rot90(tag < 128, 2), x, y, side)
    places = np.argwhere(np.ones((board.rows + 1, board.columns + 1), bool)).tolist()
    return found + [(left + column * pitch, top + row * pitch, gap, gap) for row, column in places]


_DRAWINGS = {"chessboard": _chessboard, "charuco": _charuco, "aprilgrid": _aprilgrid}
