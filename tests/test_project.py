"""The project as a whole: its layers, the files under version control, the pinned requirements, a quick start."""

import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "stereo3d"

# ---------------------------------------------------------------------------------------------------- the tree


def tracked() -> list[Path]:
    """List the files under version control; outside a checkout, those that would be."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
        files = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        generated = {
            "out",
            "build",
            "dist",
            "__pycache__",
            ".venv",
            ".git",
            ".ruff_cache",
            ".pytest_cache",
            ".hypothesis",
        }
        files = [p for p in ROOT.rglob("*") if not generated & set(p.relative_to(ROOT).parts)]
        files = [p for p in files if ".egg-info" not in str(p)]
    files = [path for path in files if path.is_file()]
    assert ROOT / "pyproject.toml" in files
    return files


def test_no_file_is_large():
    assert [(str(path), size) for path in tracked() if (size := path.stat().st_size) > 3_000_000] == []


@pytest.mark.parametrize(
    "what, pattern",
    [
        ("a path of one machine", r"(?:^|[^\w.~/-])/(?:work|farm|root|home|Users|opt)/[A-Za-z.]"),
        ("a registry's address", r"pypi\.org|python[h]osted|npm[j]s|deb\.debian|debian\.org/debian|ubuntu\.com/ubuntu"),
        ("a package index", r"(?:extra-)?index-url[ =]|find-links[ =]|trusted[-]host"),
    ],
)
def test_no_file_contains(what, pattern):
    hits = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" in data:  # binary: pictures, archives
            continue
        for number, line in enumerate(data.decode("utf-8").splitlines(), 1):
            if re.search(pattern, line):
                hits.append(f"{path.relative_to(ROOT)}:{number}: {line[:120]}")
    assert hits == []


# ------------------------------------------------------------------------------------------------- the requirements


def constraints(file: str = "constraints-test.txt") -> dict[str, str]:
    """Versions by name; each with at least one hash, and no address."""
    pinned = {}
    text = re.sub(r"(?m)^#.*\n", "", (ROOT / file).read_text(encoding="utf-8")).replace("\\\n", " ")
    for line in text.splitlines():
        match = re.fullmatch(
            r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s@;#]+)( ; [^#@]*?)?( +--hash=sha256:[0-9a-f]{64})+ *", line
        )
        assert match and "://" not in line, f"{file} must hold only name==version with hashes, not {line[:80]!r}"
        name = canonicalize_name(match[1])
        assert name not in pinned or (match[3] and "python_full_version" in match[3]), f"{name} is listed twice"
        pinned[name] = match[2]
        Version(match[2])
    return pinned


def test_both_files_pin_the_same_versions_and_the_build_backend():
    everything, run = constraints(), constraints("constraints.txt")
    assert run.items() < everything.items()
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    assert build == [f"{name}=={run[name]}" for name in ("setuptools",)]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {canonicalize_name(Requirement(r).name) for r in project["dependencies"]} <= set(run)


def test_every_requirement_is_pinned_to_a_version_it_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    pinned = constraints()
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name} is not in constraints-test.txt"
        assert requirement.specifier.contains(pinned[name]), f"{requirement} does not allow {pinned[name]}"


def test_indirect_requirements_are_pinned():
    pinned, missing, seen = constraints(), [], set()
    todo = [("stereo3d", ""), ("stereo3d", "test"), ("stereo3d", "docs")]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for requirement in map(Requirement, metadata.requires(name) or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                child = canonicalize_name(requirement.name)
                if child not in pinned:
                    missing.append(f"{child}, which {name} requires")
                todo += [(child, e) for e in ("", *requirement.extras)]
    assert missing == []


def test_the_bill_of_materials_lists_what_is_installed_and_what_requires_it(tmp_path):
    subprocess.run([sys.executable, ROOT / "sbom.py", tmp_path / "new" / "sbom.json"], check=True, cwd=tmp_path)
    bill = json.loads((tmp_path / "new" / "sbom.json").read_text(encoding="utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    versions = {entry["name"]: entry["version"] for entry in bill["components"]}
    assert versions["numpy"] == metadata.version("numpy") and versions["numba"] == metadata.version("numba")
    known = {entry["bom-ref"] for entry in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    requires = {entry["ref"]: entry["dependsOn"] for entry in bill["dependencies"]}
    assert set(requires) == known and all(set(refs) <= known for refs in requires.values())
    assert f"pkg:pypi/llvmlite@{versions['llvmlite']}" in requires[f"pkg:pypi/numba@{versions['numba']}"]


# --------------------------------------------------------------------------------------------------- quick start


HELP = "import sys; sys.argv = ['stereo3d', '--help']; from stereo3d.cli import main; main()"


@pytest.mark.parametrize("code", ["import stereo3d", HELP], ids=["import", "help"])
def test_a_start_imports_nothing_heavy(code):
    heavy = {"cv2", "dask", "distributed", "open3d", "numba", "scipy", "trimesh", "PIL", "matplotlib"}
    report = f"import atexit, sys; atexit.register(lambda: print('loaded:', *sorted({heavy} & set(sys.modules))))\n"
    run = subprocess.run([sys.executable, "-c", report + code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1].split() == ["loaded:"]
