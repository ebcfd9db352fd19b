"""Selection: winner-takes-all, the left-right test, connected components, filling, and sub-pixel refinement. numba."""

from typing import NamedTuple

import numpy as np

from ..kernel_cache import njit
from .surfaces import UNKNOWN, surface_labels

NO_COST = np.int64(2**62)  # of a right pixel that no left one faces


class ContinuationLimits(NamedTuple):
    """Bounds of `continue_surfaces`.

    Parameters
    ----------
    tolerance : float32
        px, of the left-right test.
    min_confidence : float32
        Of a pixel that is taken.
    max_step : float32
        px of disparity, to a neighbour that is kept or was taken before.
    max_distance : int
        px, steps from the nearest kept pixel.
    """

    tolerance: np.float32
    min_confidence: np.float32
    max_step: np.float32
    max_distance: int


@njit(cache=True, nogil=True)
def _min_of(values, smallest):
    """Return the minimum of the values and `smallest`."""
    for k in range(len(values)):
        smallest = values[k] if values[k] < smallest else smallest
    return smallest


@njit(cache=True, nogil=True)
def _packed_min(values):
    """Return the minimum and its index k, the first of equals, as value 2^16 + k: one comparison for both."""
    smallest = NO_COST
    for k in range(len(values)):
        here = (np.int64(values[k]) << 16) | k
        smallest = here if here < smallest else smallest
    return smallest


@njit(cache=True, nogil=True)
def _update_packed_min(values, start, smallest):
    """smallest[i] = min(smallest[i], values[i] 2^16 + start + i)."""
    for i in range(len(values)):
        here = (np.int64(values[i]) << 16) | (start + i)
        smallest[i] = here if here < smallest[i] else smallest[i]


@njit(cache=True, nogil=True)
def vertex(before, best, after, vee):
    """Return the offset of the minimum of a parabola, or a symmetric V, through three costs; 0 if they are equal."""
    before, best, after = np.float64(before), np.float64(best), np.float64(after)
    bend = 2 * (max(before, after) - best) if vee else 2 * (before + after - 2 * best)
    return (before - after) / bend if bend > 0 else 0.0


@njit(cache=True, nogil=True)
def winner_row(cost, largest, lo, vee, left, margin, right):
    """left[x] = lo + k + s, k = argmin cost[x], s the sub-pixel vertex; right likewise: one row of both maps.

    s = (a - c) / (2 (a + c - 2 b)) of the costs a, b, c at k - 1, k, k + 1 (parabola), or with `vee`
    s = (a - c) / (2 (max(a, c) - b)) (symmetric V). right[x'] takes k = argmin of cost[x' + lo + k, k] and s along this
    diagonal. left is NaN where another disparity, not next to k, costs the same, or where x - d lies outside the
    picture; right where no left pixel faces x'. Of equal costs the first k wins.

    Parameters
    ----------
    cost : (W, count) of whole numbers
        d = lo + k; count <= 65536.
    largest : of the type of cost
        No cost is above it.
    lo : int
        px.
    vee : bool
        Fit a symmetric V.
    left, margin, right : (W,) f32
        Written. margin = 1 - cost of the winner / cost of the best rival not next to it, in [0, 1].

    References
    ----------
    Scharstein and Szeliski, A taxonomy of dense stereo, 2002. Shimizu and Okutomi 2005 (V).
    """
    width, count = cost.shape
    of_right = np.full(width, NO_COST)  # packed minimum of the right pixel W - 1 - j: reversed, ascending in k
    for x in range(width):
        here = cost[x]
        k = _packed_min(here) & 65535
        b = here[k]
        rival = _min_of(here[: max(0, k - 1)], _min_of(here[k + 2 :], largest))
        left[x] = lo + k
        unclear = rival <= b
        if 0 < k < count - 1:
            unclear |= here[k - 1] == b == here[k + 1]
            left[x] += vertex(here[k - 1], b, here[k + 1], vee)
        elif count == 2 and here[0] == here[1]:
            unclear = True
        if unclear or not 0 <= x - lo - k < width:
            left[x], margin[x] = np.nan, 0.0
        else:
            margin[x] = 1.0 - np.float64(b) / np.float64(rival) if rival < largest else 1.0
        first = width - 1 - x + lo
        start, stop = max(0, -first), min(count, width - first)
        if start < stop:
            _update_packed_min(here[start:stop], start, of_right[first + start : first + stop])
    for u in range(width):
        k = of_right[width - 1 - u] & 65535
        right[u] = lo + k if of_right[width - 1 - u] < NO_COST else np.nan
        x = u + lo + k
        if 0 < k < count - 1 and 0 < x < width - 1:
            before, after = cost[x - 1, k - 1], cost[x + 1, k + 1]
            if min(before, after) >= cost[x, k]:
                right[u] += vertex(before, cost[x, k], after, vee)


@njit(cache=True, nogil=True)
def winners(cost, largest, lo, vee, row0, row1, left, margin, right):  # noqa: PLR0913 - innermost kernel
    """Apply `winner_row` to the rows row0 .. row1 - 1 of cost (H,W,count); left, margin, right (H,W) f32."""
    for y in range(row0, row1):
        winner_row(cost[y], largest, lo, vee, left[y], margin[y], right[y])


@njit(cache=True, nogil=True)
def left_right_difference(left, right):
    """Return |d_left(x) - d_right(x - d_left(x))| at the nearest right pixel; inf where either is unknown or outside.

    Parameters
    ----------
    left, right : (H, W) f32
        px, both x_left - x_right.

    Returns
    -------
    (H, W) f32
        px.
    """
    height, width = left.shape
    difference = np.full((height, width), np.inf, np.float32)
    for y in range(height):
        for x in range(width):
            if np.isfinite(left[y, x]):
                u = int(np.floor(x - left[y, x] + 0.5))
                if 0 <= u < width and np.isfinite(right[y, u]):
                    difference[y, x] = abs(left[y, x] - right[y, u])
    return difference


