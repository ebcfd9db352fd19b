"""Calibrate a rig of two cameras from pairs of photos of a board."""

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...errors import StereoError
from ...geometry.rotations import rotation_angle_deg, rotation_from_vector
from ...options import check_options, options_of
from ...records import Camera, Finding, Rig
from ...records.checks import Record
from ..fit import turn_matrix
from .board import MIN_CORNERS, Board, Corners
from .camera import Model, calibrate_camera, enough, outlying
from .pair_poses import fit_pair_poses
from .poses import fit_poses, pose_of_rays, pose_problem
from .solve import NOISE_FLOOR, CameraCalibration, Distortion

log = logging.getLogger(__name__)
MIN_PAIRS = 3  # one gives the pose of a rig; three expose a wrong one
MIN_BASELINE = 10.0  # standard errors: real rigs have a thousand; a less certain baseline gives no depth
MISFIT = 3.0  # rms of the pairs / rms of the separate cameras, above which the pairs are not of one rig


@dataclass(frozen=True, eq=False, repr=False)
class RigCalibration(Record):
    """Calibrated rig with its uncertainty.

    Attributes
    ----------
    rig : Rig
    left, right : CameraCalibration
    rms : float
        px, over all corners of the pairs.
    pairs : list of (str, str)
        Names of the photos used.
    errors : (P, 2) float64
        px, rms of each pair in the left and the right photo.
    baseline : float
        |t|, in the unit of the board.
    sigma : float
        Standard error of the baseline, from the spread of the pairs and the errors of the focal lengths.
    findings : list of Finding
        Of the rig and both cameras.
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


def calibrate_rig(
    left: list[Corners],
    right: list[Corners],
    pairs: list[tuple[int, int]],
    board: Board,
    *,
    unit: str | None = None,
    model: Model = "auto",
    distortion: Distortion = "auto",
    drop: bool = False,
) -> RigCalibration:
    """Calibrate both cameras, and the pose X2 = R X1 + t that fits all pairs of photos taken at the same moment.

    Each camera is calibrated separately on all its photos (`calibrate_camera`); then R, t on the pairs, the cameras
    fixed (OpenCV's stereoCalibrate; `fit_pair_poses` where one is a fisheye). A chessboard with two equal ends fits in
    two orders (a square one in four); of these the one that rotates the upright cameras least against each other is
    used.

    Parameters
    ----------
    left, right : list of Corners
        Of each camera.
    pairs : list of (int, int)
        Indices into left and right.
    board : Board
        t is in the unit of `board.square`.
    unit : str, optional
        Name of that unit.
    model, distortion, drop
        As in `calibrate_camera`; `drop` rejects outlying pairs too.

    Returns
    -------
    RigCalibration

    Raises
    ------
    StereoError
        "bad_calibration" as in `calibrate_camera`, for fewer than 3 pairs, for pairs that do not fit one rig, and for
        a baseline of 0.
    """
    solve = {"model": model, "distortion": distortion, "drop": drop}
    unit, *values = check_options("calibrate_rig", options_of(calibrate_rig), {"unit": unit, **solve}).values()
    solve = dict(zip(solve, values, strict=True))
    drop = solve["drop"]
    cam1, cam2 = (_calibrate_side(side, corners, board, solve) for side, corners in (("left", left), ("right", right)))
    views = _pair_views(left, right, pairs, (cam1, cam2), board)
    enough(len(views), MIN_PAIRS, "pairs of photos")
    views, rms, R, t, errors = _fit_pose(views, cam1.camera, cam2.camera, board, drop)
    names = [(view.first.name, view.second.name) for view in views]
    _refuse_unrelated_pairs(names, rms, errors, cam1, cam2)
    baseline = float(np.linalg.norm(t))
    sigma = _baseline_sigma(views, R, t, cam1, cam2, board)
    _refuse_zero_baseline(views, baseline, sigma, cam1.camera, board, unit)
    findings = [*_camera_findings(cam1, cam2), *_pair_findings(names, errors)]
    rig = Rig(cam1.camera, cam2.camera, R, t, unit)
    return RigCalibration(rig, cam1, cam2, rms, names, errors, baseline, sigma, findings)


@dataclass(frozen=True, eq=False, repr=False)
class PairView(Record):
    """Common corners of a pair: ids (N,), rows of `Board.points`; x1, x2 (N,2) px."""

    first: Corners
    second: Corners
    ids: np.ndarray
    x1: np.ndarray
    x2: np.ndarray


def _calibrate_side(side: str, corners: list[Corners], board: Board, solve: dict[str, Any]) -> CameraCalibration:
    try:
        return calibrate_camera(corners, board, **solve)
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
        if not (drop and outlying(errors.max(1))[worst] and len(views) > MIN_PAIRS):
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
        f"the pairs are not of one rig: their common pose leaves {rms:.2f} px, the separate cameras "
        f"leave {alone:.2f} px; the worst pair is {a}, {b}.",
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
    if baseline > max(MIN_BASELINE * sigma, NOISE_FLOOR * distance / camera1.focal):  # identical photos give 0 +- 0
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
    for k in np.flatnonzero(outlying(errors.max(1))):
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

    if camera1.lens is not None or camera2.lens is not None:
        found = fit_pair_poses(
            [(board.points[view.ids], view.x1) for view in views],
            [(board.points[view.ids], view.x2) for view in views],
            (camera1, camera2),
        )
        if found is None:
            raise StereoError(
                "bad_calibration",
                "no pose of the two cameras fits the pairs.",
                "Are the photos of both cameras in the same order?",
            )
        return found

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
    """R, t of the board in the frame of a camera, X_camera = R X + t."""
    import cv2

    if camera.lens is not None:
        R, t = pose_of_rays(camera.rays_from_pixels(x), board.points[ids])
        R, t = fit_poses(pose_problem(camera, [(board.points[ids], x)]), (R[None], t[None]))
        return R[0], t[0]

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
    """Return the second photo's corners in the order that rotates the upright cameras least against each other."""
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
