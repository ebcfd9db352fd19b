"""`njit` whose compiled kernels are kept on disk, whatever state the disk is in.

numba's own cache ends the program where no folder can be written, where a file of it is damaged or unreadable, and
makes a folder named `~` where there is no home folder. Here each file carries a checksum, what cannot be read is
compiled and written again, and what cannot be written is not kept. Kernels are written into the first folder that
lets us, and read from it and those before it: an image may hold them read-only.
Several processes may write at the same time: a file is complete before an entry of the index names it, under a random
name. At worst an entry is lost and compiled again.
What is kept counts as long as the content of its source does not change, whatever the times of the files, so a copy of
an installation keeps its kernels.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import pickle
import random
import re
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from numba.core import caching, codegen, config, registry

log = logging.getLogger(__name__)
SAVING = threading.RLock()  # held while a file is written: `end_with_parent` waits for it
InTreeCacheLocator = getattr(caching, "InTreeCacheLocator", None) or getattr(caching, "_InTreeCacheLocator")  # noqa: B009 - numba 0.60
_unfinished: set[str] = set()  # temporary files being written


class Kernel(registry.CPUDispatcher):
    """What numba's `njit` makes of a function, with this module's cache."""

    def enable_caching(self) -> None:
        """Keep on disk what is compiled."""
        self._cache = KernelCache(self.py_func)


def njit(*, cache: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that makes a function a `Kernel`; options: of numba's `njit`, but locals and pipeline_class.

    With NUMBA_DISABLE_JIT the function stays what it is.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if getattr(config, "DISABLE_JIT", False):
            return function
        kernel = Kernel(function, targetoptions={"nopython": True, **options})
        if cache:
            kernel.enable_caching()
        return kernel

    return decorate


def abandon() -> None:
    """Remove half-written files; for a program about to end without unwinding."""
    for name in list(_unfinished):
        with contextlib.suppress(OSError):
            os.unlink(name)


# ------------------------------------------------------------------------------------------------------------ folders


def cache_folders(source: str) -> Iterator[Path]:
    """Yield the folders that may hold the kernels of a source file, the preferred one first.

    They are below NUMBA_CACHE_DIR; beside the source; below the user's cache folder (XDG_CACHE_HOME, else ~/.cache);
    below the system's folder for temporary files, private to the user. An unknown home folder leaves its one out.
    """
    name = InTreeCacheLocator.get_suitable_cache_subpath(source)
    given = os.path.expanduser(getattr(config, "CACHE_DIR", "") or "")
    user = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if given and not given.startswith("~"):
        yield Path(given).absolute() / name
    yield Path(source).absolute().parent / "__pycache__"
    if os.path.isabs(user):
        yield Path(user) / "numba" / name
    if base := _private_base():
        yield Path(base) / name


@functools.cache
def _private_base() -> str | None:
    """A folder below the one for temporary files that nobody else can write; None where there is none.

    Without any folder for temporary files, Python names the working folder, which must not be littered.
    """
    if not hasattr(os, "geteuid"):
        return None
    try:
        shared = tempfile.gettempdir()
        if shared == os.getcwd():
            return None
        base = os.path.join(shared, f"stereo3d-kernels-{os.geteuid()}")
        with contextlib.suppress(FileExistsError):
            os.mkdir(base, 0o700)
        status = os.lstat(base)
    except OSError:
        return None
    private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return base if private else None


@functools.cache
def is_writable(folder: Path) -> bool:
    """Return whether files can be written to a folder, which is made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def writable_folder(source: str) -> Path | None:
    """Return the folder into which the kernels of a source file are written; None where none can be."""
    return next((folder for folder in cache_folders(source) if is_writable(folder)), None)


@functools.cache
def _folders_to_read(source: str) -> tuple[Path, ...]:
    folders = []
    for folder in cache_folders(source):
        folders.append(folder)
        if is_writable(folder):
            break
    return tuple(folders)


@functools.cache
def _say_once(message: str) -> None:
    log.warning(message)


# -------------------------------------------------------------------------------------------------------------- files

_IMPORT = re.compile(r"^from (\.+)([\w.]+) import ", re.MULTILINE)  # of a module of the same package


@functools.cache
def source_stamp(source: str) -> str:
    """Return a digest of a source file and of the modules that it imports from its package, directly or not.

    A kernel is compiled with the constants and kernels of theirs that it uses.
    """
    contents: dict[Path, str] = {}
    waiting = [Path(source)]
    while waiting:
        path = waiting.pop()
        if path in contents:
            continue
        contents[path] = _text(path)
        for dots, module in _IMPORT.findall(contents[path]):
            imported = path.parents[len(dots) - 1].joinpath(*module.split(".")).with_suffix(".py")
            if imported.is_file() and not imported.samefile(__file__):
                waiting.append(imported)
    return hashlib.blake2b("\0".join(contents.values()).encode("utf-8"), digest_size=16).hexdigest()


@functools.cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


