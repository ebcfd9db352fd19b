"""How fast this computer was in earlier runs: the estimates of `--progress` and of `stereo3d app`."""

import contextlib
import json
import math
import os
import tempfile
from pathlib import Path

MAX_SAMPLES = 5  # latest runs that are kept, for each stage, method and size
SIZE = 4.0  # amounts of work that differ by less count as one size
FAR = 64.0  # times the work of any earlier run: beyond that nothing is known


class Speeds:
    """Seconds that amounts of work took in earlier runs on this computer.

    They are kept in a small file in the user's cache folder (STEREO3D_CACHE, else XDG_CACHE_HOME, else ~/.cache).
    Where it cannot be read or written there are no estimates.
    """

    def __init__(self) -> None:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self.path = Path(os.environ.get("STEREO3D_CACHE") or Path(base) / "stereo3d") / "speeds.json"
        self.known: dict[str, list[tuple[float, float]]] = {}
        if not self.path.is_absolute() and not os.environ.get("STEREO3D_CACHE"):  # an unknown home folder
            self.path = Path(os.devnull) / self.path.name
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            known = json.loads(self.path.read_text(encoding="utf-8"))
            self.known = {str(key): [_sample(*pair) for pair in pairs] for key, pairs in known.items()}

    def estimate(self, key: str, work: float) -> float | None:
        """Return the expected seconds, by the earlier runs of the size that is nearest to this one.

        A small run takes longer per pixel, as a part of its time does not grow with the pixels. Of equal sizes the
        lower median decides, which one slow run (compiling, waiting) does not change.
        """
        sizes = self._by_size(key)
        if not sizes or work <= 0:
            return None
        nearest = min(sizes, key=lambda size: (abs(size - _size(work)), -size))
        if abs(nearest - _size(work)) * math.log(SIZE) > math.log(FAR):
            return None
        per_unit = sorted(seconds / amount for amount, seconds in sizes[nearest])
        return per_unit[(len(per_unit) - 1) // 2] * work

    def add(self, key: str, work: float, seconds: float) -> None:
        """Keep what a stage took."""
        if work > 0 and seconds > 0:
            sizes = self._by_size(key)
            same = sizes.setdefault(_size(work), [])
            same[:] = [*same, (work, seconds)][-MAX_SAMPLES:]
            self.known[key] = [pair for size in sorted(sizes) for pair in sizes[size]]

    def _by_size(self, key: str) -> dict[int, list[tuple[float, float]]]:
        """Return the samples of a key by their size, in order of time."""
        sizes: dict[int, list[tuple[float, float]]] = {}
        for pair in self.known.get(key, ()):
            sizes.setdefault(_size(pair[0]), []).append(pair)
        return sizes

    def save(self) -> None:
        """Write the file."""
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path.parent)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as f:
                    json.dump(self.known, f, indent=1)
                os.replace(name, self.path)
            except BaseException:
                os.unlink(name)
                raise


def _size(work: float) -> int:
    """Return the number of the size of an amount of work."""
    return round(math.log(work) / math.log(SIZE))


def _sample(work: float, seconds: float) -> tuple[float, float]:
    """Return both as positive numbers, or raise ValueError: the file may hold anything."""
    work, seconds = float(work), float(seconds)
    if not (0 < work < math.inf and 0 < seconds < math.inf):
        raise ValueError(f"{work}, {seconds}")
    return work, seconds
