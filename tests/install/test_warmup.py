"""`stereo3d warmup`, what a run says when kernels must be compiled first, and who helps it."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from numba import njit

from stereo3d.cli.entry_point import main
from stereo3d.cli.reconstruct import later_parts_of
from stereo3d.cli.terminal import Watch
from stereo3d.disparity import MATCHERS
from stereo3d.errors import StereoError
from stereo3d.install import Compiling, Helpers, warm_up, warmup
from stereo3d.kernel_cache import CacheFile
from stereo3d.mesh.meshers import MESHERS
from stereo3d.pipeline import Config


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
    kernel, calls = fresh_kernel(), []
    with Compiling(lambda: calls.append("once")) as found:
        kernel(3)
        kernel(4)
        kernel(np.float32(1))
    assert calls == ["once"]
    assert found.kernels >= 4 and found.seconds > 0  # two of them for two types; numba may add its own
    with Compiling(lambda: calls.append("again")) as found:
        assert kernel(5) == 12
    assert found.kernels == 0 and found.seconds == 0 and calls == ["once"]
    kernel_after = fresh_kernel()
    kernel_after(1)  # watched by no one any more
    assert found.kernels == 0


def test_a_run_reports_that_it_compiles(capsys):
    kernel = fresh_kernel()
    for wanted, words in ((True, 1), (True, 0), (False, 0)):
        with Watch(wanted) as tell:
            tell("points")
            kernel(1) if wanted else fresh_kernel()(1)
        assert capsys.readouterr().err.count("compiling") == words


def test_warm_up_goes_through_all_parts_and_leaves_out_what_cannot_run(monkeypatch, capsys):
    def lacking():
        raise StereoError("library_missing", "no such library.", "Install it.")

    monkeypatch.setattr("stereo3d.install.warmup.PARTS", {"lacking": lacking, "kernels": lambda: fresh_kernel()(1)})
    parts = []
    assert warm_up(lambda what, found: parts.append((what, found.kernels))).kernels >= 2
    assert [what for what, _ in parts] == ["lacking", "kernels"] and parts[0][1] == 0 < parts[1][1]
    assert main(["warmup"]) == 0
    said = capsys.readouterr()
    assert "kernels compiled in" in said.out and "lacking" in said.err
    monkeypatch.setattr("stereo3d.install.warmup.PARTS", {"nothing": lambda: None})
    assert main(["warmup", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["warmup"]) == 0
    assert "compiled already" in capsys.readouterr().out


def test_the_matchers_are_all_called(monkeypatch):
    """After that part, no matcher with whatever options compiles anything, small or large."""
    warmup.PARTS["matchers"]()
    left = np.random.default_rng(0).integers(0, 256, (130, 170, 3)).astype(np.uint8)
    with Compiling() as found:
        for name in MATCHERS:
            MATCHERS[name](left, np.roll(left, -4, 1), 0, 9, threads=2)
        MATCHERS["block"](left, left, -3, 3, cost="ssd", radius=2)
        MATCHERS["sgm"](left, left, -3, 3, window="5x7")
    assert found.kernels == 0


# ------------------------------------------------------------------------------------------------------ helpers


def python(script: str, **environment) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_helpers_get_the_parts_that_a_run_needs(monkeypatch):
    for matcher in MATCHERS:
        for mesher in MESHERS:
            for parts in warmup.later_parts(matcher, mesher):
                assert {part.partition(" ")[0] for part in parts} <= set(warmup.STAGES)
    assert later_parts_of(Config()) == []  # this process is not the program's own
    monkeypatch.setattr("stereo3d.cli.reconstruct.owns_process", lambda: True)
    assert later_parts_of(Config()) == warmup.later_parts("planes", "grid")


def test_stages_of_synthetic_values_compile_the_signatures_of_a_run():
    """Every kernel that a run needs behind the pose, for the very types of its arguments: no stage leaves one out."""
    script = """
import sys, tempfile
from pathlib import Path
from numba.core.dispatcher import Dispatcher
from stereo3d.install import warmup
from stereo3d.disparity.methods import match_planes
from stereo3d.disparity.planes.pyramid import Budget
from stereo3d.pipeline import reconstruct
from stereo3d.synthetic import render

