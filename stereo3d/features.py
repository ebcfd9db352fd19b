"""Detect features in photos and match them: two photos -> Matches."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated

import numpy as np

from .errors import StereoError
from .geometry import hom, ideal_pixels
from .images.reduce import reduced_grey, smooth
from .options import MAX_SIZE, Range, check_options, choose, options_of
from .records import Features, Matches, Photo, TwoView

GUIDE_PX = 2.0  # px of the photo reduced to `max_size`: largest distance from the epipolar line in guided matching
GUIDE_RATIO = 0.9  # ratio test of guided matching: of the few features along a line, hardly any look alike by chance

# A detector returns x (N,2) px of its picture, descriptors (N,k) f32 and frames (N,2,2), axes of each feature, px.


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


def match_features(
    left: Photo,
    right: Photo,
    *,
    method: str = "sift",
    max_size: Annotated[int, Range(1)] = MAX_SIZE,
    ratio: Annotated[float, Range(0.1, 1.0)] = 0.8,
    refine: bool = True,
    found: tuple[Features, Features] | None = None,
    view: TwoView | None = None,
    **options,
) -> Matches:
    """|a - b1| < ratio |a - b2|: match mutual nearest neighbours that pass the ratio test, one to one by place.

    Parameters
    ----------
    left, right : Photo
        The first and the second photo.
    method : str
        Name in `DETECTORS`.
    max_size : int
        px, longer side to which the photos are reduced for detection; the matches are pixels of the full photos.
    ratio : float
        Largest ratio of the distances to the nearest and the second nearest neighbour, both ways.
    refine : bool
        Refine x2 by least-squares matching on photos of up to twice that size (`refine_matches`).
    found : (Features, Features) or None
        Features of both photos, if they are known already (`detect_features`).
    view : TwoView or None
        A first estimate. Then only features within `GUIDE_PX` of each other's epipolar lines are compared, with the
        ratio `GUIDE_RATIO`: a hundred candidates instead of ten thousand. Repeated texture and wide
        baselines gain most.
    **options
        Of the detector.

    Returns
    -------
    Matches
        score = 1 - ratio of distances. Keypoints at one place with several orientations count once.

    Raises
    ------
    StereoError
        "few_features" where a photo has fewer than 20, "unknown_method", "bad_option".

    References
    ----------
    Lowe, Distinctive image features from scale-invariant keypoints, 2004, section 7.1.
    """
    known = options_of(choose("detector", DETECTORS, method), match_features)
    options = check_options(method, known, {"max_size": max_size, "ratio": ratio, "refine": refine, **options})
    max_size, ratio, refine = (options.pop(name) for name in ("max_size", "ratio", "refine"))
    if found is None:
        with ThreadPoolExecutor(2) as pool:
            find = partial(detect_features, method=method, max_size=max_size, **options)
            one, two = pool.map(find, (left, right))
    else:
        one, two = found
    for name, x in (("first", one.x), ("second", two.x)):
        if len(x) < 20:
            raise StereoError(
                "few_features",
                f"the {name} photo has {len(x)} features, 20 needed: nothing to match.",
                "It is blank, blurred or too dark; take photos of a textured thing.",
                features=len(x),
            )
    band = None
    if view is not None:
        cams = view.rig.cam1, view.rig.cam2
        ideal = [ideal_pixels(f.x, c.K, c.dist) for f, c in zip((one, two), cams, strict=True)]
        tolerance = GUIDE_PX * max(1.0, max(max(left.size), max(right.size)) / max_size)
        band = np.ascontiguousarray(view.F), *ideal, tolerance
        ratio = max(ratio, GUIDE_RATIO)
    index1, index2, score = _nearest(one.descriptors, two.descriptors, one.x, two.x, ratio, band)
    order = np.argsort(-score, kind="stable")
    index1, index2, score = index1[order], index2[order], score[order]
    unique = _first_of_each(np.round(one.x[index1], 2)) & _first_of_each(np.round(two.x[index2], 2))
    index1, index2, score = index1[unique], index2[unique], score[unique]
    matches = Matches(one.x[index1], two.x[index2], score.astype(np.float32))
    if refine and len(matches):
        turn = two.frames[index2] @ np.linalg.inv(one.frames[index1])
        matches = refine_matches(left, right, matches, turn, max_size=2 * max_size)
    return matches


def refine_matches(
    left: Photo,
    right: Photo,
    matches: Matches,
    frames: np.ndarray,
    *,
    max_size: Annotated[int, Range(1)] = 2 * MAX_SIZE,
    radius: Annotated[int, Range(2, 50)] = 9,
) -> Matches:
    """Move x2 to where the right photo correlates best with the left about x1 (least-squares matching); x1 stays.

    Features are located to some 0.3 px of the reduced photo; this refines them several times.

    Parameters
    ----------
    left, right : Photo
    matches : Matches
    frames : (N, 2, 2) float64
        d2 = frames d1, the affine map to start from, by the scale and orientation of the features.
    max_size : int
        px, longer side to which the photos are reduced.
    radius : int
        px; patches have (2 radius + 1)^2 px.

    Returns
    -------
    Matches
        A match stays where its fit does not converge, correlates below 0.8 or moves by more than 3 px.

    Raises
    ------
    StereoError
        "bad_option".

    References
    ----------
    Foerstner 1982; Gruen 1985.
    """
    from .patchfit import fit_patches

    given = {"max_size": max_size, "radius": radius}
    max_size, radius = check_options("refine_matches", options_of(refine_matches), given).values()
    (grey1, scale1), (grey2, scale2) = (reduced_grey(photo, max_size) for photo in (left, right))
    image1, image2 = (smooth(grey) for grey in (grey1, grey2))
    x1, x2 = (matches.x1 + 0.5) * scale1 - 0.5, (matches.x2 + 0.5) * scale2 - 0.5
    A = np.ascontiguousarray(frames * (scale2 / scale1).mean())
    out, score = np.empty_like(x2), np.empty(len(x2))
    parts = np.linspace(0, len(x2), 9).astype(int)

    def fit_part(k: int) -> None:
        fit_patches(image1, image2, x1, x2, A, radius, 3.0, parts[k], parts[k + 1], out, score)

    with ThreadPoolExecutor() as pool:
        list(pool.map(fit_part, range(8)))
    return Matches(matches.x1, np.where(score[:, None] > 0, (out + 0.5) / scale2 - 0.5, matches.x2), matches.score)


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


def _first_of_each(x: np.ndarray) -> np.ndarray:
    first = np.zeros(len(x), bool)
    first[np.unique(x, axis=0, return_index=True)[1]] = True
    return first


PARTS = 8  # of photo 1 for matching, however many threads there are: the same result on every machine


def _nearest(d1, d2, x1, x2, ratio, band=None):
    """Return index1, index2, score of mutual nearest neighbours that pass the ratio test both ways.

    The second nearest neighbour is the nearest at another place of the picture.
    band: None, or (F, y1, y2, tolerance): compare only features within `tolerance` px of each other's epipolar lines;
    y1, y2 (N,2): ideal pixels, NaN: none.
    """
    from . import neighbours

    d1, d2 = (np.ascontiguousarray(d, dtype=np.float32) for d in (d1, d2))
    norm1, norm2 = (d1 * d1).sum(1), (d2 * d2).sum(1)
    index1, square1 = neighbours.empty_knn(len(d1))
    parts = [neighbours.empty_knn(len(d2)) for _ in range(PARTS)]
    with ThreadPoolExecutor() as pool:
        if band is not None:
            F, y1, y2, tolerance = band
            steep2 = ((hom(y2) @ F)[:, :2] ** 2).sum(1)
            ends = np.linspace(0, len(d1), PARTS + 1).astype(int)

            def along(k):
                neighbours.knn_along_epipolar(
                    d1,
                    d2,
                    norm1,
                    norm2,
                    x1,
                    x2,
                    F,
                    y1,
                    y2,
                    steep2,
                    tolerance,
                    ends[k],
                    ends[k + 1],
                    index1,
                    square1,
                    *parts[k],
                )

            list(pool.map(along, range(PARTS)))
        else:
            rows = max(PARTS, 8_000_000 // len(d2))  # 32 MB of products
            for a in range(0, len(d1), rows):
                products = d1[a : a + rows] @ d2.T
                ends = np.linspace(0, len(products), PARTS + 1).astype(int)

                def among(k, products=products, ends=ends, a=a):
                    neighbours.knn_of_products(
                        products, ends[k], ends[k + 1], a, norm1, norm2, x1, x2, index1, square1, *parts[k]
                    )

                list(pool.map(among, range(PARTS)))
    index2, square2 = parts[0]
    for more in parts[1:]:
        neighbours.merge(index2, square2, *more, x1)
    i = np.flatnonzero(index1[:, 0] >= 0)
    j = index1[i, 0]
    first, second = np.sqrt(np.maximum(square1[i, 0], 0)), np.sqrt(np.minimum(square1[i, 1], square2[j, 1]))
    quotient = first / np.maximum(second, 1e-9)
    keep = (index2[j, 0] == i) & (quotient < ratio)
    return i[keep], j[keep], 1 - quotient[keep]
