"""Findings of the photos: blur, noise, exposure, repeated structure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from ..images.content import crop_to_content
from ..images.noise import noise_level
from ..images.reduce import LOW_RANGE, reduced_grey
from ..options import MAX_SIZE, Range, check_options, options_of
from ..records import Finding, Matches, Photo
from .contrast import low_contrast_finding
from .statistics import PHOTO_NAMES


@dataclass(frozen=True)
class PhotoThresholds:
    """Bounds of the findings of the photos: where the depth error of rendered pairs begins to grow.

    Measured by `benchmarks/verdict.py --risk`, at the size at which the photos are matched.
    """

    max_blur: float = 1.7  # px, of both photos: 1.5 times the error at 1.6, twice at 2.1
    # px, of one photo alone, root of the difference of squares: twice the error at 1, five times at 1.4
    max_blur_difference: float = 1.0
    max_clipped: float = 0.25  # share of a photo that is black or white: 1.1 times at .16, 1.5 at .35, 3 at .6
    min_grey_range: float = (
        LOW_RANGE  # grey levels from the darkest to the lightest hundredth: 1.4 times at 55, twice at 18
    )
    max_noise: float = 5.0  # grey levels, of cameras that are known; real photos have less than 1
    max_noise_unknown_focal: float = 2.0  # grey levels, where the pair itself has to determine the focal length
    max_repeated: float = 0.7  # share of places with a twin nearby: folded laundry has .88, ordinary photos 0 to .6
    max_gain: float = 1.5  # ratio of brightness; more is reported
    min_matches: int = 8  # with fewer the exposures of the photos are not compared


PHOTO_THRESHOLDS = PhotoThresholds()


def photo_findings(
    left: Photo,
    right: Photo,
    matches: Matches,
    limits: PhotoThresholds = PHOTO_THRESHOLDS,
    *,
    max_size: Annotated[int, Range(16, 32000)] = MAX_SIZE,
    focal_sought: bool = False,
) -> list[Finding]:
    """Judge the photos themselves, without letterbox bars: blur, noise, exposure, contrast, repeated texture.

    Parameters
    ----------
    left, right : Photo
        The first and the second photo.
    matches : Matches
        Those that agree with the camera motion.
    limits : PhotoThresholds
        Bounds of the findings.
    max_size : int
        px, the longer side at which the photos are matched.
    focal_sought : bool
        Whether the pair itself has to determine the focal length, which bears less noise.

    Returns
    -------
    list of Finding

    Raises
    ------
    StereoError
        "bad_option" for an option out of its bounds.
    """
    given = {"max_size": max_size, "focal_sought": focal_sought}
    max_size, focal_sought = check_options("photos", options_of(photo_findings), given).values()
    (left, corner1), (right, corner2) = crop_to_content(left), crop_to_content(right)
    greys = [reduced_grey(photo, max_size)[0] for photo in (left, right)]
    scales = [min(1.0, max_size / max(photo.size)) for photo in (left, right)]
    findings = [*_blur(greys, limits), *_noise(greys, focal_sought, limits), *_exposure((left, right), limits)]
    low_contrast = low_contrast_finding(greys, limits.min_grey_range)
    if low_contrast and not any(f.code == "bad_exposure" for f in findings):
        findings.append(low_contrast)
    if len(matches) >= limits.min_matches:
        x1, x2 = (matches.x1 - corner1 + 0.5) * scales[0] - 0.5, (matches.x2 - corner2 + 0.5) * scales[1] - 0.5
        findings += [*_different_exposure(greys, x1, x2, limits), *_repeated_texture(greys[0], x1, limits)]
    return findings


def _blur(greys: Sequence[np.ndarray], limits: PhotoThresholds) -> list[Finding]:
    blurs = [blur_width(grey) for grey in greys]
    worse = int(blurs[1] > blurs[0])
    apart = float(np.sqrt(blurs[worse] ** 2 - blurs[1 - worse] ** 2))
    if blurs[worse] <= limits.max_blur and apart <= limits.max_blur_difference:
        return []
    than = (
        f", those of the {PHOTO_NAMES[1 - worse]} {blurs[1 - worse]:.1f} px"
        if apart > limits.max_blur_difference
        else ""
    )
    return [
        Finding(
            "blur",
            "warning",
            f"the {PHOTO_NAMES[worse]} photo is blurred: its edges are {blurs[worse]:.1f} px wide "
            f"(standard deviation) at {max(greys[worse].shape)} px{than}.",
            {"blur_px": blurs[worse], "apart_px": apart},
            "Hold the camera still and focus on the subject.",
        )
    ]


def _noise(greys: Sequence[np.ndarray], focal_sought: bool, limits: PhotoThresholds) -> list[Finding]:
    noises = [noise_level(grey) for grey in greys]
    worse = int(noises[1] > noises[0])
    if noises[worse] <= (limits.max_noise_unknown_focal if focal_sought else limits.max_noise):
        return []
    focal = ", and the focal length, which the pair itself has to determine, may be wrong" if focal_sought else ""
    return [
        Finding(
            "noise",
            "warning",
            f"the {PHOTO_NAMES[worse]} photo is noisy: {noises[worse]:.1f} grey levels of 255 (standard "
            f"deviation) at {max(greys[worse].shape)} px; depth is rough{focal}.",
            {"noise_levels": noises[worse]},
            "More light or a lower ISO; photos of more pixels, which are averaged"
            + ("; or give the focal length (--focal-35mm)." if focal_sought else "."),
        )
    ]


def _exposure(photos: Sequence[Photo], limits: PhotoThresholds) -> list[Finding]:
    clipped = [clipped_share(photo) for photo in photos]
    worse = int(clipped[1] > clipped[0])
    if clipped[worse] > limits.max_clipped:
        return [
            Finding(
                "bad_exposure",
                "warning",
                f"{100 * clipped[worse]:.0f} % of the {PHOTO_NAMES[worse]} photo is black or white without detail.",
                {"clipped_share": clipped[worse]},
                "Expose for the subject.",
            )
        ]
    return []


def _different_exposure(
    greys: Sequence[np.ndarray], x1: np.ndarray, x2: np.ndarray, limits: PhotoThresholds
) -> list[Finding]:
    gain = exposure_ratio(greys[0], greys[1], x1, x2)
    if max(gain, 1 / gain) <= limits.max_gain:
        return []
    name, factor = ("second", gain) if gain > 1 else ("first", 1 / gain)
    return [
        Finding(
            "different_exposure",
            "info",
            f"the {name} photo is {factor:.1f} times as bright, which does not affect the matching.",
            {"ratio": gain},
            "Lock the exposure.",
        )
    ]


def _repeated_texture(grey: np.ndarray, x: np.ndarray, limits: PhotoThresholds) -> list[Finding]:
    repeated = repeated_share(grey, x)
    if repeated <= limits.max_repeated:
        return []
    return [
        Finding(
            "repeated_texture",
            "info",
            f"{100 * repeated:.0f} % of the places looked at have a twin nearby: a "
            "pattern repeats, and the matching may take one for the other.",
            {"repeated_share": repeated},
            "Include something that is there only once.",
        )
    ]


def blur_width(grey: np.ndarray) -> float:
    """s = s0 / sqrt(q^2 - 1): standard deviation, px, of the blur of the sharpest edges, the wider of x and y.

    q is |d g| over |d (g * G(s0))| at the edges, G a Gaussian of s0 = 1 px; for a step edge blurred by G(s) that is
    sqrt(s^2 + s0^2) / s. Measured along x and along y separately, since a camera that moves blurs one way. Below 1 px
    it comes out too wide by up to a third (the derivative is a difference over two pixels).

    Parameters
    ----------
    grey : (H, W) uint8
        Picture.

    Returns
    -------
    float
        px; 0 where there are too few edges.

    References
    ----------
    Zhuo and Sim, Defocus map estimation from a single image, 2011.
    """
    import cv2

    g = grey.astype(np.float32)
    blurred = cv2.GaussianBlur(g, ksize=(0, 0), sigmaX=1.0)
    widths = []
    for sharp, smooth in ((g, blurred), (g.T, blurred.T)):
        a = np.abs(np.gradient(sharp, axis=0))
        y, x = np.nonzero(a >= max(float(np.quantile(a[::3, ::3], 0.98)), 2.0))
        if len(x) < 50:
            continue
        above, below = np.maximum(y - 1, 0), np.minimum(y + 1, len(a) - 1)
        b = np.abs(smooth[below, x] - smooth[above, x]) / (below - above).astype(np.float32)
        q = np.median(a[y, x] / np.maximum(b, 1e-3))
        widths.append(1 / np.sqrt(max(q * q - 1, 1e-4)))
    return float(max(widths, default=0.0))


def clipped_share(photo: Photo) -> float:
    """Share of the known pixels whose channels are all below 4 or all above 251, of some 400 rows and columns."""
    sample = np.s_[:: max(1, photo.size[1] // 400), :: max(1, photo.size[0] // 400)]
    pixels = photo.pixels[sample] if photo.mask is None else photo.pixels[photo.mask][:: max(1, photo.mask.size >> 17)]
    return float(((pixels < 4).all(-1) | (pixels > 251).all(-1)).mean())


def exposure_ratio(grey1: np.ndarray, grey2: np.ndarray, x1: np.ndarray, x2: np.ndarray) -> float:
    """Median ratio of the brightness of photo 2 to that of photo 1 at the matches, in the files' own grey levels.

    Parameters
    ----------
    grey1, grey2 : (H, W) uint8
        Pictures; the brightness is the mean of 8 x 8 px.
    x1, x2 : (N, 2) float64
        Matches, px of these pictures.

    Returns
    -------
    float
    """
    import cv2

    means = []
    for grey, x in ((grey1, x1), (grey2, x2)):
        mean = cv2.blur(grey.astype(np.float32), ksize=(8, 8))
        i = np.clip(np.rint(x).astype(int), 0, [grey.shape[1] - 1, grey.shape[0] - 1])
        means.append(mean[i[:, 1], i[:, 0]] + 1)
    return float(np.median(means[1] / means[0]))


def repeated_share(grey: np.ndarray, x: np.ndarray, *, places: int = 60, radius: int = 7, reach: int = 100) -> float:
    """Share of the places whose patch has a twin: normalised correlation above 0.9 elsewhere nearby.

    Parameters
    ----------
    grey : (H, W) uint8
        Picture.
    x : (N, 2) float64
        Places, px.
    places : int
        Places at most.
    radius : int
        px; patches of (2 radius + 1)^2 px, twins farther than 2 radius.
    reach : int
        px; twins nearer than this.

    Returns
    -------
    float
        0 to 1; 0 where the picture is too small.
    """
    import cv2

    h, w = grey.shape
    margin = radius + reach
    fits = ((x > radius) & (x < [w - radius - 1, h - radius - 1])).all(1)
    x = np.rint(x[fits]).astype(int)
    if len(x) == 0 or min(h, w) < 2 * margin:
        return 0.0
    x = x[np.linspace(0, len(x) - 1, min(places, len(x))).astype(int)]
    twins = 0
    for u, v in x:
        patch = grey[v - radius : v + radius + 1, u - radius : u + radius + 1]
        top, left = max(v - margin, 0), max(u - margin, 0)
        around = grey[top : v + margin + 1, left : u + margin + 1]
        score = cv2.matchTemplate(image=around, templ=patch, method=cv2.TM_CCOEFF_NORMED)
        cv, cu = v - radius - top, u - radius - left
        score[max(cv - 2 * radius, 0) : cv + 2 * radius + 1, max(cu - 2 * radius, 0) : cu + 2 * radius + 1] = -1
        twins += bool(score.max() > 0.9)
    return twins / len(x)
