"""Cameras from photos of a chessboard or a ChArUco board: photos -> corners -> camera, two cameras -> rig."""

import glob
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from .calibration import FOV_RANGE, turn_matrix
from .errors import StereoError
from .geometry import angle_deg, rotation_angle_deg, rotation_from_vector
from .images.reduce import to_grey
from .options import Range, check_options, options_of
from .photos import read_photo
from .records import Camera, Finding, Photo, Rig

log = logging.getLogger(__name__)

DETECT_SIDE = 1600  # px: a board that fills a third of the picture still has squares of 50 px
REFINE_WINDOW = 0.3  # of the nearest corner's distance: half the window that refines a corner, free of other corners
MARKER_GAP = 0.8  # of the distance between a corner and the nearest marker: the same on a ChArUco board
MIN_CORNERS = 6  # of one ChArUco photo: a pose in space has six unknowns, and each corner gives two numbers
MIN_PHOTOS = 5  # three views determine a camera without distortion (Zhang); two more to tell a bad one
MIN_PAIRS = 3  # one gives the pose of a rig; three to tell a bad one
MAX_FOCAL_ERROR = 0.01  # standard error / focal length: EXIF's whole millimetres of 35 mm film are as good as that
MIN_TILT = 10.0  # degrees between two boards; a board that is bent by a hundredth of its side looks tilted by some 2
MIN_COVERAGE = 0.2  # share of the picture under boards; below it the distortion outside is a guess
FAIR_COVERAGE = 0.5
OUTLIER = 3.0  # times the median error of all photos; in a good set the worst has less than twice
NOISE_FLOOR = 0.05  # px: corners of real photos are not found better than that, so no standard error follows from less
LEAST_CERTAIN = 10.0  # standard errors: real rigs have a thousand; what a baseline is less sure of gives no depth
MISFIT = 3.0  # times the error of the cameras by themselves: then the pairs are not of one rig

PHOTO_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".tif",
    ".tiff",
    ".webp",
    ".bmp",
    ".heic",
    ".heif",
    ".avif",
    ".pgm",
    ".ppm",
    ".jp2",
)

# Coefficients of distortion -> what OpenCV's solver must leave at zero, or add. k1 k2 | + p1 p2 | + k3 | + k4 k5 k6.
# By evidence only the first four are tried: the fraction of the last fits noise with a pole and a zero side by side.
DISTORTIONS = {
    0: ("FIX_K1", "FIX_K2", "FIX_K3", "ZERO_TANGENT_DIST"),
    2: ("FIX_K3", "ZERO_TANGENT_DIST"),
    4: ("FIX_K3",),
    5: (),
    8: ("RATIONAL_MODEL",),
}
Distortion = Literal["auto", 0, 2, 4, 5, 8]  # "auto", or a key of DISTORTIONS
_INTRINSICS = ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")


def _is_real(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating)


@dataclass(frozen=True, eq=False)
class Board:
    """A plane of squares. kind: one of `BOARDS`.

    columns, rows: as OpenCV counts them, inner corners of a chessboard (10 x 7 squares have 9 x 6), squares of a
    ChArUco board.  square, marker: their sides, in any unit.  dictionary: of the markers, as "5X5_100".  legacy: a
    ChArUco board drawn by OpenCV before 4.6.
    """

    kind: str
    columns: int
    rows: int
    square: float = 1.0
    marker: float | None = None
    dictionary: str = "5X5_100"
    legacy: bool = False

    def __post_init__(self):
        if self.kind not in BOARDS:
            raise StereoError("unknown_method", f"there is no board {self.kind!r}.", f"There are: {', '.join(BOARDS)}.")
        for name in ("columns", "rows"):
            count = getattr(self, name)
            if not isinstance(count, int | np.integer) or not 3 <= count <= 100:
                raise StereoError(
                    "bad_option",
                    f"a board of {count} {name} cannot be found.",
                    "3 to 100 are possible; of a chessboard its inner corners count.",
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
            _dictionary(self.dictionary)

    @property
    def grid(self) -> tuple[int, int]:
        """(columns, rows) of the corners."""
        inner = self.kind == "charuco"
        return self.columns - inner, self.rows - inner

    @property
    def points(self) -> np.ndarray:
        """(columns * rows, 3) f64: the corners, row by row, in the plane z = 0, in the unit of `square`."""
        columns, rows = self.grid
        y, x = np.mgrid[:rows, :columns]
        return np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], -1) * self.square


