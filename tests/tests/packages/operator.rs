//! The packages of kagiban-operator, for the machine that somebody types on, and for a site without a cluster.

use anyhow::{Result, ensure};
use kagiban_tests::debian_root::DebianRoot;
use kagiban_tests::packages::Packages;

/// What both have, and where each has the completion of zsh.
const FILES: [&str; 6] = [
    "/etc/kagiban-operator/manifests",
    "/usr/bin/kagiban-operator",
    "/usr/lib/systemd/system/kagiban-operator.service",
    "/usr/share/bash-completion/completions/kagiban-operator",
    "/usr/share/doc/kagiban-operator/kagiban-operator.cdx.json",
    "/usr/share/man/man1/kagiban-operator-enroll.1.gz",
];

/// Nobody but the account of the unit reads what lies there.
const SECRETS: &str = "/etc/kagiban-operator/secrets";
const PRIVATE: &str = "700 kagiban-operator:kagiban-operator\n";

#[test]
fn the_operator_is_installed_with_its_unit_off_enrolls_a_host_and_leaves_nothing() -> Result<()> {
    let root = DebianRoot::unpack("operator-deb")?;
    root.put(&Packages::shared()?.operator_deb, "/root/1.deb")?;
    let before = root.files()?;
    root.run("dpkg", &["--install", "/root/1.deb"])?;
    let version = root.run("kagiban-operator", &["--version"])?;
    ensure!(version == concat!("kagiban-operator ", env!("CARGO_PKG_VERSION"), "\n"), "{version}");
    has_no_more_than_it_should(&root.bash("dpkg --listfiles kagiban-operator")?, "vendor-completions")?;
    ensure!(root.run("stat", &["--format=%a %U:%G", SECRETS])? == PRIVATE);
    let enabled = || root.bash("systemctl is-enabled kagiban-operator || true");
    ensure!(enabled()? == "disabled\n", "nobody has asked for it: {}", enabled()?);
    ensure!(!root.at("/var/lib/kagiban-operator").exists(), "only the unit makes a state");

    let enrolled =
        root.bash("cd \"$(mktemp -d)\"; kagiban-operator enroll ups-01.example.com --new-ca ca --allowed-hosts '*.example.com'; ls *; rm -r \"$PWD\"")?;
    ensure!(enrolled.contains("host-api.crt") && enrolled.contains("host-api.key"), "{enrolled}");

    // One from before there was an account gets its directory.
    root.bash(&format!("userdel kagiban-operator && chown root:root {SECRETS}"))?;
    root.run("dpkg", &["--install", "/root/1.deb"])?;
    ensure!(root.run("stat", &["--format=%a %U:%G", SECRETS])? == PRIVATE);
    // An upgrade keeps what an administrator has set.
    root.bash(&format!(
        "systemctl enable kagiban-operator && chown root:root {SECRETS} && mkdir /var/lib/kagiban-operator"
    ))?;
    root.run("dpkg", &["--install", "/root/1.deb"])?;
    ensure!(enabled()? == "enabled\n" && root.run("stat", &["--format=%U", SECRETS])? == "root\n");
    root.run("dpkg", &["--remove", "kagiban-operator"])?;
    ensure!(root.at("/var/lib/kagiban-operator").exists(), "only a purge takes the state away");
    root.run("dpkg", &["--purge", "kagiban-operator"])?;
    let left = root.changes_since(&before)?;
    ensure!(left.is_empty(), "{left:#?}");
    Ok(())
}

#[test]
fn the_rpm_of_the_operator_has_the_same() -> Result<()> {
    let root = DebianRoot::unpack("operator-rpm")?;
    root.put(&Packages::shared()?.operator_rpm, "/root/1.rpm")?;
    let query = |what: &str| root.run("rpm", &["--query", "--package", "--nosignature", what, "/root/1.rpm"]);
    has_no_more_than_it_should(&query("--list")?, "site-functions")?;
    let needs = query("--requires")?;
    ensure!(needs.lines().any(|line| line == "glibc >= 2.17"), "{needs}");
    root.run("rpm", &["--install", "--nodeps", "--nosignature", "/root/1.rpm"])?;
    let version = root.run("kagiban-operator", &["--version"])?;
    ensure!(version.starts_with("kagiban-operator "), "{version}");
    ensure!(root.run("stat", &["--format=%a %U:%G", SECRETS])? == PRIVATE);
    let verified = root.run("rpm", &["--verify", "--nodeps", "kagiban-operator"])?;
    ensure!(verified.is_empty(), "{verified}");
    root.run("rpm", &["--erase", "--nodeps", "kagiban-operator"])?;
    ensure!(
        !root.at("/usr/bin/kagiban-operator").exists() && !root.at("/etc/kagiban-operator").exists(),
        "left behind"
    );
    Ok(())
}

fn has_no_more_than_it_should(files: &str, zsh: &str) -> Result<()> {
    let zsh = format!("/usr/share/zsh/{zsh}/_kagiban-operator");
    for file in FILES.into_iter().chain([zsh.as_str()]) {
        ensure!(files.lines().any(|line| line == file), "{file} is not among {files}");
    }
    ensure!(!files.contains("/var"), "{files}");
    Ok(())
}
