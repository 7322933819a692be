#!/usr/bin/env bash
# Puts what the page takes from npm (signalling/web/package.json) into signalling/web/static/vendor/, which is not in git.
#   scripts/vendor.sh [--required]      "--required": fail where it can't be had
# Without it the page works, and says that media can't be encrypted end to end. No script of a package is run.
# Safe to run again at any time: only what is missing or stale is done.
set -euo pipefail
cd "$(dirname "$0")/.."

package=@matrix-org/matrix-sdk-crypto-wasm
target=signalling/web/static/vendor/${package#@matrix-org/}
pin=$(sed -n "s|^ *\"$package\": \"\([0-9.]*\)\",\{0,1\}\$|\1|p" signalling/web/package.json)
if [ -z "$pin" ]; then
    echo "vendor: signalling/web/package.json does not pin $package" >&2
    exit 1
fi

# What it was made from.
stamp=$target/.vendored
wanted="$package@$pin $(sha256sum <scripts/vendor.sh)"
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

give_up() { # REASON
    echo "vendor: $1: the page will not offer to encrypt media end to end" >&2
    if [ "${required:-}" = yes ]; then exit 1; fi
    exit 0
}
if [ "${1:-}" = --required ]; then required=yes; fi

if ! command -v npm >/dev/null 2>&1; then
    give_up "npm is not installed (Debian: apt-get install npm)"
fi
# Beside the target, so that putting it there is one rename: half a copy is never taken for a whole one.
mkdir -p "$(dirname "$target")"
folder=$(mktemp -d -p "$(dirname "$target")" .fetching-XXXXXX)
trap 'rm -rf "$folder"' EXIT
# npm checks the archive against the registry's digest.
if ! archive=$(cd "$folder" && npm pack --silent --ignore-scripts --fetch-retries=1 "$package@$pin"); then
    give_up "npm could not fetch $package $pin"
fi
tar -xzf "$folder/$archive" -C "$folder"

fresh=$folder/fresh
mkdir -p "$fresh/pkg"
cp "$folder/package/LICENSE" "$folder/package/package.json" "$folder/package/index.mjs" "$fresh/"
cp "$folder/package/pkg/matrix_sdk_crypto_wasm_bg.js" "$folder/package/pkg/matrix_sdk_crypto_wasm_bg.wasm" "$fresh/pkg/"
printf '%s\n' "$wanted" >"$fresh/.vendored"
rm -rf "$target"
mv "$fresh" "$target"
echo "vendor: $package $pin is in $target" >&2
