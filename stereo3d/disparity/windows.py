"""Block matching: costs summed over square windows, by sums that run along with the window. numba kernels.

A pixel's cost is one of `KINDS`; its sum over the (2 radius + 1)^2 window about each pixel is, for each disparity, that
of the pixel before plus a column that enters less a column that leaves, and so is each column from row to row: the time
does not depend on the radius. Beyond the border the picture's nearest pixel is repeated. Each pixel then takes the best
of the windows that hold it.
Sources: Scharstein and Szeliski 2002 (the costs); Faugeras et al., Real time correlation-based stereo, 1993 (the sums).
"""

import numpy as np
from numba import njit

from .costs import bits_set, lay_backwards
from .select import vertex, winner_row

SAD, CENSUS, SSD, ZNCC = KINDS = range(4)
ONE = np.float32(2**24)  # what no correlation costs
# A symmetric V draws to whole disparities, a cosine away from them; so much of it makes the mean over textures between
# white noise and 1 / f^1.5 of natural pictures even (measured on exact shifts, as `test_bias` does again).
BEND = 0.2
ASIDE = 2  # px from a pixel to the centres of the windows that it may take instead: half the usual radius
VOTES = 3  # of nine windows: where fewer say the same, chance may have
SAME = 1.0  # px, what is the same
EVEN = 2  # px, radius of the window whose contrast is made even: that of the census
FLAT = 0.25  # grey levels: slopes as weak as this are what rounding to whole grey levels leaves


@njit(cache=True, nogil=True)
def even_slopes(image, row0, row1, out):
    """out = 512 + 100 s / sqrt(mean of s^2 + FLAT^2), s = (right - left neighbour) / 2; (H,W) u16, 10 bits.

    So neither one strong edge nor a shade across the window outweighs all its texture in a correlation. The mean is
    over the (2 EVEN + 1)^2 window about each pixel; beyond the border the nearest pixel counts.
    image (H,W) u16, 256ths of a grey level; rows row0 .. row1 - 1 are written. Source: Jarrett et al., What is the best
    multi-stage architecture for object recognition, 2009 (local contrast normalisation).
    """
    height, width = image.shape
    window = 2 * EVEN + 1
    slopes = np.empty((window, width), np.int64)  # of the last rows, row v at v % window, in 512ths of a grey level
    columns = np.zeros(width + window - 1, np.int64)
    least = (window * 512 * FLAT) ** 2
    for v in range(row0 - EVEN, row1 + EVEN):
        here = slopes[v % window]
        if v >= row0 - EVEN + window:
            for x in range(width):
                columns[x + EVEN] -= here[x] ** 2
        row = image[min(max(v, 0), height - 1)]
        for x in range(width):
            here[x] = np.int64(row[min(x + 1, width - 1)]) - np.int64(row[max(x - 1, 0)])
            columns[x + EVEN] += here[x] ** 2
        y = v - EVEN
        if y < row0:
            continue
        columns[:EVEN], columns[width + EVEN :] = columns[EVEN], columns[width + EVEN - 1]
        own = slopes[y % window]
        running = columns[: window - 1].sum()
        for x in range(width):
            running += columns[x + window - 1]
            out[y, x] = 512 + np.int64(np.rint(100 * window * own[x] / np.sqrt(running + least)))
            running -= columns[x]


@njit(cache=True, nogil=True)
def _values(row, radius, halves, values):
    """values[i] = row[i - radius], or twice what lies half a pixel before it; beyond the border its nearest pixel."""
    wide = np.empty(len(values) + 1, np.int64)
    start, stop = radius + 1, radius + 1 + len(row)
    wide[:start], wide[start:stop], wide[stop:] = row[0], row, row[-1]
    if halves:
        values[:] = wide[1:] + wide[:-1]
    else:
        values[:] = wide[1:]


