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
echo "mutants: a build of its own in $CARGO_TARGET_DIR, about 6 min the first time, then about 1 min per bug"

fresh_tree() {
    rm -rf "$work/tree"
    mkdir "$work/tree"
    (cd "$root" && git ls-files -z | xargs -0 cp --preserve=timestamps --parents -t "$work/tree")
}

# cargo rebuilds by time stamps, and the copies carry old ones.
touch_patched() { # patch
    sed -n 's|^+++ b/||p' "$1" | xargs touch
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
    if ! (cd "$work/tree" && patch -p1 --quiet --forward <"$patch" && touch_patched "$patch"); then
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
