"""From costs to disparities, and from disparities to those that can be believed. numba kernels."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from .costs import grey

NOISE = 4.0  # grey levels: weaker slopes of the picture move a disparity little
REFINED_ROWS = 128  # that are refined at once: their arrays stay in the processor's cache


@njit(cache=True, nogil=True)
def _least(values, least):
    for k in range(len(values)):
        least = values[k] if values[k] < least else least
    return least


NONE = np.int64(2**62)


@njit(cache=True, nogil=True)
def _least_with_place(values):
    """The least value and its place k, the first of equals, as value 2^16 + k: so that one comparison does for both."""
    least = NONE
    for k in range(len(values)):
        here = (np.int64(values[k]) << 16) | k
        least = here if here < least else least
    return least


@njit(cache=True, nogil=True)
def _challenge(values, start, facing):
    """facing[i] = the lesser of it and of value 2^16 + place, the place being start + i."""
    for i in range(len(values)):
        here = (np.int64(values[i]) << 16) | (start + i)
        facing[i] = here if here < facing[i] else facing[i]


@njit(cache=True, nogil=True)
def vertex(before, best, behind, vee):
    """Where beside k the least cost lies, of a parabola or a symmetric V through three costs; 0 if they are flat."""
    before, best, behind = np.float64(before), np.float64(best), np.float64(behind)
    bend = 2 * (max(before, behind) - best) if vee else 2 * (before + behind - 2 * best)
    return (before - behind) / bend if bend > 0 else 0.0


@njit(cache=True, nogil=True)
def winner_row(cost, largest, lo, vee, left, margin, right):
    """Winner-takes-all of one picture row, seen from both sides.

    cost (W,count) of whole numbers, k <-> d = lo + k, count <= 65536; largest: of its type, no cost is above it.
    left[x] = lo + k + s, k = argmin cost[x] (the first of equals), s the sub-pixel vertex through the costs a, b, c at
    k-1, k, k+1: of a parabola, s = (a - c) / (2 (a + c - 2 b)), or with `vee` of a symmetric V,
    s = (a - c) / (2 (max(a, c) - b)).
    NaN where another disparity, not next to k, costs the same, or where x - d lies outside the picture.
    margin[x] = 1 - cost of the winner / cost of the best rival not next to it, in [0, 1].
    right[x'] = lo + k + s, k = argmin of cost[x' + lo + k, k], s likewise along this diagonal, NaN where no left pixel
    faces x'.
    left, margin, right: (W,) f32. Sources: Scharstein and Szeliski 2002; Shimizu and Okutomi 2005 (V).
    """
    width, count = cost.shape
    facing = np.full(width, NONE)  # the least cost that faces the right pixel W - 1 - j: backwards, as k runs
    for x in range(width):
        here = cost[x]
        k = _least_with_place(here) & 65535
        b = here[k]
        rival = _least(here[: max(0, k - 1)], _least(here[k + 2 :], largest))
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
            _challenge(here[start:stop], start, facing[first + start : first + stop])
    for u in range(width):
        k = facing[width - 1 - u] & 65535
        right[u] = lo + k if facing[width - 1 - u] < NONE else np.nan
        x = u + lo + k
        if 0 < k < count - 1 and 0 < x < width - 1:
            before, behind = cost[x - 1, k - 1], cost[x + 1, k + 1]
            if min(before, behind) >= cost[x, k]:
                right[u] += vertex(before, cost[x, k], behind, vee)


@njit(cache=True, nogil=True)
def winners(cost, largest, lo, vee, row0, row1, left, margin, right):
    """`winner_row` for rows row0 .. row1 - 1 of cost (H,W,count)."""
    for y in range(row0, row1):
        winner_row(cost[y], largest, lo, vee, left[y], margin[y], right[y])


@njit(cache=True, nogil=True)
def left_right_difference(left, right):
    """(H,W) f32: |d_left(x) - d_right(x - d_left(x))| at the nearest right pixel.

    inf where either is unknown or outside. left, right (H,W) f32, both x_left - x_right.
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
def continued(left, kept, right, seen, sure, tolerance, least, step, most):
    """(H,W) bool: pixels that the right picture cannot show and that continue what is kept, up to `most` px from it.

    left, right (H,W) f32: both maps, x_left - x_right, NaN unknown; kept (H,W) f32: what of the left one is kept; seen
    (H,W) bool: what the right picture shows; sure (H,W) f32: the probability of each left disparity.
    A pixel is taken where its match lies outside, or where something nearer stands before it, d_right > d + tolerance,
    which the left map has too, |kept(u + d_right) - d_right| <= tolerance at u = x - d: then that is an occlusion, and
    not one map against the other. It is as sure as `least`, and differs by at most `step` from a neighbour that is
    kept or was taken before.
    """
    height, width = left.shape
    taken = np.zeros((height, width), np.bool_)
    distance = np.zeros((height, width), np.int16)
    queue = np.empty(height * width, np.int32)  # y width + x
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
    done = 0
    while done < filled:
        y, x = divmod(np.int64(queue[done]), width)
        done += 1
        if distance[y, x] >= most:
            continue
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if not (0 <= v < height and 0 <= u < width) or taken[v, u] or np.isfinite(kept[v, u]):
                continue
            d = left[v, u]
            if not (sure[v, u] >= least and abs(d - left[y, x]) <= step):  # False for NaN
                continue
            at = int(np.floor(u - d + 0.5))
            if 0 <= at < width and seen[v, at]:
                before = int(np.floor(at + right[v, at] + 0.5)) if right[v, at] > d + tolerance else -1
                if not (0 <= before < width and abs(kept[v, before] - right[v, at]) <= tolerance):
                    continue
            taken[v, u] = True
            distance[v, u] = distance[y, x] + 1
            queue[filled] = v * width + u
            filled += 1
    return taken


