//! What it takes to read one page of a list: a test of its own process, in which nothing else allocates.

use std::fs;

use kagiban_operator::cluster::kubernetes::ListPage;
use kagiban_operator::cluster::kubernetes::watch::PAGE;
use serde_json::{Value, json};

/// In bytes; beside the text of the page, which is 28 MB.
const LIMIT: usize = 4 << 20;

/// As large as the API server takes: its author may put any number of finalizers on it, and who manages each is noted.
fn object(number: u32) -> Value {
    let finalizers: Vec<_> = (0..8_300).map(|n| format!("example.com/{number}-{n}-{}", "x".repeat(60))).collect();
    let fields: serde_json::Map<_, _> = finalizers.iter().map(|name| (format!("v:{name}"), json!({}))).collect();
    json!({
        "apiVersion": "kagiban.dev/v1alpha1",
        "kind": "ManagedAgentCertificate",
        "metadata": {
            "name": format!("large-{number}"), "namespace": "fleet", "finalizers": finalizers,
            "annotations": {"example.com/note": "x".repeat(200_000)},
            "managedFields": [{"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:finalizers": fields}}],
        },
        "spec": {},
    })
}

/// In bytes, at its peak so far.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it says what was resident");
    let kibibytes: usize = line.trim().strip_suffix(" kB").and_then(|n| n.parse().ok()).expect("a number of kB");
    kibibytes << 10
}

/// Holds B14: sixty such objects had the operator killed at its memory limit at each start.
#[test]
fn a_page_of_the_largest_objects_takes_little_more_than_its_text() {
    let mut page = String::from(r#"{"metadata": {"resourceVersion": "1"}, "items": ["#);
    for number in 0..PAGE {
        if number > 0 {
            page.push(',');
        }
        page.push_str(&object(number).to_string());
    }
    page.push_str("]}");
    assert!(page.len() > PAGE as usize * 1_500_000, "{}", page.len());
    let taken = taken_by(&page);
    assert!(taken < LIMIT, "{} KiB", taken / 1024);
    drop(page);
    // By what stands in the place of the API server: as parts of objects, and beside them
    for rubbish in ["[],", "1,", "{\"a\":{}},", "[[[[[[[[1,2,3]]]]]]]],"] {
        let rubbish = format!("[{}0]", rubbish.repeat(800_000 / rubbish.len()));
        let item = format!(r#"{{"metadata": {{"name": "a"}}, "spec": {rubbish}, "status": {rubbish}}}"#);
        let items = vec![item.as_str(); PAGE as usize].join(",");
        let page = format!(r#"{{"metadata": {{"resourceVersion": "1"}}, "items": [{items}], "more": {rubbish}}}"#);
        let taken = taken_by(&page);
        assert!(taken < LIMIT, "{} KiB: {rubbish:.20}", taken / 1024);
    }
}

/// To read it.
fn taken_by(page: &str) -> usize {
    let before = peak();
    let read: ListPage = serde_json::from_str(page).expect("a page");
    let taken = peak() - before;
    assert_eq!(read.items.len(), PAGE as usize);
    taken
}
