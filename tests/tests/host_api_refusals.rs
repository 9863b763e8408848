//! What must not rotate a host is refused with a clear status and an audit line, and changes nothing.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kagiban_tests::host::Host;
use kagiban_tests::http::{self, HostClient, Response};
use kagiban_tests::keystore::StoreType;
use kagiban_tests::pki::{Authority, Purpose, Validity};
use kagiban_tests::powerchute::Installation;
use kagiban_tests::quickstart::{Fleet, HOST, OPERATOR_NAME};
use kagiban_tests::{handshake, scratch, wait};
use serde_json::{Value, json};

const PASSWORD: &str = "canary-store-4711";
/// A line is written beside the answer, not before it, and a refused handshake is over for the client first.
const AUDIT_DEADLINE: Duration = Duration::from_secs(5);
const OPEN: &str = "/v1/agents/powerchute/rotations";

struct Scene {
    fleet: Fleet,
    host: Host,
    operator: HostClient,
}

impl Scene {
    fn set(name: &str) -> Result<Self> {
        let directory = scratch::directory(name)?;
        let fleet = Fleet::new()?;
        let installation = Installation {
            store_type: StoreType::Jks,
            password: PASSWORD.to_owned(),
            host_name: HOST.to_owned(),
            deletes_credentials: false,
            usual_ports: false,
        };
        let mut host = Host::install(&directory, &installation, &fleet)?;
        // Shorter than by default, since one of these tests waits for it.
        host.configure(|config| config["hostApi"]["requestTimeout"] = json!("5s"))?;
        host.agent.start()?;
        host.start_exporter()?;
        let operator = host.client(Some(fleet.client_identity()?));
        Ok(Self { fleet, host, operator })
    }

    /// What must be the same before and after a refusal.
    fn seen(&self) -> Result<(String, String, usize)> {
        let store = std::fs::read(self.host.agent.keystore())?;
        Ok((handshake::sha256(&store), self.host.agent.served()?.leaf_sha256(), self.host.agent.starts()))
    }

    fn audit_lines(&mut self) -> Result<Vec<String>> {
        let log = self.host.exporter()?.log_text();
        Ok(log.lines().filter(|line| line.contains(" audit: ")).map(str::to_owned).collect())
    }

    /// Waits for as many new lines as there are outcomes, and compares them.
    fn ensure_audited(&mut self, before: usize, outcomes: &[&str]) -> Result<()> {
        let mut new = Vec::new();
        let _ = wait::until(AUDIT_DEADLINE, || {
            new = self.audit_lines().unwrap_or_default().split_off(before);
            new.len() >= outcomes.len()
        });
        let told = |line: &String, outcome: &&str| line.contains(&format!("outcome=\"{outcome}\""));
        let all = new.len() == outcomes.len() && new.iter().zip(outcomes).all(|(line, outcome)| told(line, outcome));
        ensure!(all, "expected the outcomes {outcomes:?} in the audit: {new:#?}");
        Ok(())
    }
}

fn open(epoch: u64, generation: u64, host: &str) -> Value {
    json!({
        "epoch": epoch, "generation": generation, "host": host, "agent": "powerchute",
        "certificate": {"dnsNames": [HOST], "key": "ECDSA-P256"},
    })
}

fn send(client: &HostClient, method: &str, path: &str, body: &Value) -> Result<Response> {
    client.send(method, path, Some(&body.to_string()))
}

fn ensure_refused(response: &Response, status: u16, reason: &str) -> Result<()> {
    let refusal = response.json()?;
    ensure!(response.status == status && refusal["reason"] == reason, "expected {status} {reason}: {response:?}");
    ensure!(refusal["message"].as_str().is_some_and(|m| !m.is_empty()), "no message: {response:?}");
    Ok(())
}

#[test]
fn a_client_that_is_not_authorised_is_turned_away() -> Result<()> {
    let mut scene = Scene::set("refuse-clients")?;
    let before = scene.seen()?;
    let stranger = Authority::new("a stranger's CA")?;
    let fleet = &scene.fleet.transport;
    let other_name = fleet.issue(&["somebody.fleet.example.com"], Purpose::Client, Validity::Now)?;
    // With the alert by which TLS tells a client why.
    let untrusted = [
        ("no certificate", "CertificateRequired", None),
        ("the wrong CA", "UnknownCA", Some(stranger.issue(&[OPERATOR_NAME], Purpose::Client, Validity::Now)?)),
        ("expired", "CertificateExpired", Some(fleet.issue(&[OPERATOR_NAME], Purpose::Client, Validity::Expired)?)),
        (
            "for servers only",
            "UnsupportedCertificate",
            Some(fleet.issue(&[OPERATOR_NAME], Purpose::Server, Validity::Now)?),
        ),
    ];
    for (what, alert, identity) in untrusted {
        let lines = scene.audit_lines()?.len();
        let answer = send(&scene.host.client(identity), "POST", OPEN, &open(1, 1, HOST));
        let error = answer.err().with_context(|| format!("{what}: it was answered"))?;
        ensure!(format!("{error:#}").contains(alert), "{what}: {error:#}");
        scene.ensure_audited(lines, &["handshake_failed"]).context(what)?;
    }
    let lines = scene.audit_lines()?.len();
    let answer = send(&scene.host.client(Some(other_name)), "POST", OPEN, &open(1, 1, HOST))?;
    ensure_refused(&answer, 403, "client_not_authorised")?;
    scene.ensure_audited(lines, &["client_not_authorised"])?;
    ensure!(scene.seen()? == before, "something changed");
    Ok(())
}

