//! The Debian package.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kagiban_tests::debian_root::DebianRoot;
use kagiban_tests::http;
use kagiban_tests::packages::Packages;
use kagiban_tests::ports::on_ports;
use kagiban_tests::process::Program;

const DEADLINE: Duration = Duration::from_secs(60);
const CONFIG: &str = "/etc/kagiban/exporter.yaml";
const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants";

#[test]
fn it_is_installed_serves_keeps_an_edited_configuration_and_leaves_nothing_when_it_is_purged() -> Result<()> {
    let root = DebianRoot::unpack("deb")?;
    let (package, next) = (Packages::shared()?.deb, Packages::make("2")?.deb);
    root.put(&package, "/root/1.deb")?;
    root.put(&next, "/root/2.deb")?;
    let before = root.files()?;

    root.run("dpkg", &["--install", "/root/1.deb"])?;
    let version = root.run("/usr/bin/kagiban-exporter", &["--version"])?;
    ensure!(version == concat!("kagiban-exporter ", env!("CARGO_PKG_VERSION"), "\n"), "{version}");
    let status = root.run("dpkg-query", &["--show", "--showformat=${Status} ${Conffiles}", "kagiban-exporter"])?;
    ensure!(status.starts_with("install ok installed") && status.contains(CONFIG), "{status}");
    ensure!(is_enabled(&root, "kagiban-exporter"), "the unit for metrics is not enabled");
    ensure!(!is_enabled(&root, "kagiban-exporter-host-api"), "nobody has asked for rotations");
    let account = root.bash("getent passwd kagiban")?;
    ensure!(account.trim_end().ends_with(":/nonexistent:/usr/sbin/nologin"), "{account}");
    root.bash("cd / && md5sum --quiet --check /var/lib/dpkg/info/kagiban-exporter.md5sums")?;
    serves(&root)?;

    // What a person has set, and what is disabled.
    let edited = "host: ups-01.example.com\n";
    fs::write(root.at(CONFIG), edited)?;
    root.run("systemctl", &["disable", "kagiban-exporter.service"])?;
    root.run("systemctl", &["enable", "kagiban-exporter-host-api.service"])?;
    // Both units had one state directory in earlier packages: what the account has there goes with its unit, and root obeys none of it.
    root.bash("install -d -o kagiban -g kagiban -m 700 /var/lib/kagiban && echo kept >/var/lib/kagiban/shutdown.json")?;
    root.run("dpkg", &["--install", "/root/2.deb"])?;
    ensure!(!root.at("/var/lib/kagiban").exists(), "root would find what another account has written");
    ensure!(
        root.bash("stat --format=%U /var/lib/kagiban-metrics && cat /var/lib/kagiban-metrics/shutdown.json")?
            == "kagiban\nkept\n"
    );
    ensure!(root.run("dpkg-query", &["--show", "--showformat=${Version}", "kagiban-exporter"])?.ends_with("-2"));
    ensure!(fs::read_to_string(root.at(CONFIG))? == edited, "the upgrade has changed the configuration");
    ensure!(!is_enabled(&root, "kagiban-exporter"), "the upgrade has enabled what was disabled");
    ensure!(is_enabled(&root, "kagiban-exporter-host-api"), "the upgrade has disabled what was enabled");

    // A state directory as rotations leave it.
    root.bash("mkdir -p -m 700 /var/lib/kagiban/backups/powerchute/1")?;
    root.run("dpkg", &["--remove", "kagiban-exporter"])?;
    ensure!(!root.at("/usr/bin/kagiban-exporter").exists() && root.at(CONFIG).exists(), "not removed");
    ensure!(root.at("/var/lib/kagiban/backups").exists(), "only a purge takes the state away");
    ensure!(root.at("/var/lib/kagiban-metrics").exists(), "only a purge takes the state away");
    root.run("dpkg", &["--purge", "kagiban-exporter"])?;
    let differences = root.changes_since(&before)?;
    ensure!(differences.is_empty(), "left behind, missing or changed: {differences:#?}");
    ensure!(root.bash("getent passwd kagiban").is_ok(), "files elsewhere may belong to this account");
    Ok(())
}

/// Its own account sees what everybody may see, with the limits of the unit that can be had without systemd.
fn serves(root: &DebianRoot) -> Result<()> {
    let directory = root.path().parent().context("no parent")?;
    on_ports(|[port]| {
        let address = format!("--web.listen-address={}", port.address());
        let config = format!("--config.file={CONFIG}");
        let account = ["--reuid", "kagiban", "--regid", "kagiban", "--clear-groups", "--no-new-privs"];
        let limits = ["--bounding-set", "-all", "--inh-caps", "-all", "--", "/usr/bin/kagiban-exporter"];
        let arguments: Vec<_> = account.into_iter().chain(limits).chain([config.as_str(), &address]).collect();
        let mut program = Program::start("installed", &root.command("setpriv", &arguments), directory)?;
        let ready = || http::get(port.address(), "/-/ready").is_ok_and(|answer| answer.status == 200);
        program.wait_ready(DEADLINE, ready)?;
        let metrics = http::get(port.address(), "/metrics")?.body;
        ensure!(metrics.contains(r#"kagiban_source_up{source_kind="host",source_name="system"} 1"#), "{metrics}");
        Ok(())
    })
}

fn is_enabled(root: &DebianRoot, unit: &str) -> bool {
    fs::symlink_metadata(root.at(ENABLED).join(format!("{unit}.service"))).is_ok()
}
