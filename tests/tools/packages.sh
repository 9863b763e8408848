#!/usr/bin/env bash
# Makes the Debian and the RPM packages of both programs in target/packages, with their SBOMs and SHA256SUMS. The same sources and
# the same programs give the same bytes.
#
#   KAGIBAN_BIN_DIR=DIR            a directory with the programs, as already built; by default tests/tools/release.sh builds them
#   KAGIBAN_MANUAL_PAGES=PROGRAM   the example manual_pages, as already built; by default cargo builds it
#   KAGIBAN_PACKAGE_RELEASE=N      which package of this version it is; by default 1
#   KAGIBAN_MAINTAINER=NAME        who answers for the packages, as 'Name <address>'; by default the authors in
#                                  Cargo.toml, who have no address: name one for packages that you publish
#   KAGIBAN_PACKAGES=DIR           where the packages go
#   SOURCE_DATE_EPOCH=SECONDS      the time of every file; by default that of the last commit
set -euo pipefail
umask 022
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'packages: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }
. tests/tools/artifacts.sh

cache=${KAGIBAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kagiban}
nfpm=$cache/nfpm-$(sed -n 's|^require github.com/goreleaser/nfpm/v2 ||p' tests/tools/nfpm/go.mod)/nfpm
target=${CARGO_TARGET_DIR:-target}
out=${KAGIBAN_PACKAGES:-$target/packages}
[ -x "$nfpm" ] || tests/tools/prepare.sh nfpm
if [ -z "${KAGIBAN_BIN_DIR:-}" ]; then
    tests/tools/release.sh
    KAGIBAN_BIN_DIR=$target/x86_64-unknown-linux-gnu/release
fi

RELEASE=${KAGIBAN_PACKAGE_RELEASE:-1}
MAINTAINER=${KAGIBAN_MAINTAINER:-$(sed -n 's/^authors = \["\(.*\)"\]$/\1/p' Cargo.toml)}
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
export RELEASE MAINTAINER STAGE

day=$(date -u -d "@$SOURCE_DATE_EPOCH" +%F)
mkdir "$work/pages"
if [ -n "${KAGIBAN_MANUAL_PAGES:-}" ]; then
    "$KAGIBAN_MANUAL_PAGES" "$work/pages" "$day"
else
    "${CARGO:-cargo}" run --locked --quiet -p kagiban-tests --example manual_pages -- "$work/pages" "$day"
fi

put() { # mode, file, where below the root
    install -D -m "$1" "$2" "$STAGE/$3"
}

# What every program has.
stage() { # program
    local program=$KAGIBAN_BIN_DIR/$1 doc=usr/share/doc/$1
    [ -x "$program" ] || fail "missing $program"
    put 0755 "$program" "usr/bin/$1"
    # From the command line of the program itself.
    mkdir -p "$STAGE/usr/share/bash-completion/completions" "$STAGE/usr/share/fish/vendor_completions.d" "$STAGE/usr/share/man/man1"
    "$program" completion bash >"$STAGE/usr/share/bash-completion/completions/$1"
    "$program" completion fish >"$STAGE/usr/share/fish/vendor_completions.d/$1.fish"
    "$program" completion zsh >"$STAGE/zsh"
    cp "$work/pages/$1"*.1 "$STAGE/usr/share/man/man1/"
    gzip -9n "$STAGE"/usr/share/man/man1/*.1
    put 0644 exporter/packaging/copyright "$doc/copyright"
    put 0644 LICENSE "$doc/LICENSE"
    put 0644 CHANGELOG.md "$doc/changelog"
    gzip -9n "$STAGE/$doc/changelog"
    sbom "$1" "$KAGIBAN_BIN_DIR" "$out/$1.cdx.json"
    put 0644 "$out/$1.cdx.json" "$doc/$1.cdx.json"
}

examples() { # program, file...
    local program=$1 file
    shift
    for file in "$@"; do put 0644 "examples/$file" "usr/share/doc/$program/examples/${file##*/}"; done
}

files=()
package() { # program, directory with its nfpm.yaml
    local packager made
    for packager in deb rpm; do
        "$nfpm" package --config "$2/nfpm.yaml" --packager "$packager" --target "$out" >"$work/log" ||
            { cat "$work/log" >&2; fail "nfpm made no $packager"; }
        made=$(sed -n 's/^created package: //p' "$work/log")
        files+=("${made##*/}")
        say "$made: $(stat -c %s "$made") bytes"
    done
    files+=("$1.cdx.json")
}

mkdir -p "$out"
# Those of another version are not in the new SHA256SUMS.
rm -f -- "$out"/kagiban-{exporter,operator}[_-][0-9]*.{deb,rpm}
STAGE=$work/kagiban-exporter
stage kagiban-exporter
put 0644 exporter/packaging/exporter.yaml etc/kagiban/exporter.yaml
for unit in kagiban-exporter kagiban-exporter-host-api; do
    put 0644 "examples/systemd/$unit.service" "usr/lib/systemd/system/$unit.service"
done
examples kagiban-exporter exporter.yaml web-config.yaml self-renewing-service.yaml systemd/kagiban-exporter.socket
package kagiban-exporter exporter/packaging

STAGE=$work/kagiban-operator
stage kagiban-operator
put 0644 examples/systemd/kagiban-operator.service usr/lib/systemd/system/kagiban-operator.service
examples kagiban-operator quickstart/managedagentcertificate.yaml
package kagiban-operator operator/packaging

checksums "$out" "${files[@]}"
say "$out/SHA256SUMS"
