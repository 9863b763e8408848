#!/usr/bin/env bash
# Proves that the suite sees what it is there for: each patch here seeds one bug that somebody could really write, and the
# test that it names must turn red. A patch that no longer applies is a failure too: it must be kept up with the code.
#
# The first lines of a patch say what the bug is and, after `red:`, the arguments of the `cargo test` that must fail.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Its own copy of the sources, and its own build: the tree is never touched, and a bug never stays in a build of it.
export CARGO_TARGET_DIR=${KAGIBAN_MUTANTS_TARGET:-${KAGIBAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kagiban}/mutants-target}
echo "mutants: a build of its own in $CARGO_TARGET_DIR, about 6 min the first time, then about 1 min per bug"

survived=()
for patch in "$here"/*.patch; do
    name=$(basename "$patch" .patch)
    red=$(sed -n 's/^red: //p' "$patch")
    [ -n "$red" ] || { echo "mutants: $name names no test"; survived+=("$name"); continue; }
    rm -rf "$work/tree"
    mkdir "$work/tree"
    (cd "$root" && git ls-files -z | xargs -0 cp --parents -t "$work/tree")
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
    elif (cd "$work/tree" && cargo test --locked --quiet $red) >"$work/log" 2>&1; then
        echo "mutants: $name SURVIVED: cargo test $red stayed green"
        survived+=("$name")
    else
        echo "mutants: $name turned red"
    fi
done

if [ ${#survived[@]} -gt 0 ]; then
    echo "mutants: the suite is blind to: ${survived[*]}"
    exit 1
fi
echo "mutants: every bug was seen"
