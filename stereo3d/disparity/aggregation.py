"""Semi-global aggregation of matching costs along eight straight paths through the picture.

L_r(p, k) = C(p, k) + min(L_r(q, k), L_r(q, k-1) + P1, L_r(q, k+1) + P1, min_i L_r(q, i) + P2) - min_i L_r(q, i),
q = p - r the pixel before p on the path, L_r = C at its first pixel; S(p, k) = sum over the directions r of L_r(p, k).
Source: Hirschmüller, Accurate and efficient stereo processing by semi-global matching and mutual information, 2005.

Two sweeps cover the eight paths: the one from the top has the directions right, down-right, down and down-left, the one
from the bottom the four opposite ones. They run on two threads and add to one S: each stays in its own half of the
picture until both have reached the middle, then each continues through the other half. The sums are whole numbers, so
the result depends neither on the order nor on the number of threads.
"""

from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic

from ..kernel_cache import njit

BORDER_COST = 30000  # before the first and behind the last k of a path: above any path cost; + P1 fits 16 bits
MAX_P2 = 6000  # so that 8 paths of at most (cost 62 + P2) stay below 65536


class Penalties(NamedTuple):
    """P1, u16, of a disparity step of 1 px, and P2, (256,) u16, of larger steps by intensity step."""

    p1: np.uint16
    p2: np.ndarray


class PathState(NamedTuple):
    """Buffers of a sweep for two rows: L (2, 4, W + 2, count + 2) u16 and min L (2, 4, W + 2) u16."""

    paths: np.ndarray
    minima: np.ndarray


@intrinsic
def _add16(typingctx, a, b):
    """Return a + b of two u16, modulo 2^16: one vector instruction."""

    def codegen(context, builder, signature, args):
        return builder.add(*args)

    return types.uint16(types.uint16, types.uint16), codegen


@intrinsic
def _subtract16(typingctx, a, b):
    """Return a - b of two u16, modulo 2^16."""

    def codegen(context, builder, signature, args):
        return builder.sub(*args)

    return types.uint16(types.uint16, types.uint16), codegen


@intrinsic
def _smaller16(typingctx, a, b):
    """Return the smaller of two u16."""

    def codegen(context, builder, signature, args):
        a, b = args
        return builder.select(builder.icmp_unsigned("<", a, b), a, b)

    return types.uint16(types.uint16, types.uint16), codegen


def jump_penalties(p1: int, contrast: float, fall: float) -> np.ndarray:
    """P2 = P1 (1 + contrast exp(-step / fall)) for intensity steps of 0 .. 255 grey levels, (256,) u16.

    Depth jumps are cheap across an intensity edge and expensive inside a uniform surface.

    Parameters
    ----------
    p1 : int
        Penalty of a disparity step of 1 px.
    contrast : float
        Largest P2 / P1, less 1.
    fall : float
        Grey levels, over which the penalty falls by 1 / e.
    """
    return np.minimum(np.rint(edge_penalties(p1, contrast, fall)), MAX_P2).astype(np.uint16)


def edge_penalties(penalty: float, contrast: float, fall: float) -> np.ndarray:
    """Return penalty (1 + contrast exp(-step / fall)) for intensity steps of 0 .. 255 grey levels, (256,) f32."""
    return (penalty * (1 + contrast * np.exp(-np.arange(256) / fall))).astype(np.float32)


@njit(cache=True, nogil=True)
def _path_step(cost, total, pixel, paths, before, min_before, p1, p2, after, count):  # noqa: PLR0913 - innermost kernel
    """Write L_r of one pixel to paths at `after`, add it to total, and return min L_r.

    All arrays are flat. pixel, before, after: offsets of k = 0, unsigned, so that the compiler drops the test for
    negative indices and makes vector code. min_before: min L_r of the pixel before.
    """
    jump = _add16(min_before, p2)  # pyright: ignore[reportCallIssue]
    smallest = np.uint16(BORDER_COST)
    one = np.uint64(1)
    for k in range(count):
        near = _add16(_smaller16(paths[before + k - one], paths[before + k + one]), p1)
        best = _smaller16(_smaller16(paths[before + k], near), jump)
        value = _add16(np.uint16(cost[pixel + k]), _subtract16(best, min_before))
        paths[after + k] = value
        total[pixel + k] = _add16(total[pixel + k], value)
        smallest = _smaller16(smallest, value)
    return smallest


