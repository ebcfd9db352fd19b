"""Open input files: regular ones only, at once, and no more bytes than stated."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from ..errors import StereoError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def regular_file(path: Path) -> bool:
    """Return whether a path leads to a regular file; False for folders, devices, pipes, sockets and no valid path."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def open_file(path: Path, code: str = "file_unreadable") -> BinaryIO:
    """Open a regular file to read its bytes; links to regular files are followed.

    A device gives bytes for ever and a pipe makes the reader wait: neither is opened.

    Parameters
    ----------
    path : Path
    code : str
        Code of the error where the file exists and cannot be used.

    Raises
    ------
    StereoError
        "file_missing", or `code` for a folder, a device, a pipe, a socket, or a file without permission.
    """
    try:
        _check_kind(path, os.stat(path).st_mode, code)
        # another file may have taken its place: a pipe opens without waiting, and is refused below
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        handle = os.open(path, flags | getattr(os, "O_NOCTTY", 0))
    except (OSError, ValueError) as error:
        raise _cannot_open(path, error, code) from error
    try:
        _check_kind(path, os.fstat(handle).st_mode, code)
    except StereoError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def read_file(path: Path, max_bytes: int, code: str = "file_unreadable") -> bytes:
    """Return the bytes of a regular file of at most `max_bytes`, as many as it has when it is opened.

    Parameters
    ----------
    path : Path
    max_bytes : int
        Budget; checked before memory is taken.
    code : str
        Code of the error where the file exists and cannot be used.

    Raises
    ------
    StereoError
        "file_missing", or `code`.
    """
    with open_file(path, code) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise StereoError(
                code,
                f"{path}: {size} bytes, more than the {max_bytes} that a file of this kind may have.",
                "Check that it is the right file.",
                bytes=size,
                limit=max_bytes,
            )
        try:
            return file.read(size)  # a file that grows meanwhile ends here
        except OSError as error:
            raise _cannot_open(path, error, code) from error


def _check_kind(path: Path, mode: int, code: str) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "no regular file")
        raise StereoError(code, f"{path} is {kind}, not a file.", "Name a regular file.")


def _cannot_open(path: Path, error: OSError | ValueError, code: str) -> StereoError:
    if isinstance(error, FileNotFoundError):
        return StereoError("file_missing", f"{path}: no such file.", "Check the path.")
    if isinstance(error, PermissionError):
        return StereoError(code, f"{path}: no permission to read it.", "Check its permissions.")
    if isinstance(error, OSError) and error.errno == errno.EIO:
        return StereoError(code, f"{path}: the disk cannot read it ({error.strerror}).", "Copy it again.")
    # a name too long, a part of the path that is a file, a NUL in the name
    return StereoError("file_missing", f"{path}: cannot be opened ({error}).", "Check the path.")
