//! The metrics that pages speak of, against docs/metrics.md.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use kagiban_tests::tools;

use crate::pages;

const PREFIXES: [&str; 6] = ["kagiban_", "ups_", "x509_", "tls_probe_", "host_shutdown_", "host_feeds"];
/// Pages with names of other times and exporters, of alarms, and of Ansible's variables.
const OF_OTHERS: [&str; 4] = ["CHANGELOG.md", "docs/compat.md", "docs/ups-metrics.md", "examples/ansible/README.md"];
/// Tests, states, the beginning of a name in a filter, a path of another exporter, a crate in a filter of logs.
const NO_METRICS: [&str; 10] = [
    "kagiban_exporter",
    "kagiban_host_api_tls",
    "kagiban_operator",
    "ups_apcupsd",
    "ups_low_battery",
    "ups_metrics",
    "ups_nut",
    "ups_on_battery",
    "ups_pending",
    "ups_snmp",
];

#[test]
fn every_metric_that_a_page_names_is_published() -> Result<()> {
    let page = fs::read_to_string(tools::workspace().join("docs/metrics.md"))?;
    let published: BTreeSet<_> =
        page.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0)).collect();
    let mut named = 0;
    for page in pages::all()?.values().filter(|page| !OF_OTHERS.iter().any(|other| page.path == Path::new(other))) {
        let codes = page.codes.iter().map(|code| (code.line, code.text.as_str()));
        let blocks = page.blocks.iter().map(|block| (block.line, block.text.as_str()));
        for (line, text) in codes.chain(blocks) {
            for name in names(text) {
                named += 1;
                let is_part = ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|part| name.strip_suffix(part).is_some_and(|family| published.contains(family)));
                ensure!(
                    is_part || published.contains(name) || NO_METRICS.contains(&name),
                    "{}:{line}: {name} is no metric",
                    page.path.display()
                );
            }
        }
    }
    ensure!(named > 100, "{named} names only");
    Ok(())
}

/// Words that look like a metric; one that ends in `_`, as in `ups_*`, stands for many.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '_');
    words.filter(|word| !word.ends_with('_') && PREFIXES.iter().any(|prefix| word.starts_with(prefix)))
}

#[test]
fn a_name_is_found_in_an_expression_and_a_pattern_is_none() {
    let found: Vec<_> = names("sum by (ups) (ups_status{status=\"on_battery\"}) > 0 or ups_* or my_ups_up").collect();
    assert_eq!(found, ["ups_status"]);
}
