"""Bytes and binary file objects as regular files, so that the guarded readers of files read them too."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from ..errors import StereoError

MAX_BYTES = 2_000_000_000  # of one photo: the largest picture that is read, of 16 bits a colour, takes 1.3 GB
CHUNK = 1 << 20  # bytes
ARRAYS = "Photo.from_array takes an array"
MAX_PATH = 1024  # bytes that may be a path by mistake: no photo is that small
_PLAIN_NAME = re.compile(r"\w[\w .()+-]{0,99}")  # a name that is a file name on every system


class BinaryFile(Protocol):
    """What is read as a binary file: `open(path, "rb")`, `io.BytesIO`, an upload, a member of a ZIP archive."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        ...


def name_of(source: object) -> str | None:
    """Return the name that a file object states, without its folders; None where it states none."""
    name = getattr(source, "name", None)
    if not isinstance(name, str):
        return None
    return re.split(r"[/\\]", name)[-1] or None


@contextmanager
def as_file(source: bytes | bytearray | memoryview | BinaryFile, max_bytes: int = MAX_BYTES) -> Iterator[Path]:
    """Yield the path of a file with these bytes, in a folder of its own, which is gone after the block.

    A file object that can seek is read from its start to its end, and then stands where it stood; any other is read
    from where it stands. The file has the name of the object, where that is plain: names tell raw files and layouts.
    Errors inside the block state the object in the place of the path.

    Parameters
    ----------
    source : bytes-like or binary file
    max_bytes : int
        Budget.

    Raises
    ------
    StereoError
        "photo_unreadable" for a file that is not binary, or more bytes than the budget; "unwritable" where the folder
        for temporary files cannot take them.
    ValueError
        For anything else.
    """
    if not isinstance(source, bytes | bytearray | memoryview) and not callable(getattr(source, "read", None)):
        kind = type(source).__name__
        raise ValueError(f"a picture is a path, bytes, a binary file or a PIL image, got {kind}; {ARRAYS}")
    name = name_of(source)
    what = name or ("the given bytes" if isinstance(source, bytes | bytearray | memoryview) else "the given file")
    try:
        folder = tempfile.TemporaryDirectory(prefix="stereo3d-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _no_room(what, error) from error
    with folder:
        path = Path(folder.name) / (name if name and _PLAIN_NAME.fullmatch(name) else "photo")
        _copy(source, path, what, max_bytes)
        try:
            yield path
        except StereoError as error:
            message, advice = (text.replace(str(path), what) for text in (error.message, error.advice))
            if isinstance(source, bytes) and len(source) < MAX_PATH:
                advice += " Bytes are the content of a file; a path is text: os.fsdecode(path)."
            raise StereoError(error.code, message, advice, **error.numbers) from error


def _copy(source: Any, path: Path, what: str, max_bytes: int) -> None:
    """Write the bytes of the source into a new file."""
    if isinstance(source, bytes | bytearray | memoryview):
        _write(path, iter((source,)), what, max_bytes)
        return
    position = _rewind(source)
    try:
        _write(path, _chunks(source, what), what, max_bytes)
    finally:
        if position is not None:
            with suppress(OSError, ValueError):
                source.seek(position)


def _rewind(file: Any) -> int | None:
    """Move a file that can seek to its start; its position before, None of a stream."""
    try:
        position = file.tell()
        file.seek(0)
    except (AttributeError, OSError, ValueError):  # ValueError: closed, which reading states
        return None
    return position


def _chunks(file: Any, what: str) -> Iterator[bytes]:
    while True:
        try:
            chunk = file.read(CHUNK)
        except (OSError, ValueError) as error:
            raise StereoError("photo_unreadable", f"{what} cannot be read ({error}).", "Is it open?") from error
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise StereoError(
                "photo_unreadable",
                f"{what} gives {type(chunk).__name__} and no bytes.",
                'Open it in binary mode: open(path, "rb").',
            )
        if not chunk:
            return
        yield bytes(chunk)


def _write(path: Path, chunks: Iterator[bytes | bytearray | memoryview], what: str, max_bytes: int) -> None:
    total = 0
    try:
        with open(path, "xb") as file:
            for chunk in chunks:
                total += memoryview(chunk).nbytes
                if total > max_bytes:
                    raise StereoError(
                        "photo_too_large",
                        f"{what} has more than {max_bytes} bytes.",
                        "Give its path: files are not read into memory whole.",
                        limit=max_bytes,
                    )
                file.write(chunk)
    except OSError as error:
        raise _no_room(what, error) from error


def _no_room(what: str, error: OSError) -> StereoError:
    return StereoError(
        "unwritable",
        f"{what} cannot be kept while it is read: {error.strerror or error}.",
        "Free some space in the folder for temporary files, or name another one in TMPDIR; or give a path.",
    )
