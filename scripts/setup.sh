#!/usr/bin/env bash
# Makes .venv what pyproject.toml says, and sees to it that the machine has what else is needed.
#   scripts/setup.sh [browsers]      "browsers": also what the end-to-end tests drive
# Safe to run again at any time: only what is missing or stale is done.
set -euo pipefail
cd "$(dirname "$0")/.."

missing_packages=()
need() { # COMMAND-OR-TEST PACKAGE...
    local check=$1
    shift
    if ! eval "$check" >/dev/null 2>&1; then missing_packages+=("$@"); fi
}

python=""
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        python=$(command -v "$candidate")
        break
    fi
done
if [ -z "$python" ]; then
    echo "setup: Python 3.11 or newer is needed (Debian: apt-get install python3)" >&2
    exit 1
fi

need "\"$python\" -c 'import ensurepip, venv'" python3-venv
if [ "${1:-}" = browsers ]; then
    need "command -v chromium" chromium
    need "command -v firefox-esr" firefox-esr
    # Firefox calls in a network namespace of its own (tests/support/namespace.py).
    need "[ -x /usr/sbin/ip ] || command -v ip" iproute2
    # What the page and the tests take from npm; nothing of it runs in node but npm and a bundler.
    need "command -v npm" npm
    # What drives Chromium (playwright's own node) needs it, and a small Debian lacks it.
    need "\"$python\" -c 'import ctypes; ctypes.CDLL(\"libatomic.so.1\")'" libatomic1
fi
if [ ${#missing_packages[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "setup: installing ${missing_packages[*]}" >&2
        apt-get update -qq >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing_packages[@]}" >&2
    else
        echo "setup: please install first: apt-get install ${missing_packages[*]}" >&2
        exit 1
    fi
fi

stamp=.venv/.setup-stamp
wanted=$("$python" --version; cat pyproject.toml scripts/setup.sh | sha256sum)
if [ ! -x .venv/bin/focus ] || [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "setup: filling .venv" >&2
    if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c 'import pip' 2>/dev/null; then
        rm -rf .venv
        "$python" -m venv .venv
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' >&2
    printf '%s' "$wanted" >"$stamp"
fi
for program in focus loadtest lint-imports pytest; do
    if [ ! -x ".venv/bin/$program" ]; then
        echo "setup: .venv/bin/$program is missing; remove .venv and try again" >&2
        exit 1
    fi
done

if [ "${1:-}" = browsers ]; then scripts/vendor.sh --required; else scripts/vendor.sh; fi
