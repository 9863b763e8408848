//! `make demo`: one PowerChute keystore rotated end to end, line by line, with everything real but the UPS agent; from directories, or
//! with `CLUSTER=1` from an API server. With `PRODUCTS=1` the other products of the vendors' notices follow, each on a host of its own.

mod clients;
mod outcome;
mod products;
mod progress;
mod seen;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kagiban_tests::control_plane::ControlPlane;
use kagiban_tests::enroll::enroll;
use kagiban_tests::host::Host;
use kagiban_tests::keeper::Keeper;
use kagiban_tests::keystore::StoreType;
use kagiban_tests::kubectl::Kubectl;
use kagiban_tests::operator::Operator;
use kagiban_tests::powerchute::{ALIAS, EXTRA_ALIAS, Installation};
use kagiban_tests::quickstart::{self, CLIENT_SECRET, Fleet, HOST, RESOURCE};
use kagiban_tests::scratch;
use kagiban_tests::stage::condition;
use kagiban_tests::standalone::Standalone;
use kagiban_tests::wine::Wine;
use serde_json::Value;

use crate::outcome::Outcome;
use crate::products::{found, play_products};
use crate::progress::Progress;

const NAMESPACE: &str = "kagiban-demo";
/// Not a secret: it is printed at the end, so that a visitor can open the store.
const STORE_PASSWORD: &str = "demo-store-password";
/// A rotation takes about ten seconds; a machine that builds something at the same time takes longer.
const ROTATION_DEADLINE: Duration = Duration::from_secs(180);
/// How often a resource that nobody changes is looked at; short, so that a visitor's changes show soon.
const RESYNC: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let say = Progress { started: Instant::now() };
    let directory = match scratch::directory("demo") {
        Ok(directory) => directory,
        Err(error) => return say.failed(&error, None),
    };
    match demo(&say, &directory) {
        Ok(()) => {
            let _ = fs::remove_dir_all(&directory);
            ExitCode::SUCCESS
        }
        Err(error) => say.failed(&error, Some(&directory)),
    }
}

fn demo(say: &Progress, directory: &Path) -> Result<()> {
    if is_told("PRODUCTS") {
        return demo_of_products(say, directory);
    }
    if is_told("CLUSTER") || is_told("DEMO_USE_KUBECONFIG") {
        return demo_in_a_cluster(say, directory);
    }
    let standalone = Standalone::new(directory)?;
    say.line("without a cluster: manifests, Secrets and what the operator keeps are directories of this machine");
    let start = || Operator::start_standalone(directory, &standalone, RESYNC, &[]);
    rotate(say, directory, &Keeper::Standalone(standalone.clone()), start).map(drop)
}

/// PowerChute Serial Shutdown first, whose agent takes a certificate; then those that make their own, and one that is repaired when a person
/// asks.
fn demo_of_products(say: &Progress, directory: &Path) -> Result<()> {
    let first = directory.join("powerchute-serial-shutdown");
    fs::create_dir(&first)?;
    let standalone = Standalone::new(&first)?;
    say.line("without a cluster: manifests, Secrets and what the operator keeps are directories of this machine");
    let start = || Operator::start_standalone(&first, &standalone, RESYNC, &[]);
    let Rotated { before, leaf, others } = rotate(say, &first, &Keeper::Standalone(standalone.clone()), start)?;
    let first = Outcome {
        product: "powerchute-serial-shutdown",
        found: found(&before)?,
        affected: seen::affected(&before),
        repaired: format!("{ALIAS} replaced, beside {}", others.join(", ")),
        proof: format!("leaf {leaf:.12} is served"),
    };
    play_products(say, directory, first)
}

fn demo_in_a_cluster(say: &Progress, directory: &Path) -> Result<()> {
    let cluster = Cluster::obtain(say)?;
    let admin = Kubectl::new(&cluster.admin_kubeconfig)?;
    quickstart::install_crd(&admin)?;
    say.line("the API server knows ManagedAgentCertificate (crds/)");
    let kubectl = admin.create_namespace(NAMESPACE)?;
    if cluster.own.is_some() {
        quickstart::install_rbac(&admin, NAMESPACE)?;
        say.line("the operator may do what examples/operator/00-rbac.yaml says, and no more");
    }
    let start = || Operator::start(directory, &cluster.operator_kubeconfig, NAMESPACE, RESYNC);
    let rotated = rotate(say, directory, &Keeper::Cluster(kubectl), start).map(drop);
    if cluster.own.is_none() {
        // Somebody's own cluster is left as it was found.
        let _ = admin.run(&["delete", "namespace", NAMESPACE, "--wait=false"]);
    }
    rotated
}

