"""Steep surfaces, whose disparity changes by a pixel or more from row to row, matched with their rows shifted.

The ground below a camera at height h has disparities that grow by B/h px a row, B the baseline. With a baseline of more
than half the height, a matcher's window does not show the same thing in both pictures. After the rows of the right
picture are shifted by r(y) = slope y + offset it does, and the remaining disparity d - r(y) is small.
Source: Einecke and Eggert, Stereo image warping for improved depth estimation of road surfaces, 2013.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from .. import resources
from ..geometry.robust import RobustProblem, ransac
from ..records import DisparityMap, RectifiedPair
from .matching import compute_disparities, compute_disparity
from .search_range import reduce_pair

SLOPES = (1.0, 2.0, 3.0, 4.0)  # px a row: a census window tolerates half a pixel more or less
SIDE = 300  # px, longer side of the reduced pair
MIN_LOST = 0.05  # of the pixels of the upper or lower half without a disparity, for a plane to be searched there
MIN_FOUND = 0.01  # of the reduced picture's pixels on the plane: ten times the smallest component
NEAR = 2.0  # px of the reduced picture, between a plane and the disparities that belong to it
MAX_POINTS = 4000  # disparities that a plane is fitted to
TRIALS = 200  # random planes through three pixels: enough where a third of the pixels lie on one
SPARE = 0.05  # of the picture's height: rows added on either side
SPARE_PX = 8  # px of disparity added on either side: the ground is not quite a plane


class SteepPlane(NamedTuple):
    """A plane d = r(y) = slope y + offset (px), and the part of the pair near it.

    Parameters
    ----------
    slope, offset : float
        px / row, px.
    first, last : int
        Rows first .. last - 1.
    lo, hi : int
        px, range of d - r(y).
    """

    slope: float
    offset: float
    first: int
    last: int
    lo: int
    hi: int

    @property
    def shifts(self) -> np.ndarray:
        """r(y) of its rows, px."""
        return self.slope * np.arange(self.first, self.last) + self.offset


class _Support(NamedTuple):
    """A steep plane of the reduced pair and the number of unmatched pixels on it; plane None: there is none."""

    pixels: int
    plane: SteepPlane | None


def find_steep_planes(
    pair: RectifiedPair,
    known: np.ndarray,
    d_range: tuple[float, float],
    *,
    slants: bool = True,
    threads: int | None = None,
) -> list[SteepPlane]:
    """Detect up to two steep planes in the unmatched area: a ground in the lower half, a ceiling in the upper half.

    The pair is matched by `sgm` at a longer side of 300 px, its rows shifted by each of SLOPES. A plane must hold 1 %
    of the picture's pixels, all of them unmatched before.

    Parameters
    ----------
    pair : RectifiedPair
        Rectified pictures.
    known : (H, W) bool
        Left pixels that have a disparity.
    d_range : (float, float)
        px, as in `compute_disparities`.
    slants : bool
        False searches for none.
    threads : int or None
        None for one per processor.

    Returns
    -------
    list of SteepPlane
        Of the pair at its full size.
    """
    if not slants:
        return []
    small, scale = reduce_pair(pair, SIDE)
    height, width = small.left.shape[:2]
    lost = unmatched_pixels(pair, known, (width, height))
    half = height // 2
    found = []
    sign_below = -1 if pair.swapped else 1  # of the slope of a ground: nearer points have the larger d, or the smaller
    for rows, sign in ((slice(half, height), sign_below), (slice(0, half), -sign_below)):
        if np.count_nonzero(lost[rows]) < MIN_LOST * half * width:
            continue

        def try_slope(slope: float, rows: slice = rows, sign: int = sign) -> _Support:
            return _fit_steep_plane(small, lost, rows, sign * slope, d_range, scale, 1)

        with ThreadPoolExecutor(threads or resources.processors()) as pool:
            best = max(pool.map(try_slope, SLOPES), key=lambda support: support.pixels)
        if best.pixels < MIN_FOUND * height * width or best.plane is None:
            continue
        again = _fit_steep_plane(small, lost, rows, best.plane.slope, d_range, scale, threads)
        plane = again.plane if again.plane is not None and again > best else best.plane
        whole = _enlarged(plane, scale, len(known))
        if sign * plane.slope >= SLOPES[0] / 2 and whole.hi - whole.lo < known.shape[1]:
            found.append(whole)
    return found


def add_steep_planes(
    maps: tuple[DisparityMap, DisparityMap], pair: RectifiedPair, planes: list[SteepPlane], **options
) -> tuple[DisparityMap, DisparityMap]:
    """Return both pictures' maps with each steep plane matched again where that is of higher confidence.

    Parameters
    ----------
    maps : (DisparityMap, DisparityMap)
        Of the left and the right picture.
    pair : RectifiedPair
        Rectified pictures.
    planes : list of SteepPlane
        Of `find_steep_planes`.
    options
        Of `compute_disparities`.
    """
    for plane in planes:
        again = match_steep_plane(pair, plane, **options)
        maps = higher_confidence(maps[0], again[0]), higher_confidence(maps[1], again[1])
    return maps


def match_steep_plane(pair: RectifiedPair, plane: SteepPlane, **options) -> tuple[DisparityMap, DisparityMap]:
    """Return `compute_disparities` of the rows of a steep plane, the right ones shifted: maps of the pair's size."""
    shifts, rows = plane.shifts, slice(plane.first, plane.last)
    nearest = np.rint(shifts).astype(int)
    left, right = compute_disparities(_upright(pair, plane), (plane.lo, plane.hi), **options)

    def whole(found: DisparityMap, back: Callable[[np.ndarray], np.ndarray]) -> DisparityMap:
        out = [np.full(pair.left.shape[:2], np.float32(nothing)) for nothing in (np.nan, 0, np.nan)]
        d = found.disparity + shifts[:, None].astype(np.float32)
        for of_pair, values in zip(out, (d, found.confidence, found.sigma), strict=True):
            of_pair[rows] = back(values)
        return DisparityMap(out[0], np.nan_to_num(out[1]), out[2])

    return whole(left, lambda a: a), whole(right, lambda a: move_rows(a, -nearest))