@dataclass(frozen=True, eq=False)
class Corners:
    """Which corners of a board a photo shows, and where.

    ids: (N,) int, rows of `Board.points`.  x: (N,2) f64 px of the picture as stored, before any EXIF turn, which is as
    the sensor stands.  size: (width, height) of that picture.  orientation: the EXIF turn.
    """

    name: str
    ids: np.ndarray
    x: np.ndarray
    size: tuple[int, int]
    orientation: int = 1


@dataclass(frozen=True, eq=False)
class CameraCalibration:
    """A camera with its evidence.

    sigma: standard error by the name of the parameter (fx, fy, cx, cy px, k1 ...).  rms: px, of all corners: the root
    of the mean squared distance.  photos: those used.  errors: (V,) the rms of each.  R: (V,3,3), t: (V,3), board to
    camera.  dropped: photos left out.  coverage: share of the picture that boards covered.  tilt: the largest angle
    between two boards, degrees.  findings: what the user should know.
    """

    camera: Camera
    sigma: dict[str, float]
    rms: float
    photos: list[Corners]
    errors: np.ndarray
    R: np.ndarray
    t: np.ndarray
    dropped: list[str]
    coverage: float
    tilt: float
    findings: list[Finding]


@dataclass(frozen=True, eq=False)
class RigCalibration:
    """Two cameras and their relative pose. rms, errors (P,2) px: of the pairs, left and right. pairs: their names.

    baseline, sigma: |t| and its standard error, from the spread of the pairs and the errors of the focal lengths.
    findings: of the rig and both cameras.
    """

    rig: Rig
    left: CameraCalibration
    right: CameraCalibration
    rms: float
    pairs: list[tuple[str, str]]
    errors: np.ndarray
    baseline: float
    sigma: float
    findings: list[Finding]


# ------------------------------------------------------------------------------------------ photos to corners


def read_corners(paths: Iterable, board: Board) -> tuple[list[Corners], list[str]]:
    """The corners in every photo that shows the board, and the names of the photos in which it was not found.

    Raises StereoError("size_mismatch") where the photos are not of one size as stored, and what `read_photo` raises.
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
    """The corners of the board in a photo, or None where it is not found.

    Where the photo was turned by its EXIF, the corners are turned back: a camera is calibrated as its sensor stands.
    Raises StereoError("bad_calibration") for a photo that its EXIF mirrors.
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
    return photo.size[::-1] if photo.exif.get("orientation", 1) >= 5 else photo.size


