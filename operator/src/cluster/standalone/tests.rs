use std::path::Path;
use std::time::Instant;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use kagiban_crds::resource::{ManagedAgentCertificate, ManagedAgentCertificateStatus};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;
use crate::cluster::watch::{Event, WatchError};
use crate::cluster::{Cluster, Watched};
use crate::decide::{self, EventKind, Reason};
use crate::freshness::Freshness;
use crate::metrics::Metrics;

const MANIFEST: &str = concat!("\n", include_str!("../../../tests/support/good.yaml"));
/// Far more than a round takes.
const SOON: Duration = Duration::from_secs(20);

/// One process, as long as it lives.
struct Process {
    cluster: Standalone,
    tenure: Tenure,
    following: JoinHandle<()>,
    metrics: SharedMetrics,
}

impl Process {
    async fn begin(directory: &Path, confirm_deletions: bool) -> Self {
        let places = Places {
            manifests: directory.join("manifests"),
            trust: ManifestTrust::Administrators,
            secrets: Some(directory.join("secrets")),
            state: directory.join("state"),
            every: Duration::from_millis(20),
            confirm_deletions,
        };
        let metrics = Arc::new(Metrics::new(None));
        for _ in 0..500 {
            match Standalone::open(places.clone(), None, "me".to_owned(), metrics.clone()).await {
                Ok((cluster, tenure, following)) => {
                    let following = tokio::spawn(following);
                    return Self { cluster, tenure, following, metrics };
                }
                // The thread of the one before has it for a moment
                Err(StandaloneError::Open(OpenError::Held(_))) => sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("{error}"),
            }
        }
        panic!("somebody holds the state")
    }

    async fn end(self) -> Tenure {
        self.following.abort();
        let _ = self.following.await;
        self.tenure
    }

    fn watch(&self) -> BoxStream<'static, Result<Event, WatchError>> {
        self.cluster.watch(None, Freshness::new(Instant::now()))
    }

    fn page(&self) -> String {
        let mut page = String::new();
        self.metrics.write(&mut page).expect("a string");
        page
    }

    async fn shows(&self, sample: &str) {
        let shown = async {
            while !self.page().contains(sample) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(SOON, shown).await.is_ok(), "no {sample}: {}", self.page());
    }
}

async fn next(events: &mut BoxStream<'static, Result<Event, WatchError>>) -> Event {
    timeout(SOON, events.next()).await.expect("in time").expect("it never ends").expect("it goes well")
}

async fn listed(events: &mut BoxStream<'static, Result<Event, WatchError>>) -> Vec<Watched> {
    let mut found = Vec::new();
    loop {
        match next(events).await {
            Event::InitApply(object) => found.push(object),
            Event::InitDone => return found,
            Event::Init | Event::InitPage(_) => {}
            Event::Apply(_) | Event::Delete(_) => panic!("a list comes first"),
        }
    }
}

async fn applied(events: &mut BoxStream<'static, Result<Event, WatchError>>) -> ManagedAgentCertificate {
    match next(events).await {
        Event::Apply(object) => object.readable().expect("it can be read").clone(),
        other => panic!("{other:?}"),
    }
}

fn site() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(directory.path().join("manifests")).expect("a directory");
    directory
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join("manifests").join(name), text).expect("a file");
}

/// The alert KagibanOperatorBehind goes by the time of the last list.
#[tokio::test]
async fn all_are_listed_again_after_a_while_though_nothing_changes() {
    let site = site();
    write(site.path(), "a.yaml", MANIFEST);
    let process = Process::begin(site.path(), false).await;
    process.cluster.can_list(None).await.expect("it was looked at");
    let (store, looked) = (process.cluster.store.clone(), process.cluster.looked.clone());
    let again = Duration::from_millis(50);
    let mut events = watch::watch_listing(store, None, looked, again, Freshness::new(Instant::now())).boxed();
    for _ in 0..3 {
        assert_eq!(listed(&mut events).await.len(), 1);
    }
    // The alert is patient for half an hour
    assert!(crate::cluster::watch::LIST_AGAIN < Duration::from_secs(1800));
}

