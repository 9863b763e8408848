#!/usr/bin/env bash
# Builds our programs for Windows, and the double of an agent, for `make demo WINDOWS=1`. The first time it fetches the toolchain and
# builds Rust's standard library with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/tools/windows-toolchain.sh
. tests/tools/windows-toolchain.sh
have_windows_toolchain
[ -d "$target/$triple/debug/deps" ] || printf 'builds for Windows, with the standard library of Rust: about 10 min on 2 cores, 2 GB\n'
cargo_for_windows build --package=kagiban-exporter --package=kagiban-windows-double --bins