@njit(cache=True, nogil=True)
def box_row(image, y, radius, halves, first, columns, total, square):
    """Sum and sum of squares over the (2 radius + 1)^2 window about each pixel of row y of an image (H,W) u16.

    total, square (W,) f64, whole numbers; with `halves` (W + 1,): about the places half a pixel before each pixel, of
    twice what lies there, the sum of both neighbours.  columns (2, len(total) + 2 radius) i64: the sums down each
    column, of row y - 1 or, if `first`, anything.
    """
    last = image.shape[0] - 1
    values = np.empty(columns.shape[1], np.int64)
    if first:
        columns[:] = 0
    for v in range(y - radius if first else y + radius, y + radius + 1):
        _values(image[min(max(v, 0), last)], radius, halves, values)
        columns[0] += values
        columns[1] += values * values
    if not first:
        _values(image[min(max(y - radius - 1, 0), last)], radius, halves, values)
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

    The cost: |a - b|, or the number of bits that differ, or, for SSD and ZNCC, what they are made of: a b.
    """
    width, count = len(left_row), columns.shape[1]
    backwards = np.empty(columns.shape[0] + count - 1, right_row.dtype)
    lay_backwards(right_row, lo - radius, backwards)
    for i in range(columns.shape[0]):
        here = left_row[min(max(i - radius, 0), width - 1)]
        a = np.int32(here)
        start = columns.shape[0] - 1 - i
        facing, column = backwards[start : start + count], columns[i]
        if kind == SAD:
            for k in range(count):
                column[k] += sign * abs(np.int32(a - np.int32(facing[k])))
        elif kind == CENSUS:
            for k in range(count):
                column[k] += sign * np.int32(bits_set(np.uint64(here ^ facing[k])))
        else:
            for k in range(count):
                column[k] += sign * a * np.int32(facing[k])


@njit(cache=True, nogil=True)
def move_columns(left, right, lo, radius, kind, y, first, columns):
    """Sums (W + 2 radius, count) over rows y - radius .. y + radius: from those of row y - 1 or, if `first`, anew."""
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
    """sums[x, k] = columns[x .. x + 2 radius, k] added up; sums (W,count) i32."""
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
    """cost[x, k] = sum of (l - r)^2 = S_ll + S_rr - 2 S_lr, of one picture row; i32.

    product (W,count) i32 the window sums S_lr; left_square, right_square (W,): S_ll, S_rr.
    """
    width, count = cost.shape
    squares = np.empty(width + count - 1, np.int32)
    lay_backwards(right_square, lo, squares)
    for x in range(width):
        facing, a, of_pixel, here = squares[width - 1 - x :], np.int32(left_square[x]), product[x], cost[x]
        for k in range(count):
            here[k] = a + facing[k] - 2 * of_pixel[k]


@njit(cache=True, nogil=True)
def to_scales(total, square, pixels):
    """square (W,) f64 = 1 / sqrt(n S_aa - S_a^2), in place, 0 in a flat window: how ZNCC is normalised."""
    for x in range(len(total)):
        spread = pixels * square[x] - total[x] * total[x]
        square[x] = 1 / np.sqrt(spread) if spread > 0 else 0


@njit(cache=True, nogil=True)
def zncc_cost(product, left_sum, left_scale, right_sum, right_scale, lo, pixels, cost):
    """cost[x, k] = ONE (1 - ZNCC), ZNCC = (n S_lr - S_l S_r) / sqrt((n S_ll - S_l^2)(n S_rr - S_r^2)), of one row.

    product (W,count) i32 the window sums S_lr; sums (W,) f64, whole numbers, so that the numerator is exact; scales
    (W,) f64 (`to_scales`); pixels: n.  cost i32 in 0 .. 2 ONE; ONE (no correlation) where a window is flat.
    """
    width, count = cost.shape
    n = np.float64(pixels)
    sums, scales = np.empty(width + count - 1, np.float64), np.empty(width + count - 1, np.float32)
    lay_backwards(right_sum, lo, sums)
    lay_backwards(right_scale, lo, scales)
    for x in range(width):
        start = width - 1 - x
        facing, scale = sums[start : start + count], scales[start : start + count]
        a, f, of_pixel, here = left_sum[x], ONE * np.float32(left_scale[x]), product[x], cost[x]
        for k in range(count):
            common = n * of_pixel[k] - a * facing[k]
            here[k] = max(np.int32(ONE - np.float32(common) * (f * scale[k])), np.int32(0))


@njit(cache=True, nogil=True)
def _half_cost(kind, product, own, half, x, u, pixels):
    """Cost of the window about x against one half way between pixels, 2 b = r + r', up to a factor.

    product: of the own window with 2 b, which is that with r and that with r', so no window need be gone through.
    own, half: (sum, square or scale) of rows.
    """
    if kind == ZNCC:
        return 1 - (pixels * product - own[0][x] * half[0][u]) * own[1][x] * half[1][u]
    return 4 * own[1][x] + half[1][u] - 4 * product


@njit(cache=True, nogil=True)
def _half_vertex(kind, a, b, c, d, own, half, x, u, step, pixels):
    """Where beside the middle of b and c the least cost lies; a .. d: products with four successive windows.

    u: of the half between b and c; its neighbours are at u - step and u + step. 9 where the middle is not the least.
    """
    before = _half_cost(kind, np.float64(a + b), own, half, x, u - step, pixels)
    here = _half_cost(kind, np.float64(b + c), own, half, x, u, pixels)
    behind = _half_cost(kind, np.float64(c + d), own, half, x, u + step, pixels)
    return vertex(before, here, behind, False) if here <= before and here <= behind else 9.0


@njit(cache=True, nogil=True)
def cancel_bias(kind, products, sums, pixels, lo, d_left, d_right):
    """Average each sub-pixel disparity of a row with the one that costs at half disparities tell: their biases cancel.

    What a parabola through the costs at whole disparities errs by is odd about each of them and has a period of 1 px
    (it draws to whole numbers, "pixel locking"); so one through those at d - 1, d, d + 1, d = floor(disparity) + 1/2,
    errs by the opposite.
    products (W,count): window sums of left times right.  sums (4,2,W + 1): `box_row` of the left and the right row and
    of their halves, for ZNCC with scales in place of squares.  d_left, d_right (W,) f32: as `winner_row` has left them,
    changed in place.
    Source: Shimizu and Okutomi, Sub-pixel estimation error cancellation on area-based matching, 2005.
    """
    width, count = products.shape
    left, right, left_half, right_half = sums[0], sums[1], sums[2], sums[3]
    for x in range(width):
        if np.isfinite(d_left[x]):
            p = d_left[x] - lo
            k = int(np.floor(p))
            u = x - lo - k  # the half before it is at u
            if 0 < k < count - 2 and 0 < u < width:
                row = products[x]
                s = _half_vertex(kind, row[k - 1], row[k], row[k + 1], row[k + 2], left, right_half, x, u, -1, pixels)
                if s != 9:
                    d_left[x] = lo + (p + k + 0.5 + s) / 2
        if np.isfinite(d_right[x]):
            p = d_right[x] - lo
            k = int(np.floor(p))
            u = x + lo + k  # the half behind it is at u + 1
            if 0 < k < count - 2 and 0 < u < width - 2:
                a, b, c, d = products[u - 1, k - 1], products[u, k], products[u + 1, k + 1], products[u + 2, k + 2]
                s = _half_vertex(kind, a, b, c, d, right, left_half, x, u + 1, 1, pixels)
                if s != 9:
                    d_right[x] = lo + (p + k + 0.5 + s) / 2


@njit(cache=True, nogil=True)
def even_out(d):
    """Sub-pixel parts s that a symmetric V has told, of a row (W,) f32, in place: s + BEND (sin(pi s) / 2 - s)."""
    for x in range(len(d)):
        if np.isfinite(d[x]):
            s = d[x] - np.rint(d[x])
            d[x] += np.float32(BEND * (0.5 * np.sin(np.pi * s) - s))


@njit(cache=True, nogil=True)
def _costs_of_winners(cost, lo, d_left, d_right, of_left, of_right):
    """What the windows of one row cost at the disparities that `winner_row` has found; inf where none. All (W,) f32."""
    last = cost.shape[1] - 1
    for x in range(len(d_left)):
        of_left[x] = of_right[x] = np.inf
        if np.isfinite(d_left[x]):
            of_left[x] = cost[x, min(max(int(np.rint(d_left[x])) - lo, 0), last)]
        if np.isfinite(d_right[x]):
            k = min(max(int(np.rint(d_right[x])) - lo, 0), last)
            of_right[x] = cost[min(max(x + lo + k, 0), len(d_left) - 1), k]


@njit(cache=True, nogil=True)
def match_rows(left, right, lo, count, radius, kind, unbiased, row0, row1, d_left, margin, d_right, of_left, of_right):
    """Rows row0 .. row1 - 1 of both maps, of the margin (`winner_row`) and of what the winners cost, all (H,W) f32.

    left, right (H,W) u16 of at most 10 bits (so that no sum leaves 32, radius <= 20), or u64 for CENSUS.
    """
    width = left.shape[1]
    columns = np.empty((width + 2 * radius, count), np.int32)
    windows = np.empty((width, count), np.int32)
    score = np.empty_like(windows)
    # of the left and the right picture, and of both half way between pixels: sum, square or scale
    of_columns = np.empty((4, 2, width + 1 + 2 * radius), np.int64)
    sums = np.empty((4, 2, width + 1), np.float64)
    pixels = (2 * radius + 1) ** 2
    curved = kind == SSD or kind == ZNCC
    for y in range(row0, row1):
        first = y == row0
        move_columns(left, right, lo, radius, kind, y, first, columns)
        windows_of_columns(columns, radius, windows)
        if curved:
            for i in range(4 if unbiased else 2):
                n = width + i // 2
                total, square, of_column = sums[i, 0, :n], sums[i, 1, :n], of_columns[i, :, : n + 2 * radius]
                box_row(left if i % 2 == 0 else right, y, radius, i > 1, first, of_column, total, square)
                if kind == ZNCC:
                    to_scales(total, square, pixels)
        if kind == SSD:
            ssd_cost(windows, sums[0, 1, :width], sums[1, 1, :width], lo, score)
        elif kind == ZNCC:
            own, facing = sums[0, :, :width], sums[1, :, :width]
            zncc_cost(windows, own[0], own[1], facing[0], facing[1], lo, pixels, score)
        cost = score if curved else windows
        winner_row(cost, np.int32(2**31 - 1), lo, not curved, d_left[y], margin[y], d_right[y])
        _costs_of_winners(cost, lo, d_left[y], d_right[y], of_left[y], of_right[y])
        if unbiased and curved:
            cancel_bias(kind, windows, sums, pixels, lo, d_left[y], d_right[y])
        elif unbiased:
            even_out(d_left[y])
            even_out(d_right[y])


@njit(cache=True, nogil=True)
def _take_better(cost, d, margin, other_cost, other_d, other_margin):
    """Into cost, d, margin (W,) what costs less there; of equals the farther, then the larger margin. Vector code."""
    for x in range(len(cost)):
        c, v, m = other_cost[x], other_d[x], other_margin[x]
        better = (c < cost[x]) | ((c == cost[x]) & ((v < d[x]) | ((v == d[x]) & (m > margin[x]))))
        cost[x] = c if better else cost[x]
        d[x] = v if better else d[x]
        margin[x] = m if better else margin[x]


@njit(cache=True, nogil=True)
def _count_same(d, beside, votes):
    """votes[x] += 1 where beside[x] is the same as d[x]."""
    for x in range(len(d)):
        votes[x] += np.int32(abs(beside[x] - d[x]) <= SAME)  # False for NaN


@njit(cache=True, nogil=True)
def shift_windows(d, cost, margin, row0, row1, out, out_margin):
    """The disparity of that of nine windows that is matched at the least cost: centred here or ASIDE px to any side.

    A window that holds a pixel but not the edge beside it tells more of it than its own. min over windows and
    disparities is the min over the windows of what their winners cost, so no volume of costs is gone through again.
    Of equal costs the farther counts, then the larger margin. A pixel whose own window says the same keeps that, with
    its fraction; one whose choice fewer than VOTES of the nine support is unknown, NaN.
    d, cost, margin (H,W) f32: winners, NaN those that count for nothing, and what they cost; rows row0 .. row1 - 1 of
    out and out_margin are written. Sources: Bobick and Intille 1999; Fusiello, Roberto and Trucco 1997.
    """
    height, width = d.shape
    rows, inside = 2 * ASIDE + 1, slice(ASIDE, ASIDE + width)
    wide = np.empty((rows, 3, width + 2 * ASIDE), np.float32)  # cost, d, margin of row v, borders repeated, at v % rows
    of_three = np.empty((rows, 3, width), np.float32)  # of those beside one another the best
    best = np.empty((3, width), np.float32)
    votes = np.empty(width, np.int32)
    for v in range(row0 - ASIDE, row1 + ASIDE):
        source, row, three = min(max(v, 0), height - 1), wide[v % rows], of_three[v % rows]
        for x in range(width):
            row[0, ASIDE + x] = cost[source, x] if np.isfinite(d[source, x]) else np.inf
        row[1, inside], row[2, inside] = d[source], margin[source]
        for i in range(3):
            row[i, :ASIDE], row[i, ASIDE + width :] = row[i, ASIDE], row[i, ASIDE + width - 1]
        three[:] = row[:, inside]
        for j in (0, 2 * ASIDE):
            beside = row[:, j : j + width]
            _take_better(three[0], three[1], three[2], beside[0], beside[1], beside[2])
        y = v - ASIDE
        if y < row0:
            continue
        best[:] = of_three[y % rows]
        for u in (y - ASIDE, v):
            other = of_three[u % rows]
            _take_better(best[0], best[1], best[2], other[0], other[1], other[2])
        votes[:] = 0
        for u in (y - ASIDE, y, v):
            for j in (0, ASIDE, 2 * ASIDE):
                _count_same(best[1], wide[u % rows, 1, j : j + width], votes)
        for x in range(width):
            own = abs(best[1, x] - d[y, x]) <= SAME  # False for NaN
            out[y, x] = (d[y, x] if own else best[1, x]) if votes[x] >= VOTES else np.nan
            out_margin[y, x] = best[2, x]


@njit(cache=True, nogil=True)
def confirmed(d, margin, facing, sign, row0, row1, out, out_margin):
    """out = d where the other picture sees the same, else NaN; out_margin: the left one's margin. All (H,W) f32.

    d, facing: disparities of this and of the other picture, margin of the left one; sign: 1 if this is the left one,
    -1 if it is the right one, whose pixel u faces x = u + d.
    """
    width = d.shape[1]
    for y in range(row0, row1):
        for x in range(width):
            out[y, x], out_margin[y, x] = np.nan, 0
            if np.isfinite(d[y, x]):
                u = int(np.floor(x - sign * d[y, x] + 0.5))
                if 0 <= u < width and abs(facing[y, u] - d[y, x]) <= SAME:  # False for NaN
                    out[y, x], out_margin[y, x] = d[y, x], margin[y, x if sign > 0 else u]
