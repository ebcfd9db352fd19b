"""Compile every kernel ahead of time: for a container's image, or so that the first pair is as quick as the second.

numba compiles a kernel when it is first called and keeps it (see `stereo3d doctor` for the folder). `warm_up` calls
them all, by running what the program can do on small rendered pairs.
"""

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .errors import StereoError
from .records import RectifiedPair, Rig


class Compiling:
    """Watches numba at work: `with Compiling(first) as found:`; first() is called when a kernel must be compiled.

    found.kernels: how many were;  found.seconds: how long that took. Loading kept ones is no compiling.
    """

    def __init__(self, first: Callable[[], None] = lambda: None):
        self.first, self.kernels, self.seconds = first, 0, 0.0
        self._depth, self._start, self._lock = 0, 0.0, threading.Lock()

    def __enter__(self):
        from numba.core import event

        watcher = self

        class Listener(event.Listener):
            def on_start(self, _):
                watcher._began()

            def on_end(self, _):
                watcher._ended()

        self._listener = Listener()
        event.register("numba:compile", self._listener)
        return self

    def __exit__(self, *_):
        from numba.core import event

        event.unregister("numba:compile", self._listener)

    def _began(self):
        with self._lock:
            self.kernels += 1
            self._depth += 1  # a kernel compiles those it calls
            if self._depth == 1:
                self._start = time.perf_counter()
            told = self.kernels > 1
        if not told:
            self.first()

    def _ended(self):
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self.seconds += time.perf_counter() - self._start


def warm_up(tell: Callable[[str, Compiling], None] = lambda what, found: None) -> Compiling:
    """Call every kernel once. tell(what, found): after each part.

    A part that cannot run here, for want of a library, is left out.
    """
    with Compiling() as found:
        for what, work in PARTS.items():
            with contextlib.suppress(StereoError):
                work()
            tell(what, found)
    return found


def _matchers():
    """Every matcher with every choice of its options, and the larger sizes of those that start reduced."""
    from .disparity import MATCHERS, compute_disparities
    from .disparity.methods import by_planes
    from .disparity.sizes import Effort
    from .options import options_of
    from .synthetic import render

    pair = render("slanted", size=(160, 128))
    left, right, truth = pair.left.pixels, pair.right.pixels, pair.disparity_left
    identity = np.stack(np.meshgrid(np.arange(160), np.arange(128)), -1).astype(np.float32)
    pair = RectifiedPair(left, right, identity, identity)
    lo, hi = int(truth.min()) - 2, int(truth.max()) + 2
    for name, matcher in MATCHERS.items():
        choices = [{o.name: c} for o in options_of(matcher).values() for c in o.choices]
        for options in choices or [{}]:
            compute_disparities(pair, (lo, hi), method=name, dense=True, **options)
    by_planes(Effort(6000, 10**8, 2, 2), left, right, lo, hi)


def _photos_to_mesh():
    """Known cameras and unknown ones, one step aside and one ahead, both meshers, all files."""
    from .export import WRITERS
    from .mesh import MESHERS
    from .pipeline import Config, reconstruct
    from .preview import preview
    from .synthetic import render

    with tempfile.TemporaryDirectory() as folder:
        for scene, known in (("handheld", True), ("handheld", False), ("forward", True)):
            pair = render(scene, size=(480, 360))
            rig = Rig(pair.rig.cam1, pair.rig.cam2) if known else None
            result = reconstruct(pair.left, pair.right, rig, Config(force=True))
        for suffix in WRITERS:
            result.save(Path(folder) / f"mesh{suffix}")
        result.save_points(Path(folder) / "points.ply")
        preview(result.mesh, result.view.rig.cam1)
        for name in MESHERS:
            with contextlib.suppress(StereoError):  # no Open3D here
                reconstruct(pair.left, pair.right, rig, Config(force=True, mesher=name))


def _detectors():
    from .features import DETECTORS, match_features
    from .synthetic import render

    pair = render("handheld", size=(480, 360))
    for name in DETECTORS:
        match_features(pair.left, pair.right, method=name)


PARTS = {"matchers": _matchers, "photos to mesh": _photos_to_mesh, "detectors": _detectors}
