#!/usr/bin/env bash
# Builds the crates that build for Windows and runs their tests under Wine (docs/windows.md). A line for each program with tests; what
# one prints is shown whole when it fails. The last line is the sum.
#
#   KAGIBAN_WINDOWS_DEADLINE=300   seconds for one program
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

crates=(agents crds exporter files keystore operator process serving)
deadline=${KAGIBAN_WINDOWS_DEADLINE:-300}
# In it stand the tests that are not run.
page=docs/windows.md
triple=x86_64-pc-windows-gnu

say() { printf 'test-windows: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || fail "missing $1: $2"; }
need cc 'apt-get install gcc'
need curl 'apt-get install curl'
need python3 'apt-get install python3'
need timeout 'apt-get install coreutils'
need flock 'apt-get install util-linux'

root=${KAGIBAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kagiban}/windows-$(cat tests/tools/windows/* | sha256sum | cut -c1-16)
if [ ! -d "$root" ]; then
    need apt-get 'the toolchain and Wine are packages of Debian 12; run this there, or in a container of it'
    need dpkg-deb 'apt-get install dpkg'
    tests/tools/prepare.sh windows || exit 1
fi

work=$(mktemp -d) || exit 2
export WINEPREFIX=$work/prefix
# shellcheck source=tests/tools/wine.sh
. tests/tools/wine.sh
# shellcheck source=tests/tools/msi-under-wine.sh
. tests/tools/msi-under-wine.sh
trap 'end_wine; rm -rf -- "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

here=$PWD
# The toolchain is another one than that of `make test`: neither must rebuild what the other has built.
target=${CARGO_TARGET_DIR:-target}/windows
[ -d "$target/$triple/debug/deps" ] || say "builds Rust's standard library and eight crates with their dependencies for Windows: about 12 min on 2 cores, 3 GB"
# Every program with tests, but those of the exporter that speak to Linux (its sockets, signals and programs) and the model of
# rotations, which knows no system and counts for minutes.
programs=(--lib --bins --test=every_system --test=host_api_edge --test=renewal_model)
for crate in "${crates[@]}"; do
    [ "$crate" = exporter ] && continue
    for test in "$crate"/tests/*.rs "$crate"/tests/*/main.rs; do
        [ ! -e "$test" ] || programs+=("--test=$(basename "${test%/main.rs}" .rs)")
    done
done
# Debian has no standard library for Windows that is built already, and `-Z build-std` is unstable. aws-lc brings objects of its own for
# those who have no NASM.
env PATH="$root/usr/bin:$PATH" RUSTC="$root/usr/bin/rustc" RUSTC_BOOTSTRAP=1 AWS_LC_SYS_PREBUILT_NASM=1 \
    "$root/usr/bin/cargo" test --locked --no-run -Z build-std=std,panic_unwind,test --target "$triple" --target-dir "$target" \
    --message-format=json-render-diagnostics "${crates[@]/#/--package=kagiban-}" "${programs[@]}" >"$work/built.json" || fail 'it does not build for Windows; the lines above say why'
# A line for each: crate, target, the directory that cargo would run it in, program.
python3 - "$work/built.json" >"$work/programs" <<'PYTHON' || exit 2
import json, os, sys
for line in open(sys.argv[1]):
    message = json.loads(line) if line.startswith("{") else {}
    if message.get("reason") == "compiler-artifact" and message["profile"]["test"] and message.get("executable"):
        target, package = message["target"], os.path.dirname(message["manifest_path"])
        print(os.path.basename(package), target["kind"][0] + " " + target["name"], package, message["executable"], sep="\t")
PYTHON

# A prefix of links: what the programs of Windows are is in the cache, and what a run writes is its own.
cp -rs "$root/prefix/drive_c" "$work/" && mkdir "$WINEPREFIX" && mv "$work/drive_c" "$WINEPREFIX/" &&
    cp -P "$root"/prefix/*.reg "$root/prefix/.update-timestamp" "$WINEPREFIX/" && cp -RP "$root/prefix/dosdevices" "$WINEPREFIX/" || exit 2

left_out() { # crate, target: the names of its tests that are not run
    sed -n "s/^$1, $2: \([a-z0-9_:]*\)\$/\1/p" "$page"
}

passed=0 failed=0 left=0
while IFS=$'\t' read -r crate name package program; do
    started=$SECONDS
    mapfile -t skipped < <(left_out "$crate" "$name")
    skip=()
    [ ${#skipped[@]} -eq 0 ] || skip=(--exact "${skipped[@]/#/--skip=}")
    log=$work/log
    # Their current directory is on Wine's drive Z:, which is `/`.
    (cd "$package" && HOME=$work CARGO_MANIFEST_DIR=$package INSTA_WORKSPACE_ROOT=$here INSTA_UPDATE=no in_wine "$deadline" "$program" "${skip[@]}") >"$log" 2>&1
    status=$?
    read -r ok red filtered < <(tr -d '\r' <"$log" | sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed; .* \([0-9]*\) filtered out.*/\1 \2 \3/p')
    wrong=
    case $status in
    0) [ -n "$ok" ] || wrong='it ended without a result' ;;
    124 | 137) wrong="it did not end within $deadline s" ;;
    *) [ "${red:-0}" -gt 0 ] || wrong="it ended with status $status" ;;
    esac
    [ -z "$wrong" ] && [ "${filtered:-0}" -ne ${#skipped[@]} ] && wrong="$page names ${#skipped[@]} of its tests as not run, and it has $filtered of them"
    [ -z "$wrong" ] || red=$((${red:-0} + 1))
    if [ "${red:-0}" -gt 0 ]; then
        cat "$log"
        [ -z "$wrong" ] || say "$crate, $name: $wrong"
    fi
    say "$crate, $name: ${ok:-0} passed, ${red:-0} failed, ${#skipped[@]} not run, in $((SECONDS - started)) s"
    passed=$((passed + ${ok:-0})) failed=$((failed + ${red:-0})) left=$((left + ${#skipped[@]}))
    [ "${ok:-0}" -eq 0 ] || echo "$crate" >>"$work/crates"
done < <(sort "$work/programs")
# What an installer does is shown by one, and by nothing that cargo runs.
started=$SECONDS
try_msi "$(realpath "$target/$triple/debug/kagiban-exporter.exe")" >"$work/wrong"
if [ -s "$work/wrong" ]; then
    cat "$work/wrong"
    failed=$((failed + 1))
else
    passed=$((passed + 1))
fi
say "the Windows Installer package: $([ -s "$work/wrong" ] && echo 'not as it should be' || echo 'installed, upgraded and removed'), in $((SECONDS - started)) s"
for crate in "${crates[@]}"; do
    grep -qsxF "$crate" "$work/crates" || { say "$crate: none of its tests passed"; failed=$((failed + 1)); }
done
listed=$(grep -cE '^[a-z]+, [a-z]+ [a-z_]+: ' "$page")
[ "$listed" -eq "$left" ] || { say "$page names $listed tests as not run, and $left of them are of a program that there is"; failed=$((failed + 1)); }
end_wine
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