#[tokio::test]
async fn a_directory_is_followed_and_what_is_wrong_in_it_changes_nothing() {
    let site = site();
    write(site.path(), "a.yaml", MANIFEST);
    let process = Process::begin(site.path(), false).await;
    process.cluster.can_list(None).await.expect("it was looked at");
    let mut events = process.watch();
    let found = listed(&mut events).await;
    assert_eq!(found.len(), 1);
    let first = found[0].readable().expect("it can be read").clone();
    assert_eq!((first.metadata.generation, first.metadata.namespace.as_deref()), (Some(1), Some("default")));
    process.shows("kagiban_manifest_problems 0").await;
    // A rule of the CRD
    write(site.path(), "a.yaml", &MANIFEST.replace("host: ups-01", "host: ups-02"));
    process.shows("kagiban_manifest_problems 1").await;
    let noted = process.metrics.manifests().notes();
    assert!(matches!(&*noted, [note] if note.starts_with("a.yaml:6: default/ups-01: spec.host: ")), "{noted:?}");
    // No YAML
    write(site.path(), "a.yaml", "bad: [");
    write(site.path(), "b.yaml", "kind: ConfigMap\napiVersion: v1\n");
    sleep(Duration::from_millis(100)).await;
    process.shows("kagiban_manifest_problems 1").await;
    process.shows("kagiban_manifest_deletions_held 0").await;
    // Twice
    write(site.path(), "a.yaml", MANIFEST);
    write(site.path(), "b.yaml", &MANIFEST.replace("issuerRef: {", "rotation: {paused: true}\n  issuerRef: {"));
    process.shows("kagiban_manifest_problems 2").await;
    // Well again, and another spec
    std::fs::remove_file(site.path().join("manifests/a.yaml")).expect("it is there");
    let changed = applied(&mut events).await;
    assert_eq!((changed.metadata.generation, &changed.metadata.uid), (Some(2), &first.metadata.uid));
    assert!(changed.spec.rotation.paused);
    process.shows("kagiban_manifest_problems 0").await;
    // All are gone
    std::fs::remove_dir_all(site.path().join("manifests")).expect("it is there");
    process.shows("kagiban_manifest_problems 1").await;
    std::fs::create_dir(site.path().join("manifests")).expect("a directory");
    process.shows("kagiban_manifest_deletions_held 1").await;
    let noted = process.metrics.manifests().notes();
    assert!(matches!(&*noted, [note] if note.contains("kept: default/ups-01: put them back, ")), "{noted:?}");
    assert!(timeout(Duration::from_millis(200), events.next()).await.is_err(), "nothing is deleted");
    drop(events);
    let before = process.end().await;
    // A person confirms
    let process = Process::begin(site.path(), true).await;
    assert!(process.tenure.epoch > before.epoch && process.tenure.lineage == before.lineage);
    let gone = async {
        while process.cluster.named(&changed).await.expect("it is asked").is_some() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, gone).await.expect("it is deleted");
}

