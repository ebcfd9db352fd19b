"""Least squares of one camera of each model over the corners of a board, with standard errors."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import numpy as np

from ...errors import StereoError
from ...geometry.rotations import angle_deg, rotation_from_vector
from ...options import Range
from ...records import Camera, Finding
from ...records.checks import Record
from ..focal import FOV_RANGE
from .board import Board, Corners
from .fisheye import INTRINSICS as FISHEYE_NUMBERS
from .fisheye import fit_fisheye
from .selection import ModelError

NOISE_FLOOR = 0.05  # px: accuracy of corners in real photos at best, a lower bound for standard errors
MIN_SINGULAR = 1e-8  # of a Jacobian of unit columns: below it lies what is not determined
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
    models : list of ModelError
        Errors of the models among which this one was chosen; empty where the model was given.
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
    models: list[ModelError] = field(default_factory=list)

    @property
    def model(self) -> str:
        """Name in `MODELS`."""
        if self.camera.lens is not None:
            return self.camera.lens.model
        return "rational" if len(self.camera.dist) == 8 else "brown"


def solve_pinhole(
    corners: list[Corners], board: Board, distortion: int, start: Camera | None = None
) -> CameraCalibration:
    """Return the pinhole camera with that number of distortion coefficients, by OpenCV's calibrateCamera.

    start: a camera to begin with; of wide lenses OpenCV's own start may end in another minimum.

    Raises
    ------
    StereoError
        "bad_calibration" where no camera fits.
    """
    import cv2

    size = corners[0].size
    flags = sum(getattr(cv2, "CALIB_" + name) for name in DISTORTIONS[distortion])
    K, dist = np.eye(3), np.zeros(max(distortion, 5))
    if start is not None:
        flags |= cv2.CALIB_USE_INTRINSIC_GUESS
        K, dist = start.K.copy(), np.pad(start.dist, (0, len(dist) - len(start.dist)))
    try:
        rms, K, dist, r, t, _, _, errors = cv2.calibrateCameraExtended(
            objectPoints=[board.points[c.ids].astype(np.float32) for c in corners],
            imagePoints=[c.x.astype(np.float32) for c in corners],
            imageSize=size,
            cameraMatrix=K,
            distCoeffs=dist,
            flags=flags,
            criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12),
        )
    except cv2.error as error:
        raise undetermined("no camera fits the boards") from error
    if not (np.isfinite(rms) and np.all(np.isfinite(K)) and np.all(np.isfinite(dist))):
        raise undetermined("no camera fits the boards")
    angle = 2 * np.degrees(np.arctan2(size[0] / 2, K[0, 0]))
    if not FOV_RANGE[0] <= angle <= FOV_RANGE[1]:
        raise undetermined(f"the best fit is no camera: it would have a field of view of {angle:.2g} degrees")
    R = np.array([rotation_from_vector(v.ravel()) for v in r])
    noise = max(float(rms) / np.sqrt(2), NOISE_FLOOR)
    sigma = _pinhole_errors(corners, board, K, dist, r, t, distortion, noise)
    detail = f"{board.kind}, {len(corners)} photos, {rms:.2f} px"
    camera = Camera(K, size, dist.ravel()[:distortion].copy(), "calibration", detail)
    poses = R, np.array([v.ravel() for v in t])
    return _calibration(camera, sigma, float(rms), corners, errors.ravel().astype(float), poses)


def solve_fisheye(corners: list[Corners], board: Board, start: Camera | None = None) -> CameraCalibration:
    """Return the fisheye of Kannala and Brandt (`fit_fisheye`); start: a fisheye to begin with.

    Raises
    ------
    StereoError
        "bad_calibration" where none fits.
    """
    fit = fit_fisheye(corners, board, start)
    if fit is None:
        raise undetermined("no fisheye fits the boards")
    sigma = _standard_errors(fit.jacobian, max(fit.rms / np.sqrt(2), NOISE_FLOOR), FISHEYE_NUMBERS)
    detail = f"{board.kind}, {len(corners)} photos, {fit.rms:.2f} px"
    camera = replace(fit.camera, source_detail=detail)
    return _calibration(camera, sigma, fit.rms, corners, fit.errors, (fit.R, fit.t))


def _calibration(
    camera: Camera,
    sigma: dict[str, float],
    rms: float,
    corners: list[Corners],
    errors: np.ndarray,
    poses: tuple[np.ndarray, np.ndarray],
) -> CameraCalibration:
    R, t = poses
    covered = float(np.mean(coverage_map(corners) > 0))
    tilt = max((angle_deg(a, b) for i, a in enumerate(R[:, :, 2]) for b in R[:i, :, 2]), default=0.0)
    return CameraCalibration(camera, sigma, rms, corners, errors, R, t, [], covered, tilt, [])


def _pinhole_errors(
    corners: list[Corners],
    board: Board,
    K: np.ndarray,
    dist: np.ndarray,
    r: Sequence[np.ndarray],
    t: Sequence[np.ndarray],
    distortion: int,
    noise: float,
) -> dict[str, float]:
    """Standard errors (`_standard_errors`) of K and the first `distortion` coefficients; noise: px, of a coordinate."""
    import cv2

    known, rows = 4 + distortion, []
    for c, ri, ti in zip(corners, r, t, strict=True):
        _, J = cv2.projectPoints(objectPoints=board.points[c.ids], rvec=ri, tvec=ti, cameraMatrix=K, distCoeffs=dist)
        A, B = J[:, 6 : 6 + known], J[:, :6]
        rows.append(A - B @ (np.linalg.pinv(B.T @ B, hermitian=True) @ (B.T @ A)))
    return _standard_errors(np.concatenate(rows), noise, _INTRINSICS)


def _standard_errors(J: np.ndarray, noise: float, names: Sequence[str]) -> dict[str, float]:
    """sqrt(diag(noise^2 (J^T J)^-1)) by name.

    J (N, k) are the derivatives of all corners by the intrinsics, less what each photo's pose can undo. The result is
    huge where J is numerically singular; OpenCV's is small there, as it inverts by a truncated SVD.
    """
    scale = np.maximum(np.linalg.norm(J, axis=0), 1e-150)
    if not np.isfinite(scale).all():
        return dict.fromkeys(names[: J.shape[1]], np.inf)
    _, values, vectors = np.linalg.svd(J / scale, full_matrices=False)
    variance = ((vectors / np.maximum(values, MIN_SINGULAR)[:, None]) ** 2).sum(0)
    return dict(zip(names, noise * np.sqrt(variance) / scale, strict=False))


def undetermined(message: str, **numbers: float) -> StereoError:
    """Return the error of photos that do not determine a camera, with how to take better ones."""
    return StereoError(
        "bad_calibration",
        message.rstrip(".") + ".",
        "Take 10 to 20 photos with the board tilted by 20 "
        "to 45 degrees to every side, near enough to fill the picture, and some in its corners.",
        **numbers,
    )


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
