"""Feature detectors: SIFT, ORB, ASIFT, those of `networks`, and the features of a photo."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np

from ..images.content import crop_to_content
from ..images.reduce import reduced_grey, stretch_contrast
from ..images.unknown import MIN_DISTANCE, away_from_unknown
from ..options import MAX_SIZE, Range, check_options, choose, options_of
from ..records import Features, Photo
from ..records.photo import require_photos
from .networks import NETWORK_DETECTORS
from .spreading import spread

SIFT_SHARE = 0.75  # of the size at which photos are matched: SIFT enlarges them to twice theirs itself


def sift(
    grey: np.ndarray,
    *,
    features: Annotated[int, Range(100, 1_000_000)] = 10000,
    contrast: Annotated[float, Range(0, 1)] = 0.01,
    edge: Annotated[float, Range(1, 1000)] = 10.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """d = round(512 sqrt(s / |s|_1)): detect SIFT features with RootSIFT descriptors.

    Parameters
    ----------
    grey : (H, W) uint8
    features : int
        Maximum number, spread over the picture.
    contrast : float
        Minimum contrast of an extremum. 0.01 is a quarter of Lowe's: of weak features matched both ways, more matches
        are right than wrong.
    edge : float
        Maximum ratio of principal curvatures.

    Returns
    -------
    x : (N, 2) float64
        px.
    descriptors : (N, 128) float32
        Whole numbers (unit length is 512), so dot products are exact in float32 and independent of the order of
        summation, thus of the number of threads.
    frames : (N, 2, 2) float64
        Size times rotation of each feature.

    References
    ----------
    Lowe, Distinctive image features from scale-invariant keypoints, 2004.
    Arandjelovic and Zisserman, Three things everyone should know to improve object retrieval, 2012.
    """
    import cv2

    detector = cv2.SIFT.create(nfeatures=0, contrastThreshold=contrast, edgeThreshold=edge, enable_precise_upscale=True)
    points = detector.detect(grey, None)
    if not points:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32), np.zeros((0, 2, 2))
    x, response, frames = _keypoints(points)
    keep = spread(x, response, grey.shape[::-1], features)
    # descriptors take longer than detection, so they are computed for the selected features only
    _, d = detector.compute(grey, [points[k] for k in keep])
    d = np.sqrt(d / np.maximum(np.abs(d).sum(1, keepdims=True), 1e-12))
    return x[keep], np.rint(512 * d).astype(np.float32), frames[keep]


def orb(
    grey: np.ndarray,
    *,
    features: Annotated[int, Range(100, 1_000_000)] = 10000,
    fast_threshold: Annotated[int, Range(1, 255)] = 10,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a.b = 256 - 2 Hamming(a, b): detect ORB features, oriented FAST corners with rotated BRIEF descriptors.

    Parameters
    ----------
    grey : (H, W) uint8
    features : int
        Maximum number, spread over the picture.
    fast_threshold : int
        Grey levels, of the FAST corner test.

    Returns
    -------
    x : (N, 2) float64
        px.
    descriptors : (N, 256) float32
        The bits as +1 and -1.
    frames : (N, 2, 2) float64
        Size times rotation of each feature.

    References
    ----------
    Rublee, Rabaud, Konolige and Bradski, ORB: an efficient alternative to SIFT or SURF, 2011.
    """
    import cv2

    detector = cv2.ORB.create(nfeatures=2 * features, fastThreshold=fast_threshold)
    points, descriptors = detector.detectAndCompute(grey, None)
    if not points:
        return np.zeros((0, 2)), np.zeros((0, 256), np.float32), np.zeros((0, 2, 2))
    x, response, frames = _keypoints(points)
    keep = spread(x, response, grey.shape[::-1], features)
    return x[keep], np.unpackbits(descriptors[keep].view(np.uint8), axis=1).astype(np.float32) * 2 - 1, frames[keep]


