"""Calibration boards, and the corners of a board found in photos."""

import glob
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeGuard

import numpy as np

from ...errors import StereoError
from ...images.read import SUFFIXES, read_photo
from ...images.reduce import to_grey
from ...records import Photo
from ...records.checks import Record
from ..dictionaries import dictionary_name, marker_dictionary
from ..fit import turn_matrix
from .tags import find_tag_grid, refine_tag_grid

log = logging.getLogger(__name__)
DETECT_SIDE = 1600  # px, longer side for detection: a board over a third of the picture still has squares of 50 px
REFINE_WINDOW = 0.3  # half window of corner refinement / distance to the nearest corner: no other corner in the window
MARKER_GAP = 0.8  # half window of corner refinement / distance to the nearest marker, on a ChArUco board
MIN_SIDE = 20  # px: OpenCV averages over a tenth of the shorter side, which must be 2 px
MIN_SQUARE = 3  # px: the sides of a smaller square are one edge
MIN_CORNERS = 6  # of one ChArUco photo: a pose has 6 unknowns, each corner gives 2 equations; twice as many as needed


MIN_COUNT = {"chessboard": 3, "charuco": 3, "aprilgrid": 1}  # columns or rows of a board
MAX_TAGS = 587  # of the family 36h11
MAX_SPACING = 3.0  # of an AprilGrid: gap / side of a tag; Kalibr takes up to 1


def _is_real(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float | np.integer | np.floating)


