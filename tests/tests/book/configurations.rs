//! The YAML of the documentation: what is for our programs is what they take.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use kagiban_exporter::config;
use kagiban_tests::{process, tools};
use serde_yaml::Value;

use crate::pages;

/// What only the configuration of the exporter has at its beginning.
const OF_THE_EXPORTER: [&str; 8] =
    ["agents", "ups", "certificates", "tlsEndpoints", "hostApi", "probe", "compat", "power"];

#[test]
fn every_configuration_and_every_resource_in_the_documentation_is_taken() -> Result<()> {
    let (mut configurations, mut resources) = (0, 0);
    for page in pages::all()?.values() {
        for block in page.blocks.iter().filter(|block| block.language == "yaml") {
            let place = format!("{}:{}", page.path.display(), block.line);
            let Ok(value) = serde_yaml::from_str::<Value>(&block.text) else { bail!("{place}: no YAML") };
            if OF_THE_EXPORTER.iter().any(|key| value.get(key).is_some()) {
                configurations += 1;
                config::parse(&block.text, Path::new(&place)).with_context(|| place.clone())?;
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
