#!/usr/bin/env bash
# Builds a wheel for, and runs the Python tests on, every CPython from 3.10 to 3.14 found on PATH or
# under ~/.pyenv/versions, each in an environment of its own. The matrix asks whether it works, not
# how fast: link-time optimization is thin, so that five builds take minutes.
#
#     make matrix                        # all
#     MATRIX="3.10 3.13" make matrix     # these
set -euo pipefail
cd "$(dirname "$0")/.."

versions=${MATRIX:-3.10 3.11 3.12 3.13 3.14 3.14t}
results=target/test-results/matrix
export CARGO_TARGET_DIR=$PWD/target/matrix
export CARGO_PROFILE_RELEASE_LTO=thin CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
pip_version=$(sed -n 's/^PIP_VERSION := //p' Makefile)
mkdir -p "$results"
make --no-print-directory cudasim

# Prints "3.11.7" or "3.14.0t" if $1 runs and is a CPython of version $2.
full_version() {
    "$1" - "$2" 2>/dev/null <<'PY'
import platform, sys, sysconfig
flag = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
if platform.python_implementation() == "CPython" and "%d.%d%s" % (*sys.version_info[:2], flag) == sys.argv[1]:
    print(platform.python_version() + flag)
PY
}

find_python() {
    local candidate
    for candidate in "python$1" "$HOME"/.pyenv/versions/"${1%t}".*/bin/python; do
        if [ -n "$(full_version "$candidate" "$1")" ]; then
            echo "$candidate"
            return
        fi
    done
}

summary=()
failed=0
for version in $versions; do
    python=$(find_python "$version")
    if [ -z "$python" ]; then
        summary+=("$version: skipped, no CPython $version on PATH or under ~/.pyenv/versions")
        continue
    fi
    full=$(full_version "$python" "$version")
    venv=.venv-matrix/$full
    log=$results/$version.log
    echo "== $full ($python)"
    if {
        if [ ! -e "$venv/ready" ] || [ pyproject.toml -nt "$venv/ready" ]; then
            "$python" -m venv --clear "$venv" &&
                "$venv/bin/python" -m pip install --quiet "pip==$pip_version" &&
                "$venv/bin/python" -m pip install --quiet --group build --group test &&
                touch "$venv/ready"
        fi &&
            rm -rf "$venv/wheel" &&
            "$venv/bin/maturin" build --release --locked --interpreter "$venv/bin/python" --out "$venv/wheel" &&
            "$venv/bin/python" -m pip install --quiet --force-reinstall --no-deps "$venv"/wheel/*.whl &&
            "$venv/bin/python" -m pytest -q --junitxml="$results/$version.xml" tests/python
    } >"$log" 2>&1; then
        summary+=("$full: $(tail -n 1 "$log")")
    else
        failed=1
        tail -n 40 "$log"
        summary+=("$full: FAILED, $(tail -n 1 "$log") ($log)")
    fi
done

echo
printf '%s\n' "${summary[@]}"
exit $failed
