"""Targets of known size that both photos show."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import StereoError
from ...geometry.camera import ideal_pixels
from ...images.reduce import to_grey
from ...records import Camera, Photo
from ..chessboard.board import BOARDS, Board
from .edges import meeting_corners, square_edges
from .marker import Marker, find_markers

BOARD_FORM = (
    "Write COLUMNSxROWS:SQUARE for a chessboard, its inner corners and the side of a square, as 9x6:0.025; "
    "COLUMNSxROWS:SQUARE:MARKER[:DICTIONARY] for a ChArUco board, its squares, as 8x5:0.03:0.022:5X5_100; "
    "COLUMNSxROWS:TAG:SPACING:aprilgrid for an AprilGrid, its tags and gap / tag, as 6x6:0.088:0.3:aprilgrid."
)
# px: by how much a side of a black square may move as a whole, since how a camera turns light into numbers and sharpens
# is not known. Of a chessboard's corner, where two dark squares meet, such errors cancel.
EDGE_BIAS = 0.1
CROSSING_SIGMA = 0.1  # px, of a chessboard's corner
DETECTED_SIGMA = 0.5  # px, of a marker's corner where its edges cannot be measured
BOTH_PHOTOS = "Keep it flat, with its white margin, unhidden and at least 20 px wide in both photos"


@dataclass(frozen=True, eq=False)
class SeenTarget:
    """A target that both photos show.

    Attributes
    ----------
    name : str
        For messages.
    points : (N, 3) float64
        Its corners in its own frame, z = 0, in the unit of the run.
    x1, x2 : (N, 2) float64, or four (M, 2)
        px of the photos: the corners, or for `edges` the points on each side of a marker.
    edges : bool
        Whether x1 and x2 are points on edges.
    sigma : float
        px, of a corner, where it is not measured from edges.
    bias : float
        px: by how much each border may be moved outwards.
    """

    name: str
    points: np.ndarray
    x1: np.ndarray | list[np.ndarray]
    x2: np.ndarray | list[np.ndarray]
    edges: bool = False
    sigma: float = CROSSING_SIGMA
    bias: float = 0.0

    def corners(self, cam1: Camera, cam2: Camera) -> tuple[np.ndarray, np.ndarray, float]:
        """Return the corners in both photos, (N, 2) ideal px each, and their standard deviation, px."""
        if not self.edges:
            x1, x2 = (ideal_pixels(x, c.K, c.dist) for x, c in ((self.x1, cam1), (self.x2, cam2)))
            return x1, x2, self.sigma
        (x1, s1), (x2, s2) = (meeting_corners(list(x), c.K, c.dist) for x, c in ((self.x1, cam1), (self.x2, cam2)))
        return x1, x2, max(s1, s2)


def parse_board(text: object) -> Board:
    """Return the board of "COLUMNSxROWS:SQUARE" (chessboard) or "COLUMNSxROWS:SQUARE:MARKER[:DICTIONARY]" (ChArUco).

    Or of "COLUMNSxROWS:TAG:SPACING:aprilgrid".

    Raises
    ------
    StereoError
        "bad_option".
    """
    shape, *rest = str(text).split(":")
    size = re.fullmatch(r"(\d{1,3})\s*[xX]\s*(\d{1,3})", shape.strip())
    try:
        if size is None or not 1 <= len(rest) <= 3:
            raise ValueError
        lengths = [float(value) for value in rest[:2]]
        if not all(1e-9 <= value <= 1e9 and math.isfinite(value) for value in lengths):
            raise ValueError
    except ValueError:
        raise StereoError("bad_option", f"board cannot be {str(text)!r}.", BOARD_FORM) from None
    columns, rows = int(size[1]), int(size[2])
    if len(rest) == 1:
        return Board("chessboard", columns, rows, lengths[0])
    if len(rest) == 3 and rest[2].strip().lower() == "aprilgrid":
        return Board("aprilgrid", columns, rows, lengths[0], spacing=lengths[1])
    board = Board("charuco", columns, rows, lengths[0], lengths[1])
    return replace(board, dictionary=rest[2]) if len(rest) == 3 else board


def find_targets(
    left: Photo, right: Photo, markers: Sequence[Marker] = (), board: Board | None = None
) -> list[SeenTarget]:
    """Find markers and a board in both photos.

    Parameters
    ----------
    left, right : Photo
    markers : sequence of Marker
    board : Board, optional

    Returns
    -------
    list of SeenTarget

    Raises
    ------
    StereoError
        "no_marker" where a photo does not show one, with the numbers that it shows.
    """
    greys = to_grey(left.pixels), to_grey(right.pixels)
    found = []
    for dictionary in dict.fromkeys(m.dictionary for m in markers):
        wanted = [m for m in markers if m.dictionary == dictionary]
        seen = [find_markers(grey, dictionary, {m.id for m in wanted}) for grey in greys]
        for marker in wanted:
            _refuse_missing(marker, seen)
            found.append(_seen_marker(marker, left, right, seen))
    if board is not None:
        found.append(_seen_board(board, greys))
    return found


def _refuse_missing(marker: Marker, seen: list[dict[int, list[np.ndarray]]]) -> None:
    """Raise StereoError where a photo does not show the marker once."""
    names = "first", "second"
    twice = [name for name, ids in zip(names, seen, strict=True) if len(ids.get(marker.id, [])) > 1]
    if twice:
        raise StereoError(
            "no_marker",
            f"the {twice[0]} photo shows the marker {marker.name} more than once, so which is which is open.",
            "Cover the copies, or print markers of different numbers.",
        )
    missing = [k for k, ids in enumerate(seen) if marker.id not in ids]
    if not missing:
        return
    where = "neither photo shows" if len(missing) == 2 else f"the {names[missing[0]]} photo does not show"
    there = [
        f"the {names[k]} photo shows {', '.join(map(str, sorted(ids)))} of {marker.dictionary}"
        for k, ids in enumerate(seen)
        if ids
    ]
    shown = "; ".join(there) if there else f"neither shows any marker of {marker.dictionary}"
    raise StereoError(
        "no_marker",
        f"{where} the marker {marker.name}: {shown}.",
        f"{BOTH_PHOTOS}, check its dictionary and number, or leave --marker out.",
        first=sorted(seen[0]),
        second=sorted(seen[1]),
    )


def _seen_marker(marker: Marker, left: Photo, right: Photo, seen: list[dict[int, list[np.ndarray]]]) -> SeenTarget:
    """The marker with points on its edges in both photos, or its detected corners where these cannot be measured."""
    corners = [ids[marker.id][0] for ids in seen]
    edges = [square_edges(p.pixels, x, marker.cells) for p, x in zip((left, right), corners, strict=True)]
    if edges[0] is None or edges[1] is None:
        return SeenTarget(marker.name, marker.corners, corners[0], corners[1], sigma=DETECTED_SIGMA, bias=EDGE_BIAS)
    return SeenTarget(marker.name, marker.corners, edges[0], edges[1], edges=True, bias=EDGE_BIAS)


def _seen_board(board: Board, greys: tuple[np.ndarray, np.ndarray]) -> SeenTarget:
    """The board with the corners that both photos show."""
    name = f"{board.kind} {board.columns}x{board.rows}"
    seen = [BOARDS[board.kind](grey, board) for grey in greys]
    missing = [which for which, one in zip(("first", "second"), seen, strict=True) if one is None]
    if seen[0] is None or seen[1] is None:
        where = "neither photo shows" if len(missing) == 2 else f"the {missing[0]} photo does not show"
        raise StereoError(
            "no_marker",
            f"{where} the {name}.",
            f"{BOTH_PHOTOS}, check its columns and rows, or leave --board out.",
        )
    (ids1, x1), (ids2, x2) = seen[0], seen[1]
    ids, at1, at2 = np.intersect1d(ids1, ids2, return_indices=True)
    if len(ids) < 4 or np.linalg.matrix_rank(board.points[ids, :2] - board.points[ids, :2].mean(0)) < 2:
        raise StereoError(
            "no_marker", f"both photos together show {len(ids)} corners of the {name}.", f"{BOTH_PHOTOS}."
        )
    return SeenTarget(name, board.points[ids], x1[at1], x2[at2])
