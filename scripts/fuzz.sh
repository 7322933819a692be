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

weight_of() { # TARGET: a whole call has more to find than a parser
    if [ "$1" = datagram ]; then echo 10; else echo 1; fi
}
cores=$(nproc)
whole=0
for target in "${targets[@]}"; do whole=$((whole + $(weight_of "$target"))); done
shares=$(for target in "${targets[@]}"; do
    share=$((seconds * cores * $(weight_of "$target") / whole))
    echo "$((share < 1 ? 1 : share < seconds ? share : seconds)) $target"
done | sort -rn)
export programs="$CARGO_TARGET_DIR/$host/release" kept=${XDG_CACHE_HOME:-$HOME/.cache}/matrix-focus/fuzz
seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
export seeds
python=.venv/bin/python
if [ ! -x "$python" ]; then python=python3; fi
"$python" "$crate/seeds.py" "$seeds"

run() { # SECONDS TARGET
    local each=$1 target=$2
    mkdir -p "$kept/corpus/$target" "$kept/crashes" "$seeds/$target"
    if ! "$programs/$target" "$kept/corpus/$target" "$seeds/$target" -artifact_prefix="$kept/crashes/$target-" \
        -max_total_time="$each" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        >"$seeds/$target.log" 2>&1; then
        echo "fuzz: $target failed:" >&2
        tail -n 60 "$seeds/$target.log" >&2
        exit 255 # the others need not go on
    fi
    echo "fuzz: $target: $(inputs <"$seeds/$target.log") inputs in $each s"
}
inputs() {
    sed -n 's/^stat::number_of_executed_units: *//p' | awk '{ sum += $1 } END { print sum + 0 }'
}
export -f run inputs
xargs -P "$cores" -L 1 bash -euo pipefail -c 'run "$@"' run <<<"$shares"
echo "fuzz: $(cat "$seeds"/*.log | inputs) inputs, and nothing found"
