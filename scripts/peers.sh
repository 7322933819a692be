#!/usr/bin/env bash
# Builds the SFUs that `loadtest bench peers` compares a focus with into the user's cache; nothing is installed.
#   scripts/peers.sh [janus] [mediasoup] [pion]      without a name: all of them
# From Debian, npm and the Go module proxy alone, by their ordinary clients, in versions pinned here, in
# package-lock.json and in go.sum. Safe to run again at any time: only what is missing or stale is made.
# mediasoup takes a quarter of an hour of one core; PEERS_JOBS=4 gives it four.
set -euo pipefail
cd "$(dirname "$0")/.."

sources=$PWD/loadtest/peers/sources
cache=${XDG_CACHE_HOME:-$HOME/.cache}/matrix-focus/peers

say() { echo "peers: $*" >&2; }

need() { # COMMAND PACKAGE [COMMAND PACKAGE]...
    while [ $# -gt 0 ]; do
        if ! command -v "$1" >/dev/null 2>&1; then
            echo "$1 is not installed (Debian: apt-get install $2)"
            exit 1
        fi
        shift 2
    done
}

# Each of these runs in an empty folder; what it puts into made/ is kept.

# Debian's own packages, unpacked beside the system, so that no service starts; what the system has is left out.
build_janus() {
    need apt-get apt dpkg-deb dpkg cc gcc
    # A new machine has no lists of packages yet.
    apt-cache show janus >/dev/null 2>&1 || apt-get update -qq
    local version=1.1.2 missing archive
    if ! apt-cache madison janus | grep -q " $version-"; then
        echo "Debian offers no Janus $version here"
        exit 1
    fi
    missing=$(apt-get install --simulate --no-install-recommends janus | sed -n 's/^Inst \([^ ]*\).*/\1/p')
    # shellcheck disable=SC2086  # names of packages
    apt-get download -qq $(printf '%s\n' janus $missing | sort -u)
    for archive in *.deb; do dpkg-deb -x "$archive" made; done
    cc -O2 -Wall -Werror -shared -fPIC -o made/show_loopback.so "$sources/janus/show_loopback.c"
}

# The npm package holds the C++ of everything that the worker needs. Two things in it have aged: its gyp looks for
# container classes where Python had them before 3.10, and glibc's SIGSTKSZ is no constant any more.
build_mediasoup() {
    need npm npm node nodejs c++ g++ make make python3 python3
    cp "$sources"/mediasoup/package*.json made/
    cd made
    # Scripts of packages are left out: this one's would fetch and build by its own ideas.
    npm ci --no-audit --no-fund --ignore-scripts --omit=dev
    cd node_modules/mediasoup/worker
    sed -i 's/std::max(SIGSTKSZ/std::max<size_t>(SIGSTKSZ/' \
        deps/libwebrtc/deps/abseil-cpp/abseil-cpp/absl/debugging/failure_signal_handler.cc
    mkdir older_python
    cat >older_python/sitecustomize.py <<-'PYTHON'
	import collections
	import collections.abc

	for name in collections.abc.__all__:
	    setattr(collections, name, getattr(collections.abc, name))
	PYTHON
    # Whatever `make` runs us must not speak into this one.
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL PYTHONPATH="$PWD/older_python" \
        make PYTHON=python3 CORES="${PEERS_JOBS:-1}"
    # The program is a hundredth of what it was made from.
    mv out/Release/mediasoup-worker .
    find . -mindepth 1 -maxdepth 1 ! -name mediasoup-worker -exec rm -rf {} +
    mkdir -p out/Release
    mv mediasoup-worker out/Release/
}

# A forwarder of ours on pion's current release.
build_pion() {
    need go golang
    cp "$sources"/pion/* .
    go build -mod=readonly -trimpath -p "${PEERS_JOBS:-1}" -o made/forwarder .
}

made_from() { # NAME
    { declare -f "build_$1"; find "$sources/$1" -type f | LC_ALL=C sort | xargs cat; } | sha256sum
}

# In a process of its own, since `set -e` means nothing where somebody looks at the outcome.
if [ "${1:-}" = --build ]; then
    cd "$3"
    mkdir made
    "build_$2"
    exit
fi

make_peer() { # NAME
    local name=$1 wanted folder log=$cache/$1.log
    wanted=$(made_from "$name")
    if [ "$(cat "$cache/$name/.made-from" 2>/dev/null)" = "$wanted" ]; then
        say "$name is ready"
        return
    fi
    say "making $name; $log tells how it goes"
    # Beside the target, so that putting it there is one rename: half a build is never taken for a whole one.
    folder=$(mktemp -d -p "$cache" ".making-$name-XXXXXX")
    if nice -n 19 scripts/peers.sh --build "$name" "$folder" >"$log" 2>&1; then
        printf '%s' "$wanted" >"$folder/made/.made-from"
        rm -rf "${cache:?}/$name"
        mv "$folder/made" "$cache/$name"
        say "$name is ready"
    else
        tail -n 20 "$log" >&2
        say "$name could not be made"
        failed=yes
    fi
    rm -rf "$folder"
}

failed=no
mkdir -p "$cache"
if [ $# = 0 ]; then set -- janus pion mediasoup; fi
for peer in "$@"; do
    case $peer in
        janus | mediasoup | pion) make_peer "$peer" ;;
        *) say "$peer: not one of janus, mediasoup, pion"; exit 2 ;;
    esac
done
[ "$failed" = no ]
