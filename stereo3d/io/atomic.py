"""Write files under hidden names in their folders and put them in place when all of a set are complete.

After a failure, a signal, or the death of the process at any instant, either all old files of a set are whole or all
new ones: at once, or, after a death in the middle of the renames, when the next run writes into the folder. `journal`
describes the hidden files.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from ..errors import StereoError
from .journal import (
    SetLock,
    Undo,
    holder,
    identity,
    one_at_a_time,
    put_back,
    recover,
    sync_folder,
    undo_path,
    write_undo,
)
from .one_file import back_up, make_folders, pass_on, refuse_unless_plain, remove, sync_file

log = logging.getLogger(__name__)
BUSY_WAIT = 5.0  # s to wait for another process that writes the same file; more than it takes to write a large mesh
HELD = (signal.SIGINT, signal.SIGTERM)
_current: ContextVar[FileSet | None] = ContextVar("_current", default=None)  # of the innermost `together`
_reserved: ContextVar[FileSet | None] = ContextVar("_reserved", default=None)  # of the innermost `reserving`
_living: set[FileSet] = set()  # sets of this process that may have files on disk
_scratch: set[str] = set()  # folders of `scratch_folder`


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which replaces `path` when the block ends without an error.

    Folders are made where missing, links are followed. A replaced file passes on its mode, owner and extended
    attributes (access control lists). When the block raises, nothing is left behind and an existing file stays as it
    was. Inside `together` the file waits for the others.

    Raises
    ------
    StereoError
        "unwritable" where the system refuses, and for what no file should take the place of: a folder, a device, a file
        marked read-only (whoever asks). "busy" where another process writes the file and does not end in `BUSY_WAIT`.
    """
    files = _current.get()
    if files is not None:
        with files.writing(path) as temporary:
            yield temporary
    else:
        with _file_set() as files:
            with files.writing(path) as temporary:
                yield temporary
            files.commit()


@contextmanager
def together() -> Iterator[None]:
    """The files that `replacing` writes inside this block appear when it ends well: all of them, or none.

    A block inside another joins it.
    """
    if _current.get() is not None:
        yield
        return
    with _file_set() as files:
        before = _current.set(files)
        try:
            yield
        finally:
            _current.reset(before)
        files.commit()


@contextmanager
def reserving(paths: Iterable[str | os.PathLike]) -> Iterator[None]:
    """Keep other processes from writing these files during the block, and check that they can be written.

    Raises StereoError as `replacing` does, before any work.
    """
    files = FileSet()
    try:
        for path in paths:
            files.claim(path)
        before = _reserved.set(files)
        try:
            yield
        finally:
            _reserved.reset(before)
    finally:
        files.close()


