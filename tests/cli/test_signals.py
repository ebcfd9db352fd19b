"""Ctrl-C and SIGTERM at any instant: one line, 130 or 143, soon, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc to see the handlers")
CODES = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}
SOON = 20  # s; on an idle machine it takes 0.4
COMMAND = "import re\nimport sys\nfrom stereo3d.cli import main\nsys.exit(main())"


def start(script: str, *args, **options) -> subprocess.Popen:
    """A process whose SIGINT is not ignored, as it is in a shell's background job."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def wait_for_handlers(process: subprocess.Popen) -> None:
    """Wait until the process catches SIGTERM: Python alone does not."""
    until = time.monotonic() + SOON
    while time.monotonic() < until and process.poll() is None:
        caught = next(line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "SigCgt" in line)
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.001)
    raise AssertionError("the handlers are never set")


def end(process: subprocess.Popen, number: int) -> None:
    """Send a signal, and check how the process ends."""
    process.send_signal(number)
    out, err = process.communicate(timeout=SOON)
    code, word = CODES[number]
    assert (process.returncode, out) == (code, "")
    assert err.splitlines()[-1] == f"{word}; nothing was left half-written." and "Traceback" not in err
    assert err.count("half-written") == 1


@pytest.fixture(scope="module")
def photos(render_once, tmp_path_factory):
    from stereo3d.synthetic import write

    folder = tmp_path_factory.mktemp("pair")
    write.write_pair(folder, render_once("handheld", size=(320, 240), supersample=2))
    return folder / "left.png", folder / "right.png"


# from the first line of Python on: the imports, the check of the command line, the first stages
@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("delay", [0, 0.01, 0.1, 0.6])
def test_a_signal_at_any_instant(photos, tmp_path, number, delay):
    process = start(COMMAND, *photos, "-o", tmp_path / "new" / "m.obj", "--report", tmp_path / "r.html")
    wait_for_handlers(process)
    time.sleep(delay)
    end(process, number)
    assert list(tmp_path.iterdir()) == []


SETUP = "from stereo3d.cli.signals import own_signals\nown_signals()\nimport time\n"
NOW = "print(flush=True)\n"
STATES = {
    "a library is loaded": NOW + "from stereo3d.resources import load_open3d\nload_open3d()\ntime.sleep(60)",
    "a long call of a library": NOW + "import hashlib\nhashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)",
    "code that swallows it": NOW + "while True:\n  try:\n    time.sleep(9)\n  except BaseException:\n    pass",
    "an import": f"import sys\n{NOW}while True:\n  import stereo3d.io.stl\n  del sys.modules['stereo3d.io.stl']",
    # the main thread waits for the others, at the interpreter's end
    "the end": f"import threading\nthreading.Thread(target=time.sleep, args=[60]).start()\n{NOW}",
}


@pytest.mark.parametrize("state", STATES)
def test_a_signal_in_any_state(state):
    for number, delay in ((signal.SIGINT, 0.1), (signal.SIGTERM, 0.4)):
        process = start(SETUP + STATES[state])
        assert process.stdout.readline() == "\n"
        time.sleep(delay)
        end(process, number)


def test_a_signal_that_the_parent_ignores_stays_ignored():
    process = subprocess.Popen(
        [sys.executable, "-c", SETUP + "print(flush=True)\ntime.sleep(1)\nprint('done')"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert process.stdout.readline() == "\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=SOON)[0] == "done\n" and process.returncode == 0


def test_a_signal_to_a_forked_child_does_not_end_the_parent():
    script = "import os, signal\npid = os.fork()\nif not pid:\n  time.sleep(60)\n  os._exit(0)\n"
    script += (
        "time.sleep(0.2)\nos.kill(pid, signal.SIGTERM)\nstatus = os.waitpid(pid, 0)[1]\ntime.sleep(1)\nprint(status)"
    )
    process = start(SETUP + script)
    assert process.communicate(timeout=SOON)[0] == f"{signal.SIGTERM.value}\n" and process.returncode == 0


def test_temporary_folders_and_half_written_files_go(tmp_path):
    script = "import sys, tempfile\nfrom stereo3d.io import atomic\ntempfile.tempdir = sys.argv[1]\n"
    script += (
        "with atomic.scratch_folder() as folder, atomic.together(), atomic.replacing(sys.argv[1] + '/a/b') as f:\n"
    )
    script += "  (folder / 'x').touch()\n  f.touch()\n  print(flush=True)\n  time.sleep(60)"
    process = start(SETUP + script, tmp_path)
    process.stdout.readline()
    assert len(list(tmp_path.iterdir())) == 2
    end(process, signal.SIGTERM)
    assert list(tmp_path.iterdir()) == []


def test_helper_processes_end_too(tmp_path):
    script = "from stereo3d.install import compiling\ncompiling.room_for_helpers = lambda: 1\n"
    script += "helpers = compiling.Helpers()\nhelpers.start()\nprint(helpers.processes[0].pid, flush=True)\n"
    process = start(SETUP + script + "time.sleep(60)", env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)})
    helper = int(process.stdout.readline())
    time.sleep(1)
    end(process, signal.SIGINT)
    until = time.monotonic() + SOON
    while Path(f"/proc/{helper}").exists() and " Z " not in Path(f"/proc/{helper}/stat").read_text():
        assert time.monotonic() < until, "it goes on alone"
        time.sleep(0.05)


@pytest.mark.parametrize("cause", ["context", "text"])
def test_an_interrupted_import_of_open3d_is_no_missing_library(monkeypatch, cause):
    from stereo3d import resources

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "open3d":
                if cause == "text":  # as the C++ code of a module reports it
                    raise ImportError("KeyboardInterrupt: ")
                try:
                    raise KeyboardInterrupt
                except KeyboardInterrupt:
                    raise ImportError("initialisation failed") from None

    monkeypatch.delitem(sys.modules, "open3d", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(KeyboardInterrupt):
        resources.load_open3d()
