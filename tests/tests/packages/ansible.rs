//! The example's role, run by Ansible in a root of Debian packages.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use kagiban_tests::debian_root::DebianRoot;
use kagiban_tests::packages::Packages;
use kagiban_tests::quickstart::{Fleet, HOST};
use kagiban_tests::tools;

const SECRET: &str = "canary-community-4711";

#[test]
fn the_role_installs_configures_and_enables_and_changes_nothing_when_it_is_run_again() -> Result<()> {
    let root = DebianRoot::unpack("ansible")?;
    let package = Packages::shared()?.deb;
    root.put(&package, "/root/exporter.deb")?;
    copy(&tools::workspace().join("examples/ansible"), &root.at("/root/ansible"))?;
    write_vault(&root)?;
    // The inventory's two hosts are this root, one after the other.
    for (host, unit, other, account) in [
        ("ups-02.example.com", "kagiban-exporter", "kagiban-exporter-host-api", "kagiban"),
        (HOST, "kagiban-exporter-host-api", "kagiban-exporter", "root"),
    ] {
        let first = play(&root, host)?;
        ensure!(!first.contains("changed=0 ") && first.contains("failed=0 "), "{first}");
        ensure!(!first.contains(SECRET) && !first.contains("PRIVATE KEY"), "{first}");
        let again = play(&root, host)?;
        ensure!(again.contains("changed=0 ") && again.contains("failed=0 "), "{again}");

        let wanted = root.at("/etc/systemd/system/multi-user.target.wants");
        let is_enabled = |unit: &str| fs::symlink_metadata(wanted.join(format!("{unit}.service"))).is_ok();
        ensure!(is_enabled(unit) && !is_enabled(other), "{host}: not {unit} is enabled");
        let secret = if account == "root" { "host-api.key" } else { "community" };
        let metadata = fs::metadata(root.at("/etc/kagiban").join(secret))?;
        let id = root.run("id", &["--user", account])?.trim().parse::<u32>()?;
        ensure!(metadata.uid() == id && metadata.permissions().mode() & 0o777 == 0o600, "{host}: {secret}");
        let config = ["--config.check", "--config.file=/etc/kagiban/exporter.yaml"];
        let checked = root.run("/usr/bin/kagiban-exporter", &config)?;
        ensure!(checked.starts_with("configuration OK"), "{checked}");
        root.bash(&format!("systemd-analyze verify {unit}.service"))?;
    }
    let drop_in = fs::read_to_string(root.at("/etc/systemd/system/kagiban-exporter-host-api.service.d/ansible.conf"))?;
    ensure!(drop_in.contains("Before=pbeagent.service"), "{drop_in}");
    Ok(())
}

fn play(root: &DebianRoot, host: &str) -> Result<String> {
    root.bash(&format!(
        "cd /root/ansible && ANSIBLE_NOCOLOR=1 ansible-playbook --inventory inventory.yaml --limit {host} --connection local \
         --extra-vars @vault.yaml --extra-vars kagiban_exporter_package=/root/exporter.deb site.yaml 2>&1"
    ))
}

/// What a fleet keeps in Ansible Vault.
fn write_vault(root: &DebianRoot) -> Result<()> {
    let fleet = Fleet::new()?;
    let host = fleet.server_identity(HOST)?;
    let vault = serde_json::json!({
        "vault_community": SECRET,
        "vault_host_api_crt": host.certificate,
        "vault_host_api_key": host.key,
        "vault_client_ca": fleet.transport.identity.certificate,
    });
    Ok(fs::write(root.at("/root/ansible/vault.yaml"), vault.to_string())?)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().context("no name")?);
        if path.is_dir() { copy(&path, &target)? } else { _ = fs::copy(&path, &target)? }
    }
    Ok(())
}
