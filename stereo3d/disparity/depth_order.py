"""Whether larger disparities are nearer, by what the strips that one picture hides look like."""

from dataclasses import dataclass

import numpy as np

from ..records import DisparityMap, RectifiedPair


@dataclass(frozen=True)
class OcclusionThresholds:
    """Which gaps of a row count as hidden strips, chosen on the 17 shared rectified pairs; few matter by much.

    Parameters
    ----------
    min_jump : float
        px of disparity.
    lengths : (float, float)
        Length of the gap over the jump: 1 for a strip that nothing but the jump hides.
    neighbours : int
        px on either side that the strip is compared with, at most its own length.
    min_known : float
        Share of these pixels that must have a disparity.
    noise : float
        Grey levels, summed over the channels: differences below it say little.
    cell : int
        px: strips of one cell count as one observation.
    """

    min_jump: float = 3.0
    lengths: tuple[float, float] = (0.6, 1.6)
    neighbours: int = 8
    min_known: float = 0.8
    noise: float = 6.0
    cell: int = 16


OCCLUSION_THRESHOLDS = OcclusionThresholds()


def depth_order(
    pair: RectifiedPair, maps: tuple[DisparityMap, DisparityMap], limits: OcclusionThresholds = OCCLUSION_THRESHOLDS
) -> tuple[float, int]:
    """z = sum_c s_c / sqrt(sum_c s_c^2), s_c = sum_i v_i / sqrt(n_c): positive where larger disparities are nearer.

    Where the disparity of the left picture jumps up along a row, the right picture hides a strip as long as the jump.
    The strip is a part of the farther surface. So it resembles the farther side, and the outline of the nearer surface
    is at its other end: v = (|g - r| - |g - l|) / (|g - r| + |g - l| + noise) + (e_r - e_l) / (e_r + e_l + 2 noise),
    with the mean colours g of the strip, l before and r behind it, and the strongest edges e_l, e_r at its ends. The
    right picture, mirrored, says the same. The n_c strips of a cell c count as one observation; without information z
    is normal with deviation 1.

    Parameters
    ----------
    pair : RectifiedPair
        The rectified photos.
    maps : (DisparityMap, DisparityMap)
        Of both pictures, cross-checked, NaN where hidden.
    limits : OcclusionThresholds
        Which gaps count.

    Returns
    -------
    z : float
    cells : int
        Number of observations.

    References
    ----------
    Anderson and Nakayama, Toward a general theory of stereopsis, 1994 (half-occlusions determine the sign of depth).
    """
    views = (pair.left, maps[0].disparity), (pair.right[:, ::-1], maps[1].disparity[:, ::-1])
    sums = []
    for picture, disparity in views:
        row, column, vote = _votes(picture, disparity, limits)
        cell = (row // limits.cell) * disparity.shape[1] + column // limits.cell
        _, number, count = np.unique(cell, return_inverse=True, return_counts=True)
        sums.append(np.bincount(number, vote, len(count)) / np.sqrt(count))
    s = np.concatenate(sums)
    return float(s.sum() / np.sqrt(max((s**2).sum(), 1e-12))), len(s)


def _votes(
    picture: np.ndarray, disparity: np.ndarray, limits: OcclusionThresholds
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and v of each strip at which the disparity jumps up."""
    width = disparity.shape[1]
    known = np.isfinite(disparity)
    index = np.flatnonzero(known)
    first, after = index[:-1], index[1:]  # the known pixels about a gap
    row, a, b = first // width, first % width, after % width
    length, jump = after - first - 1, disparity.ravel()[after] - disparity.ravel()[first]
    beside = np.minimum(length, limits.neighbours)
    inside = (after // width == row) & (a - beside >= 0) & (b + beside < width)
    low, high = limits.lengths
    strip = inside & (length >= 3) & (jump >= limits.min_jump) & (length > low * jump) & (length < high * jump)
    row, a, b, length, beside = (x[strip] for x in (row, a, b, length, beside))
    colour = _row_sums(picture.reshape(*disparity.shape, -1).astype(float))
    count = _row_sums(known[..., None].astype(float))

    def mean(sums: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        return (sums[row, end] - sums[row, start]) / (end - start)[:, None]

    shares = mean(count, a - beside, a)[:, 0], mean(count, b, b + beside)[:, 0]
    # a pixel at either end may be mixed, and a quarter of the strip may be off by the windows of the matcher
    here = mean(colour, a + 1 + length // 4, b - length // 4)
    to_left = np.abs(here - mean(colour, a - beside + 1, a - 1)).sum(1)
    to_right = np.abs(here - mean(colour, b + 2, b + beside)).sum(1)
    vote = (to_right - to_left) / (to_right + to_left + limits.noise)
    steps = np.abs(np.diff(picture.reshape(*disparity.shape, -1).astype(float), axis=1)).sum(2)
    at_left, at_right = (_strongest(steps, row, end, np.clip(length // 2, 2, 4)) for end in (a, b))
    vote += (at_right - at_left) / (at_right + at_left + 2 * limits.noise)
    kept = np.minimum(*shares) > limits.min_known
    return row[kept], a[kept], vote[kept]


def _strongest(steps: np.ndarray, row: np.ndarray, column: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """The largest of the steps (H, W - 1) from pixel to pixel within `reach` of a column."""
    found = np.zeros(len(row))
    for k in range(-int(reach.max(initial=0)), int(reach.max(initial=0))):
        here = steps[row, np.clip(column + k, 0, steps.shape[1] - 1)]
        found = np.where((k >= -reach) & (k < reach), np.maximum(found, here), found)
    return found


def _row_sums(a: np.ndarray) -> np.ndarray:
    """Sums of a (H, W, k) over the columns before each: (H, W + 1, k)."""
    return np.pad(np.cumsum(a, axis=1), ((0, 0), (1, 0), (0, 0)))
