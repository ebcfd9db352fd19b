"""How unlike are two pixels: the matching costs. numba kernels; oracles of three lines each in the tests.

Here and in the other blocks: left pixel x and right pixel x - d are compared, d = lo + k for k = 0 .. count - 1, and a
column outside the picture means the picture's nearest column (so a flat picture stays flat up to its border).
"""

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

CENSUS = {"7x9": (3, 4), "5x7": (2, 3)}  # rows x columns -> half height, half width; 62 and 34 bits of a 64-bit word


def grey(picture: np.ndarray) -> np.ndarray:
    """(H,W) u8 = (R + 2 G + B) / 4, rounded, of an RGB picture (H,W,3) u8.

    Of each colour as many parts as a camera's sensor has pixels of it (Bayer 1976). Of like noise in all three 0.61 is
    left, of that in luma, which is made for the eye (Rec. 601), 0.67.
    """
    return ((brightness(picture) + 128) >> 8).astype(np.uint8)


def brightness(picture: np.ndarray) -> np.ndarray:
    """(H,W) u16 = 64 R + 128 G + 64 B, what `grey` rounds to 8 bits: weak texture lies below one grey level."""
    r, g, b = (picture[..., i].astype(np.uint16) for i in range(3))
    return 64 * (r + 2 * g + b)


@intrinsic
def bits_set(typingctx, word):
    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen


@njit(cache=True, nogil=True)
def _add_bits(row, centre, bits):
    """bits = 2 bits + 1 where the row is darker than the centre; all (W,), 16 bits each, so vector code is short."""
    for x in range(len(bits)):
        bits[x] = (bits[x] << np.uint16(1)) | np.uint16(row[x] < centre[x])


@njit(cache=True, nogil=True)
def census(image, half_height, half_width, row0, row1, out):
    """out[y, x] = one bit for each neighbour in the window, set where the neighbour is darker than the pixel (y, x).

    image (H,W) u8 or u16; rows row0 .. row1 - 1 of out (H,W) u64 are written; the first neighbour is the highest bit.
    Pixels beyond the border repeat it. Source: Zabih and Woodfill, Non-parametric local transforms, 1994.
    """
    height, width = image.shape
    rows = np.empty((2 * half_height + 1, width + 2 * half_width), image.dtype)
    bits = np.empty(width, np.uint16)
    for y in range(row0, row1):
        for i in range(len(rows)):
            v = min(max(y + i - half_height, 0), height - 1)
            for x in range(rows.shape[1]):
                rows[i, x] = image[v, min(max(x - half_width, 0), width - 1)]
        centre = image[y]
        out[y] = 0
        bits[:] = 0
        held = 0
        for i in range(len(rows)):
            for j in range(2 * half_width + 1):
                if i == half_height and j == half_width:
                    continue
                _add_bits(rows[i, j : j + width], centre, bits)
                held += 1
                if held == 16 or (i == len(rows) - 1 and j == 2 * half_width):
                    for x in range(width):
                        out[y, x] = (out[y, x] << np.uint64(held)) | np.uint64(bits[x])
                    bits[:] = 0
                    held = 0


@njit(cache=True, nogil=True)
def lay_backwards(row, lo, backwards):
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
        lay_backwards(right[y], lo, backwards)
        for x in range(width):
            word = left[y, x]
            facing = backwards[width - 1 - x : width - 1 - x + count]
            here = cost[y, x]
            for k in range(count):
                here[k] = bits_set(word ^ facing[k])


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
    near = np.float32(bits_set(word ^ facing[min(max(i, 0), width - 1)]))
    return near + f * (np.float32(bits_set(word ^ facing[min(max(i + 1, 0), width - 1)])) - near)
