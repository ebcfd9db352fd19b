"""Detectors: SIFT, ORB, ASIFT, and the features of a photo."""

from typing import Annotated

import numpy as np

from ..images.reduce import reduced_grey
from ..options import MAX_SIZE, Range, check_options, choose, options_of
from ..records import Features, Photo


def sift(
    grey: np.ndarray,
    *,
    features: Annotated[int, Range(100, 1_000_000)] = 10000,
    contrast: Annotated[float, Range(0, 1)] = 0.01,
    edge: Annotated[float, Range(1, 1000)] = 10.0,
):
    """RootSIFT: SIFT descriptors (Lowe 2004), L1-normalised, square root (Arandjelovic and Zisserman 2012).

    grey: (H,W) u8.  features: most kept, spread over the picture.  contrast: least contrast of an extremum; 0.01, a
    quarter of Lowe's, because weak features are right more often than they are wrong once matched both ways.
    edge: largest ratio of principal curvatures.  Returns x (N,2) px, descriptors (N,128) f32, frames (N,2,2).
    Descriptors are whole numbers (unit length = 512), so dot products are exact in float32 and do not depend on the
    order of summation, that is, on the number of threads.
    """
    import cv2

    detector = cv2.SIFT_create(nfeatures=0, contrastThreshold=contrast, edgeThreshold=edge, enable_precise_upscale=True)
    points = detector.detect(grey, None)
    if not points:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32), np.zeros((0, 2, 2))
    x, response, frames = _keypoints(points)
    keep = spread(x, response, grey.shape[::-1], features)
    _, d = detector.compute(
        grey, [points[k] for k in keep]
    )  # descriptors take longer than detection: only of the features kept
    d = np.sqrt(d / np.maximum(np.abs(d).sum(1, keepdims=True), 1e-12))
    return x[keep], np.rint(512 * d).astype(np.float32), frames[keep]


def orb(
    grey: np.ndarray,
    *,
    features: Annotated[int, Range(100, 1_000_000)] = 10000,
    fast_threshold: Annotated[int, Range(1, 255)] = 10,
):
    """ORB (Rublee, Rabaud, Konolige and Bradski 2011): oriented FAST corners, rotated BRIEF, 256 bits.

    grey: (H,W) u8.  features: most kept, spread over the picture.  Returns x (N,2) px, bits (N,256) f32 of +-1, so that
    a dot product is 256 - 2 x the Hamming distance; frames (N,2,2).
    """
    import cv2

    detector = cv2.ORB_create(nfeatures=2 * features, fastThreshold=fast_threshold)
    points, descriptors = detector.detectAndCompute(grey, None)
    if not points:
        return np.zeros((0, 2)), np.zeros((0, 256), np.float32), np.zeros((0, 2, 2))
    x, response, frames = _keypoints(points)
    keep = spread(x, response, grey.shape[::-1], features)
    return x[keep], np.unpackbits(descriptors[keep], axis=1).astype(np.float32) * 2 - 1, frames[keep]


def asift(
    grey: np.ndarray,
    *,
    features: Annotated[int, Range(100, 1_000_000)] = 30000,
    contrast: Annotated[float, Range(0, 1)] = 0.03,
    edge: Annotated[float, Range(1, 1000)] = 10.0,
    tilts: Annotated[int, Range(0, 5)] = 4,
):
    """RootSIFT on the picture and on simulated oblique views of it (affine simulation), for wide baselines.

    grey: (H,W) u8.  A view of tilt t is the picture turned by phi and compressed by t along x after a blur of
    0.8 sqrt(t^2 - 1) px; t = sqrt(2)^k, k = 1..`tilts`, phi in steps of 72 degrees / t over half a turn.
    features: most kept in all; contrast, edge: as for `sift`.  Returns what `sift` returns, in pixels of `grey`; frames
    hold the view's affine map. Takes some five to ten times as long as `sift`.
    Source: Morel and Yu, ASIFT: a new framework for fully affine invariant image comparison, 2009.
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
            back = np.array([[c, s], [-s, c]])  # of the turn
            x = ((x + 0.5) / squeeze - 0.5 + low) @ back.T
            inside = ((x > 8) & (x < [w - 9, h - 9])).all(1)  # features of the replicated border are artefacts
            found.append((x[inside], descriptors[inside], (back / squeeze @ frames)[inside]))
    x, descriptors, frames = (np.concatenate(part) for part in zip(*found, strict=True))
    # responses of different views are not comparable: rank by order, the features of the picture itself first
    order = -np.arange(len(x), dtype=float)
    keep = spread(x, order, (w, h), features)
    return x[keep], descriptors[keep], frames[keep]


DETECTORS = {"sift": sift, "orb": orb, "asift": asift}


def detect_features(
    photo: Photo, *, method: str = "sift", max_size: Annotated[int, Range(1)] = MAX_SIZE, **options
) -> Features:
    """Detect features on the photo reduced to the longer side `max_size` px.

    Parameters
    ----------
    photo : Photo
    method : str
        Name in `DETECTORS`.
    max_size : int
        px.
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
    detector = choose("detector", DETECTORS, method)
    options = check_options(method, options_of(detector), options)
    max_size = check_options("features", options_of(detect_features), {"max_size": max_size})["max_size"]
    grey, scale = reduced_grey(photo, max_size)
    x, descriptors, frames = detector(grey, **options)
    return Features((x + 0.5) / scale - 0.5, descriptors, frames / scale.mean())


def spread(x: np.ndarray, response: np.ndarray, size: tuple[int, int], count: int) -> np.ndarray:
    """Select at most `count` points spread over the picture: the strongest of every grid cell in turn.

    Parameters
    ----------
    x : (N, 2) float64
        px.
    response : (N,) float64
    size : (int, int)
        Width and height, px.
    count : int
        A cell keeps about 8 of them.

    Returns
    -------
    (M,) int64
        Sorted indices.
    """
    if len(x) <= count:
        return np.arange(len(x))
    side = np.sqrt(size[0] * size[1] * 8 / count)
    columns = int(np.ceil(size[0] / side)) + 1
    cell = (x[:, 1] // side).astype(int) * columns + (x[:, 0] // side).astype(int)
    order = np.lexsort((-response, cell))
    start = np.r_[True, np.diff(cell[order]) > 0]
    rank = np.arange(len(x)) - np.maximum.accumulate(np.where(start, np.arange(len(x)), 0))
    best = np.lexsort((-response[order], rank))[:count]
    return np.sort(order[best])


def _keypoints(points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places (N,2), responses (N,), frames (N,2,2) = size x rotation of OpenCV's keypoints."""
    x, response = np.array([p.pt for p in points]), np.array([p.response for p in points])
    angle = np.radians([p.angle for p in points])
    size = np.array([p.size for p in points])
    c, s = size * np.cos(angle), size * np.sin(angle)
    return x, response, np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
