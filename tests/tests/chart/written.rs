//! What is written twice is the same twice: the CRD, versions, examples, the schema of values.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use kagiban_tests::helm::Chart;
use kagiban_tests::tools;
use serde_json::{Value, json};

use super::of_kind;

fn yaml(text: &str) -> Result<Value> {
    Ok(serde_yaml::from_str(text)?)
}

#[test]
fn the_charts_crd_is_the_one_of_the_types_and_is_kept() -> Result<()> {
    let file = "managedagentcertificates.kagiban.dev.yaml";
    let generated = fs::read_to_string(tools::workspace().join("crds").join(file))?;
    ensure!(
        Chart::ours().read(&format!("files/crds/{file}"))? == generated,
        "the chart's CRD is not current: run `make crds`"
    );
    let owner = json!({"crds": {"annotations": {"example.com/owner": "us", "helm.sh/resource-policy": "delete"}}});
    for (values, owner) in [(json!({}), Value::Null), (owner, json!("us"))] {
        let objects = Chart::ours().render("default", &values)?;
        let crd = of_kind(&objects, "CustomResourceDefinition").pop().context("no CRD")?;
        let (ours, rendered) = (in_floats(&yaml(&generated)?["spec"]), in_floats(&crd["spec"]));
        ensure!(rendered == ours, "the template changes the CRD");
        ensure!(crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep", "{}", crd["metadata"]);
        ensure!(crd["metadata"]["annotations"]["example.com/owner"] == owner, "{}", crd["metadata"]);
    }
    Ok(())
}

/// Bounds of a schema are numbers: Helm writes `0.0` as `0`, which is the same one.
fn in_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        Value::Array(items) => items.iter().map(in_floats).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), in_floats(value))).collect(),
        other => other.clone(),
    }
}

#[test]
fn what_artifact_hub_is_told_is_what_the_chart_holds() -> Result<()> {
    let chart = Chart::ours();
    let about = yaml(&chart.read("Chart.yaml")?)?;
    ensure!(about["appVersion"] == env!("CARGO_PKG_VERSION"), "{}", about["appVersion"]);
    let told = |name: &str| {
        yaml(about["annotations"][format!("artifacthub.io/{name}")].as_str().with_context(|| format!("no {name}"))?)
    };
    let objects = chart.render("default", &json!({"exporter": {"enabled": true}}))?;
    let crd = of_kind(&objects, "CustomResourceDefinition").pop().context("no CRD")?;
    let said = &told("crds")?[0];
    ensure!(said["name"] == crd["metadata"]["name"] && said["kind"] == crd["spec"]["names"]["kind"], "{said}");
    ensure!(said["version"] == crd["spec"]["versions"][0]["name"], "{said}");
    let example = fs::read_to_string(tools::workspace().join("examples/quickstart/managedagentcertificate.yaml"))?;
    ensure!(told("crdsExamples")? == json!([yaml(&example)?]), "the example is not that of the quickstart");
    let pods = of_kind(&objects, "Deployment").into_iter().chain(of_kind(&objects, "DaemonSet"));
    let images: BTreeSet<String> =
        pods.map(|it| it["spec"]["template"]["spec"]["containers"][0]["image"].to_string()).collect();
    let listed = told("images")?;
    let listed = listed.as_array().context("images")?.iter().map(|image| image["image"].to_string());
    assert_eq!(listed.collect::<BTreeSet<_>>(), images);
    Ok(())
}

/// A value that the schema does not know could not be set; one that only the schema knows would do nothing.
#[test]
fn the_schema_knows_each_value_and_no_other() -> Result<()> {
    let chart = Chart::ours();
    let schema: Value = serde_json::from_str(&chart.read("values.schema.json")?)?;
    let mut compared = 0;
    compare("", &yaml(&chart.read("values.yaml")?)?, &schema, &mut compared)?;
    ensure!(compared > 90, "only {compared} values");
    Ok(())
}

/// Helm's own, which it passes to every chart.
const OF_HELM: [&str; 1] = ["global"];
/// Objects whose members are Kubernetes', or lists' entries, which have no default.
const NO_DEFAULT: [&str; 3] = [".operator.resources", ".exporter.resources", ".monitoring.exporterEndpoint"];

fn compare(path: &str, value: &Value, schema: &Value, compared: &mut usize) -> Result<()> {
    *compared += 1;
    let (Some(members), Some(known)) = (value.as_object(), schema["properties"].as_object()) else { return Ok(()) };
    ensure!(schema["additionalProperties"] == false, "{path} takes unknown members");
    for (name, member) in members {
        let inner = known.get(name).with_context(|| format!("{path}.{name} is not in the schema"))?;
        compare(&format!("{path}.{name}"), member, inner, compared)?;
    }
    let may_lack = NO_DEFAULT.contains(&path) || path == ".monitoring.scrapeConfig.spec";
    for name in known.keys().filter(|name| !OF_HELM.contains(&name.as_str())) {
        ensure!(may_lack || members.contains_key(name), "{path}.{name} has no default in values.yaml");
    }
    Ok(())
}
