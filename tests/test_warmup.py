"""`stereo3d warmup`, and what a run says when kernels must be compiled first."""

import numpy as np
from numba import njit

from stereo3d import warmup
from stereo3d.cli import main
from stereo3d.errors import StereoError
from stereo3d.terminal import Watch
from stereo3d.warmup import Compiling, warm_up


def fresh_kernel():
    """A kernel that no one has compiled yet, and that calls another."""

    @njit
    def inner(x):
        return x + 1

    @njit
    def outer(x):
        return inner(x) * 2

    return outer


def test_compiling_is_seen_once_and_what_is_ready_is_not():
    kernel, told = fresh_kernel(), []
    with Compiling(lambda: told.append("once")) as found:
        kernel(3)
        kernel(4)
        kernel(np.float32(1))
    assert told == ["once"]
    assert found.kernels >= 4 and found.seconds > 0  # two of them for two types; numba may add its own
    with Compiling(lambda: told.append("again")) as found:
        assert kernel(5) == 12
    assert found.kernels == 0 and found.seconds == 0 and told == ["once"]
    kernel_after = fresh_kernel()
    kernel_after(1)  # watched by no one any more
    assert found.kernels == 0


def test_a_run_tells_that_it_compiles(capsys):
    kernel = fresh_kernel()
    for wanted, words in ((True, 1), (True, 0), (False, 0)):
        with Watch(wanted) as tell:
            tell("points")
            kernel(1) if wanted else fresh_kernel()(1)
        assert capsys.readouterr().err.count("compiling") == words


def test_warm_up_goes_through_all_parts_and_leaves_out_what_cannot_run(monkeypatch, capsys):
    def lacking():
        raise StereoError("library_missing", "no such library.", "Install it.")

    monkeypatch.setattr(warmup, "PARTS", {"lacking": lacking, "kernels": lambda: fresh_kernel()(1)})
    parts = []
    assert warm_up(lambda what, found: parts.append((what, found.kernels))).kernels >= 2
    assert [what for what, _ in parts] == ["lacking", "kernels"] and parts[0][1] == 0 < parts[1][1]
    assert main(["warmup"]) == 0
    said = capsys.readouterr()
    assert "kernels compiled in" in said.out and "lacking" in said.err
    monkeypatch.setattr(warmup, "PARTS", {"nothing": lambda: None})
    assert main(["warmup", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["warmup"]) == 0
    assert "compiled already" in capsys.readouterr().out


def test_the_matchers_are_all_called(monkeypatch):
    """After that part, no matcher with whatever options compiles anything, small or large."""
    from stereo3d.disparity import MATCHERS

    warmup.PARTS["matchers"]()
    left = np.random.default_rng(0).integers(0, 256, (130, 170, 3)).astype(np.uint8)
    with Compiling() as found:
        for name in MATCHERS:
            MATCHERS[name](left, np.roll(left, -4, 1), 0, 9, threads=2)
        MATCHERS["block"](left, left, -3, 3, cost="ssd", radius=2)
        MATCHERS["sgm"](left, left, -3, 3, window="5x7")
    assert found.kernels == 0
