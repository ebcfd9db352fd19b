"""Calibrate one camera from photos of a board, with standard errors."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np

from ...errors import StereoError
from ...geometry.rotations import angle_deg, rotation_from_vector
from ...options import Range, check_options, options_of
from ...records import Camera, Finding
from ...records.checks import Record
from ..focal import FOV_RANGE
from .board import Board, Corners

log = logging.getLogger(__name__)
MIN_PHOTOS = 5  # three views determine a camera without distortion (Zhang 2000); two more expose an outlier
MAX_FOCAL_ERROR = 0.01  # standard error / focal length: EXIF's whole millimetres of 35 mm film are as accurate
MIN_TILT = 10.0  # degrees between two boards; a board bent by a hundredth of its side appears tilted by about 2
MIN_COVERAGE = 0.2  # share of the picture under boards; below it, distortion elsewhere is extrapolated
FAIR_COVERAGE = 0.5  # share of the picture under boards; below it a finding warns
OUTLIER = 3.0  # times the median error of all photos; in a good set the worst has less than twice
NOISE_FLOOR = 0.05  # px: accuracy of corners in real photos at best, a lower bound for standard errors
# Number of distortion coefficients -> flags of OpenCV's solver. k1 k2 | + p1 p2 | + k3 | + k4 k5 k6.
# "auto" tries the first four only: the fraction of the last fits noise by a pole next to a zero.
DISTORTIONS = {
    0: ("FIX_K1", "FIX_K2", "FIX_K3", "ZERO_TANGENT_DIST"),
    2: ("FIX_K3", "ZERO_TANGENT_DIST"),
    4: ("FIX_K3",),
    5: (),
    8: ("RATIONAL_MODEL",),
}
Distortion = Literal["auto", 0, 2, 4, 5, 8]  # "auto", or a key of DISTORTIONS
_INTRINSICS = ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")


@dataclass(frozen=True, eq=False, repr=False)
class CameraCalibration(Record):
    """Calibrated camera with its uncertainty.

    Attributes
    ----------
    camera : Camera
    sigma : dict
        Standard errors by parameter: fx, fy, cx, cy in px, k1 ...
    rms : float
        px, root mean square distance over all corners.
    photos : list of Corners
        The photos used.
    errors : (V,) float64
        px, rms of each photo.
    R : (V, 3, 3) float64
    t : (V, 3) float64
        X_camera = R X_board + t, t in the unit of the board.
    dropped : list of str
        Names of rejected photos.
    coverage : float
        Share of the picture that boards covered.
    tilt : float
        degrees, largest angle between two boards.
    findings : list of Finding
        Warnings for the user.
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


def calibrate_camera(
    corners: list[Corners], board: Board, *, distortion: Distortion = "auto", drop: bool = False
) -> CameraCalibration:
    """Minimise sum |x - K distort(R_i X + t_i)|^2 over all corners of all photos.

    Parameters
    ----------
    corners : list of Corners
        Of photos of one camera.
    board : Board
    distortion : "auto" or int
        Number of coefficients, a key of `DISTORTIONS`. "auto" selects the number, up to 5, with the smallest Bayesian
        information criterion N log(sum / N) + p log N for N measured numbers and p parameters.
    drop : bool
        Reject photos whose error exceeds `OUTLIER` times the median, the worst first, and solve again; else findings
        name them.

    Returns
    -------
    CameraCalibration

    Raises
    ------
    StereoError
        "bad_calibration" for fewer than 5 photos, a standard error of the focal length above 1 % (for example all
        boards parallel to the sensor), or boards over less than a fifth of the picture; "bad_option".

    References
    ----------
    Zhang, A flexible new technique for camera calibration, 2000, by OpenCV's calibrateCamera.
    Schwarz, Estimating the dimension of a model, 1978.
    """
    given = {"distortion": distortion, "drop": drop}
    distortion, drop = check_options("calibrate_camera", options_of(calibrate_camera), given).values()
    enough(len(corners), MIN_PHOTOS, "photos")
    corners, dropped = list(corners), []
    while True:
        found = _best(corners, board, distortion)
        worst = int(np.argmax(found.errors))
        if not (drop and outlying(found.errors)[worst] and len(corners) > MIN_PHOTOS):
            break
        dropped.append(corners[worst].name)
        log.info("%s left out: %.2f px", corners[worst].name, found.errors[worst])
        corners = corners[:worst] + corners[worst + 1 :]
    _refuse_undetermined(found)
    return replace(found, dropped=dropped, findings=_findings(found))


def enough(count: int, needed: int, what: str) -> None:
    """Raise StereoError("bad_calibration") where too few photos show the board; what: "photos", "pairs of photos"."""
    if count < needed:
        raise StereoError(
            "bad_calibration",
            f"the board was found in {count} {what}, {needed} are needed.",
            "Is the size of the board right (a chessboard of 10 x 7 squares is 9x6)? Take more photos "
            "with the whole board visible, sharp and evenly lit, a white border around it.",
            found=count,
            needed=needed,
        )


def _best(corners: list[Corners], board: Board, distortion: Distortion) -> CameraCalibration:
    """Return the camera with that number of coefficients, or with the number that the criterion selects."""
    if distortion != "auto":
        return _solve(corners, board, distortion)
    measurements = 2 * sum(len(c.ids) for c in corners)
    candidates = []
    for count in (0, 2, 4, 5):
        parameters = 4 + count + 6 * len(corners)
        if parameters >= measurements:
            continue
        try:
            solved = _solve(corners, board, count)
        except StereoError:
            continue
        squares = max(solved.rms**2 / 2, 1e-12)
        candidates.append((measurements * np.log(squares) + parameters * np.log(measurements), count, solved))
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


def _standard_errors(
    corners: list[Corners],
    board: Board,
    K: np.ndarray,
    dist: np.ndarray,
    r: Sequence[np.ndarray],
    t: Sequence[np.ndarray],
    distortion: int,
    noise: float,
) -> dict[str, float]:
    """sqrt(diag(noise^2 S^-1)), S = sum_i A_i^T A_i - A_i^T B_i (B_i^T B_i)^-1 B_i^T A_i, the poses eliminated.

    A_i, B_i are the derivatives of photo i's corners by the intrinsics and by its pose; noise: px, of one coordinate.
    The result is huge where S is numerically singular; OpenCV's is small there, as it inverts by a truncated SVD.
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


def outlying(errors: np.ndarray) -> np.ndarray:
    """Return the mask of errors (N,) px above `OUTLIER` times the larger of their median and `NOISE_FLOOR`."""
    return errors > OUTLIER * max(float(np.median(errors)), NOISE_FLOOR)


def _undetermined(message: str, **numbers: float) -> StereoError:
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
            f"of {100 * error:.2g} %, {100 * MAX_FOCAL_ERROR:g} % at most is allowed; the boards are tilted to each "
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
    for i in np.flatnonzero(outlying(found.errors)):
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


def coverage_map(corners: list[Corners], *, side: Annotated[int, Range(1)] = 320) -> np.ndarray:
    """Count the boards (convex hulls of corners) over each pixel of the picture reduced to the longer side `side`.

    Returns
    -------
    (h, w) int
    """
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
