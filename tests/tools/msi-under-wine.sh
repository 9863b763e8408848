# What an administrator does with the Windows Installer package, under Wine: sourced by test-windows.sh, with in_wine, `root`, `work`
# and WINEPREFIX as wine.sh has them.
# shellcheck shell=bash

# Gives a package, of the tests' own, actions that fail when they are told to: after all others, or once it has stopped the service to be
# removed. Wine does not tell a product that it is removed for another to take its place, as Windows Installer does: they do.
fails_when_told() { # package
    local tools=${KAGIBAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kagiban}/msitools/usr
    LD_LIBRARY_PATH=$tools/lib/x86_64-linux-gnu "$tools/bin/msibuild" "$1" \
        -q "INSERT INTO CustomAction (Action, Type, Source, Target) VALUES ('Fails', 3090, 'Exporter', 'no such command')" \
        -q "INSERT INTO InstallExecuteSequence (Action, Condition, Sequence) VALUES ('Fails', '%KAGIBAN_FAILS = \"install\" AND NOT Installed', 5950)" \
        -q "INSERT INTO CustomAction (Action, Type, Source, Target) VALUES ('Upgrades', 51, 'UPGRADINGPRODUCTCODE', 'told')" \
        -q "INSERT INTO InstallExecuteSequence (Action, Condition, Sequence) VALUES ('Upgrades', '%KAGIBAN_UPGRADES AND REMOVE=\"ALL\"', 49)" \
        -q "INSERT INTO CustomAction (Action, Type, Source, Target) VALUES ('FailsRemoved', 3090, 'Exporter', 'no such command')" \
        -q "INSERT INTO InstallExecuteSequence (Action, Condition, Sequence) VALUES ('FailsRemoved', '%KAGIBAN_FAILS = \"removal\" AND REMOVE=\"ALL\"', 1860)"
}

