//! Rotations in a directory that belongs to somebody hostile, or on a file system in the way: what is kept from whom, what
//! comes back, and what is refused before the service is stopped.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kagiban_crds::host_api::{OnUnreadable, Refusal, RefusalReason, RotationReport, RotationState};
use kagiban_exporter::rotation::{Rotator, StateDirectoryLock};
use kagiban_keystore::{self as keystore, Format, Limits, Merge};
use rustix::fs::{XattrFlags, getxattr, removexattr, setxattr};
use support::service::put;
use support::{HOST, World, delivery, open, rollback, service};

/// An account that is to get nothing.
const STRANGER: u32 = 1234;
const TMPFS_MODE: &str = "mode=700";

struct Host {
    rotator: Rotator,
    _lock: StateDirectoryLock,
}

impl Host {
    async fn of(world: &World) -> Self {
        let (rotator, lock) = world.rotator().await;
        Self { rotator, _lock: lock }
    }

    async fn rotate(&mut self, world: &World, generation: u64) -> Result<RotationReport, Refusal> {
        let opened = self.rotator.open(&open(1, generation), Ok(()))?;
        let (chain, _) = world.sign(&opened.csr.unwrap());
        self.rotator.deliver(&delivery(1, generation, &chain), Ok(()))?;
        self.rotator.advance(|_| {}).await;
        Ok(self.rotator.report().unwrap())
    }

    async fn roll_back(&mut self, generation: u64) -> Result<RotationReport, Refusal> {
        self.rotator.roll_back(&rollback(1, generation), || true).await?;
        self.rotator.advance(|_| {}).await;
        Ok(self.rotator.report().unwrap())
    }

    /// What is done when it is due. Time passes as fast as it can until then.
    async fn next_chores(&mut self) {
        let due = self.rotator.next_chore().expect("nothing is due");
        tokio::time::pause();
        tokio::time::sleep_until(due).await;
        tokio::time::resume();
        self.rotator.do_chores(|_| {}).await;
    }
}

/// A file system of its own, gone when the test ends.
struct Mount(PathBuf);

impl Mount {
    fn new(arguments: &[&str], at: &Path) -> Self {
        let status = Command::new("mount").args(arguments).arg(at).status().expect("install the package mount");
        assert!(status.success(), "this test mounts file systems: run it as root, with CAP_SYS_ADMIN");
        Self(at.to_owned())
    }

    /// In the place of a directory, with its files.
    fn over(directory: &Path, options: &str) -> Self {
        std::fs::create_dir_all(directory).unwrap();
        let files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        let contents: Vec<_> = files.iter().map(|file| (file, std::fs::read(file).unwrap())).collect();
        let mount = Self::new(&["-t", "tmpfs", "-o", options, "tmpfs"], directory);
        for (file, bytes) in contents {
            std::fs::write(file, bytes).unwrap();
        }
        mount
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn be_root() {
    assert!(rustix::process::geteuid().is_root(), "this test gives files to other accounts: run it as root");
}

fn script(text: &str) -> Option<Vec<String>> {
    Some(["sh", "-c", text].map(str::to_owned).to_vec())
}

/// What the service's own stop command does, and then this.
fn stop_and(world: &World, then: &str) -> Option<Vec<String>> {
    let stop = world.service.stop_argv();
    script(&format!("{}; {then}", stop[2].replace("$0", &stop[3])))
}

/// An access control list that lets `user` do `permissions`.
fn list(user: u32, permissions: u16) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    let none = u32::MAX;
    for (tag, permissions, id) in
        [(1u16, 6u16, none), (2, permissions, user), (4, 0, none), (0x10, 7, none), (0x20, 0, none)]
    {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files
}

/// `old` with a trusted certificate more, as an administrator imports one.
fn with_trusted(old: &[u8], password: &str, alias: &str, format: Option<Format>) -> Vec<u8> {
    let mut identity = support::pki::Authority::new("imported").server(alias);
    // Without its authority, which one store would find for several: it has the same name each time.
    identity.chain = identity.chain.split_inclusive("-----END CERTIFICATE-----\n").take(1).collect();
    put(Some(old), password, alias, &identity, format)
}

fn aliases(store: &[u8], password: &str) -> Vec<String> {
    let store = keystore::read(store, Some(&password.into()), &Limits::default()).unwrap();
    assert_eq!(store.password, keystore::PasswordCheck::Verified);
    let mut aliases: Vec<_> = store.entries.into_iter().map(|entry| entry.alias).collect();
    aliases.sort();
    aliases
}

/// Holds A1: whoever owns the directory reads no file of another through the backups and the rollback.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_swaps_its_key_for_a_link_gets_nothing_of_what_the_link_leads_to() {
    let mut world = World::pem_pair().await;
    // Nothing is stopped: what counts is what was read and copied before.
    world.agent.service.stop = script("false");
    world.agent.service.start = script("true");
    let secret = world.directory.path().join("secret");
    std::fs::write(&secret, "of root").unwrap();
    let key = world.home().join("tls.key");
    let own = std::fs::read(&key).unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let attacker = std::thread::spawn({
        let (ended, key, spare, secret) = (Arc::clone(&ended), key.clone(), world.home().join("spare"), secret.clone());
        move || {
            while !ended.load(Ordering::Relaxed) {
                symlink(&secret, &spare).unwrap();
                std::fs::rename(&spare, &key).unwrap();
                std::fs::write(&spare, &own).unwrap();
                std::fs::rename(&spare, &key).unwrap();
            }
        }
    });
    let mut host = Host::of(&world).await;
    let mut refused = 0;
    for generation in 1..=40 {
        match host.rotate(&world, generation).await {
            Ok(report) => assert!(report.state.is_decided(), "{report:#?}"),
            Err(refusal) => {
                assert_eq!(refusal.reason, RefusalReason::KeystoreRefused, "{refusal:#?}");
                refused += 1;
                let _ = host.roll_back(generation).await;
            }
        }
        for file in files_below(&world.state()).into_iter().chain(files_below(&world.home())) {
            // It may be gone again.
            let bytes = std::fs::read(&file).unwrap_or_default();
            let held = bytes.windows(7).any(|window| window == b"of root");
            assert!(!held || file == key || file.ends_with("spare"), "{} holds root's file", file.display());
        }
    }
    ended.store(true, Ordering::Relaxed);
    attacker.join().unwrap();
    assert!(refused > 0, "no look met the link");
}

/// Holds A1: the stored leaf is told of the agent's own file, never of one that a link leads to.
#[tokio::test]
async fn a_link_in_the_place_of_the_certificate_is_no_stored_leaf() {
    let world = World::pem_pair().await;
    let (file, moved) = (world.home().join("tls.crt"), world.directory.path().join("elsewhere"));
    std::fs::rename(&file, &moved).unwrap();
    symlink(&moved, &file).unwrap();
    let agent = kagiban_exporter::rotation::agent::Agent::resolve(&world.agent).unwrap();
    let refused = kagiban_exporter::rotation::stored_leaf(agent.push().unwrap()).unwrap_err();
    assert_eq!(refused.reason(), "not_regular");
    let refused = Host::of(&world).await.rotate(&world, 1).await.unwrap_err();
    assert_eq!(refused.reason, RefusalReason::KeystoreRefused);
}

/// Holds A1: the agent's account cannot have another file's first line taken for its store's password.
#[tokio::test]
async fn a_password_file_that_the_agents_account_made_a_link_is_refused() {
    be_root();
    let world = World::powerchute().await;
    let (file, secret) = (world.home().join("password"), world.directory.path().join("secret"));
    std::fs::write(&secret, "first line of another file\n").unwrap();
    std::fs::remove_file(&file).unwrap();
    symlink(&secret, &file).unwrap();
    std::os::unix::fs::chown(world.home(), Some(STRANGER), None).unwrap();
    let refused = Host::of(&world).await.rotate(&world, 1).await.unwrap_err();
    assert_eq!(refused.reason, RefusalReason::KeystoreRefused);
    assert!(refused.message.contains("symbolic link"), "{}", refused.message);
}

/// Holds A1: nothing in the rotation reads by a path that it follows.
#[test]
fn nothing_in_the_rotation_reads_by_path() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rotation");
    let mut seen = 0;
    let is_test = |file: &Path| {
        file.ends_with("tests.rs")
            || file.ends_with("scene.rs")
            || file.parent().is_some_and(|it| it.ends_with("tests"))
    };
    for file in files_below(&folder).into_iter().filter(|file| !is_test(file)) {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in ["read_regular", "fs::read(", "fs::read_to_string", "File::open(", "fs::metadata", "fs::copy"] {
            assert!(!code.contains(word), "{} says {word}", file.display());
        }
        seen += usize::from(code.contains("read_held"));
    }
    assert!(seen >= 5, "the test looks at the wrong files");
}

