#!/usr/bin/env bash
# Debian's own Prometheus for the tests, unpacked into the user's cache: nothing is installed, no service starts.
# Prints the path of the program.
set -euo pipefail

if command -v prometheus >/dev/null 2>&1; then
    command -v prometheus
    exit
fi
folder=${XDG_CACHE_HOME:-$HOME/.cache}/matrix-focus/prometheus
program=$folder/usr/bin/prometheus
if [ ! -x "$program" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cd "$work"
    # A new machine has no lists of packages yet.
    if ! apt-get download -qq prometheus >&2 2>/dev/null; then
        apt-get update -qq >&2
        apt-get download -qq prometheus >&2
    fi
    dpkg-deb -x prometheus_*.deb unpacked
    mkdir -p "$(dirname "$folder")"
    rm -rf "$folder"
    mv unpacked "$folder"
fi
echo "$program"
