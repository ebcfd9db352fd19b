"""Hidden files beside the targets of a set of files: locks, temporaries, and the journal that undoes half a commit.

A set has a random ID. In each folder of its targets lie, while it is written,

- `.stereo3d-ID.lock`, locked (`flock`) until the process ends, however it ends. It names the targets, so that two sets
  never write one file at a time;
- `.stereo3d-ID-N.suffix`, a temporary, or a second name (backup) of a file that is about to be replaced;
- `.stereo3d-ID.undo`, the journal, from just before the first rename until just after the last.

The journal of the first folder decides: while it exists, the old files count and `recover` puts them back; without it
the new ones do. Journals are foreign bytes: they can move a backup of their own folder over a file that is still the
one that the same set put there, or remove that file, and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and nothing of other processes is recovered
    fcntl = None

HIDDEN = re.compile(r"\.stereo3d-([0-9a-f]{16})(?:\.lock|\.undo|\.undo\.part|-\d{1,6}(?:\.[^/]{1,32})?)", re.DOTALL)
MAX_BYTES = 2**20  # of a lock or journal; longer ones are not ours
MUTEX_WAIT = 2.0  # s; who holds a folder's own lock for longer is another program, as `flock FOLDER stereo3d ...`
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK if os.name == "posix" else 0
Identity = tuple[int, int, int]  # inode, bytes, time of change in ns


@dataclass(frozen=True)
class Undo:
    """How to undo the renames of a set in one folder."""

    replaced: tuple[
        tuple[str, str | None, Identity], ...
    ]  # target, backup (None: a new file), identity of the new file
    first: str | None  # relative path of the folder whose journal decides; None: this one
    others: tuple[str, ...] = ()  # in the deciding journal: relative paths of the other folders


def lock_path(folder: Path, set_id: str) -> Path:
    """Return the path of a set's lock file in a folder."""
    return folder / f".stereo3d-{set_id}.lock"


def undo_path(folder: Path, set_id: str) -> Path:
    """Return the path of a set's journal in a folder."""
    return folder / f".stereo3d-{set_id}.undo"


def identity(path: Path) -> Identity | None:
    """Return what tells a file from another of the same name; None where there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


class SetLock:
    """The lock file of a set in one folder; released with the process, however that ends.

    Raises OSError where it cannot be made.
    """

    def __init__(self, folder: Path, set_id: str) -> None:
        self.path = lock_path(folder, set_id)
        self.targets: set[str] = set()
        self._file = -1

    def take(self) -> None:
        """Make and lock the file."""
        while self._file < 0:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o644)
            if fcntl is not None:
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.flock(file, fcntl.LOCK_EX)
            if _is_open_at(file, self.path):
                self._file = file
            else:  # another process took it for one of a dead process before it was locked
                os.close(file)

    def claim(self, names: Iterable[str]) -> None:
        """Write down that these files of the folder are targets. The text only grows: no reader finds half of it."""
        self.targets.update(names)
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, json.dumps({"process": os.getpid(), "targets": sorted(self.targets)}).encode("ascii"))

    def release(self, remove: bool = True) -> None:
        """Remove the file and unlock it; without `remove` the set counts as one of a dead process."""
        steps = [lambda: os.unlink(self.path)] if remove else []
        if self._file >= 0:
            place = len(steps) if fcntl is not None else 0  # Windows does not remove what is open
            steps.insert(place, lambda: os.close(self._file))
        for step in steps:
            with contextlib.suppress(OSError):
                step()
        self._file = -1


def _is_open_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.lstat(path))
    except OSError:
        return False


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Exclude other processes from the block, as far as the file system locks folders."""
    try:
        file = os.open(folder, os.O_RDONLY | _FLAGS) if fcntl is not None else -1
    except OSError:  # a folder that may be written but not read
        file = -1
    try:
        until = time.monotonic() + MUTEX_WAIT
        while file >= 0 and fcntl is not None and time.monotonic() < until:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN):
                    break
                time.sleep(0.01)
        yield
    finally:
        if file >= 0:
            os.close(file)


def holder(folder: Path, names: Iterable[str], own_id: str) -> tuple[str, int] | None:
    """Return (target, process) of another living set that writes one of these files of a folder; None if none does."""
    wanted = set(names)
    for name in _hidden(folder):
        if not name.endswith(".lock") or own_id in name:
            continue
        file = _open_plain(folder / name)
        if file is None:
            continue
        try:
            if not _is_locked(file, "LOCK_SH", unknown=False):
                continue
            claim = json.loads(os.read(file, MAX_BYTES))
            common = wanted.intersection(claim["targets"])
            if common:
                return min(common), int(claim["process"])
        except (OSError, ValueError, TypeError, KeyError):  # being made, or not ours
            continue
        finally:
            os.close(file)
    return None


def _hidden(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if HIDDEN.fullmatch(entry.name)]
    except OSError:
        return []


def _open_plain(path: Path, own: bool = False) -> int | None:
    """A descriptor of a file of at most `MAX_BYTES`; None for what is no such file, or with `own` another user's."""
    try:
        file = os.open(path, os.O_RDONLY | _FLAGS)
    except OSError:
        return None
    status = os.fstat(file)
    foreign = own and hasattr(os, "geteuid") and status.st_uid != os.geteuid()
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES or foreign:
        os.close(file)
        return None
    return file