#[test]
fn a_replay_is_answered_alike_and_what_is_lower_or_for_another_host_is_refused() -> Result<()> {
    let mut scene = Scene::set("refuse-targets")?;
    let before = scene.seen()?;
    let operator = scene.operator.clone();
    let first = send(&operator, "POST", OPEN, &open(7, 3, HOST))?;
    ensure!(first.status < 300, "{first:?}");
    scene.ensure_audited(0, &["keyed"])?;
    let lines = scene.audit_lines()?.len();
    let replay = send(&operator, "POST", OPEN, &open(7, 3, HOST))?;
    ensure!(replay.json()?["csr"] == first.json()?["csr"], "a replay was answered with another key");
    let refusals = [
        (open(7, 2, HOST), 409, "stale_generation"),
        (open(6, 4, HOST), 409, "stale_epoch"),
        (open(7, 4, "ups-02.example.com"), 421, "wrong_target"),
    ];
    for (body, status, reason) in refusals {
        ensure_refused(&send(&operator, "POST", OPEN, &body)?, status, reason)?;
    }
    let mut other_names = open(7, 3, HOST);
    other_names["certificate"]["dnsNames"] = json!(["evil.example.com"]);
    ensure_refused(&send(&operator, "POST", OPEN, &other_names)?, 409, "generation_conflict")?;
    let outcomes = ["keyed", "stale_generation", "stale_epoch", "wrong_target", "generation_conflict"];
    scene.ensure_audited(lines, &outcomes)?;
    ensure!(scene.seen()? == before, "something changed");
    Ok(())
}

#[test]
fn a_path_a_command_or_an_unknown_agent_in_a_request_leads_nowhere() -> Result<()> {
    let scene = Scene::set("refuse-names")?;
    let before = scene.seen()?;
    for agent in ["unknown", "..", "%2e%2e", "powerchute%2f..", "powerchute%00", "power;chute"] {
        let answer = send(&scene.operator, "POST", &format!("/v1/agents/{agent}/rotations"), &open(1, 1, HOST))?;
        ensure!(matches!(answer.status, 400 | 404 | 421), "{agent}: {answer:?}");
    }
    let mut with_path = open(1, 1, HOST);
    with_path["path"] = json!("/etc/shadow");
    ensure_refused(&send(&scene.operator, "POST", OPEN, &with_path)?, 400, "malformed")?;
    ensure!(scene.seen()? == before, "something changed");
    Ok(())
}

#[test]
fn a_body_over_the_cap_is_refused_while_it_is_sent() -> Result<()> {
    let mut scene = Scene::set("refuse-bodies")?;
    let before = scene.seen()?;
    let lines = scene.audit_lines()?.len();
    let large = "x".repeat(65 * 1024);
    ensure_refused(&scene.operator.send("POST", OPEN, Some(&large))?, 413, "body_too_large")?;

    // Chunked and without end: the cap must hold where no length is announced.
    let mut stream = scene.operator.connect()?;
    let head = format!("POST {OPEN} HTTP/1.1\r\nHost: host\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunks: String = (0..200).map(|_| format!("1000\r\n{}\r\n", "x".repeat(4096))).collect();
    let answer = http::exchange(&mut stream, format!("{head}{chunks}").as_bytes())?;
    ensure_refused(&answer, 413, "body_too_large")?;

    let mut stream = scene.operator.connect()?;
    let head = format!(
        "POST {OPEN} HTTP/1.1\r\nHost: host\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    ensure_refused(&http::exchange(&mut stream, head.as_bytes())?, 415, "unsupported_encoding")?;
    scene.ensure_audited(lines, &["body_too_large", "body_too_large", "unsupported_encoding"])?;
    ensure!(scene.seen()? == before, "something changed");
    Ok(())
}

#[test]
fn slow_clients_are_cut_off_and_hold_up_nobody() -> Result<()> {
    let scene = Scene::set("refuse-slow")?;
    let before = scene.seen()?;
    // Some that never shake hands, some that never finish a request.
    let silent: Vec<_> = (0..20).map(|_| TcpStream::connect(scene.operator.address)).collect::<Result<_, _>>()?;
    let mut dripping = Vec::new();
    for _ in 0..20 {
        let mut stream = scene.operator.connect()?;
        stream.write_all(b"POST /v1/agents/powerchute/rotations HTTP/1.1\r\nHost: ho")?;
        stream.flush()?;
        dripping.push(stream);
    }
    let asked = Instant::now();
    let answer = scene.operator.send("GET", "/v1/host", None)?;
    ensure!(answer.status == 200, "{answer:?}");
    ensure!(asked.elapsed() < Duration::from_secs(3), "held up for {:?}", asked.elapsed());

    let mut slow_body = scene.operator.connect()?;
    let head = format!("POST {OPEN} HTTP/1.1\r\nHost: host\r\nContent-Length: 100\r\n\r\n{{");
    let cut = Instant::now();
    let answer = http::exchange(&mut slow_body, head.as_bytes());
    ensure!(cut.elapsed() < Duration::from_secs(20), "a slow body was waited for {:?}", cut.elapsed());
    if let Ok(answer) = answer {
        ensure_refused(&answer, 408, "too_slow").context("a slow body")?;
    }
    drop((silent, dripping));
    ensure!(scene.seen()? == before, "something changed");
    Ok(())
}
