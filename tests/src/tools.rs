//! Finds the programs that the tests run; a missing one is an error of one line that says how to get it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::handshake;

/// The modules that `prepare.sh` builds from; their versions name the directories in the cache.
const ETCD_MODULE: (&str, &str) = ("go.etcd.io/etcd/server/v3", include_str!("../tools/etcd/go.mod"));
const KUBERNETES_MODULE: (&str, &str) = ("k8s.io/kubernetes", include_str!("../tools/kubernetes/go.mod"));
const HELM_MODULE: (&str, &str) = ("helm.sh/helm/v4", include_str!("../tools/helm/go.mod"));
const KUBECONFORM_MODULE: (&str, &str) = ("github.com/yannh/kubeconform", include_str!("../tools/kubeconform/go.mod"));
const NFPM_MODULE: (&str, &str) = ("github.com/goreleaser/nfpm/v2", include_str!("../tools/nfpm/go.mod"));
const MONITORING_MODULE: (&str, &str) =
    ("github.com/prometheus-operator/prometheus-operator", include_str!("../tools/prometheus-operator/go.mod"));

pub fn etcd() -> Result<PathBuf> {
    go_tool("etcd", "etcd", ETCD_MODULE)
}

pub fn kube_apiserver() -> Result<PathBuf> {
    go_tool("kube-apiserver", "kubernetes", KUBERNETES_MODULE)
}

pub fn kubectl() -> Result<PathBuf> {
    go_tool("kubectl", "kubernetes", KUBERNETES_MODULE)
}

pub fn helm() -> Result<PathBuf> {
    go_tool("helm", "helm", HELM_MODULE)
}

pub fn kubeconform() -> Result<PathBuf> {
    go_tool("kubeconform", "kubeconform", KUBECONFORM_MODULE)
}

/// Makes packages.
pub fn nfpm() -> Result<PathBuf> {
    go_tool("nfpm", "nfpm", NFPM_MODULE)
}

/// The directory with the CRDs of the Prometheus Operator that the chart has objects of.
pub fn monitoring_crds() -> Result<PathBuf> {
    crds_of("prometheus-operator", MONITORING_MODULE)
}

/// Directories with the CRDs that the examples of GitOps have objects of.
pub fn gitops_crds() -> Result<[PathBuf; 5]> {
    let go_mod = include_str!("../tools/gitops-crds/go.mod");
    Ok([
        crds_of("argo-cd", ("github.com/argoproj/argo-cd/v3", go_mod))?,
        crds_of("kustomize-controller", ("github.com/fluxcd/kustomize-controller", go_mod))?,
        crds_of("source-controller", ("github.com/fluxcd/source-controller", go_mod))?,
        crds_of("external-secrets", ("github.com/external-secrets/external-secrets", go_mod))?,
        crds_of("sealed-secrets", ("github.com/bitnami-labs/sealed-secrets", go_mod))?,
    ])
}

fn crds_of(family: &str, module: (&'static str, &'static str)) -> Result<PathBuf> {
    let directory = cache().join(format!("{family}-{}", pinned(module)?));
    anyhow::ensure!(directory.is_dir(), "missing {}: tests/tools/prepare.sh", directory.display());
    Ok(directory)
}

/// Tells how kstatus, Argo CD and Flux read objects: see its main.go.
pub fn gitops_health() -> Result<PathBuf> {
    let sources = [include_str!("../tools/gitops-health/go.mod"), include_str!("../tools/gitops-health/main.go")];
    go_program("gitops-health", &sources.concat())
}

/// Reads HelmReleases as Flux does: see its main.go.
pub fn helm_release() -> Result<PathBuf> {
    let sources = [include_str!("../tools/helm-release/go.mod"), include_str!("../tools/helm-release/main.go")];
    go_program("helm-release", &sources.concat())
}

/// One of ours; its version is what it is built from.
fn go_program(name: &str, sources: &str) -> Result<PathBuf> {
    let version = &handshake::sha256(sources.as_bytes())[..16];
    let program = cache().join(format!("{name}-{version}")).join(name);
    anyhow::ensure!(program.is_file(), "missing {}: tests/tools/prepare.sh", program.display());
    Ok(program)
}