/// Holds A2: a file that somebody put there after the survey is not replaced, and the new key does not become theirs.
#[tokio::test]
async fn a_file_that_was_put_there_while_the_service_stopped_gives_the_new_key_neither_owner_nor_mode() {
    be_root();
    for attack in ["cp -p $f $f.x; chmod 666 $f.x; chown 1234 $f.x; mv $f.x $f", "chown 1234 $f", "chmod 666 $f"] {
        let mut world = World::pem_pair().await;
        let key = world.home().join("tls.key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
        world.agent.service.stop = stop_and(&world, &format!("f={}; {attack}", key.display()));
        let old = std::fs::read(&key).unwrap();
        let report = Host::of(&world).await.rotate(&world, 1).await.unwrap();
        assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
        assert_eq!(report.failure.unwrap().reason, "changed_meanwhile", "{attack}");
        assert_eq!(std::fs::read(&key).unwrap(), old);
        assert_eq!(world.service.served().await, Some(world.first));
    }
}

/// Holds A4: the directory's default list opens the new key to nobody, and takes it from nobody.
#[tokio::test]
async fn the_new_key_is_open_to_whom_the_old_one_was_and_to_nobody_else() {
    let world = World::pem_pair().await;
    let (key, certificate) = (world.home().join("tls.key"), world.home().join("tls.crt"));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let reader = list(65_534, 4);
    setxattr(&certificate, "system.posix_acl_access", &reader, XattrFlags::empty()).unwrap();
    setxattr(world.home(), "system.posix_acl_default", &list(STRANGER, 7), XattrFlags::empty()).unwrap();
    let report = Host::of(&world).await.rotate(&world, 1).await.unwrap();
    assert_eq!(report.state, RotationState::Committed, "{report:#?}");
    let mut value = [0; 256];
    let listed = getxattr(&key, "system.posix_acl_access", &mut value[..]);
    assert_eq!(listed, Err(rustix::io::Errno::NODATA), "the new key has a list that the old one had not");
    assert_eq!(std::fs::metadata(&key).unwrap().mode() & 0o777, 0o640);
    let length = getxattr(&certificate, "system.posix_acl_access", &mut value[..]).unwrap();
    assert_eq!(value[..length], reader);
}

/// Holds A10: what an administrator wrote after the rotation is there after the rollback.
#[tokio::test]
async fn a_late_rollback_takes_back_its_value_and_its_entry_and_nothing_else() {
    let world = World::powerchute().await;
    let (store, ini) = (world.home().join("keystore"), world.home().join("pcssconfig.ini"));
    let old_ini = std::fs::read_to_string(&ini).unwrap();
    std::fs::write(world.home().join("password"), "new-password\n").unwrap();
    let mut host = Host::of(&world).await;
    let report = host.rotate(&world, 1).await.unwrap();
    assert_eq!(report.state, RotationState::Committed, "{report:#?}");
    let added = "[Added]\r\nlater = 1\r\n";
    std::fs::write(&ini, std::fs::read_to_string(&ini).unwrap() + added).unwrap();
    std::fs::write(&store, with_trusted(&std::fs::read(&store).unwrap(), "new-password", "imported", None)).unwrap();

    let report = host.roll_back(1).await.unwrap();
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert_eq!(report.failure.unwrap().reason, "rolled_back_by_order");
    assert_eq!(std::fs::read_to_string(&ini).unwrap(), old_ini + added);
    assert_eq!(aliases(&std::fs::read(&store).unwrap(), "old-password"), ["imported", "other", "root", "securekey"]);
    assert_eq!(world.service.served().await, Some(world.first));
}

/// Holds A10: a key that somebody else installed since is not overwritten, and nothing is stopped for it.
#[tokio::test]
async fn a_late_rollback_is_refused_where_others_have_put_their_own() {
    let world = World::pem_pair().await;
    let mut host = Host::of(&world).await;
    assert_eq!(host.rotate(&world, 1).await.unwrap().state, RotationState::Committed);
    let theirs = world.issuer.server(HOST);
    std::fs::write(world.home().join("tls.crt"), &theirs.chain).unwrap();
    std::fs::write(world.home().join("tls.key"), &theirs.key).unwrap();
    let starts = world.service.starts();
    let refused = host.roll_back(1).await.unwrap_err();
    assert_eq!(refused.reason, RefusalReason::KeystoreRefused);
    assert!(refused.message.contains("neither what this rotation put there"), "{}", refused.message);
    assert_eq!(host.rotator.report().unwrap().state, RotationState::Committed);
    assert_eq!(std::fs::read_to_string(world.home().join("tls.key")).unwrap(), theirs.key);
    assert_eq!(world.service.starts(), starts);
}

/// Holds A10: the agent's files were moved, and the configuration with them: nothing is put back where nobody reads it.
#[tokio::test]
async fn a_late_rollback_is_refused_where_the_agents_files_are_configured_elsewhere() {
    let mut world = World::pem_pair().await;
    let mut host = Host::of(&world).await;
    assert_eq!(host.rotate(&world, 1).await.unwrap().state, RotationState::Committed);
    let (served, starts) = (world.service.served().await, world.service.starts());
    drop(host);
    let key = world.home().join("tls.key");
    std::fs::copy(&key, world.home().join("moved.key")).unwrap();
    world.rewrite_agent("tls.key", "moved.key");
    let mut host = Host::of(&world).await;
    let refused = host.roll_back(1).await.unwrap_err();
    assert_eq!(refused.reason, RefusalReason::KeystoreRefused);
    assert!(refused.message.contains("the agent's files elsewhere"), "{}", refused.message);
    assert_eq!((world.service.served().await, world.service.starts()), (served, starts));
    assert_eq!(host.rotator.report().unwrap().state, RotationState::Committed);
}

/// Holds A13: a file that cannot be replaced refuses a rollback by order as it refuses a rotation, and nothing is stopped for it.
#[tokio::test]
async fn a_late_rollback_of_a_file_that_cannot_be_replaced_is_refused_before_the_service_is_stopped() {
    let world = World::pem_pair().await;
    let mut host = Host::of(&world).await;
    let report = host.rotate(&world, 1).await.unwrap();
    assert_eq!(report.state, RotationState::Committed);
    let (key, starts) = (world.home().join("tls.key"), world.service.starts());
    let served = world.service.served().await;
    for flag in ["i", "a"] {
        chattr(&format!("+{flag}"), &key);
        let refused = host.roll_back(1).await;
        chattr(&format!("-{flag}"), &key);
        let refused = refused.unwrap_err();
        assert_eq!(refused.reason, RefusalReason::KeystoreRefused, "{}", refused.message);
        assert!(refused.message.contains("tls.key") && refused.message.contains("immutable"), "{}", refused.message);
        assert_eq!(host.rotator.report().unwrap().state, RotationState::Committed);
        assert_eq!((world.service.served().await, world.service.starts()), (served, starts));
    }
    assert_eq!(host.roll_back(1).await.unwrap().state, RotationState::RolledBack);
}

/// Holds A13: a service that could not be started again is not stopped, neither for a rotation nor for a rollback by order.
#[tokio::test]
async fn a_service_whose_command_cannot_be_run_is_not_stopped() {
    for is_stop in [false, true] {
        let mut world = World::pem_pair().await;
        let script = world.directory.path().join("ctl");
        let service = &mut world.agent.service;
        let argv = if is_stop { &mut service.stop } else { &mut service.start };
        let [shell, flag, text, arguments @ ..] = argv.as_deref().unwrap() else { panic!("{argv:?}") };
        assert_eq!([shell.as_str(), flag], ["sh", "-c"]);
        let arguments = arguments.join(" ");
        std::fs::write(&script, format!("#!/bin/sh\nexec sh -c '{text}' {arguments}\n")).unwrap();
        *argv = Some(vec![script.display().to_string()]);
        let runnable = |runs: bool| {
            let mode = if runs { 0o755 } else { 0o644 };
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let (mut host, starts) = (Host::of(&world).await, world.service.starts());
        runnable(false);
        let refused = host.rotate(&world, 1).await.unwrap_err();
        let is_told = |message: &str| message.contains("ctl: not executable") && message.contains("service.");
        assert!(refused.reason == RefusalReason::KeystoreRefused && is_told(&refused.message), "{refused:?}");
        // It is lost between the order and the stop.
        runnable(true);
        let opened = host.rotator.open(&open(1, 1), Ok(())).unwrap();
        host.rotator.deliver(&delivery(1, 1, &world.sign(&opened.csr.unwrap()).0), Ok(())).unwrap();
        runnable(false);
        host.rotator.advance(|_| {}).await;
        let report = host.rotator.report().unwrap();
        let failure = report.failure.clone().unwrap();
        assert!(report.state == RotationState::RolledBack && is_told(&failure.message), "{report:#?}");
        assert_eq!(failure.reason, "not_runnable");
        assert_eq!((world.service.served().await, world.service.starts()), (Some(world.first), starts));

        runnable(true);
        let report = host.rotate(&world, 2).await.unwrap();
        assert_eq!(report.state, RotationState::Committed, "{report:#?}");
        let starts = world.service.starts();
        runnable(false);
        let refused = host.roll_back(2).await.unwrap_err();
        assert!(refused.reason == RefusalReason::KeystoreRefused && is_told(&refused.message), "{refused:?}");
        assert_eq!(world.service.served().await, report.leaf.map(|leaf| leaf.sha256));
        assert_eq!((host.rotator.report().unwrap().state, world.service.starts()), (RotationState::Committed, starts));
    }
}

/// Holds A13: a service that this host cannot look at is not stopped for a rollback by order, as it is not for a rotation.
#[tokio::test]
async fn a_late_rollback_is_refused_where_the_service_cannot_be_looked_at() {
    let mut world = World::pem_pair().await;
    let mut host = Host::of(&world).await;
    assert_eq!(host.rotate(&world, 1).await.unwrap().state, RotationState::Committed);
    let (served, starts) = (world.service.served().await, world.service.starts());
    drop(host);
    // Its name is found no more.
    world.agent.endpoint = Some(serde_yaml::from_str("{address: 'agent.invalid:443'}").unwrap());
    let mut host = Host::of(&world).await;
    let refused = host.roll_back(1).await.unwrap_err();
    assert_eq!(refused.reason, RefusalReason::Unavailable, "{}", refused.message);
    assert!(refused.message.contains("so the service is left as it is"), "{}", refused.message);
    assert_eq!(host.rotator.report().unwrap().state, RotationState::Committed);
    assert_eq!((world.service.served().await, world.service.starts()), (served, starts));
}

fn chattr(flag: &str, path: &Path) {
    let status = Command::new("chattr").arg(flag).arg(path).status().expect("install the package e2fsprogs");
    assert!(status.success(), "this test makes files immutable: run it as root");
}

/// The password of a store is changed, as an administrator does it with the vendor's tool.
fn change_password(world: &World, from: &str, to: &str) {
    let store = world.home().join("keystore");
    let (bytes, from, to) = (std::fs::read(&store).unwrap(), from.into(), to.into());
    let key = keystore::extract_key(&bytes, Some(&from), "securekey", &Limits::default()).unwrap();
    let request = Merge {
        old: Some(&bytes),
        old_passwords: &[from],
        new_password: Some(&to),
        alias: "securekey",
        key: &key,
        trusted: None,
        format: None,
        profile: None,
        on_unreadable: keystore::OnUnreadable::Refuse,
        now: jiff::Timestamp::now(),
    };
    std::fs::write(&store, &keystore::merge(&request, &Limits::default()).unwrap().bytes).unwrap();
}

/// What the agent is told.
fn tell_password(world: &World, password: &str) -> String {
    let ini = kagiban_agents::Ini::parse(service::INI.as_bytes()).unwrap();
    let told = ini.with_value("Credentials", "KS_Access_Data", &password.into()).unwrap().bytes().to_vec();
    std::fs::write(world.home().join("pcssconfig.ini"), &told).unwrap();
    String::from_utf8(told).unwrap()
}

/// Holds A10: a password that an administrator has changed since is not the rotation's to take back.
#[tokio::test]
async fn a_late_rollback_is_refused_where_the_password_that_it_has_put_there_was_changed_since() {
    let world = World::powerchute().await;
    let mut host = Host::of(&world).await;
    let mut request = open(1, 1);
    request.keystore.store_password = Some("rotated-password".into());
    let opened = host.rotator.open(&request, Ok(())).unwrap();
    host.rotator.deliver(&delivery(1, 1, &world.sign(&opened.csr.unwrap()).0), Ok(())).unwrap();
    host.rotator.advance(|_| {}).await;
    let report = host.rotator.report().unwrap();
    assert_eq!(report.state, RotationState::Committed, "{report:#?}");

    // Also where it stands below the one that the rotation has set: which of them the agent takes is not documented.
    let ini = world.home().join("pcssconfig.ini");
    let rotated = std::fs::read_to_string(&ini).unwrap();
    let twice = format!("{rotated}\r\n[Credentials]\r\nKS_Access_Data = admins-password\r\n");
    std::fs::write(&ini, &twice).unwrap();
    let refused = host.roll_back(1).await.unwrap_err();
    assert_eq!(refused.reason, RefusalReason::KeystoreRefused, "{}", refused.message);
    assert_eq!(std::fs::read_to_string(&ini).unwrap(), twice);

    change_password(&world, "rotated-password", "admins-password");
    let told = tell_password(&world, "admins-password");
    let (store, starts) = (std::fs::read(world.home().join("keystore")).unwrap(), world.service.starts());
    let refused = host.roll_back(1).await.unwrap_err();
    assert_eq!(refused.reason, RefusalReason::KeystoreRefused, "{}", refused.message);
    assert!(refused.message.contains("neither what this rotation put there"), "{}", refused.message);
    assert_eq!(host.rotator.report().unwrap().state, RotationState::Committed);
    assert!(std::fs::read(world.home().join("keystore")).unwrap() == store, "the store was changed");
    assert_eq!(std::fs::read_to_string(world.home().join("pcssconfig.ini")).unwrap(), told);
    assert_eq!(world.service.starts(), starts);
}

/// Holds A10: the store keeps the password that the agent is told, where the rotation has left that file alone.
#[tokio::test]
async fn a_late_rollback_keeps_a_password_that_was_changed_since_in_both_files() {
    let world = World::powerchute().await;
    let mut host = Host::of(&world).await;
    assert_eq!(host.rotate(&world, 1).await.unwrap().state, RotationState::Committed);
    change_password(&world, "old-password", "admins-password");
    let told = tell_password(&world, "admins-password");

    let report = host.roll_back(1).await.unwrap();
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert_eq!(world.service.served().await, Some(world.first));
    assert_eq!(std::fs::read_to_string(world.home().join("pcssconfig.ini")).unwrap(), told);
    let store = std::fs::read(world.home().join("keystore")).unwrap();
    assert_eq!(aliases(&store, "admins-password"), ["other", "root", "securekey"], "what else is in it now stays");
}

/// Holds A9, A10: a store that opens is not overwritten with one that nobody here can open.
#[tokio::test]
async fn a_late_rollback_is_refused_where_nobody_knows_the_password_of_the_old_store() {
    let world = World::powerchute().await;
    let mut host = Host::of(&world).await;
    assert_eq!(host.rotate(&world, 1).await.unwrap().state, RotationState::Committed);
    change_password(&world, "old-password", "admins-password");
    tell_password(&world, "admins-password");
    std::fs::write(world.home().join("password"), "admins-password\n").unwrap();
    let (store, starts) = (std::fs::read(world.home().join("keystore")).unwrap(), world.service.starts());

    let refused = host.roll_back(1).await.unwrap_err();
    assert_eq!(refused.reason, RefusalReason::KeystoreRefused);
    assert!(refused.message.contains("opens with a password that is known here"), "{}", refused.message);
    assert!(std::fs::read(world.home().join("keystore")).unwrap() == store, "the store was changed");
    assert_eq!(world.service.starts(), starts);
}

/// Holds A10: what would come back does not go together with what the agent is told now, and nothing is stopped for it.
#[tokio::test]
async fn a_late_rollback_that_would_part_the_set_is_refused_before_the_service_is_stopped() {
    let world = World::powerchute().await;
    let mut host = Host::of(&world).await;
    assert_eq!(host.rotate(&world, 1).await.unwrap().state, RotationState::Committed);
    // Of the two files only one, which the rotation has not touched.
    tell_password(&world, "admins-password");
    let (store, starts) = (std::fs::read(world.home().join("keystore")).unwrap(), world.service.starts());
    let refused = host.roll_back(1).await.unwrap_err();
    assert_eq!(refused.reason, RefusalReason::KeystoreRefused, "{}", refused.message);
    assert!(refused.message.contains("would not go together"), "{}", refused.message);
    assert!(std::fs::read(world.home().join("keystore")).unwrap() == store, "the store was changed");
    let litter = |name: &std::ffi::OsStr| name.to_string_lossy().contains(".kagiban-");
    assert!(!std::fs::read_dir(world.home()).unwrap().any(|entry| litter(&entry.unwrap().file_name())));
    assert_eq!((world.service.starts(), world.service.served().await.is_some()), (starts, true));
}

/// Holds A4, A12: a new key that cannot be removed from beside the old one is removed when it can be.
#[tokio::test]
async fn a_staged_key_that_cannot_be_removed_is_removed_when_the_directory_can_be_written() {
    let mut world = World::pem_pair().await;
    let mount = Mount::over(&world.home(), TMPFS_MODE);
    let remount = |how: &str| format!("mount -o remount,{how} {}", world.home().display());
    let refuse = format!("{}; exit 1", remount("ro"));
    let allow = remount("rw");
    world.agent.service.stop = script(&refuse);
    world.agent.service.stop_timeout = Some(std::time::Duration::from_secs(1));
    let mut host = Host::of(&world).await;
    let report = host.rotate(&world, 1).await.unwrap();
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    let litter = || {
        let names = std::fs::read_dir(world.home()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().contains(".kagiban-")).count()
    };
    assert_eq!(litter(), 2, "the new certificate and its key");
    assert!(Command::new("sh").args(["-c", &allow]).status().unwrap().success());
    host.next_chores().await;
    let left = litter();
    drop(mount);
    assert_eq!((left, host.rotator.next_chore()), (0, None));
}

/// Holds A10: an unreadable file is overwritten in a rollback only when a copy of it is kept.
#[tokio::test]
async fn what_cannot_be_understood_is_kept_beside_the_backup_when_the_old_file_comes_back() {
    let mut world = World::pem_pair().await;
    let file = world.home().join("tls.crt");
    let start = world.service.start_argv();
    // The service spoils its file at its first start on the new one.
    let spoil = format!("[ -e $0/spoilt ] || {{ touch $0/spoilt; echo garbage > {}; }}; {}", file.display(), start[2]);
    world.agent.service.start = script(&spoil.replace("$0", &start[3]));
    let report = Host::of(&world).await.rotate(&world, 1).await.unwrap();
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert_eq!(world.service.served().await, Some(world.first));
    let is_copy = |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().starts_with("changed-");
    let kept: Vec<_> = files_below(&world.state()).into_iter().filter(is_copy).collect();
    let [kept] = kept.as_slice() else { panic!("{kept:?}") };
    assert!(kept.starts_with(world.state().join("backups/agent/1")) && kept.to_str().unwrap().ends_with("-0-tls.crt"));
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "garbage\n");
    assert_eq!(std::fs::metadata(kept).unwrap().mode() & 0o777, 0o600);
}

/// Holds A11: going back needs no space.
#[tokio::test]
async fn the_old_files_come_back_on_a_full_disk() {
    let mut world = World::powerchute().await;
    let mount = Mount::over(&world.home(), &format!("size=1m,{TMPFS_MODE}"));
    // It fills the disk before it fails to start on the new files.
    let start = world.service.start_argv();
    let fill = format!("head -c 9m /dev/zero > {}/fill 2>/dev/null; {}", world.home().display(), start[2]);
    world.agent.service.start = script(&fill.replace("$0", &start[3]));
    world.service.insist_on(&world.first.to_string());
    std::fs::write(world.home().join("password"), "new-password\n").unwrap();
    let (store, ini) = (world.home().join("keystore"), world.home().join("pcssconfig.ini"));
    let old = (std::fs::read(&store).unwrap(), std::fs::read(&ini).unwrap());
    let report = Host::of(&world).await.rotate(&world, 1).await.unwrap();
    let now = (std::fs::read(&store).unwrap(), std::fs::read(&ini).unwrap());
    let served = world.service.served().await;
    drop(mount);
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert!(now == old, "the old files did not come back");
    assert_eq!(served, Some(world.first));
}

/// More than fits.
const FILL: &str = "head -c 9m /dev/zero > HOME/fill 2>/dev/null || true";

/// A rotation that was committed on a small disk; what `late` says is done at the next stop of the service.
async fn committed_on_a_small_disk(late: &str) -> (World, Mount, Host) {
    let mut world = World::powerchute().await;
    let mount = Mount::over(&world.home(), &format!("size=1m,{TMPFS_MODE}"));
    let mark = world.directory.path().join("late");
    let late = late.replace("HOME", world.home().to_str().unwrap());
    world.agent.service.stop = stop_and(&world, &format!("[ ! -e {} ] || {{ {late}; }}", mark.display()));
    std::fs::write(world.home().join("password"), "new-password\n").unwrap();
    let mut host = Host::of(&world).await;
    assert_eq!(host.rotate(&world, 1).await.unwrap().state, RotationState::Committed);
    std::fs::write(mark, "").unwrap();
    (world, mount, host)
}

fn has_litter(directory: &Path) -> bool {
    files_below(directory).iter().any(|file| file.to_str().unwrap().contains(".kagiban-"))
}

/// Holds A11: a late rollback that does not fit on the disk is refused while the service runs on a whole set.
#[tokio::test]
async fn a_late_rollback_without_room_is_refused_before_the_service_is_stopped() {
    let (world, mount, mut host) = committed_on_a_small_disk("true").await;
    let (store, ini) = (world.home().join("keystore"), world.home().join("pcssconfig.ini"));
    let before = (std::fs::read(&store).unwrap(), std::fs::read(&ini).unwrap());
    let (served, starts) = (world.service.served().await, world.service.starts());
    Command::new("sh").args(["-c", &FILL.replace("HOME", world.home().to_str().unwrap())]).status().unwrap();
    let refused = host.roll_back(1).await.unwrap_err();
    assert_eq!(refused.reason, RefusalReason::InsufficientStorage, "{refused:#?}");
    assert!(before == (std::fs::read(&store).unwrap(), std::fs::read(&ini).unwrap()));
    assert_eq!((world.service.served().await, world.service.starts()), (served, starts));
    assert_eq!(host.rotator.report().unwrap().state, RotationState::Committed);
    assert!(!has_litter(&world.home()), "{:?}", files_below(&world.home()));

    std::fs::remove_file(world.home().join("fill")).unwrap();
    assert_eq!(host.roll_back(1).await.unwrap().state, RotationState::RolledBack);
    assert_eq!(world.service.served().await, Some(world.first));
    assert!(!has_litter(&world.home()), "{:?}", files_below(&world.home()));
    drop((host, mount));
}

/// Holds A11: once the service is stopped for it, a late rollback needs no more room, changes of an administrator included.
#[tokio::test]
async fn a_late_rollback_needs_no_room_once_it_was_accepted() {
    let (world, mount, mut host) = committed_on_a_small_disk(FILL).await;
    let ini = world.home().join("pcssconfig.ini");
    let added = "[Added]\r\nlater = 1\r\n";
    std::fs::write(&ini, std::fs::read_to_string(&ini).unwrap() + added).unwrap();
    let report = host.roll_back(1).await.unwrap();
    assert!(world.home().join("fill").exists());
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert_eq!(world.service.served().await, Some(world.first));
    assert_eq!(std::fs::read_to_string(&ini).unwrap(), service::INI.to_owned() + added);
    assert!(!has_litter(&world.home()), "{:?}", files_below(&world.home()));
    drop((host, mount));
}

/// Holds A11: what cannot be written any more after the stop is found before the first name changes: the set stays whole,
/// the service is started on it, and the rollback is tried again.
#[tokio::test]
async fn a_set_is_not_parted_by_a_file_that_does_not_fit() {
    let late = format!("echo '; noted while stopping' >> HOME/pcssconfig.ini; {FILL}");
    let (world, mount, mut host) = committed_on_a_small_disk(&late).await;
    let (store, ini) = (world.home().join("keystore"), world.home().join("pcssconfig.ini"));
    let (new, served) = (std::fs::read(&store).unwrap(), world.service.served().await);
    let report = host.roll_back(1).await.unwrap();
    assert_eq!(report.state, RotationState::Frozen, "{report:#?}");
    assert!(std::fs::read(&store).unwrap() == new, "the store went back without its password");
    assert_eq!(world.service.served().await, served);

    std::fs::remove_file(world.home().join("fill")).unwrap();
    std::fs::remove_file(world.directory.path().join("late")).unwrap();
    drop(host);
    let host = Host::of(&world).await;
    let report = host.rotator.report().unwrap();
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert_eq!(world.service.served().await, Some(world.first));
    assert!(std::fs::read_to_string(&ini).unwrap().contains("noted while stopping"));
    assert!(!has_litter(&world.home()), "{:?}", files_below(&world.home()));
    drop((host, mount));
}

/// Holds A10: an old key that comes back late is open to nobody who may not read the present one.
#[tokio::test]
async fn a_late_rollback_widens_no_rights_that_were_narrowed_since() {
    be_root();
    let world = World::pem_pair().await;
    let key = world.home().join("tls.key");
    let mode = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o640);
    let mut host = Host::of(&world).await;
    assert_eq!(host.rotate(&world, 1).await.unwrap().state, RotationState::Committed);
    let (starts, new) = (world.service.starts(), std::fs::read(&key).unwrap());
    std::os::unix::fs::chown(&key, Some(STRANGER), None).unwrap();
    let refused = host.roll_back(1).await.unwrap_err();
    assert_eq!(refused.reason, RefusalReason::KeystoreRefused);
    assert!(refused.message.contains("another owner"), "{}", refused.message);
    assert!(world.service.starts() == starts && std::fs::read(&key).unwrap() == new && !has_litter(&world.home()));

    std::os::unix::fs::chown(&key, Some(0), None).unwrap();
    setxattr(&key, "user.backup", b"done", XattrFlags::empty()).unwrap();
    let refused = host.roll_back(1).await.unwrap_err();
    let of_a_tool = "another extended attribute \"user.backup\" than";
    assert!(refused.message.contains(of_a_tool), "{}", refused.message);
    removexattr(&key, "user.backup").unwrap();

    // The group's right was taken away, and everybody was given one: neither comes with the old key.
    mode(0o604);
    let report = host.roll_back(1).await.unwrap();
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert_eq!(std::fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
    assert!(std::fs::read(&key).unwrap() != new);
    assert_eq!(world.service.served().await, Some(world.first));
}

/// The agent's directory, and where it lies once the service was stopped; `then` may put another in its place.
fn moved_at_the_stop(world: &mut World, then: &str) -> (PathBuf, PathBuf) {
    let (home, away) = (world.home(), world.directory.path().join("away"));
    let script = format!("mv @home @away; {then}");
    let script = script.replace("@home", home.to_str().unwrap()).replace("@away", away.to_str().unwrap());
    world.agent.service.stop = stop_and(world, &script);
    (home, away)
}

fn holds_staged_key(directory: &Path) -> bool {
    files_below(directory).iter().any(|file| file.to_string_lossy().contains(".tls.key.kagiban-"))
}

/// Holds A1: whoever moved the directory away for the moment of the rollback kept the new key, and got it back beside the files.
#[tokio::test]
async fn a_staged_key_is_removed_when_its_directory_comes_back() {
    let mut world = World::pem_pair().await;
    let (home, away) = moved_at_the_stop(&mut world, "mkdir @home; cp -p @away/* @home/");
    let mut host = Host::of(&world).await;
    let report = host.rotate(&world, 1).await.unwrap();
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert!(holds_staged_key(&away), "it does not wait there: the test tests nothing");
    assert!(host.rotator.next_chore().is_some(), "nobody looks for it again");
    std::fs::remove_dir_all(&home).unwrap();
    std::fs::rename(&away, &home).unwrap();
    host.rotator.advance(|_| {}).await;
    assert!(!holds_staged_key(&home), "{:?}", files_below(&home));
    // And that is the end of it: what is done with the directory from now on is nobody's business
    std::fs::rename(&home, &away).unwrap();
    std::fs::create_dir(&home).unwrap();
    host.rotator.advance(|_| {}).await;
    assert_eq!(host.rotator.next_chore(), None);
}

/// Holds A1: the same where nothing is in its place meanwhile.
#[tokio::test]
async fn a_staged_key_is_removed_when_its_directory_comes_back_from_nowhere() {
    let mut world = World::pem_pair().await;
    let (home, away) = moved_at_the_stop(&mut world, "");
    let mut host = Host::of(&world).await;
    host.rotate(&world, 1).await.unwrap();
    assert!(holds_staged_key(&away), "it does not wait there: the test tests nothing");
    std::fs::rename(&away, &home).unwrap();
    host.rotator.advance(|_| {}).await;
    while host.rotator.report().unwrap().state == RotationState::Frozen {
        host.next_chores().await;
    }
    assert!(!holds_staged_key(&home), "{:?}", files_below(&home));
}

/// Holds A1: a process that found its staged key hidden below a mount, and was restarted meanwhile, looked for it no more.
#[tokio::test]
async fn a_staged_key_is_removed_when_its_directory_comes_back_after_a_restart() {
    let mut world = World::pem_pair().await;
    let (home, away) = moved_at_the_stop(&mut world, "mkdir @home; cp -p @away/* @home/");
    let mut host = Host::of(&world).await;
    host.rotate(&world, 1).await.unwrap();
    assert!(holds_staged_key(&away), "it does not wait there: the test tests nothing");
    drop(host);
    let mut host = Host::of(&world).await;
    host.rotator.advance(|_| {}).await;
    assert!(host.rotator.next_chore().is_some(), "nobody looks for it again");
    std::fs::remove_dir_all(&home).unwrap();
    std::fs::rename(&away, &home).unwrap();
    host.rotator.advance(|_| {}).await;
    assert!(!holds_staged_key(&home), "{:?}", files_below(&home));
    drop(host);
    let mut host = Host::of(&world).await;
    host.rotator.advance(|_| {}).await;
    assert_eq!(host.rotator.next_chore(), None);
}

/// Holds A14: a left-over file that cannot be removed keeps no old key beside the new one.
#[tokio::test]
async fn one_left_over_file_that_cannot_be_removed_keeps_no_other() {
    let world = World::pem_pair().await;
    let mut host = Host::of(&world).await;
    let opened = host.rotator.open(&open(1, 1), Ok(())).unwrap();
    let (chain, _) = world.sign(&opened.csr.unwrap());
    host.rotator.deliver(&delivery(1, 1, &chain), Ok(())).unwrap();
    let beside = |name: &str| {
        let name = format!(".{name}.kagiban-");
        files_below(&world.home())
            .into_iter()
            .find(|file| file.file_name().unwrap().to_str().unwrap().starts_with(&name))
    };
    host.rotator
        .advance(|rotator| {
            // Names were exchanged: the old certificate lies there.
            if rotator.report().unwrap().state == RotationState::Verifying
                && let Some(file) = beside("tls.crt")
            {
                std::fs::remove_file(&file).unwrap();
                std::fs::create_dir(&file).unwrap();
            }
        })
        .await;
    assert_eq!(host.rotator.report().unwrap().state, RotationState::Committed);
    assert_eq!(beside("tls.key"), None, "the old key was left");
}

/// Holds A11: a frozen rotation keeps the old files beside the new ones, also across a restart.
#[tokio::test]
async fn the_old_files_stay_beside_the_new_ones_of_a_frozen_rotation() {
    let world = World::pem_pair().await;
    let mut host = Host::of(&world).await;
    let opened = host.rotator.open(&open(1, 1), Ok(())).unwrap();
    let (chain, _) = world.sign(&opened.csr.unwrap());
    host.rotator.deliver(&delivery(1, 1, &chain), Ok(())).unwrap();
    world.service.insist_on("neither");
    // The old files cannot come back: something that is no file lies in the way.
    let (key, aside) = (world.home().join("tls.key"), world.home().join("new"));
    host.rotator
        .advance(|rotator| {
            if rotator.report().unwrap().state == RotationState::RollingBack && !aside.exists() {
                std::fs::rename(&key, &aside).unwrap();
                std::fs::create_dir(&key).unwrap();
            }
        })
        .await;
    let report = host.rotator.report().unwrap();
    assert_eq!(report.state, RotationState::Frozen, "{report:#?}");
    drop(host);
    drop(world.rotator().await);
    let beside = |name: &str| {
        let name = format!(".{name}.kagiban-");
        files_below(&world.home()).iter().any(|file| file.file_name().unwrap().to_str().unwrap().starts_with(&name))
    };
    assert!(beside("tls.crt") && beside("tls.key"), "{:?}", files_below(&world.home()));
}

/// Holds A13: whatever would make the swap or the rollback fail is found before a key is made or the service stopped.
#[tokio::test]
async fn a_file_that_cannot_be_replaced_is_refused_before_a_key_is_made() {
    be_root();
    let world = World::pem_pair().await;
    let key = world.home().join("tls.key");
    let other = world.directory.path().join("other");
    std::fs::copy(&key, &other).unwrap();
    let mut host = Host::of(&world).await;
    let mut refused = |expected: &str| {
        let refusal = host.rotator.open(&open(1, 1), Ok(())).unwrap_err();
        assert_eq!(refusal.reason, RefusalReason::KeystoreRefused);
        assert!(refusal.message.contains(expected), "{}", refusal.message);
    };
    let mount = Mount::new(&["--bind", other.to_str().unwrap()], &key);
    refused("a mount of its own");
    drop(mount);
    let mount = Mount::over(&world.home(), TMPFS_MODE);
    let status = Command::new("mount").args(["-o", "remount,ro"]).arg(world.home()).status().unwrap();
    assert!(status.success());
    refused("read-only");
    drop(mount);
    assert_eq!(host.rotate(&world, 1).await.unwrap().state, RotationState::Committed);
}

/// Holds A14: nobody is taken for new because a file system was mounted over the state directory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_directory_in_the_place_of_the_one_that_was_opened_takes_no_order() {
    let world = World::pem_pair().await;
    let mut host = Host::of(&world).await;
    host.rotate(&world, 1).await.unwrap();
    let (state, aside) = (world.state(), world.directory.path().join("aside"));
    std::fs::rename(&state, &aside).unwrap();
    std::fs::create_dir(&state).unwrap();
    let refusal = host.rotate(&world, 2).await.unwrap_err();
    assert!(refusal.reason == RefusalReason::Internal && refusal.message.contains("Restart"), "{refusal:?}");
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0, "nothing is written there");
    std::fs::remove_dir(&state).unwrap();
    std::fs::rename(&aside, &state).unwrap();
    assert_eq!(host.rotate(&world, 2).await.unwrap().state, RotationState::Committed);
}