def try_writing(path: str | os.PathLike) -> None:
    """Check before any work that `replacing(path)` can write there; leaves nothing behind.

    Raises StereoError as `replacing` does.
    """
    with reserving([path]):
        pass


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new folder for files of the block, which is removed however the program ends, but for sudden death."""
    with tempfile.TemporaryDirectory(prefix="stereo3d-") as name:
        _scratch.add(name)
        try:
            yield Path(name)
        finally:
            _scratch.discard(name)


def abandon() -> None:
    """Remove what unfinished sets of this process have on disk; for a program about to end without unwinding."""
    for files in list(_living):
        files.close()
    for name in list(_scratch):
        shutil.rmtree(name, ignore_errors=True)


@contextmanager
def held_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait for the end of the block; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    try:
        with ExitStack() as stack:
            for number in HELD:
                before = signal.getsignal(number)
                if before not in (None, signal.SIG_IGN):
                    stack.callback(signal.signal, number, before)
                    signal.signal(number, lambda number, frame: caught.append(number))
            yield
    finally:
        for number in caught:
            signal.raise_signal(number)


@dataclass(frozen=True)
class _Entry:
    temporary: Path
    target: Path
    path: Path  # as the caller wrote it


class FileSet:
    """Files that appear together: their locks, temporaries and new folders."""

    def __init__(self) -> None:
        self.id = os.urandom(8).hex()
        self._locks: dict[Path, SetLock] = {}
        self._made: list[Path] = []  # folders, the outermost first
        self._entries: list[_Entry] = []  # complete files, in the order of their renames
        self._hidden: list[Path] = []  # temporaries and backups that may exist
        self._broken = False  # the journal could not be undone: it stays for the next run
        _living.add(self)

    def claim(self, path: str | os.PathLike) -> Path:
        """Keep other processes from writing a file until `close`; return the file behind its links."""
        path = Path(path)
        with _refusing(path):
            target = Path(os.path.realpath(path))
            refuse_unless_plain(target)
            lock = self._lock(target.parent)
            if target.name not in lock.targets:
                self._wait_for(target, path, lock)
        return target

    def _lock(self, folder: Path) -> SetLock:
        if folder not in self._locks:
            for attempt in range(3):
                make_folders(folder, self._made)
                lock = SetLock(folder, self.id)
                try:
                    with held_signals():
                        lock.take()
                        self._locks[folder] = lock
                    break
                except FileNotFoundError:  # another run has just removed the folder, which it had made
                    if attempt == 2:
                        raise
            recover(folder)
        return self._locks[folder]

    def _wait_for(self, target: Path, path: Path, lock: SetLock) -> None:
        until, said = time.monotonic() + BUSY_WAIT, False
        while True:
            with one_at_a_time(target.parent):
                other = holder(target.parent, [target.name], self.id)
                if other is None:
                    lock.claim([target.name])
                    return
            if time.monotonic() > until:
                raise StereoError(
                    "busy",
                    f"cannot write {path}: another run, process {other[1]}, is writing it.",
                    "Wait until it ends, or choose another name.",
                    process=other[1],
                )
            if not said:
                log.warning("%s is being written by another run, process %d; waiting for it.", path, other[1])
                said = True
            time.sleep(0.05)

    @contextmanager
    def writing(self, path: str | os.PathLike) -> Iterator[Path]:
        """Yield a temporary path for a file of the set: see `replacing`."""
        target, path = self.claim(path), Path(path)
        temporary = self._new_hidden(target)
        try:
            with _refusing(path):
                mode = 0o600 if os.path.lexists(target) else 0o666  # the umask and the folder's defaults apply
                os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
                yield temporary
                pass_on(target, temporary)
                sync_file(temporary)
            self._entries.append(_Entry(temporary, target, path))
        except BaseException:
            remove(temporary)
            raise

    def _new_hidden(self, target: Path) -> Path:
        """A new hidden path beside a target, with its suffix, which writers choose formats by."""
        suffix = target.suffix if len(target.suffix) <= 16 else ""
        self._hidden.append(target.with_name(f".stereo3d-{self.id}-{len(self._hidden)}{suffix}"))
        return self._hidden[-1]

    def commit(self) -> None:
        """Put the files in place, all or none. Raises StereoError("unwritable")."""
        if not self._entries:
            return
        with held_signals():
            if len(self._entries) == 1:
                (entry,) = self._entries
                with _refusing(entry.path):
                    os.replace(entry.temporary, entry.target)
            else:
                self._commit_all()
            self._entries = []

    def _commit_all(self) -> None:
        folders = list(dict.fromkeys(entry.target.parent for entry in reversed(self._entries)))
        first = folders[0]  # of the file that is renamed last, the mesh
        undos: dict[Path, Undo] = {}
        path = self._entries[-1].path
        try:
            undos.update({folder: self._undo(folder, folders) for folder in folders})
            for folder in reversed(folders):
                write_undo(folder, self.id, undos[folder])
            for entry in self._entries:
                path = entry.path
                os.replace(entry.temporary, entry.target)
            for folder in folders:
                sync_folder(folder)
            os.unlink(undo_path(first, self.id))  # from here on the new files count
        except BaseException as error:
            self._go_back(undos)
            if isinstance(error, OSError):
                raise _unwritable(path, error, broken=self._broken) from error
            raise
        with suppress(OSError):
            sync_folder(first)
        for folder in folders[1:]:
            remove(undo_path(folder, self.id))

    def _undo(self, folder: Path, folders: list[Path]) -> Undo:
        """Back up what the set replaces in a folder."""
        replaced = []
        for entry in self._entries:
            new = identity(entry.temporary)
            if entry.target.parent != folder or new is None:
                continue
            backup = None
            if os.path.lexists(entry.target):
                backup = self._new_hidden(entry.target)
                back_up(entry.target, backup)
            replaced.append((entry.target.name, backup.name if backup else None, new))
        first = folders[0]
        others = [os.path.relpath(other, first) for other in folders[1:]] if folder == first else []
        return Undo(tuple(replaced), None if folder == first else os.path.relpath(first, folder), tuple(others))

    def _go_back(self, undos: dict[Path, Undo]) -> None:
        """Undo the renames; where that fails too, the next run does it."""
        for _ in range(2):
            try:
                for folder, undo in undos.items():
                    put_back(folder, undo)
                for folder in undos:
                    undo_path(folder, self.id).unlink(missing_ok=True)
                return
            except OSError:
                continue
        self._broken = True

    def drop(self) -> None:
        """Remove the temporaries and backups that are left; the targets stay claimed."""
        self._entries = []
        if not self._broken:
            for path in self._hidden:
                remove(path)

    def close(self) -> None:
        """Remove all hidden files that are left, and the new folders of a set that was not put in place."""
        with held_signals():
            self.drop()
            for lock in self._locks.values():
                if not self._broken:
                    for path in (undo := undo_path(lock.path.parent, self.id), undo.with_name(undo.name + ".part")):
                        remove(path)
                lock.release(remove=not self._broken)
            for folder in reversed(self._made):
                with suppress(OSError):  # it holds files: the set's, or another program's
                    folder.rmdir()
            self._locks, self._made = {}, []
            _living.discard(self)


@contextmanager
def _file_set() -> Iterator[FileSet]:
    """The set of `reserving`, or a new one, which is closed at the end; what is not put in place is removed."""
    reserved = _reserved.get()
    files = reserved or FileSet()
    try:
        yield files
    finally:
        if reserved is None:
            files.close()
        else:
            files.drop()


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError, broken: bool = False) -> StereoError:
    later = " The next run, or `stereo3d doctor` in this folder, puts the old files back." if broken else ""
    return StereoError(
        "unwritable",
        f"cannot write {path}: {error.strerror or error}.{later}",
        "Choose another name, or a folder that is writable and has room.",
    )
