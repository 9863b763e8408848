#!/usr/bin/env bash
# Builds the programs, packages and images of the last commit twice, in two directories, and compares them. Where nothing builds
# images, they are left out. BASE, KAGIBAN_PACKAGE_RELEASE, KAGIBAN_MAINTAINER and SOURCE_DATE_EPOCH are passed on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'reproducible: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }
. tests/tools/artifacts.sh

git rev-parse --quiet --verify HEAD >/dev/null || fail 'no git repository: there is no commit to build'
[ -z "$(git status --porcelain)" ] || say 'builds the last commit, without what was changed since'
artifacts=(release packages)
if image_builder >/dev/null; then artifacts+=(images); else say "images are left out: $no_image_builder"; fi

unset CARGO_TARGET_DIR KAGIBAN_IMAGES KAGIBAN_PACKAGES KAGIBAN_BIN_DIR KAGIBAN_MANUAL_PAGES

work=$(mktemp -d)
keep=
trap '[ -n "$keep" ] || rm -rf -- "$work"' EXIT
# Of another length too: a path may be padded.
places=("$work/one" "$work/another/place")
built=target/x86_64-unknown-linux-gnu/release
for place in "${places[@]}"; do
    mkdir -p "$place"
    git archive HEAD | tar --extract --directory "$place"
    # The manual pages are text of the command line, and a second build of them takes as long as one of all tests: once.
    if [ -z "${KAGIBAN_MANUAL_PAGES:-}" ]; then
        (cd "$place" && "${CARGO:-cargo}" build --locked --quiet -p kagiban-tests --example manual_pages)
        export KAGIBAN_MANUAL_PAGES=$place/target/debug/examples/manual_pages
    fi
    "$place/tests/tools/release.sh"
    for kind in "${artifacts[@]:1}"; do KAGIBAN_BIN_DIR=$place/$built "$place/tests/tools/$kind.sh"; done
done

differ=0
for kind in "${artifacts[@]}"; do
    [ "$kind" = release ] && at=$built || at=target/$kind
    diff "${places[0]}/$at/SHA256SUMS" "${places[1]}/$at/SHA256SUMS" || differ=1
done
[ $differ -eq 0 ] || { keep=1; fail "not the same: compare ${places[0]} with ${places[1]}"; }
cat "${places[0]}/$built/SHA256SUMS"
say "the same twice: ${artifacts[*]}"