@dataclass(frozen=True, eq=False, repr=False)
class Board(Record):
    """Plane calibration board of squares.

    Attributes
    ----------
    kind : str
        Name in `BOARDS`.
    columns, rows : int
        As OpenCV counts them: inner corners of a chessboard (10 x 7 squares have 9 x 6), squares of a ChArUco board; of
        an AprilGrid its tags, as Kalibr counts them.
    square : float
        Side of a square, or of a tag of an AprilGrid (its black border included), in any unit.
    marker : float, optional
        Side of a ChArUco marker, in the same unit.
    dictionary : str
        Of the ChArUco markers, such as "5X5_100".
    legacy : bool
        Whether OpenCV before 4.6 drew the ChArUco board.
    spacing : float, optional
        Gap between the tags of an AprilGrid / side of a tag. Its tags are of the family 36h11.
    """

    kind: str
    columns: int
    rows: int
    square: float = 1.0
    marker: float | None = None
    dictionary: str = "5X5_100"
    legacy: bool = False
    spacing: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in BOARDS:
            raise StereoError("unknown_method", f"there is no board {self.kind!r}.", f"There are: {', '.join(BOARDS)}.")
        for name in ("columns", "rows"):
            count = getattr(self, name)
            least = MIN_COUNT[self.kind]
            if not isinstance(count, int | np.integer) or not least <= count <= 100:
                raise StereoError(
                    "bad_option",
                    f"a board of {count} {name} cannot be found.",
                    f"Give {least} to 100; for a chessboard, count the inner corners.",
                )
        if not (_is_real(self.square) and 0 < self.square < np.inf):
            raise StereoError("bad_option", f"a square cannot have the side {self.square}.", "Measure one square.")
        if self.kind == "charuco" and not (_is_real(self.marker) and 0 < self.marker < self.square):
            side = f"{self.marker:g}" if _is_real(self.marker) else self.marker
            found = "not given" if self.marker is None else f"{side}, of squares of {self.square:g}"
            raise StereoError(
                "bad_option",
                f"the side of the markers of a ChArUco board is {found}.",
                "Give --marker, in the unit of --square and less than it.",
            )
        if self.kind == "charuco":
            dictionary_name(self.dictionary)
        if self.kind == "aprilgrid":
            self._check_tags()

    def _check_tags(self) -> None:
        if not (_is_real(self.spacing) and 0 < self.spacing <= MAX_SPACING):
            raise StereoError(
                "bad_option",
                f"the gap between the tags of an AprilGrid is {'not given' if self.spacing is None else self.spacing}.",
                f"Give --spacing: gap / side of a tag, above 0 and at most {MAX_SPACING:g}; Kalibr's default is 0.3.",
            )
        if self.columns * self.rows > MAX_TAGS:
            raise StereoError(
                "bad_option",
                f"an AprilGrid of {self.columns} x {self.rows} tags has more than the family 36h11: {MAX_TAGS}.",
                "Count the tags of a row and of a column.",
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Columns and rows of corners."""
        if self.kind == "aprilgrid":
            return 2 * self.columns, 2 * self.rows
        inner = self.kind == "charuco"
        return self.columns - inner, self.rows - inner

    @property
    def points(self) -> np.ndarray:
        """Corners (columns rows, 3) float64, row by row, in the plane z = 0, in the unit of `square`."""
        columns, rows = self.grid
        y, x = np.mgrid[:rows, :columns]
        if self.spacing is not None and self.kind == "aprilgrid":
            x, y = (n // 2 * (1 + self.spacing) + n % 2 for n in (x, y))
        return np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], -1) * self.square


@dataclass(frozen=True, eq=False, repr=False)
class Corners(Record):
    """Corners of a board found in a photo.

    Attributes
    ----------
    name : str
        Of the photo.
    ids : (N,) int
        Rows of `Board.points`.
    x : (N, 2) float64
        px of the picture as stored, before any EXIF rotation: the frame of the sensor.
    size : (width, height)
        px, of that picture.
    orientation : int
        EXIF orientation, 1 to 8.
    """

    name: str
    ids: np.ndarray
    x: np.ndarray
    size: tuple[int, int]
    orientation: int = 1


def read_corners(paths: Iterable, board: Board) -> tuple[list[Corners], list[str]]:
    """Find the board in photos of one camera.

    Parameters
    ----------
    paths : iterable of path
    board : Board

    Returns
    -------
    found : list of Corners
        Of the photos that show the board.
    missing : list of str
        Names of the other photos.

    Raises
    ------
    StereoError
        "size_mismatch" where the stored sizes of the photos differ, and the errors of `read_photo`.
    """
    found, missing, first = [], [], None
    for path in paths:
        photo = read_photo(path)
        size = _stored_size(photo)
        first = first or (path, size)
        if size != first[1]:
            raise StereoError(
                "size_mismatch",
                f"{path} has {size[0]} x {size[1]} px, {first[0]} {first[1][0]} x {first[1][1]}.",
                "Give photos of one camera, of one size and uncropped.",
            )
        corners = find_corners(photo, board)
        log.info("%s: %s", path, "no board" if corners is None else f"{len(corners.ids)} corners")
        if corners is None:
            missing.append(str(path))
        else:
            found.append(replace(corners, name=str(path)))
    return found, missing


def find_corners(photo: Photo, board: Board) -> Corners | None:
    """Return the corners of the board in a photo, or None where it is not found.

    Corners of a photo rotated by EXIF are rotated back: calibration holds in the frame of the sensor.

    Parameters
    ----------
    photo : Photo
    board : Board

    Returns
    -------
    Corners or None
        Pixels (N, 2) in the frame of the sensor.

    Raises
    ------
    StereoError
        "bad_calibration" for a photo that EXIF mirrors.
    """
    orientation = photo.exif.get("orientation", 1)
    if orientation in (2, 4, 5, 7):
        raise StereoError(
            "bad_calibration",
            f"{photo.path or 'a photo'} is mirrored by its EXIF orientation ({orientation}).",
            "Save it without mirroring.",
            orientation=orientation,
        )
    found = BOARDS[board.kind](to_grey(photo.pixels), board)
    if found is None:
        return None
    ids, x = found
    size = _stored_size(photo)
    A = turn_matrix(orientation, size)
    x = (x - A[:2, 2]) @ A[:2, :2]  # A's left part is a rotation: its inverse is its transpose
    return Corners(str(photo.path or ""), ids, x, size, orientation)


def _stored_size(photo: Photo) -> tuple[int, int]:
    width, height = photo.size
    return (height, width) if photo.exif.get("orientation", 1) >= 5 else (width, height)


def _find_chessboard(grey: np.ndarray, board: Board) -> tuple[np.ndarray, np.ndarray] | None:
    """Return ids (N,), x (N,2) of all corners, by OpenCV's sector detector, else its older one; refined at full size.

    The order is never mirrored, and where the two ends of the board differ in colour, the first square is dark: then
    the order is the same in the photos of both cameras of a rig.

    References
    ----------
    Duda and Frese, Accurate detection and localization of checkerboard corners, 2018.
    Foerstner and Guelch, A fast operator for detection and precise location of distinct points, 1987 (cornerSubPix).
    """
    import cv2

    columns, rows = board.grid
    if min(grey.shape) < max(MIN_SQUARE * min(columns, rows), MIN_SIDE):
        return None
    scale = min(1.0, DETECT_SIDE / max(grey.shape))
    small = grey
    if scale < 1:
        small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found, x = cv2.findChessboardCornersSB(image=small, patternSize=(columns, rows))
    if not found:
        found, x = cv2.findChessboardCorners(image=small, patternSize=(columns, rows))
    if not found or x is None or x.size != 2 * columns * rows:
        return None
    ratio = np.array(small.shape[::-1]) / grey.shape[::-1]
    x = _refined(grey, (x.reshape(rows, columns, 2) + 0.5) / ratio - 0.5, REFINE_WINDOW)
    return np.arange(columns * rows), _in_order(x, grey).reshape(-1, 2)


def _refined(grey: np.ndarray, x: np.ndarray, window: float) -> np.ndarray:
    """Move corners (rows, columns, 2) px, NaN where not seen, to the crossing of the edges around them.

    window: half the side of the window / the distance to the nearest corner.
    """
    import cv2

    steps = [np.linalg.norm(np.diff(x, axis=axis), axis=2) for axis in (0, 1)]
    step = min((float(np.nanmin(s)) for s in steps if np.isfinite(s).any()), default=0.0)
    half, seen = max(2, int(window * step)), np.isfinite(x[..., 0])
    moved = cv2.cornerSubPix(
        image=grey,
        corners=x[seen].astype(np.float32).reshape(-1, 1, 2),
        winSize=(half, half),
        zeroZone=(-1, -1),
        criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-4),
    ).reshape(-1, 2)
    refined = x.copy()
    refined[seen] = np.where(np.linalg.norm(moved - x[seen], axis=1, keepdims=True) > half, x[seen], moved)
    return refined


def _in_order(x: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Return the corners (rows, columns, 2) in an unmirrored order, the first square dark where the ends differ."""
    across, down = x[:, -1].mean(0) - x[:, 0].mean(0), x[-1].mean(0) - x[0].mean(0)
    if across[0] * down[1] - across[1] * down[0] < 0:
        x = x[:, ::-1]
    rows, columns = x.shape[:2]
    if (rows + columns) % 2:
        middles = (x[:-1, :-1] + x[1:, :-1] + x[:-1, 1:] + x[1:, 1:]) / 4
        at = np.clip(np.rint(middles).astype(int), 0, np.array(grey.shape[::-1]) - 1)
        value = grey[at[..., 1], at[..., 0]].astype(float)
        first = np.indices(value.shape).sum(0) % 2 == 0  # squares of the first one's colour
        if value[first].mean() > value[~first].mean():
            x = x[::-1, ::-1]
    return x


def _find_charuco(grey: np.ndarray, board: Board) -> tuple[np.ndarray, np.ndarray] | None:
    """Return ids (N,), x (N,2) of the corners between recognised markers: at least MIN_CORNERS, not on one line.

    References
    ----------
    Garrido-Jurado et al., Automatic generation and detection of highly reliable fiducial markers, 2014; OpenCV's aruco.
    """
    import cv2

    assert board.marker is not None  # Board refuses a ChArUco board without it
    squares, dictionary = (board.columns, board.rows), marker_dictionary(board.dictionary)
    drawn = cv2.aruco.CharucoBoard(squares, board.square, board.marker, dictionary)
    drawn.setLegacyPattern(board.legacy)
    x, ids, _, _ = cv2.aruco.CharucoDetector(drawn).detectBoard(image=grey)
    if ids is None or len(ids) < MIN_CORNERS:
        return None
    ids = np.asarray(ids, dtype=np.intp).ravel()
    if np.linalg.matrix_rank(board.points[ids, :2] - board.points[ids, :2].mean(0)) < 2:
        return None
    columns, rows = board.grid
    grid = np.full((rows * columns, 2), np.nan)
    grid[ids] = np.asarray(x, dtype=float).reshape(-1, 2)
    grid = _refined(grey, grid.reshape(rows, columns, 2), MARKER_GAP * (1 - board.marker / board.square) / 2)
    return ids, grid.reshape(-1, 2)[ids]


def _find_aprilgrid(grey: np.ndarray, board: Board) -> tuple[np.ndarray, np.ndarray] | None:
    """Return ids (N,), x (N,2) of the corners of at least two neighbouring tags, refined at full size."""
    assert board.spacing is not None  # Board refuses an AprilGrid without it
    if min(grey.shape) < MIN_SIDE:
        return None
    grid = find_tag_grid(grey, board.columns, board.rows, board.spacing)
    grid = refine_tag_grid(grey, grid, board.spacing).reshape(-1, 2)
    ids = np.flatnonzero(np.isfinite(grid[:, 0]))
    return (ids, grid[ids]) if len(ids) >= MIN_CORNERS else None


# Kind of board -> detector: grey (H,W) uint8, board -> ids (N,), x (N,2) px; None where the board is not found.
BOARDS = {"chessboard": _find_chessboard, "charuco": _find_charuco, "aprilgrid": _find_aprilgrid}


def list_photos(patterns: Iterable) -> list[Path]:
    """Return the photos of names, folders and patterns such as "left*.jpg", sorted by name within each.

    A plain name is returned as it is, whether the file exists or not.

    Raises
    ------
    StereoError
        "file_missing" for a folder or a pattern without photos.
    """
    found = []
    for pattern in patterns:
        pattern = Path(pattern)
        if pattern.is_dir():
            more = sorted(p for p in pattern.iterdir() if p.suffix.lower() in SUFFIXES)
        elif not pattern.exists() and any(c in str(pattern) for c in "*?["):
            more = sorted(map(Path, glob.glob(str(pattern), recursive=True)))
        else:
            more = [pattern]
        if not more:
            raise StereoError("file_missing", f"{pattern}: no photos there.", "Check the folder or the pattern.")
        found += [path for path in more if path not in found]
    return found


def pair_by_name(left: list, right: list, *, among: tuple | None = None) -> list[tuple[int, int]]:
    """Pair the photos of two cameras: by the last number in the names where it is unique in each, else by order.

    Parameters
    ----------
    left, right : list of path
    among : (names, names), optional
        Of each camera, the photos that show the board.

    Returns
    -------
    list of (int, int)
        Indices into `left` and `right`, or into the two lists of `among`.

    Raises
    ------
    StereoError
        "bad_option" where neither the numbers nor the order give pairs.
    """
    keys = []
    for names in (left, right):
        numbers = [re.findall(r"\d+", Path(name).stem) for name in names]
        found = [int(n[-1]) if n else None for n in numbers]
        keys.append(found if None not in found and len(set(found)) == len(found) else None)
    if all(keys) and (common := set(keys[0]) & set(keys[1])):
        pairs = [(i, keys[1].index(key)) for i, key in enumerate(keys[0]) if key in common]
    elif len(left) == len(right):
        pairs = [(i, i) for i in range(len(left))]
    else:
        raise StereoError(
            "bad_option",
            f"{len(left)} left and {len(right)} right photos: which belong together?",
            "Give as many of both in the same order, or the same number in the names of each pair.",
            left=len(left),
            right=len(right),
        )
    if among is None:
        return pairs
    first, second = ({name: i for i, name in enumerate(map(str, names))} for names in among)
    return [
        (first[str(left[i])], second[str(right[j])])
        for i, j in pairs
        if str(left[i]) in first and str(right[j]) in second
    ]
