"""Match the features of two photos, and refine their positions by least-squares matching."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np

from .. import resources
from ..errors import StereoError
from ..geometry.arrays import frame_ratio, hom
from ..geometry.camera import ideal_pixels
from ..images.content import crop_to_content
from ..images.reduce import reduced_grey, smooth
from ..options import MAX_SIZE, Range, check_options, options_of
from ..records import Camera, Features, Matches, Photo, TwoView
from ..records.photo import require_photos
from .detectors import detect_features, find_detector
from .networks import match_by_network
from .tangents import refine_on_tangents

MIN_FEATURES = 20  # of a photo: fewer give no reliable pose
PARTS = 8  # of photo 1 in matching, independent of the number of threads: the same result on every machine
MAX_SHIFT = 3.0  # px of the reduced photo: a refined position that moves farther is rejected
PRODUCTS = 8_000_000  # dot products in memory at a time, 32 MB as float32
GUIDE_PX = 2.0  # px of the photo reduced to `max_size`: largest distance from the epipolar line in guided matching


def match_features(  # noqa: PLR0913 - the signature lists options
    left: Photo,
    right: Photo,
    *,
    method: str = "sift",
    max_size: Annotated[int, Range(1)] = MAX_SIZE,
    ratio: Annotated[float, Range(0.1, 1.0)] = 0.8,
    refine: bool = True,
    matcher_model: str | None = None,
    matcher_keypoints: Literal["longer-side", "sides", "unit", "px"] = "longer-side",
    found: tuple[Features, Features] | None = None,
    view: TwoView | None = None,
    cameras: tuple[Camera, Camera] | None = None,
    **options: Any,
) -> Matches:
    """|a - b1| < ratio |a - b2|: match mutual nearest neighbours that pass the ratio test, one to one by place.

    Parameters
    ----------
    left, right : Photo
        The first and the second photo.
    method : str
        Name in `DETECTORS`.
    max_size : int
        px, the longer side at which the photos are matched; the matches are pixels of the full photos.
    ratio : float
        Largest ratio of the distances to the nearest and the second nearest neighbour, both ways.
    refine : bool
        Refine x2 by least-squares matching on photos of up to twice that size (`refine_matches`).
    matcher_model : str, optional
        ONNX file of a LightGlue network that matches them in place of nearest neighbours and `ratio`.
    matcher_keypoints : str
        What that network takes for keypoints: see `networks.match_by_network`.
    found : (Features, Features), optional
        Of both photos, where already detected (`detect_features`).
    view : TwoView, optional
        A first estimate of the pose. Then only features within `GUIDE_PX` of each other's epipolar lines are compared.
        Poses from them are no better (`benchmarks/guided_matching.py`): a wrong match on its line fits as well.
    cameras : (Camera, Camera), optional
        Where one has a wide lens, matches are refined on tangent planes of the sphere (`tangents`).
    **options
        Of the detector.

    Returns
    -------
    Matches
        score = 1 - ratio of distances. Keypoints at one place with several orientations count once.

    Raises
    ------
    StereoError
        "few_features" where a photo has fewer than 20, "unknown_method", "bad_option", "bad_model", "library_missing".

    References
    ----------
    Lowe, Distinctive image features from scale-invariant keypoints, 2004, section 7.1.
    """
    require_photos(left=left, right=right)
    known = options_of(find_detector(method), match_features)
    own = {"max_size": max_size, "ratio": ratio, "refine": refine}
    own |= {"matcher_model": matcher_model, "matcher_keypoints": matcher_keypoints}
    options = check_options(method, known, own | options)
    max_size, ratio, refine, matcher_model, matcher_keypoints = (options.pop(name) for name in own)
    if found is None:
        with ThreadPoolExecutor(2) as pool:
            one, two = pool.map(partial(detect_features, method=method, max_size=max_size, **options), (left, right))
    else:
        one, two = found
    _refuse_few(one, two)
    band = None if view is None else _epipolar_band(view, one, two, max(*left.size, *right.size) / max_size)
    if matcher_model is None:
        index1, index2, score = _nearest(one.descriptors, two.descriptors, one.x, two.x, ratio, band)
    else:
        described = one.x, two.x, one.descriptors, two.descriptors
        index1, index2, score = match_by_network(matcher_model, *described, (left.size, right.size), matcher_keypoints)
    kept = _best_of_each_place(one.x[index1], two.x[index2], score)
    index1, index2 = index1[kept], index2[kept]
    matches = Matches(one.x[index1], two.x[index2], score[kept].astype(np.float32))
    frames = frame_ratio(two.frames[index2], one.frames[index1])
    return _refined((left, right), cameras, matches, frames, max_size) if refine and len(matches) else matches


def _refined(
    photos: tuple[Photo, Photo],
    cameras: tuple[Camera, Camera] | None,
    matches: Matches,
    frames: np.ndarray,
    max_size: int,
) -> Matches:
    """Refine on photos of up to twice the size of detection, on tangent planes where a lens is wide."""
    if cameras is not None and any(camera.lens is not None for camera in cameras):
        return refine_on_tangents(photos, cameras, matches, frames, max_size=2 * max_size)
    return refine_matches(*photos, matches, frames, max_size=2 * max_size)


def _epipolar_band(
    view: TwoView, one: Features, two: Features, ratio: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return what `_nearest` needs to compare along epipolar lines; ratio: of the photos' size to `max_size`."""
    cams = view.rig.cam1, view.rig.cam2
    y1, y2 = (ideal_pixels(f.x, c.K, c.dist) for f, c in zip((one, two), cams, strict=True))
    return np.ascontiguousarray(view.F), y1, y2, GUIDE_PX * max(1.0, ratio)


