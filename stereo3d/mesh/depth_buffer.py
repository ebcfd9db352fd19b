"""The depth buffer, which shows the faces that a camera sees (numba)."""

import numpy as np

from ..kernel_cache import njit


@njit(cache=True, nogil=True, error_model="numpy")
def depth_buffer(x, z, faces, width, height):
    """1/z of the nearest face at each pixel centre, 0 where there is none: (height, width) float64.

    1/z is linear over the image of a plane.

    Parameters
    ----------
    x : (V, 2) float64
        Pixels of the vertices.
    z : (V,) float64
        Their depths; faces with a corner that is behind the camera or NaN are left out.
    faces : (M, 3) int
    width, height : int
        px.
    """
    out = np.zeros((height, width))
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        if not (z[a] > 0 and z[b] > 0 and z[c] > 0):
            continue
        ax, ay, bx, by, cx, cy = x[a, 0], x[a, 1], x[b, 0], x[b, 1], x[c, 0], x[c, 1]
        det = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if not abs(det) > 1e-12:
            continue
        top, bottom = max(0.0, np.ceil(min(ay, by, cy))), min(height - 1.0, np.floor(max(ay, by, cy)))
        first, last = max(0.0, np.ceil(min(ax, bx, cx))), min(width - 1.0, np.floor(max(ax, bx, cx)))
        if not (top <= bottom and first <= last):
            continue
        wa, wb, wc = 1 / z[a], 1 / z[b], 1 / z[c]
        for v in range(int(top), int(bottom) + 1):
            for u in range(int(first), int(last) + 1):
                q = ((u - ax) * (cy - ay) - (cx - ax) * (v - ay)) / det
                r = ((bx - ax) * (v - ay) - (u - ax) * (by - ay)) / det
                if q >= 0 and r >= 0 and q + r <= 1:
                    w = wa + q * (wb - wa) + r * (wc - wa)
                    if w > out[v, u]:
                        out[v, u] = w
    return out
