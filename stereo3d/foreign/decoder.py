"""A program of its own: decode a picture from standard input with limits of memory and time (see `child`).

It imports nothing of the package, so that it starts in a tenth of a second. Arguments: a JSON object of `path` (for
imports), `formats`, `max_pixels` and `frame`. It writes a line of JSON with what the header states, a second one when
the pixels are decoded, and then the pixels row by row; or a line with `error`.
"""

import base64
import json
import sys
from typing import Any

OPEN_SECONDS = 2  # of a processor to read the header
OPEN_BYTES = 700_000_000  # of address space beyond what the program has when it starts, threads included
PIXELS_PER_SECOND = 2_000_000  # of the slowest decoder, AV1 of ten bits on one core, at least
BYTES_PER_PIXEL = 40  # planes of 16 bits, a second frame, conversion to RGB
STRIP_BYTES = 4_000_000  # written at a time


def limit(pixels: int) -> None:
    """Set the limits of this process for a picture of that many pixels; 0: to read its header."""
    try:
        import resource
    except ImportError:  # Windows
        return
    try:
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # another system than Linux
        used = 2**40
    times = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(times.ru_utime + times.ru_stime) + 1 + OPEN_SECONDS + (8 if pixels else 0)
    for kind, value in (
        (resource.RLIMIT_AS, used + OPEN_BYTES + BYTES_PER_PIXEL * pixels),
        (resource.RLIMIT_CPU, seconds + pixels // PIXELS_PER_SECOND),
    ):
        resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # writes no file
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def tell(value: dict[str, Any]) -> None:
    """Write a line of JSON."""
    sys.stdout.buffer.write(json.dumps(value).encode() + b"\n")
    sys.stdout.buffer.flush()


def decode(formats: list[str], max_pixels: int, frame: int) -> None:
    """Write header, size and pixels of a frame of the picture on standard input."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    if "HEIF" in formats:
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    limit(0)
    image = Image.open(sys.stdin.buffer, formats=formats)
    frames = getattr(image, "n_frames", 1)
    if frame:
        image.seek(frame)
    info = {}
    for name in ("entity_groups", "heif"):  # of spatial photos: pairs of pictures and their cameras
        if name in image.info:
            info[name] = {"plain": image.info[name]}
    for name in ("exif", "xmp", "original_orientation", "transparency"):
        value = image.info.get(name)
        if isinstance(value, bytes):
            info[name] = {"base64": base64.b64encode(value).decode()}
        elif isinstance(value, int | str):
            info[name] = value
    tell({"format": image.format, "mode": image.mode, "size": image.size, "frames": frames, "info": info})
    if image.width * image.height > max_pixels:
        return
    limit(image.width * image.height)
    image.load()
    tell({"mode": image.mode, "size": image.size})
    rows = max(1, STRIP_BYTES // max(4 * image.width, 1))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        sys.stdout.buffer.write(strip.tobytes())
    sys.stdout.buffer.flush()


def main() -> None:
    """Decode as the arguments say; an exception becomes a line."""
    given = json.loads(sys.argv[1])
    sys.path[:] = given["path"]
    try:
        decode(given["formats"], given["max_pixels"], given["frame"])
    except BrokenPipeError:
        pass
    except MemoryError:
        tell({"error": "its decoder asked for more memory than its pixels need"})
    except Exception as error:
        tell({"error": f"{type(error).__name__}: {error}" if not str(error) else str(error)})


if __name__ == "__main__":
    main()
