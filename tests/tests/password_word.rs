//! The Secret with the keystore's password is written while no operator runs: who writes only an annotation restarts no agent.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kagiban_tests::control_plane::ControlPlane;
use kagiban_tests::keystore::StoreType;
use kagiban_tests::operator::Operator;
use kagiban_tests::quickstart::{self, PASSWORD_SECRET};
use kagiban_tests::stage::{RESYNC, Scene, Stage};
use serde_json::json;

const PASSWORD: &str = "store-password";
const NEW_PASSWORD: &str = "other-password";
/// The API server's record of who wrote what has whole seconds.
const NEXT_SECOND: Duration = Duration::from_millis(1100);

/// As GitOps does: the whole manifest, by one manager, whatever in it has changed.
fn apply_secret(stage: &Stage, password: &str, hosts: &str) -> Result<()> {
    apply_values(stage, "gitops", "data", &STANDARD.encode(password), hosts)
}

fn apply_values(stage: &Stage, manager: &str, field: &str, password: &str, hosts: &str) -> Result<()> {
    let metadata = json!({
        "name": PASSWORD_SECRET,
        "labels": {"kagiban.dev/purpose": "keystore-password"},
        "annotations": {
            "kagiban.dev/allowed-hosts": hosts,
            "kagiban.dev/allowed-clients": quickstart::CLIENT_SECRET,
        },
    });
    let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque"});
    secret[field] = json!({"password": password});
    let manager = format!("--field-manager={manager}");
    let apply = ["apply", "--server-side", "--force-conflicts", &manager, "-f", "-"];
    stage.kubectl().run_with_input(&apply, &secret.to_string())?;
    Ok(())
}

/// The operator ends, the Secret is written, another operator starts.
fn written_without_operator(stage: &mut Stage, write: impl FnOnce(&Stage) -> Result<()>) -> Result<()> {
    stage.operator.program.kill()?;
    thread::sleep(NEXT_SECOND);
    write(stage)?;
    let kubeconfig = ControlPlane::shared()?.operator_kubeconfig().to_owned();
    stage.operator = Operator::start(stage.directory(), &kubeconfig, &stage.namespace, RESYNC)?;
    Ok(())
}

/// Holds B11, B17.
#[test]
fn what_was_written_to_a_password_while_no_operator_ran_rotates_once_if_it_was_the_password() -> Result<()> {
    let scene = Scene {
        store_type: StoreType::Jks,
        password: PASSWORD.to_owned(),
        deletes_credentials: false,
        secret_password: Some(PASSWORD.to_owned()),
    };
    let mut stage = Stage::set("password-word", &scene)?;
    apply_secret(&stage, PASSWORD, "*.example.com, 127.0.0.1")?;
    stage.apply()?;
    let first = stage.wait_committed(1)?;
    let word = first["leaf"]["passwordVersion"].clone();
    ensure!(word.is_string() && stage.host.agent.starts() == 2, "{first:#}");

    written_without_operator(&mut stage, |stage| {
        apply_secret(stage, PASSWORD, "*.example.com, *.example.org, 127.0.0.1")
    })?;
    let moved = stage.wait_status(|status| status["leaf"]["passwordVersion"] != word)?;
    thread::sleep(RESYNC * 3);
    let at_rest = stage.status()?;
    ensure!(at_rest["rotation"]["generation"] == 1, "it was rotated for an annotation: {at_rest:#}");
    ensure!(at_rest["leaf"] == moved["leaf"] && at_rest["conditions"] == first["conditions"], "{at_rest:#}\n{first:#}");
    ensure!(stage.host.agent.starts() == 2, "it was restarted for an annotation");

    // Of a server-side apply of text the API server records no `data`, and the values have their first writer there still
    written_without_operator(&mut stage, |stage| {
        apply_values(stage, "a-person", "stringData", NEW_PASSWORD, "*.example.com, 127.0.0.1")
    })?;
    let changed = stage.wait_committed(2)?;
    ensure!(changed["rotation"]["trigger"] == "PasswordChanged", "{changed:#}");
    thread::sleep(RESYNC * 3);
    ensure!(stage.status()?["rotation"]["generation"] == 2, "it was rotated twice: {:#}", stage.status()?);
    ensure!(stage.host.agent.starts() == 3, "{} starts", stage.host.agent.starts());
    stage.host.agent.listing(NEW_PASSWORD)?;
    Ok(())
}
