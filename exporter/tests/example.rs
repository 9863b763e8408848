//! `examples/exporter.yaml` is what it says: loadable as it is, and complete.

use std::path::Path;

use kagiban_exporter::config;

const EXAMPLE: &str = include_str!("../../examples/exporter.yaml");

fn parse(text: &str) -> Result<config::Config, String> {
    config::parse(text, Path::new("examples/exporter.yaml")).map_err(|error| error.to_string())
}

/// The example with every commented key put in force: a single space after the `#` begins prose, anything else a key. A key
/// that is commented twice is an alternative to its neighbours.
fn everything() -> String {
    let put_in_force = |line: &str| {
        let (indent, words) = line.split_at(line.len() - line.trim_start().len());
        let key = words.strip_prefix('#').filter(|key| key.starts_with("  ") || !key.starts_with(' '));
        format!("{indent}{}\n", key.unwrap_or(words))
    };
    EXAMPLE.lines().map(put_in_force).collect()
}

#[test]
fn the_example_loads_as_it_is_and_with_every_key_in_force() {
    let config = parse(EXAMPLE).expect("the example is good");
    assert_eq!((config.certificates.len(), config.tls_endpoints.len()), (1, 1));
    let config = parse(&everything()).expect("every key of the example is good");
    assert!(config.agents.len() == 2 && config.host_api.is_some() && config.power.assumes_mains());
    assert!(config.host.is_some() && config.state_directory.is_some() && config.discovery.enabled == Some(true));
    assert!(!config.compat.is_empty());
}

#[test]
fn every_key_that_exists_is_in_the_example() {
    let agent = "name: a, product: tls-service";
    let sections = [
        "no-such-key: 1".to_owned(),
        "certificates: [{no-such-key: 1}]".to_owned(),
        "tlsEndpoints: [{no-such-key: 1}]".to_owned(),
        "discovery: {no-such-key: 1}".to_owned(),
        "power: {no-such-key: 1}".to_owned(),
        "hostApi: {no-such-key: 1}".to_owned(),
        "agents: [{no-such-key: 1}]".to_owned(),
        format!("agents: [{{{agent}, keystore: {{no-such-key: 1}}}}]"),
        format!("agents: [{{{agent}, endpoint: {{no-such-key: 1}}}}]"),
        format!("agents: [{{{agent}, service: {{no-such-key: 1}}}}]"),
        format!("agents: [{{{agent}, verify: {{no-such-key: 1}}}}]"),
    ];
    for section in sections {
        let said = parse(&section).expect_err("there is no such key");
        let (_, existing) = said.split_once("expected ").unwrap_or_else(|| panic!("{said}"));
        let keys: Vec<_> = existing.split('`').skip(1).step_by(2).collect();
        assert!(!keys.is_empty(), "{said}");
        for key in keys {
            assert!(EXAMPLE.contains(&format!("{key}:")), "`{key}` of {section} is not in the example");
        }
    }
}
