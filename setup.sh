#!/usr/bin/env bash
# Set up .venv for stereo3d: a Python, pinned packages with checked hashes and, through apt, missing system libraries.
#   ./setup.sh         what the tool needs: constraints.txt
#   ./setup.sh test    also what its tests and its documentation need: constraints-test.txt
# Does nothing if nothing has changed since the last time. PYTHON=... chooses the interpreter of a new .venv.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")"

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

# apt_install PACKAGE...: succeeds if the packages were installed. Needs apt-get, and root or sudo; sudo asks for a password
# only at a terminal.
apt_install() {
    command -v apt-get >/dev/null || return 1
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || return 1
        if sudo -n true 2>/dev/null; then root=(sudo -n); elif [ -t 0 ]; then root=(sudo); else return 1; fi
    fi
    say "installing $* by apt-get"
    # If a repository cannot be reached, the package lists may still be good enough: the install below will show it.
    "${root[@]}" apt-get update -qq || true
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends \
        "$@" </dev/null >/dev/null
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
        python=$(find_python) || fail "Python 3.11 or newer is needed; this machine has $(python3 --version 2>&1 || true)." \
            "On Debian 12 or newer: apt-get install python3 python3-venv; on Ubuntu 22.04: apt-get install python3.11-venv." \
            "If it is installed elsewhere: make demo PYTHON=/path/to/python3.11"
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "python$version-venv" || true
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            fail "$python cannot make virtual environments. As root: apt-get install python$version-venv"
    fi
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
}

importable() { .venv/bin/python -c "import $1" >/dev/null 2>&1; }

extra=${1:-}
case "$extra" in "" | test) ;; *) fail "usage: ./setup.sh [test]" ;; esac

# The stamp is a checksum of what the set-up depends on, the path of this folder included: a venv cannot be moved.
key=$({ echo "$PWD"; cat setup.sh pyproject.toml constraints*.txt; } | cksum)
done_for() { [ -x .venv/bin/python ] && [ "$(cat ".venv/.done-$1" 2>/dev/null)" = "$key" ]; }
if done_for test || done_for "${extra:-run}"; then exit 0; fi

# Make a new .venv if this one was moved here or was left unfinished.
if ! new_enough .venv/bin/python || [ "$(.venv/bin/python -c 'import sys; print(sys.prefix)')" != "$PWD/.venv" ] ||
    ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    make_venv
fi

say "installing the pinned Python packages (about 1 GB on disk the first time)"
# A hash can be stated for files of the index only, so stereo3d itself is installed on its own, by the pinned setuptools.
.venv/bin/python -m pip install -q --require-hashes -r "constraints${extra:+-test}.txt" &&
    .venv/bin/python -m pip install -q --no-deps --no-build-isolation -e . || fail "pip could not install the packages (above)."

if ! importable cv2 || ! importable open3d; then
    packages=$(.venv/bin/python -c 'from stereo3d.install.doctor import missing_packages; print(*missing_packages())')
    # shellcheck disable=SC2086  # a list of words
    if [ -n "$packages" ] && ! apt_install $packages; then
        say "system libraries are missing. As root: apt-get install $packages"
    fi
    importable cv2 || fail "OpenCV cannot be imported: $(.venv/bin/python -c 'import cv2' 2>&1 | tail -n 1)"
    importable open3d || say "continuing without Open3D: meshes come from the grid mesher, not Poisson. See: stereo3d doctor"
fi
# The tests of HTML pages need a browser; without one they are skipped.
if [ "$extra" = test ] && ! { command -v chromium && command -v chromedriver; } >/dev/null; then
    apt_install chromium chromium-driver || say "continuing without chromium: HTML pages are not tested." \
        "As root on Debian: apt-get install chromium chromium-driver"
fi
echo "$key" >".venv/.done-${extra:-run}"
