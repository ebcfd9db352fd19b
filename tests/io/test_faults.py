"""Sets of files under faults: each system call of a commit fails, and the process dies after each of its renames."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stereo3d.cli.signals import own_signals
from stereo3d.errors import StereoError
from stereo3d.install.doctor import unfinished
from stereo3d.io import atomic, journal, replacing, reserving, together, try_writing

NAMES = "m.obj", "m.mtl", "stages/one.pfm", "elsewhere/r.html"  # in three folders
CALLS = "open", "replace", "fsync", "unlink", "link", "lseek", "write", "chmod"


def write_set(folder: Path, word: str, names=NAMES) -> None:
    with together():
        for name in reversed(names):
            with replacing(folder / name) as temporary:
                temporary.write_text(f"{word} {name}")


def content(folder: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def whole(word: str, names=NAMES) -> dict[str, str]:
    return {name: f"{word} {name}" for name in sorted(names)}


class Fault:
    """`os`, whose k-th call of one function on paths below a folder fails, once or for ever."""

    def __init__(self, monkeypatch, call: str, number: int, lasting: bool = False) -> None:
        self.seen, self.happened = 0, False
        real = getattr(os, call)

        def shim(*args, **kwargs):
            self.seen += 1
            if self.seen == number or (lasting and self.seen > number):
                self.happened = True
                raise OSError(5, "Input/output error")
            return real(*args, **kwargs)

        monkeypatch.setattr(os, call, shim)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("old", [True, False], ids=["over old files", "new files"])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_of_a_commit_fails(tmp_path, call, old, lasting):
    """The k-th call fails, for every k until none is left: the set is whole at once, and nothing is left behind."""
    failures = 0
    for number in range(1, 200):
        folder = tmp_path / str(number)
        folder.mkdir()
        if old:
            write_set(folder, "old")
        before = content(folder)
        with pytest.MonkeyPatch.context() as patch:
            fault = Fault(patch, call, number, lasting)
            try:
                write_set(folder, "new")
                expected = whole("new")
            except StereoError as error:
                assert error.code == "unwritable" and "Input/output error" in str(error)
                expected = before
        if not fault.happened:
            break
        failures += 1
        found = content(folder)
        plain = {name: text for name, text in found.items() if ".stereo3d-" not in name}
        if not any(name.endswith(".undo") for name in found):  # else the fault lasts and the journal waits for its end
            assert plain == expected, number
            assert lasting or call in ("unlink", "open") or found == plain, number
        for place in (folder, folder / "stages", folder / "elsewhere"):
            unfinished(place)
        assert content(folder) == expected, number
        write_set(folder, "next")
        assert content(folder) == whole("next")
    assert failures >= (0 if call in ("chmod", "link") and not old else 3), "the shim has seen no call"


@pytest.mark.parametrize("number", range(1, 8))
def test_whatever_is_raised_in_a_commit_the_old_files_come_back(tmp_path, monkeypatch, number):
    write_set(tmp_path, "old")
    real, seen = os.replace, []

    def shim(*args):
        seen.append(args)
        if len(seen) == number:
            raise MemoryError
        return real(*args)

    monkeypatch.setattr(os, "replace", shim)
    with pytest.raises(MemoryError):
        write_set(tmp_path, "new")
    assert content(tmp_path) == whole("old")


def child(act) -> int:
    """Run a function in a forked process; return its exit code, negative for a signal."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        act()
        code = 0
    finally:
        os._exit(code)


def dying_child(folder: Path, call: str, number: int, kind: str) -> int:
    """Write a set in a process that gets a signal after its k-th call of a function of `os`."""

    def act():
        real, seen = getattr(os, call), []

        def shim(*args, **kwargs):
            done = real(*args, **kwargs)
            seen.append(call)
            if len(seen) == number:
                os.kill(os.getpid(), getattr(signal, kind))
            return done

        if kind != "SIGKILL":
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            own_signals()
        setattr(os, call, shim)
        write_set(folder, "new")

    return child(act)


