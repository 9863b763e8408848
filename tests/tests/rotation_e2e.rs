//! A resource is applied and a real agent serves a new certificate, with nothing lost: looked at with the tools a user has.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use kagiban_operator::cli::Output;
use kagiban_operator::commands::{describe, listed};
use kagiban_tests::canary::{self, Canary};
use kagiban_tests::control_plane::ControlPlane;
use kagiban_tests::keeper::Keeper;
use kagiban_tests::keystore::{self, StoreType};
use kagiban_tests::operator::Operator;
use kagiban_tests::powerchute::{ALIAS, EXTRA_ALIAS};
use kagiban_tests::process::run;
use kagiban_tests::quickstart::{self, RESOURCE};
use kagiban_tests::stage::{Place, RESYNC, Scene, Stage, condition};
use kagiban_tests::standalone::Standalone;
use kagiban_tests::{http, scratch, tools, wait};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

const PASSWORD: &str = "canary-store-4711";
const NEW_PASSWORD: &str = "canary-store-0815";
/// One for each change that a person would want to see: the resource says "started" and "done", three events tell the
/// story, and the finalizer is set once.
const MOST_WRITES: usize = 6;
/// Many looks at a host.
const SEEN: Duration = Duration::from_secs(120);

#[test]
fn a_jks_whose_password_only_the_secret_still_knows_is_rotated() -> Result<()> {
    jks_is_rotated(Place::Cluster)
}

#[test]
fn a_jks_whose_password_only_the_secret_still_knows_is_rotated_without_a_cluster() -> Result<()> {
    jks_is_rotated(Place::Standalone)
}

fn jks_is_rotated(place: Place) -> Result<()> {
    let scene = Scene {
        store_type: StoreType::Jks,
        password: PASSWORD.to_owned(),
        deletes_credentials: true,
        secret_password: Some(PASSWORD.to_owned()),
    };
    rotated_end_to_end(Stage::set_at(place, "e2e-jks", &scene)?, &scene, PASSWORD)
}

#[test]
fn a_pkcs12_whose_password_is_in_the_ini_file_is_rotated() -> Result<()> {
    pkcs12_is_rotated(Place::Cluster)
}

#[test]
fn a_pkcs12_whose_password_is_in_the_ini_file_is_rotated_without_a_cluster() -> Result<()> {
    pkcs12_is_rotated(Place::Standalone)
}

fn pkcs12_is_rotated(place: Place) -> Result<()> {
    let scene = Scene {
        store_type: StoreType::Pkcs12,
        password: PASSWORD.to_owned(),
        deletes_credentials: false,
        secret_password: None,
    };
    rotated_end_to_end(Stage::set_at(place, "e2e-pkcs12", &scene)?, &scene, PASSWORD)
}

#[test]
fn a_new_password_in_the_secret_goes_to_the_store_and_to_the_agent_together() -> Result<()> {
    password_changed(Stage::set_at(Place::Cluster, "e2e-password-jks", &new_password(StoreType::Jks))?)
}

#[test]
fn a_new_password_goes_to_the_store_and_to_the_agent_together_without_a_cluster() -> Result<()> {
    password_changed(Stage::set_at(Place::Standalone, "e2e-password-jks", &new_password(StoreType::Jks))?)
}

#[test]
fn a_pkcs12_is_opened_with_its_old_password_and_sealed_with_the_new_one() -> Result<()> {
    password_changed(Stage::set_at(Place::Cluster, "e2e-password-pkcs12", &new_password(StoreType::Pkcs12))?)
}

