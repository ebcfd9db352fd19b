"""Exact matches of random and rendered two-view geometries."""

from typing import Annotated

import numpy as np

from ..geometry.camera import project, undistort
from ..geometry.rotations import rotation_from_vector
from ..options import Range, check_options, options_of
from ..records import Camera, Matches, Rig
from .poses import Pose
from .renderer import SyntheticPair


def exact_matches(
    pair: SyntheticPair,
    n: int,
    *,
    noise: Annotated[float, Range(0)] = 0.0,
    outliers: Annotated[float, Range(0, 1)] = 0.0,
    seed: Annotated[int, Range(0)] = 0,
) -> Matches:
    """Sample n pixels of photo 1 that photo 2 sees, with the exact positions of their surface points in photo 2.

    Parameters
    ----------
    pair : SyntheticPair
        Photos with truth.
    n : int
        Matches, in random order, their scores 1.
    noise : float
        px: standard deviation added to both positions.
    outliers : float
        Share of the matches whose second position is anywhere in photo 2.
    seed : int
        Of the sample, the noise and the outliers.

    Returns
    -------
    Matches

    Raises
    ------
    StereoError
        "bad_option" for an option out of bounds.
    ValueError
        Where fewer than n pixels are visible in both photos.
    """
    given = {"noise": noise, "outliers": outliers, "seed": seed}
    noise, outliers, seed = check_options("exact_matches", options_of(exact_matches), given).values()
    y, x = np.nonzero(pair.visible1)
    if len(x) < n:
        raise ValueError(f"{n} matches asked for, {len(x)} pixels are visible in both photos")
    rng = np.random.default_rng(seed)
    pick = rng.choice(len(x), n, replace=False)
    y, x = y[pick], x[pick]
    x1 = np.stack([x, y], -1).astype(float)
    rig = pair.rig
    y1 = undistort(x1, rig.cam1.K, rig.cam1.dist)
    X = np.concatenate([y1, np.ones((n, 1))], -1) * pair.depth1[y, x][:, None]
    x2 = project(X, rig.cam2.K, rig.R, rig.t, rig.cam2.dist)
    return _add_noise_and_outliers((x1, x2), rig.cam2.size, noise, outliers, rng)


def _add_noise_and_outliers(
    x: tuple[np.ndarray, np.ndarray],
    size: tuple[int, int],
    noise: float,
    outliers: float,
    rng: np.random.Generator,
) -> Matches:
    """Matches (x1, x2) with noise on both, and outliers anywhere in the second photo, of that size."""
    x1, x2 = x
    n = len(x1)
    if noise > 0:
        x1, x2 = x1 + rng.normal(0, noise, x1.shape), x2 + rng.normal(0, noise, x2.shape)
    wrong = rng.permutation(n)[: round(outliers * n)]
    x2 = x2.copy()
    x2[wrong] = rng.uniform(-0.5, np.array(size) - 0.5, (len(wrong), 2))
    return Matches(x1, x2, np.ones(n, np.float32))


# Camera 2's centre and rotation vector (degrees) of `random_two_view`, before a random jitter; depths are 4 to 10.
MOTIONS: dict[str, tuple[tuple, tuple]] = {
    "sideways": ((1, 0, 0), (0, 0, 0)),
    "swapped": ((-1, 0, 0), (0, 0, 0)),
    "vertical": ((0, -1, 0), (0, 0, 0)),
    "forward": ((0.05, 0.03, 1), (0, 0, 0)),
    "converging": ((1, 0, 0.1), (0, -10, 0)),
    "turned": ((1, 0, 0), (0, 0, 90)),
    "planar": ((1, 0, 0), (0, 0, 0)),  # the points lie on one slanted plane
    "rotation": ((0, 0, 0), (3, -6, 2)),  # t = 0
}


def random_two_view(
    n: int,
    *,
    seed: int,
    focal: float = 1200.0,
    size: tuple[int, int] = (1600, 1200),
    motion: str = "sideways",
    noise: Annotated[float, Range(0)] = 0.0,
    outliers: Annotated[float, Range(0, 1)] = 0.0,
) -> tuple[Matches, Rig]:
    """x_i ~ K (R_i X + t_i), |t| = 1: n random points seen by two random cameras, without pictures.

    Parameters
    ----------
    n : int
        Points, at depths 4 to 10.
    seed : int
        Of all that is random.
    focal : float
        px.
    size : (width, height)
        px.
    motion : str
        One of `MOTIONS`, plus a random rotation of about 2 degrees and a random step of a tenth of the baseline (no
        step for "rotation", whose t is 0).
    noise, outliers : float
        As in `exact_matches`.

    Returns
    -------
    Matches, Rig

    Raises
    ------
    StereoError
        "bad_option" for an option out of bounds.
    ValueError
        For an unknown motion, or where the cameras see too few points in common.
    """
    given = {"noise": noise, "outliers": outliers}
    noise, outliers = check_options("random_two_view", options_of(random_two_view), given).values()
    if motion not in MOTIONS:
        raise ValueError(f"there is no motion {motion!r}; there are: {', '.join(MOTIONS)}")
    rng = np.random.default_rng(seed)
    K = np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1.0]])
    R, t = _random_motion(motion, rng)
    kept = []
    for _ in range(200):
        x = _random_points(2 * n + 20, motion, (K, R, t), size, rng)
        kept.append(x)
        if sum(map(len, kept)) >= n:
            break
    else:
        raise ValueError(f"too few points are seen by both cameras (focal {focal:g} px, size {size}, {motion})")
    both = np.concatenate(kept)[:n]
    cam = Camera(K, (size[0], size[1]), source="given", source_detail="synthetic")
    matches = _add_noise_and_outliers((both[:, :2], both[:, 2:]), size, noise, outliers, rng)
    return matches, Rig(cam, cam, R, t, None)


def _random_motion(motion: str, rng: np.random.Generator) -> Pose:
    """R, t of a motion with a random jitter, |t| = 1 or 0."""
    centre, turn = (np.array(v, dtype=float) for v in MOTIONS[motion])
    R = rotation_from_vector(np.radians(rng.normal(0, 2, 3))) @ rotation_from_vector(np.radians(turn))
    if np.any(centre):
        centre = centre + rng.normal(0, 0.05 if motion == "forward" else 0.1, 3)
        centre /= np.linalg.norm(centre)
    return R, -R @ centre + 0.0


def _random_points(
    count: int, motion: str, cameras: tuple, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """(M,4): x1, x2 of the points, of `count` random ones, that both cameras see; cameras: K, R, t."""
    K, R, t = cameras
    x1 = rng.uniform(-0.5, np.array(size) - 0.5, (count, 2))
    d = np.concatenate([(x1 - K[:2, 2]) / K[0, 0], np.ones((len(x1), 1))], -1)
    if motion == "planar":
        normal = np.array([0.3, 0.2, -1.0])
        z = -6.0 / (d @ normal)
    else:
        z = rng.uniform(4, 10, len(x1))
    X = d * z[:, None]
    x2 = project(X, K, R, t)
    seen = ((X @ R.T + t)[:, 2] > 0.1) & np.all((x2 >= -0.5) & (x2 <= np.array(size) - 0.5), -1)
    return np.concatenate([x1, x2], 1)[seen]
