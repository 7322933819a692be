#!/usr/bin/env bash
# Runs a command with a Rust toolchain that our crates can be built with (rust-version in their Cargo.toml), and a C
# compiler, which their cryptography takes.
#   scripts/rust.sh COMMAND...    status 3, and a word on standard error, where there is no such toolchain
#   scripts/rust.sh --get         sees to it that there is one: on Debian as root, from its packages
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' sfu/dataplane/native/Cargo.toml loadtest/swarm/Cargo.toml |
    sort -V | tail -n 1)
# One folder for both crates and for the tests: what they have in common is compiled once.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
# Half of a first build is C, and the same for release and swarm, and for tests and fuzzing: once of each, with ccache.
if [ -z "${CC:-}" ] && command -v ccache >/dev/null; then export CC="ccache cc"; fi

is_enough() { # VERSION
    [ "$(printf '%s\n' "$wanted" "$1" | sort -V | head -n 1)" = "$wanted" ]
}

find_toolchain() { # puts it on PATH
    command -v cc >/dev/null || return 1
    local folders folder version
    folders=("" "${CARGO_HOME:-${HOME:-}/.cargo}/bin:")
    for folder in "${folders[@]}"; do
        # rustup's stand-ins are there without a toolchain, too.
        if version=$(PATH="$folder$PATH" cargo --version 2>/dev/null && PATH="$folder$PATH" rustc --version 2>/dev/null); then
            version=$(sed -n 's/^rustc \([0-9.]*\).*/\1/p' <<<"$version")
            if is_enough "$version"; then
                export PATH="$folder$PATH"
                return
            fi
        fi
    done
    return 1
}

get_toolchain() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then return 1; fi
    local suffix version packages=()
    apt-get update -qq >&2
    # What Debian builds its browsers with is newer than what the rest of a release is built with.
    for suffix in "" -web; do
        version=$(apt-cache policy "rustc$suffix" | sed -n 's/^ *Candidate: \([0-9.]*\).*/\1/p')
        if [ -n "$version" ] && is_enough "$version"; then
            packages=("rustc$suffix" "cargo$suffix" "rustfmt$suffix" "rust$suffix-clippy" g++ libc6-dev)
            break
        fi
    done
    if [ ${#packages[@]} = 0 ]; then return 1; fi
    echo "setup: installing ${packages[*]}" >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
    find_toolchain
}

if [ "${1:-}" = --get ]; then
    find_toolchain || get_toolchain && exit 0
elif find_toolchain; then
    exec "$@"
fi
echo "Rust $wanted or newer and a C compiler are needed: https://rustup.rs, or a Debian that has it" \
    "(apt-cache policy rustc rustc-web)" >&2
exit 3
