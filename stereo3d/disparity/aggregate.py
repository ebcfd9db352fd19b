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
    return np.minimum(np.rint(by_contrast(p1, contrast, fall)), P2_LIMIT).astype(np.uint16)


def by_contrast(penalty: float, contrast: float, fall: float) -> np.ndarray:
    """(256,) f32: penalty (1 + contrast exp(-step / fall)) for intensity steps of 0 .. 255 grey levels."""
    return (penalty * (1 + contrast * np.exp(-np.arange(256) / fall))).astype(np.float32)


@njit(cache=True, nogil=True)
def _step(cost, total, pixel, paths, before, least, p1, p2, after, count):
    """One pixel of one path: L_r into paths at `after`, added to total; returns the smallest L_r.

    All arrays flat; pixel, before, after: offsets of k = 0, unsigned, so that the compiler needs no test for indices
    counted from the end and makes vector code. least: smallest L_r of the pixel before.
    """
    jump = _add(least, p2)
    smallest = np.uint16(FAR)
    one = np.uint64(1)
    for k in range(count):
        near = _add(_smaller(paths[before + k - one], paths[before + k + one]), p1)
        best = _smaller(_smaller(paths[before + k], near), jump)
        value = _add(np.uint16(cost[pixel + k]), _subtract(best, least))
        paths[after + k] = value
        total[pixel + k] = _add(total[pixel + k], value)
        smallest = _smaller(smallest, value)
    return smallest


def path_state(width: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """What a sweep remembers of its last row: L (2, 4, W + 2, count + 2) u16 and the smallest L (2, 4, W + 2) u16."""
    paths = np.zeros((2, 4, width + 2, count + 2), np.uint16)
    paths[..., 0] = paths[..., -1] = FAR
    return paths, np.zeros(paths.shape[:3], np.uint16)


@njit(cache=True, nogil=True)
def _row_jumps(picture, p2, y, step, jumps):
    """jumps[path, x] = P2 for the step into (y, x): by the largest difference of a channel from the pixel before."""
    height, width = picture.shape[:2]
    for path in range(4):  # the pixel before: in this row, or in the last row behind, straight above, ahead
        v = y if path == 0 else y - step
        shift = -step if path == 0 else step * (path - 2)
        for x in range(width):
            u = x + shift
            jumps[path, x] = p2[0]
            if 0 <= v < height and 0 <= u < width:
                difference = 0
                for c in range(3):
                    difference = max(difference, abs(np.int64(picture[y, x, c]) - np.int64(picture[v, u, c])))
                jumps[path, x] = p2[difference]


@njit(cache=True, nogil=True)
def sweep(cost, picture, p1, p2, row0, row1, step, paths, least, total):
    """Add the four paths of one sweep to total, for rows row0, row0 + step, ... up to but without row1.

    cost (H,W,count) u8; picture (H,W,3) u8, whose largest channel difference is the intensity step; p1 u16; p2 (256,)
    u16; step 1 from the top (and the left) or -1 from the bottom (and the right); paths, least: `path_state`, carried
    from call to call; total (H,W,count) u16.
    """
    width, count = cost.shape[1], cost.shape[2]
    flat_cost, flat_total, flat_paths = cost.reshape(-1), total.reshape(-1), paths.reshape(-1)
    jumps = np.empty((4, width), np.uint16)
    x0 = 0 if step == 1 else width - 1
    for y in range(row0, row1, step):
        _row_jumps(picture, p2, y, step, jumps)
        now, last = y & 1, 1 - (y & 1)
        for i in range(width):
            x = x0 + step * i
            pixel = np.uint64((y * width + x) * count)
            for path in range(4):
                here, u = (now, x - step) if path == 0 else (last, x + step * (path - 2))
                before = ((here * 4 + path) * (width + 2) + u + 1) * (count + 2) + 1
                after = ((now * 4 + path) * (width + 2) + x + 1) * (count + 2) + 1
                least[now, path, x + 1] = _step(
                    flat_cost,
                    flat_total,
                    pixel,
                    flat_paths,
                    np.uint64(before),
                    least[here, path, u + 1],
                    p1,
                    jumps[path, x],
                    np.uint64(after),
                    np.uint64(count),
                )


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