pub fn promtool() -> Result<PathBuf> {
    let unpacked = cache().join("prometheus/usr/bin/promtool");
    if unpacked.is_file() { Ok(unpacked) } else { on_path("promtool", "prometheus") }
}

pub fn prometheus() -> Result<PathBuf> {
    let unpacked = cache().join("prometheus/usr/bin/prometheus");
    if unpacked.is_file() { Ok(unpacked) } else { on_path("prometheus", "prometheus") }
}

/// Alertmanager, ready for its arguments. Debian's reads its templates from `/usr/share` and nowhere else: it gets the tree of
/// the package there, in a mount namespace of its own.
pub fn alertmanager() -> Result<Command> {
    let tree = cache().join("alertmanager");
    let unpacked = tree.join("usr/bin/prometheus-alertmanager");
    if !unpacked.is_file() {
        return Ok(Command::new(on_path("prometheus-alertmanager", "prometheus-alertmanager")?));
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", "mount --bind \"$1\" /usr/share && shift && exec \"$@\"", "sh"]);
    command.arg(tree.join("usr/share")).arg(unpacked);
    Ok(command)
}

/// A program of the Network UPS Tools, as `lib/nut/upsd` or `bin/upsc`.
pub fn nut(program: &str) -> Result<Command> {
    unpacked("nut", program)
}

/// A program of apcupsd, as `sbin/apcupsd`.
pub fn apcupsd(program: &str) -> Result<Command> {
    unpacked("apcupsd", program)
}

/// A program of Net-SNMP, as `usr/sbin/snmpd` or `usr/bin/snmptrap`.
pub fn snmp(program: &str) -> Result<Command> {
    unpacked("snmp", program)
}

pub fn python() -> Result<PathBuf> {
    on_path("python3", "python3")
}

pub fn dbus_daemon() -> Result<PathBuf> {
    on_path("dbus-daemon", "dbus")
}

pub fn java() -> Result<PathBuf> {
    on_path("java", "openjdk-17-jdk-headless")
}

pub fn keytool() -> Result<PathBuf> {
    from_jdk("keytool")
}

pub fn javac() -> Result<PathBuf> {
    from_jdk("javac")
}

pub fn strace() -> Result<PathBuf> {
    on_path("strace", "strace")
}

pub fn openssl() -> Result<PathBuf> {
    on_path("openssl", "openssl")
}

/// One of the workspace's own programs, built from the sources as they are now.
///
/// Under cargo it is built first, since `cargo test -p kagiban-tests` would take whatever an earlier build left.
/// `KAGIBAN_BIN_DIR` names another build, such as a release.
pub fn ours(name: &str) -> Result<PathBuf> {
    if let Some(directory) = env::var_os("KAGIBAN_BIN_DIR") {
        let program = Path::new(&directory).join(name);
        anyhow::ensure!(program.is_file(), "missing {}: cargo build --release --workspace --bins", program.display());
        return Ok(program);
    }
    static BUILT: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    BUILT.get_or_init(|| build_workspace().map_err(|e| format!("{e:#}"))).clone().map_err(anyhow::Error::msg)?;
    let own = env::current_exe()?;
    let found = own.ancestors().skip(1).take(2).map(|directory| directory.join(name)).find(|p| p.is_file());
    found.with_context(|| format!("missing {name}: cargo build --workspace --bins"))
}

/// Where `prepare.sh` keeps what it built.
pub fn cache() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache"))).unwrap_or_default();
    set("KAGIBAN_CACHE").unwrap_or_else(|| user().join("kagiban"))
}

/// A root of Debian packages, as a tar archive.
pub fn debian_root() -> Result<PathBuf> {
    let version = &handshake::sha256(include_bytes!("../tools/debian-root/packages"))[..16];
    let archive = cache().join(format!("debian-root-{version}")).join("root.tar");
    anyhow::ensure!(archive.is_file(), "missing {}: tests/tools/prepare.sh debian-root", archive.display());
    Ok(archive)
}

