//! HTTP service discovery for Prometheus: the hosts that the resources name, each as a target with its exporter's port.
//!
//! Every replica watches all resources, also one that does not lead, so each gives the same answer. Before the first list is
//! whole there is none: Prometheus keeps what it has when it is answered with an error, and would drop every target of an empty list.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use kagiban_crds::HostName;
use serde::Serialize;

use crate::fleet::{Fleet, ResourceName, ResourceSummary};

/// The hosts of the fleet as scrape targets.
#[derive(Clone, Debug)]
pub struct Discovery {
    fleet: Arc<Fleet>,
    /// Of the exporters' metrics. A resource names the port of the host API only.
    port: u16,
}

/// What Prometheus takes: targets that share labels.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct TargetGroup {
    targets: [String; 1],
    labels: BTreeMap<&'static str, String>,
}

/// What the resources for one host say together.
#[derive(Debug, Default)]
struct Host {
    namespaces: BTreeSet<String>,
    products: BTreeSet<String>,
}

impl Discovery {
    pub const fn new(fleet: Arc<Fleet>, port: u16) -> Self {
        Self { fleet, port }
    }

    /// Whether all resources are known; there is nothing to tell before.
    pub fn is_ready(&self) -> bool {
        self.fleet.is_listed()
    }

    /// One target for each host, in the order of their names.
    pub(crate) fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        out.write_char('[')?;
        for (index, group) in groups(&self.fleet.summaries(), self.port).enumerate() {
            let text = serde_json::to_string(&group).map_err(|_| fmt::Error)?;
            out.write_str(if index == 0 { "\n" } else { ",\n" })?;
            out.write_str(&text)?;
        }
        out.write_str("\n]\n")
    }
}

/// A resource that this version cannot read has a host all the same; one whose host is no name has none.
fn groups(resources: &[(ResourceName, Arc<ResourceSummary>)], port: u16) -> impl Iterator<Item = TargetGroup> {
    let mut hosts: BTreeMap<String, Host> = BTreeMap::new();
    for (name, of) in resources.iter().filter(|(_, of)| of.host.parse::<HostName>().is_ok()) {
        let host = hosts.entry(of.host.to_string()).or_default();
        host.namespaces.insert(name.namespace().to_owned());
        if of.readable {
            host.products.insert(of.product.to_string());
        }
    }
    hosts.into_iter().map(move |(name, host)| TargetGroup {
        targets: [format!("{name}:{port}")],
        labels: BTreeMap::from([
            ("__meta_kagiban_host", name),
            ("__meta_kagiban_namespaces", listed(&host.namespaces)),
            ("__meta_kagiban_products", listed(&host.products)),
        ]),
    })
}

/// As Prometheus's own discoveries write lists: a comma on both sides of each entry, so that an expression finds a whole one.
fn listed(entries: &BTreeSet<String>) -> String {
    if entries.is_empty() {
        return String::new();
    }
    entries.iter().fold(",".to_owned(), |list, entry| list + entry + ",")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn resource(name: &str, host: &str, product: &str, readable: bool) -> (ResourceName, Arc<ResourceSummary>) {
        let (namespace, name) = name.split_once('/').expect("a namespace");
        let summary = ResourceSummary {
            host: host.into(),
            product: product.into(),
            not_after: None,
            renewal_time: None,
            ready: "".into(),
            blocked_by: None,
            stalled: false,
            reason: "".into(),
            readable,
        };
        (ResourceName::new(namespace, name), Arc::new(summary))
    }

    fn told(resources: &[(ResourceName, Arc<ResourceSummary>)]) -> Value {
        serde_json::to_value(groups(resources, 9996).collect::<Vec<_>>()).expect("JSON")
    }

    #[test]
    fn a_host_is_one_target_however_many_resources_name_it_and_in_whatever_order() {
        let mut resources = vec![
            resource("tokyo/web", "ups-02.example.com", "tls-service", true),
            resource("osaka/ups", "ups-01.example.com", "powerchute-serial-shutdown", true),
            resource("tokyo/ups", "ups-01.example.com", "tls-service", true),
            resource("tokyo/console", "ups-01.example.com", "tls-service", true),
        ];
        let expected = json!([
            {
                "targets": ["ups-01.example.com:9996"],
                "labels": {
                    "__meta_kagiban_host": "ups-01.example.com",
                    "__meta_kagiban_namespaces": ",osaka,tokyo,",
                    "__meta_kagiban_products": ",powerchute-serial-shutdown,tls-service,",
                },
            },
            {
                "targets": ["ups-02.example.com:9996"],
                "labels": {
                    "__meta_kagiban_host": "ups-02.example.com",
                    "__meta_kagiban_namespaces": ",tokyo,",
                    "__meta_kagiban_products": ",tls-service,",
                },
            },
        ]);
        assert_eq!(told(&resources), expected);
        resources.reverse();
        assert_eq!(told(&resources), expected);
    }

    #[test]
    fn a_resource_of_another_version_keeps_its_host_and_no_text_becomes_a_target() {
        let resources = [
            resource("tokyo/later", "ups-01.example.com", "product-of-tomorrow", false),
            resource("tokyo/odd", "127.0.0.1:9090/metrics?x=", "tls-service", false),
            resource("tokyo/none", "", "tls-service", false),
        ];
        let told = told(&resources);
        assert_eq!(told.as_array().map(Vec::len), Some(1), "{told}");
        assert_eq!(told[0]["labels"]["__meta_kagiban_products"], "");
    }

    #[test]
    fn what_is_written_is_json_also_where_there_is_no_host() {
        let discovery = Discovery::new(Arc::default(), 9996);
        assert!(!discovery.is_ready(), "nothing was listed");
        let mut text = String::new();
        discovery.write(&mut text).expect("written");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), json!([]));
    }
}
