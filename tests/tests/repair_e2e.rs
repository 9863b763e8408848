//! A resource is applied, a person asks, and a real exporter repairs an agent that can only be looked at: API server, operator and exporter
//! are real, and a script stands for the module of its vendor.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use kagiban_tests::control_plane::ControlPlane;
use kagiban_tests::exporter::Exporter;
use kagiban_tests::kubectl::Kubectl;
use kagiban_tests::operator::Operator;
use kagiban_tests::ports::Port;
use kagiban_tests::quickstart::{self, Fleet, ISSUER_SECRET, OPERATOR_NAME, PASSWORD_SECRET};
use kagiban_tests::stage::{RESYNC, condition};
use kagiban_tests::{scratch, tools, wait};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(120);
const HOST: &str = "skysea-01.example.com";
const RESOURCE: &str = "skysea-01.example.com-skysea";

struct Stage {
    kubectl: Kubectl,
    home: PathBuf,
    // Before the host: it must not order while the host goes away
    operator: Operator,
    exporter: Exporter,
    resource: Value,
    _host_api: Port,
}

impl Stage {
    fn set(name: &str, proof: Option<&str>) -> Result<Self> {
        let plane = ControlPlane::shared()?;
        let admin = plane.admin()?;
        let kubectl = admin.create_namespace(name)?;
        quickstart::install_rbac(&admin, name)?;
        let directory = scratch::directory(name)?;
        let home = directory.join("skysea");
        fs::create_dir_all(&home)?;
        program(&home, "module", "echo run >>ran; touch applied")?;
        let (fleet, host_api) = (Fleet::new()?, Port::any()?);
        fleet.server_identity(HOST)?.write(&directory, "host-api")?;
        fs::write(directory.join("client-ca.crt"), &fleet.transport.identity.certificate)?;
        let file = |name: &str| directory.join(name);
        let mut config = json!({
            "host": HOST,
            "stateDirectory": file("state"),
            "power": {"assume": "mains", "scheduledShutdownFile": file("scheduled")},
            "hostApi": {
                "listenAddress": host_api.address().to_string(),
                "certificateFile": file("host-api.crt"),
                "keyFile": file("host-api.key"),
                "clientCaFile": file("client-ca.crt"),
                "clientNames": [OPERATOR_NAME],
            },
            "agents": [{
                "name": "skysea",
                "product": "skysea",
                "observe": {"version": "12.100.07p", "components": ["master-server"]},
                "repair": {"command": [home.join("module")], "deadline": "2s"},
            }],
        });
        if let Some(proof) = proof {
            program(&home, "proof", proof)?;
            config["agents"][0]["repair"]["proof"] = json!({"command": [home.join("proof")]});
        }
        let exporter = Exporter::start(&directory, &serde_yaml::to_string(&config)?, &[])?;
        let operator = Operator::start(&directory, plane.operator_kubeconfig(), name, RESYNC)?;
        fleet.apply_secrets(&kubectl, "not-used")?;
        // Nothing but the client Secret is needed
        kubectl.run(&["delete", "secret", ISSUER_SECRET, PASSWORD_SECRET])?;
        let text = fs::read_to_string(tools::workspace().join("examples/products/skysea/resource.yaml"))?;
        let mut resource: Value = serde_yaml::from_str(&text)?;
        resource["spec"]["api"]["hostApi"]["url"] = json!(format!("https://{}", host_api.address()));
        resource["metadata"]["namespace"] = json!(name);
        Ok(Self { kubectl, home, operator, exporter, resource, _host_api: host_api })
    }

    fn ran(&self) -> usize {
        fs::read_to_string(self.home.join("ran")).map_or(0, |ran| ran.lines().count())
    }

    fn annotate(&self, value: &str) -> Result<()> {
        self.kubectl.run(&["annotate", "--overwrite", "mac", RESOURCE, &format!("kagiban.dev/rotate={value}")])?;
        Ok(())
    }

    fn wait_status(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let look = || Ok(self.kubectl.json(&["get", "mac", RESOURCE])?["status"].take());
        wait::for_status(DEADLINE, what, look, wanted, [&self.operator.program, &self.exporter.program])
    }

