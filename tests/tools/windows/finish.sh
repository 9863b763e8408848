#!/usr/bin/env bash
# Makes a toolchain for Windows and Wine, with a prefix, of Debian packages that prepare.sh has unpacked and that no script of theirs
# has set up.
#
#   tests/tools/windows/finish.sh ROOT
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$1" && pwd)
triple=x86_64-w64-mingw32
libraries=$root/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH=$libraries

fail() { printf 'prepare: %s\n' "$*" >&2; exit 1; }

# The library is what `std` is built from; the compiler's own sources are 360 MB.
find "$root"/usr/src/rustc-*/ -mindepth 1 -maxdepth 1 ! -name library -exec rm -rf {} +
rm -rf "$root/usr/share/doc" "$root/usr/share/man" "$root/usr/i686-w64-mingw32"

# What update-alternatives would have linked.
for program in "$root/usr/bin/$triple"-*-win32; do
    ln -sf "$(basename "$program")" "${program%-win32}"
done
# GCC knows the linker by this name.
ln -sf ld.lld-19 "$root/usr/bin/$triple-ld.lld"
# Debian's is a script that runs the one below /usr.
ln -sf wineserver64 "$root/usr/lib/wine/wineserver"

for program in usr/bin/rustc usr/bin/cargo "usr/bin/$triple-gcc" "usr/bin/$triple-ld" "usr/bin/$triple-ld.lld" usr/lib/wine/wine64 usr/lib/wine/wineserver; do
    "$root/$program" --version >"$root/said" 2>&1 || { head -n 3 "$root/said" >&2; fail "$program of Debian 12 does not run here; the lines above say why"; }
done
rm "$root/said"

# user32.dll needs zlib1.dll before anything else of the prefix is there.
export WINEPREFIX=$root/prefix HOME=$root/home
system32=$WINEPREFIX/drive_c/windows/system32
mkdir -p "$system32" "$HOME"
cp "$root/usr/$triple/lib/zlib1.dll" "$system32/"
PATH=$root/usr/bin:$PATH "$triple-gcc" -shared -O2 -Wall -Werror -s -o "$system32/bcryptprimitives.dll" "$here/bcryptprimitives.c" -ladvapi32
# shellcheck source=tests/tools/wine.sh
. "$here/../wine.sh"
trap end_wine EXIT
in_wine 180 wineboot --init >"$root/wineboot.log" 2>&1 || { tail -n 3 "$root/wineboot.log" >&2; fail 'wineboot made no prefix within 3 minutes; the lines above say why'; }
end_wine
[ -e "$WINEPREFIX/system.reg" ] || { tail -n 3 "$root/wineboot.log" >&2; fail 'wineboot made a prefix without a registry'; }
rm -rf "$root/wineboot.log" "$HOME"
# 630 MB of them lie in the packages already.
for library in "$system32"/*; do
    original=$libraries/wine/x86_64-windows/$(basename "$library")
    ! cmp -s "$original" "$library" || ln -f "$original" "$library"
done
