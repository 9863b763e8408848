#!/usr/bin/env bash
# Makes the Debian and the RPM package of kagiban-exporter in target/packages, from one tree of files. The same sources and the
# same program give the same bytes.
#
#   KAGIBAN_BIN_DIR=DIR            a directory with kagiban-exporter, as already built; by default tests/tools/release.sh builds it
#   KAGIBAN_MANUAL_PAGES=PROGRAM   the example manual_pages of the exporter, as already built; by default cargo builds it
#   KAGIBAN_PACKAGE_RELEASE=N      which package of this version it is; by default 1
#   KAGIBAN_PACKAGES=DIR           where the packages go
#   SOURCE_DATE_EPOCH=SECONDS      the time of every file; by default that of the last commit
set -euo pipefail
umask 022
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'packages: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }

cache=${KAGIBAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kagiban}
nfpm=$cache/nfpm-$(sed -n 's|^require github.com/goreleaser/nfpm/v2 ||p' tests/tools/nfpm/go.mod)/nfpm
target=${CARGO_TARGET_DIR:-target}
out=${KAGIBAN_PACKAGES:-$target/packages}
[ -x "$nfpm" ] || tests/tools/prepare.sh nfpm
if [ -z "${KAGIBAN_BIN_DIR:-}" ]; then
    tests/tools/release.sh
    KAGIBAN_BIN_DIR=$target/x86_64-unknown-linux-gnu/release
fi
program=$KAGIBAN_BIN_DIR/kagiban-exporter
[ -x "$program" ] || fail "missing $program"

VERSION=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
RELEASE=${KAGIBAN_PACKAGE_RELEASE:-1}
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) || fail 'no git repository: set SOURCE_DATE_EPOCH'
fi
STAGE=$(mktemp -d)
trap 'rm -rf -- "$STAGE"' EXIT
export VERSION RELEASE STAGE SOURCE_DATE_EPOCH

put() { # mode, file, where below the root
    install -D -m "$1" "$2" "$STAGE/$3"
}

put 0755 "$program" usr/bin/kagiban-exporter
put 0644 exporter/packaging/exporter.yaml etc/kagiban/exporter.yaml
for unit in kagiban-exporter kagiban-exporter-host-api; do
    put 0644 "examples/systemd/$unit.service" "usr/lib/systemd/system/$unit.service"
done

# From the command line of the program itself.
complete() { # shell, where below the root
    mkdir -p "$STAGE/$(dirname "$2")"
    "$program" completion "$1" >"$STAGE/$2"
}
complete bash usr/share/bash-completion/completions/kagiban-exporter
complete zsh zsh
complete fish usr/share/fish/vendor_completions.d/kagiban-exporter.fish

day=$(date -u -d "@$SOURCE_DATE_EPOCH" +%F)
pages=$STAGE/usr/share/man/man1
mkdir -p "$pages"
if [ -n "${KAGIBAN_MANUAL_PAGES:-}" ]; then
    "$KAGIBAN_MANUAL_PAGES" "$pages" "$day"
else
    "${CARGO:-cargo}" run --locked --quiet -p kagiban-exporter --example manual_pages -- "$pages" "$day"
fi
gzip -9n "$pages"/*.1

doc=usr/share/doc/kagiban-exporter
put 0644 exporter/packaging/copyright $doc/copyright
put 0644 LICENSE $doc/LICENSE
put 0644 CHANGELOG.md $doc/changelog
gzip -9n "$STAGE/$doc/changelog"
for example in exporter.yaml web-config.yaml self-renewing-service.yaml systemd/kagiban-exporter.socket; do
    put 0644 "examples/$example" "$doc/examples/${example##*/}"
done

mkdir -p "$out"
for packager in deb rpm; do
    "$nfpm" package --config exporter/packaging/nfpm.yaml --packager "$packager" --target "$out" >"$STAGE/log" ||
        { cat "$STAGE/log" >&2; fail "nfpm made no $packager"; }
    package=$(sed -n 's/^created package: //p' "$STAGE/log")
    say "$package: $(stat -c %s "$package") bytes, SHA-256 $(sha256sum "$package" | cut -c1-64)"
done
