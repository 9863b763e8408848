//! What holds a rotation back, and what undoes it: the agent goes on with the certificate that it has, and the resource says
//! why.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kagiban_tests::keeper::Keeper;
use kagiban_tests::keystore::StoreType;
use kagiban_tests::powerchute::ALIAS;
use kagiban_tests::quickstart::RESOURCE;
use kagiban_tests::stage::{Place, RESYNC, Scene, Stage, condition};
use kagiban_tests::{process, tools, wait};
use serde_json::Value;

const PASSWORD: &str = "store-password";
/// The last event may be on its way when the status already tells the end.
const EVENT_DEADLINE: Duration = Duration::from_secs(10);

fn stage(place: Place, name: &str, store_type: StoreType, secret_password: Option<&str>) -> Result<Stage> {
    let scene = Scene {
        store_type,
        password: PASSWORD.to_owned(),
        deletes_credentials: secret_password.is_some(),
        secret_password: secret_password.map(str::to_owned),
    };
    Stage::set_at(place, name, &scene)
}

#[test]
fn an_agent_that_does_not_start_on_the_new_store_gets_the_old_one_back() -> Result<()> {
    the_old_store_is_put_back(Place::Cluster)
}

#[test]
fn an_agent_that_does_not_start_on_the_new_store_gets_the_old_one_back_without_a_cluster() -> Result<()> {
    the_old_store_is_put_back(Place::Standalone)
}

fn the_old_store_is_put_back(place: Place) -> Result<()> {
    let stage = stage(place, "undone-rollback", StoreType::Jks, None)?;
    stage.apply()?;
    stage.wait_committed(1)?;
    let leaf = stage.host.agent.served()?.leaf_sha256();
    let store = fs::read(stage.host.agent.keystore())?;
    let ini = fs::read(stage.host.agent.ini())?;

    stage.host.agent.fail_starts(1)?;
    match &stage.keeper {
        Keeper::Cluster(_) => stage.annotate("now")?,
        // Whoever waits for it is told.
        Keeper::Standalone(standalone) => {
            let failed =
                standalone.command(&["rotate", RESOURCE, "--as", "now", "--wait"]).expect_err("it is put back");
            ensure!(format!("{failed:#}").contains("the rotation has ended as RolledBack"), "{failed:#}");
        }
    }
    let status = stage.wait_status(|status| status["rotation"]["state"] == "RolledBack")?;
    ensure!(stage.host.agent.served()?.leaf_sha256() == leaf, "another leaf is served");
    ensure!(fs::read(stage.host.agent.keystore())? == store, "the store is not the old one");
    ensure!(fs::read(stage.host.agent.ini())? == ini, "the INI file is not the old one");
    ensure!(status["leaf"]["sha256"] == leaf.as_str(), "{status:#}");
    ensure!(condition(&status, "Ready")["status"] == "True", "the old certificate is valid: {status:#}");
    ensure!(status["history"][0]["outcome"] == "RolledBack", "{status:#}");
    events_tell(&stage, "RolledBack", "the previous keystore is in place")?;

    // The next wish is one more try, and nothing of the failed one stands in its way.
    stage.annotate("again")?;
    stage.wait_committed(3)?;
    ensure!(stage.host.agent.served()?.leaf_sha256() != leaf, "the old leaf is still served");
    Ok(())
}

#[test]
fn an_agent_that_starts_on_neither_store_is_left_to_a_person() -> Result<()> {
    let stage = stage(Place::Cluster, "undone-frozen", StoreType::Pkcs12, None)?;
    stage.apply()?;
    stage.wait_committed(1)?;
    stage.host.agent.fail_starts(1000)?;
    stage.annotate("now")?;
    let status = stage.wait_status(|status| status["blockedBy"] == "Frozen")?;
    ensure!(status["rotation"]["state"] == "Frozen", "{status:#}");
    ensure!(condition(&status, "Stalled")["status"] == "True", "only a person can clear it: {status:#}");
    events_tell(&stage, "Frozen", "a person must look at the host")?;
    stage.annotate("again")?;
    let still = hold(&stage)?;
    ensure!(still["blockedBy"] == "Frozen" && still["rotation"]["generation"] == 2, "{still:#}");

    // What the messages tell a person to do, while the exporter runs.
    stage.host.agent.fail_starts(0)?;
    let told = rotation(&stage, "show")?;
    ensure!(told.contains("Frozen") && told.contains("rotation thaw powerchute"), "{told}");
    let told = rotation(&stage, "thaw")?;
    ensure!(told.contains("generation 2  RolledBack"), "{told}");
    stage.wait_committed(3)?;
    Ok(())
}

