"""From one level of the image pyramid to the next: planes and labels of the coarser level around each pixel."""

import numpy as np

from ...kernel_cache import njit

# Pixels of the coarser level whose planes become candidates, in steps from the nearest one: see `put_enlarged`.
NEAREST = np.array([[0, 0]])
NEIGHBOURS = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [2, 0], [-2, 0]])  # edges move by two pixels at most


@njit(cache=True, nogil=True)
def agreeing_planes(planes, background, tolerance):
    """Return the pixels (H,W) bool at which the planes around, and the one of the background, are within `tolerance`.

    Around are the pixels up to one row and two columns away, as in NEIGHBOURS.

    Parameters
    ----------
    planes, background : PlaneMaps
        (H, W); of each pixel, and of what is behind it.
    tolerance : f32
        px.
    """
    d, a, b = planes.d, planes.a, planes.b
    height, width = d.shape
    agree = np.empty((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            same = abs(background.d[y, x] - d[y, x]) <= tolerance
            for v in range(max(y - 1, 0), min(y + 2, height)):
                for u in range(max(x - 2, 0), min(x + 3, width)):
                    here = d[v, u] + a[v, u] * (x - u) + b[v, u] * (y - v)
                    same &= abs(here - d[y, x]) <= tolerance
            agree[y, x] = same
    return agree


@njit(cache=True, nogil=True, inline="always")
def at_coarser(x, share):
    """(x + 1/2) s - 1/2: where pixel x is at a level of `share` of the size, and the nearest pixel there."""
    half = np.float32(0.5)
    u = (x + half) * share - half
    return u, int(np.floor(u + half))


@njit(cache=True, nogil=True)
def put_enlarged(small, steps, agree, first, height, slot, candidates):
    """Write planes of pixels of the coarser level around each pixel into the slots `slot`, `slot` + 1, ..

    Where the nearest one agrees with those around it, its plane gets all slots from `slot` to the last. Pixel centres
    are integers, see `at_coarser`.

    Parameters
    ----------
    small : PlaneMaps
        (h, w), of the coarser level.
    steps : (n, 2) int
        Pixels of the coarser level, in steps across and down from the nearest one, on the side of the pixel first:
        (1, 0) is the second nearest of the row. Clamped to the picture.
    agree : (h, w) bool
        See `agreeing_planes`.
    first, height : int
        The candidates hold the rows first, first + 1, .. of a picture of `height` rows.
    slot : int
        Of the candidates.
    candidates : PlaneMaps
        (rows, W, L).
    """
    d, a, b = candidates.d, candidates.a, candidates.b
    rows, width = d.shape[:2]
    h, w = small.d.shape
    sx, sy = np.float32(w / width), np.float32(h / height)
    for y in range(rows):
        v, v0 = at_coarser(y + first, sy)
        down = 1 if v > v0 else -1
        for x in range(width):
            u, u0 = at_coarser(x, sx)
            across = 1 if u > u0 else -1
            i, j = min(max(u0, 0), w - 1), min(max(v0, 0), h - 1)
            if agree[j, i]:
                p, q = small.a[j, i], small.b[j, i]
                d[y, x, slot:] = (small.d[j, i] + p * (u - i) + q * (v - j)) / sx
                a[y, x, slot:], b[y, x, slot:] = p, q * sy / sx
                continue
            for k in range(len(steps)):
                i = min(max(u0 + across * steps[k, 0], 0), w - 1)
                j = min(max(v0 + down * steps[k, 1], 0), h - 1)
                p, q = small.a[j, i], small.b[j, i]
                d[y, x, slot + k] = (small.d[j, i] + p * (u - i) + q * (v - j)) / sx
                a[y, x, slot + k], b[y, x, slot + k] = p, q * sy / sx


@njit(cache=True, nogil=True)
def enlarge_labels(small, first, height, shape):
    """Return the nearest pixel of a coarser map (h,w) u8 for the rows first, first + 1, ..: see `put_enlarged`."""
    rows, width = shape
    h, w = small.shape
    sx, sy = np.float32(w / width), np.float32(h / height)
    out = np.empty(shape, np.uint8)
    for y in range(rows):
        j = min(max(at_coarser(y + first, sy)[1], 0), h - 1)
        for x in range(width):
            out[y, x] = small[j, min(max(at_coarser(x, sx)[1], 0), w - 1)]
    return out