def _find_chessboard(grey: np.ndarray, board: Board) -> tuple[np.ndarray, np.ndarray] | None:
    """ids (N,), x (N,2) of all corners: OpenCV's sector detector, else its older one; refined in the full picture.

    Rows and columns turn as in the picture (no mirrored order), and where the two ends of the board differ in colour,
    the first square is dark: then the order is the same in the photos of both cameras of a rig.
    Source: A. Duda and U. Frese 2018; W. Foerstner and E. Guelch 1987 (cornerSubPix).
    """
    import cv2

    columns, rows = board.grid
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
    """Corners (rows, columns, 2) px, NaN where not seen, moved to where the edges around them cross.

    window: half the side of what is looked at, as a share of the distance to the nearest corner.
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
    """The corners (rows, columns, 2) in an order that is not mirrored, the first square dark where the ends differ."""
    across, down = x[:, -1].mean(0) - x[:, 0].mean(0), x[-1].mean(0) - x[0].mean(0)
    if across[0] * down[1] - across[1] * down[0] < 0:
        x = x[:, ::-1]
    rows, columns = x.shape[:2]
    if (rows + columns) % 2:
        middles = (x[:-1, :-1] + x[1:, :-1] + x[:-1, 1:] + x[1:, 1:]) / 4
        at = np.clip(np.rint(middles).astype(int), 0, np.array(grey.shape[::-1]) - 1)
        value = grey[at[..., 1], at[..., 0]].astype(float)
        first = np.indices(value.shape).sum(0) % 2 == 0  # squares of the colour of the first
        if value[first].mean() > value[~first].mean():
            x = x[::-1, ::-1]
    return x


def _find_charuco(grey: np.ndarray, board: Board) -> tuple[np.ndarray, np.ndarray] | None:
    """ids (N,), x (N,2) of the corners between recognised markers, MIN_CORNERS or more and not all in one line.

    Source: S. Garrido-Jurado et al. 2014; OpenCV's aruco.
    """
    import cv2

    squares, dictionary = (board.columns, board.rows), _dictionary(board.dictionary)
    drawn = cv2.aruco.CharucoBoard(squares, board.square, board.marker, dictionary)
    drawn.setLegacyPattern(board.legacy)
    x, ids, _, _ = cv2.aruco.CharucoDetector(drawn).detectBoard(image=grey)
    if ids is None or len(ids) < MIN_CORNERS:
        return None
    ids = np.asarray(ids).ravel()
    if np.linalg.matrix_rank(board.points[ids, :2] - board.points[ids, :2].mean(0)) < 2:
        return None
    columns, rows = board.grid
    grid = np.full((rows * columns, 2), np.nan)
    grid[ids] = np.asarray(x, dtype=float).reshape(-1, 2)
    grid = _refined(grey, grid.reshape(rows, columns, 2), MARKER_GAP * (1 - board.marker / board.square) / 2)
    return ids, grid.reshape(-1, 2)[ids]


def _dictionary(name: str):
    import cv2

    known = [key.removeprefix("DICT_") for key in dir(cv2.aruco) if key.startswith("DICT_")]
    if name.upper() not in (key.upper() for key in known):
        raise StereoError("bad_option", f"there is no dictionary {name!r}.", f"There are: {', '.join(known)}.")
    key = next(key for key in known if key.upper() == name.upper())
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, "DICT_" + key))


# kind -> detector: grey picture (H,W) u8, board -> ids (N,), x (N,2) px, or None
BOARDS = {"chessboard": _find_chessboard, "charuco": _find_charuco}


# ------------------------------------------------------------------------------------------ one camera


def calibrate_camera(
    corners: list[Corners], board: Board, *, distortion: Distortion = "auto", drop: bool = False
) -> CameraCalibration:
    """The camera of the photos: sum |x - K distort(R_i X + t_i)|^2 over all corners and photos is least.

    distortion: how many coefficients, a key of `DISTORTIONS`; "auto" takes the number, up to 5, with the least Bayesian
    information criterion N log(sum / N) + p log N, N numbers measured, p parameters. drop: photos whose error is more
    than three times the median are left out, the worst first, and the camera is solved for anew; else they are named.

    Raises StereoError("bad_calibration") for fewer than 5 photos, a focal length with a standard error above 1 % (as of
    boards all parallel to the sensor), boards over less than a fifth of the picture; ValueError for other distortions.
    Source: Z. Zhang 2000, by OpenCV's calibrateCamera; G. Schwarz 1978 for the criterion.
    """
    given = {"distortion": distortion, "drop": drop}
    distortion, drop = check_options("calibrate_camera", options_of(calibrate_camera), given).values()
    _enough(len(corners), MIN_PHOTOS, "photos")
    corners, dropped = list(corners), []
    while True:
        found = _best(corners, board, distortion)
        worst = int(np.argmax(found.errors))
        if not (drop and _outlying(found.errors)[worst] and len(corners) > MIN_PHOTOS):
            break
        dropped.append(corners[worst].name)
        log.info("%s left out: %.2f px", corners[worst].name, found.errors[worst])
        corners = corners[:worst] + corners[worst + 1 :]
    _refuse_undetermined(found)
    return replace(found, dropped=dropped, findings=_findings(found))


def _enough(count: int, needed: int, what: str) -> None:
    if count < needed:
        raise StereoError(
            "bad_calibration",
            f"the board was found in {count} {what}, {needed} are needed.",
            "Is the size of the board right (a chessboard of 10 x 7 squares is 9x6)? Take more photos "
            "with the whole board in sight, sharp and evenly lit, a white border around it.",
            found=count,
            needed=needed,
        )


def _best(corners: list[Corners], board: Board, distortion: int | str) -> CameraCalibration:
    if distortion != "auto":
        return _solve(corners, board, distortion)
    measured = 2 * sum(len(c.ids) for c in corners)
    candidates = []
    for count in (0, 2, 4, 5):
        parameters = 4 + count + 6 * len(corners)
        if parameters >= measured:
            continue
        try:
            solved = _solve(corners, board, count)
        except StereoError:
            continue
        squares = max(solved.rms**2 / 2, 1e-12)
        candidates.append((measured * np.log(squares) + parameters * np.log(measured), count, solved))
        log.info("%d coefficients of distortion: %.4f px, criterion %.1f", count, solved.rms, candidates[-1][0])
    if not candidates:
        return _solve(corners, board, 0)
    return min(candidates, key=lambda c: c[:2])[2]


def _solve(corners: list[Corners], board: Board, distortion: int) -> CameraCalibration:
    import cv2

    size = corners[0].size
    flags = sum(getattr(cv2, "CALIB_" + name) for name in DISTORTIONS[distortion])
    try:
        rms, K, dist, r, t, _, _, errors = cv2.calibrateCameraExtended(
            objectPoints=[board.points[c.ids].astype(np.float32) for c in corners],
            imagePoints=[c.x.astype(np.float32) for c in corners],
            imageSize=size,
            cameraMatrix=np.eye(3),
            distCoeffs=np.zeros(max(distortion, 5)),
            flags=flags,
            criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12),
        )
    except cv2.error as error:
        raise _undetermined("no camera fits the boards") from error
    if not (np.isfinite(rms) and np.all(np.isfinite(K)) and np.all(np.isfinite(dist))):
        raise _undetermined("no camera fits the boards")
    angle = 2 * np.degrees(np.arctan2(size[0] / 2, K[0, 0]))
    if not FOV_RANGE[0] <= angle <= FOV_RANGE[1]:
        raise _undetermined(f"the best fit is no camera: it would have a field of view of {angle:.2g} degrees")
    R = np.array([rotation_from_vector(v.ravel()) for v in r])
    noise = max(float(rms) / np.sqrt(2), NOISE_FLOOR)
    sigma = _standard_errors(corners, board, K, dist, r, t, distortion, noise)
    detail = f"{board.kind}, {len(corners)} photos, {rms:.2f} px"
    camera = Camera(K, size, dist.ravel()[:distortion].copy(), "calibration", detail)
    covered = float(np.mean(coverage_map(corners) > 0))
    tilt = max((angle_deg(a, b) for i, a in enumerate(R[:, :, 2]) for b in R[:i, :, 2]), default=0.0)
    return CameraCalibration(
        camera,
        sigma,
        float(rms),
        corners,
        errors.ravel().astype(float),
        R,
        np.array([v.ravel() for v in t]),
        [],
        covered,
        tilt,
        [],
    )


def _standard_errors(corners, board: Board, K, dist, r, t, distortion: int, noise: float) -> dict[str, float]:
    """sqrt(diag(noise^2 S^-1)), S = sum_i A_i^T A_i - A_i^T B_i (B_i^T B_i)^-1 B_i^T A_i, the poses eliminated.

    A_i, B_i: derivatives of photo i's corners by the intrinsics and by its pose.  noise: px, of one coordinate.
    Huge where S is singular to rounding; OpenCV's own are small there, as it inverts by a truncated SVD.
    """
    import cv2

    known = 4 + distortion
    S = np.zeros((known, known))
    for c, ri, ti in zip(corners, r, t, strict=True):
        _, J = cv2.projectPoints(objectPoints=board.points[c.ids], rvec=ri, tvec=ti, cameraMatrix=K, distCoeffs=dist)
        A, B = J[:, 6 : 6 + known], J[:, :6]
        S += A.T @ A - (A.T @ B) @ np.linalg.pinv(B.T @ B, hermitian=True) @ (B.T @ A)
    scale = np.sqrt(np.maximum(np.diag(S), 1e-300))
    values, vectors = np.linalg.eigh(S / np.outer(scale, scale))
    variance = (vectors**2 / np.maximum(values, 1e-16)).sum(1)
    return dict(zip(_INTRINSICS, noise * np.sqrt(variance) / scale, strict=False))


def _outlying(errors: np.ndarray) -> np.ndarray:
    return errors > OUTLIER * max(float(np.median(errors)), NOISE_FLOOR)


def _undetermined(message: str, **numbers) -> StereoError:
    return StereoError(
        "bad_calibration",
        message.rstrip(".") + ".",
        "Take 10 to 20 photos with the board tilted by 20 "
        "to 45 degrees to every side, near enough to fill the picture, and some in its corners.",
        **numbers,
    )


def _refuse_undetermined(found: CameraCalibration) -> None:
    error = max(found.sigma["fx"] / found.camera.K[0, 0], found.sigma["fy"] / found.camera.K[1, 1])
    if not error <= MAX_FOCAL_ERROR:
        raise _undetermined(
            f"the photos do not determine the camera: focal length {found.camera.focal:.0f} px with a standard error "
            f"of {100 * error:.2g} %, {100 * MAX_FOCAL_ERROR:g} % is the most; the boards are tilted against each "
            f"other by {found.tilt:.1f} degrees at most",
            focal=found.camera.focal,
            error=error,
            tilt=found.tilt,
        )
    if found.tilt < MIN_TILT:
        raise _undetermined(
            f"the photos do not determine the camera: the boards are tilted against each other by "
            f"{found.tilt:.1f} degrees at most, {MIN_TILT:g} are needed",
            tilt=found.tilt,
        )
    if found.coverage < MIN_COVERAGE:
        raise _undetermined(
            f"the boards cover {100 * found.coverage:.0f} % of the picture, {100 * MIN_COVERAGE:.0f} % "
            "are needed to know the camera there",
            coverage=found.coverage,
        )


def _findings(found: CameraCalibration) -> list[Finding]:
    findings, median = [], float(np.median(found.errors))
    for i in np.flatnonzero(_outlying(found.errors)):
        name, error = found.photos[i].name, float(found.errors[i])
        findings.append(
            Finding(
                "outlier_photo",
                "warning",
                f"{name} is off by {error:.2f} px, where the others are off by {median:.2f}.",
                {"photo": name, "error": error, "median": median},
                "Leave it out (--drop): is it blurred, or the board bent or half hidden?",
            )
        )
    if found.coverage < FAIR_COVERAGE:
        findings.append(
            Finding(
                "low_coverage",
                "warning",
                f"the boards cover {100 * found.coverage:.0f} % of the picture; outside, the distortion is a guess.",
                {"coverage": found.coverage},
                "Take more photos with the board near the borders and corners.",
            )
        )
    return findings


# ------------------------------------------------------------------------------------------ coverage


def coverage_map(corners: list[Corners], *, side: Annotated[int, Range(1)] = 320) -> np.ndarray:
    """(h,w) int: how many boards (the hull of their corners) cover each part of the picture, its longer side `side`."""
    import cv2

    width, height = corners[0].size
    scale = side / max(width, height)
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    count = np.zeros(shape, int)
    for c in corners:
        mask = np.zeros(shape, np.uint8)
        hull = cv2.convexHull(points=((c.x + 0.5) * scale - 0.5).astype(np.float32))
        cv2.fillConvexPoly(img=mask, points=np.rint(hull).astype(np.int32), color=1)
        count += mask
    return count


def coverage_picture(found: CameraCalibration | RigCalibration, *, side: int = 960) -> np.ndarray:
    """(h,w,3) u8 RGB: light where boards covered the picture, lighter where more did, dark red where none; corners as
    dots, those of photos that stand out in red. Of a rig both cameras, side by side."""
    import cv2

    if isinstance(found, RigCalibration):
        pictures = [coverage_picture(camera, side=side) for camera in (found.left, found.right)]
        height = max(len(picture) for picture in pictures)
        return np.hstack([np.pad(p, ((0, height - len(p)), (4 * i, 0), (0, 0))) for i, p in enumerate(pictures)])
    count = coverage_map(found.photos, side=side)
    share = np.sqrt(count / max(count.max(), 1))[..., None]
    picture = np.where(count[..., None] == 0, [70, 20, 20], (1 - share) * [30, 50, 90] + share * [205, 225, 245])
    picture = np.ascontiguousarray(np.rint(picture).astype(np.uint8))
    scale, bad = side / max(found.camera.size), _outlying(found.errors)
    for c, out in zip(found.photos, bad, strict=True):
        for x, y in np.rint(16 * ((c.x + 0.5) * scale - 0.5)).astype(int):
            colour = (230, 40, 30) if out else (20, 20, 20)
            cv2.circle(
                img=picture,
                center=(int(x), int(y)),
                radius=16 * max(2, side // 320),
                color=colour,
                thickness=-1,
                lineType=cv2.LINE_AA,
                shift=4,
            )
    return picture


# ------------------------------------------------------------------------------------------ two cameras


def calibrate_rig(
    left: list[Corners],
    right: list[Corners],
    pairs: list[tuple[int, int]],
    board: Board,
    *,
    unit: str | None = None,
    distortion: Distortion = "auto",
    drop: bool = False,
) -> RigCalibration:
    """Both cameras, and the one pose X2 = R X1 + t that fits all pairs of photos taken at the same moment.

    Each camera is calibrated by itself on all its photos (`calibrate_camera`), then R, t on the pairs with the cameras
    held fixed. pairs: (index into left, index into right).  t: in the unit of board.square, named by `unit`.

    A chessboard whose two ends look the same fits two ways (a square one four): the two cameras are taken to be held
    the same way up, to within a quarter turn.

    Raises StereoError("bad_calibration") as `calibrate_camera`, for fewer than 3 pairs, for pairs of no one rig, for
    cameras that stand in one place.
    Source: OpenCV's stereoCalibrate.
    """
    given = {"unit": unit, "distortion": distortion, "drop": drop}
    unit, distortion, drop = check_options("calibrate_rig", options_of(calibrate_rig), given).values()
    cam1, cam2 = (
        _calibrate_side(side, corners, board, distortion, drop) for side, corners in (("left", left), ("right", right))
    )
    views = _pair_views(left, right, pairs, (cam1, cam2), board)
    _enough(len(views), MIN_PAIRS, "pairs of photos")
    views, rms, R, t, errors = _fit_pose(views, cam1.camera, cam2.camera, board, drop)
    names = [(view.first.name, view.second.name) for view in views]
    _refuse_unrelated_pairs(names, rms, errors, cam1, cam2)
    baseline = float(np.linalg.norm(t))
    sigma = _baseline_sigma(views, R, t, cam1, cam2, board)
    _refuse_zero_baseline(views, baseline, sigma, cam1.camera, board, unit)
    findings = [*_camera_findings(cam1, cam2), *_pair_findings(names, errors)]
    rig = Rig(cam1.camera, cam2.camera, R, t, unit)
    return RigCalibration(rig, cam1, cam2, rms, names, errors, baseline, sigma, findings)


@dataclass(frozen=True, eq=False)
class PairView:
    """Corners that both photos of a pair show: ids (N,), rows of `Board.points`; x1, x2 (N,2) px."""

    first: Corners
    second: Corners
    ids: np.ndarray
    x1: np.ndarray
    x2: np.ndarray


def _calibrate_side(
    side: str, corners: list[Corners], board: Board, distortion: Distortion, drop: bool
) -> CameraCalibration:
    try:
        return calibrate_camera(corners, board, distortion=distortion, drop=drop)
    except StereoError as error:
        raise StereoError(error.code, f"{side} camera: {error.message}", error.advice, **error.numbers) from error


def _pair_views(
    left: list[Corners],
    right: list[Corners],
    pairs: list[tuple[int, int]],
    cams: tuple[CameraCalibration, CameraCalibration],
    board: Board,
) -> list[PairView]:
    """Return the pairs whose photos both cameras were calibrated on and that share `MIN_CORNERS` corners."""
    views = []
    for i, j in pairs:
        if left[i] in cams[0].photos and right[j] in cams[1].photos:
            second = _same_way(left[i], right[j], *cams, board)
            common, at1, at2 = np.intersect1d(left[i].ids, second.ids, return_indices=True)
            if len(common) >= MIN_CORNERS:
                views.append(PairView(left[i], second, common, left[i].x[at1], second.x[at2]))
    return views


def _fit_pose(
    views: list[PairView], camera1: Camera, camera2: Camera, board: Board, drop: bool
) -> tuple[list[PairView], float, np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs kept, rms px, R (3,3), t (3,), errors (P,2) px.

    drop: leave outlying pairs out, the worst first.
    """
    views = list(views)
    while True:
        rms, R, t, errors = _solve_pose(views, camera1, camera2, board)
        worst = int(np.argmax(errors.max(1)))
        if not (drop and _outlying(errors.max(1))[worst] and len(views) > MIN_PAIRS):
            return views, rms, R, t, errors
        log.info("%s, %s left out: %.2f px", views[worst].first.name, views[worst].second.name, errors[worst].max())
        del views[worst]


