"""Lens models: which of focal length, principal point and distortion are free, and what is known of them beforehand."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ..records import Camera, Rig
from .refine import LENS, LensModel, pose_alone

# Standard deviations a priori of the logarithm of the focal length. EXIF gives whole mm of 35 mm film and rounds lens
# data, and its sensor sizes are nominal: a few per cent. Two thirds of the guesses are right within a factor of 1.5 (19
# to 42 mm about 28 mm).
FOCAL_PRIOR_SIGMA = {"exif": 0.05, "prior": float(np.log(1.5))}
# Wrong guesses are wrong by any factor, for telephoto lenses exist: their errors have Student's distribution with two
# degrees of freedom, of which 68.3 % lie within 1.321 of its scale. 5 % of the lenses are then beyond 68 mm or below
# 11 mm, 1 % beyond 175 mm.
GUESS_SCALE = FOCAL_PRIOR_SIGMA["prior"] / 1.321
ZOOM_PRIOR_SIGMA = 0.03  # of log f2 / f1 of one lens whose zoom or focus has changed: 6 mm focused at .2 m
CENTRE_PRIOR_SIGMA = 0.01  # of the longer side: assembly of a lens, and stabilisers that shift it
CENTRE_CHANGE_SHARE = 0.05  # of that, between two photos by one lens
DISTORTION_PRIOR_SIGMA = 0.05  # k1, k2: phones and processed photos below 0.02, compact cameras up to 0.2
MAX_INDEPENDENT = 100  # matches that count at most where a lens has to be confirmed, or a nominal rig: errors are alike
NORMAL_FOCAL = 28 / 43.267  # diagonals: 28 mm on 35 mm film; a longer lens bends its narrower field as much
MAX_K1 = 0.5  # |k1|; beyond it the fit has found something that is no lens


@dataclass(frozen=True, eq=False)
class LensState:
    """Pose and lens.

    Parameters
    ----------
    R, t : (3, 3), (3,) float64
        Pose.
    p : (q,) float64
        Parameters of `free_lens_model`; the first one is the logarithm of a factor of the focal length.
    """

    R: np.ndarray
    t: np.ndarray
    p: np.ndarray


def free_lens_model(rig: Rig, focals: ArrayLike, *, near: float = 0.0, zoom: bool = False) -> LensModel:
    """Return the lens parameters that are estimated: focal, principal point, k1 and k2 of each uncalibrated camera.

    Parameters
    ----------
    rig : Rig
        A given or calibrated camera has no free parameter. Two equal cameras have one common lens. Of two different
        ones the first parameter is the common factor of both focal lengths, or that of the one that is known worse.
    focals : (2,) float64
        px.
    near : float
        Logarithm of the factor by which a guess is wrong: there the normal prior has the slope of Student's.
    zoom : bool
        Whether the focal length of one common lens may differ between the photos; the last parameter is then
        log(f2 / f1).

    Returns
    -------
    LensModel
    """
    free = [k for k, c in enumerate((rig.cam1, rig.cam2)) if c.source in FOCAL_PRIOR_SIGMA and len(c.dist) == 0]
    if not free:
        return pose_alone(focals)
    lenses = [_lens(rig, k, near) for k in free]
    if len(free) == 1:
        columns, sigma = lenses[0]
    else:
        (first, sigma1), (second, sigma2) = lenses
        if one_lens(rig):
            columns, sigma = first + second, sigma1
            if zoom:
                columns = np.hstack([columns, (second[:, :1] - first[:, :1]) / 2])
                sigma = np.append(sigma, ZOOM_PRIOR_SIGMA)
        elif rig.cam1.source == rig.cam2.source:
            focal = [first[:, :1] + second[:, :1], first[:, :1] - second[:, :1]]
            half = FOCAL_PRIOR_SIGMA[rig.cam1.source] / np.sqrt(2)  # of mean and half the difference of two alike
            common = sigma1[0] if rig.cam1.source == "prior" else half
            columns = np.hstack([*focal, first[:, 1:], second[:, 1:]])
            sigma = np.concatenate([[common, half], sigma1[1:], sigma2[1:]])
        else:
            order = [0, 1] if rig.cam1.source == "prior" else [1, 0]
            columns, sigma = (np.concatenate([lenses[k][part] for k in order], axis=-1) for part in (0, 1))
    return LensModel(np.asarray(focals, dtype=float), columns, sigma)


def _lens(rig: Rig, which: int, near: float) -> tuple[np.ndarray, np.ndarray]:
    """Columns (10, 5) and prior sigma (5,) of one lens."""
    camera = (rig.cam1, rig.cam2)[which]
    centre = CENTRE_PRIOR_SIGMA * max(camera.size)
    bend = bend_scale(camera)
    distortion = DISTORTION_PRIOR_SIGMA * bend, DISTORTION_PRIOR_SIGMA * bend**2
    sigma = [prior_width(camera.source, near), centre, centre, *distortion]
    return np.eye(2 * LENS)[:, which * LENS : (which + 1) * LENS], np.array(sigma)


def bend_scale(camera: Camera) -> float:
    """Factor on k1 of a lens longer than normal, whose field is narrower but bent as much."""
    return max(1.0, camera.focal / (NORMAL_FOCAL * float(np.hypot(*camera.size)))) ** 2


def unmodelled_lens(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """Return what is not estimated but wrong all the same: one lens's centre differs a little between the photos.

    Parameters
    ----------
    rig : Rig
        Cameras with free parameters (`free_lens_model`).

    Returns
    -------
    basis, sigma : (10, k), (k,) float64
        Lens parameters, and their standard deviations.
    """
    if not one_lens(rig):
        return np.zeros((2 * LENS, 0)), np.zeros(0)
    change = np.eye(2 * LENS)[:, 1:3] - np.eye(2 * LENS)[:, LENS + 1 : LENS + 3]
    return change, np.full(2, CENTRE_PRIOR_SIGMA * CENTRE_CHANGE_SHARE * max(rig.cam1.size))


def prior_width(source: str, near: float) -> float:
    """Standard deviation of the normal distribution about 0 whose logarithm has the slope of the prior's at `near`."""
    if source == "prior":
        return float(np.sqrt((2 * GUESS_SCALE**2 + near**2) / 3))
    return FOCAL_PRIOR_SIGMA[source]


