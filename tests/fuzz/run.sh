#!/usr/bin/env bash
# Fuzzes every target of exporter/src/fuzzing.rs for SECONDS (60), JOBS (2) at a time, guided by coverage, with the pinned
# stable Rust. What is found is kept beside the build and tried again next time; what breaks a target fails the run.
#
#   tests/fuzz/run.sh [target...]
#   tests/fuzz/run.sh --no-run      builds them
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
seconds=${SECONDS_PER_TARGET:-60}
jobs=${JOBS:-2}
target_directory=${CARGO_TARGET_DIR:-$here/../../target}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
# A real input is far smaller; the bounds on size have tests of their own.
max_input=65536
input_deadline=5
memory_mb=512

fail() { printf 'fuzz: %s\n' "$*" >&2; exit 1; }

command -v c++ >/dev/null 2>&1 || fail 'missing c++: apt-get install g++'

run=yes
[ "${1:-}" != --no-run ] || { run=; shift; }
names=("$@")
[ ${#names[@]} -gt 0 ] || names=($(cd "$here/seeds" && ls -d -- */ | tr -d /))

# Counters at every edge, and the operands of comparisons: with --target, only what runs in the program gets them.
instrumented="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
echo 'fuzz: building; the first time takes about 5 min on 2 cores'
cp "$here/../../Cargo.lock" "$here/Cargo.lock"
# Warnings are the workspace's to find, whatever flags it is built with.
RUSTFLAGS="--cap-lints=allow $(printf '%s ' $instrumented)" CARGO_TARGET_DIR=$target_directory \
    cargo build --release --quiet --target "$host" --manifest-path "$here/Cargo.toml"
[ -n "$run" ] || exit 0
program=$target_directory/$host/release/kagiban-fuzz

fuzz() { # target
    local corpus=$target_directory/corpus/$1 found=$target_directory/found/$1 log=$target_directory/$1.log
    mkdir -p "$corpus" "$found" "$here/regressions/$1"
    if KAGIBAN_FUZZ_TARGET=$1 "$program" -max_total_time="$seconds" -timeout=$input_deadline -rss_limit_mb=$memory_mb \
        -max_len=$max_input -print_final_stats=1 -artifact_prefix="$found/" \
        "$corpus" "$here/seeds/$1" "$here/regressions/$1" >"$log" 2>&1 </dev/null; then
        local runs edges
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        edges=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)
        printf 'fuzz: %-16s nothing found in %s s: %s inputs, %s edges\n' "$1" "$seconds" "$runs" "${edges#cov: }"
    else
        tail -n 30 "$log"
        printf 'fuzz: %-16s BROKEN; the whole log is %s\n' "$1" "$log"
        printf 'fuzz: the input that broke it lies in %s; keep it in tests/fuzz/regressions/%s, mend the code, and\n' "$found" "$1"
        printf 'fuzz: cargo test -p kagiban-exporter --test fuzz_inputs tries it from then on\n'
        return 1
    fi
}

broken=0
for name in "${names[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
        wait -n || broken=1
    done
    fuzz "$name" &
done
while [ -n "$(jobs -p)" ]; do
    wait -n || broken=1
done
exit $broken
