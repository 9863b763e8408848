#!/usr/bin/env bash
# Builds the release binaries for glibc 2.17 (RHEL 7, SLES 12 and later): cargo-zigbuild with the zig that PyPI ships. Beside them
# lie their SBOMs and SHA256SUMS. The same sources give the same bytes, in whatever directory (tests/tools/reproducible.sh).
set -euo pipefail

zig_version=0.17.1
zigbuild_version=0.24.1
target=x86_64-unknown-linux-gnu
glibc=2.17
cache=${KAGIBAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kagiban}

cd "$(dirname "$0")/../.."
say() { printf 'release: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || fail "missing $1: $2"; }
cargo=${CARGO:-cargo}
need "$cargo" "install Rust 1.95 or later, see https://rustup.rs"
need python3 "apt-get install python3 python3-venv"
need objdump "apt-get install binutils"
need cc "apt-get install gcc"
. tests/tools/artifacts.sh

zig=$cache/zig-$zig_version
zigbuild=$cache/cargo-zigbuild-$zigbuild_version
say "fetches zig (100 MB) and builds cargo-zigbuild (about 1 minute) once; the binaries take about 8 minutes on 2 cores"
mkdir -p "$cache"
if [ ! -d "$zig" ]; then
    rm -rf "$zig.part"
    python3 -m venv "$zig.part" >/dev/null || fail "python3 makes no venv: apt-get install python3-venv"
    "$zig.part/bin/pip" install --quiet "ziglang==$zig_version" || fail "ziglang $zig_version cannot be had from PyPI; the lines above say why"
    mv "$zig.part" "$zig"
fi
if [ ! -d "$zigbuild" ]; then
    rm -rf "$zigbuild.part"
    "$cargo" install --quiet --locked --version "$zigbuild_version" --root "$zigbuild.part" cargo-zigbuild ||
        fail "cargo-zigbuild $zigbuild_version cannot be built; the lines above say why"
    mv "$zigbuild.part" "$zigbuild"
fi

# No path of this machine gets into a program: two machines would not build the same one.
flags=$(printf '%s\037' "--remap-path-prefix=$PWD=/kagiban" "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo")
python=$(cd "$zig/bin" && pwd)/python3
out=${CARGO_TARGET_DIR:-target}/$target/release
programs=(kagiban-exporter kagiban-operator)
for program in "${programs[@]}"; do
    # Each by itself: together, both would be built with what either needs of a crate, and link more than their SBOMs say.
    CARGO_ENCODED_RUSTFLAGS=${flags%$'\037'} CARGO_ZIGBUILD_PYTHON_PATH=$python PATH="$zig/bin:$zigbuild/bin:$PATH" \
        "$cargo" zigbuild --locked --release --target "$target.$glibc" -p "$program"
    newest=$(objdump -T "$out/$program" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
    [ "$(printf '%s\n' "GLIBC_$glibc" "$newest" | sort -V | tail -n 1)" = "GLIBC_$glibc" ] ||
        fail "$program needs $newest, more than GLIBC_$glibc"
    say "$out/$program: $(stat -c %s "$out/$program") bytes, needs $newest"
    tests/tools/sbom.py "$program" "$out/$program.cdx.json"
done
checksums "$out" "${programs[@]}" "${programs[@]/%/.cdx.json}"
say "$out/SHA256SUMS"