def asift(
    grey: np.ndarray,
    *,
    features: Annotated[int, Range(100, 1_000_000)] = 30000,
    contrast: Annotated[float, Range(0, 1)] = 0.03,
    edge: Annotated[float, Range(1, 1000)] = 10.0,
    tilts: Annotated[int, Range(0, 5)] = 4,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detect RootSIFT features on the picture and on simulated oblique views of it, for wide baselines.

    A view of tilt t is the picture rotated by phi and compressed by t along x after a blur of 0.8 sqrt(t^2 - 1) px;
    t = sqrt(2)^k, k = 1..`tilts`; phi in steps of 72 degrees / t over 180 degrees. Takes five to ten times as long as
    `sift`.

    Parameters
    ----------
    grey : (H, W) uint8
    features : int
        Maximum number over all views.
    contrast, edge : float
        As in `sift`.
    tilts : int
        Number of tilts.

    Returns
    -------
    x, descriptors, frames
        As in `sift`, in pixels of `grey`; the frames include the view's affine map.

    References
    ----------
    Morel and Yu, ASIFT: a new framework for fully affine invariant image comparison, 2009.
    """
    import cv2

    h, w = grey.shape
    share = dict(contrast=contrast, edge=edge)
    found = [sift(grey, features=features, **share)]
    for k in range(1, tilts + 1):
        t = np.sqrt(2.0) ** k
        for phi in np.radians(np.arange(0, 180, 72 / t)):
            c, s = np.cos(phi), np.sin(phi)
            corners = np.array([[0, 0], [w - 1, 0], [0, h - 1], [w - 1, h - 1]]) @ np.array([[c, s], [-s, c]])
            low, high = corners.min(0), corners.max(0)
            turned_size = tuple(int(n) for n in np.ceil(high - low) + 1)
            A = np.array([[c, -s, -low[0]], [s, c, -low[1]]])
            turned = cv2.warpAffine(grey, A, turned_size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            turned = cv2.GaussianBlur(turned, (0, 0), sigmaX=0.8 * np.sqrt(t * t - 1), sigmaY=0.01)
            view = cv2.resize(
                turned, (max(1, round(turned_size[0] / t)), turned_size[1]), interpolation=cv2.INTER_LINEAR
            )
            squeeze = np.array([view.shape[1] / turned_size[0], 1.0])
            x, descriptors, frames = sift(view, features=features, **share)
            back = np.array([[c, s], [-s, c]])  # inverse rotation
            x = ((x + 0.5) / squeeze - 0.5 + low) @ back.T
            inside = ((x > 8) & (x < [w - 9, h - 9])).all(1)  # features at the replicated border are artefacts
            found.append((x[inside], descriptors[inside], (back / squeeze @ frames)[inside]))
    x, descriptors, frames = (np.concatenate(part) for part in zip(*found, strict=True))
    # responses of different views are not comparable: rank by order, so that the unwarped picture comes first
    order = -np.arange(len(x), dtype=float)
    keep = spread(x, order, (w, h), features)
    return x[keep], descriptors[keep], frames[keep]


# Name -> detector: grey (H,W) uint8, options -> x (N,2), descriptors (N,k) float32, frames (N,2,2).
DETECTORS = {"sift": sift, "orb": orb, "asift": asift}


def find_detector(name: str) -> Callable[..., Any]:
    """Return the detector of a name in `DETECTORS` or `NETWORK_DETECTORS`.

    Raises
    ------
    StereoError
        "unknown_method".
    """
    return choose("detector", {**DETECTORS, **NETWORK_DETECTORS}, name)


def detection_size(method: str, max_size: int) -> int:
    """Return the longer side, px, of the photos in which features are found, where photos are matched at `max_size`."""
    return max(1, round(SIFT_SHARE * max_size)) if method == "sift" else max_size


def detect_features(
    photo: Photo, *, method: str = "sift", max_size: Annotated[int, Range(1)] = MAX_SIZE, **options: Any
) -> Features:
    """Detect features on the photo, without letterbox bars, reduced to the size of `max_size`.

    SIFT gets three quarters of that size (`detection_size`). The contrast of a photo with hardly any is stretched
    (`stretch_contrast`).

    Parameters
    ----------
    photo : Photo
    method : str
        Name in `DETECTORS`, or "aliked" or "disk" with the option `model`.
    max_size : int
        px, the longer side at which photos are matched.
    **options
        Of the detector.

    Returns
    -------
    Features
        In pixels of the full photo.

    Raises
    ------
    StereoError
        "unknown_method", "bad_option".
    """
    require_photos(photo=photo)
    detector = find_detector(method)
    options = check_options(method, options_of(detector), options)
    max_size = check_options("features", options_of(detect_features), {"max_size": max_size})["max_size"]
    content, corner = crop_to_content(photo)
    grey, scale = reduced_grey(content, detection_size(method, max_size))
    x, descriptors, frames = detector(stretch_contrast(grey), **options)
    x, frames = (x + 0.5) / scale - 0.5, frames / scale.mean()
    radius = np.maximum(np.linalg.norm(frames, axis=(1, 2)) / np.sqrt(8), MIN_DISTANCE / scale.mean())
    kept = away_from_unknown(content, x, radius)
    return Features(x[kept] + corner, descriptors[kept], frames[kept])


def _keypoints(points: Sequence[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions (N,2), responses (N,), frames (N,2,2) = size times rotation of OpenCV's keypoints."""
    x, response = np.array([p.pt for p in points]), np.array([p.response for p in points])
    angle = np.radians([p.angle for p in points])
    size = np.array([p.size for p in points])
    c, s = size * np.cos(angle), size * np.sin(angle)
    return x, response, np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
