"""Matching costs: brightness, the census transform and the Hamming distance. numba kernels.

All kernels compare the left pixel x with the right pixel x - d, d = lo + k for k = 0 .. count - 1. A column outside the
picture means the nearest column inside, so that a uniform picture stays uniform up to its border.
"""

import numpy as np
from numba import types
from numba.extending import intrinsic

from ..kernel_cache import njit

# rows x columns of the window -> its half height and half width: 62 and 34 bits of a 64-bit code
CENSUS = {"7x9": (3, 4), "5x7": (2, 3)}
# (down, across) of the neighbours of `graded_census`: a window of 5 x 5 without its corners
GRADED = tuple((v, u) for v in range(-2, 3) for u in range(-2, 3) if 0 < v * v + u * u < 8)
GRADED_HALF = 2  # px, of that window


def grey(picture: np.ndarray) -> np.ndarray:
    """Return (R + 2 G + B) / 4, rounded: (H,W) u8 of an RGB picture (H,W,3) u8.

    The weights are the shares of the colours on a sensor (Bayer 1976). Independent noise of the three channels shrinks
    to 0.61 of its standard deviation, against 0.67 in luma (Rec. 601), whose weights follow the eye.
    """
    return rounded_grey(brightness(picture))


def rounded_grey(light: np.ndarray) -> np.ndarray:
    """Return `grey` of a picture from its `brightness`."""
    return ((light + 128) >> 8).astype(np.uint8)


def brightness(picture: np.ndarray) -> np.ndarray:
    """Return 64 R + 128 G + 64 B: (H,W) u16 of an RGB picture (H,W,3) u8, `grey` before its rounding to 8 bits.

    Weak texture has an amplitude below one grey level, so the census reads all 16 bits.
    """
    picture = np.ascontiguousarray(picture)
    light = np.empty(picture.shape[:2], np.uint16)
    _add_channels(picture, light)
    return light


@njit(cache=True, nogil=True)
def _add_channels(picture, light):
    """light = 64 R + 128 G + 64 B: one pass over memory, where numpy takes seven."""
    for y in range(len(light)):
        for x in range(light.shape[1]):
            r, g, b = np.uint32(picture[y, x, 0]), np.uint32(picture[y, x, 1]), np.uint32(picture[y, x, 2])
            light[y, x] = np.uint32(64) * (r + np.uint32(2) * g + b)


