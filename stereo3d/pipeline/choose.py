"""Choose the two of many photos, or frames of a video, that give the best model."""

import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from ..cameras.panorama import camera_of
from ..diagnosis.pair import PAIR_THRESHOLDS
from ..diagnosis.sphere import turn_angle
from ..diagnosis.statistics import false_alarms, homography_residual, median_parallax_angle
from ..errors import EXIT_PAIR, StereoError
from ..features.detectors import detect_features
from ..features.faces import detect_on_faces
from ..features.matching import match_features
from ..images.reduce import reduced_grey
from ..records import Camera, Features, Photo, Rig, TwoView
from ..records.checks import Record
from ..two_view.estimate import estimate_two_view
from .config import Config

log = logging.getLogger(__name__)
SIDE = 1000  # px, the longer side at which photos are compared
FEATURES = 3000  # of a photo when compared
MAX_PAIRS = 400  # that are compared: all of 28 photos; of more those next to each other in order
MIN_MATCHES = 30
# Share of the scene that comes out at a parallax angle: rendered scenes give 77 % at 10 degrees, 62 % at 18, 43 % at 27
# and 25 % at 36, which is .86 exp(-(angle / 32)^2) to 2 %; the factor, common to all pairs, is left out. Below 2
# degrees half a pixel is more than a hundredth of the depth.
WIDE_DEG, NARROW_DEG = 32.0, 2.0
MIN_RELIEF_PX = 2.0  # px at that size: what one homography leaves of a turn on the spot or of a plane is below
MAX_ATTEMPTS = 5  # of the best pairs, that are reconstructed until one can be
T = TypeVar("T")


@dataclass(frozen=True, eq=False, repr=False)
class RankedPair(Record):
    """Two photos of many, and how good a pair they are.

    Attributes
    ----------
    first, second : int
        Their indices.
    score : float
        0 to 1, proportional to the share of the scene that is expected to come out; 0 for a pair that cannot be used.
    matches, inliers : int
        Features that match, and that agree on one camera motion.
    angle_deg : float
        Median angle between the rays of a point.
    overlap : float
        Share of the photos that the inliers span, of the photo that they span less of.
    sharpness : float
        Of the less sharp of both, relative to the median of all photos, at most 1.
    """

    first: int
    second: int
    score: float
    matches: int
    inliers: int = 0
    angle_deg: float = 0.0
    overlap: float = 0.0
    sharpness: float = 0.0


@dataclass(frozen=True, eq=False, repr=False)
class Candidate(Record):
    """What is kept of a photo to compare it with others: no pixels.

    Attributes
    ----------
    sharpness : float
        95 % quantile of the grey gradient, levels per px of the reduced photo.
    """

    photo: Photo
    features: Features
    camera: Camera
    sharpness: float


def candidate_of(photo: Photo, config: Config) -> Candidate:
    """Return what is kept of a photo; its `photo` holds no more than one pixel."""
    grey, _ = reduced_grey(photo, SIDE)
    dx, dy = np.diff(grey.astype(np.float32), axis=1)[:-1], np.diff(grey.astype(np.float32), axis=0)[:, :-1]
    given = {"focal": config.focal, "focal_35mm": config.focal_35mm, "fov": config.fov}
    camera = replace(camera_of(photo, given), source="given")  # as it is: a ranking needs no better one
    if camera.lens is None:
        features = detect_features(photo, max_size=SIDE, features=FEATURES)
    else:
        features = detect_on_faces(photo, camera, max_size=SIDE, features=FEATURES)
    empty = Photo(np.zeros((1, 1, 3), np.uint8), photo.exif, photo.path)
    return Candidate(empty, features, camera, float(np.quantile(np.hypot(dx, dy), 0.95)))


def rank_pairs(candidates: Sequence[Candidate], *, seed: int = 0) -> list[RankedPair]:
    """score = overlap exp(-(angle / 32)^2) / (1 + (2 / angle)^2) sharpness: rank the pairs of photos, best first.

    Pairs that one homography explains, or in which less than half of the matches agree, score less.

    Where there are more than `MAX_PAIRS`, those of photos next to each other in order are compared.

    Parameters
    ----------
    candidates : sequence of Candidate
        At least two (`candidate_of`).
    seed : int
        Of the random samples.
    """
    count = len(candidates)
    pairs = sorted(itertools.combinations(range(count), 2), key=lambda pair: (pair[1] - pair[0], pair))[:MAX_PAIRS]
    typical = float(np.median([c.sharpness for c in candidates])) or 1.0
    ranked = [_compare(candidates, i, j, typical, seed) for i, j in sorted(pairs)]
    return sorted(ranked, key=lambda pair: (-pair.score, -pair.matches, pair.first, pair.second))


