"""How fast this computer was in earlier runs: the estimates of `--progress` and of `stereo3d app`."""

import contextlib
import json
import os
import tempfile
from pathlib import Path

MAX_SAMPLES = 5  # latest runs whose speed is kept, for each stage and method


class Speeds:
    """Seconds per unit of work, measured in earlier runs on this computer.

    They are kept in a small file in the user's cache folder (STEREO3D_CACHE, else XDG_CACHE_HOME, else ~/.cache).
    Where it cannot be read or written there are no estimates.
    """

    def __init__(self) -> None:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self.path = Path(os.environ.get("STEREO3D_CACHE") or Path(base) / "stereo3d") / "speeds.json"
        self.known: dict[str, list[float]] = {}
        if not self.path.is_absolute() and not os.environ.get("STEREO3D_CACHE"):  # an unknown home folder
            self.path = Path(os.devnull) / self.path.name
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            known = json.loads(self.path.read_text(encoding="utf-8"))
            self.known = {str(key): [float(v) for v in values if 0 < float(v) < 1e6] for key, values in known.items()}

    def estimate(self, key: str, work: float) -> float | None:
        """Return the expected seconds by the lower median, which one slow run (compiling, waiting) does not change."""
        values = sorted(self.known.get(key, ()))
        return values[(len(values) - 1) // 2] * work if values and work > 0 else None

    def add(self, key: str, work: float, seconds: float) -> None:
        """Keep the speed of a stage."""
        if work > 0 and seconds > 0:
            self.known[key] = [*self.known.get(key, ()), seconds / work][-MAX_SAMPLES:]

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
