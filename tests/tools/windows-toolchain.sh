# The toolchain for Windows and Wine, as prepare.sh has them, for scripts that source this in the root of the repository. `root` is
# where they were unpacked, `target` where cargo builds, and `triple` for what.
# shellcheck shell=bash

triple=x86_64-pc-windows-gnu
# The toolchain is another one than that of `make test`: neither must rebuild what the other has built.
target=${CARGO_TARGET_DIR:-target}/windows
root=${KAGIBAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kagiban}/windows-$(cat tests/tools/windows/* | sha256sum | cut -c1-16)

# Says what is missing, and fetches what is not there yet.
have_windows_toolchain() {
    local need
    for need in cc:gcc curl:curl python3:python3 timeout:coreutils flock:util-linux; do
        command -v "${need%:*}" >/dev/null || { printf 'missing %s: apt-get install %s\n' "${need%:*}" "${need#*:}" >&2; return 1; }
    done
    [ ! -d "$root" ] || return 0
    command -v apt-get >/dev/null || { printf 'missing apt-get: the toolchain and Wine are packages of Debian 12; run this there, or in a container of it\n' >&2; return 1; }
    command -v dpkg-deb >/dev/null || { printf 'missing dpkg-deb: apt-get install dpkg\n' >&2; return 1; }
    tests/tools/prepare.sh windows
}

# Debian has no standard library for Windows that is built already, and `-Z build-std` is unstable. aws-lc brings objects of its own
# for those who have no NASM. GNU ld links a program with tests in twenty seconds, LLVM's linker in one.
cargo_for_windows() { # build or test, arguments...
    env PATH="$root/usr/bin:$PATH" LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu" RUSTC="$root/usr/bin/rustc" RUSTC_BOOTSTRAP=1 \
        AWS_LC_SYS_PREBUILT_NASM=1 CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUSTFLAGS=-Clink-arg=-fuse-ld=lld \
        "$root/usr/bin/cargo" "$1" --locked -Z build-std=std,panic_unwind,test --target "$triple" --target-dir "$target" "${@:2}"
}

# A prefix of links in a directory: what the programs of Windows are is in the cache, and what a run writes is its own.
make_prefix() { # directory
    cp -rs "$root/prefix/drive_c" "$1/" && mkdir "$1/prefix" && mv "$1/drive_c" "$1/prefix/" &&
        cp -P "$root"/prefix/*.reg "$root/prefix/.update-timestamp" "$1/prefix/" && cp -RP "$root/prefix/dosdevices" "$1/prefix/"
}
