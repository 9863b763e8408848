//! What an exporter's metrics tell, in the words of the table.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use kagiban_tests::exporter::sample;

/// Files that agents keep their certificate in.
const STORES: [&str; 3] = ["keystore\"", "commkey\"", "OfcNTCer.dat\""];

/// In how many days the first certificate ends that was found in an agent's file.
pub(crate) fn days_left(metrics: &str) -> Option<f64> {
    let family = "x509_cert_not_after_timestamp_seconds{";
    let is_the_agents = |line: &&str| STORES.iter().any(|name| line.contains(name));
    let samples = metrics.lines().filter(|line| line.starts_with(family)).filter(is_the_agents);
    let end = samples.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).reduce(f64::min)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Some((end - now.as_secs_f64()) / 86_400.0)
}

/// What it has of the notice's problems.
pub(crate) fn affected(metrics: &str) -> String {
    let told: Vec<_> = metrics.lines().filter(|line| line.starts_with("kagiban_product_affected{")).collect();
    let has = told.iter().filter(|line| line.ends_with(" 1")).filter_map(|line| label(line, "reason"));
    let has: BTreeSet<_> = has.collect();
    match (told.is_empty(), has.is_empty()) {
        (true, _) => "no release is told apart".to_owned(),
        (false, true) => "by nothing".to_owned(),
        (false, false) => has.into_iter().collect::<Vec<_>>().join(", "),
    }
}

/// The clients of a server that do not have its certificate; none where that is not known.
pub(crate) fn clients(metrics: &str) -> Option<BTreeSet<String>> {
    sample(metrics, "kagiban_clients_without_certificate", &[])?;
    let family = "kagiban_client_without_certificate{";
    let named = metrics.lines().filter(|line| line.starts_with(family)).filter_map(|line| label(line, "client"));
    Some(named.map(str::to_owned).collect())
}

/// How often authentication has failed, and of how many terminals that are named.
pub(crate) fn failures(metrics: &str) -> Option<(f64, usize)> {
    let family = "kagiban_skysea_authentication_failures{";
    let samples = metrics.lines().filter(|line| line.starts_with(family));
    let of_named: Vec<_> = samples.filter(|line| label(line, "sender") != Some("other")).collect();
    let count = of_named.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
    (!of_named.is_empty()).then_some((count, of_named.len()))
}

fn label<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    Some(line.split_once(&format!("{name}=\""))?.1.split_once('"')?.0)
}
