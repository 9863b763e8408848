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
    assert_eq!(config.certificates.iter().map(|rule| rule.windows_stores.len()).collect::<Vec<_>>(), [0, 3]);
    assert!(config.agents.len() == 5 && config.host_api.is_some() && config.power.assumes_mains());
    assert!(config.powerchute_health.minimum_java_version.is_some() && config.powerchute_health.snmp.is_some());
    assert!(config.ups.len() == 5 && config.feeds.len() == 1 && config.snmp_traps.is_some());
    assert_eq!(config.outside_hosts.iter().map(|host| host.tls_endpoints.len() + host.ups.len()).sum::<usize>(), 3);
    assert!(config.shutdown.enabled && config.shutdown.event_logs.len() == 1);
    assert_eq!(config.shutdown.windows_event_log, Some(true));
    assert!(config.host.is_some() && config.state_directory.is_some() && config.discovery.enabled == Some(true));
    assert!(config.apex_central.is_some());
    assert!(config.probe.is_some_and(|probe| probe.allows("10.1.2.3", 1)));
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
        "probe: {no-such-key: 1}".to_owned(),
        "power: {no-such-key: 1}".to_owned(),
        "powerchuteHealth: {no-such-key: 1}".to_owned(),
        "powerchuteHealth: {snmp: {no-such-key: 1}}".to_owned(),
        "snmpTraps: {no-such-key: 1}".to_owned(),
        "ups: [{no-such-key: 1}]".to_owned(),
        "feeds: [{no-such-key: 1}]".to_owned(),
        "ups: [{nut: {no-such-key: 1}}]".to_owned(),
        "ups: [{nut: {startTls: {no-such-key: 1}}}]".to_owned(),
        "ups: [{apcupsd: {no-such-key: 1}}]".to_owned(),
        "ups: [{snmp: {no-such-key: 1}}]".to_owned(),
        "ups: [{snmp: {auth: {no-such-key: 1}}}]".to_owned(),
        "ups: [{snmp: {privacy: {no-such-key: 1}}}]".to_owned(),
        "ups: [{powerchuteWeb: {no-such-key: 1}}]".to_owned(),
        "shutdown: {no-such-key: 1}".to_owned(),
        "outsideHosts: [{no-such-key: 1}]".to_owned(),
        "apexCentral: {no-such-key: 1}".to_owned(),
        "hostApi: {no-such-key: 1}".to_owned(),
        "agents: [{no-such-key: 1}]".to_owned(),
        format!("agents: [{{{agent}, keystore: {{no-such-key: 1}}}}]"),
        format!("agents: [{{{agent}, endpoint: {{no-such-key: 1}}}}]"),
        format!("agents: [{{{agent}, service: {{no-such-key: 1}}}}]"),
        format!("agents: [{{{agent}, verify: {{no-such-key: 1}}}}]"),
        format!("agents: [{{{agent}, renew: {{no-such-key: 1}}}}]"),
        format!("agents: [{{{agent}, clients: {{no-such-key: 1}}}}]"),
        format!("agents: [{{{agent}, clients: {{list: {{no-such-key: 1}}}}}}]"),
        format!("agents: [{{{agent}, clientLogs: {{no-such-key: 1}}}}]"),
        format!("agents: [{{{agent}, clientLogs: {{columns: {{no-such-key: 1}}}}}}]"),
        format!("agents: [{{{agent}, observe: {{no-such-key: 1}}}}]"),
        format!("agents: [{{{agent}, observe: {{falseAlert: {{no-such-key: 1}}}}}}]"),
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