def _refuse_unrelated_pairs(
    names: list[tuple[str, str]], rms: float, errors: np.ndarray, cam1: CameraCalibration, cam2: CameraCalibration
) -> None:
    alone = max(np.hypot(cam1.rms, cam2.rms) / np.sqrt(2), NOISE_FLOOR)
    if rms <= MISFIT * alone:
        return
    a, b = names[int(np.argmax(errors.max(1)))]
    raise StereoError(
        "bad_calibration",
        f"the pairs are not of one rig: together they are off by {rms:.2f} px, the cameras by "
        f"themselves by {alone:.2f} px; the worst pair is {a}, {b}.",
        "Were both photos of each pair taken at the "
        "same moment, with the cameras fixed to each other, and are they in the same order? --drop leaves out "
        "single wrong pairs.",
        rms=rms,
        alone=alone,
    )


def _baseline_sigma(
    views: list[PairView],
    R: np.ndarray,
    t: np.ndarray,
    cam1: CameraCalibration,
    cam2: CameraCalibration,
    board: Board,
) -> float:
    """Return the standard error of |t|, from the spread of the pairs and the errors of the focal lengths."""
    each = np.array([_baseline(view, cam1.camera, cam2.camera, R, board) for view in views])
    spread = each.std(ddof=1) / np.sqrt(len(each))
    relative = max(cam.sigma["fx"] / cam.camera.K[0, 0] for cam in (cam1, cam2))  # distance scales with focal length
    return float(np.hypot(spread, relative * np.linalg.norm(t)))


