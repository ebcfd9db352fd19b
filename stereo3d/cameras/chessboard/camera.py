"""Calibrate one camera from photos of a board, with standard errors."""

import logging
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np

from ...errors import StereoError
from ...geometry.rotations import angle_deg, rotation_from_vector
from ...options import Range, check_options, options_of
from ...records import Camera, Finding
from ..focal import FOV_RANGE
from .board import Board, Corners

log = logging.getLogger(__name__)
MIN_PHOTOS = 5  # three views determine a camera without distortion (Zhang); two more to tell a bad one
MAX_FOCAL_ERROR = 0.01  # standard error / focal length: EXIF's whole millimetres of 35 mm film are as good as that
MIN_TILT = 10.0  # degrees between two boards; a board that is bent by a hundredth of its side looks tilted by some 2
MIN_COVERAGE = 0.2  # share of the picture under boards; below it the distortion outside is a guess
FAIR_COVERAGE = 0.5
OUTLIER = 3.0  # times the median error of all photos; in a good set the worst has less than twice
NOISE_FLOOR = 0.05  # px: corners of real photos are not found better than that, so no standard error follows from less
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


def outlying(errors: np.ndarray) -> np.ndarray:
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
