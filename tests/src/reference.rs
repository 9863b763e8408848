//! `docs/metrics.md`, read: whatever a test fetches from our programs must stand there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

use crate::exposition::samples;
use crate::tools;

const PAGE: &str = "docs/metrics.md";

/// A row of the page.
#[derive(Debug)]
struct Row {
    kind: String,
    /// Absent where the row tells a name of another exporter, whose labels are not listed.
    labels: Option<BTreeSet<String>>,
}

/// Gives a page of metrics back, when every family, type and label of it is documented.
///
/// # Panics
/// When not: whoever waits for something to appear in the page would take an error for a program that does not answer.
pub fn documented(metrics: String) -> String {
    if let Err(error) = check(&metrics) {
        panic!("{error:#}");
    }
    metrics
}

fn check(metrics: &str) -> Result<()> {
    static ROWS: OnceLock<Result<BTreeMap<String, Vec<Row>>, String>> = OnceLock::new();
    let rows = ROWS.get_or_init(|| rows().map_err(|error| format!("{error:#}")));
    let rows = rows.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut types = BTreeMap::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').context("a type without a name")?;
        types.insert(name, kind);
    }
    for sample in samples(metrics) {
        let is_histogram = |name: &&str| types.get(name) == Some(&"histogram");
        let parts = ["_bucket", "_sum", "_count"].into_iter();
        let family = parts.filter_map(|part| sample.name.strip_suffix(part)).find(is_histogram).unwrap_or(&sample.name);
        let Some(known) = rows.get(family) else { bail!("{family} is not in {PAGE}: run `make docs`") };
        let kind = types.get(family).context("a family without a type")?;
        let fits = |row: &&Row| {
            let told =
                |labels: &BTreeSet<String>| sample.labels.keys().all(|name| name == "le" || labels.contains(name));
            row.kind == *kind && row.labels.as_ref().is_none_or(told)
        };
        ensure!(
            known.iter().any(|row| fits(&row)),
            "{PAGE} tells otherwise of {} ({kind}): {known:?}",
            sample.series()
        );
    }
    Ok(())
}

/// By name: both programs have some of the same name.
fn rows() -> Result<BTreeMap<String, Vec<Row>>> {
    let page = fs::read_to_string(tools::workspace().join(PAGE)).with_context(|| format!("{PAGE} cannot be read"))?;
    let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let mut has_labels = false;
    for line in page.lines() {
        let cells: Vec<_> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        match cells[..] {
            ["metric", _, _, fourth, _] => has_labels = fourth == "labels",
            [name, kind, _, labels, ..] if name.starts_with('`') => {
                let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned());
                let labels = has_labels.then(|| labels.filter(|label| !label.is_empty()).collect());
                let row = Row { kind: kind.to_owned(), labels };
                rows.entry(name.trim_matches('`').to_owned()).or_default().push(row);
            }
            _ => {}
        }
    }
    ensure!(rows.len() > 100, "{PAGE} has {} metrics only", rows.len());
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_does_not_tell_is_refused() {
        let page = |name: &str, kind: &str, labels: &str| format!("# TYPE {name} {kind}\n{name}{labels} 1\n");
        check(&page("ups_up", "gauge", "{ups=\"a\",backend=\"nut\"}")).expect("it is told");
        check(&page("ups_up", "counter", "")).expect_err("another type");
        check(&page("ups_up", "gauge", "{colour=\"red\"}")).expect_err("another label");
        check(&page("ups_colour", "gauge", "")).expect_err("another name");
        check("ups_up 1\n").expect_err("no type");
        let histogram = "# TYPE kagiban_reconcile_duration_seconds histogram\nkagiban_reconcile_duration_seconds_bucket{le=\"+Inf\"} 1\n";
        check(histogram).expect("a part of a histogram");
    }
}
