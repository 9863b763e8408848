//! What the chart starts is started here: with its command lines, its configuration and its rights.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kagiban_tests::control_plane::OPERATOR_NAMESPACE;
use kagiban_tests::helm::Chart;
use kagiban_tests::operator::THIS_MACHINE;
use kagiban_tests::ports::on_ports;
use kagiban_tests::process::Program;
use kagiban_tests::{http, scratch, tools, wait};
use serde_json::{Value, json};

use super::{of_kind, plane};

const DEADLINE: Duration = Duration::from_secs(60);

/// Of the only pod of this kind.
fn arguments(objects: &[Value], kind: &str) -> Result<Vec<String>> {
    let controller = of_kind(objects, kind).pop().with_context(|| format!("no {kind}"))?;
    let arguments = controller["spec"]["template"]["spec"]["containers"][0]["args"].as_array().context("arguments")?;
    arguments.iter().map(|word| Ok(word.as_str().context("a word")?.to_owned())).collect()
}

#[test]
fn the_operator_leads_and_is_ready_with_the_command_line_and_the_rights_of_the_chart() -> Result<()> {
    let plane = plane()?;
    let admin = plane.admin()?;
    for (name, operator, lease) in [
        ("everywhere", json!({"lineage": "tokyo", "allowHosts": [THIS_MACHINE, "*.example.com"]}), "kagiban-operator"),
        ("one-namespace", json!({"namespace": "chart-fleet"}), "kagiban-operator-chart-fleet"),
    ] {
        let objects =
            Chart::ours().render(OPERATOR_NAMESPACE, &json!({"operator": operator, "crds": {"enabled": false}}))?;
        let granted: Vec<&Value> = objects
            .iter()
            .filter(|object| object["apiVersion"].as_str().is_some_and(|it| it.starts_with("rbac.")))
            .collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": granted}).to_string();
        admin.run_with_input(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &list)?;
        let directory = scratch::directory("charted-operator")?;
        let ours = tools::ours("kagiban-operator")?;
        let (program, port) = on_ports(|[port]| {
            // In a pod the port is its own.
            let at = format!("--metrics-address={}", port.address());
            let words = arguments(&objects, "Deployment")?;
            let words = words.into_iter().map(|it| if it.starts_with("--metrics-address=") { at.clone() } else { it });
            let mut command = Command::new(&ours);
            command.args(words).env("KUBECONFIG", plane.operator_kubeconfig());
            let mut program = Program::start("operator", &command, &directory)?;
            program.wait_ready_on(port.number(), DEADLINE, || {
                http::get(port.address(), "/readyz").is_ok_and(|answer| answer.status == 200)
            })?;
            Ok((program, port))
        })?;
        let leads = || {
            let metrics = http::get(port.address(), "/metrics").map(|answer| answer.body).unwrap_or_default();
            metrics.lines().any(|line| line == "kagiban_operator_leader 1")
        };
        wait::until(DEADLINE, leads).with_context(|| format!("{name}: {}", program.log_text()))?;
        let held = || admin.in_namespace(OPERATOR_NAMESPACE).json(&["get", "lease", lease]);
        let taken = held()?;
        ensure!(taken["spec"]["holderIdentity"].is_string(), "{name}: {taken}");
        // It may renew what it has taken.
        wait::until(DEADLINE, || held().is_ok_and(|now| now["spec"]["renewTime"] != taken["spec"]["renewTime"]))
            .with_context(|| format!("{name}: {}", program.log_text()))?;
    }
    Ok(())
}

#[test]
fn the_exporter_takes_the_command_line_and_the_configuration_of_the_chart() -> Result<()> {
    let endpoint = json!({"tlsEndpoints": [{"address": "ups-01.example.com:6547"}]});
    let ups = json!({"ups": [{"name": "rack-a", "nut": {"address": "upsd.example.com:3493"}}]});
    for config in [json!({}), endpoint, ups] {
        let objects =
            Chart::ours().render(OPERATOR_NAMESPACE, &json!({"exporter": {"enabled": true, "config": config}}))?;
        let map = of_kind(&objects, "ConfigMap").pop().context("no ConfigMap")?;
        let file = scratch::directory("charted-exporter")?.join("exporter.yaml");
        fs::write(&file, map["data"]["exporter.yaml"].as_str().context("a configuration")?)?;
        let mounted = "/etc/kagiban/config/exporter.yaml";
        let words = arguments(&objects, "DaemonSet")?;
        ensure!(words.contains(&format!("--config.file={mounted}")), "{words:?}");
        let words = words.iter().map(|word| word.replace(mounted, &file.to_string_lossy()));
        let output = Command::new(tools::ours("kagiban-exporter")?).args(words).arg("--config.check").output()?;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success() && said.contains("configuration OK"), "{config}: {said}");
        // A pod of the chart looks at nothing that was not asked for.
        let sources = if config == json!({}) { "0 sources" } else { "" };
        ensure!(said.contains(sources), "{config}: {said}");
    }
    Ok(())
}