def _refuse_zero_baseline(
    views: list[PairView], baseline: float, sigma: float, camera1: Camera, board: Board, unit: str | None
) -> None:
    distance = float(np.median([np.linalg.norm(_pose(view.x1, view.ids, camera1, board)[1]) for view in views]))
    if baseline > max(LEAST_CERTAIN * sigma, NOISE_FLOOR * distance / camera1.focal):  # identical photos give 0 +- 0
        return
    raise StereoError(
        "bad_calibration",
        f"both cameras stand in one place: the baseline is {baseline:.2g} +- {sigma:.2g}{' ' + unit if unit else ''}.",
        "Are the photos of the left and the right camera the same ones?",
        baseline=baseline,
        sigma=sigma,
    )


def _camera_findings(cam1: CameraCalibration, cam2: CameraCalibration) -> list[Finding]:
    return [
        replace(finding, message=f"{side} camera: {finding.message}")
        for side, cam in (("left", cam1), ("right", cam2))
        for finding in cam.findings
    ]


def _pair_findings(names: list[tuple[str, str]], errors: np.ndarray) -> list[Finding]:
    findings, median = [], float(np.median(errors.max(1)))
    for k in np.flatnonzero(_outlying(errors.max(1))):
        error = float(errors[k].max())
        findings.append(
            Finding(
                "outlier_pair",
                "warning",
                f"{names[k][0]} and {names[k][1]} are off by {error:.2f} px "
                f"together, where the other pairs are off by {median:.2f}.",
                {"pair": names[k], "error": error, "median": median},
                "Leave them out (--drop).",
            )
        )
    return findings


