#!/usr/bin/env bash
# Builds the release binaries for glibc 2.17 (RHEL 7, SLES 12 and later): cargo-zigbuild with the zig that PyPI ships.
set -euo pipefail

zig_version=0.17.1
zigbuild_version=0.24.1
target=x86_64-unknown-linux-gnu
glibc=2.17
cache=${KAGIBAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kagiban}

cd "$(dirname "$0")/../.."
say() { printf 'release: %s\n' "$*"; }
need() { command -v "$1" >/dev/null || { say "missing $1: apt-get install $2"; exit 1; }; }
need cargo "rustup, then rustup toolchain install stable"
need python3 "python3 python3-venv"
need objdump binutils

zig=$cache/zig-$zig_version
zigbuild=$cache/cargo-zigbuild-$zigbuild_version
say "fetches zig (100 MB) and builds cargo-zigbuild (about 1 minute) once; the binaries take about 5 minutes on 2 cores"
if [ ! -d "$zig" ]; then
    rm -rf "$zig.part"
    python3 -m venv "$zig.part"
    "$zig.part/bin/pip" install --quiet "ziglang==$zig_version"
    mv "$zig.part" "$zig"
fi
if [ ! -d "$zigbuild" ]; then
    rm -rf "$zigbuild.part"
    cargo install --quiet --locked --version "$zigbuild_version" --root "$zigbuild.part" cargo-zigbuild
    mv "$zigbuild.part" "$zigbuild"
fi

python=$(cd "$zig/bin" && pwd)/python3
CARGO_ZIGBUILD_PYTHON_PATH=$python PATH="$zig/bin:$zigbuild/bin:$PATH" \
    cargo zigbuild --locked --release --target "$target.$glibc" -p kagiban-exporter -p kagiban-operator

out=${CARGO_TARGET_DIR:-target}/$target/release
for program in kagiban-exporter kagiban-operator; do
    newest=$(objdump -T "$out/$program" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
    if [ "$(printf '%s\n' "GLIBC_$glibc" "$newest" | sort -V | tail -n 1)" != "GLIBC_$glibc" ]; then
        say "$program needs $newest, more than GLIBC_$glibc"
        exit 1
    fi
    say "$out/$program: $(stat -c %s "$out/$program") bytes, needs $newest"
done
