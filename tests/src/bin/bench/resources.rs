//! An operator with ten thousand resources: what it holds, and what a scrape of it costs; and with a thousand, from a directory and
//! from a cluster.
//!
//! Ten thousand are written into the store of the API server, as the API server itself writes them: ten thousand creations
//! through it take longer than the rest of the benchmark. A thousand are new, and made as a person would. Nobody answers at their
//! hosts' addresses, so each of them is looked at, fails and has its status written.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kagiban_tests::audit;
use kagiban_tests::control_plane::{ControlPlane, OPERATOR_ACCOUNT};
use kagiban_tests::keeper::Keeper;
use kagiban_tests::operator::Operator;
use kagiban_tests::quickstart::{self, Fleet};
use kagiban_tests::standalone::Standalone;
use kagiban_tests::{http, scratch};
use serde_json::{Value, json};

use super::SETTLED;
use super::gauge::Process;
use super::table::{Aim, Row, megabytes, milliseconds};

const MANY: u16 = 10_000;
const FEW: u16 = 1_000;
/// Below the ports that tests take: nothing answers there.
const FIRST_PORT: u16 = 10_000;
/// Of one request to the store, which takes 128 writes at most.
const BATCH: usize = 100;
/// Five minutes are the operator's own default.
const RESYNC: Duration = Duration::from_secs(300);
const SERIAL: &str = "1234567890abcdef1234567890abcdef";
const LOOKS_DEADLINE: Duration = Duration::from_secs(600);
/// How long the operator is watched once all were looked at. Hosts that do not answer are looked at again in it.
const RESTS: Duration = Duration::from_secs(60);

pub(crate) fn rows() -> Result<Vec<Row>> {
    let plane = ControlPlane::shared()?;
    let admin = plane.admin()?;
    let namespace = "bench-resources";
    let kubectl = admin.create_namespace(namespace)?;
    quickstart::install_rbac(&admin, namespace)?;
    Fleet::new()?.apply_secrets(&kubectl, "not-used")?;
    plant(plane.etcd_address(), namespace)?;

    let started = Instant::now();
    let operator = Operator::start(&scratch::directory(namespace)?, plane.operator_kubeconfig(), namespace, RESYNC)?;
    let ready = started.elapsed();
    let process = Process::of(operator.program.id());
    wait_looked_at(&operator, MANY, SETTLED)?;
    let looks = started.elapsed();
    thread::sleep(SETTLED);
    let memory = process.memory()?;
    let scraped = process.scrapes(operator.metrics_address())?;
    Ok(vec![
        Row::new("10,000 resources", "time to ready", milliseconds(ready), Aim::None),
        Row::new("", "all looked at, no host", seconds(looks), Aim::None),
        Row::new("", "resident", memory.shown(), Aim::Below("80 MB")),
        Row::new("", "resident at its peak", memory.shown_peak(), Aim::None),
        Row::new("", "CPU per scrape", milliseconds(scraped.cpu), Aim::None),
        Row::new("", "body", megabytes(scraped.body), Aim::None),
    ])
}

/// The same thousand for both siblings.
pub(crate) fn from_a_directory_and_from_a_cluster() -> Result<Vec<Row>> {
    let mut rows = Vec::new();

    let directory = scratch::directory("bench-directory")?;
    let standalone = Standalone::new(&directory)?;
    for number in 0..FEW {
        let file = standalone.manifests.join(format!("{number:05}.yaml"));
        fs::write(file, serde_yaml::to_string(&new_object(number)?)?)?;
    }
    let keeper = Keeper::Standalone(standalone.clone());
    let start = || Operator::start_standalone(&directory, &standalone, RESYNC, &[]);
    let written = || standalone.writes();
    rows.extend(watched("1,000 in a directory", &keeper, start, written)?);

    let plane = ControlPlane::shared()?;
    let admin = plane.admin()?;
    let namespace = "bench-cluster";
    let kubectl = admin.create_namespace(namespace)?;
    quickstart::install_rbac(&admin, namespace)?;
    let items = (0..FEW).map(new_object).collect::<Result<Vec<_>>>()?;
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    kubectl.run_with_input(&["create", "-f", "-"], &list.to_string())?;
    let directory = scratch::directory(namespace)?;
    let start = || Operator::start(&directory, plane.operator_kubeconfig(), namespace, RESYNC);
    let written = || Ok(audit::writes(&plane.audit_log(), OPERATOR_ACCOUNT, namespace)?.len());
    rows.extend(watched("1,000 in a cluster", &Keeper::Cluster(kubectl), start, written)?);
    Ok(rows)
}