/// Another one with buildah, and what stands for the base of an image, as tar archives.
pub fn image_root() -> Result<[PathBuf; 2]> {
    let lists = [include_bytes!("../tools/image-root/packages").as_slice(), include_bytes!("../tools/image-root/base")];
    let version = &handshake::sha256(&lists.concat())[..16];
    let directory = cache().join(format!("image-root-{version}"));
    anyhow::ensure!(directory.is_dir(), "missing {}: tests/tools/prepare.sh image-root", directory.display());
    Ok([directory.join("root.tar"), directory.join("base.tar")])
}

/// Python with the validator of CycloneDX.
pub fn cyclonedx() -> Result<PathBuf> {
    let version = &handshake::sha256(include_bytes!("../tools/cyclonedx/requirements.txt"))[..16];
    let python = cache().join(format!("cyclonedx-{version}/bin/python"));
    anyhow::ensure!(python.is_file(), "missing {}: tests/tools/prepare.sh cyclonedx", python.display());
    Ok(python)
}

/// The program that writes the manual pages.
pub fn manual_pages() -> Result<PathBuf> {
    let program = ours("kagiban-exporter")?.with_file_name("examples").join("manual_pages");
    anyhow::ensure!(program.is_file(), "missing {}: cargo build --workspace --examples", program.display());
    Ok(program)
}

/// The root of the sources.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn build_workspace() -> Result<()> {
    let Some(cargo) = env::var_os("CARGO") else { return Ok(()) };
    let built = Command::new(cargo)
        .args(["build", "--workspace", "--bins", "--examples", "--locked", "--quiet"])
        .current_dir(workspace())
        .status()
        .context("cargo build --workspace --bins")?;
    if built.success() { Ok(()) } else { bail!("cargo build --workspace --bins: {built}") }
}

/// The version of a module in its `go.mod`.
fn pinned((module, go_mod): (&str, &'static str)) -> Result<&'static str> {
    let require = format!("require {module} ");
    go_mod.lines().find_map(|line| line.strip_prefix(&require)).context("no version pinned in go.mod")
}

fn go_tool(program: &str, family: &str, module: (&str, &'static str)) -> Result<PathBuf> {
    let version = pinned(module)?;
    let assets = env::var_os("KUBEBUILDER_ASSETS").map(|directory| PathBuf::from(directory).join(program));
    let cached = cache().join(format!("{family}-{version}")).join(program);
    let candidates = assets.into_iter().chain([cached]);
    // What is on PATH was checked by prepare.sh, which builds the pinned version if it is another.
    candidates
        .into_iter()
        .find(|p| p.is_file())
        .or_else(|| find_on_path(program))
        .with_context(|| format!("missing {program}: tests/tools/prepare.sh"))
}

/// A program out of the Debian packages that `prepare.sh` unpacked into one tree, ready to run with the libraries of that tree.
fn unpacked(family: &str, program: &str) -> Result<Command> {
    let tree = cache().join(family);
    let path = tree.join(program);
    anyhow::ensure!(path.is_file(), "missing {}: tests/tools/prepare.sh", path.display());
    let libraries = ["lib", "usr/lib"].into_iter().flat_map(|directory| fs::read_dir(tree.join(directory))).flatten();
    // Debian keeps them in a directory that is named after the machine, as x86_64-linux-gnu.
    let libraries =
        libraries.flatten().map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with("-gnu"));
    let mut command = Command::new(path);
    command.env("LD_LIBRARY_PATH", env::join_paths(libraries)?);
    Ok(command)
}

fn from_jdk(program: &str) -> Result<PathBuf> {
    // Debian links only some of a JDK's programs into PATH; the others lie beside the real `java`.
    let beside = || Some(java().ok()?.canonicalize().ok()?.with_file_name(program)).filter(|p| p.is_file());
    find_on_path(program)
        .or_else(beside)
        .with_context(|| format!("missing {program}: apt-get install openjdk-17-jdk-headless"))
}

/// A program of this machine, or which package has it.
pub fn on_path(program: &str, package: &str) -> Result<PathBuf> {
    find_on_path(program).with_context(|| format!("missing {program}: apt-get install {package}"))
}

fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|p| p.is_file())
}