/// Holds A13: a journal that could not tell of the rollback is found full before the service is stopped.
#[tokio::test]
async fn a_state_directory_without_room_for_the_journal_is_found_before_the_service_is_stopped() {
    let mut world = World::pem_pair().await;
    let stopped = world.directory.path().join("stopped");
    world.agent.service.stop = stop_and(&world, &format!("touch {}", stopped.display()));
    let mount = Mount::over(&world.state(), &format!("size=300k,{TMPFS_MODE}"));
    let mut host = Host::of(&world).await;
    let report = host.rotate(&world, 1).await.unwrap();
    drop(host);
    drop(mount);
    assert_eq!(report.state, RotationState::RolledBack, "{report:#?}");
    assert_eq!(report.failure.unwrap().reason, "no_space");
    assert!(!stopped.exists());
    assert_eq!(world.service.served().await, Some(world.first));
}

/// Holds A13: where the agent could not be told its old password again, it is not told a new one.
#[tokio::test]
async fn a_store_that_no_known_password_opens_is_refused_with_a_new_password() {
    let world = World::powerchute().await;
    let (store, ini) = (world.home().join("keystore"), world.home().join("pcssconfig.ini"));
    let identity = world.issuer.server(HOST);
    std::fs::write(&ini, "[Credentials]\r\n").unwrap();
    std::fs::write(world.home().join("password"), "new-password\n").unwrap();
    for format in [Format::Jks, Format::Pkcs12] {
        std::fs::write(&store, put(None, "nobody-knows", "securekey", &identity, Some(format))).unwrap();
        let mut host = Host::of(&world).await;
        let mut request = open(1, 1);
        for on_unreadable in [OnUnreadable::Refuse, OnUnreadable::Replace] {
            request.keystore.on_unreadable = on_unreadable;
            let refused = host.rotator.open(&request, Ok(())).unwrap_err();
            assert_eq!(refused.reason, RefusalReason::KeystoreRefused, "{format:?} {on_unreadable:?}");
        }
    }
}
