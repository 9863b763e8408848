#!/usr/bin/env bash
# Builds the crates that build for Windows and runs their tests under Wine (docs/windows.md). A line for each program with tests; what
# one prints is shown whole when it fails. The last line is the sum.
#
#   tests/tools/test-windows.sh           builds and runs them
#   tests/tools/test-windows.sh --no-run   builds them
#
#   KAGIBAN_WINDOWS_DEADLINE=600   seconds for one program
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
export WINEPREFIX=$work/prefix
# shellcheck source=tests/tools/wine.sh
. tests/tools/wine.sh
# shellcheck source=tests/tools/msi-under-wine.sh
. tests/tools/msi-under-wine.sh
trap 'end_wine; rm -rf -- "$work"' EXIT
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
python3 - "$work/built.json" >"$work/programs" <<'PYTHON' || exit 2
import json, os, sys
for line in open(sys.argv[1]):
    message = json.loads(line) if line.startswith("{") else {}
    if message.get("reason") == "compiler-artifact" and message["profile"]["test"] and message.get("executable"):
        target, package = message["target"], os.path.dirname(message["manifest_path"])
        print(os.path.basename(package), target["kind"][0] + " " + target["name"], package, message["executable"], sep="\t")
PYTHON

make_prefix "$work" || exit 2

notes=() # told again at the end: whoever reads a log that was cut has its end
note() { # what
    notes+=("$1")
    say "$1"
}

# One that ends without a result was doing one of the first tests that it has not told of.
untold() { # crate's directory, log, program, arguments...
    local package=$1 log=$2
    shift 2
    (cd "$package" && in_wine 60 "$@" --list 2>/dev/null) | tr -d '\r' | sed -n 's/: test$//p' |
        grep -vxFf <(tr -d '\r' <"$log" | sed -n 's/^test \(.*\) \.\.\. .*/\1/p') | head -n 4 | tr '\n' ' '
}

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
    for again in yes ''; do
        # Their current directory is on Wine's drive Z:, which is `/`.
        (cd "$package" && HOME=$work CARGO_MANIFEST_DIR=$package INSTA_WORKSPACE_ROOT=$here INSTA_UPDATE=no in_wine "$deadline" "$program" "${skip[@]}") >"$log" 2>&1
        status=$?
        read -r ok red filtered < <(tr -d '\r' <"$log" | sed -n 's/.*test result: .* \([0-9]*\) passed; \([0-9]*\) failed; .* \([0-9]*\) filtered out.*/\1 \2 \3/p')
        # No test ends so: the program was ended from outside, or Wine was. Once may be chance, and it is told.
        [ -z "$again" ] || [ -n "$ok" ] || [ $status -eq 124 ] || [ $status -eq 137 ] && break
        note "$crate, $name: it ended with status $status before its result, and is run again: the first tests that it has told nothing of are $(untold "$package" "$log" "$program" "${skip[@]}")"
        tail -n 20 "$log"
    done
    wrong=
    case $status in
    0) [ -n "$ok" ] || wrong='it ended without a result' ;;
    124 | 137) wrong="it did not end within $deadline s" ;;
    *) [ "${red:-0}" -gt 0 ] || wrong="it ended with status $status" ;;
    esac
    [ -n "$ok" ] || wrong+=": the first tests that it has told nothing of are $(untold "$package" "$log" "$program" "${skip[@]}")"
    [ -z "$wrong" ] && [ "${filtered:-0}" -ne ${#skipped[@]} ] && wrong="$page names ${#skipped[@]} of its tests as not run, and it has $filtered of them"
    [ -z "$wrong" ] || red=$((${red:-0} + 1))
    if [ "${red:-0}" -gt 0 ]; then
        cat "$log"
        while read -r test; do
            note "$crate, $name: $test failed"
        done < <(tr -d '\r' <"$log" | sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p')
        [ -z "$wrong" ] || note "$crate, $name: $wrong"
    fi
    say "$crate, $name: ${ok:-0} passed, ${red:-0} failed, ${#skipped[@]} not run, in $((SECONDS - started)) s"
    passed=$((passed + ${ok:-0})) failed=$((failed + ${red:-0})) left=$((left + ${#skipped[@]}))
    [ "${ok:-0}" -eq 0 ] || echo "$crate" >>"$work/crates"
done < <(sort "$work/programs")
# What an installer does is shown by one, and by nothing that cargo runs.
started=$SECONDS
try_msi "$(realpath "$target/$triple/debug/kagiban-exporter.exe")" >"$work/wrong"
if [ -s "$work/wrong" ]; then
    note "$(cat "$work/wrong")"
    failed=$((failed + 1))
else
    passed=$((passed + 1))
fi
say "the Windows Installer package: $([ -s "$work/wrong" ] && echo 'not as it should be' || echo 'installed, upgraded and removed'), in $((SECONDS - started)) s"
for crate in "${crates[@]}"; do
    grep -qsxF "$crate" "$work/crates" || { note "$crate: none of its tests passed"; failed=$((failed + 1)); }
done
listed=$(grep -cE '^[a-z]+, [a-z]+ [a-z_]+: ' "$page")
[ "$listed" -eq "$left" ] || { note "$page names $listed tests as not run, and $left of them are of a program that there is"; failed=$((failed + 1)); }
end_wine
for told in "${notes[@]}"; do say "to be seen: $told"; done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
