"""Matches and pose, with fallbacks."""

import logging
from dataclasses import dataclass, replace
from typing import Any

from ..errors import StereoError
from ..features.detectors import find_detector
from ..features.faces import detect_in_both
from ..features.matching import match_features
from ..records import Features, Finding, Matches, Photo, Rig, TwoView
from ..records.checks import Record
from ..two_view.estimate import estimate_two_view
from ..two_view.robust import MIN_INLIERS
from ..two_view.window import on_lines
from .cameras import NOT_RECTIFIED, exchange_cameras
from .config import Config
from .memory import MIN_FEATURE_SIZE, MemoryLimit, feature_bytes
from .refusals import refuse_mirrored
from .scale import scale_view

log = logging.getLogger(__name__)
FEW_INLIERS = 80  # below this the slower asift features are tried as well
FEW_SHARE = 0.3  # of the matches; of mirrored photos a few agree by chance
# The photos are taken in the other order than their calibration only where this many times more matches agree: where
# the principal points differ, all points can be in front of the cameras in both orders, with depth reversed in one.
EXCHANGE_SUPPORT = 1.5


@dataclass(frozen=True, eq=False, repr=False)
class Pose(Record):
    """An estimated pose. rig: the cameras before the estimate; exchanged: they were given the other way round."""

    view: TwoView
    rig: Rig
    exchanged: bool = False

    @property
    def inlier_count(self) -> int:
        """Number of matches that agree with it."""
        return int(self.view.inliers.sum())


@dataclass(frozen=True, eq=False, repr=False)
class MatchedPose(Record):
    """A pose with the features of both photos and the matches that it was estimated from."""

    features: tuple[Features, Features]
    matches: Matches
    pose: Pose

    def scaled(self, factor: float, unit: str) -> "MatchedPose":
        """Return the same with its baseline multiplied by a factor, in that unit."""
        return replace(self, pose=replace(self.pose, view=scale_view(self.pose.view, factor, unit)))


def features_within_memory(left: Photo, right: Photo, config: Config) -> tuple[Config, list[Finding]]:
    """Return the Config with a size at which memory allows to find features, and a finding where that is smaller.

    Raises
    ------
    StereoError
        "memory" where not even `MIN_FEATURE_SIZE` fits.
    """
    limit = MemoryLimit.of(config)
    photos, whole = (left, right), min(config.feature_size, max(*left.size, *right.size))
    size, first = whole, feature_bytes(photos, whole, config.detector)
    needed = first
    room = limit.room(needed)
    while needed > room and size > MIN_FEATURE_SIZE:
        size = max(MIN_FEATURE_SIZE, int(0.95 * size))
        needed = feature_bytes(photos, size, config.detector)
    limit.require(needed, f"finding features at {size} px")
    if size == whole:
        return config, []
    numbers = limit.numbers(first, room)
    message = f"features are found at {size} px instead of {whole}, which needs {limit.compared(numbers)}"
    finding = Finding("features_reduced", "warning", message, {"size": size, **numbers}, "Give it more memory.")
    return replace(config, max_feature_size=size), [finding]


def find_matches(
    left: Photo, right: Photo, config: Config, *, rig: Rig | None = None, detector: str | None = None
) -> tuple[tuple[Features, Features], Matches]:
    """Return the features of both photos and their matches.

    Parameters
    ----------
    rig : Rig, optional
        The cameras: of a wide lens, features are found on the faces of a cube (`features.faces`).
    detector : str, optional
        Another detector than that of the Config, with its default options.
    """
    finding = matching = {}
    if detector is None:
        detector = config.detector
        finding = config.arguments("detector", find_detector(detector))
        matching = config.arguments("detector", match_features)
    options = {"method": detector, "max_size": config.feature_size, **finding}
    cameras = None if rig is None else (rig.cam1, rig.cam2)
    features = detect_in_both((left, right), cameras or (None, None), **options)
    size = config.feature_size
    return features, match_features(left, right, max_size=size, found=features, cameras=cameras, **matching)


