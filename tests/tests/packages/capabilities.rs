//! What the unit of the host API leaves to root is what a rotation needs: capabilities and system calls.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::time::Duration;

use crate::calls::{ensure_allowed, tracing};
use anyhow::{Context, Result, ensure};
use kagiban_tests::host::Host;
use kagiban_tests::keystore::StoreType;
use kagiban_tests::powerchute::Installation;
use kagiban_tests::quickstart::{Fleet, HOST};
use kagiban_tests::{scratch, tools};
use rustix::fs::{XattrFlags, getxattr, setxattr};

/// An account that owns the agent's directory, and one that may read its keystore.
const OWNER: u32 = 4242;
const READER: u32 = 4343;
const ACL: &str = "system.posix_acl_access";
const DEADLINE: Duration = Duration::from_secs(180);

#[test]
fn the_units_capabilities_and_calls_are_enough_to_rotate_the_keystore_of_another_account() -> Result<()> {
    let unit = fs::read_to_string(tools::workspace().join("examples/systemd/kagiban-exporter-host-api.service"))?;
    let capabilities = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).context("no set")?;
    let capabilities = capabilities.to_lowercase().replace("cap_", "+").replace(' ', ",");
    let calls = scratch::directory("calls")?.join("calls");
    let fleet = Fleet::new()?;
    let installation = Installation {
        store_type: StoreType::Pkcs12,
        password: "store-password".to_owned(),
        host_name: HOST.to_owned(),
        deletes_credentials: false,
        usual_ports: false,
    };
    let mut host = Host::install(&scratch::directory("capabilities")?, &installation, &fleet)?;
    let store = host.agent.keystore();
    let directory = host.agent.directory().to_owned();
    chown(&directory, Some(OWNER), Some(OWNER))?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
    chown(&store, Some(OWNER), Some(OWNER))?;
    setxattr(&store, ACL, &access_for(READER), XattrFlags::empty())?;
    let limits = format!("--bounding-set=-all,{capabilities}");
    let limited = ["setpriv", &limits, "--no-new-privs", "--"];
    host.run_under(tracing(&calls)?.into_iter().chain(limited.map(str::to_owned)));
    host.agent.start()?;
    let before = host.agent.served()?.leaf_sha256();
    host.start_exporter()?;

    let client = host.client(Some(fleet.client_identity()?));
    client.rotate("powerchute", HOST, 1, |csr| fleet.corporate.sign(csr))?;
    let report = client.wait_decided("powerchute", 1, DEADLINE)?;
    ensure!(report["state"] == "Committed", "{report:#}");
    ensure!(host.agent.served()?.leaf_sha256() != before, "the old leaf is served");
    let metadata = fs::metadata(&store)?;
    ensure!((metadata.uid(), metadata.gid()) == (OWNER, OWNER), "the owner is another one");
    let mut list = [0; 256];
    let length = getxattr(&store, ACL, &mut list[..])?;
    ensure!(list[..length] == access_for(READER), "the access control list is another one");
    host.exporter()?.terminate(DEADLINE)?;
    ensure_allowed(&unit, &calls)
}

/// `user::rw-, user:ACCOUNT:r--, group::---, mask::r--, other::---`, as the kernel keeps it.
fn access_for(account: u32) -> Vec<u8> {
    const UNDEFINED: u32 = u32::MAX;
    let entries = [(1, 6, UNDEFINED), (2, 4, account), (4, 0, UNDEFINED), (16, 4, UNDEFINED), (32, 0, UNDEFINED)];
    let entry = |(tag, permissions, id): (u16, u16, u32)| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    [2u32.to_le_bytes().to_vec()].into_iter().chain(entries.map(entry)).flatten().collect()
}