def prior_cost(source: str, u: np.ndarray) -> np.ndarray:
    """-log of the prior density of u = log(f / focal), without its constant."""
    if source == "prior":
        return 1.5 * np.log1p(u**2 / (2 * GUESS_SCALE**2))
    return 0.5 * (u / FOCAL_PRIOR_SIGMA[source]) ** 2


def prior_interval(source: str) -> tuple[float, float]:
    """Factors of a focal length between which the true one lies with a probability of 90 %, beforehand."""
    # 5 % of a normal distribution lie beyond 1.645 of its standard deviations, 5 % of Student's beyond 2.920 scales
    half = 2.920 * GUESS_SCALE if source == "prior" else 1.645 * FOCAL_PRIOR_SIGMA[source]
    return float(np.exp(-half)), float(np.exp(half))


def prior_focal_sigma(rig: Rig) -> float:
    """The larger relative standard error of both focal lengths before any match is seen."""
    return max(FOCAL_PRIOR_SIGMA.get(camera.source, 0.0) for camera in (rig.cam1, rig.cam2))


def prior_focal_error(rig: Rig) -> tuple[float | None, tuple[float, float] | None]:
    """Relative standard error and interval (`prior_interval`) of the focal lengths before any match; None: known."""
    if not {rig.cam1.source, rig.cam2.source} & set(FOCAL_PRIOR_SIGMA):
        return None, None
    return prior_focal_sigma(rig), prior_interval(worse_source(rig))


def worse_source(rig: Rig) -> str:
    """The source of the focal length that is known worse, "prior" before "exif"."""
    return "prior" if "prior" in (rig.cam1.source, rig.cam2.source) else "exif"


def one_lens(rig: Rig) -> bool:
    """Whether both cameras are equal, so that their parameters are estimated as one lens."""
    a, b = rig.cam1, rig.cam2
    return (
        a.size == b.size
        and a.source == b.source
        and np.array_equal(a.K[:, :2], b.K[:, :2])
        and np.array_equal(a.dist, b.dist)
    )


def hold_focal(lens_model: LensModel, u: float) -> LensModel:
    """Return the model without its first parameter, which is held at u; the others keep their meaning."""
    factors = np.exp(u * lens_model.basis[[0, LENS], 0])
    basis = lens_model.basis[:, 1:].copy()
    for first, factor in zip((0, LENS), factors, strict=True):
        basis[first + 3] *= factor**2  # k1 and k2 count in units of the model's focal lengths
        basis[first + 4] *= factor**4
    return replace(lens_model, focals=lens_model.focals * factors, basis=basis, prior_sigma=lens_model.prior_sigma[1:])


def with_lens(camera: Camera, z: np.ndarray, error: float) -> Camera:
    """The camera with log focal, centre (px), k1 and k2 of its lens moved by z; fx / fy stays.

    Parameters
    ----------
    camera : Camera
        As it was given.
    z : (5,) float64
        `refine.LensModel`.
    error : float
        Relative standard error of the focal length.
    """
    if not np.any(z):
        return camera
    factor = np.exp(z[0])
    K = camera.K.copy()
    squeeze = np.array([K[0, 0], K[1, 1]]) / camera.focal
    K[[0, 1], [0, 1]] *= factor
    K[:2, 2] += z[1:3] * squeeze
    dist = np.array([z[3] * factor**2, z[4] * factor**4, 0, 0])
    if camera.source == "prior":
        return replace(camera, K=K, dist=dist, source="estimated", source_detail=f"standard error {100 * error:.1f} %")
    moved = f"adjusted by {100 * (factor - 1):+.1f} % with the pose, standard error {100 * error:.1f} %"
    return replace(camera, K=K, dist=dist, source_detail=f"{camera.source_detail}; {moved}")
