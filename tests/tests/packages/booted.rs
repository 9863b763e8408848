//! Our units under a real systemd, in a root of Debian packages that is booted: the package's defaults, and a whole rotation of a
//! service that is a unit too.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kagiban_tests::booted::Booted;
use kagiban_tests::debian_root::DebianRoot;
use kagiban_tests::handshake;
use kagiban_tests::http::{self, HostClient};
use kagiban_tests::packages::Packages;
use kagiban_tests::pki::{Purpose, Validity};
use kagiban_tests::quickstart::{Fleet, HOST, OPERATOR_NAME};
use kagiban_tests::{tools, wait};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

pub(super) const METRICS: &str = "kagiban-exporter.service";
pub(super) const HOST_API: &str = "kagiban-exporter-host-api.service";
const OPERATOR: &str = "kagiban-operator.service";
const AGENT: &str = "web";
pub(super) const UNIT: &str = "web.service";
pub(super) const DEADLINE: Duration = Duration::from_secs(120);
/// As docs/standalone.md tells it.
const OPERATOR_COMMANDS: &str = "
cd /root
kagiban-operator enroll ups-01.example.com --new-ca host-api-ca --new-issuer fleet-ca --allowed-hosts '*.example.com'
install -o kagiban-operator -m 600 fleet-client.yaml fleet-ca.yaml /etc/kagiban-operator/manifests/
install -m 644 mac.yaml /etc/kagiban-operator/manifests/
systemctl enable --now kagiban-operator
";
/// While it is there, a start of the service takes its time.
pub(super) const HOLD: &str = "/etc/web/hold";
/// Of its own account, which is all that a service of TLS needs.
const SERVICE: &str = "\
[Service]
User=web
ExecStartPre=/bin/sh -c 'while [ -e /etc/web/hold ]; do sleep 0.05; done'
ExecStart=/usr/bin/openssl s_server -quiet -accept 127.0.0.1:8443 -cert /etc/web/tls.crt -key /etc/web/tls.key -www

[Install]
WantedBy=multi-user.target
";
/// As docs/products/tls-service.md tells it.
const DROP_IN: &str = "\
[Unit]
Before=web.service

[Service]
ReadWritePaths=-/etc/web
";
pub(super) const CONFIG: &str = "\
host: ups-01.example.com
power: {assume: mains}
hostApi:
  listenAddress: 127.0.0.1:9995
  certificateFile: /etc/kagiban/host-api.crt
  keyFile: /etc/kagiban/host-api.key
  clientCaFile: /etc/kagiban/client-ca.crt
  clientNames: [kagiban-operator]
agents:
  - name: web
    product: tls-service
    keystore: {certificateFile: /etc/web/tls.crt, keyFile: /etc/web/tls.key}
    endpoint: {address: '127.0.0.1:8443', serverName: ups-01.example.com}
    service: {stop: [systemctl, stop, web], start: [systemctl, start, web]}
";

pub(super) fn metrics() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9996))
}

pub(super) fn installed(name: &str) -> Result<DebianRoot> {
    let root = DebianRoot::unpack(name)?;
    root.put(&Packages::shared()?.deb, "/root/1.deb")?;
    root.run("dpkg", &["--install", "/root/1.deb"])?;
    Ok(root)
}

