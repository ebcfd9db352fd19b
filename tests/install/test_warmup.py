"""`stereo3d warmup`, what a run says when kernels must be compiled first, and who helps it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from numba import njit, types

from stereo3d.cli.entry_point import main
from stereo3d.cli.reconstruct import helpers_for
from stereo3d.cli.terminal import Watch
from stereo3d.errors import CODES
from stereo3d.install import Compiling, Helpers, warmup
from stereo3d.kernel_cache import CacheFile, Kernel
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
    assert found.kernels >= 4  # two of them for two types; numba may add its own
    with Compiling(lambda: calls.append("again")) as found:
        assert kernel(5) == 12
    assert found.kernels == 0 and calls == ["once"]
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


LEVEL = "disparity.selection.left_right_difference float32[:,::1], float32[:,::1]"
FUSED = "named('disparity.fusion._Map', float32[:,::1], float32[:,::1], float32[:,::1])"
FUSION = f"disparity.fusion._fuse_rows {FUSED}, {FUSED}, int64, int64, int64"


def test_warm_up_compiles_what_is_not_kept_yet(tmp_path):
    """The types of the list are those of the calls: nothing is compiled again, not even in the next process."""
    (tmp_path / "kernels.txt").write_text(f"# comment\n{LEVEL}\n\n{FUSION}\n")
    warm = f"""
from pathlib import Path
from stereo3d.install import warmup
warmup.LIST = Path({str(tmp_path / "kernels.txt")!r})
from stereo3d.cli.entry_point import main
raise SystemExit(main(["warmup"]))
"""
    assert "2 kernels, with those they call, are compiled, in" in python(warm, NUMBA_CACHE_DIR=str(tmp_path))
    assert "2 kernels, with those they call, are compiled already." in python(warm, NUMBA_CACHE_DIR=str(tmp_path))
    call = """
import numpy as np
from stereo3d.disparity import fusion, selection
from stereo3d.install import Compiling
from stereo3d.records import DisparityMap
maps = [np.ones((5, 6), np.float32) for _ in range(3)]
with Compiling() as found:
    selection.left_right_difference(maps[0], maps[1])
    fusion._fuse_rows(fusion._Map(*maps), fusion._Map(*maps), 1, 0, 5)
