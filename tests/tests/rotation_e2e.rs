//! A resource is applied and a real agent serves a new certificate, with nothing lost: looked at with the tools a user has.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use kagiban_tests::canary::{self, Canary};
use kagiban_tests::keystore::{self, StoreType};
use kagiban_tests::powerchute::{ALIAS, EXTRA_ALIAS};
use kagiban_tests::process::run;
use kagiban_tests::quickstart::{CLIENT_SECRET, RESOURCE};
use kagiban_tests::stage::{RESYNC, Scene, Stage};
use kagiban_tests::{tools, wait};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

const PASSWORD: &str = "canary-store-4711";
const NEW_PASSWORD: &str = "canary-store-0815";
/// One for each change that a person would want to see: the resource says "started" and "done", three events tell the
/// story, and the finalizer is set once.
const MOST_WRITES: usize = 6;

#[test]
fn a_jks_whose_password_only_the_secret_still_knows_is_rotated() -> Result<()> {
    let scene = Scene {
        store_type: StoreType::Jks,
        password: PASSWORD.to_owned(),
        deletes_credentials: true,
        secret_password: Some(PASSWORD.to_owned()),
    };
    rotated_end_to_end("e2e-jks", &scene, PASSWORD)
}

#[test]
fn a_pkcs12_whose_password_is_in_the_ini_file_is_rotated() -> Result<()> {
    let scene = Scene {
        store_type: StoreType::Pkcs12,
        password: PASSWORD.to_owned(),
        deletes_credentials: false,
        secret_password: None,
    };
    rotated_end_to_end("e2e-pkcs12", &scene, PASSWORD)
}

#[test]
fn a_new_password_in_the_secret_goes_to_the_store_and_to_the_agent_together() -> Result<()> {
    let scene = Scene {
        store_type: StoreType::Jks,
        password: PASSWORD.to_owned(),
        deletes_credentials: false,
        secret_password: Some(NEW_PASSWORD.to_owned()),
    };
    password_changed("e2e-password-jks", &scene)
}

#[test]
fn a_pkcs12_is_opened_with_its_old_password_and_sealed_with_the_new_one() -> Result<()> {
    let scene = Scene {
        store_type: StoreType::Pkcs12,
        password: PASSWORD.to_owned(),
        deletes_credentials: false,
        secret_password: Some(NEW_PASSWORD.to_owned()),
    };
    password_changed("e2e-password-pkcs12", &scene)
}

fn password_changed(name: &str, scene: &Scene) -> Result<()> {
    let mut stage = Stage::set(name, scene)?;
    let listing_before = stage.host.agent.listing(PASSWORD)?;
    stage.apply()?;
    let status = stage.wait_committed(1)?;
    let leaf = stage.host.agent.served()?.leaf_sha256();
    ensure!(status["leaf"]["sha256"] == leaf.as_str(), "the agent serves {leaf}: {status:#}");
    let listing = stage.host.agent.listing(NEW_PASSWORD)?;
    ensure!(listing.store_type == listing_before.store_type, "the format changed: {listing:?}");
    ensure!(listing.entries[ALIAS].chain.first() == Some(&leaf), "{listing:?}");
    ensure!(listing.entries[EXTRA_ALIAS] == listing_before.entries[EXTRA_ALIAS], "{listing:?}");
    let ini = fs::read_to_string(stage.host.agent.ini())?;
    ensure!(ini.contains("language = ja"), "the INI file lost what is not ours: {ini}");
    ensure!(!ini.contains(PASSWORD), "the INI file still says the old password: {ini}");
    ensure!(stage.host.agent.starts() == 2, "{} starts: one to begin with, one to rotate", stage.host.agent.starts());
    no_secret_is_found_where_none_may_be(&mut stage, NEW_PASSWORD)
}