def pose_with_fallback(
    left: Photo, right: Photo, features: tuple[Features, Features], matches: Matches, rig: Rig, config: Config
) -> MatchedPose:
    """Estimate the pose; where few SIFT matches agree, try asift as well and keep it if twice as many agree then.

    asift finds features in simulated oblique views of the photos. Few agree where a photo is mirrored, too.

    Raises
    ------
    StereoError
        Of `estimate_pose`; "mirrored".
    """
    first = failure = None
    try:
        first = estimate_pose(matches, rig, config)
    except StereoError as error:
        if error.code != "no_overlap":
            raise
        failure = error
    count = first.inlier_count if first else 0
    if count < max(FEW_INLIERS, FEW_SHARE * len(matches)):
        refuse_mirrored(left, right, features, count, rig, config)
    if count < FEW_INLIERS and len(matches) >= MIN_INLIERS and config.detector == "sift" and not rig.posed:
        log.info("%d of %d matches agree: trying again with simulated oblique views (asift)", count, len(matches))
        second = _oblique_pose(left, right, rig, config)
        if second and second.pose.inlier_count > 2 * count:
            return second
    if failure is not None:
        raise failure
    assert first is not None
    return MatchedPose(features, matches, first)


def _oblique_pose(left: Photo, right: Photo, rig: Rig, config: Config) -> MatchedPose | None:
    """The pose from asift's features, None where they give none."""
    try:
        needed = feature_bytes((left, right), config.feature_size, "asift")
        MemoryLimit.of(config).require(needed, "asift")
        features, matches = find_matches(left, right, config, rig=rig, detector="asift")
        return MatchedPose(features, matches, estimate_pose(matches, rig, config))
    except StereoError:
        return None


def pose_options(rig: Rig, config: Config) -> dict[str, Any]:
    """Return threshold and other options of `estimate_two_view`; the threshold grows with the photo."""
    return {"threshold": 1.5 * max(1.0, max(rig.cam1.size) / config.feature_size), **config.of("pose")}


def estimate_pose(matches: Matches, rig: Rig, config: Config) -> Pose:
    """Estimate the pose; of a calibrated one exchange the cameras where far more matches agree with them exchanged.

    Raises
    ------
    StereoError
        Of `estimate_two_view`; "calibration_mismatch" or "no_overlap" where another pose fits far better than a given
        one.
    """
    options = pose_options(rig, config)
    orders = [(rig, False), (exchange_cameras(rig), True)] if rig.posed else [(rig, False)]
    poses: list[Pose] = []
    failures: list[StereoError] = []
    for cameras, exchanged in orders:
        try:
            poses.append(Pose(estimate_two_view(matches, cameras, seed=config.seed, **options), cameras, exchanged))
        except StereoError as error:
            failures.append(error)
    if not poses and failures[0].code != "calibration_mismatch":
        raise failures[0]
    best = max(poses, key=lambda pose: pose.inlier_count / (EXCHANGE_SUPPORT if pose.exchanged else 1), default=None)
    agree = best.inlier_count if best else failures[0].numbers["inliers"]
    if best and config.rectified and config.calib is None:  # of unknown principal points: in front or behind
        agree = int(on_lines(matches, best.view, options["threshold"])[0].sum())
    if rig.posed and agree < 0.5 * len(matches):
        free = _free_inliers(matches, rig, config.seed, options)
        if free > 2 * agree:
            raise _wrong_pose(agree, free, len(matches), config)
    if best is None:
        raise failures[0]
    if config.baseline is not None and not rig.posed:
        return replace(best, view=scale_view(best.view, config.baseline, rig.unit))
    return best


def _free_inliers(matches: Matches, rig: Rig, seed: int, options: dict[str, Any]) -> int:
    """How many matches agree with the best pose of these cameras, whatever pose was given."""
    try:
        return int(estimate_two_view(matches, replace(rig, R=None, t=None), seed=seed, **options).inliers.sum())
    except StereoError:
        return 0


def _wrong_pose(agree: int, free: int, count: int, config: Config) -> StereoError:
    numbers = {"inliers": agree, "free": free, "matches": count}
    if config.rectified and config.calib is None:
        return StereoError(
            "no_overlap",
            f"{agree} of {count} matches are in equal rows of both photos, {free} fit "
            "cameras in another pose: the pair is not rectified.",
            NOT_RECTIFIED,
            **numbers,
        )
    return StereoError(
        "calibration_mismatch",
        f"{agree} of {count} matches fit the given pose, {free} fit another one.",
        "The calibration is of another rig, or the cameras have moved since: --rig-error nominal refines it where they "
        "moved by a degree; or take R and T out of it, and the pose will be estimated.",
        **numbers,
    )
