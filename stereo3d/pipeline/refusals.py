"""Refusals by name: photos that cannot match (mirrored, blank, of little contrast), pictures of no pinhole camera."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from ..cameras.panorama import MAX_OFF_SHAPE, is_equirectangular
from ..diagnosis.contrast import featureless_findings
from ..diagnosis.copies import copy_findings
from ..errors import StereoError
from ..features.detectors import detect_features, find_detector
from ..features.matching import match_features
from ..images.content import content_box
from ..images.reduce import to_grey
from ..images.unknown import black_border
from ..records import Camera, Features, Photo, Rig
from ..two_view.estimate import estimate_two_view
from .config import Config

MAX_DISC_ERROR = 0.06  # of the disc: dark things at its rim look like the black about it
# Of a whole panorama: px high; grey levels, standard deviation of the steps along its first and last column;
# correlation of these steps, .9 for panoramas and .5 at most for 60 plain photos; steps along the rows of the poles
# over those along the middle one, .05 to .1 for panoramas saved as JPEG.
MIN_PANORAMA, MIN_DETAIL, MIN_ENDS, MAX_POLE = 100, 1.0, 0.7, 0.3
MIN_MIRRORED = 40  # matches that agree on one motion once a photo is mirrored
MIRROR_GAIN = 4  # times as many as without: a symmetric thing has about as many both ways
UNMATCHED = ("few_features", "few_matches", "no_overlap")  # errors that a photo without texture causes


def refuse_other_projections(left: Photo, right: Photo, rig: Rig, config: Config, *, measured: bool) -> None:
    """Raise StereoError("panorama" or "fisheye") for pictures that no pinhole camera took; not with config.force.

    measured: the caller gave the cameras.

    A panorama states its projection; an equirectangular one has a camera (`cameras.panorama.panorama_camera`). A
    fisheye photo without a calibration is one whose scene fills a disc, or an upright or lying part of one that touches
    two opposite sides, before black.
    """
    if config.force:
        return
    for photo, camera, which in ((left, rig.cam1, "first"), (right, rig.cam2, "second")):
        projection = photo.exif.get("projection")
        if projection is None and rig.wide and camera.lens is None and not (measured or camera.source != "prior"):
            raise StereoError(
                "panorama",
                f"only one photo is a panorama: the {which} states no projection, and its focal length is not known.",
                "Take both photos with the same camera, or give the cameras (--calib).",
            )
        if projection is None and camera.source == "prior" and looks_equirectangular(photo):
            raise StereoError(
                "panorama",
                f"the {which} photo looks like a panorama of 360 degrees, twice as wide as high with ends that meet, "
                "and its file states neither a projection nor a focal length.",
                "Give --projection equirectangular; or --focal-35mm, if it is a plain photo.",
            )
        if is_equirectangular(photo) and camera.lens is None:
            raise StereoError(
                "panorama",
                f"the {which} photo is an equirectangular panorama, and the focal length or calibration of a pinhole "
                "camera is given.",
                "Leave --focal, --focal-35mm, --fov and --calib out; for a plain view that was cut out of a panorama, "
                "and whose file still states the projection, add --force.",
            )
        if projection is not None and camera.lens is None:
            raise StereoError(
                "panorama",
                f"the {which} photo is a panorama ({projection}), which no pinhole camera took.",
                "Cut a view out of each panorama with a panorama viewer (a rectilinear one, 60 to 90 degrees), or use "
                "the camera's single photos.",
            )
        known = measured or camera.source == "calibration"
        if camera.lens is None and not known and (share := disc_share(photo)) is not None:
            raise StereoError(
                "fisheye",
                f"the {which} photo is one of a fisheye lens: its scene fills a disc, "
                f"{100 * share:.0f} % of the photo, before black.",
                "Give the calibration of the lens (--calib), or undistort the photos first.",
                share=share,
            )


def disc_share(photo: Photo) -> float | None:
    """Return the share of a photo that its scene fills, where that is a disc cut by two sides at most; else None."""
    x0, y0, x1, y1 = content_box(photo.pixels)
    border = black_border(photo.pixels[y0:y1, x0:x1])  # neither a mask of the user nor transparent pixels
    if border is None:
        return None
    known = ~border
    corners = np.array([known[0, 0], known[0, -1], known[-1, 0], known[-1, -1]])
    rows, columns = np.flatnonzero(known.any(1)), np.flatnonzero(known.any(0))
    if corners.any() or not len(rows):
        return None
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    centre = np.array([columns[0] + columns[-1], rows[0] + rows[-1]]) / 2
    y, x = np.mgrid[: known.shape[0], : known.shape[1]]
    disc = np.hypot(x - centre[0], y - centre[1]) <= max(height, width) / 2
    apart = np.count_nonzero(disc != known) / np.count_nonzero(disc)
    share = float(np.count_nonzero(known) / (photo.size[0] * photo.size[1]))
    return share if apart < MAX_DISC_ERROR else None


def looks_equirectangular(photo: Photo) -> bool:
    """Return whether a photo that states nothing has the marks of a whole equirectangular panorama.

    It is twice as wide as high, its first column continues its last, grain and edges included, and its top and bottom
    row show one place each: along them brightness changes by far less than along the middle row.
    """
    width, height = photo.size
    if abs(width / (2 * height) - 1) > MAX_OFF_SHAPE or height < MIN_PANORAMA:
        return False
    grey = to_grey(photo.pixels).astype(float)
    ends = np.diff(grey[:, -1]), np.diff(grey[:, 0])
    if min(end.std() for end in ends) < MIN_DETAIL or np.corrcoef(*ends)[0, 1] < MIN_ENDS:
        return False
    top, middle, bottom = (np.abs(np.diff(row)).mean() for row in (grey[0], grey[height // 2], grey[-1]))
    return bool(max(top, bottom) < MAX_POLE * middle)


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
    finding = config.arguments("detector", find_detector(config.detector))
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
