"""What lies over both photos at the same pixels (captions, stamps, frames, windows of programmes) is no scene."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from ..errors import StereoError
from ..geometry.arrays import transform
from ..images.overlay import overlay_pixels
from ..images.reduce import reduced_grey
from ..records import Finding, Matches, Photo, Rig
from .config import Config
from .pose import estimate_pose

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OverlayThresholds:
    """Bounds of what counts as an overlay, measured by `benchmarks/user_pairs.py`.

    Lengths are px of a photo of the size at which features are found, or photo px of a smaller one.
    """

    still: float = 0.3  # px by which a match of an overlay moves: matches are refined to .1
    around: float = 1.5  # px: of a thing that happens to move little, many others move up to that
    peak: float = 2.0  # times as many matches are still as move up to `around`
    min_matches: int = 12  # still ones: fewer may be chance
    min_others: int = 40  # that move, on whose motion the test rests
    min_agree: float = 0.5  # of those, that agree with one motion
    min_turn: float = 2.0  # px by which that motion moves what is infinitely far away: else the still ones may be far
    max_share: float = 0.7  # of the photo: more is no overlay
    warning_share: float = 0.5  # of the photo, above which little is left of it


OVERLAY_THRESHOLDS = OverlayThresholds()


def still_matches(matches: Matches, unit: float, limits: OverlayThresholds = OVERLAY_THRESHOLDS) -> np.ndarray | None:
    """Return which matches are at the same pixel of both photos, (N,) bool; None where that is no accident of a motion.

    Parameters
    ----------
    matches : Matches
        All, photo px.
    unit : float
        Photo px in one px of the thresholds.
    limits : OverlayThresholds
        Bounds.
    """
    moved = np.abs(matches.x1 - matches.x2).max(1)
    still = moved < limits.still * unit
    count, near = int(still.sum()), int((moved < limits.around * unit).sum())
    if count < limits.min_matches or count < limits.peak * (near - count):
        return None
    return still if len(matches) - near >= limits.min_others else None


def without_overlay(
    left: Photo,
    right: Photo,
    matches: Matches,
    rig: Rig,
    config: Config,
    limits: OverlayThresholds = OVERLAY_THRESHOLDS,
) -> tuple[Photo, Photo, Matches, list[Finding]]:
    """Return photos whose masks leave out what lies over both at the same pixels, matches without it, and a finding.

    Matches that stay at their pixels to a third of a pixel, while the others move, are drawn into both photos, unless
    these others say that the cameras look the same way: then what is far stays, too. Nothing is tested where the pose
    is given.

    Parameters
    ----------
    left, right : Photo
        The photos.
    matches : Matches
        All, photo px.
    rig : Rig
        The cameras.
    config : Config
        Options of the stage "pose".
    limits : OverlayThresholds
        Bounds.
    """
    unit = max(1.0, max(left.size) / config.feature_size)
    still = None
    if left.size == right.size and not rig.posed and not rig.wide:
        still = still_matches(matches, unit, limits)
    if still is None or not _moves_the_far(
        matches[~still], matches.x1[still], rig, config, limits.min_turn * unit, limits
    ):
        return left, right, matches, []
    covered = _covered(left, right, matches.x1[still], config.feature_size)
    share = float(covered.mean())
    if share > limits.max_share:
        return left, right, matches, []
    x, y = np.rint(matches.x1).astype(int).clip(0, np.array(left.size) - 1).T
    x2, y2 = np.rint(matches.x2).astype(int).clip(0, np.array(left.size) - 1).T
    kept = matches[~(still | covered[y, x] | covered[y2, x2])]
    masks = (~covered if photo.mask is None else photo.mask & ~covered for photo in (left, right))
    left, right = (replace(photo, mask=mask) for photo, mask in zip((left, right), masks, strict=True))
    log.info("%d matches are at the same pixels of both photos: an overlay", still.sum())
    return left, right, kept, [_finding(int(still.sum()), len(matches), matches.x1[still], share, limits)]


def _covered(left: Photo, right: Photo, still: np.ndarray, size: int) -> np.ndarray:
    """Return the pixels of both photos under the overlay, (H,W) bool; looked for at a longer side of `size` px."""
    import cv2

    (one, scale), (two, _) = (reduced_grey(photo, size) for photo in (left, right))
    covered = overlay_pixels(one, two, (still + 0.5) * scale - 0.5).astype(np.uint8)
    return cv2.resize(covered, dsize=left.size, interpolation=cv2.INTER_NEAREST) > 0


def _moves_the_far(
    others: Matches, still: np.ndarray, rig: Rig, config: Config, distance: float, limits: OverlayThresholds
) -> bool:
    """Whether the motion by the other matches moves infinitely far points at those places (N, 2) by a distance, px."""
    try:
        pose = estimate_pose(others, rig, config)
    except StereoError:
        return False
    view = pose.view
    if view.inliers.mean() < limits.min_agree:
        return False
    turned = transform(view.rig.cam2.K @ view.R @ np.linalg.inv(view.rig.cam1.K), still)
    return bool(np.median(np.linalg.norm(turned - still, axis=1)) > distance)


def _finding(count: int, total: int, x: np.ndarray, share: float, limits: OverlayThresholds) -> Finding:
    at = np.median(x, axis=0)
    return Finding(
        "overlay",
        "warning" if share > limits.warning_share else "info",
        f"{count} of {total} matches are at the same pixels of both photos, though the camera moved: a caption, stamp, "
        f"frame or window about ({at[0]:.0f}, {at[1]:.0f}) lies over the photos; {100 * share:.0f} % of them are left "
        "out.",
        {"matches": count, "share": share, "x": float(at[0]), "y": float(at[1])},
        "Use the photos as they came from the camera.",
    )
