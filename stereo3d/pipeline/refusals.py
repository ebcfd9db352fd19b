"""Refusals by name of photos that cannot match: mirrored ones, blank ones, those of little contrast."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from ..diagnosis.contrast import featureless_findings
from ..diagnosis.copies import copy_findings
from ..errors import StereoError
from ..features.detectors import DETECTORS, detect_features
from ..features.matching import match_features
from ..records import Camera, Features, Photo, Rig
from ..two_view.estimate import estimate_two_view
from .config import Config

MIN_MIRRORED = 40  # matches that agree on one motion once a photo is mirrored
MIRROR_GAIN = 4  # times as many as without: a symmetric thing has about as many both ways
UNMATCHED = ("few_features", "few_matches", "no_overlap")  # errors that a photo without texture causes


@contextmanager
def featureless_photos_named(left: Photo, right: Photo) -> Iterator[None]:
    """Replace the error of photos that do not match by "blank" or "low_contrast" where one shows too little.

    Raises
    ------
    StereoError
        "blank", "low_contrast", or what was raised inside.
    """
    try:
        yield
    except StereoError as error:
        findings = featureless_findings(left, right) if error.code in UNMATCHED else []
        for finding in findings:
            numbers = {**error.numbers, **finding.numbers}
            also = error.message[:1].upper() + error.message[1:]
            raise StereoError(finding.code, f"{finding.message} {also}", finding.advice, **numbers) from error
        raise


def refuse_mirrored(
    left: Photo, right: Photo, features: tuple[Features, Features], agree: int, rig: Rig, config: Config
) -> None:
    """Raise StereoError("mirrored") where far more matches agree with the second photo mirrored left to right.

    Descriptors of features do not match their mirror images, so that hardly any match is right in such a pair. The
    test costs the features of one photo and one matching: for pairs where few matches agree.

    Parameters
    ----------
    left, right : Photo
        The first and the second photo.
    features : (Features, Features)
        Theirs; those of the first are used.
    agree : int
        Matches that agree on one motion as the photos are.
    rig : Rig
        The cameras, before the estimate.
    config : Config
        Settings.
    """
    mask = None if right.mask is None else np.ascontiguousarray(right.mask[:, ::-1])
    flipped = Photo(np.ascontiguousarray(right.pixels[:, ::-1]), right.exif, right.path, mask)
    cameras = Rig(rig.cam1, mirrored_camera(rig.cam2))
    finding = config.arguments("detector", DETECTORS[config.detector])
    matching = config.arguments("detector", match_features)
    size = config.feature_size
    found = detect_features(flipped, method=config.detector, max_size=size, **finding)
    try:
        matches = match_features(left, flipped, max_size=size, found=(features[0], found), **matching)
        threshold = 1.5 * max(1.0, max(left.size) / size)
        view = estimate_two_view(matches, cameras, seed=config.seed, threshold=threshold)
    except StereoError:
        return
    mirrored = int(view.inliers.sum())
    if mirrored < max(MIN_MIRRORED, MIRROR_GAIN * agree):
        return
    copied = bool(copy_findings(matches, left, flipped))
    what = "the second photo is a mirrored copy of the first" if copied else "one of the two photos is mirrored"
    raise StereoError(
        "mirrored",
        f"{what}: {mirrored} matches agree once the second is mirrored left to right, {agree} as it is.",
        "Take the second photo from a place beside the first."
        if copied
        else "Mirror the wrong one back; cameras that face their user and slide scanners save mirrored photos.",
        mirrored=mirrored,
        inliers=agree,
    )


def mirrored_camera(camera: Camera) -> Camera:
    """The camera of the photo mirrored left to right."""
    K = camera.K.copy()
    K[0, 2] = camera.size[0] - 1 - K[0, 2]
    return replace(camera, K=K)
