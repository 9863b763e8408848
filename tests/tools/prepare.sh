#!/usr/bin/env bash
# Obtains what the tests and the demo need and a machine may not have: says first what will be fetched or built and how
# long it takes, then does it, once. A tool is looked for in KUBEBUILDER_ASSETS, in the cache and on PATH, in that order;
# what is on PATH counts only in the pinned version, which is the one in tests/tools/*/go.mod.
#
#   tests/tools/prepare.sh            everything
#   tests/tools/prepare.sh TOOL...    these alone, such as nfpm; msitools and windows are had in this way only
#   tests/tools/prepare.sh demo [TOOL...]   the same, where a machine has what the demo needs
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${KAGIBAN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kagiban}

say() { printf 'prepare: %s\n' "$*"; }
fail() { printf 'prepare: %s\n' "$*" >&2; exit 1; }

pinned() { # directory, module
    sed -n "s|^require $2 ||p" "$here/$1/go.mod" | grep . || fail "no version of $2 is pinned in $here/$1/go.mod"
}

etcd_version=$(pinned etcd go.etcd.io/etcd/server/v3)
kubernetes_version=$(pinned kubernetes k8s.io/kubernetes)
helm_version=$(pinned helm helm.sh/helm/v4)
kubeconform_version=$(pinned kubeconform github.com/yannh/kubeconform)
monitoring_version=$(pinned prometheus-operator github.com/prometheus-operator/prometheus-operator)
etcd_home=$cache/etcd-$etcd_version
kubernetes_home=$cache/kubernetes-$kubernetes_version
helm_home=$cache/helm-$helm_version
kubeconform_home=$cache/kubeconform-$kubeconform_version
monitoring_home=$cache/prometheus-operator-$monitoring_version
argo_version=$(pinned gitops-crds github.com/argoproj/argo-cd/v3)
argo_home=$cache/argo-cd-$argo_version
flux_version=$(pinned gitops-crds github.com/fluxcd/kustomize-controller)
flux_home=$cache/kustomize-controller-$flux_version
source_version=$(pinned gitops-crds github.com/fluxcd/source-controller)
source_home=$cache/source-controller-$source_version
sealed_secrets_version=$(pinned gitops-crds github.com/bitnami-labs/sealed-secrets)
sealed_secrets_home=$cache/sealed-secrets-$sealed_secrets_version
nfpm_version=$(pinned nfpm github.com/goreleaser/nfpm/v2)
nfpm_home=$cache/nfpm-$nfpm_version
# A root of Debian packages; its version is the list of what is in it.
debian_root_home=$cache/debian-root-$(sha256sum "$here/debian-root/packages" | cut -c1-16)
# Another with buildah, and what stands for the base of images; their version likewise.
image_root_home=$cache/image-root-$(cat "$here/image-root/packages" "$here/image-root/base" | sha256sum | cut -c1-16)
# What validates SBOMs, likewise.
cyclonedx_home=$cache/cyclonedx-$(sha256sum "$here/cyclonedx/requirements.txt" | cut -c1-16)
external_secrets_version=$(pinned gitops-crds github.com/external-secrets/external-secrets)
external_secrets_home=$cache/external-secrets-$external_secrets_version
# Ours: its version is what it is built from.
gitops_version=$(cat "$here/gitops-health/go.mod" "$here/gitops-health/main.go" | sha256sum | cut -c1-16)
gitops_home=$cache/gitops-health-$gitops_version
# Likewise.
helm_release_version=$(cat "$here/helm-release/go.mod" "$here/helm-release/main.go" | sha256sum | cut -c1-16)
helm_release_home=$cache/helm-release-$helm_release_version
# A toolchain and Wine; their version is the list of packages and what is made of them.
windows_home=$cache/windows-$(cat "$here"/windows/* | sha256sum | cut -c1-16)

# What must be on the machine.

# One that is asked for certain tools alone says by itself what it misses.
demo=
[ "${1:-}" != demo ] || { demo=yes; shift; }
tools_asked=$*
need() { # program, Debian package
    command -v "$1" >/dev/null 2>&1 || fail "missing $1: apt-get install $2"
}

java_home() {
    java -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java.home = //p'
}

need_from_jdk() {
    command -v "$1" >/dev/null 2>&1 || [ -x "$(java_home)/bin/$1" ] || fail "missing $1: apt-get install openjdk-17-jdk-headless"
}

command -v cargo >/dev/null 2>&1 || fail "missing cargo: install Rust 1.95 or later, see https://rustup.rs"
if [ -n "$demo" ] || [ -z "$tools_asked" ]; then
    need cc gcc
    need java openjdk-17-jdk-headless
    need_from_jdk javac
    need_from_jdk keytool
    need openssl openssl
    need setpriv util-linux
fi
if [ -z "$demo$tools_asked" ]; then
    need strace strace
    need python3 python3
    need dbus-daemon dbus
    need curl curl
    need jq jq
    need setsid util-linux
    need unshare util-linux
    need mount mount
    need ip iproute2
    need flock util-linux
    need strip binutils
    need chroot coreutils
fi

# What is to be obtained.

found() { # program, directory in the cache, a command on PATH that prints the version, the version
    [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$1" ] && return 0
    [ -x "$2/$1" ] && return 0
    command -v "$1" >/dev/null 2>&1 && [[ $($3 2>/dev/null) == *"${4#v}"* ]]
}

unpacked() { # family, a file that it must hold
    [ -e "$cache/$1/$2" ]
}

todo=()
found etcd "$etcd_home" "etcd --version" "$etcd_version" || todo+=(etcd)
found kube-apiserver "$kubernetes_home" "kube-apiserver --version" "$kubernetes_version" || todo+=(kube-apiserver)
found kubectl "$kubernetes_home" "kubectl version --client" "$kubernetes_version" || todo+=(kubectl)
found helm "$helm_home" "helm version --short" "$helm_version" || todo+=(helm)
found kubeconform "$kubeconform_home" "kubeconform -v" "$kubeconform_version" || todo+=(kubeconform)
[ -d "$monitoring_home" ] || todo+=(monitoring-crds)
for home in "$argo_home" "$flux_home" "$source_home" "$external_secrets_home" "$sealed_secrets_home"; do
    [ -d "$home" ] || { todo+=(gitops-crds); break; }
done
[ -x "$helm_release_home/helm-release" ] || todo+=(helm-release)
[ -x "$gitops_home/gitops-health" ] || todo+=(gitops-health)
command -v promtool >/dev/null 2>&1 || unpacked prometheus usr/bin/promtool || todo+=(promtool)
command -v prometheus-alertmanager >/dev/null 2>&1 || unpacked alertmanager usr/bin/prometheus-alertmanager || todo+=(alertmanager)
unpacked nut lib/nut/upsd || todo+=(nut)
unpacked apcupsd sbin/apcupsd || todo+=(apcupsd)
unpacked snmp usr/sbin/snmpd || todo+=(snmp)
[ -x "$nfpm_home/nfpm" ] || todo+=(nfpm)
[ -e "$debian_root_home/root.tar" ] || todo+=(debian-root)
[ -e "$image_root_home/base.tar" ] || todo+=(image-root)
[ -e "$cyclonedx_home/complete" ] || todo+=(cyclonedx)
# `make test` needs none of it.
case " $tools_asked " in *" msitools "*) unpacked msitools usr/bin/msibuild || todo+=(msitools) ;; esac
case " $tools_asked " in *" windows "*) [ -d "$windows_home" ] || todo+=(windows) ;; esac
if [ -n "$demo$tools_asked" ]; then
    asked=()
    for tool in "${todo[@]}"; do case " $* " in *" $tool "*) asked+=("$tool") ;; esac done
    todo=("${asked[@]}")
fi

announce() {
    case $1 in
    etcd) say "  etcd $etcd_version, built from its Go module: about 1 min, 26 MB" ;;
    kube-apiserver) say "  kube-apiserver $kubernetes_version, built from its Go module: about 6 min, 105 MB" ;;
    kubectl) say "  kubectl $kubernetes_version, built from the same module: about 1 min, 76 MB" ;;
    helm) say "  helm $helm_version, built from its Go module: about 2 min, 60 MB" ;;
    kubeconform) say "  kubeconform $kubeconform_version, built from its Go module: about 5 s, 8 MB" ;;
    monitoring-crds) say "  the CRDs of the Prometheus Operator $monitoring_version, out of its Go module: about 10 s, 4 MB" ;;
    gitops-crds) say "  CRDs of Argo CD $argo_version, Flux's kustomize-controller $flux_version and source-controller $source_version, External Secrets $external_secrets_version and Sealed Secrets $sealed_secrets_version, out of their Go modules: about 10 s, 2 MB" ;;
    helm-release) say "  helm-release, with the types of Flux's helm-controller, built from Go modules: about 20 s, 8 MB" ;;
    gitops-health) say "  gitops-health, with kstatus, Lua and CEL, built from Go modules: about 1 min, 33 MB" ;;
    promtool) say "  promtool, from Debian's package prometheus, unpacked without installing it: about 10 s, 100 MB" ;;
    alertmanager) say "  Alertmanager, from Debian's package prometheus-alertmanager, unpacked likewise: about 5 s, 42 MB" ;;
    nut) say "  upsd and dummy-ups, from Debian's package nut-server, unpacked likewise: about 5 s, 10 MB" ;;
    msitools) say "  wixl and msibuild, from Debian's packages, with their libraries, unpacked likewise: about 5 s, 8 MB" ;;
    snmp) say "  snmpd and snmptrap, from Debian's packages, unpacked likewise: about 5 s, 20 MB" ;;
    nfpm) say "  nfpm $nfpm_version, built from its Go module: about 20 s, 15 MB" ;;
    debian-root) say "  a root of Debian packages in which ours are installed: about 1 min, 360 MB" ;;
    image-root) say "  a root of Debian packages with buildah, and the base of an image: about 1 min, 220 MB" ;;
    cyclonedx) say "  the validator of CycloneDX, from PyPI: about 20 s, 45 MB" ;;
    apcupsd) say "  apcupsd, from Debian's package, unpacked likewise: about 5 s, 2 MB" ;;
    windows) say "  Rust and GCC for Windows and Wine, from Debian's packages, unpacked likewise: about 1 min, 1.7 GB" ;;
    esac
}

if [ ${#todo[@]} -eq 0 ]; then
    say "every tool is there"
else
    say "to be fetched and built, times for 2 cores, into $cache:"
    for tool in "${todo[@]}"; do announce "$tool"; done
fi
if [ ! -d "${CARGO_TARGET_DIR:-$root/target}/debug/deps" ]; then
    if [ -n "$demo" ]; then
        say "  then our programs with their dependencies in Rust, by cargo: about 6 min, 1.5 GB"
    elif [ -z "$tools_asked" ]; then
        say "  then the Rust workspace with its dependencies, by cargo: about 6 min, 3 GB"
    fi
fi
[ ${#todo[@]} -eq 0 ] && exit 0

# Obtaining it.

case " ${todo[*]} " in
*etcd* | *kube* | *helm* | *monitoring-crds* | *gitops* | *nfpm*)
    command -v go >/dev/null 2>&1 ||
        fail "missing go: install Go 1.26 or later (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver and kubectl"
    ;;
esac
mkdir -p "$cache"
# Two runs at once would build everything twice.
exec 9>"$cache/.lock"
flock -n 9 || { say "waiting for another prepare to finish"; flock 9; }

# Built under a temporary name and renamed, so that what an interrupted build left is never taken for whole.
go_build() { # directory of the go.mod, package, ldflags, destination
    [ -x "$4" ] && return 0
    local started=$SECONDS
    mkdir -p "$(dirname "$4")"
    say "building $(basename "$4")"
    (cd "$here/$1" && GOFLAGS=-mod=readonly CGO_ENABLED=0 go build -trimpath -ldflags "$3" -o "$4.partial" "$2") ||
        fail "go build $2 failed in $here/$1; the lines above say why"
    mv "$4.partial" "$4"
    say "built $(basename "$4") in $((SECONDS - started)) s"
}

# Files of a Go module, without building anything of it.
copy_from_module() { # directory of the go.mod, module, version, destination, the files in it...
    local directory=$1 module=$2 version=$3 destination=$4 source work file
    shift 4
    [ -d "$destination" ] && return 0
    say "fetching $module $version"
    source=$(cd "$here/$directory" && GOFLAGS=-mod=readonly go mod download -json "$module@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    [ -n "$source" ] || fail "go mod download $module@$version failed in $here/$directory; the lines above say why"
    work=$(mktemp -d "$destination.XXXXXX")
    for file in "$@"; do install -m 0644 "$source/$file" "$work/"; done
    mv "$work" "$destination"
}

# Debian packages, unpacked into one tree of the cache; nothing is installed and no script of theirs runs.
unpack() { # family, packages...
    local family=$1
    shift
    unpack_into "$cache/$family" "$family" "$@"
}

# A name with a star is the pattern of one that changes with the version of a package, on which another of them depends.
unpack_into() { # directory, what it is, packages...
    local directory=$1 family=$2 work package
    local named=() starred=()
    shift 2
    for package in "$@"; do case $package in *'*') starred+=("$package") ;; *) named+=("$package") ;; esac done
    work=$(mktemp -d "$directory.XXXXXX")
    say "fetching $*"
    if ! (cd "$work" && fetch "${named[@]}" && fetch_what_is_depended_on "${starred[@]}") >"$work/log" 2>&1; then
        tail -n 3 "$work/log" >&2
        rm -rf "$work"
        fail "missing $family: apt-get download $*"
    fi
    for package in "$work"/*.deb; do dpkg -x "$package" "$work/root"; done
    rm -rf "${directory:?}"
    mv "$work/root" "$directory"
    rm -rf "$work"
}

fetch() { # packages...
    # A fresh machine has no package lists yet; only root can fetch them.
    apt-get download "$@" || { apt-get update && apt-get download "$@"; }
}

fetch_what_is_depended_on() { # patterns, each of a name that what is there by then depends on...
    local pattern names
    for pattern in "$@"; do
        # shellcheck disable=SC2254  # it is a pattern
        names=$(for package in *.deb; do dpkg-deb --field "$package" Depends; done | tr ',|' '\n\n' | sed 's/^ *//; s/[ :].*//' | sort -u |
            while read -r name; do case $name in $pattern) echo "$name" ;; esac done)
        [ -n "$names" ] || { echo "none of the packages depends on $pattern"; return 1; }
        # shellcheck disable=SC2086  # one or more
        fetch $names || return
    done
}

