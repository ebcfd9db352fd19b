"""Carry out the steps of the Dockerfile in a bare Debian root, then run the program there as a container would.

    debootstrap --variant=minbase bookworm ROOT
    python3 .ci/image.py ROOT            # build, then check
    python3 .ci/image.py ROOT --check    # check a root that was built

For machines without Docker; needs root. The instructions are read from the Dockerfile itself. The check has a
read-only root and /tmp, no network, no home folder, and a user whom the root does not know: what `docker run
--read-only --network none --user 12345` gives.
"""

import argparse
import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KNOWN = {"FROM", "ARG", "ENV", "COPY", "RUN", "WORKDIR", "USER", "ENTRYPOINT", "CMD"}
UID = 12345  # no user of the image


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile, each (name, argument), continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, _, argument = line.strip().partition(" ")
        if name not in KNOWN:
            raise ValueError(f"unknown instruction {name}")
        found.append((name, argument.strip()))
    return found


def ignored(name: str, patterns: list[str]) -> bool:
    """Return whether .dockerignore leaves out a file, named relative to the context; the last match counts."""
    parts = name.split("/")
    whole = ["/".join(parts[: k + 1]) for k in range(len(parts))]
    result = False
    for pattern in patterns:
        keep = pattern.startswith("!")
        pattern = pattern.removeprefix("!")
        names = parts if pattern.startswith("**/") else whole
        if any(fnmatch.fnmatchcase(one, pattern.removeprefix("**/")) for one in names):
            result = not keep
    return result


def context(folder: Path) -> list[str]:
    """Return the names of the files that the builder gets."""
    text = (folder / ".dockerignore").read_text(encoding="utf-8")
    patterns = [line for line in text.splitlines() if line and not line.startswith("#")]
    kept = [line[1:] for line in patterns if line.startswith("!")]  # those under an allowed name
    files = [path for name in kept for path in (folder / name, *(folder / name).rglob("*")) if path.is_file()]
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    return [name for name in names if not ignored(name, patterns)]


def copy(root: Path, argument: str) -> None:
    """Carry out COPY: files into a folder, or a folder as the target."""
    *sources, target = argument.split()
    files = context(ROOT)
    for source in sources:
        chosen = [name for name in files if name == source or name.startswith(source + "/")]
        if not chosen:
            raise SystemExit(f"COPY {source}: .dockerignore leaves it out, or there is no such file")
        for name in chosen:
            inside = name if name == source else name.removeprefix(source + "/")
            place = root / target.lstrip("/") / inside
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, place)


# arguments: root, command...
INSIDE = """
root=$1; shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" "$@"
"""
# arguments: root, photos, user, command...
CONTAINED = """
root=$1; photos=$2; user=$3; shift 3
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$photos" "$root/photos"
exec chroot --userspec="$user" "$root" "$@"
"""


def build(root: Path, steps: list[tuple[str, str]]) -> dict[str, str]:
    """Carry out all instructions in the root; return the environment that they set."""
    arguments: dict[str, str] = {}
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    outside = {}
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")  # as Docker does
    if certificate := os.environ.get("PIP_CERT"):  # of this machine's way to the package index
        shutil.copyfile(certificate, root / "etc/outside-certificates.crt")
        outside["PIP_CERT"] = "/etc/outside-certificates.crt"
    for name, argument in steps:
        print(f"{name} {argument}", flush=True)
        if name == "ARG":
            key, _, default = argument.partition("=")
            arguments[key] = os.environ.get(key, default)
        elif name == "ENV":
            for word in shlex.split(argument):
                key, _, value = word.partition("=")
                environment[key] = re.sub(r"\$(\w+)", lambda m: {**environment, **arguments}[m[1]], value)
        elif name == "COPY":
            copy(root, argument)
        elif name == "WORKDIR":
            (root / argument.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif name == "RUN":
            shown = [f"{key}={value}" for key, value in {**outside, **environment}.items()]
            command = ["unshare", "--mount", "--pid", "--fork", "sh", "-ec", INSIDE, "sh", str(root)]
            subprocess.run([*command, "env", "-i", *shown, "/bin/sh", "-c", argument], check=True)
    for path in (root / "usr/local/stereo3d").rglob("*"):  # layers keep whole seconds
        if path.is_file() and not path.is_symlink():
            seconds = int(path.stat().st_mtime)
            os.utime(path, (seconds, seconds))
    return environment


def contained(root: Path, photos: Path, environment: dict[str, str], command: list[str]) -> str:
    """Run a command as a container of the image would; return what it printed."""
    shown = [f"{key}={value}" for key, value in {"HOME": "/", **environment}.items()]
    outer = ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-ec", CONTAINED, "sh", str(root), str(photos)]
    inner = ["env", "-i", "-C", "/photos", *shown, *command]
    print("  ", shlex.join(command), flush=True)
    run = subprocess.run([*outer, f"{UID}:{UID}", *inner], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(run.stdout, end="", flush=True)
    if run.returncode:
        raise SystemExit(f"exit code {run.returncode}")
    return run.stdout


def check(root: Path, environment: dict[str, str], entry: list[str]) -> None:
    """Run the entry point with a read-only root, no network and an unknown user."""
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder)
        for name in ("left.jpg", "right.jpg"):
            shutil.copyfile(ROOT / "data" / "demo" / name, photos / name)
        photos.chmod(0o755)
        os.chown(photos, UID, UID)
        refused = "touch /file || touch /tmp/file || touch /usr/local/stereo3d/file || exit 0; exit 1"
        contained(root, photos, environment, ["sh", "-c", refused])
        contained(root, photos, environment, ["sh", "-c", f'test "$(id -u)" = {UID} && ! id -un 2>/dev/null'])
        contained(root, photos, environment, [*entry, "doctor"])
        names = ["left.jpg", "right.jpg", "-o", "model.glb", "--report", "model.html"]
        printed = contained(root, photos, environment, [*entry, *names])
        if "compil" in printed:
            raise SystemExit("kernels were compiled again")
        made = {path.name: path.stat().st_uid for path in photos.iterdir() if path.name.startswith("model")}
        if made != {"model.glb": UID, "model.html": UID}:
            raise SystemExit(f"unexpected files: {made}")
    print("image: read-only, without network, as an unknown user: doctor and demo pass, no kernel was compiled")


def main() -> None:
    """Build and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--check", action="store_true", help="do not build")
    given = parser.parse_args()
    root = given.root.resolve()
    if os.geteuid() or not (root / "bin").exists():
        raise SystemExit("run it as root, on a root made by debootstrap")
    steps = instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    kept = root / "environment.json"
    if not given.check:
        kept.write_text(json.dumps(build(root, steps)), encoding="utf-8")
    environment = json.loads(kept.read_text(encoding="utf-8"))
    check(root, environment, json.loads(dict(steps)["ENTRYPOINT"]))


if __name__ == "__main__":
    sys.exit(main())
