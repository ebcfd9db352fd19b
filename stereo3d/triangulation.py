"""Disparity -> point map, with its uncertainty."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .geometry import essential_from_pose, hom, intersect_rays, undistort
from .records import RectifiedPair, TwoView

ROWS = 32  # of the picture in one band: its arrays stay in the processor's cache
SMALL = 0.05  # px of disparity, the step of the derivative
MATCH_SIGMA = 0.25  # px: deviation of a kept match of `sgm`, mean over 17 real pairs with truth (1.4826 median |error|)


def triangulate(
    disparity: np.ndarray, pair: RectifiedPair, view: TwoView, *, disparity_sigma=None
) -> tuple[np.ndarray, np.ndarray]:
    """Points (H,W,3) f64 in the frame of camera 1, units of t, and their deviation along the ray, sigma (H,W) f32.

    Each rectified pixel (i, j) and its match (i - d, j) are looked up in the maps back to the photos. The match is put
    onto the epipolar line of the first pixel by the shortest way (how far beside it lay says nothing of depth), and the
    two rays meet in the point X = z d1, which so projects exactly onto its own photo pixel.
    sigma = |dz/dd| disparity_sigma |d1|, the derivative by a small difference.
    disparity: (H,W) px, NaN unknown.  disparity_sigma: px, number or (H,W); None: MATCH_SIGMA, and around the epipole
    of a polar pair, where rows show only a share of a photo pixel each, MATCH_SIGMA / sqrt(share): a window of as many
    rows holds that much less to go by.
    Points behind a camera, or farther than their own deviation allows to tell from infinity, are NaN.
    """
    h, w = disparity.shape
    if pair.map1.shape[:2] != (h, w):
        raise ValueError(f"disparity is {disparity.shape}, the rectified pair {pair.map1.shape[:2]}")
    points = np.full((h, w, 3), np.nan)
    sigma = np.full((h, w), np.nan, np.float32)
    if disparity_sigma is None:
        disparity_sigma = MATCH_SIGMA
        if pair.kind == "polar":
            disparity_sigma = MATCH_SIGMA / np.sqrt(_row_share(pair.map1))
    step = np.broadcast_to(np.asarray(disparity_sigma, dtype=float), (h, w))

    def band(top: int):
        r = slice(top, top + ROWS)
        _triangulate_rows(disparity[r], pair.map1[r], pair.map2[r], view, step[r], points[r], sigma[r])

    with ThreadPoolExecutor() as pool:  # numpy works on the bands side by side; each writes its own rows
        list(pool.map(band, range(0, h, ROWS)))
    return points, sigma


def _triangulate_rows(disparity, map1, map2, view: TwoView, step, points, sigma) -> None:
    cam1, cam2 = view.rig.cam1, view.rig.cam2
    j, i = np.nonzero(np.isfinite(disparity))
    u = i - disparity[j, i].astype(float)
    ray1 = hom(undistort(map1[j, i], cam1.K, cam1.dist))

    line = ray1 @ essential_from_pose(view.R, view.t).T
    across = line[:, :2] / np.maximum((line[:, :2] ** 2).sum(1, keepdims=True), 1e-300)

    def depth(column):
        ray2 = hom(undistort(_lookup(map2, column, j), cam2.K, cam2.dist))
        ray2[:, :2] -= (ray2 * line).sum(1, keepdims=True) * across
        return intersect_rays(ray1, ray2, view.R, view.t)

    z = depth(u)
    aside = np.where(u < 1, SMALL, -SMALL)  # a little to the side, and never out of the picture
    deviation = np.abs(depth(u + aside) - z) / SMALL * step[j, i]
    z2 = z * (ray1 @ view.R[2]) + view.t[2]
    with np.errstate(invalid="ignore"):
        good = (z > 0) & (z2 > 0) & (deviation < 0.5 * z)
    j, i = j[good], i[good]
    points[j, i] = z[good, None] * ray1[good]
    sigma[j, i] = deviation[good] * np.linalg.norm(ray1[good], axis=1)


def _row_share(xy: np.ndarray) -> np.ndarray:
    """(H,W) f32 in (0, 1]: how far the photo pixels xy (H,W,2) of two rows lie apart, to those of two columns."""

    def steps(axis: int) -> np.ndarray:
        d = np.linalg.norm(np.diff(xy, axis=axis), axis=-1)
        ends = [(0, 0), (0, 0)]
        ends[axis] = (0, 1)
        after = np.pad(d, ends, constant_values=np.nan)
        return np.fmax(after, np.roll(after, 1, axis))

    with np.errstate(divide="ignore", invalid="ignore"):
        share = steps(0) / steps(1)
    return np.clip(np.nan_to_num(share, nan=1), 1e-6, 1)


def _lookup(xy: np.ndarray, u: np.ndarray, row: np.ndarray) -> np.ndarray:
    """The map xy (H,W,2) at fractional columns u of whole rows, linear; NaN outside."""
    w = xy.shape[1]
    i = np.clip(np.floor(u), 0, max(w - 2, 0)).astype(int)
    a = (u - i)[:, None]
    value = (1 - a) * xy[row, i] + a * xy[row, np.minimum(i + 1, w - 1)]
    value[(u < 0) | (u > w - 1)] = np.nan
    return value
