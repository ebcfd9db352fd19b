"""The image pyramid of matching by planes, and the memory it takes. Imports nothing heavy."""

from dataclasses import dataclass

MIN_SIDE = 32  # px: no level of the pyramid has a smaller side
HEAP_RESERVE = 130_000_000  # bytes of freed arrays that the C library keeps, at most, with two threads
STRIP_PIXELS = 400_000  # pixels per strip at the upper pyramid levels
MIN_STRIP_ROWS = 160  # rows per strip at the upper pyramid levels
MEASURED = 130  # bytes per pixel of each view while its confidence is computed
STRIP_OVERLAP = 16  # rows above and below a strip that are solved with it and discarded


@dataclass(frozen=True)
class Budget:
    """Limits of work for matching by planes.

    Parameters
    ----------
    max_pixels : int
        Pixels of the coarsest level, at most.
    max_volume : int
        Pixels x disparities of the coarsest level, at most.
    rounds : int
        Choices of both views, one after another, at the coarsest level.
    shifts : int
        Choices among shifted planes at each larger level.
    """

    max_pixels: int
    max_volume: int
    rounds: int
    shifts: int


BUDGETS = {
    "planes_fast": Budget(200_000, 30_000_000, 1, 0),  # 100 MB, a second for two megapixels
    "planes": Budget(600_000, 100_000_000, 1, 1),  # 300 MB, some seconds for two megapixels
    "planes_full": Budget(2_500_000, 400_000_000, 3, 2),  # 1.2 GB
}


def pyramid_shapes(height: int, width: int, count: int, budget: Budget) -> list[tuple[int, int]]:
    """Return the shapes (H,W) of the pyramid, coarsest first, each half the next; the last is (height, width).

    Parameters
    ----------
    height, width : int
        px, of the rectified picture.
    count : int
        Disparities searched at full size.
    budget : Budget
        Limits that the coarsest level respects.
    """
    shapes = [(height, width)]
    while True:
        h, w = shapes[0]
        volume = h * w * (count * w / width + 2)
        if (h * w <= budget.max_pixels and volume <= budget.max_volume) or min(h, w) < 2 * MIN_SIDE:
            return shapes
        shapes.insert(0, ((h + 1) // 2, (w + 1) // 2))


def strip_rows(width: int) -> int:
    """Return the rows of a strip of a picture `width` px wide."""
    return max(MIN_STRIP_ROWS, STRIP_PIXELS // width)


def planes_bytes(height: int, width: int, count: int, budget: Budget, threads: int) -> int:
    """Return an upper bound of the memory, in bytes, of matching by planes; parameters as in `pyramid_shapes`."""
    (h, w), *larger = pyramid_shapes(height, width, count, budget)
    views = min(threads, 2)
    candidates = views * 5 * 8 * 4  # bytes per pixel: cost, total, d, a, b of eight candidates
    kept = 2 * 250  # bytes per pixel: pictures, census, planes and segments of both views
    start = 3 * h * w * (int(count * w / width) + 3) + 100 * h * w
    peak = max(start, (candidates + kept) * h * w)
    if larger:
        rows = min(height, strip_rows(width) + 2 * STRIP_OVERLAP)
        peak = max(peak, candidates * rows * width + 2 * 55 * height * width)
    return max(peak, 2 * MEASURED * height * width) + HEAP_RESERVE
