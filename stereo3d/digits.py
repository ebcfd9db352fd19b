"""Tables of numbers as lines of text, at the speed of memory: what a text format of a million faces needs (numba)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

__all__ = ["lines"]

ROWS = 32_768  # to a piece of text
MINUS, POINT, ZERO, SMALL_E = (np.uint8(ord(c)) for c in "-.0e")
DIGITS = 9  # significant ones of a float, as "%.9g" gives them


def lines(first: str, table: np.ndarray, between: str, *, rows: int | None = None) -> Iterator[memoryview]:
    """Pieces of the text with one line for each row of table: `first`, then each number and the character after it.

    table: (N,k) floats (nine significant digits, as "%.9g") or whole numbers.  between: k characters in ASCII, the last
    of them the line's end.  rows: to a piece.
    """
    table = np.ascontiguousarray(table)
    n, columns = table.shape
    if len(between) != columns:
        raise ValueError(f"{columns} columns need as many characters behind them, got {between!r}")
    head, after = (np.frombuffer(text.encode("ascii"), np.uint8) for text in (first, between))
    rows = rows or ROWS
    kernel, widest = (_float_lines, 16) if table.dtype.kind == "f" else (_int_lines, 20)
    table = table.astype(np.float64 if table.dtype.kind == "f" else np.int64, copy=False)

    def piece(start: int) -> memoryview:
        some = table[start : start + rows]
        out = np.empty(len(some) * (len(head) + columns * (widest + 1)), np.uint8)
        return memoryview(out)[: kernel(head, some, after, out)]

    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(piece, range(0, n, rows))


@njit(cache=True, nogil=True)
def _whole(m, out, at):
    """The digits of m >= 0 from `at` on; returns where they end."""
    length = 1
    rest = m // 10
    while rest > 0:
        rest //= 10
        length += 1
    for k in range(at + length - 1, at - 1, -1):
        out[k] = ZERO + np.uint8(m % 10)
        m //= 10
    return at + length


@njit(cache=True, nogil=True)
def _int_lines(head, table, after, out):
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
            at = _whole(m, out, at)
            out[at] = after[k]
            at += 1
    return at


@njit(cache=True, nogil=True)
def _float_lines(head, table, after, out):
    """x = m 10^(e - 8) with m a whole number of nine digits: plain for -5 <= e < 9, else with an exponent."""
    most = np.int64(10**DIGITS)
    for_point = np.empty(DIGITS, np.uint8)
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
                out[at + 1] = after[k]
                at += 2
                continue
            e = int(np.floor(np.log10(x)))
            m = _nine(x, e)
            if m < most // 10:  # the logarithm was rounded up
                e -= 1
                m = _nine(x, e)
            if m >= most:
                e += 1
                m = _nine(x, e)
            length = DIGITS
            while m % 10 == 0:
                m //= 10
                length -= 1
            for j in range(length - 1, -1, -1):
                for_point[j] = ZERO + np.uint8(m % 10)
                m //= 10
            before = e + 1 if -5 <= e < DIGITS else 1  # digits before the point
            if before <= 0:
                out[at] = ZERO
                out[at + 1] = POINT
                at += 2
                for _ in range(-before):
                    out[at] = ZERO
                    at += 1
                for j in range(length):
                    out[at] = for_point[j]
                    at += 1
            else:
                for j in range(max(length, before)):
                    if j == before:
                        out[at] = POINT
                        at += 1
                    out[at] = for_point[j] if j < length else ZERO
                    at += 1
            if not -5 <= e < DIGITS:
                out[at] = SMALL_E
                at += 1
                if e < 0:
                    out[at] = MINUS
                    at += 1
                at = _whole(abs(e), out, at)
            out[at] = after[k]
            at += 1
    return at


@njit(cache=True, nogil=True)
def _nine(x, e):
    """x 10^(8 - e), rounded; by two steps where one power alone would overflow."""
    power = DIGITS - 1 - e
    if power > 300:
        return np.int64(np.rint(x * 1e300 * 10.0 ** (power - 300)))
    return np.int64(np.rint(x * 10.0**power if power >= 0 else x / 10.0**-power))
