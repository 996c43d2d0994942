#!/bin/sh
# Bring .venv up to a requirements file; do nothing when it is there already.
#
#     sh requirements/install.sh requirements.txt
#     sh requirements/install.sh requirements/dev.txt
#
# .venv/installed notes what was installed: the file, the checksum of what it asked for, the Python.
# The note goes before an installation starts and comes back when it has ended well, and .venv/unfinished stands
# in between, so an installation that was cut off is never taken for a whole one: the environment is built anew.
# PYTHON names an interpreter when the right one is not found.
set -eu
cd "$(dirname "$0")/.."
wanted=$1
python=.venv/bin/python
fresh=

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

find_python() {
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        if suits "$candidate"; then command -v "$candidate"; return; fi
    done
    fail "Python 3.11, 3.12 or 3.13 is needed and was not found (${PYTHON:-python3} is" \
        "$("${PYTHON:-python3}" -V 2>/dev/null || echo absent)). Debian: sudo apt install python3 python3-venv;" \
        "one that lies elsewhere: make PYTHON=/path/to/python3.11 run"
}

note() { # what an environment with the requirements file $1 installed is known by
    printf '%s %s %s\n' "$1" "$(cat "$1" requirements.txt | cksum | tr ' ' -)" \
        "$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')"
}

installed() { "$python" -c '' 2>/dev/null && grep -qsxF "$(note "$wanted")" .venv/installed; }

make_venv() {
    host=$(find_python)
    say "making .venv with $("$host" -V)"
    fresh=yes
    rm -rf .venv
    mkdir .venv
    touch .venv/unfinished
    if "$host" -c 'import ensurepip' 2>/dev/null && "$host" -m venv .venv; then return; fi
    # Debian keeps ensurepip in a package of its own; a pip of the host can stand in for it.
    if "$host" -m venv --without-pip .venv 2>/dev/null &&
        host_pip "$host"; then return; fi
    version=$("$host" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    rm -rf .venv
    fail "Python $version cannot make virtual environments here. Debian: sudo apt install python$version-venv"
}

add_pip() { "$python" -m ensurepip >/dev/null 2>&1 || host_pip "$(find_python)"; }

host_pip() { "$1" -m pip --disable-pip-version-check --python "$python" install -qq pip 2>/dev/null; }

install() {
    if [ -e .venv/unfinished ]; then say "the last installation was cut off; starting over"; rm -rf .venv; fi
    if ! suits "$python"; then make_venv; fi
    "$python" -m pip --version >/dev/null 2>&1 || add_pip || make_venv
    touch .venv/unfinished
    rm -f .venv/installed
    say "installing $wanted${fresh:+ (1-3 minutes: 800 MB to fetch, 3 GB on disk)} ..."
    # Compiled once here, TensorFlow starts in half the time, also where PYTHONDONTWRITEBYTECODE is set.
    "$python" -m pip --disable-pip-version-check install -qq --compile -r "$wanted" || refused $?
    { note "$wanted"; note requirements.txt; } | sort -u >.venv/installed
    rm .venv/unfinished
    say "ready"
}

refused() { # pip gave up by itself, so what was there is whole; a signal (128 and above) may have cut it short
    if [ "$1" -lt 128 ]; then rm -f .venv/unfinished; fi
    fail "pip could not install $wanted (its own lines stand above). With the cause gone, the same command goes on"
}

installed && exit 0
if command -v flock >/dev/null; then # a second make waits instead of installing into the same folder
    exec 9<"requirements/install.sh"
    flock 9
    installed && exit 0
fi
install