def _upright(pair: RectifiedPair, plane: SteepPlane) -> RectifiedPair:
    """Return the rows of a steep plane, the right ones shifted: there it has disparities near 0."""
    shifts, rows = plane.shifts, slice(plane.first, plane.last)
    right, map2 = shift_rows(pair.right[rows], shifts), move_rows(pair.map2[rows], np.rint(shifts).astype(int))
    return RectifiedPair(pair.left[rows], right, pair.map1[rows], map2, pair.kind, pair.swapped)


def higher_confidence(one: DisparityMap, two: DisparityMap) -> DisparityMap:
    """Return, per pixel, the estimate of higher confidence of two maps of one picture."""
    better = two.confidence > one.confidence
    disparity, confidence, sigma = (
        np.where(better, getattr(two, name), getattr(one, name)) for name in ("disparity", "confidence", "sigma")
    )
    return DisparityMap(disparity, confidence, sigma)


def shift_rows(picture: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """out(x, y) = picture(x - shifts[y], y) of (H,W,3) u8, cubic between pixels, black outside; shifts (H,) px."""
    import cv2

    height, width = picture.shape[:2]
    x = (np.arange(width) - shifts[:, None]).astype(np.float32)
    y = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], x.shape)
    return cv2.remap(src=picture, map1=x, map2=y, interpolation=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)


