"""The image pyramid of matching by planes, and the memory it takes. Imports nothing heavy."""

import math
from dataclasses import dataclass

MIN_SIDE = 32  # px: no level of the pyramid has a smaller side
HEAP_RESERVE = 60_000_000  # bytes of freed arrays that the C library keeps, with two threads
STRIP_PIXELS = 200_000  # pixels per strip at the upper pyramid levels, at most
MIN_STRIP_ROWS = 160  # rows per strip that may hold more pixels
LEVEL_WORTH = 1.25  # times the pixels at the start cost less than a further level
SHARE_STEPS = 20  # halvings of the interval that holds the coarsest level's share: to a millionth
LEVEL_SLACK = 0.02  # of a level, for rounding: a ratio slightly above 2 needs no further level
MEASURED = 60  # bytes per pixel of each view while its confidence is computed
STRIP_OVERLAP = 16  # rows above and below a strip that are solved with it and discarded


@dataclass(frozen=True)
class Budget:
    """Limits of work for matching by planes.

    Parameters
    ----------
    max_pixels : int
        Pixels of the coarsest of several levels, at most.
    max_volume : int
        Pixels x disparities of the coarsest of several levels, at most.
    rounds : int
        Choices of both views after the first one, at the coarsest level; from the third on other segments have planes.
    shifts : int
        Choices among shifted planes at each larger level.
    """

    max_pixels: int
    max_volume: int
    rounds: int
    shifts: int


BUDGETS = {
    "planes_fast": Budget(300_000, 30_000_000, 1, 0),  # 110 MB, a second for two megapixels
    "planes": Budget(450_000, 75_000_000, 2, 1),  # 280 MB, some seconds for two megapixels
    "planes_full": Budget(2_500_000, 400_000_000, 4, 2),  # 1.5 GB
}


def pyramid_shapes(height: int, width: int, count: int, budget: Budget) -> list[tuple[int, int]]:
    """Return the shapes (H,W) of the pyramid, coarsest first, in equal ratios of at most 2, up to (height, width).

    The coarsest is as large as the budget allows. A picture up to LEVEL_WORTH larger than that has one level.

    Parameters
    ----------
    height, width : int
        px, of the rectified picture.
    count : int
        Disparities searched at full size.
    budget : Budget
        Limits that the coarsest level respects.
    """

    def fits(share: float, slack: float = 1.0) -> bool:
        h, w = _reduced(height, width, share)
        volume = h * w * (count * w / width + 2)
        return h * w <= slack * budget.max_pixels and volume <= slack * budget.max_volume

    least, most = min(1.0, MIN_SIDE / min(height, width)), 1.0
    if least == most or fits(most, LEVEL_WORTH):
        return [(height, width)]
    for _ in range(SHARE_STEPS):
        middle = (least + most) / 2
        least, most = (middle, most) if fits(middle) else (least, middle)
    levels = max(1, math.ceil(math.log2(1 / least) - LEVEL_SLACK))
    return [_reduced(height, width, least ** (1 - k / levels)) for k in range(levels)] + [(height, width)]


def _reduced(height: int, width: int, share: float) -> tuple[int, int]:
    """Return the shape (H,W) reduced to `share` of its sides."""
    return max(1, round(height * share)), max(1, round(width * share))


def strip_rows(height: int, width: int) -> int:
    """Return the rows of each strip of a picture, but for the last one: strips are about equal, so none needs more."""
    count = math.ceil(height / max(MIN_STRIP_ROWS, STRIP_PIXELS // width))
    return math.ceil(height / count)


def planes_bytes(height: int, width: int, count: int, budget: Budget, threads: int) -> int:
    """Return an upper bound of the memory, in bytes, of matching by planes; parameters as in `pyramid_shapes`."""
    (h, w), *larger = pyramid_shapes(height, width, count, budget)
    views = min(threads, 2)
    candidates = views * 5 * 8 * 4  # bytes per pixel: cost, total, d, a, b of eight candidates
    kept = 2 * 250  # bytes per pixel: pictures, census, planes and segments of both views
    start = 3 * h * w * (int(count * w / width) + 3) + 100 * h * w
    peak = max(start, (candidates + kept) * h * w)
    if larger:
        rows = min(height, strip_rows(height, width) + 2 * STRIP_OVERLAP)
        peak = max(peak, candidates * rows * width + 2 * 40 * height * width)
    return max(peak, 2 * MEASURED * height * width) + HEAP_RESERVE
