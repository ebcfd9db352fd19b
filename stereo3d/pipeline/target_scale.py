"""Metric scale from markers and boards of known size that both photos show."""

import logging
from dataclasses import dataclass

import numpy as np

from ..cameras.targets import SeenTarget, find_targets, parse_board, parse_marker
from ..errors import StereoError
from ..geometry.arrays import hom
from ..geometry.orientation import absolute_orientation
from ..geometry.rotations import rotation_from_vector, rotation_vector
from ..geometry.two_view import triangulate_points
from ..records import Finding, Photo, TwoView
from .config import Config

log = logging.getLogger(__name__)
MAX_ERROR = 0.5  # relative standard error of the scale above which it says nothing
POOR_ERROR = 0.02  # relative standard error above which it is a warning
DISAGREEMENT = 3.0  # standard deviations
# Relative, of every target: lens, print, a sheet that is not quite flat. Five pairs of OpenCV's chessboard photos
# scatter by 0.13 % about the calibration of their rig, where the noise of the corners explains 0.03 %.
MODEL_ERROR = 0.0015
TOLERANCE = 0.005  # relative: targets that agree to this are no reason for a warning, whatever their sigma


@dataclass(frozen=True, eq=False)
class TargetScale:
    """The scale that one target gives.

    Attributes
    ----------
    name : str
        Of the target.
    factor : float
        Units of the run for one unit of the pose's t.
    sigma : float
        Relative standard error of the factor, the residuals and the bias of edges included.
    pose_sigma : float
        Relative standard error of its distance by the pose, which differs from one distance to another.
    residual : float
        px, RMS of the corners' distance from their projections with that scale.
    chi : float
        The same in standard deviations.
    """

    name: str
    factor: float
    sigma: float
    pose_sigma: float
    residual: float
    chi: float


def targets_of(left: Photo, right: Photo, config: Config) -> list[SeenTarget]:
    """Return the targets of config.markers and config.board in both photos; errors of `find_targets`."""
    if not config.markers and config.board is None:
        return []
    markers = [parse_marker(text) for text in config.markers]
    return find_targets(left, right, markers, None if config.board is None else parse_board(config.board))


def target_scales(targets: list[SeenTarget], view: TwoView, pose_sigmas: np.ndarray | None = None) -> list[TargetScale]:
    """Return what each target says about the scale.

    Parameters
    ----------
    targets : list of SeenTarget
    view : TwoView
        Cameras and pose, |t| in any unit.
    pose_sigmas : (N,) float, optional
        Relative standard error of each target's distance by the pose.

    Raises
    ------
    StereoError
        "no_marker" where a target does not fit the pose at all.
    """
    sigmas = np.zeros(len(targets)) if pose_sigmas is None else pose_sigmas
    return [_scale_of(target, view, float(sigma)) for target, sigma in zip(targets, sigmas, strict=True)]


def target_centres(targets: list[SeenTarget], view: TwoView) -> np.ndarray:
    """(N, 3): the middle of each target in the frame of camera 1, in the unit of t, from its corners' rays."""
    return np.stack(
        [
            np.nanmean(_triangulated(*_rays(*t.corners(view.rig.cam1, view.rig.cam2)[:2], view), view), 0)
            for t in targets
        ]
    )


def combined_scale(scales: list[TargetScale], unit: str, length: float = 1.0) -> tuple[float, list[Finding]]:
    """Return the factor from the unit of t to `unit`, and findings: the scale with its error, and contradictions.

    The factor is the mean weighted by 1 / sigma^2. length: |t|, for the message.

    Raises
    ------
    StereoError
        "no_marker" where its standard error is above `MAX_ERROR`.
    """
    factors, sigmas = np.array([s.factor for s in scales]), np.array([s.sigma for s in scales])
    weights = 1 / sigmas**2
    factor = float(np.exp(weights @ np.log(factors) / weights.sum()))
    error = float(1 / np.sqrt(weights.sum()))
    if len(scales) > 1:  # where targets disagree by more than their errors, so does their mean
        spread = np.sum(weights * np.log(factors / factor) ** 2) / (len(scales) - 1)
        error *= max(1.0, float(np.sqrt(spread)))
    names = ", ".join(s.name for s in scales)
    if not error < MAX_ERROR:
        raise StereoError(
            "no_marker",
            f"the size of {names} in the photos is too uncertain to give a scale: +- {100 * error:.0f} %.",
            "Use a larger marker, or put it nearer to the cameras.",
        )
    poor = error > POOR_ERROR
    found = Finding(
        "marker_scale",
        "warning" if poor else "info",
        f"the baseline is {factor * length:.4g} {unit} +- {100 * error:.2g} %, by {names} "
        f"(corners off by {max(s.residual for s in scales):.2g} px).",
        {"baseline": factor * length, "relative_error": error, **_numbers(scales)},
        "Use a larger marker, put it nearer, or use several." if poor else "",
    )
    return factor, [found, *_contradictions(scales)]


