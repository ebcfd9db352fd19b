"""Disparity -> point map, with its uncertainty."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .geometry import essential_from_pose, fold_radius, intersect_rays, norms, rotation_from_vector, undistort
from .records import DisparityMap, PointsBetween, RectifiedPair, TwoView

ROWS = 32  # of the picture in one band: its arrays stay in the processor's cache
SMALL = 0.05  # px of disparity, the step of the derivative
BEYOND = 128  # px past the second picture that surface is continued for: a matcher vouches for half of that at most
AT_ONCE = 100_000  # points: memory stays small
WORST = 0.05  # of its distance: the deviation of a point that still is surface
MATCH_SIGMA = 0.25  # px: deviation of a kept match of `sgm`, mean over 17 real pairs with truth (1.4826 median |error|)


def triangulate(
    disparity: np.ndarray, pair: RectifiedPair, view: TwoView, *, disparity_sigma=None, beyond: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Points (H,W,3) f64 in the frame of camera 1, units of t, and their deviation along the ray, sigma (H,W) f32.

    Each rectified pixel (i, j) and its match (i - d, j) are looked up in the maps back to the photos. The match is put
    onto the epipolar line of the first pixel by the shortest way (how far beside it lay says nothing of depth), and the
    two rays meet in the point X = z d1, which so projects exactly onto its own photo pixel.
    sigma = |dz/dd| disparity_sigma |d1|, the derivative by a small difference.
    disparity: (H,W) px, NaN unknown.  disparity_sigma: px, number or (H,W); None: MATCH_SIGMA times `row_spread`.
    beyond: px, how far past the second picture a match may lie: surface continued beyond what the second photo shows.
    Points behind a camera, or farther than their own deviation allows to tell from infinity, are NaN.
    """
    h, w = disparity.shape
    if pair.map1.shape[:2] != (h, w):
        raise ValueError(f"disparity is {disparity.shape}, the rectified pair {pair.map1.shape[:2]}")
    points = np.full((h, w, 3), np.nan)
    sigma = np.full((h, w), np.nan, np.float32)
    if disparity_sigma is None:
        disparity_sigma = MATCH_SIGMA * row_spread(pair)
    step = np.broadcast_to(np.asarray(disparity_sigma, dtype=float), (h, w))

    def band(top: int):
        r = slice(top, top + ROWS)
        j, i = np.nonzero(np.isfinite(disparity[r]))
        found = _meet(j, i, i - disparity[r][j, i], step[r][j, i], pair.map1[r], pair.map2[r], view, beyond)
        points[r][j, i], sigma[r][j, i] = found

    with ThreadPoolExecutor() as pool:  # each band writes its own rows
        list(pool.map(band, range(0, h, ROWS)))
    return points, sigma


def point_map(fused: DisparityMap, pair: RectifiedPair, view: TwoView) -> tuple[np.ndarray, np.ndarray]:
    """`triangulate` of a matched map (H,W), with its own sigma, and up to BEYOND px past the second picture.

    What is known worse than to a twentieth of its distance is no surface, as near the epipole: NaN.
    """
    deviation = fused.sigma * row_spread(pair)
    points, sigma = triangulate(fused.disparity, pair, view, disparity_sigma=deviation, beyond=BEYOND)
    vague = ~(sigma <= WORST * norms(points))
    points[vague], sigma[vague] = np.nan, np.nan
    return points, sigma


def triangulate_between(between, pair: RectifiedPair, view: TwoView) -> PointsBetween:
    """What `fusion.fuse` found between two pixels of a row, as points.

    between: (x, row, disparity, sigma), each (N,); a point's own photo pixel is map1 at its fractional column x.
    """
    x, row, disparity, deviation = between
    deviation = np.asarray(deviation, dtype=float) * row_spread(pair)[row, x.astype(int)]
    points, sigma = _meet(row, x, x - disparity, deviation, pair.map1, pair.map2, view)
    after = row * pair.map1.shape[1] + x.astype(np.int64)
    good = sigma <= WORST * norms(points)
    return PointsBetween(points[good], sigma[good], after[good], -view.R.T @ view.t)


