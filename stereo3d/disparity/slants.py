"""Surfaces whose disparity changes by a pixel or more from row to row, matched once more as if they stood upright.

The ground below a camera at height h has disparities that grow by B/h px a row, B the baseline: a step aside of more
than half one's own height, and a matcher's window no longer shows the same thing in both pictures. With the rows of the
right picture moved by r(y) = slope y + offset it does, and what is left of the disparity, d - r(y), is small.
Source of the idea: Einecke and Eggert, Stereo image warping for improved depth estimation of road surfaces, 2013.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from .. import resources
from ..ransac import RobustProblem, ransac
from ..records import DisparityMap, RectifiedPair
from .reach import reduced

SLOPES = (1.0, 2.0, 3.0, 4.0)  # px a row: a census window bears half a pixel more or less
LEAST_LOST = 0.05  # of the pixels without a disparity in the upper or lower half, or nothing is looked for there
LEAST_FOUND = 0.01  # of the reduced picture's pixels on one plane among what was lost: ten times the smallest island
NEAR = 2.0  # px of the reduced picture: what lies so near to a plane belongs to it
MOST = 4000  # pixels that a plane is fitted to
TRIALS = 200  # random planes through three pixels: enough where a third of them lie on one
SPARE = 0.05  # of the picture's height: rows more on either side
SPARE_PX = 8  # px of disparity likewise: the ground is not quite a plane


class Slant(NamedTuple):
    """A plane d = slope y + offset with what lies near it: rows first .. last - 1, and lo <= d - r(y) <= hi, px."""

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


def find_slants(
    pair: RectifiedPair,
    known: np.ndarray,
    d_range: tuple[float, float],
    *,
    slants: bool = True,
    threads: int | None = None,
) -> list[Slant]:
    """The steep planes among what was not matched, at most one below (a ground) and one above (a ceiling).

    known: (H,W) bool, the left pixels that have a disparity.  d_range: as in `compute_disparities`, px.  slants: False
    looks for none.  The pair is matched by `sgm` at a longer side of 400 px, moved by each of SLOPES; of what that
    finds anew a plane must hold one pixel in a hundred of the picture.
    """
    import cv2

    if not slants:
        return []
    small, share = reduced(pair)
    height, width = small.left.shape[:2]
    lost = (
        cv2.resize(
            (known | ~np.isfinite(pair.map1[..., 0])).astype(np.float32),
            dsize=(width, height),
            interpolation=cv2.INTER_AREA,
        )
        < 0.5
    )
    half = height // 2
    found = []
    nearer = -1 if pair.swapped else 1  # whether what is nearer has the larger d
    for rows, sign in ((slice(half, height), nearer), (slice(0, half), -nearer)):
        if np.count_nonzero(lost[rows]) < LEAST_LOST * half * width:
            continue
        with ThreadPoolExecutor(threads or resources.processors()) as pool:
            tried = list(pool.map(lambda s, r=rows, n=sign: _plane(small, lost, r, n * s, d_range, share, 1), SLOPES))
        count, slant = max(tried, key=lambda plane: plane[0])
        if count < LEAST_FOUND * height * width:
            continue
        again = _plane(small, lost, rows, slant.slope, d_range, share, threads)  # at its own slope it shows more
        slant = max((count, slant), again)[1]
        whole = _enlarged(slant, share, len(known))
        if sign * slant.slope >= SLOPES[0] / 2 and whole.hi - whole.lo < known.shape[1]:
            found.append(whole)
    return found


def with_slants(
    maps: tuple[DisparityMap, DisparityMap], pair: RectifiedPair, slants: list[Slant], **options
) -> tuple[DisparityMap, DisparityMap]:
    """Both pictures' maps, and of each slant what is surer of it. options: of `compute_disparities`."""
    for slant in slants:
        maps = tuple(surer(*both) for both in zip(maps, match_slant(pair, slant, **options), strict=True))
    return maps


