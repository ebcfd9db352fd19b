"""Fits of each lens model to the same corners; the rational one starts from the others too."""

from dataclasses import dataclass, field

import numpy as np

from ...errors import StereoError
from ...geometry.wide_lenses import project_fisheye
from ...records import Camera
from .board import Board, Corners
from .solve import CameraCalibration, solve_fisheye, solve_pinhole

BROWN_COEFFICIENTS = 5  # of Brown's model while models are compared: the most that it may have
RATIONAL_COEFFICIENTS = 8

CURVE_SAMPLES = 200
# rad from the axis: tan has grown to 6 times the angle at 80 degrees, and no fit with noise knows a pinhole beyond
MAX_PINHOLE_ANGLE = np.radians(80.0)


@dataclass(frozen=True, eq=False)
class ModelFits:
    """The camera of each model that fits the corners best, made when it is asked for, once.

    Attributes
    ----------
    corners : list of Corners
    board : Board
    made : dict
        Calibrations, or why there is none, by the name of the model.
    """

    corners: list[Corners]
    board: Board
    made: dict[str, CameraCalibration | StereoError] = field(default_factory=dict)

    def of(self, model: str) -> CameraCalibration:
        """Return the calibration of a model; StereoError("bad_calibration") where none fits."""
        if model not in self.made:
            try:
                self.made[model] = (
                    self._rational() if model == "rational" else fit_model(self.corners, self.board, model)
                )
            except StereoError as error:
                self.made[model] = error
        found = self.made[model]
        if isinstance(found, StereoError):
            raise found
        return found

    def _rational(self) -> CameraCalibration:
        """The best of the fits from OpenCV's own start, from Brown's lens, and from the curve of the fisheye.

        OpenCV's own start has no distortion; of lenses beyond 90 degrees it leads to another minimum in every third.
        """
        starts: list[Camera | None] = [None]
        for model in ("brown", "fisheye"):
            try:
                camera = self.of(model).camera
            except StereoError:
                continue
            wide = camera.lens is not None
            starts.append(pinhole_of_fisheye(camera, self.corners, RATIONAL_COEFFICIENTS) if wide else camera)
        fits, why = [], None
        for start in starts:
            try:
                fits.append(fit_model(self.corners, self.board, "rational", start))
            except StereoError as error:
                why = why or error
        if not fits:
            assert why is not None
            raise why
        return min(fits, key=lambda fit: fit.rms)


def fit_model(corners: list[Corners], board: Board, model: str, start: Camera | None = None) -> CameraCalibration:
    """Return the camera of a model with as many coefficients as it may have, from one start, or from its own.

    Raises
    ------
    StereoError
        "bad_calibration" where none fits.
    """
    if model == "fisheye":
        return solve_fisheye(corners, board, start)
    count = BROWN_COEFFICIENTS if model == "brown" else RATIONAL_COEFFICIENTS
    return solve_pinhole(corners, board, count, start)


def pinhole_of_fisheye(fisheye: Camera, corners: list[Corners], distortion: int) -> Camera:
    """Return the pinhole whose radial curve is nearest to that of a fisheye, K the same, linearly.

    With r = tan theta and m(theta) the fisheye's radius: r (1 + k1 r^2 + ...) - m (k4 r^2 + ...) = m, by least squares
    over the angles at which corners were seen, 80 degrees at most.

    Parameters
    ----------
    fisheye : Camera
    corners : list of Corners
        Of its photos.
    distortion : {5, 8}
        Number of coefficients; p1 and p2 are 0.
    """
    rays = fisheye.rays_from_pixels(np.concatenate([c.x for c in corners]))
    angle = np.arctan2(np.hypot(rays[:, 0], rays[:, 1]), rays[:, 2])
    widest = min(float(np.nanmax(angle, initial=0.1)), MAX_PINHOLE_ANGLE)
    theta = np.linspace(0, widest, CURVE_SAMPLES + 1)[1:]
    r = np.tan(theta)
    lens = fisheye.lens.coefficients if fisheye.lens is not None else np.zeros(4)
    on_circle = np.stack([np.sin(theta), np.zeros_like(theta), np.cos(theta)], -1)
    m = np.nan_to_num(project_fisheye(on_circle, np.array(lens))[:, 0])
    powers = r[:, None] ** np.array([2, 4, 6])
    A = r[:, None] * powers
    if distortion == 8:
        A = np.concatenate([A, -m[:, None] * powers], 1)
    k = np.linalg.lstsq(A, m - r, rcond=None)[0]
    return Camera(fisheye.K, fisheye.size, np.array([k[0], k[1], 0, 0, *k[2:]]))