@njit(cache=True, nogil=True)
def small_components(disparity, step, pixels):
    """(H,W) bool: known pixels in connected pieces of fewer than `pixels` pixels.

    Two of the four neighbours belong together where their disparities differ by at most `step`.
    """
    height, width = disparity.shape
    small = np.zeros((height, width), np.bool_)
    seen = np.zeros((height, width), np.bool_)
    queue = np.empty(height * width, np.int32)  # y width + x
    for y0 in range(height):
        for x0 in range(width):
            if seen[y0, x0] or not np.isfinite(disparity[y0, x0]):
                continue
            seen[y0, x0] = True
            queue[0] = y0 * width + x0
            done, filled = 0, 1
            while done < filled:
                y, x = divmod(np.int64(queue[done]), width)
                done += 1
                for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                    if 0 <= v < height and 0 <= u < width and not seen[v, u]:
                        if abs(disparity[v, u] - disparity[y, x]) <= step:  # False for NaN
                            seen[v, u] = True
                            queue[filled] = v * width + u
                            filled += 1
            if filled < pixels:
                for i in range(filled):
                    small[divmod(np.int64(queue[i]), width)] = True
    return small


@njit(cache=True, nogil=True)
def fill_background(disparity):
    """Give every unknown pixel the farther (smaller) of the nearest known disparities to its left and right.

    What one camera does not see lies behind, not before. With one known side, that one; in a row without any known
    pixel, the value of the nearest row that has one. (H,W) f32 -> (H,W) f32; all NaN stays all NaN.
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


# Refinement. The sums over a window are gathered for a whole row at once, one neighbour (u, v) after the other, by
# loops that write at most three arrays: as much as the compiler will tell apart, and so turn into vector code.


@njit(cache=True, nogil=True)
def _same_surface(own, other, weight, difference):
    """difference = other - own and weight = 1 where that is within 1 px, both 0 elsewhere (and for NaN)."""
    for x in range(len(own)):
        q = other[x] - own[x]
        same = abs(q) <= np.float32(1)
        weight[x] = np.float32(1) if same else np.float32(0)
        difference[x] = q if same else np.float32(0)


@njit(cache=True, nogil=True)
def _add_moments(value, u, zeroth, first, second):
    """zeroth += value, first += u value, second += u^2 value."""
    for x in range(len(value)):
        zeroth[x] += value[x]
        first[x] += u * value[x]
        second[x] += u * u * value[x]


@njit(cache=True, nogil=True)
def _add_scaled(weight, value, total):
    """total += weight value."""
    for x in range(len(value)):
        total[x] += weight[x] * value[x]


@njit(cache=True, nogil=True)
def fit_planes(disparity, radius, step, row0, row1, out, along, down):
    """c, a, b of the least-squares plane d(u, v) = c + a u + b v through each pixel's neighbours on its surface.

    The neighbours (u, v) are, of every `step`-th in both directions of the (2 radius + 1)^2 window, those whose
    disparity differs by at most 1 px; where they are no more than 2 radius / step or on a line, and where the plane is
    more than 1 px off, it is level: c = disparity, a = b = 0. NaN stays NaN. All (H,W) f32; rows row0 .. row1 - 1 of
    out (c), along (a), down (b) are written.
    """
    height, width = disparity.shape
    weight, difference = np.empty(width, np.float32), np.empty(width, np.float32)
    of_row = np.empty((6, width), np.float32)  # sums over u in one row: w, u w, u^2 w, q, u q, u^2 q
    sums = np.empty((9, width), np.float32)
    n, u1, v1, uu, uv, vv = sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]
    q1, uq, vq = sums[6], sums[7], sums[8]
    for y in range(row0, row1):
        sums[:] = 0
        own = disparity[y]
        for v in range(-radius, radius + 1, step):
            if not 0 <= y + v < height:
                continue
            of_row[:] = 0
            for u in range(-radius, radius + 1, step):
                if abs(u) >= width:
                    continue
                a, b = max(0, -u), min(width, width - u)
                w, q = weight[a:b], difference[a:b]
                _same_surface(own[a:b], disparity[y + v, a + u : b + u], w, q)
                _add_moments(w, np.float32(u), of_row[0, a:b], of_row[1, a:b], of_row[2, a:b])
                _add_moments(q, np.float32(u), of_row[3, a:b], of_row[4, a:b], of_row[5, a:b])
            _add_moments(of_row[0], np.float32(v), n, v1, vv)
            for x in range(width):
                u1[x] += of_row[1, x]
                uu[x] += of_row[2, x]
                uv[x] += np.float32(v) * of_row[1, x]
                q1[x] += of_row[3, x]
                uq[x] += of_row[4, x]
                vq[x] += np.float32(v) * of_row[3, x]
        for x in range(width):
            out[y, x], along[y, x], down[y, x] = own[x], 0, 0
            a11, a12, a22 = n[x] * uu[x] - u1[x] ** 2, n[x] * uv[x] - u1[x] * v1[x], n[x] * vv[x] - v1[x] ** 2
            b1, b2 = n[x] * uq[x] - u1[x] * q1[x], n[x] * vq[x] - v1[x] * q1[x]
            determinant = a11 * a22 - a12 * a12
            if n[x] * step > 2 * radius and determinant > 0:
                slant, fall = (b1 * a22 - b2 * a12) / determinant, (b2 * a11 - b1 * a12) / determinant
                c = (q1[x] - slant * u1[x] - fall * v1[x]) / n[x]
                if abs(c) <= 1:
                    out[y, x], along[y, x], down[y, x] = own[x] + c, slant, fall


@njit(cache=True, nogil=True)
def residuals(left, right, disparity, row0, row1, surface, slope, residual):
    """residual = left(x) - right(x - d), slope = d right / dx there; surface = d, NaN where unknown or outside.

    Both are 0 where surface is NaN. Between pixels by cubic interpolation (Catmull-Rom). All (H,W) f32.
    """
    width = left.shape[1]
    for y in range(row0, row1):
        r = right[y]
        for x in range(width):
            surface[y, x] = np.nan
            slope[y, x] = residual[y, x] = 0
            p = x - disparity[y, x]
            if 1 <= p < width - 2:  # False for NaN
                k = int(p)
                f = p - k
                c1 = (r[k + 1] - r[k - 1]) / 2
                c2 = r[k - 1] - 2.5 * r[k] + 2 * r[k + 1] - r[k + 2] / 2
                c3 = (r[k + 2] - r[k - 1]) / 2 + 1.5 * (r[k] - r[k + 1])
                surface[y, x] = disparity[y, x]
                slope[y, x] = c1 + f * (2 * c2 + 3 * f * c3)
                residual[y, x] = left[y, x] - (r[k] + f * (c1 + f * (c2 + f * c3)))


@njit(cache=True, nogil=True)
def image_step(disparity, surface, slope, residual, radius, noise, row0, row1, out):
    """out = d - sum(g e) / (sum(g g) + n noise^2): one Gauss-Newton step towards equal pictures, at most half a pixel.

    g, e: slope and residual, each less its mean over the n neighbours on the pixel's surface (as in `fit_planes`), so
    that an exposure difference is no matter. noise, in grey levels: weaker slopes than this move the pixel little.
    Every neighbour is compared at its own disparity, so the window follows the surface. (H,W) f32.
    Source: Lucas and Kanade, An iterative image registration technique, 1981.
    """
    height, width = disparity.shape
    weight, unused = np.empty(width, np.float32), np.empty(width, np.float32)
    gg_row, ge_row = np.empty(width, np.float32), np.empty(width, np.float32)
    sums = np.empty((5, width), np.float32)
    n, g1, e1, gg, ge = sums[0], sums[1], sums[2], sums[3], sums[4]
    for y in range(row0, row1):
        sums[:] = 0
        own = disparity[y]
        for v in range(max(-radius, -y), min(radius, height - 1 - y) + 1):
            g, e = slope[y + v], residual[y + v]
            for x in range(width):
                gg_row[x], ge_row[x] = g[x] * g[x], g[x] * e[x]
            for u in range(-min(radius, width - 1), min(radius, width - 1) + 1):
                a, b = max(0, -u), min(width, width - u)
                w = weight[a:b]
                _same_surface(own[a:b], surface[y + v, a + u : b + u], w, unused[a:b])
                _add_scaled(w, w, n[a:b])
                _add_scaled(w, g[a + u : b + u], g1[a:b])
                _add_scaled(w, e[a + u : b + u], e1[a:b])
                _add_scaled(w, gg_row[a + u : b + u], gg[a:b])
                _add_scaled(w, ge_row[a + u : b + u], ge[a:b])
        for x in range(width):
            out[y, x] = own[x]
            if n[x] > 2 * radius:
                m = n[x]
                step = (ge[x] - g1[x] * e1[x] / m) / (gg[x] - g1[x] * g1[x] / m + m * noise * noise)
                out[y, x] = own[x] - min(max(step, -0.5), 0.5)


def refined(left, right, lo: int, hi: int, disparity: np.ndarray, radius: int, threads: int) -> np.ndarray:
    """A left map (H,W) f32 with its sub-pixel part fitted to its surroundings and to the pictures, within lo .. hi.

    left, right (H,W,3) u8. A band of rows at a time, with as many more on either side as its windows reach.
    """
    height = len(disparity)
    out = np.empty_like(disparity)

    def band(top: int):
        bottom = min(top + REFINED_ROWS, height)
        first, last = max(0, top - radius), min(height, bottom + radius)  # rows whose plane the windows look at
        above = max(0, first - radius)
        rows = slice(above, min(height, last + radius))
        own, facing = (grey(picture[rows]).astype(np.float32) for picture in (left, right))
        plane, along, down, surface, slope, residual, moved = (np.empty_like(own) for _ in range(7))
        fit_planes(disparity[rows], radius, 1, first - above, last - above, plane, along, down)
        residuals(own, facing, plane, first - above, last - above, surface, slope, residual)
        image_step(plane, surface, slope, residual, radius, np.float32(NOISE), top - above, bottom - above, moved)
        out[top:bottom] = np.clip(moved[top - above : bottom - above], lo, hi)

    tops = range(0, height, REFINED_ROWS)
    if threads == 1:
        list(map(band, tops))
    else:
        with ThreadPoolExecutor(threads) as pool:  # each band writes its own rows
            list(pool.map(band, tops))
    return out
