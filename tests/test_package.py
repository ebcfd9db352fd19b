"""The package as it is given out: its files, what they state, the container's steps, and the set-up's questions."""

import importlib.util
import os
import pty
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def listed() -> set[str]:
    """Return the names of the files under version control, or that would be."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a checkout")
    return {name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()}


# ------------------------------------------------------------------------------------------- archive and wheel


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source archive of a copy of the checkout, and the wheel made from that archive unpacked."""
    folder = tmp_path_factory.mktemp("package")
    for name in listed():
        (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / "copy" / name)
    code = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"

    def build(kind, place):
        command = [sys.executable, "-c", code, kind, str(folder)]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    build("build_sdist", folder / "copy")
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    build("build_wheel", unpacked)
    (wheel,) = folder.glob("*.whl")
    return unpacked, wheel


def test_the_source_archive_holds_all_that_the_repository_does(built):
    unpacked, _ = built
    there = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    made = {name for name in there if ".egg-info/" in name or name.startswith("build/")} | {"PKG-INFO", "setup.cfg"}
    assert there - made == listed()


def test_the_wheel_holds_the_package_and_nothing_else(built):
    _, wheel = built
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {name for name in listed() if name.startswith("stereo3d/")}
    assert {name for name in names if ".dist-info/" not in name} == package
    data = {".py", ".pyi", ".html", ".js", ".css", ".typed", ".npz", ".txt"}
    assert {Path(name).suffix or Path(name).name for name in package} <= data
    assert {
        "stereo3d/py.typed",
        "stereo3d/__init__.pyi",
        "stereo3d/output/html/report.html",
        "stereo3d/install/kernels.txt",
    } <= names


def test_the_metadata_of_the_wheel(built):
    _, wheel = built
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        stated = archive.read(name).decode()
        licences = {n.rpartition("/")[2] for n in archive.namelist() if ".dist-info/licenses/" in n}
    fields = [line.partition(": ")[::2] for line in stated.partition("\n\n")[0].splitlines()]
    values = {key: [v for k, v in fields if k == key] for key, _ in fields}
    assert values["License-Expression"] == ["MIT"] and licences == {"LICENSE", "THIRD_PARTY.md"}
    assert values["Description-Content-Type"] == ["text/markdown"] and "\n# stereo3d\n" in stated
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():  # all of it but pictures and links
        assert line in stated or re.search(r"[\[\]]", line), line
    assert "Picture: The demo pair reconstructed" in stated and "the table of systems (`docs/install.md`)." in stated
    assert not re.search(r"!\[|data:image|\]\((?!https?://)", stated), "it would show a broken picture or lead nowhere"
    assert values["Version"] == [PROJECT["version"]]
    assert not [c for c in values["Classifier"] if c.startswith("License ::")], (
        "the expression alone states the licence"
    )
    assert "Project-URL" not in values and "Home-page" not in values, "no address is known"


