"""Semi-global aggregation: each pixel's cost plus what eight straight paths through the picture say.

L_r(p, k) = C(p, k) + min(L_r(q, k), L_r(q, k-1) + P1, L_r(q, k+1) + P1, min_i L_r(q, i) + P2) - min_i L_r(q, i),
q = p - r the pixel before p on the path, L_r = C at its first pixel; S(p, k) = sum over the directions r of L_r(p, k).
Source: Hirschmüller, Accurate and efficient stereo processing by semi-global matching and mutual information, 2005.

Two sweeps do the eight paths: one from the top brings (right, down-right, down, down-left), one from the bottom the
four opposite ones. They run at the same time on two threads and share one S: each keeps to its own half of the picture
until both have reached the middle, then each goes on through the half that the other has finished. The sums are whole
numbers, so neither the order nor the number of threads can be seen in the result.
"""

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

FAR = 30000  # stands at both ends of k in a path: larger than any path cost, and no 16-bit overflow when P1 is added
P2_LIMIT = 6000  # 8 paths of at most (cost 62 + P2) stay below 65536


@intrinsic
def _add(typingctx, a, b):
    def codegen(context, builder, signature, args):
        return builder.add(*args)

    return types.uint16(types.uint16, types.uint16), codegen


@intrinsic
def _subtract(typingctx, a, b):
    def codegen(context, builder, signature, args):
        return builder.sub(*args)

    return types.uint16(types.uint16, types.uint16), codegen


@intrinsic
def _smaller(typingctx, a, b):
    def codegen(context, builder, signature, args):
        a, b = args
        return builder.select(builder.icmp_unsigned("<", a, b), a, b)

    return types.uint16(types.uint16, types.uint16), codegen


def jump_penalties(p1: int, contrast: float, fall: float) -> np.ndarray:
    """P2 (256,) u16 by intensity step |I(p) - I(q)|: P2 = P1 (1 + contrast exp(-step / fall)).

    Depth jumps are cheap across an intensity edge and dear inside an even surface.
    """
    p2 = np.rint(p1 * (1 + contrast * np.exp(-np.arange(256) / fall)))
    return np.minimum(p2, P2_LIMIT).astype(np.uint16)


@njit(cache=True, nogil=True)
def _step(cost, before, before_least, p1, p2, after, total):
    """One pixel of one path: after = L_r, total += L_r; returns the smallest L_r. Arrays before, after: (count + 2)."""
    jump = _add(before_least, p2)
    least = np.uint16(FAR)
    for k in range(len(cost)):
        best = _smaller(before[k + 1], jump)
        best = _smaller(best, _add(_smaller(before[k], before[k + 2]), p1))
        value = _add(np.uint16(cost[k]), _subtract(best, before_least))
        after[k + 1] = value
        total[k] = _add(total[k], value)
        least = _smaller(least, value)
    return least


def path_state(width: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """What a sweep remembers of its last row: L (2, 4, W + 2, count + 2) u16 and the smallest L (2, 4, W + 2) u16."""
    paths = np.zeros((2, 4, width + 2, count + 2), np.uint16)
    paths[..., 0] = paths[..., -1] = FAR
    return paths, np.zeros(paths.shape[:3], np.uint16)


@njit(cache=True, nogil=True)
def sweep(cost, picture, p1, p2, row0, row1, step, paths, least, total):
    """Add the four paths of one sweep to total, for rows row0, row0 + step, ... up to but without row1.

    cost (H,W,count) u8; picture (H,W,3) u8, whose largest channel difference is the intensity step; p1 u16; p2 (256,)
    u16; step 1 from the top (and the left) or -1 from the bottom (and the right); paths, least: `path_state`, carried
    from call to call; total (H,W,count) u16.
    """
    height, width = cost.shape[0], cost.shape[1]
    x0 = 0 if step == 1 else width - 1
    for y in range(row0, row1, step):
        now, last = y & 1, 1 - (y & 1)
        for i in range(width):
            x = x0 + step * i
            for path in range(4):  # the previous pixel: in this row, or in the last row behind, straight, ahead
                v = y if path == 0 else y - step
                u = x - step if path == 0 else x + step * (path - 2)
                here = now if path == 0 else last
                jump = p2[0]
                if 0 <= v < height and 0 <= u < width:
                    difference = 0
                    for c in range(3):
                        difference = max(difference, abs(np.int64(picture[y, x, c]) - np.int64(picture[v, u, c])))
                    jump = p2[difference]
                least[now, path, x + 1] = _step(
                    cost[y, x], paths[here, path, u + 1], least[here, path, u + 1], p1, jump,
                    paths[now, path, x + 1], total[y, x],
                )  # fmt: skip


def semi_global(cost, picture, p1: int, p2: np.ndarray, threads: int) -> np.ndarray:
    """S (H,W,count) u16, the costs added up along eight paths. cost, picture, p2 as in `sweep`."""
    from concurrent.futures import ThreadPoolExecutor

    height, width, count = cost.shape
    total = np.zeros(cost.shape, np.uint16)
    middle = height // 2
    down, up = path_state(width, count), path_state(width, count)
    p1 = np.uint16(p1)
    with ThreadPoolExecutor(min(threads, 2)) as pool:
        for from_top, from_bottom in (((0, middle), (height - 1, middle - 1)), ((middle, height), (middle - 1, -1))):
            jobs = [
                pool.submit(sweep, cost, picture, p1, p2, *from_top, 1, *down, total),
                pool.submit(sweep, cost, picture, p1, p2, *from_bottom, -1, *up, total),
            ]
            for job in jobs:
                job.result()
    return total
