"""Findings of two photos that are one picture: saved again, resized, turned, cropped, or taken from one place."""

from dataclasses import dataclass

import numpy as np

from ..geometry.robust import RobustProblem, ransac
from ..images.content import crop_to_content
from ..images.reduce import reduced_grey
from ..options import MAX_SIZE
from ..records import Finding, Matches, Photo
from .photos import blur_width
from .statistics import PHOTO_NAMES, REFERENCE_SIDE, same_photo

FEATURE_PX = 0.7  # photo px in which a feature of any photo, however small, lies
MIN_ZOOM = 1.1  # enlargement below which a zoom cannot be recognised by its detail
ELSEWHERE = "Take the second photo from a place beside the first, by about a tenth of the distance."


@dataclass(frozen=True)
class CopyThresholds:
    """Bounds of the similarity x2 = s R(angle) x1 + b that makes one photo a copy of the other.

    Lengths in px are those of a photo of longer side 1600, but no less than `FEATURE_PX` of the photo's own.
    """

    min_matches: int = 20  # that fit; fewer may do so by chance
    tolerance: float = 1.0  # px: features are found to .3 px, on an enlarged crop or after JPEG to .5
    min_share: float = 0.8  # of the matches; a wall seen from two places has no similarity unless it is parallel
    outside: float = 1.5  # px by which a crop may seem to reach beyond its photo
    # A camera that moved by hand never keeps scale and direction so exactly; two crops of one picture do.
    same_scale: float = 1e-3  # relative
    same_angle: float = 0.05  # degrees
    resized: float = 0.01  # relative difference of scale that is worth a word
    turned: float = 0.5  # degrees, likewise
    epipole_shift: float = 0.03  # of the longer side: what a turn by one or two degrees moves the picture by


COPY_THRESHOLDS = CopyThresholds()


@dataclass(frozen=True)
class Similarity:
    """x2 = scale R(angle_deg) x1 + b of most matches.

    Attributes
    ----------
    factor, shift : complex
        x2 = factor x1 + shift, of pixels x + i y.
    share : float
        Of the matches that fit.
    residual : float
        px of the coarser photo, median of those.
    """

    factor: complex
    shift: complex
    share: float
    residual: float

    @property
    def scale(self) -> float:
        """Pixels of photo 2 in one of photo 1."""
        return float(abs(self.factor))

    @property
    def angle_deg(self) -> float:
        """By which photo 2 is turned clockwise, degrees."""
        return float(np.degrees(np.angle(self.factor)))

    def beyond(self, size1: tuple[int, int], size2: tuple[int, int]) -> tuple[float, float]:
        """Return by how many px photo 2 reaches beyond photo 1 (px of 1), and photo 1 beyond photo 2 (px of 2)."""
        return (
            _beyond((_corners(size2) - self.shift) / self.factor, size1),
            _beyond(self.factor * _corners(size1) + self.shift, size2),
        )