#[test]
fn what_the_package_enables_is_up_after_a_boot_serves_reloads_and_stops() -> Result<()> {
    let root = installed("booted")?;
    let host = Booted::boot(&root)?;
    ensure!(host.property(METRICS, "ActiveState")? == "active", "{}", host.journal());
    // It is ready before every source has been looked at for the first time.
    let up =
        |told: http::Response| told.body.contains(r#"kagiban_source_up{source_kind="host",source_name="system"} 1"#);
    wait::until(DEADLINE, || host.within(|| http::get(metrics(), "/metrics")).is_ok_and(up))
        .with_context(|| format!("the host is not looked at: {}", host.journal()))?;

    // The limits of the unit are those of the process.
    let id = host.property(METRICS, "MainPID")?;
    let status = host.run("cat", &[&format!("/proc/{id}/status")])?;
    let account = host.run("id", &["--user", "kagiban"])?;
    let account = account.trim_end();
    for line in [
        format!("Uid:\t{account}\t{account}\t{account}\t{account}"),
        "CapEff:\t0000000000000000".to_owned(),
        "CapBnd:\t0000000000000000".to_owned(),
        "NoNewPrivs:\t1".to_owned(),
        "Seccomp:\t2".to_owned(),
    ] {
        ensure!(status.contains(&line), "no {line:?} in {status}");
    }

    fs::write(root.at("/etc/kagiban/exporter.yaml"), "certificates: [{name: added, paths: [/etc/kagiban]}]\n")?;
    host.run("systemctl", &["reload", METRICS])?;
    let added = |told: http::Response| told.body.contains(r#"source_name="added""#);
    wait::until(DEADLINE, || host.within(|| http::get(metrics(), "/metrics")).is_ok_and(added))
        .with_context(|| format!("the configuration is not read again: {}", host.journal()))?;
    ensure!(host.property(METRICS, "MainPID")? == id, "a reload is no restart");
    host.run("systemctl", &["stop", METRICS])?;
    ensure!(host.property(METRICS, "Result")? == "success", "{}", host.journal());
    the_operator_works(&host)
}

/// Its unit reads Secrets of its own account, keeps its state, and ends when it is told to.
fn the_operator_works(host: &Booted<'_>) -> Result<()> {
    host.root().put(&Packages::shared()?.operator_deb, "/root/2.deb")?;
    host.run("dpkg", &["--install", "/root/2.deb"])?;
    ensure!(host.property(OPERATOR, "ActiveState")? == "inactive", "nobody has started it: {}", host.journal());
    let resource = "examples/quickstart/managedagentcertificate.yaml";
    host.root().put(&tools::workspace().join(resource), "/root/mac.yaml")?;
    host.run("bash", &["-euc", OPERATOR_COMMANDS])?;
    let address = SocketAddr::from(([127, 0, 0, 1], 9994));
    let told = || host.within(|| http::get(address, "/metrics")).map(|told| told.body).unwrap_or_default();
    // It has the key that it speaks to hosts with, and none of them is there
    wait::until(DEADLINE, || told().contains(r#"reason="HostUnreachable""#))
        .with_context(|| format!("{}\n{}", told(), host.journal()))?;
    let state =
        host.run("stat", &["--format=%a %U", "/var/lib/kagiban-operator", "/var/lib/kagiban-operator/state.db"])?;
    ensure!(state == "700 kagiban-operator\n600 kagiban-operator\n", "{state}");
    host.run("systemctl", &["stop", OPERATOR])?;
    ensure!(host.property(OPERATOR, "Result")? == "success", "{}", host.journal());
    Ok(())
}

/// Holds A5, A8: a service is stopped and started by systemd, ordered behind the exporter at a boot after a power cut, and is up
/// again when the exporter is stopped while it rotates.
#[test]
fn a_service_is_rotated_across_a_power_cut_and_a_stop_of_the_exporter() -> Result<()> {
    let root = installed("rotated")?;
    let fleet = Fleet::new()?;
    let first = lay_out(&root, &fleet)?;
    let hold = root.at(HOLD);

    let host = Booted::boot(&root)?;
    ensure!(host.property(HOST_API, "ActiveState")? == "active", "{}", host.journal());
    ensure!(served(&host)? == first, "another leaf is served");
    order(&host, &fleet, 1)?;
    wait_for_end(&host, &fleet, 1, "Committed")?;
    let second = served(&host)?;
    ensure!(second != first, "the old leaf is served");

    // Cut while the service is being started with its new files.
    order_and_hold(&host, &fleet, 2)?;
    host.cut_the_power()?;
    fs::remove_file(&hold)?;
    let host = Booted::boot(&root)?;
    let [ready, started] = [(HOST_API, "ActiveEnterTimestampMonotonic"), (UNIT, "InactiveExitTimestampMonotonic")]
        .map(|(unit, name)| host.property(unit, name).map(|it| it.parse::<u64>()));
    let (ready, started) = (ready??, started??);
    ensure!(
        0 < ready && ready <= started,
        "ready at {ready}, the service was started at {started}: {}",
        host.journal()
    );
    // The processes do not end in the same instant: the exporter may have seen its command end before its own end came.
    let end = decided(&host, &fleet, 2)?;
    let third = served(&host)?;
    let goes_with = if end["state"] == "Committed" { third != second } else { third == second };
    ensure!(end["state"] != "Frozen" && goes_with, "{third} is served, {second} was before: {end:#}");

    // Stopped while it waits for the service.
    order_and_hold(&host, &fleet, 3)?;
    host.run("systemctl", &["stop", "--no-block", HOST_API])?;
    wait_for_state(&host, HOST_API, "deactivating")?;
    fs::remove_file(&hold)?;
    wait_for_state(&host, HOST_API, "inactive")?;
    ensure!(host.property(HOST_API, "Result")? == "success", "{}", host.journal());
    ensure!(host.property(UNIT, "ActiveState")? == "active", "the service is down: {}", host.journal());
    served(&host)?;

    host.run("systemctl", &["start", HOST_API])?;
    wait_for_end(&host, &fleet, 3, "Committed")?;
    ensure!(served(&host)? != third, "the leaf from before the stop is served");
    documented_commands(&host)
}

/// What tests/README.md says is run here. A pipe to `grep` must find something.
fn documented_commands(host: &Booted<'_>) -> Result<()> {
    let readme = fs::read_to_string(tools::workspace().join("tests/README.md"))?;
    let rows = readme.lines().filter_map(|line| {
        let (command, why) = line.strip_prefix("| `")?.split_once("` | ")?;
        (why == "`tests/packages` runs it on a host that systemd has booted |").then(|| command.replace("\\|", "|"))
    });
    let commands: Vec<_> = rows.collect();
    ensure!(commands.len() >= 6, "{commands:?}");
    for command in commands {
        let words = command.trim_start_matches("sudo ").trim_start_matches("ssh HOST ").replace("SERVICE", UNIT);
        host.run("bash", &["-euo", "pipefail", "-c", &words]).with_context(|| command.clone())?;
    }
    Ok(())
}

/// The service, its files, the exporter's configuration and keys. What is served at first.
pub(super) fn lay_out(root: &DebianRoot, fleet: &Fleet) -> Result<String> {
    root.run("useradd", &["--system", "--no-create-home", "web"])?;
    let account: u32 = root.run("id", &["--user", "web"])?.trim_end().parse()?;
    fs::create_dir(root.at("/etc/web"))?;
    let identity = fleet.corporate.issue(&[HOST], Purpose::Server, Validity::Now)?;
    for path in <[_; 2]>::from(identity.write(&root.at("/etc/web"), "tls")?) {
        chown(&path, Some(account), Some(account))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    }
    fs::write(root.at("/etc/systemd/system/web.service"), SERVICE)?;
    let drop_in = root.at(&format!("/etc/systemd/system/{HOST_API}.d/override.conf"));
    fs::create_dir(drop_in.parent().context("no parent")?)?;
    fs::write(drop_in, DROP_IN)?;

    let etc = root.at("/etc/kagiban");
    fs::write(etc.join("exporter.yaml"), CONFIG)?;
    ensure!(CONFIG.contains(OPERATOR_NAME) && CONFIG.contains(HOST), "the names are the fleet's");
    let (_, key) = fleet.server_identity(HOST)?.write(&etc, "host-api")?;
    fs::set_permissions(key, fs::Permissions::from_mode(0o600))?;
    fs::write(etc.join("client-ca.crt"), &fleet.transport.identity.certificate)?;
    root.run("systemctl", &["disable", METRICS])?;
    root.run("systemctl", &["enable", HOST_API, UNIT])?;
    Ok(handshake::sha256(CertificateDer::from_pem_slice(identity.certificate.as_bytes())?.as_ref()))
}

pub(super) fn served(host: &Booted<'_>) -> Result<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], 8443));
    let mut last = None;
    // A unit without a notice of its own is active before it listens.
    let found = wait::for_some(DEADLINE, || match host.within(|| handshake::served(address, HOST)) {
        Ok(served) => Some(served.leaf_sha256()),
        Err(error) => {
            last = Some(error);
            None
        }
    });
    found.with_context(|| format!("{last:?}\n{}", host.journal()))
}

fn client(fleet: &Fleet) -> Result<HostClient> {
    Ok(HostClient {
        address: SocketAddr::from(([127, 0, 0, 1], 9995)),
        server_name: HOST.to_owned(),
        server_ca: fleet.transport.identity.certificate.clone(),
        identity: Some(fleet.client_identity()?),
    })
}

pub(super) fn order(host: &Booted<'_>, fleet: &Fleet, generation: u64) -> Result<()> {
    let client = client(fleet)?;
    host.within(|| client.rotate(AGENT, HOST, generation, |csr| fleet.corporate.sign(csr)))
}

/// Orders a rotation, and waits until the service is being started on its new files, which takes until the file is removed.
pub(super) fn order_and_hold(host: &Booted<'_>, fleet: &Fleet, generation: u64) -> Result<()> {
    fs::write(host.root().at(HOLD), "")?;
    order(host, fleet, generation)?;
    wait_for_state(host, UNIT, "activating")
}

pub(super) fn wait_for_state(host: &Booted<'_>, unit: &str, state: &str) -> Result<()> {
    wait::until(DEADLINE, || host.property(unit, "ActiveState").is_ok_and(|it| it == state))
        .with_context(|| format!("{unit} does not become {state}: {}", host.journal()))
}

pub(super) fn decided(host: &Booted<'_>, fleet: &Fleet, generation: u64) -> Result<Value> {
    let client = client(fleet)?;
    host.within(|| client.wait_decided(AGENT, generation, DEADLINE))
}

fn wait_for_end(host: &Booted<'_>, fleet: &Fleet, generation: u64, end: &str) -> Result<()> {
    let report = decided(host, fleet, generation)?;
    ensure!(report["state"] == end, "{report:#}\n{}", host.journal());
    Ok(())
}
