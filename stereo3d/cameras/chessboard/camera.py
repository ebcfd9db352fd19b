"""Calibrate one camera from photos of a board, with standard errors."""

import logging
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np

from ...errors import StereoError
from ...options import check_options, options_of
from ...records import Camera, Finding
from .board import Board, Corners
from .selection import Fit, choose_model, held_out_errors, model_errors
from .solve import NOISE_FLOOR, CameraCalibration, Distortion, solve_pinhole, undetermined
from .starts import RATIONAL_COEFFICIENTS, ModelFits, fit_model

log = logging.getLogger(__name__)
MIN_PHOTOS = 5  # three views determine a camera without distortion (Zhang 2000); two more expose an outlier
MAX_FOCAL_ERROR = 0.01  # standard error / focal length: EXIF's whole millimetres of 35 mm film are as accurate
MIN_TILT = 10.0  # degrees between two boards; a board bent by a hundredth of its side appears tilted by about 2
MIN_COVERAGE = 0.2  # share of the picture under boards; below it, distortion elsewhere is extrapolated
FAIR_COVERAGE = 0.5  # share of the picture under boards; below it a finding warns
OUTLIER = 3.0  # times the median error of all photos; in a good set the worst has less than twice
# The simplest first, by the number of coefficients; but a pinhole before a fisheye, which a run has to resample.
MODELS = ("brown", "fisheye", "rational")
Model = Literal["auto", "brown", "rational", "fisheye"]


def calibrate_camera(
    corners: list[Corners],
    board: Board,
    *,
    model: Model = "auto",
    distortion: Distortion = "auto",
    drop: bool = False,
) -> CameraCalibration:
    """Minimise sum |x - K m(R_i X + t_i)|^2 over all corners of all photos, m of one of three lens models.

    Parameters
    ----------
    corners : list of Corners
        Of photos of one camera.
    board : Board
    model : "auto" or str
        "brown" (up to 5 coefficients), "rational" (8), both of a pinhole with OpenCV's distortion; "fisheye"
        (Kannala-Brandt, for fields of view up to 180 degrees and beyond). "auto" selects by the error on photos that
        the fit has not seen (`held_out_errors`, `choose_model`); a given `distortion` selects "rational" for 8, else
        "brown".
    distortion : "auto" or int
        Number of coefficients of a pinhole, a key of `DISTORTIONS`. "auto" selects the number of Brown's model with the
        smallest Bayesian information criterion N log(sum / N) + p log N for N measured numbers and p parameters.
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
    Schwarz, Estimating the dimension of a model, 1978. Kannala and Brandt 2006 (`fit_fisheye`).
    """
    given = {"model": model, "distortion": distortion, "drop": drop}
    model, distortion, drop = check_options("calibrate_camera", options_of(calibrate_camera), given).values()
    name = _stated_model(model, distortion)
    enough(len(corners), MIN_PHOTOS, "photos")
    corners, dropped, models = list(corners), [], []
    fits = ModelFits(corners, board)
    if name == "auto":
        name, models = _chosen_model(fits)
    while True:
        found = _best(corners, board, distortion) if name == "brown" else fits.of(name)
        worst = int(np.argmax(found.errors))
        if not (drop and outlying(found.errors)[worst] and len(corners) > MIN_PHOTOS):
            break
        dropped.append(corners[worst].name)
        log.info("%s left out: %.2f px", corners[worst].name, found.errors[worst])
        corners = corners[:worst] + corners[worst + 1 :]
        fits = ModelFits(corners, board)
    _refuse_undetermined(found)
    return replace(found, dropped=dropped, findings=_findings(found), models=models)


def _stated_model(model: str, distortion: Distortion) -> str:
    """The model that both options state; StereoError("bad_option") where they contradict each other."""
    if distortion == "auto":
        return model
    stated = "rational" if distortion == RATIONAL_COEFFICIENTS else "brown"
    if model not in ("auto", stated):
        raise StereoError(
            "bad_option",
            f"the model {model} cannot have {distortion} coefficients of distortion.",
            "Leave out --distortion or --model: 0 to 5 are Brown's, 8 are rational, a fisheye always has 4.",
        )
    return stated


def _chosen_model(fits: ModelFits) -> tuple[str, list]:
    """The model with the smallest error on held-out photos, or a simpler one that is as good; the errors of all."""
    errors: dict[str, np.ndarray] = {}
    reasons: dict[str, str] = {}
    for model in MODELS:
        try:
            whole = fits.of(model)
            if not _focal_error(whole) <= MAX_FOCAL_ERROR:
                reasons[model] = f"the focal length has a standard error of {100 * _focal_error(whole):.2g} %"
                continue
            fit: Fit = partial(_refit, fits.board, model, whole.camera)
            errors[model] = held_out_errors(fits.corners, fits.board, fit, (whole.R, whole.t))
        except StereoError as error:
            reasons[model] = error.message
    models = model_errors(MODELS, errors, reasons)
    chosen = choose_model(models)
    for m in models:
        log.info("model %s: %s", m.model, m.reason or f"{m.error:.4f} px on held-out corners")
    return chosen or MODELS[0], models


def _refit(board: Board, model: str, start: Camera, corners: list[Corners]) -> Camera:
    return fit_model(corners, board, model, start).camera


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
        return solve_pinhole(corners, board, distortion)
    measurements = 2 * sum(len(c.ids) for c in corners)
    candidates = []
    for count in (0, 2, 4, 5):
        parameters = 4 + count + 6 * len(corners)
        if parameters >= measurements:
            continue
        try:
            solved = solve_pinhole(corners, board, count)
        except StereoError:
            continue
        squares = max(solved.rms**2 / 2, 1e-12)
        candidates.append((measurements * np.log(squares) + parameters * np.log(measurements), count, solved))
        log.info("%d coefficients of distortion: %.4f px, criterion %.1f", count, solved.rms, candidates[-1][0])
    if not candidates:
        return solve_pinhole(corners, board, 0)
    return min(candidates, key=lambda c: c[:2])[2]


def outlying(errors: np.ndarray) -> np.ndarray:
    """Return the mask of errors (N,) px above `OUTLIER` times the larger of their median and `NOISE_FLOOR`."""
    return errors > OUTLIER * max(float(np.median(errors)), NOISE_FLOOR)


def _focal_error(found: CameraCalibration) -> float:
    """The larger standard error of both focal lengths / focal length."""
    return max(found.sigma["fx"] / found.camera.K[0, 0], found.sigma["fy"] / found.camera.K[1, 1])


def _refuse_undetermined(found: CameraCalibration) -> None:
    error = _focal_error(found)
    if not error <= MAX_FOCAL_ERROR:
        raise undetermined(
            f"the photos do not determine the camera: focal length {found.camera.focal:.0f} px with a standard error "
            f"of {100 * error:.2g} %, {100 * MAX_FOCAL_ERROR:g} % at most is allowed; the boards are tilted to each "
            f"other by {found.tilt:.1f} degrees at most",
            focal=found.camera.focal,
            error=error,
            tilt=found.tilt,
        )
    if found.tilt < MIN_TILT:
        raise undetermined(
            f"the photos do not determine the camera: the boards are tilted against each other by "
            f"{found.tilt:.1f} degrees at most, {MIN_TILT:g} are needed",
            tilt=found.tilt,
        )
    if found.coverage < MIN_COVERAGE:
        raise undetermined(
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
