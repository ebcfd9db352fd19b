"""Refine the matches of wide lenses: patches of the photos as seen on the planes that touch the sphere there.

In a panorama or at the rim of a fisheye the pixels of a window lie along curves, which differ between the photos. A
window that is compared in the photos themselves is then matched a twentieth of a pixel beside its middle, to the same
side over whole parts of the sphere: as much as a turn of the camera by that.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .. import resources
from ..geometry.arrays import all_channels, frame_ratio, norms
from ..images.reduce import reduced_grey, smooth
from ..records import Camera, Matches, Photo

RADIUS = 9  # px, of the windows, as in `matching.refine_matches`
MAX_SHIFT = 3.0  # px of a patch: a refined position that moves farther is rejected, as there
MARGIN = 5  # px about a window, within which it may move, grow and be blurred
CHUNK = 1024  # matches whose patches are in memory at a time: 7 MB
STEP = 0.5  # px: of the differences that turn frames of the photo into those of a tangent plane


class _Tangents(NamedTuple):
    """The planes that touch the sphere of a camera at N directions.

    Parameters
    ----------
    ray : (N, 3)
        Directions.
    across : (N, 3, 2)
        Two orthogonal directions across each, of the length of a pixel.
    frame : (N, 2, 2)
        Change of the photo's pixel for one of the plane.
    """

    ray: np.ndarray
    across: np.ndarray
    frame: np.ndarray


def refine_on_tangents(
    photos: tuple[Photo, Photo],
    cameras: tuple[Camera, Camera],
    matches: Matches,
    frames: np.ndarray,
    *,
    max_size: int,
) -> Matches:
    """Move x2 to where the second photo correlates best with the first about x1, both on tangent planes; x1 stays.

    Parameters
    ----------
    photos : (Photo, Photo)
    cameras : (Camera, Camera)
        Of any lens.
    matches : Matches
        Photo pixels.
    frames : (N, 2, 2) float64
        d2 = frames d1, the affine map of photo pixels to start from.
    max_size : int
        px, longer side to which the photos are reduced.

    Returns
    -------
    Matches
        A match stays where a patch reaches out of what its photo shows, where its fit does not converge, correlates
        below 0.8 or moves by more than `MAX_SHIFT`.
    """
    greys = [reduced_grey(photo, max_size) for photo in photos]
    tangents = [
        _tangents(camera, x, float(scale.mean()))
        for camera, x, (_, scale) in zip(cameras, (matches.x1, matches.x2), greys, strict=True)
    ]
    one, two = tangents  # the second patch is drawn as the first one has it
    G = np.einsum("nij,njk->nik", frames, one.frame)
    A = frame_ratio(np.swapaxes(G, 1, 2), np.swapaxes(two.frame, 1, 2))  # its transpose is two.frame^-1 G
    two = two._replace(across=np.einsum("nij,nkj->nik", two.across, A))
    x2 = matches.x2.copy()

    def refine_chunk(first: int) -> None:
        part = slice(first, first + CHUNK)
        own, other = (_Tangents(*(a[part] for a in t)) for t in (one, two))
        x2[part] = _refined(greys, cameras, own, other, matches.x2[part])

    with ThreadPoolExecutor(resources.processors()) as pool:
        list(pool.map(refine_chunk, range(0, len(x2), CHUNK)))
    return replace(matches, x2=x2)


def _tangents(camera: Camera, x: np.ndarray, scale: float) -> _Tangents:
    """The tangent planes at photo pixels x (N, 2), as dense as the photo reduced by `scale`; NaN without a ray."""
    ray = camera.rays_from_pixels(x)
    aside = np.eye(3)[np.abs(np.nan_to_num(ray)).argmin(1)]
    u = np.cross(ray, aside)
    u /= norms(u)[:, None]
    across = np.stack([u, np.cross(ray, u)], -1) * (camera.pixel_angle / scale)
    moved = [camera.pixels_from_rays(ray + STEP * across[..., k]) - x for k in (0, 1)]
    if camera.is_panorama:  # across the seam
        for m in moved:
            m[:, 0] -= camera.size[0] * np.round(m[:, 0] / camera.size[0])
    return _Tangents(ray, across, np.stack(moved, -1) / STEP)


def _refined(
    greys: list[tuple[np.ndarray, np.ndarray]],
    cameras: tuple[Camera, Camera],
    one: _Tangents,
    two: _Tangents,
    x2: np.ndarray,
) -> np.ndarray:
    """The refined photo pixels (N, 2) of some matches."""
    from ..images.patch_fit import fit_patches

    half = RADIUS + MARGIN
    (image1, shown1), (image2, shown2) = (
        _patches(grey, camera, tangents, half)
        for grey, camera, tangents in zip(greys, cameras, (one, two), strict=True)
    )
    count, side = len(x2), 2 * half + 1
    middle = np.stack([np.full(count, float(half)), half + side * np.arange(count)], -1)
    out, score = np.empty_like(middle), np.empty(count)
    upright = np.tile(np.eye(2), (count, 1, 1))
    fit_patches(image1, image2, middle, middle, upright, RADIUS, MAX_SHIFT, 0, count, out, score)
    moved = cameras[1].pixels_from_rays(two.ray + np.einsum("nij,nj->ni", two.across, out - middle))
    good = (score > 0) & shown1 & shown2 & np.isfinite(moved).all(1)
    return np.where(good[:, None], moved, x2)


def _patches(
    grey: tuple[np.ndarray, np.ndarray], camera: Camera, tangents: _Tangents, half: int
) -> tuple[np.ndarray, np.ndarray]:
    """The patches of 2 half + 1 px, one below the other, smoothed, and whether the photo shows all of each."""
    import cv2

    picture, scale = grey
    step = np.arange(-half, half + 1.0)
    place = np.stack(np.meshgrid(step, step), -1).reshape(-1, 2)
    x = camera.pixels_from_rays(tangents.ray[:, None] + np.einsum("nij,pj->npi", tangents.across, place))
    with np.errstate(invalid="ignore"):
        inside = all_channels((x >= -0.5) & (x <= np.array(camera.size) - 0.5))
    at = ((np.where(inside[..., None], x, 0) + 0.5) * scale - 0.5).astype(np.float32)
    at = at.reshape(-1, 2 * half + 1, 2)
    drawn = np.empty(at.shape[:2], np.float32)
    border = cv2.BORDER_WRAP if camera.is_panorama else cv2.BORDER_REPLICATE
    for top in range(0, len(at), 16384):  # cv2.remap takes no side of 32768 or more
        rows = slice(top, top + 16384)
        drawn[rows] = cv2.remap(
            src=picture.astype(np.float32),
            map1=np.ascontiguousarray(at[rows, :, 0]),
            map2=np.ascontiguousarray(at[rows, :, 1]),
            interpolation=cv2.INTER_CUBIC,
            borderMode=border,
        )
    return smooth(drawn), np.asarray(inside.all(axis=1))