/// From a directory to a cluster and back: nothing is rotated for that, and whoever has given the host away is refused.
#[test]
fn a_fleet_is_handed_over_to_a_cluster_and_back() -> Result<()> {
    let scene = Scene {
        store_type: StoreType::Pkcs12,
        password: PASSWORD.to_owned(),
        deletes_credentials: false,
        secret_password: None,
    };
    let mut stage = Stage::set_standalone("hand-over", &scene)?;
    let Keeper::Standalone(office) = stage.keeper.clone() else { unreachable!("as it was set") };
    // One that was asked for and is done is not owed by the next installation.
    let mut resource = stage.resource()?;
    resource["metadata"]["annotations"]["kagiban.dev/rotate"] = "at-first".into();
    stage.keeper.apply(&resource)?;
    stage.wait_committed(1)?;
    let leaf = stage.host.agent.served()?.leaf_sha256();
    let secrets = stage.fleet.secrets("not-used")?;

    let export = office.command(&["export"])?;
    ensure!(export.contains("default/fleet-client") && export.contains(&office.lineage()?), "{export}");
    let plane = ControlPlane::shared()?;
    let kubectl = plane.admin()?.create_namespace("handed")?;
    quickstart::install_rbac(&plane.admin()?, "handed")?;
    let cluster = Keeper::Cluster(kubectl.clone());
    cluster.add_secrets(&secrets)?;
    let at_cluster = |to: &[&str]| {
        let words = [&["--lineage", "cluster"], to].concat();
        Operator::start_with(&scratch::directory("handed")?, plane.operator_kubeconfig(), "handed", RESYNC, &words)
    };
    let mut other = at_cluster(&[])?;
    kubectl.apply(&export.replace("namespace: default", "namespace: handed"))?;
    cluster.wait_status(SEEN, is_blocked_by("HostRefused"))?;

    let give = ["--hand-over-to", "cluster"];
    stage.operator.program.terminate(RESYNC * 10)?;
    stage.operator = Operator::start_standalone(stage.directory(), &office, RESYNC, &give)?;
    taken_over(&cluster, &stage, &leaf)?;
    stage.wait_status(is_blocked_by("HandedOver"))?;
    // Started as before, it is refused and says by whom.
    stage.operator.program.terminate(RESYNC * 10)?;
    stage.operator = Operator::start_standalone(stage.directory(), &office, RESYNC, &[])?;
    let status = stage.wait_status(is_blocked_by("HostRefused"))?;
    let blocked = condition(&status, "Blocked")["message"].to_string();
    ensure!(blocked.contains("the host obeys the installation cluster"), "{blocked}");
    stage.operator.program.terminate(RESYNC * 10)?;

    // What kubectl prints is a directory's manifest as it is.
    let home = stage.directory().join("home");
    fs::create_dir(&home)?;
    let home = Standalone::new(&home)?;
    home.write_secrets(&secrets)?;
    let printed = kubectl.run(&["get", "mac", "-o", "yaml"])?.replace("namespace: handed", "namespace: default");
    fs::write(home.manifests.join("fleet.yaml"), printed)?;
    stage.operator = Operator::start_standalone(stage.directory(), &home, RESYNC, &["--lineage", "home"])?;
    other.program.terminate(RESYNC * 10)?;
    let _other = at_cluster(&["--hand-over-to", "home"])?;
    taken_over(&Keeper::Standalone(home), &stage, &leaf)?;
    cluster.wait_status(SEEN, is_blocked_by("HandedOver"))?;
    Ok(())
}

fn is_blocked_by(by: &'static str) -> impl Fn(&Value) -> bool {
    move |status| status["blockedBy"] == by
}

fn taken_over(keeper: &Keeper, stage: &Stage, leaf: &str) -> Result<()> {
    let is_ready = |status: &Value| condition(status, "Ready")["status"] == "True" && status["blockedBy"].is_null();
    let status = keeper.wait_status(SEEN, is_ready)?;
    ensure!(status["leaf"]["sha256"] == leaf && status["rotation"].is_null(), "it was rotated: {status:#}");
    ensure!(stage.host.agent.served()?.leaf_sha256() == leaf, "another leaf is served");
    ensure!(stage.host.agent.starts() == 2, "{} starts: one to begin with, one to rotate", stage.host.agent.starts());
    Ok(())
}

