"""Block matching: costs summed over square windows by running sums. numba kernels.

A pixel's cost is one of `KINDS`. Its sum over the (2 radius + 1)^2 window about each pixel is, for each disparity, that
of the previous pixel plus a column that enters minus a column that leaves; each column is updated likewise from row to
row, so the time does not depend on the radius. Beyond the border the nearest pixel of the picture is repeated. Each
pixel then takes the best of nine windows that contain it.
Sources: Scharstein and Szeliski 2002 (the costs); Faugeras et al., Real time correlation-based stereo, 1993 (the sums).
"""

from typing import NamedTuple

import numpy as np

from ..kernel_cache import njit
from .costs import bits_set, reverse_row
from .selection import vertex, winner_row

SAD, CENSUS, SSD, ZNCC = KINDS = range(4)
ZNCC_UNIT = np.float32(2**24)  # fixed-point cost of zero correlation
# A symmetric V is biased towards whole disparities, a cosine away from them; this share of the cosine cancels the mean
# bias over textures from white noise to 1 / f^1.5 of natural pictures (measured on exact shifts: `test_bias`).
COSINE_SHARE = 0.2
CONTRAST_RADIUS = 2  # px, of the window whose contrast is normalised: that of the census
MIN_CONTRAST = 0.25  # grey levels: slopes left by rounding to whole grey levels
NO_VERTEX = 9.0  # px, returned where the middle of three costs is not the smallest


class WindowSearch(NamedTuple):
    """Range and windows of `match_rows`.

    Parameters
    ----------
    lo, disparities : int
        px, the first disparity and their number.
    radius : int
        px, of the windows.
    kind : int
        One of KINDS.
    unbiased : bool
        Correct the sub-pixel bias: `cancel_bias`, `correct_vees`.
    """

    lo: int
    disparities: int
    radius: int
    kind: int
    unbiased: bool


class WindowMaps(NamedTuple):
    """Results of `match_rows`, all (H, W) f32: px, margin of `winner_row`, px, window costs of both winners."""

    d_left: np.ndarray
    margin: np.ndarray
    d_right: np.ndarray
    left_cost: np.ndarray
    right_cost: np.ndarray


@njit(cache=True, nogil=True)
def normalised_slopes(image, row0, row1, out):
    """out = 512 + 100 s / sqrt(mean of s^2 + MIN_CONTRAST^2), s = (right - left neighbour) / 2, in 10 bits.

    Neither a single strong edge nor a gradient across the window then outweighs the texture in a correlation. The mean
    is over the (2 CONTRAST_RADIUS + 1)^2 window about each pixel; beyond the border the nearest pixel counts.

    Parameters
    ----------
    image : (H, W) u16
        256ths of a grey level.
    row0, row1 : int
        Rows row0 .. row1 - 1 of out are written.
    out : (H, W) u16
        Slopes.

    References
    ----------
    Jarrett et al., What is the best multi-stage architecture for object recognition, 2009 (local contrast
    normalisation).
    """
    height, width = image.shape
    window = 2 * CONTRAST_RADIUS + 1
    slopes = np.empty((window, width), np.int64)  # of the last rows, row v at v % window, in 512ths of a grey level
    columns = np.zeros(width + window - 1, np.int64)
    floor = (window * 512 * MIN_CONTRAST) ** 2
    for v in range(row0 - CONTRAST_RADIUS, row1 + CONTRAST_RADIUS):
        here = slopes[v % window]
        if v >= row0 - CONTRAST_RADIUS + window:
            for x in range(width):
                columns[x + CONTRAST_RADIUS] -= here[x] ** 2
        row = image[min(max(v, 0), height - 1)]
        for x in range(width):
            here[x] = np.int64(row[min(x + 1, width - 1)]) - np.int64(row[max(x - 1, 0)])
            columns[x + CONTRAST_RADIUS] += here[x] ** 2
        y = v - CONTRAST_RADIUS
        if y < row0:
            continue
        columns[:CONTRAST_RADIUS], columns[width + CONTRAST_RADIUS :] = (
            columns[CONTRAST_RADIUS],
            columns[width + CONTRAST_RADIUS - 1],
        )
        own = slopes[y % window]
        running = columns[: window - 1].sum()
        for x in range(width):
            running += columns[x + window - 1]
            out[y, x] = 512 + np.int64(np.rint(100 * window * own[x] / np.sqrt(running + floor)))
            running -= columns[x]


@njit(cache=True, nogil=True)
def _padded_row(row, radius, halves, values):
    """values[i] = row[i - radius], or with `halves` the sum with its left neighbour; the border is repeated."""
    wide = np.empty(len(values) + 1, np.int64)
    start, stop = radius + 1, radius + 1 + len(row)
    wide[:start], wide[start:stop], wide[stop:] = row[0], row, row[-1]
    if halves:
        values[:] = wide[1:] + wide[:-1]
    else:
        values[:] = wide[1:]


