#!/usr/bin/env bash
# Builds the tests of the workspace and runs their programs, three at a time: most of them wait for a service, a timeout or a
# server most of the time. What a program prints is shown whole when it has ended, with its time; at the end stands a sum.
#
#   KAGIBAN_TEST_JOBS=3 tests/tools/run-tests.sh
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export CARGO=${CARGO:-cargo}
jobs=${KAGIBAN_TEST_JOBS:-3}
# These take minutes: one that began last would be waited for alone.
longest='packages|rotation_undone|rotation_frozen|boot|operator_crash|crash_sweep|standalone_crash|rotation_e2e|passes|rotation_recovery|rotation_model|alerts'

work=$(mktemp -d) || exit 2
trap 'rm -rf -- "$work"' EXIT

"$CARGO" test --workspace --locked --no-run --message-format=json-render-diagnostics >"$work/built.json" || exit 1
# A line for each: target, kind, the directory that cargo would run it in, program.
python3 - "$work/built.json" >"$work/programs" <<'PYTHON' || exit 2
import json, os, sys
for line in open(sys.argv[1]):
    message = json.loads(line) if line.startswith("{") else {}
    if message.get("reason") == "compiler-artifact" and message["profile"]["test"] and message.get("executable"):
        target = message["target"]
        package = os.path.dirname(message["manifest_path"])
        kind = os.path.basename(package) + " " + target["kind"][0]
        print(target["name"], kind, package, message["executable"], sep="\t")
PYTHON
[ -s "$work/programs" ] || { echo 'tests: no test was built' >&2; exit 2; }
{ grep -E "^($longest)"$'\t' "$work/programs"; grep -vE "^($longest)"$'\t' "$work/programs"; } >"$work/ordered"

run() { # the line of a program
    local name kind package program started=$SECONDS status log
    IFS=$'\t' read -r name kind package program <<<"$1"
    # Two packages may have tests of one name.
    log=$(mktemp "$work/XXXXXX.log") || return 0
    (cd "$package" && CARGO_MANIFEST_DIR=$package "$program") >"$log" 2>&1 </dev/null
    status=$?
    {
        flock 9
        printf '\n     Running %s (%s)\n' "$name" "$kind"
        cat "$log"
        [ $status -eq 0 ] || printf 'error: %s (%s) ended with status %s\n' "$name" "$kind" $status
        printf '%s\t%s\t%s\t%s\n' $((SECONDS - started)) $status "$name" "$kind" >>"$work/ended"
    } 9>"$work/lock"
    return 0
}
export -f run
export work

started=$SECONDS
xargs -d '\n' -P "$jobs" -I '{}' bash -c 'run "$1"' run '{}' <"$work/ordered"
"$CARGO" test --workspace --locked --doc >"$work/doc.log" 2>&1
doc=$?
cat "$work/doc.log"

count() { # passed or failed
    cat "$work"/*.log | sed -n "s/^test result: .* \([0-9]*\) $1.*/\1/p" | awk '{ sum += $1 } END { print sum + 0 }'
}
programs=$(wc -l <"$work/ordered")
ended=$(wc -l <"$work/ended")
red=$(awk -F'\t' '$2 != 0' "$work/ended" | wc -l)
printf '\ntests: the longest, in seconds:\n'
sort -rn "$work/ended" | head -8 | awk -F'\t' '{ printf "tests: %6d  %s (%s)\n", $1, $3, $4 }'
printf 'tests: %d passed, %d failed, in %d programs and %d s\n' \
    "$(count passed)" "$(count failed)" "$programs" $((SECONDS - started))
if [ "$red" -ne 0 ] || [ $doc -ne 0 ] || [ "$ended" -ne "$programs" ]; then
    awk -F'\t' '$2 != 0 { printf "tests: red: %s (%s)\n", $3, $4 }' "$work/ended"
    [ $doc -eq 0 ] || echo 'tests: red: the examples in the documentation of the code'
    [ "$ended" -eq "$programs" ] || echo "tests: only $ended of $programs programs ended"
    exit 1
fi