/// A checkout of Git is for others to read, and the log of the first minute is soon out of sight.
#[cfg(unix)]
#[tokio::test]
async fn a_secret_that_others_may_read_is_told_for_as_long_as_it_is_so() {
    use std::os::unix::fs::PermissionsExt as _;

    let site = site();
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {password: a}\n";
    write(site.path(), "a.yaml", secret);
    let mode = |mode| {
        let path = site.path().join("manifests/a.yaml");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    mode(0o644);
    let process = Process::begin(site.path(), false).await;
    process.shows("kagiban_manifest_open_secrets 1").await;
    let noted = process.metrics.manifests().notes();
    assert!(matches!(&*noted, [note] if note.starts_with("a.yaml: it has a Secret, ")), "{noted:?}");
    mode(0o600);
    process.shows("kagiban_manifest_open_secrets 0").await;
    assert_eq!(process.metrics.manifests().notes(), [""; 0]);
}

#[tokio::test]
async fn a_pass_writes_as_to_an_api_server() {
    let site = site();
    write(site.path(), "a.yaml", MANIFEST);
    let process = Process::begin(site.path(), false).await;
    let cluster = &process.cluster;
    let mut events = process.watch();
    let first = listed(&mut events).await[0].readable().expect("it can be read").clone();
    let held = cluster.hold(&first).await.expect("it is held");
    assert_eq!(held.metadata.finalizers.as_ref().map(Vec::len), Some(1));
    let conflict = cluster.hold(&first).await.expect_err("an old version");
    assert!(matches!(conflict, ClusterError::Conflict { .. }), "{conflict}");
    let status: ManagedAgentCertificateStatus =
        serde_json::from_value(json!({"observedGeneration": 1, "blockedBy": "Paused"})).expect("a status");
    // A condition of somebody else, as a fleet that came from a cluster may have it
    let of_others = json!({
        "type": "example.com/Seen", "status": "True", "reason": "X", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let others = of_others.clone();
    let add = move |state: &mut Session<'_>| {
        let add = |object: &mut Value| {
            object["status"]["conditions"] = json!([others]);
            Ok(())
        };
        state.change(("default", "ups-01"), None, None, add)
    };
    cluster.call("patch", STATUS, add).await.expect("it is written");
    let seen = cluster.named(&held).await.expect("it is asked").expect("it is there");
    let written = cluster.write_status(&seen, &status).await.expect("the last version");
    let conditions =
        written.status.as_ref().map(|status| serde_json::to_value(&status.conditions).expect("plain data"));
    assert_eq!(conditions, Some(json!([of_others])));
    let again = cluster.write_status(&written, &status).await.expect("the last version");
    assert_eq!(again.metadata.resource_version, written.metadata.resource_version, "nothing to write");
    let told = decide::Event { kind: EventKind::Warning, reason: Reason::Verified, message: "x".to_owned() };
    cluster.tell(&written, &told).await;
    cluster.tell(&written, &told).await;
    let events = cluster
        .call("list", "events", |state| state.events(Some("default"), Some("ups-01")))
        .await
        .expect("they are read");
    assert_eq!((events.len(), events[0].count, events[0].kind.as_str()), (1, 2, "Warning"));
    cluster.release(&written).await.expect("it is let go");
    let released = cluster.named(&written).await.expect("it is asked").expect("it is there");
    assert_eq!(released.metadata.finalizers, None, "{:?}", released.metadata.finalizers);
}

#[cfg(unix)]
#[tokio::test]
async fn a_secret_of_files_is_used_only_where_nobody_else_may_read_it() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let site = site();
    let process = Process::begin(site.path(), false).await;
    let secret = site.path().join("secrets/fleet/ca");
    let read = async || process.cluster.secret("fleet", "ca").await;
    assert!(matches!(read().await, Err(ClusterError::NotFound { .. })));
    std::fs::create_dir_all(&secret).expect("a directory");
    let put = |name: &str, text: &str, mode: u32| {
        std::fs::write(secret.join(name), text).expect("a file");
        std::fs::set_permissions(secret.join(name), PermissionsExt::from_mode(mode)).expect("its mode");
    };
    put("tls.key", "hunter22", 0o600);
    let found = read().await.expect("it is there");
    assert_eq!((found.bytes("tls.key"), found.claims().purpose.as_deref()), (Some(&b"hunter22"[..]), None));
    let word = found.written().to_owned();
    assert_eq!(read().await.expect("it is there").written(), word);
    put("tls.key", "hunter23", 0o600);
    assert_ne!(read().await.expect("it is there").written(), word);
    let claims =
        "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {labels: {kagiban.dev/purpose: issuer}}\n";
    put(".secret.yaml", claims, 0o600);
    assert_eq!(read().await.expect("it is there").claims().purpose.as_deref(), Some("issuer"));
    for (name, mode) in [("tls.key", 0o640), ("tls.key", 0o604), (".secret.yaml", 0o620)] {
        let text = if name == "tls.key" { "hunter22" } else { claims };
        put(name, text, mode);
        let error = read().await.expect_err(name).to_string();
        assert!(error.contains(name) && error.contains("chmod 600") && !error.contains("hunter"), "{error}");
        put(name, text, 0o600);
    }
    symlink(secret.join("tls.key"), secret.join("tls.crt")).expect("a link");
    let error = read().await.expect_err("a link").to_string();
    assert!(error.contains("tls.crt") && error.contains("link"), "{error}");
    std::fs::remove_file(secret.join("tls.crt")).expect("it is there");
    write(site.path(), "ca.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: ca, namespace: fleet}\n");
    let both = async {
        while read().await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, both).await.expect("it is seen");
    let error = read().await.expect_err("it stands in both").to_string();
    assert!(error.contains("ca.yaml") && error.contains("--secrets"), "{error}");
}

/// Asks the process as a command does.
async fn asked(directory: &Path, words: &[&str]) -> Result<(), String> {
    let state = directory.join("state").display().to_string();
    let words = ["kagiban-operator"].iter().chain(words).copied().chain(["--state", &state]);
    let cli = <crate::cli::Cli as clap::Parser>::try_parse_from(words).map_err(|error| error.to_string())?;
    let Some(crate::cli::Command::Local(command)) = cli.command else { panic!("another command") };
    crate::commands::run(&command).await.map_err(|error| format!("{error:#}"))
}

#[tokio::test]
async fn a_person_asks_the_running_process() {
    let site = site();
    write(site.path(), "a.yaml", MANIFEST);
    let none = asked(site.path(), &["get"]).await.expect_err("nobody runs");
    assert!(none.contains("no kagiban-operator standalone is heard at the state"), "{none}");
    let process = Process::begin(site.path(), false).await;
    let mut events = process.watch();
    listed(&mut events).await;
    for words in [&["get"][..], &["get", "mac", "ups-01", "-o", "yaml"], &["describe", "ups-01"], &["events"]] {
        asked(site.path(), words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }
    let error = asked(site.path(), &["rotate", "ups-01", "other"]).await.expect_err("one is not there");
    assert!(error.contains("managedagentcertificate.kagiban.dev/other") && error.contains("not found"), "{error}");
    asked(site.path(), &["rotate", "ups-01", "--as", "ticket-7"]).await.expect("it is asked for");
    let asked_for = applied(&mut events).await;
    assert_eq!(asked_for.metadata.annotations.unwrap_or_default()["kagiban.dev/rotate"], "ticket-7");
    asked(site.path(), &["pause", "ups-01"]).await.expect("it is paused");
    let paused = applied(&mut events).await;
    assert!(paused.spec.rotation.paused && crate::cluster::object(&paused).paused_by_hand);
    asked(site.path(), &["resume", "mac/ups-01"]).await.expect("it is resumed");
    assert!(!applied(&mut events).await.spec.rotation.paused);
    let error = asked(site.path(), &["wait", "ups-01", "--timeout", "0s"]).await.expect_err("it is not ready");
    assert!(error.contains("timed out waiting for condition=Ready=True"), "{error}");
    // The manifest that is read again undoes nothing, and what is gone goes once it is confirmed
    let error = asked(site.path(), &["confirm-deletions"]).await.expect_err("nothing is held");
    assert!(error.contains("no deletion waits"), "{error}");
    std::fs::remove_file(site.path().join("manifests/a.yaml")).expect("it is there");
    process.shows("kagiban_manifest_deletions_held 1").await;
    asked(site.path(), &["confirm-deletions"]).await.expect("it is confirmed");
    assert!(matches!(next(&mut events).await, Event::Delete(_)));
    asked(site.path(), &["wait", "ups-01", "--for", "delete"]).await.expect("it is gone");
    process.end().await;
}