@njit(cache=True, nogil=True)
def box_row(image, y, radius, halves, first, columns, total, square):
    """total, square = sum and sum of squares over the (2 radius + 1)^2 window about each pixel of row y.

    Parameters
    ----------
    image : (H, W) u16
        Grey levels.
    y, radius : int
        px.
    halves : bool
        Windows about the places half a pixel before each pixel, of the sum of both neighbours there.
    first : bool
        columns are not yet those of row y - 1.
    columns : (2, len(total) + 2 radius) i64
        Sums down each column, updated.
    total, square : (W,) or with `halves` (W + 1,) f64
        Written; whole numbers.
    """
    last = image.shape[0] - 1
    values = np.empty(columns.shape[1], np.int64)
    if first:
        columns[:] = 0
    for v in range(y - radius if first else y + radius, y + radius + 1):
        _padded_row(image[min(max(v, 0), last)], radius, halves, values)
        columns[0] += values
        columns[1] += values * values
    if not first:
        _padded_row(image[min(max(y - radius - 1, 0), last)], radius, halves, values)
        columns[0] -= values
        columns[1] -= values * values
    for column, out in ((columns[0], total), (columns[1], square)):
        running = column[: 2 * radius].sum()
        enter, leave = column[2 * radius :], column[: len(out)]
        for x in range(len(out)):
            running += enter[x]
            out[x] = running
            running -= leave[x]


@njit(cache=True, nogil=True)
def _add_row(left_row, right_row, lo, radius, kind, sign, columns):
    """columns[x + radius, k] += sign cost(left(x), right(x - lo - k)) for x = -radius .. W - 1 + radius; i32.

    The cost is |a - b| (SAD), the Hamming distance (CENSUS), or the product a b (SSD, ZNCC).
    """
    width, count = len(left_row), columns.shape[1]
    reverse = np.empty(columns.shape[0] + count - 1, right_row.dtype)
    reverse_row(right_row, lo - radius, reverse)
    for i in range(columns.shape[0]):
        here = left_row[min(max(i - radius, 0), width - 1)]
        a = np.int32(here)
        start = columns.shape[0] - 1 - i
        matches, column = reverse[start : start + count], columns[i]
        if kind == SAD:
            for k in range(count):
                column[k] += sign * abs(np.int32(a - np.int32(matches[k])))
        elif kind == CENSUS:
            for k in range(count):
                column[k] += sign * np.int32(bits_set(np.uint64(here ^ matches[k])))  # pyright: ignore[reportCallIssue]
        else:
            for k in range(count):
                column[k] += sign * a * np.int32(matches[k])


@njit(cache=True, nogil=True)
def move_columns(left, right, lo, radius, kind, y, first, columns):
    """columns[x, k] = sums over rows y - radius .. y + radius, updated from row y - 1 unless `first`; i32.

    left, right (H,W) u16 or, for CENSUS, u64; lo (px), radius (px), kind as in `match_rows`.
    """
    last = len(left) - 1
    one = np.int32(1)
    if first:
        columns[:] = 0
        for v in range(y - radius, y + radius + 1):
            row = min(max(v, 0), last)
            _add_row(left[row], right[row], lo, radius, kind, one, columns)
    else:
        enter, leave = min(y + radius, last), max(y - radius - 1, 0)
        _add_row(left[enter], right[enter], lo, radius, kind, one, columns)
        _add_row(left[leave], right[leave], lo, radius, kind, -one, columns)


@njit(cache=True, nogil=True)
def windows_of_columns(columns, radius, sums):
    """sums[x, k] = sum of columns[x .. x + 2 radius, k]; sums (W,count) i32."""
    width, count = sums.shape
    running = np.zeros(count, np.int32)
    for i in range(2 * radius):
        for k in range(count):
            running[k] += columns[i, k]
    for x in range(width):
        enter, leave, here = columns[x + 2 * radius], columns[x], sums[x]
        for k in range(count):
            running[k] += enter[k]
            here[k] = running[k]
            running[k] -= leave[k]


@njit(cache=True, nogil=True)
def ssd_cost(product, left_square, right_square, lo, cost):
    """cost[x, k] = sum of (l - r)^2 = S_ll + S_rr - 2 S_lr, of one picture row.

    Parameters
    ----------
    product : (W, count) i32
        S_lr, window sums.
    left_square, right_square : (W,) f64
        S_ll, S_rr.
    lo : int
        px.
    cost : (W, count) i32
        Written.
    """
    width, count = cost.shape
    squares = np.empty(width + count - 1, np.int32)
    reverse_row(right_square, lo, squares)
    for x in range(width):
        matches, a, of_pixel, here = squares[width - 1 - x :], np.int32(left_square[x]), product[x], cost[x]
        for k in range(count):
            here[k] = a + matches[k] - 2 * of_pixel[k]


