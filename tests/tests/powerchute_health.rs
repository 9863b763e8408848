//! Whether a PowerChute agent's SNMP is hardened, asked of a real snmpd; and what promtool says of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use kagiban_tests::exporter::Exporter;
use kagiban_tests::snmpd::{AUTH_PASSWORD, COMMUNITY, PRIVACY_PASSWORD, Snmpd, USER};
use kagiban_tests::{exporter, promtool, scratch};

const V1: &str = "snmp_v1_disabled";
const V3: &str = "snmp_v3_strong";

/// What the two checks came to for these credentials: `1`, `0` or the reason why it is unknown.
fn asked(
    directory: &Path,
    address: &str,
    community: &str,
    auth_password: &str,
) -> Result<BTreeMap<&'static str, String>> {
    fs::create_dir_all(directory.join("install/Agent"))?;
    for (name, secret) in [("community", community), ("auth", auth_password), ("privacy", PRIVACY_PASSWORD)] {
        fs::write(directory.join(name), secret)?;
    }
    let root = directory.display();
    let config = format!(
        "discovery: {{enabled: false}}\n\
         agents: [{{name: powerchute, product: powerchute-serial-shutdown, directory: {root}/install/Agent, \
         endpoint: {{address: '127.0.0.1:1'}}}}]\n\
         powerchuteHealth:\n  snmp: {{address: '{address}', communityFile: {root}/community, user: {USER}, \
         auth: {{protocol: SHA-256, passwordFile: {root}/auth}}, \
         privacy: {{protocol: AES-128, passwordFile: {root}/privacy}}}}\n"
    );
    let exporter = Exporter::start(directory, &config, &[])?;
    let metrics = exporter.metrics_when("the checks are made", |metrics| metrics.contains(V3))?;
    promtool::check("exporter", &metrics)?;
    ensure!(!metrics.contains(auth_password) && !metrics.contains(PRIVACY_PASSWORD), "a secret is in the metrics");
    let verdict = |check: &'static str| {
        let label = format!("check=\"{check}\"");
        if let Some(value) = exporter::sample(&metrics, "kagiban_powerchute_check", &[&label]) {
            return Ok((check, value.to_string()));
        }
        let unknown = metrics
            .lines()
            .find(|line| line.starts_with("kagiban_powerchute_check_unknown") && line.contains(&label))
            .with_context(|| format!("no {check} in {metrics}"))?;
        let (_, rest) = unknown.split_once("reason=\"").context("no reason")?;
        Ok((check, rest.split('"').next().unwrap_or_default().to_owned()))
    };
    [V1, V3].into_iter().map(verdict).collect()
}

#[test]
fn what_an_agent_answers_by_snmp_decides_and_silence_is_unknown() -> Result<()> {
    let scratch = scratch::directory("powerchute-health")?;
    let mut agent = Snmpd::start(&scratch.join("snmpd"), "")?;
    let address = agent.address();
    let cases = [
        ("careless", COMMUNITY, AUTH_PASSWORD, ["0", "1"]),
        ("v1-off", "another-community", AUTH_PASSWORD, ["1", "1"]),
        ("weaker", "another-community", "not the password of it", ["1", "strength_not_seen"]),
    ];
    for (name, community, password, [v1, v3]) in cases {
        let found = asked(&scratch.join(name), &address, community, password)?;
        let expected = BTreeMap::from([(V1, v1.to_owned()), (V3, v3.to_owned())]);
        ensure!(found == expected, "{name}: {found:?}");
    }
    agent.stop()?;
    let found = asked(&scratch.join("off"), &address, COMMUNITY, AUTH_PASSWORD)?;
    ensure!(found.values().all(|reason| reason == "no_answer"), "{found:?}");
    Ok(())
}
