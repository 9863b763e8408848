#!/usr/bin/env bash
# Checks what we depend on against deny.toml: advisories, licences, sources, and crates that must not come in.
# KAGIBAN_ADVISORIES says which advisories:
#   (unset)   the public database, fetched each time
#   offline   what an earlier run fetched
#   DIR       a directory in the form of https://github.com/RustSec/advisory-db, with or without its history
#   none      none: licences, sources and bans alone
set -euo pipefail

deny_version=0.20.2
cache=${KAGIBAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kagiban}
deny=$cache/cargo-deny-$deny_version
advisories=${KAGIBAN_ADVISORIES:-}

say() { printf 'audit: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }

case $advisories in
    '' | offline | none) ;;
    *)
        # Where it was called, not where the project is
        advisories=$(realpath -e -- "$advisories" 2>/dev/null) || fail "KAGIBAN_ADVISORIES=$KAGIBAN_ADVISORIES: no such directory"
        [ -d "$advisories/crates" ] ||
            fail "$advisories has no directory crates: give a copy of https://github.com/RustSec/advisory-db"
        ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
command -v cargo >/dev/null || fail "missing cargo: install Rust 1.95 or later, see https://rustup.rs"
command -v git >/dev/null || fail "missing git: install it with the system's packages"

if [ ! -d "$deny" ]; then
    say "builds cargo-deny $deny_version once: about a minute on 2 cores"
    rm -rf "$deny.part"
    cargo install --quiet --locked --debug --version "$deny_version" --root "$deny.part" cargo-deny
    mv "$deny.part" "$deny"
fi
PATH=$deny/bin:$PATH

case $advisories in
    '') exec cargo deny --locked check ;;
    offline) exec cargo deny --locked check --disable-fetch ;;
    none)
        say "advisories are not looked at: KAGIBAN_ADVISORIES=none"
        exec cargo deny --locked check bans licenses sources
        ;;
esac

# cargo-deny reads a database out of a git repository only, so a directory becomes one of a single commit.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/db"
cp -r "$advisories/crates" "$work/db/"
found=$(find "$work/db/crates" -name 'RUSTSEC-*.md' | wc -l)
[ "$found" -gt 0 ] || fail "$advisories has no advisory"
say "$found advisories from $advisories"
git -C "$work/db" init -q -b main
git -C "$work/db" add -A
git -C "$work/db" -c user.name=audit -c user.email=audit@localhost commit -q -m 'Advisories' --no-gpg-sign
# It takes only a URL with a host, so git is told to read that one from here.
public=https://github.com/RustSec/advisory-db
awk -v url="$public" -v path="$work/fetched" '
    { print }
    $0 == "[advisories]" { printf "db-urls = [\"%s\"]\ndb-path = \"%s\"\ngit-fetch-with-cli = true\n", url, path }
' deny.toml >"$work/deny.toml"
GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$work/db.insteadOf" GIT_CONFIG_VALUE_0=$public \
    cargo deny --locked --config "$work/deny.toml" check