/// Holds A15: a person who brings the service to life need not do more.
#[test]
fn a_freeze_ends_by_itself_when_the_service_lives_on_the_old_store_again() -> Result<()> {
    let stage = stage(Place::Cluster, "undone-thawing", StoreType::Pkcs12, None)?;
    stage.apply()?;
    stage.wait_committed(1)?;
    stage.host.agent.fail_starts(1000)?;
    stage.annotate("now")?;
    stage.wait_status(|status| status["blockedBy"] == "Frozen")?;
    stage.host.agent.fail_starts(0)?;
    stage.host.agent.start()?;
    stage.annotate("again")?;
    stage.wait_committed(3)?;
    Ok(())
}

/// `kagiban-exporter rotation` about the agent of this stage's host.
fn rotation(stage: &Stage, verb: &str) -> Result<String> {
    let mut command = Command::new(tools::ours("kagiban-exporter")?);
    command.args(["rotation", verb, "powerchute", "--config.file"]).arg(stage.host.config_file());
    process::run(&mut command)
}

#[test]
fn a_scheduled_shutdown_holds_a_rotation_back_until_it_is_called_off() -> Result<()> {
    a_shutdown_holds_it_back(Place::Cluster)
}

#[test]
fn a_scheduled_shutdown_holds_a_rotation_back_until_it_is_called_off_without_a_cluster() -> Result<()> {
    a_shutdown_holds_it_back(Place::Standalone)
}

fn a_shutdown_holds_it_back(place: Place) -> Result<()> {
    let stage = stage(place, "undone-shutdown", StoreType::Jks, None)?;
    fs::write(stage.host.scheduled_shutdown_file(), "USEC=1\n")?;
    stage.apply()?;
    stage.wait_status(|status| status["blockedBy"] == "ShutdownPending")?;
    let blocked = hold(&stage)?;
    ensure!(blocked["blockedBy"] == "ShutdownPending", "{blocked:#}");
    ensure!(blocked["rotation"].is_null(), "a rotation was opened: {blocked:#}");
    ensure!(stage.host.agent.served()?.leaf_sha256() == stage.first_leaf, "another leaf is served");
    ensure!(stage.host.agent.starts() == 1, "the agent was restarted");
    let table = stage.keeper.table()?;
    ensure!(table.contains("ShutdownPending"), "{table}");
    events_tell(&stage, "ShutdownPending", "about to shut down")?;

    fs::remove_file(stage.host.scheduled_shutdown_file())?;
    let status = stage.wait_committed(1)?;
    ensure!(status["blockedBy"].is_null(), "{status:#}");
    ensure!(stage.host.agent.served()?.leaf_sha256() != stage.first_leaf, "the old leaf is still served");
    Ok(())
}

#[test]
fn a_pkcs12_that_no_known_password_opens_is_left_alone() -> Result<()> {
    let stage = stage(Place::Cluster, "undone-unreadable", StoreType::Pkcs12, Some("not-the-password"))?;
    let store = fs::read(stage.host.agent.keystore())?;
    stage.apply()?;
    let status = stage.wait_status(|status| !status["history"].is_null() || !status["blockedBy"].is_null())?;
    let later = hold(&stage)?;
    ensure!(condition(&later, "Ready")["status"] != "True", "{status:#} {later:#}");
    ensure!(fs::read(stage.host.agent.keystore())? == store, "the store was touched: {later:#}");
    ensure!(stage.host.agent.starts() == 1, "the agent was restarted: {later:#}");
    let listing = stage.host.agent.listing(PASSWORD)?;
    ensure!(listing.entries[ALIAS].chain == [stage.first_leaf.clone()], "{listing:?}");
    let told = stage.keeper.description()?;
    ensure!(told.contains("password"), "nothing says why:\n{told}");
    Ok(())
}

/// The status after the operator has looked three times more.
fn hold(stage: &Stage) -> Result<Value> {
    std::thread::sleep(RESYNC * 3);
    stage.status()
}

fn events_tell(stage: &Stage, reason: &str, words: &str) -> Result<()> {
    let described = || stage.keeper.description().unwrap_or_default();
    let is_told = |text: &str| {
        let events = text.split("Events:").nth(1).unwrap_or_default();
        events.lines().any(|line| line.contains(reason) && line.contains(words))
    };
    wait::until(EVENT_DEADLINE, || is_told(&described()))
        .with_context(|| format!("no event {reason} says {words:?}:\n{}", described()))
}
