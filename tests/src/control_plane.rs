//! A real control plane on loopback: etcd and kube-apiserver, with RBAC and an audit log.
//!
//! It has no controllers: nothing collects garbage or empties a deleted namespace, so every test takes a new one.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Result;
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use serde_json::json;

use crate::kubectl::Kubectl;
use crate::pki::{Authority, Purpose, Validity};
use crate::ports::{Port, on_ports};
use crate::process::Program;
use crate::{quickstart, scratch, tools};

/// The service account that the operator runs as, with what `examples/operator` grants it.
pub const OPERATOR_NAMESPACE: &str = "kagiban-system";
pub const OPERATOR_ACCOUNT: &str = "kagiban-operator";

/// Measured: 5 s on two idle cores, and more than 90 s on two that had eight compilers to run. The rest is for such a machine.
const READY_DEADLINE: Duration = Duration::from_secs(240);
/// Only this machine's tests ever present them, over loopback, to a server that lives as long as the test.
const ADMIN_TOKEN: &str = "admin-of-the-tests";
const OPERATOR_TOKEN: &str = "operator-of-the-tests";

/// Who did what, without bodies: a body of a Secret must not come to lie in a log.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
";

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    directory: PathBuf,
    admin_kubeconfig: PathBuf,
    operator_kubeconfig: PathBuf,
    // The API server first: dropped in this order, it does not complain about a missing etcd.
    _apiserver: Program,
    _etcd: Program,
    /// Of etcd's clients, etcd's peers and the API server.
    ports: [Port; 3],
}

impl ControlPlane {
    /// The one that all tests of a process share, with what a cluster has before a user comes.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<std::result::Result<ControlPlane, String>> = OnceLock::new();
        let installed = || {
            let plane = Self::start()?;
            quickstart::install_crd(&plane.admin()?)?;
            Ok(plane)
        };
        SHARED
            .get_or_init(|| installed().map_err(|e: anyhow::Error| format!("{e:#}")))
            .as_ref()
            .map_err(anyhow::Error::msg)
    }

    pub fn start() -> Result<Self> {
        on_ports(Self::start_on)
    }

    fn start_on(ports: [Port; 3]) -> Result<Self> {
        let directory = scratch::directory("control-plane")?;
        let [etcd_client, etcd_peer, secure] = &ports;

        let mut etcd = start_etcd(&directory, etcd_client, etcd_peer)?;
        // etcd asks nobody who they are: that it is ours is seen by its socket.
        etcd.wait_ready_on(etcd_client.number(), READY_DEADLINE, || TcpStream::connect(etcd_client.address()).is_ok())?;

        let authority = Authority::new("control plane of the tests")?;
        let mut apiserver = start_apiserver(&directory, &authority, etcd_client, secure)?;
        let admin_kubeconfig = write_kubeconfig(&directory, "admin", &authority, secure, ADMIN_TOKEN)?;
        let operator_kubeconfig = write_kubeconfig(&directory, "operator", &authority, secure, OPERATOR_TOKEN)?;
        let kubectl = Kubectl::new(&admin_kubeconfig)?;
        apiserver.wait_ready_on(secure.number(), READY_DEADLINE, || {
            TcpStream::connect(secure.address()).is_ok() && kubectl.run(&["get", "--raw", "/readyz"]).is_ok()
        })?;
        Ok(Self { directory, admin_kubeconfig, operator_kubeconfig, _apiserver: apiserver, _etcd: etcd, ports })
    }

    /// `kubectl` as a user who may do everything.
    pub fn admin(&self) -> Result<Kubectl> {
        Kubectl::new(&self.admin_kubeconfig)
    }

    /// `kubectl` as the operator's service account.
    pub fn as_operator(&self) -> Result<Kubectl> {
        Kubectl::new(&self.operator_kubeconfig)
    }

    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin_kubeconfig
    }

    pub fn operator_kubeconfig(&self) -> &Path {
        &self.operator_kubeconfig
    }

    /// One JSON object per line.
    pub fn audit_log(&self) -> PathBuf {
        self.directory.join("audit.log")
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where etcd answers its clients, without TLS and to everybody.
    pub fn etcd_address(&self) -> SocketAddr {
        self.ports[0].address()
    }
}

fn start_etcd(directory: &Path, client: &Port, peer: &Port) -> Result<Program> {
    let mut command = Command::new(tools::etcd()?);
    command
        .arg("--data-dir")
        .arg(directory.join("etcd"))
        .args(["--listen-client-urls", &format!("http://{}", client.address())])
        .args(["--advertise-client-urls", &format!("http://{}", client.address())])
        .args(["--listen-peer-urls", &format!("http://{}", peer.address())])
        // It lives as long as one run of the tests; nothing of it must survive a power cut.
        .args(["--unsafe-no-fsync", "--log-level", "warn"]);
    Program::start("etcd", &command, directory)
}

fn start_apiserver(directory: &Path, authority: &Authority, etcd: &Port, secure: &Port) -> Result<Program> {
    let serving =
        authority.issue(&["localhost", "127.0.0.1", "kubernetes.default.svc"], Purpose::Server, Validity::Now)?;
    let (certificate, key) = serving.write(directory, "apiserver")?;
    let accounts_key = directory.join("service-accounts.key");
    fs::write(&accounts_key, KeyPair::generate_for(&PKCS_RSA_SHA256)?.serialize_pem())?;
    let audit_policy = directory.join("audit-policy.yaml");
    fs::write(&audit_policy, AUDIT_POLICY)?;
    let tokens = directory.join("tokens.csv");
    fs::write(&tokens, token_file())?;

    let mut command = Command::new(tools::kube_apiserver()?);
    let mut path = |flag: &str, path: &Path| {
        command.arg(format!("{flag}={}", path.display()));
    };
    path("--tls-cert-file", &certificate);
    path("--tls-private-key-file", &key);
    path("--cert-dir", directory);
    path("--service-account-key-file", &accounts_key);
    path("--service-account-signing-key-file", &accounts_key);
    path("--token-auth-file", &tokens);
    path("--audit-policy-file", &audit_policy);
    path("--audit-log-path", &directory.join("audit.log"));
    command
        .arg(format!("--etcd-servers=http://{}", etcd.address()))
        .arg(format!("--secure-port={}", secure.number()))
        .args([
            "--bind-address=127.0.0.1",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/24",
            // Without controllers no service account gets its token.
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
        ]);
    Program::start("kube-apiserver", &command, directory)
}

fn token_file() -> String {
    let groups = format!("system:serviceaccounts,system:serviceaccounts:{OPERATOR_NAMESPACE}");
    let account = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_ACCOUNT}");
    format!("{ADMIN_TOKEN},admin,admin,\"system:masters\"\n{OPERATOR_TOKEN},{account},operator,\"{groups}\"\n")
}

fn write_kubeconfig(
    directory: &Path,
    user: &str,
    authority: &Authority,
    secure: &Port,
    token: &str,
) -> Result<PathBuf> {
    let ca = directory.join("ca.crt");
    fs::write(&ca, &authority.identity.certificate)?;
    let server = format!("https://127.0.0.1:{}", secure.number());
    // JSON is YAML, and needs no quoting rules of ours.
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kagiban", "cluster": {"server": server, "certificate-authority": ca}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "kagiban", "context": {"cluster": "kagiban", "user": user}}],
        "current-context": "kagiban",
    });
    let path = directory.join(format!("{user}.kubeconfig"));
    fs::write(&path, serde_json::to_string_pretty(&kubeconfig)?)?;
    Ok(path)
}