fn new_password(store_type: StoreType) -> Scene {
    Scene {
        store_type,
        password: PASSWORD.to_owned(),
        deletes_credentials: false,
        secret_password: Some(NEW_PASSWORD.to_owned()),
    }
}

fn password_changed(mut stage: Stage) -> Result<()> {
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
    let copy = fs::read_to_string(stage.host.agent.directory().join("pcssconfig_backup.ini"))?;
    ensure!(copy == ini, "the agent's copy of it says something else: {copy}");
    ensure!(stage.host.agent.starts() == 2, "{} starts: one to begin with, one to rotate", stage.host.agent.starts());
    no_secret_is_found_where_none_may_be(&mut stage, NEW_PASSWORD)
}

fn rotated_end_to_end(mut stage: Stage, scene: &Scene, password: &str) -> Result<()> {
    let listing_before = stage.host.agent.listing(&scene.password)?;
    let files_before = names_in(stage.host.agent.directory())?;
    stage.apply()?;
    if let Keeper::Cluster(kubectl) = &stage.keeper {
        kubectl.run(&["wait", "--for=condition=Ready", "--timeout=120s", &format!("mac/{RESOURCE}")])?;
    }
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
    let root = listing.entries.get("root").context("the CA's root is not there")?;
    let last = listing.entries[ALIAS].chain.last();
    ensure!(root.kind == "trustedCertEntry" && root.chain.last() == last, "{listing:?}");
    the_old_store_is_in_the_backup(&stage, &scene.password)?;
    let files = names_in(stage.host.agent.directory())?;
    ensure!(files == files_before, "left in the agent's directory: {files:?}");
    ensure!(stage.host.agent.starts() == 2, "{} starts: one to begin with, one to rotate", stage.host.agent.starts());

    match &stage.keeper {
        Keeper::Cluster(_) => kubectl_tells_the_story(&stage)?,
        Keeper::Standalone(standalone) => events_tell_the_story(standalone)?,
    }
    the_pages_tell_it(&stage)?;
    at_rest_nothing_is_written(&stage)?;
    no_secret_is_found_where_none_may_be(&mut stage, password)?;
    match &stage.keeper {
        Keeper::Cluster(_) => a_resource_without_its_status_restarts_nothing(&stage, &leaf)?,
        Keeper::Standalone(standalone) => a_lost_state_restarts_nothing(&standalone.clone(), &mut stage, &leaf)?,
    }
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
    let table = stage.kubectl().run(&["get", "mac", RESOURCE, "--no-headers"])?;
    let columns: Vec<_> = table.split_whitespace().collect();
    ensure!(columns[..4] == [RESOURCE, "ups-01.example.com", "powerchute-serial-shutdown", "True"], "{table}");
    let described = || stage.kubectl().run(&["describe", "mac", RESOURCE]);
    let in_order = |text: &str| {
        let events = text.split("Events:").nth(1).unwrap_or_default();
        let at = |reason: &str| events.find(reason);
        at("RotationStarted").is_some() && at("RotationStarted") < at("Verified")
    };
    // The last event may be on its way when the status already says Ready.
    wait::until(RESYNC * 5, || described().is_ok_and(|text| in_order(&text))).with_context(|| {
        format!("the events do not tell what happened in order:\n{}", described().unwrap_or_default())
    })?;
    our_commands_print_what_kubectl_prints(stage)
}

