"""What a new file takes over from the one it replaces, and steps that leave it whole on disk."""

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path


def refuse_unless_plain(path: Path) -> None:
    """Raise OSError for what no file should take the place of: a folder, a device, a file marked read-only."""
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


def make_folders(folder: Path, made: list[Path]) -> None:
    """Make what is missing of a folder's path; adds it to `made`, the outermost first."""
    missing = []
    while not folder.exists():
        missing.insert(0, folder)
        folder = folder.parent
    for new in missing:
        made.append(new)
        new.mkdir(exist_ok=True)


def remove(path: Path) -> None:
    """Remove a file if it is there and the system lets us."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def back_up(target: Path, backup: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    try:
        os.link(target, backup)
    except OSError:
        shutil.copy2(target, backup)
        sync_file(backup)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    file = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(file)


def pass_on(old: Path, new: Path) -> None:
    """Give a file that will replace another its owner, mode and extended attributes, as far as the system lets us."""
    try:
        before, here = os.stat(old), os.stat(new)
    except FileNotFoundError:
        return
    mode = stat.S_IMODE(before.st_mode)
    if os.name == "posix" and (before.st_uid, before.st_gid) != (here.st_uid, here.st_gid):
        try:
            os.chown(new, before.st_uid, before.st_gid)
        except OSError:
            mode &= 0o1777
            try:
                os.chown(new, -1, before.st_gid)
            except OSError:  # another group must not get the rights of the old one
                mode = mode & ~0o070 | (mode & 0o007) << 3
    os.chmod(new, mode)
    if not hasattr(os, "listxattr"):
        return
    with suppress(OSError):
        names = os.listxattr(old)
        for name in set(os.listxattr(new)).difference(names):  # of the folder's default access control list
            with suppress(OSError):
                os.removexattr(new, name)
        for name in names:
            with suppress(OSError):
                os.setxattr(new, name, os.getxattr(old, name))
