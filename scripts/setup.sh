#!/usr/bin/env bash
# Makes .venv what pyproject.toml says, and sees to it that the machine has what else is needed.
#   scripts/setup.sh [browsers] [native]
#       browsers: also what the end-to-end tests drive
#       native: fail where the Rust extensions can't be had; else the focus then runs on its Python twin
# Safe to run again at any time: only what is missing or stale is done.
set -euo pipefail
cd "$(dirname "$0")/.."

browsers=""
native=""
for word in "$@"; do
    case $word in
        browsers) browsers=yes ;;
        native) native=yes ;;
        *) echo "setup: $word: known are browsers and native" >&2; exit 2 ;;
    esac
done

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
if [ -n "$browsers" ]; then
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

# It saves a minute where everything is compiled for the first time; it works without.
if [ -n "$native" ] && ! command -v ccache >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing ccache" >&2
    ccache=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ccache)
    "${ccache[@]}" >/dev/null 2>&1 || { apt-get update -qq && "${ccache[@]}"; } >/dev/null 2>&1 ||
        echo "setup: there is no ccache: compiling takes longer" >&2
fi

with_rust=()
if scripts/rust.sh --get; then
    with_rust=(scripts/rust.sh)
    rust=$(scripts/rust.sh rustc --version)
else
    rust=none
    if [ -n "$native" ]; then exit 1; fi
    echo "setup: without it the focus runs on the Python twin of its data plane, and some benches can't" >&2
fi

extensions=(sfu.dataplane._native loadtest._swarm)
is_built() { # MODULE
    .venv/bin/python -c "import $1" 2>/dev/null
}
are_built() {
    local module
    for module in "${extensions[@]}"; do is_built "$module" || return 1; done
}

stamp=.venv/.setup-stamp
wanted=$(
    "$python" --version
    echo "$rust"
    find pyproject.toml setup.py scripts/setup.sh scripts/rust.sh sfu/dataplane/native loadtest/swarm \
        \( -name target -o -name fuzz \) -prune -o \
        \( -name '*.rs' -o -name '*.toml' -o -name setup.py -o -name '*.sh' \) -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
)
if [ ! -x .venv/bin/focus ] || [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] ||
    { [ -n "$native" ] && ! are_built; }; then
    echo "setup: filling .venv; where Rust is compiled for the first time, that takes minutes" >&2
    if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c 'import pip' 2>/dev/null; then
        rm -rf .venv
        "$python" -m venv .venv
    fi
    # Told with -v alone: what cargo has to say, and that is long.
    if ! "${with_rust[@]}" .venv/bin/python -m pip install --verbose --disable-pip-version-check \
        --editable '.[dev]' >.venv/setup.log 2>&1; then
        tail -n 40 .venv/setup.log >&2
        echo "setup: more of it is in .venv/setup.log" >&2
        exit 1
    fi
    printf '%s' "$wanted" >"$stamp"
fi
for module in "${extensions[@]}"; do
    if ! is_built "$module"; then
        echo "setup: $module was not built${with_rust[*]:+; see .venv/setup.log}" >&2
        if [ -n "$native" ]; then
            grep -n -m 20 -A 8 '^ *error' .venv/setup.log >&2 || true
            exit 1
        fi
    fi
done
for program in focus loadtest lint-imports pytest; do
    if [ ! -x ".venv/bin/$program" ]; then
        echo "setup: .venv/bin/$program is missing; remove .venv and try again" >&2
        exit 1
    fi
done

if [ -n "$browsers" ]; then scripts/vendor.sh --required; else scripts/vendor.sh; fi