/// What a standalone operator's commands make of the very object that the API server has.
fn our_commands_print_what_kubectl_prints(stage: &Stage) -> Result<()> {
    let object = stage.kubectl().json(&["get", "mac", RESOURCE])?;
    // It grows between two looks
    let without_age = |text: &str| text.trim_end().trim_end_matches(|c: char| c.is_ascii_alphanumeric()).to_owned();
    let asked = |words: &[&str]| stage.kubectl().run(&[&["get", "mac", RESOURCE], words].concat());
    let ours = |output| listed(vec![object.clone()], output, true, false, Timestamp::now());
    for (words, output) in [(&[][..], None), (&["-o", "wide"], Some(Output::Wide))] {
        let (theirs, ours) = (asked(words)?, ours(output)?);
        ensure!(without_age(&theirs) == without_age(&ours), "kubectl prints\n{theirs}\nand we\n{ours}");
    }
    ensure!(asked(&["-o", "name"])? == ours(Some(Output::Name))?);
    ensure!(asked(&["-o", "json"])? == ours(Some(Output::Json))?, "{}", ours(Some(Output::Json))?);
    let yaml = [asked(&["-o", "yaml"])?, ours(Some(Output::Yaml))?];
    // Where it breaks a long line is its own, and so are the quotes of one with a colon in it.
    let words = |text: &str| text.replace(['"', '\''], "").split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    ensure!(words(&yaml[0]) == words(&yaml[1]), "kubectl prints\n{}\nand we\n{}", yaml[0], yaml[1]);
    let [theirs, ours] = yaml.map(|text| serde_yaml::from_str::<Value>(&text));
    ensure!(theirs? == ours?, "another YAML");
    let told = stage.kubectl().run(&["describe", "mac", RESOURCE])?;
    let ours = describe(&object, &[], Timestamp::now());
    let [theirs, ours] = [told.as_str(), &ours].map(|text| text.split("Events:").next().unwrap_or_default().to_owned());
    ensure!(theirs == ours, "kubectl describes\n{theirs}\nand we\n{ours}");
    Ok(())
}

fn events_tell_the_story(standalone: &Standalone) -> Result<()> {
    let described = standalone.command(&["describe", RESOURCE])?;
    ensure!(
        described.contains("RotationStarted") && described.contains("Kind:         ManagedAgentCertificate"),
        "{described}"
    );
    let table = standalone.command(&["get", RESOURCE])?;
    ensure!(table.lines().nth(1).is_some_and(|row| row.contains("powerchute-serial-shutdown   True")), "{table}");
    let in_order = |reasons: &[String]| {
        let at = |reason: &str| reasons.iter().position(|it| it == reason);
        at("RotationStarted").is_some() && at("RotationStarted") < at("Verified")
    };
    wait::until(RESYNC * 5, || standalone.events().is_ok_and(|reasons| in_order(&reasons)))
        .with_context(|| format!("the events do not tell what happened in order: {:?}", standalone.events()))
}

/// What a browser on the operator's machine is shown.
fn the_pages_tell_it(stage: &Stage) -> Result<()> {
    let address = stage.operator.metrics_address();
    let shown = |path: &str, host: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        http::exchange(&mut TcpStream::connect(address)?, request.as_bytes())
    };
    let fleet = shown("/?host=ups-01.example.com", "localhost")?;
    ensure!(fleet.status == 200 && fleet.body.contains("1 resource; needs a person: 0"), "{fleet:?}");
    let mut links = fleet.body.split("<a href=\"").skip(1).filter_map(|link| link.split('"').next());
    let link = links.find(|link| link.ends_with(&format!("/{RESOURCE}"))).context("no link to it")?;
    let resource = shown(&format!("/{link}"), "localhost")?;
    let events = match &stage.keeper {
        Keeper::Cluster(_) => "kubectl -n",
        Keeper::Standalone(_) => ">RotationStarted</td>",
    };
    ensure!(resource.status == 200 && resource.body.contains(events), "{resource:?}");
    ensure!(resource.body.contains(">Committed</td>"), "{resource:?}");
    ensure!(shown("/", "ups-01.example.com")?.status == 403);
    Ok(())
}

fn at_rest_nothing_is_written(stage: &Stage) -> Result<()> {
    let writes = stage.writes()?;
    ensure!((1..=MOST_WRITES).contains(&writes), "{writes} writes for one rotation");
    let files = || match &stage.keeper {
        Keeper::Cluster(_) => Ok(Vec::new()),
        Keeper::Standalone(standalone) => written_files(&standalone.state),
    };
    let before = files()?;
    thread::sleep(RESYNC * 3 + RESYNC / 2);
    ensure!(stage.writes()? == writes, "written at rest: {} writes after {writes}", stage.writes()?);
    ensure!(files()? == before, "files are written at rest: {:?} after {before:?}", files()?);
    Ok(())
}

