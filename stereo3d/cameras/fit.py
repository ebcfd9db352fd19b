"""Fit a calibrated camera or rig to photos as read: their size and orientation."""

import logging
from dataclasses import replace

import numpy as np

from ..errors import StereoError
from ..geometry.camera import scale_K, tilt_rotation
from ..records import Camera, Rig
from ..records.checks import checked_size
from .formats.check import UNKNOWN_SIZE

log = logging.getLogger(__name__)
# Text for each EXIF orientation, 1 to 8.
_TURNS = (
    "upright",
    "mirrored",
    "turned by 180 degrees",
    "mirrored upside down",
    "transposed",
    "turned by 90 degrees clockwise",
    "transposed and turned by 180 degrees",
    "turned by 90 degrees counter-clockwise",
)


def turn_matrix(orientation: int, size: tuple[int, int]) -> np.ndarray:
    """A with x_upright ~ A x_stored, the change of pixels by an EXIF orientation.

    Parameters
    ----------
    orientation : int
        EXIF's, 1 to 8.
    size : (width, height)
        px, of the stored picture.

    Returns
    -------
    (3, 3) float64
        The upper left (2, 2) is a signed permutation, of determinant -1 where the orientation mirrors (2, 4, 5, 7).

    Raises
    ------
    ValueError
        For another orientation.
    """
    if orientation not in range(1, 9):
        raise ValueError(f"orientation is 1 to 8, got {orientation!r}")
    w, h = size[0] - 1.0, size[1] - 1.0
    return np.array(
        {
            1: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
            2: [[-1, 0, w], [0, 1, 0], [0, 0, 1]],
            3: [[-1, 0, w], [0, -1, h], [0, 0, 1]],
            4: [[1, 0, 0], [0, -1, h], [0, 0, 1]],
            5: [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
            6: [[0, -1, h], [1, 0, 0], [0, 0, 1]],
            7: [[0, -1, h], [-1, 0, w], [0, 0, 1]],
            8: [[0, 1, 0], [-1, 0, w], [0, 0, 1]],
        }[orientation],
        dtype=float,
    )


def turn_camera(camera: Camera, orientation: int) -> Camera:
    """K' = A K Q^-1: the camera of the upright photo, with x' = A x (`turn_matrix`), X' = Q X, Q the rotation in A.

    Radial distortion is symmetric; (p2, p1), (s1, s3) and (s2, s4) are vectors in the picture plane and rotate with it.
    A tilted sensor that turns by a right angle has its two tilts in the other order, which turns Q by their product / 2
    (`turn_frame`).

    Parameters
    ----------
    camera : Camera
        Of the stored picture, its size known.
    orientation : int
        EXIF's, 1 to 8.
    """
    return _turned(camera, orientation)[0]


def turn_frame(camera: Camera, orientation: int) -> np.ndarray:
    """Q (3, 3) of `turn_camera`: X' = Q X."""
    return _turned(camera, orientation)[1]


def _turned(camera: Camera, orientation: int) -> tuple[Camera, np.ndarray]:
    """The camera of the upright photo, and the rotation or reflection Q of its frame."""
    if orientation == 1:
        return camera, np.eye(3)
    if camera.is_panorama and orientation != 3:  # upside down it is the panorama of a camera upside down
        raise StereoError(
            "calibration_mismatch",
            f"the panorama is {_TURNS[orientation - 1]}, and its rows are circles of latitude.",
            "Save the panorama upright.",
        )
    A = turn_matrix(orientation, camera.size)
    Q = A.copy()
    Q[:2, 2] = 0
    dist, K = camera.dist.copy(), A @ camera.K @ Q.T
    if len(dist) == 14:
        dist[12:], Q = _turned_tilt(tilt_rotation(dist), Q)
    for i, j in ((3, 2), (8, 10), (9, 11)):
        if len(dist) > max(i, j):
            dist[[i, j]] = Q[:2, :2] @ dist[[i, j]]
    size = camera.size[::-1] if orientation >= 5 else camera.size
    detail = f"{camera.source_detail}; {_TURNS[orientation - 1]} with the photo".removeprefix("; ")
    return replace(camera, K=K, size=size, dist=dist, source_detail=detail), Q


def _turned_tilt(R: np.ndarray, Q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tilts (tau_x, tau_y) of the sensor turned by Q, and Z Q: Q R Q^T = R_y(tau_y) R_x(tau_x) Z, Z about the axis."""
    M = Q @ R @ Q.T
    # the third column of R_y R_x is (-sin b cos a, sin a, cos b cos a)
    a, b = np.arcsin(np.clip(M[1, 2], -1, 1)), np.arctan2(-M[0, 2], M[2, 2])
    tilts = np.array([a, b])
    return tilts, tilt_rotation(np.r_[np.zeros(12), tilts]).T @ M @ Q


def turn_rig(rig: Rig, degrees: int) -> Rig:
    """R' = Q R Q^T, t' = Q t: the rig whose photos, of the size of its cameras, are both turned clockwise.

    Parameters
    ----------
    rig : Rig
    degrees : {0, 90, 180, 270}
    """
    orientation = {0: 1, 90: 6, 180: 3, 270: 8}[degrees]
    cam1, cam2 = turn_camera(rig.cam1, orientation), turn_camera(rig.cam2, orientation)
    if not rig.posed:
        return replace(rig, cam1=cam1, cam2=cam2)
    Q1, Q2 = turn_frame(rig.cam1, orientation), turn_frame(rig.cam2, orientation)
    return replace(rig, cam1=cam1, cam2=cam2, R=Q2 @ rig.R @ Q1.T, t=Q2 @ rig.t)


def fit_rig(rig: Rig, size1: tuple[int, int], size2: tuple[int, int], *, orientations: tuple[int, int] = (1, 1)) -> Rig:
    """R' = Q2 R Q1^T, t' = Q2 t: fit a rig to photos of given sizes, their EXIF orientations applied.

    A camera of the photo's size is kept; one of the same proportions (to 1 %) is scaled, x -> (x + 1/2) s - 1/2. One
    calibrated on pictures in the frame of the sensor, whose size is that of the photo as stored, is rotated with the
    photo, X' = Q X (`turn_camera`), and the pose with it. One calibrated on upright pictures, whose size is that of the
    photo as read, is not rotated. A camera of unknown size is assumed to have the photo's size if its principal point
    is in the middle half of the photo.

    Parameters
    ----------
    rig : Rig
    size1, size2 : (width, height)
        px, of the upright photos as read.
    orientations : (int, int)
        EXIF orientations already applied to the photos.

    Returns
    -------
    Rig
        Its cameras have the sizes of the photos, px.

    Raises
    ------
    StereoError
        "calibration_mismatch" with both sizes, and where only one photo is mirrored and R is known; "bad_calibration"
        for a baseline of 0, and a size that is none.
    ValueError
        For an orientation that is none.
    """
    for size in (size1, size2):
        if min(checked_size(size)) < 1:
            raise ValueError(f"fit_rig: a photo of {size[0]} x {size[1]} px")
    if len(orientations) != 2 or any(o not in range(1, 9) for o in orientations):
        raise ValueError(f"orientations are 1 to 8, got {orientations!r}")
    rig.check_baseline()
    fitted, turns = [], []
    for camera, size, orientation, which in zip(
        (rig.cam1, rig.cam2), (size1, size2), orientations, ("first", "second"), strict=True
    ):
        camera, turn = _fit_camera(camera, (int(size[0]), int(size[1])), orientation, which)
        fitted.append(camera)
        turns.append(turn)
    if not rig.posed:
        return replace(rig, cam1=fitted[0], cam2=fitted[1])
    Q1, Q2 = turns
    R, t = Q2 @ rig.R @ Q1.T, Q2 @ rig.t
    if np.linalg.det(R) < 0:
        raise StereoError(
            "calibration_mismatch",
            f"The EXIF orientations {orientations[0]} and {orientations[1]} give only one mirrored photo: the "
            "calibrated pose cannot hold.",
            "Save both photos without mirroring.",
        )
    return replace(rig, cam1=fitted[0], cam2=fitted[1], R=R, t=t)


def _fit_camera(camera: Camera, size: tuple[int, int], orientation: int, which: str) -> tuple[Camera, np.ndarray]:
    """Return the camera for a photo of this size, and Q (3,3), the rotation of its frame."""
    stored = size[::-1] if orientation >= 5 else size
    frames = (
        [(stored, orientation), (size, 1)] if orientation != 1 else [(size, 1)]
    )  # size of the calibrated picture, rotation still to be applied
    if camera.size == UNKNOWN_SIZE:
        frame, turn = min(frames, key=lambda f: _off_centre(camera.K, f[0]))
        if (off := _off_centre(camera.K, frame)) > 0.25:
            raise StereoError(
                "calibration_mismatch",
                f"The calibration has its principal point at ({camera.K[0, 2]:.0f}, {camera.K[1, 2]:.0f}), far from "
                f"the middle of the {which} photo of {size[0]} x {size[1]} px.",
                "Use the photos, in the size, that were calibrated; or state the size in the calibration file.",
                calibration=(float(camera.K[0, 2]), float(camera.K[1, 2])),
                photo=size,
                off=off,
            )
        camera = replace(camera, size=frame)
    else:
        found = next(((f, turn) for f, turn in frames if same_shape(camera.size, f)), None)
        if found is None:
            raise StereoError(
                "calibration_mismatch",
                f"The calibration is for pictures of {camera.size[0]} x {camera.size[1]} px, the {which} photo has "
                f"{size[0]} x {size[1]} px, of different proportions.",
                "Use the photos that were calibrated, uncropped; scaling is allowed.",
                calibration=camera.size,
                photo=size,
            )
        frame, turn = found
        if camera.size != frame:
            detail = (
                f"{camera.source_detail}; scaled from {camera.size[0]} x {camera.size[1]} to {frame[0]} x {frame[1]} px"
            ).removeprefix("; ")
            log.info("%s photo: calibration %s", which, detail)
            K = scale_K(camera.K, frame[0] / camera.size[0], frame[1] / camera.size[1])
            camera = replace(camera, K=K, size=frame, source_detail=detail)
    return _turned(camera, turn)


def same_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two sizes (width, height) have the same proportions, to 1 %."""
    return a == b or min(*a, *b) > 0 and abs(a[0] * b[1] / (a[1] * b[0]) - 1) <= 0.01


def _off_centre(K: np.ndarray, size: tuple[int, int]) -> float:
    """Return the distance of the principal point from the middle / side (x or y)."""
    return float(max(abs(K[0, 2] - (size[0] - 1) / 2) / size[0], abs(K[1, 2] - (size[1] - 1) / 2) / size[1]))