@njit(cache=True, nogil=True)
def to_scales(total, square, pixels):
    """square (W,) f64 = 1 / sqrt(n S_aa - S_a^2), in place, 0 in a uniform window: the normalisation of ZNCC."""
    for x in range(len(total)):
        spread = pixels * square[x] - total[x] * total[x]
        square[x] = 1 / np.sqrt(spread) if spread > 0 else 0


@njit(cache=True, nogil=True)
def zncc_cost(product, left_sum, left_scale, right_sum, right_scale, lo, pixels, cost):
    """cost[x, k] = ZNCC_UNIT (1 - ZNCC), ZNCC = (n S_lr - S_l S_r) / sqrt((n S_ll - S_l^2)(n S_rr - S_r^2)), of a row.

    Parameters
    ----------
    product : (W, count) i32
        S_lr, window sums.
    left_sum, right_sum : (W,) f64
        S_l, S_r, whole numbers, so that the numerator is exact.
    left_scale, right_scale : (W,) f64
        Of `to_scales`.
    lo : int
        px.
    pixels : int
        n.
    cost : (W, count) i32
        Written; in 0 .. 2 ZNCC_UNIT, ZNCC_UNIT where a window is uniform.
    """
    width, count = cost.shape
    n = np.float64(pixels)
    sums, scales = np.empty(width + count - 1, np.float64), np.empty(width + count - 1, np.float32)
    reverse_row(right_sum, lo, sums)
    reverse_row(right_scale, lo, scales)
    for x in range(width):
        start = width - 1 - x
        matches, scale = sums[start : start + count], scales[start : start + count]
        a, f, of_pixel, here = left_sum[x], ZNCC_UNIT * np.float32(left_scale[x]), product[x], cost[x]
        for k in range(count):
            common = n * of_pixel[k] - a * matches[k]
            here[k] = max(np.int32(ZNCC_UNIT - np.float32(common) * (f * scale[k])), np.int32(0))


@njit(cache=True, nogil=True)
def _half_cost(kind, product, own, half, x, u, pixels):
    """Return the cost of the window about x against one half way between pixels, 2 b = r + r', up to a factor.

    product: of the own window with 2 b, the sum of its products with r and r'; own, half: (sum, square or scale) of
    rows.
    """
    if kind == ZNCC:
        return 1 - (pixels * product - own[0][x] * half[0][u]) * own[1][x] * half[1][u]
    return 4 * own[1][x] + half[1][u] - 4 * product


@njit(cache=True, nogil=True)
def _half_vertex(kind, a, b, c, d, own, half, x, u, step, pixels):  # noqa: PLR0913 - innermost kernel
    """Return the offset of the minimum from the middle of b and c, or NO_VERTEX; a .. d: products of four windows.

    u: of the half between b and c; its neighbours are at u - step and u + step.
    """
    before = _half_cost(kind, np.float64(a + b), own, half, x, u - step, pixels)
    here = _half_cost(kind, np.float64(b + c), own, half, x, u, pixels)
    after = _half_cost(kind, np.float64(c + d), own, half, x, u + step, pixels)
    return vertex(before, here, after, False) if here <= before and here <= after else NO_VERTEX


@njit(cache=True, nogil=True)
def cancel_bias(kind, products, sums, pixels, lo, d_left, d_right):
    """Average each sub-pixel disparity of a row with that of the costs at half disparities: their biases cancel.

    The error of a parabola through the costs at whole disparities is odd about each of them and has a period of 1 px
    ("pixel locking"). A parabola through the costs at d - 1, d, d + 1, d = floor(disparity) + 1/2, has the opposite.

    Parameters
    ----------
    kind : int
        SSD or ZNCC.
    products : (W, count) i32
        Window sums of left times right.
    sums : (4, 2, W + 1) f64
        `box_row` of the left and the right row and of their halves; for ZNCC with scales in place of squares.
    pixels : int
        Of a window.
    lo : int
        px.
    d_left, d_right : (W,) f32
        px, of `winner_row`, changed in place.

    References
    ----------
    Shimizu and Okutomi, Sub-pixel estimation error cancellation on area-based matching, 2005.
    """
    width, count = products.shape
    left, right, left_half, right_half = sums[0], sums[1], sums[2], sums[3]
    for x in range(width):
        if np.isfinite(d_left[x]):
            p = d_left[x] - lo
            k = int(np.floor(p))
            u = x - lo - k  # index of the half before it
            if 0 < k < count - 2 and 0 < u < width:
                row = products[x]
                s = _half_vertex(kind, row[k - 1], row[k], row[k + 1], row[k + 2], left, right_half, x, u, -1, pixels)
                if s != NO_VERTEX:
                    d_left[x] = lo + (p + k + 0.5 + s) / 2
        if np.isfinite(d_right[x]):
            p = d_right[x] - lo
            k = int(np.floor(p))
            u = x + lo + k  # u + 1: index of the half after it
            if 0 < k < count - 2 and 0 < u < width - 2:
                a, b, c, d = products[u - 1, k - 1], products[u, k], products[u + 1, k + 1], products[u + 2, k + 2]
                s = _half_vertex(kind, a, b, c, d, right, left_half, x, u + 1, 1, pixels)
                if s != NO_VERTEX:
                    d_right[x] = lo + (p + k + 0.5 + s) / 2


