# Wine as prepare.sh has it, for scripts that source this: no window, no message of its own, nothing of it left behind. They set
# `root`, where it was unpacked, and WINEPREFIX, a directory of theirs alone.
# shellcheck shell=bash

export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml,winemenubuilder.exe='
unset DISPLAY WAYLAND_DISPLAY

in_wine() { # seconds, program, arguments...
    local deadline=$1
    shift
    # In the foreground, so that an interrupt reaches it.
    timeout --foreground --kill-after=5 "$deadline" "$root/usr/lib/wine/wine64" "$@" </dev/null
}

# Ends every program of the prefix and waits for it. Debian's wineserver makes a directory for its socket, whose name it keeps in the
# prefix, and leaves it there.
end_wine() {
    local socket
    [ -e "$WINEPREFIX/wineserver" ] || return 0
    timeout --kill-after=5 30 "$root/usr/lib/wine/wineserver" --kill >/dev/null 2>&1 || :
    timeout --kill-after=5 30 "$root/usr/lib/wine/wineserver" --wait >/dev/null 2>&1 || :
    socket=$(cat "$WINEPREFIX/wineserver")
    case $socket in wine-??????) rm -rf "/tmp/$socket" ;; esac
    rm -f "$WINEPREFIX/wineserver"
    return 0
}
