"""How unlike are two pixels: the matching costs. numba kernels; oracles of three lines each in the tests.

Here and in the other blocks: left pixel x and right pixel x - d are compared, d = lo + k for k = 0 .. count - 1, and a
column outside the picture means the picture's nearest column (so a flat picture stays flat up to its border).
"""

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

CENSUS = {"7x9": (3, 4), "5x7": (2, 3)}  # rows x columns -> half height, half width; 62 and 34 bits of a 64-bit word


def grey(picture: np.ndarray) -> np.ndarray:
    """(H,W) u8 = (77 R + 150 G + 29 B + 128) / 256 of an RGB picture (H,W,3) u8: Rec. 601 luma in whole numbers."""
    r, g, b = (picture[..., i].astype(np.uint32) for i in range(3))
    return ((77 * r + 150 * g + 29 * b + 128) >> 8).astype(np.uint8)


def luma(picture: np.ndarray) -> np.ndarray:
    """(H,W) u16 = 77 R + 150 G + 29 B, what `grey` rounds to 8 bits: weak texture lies below one grey level."""
    r, g, b = (picture[..., i].astype(np.uint16) for i in range(3))
    return 77 * r + 150 * g + 29 * b


@intrinsic
def _bits_set(typingctx, word):
    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen


@njit(cache=True, nogil=True)
def census(image, half_height, half_width, row0, row1, out):
    """out[y, x] = one bit for each neighbour in the window, set where the neighbour is darker than the pixel (y, x).

    image (H,W) of whole numbers; rows row0 .. row1 - 1 of out (H,W) u64 are written; the first neighbour is the highest
    bit. Pixels beyond the border repeat it. Source: Zabih and Woodfill, Non-parametric local transforms, 1994.
    """
    height, width = image.shape
    for y in range(row0, row1):
        for x in range(width):
            out[y, x] = 0
        for dy in range(-half_height, half_height + 1):
            v = min(max(y + dy, 0), height - 1)
            for dx in range(-half_width, half_width + 1):
                if dx == 0 and dy == 0:
                    continue
                for x in range(width):
                    u = min(max(x + dx, 0), width - 1)
                    out[y, x] = (out[y, x] << np.uint64(1)) | np.uint64(image[v, u] < image[y, x])


@njit(cache=True, nogil=True)
def _lay_backwards(row, lo, backwards):
    """backwards[j] = row[W - 1 - lo - j]: what faces x at lo + k then stands at W - 1 - x + k."""
    last = len(row) - 1
    for j in range(len(backwards)):
        backwards[j] = row[min(max(last - lo - j, 0), last)]


@njit(cache=True, nogil=True)
def hamming_volume(left, right, lo, row0, row1, cost):
    """cost[y, x, k] = number of bits in which left[y, x] and right[y, x - lo - k] differ.

    left, right (H,W) u64; rows row0 .. row1 - 1 of cost (H,W,count) u8 are written. The right row is laid out
    backwards, so that the walk along k is a walk along memory and the compiler makes vector code of it.
    """
    width, count = cost.shape[1], cost.shape[2]
    backwards = np.empty(width + count - 1, np.uint64)
    for y in range(row0, row1):
        _lay_backwards(right[y], lo, backwards)
        for x in range(width):
            word = left[y, x]
            facing = backwards[width - 1 - x : width - 1 - x + count]
            here = cost[y, x]
            for k in range(count):
                here[k] = _bits_set(word ^ facing[k])


@njit(cache=True, nogil=True)
def hamming_at(word, facing, x, d, outside):
    """Bits in which the left word and the right row `facing` (W,) u64 differ at x - d.

    Linear between whole disparities.  outside: the cost where x - d lies outside the picture.
    """
    width = len(facing)
    u = np.float32(x) - d
    if not (u >= np.float32(-0.5) and u <= width - np.float32(0.5)):
        return outside
    i = int(np.floor(u))
    f = u - np.float32(i)
    near = np.float32(_bits_set(word ^ facing[min(max(i, 0), width - 1)]))
    return near + f * (np.float32(_bits_set(word ^ facing[min(max(i + 1, 0), width - 1)])) - near)