# Prints what went wrong, a line each.
try_msi() { # program
    local port=$((20000 + RANDOM % 10000)) files=$WINEPREFIX/drive_c/Program\ Files/Kagiban yaml=$WINEPREFIX/drive_c/ProgramData/kagiban/exporter.yaml first second rebuilt version by_hand given
    version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
    # Another build of the same version.
    cp "$1" "$work/rebuilt.exe" && printf ' ' >>"$work/rebuilt.exe"
    KAGIBAN_EXPORTER=$work/rebuilt.exe KAGIBAN_MSI=$work/msi-rebuilt KAGIBAN_VERSION=$version tests/tools/msi.sh >"$work/msi.log" 2>&1 || { cat "$work/msi.log"; return; }
    for version in "$version" 99.0.0; do
        KAGIBAN_EXPORTER=$1 KAGIBAN_MSI=$work/msi-$version KAGIBAN_VERSION=$version tests/tools/msi.sh >"$work/msi.log" 2>&1 || { cat "$work/msi.log"; return; }
    done
    first=$(echo "$work"/msi-[0-8]*/*.msi) second=$(echo "$work"/msi-99*/*.msi) rebuilt=$(echo "$work"/msi-rebuilt/*.msi)
    for version in "$first" "$second" "$rebuilt"; do
        fails_when_told "$version" || { echo "$version was not made to fail"; return; }
    done
    # A port that is taken would show in what answers.
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((20000 + RANDOM % 10000)); done
    fetch() { curl -sS --fail-with-body --max-time 5 --retry 60 --retry-delay 1 --retry-connrefused "http://127.0.0.1:$port$1" 2>&1; }
    # It answers from its start, with nothing about sources before the first looks: it says itself when those are done. The page is read
    # to its end: a pipe whose reader ends at the first match fails with it. What came instead is shown.
    answers() {
        local page
        page=$(fetch /-/ready) && page=$(fetch /metrics) && [[ $page == *'# TYPE kagiban_source_up '* ]] || { head -n 5 <<<"$page"; false; }
    }
    installer() { in_wine 120 msiexec "$1" "Z:${2//\//\\}" /qn "${@:3}" >"$work/msi.log" 2>&1 || { echo "msiexec $1 ended with $?:"; cat "$work/msi.log"; }; }
    # With what fails after all else, or after the service is stopped to be replaced. Wine undoes actions of its own before those of a
    # package: where the service has ended by then, it has removed the program that was to undo them. Such an attempt shows nothing, and
    # is made again, from what `$again` makes.
    fails() {
        local _
        for _ in {1..10}; do
            KAGIBAN_FAILS=$1 WINEDEBUG=err+msi in_wine 120 msiexec "$2" "Z:${3//\//\\}" /qn "${@:4}" >"$work/msi.log" 2>&1 && echo "msiexec $2 of what fails ($1) ended well"
            grep -q "can't find executable" "$work/msi.log" || return 0
            "$again"
        done
        echo "Wine removed the program of what fails ($1) before it was run, ten times"
    }
    settings() { in_wine 30 reg query 'HKLM\System\CurrentControlSet\Services\kagiban-exporter' 2>/dev/null | tr -d '\r' | grep ImagePath; }

    forget() { in_wine 30 sc delete kagiban-exporter >/dev/null 2>&1; }
    again=forget fails install /i "$first" "LISTENADDRESS=127.0.0.1:$port"
    # The manager removes it once it has ended.
    for _ in {1..30}; do [ -n "$(settings)" ] || break; sleep 1; done
    [ -z "$(settings)" ] || echo "a first installation that failed has left a service: $(settings)"

    # One that was registered by hand, from another place, is as it was after an installation that fails. No path has a space: what is in
    # the first quotes is all that Wine's installer reads of a line with some.
    mkdir "$WINEPREFIX/drive_c/hand" && cp "$1" "$WINEPREFIX/drive_c/hand/kagiban-exporter.exe"
    by_hand() { in_wine 60 'C:\hand\kagiban-exporter.exe' service install --log.level debug --web.telemetry-path /metrics/own >"$work/msi.log" 2>&1 || cat "$work/msi.log"; }
    by_hand
    by_hand=$(settings)
    again=by_hand fails install /i "$first" "LISTENADDRESS=127.0.0.1:$port"
    [[ $by_hand == *'hand'*'/metrics/own'* && $(settings) == "$by_hand" ]] || echo "an installation that failed has not left $by_hand: $(settings)"
    in_wine 60 'C:\hand\kagiban-exporter.exe' service remove >"$work/msi.log" 2>&1 || cat "$work/msi.log"

    installer /i "$first" "LISTENADDRESS=127.0.0.1:$port"
    answers || echo 'the service that was installed does not answer at the address that was given'
    [[ $(settings) == *'"C:\Program Files\Kagiban\kagiban-exporter.exe" service run'* ]] || echo "the path of the program is not quoted: $(settings)"
    [ -e "$yaml" ] || echo 'no first configuration was written'
    echo '# of an administrator' >>"$yaml"

    # What was given since is kept by what follows.
    printf 'http_server_config:\n  headers:\n    X-Frame-Options: deny\n' >"${yaml%/*}/web.yaml"
    in_wine 60 "C:\\Program Files\\Kagiban\\kagiban-exporter.exe" service install --keep --web.config.file 'C:\ProgramData\kagiban\web.yaml' >"$work/msi.log" 2>&1 || cat "$work/msi.log"
    given=$(settings)
    [[ $given == *"--web.listen-address 127.0.0.1:$port"* && $given == *'--web.config.file C:\ProgramData\kagiban\web.yaml'* ]] || echo "not kept beside what was given: $given"
    kept() { [ "$(settings)" = "$given" ] || echo "$1 has not kept $given: $(settings)"; }

    # Both would be there for Windows Installer, and the later one would do nothing.
    KAGIBAN_UPGRADES=1 installer /i "$rebuilt"
    cmp -s "$files/kagiban-exporter.exe" "$work/rebuilt.exe" || echo 'another build of the same version was not installed'
    answers || echo 'after another build of the same version it does not answer at the address of before'
    kept 'another build of the same version'
    [ "$(in_wine 30 reg query 'HKLM\Software\Microsoft\Windows\CurrentVersion\Uninstall' /s 2>/dev/null | grep -c 'DisplayName.*Kagiban exporter')" -eq 1 ] ||
        echo 'two builds of one version are installed beside each other'

    KAGIBAN_UPGRADES=1 installer /i "$second"
    answers || echo 'after an upgrade that was told nothing it does not answer at the address of before'
    grep -q 'of an administrator' "$yaml" || echo 'an upgrade has written over the configuration'

    kept 'an upgrade'

    # An upgrade that has stopped the service and then fails has it started again.
    again=true KAGIBAN_UPGRADES=1 fails removal /x "$second"
    kept 'an upgrade that failed'
    answers || echo 'after an upgrade that failed the service does not run'

    installer /x "$second"
    [ -z "$(settings)" ] || echo "the service is left: $(settings)"
    [ ! -e "$files" ] || echo "left: $(find "$files")"
    [ -z "$(in_wine 30 reg query 'HKLM\System\CurrentControlSet\Services\EventLog\Application\kagiban-exporter' 2>/dev/null | grep EventMessageFile)" ] ||
        echo 'the source of events is left'
    grep -q 'of an administrator' "$yaml" || echo 'the configuration is gone'
}
