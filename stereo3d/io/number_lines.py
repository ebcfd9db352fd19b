"""Format tables of numbers as lines of text (numba), fast enough for text formats with a million faces."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..kernel_cache import njit

CHUNK_ROWS = 32_768  # rows formatted at a time
DIGITS = 9  # significant digits of a float, as "%.9g" gives them
FLOAT_CHARACTERS = 16  # longest float, -1.23456789e-300
INT_CHARACTERS = 20  # longest 64-bit integer
MIN_PLAIN_EXPONENT = -5  # smaller numbers have an exponent
MAX_POWER = 300  # largest power of ten that is used in one step; 10^308 is the largest float64
MINUS = np.uint8(ord("-"))
POINT = np.uint8(ord("."))
ZERO = np.uint8(ord("0"))
SMALL_E = np.uint8(ord("e"))


def format_rows(
    first: str, table: np.ndarray, separators: str, *, chunk_rows: int | None = None
) -> Iterator[memoryview]:
    """Yield chunks of the text that has one line for each row: `first`, then each number and its separator.

    Parameters
    ----------
    first : str
        Start of each line, ASCII.
    table : (N, k) float or int
        Floats are written with nine significant digits, as by "%.9g".
    separators : str
        k ASCII characters; the last one ends the line.
    chunk_rows : int, optional
        Rows to a chunk; None: `CHUNK_ROWS`.
    """
    table = np.ascontiguousarray(table)
    n, columns = table.shape
    if len(separators) != columns:
        raise ValueError(f"{columns} columns need as many separators, got {separators!r}")
    head, after = (np.frombuffer(text.encode("ascii"), np.uint8) for text in (first, separators))
    rows = chunk_rows or CHUNK_ROWS
    floats = table.dtype.kind == "f"
    kernel, width = (_format_floats, FLOAT_CHARACTERS) if floats else (_format_ints, INT_CHARACTERS)
    table = table.astype(np.float64 if floats else np.int64, copy=False)

    def chunk(start: int) -> memoryview:
        part = table[start : start + rows]
        out = np.empty(len(part) * (len(head) + columns * (width + 1)), np.uint8)
        return out.data[: kernel(head, part, after, out)]

    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(chunk, range(0, n, rows))


@njit(cache=True, nogil=True)
def _format_ints(head, table, separators, out):
    """Write table (N, k) int64 into out (bytes); return where the text ends."""
    at = 0
    for i in range(table.shape[0]):
        for c in head:
            out[at] = c
            at += 1
        for k in range(table.shape[1]):
            m = table[i, k]
            if m < 0:
                out[at] = MINUS
                at += 1
                m = -m
            at = _write_whole(m, out, at)
            out[at] = separators[k]
            at += 1
    return at


@njit(cache=True, nogil=True)
def _format_floats(head, table, separators, out):
    """Write table (N, k) float64 into out (bytes); return where the text ends.

    x = m 10^(e - 8), m of nine digits, is written plainly for -5 <= e < 9, else with an exponent.
    """
    digits = np.empty(DIGITS, np.uint8)
    at = 0
    for i in range(table.shape[0]):
        for c in head:
            out[at] = c
            at += 1
        for k in range(table.shape[1]):
            x = table[i, k]
            if x < 0:
                out[at] = MINUS
                at += 1
                x = -x
            if not x > 0:
                out[at] = ZERO
                at += 1
            else:
                m, e = _nine_digits(x)
                for j in range(DIGITS - 1, -1, -1):
                    digits[j] = ZERO + np.uint8(m % 10)
                    m //= 10
                length = DIGITS  # without the zeros at the end; the first digit is none
                while digits[length - 1] == ZERO:
                    length -= 1
                plain = MIN_PLAIN_EXPONENT <= e < DIGITS
                at = _write_digits(digits, length, e + 1 if plain else 1, out, at)
                if not plain:
                    at = _write_exponent(e, out, at)
            out[at] = separators[k]
            at += 1
    return at


@njit(cache=True, nogil=True)
def _write_whole(m, out, at):
    """Write the digits of m >= 0 from `at` on; return where they end."""
    length = 1
    rest = m // 10
    while rest > 0:
        rest //= 10
        length += 1
    for k in range(at + length - 1, at - 1, -1):
        out[k] = ZERO + np.uint8(m % 10)
        m //= 10
    return at + length


@njit(cache=True, nogil=True, inline="always")  # a call would cost a tenth of the whole
def _write_digits(digits, length, before, out, at):
    """Write `length` digits with `before` of them ahead of the point (zeros are added); return where they end."""
    if before <= 0:
        out[at] = ZERO
        out[at + 1] = POINT
        at += 2
        for _ in range(-before):
            out[at] = ZERO
            at += 1
        for j in range(length):
            out[at] = digits[j]
            at += 1
    else:
        for j in range(max(length, before)):
            if j == before:
                out[at] = POINT
                at += 1
            out[at] = digits[j] if j < length else ZERO
            at += 1
    return at


@njit(cache=True, nogil=True)
def _write_exponent(e, out, at):
    """Write "e" and the exponent from `at` on; return where they end."""
    out[at] = SMALL_E
    at += 1
    if e < 0:
        out[at] = MINUS
        at += 1
    return _write_whole(abs(e), out, at)


@njit(cache=True, nogil=True, inline="always")  # a call would cost two per cent
def _nine_digits(x):
    """m, e of x = m 10^(e - 8) > 0 with 10^8 <= m < 10^9."""
    limit = np.int64(10**DIGITS)
    e = int(np.floor(np.log10(x)))
    m = _scaled(x, e)
    if m < limit // 10:  # the logarithm was rounded up
        e -= 1
        m = _scaled(x, e)
    if m >= limit:
        e += 1
        m = _scaled(x, e)
    return m, e


@njit(cache=True, nogil=True)
def _scaled(x, e):
    """x 10^(8 - e), rounded; by two steps where one power alone would overflow."""
    power = DIGITS - 1 - e
    if power > MAX_POWER:
        return np.int64(np.rint(x * 1e300 * 10.0 ** (power - MAX_POWER)))
    return np.int64(np.rint(x * 10.0**power if power >= 0 else x / 10.0**-power))
