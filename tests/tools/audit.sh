#!/usr/bin/env bash
# Checks what we depend on against deny.toml: advisories, licences, sources, and crates that must not come in. The database
# of advisories is fetched each time; KAGIBAN_ADVISORIES=offline uses what an earlier run fetched.
set -euo pipefail

deny_version=0.20.2
cache=${KAGIBAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kagiban}
deny=$cache/cargo-deny-$deny_version

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
say() { printf 'audit: %s\n' "$*"; }
command -v cargo >/dev/null || { say "missing cargo: install Rust 1.95 or later, see https://rustup.rs"; exit 1; }

if [ ! -d "$deny" ]; then
    say "builds cargo-deny $deny_version once: about 5 minutes on 2 cores"
    rm -rf "$deny.part"
    cargo install --quiet --locked --version "$deny_version" --root "$deny.part" cargo-deny
    mv "$deny.part" "$deny"
fi

options=()
[ "${KAGIBAN_ADVISORIES:-}" != offline ] || options+=(--disable-fetch)
PATH="$deny/bin:$PATH" cargo deny --locked check "${options[@]}"
