"""The doctor on this installation, and on broken ones: metadata written to a folder, processes that really fail."""

import ctypes
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stereo3d import kernel_cache, resources
from stereo3d.install import doctor


def of(findings, code):
    return [f for f in findings if f.code == code]


def add_wheel(folder: Path, name: str, version: str, module: str, source: str = "") -> None:
    """An installed distribution as importlib.metadata sees it: one module and its .dist-info."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "top_level.txt").write_text(module + "\n")
    (folder / f"{module}.py").write_text(source)


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A folder that stands before all others on the path, here and in the doctor's child processes."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    importlib.invalidate_caches()
    return tmp_path


def only_require(monkeypatch, *lines):
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: list(lines))


@pytest.fixture(scope="module")
def here():
    return doctor.check()


def test_this_installation_has_no_errors(here):
    assert [f.message for f in here if f.severity == "error"] == []


def test_every_dependency_is_reported_with_the_version_that_is_imported(here):
    wanted = [line for line in importlib.metadata.requires("stereo3d") if "extra ==" not in line]
    applying = [line for line in wanted if not line.startswith("open3d")]  # one of the two applies
    reported = {f.message.split()[0]: f for f in of(here, "dependency")}
    assert len(reported) == len(applying) + 1
    for name, attribute in [("numpy", "numpy"), ("numba", "numba"), ("scipy", "scipy"), ("trimesh", "trimesh")]:
        code = f"import {attribute}; print({attribute}.__version__)"
        imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert reported[name].numbers["version"] == imported.strip()


def test_all_findings_have_a_severity_and_trouble_has_advice(here):
    for finding in here:
        assert finding.severity in ("info", "warning", "error")
        assert finding.message.endswith(".")
        assert finding.advice or finding.severity == "info"
    assert {f.code for f in here} >= {"python", "version", "dependency", "memory", "cores", "disk", "kernel_cache"}


# ---------------------------------------------------------------------------------------------- broken installations


def test_an_old_version_is_named_with_the_one_needed(environment, monkeypatch):
    add_wheel(environment, "oldish", "1.9", "oldish")
    only_require(monkeypatch, "oldish>=1.10")  # 1.9 < 1.10 as versions, not as strings
    (finding,) = doctor._dependencies()
    assert (finding.severity, finding.numbers) == ("error", {"version": "1.9", "needed": ">=1.10"})
    assert finding.advice.endswith("-m pip install 'oldish>=1.10'")


def test_a_missing_distribution(monkeypatch):
    only_require(monkeypatch, "no-such-distribution>=2", "nor-this-one; sys_platform == 'a-platform-that-is-none'")
    (finding,) = doctor._dependencies()
    assert finding.severity == "error" and "no-such-distribution is not installed" in finding.message


@pytest.mark.parametrize(
    "library, package",
    [
        ("libusb-1.0.so.0", "libusb-1.0-0"),
        ("libGL.so.1", "libgl1"),
        ("libEGL.so.1", "libegl1"),
        ("libX11.so.6", "libx11-6"),
        ("libgthread-2.0.so.0", "libglib2.0-0"),
        ("libglib-2.0.so.0", "libglib2.0-0"),
        ("libgomp.so.1", "libgomp1"),
    ],
)
def test_a_missing_system_library_gives_its_package(environment, monkeypatch, library, package):
    # the loader's own words, with the name put in
    with pytest.raises(OSError) as error:
        ctypes.CDLL("libno-such-thing.so.7")
    text = str(error.value).replace("libno-such-thing.so.7", library)
    add_wheel(environment, "needy", "1.0", "needy", f"raise ImportError({text!r})")
    only_require(monkeypatch, "needy>=1")
    (finding,) = doctor._dependencies()
    assert (finding.code, finding.severity) == ("system_library", "error")
    assert library in finding.message
    assert finding.advice.endswith(f"apt-get install -y {package}")
    assert doctor.missing_packages() == [package]


def test_a_library_of_no_known_package_is_still_named(environment, monkeypatch):
    source = "import ctypes; ctypes.CDLL('libno-such-thing.so.7')"
    add_wheel(environment, "needy", "1.0", "needy", source)
    only_require(monkeypatch, "needy")
    (finding,) = doctor._dependencies()
    assert finding.code == "system_library" and "libno-such-thing.so.7" in finding.message
    assert "apt-file search libno-such-thing.so.7" in finding.advice
    assert doctor.missing_packages() == []


def test_an_import_that_raises_or_crashes_is_a_finding(environment, monkeypatch):
    add_wheel(environment, "raises", "1.0", "raises", "raise RuntimeError('half unpacked')")
    add_wheel(environment, "crashes", "2.0", "crashes", "import os; os.abort()")
    only_require(monkeypatch, "raises>=1", "crashes>=1")
    raised, crashed = doctor._dependencies()
    assert "raises 1.0 cannot be imported: RuntimeError: half unpacked." == raised.message
    assert "SIGABRT" in crashed.message and crashed.advice.endswith("crashes==2.0")


def test_several_opencv_wheels_are_found(environment):
    assert doctor._doubles() == []
    add_wheel(environment, "opencv-contrib-python-headless", "4.11.0.86", "spare")
    (finding,) = doctor._doubles()
    assert finding.code == "double_wheel" and finding.severity == "error"
    assert "opencv-python" in finding.numbers and finding.numbers["opencv-contrib-python-headless"] == "4.11.0.86"
    assert "uninstall -y opencv-python opencv-contrib-python-headless" in finding.advice
    assert finding.advice.endswith("install opencv-python")


def test_another_wheel_of_the_family_meets_the_requirement(environment, monkeypatch):
    add_wheel(environment, "opencv-python-headless", "4.11.0.86", "spare")
    installed = doctor._installed()
    installed.pop("opencv-python")
    monkeypatch.setattr("stereo3d.install.doctor._installed", lambda: installed)
    only_require(monkeypatch, "opencv-python>=4.10")
    (finding,) = doctor._dependencies()
    assert finding.severity == "info" and finding.message.startswith("opencv-python-headless 4.11.0.86")


def test_both_open3d_wheels_are_found(environment):
    present = [name for name in ("open3d", "open3d-cpu") if name in doctor._installed()]
    (absent,) = {"open3d", "open3d-cpu"} - set(present)
    add_wheel(environment, absent, "0.19.0", "spare")
    (finding,) = doctor._doubles()
    assert set(finding.numbers) == {"open3d", "open3d-cpu"}


def test_a_mixed_opencv_lacks_parts(environment):
    (environment / "cv2.py").write_text("def ORB_create(): pass")
    (finding,) = of(doctor._parts(), "opencv_parts")
    assert finding.severity == "error"
    assert finding.numbers == {"SIFT_create": False, "ORB_create": True, "StereoSGBM_create": False}


def test_little_memory_and_a_full_disk_are_warned_of(monkeypatch):
    monkeypatch.setattr("stereo3d.resources.total_memory", lambda: 4 * 2**30)
    monkeypatch.setattr("stereo3d.resources.available_memory", lambda: 2**29)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: type("usage", (), {"free": 10**6}))
    found = {f.code: f for f in doctor._machine()}
    assert found["memory"].severity == found["disk"].severity == "warning"
    assert "4.0 GB, 0.5 GB" in found["memory"].message and "--max-size" in found["memory"].advice


def test_memory_and_cores_equal_those_of_the_system():
    total, available = resources.total_memory(), resources.available_memory()
    assert 0 < available <= total <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 1.001
    assert 1 <= resources.processors() <= os.cpu_count()


def test_the_kernel_cache_is_where_numba_puts_it(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))
    (finding,) = doctor._kernel_cache()
    assert finding.severity == "info"
    assert Path(finding.numbers["folder"]).is_relative_to(tmp_path / "kernels")


def test_a_kernel_cache_that_numba_does_not_take_is_warned_of(monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", os.devnull + "/kernels")  # below a device not even root can make a folder
    (finding,) = doctor._kernel_cache()
    assert finding.severity == "warning" and os.devnull in finding.message
    assert not finding.numbers["folder"].startswith(os.devnull)


def test_an_import_that_a_busy_machine_does_not_end_is_no_error(monkeypatch):
    monkeypatch.setattr(doctor, "_TIME", 0.01)
    status, output = doctor._run("import time; time.sleep(9)")
    finding = doctor._import_failure("open3d-cpu", "0.20.0", "open3d", status, output)
    assert finding.severity == "warning" and "could not be checked" in finding.message
    assert "reinstall" not in finding.advice and "doctor again" in finding.advice


def test_no_room_for_kernels_is_warned_of(monkeypatch):
    monkeypatch.setattr("stereo3d.install.doctor._CACHE", """print('["", ""]')""")  # no folder can be written
    (finding,) = doctor._kernel_cache()
    assert finding.severity == "warning" and finding.advice.startswith("export NUMBA_CACHE_DIR=")


def test_kernels_that_cannot_be_written_are_no_warning_where_they_can_be_loaded(tmp_path, monkeypatch):
    """As in an image with a read-only root, with and without a folder for temporary files."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    package = Path(doctor.__file__).parents[1]
    first = "import sys; from stereo3d import kernel_cache as k; print(next(k.cache_folders(sys.argv[1])))"
    place = Path(doctor._run(first, str(package / "mesh" / "decimation.py"))[1].strip())
    place.mkdir()
    assert place.parent == tmp_path
    assert json.loads(doctor._run(doctor._CACHE, str(package.parent))[1])[1] != str(tmp_path), "no kernel is there yet"
    Path(kernel_cache.CacheFile(place, "a_kernel", "stamp")._index_path).touch()
    beside_sources = any(package.rglob("__pycache__/*.index"))  # of runs of this checkout that kept kernels there
    assert beside_sources or json.loads(doctor._run(doctor._CACHE, str(package.parent))[1])[1] == str(tmp_path)
    for folder in ("", str(tmp_path.parent / "elsewhere")):
        printed = json.dumps([folder, str(tmp_path)])
        monkeypatch.setattr("stereo3d.install.doctor._CACHE", f"print({printed!r})")
        (finding,) = doctor._kernel_cache()
        assert finding.severity == "info" and f"loaded from {tmp_path}" in finding.message