def along_the_ray(X: np.ndarray, view: TwoView, covariance: np.ndarray, tangents: np.ndarray) -> np.ndarray:
    """Deviation (N,) along the rays of points X (N,3) that the pose and the focal lengths leave, the pixels being as
    they are: sigma^2 = J C J^T + (dr/df sigma_f)^2, by small differences of the intersection of each point's two rays.

    covariance (5,5) of the pose exp([w]x) R, t + |t| s tangents, tangents (2,3); view.focal_sigma: relative, or None.
    |t| stays. Where view.rig has no unit, the shape is known up to scale, and an error that multiplies everything is
    none: of each column of J / r its median over the points is taken off.
    """
    C = np.zeros((6, 6))
    C[:5, :5], C[5, 5] = covariance, (view.focal_sigma or 0) ** 2
    common = np.zeros(6)
    if view.rig.unit is None and len(X):
        common = np.nanmedian(_relative_changes(X[:: 1 + len(X) // AT_ONCE], view, tangents), axis=0)
    out = np.empty(len(X))
    for first in range(0, len(X), AT_ONCE):
        some = X[first : first + AT_ONCE]
        J = _relative_changes(some, view, tangents) - common
        out[first : first + AT_ONCE] = np.sqrt(np.einsum("na,ab,nb->n", J, C, J)) * norms(some)
    return out


def _relative_changes(X: np.ndarray, view: TwoView, tangents: np.ndarray) -> np.ndarray:
    """(N,6): relative change of the depth of points X (N,3) by the five of the pose and by the focal length's own."""
    rays1, rays2 = X / X[:, 2:], X @ view.R.T + view.t
    rays2 = rays2 / rays2[:, 2:]
    length = np.linalg.norm(view.t)

    def change(step, focal):
        R = rotation_from_vector(step[:3]) @ view.R
        t = view.t / length + step[3:] @ tangents
        flat = np.array([focal, focal, 1.0])
        return intersect_rays(rays1 * flat, rays2 * flat, R, length * t / np.linalg.norm(t)) / X[:, 2] - 1

    pose = [change(step, 1.0) / 1e-5 for step in 1e-5 * np.eye(5)]
    return np.stack([*pose, change(np.zeros(5), 1 / 1.001) / 1e-3], -1)


def row_spread(pair: RectifiedPair) -> np.ndarray:
    """(H,W): by how much the deviation of a disparity grows around the epipole of a polar pair; else ones.

    Rows there show only a share of a photo pixel each, and a window of as many rows holds that much less to go by:
    1 / sqrt(share).
    """
    if pair.kind != "polar":
        return np.broadcast_to(1.0, pair.map1.shape[:2])
    return 1 / np.sqrt(_row_share(pair.map1))


def _meet(
    rows, column1, column2, deviation, map1, map2, view: TwoView, beyond: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Points (N,3) and deviations (N,) of matches between columns of rows of the two maps (h,W,2)."""
    from .rays import look_up, meet
    from .rays import undistort as undistort_kernel

    def ideal(x, cam):
        if not np.any(cam.dist):
            return undistort(x, cam.K)
        dist = np.pad(np.asarray(cam.dist, dtype=float), (0, 12 - len(cam.dist)))
        return undistort_kernel(x, np.linalg.inv(cam.K[:2, :2]), cam.K[:2, 2], dist, fold_radius(dist))

    rows = np.ascontiguousarray(rows)  # numba compiles a kernel for each layout
    cam1, cam2 = view.rig.cam1, view.rig.cam2
    aside = column2 + np.where(column2 < 1, SMALL, -SMALL)  # a little to the side, and never out of the picture
    sides = (cam1, map1, column1, 0), (cam2, map2, column2, beyond), (cam2, map2, aside, beyond)
    rays = (ideal(look_up(m, rows, np.ascontiguousarray(c, dtype=float), far), cam) for cam, m, c, far in sides)
    points, sigma = np.empty((len(rows), 3)), np.empty(len(rows))
    meet(*rays, deviation / SMALL, view.R, view.t, essential_from_pose(view.R, view.t), points, sigma)
    return points, sigma


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