def move_rows(array: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """out(x, y) = array(x - shifts[y], y) of (H,W,...) f32, NaN outside; shifts (H,) whole px."""
    out = np.full_like(array, np.nan)
    width = array.shape[1]
    for y, s in enumerate(shifts):
        if abs(s) < width:
            out[y, max(0, s) : width + min(0, s)] = array[y, max(0, -s) : width - max(0, s)]
    return out


def unmatched_pixels(pair: RectifiedPair, known: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return where most pixels lie inside the photo and have no disparity, at `size` (W, H): (H,W) bool."""
    import cv2

    share = (known | ~np.isfinite(pair.map1[..., 0])).astype(np.float32)
    return cv2.resize(share, dsize=size, interpolation=cv2.INTER_AREA) < 0.5


def _fit_steep_plane(
    small: RectifiedPair,
    lost: np.ndarray,
    rows: slice,
    slope: float,
    d_range: tuple[float, float],
    scale: tuple[float, float],
    threads: int | None,
) -> _Support:
    """Match these rows of the reduced pair shifted by `slope`, and fit one plane to what that adds.

    scale: (across, down), size of the reduced pair over that of the pair, to which d_range belongs.
    """
    width, middle = small.left.shape[1], (rows.start + rows.stop) / 2
    upright = SteepPlane(slope, -slope * middle, rows.start, rows.stop, 0, 0)
    shifts = upright.shifts
    lo = max(d_range[0] * scale[0] - shifts.max(), 1 - width)
    hi = min(d_range[1] * scale[0] - shifts.min(), width - 1)
    if not lo < hi:
        return _Support(0, None)
    upright = upright._replace(lo=lo, hi=min(hi, lo + width))
    limits = upright.lo, upright.hi
    disparity, _ = compute_disparity(_upright(small, upright), limits, method="sgm", refine=0, threads=threads)
    disparity += shifts[:, None].astype(np.float32)
    y, x = np.nonzero(np.isfinite(disparity) & lost[rows])
    step = 1 + len(y) // MAX_POINTS
    points = np.column_stack([x, y + rows.start, disparity[y, x]])[::step].astype(float)
    return _plane_through(points, step, SPARE * len(lost))


def _plane_through(points: np.ndarray, step: int, spare: float) -> _Support:
    """Fit a plane of constant slope in y to points (x, y, d) (N,3), each of which represents `step` pixels."""

    def planes_through(sample):
        corners = np.concatenate([points[sample][..., :2], np.ones((*sample.shape, 1))], -1)
        valid = np.abs(np.linalg.det(corners)) > 1
        return np.linalg.solve(corners[valid], points[sample][valid][..., 2:])[..., 0]

    def distances(planes, which):
        return planes[:, :2] @ points[which, :2].T + planes[:, 2:] - points[which, 2]

    def least_squares(plane, inliers):
        near = points[inliers]
        return np.linalg.lstsq(np.column_stack([near[:, :2], np.ones(len(near))]), near[:, 2])[0]

    problem = RobustProblem(len(points), 3, planes_through, distances, least_squares)
    found = ransac(problem, threshold=NEAR, max_samples=TRIALS)
    if found is None:
        return _Support(0, None)
    near, slope = points[found.inliers], float(found.model[1])
    offset = float(np.median(near[:, 2] - slope * near[:, 1]))
    rest = near[:, 2] - slope * near[:, 1] - offset
    first, last = near[:, 1].min() - spare, near[:, 1].max() + spare
    return _Support(len(near) * step, SteepPlane(slope, offset, first, last, rest.min() - NEAR, rest.max() + NEAR))


def _enlarged(plane: SteepPlane, scale: tuple[float, float], height: int) -> SteepPlane:
    """Return a plane of the reduced pair, of scale (across, down), in the pair of this height."""
    across, down = scale
    return SteepPlane(
        plane.slope * down / across,
        (plane.offset + plane.slope * (down - 1) / 2) / across,
        max(0, int(plane.first / down)),
        min(height, int(np.ceil(plane.last / down))),
        int(np.floor(plane.lo / across)) - SPARE_PX,
        int(np.ceil(plane.hi / across)) + SPARE_PX,
    )