def path_state(width: int, count: int) -> PathState:
    """Return the buffers of a sweep over rows of `width` px and `count` disparities."""
    paths = np.zeros((2, 4, width + 2, count + 2), np.uint16)
    paths[..., 0] = paths[..., -1] = BORDER_COST
    return PathState(paths, np.zeros(paths.shape[:3], np.uint16))


@njit(cache=True, nogil=True)
def _row_penalties(picture, p2, y, step, jumps):
    """jumps[path, x] = P2 for the step into (y, x), by the largest channel difference from the pixel before."""
    height, width = picture.shape[:2]
    for path in range(4):  # the pixel before, in sweep order: same row; previous row, one column back, equal, one ahead
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
def sweep(cost, picture, penalties, row0, row1, step, state, total):
    """Add the four paths of one sweep to total, for rows row0, row0 + step, .. before row1.

    Parameters
    ----------
    cost : (H, W, count) u8
        Matching costs.
    picture : (H, W, 3) u8
        Its largest channel difference is the intensity step.
    penalties : Penalties
        Of disparity steps.
    row0, row1, step : int
        step 1 runs from the top and the left, -1 from the bottom and the right.
    state : PathState
        Carried from call to call.
    total : (H, W, count) u16
        S.
    """
    width, count = cost.shape[1], cost.shape[2]
    flat_cost, flat_total, flat_paths = cost.reshape(-1), total.reshape(-1), state.paths.reshape(-1)
    min_paths = state.minima
    jumps = np.empty((4, width), np.uint16)
    x0 = 0 if step == 1 else width - 1
    for y in range(row0, row1, step):
        _row_penalties(picture, penalties.p2, y, step, jumps)
        now, last = y & 1, 1 - (y & 1)
        for i in range(width):
            x = x0 + step * i
            pixel = np.uint64((y * width + x) * count)
            for path in range(4):
                here, u = (now, x - step) if path == 0 else (last, x + step * (path - 2))
                before = ((here * 4 + path) * (width + 2) + u + 1) * (count + 2) + 1
                after = ((now * 4 + path) * (width + 2) + x + 1) * (count + 2) + 1
                min_paths[now, path, x + 1] = _path_step(
                    flat_cost,
                    flat_total,
                    pixel,
                    flat_paths,
                    np.uint64(before),
                    min_paths[here, path, u + 1],
                    penalties.p1,
                    jumps[path, x],
                    np.uint64(after),
                    np.uint64(count),
                )


def semi_global(cost: np.ndarray, picture: np.ndarray, p1: int, p2: np.ndarray, threads: int) -> np.ndarray:
    """Return S (H,W,count) u16, the costs aggregated along eight paths; cost, picture as in `sweep`."""
    from concurrent.futures import ThreadPoolExecutor

    height, width, count = cost.shape
    total = np.zeros(cost.shape, np.uint16)
    middle = height // 2
    down, up = path_state(width, count), path_state(width, count)
    penalties = Penalties(np.uint16(p1), p2)
    with ThreadPoolExecutor(min(threads, 2)) as pool:
        for from_top, from_bottom in (((0, middle), (height - 1, middle - 1)), ((middle, height), (middle - 1, -1))):
            jobs = [
                pool.submit(sweep, cost, picture, penalties, *from_top, 1, down, total),
                pool.submit(sweep, cost, picture, penalties, *from_bottom, -1, up, total),
            ]
            for job in jobs:
                job.result()
    return total