def _refuse_few(one: Features, two: Features) -> None:
    for name, x in (("first", one.x), ("second", two.x)):
        if len(x) < MIN_FEATURES:
            raise StereoError(
                "few_features",
                f"the {name} photo has {len(x)} features, {MIN_FEATURES} needed for matching.",
                "The photo is blank, blurred or too dark; photograph a textured object.",
                features=len(x),
            )


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
        A match stays where its fit does not converge, correlates below 0.8 or moves by more than `MAX_SHIFT`.

    Raises
    ------
    StereoError
        "bad_option".

    References
    ----------
    Foerstner 1982; Gruen 1985.
    """
    from ..images.patch_fit import fit_patches

    given = {"max_size": max_size, "radius": radius}
    max_size, radius = check_options("refine_matches", options_of(refine_matches), given).values()
    (left, corner1), (right, corner2) = crop_to_content(left), crop_to_content(right)
    (grey1, scale1), (grey2, scale2) = (reduced_grey(photo, max_size) for photo in (left, right))
    image1, image2 = (smooth(grey) for grey in (grey1, grey2))
    x1, x2 = (matches.x1 - corner1 + 0.5) * scale1 - 0.5, (matches.x2 - corner2 + 0.5) * scale2 - 0.5
    A = np.ascontiguousarray(frames * (scale2 / scale1).mean())
    out, score = np.empty_like(x2), np.empty(len(x2))
    parts = np.linspace(0, len(x2), 9).astype(int)

    def fit_part(k: int) -> None:
        fit_patches(image1, image2, x1, x2, A, radius, MAX_SHIFT, parts[k], parts[k + 1], out, score)

    with ThreadPoolExecutor(resources.processors()) as pool:
        list(pool.map(fit_part, range(8)))
    return Matches(
        matches.x1, np.where(score[:, None] > 0, (out + 0.5) / scale2 - 0.5 + corner2, matches.x2), matches.score
    )


def _best_of_each_place(x1: np.ndarray, x2: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return the order of the matches by score, without those at a place of either photo that a better one has."""
    order = np.argsort(-score, kind="stable")
    return order[_first_of_each(np.round(x1[order], 2)) & _first_of_each(np.round(x2[order], 2))]


def _first_of_each(x: np.ndarray) -> np.ndarray:
    first = np.zeros(len(x), bool)
    first[np.unique(x, axis=0, return_index=True)[1]] = True
    return first


def _nearest(
    d1: np.ndarray,
    d2: np.ndarray,
    x1: np.ndarray,
    x2: np.ndarray,
    ratio: float,
    band: tuple[np.ndarray, np.ndarray, np.ndarray, float] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return index1, index2, score of mutual nearest neighbours that pass the ratio test both ways.

    The second nearest neighbour is the nearest at another place of the picture.

    Parameters
    ----------
    d1, d2 : (N, k) float32
        Descriptors.
    x1, x2 : (N, 2) float64
        px.
    ratio : float
        Largest ratio of distances.
    band : (F, y1, y2, tolerance), optional
        Compare only features within `tolerance` px of each other's epipolar lines; y1, y2 (N, 2) are ideal pixels, NaN
        where undefined.
    """
    from . import kernels

    d1, d2 = (np.ascontiguousarray(d, dtype=np.float32) for d in (d1, d2))
    norm1, norm2 = (d1 * d1).sum(1), (d2 * d2).sum(1)
    index1, square1 = kernels.empty_knn(len(d1))
    parts = [kernels.empty_knn(len(d2)) for _ in range(PARTS)]
    with ThreadPoolExecutor(resources.processors()) as pool:
        if band is not None:
            F, y1, y2, tolerance = band
            line_norm2 = ((hom(y2) @ F)[:, :2] ** 2).sum(1)
            ends = np.linspace(0, len(d1), PARTS + 1).astype(int)

            def along(k: int) -> None:
                kernels.knn_along_epipolar(
                    d1,
                    d2,
                    norm1,
                    norm2,
                    x1,
                    x2,
                    F,
                    y1,
                    y2,
                    line_norm2,
                    tolerance,
                    ends[k],
                    ends[k + 1],
                    index1,
                    square1,
                    *parts[k],
                )

            list(pool.map(along, range(PARTS)))
        else:
            rows = max(PARTS, PRODUCTS // len(d2))
            for a in range(0, len(d1), rows):
                products = d1[a : a + rows] @ d2.T
                ends = np.linspace(0, len(products), PARTS + 1).astype(int)

                def among(k: int, products: np.ndarray = products, ends: np.ndarray = ends, a: int = a) -> None:
                    kernels.knn_of_products(
                        products, ends[k], ends[k + 1], a, norm1, norm2, x1, x2, index1, square1, *parts[k]
                    )

                list(pool.map(among, range(PARTS)))
    index2, square2 = parts[0]
    for more in parts[1:]:
        kernels.merge(index2, square2, *more, x1)
    i = np.flatnonzero(index1[:, 0] >= 0)
    j = index1[i, 0]
    first, second = np.sqrt(np.maximum(square1[i, 0], 0)), np.sqrt(np.minimum(square1[i, 1], square2[j, 1]))
    quotient = first / np.maximum(second, 1e-9)
    keep = (index2[j, 0] == i) & (quotient < ratio)
    return i[keep], j[keep], 1 - quotient[keep]
