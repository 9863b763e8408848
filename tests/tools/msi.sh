#!/usr/bin/env bash
# Makes the Windows Installer package of kagiban-exporter in target/msi, with its SHA256SUMS, by wixl and, where that has no word for it,
# msibuild.
#
#   KAGIBAN_EXPORTER=PROGRAM   kagiban-exporter.exe, as already built; by default the toolchain of `make test-windows` builds it
#   KAGIBAN_MSI=DIR            where the package goes
#   KAGIBAN_VERSION=X.Y.Z      by default that of Cargo.toml
#   SOURCE_DATE_EPOCH=SECONDS  the time of every file; by default that of the last commit
set -euo pipefail
umask 022
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'msi: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }
. tests/tools/artifacts.sh
VERSION=${KAGIBAN_VERSION:-$VERSION}

cache=${KAGIBAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kagiban}
# shellcheck source=tests/tools/windows-toolchain.sh
. tests/tools/windows-toolchain.sh
out=${KAGIBAN_MSI:-$(dirname "$target")/msi}
[ -x "$cache/msitools/usr/bin/msibuild" ] || tests/tools/prepare.sh msitools
if [ -z "${KAGIBAN_EXPORTER:-}" ]; then
    have_windows_toolchain
    cargo_for_windows build --release --package=kagiban-exporter --bins
    KAGIBAN_EXPORTER=$target/$triple/release/kagiban-exporter.exe
fi
[ -e "$KAGIBAN_EXPORTER" ] || fail "missing $KAGIBAN_EXPORTER"

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
cp "$KAGIBAN_EXPORTER" "$work/kagiban-exporter.exe"
# As editors of Windows end a line.
sed 's/$/\r/' LICENSE >"$work/LICENSE.txt"
touch -d "@$SOURCE_DATE_EPOCH" "$work"/*
# Another program is another product; the same one has the same code.
code=$( (echo "$VERSION" && cat "$work/kagiban-exporter.exe") | sha256sum | tr a-f A-F | sed 's/^\(.\{8\}\)\(.\{4\}\).\(.\{3\}\).\(.\{3\}\)\(.\{12\}\).*/\1-\2-4\3-8\4-\5/')
manufacturer=$(sed -n 's/^authors = \["\(.*\)"\]$/\1/p' Cargo.toml)
name=kagiban-exporter-$VERSION-x64.msi
mkdir -p "$out"
rm -f -- "$out"/kagiban-exporter-*.msi
(here=$PWD && cd "$work" && LD_LIBRARY_PATH=$cache/msitools/usr/lib/x86_64-linux-gnu "$cache/msitools/usr/bin/wixl" -a x64 -D "VERSION=$VERSION" -D "PRODUCT=$code" \
    -D "MANUFACTURER=$manufacturer" -o "$work/$name" "$here/exporter/packaging/windows/exporter.wxs") >"$work/log" 2>&1 || { cat "$work/log" >&2; fail 'wixl made no package'; }
# It warns of what it does not understand, and leaves it out.
[ ! -s "$work/log" ] || { cat "$work/log" >&2; fail 'wixl left something out'; }
msitool() { LD_LIBRARY_PATH=$cache/msitools/usr/lib/x86_64-linux-gnu "$cache/msitools/usr/bin/$1" "${@:2}"; }
amend() { # table, column of the key, key, column, value
    msitool msiinfo export "$work/$name" "$1" | tr -d '\r' |
        awk -F '\t' -v OFS='\t' -v at="$2" -v key="$3" -v column="$4" -v value="$5" '$at == key { $column = value; found++ } 1; END { exit found != 1 }' >"$work/$1.idt" &&
        msitool msibuild "$work/$name" -i "$work/$1.idt" || fail "$1 has no $3, or not one"
}
# Windows Installer passes them to what runs as the system only where it is told.
amend Property 1 SecureCustomProperties 2 'CONFIGFILE;FIREWALL;LISTENADDRESS;WIX_DOWNGRADE_DETECTED;WIX_UPGRADE_DETECTED'
# Another build of the same version takes its place: 256 and 512, both bounds are within.
amend Upgrade 7 WIX_UPGRADE_DETECTED 5 768
# In the transaction, so that the program that was there is back when the new one is refused.
amend InstallExecuteSequence 1 RemoveExistingProducts 3 1501
# What undoes an action that stands behind it: 256 beside what wixl has made of it.
for action in UnregisterService RestoreService RegisterAgain StartAgain StopAgain; do amend CustomAction 1 "$action" 2 $((18 + 64 + 256 + 1024 + 2048)); done
amend CustomAction 1 CloseFirewallAgain 2 $((50 + 64 + 256 + 1024 + 2048))
# What the part that shows a dialogue has found would not reach the part that installs, which then does not look by itself.
msitool msibuild "$work/$name" -q "DELETE FROM InstallUISequence WHERE Action = 'AppSearch'" || fail 'InstallUISequence keeps AppSearch'
cp "$work/$name" "$out/$name"
checksums "$out" "$name"
say "$out/$name: $(stat -c %s "$out/$name") bytes"
