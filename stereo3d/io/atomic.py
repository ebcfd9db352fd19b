"""Write files under a temporary name in their folder and rename them when they are complete."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from ..errors import StereoError

_waiting: ContextVar[list | None] = ContextVar("_waiting", default=None)  # (temporary, target, path) of a `together`


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which replaces `path` when the block ends without an error.

    Folders are made where missing, links are followed. When the block raises, nothing is left behind and an existing
    file stays as it was. Raises StereoError("unwritable") where the system refuses, and for what no file should take
    the place of: a folder, a device, a file marked read-only (whoever asks).
    """
    path = Path(path)
    temporary, made = None, []
    try:
        target = Path(os.path.realpath(path))
        _refuse_unless_plain(target)
        made = _make_folders(target.parent)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem[:40]}-", suffix=target.suffix, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes private files
        yield temporary
        waiting = _waiting.get()
        if waiting is None:
            os.replace(temporary, target)
        else:
            waiting.append((temporary, target, path, made))
        temporary, made = None, []
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        _clean(temporary, made)


@contextmanager
def together() -> Iterator[None]:
    """The files that `replacing` writes inside this block appear when it ends well: all of them, or none."""
    waiting = []
    before = _waiting.set(waiting)
    try:
        yield
        while waiting:
            temporary, target, path, _ = waiting[0]
            try:
                os.replace(temporary, target)
            except OSError as error:
                raise _unwritable(path, error) from error
            waiting.pop(0)
    finally:
        _waiting.reset(before)
        for temporary, _, _, made in reversed(waiting):
            _clean(temporary, made)


def try_writing(path: str | os.PathLike) -> None:
    """Check before any work that `replacing(path)` can write there: make an empty file in its folder and remove it.

    Raises StereoError("unwritable").
    """
    try:
        with replacing(path):
            raise _TrialOver
    except _TrialOver:
        pass


class _TrialOver(Exception):
    pass


def _unwritable(path: Path, error: OSError) -> StereoError:
    return StereoError(
        "unwritable",
        f"cannot write {path}: {error.strerror or error}.",
        "Choose another name, or a folder that is writable and has room.",
    )


def _refuse_unless_plain(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError("it is a folder")
    if not stat.S_ISREG(mode):  # a rename would put a file in the place of /dev/null
        raise OSError("it is a device or a pipe, not a file")
    if not mode & 0o222 or not os.access(path, os.W_OK):
        raise PermissionError("the file is read-only")


def _make_folders(folder: Path) -> list[Path]:
    """Make what is missing of a folder's path; returns what was made, the outermost first."""
    missing = []
    while not folder.exists():
        missing.insert(0, folder)
        folder = folder.parent
    made = []
    try:
        for new in missing:
            new.mkdir(exist_ok=True)
            made.append(new)
    except OSError:
        _clean(None, made)
        raise
    return made


def _clean(temporary: Path | None, made: list[Path]) -> None:
    if temporary is not None:
        temporary.unlink(missing_ok=True)
    for folder in reversed(made):
        with suppress(OSError):  # another program has put a file in it
            folder.rmdir()
