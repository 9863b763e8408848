#!/usr/bin/env bash
# Proves that the suite sees what it is there for: each patch here seeds one bug that somebody could really write, and the
# test that it names must turn red. A patch that no longer applies is a failure too: it must be kept up with the code.
#
# The first lines of a patch say what the bug is and, after `red:`, the arguments of the `cargo test` that must fail.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# A copy of the sources and a build of their own: the tree is never touched, and a bug never stays in a build of it. Always
# at the same place, since cargo builds everything again for another path.
work=${KAGIBAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kagiban}/mutants
export CARGO_TARGET_DIR=$work/target
mkdir -p "$work"
# A bug may make its test wait for ever, which is red too. The slowest takes half a minute on a busy machine.
test_seconds=300
echo "mutants: a build of its own in $CARGO_TARGET_DIR, about 6 min the first time, then about 1 min per bug"

# Makes the copy what the sources are. Only what differs is written: cargo rebuilds by time stamps, and a file that is put
# back to what it was must be newer than the build that had the bug.
fresh_tree() {
    mkdir -p "$work/tree"
    (cd "$root" && git ls-files | LC_ALL=C sort) >"$work/files"
    (cd "$work/tree" && find . -type f -printf '%P\n' | LC_ALL=C sort | LC_ALL=C comm -13 "$work/files" - |
        xargs -r -d '\n' rm --)
    local file
    while IFS= read -r file; do
        cmp -s "$root/$file" "$work/tree/$file" && continue
        mkdir -p "$(dirname "$work/tree/$file")"
        cp "$root/$file" "$work/tree/$file"
    done <"$work/files"
}

why() {
    local said
    said=$(grep -E -m1 -A1 "panicked at|^Error: " "$work/log" | sed "/panicked at/d" | head -1 | cut -c1-400)
    echo "${said:-it did not end in $test_seconds s}"
}

# A test that is red without any bug would make every bug look seen.
fresh_tree
while read -r red; do
    # shellcheck disable=SC2086  # a list of arguments
    if ! (cd "$work/tree" && cargo test --locked --quiet $red) >"$work/log" 2>&1; then
        tail -20 "$work/log"
        echo "mutants: cargo test $red is red without any bug"
        exit 1
    fi
done < <(sed -n 's/^red: //p' "$here"/*.patch | sort -u)

survived=()
for patch in "$here"/*.patch; do
    name=$(basename "$patch" .patch)
    red=$(sed -n 's/^red: //p' "$patch")
    [ -n "$red" ] || { echo "mutants: $name names no test"; survived+=("$name"); continue; }
    fresh_tree
    if ! (cd "$work/tree" && patch -p1 --quiet --forward <"$patch"); then
        echo "mutants: $name does not apply to the code as it is"
        survived+=("$name")
        continue
    fi
    # shellcheck disable=SC2086  # a list of arguments
    if ! (cd "$work/tree" && cargo test --locked --quiet --no-run $red) >"$work/log" 2>&1; then
        echo "mutants: $name does not build:"
        tail -20 "$work/log"
        survived+=("$name")
    elif (cd "$work/tree" && timeout "$test_seconds" cargo test --locked --quiet $red) >"$work/log" 2>&1; then
        echo "mutants: $name SURVIVED: cargo test $red stayed green"
        survived+=("$name")
    else
        # What it said, so that a reader sees whether it is red for the bug or for something else.
        echo "mutants: $name turned red: $(why)"
    fi
done

if [ ${#survived[@]} -gt 0 ]; then
    echo "mutants: the suite is blind to: ${survived[*]}"
    exit 1
fi
echo "mutants: every bug was seen"
