//! The RPM package. rpm comes from Debian's packages, and has a database of its own.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kagiban_tests::debian_root::DebianRoot;
use kagiban_tests::packages::Packages;
use kagiban_tests::{process, tools};

#[test]
fn it_is_installed_upgraded_and_erased_and_its_scriptlets_are_shell() -> Result<()> {
    let root = DebianRoot::unpack("rpm")?;
    root.put(&Packages::shared()?.rpm, "/root/1.rpm")?;
    root.put(&Packages::make("2")?.rpm, "/root/2.rpm")?;
    let scripts = root.run("rpm", &["--query", "--package", "--scripts", "/root/1.rpm"])?;
    let mut names = Vec::new();
    for part in scripts.split("\n\n").filter(|part| !part.trim().is_empty()) {
        let (head, script) = part.split_once('\n').context("a scriptlet is empty")?;
        names.push(head.split_once(' ').context("a scriptlet has no name")?.0);
        ensure!(head.ends_with("(using /bin/sh):"), "{head}");
        let checked = process::output_with_input(Command::new("sh").arg("-n"), script)?;
        ensure!(checked.status.success(), "{head}: {}", String::from_utf8_lossy(&checked.stderr));
    }
    ensure!(names == ["preinstall", "postinstall", "preuninstall", "postuninstall"], "{scripts}");
    let needs = root.run("rpm", &["--query", "--package", "--requires", "/root/1.rpm"])?;
    ensure!(needs.lines().any(|line| line == "glibc >= 2.17"), "{needs}");

    let unpacked = root
        .bash("mkdir /root/unpacked && cd /root/unpacked && rpm2cpio ../1.rpm | cpio -idm --quiet --no-absolute-filenames 2>/dev/null && find . -type f")?;
    for file in
        ["usr/bin/kagiban-exporter", "etc/kagiban/exporter.yaml", "usr/share/zsh/site-functions/_kagiban-exporter"]
    {
        ensure!(unpacked.lines().any(|line| line == format!("./{file}")), "{file} is not among {unpacked}");
    }
    fs::remove_dir_all(root.at("/root/unpacked"))?;

    // Its dependencies are Debian's packages here, of which rpm knows nothing.
    let rpm = |arguments: &[&str]| root.run("rpm", &[&["--nodeps", "--nosignature"], arguments].concat());
    rpm(&["--install", "/root/1.rpm"])?;
    root.run("/usr/bin/kagiban-exporter", &["--version"])?;
    root.bash("getent passwd kagiban")?;
    let verified = root.run("rpm", &["--verify", "--nodeps", "kagiban-exporter"])?;
    ensure!(verified.is_empty(), "{verified}");
    let config = root.at("/etc/kagiban/exporter.yaml");
    fs::write(&config, "host: ups-01.example.com\n")?;
    root.run("systemctl", &["enable", "kagiban-exporter-host-api.service"])?;
    rpm(&["--upgrade", "/root/2.rpm"])?;
    ensure!(fs::read_to_string(&config)? == "host: ups-01.example.com\n", "the upgrade has changed the configuration");
    let wanted = root.at("/etc/systemd/system/multi-user.target.wants");
    ensure!(
        fs::symlink_metadata(wanted.join("kagiban-exporter-host-api.service")).is_ok(),
        "the upgrade has disabled it"
    );

    rpm(&["--erase", "kagiban-exporter"])?;
    let left = root.files()?.into_keys().filter(|path| path.to_string_lossy().contains("kagiban"));
    let left: Vec<_> = left.map(|path| path.display().to_string()).collect();
    // An edited configuration is the administrator's.
    ensure!(left.iter().all(|path| path.starts_with("etc/kagiban")), "{left:#?}");
    ensure!(left.iter().any(|path| path.ends_with(".rpmsave")), "{left:#?}");
    Ok(())
}

/// A package with the name, the version and the directory of the agent of PowerChute Business Edition, and nothing else of it.
const AGENT: &str = "\
name: pbeagent
arch: 386
platform: linux
version: 7.0.0
release: 419
maintainer: Tests <tests@example.com>
description: a double
contents:
  - {dst: /opt/APC/PowerChuteBusinessEdition/Agent, type: dir}
";

#[test]
fn the_release_of_a_product_is_told_from_the_database_of_the_real_rpm() -> Result<()> {
    let root = DebianRoot::unpack("rpm-release")?;
    let agent = root.at("/root/agent.yaml");
    fs::write(&agent, AGENT)?;
    let mut nfpm = Command::new(tools::nfpm()?);
    nfpm.args(["package", "--packager", "rpm", "--config"]).arg(&agent).arg("--target").arg(root.at("/root/agent.rpm"));
    process::run(&mut nfpm)?;
    root.put(&tools::ours("kagiban-exporter")?, "/root/kagiban-exporter")?;
    let discover = || root.run("/root/kagiban-exporter", &["discover", "--host", "ups-01.example.com"]);
    root.bash("mkdir -p /opt/APC/PowerChuteBusinessEdition/Agent")?;
    let found = discover()?;
    ensure!(found.contains("powerchute-business-edition in") && !found.contains("release "), "{found}");

    root.run("rpm", &["--install", "--nodeps", "--ignorearch", "--nosignature", "/root/agent.rpm"])?;
    let found = discover()?;
    ensure!(
        found.contains("release 7.0 (pbeagent-7.0.0-419) in /opt/APC/PowerChuteBusinessEdition/Agent; when"),
        "{found}"
    );
    ensure!(found.contains("e-mail and broadcast notifications"), "{found}");

    root.bash(
        "at=$(rpm --eval %_dbpath); printf nonsense > /root/nothing; rm -r \"$at\"; ln -s /root/nothing \"$at\"",
    )?;
    let found = discover()?;
    ensure!(!found.contains("release "), "a database that cannot be opened says nothing: {found}");
    Ok(())
}