class CacheFile(caching.IndexDataCacheFile):
    """Index and data files of one kernel in one folder, each with a checksum; damaged ones count as missing."""

    def __init__(self, folder: Path, base: str, stamp: Any) -> None:
        super().__init__(str(folder), base, stamp)
        self._index_path = os.path.join(str(folder), f"{base}.index")
        self._data_name_pattern = f"{base}.{{number:x}}.kernel"

    def load(self, key: Any) -> Any:
        """Return the entry of a key; None where it is missing or damaged."""
        name = self._load_index().get(key)
        return None if name is None else _read(self._data_path(name))

    def save(self, key: Any, data: Any) -> None:
        """Write the data under a random name, then its entry of the index. Raises OSError."""
        with SAVING:
            name = self._load_index().get(key) or self._data_name(random.SystemRandom().getrandbits(48))
            self._save_data(name, data)
            self._save_index({**self._load_index(), key: name})

    def _load_index(self) -> dict:
        found = _read(self._index_path)
        if not isinstance(found, tuple) or len(found) != 3 or found[:2] != (self._version, self._source_stamp):
            return {}
        return found[2]

    def _save_index(self, overloads: dict) -> None:
        self._write(self._index_path, (self._version, self._source_stamp, overloads))

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), data)

    def _write(self, path: str, value: Any) -> None:
        content = self._dump(value)
        with self._open_for_write(path) as f:
            f.write(_checksum(content) + content)

    @contextlib.contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[Any]:
        temporary = f"{filepath}.tmp.{random.SystemRandom().getrandbits(64):x}"
        _unfinished.add(temporary)
        try:
            with open(temporary, "wb") as f:
                yield f
            os.replace(temporary, filepath)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        finally:
            _unfinished.discard(temporary)


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _read(path: str) -> Any:
    """The value in a file; None where it cannot be read or is damaged."""
    try:
        with open(path, "rb") as f:
            checksum, content = f.read(16), f.read()
        return pickle.loads(content) if checksum == _checksum(content) else None
    except Exception:  # a checksum can be right and the value of another version of numba
        return None


class _LinkedLater(codegen.JITCodeLibrary):
    """The machine code of a loaded kernel; its bitcode is parsed where a kernel that calls it is compiled.

    Parameters
    ----------
    loaded : JITCodeLibrary
        What numba has loaded, with stubs in place of the bitcode.
    bitcode : bytes
    """

    def __init__(self, loaded: codegen.JITCodeLibrary, bitcode: bytes) -> None:
        vars(self).update(vars(loaded))
        self._loaded, self._bitcode = loaded, bitcode  # when `loaded` goes, numba removes its machine code
        self._shared_module = None

    def _get_module_for_linking(self) -> Any:
        if self._shared_module is None:
            self._shared_module = llvm.parse_bitcode(self._bitcode)
        return self._shared_module


@functools.cache
def _links_later() -> bool:
    """Whether this version of numba asks for a kernel's bitcode by the method that `_LinkedLater` overrides."""
    finalize = getattr(codegen.CPUCodeLibrary, "finalize", None)
    return "_get_module_for_linking" in getattr(getattr(finalize, "__code__", None), "co_names", ())


def _without_bitcode(data: Any) -> tuple[Any, bytes]:
    """What numba keeps of a compiled kernel, with a stub for each of its functions, and the bitcode of these.

    Every run would read the bitcode and hold it, .2 s and 40 MB in all, for the sake of kernels that are compiled later
    and call this one. Of the stubs numba takes the names of what the machine code defines.
    """
    (name, kind, (machine_code, bitcode)), *rest = data
    names = [f.name for f in llvm.parse_bitcode(bitcode).functions if not f.is_declaration]
    stubs = llvm.parse_assembly("\n".join(f'define void @"{name}"() {{\nunreachable\n}}' for name in names))
    return ((name, kind, (machine_code, stubs.as_bitcode())), *rest), bitcode


class _Locator(InTreeCacheLocator):
    """What numba asks of a place for a kernel; its folder need not exist."""

    def __init__(self, py_func: Any, py_file: str) -> None:
        super().__init__(py_func, py_file)
        folder = writable_folder(py_file)
        self._cache_path = "" if folder is None else str(folder)

    def get_source_stamp(self) -> Any:
        """Return what decides whether a kernel is outdated."""
        return source_stamp(self._py_file)

    def ensure_cache_path(self) -> None:
        """Leave the check to `KernelCache`."""


class _Implementation(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]

    def reduce(self, cres: Any) -> Any:
        """Return what is kept of a compiled kernel, and its bitcode where that can be read later."""
        kernel = super().reduce(cres)
        return _without_bitcode(kernel) if _links_later() else (kernel, b"")

    def rebuild(self, target_context: Any, payload: Any) -> Any:
        """Return the compiled kernel; its bitcode is read where a kernel that calls it is compiled."""
        kernel, bitcode = payload
        found = super().rebuild(target_context, kernel)
        return found._replace(library=_LinkedLater(found.library, bitcode)) if bitcode else found


class KernelCache(caching.FunctionCache):
    """The cache of one kernel: see the module.

    Attributes
    ----------
    compiled : int
        Kernels of this process that were not kept, of all caches.
    """

    _impl_class = _Implementation
    compiled = 0

    def __init__(self, py_func: Any) -> None:
        super().__init__(py_func)
        stamp, base = self._impl.locator.get_source_stamp(), self._impl.filename_base
        source = py_func.__code__.co_filename
        self._cache_file = CacheFile(Path(self._cache_path), base, stamp)
        self._files = [CacheFile(folder, base, stamp) for folder in _folders_to_read(source)]

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled kernel; None where no folder has it."""
        target_context.refresh()
        if not self._enabled:
            return None
        key = self._index_key(sig, target_context.codegen())
        for file in self._files:
            data = file.load(key)
            with contextlib.suppress(Exception):  # numba rebuilds what an incompatible version has written
                if data is not None:
                    return self._impl.rebuild(target_context, data)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled kernel where a folder can be written."""
        KernelCache.compiled += 1
        if not self._cache_path:
            _say_once(
                "compiled kernels cannot be kept, so every run compiles them again: no folder for them can be written. "
                "Set NUMBA_CACHE_DIR to one that can."
            )
            return
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _say_once(f"compiled kernels cannot be kept in {self._cache_path} ({error.strerror}).")