/// What came of it.
struct Rotated {
    /// The metrics of its host as it was found.
    before: String,
    /// That is served now.
    leaf: String,
    /// The aliases of the keystore's other entries.
    others: Vec<String>,
}

fn rotate(
    say: &Progress,
    directory: &Path,
    keeper: &Keeper,
    start_operator: impl FnOnce() -> Result<Operator>,
) -> Result<Rotated> {
    let fleet = Fleet::new()?;
    let installation = Installation {
        store_type: StoreType::Jks,
        password: STORE_PASSWORD.to_owned(),
        host_name: HOST.to_owned(),
        deletes_credentials: true,
        usual_ports: true,
    };
    let mut host = Host::install(&directory.join("host"), &installation, &fleet)?;
    let is_windows = is_told("WINDOWS");
    if is_windows {
        host.move_to_windows(Wine::new(&directory.join("windows"))?)?;
        say.line("Windows, that is Wine: the agent is a service there, and the exporter runs beside it");
    }
    host.agent.start()?;
    let before = host.agent.served()?.leaf_sha256();
    let address = host.agent.address();
    say.line(&format!(
        "a double of the PowerChute agent serves https://{address}/ from its {}",
        installation.store_type
    ));
    say.line(&format!("  leaf {before}, self-signed, 9 days left"));
    let client_secret = enrolled(directory, &host)?;
    say.line("kagiban-operator enroll: certificates for the host API, the host's and the operator's");
    host.start_exporter()?;
    say.line(&format!(
        "kagiban-exporter: metrics on http://{}/metrics, host API on {}",
        host.metrics_address(),
        host.url()
    ));
    let metrics = host.metrics()?;
    let operator = start_operator()?;
    say.line("kagiban-operator watches");

    keeper.add_file(&client_secret)?;
    keeper.add_secrets(&fleet.own_secrets(STORE_PASSWORD))?;
    keeper.apply(&quickstart::resource(&host.url())?)?;
    let applied = Instant::now();
    say.line("applied examples/quickstart: one resource, and the Secrets that it names");
    let status = follow(say, keeper)?;
    say.line(&format!("Ready {:.1} s after it was applied", applied.elapsed().as_secs_f64()));
    for line in keeper.table()?.lines() {
        say.line(&format!("  {line}"));
    }

    let leaf = host.agent.served()?.leaf_sha256();
    ensure!(leaf != before, "the agent still serves the old leaf {leaf}");
    ensure!(status["leaf"]["sha256"] == leaf.as_str(), "{address} serves {leaf}, the status says {}", status["leaf"]);
    let listing = host.agent.listing(STORE_PASSWORD)?;
    let ours = listing.entries.get(ALIAS).context("the alias is gone from the keystore")?;
    ensure!(ours.chain.first() == Some(&leaf), "keytool shows another leaf under {ALIAS}: {ours:?}");
    ensure!(listing.entries.contains_key(EXTRA_ALIAS), "the trusted entry {EXTRA_ALIAS} was lost");
    say.line(&format!("keytool opens the store: {ALIAS} with a chain of {}, {EXTRA_ALIAS} kept", ours.chain.len()));

    if !is_told("ONCE") && !is_told("PRODUCTS") {
        where_to_look(say, &host, &operator, keeper)?;
        wait_for_a_signal()?;
        say.line("stopping");
    }
    // A visitor may have rotated again.
    let leaf = host.agent.served()?.leaf_sha256();
    say.last(&format!("verified {leaf} on {address}"));
    let others = listing.entries.into_keys().filter(|alias| alias != ALIAS).collect();
    Ok(Rotated { before: metrics, leaf, others })
}

/// Whether somebody has said so on the command line of make.
fn is_told(name: &str) -> bool {
    env::var_os(name).is_some_and(|told| !told.is_empty() && told != "0")
}

