"""--rotate: the quarter turn that makes both photos upright, as given or as the photos show it."""

import logging

import numpy as np

from ..cameras.fit import turn_rig
from ..cameras.focal import camera_for
from ..errors import StereoError
from ..images.turn import turn_photo
from ..images.unknown import scene_pixels
from ..records import Finding, Photo, Rig
from .config import Config
from .gravity import GravityThresholds, vertical_edges

log = logging.getLogger(__name__)
MIN_TILT = 0.6  # share of gravity in the picture plane: a camera that looks down has no upright
SKY_SIZE = 600  # px, longer side at which sky is sought
STRIP = 0.12  # of the picture, at each side
SMOOTH = 4.0  # grey levels a pixel: the gradient of a sky
BRIGHT, BLUE, DIM = (
    150.0,
    15.0,
    70.0,
)  # grey levels: of an overcast sky; blue over red, and the least grey, of a clear one
# Share of a side's strip that looks like sky, at least, and of the opposite side's, at most. Of 25 real pairs these and
# vertical edges along one axis only decide two, both rightly; sky alone errs on bright floors and tables.
MIN_SKY, MAX_OPPOSITE = 0.7, 0.3


def turn_upright(left: Photo, right: Photo, rig: Rig, config: Config) -> tuple[Photo, Photo, Rig, list[Finding]]:
    """Return both photos and their cameras turned by config.rotate, and a finding of "auto"."""
    if config.rotate is None:
        return left, right, rig, []
    if rig.cam1.is_panorama or rig.cam2.is_panorama:
        if config.rotate == "auto":  # no side of it can be up
            return left, right, rig, []
        if int(config.rotate) != 180:
            raise StereoError(
                "bad_option",
                f"rotate {config.rotate} turns a panorama whose rows are circles of latitude.",
                "Leave --rotate out, or give --rotate 180.",
            )
    if config.rotate != "auto":
        degrees, findings = int(config.rotate), []
    else:
        degrees, reason = upright_turn(left, right, config)
        findings = [_finding(degrees, reason)]
        degrees = degrees or 0
    return turn_photo(left, degrees), turn_photo(right, degrees), turn_rig(rig, degrees), findings


def _finding(degrees: int | None, reason: str) -> Finding:
    if degrees is None:
        return Finding(
            "rotate",
            "info",
            "nothing in the photos shows for sure which way is up: they were not turned.",
            {},
            "If they lie on their side, give --rotate 90, 180 or 270.",
        )
    did = f"the photos were turned by {degrees} degrees clockwise" if degrees else "the photos are upright"
    return Finding("rotate", "info", f"{did}, by {reason}.", {"degrees": degrees})


def upright_turn(left: Photo, right: Photo, config: Config) -> tuple[int | None, str]:
    """Return the degrees, clockwise, by which both photos are to be turned, and what shows it; None: nothing does.

    Gravity in a file; else edges that are vertical along one axis of both photos only, with sky at the same end of it.
    """
    stated = [g for g in (photo.exif.get("gravity") for photo in (left, right)) if g is not None]
    turns = {_turn_by_gravity(g) for g in stated} - {None}
    if len(turns) == 1:
        return turns.pop(), "the direction of gravity in the file"
    found = {_turn_by_scene(photo, config) for photo in (left, right)}
    degrees = found.pop()
    return (degrees, "vertical edges and the sky") if not found and degrees is not None else (None, "")


def _turn_by_gravity(gravity: tuple[float, float, float]) -> int | None:
    """The turn after which gravity points down in the picture; None where the camera looks along it."""
    x, y, _ = gravity
    if np.hypot(x, y) < MIN_TILT:
        return None
    return {(0, 1): 0, (1, 0): 90, (0, -1): 180, (-1, 0): 270}[
        (int(np.sign(x)), 0) if abs(x) > abs(y) else (0, int(np.sign(y)))
    ]


def _turn_by_scene(photo: Photo, config: Config) -> int | None:
    """The turn that brings sky to the top, where edges along that axis alone are vertical."""
    given = {"focal": config.focal, "focal_35mm": config.focal_35mm, "fov": config.fov}
    seen = []
    for degrees in (0, 90):
        turned = turn_photo(photo, degrees)
        seen.append(vertical_edges(turned, camera_for(turned, **given), config.seed, GravityThresholds()) is not None)
    if seen[0] == seen[1]:
        return None
    sky = side_skies(photo)
    first = 0 if seen[0] else 1  # sides 0 and 2 are top and bottom, 1 and 3 right and left
    for side in (first, first + 2):
        if sky[side] >= MIN_SKY and sky[(side + 2) % 4] <= MAX_OPPOSITE:
            return (360 - 90 * side) % 360
    return None


def side_skies(photo: Photo) -> np.ndarray:
    """(4,): share of the strips at the top, right, bottom and left of a photo that is smooth and bright or blue."""
    import cv2

    scale = min(1.0, SKY_SIZE / max(photo.size))
    small = cv2.resize(scene_pixels(photo), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)
    grey = small.mean(2)
    gradient = np.hypot(np.diff(grey, axis=1)[:-1], np.diff(grey, axis=0)[:, :-1])
    blue = (small[..., 2] - small[..., 0])[:-1, :-1]
    grey = grey[:-1, :-1]
    sky = (cv2.blur(gradient, (7, 7)) < SMOOTH) & ((grey > BRIGHT) | ((blue > BLUE) & (grey > DIM)))
    rows, columns = (max(1, int(STRIP * n)) for n in sky.shape)
    strips = sky[:rows], sky[:, -columns:], sky[-rows:], sky[:, :columns]
    return np.array([strip.mean() for strip in strips])
