"""The sizes at which a pair is matched by planes, and the memory that this takes. Imports nothing heavy."""

VOLUME = 100_000_000  # most pixels x disparities of the semi-global start: 300 MB
PIXELS = 600_000  # most pixels of the start, and of the pieces
SMALLEST = 32  # px: no side is made smaller than this
STRIP, OVERLAP = 256, 32  # rows that are solved at once at the larger sizes, and how many more on either side count


def sizes(height: int, width: int, count: int) -> list[tuple[int, int]]:
    """The sizes (H,W) at which a pair is matched, smallest first, each half the next, the last the picture's own."""
    shapes = [(height, width)]
    while True:
        h, w = shapes[0]
        volume = h * w * (count * w / width + 2)
        if (h * w <= PIXELS and volume <= VOLUME) or min(h, w) < 2 * SMALLEST:
            return shapes
        shapes.insert(0, ((h + 1) // 2, (w + 1) // 2))


def planes_bytes(height: int, width: int, count: int, threads: int) -> int:
    """Most memory, in bytes, that matching by planes takes."""
    (h, w), *larger = sizes(height, width, count)
    views = min(threads, 2)
    pieces = 2 * 160 * h * w  # edges, and what they are sorted by
    choices = views * 5 * 8 * 4  # cost, total, d, a, b of eight candidates
    start = views * 3 * h * w * (int(count * w / width) + 3) + 2 * 100 * h * w
    most = max(start, views * pieces // 2 + 2 * 100 * h * w, (choices + 2 * 100) * h * w)
    if larger:
        rows = min(height, STRIP + 2 * OVERLAP)
        most = max(most, choices * rows * width + 2 * 150 * height * width)
    return most + 20_000_000
