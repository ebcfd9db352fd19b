"""Selection: winner-takes-all, the left-right test, connected components, filling, and sub-pixel refinement. numba."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from .costs import grey

NOISE = 4.0  # grey levels / px: weaker slopes of the picture move a disparity little
STRIP_ROWS = 128  # rows that are refined at once, so that their arrays stay in the processor's cache
SAME_SURFACE = np.float32(1)  # px, between disparities of one surface
MAX_STEP = 0.5  # px, of one refinement
NO_COST = np.int64(2**62)  # of a right pixel that no left one faces


# ------------------------------------------------------------------------------------------------ winner-takes-all


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
def winners(cost, largest, lo, vee, row0, row1, left, margin, right):
    """Apply `winner_row` to the rows row0 .. row1 - 1 of cost (H,W,count); left, margin, right (H,W) f32."""
    for y in range(row0, row1):
        winner_row(cost[y], largest, lo, vee, left[y], margin[y], right[y])


# ------------------------------------------------------------------------------------------------- kept and filled


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
def continue_surfaces(left, kept, right, inside, confidence, tolerance, min_confidence, max_step, max_distance):
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
    tolerance : f32
        px, of the left-right test.
    min_confidence : f32
        Of a pixel that is taken.
    max_step : f32
        px of disparity, to a neighbour that is kept or was taken before.
    max_distance : int
        px, steps from the nearest kept pixel.
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
        if distance[y, x] >= max_distance:
            continue
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if not (0 <= v < height and 0 <= u < width) or taken[v, u] or np.isfinite(kept[v, u]):
                continue
            d = left[v, u]
            if not (confidence[v, u] >= min_confidence and abs(d - left[y, x]) <= max_step):  # False for NaN
                continue
            if not _hidden_from_right(u, d, kept[v], right[v], inside[v], tolerance):
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


# ------------------------------------------------------------------------------------------------------ refinement
# The sums over a window are added up for a whole row at once, one neighbour (u, v) after another, by loops that write
# at most three arrays: the compiler checks so many for overlap, and makes vector code.


@njit(cache=True, nogil=True)
def _same_surface(own, other, weight, difference):
    """difference = other - own and weight = 1 where it is at most 1 px, both 0 elsewhere and for NaN; all (W,) f32."""
    for x in range(len(own)):
        q = other[x] - own[x]
        same = abs(q) <= SAME_SURFACE
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
    """d(u, v) = c + a u + b v, the least-squares plane through each pixel's neighbours on its surface.

    The neighbours are every `step`-th pixel, in both directions, of the (2 radius + 1)^2 window whose disparity differs
    by at most 1 px. The plane is level, c = disparity and a = b = 0, where they are no more than 2 radius / step, lie
    on a line, or give a plane more than 1 px from the pixel. NaN stays NaN.

    Parameters
    ----------
    disparity : (H, W) f32
        px, NaN unknown.
    radius, step : int
        px.
    row0, row1 : int
        Rows row0 .. row1 - 1 are written.
    out, along, down : (H, W) f32
        c (px), a and b (px / px).
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
                slope_x, slope_y = (b1 * a22 - b2 * a12) / determinant, (b2 * a11 - b1 * a12) / determinant
                c = (q1[x] - slope_x * u1[x] - slope_y * v1[x]) / n[x]
                if abs(c) <= 1:
                    out[y, x], along[y, x], down[y, x] = own[x] + c, slope_x, slope_y


@njit(cache=True, nogil=True)
def residuals(left, right, disparity, row0, row1, surface, slope, residual):
    """residual = left(x) - right(x - d), slope = d right / dx at x - d, by cubic interpolation (Catmull-Rom).

    Parameters
    ----------
    left, right : (H, W) f32
        Grey levels.
    disparity : (H, W) f32
        px, NaN unknown.
    row0, row1 : int
        Rows row0 .. row1 - 1 are written.
    surface : (H, W) f32
        px, the disparity, NaN where it is unknown or leads outside.
    slope, residual : (H, W) f32
        Grey levels / px, grey levels; both 0 where surface is NaN.
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

    g, e are slope and residual less their means over the n neighbours on the pixel's surface (as in `fit_planes`), so
    that a difference of exposure cancels. Every neighbour is compared at its own disparity, so the window follows the
    surface.

    Parameters
    ----------
    disparity : (H, W) f32
        px.
    surface, slope, residual : (H, W) f32
        Of `residuals`.
    radius : int
        px, of the window.
    noise : f32
        Grey levels / px: weaker slopes than this move the pixel little.
    row0, row1 : int
        Rows row0 .. row1 - 1 of out are written.
    out : (H, W) f32
        px.

    References
    ----------
    Lucas and Kanade, An iterative image registration technique, 1981.
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
                out[y, x] = own[x] - min(max(step, -MAX_STEP), MAX_STEP)


def refine(
    left: np.ndarray, right: np.ndarray, lo: int, hi: int, disparity: np.ndarray, radius: int, threads: int
) -> np.ndarray:
    """Return a left map with its sub-pixel part fitted to its surroundings and to the pictures, within lo .. hi.

    Parameters
    ----------
    left, right : (H, W, 3) uint8
        RGB.
    lo, hi : int
        px.
    disparity : (H, W) float32
        px, NaN unknown.
    radius : int
        px, of the windows of `fit_planes` and `image_step`.
    threads : int
        The result does not depend on it.

    Returns
    -------
    (H, W) float32
        px.
    """
    height = len(disparity)
    out = np.empty_like(disparity)

    def refine_strip(top: int) -> None:
        bottom = min(top + STRIP_ROWS, height)
        first, last = max(0, top - radius), min(height, bottom + radius)  # rows whose planes the windows read
        above = max(0, first - radius)
        rows = slice(above, min(height, last + radius))
        own, other = (grey(picture[rows]).astype(np.float32) for picture in (left, right))
        plane, along, down, surface, slope, residual, moved = (np.empty_like(own) for _ in range(7))
        fit_planes(disparity[rows], radius, 1, first - above, last - above, plane, along, down)
        residuals(own, other, plane, first - above, last - above, surface, slope, residual)
        image_step(plane, surface, slope, residual, radius, np.float32(NOISE), top - above, bottom - above, moved)
        out[top:bottom] = np.clip(moved[top - above : bottom - above], lo, hi)

    tops = range(0, height, STRIP_ROWS)
    if threads == 1:
        list(map(refine_strip, tops))
    else:
        with ThreadPoolExecutor(threads) as pool:  # each strip writes its own rows
            list(pool.map(refine_strip, tops))
    return out