fn rotated_end_to_end(name: &str, scene: &Scene, password: &str) -> Result<()> {
    let mut stage = Stage::set(name, scene)?;
    let listing_before = stage.host.agent.listing(&scene.password)?;
    let files_before = names_in(stage.host.agent.directory())?;
    stage.apply()?;
    stage.kubectl.run(&["wait", "--for=condition=Ready", "--timeout=120s", &format!("mac/{RESOURCE}")])?;
    let status = stage.wait_committed(1)?;
    let leaf = stage.host.agent.served()?.leaf_sha256();
    ensure!(leaf != stage.first_leaf, "the old leaf is still served");
    ensure!(status["leaf"]["sha256"] == leaf.as_str(), "{leaf} is served, the status says {}", status["leaf"]);

    leaf_is_from_the_issuer_as_openssl_sees_it(&stage, &leaf)?;
    let listing = stage.host.agent.listing(password)?;
    ensure!(listing.store_type == listing_before.store_type, "the format changed: {listing:?}");
    ensure!(listing.entries[ALIAS].chain.first() == Some(&leaf), "{listing:?}");
    ensure!(
        listing.entries[EXTRA_ALIAS] == listing_before.entries[EXTRA_ALIAS],
        "the trusted entry changed: {listing:?}"
    );
    the_old_store_is_in_the_backup(&stage, &scene.password)?;
    let files = names_in(stage.host.agent.directory())?;
    ensure!(files == files_before, "left in the agent's directory: {files:?}");
    ensure!(stage.host.agent.starts() == 2, "{} starts: one to begin with, one to rotate", stage.host.agent.starts());

    kubectl_tells_the_story(&stage)?;
    at_rest_nothing_is_written(&stage)?;
    no_secret_is_found_where_none_may_be(&mut stage, password)?;
    a_resource_without_its_status_restarts_nothing(&stage, &leaf)?;
    an_annotation_rotates_once_more(&stage, &leaf)
}

fn leaf_is_from_the_issuer_as_openssl_sees_it(stage: &Stage, leaf: &str) -> Result<()> {
    let address = stage.host.agent.address().to_string();
    let pem = run(Command::new(tools::openssl()?).args(["s_client", "-showcerts", "-connect", &address]))?;
    let certificate = stage.directory().join("served.pem");
    fs::write(&certificate, pem)?;
    let ca = stage.directory().join("issuer.pem");
    fs::write(&ca, &stage.fleet.issuer.identity.certificate)?;
    let x509 = |args: &[&str]| {
        run(Command::new(tools::openssl()?).args(["x509", "-noout", "-in"]).arg(&certificate).args(args))
    };
    let fingerprint = x509(&["-fingerprint", "-sha256"])?.replace(':', "").to_lowercase();
    ensure!(fingerprint.contains(leaf), "openssl sees {fingerprint}");
    let names = x509(&["-ext", "subjectAltName"])?;
    ensure!(names.contains("DNS:ups-01.example.com"), "{names}");
    run(Command::new(tools::openssl()?)
        .args(["verify", "-purpose", "sslserver", "-CAfile"])
        .arg(&ca)
        .arg(&certificate))?;
    Ok(())
}

fn the_old_store_is_in_the_backup(stage: &Stage, password: &str) -> Result<()> {
    let backups = files_under(&stage.host.state_directory().join("backups"))?;
    let holds_old_leaf = |path: &PathBuf| {
        let listing = keystore::list(path, password).ok()?;
        (listing.entries.get(ALIAS)?.chain.first() == Some(&stage.first_leaf)).then_some(())
    };
    ensure!(
        backups.iter().any(|path| holds_old_leaf(path).is_some()),
        "no backup opens with the old leaf: {backups:?}"
    );
    Ok(())
}

fn kubectl_tells_the_story(stage: &Stage) -> Result<()> {
    let table = stage.kubectl.run(&["get", "mac", RESOURCE, "--no-headers"])?;
    let columns: Vec<_> = table.split_whitespace().collect();
    ensure!(columns[..4] == [RESOURCE, "ups-01.example.com", "powerchute-serial-shutdown", "True"], "{table}");
    let described = || stage.kubectl.run(&["describe", "mac", RESOURCE]);
    let in_order = |text: &str| {
        let events = text.split("Events:").nth(1).unwrap_or_default();
        let at = |reason: &str| events.find(reason);
        at("RotationStarted").is_some() && at("RotationStarted") < at("Verified")
    };
    // The last event may be on its way when the status already says Ready.
    wait::until(RESYNC * 5, || described().is_ok_and(|text| in_order(&text)))
        .with_context(|| format!("the events do not tell what happened in order:\n{}", described().unwrap_or_default()))
}

fn at_rest_nothing_is_written(stage: &Stage) -> Result<()> {
    let writes = stage.writes()?;
    ensure!(writes.len() <= MOST_WRITES, "{} writes for one rotation: {writes:#?}", writes.len());
    thread::sleep(RESYNC * 3 + RESYNC / 2);
    let later = stage.writes()?;
    ensure!(later.len() == writes.len(), "written at rest: {:#?}", &later[writes.len()..]);
    Ok(())
}