@njit(cache=True, nogil=True)
def _edge_pixels(kept, queue):
    """Write the kept pixels with an unknown neighbour to queue, as y W + x, and return their number."""
    height, width = kept.shape
    filled = 0
    for y in range(height):
        for x in range(width):
            if np.isfinite(kept[y, x]):
                edge = 0 < x and not np.isfinite(kept[y, x - 1]) or x + 1 < width and not np.isfinite(kept[y, x + 1])
                edge |= 0 < y and not np.isfinite(kept[y - 1, x])
                edge |= y + 1 < height and not np.isfinite(kept[y + 1, x])
                if edge:
                    queue[filled] = y * width + x
                    filled += 1
    return filled


@njit(cache=True, nogil=True)
def _hidden_from_right(u, d, kept_row, right_row, inside_row, tolerance):
    """Return whether the right picture cannot show the left pixel u of disparity d.

    True where the match lies outside the photo, or where something nearer covers it that the left map has too.
    """
    width = len(kept_row)
    at = int(np.floor(u - d + 0.5))
    if 0 <= at < width and inside_row[at]:
        cover = int(np.floor(at + right_row[at] + 0.5)) if right_row[at] > d + tolerance else -1
        return 0 <= cover < width and abs(kept_row[cover] - right_row[at]) <= tolerance
    return True


@njit(cache=True, nogil=True)
def continue_surfaces(left, kept, right, inside, confidence, limits):
    """Return the pixels that the right picture cannot show and that continue a kept surface, (H,W) bool.

    The right picture cannot show a left pixel whose match lies outside its photo, or behind something nearer,
    d_right > d + tolerance, that the left map confirms, |kept(u + d_right) - d_right| <= tolerance at u = x - d. An
    unconfirmed one would be a contradiction of both maps, not an occlusion.

    Parameters
    ----------
    left, right : (H, W) f32
        px, both maps, x_left - x_right, NaN unknown.
    kept : (H, W) f32
        px, the part of the left map that passed the left-right test.
    inside : (H, W) bool
        Right pixels inside their photo.
    confidence : (H, W) f32
        Of the left disparities.
    limits : ContinuationLimits
        Bounds.
    """
    height, width = left.shape
    taken = np.zeros((height, width), np.bool_)
    distance = np.zeros((height, width), np.int16)
    queue = np.empty(height * width, np.int32)  # y width + x
    filled = _edge_pixels(kept, queue)
    done = 0
    while done < filled:
        y, x = divmod(np.int64(queue[done]), width)
        done += 1
        if distance[y, x] >= limits.max_distance:
            continue
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if not (0 <= v < height and 0 <= u < width) or taken[v, u] or np.isfinite(kept[v, u]):
                continue
            d = left[v, u]
            if not (
                confidence[v, u] >= limits.min_confidence and abs(d - left[y, x]) <= limits.max_step
            ):  # False for NaN
                continue
            if not _hidden_from_right(u, d, kept[v], right[v], inside[v], limits.tolerance):
                continue
            taken[v, u] = True
            distance[v, u] = distance[y, x] + 1
            queue[filled] = v * width + u
            filled += 1
    return taken


@njit(cache=True, nogil=True)
def small_components(disparity, step, pixels):
    """Return the known pixels in connected components of fewer than `pixels` pixels, (H,W) bool.

    Parameters
    ----------
    disparity : (H, W) f32
        px, NaN unknown.
    step : float
        px, at most, between two of the four neighbours that are connected.
    pixels : int
        Of the smallest component that is not marked.
    """
    labels, count = surface_labels(disparity, step)
    height, width = disparity.shape
    sizes = np.zeros(count, np.int64)
    for y in range(height):
        for x in range(width):
            if labels[y, x] != UNKNOWN:
                sizes[labels[y, x]] += 1
    small = np.zeros((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            small[y, x] = labels[y, x] != UNKNOWN and sizes[labels[y, x]] < pixels
    return small


@njit(cache=True, nogil=True)
def fill_background(disparity):
    """Give every unknown pixel the farther (smaller) of the nearest known disparities to its left and right.

    An occluded surface is the farther one. With one known side, that one; in a row without any known pixel, the value
    of the nearest row that has one. All NaN stays all NaN.

    Parameters
    ----------
    disparity : (H, W) f32
        px, NaN unknown.

    Returns
    -------
    (H, W) f32
        px.
    """
    height, width = disparity.shape
    filled = disparity.copy()
    known_rows = np.zeros(height, np.bool_)
    any_known = False
    for y in range(height):
        row = filled[y]
        x = 0
        while x < width:
            if np.isfinite(row[x]):
                known_rows[y] = any_known = True
                x += 1
                continue
            end = x
            while end < width and not np.isfinite(row[end]):
                end += 1
            value = np.float32(np.inf)
            if x > 0:
                value = min(value, row[x - 1])
            if end < width:
                value = min(value, row[end])
            if value < np.inf:
                row[x:end] = value
            x = end
    if any_known:
        for y in range(height):
            if not known_rows[y]:
                near = 1
                while not (y - near >= 0 and known_rows[y - near]) and not (y + near < height and known_rows[y + near]):
                    near += 1
                row = filled[y - near] if y - near >= 0 and known_rows[y - near] else filled[y + near]
                for x in range(width):
                    filled[y, x] = row[x]
    return filled