# the renames: a journal in each of three folders, then the four files; the unlink that counts is the first
@pytest.mark.parametrize(
    "call, number", [*(("replace", k) for k in range(1, 8)), ("unlink", 1), ("unlink", 2), ("unlink", 4)]
)
def test_the_process_is_killed_in_a_commit(tmp_path, call, number):
    write_set(tmp_path, "old")
    assert dying_child(tmp_path, call, number, "SIGKILL") == -signal.SIGKILL
    assert any(".stereo3d-" in name for name in content(tmp_path))
    for place in ("stages", "elsewhere", "."):  # in any order
        unfinished(tmp_path / place)
    assert content(tmp_path) == whole("old" if call == "replace" else "new")


@pytest.mark.parametrize("old", [True, False])
def test_the_next_run_recovers_what_a_killed_one_left(tmp_path, old):
    if old:
        write_set(tmp_path, "old")
    assert dying_child(tmp_path, "replace", 5, "SIGKILL") == -signal.SIGKILL
    torn = {name: text for name, text in content(tmp_path).items() if ".stereo3d-" not in name}
    assert torn != (whole("old") if old else {})
    with pytest.raises(KeyError), together():  # fails, after it has recovered the folder of the first file
        with replacing(tmp_path / "m.obj"):
            pass
        raise KeyError
    assert content(tmp_path) == (whole("old") if old else {})


@pytest.mark.parametrize("kind, code", [("SIGTERM", 143), ("SIGINT", 130)])
@pytest.mark.parametrize("call, number", [("replace", 1), ("replace", 4), ("replace", 7), ("link", 1), ("unlink", 1)])
def test_a_signal_waits_for_the_end_of_a_commit(tmp_path, call, number, kind, code):
    write_set(tmp_path, "old")
    assert dying_child(tmp_path, call, number, kind) == code
    assert content(tmp_path) == whole("new")