def checked_scale(scales: list[TargetScale]) -> list[Finding]:
    """Return findings of targets as a check of a rig that has a scale: their size measured over their true size."""
    factor, findings = combined_scale(scales, "")
    error = findings[0].numbers["relative_error"]
    off = abs(np.log(factor)) > max(DISAGREEMENT * error, TOLERANCE)
    names = ", ".join(s.name for s in scales)
    by = f"{100 * abs(1 / factor - 1):.2g} % too {'large' if factor < 1 else 'small'} (+- {100 * error:.2g} %)"
    return [
        Finding(
            "scale_disagrees" if off else "marker_scale",
            "warning" if off else "info",
            f"the calibration gives the scale; by {names} the model is {by}.",
            {"factor": factor, "relative_error": error, **_numbers(scales)},
            "Check the size of the marker, the unit of both, and the calibration." if off else "",
        ),
        *findings[1:],
    ]


def _numbers(scales: list[TargetScale]) -> dict:
    return {
        "targets": [
            {"name": s.name, "factor": s.factor, "relative_error": s.sigma, "residual_px": s.residual} for s in scales
        ]
    }


def _contradictions(scales: list[TargetScale]) -> list[Finding]:
    """Findings of targets that contradict each other, or whose two photos contradict each other."""
    found = []
    logs = np.log([s.factor for s in scales])
    for i, one in enumerate(scales):
        for k, other in enumerate(scales[:i]):
            apart = abs(logs[i] - logs[k])
            sigma = float(np.hypot(np.hypot(one.sigma, other.sigma), np.hypot(one.pose_sigma, other.pose_sigma)))
            if apart > max(DISAGREEMENT * sigma, TOLERANCE):
                message = (
                    f"the markers {other.name} and {one.name} disagree about the scale by {100 * apart:.2g} %, "
                    f"{apart / sigma:.1f} standard deviations."
                )
                found.append((message, {"apart": apart, "sigmas": apart / sigma}))
    for one in scales:
        if one.chi > DISAGREEMENT and one.sigma > TOLERANCE:
            message = (
                f"the two photos disagree about the marker {one.name}: its corners are {one.residual:.2g} px off, "
                f"{one.chi:.1f} standard deviations."
            )
            found.append((message, {"residual": one.residual, "sigmas": one.chi}))
    advice = "Check that each marker is flat, did not move between the photos, and has the size that was given."
    return [Finding("scale_disagrees", "warning", message, numbers, advice) for message, numbers in found]