fn no_secret_is_found_where_none_may_be(stage: &mut Stage, password: &str) -> Result<()> {
    let canaries = canaries(stage, password)?;
    // Where a secret has its place: the agent's own files, the backups of them, and what this test itself wrote.
    let agent_directory = stage.host.agent.directory().to_owned();
    let state_directory = stage.host.state_directory();
    let backups = state_directory.join("backups");
    let of_the_test = |path: &Path| {
        !path.starts_with(&state_directory)
            && path.extension().is_some_and(|e| e == "key" || e == "pem" || e == "der" || e == "p12")
    };
    let excluded = |path: &Path| path == agent_directory || path == backups || of_the_test(path);
    let mut leaks = canary::search_files(&canaries, stage.directory(), excluded)?;
    for (place, text) in [
        ("exporter /metrics", stage.host.metrics()?),
        ("operator /metrics", stage.operator.metrics()?),
        ("resource", stage.kubectl.run(&["get", "mac", "-o", "yaml", "--show-managed-fields"])?),
        ("events", stage.kubectl.run(&["get", "events.events.k8s.io", "-o", "yaml"])?),
        ("lease", stage.kubectl.run(&["get", "leases", "-o", "yaml"])?),
    ] {
        leaks.extend(canary::search(&canaries, place, text.as_bytes()));
    }
    leaks.extend(canary::search_process(&canaries, stage.operator.program.id())?);
    leaks.extend(canary::search_process(&canaries, stage.host.exporter()?.id())?);
    leaks.extend(canary::search_process(&canaries, stage.host.agent.id()?)?);
    ensure!(leaks.is_empty(), "{leaks:#?}");
    Ok(())
}

fn canaries(stage: &Stage, password: &str) -> Result<Vec<Canary>> {
    let key = keystore::open_key(&stage.host.agent.keystore(), password, ALIAS, stage.directory())?;
    let issuer = PrivateKeyDer::from_pem_slice(stage.fleet.issuer.identity.key.as_bytes())?;
    let template = r#"go-template={{index .data "tls.key" | base64decode}}"#;
    let client = stage.kubectl.run(&["get", "secret", CLIENT_SECRET, "-o", template])?;
    let client = PrivateKeyDer::from_pem_slice(client.as_bytes())?;
    let canaries = vec![
        Canary::password("the store's password", PASSWORD),
        Canary::password("the store's new password", NEW_PASSWORD),
        Canary::key("the agent's key", &key),
        Canary::key("the issuer's key", issuer.secret_der()),
        Canary::key("the operator's key for hosts", client.secret_der()),
    ];
    // A search that finds nothing anywhere would show nothing.
    let opened = fs::read(stage.directory().join("opened.pem"))?;
    ensure!(canary::search(&canaries, "a key that lies open", &opened).len() == 1, "the search does not find a key");
    Ok(canaries)
}

/// Holds B17: as in a cluster that was restored from manifests.
fn a_resource_without_its_status_restarts_nothing(stage: &Stage, leaf: &str) -> Result<()> {
    stage.kubectl.run(&["delete", "mac", RESOURCE, "--timeout=60s"])?;
    stage.apply()?;
    stage.kubectl.run(&["wait", "--for=condition=Ready", "--timeout=120s", &format!("mac/{RESOURCE}")])?;
    let status = stage.status()?;
    ensure!(status["leaf"]["sha256"] == leaf, "{leaf} is served, the status says {}", status["leaf"]);
    ensure!(status["rotation"].is_null(), "it was rotated: {status:#}");
    ensure!(stage.host.agent.starts() == 2, "{} starts: one to begin with, one to rotate", stage.host.agent.starts());
    Ok(())
}

fn an_annotation_rotates_once_more(stage: &Stage, leaf: &str) -> Result<()> {
    stage.annotate("now")?;
    stage.wait_committed(2)?;
    let second = stage.host.agent.served()?.leaf_sha256();
    ensure!(second != leaf, "the annotation changed nothing");
    thread::sleep(RESYNC * 2);
    ensure!(stage.status()?["rotation"]["generation"] == 2, "one value of the annotation rotated twice");
    Ok(())
}

fn names_in(directory: &Path) -> Result<BTreeSet<OsString>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect()
}

fn files_under(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("{}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() { files.extend(files_under(&path)?) } else { files.push(path) }
    }
    Ok(files)
}
