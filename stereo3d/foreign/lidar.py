"""A program of its own: read the points of a LAS or LAZ file on standard input, with limits of memory and time.

It imports nothing of the package. Arguments: a JSON object of `path` (for imports), `bytes` (of memory) and `seconds`
(of a processor). It writes a line of JSON with `count` and `colours`, then the coordinates of all points as float64,
point by point, and where there are colours red, green and blue of all points as uint16; or a line with `error`. The
library that unpacks LAZ ends its process where a file makes it ask for too much memory.
"""

import json
import sys

CHUNK = 1_000_000  # points written at a time


def limit(most: int, seconds: int) -> None:
    """Set the limits of this process."""
    try:
        import resource
    except ImportError:  # Windows
        return
    try:
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # another system than Linux
        used = 2**40
    for kind, value in ((resource.RLIMIT_AS, used + most), (resource.RLIMIT_CPU, seconds)):
        resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # writes no file
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def read(most: int, seconds: int) -> None:
    """Write what the file holds."""
    import laspy
    import numpy as np

    limit(most, seconds)
    out = sys.stdout.buffer
    with laspy.open(sys.stdin.buffer, closefd=False, laz_backend=laspy.LazBackend.Lazrs) as las:
        data = las.read()
    names = set(data.point_format.dimension_names)
    rgb = [np.asarray(data[name]) for name in ("red", "green", "blue") if name in names]
    colours = len(rgb) == 3 and any(values.any() for values in rgb)
    out.write(json.dumps({"count": len(data.points), "colours": colours}).encode() + b"\n")
    for start in range(0, len(data.points), CHUNK):
        part = slice(start, start + CHUNK)
        out.write(np.column_stack([np.asarray(axis[part], dtype="<f8") for axis in (data.x, data.y, data.z)]).tobytes())
    for start in range(0, len(data.points) if colours else 0, CHUNK):
        out.write(np.column_stack([values[start : start + CHUNK] for values in rgb]).astype("<u2").tobytes())
    out.flush()


def main() -> None:
    """Read as the arguments say; an exception becomes a line."""
    given = json.loads(sys.argv[1])
    sys.path[:] = given["path"]
    try:
        read(given["bytes"], given["seconds"])
    except BrokenPipeError:
        pass
    except MemoryError:
        sys.stdout.buffer.write(b'{"error": "it asks for more memory than its points need"}\n')
    except BaseException as error:  # lazrs panics by exceptions of its own kind
        text = str(error) or type(error).__name__
        sys.stdout.buffer.write(json.dumps({"error": text[:300]}).encode() + b"\n")


if __name__ == "__main__":
    main()