def _rays(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> tuple[np.ndarray, np.ndarray]:
    """Normalised coordinates of ideal pixels."""
    K1, K2 = view.rig.cam1.K, view.rig.cam2.K
    y1, y2 = (hom(x) @ np.linalg.inv(K).T for x, K in ((x1, K1), (x2, K2)))
    return np.ascontiguousarray(y1[:, :2]), np.ascontiguousarray(y2[:, :2])


def _triangulated(y1: np.ndarray, y2: np.ndarray, view: TwoView) -> np.ndarray:
    P1, P2 = np.eye(3, 4), np.column_stack([view.R, view.t])
    return triangulate_points(P1, P2, y1, y2)


def _orders(target: SeenTarget, y2: np.ndarray) -> list[np.ndarray]:
    """y2, and where nothing tells a board from itself turned by 180 degrees, y2 from its last to its first."""
    return [y2, y2[::-1]] if target.name.startswith("chessboard") else [y2]


def _scale_of(target: SeenTarget, view: TwoView, pose_sigma: float) -> TargetScale:
    """Fit position, rotation and the length of t to the corners of one target in both photos."""
    x1, x2, sigma = target.corners(view.rig.cam1, view.rig.cam2)
    y1, y2 = _rays(x1, x2, view)
    fits = [_fit(target.points, y1, y, view) for y in _orders(target, y2)]
    fits = [fit for fit in fits if fit is not None]
    if not fits:
        raise StereoError(
            "no_marker",
            f"the corners of {target.name} in both photos do not meet in front of the cameras.",
            "Did it move between the photos? Leave it out, or use another.",
        )
    factor, residual, information = min(fits, key=lambda fit: fit[1])
    freedom = 4 * len(x1) - 7
    chi = residual * np.sqrt(4 * len(x1) / freedom) / sigma  # residual: RMS over all 4 N numbers
    statistical = sigma * max(1.0, chi) * np.sqrt(np.linalg.pinv(information)[-1, -1])
    side = min(_extent(x1), _extent(x2))
    error = float(np.sqrt(statistical**2 + (2 * target.bias / side) ** 2 + MODEL_ERROR**2))
    return TargetScale(target.name, factor, error, pose_sigma, residual, float(chi))


def _extent(x: np.ndarray) -> float:
    """px: side of the square that has the area of the hull of the corners."""
    from scipy.spatial import ConvexHull

    return float(np.sqrt(max(ConvexHull(x).volume, 1e-9)))


def _fit(points: np.ndarray, y1: np.ndarray, y2: np.ndarray, view: TwoView) -> tuple[float, float, np.ndarray] | None:
    """Return the factor on t, the RMS residual in px, and J^T J (7, 7) in px, the logarithm of the factor last.

    The unknowns are the target's pose, X1 = R X + T, and the factor: both photos and the known shape decide together.
    """
    from scipy.optimize import least_squares

    X = _triangulated(y1, y2, view)
    if not (np.isfinite(X).all() and (X[:, 2] > 0).all()):
        return None
    scale, R, T = absolute_orientation(points, X)  # X = scale R points + T
    focal = np.array([view.rig.cam1.focal, view.rig.cam2.focal])
    size = float(np.ptp(points, 0).max())

    def residuals(p: np.ndarray) -> np.ndarray:
        X1 = points @ rotation_from_vector(p[:3]).T + p[3:6] * size
        X2 = X1 @ view.R.T + np.exp(p[6]) * view.t
        with np.errstate(divide="ignore", invalid="ignore"):
            off = [f * (X[:, :2] / X[:, 2:] - y) for f, X, y in ((focal[0], X1, y1), (focal[1], X2, y2))]
        return np.nan_to_num(np.concatenate(off).ravel(), nan=1e6, posinf=1e6, neginf=-1e6)

    best = None
    for R0, T0 in [(R, T / scale), *_alone(points, y1)]:
        start = np.concatenate([rotation_vector(R0), T0 / size, [-np.log(scale)]])
        fit = least_squares(residuals, start, method="lm", x_scale="jac", max_nfev=2000)
        if best is None or fit.cost < best.cost:
            best = fit
    assert best is not None
    return float(np.exp(best.x[6])), float(np.sqrt(np.mean(best.fun**2))), best.jac.T @ best.jac


def _alone(points: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The poses of the target by the first photo alone: its plane has two that look alike."""
    import cv2

    flat = points - points.mean(0)
    count, turns, places, _ = cv2.solvePnPGeneric(
        objectPoints=flat,
        imagePoints=np.ascontiguousarray(y),
        cameraMatrix=np.eye(3),
        distCoeffs=np.zeros(0),
        flags=cv2.SOLVEPNP_IPPE,
    )
    poses = []
    for turn, place in zip(turns[:count], places[:count], strict=True):
        R = rotation_from_vector(np.ravel(turn))
        poses.append((R, np.ravel(place) - R @ points.mean(0)))
    return poses