def _compare(candidates: Sequence[Candidate], i: int, j: int, typical: float, seed: int) -> RankedPair:
    one, two = candidates[i], candidates[j]
    sharpness = min(1.0, min(one.sharpness, two.sharpness) / typical)
    try:
        matches = match_features(one.photo, two.photo, found=(one.features, two.features), refine=False)
        if len(matches) < MIN_MATCHES:
            return RankedPair(i, j, 0.0, len(matches), sharpness=sharpness)
        threshold = 1.5 * max(1.0, max(one.camera.size) / SIDE)
        view = estimate_two_view(matches, Rig(one.camera, two.camera), threshold=threshold, seed=seed)
    except StereoError:
        return RankedPair(i, j, 0.0, 0, sharpness=sharpness)
    x1, x2 = matches.x1[view.inliers], matches.x2[view.inliers]
    if false_alarms(matches, view) > PAIR_THRESHOLDS.max_log_nfa:
        return RankedPair(i, j, 0.0, len(matches), len(x1), sharpness=sharpness)
    angle = median_parallax_angle(x1, x2, view)
    overlap = min(_spanned(x1, one.camera.size), _spanned(x2, two.camera.size))
    share = np.exp(-((angle / WIDE_DEG) ** 2)) / (1 + (NARROW_DEG / max(angle, 1e-6)) ** 2)
    agreement = min(1.0, 2 * len(x1) / len(matches))  # half of the matches agree in any sound pair
    # a turn on the spot is one homography, and with a wrong focal length it looks like parallax
    relief = _relief_px(x1, x2, view) / (MIN_RELIEF_PX * max(1.0, max(one.camera.size) / SIDE))
    score = float(overlap * share * sharpness * agreement / (1 + max(relief, 1e-6) ** -2))
    return RankedPair(i, j, score, len(matches), len(x1), float(angle), overlap, sharpness)


def _relief_px(x1: np.ndarray, x2: np.ndarray, view: TwoView) -> float:
    """Photo px by which 10 % of the matches differ at least from one homography; all around, from a turn."""
    if not view.rig.wide:
        return homography_residual(x1, x2)[0]
    cam1, cam2 = view.rig.cam1, view.rig.cam2
    return turn_angle(cam1.rays_from_pixels(x1), cam2.rays_from_pixels(x2)) / cam1.pixel_angle


def _spanned(x: np.ndarray, size: tuple[int, int]) -> float:
    """Area of the convex hull of points over that of the photo."""
    import cv2

    hull = cv2.convexHull(points=x.astype(np.float32))
    return float(min(1.0, cv2.contourArea(contour=hull) / (size[0] * size[1])))


def first_that_works(ranked: Sequence[RankedPair], attempt: Callable[[RankedPair], T]) -> tuple[RankedPair, T]:
    """Return the first of the ranked pairs for which `attempt` raises no StereoError of a pair, and what it returned.

    Raises
    ------
    StereoError
        "no_overlap" where no pair has matches; that of the best pair where the `MAX_ATTEMPTS` best ones fail.
    """
    usable = [pair for pair in ranked if pair.score > 0][:MAX_ATTEMPTS]
    if not usable:
        most = max((pair.matches for pair in ranked), default=0)
        raise StereoError(
            "no_overlap",
            f"none of {len(ranked)} pairs of these photos shows the same thing from two places; "
            f"at most {most} features match.",
            "Take two photos of one thing, a step apart.",
            pairs=len(ranked),
        )
    failure: StereoError | None = None
    for pair in usable:
        try:
            return pair, attempt(pair)
        except StereoError as error:
            if error.exit_code != EXIT_PAIR:
                raise
            log.info("photos %d and %d cannot be used: %s", pair.first + 1, pair.second + 1, error.message)
            failure = failure or error
    assert failure is not None
    raise failure