def called():
    modules = [m for name, m in list(sys.modules.items()) if name.startswith("stereo3d.")]
    return {(d.py_func.__module__, d.py_func.__name__, signature)
            for m in modules for d in vars(m).values() if isinstance(d, Dispatcher) for signature in d.signatures}

pair = render("handheld", size=(320, 240), supersample=1)
for parts in warmup.later_parts("planes", "grid"):
    for part in parts:
        name, _, method = part.partition(" ")
        warmup.STAGES[name](*filter(None, [method]))
before = called()
result = reconstruct(pair.left, pair.right, pair.rig)
match_planes(Budget(40_000, 10**8, 1, 1), result.pair.left, result.pair.right, *result.d_range)  # as of a larger pair
with tempfile.TemporaryDirectory() as folder:
    result.save(Path(folder) / "mesh.obj")
for kernel in sorted(map(str, called() - before)):
    print("more:", kernel)
print(len(before), len(called()))
"""
    *more, last = python(script).splitlines()
    made_up, called = map(int, last.split())
    early = (
        "stereo3d.features.kernels",
        "stereo3d.images.patch_fit",
        "stereo3d.two_view.polynomial_kernels",
        "stereo3d.two_view.minimal_kernels",
        "stereo3d.two_view.refine_kernels",
        "stereo3d.two_view.least_squares_kernels",
        "stereo3d.synthetic.kernels",
        "stereo3d.synthetic.paints",
    )
    assert [line for line in more if not any(f"('{module}'" in line for module in early)] == []
    assert made_up > 25 and called - made_up == len(more)


def test_a_helper_leaves_what_the_next_process_loads(tmp_path, monkeypatch):
    monkeypatch.setattr("stereo3d.install.compiling.room_for_helpers", lambda: 1)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with Helpers() as helpers:
        helpers.start([["pose"], ["matchers"]])  # the second finds no room
        assert len(helpers) == 1
        kernels, seconds = helpers.wait()
    assert kernels > 10 and seconds > 0
    script = "from stereo3d.install import warmup\nwith warmup.Compiling() as found:\n    warmup.STAGES['pose']()\n"
    assert python(script + "print(found.kernels)") == "0\n"


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_helper_ends_with_its_parent_however_that_ends(tmp_path):
    script = """
import os, signal, sys, time
from stereo3d.install import compiling
compiling.room_for_helpers = lambda: 1
helpers = compiling.Helpers()
helpers.start([["matchers"]])
print(helpers._running[0].pid, flush=True)
time.sleep(float(sys.argv[1]))
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
helpers.stop()
"""
    for end, wait in (("killed", "0"), ("killed", "3"), ("stopped", "3")):
        done = subprocess.run(
            [sys.executable, "-c", script, wait, end],
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        )
        assert done.returncode == (-signal.SIGKILL if end == "killed" else 0)
        helper = int(done.stdout)
        until = time.monotonic() + 30
        while running(helper):
            assert time.monotonic() < until, "it goes on alone"
            time.sleep(0.05)
        assert list(tmp_path.rglob("*.tmp.*")) == []  # no half-written file


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_two_processes_write_one_index(tmp_path, monkeypatch):
    """Neither an old file nor another's is ever found under an entry; what both write at once is lost, not mixed up."""
    before, one, two = (CacheFile(tmp_path, "kernel", stamp) for stamp in ("old", "new", "new"))
    before.save("f8", "old code")
    save_index = CacheFile._save_index

    def checked(self, overloads):
        assert all((tmp_path / name).is_file() for name in overloads.values()), "the entry comes before its file"
        save_index(self, overloads)

    monkeypatch.setattr(CacheFile, "_save_index", checked)
    assert one.load("f8") is None
    one.save("f8", "of one")
    two.save("f4", "of two")
    assert [one.load(key) for key in ("f8", "f4")] == ["of one", "of two"]

    load_index, others = CacheFile._load_index, []

    def overtaken(self):
        known = load_index(self)
        if self is one and not others:
            others.append(True)
            two.save("i8", "of two")
        return known

    monkeypatch.setattr(CacheFile, "_load_index", overtaken)
    one.save("i4", "of one")
    monkeypatch.setattr(CacheFile, "_load_index", load_index)
    assert [two.load(key) for key in ("f8", "f4", "i4", "i8")] == ["of one", "of two", "of one", "of two"]
    one.save("i8", "again")
    assert two.load("i8") == "again" and len(load_index(two)) == 4
