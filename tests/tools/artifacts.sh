# Sourced, in the project's root, by the scripts that make artifacts; they define `fail` before. Sets VERSION and SOURCE_DATE_EPOCH, the time that goes into what
# is made: by default that of the last commit, so that the same sources give the same bytes.
VERSION=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
[ -n "$VERSION" ] || fail 'Cargo.toml has no version'
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) ||
        fail 'git does not tell the time of the last commit; the lines above say why. SOURCE_DATE_EPOCH=SECONDS does without'
fi
export VERSION SOURCE_DATE_EPOCH

# The SBOM of a program: the one that lies beside it, or a new one.
sbom() { # program, the directory that it lies in, the file to write
    if [ -e "$2/$1.cdx.json" ]; then
        install -m 0644 "$2/$1.cdx.json" "$3"
    else
        tests/tools/sbom.py "$1" "$3"
    fi
}

# Writes the SHA256SUMS of a directory: `sha256sum --check SHA256SUMS` verifies the files there.
checksums() { # directory, file there...
    local directory=$1
    shift
    (cd "$directory" && sha256sum -- "$@" >SHA256SUMS)
}

# What builds images here: the first of these that is installed, and docker only where its daemon answers.
image_builder() {
    local builder
    for builder in buildah podman docker; do
        case $builder in
        docker) timeout 20 docker version >/dev/null 2>&1 || continue ;;
        *) command -v "$builder" >/dev/null || continue ;;
        esac
        printf '%s\n' "$builder"
        return
    done
    return 1
}
no_image_builder='missing buildah, podman or a docker whose daemon runs: apt-get install buildah'
