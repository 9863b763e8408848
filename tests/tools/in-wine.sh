#!/usr/bin/env bash
# Becomes a program for Windows, under Wine, in a prefix of the caller's.
#
#   in-wine.sh DIRECTORY PROGRAM [ARGUMENT...]   the first call makes the prefix in it
#   in-wine.sh DIRECTORY --end                   ends every program of it
set -euo pipefail
directory=$1
shift
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/tools/windows-toolchain.sh
. tests/tools/windows-toolchain.sh
export WINEPREFIX=$directory/prefix HOME=$directory
# shellcheck source=tests/tools/wine.sh
. tests/tools/wine.sh
if [ "$1" = --end ]; then
    end_wine
    exit
fi
[ -d "$WINEPREFIX" ] || make_prefix "$directory"
exec "$root/usr/lib/wine/wine64" "$@" </dev/null