@pytest.mark.parametrize("kind, code", [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_before_a_commit_leaves_nothing(tmp_path, kind, code):
    write_set(tmp_path, "old")
    assert dying_child(tmp_path, "open", 3, kind) == code
    assert content(tmp_path) == whole("old")


def test_a_change_after_a_sudden_death_stays(tmp_path):
    """The user has mended one file by hand before the next run: it is not put back."""
    write_set(tmp_path, "old")
    dying_child(tmp_path, "replace", 7, "SIGKILL")
    (tmp_path / "m.mtl").write_text("by hand")
    unfinished(tmp_path)
    assert content(tmp_path) == {**whole("old"), "m.mtl": "by hand"}


# --------------------------------------------------------------------------------------------------- foreign journals


def test_a_foreign_journal_moves_nothing_but_its_own_files(tmp_path):
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    folder.mkdir()
    for path in (outside, folder / "kept"):
        path.write_text("kept")
    new = [*journal.identity(outside)], [*journal.identity(folder / "kept")]
    entries = (
        ["../outside", ".stereo3d-" + "0" * 16 + "-1", new[0]],
        ["../outside", None, new[0]],
        ["kept", "../outside", new[1]],
        ["kept", ".stereo3d-" + "1" * 16 + "-1", new[1]],  # of another set
        ["kept", "a\0b", new[1]],
        ["kept"],
        "kept",
        {"kept": None},
    )
    texts = [json.dumps({"replaced": [entry], "first": None, "others": []}) for entry in entries]
    texts += ["", "{", "[]", "null", "[" * 50_000, "\0" * 100, json.dumps({"replaced": [], "first": 3, "others": []})]
    texts += [json.dumps({"replaced": [], "first": None, "others": [5]})]
    for text in texts:
        for name in ("0" * 16 + ".undo", "0" * 16 + "-1", "1" * 16 + "-1"):
            (folder / f".stereo3d-{name}").write_text(text if name.endswith(".undo") else "foreign")
        unfinished(folder)
        assert outside.read_text() == (folder / "kept").read_text() == "kept", text
    os.symlink(outside, folder / (".stereo3d-" + "2" * 16 + ".undo"))
    os.mkfifo(folder / (".stereo3d-" + "3" * 16 + ".lock"))
    (folder / (".stereo3d-" + "4" * 16 + "-1")).mkdir()
    unfinished(folder)
    write_set(folder, "new")
    assert outside.read_text() == "kept" and (folder / "m.obj").read_text() == "new m.obj"


def test_names_like_ours_are_spared(tmp_path):
    names = ".stereo3d", ".stereo3d-notes", ".stereo3d-0123456789abcdef", "stereo3d-0123456789abcdef.lock", ".hidden"
    for name in names:
        (tmp_path / name).write_text("mine")
    write_set(tmp_path, "new")
    assert all((tmp_path / name).read_text() == "mine" for name in names)


# ------------------------------------------------------------------------------------------------------------- locks


def test_a_second_run_onto_a_name_is_refused_while_the_first_lasts(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(atomic, "BUSY_WAIT", 0.2)
    script = "import sys, time\nfrom stereo3d.io import reserving\n"
    script += "with reserving([sys.argv[1]]):\n    print('now', flush=True)\n    sys.stdin.read()"
    first = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "m.obj")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert first.stdout.readline() == "now\n"
    for act in (try_writing, lambda path: write_set(path.parent, "second")):
        with pytest.raises(StereoError, match=f"process {first.pid}") as caught:
            act(tmp_path / "m.obj")
        assert caught.value.code == "busy" and caught.value.exit_code == 6
    assert "waiting for it" in caplog.text
    write_set(tmp_path, "other", ["o.obj", "o.mtl"])  # other names in the same folder
    first.stdin.close()
    first.wait(10)
    write_set(tmp_path, "second")
    assert content(tmp_path) == {**whole("second"), **whole("other", ["o.obj", "o.mtl"])}


def test_a_write_waits_for_a_short_one(tmp_path):
    second = threading.Thread(target=write_set, args=(tmp_path, "second"))
    with reserving([tmp_path / "m.obj"]):
        second.start()
        second.join(0.3)
        assert second.is_alive() and not (tmp_path / "m.obj").exists()
    second.join(10)
    assert content(tmp_path) == whole("second")


def test_two_processes_never_mix(tmp_path):
    def write(word):
        for k in range(10):
            write_set(tmp_path, f"{word}{k}", ("m.obj", "m.mtl", "s/one"))

    other = threading.Thread(target=lambda: codes.append(child(lambda: write("child"))))
    codes: list[int] = []
    other.start()
    write("parent")
    other.join()
    words = {text.split()[0] for text in content(tmp_path).values()}
    assert codes == [0] and len(words) == 1 and len(content(tmp_path)) == 3


def test_reserved_files_leave_no_trace(tmp_path):
    (tmp_path / "old").write_text("old")
    with reserving([tmp_path / "old", tmp_path / "a" / "b" / "new"]):
        with pytest.raises(ZeroDivisionError), together():
            with replacing(tmp_path / "old") as temporary:
                temporary.write_text("half")
            raise ZeroDivisionError
    assert content(tmp_path) == {"old": "old"} and not (tmp_path / "a").exists()


# --------------------------------------------------------------------------------------------- what a file passes on


def test_the_mode_of_a_replaced_file_is_kept(tmp_path):
    for mode in (0o600, 0o640, 0o664, 0o755):
        write_set(tmp_path, "old")
        (tmp_path / "m.obj").chmod(mode)
        write_set(tmp_path, "new")
        assert stat.S_IMODE((tmp_path / "m.obj").stat().st_mode) == mode
        assert (tmp_path / "m.obj").read_text() == "new m.obj"


def test_a_private_file_is_private_while_it_is_written(tmp_path):
    (tmp_path / "m.obj").touch(0o600)
    with replacing(tmp_path / "m.obj") as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="extended attributes of Linux")
def test_extended_attributes_of_a_replaced_file_are_kept(tmp_path):
    path = tmp_path / "m.obj"
    path.write_text("old")
    try:
        os.setxattr(path, "user.note", b"mine")
    except OSError:
        pytest.skip("this file system has none")
    write_set(tmp_path, "new")
    assert path.read_text() == "new m.obj" and os.getxattr(path, "user.note") == b"mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_of_a_replaced_file_is_kept(tmp_path):
    write_set(tmp_path, "old")
    os.chown(tmp_path / "m.obj", 12345, 54321)
    write_set(tmp_path, "new")
    status = (tmp_path / "m.obj").stat()
    assert (status.st_uid, status.st_gid) == (12345, 54321)