def test_links_between_the_pages_lead_somewhere():
    for path in (*ROOT.glob("*.md"), ROOT / "docs" / "install.md"):
        for link in re.findall(r"\]\(([^)#:]+)[^):]*\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_the_version_is_the_same_everywhere():
    import stereo3d

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert stereo3d.__version__ == PROJECT["version"] == str(citation["version"])
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"[{PROJECT['version']}]" in changes or "## [Unreleased]" in changes
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Known limits"}
    assert set(re.findall(r"(?m)^### (.+)$", changes)) <= kinds


def test_the_citation_has_what_its_schema_requires():
    """Keys and values of the Citation File Format 1.2.0, as its schema has them."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    known = {"cff-version", "message", "title", "authors", "abstract", "type", "version", "license", "keywords"}
    assert set(citation) <= known
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert citation["authors"] and all(set(author) == {"name"} for author in citation["authors"])
    assert citation["license"] == PROJECT["license"]
    assert len(set(citation["keywords"])) == len(citation["keywords"])


def test_the_bundled_libraries_are_named():
    """Each shared library in a wheel of a requirement, the optional one too, stands in THIRD_PARTY.md.

    So does each requirement whose own licence asks for more than its notice.
    """
    text = (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8")
    patterns = set(re.findall(r"`([\w.*-]+)`", text))
    pinned = re.findall(r"(?m)^([\w.-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"))
    found, demanding = set(), set()
    for name in (*pinned, "rawpy"):
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        for file in distribution.files or []:
            if ".so" in file.name and (file.parts[0].endswith(".libs") or file.name.startswith("lib")):
                found.add(re.sub(r"(-r0)?(-[0-9a-f]{8})*(\.[\d.]+)?\.so.*", "", file.name))
        facts = distribution.metadata
        stated = [facts.get("License-Expression") or facts.get("License") or "", *facts.get_all("Classifier", [])]
        if any(re.search(r"\bA?L?GPL|GNU |Mozilla|\bMPL|\bEPL|CC-BY-(SA|NC)", line[:200]) for line in stated):
            demanding.add(name)
    if "libx265" not in found:
        pytest.skip("no wheels of Linux")
    assert {"libOpen3D", "libllvmlite", "libqxcb"} <= found and "certifi" in demanding
    assert sorted(name for name in demanding if not re.search(rf"(?m)^\| {name}\b", text)) == []
    assert sorted(lib for lib in found if not any(fnmatchcase(lib, pattern) for pattern in patterns)) == []


# ------------------------------------------------------------------------------------------------- the container


@pytest.fixture(scope="module")
def image():
    spec = importlib.util.spec_from_file_location("image", ROOT / ".ci" / "image.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_steps_of_the_container(image):
    steps = image.instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    names = [name for name, _ in steps]
    assert names[0] == "FROM" and names.count("ENTRYPOINT") == 1
    user = dict(steps)["USER"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user), "a number, not root"
    assert names.index("USER") > max(k for k, name in enumerate(names) if name == "RUN")
    runs = [argument for name, argument in steps if name == "RUN"]
    assert any("--require-hashes" in run for run in runs) and "warmup" in runs[-1]
    cache = next(argument for name, argument in steps if name == "ENV" and "NUMBA_CACHE_DIR" in argument)
    assert names.index("ENV") < len(names) - 1 - names[::-1].index("RUN"), cache
    missing = [name for name in runs[0].split() if name.startswith("lib")]
    from stereo3d.install.doctor import APT_PACKAGES

    assert set(missing) <= set(APT_PACKAGES.values())


def test_the_container_gets_what_it_copies_and_nothing_else(image):
    files = image.context(ROOT)
    wanted = {"constraints.txt", *PROJECT["license-files"], "README.md", "pyproject.toml", "setup.py"}
    package = {name for name in listed() if name.startswith("stereo3d/")}
    assert set(files) == wanted | package
    for name, argument in image.instructions((ROOT / "Dockerfile").read_text(encoding="utf-8")):
        if name == "COPY":
            for source in argument.split()[:-1]:
                assert any(file == source or file.startswith(source + "/") for file in files), source


def test_dockerfiles_are_read(image):
    text = '# a comment\nFROM a\n\nRUN one \\\n    # between\n    && two\nENV A=1 B="2 3"\n'
    assert image.instructions(text) == [("FROM", "a"), ("RUN", "one      && two"), ("ENV", 'A=1 B="2 3"')]
    with pytest.raises(ValueError, match="VOLUME"):
        image.instructions("VOLUME /data\n")
    patterns = ["*", "!kept", "**/__pycache__"]
    assert [image.ignored(n, patterns) for n in ("kept/a.py", "kept/b/__pycache__/a.pyc", "other")] == [
        False,
        True,
        True,
    ]


# --------------------------------------------------------------------------------------------------- the set-up

STUBS = {
    "id": "echo $USER_ID",
    "sudo": 'echo "sudo $*" >>calls',
    "apt-get": 'echo "apt-get $*" >>calls',
    # a Python that cannot make environments, as Debian's without python3-venv
    "python3.11": 'case "$2" in *ensurepip*) exit 1 ;; *%d.%d*) echo 3.11 ;; *) exit 0 ;; esac',
}


@pytest.fixture
def setup(tmp_path):
    """Run setup.sh in a folder of its own, with commands that only write down how they were called."""
    shutil.copy(ROOT / "setup.sh", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    (tmp_path / "bin").mkdir()
    for name, body in STUBS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    environment.pop("PYTHON", None)

    def run(*args, uid=1000, answer=None):
        (tmp_path / "calls").unlink(missing_ok=True)
        control, terminal = pty.openpty() if answer is not None else (None, subprocess.DEVNULL)
        if answer is not None:
            os.write(control, f"{answer}\n".encode())
        done = subprocess.run(
            ["bash", tmp_path / "setup.sh", *args],
            stdin=terminal,
            capture_output=True,
            text=True,
            timeout=60,
            env=environment | {"USER_ID": str(uid)},
        )
        if answer is not None:
            os.close(control)
            os.close(terminal)
        calls = tmp_path / "calls"
        return done.returncode, done.stderr, calls.read_text().splitlines() if calls.exists() else []

    return run


def test_without_an_answer_the_set_up_prints_the_command_and_uses_no_sudo(setup):
    code, printed, calls = setup()
    assert code == 3 and calls == []
    assert "sudo apt-get install python3.11-venv" in printed and "--yes" in printed
    assert "this will make .venv" in printed.splitlines()[0]


@pytest.mark.parametrize("answer, used", [("y", True), ("n", False), ("", False)])
def test_at_a_terminal_the_set_up_asks_before_sudo(setup, answer, used):
    code, printed, calls = setup(answer=answer)
    assert code == 3, "the stub installs nothing"
    assert "run this now?  sudo apt-get install python3.11-venv" in printed
    assert (len(calls) == 2 and all(call.startswith("sudo ") for call in calls)) if used else calls == []


def test_yes_uses_sudo_without_a_question(setup):
    _, printed, calls = setup("--yes")
    assert "run this now?" not in printed
    assert len(calls) == 2 and all(call.startswith("sudo -n ") for call in calls), "nobody can type a password"
    assert calls[1].endswith("--no-install-recommends python3.11-venv")


def test_root_needs_neither_sudo_nor_an_answer(setup):
    _, printed, calls = setup("test", uid=0)
    assert "run this now?" not in printed and [call.split()[0] for call in calls] == ["apt-get", "apt-get"]


def test_wrong_arguments_of_the_set_up(setup):
    for args in (("--why",), ("tests",)):
        code, printed, calls = setup(*args)
        assert code == 2 and "usage: ./setup.sh [test] [--yes]" in printed and calls == []