# Roots of Debian packages, as archives, in one directory of the cache. mmdebstrap is a script, and runs where it was unpacked.
make_roots() { # directory, then for each root: archive, variant, file with its packages
    local home=$1 work
    shift
    unpacked mmdebstrap usr/bin/mmdebstrap || unpack mmdebstrap mmdebstrap
    work=$(mktemp -d "$home.XXXXXX")
    while [ $# -gt 0 ]; do
        say "making a root of Debian packages: those in ${3#"$root/"}"
        PATH="$cache/mmdebstrap/usr/bin:$PATH" "$cache/mmdebstrap/usr/bin/mmdebstrap" --quiet --variant="$2" --include="$(paste -sd, "$3")" \
            --aptopt='APT::Install-Recommends "false"' --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/locale/*' \
            bookworm "$work/$1" >"$work/log" 2>&1 ||
            { tail -n 5 "$work/log" >&2; rm -rf "$work"; fail "missing $(basename "${home%-*}"): mmdebstrap failed; the lines above say why"; }
        shift 3
    done
    mv "$work" "$home"
}

# A directory of Python's with what a list names. It is made in its place, whose path stands in it.
python_environment() { # directory, list
    rm -rf "$1"
    python3 -m venv "$1" >/dev/null || { rm -rf "$1"; fail "python3 makes no environment: apt-get install python3-venv"; }
    "$1/bin/pip" install --quiet --disable-pip-version-check --requirement "$2" ||
        { rm -rf "$1"; fail "what ${2#"$root/"} names cannot be had from PyPI; the lines above say why"; }
    # One that was interrupted has none.
    touch "$1/complete"
}

kubernetes_flags="-s -w -X k8s.io/component-base/version.gitVersion=$kubernetes_version"
for tool in "${todo[@]}"; do
    case $tool in
    etcd) go_build etcd go.etcd.io/etcd/server/v3 "-s -w" "$etcd_home/etcd" ;;
    kube-apiserver | kubectl)
        go_build kubernetes "k8s.io/kubernetes/cmd/$tool" "$kubernetes_flags" "$kubernetes_home/$tool"
        ;;
    helm) go_build helm helm.sh/helm/v4/cmd/helm "-s -w -X helm.sh/helm/v4/internal/version.version=$helm_version" "$helm_home/helm" ;;
    kubeconform) go_build kubeconform github.com/yannh/kubeconform/cmd/kubeconform "-s -w -X main.version=$kubeconform_version" "$kubeconform_home/kubeconform" ;;
    gitops-crds)
        copy_from_module gitops-crds github.com/argoproj/argo-cd/v3 "$argo_version" "$argo_home" \
            manifests/crds/application-crd.yaml manifests/crds/applicationset-crd.yaml
        copy_from_module gitops-crds github.com/fluxcd/kustomize-controller "$flux_version" "$flux_home" \
            config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml
        copy_from_module gitops-crds github.com/external-secrets/external-secrets "$external_secrets_version" "$external_secrets_home" \
            config/crds/bases/external-secrets.io_externalsecrets.yaml
        copy_from_module gitops-crds github.com/fluxcd/source-controller "$source_version" "$source_home" \
            config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml
        copy_from_module gitops-crds github.com/bitnami-labs/sealed-secrets "$sealed_secrets_version" "$sealed_secrets_home" \
            helm/sealed-secrets/crds/bitnami.com_sealedsecrets.yaml
        ;;
    gitops-health) go_build gitops-health . "-s -w" "$gitops_home/gitops-health" ;;
    helm-release) go_build helm-release . "-s -w" "$helm_release_home/helm-release" ;;
    monitoring-crds)
        crds=example/prometheus-operator-crd/monitoring.coreos.com
        copy_from_module prometheus-operator github.com/prometheus-operator/prometheus-operator "$monitoring_version" "$monitoring_home" \
            "${crds}_servicemonitors.yaml" "${crds}_podmonitors.yaml" "${crds}_scrapeconfigs.yaml" "${crds}_prometheusrules.yaml"
        ;;
    nfpm) go_build nfpm github.com/goreleaser/nfpm/v2/cmd/nfpm "-s -w -X main.version=$nfpm_version" "$nfpm_home/nfpm" ;;
    debian-root) make_roots "$debian_root_home" root.tar essential "$here/debian-root/packages" ;;
    image-root)
        # The base is only unpacked, as those of images without a shell are.
        make_roots "$image_root_home" root.tar essential "$here/image-root/packages" base.tar extract "$here/image-root/base"
        ;;
    cyclonedx) python_environment "$cyclonedx_home" "$here/cyclonedx/requirements.txt" ;;
    promtool) unpack prometheus prometheus ;;
    alertmanager) unpack alertmanager prometheus-alertmanager ;;
    # The libraries are those that a machine without the package lacks. NSS is upsd's TLS, its tools make the key store.
    nut) unpack nut nut-server nut-client libupsclient6 libwrap0 libnss3-tools ;;
    snmp) unpack snmp snmpd snmp libsnmp40 libsnmp-base libpci3 libwrap0 libsensors5 ;;
    msitools) unpack msitools wixl wixl-data msitools libmsi0 libgcab-1.0-0 libgsf-1-114 libgsf-1-common ;;
    apcupsd) unpack apcupsd apcupsd libusb-0.1-4 libwrap0 ;;
    windows)
        # Another prepare may have made it meanwhile.
        if [ ! -d "$windows_home" ]; then
            # The libraries among them are those that neither gcc nor curl, which are needed anyway, have brought.
            mapfile -t windows_packages <"$here/windows/packages"
            unpack_into "$windows_home.partial" windows "${windows_packages[@]}"
            say "making a toolchain and a prefix of Wine of them"
            "$here/windows/finish.sh" "$windows_home.partial"
            mv "$windows_home.partial" "$windows_home"
        fi
        ;;
    esac
done
say "done"