@njit(cache=True, nogil=True)
def correct_vees(d):
    """Replace the sub-pixel parts s of a row (W,) f32 by s + COSINE_SHARE (sin(pi s) / 2 - s)."""
    for x in range(len(d)):
        if np.isfinite(d[x]):
            s = d[x] - np.rint(d[x])
            d[x] += np.float32(COSINE_SHARE * (0.5 * np.sin(np.pi * s) - s))


@njit(cache=True, nogil=True)
def _costs_of_winners(cost, lo, d_left, d_right, of_left, of_right):
    """of_left, of_right = window costs of one row at the disparities of `winner_row`, inf where none; all (W,) f32."""
    last = cost.shape[1] - 1
    for x in range(len(d_left)):
        of_left[x] = of_right[x] = np.inf
        if np.isfinite(d_left[x]):
            of_left[x] = cost[x, min(max(int(np.rint(d_left[x])) - lo, 0), last)]
        if np.isfinite(d_right[x]):
            k = min(max(int(np.rint(d_right[x])) - lo, 0), last)
            of_right[x] = cost[min(max(x + lo + k, 0), len(d_left) - 1), k]


@njit(cache=True, nogil=True)
def match_rows(left, right, search, row0, row1, maps):
    """Write both maps, the margin of `winner_row`, and the costs of the winners, for rows row0 .. row1 - 1.

    Parameters
    ----------
    left, right : (H, W) u16 or, for CENSUS, u64
        u16: at most 10 bits, so that sums fit 32 bits up to a radius of 20.
    search : WindowSearch
        Range and windows.
    row0, row1 : int
        Rows.
    maps : WindowMaps
        Written.
    """
    lo, count, radius, kind = search.lo, search.disparities, search.radius, search.kind
    d_left, margin, d_right = maps.d_left, maps.margin, maps.d_right
    width = left.shape[1]
    columns = np.empty((width + 2 * radius, count), np.int32)
    windows = np.empty((width, count), np.int32)
    score = np.empty_like(windows)
    # sum, and square or scale: of the left and the right picture, and of both half way between pixels
    of_columns = np.empty((4, 2, width + 1 + 2 * radius), np.int64)
    sums = np.empty((4, 2, width + 1), np.float64)
    pixels = (2 * radius + 1) ** 2
    curved = kind == SSD or kind == ZNCC
    for y in range(row0, row1):
        first = y == row0
        move_columns(left, right, lo, radius, kind, y, first, columns)
        windows_of_columns(columns, radius, windows)
        if curved:
            for i in range(4 if search.unbiased else 2):
                n = width + i // 2
                total, square, of_column = sums[i, 0, :n], sums[i, 1, :n], of_columns[i, :, : n + 2 * radius]
                box_row(left if i % 2 == 0 else right, y, radius, i > 1, first, of_column, total, square)
                if kind == ZNCC:
                    to_scales(total, square, pixels)
        if kind == SSD:
            ssd_cost(windows, sums[0, 1, :width], sums[1, 1, :width], lo, score)
        elif kind == ZNCC:
            own, other = sums[0, :, :width], sums[1, :, :width]
            zncc_cost(windows, own[0], own[1], other[0], other[1], lo, pixels, score)
        cost = score if curved else windows
        winner_row(cost, np.int32(2**31 - 1), lo, not curved, d_left[y], margin[y], d_right[y])
        _costs_of_winners(cost, lo, d_left[y], d_right[y], maps.left_cost[y], maps.right_cost[y])
        if search.unbiased and curved:
            cancel_bias(kind, windows, sums, pixels, lo, d_left[y], d_right[y])
        elif search.unbiased:
            correct_vees(d_left[y])
            correct_vees(d_right[y])