print(found.kernels)
"""
    assert python(call, NUMBA_CACHE_DIR=str(tmp_path)) == "0\n"


def test_warm_up_says_where_nothing_can_be_kept(monkeypatch, capsys):
    monkeypatch.setattr("stereo3d.kernel_cache.is_writable", lambda folder: False)
    monkeypatch.setattr(warmup, "compile_kernel", lambda line: pytest.fail("compiled for nothing"))
    assert main(["warmup"]) == CODES["unwritable"]
    assert "NUMBA_CACHE_DIR" in capsys.readouterr().err


def test_warm_up_can_be_silent(monkeypatch, capsys):
    monkeypatch.setattr(warmup, "listed", lambda every: [LEVEL])
    assert main(["warmup", "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.out == said.err == ""


def test_the_usual_kernels_are_a_part_of_all():
    usual, every = warmup.listed(every=False), warmup.listed(every=True)
    assert 40 < len(usual) < len(every) == len(set(every)) and every[: len(usual)] == usual


def test_every_line_of_the_list_names_a_kernel_and_types(monkeypatch):
    compiled = []
    monkeypatch.setattr(Kernel, "compile", lambda kernel, signature: compiled.append((kernel, signature)))
    for line in warmup.listed(every=True):
        warmup.compile_kernel(line)
    assert len(set(compiled)) == len(warmup.listed(every=True))
    for kernel, signature in compiled:
        assert len(signature) == kernel.py_func.__code__.co_argcount, kernel
        assert all(isinstance(t, types.Type) for t in signature), kernel


@pytest.mark.parametrize("part", ["usual", "else"])
def test_the_list_holds_every_kernel_that_python_calls(part):
    """Otherwise: python tests/install/record_kernels.py"""
    recorder = Path(__file__).with_name("record_kernels.py")
    for _ in range(2 if part == "usual" else 1):  # what is not compiled yet hides what it calls
        done = subprocess.run([sys.executable, recorder, part], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    called = done.stdout.splitlines()
    listed = warmup.listed(every=part == "else")
    if part == "usual":
        assert set(called) == set(listed)
    assert len(called) > 10 and set(called) <= set(listed)


def test_one_kernel_that_cannot_be_compiled_does_not_end_a_helper(monkeypatch):
    monkeypatch.setattr(warmup, "end_with_parent", lambda: None)
    monkeypatch.setattr(warmup.signal, "signal", lambda *_: None)
    monkeypatch.setattr(warmup.gc, "disable", lambda: None)
    compiled = []

    def compile_kernel(line):
        compiled.append(line)
        raise TypeError(line)

    monkeypatch.setattr(warmup, "compile_kernel", compile_kernel)
    warmup.help_parent(every=True, number=0)
    assert len(compiled) == len(warmup.listed(every=True))


def test_without_compilation_there_is_nothing_to_warm_up():
    assert "compiled already" in python(
        "from stereo3d.cli.entry_point import main; raise SystemExit(main(['warmup']))", NUMBA_DISABLE_JIT="1"
    )


def test_set_up_compiles_as_it_says():
    """The commands of setup.sh, on its own files: five packages with their hashes, and Python that compiles."""
    root = Path(__file__).parents[2]
    setup = (root / "setup.sh").read_text("utf-8")
    (program,) = re.findall(r"awk '(.*?)' constraints.txt", setup)
    for name in ("constraints.txt", "constraints-test.txt"):
        chosen = subprocess.run(["awk", program, name], cwd=root, capture_output=True, text=True, check=True).stdout
        assert re.findall(r"(?m)^[^ #]", chosen) == ["l", "n", "n", "p", "s"]
        assert len(re.findall("--hash=sha256:", chosen)) >= 5
    (code,) = re.findall(r'compile_kernels="(.*?)"\n', setup, re.DOTALL)
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, timeout=600)


# ------------------------------------------------------------------------------------------------------ helpers


def python(script: str, **environment) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_helpers_work_for_the_program_alone_and_not_where_memory_is_limited(monkeypatch):
    assert helpers_for(Config()) is None  # this process is not the program's own
    monkeypatch.setattr("stereo3d.cli.reconstruct.owns_process", lambda: True)
    assert helpers_for(Config(max_memory=1.0)) is None
    wanted = {"planes": False, "planes_fast": False, "sgm": True}
    assert {matcher: helpers_for(Config(matcher=matcher)).every for matcher in wanted} == wanted
    assert helpers_for(Config(mesher="poisson")).every


def test_helpers_start_when_something_must_be_compiled(monkeypatch):
    started = []
    monkeypatch.setattr(Helpers, "start", lambda helpers: started.append(helpers))
    helpers = Helpers()
    with Watch(False, helpers):
        assert started == []
        fresh_kernel()(1)
    assert started == [helpers]
    monkeypatch.setattr(warmup, "compile_kernel", lambda line: fresh_kernel()(1))
    for helped, times in ((False, 1), (True, 2)):
        assert warmup.warm_up(every=False, helped=helped) > 10
        assert len(started) == times


@pytest.mark.parametrize("number", [0, 1])
def test_each_helper_compiles_the_whole_list_in_its_own_order(monkeypatch, number):
    monkeypatch.setattr(warmup, "end_with_parent", lambda: None)
    monkeypatch.setattr(warmup.signal, "signal", lambda *_: None)
    monkeypatch.setattr(warmup.gc, "disable", lambda: None)
    monkeypatch.setattr(warmup, "listed", lambda every: ["a", "b", "c", "d"])
    compiled = []
    monkeypatch.setattr(warmup, "compile_kernel", compiled.append)
    warmup.help_parent(every=True, number=number)
    assert compiled == [["d", "c", "b", "a"], ["b", "a", "d", "c"]][number]


def test_a_helper_leaves_what_the_next_process_loads(tmp_path, monkeypatch):
    monkeypatch.setattr("stereo3d.install.compiling.room_for_helpers", lambda: 1)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    last = warmup.listed(every=False)[-1].split()[0].split(".")[-1]
    with Helpers() as helpers:
        helpers.start()
        (process,) = helpers.processes
        until = time.monotonic() + 120
        while not list(tmp_path.rglob(f"*.{last}-*.index")):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
    assert process.wait(60) == 0
    script = "from stereo3d.install import warmup\nwarmup.listed = lambda every: [LINE]\nprint(warmup.warm_up())"
    assert python(script.replace("LINE", repr(warmup.listed(False)[-1])), NUMBA_CACHE_DIR=str(tmp_path)) == "0\n"


def test_a_file_in_the_working_folder_is_not_taken_for_a_module(tmp_path, monkeypatch):
    (tmp_path / "numba.py").write_text(f"open({str(tmp_path / 'taken')!r}, 'w')")
    monkeypatch.setattr("stereo3d.install.compiling.room_for_helpers", lambda: 1)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.chdir(tmp_path)
    with Helpers() as helpers:
        helpers.start()
        until = time.monotonic() + 120
        while not list(tmp_path.rglob("*.index")):
            assert helpers.processes[0].poll() is None and time.monotonic() < until
            time.sleep(0.05)
    assert not (tmp_path / "taken").exists()


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_helper_ends_with_its_parent_however_that_ends(tmp_path):
    script = """
import os, signal, sys, time
from stereo3d.install import compiling
compiling.room_for_helpers = lambda: 1
helpers = compiling.Helpers()
helpers.start()
print(helpers.processes[0].pid, flush=True)
time.sleep(float(sys.argv[1]))
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
helpers.__exit__()
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


def test_set_up_compiles_with_the_packages_that_it_installs_first():
    """setup.sh compiles in the background once a few packages are there: here no others can be imported."""
    setup = (Path(__file__).parents[2] / "setup.sh").read_text("utf-8")
    (names,) = re.findall(r"/\^\(([\w|]+)\)==/", setup)
    script = """
import sys
from importlib.metadata import packages_distributions

class Absent:
    def find_spec(self, name, path=None, target=None):
        if not {"stereo3d", *NAMES} & set(installed.get(name, ["stereo3d"])):
            raise ModuleNotFoundError(name)

installed = packages_distributions()
sys.meta_path.insert(0, Absent())
for name in [name for name in sys.modules if name in installed]:
    del sys.modules[name]
from stereo3d.install import compiling, warmup
from stereo3d.kernel_cache import Kernel
found = []
Kernel.compile = lambda kernel, signature: found.append(kernel)
compiling.room_for_helpers()
warmup.warm_up(every=False)
print(len(found), "cv2" in sys.modules)
"""
    done = python(script.replace("NAMES", repr(names.split("|")))).split()
    assert done == [str(len(warmup.listed(every=False))), "False"]