def _solve_pose(
    views: list[PairView], camera1: Camera, camera2: Camera, board: Board
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Return rms px, R (3,3), t (3,), errors (P,2) px of the pairs, the cameras fixed."""
    import cv2

    rational = max(len(camera1.dist), len(camera2.dist)) > 5  # else OpenCV takes k4 to k6 for zero
    rms, _, _, _, _, R, t, _, _, _, _, errors = cv2.stereoCalibrateExtended(
        objectPoints=[board.points[view.ids].astype(np.float32) for view in views],
        imagePoints1=[view.x1.astype(np.float32) for view in views],
        imagePoints2=[view.x2.astype(np.float32) for view in views],
        cameraMatrix1=camera1.K.copy(),
        distCoeffs1=_padded(camera1),
        cameraMatrix2=camera2.K.copy(),
        distCoeffs2=_padded(camera2),
        imageSize=camera1.size,
        R=np.eye(3),
        T=np.zeros((3, 1)),
        flags=cv2.CALIB_FIX_INTRINSIC | (cv2.CALIB_RATIONAL_MODEL if rational else 0),
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-9),
    )
    return float(rms), np.asarray(R), np.asarray(t).ravel(), np.asarray(errors, float)


def _padded(camera: Camera) -> np.ndarray:
    return np.pad(camera.dist, (0, max(0, 5 - len(camera.dist))))


def _pose(x: np.ndarray, ids: np.ndarray, camera: Camera, board: Board) -> tuple[np.ndarray, np.ndarray]:
    """R, t of the board before a camera: X_camera = R X + t."""
    import cv2

    _, r, t = cv2.solvePnP(
        objectPoints=board.points[ids],
        imagePoints=x,
        cameraMatrix=camera.K,
        distCoeffs=_padded(camera),
        flags=cv2.SOLVEPNP_ITERATIVE,
    )
    return rotation_from_vector(np.ravel(r)), np.ravel(t)


def _baseline(view: PairView, camera1: Camera, camera2: Camera, R: np.ndarray, board: Board) -> float:
    """|t2 - R t1| of one pair alone, with the R of all pairs."""
    (_, t1), (_, t2) = _pose(view.x1, view.ids, camera1, board), _pose(view.x2, view.ids, camera2, board)
    return float(np.linalg.norm(t2 - R @ t1))


def _same_way(
    first: Corners, second: Corners, cam1: CameraCalibration, cam2: CameraCalibration, board: Board
) -> Corners:
    """The second photo's corners, counted from the board's end that makes the upright cameras turn least."""
    columns, rows = board.grid
    if board.kind != "chessboard" or (columns + rows) % 2:
        return second
    Q1, Q2 = (turn_matrix(c.orientation, c.size) * [[1, 1, 0], [1, 1, 0], [0, 0, 1]] for c in (first, second))
    R1, R2 = cam1.R[cam1.photos.index(first)], cam2.R[cam2.photos.index(second)]
    middle = board.points.mean(0)
    ways = []
    for quarter in range(0, 4, 1 if columns == rows else 2):
        c, s = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarter]
        M = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        turned = np.rint(((board.points - middle) @ M.T + middle) / board.square).astype(int)
        ids = turned[second.ids, 1] * columns + turned[second.ids, 0]
        ways.append((rotation_angle_deg(Q2 @ R2 @ M.T @ R1.T @ Q1.T), quarter, ids))
    return replace(second, ids=min(ways, key=lambda way: way[:2])[2])


def _measured_camera(found: CameraCalibration) -> dict:
    camera = found.camera
    return {
        "size": camera.size,
        "K": camera.K,
        "dist": camera.dist,
        "standard_errors": found.sigma,
        "rms_px": found.rms,
        "photos": {c.name: float(e) for c, e in zip(found.photos, found.errors, strict=True)},
        "dropped": found.dropped,
        "coverage": found.coverage,
        "tilt_deg": found.tilt,
    }


def measured(found: CameraCalibration | RigCalibration) -> dict:
    """Everything measured, by name; errors in px by photo or pair."""
    findings = [
        {"code": f.code, "severity": f.severity, "message": f.message, "numbers": f.numbers, "advice": f.advice}
        for f in found.findings
    ]
    if isinstance(found, CameraCalibration):
        return {**_measured_camera(found), "findings": findings}
    pairs = [{"photos": names, "errors_px": e} for names, e in zip(found.pairs, found.errors, strict=True)]
    return {
        "left": _measured_camera(found.left),
        "right": _measured_camera(found.right),
        "R": found.rig.R,
        "t": found.rig.t,
        "unit": found.rig.unit,
        "baseline": found.baseline,
        "baseline_standard_error": found.sigma,
        "rms_px": found.rms,
        "pairs": pairs,
        "findings": findings,
    }


# ------------------------------------------------------------------------------------------ which photos


def list_photos(patterns: Iterable) -> list[Path]:
    """The photos that names, folders and patterns (as "left*.jpg") mean; what one pattern means sorted by name.

    Raises StereoError("file_missing") for a folder or a pattern without photos; a plain name is left to be read.
    """
    found = []
    for pattern in patterns:
        pattern = Path(pattern)
        if pattern.is_dir():
            more = sorted(p for p in pattern.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES)
        elif not pattern.exists() and any(c in str(pattern) for c in "*?["):
            more = sorted(map(Path, glob.glob(str(pattern), recursive=True)))
        else:
            more = [pattern]
        if not more:
            raise StereoError("file_missing", f"{pattern}: no photos there.", "Check the folder or the pattern.")
        found += [path for path in more if path not in found]
    return found


def pair_by_name(left: list, right: list, *, among: tuple | None = None) -> list[tuple[int, int]]:
    """Pairs (i, j) of photos taken together: of the same last number in the name where every name has one of its own,
    else one after the other.

    among: of each camera the names of those that show the board; then i and j count in these.
    Raises StereoError("bad_option") where neither way says which belong together.
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


# ------------------------------------------------------------------------------------------ in words


def describe(found: CameraCalibration | RigCalibration, missing: Sequence[str] = ()) -> list[str]:
    """What was found, in lines to print. missing: photos in which no board was found."""
    lines = [f"warning: no board was found in {name}." for name in missing]
    lines += [f"warning: {f.message} {f.advice}" for f in found.findings if f.severity == "warning"]
    if isinstance(found, CameraCalibration):
        return [*lines, *_describe_camera(found)]
    for which, camera in (("left ", found.left), ("right ", found.right)):
        lines += _describe_camera(camera, which)
    lines += [
        f"  {Path(a).name}, {Path(b).name}: {e[0]:.2f}, {e[1]:.2f} px"
        for (a, b), e in zip(found.pairs, found.errors, strict=True)
    ]
    turn = rotation_angle_deg(found.rig.R)
    return [
        *lines,
        f"rig: baseline {found.baseline:.5g} +- {found.sigma:.2g} {found.rig.unit}, turned by {turn:.2f} "
        f"degrees, {len(found.pairs)} pairs, {found.rms:.2f} px",
    ]


def _describe_camera(found: CameraCalibration, which: str = "") -> list[str]:
    K, s = found.camera.K, found.sigma
    value = {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
    words = ", ".join(f"{name} {value[name]:.2f} +- {s[name]:.2f}" for name in value)
    return [
        *(f"  {Path(c.name).name}: {e:.2f} px" for c, e in zip(found.photos, found.errors, strict=True)),
        *(f"  {Path(name).name}: left out" for name in found.dropped),
        f"{which}camera: {words} px, {len(found.camera.dist)} coefficients of distortion, {len(found.photos)} "
        f"photos, {found.rms:.2f} px, {100 * found.coverage:.0f} % of the picture covered",
    ]