/// The host API and the operator know each other by what a person would make for them; the operator's Secret.
fn enrolled(directory: &Path, host: &Host) -> Result<PathBuf> {
    let (on_host, address) = (directory.join(HOST), host.host_api_address().to_string());
    let words = [
        HOST,
        "--new-ca",
        "host-api-ca",
        "--allowed-hosts",
        quickstart::ALLOWED_HOSTS,
        "--client-secret",
        CLIENT_SECRET,
        "--listen-address",
    ];
    enroll(directory, &[&words[..], &[&address, "--on-host", &on_host.to_string_lossy()]].concat())?;
    let settings: Value = serde_yaml::from_str(&fs::read_to_string(on_host.join("host-api.yaml"))?)?;
    host.configure(|config| config["hostApi"] = settings["hostApi"].clone())?;
    Ok(directory.join("fleet-client.yaml"))
}

/// Prints what changes until the resource is ready; its status.
fn follow(say: &Progress, keeper: &Keeper) -> Result<Value> {
    let mut shown = String::new();
    let ready = keeper.wait_status(ROTATION_DEADLINE, |status| {
        let told = story(status);
        if told != shown && !told.is_empty() {
            say.line(&format!("  {told}"));
            shown = told;
        }
        condition(status, "Ready")["status"] == "True"
    });
    ready.with_context(|| format!("{RESOURCE} is not Ready"))
}

pub(crate) fn story(status: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let condition = condition(status, "Ready");
    let blocked = status["blockedBy"].as_str().map(|reason| format!("blocked by {reason}"));
    let rotation = status["rotation"]["state"].as_str().map(|state| format!("rotation {state}"));
    let reason = text(&condition["reason"]);
    let message = text(&condition["message"]);
    let parts = [blocked.unwrap_or_default(), rotation.unwrap_or_default(), reason, message];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

fn wait_for_a_signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => (),
        }
        Ok(())
    })
}

/// A control plane of the demo's own, or the user's, when told to.
struct Cluster {
    admin_kubeconfig: PathBuf,
    operator_kubeconfig: PathBuf,
    own: Option<ControlPlane>,
}

impl Cluster {
    fn obtain(say: &Progress) -> Result<Self> {
        if is_told("DEMO_USE_KUBECONFIG") {
            let Some(kubeconfig) = env::var_os("KUBECONFIG").map(PathBuf::from) else {
                bail!("DEMO_USE_KUBECONFIG=1, but KUBECONFIG names no file");
            };
            say.line(&format!("using the cluster of {}", kubeconfig.display()));
            return Ok(Self { admin_kubeconfig: kubeconfig.clone(), operator_kubeconfig: kubeconfig, own: None });
        }
        say.line("starting etcd and kube-apiserver on loopback");
        let plane = ControlPlane::start()?;
        say.line("the API server is ready");
        Ok(Self {
            admin_kubeconfig: plane.admin_kubeconfig().to_owned(),
            operator_kubeconfig: plane.operator_kubeconfig().to_owned(),
            own: Some(plane),
        })
    }
}

fn where_to_look(say: &Progress, host: &Host, operator: &Operator, keeper: &Keeper) -> Result<()> {
    let address = host.agent.address();
    let store = host.agent.keystore();
    let of_keeper = match keeper {
        Keeper::Cluster(kubectl) => {
            let kubectl = kubectl.command_line();
            let again = format!("{kubectl} annotate --overwrite mac {RESOURCE} kagiban.dev/rotate=\"$(date)\"");
            [
                ("the resource", format!("{kubectl} get mac")),
                ("what happened", format!("{kubectl} describe mac {RESOURCE}")),
                ("rotate again", again),
            ]
        }
        Keeper::Standalone(standalone) => [
            ("the resource", standalone.command_line("get")?),
            ("what happened", standalone.command_line(&format!("describe {RESOURCE}"))?),
            ("rotate again", standalone.command_line(&format!("rotate {RESOURCE}"))?),
        ],
    };
    let elsewhere = [
        ("the leaf", format!("openssl s_client -connect {address} </dev/null | openssl x509 -noout -text")),
        ("the store", format!("keytool -list -v -keystore {} -storepass {STORE_PASSWORD}", store.display())),
        ("the old store", format!("ls -R {}/backups", host.state_directory().display())),
        (
            "exporter",
            format!("curl http://{}/metrics   configuration: {}", host.metrics_address(), host.config_file().display()),
        ),
        (
            "operator",
            format!("curl http://{}/metrics   log: {}", operator.metrics_address(), operator.program.log().display()),
        ),
    ];
    for (what, how) in of_keeper.into_iter().chain(elsewhere) {
        say.line(&format!("  {what:14} {how}"));
    }
    say.line("it stays up until Ctrl-C");
    Ok(())
}