def match_slant(pair: RectifiedPair, slant: Slant, **options) -> tuple[DisparityMap, DisparityMap]:
    """`compute_disparities` of the rows of a slant with the right ones moved, of the whole pair's size (H,W)."""
    from . import compute_disparities

    shifts, rows = slant.shifts, slice(slant.first, slant.last)
    nearest = np.rint(shifts).astype(int)
    upright = RectifiedPair(
        pair.left[rows],
        _shifted(pair.right[rows], shifts),
        pair.map1[rows],
        _moved(pair.map2[rows], nearest),
        pair.kind,
        pair.swapped,
    )
    one, two = compute_disparities(upright, (slant.lo, slant.hi), **options)

    def whole(found: DisparityMap, back) -> DisparityMap:
        out = [np.full(pair.left.shape[:2], np.float32(nothing)) for nothing in (np.nan, 0, np.nan)]
        d = found.disparity + shifts[:, None].astype(np.float32)
        for of_pair, values in zip(out, (d, found.confidence, found.sigma), strict=True):
            of_pair[rows] = back(values)
        return DisparityMap(out[0], np.nan_to_num(out[1]), out[2])

    return whole(one, lambda a: a), whole(two, lambda a: _moved(a, -nearest))


def surer(one: DisparityMap, two: DisparityMap) -> DisparityMap:
    """Of two maps of one picture, each pixel of the one that is surer of it."""
    better = two.confidence > one.confidence
    names = ("disparity", "confidence", "sigma")
    return DisparityMap(*(np.where(better, getattr(two, n), getattr(one, n)) for n in names))


def _shifted(picture: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Each row y of (H,W,3) u8 moved to the right by shifts[y] px, cubic between pixels; black where nothing comes."""
    import cv2

    height, width = picture.shape[:2]
    x = (np.arange(width) - shifts[:, None]).astype(np.float32)
    y = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], x.shape)
    return cv2.remap(src=picture, map1=x, map2=y, interpolation=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)


def _moved(array: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Each row y of (H,W,...) f32 moved to the right by shifts[y] whole px; NaN where nothing comes."""
    out = np.full_like(array, np.nan)
    width = array.shape[1]
    for y, s in enumerate(shifts):
        if abs(s) < width:
            out[y, max(0, s) : width + min(0, s)] = array[y, max(0, -s) : width - max(0, s)]
    return out


def _plane(small: RectifiedPair, lost, rows: slice, slope: float, d_range, share, threads) -> tuple[int, Slant | None]:
    """How many of the lost pixels of these rows one plane near this slope holds, and that plane, of the small pair.

    share: (across, down), the small pair's size to the pair's own.
    """
    width, middle = small.left.shape[1], (rows.start + rows.stop) / 2
    upright = Slant(slope, -slope * middle, rows.start, rows.stop, 0, 0)
    least, most = upright.shifts.min(), upright.shifts.max()
    lo, hi = max(d_range[0] * share[0] - most, 1 - width), min(d_range[1] * share[0] - least, width - 1)
    if not lo < hi:
        return 0, None
    upright = upright._replace(lo=lo, hi=min(hi, lo + width))
    one, _ = match_slant(small, upright, method="sgm", refine=0, threads=threads)
    y, x = np.nonzero(np.isfinite(one.disparity) & lost)
    step = 1 + len(y) // MOST
    points = np.column_stack([x, y, one.disparity[y, x]])[::step].astype(float)

    def through(sample):
        corners = np.concatenate([points[sample][..., :2], np.ones((*sample.shape, 1))], -1)
        sound = np.abs(np.linalg.det(corners)) > 1
        return np.linalg.solve(corners[sound], points[sample][sound][..., 2:])[..., 0]

    def off(planes, which):
        return planes[:, :2] @ points[which, :2].T + planes[:, 2:] - points[which, 2]

    def fitted(plane, inliers):
        near = points[inliers]
        return np.linalg.lstsq(np.column_stack([near[:, :2], np.ones(len(near))]), near[:, 2])[0]

    problem = RobustProblem(len(points), 3, through, off, fitted)
    found = ransac(problem, threshold=NEAR, max_samples=TRIALS)
    if found is None:
        return 0, None
    near, b = points[found.inliers], float(found.model[1])
    offset = float(np.median(near[:, 2] - b * near[:, 1]))
    left = near[:, 2] - b * near[:, 1] - offset
    spare = SPARE * len(lost)
    first, last = near[:, 1].min() - spare, near[:, 1].max() + spare
    return len(near) * step, Slant(b, offset, first, last, left.min() - NEAR, left.max() + NEAR)


def _enlarged(slant: Slant, share, height: int) -> Slant:
    """A Slant of a pair reduced to these shares (across, down), of the pair of this height itself."""
    across, down = share
    return Slant(
        slant.slope * down / across,
        (slant.offset + slant.slope * (down - 1) / 2) / across,
        max(0, int(slant.first / down)),
        min(height, int(np.ceil(slant.last / down))),
        int(np.floor(slant.lo / across)) - SPARE_PX,
        int(np.ceil(slant.hi / across)) + SPARE_PX,
    )
