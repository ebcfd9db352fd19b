"""Processor cores and memory within a container's limits; libraries that the package requires."""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .errors import StereoError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

CGROUP_ROOT = Path("/sys/fs/cgroup")  # where Linux mounts the control groups
THREADS = "STEREO3D_THREADS"  # environment variable: cores that this process may use, where several share a machine
CGROUP_MEMBERSHIP = Path("/proc/self/cgroup")  # the groups of this process, a line "number:controllers:path" for each


def processors() -> int:
    """Return the number of processor cores this process may use: its CPU affinity, within its container's CPU quota.

    The environment variable `THREADS` lowers it.

    Returns
    -------
    int
        At least 1. A fractional quota is rounded up.
    """
    shared = os.environ.get(THREADS, "")
    if shared.isdecimal() and int(shared) > 0:
        return min(int(shared), _granted())
    return _granted()


def _granted() -> int:
    """What the system grants this process."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [_cpu_quota(folder) for folder in _own_groups("cpu")]
    return max(1, math.ceil(min([count, *quotas])))


def available_memory() -> int:
    """Return the memory, in bytes, that this process can take without swapping, within its container's limit."""
    import psutil

    free = [limit - used for limit, used in map(_memory_use, _own_groups("memory"))]
    return int(max(0, min([psutil.virtual_memory().available, *free])))


def total_memory() -> int:
    """Return the memory, in bytes, of this computer, or its container's limit where that is less."""
    import psutil

    return int(min([psutil.virtual_memory().total, *(_memory_use(folder)[0] for folder in _own_groups("memory"))]))


def load_open3d() -> ModuleType:
    """Return the module open3d.

    Raises
    ------
    StereoError
        "library_missing" where Open3D, or a system library that it is linked to, cannot be loaded.
    """
    os.environ.setdefault("OPEN3D_DISABLE_WEB_VISUALIZER", "true")  # it would start a server in every notebook
    try:
        with _drawing_later():
            import open3d
    except (ImportError, OSError) as error:
        if _was_interrupted(error):
            raise KeyboardInterrupt from error
        if isinstance(error, ModuleNotFoundError) and error.name == "open3d":
            advice = "pip install open3d, or open3d-cpu on Linux."
        else:
            advice = "On Debian or Ubuntu: apt install libusb-1.0-0 libegl1 libgl1 libx11-6 libglib2.0-0 libgomp1."
        raise StereoError("library_missing", f"Open3D cannot be loaded: {error}.", advice) from error
    return open3d


@contextlib.contextmanager
def _drawing_later() -> Iterator[None]:
    """Load Open3D in the block without its `draw_plotly`, which is loaded by the first call of one of its functions.

    It takes more than half of the time and of the memory: a web server, for the sake of three functions.
    """
    name = "open3d.visualization.draw_plotly"
    functions = "get_plotly_fig", "draw_plotly", "draw_plotly_server"

    def call(function: str, *given: Any, **options: Any) -> Any:
        package, module = importlib.import_module("open3d.visualization"), importlib.import_module(name)
        for each in functions:
            setattr(package, each, getattr(module, each))
        return getattr(module, function)(*given, **options)

    stand_in = ModuleType(name)
    vars(stand_in).update({function: functools.partial(call, function) for function in functions})
    before = sys.modules.setdefault(name, stand_in)
    try:
        yield
    finally:
        if before is stand_in:
            del sys.modules[name]


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C caused an error: the start of a compiled module turns it into an ImportError."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or "KeyboardInterrupt" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def requirements() -> list[Requirement]:
    """Return the requirements of the package that apply to this machine, without extras; none where uninstalled."""
    from packaging.requirements import Requirement

    try:
        declared = [Requirement(line) for line in metadata.requires("stereo3d") or []]
    except metadata.PackageNotFoundError:
        return []
    return [r for r in declared if r.marker is None or r.marker.evaluate({"extra": ""})]


def _own_groups(controller: str) -> list[Path]:
    """The folders of this process's control groups for "memory" or "cpu", each with its ancestors up to the root.

    Inside a container the path may be the host's, which is not mounted there; the root is then the container's own
    group, so that folders which are missing can be skipped.
    """
    try:
        lines = CGROUP_MEMBERSHIP.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    folders = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:  # version 2, alone or together with version 1
            roots = [CGROUP_ROOT, CGROUP_ROOT / "unified"]
        elif controller in controllers.split(","):
            roots = [CGROUP_ROOT / controllers, CGROUP_ROOT / controller]
        else:
            continue
        names = [name for name in path.split("/") if name not in ("", "..")]
        folders += [root.joinpath(*names[:depth]) for root in roots for depth in range(len(names) + 1)]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def _cpu_quota(folder: Path) -> float:
    """Cores that a control group may use at once; infinite without a quota."""
    words = _read(folder / "cpu.max").split()  # version 2: "quota period", "max" for no quota
    if not words:
        words = [_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]  # version 1: -1 for no quota
    try:
        quota, period = map(int, words)
    except ValueError:
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf


def _memory_use(folder: Path) -> tuple[float, float]:
    """(limit, use) of a control group, bytes; an infinite limit where there is none.

    Files that the system keeps in memory count as used, but give way to a process that needs room: they are left out.
    """
    for limit_name, use_name, prefix in (
        ("memory.max", "memory.current", ""),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    ):
        limit, used = _read(folder / limit_name), _read(folder / use_name)
        if limit.isdecimal() and used.isdecimal():
            entries = dict(line.split(" ", 1) for line in _read(folder / "memory.stat").splitlines() if " " in line)
            cached = sum(int(entries.get(f"{prefix}{kind}_file", 0)) for kind in ("inactive", "active"))
            return int(limit), max(0, int(used) - cached)
    return math.inf, 0


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