    /// Until Ready is so, for that reason.
    fn wait_ready(&self, status: &str, reason: &str) -> Result<Value> {
        self.wait_status(&format!("Ready={status} {reason}"), |seen| {
            let ready = condition(seen, "Ready");
            ready["status"] == status && ready["reason"] == reason
        })
    }
}

/// It runs in its own directory.
fn program(home: &Path, name: &str, script: &str) -> Result<()> {
    let path = home.join(name);
    fs::write(&path, format!("#!/bin/sh\ncd '{}' || exit 9\n{script}\n", home.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

#[test]
fn an_agent_that_is_looked_at_is_repaired_once_a_person_asks_and_not_before() -> Result<()> {
    let stage = Stage::set("e2e-repair", Some("test -e applied"))?;
    let mut made_with = stage.resource.clone();
    made_with["metadata"]["annotations"] = json!({"kagiban.dev/rotate": "of-the-manifest"});
    stage.kubectl.apply(&made_with.to_string())?;
    let status = stage.wait_ready("True", "NotAsked")?;
    let kinds: Vec<_> = status["conditions"].as_array().into_iter().flatten().map(|it| &it["type"]).collect();
    ensure!(kinds == ["Ready", "Repaired"] && status["leaf"].is_null(), "{status:#}");
    ensure!(stage.ran() == 0, "nobody has asked");

    stage.annotate("please")?;
    let status = stage.wait_ready("True", "Repaired")?;
    ensure!(status["history"][0]["outcome"] == "Committed" && status["handledRotate"] == "please", "{status:#}");
    let message = condition(&status, "Repaired")["message"].as_str().unwrap_or_default().to_owned();
    ensure!(message.contains("observe.moduleApplied: true"), "{message}");
    ensure!(stage.ran() == 1, "{} runs", stage.ran());
    let described = stage.kubectl.run(&["describe", "mac", RESOURCE])?;
    ensure!(described.contains("Repaired"), "{described}");

    // A status that is lost has nothing repaired
    let lost = r#"{"status":null}"#;
    stage.kubectl.run(&["patch", "mac", RESOURCE, "--subresource=status", "--type=merge", "-p", lost])?;
    stage.wait_ready("True", "NotAsked")?;
    ensure!(stage.ran() == 1, "{} runs", stage.ran());

    // What the proof says is done already is not done again
    stage.annotate("once-more")?;
    stage.wait_ready("True", "Repaired")?;
    ensure!(stage.ran() == 1, "{} runs", stage.ran());
    stage.kubectl.run(&["delete", "mac", RESOURCE, "--timeout=60s"])?;
    Ok(())
}

#[test]
fn a_repair_waits_for_safe_power_and_what_nothing_proves_or_what_fails_is_told_so() -> Result<()> {
    let stage = Stage::set("e2e-repair-told", None)?;
    stage.kubectl.apply(&stage.resource.to_string())?;
    stage.wait_ready("True", "NotAsked")?;
    let scheduled = stage.home.with_file_name("scheduled");
    fs::write(&scheduled, "")?;
    stage.annotate("please")?;
    stage.wait_status("blocked", |status| status["blockedBy"] == "ShutdownPending")?;
    ensure!(stage.ran() == 0, "a shutdown is pending");
    fs::remove_file(&scheduled)?;
    let status = stage.wait_ready("True", "NotProven")?;
    ensure!(status["history"][0]["outcome"] == "Done" && stage.ran() == 1, "{status:#}");

    program(&stage.home, "module", "echo run >>ran; exit 3")?;
    stage.annotate("again")?;
    let status = stage.wait_ready("False", "RepairFailed")?;
    ensure!(condition(&status, "Stalled")["status"] == "True", "{status:#}");
    ensure!(status["history"][0]["reason"] == "repair_failed", "{status:#}");
    std::thread::sleep(RESYNC * 3);
    ensure!(stage.ran() == 2, "it is not tried again by itself: {} runs", stage.ran());
    Ok(())
}
