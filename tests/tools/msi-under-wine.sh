# What an administrator does with the Windows Installer package, under Wine: sourced by test-windows.sh, with in_wine, `root`, `work`
# and WINEPREFIX as wine.sh has them.
# shellcheck shell=bash

# Prints what went wrong, a line each.
try_msi() { # program
    local port=$((20000 + RANDOM % 10000)) files=$WINEPREFIX/drive_c/Program\ Files/Kagiban yaml=$WINEPREFIX/drive_c/ProgramData/kagiban/exporter.yaml first second rebuilt version
    version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
    # Another build of the same version.
    cp "$1" "$work/rebuilt.exe" && printf ' ' >>"$work/rebuilt.exe"
    KAGIBAN_EXPORTER=$work/rebuilt.exe KAGIBAN_MSI=$work/msi-rebuilt KAGIBAN_VERSION=$version tests/tools/msi.sh >"$work/msi.log" 2>&1 || { cat "$work/msi.log"; return; }
    for version in "$version" 99.0.0; do
        KAGIBAN_EXPORTER=$1 KAGIBAN_MSI=$work/msi-$version KAGIBAN_VERSION=$version tests/tools/msi.sh >"$work/msi.log" 2>&1 || { cat "$work/msi.log"; return; }
    done
    first=$(echo "$work"/msi-[0-8]*/*.msi) second=$(echo "$work"/msi-99*/*.msi) rebuilt=$(echo "$work"/msi-rebuilt/*.msi)
    # It answers as long as it runs.
    answers() { curl -sf --max-time 5 --retry 20 --retry-delay 1 --retry-connrefused "http://127.0.0.1:$port/metrics" 2>/dev/null | grep -q '^kagiban_source_up\|^# TYPE kagiban_source_up'; }
    installer() { in_wine 120 msiexec "$1" "Z:${2//\//\\}" /qn "${@:3}" >"$work/msi.log" 2>&1 || { echo "msiexec $1 ended with $?:"; cat "$work/msi.log"; }; }
    settings() { in_wine 30 reg query 'HKLM\System\CurrentControlSet\Services\kagiban-exporter' 2>/dev/null | tr -d '\r' | grep ImagePath; }

    installer /i "$first" "LISTENADDRESS=127.0.0.1:$port"
    answers || echo 'the service that was installed does not answer at the address that was given'
    settings | grep -qF '"C:\Program Files\Kagiban\kagiban-exporter.exe" service run' || echo "the path of the program is not quoted: $(settings)"
    [ -e "$yaml" ] || echo 'no first configuration was written'
    echo '# of an administrator' >>"$yaml"

    # Both would be there for Windows Installer, and the later one would do nothing.
    installer /i "$rebuilt"
    cmp -s "$files/kagiban-exporter.exe" "$work/rebuilt.exe" || echo 'another build of the same version was not installed'
    answers || echo 'after another build of the same version it does not answer at the address of before'
    [ "$(in_wine 30 reg query 'HKLM\Software\Microsoft\Windows\CurrentVersion\Uninstall' /s 2>/dev/null | grep -c 'DisplayName.*Kagiban exporter')" -eq 1 ] ||
        echo 'two builds of one version are installed beside each other'

    installer /i "$second"
    answers || echo 'after an upgrade that was told nothing it does not answer at the address of before'
    grep -q 'of an administrator' "$yaml" || echo 'an upgrade has written over the configuration'

    installer /x "$second"
    [ -z "$(settings)" ] || echo "the service is left: $(settings)"
    [ ! -e "$files" ] || echo "left: $(find "$files")"
    [ -z "$(in_wine 30 reg query 'HKLM\System\CurrentControlSet\Services\EventLog\Application\kagiban-exporter' 2>/dev/null | grep EventMessageFile)" ] ||
        echo 'the source of events is left'
    grep -q 'of an administrator' "$yaml" || echo 'the configuration is gone'
}
