#!/usr/bin/env bash
# Build the wheel and the source archive; install the wheel outside the repository, and use it there as a user would.
#   .ci/package.sh           as CI does: with the Python of .venv, `stereo3d doctor`, what a newcomer types, and a
#                            type check of a user's script
#   .ci/package.sh --all     with every Python that this machine has, the demo at its full size (`make package`)
# The wheel is built from the unpacked archive. Both stay in out/dist. Needs what ./setup.sh test installs.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
repository=$PWD
all=no
[ "${1:-}" != --all ] || all=yes

say() { printf 'package: %s\n' "$*"; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset PYTHONPATH PYTHONHOME
export PYTHONNOUSERSITE=1

# setuptools leaves its own files in the folder that it builds from
mkdir "$scratch/copy"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$scratch/copy"
rm -rf out/dist
mkdir -p out/dist
build='import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])'
(cd "$scratch/copy" && "$repository/.venv/bin/python" -c "$build" "$repository/out/dist" >/dev/null)
tar -xzf out/dist/stereo3d-*.tar.gz -C "$scratch"
source=$(echo "$scratch"/stereo3d-*)
.venv/bin/python -m pip wheel -q --no-deps --no-build-isolation -w out/dist "$source"
.venv/bin/twine check --strict out/dist/*
ls -s -h out/dist

# pythons: this machine's interpreters, that of .venv first
pythons() {
    echo .venv/bin/python
    local version path
    for version in 3.11 3.12 3.13; do
        .venv/bin/python -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] == '$version')" || continue
        for path in "$(command -v "python$version" || true)" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
            if "$path" -c 'import sys' 2>/dev/null; then
                echo "$path"
                break
            fi
        done
    done
}

# install PYTHON ARGUMENTS: by uv, which is quicker; by pip where the package index is one that only pip is told of
install() {
    local python=$1
    shift
    .venv/bin/uv pip install -q --python "$python" "$@" || .venv/bin/python -m pip --python "$python" install -q "$@"
}

# check_types PYTHON: the script passes, a misspelt argument and a wrong type do not
check_types() {
    mkdir -p types
    cp "$source/.ci/user_script.py" types/right.py
    sed 's/max_size=/max_sise=/' types/right.py >types/misspelt.py
    sed 's/max_size=1200/max_size="large"/' types/right.py >types/wrong_type.py
    echo '{"typeCheckingMode": "strict", "include": ["types"]}' >pyrightconfig.json
    "$repository/.venv/bin/basedpyright" --level error --outputjson --pythonpath "$1" >types.json || true
    "$1" - <<'PYTHON'
import json
from pathlib import Path

found = {(Path(e["file"]).stem, e.get("rule")) for e in json.loads(Path("types.json").read_text())["generalDiagnostics"]}
wanted = {("misspelt", "reportCallIssue"), ("wrong_type", "reportArgumentType")}
print("types:", sorted(found))
raise SystemExit(found != wanted)
PYTHON
}

while read -r python; do
    version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
    say "Python $version: a bare environment outside the repository"
    venv=$scratch/venv-$version
    mkdir "$scratch/user-$version"
    .venv/bin/uv venv -q --python "$python" "$venv"
    install "$venv/bin/python" --require-hashes -r constraints.txt
    install "$venv/bin/python" --no-deps out/dist/*.whl
    (
        cd "$scratch/user-$version"
        "$venv/bin/stereo3d" doctor
        [ "$all" = yes ] && small=() || small=(--max-size 640 --matcher sgm --no-progress)  # fewer kernels to compile
        cp "$source/data/demo/left.jpg" a.jpg
        cp "$source/data/demo/right.jpg" b.jpg
        "$venv/bin/stereo3d" a.jpg b.jpg "${small[@]}" | tee said.txt  # a newcomer types no more than the photos
        test -s a.glb && grep -q 'next: look at it: stereo3d view a.glb' said.txt
        "$venv/bin/stereo3d" view a.glb --no-open && grep -q '</html>' a-view.html
        check_types "$venv/bin/python"
    ) </dev/null
    [ "$all" = yes ] || break
done < <(pythons)
say "wheel and source archive pass"
