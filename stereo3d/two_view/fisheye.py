"""Fisheyes of which no calibration is known: recognised by their matches, with focal length and radial coefficients.

A turn and a step of a pinhole camera move points along straight lines; what a fisheye bends, no motion explains. So a
few hundred matches tell its focal length to a few thousandths.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..errors import StereoError
from ..geometry.two_view import essential_from_pose
from ..geometry.wide_lenses import fisheye_limit
from ..records import Camera, Matches, Rig, TwoView, WideLens
from .bend import bend_covariance, smooth_error
from .fisheye_lens import FisheyeLens, refine_fisheye
from .rays import QUICK, SCHEDULE, adjust_poses, angular_residuals, estimate_from_rays
from .refine import RobustLoss, noise_of
from .robust import MIN_INLIERS
from .solvers import Pose
from .uncertainty import residuals_at_estimate

FIELDS_DEG = (90, 105, 120, 137, 156, 178, 203, 230)  # across the diagonal, of the lenses that are tried first
OTHER_K1 = (0.08, -0.06)  # tried at the best of these and its neighbours: stereographic, a little more than equisolid
SAMPLE = 300  # matches, about, that the lens is fitted to
STEPS = (0.05, 0.03)  # of the simplex: ln f and k1
MAX_EVALUATIONS = 80
STARTING_CUTS = 12.0, 4.0, 1.5  # thresholds, one after the other
MIN_OF_PINHOLE = 0.95  # of the matches that agree with a pinhole, that agree with the fisheye
TOLERANCE = 1e-4  # of ln f and k1


@dataclass(frozen=True)
class FisheyeLimits:
    """When photos are those of a fisheye; measured on rendered rooms and real photos (docs/decisions/sphere.md)."""

    min_focal_sigma: float = 0.1  # relative, of a pinhole's focal length: matches that fit one determine it better
    min_cost: float = 0.002  # px^2, of a pinhole: below it nothing is left that a lens could explain
    max_cost: float = 0.7  # of the pinhole's mean truncated square
    min_share: float = 0.5  # of the matches that agree
    min_field: float = 80.0  # degrees across the diagonal
    max_bend: float = 0.25  # px, smooth error that is left of a lens that is used; more is refused


class FisheyeFit(NamedTuple):
    """An estimated fisheye.

    Parameters
    ----------
    camera : Camera
        Equidistant with k1 and k2; source "estimated".
    focal_sigma : float
        Relative standard error of its focal length.
    inliers, pinhole_inliers : int
        Matches that agree with it, and with a pinhole.
    bend : float
        px, smooth error that is left.
    field_deg : float
        Across the diagonal.
    """

    camera: Camera
    focal_sigma: float
    inliers: int
    pinhole_inliers: int
    bend: float
    field_deg: float


def fit_fisheye(
    matches: Matches,
    view: TwoView,
    *,
    threshold: float,
    seed: int = 0,
    limits: FisheyeLimits = FisheyeLimits(),  # noqa: B008
) -> FisheyeFit | None:
    """theta_d = theta (1 + k1 theta^2 + k2 theta^4): return the fisheye of both photos, None where a pinhole took them.

    It is tried where pictures are bent as by no motion and no lens of a pinhole camera (`bend_covariance`), or where
    the focal length of one is left open, of photos of one size. The lens is that of least truncated squares of the
    angles to the epipolar planes, over a ladder of focal lengths and three k1, then by the simplex method in f and k1,
    the principal point in the middle; k2 and the principal point are freed at the end (`refine_fisheye`).

    Parameters
    ----------
    matches : Matches
        Photo pixels.
    view : TwoView
        The estimate by pinhole cameras.
    threshold : float
        px of an inlier.
    seed : int
        Of the random samples.
    limits : FisheyeLimits

    References
    ----------
    Kannala and Brandt 2006. Micusik and Pajdla, Structure from motion with wide circular field of view cameras, 2006:
    the lens from two views by their epipolar residuals.
    """
    size = view.rig.cam1.size
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    open_focal = (view.focal_sigma or 0) > limits.min_focal_sigma
    if view.rig.cam2.size != size or not (open_focal or bend_covariance(x1, x2, view)[2] > 0):
        return None
    some = matches[:: max(1, len(matches) // SAMPLE)]
    plain = _truncated(residuals_at_estimate(some.x1, some.x2, view)[0], threshold)
    if plain < limits.min_cost:
        return None
    starts = [_start(size, field, 0.0, view, some, threshold) for field in FIELDS_DEG]
    first = min(range(len(starts)), key=lambda i: starts[i].cost)
    near = FIELDS_DEG[max(0, first - 1) : first + 2]
    starts += [_start(size, field, k1, view, some, threshold) for k1 in OTHER_K1 for field in near]
    best = min(starts, key=lambda start: start.cost)
    if best.cost > plain:
        return None
    field, k1, pose = _fitted(size, best, some, threshold)
    camera = _camera(size, field, k1)
    near = np.abs(_residuals(camera, pose, matches)) < threshold  # False for NaN
    if near.sum() < MIN_INLIERS:
        return None
    lens = refine_fisheye(matches.x1[near], matches.x2[near], camera, pose, threshold)
    return _checked(matches, view, lens, threshold, seed, limits)


def _camera(size: tuple[int, int], field: float, k1: float) -> Camera:
    """The camera whose lens shows `field` degrees across the diagonal."""
    width, height = size
    half = np.radians(field) / 2
    f = float(np.hypot(width, height) / 2 / (half * (1 + k1 * half**2)))
    K = np.array([[f, 0, (width - 1) / 2], [0, f, (height - 1) / 2], [0, 0, 1]])
    return Camera(
        K, size, source="estimated", source_detail=_detail(field), lens=WideLens("fisheye", (k1, 0.0, 0.0, 0.0))
    )


def _residuals(camera: Camera, pose: Pose, matches: Matches) -> np.ndarray:
    """Angles of the rays to the epipolar planes, px; NaN where the lens has no ray."""
    d1, d2 = camera.rays_from_pixels(matches.x1), camera.rays_from_pixels(matches.x2)
    return angular_residuals(essential_from_pose(*pose), d1, d2) / camera.pixel_angle


class _Start(NamedTuple):
    """A lens of `field` degrees across the diagonal, its pose, and its mean truncated square, px^2."""

    cost: float
    field: float
    k1: float
    pose: Pose


def _start(size: tuple[int, int], field: float, k1: float, view: TwoView, matches: Matches, threshold: float) -> _Start:
    """A lens with the pose fitted from that of the pinhole cameras."""
    pose = view.R, view.t / np.linalg.norm(view.t)
    if np.radians(field) / 2 >= fisheye_limit(np.array([k1, 0, 0, 0])):
        return _Start(threshold**2, field, k1, pose)
    camera = _camera(size, field, k1)
    d1, d2 = camera.rays_from_pixels(matches.x1), camera.rays_from_pixels(matches.x2)
    seen = np.isfinite(d1).all(1) & np.isfinite(d2).all(1)
    for cut in STARTING_CUTS:
        loss = RobustLoss(cut * threshold * camera.pixel_angle / 3, cut * threshold * camera.pixel_angle)
        (R, t), _ = adjust_poses([pose], d1[seen], d2[seen], loss, SCHEDULE)
        pose = R[0], t[0]
    return _Start(_cost(camera, pose, matches, threshold), field, k1, pose)


def _truncated(r: np.ndarray, threshold: float) -> float:
    """Mean of min(r^2, threshold^2), px^2; that of threshold^2 where r is NaN."""
    return float(np.mean(np.minimum(np.nan_to_num(r, nan=threshold) ** 2, threshold**2)))


def _cost(camera: Camera, pose: Pose, matches: Matches, threshold: float) -> float:
    """`_truncated` of a lens and a pose."""
    return _truncated(_residuals(camera, pose, matches), threshold)


def _fitted(size: tuple[int, int], start: _Start, matches: Matches, threshold: float) -> tuple[float, float, Pose]:
    """Field across the diagonal, degrees, and k1 of least cost, and the pose, fitted to each."""
    from scipy.optimize import minimize

    held = [start.pose]

    def lens(p: np.ndarray) -> tuple[float, float]:
        return start.field * float(np.exp(p[0])), start.k1 + float(p[1])

    def cost(p: np.ndarray) -> float:
        field, k1 = lens(p)
        if not 0 < np.radians(field) / 2 < min(np.pi, fisheye_limit(np.array([k1, 0, 0, 0]))):
            return threshold**2
        camera = _camera(size, field, k1)
        d1, d2 = camera.rays_from_pixels(matches.x1), camera.rays_from_pixels(matches.x2)
        r = angular_residuals(essential_from_pose(*held[0]), d1, d2)
        good = np.isfinite(r) & (np.abs(r) < 2 * threshold * camera.pixel_angle)
        if good.sum() < 10:
            return threshold**2
        angle = threshold * camera.pixel_angle
        loss = RobustLoss.of_noise(noise_of(r[good], angle), angle)
        (R, t), _ = adjust_poses([held[0]], d1[good], d2[good], loss, QUICK)
        held[0] = R[0], t[0]
        return _cost(camera, held[0], matches, threshold)

    simplex = np.array([[0.0, 0.0], [STEPS[0], 0.0], [0.0, STEPS[1]]])
    options = {"initial_simplex": simplex, "maxfev": MAX_EVALUATIONS, "xatol": TOLERANCE, "fatol": 1e-9}
    p = minimize(cost, np.zeros(2), method="Nelder-Mead", options=options).x
    return *lens(p), held[0]


def _checked(
    matches: Matches, view: TwoView, lens: FisheyeLens, threshold: float, seed: int, limits: FisheyeLimits
) -> FisheyeFit | None:
    """The fit, measured on all matches; None where it explains hardly more than the pinhole."""
    field = _field_deg(lens.camera)
    camera = replace(lens.camera, source_detail=_detail(field))
    try:
        found = estimate_from_rays(matches, Rig(camera, camera), threshold=threshold, seed=seed)
    except StereoError:
        return None
    inliers, pinhole = int(found.inliers.sum()), int(view.inliers.sum())
    cost = _cost(camera, (found.R, found.t), matches, threshold)
    plain = _truncated(residuals_at_estimate(matches.x1, matches.x2, view)[0], threshold)
    if cost > limits.max_cost * plain or inliers < max(limits.min_share * len(matches), MIN_OF_PINHOLE * pinhole):
        return None
    if not field >= limits.min_field:
        return None
    r = _residuals(camera, (found.R, found.t), matches)[found.inliers]
    bend = smooth_error(r, matches.x1[found.inliers] - camera.K[:2, 2])
    return FisheyeFit(camera, lens.focal_sigma, inliers, pinhole, bend, field)


def _detail(field: float) -> str:
    return f"a fisheye of {field:.0f} degrees across the diagonal, estimated from the matches"


def _field_deg(camera: Camera) -> float:
    """Degrees across the diagonal, about the principal point; 360 where the lens folds before the corner."""
    corner = camera.K[:2, 2] + [np.hypot(*camera.size) / 2, 0]
    ray = camera.rays_from_pixels(corner)
    return float(2 * np.degrees(np.arccos(ray[2]))) if np.isfinite(ray).all() else 360.0
