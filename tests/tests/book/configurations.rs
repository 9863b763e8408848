//! The YAML of the documentation: what is for our programs is what they take.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use kagiban_agents::Product;
use kagiban_exporter::config;
use kagiban_tests::{process, tools};
use serde::Deserialize as _;
use serde_yaml::Value;

use crate::pages;

/// What only the configuration of the exporter has at its beginning.
const OF_THE_EXPORTER: [&str; 10] = [
    "agents",
    "apexCentral",
    "certificates",
    "compat",
    "hostApi",
    "outsideHosts",
    "power",
    "probe",
    "tlsEndpoints",
    "ups",
];

#[test]
fn every_configuration_and_every_resource_in_the_documentation_is_taken() -> Result<()> {
    let (mut configurations, mut resources) = (0, 0);
    for page in pages::all()?.values() {
        for block in page.blocks.iter().filter(|block| block.language == "yaml") {
            let place = format!("{}:{}", page.path.display(), block.line);
            let Ok(value) = serde_yaml::from_str::<Value>(&block.text) else { bail!("{place}: no YAML") };
            if OF_THE_EXPORTER.iter().any(|key| value.get(key).is_some()) {
                configurations += 1;
                // What is for a host with Windows has its paths; here a whole one begins otherwise.
                let text = block.text.replace(r"C:\", "/");
                config::parse(&text, Path::new(&place)).with_context(|| place.clone())?;
            } else if value.get("kind").is_some_and(|kind| kind == "ManagedAgentCertificate") {
                resources += 1;
                let mut plan = Command::new(tools::ours("kagiban-operator")?);
                let output = process::output_with_input(plan.args(["plan", "--offline", "-f", "-"]), &block.text)?;
                ensure!(output.status.success(), "{place}: {}", String::from_utf8_lossy(&output.stdout));
            }
        }
    }
    ensure!(configurations > 8 && resources > 1, "{configurations} configurations and {resources} resources only");
    Ok(())
}

/// Who goes from one page to the next, or from a page to what `discover` and the chart propose, meets the same names.
#[test]
fn an_agent_and_its_resource_are_called_the_same_on_every_page_and_in_the_examples() -> Result<()> {
    let files = [
        "examples/quickstart/managedagentcertificate.yaml",
        "examples/self-renewing-service.yaml",
        "examples/standalone/manifests/ups-01.example.com-powerchute.yaml",
    ];
    let mut texts = Vec::new();
    for page in pages::all()?.values() {
        let blocks = page.blocks.iter().filter(|block| block.language == "yaml");
        texts.extend(blocks.map(|block| (format!("{}:{}", page.path.display(), block.line), block.text.clone())));
    }
    for file in files {
        texts.push((file.to_owned(), fs::read_to_string(tools::workspace().join(file))?));
    }
    let mut named = 0;
    for (place, text) in texts {
        let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
        for value in documents.filter_map(Result::ok) {
            let of_host = value.get("agents").and_then(Value::as_sequence).into_iter().flatten();
            for agent in of_host.chain(value.get("spec").and_then(|spec| spec.get("agent"))) {
                let said = |key: &str| agent.get(key).and_then(Value::as_str).unwrap_or_default();
                let product: Product = said("product").parse()?;
                ensure!(said("name") == product.facts().agent, "{place}: {product} is called {}", said("name"));
                named += 1;
            }
            let Some(host) = value.get("spec").and_then(|spec| spec.get("host")).and_then(Value::as_str) else {
                continue;
            };
            let metadata = |key: &str| value.get("metadata").and_then(|it| it.get(key)).and_then(Value::as_str);
            let agent = value["spec"]["agent"]["name"].as_str().unwrap_or_default();
            let whole = format!("{host}-{agent}");
            ensure!(metadata("name") == Some(&*whole), "{place}: {:?} and not {whole}", metadata("name"));
            ensure!(metadata("namespace") == Some("fleet"), "{place}: {:?}", metadata("namespace"));
        }
    }
    ensure!(named > 8, "{named}");
    Ok(())
}
