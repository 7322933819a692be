#!/usr/bin/env bash
# Runs the fuzz targets of the native plane, as many at once as there are cores.
#   scripts/fuzz.sh [SECONDS [TARGET...]]     60 s in all, all targets
#   SANITIZER=address scripts/fuzz.sh …       under a sanitiser, whose run-time rustup's toolchains have
# Coverage guides them (libFuzzer), from the examples of tests/vectors and from what was found before, which is kept in
# the user's cache; so is an input that ends a target.
set -euo pipefail
cd "$(dirname "$0")/.."

crate=sfu/dataplane/native/fuzz
seconds=${1:-60}
targets=("${@:2}")
if [ ${#targets[@]} = 0 ]; then
    for file in "$crate"/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
host=$(scripts/rust.sh rustc -vV | sed -n 's/^host: //p')
# As cargo-fuzz builds. Where the host is named, what runs during the build is built without them.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
if [ -n "${SANITIZER:-}" ]; then
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS="$RUSTFLAGS -Zsanitizer=$SANITIZER" # a stable compiler knows it, if told so
    export CARGO_TARGET_DIR=$CARGO_TARGET_DIR-$SANITIZER
fi
scripts/rust.sh cargo build --quiet --release --target "$host" --manifest-path "$crate/Cargo.toml"

cores=$(nproc)
each=$((seconds * cores / ${#targets[@]} > 0 ? seconds * cores / ${#targets[@]} : 1))
export each programs="$CARGO_TARGET_DIR/$host/release" kept=${XDG_CACHE_HOME:-$HOME/.cache}/matrix-focus/fuzz
seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
export seeds
python=.venv/bin/python
if [ ! -x "$python" ]; then python=python3; fi
"$python" "$crate/seeds.py" "$seeds"

run() { # TARGET
    mkdir -p "$kept/corpus/$1" "$kept/crashes" "$seeds/$1"
    if ! "$programs/$1" "$kept/corpus/$1" "$seeds/$1" -artifact_prefix="$kept/crashes/$1-" \
        -max_total_time="$each" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 >"$seeds/$1.log" 2>&1; then
        echo "fuzz: $1 failed:" >&2
        tail -n 60 "$seeds/$1.log" >&2
        exit 255 # the others need not go on
    fi
    echo "fuzz: $1: $(inputs <"$seeds/$1.log") inputs in $each s"
}
inputs() {
    sed -n 's/^stat::number_of_executed_units: *//p' | awk '{ sum += $1 } END { print sum + 0 }'
}
export -f run inputs
printf '%s\n' "${targets[@]}" | xargs -P "$cores" -I {} bash -euo pipefail -c 'run {}'
echo "fuzz: $(cat "$seeds"/*.log | inputs) inputs, and nothing found"
