"""Continuous surfaces of a disparity map: labels, the matches that agree, which continues which. numba kernels."""

from typing import NamedTuple

import numpy as np

from ..kernel_cache import njit

UNKNOWN = -1  # label of a pixel without a disparity


@njit(cache=True, nogil=True)
def surface_labels(disparity, step):
    """Number the continuous surfaces: connected pixels whose neighbours differ by at most `step`.

    Parameters
    ----------
    disparity : (H, W) f32
        px, NaN unknown.
    step : float
        px.

    Returns
    -------
    labels : (H, W) int32
        From 0 in the order of the first pixel, -1 where unknown.
    count : int
        Number of surfaces.
    """
    height, width = disparity.shape
    labels = np.full((height, width), UNKNOWN, np.int32)
    queue = np.empty(height * width, np.int32)  # y width + x
    count = 0
    for y0 in range(height):
        for x0 in range(width):
            if labels[y0, x0] != UNKNOWN or not np.isfinite(disparity[y0, x0]):
                continue
            labels[y0, x0] = count
            queue[0] = y0 * width + x0
            done, filled = 0, 1
            while done < filled:
                y, x = divmod(np.int64(queue[done]), width)
                done += 1
                for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                    if 0 <= v < height and 0 <= u < width and labels[v, u] == UNKNOWN:
                        if abs(disparity[v, u] - disparity[y, x]) <= step:  # False for NaN
                            labels[v, u] = count
                            queue[filled] = v * width + u
                            filled += 1
            count += 1
    return labels, count


@njit(cache=True, nogil=True)
def count_votes(disparity, labels, count, matches, reach, tolerance):
    """Count, per surface, the matches that agree with it and those that contradict it.

    A match agrees with each surface that has its disparity within its window; where it agrees with none, it contradicts
    the surface at its own pixel.

    Parameters
    ----------
    disparity : (H, W) f32
        px.
    labels : (H, W) int32
        As `surface_labels` returns them.
    count : int
        Number of surfaces.
    matches : (N, 3) float64
        x, y and disparity, px.
    reach : int
        px, half the side of the window.
    tolerance : float
        px.

    Returns
    -------
    votes : (count, 2) int64
        Agreeing, contradicting.
    agreeing : (N,) int64
        The first surface that each match agrees with, -1 for none.
    """
    height, width = disparity.shape
    votes = np.zeros((count, 2), np.int64)
    agreeing = np.full(len(matches), UNKNOWN, np.int64)
    last = np.full(count, -1, np.int64)  # match that voted for the surface before
    for i in range(len(matches)):
        x, y = int(np.floor(matches[i, 0] + 0.5)), int(np.floor(matches[i, 1] + 0.5))
        for v in range(max(0, y - reach), min(height, y + reach + 1)):
            for u in range(max(0, x - reach), min(width, x + reach + 1)):
                label = labels[v, u]
                if label != UNKNOWN and abs(disparity[v, u] - matches[i, 2]) <= tolerance:
                    if agreeing[i] == UNKNOWN:
                        agreeing[i] = label
                    if last[label] != i:
                        votes[label, 0] += 1
                        last[label] = i
        if agreeing[i] == UNKNOWN and 0 <= y < height and 0 <= x < width and labels[y, x] != UNKNOWN:
            votes[labels[y, x], 1] += 1
    return votes, agreeing


class AttachmentLimits(NamedTuple):
    """Bounds of `attached_surfaces`.

    Parameters
    ----------
    gap : int
        Unknown pixels, at most, between two surfaces.
    step : float
        px of disparity a pixel.
    bend : float
        px of disparity a row, between the slopes of two steps down a column.
    """

    gap: int
    step: float = 1.0
    bend: float = 0.25


@njit(cache=True, nogil=True)
def _root(parents, i):
    """Return the root of i, and shorten the way to it."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@njit(cache=True, nogil=True)
def _join(parents, a, b):
    """Join two sets; the smaller root stays."""
    a, b = _root(parents, a), _root(parents, b)
    parents[max(a, b)] = min(a, b)


@njit(cache=True, nogil=True)
def attached_surfaces(disparity, labels, count, anchors, limits):
    """Return the surfaces that continue an anchor across unknown pixels, directly or through others: (count,) bool.

    Two surfaces continue each other where at most `limits.gap` unknown pixels lie between two of their pixels in a row
    or a column and the disparity changes by at most `limits.step` a pixel; or in a column where three pixels, that far
    apart, lie on a line, as on ground that is steep to both pictures: d changes there by several px a row.

    Parameters
    ----------
    disparity : (H, W) f32
        px.
    labels : (H, W) int32
        As `surface_labels` returns them.
    count : int
        Number of surfaces.
    anchors : (count,) bool
        Surfaces to start from.
    limits : AttachmentLimits
        See there.
    """
    height, width = labels.shape
    parents = np.arange(count)
    above = np.full(width, -1)  # row of the last known pixel of each column
    last = np.full(width, UNKNOWN)  # surface of the known pixel before that one
    slopes = np.full(width, np.inf)  # px a row, between both
    for y in range(height):
        before = -1
        for x in range(width):
            if labels[y, x] == UNKNOWN:
                continue
            if before >= 0 and x - before <= limits.gap + 1:
                if abs(disparity[y, x] - disparity[y, before]) <= limits.step * (x - before):
                    _join(parents, labels[y, x], labels[y, before])
            v, slope = above[x], np.inf
            if v >= 0 and y - v <= limits.gap + 1:
                slope = (disparity[y, x] - disparity[v, x]) / (y - v)
                if abs(slope) <= limits.step:
                    _join(parents, labels[y, x], labels[v, x])
                elif abs(slope - slopes[x]) <= limits.bend:  # False where that is infinite
                    _join(parents, labels[y, x], labels[v, x])
                    _join(parents, labels[v, x], last[x])
            if v >= 0:
                last[x] = labels[v, x]
            before, above[x], slopes[x] = x, y, slope
    holds = np.zeros(count, np.bool_)
    for i in range(count):
        holds[_root(parents, i)] |= anchors[i]
    return np.array([holds[_root(parents, i)] for i in range(count)])
