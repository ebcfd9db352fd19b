"""Disparity -> point map, with its uncertainty."""

import numpy as np

from .geometry import hom, intersect_rays, undistort
from .records import RectifiedPair, TwoView

MATCH_SIGMA = 0.3  # px: standard deviation of a good dense match where the matcher does not tell its own


def triangulate(
    disparity: np.ndarray, pair: RectifiedPair, view: TwoView, *, disparity_sigma=MATCH_SIGMA
) -> tuple[np.ndarray, np.ndarray]:
    """Points (H,W,3) f64 in the frame of camera 1, units of t, and their deviation along the ray, sigma (H,W) f32.

    Each rectified pixel (i, j) and its match (i - d, j) are looked up in the maps back to the photos; the point is the
    one of the first photo's ray that is nearest to the second's, so it projects exactly onto its own photo pixel:
    X = z d1.  sigma = |dz/dd| disparity_sigma |d1|, the derivative by the difference of half a pixel either way.
    disparity: (H,W) px, NaN unknown.  disparity_sigma: px, number or (H,W).
    Points behind a camera, or farther than their own deviation allows to tell from infinity, are NaN.
    """
    h, w = disparity.shape
    if pair.map1.shape[:2] != (h, w):
        raise ValueError(f"disparity is {disparity.shape}, the rectified pair {pair.map1.shape[:2]}")
    rig = view.rig
    j, i = np.nonzero(np.isfinite(disparity))
    d = disparity[j, i].astype(float)
    ray1 = hom(undistort(pair.map1[j, i], rig.cam1.K, rig.cam1.dist))

    def depth(shift):
        ray2 = hom(undistort(_lookup(pair.map2, i - d - shift, j), rig.cam2.K, rig.cam2.dist))
        return intersect_rays(ray1, ray2, view.R, view.t), ray2

    z, ray2 = depth(0.0)
    # one pixel of disparity across, half to either side; where one side has left the picture, the other tells
    nearer, farther = depth(0.5)[0], depth(-0.5)[0]
    slope = np.where(np.isfinite(nearer) & np.isfinite(farther), np.abs(nearer - farther) / 1.0, np.nan)
    one_sided = 2 * np.fmin(np.abs(nearer - z), np.abs(farther - z))
    slope = np.where(np.isfinite(slope), slope, one_sided)
    step = disparity_sigma if np.isscalar(disparity_sigma) else disparity_sigma[j, i]
    deviation = slope * step
    X2 = z[:, None] * ray1 @ view.R.T + view.t
    with np.errstate(invalid="ignore"):
        good = (z > 0) & (X2[:, 2] > 0) & (deviation < 0.5 * z)
    points = np.full((h, w, 3), np.nan)
    sigma = np.full((h, w), np.nan, np.float32)
    points[j[good], i[good]] = z[good, None] * ray1[good]
    sigma[j[good], i[good]] = (deviation * np.linalg.norm(ray1, axis=1))[good]
    return points, sigma


def _lookup(xy: np.ndarray, u: np.ndarray, row: np.ndarray) -> np.ndarray:
    """The map xy (H,W,2) at fractional columns u of whole rows, linear; NaN outside."""
    w = xy.shape[1]
    i = np.clip(np.floor(u), 0, max(w - 2, 0)).astype(int)
    a = (u - i)[:, None]
    value = (1 - a) * xy[row, i] + a * xy[row, np.minimum(i + 1, w - 1)]
    value[(u < 0) | (u > w - 1)] = np.nan
    return value
