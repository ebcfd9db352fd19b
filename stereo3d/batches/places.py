"""Files by path or by address (`s3://`, `gs://`, `memory://`, ...), the latter through fsspec."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import StereoError
from ..io.atomic import replacing
from ..io.json_files import load_json, plain

_ADDRESS = re.compile(r"(?i)([a-z][a-z0-9+.-]+)://")
LIMIT = 4_000_000_000  # bytes of one file that is fetched
JSON_LIMIT = 4_000_000  # bytes of a record


def is_address(place: str) -> bool:
    """Return whether a place is an address, not a path; `file://` is a path."""
    found = _ADDRESS.match(place)
    return found is not None and found[1].lower() not in ("file", "local")


def path_of(place: str) -> Path:
    """Return the path of a place that is no address."""
    found = _ADDRESS.match(place)
    return Path(place[found.end() :] if found else place)


def stays_in_process(place: str) -> bool:
    """Return whether what is written there can be read by this process only: another one must send its files here."""
    return is_address(place) and place.lower().startswith("memory://")


def joined(place: str, *names: str) -> str:
    """Return the place of a file below a folder."""
    return "/".join([place.rstrip("/"), *names]) if is_address(place) else os.path.join(place, *names)


def name_in(place: str) -> str:
    """Return the last part of a place."""
    return re.split(r"[/\\]" if os.name == "nt" else "/", place.rstrip("/"))[-1] if place.strip("/") else place


def folder_of(place: str) -> str:
    """Return the place that holds another."""
    return place.rstrip("/").rpartition("/")[0] if is_address(place) else os.path.dirname(place)


def file_system(place: str) -> tuple[Any, str]:
    """Return fsspec's file system of an address, and the path in it.

    Raises
    ------
    StereoError
        "library_missing" without fsspec or the package of the protocol.
    """
    try:
        import fsspec

        return fsspec.core.url_to_fs(place)
    except ImportError as error:
        protocol = place.partition("://")[0]
        advice = {"s3": "pip install s3fs", "gs": "pip install gcsfs", "gcs": "pip install gcsfs"}.get(
            protocol, "pip install 'stereo3d[batch]', and the package of fsspec for this protocol"
        )
        raise StereoError("library_missing", f"{place} cannot be opened: {error}.", f"{advice}.") from error
    except ValueError as error:
        raise StereoError(
            "bad_option", f"{place} cannot be opened: {error}.", "Is its protocol spelt right?"
        ) from error


@contextlib.contextmanager
def _of_remote(place: str, code: str):
    """Name the place in errors of a file system."""
    try:
        yield
    except StereoError:
        raise
    except Exception as error:  # each protocol has its own errors
        verb = "write" if code == "unwritable" else "read"
        advice = "Check address, permission and network."
        raise StereoError(code, f"cannot {verb} {place}: {type(error).__name__}: {error}.", advice) from error


def read_bytes(place: str, limit: int = LIMIT) -> bytes:
    """Return the content of a file; StereoError("file_missing") where it cannot be read."""
    if not is_address(place):
        from ..foreign import read_file

        return read_file(path_of(place), limit)
    fs, path = file_system(place)
    with _of_remote(place, "file_missing"):
        if fs.size(path) > limit:
            raise StereoError("file_unreadable", f"{place} is larger than {limit / 1e9:.2g} GB.", "Name another file.")
        return fs.cat_file(path)


def stamp(place: str) -> list[Any] | None:
    """Return what changes with a file's content at the least: size, times and number, or its store's tag."""
    try:
        if not is_address(place):
            found = os.stat(path_of(place))
            return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
        fs, path = file_system(place)
        return [str(fs.ukey(path))]
    except Exception:  # a file that cannot be asked has no stamp: its content decides
        return None


def digest(content: bytes | Path) -> str:
    """Return the SHA-256 of bytes or a file, as hexadecimal text; of a folder, of its files by name."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    if content.is_dir():
        parts = [f"{p.name}:{digest(p)}" for p in sorted(content.iterdir()) if p.is_file()]
        return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
    try:
        with open(content, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StereoError(
            "file_missing", f"cannot read {content}: {error.strerror or error}.", "Check its name and its permissions."
        ) from error


def read_record(place: str) -> dict[str, Any] | None:
    """Return the dictionary of a JSON file; None where there is none that can be read."""
    with contextlib.suppress(Exception):
        if is_address(place):
            content = read_bytes(place, JSON_LIMIT)
        else:
            with open(path_of(place), "rb") as file:
                content = file.read(JSON_LIMIT + 1)
        found = load_json(content.decode("utf-8"))
        return found if isinstance(found, dict) else None
    return None


def record_bytes(record: dict[str, Any]) -> bytes:
    """Return a dictionary as the content of a JSON file."""
    return (json.dumps(plain(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def write_bytes(place: str, content: bytes) -> None:
    """Write a file, at once or not at all; StereoError("unwritable")."""
    if not is_address(place):
        with replacing(path_of(place)) as temporary:
            temporary.write_bytes(content)
        return
    fs, path = file_system(place)
    with _of_remote(place, "unwritable"):
        fs.pipe_file(path, content)  # stores put an object in place when it is complete


def write_files(folder: str, files: Iterable[tuple[str, bytes]]) -> None:
    """Write files of a folder in their order, the last of which is the record that vouches for the others."""
    if not is_address(folder):
        from ..io.atomic import together

        with together():
            for name, content in files:
                write_bytes(joined(folder, name), content)
        return
    for name, content in files:
        write_bytes(joined(folder, *name.split("/")), content)


def listed(place: str) -> list[str]:
    """Return the places of all files below an address."""
    fs, path = file_system(place)
    with _of_remote(place, "file_missing"):
        found = fs.glob(path) if re.search(r"[*?\[]", path) else fs.find(path)
    return sorted(fs.unstrip_protocol(name) for name in found)


def text_lines(place: str, limit: int) -> io.StringIO:
    """Return the text of a file; StereoError("file_unreadable") where it is none."""
    content = read_bytes(place, limit)
    try:
        return io.StringIO(content.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        raise StereoError("file_unreadable", f"{place} is no text in UTF-8: {error}.", "Save it as UTF-8.") from error