def fit_similarity(x1: np.ndarray, x2: np.ndarray, threshold: float) -> Similarity | None:
    """Fit x2 = s R x1 + b to most matches, by least squares of those within a threshold.

    Parameters
    ----------
    x1, x2 : (N, 2) float64
        Matches, px.
    threshold : float
        px of the photo that shows things smaller.

    Returns
    -------
    Similarity or None
        None for fewer than two matches.
    """
    z1, z2 = x1 @ [1, 1j], x2 @ [1, 1j]

    def line(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Models (..., 2) complex of pairs z1 = a, z2 = b (..., N)."""
        a0, b0 = a.mean(-1, keepdims=True), b.mean(-1, keepdims=True)
        factor = ((a - a0).conj() * (b - b0)).sum(-1) / np.maximum((abs(a - a0) ** 2).sum(-1), 1e-9)
        return np.stack([factor, b0[..., 0] - factor * a0[..., 0]], -1)

    def residuals(models: np.ndarray, which: np.ndarray | slice) -> np.ndarray:
        factor, shift = models[..., :1], models[..., 1:]
        return abs(factor * z1[which] + shift - z2[which]) / np.maximum(abs(factor), 1)

    problem = RobustProblem(len(z1), 2, lambda s: line(z1[s], z2[s]), residuals, lambda _, s: line(z1[s], z2[s]))
    estimate = ransac(problem, threshold=threshold, max_samples=200)
    if estimate is None or not estimate.inliers.any():
        return None
    error = residuals(estimate.model[None], estimate.inliers)[0]
    factor, shift = (complex(v) for v in estimate.model)
    return Similarity(factor, shift, float(estimate.inliers.mean()), float(np.median(error)))


def _corners(size: tuple[int, int]) -> np.ndarray:
    w, h = size
    return np.array([-0.5 - 0.5j, w - 0.5 - 0.5j, w - 0.5 + (h - 0.5) * 1j, -0.5 + (h - 0.5) * 1j])


def _beyond(z: np.ndarray, size: tuple[int, int]) -> float:
    x, y = np.real(z), np.imag(z)
    return float(max(-0.5 - x.min(), x.max() - size[0] + 0.5, -0.5 - y.min(), y.max() - size[1] + 0.5))


def copy_findings(
    matches: Matches, left: Photo, right: Photo, *, posed: bool = False, limits: CopyThresholds = COPY_THRESHOLDS
) -> list[Finding]:
    """Return an error where both photos are one picture, or show a scene from one place by two lenses.

    Parameters
    ----------
    matches : Matches
        All, photo px.
    left, right : Photo
        The first and the second photo; letterbox bars do not count.
    posed : bool
        Whether the pose is known: then two photos of a wall that differ by a shift are no parts of one picture.
    limits : CopyThresholds
        Bounds.

    Returns
    -------
    list of Finding
        One at most: "same_photo", "crop" or "zoom".
    """
    (left, corner1), (right, corner2) = crop_to_content(left), crop_to_content(right)
    matches = Matches(matches.x1 - corner1, matches.x2 - corner2, matches.score)
    motion = same_photo(matches, left.size, right.size)
    if motion is not None:
        how = f"90 % of {len(matches)} matches moved less than {motion:.2f} px"
        return [_error("same_photo", "the two photos are the same picture", how, {"motion_px": motion})]
    units = [max(max(photo.size) / REFERENCE_SIDE, FEATURE_PX) for photo in (left, right)]
    found = fit_similarity(matches.x1, matches.x2, limits.tolerance * max(units))
    if found is None or found.share < max(limits.min_share, limits.min_matches / len(matches)):
        return []
    beyond = found.beyond(left.size, right.size)
    inside1, inside2 = (b < limits.outside * unit for b, unit in zip(beyond, units, strict=True))
    change = _change(found, limits)
    how = f"{100 * found.share:.0f} % of {len(matches)} matches fit that to {found.residual:.2f} px"
    numbers = {"scale": found.scale, "angle_deg": found.angle_deg, "share": found.share, "matches": len(matches)}
    if inside1 and inside2:
        return [_error("same_photo", f"the two photos are the same picture{change}", how, numbers)]
    tolerance = limits.tolerance * max(units)
    if (inside1 or inside2) and not _has_radial_parallax(matches, found, left.size, tolerance, limits):
        part, whole, enlarged = (right, left, found.scale) if inside1 else (left, right, 1 / found.scale)
        names = PHOTO_NAMES[::-1] if inside1 else PHOTO_NAMES
        if _has_own_detail(part, whole, enlarged):
            what = "no parallax: the {} photo was taken from the place of the {} with a zoom of {:.2f}"
            return [_error("zoom", what.format(*names, enlarged), how, numbers | {"zoom": enlarged})]
        return [_error("crop", "the {} photo is a crop of the {}".format(*names) + change, how, numbers)]
    exact = abs(np.log(found.scale)) < limits.same_scale and abs(found.angle_deg) < limits.same_angle
    if exact and not posed and not _has_parallax(matches, found, tolerance, limits):
        return [_error("crop", "the two photos are crops of one picture", how, numbers)]
    return []


def _has_parallax(matches: Matches, found: Similarity, tolerance: float, limits: CopyThresholds) -> bool:
    """Whether most matches that do not fit move along the shift, farther or less far: things before or behind a wall.

    False matches between crops of one picture lie in all directions.
    """
    off = matches.x2 @ [1, 1j] - found.factor * (matches.x1 @ [1, 1j]) - found.shift
    off = off[abs(off) > 2 * tolerance]
    along = abs((off * np.conj(found.shift / max(abs(found.shift), 1e-9))).imag) < tolerance
    return bool(np.count_nonzero(along) >= max(limits.min_matches, len(off) / 2))


def _has_radial_parallax(
    matches: Matches, found: Similarity, size: tuple[int, int], tolerance: float, limits: CopyThresholds
) -> bool:
    """Whether most matches that do not fit move along lines through one point: things before a wall, walked towards.

    The point is the epipole. For a camera that only rolls, the similarity says where it is.
    """
    predicted, z2 = found.factor * (matches.x1 @ [1, 1j]) + found.shift, matches.x2 @ [1, 1j]
    off = abs(z2 - predicted) > 2 * tolerance
    p, along = predicted[off], (z2 - predicted)[off]
    growth = abs(found.scale - 1)
    if len(p) < limits.min_matches or growth < limits.same_scale:
        return False

    def crossings(samples: np.ndarray) -> np.ndarray:
        """Points where both lines p + r along of a sample cross, (M,) complex."""
        (p0, p1), (a0, a1) = p[samples].T, along[samples].T
        turn = (a0.conj() * a1).imag
        return p0 + a0 * ((p1 - p0).conj() * a1).imag / np.where(abs(turn) < 1e-9, np.nan, turn)

    def residuals(points: np.ndarray, which: np.ndarray | slice) -> np.ndarray:
        to = points[:, None] - p[which]
        return abs((to.conj() * along[which]).imag) / np.maximum(abs(to), 1e-9)

    estimate = ransac(RobustProblem(len(p), 2, crossings, residuals), threshold=tolerance, max_samples=500)
    if estimate is None or np.count_nonzero(estimate.inliers) < max(limits.min_matches, len(p) / 2):
        return False
    centre = (np.array(size) - 1) / 2 @ [1, 1j]
    in_place = centre + (found.factor * centre + found.shift - centre) / (1 - found.scale)
    return bool(abs(complex(estimate.model) - in_place) <= limits.epipole_shift * max(size) / growth)


def _error(code: str, what: str, how: str, numbers: dict) -> Finding:
    return Finding(code, "error", f"{what}: {how}.", numbers, ELSEWHERE)


def _change(found: Similarity, limits: CopyThresholds) -> str:
    """How photo 2 differs, as text: ", turned by 90 degrees, resized by 0.50"."""
    turned = f", turned by {abs(found.angle_deg):.0f} degrees" if abs(found.angle_deg) > limits.turned else ""
    return turned + (f", resized by {found.scale:.2f}" if abs(found.scale - 1) > limits.resized else "")


def _has_own_detail(part: Photo, whole: Photo, enlarged: float) -> bool:
    """Whether the part is sharper than pixels of the whole, enlarged: then a lens magnified it."""
    if enlarged < MIN_ZOOM:
        return False
    blurs = [
        blur_width(reduced_grey(photo, MAX_SIZE)[0]) * max(1.0, max(photo.size) / MAX_SIZE) for photo in (part, whole)
    ]
    return blurs[0] < blurs[1] * np.sqrt(enlarged)