@njit(cache=True, nogil=True)
def box_sums(image, radius):
    """(sum, sum of squares) i64 (H,W) over the (2 radius + 1)^2 window about each pixel of an image (H,W) u8.

    By integral images: I[y, x] = sum of all above and left of (y, x), so a window is four look-ups whatever its size
    (Crow 1984; Viola and Jones 2001). Beyond the border the picture's nearest pixel is repeated.
    """
    height, width = image.shape
    side = 2 * radius + 1
    one = np.zeros((height + side, width + side), np.int64)
    two = np.zeros((height + side, width + side), np.int64)
    for y in range(height + side - 1):
        row_one, row_two = 0, 0
        for x in range(width + side - 1):
            value = np.int64(image[min(max(y - radius, 0), height - 1), min(max(x - radius, 0), width - 1)])
            row_one += value
            row_two += value * value
            one[y + 1, x + 1] = one[y, x + 1] + row_one
            two[y + 1, x + 1] = two[y, x + 1] + row_two
    total, square = np.empty((height, width), np.int64), np.empty((height, width), np.int64)
    for y in range(height):
        for x in range(width):
            a, b = y + side, x + side
            total[y, x] = one[a, b] - one[y, b] - one[a, x] + one[y, x]
            square[y, x] = two[a, b] - two[y, b] - two[a, x] + two[y, x]
    return total, square


@njit(cache=True, nogil=True)
def _add_row(left_row, right_row, lo, radius, product, sign, columns):
    """columns[x + radius, k] += sign * f(L(x), R(x - lo - k)), f = |a - b| or a b, x = -radius .. W - 1 + radius."""
    width, count = len(left_row), columns.shape[1]
    backwards = np.empty(columns.shape[0] + count - 1, np.int32)
    _lay_backwards(right_row, lo - radius, backwards)
    for i in range(columns.shape[0]):
        a = np.int32(left_row[min(max(i - radius, 0), width - 1)])
        start = width - 1 + radius - (i - radius)
        facing, column = backwards[start : start + count], columns[i]
        if product:
            for k in range(count):
                column[k] += sign * a * facing[k]
        else:
            for k in range(count):
                column[k] += sign * abs(a - facing[k])


@njit(cache=True, nogil=True)
def start_columns(left, right, lo, radius, product, y, columns):
    """Fill columns (W + 2 radius, count) i32 with the vertical sums over rows y - radius .. y + radius."""
    height = left.shape[0]
    columns[:] = 0
    for v in range(y - radius, y + radius + 1):
        row = min(max(v, 0), height - 1)
        _add_row(left[row], right[row], lo, radius, product, np.int32(1), columns)


@njit(cache=True, nogil=True)
def move_columns(left, right, lo, radius, product, y, columns):
    """Turn the vertical sums of row y - 1 into those of row y: one row enters the windows, one leaves."""
    height = left.shape[0]
    enter, leave = min(y + radius, height - 1), max(y - radius - 1, 0)
    _add_row(left[enter], right[enter], lo, radius, product, np.int32(1), columns)
    _add_row(left[leave], right[leave], lo, radius, product, np.int32(-1), columns)


@njit(cache=True, nogil=True)
def windows_of_columns(columns, radius, sums):
    """sums[x, k] = columns[x .. x + 2 radius, k] added up, by a running sum along the row; sums (W, count) i32."""
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
def zncc_cost(product, left_sum, left_square, right_sum, right_square, lo, pixels, cost):
    """cost[x, k] = 1 - ZNCC = 1 - (n S_lr - S_l S_r) / sqrt((n S_ll - S_l^2)(n S_rr - S_r^2)), of one picture row.

    product (W,count) i32 the window sums S_lr; the others (W,) i64; pixels: n. cost f32 in [0, 2]; 1 (no correlation)
    where a window is flat. The sums are whole numbers, so nothing is lost before the division.
    """
    width, count = cost.shape
    sums, scales = np.empty(width + count - 1, np.int64), np.empty(width + count - 1, np.float64)
    _lay_backwards(right_sum, lo, sums)
    _lay_backwards(_one_over_spread(right_sum, right_square, pixels), lo, scales)
    left_scale = _one_over_spread(left_sum, left_square, pixels)
    for x in range(width):
        start = width - 1 - x
        facing, scale = sums[start : start + count], scales[start : start + count]
        a, f, of_pixel, here = left_sum[x], left_scale[x], product[x], cost[x]
        for k in range(count):
            common = np.float64(pixels * np.int64(of_pixel[k]) - a * facing[k])
            value = 1.0 - common * f * scale[k]
            here[k] = value if value > 0 else 0.0


@njit(cache=True, nogil=True)
def _one_over_spread(total, square, pixels):
    """(W,) f64: 1 / sqrt(n S_aa - S_a^2), 0 where that is 0."""
    result = np.zeros(len(total))
    for x in range(len(total)):
        spread = pixels * square[x] - total[x] * total[x]
        if spread > 0:
            result[x] = 1 / np.sqrt(np.float64(spread))
    return result
