"""The cache of compiled kernels under damage, without folders, without a home."""

import importlib.util
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core import codegen

from stereo3d import kernel_cache

SOURCE = "from stereo3d.kernel_cache import njit\n\n@njit(cache=True)\ndef kernel(x):\n    return 3 * x + 1\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An own cache folder."""
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path / "kernels"))
    kernel_cache._say_once.cache_clear()
    (tmp_path / "made.py").write_text(SOURCE)
    return tmp_path


def call(folder: Path) -> bool:
    """Call the kernel of a module that is loaded anew; return whether it came from the cache."""
    spec = importlib.util.spec_from_file_location("made", folder / "made.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.kernel(2) == 7
    return sum(module.kernel.stats.cache_hits.values()) == 1


def forget_sources() -> None:
    """Read the sources again, as a new process does."""
    kernel_cache.source_stamp.cache_clear()
    kernel_cache._text.cache_clear()


def kept(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "kernels").rglob("*") if path.is_file())


DAMAGE = {
    "empty": lambda content: b"",
    "junk": lambda content: b"junk" * 100,
    "zeros": lambda content: bytes(len(content)),
    "truncated": lambda content: content[: len(content) // 2],
    "one bit": lambda content: content[: (k := len(content) // 2)] + bytes([content[k] ^ 16]) + content[k + 1 :],
    "no checksum": lambda content: content[16:],
    "a pickle": lambda content: kernel_cache._checksum(b"N.") + b"N.",
    "a number": lambda content: kernel_cache._checksum(b"I1\n.") + b"I1\n.",
}


@pytest.mark.parametrize("what", DAMAGE)
@pytest.mark.parametrize("suffix", [".index", ".kernel"])
def test_a_damaged_file_is_compiled_and_written_again(folder, what, suffix):
    assert [call(folder), call(folder)] == [False, True] and len(kept(folder)) == 2
    (path,) = (path for path in kept(folder) if path.suffix == suffix)
    path.write_bytes(DAMAGE[what](path.read_bytes()))
    assert [call(folder), call(folder)] == [False, True]


def test_a_folder_in_the_place_of_a_file_is_no_end(folder, caplog):
    call(folder)
    (index,) = (path for path in kept(folder) if path.suffix == ".index")
    index.unlink()
    index.mkdir()
    assert [call(folder), call(folder)] == [False, False]
    assert "cannot be kept" in caplog.text


def test_without_any_folder_it_is_compiled_and_said_once(folder, monkeypatch, caplog):
    monkeypatch.setattr(kernel_cache, "is_writable", lambda place: False)
    with caplog.at_level(logging.WARNING):
        assert [call(folder), call(folder)] == [False, False]
    assert len(caplog.records) == 1 and "NUMBA_CACHE_DIR" in caplog.text and kept(folder) == []


def test_kernels_of_a_folder_that_cannot_be_written_are_loaded(folder, monkeypatch):
    call(folder)
    kernel_cache._folders_to_read.cache_clear()
    monkeypatch.setattr(kernel_cache, "is_writable", lambda place: "kernels" not in str(place))
    assert call(folder)


def test_the_content_of_a_source_counts_and_not_its_time(folder):
    """So a wheel, or the layers of an image, can bring its kernels along."""
    call(folder)
    os.utime(folder / "made.py", (0, 0))
    forget_sources()
    assert call(folder)
    (folder / "made.py").write_text(SOURCE.replace("3 * x + 1", "2 * x + 3"))
    forget_sources()
    assert not call(folder)


def test_a_kernel_depends_on_the_modules_that_its_own_imports(tmp_path):
    """Their constants and kernels are compiled in; of a package that is imported only modules count."""
    inner = tmp_path / "package" / "inner"
    inner.mkdir(parents=True)
    texts = {
        inner / "kernel.py": "from ..tables import A\nfrom .other import (\n    B,\n)\nfrom numpy import sqrt\n",
        inner / "other.py": "from .kernel import C\nB = 1\n",
        inner.parent / "tables.py": "A = 1\n",
        inner.parent / "apart.py": "D = 1\n",
    }

    def stamp() -> str:
        forget_sources()
        return kernel_cache.source_stamp(str(inner / "kernel.py"))

    for path, text in texts.items():
        path.write_text(text)
    first = stamp()
    for path, text in texts.items():
        path.write_text(text.replace("1", "2").replace("sqrt", "cos"))
        assert (stamp() == first) == (path.name == "apart.py")
        path.write_text(text)
    assert stamp() == first


def test_a_full_disk_is_no_end(folder, monkeypatch, caplog):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kernel_cache.CacheFile, "_write", full)
    assert not call(folder)
    assert "No space left" in caplog.text


def test_an_interrupt_leaves_no_half_written_file(folder, monkeypatch):
    call(folder)
    (path,) = (path for path in kept(folder) if path.suffix == ".index")
    file = kernel_cache.CacheFile(path.parent, path.stem, "stamp")
    with file._open_for_write(str(path.with_name("new.index"))) as f:
        f.write(b"half")
        kernel_cache.abandon()
        assert len(kept(folder)) == 2
        Path(f.name).touch()  # else the rename at the end fails


def test_no_home_gives_no_folder_named_by_a_tilde(tmp_path, monkeypatch):
    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for given in ("", "~/kernels", "~nobody-of-this-name/kernels"):
        monkeypatch.setattr("numba.config.CACHE_DIR", given)
        folders = list(kernel_cache.cache_folders(__file__))
        assert folders and all(folder.is_absolute() and "~" not in str(folder) for folder in folders)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path / ".cache" / "numba" in [folder.parent for folder in kernel_cache.cache_folders(__file__)]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="users of POSIX")
def test_the_folder_in_tmp_must_be_private(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    name = tmp_path / f"stereo3d-kernels-{os.geteuid()}"

    def base():
        kernel_cache._private_base.cache_clear()
        return kernel_cache._private_base()

    assert base() == str(name) and stat.S_IMODE(name.stat().st_mode) == 0o700
    name.chmod(0o777)
    assert base() is None, "another user can write there, and what is loaded from there is run"
    name.rmdir()
    name.symlink_to(tmp_path)
    assert base() is None
    name.unlink()
    monkeypatch.chdir(tmp_path)
    assert base() is None, "the working folder is not littered"
    kernel_cache._private_base.cache_clear()


RUN = """
import os, pwd, sys

def unknown(uid):
    raise KeyError(uid)

pwd.getpwuid = unknown
from stereo3d import kernel_cache
kernel_cache.is_writable = lambda folder: False
from stereo3d.cli import main
main()
"""


@pytest.mark.parametrize("home", [{}, {"HOME": os.devnull}], ids=["unset", "no folder"])
def test_the_command_works_without_home_user_and_cache(tmp_path, home):
    hidden = "HOME", "XDG_CACHE_HOME", "STEREO3D_CACHE", "NUMBA_CACHE_DIR"
    environment = {key: value for key, value in os.environ.items() if key not in hidden} | home
    for args in (
        ["synth", "slanted", "-o", "pair", "--size", "64", "48"],
        ["disparity", "pair/left.png", "pair/right.png", "-o", "d.npy", "--matcher", "block"],
    ):
        done = subprocess.run([sys.executable, "-c", RUN, *args], cwd=tmp_path, env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path)) == ["d.npy", "pair"]


def test_every_kernel_is_kept_in_this_cache():
    package = Path(kernel_cache.__file__).parent
    imports = [path.name for path in package.rglob("*.py") if "from numba import njit" in path.read_text("utf-8")]
    direct = [path.name for path in package.rglob("*.py") if "numba.njit" in path.read_text("utf-8")]
    assert imports == [] and direct == []


def test_without_the_method_that_links_the_bitcode_is_kept_whole(monkeypatch):
    assert kernel_cache._links_later()
    monkeypatch.setattr(codegen.CPUCodeLibrary, "finalize", lambda self: None)
    kernel_cache._links_later.cache_clear()
    try:
        assert not kernel_cache._links_later()
    finally:
        kernel_cache._links_later.cache_clear()


def test_a_kernel_from_the_cache_is_built_into_one_that_is_compiled_later(tmp_path):
    (tmp_path / "inner.py").write_text(SOURCE)
    (tmp_path / "outer.py").write_text(
        "import inner\nfrom stereo3d.kernel_cache import njit\n\n@njit(cache=True)\ndef twice(x):\n"
        "    return inner.kernel(inner.kernel(x))\n"
    )
    runs = [
        "import inner; assert inner.kernel(2) == 7",
        "import inner, outer; assert outer.twice(2) == 22; assert sum(inner.kernel.stats.cache_hits.values()) == 1",
        "import outer; assert outer.twice(2) == 22; assert sum(outer.twice.stats.cache_hits.values()) == 1",
    ]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
    path = [str(tmp_path), str(Path(kernel_cache.__file__).parents[1]), environment.get("PYTHONPATH", "")]
    for code in runs:
        command = [sys.executable, "-c", code]
        subprocess.run(command, check=True, env={**environment, "PYTHONPATH": os.pathsep.join(path)})
