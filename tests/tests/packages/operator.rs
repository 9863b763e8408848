//! The packages of kagiban-operator, for the machine that somebody types on.

use anyhow::{Result, ensure};
use kagiban_tests::debian_root::DebianRoot;
use kagiban_tests::packages::Packages;

/// What both have, and where each has the completion of zsh.
const FILES: [&str; 4] = [
    "/usr/bin/kagiban-operator",
    "/usr/share/bash-completion/completions/kagiban-operator",
    "/usr/share/doc/kagiban-operator/kagiban-operator.cdx.json",
    "/usr/share/man/man1/kagiban-operator-enroll.1.gz",
];

#[test]
fn the_operator_is_installed_without_a_unit_or_a_script_enrolls_a_host_and_leaves_nothing() -> Result<()> {
    let root = DebianRoot::unpack("operator-deb")?;
    root.put(&Packages::shared()?.operator_deb, "/root/1.deb")?;
    let before = root.files()?;
    root.run("dpkg", &["--install", "/root/1.deb"])?;
    let version = root.run("kagiban-operator", &["--version"])?;
    ensure!(version == concat!("kagiban-operator ", env!("CARGO_PKG_VERSION"), "\n"), "{version}");
    has_no_more_than_it_should(&root.bash("dpkg --listfiles kagiban-operator")?, "vendor-completions")?;
    let scripts = root.bash("cd /var/lib/dpkg/info && ls kagiban-operator.*")?;
    ensure!(scripts == "kagiban-operator.list\nkagiban-operator.md5sums\n", "{scripts}");

    let enrolled =
        root.bash("cd \"$(mktemp -d)\"; kagiban-operator enroll ups-01.example.com --new-ca ca --allowed-hosts '*.example.com'; ls *; rm -r \"$PWD\"")?;
    ensure!(enrolled.contains("host-api.crt") && enrolled.contains("host-api.key"), "{enrolled}");

    root.run("dpkg", &["--purge", "kagiban-operator"])?;
    let left = root.changes_since(&before)?;
    ensure!(left.is_empty(), "{left:#?}");
    Ok(())
}

#[test]
fn the_rpm_of_the_operator_has_the_same_and_no_scriptlet() -> Result<()> {
    let root = DebianRoot::unpack("operator-rpm")?;
    root.put(&Packages::shared()?.operator_rpm, "/root/1.rpm")?;
    let query = |what: &str| root.run("rpm", &["--query", "--package", "--nosignature", what, "/root/1.rpm"]);
    has_no_more_than_it_should(&query("--list")?, "site-functions")?;
    let scripts = query("--scripts")?;
    ensure!(scripts.is_empty(), "{scripts}");
    let needs = query("--requires")?;
    ensure!(needs.lines().any(|line| line == "glibc >= 2.17"), "{needs}");
    root.run("rpm", &["--install", "--nodeps", "--nosignature", "/root/1.rpm"])?;
    let version = root.run("kagiban-operator", &["--version"])?;
    ensure!(version.starts_with("kagiban-operator "), "{version}");
    let verified = root.run("rpm", &["--verify", "--nodeps", "kagiban-operator"])?;
    ensure!(verified.is_empty(), "{verified}");
    Ok(())
}

fn has_no_more_than_it_should(files: &str, zsh: &str) -> Result<()> {
    let zsh = format!("/usr/share/zsh/{zsh}/_kagiban-operator");
    for file in FILES.into_iter().chain([zsh.as_str()]) {
        ensure!(files.lines().any(|line| line == file), "{file} is not among {files}");
    }
    for part in ["systemd", "/etc", "/var"] {
        ensure!(!files.contains(part), "{part}: {files}");
    }
    Ok(())
}
