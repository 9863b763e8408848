//! `outsideHosts:` — hosts where nothing may be installed, looked at from here.

use std::collections::BTreeSet;

use kagiban_crds::HostName;
use serde::Deserialize;

use super::tls::TlsEndpoint;
use super::ups::UpsConfig;
use super::values::first_twin;

/// A host that is looked at from outside. Everything that is seen of it has the label `host`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutsideHost {
    /// The label `host`.
    pub host: HostName,
    #[serde(default)]
    pub tls_endpoints: Vec<TlsEndpoint>,
    /// None of them feeds the host that this program runs on.
    #[serde(default)]
    pub ups: Vec<UpsConfig>,
}

/// Twice the largest fleet that was measured (1,000 hosts). Each endpoint has some twenty series, and each look is a handshake: more of them
/// are divided among several exporters, so that one that fails does not leave them all unseen.
const MAX_HOSTS: usize = 2_000;
/// The ports of every product that is known, several times over. A list of hundreds is a list of hosts.
const MAX_ENDPOINTS: usize = 32;
/// More than feed one host.
const MAX_UPSES: usize = 16;
/// Endpoints and UPSes of all outside hosts: two for each.
const MAX_SOURCES: usize = 2 * MAX_HOSTS;

/// What is wrong with them together, with the setting that it is about. `own` is what the host that this program runs on is called.
///
/// # Errors
/// Also of what belongs to this host alone.
pub(super) fn check(hosts: &[OutsideHost], own: Option<&str>) -> Result<(), String> {
    if hosts.len() > MAX_HOSTS {
        return Err(format!(
            "outsideHosts: {} hosts are more than {MAX_HOSTS}; divide them among several exporters",
            hosts.len()
        ));
    }
    let (mut known, mut sources) = (BTreeSet::new(), 0);
    for (index, outside) in hosts.iter().enumerate() {
        let wrong = |below: &str, problem: String| Err(format!("outsideHosts[{index}].{below}: {problem}"));
        let name = outside.host.as_str();
        if own == Some(name) {
            let told = "is the host that this program runs on; name what is seen of it in the sections of its own";
            return wrong("host", format!("{name} {told}"));
        }
        if !known.insert(name) {
            return wrong("host", format!("{name} stands there twice; put all that is seen of it into one entry"));
        }
        let (endpoints, upses) = (outside.tls_endpoints.len(), outside.ups.len());
        if endpoints > MAX_ENDPOINTS {
            return wrong("tlsEndpoints", format!("{endpoints} are more than {MAX_ENDPOINTS} of one host"));
        }
        if upses > MAX_UPSES {
            return wrong("ups", format!("{upses} are more than {MAX_UPSES} of one host"));
        }
        if endpoints + upses == 0 {
            return wrong("tlsEndpoints", format!("nothing is seen of {name}; name an endpoint, or a UPS under `ups`"));
        }
        if let Some((at, twin)) = first_twin(outside.tls_endpoints.iter().map(TlsEndpoint::name)) {
            return wrong(
                &format!("tlsEndpoints[{at}]"),
                format!("another one is called {twin:?}; give each a `name`"),
            );
        }
        if let Some((at, twin)) = first_twin(outside.ups.iter().map(|ups| ups.name.as_str())) {
            return wrong(&format!("ups[{at}].name"), format!("another one is called {twin:?}"));
        }
        if let Some(at) = outside.ups.iter().position(|ups| ups.says_that_it_feeds_host) {
            let told = "a UPS of an outside host says nothing of the power of this one; leave `feedsHost` out, or name the UPS under the \
                        `ups` of this host";
            return wrong(&format!("ups[{at}].feedsHost"), told.to_owned());
        }
        if let Some(at) = outside.ups.iter().position(UpsConfig::is_seen_by_this_host) {
            let told = "what Windows sees is the power of this host; name it under the `ups` of this host";
            return wrong(&format!("ups[{at}].windowsPower"), told.to_owned());
        }
        sources += endpoints + upses;
    }
    if sources > MAX_SOURCES {
        let told = "divide the hosts among several exporters";
        return Err(format!("outsideHosts: {sources} endpoints and UPSes are more than {MAX_SOURCES}; {told}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, parse};
    use crate::platform::testing::native;

    fn outside(entries: &str) -> Result<Config, String> {
        let text = format!("host: ups-01.example.com\n{entries}");
        parse(&native(&text), Path::new("exporter.yaml")).map_err(|error| error.to_string())
    }

    #[test]
    fn two_hosts_may_each_have_a_ups_and_an_endpoint_of_one_name_and_none_feeds_this_host() {
        let ups = "ups: [{name: rack-a, snmp: {address: 'h:161', version: v2c, communityFile: /c}}, {name: rack-b, feedsHost: false, \
                   apcupsd: {address: 'h:3551'}}]";
        let config = outside(&format!(
            "ups: [{{name: rack-a, apcupsd: {{address: 'h:3551'}}}}]\noutsideHosts:\n  - {{host: win-01.example.com, tlsEndpoints: \
             [{{name: console, address: 'win-01.example.com:4343', interval: 5m, timeout: 3s}}], {ups}}}\n  - {{host: win-02, {ups}}}\n"
        ))
        .expect("two hosts");
        let [one, other] = &config.outside_hosts[..] else { panic!("{config:?}") };
        assert_eq!((one.host.as_str(), other.host.as_str()), ("win-01.example.com", "win-02"));
        let endpoint = &one.tls_endpoints[0];
        assert_eq!((endpoint.name(), endpoint.interval.as_duration().as_secs()), ("console", 300));
        assert!(config.ups[0].feeds_host);
        assert!(one.ups.iter().chain(&other.ups).all(|ups| !ups.feeds_host));
        assert!(config.discovers(), "of this host nothing is named");
    }

    #[test]
    fn what_cannot_be_seen_of_another_host_is_refused_with_its_setting() {
        let host = |name: &str, rest: &str| format!("  - {{host: {name}{rest}}}\n");
        let ups = |rest: &str| format!(", ups: [{{name: a{rest}, apcupsd: {{address: 'h:3551'}}}}]");
        let good = |name: &str| host(name, &ups(""));
        let endpoints = |count: usize| {
            let all: Vec<_> = (0..count).map(|port| format!("{{address: 'h:{}'}}", port + 1)).collect();
            format!(", tlsEndpoints: [{}]", all.join(", "))
        };
        let upses = |count: usize| {
            let all: Vec<_> = (0..count).map(|at| format!("{{name: u{at}, apcupsd: {{address: 'h:3551'}}}}")).collect();
            format!(", ups: [{}]", all.join(", "))
        };
        let many = |count: usize, rest: &str| (0..count).map(|at| host(&format!("h{at}"), rest)).collect::<String>();
        for (entries, setting, why) in [
            (good("ups-01.example.com"), "outsideHosts[0].host: ", "the host that this program runs on"),
            (good("a") + &good("b") + &good("a"), "outsideHosts[2].host: ", "twice"),
            (host("Win_01", &ups("")), "outsideHosts[0]: ", "RFC 1123"),
            (host("a", ""), "outsideHosts[0].tlsEndpoints: ", "nothing is seen of a"),
            (
                good("a") + &good("b") + &host("c", &ups(", feedsHost: true")),
                "outsideHosts[2].ups[0].feedsHost: ",
                "leave",
            ),
            (
                host("a", ", ups: [{name: a, windowsPower: {}}]"),
                "outsideHosts[0].ups[0].windowsPower: ",
                "the power of this host",
            ),
            (
                host("a", ", tlsEndpoints: [{address: 'h:1'}, {address: 'h:1'}]"),
                "outsideHosts[0].tlsEndpoints[1]: ",
                "\"h:1\"",
            ),
            (
                host("a", ", ups: [{name: u, apcupsd: {address: 'h:1'}}, {name: u, apcupsd: {address: 'h:2'}}]"),
                "outsideHosts[0].ups[1].name: ",
                "\"u\"",
            ),
            (host("a", &ups(", interval: soon")), "outsideHosts[0].ups[0].interval: ", "30s"),
            (host("a", ", certificates: []"), "outsideHosts[0]: ", "unknown field `certificates`"),
            (host("a", ", ups: [{name: u}]"), "outsideHosts[0].ups: ", "name exactly one of `nut`"),
            (host("a", &endpoints(33)), "outsideHosts[0].tlsEndpoints: ", "more than 32"),
            (host("a", &upses(17)), "outsideHosts[0].ups: ", "more than 16"),
            (many(2_001, &ups("")), "outsideHosts: ", "more than 2000"),
            (many(126, &endpoints(32)), "outsideHosts: ", "more than 4000"),
        ] {
            let said = outside(&format!("outsideHosts:\n{entries}")).expect_err("this must be refused");
            let short = &entries[..entries.len().min(200)];
            assert!(said.contains(setting) && said.contains(why), "{short}: {said}");
        }
        let most = host("a", &endpoints(32)) + &host("b", &upses(16)) + &many(1_900, &endpoints(1));
        assert!(outside(&format!("outsideHosts:\n{most}")).is_ok());
    }

    #[test]
    fn a_load_of_this_host_names_no_ups_of_another_one() {
        let text = "outsideHosts: [{host: a, ups: [{name: u, apcupsd: {address: 'h:1'}}]}]\nfeeds: [{name: f, ups: [u], minHealthy: 1}]\n";
        let said = outside(text).expect_err("it carries no load of this host");
        assert!(said.contains("feeds f: \"u\" is a UPS of outsideHosts[0]"), "{said}");
    }
}