def _is_locked(file: int, kind: str, unknown: bool) -> bool:
    """Whether another process has locked a file; if not, this one has now. `unknown`: the answer without locks."""
    if fcntl is None:
        return unknown
    try:
        fcntl.flock(file, getattr(fcntl, kind) | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EWOULDBLOCK, errno.EAGAIN) or unknown
    return False


# ------------------------------------------------------------------------------------------------------- the journal


def write_undo(folder: Path, set_id: str, undo: Undo) -> None:
    """Write a journal, at once and durably."""
    path = undo_path(folder, set_id)
    part = path.with_name(path.name + ".part")
    text = json.dumps({"replaced": undo.replaced, "first": undo.first, "others": undo.others})
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FLAGS, 0o600)
    try:
        os.write(file, text.encode("ascii"))
        os.fsync(file)
    finally:
        os.close(file)
    os.replace(part, path)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable, where the system can."""
    if os.name != "posix":
        return
    file = os.open(folder, os.O_RDONLY | _FLAGS)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # some network file systems
            raise
    finally:
        os.close(file)


def _read_undo(folder: Path, set_id: str) -> Undo | None:
    """The journal; None where it is missing. ValueError for one that is not of this form."""
    if not os.path.lexists(undo_path(folder, set_id)):
        return None
    file = _open_plain(undo_path(folder, set_id), own=True)
    if file is None:
        raise ValueError("not a journal of this user")
    with os.fdopen(file, "rb") as f:
        try:
            read = json.load(f)
            replaced = tuple(_checked(entry, set_id) for entry in read["replaced"])
            first, others = read["first"], tuple(read["others"])
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError("not a journal") from error
    if not all(isinstance(path, str) and "\0" not in path for path in (first or "", *others)):
        raise ValueError("not a journal")
    return Undo(replaced, first, others)


def _checked(entry: Any, set_id: str) -> tuple[str, str | None, Identity]:
    target, backup, (inode, size, changed) = entry
    plain = isinstance(target, str) and os.path.basename(target) == target and target not in ("", ".", "..")
    known = backup is None or (isinstance(backup, str) and (m := HIDDEN.fullmatch(backup)) and m[1] == set_id)
    numbers = all(type(number) is int for number in (inode, size, changed))
    if not (plain and known and numbers) or "\0" in target or HIDDEN.fullmatch(target):
        raise ValueError("not a journal")
    return target, backup, (inode, size, changed)


def put_back(folder: Path, undo: Undo) -> None:
    """Undo the renames of one folder; files that somebody has changed since stay. Can be repeated."""
    for target, backup, new in undo.replaced:
        if identity(folder / target) != new:
            continue
        if backup is None:
            os.unlink(folder / target)
        elif os.path.lexists(folder / backup):
            os.replace(folder / backup, folder / target)
    sync_folder(folder)


def remove_hidden(folder: Path, set_id: str) -> None:
    """Remove a set's hidden files from a folder, its lock last; journals and files that cannot be removed stay."""
    names = [name for name in _hidden(folder) if f"-{set_id}" in name]
    for name in sorted(names, key=lambda name: name.endswith(".lock")):
        with contextlib.suppress(OSError):
            if stat.S_ISREG(os.lstat(folder / name).st_mode):
                os.unlink(folder / name)


# ----------------------------------------------------------------------------------------------- after a sudden death


def recover(folder: Path) -> int:
    """Undo the unfinished commits of dead processes in a folder and remove their files; return the number of sets."""
    ids = {match[1] for name in _hidden(folder) if (match := HIDDEN.fullmatch(name))}
    return sum(_recover_set(folder, set_id) for set_id in sorted(ids))


def _recover_set(folder: Path, set_id: str) -> bool:
    """Whether a set of a dead process is recovered: in this folder and, where its journal decides, in the others."""
    if fcntl is None:
        return False
    lock, file = lock_path(folder, set_id), None
    if os.path.lexists(lock):
        file = _open_plain(lock, own=True)
        if file is None:
            return False
    try:
        if file is not None and (_is_locked(file, "LOCK_EX", unknown=True) or not _is_open_at(file, lock)):
            return False
        if not _undo(folder, set_id):
            return False
        remove_hidden(folder, set_id)
        return True
    except (OSError, ValueError):  # not writable, or not ours: the next run may do better
        return False
    finally:
        if file is not None:
            os.close(file)


def _undo(folder: Path, set_id: str) -> bool:
    """Undo what a journal says, if it still counts; whether the folder may be cleaned."""
    undo = _read_undo(folder, set_id)
    if undo is None:
        return True
    if undo.first is not None:
        first = folder / undo.first
        if not first.is_dir():
            return False
        if os.path.lexists(undo_path(first, set_id)):
            put_back(folder, undo)
        return True
    put_back(folder, undo)
    others = [folder / other for other in undo.others]
    for other in others:
        _recover_set(other, set_id)
    return not any(os.path.lexists(undo_path(other, set_id)) for other in others)
