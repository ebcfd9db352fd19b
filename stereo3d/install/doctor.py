"""The checks of `stereo3d doctor`: versions, libraries, the kernel cache, memory and disk."""

import importlib.util
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

from .. import __version__, resources
from ..io.journal import recover
from ..records import Finding

# Wheels of one family install into the same folder: one of them suffices, two overwrite each other's files.
FAMILIES = (
    ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
    ("open3d-cpu", "open3d"),
)
RUNTIMES = ("onnxruntime", "onnxruntime-gpu")  # wheels of one module
# Start of a shared library's name -> its Debian package, for the libraries that the wheels of OpenCV 5.0 and Open3D
# 0.20 do not bundle, and libgomp. Releases that renamed a package for 64-bit time (libglib2.0-0t64) accept these names.
APT_PACKAGES = {
    "libusb-1.0.so": "libusb-1.0-0",
    "libGL.so": "libgl1",
    "libEGL.so": "libegl1",
    "libX11.so": "libx11-6",
    "libXext.so": "libxext6",
    "libxcb.so": "libxcb1",
    "libSM.so": "libsm6",
    "libICE.so": "libice6",
    "libglib-2.0.so": "libglib2.0-0",
    "libgthread-2.0.so": "libglib2.0-0",
    "libgomp.so": "libgomp1",
    "libidn2.so": "libidn2-0",
    "libstdc++.so": "libstdc++6",
    "libudev.so": "libudev1",
    "libz.so": "zlib1g",
}
# Estimates; less than this gives a warning, and no run is refused for it.
MEMORY_NEEDED = 2 * 2**30  # bytes
DISK_NEEDED = 1 * 2**30  # bytes
_IMPORT = "import importlib, sys; importlib.import_module(sys.argv[1])"
_PARTS = {
    "PIL": "from PIL import features; print(json.dumps({n: bool(features.check(n)) for n in "
    "('jpg', 'zlib', 'libtiff', 'webp', 'avif')}))",
    "pillow_heif": "import pillow_heif; from PIL import Image; pillow_heif.register_heif_opener(); "
    "print(json.dumps({'heif': '.heic' in Image.registered_extensions()}))",
    "cv2": "import cv2; print(json.dumps({n: hasattr(cv2, n) for n in "
    "('SIFT_create', 'ORB_create', 'StereoSGBM_create')}))",
}
# Prints the folder into which kernels are written, and one that holds kernels: each "" where there is none.
_TIME = 120  # s that a check may take; an import takes seconds
_NOT_ENDED = f"did not end within {_TIME} s"
_CACHE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from stereo3d import kernel_cache as k
package = Path(k.__file__).parent
folders = (f for source in package.rglob("*.py") for f in k.cache_folders(str(source)) if any(f.glob("*.index")))
held = next(folders, None)
loaded = "" if held is None else str(held if held.is_relative_to(package) else held.parent)
print(json.dumps([str(k.writable_folder(k.__file__) or ""), loaded]))
"""


def check() -> list[Finding]:
    """Return one Finding for each check of the installation, of severity "info" where it passes.

    The checks take some seconds, nearly all to import the dependencies.

    Returns
    -------
    list of Finding
        Codes: python, version, dependency, double_wheel, system_library, picture_formats, opencv_parts, memory, cores,
        disk, kernel_cache, networks. With severity "error" stereo3d, or the method that the message names, cannot run.
    """
    return [*_versions(), *_dependencies(), *_doubles(), *_parts(), *_networks(), *_kernel_cache(), *_machine()]


def missing_packages() -> list[str]:
    """Return the missing Debian packages, sorted, without which a dependency cannot be imported."""
    found = [f.numbers["packages"] for f in _dependencies() if f.code == "system_library"]
    return sorted({package for packages in found for package in packages})


def _versions() -> list[Finding]:
    """Check the versions of stereo3d and of Python."""
    from packaging.specifiers import SpecifierSet

    try:
        about = metadata.metadata("stereo3d")
    except metadata.PackageNotFoundError:
        message = f"stereo3d {__version__} runs from {_home()} but is not installed."
        return [Finding("version", "error", message, {"version": __version__}, _pip("-e", str(_home())))]
    findings = []
    numbers = {"version": __version__, "installed": about["Version"]}
    if about["Version"] == __version__:
        findings.append(Finding("version", "info", f"stereo3d {__version__} in {_home()}.", numbers))
    else:
        message = f"stereo3d {__version__} in {_home()} is registered as version {about['Version']}."
        findings.append(Finding("version", "warning", message, numbers, _pip("-e", str(_home()))))
    have, need = platform.python_version(), about["Requires-Python"] or ""
    numbers = {"version": have, "needed": need}
    message = f"Python {have} ({platform.system()} {platform.machine()}), {sys.executable}; {need or 'any'} needed."
    if SpecifierSet(need).contains(have, prereleases=True):
        findings.append(Finding("python", "info", message, numbers))
    else:
        advice = "Make a new environment with a Python that fits: rm -rf .venv && make demo PYTHON=python3.11"
        findings.append(Finding("python", "error", message, numbers, advice))
    return findings


def _dependencies() -> list[Finding]:
    """Check every requirement that applies to this machine: installed, of a fitting version, importable."""
    from packaging.utils import canonicalize_name

    installed = _installed()
    findings, imports = [], []
    for requirement in resources.requirements():
        name, need = canonicalize_name(requirement.name), str(requirement.specifier)
        name = next((n for n in sorted(_family(name), key=lambda n: n != name) if n in installed), name)
        have = installed.get(name)
        numbers = {"version": have, "needed": need}
        if have is None:
            message = f"{name} is not installed; {need or 'any version'} is needed."
            findings.append(Finding("dependency", "error", message, numbers, _pip(name + need)))
        elif not requirement.specifier.contains(have, prereleases=True):
            message = f"{name} {have} is installed; {need} is needed."
            findings.append(Finding("dependency", "error", message, numbers, _pip(name + need)))
        else:
            imports += [(name, have, need, module) for module in _modules(name)]
    outcomes = _run_all([(_IMPORT, module) for *_, module in imports])
    for (name, have, need, module), (status, output) in zip(imports, outcomes, strict=True):
        if status:
            findings.append(_import_failure(name, have, module, status, output))
        else:
            message = f"{name} {have} ({need or 'any version'} needed)."
            findings.append(Finding("dependency", "info", message, {"version": have, "needed": need}))
    return findings


def _import_failure(name: str, version: str, module: str, status: int, complaint: str) -> Finding:
    """The reason why `import module` failed, from exit status and stderr of the process that tried it."""
    what = f"{name} {version} cannot be imported" + (" (until it can: --mesher grid)" if module == "open3d" else "")
    missing = re.search(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file", complaint)
    if missing:
        libraries = sorted({missing[1], *_missing_libraries(module)})
        packages = sorted({package for library in libraries if (package := _apt_package(library))})
        advice = f"Install the system package that contains it; to find it: apt-file search {missing[1]}"
        if packages:
            sudo = "sudo " if hasattr(os, "geteuid") and os.geteuid() else ""
            advice = f"{sudo}apt-get install -y {' '.join(packages)}"
        message = f"{what}: the system lacks {', '.join(libraries)}."
        return Finding("system_library", "error", message, {"libraries": libraries, "packages": packages}, advice)
    if complaint == _NOT_ENDED:  # of a busy machine: nothing is known to be wrong
        message = f"{name} {version} could not be checked: its import {_NOT_ENDED}."
        advice = "Is the computer busy, or its disk slow? Run stereo3d doctor again."
        return Finding("dependency", "warning", message, {"version": version}, advice)
    reason = (complaint.strip().splitlines() or ["no message"])[-1]
    if status < 0:
        known = {s.value for s in signal.Signals}
        reason = f"stopped by signal {signal.Signals(-status).name if -status in known else -status}"
    again = _pip("--force-reinstall", "--no-deps", f"{name}=={version}")
    return Finding("dependency", "error", f"{what}: {reason}.", {"status": status}, again)


def _doubles() -> list[Finding]:
    """Check that this environment has at most one wheel of each family."""
    installed = _installed()
    findings = []
    for family in FAMILIES:
        here = [name for name in family if name in installed]
        if len(here) < 2:
            continue
        keep = next((r.name for r in resources.requirements() if r.name in family), here[0])
        listed = " and ".join(f"{name} {installed[name]}" for name in here)
        message = f"{listed} are installed together; they overwrite each other's files, so the import is a mixture."
        python = shlex.quote(sys.executable)
        advice = f"{python} -m pip uninstall -y {' '.join(here)} && {_pip(keep)}"
        findings.append(Finding("double_wheel", "error", message, {name: installed[name] for name in here}, advice))
    return findings


def _installed() -> dict[str, str]:
    """Canonical name -> version of every distribution on the path; the first of duplicates counts."""
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:  # a broken installation has none
            found.setdefault(canonicalize_name(name), distribution.version)
    return found


def _modules(name: str) -> list[str]:
    """The public top-level modules of a distribution."""
    from packaging.utils import canonicalize_name

    owners = metadata.packages_distributions()
    return sorted(
        module
        for module, names in owners.items()
        if module.isidentifier() and not module.startswith("_") and name in [canonicalize_name(n) for n in names]
    )


def _family(name: str) -> tuple[str, ...]:
    return next((family for family in FAMILIES if name in family), (name,))


def _missing_libraries(module: str) -> list[str]:
    """Shared libraries of `APT_PACKAGES` that the compiled parts of a module need and the loader does not find.

    The import error names the first only; `ldd` names all. Libraries without a known package are left out: a wheel may
    bundle them and find them in another way than the loader.
    """
    spec = importlib.util.find_spec(module)
    if shutil.which("ldd") is None or spec is None or not spec.origin:
        return []
    files = [str(p) for p in Path(spec.origin).parent.rglob("*.so") if not p.name.startswith("lib")]
    if not files:
        return []
    run = subprocess.run(["ldd", *files], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = re.findall(r"^\s*(\S+) => not found", run.stdout, flags=re.MULTILINE)
    return sorted({library for library in found if _apt_package(library)})


def _apt_package(library: str) -> str | None:
    return next((package for start, package in APT_PACKAGES.items() if library.startswith(start)), None)


def _parts() -> list[Finding]:
    """Check the picture formats of Pillow and the algorithms of OpenCV that some builds lack."""
    outcomes = _run_all([("import json; " + code,) for code in _PARTS.values()])
    found = {  # a library that cannot be imported is a finding already
        name: json.loads(output.strip().splitlines()[-1])
        for name, (status, output) in zip(_PARTS, outcomes, strict=True)
        if status == 0
    }
    findings = []
    formats = {**found.get("PIL", {}), **found.get("pillow_heif", {})}
    lacking = [name for name, there in formats.items() if not there]
    if lacking:
        message = f"This build of Pillow cannot read {', '.join(lacking)}."
        advice = _pip("--force-reinstall", "--only-binary=:all:", "pillow", "pillow-heif")
        findings.append(Finding("picture_formats", "warning", message, formats, advice))
    elif formats:
        message = f"Picture formats besides PNG and BMP: {', '.join(name for name in formats if name != 'zlib')}."
        findings.append(Finding("picture_formats", "info", message, formats))
    parts = found.get("cv2", {})
    lacking = [name for name, there in parts.items() if not there]
    if lacking:
        message = f"This OpenCV has no {', '.join(lacking)}: the build is incomplete, or a mixture of two."
        advice = _pip("--force-reinstall", "--no-deps", "opencv-python")
        findings.append(Finding("opencv_parts", "error", message, parts, advice))
    elif parts:
        findings.append(Finding("opencv_parts", "info", f"OpenCV has {', '.join(parts)}.", parts))
    return findings


def _networks() -> list[Finding]:
    """State whether onnxruntime, an extra, is there; that it is not is no fault."""
    installed = _installed()
    name = next((n for n in RUNTIMES if n in installed), None)
    if name is None:
        message = "onnxruntime is not installed: only networks from ONNX files (--matcher onnx:FILE) need it."
        return [Finding("networks", "info", message, {"version": None}, _pip("onnxruntime"))]
    status, output = _run("import onnxruntime; print(*onnxruntime.get_available_providers(), sep=', ')")
    numbers = {"version": installed[name]}
    if status:
        reason = (output.strip().splitlines() or ["no message"])[-1]
        message = f"{name} {installed[name]} cannot be imported, so networks from ONNX files do not run: {reason}."
        return [Finding("networks", "warning", message, numbers, _pip("--force-reinstall", name))]
    return [Finding("networks", "info", f"{name} {installed[name]} runs networks on: {output.strip()}.", numbers)]


def _kernel_cache() -> list[Finding]:
    """Check the folder of compiled kernels: see `kernel_cache.cache_folders`."""
    status, output = _run(_CACHE, str(_home()))
    given = os.environ.get("NUMBA_CACHE_DIR")
    if status != 0:  # numba itself is broken: a finding already
        return []
    folder, loaded = json.loads(output.strip().splitlines()[-1])
    if loaded and not folder:  # as in an image with a read-only root
        message = (
            f"Compiled kernels are loaded from {loaded}; none can be kept, so each run compiles those missing there."
        )
        return [Finding("kernel_cache", "info", message, {"folder": None, "loaded": loaded})]
    if not folder:
        message = (
            "Compiled kernels cannot be kept, so every run compiles them again: no folder for them can be written."
        )
        advice = "export NUMBA_CACHE_DIR=/path/of/a/writable/folder"
        return [Finding("kernel_cache", "warning", message, {"folder": None}, advice)]
    message = f"Compiled kernels are kept in {folder}."
    numbers = {"folder": folder}
    if given and not Path(folder).is_relative_to(Path(given).expanduser().absolute()):
        if loaded == given:
            message = f"Compiled kernels are loaded from {loaded}; those missing there are kept in {folder}."
            return [Finding("kernel_cache", "info", message, numbers | {"loaded": loaded})]
        message = f"NUMBA_CACHE_DIR={given} cannot be written. {message}"
        return [Finding("kernel_cache", "warning", message, numbers, f"mkdir -p {shlex.quote(given)}")]
    return [Finding("kernel_cache", "info", message, numbers)]


def unfinished(folder: Path) -> list[Finding]:
    """Remove what killed runs left in a folder, and undo what they had half replaced; one Finding if there was any."""
    count = recover(Path(os.path.realpath(folder)))
    if not count:
        return []
    message = (
        f"Killed runs had left hidden files in {folder}, which are removed; files that they had replaced are back."
    )
    return [Finding("unfinished_files", "info", message, {"runs": count})]


def _machine() -> list[Finding]:
    """Check memory, processor cores and disk."""
    findings = []
    try:
        total, available = resources.total_memory(), resources.available_memory()
    except ImportError:  # psutil: a finding already
        pass
    else:
        numbers = {"total": total, "available": available}
        message = f"Memory: {total / 2**30:.1f} GB, {available / 2**30:.1f} GB of it free."
        if available < MEMORY_NEEDED:
            advice = "Close other programs, or work on smaller pictures: stereo3d --max-size 1000 ..."
            message = f"{message} Large pairs need {MEMORY_NEEDED / 2**30:.0f} GB."
            findings.append(Finding("memory", "warning", message, numbers, advice))
        else:
            findings.append(Finding("memory", "info", message, numbers))
    cores = resources.processors()
    findings.append(Finding("cores", "info", f"Usable processor cores: {cores}.", {"cores": cores}))
    try:
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        advice = 'mkdir -p "$HOME/tmp" && export TMPDIR="$HOME/tmp"'
        findings.append(Finding("disk", "error", f"No folder for temporary files: {error}.", {}, advice))
        return findings
    message = f"Temporary files: {free / 2**30:.1f} GB free in {folder}."
    if free < DISK_NEEDED:
        advice = f"Make room, or choose another folder: export TMPDIR=/path/with/{DISK_NEEDED / 2**30:.0f}GB"
        findings.append(Finding("disk", "warning", message, {"free": free}, advice))
    else:
        findings.append(Finding("disk", "info", message, {"free": free}))
    return findings


def _run(code: str, *arguments: str) -> tuple[int, str]:
    """Run `code` in a new interpreter; return its exit status and stdout, or stderr where it failed.

    -P: modules are not searched in the working folder, as for the installed command.
    """
    command = [sys.executable, "-P", "-c", code, *arguments]
    try:
        run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_TIME)
    except subprocess.TimeoutExpired:
        return 1, _NOT_ENDED
    return run.returncode, run.stdout if run.returncode == 0 else run.stderr


def _run_all(commands: list[tuple[str, ...]]) -> list[tuple[int, str]]:
    """Call `_run` for each command, on all cores."""
    with ThreadPoolExecutor(resources.processors()) as pool:
        return list(pool.map(lambda command: _run(*command), commands))


def _pip(*arguments: str) -> str:
    """The command that installs into this environment."""
    return shlex.join([sys.executable, "-m", "pip", "install", *arguments])


def _home() -> Path:
    """The folder that holds the package."""
    return Path(__file__).resolve().parents[2]