@intrinsic
def bits_set(typingctx, word):
    """Return the number of bits set in a u64."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen


@njit(cache=True, nogil=True)
def _append_bit(row, centre, bits):
    """bits = 2 bits + (row < centre); all (W,), 16 bits wide for short vector code."""
    for x in range(len(bits)):
        bits[x] = (bits[x] << np.uint16(1)) | np.uint16(row[x] < centre[x])


@njit(cache=True, nogil=True)
def _window_rows(image, y, half_height, half_width, rows):
    """rows (2 half_height + 1, W + 2 half_width) = the rows about row y of an image (H,W), its border repeated."""
    height, width = image.shape
    for i in range(len(rows)):
        v = min(max(y + i - half_height, 0), height - 1)
        for x in range(rows.shape[1]):
            rows[i, x] = image[v, min(max(x - half_width, 0), width - 1)]


@njit(cache=True, nogil=True)
def census(image, half_height, half_width, row0, row1, out):
    """out[y, x] = one bit per neighbour in the window, set where the neighbour is darker than the pixel (y, x).

    The first neighbour is the highest bit; pixels beyond the border repeat it.

    Parameters
    ----------
    image : (H, W) u8 or u16
        Grey levels.
    half_height, half_width : int
        Of the window, as in `CENSUS`.
    row0, row1 : int
        Rows row0 .. row1 - 1 of out are written.
    out : (H, W) u64
        The codes.

    References
    ----------
    Zabih and Woodfill, Non-parametric local transforms, 1994.
    """
    width = image.shape[1]
    rows = np.empty((2 * half_height + 1, width + 2 * half_width), image.dtype)
    bits = np.empty(width, np.uint16)
    for y in range(row0, row1):
        _window_rows(image, y, half_height, half_width, rows)
        centre = image[y]
        out[y] = 0
        bits[:] = 0
        held = 0
        for i in range(len(rows)):
            for j in range(2 * half_width + 1):
                if i == half_height and j == half_width:
                    continue
                _append_bit(rows[i, j : j + width], centre, bits)
                held += 1
                if held == 16 or (i == len(rows) - 1 and j == 2 * half_width):
                    for x in range(width):
                        out[y, x] = (out[y, x] << np.uint64(held)) | np.uint64(bits[x])
                    bits[:] = 0
                    held = 0


@njit(cache=True, nogil=True)
def graded_census(image, tolerance, row0, row1, out):
    """out[y, x] = three bits per neighbour n of c = image[y, x]: n < c - tolerance, n < c, n < c + tolerance.

    So a difference beyond the tolerance counts three times one that noise or rounding can reverse. The neighbours are
    `GRADED`, 60 bits; pixels beyond the border repeat it.

    Parameters
    ----------
    image : (H, W) u16
        `brightness`, at most 65,280.
    tolerance : int
        Units of the image.
    row0, row1 : int
        Rows row0 .. row1 - 1 of out are written.
    out : (H, W) u64
        The codes.

    References
    ----------
    Zabih and Woodfill, Non-parametric local transforms, 1994; Froeba and Ernst, 2004, and Stein, 2004, for tolerances.
    """
    width, half = image.shape[1], GRADED_HALF
    rows = np.empty((2 * half + 1, width + 2 * half), image.dtype)
    low, high = np.empty(width, image.dtype), np.empty(width, image.dtype)
    bits = np.empty(width, np.uint16)
    for y in range(row0, row1):
        _window_rows(image, y, half, half, rows)
        centre = image[y]
        for x in range(width):
            low[x] = max(np.int64(centre[x]) - tolerance, 0)
            high[x] = min(np.int64(centre[x]) + tolerance, 65535)
        out[y] = 0
        bits[:] = 0
        for k in range(len(GRADED)):
            down, across = GRADED[k]
            neighbour = rows[half + down, half + across : half + across + width]
            _append_bit(neighbour, low, bits)
            _append_bit(neighbour, centre, bits)
            _append_bit(neighbour, high, bits)
            if k % 5 == 4:  # five neighbours fill 15 of 16 bits
                for x in range(width):
                    out[y, x] = (out[y, x] << np.uint64(15)) | np.uint64(bits[x])
                bits[:] = 0


@njit(cache=True, nogil=True)
def reverse_row(row, lo, reverse):
    """reverse[j] = row[W - 1 - lo - j]: the match of x at lo + k is then at W - 1 - x + k, ascending in k."""
    last = len(row) - 1
    for j in range(len(reverse)):
        reverse[j] = row[min(max(last - lo - j, 0), last)]


@njit(cache=True, nogil=True)
def hamming_volume(left, right, lo, row0, row1, cost):
    """cost[y, x, k] = number of bits in which left[y, x] and right[y, x - lo - k] differ.

    The right row is reversed, so that a step in k is a step in memory and the compiler makes vector code.

    Parameters
    ----------
    left, right : (H, W) u64
        Census of both pictures.
    lo : int
        px, first disparity.
    row0, row1 : int
        Rows row0 .. row1 - 1 of cost are written.
    cost : (H, W, count) u8
        Bits.
    """
    width, count = cost.shape[1], cost.shape[2]
    reverse = np.empty(width + count - 1, np.uint64)
    for y in range(row0, row1):
        reverse_row(right[y], lo, reverse)
        for x in range(width):
            code = left[y, x]
            matches = reverse[width - 1 - x : width - 1 - x + count]
            here = cost[y, x]
            for k in range(count):
                here[k] = bits_set(code ^ matches[k])  # pyright: ignore[reportCallIssue]


@njit(cache=True, nogil=True)
def hamming_at(code, other_row, x, d, outside):
    """Return the Hamming distance of a code at x to a row of codes at x - d, linear between whole disparities.

    Parameters
    ----------
    code : u64
        Census of the pixel x.
    other_row : (W,) u64
        Census of the same row of the other picture.
    x : int
        px.
    d : float32
        px.
    outside : float32
        Cost where x - d lies outside the picture.

    Returns
    -------
    float32
        Bits.
    """
    width = len(other_row)
    u = np.float32(x) - d
    if not (u >= np.float32(-0.5) and u <= width - np.float32(0.5)):
        return outside
    i = int(np.floor(u))
    f = u - np.float32(i)
    near = np.float32(bits_set(code ^ other_row[min(max(i, 0), width - 1)]))  # pyright: ignore[reportCallIssue]
    far = np.float32(bits_set(code ^ other_row[min(max(i + 1, 0), width - 1)]))  # pyright: ignore[reportCallIssue]
    return near + f * (far - near)