def test_not_installed_at_all(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "metadata", absent)
    monkeypatch.setattr(importlib.metadata, "requires", absent)
    (finding,) = doctor._versions()
    assert finding.severity == "error" and "pip install -e" in finding.advice
    assert doctor._dependencies() == []


def test_an_unfitting_python_and_a_stale_installation(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: {"Version": "0.0.1", "Requires-Python": ">=99"})
    version, python = doctor._versions()
    assert version.severity == "warning" and "0.0.1" in version.message
    assert python.severity == "error" and ">=99" in python.message


def test_networks_are_an_extra_whose_absence_is_no_fault(monkeypatch):
    monkeypatch.setattr(doctor, "_installed", lambda: {})
    (found,) = doctor._networks()
    assert found.severity == "info" and "not installed" in found.message and "pip install onnxruntime" in found.advice
    monkeypatch.setattr(doctor, "_installed", lambda: {"onnxruntime-gpu": "1.2.3"})
    monkeypatch.setattr(doctor, "_run", lambda code: (1, "ImportError: libcudart.so.12"))
    (found,) = doctor._networks()
    assert found.severity == "warning" and "libcudart" in found.message and "1.2.3" in found.message
    monkeypatch.setattr(doctor, "_run", lambda code: (0, "CPUExecutionProvider\n"))
    assert doctor._networks()[0].message == "onnxruntime-gpu 1.2.3 runs networks on: CPUExecutionProvider."
