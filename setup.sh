#!/usr/bin/env bash
# Set up .venv for stereo3d: a Python, pinned packages with checked hashes and, through apt, missing system libraries.
#   ./setup.sh         what the tool needs: constraints.txt
#   ./setup.sh test    also what its tests and its documentation need: constraints-test.txt
#   ./setup.sh --yes   do not ask before sudo is used
# Does nothing if nothing has changed since the last time. PYTHON=... chooses the interpreter of a new .venv.
# Exit codes: 0 done; 1 failed; 2 wrong arguments; 3 system packages are missing, and may not be installed without an
# answer; 130 interrupted.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")"

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }
trap 'say "interrupted. ./setup.sh again goes on from here."; exit 130' INT

yes=no
extra=
for argument in "$@"; do
    case "$argument" in
        -y | --yes) yes=yes ;;
        test) extra="test" ;;
        -h | --help) sed -n 's/^# \?//; 2,8p' "${BASH_SOURCE[0]}"; exit 0 ;;
        *) say "usage: ./setup.sh [test] [--yes]"; exit 2 ;;
    esac
done

# may_sudo COMMAND: whether the user lets sudo be used, for the command that is shown.
may_sudo() {
    command -v sudo >/dev/null || return 1
    [ "$yes" = no ] || return 0
    [ -t 0 ] || return 1
    local answer
    printf 'setup: run this now?  sudo %s  [y/N] ' "$1" >&2
    read -r answer || return 1
    case "$answer" in y | Y | yes) return 0 ;; *) return 1 ;; esac
}

# apt_install PACKAGE...: succeeds if the packages were installed. Needs apt-get, and to be root or to be allowed sudo.
apt_install() {
    command -v apt-get >/dev/null || return 1
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        may_sudo "apt-get install $*" || return 1
        root=(sudo)
        [ -t 0 ] || root+=(-n) # nobody can type a password
    fi
    say "${root[*]:+${root[*]} }apt-get install $*"
    # If a repository cannot be reached, the package lists may still be good enough: the install below will show it.
    "${root[@]}" apt-get update -qq || true
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends \
        "$@" </dev/null >/dev/null
}

# lacking PACKAGE...: end, with the command that installs what is missing.
lacking() {
    say "system packages are missing. On Debian or Ubuntu run this, then ./setup.sh again; ./setup.sh --yes runs it for you:"
    say "  sudo apt-get install $*"
    exit 3
}

say_next() {
    say "next:  .venv/bin/stereo3d LEFT.jpg RIGHT.jpg -o model.glb --preview model.png"
    say "       or first  . .venv/bin/activate  then  stereo3d --help  (stereo3d doctor checks the installation)"
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11 or newer."
        echo "$PYTHON"
        return
    fi
    for candidate in python3.11 python3 python3.12 python3.13 python3.14; do
        if new_enough "$candidate"; then echo "$candidate"; return; fi
    done
    return 1
}

make_venv() {
    local python version
    if ! python=$(find_python); then
        [ -z "${PYTHON:-}" ] || exit 1
        command -v python3 >/dev/null || apt_install python3 python3-venv || true
        python=$(find_python) || fail "Python 3.11 or newer is needed; this machine has $(python3 --version 2>/dev/null || echo none)." \
            "On Debian 12 or newer: apt-get install python3 python3-venv; on Ubuntu 22.04: apt-get install python3.11-venv." \
            "If it is installed elsewhere: make demo PYTHON=/path/to/python3.11"
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "python$version-venv" || true
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            say "$python cannot make virtual environments."
            lacking "python$version-venv"
        fi
    fi
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv || fail "could not make .venv (above). May you write in $PWD, and in .venv if it exists?"
}

importable() { .venv/bin/python -c "import $1" >/dev/null 2>&1; }

# The stamp is a checksum of what the set-up depends on, the path of this folder included: a venv cannot be moved.
key=$({ echo "$PWD"; cat setup.sh pyproject.toml constraints*.txt; } | cksum)
done_for() { [ -x .venv/bin/python ] && [ "$(cat ".venv/.done-$1" 2>/dev/null)" = "$key" ]; }
if done_for test || done_for "${extra:-run}"; then
    [ -n "${MAKELEVEL:-}" ] || { say "nothing to do: .venv is up to date"; say_next; }
    exit 0
fi
say "this will make .venv in $PWD, install the packages of constraints${extra:+-test}.txt into it with checked hashes,"
say "and install system libraries by apt-get if some are missing$([ "$(id -u)" -eq 0 ] || [ "$yes" = yes ] ||
    echo ", if you agree"). Nothing else on this computer is changed."

# Make a new .venv if this one was moved here or was left unfinished.
if ! new_enough .venv/bin/python || [ "$(.venv/bin/python -c 'import sys; print(sys.prefix)')" != "$PWD/.venv" ] ||
    ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    make_venv
fi

say "installing the pinned Python packages (about 1 GB on disk the first time)"
# The kernels of the first run need a few packages alone, so they are compiled while all others are fetched. What fails
# here fails again below, where it is reported, or is compiled by the first run.
compile_kernels="import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
from stereo3d.install import warm_up; warm_up(every=False, helped=True)"
if awk '/^[^ #]/ { keep = /^(llvmlite|numba|numpy|psutil|scipy)==/ } keep' constraints.txt >.venv/for-kernels.txt &&
    .venv/bin/python -m pip install -q --require-hashes -r .venv/for-kernels.txt; then
    .venv/bin/python -c "$compile_kernels" >/dev/null 2>&1 &
    trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
fi 2>/dev/null
# A hash can be stated for files of the index only, so stereo3d itself is installed on its own, by the pinned setuptools.
if ! .venv/bin/python -m pip install -q --require-hashes -r "constraints${extra:+-test}.txt" ||
    ! .venv/bin/python -m pip install -q --no-deps --no-build-isolation -e .; then
    fail "pip could not install the packages (above). It needs the package index, by pip's own settings (PIP_INDEX_URL," \
        "HTTPS_PROXY), and space on the disk. ./setup.sh again goes on from here."
fi

if ! importable cv2 || ! importable open3d; then
    packages=$(.venv/bin/python -c 'from stereo3d.install.doctor import missing_packages; print(*missing_packages())')
    # shellcheck disable=SC2086  # a list of words
    if [ -n "$packages" ] && ! apt_install $packages; then
        importable cv2 || lacking $packages
        say "system libraries are missing: sudo apt-get install $packages"
    fi
    importable cv2 || fail "OpenCV cannot be imported: $(.venv/bin/python -c 'import cv2' 2>&1 | tail -n 1)"
    importable open3d || say "continuing without Open3D: meshes come from the grid mesher, not Poisson. See: stereo3d doctor"
fi
# The tests of HTML pages need a browser; without one they are skipped.
if [ "$extra" = test ] && ! { command -v chromium && command -v chromedriver; } >/dev/null; then
    apt_install chromium chromium-driver || say "continuing without chromium: HTML pages are not tested." \
        "On Debian: sudo apt-get install chromium chromium-driver"
fi
[ -z "$(jobs -pr)" ] || say "compiling the kernels of the first run"
wait
echo "$key" >".venv/.done-${extra:-run}"
say_next
