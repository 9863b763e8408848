//! The RPM package. rpm comes from Debian's packages, and has a database of its own.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kagiban_tests::debian_root::DebianRoot;
use kagiban_tests::packages::Packages;
use kagiban_tests::process;

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
