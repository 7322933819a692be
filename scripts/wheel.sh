#!/usr/bin/env bash
# Builds dist/*.whl, which any Python from 3.11 on takes (abi3), and sees that the native plane is in it.
# It runs where the C library is no older than the one here: build on the oldest system that is to take it.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/rust.sh .venv/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
wheel=$(ls -t dist/matrix_focus-*.whl | head -n 1)
if ! .venv/bin/python -m zipfile --list "$wheel" | grep -q '^sfu/dataplane/_native\.abi3\.so'; then
    echo "wheel: $wheel lacks the native plane; why, says: scripts/rust.sh cargo build --release" \
        "--manifest-path sfu/dataplane/native/Cargo.toml" >&2
    exit 1
fi
echo "$wheel"
