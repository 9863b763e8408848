#!/usr/bin/env bash
# Builds the images of both programs into target/images, as OCI archives with their SBOMs and SHA256SUMS, by buildah, podman or
# docker, whichever is there. The same programs and the same base give the same bytes; by docker, which does it its own way, the
# same layers.
#
#   BASE=IMAGE                  the base, instead of the one in Containerfile
#   KAGIBAN_BIN_DIR=DIR         a directory with the programs, as already built; by default tests/tools/release.sh builds them
#   KAGIBAN_IMAGES=DIR          where the archives go
#   SOURCE_DATE_EPOCH=SECONDS   the time of every file; by default that of the last commit
set -euo pipefail
umask 022
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'images: %s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }
. tests/tools/artifacts.sh

builder=$(image_builder) || fail "$no_image_builder"
if [ -z "${KAGIBAN_BIN_DIR:-}" ]; then
    tests/tools/release.sh
    KAGIBAN_BIN_DIR=${CARGO_TARGET_DIR:-target}/x86_64-unknown-linux-gnu/release
fi
out=${KAGIBAN_IMAGES:-${CARGO_TARGET_DIR:-target}/images}
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
context=$work/context
mkdir -p "$out"
# Those of another version are not in the new SHA256SUMS.
rm -f -- "$out"/kagiban-{exporter,operator}-[0-9]*.oci.tar

# Where its failure is asked for, `set -e` does not hold in it.
build() { # program, options of all builders...
    local program=$1 image=$1:$VERSION archive=$1-$VERSION.oci.tar
    shift
    case $builder in
    docker)
        docker buildx build --quiet --provenance=false --output "type=oci,dest=$work/$archive,name=$image,rewrite-timestamp=true" "$@" || return
        ;;
    *)
        # The epoch as a variable means to newer ones that files keep their own time.
        env -u SOURCE_DATE_EPOCH "$builder" build --quiet --no-cache --format oci --identity-label=false \
            --timestamp "$SOURCE_DATE_EPOCH" --tag "$image" "$@" || return
        "$builder" push --quiet "$image" "oci:$work/$program:$VERSION" || return
        tar --create --file "$work/$archive" --directory "$work/$program" --sort=name --owner=0 --group=0 --numeric-owner --mode=go=u,go-w \
            --mtime="@$SOURCE_DATE_EPOCH" blobs index.json oci-layout || return
        ;;
    esac
}

files=()
for program in kagiban-exporter kagiban-operator; do
    [ -x "$KAGIBAN_BIN_DIR/$program" ] || fail "missing $KAGIBAN_BIN_DIR/$program"
    sbom "$program" "$KAGIBAN_BIN_DIR" "$out/$program.cdx.json"
    doc=$context/$program/usr/share/doc/$program
    install -D -m 0755 "$KAGIBAN_BIN_DIR/$program" "$context/$program/usr/bin/$program"
    install -D -m 0644 LICENSE "$doc/LICENSE"
    install -D -m 0644 "$out/$program.cdx.json" "$doc/$program.cdx.json"
    mkdir -p "$context/state"
    find "$context" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

    options=(--file Containerfile --target "$program" --label "org.opencontainers.image.version=$VERSION")
    [ -z "${BASE:-}" ] || options+=(--build-arg "BASE=$BASE")
    archive=$program-$VERSION.oci.tar
    build "$program" "${options[@]}" "$context" >"$work/log" 2>&1 ||
        { cat "$work/log" >&2; fail "$builder builds no image of $program; the lines above say why"; }
    mv "$work/$archive" "$out/$archive"
    files+=("$archive" "$program.cdx.json")
    digests=$(tar --extract --to-stdout --file "$out/$archive" index.json | grep -o 'sha256:[0-9a-f]*')
    say "$out/$archive: $(stat -c %s "$out/$archive") bytes, image $program:$VERSION, digest ${digests%%$'\n'*}"
done
checksums "$out" "${files[@]}"
say "$out/SHA256SUMS"