/// Which files there are, how large, and when they were written.
fn written_files(directory: &Path) -> Result<Vec<(PathBuf, u64, SystemTime)>> {
    let files = files_under(directory)?.into_iter();
    // What readers and writers agree by has no times of its own: the test is such a reader
    let mut files = files.filter(|path| !path.to_string_lossy().ends_with("-shm")).collect::<Vec<_>>();
    files.sort();
    let looked = files.into_iter().map(|path| {
        let metadata = fs::metadata(&path)?;
        Ok((path, metadata.len(), metadata.modified()?))
    });
    looked.collect()
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
    let given = stage.directory().join("secrets");
    let excluded = |path: &Path| path == agent_directory || path == backups || path == given || of_the_test(path);
    let mut leaks = canary::search_files(&canaries, stage.directory(), excluded)?;
    let mut told = vec![("exporter /metrics", stage.host.metrics()?), ("operator /metrics", stage.operator.metrics()?)];
    // Without a cluster, the state is among the files
    if let Keeper::Cluster(kubectl) = &stage.keeper {
        told.push(("resource", kubectl.run(&["get", "mac", "-o", "yaml", "--show-managed-fields"])?));
        told.push(("events", kubectl.run(&["get", "events.events.k8s.io", "-o", "yaml"])?));
        told.push(("lease", kubectl.run(&["get", "leases", "-o", "yaml"])?));
    }
    for (place, text) in told {
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
    let client = PrivateKeyDer::from_pem_slice(stage.client_key.as_bytes())?;
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
    stage.kubectl().run(&["delete", "mac", RESOURCE, "--timeout=60s"])?;
    stage.apply()?;
    stage.kubectl().run(&["wait", "--for=condition=Ready", "--timeout=120s", &format!("mac/{RESOURCE}")])?;
    let status = stage.status()?;
    ensure!(status["leaf"]["sha256"] == leaf, "{leaf} is served, the status says {}", status["leaf"]);
    ensure!(status["rotation"].is_null(), "it was rotated: {status:#}");
    ensure!(stage.host.agent.starts() == 2, "{} starts: one to begin with, one to rotate", stage.host.agent.starts());
    Ok(())
}

/// The same without a cluster: whoever says what its hosts obey goes on where the state was lost.
fn a_lost_state_restarts_nothing(standalone: &Standalone, stage: &mut Stage, leaf: &str) -> Result<()> {
    let (epoch, lineage) = (standalone.epoch()?, standalone.lineage()?);
    stage.operator.program.terminate(RESYNC * 10)?;
    fs::remove_dir_all(&standalone.state)?;
    let words = ["--lineage", &*lineage];
    stage.operator = Operator::start_standalone(stage.directory(), standalone, RESYNC, &words)?;
    let status = stage.wait_status(|status| condition(status, "Ready")["status"] == "True")?;
    ensure!(status["leaf"]["sha256"] == leaf, "{leaf} is served, the status says {}", status["leaf"]);
    ensure!(status["rotation"].is_null(), "it was rotated: {status:#}");
    ensure!(stage.host.agent.starts() == 2, "{} starts: one to begin with, one to rotate", stage.host.agent.starts());
    ensure!(standalone.epoch()? > epoch, "the epoch did not grow");
    Ok(())
}

fn an_annotation_rotates_once_more(stage: &Stage, leaf: &str) -> Result<()> {
    match &stage.keeper {
        Keeper::Cluster(_) => stage.annotate("now")?,
        // It ends with the new leaf in force.
        Keeper::Standalone(standalone) => {
            let told = standalone.command(&["rotate", RESOURCE, "--as", "now", "--wait"])?;
            ensure!(
                told.contains(" rotated: ") && standalone.resource()?["status"]["handledRotate"] == "now",
                "{told}"
            );
        }
    }
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
