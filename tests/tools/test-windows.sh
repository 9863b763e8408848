#!/usr/bin/env bash
# Builds the crates that build for Windows and runs their tests under Wine (docs/windows.md). A line for each program with tests; what
# one prints is shown whole when it fails. The last line is the sum.
#
#   tests/tools/test-windows.sh           builds and runs them
#   tests/tools/test-windows.sh --no-run   builds them
#
#   KAGIBAN_WINDOWS_DEADLINE=600   seconds for one program
#   KAGIBAN_WINDOWS_LANES=1        how many run at a time
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

crates=(agents crds exporter files html keystore operator process service serving)
deadline=${KAGIBAN_WINDOWS_DEADLINE:-600}
# In it stand the tests that are not run.
page=docs/windows.md

say() { printf 'test-windows: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }
# shellcheck source=tests/tools/windows-toolchain.sh
. tests/tools/windows-toolchain.sh
have_windows_toolchain || exit 1

# Frames under Wine tell little, and push what a test says out of a log that is cut.
export RUST_BACKTRACE=0
work=$(mktemp -d) || exit 2
# shellcheck source=tests/tools/wine.sh
. tests/tools/wine.sh
# shellcheck source=tests/tools/msi-under-wine.sh
. tests/tools/msi-under-wine.sh
# Each lane runs one program at a time in a prefix of its own. Two of them are in each other's way on two cores: tests that have a
# server of their own answer in half a second find it too late.
mapfile -t lanes < <(seq "${KAGIBAN_WINDOWS_LANES:-1}")
end_lanes() {
    local lane
    jobs -p | xargs -r kill 2>/dev/null
    for lane in "${lanes[@]}"; do WINEPREFIX=$work/$lane/prefix end_wine; done
    rm -rf -- "$work"
}
trap end_lanes EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

here=$PWD
[ -d "$target/$triple/debug/deps" ] || say "builds Rust's standard library and nine crates with their dependencies for Windows: about 14 min on 2 cores, 4 GB"
# Every program with tests, but those of the exporter that speak to Linux (its sockets, signals and programs) and the model of
# rotations, which knows no system and counts for minutes.
programs=(--lib --bins --test=refused --test=every_system --test=host_api_edge --test=renewal_model --test=windows_renewal --test=windows_rotation)
for crate in "${crates[@]}"; do
    [ "$crate" = exporter ] && continue
    for test in "$crate"/tests/*.rs "$crate"/tests/*/main.rs; do
        [ ! -e "$test" ] || programs+=("--test=$(basename "${test%/main.rs}" .rs)")
    done
done
# In one go, the doubles too: built alone, the programs have other features of their dependencies, and those are built twice.
cargo_for_windows test --no-run --message-format=json-render-diagnostics "${crates[@]/#/--package=kagiban-}" --package=kagiban-windows-double "${programs[@]}" \
    >"$work/built.json" || fail 'it does not build for Windows; the lines above say why'
[ "${1:-}" != --no-run ] || exit 0
# A line for each: crate, target, the directory that cargo would run it in, program.
python3 - "$work/built.json" >"$work/built.programs" <<'PYTHON' || exit 2
import json, os, sys
for line in open(sys.argv[1]):
    message = json.loads(line) if line.startswith("{") else {}
    if message.get("reason") == "compiler-artifact" and message["profile"]["test"] and message.get("executable"):
        target, package = message["target"], os.path.dirname(message["manifest_path"])
        print(os.path.basename(package), target["kind"][0] + " " + target["name"], package, message["executable"], sep="\t")
PYTHON

left_out() { # crate, target: the names of its tests that are not run
    sed -n "s/^$1, $2: \([a-z0-9_:]*\)\$/\1/p" "$page"
}

next() { # the line of a program that no lane has run
    {
        flock 9
        head -n 1 "$work/programs" | grep . && sed -i 1d "$work/programs"
    } 9>"$work/queue"
}

run() { # lane, crate, name, package, program
    local lane=$1 crate=$2 name=$3 package=$4 program=$5 started=$SECONDS log status ok red filtered wrong= skipped skip=()
    mapfile -t skipped < <(left_out "$crate" "$name")
    [ ${#skipped[@]} -eq 0 ] || skip=(--exact "${skipped[@]/#/--skip=}")
    log=$work/$lane/log
    # Their current directory is on Wine's drive Z:, which is `/`.
    (cd "$package" && HOME=$work/$lane CARGO_MANIFEST_DIR=$package INSTA_WORKSPACE_ROOT=$here INSTA_UPDATE=no in_wine "$deadline" "$program" "${skip[@]}") >"$log" 2>&1
    status=$?
    read -r ok red filtered < <(tr -d '\r' <"$log" | sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed; .* \([0-9]*\) filtered out.*/\1 \2 \3/p')
    case $status in
    0) [ -n "$ok" ] || wrong='it ended without a result' ;;
    124 | 137) wrong="it did not end within $deadline s" ;;
    *) [ "${red:-0}" -gt 0 ] || wrong="it ended with status $status" ;;
    esac
    [ -z "$wrong" ] && [ "${filtered:-0}" -ne ${#skipped[@]} ] && wrong="$page names ${#skipped[@]} of its tests as not run, and it has $filtered of them"
    [ -z "$wrong" ] || red=$((${red:-0} + 1))
    {
        flock 9
        [ "${red:-0}" -eq 0 ] || cat "$log"
        [ -z "$wrong" ] || say "$crate, $name: $wrong"
        say "$crate, $name: ${ok:-0} passed, ${red:-0} failed, ${#skipped[@]} not run, in $((SECONDS - started)) s"
        printf '%s %s %s %s\n' "$crate" "${ok:-0}" "${red:-0}" ${#skipped[@]} >>"$work/ended"
    } 9>"$work/told"
}

# What ends a program of Windows with its prefix must not end that of the other lane.
runs() { # lane
    local line
    export WINEPREFIX=$work/$1/prefix
    mkdir -- "$work/$1" && make_prefix "$work/$1" || return
    while line=$(next); do
        IFS=$'\t' read -r crate name package program <<<"$line"
        run "$1" "$crate" "$name" "$package" "$program"
    done
}

# These take minutes: one that began last would be waited for alone.
longest=$'^(exporter\t(lib|test host_api_edge|test windows_)|operator\tlib)'
{ grep -E "$longest" "$work/built.programs"; grep -vE "$longest" "$work/built.programs" | sort; } >"$work/programs"
programs=$(wc -l <"$work/programs")
touch "$work/ended"
for lane in "${lanes[@]}"; do runs "$lane" & done
wait
passed=0 failed=0 left=0
while read -r _ ok red skipped; do
    passed=$((passed + ok)) failed=$((failed + red)) left=$((left + skipped))
done <"$work/ended"
ended=$(wc -l <"$work/ended")
[ "$ended" -eq "$programs" ] || { say "only $ended of $programs programs ended"; failed=$((failed + 1)); }
# What an installer does is shown by one, and by nothing that cargo runs.
started=$SECONDS
export WINEPREFIX=$work/${lanes[0]}/prefix
try_msi "$(realpath "$target/$triple/debug/kagiban-exporter.exe")" >"$work/wrong"
if [ -s "$work/wrong" ]; then
    cat "$work/wrong"
    failed=$((failed + 1))
else
    passed=$((passed + 1))
fi
say "the Windows Installer package: $([ -s "$work/wrong" ] && echo 'not as it should be' || echo 'installed, upgraded and removed'), in $((SECONDS - started)) s"
for crate in "${crates[@]}"; do
    grep -qs "^$crate [1-9]" "$work/ended" || { say "$crate: none of its tests passed"; failed=$((failed + 1)); }
done
listed=$(grep -cE '^[a-z]+, [a-z]+ [a-z_]+: ' "$page")
[ "$listed" -eq "$left" ] || { say "$page names $listed tests as not run, and $left of them are of a program that there is"; failed=$((failed + 1)); }
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