fn watched(
    subject: &'static str,
    keeper: &Keeper,
    start: impl FnOnce() -> Result<Operator>,
    written: impl Fn() -> Result<usize>,
) -> Result<[Row; 5]> {
    keeper.add_secrets(&Fleet::new()?.secrets("not-used")?)?;
    let started = Instant::now();
    let operator = start()?;
    let process = Process::of(operator.program.id());
    wait_looked_at(&operator, FEW, SETTLED / 20)?;
    let looks = started.elapsed();
    thread::sleep(SETTLED);
    let (cpu, writes) = (process.cpu()?, written()?);
    thread::sleep(RESTS);
    let share = (process.cpu()?.saturating_sub(cpu)).as_secs_f64() / RESTS.as_secs_f64();
    let writes = written()? - writes;
    let memory = process.memory()?;
    Ok([
        Row::new(subject, "all looked at, no host", seconds(looks), Aim::None),
        Row::new("", "resident", memory.shown(), Aim::None),
        Row::new("", "resident at its peak", memory.shown_peak(), Aim::None),
        Row::new("", "of a core, after that", format!("{:.2} %", share * 100.0), Aim::None),
        Row::new("", "writes in a minute of it", writes.to_string(), Aim::None),
    ])
}

fn wait_looked_at(operator: &Operator, many: u16, pause: Duration) -> Result<()> {
    let started = Instant::now();
    // Each is blocked by its host then.
    let blocked = |line: &&str| line.starts_with("kagiban_certificate_blocked{") && line.contains("HostUnreachable");
    while operator.metrics()?.lines().filter(blocked).count() < usize::from(many) {
        ensure!(started.elapsed() < LOOKS_DEADLINE, "not all were looked at in {LOOKS_DEADLINE:?}");
        thread::sleep(pause);
    }
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn plant(etcd: SocketAddr, namespace: &str) -> Result<()> {
    let numbers: Vec<_> = (0..MANY).collect();
    for batch in numbers.chunks(BATCH) {
        let put = |number: &u16| {
            let object = object(namespace, *number)?;
            let name = object["metadata"]["name"].as_str().context("it has a name")?;
            let key = format!("/registry/kagiban.dev/managedagentcertificates/{namespace}/{name}");
            let value = STANDARD.encode(object.to_string());
            Ok(json!({"requestPut": {"key": STANDARD.encode(key), "value": value}}))
        };
        let puts = batch.iter().map(put).collect::<Result<Vec<_>>>()?;
        let answer = http::post(etcd, "/v3/kv/txn", &json!({"success": puts}).to_string())?;
        ensure!(answer.status == 200, "the store refused: {}", answer.body);
    }
    Ok(())
}

/// As a person writes it.
fn new_object(number: u16) -> Result<Value> {
    let host = format!("ups-{number:05}.example.com");
    let mut object = quickstart::resource(&format!("https://127.0.0.1:{}", FIRST_PORT + number))?;
    object["spec"]["host"] = json!(host);
    object["spec"]["certificate"]["dnsNames"] = json!([host]);
    object["metadata"]["name"] = json!(format!("ups-{number:05}-powerchute"));
    Ok(object)
}

/// As big as one that was rotated three times and is applied by `kubectl`: 6 kB.
fn object(namespace: &str, number: u16) -> Result<Value> {
    let time = "2026-06-01T12:00:00Z";
    let mut object = new_object(number)?;
    let name = object["metadata"]["name"].take();
    let applied = json!({"kubectl.kubernetes.io/last-applied-configuration": object.to_string()});
    let fields = json!({"f:spec": fields_of(&object["spec"])});
    object["metadata"] = json!({
        "name": name, "namespace": namespace, "generation": 1, "creationTimestamp": time,
        "uid": format!("00000000-0000-4000-8000-{number:012}"),
        "finalizers": ["kagiban.dev/rotation"],
        "annotations": applied,
        "managedFields": [{
            "manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "kagiban.dev/v1alpha1",
            "time": time, "fieldsType": "FieldsV1", "fieldsV1": fields,
        }],
    });
    let sha256 = format!("{number:064x}");
    let condition = |kind: &str, message: &str| {
        json!({
            "type": kind, "status": "True", "reason": kind, "message": message, "lastTransitionTime": time,
            "observedGeneration": 1,
        })
    };
    let facts =
        "serial 1234567890abcdef1234567890abcdef from CN=Fleet CA, 2026-06-01T12:00:00Z to 2026-08-30T12:00:00Z";
    let kinds = ["Ready", "Issued", "Deployed", "Verified", "Serving"];
    let ended = |generation: u64| {
        json!({
            "generation": generation, "outcome": "Committed", "sha256": sha256, "finishedAt": time, "serials": [SERIAL],
        })
    };
    object["status"] = json!({
        "observedGeneration": 1,
        "conditions": kinds.map(|kind| condition(kind, facts)),
        "leaf": {
            "sha256": sha256, "serial": SERIAL, "issuer": "CN=Fleet CA",
            "notBefore": time, "notAfter": "2026-08-30T12:00:00Z", "requestDigest": sha256, "issuerSha256": sha256,
        },
        "renewalTime": "2026-07-31T12:00:00Z",
        "rotation": {
            "generation": 3, "trigger": "Renewal", "state": "Committed", "startedAt": time, "attempts": 0,
            "requestDigest": sha256,
        },
        "history": [ended(3), ended(2), ended(1)],
    });
    Ok(object)
}

/// The set of fields that the API server notes for whoever wrote them.
fn fields_of(value: &Value) -> Value {
    let named = |(name, value): (&String, &Value)| (format!("f:{name}"), fields_of(value));
    value.as_object().map_or_else(|| json!({}), |fields| fields.iter().map(named).collect())
}
