"""The sizes at which a pair is matched by planes, and the memory that this takes. Imports nothing heavy."""

from dataclasses import dataclass

SMALLEST = 32  # px: no side is made smaller than this
FREED = 130_000_000  # bytes that the C library keeps of freed arrays, most where both threads are held up in turn
STRIP, ROWS = 400_000, 160  # pixels, but at least rows, that are solved at once at the larger sizes
OVERLAP = 16  # rows more on either side that count


@dataclass(frozen=True)
class Effort:
    """How far to go in matching by planes.

    pixels, volume: most pixels, and pixels x disparities, of the semi-global start and of the pieces; larger pairs
    start reduced.  rounds: how often both views choose anew at that size.  shifts: how often at each larger one.
    """

    pixels: int
    volume: int
    rounds: int
    shifts: int


EFFORTS = {
    "planes_fast": Effort(200_000, 30_000_000, 1, 0),  # 100 MB, a second for two megapixels
    "planes": Effort(600_000, 100_000_000, 1, 1),  # 300 MB, some seconds for two megapixels
    "planes_full": Effort(2_500_000, 400_000_000, 3, 2),  # 1.2 GB
}


def sizes(height: int, width: int, count: int, effort: Effort) -> list[tuple[int, int]]:
    """The sizes (H,W) at which a pair is matched, smallest first, each half the next, the last the picture's own."""
    shapes = [(height, width)]
    while True:
        h, w = shapes[0]
        volume = h * w * (count * w / width + 2)
        if (h * w <= effort.pixels and volume <= effort.volume) or min(h, w) < 2 * SMALLEST:
            return shapes
        shapes.insert(0, ((h + 1) // 2, (w + 1) // 2))


def strip_rows(width: int) -> int:
    """Rows that are solved at once."""
    return max(ROWS, STRIP // width)


def planes_bytes(height: int, width: int, count: int, effort: Effort, threads: int) -> int:
    """Most memory, in bytes, that matching by planes takes."""
    (h, w), *larger = sizes(height, width, count, effort)
    views = min(threads, 2)
    choices = views * 5 * 8 * 4  # bytes per pixel: cost, total, d, a, b of eight candidates
    kept = 2 * 250  # pictures, words, planes, and pieces of both views
    start = 3 * h * w * (int(count * w / width) + 3) + 100 * h * w
    most = max(start, (choices + kept) * h * w)
    if larger:
        rows = min(height, strip_rows(width) + 2 * OVERLAP)
        most = max(most, choices * rows * width + 2 * 55 * height * width)
    return most + FREED
