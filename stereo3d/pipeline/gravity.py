"""The direction of gravity: from the files, else from the vertical edges of both photos where these are sure."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..geometry.camera import undistort
from ..geometry.rotations import angle_deg
from ..geometry.vanishing import common_direction, edge_normals, fit_direction
from ..images.segments import SEGMENT_SIZE, line_segments
from ..records import Camera, Finding, Photo, TwoView

log = logging.getLogger(__name__)
DOWN = np.array([0.0, 1.0, 0.0])  # of the photo


@dataclass(frozen=True)
class GravityThresholds:
    """When vertical edges are sure.

    Measured on 25 real pairs and 14 rendered ones (docs/decisions/gravity.md): buildings and streets reach shares of
    .79 to 1 with rivals below .1; objects indoors reach .79, with rivals of .17 and more; a wooden panel .95 over 40 %
    of the width.

    Attributes
    ----------
    steepness : float
        Degrees from the photo's vertical within which an edge is taken for one that may be vertical in space.
    pitch, roll : float
        Degrees by which the camera may look up or down, and be rolled.
    count : int
        Edges that meet, at least, in each photo.
    share : float
        Of the length of all steep edges that the meeting ones have, at least.
    rival : float
        Length of the edges that meet at the next best point over theirs, at most.
    spread : float
        Share of the photo's width over which they are found (10th to 90th percentile), at least.
    agreement : float
        Degrees between what both photos say, at most.
    """

    steepness: float = 30.0
    pitch: float = 40.0
    roll: float = 15.0
    count: int = 20
    share: float = 0.75
    rival: float = 0.2
    spread: float = 0.45
    agreement: float = 2.0


@dataclass(frozen=True, eq=False)
class Verticals:
    """The edges of a photo that meet: direction in its camera's frame, normals and weights of the edges."""

    direction: np.ndarray
    normals: np.ndarray
    weights: np.ndarray


def find_gravity(
    left: Photo, right: Photo, view: TwoView, *, seed: int = 0, limits: GravityThresholds | None = None
) -> tuple[np.ndarray | None, list[Finding]]:
    """Return the direction of gravity in the frame of camera 1, and a finding where the photos show it.

    Parameters
    ----------
    left, right : Photo
        Upright, to `GravityThresholds.roll`.
    view : TwoView
    seed : int
    limits : GravityThresholds, optional

    Returns
    -------
    down : (3,) float64, or None
        Unit vector. From the first photo's file, else from the second's by the rotation between the cameras, else from
        vertical edges; None where nothing shows it.
    findings : list of Finding
        "gravity" where edges show it.

    References
    ----------
    Coughlan and Yuille, Manhattan world, 2003.
    """
    stated, other = left.exif.get("gravity"), right.exif.get("gravity")
    if stated is not None:
        return np.array(stated), []
    if other is not None:
        return view.R.T @ np.array(other), []
    if view.rig.wide:  # edges are no lines in its photos
        return None, []
    limits = limits or GravityThresholds()
    with ThreadPoolExecutor(2) as pool:
        taken = (left, view.rig.cam1), (right, view.rig.cam2)
        waiting = [pool.submit(vertical_edges, photo, camera, seed, limits) for photo, camera in taken]
        first, second = waiting[0].result(), waiting[1].result()
    if first is None or second is None:
        return None, []
    apart = angle_deg(first.direction, view.R.T @ second.direction)
    if apart > limits.agreement:
        log.info("vertical edges of the two photos disagree by %.2g degrees: gravity is not known", apart)
        return None, []
    normals = np.concatenate([first.normals, second.normals @ view.R])
    down = fit_direction(normals, np.concatenate([first.weights, second.weights]))
    down = down * np.sign(down @ DOWN)
    pitch, roll = _pitch_and_roll(down)
    return down, [
        Finding(
            "gravity",
            "info",
            f"camera 1 looks {'up' if pitch < 0 else 'down'} by {abs(pitch):.1f} degrees and is rolled by "
            f"{abs(roll):.1f}, as {len(first.normals)} and {len(second.normals)} vertical edges of the photos show, "
            f"which agree to {apart:.1f} degrees; the model is written upright.",
            {
                "pitch_deg": -pitch,
                "roll_deg": roll,
                "apart_deg": apart,
                "edges": (len(first.normals), len(second.normals)),
            },
        )
    ]


def _pitch_and_roll(down: np.ndarray) -> tuple[float, float]:
    """Degrees: of gravity out of the picture plane, forward positive, and of its turn in that plane."""
    pitch = np.degrees(np.arcsin(np.clip(down[2] / np.linalg.norm(down), -1, 1)))
    return float(pitch), float(np.degrees(np.arctan2(down[0], down[1])))


def vertical_edges(photo: Photo, camera: Camera, seed: int, limits: GravityThresholds) -> Verticals | None:
    """Return the edges of a photo that are vertical in space; None where they are not sure."""
    ends = line_segments(photo)
    along = ends[:, 1] - ends[:, 0]
    steep = np.abs(along[:, 0]) < np.tan(np.radians(limits.steepness)) * np.abs(along[:, 1])
    rays = undistort(ends, camera.K, camera.dist)
    known = steep & np.isfinite(rays).all((1, 2))
    ends, rays, lengths = ends[known], rays[known], np.linalg.norm(along[known], axis=1)
    if len(ends) < limits.count:
        return None
    sigmas = edge_sigmas(lengths, photo)
    within = np.radians(np.hypot(limits.pitch, limits.roll))
    found = common_direction(rays, sigmas, near=DOWN, within=within, seed=seed)
    if found is None:
        return None
    direction, meets = found
    pitch, roll = _pitch_and_roll(direction)
    rest, length = ~meets, float(lengths[meets].sum())
    next_best = common_direction(rays[rest], sigmas[rest], near=DOWN, within=within, seed=seed)
    rival = float(lengths[rest][next_best[1]].sum()) / length if next_best is not None else 0.0
    low, high = np.percentile(ends[meets].mean(1)[:, 0], [10, 90]) / photo.size[0]
    share = length / float(lengths.sum())
    log.info(
        "vertical edges: %d of %d meet, %.2f of the length (next best %.2f), over %.2f of the width, %.1f degrees up, "
        "rolled by %.1f",
        *(meets.sum(), len(meets), share, rival, high - low, -pitch, roll),
    )
    sure = (
        meets.sum() >= limits.count
        and share >= limits.share
        and rival <= limits.rival
        and high - low >= limits.spread
        and abs(pitch) <= limits.pitch
        and abs(roll) <= limits.roll
    )
    return Verticals(direction, edge_normals(rays[meets]), lengths[meets] ** 2 / max(photo.size) ** 2) if sure else None


def edge_sigmas(lengths: np.ndarray, photo: Photo) -> np.ndarray:
    """Return the standard deviation of an edge's angle, rad: 0.7 px of the searched picture at its ends, 0.25 degrees.

    Edges of real things are no better than that: stones, wear, the lens.
    """
    pixel = max(1.0, max(photo.size) / SEGMENT_SIZE)  # of the searched picture, in px of the photo
    return np.arctan(0.7 * pixel / lengths) + np.radians(0.25)
